//! The options of the analyzer.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    JsonSchema,
    cells::{CuttingOptions, ReferenceWindow},
    chunks::Chunks,
    report::Severity,
};
use serde::Deserialize;

use crate::{limits::Limits, row_options::OutlierRows, rule::ColumnRule};

/// Looks for what is wrong with data: columns, rows and labels of the current rows, alone and against the reference rows.
///
/// What the options write about a column is a contract, and breaking it is an error. Everything else is held against `limits` and
/// against the reference rows, where there are any, and is a finding of `severity`. A stored profile in place of them is compared in number of
/// rows, columns, types, missing values, NaN, infinities, constants, ranges, categories, classes and times.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What columns have to be, by name, `*` standing for any text, and `type:` before a type for all columns of it, as in `exclude`:
    /// `{ age = { type = "integer", min = 0, max = 120 }, "price_*" = { max_missing = 0.01 }, "type:text" = { max_missing = 0 } }`. A name
    /// goes before a pattern, and a pattern before a type.
    pub columns: BTreeMap<String, ColumnRule>,
    /// Whether there may be no other columns than those of `columns`.
    pub only_these: bool,
    /// The columns to look at, `*` standing for any text, and `type:` before a type for all columns of it, as in `exclude`; all where it is
    /// empty. Label, id, timestamp and weight are looked at in any case, and so are columns that `columns` has by name.
    pub include: Vec<String>,
    /// Columns to leave out, `*` standing for any text, and `type:` before a type for all columns of it: `integer`, `number`, `text`,
    /// `boolean`, `categorical`, `time` or `list`.
    pub exclude: Vec<String>,
    /// From which numbers on something is a finding.
    pub limits: Limits,
    /// How outliers among whole rows are looked for: `{ methods = ["loop"], neighbors = 30 }`.
    pub outlier_rows: OutlierRows,
    /// Whether shares, correlations and predictive power are those of the weight of rows, where the data has a weight column that is not left out.
    pub weights: bool,
    /// The least number of current rows.
    pub min_rows: Option<u64>,
    /// The greatest number of current rows.
    pub max_rows: Option<u64>,
    /// How young the rows have to be.
    pub freshness: Option<Freshness>,
    /// How the current rows are cut into chunks by the timestamp column, in UTC, each of which is judged by itself, column by column, beside all rows together: `{ period = "day" }`.
    /// Chunks by size and count follow the order of the rows, which is not kept here, and are refused.
    pub chunk: Option<Chunks>,
    /// What each chunk is compared with.
    pub reference_window: ReferenceWindow,
    /// How many chunks before it a chunk is compared with where the window is `rolling`, of those that have rows; 7 without it.
    #[schemars(range(min = 1))]
    pub rolling_chunks: Option<u64>,
    /// After which time a pattern comes back, where the window is `seasonal`: `"24h"`, `"7d"`, `"12mo"`, `"1y"`.
    pub season: Option<String>,
    /// The slice columns of the data whose slices are judged as well, `*` standing for any text: `["*"]` for all of them.
    pub slices: Vec<String>,
    /// The rows below which a chunk is too small to be judged, as is what it would be compared with.
    #[schemars(range(min = 1))]
    pub min_chunk_rows: u64,
    /// The rows below which a slice is too small to be judged, as is each chunk of it.
    #[schemars(range(min = 1))]
    pub min_slice_size: u64,
    /// How many columns of chunks and slices are kept of each role; more are an error. The smaller chunks are, the less each takes.
    #[schemars(range(min = 1))]
    pub max_cells: u64,
    /// What stands for a missing value in texts, beside null; upper and lower case and spaces around do not matter.
    pub null_words: Vec<String>,
    /// The severity of findings that are held against `limits` or the reference rows.
    pub severity: Severity,
    /// How many values of a column are kept exactly, per role; beyond it a histogram with a relative error of 1/256 is kept.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub budget: u64,
    /// How many categories of a column are counted, per role.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_categories: u64,
    /// How many different values of a column are counted exactly, per role; beyond it they are estimated.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub max_distinct: u64,
    /// How many different rows are told apart, per role; beyond it shares of rows are estimated.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub max_keys: u64,
    /// How many different rows are kept whole, per role, for correlations, predictive power and outliers among rows; a million values at
    /// most.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub sample_rows: u64,
}

/// How young the rows have to be. No clock is read: the time is that of the data, and of the options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Freshness {
    /// The column with the times: dates, timestamps or seconds since 1970; the one that the pipeline calls its timestamp if it is not given. Where
    /// it is not there, is of another type or has no value, freshness is not checked, and the run does not pass.
    pub column: Option<String>,
    /// The time that the youngest row has to reach: `2026-11-01T00:00:00Z`.
    pub newest: Option<String>,
    /// The time at which the data is judged; no row may be younger.
    pub as_of: Option<String>,
    /// How much older than `as_of` the youngest row may be: `36h`, `7d`.
    pub max_age: Option<String>,
}

/// What stands for a missing value in texts.
const NULL_WORDS: [&str; 13] =
    ["", "null", "none", "nan", "na", "n/a", "#n/a", "nil", "-", "--", "?", "undefined", "missing"];

impl Default for Config {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            only_these: false,
            include: Vec::new(),
            exclude: Vec::new(),
            limits: Limits::default(),
            outlier_rows: OutlierRows::default(),
            weights: true,
            min_rows: None,
            max_rows: None,
            freshness: None,
            chunk: None,
            reference_window: ReferenceWindow::default(),
            rolling_chunks: None,
            season: None,
            slices: Vec::new(),
            min_chunk_rows: 100,
            min_slice_size: 30,
            max_cells: 10_000,
            null_words: NULL_WORDS.map(str::to_owned).to_vec(),
            severity: Severity::Warning,
            budget: 10_000,
            max_categories: 10_000,
            max_distinct: 2048,
            max_keys: 65_536,
            sample_rows: 10_000,
        }
    }
}

impl Config {
    /// Returns how rows are cut, as it is written here.
    pub(crate) fn cutting(&self) -> CuttingOptions<'_> {
        CuttingOptions {
            chunk: self.chunk,
            reference_window: self.reference_window,
            rolling_chunks: self.rolling_chunks,
            season: self.season.as_deref(),
            slices: &self.slices,
            min_chunk_rows: self.min_chunk_rows,
            min_slice_size: self.min_slice_size,
            max_cells: self.max_cells,
        }
    }
}
