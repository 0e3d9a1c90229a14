//! Intervals hold what they promise: seeded simulations through the probe.
//!
//! Each trial draws rows from a population whose true value is known, and asks whether the nominal 95 %
//! interval holds it. Coverage must be 93 to 97 % for 50, 500 and 5,000 rows.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Report,
    arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray},
    report::{Interval, MetricRole},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Table, find, normal, random, run};

fn column(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(i64::from)))
}

fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// What an interval promises.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    /// To hold the true value in 95 % of trials.
    Exact,
    /// To hold it in at least that many, for this reason.
    AtLeast(&'static str),
    /// To hold it somewhat less often, as the documentation says.
    Less,
}

/// Of half the replicates that are the default, so that trials are cheap.
const FEW_REPLICATES: &str = "100 replicates make percentiles wider than 200 do";

/// Where rows are replicated one by one, fewer trials of many rows.
const ROWS_AND_TRIALS: [(usize, u64); 3] = [(50, 1000), (500, 600), (5000, 400)];

/// A metric and its true value.
struct Target<'a> {
    role: MetricRole,
    name: &'a str,
    labels: &'a [(&'a str, &'a str)],
    truth: f64,
    promise: Promise,
}

const fn target<'a>(name: &'a str, labels: &'a [(&'a str, &'a str)], truth: f64) -> Target<'a> {
    Target { role: MetricRole::Candidate, name, labels, truth, promise: Promise::Exact }
}

const fn compared(role: MetricRole, name: &str, truth: f64) -> Target<'_> {
    Target { role, name, labels: &[], truth, promise: Promise::Exact }
}

impl Target<'_> {
    const fn at_least(self, why: &'static str) -> Self {
        Self { promise: Promise::AtLeast(why), ..self }
    }
}

/// Checks the share of trials whose interval of each metric holds the true value. A worst slice is any that has the name.
fn check(targets: &[Target<'_>], rows: usize, trials: u64, trial: impl Fn(u64) -> Report) {
    let mut held = vec![0u64; targets.len()];
    let mut n_without = 0;
    for seed in 0..trials {
        let report = trial(seed * 10 + 1);
        for (it, held) in targets.iter().zip(&mut held) {
            let worst = || {
                let mut all = report.metrics.iter().filter(|it| it.labels.contains_key("worst_slice"));
                all.find(|metric| metric.name == it.name)
            };
            let is_worst = it.labels.iter().any(|it| it.0 == "worst_slice");
            let metric = if is_worst { worst() } else { find(&report, it.role, it.name, it.labels) }.unwrap();
            // Of few rows there may be none on which two models differ: then nothing is said of how much they do.
            n_without += u64::from(metric.interval.is_none());
            *held +=
                u64::from(metric.interval.is_none_or(|interval| interval.low <= it.truth && it.truth <= interval.high));
        }
    }
    assert!(n_without <= trials * targets.len() as u64 / 100, "{n_without} intervals are missing");
    for (it, held) in targets.iter().zip(held) {
        let coverage = held as f64 / trials as f64;
        let Target { role, name, labels, promise, .. } = it;
        let (range, why) = match promise {
            Promise::Exact => (0.93..=0.97, ""),
            Promise::AtLeast(why) => (0.93..=1.0, *why),
            Promise::Less => (0.87..=0.93, "squares of few heavy-tailed errors do not tell how great they can be"),
        };
        let covered = 100.0 * coverage;
        println!("{name} {role:?} {labels:?}, {rows} rows, {trials} trials: covered {covered:.1} % {why}");
        assert!(range.contains(&coverage), "{name} {role:?} {labels:?}, {rows} rows: {coverage}");
    }
}

#[test]
fn wilson_covers_accuracy() {
    let options = json!({"task": "binary", "metrics": ["accuracy"], "intervals": {"replicates": 0}});
    for (rows, trials) in [(50, 2000), (500, 2000), (5000, 1000)] {
        check(&[target("accuracy", &[], 0.8)], rows, trials, |seed| {
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
        for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
            check(&[target("roc_auc", &[], area)], rows, trials, |seed| {
                let (labels, scores) = scored(rows, 0.4, shift, seed);
                let labels = column(labels.into_iter());
                run(&options, &Table::default().with("y", &[Use::Label], labels).candidate(&scores, 1))
            });
        }
    }
}

/// A confusion of which 40 % are positive, 80 % of both classes right.
fn confused(options: &Value, rows: usize, seed: u64) -> Report {
    let options = seeded(options, seed);
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
        let targets = [
            target("f1", &[], f1),
            target("f1", &[("average", "macro")], (f1 + other) / 2.0),
            target("f1", &[("average", "weighted")], 0.4 * f1 + 0.6 * other),
        ];
        check(&targets, rows, trials, |seed| confused(&options, rows, seed));
    }
}

#[test]
fn weighted_averages_over_uneven_classes_are_covered() {
    const SHARES: [f64; 3] = [0.7, 0.25, 0.05];
    // What rows of each class are taken for.
    const GIVEN: [[f64; 3]; 3] = [[0.9, 0.08, 0.02], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]];
    let pick = |shares: &[f64; 3], u: f64| usize::from(u >= shares[0]) + usize::from(u >= shares[0] + shares[1]);
    let f1 = |class: usize| {
        let taken: f64 = (0..3).map(|it| SHARES[it] * GIVEN[it][class]).sum();
        2.0 * SHARES[class] * GIVEN[class][class] / (SHARES[class] + taken)
    };
    let truth: f64 = (0..3).map(|it| SHARES[it] * f1(it)).sum();
    let options = json!({"task": "multiclass", "classes": ["x", "y", "z"], "metrics": ["f1"]});
    for has_weights in [false, true] {
        for rows in [50, 500, 5000] {
            let weighted = target("f1", &[("average", "weighted")], truth);
            let few = "two or three rows are of the smallest class, which makes the logit a little wide";
            check(&[if rows == 50 { weighted.at_least(few) } else { weighted }], rows, 1000, |seed| {
                let uniform = |nth: u64| random(rows, seed + nth * 5_000_000);
                let labels: Vec<usize> = uniform(0).iter().map(|&it| pick(&SHARES, it)).collect();
                let taken = labels.iter().zip(uniform(1)).map(|(&it, u)| pick(&GIVEN[it], u)).collect::<Vec<_>>();
                let text = |it: &[usize]| -> ArrayRef {
                    Arc::new(StringArray::from_iter_values(it.iter().map(|&it| ["x", "y", "z"][it])))
                };
                let mut table = Table::default().with("y", &[Use::Label], text(&labels));
                if has_weights {
                    let weights = uniform(2).into_iter().map(|it| 1.0 + (3.0 * it).floor());
                    table = table.with("w", &[Use::Weight], Arc::new(Float64Array::from_iter_values(weights)));
                }
                run(&seeded(&options, seed), &table.with("candidate:out", &[Use::Candidate], text(&taken)))
            });
        }
    }
}

#[test]
fn the_jackknife_covers_f1() {
    let f1 = 2.0 * 0.32 / (2.0 * 0.32 + 0.12 + 0.08);
    let options = json!({"task": "binary", "metrics": ["f1"], "intervals": {"method": "jackknife"}});
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1500)] {
        check(&[target("f1", &[], f1)], rows, trials, |seed| confused(&options, rows, seed));
    }
}

/// Rows of a binary model and its baseline, whose hits move together: 0.85 and 0.80 of both classes are right.
fn paired_labels(options: &Value, rows: usize, seed: u64) -> Report {
    let options = seeded(options, seed);
    let (truth, first, second) = (random(rows, seed), random(rows, seed + 3_000_000), random(rows, seed + 7_000_000));
    let labels: Vec<bool> = truth.iter().map(|&it| it < 0.4).collect();
    // Of the rows that the baseline has right the candidate has 0.95, of the others 0.45.
    let baseline: Vec<bool> = first.iter().map(|&it| it < 0.8).collect();
    let candidate: Vec<bool> = baseline.iter().zip(&second).map(|(&it, &u)| u < if it { 0.95 } else { 0.45 }).collect();
    let of = |right: &[bool]| column(labels.iter().zip(right).map(|(&label, &it)| label == it));
    let table = Table::default().with("candidate:out", &[Use::Candidate], of(&candidate));
    let table = table.with("baseline:out", &[Use::Baseline], of(&baseline));
    run(&options, &table.with("y", &[Use::Label], column(labels.iter().copied())))
}

/// The draws of a row depend on its content and the seed alone; trials of one seed would share some.
fn seeded(options: &Value, seed: u64) -> Value {
    let mut res = options.clone();
    res["intervals"]["seed"] = json!(seed);
    res
}

/// The F1 of a class of that share, of which `right` is recognized as of the others.
fn f1_of(share: f64, right: f64) -> f64 {
    2.0 * share * right / (2.0 * share * right + (1.0 - share) * (1.0 - right) + share * (1.0 - right))
}

#[test]
fn differences_and_ratios_of_classes_are_covered() {
    let options = json!({"task": "binary", "metrics": ["accuracy", "f1"]});
    let (left, right) = (f1_of(0.4, 0.85), f1_of(0.4, 0.8));
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
        let accuracy = compared(MetricRole::Difference, "accuracy", 0.05);
        let f1 = compared(MetricRole::Difference, "f1", left - right);
        let ratio = |name, truth| compared(MetricRole::Ratio, name, truth);
        let targets = if rows == 50 {
            // The models differ in fewer than 15 of them: a difference allows for one such row more, and a ratio is made of two intervals.
            const OF_TWO: &str = "two intervals that hold together make a wide one";
            vec![
                accuracy.at_least("Newcombe's interval is a little wide for few discordant rows"),
                ratio("accuracy", 0.85 / 0.8).at_least(OF_TWO),
                f1.at_least("one more row that differs makes the interval a little wide"),
                ratio("f1", left / right).at_least(OF_TWO),
            ]
        } else {
            vec![accuracy, ratio("accuracy", 0.85 / 0.8), f1, ratio("f1", left / right)]
        };
        check(&targets, rows, trials, |seed| paired_labels(&options, rows, seed));
    }
}

/// Returns a report on rows of two classes, by which of them each model has right, with weights where there are any.
fn of_right(options: &Value, right: [Vec<bool>; 2], weights: Option<Vec<f64>>) -> Report {
    let labels = || (0..right[0].len()).map(|it| it % 2 == 0);
    let predicted = |model: usize| column(labels().zip(&right[model]).map(|(label, &it)| label == it));
    let table = Table::default().with("y", &[Use::Label], column(labels()));
    let table = table.with("candidate:out", &[Use::Candidate], predicted(0));
    let table = table.with("baseline:out", &[Use::Baseline], predicted(1));
    let table = match weights {
        Some(it) => table.with("w", &[Use::Weight], Arc::new(Float64Array::from(it))),
        None => table,
    };
    run(options, &table)
}

/// Of few rows that differ replicates tell how the models go together, if there are enough of them, and no heavier row may come to differ.
#[test]
fn a_difference_of_few_rows_is_surer_where_replicates_tell_how_the_models_go_together() {
    let width = |it: Interval| it.high - it.low;
    for (replicates, has_weights, is_surer) in
        [(200, false, true), (2, false, false), (19, false, false), (200, true, false)]
    {
        let options = json!({"task": "binary", "metrics": ["f1"], "intervals": {"replicates": replicates}});
        // Both have a tenth wrong, and each three rows more.
        let right = [5..8, 8..11].map(|own| (0..50).map(|row| row >= 5 && !own.contains(&row)).collect());
        let weights = (0..50).map(|row| 1.0 + f64::from(row % 7)).collect();
        let report = of_right(&options, right, has_weights.then_some(weights));
        let of = |role| find(&report, role, "f1", &[]).unwrap();
        let [left, right] = [MetricRole::Candidate, MetricRole::Baseline].map(of);
        let Some((of_left, of_right)) = left.interval.zip(right.interval) else { continue };
        let independent = Interval::of_difference((left.value, of_left), (right.value, of_right));
        let found = of(MetricRole::Difference).interval.unwrap();
        let ratio = width(found) / width(independent);
        let is_right = if is_surer { ratio < 0.9 } else { (ratio - 1.0).abs() < 1e-9 };
        assert!(is_right, "{replicates} replicates, weights {has_weights}: {ratio}");
    }
}

/// Of models that are as good as each other a difference below 0 is found in no more than 5 %, half of what 95 % are short of.
#[test]
fn few_models_that_are_as_good_as_each_other_are_told_apart() {
    const TRIALS: u64 = 1000;
    const METRICS: [&str; 4] = ["accuracy", "f1", "precision", "mcc"];
    for (replicates, sigma) in [(2, None), (20, None), (100, None), (100, Some(1.0)), (100, Some(1.5))] {
        let mut rejected = [0; METRICS.len()];
        for seed in 1..=TRIALS {
            let seed = seed * 10;
            let (draws, noise) = (random(50, seed), normal(50, seed + 5_000_000));
            // A tenth is wrong by both models, and 0.075 by each alone.
            let right =
                [0.1..0.175, 0.175..0.25].map(|own| draws.iter().map(|it| *it >= 0.1 && !own.contains(it)).collect());
            let weights = sigma.map(|sigma: f64| noise.iter().map(|it| (sigma * it).exp()).collect());
            let options = json!({"task": "binary", "metrics": METRICS, "intervals": {"replicates": replicates}});
            let report = of_right(&seeded(&options, seed), right, weights);
            for (name, rejected) in METRICS.iter().zip(&mut rejected) {
                let found = find(&report, MetricRole::Difference, name, &[]).unwrap().interval;
                *rejected += u64::from(found.is_some_and(|it| it.high < 0.0));
            }
        }
        println!("{replicates} replicates, weights {sigma:?}: {METRICS:?}: {rejected:?} of {TRIALS}");
        assert!(
            rejected.iter().all(|it| it * 20 <= TRIALS),
            "{replicates} replicates, weights {sigma:?}: {rejected:?}"
        );
    }
}

/// Rows of calibrated scores, and of a baseline that sees them through noise; all are of the writer `a`.
fn paired_scores(options: &Value, rows: usize, seed: u64) -> Report {
    let (shared, own) = (normal(rows, seed), normal(rows, seed + 7_000_000));
    let truth = random(rows, seed + 5_000_000);
    let candidate: Vec<f64> = shared.iter().map(|it| probability(1.5 * it)).collect();
    let baseline: Vec<f64> = shared.iter().zip(&own).map(|(it, own)| probability(1.5 * it + 0.5 * own)).collect();
    let labels = column(candidate.iter().zip(&truth).map(|(it, u)| u < it));
    let writers = vec!["a"; rows];
    let table = Table::default().with("y", &[Use::Label], labels).candidate(&candidate, 1).baseline(&baseline, 1);
    run(&seeded(options, seed), &table.slice("writer", &writers))
}

/// Returns the true values of the candidate and the baseline of [`paired_scores`]: log loss, Brier score and area, by the
/// midpoint rule over both normal deviates.
fn truths() -> [[f64; 2]; 3] {
    const STEPS: usize = 400;
    let deviates: Vec<(f64, f64)> = (0..STEPS)
        .map(|it| -8.0 + 16.0 * (it as f64 + 0.5) / STEPS as f64)
        .map(|it| (it, (-it * it / 2.0).exp()))
        .collect();
    let total: f64 = deviates.iter().map(|it| it.1).sum();
    let (mut log_loss, mut brier) = ([0.0; 2], [0.0; 2]);
    // Weight of positive and of negative rows, by score.
    let mut scored = [Vec::new(), Vec::new()];
    for &(shared, left) in &deviates {
        for &(own, right) in &deviates {
            let weight = left * right / total / total;
            let truth = probability(1.5 * shared);
            for (model, logit) in [1.5 * shared, 1.5 * shared + 0.5 * own].into_iter().enumerate() {
                let it = probability(logit);
                log_loss[model] -= weight * (truth * it.ln() + (1.0 - truth) * (1.0 - it).ln());
                brier[model] += weight * (truth * (1.0 - it).powi(2) + (1.0 - truth) * it * it);
                scored[model].push((logit, weight * truth, weight * (1.0 - truth)));
            }
        }
    }
    let area = scored.map(|mut it| {
        it.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut below, mut above, mut positives) = (0.0, 0.0, 0.0);
        for group in it.chunk_by(|a, b| a.0 == b.0) {
            let (hits, misses) = group.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.1, sum.1 + it.2));
            above += hits * (below + misses / 2.0);
            below += misses;
            positives += hits;
        }
        above / positives / below
    });
    [log_loss, brier, area]
}

#[test]
fn scores_and_their_differences_and_ratios_are_covered() {
    let [log_loss, brier, area] = truths();
    let names = ["log_loss", "brier", "roc_auc"];
    let options = json!({"task": "binary", "metrics": names, "intervals": {"replicates": 100}});
    let slice: &[(&str, &str)] = &[("slice", "writer=a")];
    for (rows, trials) in ROWS_AND_TRIALS {
        let difference = |name, it: [f64; 2]| compared(MetricRole::Difference, name, it[0] - it[1]);
        let replicated = |name, it| difference(name, it).at_least(FEW_REPLICATES);
        let ratio = |name, it: [f64; 2]| compared(MetricRole::Ratio, name, it[0] / it[1]).at_least(FEW_REPLICATES);
        let targets = [
            target("log_loss", &[], log_loss[0]),
            target("brier", &[], brier[0]),
            replicated("log_loss", log_loss),
            replicated("brier", brier),
            difference("roc_auc", area),
            ratio("log_loss", log_loss),
            ratio("brier", brier),
            target("log_loss", slice, log_loss[0]),
            target("roc_auc", slice, area[0]),
        ];
        check(&targets, rows, trials, |seed| paired_scores(&options, rows, seed));
    }
}

/// What the errors of a regression are.
#[derive(Clone, Copy, PartialEq)]
enum Errors {
    Normal,
    Skewed,
}

/// Errors of a regression: normal ones or, skewed, those of an exponential distribution in size; a baseline beside it.
/// The rows are of as many writers by turns.
fn errors(options: &Value, rows: usize, seed: u64, writers: &[&str], kind: Errors) -> Report {
    let (noise, other) = (normal(rows, seed), normal(rows, seed + 7_000_000));
    let sizes = random(rows, seed + 3_000_000);
    let labels: Vec<f64> = normal(rows, seed + 9_000_000);
    let error =
        |row: usize| if kind == Errors::Skewed { -(1.0 - sizes[row]).ln() * noise[row].signum() } else { noise[row] };
    let candidate: Vec<f64> = (0..rows).map(|it| labels[it] + error(it)).collect();
    let baseline: Vec<f64> = (0..rows).map(|it| labels[it] + error(it) + 0.5 * other[it]).collect();
    let writers: Vec<&str> = (0..rows).map(|it| writers[it % writers.len()]).collect();
    let table = Table::default().numbers(&labels).candidate(&candidate, 1).slice("writer", &writers);
    let table = table.baseline(&baseline, 1);
    run(&seeded(options, seed), &table)
}

#[test]
fn errors_and_their_differences_are_covered() {
    let options = json!({"task": "regression", "metrics": ["mae", "rmse", "bias"], "intervals": {"replicates": 100}});
    let mae = (2.0 / std::f64::consts::PI).sqrt();
    // Normal errors of the variances 1 and 1.25.
    let other = 1.25f64.sqrt();
    let slice: &[(&str, &str)] = &[("slice", "writer=a")];
    for (rows, trials) in ROWS_AND_TRIALS {
        let targets = [
            target("mae", &[], mae),
            target("rmse", &[], 1.0),
            target("bias", &[], 0.0),
            compared(MetricRole::Difference, "mae", mae * (1.0 - other)).at_least(FEW_REPLICATES),
            compared(MetricRole::Difference, "rmse", 1.0 - other).at_least(FEW_REPLICATES),
            compared(MetricRole::Ratio, "mae", 1.0 / other).at_least(FEW_REPLICATES),
            target("mae", slice, mae),
            target("bias", slice, 0.0),
        ];
        check(&targets, rows, trials, |seed| errors(&options, rows, seed, &["a"], Errors::Normal));
    }
}

#[test]
fn the_worst_slice_is_covered() {
    let options = json!({"task": "regression", "metrics": ["mae"], "intervals": {"replicates": 0}});
    let mae = (2.0 / std::f64::consts::PI).sqrt();
    let worst = [target("mae", &[("worst_slice", "*")], mae).at_least("it holds for all slices at once")];
    for (rows, trials) in ROWS_AND_TRIALS {
        check(&worst, 4 * rows, trials, |seed| errors(&options, 4 * rows, seed, &["a", "b", "c", "d"], Errors::Normal));
    }
}

#[test]
fn means_of_skewed_errors_are_covered() {
    let options = json!({"task": "regression", "metrics": ["mae"], "intervals": {"replicates": 100}});
    for (rows, trials) in ROWS_AND_TRIALS {
        check(&[target("mae", &[], 1.0)], rows, trials, |seed| errors(&options, rows, seed, &["a"], Errors::Skewed));
    }
}

/// No interval of the 50 squares that were seen knows of the few that decide their mean; the plugin's documentation says so.
#[test]
fn roots_of_few_heavy_tailed_squares_are_covered_less() {
    let options = json!({"task": "regression", "metrics": ["rmse"], "intervals": {"replicates": 100}});
    // Student's t of 5 degrees of freedom, whose variance is 5/3.
    let rmse = Target { promise: Promise::Less, ..target("rmse", &[], (5.0f64 / 3.0).sqrt()) };
    check(&[rmse], 50, 1000, |seed| {
        let normal = normal(6 * 50, seed);
        let error = |it: &[f64]| it[0] / (it[1..].iter().map(|it| it * it).sum::<f64>() / 5.0).sqrt();
        let predicted: Vec<f64> = normal.chunks(6).map(error).collect();
        run(&seeded(&options, seed), &Table::default().numbers(&[0.0; 50]).candidate(&predicted, 1))
    });
}

/// Where rows with great errors weigh more, a weighted mean varies more than one of as many rows of any weight.
#[test]
fn means_with_weights_that_go_with_the_errors_are_covered() {
    let options = json!({"task": "regression", "metrics": ["mae"], "intervals": {"replicates": 100}});
    // Of normal errors e that weigh 1 + 3 |e|: E|e| is √(2/π), and E e² is 1.
    let mean = (2.0 / std::f64::consts::PI).sqrt();
    let mae = (mean + 3.0) / (1.0 + 3.0 * mean);
    let slice: &[(&str, &str)] = &[("slice", "writer=a")];
    for (rows, trials) in ROWS_AND_TRIALS {
        check(&[target("mae", &[], mae), target("mae", slice, mae)], rows, trials, |seed| {
            let errors = normal(rows, seed);
            let weights: ArrayRef =
                Arc::new(Float64Array::from_iter_values(errors.iter().map(|it| 1.0 + 3.0 * it.abs())));
            let table =
                Table::default().numbers(&vec![0.0; rows]).candidate(&errors, 1).slice("writer", &vec!["a"; rows]);
            run(&seeded(&options, seed), &table.with("w", &[Use::Weight], weights))
        });
    }
}

/// Where wrong rows weigh more, a weighted share varies more than one of as many rows of any weight.
#[test]
fn shares_with_weights_that_go_with_the_hits_are_covered() {
    let options = json!({"task": "binary", "metrics": ["accuracy"], "intervals": {"replicates": 0}});
    let slice: &[(&str, &str)] = &[("slice", "writer=a")];
    let few = "Wilson's interval leans toward the middle, where wrong rows of few are";
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
        // A tenth is wrong and weighs five times as much.
        let accuracy = target("accuracy", slice, 0.9 / (0.9 + 0.5)).at_least(few);
        check(&[accuracy], rows, trials, |seed| {
            let draws = random(rows, seed);
            let (labels, predicted) = (0..rows).map(|it| (it % 2 == 0, (it % 2 == 0) == (draws[it] < 0.9))).unzip();
            let (labels, predicted): (Vec<bool>, Vec<bool>) = (labels, predicted);
            let weights = draws.iter().map(|&it| if it < 0.9 { 1.0 } else { 5.0 });
            let table = Table::default().with("y", &[Use::Label], column(labels.into_iter()));
            let table = table.slice("writer", &vec!["a"; rows]);
            let table = table.with("w", &[Use::Weight], Arc::new(Float64Array::from_iter_values(weights)));
            run(&options, &table.with("candidate:out", &[Use::Candidate], column(predicted.into_iter())))
        });
    }
}

/// Where few rows are counted, samples without any of them show nothing of what they weigh.
#[test]
fn rates_of_few_flips_that_weigh_more_are_covered() {
    let options = json!({"task": "binary", "metrics": ["negative_flip_rate"], "intervals": {"replicates": 0}});
    // 0.06 are wrong by the candidate alone and 0.1 by both, and those weigh twice as much.
    let few = "Wilson's interval leans toward the middle, where flips of few rows are";
    let rate = target("negative_flip_rate", &[], 0.06 * 2.0 / (0.84 + 0.16 * 2.0)).at_least(few);
    for (rows, trials) in [(50, 2000), (500, 1000), (5000, 1000)] {
        check(std::slice::from_ref(&rate), rows, trials, |seed| {
            let (draws, spread) = (random(rows, seed), random(rows, seed + 5_000_000));
            let labels = || (0..rows).map(|it| it % 2 == 0);
            let wrong_below = |share: f64| column(labels().zip(&draws).map(|(label, &it)| label != (it < share)));
            let baseline = column(labels().zip(&draws).map(|(label, it)| label != (0.06..0.16).contains(it)));
            let weights = draws.iter().zip(&spread).map(|(&it, more)| if it < 0.16 { 2.0 } else { 1.0 } * (0.5 + more));
            let table = Table::default().with("y", &[Use::Label], column(labels()));
            let table = table.with("candidate:out", &[Use::Candidate], wrong_below(0.16));
            let table = table.with("baseline:out", &[Use::Baseline], baseline);
            run(&options, &table.with("w", &[Use::Weight], Arc::new(Float64Array::from_iter_values(weights))))
        });
    }
}

/// Light rows that are counted say nothing of the few heavy ones, which flip more often.
#[test]
fn rates_of_flips_of_few_heavy_rows_are_covered() {
    const ROWS: usize = 50;
    let options = json!({"task": "binary", "metrics": ["negative_flip_rate"], "intervals": {"replicates": 0}});
    let few = "a bound allows for one more row as heavy as the heaviest";
    for (heavy, of_heavy, of_light) in [(3, 0.3, 0.05), (5, 0.2, 0.02)] {
        let weights: Vec<f64> = (0..ROWS).map(|row| if row < heavy { 10.0 } else { 1.0 }).collect();
        let share = |row: usize| if row < heavy { of_heavy } else { of_light };
        let flipped: f64 = weights.iter().enumerate().map(|(row, it)| it * share(row)).sum();
        let rate = target("negative_flip_rate", &[], flipped / weights.iter().sum::<f64>()).at_least(few);
        check(std::slice::from_ref(&rate), ROWS, 2000, |seed| {
            let is_right = random(ROWS, seed).iter().enumerate().map(|(row, &it)| it >= share(row)).collect();
            of_right(&options, [is_right, vec![true; ROWS]], Some(weights.clone()))
        });
    }
}

/// Replicates of the few rows that are given a label have too few values, and often only one.
#[test]
fn shares_and_averages_of_sets_of_labels_are_covered() {
    const SHARES: [f64; 4] = [0.5, 0.4, 0.3, 0.3];
    // 0.9 of the labels that are there are found, and 0.1 of those that are not.
    let precisions = SHARES.map(|it| 0.9 * it / (0.9 * it + 0.1 * (1.0 - it)));
    let weighted = SHARES.iter().zip(precisions).map(|(share, it)| share * it).sum::<f64>() / 1.5;
    let targets = [
        target("precision", &[("class", "0")], precisions[0]),
        target("precision", &[("class", "3")], precisions[3]),
        target("precision", &[("average", "macro")], precisions.iter().sum::<f64>() / 4.0),
        target("precision", &[("average", "micro")], 0.9 * 1.5 / (0.9 * 1.5 + 0.1 * 2.5)),
        target("precision", &[("average", "weighted")], weighted),
        target("recall", &[("class", "0")], 0.9),
        target("recall", &[("class", "3")], 0.9),
    ];
    let options = json!({"task": "multi-label", "metrics": ["precision", "recall"]});
    for (rows, trials) in ROWS_AND_TRIALS {
        check(&targets, rows, trials, |seed| {
            let (truth, right) = (random(4 * rows, seed), random(4 * rows, seed + 5_000_000));
            let labels: Vec<f64> =
                truth.iter().zip(SHARES.iter().cycle()).map(|(it, share)| f64::from(u8::from(it < share))).collect();
            let found: Vec<f64> =
                labels.iter().zip(&right).map(|(&it, &u)| if u < 0.9 { it } else { 1.0 - it }).collect();
            let table = Table::default().with("y", &[Use::Label], common::scored(&labels, 4));
            run(&seeded(&options, seed), &table.candidate(&found, 4))
        });
    }
}

#[test]
fn averages_over_classes_of_a_slice_are_covered() {
    let options = json!({"task": "multiclass", "classes": ["x", "y", "z"], "metrics": ["recall", "f1"]});
    let slice: &[(&str, &str)] = &[("slice", "writer=a")];
    let twice = "a row that is wrong is taken to count in two classes at once";
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
        // 0.8 are right, and the rest is the next class: precision and recall of each class are 0.8.
        let targets = [target("recall", slice, 0.8), target("f1", slice, 0.8).at_least(twice)];
        check(&targets, rows, trials, |seed| {
            let (truth, right) = (random(rows, seed), random(rows, seed + 5_000_000));
            let labels: Vec<usize> = truth.iter().map(|it| (it * 3.0) as usize).collect();
            let predicted = labels.iter().zip(&right).map(|(&it, &u)| if u < 0.8 { it } else { (it + 1) % 3 });
            let text = |it: &[usize]| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(it.iter().map(|&it| ["x", "y", "z"][it])))
            };
            let predicted: Vec<usize> = predicted.collect();
            let table = Table::default().with("y", &[Use::Label], text(&labels)).slice("writer", &vec!["a"; rows]);
            run(&options, &table.with("candidate:out", &[Use::Candidate], text(&predicted)))
        });
    }
}

/// A replicate without any of the few rows that are wrong has no spread of its own: it is infinitely far off.
#[test]
fn the_upper_bound_of_a_rare_loss_misses_as_seldom_as_it_promises() {
    let options = json!({"task": "regression", "metrics": ["mae"], "intervals": {"replicates": 200}});
    let (rows, share) = (100, 0.03);
    let (mut tried, mut missed) = (0, 0);
    for seed in 0..400 {
        let labels = normal(rows, seed);
        let draws = random(rows, seed + 9_000_000);
        let sizes = random(rows, seed + 4_000_000);
        let wrong = |it: usize| if draws[it] < share { 0.5 + sizes[it] } else { 0.0 };
        let predicted: Vec<f64> = (0..rows).map(|it| labels[it] + wrong(it)).collect();
        let report = run(&seeded(&options, seed), &Table::default().numbers(&labels).candidate(&predicted, 1));
        if let Some(it) = find(&report, MetricRole::Candidate, "mae", &[]).unwrap().interval {
            tried += 1;
            missed += u64::from(it.high < share);
        }
    }
    assert!(tried > 300 && missed * 40 <= tried, "{missed} of {tried} upper bounds are too low");
}

/// The share of the most frequent class is estimated from the same rows.
#[test]
fn skill_over_the_most_frequent_class_is_covered() {
    let options = json!({"task": "binary", "metrics": ["skill"], "intervals": {"replicates": 0}});
    // 80 % are right, and 60 % are of the most frequent class.
    let skill = target("skill", &[("metric", "accuracy")], (0.8 - 0.6) / (1.0 - 0.6));
    for (rows, trials) in [(50, 1000), (500, 1000), (5000, 1000)] {
        check(std::slice::from_ref(&skill), rows, trials, |seed| confused(&options, rows, seed));
    }
}

/// A jackknife does not tell by how much chance made them larger.
#[test]
fn greatest_and_mean_distances_have_no_jackknife_and_say_so() {
    let (labels, scores) = scored(500, 0.4, 1.19, 3);
    let table = Table::default().with("y", &[Use::Label], column(labels.into_iter())).candidate(&scores, 1);
    for (method, is_given) in [("jackknife", false), ("bootstrap", true)] {
        let report = run(&json!({"task": "binary", "intervals": {"method": method}}), &table);
        for name in ["ks_statistic", "ece"] {
            let found = find(&report, MetricRole::Candidate, name, &[]).unwrap();
            assert_eq!(found.interval.is_some(), is_given, "{method} {name}");
        }
        let told = report.gaps.iter().any(|it| it.what == "intervals of ece and ks_statistic");
        assert_eq!(told, !is_given, "{method}: {:?}", report.gaps);
    }
}
