//! The options of the analyzer.

use modelwatch_sdk::{Error, JsonSchema, Result, report::Severity, rows::Selection};
use serde::Deserialize;

use crate::detector::{
    AdwinOptions, CusumOptions, DdmOptions, DetectorName, Domain, EddmOptions, HddmAOptions, HddmWOptions,
    KswinOptions, PageHinkleyOptions,
};

/// Says when columns, predictions or the errors of the model changed, row by row in the order of time.
///
/// Weights, chunks and reference windows, which other analyzers have, are deliberately not here: a detector takes one value after the other,
/// of which none is half there; it is after the row of a change and not after a chunk with one; and it holds each value against those before
/// it in a window of its own, not against reference rows.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How changes are found: `adwin`, `ddm`, `eddm`, `hddm-a`, `hddm-w`, `page-hinkley`, `kswin` or `cusum`. `adwin`, `hddm-a` and
    /// `hddm-w` bound how often they are wrong; at the settings that the field gives them, the others report a change every few hundred to
    /// some ten thousand values where there is none.
    pub detector: DetectorName,
    /// What is watched: `columns`, `predictions`, `errors`, `loss`. Without it: the errors with `ddm`, `eddm`, `hddm-a` and `hddm-w`, which
    /// are made for them, and the columns with all others.
    pub watch: Option<Vec<Watch>>,
    /// The columns to watch, `*` standing for any text, and `type:` before a type for all columns of it: `integer`, `number`, `boolean` or
    /// `list`, as in `["num_*", "type:boolean"]`; all numeric features where it is empty. A column of lists is a stream for each
    /// element; where its type does not say how long they are it has to be named in full.
    pub columns: Vec<String>,
    /// Columns to leave out, by name, by `*` and by type as in `columns`.
    pub exclude: Vec<String>,
    /// The types of the columns that are watched (`integer`, `float`, `boolean`) where `columns` does not name them in full; all three
    /// where it is empty.
    pub types: Vec<NumberType>,
    /// The column of the data with what the model predicted: the class or number, or with `threshold` the score of the second class.
    /// Without it the candidate is run.
    pub prediction: Option<String>,
    /// The output of the candidate to look at, if it has several.
    pub output: Option<String>,
    /// The names of the classes in the order of their scores, as they stand in the label column; `0`, `1`, … without it.
    pub classes: Option<Vec<String>>,
    /// The score from which on a row is called the second class. With it, a prediction of one number is a score and no class.
    pub threshold: Option<f64>,
    /// How wrong a prediction is, where `watch` has `loss`: `absolute`, `squared` or `log`.
    pub loss: Loss,
    /// The order of the rows: by `time`, as the `rows` are in the data, or `auto`, by time where the data has a timestamp column.
    pub order: Order,
    /// Whether columns, predictions and losses are first reduced by the mean and divided by the standard deviation of their first values, so that a
    /// detector's settings mean the same for each. An outlier hides nothing: of the first values, those beyond ten median absolute deviations count
    /// for that many, and then each value for ten standard deviations at most; `clipped_share` says how many were beyond. Where more than half of
    /// the first values are the same, the others say how far that is, by their own distances from it. Where the values lie beyond half of that
    /// after a change, or most were the same, they are the first values of a new scale. `cusum` sees their places among the first values, as
    /// numbers of a normal distribution, so that neither their shape nor ties make it report more than normal ones do. Errors, and what `ddm`, `eddm`, `hddm-a` and `hddm-w`
    /// watch, stay as they are.
    pub standardize: bool,
    /// How many values that mean and standard deviation are taken from; more, as long as these are all the same. `cusum` takes as many again
    /// after each change, where its mean was not given.
    #[schemars(range(min = 2))]
    pub warm_up: u64,
    /// Whether the ids of the rows are kept, where the data has an id column, so that changes can be told by them.
    pub ids: bool,
    /// The most bytes of the rows that wait, where they are looked at in the order of time, for others that are earlier and come later: 8 for
    /// each value, or 4 of what is no wider than that, 16 for the row and its time, and 32 for an id. Beyond them the earlier half is
    /// watched, and rows that are earlier than those and come after them are passed over and counted.
    #[schemars(range(min = 1024))]
    pub max_bytes: u64,
    /// The slice columns of the data whose slices are watched as well, each by detectors of its own, `*` standing for any text: `["*"]` for all
    /// of them.
    pub slices: Vec<String>,
    /// The rows below which nothing is said of a slice.
    #[schemars(range(min = 1))]
    pub min_slice_size: u64,
    /// How many slices are watched, the first ones that come; rows of others are counted and told. Each of them takes as much memory as all
    /// rows do, however many rows it has.
    #[schemars(range(min = 1))]
    pub max_slices: u64,
    /// How many streams of slices are watched: there are no more slices than have all of their streams among these, but always one. A stream of many
    /// values takes some 40 KB, once more in the state.
    #[schemars(range(min = 1))]
    pub max_slice_streams: u64,
    /// The severity of findings about changes.
    pub severity: Severity,
    /// The settings of `adwin`: `delta` (0.002), `clock` (32), `max_buckets` (5), `min_window_length` (5), `grace_period` (10).
    pub adwin: Option<AdwinOptions>,
    /// The settings of `ddm`: `warm_start` (30), `warning_threshold` (2), `drift_threshold` (3).
    pub ddm: Option<DdmOptions>,
    /// The settings of `eddm`: `warm_start` (30), `alpha` (0.95), `beta` (0.9).
    pub eddm: Option<EddmOptions>,
    /// The settings of `hddm-a`: `drift_confidence` (0.001), `warning_confidence` (0.005).
    pub hddm_a: Option<HddmAOptions>,
    /// The settings of `hddm-w`: `drift_confidence` (0.001), `warning_confidence` (0.005), `lambda` (0.05).
    pub hddm_w: Option<HddmWOptions>,
    /// The settings of `page-hinkley`: `min_instances` (30), `delta` (0.005), `threshold` (50), `alpha` (0.9999).
    pub page_hinkley: Option<PageHinkleyOptions>,
    /// The settings of `kswin`: `alpha` (0.005), `window_size` (100), `stat_size` (30).
    pub kswin: Option<KswinOptions>,
    /// The settings of `cusum`: `mean` and `deviation` (those of the first values, and after a change of the first ones after it), `slack` (0.5), `threshold` (5).
    pub cusum: Option<CusumOptions>,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Numeric columns.
    Columns,
    /// Each number that the candidate puts out.
    Predictions,
    /// 1 for each row whose class is not the one that was called, 0 for others.
    Errors,
    /// How wrong the prediction of each row is.
    Loss,
}

/// How wrong a prediction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The absolute difference of prediction and label.
    #[default]
    Absolute,
    /// The squared difference of prediction and label.
    Squared,
    /// The negative logarithm of the chance that was given to the right class, a chance below 1e-15 counting as that.
    Log,
}

/// The types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NumberType {
    /// Whole numbers.
    Integer,
    /// Floating-point and decimal numbers.
    Float,
    /// True and false, as 1 and 0.
    Boolean,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By the timestamp column where the data has one, else as the rows are in the data.
    #[default]
    Auto,
    /// By the timestamp column, which the data has to have.
    Time,
    /// As the rows are in the data.
    Rows,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detector: DetectorName::default(),
            watch: None,
            columns: Vec::new(),
            exclude: Vec::new(),
            types: Vec::new(),
            prediction: None,
            output: None,
            classes: None,
            threshold: None,
            loss: Loss::default(),
            order: Order::default(),
            standardize: true,
            warm_up: 100,
            ids: true,
            max_bytes: 256 << 20,
            slices: Vec::new(),
            min_slice_size: 30,
            max_slices: 100,
            max_slice_streams: 5000,
            severity: Severity::Warning,
            adwin: None,
            ddm: None,
            eddm: None,
            hddm_a: None,
            hddm_w: None,
            page_hinkley: None,
            kswin: None,
            cusum: None,
        }
    }
}

impl Config {
    /// Returns the options if they do not contradict each other.
    pub(crate) fn validated(self) -> Result<Self> {
        self.selection().check()?;
        self.check_watched()?;
        self.check_predictions()?;
        self.check_numbers()?;
        self.check_detector()?;
        Ok(self)
    }

    /// Returns which columns are watched, as far as they are columns of numbers.
    pub(crate) fn selection(&self) -> Selection<'_> {
        Selection { columns: &self.columns, exclude: &self.exclude, categorical: &[] }
    }

    /// Returns whether that is watched.
    pub(crate) fn watches(&self, what: Watch) -> bool {
        match (&self.watch, self.detector.domain()) {
            (Some(it), _) => it.contains(&what),
            (None, Domain::Any) => what == Watch::Columns,
            (None, Domain::Share | Domain::Flag) => what == Watch::Errors,
        }
    }

    /// Returns whether predictions are held against labels.
    pub(crate) fn needs_labels(&self) -> bool {
        self.watches(Watch::Errors) || self.watches(Watch::Loss)
    }

    /// Returns whether the candidate has to be run.
    pub(crate) fn needs_outputs(&self) -> bool {
        self.watches(Watch::Predictions) || (self.needs_labels() && self.prediction.is_none())
    }

    fn check_watched(&self) -> Result<()> {
        if self.watch.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config("/watch", "nothing is watched").with_help("leave it out, or name something"));
        }
        if self.watches(Watch::Columns) {
            return Ok(());
        }
        let given = [
            ("columns", self.columns.is_empty()),
            ("exclude", self.exclude.is_empty()),
            ("types", self.types.is_empty()),
        ];
        match given.into_iter().find(|it| !it.1) {
            Some((name, _)) => Err(Error::config(format!("/{name}"), "columns are not watched")
                .with_help("add \"columns\" to `watch`, or leave this out")),
            None => Ok(()),
        }
    }

    fn check_predictions(&self) -> Result<()> {
        let only_with_labels = [
            ("prediction", self.prediction.is_some()),
            ("classes", self.classes.is_some()),
            ("threshold", self.threshold.is_some()),
        ];
        if let Some((name, _)) = only_with_labels.into_iter().find(|it| it.1 && !self.needs_labels()) {
            return Err(Error::config(format!("/{name}"), "predictions are not held against labels")
                .with_help("add \"errors\" or \"loss\" to `watch`, or leave this out"));
        }
        if self.output.is_some() && !self.needs_outputs() {
            return Err(Error::config("/output", "the outputs of the candidate are not looked at")
                .with_help("leave out `output`, or `prediction`"));
        }
        if self.threshold.is_some_and(|it| !it.is_finite()) {
            return Err(Error::config("/threshold", "expected a number"));
        }
        let names = self.classes.as_deref().unwrap_or_default();
        if self.classes.is_some() && names.len() < 2 {
            return Err(Error::config("/classes", format!("there are {} classes, expected two or more", names.len())));
        }
        match names.iter().enumerate().find(|(at, it)| names[..*at].contains(it)) {
            Some((_, it)) => Err(Error::config("/classes", format!("the class `{it}` is there twice"))),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<()> {
        if self.warm_up < 2 {
            return Err(Error::config("/warm_up", "expected 2 or more values"));
        }
        let counts = [
            ("min_slice_size", self.min_slice_size),
            ("max_slices", self.max_slices),
            ("max_slice_streams", self.max_slice_streams),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(Error::config(format!("/{name}"), "expected a number above 0"));
            }
        }
        if self.max_bytes < 1024 {
            return Err(Error::config("/max_bytes", "expected 1024 bytes or more"));
        }
        Ok(())
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
        check(json!({"watch": []}), "/watch", "nothing is watched");
        check(json!({"detector": "ddm", "columns": ["a"]}), "/columns", "columns are not watched");
        check(json!({"prediction": "p"}), "/prediction", "not held against labels");
        check(json!({"watch": ["errors"], "prediction": "p", "output": "o"}), "/output", "not looked at");
        check(json!({"detector": "ddm", "classes": ["a"]}), "/classes", "expected two or more");
        check(json!({"detector": "ddm", "classes": ["a", "a"]}), "/classes", "`a` is there twice");
        check(json!({"warm_up": 1}), "/warm_up", "2 or more");
        check(json!({"kswin": {}}), "/kswin", "the detector is `adwin`");
        check(json!({"adwin": {"delta": 0}}), "/adwin/delta", "between 0 and 1");
        check(json!({"adwin": {"clock": 0}}), "/adwin/clock", "1 or more");
        check(json!({"detector": "kswin", "kswin": {"stat_size": 100}}), "/kswin/stat_size", "less than `window_size`");
        check(json!({"detector": "eddm", "eddm": {"beta": 0.97}}), "/eddm/beta", "at most `alpha`");
        check(
            json!({"detector": "hddm-a", "hddm_a": {"drift_confidence": 0.1}}),
            "/hddm_a/drift_confidence",
            "at most `warning_confidence`",
        );
        check(json!({"detector": "cusum", "cusum": {"mean": 0}}), "/cusum/deviation", "`mean` alone");
        check(json!({"detector": "cusum", "standardize": false}), "/standardize", "cusum");
        let slack = |slack: f64| json!({"detector": "cusum", "cusum": {"slack": slack}});
        check(
            slack(2.58),
            "/cusum/slack",
            "expected less than 2.58, which a value beyond all of the first 100 counts for",
        );
        assert!(serde_json::from_value::<Config>(slack(2.57)).unwrap().validated().is_ok());
        let of_mean = json!({"detector": "cusum", "cusum": {"slack": 9, "mean": 0, "deviation": 1}});
        assert!(serde_json::from_value::<Config>(of_mean).unwrap().validated().is_ok());
    }

    #[test]
    fn detectors_of_errors_watch_errors() {
        let watches = |config: Value, what: Watch| serde_json::from_value::<Config>(config).unwrap().watches(what);
        assert!(watches(json!({}), Watch::Columns) && !watches(json!({}), Watch::Errors));
        assert!(watches(json!({"detector": "hddm-w"}), Watch::Errors));
        assert!(watches(json!({"detector": "ddm", "watch": ["columns"]}), Watch::Columns));
    }
}
