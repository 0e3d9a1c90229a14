//! The planted-fault trial: every checkpoint of the fixtures goes through the gate, with the last good
//! one as its baseline. Healthy ones must pass and become the last good one; planted faults must fail,
//! be named, and be rolled back from production. Which signal caught which fault is written into a table.

mod table;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

/// A series of checkpoints that share a lineage.
struct Series {
    lineage: &'static str,
    /// The folder of the checkpoints, below the fixtures.
    folder: &'static str,
    gate: &'static str,
    /// What differs from the gate's own file.
    set: &'static [&'static [&'static str]],
    /// Checkpoints that truth.json does not list, all of them healthy.
    healthy: &'static [&'static str],
}

/// The gate of models that labels judge.
const LABELLED: &str = "configs/training-series.toml";
/// The gate of models that give clusters, components or outliers.
const UNSUPERVISED: &str = "configs/unsupervised.toml";

/// What a reader of the result has to know.
const NOTES: &str = "\
The gate is configs/training-series.toml with the plugins' defaults; of kmeans, pca and iforest, which no label judges, it is configs/unsupervised.toml.
Its training rows are those that a checkpoint was trained on: 60 for `bad_overfit`, in which alone the gap to the test rows is to be seen.
The tabular series hold models of different kinds, each no worse than the one before; their weights cannot be compared, so that findings on weights only warn there.
A model whose outputs have other names than those of the rest is a series of its own.";

const BREAST_CANCER: &[&str] = &[
    "data.current.path=../tests/fixtures/tabular/breast_cancer/test.csv",
    "data.reference.path=../tests/fixtures/tabular/breast_cancer/train.csv",
    "data.columns.label=label",
    "verify.0.with.task=binary",
    "analyze.0.severity=warning",
];

const WINE: &[&str] = &[
    "data.current.path=../tests/fixtures/tabular/wine/test.csv",
    "data.reference.path=../tests/fixtures/tabular/wine/train.csv",
    "data.columns.label=label",
    "analyze.0.severity=warning",
];

const SERIES: [Series; 9] = [
    Series { lineage: "digits-cnn", folder: "digits/cnn_series", gate: LABELLED, set: &[], healthy: &[] },
    Series { lineage: "digits-mlp", folder: "digits/mlp_series", gate: LABELLED, set: &[], healthy: &[] },
    Series {
        lineage: "breast-cancer",
        folder: "tabular/breast_cancer",
        gate: LABELLED,
        set: &[BREAST_CANCER, &["verify.0.with.output=probabilities"]],
        healthy: &["gboost", "rforest", "mlp", "logreg"],
    },
    Series {
        lineage: "breast-cancer-zipmap",
        folder: "tabular/breast_cancer",
        gate: LABELLED,
        set: &[BREAST_CANCER, &["verify.0.with.output=output_probability"]],
        healthy: &["logreg_zipmap"],
    },
    Series {
        lineage: "wine",
        folder: "tabular/wine",
        gate: LABELLED,
        set: &[WINE, &["verify.0.with.output=probabilities"]],
        healthy: &["gboost", "mlp", "rforest", "svc", "logreg"],
    },
    Series {
        lineage: "wine-zipmap",
        folder: "tabular/wine",
        gate: LABELLED,
        set: &[WINE, &["verify.0.with.output=output_probability"]],
        healthy: &["logreg_zipmap"],
    },
    Series { lineage: "wine-kmeans", folder: "tabular/wine", gate: UNSUPERVISED, set: &[], healthy: &["kmeans"] },
    Series {
        lineage: "wine-pca",
        folder: "tabular/wine",
        gate: UNSUPERVISED,
        set: &[&[r#"verify.0.with.outputs={ variable = "pca/variable" }"#]],
        healthy: &["pca"],
    },
    Series {
        lineage: "wine-iforest",
        folder: "tabular/wine",
        gate: UNSUPERVISED,
        set: &[&[r#"verify.0.with.outputs={ label = "iforest/label", scores = "iforest/scores" }"#]],
        healthy: &["iforest"],
    },
];

/// What the gate's training rows are not those of.
const TRAINED_ON: [(&str, &str); 1] =
    [("bad_overfit", "data.reference.path=../tests/fixtures/digits/data/train_head60.npz")];

/// The finding that names the cause of each planted fault.
const CAUSES: [(&str, &[&str]); 7] = [
    ("bad_bitflip", &["MW-W003"]),
    ("bad_class_order", &["MW-M003", "MW-W009"]),
    ("bad_dead_relu", &["MW-W005"]),
    ("bad_diverged", &["MW-W001"]),
    ("bad_noise_first_layer", &["MW-W006"]),
    ("bad_overfit", &["MW-M009"]),
    ("bad_shuffled_labels", &["MW-M002"]),
];

/// What came of one checkpoint.
struct Row {
    series: &'static str,
    tag: String,
    /// What truth.json says of it.
    note: String,
    bad: bool,
    verdict: String,
    /// The requirements that do not hold.
    requirements: Vec<String>,
    /// The findings of severity error: their codes and what they are about.
    findings: Vec<(String, String)>,
    /// What the findings say that the cause is.
    causes: Vec<String>,
    /// What is wrong with this row, if anything is.
    problem: Option<String>,
}

/// Runs the trial, and writes the table or, with `check`, compares it.
pub(crate) fn trial(check: bool) -> Result<()> {
    // A test that runs this has built everything, perhaps with more in it, which other tests need meanwhile.
    if env::var_os(workspace::BUILT_PLUGINS).is_none() {
        plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
    }
    let truth = fs::read_to_string(fixtures().join("truth.json")).context("cannot read truth.json")?;
    // Python wrote it, with numbers that JSON does not have.
    let truth: Value = serde_json::from_str(&truth.replace(": NaN,", ": null,").replace(": Infinity,", ": null,"))?;
    let mut rows = Vec::new();
    for series in &SERIES {
        rows.extend(run_series(series, &truth)?);
    }
    let problems = rows.iter().filter(|it| it.problem.is_some()).count();
    for it in &rows {
        let mark = if it.problem.is_some() { "✗" } else { "✓" };
        let kind = if it.bad { "planted fault" } else { "healthy" };
        let findings = it.findings.iter().map(|(code, place)| format!("{code} {place}"));
        let signals: Vec<_> = it.requirements.iter().cloned().chain(findings).collect();
        println!("{mark} {:<20} {:<24} {:<14} {:<6} {}", it.series, it.tag, kind, it.verdict, signals.join(" · "));
        for line in it.causes.iter().chain(&it.problem) {
            println!("    {line}");
        }
    }
    let bad = rows.iter().filter(|it| it.bad).count();
    println!("{NOTES}");
    println!("{} healthy checkpoints, {bad} planted faults, {problems} problems", rows.len() - bad);
    // What nothing catches belongs into the table as well.
    table::keep(&rows, check)?;
    if problems > 0 {
        bail!("the trial has {problems} problems");
    }
    Ok(())
}

fn fixtures() -> PathBuf {
    workspace::root().join("tests/fixtures")
}

fn run_series(series: &'static Series, truth: &Value) -> Result<Vec<Row>> {
    let store = workspace::target().join("trial").join(series.lineage);
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    // No store begins by itself in a folder that is empty now.
    modelwatch(&["store", "--store", &store.display().to_string(), "init"])?;
    let listed = truth["checkpoints"].as_array().into_iter().flatten();
    let mut checkpoints: Vec<(String, String, bool)> = listed
        .filter(|it| it["file"].as_str().is_some_and(|it| Path::new(it).parent() == Some(Path::new(series.folder))))
        .map(|it| (text(&it["tag"]).to_owned(), text(&it["note"]).to_owned(), it["label"] == "bad"))
        .collect();
    checkpoints.extend(series.healthy.iter().map(|it| ((*it).to_owned(), String::new(), false)));
    ensure!(!checkpoints.is_empty(), "truth.json lists nothing in `{}`", series.folder);
    let mut rows = Vec::new();
    let mut last_good = None;
    for (tag, note, bad) in checkpoints {
        let file = fixtures().join(series.folder).join(format!("{tag}.onnx"));
        // The fault is in production already: the gate has to get it out again.
        let id = if bad { Some(deploy(&store, series.lineage, &file)?) } else { None };
        let record = gate(series, &store, &file, &tag)?;
        let problem = if bad {
            check_bad(&record, &tag, id.as_deref(), last_good.as_deref())
        } else {
            check_healthy(&record, &mut last_good)
        };
        let verdict = record["verdict"].as_str().unwrap_or_default().to_owned();
        let (requirements, findings, causes) = (requirements(&record), findings(&record), causes(&record, &tag));
        rows.push(Row { series: series.lineage, tag, note, bad, verdict, requirements, findings, causes, problem });
    }
    Ok(rows)
}

fn modelwatch(arguments: &[&str]) -> Result<(Vec<u8>, String)> {
    let output = Command::new(workspace::program("modelwatch"))
        .args(arguments)
        .current_dir(workspace::root())
        .output()
        .context("cannot run modelwatch")?;
    Ok((output.stdout, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn deploy(store: &Path, lineage: &str, file: &Path) -> Result<String> {
    let (store, file) = (store.display().to_string(), file.display().to_string());
    let (out, err) = modelwatch(&["store", "--store", &store, "put", &file, lineage])?;
    let id = String::from_utf8(out)?.trim().to_owned();
    ensure!(id.len() == 64, "cannot store `{file}`: {err}");
    let (target, spec) = (format!("{lineage}@production"), format!("{lineage}@b3:{id}"));
    let (out, err) = modelwatch(&["store", "--store", &store, "set", &target, &spec])?;
    ensure!(!out.is_empty(), "cannot deploy `{file}`: {err}");
    Ok(id)
}

fn gate(series: &Series, store: &Path, file: &Path, tag: &str) -> Result<Value> {
    let mut arguments = vec!["run".to_owned(), series.gate.to_owned()];
    let own = [
        format!("store.with.path={:?}", store.display().to_string()),
        format!("run.history={:?}", store.join("history.db").display().to_string()),
        format!("checkpoint.import={:?}", file.display().to_string()),
        format!("checkpoint.name={}", series.lineage),
        format!("baseline.from={}@good", series.lineage),
    ];
    let trained_on = TRAINED_ON.iter().filter(|it| it.0 == tag).map(|it| &it.1);
    for it in own.into_iter().chain(series.set.iter().copied().flatten().chain(trained_on).map(|it| (*it).to_owned())) {
        arguments.extend(["--set".to_owned(), it]);
    }
    arguments.extend(["--format".to_owned(), "json".to_owned(), "--quiet".to_owned()]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (out, err) = modelwatch(&arguments)?;
    serde_json::from_slice(&out).with_context(|| format!("no record for `{}`: {err}", file.display()))
}

fn actions<'r>(record: &'r Value, kind: &str, target: &str) -> Option<&'r Value> {
    record["actions"].as_array()?.iter().find(|it| it["kind"] == kind && it["ref"] == target)
}

fn check_healthy(record: &Value, last_good: &mut Option<String>) -> Option<String> {
    let id = record["checkpoint"]["id"].as_str().map(str::to_owned);
    if record["verdict"] != "pass" || record["exit_code"] != 0 {
        return Some(format!("a healthy checkpoint must pass: {}", failed(record).join("; ")));
    }
    let moved =
        actions(record, "move", "good").is_some_and(|it| it["status"] == "done" && it["to"].as_str() == id.as_deref());
    *last_good = id;
    if moved { None } else { Some("`good` was not moved".to_owned()) }
}

fn check_bad(record: &Value, tag: &str, id: Option<&str>, last_good: Option<&str>) -> Option<String> {
    if record["verdict"] != "fail" || record["exit_code"] != 1 {
        return Some(format!("a planted fault must fail, the verdict is {}", record["verdict"]));
    }
    if record["checkpoint"]["id"].as_str() != id {
        return Some("another checkpoint was judged".to_owned());
    }
    if causes(record, tag).is_empty() {
        return Some("no finding names the cause".to_owned());
    }
    let rollback = actions(record, "rollback", "production");
    let back = rollback.is_some_and(|it| it["status"] == "done" && it["to"].as_str() == last_good);
    if back { None } else { Some(format!("production was not rolled back to the last good one: {rollback:?}")) }
}

/// Returns the findings of severity error that name the cause of a fault.
fn causes(record: &Value, tag: &str) -> Vec<String> {
    let codes = CAUSES.iter().find(|it| it.0 == tag).map_or(&[][..], |it| it.1);
    let findings = record["findings"].as_array().into_iter().flatten();
    let named = findings.filter(|it| it["severity"] == "error" && codes.contains(&text(&it["code"])));
    let mut res: Vec<_> =
        named.map(|it| format!("{} {}: {}", text(&it["code"]), text(&it["where"]), text(&it["message"]))).collect();
    // Where every tensor has it, some say it for all.
    res.truncate(2);
    res
}

fn failed(record: &Value) -> Vec<String> {
    let checks = record["checks"].as_array().into_iter().flatten().filter(|it| it["status"] != "pass");
    checks
        .map(|it| {
            format!(
                "{} {} {}: {}",
                text(&it["probe"]),
                text(&it["metric"]),
                text(&it["requirement"]),
                text(&it["message"])
            )
        })
        .collect()
}

fn requirements(record: &Value) -> Vec<String> {
    let checks = record["checks"].as_array().into_iter().flatten();
    let failed = checks.filter(|it| it["status"] == "fail" && it["metric"] != "findings");
    failed.map(|it| format!("{} {}", text(&it["metric"]), text(&it["requirement"]))).collect()
}

fn findings(record: &Value) -> Vec<(String, String)> {
    let all = record["findings"].as_array().into_iter().flatten();
    let errors = all.filter(|it| it["severity"] == "error");
    errors.map(|it| (text(&it["code"]).to_owned(), text(&it["where"]).to_owned())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
