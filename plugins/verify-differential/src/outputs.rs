//! Outputs that must not pass though they do not differ: those that are in one model alone, and those that are NaN or infinite in both.

use modelwatch_sdk::{
    Report,
    nodes::{Difference, NodeComparison, NodeDifference, OutputDifference},
    report::{Check, Finding, Labels, Metric, Severity, Status},
};

use crate::config::Config;

/// The metric of numbers that are NaN in both models.
pub(crate) const NAN_IN_BOTH: &str = "nan_in_both";
/// The metric of numbers that are the same infinity in both models.
pub(crate) const INFINITE_IN_BOTH: &str = "infinite_in_both";

/// Numbers that do not differ, and of which nothing says that they are right.
struct Doubtful {
    metric: &'static str,
    /// What they are.
    word: &'static str,
    /// How many of them there are.
    count: fn(&Difference) -> u64,
    /// The option that lets them be equal.
    option: &'static str,
    is_allowed: bool,
}

/// Says whether an output has numbers that are NaN in both models, or the same infinity.
pub(crate) fn not_finite(res: &mut Report, config: &Config, comparison: &NodeComparison, it: &OutputDifference) {
    let nan = Doubtful {
        metric: NAN_IN_BOTH,
        word: "NaN",
        count: |it| it.n_both_nan,
        option: "equal_nan",
        is_allowed: config.equal_nan,
    };
    let infinite = Doubtful {
        metric: INFINITE_IN_BOTH,
        word: "infinite",
        count: |it| it.n_both_infinite,
        option: "equal_infinity",
        is_allowed: config.equal_infinity,
    };
    for doubtful in [nan, infinite] {
        judge(res, &doubtful, comparison, it);
    }
}

fn judge(res: &mut Report, doubtful: &Doubtful, comparison: &NodeComparison, it: &OutputDifference) {
    let Doubtful { metric, word, count, option, is_allowed } = *doubtful;
    let (n, n_found) = (it.difference.n, count(&it.difference));
    res.metrics.push(Metric::new(metric, n_found as f64).n(n).label("output", &*it.name));
    if is_allowed {
        return;
    }
    let message = match n_found {
        0 => format!("output `{}` is nowhere {word} in both models", it.name),
        _ => format!("{n_found} of {n} elements of output `{}` are {word} in both models", it.name),
    };
    res.checks.push(Check {
        metric: metric.to_owned(),
        labels: Labels::from([("output".to_owned(), it.name.clone())]),
        requirement: "== 0".to_owned(),
        observed: Some(n_found as f64),
        interval: None,
        n,
        status: Status::of(n, n_found == 0),
        message: message.clone(),
    });
    if n_found == 0 {
        return;
    }
    let has_some = |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| count(&it.cumulative) > 0);
    let (place, since) = match comparison.nodes.iter().find(has_some) {
        Some(it) => (&*it.name, format!(", from `{}` ({}) on", it.name, it.operator)),
        None => (&*it.name, String::new()),
    };
    res.findings.push(
        Finding::new("MW-N006", Severity::Error, place, format!("{message}{since}; nothing says that they are right"))
            .advice(format!(
                "look for the first node that is {word}; where that is what the models are to give, set `{option}`"
            ))
            .evidence("output", &*it.name),
    );
}

/// Says which outputs are in one model alone.
pub(crate) fn unmatched(res: &mut Report, comparison: &NodeComparison) {
    let NodeComparison { outputs, missing_outputs: missing, extra_outputs: extra, .. } = comparison;
    let n_unmatched = missing.len() + extra.len();
    let n = (outputs.len() + n_unmatched) as u64;
    let listed = |names: &[String]| names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let message = match (n, missing.is_empty(), extra.is_empty()) {
        (0, ..) => "the models have no outputs".to_owned(),
        (_, true, true) => "every output is in both models".to_owned(),
        (_, false, true) => format!("the candidate lacks {}", listed(missing)),
        (_, true, false) => format!("the baseline lacks {}", listed(extra)),
        (_, false, false) => format!("the candidate lacks {}, the baseline {}", listed(missing), listed(extra)),
    };
    res.metrics.push(Metric::new("unmatched_outputs", n_unmatched as f64).n(n));
    res.checks.push(Check {
        metric: "unmatched_outputs".to_owned(),
        labels: Labels::new(),
        requirement: "== 0".to_owned(),
        observed: Some(n_unmatched as f64),
        interval: None,
        n,
        status: Status::of(n, n_unmatched == 0),
        message,
    });
    let kinds = [
        ("missing", missing, "the baseline has this output, and the candidate has none of this name"),
        ("extra", extra, "the candidate has this output, and the baseline has none of this name"),
    ];
    for (kind, names, message) in kinds {
        for name in names {
            // A person sees that two are one, and says so; a program that guessed would compare what does not belong together.
            let advice = match (&missing[..], &extra[..]) {
                ([old], [new]) => format!(
                    "give the output its name back; if it is the same under another one, set `outputs = {{ \"{new}\" = \"{old}\" }}`"
                ),
                _ => "export the model with the outputs of the baseline; where one has another name there, say so in `outputs`"
                    .to_owned(),
            };
            let finding = Finding::new("MW-N005", Severity::Error, &**name, message).advice(advice);
            res.findings.push(finding.evidence("kind", kind));
        }
    }
}
