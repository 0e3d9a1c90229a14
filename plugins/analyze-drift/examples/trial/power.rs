//! How often a difference is found, by the default and by every single test, at an equal rate of false alarms.

use modelwatch_stats::{
    Point,
    sample::NumericSample,
    two_sample::{
        Alternative, CramerVonMises, MannWhitney, Test, anderson_darling, cramer_von_mises, epps_singleton,
        ks_asymptotic, kuiper, mann_whitney, omnibus, student_t, welch_t,
    },
};

use crate::data::{Kind, Random};

/// The rate of false alarms, per column.
pub(crate) const ALPHA: f64 = 0.01;

/// The tests, the default first.
pub(crate) const TESTS: [&str; 9] =
    ["auto", "ks", "cvm", "ad", "mann-whitney", "t", "welch", "epps-singleton", "kuiper"];

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

/// All differences. Columns of two values are left out: every test is then a function of the same two counts, and a threshold from
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

/// How many times more runs without a difference there are, from which the thresholds come.
const NULL_RUNS: u32 = 4;

/// Returns the share of runs in which each test finds the difference, at the quantile of its own p-values without one. Where several
/// p-values are equal to that quantile, as many of them count as the rate leaves room for.
pub(crate) fn run(cell: Cell, size: usize, rows: (usize, usize), runs: u32) -> Vec<f64> {
    let mut random = Random(u64::from(runs) + size as u64 * 7 + cell.kind as u64 * 1009);
    let mut p_values = |runs: u32, by: Option<f64>| -> Vec<[f64; TESTS.len()]> {
        (0..runs)
            .map(|_| {
                let left: Vec<f64> = (0..rows.0).map(|_| random.number(cell.kind)).collect();
                let draw = |_| match by {
                    Some(by) => (cell.draw)(&mut random, by),
                    None => random.number(cell.kind),
                };
                let right: Vec<f64> = (0..rows.1).map(draw).collect();
                tests(&points(left.into_iter()), &points(right.into_iter()))
            })
            .collect()
    };
    let (without, with) = (p_values(runs * NULL_RUNS, None), p_values(runs, Some(cell.sizes[size])));
    let power = |test: usize| {
        let share = |of: &[[f64; TESTS.len()]], is: &dyn Fn(f64) -> bool| {
            of.iter().filter(|it| is(it[test])).count() as f64 / of.len() as f64
        };
        let mut null: Vec<f64> = without.iter().map(|it| it[test]).collect();
        null.sort_by(f64::total_cmp);
        let threshold = null[(null.len() as f64 * ALPHA) as usize];
        let (below, at) = (share(&without, &|it| it < threshold), share(&without, &|it| it == threshold));
        let part = (ALPHA - below) / at;
        share(&with, &|it| it < threshold) + part * share(&with, &|it| it == threshold)
    };
    (0..TESTS.len()).map(power).collect()
}

fn tests(left: &[Point], right: &[Point]) -> [f64; TESTS.len()] {
    let p = |it: Result<Test, modelwatch_stats::Undefined>| it.map_or(1.0, |it| it.p_value);
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
    ]
}

fn points(values: impl Iterator<Item = f64>) -> Vec<Point> {
    let mut sample = NumericSample::new(u64::MAX);
    values.for_each(|it| sample.push(it));
    sample.points()
}
