//! Host tensors to values of ONNX Runtime and back.

use half::f16;
use modelwatch_infer::{ElementType, HostTensor, TensorSpec, Values};
use ort::{
    Error, Result,
    value::{DynValue, Outlet, Tensor, TensorElementType, ValueType},
};

/// Returns what the model says of an output, or why that is nothing that a column can hold.
pub(crate) fn spec(outlet: &Outlet) -> std::result::Result<TensorSpec, String> {
    let name = outlet.name().to_owned();
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(format!("output `{name}` is no tensor but {}", outlet.dtype()));
    };
    let dtype = element_type(*ty).ok_or_else(|| format!("output `{name}` has the unsupported element type {ty}"))?;
    Ok(TensorSpec { name, dtype, shape: shape.iter().map(|&it| usize::try_from(it).ok()).collect() })
}

/// Half precision travels as single precision.
fn element_type(ty: TensorElementType) -> Option<ElementType> {
    Some(match ty {
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Float16 | TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::String => ElementType::Utf8,
        _ => return None,
    })
}

/// Returns `tensor` as an input of the type `wanted`, which differs from its own only for half precision.
pub(crate) fn to_value(tensor: HostTensor, wanted: ElementType) -> Result<DynValue> {
    let shape = tensor.shape;
    Ok(match tensor.values {
        Values::Bool(it) => Tensor::from_array((shape, it))?.into_dyn(),
        Values::I8(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::I16(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::I32(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::I64(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::U8(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::U16(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::U32(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::U64(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::F32(it) if wanted == ElementType::F16 => {
            Tensor::from_array((shape, it.iter().copied().map(f16::from_f32).collect::<Vec<_>>()))?.into_dyn()
        }
        Values::F32(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::F64(it) => Tensor::from_array((shape, Vec::from(it)))?.into_dyn(),
        Values::Utf8(it) => Tensor::from_string_array((shape, &*it))?.into_dyn(),
        other => return Err(Error::new(format!("{} cannot be an input", other.dtype()))),
    })
}

/// Returns a copy of an output.
pub(crate) fn from_value(value: &DynValue) -> Result<HostTensor> {
    macro_rules! take {
        ($variant:ident, $ty:ty) => {
            Values::$variant(value.try_extract_tensor::<$ty>()?.1.to_vec().into())
        };
    }
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(Error::new(format!("an output is no tensor but {}", value.dtype())));
    };
    let values = match ty {
        TensorElementType::Bool => take!(Bool, bool),
        TensorElementType::Int8 => take!(I8, i8),
        TensorElementType::Int16 => take!(I16, i16),
        TensorElementType::Int32 => take!(I32, i32),
        TensorElementType::Int64 => take!(I64, i64),
        TensorElementType::Uint8 => take!(U8, u8),
        TensorElementType::Uint16 => take!(U16, u16),
        TensorElementType::Uint32 => take!(U32, u32),
        TensorElementType::Uint64 => take!(U64, u64),
        TensorElementType::Float16 => {
            Values::F32(value.try_extract_tensor::<f16>()?.1.iter().map(|it| it.to_f32()).collect())
        }
        TensorElementType::Float32 => take!(F32, f32),
        TensorElementType::Float64 => take!(F64, f64),
        TensorElementType::String => Values::Utf8(value.try_extract_strings()?.1),
        other => return Err(Error::new(format!("output type {other} has no counterpart in a record batch"))),
    };
    let shape = shape.iter().map(|&it| usize::try_from(it)).collect::<std::result::Result<_, _>>();
    Ok(HostTensor { shape: shape.map_err(Error::wrap)?, values })
}
