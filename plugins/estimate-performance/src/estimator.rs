//! One face for classifiers and regressions.

use std::collections::BTreeMap;

use modelwatch_stats::{estimation::Spread, weights::Mass};

use crate::{
    classifier::{self, ClassCalibration, Classified, Classifier},
    config::{Config, Task},
    metric::Metric,
    regressor::{self, Predicted, Regressor},
    rows::Rows,
};

/// What was learned from the reference.
pub(crate) enum Estimator<'a> {
    Classifier(Classifier<'a>),
    Regressor(Regressor),
}

/// Scores or predictions that are there and cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Strange {
    pub(crate) n_rows: u64,
    /// The first of them.
    pub(crate) example: f64,
}

impl Strange {
    /// Counts a row with such a score.
    pub(crate) fn add(&mut self, score: f64) {
        if self.n_rows == 0 {
            self.example = score;
        }
        self.n_rows += 1;
    }
}

/// Rows of which metrics can be estimated, and computed where they have labels.
pub(crate) enum Judged {
    Classified(Classified),
    Predicted(Predicted),
}

/// Some of them.
pub(crate) enum Sample {
    Classes(classifier::Sample),
    Errors(regressor::Sample),
}

impl<'a> Estimator<'a> {
    /// Learns from the labeled rows of the reference, and returns what came of them: [`Judged::labeled`] alone may be
    /// asked of it.
    ///
    /// # Errors
    /// When nothing can be learned from them.
    pub(crate) fn fit(config: &'a Config, reference: &Rows) -> Result<(Self, Judged), String> {
        Ok(match config.task {
            Task::Regression => {
                let (regressor, judged) = Regressor::fit(config, reference)?;
                (Self::Regressor(regressor), Judged::Predicted(judged))
            }
            _ => {
                let (classifier, judged) = Classifier::fit(config, reference)?;
                (Self::Classifier(classifier), Judged::Classified(judged))
            }
        })
    }

    pub(crate) fn judge(&self, rows: &Rows) -> Judged {
        match self {
            Self::Classifier(it) => Judged::Classified(it.judge(rows)),
            Self::Regressor(it) => Judged::Predicted(it.judge(rows)),
        }
    }

    /// Returns the standard error of a metric over rows that are worth `size` that count alike; NaN where it is not known.
    pub(crate) fn error(&self, metric: Metric, size: f64) -> f64 {
        match self {
            Self::Classifier(it) => it.error(metric, size),
            Self::Regressor(it) => it.error(metric, size),
        }
    }

    /// Returns that over rows of which as many have the error that the metric is the mean of as of these.
    pub(crate) fn error_over(&self, metric: Metric, rows: &Sample, size: f64) -> f64 {
        match (self, rows) {
            (Self::Regressor(it), Sample::Errors(rows)) => it.error_over(metric, rows, size),
            _ => self.error(metric, size),
        }
    }

    /// Returns, by column, how many labeled rows of the reference have a name that too few have; none for a classifier.
    pub(crate) fn rare(&self) -> BTreeMap<String, u64> {
        match self {
            Self::Classifier(_) => BTreeMap::new(),
            Self::Regressor(it) => it.rare.clone(),
        }
    }

    /// Returns, by column, how many of the rows have a name of which the reference says nothing; none for a classifier.
    pub(crate) fn unknown(&self, rows: &Rows) -> BTreeMap<String, u64> {
        match self {
            Self::Classifier(_) => BTreeMap::new(),
            Self::Regressor(it) => it.unknown(rows),
        }
    }

    /// Returns how each class was calibrated; none for a regression.
    pub(crate) fn into_calibrations(self) -> Vec<ClassCalibration> {
        match self {
            Self::Classifier(it) => it.calibrations,
            Self::Regressor(_) => Vec::new(),
        }
    }
}

impl Judged {
    /// Returns what scores or predictions there are that cannot be used.
    pub(crate) fn strange(&self) -> Strange {
        match self {
            Self::Classified(it) => it.strange,
            Self::Predicted(it) => it.strange,
        }
    }

    /// Returns those of the rows that can be used, with what is expected of them.
    pub(crate) fn expected(&self, rows: &[usize]) -> Sample {
        match self {
            Self::Classified(it) => Sample::Classes(it.expected(rows)),
            Self::Predicted(it) => Sample::Errors(it.expected(rows)),
        }
    }

    /// Returns the same of those alone that have labels.
    pub(crate) fn expected_of_labeled(&self, rows: &[usize]) -> Sample {
        let is_labeled = match self {
            Self::Classified(it) => &it.is_labeled,
            Self::Predicted(it) => &it.is_labeled,
        };
        self.expected(&rows.iter().copied().filter(|it| is_labeled[*it]).collect::<Vec<_>>())
    }

    /// Returns those that have labels, with what came of them.
    pub(crate) fn labeled(&self, rows: &[usize]) -> Sample {
        match self {
            Self::Classified(it) => Sample::Classes(it.labeled(rows)),
            Self::Predicted(it) => Sample::Errors(it.labeled(rows)),
        }
    }
}

impl Sample {
    pub(crate) fn n_rows(&self) -> u64 {
        match self {
            Self::Classes(it) => it.n_rows(),
            Self::Errors(it) => it.n_rows(),
        }
    }

    /// Returns how many of them a metric is of: errors of some do not exist.
    pub(crate) fn n_of(&self, metric: Metric) -> u64 {
        match self {
            Self::Classes(it) => it.n_rows(),
            Self::Errors(it) => it.n_of(metric),
        }
    }

    /// Returns whether errors of some of them do not exist.
    pub(crate) fn lacks_errors(&self) -> bool {
        match self {
            Self::Classes(_) => false,
            Self::Errors(it) => it.lacks_errors(),
        }
    }

    /// Returns what they weigh.
    pub(crate) fn mass(&self) -> Mass {
        match self {
            Self::Classes(it) => it.mass(),
            Self::Errors(it) => it.mass(),
        }
    }

    /// Returns the share of rows that are of one class and are called another, and how it spreads; none for a regression, and
    /// without rows.
    pub(crate) fn confusion_cell(&self, class: usize, called: usize) -> Option<(f64, Spread)> {
        match self {
            Self::Classes(it) => it.confusion_cell(class, called).ok(),
            Self::Errors(_) => None,
        }
    }

    /// Returns the standard error that rows like these have if they are worth `size`, as far as their estimates say.
    pub(crate) fn error(&self, metric: Metric, config: &Config, size: f64) -> Option<f64> {
        match self {
            Self::Classes(it) => it.error(metric, config, size),
            Self::Errors(it) => it.error(metric, size),
        }
    }

    /// Returns the metric of these rows; none where it does not exist.
    pub(crate) fn value(&self, metric: Metric, config: &Config) -> Option<f64> {
        match self {
            Self::Classes(it) => it.value(metric, config).ok(),
            Self::Errors(it) => it.value(metric).ok(),
        }
    }
}
