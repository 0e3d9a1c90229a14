//! The options of the analyzer.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    cells::{CuttingOptions, ReferenceWindow},
    chunks::{Chunks, Period},
    pointer,
    report::Severity,
    rows::{Mention, Named, Selection, name_matches},
};
use serde::Deserialize;

use crate::method::{Kind, Method};

/// The share of false alarms per run where the options say nothing.
const DEFAULT_ALPHA: f64 = 0.01;

/// Compares the distribution of every column, and of the model's outputs, between the current and the reference rows.
///
/// A column is drifted where its difference is significant at `alpha` after the correction for the
/// number of columns, and at least as large as `min_effect`. Missing values are compared too.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The columns to compare, `*` standing for any text, and `type:` before a type for all columns of it: `integer`, `number`, `text`,
    /// `boolean`, `categorical`, `time` or `list`, as in `["num_*", "type:categorical"]`; all features where it is empty.
    /// A stored profile does not know types, so that they need the rows of the reference.
    pub columns: Vec<String>,
    /// Columns to leave out, by name, by `*` and by type as in `columns`.
    pub exclude: Vec<String>,
    /// Columns whose numbers are names of categories, `*` standing for any text.
    pub categorical: Vec<String>,
    /// How columns are compared whose values the method can compare; others are compared by `auto`.
    pub method: Method,
    /// How numeric columns are compared, in place of `method`.
    pub numeric_method: Option<Method>,
    /// How categorical columns are compared, in place of `method`.
    pub categorical_method: Option<Method>,
    /// How single columns are compared, by name, `*` standing for any text: `{ "price_*" = "wasserstein" }`. A full name goes before
    /// a pattern, and a longer pattern before a shorter one.
    pub methods: BTreeMap<String, Method>,
    /// From which number on the methods of other tools call a column drifted, in place of the tool's own: `{ "evidently:psi" = 0.2 }`.
    pub thresholds: BTreeMap<Method, f64>,
    /// How much single columns count in the metric `weighted_drifted_share`, by name, `*` standing for any text, as feature importances
    /// are: `{ income = 0.6, "age*" = 0.1 }`. The rules for names are those of `methods`; a column that has no entry counts nothing.
    pub importance: BTreeMap<String, f64>,
    /// The least differences that matter.
    pub min_effect: MinEffect,
    /// The share of false alarms that is accepted over all columns, outputs and missing values together (for each of them with
    /// correction `none`); 0.01 where neither this nor `false_alarm_budget` is given.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: Option<f64>,
    /// The share of false alarms that is accepted over a time with many runs, in place of `alpha`:
    /// `{ rate = 0.01, per = "week", checks = 168 }`.
    pub false_alarm_budget: Option<FalseAlarmBudget>,
    /// How p-values are corrected for the number of columns.
    pub correction: Correction,
    /// How many values a role must have in a column for it to be compared.
    #[schemars(range(min = 1))]
    pub min_rows: u64,
    /// Whether the model's outputs are compared as well, where both roles have them.
    pub predictions: bool,
    /// Whether rows count by their weights, where the data has a weight column. Methods of other tools know no weights, and need `false` there.
    pub weights: bool,
    /// How many different numbers of a column are kept exactly, per role; beyond it as many of their leading bits as fit.
    #[schemars(range(min = 100, max = 10_000_000))]
    pub budget: u64,
    /// How many elements of a column of lists are compared one by one, evenly spaced; the mean, standard deviation,
    /// minimum and maximum of each row are always compared.
    #[schemars(range(max = 4096))]
    pub max_elements: usize,
    /// How the current rows are cut into chunks by the timestamp column, in UTC, each of which is judged by itself: `{ period = "day" }`.
    /// Without it all rows are one. Chunks by size and count follow the order of the rows, which is not kept here, and are refused.
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
    /// The severity of the findings about drift.
    pub severity: Severity,
}

/// How often all runs of a time may raise a false alarm, together.
///
/// Each run gets an equal part of the rate, for all of its chunks and slices together. The chance that any run of the time calls anything
/// drifted by accident is then at most the rate, whatever the runs have to do with each other: a shared
/// reference or overlapping rows do no harm. The rows of a run must be independent of each other, as for every test.
/// The runs of the pipeline are counted in its history, and the metric `false_alarm_budget_spent` says which share of the budget these and
/// the present one take. Where as many as `checks` were made since the time began, in UTC, nothing is judged, and what is
/// required was not checked. A run that is not kept in a history cannot know, and says so as a gap; runs at the same time do not see each other.
/// Methods of other tools have their own rules and are outside of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarmBudget {
    /// The greatest chance of a false alarm over the time.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate: f64,
    /// The stretch of the calendar, in UTC.
    pub per: Period,
    /// Among how many runs the rate is divided: no more are judged in that time.
    #[schemars(range(min = 1))]
    pub checks: u64,
}

/// The least differences that matter; a smaller one is no drift, however significant.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MinEffect {
    /// The Kolmogorov-Smirnov statistic: the greatest difference of the two cumulative shares. It is the size of a difference for
    /// every test of numbers.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ks: f64,
    /// The total variation distance, the share of rows in other categories. It is the size of a difference for every test of categories;
    /// of many rare ones, less what chance makes of it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub chi2: f64,
    /// The population stability index.
    #[schemars(range(min = 0.0))]
    pub psi: f64,
    /// The Jensen-Shannon distance in base 2.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jensen_shannon: f64,
    /// The Kullback-Leibler divergence.
    #[schemars(range(min = 0.0))]
    pub kl: f64,
    /// The Hellinger distance.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hellinger: f64,
    /// The greatest difference of two shares.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub chebyshev: f64,
    /// The Wasserstein distance in standard deviations of the reference, with the outermost values of both roles pulled in.
    #[schemars(range(min = 0.0))]
    pub wasserstein: f64,
    /// The energy distance over the root of that standard deviation.
    #[schemars(range(min = 0.0))]
    pub energy: f64,
    /// The maximum mean discrepancy.
    pub mmd: f64,
    /// The difference of the shares of missing values.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub missing: f64,
}

/// How p-values are corrected for the number of columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Holm: `alpha` bounds the chance that any column is called drifted by accident.
    #[default]
    Holm,
    /// Benjamini and Hochberg: `alpha` bounds the share of accidents among the columns that are called drifted.
    BenjaminiHochberg,
    /// None: `alpha` holds for each column on its own.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            exclude: Vec::new(),
            categorical: Vec::new(),
            method: Method::default(),
            numeric_method: None,
            categorical_method: None,
            methods: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            importance: BTreeMap::new(),
            min_effect: MinEffect::default(),
            alpha: None,
            false_alarm_budget: None,
            correction: Correction::default(),
            min_rows: 20,
            predictions: true,
            weights: true,
            budget: 10_000,
            max_elements: 64,
            chunk: None,
            reference_window: ReferenceWindow::default(),
            rolling_chunks: None,
            season: None,
            slices: Vec::new(),
            min_chunk_rows: 100,
            min_slice_size: 30,
            max_cells: 10_000,
            severity: Severity::Warning,
        }
    }
}

impl Default for MinEffect {
    fn default() -> Self {
        Self {
            ks: 0.1,
            chi2: 0.1,
            psi: 0.1,
            jensen_shannon: 0.1,
            kl: 0.1,
            hellinger: 0.1,
            chebyshev: 0.1,
            wasserstein: 0.1,
            energy: 0.1,
            mmd: 0.05,
            missing: 0.02,
        }
    }
}

impl Config {
    /// Returns the options if no value is outside its domain.
    pub(crate) fn validated(self) -> Result<Self> {
        self.selection().check()?;
        self.check_numbers()?;
        self.check_error_rate()?;
        self.check_methods()?;
        Ok(self)
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

    /// Returns which columns are compared, and which numbers are categories.
    pub(crate) fn selection(&self) -> Selection<'_> {
        Selection { columns: &self.columns, exclude: &self.exclude, categorical: &self.categorical }
    }

    /// Returns what stands for columns beside the selection.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = Mention> {
        let of = if self.predictions { Named::ColumnOrOutput } else { Named::Column };
        let methods = Mention::keys("methods", &self.methods).map(move |it| it.of(of));
        methods.chain(Mention::keys("importance", &self.importance))
    }

    /// Returns the error rate of one run.
    pub(crate) fn alpha(&self) -> f64 {
        match self.false_alarm_budget {
            Some(it) => it.rate / it.checks as f64,
            None => self.alpha.unwrap_or(DEFAULT_ALPHA),
        }
    }

    /// Returns how a column of that name and kind is compared.
    ///
    /// # Errors
    /// When the column was given a method that cannot compare such values.
    pub(crate) fn method_of(&self, name: &str, kind: Kind) -> std::result::Result<Method, String> {
        if let Some(method) = by_name(&self.methods, name) {
            if !method.fits(kind) {
                return Err(format!("`{}` cannot compare {}", method.name(), kind.word()));
            }
            return Ok(*method);
        }
        let by_kind = match kind {
            Kind::Numbers => self.numeric_method,
            Kind::Categories => self.categorical_method,
        };
        Ok(by_kind.unwrap_or(if self.method.fits(kind) { self.method } else { Method::Auto }))
    }

    /// Returns how much a column counts in the weighted share.
    pub(crate) fn importance_of(&self, name: &str) -> f64 {
        by_name(&self.importance, name).copied().unwrap_or(0.0)
    }

    fn check_numbers(&self) -> Result<()> {
        for (name, value) in &self.importance {
            if !(value.is_finite() && *value >= 0.0) {
                return Err(Error::config(format!("/importance/{name}"), format!("`{value}` is no importance"))
                    .with_help("use a number of at least 0"));
            }
        }
        let effects = [
            ("ks", self.min_effect.ks, 1.0),
            ("chi2", self.min_effect.chi2, 1.0),
            ("psi", self.min_effect.psi, f64::MAX),
            ("jensen_shannon", self.min_effect.jensen_shannon, 1.0),
            ("kl", self.min_effect.kl, f64::MAX),
            ("hellinger", self.min_effect.hellinger, 1.0),
            ("chebyshev", self.min_effect.chebyshev, 1.0),
            ("wasserstein", self.min_effect.wasserstein, f64::MAX),
            ("energy", self.min_effect.energy, f64::MAX),
            ("mmd", self.min_effect.mmd, f64::MAX),
            ("missing", self.min_effect.missing, 1.0),
        ];
        for (name, value, greatest) in effects {
            if !(0.0..=greatest).contains(&value) {
                return Err(Error::config(format!("/min_effect/{name}"), format!("`{value}` is no least effect"))
                    .with_help(if greatest == 1.0 {
                        "use a number from 0 to 1"
                    } else {
                        "use a number of at least 0"
                    }));
            }
        }
        let lengths = [
            ("min_rows", self.min_rows, 1, u64::MAX),
            ("budget", self.budget, 100, 10_000_000),
            ("max_elements", self.max_elements as u64, 0, 4096),
        ];
        for (name, value, least, greatest) in lengths {
            if !(least..=greatest).contains(&value) {
                return Err(Error::config(format!("/{name}"), format!("`{value}` is out of range"))
                    .with_help(format!("use a whole number from {least} to {greatest}")));
            }
        }
        Ok(())
    }

    fn check_error_rate(&self) -> Result<()> {
        let check = |path: &str, rate: f64| {
            if rate > 0.0 && rate < 1.0 {
                return Ok(());
            }
            Err(Error::config(path, format!("`{rate}` is no error rate"))
                .with_help("use a number between 0 and 1, as 0.01"))
        };
        if let Some(alpha) = self.alpha {
            check("/alpha", alpha)?;
        }
        let Some(budget) = self.false_alarm_budget else { return Ok(()) };
        check("/false_alarm_budget/rate", budget.rate)?;
        if budget.checks == 0 {
            return Err(Error::config("/false_alarm_budget/checks", "a budget for no runs cannot be divided")
                .with_help("say how many runs there are in that time"));
        }
        if self.alpha.is_some() {
            return Err(Error::config("/alpha", "both `alpha` and `false_alarm_budget` are given")
                .with_help("leave out `alpha`: each run gets `rate / checks`"));
        }
        if self.correction != Correction::Holm {
            return Err(Error::config("/correction", "this correction does not bound the chance of a false alarm")
                .with_help("use `holm` with `false_alarm_budget`"));
        }
        Ok(())
    }

    fn check_methods(&self) -> Result<()> {
        let by_kind = [
            ("numeric_method", self.numeric_method, Kind::Numbers),
            ("categorical_method", self.categorical_method, Kind::Categories),
        ];
        for (name, method, kind) in by_kind {
            if let Some(method) = method.filter(|it| !it.fits(kind)) {
                let why = format!("`{}` cannot compare {}", method.name(), kind.word());
                return Err(Error::config(format!("/{name}"), why)
                    .with_help("see the description of `method` for what each can compare"));
            }
        }
        for (method, threshold) in &self.thresholds {
            let path = format!("/thresholds/{}", method.name());
            if method.rule().is_none() {
                return Err(Error::config(path, format!("`{}` is judged by p-value and effect", method.name()))
                    .with_help("use `alpha` and `min_effect`; thresholds are for methods of other tools"));
            }
            if !threshold.is_finite() || *threshold < 0.0 {
                return Err(Error::config(path, format!("`{threshold}` is no threshold"))
                    .with_help("use a number of at least 0"));
            }
        }
        let named = [("/method".to_owned(), self.method)];
        let by_kind = by_kind.iter().filter_map(|it| Some((pointer("", it.0), it.1?)));
        let by_name = self.methods.iter().map(|it| (pointer("/methods", it.0), *it.1));
        for (place, method) in named.into_iter().chain(by_kind).chain(by_name) {
            let has_none = method.rule().is_some_and(|it| it.threshold().is_nan());
            if has_none && !self.thresholds.contains_key(&method) {
                let why = format!("`{}` has no threshold of its own", method.name());
                return Err(Error::config(place, why)
                    .with_help(format!("give one, as in `thresholds = {{ \"{}\" = 0.1 }}`", method.name())));
            }
        }
        Ok(())
    }
}

/// Returns the entry of a name: of the full one, else of the longest pattern that fits.
fn by_name<'a, T>(entries: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    entries.get(name).or_else(|| {
        let fitting = entries.iter().filter(|it| name_matches(it.0, name));
        // The first of equally long ones, in the order of their text.
        fitting.rev().max_by_key(|it| it.0.len()).map(|it| it.1)
    })
}
