//! Predictions that were recorded are judged as those of a model that is run.

use std::fmt::Write;

use serde_json::Value;

use crate::support::{Project, check, fixtures};

/// Outputs of five models for the rows of a test set, beside these.
const DATA: &str = "tabular/breast_cancer/ref_ort.npz";
const RECORDED: &str = "predictions = { probabilities = 'logreg/probabilities' }\n";
const METRICS: &str = "[[verify]]\nuses = 'metrics'\nwith = { task = 'binary', output = 'probabilities' }\n";

/// A pipeline over that data.
fn pipeline(tables: &str, columns: &str, probes: &str) -> String {
    let data = fixtures().join(DATA);
    format!("name = 'test'\n{tables}[data.current]\npath = '{}'\n[data.columns]\n{columns}{probes}", data.display())
}

fn values<'r>(record: &'r Value, role: &str) -> Vec<(&'r str, f64)> {
    let metrics = record["metrics"].as_array().unwrap().iter().filter(|it| it["role"] == role);
    metrics.filter_map(|it| Some((it["name"].as_str()?, it["value"].as_f64()?))).collect()
}

#[test]
fn metrics_are_those_of_the_model_that_gave_them() {
    let model = fixtures().join("tabular/breast_cancer/logreg.onnx");
    let run = format!("checkpoint = {{ import = '{}', name = 'm' }}\n", model.display());
    let probes = format!("{METRICS}require = {{ accuracy = '>= 0.9' }}\n");
    let project = Project::new();
    let (code, expected) = project.run(&pipeline(&run, "label = 'y'\ninputs = { X = 'x' }\n", &probes));
    assert_eq!(code, 0, "{expected:#}");
    let (code, record) = project.run(&pipeline("", &format!("label = 'y'\n{RECORDED}"), &probes));
    assert_eq!(code, 0, "{record:#}");
    let (got, expected) = (values(&record, "candidate"), values(&expected, "candidate"));
    assert!(got.len() > 20 && got.len() == expected.len(), "{got:?}");
    for ((name, got), (_, expected)) in got.iter().zip(&expected) {
        // The model that is run here rounds otherwise.
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}: {got}, not {expected}");
    }
    // The record says where they came from, and so do reports.
    assert!(record["coverage"]["gaps"].to_string().contains("what it answered was recorded, and it was not run"));
    assert_eq!(record["checkpoint"], Value::Null);
    let model = &record["models"][0];
    assert_eq!((&model["role"], &model["format"]), (&"candidate".into(), &"recorded".into()));
    assert_eq!(model["outputs"][0], "probabilities: logreg/probabilities");
}

#[test]
fn a_checkpoint_is_held_to_account_for_what_it_answered() {
    let model = fixtures().join("tabular/breast_cancer/mlp.onnx");
    let project = Project::new();
    let tables = format!(
        "store = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
         checkpoint = {{ import = '{}', name = 'm', runtime = 'recorded' }}\n[on.pass]\nmove = 'production'\n",
        model.display()
    );
    let text = |threshold: &str| {
        let require = format!("require = {{ accuracy = '{threshold}' }}\n[[analyze]]\nuses = 'weights'\n");
        let columns = "label = 'y'\npredictions = { probabilities = 'mlp/probabilities' }\n";
        pipeline(&tables, columns, &format!("{METRICS}{require}"))
    };
    let (code, record) = project.run(&text(">= 0.999"));
    assert_eq!((code, record["actions"].as_array().unwrap().len()), (1, 0), "{record:#}");
    let (code, record) = project.run(&text(">= 0.9"));
    assert_eq!((code, &record["actions"][0]["status"]), (0, &"done".into()), "{record:#}");
    // Its tensors are looked at as ever.
    assert!(record["coverage"]["tensors"]["candidate"].as_u64().unwrap() > 0, "{record:#}");
}

#[test]
fn the_baseline_may_be_recorded_too() {
    let columns = "label = 'y'\npredictions = { p = 'logreg/probabilities' }\n\
                   baseline_predictions = { p = 'gboost/probabilities' }\n";
    let probes = "[[verify]]\nuses = 'metrics'\nwith = { task = 'binary' }\nwhen = 'baseline'\n\
                  require = { accuracy = '>= baseline - 0.1', roc_auc = 'not worse than baseline with confidence 95%' }\n";
    let (code, record) = Project::new().run(&pipeline("baseline = { runtime = 'recorded' }\n", columns, probes));
    assert_eq!(code, 0, "{record:#}");
    assert!(values(&record, "baseline").iter().any(|(name, value)| *name == "accuracy" && *value > 0.9));
    assert_eq!(record["models"].as_array().unwrap().len(), 2);
}

#[test]
fn one_may_be_run_and_the_other_recorded() {
    let baseline = fixtures().join("tabular/breast_cancer/gboost.onnx");
    let tables = format!("baseline = {{ import = '{}' }}\n", baseline.display());
    let columns = format!("label = 'y'\ninputs = {{ X = 'x' }}\n{RECORDED}");
    let probes = format!("{METRICS}require = {{ accuracy = '>= baseline - 0.1' }}\n");
    let (code, record) = Project::new().run(&pipeline(&tables, &columns, &probes));
    assert_eq!((code, record["models"].as_array().unwrap().len()), (0, 2), "{record:#}");
}

#[test]
fn what_has_to_run_a_model_is_told_before_the_run() {
    let project = Project::new();
    for probe in ["latency", "numerics", "contract"] {
        let probes = format!("[[verify]]\nuses = '{probe}'\n");
        project.write("pipeline.toml", &pipeline("", RECORDED, &probes));
        for command in ["check", "run"] {
            let ended = project.modelwatch(&[command, "pipeline.toml"]);
            let said = format!("error[E0030]: `{probe}` runs the candidate model, of which only outputs are there");
            assert!(ended.code == 2 && ended.err.contains(&said), "{}{}", ended.out, ended.err);
        }
    }
}

/// What is held against itself would always agree.
#[test]
fn what_was_recorded_is_not_held_against_itself() {
    let project = Project::new();
    let golden = |column: &str| {
        let probes = format!("[[verify]]\nuses = 'golden'\nwith = {{ outputs = {{ probabilities = '{column}' }} }}\n");
        project.write("pipeline.toml", &pipeline("", RECORDED, &probes));
        project.modelwatch(&["run", "pipeline.toml"])
    };
    let ended = golden("logreg/probabilities");
    let said =
        "error[E0030]: `golden` would hold what was recorded against what was recorded in `logreg/probabilities`";
    assert!(ended.code == 2 && ended.err.contains(said), "{}", ended.err);
    let ended = golden("gboost/probabilities");
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
}

#[test]
fn columns_that_are_not_there_are_found_before_the_run() {
    let project = Project::new();
    let probes = format!("{METRICS}require = {{ accuracy = '>= 0.9' }}\n");
    let columns = "label = 'y'\npredictions = { probabilities = ['logreg/probabilites'] }\n";
    project.write("pipeline.toml", &pipeline("", columns, &probes));
    for command in ["check", "run"] {
        let ended = project.modelwatch(&[command, "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{}{}", ended.out, ended.err);
        for it in ["error[E0206]", "no column `logreg/probabilites`", "did you mean `logreg/probabilities`?"] {
            assert!(ended.err.contains(it), "{it}: {}", ended.err);
        }
    }
}

/// A table with scores in columns of their own, of which one is missing.
fn table(project: &Project, name: &str, is_shifted: bool, has_scores: bool) {
    let mut text = String::from(if has_scores { "x,y,p_a,p_b\n" } else { "x,y\n" });
    for row in 0..400_u32 {
        let spread = f64::from(row.wrapping_mul(2_654_435_761) % 1000) / 1000.0;
        let label = if f64::from(row.wrapping_mul(40_503) % 1000) / 1000.0 < spread { "b" } else { "a" };
        let score = if is_shifted { spread * spread } else { spread };
        write!(text, "{},{label}", row % 17).unwrap();
        match (has_scores, row) {
            (false, _) => {}
            (true, 7) => write!(text, ",,{score}").unwrap(),
            (true, _) => write!(text, ",{},{score}", 1.0 - score).unwrap(),
        }
        text.push('\n');
    }
    project.write(name, &text);
}

fn of_table(reference: &str, probes: &str) -> String {
    format!(
        "name = 'test'\n[data]\ncurrent = {{ path = 'current.csv' }}\n{reference}\
         [data.columns]\nlabel = 'y'\npredictions = {{ p = ['p_a', 'p_b'] }}\n{probes}"
    )
}

#[test]
fn scores_in_columns_of_their_own_are_one_output() {
    let project = Project::new();
    table(&project, "current.csv", false, true);
    let probes = "[[verify]]\nuses = 'metrics'\nwith = { task = 'binary', classes = ['a', 'b'] }\n\
                  require = { roc_auc = '>= 0.7' }\n";
    let (code, record) = project.run(&of_table("", probes));
    // One row has no score, and what is said without it is of other rows.
    assert_eq!((code, &check(&record, "roc_auc", "fail")["observed"]), (1, &"nan".into()));
    let findings = record["findings"].as_array().unwrap();
    assert!(findings.iter().any(|it| it["code"] == "MW-M001"), "{findings:#?}");
    let table = std::fs::read_to_string(project.path().join("current.csv")).unwrap();
    let whole: Vec<_> = table.lines().filter(|it| !it.contains(",,")).collect();
    project.write("current.csv", &whole.join("\n"));
    let (code, record) = project.run(&of_table("", probes));
    assert_eq!((code, &check(&record, "roc_auc", "pass")["n"]), (0, &399.into()));
}

#[test]
fn recorded_predictions_drift_and_are_no_features() {
    let project = Project::new();
    table(&project, "current.csv", true, true);
    table(&project, "reference.csv", false, true);
    let reference = "reference = { path = 'reference.csv' }\n";
    let probes = "[[analyze]]\nuses = 'drift'\nrequire = { drifted_share = '<= 0' }\n";
    let (code, record) = project.run(&of_table(reference, probes));
    let found = record["findings"].as_array().unwrap().iter().map(|it| [&it["code"], &it["where"]]);
    // An output that drifted, and no column.
    assert_eq!((code, found.collect::<Vec<_>>()), (0, vec![[&"MW-D002".into(), &"p".into()]]));
    // Of a reference without them the rest is compared, and it is said so.
    table(&project, "reference.csv", false, false);
    let (code, record) = project.run(&of_table(reference, probes));
    assert_eq!(code, 0, "{record:#}");
    let gaps = record["coverage"]["gaps"].to_string();
    assert!(gaps.contains("the reference data lacks recorded outputs of the candidate model"), "{gaps}");
}

/// What drifts may be named, and a list of columns is of numbers.
#[test]
fn drift_looks_at_recorded_columns_by_name() {
    let project = Project::new();
    table(&project, "current.csv", false, true);
    table(&project, "reference.csv", false, true);
    let reference = "reference = { path = 'reference.csv' }\n";
    let probes = "[[analyze]]\nuses = 'drift'\nwith = { columns = ['p_b'] }\nrequire = { drifted_share = '<= 0' }\n";
    assert_eq!(project.run(&of_table(reference, probes)).0, 0);
    let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'binary', classes = ['a', 'b'] }\n";
    project.write(
        "pipeline.toml",
        &of_table("", metrics).replace("'p_a'", "'y'").replace("label = 'y'\n", "label = 'x'\n"),
    );
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert!(ended.code == 2 && ended.err.contains("is no number"), "{}", ended.err);
}

#[test]
fn performance_is_estimated_from_what_was_recorded() {
    let project = Project::new();
    table(&project, "reference.csv", false, true);
    table(&project, "current.csv", false, true);
    let probes = "[[analyze]]\nuses = 'performance'\nwith = { task = 'binary', classes = ['a', 'b'] }\n\
                  require = { 'estimated_roc_auc' = '>= 0.5' }\n";
    let (_, record) = project.run(&of_table("reference = { path = 'reference.csv' }\n", probes));
    assert!(values(&record, "candidate").iter().any(|it| it.0.starts_with("estimated")), "{record:#}");
}

#[test]
fn a_table_of_predictions_needs_no_pipeline_file() {
    let project = Project::new();
    let data = fixtures().join(DATA);
    let ended = project.modelwatch(&[
        "probe",
        "metrics",
        "--current",
        data.to_str().unwrap(),
        "--column",
        "label=y",
        "--column",
        "predictions.p=\"logreg/probabilities\"",
        "--with",
        "task=binary",
        "--require",
        "accuracy=>= 0.9",
    ]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}
