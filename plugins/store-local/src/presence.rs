//! Whether the store is still where it was opened.
//!
//! A server that is down, a disk that was pulled and a file system that is no longer mounted look like files that cannot be
//! read or are not there. They say nothing about any file.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
    sync::OnceLock,
};

use modelwatch_sdk::Result;
use modelwatch_store::{
    STORE_FILE,
    format::{self, MAX_STORE_FILE},
};

use crate::{disk::Watch, errors};

/// How many files of a store whose `store.json` cannot be read are asked for instead.
const N_ASKED: usize = 8;

/// By what the folder of a store is known again.
#[derive(Default)]
pub(crate) struct Presence {
    /// Device and inode, where there are such.
    identity: Option<(u64, u64)>,
    /// Whether it had its `store.json`.
    has_file: bool,
    /// The id in that, once it could be read. Two disks that are mounted in turn may have the same device and inode.
    store_id: OnceLock<String>,
}

impl Presence {
    pub(crate) fn of(root: &Path, found: &Metadata) -> Self {
        Self {
            identity: identity(found),
            has_file: root.join(STORE_FILE).exists(),
            store_id: store_id(root).map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// Fails unless the folder is the one that was opened, so that what is not in it is missing.
    pub(crate) fn is_there(&self, root: &Path) -> Result<()> {
        let found = fs::metadata(root).map_err(|e| errors::absent(root, e))?;
        if identity(&found) != self.identity {
            return Err(errors::replaced(
                root,
                "another folder is in its place, as where it is not mounted, or mounted anew",
            ));
        }
        // What is damaged is for others to tell.
        if let Some(it) = store_id(root)
            && *self.store_id.get_or_init(|| it.clone()) != it
        {
            return Err(errors::replaced(root, format_args!("one with another `{STORE_FILE}` is in its place")));
        }
        match fs::symlink_metadata(root.join(STORE_FILE)) {
            Err(e) if self.has_file => Err(errors::absent(root, format_args!("`{STORE_FILE}`, which it had: {e}"))),
            _ => Ok(()),
        }
    }

    /// Fails unless the folder is the one that was opened and gives a file back: `store.json`, or where that is what
    /// cannot be read, one of the logs.
    pub(crate) fn answers(&self, root: &Path, watch: &dyn Watch) -> Result<()> {
        self.is_there(root)?;
        let read = |path: &Path| watch.read(path).and_then(|()| read_from_device(path));
        let Err(e) = read(&root.join(STORE_FILE)) else { return Ok(()) };
        let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|it| it.path());
        let mut others = entries(&root.join("log")).flat_map(|it| entries(&it).collect::<Vec<_>>()).take(N_ASKED);
        if others.any(|it| read(&it).is_ok()) { Ok(()) } else { Err(errors::absent(root, e)) }
    }
}

fn store_id(root: &Path) -> Option<String> {
    let path = root.join(STORE_FILE);
    // To open a pipe would wait for its other end.
    if !fs::symlink_metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_STORE_FILE).read_to_end(&mut bytes).ok()?;
    format::store_id(&bytes)
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Reads the beginning of a file, not from the memory of the system, which has it also when the device is gone.
fn read_from_device(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    file.read(&mut [0; 1]).map(drop)
}
