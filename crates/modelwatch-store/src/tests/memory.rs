//! A place in memory whose replies get lost, and at which a test can let others come between.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use modelwatch_sdk::{Error, Result};

use crate::{
    blobs::{Blobs, Draft, Published, Stage, Stat},
    errors,
    format::Digest,
};

/// What happens to an attempt to give a file its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is answered truly.
    Answered,
    /// It happens, and the answer is lost.
    LostAfter,
    /// It does not happen, and the answer is lost.
    LostBefore,
    /// It happens later, when the next file is published, and the answer is lost.
    Late,
}

type Hook = Box<dyn Fn(&str) -> Fate + Send + Sync>;
type OnRead = Arc<dyn Fn(&str) + Send + Sync>;
type OnReadAt = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Memory(Arc<Inner>);

struct Inner {
    files: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    late: Mutex<Vec<(String, Vec<u8>)>>,
    /// Asked before each publication.
    hook: Mutex<Option<Arc<Hook>>>,
    /// Called before each file is read.
    on_read: Mutex<Option<OnRead>>,
    /// Asked before each part of a file is read.
    on_read_at: Mutex<Option<OnReadAt>>,
    is_roomy: bool,
    is_unreachable: Mutex<bool>,
    clock: AtomicU64,
    n_reads: AtomicUsize,
    n_bytes_read: AtomicUsize,
    n_listed: AtomicUsize,
    n_requests: AtomicUsize,
}

impl Memory {
    pub(super) fn new(is_roomy: bool) -> Self {
        Self(Arc::new(Inner {
            files: Mutex::default(),
            late: Mutex::default(),
            hook: Mutex::default(),
            on_read: Mutex::default(),
            on_read_at: Mutex::default(),
            is_roomy,
            is_unreachable: Mutex::new(false),
            clock: AtomicU64::new(super::NOW),
            n_reads: AtomicUsize::new(0),
            n_bytes_read: AtomicUsize::new(0),
            n_listed: AtomicUsize::new(0),
            n_requests: AtomicUsize::new(0),
        }))
    }

    /// Calls `hook` before each publication from now on.
    pub(super) fn on_publish(&self, hook: impl Fn(&str) -> Fate + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap() = Some(Arc::new(Box::new(hook)));
    }

    /// Calls `hook` before each file is read from now on.
    pub(super) fn on_read(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        *self.0.on_read.lock().unwrap() = Some(Arc::new(hook));
    }

    /// Asks `hook` before each part of a file is read from now on. An error takes the place of the bytes.
    pub(super) fn on_read_at(&self, hook: impl Fn(&str) -> Result<()> + Send + Sync + 'static) {
        *self.0.on_read_at.lock().unwrap() = Some(Arc::new(hook));
    }

    pub(super) fn answer_truly(&self) {
        *self.0.hook.lock().unwrap() = None;
    }

    pub(super) fn set_unreachable(&self, it: bool) {
        *self.0.is_unreachable.lock().unwrap() = it;
    }

    pub(super) fn set_clock(&self, seconds: u64) {
        self.0.clock.store(seconds, Ordering::Relaxed);
    }

    pub(super) fn n_reads(&self) -> usize {
        self.0.n_reads.load(Ordering::Relaxed)
    }

    /// How many bytes of parts of files were read.
    pub(super) fn n_bytes_read(&self) -> usize {
        self.0.n_bytes_read.load(Ordering::Relaxed)
    }

    /// How often anything was asked of it: to read, to look, to list, to publish or to remove.
    pub(super) fn n_requests(&self) -> usize {
        self.0.n_requests.load(Ordering::Relaxed)
    }

    /// How many names were given in answer to what there is.
    pub(super) fn n_listed(&self) -> usize {
        self.0.n_listed.load(Ordering::Relaxed)
    }

    pub(super) fn keys(&self, part: &str) -> Vec<String> {
        self.0.files.lock().unwrap().keys().filter(|it| it.contains(part)).cloned().collect()
    }

    pub(super) fn size(&self, part: &str) -> u64 {
        let files = self.0.files.lock().unwrap();
        files.iter().filter(|it| it.0.contains(part)).map(|it| it.1.0.len() as u64).sum()
    }

    /// Puts a file there past all rules.
    pub(super) fn put(&self, key: &str, bytes: Vec<u8>) {
        let now = self.0.clock.load(Ordering::Relaxed);
        self.0.files.lock().unwrap().insert(key.to_owned(), (bytes, now));
    }

    pub(super) fn take(&self, key: &str) -> Option<Vec<u8>> {
        self.0.files.lock().unwrap().remove(key).map(|it| it.0)
    }

    pub(super) fn get(&self, key: &str) -> Vec<u8> {
        self.0.files.lock().unwrap()[key].0.clone()
    }

    pub(super) fn copy(&self) -> Self {
        let res = Self::new(self.0.is_roomy);
        *res.0.files.lock().unwrap() = self.0.files.lock().unwrap().clone();
        res
    }

    fn reachable(&self) -> Result<()> {
        self.0.n_requests.fetch_add(1, Ordering::Relaxed);
        if *self.0.is_unreachable.lock().unwrap() { Err(Error::io("no answer").with_help("wait")) } else { Ok(()) }
    }

    fn create(&self, key: &str, bytes: &[u8]) -> bool {
        let now = self.0.clock.load(Ordering::Relaxed);
        let mut files = self.0.files.lock().unwrap();
        let is_free = !files.contains_key(key);
        if is_free {
            files.insert(key.to_owned(), (bytes.to_vec(), now));
        }
        is_free
    }
}

impl Blobs for Memory {
    fn locate(&self, key: &str) -> String {
        format!("memory:{key}")
    }

    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        self.reachable()?;
        // Not held while it is called: it may use the store.
        let hook = self.0.on_read.lock().unwrap().clone();
        hook.into_iter().for_each(|it| it(key));
        self.0.n_reads.fetch_add(1, Ordering::Relaxed);
        let found = self.0.files.lock().unwrap().get(key).map(|it| it.0.clone());
        assert!(found.as_ref().is_none_or(|it| it.len() as u64 <= cap));
        Ok(found)
    }

    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        self.reachable()?;
        let hook = self.0.on_read_at.lock().unwrap().clone();
        hook.map_or(Ok(()), |it| it(key))?;
        let files = self.0.files.lock().unwrap();
        let Some((bytes, _)) = files.get(key) else {
            return Err(errors::corrupt(self.locate(key), "is missing"));
        };
        match bytes.get(offset as usize..).and_then(|it| it.get(..out.len())) {
            Some(it) => {
                self.0.n_bytes_read.fetch_add(out.len(), Ordering::Relaxed);
                out.copy_from_slice(it);
                Ok(())
            }
            None => Err(errors::corrupt(self.locate(key), "is cut off")),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>> {
        self.reachable()?;
        let files = self.0.files.lock().unwrap();
        Ok(files.get(key).map(|it| Stat { size: it.0.len() as u64, modified: it.1 }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.reachable()?;
        let prefix = format!("{folder}/");
        let files = self.0.files.lock().unwrap();
        let below = files.keys().filter_map(|it| it.strip_prefix(&prefix)?.split('/').next());
        let mut res: Vec<String> = below.map(str::to_owned).collect();
        res.dedup();
        self.0.n_listed.fetch_add(res.len(), Ordering::Relaxed);
        Ok(res)
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(MemoryStage { memory: self.clone(), files: Arc::default() }))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.reachable()?;
        self.take(key);
        Ok(())
    }

    fn quarantine(&self, key: &str) -> Result<()> {
        let bytes = self.take(key).unwrap();
        self.put(&format!("quarantine/{}", key.replace('/', "-")), bytes);
        Ok(())
    }
}

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

struct MemoryStage {
    memory: Memory,
    files: Files,
}

impl Stage for MemoryStage {
    fn create(&self, name: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(MemoryDraft { name: name.to_owned(), bytes: Vec::new(), files: Arc::clone(&self.files) }))
    }

    fn publish(&self, name: &str, key: &str) -> Result<Published> {
        for (key, bytes) in std::mem::take(&mut *self.memory.0.late.lock().unwrap()) {
            self.memory.create(&key, &bytes);
        }
        // Not held while it is called: it may use the store.
        let hook = self.memory.0.hook.lock().unwrap().clone();
        self.memory.0.n_requests.fetch_add(1, Ordering::Relaxed);
        let fate = hook.map_or(Fate::Answered, |it| it(key));
        let bytes = self.files.lock().unwrap()[name].clone();
        if !self.is_roomy() {
            self.files.lock().unwrap().remove(name);
        }
        let lost = || Published::Unknown(Error::io("the connection was closed"));
        let res = match fate {
            Fate::Answered if self.memory.create(key, &bytes) => Published::Created,
            Fate::Answered => Published::Taken,
            Fate::LostAfter => {
                self.memory.create(key, &bytes);
                lost()
            }
            Fate::LostBefore => lost(),
            Fate::Late => {
                self.memory.0.late.lock().unwrap().push((key.to_owned(), bytes.clone()));
                lost()
            }
        };
        if fate != Fate::Answered {
            // It may be tried again.
            self.files.lock().unwrap().insert(name.to_owned(), bytes);
        }
        Ok(res)
    }

    fn replace(&self, name: &str, key: &str) -> Result<()> {
        let bytes = self.files.lock().unwrap()[name].clone();
        if self.memory.keys("").iter().any(|it| it == key) {
            self.memory.quarantine(key)?;
        }
        self.memory.put(key, bytes);
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(name).cloned())
    }

    fn is_roomy(&self) -> bool {
        self.memory.0.is_roomy
    }
}

struct MemoryDraft {
    name: String,
    bytes: Vec<u8>,
    files: Files,
}

impl Draft for MemoryDraft {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, _: Digest) -> Result<()> {
        self.files.lock().unwrap().insert(self.name, self.bytes);
        Ok(())
    }
}
