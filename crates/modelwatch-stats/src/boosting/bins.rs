//! Columns as bins, between whose edges the trees choose.

/// The bin of missing values; values have the bins below it.
pub(super) const MISSING: u8 = u8::MAX;
/// The most bins of values.
const MAX_BINS: usize = MISSING as usize;

/// A column in bins.
#[derive(Clone, Debug)]
pub(super) struct Binned {
    /// The bin of each row.
    pub(super) bins: Vec<u8>,
    /// `edges[b]` is the greatest value of bin `b`; the last bin has none.
    pub(super) edges: Vec<f64>,
}

impl Binned {
    /// Returns the column in bins: one per value where there are few, else bins of about equally many of the rows
    /// that are kept.
    pub(super) fn new(column: &[f64], kept: &[u32]) -> Self {
        let mut sorted: Vec<f64> = kept.iter().map(|it| column[*it as usize]).filter(|it| !it.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let edges = edges(&sorted);
        let bin = |value: &f64| match value {
            it if it.is_nan() => MISSING,
            it => edges.partition_point(|edge| edge < it) as u8,
        };
        Self { bins: column.iter().map(bin).collect(), edges }
    }
}

/// Returns edges between values; a value belongs below the first edge that it does not exceed.
fn edges(sorted: &[f64]) -> Vec<f64> {
    let changes: Vec<usize> = (1..sorted.len()).filter(|it| sorted[it - 1] < sorted[*it]).collect();
    let between = |at: &usize| middle(sorted[at - 1], sorted[*at]);
    if changes.len() < MAX_BINS {
        return changes.iter().map(between).collect();
    }
    // The first change of value at or after each quantile; several quantiles may share one.
    let mut res: Vec<usize> = (1..MAX_BINS)
        .filter_map(|it| changes.get(changes.partition_point(|at| *at < it * sorted.len() / MAX_BINS)).copied())
        .collect();
    res.dedup();
    res.iter().map(between).collect()
}

/// Returns a number that is at least `low` and below `high`.
fn middle(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if middle >= low && middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binned(column: &[f64]) -> Binned {
        let rows: Vec<u32> = (0..column.len() as u32).collect();
        Binned::new(column, &rows)
    }

    #[test]
    fn few_values_have_a_bin_each_and_missing_ones_their_own() {
        let it = binned(&[2.0, f64::NAN, 1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!(it.bins, [2, MISSING, 1, 2, 3, 0]);
        assert_eq!(it.edges, [f64::NEG_INFINITY, 1.5, 2.0]);
        assert_eq!(binned(&[f64::NAN]).bins, [MISSING]);
        assert_eq!(binned(&[7.0, 7.0]).edges, [0.0; 0]);
    }

    #[test]
    fn many_values_fill_bins_evenly() {
        let column: Vec<f64> = (0..25_500).map(f64::from).rev().collect();
        let it = binned(&column);
        let mut counts = [0; 256];
        it.bins.iter().for_each(|bin| counts[usize::from(*bin)] += 1);
        assert_eq!(counts[255], 0);
        assert!(counts[..255].iter().all(|it| *it == 100), "{counts:?}");
    }

    #[test]
    fn a_heavy_value_takes_one_bin_and_leaves_the_others_to_the_rest() {
        let mut column = vec![0.0; 10_000];
        column.extend((0..10_000).map(f64::from));
        let it = binned(&column);
        assert!((120..=135).contains(&it.edges.len()), "{}", it.edges.len());
    }
}
