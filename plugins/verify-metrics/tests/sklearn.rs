//! The metrics are those of scikit-learn on its own cases.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs::File, sync::Arc};

use modelwatch_sdk::{
    arrow::array::{Array, ArrayRef},
    rows::{Use, numbers, texts},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use common::{Table, fixture, run, scored, value};

/// Name and labels of a metric here, and its name there.
type Pair = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const FOLDER: &str = "conformance/predictions";

fn column(case: &str, name: &str) -> Option<ArrayRef> {
    let file = File::open(fixture(&format!("{FOLDER}/{case}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    let batch = reader.map(Result::unwrap).next().unwrap();
    batch.column_by_name(name).cloned()
}

fn expected() -> Value {
    serde_json::from_reader(File::open(fixture(&format!("{FOLDER}/expected.sklearn.json"))).unwrap()).unwrap()
}

/// Compares the metrics of a case.
fn check(case: &str, options: &Value, table: &Table, pairs: &[Pair]) {
    let (report, expected) = (run(options, table), expected());
    for (name, labels, theirs) in pairs {
        let got = value(&report, name, labels);
        let want = match &expected[case][theirs] {
            Value::Number(it) => it.as_f64().unwrap(),
            _ => f64::NAN,
        };
        let is_close = (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-9 * want.abs() + 1e-12;
        assert!(is_close, "{case}: {name} {labels:?} is {got}, scikit-learn's {theirs} is {want}");
    }
}

const BINARY: [Pair; 12] = [
    ("accuracy", &[], "accuracy"),
    ("balanced_accuracy", &[], "balanced_accuracy"),
    ("precision", &[], "precision_binary"),
    ("recall", &[], "recall_binary"),
    ("f1", &[], "f1_binary"),
    ("mcc", &[], "mcc"),
    ("cohen_kappa", &[], "cohen_kappa"),
    ("roc_auc", &[], "roc_auc"),
    ("average_precision", &[], "average_precision"),
    ("log_loss", &[], "log_loss_labels01"),
    ("brier", &[], "brier"),
    ("ece", &[], "ece_width_15"),
];

fn binary(case: &str) -> (Value, Table) {
    let labels = column(case, "y_true").unwrap();
    let is_signed = texts(labels.as_ref()).unwrap().iter().flatten().any(|it| it == "-1");
    let classes = if is_signed { json!(["-1", "1"]) } else { json!(["0", "1"]) };
    let table = Table::default().with("y", &[Use::Label], labels).with(
        "candidate:p",
        &[Use::Candidate],
        column(case, "y_score").unwrap(),
    );
    (json!({"task": "binary", "classes": classes, "intervals": {"replicates": 0}}), table)
}

#[test]
fn binary_cases_agree() {
    let cases = [
        "bin_overconfident",
        "bin_score_ties",
        "bin_const_score",
        "bin_perfect",
        "bin_inverted",
        "bin_one_class",
        "bin_rare",
        "bin_tiny",
        "bin_labels_m1",
    ];
    for case in cases {
        let (options, table) = binary(case);
        check(case, &options, &table, &BINARY);
    }
}

#[test]
fn scores_that_are_no_probabilities_leave_only_ranks_and_classes() {
    let (options, table) = binary("bin_out_of_range");
    check("bin_out_of_range", &options, &table, &BINARY[..9]);
    let report = run(&options, &table);
    for name in ["log_loss", "brier", "ece"] {
        assert!(value(&report, name, &[]).is_nan(), "{name}");
    }
    assert!(report.gaps.iter().any(|it| it.why.contains("no probabilities")), "{:?}", report.gaps);
}

#[test]
fn a_nan_score_makes_every_metric_undefined() {
    let (options, table) = binary("bin_nan_score");
    let report = run(&options, &table);
    assert!(report.metrics.len() > 10 && report.metrics.iter().all(|it| it.value.is_nan() && it.interval.is_none()));
    assert_eq!(common::codes(&report), ["MW-M001"]);
}

const MULTICLASS: [Pair; 14] = [
    ("accuracy", &[], "accuracy"),
    ("balanced_accuracy", &[], "balanced_accuracy"),
    ("precision", &[("average", "macro")], "precision_macro"),
    ("recall", &[("average", "macro")], "recall_macro"),
    ("f1", &[("average", "macro")], "f1_macro"),
    ("precision", &[("average", "weighted")], "precision_weighted"),
    ("recall", &[("average", "weighted")], "recall_weighted"),
    ("f1", &[("average", "weighted")], "f1_weighted"),
    ("mcc", &[], "mcc"),
    ("cohen_kappa", &[], "cohen_kappa"),
    ("log_loss", &[], "log_loss"),
    ("brier", &[], "brier_multiclass_sum"),
    ("top_k_accuracy", &[("k", "2")], "top2_accuracy"),
    ("ece", &[], "ece_top_label_width_15"),
];

#[test]
fn multiclass_cases_agree() {
    for case in ["multi_k", "multi_absent_class"] {
        let columns: Vec<Vec<f64>> = (0..4)
            .map(|it| numbers(column(case, &format!("p{it}")).unwrap().as_ref()).unwrap().values.into_owned())
            .collect();
        let scores: Vec<f64> = (0..columns[0].len()).flat_map(|row| columns.iter().map(move |it| it[row])).collect();
        let table = Table::default().with("y", &[Use::Label], column(case, "y_true").unwrap()).with(
            "candidate:p",
            &[Use::Candidate],
            scored(&scores, 4),
        );
        let options = json!({"task": "multiclass", "intervals": {"replicates": 0}});
        check(case, &options, &table, &MULTICLASS);
        check(case, &options, &table, &[("roc_auc", &[("average", "macro")], "roc_auc_ovr_macro")]);
    }
}

#[test]
fn predicted_labels_agree_and_name_what_they_lack() {
    let case = "multi_strings";
    let table = Table::default().with("y", &[Use::Label], column(case, "y_true").unwrap()).with(
        "candidate:label",
        &[Use::Candidate],
        column(case, "y_pred").unwrap(),
    );
    let options =
        json!({"task": "multiclass", "classes": ["dog", "fish", "Ünicorn", "猫"], "intervals": {"replicates": 0}});
    check(case, &options, &table, &MULTICLASS[..10]);
    let report = run(&options, &table);
    assert!(common::find(&report, Default::default(), "log_loss", &[]).is_none());
    assert!(report.gaps.iter().any(|it| it.what == "metrics of scores"));
    let error = common::try_run(&json!({"task": "multiclass"}), &table).unwrap_err();
    assert!(error.message.contains("classes of the model are not known"), "{error}");
}

#[test]
fn regression_cases_agree() {
    let pairs: [Pair; 9] = [
        ("mae", &[], "mae"),
        ("mse", &[], "mse"),
        ("rmse", &[], "rmse"),
        ("r2", &[], "r2"),
        ("mape", &[], "mape"),
        ("medae", &[], "medae"),
        ("max_error", &[], "max_error"),
        ("explained_variance", &[], "explained_variance"),
        ("bias", &[], "mean_error_pred_minus_true"),
    ];
    for case in ["reg", "reg_const_true", "reg_zero_true", "reg_neg", "reg_perfect", "reg_one_row"] {
        let predicted: Arc<dyn Array> = column(case, "y_pred").unwrap();
        let table = Table::default().with("y", &[Use::Label], column(case, "y_true").unwrap()).with(
            "candidate:y",
            &[Use::Candidate],
            predicted,
        );
        check(case, &json!({"task": "regression", "intervals": {"replicates": 0}}), &table, &pairs);
    }
}
