//! The names, the number and the order of nodes.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::pb::GraphProto;

use super::Fault;
use crate::tract::attributes::label;

/// Nodes with those of nested graphs. tract prepares a chain of 8,000 in 3 s of processor time and one of 20,000 in 18 s; it grows with
/// the square.
pub(in crate::tract) const MAX_NODES: usize = 20_000;
/// What tract makes a chain of nodes of, one for each input.
const CHAINED: [&str; 4] = ["Max", "Mean", "Min", "Sum"];
/// Pairs of nodes that take the same value, of all values: tract compares any two such nodes.
const MAX_PAIRS: usize = 25_000_000;
/// Graphs in attributes, on all levels.
const MAX_GRAPHS: usize = 1_000;
/// Graphs in graphs; exporters stay far below.
const MAX_DEPTH: usize = 16;

/// Puts the nodes of a graph and of those nested in it in an order in which each has its inputs.
pub(super) fn sort(graph: &mut GraphProto) -> Result<(), Fault> {
    count(graph)?;
    match sort_nested(graph)?.into_iter().next() {
        None => Ok(()),
        Some(Free { name, user }) => Err(Fault::damaged(format!("{user} takes `{name}`, which nothing gives"))),
    }
}

fn count(graph: &GraphProto) -> Result<(), Fault> {
    let (mut n_nodes, mut n_graphs) = (0, 0);
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![(graph, 0)];
    while let Some((graph, depth)) = graphs.pop() {
        for node in &graph.node {
            let n_inputs = node.input.len();
            if n_inputs > MAX_NODES {
                let what =
                    format!("{} takes {n_inputs} inputs, more than the {MAX_NODES} that are prepared", label(node));
                return Err(Fault { what, remedy: "export only what inference needs" });
            }
            n_nodes += if CHAINED.contains(&&*node.op_type) { n_inputs.max(1) } else { 1 };
            for attribute in &node.attribute {
                if !attribute.graphs.is_empty() {
                    let what = format!("attribute `{}` of {} is a list of graphs", attribute.name, label(node));
                    return Err(Fault::damaged(what));
                }
                let Some(nested) = &attribute.g else { continue };
                n_graphs += 1;
                if depth == MAX_DEPTH {
                    let what = format!("{} nests graphs more than {MAX_DEPTH} deep", label(node));
                    return Err(Fault { what, remedy: "export it with fewer conditions and loops in one another" });
                }
                graphs.push((nested, depth + 1));
            }
        }
    }
    let limit = |n: usize, what: &str, limit: usize| Fault {
        what: format!("it has {n} {what}, more than the {limit} that are prepared"),
        remedy: "export only what inference needs, and loops as loops",
    };
    if n_nodes > MAX_NODES {
        return Err(limit(n_nodes, "nodes", MAX_NODES));
    }
    if n_graphs > MAX_GRAPHS {
        return Err(limit(n_graphs, "nested graphs", MAX_GRAPHS));
    }
    Ok(())
}

/// A name that a graph takes from around it, and who takes it. Compared by the name.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Free {
    name: String,
    user: String,
}

/// Sorts nested graphs first, because what they take from around them is what their node needs.
fn sort_nested(graph: &mut GraphProto) -> Result<Vec<Free>, Fault> {
    let mut captured: HashMap<usize, Vec<Free>> = HashMap::new();
    for (idx, node) in graph.node.iter_mut().enumerate() {
        for nested in node.attribute.iter_mut().filter_map(|it| it.g.as_mut()) {
            captured.entry(idx).or_default().extend(sort_nested(nested)?);
        }
    }
    check_users(graph)?;
    let producers = producers(graph)?;
    let given = given(graph)?;
    if let Some(name) = given.iter().find(|it| producers.contains_key(*it)) {
        return Err(Fault::damaged(format!("`{name}` is given and computed as well")));
    }
    let mut free: BTreeSet<Free> = BTreeSet::new();
    let mut needs: Vec<BTreeSet<usize>> = Vec::with_capacity(graph.node.len());
    for (idx, node) in graph.node.iter().enumerate() {
        let mut needed = BTreeSet::new();
        let mut take = |name: &str, user: &dyn Fn() -> String| match producers.get(name) {
            Some(&it) => _ = needed.insert(it),
            None if given.contains(name) => (),
            None => _ = free.insert(Free { name: name.to_owned(), user: user() }),
        };
        node.input.iter().filter(|it| !it.is_empty()).for_each(|it| take(it, &|| label(node)));
        captured.get(&idx).into_iter().flatten().for_each(|it| take(&it.name, &|| it.user.clone()));
        needs.push(needed);
    }
    for output in graph.output.iter().map(|it| &it.name) {
        if !producers.contains_key(&**output) && !given.contains(&**output) {
            free.insert(Free { name: output.clone(), user: format!("output `{output}`") });
        }
    }
    if needs.iter().enumerate().any(|(idx, it)| it.last().is_some_and(|&last| last >= idx)) {
        let cyclic = |at: usize| format!("{} needs its own output, through a cycle of nodes", label(&graph.node[at]));
        let order = order(&needs).map_err(|at| Fault::damaged(cyclic(at)))?;
        let mut nodes: Vec<_> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
        graph.node = order.into_iter().filter_map(|it| nodes[it].take()).collect();
    }
    Ok(free.into_iter().collect())
}

/// Fails where so many nodes take the same value that comparing any two of them takes long.
fn check_users(graph: &GraphProto) -> Result<(), Fault> {
    let mut n_users: HashMap<&str, usize> = HashMap::new();
    let mut n_pairs = 0;
    for node in &graph.node {
        for name in node.input.iter().filter(|it| !it.is_empty()) {
            let n_users = n_users.entry(name).or_default();
            n_pairs += *n_users;
            *n_users += 1;
            if n_pairs > MAX_PAIRS {
                let what = format!(
                    "{} is one of {n_users} nodes that take `{name}`, and with those that take others there are more than the \
                     {MAX_PAIRS} pairs of such nodes that are prepared",
                    label(node)
                );
                return Err(Fault { what, remedy: "export only what inference needs, and loops as loops" });
            }
        }
    }
    Ok(())
}

/// Returns which node gives each value.
fn producers(graph: &GraphProto) -> Result<HashMap<&str, usize>, Fault> {
    let mut res = HashMap::new();
    for (idx, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|it| !it.is_empty()) {
            if res.insert(&**output, idx).is_some() {
                return Err(Fault::damaged(format!("{} gives `{output}`, and so does another output", label(node))));
            }
        }
    }
    Ok(res)
}

/// Returns the names of inputs and initializers; an input may have an initializer, which is its default.
fn given(graph: &GraphProto) -> Result<BTreeSet<&str>, Fault> {
    let mut res = unique(graph.input.iter().map(|it| &*it.name), "inputs")?;
    res.extend(unique(graph.initializer.iter().map(|it| &*it.name), "initializers")?);
    Ok(res)
}

fn unique<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<BTreeSet<&'a str>, Fault> {
    let mut res = BTreeSet::new();
    for name in names {
        if !res.insert(name) {
            return Err(Fault::damaged(format!("there are two {what} `{name}`")));
        }
    }
    Ok(res)
}

/// Returns an order in which each node comes after those that it needs, and otherwise as in the file.
///
/// # Errors
/// When nodes need each other; one of them.
pub(super) fn order(needs: &[BTreeSet<usize>]) -> Result<Vec<usize>, usize> {
    let mut users: Vec<Vec<usize>> = vec![vec![]; needs.len()];
    let mut n_missing: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    for (idx, needed) in needs.iter().enumerate() {
        needed.iter().for_each(|&it| users[it].push(idx));
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|&it| n_missing[it] == 0).collect();
    let mut res = Vec::with_capacity(needs.len());
    while let Some(idx) = ready.pop_first() {
        res.push(idx);
        for &user in &users[idx] {
            n_missing[user] -= 1;
            if n_missing[user] == 0 {
                ready.insert(user);
            }
        }
    }
    if res.len() == needs.len() {
        return Ok(res);
    }
    // Every node that is left needs another one that is left, so that walking from one to the next comes to a cycle.
    let is_left = |it: &usize| n_missing[*it] > 0;
    let next = |at: usize| needs[at].iter().copied().find(is_left);
    let mut at = (0..needs.len()).find(is_left).unwrap_or_default();
    for _ in 0..needs.len() {
        at = next(at).unwrap_or(at);
    }
    Err(at)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{NodeProto, ValueInfoProto};

    use super::*;

    fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op_type.to_owned(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        }
    }

    fn graph(node: Vec<NodeProto>) -> GraphProto {
        let value = |name: &str| ValueInfoProto { name: name.to_owned(), ..Default::default() };
        GraphProto { node, input: vec![value("x")], output: vec![value("y")], ..Default::default() }
    }

    #[test]
    fn nodes_run_after_what_they_need() {
        let mut it = graph(vec![node("Add", &["a", "b"], "y"), node("Neg", &["a"], "b"), node("Relu", &["x"], "a")]);
        sort(&mut it).unwrap();
        assert_eq!(it.node.iter().map(|it| &*it.output[0]).collect::<Vec<_>>(), ["a", "b", "y"]);
    }

    #[test]
    fn a_cycle_is_named() {
        let error =
            sort(&mut graph(vec![node("Add", &["x", "a"], "y"), node("Relu", &["b"], "a"), node("Neg", &["a"], "b")]));
        let what = error.unwrap_err().what;
        assert!(what.contains("needs its own output") && !what.contains("`y`"), "{what}");
    }

    #[test]
    fn names_are_given_once_and_known() {
        let what = |nodes| sort(&mut graph(nodes)).unwrap_err().what;
        assert_eq!(what(vec![node("Neg", &["z"], "y")]), "node `y` (Neg) takes `z`, which nothing gives");
        assert_eq!(what(vec![node("Neg", &["x"], "z")]), "output `y` takes `y`, which nothing gives");
        let twice = vec![node("Neg", &["x"], "y"), node("Relu", &["x"], "y")];
        assert_eq!(what(twice), "node `y` (Relu) gives `y`, and so does another output");
        assert_eq!(what(vec![node("Neg", &["x"], "x")]), "`x` is given and computed as well");
    }
}
