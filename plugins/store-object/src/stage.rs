//! Files that wait in memory until they are written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use modelwatch_sdk::{Error, Result};
use modelwatch_store::{Draft, Published, Stage, format::Digest};
use object_store::PutPayload;

use crate::bucket::Connection;

/// The files of one writer.
pub(crate) struct Staging {
    connection: Arc<Connection>,
    files: Files,
}

type Files = Arc<Mutex<Staged>>;

#[derive(Default)]
struct Staged {
    files: HashMap<String, PutPayload>,
    /// The file whose key was taken. Whoever finds the key's owner damaged puts this in its place, at once or never.
    spent: Option<String>,
}

struct StagedFile {
    name: String,
    bytes: Vec<u8>,
    files: Files,
}

impl Staging {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        Self { connection: Arc::clone(connection), files: Files::default() }
    }

    fn get(&self, name: &str) -> Result<PutPayload> {
        let staged = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        staged.files.get(name).cloned().ok_or_else(|| Error::input(format!("there is no staged file `{name}`")))
    }
}

impl Stage for Staging {
    fn create(&self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(StagedFile { name: name.to_owned(), bytes: Vec::new(), files: Arc::clone(&self.files) }))
    }

    fn publish(&self, name: &str, key: &str) -> Result<Published> {
        let payload = self.get(name)?;
        let res = self.connection.create(key, &payload)?;
        let mut staged = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = staged.spent.take_if(|it| it != name) {
            staged.files.remove(&it);
        }
        match res {
            Published::Created => drop(staged.files.remove(name)),
            Published::Taken => staged.spent = Some(name.to_owned()),
            // It may be tried again.
            Published::Unknown(_) => {}
        }
        Ok(res)
    }

    fn replace(&self, name: &str, key: &str) -> Result<()> {
        self.connection.overwrite(key, &self.get(name)?)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let staged = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(staged.files.get(name).map(|it| it.iter().flatten().copied().collect()))
    }

    fn is_roomy(&self) -> bool {
        false
    }
}

impl Draft for StagedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, _: Digest) -> Result<()> {
        let mut staged = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        staged.files.insert(self.name, self.bytes.into());
        Ok(())
    }
}
