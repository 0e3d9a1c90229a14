//! The numbers of the report.

use std::collections::BTreeMap;

use modelwatch_profile::{Group, Key};
use modelwatch_sdk::{
    KnownMetric,
    cells::Cutting,
    report::{Check, Interval, Labels, Metric},
};

use crate::{
    budget::SPENT,
    comparison::{Detail, Outcome, Part, PartName},
    config::Config,
    decision::Decision,
    report::labels,
    side::Kept,
};

/// What became of a column, wherever it was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    is_compared: bool,
    is_drifted: bool,
    is_untested: bool,
}

impl Status {
    /// Adds what was decided of the column in one place.
    pub(crate) fn add(&mut self, decision: &Decision) {
        self.is_compared |= decision.is_compared();
        self.is_drifted |= decision.is_compared() && decision.is_drifted();
        self.is_untested |= decision.comparison.is_untested();
    }

    /// Returns whether the column could be drifted without anybody knowing.
    fn is_unknown(&self) -> bool {
        self.is_untested && !self.is_compared
    }
}

/// Returns the overall numbers, then those of each column and output.
pub(crate) fn metrics(config: &Config, reference: &Kept, current: &Kept, decisions: &[Decision]) -> Vec<Metric> {
    let rows = if reference.rows.rows() > 0 { current.rows.rows() } else { 0 };
    let mut statuses: BTreeMap<&Key, Status> = BTreeMap::new();
    decisions.iter().for_each(|it| statuses.entry(&it.comparison.key).or_default().add(it));
    let mut res = summary(config, &statuses, rows, &Labels::new());
    res.extend(effective_rows(reference, current));
    decisions.iter().for_each(|it| column_metrics(config, it, &Labels::new(), &mut res));
    res
}

/// What became of several columns: of how many, or of how much of what they count.
#[derive(Clone, Copy, Debug)]
struct Tally {
    compared: f64,
    drifted: f64,
    /// What could not be tested may or may not be drifted, and no requirement passes only because it was not looked at.
    unknown: f64,
}

impl Tally {
    fn of(sum: impl Fn(fn(&Status) -> bool) -> f64) -> Self {
        Self { compared: sum(|it| it.is_compared), drifted: sum(|it| it.is_drifted), unknown: sum(Status::is_unknown) }
    }

    /// Returns the share of what was compared that is drifted: 0/0 with nothing compared, so that no requirement on it is met.
    fn share(self) -> f64 {
        self.drifted / self.compared
    }

    /// Returns the bounds of what is drifted of all, over `whole`; none where all is known, and where nothing is.
    fn bounds(self, whole: f64) -> Option<Interval> {
        let is_in_between = self.unknown > 0.0 && self.compared > 0.0;
        is_in_between.then(|| Interval::certain(self.drifted / whole, (self.drifted + self.unknown) / whole))
    }

    /// Returns the metric of the share.
    fn metric(self, name: &str) -> Metric {
        Metric::new(name, self.share()).interval(self.bounds(self.compared + self.unknown))
    }
}

/// The values of the label `data`.
const DATA: [&str; 2] = ["reference", "current"];

/// Returns the metrics that there can be.
pub(crate) fn known(config: &Config, cutting: Option<&Cutting>) -> Vec<KnownMetric> {
    let has_slices = cutting.is_some_and(|it| !it.slices.is_empty());
    let has_chunks = cutting.is_some_and(|it| it.period.is_some());
    let slices: &[&[&str]] = if has_slices { &[&[], &["slice"]] } else { &[&[]] };
    let subjects: &[&[&str]] = &[&["column"], &["output"]];
    let mut res = Vec::new();
    // Adds metrics that have one of each of these sets of labels.
    let mut add = |names: &[&str], sets: &[&[&[&str]]]| {
        let mut all = vec![Vec::new()];
        for set in sets {
            all = all.iter().flat_map(|it: &Vec<&str>| set.iter().map(|more| [it, *more].concat())).collect();
        }
        let known = |labels: &Vec<&str>| {
            let is_of_one = labels.contains(&"data");
            let known = KnownMetric::all(names.iter().copied(), labels);
            known.map(move |it| if is_of_one { it.only("data", DATA) } else { it }).collect::<Vec<_>>()
        };
        res.extend(all.iter().flat_map(known));
    };
    if has_slices {
        add(&["slices", "judged_slices", "drifted_slices"], &[]);
    }
    if config.false_alarm_budget.is_some() {
        add(&[SPENT], &[]);
    }
    let mut of_all = vec!["drifted_share", "drifted_columns", "compared_columns", "n_columns"];
    of_all.extend((!config.importance.is_empty()).then_some("weighted_drifted_share"));
    of_all.extend(config.predictions.then_some("prediction_drift"));
    if has_chunks {
        add(&of_all, &[slices, &[&[], &["chunk"]]]);
        add(&["missing_share_difference", "drifted", "p_value", "score", "effect"], &[subjects, slices, &[&["chunk"]]]);
        add(&["chunks", "judged_chunks"], &[slices]);
        add(&["drifted_chunks"], &[slices, &[&[], &["column"], &["output"]]]);
        return res;
    }
    add(&of_all, &[slices]);
    if !has_slices {
        add(&["effective_rows"], &[&[&["data"]]]);
    }
    add(&["missing_share"], &[subjects, slices, &[&["data"]]]);
    let of_columns = ["missing_share_difference", "missing_p_value", "unseen_share", "drifted", "p_value"];
    add(&of_columns, &[subjects, slices]);
    add(&["drifted_elements"], &[subjects, slices]);
    let of_parts = [
        "ks_statistic",
        "ks_p_value",
        "wasserstein",
        "wasserstein_normed",
        "chi2_statistic",
        "chi2_p_value",
        "psi",
        "jensen_shannon",
        "score",
        "effect",
    ];
    add(&of_parts, &[subjects, slices, &[&[], &["part"]]]);
    res
}

/// Returns the numbers of all columns and outputs together, given what became of each in so many rows.
pub(crate) fn summary(config: &Config, statuses: &BTreeMap<&Key, Status>, rows: u64, labels: &Labels) -> Vec<Metric> {
    let of = |group: Group| statuses.iter().filter(move |it| it.0.0 == group).map(|it| (it.0, it.1));
    let count = |group: Group| Tally::of(|is| of(group).filter(|it| is(it.1)).count() as f64);
    // What is computed from nothing has an n of nothing.
    let n_of = |tally: Tally| if tally.compared > 0.0 { rows } else { 0 };
    let features = count(Group::Feature);
    let drifted = if features.compared > 0.0 { features.drifted } else { f64::NAN };
    let of_features = [
        features.metric("drifted_share"),
        Metric::new("drifted_columns", drifted).interval(features.bounds(1.0)),
        Metric::new("compared_columns", features.compared),
        Metric::new("n_columns", of(Group::Feature).count() as f64),
    ];
    let mut res: Vec<_> = of_features.into_iter().map(|it| it.n(n_of(features))).collect();
    if !config.importance.is_empty() {
        let weigh = |is: fn(&Status) -> bool| -> f64 {
            of(Group::Feature).filter(|it| is(it.1)).map(|it| config.importance_of(&it.0.1)).sum()
        };
        let weighted = Tally::of(weigh);
        res.push(weighted.metric("weighted_drifted_share").n(n_of(weighted)));
    }
    if of(Group::Output).next().is_some() {
        let outputs = count(Group::Output);
        res.push(outputs.metric("prediction_drift").n(n_of(outputs)));
    }
    res.into_iter().map(|it| it.labels(labels)).collect()
}

/// Returns how many rows that count alike the weighted rows of each role are worth.
fn effective_rows(reference: &Kept, current: &Kept) -> Vec<Metric> {
    let of = |(data, kept): (&str, &Kept)| {
        let size = kept.effective_rows()?;
        Some(Metric::new("effective_rows", size).n(kept.rows.rows()).label("data", data))
    };
    DATA.into_iter().zip([reference, current]).filter_map(of).collect()
}

/// Returns the check that something was compared, where nothing was: what was not looked at has not passed.
pub(crate) fn nothing_compared<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Option<Check> {
    let is_any = decisions.into_iter().any(Decision::is_compared);
    (!is_any).then(|| Check::not_checked("compared_columns", "> 0", "no column could be compared: see the gaps"))
}

/// Appends the numbers of one column or output, under these labels and its own.
pub(crate) fn column_metrics(config: &Config, decision: &Decision, under: &Labels, res: &mut Vec<Metric>) {
    let comparison = &decision.comparison;
    let mut labels = labels(&comparison.key);
    labels.extend(under.clone());
    let (reference, current) = (comparison.reference, comparison.current);
    if matches!(comparison.outcome, Outcome::Mismatch(_)) {
        return;
    }
    for (data, side) in DATA.into_iter().zip([reference, current]) {
        res.push(Metric::new("missing_share", side.missing_share()).n(side.rows).labels(&labels).label("data", data));
    }
    let mut push = |name: &str, value: f64, bounds: Option<Interval>| {
        res.push(Metric::new(name, value).n(current.rows).labels(&labels).interval(bounds));
    };
    push("missing_share_difference", comparison.missing_difference(), None);
    if let Some(it) = decision.missing_p {
        push("missing_p_value", it, None);
    }
    if comparison.is_categorical() {
        let (least, most) = comparison.unseen.as_ref().map_or((0.0, 0.0), |it| (it.share, it.most));
        let bounds = (least < most).then(|| Interval::certain(least, most));
        push("unseen_share", least, bounds);
    }
    let Some(part) = decision.leading_part().filter(|_| decision.is_compared()) else { return };
    push("drifted", f64::from(u8::from(decision.is_drifted())), None);
    if let Some(it) = decision.p_value {
        push("p_value", it, None);
    }
    part_metrics(part, &labels, current.usable_alike(), res);
    let parts = comparison.parts();
    if parts.len() == 1 {
        return;
    }
    let is_element = |it: &&Part| matches!(it.name, Some(PartName::Element(_)));
    let is_drifted = |it: &&Part| it.is_large() && it.score.p_value * parts.len() as f64 <= config.alpha();
    let n_drifted = parts.iter().filter(is_element).filter(is_drifted).count();
    res.push(Metric::new("drifted_elements", n_drifted as f64).n(current.usable_alike()).labels(&labels));
    for part in parts.iter().filter(|it| !is_element(it)) {
        let name = part.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut labels = labels.clone();
        labels.insert("part".to_owned(), name);
        part_metrics(part, &labels, current.usable_alike(), res);
    }
}

fn part_metrics(part: &Part, labels: &Labels, n: u64, res: &mut Vec<Metric>) {
    let mut push = |name: &str, value: f64, interval: Option<Interval>| {
        res.push(Metric::new(name, value).n(n).labels(labels).interval(interval));
    };
    if let Some(ks) = part.score.ks {
        push("ks_statistic", ks.statistic, None);
        push("ks_p_value", ks.p_value, None);
    }
    match &part.detail {
        Detail::Numeric { wasserstein, wasserstein_normed, .. } => {
            push("wasserstein", *wasserstein, None);
            push("wasserstein_normed", *wasserstein_normed, None);
        }
        Detail::Categorical { chi2_statistic, chi2_p_value, .. } => {
            chi2_statistic.iter().for_each(|it| push("chi2_statistic", *it, None));
            chi2_p_value.iter().for_each(|it| push("chi2_p_value", *it, None));
        }
    }
    push("psi", part.psi, part.bounds.psi);
    push("jensen_shannon", part.jensen_shannon, part.bounds.jensen_shannon);
    if let Some(peer) = part.peer {
        push("score", peer.value, None);
    }
    let effect = part.score.effect;
    let interval = effect.interval.map(|it| Interval { low: it.low, high: it.high, level: it.level });
    push("effect", effect.value, interval);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_shares_are_bounded_by_one_rule() {
        let config: Config = serde_json::from_value(json!({ "importance": { "*": 1.0 } })).unwrap();
        let status =
            |is_compared: bool, is_drifted: bool| Status { is_compared, is_drifted, is_untested: !is_compared };
        let shares = |of: &[Status]| {
            let keys: Vec<Key> = [Group::Feature, Group::Output]
                .into_iter()
                .flat_map(|group| (0..of.len()).map(move |at| (group, format!("c{at}"))))
                .collect();
            let statuses = keys.iter().zip(of.iter().chain(of).copied()).collect();
            let metrics = summary(&config, &statuses, 9, &Labels::new());
            ["drifted_share", "weighted_drifted_share", "prediction_drift"].map(|name| {
                let it = metrics.iter().find(|it| it.name == name).unwrap();
                (it.value.to_string(), it.interval, it.n)
            })
        };
        let (drifted, same, unknown) = (status(true, true), status(true, false), status(false, false));
        for (of, value, bounds, n) in [
            (vec![drifted, same], "0.5", None, 9),
            (vec![drifted, same, unknown, unknown], "0.5", Some(Interval::certain(0.25, 0.75)), 9),
            // Of nothing there is no share, and no bounds of one either.
            (vec![unknown, unknown], "NaN", None, 0),
        ] {
            for found in shares(&of) {
                assert_eq!(found, (value.to_owned(), bounds, n));
            }
        }
    }
}
