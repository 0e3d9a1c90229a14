//! How much memory this process has, as the system tells, and what becomes of that which is freed.

use modelwatch_sdk::memory::InferenceMemory;
use modelwatch_tensors::heap;
pub use modelwatch_tensors::heap::keep_freed;

/// Does something, and returns how much memory the process had before it and at most meanwhile; none where the system does not
/// tell.
///
/// On Linux the kernel keeps the peak of the resident memory, which is set back to what it is now (`proc(5)`: 5 to
/// `/proc/self/clear_refs`). So two who watch at once see the later one's beginning; probes are asked for their reports one by
/// one.
pub(crate) fn watch<T>(work: impl FnOnce() -> T) -> (T, Option<InferenceMemory>) {
    // What others have freed would be taken without being seen.
    heap::give_back();
    let before = system::reset_peak().and_then(|()| system::resident("VmRSS:"));
    let res = work();
    let peak = system::resident("VmHWM:");
    // The kernel adds up what threads have counted for themselves from time to time only.
    (res, before.zip(peak).map(|(before, peak)| InferenceMemory { before, peak: peak.max(before) }))
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    pub(super) fn reset_peak() -> Option<()> {
        fs::write("/proc/self/clear_refs", "5").ok()
    }

    /// Returns a line of the process's status, in bytes.
    pub(super) fn resident(name: &str) -> Option<u64> {
        parse(&fs::read_to_string("/proc/self/status").ok()?, name)
    }

    fn parse(status: &str, name: &str) -> Option<u64> {
        let line = status.lines().find_map(|it| it.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn lines_are_read_in_bytes() {
            let status = "Name:\tx\nVmHWM:\t   12345 kB\nVmRSS:\t 99 kB\nVmSwap:\t 1 pages\n";
            assert_eq!(parse(status, "VmHWM:"), Some(12345 << 10));
            assert_eq!(parse(status, "VmRSS:"), Some(99 << 10));
            assert_eq!(parse(status, "VmSwap:"), None);
            assert_eq!(parse(status, "VmPeak:"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn reset_peak() -> Option<()> {
        None
    }

    pub(super) fn resident(_: &str) -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_again_is_seen() {
        const SIZE: usize = 256 << 20;
        let (sum, memory) = watch(|| {
            let mut bytes = vec![0_u8; SIZE];
            // Pages count once they are touched.
            bytes.iter_mut().step_by(4096).for_each(|it| *it = 1);
            bytes.iter().map(|it| u64::from(*it)).sum::<u64>()
        });
        let memory = memory.unwrap();
        assert_eq!(sum, SIZE as u64 / 4096);
        assert!(memory.growth() > SIZE as u64 * 9 / 10, "{memory:?}");
        let (_, after) = watch(|| ());
        assert!(after.unwrap().peak < memory.peak, "{after:?} {memory:?}");
    }
}
