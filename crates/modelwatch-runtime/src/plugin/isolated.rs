//! Probes in processes of their own, as values of the ordinary trait.
//!
//! What a worker may do to the run is answer, late or wrongly; what becomes of the worker is an error of
//! this one probe. See [`super::worker`] for the other side.

use std::{
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use modelwatch_sdk::{Error, ErrorKind, Host, ModelRole, Needs, Probe, RecordBatch, Report, Result, Role, TensorView};
use serde_json::Value;

use super::{
    foreign::{emit, log_level, parse},
    opener::{WorkerLimits, WorkerProgram},
    process::{Process, Stop},
    wire::{self, Reply, Request},
};

/// How long a worker may take to load its library or to open an instance, which is done once per
/// partition and has to be cheap.
const OPENING: Duration = Duration::from_secs(30);

/// The workers of one probe of a pipeline.
///
/// Every instance has a worker of its own for as long as it lives, and leaves it to the next one. So
/// there are as many workers as instances at a time, one per thread of the pass and one for the main
/// instance: threads do not wait for each other, a channel carries one conversation, and the price of a
/// process is not paid for every partition. A worker for all instances would need a thread for each and
/// a number in each frame, and would be no cheaper.
#[derive(Clone)]
pub(super) struct Workers(Arc<Shared>);

struct Shared {
    program: WorkerProgram,
    library: PathBuf,
    digest: String,
    component: String,
    limits: WorkerLimits,
    deadline: Mutex<Option<Instant>>,
    idle: Mutex<Vec<Process>>,
}

impl Workers {
    /// Returns workers for the component (`kind/name`) of the library with that digest. None is started yet.
    pub(super) fn new(
        program: WorkerProgram,
        library: PathBuf,
        digest: String,
        component: String,
        limits: WorkerLimits,
    ) -> Self {
        let (deadline, idle) = (Mutex::new(None), Mutex::new(Vec::new()));
        Self(Arc::new(Shared { program, library, digest, component, limits, deadline, idle }))
    }

    /// Opens an instance in a worker that has none.
    pub(super) fn open_probe(&self, config: &Value) -> Result<Box<dyn Probe>> {
        let shared = Arc::clone(&self.0);
        let idle = lock(&shared.idle).pop();
        let mut process = idle.map_or_else(|| shared.start(), Ok)?;
        let request = Request::Open { component: shared.component.clone() };
        let opened = shared.call(&mut process, &(), &request, config.to_string().as_bytes());
        let needs = match opened {
            Ok(it) => parse(&String::from_utf8_lossy(&it))?,
            Err(Failed::Probe(e)) => {
                lock(&shared.idle).push(process);
                return Err(e);
            }
            Err(Failed::Worker(e)) => return Err(e),
        };
        Ok(Box::new(IsolatedProbe { shared, needs, worker: Ok(process) }))
    }

    /// Sets when the probe's time is over. Until then every call has that time for itself, and opening,
    /// which the plan does before the probe's time begins, has a time of its own.
    pub(super) fn set_deadline(&self, deadline: Instant) {
        *lock(&self.0.deadline) = Some(deadline);
    }
}

/// Why a call failed.
enum Failed {
    /// The plugin says so; its worker is as good as before.
    Probe(Error),
    /// The worker is no more.
    Worker(Error),
}

impl Shared {
    /// Starts a worker and has it load the library.
    fn start(&self) -> Result<Process> {
        let mut res = Process::start(&self.limits.name, &self.program)?;
        let request = Request::Load { digest: self.digest.clone(), log_level: log_level(), memory: self.limits.memory };
        let path = self.library.as_os_str().as_bytes();
        match self.call(&mut res, &(), &request, path) {
            Ok(_) => Ok(res),
            Err(Failed::Probe(e) | Failed::Worker(e)) => Err(e),
        }
    }

    /// Sends a request and serves the worker until it answers.
    fn call(
        &self,
        process: &mut Process,
        host: &dyn Host,
        request: &Request,
        payload: &[u8],
    ) -> std::result::Result<Vec<u8>, Failed> {
        let begin = Instant::now();
        let is_opening = matches!(request, Request::Load { .. } | Request::Open { .. });
        let timeout = self.limits.timeout.and_then(|limit| {
            let alone = || begin.checked_add(limit).filter(|_| !is_opening);
            Some(((*lock(&self.deadline)).or_else(alone)?, Stop::Timeout(limit)))
        });
        let is_brief = is_opening || matches!(request, Request::End);
        let opening = is_brief.then(|| (begin + OPENING, Stop::Slow(OPENING)));
        let watch = || {
            // Asked before the clock is read: a host that says so because of the same deadline is not believed
            // to have been cancelled.
            let cancelled = self.limits.cancelled.load(Ordering::Relaxed) || host.is_cancelled();
            let now = Instant::now();
            let over = [timeout, opening].into_iter().flatten().find(|it| now >= it.0).map(|it| it.1);
            over.or(cancelled.then_some(Stop::Cancelled))
        };
        process.send(request, payload, &watch).map_err(Failed::Worker)?;
        loop {
            let (reply, payload) = process.receive(&watch).map_err(Failed::Worker)?;
            let answer = match reply {
                Reply::Done => return Ok(payload),
                Reply::Failed(e) => return Err(Failed::Probe(e.into())),
                Reply::Log { level, plugin, fields, message } => {
                    emit(level, &plugin, &fields, &message);
                    continue;
                }
                Reply::Progress { done, total } => {
                    host.progress(done, total);
                    continue;
                }
                Reply::IsCancelled => Ok(Value::from(host.is_cancelled()).to_string().into_bytes()),
                Reply::Exchange { service } => exchange(host, &service, payload),
                Reply::Call { service } => parse(&String::from_utf8_lossy(&payload))
                    .and_then(|argument| host.call(&service, &argument))
                    .map(|it| it.to_string().into_bytes()),
            };
            let sent = match answer {
                Ok(it) => process.send(&Request::Answered, &it, &watch),
                Err(e) => process.send(&Request::Refused(e.into()), &[], &watch),
            };
            sent.map_err(Failed::Worker)?;
        }
    }
}

fn exchange(host: &dyn Host, service: &str, rows: Vec<u8>) -> Result<Vec<u8>> {
    wire::rows_to_bytes(&host.exchange(service, &wire::rows_from_bytes(rows)?)?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is held here is ever half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An instance in a worker.
struct IsolatedProbe {
    shared: Arc<Shared>,
    needs: Needs,
    /// The worker, or why it is no more.
    worker: Result<Process>,
}

impl IsolatedProbe {
    fn call(&mut self, host: &dyn Host, request: &Request, payload: &[u8]) -> Result<Vec<u8>> {
        let process = self.worker.as_mut().map_err(|e| e.clone())?;
        self.shared.call(process, host, request, payload).map_err(|e| match e {
            Failed::Probe(e) => e,
            Failed::Worker(e) => {
                self.worker = Err(e.clone());
                e
            }
        })
    }
}

impl Probe for IsolatedProbe {
    fn needs(&self) -> Needs {
        self.needs.clone()
    }
    fn update(&mut self, host: &dyn Host, role: Role, rows: &RecordBatch) -> Result<()> {
        let request = Request::Update { role: role.as_str().to_owned() };
        self.call(host, &request, &wire::rows_to_bytes(rows)?).map(drop)
    }
    fn update_tensor(&mut self, host: &dyn Host, role: ModelRole, tensor: &TensorView<'_>) -> Result<()> {
        let request = Request::UpdateTensor {
            role: role.as_str().to_owned(),
            name: tensor.name.to_owned(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.to_vec(),
        };
        self.call(host, &request, tensor.bytes).map(drop)
    }
    fn state(&mut self) -> Result<Vec<u8>> {
        self.call(&(), &Request::State, &[])
    }
    fn merge(&mut self, state: &[u8]) -> Result<()> {
        self.call(&(), &Request::Merge, state).map(drop)
    }
    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        let report = self.call(host, &Request::Evaluate, &[])?;
        parse(&String::from_utf8_lossy(&report))
    }
    fn close(&mut self) -> Result<()> {
        self.call(&(), &Request::End, &[]).map(drop)
    }
}

impl Drop for IsolatedProbe {
    fn drop(&mut self) {
        let gone = Err(Error::new(ErrorKind::Other, "the instance was dropped"));
        let Ok(mut process) = std::mem::replace(&mut self.worker, gone) else { return };
        let begin = Instant::now();
        let watch = || (begin.elapsed() >= OPENING).then_some(Stop::Slow(OPENING));
        // The end of an instance is not waited for: should it be the end of its worker, the next one is told.
        if process.send(&Request::Close, &[], &watch).is_ok() {
            lock(&self.shared.idle).push(process);
        }
    }
}
