//! Bin edges and counting into them.

use crate::error::{Reason, Undefined, finite};
use crate::quantile::quantiles;
use crate::sample::{Point, total_count};

/// How the number and place of bins is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinRule {
    /// Equal width, `range / (log2 n + 1)` rounded as NumPy's "sturges" (Sturges 1926).
    Sturges,
    /// Equal width, Sturges' rule corrected for skewness as NumPy's "doane" (Doane 1976).
    Doane,
    /// The given number of bins of equal width.
    EqualWidth(u32),
    /// Bins between the given number of quantiles; equal quantiles fall together, so that there may be fewer bins.
    Quantiles(u32),
}

/// What kind of numbers are binned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any real numbers.
    Real,
    /// Whole numbers, for which the rules that choose a width choose at least 1, as NumPy does for integer arrays.
    Whole,
}

/// Counts per bin, and outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinCounts {
    /// Rows below the first edge.
    pub underflow: u64,
    /// Rows per bin; bin i is `[edge i, edge i+1)`, and the last one is closed.
    pub counts: Vec<u64>,
    /// Rows above the last edge.
    pub overflow: u64,
}

/// The most bins that are made.
const MAX_BINS: f64 = 1_000_000.0;

/// Returns strictly ascending bin edges, one more than bins, from the least to the greatest value.
///
/// A constant sample gets one bin of width 1 around it. Undefined for empty or infinite input, for zero bins, and where the
/// range is too narrow for the bins to have a width.
///
/// ```
/// use modelwatch_stats::two_sample::{BinRule, Values, bin_edges};
///
/// let points = [(0.0, 1), (1.0, 1), (2.0, 1), (4.0, 1)];
/// // log2 4 + 1 = 3 bins.
/// let edges = bin_edges(&points, BinRule::Sturges, Values::Real).unwrap();
/// assert_eq!(edges.len(), 4);
/// assert_eq!(bin_edges(&points, BinRule::Quantiles(2), Values::Real), Ok(vec![0.0, 1.5, 4.0]));
/// ```
pub fn bin_edges(points: &[Point], rule: BinRule, values: Values) -> Result<Vec<f64>, Undefined> {
    let n = total_count(points)?;
    let occurring = || points.iter().filter(|it| it.1 > 0).map(|it| it.0);
    let (Some(min), Some(max)) = (occurring().next(), occurring().next_back()) else {
        return Err(Undefined::new(Reason::Empty));
    };
    if min.is_infinite() || max.is_infinite() {
        return Err(Undefined::new(Reason::Infinite));
    }
    if matches!(rule, BinRule::EqualWidth(0) | BinRule::Quantiles(0)) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    if min == max {
        return equal_width(min - 0.5, max + 0.5, 1);
    }
    let range = finite(max - min)?;
    let width = match rule {
        BinRule::EqualWidth(n_bins) => return equal_width(min, max, n_bins),
        BinRule::Quantiles(n_bins) => return quantile_edges(points, n_bins),
        BinRule::Sturges => range / ((n as f64).log2() + 1.0),
        BinRule::Doane => doane_width(points, n as f64, range),
    };
    let width = if values == Values::Whole { width.max(1.0) } else { width };
    let n_bins = if width > 0.0 { (range / width).ceil() } else { 1.0 };
    if n_bins > MAX_BINS {
        return Err(Undefined::new(Reason::TooManyBins));
    }
    equal_width(min, max, n_bins as u32)
}

/// Returns the counts of points in the bins between ascending edges.
///
/// ```
/// use modelwatch_stats::two_sample::count_into;
///
/// let counts = count_into(&[(-1.0, 1), (0.0, 2), (1.0, 3), (2.0, 4), (2.5, 5)], &[0.0, 1.0, 2.0]).unwrap();
/// assert_eq!((counts.underflow, counts.counts, counts.overflow), (1, vec![2, 7], 5));
/// ```
pub fn count_into(points: &[Point], edges: &[f64]) -> Result<BinCounts, Undefined> {
    let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else {
        return Err(Undefined::new(Reason::TooFew));
    };
    if edges.len() < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    if points.iter().any(|it| it.0.is_nan()) || edges.iter().any(|it| it.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if edges.windows(2).any(|it| it[0] >= it[1]) {
        return Err(Undefined::new(Reason::NotSorted));
    }
    let mut res = BinCounts { underflow: 0, counts: vec![0; edges.len() - 1], overflow: 0 };
    // Points mostly come in ascending order, and then the bin of the last one is near.
    let mut idx = 0;
    for &(value, count) in points {
        let slot = if value < first {
            &mut res.underflow
        } else if value > last {
            &mut res.overflow
        } else {
            if value < edges[idx] {
                idx = 0;
            }
            while idx < edges.len() - 2 && edges[idx + 1] <= value {
                idx += 1;
            }
            &mut res.counts[idx]
        };
        *slot = slot.saturating_add(count);
    }
    Ok(res)
}

fn equal_width(low: f64, high: f64, n_bins: u32) -> Result<Vec<f64>, Undefined> {
    let step = finite(high - low)? / f64::from(n_bins);
    let mut edges: Vec<f64> = (0..=n_bins).map(|it| f64::from(it) * step + low).collect();
    if let Some(last) = edges.last_mut() {
        *last = high;
    }
    if edges.windows(2).all(|it| it[0] < it[1]) { Ok(edges) } else { Err(Undefined::new(Reason::TooManyBins)) }
}

fn quantile_edges(points: &[Point], n_bins: u32) -> Result<Vec<f64>, Undefined> {
    if f64::from(n_bins) > MAX_BINS {
        return Err(Undefined::new(Reason::TooManyBins));
    }
    let levels: Vec<f64> = (0..=n_bins).map(|it| f64::from(it) / f64::from(n_bins)).collect();
    let mut edges = quantiles(points, &levels)?;
    edges.dedup();
    Ok(edges)
}

/// `range / (1 + log2 n + log2(1 + |g1| / σ(g1)))` with the sample skewness g1; 0 where that does not exist.
fn doane_width(points: &[Point], n: f64, range: f64) -> f64 {
    if n <= 2.0 {
        return 0.0;
    }
    let mean_of = |term: &dyn Fn(f64) -> f64| points.iter().map(|it| term(it.0) * it.1 as f64).sum::<f64>() / n;
    let mean = mean_of(&|it| it);
    let sigma = mean_of(&|it| (it - mean).powi(2)).sqrt();
    if sigma <= 0.0 || sigma.is_nan() {
        return 0.0;
    }
    let skewness = mean_of(&|it| ((it - mean) / sigma).powi(3));
    let skewness_sigma = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
    range / (1.0 + n.log2() + (1.0 + skewness.abs() / skewness_sigma).log2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_empty_and_non_finite_input() {
        for rule in [BinRule::Sturges, BinRule::Doane, BinRule::EqualWidth(4), BinRule::Quantiles(4)] {
            assert_eq!(bin_edges(&[(2.0, 9)], rule, Values::Real), Ok(vec![1.5, 2.5]));
            assert_eq!(bin_edges(&[], rule, Values::Real), Err(Undefined::new(Reason::Empty)));
            assert_eq!(bin_edges(&[(f64::INFINITY, 1)], rule, Values::Real), Err(Undefined::new(Reason::Infinite)));
            assert_eq!(bin_edges(&[(f64::NAN, 1)], rule, Values::Real), Err(Undefined::new(Reason::NotANumber)));
        }
        let narrow = [(1.0, 1), (1.0 + f64::EPSILON, 1)];
        assert_eq!(bin_edges(&narrow, BinRule::EqualWidth(11), Values::Real), Err(Undefined::new(Reason::TooManyBins)));
        assert_eq!(bin_edges(&narrow, BinRule::EqualWidth(0), Values::Real), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(bin_edges(&[(1e20, 1)], BinRule::Sturges, Values::Real), Err(Undefined::new(Reason::TooManyBins)));
    }

    #[test]
    fn whole_numbers_get_bins_of_at_least_one() {
        let points: Vec<Point> = (0..3).map(|it| (f64::from(it), 1000)).collect();
        assert_eq!(bin_edges(&points, BinRule::Sturges, Values::Whole), Ok(vec![0.0, 1.0, 2.0]));
    }

    #[test]
    fn counting_takes_infinite_edges_and_refuses_bad_ones() {
        let edges = [f64::NEG_INFINITY, 0.0, f64::INFINITY];
        assert_eq!(count_into(&[(-5.0, 1), (f64::INFINITY, 2)], &edges).unwrap().counts, [1, 2]);
        assert_eq!(count_into(&[], &[1.0]), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(count_into(&[], &[1.0, 1.0]), Err(Undefined::new(Reason::NotSorted)));
        assert_eq!(count_into(&[(f64::NAN, 1)], &[1.0, 2.0]), Err(Undefined::new(Reason::NotANumber)));
    }
}
