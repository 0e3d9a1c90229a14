//! What becomes of memory that is freed. On other systems than Linux with glibc, this does nothing.
#![allow(unsafe_code)]

/// Lets this process and its plugins keep the memory that they free, for the next batch. A program calls it as it begins.
///
/// The system clears every page that it gives, and without this, columns of some hundred kilobytes are given back
/// and taken again with each batch: that is a quarter of the time of a pass over wide rows.
pub fn keep_freed() {
    glibc::keep_freed();
}

/// Gives back what was freed, after work whose memory nothing else will need: that of a model's file as it was decoded.
///
/// The ends of the heaps of other threads than the first stay as they are.
pub fn give_back() {
    glibc::give_back();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

    /// What is larger is given back, as weights are. As much as glibc allows, see `mallopt(3)`.
    const LARGE: i32 = 32 << 20;
    /// How much is kept: some batches.
    const KEPT: i32 = 128 << 20;

    pub(super) fn keep_freed() {
        // SAFETY: it changes two limits under a lock of its own. A refusal leaves them as they are.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, LARGE);
            mallopt(M_TRIM_THRESHOLD, KEPT);
        }
    }

    pub(super) fn give_back() {
        // SAFETY: it takes pages from blocks that are free, under a lock of its own.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    pub(super) fn keep_freed() {}

    pub(super) fn give_back() {}
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::{fs, hint::black_box};

    use super::*;

    /// The tenth field of `proc(5)`'s `stat`: how many pages the system had to give.
    fn pages() -> usize {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    fn resident() -> usize {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[test]
    fn what_is_freed_is_kept() {
        const SIZE: usize = 16 << 20;
        let fill = || {
            let before = pages();
            black_box(vec![1_u8; SIZE]);
            pages() - before
        };
        keep_freed();
        let first = fill();
        assert!(first > SIZE / 4096 / 2, "{first}");
        let again = fill();
        assert!(again < first / 10, "{again} {first}");
    }

    #[test]
    fn what_is_freed_between_that_which_stays_is_given_back() {
        const SIZE: usize = 64 << 10;
        let blocks: Vec<_> = (0..512).map(|_| black_box(vec![1_u8; SIZE])).collect();
        let stays: Vec<_> = blocks.into_iter().step_by(2).collect();
        let before = resident();
        give_back();
        assert!(before.saturating_sub(resident()) > 256 * SIZE * 3 / 4, "{before} {}", resident());
        assert_eq!(stays.len(), 256);
    }
}
