//! A row of weight 2 counts as two rows, in every metric of every task.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Report, Role,
    arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray},
    report::MetricRole,
    rows::Use,
};
use serde_json::{Value, json};

use common::{Table, open, random, run, scored, try_run};

const ROWS: usize = 60;

/// Every third row weighs 2.
fn weight(row: usize) -> f64 {
    if row.is_multiple_of(3) { 2.0 } else { 1.0 }
}

fn weights(n: usize) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..n).map(weight)))
}

fn repeated(options: &Value, table: &Table) -> Report {
    let batch = table.batch();
    let mut probe = open(options);
    probe.update(&(), Role::Current, &batch).unwrap();
    for row in (0..batch.num_rows()).filter(|&it| weight(it) == 2.0) {
        probe.update(&(), Role::Current, &batch.slice(row, 1)).unwrap();
    }
    probe.evaluate(&()).unwrap()
}

/// Compares all metrics of the candidate and the baseline, of all rows and of slices, and returns how many are defined.
fn agree(options: &Value, weighted: &Report, repeated: &Report) -> usize {
    let mut n = 0;
    let is_of_model = |it: MetricRole| matches!(it, MetricRole::Candidate | MetricRole::Baseline);
    for left in weighted.metrics.iter().filter(|it| is_of_model(it.role)) {
        let mut all = repeated.metrics.iter();
        let right = all.find(|it| it.role == left.role && it.name == left.name && it.labels == left.labels).unwrap();
        let is_same = left.value.is_nan() && right.value.is_nan();
        let difference =
            (left.value - right.value).abs() / left.value.abs().max(right.value.abs()).max(f64::MIN_POSITIVE);
        assert!(is_same || difference < 1e-9, "{options}: {left:?} {right:?}");
        n += usize::from(!is_same);
    }
    n
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    let bits = |seed: u64, threshold: f64| {
        random(3 * ROWS, seed).iter().map(|&it| f64::from(u8::from(it < threshold))).collect::<Vec<_>>()
    };
    let words = ["a b", "a c", "b", "a b c"];
    let said = |seed: u64| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(random(ROWS, seed).iter().map(|it| words[(it * 4.0) as usize])))
    };
    let hands: Vec<&str> = (0..ROWS).map(|it| if it % 5 == 0 { "left" } else { "right" }).collect();
    let boxes = |numbers: &[f64], width: usize| -> Vec<f64> {
        let of = |it: &[f64]| {
            let mut res = vec![it[0], it[1], it[0] + 0.5 + it[2] / 2.0, it[1] + 0.5 + it[3] / 2.0];
            res.extend((width == 6).then(|| (it[4] * 400.0).floor()));
            res.push((it[width - 1] * 2.0).floor());
            res
        };
        numbers.chunks(width).flat_map(of).collect()
    };
    let labels = |classes: f64| random(ROWS, 1).iter().map(|it| (it * classes) as i64).collect::<Vec<i64>>();
    let sums = Table::default;
    let cases = [
        (
            json!({"task": "sequences"}),
            sums().with("y", &[Use::Label], said(5)).with("candidate:y", &[Use::Candidate], said(6)),
        ),
        (
            json!({"task": "segmentation", "classes": ["0", "1"]}),
            sums().with("y", &[Use::Label], scored(&bits(1, 0.5), 3)).candidate(&bits(2, 0.4), 3),
        ),
        (
            json!({"task": "multi-label"}),
            sums().with("y", &[Use::Label], scored(&bits(1, 0.5), 3)).candidate(&bits(2, 0.5), 3),
        ),
        (
            json!({"task": "detection", "classes": ["a", "b"]}),
            sums()
                .with("objects", &[Use::Label], scored(&boxes(&random(5 * ROWS, 8), 5), 5))
                .candidate(&boxes(&random(12 * ROWS, 9), 6), 12),
        ),
        (
            json!({"task": "binary", "lift_share": 0.25, "at_recall": [0.5], "at_precision": [0.5], "beta": 2.0}),
            sums().labels(&labels(2.0)).candidate(&random(ROWS, 2), 1).baseline(&random(ROWS, 3), 1),
        ),
        (
            json!({"task": "multiclass", "scores": "logits", "top_k": [2]}),
            sums().labels(&labels(3.0)).candidate(&random(3 * ROWS, 2), 3),
        ),
        (
            json!({"task": "regression", "pinball_quantiles": [0.9], "error_quantiles": [0.8]}),
            sums().numbers(&random(ROWS, 5)).candidate(&random(ROWS, 2), 1),
        ),
    ];
    for (options, table) in cases {
        let mut options = options;
        options["intervals"] = json!({"replicates": 0});
        let table = table.slice("hand", &hands);
        let mut weighted = run(&options, &table.clone().with("w", &[Use::Weight], weights(ROWS)));
        // Counts of rows and tests of them take no weights; of pairs of classes areas with weights are not defined.
        let is_of_rows = |it: &str| it.starts_with("flips_") || it.starts_with("residual_") || it == "mcnemar_p";
        weighted.metrics.retain(|it| !it.labels.contains_key("multi_class") && !is_of_rows(&it.name));
        let n = agree(&options, &weighted, &repeated(&options, &table));
        assert!(n >= 4, "{options}: {n} metrics are defined");
    }
}

#[test]
fn a_query_of_weight_two_is_a_query_twice() {
    let n_queries = 12;
    let n = n_queries * 5;
    let query = |row: usize| (row % n_queries) as i64;
    let relevance: Vec<i64> = random(n, 2).iter().map(|it| (it * 4.0) as i64).collect();
    let scores = random(n, 3);
    let table = |rows: &[usize], query: &dyn Fn(usize) -> i64| {
        let of: Vec<f64> = rows.iter().map(|&it| scores[it]).collect();
        Table::default()
            .with("q", &[Use::Feature], Arc::new(Int64Array::from_iter_values(rows.iter().map(|&it| query(it)))))
            .labels(&rows.iter().map(|&it| relevance[it]).collect::<Vec<_>>())
            .candidate(&of, 1)
    };
    let options = json!({"task": "ranking", "query": "q", "at_k": [1, 3], "intervals": {"replicates": 0}});
    let all: Vec<usize> = (0..n).collect();
    let by_query: ArrayRef = Arc::new(Float64Array::from_iter_values(all.iter().map(|&it| weight(query(it) as usize))));
    let weighted = run(&options, &table(&all, &query).with("w", &[Use::Weight], by_query));
    let heavy: Vec<usize> = all.iter().copied().filter(|&it| weight(query(it) as usize) == 2.0).collect();
    let mut probe = open(&options);
    probe.update(&(), Role::Current, &table(&all, &query).batch()).unwrap();
    probe.update(&(), Role::Current, &table(&heavy, &|row| 100 + query(row)).batch()).unwrap();
    let n = agree(&options, &weighted, &probe.evaluate(&()).unwrap());
    assert!(n >= 6, "{n} metrics are defined");
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_the_name_of_their_column() {
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![100, 250]).with_precision_and_scale(10, 2).unwrap());
    let lists = scored(&[1.0, 2.0, 3.0, 4.0], 2);
    for weights in [decimals, lists] {
        let table = Table::default().numbers(&[1.0, 2.0]).candidate(&[1.0, 2.5], 1);
        let table = table.with("exposure", &[Use::Weight], weights);
        let why = try_run(&json!({"task": "regression"}), &table).unwrap_err().to_string();
        assert!(why.contains("in `exposure`"), "{why}");
    }
}
