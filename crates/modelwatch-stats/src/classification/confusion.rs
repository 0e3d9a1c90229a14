//! The confusion matrix and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Reason, StateError, Undefined, ratio_or_zero};
use crate::state::{Reader, Writer};

/// Weights of rows by true and predicted class.
///
/// Classes are numbers that the caller gives; the classes of the matrix are those seen on either side.
/// With whole weights (up to 2⁵³ in total) sums are exact, so `merge` is associative and commutative to the bit; else up to rounding.
///
/// ```
/// use modelwatch_stats::classification::{Average, ConfusionMatrix};
///
/// let mut matrix = ConfusionMatrix::new();
/// matrix.update(&[0, 0, 1, 1], &[0, 1, 1, 1]).unwrap();
/// assert_eq!(matrix.accuracy(), Ok(0.75));
/// assert_eq!(matrix.class(1).recall, 1.0);
/// assert!((matrix.class(1).precision - 2.0 / 3.0).abs() < 1e-15);
/// // Recalls of ½ and 1.
/// assert_eq!(matrix.balanced_accuracy(), Ok(0.75));
/// // (½ · 1 + ⅔ · 1) / 2 for precision is macro: classes count alike.
/// assert!((matrix.average(Average::Macro).unwrap().precision - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfusionMatrix {
    /// By (true, predicted).
    cells: BTreeMap<(u32, u32), f64>,
}

/// Precision, recall and F1 of one class, or their average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMetrics {
    /// True positives over predicted positives, 0 if nothing was predicted.
    pub precision: f64,
    /// True positives over positives, 0 if there are none.
    pub recall: f64,
    /// `2 tp / (2 tp + fp + fn)`, 0 if the class occurs on neither side.
    pub f1: f64,
    /// The weight of the rows of this class.
    pub support: f64,
}

/// How the metrics of classes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// All classes count alike.
    Macro,
    /// True and false positives are summed over the classes first.
    Micro,
    /// Classes count by their support.
    Weighted,
}

impl ConfusionMatrix {
    /// Returns an empty matrix.
    pub const fn new() -> Self {
        Self { cells: BTreeMap::new() }
    }

    /// Adds rows of weight 1; fails, adding nothing, if the lengths differ.
    pub fn update(&mut self, truth: &[u32], predicted: &[u32]) -> Result<(), Undefined> {
        if truth.len() != predicted.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            *self.cells.entry((truth, predicted)).or_insert(0.0) += 1.0;
        }
        Ok(())
    }

    /// Adds one row; fails, adding nothing, if the weight is negative, NaN or infinite.
    pub fn push(&mut self, truth: u32, predicted: u32, weight: f64) -> Result<(), Undefined> {
        if !(weight >= 0.0 && weight.is_finite()) {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        *self.cells.entry((truth, predicted)).or_insert(0.0) += weight;
        Ok(())
    }

    /// Adds the rows that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (&key, &weight) in &other.cells {
            *self.cells.entry(key).or_insert(0.0) += weight;
        }
    }

    /// Returns the total weight, which is the number of rows where all weights are 1.
    pub fn total(&self) -> f64 {
        self.cells.values().sum()
    }

    /// Returns the weight of rows of class `truth` predicted as `predicted`.
    pub fn cell(&self, truth: u32, predicted: u32) -> f64 {
        self.cells.get(&(truth, predicted)).copied().unwrap_or(0.0)
    }

    /// Returns the classes seen on either side, ascending.
    pub fn classes(&self) -> Vec<u32> {
        let all: BTreeSet<u32> = self.cells.keys().flat_map(|it| [it.0, it.1]).collect();
        all.into_iter().collect()
    }

    /// Returns the share of rows on the diagonal.
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        Ok(self.diagonal() / self.positive_total()?)
    }

    /// Returns the mean recall over the classes that occur in the truth.
    pub fn balanced_accuracy(&self) -> Result<f64, Undefined> {
        self.positive_total()?;
        let (mut sum, mut count) = (0.0, 0.0);
        for (class, (truth, _)) in self.margins() {
            if truth > 0.0 {
                sum += self.cell(class, class) / truth;
                count += 1.0;
            }
        }
        Ok(sum / count)
    }

    /// Returns the metrics of one class, all 0 for a class that was not seen.
    pub fn class(&self, class: u32) -> ClassMetrics {
        let (truth, predicted) = self.margins().get(&class).copied().unwrap_or_default();
        ClassMetrics::from_margins(self.cell(class, class), truth, predicted)
    }

    /// Returns the metrics of every class.
    pub fn per_class(&self) -> BTreeMap<u32, ClassMetrics> {
        let metrics =
            |class, margins: (f64, f64)| ClassMetrics::from_margins(self.cell(class, class), margins.0, margins.1);
        self.margins().into_iter().map(|(class, margins)| (class, metrics(class, margins))).collect()
    }

    /// Returns averaged metrics; `support` is the total weight.
    pub fn average(&self, average: Average) -> Result<ClassMetrics, Undefined> {
        let total = self.positive_total()?;
        if average == Average::Micro {
            return Ok(ClassMetrics::from_margins(self.diagonal(), total, total));
        }
        let per_class = self.per_class();
        let weight_of = |it: &ClassMetrics| {
            if average == Average::Macro { 1.0 / per_class.len() as f64 } else { it.support / total }
        };
        let mean =
            |metric: fn(&ClassMetrics) -> f64| per_class.values().map(|it| metric(it) * weight_of(it)).sum::<f64>();
        Ok(ClassMetrics {
            precision: mean(|it| it.precision),
            recall: mean(|it| it.recall),
            f1: mean(|it| it.f1),
            support: total,
        })
    }

    /// Returns the Matthews correlation coefficient for any number of classes (Gorodkin 2004); 0 where a side is constant.
    pub fn mcc(&self) -> Result<f64, Undefined> {
        let total = self.positive_total()?;
        let (mut cross, mut truth_square, mut predicted_square) = (0.0, 0.0, 0.0);
        for (truth, predicted) in self.margins().into_values() {
            cross += truth * predicted;
            truth_square += truth * truth;
            predicted_square += predicted * predicted;
        }
        let covariance = self.diagonal() * total - cross;
        let scale = (total * total - truth_square) * (total * total - predicted_square);
        // Rounding of fractional weights may leave a tiny number where a side is constant.
        Ok(if scale <= 0.0 { 0.0 } else { (covariance / scale.sqrt()).clamp(-1.0, 1.0) })
    }

    /// Returns Cohen's κ (1960), `1 - disagreement / disagreement by chance`; undefined if both sides are one and the same class.
    pub fn cohen_kappa(&self) -> Result<f64, Undefined> {
        let total = self.positive_total()?;
        let by_chance: f64 = self.margins().into_values().map(|(truth, predicted)| truth * predicted / total).sum();
        let disagreement_by_chance = total - by_chance;
        if disagreement_by_chance <= 0.0 {
            return Err(Undefined::new(Reason::NoSpread));
        }
        Ok(1.0 - (total - self.diagonal()) / disagreement_by_chance)
    }

    /// Returns the state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.cells.len() as u64);
        for (&(truth, predicted), &weight) in &self.cells {
            writer.u32(truth);
            writer.u32(predicted);
            writer.f64(weight);
        }
        writer.finish()
    }

    /// Returns the matrix that [`ConfusionMatrix::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("a confusion matrix", bytes)?;
        let mut res = Self::new();
        for _ in 0..reader.len(16)? {
            let (key, weight) = ((reader.u32()?, reader.u32()?), reader.f64()?);
            let is_repeated = res.cells.last_key_value().is_some_and(|it| *it.0 >= key);
            let is_weight = weight >= 0.0 && weight.is_finite();
            if is_repeated || !is_weight {
                return Err(reader.invalid("cells"));
            }
            res.cells.insert(key, weight);
        }
        reader.finish()?;
        Ok(res)
    }

    fn diagonal(&self) -> f64 {
        self.cells.iter().filter(|it| it.0.0 == it.0.1).map(|it| it.1).sum()
    }

    /// Row and column sums by class.
    fn margins(&self) -> BTreeMap<u32, (f64, f64)> {
        let mut res: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for (&(truth, predicted), &weight) in &self.cells {
            res.entry(truth).or_default().0 += weight;
            res.entry(predicted).or_default().1 += weight;
        }
        res
    }

    fn positive_total(&self) -> Result<f64, Undefined> {
        let total = self.total();
        if total > 0.0 { Ok(total) } else { Err(Undefined::new(Reason::Empty)) }
    }
}

impl ClassMetrics {
    fn from_margins(hits: f64, truth: f64, predicted: f64) -> Self {
        Self {
            precision: ratio_or_zero(hits, predicted),
            recall: ratio_or_zero(hits, truth),
            f1: ratio_or_zero(2.0 * hits, truth + predicted),
            support: truth,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(rows: &[(u32, u32)]) -> ConfusionMatrix {
        let (truth, predicted): (Vec<u32>, Vec<u32>) = rows.iter().copied().unzip();
        let mut res = ConfusionMatrix::new();
        res.update(&truth, &predicted).unwrap();
        res
    }

    #[test]
    fn empty_and_constant_input() {
        let empty = ConfusionMatrix::new();
        assert_eq!(empty.accuracy(), Err(Undefined::new(Reason::Empty)));
        assert_eq!(empty.average(Average::Macro), Err(Undefined::new(Reason::Empty)));
        assert_eq!(empty.class(3).f1, 0.0);
        let constant = of(&[(1, 1), (1, 1)]);
        assert_eq!(constant.mcc(), Ok(0.0));
        assert_eq!(constant.cohen_kappa(), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(ConfusionMatrix::new().push(0, 0, f64::NAN), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(ConfusionMatrix::new().update(&[1], &[]), Err(Undefined::new(Reason::LengthMismatch)));
    }

    proptest! {
        #[test]
        fn merge_is_exact_and_state_round_trips(rows in prop::collection::vec((0u32..5, 0u32..5), 0..60), at in 0usize..60, cut in 0usize..60) {
            let at = at.min(rows.len());
            let whole = of(&rows);
            let (left, right) = (of(&rows[..at]), of(&rows[at..]));
            let (mut forward, mut backward) = (left.clone(), right.clone());
            forward.merge(&right);
            backward.merge(&left);
            prop_assert_eq!(&forward, &whole);
            prop_assert_eq!(&backward, &whole);
            let bytes = whole.to_bytes();
            prop_assert_eq!(&ConfusionMatrix::from_bytes(&bytes).unwrap(), &whole);
            prop_assert!(ConfusionMatrix::from_bytes(&bytes[..cut.min(bytes.len() - 1)]).is_err());
        }
    }
}
