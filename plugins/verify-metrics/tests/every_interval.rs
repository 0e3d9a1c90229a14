//! The interval of each metric that a report has holds what it promises, in few trials; `cargo xtask trial intervals` makes many.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
mod intervals;

use intervals::populations;

/// How many trials of how many rows.
const TRIALS: [(usize, u64); 2] = [(50, 200), (500, 40)];

fn check(name: &str) {
    let population = populations::all().into_iter().find(|it| it.name == name).unwrap();
    let problems: Vec<String> =
        TRIALS.iter().flat_map(|&(rows, trials)| intervals::problems(&population, rows, trials)).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn of_two_classes() {
    check("binary");
}

#[test]
fn of_two_classes_with_weights() {
    check("binary with weights");
}

#[test]
fn of_several_classes() {
    check("multiclass");
}

#[test]
fn of_numbers() {
    check("regression");
}

#[test]
fn of_numbers_with_weights() {
    check("regression with weights");
}

#[test]
fn of_rankings() {
    check("ranking");
}

#[test]
fn of_sets_of_labels() {
    check("multi-label");
}

#[test]
fn of_pixels() {
    check("segmentation");
}

#[test]
fn of_boxes() {
    check("detection");
}

#[test]
fn of_texts() {
    check("sequences");
}
