//! How far values of a sample can be from those of all rows, where neither sums nor bins stand for the rows beyond the budget.
//!
//! Which distinct rows are kept depends on their hashes alone: they are drawn without replacement, each with all of its count. By how much
//! values vary over such samples is told by a jackknife that leaves out one group of distinct rows after the other (Kott 2001). Of what
//! it cannot see, since few rows make it, the bound is that for the mean of as many independent numbers (Maurer & Pontil 2009,
//! theorem 4). Both hold for all samples but one in a million, which is the level of these bounds.
//!
//! Average precisions are no means: what they are off by is greater by up to the harmonic number of the positive rows, as a few negative rows
//! before all others lower each precision, the first most of all.
//!
//! Rows that are repeated so often that the kept ones do not account for all rows, or for their weight, leave no bounds and no intervals; where
//! those of a class do not account for it, the metrics of it have none. What is left: a repeated row can hide that is less than the part 5.8/√n of
//! the rows, or of those of its class, of which n distinct ones are kept: of 100,000 about a fiftieth. Of detections the objects and the
//! detections of all classes together are held against those of all rows, not those of each class. Bounds of an average over classes hold that
//! of each class at this level, not all of them at once. An interval is no narrower than what the jackknife says at its level.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{hash::mix, intervals::student_t_quantile};

use crate::{
    bootstrap::Rows,
    bounds::Bounds,
    measure::{Areas, Measure, Of},
    state::State,
    summed::{Counts, Kind, SumMetric, SumOf},
    tally::Tally,
    tasks::{detection, multi_label},
};

/// The groups of the jackknife.
const N_GROUPS: u64 = 40;
/// The share of samples for which the bounds do not hold.
const MISSED: f64 = 1e-6;

/// Which part of the distinct rows is kept; it is there only where that is not all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

/// What is known of a metric, per model, and of their difference.
#[derive(Clone, Debug)]
pub(crate) struct OfSample {
    pub(crate) measure: Measure,
    pub(crate) models: Vec<Sampled>,
    pub(crate) difference: Sampled,
    /// Of the candidate's over the baseline's; it has no bounds of its own.
    pub(crate) ratio: Sampled,
}

/// What is known of a value over the kept rows; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) bounds: Option<Bounds>,
    value: f64,
    /// Its standard error over distinct rows.
    error: f64,
    /// Whether the bounds are less than its whole range.
    is_known: bool,
}

impl Sampled {
    /// Returns an interval that also covers which distinct rows are kept; none where they do not tell that.
    pub(crate) fn cover(self, it: Interval, [least, most]: [f64; 2]) -> Option<Interval> {
        let half = quantile(1.0 - it.level) * self.error;
        let [low, high] = [(self.value - half).max(least), (self.value + half).min(most)];
        let found = Interval { low: it.low.min(low), high: it.high.max(high), level: it.level };
        (self.is_known && half.is_finite()).then_some(found)
    }
}

impl Share {
    /// Returns that of a state; none where it has all rows, or counts that stand for them.
    pub(crate) fn of(state: &State) -> Option<Self> {
        let last = || state.sample.iter().last().map(|it| it.0);
        let bound = state.head.bound.or_else(|| state.head.totals.as_ref().and_then(|_| last()))?;
        Some(Self((bound as f64 + 1.0) / 2.0_f64.powi(64)))
    }
}

/// Returns the group of the jackknife that a kept row is in. It is not a function of how great its key is, as those of kept rows are small.
fn group(key: u64) -> u64 {
    mix(key ^ 0x6a61_636b) % N_GROUPS
}

/// Returns the bounds of metrics that are of `rows`, of whose `tally` over all rows they are a sample.
pub(crate) fn bounds(rows: &Rows<'_>, measures: &[Measure], tally: &Tally, share: Share) -> Vec<OfSample> {
    let whole = rows.values_of_models(measures, |_, count| count);
    let left = |nth: u64, key: u64, count: u64| match rows.are_drawn_one_by_one() {
        true => (0..count).filter(|it| group(key ^ mix(*it)) != nth).count() as u64,
        false if group(key) == nth => 0,
        false => count,
    };
    let of_group = |nth| rows.values_of_models(measures, |key, count| left(nth, key, count));
    let without: Vec<Vec<[f64; 2]>> = (0..N_GROUPS).map(of_group).collect();
    let n_models = tally.models.len();
    let supports: Vec<Support> = (0..n_models).map(|it| Support::new(rows, tally, share, it)).collect();
    let is_usable = |model: usize| tally.models[model].unusable == 0;
    let of = |(nth, &measure): (usize, &Measure)| {
        let few: Vec<f64> = supports.iter().map(|it| it.few(measure, tally)).collect();
        let range = measure.range();
        let of_model = |model: usize| {
            if !is_usable(model) {
                return Sampled::default();
            }
            let values: Vec<f64> = without.iter().map(|it| it[nth][model]).collect();
            around(whole[nth][model], &values, share, few[model], range)
        };
        let difference = |it: [f64; 2]| it[0] - it[1];
        let width = range[1] - range[0];
        let of_both = || {
            let differences: Vec<f64> = without.iter().map(|it| difference(it[nth])).collect();
            let few = few.iter().copied().fold(0.0, f64::max);
            around(difference(whole[nth]), &differences, share, few, [-width, width])
        };
        let models: Vec<Sampled> = (0..n_models).map(of_model).collect();
        let ratio = |it: [f64; 2]| it[0] / it[1];
        let of_ratio = || Sampled {
            bounds: None,
            value: ratio(whole[nth]),
            error: error(&without.iter().map(|it| ratio(it[nth])).collect::<Vec<f64>>()),
            is_known: models.iter().all(|it| it.is_known),
        };
        let is_paired = n_models > 1 && (0..n_models).all(is_usable);
        let [difference, ratio] = if is_paired { [of_both(), of_ratio()] } else { [Sampled::default(); 2] };
        OfSample { measure, models, difference, ratio }
    };
    measures.iter().enumerate().map(of).collect()
}

/// Returns what is known of a value, given those without each group, and which part of its range few rows can make; nothing where it is not a
/// number.
fn around(value: f64, without: &[f64], Share(share): Share, few: f64, range: [f64; 2]) -> Sampled {
    let [least, most] = range;
    if value.is_nan() {
        return Sampled::default();
    }
    let error = error(without);
    let off = quantile(MISSED) * error * (1.0 - share).max(0.0).sqrt() + few * (most - least);
    // What is not defined without a group hangs on few rows.
    let off = if off.is_nan() { f64::INFINITY } else { off };
    let ends = [(value - off).max(least), (value + off).min(most)];
    let bounds = Bounds::around(&[value, ends[0], ends[1]]).map(|it| it.but_for(MISSED));
    let is_known = few < 1.0 && (ends[0] > least || ends[1] < most);
    Sampled { bounds, value, error, is_known }
}

/// Returns the standard error of a value, given those without each group.
fn error(without: &[f64]) -> f64 {
    let n = without.len() as f64;
    let mean = without.iter().sum::<f64>() / n;
    ((n - 1.0) / n * without.iter().map(|it| (it - mean).powi(2)).sum::<f64>()).sqrt()
}

/// Returns how many standard errors a value is off by at most, but for such a share of samples.
fn quantile(missed: f64) -> f64 {
    student_t_quantile(1.0 - missed / 2.0, N_GROUPS as f64 - 1.0).unwrap_or(f64::INFINITY)
}

/// How many distinct rows speak for each class, as many as of equal counts would (Kish 1965).
struct Support {
    all: Distinct,
    /// Those of each class, and what they are told from; of detections, rows by their objects and by their detections.
    classes: Vec<[Distinct; 2]>,
    /// How many rows, or objects, there are of each class with those that are not kept, about.
    positives: Vec<f64>,
    /// What all rows of each class weigh, where that is known, or else the kept ones.
    weights: Vec<f64>,
    /// Those that are of any class, and those that any class is told from.
    entries: [Distinct; 2],
    /// Whether the rows are as many of all as a sample of their share has; they are where each was drawn by itself.
    is_whole: bool,
    /// The same of each class and of what it is told from.
    are_whole: Vec<bool>,
}

/// Distinct rows by what they weigh.
#[derive(Clone, Copy, Default)]
struct Distinct {
    sum: f64,
    squares: f64,
}

impl Distinct {
    fn add(&mut self, mass: f64) {
        self.sum += mass;
        self.squares += mass * mass;
    }

    /// Adds as many that weigh so much together.
    fn add_each(&mut self, mass: f64, count: u64) {
        self.sum += mass;
        self.squares += mass * mass / count as f64;
    }

    fn effective(self) -> f64 {
        if self.squares > 0.0 { self.sum * self.sum / self.squares } else { 0.0 }
    }

    fn few(self) -> f64 {
        few(self.effective())
    }
}

/// Returns up to which part of its range a mean of as many numbers can be off by what none of them shows.
fn few(n: f64) -> f64 {
    if n > 1.0 { (7.0 * (2.0 / MISSED).ln() / (3.0 * (n - 1.0))).min(1.0) } else { 1.0 }
}

impl Support {
    /// Returns that for the metrics of a model.
    fn new(rows: &Rows<'_>, tally: &Tally, Share(share): Share, model: usize) -> Self {
        let n_classes = rows.n_classes();
        let mut all = Distinct::default();
        let mut classes = vec![<[Distinct; 2]>::default(); n_classes];
        let mut entries = <[Distinct; 2]>::default();
        // By counts alone: of all, of each class, and of the parts of all classes together.
        let (mut counts, mut counts_of) = (Distinct::default(), vec![Distinct::default(); n_classes]);
        let mut parts_of_all = <[Distinct; 2]>::default();
        for ((words, count), mass) in rows.iter().zip(rows.masses()) {
            if rows.are_drawn_one_by_one() {
                all.add_each(mass, count);
                continue;
            }
            let count = count as f64;
            all.add(mass);
            counts.add(count);
            let mut parts = [0.0; 2];
            for (class, sides) in classes.iter_mut().enumerate() {
                let found = rows.sides(words, class, model);
                counts_of[class].add(count * found[0]);
                for ((side, part), it) in sides.iter_mut().zip(&mut parts).zip(found) {
                    side.add(mass * it);
                    *part += it;
                }
            }
            for ((entry, of_all), part) in entries.iter_mut().zip(&mut parts_of_all).zip(parts) {
                entry.add(if part > 0.0 { mass } else { 0.0 });
                of_all.add(count * part);
            }
        }
        let is_whole =
            |kept: Distinct, of_all: f64| kept.sum + quantile(MISSED) * kept.squares.sqrt() >= share * of_all;
        // Both models have the same labels.
        let sums = tally.models.iter().find(|it| it.unusable == 0).map_or(&[][..], |it| it.sums.as_slice());
        let known: Option<Vec<f64>> = match rows.kind() {
            None => Some(tally.truth.iter().map(|it| it.weight).collect()),
            Some(Kind::MultiLabel) if !sums.is_empty() => {
                let of_class = |class| Counts::of(&sums[multi_label::N_FIRST..], class);
                Some((0..n_classes).map(of_class).map(|it| it.hits + it.misses).collect())
            }
            Some(_) => None,
        };
        let is_whole_of = |class: usize| {
            let Some(weight) = known.as_ref().and_then(|it| it.get(class)) else { return true };
            let others = tally.all.weight - weight;
            // Sums in another order may leave an ulp of rows that are not there.
            let others = if others > 1e-9 * tally.all.weight { others } else { 0.0 };
            let [of, against] = classes[class];
            let n = tally.truth.get(class).filter(|_| rows.kind().is_none()).map_or(0.0, |it| it.n as f64);
            is_whole(of, *weight) && is_whole(against, others) && is_whole(counts_of[class], n)
        };
        let are_whole = (0..n_classes).map(is_whole_of).collect();
        let is_of_all = || {
            let of_all = match rows.kind() {
                Some(Kind::Detection) => {
                    [detection::N_OBJECTS, detection::N_DETECTIONS].map(|it| tally.models[model].sums[it])
                }
                _ => [0.0; 2],
            };
            is_whole(counts, tally.all.n as f64)
                && is_whole(all, tally.all.weight)
                && parts_of_all.into_iter().zip(of_all).all(|(kept, of_all)| is_whole(kept, of_all))
        };
        Self {
            is_whole: rows.are_drawn_one_by_one() || is_of_all(),
            are_whole,
            positives: counts_of.iter().map(|it| it.sum / share).collect(),
            weights: known.unwrap_or_else(|| classes.iter().map(|it| it[0].sum).collect()),
            all,
            classes,
            entries,
        }
    }

    /// Returns up to which part of its range a metric can be off by rows of which none is kept.
    fn few(&self, measure: Measure, tally: &Tally) -> f64 {
        if !self.is_whole {
            return 1.0;
        }
        let is_precision = match measure {
            Measure::AveragePrecision(_) => true,
            Measure::Summed(Kind::MultiLabel, it) => multi_label::is_of_ranks(it) && !multi_label::is_area(it),
            Measure::Summed(Kind::Detection, it) => detection::is_precision(it),
            _ => false,
        };
        let of_ranks = |few: f64, n: f64| (few * if is_precision { 1.0 + n.max(1.0).ln() } else { 1.0 }).min(1.0);
        let one = |class: usize| match self.classes.get(class) {
            Some(it) if self.are_whole[class] => of_ranks(it[0].few().max(it[1].few()), self.positives[class]),
            _ => 1.0,
        };
        let weight = |class: usize| self.weights[class];
        let is_there = |class: &usize| tally.truth.get(*class).is_none_or(|it| it.n > 0);
        let classes: Vec<usize> = (0..self.classes.len()).filter(is_there).collect();
        let mean = |parts: Vec<(f64, f64)>| {
            let total: f64 = parts.iter().map(|it| it.0).sum();
            if total > 0.0 { parts.iter().map(|it| it.0 * it.1).sum::<f64>() / total } else { 1.0 }
        };
        let each = |weight: &dyn Fn(usize) -> f64| mean(classes.iter().map(|&it| (weight(it), one(it))).collect());
        let pairs = |weight: &dyn Fn(usize) -> f64| {
            let of = |(nth, &left): (usize, &usize)| {
                let few = move |it: usize| if self.are_whole[it] { self.classes[it][0].few() } else { 1.0 };
                let pair = move |&right: &usize| (weight(left) + weight(right), few(left).max(few(right)));
                classes[nth + 1..].iter().map(pair).collect::<Vec<_>>()
            };
            mean(classes.iter().enumerate().flat_map(of).collect())
        };
        match measure {
            Measure::RocAuc(Areas::PairsMacro) => pairs(&|_| 1.0),
            Measure::RocAuc(Areas::PairsWeighted) => pairs(&weight),
            Measure::RocAuc(Areas::RestMacro | Areas::Present) => each(&|_| 1.0),
            Measure::RocAuc(Areas::RestWeighted) => each(&weight),
            Measure::RocAuc(Areas::One) => one(self.classes.len().saturating_sub(1)),
            Measure::Summed(_, SumMetric { of: SumOf::Class(it), .. }) => one(it),
            Measure::Summed(Kind::Detection, _) => each(&|_| 1.0),
            Measure::Summed(Kind::MultiLabel, it) if multi_label::is_of_ranks(it) => match it.of {
                SumOf::Micro if !self.are_whole.iter().all(|it| *it) => 1.0,
                SumOf::Micro => {
                    of_ranks(self.entries[0].few().max(self.entries[1].few()), self.positives.iter().sum::<f64>())
                }
                SumOf::Weighted => each(&weight),
                _ => each(&|_| 1.0),
            },
            it => match it.of() {
                Some(Of::Class(class) | Of::Positive(class)) => one(class),
                // Some metrics leave rows out.
                _ => few(self.all.effective().min(it.n(tally, 0) as f64)),
            },
        }
    }
}
