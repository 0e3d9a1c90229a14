//! Inputs that broke other drift tools, each with the answer that it gets here.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch, Report, Role,
    arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray,
            FixedSizeListArray, Float64Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
            Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
            builder::{ListBuilder, StringBuilder},
            types::{Float64Type, Int8Type},
        },
        schema::{DataType, Field},
    },
    report::Status,
};
use serde_json::{Value, json};

use common::{Random, codes, features, finding, fixture, of_column, open, overall, run};

fn x(array: ArrayRef) -> RecordBatch {
    features(vec![("x", array)])
}

fn case(config: Value, id: &str) -> Report {
    let mut probe = open(config);
    for (role, name) in [(Role::Reference, "reference"), (Role::Current, "current")] {
        for batch in fixture(&format!("conformance/univariate/{id}.{name}.parquet")) {
            probe.update(&(), role, &batch).unwrap();
        }
    }
    probe.evaluate(&()).unwrap()
}

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

#[test]
fn equal_categories_do_not_alarm_however_many_there_are() {
    // Evidently's default alarms on 18 % of such columns with 3 categories, and on all of them with 100.
    let mut random = Random(11);
    for n_categories in [3, 5, 20, 100] {
        let mut column = |rows: usize| -> ArrayRef {
            let name =
                |random: &mut Random| format!("c{}", (f64::from(n_categories) * random.uniform().powi(2)) as u32);
            Arc::new(StringArray::from_iter_values((0..rows).map(|_| name(&mut random))))
        };
        let config = json!({ "alpha": 0.05, "min_effect": { "chi2": 0.0 } });
        let mut n_alarms = 0;
        for rows in [1000, 200].repeat(100) {
            let report = run(config.clone(), &x(column(1000)), &x(column(rows)));
            assert_eq!(overall(&report, "compared_columns"), 1.0);
            n_alarms += u32::from(overall(&report, "drifted_columns") > 0.0);
        }
        // 5 % of 200, and three standard errors.
        assert!(n_alarms <= 19, "{n_categories} categories: {n_alarms} of 200");
    }
}

#[test]
fn an_unseen_category_is_counted_and_no_proof() {
    let report = case(json!({ "min_rows": 1 }), "cat_tiny_3_4");
    assert_eq!(codes(&report), [("MW-D005", "x")]);
    assert_eq!(finding(&report, "MW-D005").evidence["n_categories"], json!(1));
    let p_value = of_column(&report, "p_value", "x");
    assert!(p_value.is_none_or(|it| it > 0.1), "{p_value:?}");
}

#[test]
fn one_outlier_does_not_hide_a_shift() {
    let robust = [
        "auto",
        "ks",
        "cramer-von-mises",
        "anderson-darling",
        "mann-whitney",
        "epps-singleton",
        "kuiper",
        "wasserstein",
        "energy",
        "psi",
        "jensen-shannon",
        "kl",
        "hellinger",
        "total-variation",
        "chebyshev",
    ];
    for method in robust {
        let report = case(json!({ "method": method }), "num_outlier_1e9");
        assert_eq!(codes(&report), [("MW-D001", "x")], "{method}");
        assert!((of_column(&report, "ks_statistic", "x").unwrap() - 0.385).abs() < 0.01);
    }
    // Tests of means are blind to it by their definition, and say so where they are described.
    for method in ["t", "welch"] {
        assert_eq!(codes(&case(json!({ "method": method }), "num_outlier_1e9")), [], "{method}");
    }
}

/// What `wasserstein` and `energy` say of numbers, and whether they call it drift.
fn distances(reference: &[f64], current: &[f64]) -> [(f64, bool); 2] {
    ["wasserstein", "energy"].map(|method| {
        let [left, right] = [reference, current].map(|it| x(floats(it.iter().copied())));
        let report = run(json!({ "method": method, "predictions": false }), &left, &right);
        (of_column(&report, "effect", "x").unwrap(), codes(&report).contains(&("MW-D001", "x")))
    })
}

/// Normal numbers, so many deviations away.
fn normals(seed: u64, rows: usize, shift: f64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..rows).map(|_| random.normal() + shift).collect()
}

#[test]
fn one_outlier_is_no_distance_and_hides_none() {
    for seed in 0..6 {
        for (rows, shift) in [(50, 0.0), (400, 0.0), (5000, 0.02), (400, 0.5), (5000, 0.5), (1000, 40.0)] {
            let (reference, current) = (normals(2 * seed, rows, 0.0), normals(2 * seed + 1, rows, shift));
            let without = distances(&reference, &current);
            let wild = |it: &[f64], outlier: f64| [it, &[outlier]].concat();
            for outlier in [1e9, -1e9, 1e300] {
                let with = [
                    distances(&wild(&reference, outlier), &current),
                    distances(&reference, &wild(&current, outlier)),
                    distances(&wild(&reference, outlier), &wild(&current, -outlier)),
                ];
                for with in with {
                    for (with, without) in with.iter().zip(&without) {
                        // As two samples of so many rows differ.
                        let noise = 0.02 + 1.5 / (rows as f64).sqrt();
                        let is_near = (with.0 - without.0).abs() < noise || (0.5..1.5).contains(&(with.0 / without.0));
                        assert!(is_near, "{rows} rows, {shift} away, {outlier}: {with:?} {without:?}");
                        assert_eq!(with.1, without.1, "{rows} rows, {shift} away, {outlier}: {with:?} {without:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn distances_are_in_standard_deviations() {
    for seed in 0..6 {
        let (reference, current) = (normals(2 * seed, 5000, 0.0), normals(2 * seed + 1, 5000, 0.5));
        let [(wasserstein, _), (energy, _)] = distances(&reference, &current);
        assert!((wasserstein - 0.5).abs() < 0.07, "{wasserstein}");
        // 2 E|X - Y| - E|X - X'| - E|Y - Y'| of normal numbers half a deviation apart is 0.1388.
        assert!((energy - 0.1388f64.sqrt()).abs() < 0.06, "{energy}");
    }
}

#[test]
fn zeros_hide_no_shift_of_the_other_values() {
    for seed in 0..6 {
        let column = |seed: u64, mean: f64| {
            let mut res = normals(seed, 2000, mean);
            res.iter_mut().enumerate().filter(|it| it.0 % 5 > 0).for_each(|it| *it.1 = 0.0);
            res
        };
        let (reference, current) = (column(2 * seed, 5.0), column(2 * seed + 1, 8.0));
        // A fifth of the rows moves by 3; the variance is 0.2 * 26 - 1.
        let expected = 0.6 / 4.2f64.sqrt();
        for outlier in [None, Some(1e9)] {
            let reference: Vec<f64> = reference.iter().copied().chain(outlier).collect();
            let [(wasserstein, is_drift), (_, is_drift_too)] = distances(&reference, &current);
            assert!((wasserstein / expected - 1.0).abs() < 0.2, "{wasserstein} {expected}");
            assert!(is_drift && is_drift_too);
        }
    }
}

#[test]
fn values_that_stand_for_missing_ones_hide_no_shift() {
    let with = |values: Vec<f64>, n_missing: usize, missing: f64| -> Vec<f64> {
        let keep = values.len() - n_missing;
        values.into_iter().take(keep).chain(vec![missing; n_missing]).collect()
    };
    for (missing, n_left, n_right) in [
        (-999.0, 250, 250),
        (-999.0, 100, 100),
        (1e6, 100, 100),
        // More of them in the current rows do not stretch the unit of the reference.
        (1e6, 45, 51),
        (1e6, 45, 65),
        (1e6, 3, 65),
    ] {
        let (reference, current) =
            (with(normals(1, 5000, 0.0), n_left, missing), with(normals(2, 5000, 1.0), n_right, missing));
        for (value, is_drift) in distances(&reference, &current) {
            assert!(value > 0.5 && is_drift, "{missing} {n_left} {n_right}: {value}");
        }
    }
    // A few are an accident; a hundredth of the rows is not, where there were none.
    let reference = normals(1, 5000, 0.0);
    for (value, _) in distances(&reference, &with(normals(2, 5000, 0.0), 50, 1e9)) {
        assert!(value > 100.0, "{value}");
    }
    assert_eq!(distances(&[3.0; 5000], &with(vec![3.0; 5000], 50, 1e9)), [(f64::INFINITY, true); 2]);
}

#[test]
fn every_distance_from_a_constant_is_infinite() {
    for current in [normals(1, 500, 0.0), vec![3.5; 500], [vec![3.0; 400], vec![4.0; 100]].concat()] {
        assert_eq!(distances(&[3.0; 500], &current), [(f64::INFINITY, true); 2]);
    }
    assert_eq!(distances(&[3.0; 500], &[3.0; 400]), [(0.0, false); 2]);
}

#[test]
fn values_that_go_missing_are_drift() {
    for id in ["num_null_only_cur", "num_nan_not_null"] {
        let report = case(json!({ "min_effect": { "missing": 0.0 } }), id);
        assert!(codes(&report).contains(&("MW-D003", "x")), "{id}: {:?}", codes(&report));
    }
    let report = case(json!({}), "num_all_null_cur");
    assert_eq!(codes(&report), [("MW-D003", "x")]);
}

#[test]
fn no_current_rows_are_no_answer() {
    for id in ["num_empty_cur", "num_empty_ref", "cat_empty_cur"] {
        let report = case(json!({ "predictions": false }), id);
        assert!(overall(&report, "drifted_share").is_nan(), "{id}");
        assert!(report.gaps.iter().any(|it| it.why.contains("there are no")), "{id}");
    }
}

#[test]
fn too_few_rows_are_not_checked() {
    let rows = |n: u64| x(floats((0..n).map(|it| it as f64)));
    let report = run(json!({ "predictions": false }), &rows(500), &rows(19));
    assert_eq!((overall(&report, "compared_columns"), report.gaps.len()), (0.0, 1));
    let checks: Vec<_> = report.checks.iter().map(|it| (it.metric.as_str(), it.status)).collect();
    assert_eq!(checks, [("compared_columns", Status::NotChecked)]);
    assert!(run(json!({ "predictions": false }), &rows(500), &rows(20)).checks.is_empty());
    // What has no value in either role is no column that might have drifted.
    let nothing = || x(Arc::new(Float64Array::from(vec![None; 500])) as ArrayRef);
    let report = run(json!({ "predictions": false }), &nothing(), &nothing());
    assert_eq!(report.checks.len(), 1);
}

#[test]
fn equal_constants_are_no_drift_by_any_method() {
    let constant = || x(floats(vec![3.0; 500]));
    for method in ["auto", "ks", "cramer-von-mises", "mann-whitney", "kuiper", "wasserstein", "energy", "psi"] {
        let report = run(json!({ "method": method, "predictions": false }), &constant(), &constant());
        assert_eq!((codes(&report), report.gaps.len()), (vec![], 0), "{method}");
    }
    for method in ["t", "welch", "epps-singleton", "anderson-darling"] {
        let report = run(json!({ "method": method, "predictions": false }), &constant(), &constant());
        assert!(codes(&report).is_empty() && report.gaps[0].why.contains("no answer"), "{method}: {:?}", report.gaps);
    }
}

#[test]
fn distances_see_zeros_and_ones_and_huge_values() {
    let report = case(json!({ "method": "hellinger" }), "num_binary01");
    assert!((of_column(&report, "effect", "x").unwrap() - 0.0573).abs() < 1e-3);
    let report = case(json!({ "method": "wasserstein" }), "num_huge");
    assert!((of_column(&report, "effect", "x").unwrap() - 0.495).abs() < 0.05);
    assert_eq!(codes(&report), [("MW-D001", "x")]);
}

#[test]
fn an_energy_distance_between_the_ends_of_all_numbers_is_one() {
    let at = |value: f64| x(floats((0..200).map(|it| if it % 4 == 0 { 0.0 } else { value })));
    let report = run(json!({ "method": "energy", "predictions": false }), &at(-1.7e308), &at(1.7e308));
    assert_eq!((codes(&report), report.gaps.len()), (vec![("MW-D001", "x")], 0), "{:?}", report.gaps);
    assert!(of_column(&report, "effect", "x").unwrap().is_finite());
}

#[test]
fn whole_numbers_beyond_floats_are_exact() {
    let report = case(json!({ "predictions": false }), "num_int64_big");
    assert_eq!(of_column(&report, "ks_statistic", "x"), Some(0.16225));
    assert!(report.gaps.is_empty(), "{:?}", report.gaps);
    let ids = |from: u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values((0..1000).map(|it| from + it % 4))) };
    let report = run(json!({}), &x(ids(u64::MAX - 9)), &x(ids(u64::MAX - 5)));
    assert_eq!(of_column(&report, "ks_statistic", "x"), Some(1.0));
    let changes = finding(&report, "MW-D001").evidence["largest_changes"].as_array().unwrap();
    assert!(changes[0].as_str().unwrap().starts_with("1844674407370955160"), "{changes:?}");
    // Numbers further apart than floats can hold are compared, and it is said that they were rounded.
    let spread =
        |sign: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..100).map(|it| sign * (i64::MAX - it)))) };
    let report = run(json!({ "predictions": false }), &x(spread(1)), &x(spread(-1)));
    assert_eq!(codes(&report)[0], ("MW-D001", "x"));
    assert!(report.gaps.iter().any(|it| it.why.contains("2^53")), "{:?}", report.gaps);
}

/// Columns of every kind that aborted a report or vanished from one.
fn odd_columns(n: usize) -> Vec<(&'static str, ArrayRef)> {
    let fields = vec![(Arc::new(Field::new("a", DataType::Float64, true)), floats((0..n).map(|it| it as f64)))];
    let lists = (0..n).map(|it| Some(vec![Some(1.0); it % 3]));
    let dictionary: DictionaryArray<Int8Type> = (0..n).map(|it| Some(["a", "b"][it % 2])).collect();
    let decimals = Decimal128Array::from_iter_values((0..n).map(|it| it as i128 % 50));
    vec![
        ("all_null", Arc::new(Float64Array::new_null(n))),
        ("binary", Arc::new(BinaryArray::from_iter_values((0..n).map(|_| [1u8])))),
        ("bool", Arc::new(BooleanArray::from_iter((0..n).map(|it| (it % 5 != 0).then_some(it % 2 == 0))))),
        ("constant", floats(vec![7.0; n])),
        ("date", Arc::new(Date32Array::from_iter_values((0..n).map(|it| it as i32)))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap())),
        ("dictionary", Arc::new(dictionary)),
        ("infinite", floats((0..n).map(|it| if it % 2 == 0 { f64::INFINITY } else { it as f64 }))),
        ("near_constant", floats((0..n).map(|it| if it == 0 { 1.0 + f64::EPSILON } else { 1.0 }))),
        ("nullable_int", Arc::new(Int64Array::from_iter((0..n as i64).map(|it| (it % 3 != 0).then_some(it % 20))))),
        ("ragged", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))),
        ("struct", Arc::new(StructArray::from(fields))),
        ("text", Arc::new(StringArray::from_iter_values((0..n).map(|it| format!("{}", it % 3))))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|it| it as i64)))),
        ("untyped", Arc::new(NullArray::new(n))),
    ]
}

#[test]
fn every_column_gets_its_own_answer_beside_the_good_ones() {
    let compared =
        ["bool", "constant", "decimal", "dictionary", "good", "infinite", "near_constant", "nullable_int", "text"];
    let noted = ["all_null", "binary", "date", "ragged", "struct", "timestamp", "untyped"];
    let table = |n: usize| {
        let mut columns = odd_columns(n);
        columns.push(("good", floats((0..n).map(|it| it as f64 / n as f64))));
        features(columns)
    };
    let report = run(json!({ "predictions": false }), &table(200), &table(150));
    let found: Vec<_> =
        report.metrics.iter().filter(|it| it.name == "drifted").map(|it| it.labels["column"].as_str()).collect();
    assert_eq!(found, compared);
    let gaps: Vec<_> = report.gaps.iter().map(|it| it.what.trim_start_matches("column ").trim_matches('`')).collect();
    assert_eq!(gaps, noted);
    // What cannot be compared is still looked at for missing values.
    for column in noted {
        assert!(of_column(&report, "missing_share_difference", column).is_some(), "{column}");
    }
    assert_eq!(overall(&report, "n_columns"), 16.0);
}

/// Lists as data frames have them, whose type does not say how long they are.
fn of_any_length(rows: impl IntoIterator<Item = Vec<f64>>) -> ArrayRef {
    let rows = rows.into_iter().map(|it| Some(it.into_iter().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
}

#[test]
fn lists_of_any_length_are_compared_where_they_have_one() {
    let values = |seed: u64, shift: f64| {
        let mut random = Random(seed);
        (0..300 * 8).map(|_| random.normal() + shift).collect::<Vec<_>>()
    };
    let of = |it: Vec<f64>| x(of_any_length(it.chunks(8).map(<[f64]>::to_vec)));
    let fixed = |it: Vec<f64>| {
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        x(Arc::new(FixedSizeListArray::new(item, 8, floats(it), None)))
    };
    for shift in [0.0, 2.0] {
        let (reference, current) = (values(1, 0.0), values(2, shift));
        let report = run(json!({}), &of(reference.clone()), &of(current.clone()));
        assert_eq!(report, run(json!({}), &fixed(reference.clone()), &fixed(current.clone())));
        // Rows of other files may say how long they are.
        assert_eq!(report, run(json!({}), &fixed(reference), &of(current)));
        assert_eq!(codes(&report).len(), usize::from(shift > 0.0));
    }
    let lengths = |lengths: [usize; 2]| x(of_any_length((0..200).map(|it| vec![1.0; lengths[it % 2]])));
    let report = run(json!({ "predictions": false }), &lengths([8, 8]), &lengths([8, 6]));
    assert_eq!(codes(&report), []);
    assert_eq!(
        report.gaps[0].why,
        "the current rows have lists of 6 and 8 numbers, and lists are compared that have one length; give all rows lists of one length, or columns with numbers about them"
    );
    let with_holes = |every: usize| {
        let rows = (0..400).map(|it| (it % every != 0).then(|| vec![Some(1.0); 6 + it % 2]));
        x(Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows)))
    };
    let report = run(json!({ "predictions": false }), &with_holes(100), &with_holes(3));
    assert_eq!(codes(&report), [("MW-D003", "x")]);
    let report = run(json!({ "predictions": false }), &lengths([8, 8]), &lengths([6, 6]));
    assert_eq!(codes(&report), [("MW-D004", "x")]);
    // However rows arrive.
    let mut probe = open(json!({ "predictions": false }));
    probe.update(&(), Role::Reference, &lengths([8, 8])).unwrap();
    let whole = lengths([8, 6]);
    (0..200).for_each(|it| probe.update(&(), Role::Current, &whole.slice(it, 1)).unwrap());
    let report = probe.evaluate(&()).unwrap();
    assert!(report.gaps[0].why.starts_with("the current rows have lists of 6 and 8 numbers"));
    let mut words = ListBuilder::new(StringBuilder::new());
    (0..60).for_each(|_| words.append_value([Some("a")]));
    let words: ArrayRef = Arc::new(words.finish());
    let report = run(json!({ "predictions": false }), &x(Arc::clone(&words)), &x(words));
    assert!(
        report.gaps[0].why.ends_with("; convert the column to numbers, text, or lists of numbers"),
        "{:?}",
        report.gaps
    );
}

#[test]
fn infinities_that_change_their_sign_are_drift() {
    let of = |infinity: f64| {
        let mut random = Random(3);
        x(floats((0..1000).map(|it| if it % 5 == 0 { infinity } else { random.normal() })))
    };
    let report = run(json!({}), &of(f64::NEG_INFINITY), &of(f64::INFINITY));
    assert_eq!(codes(&report), [("MW-D003", "x")]);
    let message = &report.findings[0].message;
    assert!(message.contains("(inf in 20 % and 0 %, -inf in 0 % and 20 %)"), "{message}");
    assert_eq!(codes(&run(json!({}), &of(f64::INFINITY), &of(f64::INFINITY))), []);
    // Few of them may be anything.
    let few = |sign: f64| x(floats((0..1000).map(|it| if it < 3 { sign * f64::INFINITY } else { f64::from(it % 50) })));
    assert_eq!(codes(&run(json!({}), &few(1.0), &few(-1.0))), []);
}

#[test]
fn times_of_day_and_durations_are_numbers() {
    let hours = |hours: i64| {
        x(Arc::new(Time64MicrosecondArray::from_iter_values((0..400).map(|it| it % hours * 3_600_000_000))))
    };
    let report = run(json!({}), &hours(24), &hours(12));
    assert_eq!(codes(&report), [("MW-D001", "x")]);
    // Six hours, in seconds.
    assert!(of_column(&report, "wasserstein", "x").unwrap() > 20_000.0);
    assert_eq!(codes(&run(json!({}), &hours(24), &hours(24))), []);
    // The unit makes no difference.
    let in_milliseconds = x(Arc::new(Time32MillisecondArray::from_iter_values((0..400).map(|it| it % 24 * 3_600_000))));
    let report = run(json!({}), &hours(24), &in_milliseconds);
    assert_eq!((codes(&report), of_column(&report, "ks_statistic", "x")), (vec![], Some(0.0)));
    let took = |factor: i64| x(Arc::new(DurationSecondArray::from_iter_values((0..400).map(|it| it % 9 * factor))));
    assert_eq!(codes(&run(json!({}), &took(1), &took(3))), [("MW-D001", "x")]);
    assert_eq!(codes(&run(json!({ "predictions": false }), &took(1), &hours(24))), [("MW-D004", "x")]);
}

#[test]
fn a_column_that_changes_its_type_between_batches_is_an_error_of_its_own() {
    let mut probe = open(json!({ "predictions": false }));
    let good = || floats((0..100).map(f64::from));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|it| it.to_string())));
    for (role, mixed) in [(Role::Reference, good()), (Role::Current, good()), (Role::Current, text)] {
        probe.update(&(), role, &features(vec![("good", good()), ("mixed", mixed)])).unwrap();
    }
    let report = probe.evaluate(&()).unwrap();
    assert_eq!(codes(&report), [("MW-D004", "mixed")]);
    assert_eq!(of_column(&report, "drifted", "good"), Some(0.0));
}

#[test]
fn nothing_is_left_out_in_silence() {
    let many: ArrayRef = Arc::new(StringArray::from_iter_values((0..20_000).map(|it| format!("id{}", it % 10_050))));
    let report = run(json!({ "predictions": false }), &x(Arc::clone(&many)), &x(many));
    assert!(report.gaps.iter().any(|it| it.why.contains("of its categories 10000 are kept")), "{:?}", report.gaps);
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let values = floats((0..3000).map(|it| f64::from(it % 71)));
    let wide: ArrayRef = Arc::new(modelwatch_sdk::arrow::array::FixedSizeListArray::new(item, 30, values, None));
    let report = run(json!({ "predictions": false, "max_elements": 10 }), &x(Arc::clone(&wide)), &x(wide));
    assert_eq!(report.gaps.len(), 1);
    assert!(report.gaps[0].why.starts_with("20 elements are compared in summaries only"), "{:?}", report.gaps);
}

#[test]
fn great_whole_numbers_are_compared_with_floats() {
    let numbers = |from: i64| (0..200).map(move |it| (1i64 << 60) + (it + from) * 4096);
    let integers = |from| features(vec![("x", Arc::new(Int64Array::from_iter_values(numbers(from))) as ArrayRef)]);
    let floats = |from| {
        let values = numbers(from).map(|it| it as f64);
        features(vec![("x", Arc::new(Float64Array::from_iter_values(values)) as ArrayRef)])
    };
    for (from, drifted) in [(0, 0.0), (150, 1.0)] {
        for (reference, current) in [(integers(0), floats(from)), (floats(0), integers(from))] {
            let report = run(json!({ "predictions": false }), &reference, &current);
            assert_eq!(of_column(&report, "drifted", "x"), Some(drifted), "{from}: {:?}", report.gaps);
            let why: Vec<_> =
                report.gaps.iter().map(|it| (it.what.as_str(), it.why.contains("held against floats"))).collect();
            assert_eq!(why, [("column `x`, last digits", true)]);
        }
    }
}

#[test]
fn rare_categories_are_tested_one_by_one_by_name() {
    let rows = |counts: [(&'static str, usize); 4]| {
        let names = counts.into_iter().flat_map(|(name, n)| std::iter::repeat_n(name, n));
        features(vec![("x", Arc::new(StringArray::from_iter_values(names.collect::<Vec<_>>())) as ArrayRef)])
    };
    // The statistics are those of SciPy, of all categories.
    let few = (rows([("a", 600), ("b", 399), ("err", 1), ("z", 0)]), rows([("a", 12), ("b", 5), ("err", 3), ("z", 0)]));
    let many =
        (rows([("a", 6000), ("b", 4000), ("z", 0), ("y", 0)]), rows([("a", 120), ("b", 60), ("new", 20), ("y", 0)]));
    let found = |method: &str, tables: &(RecordBatch, RecordBatch)| {
        let report = run(json!({ "method": method, "predictions": false }), &tables.0, &tables.1);
        assert_eq!(report.gaps, []);
        (of_column(&report, "chi2_statistic", "x").unwrap(), of_column(&report, "p_value", "x").unwrap())
    };
    for method in ["chi2", "g"] {
        let (statistic, p_value) = found(method, &few);
        assert!((statistic - 112.104059406).abs() < 1e-6 && p_value < 1e-3, "{method}: {statistic}, {p_value}");
        let (statistic, p_value) = found(method, &many);
        assert!((statistic - 1004.926108374).abs() < 1e-6 && p_value < 1e-20, "{method}: {statistic}, {p_value}");
    }
}
