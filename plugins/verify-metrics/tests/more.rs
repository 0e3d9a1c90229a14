//! Weights, options and further tasks: small tables with what scikit-learn says of them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::{fs::File, sync::Arc};

use modelwatch_sdk::{
    arrow::array::{ArrayRef, Int64Array},
    report::{Labels, MetricRole},
    rows::Use,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use common::{Table, fixture, run_cut, scored};

#[derive(Deserialize)]
struct Written {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    options: Map<String, Value>,
    columns: Map<String, Value>,
    expected: Vec<(String, Labels, Value)>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "use")]
    is_for: String,
    width: usize,
    values: Vec<f64>,
}

#[test]
fn weights_and_options_agree_with_scikit_learn() {
    agree("more.sklearn.json");
}

/// Of sets of labels, and of slices of several classes.
#[test]
fn areas_agree_with_scikit_learn() {
    agree("areas.sklearn.json");
}

fn agree(name: &str) {
    let file = File::open(fixture("conformance/predictions").join(name)).unwrap();
    let written: Written = serde_json::from_reader(file).unwrap();
    let mut greatest = 0.0f64;
    let mut n_values = 0;
    println!("{:28} {:44} {:>24} {:>24} {:>9}", "case", "metric", "ours", "scikit-learn's", "difference");
    for case in &written.cases {
        let mut options = case.options.clone();
        options.insert("intervals".to_owned(), serde_json::json!({"replicates": 0}));
        let report = run_cut(&Value::Object(options), &table(case).batch(), 4, 7);
        for (name, labels, want) in &case.expected {
            let metric = report
                .metrics
                .iter()
                .find(|it| it.role == MetricRole::Candidate && it.name == *name && it.labels == *labels);
            let got = metric.unwrap_or_else(|| panic!("{}: no {name} {labels:?}", case.id)).value;
            let want = want.as_f64().unwrap_or(f64::NAN);
            let is_same = got == want || (got.is_nan() && want.is_nan());
            let difference = if is_same { 0.0 } else { (got - want).abs() / want.abs() };
            let labels = labels.iter().map(|(key, value)| format!(" {key}={value}")).collect::<String>();
            println!("{:28} {:44} {got:24.17} {want:24.17} {difference:9.1e}", case.id, format!("{name}{labels}"));
            // A NaN on one side alone is no agreement.
            assert!(difference <= 1e-9, "{}: {name}{labels} is {got}, scikit-learn's is {want}", case.id);
            greatest = greatest.max(difference);
            n_values += 1;
        }
    }
    println!("{n_values} comparisons, greatest difference {greatest:.1e}");
}

fn table(case: &Case) -> Table {
    case.columns.iter().fold(Table::default(), |table, (name, column)| {
        let column: Column = serde_json::from_value(column.clone()).unwrap();
        let is_for = match column.is_for.as_str() {
            "label" => Use::Label,
            "weight" => Use::Weight,
            "candidate" => Use::Candidate,
            "query" => Use::Feature,
            "slice" => Use::Slice,
            other => panic!("{other}"),
        };
        let is_whole =
            is_for != Use::Candidate && is_for != Use::Weight && column.values.iter().all(|it| it.fract() == 0.0);
        let array: ArrayRef = if is_whole && column.width == 1 {
            Arc::new(Int64Array::from(column.values.iter().map(|&it| it as i64).collect::<Vec<_>>()))
        } else {
            scored(&column.values, column.width)
        };
        table.with(name, &[is_for], array)
    })
}
