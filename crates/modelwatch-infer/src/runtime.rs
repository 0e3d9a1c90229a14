//! What a runtime must offer: a model becomes a plan per concrete row shape, and a plan has one worker per thread.

use std::{path::Path, sync::Arc};

use crate::{
    error::InferError,
    spec::{Layers, ModelInfo},
    tensor::HostTensor,
    tract::{NodeGraph, Tap},
};

/// Something that reads model files.
pub trait Runtime: Send + Sync {
    /// Returns the runtime's name and version, for records.
    fn name(&self) -> &str;
    /// Loads a model from a file or folder.
    fn load(&self, path: &Path) -> Result<Arc<dyn Executable>, InferError>;
}

/// A loaded model.
pub trait Executable: Send + Sync {
    /// Returns the file or folder the model was read from.
    fn path(&self) -> &Path;
    /// Returns what is known of the model.
    fn info(&self) -> &ModelInfo;
    /// Returns the tensors inside of the model's graph.
    ///
    /// # Errors
    /// [`InferError::Layer`] where the format has none, and [`InferError::Opaque`] where what runs the model shows none.
    fn layers(&self) -> Result<&Layers, InferError>;
    /// Returns the model that gives these tensors inside of its graph as well, behind its outputs, unless they are outputs already.
    /// It is of what was read when the model was loaded, which the two share.
    ///
    /// # Errors
    /// As [`Executable::layers`], [`InferError::Layer`] where one of them is not there, and as [`Runtime::load`].
    fn with_layers(&self, layers: &[String]) -> Result<Arc<dyn Executable>, InferError>;
    /// Returns the rows of a micro-batch; every plan's [`Prepared::rows`] divides it.
    fn micro_batch(&self) -> usize;
    /// Returns the plan for inputs whose rows have these shapes (the batch axis left out), making it at the first call.
    fn plan(&self, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError>;
    /// Returns the plan for what is left of a batch, of fewer rows than [`Executable::plan`] has; none where there is no such.
    fn few(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>>;
    /// Returns the plan for single rows; none where it cannot be made, or where the batch is part of the model.
    fn single(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>>;
    /// Returns what was noticed while the model was prepared and run, that whoever relies on its outputs should know.
    fn warnings(&self) -> Vec<String>;
    /// Returns whether it was seen that rows influence each other, for which reason each is run alone.
    fn rows_are_mixed(&self) -> bool;
    /// Returns a plan that runs this many rows at once; one for another number where the batch is part of the model.
    fn plan_at(&self, rows: usize, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError>;
    /// Returns the graph as written, to be run node by node on inputs whose rows have these shapes: for as many rows as are
    /// wanted, or for as few as can be, save where the batch is part of the model.
    fn nodes(&self, row_shapes: &[Vec<usize>], rows: Option<usize>) -> Result<NodeGraph, InferError>;
    /// Returns what shows the values of the nodes for inputs whose rows have these shapes, of as few rows at once as can be.
    ///
    /// # Errors
    /// As [`Executable::nodes`], unless the nodes can be shown in another way.
    fn tap(&self, row_shapes: &[Vec<usize>]) -> Result<Tap, InferError> {
        Ok(Tap::Compiled(Box::new(self.nodes(row_shapes, None)?)))
    }
    /// Returns the graph as [`Executable::nodes`], of an ONNX model, with the places of the file's tensors in it.
    fn nodes_of_file(&self, row_shapes: &[Vec<usize>], rows: Option<usize>) -> Result<NodeGraph, InferError>;
}

/// A model prepared for concrete shapes.
pub trait Prepared: Send + Sync {
    /// Returns the number of rows in each run.
    fn rows(&self) -> usize;
    /// Decides, on the inputs of a run, what is decided once for all runs, and returns whether all of that is decided now. Called with
    /// one batch after the other before several threads run them, so that no result depends on which of them comes first.
    fn settle(&self, _inputs: Vec<HostTensor>) -> bool {
        true
    }
    /// Returns a worker, which one thread uses for many runs.
    fn worker(&self) -> Result<Box<dyn Worker + '_>, InferError>;
}

/// Returns the outputs of a run of the model at `path` if each has as many rows as went in.
///
/// # Errors
/// [`InferError::Run`] where one has not.
pub fn rows_of(path: &Path, rows: usize, outputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError> {
    match outputs.iter().position(|it| it.shape.first() != Some(&rows)) {
        None => Ok(outputs),
        Some(idx) => {
            let reason = format!("output {idx} has shape {:?} for {rows} rows", outputs[idx].shape);
            Err(InferError::Run { path: path.to_path_buf(), reason })
        }
    }
}

/// The state of one thread that runs a plan.
pub trait Worker {
    /// Runs exactly [`Prepared::rows`] rows; every output has that length along its first axis.
    fn run(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError>;
}
