//! What flows between the nodes of an interpreted graph.

use std::sync::Arc;

use tract_onnx::{
    Onnx,
    pb::{TensorProto, tensor_proto::DataType},
    prelude::{Datum, DatumType, IntoTensor, Tensor, TractResult, tract_ndarray::ArrayD},
    tensor::load_tensor,
    tract_hir::internal::{TDim, bail, ensure, format_err},
};

use super::narrow::Narrow;
use crate::tract::preflight::Known;

/// The most elements of a tensor that is made here; a larger one is a damaged or hostile model.
const MAX_ELEMENTS: usize = 1 << 28;

/// A value as ONNX knows it.
#[derive(Clone, Debug)]
pub(in crate::tract) enum Value {
    Tensor(Arc<Tensor>),
    /// Numbers of a type that tract lacks, as `f32`.
    Narrow(Narrow, Arc<Tensor>),
    Sequence(Vec<Value>),
    /// An optional without a value; one with a value is that value.
    Absent,
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(Arc::new(tensor))
    }
}

impl<T: Datum> From<ArrayD<T>> for Value {
    fn from(array: ArrayD<T>) -> Self {
        array.into_tensor().into()
    }
}

impl Value {
    /// Returns the tensor, or says what there is instead.
    pub(in crate::tract) fn tensor(&self) -> TractResult<&Arc<Tensor>> {
        match self {
            Self::Tensor(it) => Ok(it),
            Self::Narrow(narrow, _) => bail!("a tensor of {narrow:?} is not supported here"),
            Self::Sequence(_) => bail!("a sequence is given where a tensor is needed"),
            Self::Absent => bail!("an optional without a value is given where a tensor is needed"),
        }
    }

    /// Returns the shape of a tensor of any type.
    pub(super) fn shape(&self) -> TractResult<&[usize]> {
        match self {
            Self::Narrow(_, it) => Ok(it.shape()),
            other => Ok(other.tensor()?.shape()),
        }
    }

    /// Returns the bytes of all elements, those of texts left out.
    pub(super) fn n_bytes(&self) -> u64 {
        match self {
            Self::Tensor(it) | Self::Narrow(_, it) => (it.len() * it.datum_type().size_of()) as u64,
            Self::Sequence(all) => all.iter().map(Self::n_bytes).fold(0, u64::saturating_add),
            Self::Absent => 0,
        }
    }

    /// Returns what the preflight would know of it.
    pub(super) fn known(&self) -> Known {
        match self {
            Self::Tensor(it) | Self::Narrow(_, it) => Known::of_value(it),
            Self::Sequence(_) | Self::Absent => Known::anything(),
        }
    }

    /// Returns ONNX's number of the element type.
    pub(in crate::tract) fn data_type(&self) -> TractResult<i32> {
        match self {
            Self::Narrow(narrow, _) => Ok(narrow.data_type()),
            other => {
                let datum_type = other.tensor()?.datum_type();
                data_type_of(datum_type).ok_or_else(|| format_err!("ONNX has no type {datum_type:?}"))
            }
        }
    }

    /// Returns the tensor that `make` gives for the type with this number of ONNX.
    pub(in crate::tract) fn of_type(
        data_type: i32,
        make: impl FnOnce(DatumType) -> TractResult<Tensor>,
    ) -> TractResult<Self> {
        Ok(match Narrow::of(data_type) {
            Some(narrow) => Self::Narrow(narrow, Arc::new(make(DatumType::F32)?)),
            None => make(datum_type_of(data_type)?)?.into(),
        })
    }

    /// Reads a tensor of any type of ONNX.
    pub(in crate::tract) fn from_proto(onnx: &Onnx, proto: &TensorProto, folder: Option<&str>) -> TractResult<Self> {
        let shape: Vec<usize> = proto.dims.iter().map(|&it| usize::try_from(it)).collect::<Result<_, _>>()?;
        let Some(narrow) = Narrow::of(proto.data_type) else {
            return wide_from_proto(onnx, proto, folder, &shape);
        };
        checked_len(&shape)?;
        ensure!(proto.data_location != Some(1), "external data of type {narrow:?} is not supported");
        let bytes: Vec<u8> = if !proto.raw_data.is_empty() || proto.int32_data.is_empty() {
            proto.raw_data.clone()
        } else if narrow == Narrow::Bfloat16 {
            proto.int32_data.iter().flat_map(|&it| (it as u16).to_le_bytes()).collect()
        } else {
            proto.int32_data.iter().map(|&it| it as u8).collect()
        };
        Ok(Self::Narrow(narrow, Arc::new(narrow.unpack(&bytes, &shape)?.into_tensor())))
    }
}

fn wide_from_proto(onnx: &Onnx, proto: &TensorProto, folder: Option<&str>, shape: &[usize]) -> TractResult<Value> {
    let is_inline = proto.raw_data.is_empty() && proto.data_location != Some(1);
    // tract looks for them among the signed integers.
    match DataType::try_from(proto.data_type) {
        Ok(DataType::Uint32) if is_inline => {
            let values: Vec<u32> = proto.uint64_data.iter().map(|&it| u32::try_from(it)).collect::<Result<_, _>>()?;
            Ok(ArrayD::from_shape_vec(shape, values)?.into())
        }
        Ok(DataType::Uint64) if is_inline => Ok(ArrayD::from_shape_vec(shape, proto.uint64_data.clone())?.into()),
        _ => Ok(load_tensor(&*onnx.provider, proto, folder)?.into()),
    }
}

/// Returns the product of the dimensions if a tensor of that size may be made.
pub(super) fn checked_len(shape: &[usize]) -> TractResult<usize> {
    // A zero beside a huge number must not hide an overflow in what multiplies only some of the dimensions.
    let widest = shape.iter().filter(|&&it| it > 0).try_fold(1usize, |acc, &it| acc.checked_mul(it));
    match widest {
        Some(it) if it <= MAX_ELEMENTS => Ok(shape.iter().product()),
        _ => bail!("a tensor of shape {shape:?} has more than {MAX_ELEMENTS} elements"),
    }
}

/// Returns tract's type for ONNX's number.
pub(super) fn datum_type_of(data_type: i32) -> TractResult<DatumType> {
    let known = DataType::try_from(data_type).map_err(|_| format_err!("there is no element type {data_type}"))?;
    known.try_into()
}

/// Returns ONNX's number for tract's type.
pub(in crate::tract) fn data_type_of(datum_type: DatumType) -> Option<i32> {
    Some(match datum_type {
        DatumType::F32 => 1,
        DatumType::U8 => 2,
        DatumType::I8 => 3,
        DatumType::U16 => 4,
        DatumType::I16 => 5,
        DatumType::I32 => 6,
        DatumType::I64 | DatumType::TDim => 7,
        DatumType::String => 8,
        DatumType::Bool => 9,
        DatumType::F16 => 10,
        DatumType::F64 => 11,
        DatumType::U32 => 12,
        DatumType::U64 => 13,
        _ => return None,
    })
}

/// Returns symbolic dimensions as the integers they are, and anything else as it is.
pub(super) fn without_symbols(tensor: Arc<Tensor>) -> TractResult<Arc<Tensor>> {
    match tensor.datum_type() {
        DatumType::TDim => {
            let dims = tensor.to_plain_array_view::<TDim>()?;
            let ints: Vec<i64> = dims.iter().map(|it| it.to_i64()).collect::<Result<_, _>>()?;
            Ok(Arc::new(Tensor::from_shape(tensor.shape(), &ints)?))
        }
        it if it.is_quantized() => Ok(Arc::new(tensor.cast_to_dt(it.unquantized())?.into_owned())),
        _ => Ok(tensor),
    }
}
