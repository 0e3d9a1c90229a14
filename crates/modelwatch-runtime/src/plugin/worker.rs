//! The worker: a process that loads one library, and opens and calls its probes for a run.
//!
//! It lives as long as the channel on its standard input. A thread of its own reads that, so that it
//! notices the end of the run also while the plugin is busy, and ends the process on the spot.

use std::{
    convert::Infallible,
    ffi::OsString,
    fmt,
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStringExt, net::UnixStream},
    },
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
};

use modelwatch_sdk::{DType, Error, Host, ModelRole, Probe, RecordBatch, Result, Role, TensorView};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process_group, setrlimit};
use serde_json::Value;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use super::{
    foreign::{ForeignProbe, parse},
    library::{self, Library},
    wire::{self, ANSWER_LIMIT, FrameError, REQUEST_LIMIT, Reply, Request},
};

/// Serves the run at the other end of the standard input, and ends the process with it.
///
/// # Errors
/// When there is no run at the other end.
pub fn serve_worker() -> std::result::Result<Infallible, String> {
    let lent = "a run starts its workers by itself; this command is of no use to others";
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(|e| format!("{lent}: {e}"))?;
    let stream = UnixStream::from(input);
    // Only a socket has an address.
    stream.local_addr().map_err(|_| lent.to_owned())?;
    // A plugin that reads its standard input finds nothing there.
    let nothing = File::open("/dev/null").and_then(|it| Ok(rustix::stdio::dup2_stdin(it)?));
    nothing.map_err(|e| format!("cannot open `/dev/null`: {e}"))?;
    limit(Resource::Core, 0)?;
    let mut reading = stream.try_clone().map_err(|e| format!("{lent}: {e}"))?;
    let (sender, requests) = channel();
    thread::spawn(move || {
        while let Ok(it) = wire::read::<Request>(&mut reading, REQUEST_LIMIT) {
            if sender.send(it).is_err() {
                break;
            }
        }
        end()
    });
    let run = Arc::new(Run { stream: Mutex::new(stream), requests: Mutex::new(requests) });
    let root = loop {
        let (request, payload) = run.next();
        match load(&run, request, payload) {
            Ok(it) => {
                run.send(&Reply::Done, &[]);
                break it.root;
            }
            Err(e) => run.send(&Reply::Failed(e.into()), &[]),
        }
    };
    let mut probe = None;
    loop {
        let (request, payload) = run.next();
        let answer = match request {
            Request::Close => {
                probe = None;
                continue;
            }
            Request::Open { component } => {
                // The one before it goes first: a plugin may allow one at a time.
                probe = None;
                parse(&String::from_utf8_lossy(&payload))
                    .and_then(|config: Value| ForeignProbe::open(root, &component, &config))
                    .and_then(|it| json(&probe.insert(it).needs()))
            }
            request => match &mut probe {
                Some(it) => call(it, run.as_ref(), request, payload),
                None => Err(Error::input("no instance is open")),
            },
        };
        match answer {
            Ok(it) => run.send(&Reply::Done, &it),
            Err(e) => run.send(&Reply::Failed(e.into()), &[]),
        }
    }
}

fn load(run: &Arc<Run>, request: Request, path: Vec<u8>) -> Result<Library> {
    let Request::Load { digest, log_level, memory } = request else {
        return Err(Error::input("no library is loaded"));
    };
    if let Some(it) = memory {
        limit(Resource::As, it).map_err(Error::io)?;
    }
    let level = match log_level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // Set once, because a library is loaded once.
    drop(tracing::subscriber::set_global_default(Forward { run: Arc::clone(run), level }));
    let path = PathBuf::from(OsString::from_vec(path));
    library::load(&path, Some(&digest)).map_err(Error::input)
}

fn call(probe: &mut dyn Probe, host: &dyn Host, request: Request, payload: Vec<u8>) -> Result<Vec<u8>> {
    let model = |role: &str| ModelRole::parse(role).ok_or_else(|| Error::input(format!("unknown role `{role}`")));
    match request {
        Request::Update { role } => {
            let role = Role::parse(&role).ok_or_else(|| Error::input(format!("unknown role `{role}`")))?;
            probe.update(host, role, &wire::rows_from_bytes(payload)?)?;
            Ok(Vec::new())
        }
        Request::UpdateTensor { role, name, dtype, shape } => {
            let dtype = DType::parse(&dtype).ok_or_else(|| Error::input(format!("unknown type `{dtype}`")))?;
            let tensor = TensorView { name: &name, dtype, shape: &shape, bytes: &payload };
            probe.update_tensor(host, model(&role)?, &tensor)?;
            Ok(Vec::new())
        }
        Request::State => probe.state(),
        Request::Merge => probe.merge(&payload).map(|()| Vec::new()),
        Request::Evaluate => json(&probe.evaluate(host)?),
        Request::End => probe.close().map(|()| Vec::new()),
        _ => Err(Error::input("this cannot be asked now")),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(Error::input)
}

fn limit(resource: Resource, most: u64) -> std::result::Result<(), String> {
    let new = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, new).map_err(|e| format!("cannot limit the worker to {most} ({resource:?}): {e}"))
}

/// Ends the process at once, with whatever the plugin has started, and without a destructor or a handler
/// of the plugin's that could stop it.
fn end() -> ! {
    // What is below ends a process that leads no group.
    let _ = kill_process_group(getpid(), Signal::KILL);
    process::abort()
}

/// The run, at the other end of the channel.
struct Run {
    stream: Mutex<UnixStream>,
    requests: Mutex<Receiver<(Request, Vec<u8>)>>,
}

impl Run {
    fn next(&self) -> (Request, Vec<u8>) {
        lock(&self.requests).recv().unwrap_or_else(|_| end())
    }

    fn send(&self, reply: &Reply, payload: &[u8]) {
        let written = wire::write(&mut *lock(&self.stream), reply, payload, ANSWER_LIMIT);
        match (written, reply) {
            (Ok(()), _) => {}
            // An event that is too long is nobody's answer.
            (Err(FrameError::TooLong { .. }), Reply::Log { .. }) => {}
            (Err(e @ FrameError::TooLong { .. }), Reply::Done) => {
                let e = Error::input(format!("the answer cannot be sent: {e}"));
                self.send(&Reply::Failed(e.into()), &[]);
            }
            (Err(_), _) => end(),
        }
    }

    /// Asks the run, which answers nothing else in between.
    fn ask(&self, question: &Reply, payload: &[u8]) -> Result<Vec<u8>> {
        if payload.len() as u64 > ANSWER_LIMIT {
            return Err(Error::input(format!("{} bytes are too many to be sent at once", payload.len())));
        }
        let requests = lock(&self.requests);
        self.send(question, payload);
        match requests.recv() {
            Ok((Request::Answered, it)) => Ok(it),
            Ok((Request::Refused(e), _)) => Err(e.into()),
            _ => end(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host for Run {
    fn progress(&self, done: u64, total: u64) {
        self.send(&Reply::Progress { done, total }, &[]);
    }
    fn is_cancelled(&self) -> bool {
        self.ask(&Reply::IsCancelled, &[]).is_ok_and(|it| it == b"true")
    }
    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let question = Reply::Exchange { service: service.to_owned() };
        wire::rows_from_bytes(self.ask(&question, &wire::rows_to_bytes(rows)?)?)
    }
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        let question = Reply::Call { service: service.to_owned() };
        parse(&String::from_utf8_lossy(&self.ask(&question, argument.to_string().as_bytes())?))
    }
}

/// Sends the plugin's events, which arrive as those of `foreign`, to the run.
struct Forward {
    run: Arc<Run>,
    level: LevelFilter,
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == super::foreign::TARGET && *metadata.level() <= self.level
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }
    fn event(&self, event: &Event<'_>) {
        let mut it = Fields::default();
        event.record(&mut it);
        let level = match *event.metadata().level() {
            Level::ERROR => 1,
            Level::WARN => 2,
            Level::INFO => 3,
            Level::DEBUG => 4,
            Level::TRACE => 5,
        };
        self.run.send(&Reply::Log { level, plugin: it.plugin, fields: it.fields, message: it.message }, &[]);
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    plugin: String,
    fields: String,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "plugin" => self.plugin = value.to_owned(),
            "fields" => self.fields = value.to_owned(),
            _ => {}
        }
    }
}
