//! Columns that broke other tools, each with the answer that it gets here.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch, Report,
    arrow::{
        array::{
            ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array, ListArray, NullArray,
            StringArray, TimestampMicrosecondArray,
            types::{Float64Type, Int8Type},
        },
        schema::DataType,
    },
    report::Severity,
    rows::Use,
};
use serde_json::{Value, json};

use common::{Random, batch, codes, finding, numbers, overall, run};

const N: usize = 4000;

/// The scores and labels of a classifier whose scores are chances.
fn scored(seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut random = Random(seed);
    let row = |_| {
        let chance = 1.0 / (1.0 + (-2.0 * random.normal()).exp());
        (chance, f64::from(u8::from(random.uniform() < chance)))
    };
    (0..N).map(row).unzip()
}

fn rows(score: ArrayRef, label: Option<ArrayRef>) -> RecordBatch {
    batch([("score", Use::Feature, score)].into_iter().chain(label.map(|it| ("label", Use::Label, it))).collect())
}

fn binary() -> Value {
    json!({ "task": "binary", "score": "score" })
}

fn why<'a>(report: &'a Report, what: &str) -> &'a str {
    let found = report.gaps.iter().find(|it| it.what == what);
    &found.unwrap_or_else(|| panic!("no gap about {what} in {:?}", report.gaps)).why
}

/// Four digits behind the point.
fn decimals(values: &[f64]) -> ArrayRef {
    let units = values.iter().map(|it| (it * 1e4).round() as i128);
    Arc::new(Decimal128Array::from_iter_values(units).with_precision_and_scale(20, 4).unwrap())
}

#[test]
fn scores_that_are_none_are_told_and_nothing_is_decided_about_the_rest() {
    let (scores, labels) = scored(1);
    let reference = rows(numbers(scores), Some(numbers(labels)));
    let (scores, labels) = scored(2);
    let clean = run(&binary(), &reference, &rows(numbers(scores.clone()), Some(numbers(labels.clone()))));
    assert_eq!(overall(&clean, "estimated_roc_auc").unfit, None);
    let tenth = |bad: f64| -> Vec<f64> {
        scores.iter().enumerate().map(|(at, it)| if at % 10 == 0 { bad } else { *it }).collect()
    };
    let percent: Vec<f64> = scores.iter().map(|it| 100.0 * it).collect();
    for (bad, n_bad) in [
        (tenth(f64::INFINITY), 400),
        (tenth(f64::NEG_INFINITY), 400),
        (tenth(-0.5), 400),
        (percent.clone(), percent.iter().filter(|it| **it > 1.0).count()),
    ] {
        let bad: ArrayRef = Arc::new(Float64Array::from(bad));
        let report = run(&binary(), &reference, &rows(bad, Some(numbers(labels.clone()))));
        let found = finding(&report, "MW-P006", "scores");
        assert_eq!((found.severity, &found.evidence["rows"]), (Severity::Error, &json!(n_bad)));
        let expected =
            format!("scores or predictions of {n_bad} of {N} current rows are missing, not finite or no chances");
        assert_eq!(why(&report, "performance without labels, in part"), expected);
        for name in ["estimated_roc_auc", "realized_roc_auc", "chunks_outside_roc_auc"] {
            let metric = overall(&report, name);
            assert!(metric.unfit.as_ref().is_some_and(|it| it.contains("cannot be used")), "{metric:?}");
        }
        assert_eq!(overall(&report, "estimated_roc_auc").n, (N - n_bad) as u64);
    }
    // A chunk in which all scores can be used is judged.
    let mut first = scores;
    first[0] = f64::INFINITY;
    let report = run(&binary(), &reference, &rows(Arc::new(Float64Array::from(first)), None));
    let of_chunks =
        report.metrics.iter().filter(|it| it.name == "estimated_roc_auc" && it.labels.contains_key("chunk"));
    let unfit: Vec<bool> = of_chunks.map(|it| it.unfit.is_some()).collect();
    assert_eq!(unfit, [true, false, false, false, false, false, false, false, false, false]);
}

#[test]
fn predictions_that_are_infinite_are_told() {
    let predicted = |bad: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values((0..N).map(|it| if it == 7 { bad } else { (it % 50) as f64 })))
    };
    let labels = || numbers((0..N).map(|it| (it % 50 + it % 3) as f64));
    let config = json!({ "task": "regression", "prediction": "score" });
    let report = run(&config, &rows(predicted(0.0), Some(labels())), &rows(predicted(f64::INFINITY), None));
    assert_eq!(finding(&report, "MW-P006", "scores").evidence["rows"], 1);
    assert!(overall(&report, "estimated_mae").unfit.is_some() && overall(&report, "estimated_mae").value.is_finite());
}

#[test]
fn decimals_are_numbers_and_classes() {
    let (scores, labels) = scored(1);
    let rounded: Vec<f64> = scores.iter().map(|it| (it * 1e4).round() / 1e4).collect();
    let called: Vec<f64> = rounded.iter().map(|it| f64::from(u8::from(*it >= 0.5))).collect();
    let of = |column: &dyn Fn(&[f64]) -> ArrayRef| {
        batch(vec![
            ("score", Use::Feature, column(&rounded)),
            ("called", Use::Feature, column(&called)),
            ("label", Use::Label, column(&labels)),
        ])
    };
    let floats = |it: &[f64]| numbers(it.iter().copied());
    let mut config = binary();
    config["prediction"] = json!("called");
    let report = run(&config, &of(&decimals), &of(&decimals));
    assert_eq!(report, run(&config, &of(&floats), &of(&floats)));
    assert_eq!(report.gaps, []);
    // A regression learns from them.
    let regression = json!({ "task": "regression", "prediction": "score", "metrics": ["mae", "rmse", "msle"] });
    let report = run(&regression, &of(&decimals), &of(&decimals));
    assert_eq!(report, run(&regression, &of(&floats), &of(&floats)));
    assert_eq!(report.gaps, []);
    // What floats cannot keep is told.
    let long = Decimal128Array::from_iter_values((0..N).map(|it| 12_345_678_901_234_567_890 + it as i128));
    let long: ArrayRef = Arc::new(long.with_precision_and_scale(38, 0).unwrap());
    let with = |rows: RecordBatch| {
        let names = ["score", "called", "label"].into_iter().zip([Use::Feature, Use::Feature, Use::Label]);
        let columns = names.zip(rows.columns()).map(|((name, what), it)| (name, what, Arc::clone(it)));
        batch(columns.chain([("long", Use::Feature, Arc::clone(&long))]).collect())
    };
    let report = run(&regression, &with(of(&floats)), &with(of(&floats)));
    assert_eq!(why(&report, "column `long`, last digits"), "decimals with more than 15 digits were rounded");
}

#[test]
fn a_label_that_is_none_of_the_classes_counts_as_none() {
    let (scores, labels) = scored(1);
    let texts = |odd: &dyn Fn(usize) -> bool| -> ArrayRef {
        let label = |(at, it): (usize, &f64)| if odd(at) { "x".to_owned() } else { it.to_string() };
        Arc::new(StringArray::from_iter_values(labels.iter().enumerate().map(label)))
    };
    let clean = rows(numbers(scores.clone()), Some(texts(&|_| false)));
    let report = run(&binary(), &clean, &rows(numbers(scores.clone()), Some(texts(&|it| it == 5))));
    let expected = "1 of 4000 current rows have a label that is none of those that there are, such as `x`, and count as unlabeled; list every class in `classes`, in the order of the scores";
    assert_eq!(why(&report, "column `label` of current rows, in part"), expected);
    let realized = overall(&report, "realized_accuracy");
    assert_eq!((realized.n, realized.unfit.is_some()), (3999, true));
    assert_eq!(overall(&report, "estimated_accuracy").unfit, None);
    // Nothing is learned from such a row of the reference, and where there are no others, from nothing.
    let report = run(&binary(), &rows(numbers(scores.clone()), Some(texts(&|it| it < 10))), &clean);
    assert!(why(&report, "column `label` of reference rows, in part").starts_with("10 of 4000 reference rows"));
    let estimated = overall(&report, "estimated_accuracy");
    assert_eq!(estimated.n, 4000);
    // How it is with rows like these is not known either.
    let unfit = estimated.unfit.as_deref();
    assert!(unfit.is_some_and(|it| it.starts_with("of the reference, labels of 10 rows")), "{unfit:?}");
    let report = run(&binary(), &rows(numbers(scores), Some(texts(&|_| true))), &clean);
    assert_eq!(why(&report, "performance without labels"), "no row of the reference has both a label and scores");
    assert!(why(&report, "column `label` of reference rows, in part").contains("such as `x`"));
}

#[test]
fn a_called_class_that_nobody_knows_is_not_estimated() {
    let (scores, labels) = scored(1);
    let of = |odd: bool| {
        let called = (0..N).map(|it| {
            if odd && it == 3 {
                "?"
            } else if scores[it] >= 0.5 {
                "1"
            } else {
                "0"
            }
        });
        let called: ArrayRef = Arc::new(StringArray::from_iter_values(called));
        let score = numbers(scores.iter().copied());
        let label = numbers(labels.iter().copied());
        batch(vec![("score", Use::Feature, score), ("called", Use::Feature, called), ("label", Use::Label, label)])
    };
    let mut config = binary();
    config["prediction"] = json!("called");
    let report = run(&config, &of(false), &of(true));
    assert!(why(&report, "column `called` of current rows, in part").contains("a called class that is none"));
    let estimated = overall(&report, "estimated_accuracy");
    assert_eq!((estimated.n, estimated.unfit.is_some()), (3999, true));
}

#[test]
fn scores_of_any_type_and_kind_have_an_answer() {
    let (scores, labels) = scored(1);
    let reference = rows(numbers(scores.iter().copied()), Some(numbers(labels)));
    let constant = run(&binary(), &reference, &rows(numbers(vec![0.5; N]), None));
    assert_eq!(overall(&constant, "estimated_accuracy").n, N as u64);
    let missing = run(&binary(), &reference, &rows(Arc::new(NullArray::new(N)), None));
    assert!(overall(&missing, "estimated_accuracy").value.is_nan());
    assert_eq!(overall(&missing, "judged_chunks").value, 0.0);
    let nullable = numbers(scores.iter().enumerate().map(|(at, it)| if at % 4 == 0 { f64::NAN } else { *it }));
    let nullable = run(&binary(), &reference, &rows(nullable, None));
    assert_eq!(overall(&nullable, "estimated_accuracy").n, 3000);
    // Missing scores are no garbage.
    assert!(codes(&nullable).iter().all(|it| it.0 != "MW-P006"), "{:?}", codes(&nullable));
    let booleans: ArrayRef = Arc::new(BooleanArray::from_iter(scores.iter().map(|it| Some(*it > 0.5))));
    assert_eq!(overall(&run(&binary(), &reference, &rows(booleans, None)), "estimated_accuracy").n, N as u64);
}

#[test]
fn features_of_any_type_have_an_answer_beside_the_others() {
    let mut random = Random(3);
    let predicted: Vec<f64> = (0..N).map(|_| 10.0 * random.normal()).collect();
    let label = numbers(predicted.iter().map(|it| it + random.normal()));
    let numbered = |of: &dyn Fn(usize) -> f64| numbers((0..N).map(of));
    let keys = DictionaryArray::<Int8Type>::from_iter((0..N).map(|it| Some(["a", "b"][it % 2])));
    let lists = (0..N).map(|it| Some(vec![Some(it as f64); it % 3]));
    let nested: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(0..N as i64));
    let mixed = (0..N).map(|it| if it % 2 == 0 { it.to_string() } else { "word".to_owned() });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("all_null", Arc::new(NullArray::new(N))),
        ("boolean", Arc::new(BooleanArray::from_iter((0..N).map(|it| (it % 5 > 0).then_some(it % 2 == 0))))),
        ("category", Arc::new(keys)),
        ("constant", numbered(&|_| 1.0)),
        ("decimal", decimals(&predicted)),
        (
            "infinite",
            Arc::new(Float64Array::from_iter_values((0..N).map(|it| if it % 9 == 0 { f64::INFINITY } else { 1.0 }))),
        ),
        ("large", Arc::new(Int64Array::from_iter_values((0..N).map(|it| i64::MAX - it as i64)))),
        ("mixed", Arc::new(StringArray::from_iter_values(mixed))),
        ("nested", nested),
        ("nullable", numbered(&|it| if it % 3 == 0 { f64::NAN } else { it as f64 })),
        ("time", times),
    ];
    let config = json!({ "task": "regression", "prediction": "predicted", "metrics": ["mae", "rmse"] });
    let of = |columns: &[(&'static str, ArrayRef)]| {
        let features = columns.iter().map(|(name, it)| (*name, Use::Feature, Arc::clone(it)));
        let known = [("predicted", numbers(predicted.iter().copied())), ("label", label.clone())];
        let known = known.into_iter().zip([Use::Feature, Use::Label]).map(|((name, it), what)| (name, what, it));
        batch(known.chain(features).collect())
    };
    let report = run(&config, &of(&columns), &of(&columns));
    assert!(overall(&report, "estimated_mae").value.is_finite());
    let left_out: Vec<&str> = report.gaps.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(left_out, ["column `nested`", "column `time`", "column `mixed`, in part"], "{:?}", report.gaps);
    // Each of them alone.
    for column in &columns {
        let one = of(std::slice::from_ref(column));
        assert!(overall(&run(&config, &one, &one), "estimated_mae").value.is_finite(), "{}", column.0);
    }
    assert!(matches!(columns[8].1.data_type(), DataType::List(_)));
}
