//! What this process has taken so far, as Linux says.
#![allow(clippy::unwrap_used, dead_code)]

use std::fs;

/// Returns the most memory that the process had, in KiB.
pub(crate) fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Returns the processor time of all threads in user and in system mode, those that ended included.
pub(crate) fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name in parentheses may have spaces. A tick is a hundredth of a second.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|it| it.parse::<u64>().unwrap()).sum::<u64>() * 10
}
