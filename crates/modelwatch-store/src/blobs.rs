//! Where the files of a store are: a folder, a bucket, or memory.
//!
//! A *key* is a path of plain components joined by `/`, as [`crate::format`] lists them. Whoever
//! implements [`Blobs`] decides what durable means there; the engine decides what is written, in which
//! order, and what is believed of what is read.

use std::any::Any;

use modelwatch_sdk::{Error, Result};

use crate::format::Digest;

/// Keeps immutable files under keys. The only way to commit anything is to give a file a key that was free.
///
/// A failure to read says by its kind whose fault it is. `Corrupt` is about that one file, and stays: it is not plain, too
/// short or too long. So is `Unreadable`: the device gives others back, and not this one. Of such a file others can be made
/// good. Every other kind is about the whole place or about now, such as a network that is down, a folder that may not be
/// read or one that is not mounted: whoever gets it changes nothing on the strength of it. Where the whole place is
/// missing, every file of it seems to be: that is such a failure as well, and not `None`.
pub trait Blobs: Send + Sync {
    /// Returns how messages call the file of that key: its path or address.
    fn locate(&self, key: &str) -> String;

    /// Returns the whole file, or `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read; `Corrupt` or `Unreadable` where that is the file's own fault, or it has more than `cap` bytes.
    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>>;

    /// Fills `out` from `offset` of the file.
    ///
    /// # Errors
    /// As [`read`](Self::read); `Corrupt` where the file is missing or ends before that.
    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Returns the size of the file and when it was written, or `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn stat(&self, key: &str) -> Result<Option<Stat>>;

    /// Returns the names directly below a folder, of files and folders alike, sorted; none if it does not exist.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Returns a place in which one writer prepares files. It goes when it is dropped.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn stage(&self) -> Result<Box<dyn Stage>>;

    /// Removes the file; nothing happens if there is none. Only what no one can refer to is ever removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, key: &str) -> Result<()>;

    /// Puts the file out of the way, below `quarantine/`, without losing a byte of it.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn quarantine(&self, key: &str) -> Result<()>;

    /// Gives up what is kept free for what frees space, where nothing can be written for want of it. Returns whether there was
    /// any.
    ///
    /// # Errors
    /// When that fails.
    fn give_up_reserve(&self) -> Result<bool> {
        Ok(false)
    }

    /// Makes what *others* put into a folder as durable as what this process put there.
    ///
    /// # Errors
    /// When that fails.
    fn settle(&self, folder: &str) -> Result<()> {
        let _ = folder;
        Ok(())
    }

    /// Waits for another writer of the folder, as a courtesy that saves retries; the turn ends when the value
    /// is dropped. Correctness never depends on it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    fn wait_in_line(&self, folder: &str) -> Result<Option<Box<dyn Any>>> {
        let _ = folder;
        Ok(None)
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The size in bytes.
    pub size: u64,
    /// Seconds since 1970 by the clock of whoever keeps the file.
    pub modified: u64,
}

/// A place in which one writer prepares files before they get their keys.
pub trait Stage: Send {
    /// Starts a file.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn create(&self, name: &str) -> Result<Box<dyn Draft>>;

    /// Gives the finished file `name` its key, durably, unless the key is taken.
    ///
    /// # Errors
    /// When it certainly did not happen. What is uncertain is [`Published::Unknown`].
    fn publish(&self, name: &str, key: &str) -> Result<Published>;

    /// Gives finished files, each with its name and key, their keys in any order. `each` is told the position of one and what
    /// became of it. A place where that takes less time than one after the other does it at once.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish) and of `each`. Any of the files may have its key then, and one that `each` was not
    /// told of may lose it again.
    fn publish_all(
        &self,
        files: &[(String, String)],
        each: &mut dyn FnMut(usize, Published) -> Result<()>,
    ) -> Result<()> {
        for (at, (name, key)) in files.iter().enumerate() {
            each(at, self.publish(name, key)?)?;
        }
        Ok(())
    }

    /// Puts the finished file `name` in the place of a damaged one, durably. At every moment one of both is there, and
    /// what was there stays below `quarantine/`.
    ///
    /// # Errors
    /// When that fails.
    fn replace(&self, name: &str, key: &str) -> Result<()>;

    /// Returns the whole file `name`, or `None` where it was not kept after it was published.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Returns whether finished files wait here at no cost in memory until they are published.
    fn is_roomy(&self) -> bool {
        true
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut draft = self.create(name)?;
        draft.append(bytes)?;
        draft.finish(Digest::of(bytes))
    }
}

/// A file that is being written.
pub trait Draft: Send {
    /// Appends to it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the bytes durable, as far as they can be before they have a key. Their digest is given, so that who has to
    /// write them once more can tell whether they are still what was appended.
    ///
    /// # Errors
    /// When that fails; the file is of no use then.
    fn finish(self: Box<Self>, digest: Digest) -> Result<()>;
}

/// What became of an attempt to give a file its key.
#[derive(Debug)]
#[must_use]
pub enum Published {
    /// It has the key.
    Created,
    /// The key was taken, possibly by an earlier attempt of the same writer whose reply was lost.
    Taken,
    /// Nobody knows yet: the answer did not come. Looking at the key tells, later if not now.
    Unknown(Error),
}
