//! How often a run without any change raises an alarm.
#![allow(clippy::unwrap_used)]

mod common;

use modelwatch_sdk::{RecordBatch, rows::Use};
use serde_json::{Value, json};

use common::{Random, batch, numbers, run};

/// The chance of a false alarm that is asked for: more than the default, so that few runs tell.
const ALPHA: f64 = 0.05;

const RUNS: u64 = 60;

/// Returns the greatest number of alarms that is no proof of more than [`ALPHA`]: three standard errors above it.
fn allowed() -> f64 {
    let runs = RUNS as f64;
    runs * ALPHA + 3.0 * (runs * ALPHA * (1.0 - ALPHA)).sqrt()
}

/// Rows of a classifier whose scores are chances, and which is right in nearly all of them the greater `sureness` is.
fn scored(seed: u64, n_rows: usize, sureness: f64, has_labels: bool) -> RecordBatch {
    let mut random = Random(seed);
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let chance = 1.0 / (1.0 + (-sureness * random.normal()).exp());
        scores.push(chance);
        labels.push(f64::from(u8::from(random.uniform() < chance)));
    }
    let mut all = vec![("score", Use::Feature, numbers(scores))];
    all.extend(has_labels.then(|| ("label", Use::Label, numbers(labels))));
    batch(all)
}

/// Rows of a regression, whose errors have a long tail.
fn predicted(seed: u64, n_rows: usize, has_labels: bool) -> RecordBatch {
    let mut random = Random(seed);
    let (mut predictions, mut widths, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let (prediction, width) = (60.0 + 5.0 * random.normal(), random.uniform());
        predictions.push(prediction);
        widths.push(width);
        labels.push(prediction + (0.5 * random.normal()).exp() * (1.0 + width) * random.normal());
    }
    let mut all = vec![("predicted", Use::Feature, numbers(predictions)), ("width", Use::Feature, numbers(widths))];
    all.extend(has_labels.then(|| ("label", Use::Label, numbers(labels))));
    batch(all)
}

/// Returns in how many of the runs anything is an alarm.
fn alarms(config: &Value, rows: impl Fn(u64, bool) -> RecordBatch, has_labels: bool) -> usize {
    let is_alarm = |seed: &u64| {
        let report = run(config, &rows(2 * seed, true), &rows(2 * seed + 1, has_labels));
        report.findings.iter().any(|it| ["MW-P001", "MW-P002", "MW-P005"].contains(&it.code.as_str()))
    };
    (0..RUNS).filter(is_alarm).count()
}

fn binary() -> Value {
    json!({ "task": "binary", "score": "score", "alpha": ALPHA })
}

#[test]
fn a_run_without_any_change_keeps_its_budget() {
    for (n_rows, sureness) in [(5000, 1.0), (2000, 5.0)] {
        for has_labels in [false, true] {
            let found = alarms(&binary(), |seed, labels| scored(seed, n_rows, sureness, labels), has_labels);
            assert!(found as f64 <= allowed(), "{n_rows} rows, {sureness}, labels {has_labels}: {found} of {RUNS}");
        }
    }
}

#[test]
fn many_chunks_and_slices_share_the_budget() {
    let with_region = |seed: u64, labels: bool| {
        let rows = scored(seed, 4000, 2.0, labels);
        let region = numbers((0..4000).map(|it| f64::from(it % 4)));
        let names = ["score", "label"].into_iter().zip([Use::Feature, Use::Label]).zip(rows.columns());
        let columns = names.map(|((name, what), it)| (name, what, it.clone()));
        batch(columns.chain([("region", Use::Slice, region)]).collect())
    };
    let mut config = binary();
    config["chunk"] = json!({ "size": 200 });
    config["slices"] = json!(["region"]);
    config["min_chunk_rows"] = json!(40);
    let found = alarms(&config, with_region, true);
    assert!(found as f64 <= allowed(), "{found} of {RUNS}");
}

#[test]
fn a_regression_keeps_its_budget() {
    let config = json!({ "task": "regression", "prediction": "predicted", "alpha": ALPHA });
    for has_labels in [false, true] {
        let found = alarms(&config, |seed, labels| predicted(seed, 2000, labels), has_labels);
        assert!(found as f64 <= allowed(), "labels {has_labels}: {found} of {RUNS}");
    }
}

#[test]
fn the_rule_of_nannyml_does_not() {
    let config = json!({ "task": "binary", "score": "score", "rule": "nannyml" });
    let found = alarms(&config, |seed, labels| scored(seed, 5000, 1.0, labels), true);
    assert!(found as f64 > 2.0 * allowed(), "{found} of {RUNS}");
}

#[test]
fn what_changed_is_found_within_the_budget() {
    let mut n_found = 0;
    for seed in 0..20 {
        let config = json!({ "task": "binary", "score": "score" });
        let report = run(&config, &scored(2 * seed, 10_000, 2.0, true), &scored(2 * seed + 1, 10_000, 1.2, false));
        n_found += usize::from(report.findings.iter().any(|it| it.code == "MW-P001"));
    }
    assert!(n_found >= 19, "{n_found} of 20");
}
