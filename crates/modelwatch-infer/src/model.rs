//! A model that takes record batches.

use std::{fmt, mem, num::NonZeroUsize, ops::Range, path::Path, sync::Arc, thread};

use arrow_array::RecordBatch;
use modelwatch_tensors::heap;

use crate::{
    columns_in, columns_out,
    error::InferError,
    runtime::{Executable, Prepared, Runtime},
    spec::{Layers, ModelInfo},
    tensor::{HostTensor, Values},
    tract::TractRuntime,
};

/// A loaded model. Clones share it, and it can be used from several threads at once.
#[derive(Clone)]
pub struct Model {
    pub(crate) executable: Arc<dyn Executable>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("path", &self.executable.path()).finish_non_exhaustive()
    }
}

impl Model {
    /// Loads the model at `path`, a file or a folder whose format is found by content.
    ///
    /// Fails if it cannot be read, or if it cannot be computed correctly: then the error names operators and nodes.
    pub fn load(path: &Path) -> Result<Self, InferError> {
        Self::load_with(&TractRuntime::default(), path)
    }

    /// Loads the model at `path` with another runtime.
    pub fn load_with(runtime: &dyn Runtime, path: &Path) -> Result<Self, InferError> {
        let executable = runtime.load(path)?;
        // The file as it was decoded, as large as the weights that stay.
        heap::give_back();
        Ok(Self { executable })
    }

    /// Returns the tensors inside of the model.
    ///
    /// # Errors
    /// [`InferError::Layer`] or [`InferError::Opaque`] where none can be had.
    pub fn layers(&self) -> Result<&Layers, InferError> {
        self.executable.layers()
    }

    /// Returns the model with these tensors inside of it as further outputs, unless they are outputs already. The file is not read again.
    ///
    /// # Errors
    /// As [`Model::layers`], and where one of them is not there, or the model cannot be prepared with it.
    pub fn with_layers(&self, layers: &[String]) -> Result<Self, InferError> {
        Ok(Self { executable: self.executable.with_layers(layers)? })
    }

    /// Prepares the model for rows such as these.
    ///
    /// # Errors
    /// Where it cannot be run on rows of these shapes.
    pub fn prepare(&self, input: &RecordBatch) -> Result<(), InferError> {
        self.executable.plan(&row_shapes(&self.inputs(input)?)).map(drop)
    }

    /// Returns the model's inputs, outputs and operators.
    pub fn info(&self) -> &ModelInfo {
        self.executable.info()
    }

    /// Returns the number of rows that are computed together.
    ///
    /// Batches cut at multiples of this give bit-identical outputs, whatever the cut and the number of threads.
    pub fn micro_batch(&self) -> usize {
        self.executable.micro_batch()
    }

    /// Returns what was noticed while the model was prepared and run: that it cannot be run in its fast form, and from which
    /// node on that form is wrong.
    pub fn warnings(&self) -> Vec<String> {
        self.executable.warnings()
    }

    /// Returns whether the rows influence each other, as far as that was seen by now: then each is run alone, and has another answer among
    /// others.
    pub fn rows_are_mixed(&self) -> bool {
        self.executable.rows_are_mixed()
    }

    /// Runs all rows of `input` and returns one row of outputs for each.
    ///
    /// `input` has one column per model input, named after it; further columns are ignored. A model input with one element a row takes
    /// a primitive column, others take (nested) fixed-size lists or `arrow.fixed_shape_tensor` columns with as many elements.
    /// The result has one column per model output: `[N]` is a primitive column, `[N, …]` a fixed-size list whose row shape is in
    /// `arrow.fixed_shape_tensor` metadata.
    ///
    /// Rows are computed in micro-batches counted from row 0; what is left, in smaller ones, of which the last is filled up by
    /// repeating its last row, unless it is a single row, which is computed as such.
    pub fn run(&self, input: &RecordBatch, threads: NonZeroUsize) -> Result<RecordBatch, InferError> {
        self.run_with(input, |inputs, n_rows| self.run_rows(inputs, n_rows, threads))
    }

    /// Runs all rows of `input` in one call of the model, as [`Model::run`] does in micro-batches, so that what depends on the
    /// size of a batch shows. A model whose batch is part of it takes that many rows at once all the same.
    ///
    /// # Errors
    /// As [`Model::run`], and where the rows influence each other.
    pub fn run_at_once(&self, input: &RecordBatch) -> Result<RecordBatch, InferError> {
        self.run_with(input, |inputs, n_rows| {
            self.run_range(&*self.executable.plan_at(n_rows, &row_shapes(inputs))?, inputs, 0, n_rows)
        })
    }

    fn run_with(
        &self,
        input: &RecordBatch,
        run: impl FnOnce(&[HostTensor], usize) -> Result<Vec<HostTensor>, InferError>,
    ) -> Result<RecordBatch, InferError> {
        let inputs = self.inputs(input)?;
        let n_rows = input.num_rows();
        let outputs = if n_rows == 0 { self.no_rows() } else { run(&inputs, n_rows)? };
        let names = self.info().outputs.iter().map(|it| it.name.clone());
        columns_out::batch_of(n_rows, names.zip(outputs).collect())
    }

    /// Returns the model's inputs in its order.
    pub(crate) fn inputs(&self, input: &RecordBatch) -> Result<Vec<HostTensor>, InferError> {
        self.info().inputs.iter().map(|it| columns_in::tensor_for(input, it)).collect()
    }

    fn no_rows(&self) -> Vec<HostTensor> {
        let one = |it: &crate::spec::TensorSpec| {
            let mut shape: Vec<usize> = it.shape.iter().map(|it| it.unwrap_or(0)).collect();
            if let Some(first) = shape.first_mut() {
                *first = 0;
            }
            HostTensor { shape, values: Values::none_of(it.dtype) }
        };
        self.info().outputs.iter().map(one).collect()
    }

    pub(crate) fn run_rows(
        &self,
        inputs: &[HostTensor],
        n_rows: usize,
        threads: NonZeroUsize,
    ) -> Result<Vec<HostTensor>, InferError> {
        let shapes = row_shapes(inputs);
        let mut plan = self.executable.plan(&shapes)?;
        let (mut res, mut done) = (Vec::new(), 0);
        let mut run_to = |plan: &dyn Prepared, end: usize| {
            let part = self.run_batches(plan, inputs, done..end, threads)?;
            let n = end - mem::replace(&mut done, end);
            if n == 0 { Ok(()) } else { self.append(&mut res, part, n) }
        };
        let rest = n_rows % plan.rows();
        if rest > 1
            && let Some(few) = self.executable.few(&shapes)
        {
            run_to(&*plan, n_rows - rest)?;
            plan = few;
        }
        // A request of one row, as a service gets them, must not cost a whole micro-batch.
        let single = (rest % plan.rows() == 1).then(|| self.executable.single(&shapes)).flatten();
        if let Some(single) = single {
            run_to(&*plan, n_rows - 1)?;
            plan = single;
        }
        run_to(&*plan, n_rows)?;
        Ok(res)
    }

    /// Computes some rows with one plan.
    fn run_batches(
        &self,
        plan: &dyn Prepared,
        inputs: &[HostTensor],
        rows: Range<usize>,
        threads: NonZeroUsize,
    ) -> Result<Vec<HostTensor>, InferError> {
        let n_rows = rows.len();
        if n_rows == 0 {
            return Ok(Vec::new());
        }
        let n_batches = n_rows.div_ceil(plan.rows());
        let rows_each = n_batches.div_ceil(threads.get().min(n_batches)) * plan.rows();
        let starts: Vec<usize> = rows.clone().step_by(rows_each).collect();
        if starts.len() == 1 {
            return self.run_range(plan, inputs, rows.start, rows.end);
        }
        let mut batches = rows.clone().step_by(plan.rows());
        batches.find(|&start| plan.settle(batch_at(plan, inputs, start, rows.end)));
        let parts = thread::scope(|scope| {
            let spawn = |&start: &usize| {
                scope.spawn(move || self.run_range(plan, inputs, start, rows.end.min(start + rows_each)))
            };
            let handles: Vec<_> = starts.iter().map(spawn).collect();
            handles
                .into_iter()
                .map(|it| it.join().unwrap_or_else(|_| Err(self.failed("a worker thread panicked"))))
                .collect()
        });
        let parts: Result<Vec<_>, _> = parts;
        let mut res = Vec::new();
        for part in parts? {
            let n = part.first().and_then(|it: &HostTensor| it.shape.first().copied()).unwrap_or(0);
            self.append(&mut res, part, n)?;
        }
        Ok(res)
    }

    fn run_range(
        &self,
        plan: &dyn Prepared,
        inputs: &[HostTensor],
        from: usize,
        to: usize,
    ) -> Result<Vec<HostTensor>, InferError> {
        let rows = plan.rows();
        let mut worker = plan.worker()?;
        let mut res = Vec::new();
        for start in (from..to).step_by(rows) {
            let outputs = worker.run(batch_at(plan, inputs, start, to))?;
            self.append(&mut res, outputs, rows.min(to - start))?;
            if start == from {
                res.iter_mut().for_each(|it| it.reserve((to - start).saturating_sub(rows)));
            }
        }
        Ok(res)
    }

    /// Appends the first `n` rows of each tensor; all parts must agree on the rows' shape.
    fn append(&self, res: &mut Vec<HostTensor>, part: Vec<HostTensor>, n: usize) -> Result<(), InferError> {
        if res.is_empty() {
            *res = part
                .iter()
                .map(|it| HostTensor {
                    shape: [&[0], &it.shape[1..]].concat(),
                    values: Values::none_of(it.values.dtype()),
                })
                .collect();
        }
        for (to, from) in res.iter_mut().zip(part) {
            let width = to.row_len();
            if to.shape[1..] != from.shape[1..] || !to.values.append(from.values, n * width) {
                return Err(self.failed("an output changes its shape or type from row to row"));
            }
            to.shape[0] += n;
        }
        Ok(())
    }

    fn failed(&self, reason: &str) -> InferError {
        InferError::Run { path: self.executable.path().to_path_buf(), reason: reason.to_string() }
    }
}

/// Returns the inputs of a run from `start` on, filled up where there are fewer rows before `end`.
fn batch_at(plan: &dyn Prepared, inputs: &[HostTensor], start: usize, end: usize) -> Vec<HostTensor> {
    let rows = plan.rows();
    inputs.iter().map(|it| it.rows(start, rows.min(end - start), rows)).collect()
}

/// Returns the shapes of the rows of each input.
pub(crate) fn row_shapes(inputs: &[HostTensor]) -> Vec<Vec<usize>> {
    inputs.iter().map(|it| it.shape[1..].to_vec()).collect()
}
