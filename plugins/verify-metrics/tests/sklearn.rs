//! Every metric of every case is what scikit-learn says, or a listed difference.
//!
//! The cases go through the probe as Arrow batches, in partitions that are merged; the table of all
//! comparisons is printed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::{collections::BTreeMap, fmt::Write, fs::File};

use modelwatch_sdk::{
    Report,
    arrow::array::ArrayRef,
    report::{FigureData, MetricRole},
    rows::{Use, numbers, texts},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

use common::{Table, find, fixture, run_cut, scored};

const FOLDER: &str = "conformance/predictions";
/// The greatest difference, relative to the greater of both.
const TOLERANCE: f64 = 1e-9;

/// Where ours is.
enum Ours {
    Metric(&'static str, &'static [(&'static str, &'static str)]),
    Confusion,
    /// It is no metric here.
    Absent,
}

/// What is expected where ours differs.
#[derive(Clone, Copy)]
enum Expected {
    Undefined,
    /// The value of another expectation of the same case.
    Like(&'static str),
    /// Nothing, because there is no such metric.
    Nothing,
}

/// Case and expectation, both as far as a `*`, what is expected instead, and why; the first that fits counts.
const DIFFERENCES: &[(&str, &str, Expected, &str)] = &[
    ("*", "ece_count_10", Expected::Nothing, "bins of equal count depend on how ties are sorted"),
    ("*", "roc_curve_points", Expected::Nothing, "it describes scikit-learn's thinning of the curve, not the model"),
    (
        "multi_absent_class",
        "roc_auc_ovo_macro",
        Expected::Nothing,
        "scikit-learn was given scores that were scaled to add up to 1; of those in the file it gives what is given here",
    ),
    ("bin_nan_score", "confusion", Expected::Nothing, "the picture counts the rows that have a prediction"),
    (
        "bin_nan_score",
        "*",
        Expected::Undefined,
        "scikit-learn was given predicted labels beside the scores; here a row whose score is NaN has no prediction, which leaves \
         no metric defined",
    ),
    (
        "bin_one_class",
        "log_loss",
        Expected::Like("log_loss_labels01"),
        "scikit-learn takes the classes from the labels unless told; here they are always known",
    ),
    (
        "bin_out_of_range",
        "ece_*",
        Expected::Undefined,
        "a calibration error of numbers that are no probabilities means nothing; the bins of the expectation clamp them",
    ),
];

/// Returns where the metric of a name is.
fn ours(key: &str) -> Ours {
    use Ours::{Absent, Confusion, Metric};
    match key {
        "accuracy" => Metric("accuracy", &[]),
        "balanced_accuracy" => Metric("balanced_accuracy", &[]),
        "confusion" => Confusion,
        "precision_binary" => Metric("precision", &[]),
        "recall_binary" => Metric("recall", &[]),
        "f1_binary" => Metric("f1", &[]),
        "precision_macro" => Metric("precision", &[("average", "macro")]),
        "recall_macro" => Metric("recall", &[("average", "macro")]),
        "f1_macro" => Metric("f1", &[("average", "macro")]),
        "precision_weighted" => Metric("precision", &[("average", "weighted")]),
        "recall_weighted" => Metric("recall", &[("average", "weighted")]),
        "f1_weighted" => Metric("f1", &[("average", "weighted")]),
        "precision_micro" => Metric("precision", &[("average", "micro")]),
        "recall_micro" => Metric("recall", &[("average", "micro")]),
        "f1_micro" => Metric("f1", &[("average", "micro")]),
        "gini" => Metric("gini", &[]),
        "ks_statistic_pos_neg" => Metric("ks_statistic", &[]),
        "msle" => Metric("msle", &[]),
        "pinball_0.9" => Metric("pinball_loss", &[("quantile", "0.9")]),
        "roc_auc_ovo_macro" => Metric("roc_auc", &[("average", "macro"), ("multi_class", "ovo")]),
        "mcc" => Metric("mcc", &[]),
        "cohen_kappa" => Metric("cohen_kappa", &[]),
        "roc_auc" => Metric("roc_auc", &[]),
        "roc_auc_ovr_macro" => Metric("roc_auc", &[("average", "macro")]),
        "average_precision" => Metric("average_precision", &[]),
        "log_loss" | "log_loss_labels01" => Metric("log_loss", &[]),
        "brier" | "brier_multiclass_sum" => Metric("brier", &[]),
        "ece_width_10" | "ece_width_15" | "ece_top_label_width_15" => Metric("ece", &[]),
        "top2_accuracy" => Metric("top_k_accuracy", &[("k", "2")]),
        "mae" => Metric("mae", &[]),
        "mse" => Metric("mse", &[]),
        "rmse" => Metric("rmse", &[]),
        "r2" => Metric("r2", &[]),
        "mape" => Metric("mape", &[]),
        "medae" => Metric("medae", &[]),
        "max_error" => Metric("max_error", &[]),
        "explained_variance" => Metric("explained_variance", &[]),
        "mean_error_pred_minus_true" => Metric("bias", &[]),
        _ => Absent,
    }
}

#[test]
fn every_metric_of_every_case_is_scikit_learns_or_a_listed_difference() {
    let expected: Map<String, Value> = read_json("expected.sklearn.json");
    let cases: Map<String, Value> = read_json("cases.json");
    let mut table = String::new();
    let mut failures = Vec::new();
    let (mut n_values, mut n_listed, mut greatest) = (0, 0, 0.0f64);
    for case in cases["cases"].as_array().unwrap() {
        let (case, task) = (case["id"].as_str().unwrap(), case["task"].as_str().unwrap());
        let theirs = expected[case].as_object().unwrap();
        let reports = Reports::of(case, task);
        for (key, theirs_value) in theirs.iter().filter(|it| it.0 != "labels_sorted") {
            let listed = DIFFERENCES.iter().find(|it| fits(it.0, case) && fits(it.1, key));
            let want = match listed.map(|it| it.2) {
                None => flat(theirs_value),
                Some(Expected::Like(other)) => flat(&theirs[other]),
                Some(Expected::Undefined) => vec![f64::NAN; flat(theirs_value).len()],
                Some(Expected::Nothing) => Vec::new(),
            };
            let got = if matches!(listed, Some((.., Expected::Nothing, _))) { Vec::new() } else { reports.get(key) };
            let difference = difference(&got, &want);
            let row = (case, key, &got, flat(theirs_value));
            let mark = listed.map_or("", |_| "listed");
            writeln!(table, "{case:18} {key:26} {:>24} {:>24} {difference:9.1e} {mark}", shown(row.2), shown(&row.3))
                .unwrap();
            if difference > TOLERANCE {
                failures.push(format!("{case} {key}: {got:?}, wanted {want:?}"));
            }
            n_values += 1;
            n_listed += usize::from(listed.is_some());
            greatest = greatest.max(difference);
        }
    }
    println!("{:18} {:26} {:>24} {:>24} {:>9}", "case", "metric", "ours", "scikit-learn's", "difference");
    println!("{table}{n_values} comparisons, {n_listed} listed differences, greatest difference {greatest:.1e}");
    for (case, key, _, why) in DIFFERENCES {
        println!("listed: {case} {key}: {why}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The reports on one case: with its weights, if it has some, without, and with ten bins of calibration.
struct Reports {
    weighted: Report,
    plain: Report,
    ten_bins: Report,
}

impl Reports {
    fn of(case: &str, task: &str) -> Self {
        let report = |has_weights: bool, bins: u32| {
            let (mut options, table) = probe_input(case, task, has_weights);
            options["calibration_bins"] = json!(bins);
            run_cut(&options, &table.batch(), 3, 97)
        };
        Self { weighted: report(true, 15), plain: report(false, 15), ten_bins: report(false, 10) }
    }

    fn get(&self, key: &str) -> Vec<f64> {
        // The expectations of these count every row once, whatever it weighs.
        let report = match key {
            "ece_width_10" => &self.ten_bins,
            it if it.starts_with("ece_") || it.starts_with("ks_") => &self.plain,
            _ => &self.weighted,
        };
        match ours(key) {
            Ours::Metric(name, labels) => {
                find(report, MetricRole::Candidate, name, labels).map(|it| it.value).into_iter().collect()
            }
            Ours::Confusion => confusion(report),
            Ours::Absent => Vec::new(),
        }
    }
}

/// Returns the options and the rows of a case.
fn probe_input(case: &str, task: &str, has_weights: bool) -> (Value, Table) {
    let columns = columns(case);
    let table = Table::default().with("y", &[Use::Label], columns["y_true"].clone());
    let table = match columns.get("w").filter(|_| has_weights) {
        Some(weights) => table.with("w", &[Use::Weight], weights.clone()),
        None => table,
    };
    let mut options = json!({"task": task, "intervals": {"replicates": 0}, "pinball_quantiles": [0.9]});
    let mut predictions = columns["y_pred"].clone();
    if task == "binary" {
        let is_signed = texts(columns["y_true"].as_ref()).unwrap().iter().flatten().any(|it| it == "-1");
        options["classes"] = if is_signed { json!(["-1", "1"]) } else { json!(["0", "1"]) };
        predictions = columns["y_score"].clone();
    } else if columns.contains_key("p0") {
        let scores: Vec<_> = (0..4).map(|it| numbers(&columns[&format!("p{it}")]).unwrap().values.to_vec()).collect();
        let rows = (0..scores[0].len()).flat_map(|row| scores.iter().map(move |it| it[row]));
        predictions = scored(&rows.collect::<Vec<_>>(), 4);
    } else if task == "multiclass" {
        options["classes"] = json!(["dog", "fish", "Ünicorn", "猫"]);
    }
    (options, table.with("candidate:out", &[Use::Candidate], predictions))
}

fn columns(case: &str) -> BTreeMap<String, ArrayRef> {
    let file = File::open(fixture(&format!("{FOLDER}/{case}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    let batch = reader.map(Result::unwrap).next().unwrap();
    let names = batch.schema().fields().iter().map(|it| it.name().clone()).collect::<Vec<_>>();
    names.into_iter().zip(batch.columns().iter().cloned()).collect()
}

fn read_json(name: &str) -> Map<String, Value> {
    serde_json::from_reader(File::open(fixture(&format!("{FOLDER}/{name}"))).unwrap()).unwrap()
}

fn confusion(report: &Report) -> Vec<f64> {
    let data = report.figures.iter().find(|it| it.title == "Confusion").map(|it| &it.data);
    match data {
        Some(FigureData::HeatMap { values, .. }) => values.concat(),
        other => panic!("no confusion matrix: {other:?}"),
    }
}

/// Returns the numbers of an expectation; NaN where there is none.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        Value::Number(it) => vec![it.as_f64().unwrap()],
        _ => vec![f64::NAN],
    }
}

/// Returns the greatest relative difference; infinite where the lengths differ or one side alone is undefined.
fn difference(got: &[f64], want: &[f64]) -> f64 {
    let one = |(&got, &want): (&f64, &f64)| match (got.is_nan(), want.is_nan()) {
        (true, true) => 0.0,
        (false, false) if got == want => 0.0,
        (false, false) => (got - want).abs() / got.abs().max(want.abs()),
        _ => f64::INFINITY,
    };
    if got.len() == want.len() { got.iter().zip(want).map(one).fold(0.0, f64::max) } else { f64::INFINITY }
}

fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |it| text.starts_with(it))
}

fn shown(values: &[f64]) -> String {
    match values {
        [] => "-".to_owned(),
        [it] => format!("{it:.17}"),
        many => format!("{} values", many.len()),
    }
}

#[test]
fn differences_that_are_listed_are_there() {
    let expected: Map<String, Value> = read_json("expected.sklearn.json");
    for (case, key, ..) in DIFFERENCES {
        let mut cases = expected.iter().filter(|it| fits(case, it.0));
        assert!(cases.any(|it| it.1.as_object().unwrap().keys().any(|it| fits(key, it))), "{case} {key}");
    }
}

#[test]
fn predicted_labels_name_what_they_lack() {
    let (options, table) = probe_input("multi_strings", "multiclass", false);
    let report = common::run(&options, &table);
    assert!(find(&report, MetricRole::Candidate, "log_loss", &[]).is_none());
    assert!(report.gaps.iter().any(|it| it.what == "metrics of scores"));
    let error = common::try_run(&json!({"task": "multiclass"}), &table).unwrap_err();
    assert!(error.message.contains("classes of the model are not known"), "{error}");
}

#[test]
fn scores_that_are_no_probabilities_are_a_gap() {
    let (options, table) = probe_input("bin_out_of_range", "binary", false);
    let report = common::run(&options, &table);
    assert!(report.gaps.iter().any(|it| it.why.contains("no probabilities")), "{:?}", report.gaps);
}

#[test]
fn a_nan_score_makes_every_metric_undefined() {
    let (options, table) = probe_input("bin_nan_score", "binary", false);
    let report = common::run(&options, &table);
    assert!(report.metrics.len() > 10 && report.metrics.iter().all(|it| it.value.is_nan() && it.interval.is_none()));
    assert_eq!(common::codes(&report), ["MW-M001"]);
}
