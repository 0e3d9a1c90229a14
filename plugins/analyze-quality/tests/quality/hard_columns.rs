//! Inputs that broke other tools, each with the answer that it gets here.

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch, Role,
    arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray,
            Float64Array, Int8Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
            TimestampMicrosecondArray, UInt64Array,
            types::{Float64Type, Int8Type},
        },
        schema::{DataType, Field},
    },
    report::Severity,
};
use serde_json::json;

use crate::common::{
    alone, codes, features, finding, floats, integers, of_column, open, overall, quiet, run, texts, x,
};

/// Columns of every kind that aborted a report or vanished from one.
fn odd_columns(n: usize) -> Vec<(&'static str, ArrayRef)> {
    let fields = vec![(Arc::new(Field::new("a", DataType::Float64, true)), floats((0..n).map(|it| it as f64)))];
    let lists = (0..n).map(|it| Some(vec![Some(1.0); it % 3]));
    let dictionary: DictionaryArray<Int8Type> = (0..n).map(|it| Some(["a", "b"][it % 2])).collect();
    let decimals = Decimal128Array::from_iter_values((0..n).map(|it| it as i128 % 50));
    vec![
        ("all_null", Arc::new(Float64Array::new_null(n))),
        ("binary", Arc::new(BinaryArray::from_iter_values((0..n).map(|it| [it as u8 % 7])))),
        ("bool", Arc::new(BooleanArray::from_iter((0..n).map(|it| (it % 50 != 0).then_some(it % 2 == 0))))),
        ("constant", floats(vec![7.0; n])),
        ("date", Arc::new(Date32Array::from_iter_values((0..n).map(|it| it as i32)))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap())),
        ("dictionary", Arc::new(dictionary)),
        ("duration", Arc::new(DurationSecondArray::from_iter_values((0..n).map(|it| it as i64 % 9)))),
        ("infinite", floats((0..n).map(|it| if it % 2 == 0 { f64::INFINITY } else { it as f64 }))),
        ("near_constant", floats((0..n).map(|it| if it == 0 { 1.0 + f64::EPSILON } else { 1.0 }))),
        ("nullable_int", Arc::new(Int64Array::from_iter((0..n as i64).map(|it| (it % 40 != 0).then_some(it % 20))))),
        ("ragged", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))),
        ("struct", Arc::new(StructArray::from(fields))),
        ("text", texts((0..n).map(|it| format!("v{}", it % 3)))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|it| it as i64)))),
        ("untyped", Arc::new(NullArray::new(n))),
    ]
}

#[test]
fn few_rows_may_lack_a_rare_value() {
    let flags = |n: usize, every: usize| x(integers((0..n).map(|it| i64::from(it % every == every - 1))));
    let constant = |n: usize| x(integers(vec![0; n]));
    let severity =
        |reference: &RecordBatch, current: &RecordBatch| finding(&run(quiet(), reference, current), "MW-Q015").severity;
    // 100 rows lack what 3 % of rows have once in 20 times, and 1,000 rows hardly ever.
    assert_eq!(severity(&flags(2000, 33), &constant(100)), Severity::Info);
    assert_eq!(severity(&flags(2000, 33), &constant(1000)), Severity::Warning);
    // One row of few in the reference may be the only one of its kind for long.
    assert_eq!(severity(&flags(30, 30), &constant(1000)), Severity::Info);
    // So many other values of which a part is kept are not missed by accident.
    let many = x(integers(0..30_000));
    let report =
        run(json!({ "max_distinct": 1000, "limits": { "duplicates": 1.0 } }), &many, &x(integers(vec![5; 500])));
    assert_eq!(finding(&report, "MW-Q015").severity, Severity::Warning);
}

#[test]
fn numbers_in_a_dictionary_are_categories() {
    let of = |codes: fn(i8) -> i8| -> ArrayRef {
        let keys = Int8Array::from_iter_values((0..300).map(|it| codes((it % 100) as i8)));
        Arc::new(DictionaryArray::new(keys, Arc::new(Int64Array::from(vec![10, 20, 30]))))
    };
    let (two, three) = (|it| it % 2, |it| if it % 5 == 0 { 2 } else { it % 2 });
    let report = run(quiet(), &x(of(two)), &x(of(three)));
    assert_eq!(codes(&report), [("MW-Q021", "x")]);
    assert!(finding(&report, "MW-Q021").message.ends_with(": `30`"), "{}", finding(&report, "MW-Q021").message);
    let schema = json!({ "columns": { "x": { "categories": ["10", "20"] } } });
    let report = run(schema, &x(of(two)), &x(of(three)));
    assert!((of_column(&report, "unexpected_category_share", "x").unwrap() - 0.2).abs() < 1e-12);
    // They are a part of whole rows.
    let beside = |array| features(vec![("x", array), ("y", floats((0..300).map(|it| f64::from(it % 7))))]);
    let report = run(quiet(), &beside(of(two)), &beside(of(two)));
    assert!(!report.gaps.iter().any(|it| it.why.contains("neither numbers nor names")), "{:?}", report.gaps);
}

#[test]
fn every_column_gets_its_own_answer_beside_the_good_ones() {
    let n = 200;
    let mut columns = odd_columns(n);
    columns.push(("good", floats((0..n).map(|it| (it * 37 % 200) as f64))));
    let names: Vec<_> = columns.iter().map(|it| it.0).collect();
    let report = alone(json!({}), &features(columns));
    for name in names {
        assert!(of_column(&report, "missing_share", name).is_some(), "{name}");
        assert!(of_column(&report, "distinct", name).is_some(), "{name}");
    }
    assert_eq!(
        codes(&report),
        [("MW-Q011", "all_null"), ("MW-Q015", "constant"), ("MW-Q013", "infinite"), ("MW-Q011", "untyped")]
    );
    let distinct = |name: &str| of_column(&report, "distinct", name);
    assert_eq!((distinct("ragged"), distinct("struct"), distinct("binary")), (Some(3.0), Some(200.0), Some(7.0)));
    assert_eq!((distinct("near_constant"), distinct("duration")), (Some(2.0), Some(9.0)));
    assert_eq!(of_column(&report, "max", "decimal"), Some(0.49));
    assert_eq!(of_column(&report, "max", "infinite"), Some(199.0));
    // Against itself nothing of that is news, but that values are missing or infinite is still counted.
    let table = || features(odd_columns(n));
    let report = run(json!({ "limits": { "samples_mix": 1.0 } }), &table(), &table());
    assert_eq!(codes(&report), []);
    assert_eq!(of_column(&report, "infinite_share", "infinite"), Some(0.5));
}

#[test]
fn columns_without_rows_are_no_answer_and_no_abort() {
    let empty = features(odd_columns(0));
    let report = alone(json!({}), &empty);
    assert!(report.gaps.iter().any(|it| it.why == "there are no current rows"));
    assert!(report.metrics.iter().all(|it| it.n == 0));
    // A current table without rows is an anomaly.
    let report = run(json!({}), &features(odd_columns(50)), &empty);
    assert_eq!(codes(&report), [("MW-Q001", "rows")]);
    assert_eq!(finding(&report, "MW-Q001").severity, Severity::Error);
    // A reference without rows is none.
    let report = run(json!({}), &empty, &features(odd_columns(50)));
    assert_eq!(overall(&report, "rows_ratio"), None);
}

#[test]
fn values_that_go_missing_are_found() {
    let column = |every: i64| -> RecordBatch {
        x(Arc::new(Int64Array::from_iter((0..1000).map(|it| (it % every != 0).then_some(it)))))
    };
    // 40 % new nulls, which is no drift for Evidently, deepchecks and whylogs.
    let report = run(
        quiet(),
        &x(integers(0..1000)),
        &x(Arc::new(Int64Array::from_iter((0..1000).map(|it| (it % 5 < 3).then_some(it))))),
    );
    assert_eq!(codes(&report), [("MW-Q010", "x")]);
    assert_eq!(finding(&report, "MW-Q010").evidence["share"], json!(0.4));
    // A column that always was sparse is none, and a little more than usual is chance.
    let report = run(quiet(), &column(2), &column(2));
    assert_eq!(codes(&report), []);
    // NaN counts as missing, and is told apart.
    let report = alone(quiet(), &x(floats((0..100).map(|it| if it % 10 == 0 { f64::NAN } else { f64::from(it) }))));
    assert_eq!(codes(&report), [("MW-Q010", "x"), ("MW-Q012", "x")]);
    assert_eq!(of_column(&report, "nan_share", "x"), Some(0.1));
}

#[test]
fn equal_constants_are_no_news() {
    let constant = || x(floats(vec![3.0; 500]));
    let report = run(quiet(), &constant(), &constant());
    assert_eq!(codes(&report), []);
    assert_eq!(finding(&report, "MW-Q015").severity, Severity::Info);
    assert_eq!(of_column(&report, "standard_deviation", "x"), Some(0.0));
}

#[test]
fn whole_numbers_beyond_floats_are_exact() {
    let big = (1i64 << 53) + 1;
    let report = alone(json!({}), &x(integers((0..100).map(|it| big + it % 4))));
    assert_eq!(of_column(&report, "distinct", "x"), Some(4.0));
    let expected = (0..100).map(|it| (f64::from(it % 4) - 1.5).powi(2)).sum::<f64>() / 99.0;
    assert!((of_column(&report, "standard_deviation", "x").unwrap() - expected.sqrt()).abs() < 1e-12);
    // One beyond the bound, though both are the same float.
    let rule = |max: i64| json!({ "columns": { "x": { "max": max } } });
    let ids = |last: i64| x(integers((0..50).map(|it| it * 7).chain([last])));
    assert_eq!(codes(&alone(rule(big), &ids(big))), []);
    assert_eq!(codes(&alone(rule(big), &ids(big + 1)))[0], ("MW-Q020", "x"));
    let column = x(Arc::new(UInt64Array::from_iter_values((0..60).map(|it| u64::MAX - it))));
    let report = alone(json!({}), &column);
    assert_eq!(of_column(&report, "distinct", "x"), Some(60.0));
    assert!(report.gaps.iter().any(|it| it.why.contains("2^53")), "{:?}", report.gaps);
}

#[test]
fn one_outlier_does_not_hide_the_others() {
    let values = |extra: f64| (0..1000).map(f64::from).chain([extra]);
    let report = run(json!({}), &x(floats(values(1000.5))), &x(floats(values(1e9).map(|it| it + 0.25))));
    assert_eq!(codes(&report), [("MW-Q020", "x")]);
    assert_eq!(of_column(&report, "outlier_share", "x"), Some(1.0 / 1001.0));
    assert!((of_column(&report, "median", "x").unwrap() - 500.25).abs() < 1e-9);
    // Numbers of 1e300 have a range, though their spread is no float.
    let report = alone(json!({}), &x(floats((0..40).map(|it| 1e300 * f64::from(it % 13)))));
    assert_eq!(of_column(&report, "max", "x"), Some(1.2e301));
}

#[test]
fn an_unseen_category_is_counted_and_no_proof() {
    let column = |names: &[&str]| -> RecordBatch { x(Arc::new(StringArray::from(names.to_vec()))) };
    // Of three rows that are all different, a fourth is expected to be new.
    let report = run(quiet(), &column(&["a", "b", "c"]), &column(&["a", "b", "c", "d"]));
    assert_eq!((of_column(&report, "unseen_share", "x"), codes(&report)), (Some(0.25), vec![]));
    // Of twenty rows with two that are alone, so may be one in ten.
    let known = [vec!["a"; 18], vec!["b", "c"]].concat();
    let report = run(quiet(), &column(&known), &column(&[known.clone(), vec!["d"]].concat()));
    let found = finding(&report, "MW-Q021");
    assert_eq!((found.severity, &found.evidence["n_categories"]), (Severity::Info, &json!(1)));
    let report = run(quiet(), &column(&["red", "blue"].repeat(200)), &column(&["red", "green"].repeat(200)));
    assert_eq!(codes(&report), [("MW-Q021", "x")]);
    assert_eq!(of_column(&report, "unseen_share", "x"), Some(0.5));
}

#[test]
fn a_column_that_changes_its_type_between_batches_is_an_error_of_its_own() {
    let mut probe = open(&json!({}));
    let good = || floats((0..100).map(f64::from));
    for mixed in [good(), texts((0..100).map(|it| it.to_string()))] {
        probe.update(&(), Role::Current, &features(vec![("good", good()), ("mixed", mixed)])).unwrap();
    }
    let report = probe.evaluate(&()).unwrap();
    assert_eq!(codes(&report)[0], ("MW-Q006", "mixed"));
    assert_eq!(of_column(&report, "max", "good"), Some(99.0));
}

#[test]
fn nothing_is_left_out_or_sampled_in_silence() {
    let n = 30_000;
    let names = texts((0..n).map(|it| format!("name {it}")));
    let config =
        json!({ "max_categories": 1000, "max_distinct": 1000, "max_keys": 1000, "sample_rows": 1000, "budget": 1000 });
    let columns =
        |names: ArrayRef| features(vec![("name", names), ("number", floats((0..n).map(|it| (it as f64).sqrt())))]);
    let report = alone(config, &columns(names));
    let gaps: Vec<_> = report.gaps.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(
        gaps,
        [
            "column `name`, number of different values",
            "column `name`, in part",
            "column `number`, number of different values",
            "column `number`, last digits",
            "repeated rows, in part",
            "correlations, in part",
            "outlier rows, by `name`",
            "outlier rows",
        ]
    );
    // The estimates are near the truth, and the error that is told holds.
    let distinct = of_column(&report, "distinct", "name").unwrap();
    assert!((distinct / n as f64 - 1.0).abs() < 0.1, "{distinct}");
    assert!((of_column(&report, "median", "number").unwrap() / (n as f64 / 2.0).sqrt() - 1.0).abs() < 1.0 / 128.0);
    assert_eq!(overall(&report, "duplicate_row_share"), Some(0.0));
}
