//! Rows, labels, pairs of columns, and what leaks from the reference.

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch,
    arrow::array::{ArrayRef, TimestampSecondArray},
    report::{FigureData, Severity},
    rows::Use,
};
use serde_json::json;

use crate::common::{
    Random, alone, batch_of, codes, features, finding, floats, integers, of_column, overall, run, texts,
};

/// Rows of noise: two numbers that have nothing to do with the label.
fn noise(seed: u64, n: usize) -> RecordBatch {
    let mut random = Random(seed);
    let mut column = |_: u8| -> ArrayRef { floats((0..n).map(|_| random.normal()).collect::<Vec<_>>()) };
    let (a, b) = (column(0), column(1));
    let label = integers((0..n).map(|_| i64::from(random.uniform() < 0.5)).collect::<Vec<_>>());
    batch_of(vec![("a", &[Use::Feature], a), ("b", &[Use::Feature], b), ("y", &[Use::Label], label)])
}

#[test]
fn healthy_data_is_quiet() {
    let mut n_findings = 0;
    for seed in 0..40 {
        n_findings += codes(&run(json!({}), &noise(2 * seed, 800), &noise(2 * seed + 1, 300))).len();
    }
    // One in a hundred runs by the ranges of columns, and three standard errors.
    assert!(n_findings <= 2, "{n_findings} findings in 40 runs");
}

#[test]
fn repeated_rows_are_counted_by_features_and_label() {
    let table = |n_copies: i64| {
        let value = move |it: i64| if it < n_copies { 0 } else { it };
        batch_of(vec![
            ("id", &[Use::Id], integers(0..100)),
            ("x", &[Use::Feature], integers((0..100).map(value))),
            ("y", &[Use::Label], integers((0..100).map(|it| it % 2 * i64::from(it >= n_copies)))),
        ])
    };
    let report = alone(json!({}), &table(6));
    assert_eq!((overall(&report, "duplicate_rows"), codes(&report).len()), (Some(5.0), 0));
    let report = alone(json!({}), &table(7));
    assert_eq!(codes(&report), [("MW-Q030", "rows")]);
    assert_eq!(finding(&report, "MW-Q030").evidence["share"], json!(0.06));
}

#[test]
fn equal_columns_are_found_whatever_their_names_and_types() {
    let values: Vec<i64> = (0..60).map(|it| it * 37 % 50).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("copy", floats(values.iter().map(|it| *it as f64))),
        ("other", integers(values.iter().rev().copied())),
        ("x", integers(values.iter().copied())),
        ("zero", integers(vec![0; 60])),
        ("zero_too", integers(vec![0; 60])),
    ];
    let report = alone(json!({}), &features(columns.clone()));
    assert_eq!(finding(&report, "MW-Q031").evidence["columns"], json!(["copy", "x"]));
    assert_eq!(overall(&report, "duplicate_columns"), Some(1.0));
    let report = run(json!({ "limits": { "samples_mix": 1.0 } }), &features(columns.clone()), &features(columns));
    assert_eq!(finding(&report, "MW-Q031").severity, Severity::Info);
}

#[test]
fn labels_contradict_each_other() {
    let table = |labels: Vec<Option<&str>>| {
        let label: ArrayRef = Arc::new(modelwatch_sdk::arrow::array::StringArray::from(labels));
        batch_of(vec![("x", &[Use::Feature], integers((0..40).map(|it| it / 2))), ("y", &[Use::Label], label)])
    };
    let mut labels = [Some("a"), Some("a"), Some("b"), Some("b")].repeat(10);
    let quiet = json!({ "limits": { "duplicates": 1.0, "feature_label": 1.0 } });
    let report = alone(quiet.clone(), &table(labels.clone()));
    assert_eq!((codes(&report), overall(&report, "conflicting_label_share")), (vec![], Some(0.0)));
    // A row without a label contradicts none.
    labels[2] = None;
    labels[4] = Some("b");
    let report = alone(quiet, &table(labels));
    assert_eq!(overall(&report, "conflicting_label_share"), Some(0.05));
    assert_eq!(codes(&report), [("MW-Q032", "y")]);
}

#[test]
fn a_rare_class_is_imbalance() {
    let table = |n_rare: usize| {
        let label = texts((0..1000).map(|it| if it < n_rare { "rare" } else { "common" }));
        batch_of(vec![
            ("x", &[Use::Feature], floats((0..1000).map(|it| f64::from(it * 619 % 1000)))),
            ("y", &[Use::Label], label),
        ])
    };
    assert_eq!(codes(&alone(json!({}), &table(91))), []);
    let report = alone(json!({}), &table(90));
    assert_eq!(codes(&report), [("MW-Q033", "y")]);
    let share = report.metrics.iter().find(|it| it.labels.get("class").is_some_and(|it| it == "rare"));
    assert_eq!(share.map(|it| it.value), Some(0.09));
    let report = run(json!({ "limits": { "samples_mix": 1.0 } }), &table(90), &table(80));
    assert_eq!(codes(&report), []);
}

#[test]
fn what_the_reference_has_too_leaks() {
    let day = 86_400;
    let table = |from: i64, to: i64| {
        let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((from..to).map(|it| it * day)));
        batch_of(vec![
            ("at", &[Use::Timestamp], times),
            ("id", &[Use::Id], integers(from..to)),
            ("x", &[Use::Feature], integers(from..to)),
        ])
    };
    let leaks = ["MW-Q040", "MW-Q041", "MW-Q042"];
    let found = |from, to| {
        let report = run(json!({}), &table(0, 1000), &table(from, to));
        report.findings.into_iter().map(|it| it.code).filter(|it| leaks.contains(&it.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(found(1000, 1100), [] as [&str; 0]);
    // Identifiers and times are meant to be new, features are not.
    assert_eq!(codes(&run(json!({}), &table(0, 1000), &table(1000, 1100))), [("MW-Q020", "x")]);
    // One row of a hundred is no mix of samples, but an identifier and a time that were there before.
    assert_eq!(found(999, 1099), ["MW-Q041", "MW-Q042"]);
    assert_eq!(found(990, 1090), leaks);
    let report = run(json!({}), &table(0, 1000), &table(990, 1090));
    for name in ["samples_mix", "id_overlap", "time_overlap"] {
        assert_eq!(overall(&report, name), Some(0.1), "{name}");
    }
    assert!(
        finding(&report, "MW-Q042").message.contains("1972-09-26T00:00:00Z"),
        "{}",
        finding(&report, "MW-Q042").message
    );
}

#[test]
fn few_combinations_of_features_are_no_leak() {
    let table =
        || features(vec![("x", integers((0..500).map(|it| it % 4))), ("y", integers((0..500).map(|it| it % 3)))]);
    let report = run(json!({ "limits": { "duplicates": 1.0 } }), &table(), &table());
    assert_eq!(overall(&report, "samples_mix"), Some(1.0));
    // All of them are in the reference, as each row of the reference is there another time.
    assert_eq!(codes(&report), []);
    // Other features: no row can be the same, and it is said.
    let other = features(vec![("x", integers((0..500).map(|it| it % 4)))]);
    let report = run(json!({ "limits": { "duplicates": 1.0 } }), &table(), &other);
    assert!(report.gaps.iter().any(|it| it.what == "rows in both reference and current"));
}

/// Rows that are ordered by label, with a feature that nearly is the label.
fn ordered(n: usize, seed: u64, strength: f64) -> RecordBatch {
    let mut random = Random(seed);
    let label = |it: usize| it * 2 / n;
    let told: Vec<f64> = (0..n).map(|it| strength * label(it) as f64 + 0.1 * random.normal()).collect();
    let noise: Vec<f64> = (0..n).map(|_| random.normal()).collect();
    batch_of(vec![
        ("id", &[Use::Id], integers(0..n as i64)),
        ("noise", &[Use::Feature], floats(noise)),
        ("told", &[Use::Feature], floats(told)),
        ("y", &[Use::Label], texts((0..n).map(|it| ["no", "yes"][label(it)]))),
    ])
}

#[test]
fn identifiers_and_features_that_tell_the_label_are_found() {
    let report = alone(json!({}), &ordered(600, 1, 1.0));
    assert_eq!(codes(&report), [("MW-Q043", "id"), ("MW-Q044", "told")]);
    assert!(of_column(&report, "predictive_power", "told").unwrap() > 0.95);
    assert!(of_column(&report, "predictive_power", "noise").unwrap() < 0.2);
    // What told the label before and does not any more.
    let quiet = json!({ "limits": { "id_overlap": 1.0, "id_label": 1.0, "feature_label": 1.0 } });
    let report = run(quiet, &ordered(600, 1, 1.0), &ordered(600, 2, 0.0));
    assert_eq!(codes(&report), [("MW-Q046", "told")]);
}

#[test]
fn correlations_are_those_of_the_definitions() {
    let n = 300;
    let mut random = Random(5);
    let a: Vec<f64> = (0..n).map(|_| random.normal()).collect();
    let cube: Vec<f64> = a.iter().map(|it| it.powi(3)).collect();
    let group: Vec<_> = a.iter().map(|it| if *it < 0.0 { "low" } else { "high" }).collect();
    let table = batch_of(vec![
        ("a", &[Use::Feature], floats(a.clone())),
        ("cube", &[Use::Feature], floats(cube)),
        ("group", &[Use::Feature], texts(&group)),
        ("same", &[Use::Feature], texts(group.iter().map(|it| it.to_uppercase()))),
        ("y", &[Use::Label], floats(a.iter().map(|it| 2.0 * it + 1.0))),
    ]);
    let report = alone(json!({}), &table);
    let pairs: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.code == "MW-Q045")
        .map(|it| (it.place.as_str(), &it.evidence["other"]))
        .collect();
    assert_eq!(pairs, [("a", &json!("cube")), ("group", &json!("same"))]);
    assert!((of_column(&report, "label_pearson", "a").unwrap() - 1.0).abs() < 1e-12);
    assert!(of_column(&report, "label_pearson", "cube").unwrap() < 0.9);
    assert!((of_column(&report, "label_spearman", "cube").unwrap() - 1.0).abs() < 1e-12);
    assert!(of_column(&report, "label_correlation_ratio", "group").unwrap() > 0.7);
    let map = report.figures.iter().find_map(|it| match &it.data {
        FigureData::HeatMap { values, .. } => Some(values),
        _ => None,
    });
    let map = map.unwrap();
    assert!(map.iter().enumerate().all(|(row, it)| it.iter().enumerate().all(|(column, it)| *it == map[column][row])));
}

#[test]
fn identifiers_are_no_outliers() {
    let of = |uses: &'static [Use], from: i64| batch_of(vec![("x", uses, integers(from..from + 500))]);
    let report = |uses| run(json!({ "limits": { "outliers": 0.001 } }), &of(uses, 0), &of(uses, 9000));
    let has_outliers = |it: &modelwatch_sdk::Report| it.findings.iter().any(|it| it.code == "MW-Q027");
    assert!(has_outliers(&report(&[Use::Feature])) && !has_outliers(&report(&[Use::Id])));
}
