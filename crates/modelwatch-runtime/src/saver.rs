//! Saves in the background, so that nobody who makes checkpoints waits for a disk.
//!
//! What a save needs is its own from the call on: a training loop may go on changing its weights. The queue is
//! bounded, and a full one makes the caller wait rather than memory grow. What became of each save is told once, by
//! the next call; that of one that failed shows in no ref and in no `latest`, since those follow from commits.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use modelwatch_sdk::{Error, ErrorKind};

use crate::checkpoint::CheckpointError;

type Save<T> = Box<dyn FnOnce() -> Result<T, CheckpointError> + Send>;
type Outcomes<T> = VecDeque<Result<T, CheckpointError>>;

/// Carries out saves one after the other, in the order in which they came.
#[derive(Debug)]
pub struct Saver<T> {
    queue: Option<SyncSender<Save<T>>>,
    worker: Option<JoinHandle<()>>,
    outcomes: Arc<Mutex<Outcomes<T>>>,
}

impl<T: Send + 'static> Saver<T> {
    /// Starts one whose queue holds `capacity` saves beside the one that is being carried out.
    pub fn new(capacity: usize) -> Self {
        let (queue, saves) = sync_channel::<Save<T>>(capacity);
        let outcomes = Arc::<Mutex<Outcomes<T>>>::default();
        let told = Arc::clone(&outcomes);
        let worker = std::thread::spawn(move || {
            for save in saves {
                let outcome = catch_unwind(AssertUnwindSafe(save)).unwrap_or_else(|it| Err(panicked(it.as_ref())));
                told.lock().unwrap_or_else(PoisonError::into_inner).push_back(outcome);
            }
        });
        Self { queue: Some(queue), worker: Some(worker), outcomes }
    }

    /// Hands a save over, waiting for room. Returns what became of those that ended since the last call, in the order in
    /// which they were handed over.
    #[must_use = "that a save failed is told once"]
    pub fn save(
        &mut self,
        save: impl FnOnce() -> Result<T, CheckpointError> + Send + 'static,
    ) -> Vec<Result<T, CheckpointError>> {
        let queue = self.queue.as_ref().expect("the queue is closed only when the saver ends");
        queue.send(Box::new(save)).expect("the worker ends only with its queue");
        self.ended()
    }

    /// Returns what became of the saves that ended since the last call.
    #[must_use = "that a save failed is told once"]
    pub fn ended(&mut self) -> Vec<Result<T, CheckpointError>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Waits until everything that was handed over has ended. Returns what became of what was not told before.
    #[must_use = "that a save failed is told once"]
    pub fn finish(mut self) -> Vec<Result<T, CheckpointError>> {
        self.end();
        self.ended()
    }
}

impl<T> Saver<T> {
    fn end(&mut self) {
        drop(self.queue.take());
        // It catches every panic but that of dropping one's payload; the outcomes are told in any case.
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

impl<T> Drop for Saver<T> {
    fn drop(&mut self) {
        // What was handed over is saved; who wants to know how that ended calls `finish`.
        self.end();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> CheckpointError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    Error::new(ErrorKind::Panicked, format!("saving a checkpoint in the background panicked: {text}"))
        .with_help("save it again; nothing of it is visible")
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use modelwatch_sdk::testing::FaultRow;

    use super::*;

    fn broken() -> CheckpointError {
        Error::io("the disk is gone").into()
    }

    #[test]
    fn all_that_was_handed_over_is_saved_in_order() {
        let mut saver = Saver::new(2);
        let mut saved = Vec::new();
        for it in 0..10 {
            saved.extend(saver.save(move || Ok(it)));
        }
        saved.extend(saver.finish());
        let saved: Vec<_> = saved.into_iter().map(Result::unwrap).collect();
        assert_eq!(saved, (0..10).collect::<Vec<_>>());
        // Also where nobody asks how it ended.
        let (told, ended) = channel();
        let mut saver = Saver::new(2);
        assert!(saver.save(move || told.send(7).map_err(|_| broken())).is_empty());
        drop(saver);
        assert_eq!(ended.recv(), Ok(7));
    }

    #[test]
    fn a_full_queue_makes_the_caller_wait() {
        let (go, gate) = channel::<()>();
        let mut saver = Saver::new(1);
        let (entered, is_entered) = channel();
        let _ = saver.save(move || {
            entered.send(()).unwrap();
            gate.recv().map_err(|_| broken())
        });
        is_entered.recv().unwrap();
        let _ = saver.save(|| Ok(()));
        // The one that is being carried out, and the queue's one: the third waits until the gate is open.
        let opener = std::thread::spawn(move || go.send(()).unwrap());
        let mut ended = saver.save(|| Ok(()));
        assert!(!ended.is_empty(), "it was taken before the first had ended");
        opener.join().unwrap();
        ended.extend(saver.finish());
        assert_eq!(ended.len(), 3);
    }

    #[test]
    fn a_save_that_failed_or_panicked_is_told_once_and_the_next_goes_on() {
        let row = FaultRow::new(26, "a save in the background panics, or fails", "SIM");
        let mut saver = Saver::new(2);
        let mut ended = saver.save(|| Ok(1));
        ended.extend(saver.save(|| panic!("the disk is on fire")));
        ended.extend(saver.save(|| Err(broken())));
        ended.extend(saver.save(|| Ok(4)));
        ended.extend(saver.finish());
        let said: Vec<_> = ended.iter().map(|it| it.as_ref().map_err(ToString::to_string)).collect();
        assert_eq!((&said[0], &said[3], said.len()), (&Ok(&1), &Ok(&4), 4));
        let panicked = said[1].as_ref().unwrap_err();
        assert!(panicked.contains("the disk is on fire") && panicked.contains("save it again"), "{panicked}");
        assert_eq!(said[2].as_ref().unwrap_err(), "the disk is gone");
        row.ok(2);
    }
}
