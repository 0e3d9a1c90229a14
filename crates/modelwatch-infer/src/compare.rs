//! Two models side by side, node by node.
//!
//! Whoever quantizes, converts or retrains a model sees at the outputs that something changed, and not where.
//! [`Comparison`] runs both models on the same rows and keeps, for every node of the candidate that has a counterpart in the
//! reference, two differences: the **cumulative** one, which is what arrives there, and the **isolated** one, which is what the
//! node does where it is fed the reference's values. The first node with an isolated difference is where it begins.
//!
//! Both run as written, without tract's optimizer, so that nodes keep their names. What is kept is a few numbers per node;
//! a value is dropped as soon as its last consumer ran.

use std::{collections::BTreeMap, num::NonZeroUsize};

use arrow_array::RecordBatch;

use crate::{
    difference::{Difference, Tolerance},
    error::InferError,
    model::{Model, row_shapes},
    output_pairs::OutputPairs,
    tensor::HostTensor,
    tract::{NodeGraph, compare::Lockstep, guard},
};

/// What two models are held to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// How far apart numbers may be.
    pub tolerance: Tolerance,
    /// The reference's output by the candidate's, where they have other names. All others are compared by their own name.
    pub outputs: BTreeMap<String, String>,
}

/// The least and the greatest finite number that a node gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

/// How a node of the candidate found its counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// Both have one name.
    Name,
    /// Both are one operator of one shape, and take and give the values of nodes that are paired.
    Structure,
    /// They have one shape, gave nearly the same for the first rows, and stand in the same order among such nodes.
    Value,
}

/// A node of the candidate beside its counterpart.
#[derive(Clone, Debug)]
pub struct NodeDifference {
    /// The candidate's node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The nodes whose values it takes, constants left out.
    pub inputs: Vec<String>,
    /// The range of each of these values.
    pub input_ranges: Vec<Option<ValueRange>>,
    /// The counterpart, where there is one.
    pub counterpart: Option<Counterpart>,
    /// The range of the node's own values.
    pub range: Option<ValueRange>,
}

/// A node of the reference, and how far the candidate's is from it.
#[derive(Clone, Debug)]
pub struct Counterpart {
    /// The reference's node.
    pub name: String,
    /// How it was found.
    pub matched_by: MatchedBy,
    /// The difference between what both models have there.
    pub cumulative: Difference,
    /// The difference where the candidate's node is fed the reference's values.
    pub isolated: Difference,
    /// The range of the reference's values.
    pub range: Option<ValueRange>,
}

/// An output of the candidate beside the reference's.
#[derive(Clone, Debug)]
pub struct OutputDifference {
    /// The name in the candidate.
    pub name: String,
    /// The name in the reference.
    pub reference: String,
    /// The difference.
    pub difference: Difference,
}

/// Two models that are compared node by node, or by their outputs where one of them is not run node by node.
pub struct Comparison<'a> {
    reference: &'a Model,
    candidate: &'a Model,
    tolerance: Tolerance,
    output_pairs: OutputPairs,
    /// None before the first row.
    engine: Option<Engine>,
    n_rows: u64,
}

/// How the models are run.
enum Engine {
    Nodes(Box<Lockstep>),
    Outputs { differences: Vec<Difference>, obstacle: InferError },
}

impl<'a> Comparison<'a> {
    /// Returns the comparison of no rows.
    ///
    /// # Errors
    /// Where the terms name an output that is not there, or one twice.
    pub fn new(reference: &'a Model, candidate: &'a Model, terms: &Terms) -> Result<Self, InferError> {
        let [left, right] = [reference, candidate].map(output_names);
        let output_pairs = OutputPairs::new(&left, &right, &terms.outputs);
        let output_pairs = output_pairs.map_err(|reason| failed(reference, candidate, reason))?;
        Ok(Self { reference, candidate, tolerance: terms.tolerance, output_pairs, engine: None, n_rows: 0 })
    }

    /// Runs both models on the same rows, given as each model names its inputs (see [`Model::run`]).
    ///
    /// # Errors
    /// Where a model cannot be run on the rows, or where the models do not take the same inputs.
    pub fn run(&mut self, reference_rows: &RecordBatch, candidate_rows: &RecordBatch) -> Result<(), InferError> {
        let n_rows = reference_rows.num_rows();
        if candidate_rows.num_rows() != n_rows {
            return Err(self.failed(format!("one is given {n_rows} rows, the other {}", candidate_rows.num_rows())));
        }
        if n_rows == 0 {
            return Ok(());
        }
        let rows = [self.reference.inputs(reference_rows)?, self.candidate.inputs(candidate_rows)?];
        let mut engine = match self.engine.take() {
            Some(it) => it,
            None => self.engine_for(&rows, n_rows)?,
        };
        match &mut engine {
            Engine::Nodes(lockstep) => self.run_nodes(lockstep, &rows, n_rows)?,
            Engine::Outputs { differences, .. } => self.run_outputs(differences, &rows, n_rows)?,
        }
        self.engine = Some(engine);
        self.n_rows += n_rows as u64;
        Ok(())
    }

    /// Makes the graphs where the models can be run node by node.
    fn engine_for(&self, rows: &[Vec<HostTensor>; 2], n_rows: usize) -> Result<Engine, InferError> {
        let of_candidate = |shapes: &[Vec<usize>], wanted| self.candidate.executable.nodes(shapes, wanted);
        let graphs = match graphs(self.reference, rows, of_candidate) {
            Ok(it) => it,
            Err(obstacle @ (InferError::Nodes { .. } | InferError::Opaque { .. })) => {
                let differences = vec![Difference::default(); self.output_pairs.pairs.len()];
                return Ok(Engine::Outputs { differences, obstacle });
            }
            Err(other) => return Err(other),
        };
        let lockstep = Lockstep::new(graphs, self.tolerance, self.output_pairs.pairs.clone());
        let mut lockstep = lockstep.map_err(|it| self.failed(it))?;
        let first = |it| cut(it, 0, n_rows, lockstep.rows());
        let (reference, candidate) = (first(&rows[0]), first(&rows[1]));
        self.guarded(|| lockstep.pair(reference, candidate))?;
        Ok(Engine::Nodes(Box::new(lockstep)))
    }

    fn run_nodes(
        &self,
        lockstep: &mut Lockstep,
        [reference, candidate]: &[Vec<HostTensor>; 2],
        n_rows: usize,
    ) -> Result<(), InferError> {
        if !lockstep.takes(&row_shapes(reference), &row_shapes(candidate)) {
            return Err(self.failed("the inputs of some rows have another shape".to_owned()));
        }
        let rows = lockstep.rows();
        for start in (0..n_rows).step_by(rows) {
            let cut = |it| cut(it, start, n_rows, rows);
            self.guarded(|| lockstep.run(cut(reference), cut(candidate), rows.min(n_rows - start)))?;
        }
        Ok(())
    }

    /// Runs something that may panic on data from the files.
    fn guarded<T>(&self, run: impl FnOnce() -> Result<T, String>) -> Result<T, InferError> {
        guard::guarded(self.candidate.executable.path(), || run().map_err(|it| self.failed(it)))
    }

    fn run_outputs(
        &self,
        differences: &mut [Difference],
        [reference, candidate]: &[Vec<HostTensor>; 2],
        n_rows: usize,
    ) -> Result<(), InferError> {
        let reference = self.reference.run_rows(reference, n_rows, NonZeroUsize::MIN)?;
        let candidate = self.candidate.run_rows(candidate, n_rows, NonZeroUsize::MIN)?;
        for (difference, &(left, right)) in differences.iter_mut().zip(&self.output_pairs.pairs) {
            let (reference, candidate) = (&reference[left], &candidate[right]);
            if reference.shape != candidate.shape {
                let (left, right) = (&reference.shape, &candidate.shape);
                return Err(self.failed(format!("an output has the shapes {left:?} and {right:?}")));
            }
            difference.add_all(&reference.values, &candidate.values, &self.tolerance);
        }
        Ok(())
    }

    fn failed(&self, reason: String) -> InferError {
        failed(self.reference, self.candidate, reason)
    }

    /// Returns the number of rows that were compared.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Returns why only the outputs are compared, if so.
    pub fn obstacle(&self) -> Option<&InferError> {
        match &self.engine {
            Some(Engine::Outputs { obstacle, .. }) => Some(obstacle),
            _ => None,
        }
    }

    /// Returns the candidate's nodes in the order in which they run; none before the first row.
    pub fn nodes(&self) -> Vec<NodeDifference> {
        match &self.engine {
            Some(Engine::Nodes(it)) => it.nodes(),
            _ => Vec::new(),
        }
    }

    /// Returns the outputs that both models have, in the candidate's order; none before the first row.
    pub fn outputs(&self) -> Vec<OutputDifference> {
        let differences = match &self.engine {
            Some(Engine::Nodes(it)) => it.outputs(),
            Some(Engine::Outputs { differences, .. }) => differences.clone(),
            None => Vec::new(),
        };
        let output = |(&(left, right), difference): (&(usize, usize), _)| OutputDifference {
            name: self.candidate.info().outputs[right].name.clone(),
            reference: self.reference.info().outputs[left].name.clone(),
            difference,
        };
        self.output_pairs.pairs.iter().zip(differences).map(output).collect()
    }

    /// Returns the reference's outputs that the candidate lacks.
    pub fn missing_outputs(&self) -> &[String] {
        &self.output_pairs.missing
    }

    /// Returns the candidate's outputs that the reference lacks.
    pub fn extra_outputs(&self) -> &[String] {
        &self.output_pairs.extra
    }
}

fn output_names(model: &Model) -> Vec<String> {
    model.info().outputs.iter().map(|it| it.name.clone()).collect()
}

fn failed(reference: &Model, candidate: &Model, reason: String) -> InferError {
    let [reference, candidate] = [reference, candidate].map(|it| it.executable.path().to_path_buf());
    InferError::Comparison { reference, candidate, reason }
}

/// Returns both graphs for the same number of rows.
pub(crate) fn graphs(
    reference: &Model,
    rows: &[Vec<HostTensor>; 2],
    of_candidate: impl Fn(&[Vec<usize>], Option<usize>) -> Result<NodeGraph, InferError>,
) -> Result<(NodeGraph, NodeGraph), InferError> {
    let of_reference = |wanted| reference.executable.nodes(&row_shapes(&rows[0]), wanted);
    let graph = of_reference(None)?;
    let candidate = of_candidate(&row_shapes(&rows[1]), Some(graph.rows()))?;
    // The candidate may have a batch of its own, to which the reference can be made to fit.
    let graph = if candidate.rows() == graph.rows() { graph } else { of_reference(Some(candidate.rows()))? };
    Ok((graph, candidate))
}

/// Returns as many rows as are run at once, from `start` on.
pub(crate) fn cut(inputs: &[HostTensor], start: usize, n_rows: usize, rows: usize) -> Vec<HostTensor> {
    inputs.iter().map(|it| it.rows(start, rows.min(n_rows - start), rows)).collect()
}
