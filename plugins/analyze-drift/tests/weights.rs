//! Rows that count by their weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Need, RecordBatch, Report, Role,
    arrow::array::{Array, ArrayRef, Float64Array, StringArray},
    rows::Use,
};
use serde_json::json;

use common::{Random, batch_of, codes, of_column, open, run};

/// A row: its number, its name and its weight.
type Row = (f64, &'static str, f64);

fn batch(rows: &[Row]) -> RecordBatch {
    let mut columns = columns(rows);
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|it| it.2)));
    columns.push(("w", &[Use::Weight], weights));
    batch_of(columns)
}

fn without_weights(rows: &[Row]) -> RecordBatch {
    batch_of(columns(rows))
}

fn columns(rows: &[Row]) -> Vec<(&'static str, &'static [Use], ArrayRef)> {
    let numbers: ArrayRef =
        Arc::new(Float64Array::from_iter(rows.iter().map(|it| Some(it.0).filter(|it| !it.is_nan()))));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|it| it.1)));
    vec![("x", &[Use::Feature], numbers), ("name", &[Use::Feature], names)]
}

fn name(random: &mut Random) -> &'static str {
    ["a", "b", "c", "d"][(random.uniform() * 4.0) as usize]
}

/// Rows of which those above 0 and those named `a` were drawn four times as seldom, and weigh four times as much.
fn thinned(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed);
    let mut res = Vec::new();
    while res.len() < n {
        let (x, name) = (random.normal(), name(&mut random));
        let weight = if x > 0.0 { 4.0 } else { 1.0 } * if name == "a" { 4.0 } else { 1.0 };
        if random.uniform() < 1.0 / weight {
            res.push((x, name, weight));
        }
    }
    res
}

fn plain(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed);
    (0..n).map(|_| (random.normal(), name(&mut random), 1.0)).collect()
}

fn metric(report: &Report, name: &str, data: &str) -> Option<f64> {
    report
        .metrics
        .iter()
        .find(|it| it.name == name && it.labels.get("data").is_some_and(|it| it == data))
        .map(|it| it.value)
}

#[test]
fn weights_make_up_for_how_rows_were_drawn() {
    let (reference, current) = (without_weights(&plain(1, 4000)), thinned(2, 4000));
    let alike = run(json!({}), &reference, &without_weights(&current));
    assert_eq!(codes(&alike), [("MW-D001", "name"), ("MW-D001", "x")]);
    let report = run(json!({}), &reference, &batch(&current));
    assert_eq!(codes(&report), []);
    let [x, name] = ["x", "name"].map(|it| of_column(&report, "effect", it).unwrap());
    assert!(x < 0.06 && name < 0.06, "{x} {name}");
    // Of these weights, 4,000 rows are worth fewer: (Σw)² / Σw².
    let (sum, squares) = current.iter().fold((0.0, 0.0), |it, row| (it.0 + row.2, it.1 + row.2 * row.2));
    let size = metric(&report, "effective_rows", "current").unwrap();
    assert!((size - sum * sum / squares).abs() < 1e-3, "{size}");
    assert_eq!(metric(&report, "effective_rows", "reference"), None);
    assert!(report.gaps.iter().any(|it| it.what == "row weights of the reference rows"), "{:?}", report.gaps);
}

#[test]
fn equal_weights_change_nothing() {
    let (reference, mut current) = (plain(1, 500), plain(2, 4000));
    current.iter_mut().take(30).for_each(|it| it.0 = f64::NAN);
    let expected = run(json!({}), &without_weights(&reference), &without_weights(&current));
    let weigh = |rows: &[Row], weight: f64| batch(&rows.iter().map(|it| (it.0, it.1, weight)).collect::<Vec<_>>());
    for (left, right) in [(1.0, 1.0), (0.1, 3.0), (1000.0, 0.001), (2.2, 0.7), (0.000_248, 1.0 / 3000.0)] {
        let mut report = run(json!({}), &weigh(&reference, left), &weigh(&current, right));
        let size = |data: &str| metric(&report, "effective_rows", data).unwrap();
        assert_eq!((size("reference"), size("current")), (500.0, 4000.0), "{left} {right}");
        report.metrics.retain(|it| it.name != "effective_rows");
        let values = |it: &Report| {
            it.metrics.iter().map(|it| (it.name.clone(), format!("{:.9e}", it.value), it.n)).collect::<Vec<_>>()
        };
        // Sums of shares round otherwise in the last digits.
        let rounded = |name: &str| name.starts_with("missing_share");
        let [found, expected_values] =
            [&report, &expected].map(|it| values(it).into_iter().filter(|it| !rounded(&it.0)).collect::<Vec<_>>());
        assert_eq!(found, expected_values, "{left} {right}");
        assert_eq!(codes(&report), codes(&expected));
    }
}

#[test]
fn a_shift_of_weights_alone_is_drift() {
    let reference = plain(1, 3000);
    let mut current = plain(2, 3000);
    current.iter_mut().for_each(|it| it.2 = if it.0 > 0.5 { 3.0 } else { 1.0 });
    let report = run(json!({}), &batch(&reference), &batch(&current));
    assert_eq!(codes(&report), [("MW-D001", "x")]);
    // Missing values are weighed like others.
    let mut current = plain(2, 3000);
    current.iter_mut().take(30).for_each(|it| (it.0, it.2) = (f64::NAN, 30.0));
    let report = run(json!({}), &batch(&reference), &batch(&current));
    let share = of_column(&report, "missing_share_difference", "x").unwrap();
    assert!((share - 900.0 / (900.0 + 2970.0)).abs() < 1e-6, "{share}");
}

#[test]
fn a_few_heavy_rows_are_not_taken_for_many() {
    let mut current = plain(2, 500);
    current.iter_mut().take(3).for_each(|it| (it.0, it.2) = (3.0, 200.0));
    let report = run(json!({}), &without_weights(&plain(1, 500)), &batch(&current));
    assert_eq!(codes(&report), []);
    let gap = report.gaps.iter().find(|it| it.what == "column `x`").unwrap();
    assert!(gap.why.starts_with("by their weights the current rows are worth 9 that count alike"), "{}", gap.why);
}

#[test]
fn rows_of_weight_zero_are_not_there() {
    let (reference, current) = (plain(1, 400), plain(2, 300));
    let hidden = (0..200).map(|it| (50.0 + f64::from(it), "z", 0.0));
    let of = |rows: Vec<Row>| run(json!({}), &batch(&reference), &batch(&rows));
    assert_eq!(of(current.iter().copied().chain(hidden).collect()), of(current.clone()));
}

#[test]
fn methods_that_know_no_weights_have_no_answer() {
    let rows = batch(&plain(1, 100));
    let report = run(json!({ "method": "evidently:ks" }), &rows, &rows);
    let gap = report.gaps.iter().find(|it| it.what == "column `x`").unwrap();
    assert!(gap.why.contains("knows no weights"), "{}", gap.why);
}

#[test]
fn parts_in_any_order_are_the_same_bytes_as_the_whole() {
    let mut random = Random(5);
    let rows: Vec<Row> =
        (0..900).map(|_| (random.normal(), name(&mut random), random.uniform() * 10.0 + 0.001)).collect();
    for config in [json!({ "budget": 100 }), json!({ "budget": 100, "slices": ["name"] })] {
        let of = |rows: &[Row]| {
            let mut probe = open(config.clone());
            let mut columns = columns(rows);
            columns[1].1 = &[Use::Feature, Use::Slice];
            let weights: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|it| it.2)));
            columns.push(("w", &[Use::Weight], weights));
            probe.update(&(), Role::Current, &batch_of(columns)).unwrap();
            probe.state().unwrap()
        };
        let whole = of(&rows);
        let parts: Vec<_> = rows.chunks(170).map(of).collect();
        for order in [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]] {
            let mut probe = open(config.clone());
            order.iter().for_each(|it| probe.merge(&parts[*it]).unwrap());
            assert_eq!(probe.state().unwrap(), whole);
        }
        for len in (0..whole.len()).step_by(97) {
            assert!(open(config.clone()).merge(&whole[..len]).is_err());
        }
    }
}

#[test]
fn a_row_without_a_weight_is_not_there() {
    let rows =
        |it: f64| (0..300).map(|row| (f64::from(row), "a", if row % 9 == 0 { it } else { 2.0 })).collect::<Vec<_>>();
    let of = |it: f64| run(json!({}), &batch(&rows(1.0)), &batch(&rows(it)));
    assert_eq!(of(f64::NAN), of(0.0));
    assert_ne!(of(f64::NAN), of(1.0));
}

#[test]
fn what_is_no_weight_is_refused() {
    for weight in [-1.0, f64::INFINITY, 1e-90, 1e9] {
        let mut rows = plain(1, 5);
        rows[2].2 = weight;
        let error = open(json!({})).update(&(), Role::Current, &batch(&rows)).unwrap_err();
        assert!(error.to_string().contains("`w`"), "{error}");
    }
    let mut probe = open(json!({}));
    probe.update(&(), Role::Current, &batch(&plain(1, 5))).unwrap();
    let error = probe.update(&(), Role::Current, &without_weights(&plain(1, 5))).unwrap_err();
    assert!(error.to_string().contains("some rows have weights, and others"), "{error}");
}

#[test]
fn light_rows_end_nothing_and_weights_of_another_scale_are_refused() {
    let weighed = |seed: u64, scale: f64| {
        let mut random = Random(seed);
        let rows = plain(seed + 9, 4000).into_iter();
        batch(&rows.map(|it| (it.0, it.1, random.uniform() * scale)).collect::<Vec<_>>())
    };
    let report = run(json!({}), &weighed(1, 2.0), &weighed(2, 2.0));
    assert_eq!(codes(&report), []);
    assert!(metric(&report, "effective_rows", "current").unwrap() > 2900.0);
    let mut probe = open(json!({}));
    probe.update(&(), Role::Reference, &weighed(1, 2.0)).unwrap();
    probe.update(&(), Role::Current, &weighed(2, 1e-4)).unwrap();
    let error = probe.evaluate(&()).unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.help.as_str()),
        (
            "the weights of the current rows are below 1/4096 on average, to which they are rounded",
            "divide all weights by their mean, or count each row once with `weights = false`"
        )
    );
}

#[test]
fn weights_that_cannot_be_added_up_are_refused_however_rows_are_cut() {
    let advice = "too great to be added up";
    let rows: Vec<Row> = (0..4000).map(|it| (f64::from(it), "a", 60_000.0)).collect();
    let mut whole = open(json!({}));
    let error = whole.update(&(), Role::Current, &batch(&rows)).unwrap_err();
    assert!(error.to_string().contains(advice), "{error}");
    let states: Vec<_> = rows
        .chunks(rows.len() / 100)
        .map(|it| {
            let mut probe = open(json!({}));
            probe.update(&(), Role::Current, &batch(it)).unwrap();
            probe.state().unwrap()
        })
        .collect();
    let mut merged = open(json!({}));
    let error = states.iter().find_map(|it| merged.merge(it).err()).unwrap();
    assert!(error.to_string().contains(advice), "{error}");
    // Such weights are fine as long as they are few.
    let mut few = open(json!({}));
    few.merge(&states[0]).unwrap();
}

#[test]
fn distances_are_those_of_the_weighted_shares() {
    // Both roles are 98 % `a` and 0, the current rows by the weights of very few of them.
    let of = |a: (u32, f64), b: (u32, f64)| -> Vec<Row> {
        let rows = |(n, weight): (u32, f64), it: (f64, &'static str)| (0..n).map(move |_| (it.0, it.1, weight));
        rows(a, (0.0, "a")).chain(rows(b, (1.0, "b"))).collect()
    };
    let (reference, current) = (of((980, 1.0), (20, 1.0)), of((30, 49.0), (30, 1.0)));
    let report = run(json!({}), &without_weights(&reference), &batch(&current));
    for column in ["x", "name"] {
        for distance in ["psi", "jensen_shannon", "effect"] {
            let found = of_column(&report, distance, column).unwrap();
            assert!(found.abs() < 1e-9, "{distance} of {column}: {found}");
        }
    }
    for distance in ["wasserstein", "ks_statistic"] {
        assert!(of_column(&report, distance, "x").unwrap().abs() < 1e-9, "{distance}");
    }
    assert_eq!(codes(&report), []);
    // What is tested are whole rows, as many as they are worth; what is told are the weighted shares: 0.6 of the current rows are 1.
    let current = of((70, 1.0), (35, 3.0));
    for method in ["auto", "total-variation", "wasserstein"] {
        let report = run(json!({ "method": method }), &without_weights(&reference), &batch(&current));
        let unit = if method == "wasserstein" { 0.14 } else { 1.0 };
        for column in if method == "wasserstein" { vec!["x"] } else { vec!["x", "name"] } {
            let metric =
                report.metrics.iter().find(|it| it.name == "effect" && it.labels.values().any(|it| it == column));
            let metric = metric.unwrap();
            assert!((metric.value * unit - 0.58).abs() < 1e-9, "{method}, {column}: {metric:?}");
            let interval = metric.interval.as_ref().unwrap();
            assert!(interval.low < metric.value - 0.05 && metric.value + 0.05 < interval.high, "{method}: {metric:?}");
        }
    }
}

#[test]
fn weights_can_be_left_alone() {
    let (reference, current) = (plain(1, 400), thinned(2, 400));
    let config = json!({ "weights": false });
    let report = run(config.clone(), &batch(&reference), &batch(&current));
    assert_eq!(report, run(json!({}), &without_weights(&reference), &without_weights(&current)));
    let needs = open(config).needs();
    assert_eq!(needs.current.unwrap().weight, Need::No);
    assert_eq!(needs.reference.unwrap().weight, Need::No);
}

/// How rows without drift are weighed.
type Scheme = (&'static str, fn(&mut Random, &Row) -> f64);

const SCHEMES: [Scheme; 4] = [
    ("heavy-tailed, of no meaning", |random, _| random.normal().exp().clamp(0.001, 1000.0)),
    ("by the number", |_, row| if row.0 > 1.0 { 8.0 } else { 1.0 }),
    ("by the name", |_, row| if row.1 == "d" { 10.0 } else { 1.0 }),
    ("by a steep slope", |_, row| (1.5 * row.0).exp().clamp(0.001, 1000.0)),
];

#[test]
fn a_run_keeps_its_budget_whatever_the_weights_are() {
    const RUNS: u64 = 150;
    let alpha = 0.05;
    for (scheme, weigh) in SCHEMES {
        for sizes in [(1000, 1000), (5000, 300)] {
            let mut alarms = 0u32;
            for run_of in 0..RUNS {
                let mut random = Random(run_of * 7919 + sizes.1 as u64);
                let mut side = |n: usize| {
                    let rows: Vec<Row> = (0..n)
                        .map(|_| {
                            let rare = random.uniform() < 0.02;
                            (
                                random.normal(),
                                if rare { "d" } else { ["a", "b", "c"][(random.uniform() * 3.0) as usize] },
                                1.0,
                            )
                        })
                        .collect();
                    batch(&rows.iter().map(|it| (it.0, it.1, weigh(&mut random, it))).collect::<Vec<_>>())
                };
                let (reference, current) = (side(sizes.0), side(sizes.1));
                assert_eq!((reference.num_rows(), reference.column(0).null_count()), (sizes.0, 0));
                let config = json!({ "alpha": alpha, "min_effect": { "ks": 0.0, "chi2": 0.0, "missing": 0.0 } });
                alarms += u32::from(!codes(&run(config, &reference, &current)).is_empty());
            }
            let n = RUNS as f64;
            let most = alpha * n + 3.0 * (n * alpha * (1.0 - alpha)).sqrt();
            assert!(f64::from(alarms) <= most, "{scheme}, {sizes:?}: {alarms} of {RUNS}");
        }
    }
}

#[test]
fn a_gap_names_the_categories_that_share_a_cell() {
    let rows = |counts: [(&'static str, usize); 4]| -> Vec<Row> {
        let row = |name: &'static str, it: usize| (it as f64, name, if it.is_multiple_of(2) { 0.5 } else { 1.5 });
        counts.into_iter().flat_map(|(name, n)| (0..n).map(move |it| row(name, it))).collect()
    };
    let (before, now) =
        (rows([("a", 600), ("b", 400), ("c", 2), ("d", 0)]), rows([("a", 60), ("b", 38), ("c", 0), ("d", 2)]));
    let gaps = |report: Report| -> Vec<(String, String)> {
        let gaps = report.gaps.into_iter().filter(|it| it.what.contains("rare categories"));
        gaps.map(|it| (it.what, it.why)).collect()
    };
    for method in ["chi2", "g"] {
        let config = json!({ "methods": { "name": method } });
        let found = gaps(run(config.clone(), &batch(&before), &batch(&now)));
        assert_eq!(found.len(), 1, "{method}");
        assert!(found[0].0 == "column `name`, rare categories" && found[0].1.ends_with("`b`, `c`, `d`"), "{found:?}");
        assert_eq!(gaps(run(config, &without_weights(&before), &without_weights(&now))), []);
    }
}
