//! Puts the bodies of a model's own functions in place of their calls.
//!
//! The functions stay in the model, whose data is looked at whether they are called or not.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
};

use prost::Message;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

use super::{
    attributes::label,
    limits::{MAX_COPIED_BYTES, MAX_FUNCTION_DEPTH},
    preflight::{Fault, MAX_NODES},
    versions,
};

const FLAT: &str = "export it without functions of its own";
/// The domains whose versions say what an operator does.
const VERSIONED: [&str; 2] = ["", "ai.onnx.ml"];

/// Puts the nodes of functions in place of the nodes that call them.
pub(super) fn inline(proto: &mut ModelProto) -> Result<(), Fault> {
    let Some(graph) = &mut proto.graph else { return Ok(()) };
    if proto.functions.is_empty() {
        return Ok(());
    }
    let key = |it: &FunctionProto| (plain(it.domain()).to_owned(), it.name().to_owned());
    let mut functions = HashMap::new();
    for it in &proto.functions {
        if functions.insert(key(it), it).is_some() {
            let what = format!("its function `{}` is there more than once, as an overloaded one is", it.name());
            return Err(Fault { what, remedy: FLAT });
        }
    }
    let imports = &mut proto.opset_import;
    let mut inliner = Inliner { functions, imports, checked: HashSet::new(), n_calls: 0, n_nodes: 0, n_bytes: 0 };
    inliner.inline_graph(graph, 0)
}

fn plain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn too_much() -> Fault {
    let what = format!("its functions come to more than {MAX_NODES} nodes or {MAX_COPIED_BYTES} bytes");
    Fault { what, remedy: FLAT }
}

struct Inliner<'a> {
    functions: HashMap<(String, String), &'a FunctionProto>,
    imports: &'a mut Vec<OperatorSetIdProto>,
    /// The functions whose versions are those of the model, by where they are in memory.
    checked: HashSet<*const FunctionProto>,
    n_calls: usize,
    n_nodes: usize,
    n_bytes: usize,
}

impl Inliner<'_> {
    fn inline_graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), Fault> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.inline_nodes(nodes, depth)?;
        Ok(())
    }

    fn inline_nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, Fault> {
        let mut res = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for nested in node.attribute.iter_mut().filter_map(|it| it.g.as_mut()) {
                self.inline_graph(nested, depth)?;
            }
            let function = self.functions.get(&(plain(&node.domain).to_owned(), node.op_type.clone()));
            let Some(&function) = function else {
                res.push(node);
                continue;
            };
            if depth == MAX_FUNCTION_DEPTH {
                let what = format!("{} calls functions that are nested more than {depth} deep", label(&node));
                return Err(Fault { what, remedy: FLAT });
            }
            self.check_versions(function, &node)?;
            let body = self.body(function, &node)?;
            res.extend(self.inline_nodes(body, depth + 1)?);
        }
        Ok(res)
    }

    /// An operator of another version may be another one: those of a function are to be the same in the model's.
    fn check_versions(&mut self, function: &FunctionProto, call: &NodeProto) -> Result<(), Fault> {
        if !self.checked.insert(std::ptr::from_ref(function)) {
            return Ok(());
        }
        let mut versions = HashMap::new();
        for wanted in function.opset_import.iter().filter(|it| VERSIONED.contains(&plain(&it.domain))) {
            match versions.insert(plain(&wanted.domain), wanted.version) {
                None => {}
                Some(it) if it == wanted.version => continue,
                Some(_) => {
                    let what =
                        format!("{} calls a function that is written for two versions of one domain", label(call));
                    return Err(Fault { what, remedy: FLAT });
                }
            }
            match self.imports.iter().find(|it| plain(&it.domain) == plain(&wanted.domain)) {
                None => self.imports.push(wanted.clone()),
                Some(it) if it.version == wanted.version => {}
                Some(it) => {
                    let (of_function, of_model) = (wanted.version, it.version);
                    let domain = plain(&wanted.domain);
                    let Some(other) = self.changed(&function.node, domain, [of_function, of_model]) else { continue };
                    let what = format!(
                        "{} calls a function that is written for version {of_function} of ONNX's operators, and the model for \
                         {of_model}, where {} is another operator",
                        label(call),
                        label(other)
                    );
                    return Err(Fault { what, remedy: "export both for one version" });
                }
            }
        }
        Ok(())
    }

    /// Returns the first node of a domain's operator that is not the same in both versions, those of nested graphs included.
    fn changed<'b>(&self, nodes: &'b [NodeProto], domain: &str, versions: [i64; 2]) -> Option<&'b NodeProto> {
        let mut lists = vec![nodes];
        while let Some(nodes) = lists.pop() {
            for node in nodes {
                let is_function = self.functions.contains_key(&(plain(&node.domain).to_owned(), node.op_type.clone()));
                let is_of_domain = plain(&node.domain) == domain && !is_function;
                if is_of_domain && !versions::is_same(domain, &node.op_type, versions) {
                    return Some(node);
                }
                lists.extend(node.attribute.iter().filter_map(|it| Some(&*it.g.as_ref()?.node)));
            }
        }
        None
    }

    /// Returns the nodes of a function with what a call gives it.
    fn body(&mut self, function: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>, Fault> {
        /// What a name and its place take, about.
        const VALUE_BYTES: usize = 64;
        self.n_calls += 1;
        // Not the function's name, which may be long.
        let prefix = format!("call.{}", self.n_calls);
        self.n_bytes += (function.input.len() + function.output.len()).saturating_mul(VALUE_BYTES);
        if self.n_bytes > MAX_COPIED_BYTES {
            return Err(too_much());
        }
        let mut names: HashMap<&str, String> = HashMap::new();
        for (idx, input) in function.input.iter().enumerate() {
            names.insert(input, call.input.get(idx).cloned().unwrap_or_default());
        }
        let mut passed_on = Vec::new();
        for (inner, outer) in function.output.iter().zip(&call.output).filter(|it| !it.1.is_empty()) {
            match names.get(&**inner) {
                Some(from) => passed_on.push((from.clone(), outer.clone())),
                None => _ = names.insert(inner, outer.clone()),
            }
        }
        let within = Within { function, call, prefix: &prefix, names, n_bytes: Cell::new(self.n_bytes) };
        let mut res = Vec::with_capacity(function.node.len());
        for node in &function.node {
            self.n_nodes += 1;
            if self.n_nodes > MAX_NODES {
                return Err(too_much());
            }
            within.spend(node.encoded_len())?;
            res.push(within.node(node)?);
        }
        self.n_bytes = within.n_bytes.get();
        res.extend(passed_on.into_iter().map(|(from, to)| NodeProto {
            op_type: "Identity".to_owned(),
            input: vec![from],
            output: vec![to],
            ..Default::default()
        }));
        Ok(res)
    }
}

/// A function in the place of one call.
struct Within<'a> {
    function: &'a FunctionProto,
    call: &'a NodeProto,
    prefix: &'a str,
    /// What its inputs and outputs are called around it.
    names: HashMap<&'a str, String>,
    /// What was copied so far, for all calls.
    n_bytes: Cell<usize>,
}

impl Within<'_> {
    fn spend(&self, n_bytes: usize) -> Result<(), Fault> {
        self.n_bytes.set(self.n_bytes.get().saturating_add(n_bytes));
        if self.n_bytes.get() > MAX_COPIED_BYTES { Err(too_much()) } else { Ok(()) }
    }

    fn name(&self, name: &str) -> Result<String, Fault> {
        let outer = self.names.get(name);
        self.spend(outer.map_or(self.prefix.len() + name.len(), String::len))?;
        Ok(match outer {
            _ if name.is_empty() => String::new(),
            Some(it) => it.clone(),
            None => format!("{}/{name}", self.prefix),
        })
    }

    fn node(&self, node: &NodeProto) -> Result<NodeProto, Fault> {
        let mut res = node.clone();
        for it in res.input.iter_mut().chain(&mut res.output) {
            *it = self.name(it)?;
        }
        if !node.name.is_empty() {
            res.name = format!("{}/{}", self.prefix, node.name);
        }
        let attributes = node.attribute.iter().filter_map(|it| self.attribute(it).transpose());
        res.attribute = attributes.collect::<Result<_, _>>()?;
        Ok(res)
    }

    /// Returns an attribute, which the call may give; nothing where it does not and need not.
    fn attribute(&self, it: &AttributeProto) -> Result<Option<AttributeProto>, Fault> {
        let mut res = it.clone();
        if !it.ref_attr_name.is_empty() {
            let Some(given) = self.call.attribute.iter().find(|given| given.name == it.ref_attr_name) else {
                if self.function.attribute.contains(&it.ref_attr_name) {
                    return Ok(None);
                }
                let what = format!("{} leaves out `{}`, whose default is not read", label(self.call), it.ref_attr_name);
                return Err(Fault { what, remedy: FLAT });
            };
            self.spend(given.encoded_len())?;
            res = AttributeProto { name: it.name.clone(), ..given.clone() };
        } else if let Some(graph) = &mut res.g {
            self.rename(graph)?;
        }
        Ok(Some(res))
    }

    /// Names in a graph of a node are of the function, too: none in it hides another.
    fn rename(&self, graph: &mut GraphProto) -> Result<(), Fault> {
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        for it in values {
            it.name = self.name(&it.name)?;
        }
        for it in &mut graph.initializer {
            it.name = self.name(&it.name)?;
        }
        graph.node = graph.node.iter().map(|it| self.node(it)).collect::<Result<_, _>>()?;
        Ok(())
    }
}
