//! Pipelines of the README do what it says.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;
use toml::Table;

use crate::support::{Project, check, fixtures, plugins, repository};

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

/// What the parts of pipelines that the README shows are parts of.
const WHOLE: &str = "name = 'whole'
store = { uses = 'local', with = { path = 'store' } }
checkpoint = { import = 'model.onnx', name = 'digits' }
baseline = { from = 'digits@good', optional = true }
on.pass.move = ['good']
[data]
current.path = 'current.parquet'
reference.path = 'reference.parquet'
columns = { label = 'y', id = 'id', timestamp = 'time', slices = ['site'] }
[[analyze]]
id = 'first'
uses = 'weights'
";

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).unwrap()
}

/// Returns the blocks of TOML.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```toml\n").skip(1).map(|it| it.split("```").next().unwrap())
}

/// Returns the pipelines of the section: a block without a name is a part of the one before it.
fn pipelines() -> Vec<String> {
    let readme = readme();
    let section = readme.split_once(SECTION).unwrap().1.split("\n## ").next().unwrap();
    let mut res: Vec<String> = Vec::new();
    for block in blocks(section) {
        match res.last_mut() {
            Some(it) if !block.starts_with("name = ") => *it += &format!("\n{block}"),
            _ => res.push(block.to_owned()),
        }
    }
    res
}

/// Puts a part of a pipeline into a whole one: probes are added, and a store or a baseline is another one.
fn put_in(whole: &mut Table, part: Table) {
    for (key, value) in part {
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Array(it)), toml::Value::Array(more)) if key == "analyze" => it.extend(more),
            (Some(toml::Value::Table(it)), toml::Value::Table(more)) if !["store", "baseline"].contains(&&*key) => {
                put_in(it, more);
            }
            (_, value) => drop(whole.insert(key, value)),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(what: &str) {
    eprintln!("{what}");
}

#[test]
fn every_pipeline_and_every_part_of_one_is_sound() {
    let project = Project::new();
    let has_buckets = plugins().join("libstore_object.so").is_file();
    let readme = readme();
    let mut n = 0;
    for block in blocks(&readme) {
        n += 1;
        let block: Table = block.parse().unwrap_or_else(|e| panic!("{e}: {block}"));
        if !has_buckets && block.get("store").is_some_and(|it| it["uses"].as_str() == Some("object")) {
            skipped("skipped: a store in a bucket, because the plugin `store-object` is not built");
            continue;
        }
        let mut pipeline = if block.contains_key("name") { Table::new() } else { WHOLE.parse().unwrap() };
        put_in(&mut pipeline, block);
        let pipeline = pipeline.to_string();
        project.write("pipeline.toml", &pipeline);
        let checked = project.modelwatch(&["check", "pipeline.toml", "--no-environment"]);
        assert_eq!((checked.code, &*checked.err), (0, ""), "{pipeline}");
    }
    assert!(n > 12, "{n}");
}

/// The commands of the section, with a store and a history of the test's own.
#[test]
fn the_broken_checkpoint_is_refused_and_rolled_back() {
    let project = Project::new();
    let here = project.path().display();
    let readme = readme();
    let section = readme.split_once("## Watch it refuse a broken checkpoint").unwrap().1.split("\n## ").next().unwrap();
    let commands: Vec<_> = section.lines().filter(|it| it.contains("configs/training-series.toml")).collect();
    assert_eq!(commands.len(), 4);
    let mut said = String::new();
    for (command, code) in commands.iter().zip([0, 1, 0, 1]) {
        let pipeline = repository().join("configs/training-series.toml").display().to_string();
        let words = command.split(' ').map(|it| if it.ends_with(".toml") { &pipeline } else { it });
        let ended = match command.strip_prefix("cargo xtask pipeline ") {
            Some(_) => {
                let sets = [format!("store.with.path='{here}/store'"), format!("run.history='{here}/h.db'")];
                let mut arguments = vec!["run"];
                arguments.extend(words.skip(3));
                sets.iter().for_each(|it| arguments.extend(["--set", it]));
                project.modelwatch(&arguments)
            }
            None => {
                let store = format!("{here}/store");
                let mut arguments: Vec<_> = words.skip(1).collect();
                let at = arguments.iter().position(|it| *it == "--pipeline").unwrap();
                arguments[at..].copy_from_slice(&["--store", &store]);
                project.modelwatch(&arguments)
            }
        };
        assert_eq!(ended.code, code, "{command}: {}{}", ended.out, ended.err);
        said = ended.out;
    }
    assert!(said.contains("✓ rollback production: "), "{said}");
}

/// The first one runs where its folder has the fixtures as `configs/` does.
#[test]
fn the_first_pipeline_passes_as_it_is_written() {
    let project = Project::new();
    let (configs, tests) = (project.path().join("configs"), project.path().join("tests"));
    [&configs, &tests].iter().for_each(|it| fs::create_dir(it).unwrap());
    symlink(fixtures(), tests.join("fixtures")).unwrap();
    let readme = readme();
    let first = blocks(&readme).next().unwrap();
    project.write("configs/digits.toml", first);
    // Without a baseline first, then against itself.
    for known in [false, true] {
        let ended = project.modelwatch(&["run", "configs/digits.toml", "--format", "json", "--quiet"]);
        let record: Value = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
        assert_eq!((ended.code, &record["verdict"]), (0, &"pass".into()), "{record:#}");
        assert_eq!(record["baseline"].is_object(), known, "{record:#}");
        check(&record, "accuracy", "pass");
        assert!(record["actions"].as_array().unwrap().iter().all(|it| it["kind"] == "move"), "{record:#}");
    }
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
