//! The options as written, and the settings that the rest works with.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    rows::{Mention, Named},
};
use serde::{Deserialize, Serialize};

use crate::{measure, training};

/// The most classes that a model can have here; the state grows with them.
pub(crate) const MAX_CLASSES: usize = 10_000;
/// The most bins of the calibration error.
pub(crate) const MAX_CALIBRATION_BINS: usize = 1000;
/// The most values of an option that asks for a metric at several levels.
pub(crate) const MAX_LEVELS: usize = 20;
/// The most crosses of slice columns, and the most columns of a cross.
const MAX_CROSSES: usize = 20;
/// The most edges of bins.
const MAX_EDGES: usize = 99;

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
    /// multiclass model or of pixels, and for detections. Pixels and boxes name them by index.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
    /// The positive class of a binary model. Without it: the second class.
    #[serde(default)]
    pub positive: Option<String>,
    /// How to read the scores.
    #[serde(default)]
    pub scores: Scores,
    /// The probability from which on a binary model's prediction is the positive class, and from which on a multi-label
    /// model gives a row a class.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
    /// The metrics to report. Without it: all of the task. Slices have those of them that are sums over rows, and `roc_auc`; those of ranks, such
    /// as `medae`, `average_precision`, `ks_statistic` and `lift`, are of all rows alone.
    #[serde(default)]
    pub metrics: Option<Vec<String>>,
    /// The weight of recall against precision in the metric `fbeta`, which is reported where this is given: 2
    /// weighs recall higher, 0.5 precision.
    #[serde(default)]
    pub beta: Option<f64>,
    /// The `k` of top-k accuracy of a multiclass model; those that are not below the number of classes are left out.
    #[serde(default = "default_top_k")]
    pub top_k: Vec<u32>,
    /// The number of bins, of equal width, of the expected calibration error and the reliability curve.
    #[serde(default = "default_calibration_bins")]
    #[schemars(range(min = 1, max = 1000))]
    pub calibration_bins: u32,
    /// The places at which `ndcg` and `hit_rate` of a ranking are cut off.
    #[serde(default = "default_at_k")]
    pub at_k: Vec<u32>,
    /// The column that says to which query a row of a ranking belongs.
    #[serde(default)]
    pub query: Option<String>,
    /// The label of pixels that a segmentation is not judged by, such as 255.
    #[serde(default)]
    pub ignore_label: Option<i64>,
    /// The share of rows with the highest scores of which the metric `lift` of a binary model is.
    #[serde(default = "default_lift_share")]
    pub lift_share: f64,
    /// The recalls at which a binary model's greatest precision is reported, as `precision_at_recall[recall=0.9]`.
    #[serde(default)]
    pub at_recall: Vec<f64>,
    /// The precisions at which a binary model's greatest recall is reported, as `recall_at_precision[precision=0.9]`.
    #[serde(default)]
    pub at_precision: Vec<f64>,
    /// The quantiles that a regression predicts, for its `pinball_loss[quantile=0.9]` (Koenker & Bassett 1978).
    #[serde(default)]
    pub pinball_quantiles: Vec<f64>,
    /// The quantiles of the absolute errors of a regression to report, as `absolute_error_quantile[quantile=0.95]`.
    #[serde(default)]
    pub error_quantiles: Vec<f64>,
    /// The number of rows below which a slice is too small, whether they are fewer or their weights let only as few count. Its metrics are reported all the same, with their wide
    /// intervals, but it gives no finding, and a requirement of it, or of it in `expect_slices`, is not checked. What
    /// `worst_slice` is of is never too small.
    #[serde(default = "default_min_slice_size")]
    pub min_slice_size: u64,
    /// Slices that must be in the data, as `column=value`, or `a=x,b=y` of a cross. A missing one is a check that
    /// cannot pass.
    #[serde(default)]
    pub expect_slices: Vec<String>,
    /// Crosses of slice columns: `[["country", "device"]]` gives a slice for each pair of values that occurs, named
    /// `country=se,device=tv`. A backslash stands before a comma or backslash that is part of a value; rows without a value
    /// are the slice `country=(missing)`, as they are without a cross.
    #[serde(default)]
    pub cross_slices: Vec<Vec<String>>,
    /// The ascending inner edges of bins for slice columns of numbers: `{ age = [18, 65] }` gives the slices
    /// `age=..18`, `age=18..65` and `age=65..`, each with its lower edge and without its upper one.
    #[serde(default)]
    pub slice_bins: BTreeMap<String, Vec<f64>>,
    /// The greatest share of the rows that may be without a label, where it is missing or NaN: what the others say of them is a guess. Beyond
    /// it there are no metrics.
    #[serde(default = "default_max_unlabeled_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_unlabeled_share: f64,
    /// How intervals without a closed form are computed.
    #[serde(default)]
    pub intervals: Intervals,
    /// Whether the reference data are the rows that a binary or multiclass model was trained on. The model is run on
    /// them too then, and the metric `generalization_gap` is by how much its accuracy is higher there.
    #[serde(default)]
    pub training: bool,
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
    /// It gives a row any number of the classes. Label and output have a value per class: 0 or 1 in the label, a score
    /// in the output.
    MultiLabel,
    /// It ranks the documents of a query. A row is a document; the label says how relevant it is, the output is its
    /// score.
    Ranking,
    /// It writes text: label and output are strings.
    Sequences,
    /// It gives a class to each pixel. The label has a class index per pixel; the output has the same, or scores of
    /// classes × pixels.
    Segmentation,
    /// It finds objects. The label has `x1, y1, x2, y2, class` for each object of a row, the output `x1, y1, x2, y2,
    /// score, class` for each detection; entries whose class is negative are padding.
    Detection,
}

/// How to read the scores of a classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scores {
    /// Several scores per row are probabilities where in all rows they are between 0 and 1 (± 0.001), scaled to add up to
    /// 1 but for those of a multi-label model, and logits where they are in none; where in some, it is an error, and the
    /// option has to say which. Sums that are further from 1 than rounding puts them are a finding (MW-M011). A single score per row of a binary
    /// model is a probability; where it is not between 0 and 1, log loss, Brier score and calibration error are undefined, and the threshold is
    /// held against a number of another scale, which is a finding too.
    #[default]
    Auto,
    /// They are probabilities, scaled to add up to 1. Rows that are none make the probability metrics undefined.
    Probabilities,
    /// They are logits: softmax, or the logistic function for a single score and for those of a multi-label model, is
    /// applied.
    Logits,
}

/// How intervals without a closed form are computed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Intervals {
    /// The method.
    pub method: Method,
    /// The number of replicates; 0 turns the bootstrap off, so that only closed-form intervals are given.
    #[schemars(range(max = 10_000))]
    pub replicates: u32,
    /// The seed.
    pub seed: u64,
}

/// The method of intervals over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The Poisson bootstrap where there is no closed form: studentized for means over rows, normal on the scale of the logit for metrics
    /// between two bounds, with expanded percentiles (Hesterberg 2015) for all else, corrected for bias (Efron 1981; Davison & Hinkley
    /// 1997, section 5.2) where values of few rows lean. A difference to a baseline from
    /// which a metric differs in fewer than 15 rows is made of the intervals of both models (Zou & Donner 2008), by how they go together in
    /// replicates; with weights, and of fewer than 20 replicates, as that of two independent models.
    #[default]
    Bootstrap,
    /// The jackknife of TensorFlow Model Analysis over 20 random buckets of rows, for every metric over all rows but
    /// the greatest error, quantiles of errors, what is of one threshold, and distances that chance makes larger (`ece`, `ks_statistic`),
    /// which have no interval: a jackknife does not hold for what jumps, nor tell by how much they are larger. Of few rows it is too narrow for skewed metrics; an average precision of 50 rows is in it in 88 of 100 cases, not in 95.
    /// `replicates` has no say.
    Jackknife,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { method: Method::Bootstrap, replicates: 200, seed: 0 }
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
    pub(crate) beta: Option<f64>,
    pub(crate) top_k: Vec<u64>,
    pub(crate) calibration_bins: usize,
    pub(crate) lift_share: f64,
    pub(crate) at_k: Vec<u64>,
    pub(crate) query: Option<String>,
    pub(crate) ignore_label: Option<i64>,
    pub(crate) at_recall: Vec<f64>,
    pub(crate) at_precision: Vec<f64>,
    pub(crate) pinball_quantiles: Vec<f64>,
    pub(crate) error_quantiles: Vec<f64>,
    pub(crate) min_slice_size: u64,
    pub(crate) max_unlabeled_share: f64,
    /// Names of slices that must be there.
    pub(crate) expected: BTreeSet<String>,
    pub(crate) cross_slices: Vec<Vec<String>>,
    pub(crate) slice_bins: BTreeMap<String, Vec<f64>>,
    pub(crate) intervals: Intervals,
    pub(crate) training: bool,
}

impl Settings {
    /// Returns the names of outputs and of slice columns in the options.
    pub(crate) fn mentions(&self) -> Vec<Mention> {
        let output = Mention::output(self.output.as_ref());
        let crossed = self.cross_slices.iter().enumerate();
        let crossed =
            crossed.flat_map(|(at, it)| Mention::listed(&format!("cross_slices/{at}"), it).collect::<Vec<_>>());
        let cut = crossed.chain(Mention::keys("slice_bins", &self.slice_bins));
        output.into_iter().chain(cut.map(|it| it.of(Named::SliceColumn))).collect()
    }

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
        if let Some(beta) = config.beta.filter(|it| !(*it > 0.0 && it.is_finite())) {
            return Err(Error::config("/beta", format!("beta is {beta}, expected a number above 0")));
        }
        check_places("/top_k", &config.top_k)?;
        check_places("/at_k", &config.at_k)?;
        match (config.task, &config.query) {
            (Task::Ranking, None) => {
                return Err(Error::config(
                    "/query",
                    "a ranking needs the column that says to which query a row belongs",
                ));
            }
            (Task::Ranking, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err(Error::config("/query", "only a ranking has queries")),
        }
        if config.task == Task::Detection && classes.is_none() {
            return Err(Error::config("/classes", "a detection needs its classes").with_help("list them in `classes`"));
        }
        if config.ignore_label.is_some() && config.task != Task::Segmentation {
            return Err(Error::config("/ignore_label", "only a segmentation has pixels to ignore"));
        }
        if !(1..=MAX_CALIBRATION_BINS).contains(&(config.calibration_bins as usize)) {
            let message = format!("expected 1 to {MAX_CALIBRATION_BINS} bins, got {}", config.calibration_bins);
            return Err(Error::config("/calibration_bins", message));
        }
        check_levels("/lift_share", &[config.lift_share])?;
        check_levels("/at_recall", &config.at_recall)?;
        check_levels("/at_precision", &config.at_precision)?;
        check_levels("/pinball_quantiles", &config.pinball_quantiles)?;
        check_levels("/error_quantiles", &config.error_quantiles)?;
        if config.training && !matches!(config.task, Task::Binary | Task::Multiclass) {
            return Err(Error::config("/training", "only accuracies are compared with those of training rows")
                .with_help("leave it out, or set `task` to `binary` or `multiclass`"));
        }
        if !(0.0..=1.0).contains(&config.max_unlabeled_share) {
            let message = format!("the share {} is not from 0 to 1", config.max_unlabeled_share);
            return Err(Error::config("/max_unlabeled_share", message));
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
            metrics: config.metrics.map(|it| check_metrics(config.task, config.training, it)).transpose()?,
            beta: config.beta,
            top_k: config.top_k.iter().map(|&it| u64::from(it)).collect(),
            calibration_bins: config.calibration_bins as usize,
            lift_share: config.lift_share,
            at_k: config.at_k.iter().map(|&it| u64::from(it)).collect(),
            query: config.query,
            ignore_label: config.ignore_label,
            at_recall: config.at_recall,
            at_precision: config.at_precision,
            pinball_quantiles: config.pinball_quantiles,
            error_quantiles: config.error_quantiles,
            min_slice_size: config.min_slice_size,
            max_unlabeled_share: config.max_unlabeled_share,
            expected: expected(config.expect_slices)?,
            cross_slices: check_crosses(config.cross_slices)?,
            slice_bins: check_bins(config.slice_bins)?,
            intervals: config.intervals,
            training: config.training,
        })
    }
}

impl Settings {
    /// Returns whether the task is to find one of some classes.
    pub(crate) fn is_of_classes(&self) -> bool {
        matches!(self.task, Task::Binary | Task::Multiclass)
    }
}

fn default_threshold() -> f64 {
    0.5
}

fn default_top_k() -> Vec<u32> {
    vec![2, 3]
}

fn default_at_k() -> Vec<u32> {
    vec![1, 5, 10]
}

fn default_calibration_bins() -> u32 {
    15
}

fn default_lift_share() -> f64 {
    0.1
}

fn default_min_slice_size() -> u64 {
    30
}

fn default_max_unlabeled_share() -> f64 {
    0.5
}

fn check_classes(task: Task, classes: &[String]) -> Result<()> {
    let wanted = match task {
        Task::Regression | Task::Ranking | Task::Sequences => {
            return Err(Error::config("/classes", "a task of numbers, texts or rankings has no classes"));
        }
        Task::MultiLabel => 1..=1000,
        Task::Segmentation => 2..=256,
        Task::Detection => 1..=1000,
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

fn check_places(path: &str, places: &[u32]) -> Result<()> {
    if places.len() > MAX_LEVELS {
        return Err(Error::config(path, format!("expected at most {MAX_LEVELS} numbers, got {}", places.len())));
    }
    for (idx, &k) in places.iter().enumerate() {
        if k == 0 || places[..idx].contains(&k) {
            let why = if k == 0 { "0 leaves nothing to look at" } else { "it is listed twice" };
            return Err(Error::config(format!("{path}/{idx}"), why));
        }
    }
    Ok(())
}

/// Checks shares that are asked for: each above 0 and at most 1, none twice.
fn check_levels(path: &str, levels: &[f64]) -> Result<()> {
    if levels.len() > MAX_LEVELS {
        return Err(Error::config(path, format!("expected at most {MAX_LEVELS} numbers, got {}", levels.len())));
    }
    for (idx, &level) in levels.iter().enumerate() {
        let path = if path == "/lift_share" { path.to_owned() } else { format!("{path}/{idx}") };
        if !(level > 0.0 && level <= 1.0) {
            return Err(Error::config(path, format!("{level} is not above 0 and at most 1")));
        }
        if levels[..idx].contains(&level) {
            return Err(Error::config(path, format!("{level} is listed twice")));
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

fn check_metrics(task: Task, training: bool, wanted: Vec<String>) -> Result<BTreeSet<String>> {
    let known: Vec<_> = measure::names(task).iter().copied().chain(training.then_some(training::GAP)).collect();
    for (idx, name) in wanted.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let message = format!("there is no metric `{name}` for this task");
            return Err(Error::config(format!("/metrics/{idx}"), message)
                .with_help(format!("the metrics are {}", quoted(known.iter()))));
        }
    }
    Ok(wanted.into_iter().collect())
}

fn expected(slices: Vec<String>) -> Result<BTreeSet<String>> {
    let check = |(idx, text): (usize, String)| match text.split_once('=') {
        Some((column, _)) if !column.is_empty() => Ok(text),
        _ => Err(Error::config(format!("/expect_slices/{idx}"), format!("`{text}` is not of the form `column=value`"))),
    };
    slices.into_iter().enumerate().map(check).collect()
}

fn check_crosses(crosses: Vec<Vec<String>>) -> Result<Vec<Vec<String>>> {
    if crosses.len() > MAX_CROSSES {
        let message = format!("expected at most {MAX_CROSSES} crosses, got {}", crosses.len());
        return Err(Error::config("/cross_slices", message));
    }
    for (idx, columns) in crosses.iter().enumerate() {
        let path = format!("/cross_slices/{idx}");
        if !(2..=MAX_CROSSES).contains(&columns.len()) {
            return Err(Error::config(path, format!("expected at least two columns, got {}", columns.len())));
        }
        if let Some(twice) = columns.iter().enumerate().find(|it| columns[..it.0].contains(it.1)) {
            return Err(Error::config(path, format!("the column `{}` is listed twice", twice.1)));
        }
        if crosses[..idx].contains(columns) {
            return Err(Error::config(path, "the cross is listed twice"));
        }
    }
    Ok(crosses)
}

fn check_bins(bins: BTreeMap<String, Vec<f64>>) -> Result<BTreeMap<String, Vec<f64>>> {
    for (column, edges) in &bins {
        let path = format!("/slice_bins/{column}");
        if edges.is_empty() || edges.len() > MAX_EDGES {
            return Err(Error::config(path, format!("expected 1 to {MAX_EDGES} edges, got {}", edges.len())));
        }
        let is_ascending = edges.windows(2).all(|it| it[0] < it[1]);
        if !is_ascending || edges.iter().any(|it| !it.is_finite()) {
            return Err(Error::config(path, "the edges are not finite and ascending"));
        }
    }
    Ok(bins)
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
        check(json!({"task": "regression", "classes": ["a"]}), "/classes", "has no classes");
        check(json!({"task": "binary", "positive": "yes"}), "/positive", "`yes` is not one of the classes `0`, `1`");
        check(json!({"task": "multiclass", "positive": "1"}), "/positive", "only a binary task");
        check(json!({"task": "binary", "threshold": 1.0}), "/threshold", "not between 0 and 1");
        check(json!({"task": "binary", "metrics": ["accuracy", "mae"]}), "/metrics/1", "no metric `mae`");
        check(json!({"task": "binary", "expect_slices": ["a"]}), "/expect_slices/0", "`column=value`");
        check(json!({"task": "binary", "cross_slices": [["a"]]}), "/cross_slices/0", "at least two columns, got 1");
        check(json!({"task": "binary", "cross_slices": [["a", "a"]]}), "/cross_slices/0", "`a` is listed twice");
        check(json!({"task": "binary", "slice_bins": {"age": [2.0, 1.0]}}), "/slice_bins/age", "ascending");
        check(json!({"task": "detection"}), "/classes", "needs its classes");
        check(json!({"task": "ranking"}), "/query", "needs the column");
        check(json!({"task": "binary", "query": "q"}), "/query", "only a ranking");
        check(json!({"task": "sequences", "ignore_label": 1}), "/ignore_label", "only a segmentation");
        check(json!({"task": "ranking", "query": "q", "at_k": [5, 5]}), "/at_k/1", "listed twice");
        check(json!({"task": "binary", "beta": 0.0}), "/beta", "above 0");
        check(json!({"task": "multiclass", "top_k": [2, 0]}), "/top_k/1", "nothing to look at");
        check(json!({"task": "multiclass", "calibration_bins": 0}), "/calibration_bins", "1 to 1000 bins, got 0");
        check(json!({"task": "binary", "lift_share": 1.5}), "/lift_share", "at most 1");
        check(json!({"task": "binary", "at_recall": [0.5, 0.5]}), "/at_recall/1", "listed twice");
        check(json!({"task": "regression", "pinball_quantiles": [0.0]}), "/pinball_quantiles/0", "above 0");
        check(json!({"task": "binary", "intervals": {"replicates": 10001}}), "/intervals/replicates", "10000");
    }

    #[test]
    fn unknown_options_are_refused() {
        for options in [json!({"task": "binary", "thresold": 0.5}), json!({}), json!({"task": "guessing"})] {
            assert!(serde_json::from_value::<Config>(options.clone()).is_err(), "{options}");
        }
    }
}
