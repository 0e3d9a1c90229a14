//! How large the results of a graph are, and how much there is to compute for them, at least, as far as shapes and constants tell before
//! anything runs.
//!
//! A few bytes can ask for any memory: a shape that is filled, a tensor that is repeated, a chain of concatenations that doubles.
//! So they can for any time: a product of two such tensors, a window that is as large as what it goes over, a loop.
//! Shapes and small numbers are followed through the operators that exporters compute shapes with; what is not known counts as 1,
//! so that only what is surely too much is refused.

mod einsum;
mod operators;
mod value;
mod work;

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

pub(in crate::tract) use self::{operators::node_outputs, value::Known, work::node_work};
use super::{Fault, constants::element_bytes, operands};
use crate::tract::{
    attributes::{int, ints, label, tensor},
    axes::resolve_axis,
    memory::MAX_TENSOR_BYTES,
    onnx::{dims, tensor_type},
};

/// Bytes of a tensor that does not depend on the inputs, where the file has less: it is made while the model is read.
const MAX_CONSTANT_BYTES: u64 = 512 << 20;
/// Bytes of all such tensors, where the file has less.
const MAX_CONSTANTS_BYTES: u64 = 1 << 30;
/// How many times the bytes of the file's own constants may be made of them: those of four bits become single precision.
const CONSTANTS_OF_ONE: u64 = 8;
/// Operations for all that does not depend on the inputs: the product of two matrices of 2,000 by 2,000, or what looks at each of 10^8
/// numbers a few times.
const MAX_CONSTANT_WORK: u64 = 10_000_000_000;
/// Operations for one row of the inputs; a large transformer needs about as many for a sequence, and ResNet-152 a hundredth for an image.
pub(in crate::tract) const MAX_ROW_WORK: u64 = 1_000_000_000_000;
/// Operations for an answer that nobody has asked for yet: some seconds.
pub(in crate::tract) const MAX_QUESTION_WORK: u64 = 100_000_000_000;

/// Follows the graph in its order, and returns the operations for one row.
pub(super) fn check(graph: &GraphProto, version: i64) -> Result<u64, Fault> {
    let of_nodes = graph.node.iter().filter(|it| it.op_type == "Constant").filter_map(|it| tensor(it, "value"));
    let in_file = graph.initializer.iter().chain(of_nodes).map(|it| Known::of_tensor(it).min_bytes());
    let in_file = in_file.fold(0, u64::saturating_add);
    let mut totals = Totals { version, in_file, bytes: 0, constant_work: 0, row_work: 0 };
    check_nested(graph, &Scope { values: HashMap::new(), parent: None, times: 1 }, HashMap::new(), &mut totals)?;
    Ok(totals.row_work)
}

/// What all nodes so far come to, and what they are held to.
struct Totals {
    /// The version of the operators.
    version: i64,
    /// Bytes of the file's own constants.
    in_file: u64,
    /// Bytes of what is made of constants alone.
    bytes: u64,
    constant_work: u64,
    row_work: u64,
}

/// What is known of the values of a graph, and of those around it.
struct Scope<'a> {
    values: HashMap<&'a str, Known>,
    parent: Option<&'a Scope<'a>>,
    /// How often the graph is run for one row, at least.
    times: u64,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Known {
        match (self.values.get(name), self.parent) {
            (Some(it), _) => it.clone(),
            (None, Some(parent)) => parent.find(name),
            (None, None) => Known::anything(),
        }
    }
}

/// Looks at a graph of which these inputs are known better than it says.
fn check_nested(
    graph: &GraphProto,
    parent: &Scope<'_>,
    given: HashMap<&str, Known>,
    totals: &mut Totals,
) -> Result<(), Fault> {
    let is_nested = parent.parent.is_some();
    let mut scope = Scope { values: HashMap::new(), parent: Some(parent), times: parent.times };
    let of = |it: &ValueInfoProto| given.get(&*it.name).cloned().unwrap_or_else(|| of_input(it));
    scope.values.extend(graph.input.iter().map(|it| (&*it.name, of(it))));
    scope.values.extend(graph.initializer.iter().map(|it| (&*it.name, Known::of_tensor(it))));
    for node in &graph.node {
        let inputs: Vec<Option<Known>> = node.input.iter().map(|it| (!it.is_empty()).then(|| scope.find(it))).collect();
        operands::check(node, &inputs, is_nested)?;
        let nested = node.attribute.iter().filter_map(|it| it.g.as_ref());
        let mut has_nested = false;
        for nested in nested {
            has_nested = true;
            let outer = scope.times;
            scope.times = outer.saturating_mul(iterations(node, nested, &inputs));
            check_nested(nested, &scope, carried(node, nested, &inputs), totals)?;
            scope.times = outer;
        }
        let outputs = node_outputs(node, &inputs, totals.version);
        for it in &outputs {
            check_size(node, it, totals)?;
        }
        let is_constant = !has_nested && inputs.iter().flatten().all(|it| it.is_constant);
        let work = node_work(node, &inputs, &outputs, totals.version).saturating_mul(scope.times);
        check_work(node, work, is_constant, totals)?;
        let unknown = Known { is_constant, ..Known::anything() };
        let named = node.output.iter().map(|it| &**it).zip(outputs.into_iter().chain(std::iter::repeat(unknown)));
        scope.values.extend(named.filter(|(name, _)| !name.is_empty()));
    }
    Ok(())
}

/// Returns how often a graph in an attribute is run, at least.
fn iterations(node: &NodeProto, body: &GraphProto, inputs: &[Option<Known>]) -> u64 {
    let number = |idx: usize| inputs.get(idx)?.as_ref()?.numbers.as_ref()?.first().copied();
    match &*node.op_type {
        // Where its own condition may end it, that may be at once.
        "Loop" if goes_on(body) => number(0).map_or(1, |it| it as u64),
        "Scan" => {
            let n_scanned = int(node, "num_scan_inputs").and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
            let first = inputs.len().checked_sub(n_scanned);
            let Some(scanned) = first.and_then(|it| inputs.get(it)?.as_ref()?.shape.as_ref()) else { return 1 };
            let axis = resolve_axis(ints(node, "scan_input_axes").first().copied().unwrap_or(0), scanned.len());
            axis.ok().and_then(|it| scanned[it]).unwrap_or(1)
        }
        _ => 1,
    }
}

/// Whether the body of a loop hands its condition on as it got it, or as a constant.
fn goes_on(body: &GraphProto) -> bool {
    let Some(condition) = body.output.first().map(|it| &it.name) else { return false };
    let is_given = |name: &String| {
        body.input.get(1).is_some_and(|it| it.name == *name) || body.initializer.iter().any(|it| it.name == *name)
    };
    is_given(condition)
        || body.node.iter().filter(|it| it.output.first() == Some(condition)).any(|it| match &*it.op_type {
            "Constant" => true,
            "Identity" => it.input.first().is_some_and(is_given),
            _ => false,
        })
}

/// Returns what is known of the values that a loop begins with, as its body takes them, where that does not say their shapes.
fn carried<'a>(node: &NodeProto, body: &'a GraphProto, inputs: &[Option<Known>]) -> HashMap<&'a str, Known> {
    if node.op_type != "Loop" {
        return HashMap::new();
    }
    let is_constant = inputs.iter().flatten().all(|it| it.is_constant);
    // Behind the number of iterations and the condition.
    let states = body.input.iter().zip(inputs).skip(2);
    let unknown = states.filter(|(input, _)| of_input(input).shape.is_none());
    let known = unknown.filter_map(|(input, it)| Some((&*input.name, it.clone()?)));
    known.map(|(name, it)| (name, Known { numbers: None, is_constant, ..it })).collect()
}

fn check_size(node: &NodeProto, output: &Known, totals: &mut Totals) -> Result<(), Fault> {
    let n_bytes = output.min_bytes();
    let fault = |limit: u64, what: &str| Fault {
        what: format!(
            "{} makes a tensor of shape {}, {}{what}, more than the {} that are allowed",
            label(node),
            output.shape_text(),
            size_text(n_bytes),
            size_text(limit)
        ),
        remedy: "export it with the shapes that inference needs",
    };
    if n_bytes > MAX_TENSOR_BYTES {
        return Err(fault(MAX_TENSOR_BYTES, ""));
    }
    // The value of a Constant is in the file.
    if output.is_constant && node.op_type != "Constant" {
        let of_file = totals.in_file.saturating_mul(CONSTANTS_OF_ONE);
        totals.bytes = totals.bytes.saturating_add(n_bytes);
        let (of_one, of_all) = (MAX_CONSTANT_BYTES.max(of_file), MAX_CONSTANTS_BYTES.max(of_file));
        if n_bytes > of_one {
            return Err(fault(of_one, ""));
        }
        if totals.bytes > of_all {
            return Err(fault(of_all, " with those before it"));
        }
    }
    Ok(())
}

fn check_work(node: &NodeProto, work: u64, is_constant: bool, totals: &mut Totals) -> Result<(), Fault> {
    let (total, limit, what, remedy) = if is_constant {
        let remedy = "export it with what is constant computed";
        (&mut totals.constant_work, MAX_CONSTANT_WORK, "what no input changes", remedy)
    } else {
        (&mut totals.row_work, MAX_ROW_WORK, "one row", "export it with the shapes that inference needs")
    };
    *total = total.saturating_add(work);
    if *total <= limit {
        return Ok(());
    }
    let before = if work > limit { "" } else { ", with the nodes before it" };
    let what = format!(
        "{} takes {:.1e} operations for {what}{before}, more than the {limit:.0e} that are allowed",
        label(node),
        if work > limit { work } else { *total } as f64,
        limit = limit as f64,
    );
    Err(Fault { what, remedy })
}

fn of_input(input: &ValueInfoProto) -> Known {
    let Some(tensor) = tensor_type(input) else { return Known::anything() };
    Known {
        element_bytes: element_bytes(tensor.elem_type),
        shape: dims(tensor).map(|it| it.into_iter().map(|it| it.map(|it| it as u64)).collect()),
        numbers: None,
        is_constant: false,
    }
}

fn size_text(n_bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (n_bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{} {}", (value * 10.0).round() / 10.0, UNITS[unit])
}
