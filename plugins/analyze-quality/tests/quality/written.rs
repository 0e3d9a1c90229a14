//! Rules that cannot be applied do not pass.

use std::sync::Arc;

use modelwatch_sdk::{
    Report,
    arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, ListArray, NullArray, TimestampSecondArray,
        types::Float64Type,
    },
    report::{Severity, Status},
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{alone, batch_of, codes, finding, floats, integers, of_column, texts, x};

/// Returns the report on one rule of `x`.
fn report(rule: Value, values: ArrayRef) -> Report {
    alone(json!({ "columns": { "x": rule } }), &x(values))
}

fn lists(n: usize) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>((0..n).map(|it| Some(vec![Some(it as f64)]))))
}

/// Returns what was not checked of a column, with the reason.
fn unchecked(report: &Report) -> Vec<(&str, &str)> {
    let checks = report.checks.iter().filter(|it| it.status == Status::NotChecked && it.labels["column"] == "x");
    checks.map(|it| (it.metric.as_str(), it.message.as_str())).collect()
}

#[test]
fn bounds_of_values_that_are_no_numbers_are_broken() {
    let bounds = json!({ "min": 0, "max": 120 });
    let mut spelled: Vec<String> = (0..400).map(|it| it.to_string()).collect();
    let all = report(bounds.clone(), texts(&spelled));
    let it = finding(&all, "MW-Q005");
    assert_eq!(it.severity, Severity::Error);
    let start = "`x` has bounds, which are numbers, and its values are Utf8, so that none was held against them";
    assert_eq!(it.message, format!("{start}; all 400 spell numbers, so that the column can be converted"));
    spelled[7] = "12O".to_owned();
    spelled[9] = "NA".to_owned();
    let some = report(bounds.clone(), texts(&spelled));
    let it = finding(&some, "MW-Q005");
    assert_eq!(it.message, format!("{start}; 2 of 400 spell no number, such as `12O` in 1"));
    assert_eq!(it.evidence["count"], json!(2));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..50).map(|it| Some(it % 2 == 0))));
    for (values, types) in [(lists(50), "List"), (flags, "Boolean")] {
        let found = report(bounds.clone(), values);
        let message = &finding(&found, "MW-Q005").message;
        assert!(message.contains(&format!("its values are {types}")), "{message}");
        assert_eq!(of_column(&found, "out_of_bounds_share", "x"), None);
    }
    let of_times = report(json!({ "max": "2026-01-01" }), integers(0..50));
    assert!(
        finding(&of_times, "MW-Q005").message.starts_with("`x` has bounds, which are times, and its values are Int64")
    );
    // What `type` says already is not said again.
    let both = report(json!({ "type": "integer", "max": 120 }), texts(&spelled));
    assert_eq!(both.findings.iter().filter(|it| it.code == "MW-Q005").count(), 1);
}

#[test]
fn infinities_are_beyond_bounds() {
    let ends = |values: ArrayRef| finding(&report(json!({ "max": 120 }), values), "MW-Q020").message.clone();
    assert_eq!(
        ends(floats(vec![f64::INFINITY; 500])),
        "0 values of `x` are below `min` and 500 above `max`; they are from inf to inf"
    );
    let some = (0..100).map(|it| if it == 0 { f64::INFINITY } else { f64::from(it) });
    assert!(ends(floats(some)).ends_with("1 above `max`; they are from 1 to inf"));
    let low = report(json!({ "max": 120 }), floats(vec![f64::NEG_INFINITY; 500]));
    assert!(low.findings.iter().all(|it| it.code != "MW-Q020"));
}

#[test]
fn rules_of_columns_without_values_are_not_checked() {
    let rule = json!({ "min": 0, "categories": ["a"], "pattern": "a" });
    let nothing: [ArrayRef; 3] =
        [Arc::new(Float64Array::new_null(50)), floats(vec![f64::NAN; 50]), Arc::new(NullArray::new(50))];
    let why = "every value of `x` is missing, so that there was none to look at";
    for values in nothing {
        let found = report(rule.clone(), values);
        let expected = ["unexpected_category_share", "pattern_mismatch_share", "out_of_bounds_share"];
        assert_eq!(unchecked(&found), expected.map(|it| (it, why)));
    }
    assert_eq!(unchecked(&report(rule.clone(), floats(vec![0.0; 50]))), []);
    assert_eq!(unchecked(&report(json!({ "max_missing": 1 }), floats(vec![f64::NAN; 50]))), []);
    // Of a part it is told, and all rows are judged.
    let table = batch_of(vec![
        ("part", &[Use::Slice], texts((0..200).map(|it| if it < 100 { "a" } else { "b" }))),
        ("x", &[Use::Feature], floats((0..200).map(|it| if it < 100 { f64::NAN } else { 1.0 }))),
    ]);
    let of_parts = alone(json!({ "columns": { "x": { "min": 0 } }, "slices": ["*"] }), &table);
    assert_eq!(of_parts.checks, []);
    assert!(of_parts.gaps.iter().any(|it| it.what.contains("its rule") && it.why.contains(why)), "{:?}", of_parts.gaps);
}

#[test]
fn categories_and_patterns_of_values_that_are_no_texts_are_not_checked() {
    let decimals: ArrayRef =
        Arc::new(Decimal128Array::from_iter_values(0..50).with_precision_and_scale(10, 2).unwrap());
    for (values, types) in [(lists(50), "List"), (decimals, "Decimal128(10, 2)")] {
        let found = report(json!({ "categories": ["a"], "pattern": "a" }), values);
        assert_eq!(codes(&found).iter().filter(|it| it.0 == "MW-Q021").count(), 0);
        let told = unchecked(&found);
        assert_eq!(
            told.iter().map(|it| it.0).collect::<Vec<_>>(),
            ["unexpected_category_share", "pattern_mismatch_share"]
        );
        assert!(told[0].1.starts_with(&format!("values of type {types}")), "{told:?}");
        assert!(told[0].1.ends_with(
            "are not written as texts, so that none was looked at: write them as texts, or take the rule away"
        ));
    }
}

#[test]
fn freshness_is_that_of_times_or_seconds_and_else_not_checked() {
    let fresh = |at: ArrayRef| {
        let table =
            batch_of(vec![("at", &[Use::Timestamp], at), ("y", &[Use::Feature], floats((0..50).map(f64::from)))]);
        alone(json!({ "freshness": { "as_of": "2001-09-09T03:00:00Z", "max_age": "1h" } }), &table)
    };
    // 2001-09-09T01:46:40Z and later.
    let found = fresh(integers((0..50).map(|it| 1_000_000_000 + it)));
    assert!(
        finding(&found, "MW-Q002").message.starts_with("the youngest row is of 2001-09-09T01:47:29Z, 12.5 min older")
    );
    assert_eq!(found.checks, []);
    let found = fresh(floats((0..50).map(|it| 1_000_004_000.0 + f64::from(it))));
    assert_eq!((codes(&found).iter().filter(|it| it.0 == "MW-Q002").count(), found.checks.len()), (0, 0));
    let milliseconds = integers((0..50).map(|it| 1_000_004_000_000 + it));
    let unfit: [(ArrayRef, &str); 4] = [
        (milliseconds, "numbers are seconds since 1970, and the greatest of the column `at` is beyond the calendar"),
        (texts(["2001-09-09"; 50]), "the column `at` has values of type Utf8, and no dates, timestamps or seconds"),
        (Arc::new(NullArray::new(50)), "every value of the column `at` is missing"),
        (Arc::new(TimestampSecondArray::new_null(50)), "every value of the column `at` is missing"),
    ];
    for (at, why) in unfit {
        let found = fresh(at);
        let [check] = &found.checks[..] else { panic!("{:?}", found.checks) };
        assert_eq!((check.metric.as_str(), check.status), ("freshness", Status::NotChecked));
        assert!(check.message.starts_with(why), "{}", check.message);
    }
    let absent = alone(json!({ "freshness": { "column": "z", "newest": "2001-09-09" } }), &x(floats([1.0, 2.0])));
    assert_eq!(absent.checks[0].message, "the current rows do not have the column `z`");
}
