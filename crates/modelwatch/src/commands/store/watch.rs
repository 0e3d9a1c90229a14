//! `modelwatch store watch`: stores what a training loop publishes while it goes on training.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use modelwatch_config::Pipeline;
use modelwatch_runtime::{arrival, checkpoint::CheckpointError, saver::Saver};
use modelwatch_sdk::{Host, store::CheckpointStore};

use super::{
    named,
    put::{self, Target},
};
use crate::{
    commands::{Code, Wrong},
    output,
};

/// How many hand-offs wait beside the one that is being stored: those after them are looked at when there is room.
const QUEUE: usize = 2;
/// How soon it hears that it is to end.
const NAP: Duration = Duration::from_millis(20);

/// What is watched, and how often it is looked at.
pub(super) struct Watched<'a> {
    pub(super) folder: &'a Path,
    pub(super) lineage: &'a str,
    pub(super) every: Duration,
}

/// A hand-off, and what became of it.
type Done = (PathBuf, put::Outcome);

/// Stores hand-offs until it is told to end, and then what it has taken so far. The next one is looked at, which reads
/// all of it, while the one before is being stored.
pub(super) fn watch(
    store: Arc<dyn CheckpointStore>,
    pipeline: Option<Arc<Pipeline>>,
    host: &dyn Host,
    watched: &Watched<'_>,
) -> anyhow::Result<Code> {
    named(watched.lineage)?;
    if !watched.folder.is_dir() {
        return Err(Wrong(format!("there is no folder `{}`", watched.folder.display())).into());
    }
    let refuse_nonfinite = pipeline.as_ref().is_some_and(|it| it.refuse_nonfinite);
    let mut saver = Saver::<Done>::new(QUEUE);
    let mut taken = BTreeSet::new();
    let mut n_failed = 0;
    let mut tell = |ended: Vec<Result<Done, CheckpointError>>| {
        for it in ended {
            n_failed += usize::from(it.is_err());
            match it {
                Ok((_, put::Outcome::Stored(id))) => output::print(id.as_str())?,
                Ok((path, put::Outcome::NotDue(why))) => {
                    output::note(&format!("`{}` was not stored: {why}", path.display()));
                }
                Err(e) => output::error(&e.to_string()),
            }
        }
        anyhow::Ok(())
    };
    while !host.is_cancelled() {
        for path in published(watched.folder)? {
            if host.is_cancelled() || !taken.insert(path.clone()) {
                continue;
            }
            let examined = arrival::examine(&path, host).and_then(|it| {
                if refuse_nonfinite { arrival::refuse_nonfinite(&path, None).map(|()| it) } else { Ok(it) }
            });
            let arrival = match examined {
                Ok(it) => it,
                Err(_) if host.is_cancelled() => break,
                Err(e) => {
                    tell(vec![Err(e)])?;
                    continue;
                }
            };
            let (store, pipeline, lineage) = (Arc::clone(&store), pipeline.clone(), watched.lineage.to_owned());
            tell(saver.save(move || {
                // In its turn, since what is due follows from what was stored before. Not cancelled: it was taken.
                let to = Target { store: store.as_ref(), pipeline: pipeline.as_deref(), host: &(), lineage: &lineage };
                put::store(&to, &path, &arrival.metadata).map(|it| (path, it))
            }))?;
        }
        let until = Instant::now() + watched.every;
        while !host.is_cancelled() && Instant::now() < until {
            tell(saver.ended())?;
            thread::sleep(NAP);
        }
    }
    tell(saver.finish())?;
    Ok(if n_failed == 0 { Code::OK } else { Code::NOT_DONE })
}

/// Returns the hand-offs in a folder, by name. One that is being written has a name that starts with a dot, and gets its
/// own by a rename.
fn published(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read `{}`", folder.display());
    let mut res = Vec::new();
    for entry in folder.read_dir().with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && arrival::is_handoff(&entry.path()) {
            res.push(entry.path());
        }
    }
    res.sort();
    Ok(res)
}
