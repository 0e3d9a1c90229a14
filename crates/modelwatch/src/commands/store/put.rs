//! Storing what a training loop made.

use std::path::Path;

use modelwatch_config::Pipeline;
use modelwatch_runtime::{
    arrival::{self, Arrival},
    checkpoint::{self, CheckpointError},
    due,
    prune::of_metadata,
};
use modelwatch_sdk::{
    Host,
    store::{CheckpointId, CheckpointStore, History},
};

use super::{named, prune::seconds_now};
use crate::{
    commands::{Code, must_exist},
    output,
};

/// So many tensors that were not read are named.
const MAX_UNREAD: usize = 5;

/// Where checkpoints go.
pub(super) struct Target<'a> {
    pub(super) store: &'a dyn CheckpointStore,
    /// What says which are worth it.
    pub(super) pipeline: Option<&'a Pipeline>,
    pub(super) host: &'a dyn Host,
    pub(super) lineage: &'a str,
    /// Whoever stores it was told to end, so that this may be the last chance.
    pub(super) preempted: bool,
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
    match store(to, path, &arrival)? {
        Outcome::NotDue(why) => {
            output::note(&format!("nothing was stored: {why}"));
            Ok(if allow_empty { Code::OK } else { Code::NOTHING })
        }
        Outcome::Stored(id) => {
            if let Some(why) = &arrival.opaque {
                output::note(&format!("stored as it is, without a look at what is in it: {why}"));
            }
            if let Some(it) = unread(&arrival) {
                output::note(&it);
            }
            arrival.code.iter().for_each(|it| output::note(it));
            output::print(id.as_str())?;
            Ok(Code::OK)
        }
    }
}

/// Says which tensors nobody looked into, if there are any.
fn unread(arrival: &Arrival) -> Option<String> {
    let shown = arrival.unread.len().min(MAX_UNREAD);
    let (first, more) = arrival.unread.split_at(shown);
    let more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
    (shown > 0).then(|| format!("stored without a look at the values of tensors: {}{more}", first.join("; ")))
}

/// Stores what was examined, if the pipeline has nothing against it.
pub(super) fn store(to: &Target<'_>, path: &Path, arrival: &Arrival) -> Result<Outcome, CheckpointError> {
    if let Some(rules) = to.pipeline.and_then(|it| it.save.as_ref()) {
        let facts = of_metadata(&arrival.metadata);
        let arriving = due::Arriving { path, facts: &facts, preempted: to.preempted, now: seconds_now() };
        let before = to.store.history(to.lineage).and_then(History::whole)?;
        if let Some(why) = due::why_not(rules, to.store, to.host, &before, &arriving)? {
            return Ok(Outcome::NotDue(why));
        }
    }
    checkpoint::import(to.store, to.host, to.lineage, path, arrival).map(Outcome::Stored)
}
