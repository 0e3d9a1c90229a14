//! How often something is called drifted where nothing is.

use analyze_drift::registry;
use modelwatch_sdk::{Kind as ComponentKind, RecordBatch, Report, Role};
use serde_json::{Value, json};

use crate::data::{Kind, Random, column, table};

/// How many columns a table has.
pub(crate) const N_COLUMNS: usize = 20;

/// The accepted chance of a false alarm of a run.
pub(crate) const ALPHA: f64 = 0.05;

/// One cell of the trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// The distribution of every column.
    pub(crate) kind: Kind,
    /// Rows of the reference.
    pub(crate) reference: usize,
    /// Current rows.
    pub(crate) current: usize,
    /// How often it is tried.
    pub(crate) runs: u32,
}

/// How many runs raised an alarm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarms {
    /// How many of the runs were given to Evidently's default, too.
    pub(crate) evidently_runs: u32,
    /// Ours, for any column.
    pub(crate) ours: u32,
    /// Evidently's default, for any column.
    pub(crate) evidently_any: u32,
    /// Evidently's default, for half of the columns.
    pub(crate) evidently_half: u32,
}

/// Returns the alarms of all runs of a cell, of which Evidently gets the first ones.
pub(crate) fn run(cell: Cell, evidently_runs: u32) -> Alarms {
    let mut random =
        Random(u64::from(cell.runs) + cell.reference as u64 * 31 + cell.current as u64 * 17 + cell.kind as u64);
    let mut res = Alarms::default();
    let least = json!({ "ks": 0.0, "chi2": 0.0, "missing": 0.0 });
    let ours = json!({ "alpha": ALPHA, "min_effect": least, "predictions": false });
    let evidently = json!({ "method": "evidently:auto", "budget": 200_000, "predictions": false });
    for at in 0..cell.runs {
        let mut rows = |rows: usize| table((0..N_COLUMNS).map(|_| column(&mut random, cell.kind, rows)).collect());
        let (reference, current) = (rows(cell.reference), rows(cell.current));
        res.ours += u32::from(drifted(&ours, &reference, &current) > 0.0);
        if at < evidently_runs {
            res.evidently_runs += 1;
            let n = drifted(&evidently, &reference, &current);
            res.evidently_any += u32::from(n > 0.0);
            res.evidently_half += u32::from(n >= N_COLUMNS as f64 / 2.0);
        }
    }
    res
}

/// Returns the greatest number of alarms that is no proof of more than [`ALPHA`]: three standard errors above it.
pub(crate) fn allowed(runs: u32) -> f64 {
    let runs = f64::from(runs);
    runs * ALPHA + 3.0 * (runs * ALPHA * (1.0 - ALPHA)).sqrt()
}

fn drifted(config: &Value, reference: &RecordBatch, current: &RecordBatch) -> f64 {
    let report = || -> modelwatch_sdk::Result<Report> {
        let mut probe = registry().open_probe(ComponentKind::Analyzer, "drift", config)?;
        probe.update(&(), Role::Reference, reference)?;
        probe.update(&(), Role::Current, current)?;
        probe.evaluate(&())
    };
    let report = report().expect("the analyzer answers for plain columns");
    let of = |name: &str| report.metrics.iter().find(|it| it.name == name && it.labels.is_empty()).map(|it| it.value);
    assert_eq!(of("compared_columns"), Some(N_COLUMNS as f64), "{:?}", report.gaps);
    of("drifted_columns").expect("compared columns are counted")
}
