//! How often each row of a batch counts.

/// How often each row of a batch counts.
///
/// A profile of rows that count several times is the profile of rows that are there as often. A row that counts 0 times
/// is not there.
#[derive(Clone, Copy, Debug)]
pub enum Multiples<'a> {
    /// Once.
    One,
    /// So often, one number for each row.
    Each(&'a [u64]),
}

impl Multiples<'_> {
    /// Returns how often a row counts.
    #[inline]
    pub(crate) fn of(self, row: usize) -> u64 {
        match self {
            Self::One => 1,
            Self::Each(counts) => counts[row],
        }
    }

    /// Returns how often so many rows count together.
    pub fn total(self, n_rows: usize) -> u64 {
        match self {
            Self::One => n_rows as u64,
            Self::Each(counts) => counts.iter().fold(0, |sum, it| sum.saturating_add(*it)),
        }
    }
}
