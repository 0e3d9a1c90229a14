//! What numbers a model computes with, node by node.

use arrow_array::RecordBatch;

use crate::{
    compare::{self, ValueRange},
    error::InferError,
    model::{Model, row_shapes},
    tract::guard,
};

/// The numbers of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numerics {
    /// Those of the inputs and of the nodes, in the order in which they run.
    pub nodes: Vec<NodeNumbers>,
    /// Those of what does not depend on the inputs and nodes take, such as weights; of floating-point numbers alone.
    pub constants: Vec<NodeNumbers>,
    /// Nodes such as `If` that compute with graphs of their own, whose inner nodes are not among `nodes`.
    pub nested: Vec<String>,
    /// Whether no graph was compiled: the nodes are those of the file, run one by one.
    pub is_interpreted: bool,
}

/// Where the values of an operator end, and what is beyond can no longer be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: Option<f64>,
    pub(crate) greatest: Option<f64>,
    /// How near to a bound is at it: a sigmoid comes near and never there.
    pub(crate) margin: f64,
}

impl Bounds {
    fn has_at(&self, it: f64) -> bool {
        self.least.is_some_and(|least| it <= least + self.margin)
            || self.greatest.is_some_and(|greatest| it >= greatest - self.margin)
    }
}

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
    /// Elements that are smaller than the least normal number of their type, and not 0.
    pub n_subnormal: u64,
    /// Elements at a bound of the operator: at the ends of a sigmoid or tanh, at a constant that something is cut off at, at the
    /// greatest integer of a quantization. None where it has no bounds; the 0 of a ReLU is none.
    pub n_saturated: Option<u64>,
    /// The range of the finite elements.
    pub range: Option<ValueRange>,
    pub(crate) sum_squares: f64,
    pub(crate) bounds: Bounds,
}

impl NodeNumbers {
    /// Returns what is told where the operator has bounds.
    pub(crate) fn with_bounds(self, bounds: Option<Bounds>) -> Self {
        Self { n_saturated: bounds.map(|_| 0), bounds: bounds.unwrap_or_default(), ..self }
    }

    /// Takes in one element of a type of which this is the least normal number.
    pub(crate) fn add(&mut self, it: f64, least_normal: f64) {
        self.n += 1;
        self.n_nan += u64::from(it.is_nan());
        self.n_infinite += u64::from(it.is_infinite());
        self.n_subnormal += u64::from(it != 0.0 && it.abs() < least_normal);
        if let Some(n) = &mut self.n_saturated {
            *n += u64::from(self.bounds.has_at(it));
        }
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
    /// Runs all rows of `input` (see [`Model::run`]) node by node, as written, and returns the numbers of the inputs, of the nodes
    /// and of the constants; none without rows.
    ///
    /// # Errors
    /// Where the model cannot be run on the rows, or not node by node, and when `is_cancelled`, which is asked again and again.
    pub fn numerics(&self, input: &RecordBatch, is_cancelled: &dyn Fn() -> bool) -> Result<Numerics, InferError> {
        let n_rows = input.num_rows();
        let inputs = self.inputs(input)?;
        if n_rows == 0 {
            return Ok(Numerics::default());
        }
        let graph = self.executable.tap(&row_shapes(&inputs))?;
        let rows = graph.rows();
        let names: Vec<_> = self.info().outputs.iter().map(|it| it.name.clone()).collect();
        let path = self.executable.path();
        let failed = |reason| InferError::Run { path: path.to_path_buf(), reason };
        let constants = guard::guarded(path, || graph.constant_numbers().map_err(failed))?;
        let mut res = graph.unseen(&names);
        for start in (0..n_rows).step_by(rows) {
            if is_cancelled() {
                return Err(failed("it was interrupted".to_owned()));
            }
            let rows_here = compare::cut(&inputs, start, n_rows, rows);
            let add = || graph.add_numbers(rows_here, rows.min(n_rows - start), &mut res).map_err(failed);
            guard::guarded(path, add)?;
        }
        let nested = graph.nested(self.info().operators.contains_key("Scan"));
        Ok(Numerics { nodes: graph.in_order(res), constants, nested, is_interpreted: graph.is_interpreted() })
    }
}
