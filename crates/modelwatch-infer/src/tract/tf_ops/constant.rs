//! Constants of all element types that tract has.
//!
//! TensorFlow leaves out values at the end that repeat the last one, or all if they are zero.
//! tract does so only for exactly one value, and knows four types.

use tract_onnx::{
    prelude::{DatumType, Tensor, TractResult},
    tract_hir::{
        internal::{bail, f16},
        ops::konst::Const,
    },
};
use tract_tensorflow::{
    model::ParsingContext,
    tfpb::tensorflow::{DataType, NodeDef, TensorProto, attr_value::Value},
    tract_hir::infer::InferenceOp,
};

/// Builds the operator; a size that memory cannot hold is refused before by [`n_repeated`].
pub(super) fn build(_context: &ParsingContext, node: &NodeDef) -> TractResult<Box<dyn InferenceOp>> {
    let Some(proto) = proto(node) else {
        bail!("node `{}` (Const) has no value", node.name);
    };
    let tensor = tensor(proto)
        .map_err(|what| tract_onnx::prelude::TractError::msg(format!("constant `{}` {what}", node.name)))?;
    Ok(Box::new(Const::new(tensor.into())?))
}

/// Returns why a constant cannot be built.
pub(super) fn fault(node: &NodeDef) -> Option<String> {
    let dtype = DataType::try_from(proto(node)?.dtype).ok()?;
    let is_known = DatumType::try_from(dtype).is_ok_and(|it| it != DatumType::Blob);
    (!is_known).then(|| format!("Const of type {}", dtype.as_str_name()))
}

/// Returns how many elements a constant has beyond the values that the file gives.
pub(super) fn n_repeated(node: &NodeDef) -> usize {
    let Some(proto) = proto(node).filter(|it| it.tensor_content.is_empty()) else {
        return 0;
    };
    let dims = proto.tensor_shape.iter().flat_map(|it| &it.dim).map(|it| usize::try_from(it.size).unwrap_or(0));
    dims.fold(1, usize::saturating_mul).saturating_sub(n_listed(proto))
}

/// Returns the product of a constant's values, if it is one of integers.
pub(super) fn product(node: &NodeDef) -> Option<u64> {
    let tensor = proto(node).filter(|_| node.op == "Const" && n_repeated(node) == 0).map(tensor)?.ok()?;
    let values = tensor.datum_type().is_integer().then(|| tensor.cast_to::<i64>())?.ok()?;
    let values = values.to_plain_array_view::<i64>().ok()?;
    Some(values.iter().fold(1_u64, |product, &it| product.saturating_mul(u64::try_from(it).unwrap_or(0))))
}

/// Returns how many numbers there are from a start to a limit, if they are constant.
pub(super) fn n_steps(range: [&NodeDef; 3]) -> Option<u64> {
    let number = |node: &NodeDef| {
        let tensor = proto(node).filter(|_| node.op == "Const" && n_repeated(node) == 0).map(tensor)?.ok()?;
        let values = tensor.cast_to::<f64>().ok()?;
        values.to_plain_array_view::<f64>().ok()?.iter().next().copied()
    };
    let [start, limit, delta] = range.map(number);
    // What is no number, or goes the other way, is none.
    Some(((limit? - start?) / delta?).ceil() as u64)
}

fn proto(node: &NodeDef) -> Option<&TensorProto> {
    match node.attr.get("value")?.value.as_ref()? {
        Value::Tensor(it) => Some(it),
        _ => None,
    }
}

fn n_listed(proto: &TensorProto) -> usize {
    let lens = [
        proto.half_val.len(),
        proto.float_val.len(),
        proto.double_val.len(),
        proto.int_val.len(),
        proto.int64_val.len(),
        proto.bool_val.len(),
        proto.uint32_val.len(),
        proto.uint64_val.len(),
    ];
    lens.into_iter().max().unwrap_or(0)
}

fn tensor(proto: &TensorProto) -> Result<Tensor, String> {
    let dims = proto.tensor_shape.iter().flat_map(|it| &it.dim);
    let shape = dims.map(|it| usize::try_from(it.size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| "has an unknown dimension".to_owned())?;
    let n = shape.iter().try_fold(1_usize, |product, &it| product.checked_mul(it));
    let n = n.ok_or_else(|| format!("has shape {shape:?}, whose size overflows"))?;
    macro_rules! make {
        ($ty:ty, $listed:expr) => {{
            let content = &proto.tensor_content;
            let values: Vec<$ty> = if content.is_empty() {
                fill($listed.collect(), n)?
            } else {
                let (chunks, rest) = content.as_chunks::<{ size_of::<$ty>() }>();
                if chunks.len() != n || !rest.is_empty() {
                    return Err(format!("has {} bytes where shape {shape:?} takes {n} elements", content.len()));
                }
                chunks.iter().map(|it| <$ty>::from_le_bytes(*it)).collect()
            };
            Tensor::from_shape(&shape, &values)
        }};
    }
    let res = match DataType::try_from(proto.dtype) {
        Ok(DataType::DtFloat) => make!(f32, proto.float_val.iter().copied()),
        Ok(DataType::DtDouble) => make!(f64, proto.double_val.iter().copied()),
        Ok(DataType::DtInt8) => make!(i8, proto.int_val.iter().map(|&it| it as i8)),
        Ok(DataType::DtInt16) => make!(i16, proto.int_val.iter().map(|&it| it as i16)),
        Ok(DataType::DtInt32) => make!(i32, proto.int_val.iter().copied()),
        Ok(DataType::DtInt64) => make!(i64, proto.int64_val.iter().copied()),
        Ok(DataType::DtUint8) => make!(u8, proto.int_val.iter().map(|&it| it as u8)),
        Ok(DataType::DtUint16) => make!(u16, proto.int_val.iter().map(|&it| it as u16)),
        Ok(DataType::DtUint32) => make!(u32, proto.uint32_val.iter().copied()),
        Ok(DataType::DtUint64) => make!(u64, proto.uint64_val.iter().copied()),
        Ok(DataType::DtHalf) => make!(f16, proto.half_val.iter().map(|&it| f16::from_bits(it as u16))),
        Ok(DataType::DtBool) => {
            let listed = proto.bool_val.iter().copied();
            let stored = proto.tensor_content.iter().map(|&it| it != 0);
            let values: Vec<bool> =
                if proto.tensor_content.is_empty() { fill(listed.collect(), n)? } else { stored.collect() };
            Tensor::from_shape(&shape, &values)
        }
        other => return Err(format!("has the unsupported element type {other:?}")),
    };
    res.map_err(|it| it.to_string())
}

/// Adds the values that were left out.
fn fill<T: Copy + Default>(mut values: Vec<T>, n: usize) -> Result<Vec<T>, String> {
    if values.len() > n {
        return Err(format!("lists {} values for {n} elements", values.len()));
    }
    let last = values.last().copied().unwrap_or_default();
    values.resize(n, last);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use tract_tensorflow::tfpb::tensorflow::{TensorShapeProto, tensor_shape_proto::Dim};

    use super::*;

    fn values(dtype: DataType, dims: &[i64], proto: TensorProto) -> Result<Vec<f64>, String> {
        let dim = dims.iter().map(|&size| Dim { size, name: String::new() }).collect();
        let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
        let tensor = tensor(&TensorProto { dtype: dtype.into(), tensor_shape, ..proto })?;
        let tensor = tensor.cast_to::<f64>().map_err(|it| it.to_string())?.into_owned();
        Ok(tensor.to_plain_array_view::<f64>().unwrap().iter().copied().collect())
    }

    #[test]
    fn values_that_were_left_out_repeat_the_last() {
        let some = TensorProto { float_val: vec![1.0, 2.0], ..Default::default() };
        assert_eq!(values(DataType::DtFloat, &[2, 2], some).unwrap(), [1.0, 2.0, 2.0, 2.0]);
        assert_eq!(values(DataType::DtInt64, &[3], TensorProto::default()).unwrap(), [0.0; 3]);
        let negative = TensorProto { int_val: vec![-1], ..Default::default() };
        assert_eq!(values(DataType::DtInt8, &[2], negative).unwrap(), [-1.0, -1.0]);
        let half = TensorProto { half_val: vec![0x3c00], ..Default::default() };
        assert_eq!(values(DataType::DtHalf, &[], half).unwrap(), [1.0]);
        let content = TensorProto { tensor_content: vec![1, 0, 2, 0], ..Default::default() };
        assert_eq!(values(DataType::DtUint16, &[2], content).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let content = || TensorProto { tensor_content: vec![0; 7], ..Default::default() };
        assert!(values(DataType::DtFloat, &[2], content()).unwrap_err().contains("has 7 bytes"));
        assert!(values(DataType::DtBool, &[2], content()).is_err());
        let many = TensorProto { float_val: vec![1.0, 2.0], ..Default::default() };
        assert!(values(DataType::DtFloat, &[1], many).unwrap_err().contains("lists 2 values"));
        let huge = [i64::MAX, i64::MAX];
        assert!(values(DataType::DtFloat, &huge, TensorProto::default()).unwrap_err().contains("overflows"));
        assert!(values(DataType::DtFloat, &[-1], TensorProto::default()).unwrap_err().contains("unknown dimension"));
    }
}
