//! Metrics of ranks: areas under curves and the median error, for rows with whole weights.

use crate::totals::ScoreHistogram;

/// The distinct values of a column in ascending order, and which of them each row has.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) values: Vec<f64>,
    place: Vec<u32>,
}

/// The weight of positive and of negative rows at each distinct score, in ascending order of scores.
pub(crate) type Groups = Vec<(u64, u64)>;

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
    pub(crate) fn groups(&self, is_positive: impl Fn(usize) -> bool, weights: &[u64]) -> Groups {
        let mut res = vec![(0, 0); self.values.len()];
        for (row, (&place, &weight)) in self.place.iter().zip(weights).enumerate() {
            let group = &mut res[place as usize];
            if is_positive(row) { group.0 += weight } else { group.1 += weight }
        }
        res
    }

    /// Returns the weighted median: the mean of the two middle values for an even weight.
    pub(crate) fn median(&self, weights: &[u64]) -> f64 {
        let groups = self.groups(|_| true, weights);
        let total: u64 = groups.iter().map(|it| it.0).sum();
        if total == 0 {
            return f64::NAN;
        }
        let at = |rank: u64| {
            let mut seen = 0;
            let found = groups.iter().position(|it| {
                seen += it.0;
                seen > rank
            });
            found.map_or(f64::NAN, |it| self.values[it])
        };
        f64::midpoint(at((total - 1) / 2), at(total / 2))
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
        let (positive, negative) = (positive as f64, negative as f64);
        above += positive * (negatives + negative / 2.0);
        positives += positive;
        negatives += negative;
    }
    above / (positives * negatives)
}

/// Returns the average precision `Σ (R_i - R_{i-1}) P_i` over descending scores; NaN without
/// positive rows.
pub(crate) fn average_precision(groups: &Groups) -> f64 {
    let positives: u64 = groups.iter().map(|it| it.0).sum();
    let (mut hits, mut all, mut sum) = (0, 0, 0.0);
    for &(positive, negative) in groups.iter().rev() {
        hits += positive;
        all += positive + negative;
        if positive > 0 {
            sum += positive as f64 * (hits as f64 / all as f64);
        }
    }
    sum / positives as f64
}

/// Returns how far [`roc_auc`] of a histogram can be from that of the scores: half the share of pairs
/// that fall into one bin.
pub(crate) fn auc_error(groups: &Groups) -> f64 {
    let tied: f64 = groups.iter().map(|&(positive, negative)| positive as f64 * negative as f64).sum();
    let positives: u64 = groups.iter().map(|it| it.0).sum();
    let negatives: u64 = groups.iter().map(|it| it.1).sum();
    tied / 2.0 / (positives as f64 * negatives as f64)
}

/// Returns the true positive rate at the given ascending false positive rates.
pub(crate) fn roc_curve(groups: &Groups, rates: &[f64]) -> Vec<f64> {
    let positives = groups.iter().map(|it| it.0).sum::<u64>() as f64;
    let negatives = groups.iter().map(|it| it.1).sum::<u64>() as f64;
    let mut points = vec![(0.0, 0.0)];
    let (mut hits, mut alarms) = (0, 0);
    for &(positive, negative) in groups.iter().rev() {
        hits += positive;
        alarms += negative;
        points.push((alarms as f64 / negatives, hits as f64 / positives));
    }
    let at = |rate: f64| {
        let after = points.partition_point(|it| it.0 <= rate);
        let (x0, y0) = points[after.max(1) - 1];
        points.get(after).map_or(1.0, |&(x1, y1)| y0 + (y1 - y0) * (rate - x0) / (x1 - x0))
    };
    rates.iter().map(|&it| at(it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half_and_weights_are_repetitions() {
        let scores = [0.1, 0.4, 0.4, 0.8];
        let labels = [false, false, true, true];
        let groups = Ranked::new(&scores).groups(|it| labels[it], &[1, 1, 1, 1]);
        assert_eq!(groups, [(0, 1), (1, 1), (1, 0)]);
        assert_eq!(roc_auc(&groups), 3.5 / 4.0);
        assert_eq!(average_precision(&groups), 0.5 + 0.5 * 2.0 / 3.0);
        assert_eq!(roc_curve(&groups, &[0.0, 0.25, 0.5, 1.0]), [0.5, 0.75, 1.0, 1.0]);
        let weighted = Ranked::new(&scores).groups(|it| labels[it], &[2, 1, 3, 0]);
        let repeated = Ranked::new(&[0.1, 0.1, 0.4, 0.4, 0.4, 0.4]).groups(|it| it > 2, &[1; 6]);
        assert_eq!(roc_auc(&weighted), roc_auc(&repeated));
    }

    #[test]
    fn one_class_is_undefined() {
        let groups = Ranked::new(&[0.1, 0.2]).groups(|_| true, &[1, 1]);
        assert!(roc_auc(&groups).is_nan());
        assert_eq!(average_precision(&groups), 1.0);
        assert!(average_precision(&Vec::new()).is_nan());
    }

    #[test]
    fn medians_are_weighted() {
        let ranked = Ranked::new(&[3.0, 1.0, 2.0]);
        assert_eq!(ranked.median(&[1, 1, 1]), 2.0);
        assert_eq!(ranked.median(&[1, 1, 0]), 2.0);
        assert_eq!(ranked.median(&[5, 1, 1]), 3.0);
        assert!(ranked.median(&[0, 0, 0]).is_nan());
    }
}
