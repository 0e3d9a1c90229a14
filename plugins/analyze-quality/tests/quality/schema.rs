//! What a pipeline writes about columns, and what the reference says of them.

use std::sync::Arc;

use analyze_quality::registry;
use modelwatch_sdk::{
    ErrorKind, Kind, Role,
    arrow::array::{ArrayRef, Float64Array, Int32Array, NullArray, TimestampSecondArray},
    report::Severity,
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{
    alone, batch_of, codes, features, finding, floats, gap, integers, of_column, open, quiet, run, texts, x,
};

/// Runs one rule on a column of ages, and returns the codes.
#[track_caller]
fn check_rule(rule: Value, expected: &[&str]) {
    let ages = || integers((0..100).map(|it| it * 37 % 100));
    let report = alone(json!({ "columns": { "x": rule } }), &x(ages()));
    let found: Vec<_> =
        report.findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.as_str()).collect();
    assert_eq!(found, expected, "{:#?}", report.findings);
}

#[test]
fn rules_are_kept_or_broken() {
    check_rule(json!({ "type": "integer", "min": 0, "max": 99, "unique": true, "max_missing": 0 }), &[]);
    check_rule(json!({ "type": "number", "min": -0.5, "max": 99.5 }), &[]);
    check_rule(json!({ "type": "text" }), &["MW-Q005"]);
    check_rule(json!({ "min": 1 }), &["MW-Q020"]);
    check_rule(json!({ "max": 98.5 }), &["MW-Q020"]);
    check_rule(json!({ "pattern": "[0-9]{1,2}" }), &[]);
    check_rule(json!({ "pattern": "[0-9]" }), &["MW-Q022"]);
    check_rule(json!({ "categories": ["1", "2"] }), &["MW-Q021"]);
}

#[test]
fn texts_times_and_missing_values_have_rules_too() {
    let config = json!({ "columns": { "code": { "pattern": "[A-Z]{2}-\\d+", "categories": ["AB-1", "AB-2"], "max_missing": 0.1 } } });
    let of = |codes: Vec<Option<&str>>| x_named("code", codes);
    let good = [Some("AB-1"), Some("AB-2")].repeat(20);
    assert_eq!(errors(&alone(config.clone(), &of(good.clone()))), [] as [&str; 0]);
    let bad = [good, vec![Some("ab-1"), Some("AB-3"), None, None, None, None, None]].concat();
    let report = alone(config, &of(bad));
    assert_eq!(errors(&report), ["MW-Q010", "MW-Q021", "MW-Q022"]);
    assert!(finding(&report, "MW-Q021").message.ends_with("are none of `categories`: `AB-3`, `ab-1`"));
    let times = x(Arc::new(TimestampSecondArray::from_iter_values((0..50).map(|it| it * 86_400))));
    let bounds = |min: &str| json!({ "columns": { "x": { "type": "time", "min": min } } });
    assert_eq!(errors(&alone(bounds("1970-01-01"), &times)), [] as [&str; 0]);
    let report = alone(bounds("1970-01-01T00:00:01Z"), &times);
    assert_eq!(finding(&report, "MW-Q020").evidence["below"], json!(1));
}

#[test]
fn columns_are_left_out_by_name_by_pattern_and_by_type() {
    let batch = || {
        features(vec![
            ("age", integers(0..50)),
            ("city", texts(["a", "b"].repeat(25))),
            ("price", floats((0..50).map(f64::from))),
        ])
    };
    let check = |exclude: Value, expected: &[&str]| {
        let report = alone(json!({ "exclude": exclude }), &batch());
        let found: Vec<_> = ["age", "city", "price"]
            .into_iter()
            .filter(|it| of_column(&report, "missing_share", it).is_some())
            .collect();
        assert_eq!(found, expected);
    };
    check(json!([]), &["age", "city", "price"]);
    check(json!(["c*"]), &["age", "price"]);
    check(json!(["type:number"]), &["city"]);
    check(json!(["type:integer", "type:text"]), &["price"]);
    let error = analyze_quality::registry()
        .open_probe(Kind::Analyzer, "quality", &json!({ "exclude": ["type:word"] }))
        .err()
        .unwrap();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/exclude/0", "`word` is no type of columns"));
}

#[test]
fn rules_are_for_all_columns_of_a_type() {
    let batch = features(vec![
        ("age", integers(0..50)),
        ("city", texts(["a", "b"].repeat(25))),
        ("price", floats((0..50).map(f64::from))),
        ("weight", floats((0..50).map(f64::from))),
    ]);
    let broken = |columns: Value| {
        let report = alone(json!({ "columns": columns }), &batch);
        let broken = codes(&report).into_iter().filter(|it| it.0 == "MW-Q020").map(|it| it.1.to_owned());
        broken.collect::<Vec<_>>()
    };
    assert_eq!(broken(json!({ "type:number": { "min": 1 } })), ["age", "price", "weight"]);
    // A name goes before a pattern, a pattern before a type, and a type before one that it is a part of.
    let all = json!({ "type:number": { "min": 1 }, "type:integer": {}, "w*": {}, "price": {} });
    assert_eq!(broken(all), [] as [&str; 0]);
    // A type that selects nothing is told, and broken where it has to be there.
    let of = |required: bool| {
        let rules = json!({ "type:list": { "required": required }, "type:categorical": {}, "type:number": {} });
        alone(json!({ "columns": rules }), &batch)
    };
    let report = of(false);
    assert_eq!(errors(&report), [] as [&str; 0]);
    let gaps: Vec<_> = report.gaps.iter().filter(|it| it.what.contains("type:")).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (gaps[0].what.as_str(), gaps[0].why.as_str()),
        ("columns `type:list`", "no column of the current rows is of `type:list`")
    );
    assert_eq!(finding(&of(true), "MW-Q003").place, "type:list");
    let error = analyze_quality::registry()
        .open_probe(Kind::Analyzer, "quality", &json!({ "columns": { "type:word": {} } }))
        .err()
        .unwrap();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/columns/type:word", "`word` is no type of columns"));
}

#[test]
fn a_rule_of_a_type_holds_where_every_value_is_missing() {
    let n = 50;
    let batch = |b: ArrayRef| features(vec![("a", floats((0..n).map(f64::from))), ("b", b)]);
    let nothing = || batch(Arc::new(NullArray::new(n as usize)));
    let places = |report: &modelwatch_sdk::Report| -> Vec<String> {
        let missing = report.findings.iter().filter(|it| it.code == "MW-Q010" && it.severity == Severity::Error);
        missing.map(|it| it.place.clone()).collect()
    };
    // Without a type, the strictest rule counts; no rule for missing values is none.
    let rules = json!({ "columns": { "type:number": { "max_missing": 0 }, "type:categorical": { "max_missing": 1 } } });
    assert_eq!(places(&alone(rules.clone(), &nothing())), ["b"]);
    assert_eq!(places(&alone(json!({ "columns": { "type:number": {} } }), &nothing())), [] as [&str; 0]);
    assert_eq!(
        places(&alone(json!({ "columns": { "type:number": { "max_missing": 0 }, "b": {} } }), &nothing())),
        [] as [&str; 0]
    );
    // The reference says of which type it is.
    let texts = batch(texts(["x", "y"].repeat(n as usize / 2)));
    assert_eq!(places(&run(rules.clone(), &texts, &nothing())), [] as [&str; 0]);
    assert_eq!(places(&run(rules, &batch(integers(0..n.into())), &nothing())), ["b"]);
}

#[test]
fn a_rule_of_a_type_holds_where_files_have_whole_numbers_and_floats() {
    let of = |columns: Value| {
        let mut probe = open(&json!({ "columns": columns }));
        for values in [integers(0..50), floats((0..50).map(f64::from))] {
            probe.update(&(), Role::Current, &x(values)).unwrap();
        }
        probe.evaluate(&()).unwrap()
    };
    let gaps =
        |report: &modelwatch_sdk::Report| report.gaps.iter().filter(|it| it.what == "column `x`, its rule").count();
    let number = of(json!({ "type:number": { "min": 1 } }));
    assert_eq!(finding(&number, "MW-Q020").place, "x");
    assert_eq!(gaps(&number), 0);
    // What was counted by the rule of whole numbers alone is no answer for the column.
    assert_eq!(gaps(&of(json!({ "type:number": { "min": 1 }, "type:integer": {} }))), 1);
    assert_eq!(gaps(&of(json!({ "type:integer": { "min": 1 } }))), 1);
}

fn x_named(name: &str, values: Vec<Option<&str>>) -> modelwatch_sdk::RecordBatch {
    features(vec![(name, Arc::new(modelwatch_sdk::arrow::array::StringArray::from(values)))])
}

fn errors(report: &modelwatch_sdk::Report) -> Vec<&str> {
    report.findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.as_str()).collect()
}

#[test]
fn columns_come_and_go() {
    let table = |names: &[&str]| features(names.iter().map(|it| (*it, floats((0..60).map(f64::from)))).collect());
    let config = json!({ "limits": { "samples_mix": 1.0, "feature_feature": 1.0 } });
    let report = run(config, &table(&["a", "b"]), &table(&["b", "c"]));
    let changed: Vec<_> = codes(&report).into_iter().filter(|it| it.0 < "MW-Q005").collect();
    assert_eq!(changed, [("MW-Q003", "a"), ("MW-Q004", "c")]);
    let report = alone(
        json!({ "columns": { "a": {}, "b": { "required": false }, "x_*": { "required": true } }, "only_these": true }),
        &table(&["c"]),
    );
    assert_eq!(codes(&report), [("MW-Q003", "a"), ("MW-Q003", "x_*"), ("MW-Q004", "c")]);
    let rules = json!({ "c*": {}, "y_*": {}, "z_*": { "required": false } });
    let report = alone(json!({ "columns": rules }), &table(&["c"]));
    let told: Vec<_> = report.gaps.iter().map(|it| it.what.as_str()).filter(|it| it.contains('*')).collect();
    assert_eq!(told, ["columns `y_*`"]);
}

#[test]
fn types_change() {
    let before = x(integers((0..80).map(|it| it % 20)));
    let cases: [(modelwatch_sdk::RecordBatch, Option<Severity>); 5] = [
        (x(integers((0..80).map(|it| it % 20))), None),
        (x(Arc::new(Int32Array::from_iter_values((0..80).map(|it| it % 20)))), Some(Severity::Info)),
        (x(floats((0..80).map(|it| f64::from(it % 20)))), Some(Severity::Warning)),
        (x(texts((0..80).map(|it| (it % 20).to_string()))), Some(Severity::Error)),
        // That nothing is left is not a matter of types.
        (x(Arc::new(Float64Array::new_null(80))), None),
    ];
    for (current, expected) in cases {
        let report = run(json!({}), &before, &current);
        let found = report.findings.iter().find(|it| it.code == "MW-Q005").map(|it| it.severity);
        assert_eq!(found, expected, "{:?}", current.schema().field(0).data_type());
    }
}

#[test]
fn ranges_are_those_of_the_reference() {
    let of = |from: i64, to: i64| x(integers((0..2000).map(move |it| from + it * 7919 % (to - from))));
    assert_eq!(codes(&run(quiet(), &of(0, 500), &of(0, 500))), []);
    // A few rows beyond the greatest of as many are chance.
    let report = run(quiet(), &of(0, 500), &of(0, 501));
    assert!(of_column(&report, "out_of_range_share", "x").unwrap() > 0.0);
    assert_eq!(codes(&report), []);
    let report = run(quiet(), &of(0, 500), &of(0, 600));
    assert_eq!(codes(&report), [("MW-Q020", "x")]);
    assert!(finding(&report, "MW-Q020").message.contains("0 to 499: the values are from 0 to 599"));
}

#[test]
fn volume_and_freshness_are_held_against_the_data_and_the_options() {
    let rows = |n: i64| {
        let times = Arc::new(TimestampSecondArray::from_iter_values((0..n).map(|it| 1_000_000_000 + it)));
        batch_of(vec![("at", &[Use::Timestamp], times), ("x", &[Use::Feature], floats((0..n).map(|it| it as f64)))])
    };
    // The last of 100 rows is of 2001-09-09T01:48:19Z.
    let cases = [
        (json!({ "min_rows": 100, "max_rows": 100 }), vec![]),
        (json!({ "min_rows": 101 }), vec!["MW-Q001"]),
        (json!({ "max_rows": 99 }), vec!["MW-Q001"]),
        (json!({ "freshness": { "newest": "2001-09-09T01:48:19Z" } }), vec![]),
        (json!({ "freshness": { "newest": "2001-09-10" } }), vec!["MW-Q002"]),
        (json!({ "freshness": { "as_of": "2001-09-09T03:00:00Z", "max_age": "2h" } }), vec![]),
        (json!({ "freshness": { "as_of": "2001-09-09T03:00:00Z", "max_age": "1h" } }), vec!["MW-Q002"]),
        (json!({ "freshness": { "as_of": "2001-09-09T01:48:00Z", "max_age": "1h" } }), vec!["MW-Q002"]),
        (json!({ "freshness": { "column": "at", "newest": "2001-09-09" } }), vec![]),
    ];
    for (config, expected) in cases {
        let report = alone(config.clone(), &rows(100));
        assert_eq!(codes(&report).into_iter().map(|it| it.0).collect::<Vec<_>>(), expected, "{config}");
    }
    let quiet = json!({ "limits": { "samples_mix": 1.0, "time_overlap": 1.0 } });
    assert_eq!(codes(&run(quiet.clone(), &rows(1000), &rows(10))), [("MW-Q001", "rows")]);
    assert_eq!(codes(&run(quiet, &rows(1000), &rows(11))), []);
}

#[test]
fn options_that_make_no_sense_are_refused_with_their_place() {
    let cases = [
        (json!({ "columns": { "a/b": { "pattern": "[" } } }), "/columns/a~1b/pattern"),
        (json!({ "columns": { "a": { "min": 2, "max": 1 } } }), "/columns/a/min"),
        (json!({ "columns": { "a": { "max": "soon" } } }), "/columns/a/max"),
        (json!({ "columns": { "a": { "max_missing": 2 } } }), "/columns/a/max_missing"),
        (json!({ "limits": { "missing": -1.0 } }), "/limits/missing"),
        (json!({ "limits": { "size_ratio": -1.0 } }), "/limits/size_ratio"),
        (json!({ "freshness": {} }), "/freshness"),
        (json!({ "freshness": { "max_age": "2h" } }), "/freshness/max_age"),
        (json!({ "freshness": { "as_of": "2001-09-09", "max_age": "2 moons" } }), "/freshness/max_age"),
        (json!({ "min_rows": 2, "max_rows": 1 }), "/min_rows"),
        (json!({ "budget": 1 }), "/budget"),
    ];
    for (config, path) in cases {
        let error = analyze_quality::registry().open_probe(Kind::Analyzer, "quality", &config).map(drop).unwrap_err();
        assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, path), "{config}: {error}");
        assert!(!error.help.is_empty(), "{config}");
    }
}

#[test]
fn columns_are_chosen_by_name_pattern_and_type() {
    let table = batch_of(vec![
        ("a_1", &[Use::Feature], floats((0..60).map(f64::from))),
        ("a_2", &[Use::Feature], texts((0..60).map(|it| format!("v{}", it % 5)))),
        ("b", &[Use::Feature], texts((0..60).map(|it| format!("w{}", it % 4)))),
        ("c", &[Use::Feature], floats((0..60).map(f64::from))),
        ("y", &[Use::Label], integers((0..60).map(|it| it % 2))),
    ]);
    let seen = |config: Value| {
        let report = alone(config, &table);
        ["a_1", "a_2", "b", "c", "y"]
            .into_iter()
            .filter(|it| of_column(&report, "missing_share", it).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(json!({ "include": ["a_*"] })), ["a_1", "a_2", "y"]);
    assert_eq!(seen(json!({ "include": ["type:text"] })), ["a_2", "b", "y"]);
    assert_eq!(seen(json!({ "include": ["a_*"], "exclude": ["type:text"] })), ["a_1", "y"]);
    assert_eq!(seen(json!({ "include": ["b"], "columns": { "c": { "min": 0 } } })), ["b", "c", "y"]);
    assert_eq!(seen(json!({})), ["a_1", "a_2", "b", "c", "y"]);
    let report = alone(json!({ "include": ["b", "d_*"] }), &table);
    assert_eq!(gap(&report, "columns `d_*`"), "there is no such column");
    let error =
        registry().open_probe(Kind::Analyzer, "quality", &json!({ "include": ["b", "type:txt"] })).err().unwrap();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/include/1", "`txt` is no type of columns"));
}
