//! Sessions of one model. One runs at a time; there are as many as threads ever ran the model at once.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use modelwatch_infer::{HostTensor, InferError, TensorSpec, guarded, one_line};
use ort::{environment::Environment, session::Session, value::DynValue};

use crate::{NAME, values};

pub(crate) struct Sessions {
    path: PathBuf,
    environment: Environment,
    threads: NonZeroUsize,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    idle: Mutex<Vec<Session>>,
}

impl Sessions {
    /// Loads the model for the first session.
    pub(crate) fn new(
        path: &Path,
        environment: &Environment,
        threads: NonZeroUsize,
        inputs: Vec<TensorSpec>,
    ) -> Result<Self, InferError> {
        let mut res = Self {
            path: path.to_path_buf(),
            environment: environment.clone(),
            threads,
            inputs,
            outputs: Vec::new(),
            idle: Mutex::default(),
        };
        let first = res.start()?;
        res.outputs = first.outputs().iter().map(values::spec).collect::<Result<_, _>>().map_err(|reason| {
            let path = path.to_path_buf();
            InferError::Interface { path, reason }
        })?;
        res.put_back(first);
        Ok(res)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the model says of its outputs.
    pub(crate) fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Runs the model once.
    pub(crate) fn run(&self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut session = match idle {
            Some(it) => it,
            None => self.start()?,
        };
        // A session that failed is not used again.
        let failed = |reason| InferError::Run { path: self.path.clone(), reason };
        let outputs = guarded(&self.path, || self.try_run(&mut session, inputs).map_err(failed))?;
        self.put_back(session);
        Ok(outputs)
    }

    fn put_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn start(&self) -> Result<Session, InferError> {
        let session = || -> ort::Result<Session> {
            // Threads that wait for work otherwise burn the processor that the other threads of a run need.
            Session::builder(&self.environment)?
                .with_intra_threads(self.threads.get())?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .commit_from_file(&self.path)
        };
        let refused = |e: ort::Error| InferError::Unsound {
            path: self.path.clone(),
            reason: format!("{NAME} refuses it ({})", one_line(e.message())),
            remedy: "export it with operators that this release knows, or leave `runtime` out",
        };
        guarded(&self.path, || session().map_err(refused))
    }

    fn try_run(&self, session: &mut Session, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, String> {
        let said = |e: ort::Error| one_line(e.message());
        let named = self.inputs.iter().zip(inputs);
        let named: Vec<(&str, DynValue)> = named
            .map(|(spec, it)| Ok((&*spec.name, values::to_value(it, spec.dtype)?)))
            .collect::<ort::Result<_>>()
            .map_err(said)?;
        let outputs = session.run(named).map_err(said)?;
        (0..self.outputs.len()).map(|idx| values::from_value(&outputs[idx]).map_err(said)).collect()
    }
}
