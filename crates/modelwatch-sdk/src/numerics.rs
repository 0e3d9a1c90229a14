//! What numbers a model computes with, node by node: what [`Host::numerics`](crate::Host::numerics) tells.

use serde::{Deserialize, Serialize};

use crate::{nodes::ValueRange, report::float};

/// Behind the name of a model: that its numbers are told; see [`Host::exchange`](crate::Host::exchange).
pub const NUMERICS: &str = ":numerics";

/// The numbers of a model's nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numerics {
    /// The number of rows.
    pub rows: u64,
    /// The inputs, then the nodes, each after those whose values it takes.
    pub nodes: Vec<NodeNumbers>,
    /// What does not depend on the inputs and nodes take, such as weights; of floating-point numbers alone.
    #[serde(default)]
    pub constants: Vec<NodeNumbers>,
    /// Nodes such as `If` that compute with graphs of their own, whose inner nodes are not among `nodes`.
    #[serde(default)]
    pub nested: Vec<String>,
}

/// The numbers of a node, over all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Elements at a bound of the operator, such as the 1 of a sigmoid; none where it has no bounds.
    #[serde(default)]
    pub n_saturated: Option<u64>,
    /// The range of the finite elements.
    pub range: Option<ValueRange>,
    /// The mean of the squares of the finite elements.
    #[serde(with = "float")]
    pub mean_square: f64,
}
