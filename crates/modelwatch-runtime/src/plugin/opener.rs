//! Where the instances of a probe are opened: in the process of the run, or in workers.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use modelwatch_sdk::{Needs, Probe, Result};
use serde_json::Value;

use super::Component;
#[cfg(unix)]
use super::isolated::Workers;

/// The program that is a worker when it is called with these arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The program.
    pub program: PathBuf,
    /// What tells it to be a worker.
    pub arguments: Vec<OsString>,
}

/// What the workers of one probe may take, and when they are to end.
#[derive(Clone, Debug)]
pub struct WorkerLimits {
    /// What the probe is called in messages.
    pub name: String,
    /// How long the probe may take; then its worker is killed.
    pub timeout: Option<Duration>,
    /// The address space of a worker in bytes.
    pub memory: Option<u64>,
    /// Set to kill them.
    pub cancelled: Arc<AtomicBool>,
}

/// Opens instances of a probe.
#[derive(Clone)]
pub struct Opener<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    Thread(Component<'a>),
    #[cfg(unix)]
    Process(Workers),
}

impl WorkerProgram {
    /// Returns this program with these arguments.
    ///
    /// # Errors
    /// When the system does not say where it is.
    pub fn this(arguments: Vec<OsString>) -> std::io::Result<Self> {
        Ok(Self { program: this_program()?, arguments })
    }
}

/// Returns where this program is: not the name of its file, which may have been replaced since, but the same build.
pub(crate) fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { env::current_exe() }
}

impl<'a> Opener<'a> {
    /// Returns what opens instances in the calling thread.
    pub fn in_thread(component: Component<'a>) -> Self {
        Self(Place::Thread(component))
    }

    /// Returns what opens instances in processes of their own.
    ///
    /// # Errors
    /// When that cannot be, with a sentence that says why.
    #[cfg(unix)]
    pub fn in_process(
        component: Component<'a>,
        program: Option<&WorkerProgram>,
        limits: WorkerLimits,
    ) -> std::result::Result<Self, String> {
        let name = &component.info.name;
        let (path, digest) = component
            .library()
            .ok_or_else(|| format!("`{name}` is built into this program and cannot run in a process of its own"))?;
        let program = program.ok_or("this program starts no processes for plugins")?;
        let component = component.info.full_name();
        // The worker starts in the same folder, but a link in the path may move.
        let path = std::path::absolute(path).map_err(|e| format!("cannot find `{}`: {e}", path.display()))?;
        Ok(Self(Place::Process(Workers::new(program.clone(), path, digest.to_owned(), component, limits))))
    }

    /// Returns that there are no processes for plugins on this system.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(unix))]
    pub fn in_process(
        _: Component<'a>,
        _: Option<&WorkerProgram>,
        _: WorkerLimits,
    ) -> std::result::Result<Self, String> {
        Err("plugins run in processes of their own on Unix only".to_owned())
    }

    /// Opens an instance.
    ///
    /// # Errors
    /// When the configuration does not fit, or the plugin or its worker fails.
    pub fn open_probe(&self, config: &Value) -> Result<Box<dyn Probe>> {
        match &self.0 {
            Place::Thread(it) => it.open_probe(config),
            #[cfg(unix)]
            Place::Process(it) => it.open_probe(config),
        }
    }

    /// Opens another instance with the same configuration, of which `needs` is known.
    ///
    /// # Errors
    /// As [`open_probe`](Self::open_probe).
    pub(crate) fn open_another(&self, config: &Value, needs: &Arc<Needs>) -> Result<Box<dyn Probe>> {
        match &self.0 {
            Place::Thread(it) => it.open_another(config, needs),
            #[cfg(unix)]
            Place::Process(it) => it.open_probe(config),
        }
    }

    /// Sets when the probe's time is over, once it is known when its time began. Whoever calls a probe
    /// in a thread asks it to end by itself, so that this concerns workers alone.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        match &self.0 {
            Place::Thread(_) => {}
            #[cfg(unix)]
            Place::Process(it) => it.set_deadline(deadline),
        }
    }
}
