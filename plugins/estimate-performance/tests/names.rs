//! Columns of names, by which errors are learned, and what is said of names that nothing is known of.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch,
    arrow::array::{ArrayRef, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Random, batch, codes, numbers, overall, run};

/// The mean size of a normal number.
const MEAN_SIZE: f64 = 0.797_884_560_802_865_4;

fn regression() -> Value {
    json!({ "task": "regression", "prediction": "predicted", "metrics": ["mae"], "chunk": { "count": 5 } })
}

/// A row of each name, whose prediction is off by a normal number times that.
fn errors(seed: u64, names: &[String], size: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..names.len()).map(|it| size(it) * random.normal()).collect()
}

fn rows(names: &[String], errors: &[f64], weights: Option<Vec<f64>>) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let predicted = || (0..names.len()).map(|it| (it % 7) as f64);
    let labels = predicted().zip(errors).map(|(it, error)| it + error).collect::<Vec<_>>();
    let all = [
        ("name", Use::Feature, column),
        ("predicted", Use::Feature, numbers(predicted())),
        ("label", Use::Label, numbers(labels)),
    ];
    batch(all.into_iter().chain(weights.map(|it| ("w", Use::Weight, numbers(it)))).collect())
}

#[test]
fn names_that_the_reference_does_not_know_have_the_mean_error_and_are_told() {
    let size = |row: usize| 0.2 + 4.0 * ((row % 40) as f64 / 39.0).powi(2);
    let named = |what: &str| (0..6000).map(|it| format!("{what} {}", it % 40)).collect::<Vec<_>>();
    let (old, new) = (named("old"), named("new"));
    let reference = rows(&old, &errors(1, &old, size), None);
    let report = run(&regression(), &reference, &rows(&new, &errors(2, &new, size), None));
    let estimated = overall(&report, "estimated_mae").value;
    let truth = (0..40).map(size).sum::<f64>() / 40.0 * MEAN_SIZE;
    assert!((estimated / truth - 1.0).abs() < 0.2, "{estimated}, {truth}");
    let gap = report.gaps.iter().find(|it| it.what == "column `name`, in part").unwrap();
    assert!(gap.why.starts_with("6000 of 6000 current rows have a value that no reference row has"), "{gap:?}");
    let report = run(&regression(), &reference, &rows(&old, &errors(2, &old, size), None));
    assert_eq!((report.gaps.len(), overall(&report, "estimated_mae").n), (0, 6000));
}

#[test]
fn names_that_say_nothing_teach_no_row_its_own_error() {
    // Each of 150 names has 20 rows, and by chance some have the greater errors.
    let names: Vec<String> = (0..3000).map(|it| format!("name {}", it % 150)).collect();
    let known = errors(3, &names, |_| 1.0);
    let mut means: Vec<(f64, usize)> = (0..150)
        .map(|name| (known.iter().skip(name).step_by(150).map(|it| it.abs()).sum::<f64>() / 20.0, name))
        .collect();
    means.sort_by(|left, right| right.0.total_cmp(&left.0));
    assert!(means[29].0 > 1.1 * MEAN_SIZE, "{means:?}");
    let current: Vec<String> = (0..3000).map(|it| format!("name {}", means[it % 30].1)).collect();
    let report = run(&regression(), &rows(&names, &known, None), &rows(&current, &errors(4, &current, |_| 1.0), None));
    let [estimated, realized] = ["estimated_mae", "realized_mae"].map(|it| overall(&report, it).value);
    assert!((estimated / realized - 1.0).abs() < 0.08, "{estimated}, {realized}");
    assert_eq!(codes(&report), [("", ""); 0]);
}

#[test]
fn a_name_of_one_heavy_row_is_rare() {
    let names: Vec<String> = (0..3000).map(|it| if it < 30 { "few".to_owned() } else { "many".to_owned() }).collect();
    let errors = errors(5, &names, |_| 1.0);
    let of = |heavy: f64| {
        let weights = (0..3000).map(|it| if it == 0 { heavy } else { 1.0 }).collect();
        let rows = rows(&names, &errors, Some(weights));
        let gaps = run(&regression(), &rows, &rows).gaps;
        gaps.into_iter().filter(|it| it.what == "column `name`, in part").map(|it| it.why).collect::<Vec<_>>()
    };
    assert!(of(1.0).is_empty());
    let rare = of(100.0);
    assert!(rare.len() == 1 && rare[0].starts_with("30 of 3000 labeled reference rows"), "{rare:?}");
}
