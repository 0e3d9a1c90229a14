//! One worker process, from its start to its end.
//!
//! Every wait has an end: the channel is read and written with a short time limit, and each time that
//! this passes it is asked whether to go on, and whether the worker is still there. What has gone wrong
//! once has gone wrong for good: the process is killed, with whatever it has started, and waited for.

use std::{
    cell::Cell,
    io::{self, PipeReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Child, Command, ExitStatus},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use modelwatch_sdk::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tracing::debug;

use super::{
    foreign::TARGET,
    opener::WorkerProgram,
    wire::{self, ANSWER_LIMIT, FrameError, REQUEST_LIMIT, Reply, Request},
};

/// How long the channel may be silent before it is asked whether to go on.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a worker whose channel is closed may take to end by itself, so that its own end is told, not ours.
const GRACE: Duration = Duration::from_secs(2);

/// The longest line of a worker's output that is kept.
const LINE: usize = 300;

/// What the dynamic loader needs to start the program again. Nothing else of the environment, which may
/// hold secrets, is a plugin's business.
const KEPT_VARIABLES: [&str; 2] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Why a call is given up while the worker is at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The run is to end.
    Cancelled,
    /// The worker had so much time, as its pipeline says.
    Timeout(Duration),
    /// The worker had so much time, as nothing that is this small should need.
    Slow(Duration),
}

/// Asked now and then whether to give up.
pub(super) type Watch<'a> = &'a dyn Fn() -> Option<Stop>;

/// A worker. It ends with this value.
pub(super) struct Process {
    /// What its probe is called.
    name: String,
    child: Child,
    stream: UnixStream,
    /// Sent once, when nobody can write to the worker's output any more.
    last_line: Receiver<String>,
    reaped: bool,
}

impl Process {
    /// Starts a worker that has loaded nothing yet.
    pub(super) fn start(name: &str, program: &WorkerProgram) -> Result<Self> {
        Self::try_start(name, program).map_err(|e| Error::io(format!("cannot start a worker for `{name}`: {e}")))
    }

    fn try_start(name: &str, program: &WorkerProgram) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (output, say) = io::pipe()?;
        let child = Command::new(&program.program)
            .arg0("modelwatch")
            .args(&program.arguments)
            .env_clear()
            .envs(KEPT_VARIABLES.iter().filter_map(|it| Some((it, std::env::var_os(it)?))))
            // A group of its own: an interruption is the run's to pass on, and what a plugin starts ends with it.
            .process_group(0)
            // The channel is the standard input, so that nothing that a plugin prints gets into it.
            .stdin(OwnedFd::from(theirs))
            .stdout(say.try_clone()?)
            .stderr(say)
            .spawn()?;
        let (sender, last_line) = channel();
        let res = Self { name: name.to_owned(), child, stream, last_line, reaped: false };
        let name = name.to_owned();
        thread::Builder::new().name("worker output".to_owned()).spawn(move || listen(&name, output, &sender))?;
        Ok(res)
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: &Request, payload: &[u8], watch: Watch<'_>) -> Result<()> {
        let mut stream = Watched::new(&self.stream, &self.child, watch);
        let res = wire::write(&mut stream, request, payload, REQUEST_LIMIT);
        let stopped = stream.stopped.take();
        res.map_err(|e| self.broken(e, stopped))
    }

    /// Waits for the next frame.
    pub(super) fn receive(&mut self, watch: Watch<'_>) -> Result<(Reply, Vec<u8>)> {
        if let Some(it) = watch() {
            // A worker that talks without end is never silent.
            return Err(self.stopped(it));
        }
        let mut stream = Watched::new(&self.stream, &self.child, watch);
        let res = wire::read(&mut stream, ANSWER_LIMIT);
        let stopped = stream.stopped.take();
        res.map_err(|e| self.broken(e, stopped))
    }

    /// Ends the process and says why it has to be.
    fn broken(&mut self, error: FrameError, stopped: Option<Stop>) -> Error {
        if let Some(it) = stopped {
            return self.stopped(it);
        }
        match error {
            FrameError::Closed | FrameError::Io(_) => self.gone(),
            FrameError::TooLong { .. } | FrameError::Header(_) => {
                self.kill();
                let message = format!("the worker of `{}` sent what is no answer and was killed: {error}", self.name);
                Error::new(ErrorKind::Other, message).with_help(REPORT)
            }
        }
    }

    fn stopped(&mut self, stop: Stop) -> Error {
        self.kill();
        let name = &self.name;
        match stop {
            Stop::Cancelled => Error::new(ErrorKind::Cancelled, "cancelled"),
            Stop::Timeout(limit) => {
                let message =
                    format!("the worker of `{name}` did not answer within its timeout of {limit:?} and was killed");
                Error::new(ErrorKind::Other, message).with_help("give it a larger `timeout`, or less to do")
            }
            Stop::Slow(limit) => {
                let message = format!("the worker of `{name}` did not answer within {limit:?} and was killed");
                Error::new(ErrorKind::Other, message).with_help(REPORT)
            }
        }
    }

    /// Returns how the process came to its end.
    fn gone(&mut self) -> Error {
        let begin = Instant::now();
        while !has_ended(&self.child) && begin.elapsed() < GRACE {
            thread::sleep(Duration::from_millis(1));
        }
        let by_itself = has_ended(&self.child);
        let how = match self.kill() {
            Some(_) if !by_itself => "closed its channel and was killed".to_owned(),
            Some(status) => ended(status),
            None => "ended before it answered".to_owned(),
        };
        // What it started may hold its output open for as long as it likes.
        let said = self.last_line.recv_timeout(Duration::from_millis(500)).unwrap_or_default();
        let said = if said.is_empty() { said } else { format!("; the last that it wrote was `{said}`") };
        let starved = said.contains("memory allocation") || how.contains("memory");
        let help = if starved { "give it more `memory`, or less to do" } else { REPORT };
        Error::new(ErrorKind::Other, format!("the worker of `{}` {how}{said}", self.name)).with_help(help)
    }

    /// Kills the process with everything in its group, and waits for its end. One that has ended by
    /// itself keeps the status that it ended with.
    fn kill(&mut self) -> Option<ExitStatus> {
        // The number is nobody else's until the process was waited for.
        if let (false, Some(pid)) = (self.reaped, pid(&self.child)) {
            // It may have ended by now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.reaped = true;
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a person can do about a worker that ended.
const REPORT: &str = "this is a bug in the plugin: report it to its author";

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Returns whether the process has ended, but leaves it there to be waited for.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid(child).is_none_or(|it| waitid(WaitId::Pid(it), options).is_ok_and(|it| it.is_some()))
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(it), _) => match Signal::from_named_raw(it).and_then(signal_name) {
            Some(name) => format!("was ended by signal {it} ({name})"),
            None => format!("was ended by signal {it}"),
        },
        (None, Some(code)) => format!("ended with exit code {code} before it answered"),
        (None, None) => "ended before it answered".to_owned(),
    }
}

fn signal_name(signal: Signal) -> Option<&'static str> {
    let names = [
        (Signal::ILL, "illegal instruction"),
        (Signal::TRAP, "trap"),
        (Signal::ABORT, "abort"),
        (Signal::BUS, "bus error"),
        (Signal::FPE, "arithmetic error"),
        (Signal::KILL, "killed, perhaps by the system for want of memory"),
        (Signal::SEGV, "segmentation fault"),
        (Signal::SYS, "system call refused"),
        (Signal::TERM, "terminated"),
    ];
    names.into_iter().find(|it| it.0 == signal).map(|it| it.1)
}

/// Takes in what a worker and its plugin print, line by line, so that they never wait for a reader.
fn listen(name: &str, mut output: PipeReader, last_line: &Sender<String>) {
    let mut last = String::new();
    let mut line = Vec::new();
    let mut end_line = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line).trim().escape_debug().to_string();
        line.clear();
        if !text.is_empty() {
            debug!(target: TARGET, worker = name, "{text}");
            // What the standard library has to say about itself comes after the cause.
            if !text.starts_with("note: ") {
                last = text;
            }
        }
    };
    let mut buffer = [0; 4096];
    while let Ok(n) = output.read(&mut buffer) {
        if n == 0 {
            break;
        }
        for &it in &buffer[..n] {
            if it == b'\n' {
                end_line(&mut line);
            } else if line.len() < LINE {
                line.push(it);
            }
        }
    }
    end_line(&mut line);
    // Nobody may want to know.
    drop(last_line.send(last));
}

/// The channel, with its waits cut short.
struct Watched<'a> {
    stream: &'a UnixStream,
    child: &'a Child,
    watch: Watch<'a>,
    stopped: Cell<Option<Stop>>,
    ended: bool,
}

impl<'a> Watched<'a> {
    fn new(stream: &'a UnixStream, child: &'a Child, watch: Watch<'a>) -> Self {
        Self { stream, child, watch, stopped: Cell::new(None), ended: false }
    }

    /// Asks whether to go on.
    fn check(&mut self) -> io::Result<()> {
        if let Some(it) = (self.watch)() {
            self.stopped.set(Some(it));
            return Err(io::Error::other("given up"));
        }
        if self.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // A child of the worker may hold the channel open. Seen once it is over, what was sent before is
        // there to be read, so that the next silence is the last.
        self.ended = has_ended(self.child);
        Ok(())
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(out) {
                Err(e) if is_silence(&e) => self.check()?,
                res => return res,
            }
        }
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(e) if is_silence(&e) => self.check()?,
                res => return res,
            }
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
