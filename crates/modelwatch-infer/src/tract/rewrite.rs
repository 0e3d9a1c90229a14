//! Says to tract what it gets wrong when it is left unsaid.

use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto, tensor_proto::DataType};

/// Rewrites the nodes of a graph and of those nested in it; the answers stay the same.
pub(super) fn rewrite(graph: &mut GraphProto) {
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for node in &mut graph.node {
            // Without a value these are zeros in single precision; tract makes them in double precision.
            if node.op_type == "ConstantOfShape" && !node.attribute.iter().any(|it| it.name == "value") {
                node.attribute.push(zero());
            }
            graphs.extend(node.attribute.iter_mut().filter_map(|it| it.g.as_mut()));
        }
    }
}

fn zero() -> AttributeProto {
    const TENSOR: i32 = 4;
    let tensor =
        TensorProto { dims: vec![1], data_type: DataType::Float as i32, float_data: vec![0.0], ..Default::default() };
    AttributeProto { name: "value".to_string(), r#type: TENSOR, t: Some(tensor), ..Default::default() }
}
