//! What the analyzer says about columns that drifted, did not, or cannot be compared.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Error, ErrorKind, Kind, RecordBatch, Role,
    arrow::{
        array::{
            ArrayRef, BooleanArray, Date32Array, FixedSizeListArray, Float64Array, Int64Array, NullArray, StringArray,
        },
        schema::{DataType, Field},
    },
    report::{FigureData, Severity, Status},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Random, batch_of, codes, features, finding, fixture, of_column, open, overall, run};

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn normals(seed: u64, n: usize, mean: f64, std: f64) -> ArrayRef {
    let mut random = Random(seed);
    floats((0..n).map(|_| mean + std * random.normal()))
}

fn names(values: impl IntoIterator<Item = &'static str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn lists(width: usize, values: Vec<f64>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    Arc::new(FixedSizeListArray::new(item, width as i32, floats(values), None))
}

fn x(array: ArrayRef) -> RecordBatch {
    features(vec![("x", array)])
}

#[test]
fn shifts_and_changes_of_scale_are_found() {
    for (mean, std) in [(0.5, 1.0), (-0.5, 1.0), (0.0, 2.0), (0.0, 0.5)] {
        let report = run(json!({}), &x(normals(1, 2000, 0.0, 1.0)), &x(normals(2, 1000, mean, std)));
        assert_eq!(codes(&report), [("MW-D001", "x")], "{mean} {std}");
        assert_eq!((overall(&report, "drifted_share"), overall(&report, "drifted_columns")), (1.0, 1.0));
        let finding = finding(&report, "MW-D001");
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!((&finding.evidence["n_reference"], &finding.evidence["n_current"]), (&json!(2000), &json!(1000)));
        assert_eq!(finding.evidence["largest_changes"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_discrepancy_sees_shifts_and_scales_and_no_outlier() {
    let of = |current: ArrayRef| run(json!({ "method": "mmd" }), &x(normals(1, 2000, 0.0, 1.0)), &x(current));
    for (mean, std, expected) in [(0.0, 1.0, None), (0.5, 1.0, Some(0.183)), (0.0, 2.0, Some(0.256))] {
        let report = of(normals(2, 1000, mean, std));
        let effect = of_column(&report, "effect", "x").unwrap();
        match expected {
            None => assert_eq!((codes(&report), effect < 0.05), (vec![], true), "{effect}"),
            Some(it) => {
                assert_eq!(codes(&report), [("MW-D001", "x")], "{mean} {std}");
                assert!((effect - it).abs() < 0.03, "{mean} {std}: {effect}");
            }
        }
    }
    let mut random = Random(2);
    let one_is_wild = floats((0..1000).map(|it| if it == 0 { 1e300 } else { random.normal() }));
    assert_eq!(codes(&of(one_is_wild)), []);
}

#[test]
fn modes_with_random_dealings_and_one_sided_ones_answer_by_their_rule() {
    let drifted = |method: &str, reference: ArrayRef, current: ArrayRef| {
        let report = run(json!({ "method": method }), &x(reference), &x(current));
        assert!(report.gaps.iter().all(|it| it.what != "column `x`"), "{method}: {:?}", report.gaps);
        overall(&report, "drifted_columns") > 0.0
    };
    let of = |n_yes: usize| names((0..400).map(move |it| if it < n_yes { "1" } else { "0" }));
    for (method, more, fewer) in [("evidently:tvd", true, true), ("alibi:fet", true, false)] {
        assert!(!drifted(method, of(100), of(101)), "{method}");
        assert_eq!((drifted(method, of(100), of(200)), drifted(method, of(200), of(100))), (more, fewer), "{method}");
    }
    let method = "evidently:empirical_mmd";
    assert!(drifted(method, normals(1, 300, 0.0, 1.0), normals(2, 300, 0.8, 1.0)));
    assert!(!drifted(method, normals(1, 300, 0.0, 1.0), normals(2, 300, 0.0, 1.0)));
    let of_many = |n: u64| names((0..n).map(|it| if it % 2 == 0 { "1" } else { "0" }));
    let with_null: ArrayRef = Arc::new(StringArray::from_iter((0..400).map(|it| (it % 3 != 0).then_some("1"))));
    for (method, reference, current, why) in [
        (
            method,
            normals(1, 4000, 0.0, 1.0),
            normals(2, 4000, 0.0, 1.0),
            "8000 are more than 5000; `mmd` takes any number",
        ),
        (
            "evidently:tvd",
            of_many(60_000),
            of_many(40_001),
            "100001 are more than 100000; `total-variation` takes any number",
        ),
        ("alibi:fet", with_null.clone(), with_null, "has no answer for a column with missing values"),
    ] {
        let report = run(json!({ "method": method }), &x(reference), &x(current));
        let gap = report.gaps.iter().find(|it| it.what == "column `x`").unwrap();
        assert!(gap.why.contains(why), "{}", gap.why);
    }
}

#[test]
fn columns_count_as_much_as_their_importance() {
    let table = |seed: u64, shift: f64| {
        let column = |idx: u64, shift| normals(10 * seed + idx, 500, shift, 1.0);
        features(vec![("income", column(1, shift)), ("age_now", column(2, 0.0)), ("other", column(3, shift))])
    };
    let share = |importance: serde_json::Value| {
        let report = run(json!({ "importance": importance }), &table(1, 0.0), &table(2, 1.0));
        overall(&report, "weighted_drifted_share")
    };
    assert_eq!(share(json!({ "income": 3, "age*": 1 })), 0.75);
    assert_eq!(share(json!({ "age*": 1 })), 0.0);
    assert!(share(json!({ "nothing": 1 })).is_nan());
    let config = json!({ "importance": { "income": -1 } });
    let error = analyze_drift::registry().open_probe(Kind::Analyzer, "drift", &config).err().unwrap();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, "/importance/income"));
}

#[test]
fn trifles_in_large_samples_are_no_drift() {
    let report = run(json!({}), &x(normals(1, 60_000, 0.0, 1.0)), &x(normals(2, 60_000, 0.05, 1.0)));
    assert_eq!(overall(&report, "drifted_columns"), 0.0);
    assert!(of_column(&report, "p_value", "x").unwrap() < 0.01);
    let strict = json!({ "min_effect": { "ks": 0.0 }, "severity": "error" });
    let report = run(strict, &x(normals(1, 60_000, 0.0, 1.0)), &x(normals(2, 60_000, 0.05, 1.0)));
    assert_eq!(finding(&report, "MW-D001").severity, Severity::Error);
}

#[test]
fn equal_distributions_raise_few_alarms_over_twenty_columns() {
    let titles: Vec<String> = (0..20).map(|it| format!("x{it}")).collect();
    let mut random = Random(7);
    let mut table = |rows: usize| {
        let columns = titles.iter().enumerate().map(|(idx, name)| {
            let array: ArrayRef = match idx % 4 {
                0 => floats((0..rows).map(|_| random.normal())),
                1 => floats((0..rows).map(|_| (4.0 * random.uniform()).floor())),
                2 => floats((0..rows).map(|_| (1.0 - random.uniform()).ln().abs())),
                _ => names((0..rows).map(|_| ["a", "b", "c", "d", "e"][(25.0 * random.uniform()).sqrt() as usize])),
            };
            (name.as_str(), array)
        });
        features(columns.collect())
    };
    let mut n_alarms = 0;
    for _ in 0..100 {
        let report = run(json!({ "min_effect": { "ks": 0.0, "chi2": 0.0 } }), &table(5000), &table(100));
        assert_eq!(overall(&report, "compared_columns"), 20.0);
        n_alarms += u32::from(overall(&report, "drifted_columns") > 0.0);
    }
    assert!(n_alarms <= 3, "{n_alarms} of 100");
}

#[test]
fn categories_that_change_their_shares_are_drifted() {
    let of = |n: usize| names((0..400).map(move |it| if it < n { "a" } else { "b" }));
    let report = run(json!({}), &x(of(200)), &x(of(300)));
    assert_eq!(codes(&report), [("MW-D001", "x")]);
    assert_eq!(of_column(&report, "effect", "x"), Some(0.25));
    assert_eq!(codes(&run(json!({}), &x(of(200)), &x(of(201)))), []);
    let pictures: Vec<_> = report.figures.iter().map(|it| matches!(it.data, FigureData::Bars { .. })).collect();
    // The table, the shares, and what adds most to the difference.
    assert_eq!(pictures, [false, true, true]);
}

#[test]
fn every_method_finds_a_change_and_none_finds_one_in_equal_rows() {
    let text = |n: usize| names((0..400).map(move |it| if it < n { "a" } else { "b" }));
    let table = |shift: f64, n: usize| features(vec![("number", normals(3, 400, shift, 1.0)), ("name", text(n))]);
    for (numeric, categorical) in
        [("ks", "chi2"), ("psi", "psi"), ("jensen-shannon", "jensen-shannon"), ("wasserstein", "auto")]
    {
        let config = json!({ "numeric_method": numeric, "categorical_method": categorical });
        let report = run(config.clone(), &table(0.0, 100), &table(1.0, 300));
        assert_eq!(codes(&report), [("MW-D001", "name"), ("MW-D001", "number")], "{numeric}");
        assert_eq!(overall(&run(config, &table(0.0, 100), &table(0.0, 100)), "drifted_share"), 0.0, "{numeric}");
    }
}

#[test]
fn values_that_go_missing_are_drift() {
    let with_nulls = |every: usize| -> ArrayRef {
        Arc::new((0..500).map(|it| (it % every != 0).then_some(it as f64)).collect::<Float64Array>())
    };
    let report = run(json!({}), &x(with_nulls(100)), &x(with_nulls(4)));
    assert_eq!(codes(&report), [("MW-D003", "x")]);
    assert_eq!(overall(&report, "drifted_share"), 1.0);
    assert_eq!(finding(&report, "MW-D003").evidence["nulls_current"], json!(125));
    let few = run(json!({}), &x(with_nulls(100)), &x(with_nulls(90)));
    assert_eq!(codes(&few), []);
    for bad in [f64::NAN, f64::INFINITY] {
        let spoiled = floats((0..500).map(|it| if it % 4 == 0 { bad } else { f64::from(it) }));
        let report = run(json!({}), &x(floats((0..500).map(f64::from))), &x(spoiled));
        assert_eq!(codes(&report), [("MW-D003", "x")]);
        let infinite = u32::from(bad.is_infinite()) * 125;
        assert_eq!(finding(&report, "MW-D003").evidence["infinite_current"], json!(infinite));
        assert_eq!(finding(&report, "MW-D003").evidence["nulls_current"], json!(0));
    }
}

#[test]
fn columns_that_cannot_be_compared_do_not_stop_the_others() {
    let n = 100;
    let numbers = || floats((0..n).map(f64::from));
    let nulls = || -> ArrayRef { Arc::new(Float64Array::new_null(n as usize)) };
    let dates = || -> ArrayRef { Arc::new(Date32Array::from_iter_values(0..n)) };
    let texts = || names((0..n).map(|_| "a"));
    let reference = features(vec![
        ("all_null", nulls()),
        ("date", dates()),
        ("good", numbers()),
        ("null_now", numbers()),
        ("only_reference", numbers()),
        ("text_now", numbers()),
        ("untyped_now", numbers()),
    ]);
    let current = features(vec![
        ("good", numbers()),
        ("text_now", texts()),
        ("only_current", texts()),
        ("null_now", nulls()),
        ("date", dates()),
        ("all_null", nulls()),
        ("untyped_now", Arc::new(NullArray::new(n as usize))),
    ]);
    let report = run(json!({ "predictions": false }), &reference, &current);
    let expected = [
        ("MW-D003", "null_now"),
        ("MW-D004", "only_current"),
        ("MW-D004", "only_reference"),
        ("MW-D004", "text_now"),
        ("MW-D003", "untyped_now"),
    ];
    assert_eq!(codes(&report), expected);
    assert_eq!(finding(&report, "MW-D004").severity, Severity::Error);
    let gaps: Vec<_> = report.gaps.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(gaps, ["column `all_null`", "column `date`", "column `null_now`", "column `untyped_now`"]);
    assert_eq!((overall(&report, "compared_columns"), overall(&report, "n_columns")), (3.0, 8.0));
    assert_eq!(of_column(&report, "drifted", "good"), Some(0.0));
    assert_eq!(of_column(&report, "ks_p_value", "all_null"), None);
}

#[test]
fn no_rows_and_too_few_rows_are_gaps() {
    let many = x(normals(1, 100, 0.0, 1.0));
    for (reference, current, expected) in [
        (&many, &many.slice(0, 0), "there are no current rows"),
        (&many.slice(0, 0), &many, "there are no reference rows"),
        (&many, &many.slice(0, 19), "19 of 19 current rows have a usable value, and 20 are needed"),
    ] {
        let report = run(json!({ "predictions": false }), reference, current);
        assert_eq!(report.gaps.iter().map(|it| it.why.as_str()).collect::<Vec<_>>(), [expected]);
        assert!(overall(&report, "drifted_share").is_nan());
        assert!(overall(&report, "drifted_columns").is_nan());
        assert_eq!(of_column(&report, "p_value", "x"), None);
    }
    let nothing = open(json!({})).evaluate(&()).unwrap();
    assert_eq!(nothing.gaps.len(), 2);
}

#[test]
fn constants_are_compared() {
    let of = |it: f64| x(floats(vec![it; 100]));
    assert_eq!(codes(&run(json!({}), &of(3.0), &of(3.0))), []);
    assert_eq!(codes(&run(json!({}), &of(3.0), &of(4.0))), [("MW-D001", "x")]);
    let varying = x(normals(1, 100, 3.0, 1.0));
    assert_eq!(codes(&run(json!({}), &of(3.0), &varying)), [("MW-D001", "x"), ("MW-D006", "x")]);
    assert_eq!(codes(&run(json!({}), &varying, &of(3.0))), [("MW-D001", "x"), ("MW-D006", "x")]);
    // Thirty rows without an event that one row in a hundred has are no news.
    let rare = x(floats((0..1000).map(|it| f64::from(u8::from(it % 100 == 0)))));
    assert_eq!(codes(&run(json!({}), &rare, &x(floats(vec![0.0; 30])))), []);
}

#[test]
fn categories_that_the_reference_lacks_are_named() {
    let reference = x(names((0..1000).map(|it| if it % 2 == 0 { "a" } else { "b" })));
    let current = x(names((0..1000).map(|it| {
        if it % 100 == 0 {
            "c"
        } else if it % 2 == 0 {
            "a"
        } else {
            "b"
        }
    })));
    let report = run(json!({}), &reference, &current);
    assert_eq!(codes(&report), [("MW-D005", "x")]);
    assert_eq!(finding(&report, "MW-D005").evidence["categories"], json!(["c"]));
    assert_eq!(finding(&report, "MW-D005").severity, Severity::Warning);
    assert_eq!(of_column(&report, "unseen_share", "x"), Some(0.01));
    let disjoint = run(json!({}), &reference, &x(names((0..1000).map(|_| "z"))));
    assert_eq!(codes(&disjoint), [("MW-D001", "x"), ("MW-D005", "x"), ("MW-D006", "x")]);
}

#[test]
fn numbers_can_be_declared_categories() {
    let of = |swap: bool| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..600).map(|it| if swap && it % 3 == 1 { 7 } else { it % 3 })))
    };
    let declared = run(json!({ "categorical": ["*"] }), &x(of(false)), &x(of(true)));
    assert!(of_column(&declared, "chi2_statistic", "x").is_some());
    let marked = |array| batch_of(vec![("x", [Use::Feature, Use::Categorical].as_slice(), array)]);
    assert_eq!(run(json!({}), &marked(of(false)), &marked(of(true))), declared);
    assert!(of_column(&run(json!({}), &x(of(false)), &x(of(true))), "ks_statistic", "x").is_some());
    let flags = |n: usize| x(Arc::new(BooleanArray::from_iter((0..200).map(move |it| Some(it < n)))));
    assert_eq!(codes(&run(json!({}), &flags(50), &flags(150))), [("MW-D001", "x")]);
}

#[test]
fn columns_are_chosen_by_name_and_pattern() {
    let of = || normals(1, 50, 0.0, 1.0);
    let batch = batch_of(vec![
        ("mean_a", &[Use::Feature], of()),
        ("mean_b", &[Use::Feature], of()),
        ("other", &[Use::Feature], of()),
        ("label", &[Use::Label], of()),
    ]);
    let check = |config: serde_json::Value, expected: &[&str]| {
        let report = run(config, &batch, &batch);
        let found: Vec<_> =
            report.metrics.iter().filter(|it| it.name == "drifted").map(|it| it.labels["column"].as_str()).collect();
        assert_eq!(found, expected);
    };
    check(json!({}), &["mean_a", "mean_b", "other"]);
    check(json!({ "columns": ["mean_*"], "exclude": ["*_b"] }), &["mean_a"]);
    check(json!({ "columns": ["*"] }), &["mean_a", "mean_b", "other"]);
    check(json!({ "columns": ["label"] }), &["label"]);
    assert_eq!(open(json!({ "columns": ["label", "mean_*"] })).needs().current.unwrap().columns, ["label"]);
    let report = run(json!({ "columns": ["men_*"], "predictions": false }), &batch, &batch);
    assert!(report.gaps.iter().any(|it| it.what == "columns `men_*`"));
    let config = json!({ "methods": { "mean_*": "ks", "others": "ks" }, "importance": { "mean_a": 1, "mean_c": 1 } });
    let report = run(config, &batch, &batch);
    let told: Vec<_> = report.gaps.iter().map(|it| it.what.as_str()).filter(|it| it.starts_with('`')).collect();
    assert_eq!(told, ["`others` in `methods`", "`mean_c` in `importance`"]);
}

#[test]
fn columns_are_chosen_by_type() {
    let rows = || 0..50;
    let marked = [Use::Feature, Use::Categorical];
    let batch = batch_of(vec![
        ("age", &[Use::Feature], Arc::new(Int64Array::from_iter_values(rows())) as ArrayRef),
        ("city", &[Use::Feature], names(rows().map(|it| if it % 2 == 0 { "a" } else { "b" }))),
        ("price", &[Use::Feature], normals(1, 50, 0.0, 1.0)),
        ("zip", &marked, Arc::new(Int64Array::from_iter_values(rows().map(|it| it % 2)))),
    ]);
    let check = |config: serde_json::Value, expected: &[&str]| {
        let report = run(config, &batch, &batch);
        let found: Vec<_> =
            report.metrics.iter().filter(|it| it.name == "drifted").map(|it| it.labels["column"].as_str()).collect();
        assert_eq!(found, expected);
        assert!(report.gaps.iter().all(|it| !it.what.starts_with("columns")), "{:?}", report.gaps);
    };
    check(json!({ "columns": ["type:number"] }), &["age", "price"]);
    check(json!({ "columns": ["type:categorical", "pr*"] }), &["city", "price", "zip"]);
    check(json!({ "exclude": ["type:integer"] }), &["city", "price", "zip"]);
    check(json!({ "columns": ["type:number"], "categorical": ["age"] }), &["price"]);
    let error = analyze_drift::registry()
        .open_probe(Kind::Analyzer, "drift", &json!({ "columns": ["type:float"] }))
        .err()
        .unwrap();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/columns/0", "`float` is no type of columns"));
    // A stored profile does not know the types.
    let takes_profile = |config| open(config).needs().reference.unwrap().profile;
    assert!(takes_profile(json!({ "columns": ["*"] })) && !takes_profile(json!({ "columns": ["type:number"] })));
}

#[test]
fn lists_are_one_column_with_one_finding() {
    let of = |seed: u64, brighter: usize| {
        let mut random = Random(seed);
        let values = (0..300).flat_map(|_| {
            (0..64).map(|idx| if idx < brighter { 3.0 } else { 0.0 } + random.normal()).collect::<Vec<_>>()
        });
        x(lists(64, values.collect()))
    };
    let report = run(json!({ "predictions": false }), &of(1, 0), &of(2, 5));
    assert_eq!(codes(&report), [("MW-D001", "x")]);
    assert_eq!(of_column(&report, "drifted_elements", "x"), Some(5.0));
    assert_eq!(overall(&report, "n_columns"), 1.0);
    let quiet = run(json!({ "predictions": false }), &of(1, 0), &of(2, 0));
    assert_eq!((codes(&quiet), quiet.gaps.len()), (vec![], 0));
    let summaries = run(json!({ "max_elements": 0 }), &of(1, 0), &of(2, 5));
    assert_eq!(codes(&summaries), [("MW-D001", "x")]);
}

#[test]
fn outputs_are_compared_where_both_roles_have_them() {
    let of = |seed: u64, share: f64| {
        let mut random = Random(seed);
        let probabilities = (0..400).flat_map(|_| {
            let noise = 0.2 * random.uniform();
            if random.uniform() < share {
                [0.7 + noise, 0.2 - noise / 2.0, 0.1 - noise / 2.0]
            } else {
                [0.05, 0.9, 0.05]
            }
        });
        lists(3, probabilities.collect())
    };
    let with = |output: Option<ArrayRef>| {
        let mut columns: Vec<(&str, &[Use], ArrayRef)> = vec![("x", &[Use::Feature], normals(9, 400, 0.0, 1.0))];
        columns.extend(output.map(|it| ("candidate:probs", [Use::Candidate].as_slice(), it)));
        batch_of(columns)
    };
    let report = run(json!({}), &with(Some(of(1, 0.5))), &with(Some(of(2, 0.8))));
    assert_eq!(codes(&report), [("MW-D002", "probs")]);
    assert_eq!((overall(&report, "prediction_drift"), overall(&report, "drifted_share")), (1.0, 0.0));
    assert!(report.metrics.iter().any(|it| it.labels.get("output").is_some_and(|it| it == "probs")
        && it.labels.get("part").is_some_and(|it| it == "argmax")));
    let report = run(json!({}), &with(Some(of(1, 0.5))), &with(Some(of(2, 0.5))));
    assert_eq!((codes(&report), overall(&report, "prediction_drift")), (vec![], 0.0));
    let report = run(json!({}), &with(None), &with(Some(of(2, 0.5))));
    assert_eq!(report.gaps[0].why, "the reference rows have no predictions");
    assert!(report.metrics.iter().all(|it| it.name != "prediction_drift"));
    let report = run(json!({ "predictions": false }), &with(None), &with(Some(of(2, 0.5))));
    assert!(report.gaps.is_empty());
}

#[test]
fn small_differences_of_large_numbers_are_seen_beyond_the_budget() {
    let of = |seed: u64, shift: f64| x(normals(seed, 2000, 1e12 + shift, 1.0));
    for budget in [500, 10_000] {
        let config = json!({ "budget": budget, "predictions": false });
        assert_eq!(codes(&run(config.clone(), &of(1, 0.0), &of(2, 0.0))), []);
        assert_eq!(codes(&run(config, &of(1, 0.0), &of(2, 0.5))), [("MW-D001", "x")]);
    }
}

#[test]
fn the_method_is_chosen_by_name_pattern_and_kind() {
    let text = |n: usize| names((0..400).map(move |it| if it < n { "a" } else { "b" }));
    let table = |shift: f64| {
        let number = || normals(3, 400, shift, 1.0);
        features(vec![("price", number()), ("price_old", number()), ("size", number()), ("kind", text(200))])
    };
    let methods = json!({ "price*": "wasserstein", "price_old": "t", "*": "psi" });
    let report = run(json!({ "methods": methods, "method": "hellinger" }), &table(0.0), &table(1.0));
    let used = |column: &str| {
        let finding = report.findings.iter().find(|it| it.place == column).unwrap();
        finding.evidence["method"].as_str().unwrap().to_owned()
    };
    assert_eq!((used("price"), used("price_old"), used("size")), ("wasserstein".into(), "t".into(), "psi".into()));
    let wrong = json!({ "methods": { "kind": "wasserstein" }, "predictions": false });
    let report = run(wrong, &table(0.0), &table(0.0));
    assert_eq!(report.gaps.len(), 1);
    assert_eq!(report.gaps[0].why, "`wasserstein` cannot compare categories");
    // A method for all columns leaves those alone that it cannot compare.
    let report = run(json!({ "method": "wasserstein" }), &table(0.0), &table(0.0));
    assert_eq!(overall(&report, "compared_columns"), 4.0);
}

#[test]
fn every_effect_has_an_interval_that_holds_it() {
    let of = |seed: u64, shift: f64| x(normals(seed, 1000, shift, 1.0));
    for method in ["auto", "wasserstein", "psi", "jensen-shannon", "kl", "hellinger", "total-variation", "chebyshev"] {
        let report = run(json!({ "method": method }), &of(1, 0.0), &of(2, 1.0));
        let effect = report.metrics.iter().find(|it| it.name == "effect").unwrap();
        let interval = effect.interval.unwrap();
        assert!(0.0 < interval.low && interval.low < effect.value && effect.value < interval.high, "{method}");
        let evidence = &finding(&report, "MW-D001").evidence;
        assert_eq!(evidence["effect_low"], json!(interval.low), "{method}");
        assert_eq!(evidence["largest_changes"].as_array().unwrap().len(), 3, "{method}");
    }
}

#[test]
fn tests_of_numbers_find_what_they_are_for() {
    let of = |seed: u64, shift: f64, std: f64| x(normals(seed, 800, shift, std));
    let shift = [
        "ks",
        "cramer-von-mises",
        "anderson-darling",
        "mann-whitney",
        "t",
        "welch",
        "epps-singleton",
        "kuiper",
        "energy",
    ];
    for method in shift {
        let config = json!({ "method": method });
        assert_eq!(codes(&run(config.clone(), &of(1, 0.0, 1.0), &of(2, 0.8, 1.0))), [("MW-D001", "x")], "{method}");
        assert_eq!(codes(&run(config, &of(1, 0.0, 1.0), &of(2, 0.0, 1.0))), [], "{method}");
    }
    for method in ["auto", "ks", "epps-singleton", "kuiper"] {
        let config = json!({ "method": method });
        assert_eq!(codes(&run(config, &of(1, 0.0, 1.0), &of(2, 0.0, 2.0))), [("MW-D001", "x")], "{method}");
    }
}

#[test]
fn an_effect_of_just_the_least_is_one_whatever_its_last_bits_are() {
    let flags = |ones: usize| -> (ArrayRef, ArrayRef) {
        let is_one = |row: usize| row < ones;
        let numbers = Float64Array::from_iter_values((0..1000).map(|row| f64::from(u8::from(is_one(row)))));
        let names = StringArray::from_iter_values((0..1000).map(|row| if is_one(row) { "yes" } else { "no" }));
        (Arc::new(numbers), Arc::new(names))
    };
    let of = |ones: usize| {
        let (numbers, names) = flags(ones);
        features(vec![("number", numbers), ("name", names)])
    };
    let config = json!({ "min_effect": { "ks": 0.1, "chi2": 0.1 }, "predictions": false });
    for ones in (18..=882).step_by(18) {
        let found = codes(&run(config.clone(), &of(ones), &of(ones + 100))).len();
        assert_eq!(found, 2, "{ones} and {} of 1,000", ones + 100);
        let report = run(config.clone(), &of(ones), &of(ones + 99));
        assert_eq!(codes(&report), [], "{ones} and {} of 1,000", ones + 99);
    }
}

#[test]
fn other_tools_numbers_are_judged_by_their_own_rules() {
    let report = |config: serde_json::Value, id: &str| {
        let mut probe = open(config);
        for (role, name) in [(Role::Reference, "reference"), (Role::Current, "current")] {
            for batch in fixture(&format!("conformance/univariate/{id}.{name}.parquet")) {
                probe.update(&(), role, &batch).unwrap();
            }
        }
        probe.evaluate(&()).unwrap()
    };
    // The numbers are those of the conformance set.
    for (method, id, score, is_drift) in [
        ("evidently:psi", "num_normal_shift", 0.1042378670484341, true),
        ("evidently:kl_div", "num_normal_shift", 0.05161462983763249, false),
        ("evidently:mannw", "num_normal_shift", 4.815633494422549e-10, true),
        ("evidently:auto", "cat_50_zipf", 0.11014481098929713, true),
        ("nannyml:chi2", "cat_5", 0.044410057274448494, true),
        ("alibi:ks", "num_normal_same", f64::NAN, false),
    ] {
        let report = report(json!({ "method": method }), id);
        let drifted = of_column(&report, "drifted", "x").unwrap();
        assert_eq!(drifted, f64::from(u8::from(is_drift)), "{method}");
        let found = of_column(&report, "score", "x").unwrap();
        assert!(score.is_nan() || (found / score - 1.0).abs() < 1e-6, "{method}: {found}");
        assert_eq!(of_column(&report, "p_value", "x"), None, "{method}");
    }
    let higher = json!({ "method": "evidently:psi", "thresholds": { "evidently:psi": 0.2 } });
    assert_eq!(codes(&report(higher, "num_normal_shift")), []);
    let nannyml = json!({ "method": "nannyml:wasserstein", "thresholds": { "nannyml:wasserstein": 0.1 } });
    assert_eq!(codes(&report(nannyml, "num_normal_shift")), [("MW-D001", "x")]);
    let too_many = report(json!({ "method": "evidently:ks", "budget": 500, "predictions": false }), "num_normal_shift");
    assert_eq!(too_many.gaps[0].why, "`evidently:ks` needs every value: raise `budget` from 500 to at least 1000");
    let missing = report(json!({ "method": "alibi:ks", "predictions": false }), "num_null5");
    assert!(missing.gaps[0].why.contains("missing values"), "{:?}", missing.gaps);
}

#[test]
fn missing_values_are_beside_another_tools_number_and_can_be_left_out() {
    let with_holes = |every: usize| {
        let mut random = Random(7);
        let values = (0..2000).map(|it| (it % every != 0).then(|| random.normal()));
        x(Arc::new(Float64Array::from_iter(values)))
    };
    let drifted = |config: serde_json::Value| {
        let report = run(config, &with_holes(1000), &with_holes(3));
        of_column(&report, "drifted", "x").unwrap()
    };
    assert_eq!(drifted(json!({ "method": "evidently:auto" })), 1.0);
    assert_eq!(drifted(json!({ "method": "evidently:auto", "min_effect": { "missing": 1.0 } })), 0.0);
}

#[test]
fn a_test_without_a_statistic_has_no_score() {
    let of = |n: usize| x(names((0..400).map(|it| if it < n { "a" } else { "b" })));
    let report = |method: &str| run(json!({ "method": method }), &of(100), &of(300));
    assert_eq!(finding(&report("fisher"), "MW-D001").evidence.get("score"), None);
    assert!(finding(&report("z"), "MW-D001").evidence["score"].is_number());
}

#[test]
fn a_budget_over_time_is_divided_among_the_runs() {
    let of = |seed: u64, shift: f64| x(normals(seed, 300, shift, 1.0));
    let budget = json!({ "rate": 0.05, "per": "week", "checks": 50_000 });
    let report = run(json!({ "false_alarm_budget": budget }), &of(1, 0.0), &of(2, 0.3));
    assert_eq!(codes(&report), []);
    let p_value = of_column(&report, "p_value", "x").unwrap();
    assert!(1e-6 < p_value && p_value < 0.05, "{p_value}");
    let once = json!({ "rate": 0.05, "per": "week", "checks": 1 });
    let report = run(json!({ "false_alarm_budget": once }), &of(1, 0.0), &of(2, 0.3));
    assert_eq!(finding(&report, "MW-D001").evidence["alpha"], json!(0.05));
}

/// A host whose history has so many runs of the week.
struct Counts(u64);

impl modelwatch_sdk::Host for Counts {
    fn call(&self, service: &str, argument: &Value) -> modelwatch_sdk::Result<Value> {
        assert!(service != "earlier_runs" || *argument == json!("week"), "{argument}");
        if service == "earlier_runs" { Ok(self.0.into()) } else { ().call(service, argument) }
    }
}

#[test]
fn runs_beyond_those_that_a_budget_is_for_judge_nothing() {
    let of = |seed: u64, shift: f64| x(normals(seed, 300, shift, 1.0));
    let at = |n_before: u64| {
        let budget = json!({ "rate": 0.05, "per": "week", "checks": 168 });
        let mut probe = open(json!({ "false_alarm_budget": budget, "predictions": false }));
        probe.update(&(), Role::Reference, &of(1, 0.0)).unwrap();
        probe.update(&(), Role::Current, &of(2, 1.0)).unwrap();
        probe.evaluate(&Counts(n_before)).unwrap()
    };
    for (n_before, spent) in [(0, 1.0 / 168.0), (83, 0.5), (167, 1.0)] {
        let report = at(n_before);
        assert_eq!((codes(&report), overall(&report, "false_alarm_budget_spent")), (vec![("MW-D001", "x")], spent));
        assert_eq!(report.gaps, []);
    }
    for n_before in [168, 500] {
        let report = at(n_before);
        assert_eq!((codes(&report).len(), report.metrics.len()), (0, 0));
        let expected = format!("it was divided among 168 runs, and {n_before} were made since the week began");
        assert!(report.gaps[0].why.contains(&expected), "{:?}", report.gaps);
        assert_eq!(report.checks[0].status, Status::NotChecked);
    }
}

#[test]
fn a_budget_that_nobody_counts_the_runs_of_is_a_gap() {
    let of = |seed: u64| x(normals(seed, 300, 0.0, 1.0));
    let budget = json!({ "rate": 0.05, "per": "week", "checks": 168 });
    let report = run(json!({ "false_alarm_budget": budget, "predictions": false }), &of(1), &of(2));
    assert_eq!(report.gaps.len(), 1, "{:?}", report.gaps);
    assert_eq!(report.gaps[0].what, "false-alarm budget of the week");
    assert!(report.gaps[0].why.ends_with("only if these are 168 at most"), "{}", report.gaps[0].why);
    assert!(report.metrics.iter().all(|it| it.name != "false_alarm_budget_spent"));
}

#[test]
fn reports_do_not_depend_on_batches_partitions_or_order_of_merges() {
    let table = |seed: u64, rows: usize, shift: f64| {
        let mut random = Random(seed);
        let mut column =
            |shift: f64| floats((0..rows).map(|it| if it % 50 == 0 { f64::NAN } else { shift + random.normal() }));
        let (a, b) = (column(shift), column(0.0));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|it| format!("c{}", it * it % 17))));
        features(vec![
            ("a", a),
            ("b", b),
            ("c", texts),
            ("d", lists(3, (0..rows * 3).map(|it| (it % 7) as f64).collect())),
        ])
    };
    let (reference, current) = (table(1, 3000, 0.0), table(2, 2000, 0.4));
    for budget in [1000, 10_000] {
        let config = json!({ "budget": budget });
        let whole = run(config.clone(), &reference, &current);
        assert_eq!(codes(&whole), [("MW-D001", "a")]);
        for size in [1, 333, 1000] {
            let mut parts = Vec::new();
            for (role, batch) in [(Role::Reference, &reference), (Role::Current, &current)] {
                for start in (0..batch.num_rows()).step_by(1000) {
                    let mut probe = open(config.clone());
                    for offset in (0..1000).step_by(size) {
                        let length = size.min(1000 - offset);
                        probe.update(&(), role, &batch.slice(start + offset, length)).unwrap();
                    }
                    parts.push(probe.state().unwrap());
                }
            }
            let forward = parts.iter().collect::<Vec<_>>();
            let backward = parts.iter().rev().collect::<Vec<_>>();
            for order in [forward, backward] {
                let mut probe = open(config.clone());
                order.into_iter().for_each(|it| probe.merge(it).unwrap());
                assert_eq!(probe.evaluate(&()).unwrap(), whole, "{budget} {size}");
            }
        }
    }
}

#[test]
fn damaged_states_are_refused() {
    let mut probe = open(json!({}));
    probe
        .update(
            &(),
            Role::Reference,
            &features(vec![("a", normals(1, 30, 0.0, 1.0)), ("b", names(["x", "y"].repeat(15)))]),
        )
        .unwrap();
    let state = probe.state().unwrap();
    for len in 0..state.len() {
        assert_eq!(open(json!({})).merge(&state[..len]).unwrap_err().kind, ErrorKind::Corrupt);
    }
    for idx in 0..state.len() {
        let mut damaged = state.clone();
        damaged[idx] ^= 0xff;
        let mut probe = open(json!({}));
        if probe.merge(&damaged).is_ok() {
            probe.evaluate(&()).unwrap();
        }
    }
    let mut longer = state.clone();
    longer.push(0);
    assert!(open(json!({})).merge(&longer).is_err());
}

#[test]
fn states_of_other_versions_are_named() {
    let cut = json!({ "slices": ["*"] });
    for (config, version, others) in [(json!({}), 9, [7, 10]), (cut, 10, [8, 9])] {
        let state = open(config.clone()).state().unwrap();
        assert_eq!(state[0], version);
        for other in others {
            let refusal = open(config.clone()).merge(&[&[other], &state[1..]].concat()).unwrap_err();
            let expected = format!("the state of the drift analyzer has version {other}, expected {version}");
            assert_eq!(refusal.message, expected);
            assert_eq!(refusal.help, "compute it again from the rows with this version of the plugin");
        }
    }
}

#[test]
fn impossible_options_are_refused_with_their_place() {
    let check = |config: serde_json::Value, path: &str| {
        let refusal: Option<Error> = analyze_drift::registry().open_probe(Kind::Analyzer, "drift", &config).err();
        assert_eq!(refusal.unwrap().path, path, "{config}");
    };
    check(json!({ "alpha": 0.0 }), "/alpha");
    check(json!({ "min_effect": { "ks": 1.5 } }), "/min_effect/ks");
    check(json!({ "min_rows": 0 }), "/min_rows");
    check(json!({ "budget": 1 }), "/budget");
    check(json!({ "allpha": 0.1 }), "");
    check(json!({ "numeric_method": "chi2" }), "/numeric_method");
    check(json!({ "categorical_method": "t" }), "/categorical_method");
    check(json!({ "method": "nannyml:jensen_shannon" }), "/method");
    check(json!({ "methods": { "a/b": "tfdv:l_infinity" } }), "/methods/a~1b");
    check(json!({ "thresholds": { "psi": 0.1 } }), "/thresholds/psi");
    check(json!({ "thresholds": { "evidently:psi": -0.1 } }), "/thresholds/evidently:psi");
    let budget = |rate: f64, checks: u64| json!({ "rate": rate, "per": "day", "checks": checks });
    check(json!({ "false_alarm_budget": budget(0.0, 1) }), "/false_alarm_budget/rate");
    check(json!({ "false_alarm_budget": budget(0.1, 0) }), "/false_alarm_budget/checks");
    check(json!({ "false_alarm_budget": budget(0.1, 9), "alpha": 0.1 }), "/alpha");
    check(json!({ "false_alarm_budget": budget(0.1, 9), "correction": "none" }), "/correction");
}

#[test]
fn the_cancer_data_drift_where_they_were_changed_and_nowhere_else() {
    let report_of = |name: &str| {
        let mut probe = open(json!({ "predictions": false }));
        for (role, name) in [(Role::Reference, "train"), (Role::Current, name)] {
            for batch in fixture(&format!("tabular/breast_cancer/{name}.parquet")) {
                probe.update(&(), role, &batch).unwrap();
            }
        }
        probe.evaluate(&()).unwrap()
    };
    let (same, drifted) = (report_of("test"), report_of("test_drifted"));
    assert_eq!((overall(&same, "compared_columns"), overall(&same, "drifted_columns")), (30.0, 0.0));
    assert_eq!((codes(&same), same.gaps.len()), (vec![], 0));
    assert!(overall(&drifted, "drifted_columns") > 0.0);
    assert!(!codes(&drifted).is_empty());
}

#[test]
fn a_drifted_column_shows_its_cumulative_shares_and_what_adds_most() {
    let report = run(json!({ "predictions": false }), &x(normals(1, 1000, 0.0, 1.0)), &x(normals(2, 1000, 1.0, 1.0)));
    let titles: Vec<&str> = report.figures[1..].iter().map(|it| it.title.as_str()).collect();
    let expected = ["Drift of column `x`", "Cumulative shares of column `x`", "What drift of column `x` is made of"];
    assert_eq!(titles, expected);
    let FigureData::Lines { x, series, .. } = &report.figures[2].data else { panic!("no lines") };
    assert!(x.is_sorted() && x.len() <= 192, "{}", x.len());
    assert!(series.iter().all(|it| it.values.len() == x.len() && it.values.is_sorted()));
    // The greatest distance of the lines is the Kolmogorov-Smirnov statistic, as far as values are drawn.
    let distances = series[0].values.iter().zip(&series[1].values).map(|it| (it.0 - it.1).abs());
    let statistic = of_column(&report, "ks_statistic", "x").unwrap();
    let greatest = distances.fold(0.0, f64::max);
    assert!(greatest <= statistic + 1e-12 && greatest > statistic - 0.03, "{greatest} of {statistic}");
    let FigureData::Bars { categories, series } = &report.figures[3].data else { panic!("no bars") };
    assert!(series[0].values.is_sorted_by(|left, right| left >= right), "{:?}", series[0].values);
    let psi = of_column(&report, "psi", "x").unwrap();
    assert!((series[0].values.iter().sum::<f64>() - psi).abs() < 1e-9 && categories.len() == 10);
}

#[test]
fn two_hundred_columns_are_fine_and_pictures_are_bounded() {
    let titles: Vec<String> = (0..200).map(|it| format!("x{it:03}")).collect();
    let table = |seed: u64, shift: f64| {
        features(
            titles
                .iter()
                .enumerate()
                .map(|(idx, it)| (it.as_str(), normals(seed + idx as u64, 200, shift, 1.0)))
                .collect(),
        )
    };
    let report = run(json!({}), &table(1, 0.0), &table(1000, 2.0));
    assert_eq!(overall(&report, "drifted_columns"), 200.0);
    assert_eq!(report.figures.len(), 1 + 3 * 20);
    let FigureData::Table { rows, .. } = &report.figures[0].data else { panic!("the first figure is no table") };
    assert_eq!(rows.len(), 200);
    let FigureData::Histogram { edges, series } = &report.figures[1].data else {
        panic!("the second figure is no histogram")
    };
    assert!(edges.len() <= 21 && series.iter().all(|it| it.values.len() + 1 == edges.len()));
}

#[test]
fn the_score_of_a_finding_is_named() {
    let numbers = |seed, shift| features(vec![("x", normals(seed, 400, shift, 1.0))]);
    let name = |method: &str| {
        let report = run(json!({ "method": method }), &numbers(1, 0.0), &numbers(2, 2.0));
        finding(&report, "MW-D001").evidence["score_name"].clone()
    };
    for (method, expected) in [
        ("auto", "Kolmogorov-Smirnov statistic"),
        ("energy", "Kolmogorov-Smirnov statistic"),
        ("mmd", "Kolmogorov-Smirnov statistic"),
        ("mann-whitney", "Mann-Whitney U"),
        ("evidently:wasserstein", "evidently:wasserstein"),
    ] {
        assert_eq!(name(method), expected, "{method}");
    }
}
