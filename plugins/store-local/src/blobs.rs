//! A folder as the place of a store's files.

use std::{
    any::Any,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use modelwatch_sdk::Result;
use modelwatch_store::{Blobs, Stage, Stat, random_number};

use crate::{
    disk::{Disk, Step, Watch},
    errors,
    reserve::Reserve,
    stage,
};

/// How a process treats others that use the folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How long a writer waits for the one before it.
    pub(crate) courtesy: Duration,
    /// How old abandoned staged files get.
    pub(crate) grace: Duration,
    /// How many bytes are kept free for what frees others.
    pub(crate) reserve: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self { courtesy: Duration::from_secs(10), grace: Duration::from_secs(24 * 60 * 60), reserve: 4 << 20 }
    }
}

/// The files below a folder.
pub(crate) struct Folder {
    disk: Arc<Disk>,
    courtesy: Duration,
    reserve: Reserve,
}

impl Folder {
    /// Opens the folder, making it if it does not exist, and tidies up after writers that are gone.
    pub(crate) fn open(path: &Path, watch: Arc<dyn Watch>, manners: Manners, clock: fn() -> u64) -> Result<Self> {
        let disk = Arc::new(Disk::open(path, watch)?);
        if disk.root().join(modelwatch_store::STORE_FILE).is_file() {
            stage::sweep(&disk, clock(), manners.grace);
        } else {
            disk.settle_root();
        }
        Ok(Self { disk, courtesy: manners.courtesy, reserve: Reserve::of(manners.reserve) })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.disk.root().join(key)
    }
}

impl Blobs for Folder {
    fn locate(&self, key: &str) -> String {
        if key.is_empty() { self.disk.root().display().to_string() } else { self.path(key).display().to_string() }
    }

    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        self.disk.read(&self.path(key), cap)
    }

    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        self.disk.read_at(&self.path(key), offset, out)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>> {
        let path = self.path(key);
        let Some(found) = self.disk.look(&path)? else {
            return Ok(None);
        };
        let modified = found.modified().map_err(|e| errors::io("look at", &path, &e))?;
        let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        Ok(Some(Stat { size: found.len(), modified }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        // A stray file where folders are is not listed into.
        if path.is_file() { Ok(Vec::new()) } else { self.disk.list(&path) }
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        self.reserve.keep(&self.disk);
        Ok(Box::new(stage::Staging::new(&self.disk)?))
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        match self.disk.step(Step::Remove(&path), || fs::remove_file(&path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(errors::io("remove", &path, &e)),
            _ => Ok(()),
        }
    }

    fn quarantine(&self, key: &str) -> Result<()> {
        self.disk.replace(&self.path(key), &self.disk.aside(key)?)
    }

    fn give_up_reserve(&self) -> Result<bool> {
        self.reserve.give_up(&self.disk)
    }

    fn settle(&self, folder: &str) -> Result<()> {
        let path = self.path(folder);
        if self.disk.look(&path)?.is_some() { self.disk.sync_dir(&path) } else { Ok(()) }
    }

    fn wait_in_line(&self, folder: &str) -> Result<Option<Box<dyn Any>>> {
        let path = self.path(folder);
        self.disk.ensure_dir(&path)?;
        let Ok(file) = File::open(path) else {
            return Ok(None);
        };
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(file))),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < self.courtesy => {
                    thread::sleep(Duration::from_millis(1 + random_number() % 8));
                }
                Err(_) => return Ok(None),
            }
        }
    }
}
