//! The options of the analyzer.

use std::ops::RangeInclusive;

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    cells::{CuttingOptions, ReferenceWindow},
    chunks::Chunks,
    report::Severity,
    rows::Selection,
};
use serde::Deserialize;

/// Compares whole rows of the current data with those of the reference: features, columns of lists, outputs, labels and calibration.
///
/// Each question is answered by several tests together, and all questions of a run share `alpha`. A sample of the rows is compared,
/// which depends on the rows alone; the report says how many of how many.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The columns to compare, `*` standing for any text, and `type:` before a type for all columns of it: `integer`, `number`, `text`,
    /// `boolean`, `categorical`, `time` or `list`, as in `["num_*", "type:list"]`; all features where it is empty.
    pub columns: Vec<String>,
    /// Columns to leave out, by name, by `*` and by type as in `columns`.
    pub exclude: Vec<String>,
    /// Columns whose numbers are names of categories, `*` standing for any text.
    pub categorical: Vec<String>,
    /// Whether rows count by their weights, where the data has a weight column: the rows that are compared are drawn in proportion.
    pub weights: bool,
    /// The tests that answer together; `auto` where it is empty.
    pub tests: Vec<Test>,
    /// How numbers are brought to one scale.
    pub scale: Scale,
    /// The share of false alarms that is accepted over all questions of a run together.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How many random dealings of the rows a p-value comes from at least. It is never below 1 / (dealings + 1), so that many questions,
    /// as those of many chunks, take more dealings than this, 9,999 at most. Of slices whose questions go beyond these none is asked;
    /// those of all rows come first.
    #[schemars(range(min = 99, max = 99_999))]
    pub permutations: usize,
    /// The most rows of a role that are compared; the time grows with its square.
    #[schemars(range(min = 20, max = 20_000))]
    pub rows: usize,
    /// How many rows a role must have.
    #[schemars(range(min = 2))]
    pub min_rows: usize,
    /// How many categories of a column are told apart, the most frequent ones; the others count as one.
    #[schemars(range(min = 1, max = 1000))]
    pub max_categories: usize,
    /// Lists of more numbers than this are projected onto as many random directions.
    #[schemars(range(min = 1, max = 512))]
    pub dimensions: usize,
    /// How many nearest neighbors `neighbors` looks at.
    #[schemars(range(min = 1, max = 100))]
    pub neighbors: usize,
    /// How many folds `classifier` learns and judges in.
    #[schemars(range(min = 2, max = 20))]
    pub folds: usize,
    /// The layer of the candidate that rows are compared in as well, as the model sees them: the name of a tensor inside of an ONNX model, of
    /// those that `modelwatch model show` lists, or `penultimate` for what the last linear node before the first output reads.
    #[schemars(length(min = 1))]
    pub layer: Option<String>,
    /// Whether the model's outputs are compared, where both roles have them.
    pub predictions: bool,
    /// Whether labels are compared, where both roles have them.
    pub label: bool,
    /// Whether calibration is compared, where both roles have labels and probabilities.
    pub calibration: bool,
    /// The column of the data with the scores that were logged: of the positive class, or a list of one for each class. It is an output then,
    /// and no model is run.
    pub score: Option<String>,
    /// The names of the classes in the order of their scores, as they stand in the label column; `0`, `1`, … where it is empty.
    pub classes: Vec<String>,
    /// The class that a single score is of; the second one without it.
    pub positive: Option<String>,
    /// How the current rows are cut into chunks by the timestamp column, in UTC, each of which is judged by itself; all questions of
    /// all chunks and slices share `alpha`: `{ period = "day" }`.
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
    /// How many columns of chunks and slices are kept of each role; more are an error, and a list counts as many as it has numbers. All
    /// of them take 1 GiB of a role at most, of which each chunk and slice has its share: the more there may be, the smaller are the
    /// samples of each, and the report says of how many rows they are.
    #[schemars(range(min = 1))]
    pub max_cells: u64,
    /// Another seed samples, projects and deals otherwise.
    pub seed: u64,
    /// The severity of the findings.
    pub severity: Severity,
}

/// A two-sample test of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// `energy`, `classifier`, and for two columns of numbers or more `correlation`.
    Auto,
    /// The energy distance: any difference, large ones in the middle of the rows best.
    Energy,
    /// The maximum mean discrepancy with a Gaussian kernel as wide as the median distance.
    Mmd,
    /// The same over pairs of rows next to each other, each row used once, also for the width: a dealing takes the time of one pass, so that
    /// `rows` can be great. It sees less in the same rows.
    LinearMmd,
    /// Whether rows have their nearest neighbors in their own sample: differences in few places.
    Neighbors,
    /// Whether a logistic model can tell the samples apart: shifts, and which columns.
    Classifier,
    /// Whether boosted trees can tell the samples apart: any difference of a few columns together. It takes minutes for thousands of
    /// rows; lower `rows` or `permutations`.
    Trees,
    /// The greatest change of a correlation: columns that no longer go together.
    Correlation,
    /// The change of what the principal components of the reference do not restore, as NannyML measures it.
    Reconstruction,
}

/// How numbers are brought to one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// By their ranks among the rows of both samples, so that no outlier hides anything.
    #[default]
    Ranks,
    /// By the mean and the standard deviation of both samples. An infinity counts as missing.
    Standard,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            exclude: Vec::new(),
            categorical: Vec::new(),
            weights: true,
            tests: Vec::new(),
            scale: Scale::default(),
            alpha: 0.01,
            permutations: 999,
            rows: 1000,
            min_rows: 20,
            max_categories: 20,
            dimensions: 32,
            neighbors: 5,
            folds: 5,
            layer: None,
            predictions: true,
            label: true,
            calibration: true,
            score: None,
            classes: Vec::new(),
            positive: None,
            chunk: None,
            reference_window: ReferenceWindow::default(),
            rolling_chunks: None,
            season: None,
            slices: Vec::new(),
            min_chunk_rows: 100,
            min_slice_size: 30,
            max_cells: 1_000,
            seed: 0,
            severity: Severity::Warning,
        }
    }
}

impl Config {
    /// Returns the options if no value is outside its domain.
    pub(crate) fn validated(self) -> Result<Self> {
        self.selection().check()?;
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(Error::config("/alpha", format!("`{}` is no share of false alarms", self.alpha))
                .with_help("use a number above 0 and below 1, as 0.01"));
        }
        let numbers: [(&str, usize, RangeInclusive<usize>); 7] = [
            ("permutations", self.permutations, 99..=99_999),
            ("rows", self.rows, 20..=20_000),
            ("min_rows", self.min_rows, 2..=usize::MAX),
            ("max_categories", self.max_categories, 1..=1000),
            ("dimensions", self.dimensions, 1..=512),
            ("neighbors", self.neighbors, 1..=100),
            ("folds", self.folds, 2..=20),
        ];
        for (name, value, domain) in numbers {
            if !domain.contains(&value) {
                let (least, greatest) = (domain.start(), domain.end());
                let help = match *greatest {
                    usize::MAX => format!("use a number of at least {least}"),
                    greatest => format!("use a number from {least} to {greatest}"),
                };
                return Err(Error::config(format!("/{name}"), format!("`{value}` is out of range")).with_help(help));
            }
        }
        self.check_classes()?;
        if self.min_rows > self.rows {
            return Err(Error::config("/min_rows", "more rows are needed than are compared at most")
                .with_help(format!("use at most {}, or raise `rows`", self.rows)));
        }
        Ok(self)
    }

    fn check_classes(&self) -> Result<()> {
        if self.classes.len() == 1 {
            return Err(
                Error::config("/classes", "one class is none to tell from others").with_help("list all of them")
            );
        }
        if let Some(twice) = self.classes.iter().enumerate().find(|(at, it)| self.classes[..*at].contains(it)) {
            return Err(Error::config("/classes", format!("the class `{}` is there twice", twice.1)));
        }
        match &self.positive {
            Some(it) if !self.classes.contains(it) => {
                Err(Error::config("/positive", format!("`{it}` is none of the classes"))
                    .with_help("list both in `classes`"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the index of a class by its name in the label column.
    pub(crate) fn class(&self, name: &str) -> Option<usize> {
        let place = |name: &str| self.classes.iter().position(|it| it == name);
        // Booleans are read as words; a model's classes are more often 0 and 1.
        let number = match name {
            "false" => "0",
            "true" => "1",
            it => it,
        };
        if self.classes.is_empty() { number.parse().ok() } else { place(name).or_else(|| place(number)) }
    }

    /// Returns the index of the class that a single score is of.
    pub(crate) fn positive_class(&self) -> usize {
        self.positive.as_deref().and_then(|it| self.class(it)).unwrap_or(1)
    }

    /// Returns which columns are compared, and which numbers are categories.
    pub(crate) fn selection(&self) -> Selection<'_> {
        Selection { columns: &self.columns, exclude: &self.exclude, categorical: &self.categorical }
    }

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

    /// Returns the tests that answer for rows of which so many columns are numbers.
    pub(crate) fn tests(&self, n_numbers: usize) -> Vec<Test> {
        let mut res = self.tests.clone();
        if res.is_empty() || res.contains(&Test::Auto) {
            res.retain(|it| *it != Test::Auto);
            res.extend([Test::Energy, Test::Classifier]);
            if n_numbers >= 2 {
                res.push(Test::Correlation);
            }
        }
        res.sort();
        res.dedup();
        res
    }
}

impl Test {
    /// Returns the word that names it in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Energy => "energy",
            Self::Mmd => "mmd",
            Self::LinearMmd => "linear-mmd",
            Self::Neighbors => "neighbors",
            Self::Classifier => "classifier",
            Self::Trees => "trees",
            Self::Correlation => "correlation",
            Self::Reconstruction => "reconstruction",
        }
    }

    /// Returns what its statistic is.
    pub(crate) fn statistic(self) -> &'static str {
        match self {
            Self::Auto => "",
            Self::Energy => "energy distance",
            Self::Mmd => "MMD²",
            Self::LinearMmd => "linear-time MMD²",
            Self::Neighbors => "share of neighbors in the own sample",
            Self::Classifier => "area under the ROC curve of a logistic model",
            Self::Trees => "area under the ROC curve of boosted trees",
            Self::Correlation => "greatest change of a correlation, by Fisher's z",
            Self::Reconstruction => "change of the reconstruction error",
        }
    }
}
