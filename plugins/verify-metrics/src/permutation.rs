//! Looks for classes in the wrong order: a permutation of the predictions that makes them right.

use std::collections::BTreeMap;

use crate::mass::Mass;

/// The most classes for which the best permutation is searched (the search is cubic).
pub(crate) const MAX_CLASSES: usize = 200;

/// Returns, for each class, the prediction that it is best renamed from: the assignment of
/// predictions to labels with the most hits (Kuhn 1955, in the form of Jonker & Volgenant 1987).
/// Of equal ones that with the most classes left alone.
pub(crate) fn best(confusion: &BTreeMap<u64, Mass>, n_classes: usize) -> Vec<usize> {
    let size = n_classes as i128;
    // Hits dominate; the diagonal breaks ties.
    let gain = |label: usize, class: usize| {
        let count = confusion.get(&((label * n_classes + class) as u64)).map_or(0, |it| it.n);
        i128::from(count) * (size + 1) + i128::from(label == class)
    };
    assign(n_classes, |label, class| -gain(label, class))
}

/// Returns the column of each row in the assignment of least cost.
fn assign(n: usize, cost: impl Fn(usize, usize) -> i128) -> Vec<usize> {
    const FAR: i128 = i128::MAX / 4;
    // Rows and columns are counted from 1; 0 stands for none.
    let (mut row_price, mut column_price) = (vec![0; n + 1], vec![0; n + 1]);
    let mut row_of = vec![0; n + 1];
    for row in 1..=n {
        let (mut least, mut from, mut is_done) = (vec![FAR; n + 1], vec![0; n + 1], vec![false; n + 1]);
        let mut column = 0;
        row_of[0] = row;
        loop {
            is_done[column] = true;
            let (at, mut step, mut next) = (row_of[column], FAR, 0);
            for it in 1..=n {
                if is_done[it] {
                    continue;
                }
                let reduced = cost(at - 1, it - 1) - row_price[at] - column_price[it];
                if reduced < least[it] {
                    (least[it], from[it]) = (reduced, column);
                }
                if least[it] < step {
                    (step, next) = (least[it], it);
                }
            }
            for it in 0..=n {
                if is_done[it] {
                    row_price[row_of[it]] += step;
                    column_price[it] -= step;
                } else {
                    least[it] -= step;
                }
            }
            column = next;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            row_of[column] = row_of[from[column]];
            column = from[column];
        }
    }
    let mut res = vec![0; n];
    for column in 1..=n {
        res[row_of[column] - 1] = column - 1;
    }
    res
}

/// Returns the step by which all classes are rotated, if that is what the permutation does.
pub(crate) fn rotation(permutation: &[usize]) -> Option<usize> {
    let n = permutation.len();
    let step = *permutation.first()?;
    let is_rotation = permutation.iter().enumerate().all(|(label, &class)| class == (label + step) % n);
    (step != 0 && is_rotation).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(rows: &[&[u64]]) -> BTreeMap<u64, Mass> {
        let mass = |n: u64| Mass { n, ..Mass::default() };
        rows.concat().iter().enumerate().map(|(cell, &count)| (cell as u64, mass(count))).collect()
    }

    #[test]
    fn the_best_permutation_is_found_where_greed_fails() {
        // Greed takes 10 first and is left with 0: 10 + 0 < 9 + 9.
        assert_eq!(best(&confusion(&[&[10, 9], &[9, 0]]), 2), [1, 0]);
        assert_eq!(best(&confusion(&[&[0, 5, 1], &[1, 0, 5], &[5, 1, 0]]), 3), [1, 2, 0]);
        assert_eq!(best(&confusion(&[&[5, 1, 0], &[0, 0, 0], &[0, 0, 5]]), 3), [0, 1, 2]);
    }

    #[test]
    fn every_small_assignment_is_optimal() {
        let costs = [[7, 3, 9, 4], [2, 8, 6, 5], [1, 1, 4, 9], [3, 6, 2, 8]];
        let found: i128 =
            assign(4, |row, column| costs[row][column]).iter().enumerate().map(|(row, &it)| costs[row][it]).sum();
        let mut least = i128::MAX;
        for a in 0..4 {
            for b in (0..4).filter(|&it| it != a) {
                for c in (0..4).filter(|&it| it != a && it != b) {
                    least = least.min(costs[0][a] + costs[1][b] + costs[2][c] + costs[3][6 - a - b - c]);
                }
            }
        }
        assert_eq!(found, least);
    }

    #[test]
    fn rotations_are_named() {
        assert_eq!(rotation(&[1, 2, 0]), Some(1));
        assert_eq!(rotation(&[0, 1, 2]), None);
        assert_eq!(rotation(&[1, 0, 2]), None);
    }
}
