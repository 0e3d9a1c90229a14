//! Gives a checkpoint out, or the one that stands in for it, and says which and why.

use modelwatch_config::{CheckpointSpec, Selector};
use modelwatch_sdk::{
    ErrorKind, Host,
    store::{CheckpointId, CheckpointStore, History},
};
use serde::Serialize;

use crate::checkpoint::{CheckpointError, Laid, lay_out, resolve};

/// What is given out where the checkpoint that was asked for cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadPolicy {
    /// Nothing: it, or an error.
    #[default]
    Exact,
    /// The newest before it whose bytes verify.
    Latest,
    /// It only if it is known to be good, else the checkpoint that a rollback would go to.
    LastKnownGood,
}

/// What was given out, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// What was asked for.
    pub requested: CheckpointId,
    /// What was given out.
    pub served: CheckpointId,
    /// What was passed over, in this order.
    pub skipped: Vec<Skipped>,
}

/// A checkpoint that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Why.
    pub why: String,
}

/// Lays out the checkpoint that `spec` asks for, or the first that the policy takes for it and whose bytes verify.
///
/// # Errors
/// When there is none, or, with `Exact`, when a byte of it does not verify.
pub fn load(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    history: &History,
    spec: &CheckpointSpec,
    policy: LoadPolicy,
) -> Result<(LoadReport, Laid), CheckpointError> {
    let requested = resolve(history, spec)?;
    let mut skipped = Vec::new();
    for id in candidates(history, spec, &requested, policy, &mut skipped) {
        match store.open(host, &id).map_err(CheckpointError::from).and_then(|it| lay_out(it.as_ref(), host)) {
            Ok(laid) => return Ok((LoadReport { requested, served: id, skipped }, laid)),
            // Only what is wrong with the checkpoint itself is a reason to take another.
            Err(CheckpointError::Store(e))
                if policy != LoadPolicy::Exact && matches!(e.kind, ErrorKind::Corrupt | ErrorKind::NotFound) =>
            {
                skipped.push(Skipped { id, why: e.message });
            }
            Err(e) => return Err(e),
        }
    }
    let skipped: Vec<_> = skipped.iter().map(|it| format!("{}: {}", it.id.short(), it.why)).collect();
    Err(CheckpointError::NoneToServe { spec: spec.to_string(), skipped })
}

fn candidates(
    history: &History,
    spec: &CheckpointSpec,
    requested: &CheckpointId,
    policy: LoadPolicy,
    skipped: &mut Vec<Skipped>,
) -> Vec<CheckpointId> {
    let this = history.checkpoint(requested);
    match policy {
        LoadPolicy::Exact => vec![requested.clone()],
        LoadPolicy::Latest => {
            let newest_first = history.checkpoints().iter().rev();
            newest_first.filter(|it| Some(it.seq) <= this.map(|it| it.seq)).map(|it| it.id.clone()).collect()
        }
        LoadPolicy::LastKnownGood => {
            let name = match &spec.selector {
                Selector::Ref(it) => it.as_str(),
                Selector::Id(_) => "",
            };
            let mut res = Vec::new();
            if this.is_some_and(|it| it.is_known_good()) {
                res.push(requested.clone());
            } else {
                skipped.push(Skipped { id: requested.clone(), why: "it is not known to be good".to_owned() });
            }
            res.extend(history.before(name, requested).into_iter().cloned());
            res
        }
    }
}
