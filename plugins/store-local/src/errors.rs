//! The wording of failures: what was attempted, on which path, and what to do about it.

use std::{io, path::Path};

use modelwatch_sdk::{Error, ErrorKind};

/// Returns the error for a system call that failed; `attempt` completes "cannot …".
pub(crate) fn io(attempt: &str, path: &Path, error: &io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on that file system and try again; everything committed before is intact"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: make it writable, or point `path` elsewhere; reading still works"
        }
        io::ErrorKind::PermissionDenied => "give this user access to the store's folder; what is stored is intact",
        io::ErrorKind::NotFound => "check that nothing else removes files of the store or of its `tmp` folder",
        _ => "check the disk and the system's log; everything committed before is intact",
    };
    Error::io(format!("cannot {attempt} `{}`: {error}", path.display())).with_help(help)
}

/// Returns the error for stored bytes that are not what was written.
pub(crate) fn corrupt(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{}` {what}", path.display()))
        .with_help("put the file back from a copy of the store, or commit the checkpoint again")
}

/// Returns the error for something that a newer version wrote.
pub(crate) fn too_new(path: &Path, what: impl std::fmt::Display, writer: &str) -> Error {
    let by = if writer.is_empty() { String::new() } else { format!(", written by {writer}") };
    Error::new(ErrorKind::Input, format!("`{}` {what}{by}", path.display()))
        .with_help("use a version of modelwatch at least as new as the one that wrote it")
}
