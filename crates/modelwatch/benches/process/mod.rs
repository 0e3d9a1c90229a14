//! What a process of its own costs, and whether that is what was wanted.

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The kernel's unit of processor time in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whether anything was not what was wanted.
static MISSED: AtomicBool = AtomicBool::new(false);

/// What a process took.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) code: Option<i32>,
    pub(crate) seconds: f64,
    /// Of all its threads, in seconds.
    pub(crate) processor: f64,
    /// The most resident memory that it had, in megabytes.
    pub(crate) peak: f64,
}

/// Runs the command to its end, without what it prints.
pub(crate) fn run(command: &mut Command) -> Cost {
    let before = of_children();
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    let ended = loop {
        peak = peak.max(resident_peak(&status).unwrap_or(0.0));
        if let Some(it) = child.try_wait().unwrap() {
            break it;
        }
        thread::sleep(Duration::from_millis(1));
    };
    Cost { code: ended.code(), seconds: start.elapsed().as_secs_f64(), processor: of_children() - before, peak }
}

/// Prints the value beside the most that is wanted, and notes whether it is more.
pub(crate) fn bound(name: &str, value: f64, most: f64, unit: &str) {
    let holds = value <= most;
    MISSED.fetch_or(!holds, Ordering::Relaxed);
    let verdict = if holds { "holds" } else { "MISSED" };
    // Three digits, or as many as a larger number has.
    let shown = |it: f64| format!("{it:.*}", if it.abs() < 10.0 { 2 } else { 0 });
    println!("{name}: {} {unit}, at most {} {unit} is wanted: {verdict}", shown(value), shown(most));
}

/// Returns what the benchmark ends with: a failure where a bound was missed.
pub(crate) fn ended() -> ExitCode {
    if MISSED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A fixed sequence: Vigna's splitmix64.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut it = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// The processor time of the children that ended, in seconds: `cutime` and `cstime` of proc(5).
fn of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: f64 = after_name.split_whitespace().skip(13).take(2).map(|it| it.parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SECOND
}

fn resident_peak(status: &str) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let kib: f64 = text.lines().find_map(|it| it.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
