//! Names as numbers: the mean absolute errors of the reference rows that have them (Micci-Barreca 2001).

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_stats::weights::Mass;

use crate::{
    regressor::absolute_error,
    rows::{Names, Rows},
};

/// The least labeled rows of the reference with a name for their errors to stand for others: of fewer, as of ids, each would be told its own.
pub(crate) const MIN_NAMED: u64 = 20;

/// In how many parts the rows of a name are, so that what each is told is of the other parts.
const FOLDS: usize = 5;

/// What each name of a column stands for.
pub(crate) struct Encoding {
    /// The mean error of the rows with each name that enough have.
    means: BTreeMap<String, f64>,
    /// That of all rows, which other names stand for.
    overall: f64,
    /// All names of the reference.
    known: BTreeSet<String>,
    /// How many labeled rows of the reference have a name that too few have.
    pub(crate) n_rare: u64,
}

/// Errors and weights of rows.
#[derive(Clone, Copy, Default)]
struct Sums {
    errors: f64,
    weight: f64,
}

impl Sums {
    fn add(&mut self, it: Self) {
        self.errors += it.errors;
        self.weight += it.weight;
    }

    fn mean(self) -> f64 {
        self.errors / self.weight
    }
}

impl Encoding {
    /// Returns that of a column of the reference, and what each of its rows is told to learn from: errors of others.
    pub(crate) fn of(reference: &Rows, Names { names, codes }: &Names) -> (Self, Vec<f64>) {
        let weights = reference.weights();
        let row = |row: usize| {
            let errors = absolute_error(reference, row)? * weights[row];
            Some(Sums { errors, weight: weights[row] })
        };
        let mut all = Sums::default();
        (0..codes.len()).filter_map(row).for_each(|it| all.add(it));
        let overall = all.mean();
        let mut masses = vec![(Mass::default(), 0u64); names.len()];
        for (code, it) in codes.iter().enumerate().filter_map(|it| Some((*it.1, row(it.0)?))) {
            if let Some((mass, n)) = masses.get_mut(code as usize) {
                *mass = Mass { weight: mass.weight + it.weight, square: mass.square + it.weight * it.weight };
                *n += 1;
            }
        }
        let is_enough = |mass: Mass| mass.weight > 0.0 && mass.whole_size() >= MIN_NAMED;
        let mut parts: BTreeMap<u32, [Sums; FOLDS]> = BTreeMap::new();
        let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
        let mut fold_of = vec![None; codes.len()];
        for (at, code) in codes.iter().enumerate() {
            let Some(it) = row(at).filter(|_| masses.get(*code as usize).is_some_and(|it| is_enough(it.0))) else {
                continue;
            };
            // By how many had the name before, as the order of rows may repeat itself.
            let n = seen.entry(*code).or_default();
            let fold = *n % FOLDS;
            *n += 1;
            parts.entry(*code).or_default()[fold].add(it);
            fold_of[at] = Some(fold);
        }
        let mean = |code: u32, left_out: Option<usize>| {
            let mut res = Sums::default();
            let parts = parts.get(&code)?.iter().enumerate();
            parts.filter(|it| Some(it.0) != left_out).for_each(|it| res.add(*it.1));
            (res.weight > 0.0).then(|| res.mean())
        };
        let value = |(at, code): (usize, &u32)| match names.get(*code as usize) {
            Some(_) => mean(*code, fold_of[at]).unwrap_or(overall),
            None => f64::NAN,
        };
        let values = codes.iter().enumerate().map(value).collect();
        let means = (0u32..).zip(names).filter_map(|(code, name)| Some((name.clone(), mean(code, None)?))).collect();
        let n_rare = masses.iter().filter(|it| !is_enough(it.0)).map(|it| it.1).sum();
        (Self { means, overall, known: names.iter().cloned().collect(), n_rare }, values)
    }

    /// Returns what the names of rows stand for; missing values where they have none.
    pub(crate) fn values(&self, Names { names, codes }: &Names) -> Vec<f64> {
        let of_names: Vec<f64> = names.iter().map(|it| self.means.get(it).copied().unwrap_or(self.overall)).collect();
        codes.iter().map(|it| of_names.get(*it as usize).copied().unwrap_or(f64::NAN)).collect()
    }

    /// Returns how many rows have a name that no row of the reference has.
    pub(crate) fn n_unknown(&self, Names { names, codes }: &Names) -> u64 {
        let is_unknown: Vec<bool> = names.iter().map(|it| !self.known.contains(it)).collect();
        codes.iter().filter(|it| is_unknown.get(**it as usize) == Some(&true)).count() as u64
    }
}
