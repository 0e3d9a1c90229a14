//! How much work a chunk is worth: compressing weights takes longer than a fast disk takes to write them.
//!
//! What counts is what a save waits for. So a store compares how fast its chunks are compressed with how fast its place
//! takes them, and compresses while the former is faster, as `zstd --adapt` does. What of it is stored how has no part in
//! any digest of a chunk or in the id of a checkpoint.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

/// So much of a checkpoint is compressed before anything is asked, since it takes no time that anyone notices.
const UNASKED: u64 = 8 << 20;
/// How much is written before that says anything of the place: with less, what counts is how long a sync takes.
const TELLING: u64 = 32 << 20;

/// When chunks are stored smaller than they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// While the place they go to is slower than compressing them, and where few bytes remain of them.
    #[default]
    Adaptive,
    /// Where a sample of them shows that it is worth it.
    Always,
    /// At no time.
    Never,
}

/// How much work a chunk gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It is stored as it is.
    None,
    /// It is compressed if a glance at it shows that this saves more time than it takes.
    Glance,
    /// It is compressed with what does best on a sample.
    Full,
}

/// What is known of how fast things go, for all writers of a store.
#[derive(Debug)]
pub(crate) struct Pace {
    compression: Compression,
    /// How many bytes the place took in a second, the last time that this was measured; 0 before.
    place: AtomicU64,
}

/// How fast one writer compresses.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    /// The bytes that were new, whatever became of them.
    n_new: u64,
    n_compressed: u64,
    took: Duration,
}

impl Pace {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, place: AtomicU64::new(0) }
    }

    /// Returns how much work the next chunks of a writer get.
    pub(crate) fn effort(&self, encoded: &Encoded) -> Effort {
        let place = self.place.load(Ordering::Relaxed);
        match self.compression {
            Compression::Never => Effort::None,
            Compression::Adaptive if encoded.n_new >= UNASKED && (place == 0 || encoded.rate() <= place) => {
                Effort::Glance
            }
            Compression::Adaptive | Compression::Always => Effort::Full,
        }
    }

    /// Returns how much work chunks get that nobody waits for.
    pub(crate) fn unhurried(&self) -> Effort {
        if self.compression == Compression::Never { Effort::None } else { Effort::Full }
    }

    /// Learns how long the place took to write so many bytes and to make them durable.
    pub(crate) fn wrote(&self, n_bytes: u64, took: Duration) {
        if n_bytes >= TELLING {
            self.place.store(rate(n_bytes, took).max(1), Ordering::Relaxed);
        }
    }
}

impl Encoded {
    /// Learns of new chunks and how long the work on them took.
    pub(crate) fn add(&mut self, n_bytes: u64, effort: Effort, took: Duration) {
        self.n_new += n_bytes;
        if effort == Effort::Full {
            self.n_compressed += n_bytes;
            self.took += took;
        }
    }

    fn rate(&self) -> u64 {
        rate(self.n_compressed, self.took)
    }
}

/// Returns how many bytes that is in a second.
fn rate(n_bytes: u64, took: Duration) -> u64 {
    (n_bytes as f64 / took.as_secs_f64().max(1e-9)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn encoded(n_new: u64, n_compressed: u64) -> Encoded {
        Encoded { n_new, n_compressed, took: SECOND }
    }

    #[test]
    fn chunks_are_compressed_while_the_place_is_slower_than_that() {
        let pace = Pace::new(Compression::Adaptive);
        let many = encoded(1 << 30, 600 << 20);
        assert_eq!(pace.effort(&Encoded::default()), Effort::Full);
        assert_eq!(pace.effort(&encoded(UNASKED - 1, UNASKED)), Effort::Full);
        // Nothing waits for a place that was not written to yet.
        assert_eq!(pace.effort(&many), Effort::Glance);
        for (mib, effort) in [(100, Effort::Full), (599, Effort::Full), (600, Effort::Glance), (2000, Effort::Glance)] {
            pace.wrote(mib << 20, SECOND);
            assert_eq!(pace.effort(&many), effort, "{mib}");
            assert_eq!(pace.effort(&encoded(0, 600 << 20)), Effort::Full);
        }
        // To sync little takes as long as to sync more.
        pace.wrote(TELLING - 1, 100 * SECOND);
        assert_eq!(pace.effort(&many), Effort::Glance);
        // A place that takes nothing is slow, not unknown.
        pace.wrote(TELLING, Duration::MAX);
        assert_eq!(pace.effort(&many), Effort::Full);
    }

    #[test]
    fn what_is_set_holds_at_any_pace() {
        for (compression, effort) in [(Compression::Always, Effort::Full), (Compression::Never, Effort::None)] {
            let pace = Pace::new(compression);
            for n_bytes in [TELLING, 1 << 40] {
                assert_eq!(pace.effort(&encoded(1 << 30, 1 << 20)), effort);
                assert_eq!(pace.effort(&Encoded::default()), effort);
                assert_eq!(pace.unhurried(), effort);
                pace.wrote(n_bytes, SECOND);
            }
        }
        assert_eq!(Pace::new(Compression::Adaptive).unhurried(), Effort::Full);
    }

    #[test]
    fn only_what_was_compressed_tells_how_fast_that_is() {
        let mut it = Encoded::default();
        it.add(10, Effort::Full, SECOND);
        it.add(1000, Effort::Glance, SECOND);
        it.add(20, Effort::Full, 2 * SECOND);
        assert_eq!((it.n_new, it.rate()), (1030, 10));
    }
}
