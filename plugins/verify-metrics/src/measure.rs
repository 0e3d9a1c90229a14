//! The metrics: their names and labels, and their values as functions of a [`Tally`].
//!
//! Definitions and edge cases are scikit-learn's, save that what scikit-learn sets to 0 with a
//! warning (the precision of a class that is never predicted) is NaN where it stands alone, because
//! NaN never meets a requirement.

use modelwatch_sdk::report::Labels;

use crate::{
    config::Task,
    mass::Mass,
    row::Layout,
    tally::{ClassTally, NumberTally, TOP_K, Tally},
};

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Accuracy,
    BalancedAccuracy,
    Precision(Of),
    Recall(Of),
    F1(Of),
    /// The recall of the negative class.
    Specificity(usize),
    Mcc,
    CohenKappa,
    LogLoss,
    Brier,
    /// The index into [`TOP_K`].
    TopK(usize),
    Ece,
    RocAuc,
    AveragePrecision,
    Mae,
    Mse,
    Rmse,
    R2,
    Medae,
    Mape,
    MaxError,
    ExplainedVariance,
    Bias,
}

/// What a precision, recall or F1 is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The positive class of a binary model.
    Positive(usize),
    Class(usize),
    /// The plain mean over the classes that are labels or predictions.
    Macro,
    /// The mean weighted by the number of labels.
    Weighted,
    /// In a slice: the plain mean over the classes that are labels.
    Present,
}

/// Returns the names of the metrics of a task.
pub(crate) fn names(task: Task) -> &'static [&'static str] {
    match task {
        Task::Binary => &[
            "accuracy",
            "balanced_accuracy",
            "precision",
            "recall",
            "f1",
            "specificity",
            "mcc",
            "cohen_kappa",
            "log_loss",
            "brier",
            "ece",
            "roc_auc",
            "average_precision",
        ],
        Task::Multiclass => &[
            "accuracy",
            "balanced_accuracy",
            "precision",
            "recall",
            "f1",
            "mcc",
            "cohen_kappa",
            "log_loss",
            "brier",
            "top_k_accuracy",
            "ece",
            "roc_auc",
        ],
        Task::Regression => &["mae", "mse", "rmse", "r2", "medae", "mape", "max_error", "explained_variance", "bias"],
    }
}

/// Returns the metrics over all rows.
pub(crate) fn overall(layout: &Layout) -> Vec<Measure> {
    use Measure::*;
    if layout.is_regression() {
        return vec![Mae, Mse, Rmse, R2, Medae, Mape, MaxError, ExplainedVariance, Bias];
    }
    let mut res = vec![Accuracy, BalancedAccuracy];
    let families: [fn(Of) -> Measure; 3] = [Precision, Recall, F1];
    if let Some(positive) = layout.positive {
        res.extend(families.map(|it| it(Of::Positive(positive))));
        res.push(Specificity(1 - positive));
    } else {
        for family in families {
            res.extend([Of::Macro, Of::Weighted].map(family));
            res.extend((0..layout.classes.len()).map(|it| family(Of::Class(it))));
        }
    }
    res.extend([Mcc, CohenKappa]);
    if layout.models.iter().any(|it| it.is_scored) {
        res.extend([LogLoss, Brier]);
        if layout.positive.is_none() {
            res.extend((0..TOP_K.len()).filter(|&it| TOP_K[it] < layout.classes.len()).map(TopK));
        }
        res.push(Ece);
        if !layout.ranked_classes().is_empty() {
            res.push(RocAuc);
        }
        if layout.positive.is_some() {
            res.push(AveragePrecision);
        }
    }
    res
}

/// Returns the metrics of a slice.
pub(crate) fn per_slice(layout: &Layout) -> Vec<Measure> {
    use Measure::*;
    if layout.is_regression() {
        return vec![Mae, Mse, Rmse, Bias];
    }
    let of = layout.positive.map_or(Of::Present, Of::Positive);
    let mut res = vec![Accuracy, Precision(of), Recall(of), F1(of)];
    if layout.models.iter().any(|it| it.is_scored) {
        res.extend([LogLoss, Brier]);
    }
    res
}

impl Measure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Precision(_) => "precision",
            Self::Recall(_) => "recall",
            Self::F1(_) => "f1",
            Self::Specificity(_) => "specificity",
            Self::Mcc => "mcc",
            Self::CohenKappa => "cohen_kappa",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::TopK(_) => "top_k_accuracy",
            Self::Ece => "ece",
            Self::RocAuc => "roc_auc",
            Self::AveragePrecision => "average_precision",
            Self::Mae => "mae",
            Self::Mse => "mse",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::Medae => "medae",
            Self::Mape => "mape",
            Self::MaxError => "max_error",
            Self::ExplainedVariance => "explained_variance",
            Self::Bias => "bias",
        }
    }

    pub(crate) fn labels(self, layout: &Layout) -> Labels {
        let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        match self {
            Self::Precision(of) | Self::Recall(of) | Self::F1(of) => match of {
                Of::Positive(_) | Of::Present => Labels::new(),
                Of::Class(class) => label("class", &layout.classes[class]),
                Of::Macro => label("average", "macro"),
                Of::Weighted => label("average", "weighted"),
            },
            Self::TopK(idx) => label("k", &TOP_K[idx].to_string()),
            Self::RocAuc if layout.positive.is_none() => label("average", "macro"),
            _ => Labels::new(),
        }
    }

    /// Returns whether it needs scores rather than labels.
    pub(crate) fn needs_scores(self) -> bool {
        use Measure::{AveragePrecision, Brier, Ece, LogLoss, RocAuc, TopK};
        matches!(self, LogLoss | Brier | TopK(_) | Ece | RocAuc | AveragePrecision)
    }

    /// Returns whether it is computed from ranks or order statistics, not from a tally.
    pub(crate) fn is_ranked(self) -> bool {
        matches!(self, Self::RocAuc | Self::AveragePrecision | Self::Medae)
    }

    /// Returns how many rows it is computed from.
    pub(crate) fn n(self, tally: &Tally, model: usize) -> u64 {
        let classes = &tally.models[model].classes;
        match self {
            Self::Precision(Of::Class(it) | Of::Positive(it)) => classes.predicted[it].n,
            Self::Recall(Of::Class(it) | Of::Positive(it)) => tally.truth[it].n,
            Self::F1(Of::Class(it) | Of::Positive(it)) => {
                (tally.truth[it] + classes.predicted[it] - classes.hits[it]).n
            }
            Self::Specificity(negative) => tally.truth[negative].n,
            _ => tally.all.n,
        }
    }

    /// Returns the value for a model; NaN where it is undefined, where a row has no usable prediction,
    /// and for metrics that [are ranked](Self::is_ranked).
    pub(crate) fn value(self, tally: &Tally, model: usize) -> f64 {
        let model = &tally.models[model];
        if model.unusable > 0 || tally.all.weight == 0.0 {
            return f64::NAN;
        }
        let value = self.of_classes(tally, &model.classes).unwrap_or_else(|| self.of_numbers(tally, &model.numbers));
        if value.is_finite() { value } else { f64::NAN }
    }

    /// Returns the numerator and denominator of a metric that is a share of rows.
    pub(crate) fn share(self, tally: &Tally, model: usize) -> Option<(Mass, Mass)> {
        let classes = &tally.models[model].classes;
        match self {
            Self::Accuracy => Some((classes.right(), tally.all)),
            Self::TopK(idx) => Some((classes.top[idx], tally.all)),
            Self::Precision(Of::Class(it) | Of::Positive(it)) => Some((classes.hits[it], classes.predicted[it])),
            Self::Recall(Of::Class(it) | Of::Positive(it)) | Self::Specificity(it) => {
                Some((classes.hits[it], tally.truth[it]))
            }
            _ => None,
        }
    }

    fn of_classes(self, tally: &Tally, classes: &ClassTally) -> Option<f64> {
        let proper = |value: f64| if classes.improper > 0 { f64::NAN } else { value };
        let averaged = |of, part: fn(&Tally, &ClassTally, usize) -> f64| average(tally, classes, of, part);
        Some(match self {
            Self::Accuracy => classes.right().share_of(tally.all),
            Self::BalancedAccuracy => averaged(Of::Present, recall),
            Self::Precision(of) => averaged(of, precision),
            Self::Recall(of) => averaged(of, recall),
            Self::F1(of) => averaged(of, f1),
            Self::Specificity(negative) => recall(tally, classes, negative),
            Self::Mcc => mcc(tally, classes),
            Self::CohenKappa => cohen_kappa(tally, classes),
            Self::LogLoss => proper(classes.log_loss.mean()),
            Self::Brier => proper(classes.brier.mean()),
            Self::TopK(idx) => classes.top[idx].share_of(tally.all),
            Self::Ece => proper(ece(classes)),
            _ => return None,
        })
    }

    fn of_numbers(self, tally: &Tally, numbers: &NumberTally) -> f64 {
        match self {
            Self::Mae => numbers.absolute.mean(),
            Self::Mse => numbers.squared.mean(),
            Self::Rmse => numbers.squared.mean().sqrt(),
            Self::R2 if tally.all.n < 2 => f64::NAN,
            Self::R2 => explained(numbers.squared.mean() * tally.all.weight, tally.labels.m2()),
            Self::Mape => numbers.percentage.mean(),
            Self::MaxError => numbers.max_error,
            Self::ExplainedVariance => explained(numbers.error.m2(), tally.labels.m2()),
            Self::Bias => numbers.error.mean(),
            _ => f64::NAN,
        }
    }
}

fn precision(_: &Tally, classes: &ClassTally, class: usize) -> f64 {
    classes.hits[class].share_of(classes.predicted[class])
}

fn recall(tally: &Tally, classes: &ClassTally, class: usize) -> f64 {
    classes.hits[class].share_of(tally.truth[class])
}

fn f1(tally: &Tally, classes: &ClassTally, class: usize) -> f64 {
    2.0 * classes.hits[class].weight / (tally.truth[class].weight + classes.predicted[class].weight)
}

fn average(tally: &Tally, classes: &ClassTally, of: Of, part: fn(&Tally, &ClassTally, usize) -> f64) -> f64 {
    let weight = |class: usize| match of {
        Of::Positive(it) | Of::Class(it) => one_if(it == class),
        Of::Macro => one_if(tally.truth[class].weight > 0.0 || classes.predicted[class].weight > 0.0),
        Of::Present => one_if(tally.truth[class].weight > 0.0),
        Of::Weighted => tally.truth[class].weight,
    };
    if let Of::Positive(it) | Of::Class(it) = of {
        return part(tally, classes, it);
    }
    let (mut sum, mut total) = (0.0, 0.0);
    for class in 0..tally.truth.len() {
        let weight = weight(class);
        if weight > 0.0 {
            let value = part(tally, classes, class);
            sum += weight * if value.is_nan() { 0.0 } else { value };
            total += weight;
        }
    }
    sum / total
}

fn one_if(it: bool) -> f64 {
    f64::from(u8::from(it))
}

/// The multiclass correlation coefficient R_K (Gorodkin 2004); 0 where it is 0/0.
fn mcc(tally: &Tally, classes: &ClassTally) -> f64 {
    let n = tally.all.weight;
    let right = classes.right().weight;
    let (mut cross, mut labels, mut predictions) = (0.0, 0.0, 0.0);
    for (label, predicted) in tally.truth.iter().zip(&classes.predicted) {
        let (label, predicted) = (label.weight, predicted.weight);
        cross += label * predicted;
        labels += label * label;
        predictions += predicted * predicted;
    }
    // Asked of the classes, because fractional weights may leave a tiny number where 0 should be.
    let is_constant = |side: &[Mass]| side.iter().filter(|it| it.weight > 0.0).count() < 2;
    if is_constant(&tally.truth) || is_constant(&classes.predicted) {
        return 0.0;
    }
    (right * n - cross) / ((n * n - predictions) * (n * n - labels)).sqrt()
}

/// Cohen's kappa (1960): `(observed - expected) / (1 - expected)` agreement.
fn cohen_kappa(tally: &Tally, classes: &ClassTally) -> f64 {
    let n = tally.all.weight;
    let cross: f64 =
        tally.truth.iter().zip(&classes.predicted).map(|(it, predicted)| it.weight * predicted.weight).sum();
    (n * classes.right().weight - cross) / (n * n - cross)
}

/// The expected calibration error (Naeini et al. 2015) over bins of equal width.
fn ece(classes: &ClassTally) -> f64 {
    let all: f64 = classes.bins.iter().map(|it| it.rows.weight).sum();
    classes.bins.iter().map(|it| (it.confidence - it.hits).abs()).sum::<f64>() / all
}

/// `1 - left / all`; without spread in the labels 1 if nothing is left, else 0.
fn explained(left: f64, all: f64) -> f64 {
    match (left == 0.0, all == 0.0) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        _ => 1.0 - left / all,
    }
}
