//! The numbers of single columns against those of SciPy and Evidently, through the analyzer.
#![allow(clippy::unwrap_used)]

mod common;

use modelwatch_sdk::Role;
use serde_json::{Value, json};

use common::{fixture, of_column, open};

fn expected(peer: &str) -> Value {
    let path = format!(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/univariate/expected.{}.json"),
        peer
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn cases(kind: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/univariate/cases.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = cases["cases"].as_array().unwrap().iter().filter(|it| it["kind"] == kind);
    cases.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

fn report(id: &str, kind: &str) -> modelwatch_sdk::Report {
    report_with(id, kind, json!({}))
}

fn report_with(id: &str, kind: &str, mut options: Value) -> modelwatch_sdk::Report {
    let categorical = if kind == "categorical" { json!(["x"]) } else { json!([]) };
    options["min_rows"] = json!(1);
    options["categorical"] = categorical;
    let mut probe = open(options);
    for (role, name) in [(Role::Reference, "reference"), (Role::Current, "current")] {
        for batch in fixture(&format!("conformance/univariate/{id}.{name}.parquet")) {
            probe.update(&(), role, &batch).unwrap();
        }
    }
    probe.evaluate(&()).unwrap()
}

fn check(id: &str, what: &str, got: Option<f64>, expected: f64, tolerance: f64) {
    let got = got.unwrap_or_else(|| panic!("{id}: no {what}"));
    let is_close = (got - expected).abs() <= tolerance * expected.abs() + 1e-12;
    assert!(is_close || (expected < 1e-300 && got < 1e-300), "{id}: {what} is {got:e}, SciPy has {expected:e}");
}

/// Columns whose values as floats are not those of the file.
const ROUNDED: [&str; 1] = ["num_int64_big"];

/// Columns that are categories by their type.
const BOOLEAN: [&str; 1] = ["num_bool"];

#[test]
fn numbers_agree_with_scipy() {
    let all = expected("scipy");
    let mut n_checked = 0;
    for id in cases("numeric") {
        let cleaned = &all[&id]["cleaned"];
        let test = |name: &str| cleaned[name].as_array().and_then(|it| it[0].as_f64().zip(it[1].as_f64()));
        let (Some(exact), Some(asymptotic)) = (test("ks_2samp_auto"), test("ks_2samp_asymp")) else { continue };
        if ROUNDED.contains(&id.as_str()) || BOOLEAN.contains(&id.as_str()) {
            continue;
        }
        let report = report(&id, "numeric");
        let n = cleaned["n"].as_array().unwrap();
        let is_many = n.iter().any(|it| it.as_u64().unwrap() > 10_000);
        let pairs = n[0].as_u64().unwrap() * n[1].as_u64().unwrap();
        let p_value = if pairs <= 250_000 { exact.1 } else { asymptotic.1 };
        let get = |name: &str| of_column(&report, name, "x");
        // Beyond the budget of values the histogram answers.
        let tolerance = if is_many { 0.02 } else { 1e-9 };
        check(&id, "the statistic", get("ks_statistic"), exact.0, tolerance);
        if !is_many {
            check(&id, "the p-value", get("ks_p_value"), p_value, 1e-6);
        }
        if let Some(distance) = cleaned["wasserstein"].as_f64().filter(|it| it.is_finite() && !is_many) {
            check(&id, "the Wasserstein distance", get("wasserstein"), distance, 1e-9);
        }
        n_checked += 1;
    }
    assert!(n_checked > 30, "{n_checked}");
}

#[test]
fn categories_agree_with_scipy() {
    let all = expected("scipy");
    let (mut n_distances, mut n_tests) = (0, 0);
    for id in cases("categorical") {
        let case = &all[&id];
        let Some(distance) = case["jensenshannon_2"].as_f64() else { continue };
        let report = report(&id, "categorical");
        let Some(got) = of_column(&report, "jensen_shannon", "x") else { continue };
        check(&id, "the Jensen-Shannon distance", Some(got), distance, 1e-9);
        n_distances += 1;
        let table = &case["table"];
        let counts =
            |side: &str| table[side].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect::<Vec<_>>();
        let (left, right) = (counts("ref"), counts("cur"));
        let (n, m) = (left.iter().sum::<f64>(), right.iter().sum::<f64>());
        let is_rare = |it: (&f64, &f64)| (it.0 + it.1) * n.min(m) / (n + m) < 5.0;
        if left.iter().zip(&right).any(is_rare) || table["n_keys"] != json!(left.len()) {
            continue;
        }
        let test = case["chi2_contingency_yates"].as_array().unwrap();
        check(&id, "the statistic", of_column(&report, "chi2_statistic", "x"), test[0].as_f64().unwrap(), 1e-9);
        check(&id, "the p-value", of_column(&report, "chi2_p_value", "x"), test[1].as_f64().unwrap(), 1e-6);
        check(&id, "the effect", of_column(&report, "effect", "x"), case["tvd"].as_f64().unwrap(), 1e-9);
        n_tests += 1;
    }
    assert!(n_distances > 15 && n_tests > 8, "{n_distances} {n_tests}");
}

#[test]
fn the_stability_index_of_categories_agrees_with_evidently_where_no_category_is_missing() {
    let all = expected("evidently");
    for id in ["cat_5", "cat_binary", "cat_5_same", "cat_5_small", "cat_bool"] {
        let report = report(id, "categorical");
        check(id, "the index", of_column(&report, "psi", "x"), all[id]["psi"][0].as_f64().unwrap(), 1e-9);
    }
}

/// Methods of other tools for categories, and where the numbers of these tools are.
const OF_CATEGORIES: [(&str, &str, &str); 13] = [
    ("evidently:psi", "evidently", "/psi/0"),
    ("evidently:jensenshannon", "evidently", "/jensenshannon/0"),
    ("evidently:kl_div", "evidently", "/kl_div/0"),
    ("evidently:hellinger", "evidently", "/hellinger/0"),
    ("evidently:chisquare", "evidently", "/chisquare/0"),
    ("evidently:z", "evidently", "/z/0"),
    ("evidently:auto", "evidently", "/default/value"),
    ("nannyml:jensen_shannon", "nannyml", "/jensen_shannon/value"),
    ("nannyml:hellinger", "nannyml", "/hellinger/value"),
    ("nannyml:l_infinity", "nannyml", "/l_infinity/value"),
    ("nannyml:chi2", "nannyml", "/chi2/p_value"),
    ("tfdv:l_infinity", "tfdv", "/drift/l_infinity"),
    ("tfdv:jensen_shannon_divergence", "tfdv", "/drift/jensen_shannon_divergence"),
];

#[test]
fn other_tools_numbers_are_given_however_few_rows_a_category_has() {
    for (method, peer, place) in OF_CATEGORIES {
        let all = expected(peer);
        for id in ["cat_tiny_1_1", "cat_tiny_3_4"] {
            let Some(expected) = all[id].pointer(place).and_then(Value::as_f64) else { continue };
            let options = json!({ "method": method, "thresholds": { (method): 0.1 } });
            let report = report_with(id, "categorical", options);
            let case = format!("{method} of {id}");
            check(&case, "the score", of_column(&report, "score", "x"), expected, 1e-6);
            assert!(
                of_column(&report, "drifted", "x").is_some()
                    && report.gaps.iter().all(|it| it.what == "prediction drift"),
                "{case}: {:?}",
                report.gaps
            );
        }
    }
}

#[test]
fn the_stability_index_of_numbers_is_taken_over_tenths_of_the_reference() {
    let all = expected("scipy");
    for id in
        ["num_normal_shift", "num_normal_same", "num_lognormal_scale", "num_expon", "num_student_t", "num_bimodal"]
    {
        let report = report(id, "numeric");
        let expected = all[id]["cleaned"]["psi_decile_ref_quantiles_eps1e-4"].as_f64().unwrap();
        check(id, "the index", of_column(&report, "psi", "x"), expected, 1e-9);
    }
}

#[test]
fn no_input_of_the_conformance_set_is_passed_over_in_silence() {
    for kind in ["numeric", "categorical"] {
        for id in cases(kind) {
            let report = report(&id, kind);
            let is_compared = common::overall(&report, "compared_columns") == 1.0;
            assert!(is_compared || !report.gaps.is_empty(), "{id}");
            assert!(is_compared || common::overall(&report, "drifted_share").is_nan(), "{id}");
        }
    }
}
