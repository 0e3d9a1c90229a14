//! Rows by chunks of time and slices.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Kind, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, TimestampSecondArray},
    report::{FigureData, Labels, Status},
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::json;

use common::{Random, batch_of, codes, floats, gap, names, open, run};

const DAY: i64 = 86_400;

/// 2026-03-02, a Monday.
const MONDAY: i64 = 20_514 * DAY;

/// Days of 100 rows of two columns that go together as `sign` says of a day and a region, and few rows of `east`.
fn days(seed: u64, n_days: i64, sign: impl Fn(i64, &str) -> f64) -> RecordBatch {
    let mut random = Random(seed << 32);
    let (mut x, mut y, mut regions, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..n_days * 100 {
        let region = match row {
            0..5 => "east",
            it if it % 2 == 0 => "north",
            _ => "south",
        };
        let left = random.normal();
        x.push(left);
        y.push(sign(row / 100, region) * left + 0.5 * random.normal());
        regions.push(region);
        times.push(MONDAY + row * DAY / 100);
    }
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(times));
    batch_of(vec![
        ("x", Use::Feature, floats(x)),
        ("y", Use::Feature, floats(y)),
        ("region", Use::Slice, names(regions)),
        ("at", Use::Timestamp, times),
    ])
}

fn labeled(report: &Report, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Labels = labels.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    report.metrics.iter().find(|it| it.name == name && it.labels == wanted).map(|it| it.value)
}

#[test]
fn a_slice_whose_columns_no_longer_go_together_is_found() {
    let usual = days(1, 4, |_, _| 1.0);
    let current = days(2, 4, |_, region| if region == "south" { -1.0 } else { 1.0 });
    let report = run(&json!({ "slices": ["region"] }), &usual, &current);
    let found = codes(&report);
    assert!(found.contains(&("MW-J001", "features[region=south]")), "{found:?}");
    assert!(!found.iter().any(|it| it.1.contains("north")), "{found:?}");
    assert_eq!(labeled(&report, "drifted", &[("question", "features"), ("slice", "region=north")]), Some(0.0));
    let map = report.figures.iter().find(|it| it.title == "Drift of rows by slice").unwrap();
    let FigureData::HeatMap { columns, .. } = &map.data else { panic!() };
    assert_eq!(columns, &["region=north", "region=south"]);
    assert_eq!(labeled(&report, "slices", &[]), Some(3.0));
    assert_eq!(labeled(&report, "judged_slices", &[]), Some(2.0));
    assert_eq!(
        gap(&report, "slice `region=east`"),
        "it was not judged: it has 5 current rows, fewer than `min_slice_size`, 30"
    );
}

#[test]
fn slices_none_of_which_could_be_judged_have_not_passed() {
    let rows = days(1, 4, |_, _| 1.0);
    let report = run(&json!({ "slices": ["region"], "min_slice_size": 1000 }), &rows, &rows);
    assert_eq!(labeled(&report, "judged_slices", &[]), Some(0.0));
    assert!(report.checks.iter().any(|it| it.metric == "judged_slices" && it.status == Status::NotChecked));
}

#[test]
fn a_day_that_differs_is_found_by_its_date() {
    let current = days(2, 5, |day, _| if day == 3 { -1.0 } else { 1.0 });
    let report = run(&json!({ "chunk": { "period": "day" } }), &days(1, 4, |_, _| 1.0), &current);
    assert_eq!(codes(&report), [("MW-J001", "features")]);
    let found = &report.findings[0];
    assert!(found.message.starts_with("in 1 of 5 days (2026-03-05), "), "{}", found.message);
    let map = report.figures.iter().find(|it| it.title == "Drift of rows over time").unwrap();
    let FigureData::HeatMap { columns, values, .. } = &map.data else { panic!() };
    assert_eq!((columns.len(), values.len()), (5, 1));
    // As powers of ten, so that drift is what is large.
    assert!(values[0][3] >= 2.0 && values[0][2] < 2.0, "{values:?}");
}

#[test]
fn all_questions_of_all_chunks_are_one_family() {
    let (usual, current) = (days(1, 2, |_, _| 1.0), days(2, 5, |_, _| 1.0));
    // With as many dealings as there are at most, five questions cannot be answered to 1 in 10,000.
    let report = run(&json!({ "chunk": { "period": "day" }, "permutations": 99, "alpha": 1e-4 }), &usual, &current);
    let why = gap(&report, "all rows");
    assert!(why.contains("0 questions can be answered to `alpha`, 0.0001") && why.starts_with("5 of 5 days"), "{why}");
    let unchecked: Vec<_> = report.checks.iter().map(|it| it.metric.as_str()).collect();
    assert_eq!(unchecked, ["judged_chunks", "answered_questions"]);
    assert!(codes(&report).is_empty());
}

#[test]
fn many_questions_take_more_dealings() {
    let config = json!({ "chunk": { "period": "day" }, "permutations": 99, "tests": ["correlation"] });
    let current = days(2, 12, |day, _| if day == 7 { -1.0 } else { 1.0 });
    let report = run(&config, &days(1, 4, |_, _| 1.0), &current);
    assert_eq!(codes(&report), [("MW-J001", "features")]);
    assert_eq!((report.checks.len(), labeled(&report, "judged_chunks", &[])), (0, Some(12.0)));
}

#[test]
fn questions_of_slices_do_not_silence_those_of_all_rows() {
    let (usual, current) = (days(1, 1, |_, _| 1.0), days(2, 1, |_, _| -1.0));
    // Two questions can be answered to it.
    let config = json!({ "slices": ["region"], "alpha": 2.1e-4, "tests": ["correlation"] });
    let report = run(&config, &usual, &current);
    assert_eq!(codes(&report), [("MW-J001", "features"), ("MW-J001", "features[region=north]")]);
    assert!(gap(&report, "slice `region=south`").contains("2 questions can be answered to `alpha`"));
    assert_eq!(labeled(&report, "judged_slices", &[]), Some(1.0));
}

#[test]
fn the_samples_of_all_parts_have_a_bound_in_bytes() {
    let rows = days(1, 4, |_, _| 1.0);
    let compared = |most: u64| {
        let report = run(&json!({ "slices": ["region"], "max_cells": most }), &rows, &rows);
        labeled(&report, "compared_rows", &[("data", "current")])
    };
    assert_eq!(compared(1000), Some(400.0));
    // Each has 5 KiB.
    let few = compared(200_000).unwrap();
    assert!((20.0..400.0).contains(&few), "{few}");
}

#[test]
fn only_the_columns_that_are_compared_count() {
    let rows = days(1, 4, |_, _| 1.0);
    let is_kept = |columns: &[&str], most: u64, n_batches: usize| {
        let mut probe = open(&json!({ "columns": columns, "slices": ["region"], "max_cells": most }));
        let size = rows.num_rows() / n_batches;
        (0..n_batches).all(|it| probe.update(&(), Role::Current, &rows.slice(it * size, size)).is_ok())
    };
    // All rows and three regions, of one column each.
    for n_batches in [1, 4] {
        assert!(is_kept(&["x"], 4, n_batches) && !is_kept(&["x"], 3, n_batches));
        // Times are not compared, and a cell takes its place all the same.
        assert!(is_kept(&["at"], 4, n_batches) && !is_kept(&["at"], 3, n_batches));
    }
}

#[test]
fn rows_that_are_not_cut_may_have_any_number_of_columns() {
    let mut probe = open(&json!({ "max_cells": 1 }));
    probe.update(&(), Role::Current, &days(1, 4, |_, _| 1.0)).unwrap();
    let state = probe.state().unwrap();
    probe.merge(&state).unwrap();
}

#[test]
fn the_analyzer_keeps_its_promises_with_parts() {
    let config = json!({
        "permutations": 99, "alpha": 0.5, "slices": ["region"], "chunk": { "period": "day" },
        "reference_window": "rolling", "min_chunk_rows": 20,
    });
    let registry = analyze_multivariate::registry();
    let rows = vec![(Role::Current, days(2, 3, |day, _| if day == 2 { -1.0 } else { 1.0 }))];
    assert!(open(&config).needs().reference.unwrap().optional);
    testing::probe(&ProbeCase {
        open: &|| registry.open_probe(Kind::Analyzer, "multivariate", &config),
        rows,
        tensors: Vec::new(),
        codes: registry.manifest().codes(Kind::Analyzer, "multivariate"),
    });
}
