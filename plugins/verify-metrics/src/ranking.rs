//! The rows in the order of their scores or errors, to be weighed again and again.

use crate::curves::Groups;

/// The distinct values of a column in ascending order, and which of them each row has.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    values: Vec<f64>,
    /// The place of each row's value.
    place: Vec<u32>,
    /// The rows in ascending order of their values.
    order: Vec<u32>,
}

impl Ranked {
    /// Returns the ranks of values without a NaN.
    pub(crate) fn new(column: &[f64]) -> Self {
        let mut order: Vec<u32> = (0..column.len() as u32).collect();
        order.sort_by(|&left, &right| column[left as usize].total_cmp(&column[right as usize]));
        let (mut values, mut place) = (Vec::new(), vec![0; column.len()]);
        for &row in &order {
            let value = column[row as usize];
            if values.last() != Some(&value) {
                values.push(value);
            }
            place[row as usize] = (values.len() - 1) as u32;
        }
        Self { values, place, order }
    }

    /// Returns the groups of rows whose weights are given.
    pub(crate) fn groups(&self, is_positive: impl Fn(usize) -> bool, weights: &[f64]) -> Groups {
        let mut res = vec![(0.0, 0.0); self.values.len()];
        for (row, (&place, &weight)) in self.place.iter().zip(weights).enumerate() {
            let (group, is_positive) = (&mut res[place as usize], is_positive(row));
            // Without a branch, which nothing foretells.
            group.0 += if is_positive { weight } else { 0.0 };
            group.1 += if is_positive { 0.0 } else { weight };
        }
        res
    }

    /// Returns by how much each row moves the area under the ROC curve, so that the squares, as often as the rows were seen, add up to its variance (DeLong,
    /// DeLong & Clarke-Pearson 1988); none for fewer than two rows on a side.
    pub(crate) fn influences(&self, is_positive: impl Fn(usize) -> bool, counts: &[f64]) -> Option<Vec<f64>> {
        let groups = self.groups(&is_positive, counts);
        let (positives, negatives) = groups.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        if positives < 2.0 || negatives < 2.0 {
            return None;
        }
        let (mut below, mut area) = ((0.0, 0.0), 0.0);
        // The share of rows of the other side that a positive and a negative row of each group are on the right side of.
        let placements: Vec<(f64, f64)> = groups
            .iter()
            .map(|&(positive, negative)| {
                let above = (below.1 + negative / 2.0) / negatives;
                let under = 1.0 - (below.0 + positive / 2.0) / positives;
                area += positive * above / positives;
                below = (below.0 + positive, below.1 + negative);
                (above, under)
            })
            .collect();
        let [of_positive, of_negative] = [positives, negatives].map(|n| (n * (n - 1.0)).sqrt());
        let of = |(row, &place): (usize, &u32)| {
            let (above, under) = placements[place as usize];
            if is_positive(row) { (above - area) / of_positive } else { (under - area) / of_negative }
        };
        Some(self.place.iter().enumerate().map(of).collect())
    }

    /// Returns, for each class, the weight of pairs of a row of `class` above a row of that class, ties counting
    /// half.
    pub(crate) fn wins(&self, class: usize, labels: &[u64], weights: &[f64], n_classes: usize) -> Vec<f64> {
        let (mut below, mut won) = (vec![0.0; n_classes], vec![0.0; n_classes]);
        for run in self.order.chunk_by(|&left, &right| self.place[left as usize] == self.place[right as usize]) {
            let rows = || run.iter().map(|&it| (labels[it as usize] as usize, weights[it as usize]));
            let own: f64 = rows().filter(|it| it.0 == class).map(|it| it.1).sum();
            if own > 0.0 {
                won.iter_mut().zip(&below).for_each(|(won, below)| *won += own * below);
                rows().for_each(|(other, weight)| won[other] += own * weight / 2.0);
            }
            rows().for_each(|(other, weight)| below[other] += weight);
        }
        won
    }

    /// Returns the weighted quantile: the value at which that share of the weight is reached, or the mean of it and
    /// the next where it is reached exactly (the averaged inverted distribution function, type 2 of Hyndman &
    /// Fan 1996). At ½ it is the median.
    pub(crate) fn quantile(&self, weights: &[f64], level: f64) -> f64 {
        let groups = self.groups(|_| true, weights);
        quantile(self.values.iter().zip(&groups).map(|(&value, it)| (value, it.0)), level)
    }
}

/// Returns the weighted quantile of ascending values with their weights, as [`Ranked::quantile`].
pub(crate) fn quantile(points: impl Iterator<Item = (f64, f64)> + Clone, level: f64) -> f64 {
    let wanted = level * points.clone().map(|it| it.1).sum::<f64>();
    let mut seen = 0.0;
    let mut points = points.filter(|it| it.1 > 0.0);
    let mut last = f64::NAN;
    while let Some((value, weight)) = points.next() {
        seen += weight;
        last = value;
        if seen >= wanted {
            let is_above = seen - wanted > f64::EPSILON;
            return if is_above { value } else { f64::midpoint(value, points.next().map_or(value, |it| it.0)) };
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves::roc_auc;

    #[test]
    fn weights_are_repetitions() {
        let scores = [0.1, 0.4, 0.4, 0.8];
        let ranked = Ranked::new(&scores);
        assert_eq!(ranked.groups(|it| it > 1, &[1.0; 4]), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]);
        let weighted = ranked.groups(|it| it > 1, &[2.0, 1.0, 3.0, 0.0]);
        let repeated = Ranked::new(&[0.1, 0.1, 0.4, 0.4, 0.4, 0.4]).groups(|it| it > 2, &[1.0; 6]);
        assert_eq!(roc_auc(&weighted), roc_auc(&repeated));
    }

    #[test]
    fn wins_of_a_class_are_those_of_its_pairs() {
        let ranked = Ranked::new(&[0.3, 0.1, 0.3, 0.9, 0.2]);
        // Class 0 has 0.3 and 0.9; class 1 has 0.1 and 0.3; class 2 has 0.2.
        assert_eq!(ranked.wins(0, &[0, 1, 1, 0, 2], &[1.0; 5], 3), [2.0, 3.5, 2.0]);
    }

    #[test]
    fn quantiles_are_weighted() {
        let ranked = Ranked::new(&[3.0, 1.0, 2.0]);
        assert_eq!(ranked.quantile(&[1.0, 1.0, 1.0], 0.5), 2.0);
        assert_eq!(ranked.quantile(&[1.0, 1.0, 0.0], 0.5), 2.0);
        assert_eq!(ranked.quantile(&[5.0, 1.0, 1.0], 0.5), 3.0);
        assert_eq!(ranked.quantile(&[1.0, 1.0, 1.0], 0.99), 3.0);
        assert!(ranked.quantile(&[0.0; 3], 0.5).is_nan());
    }
}
