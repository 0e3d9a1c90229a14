//! Labels and predictions as data has them.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    arrow::array::{ArrayRef, Decimal128Array, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use common::{batch, gap, metric, numbers, run};

const N: usize = 400;

fn config(watch: &str, more: Value) -> Value {
    let mut res = json!({ "watch": [watch], "prediction": "p", "order": "rows" });
    res.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    res
}

fn decimals(values: &[f64]) -> ArrayRef {
    let units = values.iter().map(|it| (it * 100.0).round() as i128);
    Arc::new(Decimal128Array::from_iter_values(units).with_precision_and_scale(10, 2).unwrap())
}

#[test]
fn decimals_are_predictions_and_labels() {
    let predicted: Vec<f64> = (0..N).map(|it| f64::from(u8::from(it % 3 == 0))).collect();
    let right: Vec<f64> = (0..N).map(|it| f64::from(u8::from(it % 2 == 0))).collect();
    let cases = [
        config("errors", json!({})),
        config("errors", json!({ "threshold": 0.5 })),
        config("loss", json!({ "detector": "page-hinkley" })),
        config("loss", json!({ "detector": "page-hinkley", "loss": "log" })),
    ];
    for config in cases {
        let rows = |of: &dyn Fn(&[f64]) -> ArrayRef| {
            batch(vec![("p", Use::Feature, of(&predicted)), ("y", Use::Label, of(&right))])
        };
        let report = run(&config, &rows(&decimals));
        assert_eq!(report, run(&config, &rows(&|it| numbers(it.to_vec()))), "{config}");
        assert_eq!(report.gaps, [], "{config}");
    }
}

#[test]
fn a_label_that_is_none_of_the_classes_is_an_error_and_has_no_loss() {
    let labels: ArrayRef = Arc::new(StringArray::from_iter_values((0..N).map(|it| ["0", "1", "0", "1", "?"][it % 5])));
    for watch in [
        config("errors", json!({ "threshold": 0.5 })),
        config("loss", json!({ "detector": "page-hinkley", "loss": "log" })),
    ] {
        let rows = batch(vec![("p", Use::Feature, numbers(vec![0.7; N])), ("y", Use::Label, Arc::clone(&labels))]);
        let report = run(&watch, &rows);
        let stream = watch["watch"][0].as_str().unwrap();
        let counts = if stream == "errors" { "errors" } else { "missing" };
        let expected = format!(
            "labels that are none of the classes 0, 1 count as {counts}; list every class in `classes`, in the order of the scores"
        );
        assert_eq!(gap(&report, "labels of column `y`, in part"), expected);
        if stream == "errors" {
            assert_eq!(metric(&report, "changes", "p").unwrap().n, 400);
            continue;
        }
        assert_eq!(
            gap(&report, &format!("{stream} of `p`, in part")),
            "80 of 400 values are null or NaN and were passed over"
        );
        assert_eq!(metric(&report, "changes", "p").unwrap().n, 320);
    }
}
