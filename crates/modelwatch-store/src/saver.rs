//! Saves in the background, so that a training step does not wait for a disk.
//!
//! What is saved is owned by the queue from the call on: the trainer may go on changing its weights. The queue is
//! bounded, and a full one makes the caller wait rather than memory grow. A save that failed is reported by the
//! next call, and no ref and no `latest` ever shows it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use modelwatch_sdk::{
    DType, Error, ErrorKind, Result, TensorView,
    store::{CheckpointId, CheckpointStore},
};
use serde_json::{Map, Value};

/// A checkpoint that is to be saved, with everything in it owned.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The lineage that it joins.
    pub lineage: String,
    /// Step, epoch, metrics, seeds: whatever belongs to its identity.
    pub metadata: Map<String, Value>,
    /// Files by their names.
    pub files: Vec<(String, Vec<u8>)>,
    /// Tensors beside the files.
    pub tensors: Vec<OwnedTensor>,
}

/// A tensor with its bytes: little-endian, row-major.
#[derive(Clone, Debug)]
pub struct OwnedTensor {
    /// The name.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The extent of each axis.
    pub shape: Vec<u64>,
    /// The elements.
    pub bytes: Vec<u8>,
}

/// Saves snapshots one after the other, in the order in which they came.
pub struct Saver {
    queue: Option<SyncSender<Snapshot>>,
    worker: Option<JoinHandle<()>>,
    outcomes: Arc<Mutex<VecDeque<Result<CheckpointId>>>>,
}

impl Saver {
    /// Starts a saver whose queue holds `capacity` snapshots beside the one that is being saved.
    pub fn new(store: Arc<dyn CheckpointStore>, capacity: usize) -> Self {
        let (queue, snapshots) = sync_channel::<Snapshot>(capacity);
        let outcomes = Arc::<Mutex<VecDeque<_>>>::default();
        let told = Arc::clone(&outcomes);
        let worker = std::thread::spawn(move || {
            for it in snapshots {
                let saved = catch_unwind(AssertUnwindSafe(|| save(store.as_ref(), &it)));
                let outcome = saved.unwrap_or_else(|panic| Err(panicked(&it, panic.as_ref())));
                told.lock().unwrap_or_else(PoisonError::into_inner).push_back(outcome);
            }
        });
        Self { queue: Some(queue), worker: Some(worker), outcomes }
    }

    /// Hands a snapshot over, waiting for room. Returns the checkpoints that were saved since the last call.
    ///
    /// # Errors
    /// The failure of an earlier save, in which case the snapshot is not taken: it can be handed over again. Saves
    /// that succeeded are not lost by it; the store lists them.
    pub fn save(&mut self, snapshot: Snapshot) -> Result<Vec<CheckpointId>> {
        let saved = self.outcomes()?;
        let queue = self.queue.as_ref().expect("the queue is closed only when the saver ends");
        queue.send(snapshot).map_err(|_| ended())?;
        Ok(saved)
    }

    /// Waits until everything that was handed over is durable. Returns the checkpoints that were saved since the
    /// last call.
    ///
    /// # Errors
    /// The first failure that was not reported yet; what else was handed over was tried all the same.
    pub fn finish(mut self) -> Result<Vec<CheckpointId>> {
        self.end()?;
        self.outcomes()
    }

    fn outcomes(&self) -> Result<Vec<CheckpointId>> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut res = Vec::new();
        while let Some(it) = outcomes.pop_front() {
            res.push(it?);
        }
        Ok(res)
    }

    fn end(&mut self) -> Result<()> {
        drop(self.queue.take());
        self.worker.take().map_or(Ok(()), |it| it.join().map_err(|_| ended()))
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // What was handed over is saved; who wants to know how that ended calls `finish`.
        let _ = self.end();
    }
}

fn save(store: &dyn CheckpointStore, snapshot: &Snapshot) -> Result<CheckpointId> {
    let mut writer = store.begin(&(), &snapshot.lineage, &snapshot.metadata)?;
    for (name, bytes) in &snapshot.files {
        writer.append(name, bytes)?;
    }
    for OwnedTensor { name, dtype, shape, bytes } in &snapshot.tensors {
        writer.tensor(&TensorView { name, dtype: *dtype, shape, bytes })?;
    }
    writer.commit()
}

fn panicked(snapshot: &Snapshot, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    Error::new(ErrorKind::Panicked, format!("saving a checkpoint of `{}` panicked: {text}", snapshot.lineage))
        .with_help("hand it over again; nothing of it is visible")
}

fn ended() -> Error {
    Error::new(ErrorKind::Other, "the saver in the background has ended").with_help("make a new one")
}
