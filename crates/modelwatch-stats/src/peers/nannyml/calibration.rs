//! Whether NannyML calibrates a classifier's scores before it estimates with them.

use crate::{
    classification::roc_auc_weighted,
    error::{Reason, Undefined},
    isotonic::Isotonic,
    peers::numpy::RandomState,
};

/// How often the rows are split.
const N_SPLITS: usize = 10;
/// The share of the rows that a calibration is tried on.
const TEST_SHARE: f64 = 0.1;
/// The seed of the splits.
const SEED: u32 = 42;
/// How many bins the calibration error is over.
const N_BINS: usize = 10;
/// From this area under the ROC curve on nothing is calibrated.
const PERFECT: f64 = 0.999;

/// The calibration errors of scores before and after a calibration, on rows that it has not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationTrial {
    /// Of the scores as they are.
    pub before: f64,
    /// Of the scores as isotonic regression on the other rows makes them.
    pub after: f64,
}

impl CalibrationTrial {
    /// Returns whether the calibration made the error smaller, so that NannyML calibrates.
    pub fn helps(self) -> bool {
        self.before > self.after
    }
}

/// A row of a split that was not calibrated on.
struct Tried {
    score: f64,
    calibrated: f64,
    is_positive: bool,
    weight: f64,
}

/// Tries a calibration as `needs_calibration` does: ten stratified splits of 90 % to 10 %, as scikit-learn's
/// `StratifiedShuffleSplit(random_state=42)` draws them, and the expected calibration error over ten bins of equally many
/// rows of all test parts together. The splits depend on the order of the rows. NannyML knows no weights: with others than 1, fits and
/// errors are weighted, and splits and bins are of as many rows.
///
/// None where there is only one class, or the area under the ROC curve is above 0.999: NannyML calibrates neither.
/// Undefined for no rows, a NaN, an infinity, slices of different lengths, and fewer rows than splits and bins need.
///
/// ```
/// use modelwatch_stats::peers::nannyml::calibration_trial;
///
/// // Scores of 0.1 and 0.2 where the chances are 0.25 and 0.75.
/// let scores: Vec<f64> = (0..400).map(|it| if it % 2 == 0 { 0.1 } else { 0.2 }).collect();
/// let labels: Vec<bool> = (0..400).map(|it| (it % 2 == 1) != (it / 2 % 4 == 0)).collect();
/// let trial = calibration_trial(&scores, &labels, &[1.0; 400]).unwrap().unwrap();
/// assert!(trial.helps() && trial.before > 0.3 && trial.after < 0.1);
/// ```
pub fn calibration_trial(
    scores: &[f64],
    is_positive: &[bool],
    weights: &[f64],
) -> Result<Option<CalibrationTrial>, Undefined> {
    if scores.len() != is_positive.len() || scores.len() != weights.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    if scores.iter().any(|it| it.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if scores.iter().any(|it| it.is_infinite()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    if scores.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|left, right| scores[*left].total_cmp(&scores[*right]));
    let points = |wanted: bool| {
        order.iter().filter(|it| is_positive[**it] == wanted).map(|it| (scores[*it], weights[*it])).collect::<Vec<_>>()
    };
    let (positives, negatives) = (points(true), points(false));
    if positives.is_empty() || negatives.is_empty() || roc_auc_weighted(&positives, &negatives)? > PERFECT {
        return Ok(None);
    }
    let mut tried = Vec::new();
    let mut random = RandomState::new(SEED);
    for _ in 0..N_SPLITS {
        let split = split(is_positive, &mut random)?;
        let mut is_seen = vec![false; scores.len()];
        split.seen.iter().for_each(|it| is_seen[*it] = true);
        let rows = order.iter().filter(|it| is_seen[**it]);
        let target = |it: usize| f64::from(u8::from(is_positive[it]));
        let calibrated = Isotonic::fit_sorted(rows.map(|it| (scores[*it], target(*it), weights[*it])))?;
        tried.extend(split.tested.iter().map(|it| Tried {
            score: scores[*it],
            calibrated: calibrated.value(scores[*it]),
            is_positive: is_positive[*it],
            weight: weights[*it],
        }));
    }
    Ok(Some(CalibrationTrial {
        before: error(&mut tried, |it| it.score)?,
        after: error(&mut tried, |it| it.calibrated)?,
    }))
}

/// Returns the mean difference of chance and outcome over bins of equally many rows.
fn error(rows: &mut [Tried], chance: fn(&Tried) -> f64) -> Result<f64, Undefined> {
    // NumPy sorts equal chances in an order of its own, which shows where a bin ends between them.
    rows.sort_by(|left, right| chance(left).total_cmp(&chance(right)));
    let n_bins = if rows.len() <= 2 * N_BINS { rows.len() / 2 } else { N_BINS };
    if n_bins < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let width = rows.len() / n_bins;
    let n_edges = rows.len() / width;
    let bins = (0..n_edges).map(|it| {
        let end = if it + 1 == n_edges { rows.len() } else { (it + 1) * width };
        let bin = &rows[it * width..end];
        let excess: f64 = bin.iter().map(|it| it.weight * (chance(it) - f64::from(u8::from(it.is_positive)))).sum();
        excess.abs()
    });
    Ok(bins.sum::<f64>() / rows.iter().map(|it| it.weight).sum::<f64>())
}

/// The rows of a split.
struct Split {
    seen: Vec<usize>,
    tested: Vec<usize>,
}

/// Returns the next split of `StratifiedShuffleSplit(test_size=0.1)`.
fn split(is_positive: &[bool], random: &mut RandomState) -> Result<Split, Undefined> {
    let n_tested = (TEST_SHARE * is_positive.len() as f64).ceil() as usize;
    let n_seen = is_positive.len() - n_tested;
    let rows_of = |wanted: bool| (0..is_positive.len()).filter(|it| is_positive[*it] == wanted).collect::<Vec<_>>();
    let classes = [rows_of(false), rows_of(true)];
    let counts = [classes[0].len(), classes[1].len()];
    if counts[0].min(counts[1]) < 2 || n_tested.min(n_seen) < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let seen_counts = shares(counts, n_seen, random);
    let left = [counts[0] - seen_counts[0], counts[1] - seen_counts[1]];
    let tested_counts = shares(left, n_tested, random);
    let mut res = Split { seen: Vec::new(), tested: Vec::new() };
    for (class, rows) in classes.iter().enumerate() {
        let order = random.permutation(rows.len());
        let (seen, rest) = order.split_at(seen_counts[class]);
        res.seen.extend(seen.iter().map(|it| rows[*it]));
        res.tested.extend(rest[..tested_counts[class]].iter().map(|it| rows[*it]));
    }
    let mut shuffle = |rows: &[usize]| random.permutation(rows.len()).iter().map(|it| rows[*it]).collect();
    Ok(Split { seen: shuffle(&res.seen), tested: shuffle(&res.tested) })
}

/// Returns how many rows of each class are drawn, in proportion, as scikit-learn's `_approximate_mode`: what is left over
/// by rounding down goes to the larger remainder, and where they are equal to chance.
fn shares(counts: [usize; 2], n_drawn: usize, random: &mut RandomState) -> [usize; 2] {
    let total = (counts[0] + counts[1]) as f64;
    let exact = counts.map(|it| it as f64 / total * n_drawn as f64);
    let mut res = exact.map(|it| it.floor() as usize);
    let remainders = [exact[0] - exact[0].floor(), exact[1] - exact[1].floor()];
    let order = if remainders[0] == remainders[1] {
        if res[0] + res[1] == n_drawn {
            return res;
        }
        random.permutation(2)
    } else if remainders[0] > remainders[1] {
        vec![0, 1]
    } else {
        vec![1, 0]
    };
    for class in order {
        if res[0] + res[1] < n_drawn {
            res[class] += 1;
        }
    }
    // A class that is used up leaves nothing to draw.
    [res[0].min(counts[0]), res[1].min(counts[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_class_and_perfect_scores_are_not_tried() {
        assert_eq!(calibration_trial(&[0.1, 0.9], &[true, true], &[1.0; 2]), Ok(None));
        assert_eq!(calibration_trial(&[0.1, 0.9], &[false, true], &[1.0; 2]), Ok(None));
    }

    #[test]
    fn too_few_rows_and_what_is_no_number_are_undefined() {
        let reason = |scores: &[f64], labels: &[bool]| {
            calibration_trial(scores, labels, &vec![1.0; scores.len()]).unwrap_err().reason
        };
        assert_eq!(reason(&[], &[]), Reason::Empty);
        assert_eq!(reason(&[0.1], &[]), Reason::LengthMismatch);
        assert_eq!(reason(&[f64::NAN], &[true]), Reason::NotANumber);
        assert_eq!(reason(&[f64::INFINITY], &[true]), Reason::Infinite);
        assert_eq!(reason(&[0.9, 0.1, 0.5], &[false, true, true]), Reason::TooFew);
    }

    #[test]
    fn a_split_keeps_the_proportions_and_every_row_once() {
        let labels: Vec<bool> = (0..105).map(|it| it % 7 == 0).collect();
        let split = split(&labels, &mut RandomState::new(SEED)).unwrap();
        assert_eq!((split.seen.len(), split.tested.len()), (94, 11));
        let positives = |rows: &[usize]| rows.iter().filter(|it| labels[**it]).count();
        assert_eq!((positives(&split.seen), positives(&split.tested)), (13, 2));
        let mut all = [split.seen, split.tested].concat();
        all.sort_unstable();
        assert_eq!(all, (0..105).collect::<Vec<_>>());
    }
}
