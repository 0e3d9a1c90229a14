//! A graph of nodes in the order in which they run, its constants decoded.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tract_onnx::{
    Onnx,
    pb::{AttributeProto, GraphProto, NodeProto, OperatorSetIdProto},
    prelude::{TractResult, tensor0, tensor1},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::{
    kernels::{self, Kernel, Run},
    tract_node::TractNode,
    value::Value,
};
use crate::tract::onnx::{dims, tensor_type};

/// The deepest nesting of graphs; exporters stay far below.
const MAX_DEPTH: usize = 16;

/// What reading a graph needs to know of the model around it.
#[derive(Clone)]
pub(super) struct Context {
    pub onnx: Arc<Onnx>,
    /// The version of the operators of the default domain.
    pub version: i64,
    pub opset_import: Vec<OperatorSetIdProto>,
    pub folder: Option<String>,
}

/// A graph, either the model's or one in an attribute.
pub(super) struct Graph {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// By output: what the file says of it.
    pub declared: Vec<Option<Declared>>,
    pub constants: HashMap<String, Value>,
    pub nodes: Vec<Node>,
}

/// The type and the shape of a value, as a file has them.
pub(super) struct Declared {
    /// ONNX's number of the element type.
    pub data_type: i32,
    /// The dimensions that are fixed, if the rank is.
    pub shape: Option<Vec<Option<usize>>>,
}

/// A node and how it is computed.
pub(super) struct Node {
    /// Without nested graphs, which are in `graphs`.
    pub proto: NodeProto,
    pub graphs: HashMap<String, Graph>,
    pub route: Route,
    /// Names that no later node of the graph uses.
    pub last_uses: Vec<String>,
}

/// Who computes a node.
pub(super) enum Route {
    Own(Kernel),
    /// With what computes it if tract refuses.
    Tract(TractNode, Option<Run>),
}

impl Graph {
    pub(super) fn parse(context: &Context, proto: &GraphProto) -> TractResult<Self> {
        Self::parse_nested(context, proto, 0)
    }

    fn parse_nested(context: &Context, proto: &GraphProto, depth: usize) -> TractResult<Self> {
        ensure!(depth < MAX_DEPTH, "graphs are nested more than {MAX_DEPTH} deep");
        let mut constants = HashMap::new();
        for tensor in &proto.initializer {
            let value = Value::from_proto(&context.onnx, tensor, context.folder.as_deref())
                .with_context(|| format!("cannot read initializer `{}`", tensor.name))?;
            constants.insert(tensor.name.clone(), value);
        }
        let mut nodes = Vec::with_capacity(proto.node.len());
        for node in &proto.node {
            if let Some((name, value)) = constant_of(context, node)? {
                constants.insert(name, value);
            } else {
                nodes.push(Node::parse(context, node, depth)?);
            }
        }
        let outputs: Vec<String> = proto.output.iter().map(|it| it.name.clone()).collect();
        find_last_uses(&mut nodes, &outputs);
        // An input with an initializer has that as its default.
        let inputs = proto.input.iter().map(|it| it.name.clone()).filter(|it| !constants.contains_key(it)).collect();
        let declared = |it| {
            tensor_type(it)
                .filter(|it| it.elem_type > 0)
                .map(|it| Declared { data_type: it.elem_type, shape: dims(it) })
        };
        let declared = proto.output.iter().map(declared).collect();
        Ok(Self { inputs, outputs, declared, constants, nodes })
    }

    /// Returns the names that the graph takes from around it, and some of its own.
    fn mentions(&self, res: &mut BTreeSet<String>) {
        for node in &self.nodes {
            node.uses(res);
        }
        res.extend(self.outputs.iter().cloned());
    }
}

impl Node {
    fn parse(context: &Context, node: &NodeProto, depth: usize) -> TractResult<Self> {
        let mut proto = node.clone();
        let mut graphs = HashMap::new();
        for attribute in &mut proto.attribute {
            if let Some(graph) = attribute.g.take() {
                graphs.insert(attribute.name.clone(), Graph::parse_nested(context, &graph, depth + 1)?);
            }
        }
        let route = match kernels::find(&proto.domain, &proto.op_type) {
            Some(kernel) => Route::Own(kernel),
            None => Route::Tract(TractNode::new(&proto), kernels::fallback(&proto.domain, &proto.op_type)),
        };
        Ok(Self { proto, graphs, route, last_uses: Vec::new() })
    }

    fn uses(&self, res: &mut BTreeSet<String>) {
        res.extend(self.proto.input.iter().filter(|it| !it.is_empty()).cloned());
        self.graphs.values().for_each(|it| it.mentions(res));
    }
}

/// Returns the name and the value of a `Constant`.
fn constant_of(context: &Context, node: &NodeProto) -> TractResult<Option<(String, Value)>> {
    if node.op_type != "Constant" || !matches!(&*node.domain, "" | "ai.onnx") {
        return Ok(None);
    }
    let (Some(name), Some(attribute)) = (node.output.first(), node.attribute.first()) else {
        bail!("a Constant has no output or no value");
    };
    let value = constant_value(context, attribute).with_context(|| format!("cannot read constant `{name}`"))?;
    Ok(Some((name.clone(), value)))
}

fn constant_value(context: &Context, attribute: &AttributeProto) -> TractResult<Value> {
    let text = |it: &Vec<u8>| String::from_utf8_lossy(it).into_owned();
    Ok(match &*attribute.name {
        "value" => {
            let tensor = attribute.t.as_ref().context("attribute `value` has no tensor")?;
            return Value::from_proto(&context.onnx, tensor, context.folder.as_deref());
        }
        "value_int" => tensor0(attribute.i),
        "value_float" => tensor0(attribute.f),
        "value_string" => tensor0(text(&attribute.s)),
        "value_ints" => tensor1(&attribute.ints),
        "value_floats" => tensor1(&attribute.floats),
        "value_strings" => tensor1(&attribute.strings.iter().map(text).collect::<Vec<_>>()),
        other => bail!("attribute `{other}` is not supported"),
    }
    .into())
}

fn find_last_uses(nodes: &mut [Node], outputs: &[String]) {
    let mut seen: BTreeSet<String> = outputs.iter().cloned().collect();
    for node in nodes.iter_mut().rev() {
        let mut used = BTreeSet::new();
        node.uses(&mut used);
        node.last_uses = used.into_iter().filter(|it| seen.insert(it.clone())).collect();
    }
}
