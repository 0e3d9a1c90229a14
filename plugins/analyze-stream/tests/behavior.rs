//! What the analyzer says of rows whose truth is known here.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    ErrorKind, Kind, Need, Role,
    arrow::{
        array::{
            ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array,
            Int8Array, Int64Array, ListArray, StringArray, TimestampSecondArray, types::Float64Type,
        },
        schema::{DataType, Field},
    },
    report::{Severity, Status},
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use common::{batch, finding, gap, listed, metric, normals, numbers, of, open, overall, rows_of_changes, run, shifted};

const DETECTORS: [&str; 8] = ["adwin", "ddm", "eddm", "hddm-a", "hddm-w", "page-hinkley", "kswin", "cusum"];

fn errors() -> Vec<f64> {
    shifted().iter().map(|it| f64::from(u8::from(*it > 0.4))).collect()
}

#[test]
fn changes_are_found_where_river_finds_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/conformance/online/river.json");
    let river: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for detector in ["ddm", "eddm", "hddm-a", "hddm-w", "page-hinkley", "adwin"] {
        let config = json!({"detector": detector, "watch": ["columns"], "standardize": false});
        let is_of_errors = !["page-hinkley", "adwin"].contains(&detector);
        let found = rows_of_changes(&run(&config, &of(if is_of_errors { errors() } else { shifted() })));
        let theirs: Vec<usize> = serde_json::from_value(river[detector.replace('-', "_")].clone()).unwrap();
        println!("{detector}: ours {found:?}, river {theirs:?}");
        // Ours keeps the window after a change, as the paper has it, so that later reports differ.
        let n = if detector == "adwin" { 1 } else { theirs.len().max(found.len()) };
        assert!(detector != "adwin" || found.len() == 1, "one change is told once: {found:?}");
        assert_eq!(found[..n], theirs[..n], "{detector}");
    }
}

#[test]
fn a_change_is_told_with_what_was_before_and_after() {
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..2000).map(|it| 86_400 * it)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..2000).map(|it| format!("order-{it}"))));
    let rows =
        batch(vec![("x", Use::Feature, numbers(shifted())), ("at", Use::Timestamp, times), ("name", Use::Id, names)]);
    let report = run(&json!({}), &rows);
    let it = finding(&report, "MW-S001", "column `x`");
    println!("{}", it.message);
    let row = rows_of_changes(&report)[0];
    let first = listed(&report, "MW-S001", "first_rows")[0].as_u64().unwrap() as usize;
    // Found within a hundred values, and placed nearer to where it was.
    assert!((1000..1100).contains(&row) && first.abs_diff(1000) < 40, "{row} {first}");
    assert_eq!(listed(&report, "MW-S001", "ids")[0], format!("order-{row}"));
    assert_eq!(listed(&report, "MW-S001", "times")[0], "1972-11-21T00:00:00Z");
    assert!(it.message.contains(&format!("(1972-11-21T00:00:00Z, id order-{row})")), "{}", it.message);
    let mean = |key: &str| listed(&report, "MW-S001", key)[0].as_f64().unwrap();
    assert!(mean("means_before").abs() < 0.1 && (mean("means_after") - 0.8).abs() < 0.2);
    assert_eq!((it.severity, overall(&report, "changed_share")), (Severity::Warning, 1.0));
    let recent = metric(&report, "recent_mean", "x").unwrap();
    assert!((recent.value - 0.8).abs() < 0.1, "{recent:?}");
    assert_eq!(report.figures.len(), 2);
}

/// Normal numbers that rise by three deviations at row 5,000 of 20,000, with 1e9 in one row.
fn risen_with_outlier(row: Option<usize>) -> Vec<f64> {
    let mut res = [normals(61, 5_000, 0.0), normals(62, 15_000, 3.0)].concat();
    row.into_iter().for_each(|it| res[it] = 1e9);
    res
}

#[test]
fn one_outlier_hides_no_shift() {
    for detector in ["adwin", "page-hinkley", "kswin", "cusum"] {
        for row in [None, Some(10), Some(300)] {
            let mut values = risen_with_outlier(row);
            if detector == "kswin" {
                values.truncate(6_000);
            }
            let n = values.len() as f64;
            let report = run(&json!({ "detector": detector }), &of(values));
            let rows = rows_of_changes(&report);
            assert!(rows.iter().any(|it| (5_000..5_100).contains(it)), "{detector}, {row:?}: {rows:?}");
            let clipped = metric(&report, "clipped_share", "x").unwrap();
            assert_eq!(clipped.value, f64::from(u8::from(row.is_some())) / n, "{detector}, {row:?}");
            assert_eq!(clipped.n as f64, n);
            let it = finding(&report, "MW-S001", "column `x`");
            assert_eq!(it.evidence.get("n_clipped"), row.map(|_| json!(1)).as_ref(), "{detector}, {row:?}");
        }
    }
    // It is begun where it is, not at the outlier.
    let report = run(&json!({}), &of(risen_with_outlier(Some(300))));
    let at = rows_of_changes(&report).iter().position(|it| *it >= 5_000).unwrap();
    let first = listed(&report, "MW-S001", "first_rows")[at].as_u64().unwrap();
    assert!(first.abs_diff(5_000) < 20, "{first}");
    // Raw values have no scale, and none is cut off.
    let report = run(&json!({ "standardize": false }), &of(shifted()));
    assert!(metric(&report, "clipped_share", "x").is_none());
}

#[test]
fn a_rise_of_a_loss_with_an_outlier_before_it_is_a_rise() {
    let mut predicted = [normals(63, 3_000, 0.0), normals(64, 3_000, 0.0).iter().map(|it| 4.0 * it).collect()].concat();
    predicted[700] = 1e9;
    let rows =
        batch(vec![("guess", Use::Feature, numbers(predicted)), ("label", Use::Label, numbers(vec![0.0; 6_000]))]);
    let config = json!({"watch": ["loss"], "prediction": "guess", "severity": "error"});
    let report = run(&config, &rows);
    let found = report.findings.iter().find(|it| it.code == "MW-S002").unwrap();
    assert_eq!(found.severity, Severity::Error, "{}", found.message);
}

#[test]
fn changes_beyond_what_is_cut_off_are_seen() {
    let levels = [0.0, 50.0, 56.0, 900.0, 0.0];
    let values = levels.iter().zip(70..).flat_map(|(level, seed)| normals(seed, 2_000, *level)).collect::<Vec<_>>();
    for detector in ["adwin", "page-hinkley", "cusum"] {
        let found = rows_of_changes(&run(&json!({ "detector": detector }), &of(values.clone())));
        for step in 1..levels.len() {
            let place = step * 2_000;
            assert!(found.iter().any(|it| (place..place + 200).contains(it)), "{detector}, {place}: {found:?}");
        }
    }
}

/// Numbers of which 99 in 100 are 0, and the others are about the level of their 10,000 rows.
fn seldom(levels: &[f64]) -> Vec<f64> {
    let amounts = |(level, seed): (&f64, u64)| {
        let sizes = normals(seed, 10_000, 10.0).into_iter().enumerate();
        let amount = |(row, it): (usize, f64)| if row * 7919 % 100 == 37 { level * it / 10.0 } else { 0.0 };
        sizes.map(amount).collect::<Vec<_>>()
    };
    levels.iter().zip(80..).flat_map(amounts).collect()
}

#[test]
fn changes_of_what_is_seldom_are_seen() {
    for detector in ["adwin", "page-hinkley"] {
        for row in [None, Some(300)] {
            let mut values = seldom(&[10.0, 100.0, 10_000.0]);
            row.into_iter().for_each(|it: usize| values[it] = 1e9);
            let report = run(&json!({ "detector": detector }), &of(values));
            let found = rows_of_changes(&report);
            for place in [10_000, 20_000] {
                let is_found = found.iter().any(|it| (place..place + 3_000).contains(it));
                assert!(is_found, "{detector}, {row:?}, {place}: {found:?}");
            }
        }
        let quiet = run(&json!({ "detector": detector }), &of(seldom(&[10.0, 10.0, 10.0])));
        assert_eq!(metric(&quiet, "clipped_share", "x").unwrap().value, 0.0);
        if detector == "adwin" {
            assert_eq!(rows_of_changes(&quiet), [0; 0]);
        }
    }
}

#[test]
fn values_too_great_for_a_scale_leave_the_one_before() {
    let usual = |seed: u64| normals(seed, 2_000, 0.0).into_iter().map(|it| 1e6 + 1e-3 * it);
    let great = normals(91, 1_000, 0.0).into_iter().map(|it| 1e200 * (1.0 + 0.01 * it));
    let values: Vec<f64> = usual(90).chain(great).chain(usual(92)).collect();
    let found = rows_of_changes(&run(&json!({}), &of(values)));
    for place in [2_000, 3_000] {
        assert!(found.iter().any(|it| (place..place + 200).contains(it)), "{place}: {found:?}");
    }
}

#[test]
fn one_step_is_one_change_of_cusum() {
    // A mean of 500 values is near enough for a slack of half a deviation.
    let config = json!({"detector": "cusum", "cusum": {"threshold": 20}, "warm_up": 500});
    let found = rows_of_changes(&run(&config, &of(risen_with_outlier(None))));
    assert!(found.len() == 1 && (5_000..5_020).contains(&found[0]), "{found:?}");
    // At the defaults there are as many false alarms as without a step.
    let report = run(&json!({"detector": "cusum"}), &of(risen_with_outlier(None)));
    assert!(metric(&report, "changes", "x").unwrap().value < 150.0);
    // Where the mean is given, it stays what it is.
    let config = json!({"detector": "cusum", "cusum": {"threshold": 20, "mean": 0, "deviation": 1}});
    let report = run(&config, &of(risen_with_outlier(None)));
    assert!(metric(&report, "changes", "x").unwrap().value > 1_000.0);
}

#[test]
fn the_first_value_of_all_has_none_before_it() {
    let config = json!({"detector": "cusum", "cusum": {"mean": 0, "deviation": 1}});
    let report = run(&config, &of([vec![100.0], vec![0.0; 400]].concat()));
    let it = finding(&report, "MW-S001", "column `x`");
    assert!(it.message.contains("begun about row 0: no value before, mean 0.2494"), "{}", it.message);
}

#[test]
fn what_is_deliberately_not_here_is_described() {
    let registry = analyze_stream::registry();
    let docs = &registry.manifest().components[0].docs;
    assert!(
        docs.contains("Weights, chunks and reference windows") && docs.contains("deliberately not here: "),
        "{docs}"
    );
}

#[test]
fn numbers_in_a_dictionary_are_watched_where_they_are_named() {
    let keys = Int8Array::from_iter_values((0..2000).map(|it| if it < 1000 { it % 2 } else { 2 + it % 2 } as i8));
    let grades = DictionaryArray::new(keys, Arc::new(Int64Array::from(vec![1, 2, 11, 12])));
    let rows = batch(vec![("grade", Use::Feature, Arc::new(grades)), ("x", Use::Feature, numbers(shifted()))]);
    let report = run(&json!({}), &rows);
    assert!(gap(&report, "column `grade`").starts_with("its numbers are names of categories"));
    let report = run(&json!({ "columns": ["grade"] }), &rows);
    assert!(metric(&report, "changes", "grade").unwrap().value >= 1.0, "{:?}", report.metrics);
}

#[test]
fn rows_are_looked_at_in_the_order_of_their_times() {
    let ordered = shifted();
    // A fixed shuffle; rows of one time stay in the order of the data.
    let places: Vec<usize> = (0..2000).map(|it| it * 877 % 2000).collect();
    let shuffled = numbers(places.iter().map(|it| ordered[*it]).collect());
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(places.iter().map(|it| *it as i64)));
    let rows = batch(vec![("x", Use::Feature, shuffled), ("at", Use::Timestamp, times)]);
    let config = json!({"standardize": false});
    let found = rows_of_changes(&run(&config, &rows));
    let expected = rows_of_changes(&run(&config, &of(ordered)));
    assert_eq!(found.iter().map(|it| places[*it]).collect::<Vec<_>>(), expected);
    // As the rows are in the data, nothing changes.
    assert_eq!(rows_of_changes(&run(&json!({"order": "rows"}), &rows)), [0; 0]);

    let times: ArrayRef =
        Arc::new(TimestampSecondArray::from_iter((0..2000).map(|it| (it % 4 != 0).then_some(it / 2))));
    let report = run(&config, &batch(vec![("x", Use::Feature, numbers(shifted())), ("at", Use::Timestamp, times)]));
    assert_eq!(gap(&report, "changes over time, in part"), "500 of 2000 rows have no time");
    assert_eq!(metric(&report, "changes", "x").unwrap().n, 1500);
}

#[test]
fn every_cut_gives_the_same_bytes() {
    let times: ArrayRef =
        Arc::new(TimestampSecondArray::from_iter((0..2000).map(|it| (it % 7 != 0).then_some(it * 877 % 500))));
    let names: ArrayRef = Arc::new(Int64Array::from_iter((0..2000).map(|it| (it % 5 != 0).then_some(it))));
    let narrow: ArrayRef = Arc::new(Float32Array::from_iter_values(shifted().iter().map(|it| *it as f32)));
    let rows = batch(vec![
        ("x", Use::Feature, numbers(shifted())),
        ("narrow", Use::Feature, narrow),
        ("color", Use::Feature, Arc::new(StringArray::from(vec!["red"; 2000]))),
        ("at", Use::Timestamp, times),
        ("name", Use::Id, names),
    ]);
    // With room for all rows, for a part of them, and in the order of the data, where none wait.
    for options in [json!({}), json!({"max_bytes": 50_000}), json!({"order": "rows"})] {
        for detector in ["adwin", "kswin"] {
            let mut config = options.clone();
            config["detector"] = json!(detector);
            let mut whole = open(&config);
            whole.update(&(), Role::Current, &rows).unwrap();
            let expected = (whole.state().unwrap(), serde_json::to_value(whole.evaluate(&()).unwrap()).unwrap());
            for size in [17, 256, 700, 1999] {
                let mut all = open(&config);
                let mut state = open(&config).state().unwrap();
                for start in (0..2000).step_by(size) {
                    let part = rows.slice(start, size.min(2000 - start));
                    all.update(&(), Role::Current, &part).unwrap();
                    // As a run that is killed after each part.
                    let mut next = open(&config);
                    next.merge(&state).unwrap();
                    next.update(&(), Role::Current, &part).unwrap();
                    state = next.state().unwrap();
                }
                assert!(all.state().unwrap() == expected.0 && state == expected.0, "{config}, {size}");
                assert_eq!(serde_json::to_value(all.evaluate(&()).unwrap()).unwrap(), expected.1, "{config}, {size}");
            }
        }
    }
}

#[test]
fn what_is_kept_does_not_grow_with_the_rows() {
    for detector in DETECTORS {
        let is_of_errors = ["ddm", "eddm", "hddm-a", "hddm-w"].contains(&detector);
        let stream = if is_of_errors { errors() } else { shifted() };
        let mut probe = open(&json!({"detector": detector, "watch": ["columns"]}));
        let mut bytes = |n: usize| {
            (0..n).for_each(|_| probe.update(&(), Role::Current, &of(stream[..1000].to_vec())).unwrap());
            probe.state().unwrap().len()
        };
        let (few, many) = (bytes(10), bytes(90));
        println!("{detector:>12}: {few} bytes for 10,000 rows, {many} for 100,000");
        // By their logarithm, where nothing changes.
        assert!(many < few * 3 / 2 && many < 100_000, "{detector}: {few} and {many}");
    }
}

#[test]
fn what_comes_later_changes_nothing_of_what_was_said() {
    for detector in DETECTORS {
        let stream = if ["ddm", "eddm", "hddm-a", "hddm-w"].contains(&detector) { errors() } else { shifted() };
        let config = json!({"detector": detector, "watch": ["columns"]});
        let all = rows_of_changes(&run(&config, &of(stream.clone())));
        let part = rows_of_changes(&run(&config, &of(stream[..1300].to_vec())));
        assert_eq!(all.iter().copied().filter(|it| *it < 1300).collect::<Vec<_>>(), part, "{detector}");
        assert!(!part.is_empty(), "{detector} finds nothing");
    }
}

#[test]
fn values_that_are_none_are_stated_and_never_fed() {
    for detector in DETECTORS {
        let stream = if ["ddm", "eddm", "hddm-a", "hddm-w"].contains(&detector) { errors() } else { shifted() };
        let config = json!({"detector": detector, "watch": ["columns"]});
        let plain = rows_of_changes(&run(&config, &of(stream.clone())));
        let none = [Some(f64::NAN), None, Some(f64::INFINITY)];
        let values = stream.iter().enumerate().flat_map(|(row, it)| [Some(*it), none[row % 3]]);
        let report = run(&config, &batch(vec![("x", Use::Feature, Arc::new(Float64Array::from_iter(values)))]));
        let halved: Vec<usize> = rows_of_changes(&report).iter().map(|it| it / 2).collect();
        assert_eq!(halved, plain, "{detector}");
        let gaps: Vec<&str> = report.gaps.iter().map(|it| it.why.as_str()).collect();
        assert_eq!(
            gaps,
            [
                "1334 of 4000 values are null or NaN and were passed over",
                "666 of 4000 values are infinite and were passed over"
            ]
        );
        assert_eq!(metric(&report, "unusable_share", "x").unwrap().value, 0.5);
        assert_eq!(metric(&report, "changes", "x").unwrap().n, 2000);
    }
}

#[test]
fn whole_numbers_that_are_rounded_are_told() {
    let values = |from: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..100).map(|it| from + it % 5))) };
    let rows = batch(vec![("id", Use::Feature, values(1 << 60)), ("size", Use::Feature, values(1 << 52))]);
    let report = run(&json!({}), &rows);
    assert!(gap(&report, "column `id`, in part").starts_with("whole numbers from 2^53 on are rounded"));
    assert!(!report.gaps.iter().any(|it| it.what.contains("size")), "{:?}", report.gaps);
    let lists = |from: i64| -> ArrayRef {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        Arc::new(FixedSizeListArray::new(item, 2, values(from), None))
    };
    let report =
        run(&json!({}), &batch(vec![("ids", Use::Feature, lists(1 << 60)), ("sizes", Use::Feature, lists(1 << 52))]));
    assert!(gap(&report, "column `ids`, in part").starts_with("whole numbers from 2^53 on are rounded"));
    assert!(!report.gaps.iter().any(|it| it.what.contains("sizes")), "{:?}", report.gaps);
}

#[test]
fn another_unit_changes_nothing() {
    for detector in ["adwin", "page-hinkley", "kswin", "cusum"] {
        // Powers of two, so that no rounding comes in between.
        let others = shifted().iter().map(|it| it * 1024.0).collect();
        let config = json!({ "detector": detector });
        let found = rows_of_changes(&run(&config, &of(shifted())));
        assert_eq!(rows_of_changes(&run(&config, &of(others))), found, "{detector}");
        assert!(!found.is_empty(), "{detector}");
    }
}

/// Rows with an output of the candidate of two scores; of each ten rows so many are wrong, before and from row 1000 on.
fn judged(before: usize, after: usize) -> modelwatch_sdk::RecordBatch {
    let is_wrong = |row: usize| row * 7 % 10 < if row < 1000 { before } else { after };
    let chance = |row: usize| if (row % 2 == 1) == is_wrong(row) { 0.2_f32 } else { 0.8 };
    let scores = (0..2000).flat_map(|row| [Some(1.0 - chance(row)), Some(chance(row))]);
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let scores: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, Arc::new(Float32Array::from_iter(scores)), None));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..2000).map(|it| it % 2)));
    batch(vec![("candidate:scores", Use::Candidate, scores), ("label", Use::Label, labels)])
}

#[test]
fn errors_of_the_candidate_that_rise_are_told_apart_from_those_that_fall() {
    for detector in ["ddm", "hddm-a", "hddm-w", "adwin"] {
        let config = json!({"detector": detector, "watch": ["errors"], "severity": "error"});
        let report = run(&config, &judged(1, 5));
        let found = finding(&report, "MW-S002", "errors of `scores`");
        assert!((1000..1100).contains(&rows_of_changes(&report)[0]), "{detector}: {found:?}");
        assert_eq!((found.severity, metric(&report, "changes", "scores").unwrap().n), (Severity::Error, 2000));
        assert_eq!(metric(&report, "changes", "scores").unwrap().labels["errors"], "scores");
    }
    let report = run(&json!({"watch": ["errors"], "severity": "error"}), &judged(5, 1));
    assert_eq!(finding(&report, "MW-S002", "errors of `scores`").severity, Severity::Info);
    // The detectors of errors see rises alone.
    assert!(run(&json!({"detector": "hddm-a"}), &judged(5, 1)).findings.is_empty());
}

#[test]
fn losses_and_outputs_are_streams_of_their_own() {
    let config = json!({"watch": ["predictions", "loss"], "loss": "log", "detector": "page-hinkley"});
    let report = run(&config, &judged(1, 5));
    finding(&report, "MW-S002", "loss of `scores`");
    let names: Vec<_> = report.metrics.iter().filter(|it| it.name == "changes").map(|it| &it.labels).collect();
    assert_eq!(
        serde_json::to_value(names).unwrap(),
        json!([{"output": "scores[0]"}, {"output": "scores[1]"}, {"loss": "scores"}])
    );
}

#[test]
fn each_column_gets_an_answer() {
    let n = 500;
    let item = || Arc::new(Field::new("item", DataType::Float64, true));
    let list = |width: i32| -> ArrayRef {
        let values = normals(7, n * width as usize, 0.0);
        Arc::new(FixedSizeListArray::new(item(), width, Arc::new(Float64Array::from(values)), None))
    };
    let ragged = ListArray::from_iter_primitive::<Float64Type, _, _>((0..n).map(|it| Some(vec![Some(1.0); it % 3])));
    let decimals = Decimal128Array::from_iter_values((0..500).map(|it| it * 37 % 100)).with_precision_and_scale(10, 2);
    let rows = batch(vec![
        ("text", Use::Feature, Arc::new(StringArray::from(vec!["a"; n]))),
        ("empty", Use::Feature, Arc::new(Float64Array::from(vec![None; n]))),
        ("constant", Use::Feature, numbers(vec![3.0; n])),
        ("rare", Use::Feature, numbers((0..n).map(|it| f64::from(u8::from(it == 400))).collect())),
        ("flag", Use::Feature, Arc::new(BooleanArray::from_iter((0..n).map(|it| Some(it % 3 == 0))))),
        ("decimal", Use::Feature, Arc::new(decimals.unwrap())),
        ("great", Use::Feature, numbers((0..n).map(|it| if it % 2 == 0 { 1e300 } else { -1e300 }).collect())),
        ("pair", Use::Feature, list(2)),
        ("image", Use::Feature, list(65)),
        ("ragged", Use::Feature, Arc::new(ragged)),
        ("code", Use::Categorical, numbers(normals(8, n, 0.0))),
        ("label", Use::Label, numbers(normals(9, n, 0.0))),
    ]);
    let report = run(&json!({}), &rows);
    assert_eq!(gap(&report, "column `text`"), "it has values of type Utf8, which are no numbers");
    assert_eq!(gap(&report, "column `image`"), "a row has 65 numbers, more than 64");
    assert_eq!(
        gap(&report, "column `ragged`"),
        "it has lists of variable length, of type List(Float64), and lists are watched that have one length; name the column in `columns` where all of its lists have one, or give it a type of fixed-size lists"
    );
    assert_eq!(gap(&report, "column `empty`"), "there are 0 values, and the detector decides nothing before the 32th");
    let great = finding(&report, "MW-S003", "column `great`");
    assert_eq!(
        great.message,
        "column `great` cannot be watched: its values are too great to be squared, as its scale needs it"
    );
    let watched: Vec<_> = report.metrics.iter().filter(|it| it.name == "changes").collect();
    let names: Vec<_> = watched.iter().map(|it| it.labels["column"].as_str()).collect();
    assert_eq!(names, ["constant", "decimal", "flag", "pair[0]", "pair[1]", "rare"]);
    assert!(watched.iter().all(|it| it.value == 0.0), "{watched:?}");
    assert_eq!((overall(&report, "watched_streams"), overall(&report, "changed_streams")), (6.0, 0.0));

    // A column that is named is an error where it cannot be watched, whatever it is for.
    let report = run(&json!({"columns": ["text", "label", "p*", "no*"]}), &rows);
    assert_eq!(finding(&report, "MW-S003", "column `text`").severity, Severity::Error);
    assert_eq!(gap(&report, "columns `no*`"), "there is no such column of numbers");
    assert_eq!((report.gaps.len(), overall(&report, "watched_streams")), (1, 3.0));
    for config in
        [json!({"types": ["boolean"], "exclude": ["text", "image", "ragged"]}), json!({"columns": ["type:boolean"]})]
    {
        let report = run(&config, &rows);
        assert_eq!((report.gaps.len(), overall(&report, "watched_streams")), (0, 1.0), "{config}");
    }
}

#[test]
fn lists_of_one_length_are_watched_where_they_are_named() {
    let lists = |rows: &[&[f64]]| -> ArrayRef {
        let rows = rows.iter().map(|it| Some(it.iter().copied().map(Some).collect::<Vec<_>>()));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
    };
    let values = shifted();
    let pairs: Vec<[f64; 2]> = values.iter().map(|it| [*it, 1.0 + (it * 7.0) % 0.5]).collect();
    let alike = lists(&pairs.iter().map(|it| &it[..]).collect::<Vec<_>>());
    let config = json!({"columns": ["pair"]});
    let report = run(&config, &batch(vec![("pair", Use::Feature, alike)]));
    assert_eq!(overall(&report, "watched_streams"), 2.0);
    let plain = rows_of_changes(&run(&json!({}), &of(values)));
    assert!(!plain.is_empty());
    assert_eq!(metric(&report, "changes", "pair[0]").unwrap().value, plain.len() as f64);
    for rows in [&[&[1.0, 2.0][..], &[1.0]][..], &[&[], &[]]] {
        let mut probe = open(&config);
        let error = probe.update(&(), Role::Current, &batch(vec![("pair", Use::Feature, lists(rows))])).unwrap_err();
        assert!(error.message.starts_with("column `pair` has "), "{}", error.message);
        assert!(error.message.ends_with("lists are watched that have one length"), "{}", error.message);
    }
    // Each batch alone has one length.
    let mut probe = open(&config);
    probe.update(&(), Role::Current, &batch(vec![("pair", Use::Feature, lists(&[&[1.0, 2.0]]))])).unwrap();
    let error = probe.update(&(), Role::Current, &batch(vec![("pair", Use::Feature, lists(&[&[1.0]]))])).unwrap_err();
    assert!(error.message.ends_with("some lack column `pair[1]`"), "{}", error.message);
}

#[test]
fn a_detector_is_not_given_what_it_is_not_made_for() {
    for (detector, expected) in [("ddm", "0 and 1"), ("eddm", "0 and 1"), ("hddm-a", "numbers from 0 to 1")] {
        let config = json!({"detector": detector, "watch": ["columns"]});
        let report = run(&config, &of(vec![0.0, 1.0, 1.5]));
        let message = &finding(&report, "MW-S003", "column `x`").message;
        let why = format!("it has the value 1.5, and `{detector}` is made for {expected}");
        assert_eq!(*message, format!("column `x` cannot be watched: {why}"));
        assert!(overall(&report, "changed_share").is_nan());
    }
    let report = run(&json!({"detector": "eddm", "watch": ["columns"]}), &of(vec![0.0; 1000]));
    let why = "there are 0 errors, and the detector decides nothing before it saw more than 30";
    assert_eq!(gap(&report, "column `x`"), why);
}

#[test]
fn a_row_that_is_too_late_is_counted_and_not_watched() {
    let timed = |times: &[i64], values: &[f64]| {
        let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values(times.iter().copied()));
        batch(vec![("x", Use::Feature, numbers(values.to_vec())), ("at", Use::Timestamp, times)])
    };
    let (mut times, mut values) = ((0..2000).collect::<Vec<_>>(), shifted());
    // Ten rows late are put in their place; with room for 42 rows, a thousand are too many.
    times[300..310].rotate_left(1);
    values[300..310].rotate_left(1);
    let (late, value) = (times.remove(100), values.remove(100));
    let expected =
        rows_of_changes(&run(&json!({"order": "rows"}), &of([&shifted()[..100], &shifted()[101..]].concat())));
    times.insert(1500, late);
    values.insert(1500, value);
    let report = run(&json!({"max_bytes": 1024}), &timed(&times, &values));
    assert_eq!(
        gap(&report, "changes over time, in part"),
        "1 of 2000 rows came too late to be put in the order of time and were passed over: 42 rows wait for earlier ones; sort the data, or raise `max_bytes`"
    );
    assert_eq!((rows_of_changes(&report), metric(&report, "changes", "x").unwrap().n), (expected, 1999));
    // With room for all of them none is late.
    assert!(run(&json!({}), &timed(&times, &values)).gaps.is_empty());
}

#[test]
fn states_of_rows_do_not_merge() {
    let mut probe = open(&json!({}));
    probe.update(&(), Role::Current, &of(vec![1.0; 10])).unwrap();
    let state = probe.state().unwrap();
    let error = probe.merge(&state).unwrap_err();
    assert!(error.kind == ErrorKind::Input && error.message.contains("do not merge"), "{error:?}");
}

#[test]
fn all_changes_are_counted_and_the_newest_are_listed() {
    let config = json!({"detector": "cusum", "cusum": {"mean": 0, "deviation": 1}});
    let report = run(&config, &of((0..1000).map(|it| if it % 2 == 0 { 9.0 } else { 0.0 }).collect()));
    let it = finding(&report, "MW-S001", "column `x`");
    assert_eq!((&it.evidence["n_changes"], &it.evidence["n_not_listed"]), (&json!(500), &json!(400)));
    let rows = rows_of_changes(&report);
    assert_eq!((rows.len(), rows[0], rows[99]), (100, 800, 998));
}

#[test]
fn a_warning_at_the_end_is_a_note() {
    // One error in ten, and then all wrong until the first warning.
    let errors: Vec<f64> = (0..300).map(|it| f64::from(u8::from(it % 10 == 0))).chain([1.0; 40]).collect();
    let config = json!({"detector": "ddm", "watch": ["columns"]});
    let warned = |n: &usize| metric(&run(&config, &of(errors[..*n].to_vec())), "warnings", "x").unwrap().value > 0.0;
    let n = (300..340).find(warned).unwrap();
    let report = run(&config, &of(errors[..n].to_vec()));
    assert_eq!(finding(&report, "MW-S004", "column `x`").severity, Severity::Info);
    assert_eq!((report.findings.len(), overall(&report, "changed_streams")), (1, 0.0));
}

#[test]
fn only_what_is_watched_is_asked_for() {
    let needs = |config: Value| open(&config).needs().current.unwrap();
    let columns = needs(json!({}));
    assert!(columns.features && columns.predictions == Need::No && columns.label == Need::No);
    assert_eq!((columns.timestamp, columns.id), (Need::Optional, Need::Optional));
    let named = needs(json!({"columns": ["a"], "ids": false, "order": "time"}));
    assert!(!named.features && named.columns == ["a"] && named.id == Need::No && named.timestamp == Need::Required);
    let errors = needs(json!({"detector": "ddm"}));
    assert!(!errors.features && errors.predictions == Need::Required && errors.label == Need::Required);
    let logged = needs(json!({"detector": "ddm", "prediction": "p", "order": "rows"}));
    assert_eq!((logged.predictions, logged.timestamp, logged.columns), (Need::No, Need::No, vec!["p".to_owned()]));
}

#[test]
fn no_rows_are_a_gap() {
    let report = open(&json!({})).evaluate(&()).unwrap();
    assert_eq!(gap(&report, "changes over time"), "there are no rows");
    assert!(report.findings.is_empty() && report.metrics.iter().all(|it| it.n == 0));
}

#[test]
fn too_few_rows_to_watch_are_not_checked() {
    let rows = batch(vec![("x", Use::Feature, numbers(vec![1.0, 2.0]))]);
    let report = run(&json!({}), &rows);
    assert_eq!(overall(&report, "watched_streams"), 0.0);
    let checks: Vec<_> = report.checks.iter().map(|it| (it.metric.as_str(), it.status)).collect();
    assert_eq!(checks, [("watched_streams", Status::NotChecked)]);
}

#[test]
fn the_suite_is_kept() {
    let registry = analyze_stream::registry();
    let codes = registry.manifest().codes(Kind::Analyzer, "stream");
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..2000).map(|it| it * 877 % 500)));
    let names: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2000));
    let rows = batch(vec![
        ("x", Use::Feature, numbers(shifted())),
        ("at", Use::Timestamp, Arc::clone(&times)),
        ("name", Use::Id, names),
    ]);
    let mut cases: Vec<_> = DETECTORS[5..].iter().map(|it| (json!({ "detector": it }), rows.clone())).collect();
    cases.push((json!({}), rows));
    let all = json!({"watch": ["predictions", "errors", "loss"], "loss": "log"});
    cases.push((all, judged(1, 5)));
    cases.extend(DETECTORS[1..5].iter().map(|it| (json!({ "detector": it }), judged(1, 5))));
    for (config, rows) in cases {
        let open = || registry.open_probe(Kind::Analyzer, "stream", &config);
        testing::probe(&ProbeCase { open: &open, rows: vec![(Role::Current, rows)], tensors: Vec::new(), codes });
    }
}

#[test]
fn what_is_not_watched_has_no_known_metric() {
    let of = |options: Value| -> std::collections::BTreeSet<String> {
        open(&options).needs().metrics.into_iter().flat_map(|it| it.labels).collect()
    };
    let set = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect();
    assert_eq!(of(json!({})), set(&["column"]));
    assert_eq!(of(json!({ "detector": "ddm" })), set(&["errors"]));
    assert_eq!(of(json!({ "watch": ["predictions", "loss"] })), set(&["output", "loss"]));
}

/// Rows of three regions, of which one changes in the middle.
fn regions(n: usize) -> modelwatch_sdk::RecordBatch {
    let noise = normals(7, n, 0.0);
    let region = |row: usize| ["north", "south", "east"][row % 3];
    let values = (0..n).map(|row| noise[row] + if row % 3 == 1 && row >= n / 2 { 2.0 } else { 0.0 });
    let names: ArrayRef = Arc::new(StringArray::from_iter((0..n).map(|it| (it % 50 != 49).then(|| region(it)))));
    batch(vec![("x", Use::Feature, numbers(values.collect())), ("region", Use::Slice, names)])
}

#[test]
fn a_slice_is_watched_by_a_detector_of_its_own() {
    let report = run(&json!({ "slices": ["region"] }), &regions(3000));
    let it = finding(&report, "MW-S001", "column `x`[region=south]");
    let row = it.evidence["rows"][0].as_u64().unwrap();
    assert!((1500..1700).contains(&row), "{row}");
    let of_slice = |name: &str, slice: &str| {
        let is_it = |it: &&modelwatch_sdk::report::Metric| {
            it.name == name && it.labels.get("slice").is_some_and(|it| it == slice)
        };
        report.metrics.iter().find(is_it).unwrap().value
    };
    assert_eq!(of_slice("changes", "region=north"), 0.0);
    assert!(of_slice("changes", "region=south") >= 1.0);
    let [slices, judged, changed] = ["slices", "judged_slices", "changed_slices"].map(|it| overall(&report, it));
    assert_eq!((slices, judged, changed), (3.0, 3.0, 1.0));
    assert_eq!(gap(&report, "slices by `region`"), "60 of 3000 rows have no value, and are in no slice");
    // All rows are what they are without slices.
    let plain = run(&json!({}), &regions(3000));
    for name in ["watched_streams", "changed_streams", "changed_share"] {
        assert_eq!(overall(&report, name), overall(&plain, name));
    }
    let noise = normals(7, 3000, 0.0);
    let south = (0..3000).filter(|it| it % 3 == 1 && it % 50 != 49);
    let values = south.map(|it| noise[it] + if it >= 1500 { 2.0 } else { 0.0 });
    let by_itself = run(&json!({}), &of(values.collect()));
    assert_eq!(metric(&by_itself, "recent_mean", "x").unwrap().value, of_slice("recent_mean", "region=south"));
}

#[test]
fn slices_do_not_depend_on_batches_and_go_on_from_a_state() {
    let config = json!({ "slices": ["region"], "max_slices": 2 });
    let rows = regions(1000);
    let whole = {
        let mut probe = open(&config);
        probe.update(&(), Role::Current, &rows).unwrap();
        probe.state().unwrap()
    };
    for size in [1, 7, 300] {
        let mut probe = open(&config);
        for at in (0..1000).step_by(size) {
            probe.update(&(), Role::Current, &rows.slice(at, size.min(1000 - at))).unwrap();
            let state = probe.state().unwrap();
            probe = open(&config);
            probe.merge(&state).unwrap();
        }
        assert_eq!(probe.state().unwrap(), whole, "{size}");
    }
    let refused = open(&json!({ "slices": ["region"], "max_slices": 1 })).merge(&whole).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Corrupt);
}

#[test]
fn slices_beyond_the_cap_and_small_ones_are_told() {
    let report = run(&json!({ "slices": ["*"], "max_slices": 2 }), &regions(300));
    assert_eq!(overall(&report, "slices"), 2.0);
    assert_eq!(
        gap(&report, "slices, in part"),
        "98 rows are in slices that came after the first 2: name slice columns with fewer values, or raise `max_slices`"
    );
    let report = run(&json!({ "slices": ["*"], "max_slice_streams": 2 }), &regions(300));
    assert_eq!(overall(&report, "slices"), 2.0);
    assert!(gap(&report, "slices, in part").ends_with("or raise `max_slice_streams`"));
    let report = run(&json!({ "slices": ["region"], "min_slice_size": 200 }), &regions(300));
    assert_eq!(gap(&report, "column `x`[region=north]"), "its slice has 98 rows, fewer than `min_slice_size`, 200");
    assert!(report.checks.iter().any(|it| it.metric == "judged_slices" && it.status == Status::NotChecked));
}
