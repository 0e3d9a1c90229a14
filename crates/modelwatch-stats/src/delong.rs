//! The variance of areas under the ROC curve, of one score and of two on the same rows.
//!
//! The method is that of DeLong, DeLong & Clarke-Pearson (1988), computed from ranks as Sun & Xu (2014) do.

use crate::error::{Reason, Undefined};
use crate::intervals::{Interval, two_sided_z};

/// How far each row of a class is above the rows of the other: the placements of one score.
///
/// ```
/// use modelwatch_stats::delong::Placements;
///
/// // Positives 0.35 and 0.8, negatives 0.1 and 0.4.
/// let placements = Placements::new(&[(0.35, true), (0.8, true), (0.1, false), (0.4, false)]).unwrap();
/// assert_eq!(placements.area(), 0.75);
/// // Placements ½, 1 of positives and 1, ½ of negatives: 0.125 / 2 + 0.125 / 2.
/// assert_eq!(placements.variance(), Ok(0.125));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Placements {
    /// Per row, in the order given.
    rows: Vec<(f64, bool)>,
    n_positive: f64,
    n_negative: f64,
    area: f64,
}

impl Placements {
    /// Returns the placements of rows with their scores and whether they are positive.
    ///
    /// Undefined if a class is missing, and for a NaN.
    pub fn new(scores: &[(f64, bool)]) -> Result<Self, Undefined> {
        if scores.iter().any(|it| it.0.is_nan()) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        let n_positive = scores.iter().filter(|it| it.1).count() as f64;
        let n_negative = scores.len() as f64 - n_positive;
        if n_positive == 0.0 || n_negative == 0.0 {
            return Err(Undefined::new(if scores.is_empty() { Reason::Empty } else { Reason::OneClass }));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&left, &right| scores[left].0.total_cmp(&scores[right].0));
        let mut rows = vec![(0.0, false); scores.len()];
        let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
        for run in order.chunk_by(|&left, &right| scores[left].0 == scores[right].0) {
            let positive = run.iter().filter(|&&it| scores[it].1).count() as f64;
            let negative = run.len() as f64 - positive;
            let above = (negatives + negative / 2.0) / n_negative;
            let below = 1.0 - (positives + positive / 2.0) / n_positive;
            for &row in run {
                rows[row] = if scores[row].1 { (above, true) } else { (below, false) };
            }
            area += positive * above;
            positives += positive;
            negatives += negative;
        }
        Ok(Self { rows, n_positive, n_negative, area: area / n_positive })
    }

    /// Returns the area under the curve.
    pub fn area(&self) -> f64 {
        self.area
    }

    /// Returns the variance of the area; undefined for fewer than two rows of a class.
    pub fn variance(&self) -> Result<f64, Undefined> {
        self.covariance(self)
    }

    /// Returns the covariance of the areas of two scores of the same rows.
    ///
    /// Undefined for fewer than two rows of a class, and for other rows.
    pub fn covariance(&self, other: &Self) -> Result<f64, Undefined> {
        let is_same = self.rows.len() == other.rows.len() && self.rows.iter().zip(&other.rows).all(|(a, b)| a.1 == b.1);
        if !is_same {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        if self.n_positive < 2.0 || self.n_negative < 2.0 {
            return Err(Undefined::new(Reason::TooFew));
        }
        let (mut positive, mut negative) = (0.0, 0.0);
        for (left, right) in self.rows.iter().zip(&other.rows) {
            let product = (left.0 - self.area) * (right.0 - other.area);
            if left.1 { positive += product } else { negative += product }
        }
        Ok(positive / (self.n_positive - 1.0) / self.n_positive + negative / (self.n_negative - 1.0) / self.n_negative)
    }

    /// Returns the interval of the area, symmetric on the scale of its logit, which keeps its level for few rows and
    /// areas near 1 (Qin & Hotilovac 2008).
    ///
    /// Of an area of 0 or 1, and of any variance of 0, it is the interval of Hanley & McNeil's (1982) variance for
    /// the area `1 - 1 / (2 m)`, `m` being the number of rows of the smaller class: there the estimate is of no use.
    ///
    /// ```
    /// use modelwatch_stats::delong::Placements;
    ///
    /// let rows: Vec<(f64, bool)> = (0..20).map(|it| (f64::from(it * 7 % 20), it % 2 == 0 || it > 16)).collect();
    /// let placements = Placements::new(&rows).unwrap();
    /// let interval = placements.interval(0.95).unwrap();
    /// assert!(0.0 < interval.low && interval.low < placements.area() && placements.area() < interval.high);
    /// ```
    pub fn interval(&self, level: f64) -> Result<Interval, Undefined> {
        self.shrunk_interval(level, 1.0)
    }

    /// Returns [`Placements::interval`] with the variance multiplied by `share`, for rows that are a sample of more.
    pub fn shrunk_interval(&self, level: f64, share: f64) -> Result<Interval, Undefined> {
        let z = two_sided_z(level)?;
        let variance = self.variance()? * share;
        if variance > 0.0 && self.area > 0.0 && self.area < 1.0 {
            let (low, high) = on_logits(self.area, variance, z);
            return Ok(Interval { low, high, level });
        }
        let step = 0.5 / self.n_positive.min(self.n_negative);
        let area = self.area.clamp(step, 1.0 - step);
        let (low, high) = on_logits(area, hanley_mcneil(area, self.n_positive, self.n_negative) * share, z);
        Ok(Interval { low: low.min(self.area), high: high.max(self.area), level })
    }

    /// Returns the interval of the difference of two areas on the same rows, first minus second.
    ///
    /// ```
    /// use modelwatch_stats::delong::Placements;
    ///
    /// let rows: Vec<(f64, bool)> = (0..20).map(|it| (f64::from(it * 7 % 20), it % 3 == 0)).collect();
    /// let placements = Placements::new(&rows).unwrap();
    /// let interval = placements.difference_interval(&placements, 0.95, 1.0).unwrap();
    /// assert_eq!((interval.low, interval.high), (0.0, 0.0));
    /// ```
    pub fn difference_interval(&self, other: &Self, level: f64, share: f64) -> Result<Interval, Undefined> {
        let z = two_sided_z(level)?;
        // Rounding may leave a negative variance where the scores agree.
        let variance = (self.variance()? + other.variance()? - 2.0 * self.covariance(other)?).max(0.0) * share;
        let (difference, half) = (self.area - other.area, z * variance.sqrt());
        Ok(Interval { low: (difference - half).max(-1.0), high: (difference + half).min(1.0), level })
    }
}

fn on_logits(area: f64, variance: f64, z: f64) -> (f64, f64) {
    let logit = (area / (1.0 - area)).ln();
    let half = z * variance.sqrt() / (area * (1.0 - area));
    let back = |it: f64| 1.0 / (1.0 + (-it).exp());
    (back(logit - half), back(logit + half))
}

fn hanley_mcneil(area: f64, n_positive: f64, n_negative: f64) -> f64 {
    let (one, two) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let square = area * area;
    (area * (1.0 - area) + (n_positive - 1.0) * (one - square) + (n_negative - 1.0) * (two - square))
        / (n_positive * n_negative)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placements(positives: &[f64], negatives: &[f64]) -> Placements {
        let rows = positives.iter().map(|&it| (it, true)).chain(negatives.iter().map(|&it| (it, false)));
        Placements::new(&rows.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn too_little_and_bad_input_is_undefined() {
        assert_eq!(Placements::new(&[(0.1, true)]), Err(Undefined::new(Reason::OneClass)));
        assert_eq!(Placements::new(&[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(Placements::new(&[(f64::NAN, true), (0.1, false)]), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(placements(&[0.3], &[0.1, 0.2]).variance(), Err(Undefined::new(Reason::TooFew)));
        let (left, right) = (placements(&[0.3, 0.4], &[0.1, 0.2]), placements(&[0.3, 0.4, 0.5], &[0.1, 0.2]));
        assert_eq!(left.covariance(&right), Err(Undefined::new(Reason::LengthMismatch)));
    }

    #[test]
    fn a_perfect_score_has_an_interval_below_one() {
        let interval = placements(&[0.8, 0.9, 0.7, 0.75, 0.95], &[0.1, 0.2, 0.3, 0.15, 0.25]).interval(0.95).unwrap();
        assert!(interval.high == 1.0 && interval.low > 0.3 && interval.low < 0.9, "{interval:?}");
        let inverted = placements(&[0.1, 0.2, 0.3], &[0.8, 0.9, 0.7]).interval(0.95).unwrap();
        assert!(inverted.low == 0.0 && inverted.high < 0.9, "{inverted:?}");
    }

    #[test]
    fn the_variance_is_that_of_the_pairs() {
        let (positives, negatives) = ([0.3, 0.5, 0.5, 0.9], [0.1, 0.5, 0.4]);
        let wins = |p: f64, n: f64| if p > n { 1.0 } else if p == n { 0.5 } else { 0.0 };
        let spread = |values: Vec<f64>| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let above = positives.iter().map(|&p| negatives.iter().map(|&n| wins(p, n)).sum::<f64>() / 3.0).collect();
        let below = negatives.iter().map(|&n| positives.iter().map(|&p| wins(p, n)).sum::<f64>() / 4.0).collect();
        let found = placements(&positives, &negatives).variance().unwrap();
        assert!((found - spread(above) - spread(below)).abs() < 1e-15);
    }
}
