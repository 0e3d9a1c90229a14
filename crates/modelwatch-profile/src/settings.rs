//! How much of a column is kept.

/// So many columns are to fit into a megabyte.
const N_COLUMNS: usize = 200;

/// What is written of a column of numbers beside these, at most.
const BESIDE_NUMBERS: usize = 1000;

/// How much of a column is kept. States of different settings merge to what the smaller ones keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many different numbers of a column are kept exactly; beyond it as many of their leading bits as fit.
    pub budget: u64,
    /// How many categories of a column are counted while rows are read.
    pub max_categories: u64,
    /// How many of them a file keeps: the most frequent ones.
    pub stored_categories: u64,
    /// How many bytes of a file the names of a column take at most, with what describes them; as many categories are kept as fit. Numbers
    /// of more than 200 columns take as much, and those of fewer columns more.
    pub stored_bytes: usize,
    /// How many elements of a column of lists are kept one by one, evenly spaced.
    pub max_elements: usize,
    /// Whether columns are described as well: moments, different values, lengths and patterns of texts, first and last time.
    pub describe: bool,
}

impl Settings {
    /// What a stored profile keeps: less than 5 kB of a column of numbers or names, so that 200 columns take less than 1 MB.
    pub const STORED: Self = Self {
        budget: 1024,
        max_categories: 10_000,
        stored_categories: 500,
        stored_bytes: 4800,
        max_elements: 16,
        describe: true,
    };

    /// Returns how many bytes of a file the numbers of each of so many columns take at most. Few columns have room for all numbers that the
    /// budget allows, and so has whoever asked for a greater budget.
    pub(crate) fn room_of_numbers(&self, n_columns: usize) -> usize {
        if self.budget > Self::STORED.budget {
            return usize::MAX;
        }
        let of_all = N_COLUMNS.saturating_mul(self.stored_bytes);
        let of_one = (of_all / n_columns.max(1)).max(self.stored_bytes);
        of_one.saturating_sub(BESIDE_NUMBERS)
    }
}
