//! Takes out of a lineage what its policy does not keep.
//!
//! What is removed is only marked so: its bytes go with a later collection, in two phases.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_config::{Keep, PROFILES_SUFFIX};
use modelwatch_sdk::{
    Error, ErrorKind, Host,
    store::{CheckpointId, CheckpointStore, History},
};
use serde_json::{Map, Value};

use crate::{
    checkpoint::{CheckpointError, verify},
    profile::kept,
    retain::{Facts, MayBeAt, Retention, in_place_of_others, retain},
};

/// One entry of the log names at most so many.
pub(crate) const MAX_REMOVED: usize = 10_000;

/// Returns what would become of every checkpoint of the lineage, oldest first.
///
/// What `may_be_at` says of refs and checkpoints is what a rollback asks too; see [`refuses`](crate::refs::refuses).
///
/// Where something would go, the checkpoints that stay in its place are read and verified: those that refs could go back to, and
/// those that a rule counts. One that is damaged must not be the reason to let another one go.
///
/// # Errors
/// When the store cannot be read for the moment, when the lineage's log is damaged, so that nobody can tell what is in use,
/// or when the caller was told to stop.
pub fn plan(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    history: &History,
    policy: &Keep,
    now: u64,
    may_be_at: &MayBeAt<'_>,
) -> Result<Vec<Retention>, CheckpointError> {
    if let Some(e) = history.damage() {
        return Err(e.clone().into());
    }
    let needs_metadata = policy.every_steps.is_some() || !policy.best.is_empty();
    let mut facts = if needs_metadata { facts(store, host, history)? } else { BTreeMap::new() };
    let mut verified = BTreeSet::new();
    loop {
        let res = retain(history, &facts, policy, now, may_be_at);
        let places = in_place_of_others(&res, history, &facts, policy).into_iter();
        let places: Vec<_> = places.filter(|it| !verified.contains(*it)).cloned().collect();
        if places.is_empty() {
            return Ok(res);
        }
        for id in places {
            let res = verify(store, host, &id);
            if host.is_cancelled() {
                return Err(host.cancelled().into());
            }
            let facts = facts.entry(id.clone()).or_default();
            verified.insert(id);
            match res {
                Ok(()) => facts.unreadable = false,
                Err(CheckpointError::Store(e)) if is_lost(e.kind) => facts.damaged = true,
                // It is not known to be wrong. The next answer may be another.
                Err(CheckpointError::Store(e)) if e.kind == ErrorKind::Io => return Err(e.into()),
                // It may be sound, or not: it stays, and so does what would stand in for it.
                Err(_) => facts.unreadable = true,
            }
        }
    }
}

/// Returns whether a checkpoint that cannot be read for that reason will not be readable later either: its bytes are wrong,
/// or missing in a store that is there. What the device does not give back may come back.
fn is_lost(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Gone)
}

/// Fails where a lineage is not pruned by itself.
///
/// # Errors
/// When it has the profiles that are kept beside the checkpoints of another one.
pub fn check_lineage(lineage: &str) -> Result<(), CheckpointError> {
    let Some(of) = lineage.strip_suffix(PROFILES_SUFFIX) else { return Ok(()) };
    let why = format!("`{lineage}` has the profiles of checkpoints of the lineage `{of}`, with which they go");
    Err(Error::input(why).with_help(format!("prune `{of}`")).into())
}

/// Removes what the plan does not keep and returns how many that were.
///
/// # Errors
/// When the store refuses: a ref may have been moved to one of them since the plan was made, or the clock by which the
/// plan was made is not the store's, so that what is recent may have been taken for old.
pub fn remove(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    lineage: &str,
    plan: &[Retention],
    reason: &str,
) -> Result<usize, CheckpointError> {
    check_lineage(lineage)?;
    let ids: Vec<CheckpointId> = plan.iter().filter(|it| !it.stays()).map(|it| it.id.clone()).collect();
    if !ids.is_empty() {
        store.check_clock(&())?;
    }
    for part in ids.chunks(MAX_REMOVED) {
        store.remove(lineage, part, reason)?;
    }
    kept::forget(store, host, lineage, reason)?;
    Ok(ids.len())
}

/// Reads what the checkpoints of a lineage say of themselves.
///
/// # Errors
/// When the store cannot be read for the moment, or the caller was told to stop. A checkpoint that is at fault itself is no
/// error.
pub fn facts(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    history: &History,
) -> Result<BTreeMap<CheckpointId, Facts>, CheckpointError> {
    let mut res = BTreeMap::new();
    for it in history.checkpoints() {
        if host.is_cancelled() {
            return Err(host.cancelled().into());
        }
        let facts = match store.open(host, &it.id) {
            Ok(reader) => of_metadata(&reader.manifest().metadata),
            Err(e) if matches!(e.kind, ErrorKind::Cancelled | ErrorKind::Io) => return Err(e.into()),
            Err(_) => Facts { unreadable: true, ..Facts::default() },
        };
        res.insert(it.id.clone(), facts);
    }
    Ok(res)
}

/// Returns what the metadata of a checkpoint says about its training.
pub fn of_metadata(metadata: &Map<String, Value>) -> Facts {
    let metrics = metadata.get("metrics").and_then(Value::as_object).into_iter().flatten();
    Facts {
        step: metadata.get("step").and_then(Value::as_u64),
        metrics: metrics.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect(),
        ..Facts::default()
    }
}
