//! A profile beside a checkpoint in a store.
//!
//! A checkpoint never changes, and is known by its digest before any data is read. So a profile that a run adds to it is a checkpoint of its
//! own, in a lineage beside the lineage, and the blessing of the verdict names it by its digest: it is verified, scrubbed and repaired as
//! all that is stored, and nobody can put another one in its place unseen.

use modelwatch_profile::file;
use modelwatch_sdk::{
    Host,
    store::{CheckpointId, CheckpointStore, FileEntry},
};
use serde_json::{Map, Value};

use super::{StandIn, Stored, to_bytes, with_cause};
use crate::{
    blessing,
    checkpoint::{CheckpointError, each_chunk},
};

/// The name by which a pipeline asks for it, as in `baseline://profile`.
pub(crate) const NAME: &str = "profile";

/// Its only file.
const FILE: &str = "profile.mwp";

/// The key of the metadata with the checkpoint that it is of.
const OF: &str = "profile_of";

/// Returns the lineage of the profiles of a lineage.
pub(crate) fn lineage_of(lineage: &str) -> String {
    format!("{lineage}.profiles")
}

/// Stores the profile of a checkpoint. Nothing leads to it until a blessing names it.
pub(crate) fn keep(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    (lineage, of): (&str, &CheckpointId),
    profile: &Stored,
) -> Result<CheckpointId, CheckpointError> {
    let metadata = Map::from_iter([(OF.to_owned(), Value::from(of.as_str()))]);
    let mut writer = store.begin(host, &lineage_of(lineage), &metadata)?;
    writer.append(FILE, &to_bytes(profile))?;
    Ok(writer.commit()?)
}

/// Returns the profile that the newest verdict with one names, and its files.
pub(crate) fn find(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    (lineage, of): (&str, &CheckpointId),
) -> Result<(StandIn, Vec<FileEntry>), String> {
    let history = store.history(lineage).and_then(|it| it.whole()).map_err(|e| e.message)?;
    let verdicts = history.checkpoint(of).map(|it| &it.verdicts[..]).unwrap_or_default();
    let mut blessings = verdicts.iter().rev().filter_map(|it| it.blessing.as_deref());
    let Some((blessing, id)) = blessings.find_map(|it| Some((it, it.profile.as_ref()?))) else {
        return Err(format!(
            "no profile is kept beside {}; a run keeps one with `[on.pass] profile = \"reference\"`",
            of.short()
        ));
    };
    if let Some(why) = blessing::problem(blessing, of) {
        return Err(why);
    }
    let place = format!("{NAME} {} of {}", id.short(), of.short());
    let read = || {
        let reader = store.open(host, id)?;
        let mut bytes = Vec::new();
        each_chunk(reader.as_ref(), host, FILE, |it| {
            bytes.extend_from_slice(it);
            Ok(())
        })?;
        let is_of = reader.manifest().metadata.get(OF).and_then(Value::as_str) == Some(of.as_str());
        Ok::<_, CheckpointError>((bytes, is_of, reader.manifest().files.clone()))
    };
    match read().map_err(|e| format!("{place} cannot be read: {e}"))? {
        (_, false, _) => Err(format!("{place} does not say that it is of that checkpoint; keep one again with a run")),
        (bytes, true, files) => {
            let stored = file::read(&place, &bytes).map_err(|e| with_cause(&e))?;
            Ok((StandIn::of(place.as_str(), &stored)?, files))
        }
    }
}

/// Removes the profiles of checkpoints that the lineage does not have any more.
pub(crate) fn forget(store: &dyn CheckpointStore, lineage: &str, reason: &str) -> Result<(), CheckpointError> {
    let (known, profiles) = (store.history(lineage)?.whole()?, store.history(&lineage_of(lineage))?.whole()?);
    let is_lost = |id: &CheckpointId| {
        // Of one that cannot be read nobody knows.
        let reader = store.open(&(), id).ok()?;
        let of = CheckpointId::parse(reader.manifest().metadata.get(OF)?.as_str()?).ok()?;
        Some(!known.contains(&of))
    };
    let lost: Vec<_> =
        profiles.checkpoints().iter().map(|it| &it.id).filter(|it| is_lost(it) == Some(true)).cloned().collect();
    if !lost.is_empty() {
        store.remove(&lineage_of(lineage), &lost, reason)?;
    }
    Ok(())
}
