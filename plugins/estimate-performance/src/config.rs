//! The options of the analyzer.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    cells::{CuttingOptions, ReferenceWindow, Window},
    chunks::{Chunks, Period},
    report::Severity,
    rows::Selection,
};
use serde::Deserialize;

use crate::metric::Metric;

/// The chance of a false alarm per run where the options say nothing.
const DEFAULT_ALPHA: f64 = 0.01;

/// NannyML's number of standard deviations.
const DEFAULT_DEVIATIONS: f64 = 3.0;

/// Estimates metrics of the model on current rows without labels, from labeled reference rows: of a classifier from its
/// calibrated scores, of a regression from trees that learn its errors.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the model does.
    pub task: Task,
    /// The column of the data with the score of the positive class, or with a list of one score per class. Without this,
    /// `class_scores` and (for a regression) `prediction`, the candidate model is run.
    #[serde(default)]
    pub score: Option<String>,
    /// The columns of the data with the scores of each class, by the name of the class.
    #[serde(default)]
    pub class_scores: BTreeMap<String, String>,
    /// The column of the data with the class that was called, or the number that was predicted. A classifier without one
    /// calls the class with the highest score, or the positive class from `threshold` on.
    #[serde(default)]
    pub prediction: Option<String>,
    /// The output of the candidate to look at, if it has several.
    #[serde(default)]
    pub output: Option<String>,
    /// The names of the classes in the order of their scores, as they stand in the label column. Without it they are
    /// those of `class_scores`, or `0`, `1`, ….
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The positive class of a binary model. Without it: the second class.
    #[serde(default)]
    pub positive: Option<String>,
    /// The score from which on a binary model without a `prediction` column calls a row positive.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// Whether rows count by their weights, where the data has a weight column.
    #[serde(default = "default_weights")]
    pub weights: bool,
    /// The metrics to estimate. Without it: all of the task.
    #[serde(default)]
    pub metrics: Option<Vec<Metric>>,
    /// What a row is worth by what it is and is called, for `business_value`.
    #[serde(default)]
    pub values: Option<CellValues>,
    /// How the rows of each role are cut into chunks: `{ size = 5000 }` rows, a `{ count = 10 }`, or by time, as `{ period = "day" }`.
    /// Without it a chunk is a tenth of the rows, rounded down, as in NannyML; what is left at the end is a chunk, too.
    #[serde(default)]
    pub chunk: Option<Chunks>,
    /// What the limits of each chunk come from: `fixed`, the chunks of the reference; `rolling`, as many chunks before it as
    /// `rolling_chunks` says; `expanding`, those of the reference and all before it; `seasonal`, those one, two, three, … times a `season` before it. Chunks
    /// of current rows count where they have labels. All but `fixed` need chunks by time.
    #[serde(default)]
    pub reference_window: ReferenceWindow,
    /// How many chunks before it a chunk is held against where the window is `rolling`, of those that have labels; 7 without it. The
    /// limits know that few chunks say little of how chunks differ: of two they are nearly a hundred times as wide as of many, of seven less
    /// than twice.
    #[serde(default)]
    #[schemars(range(min = 2))]
    pub rolling_chunks: Option<u64>,
    /// After which time a pattern comes back, where the window is `seasonal`: `"24h"`, `"7d"`, `"12mo"`, `"1y"`.
    #[serde(default)]
    pub season: Option<String>,
    /// The rows below which a chunk is too small: its estimate is reported, and nothing is concluded from it. Where rows have weights, they are
    /// as many as those that count alike which they are worth, by Kish.
    #[serde(default = "default_min_chunk_rows")]
    #[schemars(range(min = 1))]
    pub min_chunk_rows: u64,
    /// By which rule limits come from the chunks of the reference.
    #[serde(default)]
    pub rule: Rule,
    /// The chance that is accepted that a run without any change raises an alarm, over all metrics, chunks and slices together, about
    /// estimates, about what labels gave, and about the two differing; 0.01 without it. It is an option of the rule `budget`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: Option<f64>,
    /// How many standard deviations of a metric over chunks of the reference an estimate may be from their mean by the rule `nannyml`; 3
    /// without it. The more chunks there are, the more these limits are worth; of a few, some are narrow by accident.
    #[serde(default)]
    pub deviations: Option<f64>,
    /// The least and greatest value of a metric that is fine, in place of what the reference says: `{ roc_auc = { lower = 0.8 } }`.
    #[serde(default)]
    pub limits: BTreeMap<Metric, Limits>,
    /// Whether scores are calibrated on the reference.
    #[serde(default)]
    pub calibration: Calibration,
    /// The expected calibration error of scores on the reference that is still fine.
    #[serde(default = "default_max_calibration_error")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_calibration_error: f64,
    /// The columns that the errors of a regression are learned from, `*` standing for any text, and `type:` before a type for all columns of
    /// it: `integer`, `number`, `text`, `boolean`, `categorical`, `time` or `list`; all features where it is empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Columns that they are not learned from, by name, by `*` and by type as in `columns`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The most rows of each role.
    #[serde(default = "default_max_rows")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_rows: u64,
    /// The slice columns of the data whose slices are judged as well, `*` standing for any text: `["*"]` for all of them. The estimator is
    /// that of all rows, and a slice is held against its own rows in the reference; where these show that the estimator does not hold
    /// for it, it is not judged. At most 1,000 slices of a role, and 100,000 chunks of slices.
    #[serde(default)]
    pub slices: Vec<String>,
    /// The current rows below which a slice is too small to be looked at.
    #[serde(default = "default_min_slice_size")]
    #[schemars(range(min = 1))]
    pub min_slice_size: u64,
    /// The severity of findings about estimates and metrics outside of their limits.
    #[serde(default = "default_severity")]
    pub severity: Severity,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// It tells two classes apart.
    Binary,
    /// It tells more than two classes apart.
    Multiclass,
    /// It predicts a number.
    Regression,
}

/// How limits come from what labels gave in the chunks of the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Prediction intervals for one more chunk, so wide that `alpha` holds for all metrics, chunks and slices of a run together
    /// (Bonferroni). What chunks differ by as samples is known from the rows; what they differ by beyond that is estimated from the chunks,
    /// and counts by Student's t for as little as so few of them tell.
    #[default]
    Budget,
    /// NannyML's: the mean over the chunks of the reference and `deviations` standard deviations around it, whatever the number of chunks and
    /// metrics. Of ten chunks and all metrics of a binary model, one run in five alarms without any change.
    Nannyml,
}

/// Whether scores are calibrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// Where isotonic regression makes the calibration error of rows smaller that it has not seen, as NannyML tries it,
    /// and where scores are no chances.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: the scores are chances.
    Never,
}

/// What a row is worth.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellValues {
    /// A positive row that is called positive.
    pub true_positive: f64,
    /// A negative row that is called positive.
    pub false_positive: f64,
    /// A positive row that is called negative.
    pub false_negative: f64,
    /// A negative row that is called negative.
    pub true_negative: f64,
}

/// The values of a metric that are fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The least.
    pub lower: Option<f64>,
    /// The greatest.
    pub upper: Option<f64>,
}

fn default_threshold() -> f64 {
    0.5
}

fn default_weights() -> bool {
    true
}

fn default_min_chunk_rows() -> u64 {
    100
}

fn default_max_calibration_error() -> f64 {
    0.05
}

fn default_max_rows() -> u64 {
    2_000_000
}

fn default_min_slice_size() -> u64 {
    30
}

fn default_severity() -> Severity {
    Severity::Warning
}

impl Config {
    /// Returns the options if they do not contradict each other.
    pub(crate) fn validated(self) -> Result<Self> {
        self.selection().check()?;
        self.check_sources()?;
        self.check_classes()?;
        self.check_metrics()?;
        self.check_numbers()?;
        self.check_rule()?;
        self.window()?;
        Ok(self)
    }

    /// Returns which chunks the limits of each chunk come from.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub(crate) fn window(&self) -> Result<Window> {
        if self.rolling_chunks == Some(1) {
            return Err(Error::config("/rolling_chunks", "one chunk does not say how chunks differ")
                .with_help("use a whole number of at least 2"));
        }
        let options = CuttingOptions {
            chunk: self.chunk,
            reference_window: self.reference_window,
            rolling_chunks: self.rolling_chunks,
            season: self.season.as_deref(),
            slices: &self.slices,
            min_chunk_rows: self.min_chunk_rows,
            min_slice_size: self.min_slice_size,
            // It is the rows that are kept, and bounded.
            max_cells: u64::MAX,
        };
        options.window(self.period())
    }

    /// Returns the columns that errors are learned from.
    pub(crate) fn selection(&self) -> Selection<'_> {
        Selection { columns: &self.columns, exclude: &self.exclude, ..Selection::default() }
    }

    /// Returns the accepted chance of a false alarm of a run.
    pub(crate) fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(DEFAULT_ALPHA)
    }

    /// Returns how many standard deviations NannyML's limits are from the mean.
    pub(crate) fn deviations(&self) -> f64 {
        self.deviations.unwrap_or(DEFAULT_DEVIATIONS)
    }

    /// Returns how so many rows are cut into chunks.
    pub(crate) fn chunks_of(&self, n_rows: usize) -> Chunks {
        self.chunk.unwrap_or(Chunks::Size((n_rows as u64 / 10).max(1)))
    }

    /// Returns the period that chunks are of, where they are cut by time.
    pub(crate) fn period(&self) -> Option<Period> {
        match self.chunk {
            Some(Chunks::Period(it)) => Some(it),
            _ => None,
        }
    }

    /// Returns the columns of the data with the scores or the predicted number; none where the candidate is run.
    pub(crate) fn score_columns(&self) -> Vec<&str> {
        match self.task {
            Task::Regression => self.prediction.as_deref().into_iter().collect(),
            _ if self.class_scores.is_empty() => self.score.as_deref().into_iter().collect(),
            // In the order of the classes.
            _ => {
                let classes = self.classes.iter().flatten().filter_map(|it| self.class_scores.get(it));
                let all = if self.classes.is_some() { classes.collect() } else { self.class_scores.values().collect() };
                let all: Vec<&String> = all;
                all.into_iter().map(String::as_str).collect()
            }
        }
    }

    /// Returns the column of the data with the class that was called.
    pub(crate) fn called_column(&self) -> Option<&str> {
        self.prediction.as_deref().filter(|_| self.task != Task::Regression)
    }

    /// Returns the names of the classes, as far as the options say.
    pub(crate) fn class_names(&self) -> Option<Vec<String>> {
        match (&self.classes, self.task) {
            (Some(it), _) => Some(it.clone()),
            (None, Task::Binary) => Some(vec!["0".to_owned(), "1".to_owned()]),
            (None, _) if !self.class_scores.is_empty() => Some(self.class_scores.keys().cloned().collect()),
            _ => None,
        }
    }

    /// Returns the index of the positive class.
    pub(crate) fn positive_class(&self) -> usize {
        let names = self.class_names().unwrap_or_default();
        self.positive.as_ref().and_then(|it| names.iter().position(|name| name == it)).unwrap_or(1)
    }

    fn check_sources(&self) -> Result<()> {
        let is_regression = self.task == Task::Regression;
        if is_regression && (self.score.is_some() || !self.class_scores.is_empty()) {
            let path = if self.score.is_some() { "/score" } else { "/class_scores" };
            return Err(Error::config(path, "a regression has no scores").with_help("name its column in `prediction`"));
        }
        if self.score.is_some() && !self.class_scores.is_empty() {
            return Err(Error::config("/score", "`score` and `class_scores` are both given").with_help("leave one out"));
        }
        if !self.class_scores.is_empty() && self.task != Task::Multiclass {
            return Err(Error::config("/class_scores", "only a multiclass model has a column for each class")
                .with_help("name the column of the positive class in `score`"));
        }
        if self.output.is_some() && !self.score_columns().is_empty() {
            return Err(Error::config("/output", "with scores in the data the model is not run")
                .with_help("leave out `output`, or the columns"));
        }
        if !is_regression && !self.columns.is_empty() {
            return Err(Error::config("/columns", "a classifier is judged by its scores alone")
                .with_help("leave it out, or name the scores in `score` or `class_scores`"));
        }
        Ok(())
    }

    fn check_classes(&self) -> Result<()> {
        let names = self.class_names();
        if self.task == Task::Regression && self.classes.is_some() {
            return Err(Error::config("/classes", "a regression has no classes"));
        }
        if let Some(names) = &names {
            let least = if self.task == Task::Binary { "two" } else { "three or more" };
            let is_fine = if self.task == Task::Binary { names.len() == 2 } else { names.len() > 2 };
            if !is_fine {
                let path = if self.classes.is_some() { "/classes" } else { "/class_scores" };
                return Err(Error::config(path, format!("there are {} classes, expected {least}", names.len())));
            }
            if let Some(twice) = names.iter().enumerate().find(|(at, it)| names[..*at].contains(it)) {
                return Err(Error::config("/classes", format!("the class `{}` is there twice", twice.1)));
            }
            if let Some(it) = self.class_scores.keys().find(|it| !names.contains(it)) {
                return Err(Error::config("/class_scores", format!("`{it}` is none of `classes`")));
            }
            if let Some(it) =
                names.iter().find(|it| !self.class_scores.is_empty() && !self.class_scores.contains_key(*it))
            {
                return Err(Error::config("/class_scores", format!("the class `{it}` has no column")));
            }
        }
        match &self.positive {
            Some(_) if self.task != Task::Binary => {
                Err(Error::config("/positive", "only a binary task has a positive class"))
            }
            Some(it) if !names.unwrap_or_default().contains(it) => {
                Err(Error::config("/positive", format!("`{it}` is none of the classes"))
                    .with_help("list both in `classes`"))
            }
            _ => Ok(()),
        }
    }

    fn check_metrics(&self) -> Result<()> {
        if self.values.is_some() && self.task != Task::Binary {
            return Err(Error::config("/values", "only a binary task has these values"));
        }
        for (at, metric) in self.metrics.iter().flatten().enumerate() {
            if !metric.fits(self) {
                let help = if *metric == Metric::BusinessValue { "give `values`" } else { "leave it out" };
                let message = format!("`{}` is no metric of the task", metric.name());
                return Err(Error::config(format!("/metrics/{at}"), message).with_help(help));
            }
        }
        for (metric, limits) in &self.limits {
            let path = format!("/limits/{}", metric.name());
            if !Metric::wanted(self).contains(metric) {
                return Err(Error::config(path, format!("`{}` is not estimated", metric.name())));
            }
            let (lower, upper) = (limits.lower.unwrap_or(f64::MIN), limits.upper.unwrap_or(f64::MAX));
            // NaN is not ordered.
            if lower.partial_cmp(&upper).is_none_or(std::cmp::Ordering::is_gt) {
                return Err(Error::config(path, format!("the lower limit {lower} is not below the upper one {upper}")));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let fine = [
            ("threshold", self.threshold.is_finite(), "a number"),
            ("alpha", self.alpha.is_none_or(|it| it > 0.0 && it < 1.0), "a number between 0 and 1, as 0.01"),
            ("deviations", self.deviations.is_none_or(|it| it > 0.0 && it.is_finite()), "a number above 0"),
            ("max_calibration_error", (0.0..=1.0).contains(&self.max_calibration_error), "a number from 0 to 1"),
            ("min_chunk_rows", self.min_chunk_rows > 0, "a number above 0"),
            ("min_slice_size", self.min_slice_size > 0, "a number above 0"),
            ("max_rows", (1..=100_000_000).contains(&self.max_rows), "a number from 1 to 100000000"),
            ("chunk", self.chunk.is_none_or(Chunks::is_valid), "a number above 0"),
        ];
        match fine.into_iter().find(|it| !it.1) {
            Some((name, _, expected)) => Err(Error::config(format!("/{name}"), format!("expected {expected}"))),
            None => Ok(()),
        }
    }

    fn check_rule(&self) -> Result<()> {
        match self.rule {
            Rule::Budget if self.deviations.is_some() => {
                Err(Error::config("/deviations", "the rule `budget` does not count standard deviations")
                    .with_help("say in `alpha` how often a run may raise a false alarm, or set `rule = \"nannyml\"`"))
            }
            Rule::Nannyml if self.alpha.is_some() => {
                Err(Error::config("/alpha", "the rule `nannyml` keeps no rate of false alarms")
                    .with_help("leave out `rule`, or give `deviations` in place of `alpha`"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::ErrorKind;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(config: Value, path: &str, message: &str) {
        let error = serde_json::from_value::<Config>(config).unwrap().validated().unwrap_err();
        assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, path), "{error}");
        assert!(error.message.contains(message), "{error}");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        check(json!({"task": "regression", "score": "p"}), "/score", "no scores");
        check(json!({"task": "binary", "score": "p", "output": "o"}), "/output", "not run");
        check(json!({"task": "binary", "class_scores": {"a": "p"}}), "/class_scores", "only a multiclass model");
        check(
            json!({"task": "multiclass", "class_scores": {"a": "p", "b": "q"}}),
            "/class_scores",
            "there are 2 classes",
        );
        check(json!({"task": "multiclass", "classes": ["a", "b", "b"]}), "/classes", "`b` is there twice");
        check(json!({"task": "binary", "positive": "yes"}), "/positive", "none of the classes");
        check(json!({"task": "multiclass", "positive": "yes"}), "/positive", "only a binary task");
        check(json!({"task": "binary", "metrics": ["mae"]}), "/metrics/0", "`mae` is no metric of the task");
        check(json!({"task": "binary", "metrics": ["business_value"]}), "/metrics/0", "no metric of the task");
        check(json!({"task": "binary", "limits": {"f1": {"lower": 0.9, "upper": 0.1}}}), "/limits/f1", "not below");
        check(json!({"task": "binary", "limits": {"mse": {}}}), "/limits/mse", "not estimated");
        check(json!({"task": "binary", "chunk": {"size": 0}}), "/chunk", "above 0");
        check(json!({"task": "binary", "deviations": 0}), "/deviations", "above 0");
        check(json!({"task": "binary", "alpha": 1}), "/alpha", "between 0 and 1");
        check(json!({"task": "binary", "deviations": 3}), "/deviations", "does not count standard deviations");
        check(json!({"task": "binary", "rule": "nannyml", "alpha": 0.01}), "/alpha", "keeps no rate");
        check(json!({"task": "binary", "columns": ["a"]}), "/columns", "by its scores alone");
        check(json!({"task": "regression", "columns": ["type:text", "type:txt"]}), "/columns/1", "no type of columns");
    }

    #[test]
    fn the_columns_of_classes_come_in_their_order() {
        let config = json!({
            "task": "multiclass", "classes": ["c", "a", "b"], "class_scores": {"a": "pa", "b": "pb", "c": "pc"},
        });
        let config: Config = serde_json::from_value(config).unwrap();
        assert_eq!(config.validated().unwrap().score_columns(), ["pc", "pa", "pb"]);
    }
}
