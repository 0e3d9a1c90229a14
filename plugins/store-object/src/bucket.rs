//! A bucket as the place of a store's files.

use std::{
    any::Any,
    cell::Cell,
    collections::HashMap,
    future::Future,
    io::{self, Write},
    result,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futures_util::StreamExt;
use modelwatch_sdk::{Error, Result};
use modelwatch_store::{Blobs, Published, Stage, Stat, corrupt, random_number};
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};
use tokio::{
    runtime::{Builder, Runtime},
    time,
};

use crate::{
    failure::{Failure, Means},
    place::Place,
    retry::{Patience, persist},
    stage::Staging,
};

/// The files below a prefix of a bucket.
pub(crate) struct Bucket(Arc<Connection>);

/// What the bucket shares with the writers of files.
pub(crate) struct Connection {
    place: Place,
    patience: Patience,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
    /// Whether it was told that the bucket cannot be reached, until it can be.
    is_told: AtomicBool,
    /// Where that is told.
    tell: fn(&str),
    /// Who writes to which folder, in this process.
    lines: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Bucket {
    pub(crate) fn new(place: Place, patience: Patience) -> Result<Self> {
        // One thread of its own: connections live on while nobody waits for an answer.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("store-object")
            .enable_all()
            .build()
            .map_err(|e| Error::io(format!("cannot start the client of `{}`: {e}", place.address)))?;
        let (is_told, tell) = (AtomicBool::new(false), on_standard_error as fn(&str));
        Ok(Self(Arc::new(Connection {
            place,
            patience,
            runtime: Some(runtime),
            is_told,
            tell,
            lines: Mutex::default(),
        })))
    }

    /// Tells elsewhere that it cannot be reached.
    #[cfg(test)]
    pub(crate) fn telling(mut self, tell: fn(&str)) -> Self {
        Arc::get_mut(&mut self.0).unwrap().tell = tell;
        self
    }
}

impl Connection {
    /// Returns the path of a key. Parts like `..` are encoded, so that none leads out of the prefix.
    fn path(&self, key: &str) -> Path {
        key.split('/').filter(|it| !it.is_empty()).fold(self.place.prefix.clone(), |path, it| path.join(it))
    }

    fn locate(&self, key: &str) -> String {
        if key.is_empty() { self.place.address.clone() } else { format!("{}/{key}", self.place.address) }
    }

    fn error(&self, attempt: &str, key: &str, failure: &Failure) -> Error {
        failure.error(attempt, &self.locate(key))
    }

    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is taken only when this is dropped").block_on(what)
    }

    /// Waits for what the first attempt ends with that succeeds or fails for good.
    fn persist<T, F>(&self, attempt: impl FnMut() -> F) -> result::Result<T, Failure>
    where
        F: Future<Output = result::Result<T, Failure>>,
    {
        let res = self.wait(persist(self.patience, &|it| self.warn(it), attempt));
        if !matches!(&res, Err(it) if it.is_unreachable) {
            self.is_told.store(false, Relaxed);
        }
        res
    }

    /// Says once that the bucket cannot be reached, and that this is not the end.
    fn warn(&self, failure: &Failure) {
        if failure.is_unreachable && !self.is_told.swap(true, Relaxed) {
            let seconds = self.patience.deadline.as_secs();
            (self.tell)(&format!("cannot reach `{}`: {}; trying for {seconds} s", self.place.address, failure.what));
        }
    }

    /// Waits for an answer, trying again where that may help.
    fn ask<T, F>(&self, mut request: impl FnMut() -> F) -> result::Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let attempt = || {
            let request = request();
            async { request.await.map_err(|e| Failure::of(&e)) }
        };
        self.persist(attempt)
    }

    /// Gives a file its key unless the key is taken.
    pub(crate) fn create(&self, key: &str, payload: &PutPayload) -> Result<Published> {
        let (store, path) = (&self.place.store, &self.path(key));
        // Whether an earlier attempt may have been carried out: then no later refusal says that none was.
        let is_unclear = Cell::new(false);
        let attempt = || async {
            let options = PutOptions::from(PutMode::Create);
            let put = store.put_opts(path, payload.clone(), options).await.map_err(|e| Failure::of(&e));
            let Err(failure) = put else {
                return Ok(Published::Created);
            };
            match failure.means {
                Means::Taken => Ok(Published::Taken),
                // Azure says so of a key that is taken, S3 of one that others write to.
                Means::Busy => match store.head(path).await.map_err(|e| Failure::of(&e)) {
                    Ok(_) => Ok(Published::Taken),
                    Err(it) if it.means == Means::Absent => Err(failure),
                    Err(it) => Err(it),
                },
                Means::Unclear => {
                    is_unclear.set(true);
                    Err(failure)
                }
                Means::Absent | Means::Refused(_) => Err(failure),
            }
        };
        match self.persist(attempt) {
            Ok(it) => Ok(it),
            Err(it) if is_unclear.get() || matches!(it.means, Means::Unclear | Means::Busy) => {
                Ok(Published::Unknown(self.error("write", key, &it)))
            }
            Err(it) => Err(self.error("write", key, &it)),
        }
    }

    /// Copies a file to `quarantine/`; nothing happens if there is none.
    fn keep_aside(&self, key: &str) -> Result<()> {
        let name = format!("{}-{:016x}", key.replace('/', "-"), random_number());
        let (from, to) = (self.path(key), self.path(&format!("quarantine/{name}")));
        match self.ask(|| self.place.store.copy(&from, &to)) {
            Err(it) if it.means != Means::Absent => Err(self.error("copy", key, &it)),
            _ => Ok(()),
        }
    }

    /// Writes a file whether or not its key is taken. What was there is kept aside first.
    pub(crate) fn overwrite(&self, key: &str, payload: &PutPayload) -> Result<()> {
        self.keep_aside(key)?;
        let path = self.path(key);
        self.ask(|| self.place.store.put(&path, payload.clone())).map(drop).map_err(|e| self.error("replace", key, &e))
    }

    /// Returns a file, or a part of it, and its size; only the size where it has more than `cap` bytes.
    fn get(&self, key: &str, range: Option<GetRange>, cap: u64) -> result::Result<(Vec<u8>, u64), Failure> {
        let (store, path) = (&self.place.store, &self.path(key));
        let attempt = || async {
            let options = GetOptions { range: range.clone(), ..GetOptions::default() };
            let found = store.get_opts(path, options).await.map_err(|e| Failure::of(&e))?;
            let (n_bytes, size) = (found.range.end - found.range.start, found.meta.size);
            if n_bytes > cap {
                return Ok((Vec::new(), size));
            }
            Ok((collect(found, n_bytes).await?, size))
        };
        self.persist(attempt)
    }
}

/// No host is lent while a store is opened, to which the plugin's events could go.
fn on_standard_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A name that is still being looked up is not waited for.
        if let Some(it) = self.runtime.take() {
            it.shutdown_background();
        }
    }
}

/// Reads the body of an answer, which must be as long as was announced.
async fn collect(found: GetResult, n_bytes: u64) -> result::Result<Vec<u8>, Failure> {
    let mut res = Vec::new();
    let mut stream = found.into_stream();
    while let Some(it) = stream.next().await {
        res.extend_from_slice(&it.map_err(|e| Failure::of(&e))?);
        if res.len() as u64 > n_bytes {
            break;
        }
    }
    if res.len() as u64 == n_bytes {
        return Ok(res);
    }
    Err(Failure::garbled(format!("{} bytes came instead of {n_bytes}", res.len())))
}

impl Blobs for Bucket {
    fn locate(&self, key: &str) -> String {
        self.0.locate(key)
    }

    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        match self.0.get(key, None, cap) {
            Ok((_, size)) if size > cap => {
                Err(corrupt(self.locate(key), format_args!("has {size} bytes, more than the {cap} there can be")))
            }
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(it) if it.means == Means::Absent => Ok(None),
            Err(it) => Err(self.0.error("read", key, &it)),
        }
    }

    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let len = out.len() as u64;
        let Some(end) = offset.checked_add(len) else {
            return Err(corrupt(self.locate(key), "is cut off"));
        };
        match self.0.get(key, Some(GetRange::Bounded(offset..end)), len) {
            Ok((bytes, _)) if bytes.len() == out.len() => {
                out.copy_from_slice(&bytes);
                Ok(())
            }
            Ok((_, size)) => Err(corrupt(self.locate(key), format_args!("is cut off at {size} bytes"))),
            Err(it) if it.means == Means::Absent => Err(corrupt(self.locate(key), "is missing")),
            // A range that begins behind the end is an error of its own with every server.
            Err(it) => match self.stat(key)? {
                None => Err(corrupt(self.locate(key), "is missing")),
                Some(found) if found.size < end => {
                    Err(corrupt(self.locate(key), format_args!("is cut off at {} bytes", found.size)))
                }
                Some(_) => Err(self.0.error("read", key, &it)),
            },
        }
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>> {
        let path = self.0.path(key);
        match self.0.ask(|| self.0.place.store.head(&path)) {
            Ok(it) => {
                let modified = it.last_modified.timestamp().try_into().unwrap_or(0);
                Ok(Some(Stat { size: it.size, modified }))
            }
            Err(it) if it.means == Means::Absent => Ok(None),
            Err(it) => Err(self.0.error("look at", key, &it)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.0.path(folder);
        let listed = match self.0.ask(|| self.0.place.store.list_with_delimiter(Some(&path))) {
            Ok(it) => it,
            Err(it) if it.means == Means::Absent => return Ok(Vec::new()),
            Err(it) => return Err(self.0.error("list", folder, &it)),
        };
        let files = listed.objects.iter().map(|it| &it.location);
        let names = listed.common_prefixes.iter().chain(files).filter_map(|it| it.filename().map(str::to_owned));
        let mut res: Vec<String> = names.collect();
        res.sort_unstable();
        res.dedup();
        Ok(res)
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(Staging::new(&self.0)))
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.0.path(key);
        match self.0.ask(|| self.0.place.store.delete(&path)) {
            Err(it) if it.means != Means::Absent => Err(self.0.error("remove", key, &it)),
            _ => Ok(()),
        }
    }

    fn quarantine(&self, key: &str) -> Result<()> {
        self.0.keep_aside(key)?;
        self.remove(key)
    }

    fn wait_in_line(&self, folder: &str) -> Result<Option<Box<dyn Any>>> {
        let line = {
            let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lines.entry(folder.to_owned()).or_default())
        };
        let turn = self.0.wait(async { time::timeout(self.0.patience.timeout, line.lock_owned()).await });
        Ok(turn.ok().map(|it| Box::new(it) as Box<dyn Any>))
    }
}
