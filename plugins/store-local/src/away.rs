//! A replica that cannot be reached. Nothing is known of what it has.

use modelwatch_sdk::{Error, Result};
use modelwatch_store::{Blobs, Stage, Stat};

/// Answers everything with the error with which it could not be opened.
pub(crate) struct Away {
    pub(crate) path: String,
    pub(crate) why: Error,
}

impl Away {
    fn fail<T>(&self) -> Result<T> {
        Err(self.why.clone())
    }
}

impl Blobs for Away {
    fn locate(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    fn read(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>> {
        self.fail()
    }

    fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> Result<()> {
        self.fail()
    }

    fn stat(&self, _: &str) -> Result<Option<Stat>> {
        self.fail()
    }

    fn list(&self, _: &str) -> Result<Vec<String>> {
        self.fail()
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        self.fail()
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.fail()
    }

    fn quarantine(&self, _: &str) -> Result<()> {
        self.fail()
    }
}
