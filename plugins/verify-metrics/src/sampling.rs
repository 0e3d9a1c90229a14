//! How far values of a sample can be from those of all rows, where neither sums nor bins stand for the rows beyond the budget.
//!
//! Which distinct rows are kept depends on their hashes alone: they are drawn without replacement, each with all of its count. By how much
//! values vary over such samples is told by a jackknife that leaves out one group of distinct rows after the other (Kott 2001). Of what
//! it cannot see, since few rows make it, the bound is that for the mean of as many independent numbers (Maurer & Pontil 2009,
//! theorem 4). Both hold for all samples but one in a million, which is the level of these bounds.
//!
//! A row that is repeated so often that the kept ones do not account for all rows leaves no bounds; one that is less than about a fiftieth of
//! all rows can hide.

use modelwatch_stats::{hash::mix, intervals::student_t_quantile};

use crate::{
    bootstrap::Rows,
    bounds::Bounds,
    measure::{Areas, Measure, Of},
    state::State,
    summed::{Kind, SumMetric, SumOf},
    tally::Tally,
};

/// The groups of the jackknife.
pub(crate) const N_GROUPS: u64 = 40;
/// The share of samples for which the bounds do not hold.
pub(crate) const MISSED: f64 = 1e-6;

/// Which part of the distinct rows is kept; it is there only where that is not all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

/// The bounds of a metric, per model, and of their difference.
#[derive(Clone, Debug)]
pub(crate) struct OfSample {
    pub(crate) measure: Measure,
    pub(crate) models: Vec<Option<Bounds>>,
    pub(crate) difference: Option<Bounds>,
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
pub(crate) fn group(key: u64) -> u64 {
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
    let support = Support::new(rows, tally);
    let n_models = tally.models.len();
    let of = |(nth, &measure): (usize, &Measure)| {
        let few = if support.is_whole(share) { support.few(measure, tally) } else { 1.0 };
        let range = measure.range();
        let of_model = |model: usize| {
            let values: Vec<f64> = without.iter().map(|it| it[nth][model]).collect();
            around(whole[nth][model], &values, share, few, range)
        };
        let difference = |it: [f64; 2]| it[0] - it[1];
        let width = range[1] - range[0];
        let differences: Vec<f64> = without.iter().map(|it| difference(it[nth])).collect();
        OfSample {
            measure,
            models: (0..n_models).map(of_model).collect(),
            difference: (n_models > 1)
                .then(|| around(difference(whole[nth]), &differences, share, few, [-width, width]))
                .flatten(),
        }
    };
    measures.iter().enumerate().map(of).collect()
}

/// Returns the bounds of a value, given those without each group, and which part of its range few rows can make; none where it is not a number.
pub(crate) fn around(value: f64, without: &[f64], Share(share): Share, few: f64, range: [f64; 2]) -> Option<Bounds> {
    let [least, most] = range;
    if value.is_nan() {
        return None;
    }
    let n = without.len() as f64;
    let mean = without.iter().sum::<f64>() / n;
    let variance = (n - 1.0) / n * without.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
    let error = quantile() * (variance * (1.0 - share).max(0.0)).sqrt() + few * (most - least);
    // What is not defined without a group hangs on few rows.
    let error = if error.is_nan() { f64::INFINITY } else { error };
    let ends = [(value - error).max(least), (value + error).min(most)];
    Some(Bounds::around(&[value, ends[0], ends[1]])?.but_for(MISSED))
}

/// Returns up to which part of its range a mean over all rows can be off by rows of which none is kept.
pub(crate) fn few_of(rows: &Rows<'_>, tally: &Tally, share: Share) -> f64 {
    let support = Support::new(rows, tally);
    if support.is_whole(share) { support.all.few() } else { 1.0 }
}

/// Returns how many standard errors a value is off by at most.
fn quantile() -> f64 {
    student_t_quantile(1.0 - MISSED / 2.0, N_GROUPS as f64 - 1.0).unwrap_or(f64::INFINITY)
}

/// How many distinct rows speak for each class, as many as of equal counts would (Kish 1965).
struct Support {
    all: Distinct,
    /// Those of each class, and what they are told from.
    classes: Vec<[Distinct; 2]>,
    /// All by their counts alone, and how many rows there are with those that are not kept.
    counts: Distinct,
    n: u64,
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
    fn new(rows: &Rows<'_>, tally: &Tally) -> Self {
        let mut res = Self {
            all: Distinct::default(),
            classes: vec![Default::default(); rows.n_classes()],
            counts: Distinct::default(),
            n: tally.all.n,
        };
        for ((words, count), mass) in rows.iter().zip(rows.masses()) {
            if rows.are_drawn_one_by_one() {
                res.all.add_each(mass, count);
                continue;
            }
            res.all.add(mass);
            res.counts.add(count as f64);
            for (class, [of, against]) in res.classes.iter_mut().enumerate() {
                let [is_of, is_against] = rows.sides(words, class);
                of.add(if is_of { mass } else { 0.0 });
                against.add(if is_against { mass } else { 0.0 });
            }
        }
        res
    }

    /// Returns whether the rows are as many of all as a sample of their share has; they are where each was drawn by itself.
    fn is_whole(&self, Share(share): Share) -> bool {
        let Distinct { sum, squares } = self.counts;
        sum == 0.0 || sum + quantile() * squares.sqrt() >= share * self.n as f64
    }

    /// Returns up to which part of its range a metric can be off by rows of which none is kept.
    fn few(&self, measure: Measure, tally: &Tally) -> f64 {
        let one = |class: usize| self.classes.get(class).map_or(1.0, |it| it[0].few().max(it[1].few()));
        let weight = |class: usize| self.classes[class][0].sum;
        let is_there = |class: &usize| tally.truth.get(*class).is_none_or(|it| it.n > 0);
        let classes: Vec<usize> = (0..self.classes.len()).filter(is_there).collect();
        let mean = |parts: Vec<(f64, f64)>| {
            let total: f64 = parts.iter().map(|it| it.0).sum();
            if total > 0.0 { parts.iter().map(|it| it.0 * it.1).sum::<f64>() / total } else { 1.0 }
        };
        let each = |weight: &dyn Fn(usize) -> f64| mean(classes.iter().map(|&it| (weight(it), one(it))).collect());
        let pairs = |weight: &dyn Fn(usize) -> f64| {
            let of = |(nth, &left): (usize, &usize)| {
                let few = move |it: usize| self.classes[it][0].few();
                let pair = move |&right: &usize| (weight(left) + weight(right), few(left).max(few(right)));
                classes[nth + 1..].iter().map(pair).collect::<Vec<_>>()
            };
            mean(classes.iter().enumerate().flat_map(of).collect())
        };
        match measure {
            Measure::RocAuc(Areas::PairsMacro) => pairs(&|_| 1.0),
            Measure::RocAuc(Areas::PairsWeighted) => pairs(&weight),
            Measure::RocAuc(Areas::RestMacro) => each(&|_| 1.0),
            Measure::RocAuc(Areas::RestWeighted) => each(&weight),
            Measure::RocAuc(Areas::One) => one(self.classes.len().saturating_sub(1)),
            Measure::Summed(_, SumMetric { of: SumOf::Class(it), .. }) => one(it),
            Measure::Summed(Kind::Detection, _) => each(&|_| 1.0),
            it => match it.of() {
                Some(Of::Class(class) | Of::Positive(class)) => one(class),
                // Some metrics leave rows out.
                _ => few(self.all.effective().min(it.n(tally, 0) as f64)),
            },
        }
    }
}
