//! Unpredictable numbers for names and waiting times; no result depends on them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Returns a number that is different in every process and call.
///
/// The keys of [`RandomState`] come from the operating system.
pub fn number() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// The length of an [`id`].
pub(crate) const ID: usize = 32;

/// Returns 32 hexadecimal digits that nothing else has.
pub fn id() -> String {
    format!("{:016x}{:016x}", number(), number())
}
