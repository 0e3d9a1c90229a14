//! The estimates of NannyML 0.13.1 on its own data, beside ours.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // The table is meant to be seen.

mod common;

use std::collections::BTreeSet;

use modelwatch_sdk::{Report, report::FigureData};
use serde_json::{Value, json};

use common::{by_chunk, fixture, labeled, run};

/// A number that differs on purpose.
struct Exception {
    case: &'static str,
    /// The metric and what of it.
    number: &'static str,
    /// The greatest relative difference.
    within: f64,
    reason: &'static str,
}

const ROUNDS: &str = "NannyML rounds expected counts to five digits";
const TIES: &str = "rows of equal scores are one step, as for labels; NannyML takes one after the other";
const MIXED: &str = "rows of equal scores have different chances here, and count half to each other; NannyML takes them in the order of its sort";
const DELONG: &str = "DeLong's variance; NannyML leaves out how the more frequent class varies";
const RESAMPLED: &str = "from 50 resamples, which NannyML draws without a seed";
const F1: &str = "scaled as for two classes, which NannyML leaves out for several";

const EXCEPTIONS: &[Exception] = &[
    except("car_loan", "roc_auc.estimated", 1e-8, ROUNDS),
    except("car_loan", "roc_auc.sampling_error", 0.5, DELONG),
    except("car_loan", "roc_auc.lower_confidence", 0.01, DELONG),
    except("car_loan", "roc_auc.upper_confidence", 0.01, DELONG),
    except("car_loan_uncalibrated", "roc_auc.estimated", 1e-8, ROUNDS),
    except("car_loan_uncalibrated", "roc_auc.sampling_error", 0.5, DELONG),
    except("car_loan_uncalibrated", "roc_auc.lower_confidence", 0.01, DELONG),
    except("car_loan_uncalibrated", "roc_auc.upper_confidence", 0.01, DELONG),
    except("multiclass", "roc_auc.estimated", 5e-6, MIXED),
    except("multiclass", "roc_auc.sampling_error", 0.5, DELONG),
    except("multiclass", "roc_auc.lower_confidence", 0.01, DELONG),
    except("multiclass", "roc_auc.upper_confidence", 0.01, DELONG),
    except("car_loan", "average_precision.estimated", 1.5e-3, TIES),
    except("car_loan", "average_precision.sampling_error", 0.35, RESAMPLED),
    except("car_loan", "average_precision.lower_confidence", 0.01, RESAMPLED),
    except("car_loan", "average_precision.upper_confidence", 0.01, RESAMPLED),
    except("car_loan_uncalibrated", "average_precision.estimated", 1.5e-3, TIES),
    except("car_loan_uncalibrated", "average_precision.sampling_error", 0.35, RESAMPLED),
    except("car_loan_uncalibrated", "average_precision.lower_confidence", 0.01, RESAMPLED),
    except("car_loan_uncalibrated", "average_precision.upper_confidence", 0.01, RESAMPLED),
    except("multiclass", "f1.sampling_error", 0.3, F1),
    except("multiclass", "f1.lower_confidence", 0.02, F1),
    except("multiclass", "f1.upper_confidence", 0.02, F1),
];

const fn except(case: &'static str, number: &'static str, within: f64, reason: &'static str) -> Exception {
    Exception { case, number, within, reason }
}

struct Row {
    case: String,
    number: String,
    chunk: String,
    ours: f64,
    theirs: f64,
}

impl Row {
    fn difference(&self) -> f64 {
        if self.ours == self.theirs || (self.ours.is_nan() && self.theirs.is_nan()) {
            0.0
        } else {
            ((self.ours - self.theirs) / self.theirs).abs()
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().or(value.as_bool().map(|it| f64::from(u8::from(it)))).unwrap_or(f64::NAN)
}

/// Returns a line of the picture of a metric over the chunks.
fn line(report: &Report, metric: &str, name: &str) -> Vec<f64> {
    let figure = report.figures.iter().find(|it| it.title == format!("{metric} over chunks")).unwrap();
    let FigureData::Lines { series, .. } = &figure.data else { panic!("{:?}", figure.data) };
    series.iter().find(|it| it.name == name).unwrap().values.clone()
}

/// Compares the chunks of one role, which begin at `start` among those of NannyML.
fn compare(case: &str, expected: &Value, metrics: &[&str], report: &Report, start: usize, rows: &mut Vec<Row>) {
    let chunks: Vec<&str> = report
        .metrics
        .iter()
        .filter(|it| it.name == "estimated_accuracy")
        .filter_map(|it| it.labels.get("chunk"))
        .map(String::as_str)
        .collect();
    for metric in metrics {
        let theirs = |of: &str, what: &str, at: usize| number(&expected[of][format!("{metric}.{what}")][start + at]);
        let alerts = report.findings.iter().filter(|it| it.code == "MW-P001" && it.place == *metric);
        let alerts: Vec<&Value> = alerts.flat_map(|it| it.evidence["chunks"].as_array().unwrap()).collect();
        let values = by_chunk(report, &format!("estimated_{metric}"));
        let errors = by_chunk(report, &format!("sampling_error_{metric}"));
        let realized = by_chunk(report, &format!("realized_{metric}"));
        let bound = |bound: &str| labeled(report, &format!("limit_{metric}"), "bound", bound).unwrap();
        let bands = [line(report, metric, "estimate - 3 errors"), line(report, metric, "estimate + 3 errors")];
        for (at, chunk) in chunks.iter().enumerate() {
            let mut push = |number: &str, ours: f64, theirs: f64| {
                let number = format!("{metric}.{number}");
                rows.push(Row { case: case.to_owned(), number, chunk: (*chunk).to_owned(), ours, theirs });
            };
            push("estimated", values[at], theirs("estimated", "value", at));
            push("sampling_error", errors[at], theirs("estimated", "sampling_error", at));
            push("lower_confidence", bands[0][at], theirs("estimated", "lower_confidence_boundary", at));
            push("upper_confidence", bands[1][at], theirs("estimated", "upper_confidence_boundary", at));
            push("alert", f64::from(u8::from(alerts.contains(&&json!(chunk)))), theirs("estimated", "alert", at));
            push("realized", realized[at], theirs("realized", "value", at));
            if at == 0 && start == 0 {
                push("lower_limit", bound("lower"), theirs("estimated", "lower_threshold", at));
                push("upper_limit", bound("upper"), theirs("estimated", "upper_threshold", at));
            }
        }
    }
}

fn rows() -> Vec<Row> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/estimation/expected.nannyml.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut res = Vec::new();
    for case in ["car_loan", "car_loan_uncalibrated", "multiclass"] {
        let expected = &all[case];
        let their_config = &expected["config"];
        let metrics: Vec<&str> =
            their_config["metrics"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let mut config = json!({
            "task": if case == "multiclass" { "multiclass" } else { "binary" },
            "rule": "nannyml",
            "prediction": their_config["y_pred"],
            "metrics": metrics,
            "chunk": { "size": their_config["chunk_size"] },
        });
        let scores = if case == "multiclass" { "class_scores" } else { "score" };
        config[scores] = their_config["y_pred_proba"].clone();
        let label = their_config["y_true"].as_str().unwrap();
        let data = |role: &str| fixture(&format!("conformance/estimation/{case}.{role}.parquet"), label);
        let (reference, analysis) = (data("reference"), data("analysis"));
        let n_chunks = reference.num_rows() / their_config["chunk_size"].as_u64().unwrap() as usize;
        compare(case, expected, &metrics, &run(&config, &reference, &reference), 0, &mut res);
        compare(case, expected, &metrics, &run(&config, &reference, &analysis), n_chunks, &mut res);
    }
    res
}

#[test]
fn estimates_are_those_of_nannyml() {
    let rows = rows();
    let mut used = BTreeSet::new();
    let mut unlisted = Vec::new();
    let mut greatest = 0.0f64;
    println!("{:<22} {:<34} {:<11} {:>22} {:>22} {:>9}", "case", "number", "chunk", "ours", "NannyML's", "differ by");
    for it in &rows {
        let difference = it.difference();
        let found = EXCEPTIONS.iter().position(|exception| exception.case == it.case && exception.number == it.number);
        let mark = match found {
            _ if difference <= 1e-9 => {
                greatest = greatest.max(difference);
                ""
            }
            Some(at) if difference <= EXCEPTIONS[at].within => {
                used.insert(at);
                EXCEPTIONS[at].reason
            }
            _ => {
                unlisted.push(format!("{} {} {}: {difference:.1e}", it.case, it.number, it.chunk));
                "DIFFERS"
            }
        };
        let (case, number, chunk, ours, theirs) = (&it.case, &it.number, &it.chunk, it.ours, it.theirs);
        println!("{case:<22} {number:<34} {chunk:<11} {ours:>22.17} {theirs:>22.17} {difference:>9.1e} {mark}");
    }
    println!("{} numbers, the greatest difference of those that agree is {greatest:.1e}", rows.len());
    let stale: Vec<_> = (0..EXCEPTIONS.len()).filter(|it| !used.contains(it)).map(|it| EXCEPTIONS[it].number).collect();
    assert!(unlisted.is_empty() && stale.is_empty(), "{unlisted:#?}\nlisted but nothing differs: {stale:#?}");
}
