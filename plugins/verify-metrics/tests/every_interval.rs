//! The interval of each metric that a report has holds what it promises, in few trials; `cargo xtask trial intervals` makes many.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
mod intervals;

use serde_json::json;

use common::{Table, normal, random, run};
use intervals::populations;

/// How many trials of how many rows.
const TRIALS: [(usize, u64); 2] = [(50, 200), (500, 40)];

fn check(name: &str) {
    let population = populations::all().into_iter().find(|it| it.name == name).unwrap();
    let problems: Vec<String> =
        TRIALS.iter().flat_map(|&(rows, trials)| intervals::problems(&population, rows, 1..trials + 1)).collect();
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

/// Near a bound such metrics are skewed and lean, and their replicates again.
#[test]
fn of_areas_and_averages_of_few_rows() {
    const TRIALS: u64 = 2000;
    let wanted: [(&str, &[&str]); 2] = [
        (
            "multiclass",
            &[
                "roc_auc[average=macro, multi_class=ovo]",
                "roc_auc[average=weighted, multi_class=ovo]",
                "average_precision[average=macro]",
                "precision[average=weighted]",
                "fbeta[beta=2, class=2]",
            ],
        ),
        ("binary with weights", &["roc_auc", "average_precision", "recall_at_precision[precision=0.7]"]),
    ];
    for (name, metrics) in wanted {
        let mut population = populations::all().into_iter().find(|it| it.name == name).unwrap();
        let names: Vec<&str> = metrics.iter().map(|it| it.split('[').next().unwrap()).collect();
        population.options["metrics"] = names.into();
        let held = intervals::trials(&population, 50, 1..TRIALS + 1);
        for metric in metrics.iter().flat_map(|it| [(*it).to_owned(), format!("baseline {it}")]) {
            let held = held[&metric];
            println!("{name}: {metric}: {held:?}, {:.1} %", 100.0 * held.coverage());
            assert!(held.given * 100 >= TRIALS * 99, "{name}: {metric}: {held:?}");
            let most = match metric.trim_start_matches("baseline ").split('[').next() {
                // The threshold jumps between replicates farther than between samples, which makes the interval wide.
                Some("recall_at_precision") => 0.99,
                // Of the rows that weigh β² there may be one more, and near 1 replicates lie farther apart on the logit than samples.
                Some("fbeta" | "average_precision") => 0.98,
                _ => 0.97,
            };
            assert!((0.93..=most).contains(&held.coverage()), "{name}: {metric}: {held:?}");
        }
    }
}

/// Where hardly a row is of the kind that weighs β², samples often have none.
#[test]
fn of_an_f_of_which_heavy_rows_are_rare() {
    const TRIALS: u64 = 1000;
    const ROWS: usize = 50;
    for (beta, recall, fall_out) in [(2.0, 0.95, 0.02), (2.0, 0.9, 0.0), (0.5, 0.05, 0.02), (0.5, 0.95, 0.02)] {
        let options = json!({"task": "binary", "metrics": ["fbeta"], "beta": beta, "intervals": {"replicates": 0}});
        let square: f64 = beta * beta;
        let truth = (1.0 + square) * recall / ((1.0 + square) * recall + square * (1.0 - recall) + fall_out);
        let mut held = 0;
        for seed in 0..TRIALS {
            let drawn = random(2 * ROWS, 77_000_000 + seed);
            let labels: Vec<i32> = drawn[..ROWS].iter().map(|it| i32::from(*it < 0.5)).collect();
            let rates = labels.iter().map(|it| if *it == 1 { recall } else { fall_out });
            let scores: Vec<f64> =
                rates.zip(&drawn[ROWS..]).map(|(rate, it)| f64::from(u8::from(*it < rate))).collect();
            let report = run(&options, &Table::default().labels(&labels).candidate(&scores, 1));
            let found = report.metrics.iter().find(|it| it.name == "fbeta").unwrap().interval.unwrap();
            held += u64::from((found.low..=found.high).contains(&truth));
        }
        println!("beta {beta}, recall {recall}, fall-out {fall_out}: {held} of {TRIALS}");
        assert!(held * 100 >= TRIALS * 93, "beta {beta}, recall {recall}: {held} of {TRIALS}");
    }
}

/// Replicates of an estimate that is nearer to 1 than half a row lie on both sides of it.
#[test]
fn of_an_average_precision_near_its_bound() {
    const TRIALS: u64 = 500;
    let drawn = |rows: usize, seed: u64, distance: f64| {
        let labels: Vec<i32> = random(rows, 2 * seed).iter().map(|it| i32::from(*it < 0.5)).collect();
        let scores: Vec<f64> = normal(rows, 2 * seed + 1)
            .iter()
            .zip(&labels)
            .map(|(it, label)| it + distance * f64::from(*label))
            .collect();
        Table::default().labels(&labels).candidate(&scores, 1)
    };
    for (rows, distance) in [(50, 2.0), (50, 3.0), (20, 2.0)] {
        let options = |intervals| json!({"task": "binary", "scores": "logits", "metrics": ["average_precision"], "intervals": intervals});
        let truth = run(&options(json!({"replicates": 0})), &drawn(200_000, 1, distance)).metrics[0].value;
        let (mut given, mut held, mut above) = (0, 0, 0);
        for seed in 0..TRIALS {
            let report = run(&options(json!({"seed": seed})), &drawn(rows, 88_000_000 + seed, distance));
            let found = report.metrics.iter().find(|it| it.name == "average_precision").unwrap();
            // Of samples that are parted perfectly nothing can be resampled.
            let Some(interval) = found.interval else { continue };
            assert!((interval.low..=interval.high).contains(&found.value), "{interval:?}");
            given += 1;
            held += u64::from((interval.low..=interval.high).contains(&truth));
            above += u64::from(truth < interval.low);
        }
        println!("{rows} rows, {truth:.4}: {held} of {given}, {above} above");
        assert!(given * 100 >= TRIALS * 85 && held * 100 >= given * 93, "{rows} rows, {truth}: {held} of {given}");
        // A gate that passes for chance alone is the worse error.
        assert!(above * 100 <= given * 4, "{rows} rows, {truth}: {above} of {given} above");
    }
}
