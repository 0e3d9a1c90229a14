//! Access to the name and the attributes of an ONNX node.

use tract_onnx::{
    pb::{
        AttributeProto, NodeProto, TensorProto,
        tensor_proto::{DataLocation, DataType},
    },
    prelude::TractResult,
    tract_hir::internal::bail,
};

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|it| it.name == name)
}

/// Returns the name of a node, or that of its first output where it has none.
pub(in crate::tract) fn name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", |it| it) } else { &node.name }
}

/// Returns what messages call a node.
pub(in crate::tract) fn label(node: &NodeProto) -> String {
    format!("node `{}` ({})", name(node), node.op_type)
}

pub(in crate::tract) fn floats<'a>(node: &'a NodeProto, name: &str) -> &'a [f32] {
    find(node, name).map_or(&[], |it| &it.floats)
}

pub(in crate::tract) fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    find(node, name).map_or(&[], |it| &it.ints)
}

pub(in crate::tract) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    find(node, name).map(|it| it.i)
}

pub(in crate::tract) fn float(node: &NodeProto, name: &str) -> Option<f32> {
    find(node, name).map(|it| it.f)
}

pub(in crate::tract) fn tensor<'a>(node: &'a NodeProto, name: &str) -> Option<&'a TensorProto> {
    find(node, name).and_then(|it| it.t.as_ref())
}

pub(in crate::tract) fn text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    find(node, name).and_then(|it| std::str::from_utf8(&it.s).ok())
}

pub(in crate::tract) fn texts(node: &NodeProto, name: &str) -> Vec<String> {
    let strings = find(node, name).map_or(&[][..], |it| &it.strings);
    strings.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}

/// Returns integers as indices, `n` of them.
pub(in crate::tract) fn indices(node: &NodeProto, name: &str, n: usize) -> TractResult<Vec<usize>> {
    let res: Vec<usize> = ints(node, name).iter().map(|&it| usize::try_from(it)).collect::<Result<_, _>>()?;
    if res.len() != n {
        bail!("node `{}` ({}) has {} values in `{name}` where {n} are needed", node.name, node.op_type, res.len());
    }
    Ok(res)
}

/// Returns the numbers of an attribute, or of the tensor that stands for it where they are in double precision, and whether it does.
pub(in crate::tract) fn numbers(node: &NodeProto, name: &str) -> TractResult<(Vec<f64>, bool)> {
    let Some(tensor) = tensor(node, &format!("{name}_as_tensor")) else {
        return Ok((floats(node, name).iter().map(|&it| it.into()).collect(), false));
    };
    let raw = &tensor.raw_data;
    Ok(match DataType::try_from(tensor.data_type) {
        _ if tensor.data_location == Some(DataLocation::External as i32) => {
            bail!("node `{}` ({}) has `{name}` in another file", node.name, node.op_type)
        }
        Ok(DataType::Double) if raw.is_empty() => (tensor.double_data.clone(), true),
        Ok(DataType::Double) => (raw.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it)).collect(), true),
        Ok(DataType::Float) if raw.is_empty() => (tensor.float_data.iter().map(|&it| it.into()).collect(), false),
        Ok(DataType::Float) => (raw.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it).into()).collect(), false),
        _ => bail!("node `{}` ({}) has `{name}` in a type that is no number", node.name, node.op_type),
    })
}
