//! What reports say: invariance, fail-closed edges, baseline, slices and findings.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Report, Role,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field},
    },
    report::{FigureData, Interval, Metric, MetricRole, Severity, Status},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Table, codes, digits, find, open, random, run, run_cut, run_one_model, try_run, value};

fn multiclass() -> Value {
    json!({"task": "multiclass"})
}

/// Rows of three classes of which a share is right; the rest is the next class.
fn classes(n: usize, right: f64, seed: u64) -> (Vec<i64>, Vec<f64>) {
    let (draws, hits) = (random(n, seed), random(n, seed + 1));
    let labels: Vec<i64> = draws.iter().map(|it| (it * 3.0) as i64).collect();
    let scores = labels.iter().zip(&hits).flat_map(|(&label, &hit)| {
        let class = if hit < right { label } else { (label + 1) % 3 };
        (0..3).map(move |it| if it == class { 0.5 + hit / 4.0 } else { 0.25 - hit / 8.0 })
    });
    let scores = scores.collect();
    (labels, scores)
}

fn binary_table(n: usize) -> Table {
    let (labels, scores) = (random(n, 1), random(n, 2));
    let labels: Vec<i64> = labels.iter().map(|&it| i64::from(it < 0.4)).collect();
    let of = |noise: f64| {
        labels.iter().zip(&scores).map(|(&label, it)| it * (1.0 - noise) + noise * label as f64).collect::<Vec<_>>()
    };
    let writers: Vec<&str> = (0..n).map(|it| ["a", "b", "c"][it % 3]).collect();
    Table::default().labels(&labels).slice("writer", &writers).candidate(&of(0.3), 1).baseline(&of(0.2), 1)
}

#[test]
fn reports_depend_neither_on_batches_nor_on_partitions() {
    let regression = {
        let (labels, errors) = (random(200, 5), random(200, 6));
        let predicted: Vec<f64> = labels.iter().zip(&errors).map(|(a, b)| a + b / 10.0).collect();
        Table::default().numbers(&labels).candidate(&predicted, 1).baseline(&errors, 1)
    };
    let (labels, scores) = classes(200, 0.8, 3);
    let weights = Arc::new(Float64Array::from(random(200, 7)));
    let tables = [
        (json!({"task": "binary"}), binary_table(200)),
        (json!({"task": "binary"}), binary_table(200).with("w", &[Use::Weight], weights.clone())),
        (json!({"task": "regression"}), regression.clone().with("w", &[Use::Weight], weights)),
        (multiclass(), Table::default().labels(&labels).candidate(&scores, 3)),
        (json!({"task": "regression"}), regression),
    ];
    for (options, table) in tables {
        let whole = serde_json::to_string(&run(&options, &table)).unwrap();
        for (partitions, step) in [(1, 1), (1, 7), (3, 1000), (5, 3)] {
            let cut = run_cut(&options, &table.batch(), partitions, step);
            assert_eq!(
                serde_json::to_string(&cut).unwrap(),
                whole,
                "{options}, {partitions} partitions, batches of {step}"
            );
        }
    }
}

#[test]
fn states_are_the_same_bytes_in_any_order_of_partitions() {
    let weights = Arc::new(Float64Array::from(random(200, 7)));
    for table in [binary_table(200), binary_table(200).with("w", &[Use::Weight], weights)] {
        let batch = table.batch();
        let options = json!({"task": "binary"});
        let parts: Vec<Vec<u8>> = (0..4)
            .map(|it| {
                let mut probe = open(&options);
                probe.update(&(), Role::Current, &batch.slice(it * 50, 50)).unwrap();
                probe.state().unwrap()
            })
            .collect();
        let merged = |order: [usize; 4]| {
            let mut probe = open(&options);
            order.iter().for_each(|&it| probe.merge(&parts[it]).unwrap());
            probe.state().unwrap()
        };
        let mut whole = open(&options);
        whole.update(&(), Role::Current, &batch).unwrap();
        let whole = whole.state().unwrap();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            assert!(merged(order) == whole, "{order:?}");
        }
    }
}

#[test]
fn taking_the_state_changes_nothing_of_what_follows() {
    let n = 140_000;
    let labels: Vec<i64> = random(n, 1).iter().map(|&it| i64::from(it < 0.4)).collect();
    let table = Table::default().labels(&labels).candidate(&random(n, 2), 1);
    let batch = table.with("w", &[Use::Weight], Arc::new(Float64Array::from(random(n, 3)))).batch();
    let state = |is_taken: bool| {
        let mut probe = open(&json!({"task": "binary"}));
        probe.update(&(), Role::Current, &batch.slice(0, 80_000)).unwrap();
        if is_taken {
            probe.state().unwrap();
        }
        probe.update(&(), Role::Current, &batch.slice(80_000, n - 80_000)).unwrap();
        probe.state().unwrap()
    };
    assert!(state(true) == state(false));
}

#[test]
fn counts_beyond_the_budget_are_the_same_bits_however_they_are_merged() {
    let n = 250_000;
    let labels: Vec<i64> = random(n, 1).iter().map(|&it| i64::from(it < 0.4)).collect();
    let batch = Table::default().labels(&labels).candidate(&random(n, 2), 1).batch();
    let options = json!({"task": "binary", "intervals": {"replicates": 20}});
    let found = |parts: &[(usize, usize)]| {
        let mut probe = open(&options);
        for &(start, n) in parts {
            let mut part = open(&options);
            part.update(&(), Role::Current, &batch.slice(start, n)).unwrap();
            probe.merge(&part.state().unwrap()).unwrap();
        }
        (probe.state().unwrap(), serde_json::to_string(&probe.evaluate(&()).unwrap()).unwrap())
    };
    // Counts, kept rows, counts.
    let [left, middle, right] = [(0, 120_000), (120_000, 10_000), (130_000, 120_000)];
    let whole = found(&[(0, n)]);
    for parts in [[left, middle, right], [middle, left, right], [right, left, middle]] {
        assert!(found(&parts) == whole, "{parts:?}");
    }
}

#[test]
fn counts_are_the_same_bits_in_any_batches() {
    let n = 150_000;
    let labels: Vec<Option<i64>> = random(n, 1).iter().map(|&it| (it > 0.1).then(|| i64::from(it < 0.4))).collect();
    // As many distinct scores as are kept with labels of which some are missing, far fewer, and more.
    let scores = [random(n, 2), random(n, 2).iter().map(|it| (it * 300.0).round() / 300.0).collect()];
    let few: Vec<f64> = (0..n).map(|it| if it < 100_000 { scores[0][it] } else { scores[1][it] }).collect();
    // Scores that are no probabilities, and some on the edge of them.
    const ODD: [f64; 6] = [f64::NAN, -0.0, -0.1, 1.5, 1e-310, 1.0];
    let with_odd = |scores: &[f64]| -> Vec<f64> {
        scores.iter().enumerate().map(|(row, &it)| *ODD.get(row % 997).unwrap_or(&it)).collect()
    };
    let odd = [with_odd(&scores[0]), with_odd(&few)];
    for scores in scores.iter().chain([&few]).chain(&odd) {
        let table = Table::default().with("label", &[Use::Label], Arc::new(Int64Array::from(labels.clone())));
        let batch = table.candidate(scores, 1).batch();
        let state = |step: usize| {
            let mut probe = open(&json!({"task": "binary", "threshold": 0.3}));
            for start in (0..n).step_by(step) {
                probe.update(&(), Role::Current, &batch.slice(start, step.min(n - start))).unwrap();
            }
            probe.state().unwrap()
        };
        let whole = state(n);
        for step in [1_000, 70_001, 101_000] {
            assert!(state(step) == whole, "batches of {step}");
        }
    }
}

#[test]
fn scores_next_to_0_and_1_are_told_apart_beyond_the_budget() {
    let n = 150_000;
    let draws = random(n, 2);
    // From 10⁻⁷ to 2 · 10⁻⁴, all of them within the first 4096th: of rare events, and of a model that is sure and right.
    let low: Vec<f64> = random(n, 1).iter().map(|it| 10_f64.powf(-7.0 + 3.3 * it)).collect();
    let rare: Vec<i64> = draws.iter().zip(&low).map(|(it, score)| i64::from(*it < 60.0 * score)).collect();
    let even: Vec<i64> = draws.iter().map(|&it| i64::from(it < 0.5)).collect();
    let sure: Vec<f64> = low.iter().zip(&even).map(|(&it, &label)| if label == 1 { 1.0 - it } else { it }).collect();
    for (labels, scores) in [(rare, low), (even, sure)] {
        let report = run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(&scores, 1));
        let losses = labels.iter().zip(&scores).map(|(&label, &it)| -(if label == 1 { it } else { 1.0 - it }).ln());
        let (value, expected) = (value(&report, "log_loss", &[]), losses.sum::<f64>() / n as f64);
        assert!((value - expected).abs() < 2e-10, "{value} {expected}");
        let interval = find(&report, MetricRole::Candidate, "log_loss", &[]).unwrap().interval.unwrap();
        assert!(interval.low > 0.6 * value && interval.high < 1.6 * value, "{interval:?} of {value}");
        let gap = report.gaps.iter().find(|it| it.what == "roc_auc of the candidate").unwrap();
        let bound: f64 = gap.why.split("within ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(bound < 0.01, "{bound}");
    }
}

#[test]
fn beyond_the_budget_sums_take_over() {
    let n = 120_000;
    let (labels, scores) = (random(n, 1), random(n, 2));
    let labels: Vec<i64> = labels.iter().map(|&it| i64::from(it < 0.4)).collect();
    let scores: Vec<f64> = labels.iter().zip(&scores).map(|(&label, it)| it * 0.7 + 0.3 * label as f64).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1);
    let options = json!({"task": "binary", "intervals": {"replicates": 20}});
    let whole = run(&options, &table);
    let cut = run_cut(&options, &table.batch(), 3, 10_000);
    assert!(whole.gaps.iter().any(|it| it.what == "rows beyond the budget"), "{:?}", whole.gaps);
    // The probability that a positive score 0.3 + 0.7 u exceeds a negative one 0.7 v.
    let auc = 1.0 - (4.0f64 / 7.0).powi(2) / 2.0;
    assert!((value(&whole, "roc_auc", &[]) - auc).abs() < 0.01);
    for (left, right) in whole.metrics.iter().zip(&cut.metrics) {
        assert!((left.value - right.value).abs() <= 1e-12 * left.value.abs(), "{left:?} {right:?}");
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(left.interval.zip(right.interval).is_none_or(|(a, b)| close(a.low, b.low) && close(a.high, b.high)));
        assert!(left.interval.is_none_or(|it| it.low <= left.value && left.value <= it.high), "{left:?}");
    }
}

#[test]
fn beyond_the_budget_quantiles_and_areas_stay_within_their_stated_error() {
    let n = 120_000;
    let (labels, noise) = (random(n, 1), random(n, 2));
    let predicted: Vec<f64> = labels.iter().zip(&noise).map(|(a, b)| a + b * b).collect();
    let options = json!({"task": "regression", "intervals": {"replicates": 0}, "error_quantiles": [0.9]});
    let report = run(&options, &Table::default().numbers(&labels).candidate(&predicted, 1));
    let mut errors: Vec<f64> = labels.iter().zip(&predicted).map(|(a, b)| (b - a).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let medae = f64::midpoint(errors[n / 2 - 1], errors[n / 2]);
    assert!((value(&report, "medae", &[]) / medae - 1.0).abs() < 1.0 / 1024.0);
    let bounds = metric_of(&report, "medae", MetricRole::Candidate).bounds.unwrap();
    assert!(bounds.low <= medae && medae <= bounds.high && bounds.is_certain() && bounds.low < bounds.high);
    let high = value(&report, "absolute_error_quantile", &[("quantile", "0.9")]);
    assert!((high / errors[n / 10 * 9] - 1.0).abs() < 1.1 / 1024.0);
    assert!(report.gaps.iter().any(|it| it.why.contains("quantiles of errors are within")), "{:?}", report.gaps);

    let skill = report.gaps.iter().find(|it| it.what == "skill[metric=mae]").unwrap();
    assert!(skill.why.contains("a sample of 100000 of 120000 rows"), "{}", skill.why);
    let mut sorted = labels.clone();
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]);
    let trivial = labels.iter().map(|it| (it - median).abs()).sum::<f64>() / n as f64;
    let exact = 1.0 - errors.iter().sum::<f64>() / n as f64 / trivial;
    let found = find(&report, MetricRole::Candidate, "skill", &[("metric", "mae")]).unwrap();
    let bounds = found.bounds.unwrap();
    assert!(found.value != exact && bounds.low <= exact && exact <= bounds.high, "{found:?} {exact}");
    // The labels that are not kept can be far away from the median, but not all of them further than their deviation.
    assert!(bounds.low == f64::NEG_INFINITY && skill.why.contains("has no bound"), "{found:?} {}", skill.why);
    assert!(bounds.high < exact + 0.2, "{found:?}");

    let truth: Vec<i64> = labels.iter().map(|&it| i64::from(it < 0.4)).collect();
    let scores: Vec<f64> = truth.iter().zip(&noise).map(|(&label, it)| it * 0.7 + 0.3 * label as f64).collect();
    let options = json!({"task": "binary", "intervals": {"replicates": 0}});
    let report = run(&options, &Table::default().labels(&truth).candidate(&scores, 1).baseline(&noise, 1));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut above) = (0.0, 0.0);
    order.iter().for_each(|&it| if truth[it] == 1 { above += below } else { below += 1.0 });
    let stated = |what: &str| -> f64 {
        let gap = report.gaps.iter().find(|it| it.what == what).unwrap_or_else(|| panic!("{what}: {:?}", report.gaps));
        gap.why.split("within ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let difference = (value(&report, "roc_auc", &[]) - above / below / (n as f64 - below)).abs();
    let bound = stated("roc_auc of the candidate");
    assert!(difference <= bound && difference < 1e-4, "{difference}, stated {bound}");
    // The baseline has a bound of its own, and what has none is said to have none.
    assert!(stated("average_precision of the baseline") > 0.0 && stated("lift[top=0.1] of the baseline") > 0.0);
    assert!(report.gaps.iter().any(|it| it.what == "the figure `Thresholds`" && it.why.contains("no bound")));
}

/// The area of scores that are all distinct.
fn area_of(truth: &[i64], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut below, mut above) = (0.0, 0.0);
    order.iter().for_each(|&it| if truth[it] == 1 { above += below } else { below += 1.0 });
    above / below / (truth.len() as f64 - below)
}

fn metric_of<'a>(report: &'a Report, name: &str, role: MetricRole) -> &'a Metric {
    let is_it = |it: &&Metric| it.name == name && it.role == role && it.labels.is_empty();
    report.metrics.iter().find(is_it).unwrap_or_else(|| panic!("no {name} of {role:?}"))
}

/// Scores in a few bins are told apart by their bins alone: their area is far from that of the scores.
#[test]
fn what_bins_hide_is_within_the_bounds_and_the_intervals() {
    let n = 120_000;
    let (ranks, noise) = (random(n, 1), random(n, 2));
    let truth: Vec<i64> = ranks.iter().zip(&noise).map(|(rank, it)| i64::from(it < rank)).collect();
    let narrow: Vec<f64> = ranks.iter().map(|it| 0.01 + 0.0002 * it).collect();
    let exact = area_of(&truth, &ranks);
    // Alone the scores are counted in a grid, beside a baseline in histograms.
    let others: Vec<f64> = ranks.iter().zip(random(n, 3)).map(|(rank, it)| 0.9 * rank + 0.1 * it).collect();
    let exact_baseline = area_of(&truth, &others);
    let table = || Table::default().labels(&truth).candidate(&narrow, 1);
    let options = json!({"task": "binary", "intervals": {"replicates": 20}});
    for (table, has_baseline) in [(table(), false), (table().baseline(&others, 1), true)] {
        let report = run_cut(&options, &table.batch(), 3, 30_000);
        let candidate = metric_of(&report, "roc_auc", MetricRole::Candidate);
        assert!((candidate.value - exact).abs() > 0.01, "{candidate:?}");
        let holds = |it: Option<Interval>, exact: f64| it.is_some_and(|it| it.low <= exact && exact <= it.high);
        assert!(holds(candidate.bounds, exact) && holds(candidate.interval, exact), "{candidate:?} {exact}");
        assert!(candidate.bounds.unwrap().is_certain());
        if has_baseline {
            let baseline = metric_of(&report, "roc_auc", MetricRole::Baseline);
            let error = (baseline.value - exact_baseline).abs();
            assert!(holds(baseline.bounds, exact_baseline) && error < 1e-4, "{baseline:?} {exact_baseline}");
            let difference = metric_of(&report, "roc_auc", MetricRole::Difference);
            assert!(difference.value < -0.01, "{difference:?}");
            let truth = exact - exact_baseline;
            assert!(
                truth > 0.0 && holds(difference.bounds, truth) && holds(difference.interval, truth),
                "{difference:?}"
            );
            let ratio = metric_of(&report, "roc_auc", MetricRole::Ratio);
            let truth = exact / exact_baseline;
            assert!(holds(ratio.bounds, truth) && holds(ratio.interval, truth), "{ratio:?}");
        }
        assert_eq!(metric_of(&report, "accuracy", MetricRole::Candidate).bounds, None);
    }
}

/// Of rare events all scores are near 0, where the bins of histograms are fine, too.
#[test]
fn scores_of_rare_events_are_told_apart_beside_a_baseline() {
    let n = 120_000;
    let (ranks, noise, other) = (random(n, 3), random(n, 4), random(n, 5));
    let logits: Vec<f64> = ranks.iter().map(|it| 1.5 * (it / (1.0 - it)).ln() - 9.0).collect();
    let sigmoid = |it: f64| 1.0 / (1.0 + (-it).exp());
    let rare: Vec<f64> = logits.iter().map(|&it| sigmoid(it)).collect();
    let spread: Vec<f64> = logits.iter().zip(&other).map(|(it, noise)| sigmoid(it + 2.5 + 0.8 * noise)).collect();
    let truth: Vec<i64> = rare.iter().zip(&noise).map(|(share, it)| i64::from(it < share)).collect();
    let options = json!({"task": "binary", "intervals": {"replicates": 20}, "metrics": ["roc_auc"]});
    let report = run(&options, &Table::default().labels(&truth).candidate(&spread, 1).baseline(&rare, 1));
    for (role, scores) in [(MetricRole::Candidate, &spread), (MetricRole::Baseline, &rare)] {
        let exact = area_of(&truth, scores);
        let found = metric_of(&report, "roc_auc", role);
        assert!((found.value - exact).abs() < 1e-3, "{found:?} {exact}");
        assert!(found.bounds.is_some_and(|it| it.low <= exact && exact <= it.high), "{found:?} {exact}");
    }
}

#[test]
fn damaged_states_are_refused() {
    let options = json!({"task": "binary"});
    let mut probe = open(&options);
    probe.update(&(), Role::Current, &binary_table(20).batch()).unwrap();
    let state = probe.state().unwrap();
    assert!(open(&options).merge(&state).is_ok());
    for cut in [0, 1, 5, 40, state.len() - 1, state.len() - 8] {
        assert!(open(&options).merge(&state[..cut]).is_err(), "{cut}");
    }
    let mut other = state.clone();
    other[0] = 200;
    assert!(open(&options).merge(&other).unwrap_err().message.contains("version 200"));
}

#[test]
fn no_rows_are_a_gap() {
    let report = run(&multiclass(), &Table::default().labels::<i64>(&[]).candidate(&[], 3));
    assert!(report.metrics.is_empty() && report.checks.is_empty());
    assert_eq!(report.gaps[0].why, "there are no rows");
    let missing = Table::default()
        .with("label", &[Use::Label], Arc::new(Float64Array::from(vec![None, Some(f64::NAN)])))
        .candidate(&[1.0, 2.0], 1);
    let report = run(&json!({"task": "regression"}), &missing);
    assert!(report.metrics.is_empty());
    assert_eq!(report.gaps[0].why, "none of 2 rows has a usable label");
}

#[test]
fn rows_without_a_label_are_left_out_and_counted() {
    let table = Table::default()
        .with("label", &[Use::Label], Arc::new(Int64Array::from(vec![Some(0), None, Some(1)])))
        .candidate(&[0.1, 0.9, 0.8], 1);
    let report = run(&json!({"task": "binary"}), &table);
    let accuracy = find(&report, MetricRole::Candidate, "accuracy", &[]).unwrap();
    assert_eq!((accuracy.value, accuracy.n), (1.0, 2));
    assert!(report.gaps.iter().any(|it| it.what == "1 of 3 rows"), "{:?}", report.gaps);
}

#[test]
fn few_labels_are_no_labels() {
    let of = |n_labeled: usize, options: Value| {
        let labels: Vec<f64> = (0..300).map(|it| if it < n_labeled { it as f64 } else { f64::NAN }).collect();
        let mut all = json!({"task": "regression"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        run(&all, &Table::default().numbers(&labels).candidate(&random(300, 3), 1))
    };
    let report = of(10, json!({}));
    assert!(report.metrics.is_empty() && report.findings.is_empty());
    let [gap] = &report.gaps[..] else { panic!("{:?}", report.gaps) };
    assert_eq!(gap.what, "all metrics");
    assert!(
        gap.why.starts_with("290 of 300 rows have no label, more than the share of 0.5 that `max_unlabeled_share`"),
        "{}",
        gap.why
    );
    for (n_labeled, options) in [(150, json!({})), (10, json!({"max_unlabeled_share": 0.97}))] {
        let report = of(n_labeled, options);
        assert_eq!(find(&report, MetricRole::Candidate, "mae", &[]).unwrap().n, n_labeled as u64);
    }
    let wrong = json!({"task": "regression", "max_unlabeled_share": 1.5});
    let opened = verify_metrics::registry().open_probe(modelwatch_sdk::Kind::Verifier, "metrics", &wrong);
    assert_eq!(opened.err().unwrap().path, "/max_unlabeled_share");
}

#[test]
fn an_infinite_label_is_refused() {
    for infinite in [f64::INFINITY, f64::NEG_INFINITY] {
        let table = Table::default().numbers(&[1.0, infinite, 3.0]).candidate(&[1.0, 2.0, 3.0], 1);
        let error = try_run(&json!({"task": "regression"}), &table).unwrap_err();
        assert_eq!(error.message, format!("a label in `label` is {infinite}, expected a finite number"));
    }
}

/// Labels and predictions are multiples of 2^-10, so that the metrics are fractions of whole numbers.
#[test]
fn shares_of_variance_are_right_far_from_0() {
    let steps: Vec<[i128; 2]> = (0..1000).map(|it| [it * it % 101, it * it % 101 + it % 3]).collect();
    let number = |step: i128| 1e9 + step as f64 / 1024.0;
    let [labels, predicted] = [0, 1].map(|of| steps.iter().map(|it| number(it[of])).collect::<Vec<f64>>());
    let n = steps.len() as i128;
    let variance = |of: &dyn Fn(&[i128; 2]) -> i128| {
        let (sum, squares) = (steps.iter().map(of).sum::<i128>(), steps.iter().map(|it| of(it).pow(2)).sum::<i128>());
        n * squares - sum * sum
    };
    let total = variance(&|it| it[0]) as f64;
    let squares = n * steps.iter().map(|it| (it[1] - it[0]).pow(2)).sum::<i128>();
    let expected = [1.0 - squares as f64 / total, 1.0 - variance(&|it| it[1] - it[0]) as f64 / total];
    let table = Table::default().numbers(&labels).candidate(&predicted, 1);
    let options = json!({"task": "regression", "intervals": {"replicates": 0}});
    for report in [run(&options, &table), run_cut(&options, &table.batch(), 7, 13)] {
        for (name, expected) in ["r2", "explained_variance"].into_iter().zip(expected) {
            let found = value(&report, name, &[]);
            assert!((found / expected - 1.0).abs() < 1e-9, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn labels_that_are_no_class_are_named() {
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values));
    let table = Table::default().with("label", &[Use::Label], text(vec!["0", "dog"])).candidate(&[0.1, 0.9], 1);
    let error = try_run(&json!({"task": "binary"}), &table).unwrap_err();
    assert_eq!(error.message, "the label `dog` is not one of the classes `0`, `1`");
    let table = Table::default().labels(&[0, 1]).with("candidate:x", &[Use::Candidate], text(vec!["1", "cat"]));
    let error = try_run(&json!({"task": "binary"}), &table).unwrap_err();
    assert!(error.message.starts_with("the predicted label `cat`"), "{error}");
}

#[test]
fn the_output_that_fits_is_taken() {
    let (labels, scores) = classes(60, 0.9, 3);
    let words = Arc::new(Int64Array::from(labels.clone()));
    let both =
        Table::default().labels(&labels).with("candidate:word", &[Use::Candidate], words.clone()).candidate(&scores, 3);
    assert!(value(&run(&multiclass(), &both), "log_loss", &[]) > 0.0);
    let named = json!({"task": "multiclass", "output": "word", "classes": ["0", "1", "2"]});
    assert_eq!(value(&run(&named, &both), "accuracy", &[]), 1.0);
    let error = try_run(&json!({"task": "regression"}), &both).unwrap_err();
    assert!(error.message.contains("none of the candidate model's outputs fit"), "{error}");
    assert!(error.message.contains("word (1 × Int64)") && error.message.contains("out (3 × Float64)"), "{error}");
    let error = try_run(&json!({"task": "multiclass", "output": "nope"}), &both).unwrap_err();
    assert!(error.message.contains("no output `nope`"), "{error}");
    let error = try_run(&json!({"task": "multiclass", "output": "out", "classes": ["0", "1"]}), &both).unwrap_err();
    assert!(error.message.contains("expected 2 scores per row"), "{error}");
}

fn weighted(table: Table, weights: Vec<Option<f64>>) -> Table {
    table.with("w", &[Use::Weight], Arc::new(Float64Array::from(weights)))
}

#[test]
fn whole_weights_are_repetitions() {
    let regression = |rows: &[usize]| {
        let (labels, errors) = (random(40, 5), random(40, 6));
        let of = |scale: f64| rows.iter().map(|&it| labels[it] + errors[it] / scale).collect::<Vec<_>>();
        let truth: Vec<f64> = rows.iter().map(|&it| labels[it]).collect();
        Table::default().numbers(&truth).candidate(&of(10.0), 1).baseline(&of(7.0), 1)
    };
    let of_classes = |rows: &[usize]| {
        let (labels, scores) = classes(40, 0.7, 3);
        let truth: Vec<i64> = rows.iter().map(|&it| labels[it]).collect();
        let all: Vec<f64> = rows.iter().flat_map(|&it| scores[it * 3..it * 3 + 3].to_vec()).collect();
        Table::default().labels(&truth).candidate(&all, 3)
    };
    let counts: Vec<usize> = (0..40).map(|it| it % 4).collect();
    let repeated: Vec<usize> = (0..40).flat_map(|it| vec![it; counts[it]]).collect();
    let once: Vec<usize> = (0..40).collect();
    let weights: Vec<_> = counts.iter().map(|&it| Some(it as f64)).collect();
    for (task, table) in [("regression", &regression as &dyn Fn(&[usize]) -> Table), ("multiclass", &of_classes)] {
        let options = json!({"task": task, "intervals": {"replicates": 0}});
        let left = run(&options, &weighted(table(&once), weights.clone()));
        let right = run(&options, &table(&repeated));
        assert_eq!(left.metrics.len(), right.metrics.len());
        for (left, right) in left.metrics.iter().zip(&right.metrics) {
            // The tests of counts and the extremes look at rows, whatever they weigh; pairs of classes have no weights.
            let is_of_pairs = left.labels.contains_key("multi_class");
            if !is_of_pairs && !["flips", "mcnemar", "max_error", "residual"].iter().any(|it| left.name.starts_with(it))
            {
                let is_close = (left.value - right.value).abs() <= 1e-12 * right.value.abs().max(1.0);
                assert!(is_close || (left.value.is_nan() && right.value.is_nan()), "{left:?} {right:?}");
            }
        }
    }
}

#[test]
fn weights_that_are_none_are_refused() {
    for bad in [Some(-1.0), Some(f64::INFINITY)] {
        let mut weights = vec![Some(1.0); 60];
        weights[30] = bad;
        let error = try_run(&json!({"task": "binary"}), &weighted(binary_table(60), weights)).unwrap_err();
        assert!(error.message.contains("is not a finite number from 0 on"), "{error}");
    }
    // A row whose weight is missing counts as little as one of weight 0.
    let with = |it: Option<f64>| {
        let weights = (0..60).map(|row| if row == 30 { it } else { Some(1.0) }).collect();
        run(&json!({"task": "binary"}), &weighted(binary_table(60), weights))
    };
    let text = |it: &Report| serde_json::to_string(it).unwrap();
    assert_eq!([None, Some(f64::NAN)].map(|it| text(&with(it))), [(); 2].map(|()| text(&with(Some(0.0)))));
    let report = run(&json!({"task": "binary"}), &weighted(binary_table(60), vec![Some(0.0); 60]));
    // Flips count rows, whatever they weigh.
    let weighs = |name: &str| !name.starts_with("flips") && name != "mcnemar_p";
    let candidates = report.metrics.iter().filter(|it| it.role == MetricRole::Candidate && weighs(&it.name));
    assert!(candidates.clone().count() > 10);
    candidates.for_each(|it| assert!(it.value.is_nan() && it.interval.is_none(), "{it:?}"));
    assert!(report.gaps.iter().any(|it| it.why == "the weights of 60 rows are all 0"));
}

#[test]
fn a_row_without_weight_still_needs_a_prediction() {
    let table = Table::default().labels(&[0, 1, 1]).candidate(&[0.1, 0.8, f64::NAN], 1);
    let report = run(&json!({"task": "binary"}), &weighted(table, vec![Some(1.0), Some(1.0), Some(0.0)]));
    assert!(value(&report, "accuracy", &[]).is_nan());
    assert_eq!(codes(&report), ["MW-M001"]);
}

#[test]
fn intervals_of_weighted_rows_are_wider_than_of_as_many_equal_ones() {
    let weights: Vec<_> = (0..300).map(|it| Some(if it % 10 == 0 { 20.0 } else { 1.0 })).collect();
    let (plain, heavy) = (
        run(&json!({"task": "binary"}), &binary_table(300)),
        run(&json!({"task": "binary"}), &weighted(binary_table(300), weights)),
    );
    for labels in [&[][..], &[("slice", "writer=a")]] {
        let width = |report: &modelwatch_sdk::Report| {
            let interval = find(report, MetricRole::Candidate, "accuracy", labels).unwrap().interval.unwrap();
            interval.high - interval.low
        };
        assert!(width(&heavy) > 1.3 * width(&plain), "{labels:?}: {} {}", width(&heavy), width(&plain));
    }
}

#[test]
fn a_missing_slice_cannot_pass() {
    let options = json!({"task": "binary", "expect_slices": ["writer=a", "writer=z", "hand=left"]});
    let report = run(&options, &binary_table(90));
    let checks: Vec<_> = report.checks.iter().map(|it| (it.labels["slice"].as_str(), it.status)).collect();
    assert_eq!(checks, [("hand=left", Status::NotChecked), ("writer=z", Status::NotChecked)]);
    assert!(report.checks[0].message.contains("not a slice column"));
    let small = run(&json!({"task": "binary", "min_slice_size": 31}), &binary_table(90));
    let why = "it has 30 rows, fewer than `min_slice_size`, 31";
    assert_eq!(small.gaps.iter().filter(|it| it.why == why).count(), 3);
    let recall = find(&small, MetricRole::Candidate, "recall", &[("slice", "writer=a")]).unwrap();
    assert!(recall.interval.unwrap().high - recall.interval.unwrap().low > 0.1);
}

#[test]
fn nothing_rests_on_a_slice_of_which_few_rows_count() {
    let names: Vec<&str> = (0..90).map(|it| if it % 2 == 0 { "few" } else { "many" }).collect();
    let weights = (0..90).map(|it| if it % 2 == 0 && it >= 12 { 1e-9 } else { 0.1 });
    let labels: Vec<i64> = (0..90).map(|it| it / 2 % 2).collect();
    let scores: Vec<f64> = labels.iter().map(|&it| 0.9 - 0.8 * it as f64).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1).slice("writer", &names);
    let table = table.with("w", &[Use::Weight], Arc::new(Float64Array::from_iter_values(weights)));
    let report = run(&json!({"task": "binary", "min_slice_size": 30, "expect_slices": ["writer=few"]}), &table);
    let why = "its 45 rows count, by their weights, as 6.0, fewer than `min_slice_size`, 30";
    for it in &report.metrics {
        let is_few = it.labels.get("slice").is_some_and(|it| it == "writer=few");
        assert_eq!(it.unfit.as_deref(), is_few.then_some(why), "{it:?}");
        assert!(it.labels.get("worst_slice").is_none_or(|it| it == "writer=many"));
    }
    assert_eq!((report.checks[0].status, &*report.checks[0].message), (Status::NotChecked, why));
    assert!(report.findings.iter().all(|it| !it.place.contains("few")), "{:?}", report.findings);
}

#[test]
fn nothing_rests_on_a_slice_that_is_too_small() {
    let names: Vec<&str> = (0..90).map(|it| if it == 0 { "lone" } else { "many" }).collect();
    let labels: Vec<i64> = (0..90).map(|it| it % 2).collect();
    let scores: Vec<f64> = labels.iter().map(|&it| 0.1 + 0.8 * it as f64).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1).baseline(&scores, 1).slice("writer", &names);
    let options = json!({"task": "binary", "min_slice_size": 30, "expect_slices": ["writer=lone", "writer=many"]});
    let report = run(&options, &table);
    let why = "it has 1 row, fewer than `min_slice_size`, 30";
    for it in &report.metrics {
        let is_lone = it.labels.get("slice").is_some_and(|it| it == "writer=lone");
        assert_eq!(it.unfit.as_deref(), is_lone.then_some(why), "{it:?}");
        assert!(it.labels.get("worst_slice").is_none_or(|it| it == "writer=many"));
    }
    let checks: Vec<_> = report.checks.iter().map(|it| (it.status, it.n, it.message.as_str())).collect();
    assert_eq!(checks, [(Status::NotChecked, 1, why)]);
}

#[test]
fn equal_predictions_of_one_model_differ_by_nothing() {
    let labels: Vec<i64> = (0..120).map(|it| it % 2).collect();
    let scores = random(120, 3);
    let table = |baseline: &[f64]| {
        let names: Vec<&str> = (0..120).map(|it| if it < 60 { "a" } else { "b" }).collect();
        Table::default().labels(&labels).candidate(&scores, 1).baseline(baseline, 1).slice("writer", &names)
    };
    let options = json!({"task": "binary"});
    let report = run_one_model(&options, &table(&scores));
    let compared = |report: &Report, role: MetricRole| -> Vec<_> {
        report.metrics.iter().filter(|it| it.role == role).cloned().collect()
    };
    for (role, value) in [(MetricRole::Difference, 0.0), (MetricRole::Ratio, 1.0)] {
        let found = compared(&report, role);
        assert!(found.len() > 15, "{}", found.len());
        for it in found {
            let interval = it.interval.unwrap_or_else(|| panic!("{it:?}"));
            assert!(it.value == value && interval.low == value && interval.high == value, "{it:?}");
        }
    }
    // One other score is enough for a difference that is not known.
    let mut other = scores.clone();
    other[7] += 1e-9;
    let accuracy = |report: &Report| find(report, MetricRole::Difference, "accuracy", &[]).unwrap().interval.unwrap();
    let report = run_one_model(&options, &table(&other));
    assert!(accuracy(&report).low < 0.0 && accuracy(&report).high > 0.0);
    let of_slice = |name: &str| find(&report, MetricRole::Difference, "accuracy", &[("slice", name)]).unwrap().interval;
    assert!(of_slice("writer=a").unwrap().low < 0.0);
    assert_eq!(of_slice("writer=b").map(|it| (it.low, it.high)), Some((0.0, 0.0)));
    let report = run(&options, &table(&other));
    let cut = run_cut(&options, &table(&other).batch(), 5, 9);
    assert_eq!(serde_json::to_string(&cut).unwrap(), serde_json::to_string(&report).unwrap());
}

#[test]
fn crosses_and_bins_are_slices() {
    let ages: Vec<f64> = (0..120).map(|it| if it == 7 { f64::NAN } else { f64::from(it % 60) }).collect();
    let table = binary_table(120).with("age", &[Use::Slice], Arc::new(Float64Array::from(ages)));
    let options = json!({
        "task": "binary", "slice_bins": {"age": [18, 40.5]}, "cross_slices": [["writer", "age"]], "min_slice_size": 5,
        "expect_slices": ["age=18..40.5", "writer=a,age=..18", "writer=z,age=..18"], "intervals": {"replicates": 0},
    });
    let report = run(&options, &table);
    let n = |name: &str| find(&report, MetricRole::Candidate, "accuracy", &[("slice", name)]).map(|it| it.n);
    assert_eq!(
        [n("age=..18"), n("age=18..40.5"), n("age=40.5.."), n("writer=a")],
        [Some(35), Some(46), Some(38), Some(40)]
    );
    assert_eq!(n("writer=a,age=..18"), Some(12));
    let missing: Vec<_> = report.checks.iter().map(|it| it.labels["slice"].as_str()).collect();
    assert_eq!(missing, ["writer=z,age=..18"]);
    assert_eq!(n("age=(missing)"), Some(1));
    let cut = run_cut(&options, &table.batch(), 5, 9);
    assert_eq!(serde_json::to_string(&cut).unwrap(), serde_json::to_string(&report).unwrap());

    let check = |options: Value, path: &str, words: &str| {
        let error = try_run(&options, &table).unwrap_err();
        assert!(error.path == path && error.message.contains(words), "{}: {}", error.path, error.message);
    };
    let unknown = "`size` is not a slice column";
    check(json!({"task": "binary", "slice_bins": {"size": [1]}}), "/slice_bins/size", unknown);
    check(json!({"task": "binary", "cross_slices": [["writer", "size"]]}), "/cross_slices/0/1", unknown);
    check(json!({"task": "binary", "slice_bins": {"writer": [1]}}), "/slice_bins/writer", "has no numbers");
}

#[test]
fn the_worst_slice_is_named_for_each_metric() {
    let report = run(&json!({"task": "binary"}), &binary_table(300));
    for (name, is_loss) in [("accuracy", false), ("log_loss", true), ("fpr", true)] {
        let slices: Vec<_> = report
            .metrics
            .iter()
            .filter(|it| it.name == name && it.role == MetricRole::Candidate && it.labels.contains_key("slice"))
            .collect();
        let worst = report.metrics.iter().find(|it| it.name == name && it.labels.contains_key("worst_slice")).unwrap();
        let badness = |it: f64| if is_loss { it } else { -it };
        assert!(slices.len() == 3 && slices.iter().all(|it| badness(it.value) <= badness(worst.value)), "{name}");
        let same = slices.iter().find(|it| it.labels["slice"] == worst.labels["worst_slice"]).unwrap();
        let (joint, own) = (worst.interval.unwrap(), same.interval.unwrap());
        assert!(same.value == worst.value && joint.low < own.low && joint.level == own.level, "{name}");
    }
    let small = run(&json!({"task": "binary", "min_slice_size": 101}), &binary_table(300));
    assert!(small.metrics.iter().all(|it| !it.labels.contains_key("worst_slice")));
}

#[test]
fn skill_is_over_a_trivial_model() {
    let labels: Vec<i64> = (0..100).map(|it| i64::from(it < 20)).collect();
    let scores: Vec<f64> = (0..100).map(|it| if it < 10 { 0.9 } else { 0.2 }).collect();
    let report = run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(&scores, 1));
    // 90 of 100 are right, where always predicting 0 gets 80.
    assert!((value(&report, "skill", &[("metric", "accuracy")]) - 0.5).abs() < 1e-12);
    let entropy = -(0.2f64 * 0.2f64.ln() + 0.8 * 0.8f64.ln());
    let skill = value(&report, "skill", &[("metric", "log_loss")]);
    assert!((skill - (1.0 - value(&report, "log_loss", &[]) / entropy)).abs() < 1e-12);
    assert!(
        (value(&report, "skill", &[("metric", "brier")]) - (1.0 - value(&report, "brier", &[]) / 0.16)).abs() < 1e-12
    );

    let numbers = [1.0, 2.0, 9.0];
    let report =
        run(&json!({"task": "regression"}), &Table::default().numbers(&numbers).candidate(&[2.0, 2.0, 2.0], 1));
    assert!(value(&report, "skill", &[("metric", "mae")]).abs() < 1e-12);
    assert!((value(&report, "skill", &[("metric", "mse")]) - value(&report, "r2", &[])).abs() < 1e-12);
}

#[test]
fn few_rows_that_are_all_right_prove_no_skill() {
    let labels: Vec<i64> = (0..10).map(|it| it % 2).collect();
    let interval_of = |scores: &[f64]| {
        let report = run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(scores, 1));
        find(&report, MetricRole::Candidate, "skill", &[("metric", "accuracy")]).unwrap().interval
    };
    let right: Vec<f64> = labels.iter().map(|it| 0.1 + 0.8 * *it as f64).collect();
    assert_eq!(interval_of(&right), None);
    // Wrong just where the label is another one than that of the trivial model.
    assert_eq!(interval_of(&[0.9; 10]), None);
    let one_wrong: Vec<f64> = right.iter().enumerate().map(|(row, it)| if row == 0 { 0.9 } else { *it }).collect();
    assert!(interval_of(&one_wrong).is_some());
}

#[test]
fn a_model_without_skill_is_a_warning() {
    // Informative, but worse than always predicting the frequent class, and ranking badly.
    let labels: Vec<i64> = (0..200).map(|it| i64::from(it % 20 == 0)).collect();
    let predicted: Vec<i64> = (0..200).map(|it| i64::from(it % 20 == 0 || it % 5 == 1)).collect();
    let table = Table::default().labels(&labels);
    let table = table.with("candidate:out", &[Use::Candidate], Arc::new(Int64Array::from(predicted)));
    let report = run(&json!({"task": "binary"}), &table);
    assert_eq!(codes(&report), ["MW-M008"], "{:?}", report.findings);
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

#[test]
fn a_useful_model_of_a_rare_class_is_no_error_on_few_rows() {
    // Ten positives, of which five are found beside six others: kappa is 0.34, and accuracy below the share of negatives.
    let of = |times: usize| {
        let rows = || (0..50 * times).map(|it| it % 50);
        let labels: Vec<i64> = rows().map(|it| i64::from(it < 10)).collect();
        let predicted: Vec<i64> = rows().map(|it| i64::from((5..16).contains(&it))).collect();
        let table = Table::default().labels(&labels);
        let report = run(
            &json!({"task": "binary"}),
            &table.with("candidate:out", &[Use::Candidate], Arc::new(Int64Array::from(predicted))),
        );
        let found = report.findings.iter().find(|it| it.code == "MW-M002");
        found.map(|it| (it.severity, it.message.contains("too few to tell")))
    };
    assert_eq!(of(1), Some((Severity::Warning, true)));
    assert_eq!(of(20), None);
}

#[test]
fn differences_are_paired_and_every_interval_holds_its_value() {
    let report = run(&json!({"task": "binary"}), &binary_table(300));
    for name in ["accuracy", "f1", "roc_auc", "log_loss", "mcc"] {
        let of = |role| find(&report, role, name, &[]).unwrap();
        let (candidate, baseline) = (of(MetricRole::Candidate), of(MetricRole::Baseline));
        let (difference, ratio) = (of(MetricRole::Difference), of(MetricRole::Ratio));
        assert_eq!(difference.value, candidate.value - baseline.value, "{name}");
        assert_eq!(ratio.value, candidate.value / baseline.value, "{name}");
        for it in [candidate, baseline, difference, ratio] {
            let interval = it.interval.unwrap_or_else(|| panic!("no interval: {it:?}"));
            assert!(interval.low <= it.value && it.value <= interval.high && interval.level == 0.95, "{it:?}");
        }
        let width = |it: &modelwatch_sdk::report::Metric| it.interval.map(|it| it.high - it.low).unwrap();
        assert!(width(difference) < width(candidate) + width(baseline), "{name}");
        assert!(
            find(&report, MetricRole::Difference, "accuracy", &[("slice", "writer=b")]).unwrap().interval.is_some()
        );
    }
    let flips = |name| find(&report, MetricRole::Candidate, name, &[]).unwrap().value;
    let net = flips("flips_wrong_to_right") - flips("flips_right_to_wrong");
    let difference = find(&report, MetricRole::Difference, "accuracy", &[]).unwrap().value;
    assert!((net / 300.0 - difference).abs() < 1e-12);
    assert!((0.0..=1.0).contains(&flips("mcnemar_p")));
    let rate = |name| value(&report, name, &[]);
    assert_eq!(rate("negative_flip_rate"), flips("flips_right_to_wrong") / 300.0);
    assert_eq!(rate("positive_flip_rate"), flips("flips_wrong_to_right") / 300.0);
    assert_eq!(rate("symmetric_flip_rate"), rate("negative_flip_rate") + rate("positive_flip_rate"));
    let of = |name| find(&report, MetricRole::Candidate, name, &[]).unwrap();
    let (up, down) = (of("neg_to_pos_flip_rate"), of("pos_to_neg_flip_rate"));
    assert_eq!(up.n + down.n, 300);
    let flipped = up.value * up.n as f64 + down.value * down.n as f64;
    assert!((flipped / 300.0 - rate("symmetric_flip_rate")).abs() < 1e-12 && up.interval.is_some());
}

#[test]
fn the_jackknife_stands_for_every_interval() {
    let options = json!({"task": "binary", "intervals": {"method": "jackknife"}});
    let table = binary_table(300);
    let report = run(&options, &table);
    for name in ["accuracy", "roc_auc", "mcc", "pr_auc"] {
        let of = |report: &modelwatch_sdk::Report| {
            find(report, MetricRole::Candidate, name, &[]).unwrap().interval.unwrap_or_else(|| panic!("{name}"))
        };
        let (jackknife, other) = (of(&report), of(&run(&json!({"task": "binary"}), &table)));
        let ratio = (jackknife.high - jackknife.low) / (other.high - other.low);
        assert!(jackknife != other && (0.5..2.0).contains(&ratio), "{name}: {jackknife:?} {other:?}");
    }
    let cut = run_cut(&options, &table.batch(), 4, 11);
    assert_eq!(serde_json::to_string(&cut).unwrap(), serde_json::to_string(&report).unwrap());
}

/// Of quantiles a jackknife over buckets is in four of five cases right where it says 19 of 20.
#[test]
fn the_jackknife_gives_no_interval_of_what_jumps() {
    let (labels, noise) = (random(200, 1), random(200, 2));
    let predicted: Vec<f64> = labels.iter().zip(&noise).map(|(a, b)| a + b * b).collect();
    let of = |method: &str| {
        let options = json!({"task": "regression", "error_quantiles": [0.9], "intervals": {"method": method}});
        let report = run(&options, &Table::default().numbers(&labels).candidate(&predicted, 1));
        let interval = |name: &str| report.metrics.iter().find(|it| it.name == name).unwrap().interval.is_some();
        let gap = report.gaps.iter().find(|it| it.what.starts_with("intervals of")).map(|it| it.what.clone());
        (["mae", "medae", "absolute_error_quantile"].map(interval), gap)
    };
    assert_eq!(of("bootstrap"), ([true; 3], None));
    let gap = "intervals of medae and absolute_error_quantile[quantile=0.9]".to_owned();
    assert_eq!(of("jackknife"), ([true, false, false], Some(gap)));
}

#[test]
fn rows_without_weight_or_of_one_class_are_said_to_be() {
    let scores: Vec<f64> = random(40, 1).iter().map(|it| 0.6 + it / 4.0).collect();
    let weights: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 40]));
    let labels: Vec<i64> = (0..40).map(|it| it % 2).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1);
    let report = run(&json!({"task": "binary"}), &table.with("w", &[Use::Weight], weights));
    assert_eq!(codes(&report), [""; 0], "{:?}", report.findings);
    let report = run(&json!({"task": "binary"}), &Table::default().labels(&[1; 40]).candidate(&scores, 1));
    assert!(value(&report, "roc_auc", &[]).is_nan());
    assert!(
        report
            .gaps
            .iter()
            .any(|it| it.what.starts_with("roc_auc") && it.why.starts_with("all 40 rows are of class `1`"))
    );
}

#[test]
fn texts_in_place_of_numbers_are_named() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let table = Table::default().with("price", &[Use::Label], texts).candidate(&[0.1, 0.2], 1);
    let error = try_run(&json!({"task": "regression"}), &table).unwrap_err();
    assert!(error.message.contains("the label `price` of a regression has no numbers"), "{error}");
    let table = Table::default().labels(&[0, 1]).candidate(&[0.1, 0.2], 1).slice("city", &["a", "b"]);
    let error = try_run(&json!({"task": "binary", "slice_bins": {"city": [1.0]}}), &table).unwrap_err();
    assert!(
        error.message.contains("`city` of `slice_bins` has no numbers") && error.path == "/slice_bins/city",
        "{error}"
    );
}

#[test]
fn a_perfect_model_of_few_rows_is_not_certain() {
    let labels: Vec<i64> = (0..12).map(|it| it % 2).collect();
    let scores: Vec<f64> = (0..12).map(|it| f64::from(it % 2) * 0.8 + 0.1).collect();
    let report = run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(&scores, 1));
    for name in ["accuracy", "roc_auc", "f1", "mcc", "average_precision", "balanced_accuracy"] {
        let metric = find(&report, MetricRole::Candidate, name, &[]).unwrap();
        assert!(metric.value == 1.0 && metric.interval.is_none_or(|it| it.low < 0.95), "{metric:?}");
    }
}

#[test]
fn models_that_answer_alike_are_not_certain_to_be_equal() {
    let labels: Vec<i64> = (0..200).map(|it| it % 2).collect();
    let scores: Vec<f64> =
        labels.iter().zip(0..).map(|(&it, at)| if it == 1 { 0.9 } else { 0.1 + f64::from(at % 7) / 10.0 }).collect();
    let table =
        Table::default().labels(&labels).slice("writer", &["a"; 200]).candidate(&scores, 1).baseline(&scores, 1);
    let weights = (0..200).map(|it| f64::from(1 + it % 2)).collect::<Vec<_>>();
    let weighted = table.clone().with("w", &[Use::Weight], Arc::new(Float64Array::from(weights)));
    for (options, table) in [
        (json!({"task": "binary"}), &table),
        (json!({"task": "binary", "intervals": {"method": "jackknife"}}), &table),
        (json!({"task": "binary"}), &weighted),
    ] {
        let report = run(&options, table);
        for metric in report.metrics.iter().filter(|it| matches!(it.role, MetricRole::Difference | MetricRole::Ratio)) {
            assert!(metric.interval.is_none_or(|it| it.low < it.high), "{options}: {metric:?}");
        }
        for name in ["roc_auc", "gini", "log_loss"] {
            let metric = find(&report, MetricRole::Difference, name, &[]).unwrap();
            assert!(metric.value == 0.0 && metric.interval.is_none(), "{options}: {metric:?}");
        }
    }
}

#[test]
fn a_model_differs_by_nothing_from_itself_with_confidence() {
    let (labels, scores) = classes(2000, 0.9, 3);
    let table = Table::default().labels(&labels).candidate(&scores, 3).baseline(&scores, 3);
    let options = json!({"task": "multiclass", "metrics": ["accuracy"]});
    let of = |report: &modelwatch_sdk::Report, role| {
        find(report, role, "accuracy", &[]).unwrap().interval.map(|it| (it.low, it.high))
    };
    let report = run_one_model(&options, &table);
    assert_eq!(of(&report, MetricRole::Difference), Some((0.0, 0.0)));
    assert_eq!(of(&report, MetricRole::Ratio), Some((1.0, 1.0)));
    // Of two models that answer alike on 2,000 rows, one may still be better.
    let report = run(&options, &table);
    let (low, high) = of(&report, MetricRole::Difference).unwrap();
    assert!((-0.01..-0.001).contains(&low) && (0.001..0.01).contains(&high), "{low} {high}");
    let (low, high) = of(&report, MetricRole::Ratio).unwrap();
    assert!((0.98..0.999).contains(&low) && (1.001..1.02).contains(&high), "{low} {high}");
    // One that answers itself otherwise is not what it was.
    let table = Table::default().labels(&labels).candidate(&scores, 3).baseline(&classes(2000, 0.8, 3).1, 3);
    let (low, high) = of(&run_one_model(&options, &table), MetricRole::Difference).unwrap();
    assert!(low < high, "{low} {high}");
}

#[test]
fn a_candidate_that_loses_every_row_is_an_error_though_nothing_varies() {
    let labels: Vec<i64> = (0..100).map(|it| it % 2).collect();
    let of = |right: bool| labels.iter().map(|&it| f64::from((it == 1) == right) * 0.8 + 0.1).collect::<Vec<_>>();
    let table = Table::default().labels(&labels).candidate(&of(false), 1).baseline(&of(true), 1);
    let weights = Arc::new(Float64Array::from(vec![2.0; 100]));
    let report = run(&json!({"task": "binary"}), &table.with("w", &[Use::Weight], weights));
    assert!(codes(&report).contains(&"MW-M005"), "{:?}", report.findings);
    assert_eq!(find(&report, MetricRole::Difference, "accuracy", &[]).unwrap().interval, None);
}

#[test]
fn equal_models_do_not_differ() {
    let report = run(&multiclass(), &digits("mlp", "e08", Some("e08")));
    let differences = report.metrics.iter().filter(|it| it.role == MetricRole::Difference);
    differences.for_each(|it| assert_eq!(it.value, 0.0, "{it:?}"));
    assert_eq!(find(&report, MetricRole::Candidate, "mcnemar_p", &[]).unwrap().value, 1.0);
    assert!(codes(&report).is_empty(), "{:?}", report.findings);
}

#[test]
fn only_the_wanted_metrics_are_reported() {
    let (labels, scores) = classes(60, 0.9, 3);
    let table = Table::default().labels(&labels).candidate(&scores, 3);
    let report = run(&json!({"task": "multiclass", "metrics": ["accuracy", "log_loss"]}), &table);
    let names: Vec<_> = report.metrics.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["accuracy", "log_loss"]);
}

#[test]
fn healthy_digits_have_no_error_and_bad_ones_have() {
    for kind in ["mlp", "cnn"] {
        for (tag, before) in [("e02", "e01"), ("e04", "e03"), ("e06", "e05"), ("e08", "e07")] {
            let report = run(&multiclass(), &digits(kind, tag, Some(before)));
            assert!(codes(&report).is_empty(), "{kind} {tag}: {:?}", report.findings);
        }
        for (tag, code) in [
            ("bad_diverged", "MW-M001"),
            ("bad_shuffled_labels", "MW-M002"),
            ("bad_class_order", "MW-M003"),
            ("bad_noise_first_layer", "MW-M005"),
            ("bad_overfit", "MW-M005"),
            ("bad_dead_relu", "MW-M006"),
        ] {
            let report = run(&multiclass(), &digits(kind, tag, Some("e08")));
            let found = report.findings.iter().find(|it| it.code == code);
            assert!(found.is_some_and(|it| it.severity == Severity::Error), "{kind} {tag}: {:?}", report.findings);
        }
    }
}

#[test]
fn the_permutation_of_classes_is_told() {
    let report = run(&multiclass(), &digits("mlp", "bad_class_order", None));
    let finding = report.findings.iter().find(|it| it.code == "MW-M003").unwrap();
    assert!(
        finding.message.contains("all classes are rotated by") && finding.message.contains("`0→"),
        "{}",
        finding.message
    );
    let labels: Vec<i64> = (0..100).map(|it| i64::from(it % 2 == 0)).collect();
    let inverted: Vec<f64> = labels.iter().map(|&it| 0.9 - 0.8 * it as f64).collect();
    let report = run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(&inverted, 1));
    assert_eq!(codes(&report)[0], "MW-M003");
}

#[test]
fn overconfidence_is_a_warning_and_calibrated_scores_are_not() {
    let labels: Vec<i64> = random(500, 9).iter().map(|&it| i64::from(it < 0.5)).collect();
    let right = random(500, 10);
    let of = |confidence: f64| {
        let score =
            |(&label, &it): (&i64, &f64)| if (it < 0.75) == (label == 1) { confidence } else { 1.0 - confidence };
        let scores: Vec<f64> = labels.iter().zip(&right).map(score).collect();
        run(&json!({"task": "binary"}), &Table::default().labels(&labels).candidate(&scores, 1))
    };
    assert!(codes(&of(0.75)).is_empty());
    let report = of(0.95);
    assert_eq!(codes(&report), ["MW-M004"]);
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

#[test]
fn a_bad_slice_is_a_warning() {
    let of = |bad: f64| {
        let (mut labels, mut scores) = classes(400, 0.95, 3);
        let (more, worse) = classes(100, bad, 8);
        labels.extend(more);
        scores.extend(worse);
        let hands: Vec<&str> = (0..500).map(|it| if it < 400 { "right" } else { "left" }).collect();
        run(&multiclass(), &Table::default().labels(&labels).candidate(&scores, 3).slice("hand", &hands))
    };
    assert!(codes(&of(0.95)).is_empty());
    let report = of(0.5);
    let finding = report.findings.iter().find(|it| it.code == "MW-M007").unwrap();
    assert_eq!((finding.place.as_str(), finding.severity), ("slice hand=left", Severity::Warning));
}

#[test]
fn regressions_have_the_same_findings() {
    let labels = random(200, 4);
    let near: Vec<f64> = labels.iter().zip(random(200, 5)).map(|(a, b)| a + b / 20.0 - 0.025).collect();
    let far: Vec<f64> = labels.iter().zip(random(200, 5)).map(|(a, b)| a + b / 4.0 - 0.125).collect();
    let options = json!({"task": "regression"});
    let of = |candidate: &[f64], baseline: &[f64]| {
        run(&options, &Table::default().numbers(&labels).candidate(candidate, 1).baseline(baseline, 1))
    };
    assert!(codes(&of(&near, &far)).is_empty());
    assert_eq!(codes(&of(&far, &near)), ["MW-M005"]);
    assert_eq!(codes(&of(&random(200, 77), &near))[0], "MW-M002");
    assert_eq!(codes(&of(&[0.5; 200], &near))[0], "MW-M006");
    let mut broken = near.clone();
    broken[3] = f64::INFINITY;
    assert_eq!(codes(&of(&broken, &near)), ["MW-M001"]);
    assert!(value(&of(&broken, &near), "mae", &[]).is_nan());
}

#[test]
fn one_class_and_rare_predictions_are_no_findings_by_themselves() {
    let report = run(&json!({"task": "binary"}), &Table::default().labels(&[1i64; 50]).candidate(&[0.9; 50], 1));
    assert!(value(&report, "roc_auc", &[]).is_nan());
    assert!(codes(&report).is_empty(), "{:?}", report.findings);
}

#[test]
fn figures_are_bounded() {
    let n_classes = 60;
    let labels: Vec<i64> = (0..300).map(|it| it % n_classes).collect();
    let scores: Vec<f64> = labels
        .iter()
        .flat_map(|&label| (0..n_classes).map(move |it| if it == label / 2 * 2 { 3.0 } else { 0.0 }))
        .collect();
    let report = run(&multiclass(), &Table::default().labels(&labels).candidate(&scores, n_classes as usize));
    assert!(matches!(&report.figures[0].data, FigureData::Table { rows, .. } if rows.len() == 20));
    let report = run(&json!({"task": "binary"}), &binary_table(60));
    let titles: Vec<_> = report.figures.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(titles, ["Confusion", "Reliability", "ROC curve", "Thresholds", "Slices"]);
}

#[test]
fn nothing_rests_on_values_beyond_those_that_have_slices() {
    const N: usize = 4500;
    let names: Vec<String> = (0..N).map(|it| format!("u{:03}", it % 150)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let labels: Vec<i64> = (0..N).map(|it| (it / 150 % 2) as i64).collect();
    // The rows of the last 50 values are all wrong.
    let score = |it: usize| if (labels[it] == 1) == (it % 150 < 100) { 0.9 } else { 0.1 };
    let scores: Vec<f64> = (0..N).map(score).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1).slice("user", &names);
    let options = json!({"task": "binary", "expect_slices": ["user=u149"]});
    let report = run(&options, &table);
    for name in ["accuracy", "recall", "log_loss", "roc_auc"] {
        let of_slices: Vec<_> =
            report.metrics.iter().filter(|it| it.name == name && it.labels.contains_key("slice")).collect();
        assert_eq!(of_slices.len(), 102, "{name}");
        let unfit: Vec<_> = of_slices.iter().filter(|it| it.unfit.is_some()).collect();
        assert!(unfit.len() == 1 && unfit[0].labels["slice"] == "user=(others)", "{name}: {unfit:?}");
        let worst = report.metrics.iter().find(|it| it.name == name && it.labels.contains_key("worst_slice"));
        assert!(worst.is_none_or(|it| it.unfit == unfit[0].unfit), "{name}: {worst:?}");
    }
    let rest = find(&report, MetricRole::Candidate, "accuracy", &[("slice", "user=(others)")]).unwrap();
    assert_eq!((rest.value, rest.n), (0.0, 49 * 30));
    let area = find(&report, MetricRole::Candidate, "roc_auc", &[("slice", "user=(others)")]).unwrap();
    assert_eq!((area.value, area.n), (0.0, 49 * 30));
    let why = rest.unfit.as_ref().unwrap();
    assert!(why.contains("1470 rows") && why.contains("`expect_slices`"), "{why}");
    let cut = run_cut(&options, &table.batch(), 5, 90);
    assert_eq!(serde_json::to_string(&cut).unwrap(), serde_json::to_string(&report).unwrap());
}

#[test]
fn slices_whose_rows_are_of_one_class_are_said_to_have_no_area() {
    let hands: Vec<&str> = (0..90).map(|it| ["left", "right", "none"][it / 30]).collect();
    let labels: Vec<i64> = (0..90).map(|it| if it < 30 { it % 2 } else { it / 60 }).collect();
    let table = Table::default().labels(&labels).candidate(&random(90, 1), 1).slice("hand", &hands);
    let report = run(&json!({"task": "binary"}), &table);
    let of = |slice: &str| value(&report, "roc_auc", &[("slice", slice)]);
    assert!(of("hand=left").is_finite() && of("hand=right").is_nan() && of("hand=none").is_nan());
    let gap = report.gaps.iter().find(|it| it.what == "roc_auc of the slices `hand=none`, `hand=right`").unwrap();
    assert_eq!(gap.why, "all of their rows are of one class");
    let report = run(&json!({"task": "binary", "metrics": ["accuracy"]}), &table);
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);

    // Rows of two of three classes have an area.
    let labels: Vec<i64> = (0..90).map(|it| if it < 60 { it % 2 + it / 30 } else { 2 }).collect();
    let table = Table::default().labels(&labels).candidate(&random(270, 1), 3).slice("hand", &hands);
    let report = run(&json!({"task": "multiclass", "scores": "logits", "metrics": ["roc_auc"]}), &table);
    assert!(value(&report, "roc_auc", &[("slice", "hand=right")]).is_finite());
    assert!(report.gaps.iter().any(|it| it.what == "roc_auc of the slice `hand=none`"), "{:?}", report.gaps);
}

#[test]
fn values_without_slices_are_counted_beyond_the_budget_too() {
    const N: usize = 110_000;
    // Those that come first in byte order come last.
    let names: Vec<String> = (0..N).map(|it| format!("u{:03}", 149 - it * 150 / N)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (labels, errors) = (random(N, 3), random(N, 4));
    let predicted: Vec<f64> = labels.iter().zip(&errors).map(|(a, b)| a + b).collect();
    let table = Table::default().numbers(&labels).candidate(&predicted, 1).slice("user", &names);
    let options = json!({"task": "regression", "metrics": ["mae"], "intervals": {"replicates": 0}});
    let is_rest = |it: usize| names[it] >= "u100";
    let n = (0..N).filter(|&it| is_rest(it)).count();
    let mae = (0..N).filter(|&it| is_rest(it)).map(|it| (predicted[it] - labels[it]).abs()).sum::<f64>() / n as f64;
    for report in [run(&options, &table), run_cut(&options, &table.batch(), 2, 11_000)] {
        let rest = find(&report, MetricRole::Candidate, "mae", &[("slice", "user=(others)")]).unwrap();
        assert!(rest.n == n as u64 && (rest.value - mae).abs() < 1e-9, "{rest:?}: {n}, {mae}");
    }
}

#[test]
fn a_column_without_values_has_no_slices_to_rest_on() {
    let labels: Vec<i64> = (0..120).map(|it| it % 2).collect();
    let scores: Vec<f64> = labels.iter().map(|it| if *it == 1 { 0.9 } else { 0.1 }).collect();
    let of = |writers: Vec<Option<&str>>| {
        let table = Table::default().labels(&labels).candidate(&scores, 1);
        let table = table.with("writer", &[Use::Slice], Arc::new(StringArray::from(writers)));
        let report = run(&json!({"task": "binary"}), &table);
        find(&report, MetricRole::Candidate, "accuracy", &[("slice", "writer=(missing)")]).map(|it| it.unfit.clone())
    };
    let why = of(vec![None; 120]).unwrap().unwrap();
    assert!(why.contains("no labeled row has a value in `writer`"), "{why}");
    let some = (0..120).map(|it| (it % 2 == 0).then_some("a")).collect();
    assert_eq!(of(some), Some(None));
}

#[test]
fn rows_without_a_value_are_a_slice() {
    let writers: Vec<Option<&str>> = (0..120).map(|it| [Some("a"), None, Some("(missing)")][it % 3]).collect();
    let ages: Vec<f64> = (0..120).map(|it| if it % 4 == 0 { f64::NAN } else { 20.0 }).collect();
    let labels: Vec<i64> = (0..120).map(|it| it / 3 % 2).collect();
    // Those without a value are wrong.
    let scores: Vec<f64> = (0..120).map(|it| if (labels[it] == 1) == (it % 3 != 1) { 0.9 } else { 0.1 }).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1);
    let table = table.with("writer", &[Use::Slice], Arc::new(StringArray::from(writers)));
    let table = table.with("age", &[Use::Slice], Arc::new(Float64Array::from(ages)));
    let report = run(
        &json!({"task": "binary", "slice_bins": {"age": [18]}, "cross_slices": [["writer", "age"]], "min_slice_size": 35}),
        &table,
    );
    let of = |name: &str| {
        let found = find(&report, MetricRole::Candidate, "accuracy", &[("slice", name)]);
        found.map(|it| (it.value, it.n, it.unfit.is_some()))
    };
    assert_eq!(of("writer=(missing)"), Some((0.0, 40, false)));
    assert_eq!(of("writer=\\(missing)"), Some((1.0, 40, false)));
    assert_eq!(of("age=(missing)").map(|it| it.1), Some(30));
    assert_eq!(of("writer=(missing),age=(missing)"), Some((0.0, 10, true)));
    let worst =
        report.metrics.iter().find(|it| it.name == "accuracy" && it.labels.contains_key("worst_slice")).unwrap();
    assert_eq!((worst.labels["worst_slice"].as_str(), worst.value), ("writer=(missing)", 0.0));
}

#[test]
fn slices_of_different_values_have_different_names() {
    let a: Vec<&str> = (0..200).map(|it| if it < 100 { "1,b=2" } else { "1" }).collect();
    let b: Vec<&str> = (0..200).map(|it| if it < 100 { "9\\" } else { "2" }).collect();
    let labels: Vec<i64> = (0..200).map(|it| it % 2).collect();
    let scores: Vec<f64> = (0..200).map(|it| if (labels[it] == 1) == (it < 100) { 0.9 } else { 0.1 }).collect();
    let table = Table::default().labels(&labels).candidate(&scores, 1).slice("a", &a).slice("b", &b);
    let report = run(&json!({"task": "binary", "cross_slices": [["a", "b"]]}), &table);
    let of =
        |name: &str| find(&report, MetricRole::Candidate, "accuracy", &[("slice", name)]).map(|it| (it.value, it.n));
    assert_eq!(of("a=1,b=2"), Some((0.0, 100)));
    assert_eq!(of("a=1\\,b=2"), Some((1.0, 100)));
    assert_eq!(of("a=1\\,b=2,b=9\\\\"), Some((1.0, 100)));
}

#[test]
fn probabilities_are_ranked_as_they_are() {
    // Added up in this order those of the second row are one less than 1 in the last place.
    let scores = [0.2, 0.1, 0.7, 0.2, 0.7, 0.1, 0.0, 0.5, 0.5];
    assert!(scores[3] / scores[3..6].iter().sum::<f64>() > scores[0]);
    let report = run(&multiclass(), &Table::default().labels(&[1_i64, 0, 2]).candidate(&scores, 3));
    // Two rows are tied.
    assert_eq!(value(&report, "average_precision", &[("class", "0")]), 0.5);
}

#[test]
fn scores_are_read_alike_in_all_rows() {
    let labels: Vec<i64> = (0..60).map(|it| it % 3).collect();
    let row = |it: usize| if it.is_multiple_of(4) { [1.3, 0.3, -0.7] } else { [0.2, 0.3, 0.5] };
    let table = |n: usize| {
        let scores: Vec<f64> = (0..n).flat_map(row).collect();
        Table::default().labels(&labels[..n]).candidate(&scores, 3)
    };
    let error = try_run(&multiclass(), &table(60)).unwrap_err();
    assert!(error.path == "/scores" && error.message.contains("15 of 60 rows"), "{error:?}");
    // Also where each partition could be read.
    let mut whole = open(&multiclass());
    for rows in [0..1, 1..4] {
        let mut probe = open(&multiclass());
        probe.update(&(), Role::Current, &table(60).batch().slice(rows.start, rows.len())).unwrap();
        whole.merge(&probe.state().unwrap()).unwrap();
    }
    assert_eq!(whole.evaluate(&()).unwrap_err().path, "/scores");
    for how in ["probabilities", "logits"] {
        run(&json!({"task": "multiclass", "scores": how}), &table(60));
    }
}

/// Scikit-learn 1.9 bounds probabilities by the distance from 1 to the next number of their type.
#[test]
fn log_losses_are_bounded_as_the_type_of_scores_asks() {
    let labels = [0_i64, 1, 1, 0];
    let scores = [1.0_f32, 1.0, 0.25, 0.0];
    let loss = |least: f64| -(least.ln() + (1.0 - least).ln() + 0.25_f64.ln() + (1.0 - least).ln()) / 4.0;
    let of = |scores: ArrayRef, options: &Value| {
        let table = Table::default().labels(&labels).with("candidate:out", &[Use::Candidate], scores);
        value(&run(options, &table), "log_loss", &[])
    };
    let binary = json!({"task": "binary"});
    let single: ArrayRef = Arc::new(Float32Array::from(scores.to_vec()));
    assert!((of(single.clone(), &binary) - loss(f32::EPSILON.into())).abs() < 1e-12);
    let double: ArrayRef = Arc::new(Float64Array::from_iter_values(scores.iter().map(|&it| f64::from(it))));
    assert!((of(double, &binary) - loss(f64::EPSILON)).abs() < 1e-12);
    let both = Float32Array::from_iter_values(scores.iter().flat_map(|&it| [1.0 - it, it]));
    let field = Arc::new(Field::new("item", DataType::Float32, true));
    let both = Arc::new(FixedSizeListArray::new(field, 2, Arc::new(both), None));
    assert!((of(both, &binary) - loss(f32::EPSILON.into())).abs() < 1e-12);
}

/// scikit-learn refuses scores that do not add up to 1, and knows no threshold for logits.
#[test]
fn scores_that_are_no_probabilities_are_a_finding() {
    let of = |options: Value, scores: &[f64], width: usize| {
        let labels: Vec<i32> = (0..scores.len() / width).map(|it| it as i32 % 2).collect();
        let report = run(&options, &Table::default().labels(&labels).candidate(scores, width));
        let found = report.findings.into_iter().find(|it| it.code == "MW-M011");
        found.map(|it| (it.severity, it.message))
    };
    let logits = [-2.0, 3.0, -0.4, 0.7];
    let error = (
        Severity::Error,
        "in 4 of 4 rows the scores of the candidate are no probabilities, and the threshold of 0.5 was held against them",
    );
    let shown = |(severity, message): (Severity, &str)| Some((severity, message.to_owned()));
    assert_eq!(of(json!({"task": "binary"}), &[-2.0, 3.0, -0.4, 1.7], 1), shown(error));
    for options in
        [json!({"task": "binary", "scores": "logits"}), json!({"task": "binary", "scores": "logits", "threshold": 0.9})]
    {
        assert_eq!(of(options, &logits, 1), None);
    }
    let of_ranks = of(json!({"task": "binary", "metrics": ["roc_auc"]}), &logits, 1);
    assert!(of_ranks.is_some_and(|it| it.0 == Severity::Warning));
    let classes = |extra: Value| {
        let mut res = json!({"task": "multiclass", "classes": ["0", "1", "2"]});
        res.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        res
    };
    // Each by a sigmoid of its own; those of the last row happen to add up.
    let sigmoids = [0.9, 0.8, 0.1, 0.2, 0.9, 0.4, 0.6, 0.3, 0.1];
    let scaled =
        (Severity::Warning, "in 2 of 3 rows the scores of the candidate do not add up to 1, and were scaled to");
    assert_eq!(of(classes(json!({})), &sigmoids, 3), shown(scaled));
    let improper = (
        Severity::Warning,
        "in 2 of 3 rows the scores of the candidate are no probabilities, so that `log_loss`, `brier` and `ece` are not a number",
    );
    assert_eq!(of(classes(json!({"scores": "probabilities"})), &sigmoids, 3), shown(improper));
    // As those of eight bits are.
    assert_eq!(of(classes(json!({})), &[0.996, 0.0, 0.0, 0.2, 0.4, 0.41], 3), None);
}
