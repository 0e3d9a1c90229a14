//! Tasks whose metrics are functions of sums over rows: what they have in common.
//!
//! Such a task says which words it keeps of a row and a prediction, what they add to the sums, and what its
//! metrics are of the sums. Slices, baseline, weights, bootstrap and state come with that.

use modelwatch_sdk::{RecordBatch, Result, arrow::array::ArrayRef, report::Labels};
use modelwatch_stats::detection::THRESHOLDS;
use serde::{Deserialize, Serialize};

use crate::{
    config::{MAX_CLASSES, MAX_LEVELS, Settings},
    tasks,
};

/// The most detections of a row.
const MAX_SLOTS: u64 = 1000;

/// Which task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    MultiLabel,
    Sequences,
    Segmentation,
    /// Rows that are still to be joined to queries; there is nothing to sum yet.
    Documents,
    /// Queries, each of which is a row.
    Queries,
    /// Images, whose metrics are of all detections in the order of their scores rather than of sums.
    Detection,
}

/// What the words and sums of a task mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SumLayout {
    pub(crate) kind: Kind,
    /// The classes, where the task has some.
    pub(crate) classes: Vec<String>,
    /// The places at which a ranking is cut off.
    pub(crate) at_k: Vec<u64>,
    /// How many detections a row has room for.
    pub(crate) slots: u64,
}

/// A metric of sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SumMetric {
    pub(crate) name: &'static str,
    pub(crate) of: SumOf,
    pub(crate) is_loss: bool,
}

/// What a metric of sums is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SumOf {
    All,
    Class(usize),
    /// The plain mean over classes.
    Macro,
    /// Of all classes' counts together.
    Micro,
    /// The mean over classes, weighted by their labels.
    Weighted,
    /// The mean over rows.
    Samples,
    /// The first places of a ranking: the index into the layout's `at_k`.
    At(usize),
    /// One threshold of the overlap of boxes.
    Overlap(usize),
}

/// What is kept of one row's prediction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judged {
    /// The row has no label.
    Unlabeled,
    /// The prediction is missing or not finite.
    Unusable,
    /// The words of the task.
    Words(Vec<u64>),
}

/// A task whose metrics are functions of sums.
pub(crate) trait Summed: Sync {
    /// Returns the number of words that are kept of a prediction.
    fn n_words(&self, layout: &SumLayout) -> usize;
    /// Returns the number of sums.
    fn n_sums(&self, layout: &SumLayout) -> usize;
    /// Returns the metrics, the first of which is the one that slices are compared by.
    fn metrics(&self, layout: &SumLayout) -> Vec<SumMetric>;
    /// Adds a row of a weight to the sums, `times` times.
    fn add(&self, layout: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]);
    /// Returns the value of a metric of rows of a total mass.
    fn value(&self, metric: SumMetric, sums: &[f64], mass: f64) -> f64;
    /// Returns how many rows a metric is of, where that is not all.
    fn n(&self, _metric: SumMetric, _sums: &[f64]) -> Option<u64> {
        None
    }
    /// Returns numerator and denominator of a metric that is a share of rows.
    fn share(&self, _metric: SumMetric, _sums: &[f64], _mass: f64) -> Option<(f64, f64)> {
        None
    }
    /// Returns how many a row has of what metrics of a class are of, and of what that is told from.
    fn sides(&self, _layout: &SumLayout, _words: &[u64], _class: usize) -> [f64; 2] {
        [1.0; 2]
    }
    /// Returns what the task keeps of each row.
    fn judge(
        &self,
        layout: &SumLayout,
        settings: &Settings,
        label: &ArrayRef,
        output: &ArrayRef,
    ) -> Result<Vec<Judged>>;
}

impl SumLayout {
    /// Returns the layout for a batch.
    pub(crate) fn of(settings: &Settings, batch: &RecordBatch, output: &ArrayRef) -> Result<Option<Self>> {
        tasks::layout(settings, batch, output)
    }

    /// Returns whether it can be the layout of rows, for one that comes from stored bytes.
    pub(crate) fn is_valid(&self) -> bool {
        self.classes.len() <= MAX_CLASSES && self.at_k.len() <= MAX_LEVELS && self.slots <= MAX_SLOTS
    }

    pub(crate) fn n_words(&self) -> usize {
        self.task().n_words(self)
    }

    pub(crate) fn n_sums(&self) -> usize {
        self.task().n_sums(self)
    }

    pub(crate) fn metrics(&self) -> Vec<SumMetric> {
        self.task().metrics(self)
    }

    pub(crate) fn task(&self) -> &'static dyn Summed {
        tasks::of(self.kind)
    }

    pub(crate) fn labels(&self, metric: SumMetric) -> Labels {
        let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        match metric.of {
            SumOf::All => Labels::new(),
            SumOf::Class(it) => label("class", &self.classes[it]),
            SumOf::Macro => label("average", "macro"),
            SumOf::Micro => label("average", "micro"),
            SumOf::Weighted => label("average", "weighted"),
            SumOf::Samples => label("average", "samples"),
            SumOf::Overlap(it) => label("iou", &THRESHOLDS[it].to_string()),
            SumOf::At(it) => label("k", &self.at_k[it].to_string()),
        }
    }
}

impl SumMetric {
    pub(crate) const fn gain(name: &'static str, of: SumOf) -> Self {
        Self { name, of, is_loss: false }
    }

    pub(crate) const fn loss(name: &'static str, of: SumOf) -> Self {
        Self { name, of, is_loss: true }
    }
}

/// The sums of one class: rows that have it as label and prediction, as prediction alone, as label alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) hits: f64,
    pub(crate) alarms: f64,
    pub(crate) misses: f64,
}

impl Counts {
    /// Returns the counts of a class among the sums of all classes, each of which has three.
    pub(crate) fn of(sums: &[f64], class: usize) -> Self {
        Self { hits: sums[3 * class], alarms: sums[3 * class + 1], misses: sums[3 * class + 2] }
    }

    /// Returns the value of `part` for one class or averaged; in an average 0/0 is 0, as in scikit-learn.
    pub(crate) fn average(sums: &[f64], of: SumOf, part: impl Fn(Self) -> f64) -> f64 {
        let classes = || (0..sums.len() / 3).map(|it| Self::of(sums, it));
        let zero = |it: f64| if it.is_nan() { 0.0 } else { it };
        match of {
            SumOf::Class(it) => part(Self::of(sums, it)),
            SumOf::Micro => part(classes().fold(Self::default(), |sum, it| Self {
                hits: sum.hits + it.hits,
                alarms: sum.alarms + it.alarms,
                misses: sum.misses + it.misses,
            })),
            SumOf::Weighted => {
                let (sum, total) = classes().fold((0.0, 0.0), |(sum, total), it| {
                    let support = it.hits + it.misses;
                    (sum + support * zero(part(it)), total + support)
                });
                sum / total
            }
            _ => classes().map(|it| zero(part(it))).sum::<f64>() / (sums.len() / 3) as f64,
        }
    }

    pub(crate) fn precision(self) -> f64 {
        self.hits / (self.hits + self.alarms)
    }

    pub(crate) fn recall(self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// Also called the Dice coefficient.
    pub(crate) fn f1(self) -> f64 {
        2.0 * self.hits / (2.0 * self.hits + self.alarms + self.misses)
    }

    /// Also called the Jaccard index, or intersection over union.
    pub(crate) fn jaccard(self) -> f64 {
        self.hits / (self.hits + self.alarms + self.misses)
    }
}
