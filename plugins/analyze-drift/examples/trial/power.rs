//! How often a difference is found, by the default and by every single test, at an equal rate of false alarms.

use modelwatch_stats::{
    Point,
    sample::NumericSample,
    two_sample::{
        Alternative, CramerVonMises, MannWhitney, Test, anderson_darling, cramer_von_mises, discrepancy, energy,
        epps_singleton, ks_asymptotic, kuiper, mann_whitney, omnibus, robust_deviation, student_t, wasserstein,
        welch_t, winsorize,
    },
};

use crate::{
    data::{Kind, Random},
    loss::{Found, compare},
};

/// The tests, the default first. The last three are distances, by a null distribution of their own.
pub(crate) const TESTS: [&str; 12] = [
    "auto",
    "ks",
    "cvm",
    "ad",
    "mann-whitney",
    "t",
    "welch",
    "epps-singleton",
    "kuiper",
    "wasserstein",
    "energy",
    "mmd",
];

/// A difference between the two roles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Its name.
    pub(crate) name: &'static str,
    /// The distribution of the reference.
    pub(crate) kind: Kind,
    /// Draws a current value, given how large the difference is.
    pub(crate) draw: fn(&mut Random, f64) -> f64,
    /// How large it is for as many current as reference rows, and for few current rows.
    pub(crate) sizes: [f64; 2],
}

/// All differences of numbers. Columns of two values are left out: every test is then a function of the same two counts, and a threshold from
/// simulated counts would know the base rate.
#[rustfmt::skip] // It is a table.
pub(crate) const CELLS: [Cell; 9] = {
    use Kind::{HeavyTailed, Normal, Skewed, Tied, ZeroInflated};
    [
        Cell { name: "normal, shifted", kind: Normal, draw: |it, by| it.normal() + by, sizes: [0.125, 0.3] },
        Cell { name: "normal, spread", kind: Normal, draw: |it, by| it.normal() * by, sizes: [1.12, 1.35] },
        Cell { name: "heavy-tailed, shifted", kind: HeavyTailed, draw: |it, by| it.number(HeavyTailed) + by, sizes: [0.16, 0.38] },
        Cell { name: "heavy-tailed, spread", kind: HeavyTailed, draw: |it, by| it.number(HeavyTailed) * by, sizes: [1.2, 1.6] },
        Cell { name: "skewed, scaled", kind: Skewed, draw: |it, by| it.number(Skewed) * by, sizes: [1.13, 1.35] },
        Cell { name: "skewed, shifted", kind: Skewed, draw: |it, by| it.number(Skewed) + by, sizes: [0.08, 0.2] },
        Cell { name: "tied, shifted", kind: Tied, draw: |it, by| (2.0 * (it.normal() + by)).round() / 2.0, sizes: [0.125, 0.3] },
        Cell { name: "tied, spread", kind: Tied, draw: |it, by| (2.0 * it.normal() * by).round() / 2.0, sizes: [1.12, 1.35] },
        Cell { name: "zero-inflated, scaled", kind: ZeroInflated, draw: |it, by| it.number(ZeroInflated) * by, sizes: [1.5, 3.0] },
    ]
};

/// Returns how often each test finds the difference in so many runs.
pub(crate) fn run(cell: Cell, size: usize, rows: (usize, usize), runs: u32) -> Found {
    let mut random = Random(u64::from(runs) + size as u64 * 7 + cell.kind as u64 * 1009);
    compare(runs, |is_different| {
        let left: Vec<f64> = (0..rows.0).map(|_| random.number(cell.kind)).collect();
        let draw = |_| match is_different {
            true => (cell.draw)(&mut random, cell.sizes[size]),
            false => random.number(cell.kind),
        };
        let right: Vec<f64> = (0..rows.1).map(draw).collect();
        tests(&points(left.into_iter()), &points(right.into_iter())).to_vec()
    })
}

/// Returns what each test says: the less, the more there is a difference.
fn tests(left: &[Point], right: &[Point]) -> [f64; TESTS.len()] {
    let p = |it: Result<Test, modelwatch_stats::Undefined>| it.map_or(1.0, |it| it.p_value);
    // As the analyzer has them: outliers are pulled in, and the unit is the reference's.
    let inner = winsorize(left, right);
    let of_inner = |distance: fn(&[Point], &[Point]) -> Result<f64, modelwatch_stats::Undefined>| {
        let (left, right) = inner.as_ref().map_err(|e| *e)?;
        distance(left, right)
    };
    let unit = robust_deviation(left).unwrap_or(0.0);
    let far = |distance: Result<f64, modelwatch_stats::Undefined>, unit: f64| distance.map_or(0.0, |it| -it / unit);
    [
        omnibus(left, right).map_or(1.0, |it| it.p_value),
        p(ks_asymptotic(left, right)),
        p(cramer_von_mises(left, right, CramerVonMises::Asymptotic)),
        p(anderson_darling(left, right)),
        p(mann_whitney(left, right, Alternative::TwoSided, MannWhitney::Asymptotic)),
        p(student_t(left, right)),
        p(welch_t(left, right)),
        p(epps_singleton(left, right)),
        p(kuiper(left, right)),
        far(of_inner(wasserstein), unit),
        far(of_inner(energy), unit.sqrt()),
        far(discrepancy(left, right, unit), 1.0),
    ]
}

fn points(values: impl Iterator<Item = f64>) -> Vec<Point> {
    let mut sample = NumericSample::new(u64::MAX);
    values.for_each(|it| sample.push(it));
    sample.points()
}
