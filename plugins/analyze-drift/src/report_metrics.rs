//! The numbers of the report.

use modelwatch_profile::{Group, Profile};
use modelwatch_sdk::report::{Interval, Labels, Metric};

use crate::{
    comparison::{Detail, Outcome, Part, PartName},
    config::Config,
    decision::Decision,
    report::labels,
};

/// Returns the overall numbers, then those of each column and output.
pub(crate) fn metrics(config: &Config, reference: &Profile, current: &Profile, decisions: &[Decision]) -> Vec<Metric> {
    let features: Vec<_> = decisions.iter().filter(|it| it.comparison.key.0 == Group::Feature).collect();
    let outputs: Vec<_> = decisions.iter().filter(|it| it.comparison.key.0 == Group::Output).collect();
    let rows = if reference.rows() > 0 { current.rows() } else { 0 };
    let count = |of: &[&Decision], is: fn(&Decision) -> bool| of.iter().filter(|it| is(it)).count() as f64;
    let compared = count(&features, Decision::is_compared);
    let drifted = count(&features, |it| it.is_compared() && it.is_drifted());
    // What is computed from nothing has an n of nothing.
    let rows = if compared > 0.0 { rows } else { 0 };
    // With nothing compared the share is 0/0, so that no requirement on it is met.
    let mut res = vec![
        Metric::new("drifted_share", drifted / compared).n(rows),
        Metric::new("drifted_columns", if compared > 0.0 { drifted } else { f64::NAN }).n(rows),
        Metric::new("compared_columns", compared).n(rows),
        Metric::new("n_columns", features.len() as f64).n(rows),
    ];
    if !config.importance.is_empty() {
        let weigh = |is: fn(&Decision) -> bool| -> f64 {
            let counted = features.iter().filter(|it| it.is_compared() && is(it));
            counted.map(|it| config.importance_of(it.comparison.name())).sum()
        };
        // Where no column that counts was compared it is 0/0, too.
        let share = weigh(Decision::is_drifted) / weigh(|_| true);
        res.push(Metric::new("weighted_drifted_share", share).n(rows));
    }
    if !outputs.is_empty() {
        let share = count(&outputs, |it| it.is_compared() && it.is_drifted()) / count(&outputs, Decision::is_compared);
        res.push(Metric::new("prediction_drift", share).n(rows));
    }
    decisions.iter().for_each(|it| column_metrics(config, it, &mut res));
    res
}

fn column_metrics(config: &Config, decision: &Decision, res: &mut Vec<Metric>) {
    let comparison = &decision.comparison;
    let labels = labels(&comparison.key);
    let (reference, current) = (comparison.reference, comparison.current);
    if matches!(comparison.outcome, Outcome::Mismatch(_)) {
        return;
    }
    for (data, side) in [("reference", reference), ("current", current)] {
        res.push(Metric::new("missing_share", side.missing_share()).n(side.rows).labels(&labels).label("data", data));
    }
    let mut push = |name: &str, value: f64| res.push(Metric::new(name, value).n(current.rows).labels(&labels));
    push("missing_share_difference", comparison.missing_difference());
    if let Some(it) = decision.missing_p {
        push("missing_p_value", it);
    }
    if comparison.is_categorical() {
        push("unseen_share", comparison.unseen.as_ref().map_or(0.0, |it| it.share));
    }
    let Some(part) = decision.leading_part().filter(|_| decision.is_compared()) else { return };
    push("drifted", f64::from(u8::from(decision.is_drifted())));
    if let Some(it) = decision.p_value {
        push("p_value", it);
    }
    part_metrics(part, &labels, current.usable, res);
    let parts = comparison.parts();
    if parts.len() == 1 {
        return;
    }
    let is_element = |it: &&Part| matches!(it.name, Some(PartName::Element(_)));
    let is_drifted = |it: &&Part| it.is_large() && it.score.p_value * parts.len() as f64 <= config.alpha();
    let n_drifted = parts.iter().filter(is_element).filter(is_drifted).count();
    res.push(Metric::new("drifted_elements", n_drifted as f64).n(current.usable).labels(&labels));
    for part in parts.iter().filter(|it| !is_element(it)) {
        let name = part.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut labels = labels.clone();
        labels.insert("part".to_owned(), name);
        part_metrics(part, &labels, current.usable, res);
    }
}

fn part_metrics(part: &Part, labels: &Labels, n: u64, res: &mut Vec<Metric>) {
    let mut push = |name: &str, value: f64| res.push(Metric::new(name, value).n(n).labels(labels));
    if let Some(ks) = part.score.ks {
        push("ks_statistic", ks.statistic);
        push("ks_p_value", ks.p_value);
    }
    match &part.detail {
        Detail::Numeric { wasserstein, wasserstein_normed, .. } => {
            push("wasserstein", *wasserstein);
            push("wasserstein_normed", *wasserstein_normed);
        }
        Detail::Categorical { chi2_statistic, chi2_p_value, .. } => {
            push("chi2_statistic", *chi2_statistic);
            push("chi2_p_value", *chi2_p_value);
        }
    }
    push("psi", part.psi);
    push("jensen_shannon", part.jensen_shannon);
    if let Some(peer) = part.peer {
        push("score", peer.value);
    }
    let effect = part.score.effect;
    let interval = effect.interval.map(|it| Interval { low: it.low, high: it.high, level: it.level });
    res.push(Metric::new("effect", effect.value).n(n).labels(labels).interval(interval));
}
