//! How often a difference of categories is found, by the default and by every single test, at an equal rate of false alarms.

use std::sync::Arc;

use analyze_drift::registry;
use modelwatch_sdk::{Kind as ComponentKind, Role, arrow::array::StringArray};
use modelwatch_stats::two_sample::{CellDistance, Yates, cell_effect, chi2_contingency_with, g_test};
use serde_json::{Value, json};

use crate::{
    data::{Kind, Random, table},
    loss::{Found, compare},
    power::Cell,
};

/// The tests, the default first. The last six are distances, by a null distribution of their own.
pub(crate) const TESTS: [&str; 9] =
    ["auto", "chi2", "g", "psi", "jensen-shannon", "kl", "hellinger", "total-variation", "chebyshev"];

/// What takes the place of an empty cell's share in logarithms, as in the analyzer.
const LEAST_SHARE: f64 = 1e-4;

const N_CATEGORIES: usize = 64;

/// All differences of categories.
///
/// Few rows of the new one would do for a test whose threshold is simulated, since it would know that no category of the reference is that
/// rare: the only new row of a hundred beside 5,000 is one in 51 by chance, whichever category it is of.
#[rustfmt::skip] // It is a table.
pub(crate) const CELLS: [Cell; 5] = {
    use Kind::{Categories, RareCategories};
    [
        Cell { name: "categories, one grows", kind: Categories, draw: |it, by| if it.uniform() < by { 3.0 } else { it.number(Categories) }, sizes: [0.035, 0.09] },
        Cell { name: "categories, flatter", kind: Categories, draw: |it, by| if it.uniform() < by { (1.0 + 50.0 * it.uniform()).floor() } else { it.number(Categories) }, sizes: [0.13, 0.3] },
        Cell { name: "categories, a new one", kind: Categories, draw: |it, by| if it.uniform() < by { 60.0 } else { it.number(Categories) }, sizes: [0.012, 0.06] },
        Cell { name: "rare, one grows", kind: RareCategories, draw: |it, by| if it.uniform() < by { 2.0 } else { it.number(RareCategories) }, sizes: [0.02, 0.05] },
        Cell { name: "rare, they swap", kind: RareCategories, draw: |it, by| match it.number(RareCategories) { 0.0 => 0.0, rare if it.uniform() < by => 3.0 - rare, rare => rare }, sizes: [0.9, 0.9] },
    ]
};

/// Returns how often each test finds the difference in so many runs.
pub(crate) fn run(cell: Cell, size: usize, rows: (usize, usize), runs: u32) -> Found {
    let mut random = Random(u64::from(runs) + size as u64 * 11 + cell.kind as u64 * 2003);
    let names: Vec<String> = (0..N_CATEGORIES).map(|it| format!("c{it}")).collect();
    let config = json!({ "min_effect": { "ks": 0.0, "chi2": 0.0, "missing": 0.0 }, "predictions": false });
    compare(runs, |is_different| {
        let left: Vec<usize> = (0..rows.0).map(|_| random.number(cell.kind) as usize).collect();
        let draw = |_| match is_different {
            true => (cell.draw)(&mut random, cell.sizes[size]) as usize,
            false => random.number(cell.kind) as usize,
        };
        let right: Vec<usize> = (0..rows.1).map(draw).collect();
        let mut res = vec![auto(&config, &names, [&left, &right])];
        res.extend(tests(&counts(&left, &right)));
        res
    })
}

/// Returns the p-value of the analyzer, which puts rare categories together.
fn auto(config: &Value, names: &[String], roles: [&[usize]; 2]) -> f64 {
    let answer = || -> modelwatch_sdk::Result<Option<f64>> {
        let mut probe = registry().open_probe(ComponentKind::Analyzer, "drift", config)?;
        for (role, rows) in [Role::Reference, Role::Current].into_iter().zip(roles) {
            let column = StringArray::from_iter_values(rows.iter().map(|it| names[*it].as_str()));
            probe.update(&(), role, &table(vec![Arc::new(column)]))?;
        }
        let report = probe.evaluate(&())?;
        Ok(report.metrics.iter().find(|it| it.name == "p_value").map(|it| it.value))
    };
    answer().expect("the analyzer answers for plain columns").expect("categories are compared")
}

/// Returns the counts of both roles in the categories that either has.
fn counts(left: &[usize], right: &[usize]) -> [Vec<u64>; 2] {
    let of = |rows: &[usize]| {
        let mut res = vec![0; N_CATEGORIES];
        rows.iter().for_each(|it| res[*it] += 1);
        res
    };
    let (left, right) = (of(left), of(right));
    let there: Vec<usize> = (0..N_CATEGORIES).filter(|it| left[*it] + right[*it] > 0).collect();
    [left, right].map(|all| there.iter().map(|it| all[*it]).collect())
}

fn tests([left, right]: &[Vec<u64>; 2]) -> [f64; TESTS.len() - 1] {
    let far = |of: CellDistance| cell_effect(of, left, right, 0.95).map_or(0.0, |it| -it.value);
    [
        chi2_contingency_with(left, right, Yates::TwoByTwo).map_or(1.0, |it| it.p_value),
        g_test(left, right, Yates::TwoByTwo).map_or(1.0, |it| it.p_value),
        far(CellDistance::Psi(LEAST_SHARE)),
        far(CellDistance::JensenShannon),
        far(CellDistance::Kl(LEAST_SHARE)),
        far(CellDistance::Hellinger),
        far(CellDistance::TotalVariation),
        far(CellDistance::Chebyshev),
    ]
}
