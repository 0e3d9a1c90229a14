//! Calibration of scores that were logged beside the rows, with labels that are words.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Need, RecordBatch, Report,
    arrow::array::{ArrayRef, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use common::{Random, batch_of, codes, of_question, open, overall, run};

/// Rows with the score of `malignant`, which comes true as often as `truth` says.
fn logged(seed: u64, truth: impl Fn(f64) -> f64) -> RecordBatch {
    let mut random = Random(seed << 32);
    let scores: Vec<f64> = (0..500).map(|_| random.uniform()).collect();
    let label = |it: &f64| if random.uniform() < truth(*it) { "malignant" } else { "benign" };
    let labels: ArrayRef = Arc::new(StringArray::from_iter_values(scores.iter().map(label).collect::<Vec<_>>()));
    batch_of(vec![
        ("x", Use::Feature, common::floats((0..500).map(|it| f64::from(it % 97)))),
        ("p", Use::Feature, common::floats(scores)),
        ("y", Use::Label, labels),
    ])
}

fn config() -> Value {
    json!({ "score": "p", "classes": ["benign", "malignant"] })
}

#[test]
fn calibration_of_logged_scores_needs_no_model() {
    let needs = open(&config()).needs().current.unwrap();
    assert_eq!((needs.predictions, needs.columns), (Need::No, vec!["p".to_owned()]));
    let report = run(&config(), &logged(1, |it| it), &logged(2, |it| it));
    // Features, predictions, labels, and calibration.
    assert_eq!((codes(&report), overall(&report, "answered_questions")), (vec![], 4.0));
    let report = run(&config(), &logged(1, |it| it), &logged(2, |it| 1.0 - it));
    assert_eq!(codes(&report), [("MW-J004", "calibration")]);
}

#[test]
fn a_score_may_be_of_the_first_class() {
    let mut first = config();
    first["positive"] = json!("benign");
    let is_found = |report: &Report| codes(report).contains(&("MW-J004", "calibration"));
    assert!(!is_found(&run(&first, &logged(1, |it| 1.0 - it), &logged(2, |it| 1.0 - it))));
    assert!(is_found(&run(&first, &logged(1, |it| 1.0 - it), &logged(2, |it| it))));
    // Of which class a score is changes the sign of what it is off by, here by 0.2 at all scores.
    let change = |config: &Value| {
        let report = run(config, &logged(1, |it| 1.0 - it), &logged(2, |it| 0.8 - 0.8 * it));
        of_question(&report, "calibration_gap_change", "calibration").unwrap()
    };
    let (of_first, of_second) = (change(&first), change(&config()));
    assert!(of_first * of_second < 0.0 && of_first.abs() > 0.05, "{of_first} {of_second}");
}

#[test]
fn labels_that_are_no_classes_are_a_gap_that_says_what_to_do() {
    let report = run(&json!({ "score": "p" }), &logged(1, |it| it), &logged(2, |it| it));
    let gap = report.gaps.iter().find(|it| it.what == "calibration").unwrap();
    assert!(gap.why.contains("is no number of a class: list every class in `classes`"), "{}", gap.why);
}
