//! A file that is there whole or not at all.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Opens a file to be read, and nothing that may keep its reader waiting, as a pipe without a writer does.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}

/// Returns a file beside the one that is to be, to be written.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    // In the same folder, since a rename does not leave a file system.
    tempfile::Builder::new().prefix(".writing-").tempfile_in(folder(path))
}

/// Makes a written file durable and gives it its name.
///
/// # Errors
/// Of the kind [`io::ErrorKind::AlreadyExists`] where there is one of that name, which is not to be replaced.
pub(crate) fn publish(file: NamedTempFile, path: &Path, replace: bool) -> io::Result<()> {
    readable(file.as_file()).and_then(|()| file.as_file().sync_all())?;
    let named = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    named.map_err(|e| e.error)?;
    settle(path);
    Ok(())
}

/// Makes the name of a file or folder durable, which it is with the folder that it is in. Where a folder cannot be
/// synced there is nothing more to do.
pub(crate) fn settle(path: &Path) {
    if let Ok(dir) = File::open(folder(path)) {
        let _ = dir.sync_all();
    }
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the one path of a file, without links, also of one that is yet to be written.
pub(crate) fn canonical(path: &Path) -> PathBuf {
    let of = |above: &Path| {
        let there = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        Some(there.canonicalize().ok()?.join(path.strip_prefix(above).ok()?))
    };
    path.ancestors().find_map(of).unwrap_or_else(|| path.to_owned())
}

/// How much of a file is looked at to tell whether it is a report.
const HEAD: u64 = 64;

/// Finds out whether what is there, if anything, is an earlier report of that kind, as far as its first bytes tell. What is no regular
/// file, such as a device or a pipe, would be replaced by one.
///
/// # Errors
/// Where it is something else, or cannot be read.
pub fn replaceable(path: &Path, kind: &str) -> io::Result<()> {
    let starts: &[&str] = match kind {
        "html" => &["<!doctype html>"],
        "junit" => &["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"],
        "json" => &["{\n  \"run_id\""],
        _ => &["## ✅ ", "## ❌ "],
    };
    match path.metadata() {
        Ok(it) if it.is_file() => {}
        Ok(it) if !it.is_dir() => return Err(io::Error::other("it is no regular file, and would be replaced by one")),
        // That a folder is no report is told when it is to be written.
        _ => return Ok(()),
    }
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    if head.is_empty() || starts.iter().any(|it| head.starts_with(it.as_bytes())) {
        return Ok(());
    }
    Err(io::Error::other("there is another file, which is no such report"))
}

/// Returns whether the file, or a folder that would be made for it, would be the first thing in a folder that is there: that may
/// be the place of a file system that is not mounted.
pub fn is_first_in_its_folder(path: &Path) -> bool {
    let above = path.ancestors().skip(1).map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
    let nearest = above.into_iter().find(|it| it.exists());
    nearest.is_some_and(|it| it.read_dir().is_ok_and(|mut it| it.next().is_none()))
}

/// Temporary files are their owner's alone; what is published is for everyone who may see the folder.
#[cfg(unix)]
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &File) -> io::Result<()> {
    Ok(())
}
