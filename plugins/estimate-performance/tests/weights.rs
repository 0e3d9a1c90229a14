//! Rows that count by their weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, sync::Arc};

use modelwatch_sdk::{
    Need, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Random, batch, codes, labeled, numbers, open, overall, run};

/// A row: what it is scored, what it is, what tells how hard it is, and how much it counts.
#[derive(Clone, Copy)]
struct Row {
    score: f64,
    label: f64,
    hardness: f64,
    weight: f64,
}

/// Rows of a classifier that is too sure of itself, more so the harder they are.
fn classified(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed);
    let row = |_| {
        let (logit, hardness) = (2.0 * random.normal(), random.uniform());
        let chance = 1.0 / (1.0 + (-logit * (1.0 - hardness)).exp());
        let label = f64::from(u8::from(random.uniform() < chance));
        Row { score: 1.0 / (1.0 + (-logit).exp()), label, hardness, weight: 1.0 }
    };
    (0..n).map(row).collect()
}

/// Rows of a regression whose errors grow with `hardness`.
fn predicted(seed: u64, n: usize) -> Vec<Row> {
    let mut random = Random(seed);
    let row = |_| {
        let (score, hardness) = (10.0 + random.uniform(), random.uniform());
        Row { score, label: score + (0.1 + hardness) * random.normal(), hardness, weight: 1.0 }
    };
    (0..n).map(row).collect()
}

/// Gives rows weights of 1, 2 and 3: the harder ones more often the greater ones.
fn weighed(mut rows: Vec<Row>) -> Vec<Row> {
    let mut random = Random(99);
    rows.iter_mut().for_each(|it| it.weight = 1.0 + (3.0 * it.hardness * random.uniform().sqrt()).floor());
    rows
}

fn repeated(rows: &[Row]) -> Vec<Row> {
    rows.iter().flat_map(|it| vec![Row { weight: 1.0, ..*it }; it.weight as usize]).collect()
}

fn columns(rows: &[Row], has_labels: bool) -> Vec<(&'static str, Use, ArrayRef)> {
    let of = |value: fn(&Row) -> f64| numbers(rows.iter().map(value));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values(rows.iter().map(|it| if it.hardness < 0.5 { "easy" } else { "hard" })));
    let mut res = vec![("score", Use::Feature, of(|it| it.score)), ("hardness", Use::Feature, of(|it| it.hardness))];
    res.push(("kind", Use::Slice, names));
    if has_labels {
        res.push(("label", Use::Label, of(|it| it.label)));
    }
    res
}

fn alike(rows: &[Row]) -> RecordBatch {
    batch(columns(rows, true))
}

fn by_weight(rows: &[Row]) -> RecordBatch {
    let mut columns = columns(rows, true);
    columns.push(("w", Use::Weight, numbers(rows.iter().map(|it| it.weight))));
    batch(columns)
}

/// A chunk of all rows, as repeated rows are in others.
fn binary(calibration: &str) -> Value {
    json!({ "task": "binary", "score": "score", "calibration": calibration, "chunk": { "count": 1 }, "slices": ["kind"] })
}

fn regression() -> Value {
    json!({ "task": "regression", "prediction": "score", "chunk": { "count": 1 } })
}

/// The values of all metrics but errors, limits and counts of rows.
fn points(report: &Report) -> BTreeMap<String, f64> {
    let is_point = |name: &str| ["estimated_", "realized_", "calibration_error"].iter().any(|it| name.starts_with(it));
    let of = report.metrics.iter().filter(|it| is_point(&it.name) && !it.labels.contains_key("chunk"));
    of.map(|it| (format!("{} {:?}", it.name, it.labels), it.value)).collect()
}

#[track_caller]
fn assert_near(found: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>, tolerance: f64) {
    assert!(!found.is_empty() && found.keys().eq(expected.keys()), "{found:?}\n{expected:?}");
    for (name, it) in found {
        assert!((it - expected[name]).abs() <= tolerance * it.abs(), "{name}: {it}, {}", expected[name]);
    }
}

#[test]
fn whole_weights_give_what_as_many_rows_give() {
    let (reference, current) = (weighed(classified(1, 3000)), weighed(classified(2, 2000)));
    for calibration in ["never", "always"] {
        let config = binary(calibration);
        let report = run(&config, &by_weight(&reference), &by_weight(&current));
        let expected = run(&config, &alike(&repeated(&reference)), &alike(&repeated(&current)));
        assert_near(&points(&report), &points(&expected), 1e-9);
        let unweighted = run(&config, &alike(&reference), &alike(&current));
        let of = |it: &Report| overall(it, "realized_accuracy").value;
        assert!((of(&report) - of(&unweighted)).abs() > 0.01, "{} {}", of(&report), of(&unweighted));
    }
    let (reference, current) = (weighed(predicted(1, 1500)), weighed(predicted(2, 1000)));
    let report = run(&regression(), &by_weight(&reference), &by_weight(&current));
    let expected = run(&regression(), &alike(&repeated(&reference)), &alike(&repeated(&current)));
    let (report, expected) = (points(&report), points(&expected));
    let of = |it: &BTreeMap<String, f64>, kind: &str| -> BTreeMap<String, f64> {
        it.iter().filter(|it| it.0.starts_with(kind)).map(|it| (it.0.clone(), *it.1)).collect()
    };
    assert_near(&of(&report, "realized"), &of(&expected, "realized"), 1e-9);
    // Trees look for their splits at quantiles of the rows, which repeated ones have elsewhere.
    assert_near(&of(&report, "estimated"), &of(&expected, "estimated"), 0.02);
}

#[test]
fn several_classes_are_weighted_too() {
    let config = json!({
        "task": "multiclass", "class_scores": { "a": "a", "b": "b", "c": "c" }, "chunk": { "count": 1 },
        "calibration": "never",
    });
    let rows = |seed: u64, n: usize| -> Vec<([f64; 3], usize, usize)> {
        let mut random = Random(seed);
        let row = |_| {
            let raw = [0, 1, 2].map(|_| random.uniform() + 0.05);
            let sum: f64 = raw.iter().sum();
            let chances = raw.map(|it| it / sum);
            let at = random.uniform();
            let class = usize::from(at > chances[0]) + usize::from(at > chances[0] + chances[1]);
            (chances, class, 1 + (3.0 * random.uniform() * chances[0].sqrt() * 1.7) as usize)
        };
        (0..n).map(row).collect()
    };
    let batch_of = |rows: &[([f64; 3], usize, usize)], is_weighted: bool| {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|it| ["a", "b", "c"][it.1])));
        let score = |at: usize| numbers(rows.iter().map(move |it| it.0[at]));
        let mut all = vec![("a", Use::Feature, score(0)), ("b", Use::Feature, score(1)), ("c", Use::Feature, score(2))];
        all.push(("label", Use::Label, names));
        if is_weighted {
            all.push(("w", Use::Weight, numbers(rows.iter().map(|it| it.2 as f64))));
        }
        batch(all)
    };
    let (reference, current) = (rows(1, 900), rows(2, 800));
    let repeated = |rows: &[([f64; 3], usize, usize)]| rows.iter().flat_map(|it| vec![*it; it.2]).collect::<Vec<_>>();
    let report = run(&config, &batch_of(&reference, true), &batch_of(&current, true));
    let expected = run(&config, &batch_of(&repeated(&reference), false), &batch_of(&repeated(&current), false));
    assert_near(&points(&report), &points(&expected), 1e-9);
    assert!(points(&report).keys().any(|it| it.starts_with("estimated_confusion_share")));
}

#[test]
fn rows_that_all_weigh_nothing_are_told_from_none() {
    let rows = classified(1, 300);
    let nothing: Vec<Row> = rows.iter().map(|it| Row { weight: 0.0, ..*it }).collect();
    let why = |current: &[Row]| run(&binary("never"), &by_weight(&rows), &by_weight(current)).gaps[0].why.clone();
    assert_eq!(why(&nothing), "the weights of all 300 current rows are 0");
    assert_eq!(why(&[]), "there are no current rows");
}

#[test]
fn equal_weights_change_nothing() {
    let config = json!({ "task": "binary", "score": "score", "slices": ["kind"] });
    let (reference, current) = (classified(1, 4000), classified(2, 3000));
    let expected = run(&config, &alike(&reference), &alike(&current));
    let weigh = |rows: &[Row], weight: f64| by_weight(&rows.iter().map(|it| Row { weight, ..*it }).collect::<Vec<_>>());
    for (left, right) in [(1.0, 1.0), (0.1, 3.0), (1000.0, 0.001)] {
        let mut report = run(&config, &weigh(&reference, left), &weigh(&current, right));
        let size = |data: &str| labeled(&report, "effective_rows", "data", data).unwrap();
        assert!((size("reference") - 4000.0).abs() < 1e-6 && (size("current") - 3000.0).abs() < 1e-6);
        report.metrics.retain(|it| it.name != "effective_rows");
        let values = |it: &Report| {
            it.metrics.iter().map(|it| (it.name.clone(), format!("{:.8e}", it.value), it.n)).collect::<Vec<_>>()
        };
        assert_eq!(values(&report), values(&expected), "{left} {right}");
        assert_eq!((codes(&report), &report.gaps), (codes(&expected), &expected.gaps));
    }
}

#[test]
fn the_unit_of_weights_says_nothing_about_errors() {
    let (reference, mut current) = (predicted(1, 1000), predicted(2, 500));
    current.iter_mut().for_each(|it| it.hardness = 0.8 + it.hardness / 5.0);
    let weigh = |rows: &[Row], unit: f64| {
        by_weight(&rows.iter().map(|it| Row { weight: it.weight * unit, ..*it }).collect::<Vec<_>>())
    };
    let alike = run(&regression(), &alike(&reference), &alike(&current));
    let unweighted = run(&regression(), &weigh(&reference, 1.0), &weigh(&current, 1.0));
    assert_near(&points(&unweighted), &points(&alike), 1e-9);
    for (reference, current) in [(reference.clone(), current.clone()), (weighed(reference), weighed(current))] {
        let expected = run(&regression(), &weigh(&reference, 1.0), &weigh(&current, 1.0));
        for (left, right) in [(1.0 / 4096.0, 0.1), (0.001, 1.0), (20_000.0, 0.01)] {
            let report = run(&regression(), &weigh(&reference, left), &weigh(&current, right));
            assert_near(&points(&report), &points(&expected), 1e-6);
        }
    }
}

#[test]
fn a_shift_of_weights_alone_is_found() {
    // Each hard row counts nine times, as if nine of ten rows were hard.
    let (reference, mut current) = (classified(1, 10_000), classified(2, 5000));
    current.iter_mut().for_each(|it| it.weight = if it.hardness > 0.7 { 9.0 } else { 1.0 });
    let config = json!({ "task": "binary", "score": "score", "chunk": { "count": 5 }, "calibration": "always", "max_calibration_error": 1.0 });
    assert_eq!(codes(&run(&config, &alike(&reference), &alike(&current))), [("", ""); 0]);
    // Scores do not tell which rows are hard, labels do.
    let report = run(&config, &alike(&reference), &by_weight(&current));
    assert!(report.findings.iter().any(|it| it.code == "MW-P005"), "{:?}", codes(&report));
    assert!(report.gaps.iter().any(|it| it.what == "row weights of the reference rows"), "{:?}", report.gaps);
}

#[test]
fn a_few_heavy_rows_are_not_taken_for_many() {
    let mut current = classified(2, 500);
    current.iter_mut().take(2).for_each(|it| it.weight = 1000.0);
    let config = json!({ "task": "binary", "score": "score", "chunk": { "count": 1 }, "max_calibration_error": 1.0 });
    let report = run(&config, &alike(&classified(1, 5000)), &by_weight(&current));
    let size = labeled(&report, "effective_rows", "data", "current").unwrap();
    assert!((size - 2498.0f64.powi(2) / 2_000_498.0).abs() < 1e-9, "{size}");
    // By Kish they are worth three rows, and a chunk of so few is not judged.
    assert_eq!((overall(&report, "judged_chunks").value, codes(&report)), (0.0, vec![("MW-P004", "chunks")]));
    assert!(report.findings[0].message.ends_with("only 3 by their weights"), "{}", report.findings[0].message);
    let error = |it: &Report| overall(it, "sampling_error_accuracy").value;
    let alike = run(&config, &alike(&classified(1, 5000)), &alike(&current));
    assert!(error(&report) > 10.0 * error(&alike), "{} {}", error(&report), error(&alike));
}

/// How rows are weighed.
type Scheme = (&'static str, fn(&Row, &mut Random) -> f64);

#[test]
fn the_error_of_weighted_rows_is_what_samples_show() {
    const SAMPLES: u64 = 150;
    let schemes: [Scheme; 3] = [
        ("of no meaning", |_, random| random.normal().exp().clamp(0.01, 100.0)),
        ("by hardness", |it, _| if it.hardness > 0.8 { 8.0 } else { 1.0 }),
        ("by the score", |it, _| 1.0 + 6.0 * it.score),
    ];
    for (scheme, weigh) in schemes {
        let rows = |seed: u64, n: usize| {
            let (mut rows, mut random) = (classified(seed, n), Random(seed + 1000));
            rows.iter_mut().for_each(|it| it.weight = weigh(it, &mut random));
            by_weight(&rows)
        };
        // Not F1, whose error is NannyML's, that of another share.
        let metrics = ["accuracy", "precision", "recall", "specificity", "roc_auc", "true_positive_share"];
        let config = json!({ "task": "binary", "score": "score", "calibration": "never", "chunk": { "count": 1 }, "metrics": metrics });
        let reference = rows(1, 20_000);
        let reports: Vec<Report> = (2..2 + SAMPLES).map(|it| run(&config, &reference, &rows(it, 400))).collect();
        for metric in metrics {
            let of = |kind: &str| -> Vec<f64> {
                reports.iter().map(|it| overall(it, &format!("{kind}_{metric}")).value).collect()
            };
            let mean = |it: &[f64]| it.iter().sum::<f64>() / it.len() as f64;
            let (realized, told) = (of("realized"), mean(&of("sampling_error")));
            let center = mean(&realized);
            let seen = (realized.iter().map(|it| (it - center).powi(2)).sum::<f64>() / (SAMPLES - 1) as f64).sqrt();
            assert!((0.75..1.35).contains(&(told / seen)), "{scheme}, {metric}: told {told}, seen {seen}");
        }
    }
}

#[test]
fn rows_of_weight_zero_are_not_there() {
    let (reference, current) = (classified(1, 3000), classified(2, 1000));
    let hidden = classified(3, 500).into_iter().map(|it| Row { label: 1.0 - it.label, weight: 0.0, ..it });
    let of = |rows: &[Row]| run(&binary("auto"), &by_weight(&reference), &by_weight(rows));
    assert_eq!(of(&current.iter().copied().chain(hidden).collect::<Vec<_>>()), of(&current));
}

#[test]
fn parts_in_order_are_the_whole() {
    let rows = weighed(classified(1, 900));
    let mut whole = open(&binary("auto"));
    whole.update(&(), Role::Current, &by_weight(&rows)).unwrap();
    let mut parts = open(&binary("auto"));
    for it in rows.chunks(250) {
        let mut part = open(&binary("auto"));
        part.update(&(), Role::Current, &by_weight(it)).unwrap();
        parts.merge(&part.state().unwrap()).unwrap();
    }
    assert_eq!(parts.state().unwrap(), whole.state().unwrap());
}

#[test]
fn what_is_no_weight_is_refused() {
    for weight in [-1.0, f64::INFINITY, 1e-90, 1e9] {
        let mut rows = classified(1, 5);
        rows[2].weight = weight;
        let error = open(&binary("auto")).update(&(), Role::Current, &by_weight(&rows)).unwrap_err();
        assert!(error.to_string().contains("`w`"), "{error}");
    }
    let mut probe = open(&binary("auto"));
    probe.update(&(), Role::Current, &by_weight(&classified(1, 5))).unwrap();
    let error = probe.update(&(), Role::Current, &alike(&classified(1, 5))).unwrap_err();
    assert!(error.to_string().contains("some rows have weights, and others"), "{error}");
}

#[test]
fn weights_can_be_left_alone() {
    let (reference, current) = (weighed(classified(1, 2000)), weighed(classified(2, 1000)));
    let mut config = binary("auto");
    config["weights"] = json!(false);
    assert_eq!(
        run(&config, &by_weight(&reference), &by_weight(&current)),
        run(&binary("auto"), &alike(&reference), &alike(&current))
    );
    let needs = open(&config).needs();
    assert_eq!((needs.current.unwrap().weight, needs.reference.unwrap().weight), (Need::No, Need::No));
}
