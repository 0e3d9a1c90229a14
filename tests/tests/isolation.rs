//! Probes in processes of their own: as good as those in threads, and unable to take the process with them.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{BuiltIn, built_in, component, faulty, features};
use modelwatch_runtime::plugin::{Catalog, Opener, SearchPath, WorkerLimits, WorkerProgram};
use modelwatch_sdk::{
    Error, ErrorKind, Host, Kind, ModelRole, Probe, RecordBatch, Result, Role,
    testing::{self, ProbeCase},
};
use modelwatch_tests::{binary, plugins_dir};
use serde_json::{Value, json};

fn limits() -> WorkerLimits {
    WorkerLimits { name: "x".to_owned(), timeout: None, memory: None, cancelled: Arc::default() }
}

fn opener<'a>(catalog: &'a Catalog, kind: Kind, name: &str, limits: WorkerLimits) -> Opener<'a> {
    let program = WorkerProgram { program: binary(), arguments: vec!["worker".into()] };
    Opener::in_process(component(catalog, kind, name), Some(&program), limits).unwrap()
}

fn conforms(it: &BuiltIn) {
    let catalog = Catalog::load(&SearchPath::exactly(vec![plugins_dir()]));
    let openers = [
        Opener::in_thread(component(&catalog, it.kind, it.name)),
        opener(&catalog, it.kind, it.name, WorkerLimits { memory: Some(4 << 30), ..limits() }),
    ];
    let [thread, process] = openers.map(|opener| {
        let open = || opener.open_probe(&it.config);
        let codes = &component(&catalog, it.kind, it.name).info.codes;
        let (rows, tensors) = (it.rows.clone(), it.tensors.clone());
        testing::probe_on(&it.host, &ProbeCase { open: &open, rows, tensors, codes });
        let mut probe = open().unwrap();
        it.rows.iter().for_each(|(role, batch)| probe.update(&it.host, *role, batch).unwrap());
        it.tensors.iter().for_each(|(role, one)| probe.update_tensor(&it.host, *role, &one.view()).unwrap());
        let needs = serde_json::to_string(&probe.needs()).unwrap();
        let state = probe.state().unwrap();
        (needs, state, serde_json::to_string(&probe.evaluate(&it.host).unwrap()).unwrap())
    });
    assert_eq!(thread, process, "{}: the thread and the process disagree", it.name);
}

#[test]
fn metrics_conforms_in_a_process() {
    conforms(&built_in("metrics"));
}

#[test]
fn golden_conforms_in_a_process() {
    conforms(&built_in("golden"));
}

#[test]
fn behavior_conforms_in_a_process() {
    conforms(&built_in("behavior"));
}

#[test]
fn contract_conforms_in_a_process() {
    conforms(&built_in("contract"));
}

#[test]
fn differential_conforms_in_a_process() {
    conforms(&built_in("differential"));
}

#[test]
fn numerics_conforms_in_a_process() {
    conforms(&built_in("numerics"));
}

#[test]
fn latency_conforms_in_a_process() {
    conforms(&built_in("latency"));
}

#[test]
fn drift_conforms_in_a_process() {
    conforms(&built_in("drift"));
}

#[test]
fn quality_conforms_in_a_process() {
    conforms(&built_in("quality"));
}

#[test]
fn multivariate_conforms_in_a_process() {
    conforms(&built_in("multivariate"));
}

#[test]
fn weights_conforms_in_a_process() {
    conforms(&built_in("weights"));
}

#[test]
fn performance_conforms_in_a_process() {
    conforms(&built_in("performance"));
}

#[test]
fn stream_conforms_in_a_process() {
    conforms(&built_in("stream"));
}

/// A host that answers, and remembers what it was told.
#[derive(Default)]
struct Answers {
    done: AtomicU64,
}

impl Host for Answers {
    fn progress(&self, done: u64, _: u64) {
        self.done.store(done, Ordering::Relaxed);
    }
    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        assert_eq!(service, ModelRole::Candidate.as_str());
        Ok(rows.slice(0, rows.num_rows() / 2))
    }
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        match service {
            "double" => Ok((2 * argument.as_u64().unwrap()).into()),
            other => Err(Error::new(ErrorKind::NotFound, other)),
        }
    }
}

fn value(probe: &mut dyn Probe, host: &dyn Host, metric: &str) -> f64 {
    probe.evaluate(host).unwrap().metrics.iter().find(|it| it.name == metric).unwrap().value
}

#[test]
fn services_of_the_host_are_reached_from_a_process() {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Verifier, "faulty", limits());
    let mut probe = opener.open_probe(&json!({"services": true})).unwrap();
    let host = Answers::default();
    let rows = features(0.0);
    let n = rows.num_rows() as u64;
    probe.update(&host, Role::Current, &rows).unwrap();
    assert_eq!(host.done.load(Ordering::Relaxed), n);
    let report = probe.evaluate(&host).unwrap();
    let value = |name: &str| report.metrics.iter().find(|it| it.name == name).unwrap().value;
    assert_eq!((value("rows"), value("inferred"), value("doubled")), (n as f64, (n / 2) as f64, (2 * n) as f64));
    // What the host refuses comes back as the error that it gave.
    let error = probe.update(&(), Role::Current, &rows).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NotFound, "there is no candidate model in this run"));
}

#[test]
fn errors_keep_their_path_and_remedy() {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    let error = opener.open_probe(&json!({"fault": "refuse"})).map(drop).unwrap_err();
    assert_eq!(error, Error::config("/fault", "this fault is refused").with_help("choose another fault"));
}

#[test]
fn a_panic_in_a_process_is_an_error_and_the_last_call() {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    for place in ["open", "needs", "update", "state", "merge", "evaluate", "drop"] {
        let panicked = |error: &Error| {
            assert_eq!(error.kind, ErrorKind::Panicked, "{place}: {error}");
            assert!(error.message.contains("config.rs:"), "{place}: {error}");
        };
        let mut probe = match opener.open_probe(&json!({ "fault": place })) {
            Ok(it) => it,
            Err(e) => {
                panicked(&e);
                continue;
            }
        };
        let rows = features(0.0);
        let calls = probe
            .update(&(), Role::Current, &rows)
            .and_then(|()| probe.state().map(drop))
            .and_then(|()| probe.merge(b"\x01[0,0,0]"))
            .and_then(|()| probe.evaluate(&()).map(drop))
            .and_then(|()| probe.close());
        panicked(&calls.unwrap_err());
        assert!(probe.state().unwrap_err().message.contains("not called again"), "{place}");
    }
    // The worker goes on to serve others.
    opener.open_probe(&json!({})).unwrap().update(&(), Role::Current, &features(0.0)).unwrap();
}

/// Updates a probe with that fault and returns its error, which must stay the same.
fn failed(fault: &str, limits: WorkerLimits) -> Error {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits);
    let mut probe = opener.open_probe(&json!({ "fault": fault })).unwrap();
    let error = probe.update(&(), Role::Current, &features(0.0)).unwrap_err();
    assert_eq!(probe.evaluate(&()).unwrap_err(), error, "{fault}: the first reason stays");
    drop(probe);
    // Another instance has another worker.
    opener.open_probe(&json!({})).unwrap().update(&(), Role::Current, &features(0.0)).unwrap();
    error
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    assert!(!error.message.contains('\n') && !error.help.is_empty(), "{error:?}");
    for it in words {
        assert!(error.message.contains(it), "no `{it}` in: {error}");
    }
}

#[test]
fn an_abort_is_an_error() {
    says(&failed("abort", limits()), &["the worker of `x` was ended by signal 6 (abort)"]);
}

#[test]
fn a_segmentation_fault_is_an_error() {
    says(&failed("segfault", limits()), &["the worker of `x` was ended by signal 11 (segmentation fault)"]);
}

#[test]
fn a_stack_overflow_is_an_error() {
    says(&failed("stack_overflow", limits()), &["the worker of `x` was ended by signal ", "stack overflow"]);
}

#[test]
fn an_exit_is_an_error() {
    says(&failed("exit", limits()), &["the worker of `x` ended with exit code 0 before it answered"]);
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    let error = opener.open_probe(&json!({"fault": "exit_in_open"})).map(drop).unwrap_err();
    says(&error, &["the worker of `x` ended with exit code 0 before it answered"]);
}

#[test]
fn a_lack_of_memory_is_an_error() {
    let error = failed("allocate", WorkerLimits { memory: Some(1 << 30), ..limits() });
    says(&error, &["the worker of `x` was ended by signal 6 (abort)", "memory allocation of"]);
    assert!(error.help.contains("`memory`"), "{}", error.help);
}

#[test]
fn what_never_ends_is_killed_at_its_timeout() {
    for fault in ["spin", "hang"] {
        let error = {
            let catalog = faulty();
            let limits = WorkerLimits { timeout: Some(Duration::from_secs(1)), ..limits() };
            let opener = opener(&catalog, Kind::Analyzer, "faulty", limits);
            let mut probe = opener.open_probe(&json!({ "fault": fault })).unwrap();
            probe.update(&(), Role::Current, &features(0.0)).unwrap_err()
        };
        says(&error, &["the worker of `x` did not answer within its timeout of 1s and was killed"]);
    }
}

#[test]
fn what_never_ends_is_killed_when_the_run_is_to_end() {
    struct Ending(Arc<AtomicBool>);
    impl Host for Ending {
        fn is_cancelled(&self) -> bool {
            // The first to ask is told no, so that the worker is at it.
            self.0.swap(true, Ordering::Relaxed)
        }
    }
    let catalog = faulty();
    let cancelled = Arc::new(AtomicBool::new(false));
    let opener =
        opener(&catalog, Kind::Analyzer, "faulty", WorkerLimits { cancelled: Arc::clone(&cancelled), ..limits() });
    let mut probe = opener.open_probe(&json!({"fault": "spin"})).unwrap();
    let error = probe.update(&Ending(cancelled), Role::Current, &features(0.0)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
}

#[test]
fn what_a_plugin_prints_is_no_answer() {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    let mut probe = opener.open_probe(&json!({"fault": "print"})).unwrap();
    let rows = features(0.0);
    probe.update(&(), Role::Current, &rows).unwrap();
    assert_eq!(value(probe.as_mut(), &(), "rows"), rows.num_rows() as f64);
}

#[test]
fn workers_are_used_again_and_leave_nothing() {
    let catalog = faulty();
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    let config = json!({"fault": "process"});
    let open = || opener.open_probe(&config).unwrap();
    let process = |it: &mut dyn Probe| value(it, &(), "process") as u32;
    let (mut a, mut b) = (open(), open());
    let (first, second) = (process(a.as_mut()), process(b.as_mut()));
    assert!(first != second && first != std::process::id());
    drop(a);
    a = open();
    assert_eq!(process(a.as_mut()), first);
    let there = |it: u32| Path::new("/proc").join(it.to_string()).exists();
    let proc = Path::new("/proc/self").exists();
    assert!(!proc || there(first) && there(second));
    drop((a, b, opener));
    // One that has ended but was not waited for would still be there.
    assert!(!there(first) && !there(second));
}

/// A program in a worker's place.
fn pretender(script: &str) -> Error {
    let program = WorkerProgram { program: PathBuf::from("/bin/sh"), arguments: vec!["-c".into(), script.into()] };
    let catalog = faulty();
    let opener = Opener::in_process(component(&catalog, Kind::Analyzer, "faulty"), Some(&program), limits()).unwrap();
    opener.open_probe(&json!({})).map(drop).unwrap_err()
}

#[test]
fn what_is_no_frame_is_no_answer() {
    says(&pretender("printf 'once upon a time' >&0; cat"), &["sent what is no answer and was killed"]);
    says(
        &pretender(r"printf '\002\000\000\000\000\000\000\000\000\000\000\000{]' >&0; cat"),
        &["a header that is none"],
    );
    says(&pretender("printf 'cut' >&0; exit 3"), &["ended with exit code 3"]);
    // A child that holds the channel open does not hold the run up.
    says(&pretender("exec 3<&0; sleep 1000 & exit 4"), &["ended with exit code 4"]);
    // Nor does one that says goodbye and stays.
    says(&pretender("exec sleep 1000 0<&- 1>&- 2>&-"), &["closed its channel and was killed"]);
    let none = WorkerProgram { program: PathBuf::from("/nonexistent/program"), arguments: Vec::new() };
    let catalog = faulty();
    let opener = Opener::in_process(component(&catalog, Kind::Analyzer, "faulty"), Some(&none), limits()).unwrap();
    let error = opener.open_probe(&json!({})).map(drop).unwrap_err();
    assert!(error.message.contains("cannot start a worker for `x`"), "{error}");
}

#[test]
fn the_environment_is_not_handed_on() {
    // What the shell itself sets, and what the loader needs.
    let script = "env | grep -c -v -E '^(PWD|OLDPWD|SHLVL|_|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH)='; exit 7";
    says(&pretender(script), &["ended with exit code 7", "the last that it wrote was `0`"]);
}

#[test]
fn a_library_that_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let library = modelwatch_tests::library(&modelwatch_tests::fixture_plugins_dir(), "fixture-faulty");
    let copy = modelwatch_tests::library(dir.path(), "fixture-faulty");
    std::fs::copy(&library, &copy).unwrap();
    let catalog = Catalog::load(&SearchPath::exactly(vec![dir.path().to_owned()]));
    let opener = opener(&catalog, Kind::Analyzer, "faulty", limits());
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes.push(0);
    // As a build does it: the old file lives on where it is mapped.
    let staged = dir.path().join("staged");
    std::fs::write(&staged, bytes).unwrap();
    std::fs::rename(&staged, &copy).unwrap();
    let error = opener.open_probe(&json!({})).map(drop).unwrap_err();
    assert!(error.message.contains("its digest is"), "{error}");
}

#[test]
fn what_is_linked_in_has_no_process() {
    let mut catalog = Catalog::default();
    catalog.link(fixture_faulty::registry());
    let it = component(&catalog, Kind::Analyzer, "faulty");
    let program = WorkerProgram { program: binary(), arguments: Vec::new() };
    let error = Opener::in_process(it, Some(&program), limits()).map(drop).unwrap_err();
    assert!(error.contains("built into this program"), "{error}");
    let loaded = faulty();
    let error = Opener::in_process(component(&loaded, Kind::Analyzer, "faulty"), None, limits()).map(drop).unwrap_err();
    assert!(error.contains("starts no processes"), "{error}");
}
