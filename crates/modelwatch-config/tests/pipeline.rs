//! What a well-formed pipeline becomes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{path::PathBuf, time::Duration};

use modelwatch_config::{
    Action, BaselineSource, Best, Bound, CheckpointSource, ConfigError, DataFormat, Diagnostic, FailOn, Improved,
    Isolation, Keep, MAX_BYTES, Mode, ModelRuntime, Op, Operand, Override, Pipeline, ProbeKind, ProbeSeverity,
    RefRules, Require, Save, Selector, When, load, parse, to_json,
};
use serde_json::{Value, json};

const FULL: &str = r#"
#:schema ./schema.json
version = 1
name = "digits-gate"
fail_on = "warning"

[plugins]
dirs = ["../plugins", "/abs"]

[store]
uses = "local"
with = { path = "../.modelwatch/store" }

[checkpoint]
import = "../ckpt-0006"
name = "digits"
model = "model.onnx"
runtime = "onnxruntime"
refuse_nonfinite = true
[checkpoint.save]
every_steps = 500
every = "10m"
improved = { metric = "loss", mode = "min", min_delta = 0.5 }
changed = 0.01
on_signal = true
[checkpoint.keep]
last = 5
best = [{ metric = "accuracy", mode = "max", n = 3 }, { metric = "loss", mode = "min" }]
every_steps = 1000
within = "7d"
grace = 0

[baseline]
signature = "serve"
from = "digits@good"
optional = true

[data.current]
path = "../test.parquet"
[data.reference]
path = "checkpoint://train.parquet"
format = "parquet"
[data.columns]
label = "label"
id = "row"
inputs = { image = "pixels", X = ["a", "px_*"] }
baseline_inputs = { x = "pixels" }
slices = ["writer"]

[[verify]]
uses = "metrics"
with = { task = "multiclass", top = [1, 5], eps = 1e-3 }
severity = "warning"
timeout = "1m30s"
isolation = "process"
memory = "2GiB"
[verify.require]
log_loss = "<= baseline + 0.02"
accuracy = [">= 0.95", ">= 99% of baseline with confidence 95%"]
"recall[slice=*]" = ">= 85%"

[[verify]]
uses = "golden"
id = "metrics-2"

[[verify]]
uses = "metrics"
when = "baseline"

[[analyze]]
uses = "drift"
when = "reference"

[refs.production]
require = "verified"
window = "30m"
[refs.good]
max_rollbacks = 1

[on.pass]
run = ["notify", "ok"]
move = ["good", "candidate"]
[on.fail]
notify = { file = "alerts.jsonl" }
rollback = "production"

[report]
html = "out/report.html"

[run]
threads = 4
batch_rows = 8192.0
history = "history.db"
onnxruntime = "../libonnxruntime.so"
"#;

fn read(text: &str, overrides: &[&str]) -> Result<Pipeline, Vec<Diagnostic>> {
    let overrides: Vec<Override> = overrides.iter().map(|it| it.parse().unwrap()).collect();
    let parsed = parse("configs/digits.toml".as_ref(), text, &overrides);
    parsed.pipeline.ok_or(parsed.diagnostics)
}

#[test]
fn every_key_arrives() {
    let it = read(FULL, &[]).unwrap();
    assert_eq!(it.name, "digits-gate");
    assert_eq!(it.root, PathBuf::from("configs"));
    assert_eq!(it.fail_on, FailOn::Warning);
    assert_eq!(it.plugins.dirs, [PathBuf::from("configs/../plugins"), PathBuf::from("/abs")]);
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let production = RefRules { require: Some(Require::Verified), max_rollbacks: 3, window: minutes(30) };
    assert_eq!(it.ref_rules("production"), production);
    let good = RefRules { require: None, max_rollbacks: 1, window: minutes(60) };
    assert_eq!((it.ref_rules("good"), it.ref_rules("other")), (good, RefRules::default()));
    let store = it.store.unwrap();
    assert_eq!((store.uses.as_str(), store.pointer.as_str()), ("local", "/store"));
    assert_eq!(Value::Object(store.with), json!({ "path": "../.modelwatch/store" }));
    assert_eq!(
        it.checkpoint.unwrap(),
        CheckpointSource::Import {
            path: PathBuf::from("configs/../ckpt-0006"),
            lineage: "digits".to_owned(),
            model: Some("model.onnx".to_owned()),
            pointer: "/checkpoint".to_owned(),
        }
    );
    assert!(it.refuse_nonfinite);
    assert_eq!(it.runtime, ModelRuntime::OnnxRuntime);
    assert_eq!(
        it.save,
        Some(Save {
            every_steps: Some(500),
            every: Some(Duration::from_secs(600)),
            improved: Some(Improved { metric: "loss".to_owned(), mode: Mode::Min, min_delta: 0.5 }),
            changed: Some(0.01),
            on_signal: true,
        })
    );
    assert_eq!(
        it.keep.unwrap(),
        Keep {
            last: Some(5),
            best: vec![
                Best { metric: "accuracy".to_owned(), mode: Mode::Max, n: 3 },
                Best { metric: "loss".to_owned(), mode: Mode::Min, n: 1 },
            ],
            every_steps: Some(1000),
            within: Some(Duration::from_secs(7 * 86_400)),
            grace: Duration::ZERO,
            prune: false,
        }
    );
    let baseline = it.baseline.unwrap();
    let BaselineSource::Stored(spec) = baseline.from else { panic!("{baseline:?}") };
    assert_eq!((spec.lineage.as_str(), spec.selector), ("digits", Selector::Ref("good".to_owned())));
    assert!(baseline.optional);
    assert_eq!(baseline.runtime, ModelRuntime::Tract);
    assert_eq!((it.signature, baseline.signature.as_deref()), (None, Some("serve")));
    // A model that ONNX Runtime runs has none.
    let it = read(&FULL.replace("runtime = \"onnxruntime\"\n", "signature = \"embed\"\n"), &[]).unwrap();
    let of_baseline = it.baseline.unwrap().signature;
    assert_eq!((it.signature.as_deref(), of_baseline.as_deref()), (Some("embed"), Some("serve")));

    let data = it.data.unwrap();
    let (current, reference) = (data.current.unwrap(), data.reference.unwrap());
    assert_eq!((current.path().to_str().unwrap(), current.format), ("configs/../test.parquet", None));
    assert_eq!(
        (reference.path().to_str().unwrap(), reference.format),
        ("checkpoint://train.parquet", Some(DataFormat::Parquet))
    );
    assert_eq!(data.columns.inputs["image"], ["pixels"]);
    assert_eq!(data.columns.inputs["X"], ["a", "px_*"]);
    assert_eq!(
        (data.columns.baseline_inputs.len(), &*data.columns.baseline_inputs["x"]),
        (1, &["pixels".to_owned()][..])
    );

    let [metrics, golden, second, drift] = it.probes.as_slice() else { panic!("{:?}", it.probes) };
    assert_eq!((metrics.kind, metrics.severity), (ProbeKind::Verifier, ProbeSeverity::Warning));
    assert_eq!((metrics.timeout, metrics.isolation), (Some(Duration::from_secs(90)), Isolation::Process));
    assert_eq!(metrics.memory, Some(2 << 30));
    assert_eq!(
        Value::Object(metrics.component.with.clone()),
        json!({ "task": "multiclass", "top": [1, 5], "eps": 0.001 })
    );
    assert_eq!((second.when, drift.when, golden.when), (When::Baseline, When::Reference, When::Always));
    assert_eq!(drift.kind, ProbeKind::Analyzer);
    assert_eq!(drift.component.pointer, "/analyze/0");

    assert_eq!(
        it.on.pass,
        [
            Action::Move { refs: vec!["good".to_owned(), "candidate".to_owned()], pointer: "/on/pass/move".to_owned() },
            Action::Run { command: vec!["notify".to_owned(), "ok".to_owned()], pointer: "/on/pass/run".to_owned() },
        ]
    );
    assert_eq!(
        it.on.fail,
        [
            Action::Rollback { ref_name: "production".to_owned(), pointer: "/on/fail/rollback".to_owned() },
            Action::Notify { file: PathBuf::from("configs/alerts.jsonl"), pointer: "/on/fail/notify".to_owned() },
        ]
    );
    assert_eq!(it.report.html, Some(PathBuf::from("configs/out/report.html")));
    assert_eq!((it.run.threads.unwrap().get(), it.run.batch_rows), (4, Some(8192)));
    assert_eq!(it.run.onnxruntime, Some(PathBuf::from("configs/../libonnxruntime.so")));
}

#[test]
fn recorded_outputs_are_judged_without_a_checkpoint() {
    let columns = "[data.columns]\npredictions = { p = \"score\" }\nbaseline_predictions = { p = [\"a\", \"b\"] }\n";
    let text = format!("name = \"a\"\n[[verify]]\nuses = \"m\"\n[baseline]\nruntime = \"recorded\"\n{columns}");
    let it = read(&text, &[]).unwrap();
    assert_eq!((it.checkpoint.is_none(), it.runtime), (true, ModelRuntime::Recorded));
    let baseline = it.baseline.unwrap();
    assert_eq!((baseline.from, baseline.runtime), (BaselineSource::Recorded, ModelRuntime::Recorded));
    let columns = it.data.unwrap().columns;
    assert_eq!(columns.predictions["p"], ["score"]);
    assert_eq!(columns.baseline_predictions["p"], ["a", "b"]);
}

#[test]
fn requirements_keep_the_written_order_and_know_their_place() {
    let it = read(FULL, &[]).unwrap();
    let seen: Vec<_> = it.probes[0].requirements.iter().map(|it| (it.to_string(), it.pointer.clone())).collect();
    let seen: Vec<_> = seen.iter().map(|(text, pointer)| (text.as_str(), pointer.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("log_loss <= baseline + 0.02", "/verify/0/require/log_loss"),
            ("accuracy >= 0.95", "/verify/0/require/accuracy/0"),
            ("accuracy >= 99% of baseline with confidence 95%", "/verify/0/require/accuracy/1"),
            ("recall[slice=*] >= 0.85", "/verify/0/require/recall[slice=*]"),
        ]
    );
}

#[test]
fn default_ids_are_numbered_around_given_ones() {
    let it = read(FULL, &[]).unwrap();
    let ids: Vec<_> = it.probes.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["metrics", "metrics-2", "metrics-3", "drift"]);
}

#[test]
fn defaults_are_filled_in() {
    let it = read("name = 'it'\n[[analyze]]\nuses = 'drift'\n", &[]).unwrap();
    let probe = &it.probes[0];
    assert_eq!((probe.when, probe.isolation, probe.timeout), (When::Always, Isolation::Thread, None));
    assert_eq!((probe.severity, it.fail_on), (ProbeSeverity::Error, FailOn::Error));
    assert!(it.store.is_none() && it.checkpoint.is_none() && it.baseline.is_none() && it.data.is_none());
    assert!(it.on.pass.is_empty() && it.run.threads.is_none() && it.report.html.is_none());
}

#[test]
fn a_file_without_a_folder_is_in_the_current_one() {
    let parsed = parse("p.toml".as_ref(), "name = 'it'\n[[analyze]]\nuses = 'drift'\n", &[]);
    assert_eq!(parsed.pipeline.unwrap().root, PathBuf::from("."));
}

#[test]
fn overrides_replace_and_add_values() {
    let it = read(
        FULL,
        &[
            "name=other",
            "verify.0.with.task=binary",
            "verify.0.with.nested.depth=2",
            "verify.0.require.\"recall[slice=*]\"=> 0.5",
            "verify.0.require.f1=between 0.1 and 0.9",
            "data.columns.inputs={ image = 'px' }",
            "analyze.1.uses=weights",
            "run.threads=2",
            "run.threads=3",
        ],
    )
    .unwrap();
    assert_eq!((it.name.as_str(), it.run.threads.unwrap().get()), ("other", 3));
    let with = &it.probes[0].component.with;
    assert_eq!((&with["task"], &with["nested"]), (&json!("binary"), &json!({ "depth": 2 })));
    let requirements = &it.probes[0].requirements;
    let expected = Bound::Compare { op: Op::Greater, right: Operand::Number(0.5) };
    assert!(requirements.iter().any(|it| it.metric.name == "recall" && it.bound == expected));
    assert_eq!(requirements.last().unwrap().bound, Bound::Between { low: 0.1, high: 0.9 });
    assert_eq!(it.data.unwrap().columns.inputs.len(), 1);
    assert_eq!(it.probes.last().unwrap().component.uses, "weights");
}

#[test]
fn an_override_mends_a_mistake_in_the_file() {
    let text = "name = 'it'\n[[verify]]\nuses = 'metrics'\nseverity = 3\nwith = { since = 2026-01-01 }\n";
    assert_eq!(read(text, &[]).unwrap_err().len(), 2);
    assert!(read(text, &["verify.0.severity=error", "verify.0.with.since='2026-01-01'"]).is_ok());
}

#[test]
fn diagnostics_as_json_have_lines_and_columns() {
    let parsed = parse("p.toml".as_ref(), "name = 'é' \n[[verify]]\nuses = 'm'\nid = 'é é'\n", &[]);
    let res = to_json(&parsed.diagnostics, &parsed.document);
    assert_eq!(res[0]["code"], "E0012");
    assert_eq!(res[0]["pointer"], "/verify/0/id");
    assert_eq!(
        res[0]["location"],
        json!({ "file": "p.toml", "line": 4, "column": 6, "end_line": 4, "end_column": 11 })
    );
}

#[test]
fn the_example_file_matches_the_published_schema() {
    let schema = modelwatch_config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["name"]));
    let text = schema.to_string();
    assert!(!text.contains("\"null\""), "TOML has no null: {text}");
    assert!(text.contains("\"process\"") && text.contains("\"reference\""));
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    fn walk(schema: &Value, path: &str, missing: &mut Vec<String>) {
        let Value::Object(map) = schema else { return };
        for (key, it) in map {
            let path = format!("{path}/{key}");
            if let ("properties", Value::Object(properties)) = (key.as_str(), it) {
                let bare = properties.iter().filter(|(_, it)| !it["description"].is_string());
                missing.extend(bare.map(|(key, _)| format!("{path}/{key}")));
            }
            walk(it, &path, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&modelwatch_config::schema(), "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn what_separates_values_is_one_of_a_few_characters() {
    let of = |separator: &str| {
        let text = format!(
            "name = 'x'\n[data.current]\npath = 'a.csv'\nseparator = \"{separator}\"\n[[analyze]]\nuses = 'stream'\n"
        );
        let parsed = parse("q.toml".as_ref(), &text, &[]);
        parsed.pipeline.map(|it| it.data.unwrap().current.unwrap().separator).ok_or_else(|| parsed.diagnostics[0].code)
    };
    assert_eq!([of(","), of(";"), of("\\t"), of("|"), of(" ")], [b',', b';', b'\t', b'|', b' '].map(|it| Ok(Some(it))));
    assert_eq!(of("\\\""), Err("E0005"));
}

fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn unreadable_files_are_named() {
    let missing = load("no/such.toml".as_ref(), &[]).unwrap_err();
    assert!(matches!(missing, ConfigError::NotFound { .. }));
    assert_eq!(missing.to_string(), "cannot find the pipeline file `no/such.toml`; give the path of a TOML file");
    let folder = load(env!("CARGO_TARGET_TMPDIR").as_ref(), &[]).unwrap_err();
    assert!(matches!(folder, ConfigError::Read { .. }));
    let large = load(&write("large.toml", &vec![b'#'; MAX_BYTES as usize + 1]), &[]).unwrap_err();
    assert!(matches!(large, ConfigError::TooLarge { .. }));
    let binary = load(&write("binary.toml", b"name = '\xff'"), &[]).unwrap_err();
    assert!(matches!(binary, ConfigError::NotUtf8 { valid_up_to: 8, .. }));
    #[cfg(target_os = "linux")]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(OsStr::from_bytes(b"n\xff"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("q.toml"), "name = 'x'\n").unwrap();
        let foreign = load(&folder.join("q.toml"), &[]).unwrap_err();
        assert!(matches!(foreign, ConfigError::PathNotUtf8 { .. }));
    }
}

#[test]
fn a_file_is_read_and_knows_its_folder() {
    let path = write("good.toml", b"name = 'it'\n[[verify]]\nuses = 'metrics'\n");
    let pipeline = load(&path, &[]).unwrap().pipeline.unwrap();
    assert_eq!(pipeline.root, path.parent().unwrap());
    assert_eq!(pipeline.file, Some(path));
}
