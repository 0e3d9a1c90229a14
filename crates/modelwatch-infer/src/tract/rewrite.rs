//! Says to tract what it gets wrong when it is left unsaid, and in other words what it does not know in these.

use std::{collections::HashMap, rc::Rc};

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::{
    attributes::{int, ints, text},
    contributed,
};

/// Integers of 64 bits by name.
type Integers = HashMap<String, Vec<i64>>;

/// The attribute that says what is multiplied and what is added up.
const EQUATION: &str = "equation";

/// Rewrites the nodes of a graph and of those nested in it; the answers stay the same.
pub(super) fn rewrite(graph: &mut GraphProto) {
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![(graph, Rc::new(Integers::new()))];
    while let Some((graph, around)) = graphs.pop() {
        contributed::spell_out(graph);
        add_up_all(graph);
        let large = large_within(graph, around);
        let mut constants = Vec::new();
        for node in &mut graph.node {
            constants.extend(given_as_input(node));
            match &*node.op_type {
                // Without a value these are zeros in single precision; tract makes them in double precision.
                "ConstantOfShape" if !node.attribute.iter().any(|it| it.name == "value") => node.attribute.push(zero()),
                "Slice" => constants.extend(within_32_bits(node, &large)),
                "Upsample" => constants.extend(scales(node)),
                _ => (),
            }
        }
        graph.initializer.extend(constants);
        let nested = graph.node.iter_mut().flat_map(|it| &mut it.attribute).filter_map(|it| it.g.as_mut());
        graphs.extend(nested.map(|it| (it, Rc::clone(&large))));
    }
}

/// Has a product of which nothing is kept keep something, which a sum follows: tract takes an equation that ends in an arrow for one
/// without it.
fn add_up_all(graph: &mut GraphProto) {
    if !graph.node.iter().any(|it| kept(it).is_some()) {
        return;
    }
    for mut node in std::mem::take(&mut graph.node) {
        let (Some(equation), [output]) = (kept(&node), &mut *node.output) else {
            graph.node.push(node);
            continue;
        };
        let rest = format!("{output}/kept");
        let output = vec![std::mem::replace(output, rest.clone())];
        let name = std::mem::replace(&mut node.name, rest.clone());
        for it in node.attribute.iter_mut().filter(|it| it.name == EQUATION) {
            it.s = equation.clone().into_bytes();
        }
        let keeps_axes = AttributeProto { name: "keepdims".to_owned(), r#type: 2, i: 0, ..Default::default() };
        graph.node.push(node);
        graph.node.push(NodeProto {
            op_type: "ReduceSum".to_owned(),
            input: vec![rest],
            output,
            name,
            attribute: vec![keeps_axes],
            ..Default::default()
        });
    }
}

/// Returns the equation that keeps something, in the place of one that keeps nothing of what it names.
fn kept(node: &NodeProto) -> Option<String> {
    if node.op_type != "Einsum" || !matches!(&*node.domain, "" | "ai.onnx") {
        return None;
    }
    let equation: String = text(node, EQUATION)?.split_whitespace().collect();
    let of = equation.strip_suffix("->")?;
    // An axis that one input has once is the least that is asked of tract.
    let n_times = |axis: char| of.matches(axis).count();
    let axes = || of.chars().filter(|it| it.is_alphabetic());
    let axis = axes().find(|it| n_times(*it) == 1).or_else(|| axes().next()).map(String::from);
    let kept = if of.contains("...") { Some("...".to_owned()) } else { axis };
    kept.map(|it| format!("{equation}{it}"))
}

/// Gives by an input, as later versions of an operator do, what this one has in an attribute; returns what is given.
fn given_as_input(node: &mut NodeProto) -> Option<TensorProto> {
    let values = match (&*node.domain, &*node.op_type, node.input.len()) {
        ("" | "ai.onnx", "Reshape", 1) => ints(node, "shape").to_vec(),
        ("" | "ai.onnx", "TopK", 1) => vec![int(node, "k")?],
        _ => return None,
    };
    // Other than names of nodes, those of outputs are given once.
    let input = format!("{}/given", node.output.iter().find(|it| !it.is_empty())?);
    node.input.push(input.clone());
    let dims = vec![i64::try_from(values.len()).ok()?];
    Some(TensorProto { name: input, data_type: DataType::Int64 as i32, dims, int64_data: values, ..Default::default() })
}

fn zero() -> AttributeProto {
    const TENSOR: i32 = 4;
    let tensor =
        TensorProto { dims: vec![1], data_type: DataType::Float as i32, float_data: vec![0.0], ..Default::default() };
    AttributeProto { name: "value".to_string(), r#type: TENSOR, t: Some(tensor), ..Default::default() }
}

/// The lists that nodes of a graph see: its own, and those around it that none of its names hides.
fn large_within(graph: &GraphProto, mut around: Rc<Integers>) -> Rc<Integers> {
    let inputs = graph.input.iter().map(|it| &it.name);
    let constants = graph.initializer.iter().map(|it| &it.name);
    let made = graph.node.iter().flat_map(|it| &it.output);
    for name in inputs.chain(constants).chain(made) {
        if around.contains_key(name) {
            Rc::make_mut(&mut around).remove(name);
        }
    }
    let own = large_integers(graph);
    if !own.is_empty() {
        Rc::make_mut(&mut around).extend(own);
    }
    around
}

/// The lists of a graph that have integers of more than 32 bits.
fn large_integers(graph: &GraphProto) -> Integers {
    let of_nodes = graph.node.iter().filter(|it| it.op_type == "Constant").filter_map(|node| {
        let value = node.attribute.first()?;
        let values = value.t.as_ref().map_or_else(|| Some(value.ints.clone()), integers)?;
        Some((node.output.first()?.clone(), values))
    });
    let initializers = graph.initializer.iter().filter_map(|it| Some((it.name.clone(), integers(it)?)));
    of_nodes.chain(initializers).filter(|it| it.1.iter().any(|it| clamped(*it) != *it)).collect()
}

fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    /// One for each axis; more are no places to slice at.
    const MOST: usize = 64;
    let is_list = tensor.data_type == DataType::Int64 as i32 && tensor.dims.len() == 1;
    let (chunks, rest) = tensor.raw_data.as_chunks::<8>();
    if !is_list || !rest.is_empty() || chunks.len().max(tensor.int64_data.len()) > MOST {
        return None;
    }
    let raw = chunks.iter().map(|it| i64::from_le_bytes(*it));
    Some(if chunks.is_empty() { tensor.int64_data.clone() } else { raw.collect() })
}

fn clamped(it: i64) -> i64 {
    it.clamp(i64::from(i32::MIN), i64::from(i32::MAX))
}

/// Has a slice start, end and step at integers of 32 bits, to which tract cuts others. No axis is as long.
fn within_32_bits(node: &mut NodeProto, large: &Integers) -> Vec<TensorProto> {
    let mut res = Vec::new();
    for (idx, name) in node.input.iter_mut().enumerate().filter(|(idx, _)| matches!(idx, 1 | 2 | 4)) {
        let Some(values) = large.get(&**name) else { continue };
        let int64_data: Vec<i64> = values.iter().map(|it| clamped(*it)).collect();
        let of = node.output.first().map_or("", |it| it);
        *name = format!("{name} in 32 bits, input {idx} of {of}");
        res.push(integer_list(name, int64_data));
    }
    res
}

fn integer_list(name: &str, int64_data: Vec<i64>) -> TensorProto {
    let dims = vec![int64_data.len() as i64];
    TensorProto { name: name.to_owned(), data_type: DataType::Int64 as i32, dims, int64_data, ..Default::default() }
}

/// Makes an input of the scales, which are an attribute before version 9.
fn scales(node: &mut NodeProto) -> Option<TensorProto> {
    let float_data = node.attribute.iter().find(|it| it.name == "scales").map(|it| it.floats.clone())?;
    if node.input.len() != 1 {
        return None;
    }
    let name = format!("scales of {}", node.output.first().map_or("", |it| it));
    node.input.push(name.clone());
    let (dims, data_type) = (vec![float_data.len() as i64], DataType::Float as i32);
    Some(TensorProto { name, data_type, dims, float_data, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_equation_that_keeps_nothing_is_another_one() {
        let rewritten = |equation: &str| {
            let attribute = AttributeProto { name: EQUATION.to_owned(), s: equation.into(), ..Default::default() };
            let node = NodeProto {
                op_type: "Einsum".to_owned(),
                input: vec!["x".to_owned()],
                output: vec!["y".to_owned()],
                attribute: vec![attribute],
                ..Default::default()
            };
            let mut graph = GraphProto { node: vec![node], ..Default::default() };
            rewrite(&mut graph);
            let last = graph.node.last().unwrap();
            assert_eq!(last.output, ["y"]);
            (text(&graph.node[0], EQUATION).unwrap().to_owned(), last.op_type.clone())
        };
        for (equation, wanted) in
            [("ij->", "ij->i"), ("ij, j ->", "ij,j->i"), ("ii->", "ii->i"), ("...i->", "...i->...")]
        {
            assert_eq!(rewritten(equation), (wanted.to_owned(), "ReduceSum".to_owned()));
        }
        for equation in ["ij->i", "ij", "i,i", "->"] {
            assert_eq!(rewritten(equation), (equation.to_owned(), "Einsum".to_owned()));
        }
    }

    #[test]
    fn what_one_branch_has_is_not_in_another() {
        let branch = |output: &str, end: i64| {
            let node = NodeProto {
                op_type: "Slice".to_owned(),
                input: ["x", "start", "end"].map(str::to_owned).to_vec(),
                output: vec![output.to_owned()],
                ..Default::default()
            };
            let initializer = vec![integer_list("end", vec![end])];
            let graph = GraphProto { node: vec![node], initializer, ..Default::default() };
            AttributeProto { g: Some(graph), ..Default::default() }
        };
        let attribute = vec![branch("a", 2), branch("b", 1 << 40), branch("c", 3)];
        let node = NodeProto { op_type: "If".to_owned(), attribute, ..Default::default() };
        let initializer = vec![integer_list("end", vec![1 << 50])];
        let mut graph = GraphProto { node: vec![node], initializer, ..Default::default() };
        rewrite(&mut graph);
        let branches = graph.node[0].attribute.iter().filter_map(|it| it.g.as_ref());
        let ends: Vec<&str> = branches.map(|it| &*it.node[0].input[2]).collect();
        assert_eq!(ends, ["end", "end in 32 bits, input 2 of b", "end"]);
    }
}
