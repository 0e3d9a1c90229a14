//! A small part of the false-alarm trial (`cargo xtask trial drift`), the same on every machine.

#[path = "../examples/trial/alarms.rs"]
mod alarms;
#[path = "../examples/trial/data.rs"]
mod data;

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
fn the_default_of_evidently_does_not() {
    let found = run(Cell { kind: data::Kind::Normal, reference: 5_000, current: 100, runs: 5 }, 5);
    assert_eq!((found.evidently_any, found.evidently_half), (5, 5));
}
