//! Pipelines of the README do what it says.

use std::fs;

use serde_json::Value;

use crate::support::{Project, check, fixtures, repository};

/// The section, and its files with where they come from.
const SECTION: &str = "## Data that drifts, and a model that nobody has labels for yet";
const FILES: [(&str, &str); 6] = [
    ("march.csv", "quality/march.csv"),
    ("april.csv", "quality/april.csv"),
    ("train.csv", "tabular/breast_cancer/train_sized.csv"),
    ("test.csv", "tabular/breast_cancer/test_sized.csv"),
    ("scored-and-repaid.parquet", "conformance/estimation/car_loan.reference.parquet"),
    ("scored.parquet", "conformance/estimation/car_loan.analysis.parquet"),
];

/// Returns the pipelines of the section: a block without a name is a part of the one before it.
fn pipelines() -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split_once(SECTION).unwrap().1.split("\n## ").next().unwrap();
    let mut res: Vec<String> = Vec::new();
    for block in section.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        match res.last_mut() {
            Some(it) if !block.starts_with("name = ") => *it += &format!("\n{block}"),
            _ => res.push(block.to_owned()),
        }
    }
    res
}

fn metric(record: &Value, probe: &str, name: &str) -> f64 {
    let mut metrics = record["metrics"].as_array().unwrap().iter();
    let found = metrics.find(|it| it["probe"] == probe && it["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} of {probe}"))["value"].as_f64().unwrap()
}

#[test]
fn pipelines_about_data_run_as_they_are_written() {
    let project = Project::new();
    for (name, fixture) in FILES {
        fs::copy(fixtures().join(fixture), project.path().join(name)).unwrap();
    }
    let pipelines = pipelines();
    let names: Vec<&str> = pipelines.iter().map(|it| it.lines().next().unwrap()).collect();
    assert_eq!(names, ["name = \"orders\"", "name = \"tumors\"", "name = \"loans\""]);
    let records: Vec<Value> = pipelines
        .iter()
        .map(|it| {
            let (code, record) = project.run(it);
            assert_eq!((code, &record["verdict"]), (0, &"pass".into()), "{it}\n{record:#}");
            record
        })
        .collect();
    assert_eq!(metric(&records[0], "drift", "false_alarm_budget_spent"), 1.0 / 31.0);
    // What it says of a month, said of fewer runs.
    let spent = pipelines[0].replace("checks = 31", "checks = 1");
    let (code, record) = project.run(&spent);
    assert_eq!(code, 4, "{record:#}");
    check(&record, "drifted_share", "not-checked");
    let gaps = record["coverage"]["gaps"].to_string();
    assert!(gaps.contains("it was divided among 1 runs, and 1 were made since the month began"), "{gaps}");
}
