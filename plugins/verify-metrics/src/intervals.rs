//! Intervals with a closed form.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::intervals::{
    PairedCounts, newcombe_paired, student_t_quantile, two_sided_z, wilson_bounds, wilson_share,
};

use crate::{
    mass::Mass,
    measure::{Measure, Of},
    row::Layout,
    spread::Spread,
    tally::Tally,
    tasks,
    value::union,
};

/// Returns whether an interval has a width. Values that never vary, as of a perfect model or between two that answer alike,
/// say nothing about how much they could.
pub(crate) fn has_width(it: &Interval) -> bool {
    it.low < it.high
}

/// Returns whether there are too few weighted rows for an interval of a metric.
pub(crate) fn is_of_too_few(measure: Measure, tally: &Tally) -> bool {
    let is_of_squares = matches!(measure, Measure::Mse | Measure::Rmse | Measure::Msle | Measure::Rmsle);
    is_of_squares && tally.all.effective_if_fewer().is_some_and(|it| it < MIN_WEIGHTED_SQUARES)
}

/// Returns the closed-form interval of a metric over all rows: Wilson's for shares, and for the F
/// of a class that of the share of hits among rows that have or are given the class, `J`, of which
/// F1 is the increasing function `2J / (1 + J)`.
pub(crate) fn closed_form(measure: Measure, tally: &Tally, model: usize, level: f64) -> Option<Interval> {
    if tally.models[model].unusable > 0 {
        return None;
    }
    if let Some((hits, n)) = measure.share(tally, model) {
        return share(hits, n, level);
    }
    match measure {
        Measure::Summed(kind, metric) => {
            let (hits, all) = tasks::of(kind).share(metric, &tally.models[model].sums, tally.all.weight)?;
            let effective = tally.all.effective() * all / tally.all.weight;
            let found = wilson_share((hits / all).clamp(0.0, 1.0), effective, level).ok()?;
            Some(Interval { low: found.low, high: found.high, level })
        }
        Measure::F1(Of::Class(class) | Of::Positive(class)) => f_beta(tally, model, class, 1.0, level),
        Measure::FBeta(Of::Class(class) | Of::Positive(class), beta) => f_beta(tally, model, class, beta, level),
        _ => None,
    }
}

/// The least effective number of weighted rows of which a mean of squares has an interval: of fewer it misses the true value above it more
/// often than it promises, where the rows with great errors weigh more.
const MIN_WEIGHTED_SQUARES: f64 = 150.0;

/// Returns the interval of a metric of a slice: in addition to [`closed_form`] that of means (Student's
/// t, of losses that of their logarithms) and of averages over classes, from the variances that the classes' intervals stand for
/// (Zou & Donner 2008).
pub(crate) fn of_slice(measure: Measure, tally: &Tally, model: usize, level: f64) -> Option<Interval> {
    if let Some(found) = closed_form(measure, tally, model, level) {
        return Some(found);
    }
    let of = &tally.models[model];
    if of.unusable > 0 || (measure.needs_scores() && of.classes.improper > 0) {
        return None;
    }
    if is_of_too_few(measure, tally) {
        return None;
    }
    let found = || mean_loss(averaged(measure, tally, model)?, level);
    match measure {
        Measure::Precision(Of::Present) => {
            average(measure, tally, model, level, 1.0, |it| Measure::Precision(Of::Class(it)))
        }
        Measure::Recall(Of::Present) | Measure::BalancedAccuracy => {
            average(measure, tally, model, level, 1.0, |it| Measure::Recall(Of::Class(it)))
        }
        Measure::Fnr(Of::Present) => average(measure, tally, model, level, 1.0, |it| Measure::Fnr(Of::Class(it))),
        Measure::Npv(Of::Present) => average(measure, tally, model, level, 1.0, |it| Measure::Npv(Of::Class(it))),
        Measure::Fpr(Of::Present) => average(measure, tally, model, level, 1.0, |it| Measure::Fpr(Of::Class(it))),
        Measure::Specificity(Of::Present) => {
            average(measure, tally, model, level, 1.0, |it| Measure::Specificity(Of::Class(it)))
        }
        // A row that is wrong counts in the F of two classes, which at most doubles the variance of their mean.
        Measure::F1(Of::Present) => average(measure, tally, model, level, 2.0, |it| Measure::F1(Of::Class(it))),
        Measure::FBeta(Of::Present, beta) => {
            average(measure, tally, model, level, 2.0, |it| Measure::FBeta(Of::Class(it), beta))
        }
        Measure::Rmse | Measure::Rmsle => {
            found().map(|it| Interval { low: it.low.sqrt(), high: it.high.sqrt(), level })
        }
        Measure::Bias => mean(averaged(measure, tally, model)?, level),
        _ => found(),
    }
}

/// Returns the degrees of freedom of the interval of a metric of a slice, or of its difference, where it is Student's t.
pub(crate) fn degrees_of_freedom(measure: Measure, tally: &Tally, model: usize) -> Option<f64> {
    averaged(measure, tally, model).map(degrees).filter(|&it| it > 0.0)
}

/// Returns the values that a metric of a slice is the mean of, or the root of the mean.
fn averaged(measure: Measure, tally: &Tally, model: usize) -> Option<&Spread> {
    let of = &tally.models[model];
    Some(match measure {
        Measure::LogLoss => &of.classes.log_loss,
        Measure::Brier => &of.classes.brier,
        Measure::Hinge => &of.classes.hinge,
        Measure::Mape => &of.numbers.percentage,
        Measure::Smape => &of.numbers.symmetric_percentage,
        Measure::Msle | Measure::Rmsle => &of.numbers.squared_logarithm,
        Measure::Mae => &of.numbers.absolute,
        Measure::Mse | Measure::Rmse => &of.numbers.squared,
        Measure::Bias => &of.numbers.error,
        _ => return None,
    })
}

/// Rows of unequal weight have as many as rows of equal weight that would estimate as well (Kish 1965).
fn degrees(spread: &Spread) -> f64 {
    spread.mass.effective() - 1.0
}

/// Returns the paired interval of a difference with a closed form: Newcombe's for accuracy.
pub(crate) fn paired(measure: Measure, layout: &Layout, tally: &Tally, level: f64) -> Option<Interval> {
    let is_usable = tally.models.iter().all(|it| it.unusable == 0) && layout.has_baseline();
    if measure != Measure::Accuracy || !is_usable || layout.has_weights {
        return None;
    }
    let it = &tally.pair;
    let counts = PairedCounts {
        both: it.both_right.n,
        first_only: it.candidate_only.n,
        second_only: it.baseline_only.n,
        neither: it.neither.n,
    };
    newcombe_paired(counts, level).ok().map(|it| Interval { low: it.low, high: it.high, level })
}

/// Returns the interval of a difference in a slice: in addition to [`paired`] Student's t of the
/// differences of the rows' losses, and else that of two independent estimates (MOVER), which is too
/// wide where the models agree, never too narrow. None where it has no width.
pub(crate) fn slice_difference(
    measure: Measure,
    layout: &Layout,
    tally: &Tally,
    values: [f64; 2],
    intervals: [Option<Interval>; 2],
    level: f64,
) -> Option<Interval> {
    let is_paired_loss = matches!(measure, Measure::LogLoss | Measure::Mae);
    let unpaired = || {
        let [left, right] = [intervals[0]?, intervals[1]?];
        if is_paired_loss {
            return mean(&tally.pair.loss, level);
        }
        Some(Interval::of_difference((values[0], left), (values[1], right)))
    };
    paired(measure, layout, tally, level).or_else(unpaired).filter(has_width)
}

/// Returns the interval of the difference of two estimates that go together, each with its interval of one level: the method of variance
/// estimates recovery (Zou & Donner 2008), which is Newcombe's of paired shares (1998, method 10) for any intervals.
pub(crate) fn of_correlated([left, right]: [(f64, Interval); 2], correlation: f64) -> Interval {
    let ((left, of_left), (right, of_right)) = (left, right);
    let distance = |x: f64, y: f64| (x * x - 2.0 * correlation * x * y + y * y).max(0.0).sqrt();
    Interval {
        low: left - right - distance(left - of_left.low, of_right.high - right),
        high: left - right + distance(of_left.high - left, right - of_right.low),
        level: of_left.level,
    }
}

/// Returns Wilson's interval of a share, for as many rows of equal weight as would have its variance.
///
/// Of rows of unequal weight that variance is estimated, and its quantile Student's, of [their effective number](Mass::effective) less one
/// (Dean & Pagano 2015). Nor do the rows that are counted tell what others weigh that might have been, so that no bound is nearer than that
/// of none counted, or of all, where one as heavy as the heaviest may come next.
pub(crate) fn share(hits: Mass, all: Mass, level: f64) -> Option<Interval> {
    let z = two_sided_z(level).ok()?;
    let bounds = |hits: Mass, quantile: f64| wilson_bounds(hits.share_of(all), hits.effective_of(all), quantile).ok();
    let is_even = all.heaviest * all.n as f64 <= (1.0 + 1e-9) * all.weight;
    if is_even && all.effective_if_fewer().is_none() {
        let (low, high) = bounds(hits, z)?;
        return Some(Interval { low, high, level });
    }
    let quantile = match all.effective() - 1.0 {
        _ if hits.is_none_or_all_of(all) => z,
        // Of one row whose weight is nearly all the variance is not known at all.
        degrees => student_t_quantile((1.0 + level) / 2.0, degrees).unwrap_or(f64::INFINITY),
    };
    let (low, high) = bounds(hits, quantile)?;
    let (_, of_none) = bounds(Mass::default(), z)?;
    // The rows of such a share weigh Σw² / Σw each, as many as are as good as all.
    let ratio = (all.heaviest * all.weight / all.squares).max(1.0);
    let of_none = ratio * of_none / (ratio * of_none + 1.0 - of_none);
    Some(Interval { low: low.min(1.0 - of_none), high: high.max(of_none), level })
}

/// Returns Student's interval of a mean.
pub(crate) fn mean(spread: &Spread, level: f64) -> Option<Interval> {
    let half = student_t_quantile((1.0 + level) / 2.0, degrees(spread)).ok()? * spread.standard_error();
    let (low, high) = (spread.mean() - half, spread.mean() + half);
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
}

/// Returns the interval of a mean of losses, none of which is negative: Student's of its logarithm, whose standard error is that of the mean
/// relative to it (delta method; Meeker, Hahn & Escobar 2017, section 7.2.3).
///
/// Losses are skewed, and means of few of them more often far below the truth than above it.
fn mean_loss(spread: &Spread, level: f64) -> Option<Interval> {
    let (value, half) = (spread.mean(), mean(spread, level)?.high - spread.mean());
    let factor = (half / value).exp();
    let (low, high) = (value / factor, value * factor);
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
}

/// Returns the interval of an F of a class, from that of the share `J` of hits among the rows that have or are given it, those that are not
/// given it being β² rows each: it is the increasing function `(1 + β²) J / (1 + β² J)` of that share.
fn f_beta(tally: &Tally, model: usize, class: usize, beta: f64, level: f64) -> Option<Interval> {
    let classes = &tally.models[model].classes;
    let (hits, square) = (classes.hits[class], beta * beta);
    let mut counted = classes.predicted[class] + (tally.truth[class] - hits).weighing(square);
    // Where all rows that were seen are of one kind, one of the other may come next, and weigh more.
    counted.heaviest = union(tally, classes, class).heaviest * square.max(1.0);
    let found = share(hits, counted, level)?;
    let of_share = |it: f64| (1.0 + square) * it / (1.0 + square * it);
    Some(Interval { low: of_share(found.low), high: of_share(found.high), level })
}

/// Returns the interval of a mean over classes, whose variance is at most `shared` times that of independent ones.
///
/// It is symmetric: Wilson's intervals lean toward the middle, and the leanings of many would add up where their widths do not.
fn average(
    measure: Measure,
    tally: &Tally,
    model: usize,
    level: f64,
    shared: f64,
    of: impl Fn(usize) -> Measure,
) -> Option<Interval> {
    let present: Vec<usize> = (0..tally.truth.len()).filter(|&it| tally.truth[it].weight > 0.0).collect();
    if let [only] = present[..] {
        return closed_form(of(only), tally, model, level);
    }
    let (mut squares, mut per_degree) = (0.0f64, 0.0);
    for &class in &present {
        let value = of(class).value(tally, model);
        // A class that is never predicted counts as 0 and may be anything.
        let (low, high) = closed_form(of(class), tally, model, level).map_or((0.0, 1.0), |it| (it.low, it.high));
        let value = if value.is_nan() { 0.0 } else { value };
        let square = ((value - low).powi(2) + (high - value).powi(2)) / 2.0;
        squares += square;
        per_degree += square.powi(2) / (tally.truth[class].effective() - 1.0).max(1.0);
    }
    // The degrees of freedom are those of a sum of variances of as many rows as each class has (Satterthwaite 1946, Welch 1947).
    let quantile = |degrees: f64| student_t_quantile((1.0 + level) / 2.0, degrees).ok();
    let wider = quantile(squares.powi(2) / per_degree)? / two_sided_z(level).ok()?;
    let half = wider * (shared * squares).sqrt() / present.len() as f64;
    let value = measure.value(tally, model);
    let (low, high) = ((value - half).max(0.0), (value + half).min(1.0));
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mass(rows: &[(u64, f64)]) -> Mass {
        let mut res = Mass::default();
        rows.iter().for_each(|&(times, weight)| res.add(times, weight));
        res
    }

    /// A light row that is counted says nothing of heavy ones.
    #[test]
    fn a_share_of_few_light_rows_is_no_surer_than_one_of_none() {
        let all = mass(&[(49, 1.0), (1, 10.0)]);
        let none = share(Mass::default(), all, 0.95).unwrap();
        let every = share(all, all, 0.95).unwrap();
        assert!(none.low == 0.0 && none.high > 0.39 && every.high == 1.0 && every.low < 0.61, "{none:?} {every:?}");
        for n in [1, 4] {
            let few = share(mass(&[(n, 1.0)]), all, 0.95).unwrap();
            assert!(few.high >= none.high && few.low > 0.0, "{few:?} {none:?}");
            let most = share(mass(&[(49 - n, 1.0), (1, 10.0)]), all, 0.95).unwrap();
            assert!(most.low <= every.low && most.high < 1.0, "{most:?} {every:?}");
        }
        // Of equal weights it is Wilson's.
        let plain = wilson_share(0.1, 50.0, 0.95).unwrap();
        let found = share(mass(&[(5, 2.5)]), mass(&[(50, 2.5)]), 0.95).unwrap();
        assert!((found.low - plain.low).abs() < 1e-12 && (found.high - plain.high).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_share_has_an_interval_however_few_rows_weigh_all() {
        for heavy in [2.0, 20.0, 1e3, 1e9] {
            let all = mass(&[(10, 1.0), (1, heavy)]);
            for level in [0.95, 0.999, 1.0 - 0.05 / 10_000.0] {
                for hits in [mass(&[(3, 1.0)]), mass(&[(3, 1.0), (1, heavy)])] {
                    let (found, value) = (share(hits, all, level).unwrap(), hits.share_of(all));
                    assert!(
                        0.0 <= found.low && found.low <= value && value <= found.high && found.high <= 1.0,
                        "{found:?}"
                    );
                    assert!(heavy < 1e3 || found.high - found.low > 0.99, "{heavy}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn estimates_that_go_together_differ_less_surely_the_less_they_do() {
        let of = |value: f64, low: f64, high: f64| (value, Interval { low, high, level: 0.95 });
        let both = [of(0.8, 0.66, 0.89), of(0.7, 0.56, 0.81)];
        let is_near = |left: Interval, [low, high]: [f64; 2]| {
            assert!((left.low - low).abs() < 1e-12 && (left.high - high).abs() < 1e-12, "{left:?}");
        };
        let independent = Interval::of_difference(both[0], both[1]);
        is_near(of_correlated(both, 0.0), [independent.low, independent.high]);
        // √(x² - 2xy + y²) is what is left of √(x² + y²).
        is_near(of_correlated(both, 1.0), [0.1 - 0.03, 0.1 + 0.05]);
        // Newcombe (1998), table II: 36, 12, 2, 0, whose φ is -0.1147.
        let counts = PairedCounts { both: 36, first_only: 12, second_only: 2, neither: 0 };
        let share = |it: f64| wilson_share(it, 50.0, 0.95).map(|found| of(it, found.low, found.high));
        let (expected, phi) = (newcombe_paired(counts, 0.95), -24.0 / (48.0 * 2.0 * 38.0 * 12.0_f64).sqrt());
        let found = of_correlated([share(0.96), share(0.76)].map(Result::unwrap), phi);
        let expected = expected.unwrap();
        is_near(found, [expected.low, expected.high]);
    }
}
