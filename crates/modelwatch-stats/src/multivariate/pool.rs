//! The rows of both samples, and the ways of dealing them out.

use std::fmt;

use crate::error::{Reason, Undefined};
use crate::hash::mix;
use crate::random::Random;

use super::rows::{Rows, alike};

/// The rows of both samples in an order that has nothing to do with the samples.
///
/// The order breaks ties between rows that are alike, as between neighbors at one distance. If one sample came first, it would win them.
#[derive(Clone, Debug)]
pub struct Pool {
    values: Vec<f64>,
    width: usize,
    is_current: Vec<bool>,
}

/// Between which rows labels may change places.
#[derive(Clone, Copy, Debug)]
pub enum Strata<'a> {
    /// Between all.
    One,
    /// Within so many parts, each of which has as many rows of either sample as the others, give or take one.
    Folds(usize),
    /// Between rows of one number, as rows whose scores are alike.
    Given(&'a [usize]),
}

/// Ways of dealing the rows of a pool out into samples of the same sizes, the observed one first.
#[derive(Clone)]
pub struct Dealings<'a> {
    n_rows: usize,
    n: usize,
    /// Row by row one number per dealing: 1 for the current sample, 0 for the reference.
    is_current: Vec<f64>,
    strata: Vec<usize>,
    is_interrupted: &'a dyn Fn() -> bool,
}

impl Pool {
    /// Returns the rows of both samples, shuffled from the seed.
    ///
    /// Undefined for rows of different width.
    pub fn new(reference: Rows<'_>, current: Rows<'_>, seed: u64) -> Result<Self, Undefined> {
        alike(&reference, &current)?;
        let width = reference.width();
        let n_rows = reference.len() + current.len();
        let mut order: Vec<usize> = (0..n_rows).collect();
        shuffle(&mut order, &mut Random::new(seed));
        let mut values = Vec::with_capacity(n_rows * width);
        for &idx in &order {
            let row = match idx.checked_sub(reference.len()) {
                None => reference.row(idx),
                Some(idx) => current.row(idx),
            };
            values.extend_from_slice(row);
        }
        let is_current = order.iter().map(|&it| it >= reference.len()).collect();
        Ok(Self { values, width, is_current })
    }

    /// Returns the rows.
    pub fn rows(&self) -> Rows<'_> {
        Rows { values: &self.values, width: self.width }
    }

    /// Returns for each row whether it is one of the current sample.
    pub fn is_current(&self) -> &[bool] {
        &self.is_current
    }
}

impl<'a> Dealings<'a> {
    /// Returns the observed dealing and so many random ones.
    ///
    /// Undefined where one of the samples has no row, and for strata of another length.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Dealings, Strata};
    ///
    /// let dealings = Dealings::new(&[true, false, false], Strata::One, 99, 7).unwrap();
    /// assert_eq!(dealings.len(), 100);
    /// assert_eq!(Dealings::new(&[true], Strata::One, 99, 7).map(drop).unwrap_err().to_string(),
    ///     "the statistic is undefined: only one class is present");
    /// ```
    pub fn new(is_current: &[bool], strata: Strata<'_>, n_random: usize, seed: u64) -> Result<Self, Undefined> {
        if is_current.iter().all(|it| *it) || !is_current.contains(&true) {
            return Err(Undefined::new(Reason::OneClass));
        }
        let n_rows = is_current.len();
        let strata = match strata {
            Strata::One => vec![0; n_rows],
            Strata::Folds(n) => folds(is_current, n.max(1)),
            Strata::Given(it) if it.len() == n_rows => it.to_vec(),
            Strata::Given(_) => return Err(Undefined::new(Reason::LengthMismatch)),
        };
        let n = n_random + 1;
        let mut res = Self { n_rows, n, is_current: vec![0.0; n_rows * n], strata, is_interrupted: &|| false };
        let members = res.members();
        let mut random = Random::new(mix(seed));
        for dealing in 0..n {
            for rows in &members {
                let mut labels: Vec<bool> = rows.iter().map(|&it| is_current[it]).collect();
                if dealing > 0 {
                    shuffle(&mut labels, &mut random);
                }
                for (&row, label) in rows.iter().zip(labels) {
                    res.is_current[row * n + dealing] = f64::from(u8::from(label));
                }
            }
        }
        Ok(res)
    }

    /// Returns the same dealings, whose statistics ask whether to end: often, as one of them can take minutes.
    ///
    /// A statistic that is told to is undefined for [`Reason::Interrupted`].
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Dealings, Pool, Rows, Strata, energy};
    ///
    /// let values = [1.0, 2.0, 3.0, 4.0];
    /// let rows = Rows::new(&values, 1).unwrap();
    /// let pool = Pool::new(rows, rows, 1).unwrap();
    /// let dealings = Dealings::new(pool.is_current(), Strata::One, 99, 1).unwrap().interrupted_by(&|| true);
    /// assert_eq!(energy(&pool, &dealings).unwrap_err().to_string(), "the statistic is undefined: it was interrupted");
    /// ```
    #[must_use]
    pub fn interrupted_by(self, is_interrupted: &'a dyn Fn() -> bool) -> Self {
        Self { is_interrupted, ..self }
    }

    /// Returns how many dealings there are, the observed one among them.
    #[allow(clippy::len_without_is_empty)] // There is always one.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Returns the number of rows.
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Returns the labels of a row, one per dealing: 1 for the current sample.
    pub(super) fn of_row(&self, row: usize) -> &[f64] {
        &self.is_current[row * self.n..(row + 1) * self.n]
    }

    /// Returns the labels of all rows in one dealing.
    pub(super) fn dealing(&self, dealing: usize) -> impl Iterator<Item = f64> {
        self.is_current.iter().skip(dealing).step_by(self.n).copied()
    }

    /// Returns how many rows the current sample has: as many in each dealing.
    pub(super) fn n_current(&self) -> usize {
        self.dealing(0).filter(|it| *it > 0.0).count()
    }

    /// Returns the rows of each stratum.
    pub(super) fn members(&self) -> Vec<Vec<usize>> {
        let mut res = vec![Vec::new(); self.strata.iter().max().map_or(0, |it| it + 1)];
        self.strata.iter().enumerate().for_each(|(row, &stratum)| res[stratum].push(row));
        res
    }

    /// Returns an error where the caller asked for an end.
    pub(super) fn go_on(&self) -> Result<(), Undefined> {
        if (self.is_interrupted)() { Err(Undefined::new(Reason::Interrupted)) } else { Ok(()) }
    }

    /// Returns an error unless the dealings are of so many rows.
    pub(super) fn check(&self, n_rows: usize) -> Result<(), Undefined> {
        if self.n_rows == n_rows { Ok(()) } else { Err(Undefined::new(Reason::LengthMismatch)) }
    }
}

impl fmt::Debug for Dealings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dealings").field("n_rows", &self.n_rows).field("n", &self.n).finish_non_exhaustive()
    }
}

/// Deals the rows of each sample round the folds.
fn folds(is_current: &[bool], n: usize) -> Vec<usize> {
    let mut seen = [0, 0];
    let fold = |&label: &bool| {
        let count = &mut seen[usize::from(label)];
        *count += 1;
        (*count - 1) % n
    };
    is_current.iter().map(fold).collect()
}

/// Fisher and Yates' shuffle.
fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::multivariate::{
        Classifier, Penalty, Rbf, correlation_change, cross_fitted_auc, energy, mmd, neighbors, reconstruction_change,
    };

    #[test]
    fn every_dealing_keeps_the_sizes_in_every_stratum() {
        let labels: Vec<bool> = (0..50).map(|it| it % 3 == 0).collect();
        let dealings = Dealings::new(&labels, Strata::Folds(4), 30, 1).unwrap();
        let observed: Vec<bool> = dealings.dealing(0).map(|it| it > 0.0).collect();
        assert_eq!(observed, labels);
        for dealing in 0..dealings.len() {
            let of: Vec<f64> = dealings.dealing(dealing).collect();
            for rows in dealings.members() {
                let count = |labels: &dyn Fn(usize) -> bool| rows.iter().filter(|&&it| labels(it)).count();
                assert_eq!(count(&|it| of[it] > 0.0), count(&|it| labels[it]));
            }
        }
        assert_ne!(dealings.dealing(1).collect::<Vec<_>>(), dealings.dealing(2).collect::<Vec<_>>());
    }

    #[test]
    fn every_statistic_ends_when_it_is_told_to() {
        let (left, right): (Vec<f64>, Vec<f64>) = (0..40).map(|it| (f64::from(it * 7 % 40), f64::from(it % 5))).unzip();
        let rows = |it| Rows::new(it, 2).unwrap();
        let pool = Pool::new(rows(&left), rows(&right), 1).unwrap();
        type Statistic = fn(&Pool, &Dealings<'_>) -> Result<Vec<f64>, Undefined>;
        let statistics: [Statistic; 7] = [
            energy,
            |pool, dealings| mmd(pool, dealings, Rbf::new(1.0).unwrap()),
            |pool, dealings| neighbors(pool, dealings, 3),
            |pool, dealings| cross_fitted_auc(pool, dealings, Classifier::Logistic(Penalty(1.0))),
            |pool, dealings| cross_fitted_auc(pool, dealings, Classifier::Trees),
            correlation_change,
            |pool, dealings| reconstruction_change(pool, dealings, 0.65),
        ];
        for (idx, statistic) in statistics.into_iter().enumerate() {
            let asked = Cell::new(0);
            let at_third = || {
                asked.set(asked.get() + 1);
                asked.get() == 3
            };
            let dealings = Dealings::new(pool.is_current(), Strata::Folds(3), 9, 1).unwrap();
            let found = statistic(&pool, &dealings.interrupted_by(&at_third));
            assert_eq!((found.unwrap_err().reason, asked.get()), (Reason::Interrupted, 3), "statistic {idx}");
        }
    }

    #[test]
    fn all_orders_are_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        let mut random = Random::new(3);
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, &mut random);
            *counts.entry(items).or_insert(0) += 1;
        }
        // Five standard deviations.
        assert!(counts.len() == 6 && counts.values().all(|it| (855..1145).contains(it)), "{counts:?}");
    }

    #[test]
    fn the_pool_mixes_the_samples() {
        let (left, right) = (vec![0.0; 100], vec![1.0; 50]);
        let pool = Pool::new(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), 5).unwrap();
        assert_eq!(pool.is_current().iter().filter(|it| **it).count(), 50);
        assert!(pool.is_current()[..100].iter().filter(|it| **it).count() > 20);
        let agrees = pool.rows().iter().zip(pool.is_current()).all(|(row, is_current)| (row[0] > 0.5) == *is_current);
        assert!(agrees);
        let wide = Rows::new(&right, 2).unwrap();
        assert!(Pool::new(Rows::new(&left, 1).unwrap(), wide, 5).is_err());
    }
}
