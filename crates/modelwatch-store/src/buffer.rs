//! The memory that a tensor is read into.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// From how many bytes on a buffer has pages of its own.
const LARGE: usize = 2 << 20;

/// Zeros that wait to be overwritten.
///
/// A large buffer is not touched before that, so that nothing is written twice and the threads that fill it take its pages,
/// each for its part. Large pages are not asked for: where the system has to make room for them first, reading into them
/// took five times as much processor time as into small ones.
pub(crate) enum Buffer {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Buffer {
    /// Returns a buffer of `len` bytes, if there is memory for it.
    pub(crate) fn new(len: u64) -> Option<Self> {
        let len = usize::try_from(len).ok()?;
        if len < LARGE {
            let mut res = Vec::new();
            res.try_reserve_exact(len).ok()?;
            res.resize(len, 0);
            return Some(Self::Small(res));
        }
        MmapMut::map_anon(len).ok().map(Self::Large)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(it) => it,
            Self::Large(it) => it,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(it) => it,
            Self::Large(it) => it,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_zeros() {
        for len in [0, 1, LARGE - 1, LARGE, 2 * LARGE + 1] {
            let mut it = Buffer::new(len as u64).unwrap();
            assert!(it.len() == len && it.iter().all(|it| *it == 0));
            it.fill(1);
            assert!(it.iter().all(|it| *it == 1));
        }
    }

    #[test]
    fn more_than_there_is_is_not_given() {
        assert!(Buffer::new(u64::MAX).is_none());
        assert!(Buffer::new(1 << 62).is_none());
    }
}
