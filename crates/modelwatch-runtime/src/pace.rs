//! How often those who watch are told something.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// The least time between two reports of progress.
const INTERVAL: Duration = Duration::from_millis(100);

/// Lets through what is told at once, and then ten times a second at most, over all threads.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Returns whether it is time to tell something. Nobody waits for another thread that asks.
    pub(crate) fn is_due(&self) -> bool {
        let Ok(mut last) = self.0.try_lock() else { return false };
        let is_due = last.is_none_or(|it| it.elapsed() >= INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}
