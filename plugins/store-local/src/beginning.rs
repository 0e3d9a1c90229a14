//! Where a store begins by itself: only where nothing looks like a file system that is not mounted.
//!
//! Nobody can tell an empty folder from one that a file system belongs on. A store that began there would take in
//! checkpoints, and know none of those that the other one has. So one begins by itself only in a folder that is still to be
//! made, in one that is not empty. It is made with something in it, so that nobody ever sees it empty.

use std::{fs, io, path::Path, sync::Arc};

use modelwatch_sdk::{Error, Result};
use modelwatch_store::STORE_FILE;

use crate::{
    disk::{Disk, Step, Watch, parent},
    errors,
};

/// How often the folder is begun anew if others do so too.
const MAX_TRIES: usize = 8;

/// What is in a folder in which a store was begun, whatever became of its `store.json`.
const PARTS: [&str; 4] = ["tmp", "log", "manifests", "packs"];

/// Fails where there is no store, and none begins by itself. What cannot be looked at is for whoever opens it to tell.
pub(crate) fn check(root: &Path) -> Result<()> {
    if is_there(&root.join(STORE_FILE)) || is_begun(root) {
        return Ok(());
    }
    let nearest = root.ancestors().map(or_here).find(|it| is_there(it));
    match nearest.filter(|it| it.is_dir()) {
        Some(it) if it == or_here(root) => Err(unbegun(root, "its folder has no store in it")),
        Some(it) if is_empty(it) => {
            Err(unbegun(root, format_args!("`{}`, in which it would be, is empty", it.display())))
        }
        _ => Ok(()),
    }
}

/// Returns whether a folder has what a store is begun with and nothing else, or bytes that only a store has: then the engine
/// says what became of it.
fn is_begun(root: &Path) -> bool {
    let names: Vec<_> = fs::read_dir(root).into_iter().flatten().flatten().map(|it| it.file_name()).collect();
    let is_part = |it: &std::ffi::OsString| PARTS.iter().any(|part| it == part);
    (!names.is_empty() && names.iter().all(is_part))
        || PARTS[1..].iter().map(|it| root.join(it)).any(|it| it.is_dir() && !is_empty(&it))
}

/// Makes the folder and what is missing above it, all at once and with `tmp` in it: whoever dies meanwhile, or looks, leaves or
/// sees what a store was begun in, or nothing.
///
/// All who do so prepare the same folder beside it. So nothing is left behind where one of them comes to the end.
pub(crate) fn make(root: &Path, watch: &Arc<dyn Watch>) -> Result<()> {
    for _ in 0..MAX_TRIES {
        let missing = root.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists());
        let Some(top) = missing.last() else { return Ok(()) };
        let prepared = top.with_file_name(format!(".{}.begun", top.file_name().unwrap_or_default().display()));
        let below = root.strip_prefix(top).expect("it is above the root");
        // What cannot be synced in a folder that nobody uses says nothing about another one.
        let disk = Disk::at(root, Arc::clone(watch));
        put(&disk, &prepared, &prepared.join(below).join("tmp"), top)?;
    }
    Ok(())
}

/// Makes `innermost`, which is below `prepared`, and gives that its name, durably, unless there is one of that name by now.
fn put(disk: &Disk, prepared: &Path, innermost: &Path, name: &Path) -> Result<()> {
    let dirs: Vec<&Path> = innermost.ancestors().take_while(|it| it.starts_with(prepared)).collect();
    let made = dirs.iter().rev().try_for_each(|it| disk.create_dir(it));
    let named = made.and_then(|()| {
        let renamed = disk.step(Step::Rename(prepared, name), || fs::rename(prepared, name));
        renamed.map_err(|e| errors::io("create the folder", name, &e))
    });
    match named {
        Ok(()) => {}
        Err(e) if !is_there(name) => return Err(e),
        Err(_) => {
            for it in dirs {
                let _ = disk.step(Step::Remove(it), || fs::remove_dir(it));
            }
        }
    }
    // Also where another one was faster: it may not have come this far.
    disk.sync_dir(parent(name))
}

fn unbegun(root: &Path, why: impl std::fmt::Display) -> Error {
    errors::absent(root, format_args!("{why}, as where a file system is not mounted")).with_help(format_args!(
        "see to it that its disk or server is mounted, then try again; where a new store is to begin there, run \
             `modelwatch store init --store {}` once",
        root.display()
    ))
}

/// The folder above a plain name is the current one.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound)
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut it| it.next().is_none())
}
