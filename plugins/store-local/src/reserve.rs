//! Room that is kept for what frees room: nothing is deleted before an entry of the log says so, and a disk that is full
//! takes none.
//!
//! It is a file that nobody reads. Whoever frees space and finds none to begin with removes it; the next writer that finds
//! much more room than it takes makes it anew.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use modelwatch_sdk::Result;
use modelwatch_store::{STORE_FILE, random_number};

use crate::{
    disk::{Disk, Step},
    errors,
};

const NAME: &str = "reserve";
/// How many times as much must be free as it takes, so that it never is what fills the disk.
const AMPLE: u64 = 4;

/// How many writers pass before it is tried again to make what could not be made.
const REST: u32 = 64;

/// The file, which is there or not: other processes give it up and make it, too.
pub(crate) struct Reserve {
    /// How many bytes are kept; 0 for none.
    size: u64,
    /// How many writers are still to pass.
    rest: AtomicU32,
}

impl Reserve {
    pub(crate) fn of(size: u64) -> Self {
        Self { size, rest: AtomicU32::new(0) }
    }

    /// Makes the file where there is a store without one and much more room than it takes. What goes wrong is no reason to
    /// write less.
    pub(crate) fn keep(&self, disk: &Disk) {
        if self.size == 0 {
            return;
        }
        let path = disk.root().join(NAME);
        let found = fs::symlink_metadata(&path);
        if found.as_ref().is_ok_and(|it| !it.is_file() || it.len() >= self.size) {
            return;
        }
        let rest = self.rest.load(Ordering::Relaxed);
        if rest > 0 {
            self.rest.store(rest - 1, Ordering::Relaxed);
            return;
        }
        let is_free = match found {
            // Whoever made it did not come to the end.
            Ok(_) => disk.is_there().is_ok() && disk.step(Step::Remove(&path), || fs::remove_file(&path)).is_ok(),
            Err(e) => e.kind() == io::ErrorKind::NotFound && disk.is_there().is_ok(),
        };
        // A folder with nothing but this in it would be taken for none of a store.
        if is_free && disk.root().join(STORE_FILE).is_file() && self.has_room(disk) && !self.make(disk, &path) {
            self.rest.store(REST, Ordering::Relaxed);
        }
    }

    fn has_room(&self, disk: &Disk) -> bool {
        may_be_as_long(self.size) && errors::free(disk.root()).is_some_and(|it| it / AMPLE >= self.size)
    }

    fn make(&self, disk: &Disk, path: &Path) -> bool {
        let Ok(mut file) = disk.step(Step::CreateFile(path), || File::create_new(path)) else { return false };
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
        disk.is_there()?;
        match disk.step(Step::Remove(&path), || fs::remove_file(&path)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(errors::io("remove", &path, &e)),
        }
    }
}

/// Returns whether this process may write a file of that size: the attempt to ends a process that may not.
fn may_be_as_long(size: u64) -> bool {
    #[cfg(unix)]
    if rustix::process::getrlimit(rustix::process::Resource::Fsize).current.is_some_and(|it| it < size) {
        return false;
    }
    let _ = size;
    true
}

/// Takes room for a file.
fn allocate(file: &mut File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        done => return done.map_err(io::Error::from),
    }
    // Bytes that no file system makes smaller.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        bytes.extend_from_slice(&random_number().to_le_bytes());
    }
    file.write_all(&bytes)
}
