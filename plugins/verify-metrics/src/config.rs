//! The options as written, and the settings that the rest works with.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{Error, JsonSchema, Result};
use serde::{Deserialize, Serialize};

use crate::measure;

/// The most classes that a model can have here; the state grows with them.
pub(crate) const MAX_CLASSES: usize = 10_000;

/// Compares the candidate's outputs with the labels: classification and regression metrics over all
/// rows and per slice, with confidence intervals, and paired differences to the baseline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the model does.
    pub task: Task,
    /// The output to look at. Without it: the only output, or the only one that fits the task (for
    /// classification, floats with one score per class; for regression, one number per row).
    #[serde(default)]
    pub output: Option<String>,
    /// The names of the classes in the order of the score columns, as they stand in the label
    /// column. Without it they are `0`, `1`, …; needed where the output is a predicted label of a
    /// multiclass model.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The positive class of a binary model. Without it: the second class.
    #[serde(default)]
    pub positive: Option<String>,
    /// How to read the scores.
    #[serde(default)]
    pub scores: Scores,
    /// The probability from which on a binary model's prediction is the positive class.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// The metrics to report. Without it: all of the task.
    #[serde(default)]
    pub metrics: Option<Vec<String>>,
    /// The number of rows below which a slice is noted as too small. Its metrics are reported all
    /// the same, with their wide intervals, but it gives no finding.
    #[serde(default = "default_min_slice_size")]
    pub min_slice_size: u64,
    /// Slices that must be in the data, as `column=value`. A missing one is a check that cannot pass.
    #[serde(default)]
    pub expect_slices: Vec<String>,
    /// How intervals without a closed form are computed.
    #[serde(default)]
    pub intervals: Intervals,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// It tells two classes apart.
    Binary,
    /// It tells more than two classes apart.
    Multiclass,
    /// It predicts a number.
    Regression,
}

/// How to read the scores of a classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scores {
    /// Rows of several scores that are not negative and add up to 1 ± 0.001 are probabilities, others
    /// logits. A single score per row is a probability; where it is not between 0 and 1, log loss,
    /// Brier score and calibration error are undefined.
    #[default]
    Auto,
    /// They are probabilities, scaled to add up to 1. Rows that are none make the probability metrics undefined.
    Probabilities,
    /// They are logits: softmax, or the logistic function for a single score, is applied.
    Logits,
}

/// The Poisson bootstrap.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Intervals {
    /// The number of replicates; 0 turns the bootstrap off, so that only closed-form intervals are given.
    #[schemars(range(max = 10_000))]
    pub replicates: u32,
    /// The seed.
    pub seed: u64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { replicates: 200, seed: 0 }
    }
}

/// The options, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) task: Task,
    pub(crate) output: Option<String>,
    pub(crate) classes: Option<Vec<String>>,
    /// The index of the positive class, for binary models.
    pub(crate) positive: Option<usize>,
    pub(crate) scores: Scores,
    pub(crate) threshold: f64,
    pub(crate) metrics: Option<BTreeSet<String>>,
    pub(crate) min_slice_size: u64,
    pub(crate) expected: BTreeSet<(String, String)>,
    pub(crate) intervals: Intervals,
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self> {
        let mut classes = config.classes;
        if config.task == Task::Binary {
            classes.get_or_insert_with(|| vec!["0".to_owned(), "1".to_owned()]);
        }
        if let Some(classes) = &classes {
            check_classes(config.task, classes)?;
        }
        let positive = match (config.task, &classes) {
            (Task::Binary, Some(classes)) => Some(positive(classes, config.positive.as_deref())?),
            _ if config.positive.is_some() => {
                return Err(Error::config("/positive", "only a binary task has a positive class"));
            }
            _ => None,
        };
        if !(config.threshold > 0.0 && config.threshold < 1.0) {
            return Err(Error::config(
                "/threshold",
                format!("the threshold {} is not between 0 and 1", config.threshold),
            ));
        }
        if config.intervals.replicates > 10_000 {
            return Err(Error::config("/intervals/replicates", "more than 10000 replicates were asked for"));
        }
        Ok(Self {
            task: config.task,
            output: config.output,
            classes,
            positive,
            scores: config.scores,
            threshold: config.threshold,
            metrics: config.metrics.map(|it| check_metrics(config.task, it)).transpose()?,
            min_slice_size: config.min_slice_size,
            expected: expected(&config.expect_slices)?,
            intervals: config.intervals,
        })
    }
}

fn default_threshold() -> f64 {
    0.5
}

fn default_min_slice_size() -> u64 {
    30
}

fn check_classes(task: Task, classes: &[String]) -> Result<()> {
    let wanted = match task {
        Task::Regression => return Err(Error::config("/classes", "a regression has no classes")),
        Task::Binary => 2..=2,
        Task::Multiclass => 2..=MAX_CLASSES,
    };
    if !wanted.contains(&classes.len()) {
        let (low, high) = wanted.into_inner();
        let range = if low == high { low.to_string() } else { format!("{low} to {high}") };
        return Err(Error::config("/classes", format!("expected {range} classes, got {}", classes.len())));
    }
    let mut seen = BTreeMap::new();
    for (idx, name) in classes.iter().enumerate() {
        if let Some(first) = seen.insert(name, idx) {
            let message = format!("the class `{name}` is listed twice, at {first} and {idx}");
            return Err(Error::config(format!("/classes/{idx}"), message));
        }
    }
    Ok(())
}

fn positive(classes: &[String], wanted: Option<&str>) -> Result<usize> {
    let Some(wanted) = wanted else { return Ok(1) };
    classes.iter().position(|it| it == wanted).ok_or_else(|| {
        Error::config("/positive", format!("`{wanted}` is not one of the classes {}", quoted(classes.iter())))
            .with_help("name one of them, or list the model's classes in `classes`")
    })
}

fn check_metrics(task: Task, wanted: Vec<String>) -> Result<BTreeSet<String>> {
    let known = measure::names(task);
    for (idx, name) in wanted.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let message = format!("there is no metric `{name}` for this task");
            return Err(Error::config(format!("/metrics/{idx}"), message)
                .with_help(format!("the metrics are {}", quoted(known.iter()))));
        }
    }
    Ok(wanted.into_iter().collect())
}

fn expected(slices: &[String]) -> Result<BTreeSet<(String, String)>> {
    let parse = |(idx, text): (usize, &String)| match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.to_owned(), value.to_owned())),
        _ => Err(Error::config(format!("/expect_slices/{idx}"), format!("`{text}` is not of the form `column=value`"))),
    };
    slices.iter().enumerate().map(parse).collect()
}

/// Returns the names between backticks; of many only the first ones.
pub(crate) fn quoted<T: AsRef<str>>(names: impl ExactSizeIterator<Item = T>) -> String {
    const SHOWN: usize = 12;
    let n = names.len();
    let mut res: Vec<_> = names.take(SHOWN).map(|it| format!("`{}`", it.as_ref())).collect();
    if n > SHOWN {
        res.push(format!("{} more", n - SHOWN));
    }
    res.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(options: serde_json::Value) -> (String, String) {
        let config: Config = serde_json::from_value(options).unwrap();
        let error = Settings::new(config).unwrap_err();
        (error.path, error.message)
    }

    #[test]
    fn contradicting_options_are_named() {
        let check = |options, path: &str, words: &str| {
            let (found, message) = error(options);
            assert!(found == path && message.contains(words), "{found}: {message}");
        };
        check(json!({"task": "binary", "classes": ["a"]}), "/classes", "expected 2 classes, got 1");
        check(json!({"task": "multiclass", "classes": ["a", "b", "a"]}), "/classes/2", "`a` is listed twice");
        check(json!({"task": "regression", "classes": ["a"]}), "/classes", "no classes");
        check(json!({"task": "binary", "positive": "yes"}), "/positive", "`yes` is not one of the classes `0`, `1`");
        check(json!({"task": "multiclass", "positive": "1"}), "/positive", "only a binary task");
        check(json!({"task": "binary", "threshold": 1.0}), "/threshold", "not between 0 and 1");
        check(json!({"task": "binary", "metrics": ["accuracy", "mae"]}), "/metrics/1", "no metric `mae`");
        check(json!({"task": "binary", "expect_slices": ["a"]}), "/expect_slices/0", "`column=value`");
        check(json!({"task": "binary", "intervals": {"replicates": 10001}}), "/intervals/replicates", "10000");
    }

    #[test]
    fn unknown_options_are_refused() {
        for options in [json!({"task": "binary", "thresold": 0.5}), json!({}), json!({"task": "ranking"})] {
            assert!(serde_json::from_value::<Config>(options.clone()).is_err(), "{options}");
        }
    }
}
