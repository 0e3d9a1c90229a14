//! Two models side by side, node by node.
//!
//! Whoever quantizes, converts or retrains a model sees at the outputs that something changed, and not where.
//! [`Comparison`] runs both models on the same rows and keeps, for every node of the candidate that has a counterpart in the
//! reference, two differences: the **cumulative** one, which is what arrives there, and the **isolated** one, which is what the
//! node does where it is fed the reference's values. The first node with an isolated difference is where it begins.
//!
//! Both run as written, without tract's optimizer, so that nodes keep their names. What is kept is a few numbers per node;
//! a value is dropped as soon as its last consumer ran.

use std::num::NonZeroUsize;

use arrow_array::RecordBatch;

use crate::{
    error::InferError,
    model::{Model, row_shapes},
    tensor::{HostTensor, Values},
    tract::{NodeGraph, compare::Lockstep, guard},
};

/// How far apart two numbers may be: `|candidate − reference| ≤ absolute + relative · |reference|`, as in NumPy's `allclose`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The part that does not depend on the number.
    pub absolute: f64,
    /// The part that does.
    pub relative: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { absolute: 1e-5, relative: 1e-4 }
    }
}

/// How far the values of two nodes are apart, over all rows that were compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The number of elements.
    pub n: u64,
    /// The number of elements beyond the tolerance. One that is NaN or infinite in one model alone is beyond any.
    pub n_beyond: u64,
    /// The greatest `|candidate − reference|`; infinite where one of both is not finite.
    pub max_absolute: f64,
    /// The sum of the squared differences of elements that are finite in both models.
    pub sum_squares: f64,
    /// The sum of the reference's squares over the same elements.
    pub reference_squares: f64,
}

impl Difference {
    /// Takes in one element.
    pub(crate) fn add(&mut self, reference: f64, candidate: f64, tolerance: &Tolerance) {
        self.n += 1;
        if reference == candidate || (reference.is_nan() && candidate.is_nan()) {
            self.reference_squares += if reference.is_finite() { reference * reference } else { 0.0 };
            return;
        }
        if !(reference.is_finite() && candidate.is_finite()) {
            self.n_beyond += 1;
            self.max_absolute = f64::INFINITY;
            return;
        }
        let distance = (candidate - reference).abs();
        self.n_beyond += u64::from(distance > tolerance.absolute + tolerance.relative * reference.abs());
        self.max_absolute = self.max_absolute.max(distance);
        self.sum_squares += distance * distance;
        self.reference_squares += reference * reference;
    }

    /// Takes in the elements of two tensors. Words are equal or beyond any tolerance.
    fn add_all(&mut self, reference: &Values, candidate: &Values, tolerance: &Tolerance) {
        match (reference, candidate) {
            (Values::Utf8(left), Values::Utf8(right)) => {
                left.iter().zip(right).for_each(|(left, right)| self.add_words(left, right, tolerance));
            }
            // Words are no numbers.
            (Values::Utf8(_), _) | (_, Values::Utf8(_)) => self.add_beyond(reference.len()),
            _ => {
                let (left, right) = (reference.to_f64(), candidate.to_f64());
                left.iter().zip(&right).for_each(|(&left, &right)| self.add(left, right, tolerance));
            }
        }
    }

    /// Takes in elements that have nothing in common.
    pub(crate) fn add_beyond(&mut self, n: usize) {
        self.n += n as u64;
        self.n_beyond += n as u64;
        if n > 0 {
            self.max_absolute = f64::INFINITY;
        }
    }

    /// Takes in two words, which are as far apart as can be if they are not equal.
    pub(crate) fn add_words(&mut self, reference: &str, candidate: &str, tolerance: &Tolerance) {
        self.add(0.0, if reference == candidate { 0.0 } else { f64::INFINITY }, tolerance);
    }

    /// Returns the norm of the difference over that of the reference, `‖candidate − reference‖₂ / ‖reference‖₂`; the inverse
    /// of the signal-to-noise ratio that quantization is judged by.
    pub fn relative_norm(&self) -> f64 {
        match (self.sum_squares, self.reference_squares) {
            _ if self.max_absolute.is_infinite() => f64::INFINITY,
            (0.0, _) => 0.0,
            (difference, reference) => (difference / reference).sqrt(),
        }
    }
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
    pub fn new(reference: &'a Model, candidate: &'a Model, tolerance: Tolerance) -> Self {
        Self { reference, candidate, tolerance, engine: None, n_rows: 0 }
    }

    /// Runs both models on the same rows, given as each model names its inputs (see [`Model::run`]).
    ///
    /// # Errors
    /// Where a model cannot be run on the rows, or where the models do not take the same inputs or give as many outputs.
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
        let n_outputs = [self.reference, self.candidate].map(|it| it.info().outputs.len());
        if n_outputs[0] != n_outputs[1] {
            return Err(
                self.failed(format!("the reference has {} outputs, the candidate {}", n_outputs[0], n_outputs[1]))
            );
        }
        let of_candidate = |shapes: &[Vec<usize>], wanted| self.candidate.executable.nodes(shapes, wanted);
        let (reference, candidate) = match graphs(self.reference, rows, of_candidate) {
            Ok(it) => it,
            Err(obstacle @ (InferError::Nodes { .. } | InferError::Opaque { .. })) => {
                return Ok(Engine::Outputs { differences: vec![Difference::default(); n_outputs[0]], obstacle });
            }
            Err(other) => return Err(other),
        };
        let mut lockstep = Lockstep::new(reference, candidate, self.tolerance).map_err(|it| self.failed(it))?;
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
        for ((difference, reference), candidate) in differences.iter_mut().zip(&reference).zip(&candidate) {
            if reference.shape != candidate.shape {
                let (left, right) = (&reference.shape, &candidate.shape);
                return Err(self.failed(format!("an output has the shapes {left:?} and {right:?}")));
            }
            difference.add_all(&reference.values, &candidate.values, &self.tolerance);
        }
        Ok(())
    }

    fn failed(&self, reason: String) -> InferError {
        InferError::Comparison {
            reference: self.reference.executable.path().to_path_buf(),
            candidate: self.candidate.executable.path().to_path_buf(),
            reason,
        }
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

    /// Returns the outputs in the candidate's order; none before the first row.
    pub fn outputs(&self) -> Vec<OutputDifference> {
        let names = |it: &Model| it.info().outputs.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        let names = names(self.candidate).into_iter().zip(names(self.reference));
        let differences = match &self.engine {
            Some(Engine::Nodes(it)) => it.outputs(),
            Some(Engine::Outputs { differences, .. }) => differences.clone(),
            None => Vec::new(),
        };
        let output = |((name, reference), difference)| OutputDifference { name, reference, difference };
        names.zip(differences).map(output).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(pairs: &[(f64, f64)]) -> Difference {
        let mut res = Difference::default();
        pairs.iter().for_each(|it| res.add(it.0, it.1, &Tolerance { absolute: 0.1, relative: 0.01 }));
        res
    }

    #[test]
    fn elements_are_beyond_the_tolerance_as_in_allclose() {
        let it = difference(&[(1.0, 1.1), (1.0, 1.12), (100.0, 101.0), (100.0, 101.2), (-1.0, -1.0)]);
        assert_eq!((it.n, it.n_beyond), (5, 2));
        assert!((it.max_absolute - 1.2).abs() < 1e-12, "{it:?}");
        assert!((it.relative_norm() - (it.sum_squares / it.reference_squares).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn what_is_not_finite_in_one_model_alone_is_beyond_any_tolerance() {
        const INF: f64 = f64::INFINITY;
        for pair in [(1.0, f64::NAN), (f64::NAN, 1.0), (INF, 1.0), (INF, -INF), (f64::NAN, INF)] {
            let it = difference(&[pair]);
            assert_eq!((it.n_beyond, it.max_absolute, it.relative_norm()), (1, INF, INF), "{pair:?}");
        }
        assert_eq!(difference(&[(f64::NAN, f64::NAN), (INF, INF)]), Difference { n: 2, ..Difference::default() });
    }

    #[test]
    fn a_difference_from_nothing_has_no_finite_relative_norm() {
        assert_eq!(difference(&[(0.0, 0.0)]).relative_norm(), 0.0);
        assert_eq!(difference(&[(0.0, 1.0)]).relative_norm(), f64::INFINITY);
    }
}
