//! The wording of failures: which file, what is wrong with it, and what to do about it.

use std::fmt::Display;

use modelwatch_sdk::{Error, ErrorKind, store::CheckpointId};

/// Returns the error for stored bytes that are not what was written; `place` is the file's path or address.
pub fn corrupt(place: impl Display, what: impl Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{place}` {what}"))
        .with_help("put the file back from a copy of the store, or commit the checkpoint again")
}

/// Returns the error with what mends the damage that it tells of; of one that tells of another failure it would mend nothing.
pub(crate) fn mendable(e: Error, help: &str) -> Error {
    if e.is_damage() { e.with_help(help) } else { e }
}

/// Returns the error for something that a newer version wrote.
pub(crate) fn too_new(place: impl Display, what: impl Display, writer: &str) -> Error {
    let by = if writer.is_empty() { String::new() } else { format!(", written by {writer}") };
    Error::new(ErrorKind::Input, format!("`{place}` {what}{by}"))
        .with_help("use a version of modelwatch at least as new as the one that wrote it")
}

/// Returns the error for a checkpoint whose step another writer was faster with.
pub(crate) fn step_exists(lineage: &str, step: impl Display, other: &CheckpointId) -> Error {
    let what = format!("step {step} of `{lineage}` was stored meanwhile by another writer, with other content");
    Error::new(ErrorKind::Conflict, format!("{what} ({})", other.short())).with_help(
        "give each training a lineage of its own; if this one is to count, store it again, which takes it for a restart",
    )
}
