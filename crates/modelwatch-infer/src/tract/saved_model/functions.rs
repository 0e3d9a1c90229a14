//! Puts the bodies of functions in place of their calls, until one graph of plain operators is left.
//!
//! Works backward from the outputs, so that what they do not need, say for training or for saving, is never looked at.
//! Control edges order side effects, and a graph that only computes has none: they are dropped.
//! A variable becomes the constant that it was saved with.

use std::collections::{BTreeSet, HashMap};

use prost::Message;
use tract_tensorflow::tfpb::{
    self,
    tensorflow::{AttrValue, DataType, FunctionDef, FunctionDefLibrary, NodeDef, OpList, TensorProto, attr_value},
};

use super::{
    super::limits::{MAX_COPIED_BYTES, MAX_FUNCTION_DEPTH, MAX_NODES},
    variables::variable_name,
};

/// Why a graph cannot be made flat.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The file contradicts itself.
    Malformed(String),
    /// An operator, or a use of one, and its node.
    Unsupported(String, String),
    /// What is past which limit.
    Limit(String, u64),
    /// A placeholder that nothing feeds.
    Unfed(String),
    /// A variable without a value, and why.
    Weights(String),
}

/// Gives the values of variables.
pub(super) trait Variables {
    /// Returns the value of the variable that `handle`, a node of the main graph, stands for.
    fn value(&self, handle: &NodeDef) -> Result<TensorProto, Refusal>;
}

/// The variables themselves.
pub(in crate::tract) const HANDLES: [&str; 3] = ["VarHandleOp", "VariableV2", "Variable"];

/// What takes the values of variables.
pub(in crate::tract) const READERS: [&str; 2] = ["ReadVariableOp", "ResourceGather"];

/// What calls a function that it names.
pub(in crate::tract) const CALLS: [&str; 2] = ["PartitionedCall", "StatefulPartitionedCall"];

/// What calls one of two functions.
pub(in crate::tract) const CONDITIONALS: [&str; 2] = ["If", "StatelessIf"];

/// Operators that pass their first input on, at inference.
pub(in crate::tract) const TRANSPARENT: [&str; 10] = [
    "Identity",
    "IdentityN",
    "StopGradient",
    "PreventGradient",
    "CheckNumerics",
    "CheckNumericsV2",
    "Snapshot",
    "EnsureShape",
    "PlaceholderWithDefault",
    "OptimizationBarrier",
];

/// Where a value of the original graph is found in the flat one.
#[derive(Clone, Debug)]
enum Value<'a> {
    /// As the input of a node is written.
    Tensor(String),
    /// Not a value yet: the node of a variable.
    Variable(&'a NodeDef),
}

/// The outputs of a node that was dealt with.
enum Outputs<'a> {
    /// Those of the node with this name in the flat graph.
    Node(String),
    /// Those of whatever the node was replaced with; only the needed ones are there.
    Replaced(HashMap<usize, Value<'a>>),
}

/// A graph or the body of a function.
struct Body<'a> {
    nodes: HashMap<&'a str, &'a NodeDef>,
    /// Values that come from outside, by the name that stands for them.
    given: HashMap<&'a str, Value<'a>>,
    is_function: bool,
    /// What the names of its nodes begin with in the flat graph.
    scope: String,
}

/// Makes a flat graph out of the main graph and its functions.
pub(super) struct Inliner<'a> {
    functions: HashMap<&'a str, &'a FunctionDef>,
    /// What operators' attributes are where a node does not say.
    defaults: HashMap<&'a str, Vec<(&'a str, &'a AttrValue)>>,
    variables: &'a dyn Variables,
    nodes: Vec<NodeDef>,
    /// Where in `nodes` each is.
    positions: HashMap<String, usize>,
    /// The constants of variables that were read, by the variable's name.
    variable_constants: HashMap<&'a str, String>,
    /// The constants that were copied, by where they are; a function that is called often has them once.
    constants: HashMap<*const NodeDef, String>,
    n_copied: usize,
    /// Functions that are being inlined, outermost first.
    calls: Vec<&'a str>,
    n_visited: u64,
}

impl<'a> Inliner<'a> {
    pub(super) fn new(
        library: Option<&'a FunctionDefLibrary>,
        operators: Option<&'a OpList>,
        variables: &'a dyn Variables,
    ) -> Self {
        let defaults = operators.into_iter().flat_map(|it| &it.op).map(|operator| {
            let attributes = operator.attr.iter();
            let attributes = attributes.filter_map(|it| Some((it.name.as_str(), it.default_value.as_ref()?)));
            (operator.name.as_str(), attributes.collect())
        });
        let functions = library.into_iter().flat_map(|it| &it.function);
        let named = functions.filter_map(|it| Some((it.signature.as_ref()?.name.as_str(), it)));
        Self {
            functions: named.collect(),
            defaults: defaults.collect(),
            variables,
            nodes: Vec::new(),
            positions: HashMap::new(),
            variable_constants: HashMap::new(),
            constants: HashMap::new(),
            n_copied: 0,
            calls: Vec::new(),
            n_visited: 0,
        }
    }

    /// Adds a node under its name, or one like it if that is taken, and returns the name.
    pub(super) fn add(&mut self, mut node: NodeDef) -> String {
        let mut name = node.name.clone();
        for n in 1_u64.. {
            if !self.positions.contains_key(&name) {
                break;
            }
            name = format!("{}_{n}", node.name);
        }
        node.name.clone_from(&name);
        self.positions.insert(name.clone(), self.nodes.len());
        self.nodes.push(node);
        name
    }

    /// Adds all that `wanted` needs, and returns where each of them is.
    ///
    /// `fed` has the flat tensors that stand for nodes of the graph.
    pub(super) fn inline_main(
        &mut self,
        nodes: &'a [NodeDef],
        fed: &[(&'a str, String)],
        wanted: &[&'a str],
    ) -> Result<Vec<String>, Refusal> {
        let given = fed.iter().map(|(node, tensor)| (*node, Value::Tensor(tensor.clone()))).collect();
        let body = Body { nodes: index(nodes)?, given, is_function: false, scope: String::new() };
        let values = self.inline(&body, wanted)?;
        let tensors = values.into_iter().zip(wanted).map(|(value, wanted)| match value {
            Value::Tensor(it) => Ok(it),
            Value::Variable(handle) => {
                Err(Refusal::Unsupported(format!("{} as a result", handle.op), (*wanted).into()))
            }
        });
        tensors.collect()
    }

    /// Returns the flat graph.
    pub(super) fn finish(self) -> Vec<NodeDef> {
        self.nodes
    }

    fn inline(&mut self, body: &Body<'a>, wanted: &[&'a str]) -> Result<Vec<Value<'a>>, Refusal> {
        let order = body.order(wanted)?;
        let slots = body.needed_slots(&order, wanted)?;
        let mut done: HashMap<&'a str, Outputs<'a>> = HashMap::new();
        for node in order {
            self.n_visited += 1;
            if self.n_visited > MAX_NODES {
                return Err(Refusal::Limit("more nodes after inlining its functions".to_owned(), MAX_NODES));
            }
            let needed: Vec<_> = slots.get(node.name.as_str()).into_iter().flatten().copied().collect();
            let outputs = self.node(body, node, &needed, &done)?;
            done.insert(&node.name, outputs);
        }
        wanted.iter().map(|it| body.find(it, &done)).collect()
    }

    fn node(
        &mut self,
        body: &Body<'a>,
        node: &'a NodeDef,
        needed: &[usize],
        done: &HashMap<&'a str, Outputs<'a>>,
    ) -> Result<Outputs<'a>, Refusal> {
        let inputs = data_inputs(node).map(|it| body.find(it, done)).collect::<Result<Vec<_>, _>>()?;
        let single = |value| Outputs::Replaced(HashMap::from([(0, value)]));
        let missing = || Refusal::Malformed(format!("node `{}` ({}) lacks an input", node.name, node.op));
        match &*node.op {
            op if HANDLES.contains(&op) => Ok(single(Value::Variable(node))),
            op if TRANSPARENT.contains(&op) => {
                let pass = |&slot: &usize| Ok((slot, inputs.get(slot).cloned().ok_or_else(missing)?));
                Ok(Outputs::Replaced(needed.iter().map(pass).collect::<Result<_, Refusal>>()?))
            }
            "ReadVariableOp" => match inputs.into_iter().next() {
                Some(it @ Value::Variable(_)) => Ok(single(Value::Tensor(self.tensor(it)?))),
                _ => Err(Refusal::Malformed(format!("node `{}` reads something that is no variable", node.name))),
            },
            "ResourceGather" => {
                let [params, indices] = <[_; 2]>::try_from(inputs).map_err(|_| missing())?;
                Ok(Outputs::Node(self.gather(body, node, params, indices)?))
            }
            op if CALLS.contains(&op) => self.call(body, node, function_name(node, "f")?, inputs, needed),
            op if CONDITIONALS.contains(&op) => {
                let mut inputs = inputs.into_iter();
                let condition = inputs.next().ok_or_else(missing)?;
                let branch = match self.truth(&condition) {
                    Some(true) => "then_branch",
                    Some(false) => "else_branch",
                    None => return self.copy(body, node, [condition].into_iter().chain(inputs).collect()),
                };
                self.call(body, node, function_name(node, branch)?, inputs.collect(), needed)
            }
            "Const" => {
                if let Some(name) = self.constants.get(&std::ptr::from_ref(node)) {
                    return Ok(Outputs::Node(name.clone()));
                }
                let name = self.add(NodeDef { name: body.flat_name(node), ..node.clone() });
                self.constants.insert(node, name.clone());
                Ok(Outputs::Node(name))
            }
            "Placeholder" => Err(Refusal::Unfed(body.flat_name(node))),
            op => match self.functions.get_key_value(op) {
                Some((&name, _)) => self.call(body, node, name, inputs, needed),
                None => self.copy(body, node, inputs),
            },
        }
    }

    /// Adds a node as it is, between the tensors that it takes in the flat graph.
    fn copy(&mut self, body: &Body<'a>, node: &'a NodeDef, inputs: Vec<Value<'a>>) -> Result<Outputs<'a>, Refusal> {
        let input = inputs.into_iter().map(|it| self.tensor(it)).collect::<Result<Vec<_>, _>>()?;
        let name = body.flat_name(node);
        let n_bytes = input.iter().map(String::len).sum::<usize>() + node.encoded_len() + name.len();
        self.n_copied = self.n_copied.saturating_add(n_bytes);
        if self.n_copied > MAX_COPIED_BYTES {
            let what = "more bytes of names and attributes after inlining its functions".to_owned();
            return Err(Refusal::Limit(what, MAX_COPIED_BYTES as u64));
        }
        let mut attr = node.attr.clone();
        for (name, value) in self.defaults.get(node.op.as_str()).into_iter().flatten() {
            if !attr.contains_key(*name) {
                attr.insert((*name).to_owned(), (*value).clone());
            }
        }
        Ok(Outputs::Node(self.add(NodeDef { name, op: node.op.clone(), input, device: String::new(), attr })))
    }

    fn call(
        &mut self,
        body: &Body<'a>,
        node: &'a NodeDef,
        function: &'a str,
        inputs: Vec<Value<'a>>,
        needed: &[usize],
    ) -> Result<Outputs<'a>, Refusal> {
        let flat_name = body.flat_name(node);
        let malformed =
            |what: String| Refusal::Malformed(format!("node `{flat_name}` calls function `{function}`, {what}"));
        let definition = self.functions.get(function).copied();
        let definition = definition.ok_or_else(|| malformed("which is not in the file".to_owned()))?;
        if let Some(start) = self.calls.iter().position(|it| *it == function) {
            let circle: Vec<_> = self.calls[start..].iter().copied().chain([function]).collect();
            return Err(Refusal::Unsupported(format!("the recursive function {}", circle.join(" → ")), flat_name));
        }
        if self.calls.len() >= MAX_FUNCTION_DEPTH {
            return Err(Refusal::Limit("functions that are nested deeper".to_owned(), MAX_FUNCTION_DEPTH as u64));
        }
        let signature = definition.signature.as_ref();
        let signature = signature.ok_or_else(|| malformed("which has no signature".to_owned()))?;
        let parameters = &signature.input_arg;
        if parameters.len() != inputs.len() {
            return Err(malformed(format!("which takes {} values, with {}", parameters.len(), inputs.len())));
        }
        let given = parameters.iter().map(|it| it.name.as_str()).zip(inputs).collect();
        let inner =
            Body { nodes: index(&definition.node_def)?, given, is_function: true, scope: format!("{flat_name}/") };
        let result = |&slot: &usize| {
            let name = signature.output_arg.get(slot).map(|it| &it.name);
            let tensor = name.and_then(|it| definition.ret.get(it)).map(String::as_str);
            tensor.ok_or_else(|| malformed(format!("which has no result {slot}")))
        };
        let wanted = needed.iter().map(result).collect::<Result<Vec<_>, _>>()?;
        self.calls.push(function);
        let values = self.inline(&inner, &wanted)?;
        self.calls.pop();
        Ok(Outputs::Replaced(needed.iter().copied().zip(values).collect()))
    }

    /// Returns the tensor that a value is, reading it if it is a variable.
    fn tensor(&mut self, value: Value<'a>) -> Result<String, Refusal> {
        let handle = match value {
            Value::Tensor(it) => return Ok(it),
            Value::Variable(it) => it,
        };
        let variable = variable_name(handle);
        if let Some(it) = self.variable_constants.get(variable) {
            return Ok(it.clone());
        }
        let tensor = self.variables.value(handle)?;
        let dtype = AttrValue { value: Some(attr_value::Value::Type(tensor.dtype)) };
        let constant = tfpb::node().name(&handle.name).op("Const").attr("dtype", dtype).attr("value", tensor);
        let name = self.add(constant);
        self.variable_constants.insert(variable, name.clone());
        Ok(name)
    }

    /// A lookup in a variable is one in its value.
    fn gather(
        &mut self,
        body: &Body<'a>,
        node: &'a NodeDef,
        params: Value<'a>,
        indices: Value<'a>,
    ) -> Result<String, Refusal> {
        let name = body.flat_name(node);
        if let Some(attr_value::Value::I(it @ 1..)) = node.attr.get("batch_dims").and_then(|it| it.value.as_ref()) {
            return Err(Refusal::Unsupported(format!("ResourceGather with batch_dims = {it}"), name));
        }
        let (params, indices) = (self.tensor(params)?, self.tensor(indices)?);
        let int32 = DataType::DtInt32;
        let zero = TensorProto {
            dtype: int32.into(),
            tensor_shape: Some(Default::default()),
            int_val: vec![0],
            ..Default::default()
        };
        let axis = tfpb::node().name(format!("{name}/axis")).op("Const").attr("dtype", int32).attr("value", zero);
        let axis = self.add(axis);
        let mut gather = tfpb::node().name(name).op("GatherV2").input(params).input(indices).input(axis);
        gather.attr.extend(node.attr.get("Tindices").map(|it| ("Tindices".to_owned(), it.clone())));
        Ok(self.add(gather.attr("Taxis", int32)))
    }

    /// Returns whether a value is true, if it is a constant.
    fn truth(&self, value: &Value<'a>) -> Option<bool> {
        let Value::Tensor(name) = value else {
            return None;
        };
        let node = self.nodes.get(*self.positions.get(name)?).filter(|it| it.op == "Const")?;
        let attr_value::Value::Tensor(tensor) = node.attr.get("value")?.value.as_ref()? else {
            return None;
        };
        let is_scalar = tensor.tensor_shape.as_ref().is_none_or(|it| it.dim.is_empty() && !it.unknown_rank);
        if tensor.dtype != i32::from(DataType::DtBool) || !is_scalar {
            return None;
        }
        let stored = tensor.bool_val.first().copied();
        Some(stored.or_else(|| tensor.tensor_content.first().map(|&it| it != 0)).unwrap_or(false))
    }
}

impl<'a> Body<'a> {
    fn flat_name(&self, node: &NodeDef) -> String {
        format!("{}{}", self.scope, node.name)
    }

    /// Splits a reference into the node and which of its outputs is meant.
    ///
    /// In a graph that is `node` or `node:2`, in a function `argument`, or `node:values:2` where `values` is one of the operator's outputs.
    fn parse(&self, reference: &'a str) -> Result<(&'a str, usize), Refusal> {
        let bad = || Refusal::Malformed(format!("`{}{reference}` is no reference to a value", self.scope));
        let mut parts = reference.split(':');
        let node = parts.next().unwrap_or_default();
        let (first, second) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return Err(bad());
        }
        let number = |it: &str| it.parse::<usize>().map_err(|_| bad());
        let slot = match (first, second) {
            (None, _) => 0,
            (Some(it), None) if !self.is_function || self.given.contains_key(node) => number(it)?,
            (Some(output), None) => self.slot(node, output, 0),
            (Some(output), Some(it)) => self.slot(node, output, number(it)?),
        };
        Ok((node, slot))
    }

    /// Operators with several outputs number them in this order; all others have one, which may be a list.
    fn slot(&self, node: &str, output: &str, idx: usize) -> usize {
        let names: &[&str] = match self.nodes.get(node).map(|it| it.op.as_str()) {
            Some("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3") => {
                &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"]
            }
            Some("Switch") => &["output_false", "output_true"],
            Some("Merge") => &["output", "value_index"],
            Some("TopKV2" | "TopK") => &["values", "indices"],
            Some("Unique" | "UniqueV2") => &["y", "idx"],
            Some("BlockLSTM" | "BlockLSTMV2") => &["i", "cs", "f", "o", "ci", "co", "h"],
            Some("SoftmaxCrossEntropyWithLogits" | "SparseSoftmaxCrossEntropyWithLogits") => &["loss", "backprop"],
            _ => &[],
        };
        names.iter().position(|it| *it == output).unwrap_or(0).saturating_add(idx)
    }

    fn find(&self, reference: &'a str, done: &HashMap<&'a str, Outputs<'a>>) -> Result<Value<'a>, Refusal> {
        let (name, slot) = self.parse(reference)?;
        let missing = || Refusal::Malformed(format!("nothing computes `{}{reference}`", self.scope));
        if let Some(value) = self.given.get(name) {
            return if slot == 0 { Ok(value.clone()) } else { Err(missing()) };
        }
        match done.get(name).ok_or_else(missing)? {
            Outputs::Node(name) if slot == 0 => Ok(Value::Tensor(name.clone())),
            Outputs::Node(name) => Ok(Value::Tensor(format!("{name}:{slot}"))),
            Outputs::Replaced(values) => values.get(&slot).cloned().ok_or_else(missing),
        }
    }

    /// Returns the nodes that `wanted` needs, each after those that it needs itself.
    fn order(&self, wanted: &[&'a str]) -> Result<Vec<&'a NodeDef>, Refusal> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Open,
            Closed,
        }
        let mut states: HashMap<&'a str, State> = HashMap::new();
        let mut res = Vec::new();
        // Not by recursion: graphs are deeper than a thread's stack.
        let mut stack: Vec<(&'a str, bool)> = Vec::new();
        for reference in wanted {
            stack.push((self.parse(reference)?.0, false));
            while let Some((name, is_left)) = stack.pop() {
                if self.given.contains_key(name) {
                    continue;
                }
                let node = self.nodes.get(name).copied();
                let node =
                    node.ok_or_else(|| Refusal::Malformed(format!("there is no node `{}{name}`", self.scope)))?;
                if is_left {
                    states.insert(name, State::Closed);
                    res.push(node);
                    continue;
                }
                match states.get(name) {
                    Some(State::Closed) => continue,
                    Some(State::Open) => {
                        return Err(Refusal::Unsupported(format!("a cycle through {}", node.op), self.flat_name(node)));
                    }
                    None => states.insert(name, State::Open),
                };
                stack.push((name, true));
                for input in data_inputs(node) {
                    let input = self.parse(input)?.0;
                    if states.get(input) != Some(&State::Closed) {
                        stack.push((input, false));
                    }
                }
            }
        }
        Ok(res)
    }

    /// Returns which outputs of each node are needed.
    fn needed_slots(
        &self,
        order: &[&'a NodeDef],
        wanted: &[&'a str],
    ) -> Result<HashMap<&'a str, BTreeSet<usize>>, Refusal> {
        let mut res: HashMap<&'a str, BTreeSet<usize>> = HashMap::new();
        for reference in order.iter().flat_map(|it| data_inputs(it)).chain(wanted.iter().copied()) {
            let (name, slot) = self.parse(reference)?;
            res.entry(name).or_default().insert(slot);
        }
        Ok(res)
    }
}

fn index(nodes: &[NodeDef]) -> Result<HashMap<&str, &NodeDef>, Refusal> {
    let mut res = HashMap::with_capacity(nodes.len());
    for node in nodes {
        if res.insert(node.name.as_str(), node).is_some() {
            return Err(Refusal::Malformed(format!("there are two nodes `{}`", node.name)));
        }
    }
    Ok(res)
}

/// Returns the inputs of a node without its control edges.
pub(super) fn data_inputs(node: &NodeDef) -> impl Iterator<Item = &str> {
    node.input.iter().map(String::as_str).filter(|it| !it.starts_with('^'))
}

/// Returns the function that an attribute names.
pub(super) fn function_name<'a>(node: &'a NodeDef, attribute: &str) -> Result<&'a str, Refusal> {
    match node.attr.get(attribute).and_then(|it| it.value.as_ref()) {
        Some(attr_value::Value::Func(it)) => Ok(&it.name),
        _ => Err(Refusal::Malformed(format!("node `{}` ({}) does not say which function", node.name, node.op))),
    }
}
