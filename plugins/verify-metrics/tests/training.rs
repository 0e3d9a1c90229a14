//! Models on the rows that they were trained on, and on others.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Table, open};
use modelwatch_sdk::{
    ErrorKind, Host, Kind, Report, Result, Role,
    arrow::array::Float64Array,
    report::{Finding, Severity},
    rows::Use,
};
use serde_json::{Value, json};

fn options(training: bool) -> Value {
    json!({ "task": "binary", "training": training })
}

/// Labels 0 and 1 in turn, of which the first `right` are predicted.
fn rows(n: usize, right: usize) -> Table {
    let labels: Vec<u8> = (0..n).map(|it| (it % 2) as u8).collect();
    Table::default().labels(&labels).candidate(&scores(n, right), 1)
}

/// The same, with a baseline that predicts others.
fn compared(n: usize, right: usize, of_baseline: usize) -> Table {
    rows(n, right).baseline(&scores(n, of_baseline), 1)
}

fn scores(n: usize, right: usize) -> Vec<f64> {
    (0..n).map(|it| if (it % 2 == 1) == (it < right) { 0.9 } else { 0.1 }).collect()
}

fn weighted(it: Table, n: usize) -> Table {
    it.with("weight", &[Use::Weight], Arc::new(Float64Array::from(vec![2.0; n])))
}

fn report(options: &Value, training: &Table, current: &Table) -> Report {
    report_to(&(), options, training, current)
}

fn report_to(host: &dyn Host, options: &Value, training: &Table, current: &Table) -> Report {
    let mut probe = open(options);
    probe.update(host, Role::Reference, &training.batch()).unwrap();
    probe.update(host, Role::Current, &current.batch()).unwrap();
    probe.evaluate(host).unwrap()
}

/// The host of a run with a requirement `… with confidence 99%`.
struct Surer;

impl Host for Surer {
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        match (service, argument.as_str()) {
            ("confidence", Some("generalization_gap")) => Ok(json!(0.99)),
            _ => ().call(service, argument),
        }
    }
}

fn unseen(report: &Report) -> Option<&Finding> {
    report.findings.iter().find(|it| it.code == "MW-M009")
}

fn gap(report: &Report) -> Option<(f64, f64, f64)> {
    let it = report.metrics.iter().find(|it| it.name == "generalization_gap")?;
    Some((it.value, it.interval.unwrap().low, it.interval.unwrap().high))
}

#[test]
fn a_gap_is_named_with_both_values() {
    let report = report(&options(true), &rows(60, 60), &rows(100, 80));
    let finding = unseen(&report).unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    for part in ["1.000 on 60 training rows and 0.800 on 100 others", "over-fitted, or these rows differ"] {
        assert!(finding.message.contains(part), "{}", finding.message);
    }
    let (value, low, high) = gap(&report).unwrap();
    assert!((value - 0.2).abs() < 1e-12 && 0.05 < low && low < 0.2 && 0.2 < high, "{low} {high}");
}

/// 56 of 70 against 48 of 80, Newcombe (1998), table II, example a, method 10.
#[test]
fn the_interval_is_newcombes() {
    let (_, low, high) = gap(&report(&options(true), &rows(70, 56), &rows(80, 48))).unwrap();
    assert!((low - 0.0524).abs() < 5e-5 && (high - 0.3339).abs() < 5e-5, "{low} {high}");
}

#[test]
fn a_gap_that_is_surely_larger_than_that_of_a_better_baseline_is_an_error() {
    let report = report(&options(true), &compared(60, 60, 60), &compared(100, 80, 100));
    assert_eq!(unseen(&report).unwrap().severity, Severity::Error);
}

/// A healthy model on drifted rows, on which a baseline loses about as much.
#[test]
fn a_gap_that_the_baseline_has_too_is_a_warning() {
    let report = report(&options(true), &compared(60, 60, 60), &compared(400, 320, 340));
    assert!(report.findings.iter().any(|it| it.code == "MW-M005"), "{:?}", report.findings);
    assert_eq!(unseen(&report).unwrap().severity, Severity::Warning);
}

#[test]
fn a_gap_larger_than_that_of_a_worse_baseline_is_a_warning() {
    let report = report(&options(true), &compared(60, 60, 30), &compared(100, 80, 50));
    assert_eq!(unseen(&report).unwrap().severity, Severity::Warning);
}

#[test]
fn without_the_baseline_on_the_training_rows_a_gap_is_a_warning() {
    let report = report(&options(true), &rows(60, 60), &compared(100, 80, 100));
    assert_eq!(unseen(&report).unwrap().severity, Severity::Warning);
}

#[test]
fn the_interval_has_the_level_that_a_requirement_asks_for() {
    let [usual, surer] = [&() as &dyn Host, &Surer].map(|host| {
        let report = report_to(host, &options(true), &rows(60, 60), &rows(100, 80));
        report.metrics.into_iter().find(|it| it.name == "generalization_gap").unwrap().interval.unwrap()
    });
    assert_eq!((usual.level, surer.level), (0.95, 0.99));
    assert!(surer.low < usual.low && usual.high < surer.high, "{usual:?} {surer:?}");
}

#[test]
fn accuracies_by_weight_and_without_are_not_compared() {
    for (training, current) in
        [(weighted(rows(60, 60), 60), rows(100, 80)), (rows(60, 60), weighted(rows(100, 80), 100))]
    {
        let report = report(&options(true), &training, &current);
        let why = &report.gaps.iter().find(|it| it.what == "generalization_gap").unwrap().why;
        assert!(gap(&report).is_none() && why.contains("weights"), "{why}");
    }
}

#[test]
fn the_gap_can_be_left_out_and_chosen() {
    for (wanted, is_there) in [("generalization_gap", true), ("accuracy", false)] {
        let options = json!({ "task": "binary", "training": true, "metrics": [wanted] });
        let report = report(&options, &rows(60, 60), &rows(100, 80));
        assert!(gap(&report).is_some() == is_there && unseen(&report).is_some(), "{wanted}");
        assert!(open(&options).needs().metrics.iter().all(|it| it.name == wanted), "{wanted}");
    }
    let options = json!({ "task": "binary", "metrics": ["generalization_gap"] });
    let error = verify_metrics::registry().open_probe(Kind::Verifier, "metrics", &options).map(drop).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, "/metrics/0"));
}

#[test]
fn gaps_that_may_be_chance_are_not_named() {
    for (training, current) in
        [(rows(60, 60), rows(100, 95)), (rows(29, 29), rows(100, 50)), (rows(60, 48), rows(100, 80))]
    {
        let report = report(&options(true), &training, &current);
        assert!(unseen(&report).is_none() && gap(&report).is_some(), "{:?}", report.findings);
    }
}

#[test]
fn reference_rows_are_left_alone_unless_they_are_said_to_be_the_training_rows() {
    let report = report(&options(false), &rows(60, 60), &rows(100, 80));
    assert!(unseen(&report).is_none() && gap(&report).is_none());
    assert!(open(&options(false)).needs().reference.is_none() && open(&options(true)).needs().reference.is_some());
}

#[test]
fn a_gap_that_is_not_known_is_not_covered() {
    let nan = Table::default().labels(&[0, 1]).candidate(&[f64::NAN; 2], 1);
    for (training, current, why) in [
        (None, rows(100, 80), "there are no training rows"),
        (Some(&nan), rows(100, 80), "the training rows have no labels, or unusable predictions"),
        (Some(&rows(60, 60)), nan.clone(), "the current rows have unusable predictions"),
    ] {
        let mut probe = open(&options(true));
        if let Some(it) = training {
            probe.update(&(), Role::Reference, &it.batch()).unwrap();
        }
        probe.update(&(), Role::Current, &current.batch()).unwrap();
        let report = probe.evaluate(&()).unwrap();
        let gaps: Vec<_> = report.gaps.iter().filter(|it| it.what == "generalization_gap").map(|it| &it.why).collect();
        assert!(gap(&report).is_none() && gaps == [why], "{gaps:?}");
    }
}

#[test]
fn parts_are_the_same_as_the_whole() {
    let (training, current) = (rows(60, 57), rows(100, 80));
    let whole = report(&options(true), &training, &current);
    let mut merged = open(&options(true));
    for (role, rows) in [(Role::Reference, training.batch()), (Role::Current, current.batch())] {
        for start in (0..rows.num_rows()).step_by(20) {
            let mut part = open(&options(true));
            part.update(&(), role, &rows.slice(start, 20)).unwrap();
            merged.merge(&part.state().unwrap()).unwrap();
        }
    }
    let merged = merged.evaluate(&()).unwrap();
    assert_eq!(serde_json::to_string(&merged).unwrap(), serde_json::to_string(&whole).unwrap());
    // A state of a run without training rows is none of one with them, and neither is a part of one.
    let state = open(&options(true)).state().unwrap();
    for damaged in [&state[..5], &open(&options(false)).state().unwrap(), &[]] {
        assert_eq!(open(&options(true)).merge(damaged).unwrap_err().kind, ErrorKind::Input);
    }
}

#[test]
fn only_accuracies_are_compared() {
    let options = json!({ "task": "regression", "training": true });
    let error = verify_metrics::registry().open_probe(Kind::Verifier, "metrics", &options).map(drop).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, "/training"));
}
