//! The metrics: their names, labels, and which of them a task has.
//!
//! Their values are functions of sums (`value`) or of ranks (`curves`).

use modelwatch_sdk::report::{Better, Labels};

use crate::{
    config::{Settings, Task},
    row::Layout,
    summed::{Kind, SumMetric, SumOf},
    tasks::{self, multi_label},
};

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    Accuracy,
    BalancedAccuracy,
    Precision(Of),
    Recall(Of),
    F1(Of),
    /// With its beta.
    FBeta(Of, f64),
    /// The share of the rows without a class that are not given it.
    Specificity(Of),
    /// The share of the rows that are not given a class that do not have it.
    Npv(Of),
    /// The share of the rows without a class that are given it.
    Fpr(Of),
    /// The share of the rows with a class that are not given it.
    Fnr(Of),
    Mcc,
    CohenKappa,
    LogLoss,
    Brier,
    /// The index into the layout's `top_k`.
    TopK(usize),
    Ece,
    Hinge,
    RocAuc(Areas),
    Gini,
    AveragePrecision(Of),
    PrAuc,
    Ks(Of),
    /// Of the share of rows with the highest scores.
    Lift(f64, Of),
    PrecisionAtRecall(f64),
    RecallAtPrecision(f64),
    Mae,
    Mse,
    Rmse,
    R2,
    Medae,
    ErrorQuantile(f64),
    Mape,
    Smape,
    Msle,
    Rmsle,
    Pinball(f64),
    MaxError,
    ExplainedVariance,
    Bias,
    Summed(Kind, SumMetric),
}

/// What a metric of one class against the rest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The positive class of a binary model.
    Positive(usize),
    Class(usize),
    /// The plain mean over the classes that are labels or predictions.
    Macro,
    /// Of all classes' hits together: the accuracy, as every row has one label.
    Micro,
    /// The mean weighted by the number of labels.
    Weighted,
    /// In a slice: the plain mean over the classes that are labels.
    Present,
}

/// How areas under the curve are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Areas {
    /// The one of a binary model.
    One,
    /// The plain mean of each class against the rest.
    RestMacro,
    /// The mean of each class against the rest, weighted by its labels.
    RestWeighted,
    /// The plain mean over pairs of classes (Hand & Till 2001).
    PairsMacro,
    /// The mean over pairs of classes, weighted by their labels.
    PairsWeighted,
    /// One class against the rest.
    Rest(usize),
    /// In a slice: the plain mean over the classes that some rows have as label and others do not.
    Present,
}

/// Returns the names of the metrics of a task.
pub(crate) fn names(task: Task) -> &'static [&'static str] {
    match task {
        Task::MultiLabel | Task::Ranking | Task::Sequences | Task::Segmentation | Task::Detection => tasks::names(task),
        Task::Binary => &[
            "accuracy",
            "balanced_accuracy",
            "precision",
            "recall",
            "f1",
            "fbeta",
            "specificity",
            "npv",
            "fpr",
            "fnr",
            "mcc",
            "cohen_kappa",
            "log_loss",
            "brier",
            "ece",
            "hinge_loss",
            "roc_auc",
            "gini",
            "average_precision",
            "pr_auc",
            "ks_statistic",
            "lift",
            "precision_at_recall",
            "recall_at_precision",
            "skill",
            "symmetric_flip_rate",
            "negative_flip_rate",
            "positive_flip_rate",
            "flips_right_to_wrong",
            "flips_wrong_to_right",
            "mcnemar_p",
            "neg_to_pos_flip_rate",
            "pos_to_neg_flip_rate",
        ],
        Task::Multiclass => &[
            "accuracy",
            "balanced_accuracy",
            "precision",
            "recall",
            "f1",
            "fbeta",
            "specificity",
            "npv",
            "fpr",
            "fnr",
            "mcc",
            "cohen_kappa",
            "log_loss",
            "brier",
            "top_k_accuracy",
            "ece",
            "hinge_loss",
            "roc_auc",
            "average_precision",
            "ks_statistic",
            "lift",
            "skill",
            "symmetric_flip_rate",
            "negative_flip_rate",
            "positive_flip_rate",
            "flips_right_to_wrong",
            "flips_wrong_to_right",
            "mcnemar_p",
        ],
        Task::Regression => &[
            "mae",
            "mse",
            "rmse",
            "r2",
            "medae",
            "absolute_error_quantile",
            "mape",
            "smape",
            "msle",
            "rmsle",
            "pinball_loss",
            "max_error",
            "explained_variance",
            "bias",
            "residual_bias_p",
            "residual_normality_p",
            "residual_heteroscedasticity_p",
            "skill",
        ],
    }
}

/// Returns the metrics over all rows.
pub(crate) fn overall(layout: &Layout, settings: &Settings) -> Vec<Measure> {
    use Measure::*;
    if let Some(sums) = &layout.sums {
        return sums.metrics().into_iter().map(|it| Summed(sums.kind, it)).collect();
    }
    if layout.is_regression() {
        let mut res = vec![Mae, Mse, Rmse, R2, Medae];
        res.extend(settings.error_quantiles.iter().map(|&it| ErrorQuantile(it)));
        res.extend([Mape, Smape, Msle, Rmsle]);
        res.extend(settings.pinball_quantiles.iter().map(|&it| Pinball(it)));
        res.extend([MaxError, ExplainedVariance, Bias]);
        return res;
    }
    let mut res = vec![Accuracy, BalancedAccuracy];
    for family in families(settings) {
        res.extend(layout.positive.map(|it| family(Of::Positive(it))));
        res.extend([Of::Macro, Of::Micro, Of::Weighted].map(&family));
        if layout.positive.is_none() {
            res.extend((0..layout.classes.len()).map(|it| family(Of::Class(it))));
        }
    }
    for of_rest in [Specificity, Npv, Fpr, Fnr] {
        res.extend(one_against_the_rest(layout).map(of_rest));
    }
    res.extend([Mcc, CohenKappa]);
    res.extend(of_scores(layout));
    if layout.models.iter().any(|it| it.is_scored) {
        res.extend(of_ranks(layout, settings));
    }
    res
}

/// Returns the metrics of scores that are sums over rows.
fn of_scores(layout: &Layout) -> Vec<Measure> {
    use Measure::*;
    if !layout.models.iter().any(|it| it.is_scored) {
        return Vec::new();
    }
    let mut res = vec![LogLoss, Brier];
    if layout.positive.is_none() {
        let n_classes = layout.classes.len() as u64;
        res.extend((0..layout.top_k.len()).filter(|&it| layout.top_k[it] < n_classes).map(TopK));
    }
    res.push(Ece);
    if layout.has_margin {
        res.push(Hinge);
    }
    res
}

fn families(settings: &Settings) -> Vec<Box<dyn Fn(Of) -> Measure>> {
    let mut res: Vec<Box<dyn Fn(Of) -> Measure>> =
        vec![Box::new(Measure::Precision), Box::new(Measure::Recall), Box::new(Measure::F1)];
    if let Some(beta) = settings.beta {
        res.push(Box::new(move |of| Measure::FBeta(of, beta)));
    }
    res
}

fn of_ranks(layout: &Layout, settings: &Settings) -> Vec<Measure> {
    use Measure::*;
    if layout.positive.is_some() {
        let of = Of::Positive(0);
        let mut res =
            vec![RocAuc(Areas::One), Gini, AveragePrecision(of), PrAuc, Ks(of), Lift(settings.lift_share, of)];
        res.extend(settings.at_recall.iter().map(|&it| PrecisionAtRecall(it)));
        res.extend(settings.at_precision.iter().map(|&it| RecallAtPrecision(it)));
        return res;
    }
    if layout.ranked_classes().is_empty() {
        return Vec::new();
    }
    let mut res = [Areas::RestMacro, Areas::RestWeighted, Areas::PairsMacro, Areas::PairsWeighted].map(RocAuc).to_vec();
    res.extend((0..layout.classes.len()).map(|it| RocAuc(Areas::Rest(it))));
    res.extend(one_against_the_rest(layout).map(AveragePrecision));
    res.extend(one_against_the_rest(layout).map(Ks));
    res.extend(one_against_the_rest(layout).map(|it| Lift(settings.lift_share, it)));
    res
}

/// Returns what a metric of one class against the rest is reported of: the positive class of two, or the mean and each class.
fn one_against_the_rest(layout: &Layout) -> impl Iterator<Item = Of> {
    let n_classes = if layout.positive.is_some() { 0 } else { layout.classes.len() };
    std::iter::once(layout.positive.map_or(Of::Macro, Of::Positive)).chain((0..n_classes).map(Of::Class))
}

/// Returns the metric by which slices, and candidate and baseline, are compared first.
pub(crate) fn primary(layout: &Layout) -> Measure {
    match &layout.sums {
        Some(sums) => sums.metrics().into_iter().next().map_or(Measure::Accuracy, |it| Measure::Summed(sums.kind, it)),
        None if layout.is_regression() => Measure::Mae,
        None => Measure::Accuracy,
    }
}

/// Returns the metrics of a slice: those that are functions of sums over its rows.
pub(crate) fn per_slice(layout: &Layout, settings: &Settings) -> Vec<Measure> {
    use Measure::*;
    if let Some(sums) = &layout.sums {
        if sums.kind == Kind::Detection {
            return Vec::new();
        }
        // Classes within slices would be too many; those of ranks are of rows rather than of sums.
        let metrics = sums.metrics().into_iter().filter(|it| !matches!(it.of, SumOf::Class(_)));
        return metrics.map(|it| Summed(sums.kind, it)).filter(|it| !it.is_ranked()).collect();
    }
    if layout.is_regression() {
        return overall(layout, settings).into_iter().filter(|it| !it.is_ranked()).collect();
    }
    let of = layout.positive.map_or(Of::Present, Of::Positive);
    let mut res = vec![Accuracy, BalancedAccuracy];
    res.extend(families(settings).iter().map(|it| it(of)));
    res.extend([Specificity(of), Npv(of), Fpr(of), Fnr(of), Mcc, CohenKappa]);
    res.extend(of_scores(layout));
    res
}

/// The most classes of which curves are bootstrapped for other means than that of areas, and are reported of slices.
pub(crate) const MAX_CURVES: usize = 20;

/// Returns the metrics of a slice that are of ranks: of many classes only their mean.
pub(crate) fn per_slice_of_ranks(layout: &Layout) -> Vec<Measure> {
    match &layout.sums {
        Some(sums) if sums.kind == Kind::MultiLabel => {
            let metrics = sums.metrics().into_iter().filter(|it| !matches!(it.of, SumOf::Class(_)));
            metrics.map(|it| Measure::Summed(sums.kind, it)).filter(|it| it.is_ranked()).collect()
        }
        Some(sums) if sums.kind == Kind::Detection => {
            let is_told = |it: &SumMetric| !matches!(it.of, SumOf::Class(_)) || sums.classes.len() <= MAX_CURVES;
            sums.metrics().into_iter().filter(is_told).map(|it| Measure::Summed(sums.kind, it)).collect()
        }
        None if layout.positive.is_some() => vec![Measure::RocAuc(Areas::One)],
        None if !layout.ranked_classes().is_empty() => {
            let n_classes = if layout.classes.len() <= MAX_CURVES { layout.classes.len() } else { 0 };
            std::iter::once(Areas::Present).chain((0..n_classes).map(Areas::Rest)).map(Measure::RocAuc).collect()
        }
        _ => Vec::new(),
    }
}

impl Measure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Precision(_) => "precision",
            Self::Recall(_) => "recall",
            Self::F1(_) => "f1",
            Self::FBeta(..) => "fbeta",
            Self::Specificity(_) => "specificity",
            Self::Npv(_) => "npv",
            Self::Fpr(_) => "fpr",
            Self::Fnr(_) => "fnr",
            Self::Mcc => "mcc",
            Self::CohenKappa => "cohen_kappa",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::TopK(_) => "top_k_accuracy",
            Self::Ece => "ece",
            Self::Hinge => "hinge_loss",
            Self::RocAuc(_) => "roc_auc",
            Self::Gini => "gini",
            Self::AveragePrecision(_) => "average_precision",
            Self::PrAuc => "pr_auc",
            Self::Ks(_) => "ks_statistic",
            Self::Lift(..) => "lift",
            Self::PrecisionAtRecall(_) => "precision_at_recall",
            Self::RecallAtPrecision(_) => "recall_at_precision",
            Self::Mae => "mae",
            Self::Mse => "mse",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::Medae => "medae",
            Self::ErrorQuantile(_) => "absolute_error_quantile",
            Self::Mape => "mape",
            Self::Smape => "smape",
            Self::Msle => "msle",
            Self::Rmsle => "rmsle",
            Self::Pinball(_) => "pinball_loss",
            Self::MaxError => "max_error",
            Self::ExplainedVariance => "explained_variance",
            Self::Bias => "bias",
            Self::Summed(_, it) => it.name,
        }
    }

    pub(crate) fn labels(self, layout: &Layout) -> Labels {
        if let (Self::Summed(_, it), Some(sums)) = (self, &layout.sums) {
            return sums.labels(it);
        }
        let mut res = Labels::new();
        let mut label = |key: &str, value: String| res.insert(key.to_owned(), value);
        match self {
            Self::TopK(idx) => label("k", layout.top_k[idx].to_string()),
            Self::FBeta(_, beta) => label("beta", beta.to_string()),
            Self::Lift(share, _) => label("top", share.to_string()),
            Self::PrecisionAtRecall(level) => label("recall", level.to_string()),
            Self::RecallAtPrecision(level) => label("precision", level.to_string()),
            Self::ErrorQuantile(level) | Self::Pinball(level) => label("quantile", level.to_string()),
            Self::RocAuc(Areas::PairsMacro | Areas::PairsWeighted) => label("multi_class", "ovo".to_owned()),
            _ => None,
        };
        match self {
            Self::RocAuc(Areas::RestMacro | Areas::PairsMacro) => label("average", "macro".to_owned()),
            Self::RocAuc(Areas::RestWeighted | Areas::PairsWeighted) => label("average", "weighted".to_owned()),
            _ => match self.of() {
                None | Some(Of::Positive(_) | Of::Present) => None,
                Some(Of::Class(class)) => label("class", layout.classes[class].clone()),
                Some(Of::Macro) => label("average", "macro".to_owned()),
                Some(Of::Micro) => label("average", "micro".to_owned()),
                Some(Of::Weighted) => label("average", "weighted".to_owned()),
            },
        };
        res
    }

    /// Returns of which class, or average of classes, it is, where it is of one against the rest.
    pub(crate) fn of(self) -> Option<Of> {
        use Measure::*;
        match self {
            Precision(of)
            | Recall(of)
            | F1(of)
            | FBeta(of, _)
            | Specificity(of)
            | Npv(of)
            | Fpr(of)
            | Fnr(of)
            | AveragePrecision(of)
            | Ks(of)
            | Lift(_, of) => Some(of),
            RocAuc(Areas::Rest(class)) => Some(Of::Class(class)),
            _ => None,
        }
    }

    /// Returns the metric of the first class, where it is one of ranks that is reported of classes and their plain mean.
    pub(crate) fn of_first_class(self) -> Option<Self> {
        let of = Of::Class(0);
        match (self, self.of()?) {
            (_, it) if !matches!(it, Of::Macro | Of::Class(_)) => None,
            (Self::AveragePrecision(_), _) => Some(Self::AveragePrecision(of)),
            (Self::Ks(_), _) => Some(Self::Ks(of)),
            (Self::Lift(share, _), _) => Some(Self::Lift(share, of)),
            _ => None,
        }
    }

    /// Returns whether it needs scores rather than labels.
    pub(crate) fn needs_scores(self) -> bool {
        use Measure::{Brier, Ece, Hinge, LogLoss, TopK};
        matches!(self, LogLoss | Brier | TopK(_) | Ece | Hinge) || self.is_of_scores_ranked()
    }

    /// Returns whether it is a function of how many rows there are of each label and predicted classes.
    pub(crate) fn is_of_classes_alone(self) -> bool {
        use Measure::*;
        matches!(
            self,
            Accuracy
                | BalancedAccuracy
                | Precision(_)
                | Recall(_)
                | F1(_)
                | FBeta(..)
                | Specificity(_)
                | Npv(_)
                | Fpr(_)
                | Fnr(_)
                | Mcc
                | CohenKappa
                | TopK(_)
        )
    }

    /// Returns whether it is computed from ranks or order statistics, not from a tally.
    pub(crate) fn is_ranked(self) -> bool {
        self.is_of_scores_ranked() || self.is_of_errors_ranked() || self.is_summed_of_ranks()
    }

    /// Returns whether it is one of a task of sums that is of ranks all the same.
    fn is_summed_of_ranks(self) -> bool {
        match self {
            Self::Summed(Kind::Detection, _) => true,
            Self::Summed(Kind::MultiLabel, it) => multi_label::is_of_ranks(it),
            _ => false,
        }
    }

    /// Returns whether it is an order statistic of the errors.
    pub(crate) fn is_of_errors_ranked(self) -> bool {
        matches!(self, Self::Medae | Self::ErrorQuantile(_))
    }

    /// Returns which quantile of the absolute errors it is.
    pub(crate) fn error_level(self) -> f64 {
        if let Self::ErrorQuantile(level) = self { level } else { 0.5 }
    }

    /// Returns whether it is that of the one threshold at which something is reached, which groups of scores blur.
    pub(crate) fn is_at_threshold(self) -> bool {
        matches!(self, Self::PrecisionAtRecall(_) | Self::RecallAtPrecision(_))
    }

    /// Returns whether it is an order statistic or of one threshold: it jumps, and a jackknife does not tell by how much it varies
    /// (Efron 1982, chapter 3).
    pub(crate) fn jumps(self) -> bool {
        self.is_of_errors_ranked() || self.is_at_threshold()
    }

    /// Returns whether a jackknife has no interval of it.
    pub(crate) fn needs_bootstrap(self) -> bool {
        self.jumps() || self.is_biased()
    }

    /// Returns whether its intervals in a slice are of replicates of the rows of the slice: there is no closed form, and replicates cost little.
    pub(crate) fn is_replicated_in_slices(self) -> bool {
        matches!(self, Self::Mcc | Self::CohenKappa | Self::Ece)
    }

    /// Returns whether it is a greatest or mean distance, which is above that of the population by about as much as it varies, and in replicates
    /// again: its intervals reach as far below as that can be.
    pub(crate) fn is_biased(self) -> bool {
        matches!(self, Self::Ks(_) | Self::Ece)
    }

    /// Returns whether it is off that of the population for few rows, by less than it varies, and in replicates again: its intervals are
    /// corrected for that.
    pub(crate) fn leans(self) -> bool {
        use Measure::*;
        matches!(self, AveragePrecision(_) | PrAuc | R2 | ExplainedVariance | Summed(Kind::Detection, _))
            || self.is_skewed_in_pairs()
    }

    /// Returns whether differences of it are skewed: it is often near its bound.
    pub(crate) fn is_skewed_in_pairs(self) -> bool {
        matches!(self, Self::Summed(Kind::MultiLabel, it) if multi_label::is_of_ranks(it) && !multi_label::is_area(it))
    }

    /// Returns whether it is between two bounds, near which it is skewed: its intervals are made on the scale of its logit.
    ///
    /// Left out are an F of one class, which is nearly a share of few rows, of which such an interval is too wide; means over queries,
    /// which are not near a bound; and what the data bounds.
    pub(crate) fn is_on_logits(self) -> bool {
        use Measure::*;
        match self {
            F1(Of::Class(_) | Of::Positive(_)) | FBeta(Of::Class(_) | Of::Positive(_), _) => false,
            // No lower than all positive rows are frequent, and no higher than they are many.
            PrecisionAtRecall(_) | Lift(..) => false,
            Summed(Kind::MultiLabel, it) => !(it.name == "f1" && matches!(it.of, SumOf::Class(_))),
            Summed(kind, _) => matches!(kind, Kind::Segmentation | Kind::Detection),
            it => it.range().iter().all(|it| it.is_finite()),
        }
    }

    /// Returns whether it compares classes pair by pair.
    pub(crate) fn is_of_pairs(self) -> bool {
        matches!(self, Self::RocAuc(Areas::PairsMacro | Areas::PairsWeighted))
    }

    /// Returns whether neither sums nor bins stand for the rows beyond the budget, so that it is of the kept ones.
    pub(crate) fn is_of_kept_rows(self) -> bool {
        self.is_of_pairs() || self.is_summed_of_ranks()
    }

    /// Returns whether it is of one class of a multiclass model.
    pub(crate) fn is_of_class(self) -> bool {
        matches!(self, Self::Summed(_, SumMetric { of: SumOf::Class(_), .. }))
            || matches!(self.of(), Some(Of::Class(_)))
    }

    /// Returns the least and the greatest value of a metric of classes, scores or parts of rows; infinite ones of others.
    pub(crate) fn range(self) -> [f64; 2] {
        match self {
            Self::Mcc | Self::CohenKappa | Self::Gini => [-1.0, 1.0],
            // All positive rows are in the share at best, whose part of all rows only the data tells.
            Self::Lift(share, _) => [0.0, 1.0 / share],
            Self::Brier | Self::LogLoss | Self::Hinge => [0.0, f64::INFINITY],
            Self::Summed(Kind::MultiLabel | Kind::Segmentation | Kind::Queries | Kind::Detection, _) => [0.0, 1.0],
            it if it.is_of_classes_alone() || it.needs_scores() => [0.0, 1.0],
            _ => [f64::NEG_INFINITY, f64::INFINITY],
        }
    }

    /// Returns whether smaller is better; none for a bias, of which 0 is best.
    pub(crate) fn is_loss(self) -> Option<bool> {
        use Measure::*;
        match self {
            Bias => None,
            Summed(_, it) => Some(it.is_loss),
            LogLoss | Brier | Ece | Hinge | Fpr(_) | Fnr(_) | Mae | Mse | Rmse | Medae | ErrorQuantile(_) | Mape
            | Smape | Msle | Rmsle | Pinball(_) | MaxError => Some(true),
            _ => Some(false),
        }
    }

    /// Returns which values are better, for those who read the report.
    pub(crate) fn better(self) -> Option<Better> {
        self.is_loss().map(|it| if it { Better::Lower } else { Better::Higher })
    }

    fn is_of_scores_ranked(self) -> bool {
        use Measure::*;
        matches!(
            self,
            RocAuc(_)
                | Gini
                | AveragePrecision(_)
                | PrAuc
                | Ks(_)
                | Lift(..)
                | PrecisionAtRecall(_)
                | RecallAtPrecision(_)
        )
    }
}
