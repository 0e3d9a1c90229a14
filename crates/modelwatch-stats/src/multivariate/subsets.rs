//! Sums over the current rows of many dealings.
//!
//! Of eight rows there are 256 sums over a part of them. They are computed once, and each dealing looks up its own (the method of the
//! four Russians: Arlazarov, Dinic, Kronrod & Faradzhev 1970): one addition for eight rows, in place of one for each current row.

use std::ops::Range;

use crate::error::Undefined;

use super::lanes::{LANES, Lanes};
use super::pool::Dealings;

/// How many rows share a table.
const GROUP: usize = 8;

/// The sums over each part of a group of rows, by the bits of the rows.
type Table = [Lanes; 1 << GROUP];

/// Some dealings, by which rows are in the current sample.
pub(super) struct Subsets<'a> {
    dealings: &'a Dealings<'a>,
    n: usize,
    /// Group by group one number per dealing: bit `i` says that row `i` of the group is in the current sample.
    patterns: Vec<u8>,
}

impl<'a> Subsets<'a> {
    pub(super) fn new(dealings: &'a Dealings<'a>, range: Range<usize>) -> Self {
        let n = range.len();
        // Groups are taken two by two.
        let mut patterns = vec![0; dealings.n_rows().div_ceil(2 * GROUP) * 2 * n];
        for row in 0..dealings.n_rows() {
            let of_group = &mut patterns[row / GROUP * n..][..n];
            for (pattern, label) in of_group.iter_mut().zip(&dealings.of_row(row)[range.clone()]) {
                *pattern |= u8::from(*label > 0.0) << (row % GROUP);
            }
        }
        Self { dealings, n, patterns }
    }

    /// Returns how many dealings there are.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Returns how many rows the reference and the current sample have: as many in each dealing.
    pub(super) fn sizes(&self) -> [usize; 2] {
        let n_current = self.dealings.n_current();
        [self.dealings.n_rows() - n_current, n_current]
    }

    /// Returns for each dealing the sums over the current rows of what is given for a row, and those over all rows.
    ///
    /// Undefined where the caller asked for an end.
    pub(super) fn sums(&self, of_row: impl Fn(usize) -> Lanes) -> Result<(Vec<Lanes>, Lanes), Undefined> {
        self.dealings.go_on()?;
        let mut res = vec![[0.0; LANES]; self.n];
        let mut total = [0.0; LANES];
        let mut tables = [[[0.0; LANES]; 1 << GROUP]; 2];
        let [left, right] = &mut tables;
        for (idx, patterns) in self.patterns.chunks_exact(2 * self.n).enumerate() {
            let first = idx * 2 * GROUP;
            let of_row = |row: usize| if row < self.dealings.n_rows() { of_row(row) } else { [0.0; LANES] };
            fill(left, |it| of_row(first + it));
            fill(right, |it| of_row(first + GROUP + it));
            add(&mut total, &left[left.len() - 1], &right[right.len() - 1]);
            let (of_left, of_right) = patterns.split_at(self.n);
            for ((sums, at_left), at_right) in res.iter_mut().zip(of_left).zip(of_right) {
                add(sums, &left[usize::from(*at_left)], &right[usize::from(*at_right)]);
            }
        }
        Ok((res, total))
    }
}

fn fill(table: &mut Table, of_row: impl Fn(usize) -> Lanes) {
    for row in 0..GROUP {
        let value = of_row(row);
        let (without, with) = table.split_at_mut(1 << row);
        for (with, without) in with.iter_mut().zip(without.iter()) {
            (0..LANES).for_each(|it| with[it] = without[it] + value[it]);
        }
    }
}

fn add(sums: &mut Lanes, left: &Lanes, right: &Lanes) {
    (0..LANES).for_each(|it| sums[it] += left[it] + right[it]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::Strata;

    #[test]
    fn sums_are_those_of_the_current_rows_for_any_number_of_rows() {
        for n_rows in [2_usize, 7, 8, 9, 16, 17, 40, 43] {
            let labels: Vec<bool> = (0..n_rows).map(|it| it % 3 == 0).collect();
            let dealings = Dealings::new(&labels, Strata::One, 29, 5).unwrap();
            let value = |row: usize| std::array::from_fn(|it| (row * row + it) as f64);
            for range in [0..30, 0..1, 11..30] {
                let subsets = Subsets::new(&dealings, range.clone());
                let (found, total) = subsets.sums(value).unwrap();
                assert_eq!((found.len(), subsets.len()), (range.len(), range.len()));
                let sum = |is_in: &dyn Fn(usize) -> bool, lane: usize| -> f64 {
                    (0..n_rows).filter(|it| is_in(*it)).map(|it| value(it)[lane]).sum()
                };
                for lane in 0..LANES {
                    assert_eq!(total[lane], sum(&|_| true, lane));
                    for (found, dealing) in found.iter().zip(range.clone()) {
                        assert_eq!(found[lane], sum(&|it| dealings.of_row(it)[dealing] > 0.0, lane), "{n_rows}");
                    }
                }
            }
        }
    }
}
