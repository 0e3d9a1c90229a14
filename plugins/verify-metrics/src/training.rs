//! The rows that the model was trained on, next to those that it has not seen: how much worse it is on the latter.

use modelwatch_sdk::report::{Interval, Metric};

use crate::{
    config::Settings,
    evaluate::Evaluation,
    intervals,
    measure::{Measure, primary},
    state::State,
    tally::Tally,
};

/// The metric of the gap: the accuracy on the training rows less that on the others.
pub(crate) const GAP: &str = "generalization_gap";

/// What is known of the gap, of the candidate and of the baseline.
pub(crate) struct Gap<'a> {
    accuracy: Measure,
    seen: Tally,
    unseen: &'a Tally,
}

/// The accuracies of one model.
pub(crate) struct Accuracies {
    pub(crate) seen: f64,
    pub(crate) unseen: f64,
    /// The interval of [`Self::gap`].
    pub(crate) interval: Interval,
}

impl<'a> Gap<'a> {
    /// Compares the rows of both kinds.
    ///
    /// # Errors
    /// Why the candidate's gap is not known.
    pub(crate) fn of(training: &State, evaluation: &'a Evaluation<'_>) -> Result<Self, &'static str> {
        let layout = training.head.layout.as_ref().ok_or("there are no training rows")?;
        if layout.has_weights != evaluation.layout.has_weights {
            return Err("only one of the training rows and the current ones have sample weights");
        }
        let (seen, unseen) = (training.totals(layout).tally, evaluation.tally());
        let is_usable = |it: &Tally| it.all.weight > 0.0 && it.models[0].unusable == 0;
        if !is_usable(&seen) {
            return Err("the training rows have no labels, or unusable predictions");
        }
        if !is_usable(unseen) {
            return Err("the current rows have unusable predictions");
        }
        Ok(Self { accuracy: primary(layout), seen, unseen })
    }

    pub(crate) fn n_training(&self) -> u64 {
        self.seen.all.n
    }

    /// Returns the accuracies of a model with the interval of their difference, of independent shares (Newcombe 1998,
    /// method 10); none of a baseline without usable predictions on both.
    pub(crate) fn accuracies(&self, model: usize, level: f64) -> Option<Accuracies> {
        let side = |tally: &Tally| {
            tally.models.get(model)?;
            let interval = intervals::closed_form(self.accuracy, tally, model, level)?;
            Some((self.accuracy.value(tally, model), interval))
        };
        let (seen, unseen) = (side(&self.seen)?, side(self.unseen)?);
        Some(Accuracies { seen: seen.0, unseen: unseen.0, interval: Interval::of_difference(seen, unseen) })
    }

    pub(crate) fn metric(&self, level: f64) -> Option<Metric> {
        let it = self.accuracies(0, level)?;
        Some(Metric::new(GAP, it.gap()).interval(Some(it.interval)).n(self.unseen.all.n))
    }
}

impl Accuracies {
    pub(crate) fn gap(&self) -> f64 {
        self.seen - self.unseen
    }

    /// Returns whether the gap is surely larger than another model's on the same rows. Models that err on the same rows
    /// make it less sure than it is, never surer.
    pub(crate) fn exceeds(&self, other: &Self) -> bool {
        Interval::of_difference((self.gap(), self.interval), (other.gap(), other.interval)).low > 0.0
    }
}

/// Returns how the training rows are read: of them no slices are wanted.
pub(crate) fn settings(of: &Settings) -> Settings {
    Settings { expected: Default::default(), cross_slices: Vec::new(), slice_bins: Default::default(), ..of.clone() }
}
