//! One tensor: what it is called, its shape and its values.

use std::borrow::Cow;

use crate::dtype::{DType, f16_to_f64};

/// The name, element type and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name, as the file has it.
    pub name: String,
    /// The type of the elements.
    pub dtype: DType,
    /// The size of each dimension, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
}

impl TensorInfo {
    /// Returns the number of elements; one for a scalar.
    ///
    /// Saturates for a shape that no tensor of a [`TensorFile`](crate::TensorFile) can have.
    pub fn n_elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim))
    }
}

/// A tensor that was read from a file: borrowed from its mapping, or converted.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// What the tensor is.
    pub info: &'a TensorInfo,
    /// The elements: little-endian, row-major, exactly as many as the shape says, with no alignment.
    pub bytes: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// Returns a borrowed view.
    pub fn view(&self) -> TensorRef<'_> {
        TensorRef { info: self.info, bytes: &self.bytes }
    }

    /// Returns the values as `f64`; see [`TensorRef::to_f64_iter`].
    pub fn values_f64(&self) -> Vec<f64> {
        self.view().values_f64()
    }
}

/// A borrowed tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    /// What the tensor is.
    pub info: &'a TensorInfo,
    /// The elements: little-endian, row-major, with no alignment.
    pub bytes: &'a [u8],
}

impl<'a> TensorRef<'a> {
    /// Returns the values in row-major order as `f64`; booleans are 0 and 1.
    ///
    /// All but 64-bit integers beyond 2^53 convert exactly.
    /// Bytes past the last whole element are left out.
    pub fn to_f64_iter(self) -> impl ExactSizeIterator<Item = f64> + 'a {
        let convert = converter(self.info.dtype);
        self.bytes.chunks_exact(self.info.dtype.size()).map(convert)
    }

    /// Returns the values of 64-bit integers, some of which `f64` would round; `None` of any other type.
    pub fn to_wide_iter(self) -> Option<impl Iterator<Item = i128> + 'a> {
        let convert: fn(&[u8]) -> i128 = match self.info.dtype {
            DType::I64 => |it| i128::from(i64::from_le_bytes(array(it))),
            DType::U64 => |it| i128::from(u64::from_le_bytes(array(it))),
            _ => return None,
        };
        Some(self.bytes.chunks_exact(self.info.dtype.size()).map(convert))
    }

    /// Returns the values of [`Self::to_f64_iter`].
    pub fn values_f64(self) -> Vec<f64> {
        self.to_f64_iter().collect()
    }
}

fn converter(dtype: DType) -> fn(&[u8]) -> f64 {
    match dtype {
        DType::F16 => |it| f16_to_f64(u16::from_le_bytes(array(it))),
        DType::Bf16 => |it| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(array(it))) << 16)),
        DType::F32 => |it| f64::from(f32::from_le_bytes(array(it))),
        DType::F64 => |it| f64::from_le_bytes(array(it)),
        DType::I8 => |it| f64::from(i8::from_le_bytes(array(it))),
        DType::I16 => |it| f64::from(i16::from_le_bytes(array(it))),
        DType::I32 => |it| f64::from(i32::from_le_bytes(array(it))),
        DType::I64 => |it| i64::from_le_bytes(array(it)) as f64,
        DType::U8 => |it| f64::from(u8::from_le_bytes(array(it))),
        DType::U16 => |it| f64::from(u16::from_le_bytes(array(it))),
        DType::U32 => |it| f64::from(u32::from_le_bytes(array(it))),
        DType::U64 => |it| u64::from_le_bytes(array(it)) as f64,
        DType::Bool => |it| f64::from(u8::from(it != [0])),
    }
}

fn array<const N: usize>(chunk: &[u8]) -> [u8; N] {
    chunk.try_into().expect("chunks have the size of the element type")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
        let info = TensorInfo { name: "it".to_owned(), dtype, shape: vec![] };
        TensorRef { info: &info, bytes }.values_f64()
    }

    #[test]
    fn every_type_converts_from_little_endian() {
        assert_eq!(values(DType::F16, &[0, 0x3c]), [1.0]);
        assert_eq!(values(DType::Bf16, &[0xc0, 0x3f]), [1.5]);
        assert_eq!(values(DType::F32, &(-2.5_f32).to_le_bytes()), [-2.5]);
        assert_eq!(values(DType::F64, &0.1_f64.to_le_bytes()), [0.1]);
        assert_eq!(values(DType::I8, &[0xff, 1]), [-1.0, 1.0]);
        assert_eq!(values(DType::I16, &[0, 0x80]), [-32768.0]);
        assert_eq!(values(DType::I32, &[1, 0, 0, 0]), [1.0]);
        assert_eq!(values(DType::I64, &(-7_i64).to_le_bytes()), [-7.0]);
        assert_eq!(values(DType::U8, &[255]), [255.0]);
        assert_eq!(values(DType::U16, &[1, 1]), [257.0]);
        assert_eq!(values(DType::U32, &[0xff; 4]), [4_294_967_295.0]);
        assert_eq!(values(DType::U64, &3_u64.to_le_bytes()), [3.0]);
        assert_eq!(values(DType::Bool, &[0, 1, 2]), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn wide_integers_are_not_rounded() {
        let wide = |dtype, bytes: &[u8]| {
            let info = TensorInfo { name: "it".to_owned(), dtype, shape: vec![] };
            TensorRef { info: &info, bytes }.to_wide_iter().map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(wide(DType::I64, &(-(1_i64 << 60) - 1).to_le_bytes()), Some(vec![-(1 << 60) - 1]));
        assert_eq!(wide(DType::U64, &[0xff; 8]), Some(vec![i128::from(u64::MAX)]));
        assert_eq!(wide(DType::I32, &[0xff; 8]), None);
    }
}
