//! Gives the values of a pickle dotted names: tensors apart from what else a checkpoint keeps.

use serde_json::Value;

use super::pickle::{Node, NodeId, Values, View};
use crate::{catalog::Lost, metadata::number};

/// Deeper than any optimizer nests, and shallow enough for the stack.
const MAX_DEPTH: usize = 64;
/// A list that holds another one twice, and so on, is endless when it is written out.
const MAX_VISITS: usize = 1_000_000;
/// The same for one long text that many names or values share.
const MAX_TEXT: usize = 64 << 20;

/// A part of a checkpoint, with its name.
#[derive(Debug)]
pub(super) enum Named<'a> {
    Tensor(String, &'a View),
    Scalar(String, Value),
    Skipped(String, Lost, &'static str),
}

/// Returns all parts in the order of the pickle; a circle or more parts than the limit is an error.
///
/// A dict's keys and the positions in a list are joined with dots: `optimizer.state.0.exp_avg`.
/// A list of plain values is one value.
pub(super) fn flatten(values: &Values) -> Result<Vec<Named<'_>>, (String, usize)> {
    let mut walk = Walk { values, n_visits: 0, n_text: 0, parts: vec![] };
    walk.value(String::new(), values.root, 0)?;
    Ok(walk.parts)
}

struct Walk<'a> {
    values: &'a Values,
    n_visits: usize,
    n_text: usize,
    parts: Vec<Named<'a>>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, name: String, id: NodeId, depth: usize) -> Result<(), (String, usize)> {
        self.n_visits += 1;
        self.n_text = self.n_text.saturating_add(name.len());
        if depth > MAX_DEPTH {
            return Err((format!("nests at `{}`", short(&name)), MAX_DEPTH));
        }
        if self.n_visits > MAX_VISITS || self.n_text > MAX_TEXT {
            return Err((format!("repeats itself at `{}`", short(&name)), MAX_VISITS));
        }
        match self.values.node(id) {
            Node::Tensor(view) => self.parts.push(Named::Tensor(name, view)),
            Node::Sequence(items) => match self.plain(items) {
                Some(value) if !name.is_empty() => self.parts.push(Named::Scalar(name, value)),
                _ => {
                    for (idx, &item) in items.iter().enumerate() {
                        self.value(join(&name, &idx.to_string()), item, depth + 1)?;
                    }
                }
            },
            Node::Mapping(pairs) => {
                for &(key, value) in pairs {
                    match self.values.node(key) {
                        Node::Text(key) => self.value(join(&name, key), value, depth + 1)?,
                        Node::Integer(key) => self.value(join(&name, &key.to_string()), value, depth + 1)?,
                        _ => self.skip(&name, Lost::Numbers, "has a key that is neither a text nor a number"),
                    }
                }
            }
            Node::Storage(_) => self.skip(&name, Lost::Numbers, "is a storage without a shape"),
            Node::Bytes => self.skip(&name, Lost::Nothing, "holds bytes, not numbers"),
            _ => match self.scalar(id) {
                Some(value) => self.parts.push(Named::Scalar(name, value)),
                None => self.skip(&name, Lost::Nothing, "is a name, not a value"),
            },
        }
        Ok(())
    }

    /// Returns a list of plain values, if it is one; each of them counts as visited.
    fn plain(&mut self, items: &[NodeId]) -> Option<Value> {
        self.n_visits = self.n_visits.saturating_add(items.len());
        if self.n_visits > MAX_VISITS {
            return None;
        }
        let mut res = Vec::new();
        for &item in items {
            res.push(self.scalar(item)?);
        }
        Some(Value::Array(res))
    }

    fn scalar(&mut self, id: NodeId) -> Option<Value> {
        if let Node::Text(text) = self.values.node(id) {
            self.n_text = self.n_text.saturating_add(text.len());
            if self.n_text > MAX_TEXT {
                return None;
            }
        }
        scalar(self.values.node(id))
    }

    fn skip(&mut self, name: &str, lost: Lost, reason: &'static str) {
        self.parts.push(Named::Skipped(name.to_owned(), lost, reason));
    }
}

fn scalar(node: &Node) -> Option<Value> {
    Some(match node {
        Node::None => Value::Null,
        Node::Bool(it) => Value::from(*it),
        Node::Integer(it) => match (i64::try_from(*it), u64::try_from(*it)) {
            (Ok(it), _) => Value::from(it),
            (_, Ok(it)) => Value::from(it),
            _ => Value::from(it.to_string()),
        },
        Node::Float(it) => number(*it),
        Node::Text(it) => Value::from(it.as_str()),
        Node::Global(super::globals::Global::Element(it)) => Value::from(format!("torch.{}", it.name)),
        _ => return None,
    })
}

fn join(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}

fn short(name: &str) -> String {
    name.chars().take(60).collect::<String>().escape_debug().to_string()
}
