//! How much of a column is kept.

/// How much of a column is kept. States of different settings merge to what the smaller ones keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many different numbers of a column are kept exactly; beyond it as many of their leading bits as fit.
    pub budget: u64,
    /// How many categories of a column are counted while rows are read.
    pub max_categories: u64,
    /// How many of them a file keeps: the most frequent ones.
    pub stored_categories: u64,
    /// How many bytes of a file the names of a column take at most, with what describes them; as many categories are kept as fit.
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
}
