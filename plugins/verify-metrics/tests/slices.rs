//! What a slice has is what its rows have by themselves.
#![allow(clippy::unwrap_used)]

mod common;

use modelwatch_sdk::{
    Report,
    report::{Metric, MetricRole},
};
use serde_json::{Value, json};

use common::{Table, normal, random, run};

const ROWS: usize = 240;

/// Returns rows of two slices: `part=a` has the first two of three, `part=b` the others.
fn sliced(table: Table) -> Table {
    let parts: Vec<&str> = (0..ROWS).map(|it| if it % 3 < 2 { "a" } else { "b" }).collect();
    table.slice("part", &parts)
}

fn of_slice(table: &Table, name: &str) -> Table {
    let rows: Vec<usize> = (0..ROWS).filter(|it| (it % 3 < 2) == (name == "a")).collect();
    table.take(&rows)
}

/// Checks that slices have those metrics, with the values of their rows alone, and an interval where they say so.
fn check(options: &Value, table: &Table, expected: &[(&str, bool)]) {
    let whole = run(options, &sliced(table.clone()));
    for name in ["a", "b"] {
        let alone = run(options, &of_slice(table, name));
        let slice = ("slice".to_owned(), format!("part={name}"));
        let mut found = Vec::new();
        for it in whole.metrics.iter().filter(|it| it.labels.get(&slice.0) == Some(&slice.1)) {
            let mut labels = it.labels.clone();
            labels.remove("slice");
            let same = |other: &&Metric| other.name == it.name && other.labels == labels && other.role == it.role;
            let other = alone.metrics.iter().find(same).unwrap_or_else(|| panic!("{} {labels:?}", it.name));
            assert!((it.value - other.value).abs() <= 1e-12 * other.value.abs(), "{name}: {it:?} {other:?}");
            if it.role == MetricRole::Candidate {
                found.push((it.name.as_str(), it.interval.is_some()));
            }
        }
        assert_eq!(found, expected, "{name}");
    }
}

fn classes(n_classes: usize) -> Vec<i64> {
    random(ROWS, 5).iter().map(|it| (it * n_classes as f64) as i64).collect()
}

#[test]
fn of_two_classes() {
    let labels = classes(2);
    let scores = |seed| -> Vec<f64> {
        normal(ROWS, seed).iter().zip(&labels).map(|(it, label)| it + *label as f64 - 0.5).collect()
    };
    let table = Table::default().labels(&labels).candidate(&scores(7), 1).baseline(&scores(8), 1);
    let options = json!({"task": "binary", "scores": "logits", "beta": 2.0, "min_slice_size": 10});
    let expected = [
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "fbeta",
        "specificity",
        "npv",
        "fpr",
        "fnr",
        "mcc",
        "cohen_kappa",
        "log_loss",
        "brier",
        "ece",
        "hinge_loss",
        "roc_auc",
    ];
    check(&options, &table, &expected.map(|it| (it, true)));
}

#[test]
fn of_numbers() {
    let labels: Vec<f64> = normal(ROWS, 1).iter().map(|it| 5.0 + it).collect();
    let predicted =
        |seed| -> Vec<f64> { labels.iter().zip(normal(ROWS, seed)).map(|(it, error)| it + 0.3 * error).collect() };
    let table = Table::default().numbers(&labels).candidate(&predicted(2), 1).baseline(&predicted(3), 1);
    let expected = [
        ("mae", true),
        ("mse", true),
        ("rmse", true),
        // These are no means over rows, and a greatest error has no distribution that samples show.
        ("r2", false),
        ("mape", true),
        ("smape", true),
        ("msle", true),
        ("rmsle", true),
        ("pinball_loss", false),
        ("max_error", false),
        ("explained_variance", false),
        ("bias", true),
    ];
    check(&json!({"task": "regression", "pinball_quantiles": [0.9], "min_slice_size": 10}), &table, &expected);
}

/// Several classes have one number for a slice, the plain mean over those that are there, where all rows have each and averages.
#[test]
fn of_several_classes() {
    let labels = classes(4);
    let scores = |seed| -> Vec<f64> {
        let shift = |at: usize| if labels[at / 4] as usize == at % 4 { 1.5 } else { 0.0 };
        normal(4 * ROWS, seed).iter().enumerate().map(|(at, it)| it + shift(at)).collect()
    };
    let table = Table::default().labels(&labels).candidate(&scores(7), 4).baseline(&scores(8), 4);
    let options = json!({"task": "multiclass", "scores": "logits", "beta": 2.0, "top_k": [2], "min_slice_size": 10});
    let whole = run(&options, &sliced(table.clone()));
    let alone = run(&options, &of_slice(&table, "b"));
    let value = |report: &Report, name: &str, labels: &[(&str, &str)]| {
        let found = common::find(report, MetricRole::Candidate, name, labels);
        found.map(|it| (it.value, it.interval.is_some())).unwrap_or_else(|| panic!("{name} {labels:?}"))
    };
    let slice = ("slice", "part=b");
    for name in ["accuracy", "balanced_accuracy", "mcc", "cohen_kappa", "log_loss", "brier", "ece", "hinge_loss"] {
        let (found, has_interval) = value(&whole, name, &[slice]);
        assert!((found - value(&alone, name, &[]).0).abs() < 1e-12 && has_interval, "{name}");
    }
    for name in ["precision", "recall", "f1", "specificity", "npv", "fpr", "fnr"] {
        let (found, has_interval) = value(&whole, name, &[slice]);
        assert!((found - value(&alone, name, &[("average", "macro")]).0).abs() < 1e-12 && has_interval, "{name}");
    }
    let (found, has_interval) = value(&whole, "fbeta", &[("beta", "2"), slice]);
    let mean = value(&alone, "fbeta", &[("beta", "2"), ("average", "macro")]).0;
    assert!((found - mean).abs() < 1e-12 && has_interval);
    let (found, has_interval) = value(&whole, "top_k_accuracy", &[("k", "2"), slice]);
    assert!((found - value(&alone, "top_k_accuracy", &[("k", "2")]).0).abs() < 1e-12 && has_interval);
    // That of a comparison is of replicates that draw the same rows for both.
    let difference = common::find(&whole, MetricRole::Difference, "mcc", &[slice]).unwrap();
    assert!(difference.interval.is_some_and(|it| it.low < difference.value && difference.value < it.high));
}
