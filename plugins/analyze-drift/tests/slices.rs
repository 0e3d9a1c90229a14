//! Drift by slices, with and without chunks.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/timed.rs"]
mod timed;

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch, Role,
    arrow::array::{ArrayRef, Int64Array, StringArray},
    report::FigureData,
    rows::Use,
};
use serde_json::json;

use common::{batch_of, codes, features, finding, of_column, open, overall, run};
use timed::{DAY, Days, MONDAY, gap, labeled};

/// Rows of three regions, of which `south` moves by `shift`, and `east` has few.
fn regions(seed: u64, shift: f64) -> RecordBatch {
    let mut random = common::Random(seed);
    let names: Vec<Option<&str>> = (0..1215)
        .map(|row| match row {
            0..10 => Some("east"),
            10..15 => None,
            it if it % 2 == 0 => Some("north"),
            _ => Some("south"),
        })
        .collect();
    let moved = |it: &Option<&str>| if *it == Some("south") { shift } else { 0.0 };
    let x: Vec<f64> = names.iter().map(|it| random.normal() + moved(it)).collect();
    let y: Vec<f64> = names.iter().map(|_| random.normal()).collect();
    let float = |it: Vec<f64>| Arc::new(modelwatch_sdk::arrow::array::Float64Array::from(it)) as ArrayRef;
    batch_of(vec![
        ("x", &[Use::Feature], float(x)),
        ("y", &[Use::Feature], float(y)),
        ("region", &[Use::Slice], Arc::new(StringArray::from(names)) as ArrayRef),
    ])
}

#[test]
fn a_slice_that_moves_is_found_where_all_rows_hardly_do() {
    let config = json!({ "slices": ["region"], "predictions": false, "min_effect": { "ks": 0.2 } });
    let report = run(config, &regions(1, 0.0), &regions(2, 0.8));
    assert_eq!(codes(&report), [("MW-D001", "x[region=south]")]);
    let found = finding(&report, "MW-D001");
    assert!(found.message.starts_with("of slice `region=south`, column `x` is distributed"), "{}", found.message);
    assert_eq!(found.evidence["slice"], json!("region=south"));
    assert_eq!((overall(&report, "drifted_columns"), overall(&report, "drifted_slices")), (0.0, 1.0));
    assert_eq!((overall(&report, "slices"), overall(&report, "judged_slices")), (3.0, 2.0));
    assert_eq!(labeled(&report, "drifted_share", &[("slice", "region=south")]), Some(0.5));
    assert_eq!(labeled(&report, "drifted", &[("slice", "region=north"), ("column", "x")]), Some(0.0));
    assert!(labeled(&report, "psi", &[("slice", "region=south"), ("column", "x")]).unwrap() > 0.1);
    // A slice that is too small is not passed over in silence, nor are rows that are in none.
    assert_eq!(
        gap(&report, "slice `region=east`"),
        "it was not judged: it has 10 current rows, fewer than `min_slice_size`, 30"
    );
    assert_eq!(
        gap(&report, "slices of current rows by `region`"),
        "5 of 1215 current rows have no value, and are in no slice"
    );
    let FigureData::HeatMap { rows, columns, values, .. } = &report.figures[1].data else { panic!("no heat map") };
    assert_eq!((rows.len(), columns.len()), (2, 3));
    assert!(values[0][2] > 1.0 && values[0][1] < 1.0, "{values:?}");
}

#[test]
fn all_rows_are_compared_as_without_slices() {
    let (reference, current) = (regions(1, 0.0), regions(2, 0.4));
    let plain = run(json!({ "predictions": false }), &reference, &current);
    let sliced = run(json!({ "predictions": false, "slices": ["*"] }), &reference, &current);
    for name in ["effect", "psi", "jensen_shannon", "wasserstein", "ks_p_value", "missing_share_difference"] {
        assert_eq!(of_column(&sliced, name, "x"), of_column(&plain, name, "x"), "{name}");
    }
    // Only the correction knows of the slices.
    assert!(of_column(&sliced, "p_value", "x") >= of_column(&plain, "p_value", "x"));
}

#[test]
fn slices_that_one_role_lacks_are_said_to_be_there() {
    let few = regions(1, 0.0);
    let only = |region: &str| {
        let places: Vec<usize> = (15..1215).filter(|it| (it % 2 == 0) == (region == "north")).collect();
        modelwatch_sdk::rows::pick(&few, &places).unwrap()
    };
    let config = json!({ "predictions": false, "slices": ["*"] });
    let report = run(config, &only("north"), &only("south"));
    assert_eq!(
        gap(&report, "slice `region=north`"),
        "it was not judged: it has 0 current rows, fewer than `min_slice_size`, 30"
    );
    assert_eq!(gap(&report, "slice `region=south`"), "it was not judged: the reference has no rows of it");
}

#[test]
fn slices_have_chunks_too() {
    // Of the south alone, from the third day on.
    let rows = |seed: u64, first: i64, moved: bool| {
        let mean = move |_: usize, day: i64| if moved && day >= 2 { 1.5 } else { 0.0 };
        let days = |seed: u64, mean: &dyn Fn(usize, i64) -> f64| {
            Days { seed, first, n_days: 4, rows_a_day: 400, n_columns: 2, mean }.rows()
        };
        let (north, south) = (days(seed, &|_, _| 0.0), days(seed + 1, &mean));
        let of = |batch: &RecordBatch, odd: usize| {
            let places: Vec<usize> = (0..batch.num_rows()).filter(|it| it % 2 == odd).collect();
            modelwatch_sdk::rows::pick(batch, &places).unwrap()
        };
        [of(&north, 0), of(&south, 1)]
    };
    let config = json!({ "predictions": false, "slices": ["region"], "chunk": { "period": "day" }, "min_effect": { "ks": 0.4 } });
    let mut probe = open(config);
    rows(1, MONDAY - 4 * DAY, false).iter().for_each(|it| probe.update(&(), Role::Reference, it).unwrap());
    rows(5, MONDAY, true).iter().for_each(|it| probe.update(&(), Role::Current, it).unwrap());
    let report = probe.evaluate(&()).unwrap();
    assert_eq!(codes(&report), [("MW-D001", "x0[region=south]"), ("MW-D001", "x1[region=south]")]);
    let message = &report.findings[0].message;
    assert!(message.starts_with("of slice `region=south`, in 2 of 4 days (2026-03-04, 2026-03-05), "), "{message}");
    let labels = [("slice", "region=south"), ("chunk", "2026-03-04"), ("column", "x0")];
    assert_eq!(labeled(&report, "drifted", &labels), Some(1.0));
    assert_eq!(labeled(&report, "drifted_chunks", &[("slice", "region=south")]), Some(2.0));
    let titles: Vec<&str> = report.figures.iter().map(|it| it.title.as_str()).collect();
    assert!(titles.contains(&"Drift of slices over time"), "{titles:?}");
    for column in ["x0", "x1"] {
        let of_worst = format!("Drift of column `{column}` in region=south, 2026-03-0");
        assert!(titles.iter().any(|it| it.starts_with(&of_worst)), "{titles:?}");
    }
}

#[test]
fn a_column_that_is_no_slice_column_is_refused() {
    let config = json!({ "predictions": false, "slices": ["regoin"] });
    let error = open(config.clone()).update(&(), Role::Current, &regions(1, 0.0)).unwrap_err();
    assert_eq!((error.path.as_str(), error.help.as_str()), ("/slices/0", "the slice columns are `region`"));
    assert_eq!(error.message, "`regoin` is not a slice column of the data");
    let none = features(vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let error = open(config).update(&(), Role::Current, &none).unwrap_err();
    assert_eq!(error.help, "the data has no slice columns; list some in `data.columns.slices`");
}

#[test]
fn too_many_slices_are_an_error_before_any_is_kept() {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
    let rows = batch_of(vec![("id", &[Use::Feature, Use::Slice], ids)]);
    let config = json!({ "predictions": false, "slices": ["id"], "max_cells": 1000 });
    let error = open(config.clone()).update(&(), Role::Current, &rows).unwrap_err();
    assert_eq!(error.message, "the chunks and slices of one role have more than 1000 columns, all of which are kept");
    assert!(error.help.contains("`max_cells`"));
    // Also where each part had few enough.
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for start in [0, 800] {
        let mut probe = open(config.clone());
        probe.update(&(), Role::Current, &rows.slice(start, 800)).unwrap();
        parts.push(probe.state().unwrap());
    }
    let mut probe = open(config);
    probe.merge(&parts[0]).unwrap();
    assert_eq!(probe.merge(&parts[1]).unwrap_err().message, error.message);
}
