//! Named tensors, borrowed from a checkpoint.

use std::fmt;

use modelwatch_abi::v1;

/// A dense, row-major, little-endian tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// The name in the checkpoint.
    pub name: &'a str,
    /// The element type.
    pub dtype: DType,
    /// The extent of each axis; empty for a scalar.
    pub shape: &'a [u64],
    /// The elements; `shape.product() * dtype.size()` bytes.
    pub bytes: &'a [u8],
}

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum DType {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl DType {
    /// Returns the bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Returns whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// Returns the type of that name (`f32`, `bf16`, `bool`).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name)
    }

    const ALL: [Self; 13] = [
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::Bool,
    ];

    /// DLPack's code: 0 signed, 1 unsigned, 2 float, 4 bfloat, 6 bool.
    #[doc(hidden)]
    pub fn to_abi(self) -> v1::DataType {
        let code = match self {
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 0,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => 1,
            Self::F16 | Self::F32 | Self::F64 => 2,
            Self::Bf16 => 4,
            Self::Bool => 6,
        };
        v1::DataType { code, bits: self.size() as u8 * 8 }
    }

    #[doc(hidden)]
    pub fn from_abi(raw: v1::DataType) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.to_abi() == raw)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::Bool => "bool",
        })
    }
}

impl<'a> TensorView<'a> {
    /// Returns the number of elements that the bytes hold.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns every element as `f64` (64-bit integers above 2^53 are rounded).
    pub fn values(&self) -> Box<dyn Iterator<Item = f64> + 'a> {
        fn cut<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
            bytes.as_chunks::<N>().0.iter().copied()
        }
        let bytes = self.bytes;
        match self.dtype {
            DType::F16 => Box::new(cut(bytes).map(|it| half_to_f64(u16::from_le_bytes(it)))),
            DType::Bf16 => {
                Box::new(cut(bytes).map(|it| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(it)) << 16))))
            }
            DType::F32 => Box::new(cut(bytes).map(|it| f64::from(f32::from_le_bytes(it)))),
            DType::F64 => Box::new(cut(bytes).map(f64::from_le_bytes)),
            DType::I8 => Box::new(bytes.iter().map(|&it| f64::from(it as i8))),
            DType::I16 => Box::new(cut(bytes).map(|it| f64::from(i16::from_le_bytes(it)))),
            DType::I32 => Box::new(cut(bytes).map(|it| f64::from(i32::from_le_bytes(it)))),
            DType::I64 => Box::new(cut(bytes).map(|it| i64::from_le_bytes(it) as f64)),
            DType::U8 => Box::new(bytes.iter().map(|&it| f64::from(it))),
            DType::U16 => Box::new(cut(bytes).map(|it| f64::from(u16::from_le_bytes(it)))),
            DType::U32 => Box::new(cut(bytes).map(|it| f64::from(u32::from_le_bytes(it)))),
            DType::U64 => Box::new(cut(bytes).map(|it| u64::from_le_bytes(it) as f64)),
            DType::Bool => Box::new(bytes.iter().map(|&it| f64::from(u8::from(it != 0)))),
        }
    }
}

/// IEEE 754 binary16 to binary64; exact.
fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
        TensorView { name: "x", dtype, shape: &[], bytes }.values().collect()
    }

    #[test]
    fn elements_are_read_in_every_type() {
        assert_eq!(values(DType::F16, &[0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00]), [1.0, -2.0, 2f64.powi(-24)]);
        assert!(values(DType::F16, &[0x00, 0x7e])[0].is_nan());
        assert_eq!(values(DType::F16, &[0x00, 0xfc]), [f64::NEG_INFINITY]);
        assert_eq!(values(DType::Bf16, &[0x80, 0x3f]), [1.0]);
        assert_eq!(values(DType::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(values(DType::I8, &[0xff]), [-1.0]);
        assert_eq!(values(DType::U8, &[0xff]), [255.0]);
        assert_eq!(values(DType::I64, &(-3i64).to_le_bytes()), [-3.0]);
        assert_eq!(values(DType::Bool, &[2, 0]), [1.0, 0.0]);
    }

    #[test]
    fn types_survive_the_boundary_and_their_names() {
        for it in DType::ALL {
            assert_eq!(DType::from_abi(it.to_abi()), Some(it));
            assert_eq!(DType::parse(&it.to_string()), Some(it));
        }
        assert_eq!(DType::from_abi(v1::DataType { code: 9, bits: 8 }), None);
    }
}
