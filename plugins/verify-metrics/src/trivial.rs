//! The comparison with trivial models that know the labels' distribution and nothing else.
//!
//! Skill is the share of the way from the trivial model to a perfect one (Murphy 1988): 1 is perfect, 0 no better than
//! trivial, less is worse. The trivial model of `accuracy` predicts the most frequent class, that of `log_loss` and `brier`
//! the share of each class, that of `mse` the mean of the labels and that of `mae` their median. It is given the labels of
//! the very rows that are judged, which makes it a little stronger than one that was trained.

use modelwatch_sdk::{
    Report,
    report::{Better, Interval, Labels, Metric},
};

use crate::{evaluate::Evaluation, measure::Measure, ranking::Ranked, row::Layout};

/// What a skill is of, and what the trivial model scores there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trivial {
    pub(crate) measure: Measure,
    /// What the trivial model scores.
    pub(crate) trivial: f64,
    /// What a perfect model scores.
    perfect: f64,
    /// What the candidate scores.
    pub(crate) value: f64,
}

impl Trivial {
    /// Returns the skill; NaN where the trivial model is perfect.
    pub(crate) fn skill(self) -> f64 {
        let all = self.perfect - self.trivial;
        if all == 0.0 { f64::NAN } else { (self.value - self.trivial) / all }
    }
}

/// Adds the candidate's skills to the report.
pub(crate) fn compare(evaluation: &Evaluation<'_>, report: &mut Report) {
    if !evaluation.wants("skill") {
        return;
    }
    let level = evaluation.host.confidence("skill");
    for it in skills(evaluation) {
        let labels = Labels::from([("metric".to_owned(), it.measure.name().to_owned())]);
        let of = |value: f64| Trivial { value, ..it }.skill();
        let interval = evaluation.interval(it.measure, 0, level).map(|found| {
            let (left, right) = (of(found.low), of(found.high));
            Interval { low: left.min(right), high: left.max(right), level }
        });
        let skill = it.skill();
        let metric =
            Metric::new("skill", skill).n(evaluation.tally().all.n).labels(&labels).better(Some(Better::Higher));
        report.metrics.push(metric.interval(interval.filter(|_| skill.is_finite())));
    }
}

/// Returns the comparisons that the task and the output allow.
pub(crate) fn skills(evaluation: &Evaluation<'_>) -> Vec<Trivial> {
    let tally = evaluation.tally();
    if evaluation.layout.sums.is_some() {
        return Vec::new();
    }
    let of = |measure: Measure, trivial: f64, perfect: f64| Trivial {
        measure,
        trivial,
        perfect,
        value: evaluation.value(measure, 0),
    };
    if evaluation.layout.is_regression() {
        let variance = tally.labels.m2() / tally.all.weight;
        return vec![of(Measure::Mse, variance, 0.0), of(Measure::Mae, median_error(evaluation), 0.0)];
    }
    let shares: Vec<f64> = tally.truth.iter().map(|it| it.share_of(tally.all)).collect();
    let mut res = vec![of(Measure::Accuracy, shares.iter().copied().fold(0.0, f64::max), 1.0)];
    if evaluation.layout.models[0].is_scored {
        let entropy = shares.iter().filter(|it| **it > 0.0).map(|it| -it * it.ln()).sum();
        res.push(of(Measure::LogLoss, entropy, 0.0));
        res.push(of(Measure::Brier, brier(evaluation.layout, &shares), 0.0));
    }
    res
}

fn brier(layout: &Layout, shares: &[f64]) -> f64 {
    let all = 1.0 - shares.iter().map(|it| it * it).sum::<f64>();
    if layout.positive.is_some() { all / 2.0 } else { all }
}

/// Returns the mean distance of the kept rows' labels from their median.
fn median_error(evaluation: &Evaluation<'_>) -> f64 {
    let labels: Vec<f64> = evaluation.rows.iter().map(|it| Layout::label_number(it.0)).collect();
    let masses = evaluation.rows.masses();
    let median = Ranked::new(&labels).quantile(&masses, 0.5);
    let sum: f64 = labels.iter().zip(&masses).map(|(label, mass)| (label - median).abs() * mass).sum();
    sum / masses.iter().sum::<f64>()
}
