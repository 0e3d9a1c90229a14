//! A small part of the trial of false alarms and of power (`cargo xtask trial drift`), the same on every machine.

#[path = "../examples/trial/alarms.rs"]
mod alarms;
#[path = "../examples/trial/categories.rs"]
mod categories;
#[path = "../examples/trial/data.rs"]
mod data;
#[path = "../examples/trial/loss.rs"]
mod loss;
#[path = "../examples/trial/power.rs"]
mod power;

use alarms::{Cell, allowed, run};
use data::KINDS;

#[test]
fn a_run_keeps_its_budget_whatever_the_columns_are() {
    for kind in KINDS {
        for (reference, current, runs) in [(5_000, 100, 40), (1_000, 1_000, 40)] {
            let found = run(Cell { kind, reference, current, runs }, 0);
            assert!(f64::from(found.ours) <= allowed(runs), "{kind:?} {reference}/{current}: {} of {runs}", found.ours);
        }
    }
}

#[test]
fn a_stray_value_of_many_reference_rows_is_no_drift_of_few_others() {
    let runs = 20;
    let found = run(Cell { kind: data::Kind::StrayValue, reference: 50_000, current: 40, runs }, 0);
    assert!(f64::from(found.ours) <= allowed(runs), "{} of {runs}", found.ours);
}

#[test]
fn the_default_of_evidently_does_not() {
    let found = run(Cell { kind: data::Kind::Normal, reference: 5_000, current: 100, runs: 5 }, 5);
    assert_eq!((found.evidently_any, found.evidently_half), (5, 5));
}

#[test]
fn the_default_loses_little_power_to_the_best_single_test() {
    const RUNS: u32 = 1_000;
    let names = ["normal, shifted", "tied, spread", "zero-inflated, scaled"];
    let cells: Vec<_> = power::CELLS.into_iter().filter(|it| names.contains(&it.name)).collect();
    assert_eq!(cells.len(), names.len());
    for cell in cells {
        let found = power::run(cell, 1, (5_000, 100), RUNS);
        // Five points, and what so few runs differ by chance: all tests see the same rows.
        assert!(found.error < 0.04 && found.power[0] > 0.2, "{}: {found:?}", cell.name);
        assert!(found.loss <= 0.05 + found.error, "{}: {found:?} of {:?}", cell.name, power::TESTS);
    }
    let grows = categories::CELLS.into_iter().find(|it| it.name == "rare, one grows").unwrap();
    let found = categories::run(grows, 0, (1_000, 1_000), RUNS);
    assert!(found.loss <= 0.05 + found.error && found.power[0] > 0.2, "{found:?} of {:?}", categories::TESTS);
}
