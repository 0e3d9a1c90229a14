//! Storing what a training loop made.

use std::path::Path;

use modelwatch_config::Pipeline;
use modelwatch_runtime::{
    arrival,
    checkpoint::{self, CheckpointError},
    due,
    prune::of_metadata,
};
use modelwatch_sdk::{
    Host,
    store::{CheckpointId, CheckpointStore, History},
};
use serde_json::{Map, Value};

use super::{named, prune::seconds_now};
use crate::{
    commands::{Code, must_exist},
    output,
};

/// Where checkpoints go.
pub(super) struct Target<'a> {
    pub(super) store: &'a dyn CheckpointStore,
    /// What says which are worth it.
    pub(super) pipeline: Option<&'a Pipeline>,
    pub(super) host: &'a dyn Host,
    pub(super) lineage: &'a str,
}

/// What became of something that was to be stored.
pub(super) enum Outcome {
    Stored(CheckpointId),
    /// No rule of the pipeline wants it, for this reason.
    NotDue(String),
}

/// Stores one file or folder, and prints its id.
pub(super) fn put(to: &Target<'_>, path: &Path, allow_empty: bool) -> anyhow::Result<Code> {
    named(to.lineage)?;
    must_exist(path)?;
    let arrival = arrival::examine(path, to.host)?;
    if to.pipeline.is_some_and(|it| it.refuse_nonfinite) {
        arrival::refuse_nonfinite(path, None)?;
    }
    match store(to, path, &arrival.metadata)? {
        Outcome::NotDue(why) => {
            output::note(&format!("nothing was stored: {why}"));
            Ok(if allow_empty { Code::OK } else { Code::NOTHING })
        }
        Outcome::Stored(id) => {
            if let Some(why) = &arrival.opaque {
                output::note(&format!("stored as it is, without a look at what is in it: {why}"));
            }
            output::print(id.as_str())?;
            Ok(Code::OK)
        }
    }
}

/// Stores what was examined, if the pipeline has nothing against it.
pub(super) fn store(to: &Target<'_>, path: &Path, metadata: &Map<String, Value>) -> Result<Outcome, CheckpointError> {
    if let Some(rules) = to.pipeline.and_then(|it| it.save.as_ref()) {
        let facts = of_metadata(metadata);
        let arriving = due::Arriving { path, facts: &facts, preempted: false, now: seconds_now() };
        let before = to.store.history(to.lineage).and_then(History::whole)?;
        if let Some(why) = due::why_not(rules, to.store, to.host, &before, &arriving)? {
            return Ok(Outcome::NotDue(why));
        }
    }
    checkpoint::import(to.store, to.host, to.lineage, path, metadata).map(Outcome::Stored)
}
