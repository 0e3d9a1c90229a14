//! Rows of numbers over one slice.

use crate::error::{Reason, Undefined};

/// Rows of equally many finite numbers, one after the other in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub(super) values: &'a [f64],
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    /// Returns the rows of `width` numbers each.
    ///
    /// Undefined without a number, for a length that is no multiple of the width, for NaN and for infinities.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::Rows;
    ///
    /// let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
    /// assert_eq!((rows.len(), rows.row(1)), (2, [3.0, 4.0].as_slice()));
    /// ```
    pub fn new(values: &'a [f64], width: usize) -> Result<Self, Undefined> {
        if values.is_empty() || width == 0 {
            return Err(Undefined::new(Reason::Empty));
        }
        if !values.len().is_multiple_of(width) {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        if values.iter().any(|it| it.is_nan()) {
            return Err(Undefined::new(Reason::NotANumber));
        }
        if values.iter().any(|it| it.is_infinite()) {
            return Err(Undefined::new(Reason::Infinite));
        }
        Ok(Self { values, width })
    }

    /// Returns the number of rows.
    #[allow(clippy::len_without_is_empty)] // There is always one.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Returns how many numbers a row has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns a row.
    pub fn row(&self, idx: usize) -> &'a [f64] {
        &self.values[idx * self.width..(idx + 1) * self.width]
    }

    /// Returns the rows in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [f64]> {
        self.values.chunks_exact(self.width)
    }

    /// Returns the first rows, at most `n`.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        Self { values: &self.values[..self.width * n.clamp(1, self.len())], width: self.width }
    }

    /// Returns the mean of each column.
    pub(super) fn means(&self) -> Vec<f64> {
        let mut res = vec![0.0; self.width];
        for row in self.iter() {
            res.iter_mut().zip(row).for_each(|(sum, it)| *sum += it);
        }
        res.iter_mut().for_each(|it| *it /= self.len() as f64);
        res
    }
}

/// Returns the squared Euclidean distance.
pub(super) fn squared_distance(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Returns an error unless both have rows of the same width.
pub(super) fn alike(left: &Rows<'_>, right: &Rows<'_>) -> Result<(), Undefined> {
    if left.width == right.width { Ok(()) } else { Err(Undefined::new(Reason::LengthMismatch)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_of_numbers_is_undefined() {
        let reason = |values: &[f64], width| Rows::new(values, width).unwrap_err().reason;
        assert_eq!(reason(&[], 1), Reason::Empty);
        assert_eq!(reason(&[1.0], 0), Reason::Empty);
        assert_eq!(reason(&[1.0, 2.0, 3.0], 2), Reason::LengthMismatch);
        assert_eq!(reason(&[1.0, f64::NAN], 1), Reason::NotANumber);
        assert_eq!(reason(&[1.0, f64::INFINITY], 1), Reason::Infinite);
    }

    #[test]
    fn the_first_rows_are_never_more_than_there_are() {
        let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((rows.first(1).len(), rows.first(9).len(), rows.first(0).len()), (1, 2, 1));
        assert_eq!(rows.means(), [2.0, 3.0]);
    }
}
