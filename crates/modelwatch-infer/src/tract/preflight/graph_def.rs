//! The names, the number and the order of the nodes of a TensorFlow graph.

use std::collections::{BTreeSet, HashMap};

use tract_tensorflow::tfpb::tensorflow::NodeDef;

use super::{
    Fault,
    structure::{MAX_NODES, order},
};

/// Looks at the nodes of a graph without functions and loops.
///
/// tract looks for each input by going through all nodes, and takes the first where two have one name.
pub(in crate::tract) fn check_nodes(nodes: &[NodeDef]) -> Result<(), Fault> {
    if nodes.len() > MAX_NODES {
        let what = format!("it has {} nodes, more than the {MAX_NODES} that are prepared", nodes.len());
        return Err(Fault { what, remedy: "export only what inference needs" });
    }
    let mut positions = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if positions.insert(&*node.name, at).is_some() {
            return Err(Fault::damaged(format!("there are two nodes `{}`", node.name)));
        }
    }
    let mut needs = Vec::with_capacity(nodes.len());
    for node in nodes {
        let position = |input: &String| {
            let name = producer(input);
            let missing = || Fault::damaged(format!("{} takes `{name}`, which nothing gives", label(node)));
            positions.get(name).copied().ok_or_else(missing)
        };
        needs.push(node.input.iter().map(position).collect::<Result<BTreeSet<_>, _>>()?);
    }
    let cyclic = |at: usize| format!("{} needs its own output, through a cycle of nodes", label(&nodes[at]));
    order(&needs).map(drop).map_err(|at| Fault::damaged(cyclic(at)))
}

/// Returns the node that an input names: `name`, `name:output`, or `^name` where it only has to come before.
pub(in crate::tract) fn producer(input: &str) -> &str {
    input.trim_start_matches('^').split(':').next().unwrap_or_default()
}

fn label(node: &NodeDef) -> String {
    format!("node `{}` ({})", node.name, node.op)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, inputs: &[&str]) -> NodeDef {
        let input = inputs.iter().map(ToString::to_string).collect();
        NodeDef { name: name.to_owned(), op: "Add".to_owned(), input, ..Default::default() }
    }

    fn what(nodes: &[NodeDef]) -> Option<String> {
        check_nodes(nodes).err().map(|it| it.what)
    }

    #[test]
    fn nodes_have_names_of_their_own_and_inputs_that_are_there() {
        assert_eq!(what(&[node("b", &["a:0", "^c"]), node("a", &[]), node("c", &["a:1"])]), None);
        assert_eq!(what(&[node("a", &[]), node("a", &[])]).unwrap(), "there are two nodes `a`");
        assert_eq!(what(&[node("a", &["^b"])]).unwrap(), "node `a` (Add) takes `b`, which nothing gives");
    }

    #[test]
    fn cycles_and_crowds_are_refused() {
        let said = what(&[node("x", &[]), node("a", &["x", "b:0"]), node("b", &["a"]), node("y", &["b"])]).unwrap();
        assert!(said.contains("needs its own output") && !said.contains("`y`"), "{said}");
        let chain: Vec<_> = (0..=MAX_NODES).map(|it| node(&it.to_string(), &[])).collect();
        assert!(what(&chain).unwrap().starts_with("it has 20001 nodes"));
    }
}
