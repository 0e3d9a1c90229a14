//! What texts are made of.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Report,
    report::{Gap, Severity},
};
use modelwatch_stats::outliers::{Fences, count_outside, tukey_fences};

use crate::{
    column::{Body, Column},
    context::{above, finding, number, percent, some},
    kind::Kind,
    names::Names,
    values::Judged,
};

/// Beyond so many interquartile ranges Tukey (1977) calls a value far out.
const FAR_OUT: f64 = 3.0;

/// Up to so many shapes the texts of a column are taken to have a format.
const MAX_FORMATS: u64 = 20;

/// Judges a column of texts.
pub(crate) fn judge(it: &Judged<'_>, names: &Names, report: &mut Report) {
    if it.column.kind() != Some(Kind::Text) || names.n() == 0 {
        return;
    }
    let known = match it.known.map(Column::body) {
        Some(Body::Names(known)) if known.n() > 0 && it.known.and_then(Column::kind) == Some(Kind::Text) => Some(known),
        _ => None,
    };
    null_words(it, names, known, report);
    mixed_types(it, names, known, report);
    special_characters(it, names, report);
    spellings(it, names, known, report);
    lengths(it, names, known, report);
    shapes(it, names, known, report);
}

fn null_words(it: &Judged<'_>, names: &Names, known: Option<&Names>, report: &mut Report) {
    let counts = names.null_words().counts();
    let mut words: Vec<String> = counts.keys().map(|word| (*word).to_owned()).collect();
    if it.column.nulls() > 0 {
        words.push("(null)".to_owned());
    }
    let (n, count) = (it.column.rows(), names.null_words().n());
    it.measure(report, "null_word_share", count as f64 / n as f64, n);
    it.measure(report, "null_words", words.len() as f64, n);
    let limit = it.context.settings.config.limits.null_words;
    if words.len() as u64 <= limit || counts.is_empty() {
        return;
    }
    let usual = known.map(|it| it.null_words().counts());
    let is_usual = usual.is_some_and(|usual| counts.keys().all(|word| usual.contains_key(word)));
    let severity = if is_usual { Severity::Info } else { it.context.severity() };
    let message = format!("missing values of `{}` are spelled in {} ways: {}", it.name, words.len(), some(&words));
    report.findings.push(finding("MW-Q014", severity, it.name, message).evidence("words", words).evidence("n", n));
}

fn mixed_types(it: &Judged<'_>, names: &Names, known: Option<&Names>, report: &mut Report) {
    let counts = names.counts();
    let n = counts.numeric.saturating_add(counts.words);
    if n == 0 {
        return;
    }
    let share = counts.numeric as f64 / n as f64;
    it.measure(report, "numeric_share", share, n);
    let rarer = share.min(1.0 - share);
    let [low, high] = it.context.settings.config.limits.mixed_types;
    // A column that had one of the two alone has got the other.
    let usual = known.map(|it| (it.counts().numeric, it.counts().words));
    let news = match usual {
        Some((1.., 0)) if counts.words > 0 => {
            Some(format!("{} are no numbers, as all of the reference are", percent(1.0 - share)))
        }
        Some((0, 1..)) if counts.numeric > 0 => {
            Some(format!("{} are numbers, as none of the reference is", percent(share)))
        }
        _ => None,
    };
    let is_between = rarer > low && rarer < high;
    let mixed = || format!("{} are numbers and {} are not", percent(share), percent(1.0 - share));
    if let Some(what) = news.or_else(|| is_between.then(mixed)) {
        let message = format!("of the texts of `{}`, {what}", it.name);
        let finding = number(it.finding("MW-Q023", message), "numeric_share", share);
        report.findings.push(finding.evidence("n", n));
    }
}

fn special_characters(it: &Judged<'_>, names: &Names, report: &mut Report) {
    let n = names.n();
    let share = names.counts().special as f64 / n as f64;
    it.measure(report, "special_share", share, n);
    it.measure(report, "padded_share", names.counts().padded as f64 / n as f64, n);
    it.measure(report, "empty_share", names.counts().empty as f64 / n as f64, n);
    let limit = it.context.settings.config.limits.special_characters;
    if share > limit {
        let message =
            format!("{} of `{}` has neither letter nor digit, more than {}", percent(share), it.name, percent(limit));
        report.findings.push(above(it.finding("MW-Q024", message), share, limit, n));
    }
}

/// Returns the categories that differ only in case, spaces or punctuation, by what they have in common.
fn variants(names: &Names) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names.categories().counts().keys() {
        let base: String = name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        // Numbers mean something else with another sign or point.
        if base.chars().any(char::is_alphabetic) {
            groups.entry(base).or_default().push((*name).to_owned());
        }
    }
    groups.retain(|_, it| it.len() > 1);
    groups
}

fn spellings(it: &Judged<'_>, names: &Names, known: Option<&Names>, report: &mut Report) {
    let groups = variants(names);
    it.measure(report, "respelled_categories", groups.len() as f64, names.n());
    if groups.len() as u64 <= it.context.settings.config.limits.spellings {
        return;
    }
    let usual = known.map(variants).unwrap_or_default();
    let is_usual =
        groups.iter().all(|(base, forms)| usual.get(base).is_some_and(|it| forms.iter().all(|form| it.contains(form))));
    let severity = if is_usual { Severity::Info } else { it.context.severity() };
    let shown: Vec<_> = groups.values().take(3).map(|it| some(it)).collect();
    let message =
        format!("{} categories of `{}` are spelled in several ways: {}", groups.len(), it.name, shown.join("; "));
    let finding = finding("MW-Q025", severity, it.name, message).evidence("n_categories", groups.len() as u64);
    report.findings.push(finding.evidence("n", names.n()));
}

fn lengths(it: &Judged<'_>, names: &Names, known: Option<&Names>, report: &mut Report) {
    let (lengths, n) = (names.lengths(), names.n());
    if let (Ok(least), Ok(greatest)) = (lengths.min(), lengths.max()) {
        it.measure(report, "min_length", least, n);
        it.measure(report, "max_length", greatest, n);
    }
    let points = lengths.points();
    if let Ok(shape) = modelwatch_stats::outliers::shape(&points) {
        it.measure(report, "mean_length", shape.mean, n);
    }
    let reference = known.map(|it| it.lengths().points());
    let usual = reference.as_deref().unwrap_or(&points);
    let Ok(fences) = tukey_fences(usual, FAR_OUT) else { return };
    // Of names of two or three lengths each other one would be far out.
    let fences = Fences { low: fences.low - 1.0, high: fences.high + 1.0 };
    let share = count_outside(&points, fences) as f64 / n as f64;
    it.measure(report, "strange_length_share", share, n);
    let limit = it.context.settings.config.limits.strange_lengths;
    if share > limit {
        let message = format!(
            "{} of `{}` is not from {} to {} characters long, more than {}",
            percent(share),
            it.name,
            fences.low.max(0.0).ceil(),
            fences.high.floor(),
            percent(limit),
        );
        let finding = finding("MW-Q026", Severity::Info, it.name, message);
        report.findings.push(above(finding, share, limit, n));
    }
}

fn shapes(it: &Judged<'_>, names: &Names, known: Option<&Names>, report: &mut Report) {
    let (shapes, n) = (names.shapes(), names.n());
    it.measure(report, "text_shapes", shapes.n_kept() as f64, n);
    if shapes.is_overflowed() {
        let why = format!("there are more than {} shapes of texts", shapes.n_kept());
        report.gaps.push(Gap::new(format!("column `{}`, shapes of its texts", it.name), why));
        return;
    }
    let is_written =
        it.context.settings.rule(it.name, it.column).is_some_and(|it| it.pattern.is_some() || it.categories.is_some());
    let Some(known) = known.map(Names::shapes).filter(|it| it.n_kept() <= MAX_FORMATS && !is_written) else { return };
    let usual = known.counts();
    let new: Vec<_> = shapes.counts().into_iter().filter(|it| !usual.contains_key(it.0)).collect();
    let count = new.iter().map(|it| it.1).fold(0, u64::saturating_add);
    let share = count as f64 / n as f64;
    it.measure(report, "new_shape_share", share, n);
    // As for categories: as many new ones are expected as shapes of the reference occurred once.
    let expected = usual.values().filter(|it| **it == 1).count() as f64 / known.n().max(1) as f64;
    let expected = expected + it.context.chance(expected, n);
    if share > expected && !it.may_be_chance(count, known.n()) {
        let examples: Vec<_> = new.iter().map(|it| it.0).collect();
        let message = format!(
            "{} of `{}` looks like nothing in the reference, more than {}: {}",
            percent(share),
            it.name,
            percent(expected),
            some(&examples)
        );
        let finding = number(it.finding("MW-Q022", message), "share", share);
        report.findings.push(number(finding, "expected", expected).evidence("n", n));
    }
}
