//! The errors of a regression, learned from the reference (direct loss estimation).

use std::collections::BTreeMap;

use modelwatch_stats::{
    Reason, Undefined,
    boosting::{BoostedTrees, BoostingOptions, TrainingRows},
    estimation::Spread,
    weights::Mass,
};

use crate::{
    config::Config,
    encoding::Encoding,
    estimator::Strange,
    metric::Metric,
    rows::{Feature, Rows},
};

/// Deeper trees than usual, as errors are where several features meet.
const TREES: BoostingOptions = BoostingOptions { max_depth: 5, ..BoostingOptions::SHALLOW };

/// What is learned of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Absolute,
    Relative,
    Squared,
    SquaredLogarithm,
}

impl Target {
    /// Returns what the metric is the mean of, and whether it is the root of that mean.
    fn of(metric: Metric) -> (Self, bool) {
        match metric {
            Metric::Mape => (Self::Relative, false),
            Metric::Mse => (Self::Squared, false),
            Metric::Rmse => (Self::Squared, true),
            Metric::Msle => (Self::SquaredLogarithm, false),
            Metric::Rmsle => (Self::SquaredLogarithm, true),
            _ => (Self::Absolute, false),
        }
    }

    /// Returns the error of a prediction; none where it does not exist.
    fn error(self, label: f64, prediction: f64) -> Option<f64> {
        let res = match self {
            Self::Absolute => (prediction - label).abs(),
            Self::Relative => ((prediction - label) / label).abs(),
            Self::Squared => (prediction - label).powi(2),
            Self::SquaredLogarithm => (prediction.ln_1p() - label.ln_1p()).powi(2),
        };
        res.is_finite().then_some(res)
    }

    /// Returns whether there are labels for which the error of a prediction exists.
    fn can_exist(self, prediction: f64) -> bool {
        self != Self::SquaredLogarithm || prediction > -1.0
    }
}

/// What was learned from the reference.
pub(crate) struct Regressor {
    errors: BTreeMap<Target, Learned>,
    columns: Vec<Source>,
    /// By column, the labeled rows of the reference whose name too few have.
    pub(crate) rare: BTreeMap<String, u64>,
}

struct Learned {
    trees: BoostedTrees,
    mean: f64,
    spread: Spread,
}

/// Where a column that the trees see comes from.
enum Source {
    Prediction,
    Numbers(String),
    Names(String, Encoding),
}

/// Rows with the errors that they have, or are expected to have.
pub(crate) struct Predicted {
    expected: BTreeMap<Target, Vec<f64>>,
    realized: BTreeMap<Target, Vec<Option<f64>>>,
    weights: Vec<f64>,
    predictions: Vec<f64>,
    pub(crate) is_labeled: Vec<bool>,
    pub(crate) strange: Strange,
}

/// Some of the rows: the errors of those where they exist.
pub(crate) struct Sample {
    errors: BTreeMap<Target, Errors>,
    n_rows: u64,
    mass: Mass,
}

/// Errors of rows, and how much these count.
#[derive(Default)]
struct Errors {
    values: Vec<f64>,
    weights: Vec<f64>,
}

impl FromIterator<(f64, f64)> for Errors {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(rows: I) -> Self {
        let (values, weights) = rows.into_iter().unzip();
        Self { values, weights }
    }
}

impl Errors {
    /// Returns how much the rows count by their mean weight: trees draw their leaves to 0 by as much as some rows weigh, and the unit of
    /// weights is to say nothing about that.
    fn relative_weights(&self) -> Vec<f64> {
        let mean = self.weights.iter().sum::<f64>() / self.weights.len() as f64;
        self.weights.iter().map(|it| it / mean).collect()
    }

    /// Returns the mean, and how it spreads over samples of rows that weigh `of` in all; none without errors, and beyond the greatest numbers.
    fn mean(&self, of: Mass) -> Option<(f64, Spread)> {
        let all: f64 = self.weights.iter().sum();
        let rows = || self.values.iter().zip(&self.weights);
        let mean = rows().map(|(value, weight)| weight * value).sum::<f64>() / all;
        let squares: f64 = rows().map(|(value, weight)| (weight * (value - mean)).powi(2)).sum();
        let spread = Spread::of_mean(squares, of, all / of.weight);
        (mean.is_finite() && squares.is_finite()).then_some((mean, spread))
    }
}

impl Regressor {
    /// Learns from the labeled rows of the reference, and returns the errors that these have.
    ///
    /// # Errors
    /// When nothing can be learned from them.
    pub(crate) fn fit(config: &Config, reference: &Rows) -> Result<(Self, Predicted), String> {
        let (columns, values): (Vec<_>, Vec<_>) = sources(reference).into_iter().unzip();
        let rare = columns.iter().filter_map(|it| match it {
            Source::Names(name, of) => (of.n_rare > 0).then(|| (name.clone(), of.n_rare)),
            _ => None,
        });
        let rare = rare.collect();
        let mut res = Self { errors: BTreeMap::new(), columns, rare };
        let weights = reference.weights();
        let labeled = (0..reference.len()).filter(|it| is_labeled(reference, *it)).map(|it| weights[it]).collect();
        for metric in Metric::wanted(config) {
            let (target, _) = Target::of(metric);
            if res.errors.contains_key(&target) {
                continue;
            }
            let found: Vec<Option<f64>> = (0..reference.len()).map(|it| error(target, reference, it)).collect();
            let known: Vec<usize> = (0..found.len()).filter(|it| found[*it].is_some()).collect();
            let errors: Errors = found.into_iter().zip(&weights).filter_map(|it| Some((it.0?, *it.1))).collect();
            // A metric that no row has is undefined later on.
            let Some((mean, spread)) = errors.mean(labeled) else { continue };
            let picked: Vec<Vec<f64>> = values.iter().map(|it| known.iter().map(|row| it[*row]).collect()).collect();
            let columns: Vec<&[f64]> = picked.iter().map(Vec::as_slice).collect();
            let weights = reference.is_weighted().then(|| errors.relative_weights());
            let rows = TrainingRows { columns: &columns, target: &errors.values, weights: weights.as_deref() };
            let trees = BoostedTrees::fit(rows, &TREES).map_err(|e| format!("errors cannot be learned: {e}"))?;
            res.errors.insert(target, Learned { trees, mean, spread });
        }
        if res.errors.is_empty() {
            return Err("no row of the reference has both a label and a prediction".to_owned());
        }
        let judged = res.realized(reference);
        Ok((res, judged))
    }

    /// Returns, by column, how many rows have a name of which the reference says nothing.
    pub(crate) fn unknown(&self, rows: &Rows) -> BTreeMap<String, u64> {
        let unknown = self.columns.iter().filter_map(|it| match it {
            Source::Names(name, encoding) => match rows.features.get(name)? {
                Feature::Names(names) => Some((name.clone(), encoding.n_unknown(names))),
                Feature::Numbers(_) => None,
            },
            _ => None,
        });
        unknown.filter(|it| it.1 > 0).collect()
    }

    /// Returns what errors rows have, and are expected to have.
    pub(crate) fn judge(&self, rows: &Rows) -> Predicted {
        let values: Vec<Vec<f64>> = self.columns.iter().map(|it| it.values(rows)).collect();
        let columns: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
        let mut expected = BTreeMap::new();
        for (target, learned) in &self.errors {
            // Trees take as many columns as they grew from, which these are.
            let found = learned.trees.predict(&columns).unwrap_or_default();
            expected.insert(*target, found.iter().map(|it| it.max(0.0)).collect());
        }
        Predicted { expected, ..self.realized(rows) }
    }

    /// Returns what errors rows have, without those that they are expected to have, which take the trees.
    fn realized(&self, rows: &Rows) -> Predicted {
        let mut realized = BTreeMap::new();
        for target in self.errors.keys() {
            realized.insert(*target, (0..rows.len()).map(|it| error(*target, rows, it)).collect());
        }
        let mut strange = Strange::default();
        (0..rows.len()).map(|it| prediction(rows, it)).filter(|it| it.is_infinite()).for_each(|it| strange.add(it));
        Predicted {
            expected: BTreeMap::new(),
            strange,
            realized,
            weights: rows.weights(),
            predictions: (0..rows.len()).map(|it| prediction(rows, it)).collect(),
            is_labeled: (0..rows.len()).map(|it| rows.labels.0[it].is_finite()).collect(),
        }
    }

    /// Returns the standard error of a metric over rows that are worth `size`.
    pub(crate) fn error(&self, metric: Metric, size: f64) -> f64 {
        let (target, is_root) = Target::of(metric);
        self.errors.get(&target).map_or(f64::NAN, |it| standard_error((it.mean, it.spread), is_root, size))
    }

    /// Returns the standard error of a metric over rows that are worth `size`, of which as many have its error as of these.
    pub(crate) fn error_over(&self, metric: Metric, rows: &Sample, size: f64) -> f64 {
        let (target, is_root) = Target::of(metric);
        let Some(it) = self.errors.get(&target) else { return f64::NAN };
        let share = rows.share(target).unwrap_or(it.spread.share);
        standard_error((it.mean, Spread { share, ..it.spread }), is_root, size)
    }
}

/// Returns the standard error of a mean of errors over rows that are worth `size`, or of its root by the delta method, `σ / (2 √mean)`.
fn standard_error((mean, spread): (f64, Spread), is_root: bool, size: f64) -> f64 {
    match spread.error(size) {
        error if is_root && mean > 0.0 => error / (2.0 * mean.sqrt()),
        error => error,
    }
}

impl Predicted {
    /// Returns the errors that are to be expected of those of the rows that have a prediction, as far as such errors exist: what labels give
    /// is of the same rows.
    pub(crate) fn expected(&self, rows: &[usize]) -> Sample {
        let rows: Vec<usize> = rows.iter().copied().filter(|it| self.predictions[*it].is_finite()).collect();
        let errors = |target: &Target, of: &Vec<f64>| {
            let known = rows.iter().filter(|it| self.can_exist(*target, **it));
            known.map(|it| (of[*it], self.weights[*it])).collect()
        };
        let errors = self.expected.iter().map(|(target, of)| (*target, errors(target, of))).collect();
        self.sample(errors, &rows)
    }

    /// Returns whether the error of a row exists, or may as long as its label is not known.
    fn can_exist(&self, target: Target, row: usize) -> bool {
        if self.is_labeled[row] {
            self.realized.get(&target).is_none_or(|it| it[row].is_some())
        } else {
            target.can_exist(self.predictions[row])
        }
    }

    /// Returns the errors of those that have a label, too.
    pub(crate) fn labeled(&self, rows: &[usize]) -> Sample {
        let is_known = |it: &usize| self.predictions[*it].is_finite() && self.is_labeled[*it];
        let rows: Vec<usize> = rows.iter().copied().filter(is_known).collect();
        let errors = |of: &Vec<Option<f64>>| rows.iter().filter_map(|it| Some((of[*it]?, self.weights[*it]))).collect();
        let errors = self.realized.iter().map(|(target, of)| (*target, errors(of))).collect();
        self.sample(errors, &rows)
    }

    fn sample(&self, errors: BTreeMap<Target, Errors>, rows: &[usize]) -> Sample {
        let mass = rows.iter().map(|it| self.weights[*it]).collect();
        Sample { errors, n_rows: rows.len() as u64, mass }
    }
}

impl Sample {
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub(crate) fn mass(&self) -> Mass {
        self.mass
    }

    /// Returns how many rows have the error that a metric is the mean of.
    pub(crate) fn n_of(&self, metric: Metric) -> u64 {
        let (target, _) = Target::of(metric);
        self.errors.get(&target).map_or(0, |it| it.values.len() as u64)
    }

    /// Returns whether there is an error that not all rows have.
    pub(crate) fn lacks_errors(&self) -> bool {
        self.errors.values().any(|it| (it.values.len() as u64) < self.n_rows)
    }

    /// Returns which share of the rows have an error, as they weigh; none where no row has.
    fn share(&self, target: Target) -> Option<f64> {
        let share = self.errors.get(&target)?.weights.iter().sum::<f64>() / self.mass.weight;
        (share > 0.0).then_some(share)
    }

    /// Returns the standard error that rows like these have if they are worth `size`; none where the metric does not exist.
    pub(crate) fn error(&self, metric: Metric, size: f64) -> Option<f64> {
        let (target, is_root) = Target::of(metric);
        Some(standard_error(self.errors.get(&target)?.mean(self.mass)?, is_root, size))
    }

    /// Returns the metric of these rows.
    pub(crate) fn value(&self, metric: Metric) -> Result<f64, Undefined> {
        let (target, is_root) = Target::of(metric);
        let errors = self.errors.get(&target).and_then(|it| it.mean(self.mass));
        let (mean, _) = errors.ok_or(Undefined::new(Reason::Empty))?;
        Ok(if is_root { mean.sqrt() } else { mean })
    }
}

/// Returns the columns that the trees see, each with its values for them to learn from: the prediction, and the features of the reference.
fn sources(reference: &Rows) -> Vec<(Source, Vec<f64>)> {
    let alone = |it: Source| {
        let values = it.values(reference);
        (it, values)
    };
    let features = reference.features.iter().map(|(name, feature)| match feature {
        Feature::Numbers(_) => alone(Source::Numbers(name.clone())),
        Feature::Names(names) => {
            let (encoding, values) = Encoding::of(reference, names);
            (Source::Names(name.clone(), encoding), values)
        }
    });
    std::iter::once(alone(Source::Prediction)).chain(features).collect()
}

impl Source {
    /// Returns the column of those rows; missing values where they have none of that name and kind.
    fn values(&self, rows: &Rows) -> Vec<f64> {
        let found = match self {
            Self::Prediction => rows.scores.first().map(|it| it.0.clone()),
            Self::Numbers(name) => match rows.features.get(name) {
                Some(Feature::Numbers(it)) => Some(it.0.clone()),
                _ => None,
            },
            Self::Names(name, encoding) => match rows.features.get(name) {
                Some(Feature::Names(it)) => Some(encoding.values(it)),
                _ => None,
            },
        };
        found.unwrap_or_else(|| vec![f64::NAN; rows.len()])
    }
}

fn prediction(rows: &Rows, row: usize) -> f64 {
    rows.scores.first().map_or(f64::NAN, |it| it.0[row])
}

/// Returns the absolute error of a row; none without a label and a prediction.
pub(crate) fn absolute_error(rows: &Rows, row: usize) -> Option<f64> {
    error(Target::Absolute, rows, row)
}

fn error(target: Target, rows: &Rows, row: usize) -> Option<f64> {
    if is_labeled(rows, row) { target.error(rows.labels.0[row], prediction(rows, row)) } else { None }
}

fn is_labeled(rows: &Rows, row: usize) -> bool {
    rows.labels.0[row].is_finite() && prediction(rows, row).is_finite()
}
