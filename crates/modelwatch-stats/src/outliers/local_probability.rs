//! How much sparser it is around a row than around its neighbors: LoOP, local outlier probabilities (Kriegel, Kröger, Schubert & Zimek 2009).

use statrs::function::erf::erf;

use crate::error::{Reason, Undefined};

/// The extent of the authors' experiments: distances within three standard distances.
pub const LOOP_EXTENT: f64 = 3.0;

/// How local a probability is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoopOptions {
    /// `k`, the number of neighbors; as many as there are other rows are enough.
    pub n_neighbors: usize,
    /// `λ`: the greater, the farther out an outlier has to be.
    pub extent: f64,
}

/// What is known of the rows that others are held against; see [`LocalProbabilities::fit`].
#[derive(Clone, Debug)]
pub struct LocalProbabilities {
    options: LoopOptions,
    /// `σ` of each row.
    standard_distances: Vec<f64>,
    /// `PLOF` of each row.
    factors: Vec<f64>,
    /// `nPLOF`.
    normalizer: f64,
}

impl LocalProbabilities {
    /// Learns how far rows are from their neighbors, given the distance of each pair.
    ///
    /// - `σ(o, S) = √(Σ d(o, s)² / |S|)`, the standard distance of a row to its `k` nearest neighbors `S`, and `pdist = λ σ`.
    /// - `PLOF(o) = pdist(o) / mean of pdist(s) over s ∈ S - 1`.
    /// - `nPLOF = λ √(mean of PLOF² over all rows)`.
    /// - `LoOP(o) = max(0, erf(PLOF(o) / (√2 nPLOF)))`.
    ///
    /// Neighbors at one distance are taken in the order of the rows. `PLOF` is 0 where row and neighbors have no other distance than 0,
    /// and infinite where only the neighbors do; such rows are outliers for sure, and left out of `nPLOF`. Give different rows, so
    /// that those that are repeated do not make all others sparse (Breunig et al. 2000 have k distinct distances for that).
    ///
    /// Undefined for fewer than three rows, for no neighbor, for an extent that is not above 0, and for distances that are no numbers.
    ///
    /// ```
    /// use modelwatch_stats::outliers::{LocalProbabilities, LoopOptions};
    ///
    /// // With two neighbors each, the standard distances of 0, 1, 2 and 10 are √2.5, 1, √2.5 and √72.5. So the factors are
    /// // 2 √2.5 / (1 + √2.5) - 1, 1 / √2.5 - 1, the first one again, and 2 √72.5 / (1 + √2.5) - 1; the root of their mean square is 2.81.
    /// let rows: [f64; 4] = [0.0, 1.0, 2.0, 10.0];
    /// let options = LoopOptions { n_neighbors: 2, extent: 1.0 };
    /// let model = LocalProbabilities::fit(rows.len(), options, |a, b| (rows[a] - rows[b]).abs()).unwrap();
    /// let probabilities = model.probabilities();
    /// assert!((probabilities[3] - 0.953683).abs() < 1e-6);
    /// assert!((probabilities[0] - 0.063876).abs() < 1e-6);
    /// assert_eq!(probabilities[1], 0.0);
    /// ```
    ///
    /// # Errors
    /// See above.
    pub fn fit(n_rows: usize, options: LoopOptions, distance: impl Fn(usize, usize) -> f64) -> Result<Self, Undefined> {
        if n_rows < 3 || options.n_neighbors == 0 {
            return Err(Undefined::new(Reason::TooFew));
        }
        if !(options.extent.is_finite() && options.extent > 0.0) {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        let n_neighbors = options.n_neighbors.min(n_rows - 1);
        let mut standard_distances = Vec::with_capacity(n_rows);
        let mut neighbors = Vec::with_capacity(n_rows * n_neighbors);
        let mut others = Vec::with_capacity(n_rows);
        for row in 0..n_rows {
            others.clear();
            others.extend((0..n_rows).filter(|it| *it != row).map(|it| (distance(row, it), it)));
            let nearest = nearest(&mut others, n_neighbors)?;
            standard_distances.push(standard_distance(nearest));
            neighbors.extend(nearest.iter().map(|it| it.1));
        }
        let factor = |(row, own): (usize, &f64)| {
            let around = &neighbors[row * n_neighbors..(row + 1) * n_neighbors];
            factor(*own, around.iter().map(|it| standard_distances[*it]))
        };
        let factors: Vec<f64> = standard_distances.iter().enumerate().map(factor).collect();
        let normalizer = options.extent * root_mean_square(factors.iter().copied().filter(|it| it.is_finite()));
        Ok(Self { options: LoopOptions { n_neighbors, ..options }, standard_distances, factors, normalizer })
    }

    /// Returns the probability of each row to be an outlier among the others.
    pub fn probabilities(&self) -> Vec<f64> {
        self.factors.iter().map(|it| self.of_factor(*it)).collect()
    }

    /// Returns the probability of another row, given its distances to all that were learned from.
    ///
    /// Its neighbors are theirs, and so is the scale. It changes neither.
    ///
    /// ```
    /// use modelwatch_stats::outliers::{LocalProbabilities, LoopOptions};
    ///
    /// let rows: Vec<f64> = (0..50).map(|it| f64::from(it * it % 37)).collect();
    /// let options = LoopOptions { n_neighbors: 5, extent: 3.0 };
    /// let model = LocalProbabilities::fit(rows.len(), options, |a, b| (rows[a] - rows[b]).abs()).unwrap();
    /// let probability = |row: f64| model.probability(&rows.iter().map(|it| (it - row).abs()).collect::<Vec<_>>()).unwrap();
    /// assert!(probability(18.0) < 0.1 && probability(80.0) > 0.9);
    /// ```
    ///
    /// # Errors
    /// For another number of distances, and for those that are no numbers.
    pub fn probability(&self, distances: &[f64]) -> Result<f64, Undefined> {
        if distances.len() != self.standard_distances.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let mut others: Vec<(f64, usize)> = distances.iter().copied().zip(0..).collect();
        let nearest = nearest(&mut others, self.options.n_neighbors)?;
        let around = nearest.iter().map(|it| self.standard_distances[it.1]);
        Ok(self.of_factor(factor(standard_distance(nearest), around)))
    }

    fn of_factor(&self, factor: f64) -> f64 {
        match factor {
            // Nothing is known of how factors vary where all are 0.
            it if it <= 0.0 => 0.0,
            it if it.is_infinite() || self.normalizer == 0.0 => 1.0,
            it => erf(it / (self.normalizer * std::f64::consts::SQRT_2)),
        }
    }
}

/// Returns the `n` nearest rows with their distances.
fn nearest(others: &mut [(f64, usize)], n: usize) -> Result<&[(f64, usize)], Undefined> {
    if others.iter().any(|it| !it.0.is_finite()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    others.select_nth_unstable_by(n - 1, |left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    // Sums are to be the same for every order in which the selection leaves them.
    others[..n].sort_unstable_by_key(|it| it.1);
    Ok(&others[..n])
}

fn standard_distance(nearest: &[(f64, usize)]) -> f64 {
    root_mean_square(nearest.iter().map(|it| it.0))
}

fn root_mean_square(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count();
    if n == 0 { 0.0 } else { (values.map(|it| it * it).sum::<f64>() / n as f64).sqrt() }
}

/// Returns the local outlier factor of a standard distance and those of the neighbors.
fn factor(own: f64, around: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = around.len() as f64;
    let usual = around.sum::<f64>() / n;
    match (own > 0.0, usual > 0.0) {
        (_, true) => own / usual - 1.0,
        (true, false) => f64::INFINITY,
        (false, false) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LoopOptions = LoopOptions { n_neighbors: 3, extent: LOOP_EXTENT };

    fn of(rows: &[f64], options: LoopOptions) -> LocalProbabilities {
        LocalProbabilities::fit(rows.len(), options, |a, b| (rows[a] - rows[b]).abs()).unwrap()
    }

    #[test]
    fn the_extent_makes_outliers_rarer() {
        let rows = [0.0, 1.0, 2.0, 10.0];
        let probability = |extent| of(&rows, LoopOptions { n_neighbors: 2, extent }).probabilities()[3];
        assert!((probability(1.0) - 0.953_683_279).abs() < 1e-9);
        assert!((probability(3.0) - 0.493_415_390).abs() < 1e-9);
    }

    #[test]
    fn probabilities_are_those_of_pynomaly() {
        // A lattice and two rows apart from it; PyNomaly 0.4.0 with 10 neighbors and an extent of 3.
        let lattice = (0..200).map(|it| [f64::from(it * 37 % 101) / 10.0, f64::from(it * 53 % 97) / 10.0]);
        let rows: Vec<[f64; 2]> = lattice.chain([[30.0, 30.0], [5.0, -12.0]]).collect();
        let options = LoopOptions { n_neighbors: 10, extent: LOOP_EXTENT };
        let distance = |a: usize, b: usize| (rows[a][0] - rows[b][0]).hypot(rows[a][1] - rows[b][1]);
        let ours = LocalProbabilities::fit(rows.len(), options, distance).unwrap().probabilities();
        let theirs = [
            (0, 0.037_532_53),
            (7, 0.0),
            (100, 0.010_802_8),
            (150, 0.030_324_55),
            (200, 0.999_983_34),
            (201, 0.946_974_62),
        ];
        for (row, expected) in theirs {
            assert!((ours[row] - expected).abs() < 1e-7, "row {row}: {} and {expected}", ours[row]);
        }
    }

    #[test]
    fn more_neighbors_than_rows_are_all_of_them() {
        let rows = [0.0, 1.0, 2.0, 10.0];
        let all = of(&rows, LoopOptions { n_neighbors: 3, extent: 1.0 });
        let more = of(&rows, LoopOptions { n_neighbors: 30, extent: 1.0 });
        assert_eq!(all.probabilities(), more.probabilities());
    }

    #[test]
    fn rows_that_are_equal_are_no_outliers_and_what_is_apart_from_them_is() {
        let rows = [1.0, 1.0, 1.0, 1.0, 1.0, 2.0];
        assert_eq!(of(&rows, OPTIONS).probabilities(), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let equal = of(&[1.0; 6], OPTIONS);
        assert_eq!(equal.probabilities(), [0.0; 6]);
        assert_eq!((equal.probability(&[0.0; 6]), equal.probability(&[1.0; 6])), (Ok(0.0), Ok(1.0)));
    }

    #[test]
    fn density_is_local() {
        // A dense and a sparse cluster: a row near the dense one is odd at a distance that is usual in the sparse one.
        let dense = (0..40).map(|it| f64::from(it) * 0.01);
        let sparse = (0..40).map(|it| 100.0 + f64::from(it));
        let rows: Vec<f64> = dense.chain(sparse).chain([2.4]).collect();
        let probabilities = of(&rows, LoopOptions { n_neighbors: 10, extent: LOOP_EXTENT }).probabilities();
        assert!(probabilities[80] > 0.99 && probabilities[40..80].iter().all(|it| *it < 0.5), "{probabilities:?}");
    }

    #[test]
    fn what_has_no_neighbors_is_undefined() {
        let fit = |n, options, distance: f64| LocalProbabilities::fit(n, options, |_, _| distance).unwrap_err().reason;
        assert_eq!(fit(2, OPTIONS, 1.0), Reason::TooFew);
        assert_eq!(fit(9, LoopOptions { n_neighbors: 0, ..OPTIONS }, 1.0), Reason::TooFew);
        assert_eq!(fit(9, LoopOptions { extent: 0.0, ..OPTIONS }, 1.0), Reason::OutOfRange);
        assert_eq!(fit(9, OPTIONS, f64::NAN), Reason::NotANumber);
        assert_eq!(of(&[0.0, 1.0, 2.0], OPTIONS).probability(&[1.0]).unwrap_err().reason, Reason::LengthMismatch);
    }
}
