//! The direct loss estimation of NannyML 0.13.1 on its own data, beside ours.
//!
//! What labels gave and the limits are the same numbers. Estimates are not: NannyML learns errors with LightGBM, and we with trees of our own.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // The table is meant to be seen.

mod common;

use serde_json::{Value, json};

use common::{by_chunk, fixture, labeled, run};

/// The greatest relative difference of an estimate.
const ESTIMATES_WITHIN: f64 = 0.08;

#[test]
fn estimated_errors_are_near_to_those_of_nannyml() {
    let folder = "conformance/estimation";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/");
    let expected = std::fs::read(format!("{path}{folder}/expected.nannyml_dle.json")).unwrap();
    let expected = &serde_json::from_slice::<Value>(&expected).unwrap()["car_price"];
    let data = |role: &str| fixture(&format!("{folder}/car_price.{role}.parquet"), "y_true");
    let config = json!({
        "task": "regression", "rule": "nannyml", "prediction": "y_pred", "chunk": { "size": 1000 },
        "metrics": expected["config"]["metrics"],
    });
    let report = run(&config, &data("reference"), &data("analysis"));
    let (mut greatest, mut beyond) = (0.0f64, Vec::new());
    println!("{:<6} {:<15} {:>5} {:>18} {:>18} {:>9}", "metric", "number", "chunk", "ours", "NannyML's", "differ by");
    for metric in expected["config"]["metrics"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()) {
        let estimated = &expected["estimated"][metric];
        let mut compare = |number: &str, chunk: usize, ours: f64, theirs: &Value, within: f64| {
            let theirs = theirs.as_f64().unwrap();
            let difference = ((ours - theirs) / theirs).abs();
            println!("{metric:<6} {number:<15} {chunk:>5} {ours:>18.8} {theirs:>18.8} {difference:>9.1e}");
            if difference > within {
                beyond.push(format!("{metric} {number} {chunk}: {ours} and {theirs}"));
            }
            if number == "estimated" {
                greatest = greatest.max(difference);
            }
        };
        let ours = by_chunk(&report, &format!("estimated_{metric}"));
        assert_eq!(ours.len(), 6);
        for (at, ours) in ours.into_iter().enumerate() {
            compare("estimated", at, ours, &estimated["value"][at], ESTIMATES_WITHIN);
        }
        for (at, ours) in by_chunk(&report, &format!("sampling_error_{metric}")).into_iter().enumerate() {
            compare("sampling_error", at, ours, &estimated["sampling_error"][at], 1e-9);
        }
        for (at, ours) in by_chunk(&report, &format!("realized_{metric}")).into_iter().enumerate() {
            compare("realized", at, ours, &expected["realized"][metric][at], 1e-9);
        }
        for bound in ["lower", "upper"] {
            let ours = labeled(&report, &format!("limit_{metric}"), "bound", bound).unwrap();
            compare(bound, 0, ours, &estimated[format!("{bound}_threshold")], 1e-9);
        }
        let alerts = report.findings.iter().filter(|it| it.code == "MW-P001" && it.place == metric);
        let alerts: Vec<&Value> = alerts.flat_map(|it| it.evidence["chunks"].as_array().unwrap()).collect();
        let chunks = ["0-999", "1000-1999", "2000-2999", "3000-3999", "4000-4999", "5000-5999"];
        let ours: Vec<bool> = chunks.iter().map(|it| alerts.contains(&&json!(it))).collect();
        assert_eq!(json!(ours), estimated["alert"], "{metric}");
    }
    println!("estimates differ by {:.1} % at most", 100.0 * greatest);
    assert_eq!(beyond, [""; 0]);
}
