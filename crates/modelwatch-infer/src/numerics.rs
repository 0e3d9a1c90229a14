//! What numbers a model computes with, node by node.

use arrow_array::RecordBatch;

use crate::{
    compare::{self, ValueRange},
    error::InferError,
    model::{Model, row_shapes},
    tract::guard,
};

/// The numbers of a node, over all rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeNumbers {
    /// The node, or the input.
    pub name: String,
    /// The operator; empty for an input.
    pub operator: String,
    /// Which outputs of the model are values of the node.
    pub outputs: Vec<String>,
    /// Whether its values are floating-point numbers.
    pub is_float: bool,
    /// The number of elements.
    pub n: u64,
    /// Elements that are NaN.
    pub n_nan: u64,
    /// Elements that are infinite.
    pub n_infinite: u64,
    /// Elements that are smaller than the least normal number of single precision, and not 0.
    pub n_subnormal: u64,
    /// The range of the finite elements.
    pub range: Option<ValueRange>,
    pub(crate) sum_squares: f64,
}

impl NodeNumbers {
    /// Takes in one element.
    pub(crate) fn add(&mut self, it: f64) {
        self.n += 1;
        self.n_nan += u64::from(it.is_nan());
        self.n_infinite += u64::from(it.is_infinite());
        self.n_subnormal += u64::from(it != 0.0 && it.abs() < f64::from(f32::MIN_POSITIVE));
        if it.is_finite() {
            self.sum_squares += it * it;
            let range = self.range.get_or_insert(ValueRange { least: it, greatest: it });
            (range.least, range.greatest) = (range.least.min(it), range.greatest.max(it));
        }
    }

    /// Returns the mean of the squares of the finite elements; NaN without any.
    pub fn mean_square(&self) -> f64 {
        self.sum_squares / (self.n - self.n_nan - self.n_infinite) as f64
    }
}

impl Model {
    /// Runs all rows of `input` (see [`Model::run`]) node by node, as written, and returns the numbers of the inputs and of
    /// the nodes in the order in which they run.
    ///
    /// # Errors
    /// Where the model cannot be run on the rows, or not node by node, and when `is_cancelled`, which is asked again and again.
    pub fn numerics(
        &self,
        input: &RecordBatch,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<NodeNumbers>, InferError> {
        let n_rows = input.num_rows();
        let inputs = self.inputs(input)?;
        if n_rows == 0 {
            return Ok(Vec::new());
        }
        let graph = self.executable.nodes(&row_shapes(&inputs), None)?;
        let rows = graph.rows();
        let names: Vec<_> = self.info().outputs.iter().map(|it| it.name.clone()).collect();
        let mut res = graph.unseen(&names);
        for start in (0..n_rows).step_by(rows) {
            let path = self.executable.path();
            let failed = |reason| InferError::Run { path: path.to_path_buf(), reason };
            if is_cancelled() {
                return Err(failed("it was interrupted".to_owned()));
            }
            let rows_here = compare::cut(&inputs, start, n_rows, rows);
            let add = || graph.add_numbers(rows_here, rows.min(n_rows - start), &mut res).map_err(failed);
            guard::guarded(path, add)?;
        }
        Ok(graph.in_order(res))
    }
}
