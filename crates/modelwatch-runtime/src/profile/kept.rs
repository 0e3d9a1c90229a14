//! A profile beside a checkpoint in a store.
//!
//! A checkpoint never changes, and is known by its digest before any data is read. So a profile that a run adds to it is a checkpoint of its
//! own, in a lineage beside the lineage, and the blessing of the verdict names it by its digest: it is verified, scrubbed and repaired as
//! all that is stored, and nobody can put another one in its place unseen.

use std::collections::BTreeSet;

use modelwatch_config::{PROFILES_SUFFIX, Pipeline};
use modelwatch_profile::file;
use modelwatch_sdk::{
    ErrorKind, Host,
    store::{CheckpointId, CheckpointStore, FileEntry},
};
use serde_json::{Map, Value};

use super::{MAX_BYTES, Stored, to_bytes, with_cause};
use crate::{
    blessing::{self, SealedData},
    checkpoint::{CheckpointError, each_chunk},
    prune::MAX_REMOVED,
};

/// The name by which a pipeline asks for it, as in `baseline://profile`.
pub(crate) const NAME: &str = "profile";

/// Its only file.
const FILE: &str = "profile.mwp";

/// The key of the metadata with the checkpoint that it is of.
const OF: &str = "profile_of";

/// A checkpoint in a store.
pub(crate) type Stand<'a> = (&'a str, &'a CheckpointId);

/// A profile that is kept.
pub(crate) struct Kept {
    pub(crate) id: CheckpointId,
    /// The checkpoint that it is kept beside.
    pub(crate) of: CheckpointId,
    /// What it says of where it is from.
    pub(crate) origin: Map<String, Value>,
    /// What errors call it.
    pub(crate) place: String,
    pub(crate) stored: Stored,
    file: FileEntry,
}

impl Kept {
    /// Returns the seal of the profile, which names it by its id.
    pub(crate) fn seal(&self) -> SealedData {
        SealedData::of_stored(&[FileEntry { name: format!("{}.mwp", self.id), ..self.file.clone() }])
    }
}

/// Returns the lineage of the profiles of a lineage.
pub(crate) fn lineage_of(lineage: &str) -> String {
    format!("{lineage}{PROFILES_SUFFIX}")
}

/// Stores the profile of a checkpoint, with what is to be known of where it is from. Nothing leads to it until a blessing names it.
pub(crate) fn keep(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    (lineage, of): Stand<'_>,
    origin: Map<String, Value>,
    profile: &Stored,
) -> Result<CheckpointId, CheckpointError> {
    let metadata = origin.into_iter().chain([(OF.to_owned(), Value::from(of.as_str()))]).collect();
    let mut writer = store.begin(host, &lineage_of(lineage), &metadata)?;
    writer.append(FILE, &to_bytes(profile))?;
    Ok(writer.commit()?)
}

/// Returns the profile that the pipeline's newest verdict with one names, if any verdict names one.
///
/// # Errors
/// When only other pipelines keep one: theirs are of other data. When it cannot be read.
pub(crate) fn find(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    (lineage, of): Stand<'_>,
    pipeline: &Pipeline,
) -> Result<Option<Kept>, String> {
    let history = store.history(lineage).and_then(|it| it.whole()).map_err(|e| e.message)?;
    let verdicts = history.checkpoint(of).map(|it| &it.verdicts[..]).unwrap_or_default();
    let named: Vec<_> = verdicts
        .iter()
        .filter_map(|it| it.blessing.as_deref().and_then(|b| Some((it.pipeline.as_str(), b, b.profile.as_ref()?))))
        .collect();
    let Some((_, blessing, id)) = named.iter().rev().find(|it| it.0 == pipeline.name) else {
        let others: BTreeSet<_> = named.iter().map(|it| format!("`{}`", it.0)).collect();
        return match others.is_empty() {
            true => Ok(None),
            false => Err(format!(
                "the pipeline `{}` kept no profile beside {}, and those of {} are of other data; keep one with this pipeline, by `[on.pass] profile = \"reference\"`",
                pipeline.name,
                of.short(),
                others.into_iter().collect::<Vec<_>>().join(", ")
            )),
        };
    };
    if let Some(why) = blessing::problem(blessing, of) {
        return Err(why);
    }
    let place = format!("{NAME} {} of {}", id.short(), of.short());
    let read = || {
        let reader = store.open(host, id)?;
        let file = reader.manifest().files.iter().find(|it| it.name == FILE).cloned();
        let mut bytes = Vec::new();
        if let Some(file) = file.as_ref().filter(|it| it.size <= MAX_BYTES) {
            each_chunk(reader.as_ref(), host, file, |it| {
                bytes.extend_from_slice(it);
                Ok(())
            })?;
        }
        Ok::<_, CheckpointError>((bytes, file, reader.manifest().metadata.clone()))
    };
    let (bytes, file, origin) = read().map_err(|e| format!("{place} cannot be read: {e}"))?;
    if origin.get(OF).and_then(Value::as_str) != Some(of.as_str()) {
        return Err(format!("{place} does not say that it is of that checkpoint; keep one again with a run"));
    }
    let Some(file) = file.filter(|it| it.size <= MAX_BYTES) else {
        return Err(format!("{place} has no file `{FILE}` of at most {MAX_BYTES} bytes; keep one again with a run"));
    };
    let stored = file::read(&place, &bytes).map_err(|e| with_cause(&e))?;
    Ok(Some(Kept { id: (*id).clone(), of: of.clone(), origin, place, stored, file }))
}

/// Removes the profiles of checkpoints that the lineage does not have any more.
pub(crate) fn forget(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    lineage: &str,
    reason: &str,
) -> Result<(), CheckpointError> {
    let (known, profiles) = (store.history(lineage)?.whole()?, store.history(&lineage_of(lineage))?.whole()?);
    let mut lost = Vec::new();
    for it in profiles.checkpoints() {
        if host.is_cancelled() {
            return Err(host.cancelled().into());
        }
        let reader = match store.open(host, &it.id) {
            Ok(it) => it,
            Err(e) if e.kind == ErrorKind::Cancelled => return Err(e.into()),
            // Of one that cannot be read nobody knows.
            Err(_) => continue,
        };
        let of = reader.manifest().metadata.get(OF).and_then(Value::as_str).map(CheckpointId::parse);
        if let Some(Ok(of)) = of
            && !known.contains(&of)
        {
            lost.push(it.id.clone());
        }
    }
    for part in lost.chunks(MAX_REMOVED) {
        store.remove(&lineage_of(lineage), part, reason)?;
    }
    Ok(())
}
