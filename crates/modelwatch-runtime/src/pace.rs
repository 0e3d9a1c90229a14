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
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let Ok(mut last) = self.0.try_lock() else { return false };
        let is_due = last.is_none_or(|it| now.saturating_duration_since(it) >= INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_due_at_once_and_then_once_in_an_interval() {
        let (pace, start) = (Pace::default(), Instant::now());
        let due: Vec<u32> = (0..25).filter(|&it| pace.is_due_at(start + INTERVAL / 10 * it)).collect();
        assert_eq!(due, [0, 10, 20]);
    }
}
