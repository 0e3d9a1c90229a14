//! Metrics of how scores rank two kinds of rows: areas under curves, and points on them.
//!
//! All take the weight of positive and negative rows at each distinct score. Of a histogram the true
//! value lies between those of two orders within each bin: see [`extremes`].

use crate::totals::ScoreHistogram;

/// The weight of positive and of negative rows at each distinct score, in ascending order of scores.
pub(crate) type Groups = Vec<(f64, f64)>;

/// Returns the groups of a histogram.
pub(crate) fn histogram_groups(histogram: &ScoreHistogram) -> Groups {
    histogram.positive.iter().copied().zip(histogram.negative.iter().copied()).collect()
}

/// Returns the probability that a positive row scores above a negative one, ties counting half
/// (Hanley & McNeil 1982); NaN without positive or without negative rows.
pub(crate) fn roc_auc(groups: &[(f64, f64)]) -> f64 {
    let (mut above, mut positives, mut negatives) = (0.0, 0.0, 0.0);
    for &(positive, negative) in groups {
        above += positive * (negatives + negative / 2.0);
        positives += positive;
        negatives += negative;
    }
    above / (positives * negatives)
}

/// Returns the average precision `Σ (R_i - R_{i-1}) P_i` over descending scores; NaN without
/// positive rows.
pub(crate) fn average_precision(groups: &[(f64, f64)]) -> f64 {
    let (mut point, mut sum) = (Point::default(), 0.0);
    for &(positive, negative) in groups.iter().rev() {
        point.add(positive, negative);
        if positive > 0.0 {
            sum += positive * point.precision();
        }
    }
    sum / point.hits
}

/// Returns the area under the precision-recall curve by the trapezoid rule, from precision 1 at recall 0
/// (scikit-learn's `auc` of its `precision_recall_curve`). It is too high where few scores are distinct (Davis &
/// Goadrich 2006): the average precision is the metric to judge by.
pub(crate) fn pr_auc(groups: &[(f64, f64)]) -> f64 {
    let (mut point, mut precision, mut sum) = (Point::default(), 1.0, 0.0);
    for &(positive, negative) in groups.iter().rev() {
        point.add(positive, negative);
        if positive > 0.0 || negative > 0.0 {
            let before = std::mem::replace(&mut precision, point.precision());
            sum += positive * (precision + before) / 2.0;
        }
    }
    sum / point.hits
}

/// Returns the integral of precision over recall where the positive rows of each group have distinct scores, and the negative ones of the
/// group score above all of them; NaN without positive rows.
///
/// Of `T` positive and `F` negative rows before, `p` positive rows add `p - F ln((T + F + p) / (T + F))`. Precision grows along them: steps at
/// the end of each, as those of the average precision, lie above the integral, and as it is concave, chords below.
pub(crate) fn integral(groups: &[(f64, f64)]) -> f64 {
    let (mut hits, mut alarms, mut sum) = (0.0f64, 0.0f64, 0.0f64);
    for &(positive, negative) in groups.iter().rev() {
        alarms += negative;
        let missed = if alarms > 0.0 { alarms * (positive / (hits + alarms)).ln_1p() } else { 0.0 };
        sum += (positive - missed).max(0.0);
        hits += positive;
    }
    sum / hits
}

/// Returns the greatest distance between the distributions of the scores of positive and of negative rows
/// (Kolmogorov & Smirnov), which is also the greatest `TPR - FPR`.
pub(crate) fn ks(groups: &[(f64, f64)]) -> f64 {
    let (positives, negatives) = totals(groups);
    if positives == 0.0 || negatives == 0.0 {
        return f64::NAN;
    }
    sweep(groups).map(|it| (it.hits / positives - it.alarms / negatives).abs()).fold(0.0, f64::max)
}

/// Returns how much more frequent positive rows are among the `share` of rows with the highest scores than among
/// all (Berry & Linoff 1999); rows of one score are taken in equal parts.
pub(crate) fn lift(groups: &[(f64, f64)], share: f64) -> f64 {
    let (positives, negatives) = totals(groups);
    let wanted = share * (positives + negatives);
    let (mut hits, mut left) = (0.0, wanted);
    for &(positive, negative) in groups.iter().rev() {
        let all = positive + negative;
        if all > left {
            hits += positive * (left / all);
            break;
        }
        hits += positive;
        left -= all;
    }
    if positives == 0.0 { f64::NAN } else { hits / wanted / (positives / (positives + negatives)) }
}

/// Returns the greatest precision of a threshold whose recall is at least `level`; NaN without positive rows.
pub(crate) fn precision_at_recall(groups: &[(f64, f64)], level: f64) -> f64 {
    let positives = totals(groups).0;
    // The order of summation must not lose a recall of 1.
    let enough = level * positives * (1.0 - 1e-12);
    let found = sweep(groups).filter(|it| it.hits >= enough).map(Point::precision).fold(0.0, f64::max);
    if positives == 0.0 { f64::NAN } else { found }
}

/// Returns the greatest recall of a threshold whose precision is at least `level`, 0 where there is none; NaN
/// without positive rows.
pub(crate) fn recall_at_precision(groups: &[(f64, f64)], level: f64) -> f64 {
    let positives = totals(groups).0;
    let found = sweep(groups).filter(|it| it.precision() >= level).map(|it| it.hits).fold(0.0, f64::max);
    if positives == 0.0 { f64::NAN } else { (found / positives).min(1.0) }
}

/// Returns the groups of a histogram in the two orders of the rows between which all others are.
///
/// The true order of the rows within a bin is unknown. All metrics here are greatest where the positive rows of
/// each bin score highest, and least where they score lowest; ties lie between. Whether the positive rows of a bin are themselves tied
/// matters to the average precision, which is least where they are not, and to the area under the precision-recall curve, which is greatest
/// there: see [`integral`].
pub(crate) fn extremes(groups: &[(f64, f64)]) -> [Groups; 2] {
    let split = |is_best: bool| -> Groups {
        let halves = |&(positive, negative): &(f64, f64)| {
            if is_best { [(0.0, negative), (positive, 0.0)] } else { [(positive, 0.0), (0.0, negative)] }
        };
        groups.iter().filter(|it| it.0 > 0.0 || it.1 > 0.0).flat_map(halves).collect()
    };
    [split(false), split(true)]
}

/// Returns the true positive rate at the given ascending false positive rates.
pub(crate) fn roc_curve(groups: &[(f64, f64)], rates: &[f64]) -> Vec<f64> {
    let (positives, negatives) = totals(groups);
    let mut points = vec![(0.0, 0.0)];
    points.extend(sweep(groups).map(|it| (it.alarms / negatives, it.hits / positives)));
    let at = |rate: f64| {
        let after = points.partition_point(|it| it.0 <= rate);
        let (x0, y0) = points[after.max(1) - 1];
        points.get(after).map_or(1.0, |&(x1, y1)| y0 + (y1 - y0) * (rate - x0) / (x1 - x0))
    };
    rates.iter().map(|&it| at(it)).collect()
}

/// What a threshold finds.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    hits: f64,
    alarms: f64,
}

impl Point {
    /// Adds the rows of the next lower score.
    fn add(&mut self, positive: f64, negative: f64) {
        self.hits += positive;
        self.alarms += negative;
    }

    fn precision(self) -> f64 {
        self.hits / (self.hits + self.alarms)
    }
}

/// Returns what each distinct score finds as a threshold, from the highest on.
fn sweep(groups: &[(f64, f64)]) -> impl Iterator<Item = Point> {
    let mut sums = Point::default();
    groups.iter().rev().filter_map(move |&(positive, negative)| {
        sums.add(positive, negative);
        (positive > 0.0 || negative > 0.0).then_some(sums)
    })
}

fn totals(groups: &[(f64, f64)]) -> (f64, f64) {
    // From the highest on, as the sweep does, so that the last recall is 1.
    groups.iter().rev().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Metric = fn(&[(f64, f64)]) -> f64;

    /// Scores 0.1 (negative), 0.4 (one of each), 0.8 (positive).
    const GROUPS: [(f64, f64); 3] = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)];

    #[test]
    fn ties_count_half() {
        assert_eq!(roc_auc(&GROUPS), 3.5 / 4.0);
        assert_eq!(average_precision(&GROUPS), 0.5 + 0.5 * 2.0 / 3.0);
        assert_eq!(pr_auc(&GROUPS), 0.5 + 0.5 * (1.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(ks(&GROUPS), 0.5);
        assert_eq!(roc_curve(&GROUPS, &[0.0, 0.25, 0.5, 1.0]), [0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn points_on_the_curve() {
        assert_eq!((precision_at_recall(&GROUPS, 0.5), precision_at_recall(&GROUPS, 0.51)), (1.0, 2.0 / 3.0));
        assert_eq!((recall_at_precision(&GROUPS, 1.0), recall_at_precision(&GROUPS, 0.6)), (0.5, 1.0));
        assert_eq!(recall_at_precision(&[(1.0, 0.0), (0.0, 1.0)], 0.9), 0.0);
        // The upper quarter is the positive at 0.8; the upper half has half of the tied pair besides.
        assert_eq!((lift(&GROUPS, 0.25), lift(&GROUPS, 0.5), lift(&GROUPS, 1.0)), (2.0, 1.5, 1.0));
    }

    #[test]
    fn one_class_is_undefined() {
        let positives = [(1.0, 0.0), (1.0, 0.0)];
        assert!(roc_auc(&positives).is_nan() && ks(&positives).is_nan());
        assert_eq!((average_precision(&positives), pr_auc(&positives)), (1.0, 1.0));
        let metrics: [Metric; 5] = [
            average_precision,
            pr_auc,
            |it| lift(it, 0.1),
            |it| precision_at_recall(it, 0.9),
            |it| recall_at_precision(it, 0.9),
        ];
        for metric in metrics {
            assert!(metric(&[(0.0, 1.0)]).is_nan() && metric(&[]).is_nan());
        }
    }

    /// Checks that a metric of rows lies within the bounds that their bins give it.
    fn within(metric: Metric, fine: &Groups, coarse: &Groups) {
        let [worst, best] = extremes(coarse);
        let all = [metric(coarse), metric(&worst), metric(&best), integral(&worst), integral(&best)];
        let [low, high] = [all.into_iter().fold(f64::NAN, f64::min), all.into_iter().fold(f64::NAN, f64::max)];
        let found = metric(fine);
        assert!(low - 1e-12 <= found && found <= high + 1e-12, "{found} in {low} to {high}");
    }

    #[test]
    fn bins_bound_the_error() {
        let fine: Groups = (0..64).map(|it| (f64::from(it * 7 % 11), f64::from((64 - it) * 5 % 13))).collect();
        let coarse: Groups =
            fine.chunks(8).map(|it| it.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1))).collect();
        // Those of precision also need their positives one by one.
        within(average_precision, &fine, &coarse);
        within(pr_auc, &fine, &coarse);
        let metrics: [Metric; 5] =
            [roc_auc, ks, |it| lift(it, 0.1), |it| precision_at_recall(it, 0.9), |it| recall_at_precision(it, 0.55)];
        for (nth, metric) in metrics.into_iter().enumerate() {
            let [worst, best] = extremes(&coarse).map(|it| metric(&it));
            // Of a greatest distance, which has no sign, both orders may be far from none.
            let (low, high) = (worst.min(best).min(metric(&coarse)), worst.max(best));
            let found = metric(&fine);
            assert!(low <= found && found <= high && low < high, "{nth}: {found} in {low} to {high}");
        }
    }

    #[test]
    fn bounds_hold_whether_positives_are_tied_or_not() {
        let ones = |n: usize, it: (f64, f64)| vec![it; n];
        // Many negatives above as many positives in one bin; one negative above many positives in one bin.
        let low: Groups = [ones(1300, (0.0, 1.0)), ones(10, (1.0, 0.0)), ones(10, (0.0, 1.0))].concat();
        let coarse_low: Groups = vec![(0.0, 1300.0), (10.0, 10.0)];
        let high: Groups = [ones(100, (1.0, 0.0)), ones(1, (0.0, 1.0))].concat();
        let coarse_high: Groups = vec![(100.0, 0.0), (0.0, 1.0)];
        for (fine, coarse) in [(&low, &coarse_low), (&high, &coarse_high)] {
            within(average_precision, fine, coarse);
            within(pr_auc, fine, coarse);
        }
        let [worst, _] = extremes(&coarse_low);
        assert!(average_precision(&low) < 0.36 && average_precision(&worst) == 0.5);
        // All orders and ties of three positives and two negatives in a bin, below one row of each kind.
        for order in 0..32_u32 {
            if order.count_ones() != 3 {
                continue;
            }
            for ties in 0..16_u32 {
                let mut fine: Groups = Vec::new();
                for nth in 0..5_u32 {
                    let row = if order >> nth & 1 == 1 { (1.0, 0.0) } else { (0.0, 1.0) };
                    match fine.last_mut() {
                        Some(last) if ties >> (nth - 1) & 1 == 1 => *last = (last.0 + row.0, last.1 + row.1),
                        _ => fine.push(row),
                    }
                }
                fine.push((1.0, 1.0));
                let coarse = vec![(3.0, 2.0), (1.0, 1.0)];
                within(average_precision, &fine, &coarse);
                within(pr_auc, &fine, &coarse);
            }
        }
    }
}
