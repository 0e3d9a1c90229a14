//! The comparison with trivial models that know the labels' distribution and nothing else.
//!
//! Skill is the share of the way from the trivial model to a perfect one (Murphy 1988): 1 is perfect, 0 no better than
//! trivial, less is worse. The trivial model of `accuracy` predicts the most frequent class, that of `log_loss` and `brier`
//! the share of each class, that of `mse` the mean of the labels and that of `mae` their median. Of sets of labels, that of `subset_accuracy`
//! predicts the most frequent set, and that of `hamming_loss` of each label what most rows have. It is given the labels of
//! the very rows that are judged, which makes it a little stronger than one that was trained.
//! Intervals take into account that what the trivial model scores is estimated from these rows; those of `log_loss`, `brier`, `mae` and sets of labels have none.

use modelwatch_sdk::{
    Report,
    report::{Better, Interval, Labels, Metric},
};

use modelwatch_stats::intervals::student_t_quantile;

use crate::{
    bounds::Bounds, config::Task, evaluate::Evaluation, mass::Mass, measure::Measure, ranking::Ranked, row::Layout,
    summed::Kind, trivial_sets,
};

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
    /// Returns the same beside another trivial model.
    pub(crate) fn with(self, trivial: f64) -> Self {
        Self { trivial, ..self }
    }

    /// Returns the skill; NaN where the trivial model is perfect.
    pub(crate) fn skill(self) -> f64 {
        let all = self.perfect - self.trivial;
        if all == 0.0 { f64::NAN } else { (self.value - self.trivial) / all }
    }
}

/// Returns the measures of which there can be a skill.
pub(crate) fn measures(task: Task) -> &'static [Measure] {
    match task {
        Task::Regression => &[Measure::Mse, Measure::Mae],
        Task::MultiLabel => &trivial_sets::MEASURES,
        _ => &[Measure::Accuracy, Measure::LogLoss, Measure::Brier],
    }
}

/// Returns whether the skill of a measure has an interval.
pub(crate) fn has_interval(measure: Measure) -> bool {
    matches!(measure, Measure::Accuracy | Measure::Mse)
}

/// Adds the candidate's skills to the report.
pub(crate) fn compare(evaluation: &Evaluation<'_>, report: &mut Report) {
    if !evaluation.wants("skill") {
        return;
    }
    let level = evaluation.host.confidence("skill");
    for it in skills(evaluation) {
        let labels = Labels::from([("metric".to_owned(), it.measure.name().to_owned())]);
        let skill = it.skill();
        let interval = match it.measure {
            Measure::Accuracy => of_accuracy(evaluation, level),
            // That of the mean square is the coefficient of determination.
            Measure::Mse => evaluation.interval(Measure::R2, 0, level),
            _ => None,
        };
        let metric =
            Metric::new("skill", skill).n(evaluation.tally().all.n).labels(&labels).better(Some(Better::Higher));
        let metric = metric.bounds(bounds(evaluation, it).map(Bounds::interval));
        report.metrics.push(metric.interval(interval.filter(|_| skill.is_finite())));
    }
}

/// Returns the bounds of a skill over the median of a sample of the rows; none of others.
///
/// What the median scores is at most the standard deviation of the labels, which is of all rows. Nothing bounds what single labels that are
/// not kept are away from it, and so nothing else bounds their mean.
pub(crate) fn bounds(evaluation: &Evaluation<'_>, it: Trivial) -> Option<Bounds> {
    if is_of_sets(evaluation.layout) {
        return trivial_sets::bounds(evaluation, it);
    }
    evaluation.share.filter(|_| it.measure == Measure::Mae && it.skill().is_finite())?;
    let tally = evaluation.tally();
    let deviation = (tally.labels.m2() / tally.all.weight).sqrt();
    let skill = |trivial: f64| it.with(trivial).skill();
    Bounds::around(&[it.skill(), f64::NEG_INFINITY, skill(deviation)])
}

/// Returns the interval of the skill of accuracy, of which the share of the most frequent class is estimated from the same rows.
///
/// Over a class it is `1 - e / u`, for the share `e` of rows that are wrong and `u` of rows with other labels; the logarithm of the ratio has the
/// variance `((1 - e) / e + (1 - u) / u - 2 (p / (e u) - 1)) / n`, for the share `p` of rows that are both (Katz et al. 1978, paired). The skill is
/// the least of those over each class, and so are the bounds: the class that is the most frequent one is not known. None with weights, and none
/// where nothing varies: a variance of 0 is that of a few rows that happen to be all right, or wrong just where the class is another one.
fn of_accuracy(evaluation: &Evaluation<'_>, level: f64) -> Option<Interval> {
    let tally = evaluation.tally();
    let of = &tally.models[0];
    if evaluation.layout.has_weights || of.unusable > 0 {
        return None;
    }
    let n = tally.all.weight;
    let misses: Vec<f64> =
        tally.truth.iter().zip(&of.classes.hits).map(|(all, hits)| all.weight - hits.weight).collect();
    let all_misses: f64 = misses.iter().sum();
    // Asked of the counts: rounding hides a variance of 0.
    let varies = |class: &Mass, misses: f64| all_misses + (n - class.weight) > 2.0 * (all_misses - misses);
    if all_misses == 0.0 || !tally.truth.iter().zip(&misses).all(|(class, misses)| varies(class, *misses)) {
        return None;
    }
    let quantile = student_t_quantile((1.0 + level) / 2.0, n - 1.0).ok()?;
    let (mut low, mut high) = (f64::INFINITY, f64::INFINITY);
    for (class, misses) in tally.truth.iter().zip(misses) {
        let (wrong, others, both) = (all_misses / n, 1.0 - class.weight / n, (all_misses - misses) / n);
        let variance = (1.0 / wrong + 1.0 / others - 2.0 * both / (wrong * others)) / n;
        let half = quantile * variance.max(0.0).sqrt();
        low = low.min(1.0 - wrong / others * half.exp());
        high = high.min(1.0 - wrong / others * (-half).exp());
    }
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
}

/// Returns the comparisons that the task and the output allow.
pub(crate) fn skills(evaluation: &Evaluation<'_>) -> Vec<Trivial> {
    let tally = evaluation.tally();
    let is_of_sets = is_of_sets(evaluation.layout);
    if evaluation.layout.sums.is_some() && !is_of_sets {
        return Vec::new();
    }
    let of = |measure: Measure, trivial: f64, perfect: f64| Trivial {
        measure,
        trivial,
        perfect,
        value: evaluation.value(measure, 0),
    };
    if is_of_sets {
        return trivial_sets::scores(evaluation)
            .map(|(measure, trivial, perfect)| of(measure, trivial, perfect))
            .into();
    }
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

fn is_of_sets(layout: &Layout) -> bool {
    layout.sums.as_ref().is_some_and(|it| it.kind == Kind::MultiLabel)
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
