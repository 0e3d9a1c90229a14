//! Room that is kept for what frees room: nothing is deleted before an entry of the log says so, and a disk that is full
//! takes none.
//!
//! It is a file that nobody reads. Whoever frees space and finds none to begin with removes it; the next writer that finds
//! much more room than it takes makes it anew.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use modelwatch_sdk::Result;
use modelwatch_store::random_number;

use crate::{
    disk::{Disk, Step},
    errors,
};

const NAME: &str = "reserve";
/// How many times as much must be free as it takes, so that it never is what fills the disk.
const AMPLE: u64 = 4;

/// The file, which is there or not.
pub(crate) struct Reserve {
    /// How many bytes are kept; 0 for none.
    size: u64,
    is_there: AtomicBool,
}

impl Reserve {
    pub(crate) fn of(size: u64) -> Self {
        Self { size, is_there: AtomicBool::new(size == 0) }
    }

    /// Makes the file where there is none and much more room than it takes. What goes wrong is no reason to write less.
    pub(crate) fn keep(&self, disk: &Disk) {
        if self.is_there.load(Ordering::Relaxed) {
            return;
        }
        let path = disk.root().join(NAME);
        let is_there = match fs::symlink_metadata(&path) {
            Ok(it) if it.is_file() && it.len() < self.size => {
                // Whoever made it did not come to the end.
                disk.step(Step::Remove(&path), || fs::remove_file(&path)).is_ok() && self.make(disk, &path)
            }
            Ok(it) => it.is_file(),
            Err(e) => e.kind() == io::ErrorKind::NotFound && self.make(disk, &path),
        };
        self.is_there.store(is_there, Ordering::Relaxed);
    }

    fn make(&self, disk: &Disk, path: &Path) -> bool {
        let is_ample = errors::free(disk.root()).is_some_and(|it| it / AMPLE >= self.size);
        let Some(mut file) =
            is_ample.then(|| disk.step(Step::CreateFile(path), || File::create_new(path)).ok()).flatten()
        else {
            return false;
        };
        let is_made = disk.step(Step::Write(path), || allocate(&mut file, self.size)).is_ok();
        if !is_made {
            let _ = disk.step(Step::Remove(path), || fs::remove_file(path));
        }
        is_made
    }

    /// Removes the file. Returns whether there was one.
    pub(crate) fn give_up(&self, disk: &Disk) -> Result<bool> {
        if self.size == 0 {
            return Ok(false);
        }
        let path = disk.root().join(NAME);
        self.is_there.store(false, Ordering::Relaxed);
        match disk.step(Step::Remove(&path), || fs::remove_file(&path)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(errors::io("remove", &path, &e)),
        }
    }
}

/// Takes room for a file.
fn allocate(file: &mut File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, size).is_ok() {
        return Ok(());
    }
    // Bytes that no file system makes smaller.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        bytes.extend_from_slice(&random_number().to_le_bytes());
    }
    file.write_all(&bytes)
}
