//! Categories that are not known one by one: what their rows can hide.

use modelwatch_stats::{categories::CategoryCounts, two_sample::CellDistance};

/// The shares of the rows of further categories, which share cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Further {
    /// Of each cell, in the reference and in the current rows.
    cells: Vec<(f64, f64)>,
    /// The greatest share that one of the categories can have in each.
    most: (f64, f64),
}

impl Further {
    /// Returns them, given the counts of all cells, of which so many last ones are of further categories, none with more rows than that.
    pub(crate) fn new((left, right): (&[u64], &[u64]), n_cells: usize, bound: u64) -> Self {
        let n = |counts: &[u64]| counts.iter().map(|it| *it as f64).sum::<f64>();
        let (n, m) = (n(left), n(right));
        let last = |counts: &[u64]| counts.len().saturating_sub(n_cells);
        let cells = left[last(left)..].iter().zip(&right[last(right)..]);
        let cells: Vec<(f64, f64)> = cells.map(|it| (*it.0 as f64 / n, *it.1 as f64 / m)).collect();
        let most = cells.iter().fold((0.0f64, 0.0f64), |most, it| (most.0.max(it.0), most.1.max(it.1)));
        Self { most: (most.0.min(bound as f64 / n), most.1.min(bound as f64 / m)), cells }
    }

    /// Returns the share of all of them in the reference and in the current rows.
    pub(crate) fn shares(&self) -> (f64, f64) {
        (self.sum(|p, _| p), self.sum(|_, q| q))
    }

    /// Returns the greatest distance of all categories, given that of the cells: those that share one may be others on each side.
    pub(crate) fn greatest(&self, distance: CellDistance, value: f64) -> f64 {
        if self.cells.is_empty() {
            return value;
        }
        let root = |added: f64| (value * value + added.max(0.0)).sqrt().min(1.0);
        let (p, q) = self.shares();
        // Of categories that one side lacks, whose share there counts as the floor.
        let logarithm = |share: f64, most: f64, floor: f64| share * (most.max(floor) / floor).ln();
        match distance {
            CellDistance::TotalVariation => (value + self.sum(f64::min)).min(1.0),
            CellDistance::Chebyshev => value.max(self.most.0).max(self.most.1),
            CellDistance::Hellinger => root(self.sum(|p, q| (p * q).sqrt())),
            CellDistance::JensenShannon => root(self.sum(|p, q| (p + q) / 2.0 - divergence(p, q))),
            CellDistance::Psi(floor) => value + logarithm(p, self.most.0, floor) + logarithm(q, self.most.1, floor),
            CellDistance::Kl(floor) => value + logarithm(p, self.most.0, floor),
        }
    }

    /// Returns the least population stability index of all categories, given that of the cells: those of small shares add nothing.
    pub(crate) fn least_psi(&self, floor: f64, value: f64) -> f64 {
        let of_cell = |p: f64, q: f64| (p.max(floor) - q.max(floor)) * (p.max(floor) / q.max(floor)).ln();
        (value - self.cells.iter().map(|it| of_cell(it.0, it.1)).sum::<f64>()).max(0.0)
    }

    fn sum(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.cells.iter().map(|it| of(it.0, it.1)).sum()
    }
}

/// What a cell adds to the Jensen-Shannon divergence in bits.
fn divergence(p: f64, q: f64) -> f64 {
    let half = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (2.0 * p / (p + q)).log2() / 2.0 };
    half(p, q) + half(q, p)
}

/// Returns why a column of which no drift was found may be drifted all the same, where a stored profile is what does not know its categories.
pub(crate) fn undecided(further: &Further, counts: [&CategoryCounts; 2]) -> Option<String> {
    let cut = counts.into_iter().find(|it| it.is_cut())?;
    let of = cut.n_distinct().map_or_else(String::new, |it| format!(" of {it}"));
    let (p, q) = further.shares();
    Some(format!(
        "a stored profile keeps the {} most frequent{of} categories; what is not frequent for certain, {:.1} % of the reference and {:.1} % of the current rows, is compared in groups, which show no drift and could hide one; give the rows in place of the profile, or leave the column out with `exclude`",
        cut.n_kept(),
        p * 100.0,
        q * 100.0,
    ))
}

#[cfg(test)]
mod tests {
    use modelwatch_stats::two_sample::cell_effect;

    use super::*;

    const FLOOR: f64 = 1e-4;

    const ALL: [CellDistance; 6] = [
        CellDistance::TotalVariation,
        CellDistance::Chebyshev,
        CellDistance::Hellinger,
        CellDistance::JensenShannon,
        CellDistance::Psi(FLOOR),
        CellDistance::Kl(FLOOR),
    ];

    #[test]
    fn no_distance_of_all_categories_is_beyond_the_bounds() {
        let known = ([500, 200], [400, 300]);
        // Categories that are the same, other ones, and some of both, in two cells.
        for (left, right) in [
            ([[100, 50], [100, 50]], [[50, 100], [50, 100]]),
            ([[150, 0], [150, 0]], [[0, 150], [0, 150]]),
            ([[149, 1], [100, 50]], [[149, 1], [1, 149]]),
        ] {
            let sums = |of: [[u64; 2]; 2]| of.map(|it| it[0] + it[1]);
            let cells = ([known.0, sums(left)].concat(), [known.1, sums(right)].concat());
            let all = ([&known.0[..], &left.concat()].concat(), [&known.1[..], &right.concat()].concat());
            let further = Further::new((&cells.0, &cells.1), 2, 150);
            assert_eq!(further.shares(), (0.3, 0.3));
            for distance in ALL {
                let value = |it: &(Vec<u64>, Vec<u64>)| cell_effect(distance, &it.0, &it.1, 0.95).unwrap().value;
                let (least, found, greatest) = (value(&cells), value(&all), further.greatest(distance, value(&cells)));
                assert!(found <= greatest + 1e-12, "{distance:?}: {found} of {greatest}");
                assert!(least <= found + 1e-12, "{distance:?}: {found} below {least}");
            }
        }
        assert_eq!(Further::default().greatest(CellDistance::TotalVariation, 0.25), 0.25);
    }

    #[test]
    fn categories_of_other_rows_alone_are_as_far_as_can_be() {
        let further = Further::new((&[50, 50], &[50, 50]), 1, 50);
        assert!((further.greatest(CellDistance::TotalVariation, 0.0) - 0.5).abs() < 1e-12);
        assert!((further.greatest(CellDistance::JensenShannon, 0.0) - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((further.greatest(CellDistance::Hellinger, 0.0) - 0.5f64.sqrt()).abs() < 1e-12);
        // Two categories of a half each: 2 * 0.5 ln(0.5 / 0.0001).
        assert!((further.greatest(CellDistance::Psi(FLOOR), 0.0) - 5000f64.ln()).abs() < 1e-12);
        // Where none has more rows than the floor, they add nothing.
        let rare = Further::new((&[50_000, 50_000], &[50_000, 50_000]), 1, 10);
        assert_eq!((rare.greatest(CellDistance::Psi(FLOOR), 0.0), rare.least_psi(FLOOR, 0.0)), (0.0, 0.0));
    }
}
