//! How different two rows of numbers and names are (Gower 1971).

use crate::hash::mix;

/// What stands for a missing number after [`gower_scaled`]: farther from every other number than any two of them can be.
const MISSING: f64 = f64::MAX;

/// Beyond it all numbers are alike. Differences to [`MISSING`] stay above 1.
const FARTHEST: f64 = 1e300;

/// A row of numbers and names.
#[derive(Clone, Copy, Debug)]
pub struct MixedRow<'a> {
    /// The numbers, each as [`gower_scaled`] gives it.
    pub numbers: &'a [f64],
    /// The names, by number.
    pub names: &'a [u32],
}

/// Returns a number in units of the range of its column, as [`gower_distance`] wants it. In a column without range every difference is 1.
///
/// ```
/// use modelwatch_stats::outliers::gower_scaled;
/// assert_eq!(gower_scaled(3.0, 4.0), 0.75);
/// ```
pub fn gower_scaled(value: f64, range: f64) -> f64 {
    if value.is_nan() {
        return MISSING;
    }
    if range > 0.0 {
        return (value / range).clamp(-FARTHEST, FARTHEST);
    }
    // Whole numbers that are others for every other value; both zeros are one.
    (mix((value + 0.0).to_bits()) >> 11) as f64
}

/// Returns the mean difference over all columns: `|a - b|` over the range of the column for numbers, at most 1; 0 for equal names and 1 for
/// others (Gower 1971). 0 for rows without columns.
///
/// The range is that of the rows that are usual, so that others may be farther away than it is wide. Gower leaves out columns in which one of
/// the rows has no value; then a row that has hardly any would be close to all others. Here what is missing is a value of its own: 0 away
/// from another missing one and 1 from everything else.
///
/// ```
/// use modelwatch_stats::outliers::{MixedRow, gower_distance, gower_scaled};
///
/// // Ages with a range of 50, incomes with one of 1000, and a town: 10/50, 250/1000 and another name.
/// let left = [gower_scaled(30.0, 50.0), gower_scaled(500.0, 1000.0)];
/// let right = [gower_scaled(40.0, 50.0), gower_scaled(250.0, 1000.0)];
/// let (left, right) = (MixedRow { numbers: &left, names: &[1] }, MixedRow { numbers: &right, names: &[2] });
/// assert!((gower_distance(left, right) - (0.2 + 0.25 + 1.0) / 3.0).abs() < 1e-15);
/// ```
pub fn gower_distance(left: MixedRow<'_>, right: MixedRow<'_>) -> f64 {
    let n_columns = left.numbers.len() + left.names.len();
    if n_columns == 0 {
        return 0.0;
    }
    let numbers: f64 = left.numbers.iter().zip(right.numbers).map(|(a, b)| (a - b).abs().min(1.0)).sum();
    let n_other_names = left.names.iter().zip(right.names).filter(|(a, b)| a != b).count();
    (numbers + n_other_names as f64) / n_columns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(left: f64, right: f64, range: f64) -> f64 {
        let (left, right) = ([gower_scaled(left, range)], [gower_scaled(right, range)]);
        gower_distance(MixedRow { numbers: &left, names: &[] }, MixedRow { numbers: &right, names: &[] })
    }

    #[test]
    fn a_column_adds_at_most_one() {
        assert_eq!(distance(1.0, 3.0, 4.0), 0.5);
        assert_eq!(distance(0.0, 1e6, 4.0), 1.0);
        assert_eq!(distance(f64::INFINITY, 3.0, 4.0), 1.0);
        assert_eq!(distance(f64::INFINITY, f64::NEG_INFINITY, 4.0), 1.0);
        assert_eq!(distance(f64::INFINITY, f64::INFINITY, 4.0), 0.0);
    }

    #[test]
    fn what_is_missing_is_like_nothing_else() {
        assert_eq!(distance(f64::NAN, f64::NAN, 4.0), 0.0);
        for other in [0.0, -1e308, f64::INFINITY] {
            assert_eq!(distance(f64::NAN, other, 4.0), 1.0, "{other}");
        }
    }

    #[test]
    fn a_column_without_range_tells_equal_values_from_others() {
        assert_eq!((distance(7.0, 7.0, 0.0), distance(7.0, 7.5, 0.0), distance(0.0, 1e-9, 0.0)), (0.0, 1.0, 1.0));
        let nothing = MixedRow { numbers: &[], names: &[] };
        assert_eq!(gower_distance(nothing, nothing), 0.0);
    }
}
