//! What the report says in words.

use modelwatch_profile::Group;
use modelwatch_sdk::report::{Finding, Severity, float};

use crate::{
    bins::short,
    comparison::{Cell, Constant, Outcome, Part, Side, Unseen},
    config::Config,
    decision::Decision,
    report::place,
};

const MAX_CELLS: usize = 3;

/// Returns the findings, column by column.
pub(crate) fn findings(config: &Config, decisions: &[Decision]) -> Vec<Finding> {
    decisions.iter().flat_map(|it| findings_of(config, it)).collect()
}

/// Returns the findings about one column.
pub(crate) fn findings_of(config: &Config, decision: &Decision) -> Vec<Finding> {
    if let Outcome::Mismatch(why) = &decision.comparison.outcome {
        return vec![mismatch(decision, why)];
    }
    let mut res = Vec::new();
    if let Some(part) = decision.leading_part().filter(|_| decision.has_drifted_values) {
        res.push(drifted_values(config, decision, part));
    }
    if decision.has_drifted_missing {
        res.push(drifted_missing(config, decision));
    }
    let unseen = decision.comparison.unseen.as_ref().filter(|it| it.count > 0);
    res.extend(unseen.map(|it| unseen_categories(decision, it)));
    if let Some(constant) = decision.constant().filter(|_| decision.has_new_constant) {
        res.push(new_constant(config, decision, constant));
    }
    res
}

fn drifted_values(config: &Config, decision: &Decision, part: &Part) -> Finding {
    let comparison = &decision.comparison;
    let part_name = part.name.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
    let message = format!(
        "{}{part_name} is distributed differently: {}; {}",
        place(&comparison.key),
        grounds(config, decision, part),
        largest_changes(part).join("; "),
    );
    let (code, advice) = match comparison.key.0 {
        Group::Feature => (
            "MW-D001",
            "look for a change of source, unit or encoding of this column; if the change is real, check the metrics on recent labels and train again",
        ),
        Group::Output => (
            "MW-D002",
            "see which columns drifted; without one, compare the checkpoint and the preprocessing with those that made the reference",
        ),
    };
    let finding = Finding::new(code, config.severity, comparison.name(), message).advice(advice);
    let finding = match part.peer {
        Some(it) => number(number(finding, "score", it.value), "threshold", it.rule.threshold())
            .evidence("score_name", part.method.name()),
        None => {
            let finding = number(finding, "effect", part.score.effect.value);
            let finding = number(finding, "threshold", part.score.effect.least);
            let finding = match part.score.effect.interval {
                Some(it) => number(number(finding, "effect_low", it.low), "effect_high", it.high),
                None => finding,
            };
            // Fisher's exact test has no statistic.
            let finding = match part.score.statistic {
                it if it.is_nan() => finding,
                it => number(finding, "score", it).evidence("score_name", part.score.statistic_name),
            };
            number(finding, "p_value", decision.p_value.unwrap_or(f64::NAN))
                .evidence("effect_name", part.score.effect.name)
                .evidence("alpha", config.alpha())
        }
    };
    let finding = number(finding, "psi", part.psi);
    let finding = number(finding, "jensen_shannon", part.jensen_shannon);
    let finding = finding
        .evidence("method", part.method.name())
        .evidence("n_reference", comparison.reference.usable)
        .evidence("n_current", comparison.current.usable)
        .evidence("largest_changes", largest_changes(part));
    match comparison.parts().len() {
        0 | 1 => finding,
        n => finding.evidence("part", part_name.trim()).evidence("n_parts", n as u64),
    }
}

/// Returns why the difference counts, in words.
fn grounds(config: &Config, decision: &Decision, part: &Part) -> String {
    if let Some(peer) = part.peer {
        let what = if peer.rule.is_of_p_value() { "p-value" } else { "distance" };
        let (value, threshold) = (short_or_word(peer.value), short_or_word(peer.rule.threshold()));
        return format!("`{}` gives {what} {value} ({} {threshold} is drift)", part.method.name(), peer.rule.words());
    }
    let effect = part.score.effect;
    let interval = match effect.interval {
        Some(it) => format!(" ({} to {} with confidence 95 %)", short_or_word(it.low), short_or_word(it.high)),
        None => String::new(),
    };
    format!(
        "{} {}{interval}, at least {} matters, corrected p-value {:.2e}, at most {}",
        effect.name,
        short_or_word(effect.value),
        short_or_word(effect.least),
        decision.p_value.unwrap_or(f64::NAN),
        config.alpha(),
    )
}

fn drifted_missing(config: &Config, decision: &Decision) -> Finding {
    let comparison = &decision.comparison;
    let (reference, current) = (comparison.reference, comparison.current);
    let p_value = decision.missing_p.unwrap_or(f64::NAN);
    let has_both_signs = [0, 1].iter().all(|it| reference.infinities[*it].max(current.infinities[*it]) > 0);
    let [below, above] = [0, 1].map(|sign| {
        let share = |it: &Side| percent(it.infinite_shares()[sign]);
        format!("{} and {}", share(&current), share(&reference))
    });
    let signs = if has_both_signs { format!(" (inf in {above}, -inf in {below})") } else { String::new() };
    let message = format!(
        "{} is missing or not finite in {} of the current rows and {} of the reference rows{signs}, corrected p-value {p_value:.2e}",
        place(&comparison.key),
        percent(current.missing_share()),
        percent(reference.missing_share()),
    );
    let finding = Finding::new("MW-D003", config.severity, comparison.name(), message)
        .advice("look for a join, a parser or a source that stopped filling this column (or started to), and for divisions by zero")
        .evidence("alpha", config.alpha())
        .evidence("threshold", config.min_effect.missing)
        .evidence("n_reference", reference.rows)
        .evidence("n_current", current.rows)
        .evidence("nulls_reference", reference.nulls)
        .evidence("nulls_current", current.nulls)
        .evidence("infinite_reference", reference.infinities[0].saturating_add(reference.infinities[1]))
        .evidence("infinite_current", current.infinities[0].saturating_add(current.infinities[1]))
        .evidence("negative_infinite_reference", reference.infinities[0])
        .evidence("negative_infinite_current", current.infinities[0]);
    number(number(finding, "effect", comparison.missing_difference()), "p_value", p_value)
}

fn mismatch(decision: &Decision, why: &str) -> Finding {
    let comparison = &decision.comparison;
    Finding::new("MW-D004", Severity::Error, comparison.name(), format!("{} {why}", place(&comparison.key)))
        .advice("give both roles the same columns with the same types, or leave the column out with `exclude`")
        .evidence("n_reference", comparison.reference.rows)
        .evidence("n_current", comparison.current.rows)
}

fn unseen_categories(decision: &Decision, unseen: &Unseen) -> Finding {
    let comparison = &decision.comparison;
    // Where the reference has many categories that occur once, new ones are to be expected.
    let is_expected = unseen.share <= unseen.expected;
    let severity = if is_expected { Severity::Info } else { Severity::Warning };
    // Of a reference that does not know all its categories, others may be new as well.
    let at_least = if unseen.share < unseen.most { "at least " } else { "" };
    let names: Vec<_> = unseen.names.iter().map(|it| format!("`{it}`")).collect();
    let message = format!(
        "{} has {at_least}{} categories that the reference lacks, in {at_least}{} of the current rows (up to {} is to be expected): {}{}",
        place(&comparison.key),
        unseen.count,
        percent(unseen.share),
        percent(unseen.expected),
        names.join(", "),
        if unseen.count > names.len() as u64 { ", …" } else { "" },
    );
    let finding = Finding::new("MW-D005", severity, comparison.name(), message)
        .advice("check how the model encodes categories that it was not trained on; look for changed spelling")
        .evidence("categories", unseen.names.clone())
        .evidence("n_categories", unseen.count)
        .evidence("n_reference", comparison.reference.usable)
        .evidence("n_current", comparison.current.usable);
    number(number(finding, "share", unseen.share), "expected_share", unseen.expected)
}

fn new_constant(config: &Config, decision: &Decision, constant: &Constant) -> Finding {
    let comparison = &decision.comparison;
    let (own, other) = if constant.is_current { ("current", "reference") } else { ("reference", "current") };
    let message =
        format!("{} is `{}` in all {own} rows and varies in the {other} rows", place(&comparison.key), constant.value);
    let advice = if constant.is_current {
        "look for a source that fills in a default value"
    } else {
        "the model has never seen this column vary: leave it out of the model, or train on data in which it varies"
    };
    let finding = Finding::new("MW-D006", config.severity, comparison.name(), message)
        .advice(advice)
        .evidence("value", constant.value.as_str())
        .evidence("alpha", config.alpha())
        .evidence("n_reference", comparison.reference.usable)
        .evidence("n_current", comparison.current.usable);
    number(finding, "p_value", constant.chance)
}

/// Returns the cells that add most to the population stability index, in words.
fn largest_changes(part: &Part) -> Vec<String> {
    let mut cells: Vec<_> = part.cells.iter().filter(|it| it.reference != it.current).collect();
    // The sort is stable, so that equal cells keep their order.
    cells.sort_by(|left, right| right.psi_part().total_cmp(&left.psi_part()));
    let words = |it: &&Cell| format!("{} went from {} to {}", it.name, percent(it.reference), percent(it.current));
    cells.iter().take(MAX_CELLS).map(words).collect()
}

fn number(finding: Finding, key: &str, value: f64) -> Finding {
    finding.evidence(key, float::to_value(value))
}

fn percent(share: f64) -> String {
    format!("{} %", short(share * 100.0))
}

fn short_or_word(value: f64) -> String {
    if value.is_finite() { short(value) } else { value.to_string() }
}
