//! The variance of areas under the ROC curve, of one score and of two on the same rows; not for rows with weights.
//!
//! The method is that of DeLong, DeLong & Clarke-Pearson (1988), computed from ranks as Sun & Xu (2014) do.

use crate::boosting::logistic;
use crate::error::{Reason, Undefined};
use crate::intervals::{Interval, two_sided_z};

/// A score, whether its rows are positive, and how many rows have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The score.
    pub score: f64,
    /// Whether the rows are positive.
    pub is_positive: bool,
    /// How many rows there are.
    pub count: u64,
}

/// How far each row of a class is above the rows of the other: the placements of one score.
///
/// ```
/// use modelwatch_stats::delong::{Placements, Scored};
///
/// let rows = [(0.35, true), (0.8, true), (0.1, false), (0.4, false)];
/// let rows = rows.map(|(score, is_positive)| Scored { score, is_positive, count: 1 });
/// let placements = Placements::new(&rows).unwrap();
/// assert_eq!(placements.area(), 0.75);
/// // Placements ½, 1 of positives and 1, ½ of negatives: 0.125 / 2 + 0.125 / 2.
/// assert_eq!(placements.variance(), Ok(0.125));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Placements {
    /// Per row, in the order given, with the number of such rows.
    rows: Vec<(f64, bool, f64)>,
    n_positive: f64,
    n_negative: f64,
    area: f64,
}

impl Placements {
    /// Returns the placements of rows.
    ///
    /// Undefined if a class is missing, and for a NaN.
    pub fn new(scores: &[Scored]) -> Result<Self, Undefined> {
        if scores.iter().any(|it| it.score.is_nan()) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        let count = |is_positive: bool| {
            scores.iter().filter(|it| it.is_positive == is_positive).map(|it| it.count as f64).sum::<f64>()
        };
        let (n_positive, n_negative) = (count(true), count(false));
        if n_positive == 0.0 || n_negative == 0.0 {
            return Err(Undefined::new(if n_positive == n_negative { Reason::Empty } else { Reason::OneClass }));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&left, &right| scores[left].score.total_cmp(&scores[right].score));
        let mut rows = vec![(0.0, false, 0.0); scores.len()];
        let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
        for run in order.chunk_by(|&left, &right| scores[left].score == scores[right].score) {
            let (mut positive, mut negative) = (0.0, 0.0);
            for it in run.iter().map(|&it| scores[it]) {
                *(if it.is_positive { &mut positive } else { &mut negative }) += it.count as f64;
            }
            let above = (negatives + negative / 2.0) / n_negative;
            let below = 1.0 - (positives + positive / 2.0) / n_positive;
            for &row in run {
                let it = scores[row];
                rows[row] = (if it.is_positive { above } else { below }, it.is_positive, it.count as f64);
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
        let is_same = self.rows.len() == other.rows.len()
            && self.rows.iter().zip(&other.rows).all(|(a, b)| (a.1, a.2) == (b.1, b.2));
        if !is_same {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        if self.n_positive < 2.0 || self.n_negative < 2.0 {
            return Err(Undefined::new(Reason::TooFew));
        }
        let (mut positive, mut negative) = (0.0, 0.0);
        for (left, right) in self.rows.iter().zip(&other.rows) {
            let product = left.2 * (left.0 - self.area) * (right.0 - other.area);
            if left.1 { positive += product } else { negative += product }
        }
        Ok(positive / (self.n_positive - 1.0) / self.n_positive + negative / (self.n_negative - 1.0) / self.n_negative)
    }

    /// Returns the interval of the area; see [`area_interval`].
    ///
    /// ```
    /// use modelwatch_stats::delong::{Placements, Scored};
    ///
    /// let rows: Vec<Scored> =
    ///     (0..20).map(|it| Scored { score: f64::from(it * 7 % 20), is_positive: it % 2 == 0, count: 1 }).collect();
    /// let placements = Placements::new(&rows).unwrap();
    /// let interval = placements.interval(0.95).unwrap();
    /// assert!(0.0 < interval.low && interval.low < placements.area() && placements.area() < interval.high);
    /// ```
    pub fn interval(&self, level: f64) -> Result<Interval, Undefined> {
        area_interval(self.area, self.variance()?, (self.n_positive, self.n_negative), level)
    }

    /// Returns the variance of the difference of two areas on the same rows.
    ///
    /// ```
    /// use modelwatch_stats::delong::{Placements, Scored};
    ///
    /// let rows: Vec<Scored> =
    ///     (0..20).map(|it| Scored { score: f64::from(it * 7 % 20), is_positive: it % 3 == 0, count: 1 }).collect();
    /// let placements = Placements::new(&rows).unwrap();
    /// assert_eq!(placements.difference_variance(&placements), Ok(0.0));
    /// ```
    pub fn difference_variance(&self, other: &Self) -> Result<f64, Undefined> {
        let variance = self.variance()? + other.variance()? - 2.0 * self.covariance(other)?;
        // Rounding may leave a negative number where the scores agree.
        Ok(variance.max(0.0))
    }
}

/// Returns the interval of an area with its variance, symmetric on the scale of its logit, which keeps its level for few
/// rows and areas near 1 (Qin & Hotilovac 2008). `n` is the number of positive and of negative rows.
///
/// Of an area of 0 or 1, and of a variance of 0, it rests on Hanley & McNeil's variance (1982) of the area `1 - 1 / (2 m)`, `m`
/// being the number of rows of the smaller class: there the estimated variance is of no use.
pub fn area_interval(area: f64, variance: f64, n: (f64, f64), level: f64) -> Result<Interval, Undefined> {
    let z = two_sided_z(level)?;
    if !(0.0..=1.0).contains(&area) || variance.is_nan() {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    if variance > 0.0 && area > 0.0 && area < 1.0 {
        let (low, high) = on_logits(area, variance, z);
        return Ok(Interval { low, high, level });
    }
    let step = 0.5 / n.0.min(n.1);
    let inner = area.clamp(step, 1.0 - step);
    let (low, high) = on_logits(inner, hanley_mcneil(inner, n.0, n.1), z);
    Ok(Interval { low: low.min(area), high: high.max(area), level })
}

fn on_logits(area: f64, variance: f64, z: f64) -> (f64, f64) {
    let logit = (area / (1.0 - area)).ln();
    let half = z * variance.sqrt() / (area * (1.0 - area));
    (logistic(logit - half), logistic(logit + half))
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

    fn rows(rows: &[(f64, bool)]) -> Vec<Scored> {
        rows.iter().map(|&(score, is_positive)| Scored { score, is_positive, count: 1 }).collect()
    }

    fn placements(positives: &[f64], negatives: &[f64]) -> Placements {
        let all = positives.iter().map(|&it| (it, true)).chain(negatives.iter().map(|&it| (it, false)));
        Placements::new(&rows(&all.collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn too_little_and_bad_input_is_undefined() {
        assert_eq!(Placements::new(&rows(&[(0.1, true)])), Err(Undefined::new(Reason::OneClass)));
        assert_eq!(Placements::new(&[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(Placements::new(&rows(&[(f64::NAN, true), (0.1, false)])), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(placements(&[0.3], &[0.1, 0.2]).variance(), Err(Undefined::new(Reason::TooFew)));
        let (left, right) = (placements(&[0.3, 0.4], &[0.1, 0.2]), placements(&[0.3, 0.4, 0.5], &[0.1, 0.2]));
        assert_eq!(left.covariance(&right), Err(Undefined::new(Reason::LengthMismatch)));
    }

    #[test]
    fn counts_are_repetitions() {
        let once = rows(&[(0.3, true), (0.3, true), (0.2, false), (0.9, false), (0.9, false), (0.8, true)]);
        let counted = [(0.3, true, 2), (0.2, false, 1), (0.9, false, 2), (0.8, true, 1)];
        let counted = counted.map(|(score, is_positive, count)| Scored { score, is_positive, count });
        let (left, right) = (Placements::new(&once).unwrap(), Placements::new(&counted).unwrap());
        assert!((left.area() - right.area()).abs() < 1e-15);
        assert!((left.variance().unwrap() - right.variance().unwrap()).abs() < 1e-15);
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
        let wins = |p: f64, n: f64| {
            if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            }
        };
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
