//! Tests as processes, several at once, each with a deadline: whatever one of them does, the others have their turn.

use std::{
    collections::VecDeque,
    fmt,
    fs::{self, File},
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::leftovers::Scratch;

/// Tells the tests where a file system in memory is theirs.
const MEMORY: &str = "MODELWATCH_CRASH_MEMORY";
/// The file with what a test said, in its folder.
const SAID: &str = "said-by-the-test";
const PAUSE: Duration = Duration::from_millis(20);
/// How long a process that was killed may take to be gone. One that hangs in the kernel never is.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// A test, and how it is run.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The folder it is run in.
    pub(crate) folder: PathBuf,
}

/// How tests are run.
pub(crate) struct Terms<'a> {
    pub(crate) n_at_once: usize,
    /// How long each may take.
    pub(crate) limit: Duration,
    /// Variables of their environment.
    pub(crate) variables: &'a [(&'a str, String)],
    /// Set from outside when all is to end.
    pub(crate) is_interrupted: &'a AtomicBool,
}

/// A test that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: String,
    /// All that it and its processes said.
    pub(crate) said: String,
    pub(crate) how: How,
    pub(crate) took: Duration,
}

#[derive(Debug)]
pub(crate) enum How {
    Passed,
    Failed(ExitStatus),
    TooLate,
    Interrupted,
    /// It was not started, or nobody knows how it ended.
    Error(anyhow::Error),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("ok"),
            Self::Failed(status) => write!(f, "FAILED: {status}"),
            Self::TooLate => f.write_str("FAILED: it took too long and was killed"),
            Self::Interrupted => f.write_str("FAILED: it was interrupted"),
            Self::Error(e) => write!(f, "FAILED: {e:#}"),
        }
    }
}

/// Runs tests in their order and tells of each as it ends. Returns the names of those whose turn did not come, because
/// all was interrupted.
pub(crate) fn run(tests: Vec<Test>, terms: &Terms<'_>, mut tell: impl FnMut(Ended)) -> Vec<String> {
    let mut waiting = VecDeque::from(tests);
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < terms.n_at_once
            && !terms.is_interrupted.load(Ordering::Relaxed)
            && let Some(test) = waiting.pop_front()
        {
            match Running::start(&test, terms) {
                Ok(it) => running.push(it),
                Err(e) => {
                    tell(Ended { name: test.name, said: String::new(), how: How::Error(e), took: Duration::ZERO })
                }
            }
        }
        if running.is_empty() {
            return waiting.into_iter().map(|it| it.name).collect();
        }
        for mut it in std::mem::take(&mut running) {
            match it.end(terms) {
                Some(how) => tell(it.ended(how)),
                None => running.push(it),
            }
        }
        thread::sleep(PAUSE);
    }
}

/// A test at work. When dropped, it is killed with all that it began, and what they left is cleared away.
struct Running {
    name: String,
    child: Child,
    /// Whether it was killed with its group, and may have been waited for.
    is_killed: bool,
    since: Instant,
    scratch: Scratch,
}

impl Running {
    fn start(test: &Test, terms: &Terms<'_>) -> Result<Self> {
        let scratch = Scratch::new()?;
        // A file and no pipe: that can be read to its end whoever still has it open.
        let said = File::create(scratch.disk.path().join(SAID))?;
        let mut command = Command::new(&test.program);
        command.args(&test.arguments).current_dir(&test.folder).env("TMPDIR", scratch.disk.path());
        command.envs(terms.variables.iter().map(|(name, value)| (name, value)));
        command.envs(scratch.memory.iter().map(|it| (MEMORY, it.path())));
        command.stdin(Stdio::null()).stderr(said.try_clone()?).stdout(said);
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot run `{}`", test.program.display()))?;
        Ok(Self { name: test.name.clone(), child, is_killed: false, since: Instant::now(), scratch })
    }

    /// Ends it where it is to end, and returns how it ended.
    fn end(&mut self, terms: &Terms<'_>) -> Option<How> {
        if has_ended(&self.child) {
            self.kill();
            return Some(match self.child.wait() {
                Ok(it) if it.success() => How::Passed,
                Ok(it) => How::Failed(it),
                Err(e) => How::Error(e.into()),
            });
        }
        let how = if terms.is_interrupted.load(Ordering::Relaxed) {
            How::Interrupted
        } else if self.since.elapsed() >= terms.limit {
            How::TooLate
        } else {
            return None;
        };
        self.kill();
        Some(how)
    }

    fn ended(self, how: How) -> Ended {
        let said = fs::read(self.scratch.disk.path().join(SAID)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        Ended { name: self.name.clone(), said, how, took: self.since.elapsed() }
    }

    /// Ends it and the processes that it began, also where it is over and they are not.
    fn kill(&mut self) {
        // The number is nobody else's until the process was waited for.
        if std::mem::replace(&mut self.is_killed, true) {
            return;
        }
        if let Some(it) = pid(&self.child) {
            let _ = kill_process_group(it, Signal::KILL);
        }
        let killed = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if killed.elapsed() > LAST_BREATH {
                let _ =
                    writeln!(io::stderr(), "warning: process {} (`{}`) cannot be killed", self.child.id(), self.name);
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Returns whether it has ended, but leaves it there to be waited for.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid(child).is_none_or(|it| waitid(WaitId::Pid(it), options).is_ok_and(|it| it.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, script: &str) -> Test {
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        Test { name: name.to_owned(), program: "sh".into(), arguments, folder: "/".into() }
    }

    /// Runs them two at a time, and is interrupted once one called `last` ended.
    fn run_all(tests: Vec<Test>, limit: Duration) -> (Vec<Ended>, Vec<String>) {
        let is_interrupted = AtomicBool::new(false);
        let variables = [("GREETING", "hello".to_owned())];
        let terms = Terms { n_at_once: 2, limit, variables: &variables, is_interrupted: &is_interrupted };
        let mut ended = Vec::new();
        let untried = run(tests, &terms, |it| {
            is_interrupted.fetch_or(it.name == "last", Ordering::Relaxed);
            ended.push(it);
        });
        ended.sort_by(|a, b| a.name.cmp(&b.name));
        (ended, untried)
    }

    const FAR: Duration = Duration::from_secs(1000);

    /// Waits for a process in the background, which has its output open, and says which.
    const HANGS: &str = "sleep 1000 & echo $!; wait";

    #[track_caller]
    fn check_killed(it: &Ended) {
        let process = it.said.trim();
        assert!(process.parse::<u32>().is_ok(), "{it:?}");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // It may wait for somebody to take note of its end.
            if state.is_empty() || state.contains(") Z ") || state.contains(") X ") {
                return;
            }
            assert!(Instant::now() < until, "{state}");
            thread::yield_now();
        }
    }

    #[test]
    fn a_test_that_hangs_is_killed_with_what_it_began_and_the_others_have_their_turn() {
        // Long enough for a shell to say something.
        let limit = Duration::from_secs(4);
        let (ended, untried) = run_all(vec![test("a", HANGS), test("b", HANGS), test("c", "true")], limit);
        assert_eq!((ended.len(), untried.len()), (3, 0));
        for it in &ended[..2] {
            assert!(matches!(it.how, How::TooLate), "{it:?}");
            check_killed(it);
        }
        assert!(matches!(ended[2].how, How::Passed), "{ended:?}");
    }

    #[test]
    fn what_a_test_leaves_running_is_killed() {
        let (ended, _) = run_all(vec![test("a", "sleep 1000 & echo $!")], FAR);
        assert!(matches!(ended[0].how, How::Passed), "{ended:?}");
        check_killed(&ended[0]);
    }

    #[test]
    fn what_each_said_and_how_it_ended_is_told() {
        let script = "echo $GREETING; echo in error >&2; touch \"$TMPDIR/leftover\"; exit 3";
        let missing = Test { program: "/no/such/program".into(), ..test("c", "") };
        let (ended, untried) = run_all(vec![test("a", script), test("b", "true"), missing], FAR);
        let told: Vec<_> = ended.iter().map(|it| (it.said.as_str(), it.how.to_string())).collect();
        assert_eq!(told[0], ("hello\nin error\n", "FAILED: exit status: 3".to_owned()));
        assert_eq!(told[1], ("", "ok".to_owned()));
        assert!(told[2].1.starts_with("FAILED: cannot run `/no/such/program`"), "{told:?}");
        assert!(untried.is_empty());
    }

    #[test]
    fn an_interruption_ends_what_runs_and_names_what_was_not_tried() {
        let tests = vec![test("hangs", "sleep 1000"), test("last", "true"), test("never", "true")];
        let (ended, untried) = run_all(tests, FAR);
        let told: Vec<_> = ended.iter().map(|it| (it.name.as_str(), it.how.to_string())).collect();
        assert_eq!(told, [("hangs", "FAILED: it was interrupted".to_owned()), ("last", "ok".to_owned())]);
        assert_eq!(untried, ["never"]);
    }
}
