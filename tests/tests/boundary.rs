//! Plugins behind the boundary: as good as linked ones, and unable to take the process with them.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{BuiltIn, built_in, faulty, features, opening, probe_of, weights};
use modelwatch_runtime::{
    checkpoint,
    contents::{Contents, WrittenFormat},
    plugin::{Catalog, SearchPath},
};
use modelwatch_sdk::{
    DType, Error, ErrorKind, Host, Kind, ModelRole, RecordBatch, Result, Role, TensorView,
    testing::{self, FaultRow, ProbeCase},
};
use modelwatch_tests::plugins_dir;
use serde_json::{Map, Value, json};

/// The built-in plugins: linked in, and from their libraries.
fn lanes() -> [(&'static str, Catalog); 2] {
    let mut linked = Catalog::default();
    for it in [
        analyze_drift::registry(),
        analyze_quality::registry(),
        analyze_multivariate::registry(),
        analyze_stream::registry(),
        analyze_weights::registry(),
        estimate_performance::registry(),
        store_local::registry(),
        verify_behavior::registry(),
        verify_contract::registry(),
        verify_differential::registry(),
        verify_golden::registry(),
        verify_latency::registry(),
        verify_metrics::registry(),
        verify_numerics::registry(),
    ] {
        linked.link(it);
    }
    let loaded = Catalog::load(&SearchPath::exactly(vec![plugins_dir()]));
    assert_eq!(loaded.refusals(), []);
    // There may be more in the folder, which passes the suite among its own tests.
    for it in linked.components() {
        let there =
            loaded.components().any(|other| (other.info.kind, &other.info.name) == (it.info.kind, &it.info.name));
        assert!(there, "{} `{}` is not in the folder", it.info.kind, it.info.name);
    }
    [("linked", linked), ("loaded", loaded)]
}

fn conforms(it: &BuiltIn) {
    let reports: Vec<_> = lanes()
        .iter()
        .map(|(_, catalog)| {
            let open = || probe_of(catalog, it.kind, it.name, &it.config);
            let info = common::component(catalog, it.kind, it.name).info;
            let codes = &info.codes;
            let (rows, tensors) = (it.rows.clone(), it.tensors.clone());
            testing::probe_on(&it.host, &ProbeCase { open: &open, rows, tensors, codes });
            let mut probe = open().unwrap();
            if let Some(least) = &info.needs {
                assert!(common::includes(&probe.needs(), least), "{}: it does not always need {least:?}", it.name);
            }
            it.rows.iter().for_each(|(role, batch)| probe.update(&it.host, *role, batch).unwrap());
            it.tensors.iter().for_each(|(role, one)| probe.update_tensor(&it.host, *role, &one.view()).unwrap());
            serde_json::to_string(&probe.evaluate(&it.host).unwrap()).unwrap()
        })
        .collect();
    assert_eq!(reports[0], reports[1], "{}: the linked and the loaded plugin disagree", it.name);
}

#[test]
fn metrics_conforms_linked_and_loaded() {
    conforms(&built_in("metrics"));
}

#[test]
fn golden_conforms_linked_and_loaded() {
    conforms(&built_in("golden"));
}

#[test]
fn behavior_conforms_linked_and_loaded() {
    conforms(&built_in("behavior"));
}

#[test]
fn contract_conforms_linked_and_loaded() {
    conforms(&built_in("contract"));
}

#[test]
fn differential_conforms_linked_and_loaded() {
    conforms(&built_in("differential"));
}

#[test]
fn numerics_conforms_linked_and_loaded() {
    conforms(&built_in("numerics"));
}

#[test]
fn latency_conforms_linked_and_loaded() {
    conforms(&built_in("latency"));
}

#[test]
fn drift_conforms_linked_and_loaded() {
    conforms(&built_in("drift"));
}

#[test]
fn quality_conforms_linked_and_loaded() {
    conforms(&built_in("quality"));
}

#[test]
fn multivariate_conforms_linked_and_loaded() {
    conforms(&built_in("multivariate"));
}

#[test]
fn weights_conforms_linked_and_loaded() {
    conforms(&built_in("weights"));
}

#[test]
fn performance_conforms_linked_and_loaded() {
    conforms(&built_in("performance"));
}

#[test]
fn stream_conforms_linked_and_loaded() {
    conforms(&built_in("stream"));
}

#[test]
fn the_fixture_conforms_without_a_fault() {
    let catalog = faulty();
    let open = || probe_of(&catalog, Kind::Analyzer, "faulty", &json!({}));
    let rows = vec![(Role::Current, features(0.0))];
    let codes = &common::component(&catalog, Kind::Analyzer, "faulty").info.codes;
    testing::probe(&ProbeCase { open: &open, rows, tensors: weights(), codes });
}

#[test]
fn the_local_store_conforms_linked_and_loaded() {
    for (_, catalog) in &lanes() {
        testing::store(&|path| {
            let config = json!({"path": path.display().to_string(), "create": true});
            common::component(catalog, Kind::Store, "local").open_store(&config)
        });
    }
}

/// A host that answers, and remembers what it was told.
#[derive(Default)]
struct Answers {
    cancelled: AtomicBool,
    done: AtomicU64,
    asked: AtomicU64,
}

impl Host for Answers {
    fn progress(&self, done: u64, _: u64) {
        self.done.store(done, Ordering::Relaxed);
    }
    fn is_cancelled(&self) -> bool {
        // The first question is answered with no, so that a loop is entered.
        self.asked.fetch_add(1, Ordering::Relaxed) > 0 && self.cancelled.load(Ordering::Relaxed)
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

#[test]
fn services_of_the_host_are_reached_from_a_library() {
    let catalog = faulty();
    let mut probe = probe_of(&catalog, Kind::Verifier, "faulty", &json!({"services": true})).unwrap();
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
fn a_cancelled_call_ends() {
    let catalog = faulty();
    let mut probe = probe_of(&catalog, Kind::Analyzer, "faulty", &json!({"fault": "sleep"})).unwrap();
    let host = Answers { cancelled: true.into(), ..Answers::default() };
    assert_eq!(probe.update(&host, Role::Current, &features(0.0)).unwrap_err().kind, ErrorKind::Cancelled);
    assert!(host.asked.load(Ordering::Relaxed) > 1);
}

#[test]
fn errors_keep_their_path_and_remedy() {
    let catalog = faulty();
    let open = |config| probe_of(&catalog, Kind::Analyzer, "faulty", &config).map(drop).unwrap_err();
    let error = open(json!({"fault": "refuse"}));
    assert_eq!(error, Error::config("/fault", "this fault is refused").with_help("choose another fault"));
    assert_eq!(open(json!({"fault": "nonsense"})).kind, ErrorKind::Config);
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn events_of_a_library_arrive_at_the_hosts_subscriber() {
    let catalog = faulty();
    for (level, arrives) in [(tracing::Level::INFO, true), (tracing::Level::WARN, false)] {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut probe = probe_of(&catalog, Kind::Analyzer, "faulty", &json!({})).unwrap();
            probe.update(&(), Role::Current, &features(0.0)).unwrap();
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let has = |it: &str| text.contains(it);
        let whole = has("Rows were counted.") && has("fixture_faulty::probe") && has(r#"{\"rows\":60}"#) && has("INFO");
        assert_eq!((whole, text.is_empty()), (arrives, !arrives), "{level}: {text}");
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |it| it.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The host trusts no store, whatever it says of what it gives: each part is held against the id.
#[test]
fn what_a_store_gives_is_what_the_id_stands_for() {
    let row = FaultRow::new(27, "a plugin whose store gives other files, tensors or manifests, or does not end", "SIM");
    let mut linked = Catalog::default();
    linked.link(fixture_faulty::registry());
    row.ok(gives_what_the_id_stands_for(&linked) + gives_what_the_id_stands_for(&faulty()));
}

/// Returns how many faults were refused.
fn gives_what_the_id_stands_for(catalog: &Catalog) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let open = opening(catalog, dir.path());
    let mut writer = open("none").begin(&(), "a", &Map::new()).unwrap();
    for name in ["a.bin", "b.bin"] {
        writer.append(name, name.as_bytes()).unwrap();
    }
    writer.tensor(&TensorView { name: "kernel", dtype: DType::U8, shape: &[3], bytes: b"abc" }).unwrap();
    let id = writer.commit().unwrap();

    // All that is read of a checkpoint, in each of the ways in which it is read.
    let read = |fault: &str| -> [std::result::Result<(), String>; 4] {
        let store = open(fault);
        let reader = || store.open(&(), &id);
        [
            checkpoint::verify(store.as_ref(), &(), &id).map_err(|e| e.to_string()),
            reader().map_err(|e| e.message).and_then(|it| {
                checkpoint::lay_out_in(dir.path(), it.as_ref(), &()).map(drop).map_err(|e| e.to_string())
            }),
            reader().and_then(|it| it.tensor("kernel").map(drop)).map_err(|e| e.message),
            reader().map_err(|e| e.message).and_then(|it| {
                let contents = Contents::of(it.as_ref(), &()).map_err(|e| e.to_string())?;
                contents.write(WrittenFormat::Npz, &dir.path().join(fault)).map_err(|e| with_causes(&e))
            }),
        ]
    };
    assert_eq!(read("none"), [const { Ok(()) }; 4]);
    let (manifest, file, tensor) = ("the manifest of", "the file `a.bin` of", "the tensor `kernel` of");
    let cases = [
        ("other_manifest", [manifest; 4]),
        ("other_order", [manifest; 4]),
        ("other_file", [file, file, "", file]),
        ("other_tensor", [tensor, "", tensor, tensor]),
        ("endless", [file, file, tensor, file]),
    ];
    for (fault, wanted) in cases {
        for (res, what) in read(fault).into_iter().zip(wanted) {
            let message = res.err().unwrap_or_default();
            let is_told = match what {
                "" => message.is_empty(),
                _ => message.contains(&format!("{what} the checkpoint `{}` is not the one", id.short())),
            };
            assert!(is_told, "{fault}: {what:?}: {message:?}");
        }
    }
    cases.len()
}
