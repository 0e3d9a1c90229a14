//! Host tensors to tract tensors and back.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, TValue, TVec, Tensor, TractError, TractResult, tensor1},
    tract_hir::internal::{TDim, bail},
};

use crate::{
    spec::ElementType,
    tensor::{HostTensor, Values},
};

/// Returns the element type as data, or nothing for types that cannot leave tract.
///
/// Symbolic dimensions are integers, and quantized tensors have no counterpart.
pub(super) fn element_type(datum_type: DatumType) -> Option<ElementType> {
    Some(match datum_type {
        DatumType::Bool => ElementType::Bool,
        DatumType::I8 => ElementType::I8,
        DatumType::I16 => ElementType::I16,
        DatumType::I32 => ElementType::I32,
        DatumType::I64 | DatumType::TDim => ElementType::I64,
        DatumType::U8 => ElementType::U8,
        DatumType::U16 => ElementType::U16,
        DatumType::U32 => ElementType::U32,
        DatumType::U64 => ElementType::U64,
        DatumType::F16 => ElementType::F16,
        DatumType::F32 => ElementType::F32,
        DatumType::F64 => ElementType::F64,
        DatumType::String => ElementType::Utf8,
        _ => return None,
    })
}

/// Returns `tensor` as `wanted`, which differs from its own type only for half precision.
pub(super) fn to_tract(tensor: HostTensor, wanted: DatumType) -> TractResult<Tensor> {
    let shape = &*tensor.shape;
    let res = match tensor.values {
        Values::Bool(it) => Tensor::from_shape(shape, &it),
        Values::I8(it) => Tensor::from_shape(shape, &it),
        Values::I16(it) => Tensor::from_shape(shape, &it),
        Values::I32(it) => Tensor::from_shape(shape, &it),
        Values::I64(it) => Tensor::from_shape(shape, &it),
        Values::U8(it) => Tensor::from_shape(shape, &it),
        Values::U16(it) => Tensor::from_shape(shape, &it),
        Values::U32(it) => Tensor::from_shape(shape, &it),
        Values::U64(it) => Tensor::from_shape(shape, &it),
        Values::F32(it) => Tensor::from_shape(shape, &it),
        Values::F64(it) => Tensor::from_shape(shape, &it),
        Values::Utf8(it) => tensor1(&it).into_shape(shape),
    }?;
    Ok(if res.datum_type() == wanted { res } else { res.cast_to_dt(wanted)?.into_owned() })
}

/// Returns the inputs of a graph whose types these are.
pub(super) fn inputs(tensors: Vec<HostTensor>, wanted: &[DatumType]) -> TractResult<TVec<TValue>> {
    tensors.into_iter().zip(wanted).map(|(it, &dtype)| Ok(to_tract(it, dtype)?.into_tvalue())).collect()
}

/// Returns copies of a graph's outputs.
pub(super) fn outputs(tensors: &TVec<TValue>) -> TractResult<Vec<HostTensor>> {
    tensors.iter().map(|it| from_tract(it)).collect()
}

/// Returns a copy of `tensor`; half precision is widened, symbolic dimensions become integers.
pub(super) fn from_tract(tensor: &Tensor) -> TractResult<HostTensor> {
    macro_rules! take {
        ($variant:ident, $ty:ty) => {
            Values::$variant(tensor.try_as_plain_ram()?.as_slice::<$ty>()?.to_vec().into())
        };
    }
    let values = match tensor.datum_type() {
        DatumType::Bool => take!(Bool, bool),
        DatumType::I8 => take!(I8, i8),
        DatumType::I16 => take!(I16, i16),
        DatumType::I32 => take!(I32, i32),
        DatumType::I64 => take!(I64, i64),
        DatumType::U8 => take!(U8, u8),
        DatumType::U16 => take!(U16, u16),
        DatumType::U32 => take!(U32, u32),
        DatumType::U64 => take!(U64, u64),
        DatumType::F32 => take!(F32, f32),
        DatumType::F64 => take!(F64, f64),
        DatumType::String => take!(Utf8, String),
        DatumType::F16 => return from_tract(&*tensor.cast_to::<f32>()?),
        DatumType::TDim => {
            let dims = tensor.to_plain_array_view::<TDim>()?;
            Values::I64(dims.iter().map(|it| it.to_i64().map_err(TractError::from)).collect::<TractResult<_>>()?)
        }
        other => bail!("output type {other:?} has no counterpart in a record batch"),
    };
    Ok(HostTensor { shape: tensor.shape().to_vec(), values })
}
