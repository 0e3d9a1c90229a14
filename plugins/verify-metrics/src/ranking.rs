//! Metrics of ranks: areas under curves and the median error, for rows with weights.

use crate::totals::ScoreHistogram;

/// The distinct values of a column in ascending order, and which of them each row has.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) values: Vec<f64>,
    place: Vec<u32>,
}

/// The weight of positive and of negative rows at each distinct score, in ascending order of scores.
pub(crate) type Groups = Vec<(f64, f64)>;

impl Ranked {
    /// Returns the ranks of values without a NaN.
    pub(crate) fn new(column: &[f64]) -> Self {
        let mut values = column.to_vec();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let place = column.iter().map(|it| values.partition_point(|value| value < it) as u32).collect();
        Self { values, place }
    }

    /// Returns the groups of rows whose weights are given.
    pub(crate) fn groups(&self, is_positive: impl Fn(usize) -> bool, weights: &[f64]) -> Groups {
        let mut res = vec![(0.0, 0.0); self.values.len()];
        for (row, (&place, &weight)) in self.place.iter().zip(weights).enumerate() {
            let group = &mut res[place as usize];
            if is_positive(row) { group.0 += weight } else { group.1 += weight }
        }
        res
    }

    /// Returns the weighted median: the value at which half of the weight is reached, or the mean of it and
    /// the next where it is reached exactly (the averaged inverted distribution function of Hyndman & Fan 1996).
    pub(crate) fn median(&self, weights: &[f64]) -> f64 {
        let groups = self.groups(|_| true, weights);
        let half = groups.iter().map(|it| it.0).sum::<f64>() / 2.0;
        let mut seen = 0.0;
        let mut places = groups.iter().enumerate().filter(|it| it.1.0 > 0.0);
        let Some((place, _)) = places.find(|it| {
            seen += it.1.0;
            seen >= half
        }) else {
            return f64::NAN;
        };
        let next = if seen - half > f64::EPSILON { place } else { places.next().map_or(place, |it| it.0) };
        f64::midpoint(self.values[place], self.values[next])
    }
}

/// Returns the groups of a histogram.
pub(crate) fn histogram_groups(histogram: &ScoreHistogram) -> Groups {
    histogram.positive.iter().copied().zip(histogram.negative.iter().copied()).collect()
}

/// Returns the probability that a positive row scores above a negative one, ties counting half
/// (Hanley & McNeil 1982); NaN without positive or without negative rows.
pub(crate) fn roc_auc(groups: &Groups) -> f64 {
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
pub(crate) fn average_precision(groups: &Groups) -> f64 {
    let (mut hits, mut all, mut sum) = (0.0, 0.0, 0.0);
    for &(positive, negative) in groups.iter().rev() {
        hits += positive;
        all += positive + negative;
        if positive > 0.0 {
            sum += positive * (hits / all);
        }
    }
    sum / hits
}

/// Returns how far [`roc_auc`] of a histogram can be from that of the scores: half the share of pairs
/// that fall into one bin.
pub(crate) fn auc_error(groups: &Groups) -> f64 {
    let tied: f64 = groups.iter().map(|it| it.0 * it.1).sum();
    let (positives, negatives) = totals(groups);
    tied / 2.0 / (positives * negatives)
}

/// Returns the true positive rate at the given ascending false positive rates.
pub(crate) fn roc_curve(groups: &Groups, rates: &[f64]) -> Vec<f64> {
    let (positives, negatives) = totals(groups);
    let mut points = vec![(0.0, 0.0)];
    let (mut hits, mut alarms) = (0.0, 0.0);
    for &(positive, negative) in groups.iter().rev() {
        hits += positive;
        alarms += negative;
        points.push((alarms / negatives, hits / positives));
    }
    let at = |rate: f64| {
        let after = points.partition_point(|it| it.0 <= rate);
        let (x0, y0) = points[after.max(1) - 1];
        points.get(after).map_or(1.0, |&(x1, y1)| y0 + (y1 - y0) * (rate - x0) / (x1 - x0))
    };
    rates.iter().map(|&it| at(it)).collect()
}

fn totals(groups: &Groups) -> (f64, f64) {
    groups.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half_and_weights_are_repetitions() {
        let scores = [0.1, 0.4, 0.4, 0.8];
        let labels = [false, false, true, true];
        let groups = Ranked::new(&scores).groups(|it| labels[it], &[1.0; 4]);
        assert_eq!(groups, [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]);
        assert_eq!(roc_auc(&groups), 3.5 / 4.0);
        assert_eq!(average_precision(&groups), 0.5 + 0.5 * 2.0 / 3.0);
        assert_eq!(roc_curve(&groups, &[0.0, 0.25, 0.5, 1.0]), [0.5, 0.75, 1.0, 1.0]);
        let weighted = Ranked::new(&scores).groups(|it| labels[it], &[2.0, 1.0, 3.0, 0.0]);
        let repeated = Ranked::new(&[0.1, 0.1, 0.4, 0.4, 0.4, 0.4]).groups(|it| it > 2, &[1.0; 6]);
        assert_eq!(roc_auc(&weighted), roc_auc(&repeated));
    }

    #[test]
    fn one_class_is_undefined() {
        let groups = Ranked::new(&[0.1, 0.2]).groups(|_| true, &[1.0, 1.0]);
        assert!(roc_auc(&groups).is_nan());
        assert_eq!(average_precision(&groups), 1.0);
        assert!(average_precision(&Vec::new()).is_nan());
    }

    #[test]
    fn medians_are_weighted() {
        let ranked = Ranked::new(&[3.0, 1.0, 2.0]);
        assert_eq!(ranked.median(&[1.0, 1.0, 1.0]), 2.0);
        assert_eq!(ranked.median(&[1.0, 1.0, 0.0]), 2.0);
        assert_eq!(ranked.median(&[5.0, 1.0, 1.0]), 3.0);
        assert!(ranked.median(&[0.0; 3]).is_nan());
    }
}
