//! Two models side by side, node by node.
//!
//! Whoever quantizes, converts or retrains a model sees at the outputs that something changed, and not where.
//! [`Comparison`] runs both models on the same rows and keeps, for every node of the candidate that has a counterpart in the
//! reference, two differences: the **cumulative** one, which is what arrives there, and the **isolated** one, which is what the
//! node does where it is fed the reference's values. The first node with an isolated difference is where it begins.
//!
//! Both run as written, without tract's optimizer, so that nodes keep their names. What is kept is a few numbers per node;
//! a value is dropped as soon as its last consumer ran.

use arrow_array::RecordBatch;

use crate::{columns_in, error::InferError, model::Model, tensor::HostTensor, tract::compare::Lockstep};

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

/// Two models that are compared node by node.
pub struct Comparison<'a> {
    reference: &'a Model,
    candidate: &'a Model,
    tolerance: Tolerance,
    lockstep: Option<Lockstep>,
    n_rows: u64,
}

impl<'a> Comparison<'a> {
    /// Returns the comparison of no rows.
    pub fn new(reference: &'a Model, candidate: &'a Model, tolerance: Tolerance) -> Self {
        Self { reference, candidate, tolerance, lockstep: None, n_rows: 0 }
    }

    /// Runs both models on the same rows, given as each model names its inputs (see [`Model::run`]).
    ///
    /// # Errors
    /// Where a model cannot be run node by node, or where the models do not take the same inputs or give as many outputs.
    pub fn run(&mut self, reference_rows: &RecordBatch, candidate_rows: &RecordBatch) -> Result<(), InferError> {
        let n_rows = reference_rows.num_rows();
        let failed = |reason: String| InferError::Comparison {
            reference: self.reference.executable.path().to_path_buf(),
            candidate: self.candidate.executable.path().to_path_buf(),
            reason,
        };
        if candidate_rows.num_rows() != n_rows {
            return Err(failed(format!("one is given {n_rows} rows, the other {}", candidate_rows.num_rows())));
        }
        if n_rows == 0 {
            return Ok(());
        }
        let reference = inputs(self.reference, reference_rows)?;
        let candidate = inputs(self.candidate, candidate_rows)?;
        let lockstep = match &mut self.lockstep {
            Some(it) if it.takes(&row_shapes(&reference), &row_shapes(&candidate)) => it,
            Some(_) => return Err(failed("the inputs of some rows have another shape".to_owned())),
            slot => {
                let reference_nodes = self.reference.executable.nodes(&row_shapes(&reference))?;
                let candidate_nodes = self.candidate.executable.nodes(&row_shapes(&candidate))?;
                let mut lockstep = Lockstep::new(reference_nodes, candidate_nodes, self.tolerance).map_err(failed)?;
                let first = |it| cut(it, 0, n_rows, lockstep.rows());
                let (reference, candidate) = (first(&reference), first(&candidate));
                lockstep.pair(reference, candidate).map_err(failed)?;
                slot.insert(lockstep)
            }
        };
        let rows = lockstep.rows();
        for start in (0..n_rows).step_by(rows) {
            let rows = |it| cut(it, start, n_rows, rows);
            lockstep.run(rows(&reference), rows(&candidate)).map_err(failed)?;
        }
        self.n_rows += n_rows as u64;
        Ok(())
    }

    /// Returns the number of rows that were compared.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Returns the candidate's nodes in the order in which they run; none before the first row.
    pub fn nodes(&self) -> Vec<NodeDifference> {
        self.lockstep.as_ref().map_or_else(Vec::new, Lockstep::nodes)
    }

    /// Returns the outputs in the candidate's order; none before the first row.
    pub fn outputs(&self) -> Vec<OutputDifference> {
        let names = |it: &Model| it.info().outputs.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        let names = names(self.candidate).into_iter().zip(names(self.reference));
        let differences = self.lockstep.as_ref().map_or_else(Vec::new, Lockstep::outputs);
        let output = |((name, reference), difference)| OutputDifference { name, reference, difference };
        names.zip(differences).map(output).collect()
    }
}

fn inputs(model: &Model, rows: &RecordBatch) -> Result<Vec<HostTensor>, InferError> {
    model.info().inputs.iter().map(|it| columns_in::tensor_for(rows, it)).collect()
}

/// Returns as many rows as are run at once, from `start` on.
fn cut(inputs: &[HostTensor], start: usize, n_rows: usize, rows: usize) -> Vec<HostTensor> {
    inputs.iter().map(|it| it.rows(start, rows.min(n_rows - start), rows)).collect()
}

fn row_shapes(inputs: &[HostTensor]) -> Vec<Vec<usize>> {
    inputs.iter().map(|it| it.shape[1..].to_vec()).collect()
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
