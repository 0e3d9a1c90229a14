//! TensorFlow operators that tract lacks or computes wrongly, and those that are refused.

mod arrays;
mod choices;
mod constant;
mod convolutions;
mod images;
mod numbers;
mod own;
mod shapes;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use tract_onnx::prelude::{OutletId, SpecialOps, TVec, TractResult, TypedModel, tensor0, tvec};
use tract_tensorflow::{
    Tensorflow,
    model::TfOpRegister,
    tfpb::tensorflow::{DataType, NodeDef, attr_value::Value},
};

pub(super) use self::{arrays::check_size, shapes::Masks};
use super::{
    lengths,
    limits::{MAX_ELEMENTS, MAX_REPEATED},
    saved_model::{CALLS, CONDITIONALS, HANDLES, READERS, TRANSPARENT},
    wired::wired,
};

/// Returns tract's TensorFlow reader with these operators in place of its own.
pub(super) fn tensorflow() -> Tensorflow {
    let mut res = tract_tensorflow::tensorflow();
    register(&mut res.op_register);
    res
}

fn register(register: &mut TfOpRegister) {
    register.insert("Const", constant::build);
    register.insert("Rank", |_, _| Ok(wired("Rank", &[], rank)));
    register.insert("Shape", |_, _| Ok(lengths::shape()));
    register.insert("Size", |_, _| Ok(lengths::size()));
    arrays::register(register);
    choices::register(register);
    convolutions::register(register);
    images::register(register);
    numbers::register(register);
    own::register(register);
    shapes::register(register);
}

fn rank(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [x] = numbers::arguments(inputs)?;
    let rank = i32::try_from(model.outlet_fact(x)?.rank())?;
    Ok(tvec!(model.add_const(prefix, tensor0(rank))?))
}

/// Returns the operators that cannot be run, or would be run wrongly, each with its node.
pub(super) fn obstacles(nodes: &[NodeDef]) -> Vec<(String, String)> {
    let known = tensorflow().op_register.0;
    let fault = |node: &NodeDef| match &*node.op {
        op if DROPPED.contains(&op) => None,
        "Const" => constant::fault(node),
        op => wrong(node).map(|it| format!("{op}{it}")).or_else(|| (!known.contains_key(op)).then(|| op.to_owned())),
    };
    nodes.iter().filter_map(|it| Some((fault(it)?, it.name.clone()))).collect()
}

/// Those that compute nothing, and go with everything else that no output needs.
const DROPPED: [&str; 1] = ["NoOp"];

/// What is refused of operators that are run otherwise.
struct Refusal {
    operators: &'static [&'static str],
    /// When it is refused, or always where nothing is said.
    when: &'static str,
    /// Returns what is said of a node behind its operator, if it is refused.
    fault: fn(&NodeDef) -> Option<String>,
}

const fn refusal(
    operators: &'static [&'static str],
    when: &'static str,
    fault: fn(&NodeDef) -> Option<String>,
) -> Refusal {
    Refusal { operators, when, fault }
}

const REFUSALS: [Refusal; 9] = [
    refusal(&["GatherV2"], "`batch_dims` other than 0", |node| {
        int(node, "batch_dims").filter(|it| *it != 0).map(|it| format!(" with batch_dims = {it}"))
    }),
    refusal(
        &["BiasAdd", "DepthToSpace", "SpaceToDepth", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"],
        "`data_format` other than NHWC",
        |node| text(node, "data_format").filter(|it| *it != "NHWC").map(|it| format!(" with data_format = {it:?}")),
    ),
    // The usual value, where the file says nothing, is to train.
    refusal(&["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"], "`is_training`", |node| {
        let trains = !matches!(attribute(node, "is_training"), Some(Value::B(false)));
        trains.then(|| " with is_training = true".to_owned())
    }),
    refusal(
        &[
            "AvgPool",
            "AvgPool3D",
            "Conv2D",
            "Conv2DBackpropInput",
            "Conv3D",
            "Conv3DBackpropInputV2",
            "DepthwiseConv2dNative",
            "MaxPool",
            "MaxPool3D",
        ],
        "`padding` other than SAME and VALID",
        |node| {
            let other = text(node, "padding").filter(|it| !matches!(*it, "SAME" | "VALID"));
            other.map(|it| format!(" with padding = {it:?}"))
        },
    ),
    refusal(
        &["AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"],
        "`ksize` or `strides` other than 1 of rows or channels",
        |node| {
            let channels_first = text(node, "data_format").is_some_and(|it| it.starts_with("NC"));
            ["ksize", "strides"].into_iter().find_map(|name| {
                let all = ints(node, name);
                let channels = if channels_first { 1 } else { all.len().saturating_sub(1) };
                let goes_along = [0, channels].iter().any(|it| all.get(*it).is_some_and(|it| *it != 1));
                goes_along.then(|| format!(" with {name} = {all:?}"))
            })
        },
    ),
    refusal(&["Einsum"], "a letter twice in one term of `equation`", |node| {
        let equation = text(node, "equation")?;
        let repeats = |term: &str| term.char_indices().any(|(at, it)| it.is_alphabetic() && term[..at].contains(it));
        equation.split([',', '>']).any(repeats).then(|| format!(" with equation = {equation:?}"))
    }),
    refusal(&["If", "StatelessIf"], "a condition that depends on the data", |_| {
        Some(" on a condition that depends on the data".to_owned())
    }),
    refusal(&["Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"], "", |_| {
        Some(": loops and branches are run as functions alone".to_owned())
    }),
    refusal(&["RandomUniform", "RandomUniformInt"], "", |_| Some(": random outputs cannot be compared".to_owned())),
];

/// Returns what about this node is refused.
fn wrong(node: &NodeDef) -> Option<String> {
    REFUSALS.iter().filter(|it| it.operators.contains(&&*node.op)).find_map(|it| (it.fault)(node))
}

/// Returns a table in Markdown of the operators of TensorFlow that are run, by what, and what is refused of them.
pub(super) fn table() -> String {
    let mut ours = TfOpRegister::default();
    register(&mut ours);
    let all = tensorflow().op_register.0;
    let lists = [&DROPPED[..], &CALLS, &CONDITIONALS, &HANDLES, &READERS, &TRANSPARENT].into_iter().flatten().copied();
    let refused = REFUSALS.iter().flat_map(|it| it.operators.iter().copied());
    let names: BTreeSet<&str> = all.keys().map(|it| &**it).chain(lists).chain(refused).collect();
    let mut res = "| operator | run by | refused |\n|---|---|---|\n".to_owned();
    for name in names {
        let refusals: Vec<&Refusal> = REFUSALS.iter().filter(|it| it.operators.contains(&name)).collect();
        let refused: Vec<&str> = refusals.iter().map(|it| it.when).filter(|it| !it.is_empty()).collect();
        let by = match name {
            _ if refusals.iter().any(|it| it.when.is_empty()) => "refused by name",
            _ if DROPPED.contains(&name) => "left out: it computes nothing",
            _ if CALLS.contains(&name) || CONDITIONALS.contains(&name) => {
                "its function, put in its place, in a SavedModel"
            }
            _ if HANDLES.contains(&name) || READERS.contains(&name) => {
                "constants, read from the variables of a SavedModel"
            }
            _ if TRANSPARENT.contains(&name) && !all.contains_key(name) => "passed on, in a SavedModel",
            _ if ours.0.contains_key(name) => "modelwatch",
            _ => "tract",
        };
        let _ = writeln!(res, "| {name} | {by} | {} |", refused.join("; "));
    }
    res
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

fn ints<'a>(node: &'a NodeDef, name: &str) -> &'a [i64] {
    match attribute(node, name) {
        Some(Value::List(it)) => &it.i,
        _ => &[],
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
