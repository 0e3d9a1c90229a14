//! The wording of failed system calls: what was attempted, on which path, and what to do about it.

use std::{io, path::Path};

use modelwatch_sdk::{Error, ErrorKind};

/// Returns the error for a system call that failed; `attempt` completes "cannot …".
pub(crate) fn io(attempt: &str, path: &Path, error: &io::Error) -> Error {
    let kind = if is_full(error) { ErrorKind::NoSpace } else { ErrorKind::Io };
    let help = match error.kind() {
        _ if kind == ErrorKind::NoSpace => {
            "free space on that file system, or in the store with `modelwatch store prune`, which deletes nothing before the grace \
             period has passed (`--grace 0s` deletes at once), and try again; everything committed before is intact"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: make it writable, or point `path` elsewhere; reading still works"
        }
        io::ErrorKind::PermissionDenied => "give this user access to the store's folder; what is stored is intact",
        io::ErrorKind::NotFound => "check that nothing else removes files of the store or of its `tmp` folder",
        _ => "check the disk and the system's log; everything committed before is intact",
    };
    Error::new(kind, format!("cannot {attempt} `{}`: {error}", path.display())).with_help(help)
}

/// Returns the error for a file that a store which is there does not give back.
pub(crate) fn unreadable(attempt: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("cannot {attempt} `{}`, although the store answers: {error}", path.display());
    Error { kind: ErrorKind::Unreadable, message, ..corrupt(path, "") }
}

/// Returns the error for something below a folder that cannot be looked into: it may be sound.
pub(crate) fn beyond_reach(e: Error) -> Error {
    if e.kind != ErrorKind::Unreadable {
        return e;
    }
    Error { kind: ErrorKind::Io, ..e }
        .with_help("check the disk and the system's log; what is in the folder may be intact")
}

/// Returns the error for a store that is out of reach.
pub(crate) fn absent(root: &Path, why: impl std::fmt::Display) -> Error {
    Error::io(format!("the store `{}` is not there: {why}", root.display()))
        .with_help("see to it that its disk or server answers and is mounted, then try again")
}

/// Returns the error of a store in whose place there is something else. A process goes on with nothing but what it opened:
/// it knows what was in the logs there, and would add to others what does not follow from them.
pub(crate) fn replaced(root: &Path, why: impl std::fmt::Display) -> Error {
    absent(root, why).with_help(
        "see to it that its disk or server is mounted there; where it was mounted anew since this process opened the store, \
         as after an outage, start the process again, which then goes on with what is there; nothing was changed",
    )
}

/// Returns whether a file could not be read for a reason that may be its own, like a bad sector, or a checksum of the
/// file system that does not fit. Whoever may not read, or has too many files open, learns nothing about the file.
pub(crate) fn is_of_file(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        #[cfg(target_os = "linux")]
        let bad = [Errno::IO, Errno::BADMSG, Errno::ILSEQ, Errno::UCLEAN];
        #[cfg(not(target_os = "linux"))]
        let bad = [Errno::IO, Errno::BADMSG, Errno::ILSEQ];
        Errno::from_io_error(error).is_some_and(|it| bad.contains(&it))
    }
    #[cfg(not(unix))]
    {
        // ERROR_CRC, ERROR_SECTOR_NOT_FOUND, ERROR_FILE_CORRUPT and ERROR_DISK_CORRUPT of Windows.
        matches!(error.raw_os_error(), Some(23 | 27 | 1392 | 1393))
    }
}

/// Returns the error for bytes that could not be written.
pub(crate) fn write(path: &Path, needed: usize, error: &io::Error) -> Error {
    let mut res = io("write", path, error);
    if is_full(error) {
        let free = free(path).map_or_else(String::new, |it| format!(", {it} are free"));
        res.message = format!("{} ({needed} bytes were to be written{free})", res.message);
    }
    res
}

/// Returns the error for stored bytes that are not what was written.
pub(crate) fn corrupt(path: &Path, what: impl std::fmt::Display) -> Error {
    modelwatch_store::corrupt(path.display(), what)
}

/// A file system has no room, or this user none on it. `RLIMIT_FSIZE` counts as well.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Returns the bytes that this user may still write to the file system of `path`.
#[cfg(unix)]
pub(crate) fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
pub(crate) fn free(_: &Path) -> Option<u64> {
    None
}
