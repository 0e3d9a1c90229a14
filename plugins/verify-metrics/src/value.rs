//! The values of metrics as functions of a [`Tally`].
//!
//! Definitions and edge cases are scikit-learn's, save that what scikit-learn sets to 0 with a
//! warning (the precision of a class that is never predicted) is NaN where it stands alone, because
//! NaN never meets a requirement.

use crate::{
    mass::Mass,
    measure::{Measure, Of},
    tally::{ClassTally, ModelTally, NumberTally, Tally},
    tasks,
};

impl Measure {
    /// Returns how many rows it is computed from.
    pub(crate) fn n(self, tally: &Tally, model: usize) -> u64 {
        let classes = &tally.models[model].classes;
        match self {
            Self::F1(Of::Class(it) | Of::Positive(it)) | Self::FBeta(Of::Class(it) | Of::Positive(it), _) => {
                union(tally, classes, it).n
            }
            Self::Summed(kind, metric) => tasks::of(kind).n(metric, &tally.models[model].sums).unwrap_or(tally.all.n),
            _ => self.share(tally, model).map_or(tally.all.n, |it| it.1.n),
        }
    }

    /// Returns the value for a model; NaN where it is undefined, where a row has no usable prediction,
    /// and for metrics that [are ranked](Self::is_ranked).
    pub(crate) fn value(self, tally: &Tally, model: usize) -> f64 {
        let model = &tally.models[model];
        if model.unusable > 0 || tally.all.weight == 0.0 {
            return f64::NAN;
        }
        if let Self::Summed(kind, metric) = self {
            let value = tasks::of(kind).value(metric, &model.sums, tally.all.weight);
            return if value.is_finite() { value } else { f64::NAN };
        }
        let value = self.of_classes(tally, &model.classes).unwrap_or_else(|| self.of_numbers(tally, &model.numbers));
        if value.is_finite() { value } else { f64::NAN }
    }

    /// Returns the numerator and denominator of a metric that is a share of rows.
    pub(crate) fn share(self, tally: &Tally, model: usize) -> Option<(Mass, Mass)> {
        let classes = &tally.models[model].classes;
        match self {
            Self::Accuracy
            | Self::Precision(Of::Micro)
            | Self::Recall(Of::Micro)
            | Self::F1(Of::Micro)
            | Self::FBeta(Of::Micro, _) => Some((classes.right(), tally.all)),
            Self::TopK(idx) => Some((classes.top[idx], tally.all)),
            Self::Precision(Of::Class(it) | Of::Positive(it)) => Some((classes.hits[it], classes.predicted[it])),
            Self::Recall(Of::Class(it) | Of::Positive(it)) => Some((classes.hits[it], tally.truth[it])),
            Self::Fnr(Of::Class(it) | Of::Positive(it)) => Some((tally.truth[it] - classes.hits[it], tally.truth[it])),
            Self::Npv(Of::Class(it) | Of::Positive(it)) => {
                let rest = Rest::of(tally, classes, it);
                Some((rest.hits, rest.predicted))
            }
            Self::Specificity(Of::Class(it) | Of::Positive(it)) => {
                let rest = Rest::of(tally, classes, it);
                Some((rest.hits, rest.truth))
            }
            Self::Fpr(Of::Class(it) | Of::Positive(it)) => {
                let rest = Rest::of(tally, classes, it);
                Some((rest.truth - rest.hits, rest.truth))
            }
            _ => None,
        }
    }

    /// Returns the standard error of a metric that is a mean over rows, and of a root that of the mean square; NaN for
    /// others.
    pub(crate) fn standard_error(self, tally: &Tally, model: usize) -> f64 {
        let ModelTally { unusable, classes, numbers, .. } = &tally.models[model];
        let spread = match self {
            _ if *unusable > 0 => return f64::NAN,
            Self::LogLoss => &classes.log_loss,
            Self::Brier => &classes.brier,
            Self::Hinge => &classes.hinge,
            Self::Mae => &numbers.absolute,
            Self::Mse | Self::Rmse => &numbers.squared,
            Self::Mape => &numbers.percentage,
            Self::Smape => &numbers.symmetric_percentage,
            Self::Msle | Self::Rmsle => &numbers.squared_logarithm,
            Self::Bias => &numbers.error,
            _ => return f64::NAN,
        };
        spread.standard_error()
    }

    /// Returns whether it is the root of a mean.
    pub(crate) fn is_root(self) -> bool {
        matches!(self, Self::Rmse | Self::Rmsle)
    }

    fn of_classes(self, tally: &Tally, classes: &ClassTally) -> Option<f64> {
        let proper = |value: f64| if classes.improper > 0 { f64::NAN } else { value };
        Some(match self {
            Self::Accuracy => classes.right().share_of(tally.all),
            Self::BalancedAccuracy => average(tally, classes, Of::Present, &recall),
            Self::Precision(of) => average(tally, classes, of, &precision),
            Self::Recall(of) => average(tally, classes, of, &recall),
            Self::F1(of) => average(tally, classes, of, &|tally, classes, it| f_beta(tally, classes, it, 1.0)),
            Self::FBeta(of, beta) => {
                average(tally, classes, of, &|tally, classes, it| f_beta(tally, classes, it, beta))
            }
            Self::Specificity(of) => average(tally, classes, of, &specificity),
            Self::Npv(of) => average(tally, classes, of, &npv),
            Self::Fpr(of) => 1.0 - average(tally, classes, of, &specificity),
            Self::Fnr(of) => 1.0 - average(tally, classes, of, &recall),
            Self::Mcc => mcc(tally, classes),
            Self::CohenKappa => cohen_kappa(tally, classes),
            Self::LogLoss => proper(classes.log_loss.mean()),
            Self::Brier => proper(classes.brier.mean()),
            Self::TopK(idx) => classes.top[idx].share_of(tally.all),
            Self::Ece => proper(ece(classes)),
            Self::Hinge => classes.hinge.mean(),
            _ => return None,
        })
    }

    fn of_numbers(self, tally: &Tally, numbers: &NumberTally) -> f64 {
        let (absolute, bias) = (numbers.absolute.mean(), numbers.error.mean());
        match self {
            Self::Mae => absolute,
            Self::Mse => numbers.squared.mean(),
            Self::Rmse => numbers.squared.mean().sqrt(),
            Self::R2 if tally.all.n < 2 => f64::NAN,
            Self::R2 => explained(numbers.squared.mean() * tally.all.weight, tally.labels.m2()),
            Self::Mape => numbers.percentage.mean(),
            Self::Smape => numbers.symmetric_percentage.mean(),
            Self::Msle | Self::Rmsle if numbers.no_logarithm > 0 => f64::NAN,
            Self::Msle => numbers.squared_logarithm.mean(),
            Self::Rmsle => numbers.squared_logarithm.mean().sqrt(),
            // The mean of the errors above and below 0 follows from mean error and mean absolute error.
            Self::Pinball(level) => (level * (absolute - bias) + (1.0 - level) * (absolute + bias)) / 2.0,
            Self::MaxError => numbers.max_error,
            Self::ExplainedVariance => explained(numbers.error.m2(), tally.labels.m2()),
            Self::Bias => bias,
            _ => f64::NAN,
        }
    }
}

/// Returns the rows that have a class as label or prediction.
pub(crate) fn union(tally: &Tally, classes: &ClassTally, class: usize) -> Mass {
    tally.truth[class] + classes.predicted[class] - classes.hits[class]
}

fn precision(_: &Tally, classes: &ClassTally, class: usize) -> f64 {
    classes.hits[class].share_of(classes.predicted[class])
}

fn recall(tally: &Tally, classes: &ClassTally, class: usize) -> f64 {
    classes.hits[class].share_of(tally.truth[class])
}

fn specificity(tally: &Tally, classes: &ClassTally, class: usize) -> f64 {
    let rest = Rest::of(tally, classes, class);
    rest.hits.share_of(rest.truth)
}

fn npv(tally: &Tally, classes: &ClassTally, class: usize) -> f64 {
    let rest = Rest::of(tally, classes, class);
    rest.hits.share_of(rest.predicted)
}

/// All classes but one, taken together as one.
struct Rest {
    truth: Mass,
    predicted: Mass,
    hits: Mass,
}

impl Rest {
    fn of(tally: &Tally, classes: &ClassTally, class: usize) -> Self {
        if let [_, _] = tally.truth[..] {
            // The other class of two has sums of its own, which are exact with weights too.
            let it = 1 - class;
            return Self { truth: tally.truth[it], predicted: classes.predicted[it], hits: classes.hits[it] };
        }
        Self {
            truth: tally.all - tally.truth[class],
            predicted: tally.all - classes.predicted[class],
            hits: tally.all - union(tally, classes, class),
        }
    }
}

/// `(1 + β²) hits / (β² labels + predictions)` (van Rijsbergen 1979).
fn f_beta(tally: &Tally, classes: &ClassTally, class: usize, beta: f64) -> f64 {
    let square = beta * beta;
    let all = square * tally.truth[class].weight + classes.predicted[class].weight;
    (1.0 + square) * classes.hits[class].weight / all
}

fn average(tally: &Tally, classes: &ClassTally, of: Of, part: &dyn Fn(&Tally, &ClassTally, usize) -> f64) -> f64 {
    let weight = |class: usize| match of {
        Of::Positive(it) | Of::Class(it) => one_if(it == class),
        Of::Macro => one_if(tally.truth[class].weight > 0.0 || classes.predicted[class].weight > 0.0),
        Of::Present => one_if(tally.truth[class].weight > 0.0),
        Of::Micro | Of::Weighted => tally.truth[class].weight,
    };
    match of {
        Of::Positive(it) | Of::Class(it) => return part(tally, classes, it),
        Of::Micro => return classes.right().share_of(tally.all),
        _ => {}
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
