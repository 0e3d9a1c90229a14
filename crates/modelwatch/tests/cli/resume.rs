//! A run that is killed goes on where it was, with the same bits.

use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX},
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    determinism::write,
    support::{Project, check, fixture_plugins, fixtures},
};

const FILE: &str = "run.resume";

/// Rows of a row group of the data.
const GROUP: u64 = 1700;

fn project() -> Project {
    let project = Project::new();
    write(&project.path().join("current.parquet"), 1, 9_000);
    write(&project.path().join("reference.parquet"), 2, 5_000);
    project
}

/// Every probe that looks at rows.
const ALL: &str = "
[[verify]]
uses = 'metrics'
with = { task = 'binary', output = 'probabilities' }
require = { accuracy = '>= 0.5', log_loss = '<= baseline + 10 with confidence 99%' }
[[verify]]
uses = 'behavior'
[verify.with]
output = 'probabilities'
invariance = [{ name = 'noise', change = { noise = 0.5 }, tolerance = 0.1, share = 0.1 }]
[[verify]]
uses = 'contract'
with = { rows = 40 }
[[verify]]
uses = 'differential'
[[analyze]]
uses = 'drift'
[[analyze]]
uses = 'multivariate'
[[analyze]]
uses = 'quality'
[[analyze]]
uses = 'performance'
with = { task = 'binary', output = 'probabilities' }
[[analyze]]
uses = 'stream'
[analyze.with]
watch = ['columns', 'predictions', 'errors']
output = 'probabilities'
";

/// A few that are done soon.
const FEW: &str = "
[[verify]]
uses = 'metrics'
with = { task = 'binary', output = 'probabilities' }
require = { accuracy = '>= 0.5' }
[[analyze]]
uses = 'drift'
";

/// A pipeline with these probes, and one that can be made to hang at a row.
fn pipeline(reference: &str, probes: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    format!(
        "name = 'resumed'\n\
         checkpoint = {{ import = '{fixtures}/tabular/breast_cancer/mlp.onnx', name = 'b' }}\n\
         baseline = {{ import = '{fixtures}/tabular/breast_cancer/rforest.onnx' }}\n\
         [data]\ncurrent = {{ path = 'current.parquet' }}\nreference = {{ path = '{reference}' }}\n\
         [data.columns]\nlabel = 'label'\nslices = ['site']\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
         {probes}[[analyze]]\nuses = 'faulty'\nwith = {{ fault = 'hang_at_row' }}\n"
    )
}

fn arguments(threads: usize) -> Vec<String> {
    let dir = fixture_plugins().display().to_string();
    let threads = format!("run.threads={threads}");
    let file = format!("run.resume={FILE:?}");
    let arguments = ["run", "pipeline.toml", "--format", "json", "--quiet", "--plugin-dir", &dir];
    arguments.into_iter().chain(["--set", &threads, "--set", &file]).map(str::to_owned).collect()
}

/// Begins a run that hangs at a row, and kills it when it has noted that it is done with some rows of that role.
fn kill(project: &Project, threads: usize, row: u64, role: &str) {
    let role = format!("{role:?}");
    kill_when(project, threads, row, None, |line| line.contains("was noted") && line.contains(&role));
}

/// Begins a run that hangs at a row and in which a probe may fail at one, and kills it at a line that it says.
fn kill_when(project: &Project, threads: usize, row: u64, fails_at: Option<u64>, is_it: impl Fn(&str) -> bool) {
    let arguments = arguments(threads);
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).filter(|it| *it != "--quiet").collect();
    arguments.push("-vv");
    let mut command = project.command(&arguments);
    command.env("MODELWATCH_FAULTY_ROW", row.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.envs(fails_at.map(|it| ("MODELWATCH_FAULTY_FAIL_ROW", it.to_string())));
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|it| is_it(&it)), "the run ended before it was killed");
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
}

/// Runs the pipeline to its end.
fn run(project: &Project, threads: usize) -> Value {
    let arguments = arguments(threads);
    let ended = project.modelwatch(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let record = serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.err));
    assert!(!project.path().join(FILE).exists());
    record
}

/// Returns the record without what differs from run to run, and what it says of being resumed.
fn told(mut record: Value) -> (String, Value) {
    let resumed = record["coverage"]["resumed"].take();
    for it in ["run_id", "timings"] {
        record[it].take();
    }
    (record.to_string(), resumed)
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bits() {
    let project = project();
    project.write("pipeline.toml", &pipeline("reference.parquet", ALL));
    let (whole, resumed) = told(run(&project, 2));
    assert!(resumed.is_null() && whole.len() > 100_000, "{resumed}");
    let probes = serde_json::from_str::<Value>(&whole).unwrap()["coverage"]["probes"].clone();
    assert!(probes.as_array().unwrap().iter().all(|it| it["status"] == "pass"), "{probes:#}");
    for (before, after, row, role) in [(1, 2, 3500, "current"), (5, 1, 5200, "current"), (2, 5, 3500, "reference")] {
        kill(&project, before, row, role);
        let (again, resumed) = told(run(&project, after));
        let rows = resumed["rows"][role].as_u64().unwrap();
        assert!(rows >= GROUP && rows % GROUP == 0 && rows <= row, "{resumed}");
        assert_eq!(resumed["rows"]["reference"], if role == "current" { 5000 } else { rows }, "{resumed}");
        assert!(again == whole, "{before} threads before, {after} after");
    }
}

#[test]
fn a_profile_is_not_taken_in_twice() {
    let project = project();
    let made = project.modelwatch(&["profile", "reference.parquet", "-o", "reference.mwp"]);
    assert_eq!(made.code, 0, "{}", made.err);
    project.write("pipeline.toml", &pipeline("reference.mwp", FEW));
    let (whole, _) = told(run(&project, 2));
    kill(&project, 1, 3500, "current");
    let (again, resumed) = told(run(&project, 2));
    assert!(resumed["rows"]["current"].as_u64().unwrap() >= GROUP, "{resumed}");
    assert!(again == whole);
}

#[test]
fn nothing_is_noted_without_rows_that_a_failed_probe_left_out() {
    let project = project();
    let faulty = "[[analyze]]\nuses = 'faulty'\nid = 'ahead'\nwith = { fault = 'fail_ahead' }\n";
    project.write(
        "pipeline.toml",
        &format!("run = {{ batch_rows = 256 }}\n{}", pipeline("reference.parquet", &format!("{FEW}{faulty}"))),
    );
    let (whole, _) = told(run(&project, 2));
    // The probe fails in the second partition before it is done with the first one, of which it leaves out the rest. The row to hang at
    // is in a partition that nobody begins before two are merged.
    kill_when(&project, 2, 5 * GROUP, Some(GROUP), |line| line.contains("a probe hangs"));
    let (again, resumed) = told(run(&project, 2));
    assert!(resumed["rows"]["reference"].is_u64() && resumed["rows"]["current"].is_null(), "{resumed}");
    assert!(again == whole);
}

#[test]
fn a_run_of_something_else_begins_anew_and_says_so() {
    let project = project();
    project.write("pipeline.toml", &pipeline("reference.parquet", FEW));
    kill(&project, 1, 3500, "current");
    let noted = fs::read(project.path().join(FILE)).unwrap();
    let mut damaged = noted.clone();
    damaged[noted.len() / 2] ^= 0x10;
    // Other data of the same name, another requirement, and a damaged file.
    let others: [(&str, &dyn Fn()); 3] = [
        ("another program, processor, pipeline, plugin", &|| write(&project.path().join("current.parquet"), 3, 9_000)),
        ("another program, processor, pipeline, plugin", &|| {
            write(&project.path().join("current.parquet"), 1, 9_000);
            project.write("pipeline.toml", &pipeline("reference.parquet", FEW).replace(">= 0.5", ">= 0.4"));
        }),
        ("its bytes are not what its digest says", &|| fs::write(project.path().join(FILE), &damaged).unwrap()),
    ];
    for (why, change) in others {
        fs::write(project.path().join(FILE), &noted).unwrap();
        change();
        let (anew, resumed) = told(run(&project, 2));
        assert_eq!(resumed["rows"], serde_json::json!({}), "{resumed}");
        assert!(resumed["discarded"].as_str().unwrap().contains(why), "{resumed}");
        assert!(anew == told(run(&project, 1)).0, "{why}");
    }
}

#[test]
fn another_plugin_or_option_begins_anew() {
    let project = project();
    let options = |it: &str| pipeline("reference.parquet", FEW).replace("'hang_at_row'", &format!("'hang_at_row'{it}"));
    project.write("pipeline.toml", &options(""));
    kill(&project, 1, 3500, "current");
    let noted = fs::read(project.path().join(FILE)).unwrap();
    let others = project.path().join("others");
    fs::create_dir(&others).unwrap();
    let name = format!("{DLL_PREFIX}fixture_faulty{DLL_SUFFIX}");
    let mut library = fs::read(fixture_plugins().join(&name)).unwrap();
    library.push(0);
    fs::write(others.join(&name), library).unwrap();
    for (plugins, set) in [(others, ""), (fixture_plugins(), ", services = true")] {
        fs::write(project.path().join(FILE), &noted).unwrap();
        project.write("pipeline.toml", &options(set));
        let mut arguments = arguments(2);
        let at = arguments.iter().position(|it| it == "--plugin-dir").unwrap();
        arguments[at + 1] = plugins.display().to_string();
        let ended = project.modelwatch(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        let resumed = &record["coverage"]["resumed"];
        assert!(resumed["discarded"].as_str().unwrap().contains("another program"), "{resumed}");
    }
}

#[test]
fn another_signature_begins_anew() {
    let project = project();
    let of = |signature: &str| {
        format!(
            "name = 'resumed'\n[checkpoint]\nimport = '{}'\nname = 'b'\n{signature}\n[data.current]\npath = 'current.parquet'\n\
             [data.columns]\nlabel = 'label'\ninputs = {{ x = ['mean_*'] }}\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass', scores = 'logits' }}\nrequire = {{ accuracy = '>= 0' }}\n\
             [[analyze]]\nuses = 'faulty'\nwith = {{ fault = 'hang_at_row' }}\n",
            fixtures().join("tensorflow/signatures.tflite").display()
        )
        .replace("'mean_*'", "'mean_radius', 'mean_texture', 'mean_area'")
    };
    project.write("pipeline.toml", &of("signature = 'squashed'"));
    kill(&project, 1, 3500, "current");
    let noted = fs::read(project.path().join(FILE)).unwrap();
    for (signature, is_resumed) in [("signature = 'squashed'", true), ("signature = 'bounded'", false), ("", false)] {
        fs::write(project.path().join(FILE), &noted).unwrap();
        project.write("pipeline.toml", &of(signature));
        let (_, resumed) = told(run(&project, 2));
        assert_eq!(resumed["discarded"].is_null(), is_resumed, "{signature}: {resumed}");
    }
}

#[test]
fn what_is_no_such_file_is_left_alone() {
    let project = project();
    let told = format!("on = {{ pass = {{ notify = {{ file = {FILE:?} }} }} }}\n");
    let refused = |pipeline: &str, why: &str| {
        project.write("pipeline.toml", pipeline);
        let arguments = arguments(2);
        let ended = project.modelwatch(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((ended.code, &record["verdict"]), (3, &"error".into()));
        let message = check(&record, "resume", "error")["message"].as_str().unwrap();
        assert!(message.contains("run.resume") && message.contains(why), "{message}");
        assert!(record["timings"]["phases"].get("current data").is_none(), "{record:#}");
    };
    let pipeline = pipeline("reference.parquet", FEW);
    for text in ["x,y\n1,2\n", ""] {
        project.write(FILE, text);
        refused(&pipeline, "no file of an unfinished run");
        assert_eq!(fs::read_to_string(project.path().join(FILE)).unwrap(), text);
    }
    fs::remove_file(project.path().join(FILE)).unwrap();
    refused(&format!("{told}{pipeline}"), "the run writes something else there");
    assert!(!project.path().join(FILE).exists());
}

#[test]
fn a_probe_without_a_state_takes_the_say_from_no_other() {
    let project = project();
    let faulty = "[[analyze]]\nuses = 'faulty'\nid = 'stateless'\nwith = { fault = 'state' }\n";
    project.write("pipeline.toml", &pipeline("reference.parquet", &format!("{FEW}{faulty}")));
    let record = run(&project, 2);
    let probes = record["coverage"]["probes"].as_array().unwrap();
    let failed: Vec<_> = probes.iter().filter(|it| it["status"] == "error").map(|it| &it["id"]).collect();
    assert_eq!(failed, ["stateless"], "{probes:#?}");
    let gaps = record["coverage"]["gaps"].to_string();
    assert!(gaps.contains("how far it has come") && gaps.contains("planted fault in State"), "{gaps}");
}
