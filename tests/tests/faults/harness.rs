//! A store, the worker on it, and what the worker said.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use modelwatch_sdk::testing::FaultRow;
use tempfile::TempDir;

/// Set by `cargo xtask crash`: how many minutes the soak lasts, and that rows may take their time.
const MINUTES: &str = "MODELWATCH_CRASH_MINUTES";
/// Set by `cargo xtask crash`: a folder in memory, which it clears away also where the test is killed.
const MEMORY: &str = "MODELWATCH_CRASH_MEMORY";

/// Returns how many minutes the soak lasts, nothing in an ordinary run of the tests.
pub(crate) fn minutes() -> Option<u64> {
    env::var(MINUTES).ok()?.parse().ok()
}

/// Returns the row if all programs are there and the process is root's, and says what is missing otherwise.
pub(crate) fn as_root_with(row: FaultRow, programs: &[&str]) -> Option<FaultRow> {
    if run("id", ["-u"]).1.trim() != "0" {
        row.skipped("needs root");
        return None;
    }
    with(row, programs)
}

/// Returns the row if all programs are there, and says which is missing otherwise.
pub(crate) fn with(row: FaultRow, programs: &[&str]) -> Option<FaultRow> {
    match programs.iter().find(|it| !is_there(it)) {
        Some(it) => {
            row.skipped(format_args!("no `{it}`"));
            None
        }
        None => Some(row),
    }
}

/// Returns the row if processes can be traced, and says so otherwise.
pub(crate) fn traced(row: FaultRow) -> Option<FaultRow> {
    match why_not_traced() {
        Some(why) => {
            row.skipped(why);
            None
        }
        None => Some(row),
    }
}

/// Returns why processes cannot be traced, if they cannot.
pub(crate) fn why_not_traced() -> Option<&'static str> {
    if !is_there("strace") {
        return Some("no `strace`");
    }
    let traced = run("strace", ["-f", "-qq", "-o", "/dev/null", "true"]).0.success();
    (!traced).then_some("`strace` may not trace processes here")
}

fn is_there(program: &str) -> bool {
    run("sh", ["-c", &format!("command -v {program}")]).0.success()
}

/// Runs a program. Returns how it ended and all that it said.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> (ExitStatus, String) {
    // The tools of an administrator are not on everyone's path.
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).env("PATH", path).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run `{program}`: {e}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

/// As [`run`], for what must succeed.
pub(crate) fn must<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let (status, said) = run(program, arguments);
    assert!(status.success(), "`{program}` ended with {status}: {said}");
    said
}

/// A folder for one row, with a store in it or mounted below it.
pub(crate) struct Ground {
    pub(crate) dir: TempDir,
    pub(crate) store: PathBuf,
    said: PathBuf,
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) error: String,
}

impl Outcome {
    /// Returns whether it ended well; anything but that or an error with a remedy is a failure of the test.
    pub(crate) fn is_success_or_error(&self, case: &str) -> bool {
        match self.status.code() {
            Some(0) => true,
            Some(1) if self.error.starts_with("error: ") && self.error.contains("; help: ") => {
                assert!(!self.error.trim_end().ends_with("help:"), "{case}: no remedy: {}", self.error);
                false
            }
            _ => panic!("{case}: ended with {}: {}", self.status, self.error),
        }
    }

    pub(crate) fn was_killed(&self) -> bool {
        // `strace` ends as what it traced, or says so by its code.
        self.status.signal().is_some() || self.status.code() == Some(137)
    }
}

impl Ground {
    /// Returns an empty folder, in which the store is to be `store`.
    pub(crate) fn new() -> Self {
        Self::in_dir(tempfile::tempdir().unwrap())
    }

    /// As [`Self::new`], in memory: where processes and not disks are tried, waiting for a disk is of no use.
    pub(crate) fn in_memory() -> Self {
        let memory = env::var_os(MEMORY).map_or_else(|| "/dev/shm".into(), PathBuf::from);
        Self::in_dir(if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap())
    }

    /// As [`Self::in_memory`], where the worker said something before.
    pub(crate) fn resumed(said: &str) -> Self {
        let res = Self::in_memory();
        fs::write(&res.said, said).unwrap();
        res
    }

    fn in_dir(dir: TempDir) -> Self {
        // Others look into it too, where a row is about permissions.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (store, said) = (dir.path().join("store"), dir.path().join("said"));
        File::create(&said).unwrap();
        Self { dir, store, said }
    }

    /// Returns a folder with a copy of the store and of what was said.
    pub(crate) fn copy(&self) -> Self {
        let res = Self::new();
        if self.store.exists() {
            must("cp", [OsStr::new("-a"), self.store.as_os_str(), res.store.as_os_str()]);
        }
        fs::copy(&self.said, &res.said).unwrap();
        res
    }

    /// Returns the worker's call; `before` runs it, such as `strace`.
    pub(crate) fn command(&self, before: &[&str], arguments: &[&str]) -> Command {
        let worker = env!("CARGO_BIN_EXE_store-worker");
        let mut all = before.iter().copied().chain([worker, "--store", self.store.to_str().unwrap()]);
        let mut res = Command::new(all.next().unwrap());
        let said = OpenOptions::new().append(true).open(&self.said).unwrap();
        res.args(all).args(arguments).stdin(Stdio::null()).stdout(said).stderr(Stdio::piped());
        res
    }

    /// Runs the worker and keeps what it says for [`Self::check`].
    pub(crate) fn work(&self, before: &[&str], arguments: &[&str]) -> Outcome {
        ended(self.command(before, arguments).spawn().unwrap())
    }

    /// Runs the worker, which must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) {
        let outcome = self.work(&[], arguments);
        assert!(outcome.status.success(), "{arguments:?}: {}", outcome.error);
    }

    /// Checks that what was acknowledged is there, that what is there is whole, and that the store works.
    #[track_caller]
    pub(crate) fn check(&self, case: &str) {
        self.check_with(case, &[]);
    }

    /// As [`Self::check`], and changes nothing.
    #[track_caller]
    pub(crate) fn check_read_only(&self, case: &str) {
        self.check_with(case, &["--read-only"]);
    }

    #[track_caller]
    fn check_with(&self, case: &str, more: &[&str]) {
        let outcome = self.checked(more);
        assert!(outcome.status.success(), "{case}: {}", outcome.error);
    }

    /// Returns whether a check that changes nothing finds nothing wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.checked(&["--read-only"]).status.success()
    }

    fn checked(&self, more: &[&str]) -> Outcome {
        let arguments = [&["check", "--said", self.said.to_str().unwrap()], more].concat();
        ended(self.command(&[], &arguments).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Returns the file in which the worker says what it did.
    pub(crate) fn said_in(&self) -> &Path {
        &self.said
    }

    /// Returns all that was said so far.
    pub(crate) fn said_so_far(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Returns the lines that were said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said_so_far().lines().map(str::to_owned).collect()
    }

    /// Returns how often a worker said something that starts with `what`.
    pub(crate) fn n_said(&self, what: &str) -> usize {
        self.said().iter().filter(|it| it.starts_with(what)).count()
    }
}

/// Waits for a worker's end.
pub(crate) fn ended(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    Outcome { status: output.status, error: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Waits until something is so, for as long as a loaded machine may take.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: u32) {
    // It may be gone already.
    let _ = run("kill", [format!("-{name}"), process.to_string()]);
}

/// Draws numbers from a seed (splitmix64).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }
}
