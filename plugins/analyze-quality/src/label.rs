//! Labels: how many there are of each class, and whether they contradict each other.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Report,
    report::{Gap, Metric, Severity},
    rows::Use,
};

use crate::{
    column::{Body, Column},
    context::{Context, above, finding, measure, number, percent},
    profile::Profile,
    settings::Settings,
};

/// Up to so many different whole numbers are classes.
pub(crate) const MAX_CLASSES: usize = 30;

/// Judges the label, where there is one.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) {
    let Some((name, column)) = context.current.column_for(Use::Label) else { return };
    if classes(column).is_none() {
        return;
    }
    imbalance(context, name, column, report);
    conflicts(context, name, report);
}

/// Returns how many rows each class has, by name; none where the label is no class.
pub(crate) fn classes(label: &Column) -> Option<BTreeMap<String, u64>> {
    match label.body() {
        Body::Names(it) if !it.categories().is_overflowed() => {
            Some(it.categories().counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
        }
        Body::Numbers(it) => {
            let points = it.points();
            let is_whole = points.iter().all(|it| it.0.fract() == 0.0);
            let is_class =
                points.len() <= MAX_CLASSES && is_whole && it.sample().is_exact() || label.has_use(Use::Categorical);
            is_class.then(|| points.into_iter().map(|(value, count)| (value.to_string(), count)).collect())
        }
        Body::Stored(it) => it.classes(),
        _ => None,
    }
}

/// Returns how many classes of a label are told apart by weight.
pub(crate) fn max_classes(settings: &Settings) -> u64 {
    settings.config.max_categories.max(MAX_CLASSES as u64)
}

/// Returns how much each class weighs, or how many rows it has where rows count alike; none where there are too many classes to weigh them.
fn masses(context: &Context<'_>, label: &Column) -> Option<BTreeMap<String, u64>> {
    let mut res = classes(label)?;
    if let Some(weighed) = context.weighed(label) {
        let is_exact = !matches!(label.body(), Body::Numbers(it) if !it.sample().is_exact());
        if weighed.classes.is_overflowed() || !is_exact {
            return None;
        }
        let masses = weighed.classes.counts();
        res.iter_mut().for_each(|(class, count)| *count = masses.get(class.as_str()).copied().unwrap_or(0));
    }
    Some(res)
}

fn imbalance(context: &Context<'_>, name: &str, label: &Column, report: &mut Report) {
    let Some(classes) = classes(label) else { return };
    let Some(masses) = masses(context, label) else {
        let config = &context.settings.config;
        let most = max_classes(context.settings).min(config.budget);
        report
            .gaps
            .push(Gap::new("class shares", format!("there are more than {most} classes, too many to weigh them")));
        return;
    };
    let sum = |it: &BTreeMap<String, u64>| it.values().copied().fold(0, u64::saturating_add);
    let (n, all) = (sum(&classes), sum(&masses));
    for (class, mass) in masses.iter().take(MAX_CLASSES) {
        let class = if class.is_empty() { "(empty)" } else { class };
        report.metrics.push(Metric::new("class_share", *mass as f64 / all as f64).n(n).label("class", class));
    }
    let Some((ratio, rarest)) = ratio(&masses) else { return };
    measure(report, "class_ratio", ratio, n);
    let limit = context.settings.config.limits.class_ratio;
    if ratio < limit {
        let known = context.reference.and_then(|it| it.columns().get(name)).and_then(|it| self::masses(context, it));
        let is_usual = known.and_then(|it| self::ratio(&it).map(|it| it.0)).is_some_and(|it| it < limit);
        let severity = if is_usual { Severity::Info } else { context.severity() };
        let message = format!(
            "the class `{rarest}` of `{name}` has {} of the rows of the most frequent one, less than {}",
            percent(ratio),
            percent(limit),
        );
        let finding = number(finding("MW-Q033", severity, name, message), "ratio", ratio);
        report.findings.push(number(finding, "limit", limit).evidence("n", n));
    }
}

/// Returns the rows of the rarest class over those of the most frequent one, or what they weigh, and the name of the former. A class that
/// weighs nothing is not there.
fn ratio(classes: &BTreeMap<String, u64>) -> Option<(f64, &str)> {
    let there = || classes.iter().filter(|it| *it.1 > 0);
    let rarest = there().min_by_key(|it| it.1)?;
    let greatest = there().map(|it| it.1).max()?;
    Some((*rarest.1 as f64 / *greatest as f64, rarest.0))
}

fn conflicts(context: &Context<'_>, name: &str, report: &mut Report) {
    let keys = context.current.feature_keys();
    if keys.n() == 0 {
        return;
    }
    let share = keys.conflicting_share();
    measure(report, "conflicting_label_share", share, keys.n());
    let limit = context.settings.config.limits.conflicting_labels;
    if share > limit {
        let usual = |it: &Profile| it.feature_keys().conflicting_share();
        let with =
            context.reference_rows().map(|it| format!(" (reference: {})", percent(usual(it)))).unwrap_or_default();
        let message = format!(
            "{} of the rows have features that occur with another `{name}`, too, more than {}{with}",
            percent(share),
            percent(limit),
        );
        let finding = finding("MW-Q032", context.severity(), name, message);
        report.findings.push(above(finding, share, limit, keys.n()));
    }
}
