//! TensorFlow operators that tract lacks or computes wrongly, and those that are refused.

mod arrays;
mod choices;
mod constant;
mod images;
mod numbers;
mod shapes;

use std::collections::HashMap;

use tract_tensorflow::{
    Tensorflow,
    tfpb::tensorflow::{DataType, NodeDef, attr_value::Value},
};

use super::{
    lengths,
    limits::{MAX_ELEMENTS, MAX_REPEATED},
};

/// Returns tract's TensorFlow reader with these operators in place of its own.
pub(super) fn tensorflow() -> Tensorflow {
    let mut res = tract_tensorflow::tensorflow();
    res.op_register.insert("Const", constant::build);
    res.op_register.insert("Shape", |_, _| Ok(lengths::shape()));
    arrays::register(&mut res.op_register);
    choices::register(&mut res.op_register);
    images::register(&mut res.op_register);
    numbers::register(&mut res.op_register);
    shapes::register(&mut res.op_register);
    res
}

/// Returns the operators that cannot be run, or would be run wrongly, each with its node.
pub(super) fn obstacles(nodes: &[NodeDef]) -> Vec<(String, String)> {
    let known = tensorflow().op_register.0;
    let fault = |node: &NodeDef| match &*node.op {
        // Nodes that compute nothing are dropped with everything else that no output needs.
        "NoOp" | "NextIteration" => None,
        "If" | "StatelessIf" => Some(format!("{} on a condition that depends on the data", node.op)),
        "Const" => constant::fault(node),
        "RandomUniform" | "RandomUniformInt" => Some(format!("{}: random outputs cannot be compared", node.op)),
        op if !known.contains_key(op) => Some(op.to_owned()),
        op => wrong(node).map(|it| format!("{op} with {it}")),
    };
    nodes.iter().filter_map(|it| Some((fault(it)?, it.name.clone()))).collect()
}

/// Returns what about this node is computed wrongly.
fn wrong(node: &NodeDef) -> Option<String> {
    let is_nchw = || text(node, "data_format").filter(|it| *it == "NCHW").map(|_| "data_format = \"NCHW\"".to_owned());
    let is_set = |name: &str| int(node, name).filter(|it| *it != 0).map(|it| format!("{name} = {it}"));
    match &*node.op {
        "GatherV2" => is_set("batch_dims"),
        "BiasAdd" => is_nchw(),
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
            // The usual value, where the file says nothing, is to train.
            let trains = !matches!(attribute(node, "is_training"), Some(Value::B(false)));
            if trains { Some("is_training = true".to_owned()) } else { is_nchw() }
        }
        "Conv2D" | "DepthwiseConv2dNative" | "MaxPool" | "AvgPool" => {
            text(node, "padding").filter(|it| !matches!(*it, "SAME" | "VALID")).map(|it| format!("padding = {it:?}"))
        }
        "Einsum" => text(node, "equation").filter(|it| it.contains("...")).map(|it| format!("equation = {it:?}")),
        _ => None,
    }
}

/// Fails with what is past which limit, if the constants of a graph, or what it makes of them, do not fit in memory.
pub(super) fn check_sizes(nodes: &[NodeDef]) -> Result<(), (String, u64)> {
    let constants = nodes.iter().filter(|it| it.op == "Const").map(|it| (it.name.as_str(), it));
    let constants: HashMap<&str, &NodeDef> = constants.collect();
    let identities =
        nodes.iter().filter(|it| it.op == "Identity").filter_map(|it| Some((&*it.name, &**it.input.first()?)));
    let identities: HashMap<&str, &str> = identities.collect();
    let constant = |name: &String| {
        let mut name = name.as_str();
        // As many as exporters put between a constant and what reads it.
        for _ in 0..8 {
            match identities.get(name) {
                Some(it) => name = it,
                None => break,
            }
        }
        constants.get(name.strip_suffix(":0").unwrap_or(name))
    };
    let mut n_repeated = 0_usize;
    for node in nodes {
        match &*node.op {
            "Const" => n_repeated = n_repeated.saturating_add(constant::n_repeated(node)),
            "Fill" | "BroadcastTo" | "Range" => {
                let inputs: Vec<_> = node.input.iter().map(constant).collect();
                let n_elements = match &*inputs {
                    [Some(start), Some(limit), Some(delta)] if node.op == "Range" => {
                        constant::n_steps([*start, *limit, *delta]).unwrap_or(0)
                    }
                    _ => inputs.iter().flatten().filter_map(|it| constant::product(it)).max().unwrap_or(0),
                };
                if n_elements > MAX_ELEMENTS {
                    let what = format!("{n_elements} elements in `{}` ({})", node.name, node.op);
                    return Err((what, MAX_ELEMENTS));
                }
            }
            _ => (),
        }
    }
    if n_repeated > MAX_REPEATED {
        return Err((format!("{n_repeated} elements in constants of repeated values"), MAX_REPEATED as u64));
    }
    Ok(())
}

/// Returns the element type that an attribute names.
pub(super) fn data_type(node: &NodeDef, name: &str) -> Option<DataType> {
    match attribute(node, name)? {
        Value::Type(it) => DataType::try_from(*it).ok(),
        _ => None,
    }
}

fn int(node: &NodeDef, name: &str) -> Option<i64> {
    match attribute(node, name)? {
        Value::I(it) => Some(*it),
        _ => None,
    }
}

fn text<'a>(node: &'a NodeDef, name: &str) -> Option<&'a str> {
    match attribute(node, name)? {
        Value::S(it) => std::str::from_utf8(it).ok(),
        _ => None,
    }
}

fn attribute<'a>(node: &'a NodeDef, name: &str) -> Option<&'a Value> {
    node.attr.get(name)?.value.as_ref()
}
