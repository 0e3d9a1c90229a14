//! The smallest model in which a difference shows.
//!
//! [`Comparison`](crate::Comparison) names the first node that does something else than its counterpart. Here it is cut out of
//! its ONNX file, with the values that it works on, so that whoever has to mend it can run it with any tool. No bisection is
//! needed for that: where the difference begins is known of all nodes after one pass.
//!
//! Two cuts are made. The **prefix** is all that the node needs, back to the inputs of the model. The **part** ends at the next
//! tensors for which the reference has a value, and is fed that; most often it is the node alone.

use std::collections::HashMap;

use arrow_array::RecordBatch;

use crate::{
    compare::{cut, graphs},
    difference::Tolerance,
    error::InferError,
    model::Model,
    spec::TensorSpec,
    tensor::HostTensor,
    tract::{
        compare::{Lockstep, Whose},
        excerpt::{Cut, OnnxFile},
        guard,
    },
};

/// A part of the candidate as a model of its own, with what to run it on and what comes out.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The model, an ONNX file. Half precision stays in it, where its inputs below are single.
    pub model: Vec<u8>,
    /// How many nodes of the candidate it has.
    pub n_nodes: usize,
    /// Its inputs.
    pub inputs: Vec<(String, HostTensor)>,
    /// Its output.
    pub output: String,
    /// What the candidate made in its place.
    pub candidate: HostTensor,
    /// What the reference has there.
    pub reference: HostTensor,
}

impl Excerpt {
    /// Returns the greatest `|candidate − reference|`; infinite where one of both is not finite.
    pub fn max_absolute(&self) -> f64 {
        let (left, right) = (self.candidate.values.to_f64(), self.reference.values.to_f64());
        let distance = |(left, right): (&f64, &f64)| match (left - right).abs() {
            _ if left == right || (left.is_nan() && right.is_nan()) => 0.0,
            it if it.is_finite() => it,
            _ => f64::INFINITY,
        };
        left.iter().zip(&right).map(distance).fold(0.0, f64::max)
    }
}

/// Where a node does something else than its counterpart, small enough to be looked at.
#[derive(Clone, Debug)]
pub struct Reproduction {
    /// The tensor at which it shows.
    pub tensor: String,
    /// The row at which it shows most, counted from the first that was run.
    pub row: u64,
    /// All that the tensor needs, and that row of the model's inputs.
    pub prefix: Excerpt,
    /// What is between the tensor and the tensors before it that the reference has, too, which it is fed. None where that is
    /// the prefix.
    pub part: Option<Excerpt>,
}

/// Runs two models on the same rows, as [`Comparison`](crate::Comparison) does, and keeps the row at which a node differs most.
pub struct Reproducer<'a> {
    reference: &'a Model,
    candidate: &'a Model,
    node: &'a str,
    /// None before the first row.
    suspect: Option<Suspect>,
    n_rows: u64,
}

/// The node, in both graphs and in the file.
struct Suspect {
    lockstep: Lockstep,
    file: OnnxFile,
    tensor: String,
    prefix: Cut,
    part: Cut,
    /// Whether the number of rows is part of the candidate, so that no fewer can be written.
    has_fixed_batch: bool,
    worst: Option<Worst>,
}

/// What there was in the worst row.
struct Worst {
    distance: f64,
    row: u64,
    /// Whether it is that row alone, and not all that were run with it.
    is_alone: bool,
    /// The inputs of both cuts by name.
    inputs: HashMap<String, HostTensor>,
    own: HostTensor,
    /// What the node made of the reference's values.
    fed: HostTensor,
    reference: HostTensor,
}

impl<'a> Reproducer<'a> {
    /// Returns what has seen no rows. The node is one of the candidate, as [`Comparison::nodes`](crate::Comparison::nodes)
    /// names it.
    pub fn new(reference: &'a Model, candidate: &'a Model, node: &'a str) -> Self {
        Self { reference, candidate, node, suspect: None, n_rows: 0 }
    }

    /// Runs both models on the same rows, given as each model names its inputs.
    ///
    /// # Errors
    /// Where a model cannot be run on them node by node, the candidate is no ONNX file, or nothing that it names comes from the
    /// node and has a counterpart.
    pub fn run(&mut self, reference_rows: &RecordBatch, candidate_rows: &RecordBatch) -> Result<(), InferError> {
        let n_rows = reference_rows.num_rows().min(candidate_rows.num_rows());
        if n_rows == 0 {
            return Ok(());
        }
        let rows = [self.reference.inputs(reference_rows)?, self.candidate.inputs(candidate_rows)?];
        let mut suspect = match self.suspect.take() {
            Some(it) => it,
            None => self.suspect(&rows, n_rows)?,
        };
        let at_once = suspect.lockstep.rows();
        for start in (0..n_rows).step_by(at_once) {
            let first = self.n_rows + start as u64;
            self.guarded(|| {
                let [reference, candidate] = [&rows[0], &rows[1]].map(|it| cut(it, start, n_rows, at_once));
                suspect.run(reference, candidate, at_once.min(n_rows - start), first, self.names())
            })?;
        }
        self.suspect = Some(suspect);
        self.n_rows += n_rows as u64;
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.candidate.info().inputs.iter().map(|it| it.name.as_str())
    }

    fn suspect(&self, rows: &[Vec<HostTensor>; 2], n_rows: usize) -> Result<Suspect, InferError> {
        let of_candidate = |shapes: &[Vec<usize>], wanted| self.candidate.executable.nodes_of_file(shapes, wanted);
        let graphs = graphs(self.reference, rows, of_candidate)?;
        // What comes out of the models was compared before.
        let lockstep = Lockstep::new(graphs, Tolerance::default(), Vec::new());
        let mut lockstep = lockstep.map_err(|it| self.failed(it))?;
        let first = |it| cut(it, 0, n_rows, lockstep.rows());
        let (reference, candidate) = (first(&rows[0]), first(&rows[1]));
        self.guarded(|| lockstep.pair(reference, candidate))?;
        let file = OnnxFile::open(self.candidate.executable.path())?;
        let tensor = lockstep.tensor_from(self.node, file.tensors()).map(str::to_owned);
        let none = || self.failed(format!("no tensor from node `{}` on has a counterpart", self.node));
        let tensor = tensor.ok_or_else(none)?;
        let prefix = file.cut(&tensor, |_| false)?;
        let part = file.cut(&tensor, |it| lockstep.is_paired(it))?;
        lockstep.watch(part.inputs.iter().map(String::as_str).chain([tensor.as_str()]));
        let inputs = &self.candidate.info().inputs;
        let has_fixed_batch = inputs.iter().any(|it| it.shape.first().is_some_and(Option::is_some));
        Ok(Suspect { lockstep, file, tensor, prefix, part, has_fixed_batch, worst: None })
    }

    /// Returns what there is to write down; nothing without rows.
    ///
    /// # Errors
    /// Where the file cannot be cut.
    pub fn finish(&self) -> Result<Option<Reproduction>, InferError> {
        let Some(Suspect { lockstep, file, tensor, prefix, part, worst: Some(worst), .. }) = &self.suspect else {
            return Ok(None);
        };
        let names: Vec<&str> = self.candidate.info().inputs.iter().map(|it| it.name.as_str()).collect();
        let excerpt = |cut: &Cut, candidate: &HostTensor, is_prefix: bool| {
            let concrete = |it: &[usize]| it.iter().copied().map(Some).collect::<Vec<_>>();
            let mut shape = concrete(&worst.reference.shape);
            if is_prefix && worst.is_alone {
                // As many rows as it is given.
                shape.iter_mut().take(1).for_each(|it| *it = None);
            }
            let inner = cut.inputs.iter().filter(|it| !names.contains(&it.as_str()));
            let known = inner.map(|it| (it.as_str(), concrete(&worst.inputs[it].shape)));
            let specs = known.chain([(tensor.as_str(), shape)]).map(|(name, shape)| lockstep.spec(name, shape));
            let specs: Result<Vec<TensorSpec>, _> = specs.collect();
            let specs = specs.map_err(|it| self.failed(guard::reason(&it)))?;
            Ok::<_, InferError>(Excerpt {
                model: file.write(cut, &specs)?,
                n_nodes: cut.n_nodes(),
                inputs: cut.inputs.iter().map(|it| (it.clone(), worst.inputs[it].clone())).collect(),
                output: tensor.clone(),
                candidate: candidate.clone(),
                reference: worst.reference.clone(),
            })
        };
        Ok(Some(Reproduction {
            row: worst.row,
            prefix: excerpt(prefix, &worst.own, true)?,
            part: (part != prefix).then(|| excerpt(part, &worst.fed, false)).transpose()?,
            tensor: tensor.clone(),
        }))
    }

    /// Runs something that may panic on data from the files.
    fn guarded<T>(&self, run: impl FnOnce() -> Result<T, String>) -> Result<T, InferError> {
        guard::guarded(self.candidate.executable.path(), || run().map_err(|it| self.failed(it)))
    }

    fn failed(&self, reason: String) -> InferError {
        InferError::Excerpt { path: self.candidate.executable.path().to_path_buf(), reason }
    }
}

impl Suspect {
    /// Runs rows, the first of which is number `first`, and keeps them if they are worse than those before.
    fn run<'n>(
        &mut self,
        reference: Vec<HostTensor>,
        candidate: Vec<HostTensor>,
        n_rows: usize,
        first: u64,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<(), String> {
        let given = candidate.clone();
        self.lockstep.run(reference, candidate, n_rows)?;
        let (row, distance) = self.lockstep.worst_row(&self.tensor).map_err(|it| guard::reason(&it))?;
        if self.worst.as_ref().is_none_or(|it| distance > it.distance) {
            self.worst = Some(self.keep(row, distance, first, names.zip(&given))?);
        }
        Ok(())
    }

    /// Takes the values of a row of the last run, or of all its rows where those cannot be told apart or belong together.
    fn keep<'n, 'v>(
        &self,
        row: usize,
        distance: f64,
        first: u64,
        given: impl Iterator<Item = (&'n str, &'v HostTensor)>,
    ) -> Result<Worst, String> {
        let tensors = || self.part.inputs.iter().map(String::as_str).filter(|it| self.lockstep.is_paired(it));
        let all = tensors().chain([self.tensor.as_str()]);
        let are_by_rows = self.lockstep.are_by_rows(all).map_err(|it| guard::reason(&it))?;
        let is_alone = are_by_rows && !self.has_fixed_batch;
        let which = is_alone.then_some(row);
        let value = |name: &str, whose| self.lockstep.value(name, whose, which).map_err(|it| guard::reason(&it));
        let part = |it: &HostTensor| if is_alone { it.rows(row, 1, 1) } else { it.clone() };
        let mut inputs: HashMap<String, HostTensor> = given.map(|(name, it)| (name.to_owned(), part(it))).collect();
        for it in tensors() {
            inputs.insert(it.to_owned(), value(it, Whose::Reference)?);
        }
        let row = first + row as u64;
        let own = value(&self.tensor, Whose::Candidate)?;
        let fed = value(&self.tensor, Whose::Fed)?;
        let reference = value(&self.tensor, Whose::Reference)?;
        Ok(Worst { distance, row, is_alone, inputs, own, fed, reference })
    }
}
