//! The wording of failed system calls: what was attempted, on which path, and what to do about it.

use std::{io, path::Path};

use modelwatch_sdk::Error;

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
    modelwatch_store::corrupt(path.display(), what)
}
