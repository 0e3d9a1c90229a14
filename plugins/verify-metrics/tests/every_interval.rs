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
        let held = intervals::trials(&population, 50, TRIALS);
        for metric in metrics.iter().flat_map(|it| [(*it).to_owned(), format!("baseline {it}")]) {
            let held = held[&metric];
            println!("{name}: {metric}: {held:?}, {:.1} %", 100.0 * held.coverage());
            assert!(held.given * 100 >= TRIALS * 99, "{name}: {metric}: {held:?}");
            // The threshold jumps between replicates farther than between samples, which makes the interval wide.
            let most = if metric.contains("recall_at_precision") { 1.0 } else { 0.97 };
            assert!((0.93..=most).contains(&held.coverage()), "{name}: {metric}: {held:?}");
        }
    }
}
