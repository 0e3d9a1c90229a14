//! A run that is told to end before it has imported.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    sync::{Arc, atomic::AtomicBool},
};

use jiff::Timestamp;
use modelwatch_runtime::{
    Options, Problem, Runtimes,
    plugin::{Catalog, SearchPath},
    run,
};
use modelwatch_sdk::store::CheckpointId;
use modelwatch_tests::plugins_dir;

/// Returns what was stored by a run that was told to end before it began.
fn stored(rules: &str, preempted: bool) -> (Option<CheckpointId>, bool) {
    let dir = tempfile::tempdir().unwrap();
    let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/digits/cnn/cnn.safetensors");
    fs::copy(weights, dir.path().join("m.safetensors")).unwrap();
    let text = format!(
        "name = 'test'\nstore = {{ uses = 'local', with = {{ path = 'store' }} }}\n\
         checkpoint = {{ import = 'm.safetensors', name = 'm'{rules} }}\n[[analyze]]\nuses = 'weights'\n"
    );
    let parsed = modelwatch_config::parse(&dir.path().join("pipeline.toml"), &text, &[]);
    let catalog = Catalog::load(&SearchPath::exactly(vec![plugins_dir()]));
    let options = Options {
        catalog: &catalog,
        runtimes: &Runtimes::default(),
        cancelled: Arc::new(AtomicBool::new(true)),
        preempted: Arc::new(AtomicBool::new(preempted)),
        now: Timestamp::UNIX_EPOCH,
        on_event: &|_| {},
        keep: false,
        allow_empty: false,
    };
    match run(&parsed.document, &parsed.pipeline.unwrap(), &options) {
        Err(Problem::Interrupted { stored }) => (stored, dir.path().join("store/manifests").exists()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_preempted_run_imports_and_ends_where_the_pipeline_says_so() {
    let on_signal = ", save = { on_signal = true }";
    let (id, has_manifests) = stored(on_signal, true);
    assert!(id.is_some() && has_manifests);
    for (rules, preempted) in [(on_signal, false), ("", true)] {
        assert_eq!(stored(rules, preempted).0, None, "{rules}");
    }
}
