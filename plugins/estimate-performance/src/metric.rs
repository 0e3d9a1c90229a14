//! What is estimated.

use modelwatch_sdk::JsonSchema;
use modelwatch_stats::estimation::ExpectedCounts;
use serde::Deserialize;

use crate::config::{Config, Task};

/// A metric that can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of rows that are called rightly.
    Accuracy,
    /// The area under the ROC curve; the mean over classes where there are several.
    RocAuc,
    /// The average precision; the mean over classes where there are several.
    AveragePrecision,
    /// The harmonic mean of precision and recall; the mean over classes where there are several.
    F1,
    /// The share of the rows called positive that are; the mean over classes where there are several.
    Precision,
    /// The share of the positive rows that are called so; the mean over classes where there are several.
    Recall,
    /// The share of the negative rows that are called so; the mean over classes where there are several.
    Specificity,
    /// The share of all rows that are positive and called so.
    TruePositiveShare,
    /// The share of all rows that are negative and called positive.
    FalsePositiveShare,
    /// The share of all rows that are positive and called negative.
    FalseNegativeShare,
    /// The share of all rows that are negative and called so.
    TrueNegativeShare,
    /// What a row is worth on average; needs `values`.
    BusinessValue,
    /// The mean absolute error.
    Mae,
    /// The mean of the absolute errors relative to the labels, of rows whose label is not 0.
    Mape,
    /// The mean squared error.
    Mse,
    /// The mean squared difference of the logarithms of 1 + label and 1 + prediction, of rows where both exist.
    Msle,
    /// The root of the mean squared error.
    Rmse,
    /// The root of the mean squared difference of logarithms.
    Rmsle,
}

impl Metric {
    const ALL: [Self; 18] = [
        Self::RocAuc,
        Self::F1,
        Self::Precision,
        Self::Recall,
        Self::Specificity,
        Self::Accuracy,
        Self::AveragePrecision,
        Self::TruePositiveShare,
        Self::FalsePositiveShare,
        Self::FalseNegativeShare,
        Self::TrueNegativeShare,
        Self::BusinessValue,
        Self::Mae,
        Self::Mape,
        Self::Mse,
        Self::Msle,
        Self::Rmse,
        Self::Rmsle,
    ];

    /// Returns the metrics that the options ask for, all that fit where they do not say.
    pub(crate) fn wanted(config: &Config) -> Vec<Self> {
        match &config.metrics {
            Some(it) => it.clone(),
            None => Self::ALL.into_iter().filter(|it| it.fits(config)).collect(),
        }
    }

    /// Returns whether the metric is one of the task.
    pub(crate) fn fits(self, config: &Config) -> bool {
        match self {
            Self::BusinessValue => config.values.is_some(),
            _ if self.is_of_regression() => config.task == Task::Regression,
            _ if self.cell().is_some() => config.task == Task::Binary,
            _ => config.task != Task::Regression,
        }
    }

    /// Returns its name in reports and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RocAuc => "roc_auc",
            Self::AveragePrecision => "average_precision",
            Self::F1 => "f1",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::Specificity => "specificity",
            Self::TruePositiveShare => "true_positive_share",
            Self::FalsePositiveShare => "false_positive_share",
            Self::FalseNegativeShare => "false_negative_share",
            Self::TrueNegativeShare => "true_negative_share",
            Self::BusinessValue => "business_value",
            Self::Mae => "mae",
            Self::Mape => "mape",
            Self::Mse => "mse",
            Self::Msle => "msle",
            Self::Rmse => "rmse",
            Self::Rmsle => "rmsle",
        }
    }

    /// Returns the value nearest to `value` that the metric can have.
    pub(crate) fn clamped(self, value: f64) -> f64 {
        match self {
            Self::BusinessValue => value,
            _ if self.is_of_regression() => value.max(0.0),
            _ => value.clamp(0.0, 1.0),
        }
    }

    /// Returns what each cell of the confusion matrix counts for, for metrics that are such a mean over rows.
    pub(crate) fn cell_values(self, config: &Config) -> Option<ExpectedCounts> {
        match self {
            Self::BusinessValue => config.values.map(|it| ExpectedCounts {
                true_positive: it.true_positive,
                false_positive: it.false_positive,
                false_negative: it.false_negative,
                true_negative: it.true_negative,
            }),
            _ => self.cell(),
        }
    }

    fn cell(self) -> Option<ExpectedCounts> {
        let none = ExpectedCounts::default();
        match self {
            Self::TruePositiveShare => Some(ExpectedCounts { true_positive: 1.0, ..none }),
            Self::FalsePositiveShare => Some(ExpectedCounts { false_positive: 1.0, ..none }),
            Self::FalseNegativeShare => Some(ExpectedCounts { false_negative: 1.0, ..none }),
            Self::TrueNegativeShare => Some(ExpectedCounts { true_negative: 1.0, ..none }),
            _ => None,
        }
    }

    /// Returns when a row has no such error; none where each has.
    pub(crate) fn missing_errors(self) -> Option<&'static str> {
        match self {
            Self::Mape => Some("their label is 0"),
            Self::Msle | Self::Rmsle => Some("their label or prediction is -1 or less"),
            _ => None,
        }
    }

    /// Returns whether it is a mean of errors of predicted numbers.
    pub(crate) fn is_of_regression(self) -> bool {
        matches!(self, Self::Mae | Self::Mape | Self::Mse | Self::Msle | Self::Rmse | Self::Rmsle)
    }
}
