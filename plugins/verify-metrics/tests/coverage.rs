//! Intervals hold what they promise: seeded simulations through the probe.
//!
//! Each trial draws rows from a population whose true value is known, and asks whether the nominal 95 %
//! interval holds it. Coverage must be 93 to 97 % for 50, 500 and 5,000 rows.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Report,
    arrow::array::{ArrayRef, Int64Array},
    report::MetricRole,
    rows::Use,
};
use serde_json::{Value, json};

use common::{Table, find, random, run};

fn column(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(i64::from)))
}

/// Returns independent numbers of the standard normal distribution (Box & Muller 1958).
fn normal(n: usize, seed: u64) -> Vec<f64> {
    let (left, right) = (random(n, 2 * seed + 1), random(n, 2 * seed + 2));
    let one = |(u, v): (&f64, &f64)| (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    left.iter().zip(&right).map(one).collect()
}

fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Name, labels and true value of a metric.
type Target<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Checks the share of trials whose interval of each metric holds the true value.
fn check(targets: &[Target<'_>], rows: usize, trials: u64, trial: impl Fn(u64) -> Report) {
    let mut held = vec![0u64; targets.len()];
    for seed in 0..trials {
        let report = trial(seed * 10 + 1);
        for ((name, labels, truth), held) in targets.iter().zip(&mut held) {
            let metric = find(&report, MetricRole::Candidate, name, labels).unwrap();
            let interval = metric.interval.unwrap_or_else(|| panic!("{name}: no interval in trial {seed}"));
            *held += u64::from(interval.low <= *truth && *truth <= interval.high);
        }
    }
    for ((name, labels, _), held) in targets.iter().zip(held) {
        let coverage = held as f64 / trials as f64;
        println!("{name} {labels:?}, {rows} rows, {trials} trials: covered {:.1} %", 100.0 * coverage);
        assert!((0.93..=0.97).contains(&coverage), "{name}, {rows} rows: {coverage}");
    }
}

#[test]
fn wilson_covers_accuracy() {
    let options = json!({"task": "binary", "metrics": ["accuracy"], "intervals": {"replicates": 0}});
    for (rows, trials) in [(50, 2000), (500, 2000), (5000, 1000)] {
        check(&[("accuracy", &[], 0.8)], rows, trials, |seed| {
            let right = random(rows, seed);
            let labels = column((0..rows).map(|it| it % 2 == 0));
            let predicted = column((0..rows).map(|it| (it % 2 == 0) == (right[it] < 0.8)));
            let table = Table::default().with("y", &[Use::Label], labels);
            run(&options, &table.with("candidate:out", &[Use::Candidate], predicted))
        });
    }
}

/// Scores of positive rows are a normal deviate higher, which makes the area `Φ(shift / √2)`.
fn scored(rows: usize, positives: f64, shift: f64, seed: u64) -> (Vec<bool>, Vec<f64>) {
    let noise = normal(rows, seed);
    let labels: Vec<bool> = random(rows, seed + 5_000_000).iter().map(|&it| it < positives).collect();
    let scores = labels.iter().zip(&noise).map(|(&label, it)| probability(it + if label { shift } else { 0.0 }));
    let scores = scores.collect();
    (labels, scores)
}

#[test]
fn delong_covers_the_area_under_the_curve() {
    let options = json!({"task": "binary", "metrics": ["roc_auc"], "intervals": {"replicates": 0}});
    // Areas of 0.80 and 0.95.
    for (shift, area) in [(1.19, 0.799_948), (2.326_174, 0.95)] {
        for (rows, trials) in [(50, 800), (500, 500), (5000, 200)] {
            check(&[("roc_auc", &[], area)], rows, trials, |seed| {
                let (labels, scores) = scored(rows, 0.4, shift, seed);
                let labels = column(labels.into_iter());
                run(&options, &Table::default().with("y", &[Use::Label], labels).candidate(&scores, 1))
            });
        }
    }
}

/// A confusion of which 40 % are positive, 80 % of both classes right.
fn confused(options: &Value, rows: usize, seed: u64) -> Report {
    // The draws of a row depend on its content and the seed alone; trials of one seed would share them.
    let mut options = options.clone();
    options["intervals"]["seed"] = json!(seed);
    let (truth, right) = (random(rows, seed), random(rows, seed + 5_000_000));
    let labels: Vec<bool> = truth.iter().map(|&it| it < 0.4).collect();
    let predicted = labels.iter().zip(&right).map(|(&label, &it)| label == (it < 0.8));
    let table = Table::default().with("candidate:out", &[Use::Candidate], column(predicted));
    run(&options, &table.with("y", &[Use::Label], column(labels.into_iter())))
}

#[test]
fn f1_is_covered_by_closed_form_and_bootstrap() {
    let (hits, alarms, misses) = (0.32, 0.12, 0.08);
    let f1 = 2.0 * hits / (2.0 * hits + alarms + misses);
    let other = 2.0 * 0.48 / (2.0 * 0.48 + alarms + misses);
    let options = json!({"task": "binary", "metrics": ["f1"]});
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
        let targets: [Target<'_>; 2] = [("f1", &[], f1), ("f1", &[("average", "macro")], (f1 + other) / 2.0)];
        check(&targets, rows, trials, |seed| confused(&options, rows, seed));
    }
}

#[test]
fn the_jackknife_covers_f1() {
    let f1 = 2.0 * 0.32 / (2.0 * 0.32 + 0.12 + 0.08);
    let options = json!({"task": "binary", "metrics": ["f1"], "intervals": {"method": "jackknife"}});
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1500)] {
        check(&[("f1", &[], f1)], rows, trials, |seed| confused(&options, rows, seed));
    }
}
