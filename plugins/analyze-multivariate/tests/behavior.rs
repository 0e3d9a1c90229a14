//! What the analyzer says about rows that drifted, did not, or cannot be compared.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use modelwatch_sdk::{
    ErrorKind, Host, Kind, RecordBatch, Role,
    arrow::{
        array::{
            ArrayRef, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray, Float64Array, ListArray,
            NullArray, UInt64Array, types::Float64Type,
        },
        schema::{DataType, Field},
    },
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use common::{Random, batch_of, codes, features, floats, gap, integers, lists, names, of_question, open, overall, run};

/// Two columns of normal numbers that go together by `correlation`.
fn pair(seed: u64, n: usize, correlation: f64) -> RecordBatch {
    let mut random = Random(seed << 32);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let (a, b) = (random.normal(), random.normal());
        left.push(a);
        right.push(correlation * a + (1.0 - correlation * correlation).sqrt() * b);
    }
    features(vec![("a", floats(left)), ("b", floats(right))])
}

/// Columns of several types, the number shifted by `shift`.
fn mixed(seed: u64, n: usize, shift: f64) -> RecordBatch {
    let mut random = Random(seed << 32);
    let number: Vec<f64> = (0..n).map(|_| random.normal() + shift).collect();
    let name: Vec<&str> = (0..n).map(|_| ["a", "b", "c"][(3.0 * random.uniform()) as usize]).collect();
    let flag: Vec<bool> = (0..n).map(|_| random.uniform() < 0.3).collect();
    let holes: Vec<Option<f64>> = (0..n).map(|_| (random.uniform() < 0.8).then(|| random.normal())).collect();
    features(vec![
        ("flag", Arc::new(BooleanArray::from(flag))),
        ("holes", Arc::new(Float64Array::from(holes))),
        ("name", names(name)),
        ("number", floats(number)),
    ])
}

/// A host that asks for an end when it was asked so often, and counts.
struct CancelsAt {
    n: usize,
    asked: AtomicUsize,
}

impl Host for CancelsAt {
    fn is_cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1 >= self.n
    }
}

#[test]
fn an_end_is_asked_for_within_each_test_of_a_question() {
    let config = json!({ "tests": ["energy", "mmd", "correlation"], "permutations": 99 });
    let mut probe = open(&config);
    probe.update(&(), Role::Reference, &pair(1, 60, 0.5)).unwrap();
    probe.update(&(), Role::Current, &pair(2, 60, 0.5)).unwrap();
    let mut times = |n| {
        let host = CancelsAt { n, asked: AtomicUsize::new(0) };
        let error = probe.evaluate(&host).err().map(|it| it.kind);
        (error, host.asked.into_inner())
    };
    let (error, all) = times(usize::MAX);
    assert_eq!(error, None);
    for n in 1..=all {
        let (error, asked) = times(n);
        assert_eq!(error, Some(ErrorKind::Cancelled), "at {n} of {all}");
        assert_eq!(asked, n);
    }
    // Blocks of four rows for two tests, and for the third sums of columns, of their squares, and of their products.
    assert!(all >= 30 + 30 + 3, "{all}");
}

#[test]
fn columns_are_chosen_by_type() {
    let of = |seed: u64, shift: f64| {
        let mut random = Random(seed);
        let values: Vec<f64> = (0..200).map(|_| random.normal() + shift).collect();
        let words = values.iter().map(|it| if *it > 0.0 { "more" } else { "less" });
        features(vec![("number", floats(values.iter().copied())), ("word", names(words))])
    };
    let leading = |config: &Value| {
        let report = run(config, &of(1, 0.0), &of(2, 3.0));
        report.findings[0].evidence["columns"].as_array().unwrap().len()
    };
    assert_eq!(leading(&json!({})), 2);
    assert_eq!(leading(&json!({ "columns": ["type:number"] })), 1);
    assert_eq!(leading(&json!({ "exclude": ["type:categorical"] })), 1);
    let config = json!({ "columns": ["type:numbers"] });
    let error = analyze_multivariate::registry().open_probe(Kind::Analyzer, "multivariate", &config).err().unwrap();
    assert_eq!((error.path.as_str(), error.message.as_str()), ("/columns/0", "`numbers` is no type of columns"));
}

#[test]
fn columns_that_no_longer_go_together_are_found_where_each_looks_the_same() {
    let report = run(&json!({}), &pair(1, 200, 0.7), &pair(2, 150, -0.7));
    assert_eq!(codes(&report), [("MW-J001", "features")]);
    assert!(
        report.findings[0].message.contains("the correlation of `a` and `b` went from 0."),
        "{}",
        report.findings[0].message
    );
    assert_eq!(of_question(&report, "drifted", "features"), Some(1.0));
    assert_eq!(codes(&run(&json!({}), &pair(1, 200, 0.7), &pair(2, 150, 0.7))), []);
}

#[test]
fn no_column_is_named_where_only_a_correlation_changed() {
    let with_others = |seed: u64, n: usize, correlation: f64| {
        let batch = pair(seed, n, correlation);
        let mut random = Random(seed + 100);
        let mut normals = || floats((0..n).map(|_| random.normal()).collect::<Vec<_>>());
        let (third, fourth) = (normals(), normals());
        let [first, second] = [0, 1].map(|it| Arc::clone(batch.column(it)));
        features(vec![("a", first), ("b", second), ("c", third), ("d", fourth)])
    };
    for tests in [json!([]), json!(["energy"]), json!(["energy", "classifier"]), json!(["neighbors"])] {
        let config = json!({ "tests": tests });
        let report = run(&config, &with_others(1, 400, 0.9), &with_others(2, 400, -0.9));
        let finding = &report.findings[0];
        assert!(
            finding.message.contains("the correlation of `a` and `b` went from 0."),
            "{tests}: {}",
            finding.message
        );
        assert_eq!(finding.evidence["columns"], json!([]), "{tests}");
        assert!(report.figures.iter().all(|it| it.title != "Columns that tell the samples apart"), "{tests}");
        // A shift beside it is named.
        let shifted = run(&json!({ "tests": ["energy"] }), &mixed(1, 400, 0.0), &mixed(2, 300, 0.5));
        assert!(shifted.findings[0].message.ends_with("most by column `number`"), "{}", shifted.findings[0].message);
    }
}

#[test]
fn categories_that_count_as_one_are_told() {
    let of = |seed: u64, n_names: usize| {
        let mut random = Random(seed);
        let words: Vec<String> = (0..300)
            .map(|it| format!("n{}", if it < n_names { it } else { (random.uniform() * n_names as f64) as usize }))
            .collect();
        features(vec![
            ("x", names(words.iter().map(String::as_str))),
            ("y", floats((0..300).map(|_| random.normal()).collect::<Vec<_>>())),
        ])
    };
    let gaps = |config: Value, n_names: usize| {
        let gaps = run(&config, &of(1, n_names), &of(2, n_names)).gaps;
        gaps.into_iter().filter(|it| it.what == "column `x`, in part").map(|it| it.why).collect::<Vec<_>>()
    };
    let told = gaps(json!({}), 60);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with(
            "of the 60 categories in the rows that are compared the 40 least frequent ones count as one, "
        ),
        "{told:?}"
    );
    assert!(told[0].ends_with("raise `max_categories` to tell more apart"), "{told:?}");
    for (config, n_names) in [(json!({ "max_categories": 60 }), 60), (json!({}), 20), (json!({}), 21)] {
        assert_eq!(gaps(config, n_names), [""; 0], "{n_names}");
    }
}

#[test]
fn a_shift_is_found_and_its_column_is_named() {
    let report = run(&json!({}), &mixed(1, 400, 0.0), &mixed(2, 300, 0.5));
    assert_eq!(codes(&report), [("MW-J001", "features")]);
    let columns = report.findings[0].evidence["columns"].as_array().unwrap();
    assert!(columns[0].as_str().unwrap().starts_with("number ("), "{columns:?}");
    assert_eq!(overall(&report, "drifted_questions"), 1.0);
    assert!(of_question(&report, "classifier_auc", "features").unwrap() > 0.55);
}

#[test]
fn every_test_finds_a_shift_and_none_finds_one_in_equal_rows() {
    for test in ["energy", "mmd", "linear-mmd", "neighbors", "classifier", "trees", "correlation", "reconstruction"] {
        let config = json!({ "tests": [test], "permutations": 199 });
        let found = match test {
            "correlation" | "reconstruction" => run(&config, &pair(1, 300, 0.9), &pair(2, 200, 0.0)),
            // It sees less in the same rows.
            "linear-mmd" => run(&config, &mixed(1, 1000, 0.0), &mixed(2, 1000, 2.0)),
            _ => run(&config, &mixed(1, 400, 0.0), &mixed(2, 300, 1.0)),
        };
        assert_eq!(codes(&found), [("MW-J001", "features")], "{test}");
        assert_eq!(codes(&run(&config, &pair(1, 300, 0.5), &pair(2, 200, 0.5))), [], "{test}");
    }
}

/// Lists as data frames have them, whose type does not say how long they are.
fn of_any_length(rows: Vec<Option<Vec<f64>>>) -> ArrayRef {
    let rows = rows.into_iter().map(|it| it.map(|it| it.into_iter().map(Some).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
}

#[test]
fn lists_of_any_length_are_compared_where_they_have_one() {
    for width in [8, 100] {
        let rows = |seed: u64, n: usize, shift: f64| -> Vec<f64> {
            let mut random = Random(seed << 32);
            (0..n * width).map(|_| random.normal() + shift).collect()
        };
        let of = |values: Vec<f64>| {
            features(vec![("v", of_any_length(values.chunks(width).map(|it| Some(it.to_vec())).collect()))])
        };
        let fixed = |values: Vec<f64>| features(vec![("v", lists(width, values))]);
        let config = json!({ "permutations": 199 });
        let report = run(&config, &of(rows(1, 200, 0.0)), &of(rows(2, 150, 2.0)));
        assert_eq!(codes(&report), [("MW-J001", "v")]);
        // They are those of the same numbers whose type says how long they are, which come from other files.
        for (reference, current) in [(1, 2), (1, 3)] {
            let (reference, current) = (rows(reference, 200, 0.0), rows(current, 150, 0.0));
            let report = run(&config, &fixed(reference.clone()), &of(current.clone()));
            assert_eq!(codes(&report), []);
            assert!(of_question(&report, "p_value", "v").unwrap() > 0.01);
        }
    }
}

#[test]
fn lists_of_several_lengths_are_told_of_and_end_nothing() {
    let table = |lengths: [usize; 3], seed: u64| {
        let mut random = Random(seed << 32);
        let rows = (0..90).map(|it| Some(vec![1.0; lengths[it / 30]])).collect();
        features(vec![("x", floats((0..90).map(|_| random.normal()))), ("v", of_any_length(rows))])
    };
    let ragged = run(&json!({}), &table([4, 4, 4], 1), &table([4, 4, 6], 2));
    assert_eq!(gap(&ragged, "column `v`"), "its lists have from 4 to 6 numbers; give all rows lists of one length");
    assert_eq!(overall(&ragged, "answered_questions"), 1.0);
    let other = run(&json!({}), &table([4, 4, 4], 1), &table([6, 6, 6], 2));
    assert_eq!(codes(&other), [("MW-J005", "v")]);
    // Batches of one length each are no other rows than one batch of all.
    let whole = table([4, 4, 6], 2);
    let mut probe = open(&json!({}));
    probe.update(&(), Role::Reference, &table([4, 4, 4], 1)).unwrap();
    [(0, 60), (60, 30)]
        .into_iter()
        .for_each(|(start, n)| probe.update(&(), Role::Current, &whole.slice(start, n)).unwrap());
    assert_eq!(probe.evaluate(&()).unwrap(), ragged);
}

#[test]
fn one_outlier_hides_nothing() {
    let with_outlier = |seed: u64, shift: f64| {
        let mut random = Random(seed << 32);
        let values = (0..300).map(|it| if it == 0 { 1e300 } else { random.normal() + shift });
        features(vec![("x", floats(values))])
    };
    assert_eq!(codes(&run(&json!({}), &with_outlier(1, 0.0), &with_outlier(2, 0.7))), [("MW-J001", "features")]);
}

#[test]
fn values_that_go_missing_together_are_drift() {
    let holes = |together: bool| {
        let column = |offset: usize| -> ArrayRef {
            let is_missing = |it: usize| (it + if together { 0 } else { offset }).is_multiple_of(4);
            Arc::new((0..400).map(|it| (!is_missing(it)).then_some((it * 7919 % 400) as f64)).collect::<Float64Array>())
        };
        features(vec![("x", column(0)), ("y", column(1))])
    };
    // Each is missing in every fourth row either way.
    assert_eq!(codes(&run(&json!({}), &holes(false), &holes(true))), [("MW-J001", "features")]);
}

#[test]
fn images_are_projected_and_compared_as_a_question_of_their_own() {
    let images = |seed: u64, bright: f64| {
        let mut random = Random(seed << 32);
        features(vec![("image", lists(64, (0..200 * 64).map(|_| random.uniform() + bright).collect()))])
    };
    let report = run(&json!({ "dimensions": 16 }), &images(1, 0.0), &images(2, 0.3));
    assert_eq!(codes(&report), [("MW-J001", "image")]);
    assert_eq!(codes(&run(&json!({ "dimensions": 16 }), &images(1, 0.0), &images(2, 0.0))), []);
}

/// Rows with a label and the probability of its class 1, which comes true as often as `truth` says.
fn predicted(seed: u64, n: usize, truth: impl Fn(f64) -> f64) -> RecordBatch {
    let mut random = Random(seed << 32);
    let scores: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
    let labels: Vec<i64> = scores.iter().map(|it| i64::from(random.uniform() < truth(*it))).collect();
    let numbers: Vec<f64> = (0..n).map(|_| random.normal()).collect();
    batch_of(vec![
        ("x", Use::Feature, floats(numbers)),
        ("candidate:p", Use::Candidate, floats(scores)),
        ("y", Use::Label, integers(labels)),
    ])
}

#[test]
fn outputs_labels_and_calibration_are_questions() {
    let report = run(&json!({}), &predicted(1, 500, |it| it), &predicted(2, 400, |it| it));
    assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 4.0));
    // As often true, and no longer where it is predicted.
    let report = run(&json!({}), &predicted(1, 500, |it| it), &predicted(2, 400, |it| 1.0 - it));
    assert_eq!(codes(&report), [("MW-J004", "calibration")]);
    assert!(of_question(&report, "calibration_gap_change", "calibration").unwrap().abs() < 0.1);
    let report = run(&json!({}), &predicted(1, 500, |it| it), &predicted(2, 400, |it| it / 4.0));
    assert_eq!(codes(&report), [("MW-J003", "label"), ("MW-J004", "calibration")]);
}

#[test]
fn other_outputs_are_prediction_drift() {
    let rows = |seed: u64, power: f64| {
        let mut random = Random(seed << 32);
        let scores: Vec<f64> = (0..300).map(|_| random.uniform().powf(power)).collect();
        batch_of(vec![
            ("x", Use::Feature, floats((0..300).map(|_| random.normal()))),
            ("candidate:p", Use::Candidate, lists(2, scores.iter().flat_map(|it| [*it, 1.0 - it]).collect())),
        ])
    };
    assert_eq!(codes(&run(&json!({}), &rows(1, 1.0), &rows(2, 3.0))), [("MW-J002", "predictions")]);
    assert_eq!(codes(&run(&json!({ "predictions": false }), &rows(1, 1.0), &rows(2, 3.0))), []);
}

#[test]
fn every_column_gets_an_answer() {
    let n = 60;
    let table = |seed: u64| {
        let mut random = Random(seed << 32);
        let decimals = Decimal128Array::from_iter_values((0..n).map(|it| i128::from(it) * 100));
        features(vec![
            ("all_null", Arc::new(NullArray::new(n as usize))),
            ("all_nan", floats((0..n).map(|_| f64::NAN))),
            ("constant", floats((0..n).map(|_| 3.0))),
            ("date", Arc::new(Date32Array::from_iter_values(0..n))),
            ("decimal", Arc::new(decimals.with_precision_and_scale(20, 2).unwrap())),
            ("infinite", floats((0..n).map(|it| if it % 9 == 0 { f64::INFINITY } else { f64::from(it) }))),
            ("one_name", names((0..n).map(|_| "a"))),
            ("number", floats((0..n).map(|_| random.normal()))),
            ("ids", names((0..n).map(|it| format!("{seed}-{it}")))),
        ])
    };
    let report = run(&json!({}), &table(1), &table(2));
    assert_eq!(overall(&report, "answered_questions"), 1.0);
    for name in ["all_null", "all_nan", "constant", "one_name"] {
        assert_eq!(gap(&report, &format!("column `{name}`")), "it is constant, the same in both roles", "{name}");
    }
    assert!(gap(&report, "column `date`").starts_with("it holds times"));
    for scale in ["ranks", "standard"] {
        for test in ["energy", "mmd", "linear-mmd", "neighbors", "classifier", "correlation", "reconstruction"] {
            let report = run(&json!({ "scale": scale, "tests": [test] }), &table(1), &table(2));
            assert_eq!(overall(&report, "answered_questions"), 1.0, "{scale} {test}");
        }
    }
}

/// SciPy, alibi-detect and deepchecks round them, so that they are all equal.
#[test]
fn whole_numbers_beyond_2_53_keep_their_digits() {
    let signed = |seed: u64, shift: i64| {
        let mut random = Random(seed << 40);
        integers((0..400).map(|_| (1 << 60) + shift + (random.uniform() * 50.0) as i64))
    };
    let unsigned = |seed: u64, shift: u64| -> ArrayRef {
        let mut random = Random(seed << 40);
        Arc::new(UInt64Array::from_iter_values((0..400).map(|_| (1 << 63) + shift + (random.uniform() * 50.0) as u64)))
    };
    for scale in ["ranks", "standard"] {
        let config = json!({ "permutations": 199, "scale": scale });
        for (reference, same, shifted) in
            [(signed(1, 0), signed(2, 0), signed(3, 20)), (unsigned(1, 0), unsigned(2, 0), unsigned(3, 20))]
        {
            let of = |it: &ArrayRef| features(vec![("id", Arc::clone(it))]);
            let report = run(&config, &of(&reference), &of(&same));
            assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 1.0), "{:?}", report.gaps);
            assert_eq!(codes(&run(&config, &of(&reference), &of(&shifted))), [("MW-J001", "features")]);
        }
    }
    // Whole numbers in one role, fractions in the other.
    let of = |it: ArrayRef| features(vec![("x", it)]);
    let whole = of(integers((0..400).map(|it| it * 7919 % 50)));
    let floats = of(floats((0..400).map(|it| f64::from(it * 104_729 % 50))));
    let report = run(&json!({ "permutations": 199 }), &whole, &floats);
    assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 1.0), "{:?}", report.gaps);
    assert_eq!(report.gaps, []);
}

#[test]
fn whole_numbers_beyond_2_53_are_told_where_they_are_rounded() {
    let ids = || (0..400).map(|it| (1_i64 << 60) + it % 50);
    let (whole, rounded) =
        (features(vec![("id", integers(ids()))]), features(vec![("id", floats(ids().map(|it| it as f64)))]));
    for [reference, current] in [[&whole, &rounded], [&rounded, &whole]] {
        let report = run(&json!({ "permutations": 199 }), reference, current);
        let why = "whole numbers from 2^53 on are rounded, as the column has another type in the other role";
        assert_eq!(gap(&report, "column `id`, in part"), why);
    }
    let of = |from: i64| {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let list = FixedSizeListArray::new(item, 4, integers((0..400).map(|it| from + it * 7919 % 50)), None);
        features(vec![("ids", Arc::new(list))])
    };
    let (small, large) = (of(0), of(1 << 60));
    for dimensions in [2, 8] {
        let config = json!({ "permutations": 99, "alpha": 0.05, "dimensions": dimensions });
        assert_eq!(run(&config, &small, &small).gaps, []);
        for (role, batch) in [(Role::Reference, &small), (Role::Current, &large)] {
            // Told by a part of the rows that goes through its bytes, too.
            let (mut part, mut all) = (open(&config), open(&config));
            part.update(&(), role, batch).unwrap();
            all.update(&(), Role::Reference, &small).unwrap();
            all.update(&(), Role::Current, &small).unwrap();
            all.merge(&part.state().unwrap()).unwrap();
            let gaps = all.evaluate(&()).unwrap().gaps;
            let told = gaps.iter().filter(|it| it.what == "column `ids`, in part");
            let expected = usize::from(role == Role::Current);
            assert_eq!(told.filter(|it| it.why == "whole numbers from 2^53 on are rounded in lists").count(), expected);
        }
    }
}

#[test]
fn rows_that_are_missing_are_gaps_and_no_pass() {
    let rows = pair(1, 100, 0.0);
    let report = run(&json!({}), &rows, &rows.slice(0, 0));
    assert_eq!(gap(&report, "multivariate drift"), "there are no current rows");
    assert!(overall(&report, "drifted_questions").is_nan());
    let report = run(&json!({}), &rows, &rows.slice(0, 1));
    assert_eq!(gap(&report, "multivariate drift"), "1 of 1 current rows can be compared, and 20 are needed");
    assert!(overall(&report, "drifted_questions").is_nan());
    let other = features(vec![("c", floats((0..100).map(f64::from)))]);
    let report = run(&json!({}), &rows, &other);
    assert_eq!(codes(&report), [("MW-J005", "a"), ("MW-J005", "b"), ("MW-J005", "c")]);
    assert_eq!(report.findings[0].message, "column `a` is only in the reference rows");
    assert!(report.metrics.iter().all(|it| it.n == 0));
    assert_eq!(gap(&report, "features"), "there is no column to compare");
    let text = features(vec![("a", names((0..100).map(|it| it.to_string()))), ("b", floats((0..100).map(f64::from)))]);
    let report = run(&json!({}), &rows, &text);
    assert_eq!(codes(&report)[0], ("MW-J005", "a"));
    let same = features(vec![("a", floats((0..100).map(|_| 1.0)))]);
    let report = run(&json!({}), &same, &same);
    assert!(gap(&report, "features").starts_with("every column is constant"));
    assert!(overall(&report, "drifted_questions").is_nan());
}

#[test]
fn a_constant_in_one_role_is_drift() {
    let of = |value: Option<f64>| features(vec![("a", floats((0..50).map(|it| value.unwrap_or(f64::from(it)))))]);
    assert_eq!(codes(&run(&json!({}), &of(None), &of(Some(25.0)))), [("MW-J001", "features")]);
    assert_eq!(codes(&run(&json!({}), &of(Some(1.0)), &of(Some(2.0)))), [("MW-J001", "features")]);
}

#[test]
fn samples_are_never_silent() {
    let report = run(&json!({ "rows": 100 }), &pair(1, 3000, 0.5), &pair(2, 150, 0.5));
    assert_eq!(gap(&report, "reference rows, in part"), "a sample of 100 of 3000 is compared");
    assert_eq!(gap(&report, "current rows, in part"), "a sample of 100 of 150 is compared");
}

#[test]
fn rows_that_come_often_are_counted() {
    // Two kinds of rows: as a set of different rows both tables are the same.
    let table = |n: usize, ones: usize| features(vec![("a", floats((0..n).map(|it| f64::from(u8::from(it < ones)))))]);
    assert_eq!(codes(&run(&json!({}), &table(5000, 500), &table(1000, 400))), [("MW-J001", "features")]);
    assert_eq!(codes(&run(&json!({}), &table(5000, 500), &table(1000, 100))), []);
    // Too many different rows to keep, and one that is half of all.
    let table = |seed: u64, n: usize, zeros: usize| {
        let mut random = Random(seed << 32);
        features(vec![("a", floats((0..n).map(|it| if it < zeros { 0.0 } else { random.normal() })))])
    };
    let config = json!({ "rows": 100 });
    let report = run(&config, &table(1, 4000, 2000), &table(2, 4000, 2000));
    assert_eq!(codes(&report), []);
    assert!(gap(&report, "current rows, in part").contains("hash is lowest"), "{:?}", report.gaps);
}

#[test]
fn too_few_permutations_for_the_budget_are_a_gap() {
    let config = json!({ "permutations": 99, "alpha": 1e-5, "tests": ["correlation"] });
    let report = run(&config, &pair(1, 100, 0.0), &pair(2, 100, 0.9));
    assert!(gap(&report, "multivariate drift").ends_with("use at least 100000"), "{:?}", report.gaps);
    assert!(overall(&report, "drifted_questions").is_nan());
}

#[test]
fn options_out_of_range_are_refused() {
    for (config, path) in [
        (json!({ "alpha": 0.0 }), "/alpha"),
        (json!({ "alpha": 1.0 }), "/alpha"),
        (json!({ "permutations": 10 }), "/permutations"),
        (json!({ "rows": 30, "min_rows": 40 }), "/min_rows"),
        (json!({ "folds": 1 }), "/folds"),
        (json!({ "dimensions": 0 }), "/dimensions"),
    ] {
        let error = analyze_multivariate::registry().open_probe(Kind::Analyzer, "multivariate", &config).err().unwrap();
        assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, path), "{config}");
        assert!(!error.help.is_empty());
    }
}

#[test]
fn the_order_of_rows_does_not_show() {
    let (left, right) = (mixed(1, 300, 0.0), mixed(2, 200, 0.3));
    let expected = run(&json!({ "rows": 100 }), &left, &right);
    let mut probe = open(&json!({ "rows": 100 }));
    for (role, batch) in [(Role::Current, &right), (Role::Reference, &left)] {
        for row in (0..batch.num_rows()).rev() {
            probe.update(&(), role, &batch.slice(row, 1)).unwrap();
        }
    }
    assert_eq!(serde_json::to_value(probe.evaluate(&()).unwrap()).unwrap(), serde_json::to_value(expected).unwrap());
}

#[test]
fn the_analyzer_keeps_its_promises() {
    let config = json!({ "permutations": 99, "alpha": 0.05 });
    let rows = vec![(Role::Reference, predicted(1, 80, |it| it)), (Role::Current, predicted(2, 60, |it| 1.0 - it))];
    let registry = analyze_multivariate::registry();
    let manifest = registry.manifest();
    let codes = &manifest.components.iter().find(|it| it.name == "multivariate").unwrap().codes;
    testing::probe(&ProbeCase {
        open: &|| registry.open_probe(Kind::Analyzer, "multivariate", &config),
        rows,
        tensors: Vec::new(),
        codes,
    });
}

#[test]
fn what_the_options_leave_out_is_no_known_metric() {
    let knows = |options: Value, name: &str| open(&options).needs().metrics.iter().any(|it| it.name == name);
    for name in ["energy_distance", "classifier_auc", "correlation_change", "ece", "calibration_gap_change"] {
        assert!(knows(json!({}), name), "{name}");
    }
    assert!(!knows(json!({}), "trees_auc"));
    for (name, expected) in [("trees_auc", true), ("energy_distance", false), ("correlation_change", false)] {
        assert_eq!(knows(json!({ "tests": ["trees"] }), name), expected, "{name}");
    }
    for name in ["ece", "calibration_gap_change"] {
        assert!(!knows(json!({ "calibration": false }), name), "{name}");
    }
}

#[test]
fn rows_are_compared_in_a_layer_of_the_model() {
    let config = json!({ "layer": "/fc1/Relu_output_0", "exclude": ["image"], "permutations": 199 });
    let mut random = Random(7);
    let mut rows = |shift: f64| {
        let layer = lists(4, (0..4 * 300).map(|_| random.normal() + shift).collect());
        let image = lists(2, vec![0.5; 2 * 300]);
        batch_of(vec![
            ("image", Use::Feature, image),
            ("candidate-layer:/fc1/Relu_output_0", Use::CandidateLayer, layer),
        ])
    };
    let (reference, same, shifted) = (rows(0.0), rows(0.0), rows(0.5));
    assert_eq!(codes(&run(&config, &reference, &same)), []);
    let report = run(&config, &reference, &shifted);
    assert_eq!(codes(&report), [("MW-J001", "layer")]);
    let message = &report.findings[0].message;
    assert!(message.starts_with("the values of the model's layer `/fc1/Relu_output_0` are distributed"), "{message}");
    assert_eq!(open(&config).needs().current.unwrap().layers, ["/fc1/Relu_output_0"]);
    // A host that knows of no layers leaves them out, which is no answer.
    let image = batch_of(vec![("image", Use::Feature, lists(2, vec![0.5; 2 * 300]))]);
    let error = open(&config).update(&(), Role::Current, &image).unwrap_err();
    assert_eq!(error.message, "the host gives no layer of the model");
}
