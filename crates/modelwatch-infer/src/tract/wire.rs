//! Counts what a protobuf message would allocate, by walking its bytes.
//!
//! Two bytes of a file can become a node of a few hundred bytes in memory, so the limits hold before anything is decoded.

/// The fields of a message that are worth walking into; all others are one allocation each at most.
pub(super) struct Schema {
    kind: Kind,
    fields: &'static [(u64, &'static Schema)],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Message,
    /// A message that is a node of a graph.
    Node,
    /// Packed integers, one byte each at least.
    Packed,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Nodes of the graph and of all functions.
    pub(super) nodes: u64,
    /// Fields on all levels that have a length; a number takes about as much memory as it takes bytes.
    pub(super) fields: u64,
}

const fn message(fields: &'static [(u64, &'static Schema)]) -> Schema {
    Schema { kind: Kind::Message, fields }
}

static PACKED: Schema = Schema { kind: Kind::Packed, fields: &[] };
static SHAPE: Schema = message(&[(2, &DIM)]);
static DIM: Schema = message(&[]);
static TENSOR: Schema =
    message(&[(2, &SHAPE), (7, &PACKED), (10, &PACKED), (11, &PACKED), (13, &PACKED), (16, &PACKED), (17, &PACKED)]);
static LIST: Schema =
    message(&[(3, &PACKED), (5, &PACKED), (6, &PACKED), (7, &SHAPE), (8, &TENSOR), (9, &FUNCTION_NAME)]);
static ATTRIBUTE: Schema = message(&[(1, &LIST), (7, &SHAPE), (8, &TENSOR), (10, &FUNCTION_NAME)]);
static ATTRIBUTE_ENTRY: Schema = message(&[(2, &ATTRIBUTE)]);
static FUNCTION_NAME: Schema = message(&[(2, &ATTRIBUTE_ENTRY)]);
static NODE: Schema = Schema { kind: Kind::Node, fields: &[(5, &ATTRIBUTE_ENTRY)] };
static OPERATOR: Schema = message(&[(2, &DIM), (3, &DIM), (4, &OPERATOR_ATTRIBUTE)]);
static OPERATOR_ATTRIBUTE: Schema = message(&[(3, &ATTRIBUTE), (7, &ATTRIBUTE)]);
static FUNCTION: Schema = message(&[(1, &OPERATOR), (3, &NODE), (5, &ATTRIBUTE_ENTRY)]);
static LIBRARY: Schema = message(&[(1, &FUNCTION), (2, &DIM)]);
static TENSOR_INFO: Schema = message(&[(3, &SHAPE)]);
static TENSOR_INFO_ENTRY: Schema = message(&[(2, &TENSOR_INFO)]);
static SIGNATURE: Schema = message(&[(1, &TENSOR_INFO_ENTRY), (2, &TENSOR_INFO_ENTRY)]);
static SIGNATURE_ENTRY: Schema = message(&[(2, &SIGNATURE)]);
static OPERATORS: Schema = message(&[(1, &OPERATOR)]);
static META_INFO: Schema = message(&[(2, &OPERATORS)]);
static META_GRAPH: Schema = message(&[(1, &META_INFO), (2, &GRAPH), (5, &SIGNATURE_ENTRY)]);

/// A TensorFlow `GraphDef`.
pub(super) static GRAPH: Schema = message(&[(1, &NODE), (2, &LIBRARY)]);
/// A TensorFlow `SavedModel`.
pub(super) static SAVED_MODEL: Schema = message(&[(2, &META_GRAPH)]);

static ENTRY: Schema = message(&[]);
static ONNX_TENSOR: Schema = message(&[(1, &PACKED), (5, &PACKED), (7, &PACKED), (11, &PACKED), (13, &ENTRY)]);
static ONNX_SHAPE: Schema = message(&[(1, &DIM)]);
static ONNX_TENSOR_TYPE: Schema = message(&[(2, &ONNX_SHAPE)]);
static ONNX_TYPE: Schema = message(&[(1, &ONNX_TENSOR_TYPE)]);
static ONNX_VALUE: Schema = message(&[(2, &ONNX_TYPE)]);
static ONNX_ATTRIBUTE: Schema = message(&[
    (5, &ONNX_TENSOR),
    (6, &ONNX_GRAPH),
    (8, &PACKED),
    (10, &ONNX_TENSOR),
    (11, &ONNX_GRAPH),
    (15, &ONNX_TYPE),
]);
static ONNX_NODE: Schema = Schema { kind: Kind::Node, fields: &[(5, &ONNX_ATTRIBUTE)] };
static ONNX_GRAPH: Schema =
    message(&[(1, &ONNX_NODE), (5, &ONNX_TENSOR), (11, &ONNX_VALUE), (12, &ONNX_VALUE), (13, &ONNX_VALUE)]);
static ONNX_TRAINING: Schema = message(&[(1, &ONNX_GRAPH), (2, &ONNX_GRAPH)]);

/// An ONNX `ModelProto`.
pub(super) static ONNX: Schema = message(&[(7, &ONNX_GRAPH), (8, &ENTRY), (14, &ENTRY), (20, &ONNX_TRAINING)]);

/// Returns the counts of a message, or why its bytes are none.
pub(super) fn count(bytes: &[u8], root: &'static Schema) -> Result<Counts, String> {
    /// prost refuses to go deeper.
    const MAX_DEPTH: usize = 100;
    /// Packed integers grow to eight times their size, which a field does not.
    const PACKED_PER_FIELD: u64 = 16;
    let mut res = Counts::default();
    let mut reader = Reader { bytes, at: 0 };
    let mut open = vec![(bytes.len(), root)];
    while let Some(&(end, schema)) = open.last() {
        if reader.at == end {
            open.pop();
            continue;
        }
        let start = reader.at;
        let cut = || format!("the content ends inside the field at byte {start}");
        let key = reader.varint(end).ok_or_else(cut)?;
        let (field, wire) = (key >> 3, key & 7);
        res.fields += u64::from(wire == 2);
        let len = match wire {
            0 => reader.varint(end).map(|_| 0),
            1 => Some(8),
            2 => reader.varint(end),
            5 => Some(4),
            _ => return Err(format!("byte {start} is not the start of a field")),
        };
        let next = len.and_then(|it| usize::try_from(it).ok()).and_then(|it| reader.at.checked_add(it));
        let next = next.filter(|&it| it <= end).ok_or_else(cut)?;
        let child = schema.fields.iter().find(|(it, _)| *it == field && wire == 2).map(|(_, it)| *it);
        match child {
            Some(child) if child.kind == Kind::Packed => {
                res.fields += (next - reader.at) as u64 / PACKED_PER_FIELD;
                reader.at = next;
            }
            Some(child) => {
                res.nodes += u64::from(child.kind == Kind::Node);
                if open.len() >= MAX_DEPTH {
                    return Err(format!("messages are nested more than {MAX_DEPTH} deep at byte {start}"));
                }
                open.push((next, child));
            }
            None => reader.at = next,
        }
    }
    Ok(res)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Returns the number that starts here and ends before `end`.
    fn varint(&mut self, end: usize) -> Option<u64> {
        let mut res = 0;
        for shift in (0..70).step_by(7) {
            let &byte = self.bytes.get(..end)?.get(self.at)?;
            self.at += 1;
            res |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(res);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_tensorflow::tfpb::{
        self,
        tensorflow::{AttrValue, FunctionDef, FunctionDefLibrary, GraphDef, NameAttrList, attr_value::Value},
    };

    use super::*;

    fn graph() -> GraphDef {
        let node = tfpb::node().name("a").op("Const").attr("value", AttrValue::from(3i64));
        let function = FunctionDef { node_def: vec![node.clone()], ..Default::default() };
        let library = FunctionDefLibrary { function: vec![function], gradient: vec![] };
        GraphDef { node: vec![node.clone(), node], library: Some(library), ..Default::default() }
    }

    #[test]
    fn nodes_of_functions_count_and_so_does_every_field_but_numbers() {
        // Each node: itself, name, operator, attribute, key, value.
        let counts = count(&graph().encode_to_vec(), &GRAPH).unwrap();
        assert_eq!(counts, Counts { nodes: 3, fields: 3 * 6 + 2 });
    }

    #[test]
    fn packed_integers_count_by_their_bytes() {
        let list = AttrValue::from(vec![1i64; 1600]);
        let graph = GraphDef { node: vec![tfpb::node().attr("it", list)], ..Default::default() };
        assert_eq!(count(&graph.encode_to_vec(), &GRAPH).unwrap().fields, 106);
    }

    #[test]
    fn a_message_that_is_cut_says_where() {
        let bytes = graph().encode_to_vec();
        for end in 1..bytes.len() {
            let res = count(&bytes[..end], &GRAPH);
            assert!(res.is_ok() == GraphDef::decode(&bytes[..end]).is_ok(), "{end}: {res:?}");
        }
        let error = count(&bytes[..bytes.len() - 1], &GRAPH).unwrap_err();
        assert!(error.starts_with("the content ends inside the field at byte"), "{error}");
        assert!(count(&[0x0b], &GRAPH).unwrap_err().contains("is not the start of a field"));
        // An attribute that is a function with an attribute that is a function, and so on.
        let nested = (0..200).fold(AttrValue::default(), |inner, _| {
            let attr = std::iter::once(("it".to_owned(), inner)).collect();
            AttrValue { value: Some(Value::Func(NameAttrList { name: String::new(), attr })) }
        });
        let nested = tfpb::node().attr("it", nested).encode_to_vec();
        assert!(count(&nested, &NODE).unwrap_err().contains("nested"));
    }
}
