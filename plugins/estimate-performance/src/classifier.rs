//! Expected confusion matrices and rankings of a classifier (confidence-based performance estimation).

use std::collections::BTreeMap;

use modelwatch_stats::{
    Reason, Undefined,
    classification::{CalibrationBins, CalibrationPoint},
    estimation::{
        ExpectedCounts, ExpectedMasses, Spread, average_precision_spread, expected_average_precision, expected_roc_auc,
        macro_error, roc_auc_spread,
    },
    isotonic::Isotonic,
    peers::nannyml::calibration_trial,
    weights::Mass,
};

use crate::{
    config::{Calibration, Config, Task},
    confusion,
    estimator::Strange,
    metric::Metric,
    rows::Rows,
};

/// What NannyML multiplies the error of a mean of areas by, as those of several classes depend on each other.
const DEPENDENCE: f64 = 1.2;
/// Average precisions are resampled with it; no other would be better.
const SEED: u64 = 0;

/// What was learned from the reference.
pub(crate) struct Classifier<'a> {
    config: &'a Config,
    pub(crate) calibrations: Vec<ClassCalibration>,
    spreads: BTreeMap<Metric, Vec<Spread>>,
}

/// How far the scores of a class are from chances, and what makes them ones.
pub(crate) struct ClassCalibration {
    pub(crate) class: String,
    /// The expected calibration error over ten bins of equal width; none where scores are no chances.
    pub(crate) error: Option<f64>,
    pub(crate) curve: Vec<CalibrationPoint>,
    /// Whether the scores of the reference are from 0 to 1.
    are_chances: bool,
    /// Whether all labeled rows are of the class, or none is.
    is_of_one_kind: bool,
    /// What the scores are mapped by; none where they stay as they are.
    function: Option<Isotonic>,
}

impl ClassCalibration {
    /// Returns whether a score is one as the reference has them: finite, and from 0 to 1 where its are. An isotonic function gives all others
    /// a chance, too, which would say nothing.
    fn knows(&self, score: f64) -> bool {
        score.is_finite() && (!self.are_chances || (0.0..=1.0).contains(&score))
    }

    pub(crate) fn is_calibrated(&self) -> bool {
        self.function.is_some()
    }

    /// Returns whether nothing could show if calibration helps.
    pub(crate) fn is_untried(&self) -> bool {
        self.is_of_one_kind && !self.is_calibrated()
    }
}

/// Rows, each class against all others: the positive class alone where there are two.
pub(crate) struct Classified {
    classes: Vec<Class>,
    weights: Vec<f64>,
    is_usable: Vec<bool>,
    pub(crate) is_labeled: Vec<bool>,
    pub(crate) strange: Strange,
}

#[derive(Default)]
struct Class {
    scores: Vec<f64>,
    chances: Vec<f64>,
    is_called: Vec<bool>,
    /// Of no meaning where the row is not labeled.
    is_true: Vec<bool>,
}

/// A metric of scores, chances and weights.
type OfRanking = fn(&[f64], &[f64], &[f64]) -> Result<f64, Undefined>;

/// Some of the rows, with chances, or with labels in their place.
pub(crate) struct Sample {
    classes: Vec<Class>,
    weights: Vec<f64>,
    /// Of each class.
    counts: Result<Vec<ExpectedMasses>, Undefined>,
}

impl<'a> Classifier<'a> {
    /// Learns from the labeled rows of the reference, and returns its chances.
    ///
    /// # Errors
    /// When nothing can be learned from them.
    pub(crate) fn fit(config: &'a Config, reference: &Rows) -> Result<(Self, Classified), String> {
        let classes: Vec<Class> = (0..reference.scores.len()).map(|it| Class::of(config, reference, it)).collect();
        let is_kept = |row: usize| is_labeled(reference, row) && classes.iter().all(|it| it.scores[row].is_finite());
        let kept: Vec<usize> = (0..reference.len()).filter(|it| is_kept(*it)).collect();
        if kept.is_empty() {
            return Err("no row of the reference has both a label and scores".to_owned());
        }
        let names = config.class_names();
        let name = |at: usize| match (&names, config.task) {
            (Some(names), Task::Binary) => names[config.positive_class()].clone(),
            (Some(names), _) => names[at].clone(),
            (None, _) => at.to_string(),
        };
        let mut res = Self { config, calibrations: Vec::new(), spreads: BTreeMap::new() };
        let weights = picked(&reference.weights(), &kept);
        for (at, class) in classes.iter().enumerate() {
            res.calibrations.push(calibrate(config, name(at), &class.at(&kept), &weights)?);
        }
        let judged = res.judge(reference);
        let labeled = judged.labeled(&(0..reference.len()).collect::<Vec<_>>());
        for metric in Metric::wanted(config) {
            // Without a spread the metric has no error, and the report says so by a NaN.
            res.spreads.extend(labeled.spreads(metric, config).ok().map(|it| (metric, it)));
        }
        Ok((res, judged))
    }

    /// Returns the chances of rows.
    pub(crate) fn judge(&self, rows: &Rows) -> Classified {
        let mut classes: Vec<Class> = (0..rows.scores.len()).map(|it| Class::of(self.config, rows, it)).collect();
        for (class, calibration) in classes.iter_mut().zip(&self.calibrations) {
            let chance = |it: &f64| calibration.function.as_ref().map_or(*it, |function| function.value(*it));
            class.chances = class.scores.iter().map(chance).collect();
        }
        let mut is_usable: Vec<bool> = (0..rows.len()).map(|row| rows.called.0[row].is_finite()).collect();
        let mut strange = Strange::default();
        for (row, is_usable) in is_usable.iter_mut().enumerate() {
            let scores = || classes.iter().map(|it| it.scores[row]).zip(&self.calibrations);
            *is_usable &= scores().all(|(score, it)| it.knows(score));
            *is_usable &= classes.iter().all(|it| (0.0..=1.0).contains(&it.chances[row]));
            if let Some((score, _)) = scores().find(|(score, it)| !score.is_nan() && !it.knows(*score)) {
                strange.add(score);
            }
            if classes.len() > 1 {
                share(&mut classes, row);
            }
        }
        let is_labeled = (0..rows.len()).map(|it| is_labeled(rows, it)).collect();
        Classified { classes, weights: rows.weights(), is_usable, is_labeled, strange }
    }

    /// Returns the standard error of a metric over rows that are worth `size`.
    pub(crate) fn error(&self, metric: Metric, size: f64) -> f64 {
        self.spreads.get(&metric).map_or(f64::NAN, |it| error(metric, it, size))
    }
}

/// Returns the standard error of a metric from how it spreads for each class.
fn error(metric: Metric, spreads: &[Spread], size: f64) -> f64 {
    match spreads {
        [only] => only.error(size),
        several if metric == Metric::RocAuc => DEPENDENCE * macro_error(several, size),
        several => macro_error(several, size),
    }
}

fn is_labeled(rows: &Rows, row: usize) -> bool {
    rows.labels.0[row].is_finite()
}

/// Makes the chances of a row's classes add up to 1; equal ones where they are all 0.
fn share(classes: &mut [Class], row: usize) {
    let sum: f64 = classes.iter().map(|it| it.chances[row]).sum();
    let n_classes = classes.len() as f64;
    for it in classes {
        it.chances[row] = if sum == 0.0 { 1.0 / n_classes } else { it.chances[row] / sum };
    }
}

fn calibrate(config: &Config, class: String, rows: &Class, weights: &[f64]) -> Result<ClassCalibration, String> {
    let targets: Vec<f64> = rows.is_true.iter().map(|it| f64::from(u8::from(*it))).collect();
    let are_chances = rows.scores.iter().all(|it| (0.0..=1.0).contains(it));
    let is_wanted = match config.calibration {
        Calibration::Never => false,
        Calibration::Always => true,
        // Too few rows to try it are too few to calibrate on.
        Calibration::Auto => {
            let trial = || calibration_trial(&rows.scores, &rows.is_true, weights);
            !are_chances || trial().is_ok_and(|it| it.is_some_and(|it| it.helps()))
        }
    };
    let function = if is_wanted { Isotonic::fit_weighted(&rows.scores, &targets, weights).ok() } else { None };
    if function.is_none() && !are_chances {
        return Err(format!("scores of class `{class}` are not between 0 and 1 and are not to be calibrated"));
    }
    let mut bins = CalibrationBins::default();
    let scored = rows.scores.iter().zip(&rows.is_true).zip(weights);
    scored.for_each(|((score, is_true), weight)| bins.push(*is_true, *score, *weight));
    let curve = if are_chances { bins.curve().into_iter().flatten().collect() } else { Vec::new() };
    let is_of_one_kind = rows.is_true.windows(2).all(|it| it[0] == it[1]);
    Ok(ClassCalibration { class, error: bins.ece().ok(), curve, are_chances, is_of_one_kind, function })
}

impl Class {
    /// Returns the rows as they are for the class whose scores are there at `at`, without chances.
    fn of(config: &Config, rows: &Rows, at: usize) -> Self {
        let index = if config.task == Task::Binary { config.positive_class() } else { at } as f64;
        Self {
            scores: rows.scores[at].0.clone(),
            chances: Vec::new(),
            is_called: rows.called.0.iter().map(|it| *it == index).collect(),
            is_true: rows.labels.0.iter().map(|it| *it == index).collect(),
        }
    }

    fn at(&self, rows: &[usize]) -> Self {
        Self {
            scores: picked(&self.scores, rows),
            chances: picked(&self.chances, rows),
            is_called: picked(&self.is_called, rows),
            is_true: picked(&self.is_true, rows),
        }
    }
}

/// Returns the values of those rows that have one.
fn picked<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|it| values.get(*it).copied()).collect()
}

impl Classified {
    /// Returns those of the rows that can be used, with their chances.
    pub(crate) fn expected(&self, rows: &[usize]) -> Sample {
        let rows: Vec<usize> = rows.iter().copied().filter(|it| self.is_usable[*it]).collect();
        Sample::new(self.at(&rows), picked(&self.weights, &rows))
    }

    /// Returns those that have labels, which are chances of 0 and 1.
    pub(crate) fn labeled(&self, rows: &[usize]) -> Sample {
        let is_known = |it: &usize| self.is_usable[*it] && self.is_labeled[*it];
        let rows: Vec<usize> = rows.iter().copied().filter(is_known).collect();
        let mut classes = self.at(&rows);
        for it in &mut classes {
            it.chances = it.is_true.iter().map(|it| f64::from(u8::from(*it))).collect();
        }
        Sample::new(classes, picked(&self.weights, &rows))
    }

    fn at(&self, rows: &[usize]) -> Vec<Class> {
        self.classes.iter().map(|it| it.at(rows)).collect()
    }
}

impl Sample {
    fn new(classes: Vec<Class>, weights: Vec<f64>) -> Self {
        let counts = classes.iter().map(|it| ExpectedMasses::of(&it.chances, &it.is_called, &weights)).collect();
        Self { classes, weights, counts }
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.weights.len() as u64
    }

    pub(crate) fn mass(&self) -> Mass {
        self.weights.iter().copied().collect()
    }

    /// Returns the share of the rows that are of one class and are called another, and how it spreads.
    pub(crate) fn confusion_cell(&self, class: usize, called: usize) -> Result<(f64, Spread), Undefined> {
        confusion::cell(&self.classes[class].chances, &self.classes[called].is_called, &self.weights)
    }

    /// Returns the metric of these rows.
    pub(crate) fn value(&self, metric: Metric, config: &Config) -> Result<f64, Undefined> {
        let counts = self.counts.as_deref().map_err(|e| *e)?;
        if self.weights.is_empty() {
            return Err(Undefined::new(Reason::Empty));
        }
        if let Some(values) = metric.cell_values(config) {
            let counts = counts[0].weights;
            return Ok(counts.value(values) / counts.total());
        }
        let mean_of = |of: fn(ExpectedCounts) -> Result<f64, Undefined>| match counts {
            [only] => of(only.weights),
            // As scikit-learn has it, a class that nothing can be said of counts as 0.
            several => Ok(several.iter().map(|it| of(it.weights).unwrap_or(0.0)).sum::<f64>() / several.len() as f64),
        };
        let mean_over_rankings = |of: OfRanking| {
            let found = self.classes.iter().map(|it| of(&it.scores, &it.chances, &self.weights));
            let found = found.collect::<Result<Vec<_>, _>>()?;
            Ok(found.iter().sum::<f64>() / found.len() as f64)
        };
        match metric {
            Metric::Precision => mean_of(ExpectedCounts::precision),
            Metric::Recall => mean_of(ExpectedCounts::recall),
            Metric::Specificity => mean_of(ExpectedCounts::specificity),
            Metric::F1 => mean_of(ExpectedCounts::f1),
            Metric::RocAuc => mean_over_rankings(expected_roc_auc),
            Metric::AveragePrecision => mean_over_rankings(expected_average_precision),
            _ => right_or_wrong(counts).weights.accuracy(),
        }
    }

    /// Returns the standard error that rows like these have by their own chances if they are worth `size`; none for a ranking, whose
    /// spread takes labels.
    pub(crate) fn error(&self, metric: Metric, config: &Config, size: f64) -> Option<f64> {
        let is_ranking = matches!(metric, Metric::RocAuc | Metric::AveragePrecision);
        let spreads = if is_ranking { None } else { self.spreads(metric, config).ok() };
        spreads.map(|it| error(metric, &it, size))
    }

    /// Returns how the metric spreads over samples like these rows, for each class.
    fn spreads(&self, metric: Metric, config: &Config) -> Result<Vec<Spread>, Undefined> {
        let counts = self.counts.as_deref().map_err(|e| *e)?;
        if let Some(values) = metric.cell_values(config) {
            return counts[0].value_spread(values).map(|it| vec![it]);
        }
        let of_counts = |of: fn(ExpectedMasses) -> Result<Spread, Undefined>| counts.iter().map(|it| of(*it)).collect();
        let weights = &self.weights;
        match metric {
            Metric::Precision => of_counts(ExpectedMasses::precision_spread),
            Metric::Recall => of_counts(ExpectedMasses::recall_spread),
            Metric::Specificity => of_counts(ExpectedMasses::specificity_spread),
            Metric::F1 => of_counts(ExpectedMasses::f1_spread),
            Metric::RocAuc => self.classes.iter().map(|it| roc_auc_spread(&it.scores, &it.is_true, weights)).collect(),
            Metric::AveragePrecision => {
                let of = |it: &Class| average_precision_spread(&it.scores, &it.is_true, weights, SEED);
                self.classes.iter().map(of).collect()
            }
            _ => right_or_wrong(counts).accuracy_spread().map(|it| vec![it]),
        }
    }
}

/// Returns the counts whose accuracy is that of the model: of several classes, rows that are of the called one or not.
fn right_or_wrong(counts: &[ExpectedMasses]) -> ExpectedMasses {
    let called = |of: fn(&ExpectedMasses) -> ExpectedCounts| ExpectedCounts {
        true_positive: counts.iter().map(|it| of(it).true_positive).sum(),
        false_positive: counts.iter().map(|it| of(it).false_positive).sum(),
        ..ExpectedCounts::default()
    };
    match counts {
        [only] => *only,
        _ => ExpectedMasses { weights: called(|it| it.weights), squares: called(|it| it.squares) },
    }
}
