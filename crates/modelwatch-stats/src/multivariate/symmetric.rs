//! Small symmetric matrices: solving and eigenvectors. They are as wide as rows are, never as long as data is.

use std::ops::Range;

use crate::error::{Reason, Undefined};

use super::lanes::{LANES, Lanes};

/// The lower triangle `L` of a positive definite matrix `L Lᵀ`, row by row.
#[derive(Clone, Debug)]
pub(super) struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Returns the factor of a matrix, of which the lower triangle is read; undefined unless it is positive definite.
    pub(super) fn new(size: usize, mut matrix: Vec<f64>) -> Result<Self, Undefined> {
        for row in 0..size {
            for column in 0..=row {
                let known: f64 = (0..column).map(|it| matrix[row * size + it] * matrix[column * size + it]).sum();
                let rest = matrix[row * size + column] - known;
                if row == column {
                    if !(rest > 0.0 && rest.is_finite()) {
                        return Err(Undefined::new(Reason::NoSpread));
                    }
                    matrix[row * size + row] = rest.sqrt();
                } else {
                    matrix[row * size + column] = rest / matrix[column * size + column];
                }
            }
        }
        Ok(Self { size, lower: matrix })
    }

    /// Replaces the right side of `A x = b` by its solution, in each lane for itself.
    pub(super) fn solve(&self, right: &mut [Lanes]) {
        let at = |row: usize, column: usize| self.lower[row * self.size + column];
        for row in 0..self.size {
            substitute(right, row, 0..row, |it| at(row, it), at(row, row));
        }
        for row in (0..self.size).rev() {
            substitute(right, row, row + 1..self.size, |it| at(it, row), at(row, row));
        }
    }
}

/// Solves one equation, given the places of what is known already, and the factors of that and of what is not.
fn substitute(right: &mut [Lanes], row: usize, known: Range<usize>, factor: impl Fn(usize) -> f64, own: f64) {
    // What Rust's sums begin with.
    let mut sums = [-0.0; LANES];
    for it in known {
        let factor = factor(it);
        sums.iter_mut().zip(&right[it]).for_each(|(sum, it)| *sum += factor * it);
    }
    right[row].iter_mut().zip(sums).for_each(|(it, sum)| *it = (*it - sum) / own);
}

/// Returns the eigenvalues of a symmetric matrix, greatest first, each with its eigenvector of length 1.
///
/// Jacobi's rotations (1846), cyclic by rows: slow for large matrices, accurate for all. The sign of an eigenvector means nothing.
pub(super) fn eigen(size: usize, mut matrix: Vec<f64>) -> Vec<(f64, Vec<f64>)> {
    let mut vectors = vec![0.0; size * size];
    (0..size).for_each(|it| vectors[it * size + it] = 1.0);
    let norm: f64 = matrix.iter().map(|it| it * it).sum();
    // It converges quadratically, and ten sweeps are many.
    for _ in 0..50 {
        let off: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| matrix[row * size + column].powi(2))
            .sum();
        if off <= norm * 1e-30 {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(size, &mut matrix, &mut vectors, p, q);
            }
        }
    }
    let vector = |column: usize| (0..size).map(|row| vectors[row * size + column]).collect();
    let mut res: Vec<(f64, Vec<f64>)> = (0..size).map(|it| (matrix[it * size + it], vector(it))).collect();
    res.sort_by(|left, right| right.0.total_cmp(&left.0));
    res
}

/// Turns the plane of two axes so that the matrix has 0 where they meet.
fn rotate(size: usize, matrix: &mut [f64], vectors: &mut [f64], p: usize, q: usize) {
    let off = matrix[p * size + q];
    if off == 0.0 {
        return;
    }
    let theta = (matrix[q * size + q] - matrix[p * size + p]) / (2.0 * off);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |at: &mut [f64], left: usize, right: usize| {
        let (x, y) = (at[left], at[right]);
        at[left] = cosine * x - sine * y;
        at[right] = sine * x + cosine * y;
    };
    for it in 0..size {
        turn(matrix, it * size + p, it * size + q);
    }
    for it in 0..size {
        turn(matrix, p * size + it, q * size + it);
        turn(vectors, it * size + p, it * size + q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: [f64; 9] = [4.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.5, -1.0, 2.0];

    #[test]
    fn solutions_solve() {
        let lanes = |it: f64| std::array::from_fn(|lane| it + lane as f64);
        let mut x = [1.0, -2.0, 3.0].map(lanes);
        Cholesky::new(3, MATRIX.to_vec()).unwrap().solve(&mut x);
        for (row, expected) in MATRIX.chunks_exact(3).zip([1.0, -2.0, 3.0].map(lanes)) {
            for lane in 0..LANES {
                let found: f64 = row.iter().zip(&x).map(|(a, b)| a * b[lane]).sum();
                assert!((found - expected[lane]).abs() < 1e-12);
            }
        }
        assert!(Cholesky::new(2, vec![1.0, 2.0, 2.0, 1.0]).is_err());
    }

    #[test]
    fn eigenvectors_are_only_stretched() {
        let found = eigen(3, MATRIX.to_vec());
        assert!(found.windows(2).all(|it| it[0].0 >= it[1].0));
        assert!((found.iter().map(|it| it.0).sum::<f64>() - 9.0).abs() < 1e-12);
        for (value, vector) in found {
            assert!((vector.iter().map(|it| it * it).sum::<f64>() - 1.0).abs() < 1e-12);
            for (row, x) in MATRIX.chunks_exact(3).zip(&vector) {
                let product: f64 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
                assert!((product - value * x).abs() < 1e-12);
            }
        }
        assert_eq!(eigen(2, vec![2.0, 0.0, 0.0, 5.0]), [(5.0, vec![0.0, 1.0]), (2.0, vec![1.0, 0.0])]);
    }
}
