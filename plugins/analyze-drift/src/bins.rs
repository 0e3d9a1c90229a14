//! Bins for the shares behind distances, and for pictures.

use modelwatch_stats::{
    Point, Undefined,
    quantile::quantiles,
    two_sample::{BinRule, Values, bin_edges, count_into},
};

use crate::comparison::{Cell, Histogram};

/// Up to so many distinct values, each has a bin of its own.
const MAX_VALUE_BINS: usize = 20;
const QUANTILE_BINS: u32 = 10;
const PICTURE_BINS: u32 = 20;

/// The share of values at either end that does not widen the picture.
const PICTURE_TAIL: f64 = 0.005;

/// Counts of both samples per cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    /// The range or value of each cell.
    pub(crate) names: Vec<String>,
    /// How many reference values each cell has.
    pub(crate) reference: Vec<u64>,
    /// How many current values each cell has.
    pub(crate) current: Vec<u64>,
}

impl Cells {
    /// Returns the cells with their shares.
    pub(crate) fn shares(&self) -> Vec<Cell> {
        let total = |counts: &[u64]| counts.iter().fold(0u64, |sum, &it| sum.saturating_add(it)) as f64;
        let (m, n) = (total(&self.reference), total(&self.current));
        let counts = self.reference.iter().zip(&self.current);
        let cell = |(name, (left, right)): (&String, (&u64, &u64))| Cell {
            name: name.clone(),
            reference: *left as f64 / m,
            current: *right as f64 / n,
        };
        self.names.iter().zip(counts).map(cell).collect()
    }

    fn push(&mut self, name: String, reference: u64, current: u64) {
        self.names.push(name);
        self.reference.push(reference);
        self.current.push(current);
    }
}

/// Returns the counts per value where there are few, else per tenth of the reference, whose ends are open.
pub(crate) fn cells(left: &[Point], right: &[Point], offset: i128) -> Result<Cells, Undefined> {
    let mut res = Cells::default();
    if left.len() <= MAX_VALUE_BINS {
        let mut values: Vec<f64> = left.iter().chain(right).map(|it| it.0).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if values.len() > MAX_VALUE_BINS {
            values = left.iter().map(|it| it.0).collect();
        }
        for &it in &values {
            res.push(whole(it, offset).unwrap_or_else(|| it.to_string()), count_of(left, it), count_of(right, it));
        }
        let rest = total(right) - res.current.iter().sum::<u64>();
        if rest > 0 {
            res.push("other values".to_owned(), 0, rest);
        }
        return Ok(res);
    }
    let edges = bin_edges(left, BinRule::Quantiles(QUANTILE_BINS), Values::Real)?;
    let (reference, current) = (counts(left, &edges)?, counts(right, &edges)?);
    let last = edges.len().saturating_sub(2);
    let shown = |idx: usize| whole(edges[idx], offset).unwrap_or_else(|| shown(edges[idx]));
    let name = |idx: usize| match (idx, idx == last) {
        (0, true) => "all".to_owned(),
        (0, false) => format!("below {}", shown(1)),
        (_, true) => format!("from {}", shown(idx)),
        (_, false) => format!("{} to {}", shown(idx), shown(idx + 1)),
    };
    for (idx, (reference, current)) in reference.into_iter().zip(current).enumerate() {
        res.push(name(idx), reference, current);
    }
    Ok(res)
}

/// Returns a whole number in full, where it was moved by an offset.
pub(crate) fn whole(value: f64, offset: i128) -> Option<String> {
    (offset != 0).then(|| (offset + value.round() as i128).to_string())
}

/// Returns a large whole number in full, since neighbors have the same first digits, and others with four digits.
fn shown(value: f64) -> String {
    /// From here on, not every whole number is one of 64 bits.
    const GREATEST: f64 = 1.8e19;
    let is_large = (1e4..GREATEST).contains(&value.abs());
    if is_large && value.fract() == 0.0 { format!("{value:.0}") } else { short(value) }
}

/// Returns the number with four significant digits.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..9.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Returns shares between edges of equal distance; the outermost values are in the outermost bins.
///
/// There are no edges where there are few distinct values, or no room between them.
pub(crate) fn histogram(left: &[Point], right: &[Point]) -> Histogram {
    picture(left, right).unwrap_or_default()
}

fn picture(left: &[Point], right: &[Point]) -> Option<Histogram> {
    if left.len() <= MAX_VALUE_BINS && right.len() <= MAX_VALUE_BINS {
        return None;
    }
    let ends = |points: &[Point]| quantiles(points, &[PICTURE_TAIL, 1.0 - PICTURE_TAIL]).ok();
    let (left_ends, right_ends) = (ends(left)?, ends(right)?);
    let (low, high) = (left_ends[0].min(right_ends[0]), left_ends[1].max(right_ends[1]));
    let step = high / f64::from(PICTURE_BINS) - low / f64::from(PICTURE_BINS);
    let edges: Vec<f64> = (0..=PICTURE_BINS).map(|it| low + step * f64::from(it)).collect();
    if edges.windows(2).any(|it| it[0] >= it[1]) {
        return None;
    }
    Some(Histogram { reference: shares(left, &edges).ok()?, current: shares(right, &edges).ok()?, edges })
}

fn shares(points: &[Point], edges: &[f64]) -> Result<Vec<f64>, Undefined> {
    let total = total(points) as f64;
    Ok(counts(points, edges)?.into_iter().map(|it| it as f64 / total).collect())
}

fn counts(points: &[Point], edges: &[f64]) -> Result<Vec<u64>, Undefined> {
    let mut bins = count_into(points, edges)?;
    if let Some(it) = bins.counts.first_mut() {
        *it += bins.underflow;
    }
    if let Some(it) = bins.counts.last_mut() {
        *it += bins.overflow;
    }
    Ok(bins.counts)
}

/// Returns how often the value occurs.
pub(crate) fn count_of(points: &[Point], value: f64) -> u64 {
    points.binary_search_by(|it| it.0.total_cmp(&value)).map_or(0, |idx| points[idx].1)
}

/// Returns the number of values.
pub(crate) fn total(points: &[Point]) -> u64 {
    points.iter().fold(0, |sum, it| sum.saturating_add(it.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_cells(left: &[f64], right: &[f64], expected: &[(&str, f64, f64)]) {
        let points = |it: &[f64]| it.iter().map(|&it| (it, 1)).collect::<Vec<_>>();
        let cells = cells(&points(left), &points(right), 0).unwrap().shares();
        let got: Vec<_> = cells.iter().map(|it| (it.name.as_str(), it.reference, it.current)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn few_values_have_a_cell_each_and_strangers_share_one() {
        check_cells(&[1.0, 2.0], &[2.0, 3.0], &[("1", 0.5, 0.0), ("2", 0.5, 0.5), ("3", 0.0, 0.5)]);
        let many: Vec<f64> = (0..40).map(|it| f64::from(it) / 4.0).collect();
        check_cells(&[1.0], &many, &[("1", 1.0, 0.025), ("other values", 0.0, 0.975)]);
    }

    #[test]
    fn an_outlier_does_not_widen_the_bins() {
        let mut left: Vec<Point> = (0..1000).map(|it| (f64::from(it), 1)).collect();
        let right = left.clone();
        left.push((1e9, 1));
        let histogram = histogram(&left, &right);
        assert_eq!(histogram.edges.len(), 21);
        assert!(histogram.edges[20] < 1000.0);
        assert!((histogram.reference.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(cells(&left, &right, 0).unwrap().shares().iter().all(|it| (it.current - 0.1).abs() < 0.01));
    }

    #[test]
    fn large_whole_numbers_are_shown_in_full() {
        let points: Vec<Point> = (0..100).map(|it| (9_007_199_254_740_000.0 + f64::from(it), 1)).collect();
        let names = cells(&points, &points, 0).unwrap().names;
        assert_eq!(names[1], "9007199254740010 to 9007199254740020");
        assert_eq!((shown(-1e300), shown(12_345.5), shown(12.0)), ("-1.000e300".into(), "12346".into(), "12".into()));
    }

    #[test]
    fn numbers_are_shown_with_four_digits() {
        let cases =
            [(0.0, "0"), (1234.56, "1235"), (0.012_345, "0.01235"), (2.5, "2.5"), (-1e12, "-1.000e12"), (100.0, "100")];
        for (value, expected) in cases {
            assert_eq!(short(value), expected);
        }
    }
}
