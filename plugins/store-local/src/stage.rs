//! The folder in `tmp/` in which one writer prepares files, and the removal of those left behind.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use modelwatch_sdk::{ErrorKind, Result};
use modelwatch_store::{Draft, Published, Stage, format::Digest, random_id};

use crate::{
    disk::{Disk, Step},
    errors,
};

/// A staged file is at most as long as a pack.
const MAX_STAGED: u64 = modelwatch_store::format::MAX_PACK;

/// A folder that goes when it is dropped. A file in it is locked, which tells [`sweep`] to spare it.
pub(crate) struct Staging {
    dir: PathBuf,
    disk: Arc<Disk>,
    _lock: File,
}

/// A file that is being written; it is of no use before it is finished.
struct StagedFile {
    path: PathBuf,
    file: File,
    disk: Arc<Disk>,
}

impl Staging {
    pub(crate) fn new(disk: &Arc<Disk>) -> Result<Self> {
        let tmp = disk.root().join("tmp");
        disk.ensure_dir(&tmp)?;
        let dir = tmp.join(random_id());
        let made = disk.step(Step::CreateDir(&dir), || fs::create_dir(&dir));
        made.map_err(|e| errors::io("create the folder", &dir, &e))?;
        let path = dir.join("lock");
        let made = disk.step(Step::CreateFile(&path), || File::create_new(&path));
        let lock = made.map_err(|e| errors::io("create", &path, &e))?;
        // A file system without locks leaves the age alone to spare the folder, which is safe as well:
        // a writer whose files were swept fails to link them.
        let _ = lock.try_lock();
        Ok(Self { dir, disk: Arc::clone(disk), _lock: lock })
    }
}

impl Stage for Staging {
    fn create(&self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(StagedFile::create(&self.disk, self.dir.join(name))?))
    }

    fn publish(&self, name: &str, key: &str) -> Result<Published> {
        let mut res = Published::Taken;
        self.publish_all(&[(name.to_owned(), key.to_owned())], &mut |_, it| {
            res = it;
            Ok(())
        })?;
        Ok(res)
    }

    fn publish_all(
        &self,
        files: &[(String, String)],
        each: &mut dyn FnMut(usize, Published) -> Result<()>,
    ) -> Result<()> {
        let path = |(name, key): &(String, String)| (self.dir.join(name), self.disk.root().join(key));
        let files: Vec<_> = files.iter().map(path).collect();
        for (at, is_new) in self.disk.publish(&files)?.into_iter().enumerate() {
            each(at, if is_new { Published::Created } else { Published::Taken })?;
        }
        Ok(())
    }

    fn replace(&self, name: &str, key: &str) -> Result<()> {
        let to = self.disk.root().join(key);
        self.disk.ensure_dir(to.parent().expect("a key is below the root"))?;
        self.disk.keep_aside(&to, key)?;
        self.disk.replace(&self.dir.join(name), &to)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.disk.read(&self.dir.join(name), MAX_STAGED)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.disk, &self.dir);
    }
}

impl StagedFile {
    fn create(disk: &Arc<Disk>, path: PathBuf) -> Result<Self> {
        let made = disk.step(Step::CreateFile(&path), || File::create_new(&path));
        let file = made.map_err(|e| errors::io("create", &path, &e))?;
        Ok(Self { path, file, disk: Arc::clone(disk) })
    }
}

impl Draft for StagedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let (file, path) = (&mut self.file, &self.path);
        self.disk.step(Step::Write(path), || file.write_all(bytes)).map_err(|e| errors::write(path, bytes.len(), &e))
    }

    /// Makes the bytes durable. The file is closed either way: after a failed sync the system may have
    /// dropped the bytes, and a second sync would claim success. So they are written once more, to another file; where
    /// that fails too, this process writes no more.
    fn finish(self: Box<Self>, digest: Digest) -> Result<()> {
        let Self { path, file, disk } = *self;
        let Err(e) = disk.sync(Step::SyncFile(&path), || file.sync_all()) else {
            return Ok(());
        };
        drop(file);
        let again = write_again(&disk, &path, digest);
        match again {
            Ok(true) => Ok(()),
            // Without space, nothing is wrong with the disk.
            Err(e) if e.kind == ErrorKind::NoSpace => Err(e),
            Ok(false) | Err(_) => {
                disk.degrade();
                Err(errors::io("sync", &path, &e).with_help(
                    "check the disk and the system's log, then start again: twice it did not take what was written; \
                     everything acknowledged is intact",
                ))
            }
        }
    }
}

/// Writes a file once more from the memory of the system, and syncs that. Returns whether the bytes were still there.
fn write_again(disk: &Arc<Disk>, path: &Path, digest: Digest) -> Result<bool> {
    let bytes = disk.read(path, MAX_STAGED)?.unwrap_or_default();
    if Digest::of(&bytes) != digest {
        return Ok(false);
    }
    let mut again = StagedFile::create(disk, path.with_extension("again"))?;
    again.append(&bytes)?;
    let StagedFile { path: from, file, .. } = again;
    disk.sync(Step::SyncFile(&from), || file.sync_all()).map_err(|e| errors::io("sync", &from, &e))?;
    disk.step(Step::Rename(&from, path), || fs::rename(&from, path)).map_err(|e| errors::io("rename", &from, &e))?;
    Ok(true)
}

/// Removes staged folders that are older than `grace` and whose writer is gone. Failures do no harm.
pub(crate) fn sweep(disk: &Disk, now: u64, grace: Duration) {
    let tmp = disk.root().join("tmp");
    for name in disk.list(&tmp).unwrap_or_default() {
        let dir = tmp.join(name);
        let Ok(found) = fs::symlink_metadata(&dir) else {
            continue;
        };
        let age = || Duration::from_secs(now).checked_sub(found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?);
        if found.is_dir() && age().is_some_and(|it| it > grace) && is_abandoned(&dir.join("lock")) {
            remove(disk, &dir);
        }
    }
}

fn is_abandoned(lock: &Path) -> bool {
    match fs::symlink_metadata(lock) {
        Ok(it) if it.is_file() => {
            File::open(lock).is_ok_and(|it| !matches!(it.try_lock(), Err(TryLockError::WouldBlock)))
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

/// Removes a flat folder; what cannot be removed stays for the next sweep.
fn remove(disk: &Disk, dir: &Path) {
    for it in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = it.path();
        let _ = disk.step(Step::Remove(&path), || fs::remove_file(&path));
    }
    let _ = disk.step(Step::Remove(dir), || fs::remove_dir(dir));
}
