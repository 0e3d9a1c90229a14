//! How often each test of numbers calls a column different where nothing differs, with ties and with many zeros.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::arrow::array::{ArrayRef, Float64Array};
use serde_json::json;

use common::{Random, features, of_column, run};

const METHODS: [&str; 10] = [
    "auto",
    "ks",
    "cramer-von-mises",
    "anderson-darling",
    "mann-whitney",
    "t",
    "welch",
    "epps-singleton",
    "kuiper",
    "energy",
];

/// What may have no answer, as its limit does not hold of so few rows.
const MAY_HAVE_NONE: [&str; 3] = ["t", "welch", "epps-singleton"];

const N_COLUMNS: usize = 20;
const N_RUNS: usize = 12;

fn normal(random: &mut Random) -> f64 {
    random.normal()
}

fn tied(random: &mut Random) -> f64 {
    (2.0 * random.normal()).round() / 2.0
}

fn counts(random: &mut Random) -> f64 {
    // Poisson with mean 1, by Knuth's products.
    let (mut n, mut product) = (0.0, random.uniform());
    while product > (-1f64).exp() {
        product *= random.uniform();
        n += 1.0;
    }
    n
}

fn zero_inflated(random: &mut Random) -> f64 {
    if random.uniform() < 0.7 { 0.0 } else { -(1.0 - random.uniform()).ln() }
}

fn mostly_zero(random: &mut Random) -> f64 {
    if random.uniform() < 0.97 { 0.0 } else { -(1.0 - random.uniform()).ln() }
}

fn rare_ones(random: &mut Random) -> f64 {
    f64::from(u8::from(random.uniform() < 0.003))
}

/// Draws a number of a kind.
type Draw = fn(&mut Random) -> f64;

#[test]
fn no_test_of_numbers_alarms_more_often_than_it_says() {
    let kinds: [(&str, Draw); 6] = [
        ("normal", normal),
        ("tied", tied),
        ("counts", counts),
        ("zero-inflated", zero_inflated),
        ("mostly zero", mostly_zero),
        ("rare ones", rare_ones),
    ];
    println!("Columns that do not differ with p <= 0.05, of those with an answer.");
    for (kind, draw) in kinds {
        for (n_reference, n_current) in [(5_000, 100), (2_000, 1_500)] {
            let mut random = Random(7 + n_reference as u64);
            let names: Vec<String> = (0..N_COLUMNS).map(|it| format!("x{it}")).collect();
            let mut found = [(0u32, 0u32); METHODS.len()];
            for _ in 0..N_RUNS {
                let mut table = |rows: usize| {
                    let mut column = || -> ArrayRef {
                        Arc::new(Float64Array::from_iter_values((0..rows).map(|_| draw(&mut random))))
                    };
                    features(names.iter().map(|it| (it.as_str(), column())).collect())
                };
                let (reference, current) = (table(n_reference), table(n_current));
                for (method, (alarms, answers)) in METHODS.into_iter().zip(&mut found) {
                    let config = json!({ "method": method, "predictions": false, "correction": "none" });
                    let report = run(config, &reference, &current);
                    let p_values = names.iter().filter_map(|it| of_column(&report, "p_value", it));
                    for p_value in p_values.filter(|it| !it.is_nan()) {
                        *answers += 1;
                        *alarms += u32::from(p_value <= 0.05);
                    }
                }
            }
            for (method, (alarms, answers)) in METHODS.into_iter().zip(found) {
                println!("{kind:>14} {n_reference}/{n_current} {method:>17} {alarms:3} of {answers}");
                let n = f64::from(answers);
                let allowed = 0.05 * n + 3.0 * (0.05 * 0.95 * n).sqrt();
                assert!(
                    f64::from(alarms) <= allowed,
                    "{kind} {n_reference}/{n_current} {method}: {alarms} of {answers}"
                );
                let has_all = answers as usize == N_COLUMNS * N_RUNS;
                assert!(has_all || MAY_HAVE_NONE.contains(&method), "{kind} {method} has {answers} answers");
            }
        }
    }
}

#[test]
fn a_test_that_has_no_answer_says_why() {
    let column = |seed: u64, rows: usize, draw: fn(&mut Random) -> f64| {
        let mut random = Random(seed);
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|_| draw(&mut random))));
        features(vec![("x", values)])
    };
    let why = |method: &str, draw| {
        let config = json!({ "method": method, "predictions": false });
        run(config, &column(1, 5_000, draw), &column(2, 100, draw)).gaps[0].why.clone()
    };
    assert_eq!(
        why("welch", zero_inflated),
        "`welch` has no answer: means of so few rows are not normal, as the values are skewed"
    );
    assert_eq!(
        why("epps-singleton", mostly_zero),
        "`epps-singleton` has no answer: the middle half of the values is equal, and the others are measured by its range"
    );
}
