//! Plugins that panic: each method of each trait, and what is told of it.
//!
//! The lists of methods are those of the SDK's source, so that none that is new is left out.
#![allow(clippy::unwrap_used)]

mod common;

use common::{component, faulty, features, object, opening, probe_of, weights};
use modelwatch_sdk::{
    DType, Error, ErrorKind, Kind, ModelRole, Probe, Result, Role, TensorView,
    store::{CheckpointId, CheckpointReader, CheckpointStore, CheckpointWriter, CollectOptions, ScrubDepth},
};
use serde_json::{Map, json};

const PROBE_SOURCE: &str = include_str!("../../crates/modelwatch-sdk/src/probe.rs");
const STORE_SOURCE: &str = include_str!("../../crates/modelwatch-sdk/src/store.rs");

/// Checks that cases are of all methods of a trait.
#[track_caller]
fn of_all_methods<'c>(source: &str, name: &str, cases: impl IntoIterator<Item = &'c str>) {
    let (_, rest) = source.split_once(&format!("pub trait {name}:")).expect("the trait is in the source");
    let (body, _) = rest.split_once("\n}\n").expect("the trait ends");
    let methods = body.lines().filter_map(|it| it.strip_prefix("    fn ")?.split(['(', '<']).next());
    assert_eq!(cases.into_iter().collect::<Vec<_>>(), methods.collect::<Vec<_>>(), "the cases of `{name}`");
}

#[track_caller]
fn panicked<T>(place: &str, res: Result<T>) {
    let Err(error) = res else { panic!("{place}: it did not fail") };
    assert_eq!(error.kind, ErrorKind::Panicked, "{place}: {error}");
    let words = ["the plugin panicked at ", "config.rs:", "planted fault in "];
    assert!(words.iter().all(|it| error.message.contains(it)), "{place}: {error}");
    assert!(!error.message.contains('\n'), "{place}: {error}");
    assert!(!error.help.is_empty(), "{place}: it has no remedy");
}

#[track_caller]
fn not_called_again(place: &str, error: &Error) {
    assert_eq!(error.kind, ErrorKind::Panicked, "{place}: {error}");
    assert!(error.message.contains("not called again"), "{place}: {error}");
    assert!(!error.help.contains("may be stored"), "{place}: {}", error.help);
}

type ProbeCall = fn(&mut dyn Probe) -> Result<()>;

/// The methods that follow `needs`, which is asked for when the probe is opened.
const PROBE: [(&str, ProbeCall); 5] = [
    ("update", |it| it.update(&(), Role::Current, &features(0.0))),
    ("update_tensor", |it| it.update_tensor(&(), ModelRole::Candidate, &weights()[0].1.view())),
    ("state", |it| it.state().map(drop)),
    ("merge", |it| it.merge(b"\x01[0,0,0]")),
    ("evaluate", |it| it.evaluate(&()).map(drop)),
];

#[test]
fn a_panic_in_a_probe_is_an_error_and_the_last_call() {
    // What all instances need is part of the manifest, as whose panic `refusals.rs` has it.
    for name in ["Verifier", "Analyzer"] {
        of_all_methods(PROBE_SOURCE, name, ["always_needs", "open"]);
    }
    // To close a probe is to drop it.
    of_all_methods(PROBE_SOURCE, "Probe", ["needs"].into_iter().chain(PROBE.map(|it| it.0)).chain(["close"]));
    let catalog = faulty();
    for kind in [Kind::Verifier, Kind::Analyzer] {
        let open = |fault: &str| probe_of(&catalog, kind, "faulty", &json!({ "fault": fault }));
        panicked("open", open("open").map(drop));
        panicked("needs", open("needs").map(drop));
        for (place, call) in PROBE {
            let mut probe = open(place).unwrap();
            panicked(place, call(probe.as_mut()));
            for (other, call) in PROBE {
                not_called_again(&format!("{other} after {place}"), &call(probe.as_mut()).unwrap_err());
            }
        }
        panicked("close", open("drop").unwrap().close());
        drop(open("drop").unwrap());
        // The library goes on to serve others.
        open("none").unwrap().update(&(), Role::Current, &features(0.0)).unwrap();
    }
}

type StoreCall = fn(&mut dyn CheckpointStore, &CheckpointId) -> Result<()>;

/// Each method, the fault that panics in it, and the call.
const STORE: [(&str, &str, StoreCall); 17] = [
    ("begin", "begin", |it, _| it.begin(&(), "a", &Map::new()).map(drop)),
    ("open", "open_checkpoint", |it, id| it.open(&(), id).map(drop)),
    ("lineages", "lineages", |it, _| it.lineages().map(drop)),
    ("log", "log", |it, _| it.log("a", 0, 1).map(drop)),
    ("set_ref", "set_ref", |it, id| it.set_ref("a", "good", id, None, "")),
    ("record_verdict", "record_verdict", |it, id| {
        it.record_verdict("a", id, &object(json!({"verdict": "pass", "pipeline": "p", "run_id": "r"})))
    }),
    ("unset_ref", "unset_ref", |it, id| it.unset_ref("a", "good", id, "")),
    ("remove", "remove", |it, id| it.remove("a", std::slice::from_ref(id), "")),
    ("scrub", "scrub", |it, _| it.scrub(&(), ScrubDepth::default()).map(drop)),
    ("collect", "collect", |it, _| it.collect(&(), &CollectOptions { grace: 0, dry_run: true }).map(drop)),
    ("repair", "repair", |it, _| it.repair(&()).map(drop)),
    ("stats", "stats", |it, _| it.stats(&()).map(drop)),
    ("doctor", "doctor", |it, _| it.doctor(&()).map(drop)),
    ("check_clock", "check_clock", |it, _| it.check_clock(&())),
    ("close", "drop", |it, _| it.close()),
    // Folds over the log, which the host makes.
    ("history", "log", |it, _| it.history("a").map(drop)),
    ("get_ref", "log", |it, _| it.get_ref("a", "good").map(drop)),
];

#[test]
fn a_panic_in_a_store_is_an_error_and_the_last_call() {
    of_all_methods(STORE_SOURCE, "Store", ["open"]);
    of_all_methods(STORE_SOURCE, "CheckpointStore", STORE.map(|it| it.0));
    let catalog = faulty();
    let open = |fault: &str| component(&catalog, Kind::Store, "faulty").open_store(&json!({ "fault": fault }));
    panicked("open", open("open").map(drop));
    let id = CheckpointId::parse(&"0".repeat(64)).unwrap();
    for (method, fault, call) in STORE {
        let mut store = open(fault).unwrap();
        panicked(method, call(store.as_mut(), &id));
        if method != "close" {
            not_called_again(&format!("lineages after {method}"), &store.lineages().unwrap_err());
            store.close().unwrap();
        }
    }
    assert!(open("none").unwrap().lineages().unwrap().is_empty());
}

type WriterCall = fn(&mut dyn CheckpointWriter) -> Result<()>;

const WRITER: [(&str, &str, WriterCall); 3] = [
    ("append", "append", |it| it.append("x", b"x")),
    ("tensor", "update_tensor", |it| it.tensor(&weights()[0].1.view())),
    ("publish", "commit", |it| it.publish().map(drop)),
];

type ReaderCall = fn(&dyn CheckpointReader) -> Result<()>;

/// The methods that follow `manifest`, which is asked for when the checkpoint is opened.
const READER: [(&str, ReaderCall); 3] = [
    ("read", |it| it.read("x", 0, &mut [0]).map(drop)),
    ("tensor", |it| it.tensor("kernel").map(drop)),
    ("read_tensor", |it| it.read_tensor("kernel", 0, &mut [0]).map(drop)),
];

/// The store goes on, since nothing that it holds was half done.
#[test]
fn a_panic_in_a_writer_or_reader_is_an_error_and_the_last_call_of_that_one() {
    of_all_methods(STORE_SOURCE, "CheckpointWriter", WRITER.map(|it| it.0));
    of_all_methods(STORE_SOURCE, "CheckpointReader", ["manifest"].into_iter().chain(READER.map(|it| it.0)));
    let catalog = faulty();
    let dir = tempfile::tempdir().unwrap();
    let open = opening(&catalog, dir.path());
    let mut writer = open("none").begin(&(), "a", &Map::new()).unwrap();
    writer.append("x", b"x").unwrap();
    writer.tensor(&TensorView { name: "kernel", dtype: DType::U8, shape: &[1], bytes: b"k" }).unwrap();
    let id = writer.commit().unwrap();

    for (method, fault, call) in WRITER {
        let store = open(fault);
        let mut writer = store.begin(&(), "b", &Map::new()).unwrap();
        panicked(method, call(writer.as_mut()));
        for (other, _, call) in WRITER {
            not_called_again(&format!("{other} after {method}"), &call(writer.as_mut()).unwrap_err());
        }
        drop(writer);
        assert_eq!(store.lineages().unwrap(), ["a"], "{method}");
    }
    let store = open("manifest");
    panicked("manifest", store.open(&(), &id).map(drop));
    assert_eq!(store.lineages().unwrap(), ["a"]);
    for (method, call) in READER {
        let store = open(method);
        let reader = store.open(&(), &id).unwrap();
        panicked(method, call(reader.as_ref()));
        for (other, call) in READER {
            not_called_again(&format!("{other} after {method}"), &call(reader.as_ref()).unwrap_err());
        }
        drop(reader);
        assert_eq!(store.lineages().unwrap(), ["a"], "{method}");
    }
    let sound = open("none").open(&(), &id).unwrap();
    READER.iter().for_each(|(_, call)| call(sound.as_ref()).unwrap());
}

#[test]
fn a_panic_in_a_destructor_of_a_store_is_told_at_its_end() {
    let catalog = faulty();
    let dir = tempfile::tempdir().unwrap();
    let open = opening(&catalog, dir.path());
    let begin = |store: &dyn CheckpointStore| {
        let mut res = store.begin(&(), "a", &Map::new()).unwrap();
        res.append("x", b"x").unwrap();
        res
    };
    let mut store = open("none");
    let id = begin(store.as_ref()).commit().unwrap();
    drop(store.open(&(), &id).unwrap());
    store.close().unwrap();

    type Fall<'a> = &'a dyn Fn(&dyn CheckpointStore);
    let falls: [(&str, Fall<'_>); 3] = [
        ("drop", &|_| {}),
        ("writer_drop", &|it| drop(begin(it))),
        ("reader_drop", &|it| drop(it.open(&(), &id).unwrap())),
    ];
    for (place, fall) in falls {
        let mut store = open(place);
        fall(store.as_ref());
        assert_eq!(store.lineages().unwrap(), ["a"], "{place}: it goes on until its end");
        panicked(place, store.close());
        // Told once, and nobody is in its way who does not ask.
        store.close().unwrap();
        fall(open(place).as_ref());
    }

    // Nor does it hide what became of the commit that went before.
    let mut store = open("writer_drop");
    let of_step_1 = |text: &[u8]| {
        let mut res = store.begin(&(), "a", &Map::from_iter([("step".to_owned(), 1.into())])).unwrap();
        res.append("y", text).unwrap();
        res
    };
    let (writer, late) = (of_step_1(b"y"), of_step_1(b"z"));
    let id = writer.commit().unwrap();
    let error = late.commit().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    panicked("writer_drop", store.close());
    let history = open("none").history("a").unwrap();
    assert!(history.contains(&id) && history.checkpoints().len() == 2);
}
