//! Every example pipeline does what it says.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::support::{Project, repository};

/// Every example of `configs/`.
const EXAMPLES: [&str; 23] = [
    "behavior-image",
    "behavior-tabular",
    "breast-cancer",
    "contract",
    "digits",
    "digits-tensorflow",
    "drift-over-time",
    "latency",
    "layers",
    "metrics-detection",
    "metrics-multi-label",
    "metrics-ranking",
    "metrics-segmentation",
    "metrics-sequences",
    "multivariate",
    "numerics",
    "performance",
    "quality",
    "quantized",
    "recorded",
    "stream",
    "training-series",
    "unsupervised",
];

#[test]
fn every_example_passes_on_a_fresh_store() {
    let configs = repository().join("configs");
    let mut run = BTreeSet::new();
    for entry in fs::read_dir(&configs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        run.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        let project = Project::new();
        let here = project.path().display();
        let sets = [
            format!("store.with.path='{here}/store'"),
            format!("run.history='{here}/history.db'"),
            format!("report.html='{here}/report.html'"),
            format!("report.junit='{here}/report.xml'"),
        ];
        let mut arguments = vec!["run", path.to_str().unwrap(), "--format", "json"];
        sets.iter().for_each(|it| arguments.extend(["--set", it]));
        let ended = project.modelwatch(&arguments);
        assert_eq!(ended.code, 0, "{}: {}{}", path.display(), ended.out, ended.err);
        let html = fs::read_to_string(project.path().join("report.html")).unwrap();
        assert!(html.len() < 1_000_000 && html.contains("</html>"), "{}: {} bytes", path.display(), html.len());
        assert!(fs::read_to_string(project.path().join("report.xml")).unwrap().contains("<testsuites"));
    }
    let listed: Vec<_> = run.iter().map(String::as_str).collect();
    assert_eq!(listed, EXAMPLES);
}

/// Each example that fails, and the errors that it is there for.
const FAILING: &[(&str, &[&str])] = &[
    ("behavior", &["MW-B001", "MW-B004"]),
    ("contract", &["MW-C004", "MW-C005", "MW-C001"]),
    ("differential", &["MW-N001"]),
    ("drift-over-time", &["MW-D001"]),
    ("golden", &["MW-G001"]),
    ("layers", &["MW-J001"]),
    ("latency", &["MW-L001"]),
    ("metrics", &["MW-M003", "MW-M004", "MW-M005"]),
    ("metrics-detection", &["MW-M010"]),
    ("metrics-multi-label", &["MW-M006"]),
    ("metrics-ranking", &["MW-M002", "MW-M005"]),
    ("metrics-segmentation", &["MW-M006"]),
    ("metrics-sequences", &["MW-M005"]),
    ("multivariate", &["MW-J001", "MW-J004"]),
    ("numerics", &["MW-F001"]),
    ("quality", &["MW-Q003", "MW-Q004", "MW-Q002", "MW-Q022", "MW-Q020", "MW-Q021", "MW-Q010"]),
    ("performance", &["MW-P001", "MW-P002"]),
    ("quantized", &["MW-N001"]),
    ("recorded", &[]),
    ("slices", &[]),
    ("stream", &["MW-S002"]),
];

#[test]
fn every_failing_example_fails_as_it_says() {
    let configs = repository().join("configs/failing");
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let there: BTreeSet<_> = fs::read_dir(&configs).unwrap().map(|it| stem(&it.unwrap().path())).collect();
    assert_eq!(there, FAILING.iter().map(|it| it.0.to_owned()).collect());
    for (name, codes) in FAILING.iter().copied() {
        let project = Project::new();
        let here = project.path().display();
        let (store, history) = (format!("store.with.path='{here}/store'"), format!("run.history='{here}/history.db'"));
        let path = configs.join(name).with_extension("toml");
        let arguments = ["run", path.to_str().unwrap(), "--format", "json", "--set", &store, "--set", &history];
        let ended = project.modelwatch(&arguments);
        assert_eq!(ended.code, 1, "{name}: {}{}", ended.out, ended.err);
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        // Warnings may depend on the machine.
        let errors = record["findings"].as_array().unwrap().iter().filter(|it| it["severity"] == "error");
        let found: Vec<_> = errors.map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!(found, codes, "{name}");
    }
}

/// What `docs/planted-faults.md` says is what it finds.
#[test]
fn the_planted_fault_trial_has_no_problems() {
    let trial = std::process::Command::new(env!("CARGO"))
        .args(["xtask", "trial", "--check"])
        .current_dir(repository())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&trial.stdout);
    assert!(trial.status.success(), "{out}{}", String::from_utf8_lossy(&trial.stderr));
    assert!(out.contains("30 healthy checkpoints, 14 planted faults, 0 problems"), "{out}");
}
