//! Element types narrower than a byte or without a Rust type: bfloat16, 8- and 4-bit floats, 4- and 2-bit integers.
//!
//! Their values travel as `f32`, which holds all of them exactly.
//! Formats and rounding are those of ONNX's "Float stored in 8 bits" and "4 bit types" and of the Open Compute MX specification.

use tract_onnx::{
    prelude::{TractResult, tract_ndarray::ArrayD},
    tract_hir::internal::{bail, ensure},
};

/// A type that tract lacks. The names are ONNX's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tract) enum Narrow {
    Bfloat16,
    Float8E4M3Fn,
    Float8E4M3Fnuz,
    Float8E5M2,
    Float8E5M2Fnuz,
    Uint4,
    Int4,
    Float4E2M1,
    Float8E8M0,
    Uint2,
    Int2,
}

/// What becomes of a number beyond the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Saturate,
    /// Infinity if the type has one, else NaN.
    Infinite,
}

/// In the order of ONNX's numbers, which start at 16.
const ALL: [Narrow; 11] = [
    Narrow::Bfloat16,
    Narrow::Float8E4M3Fn,
    Narrow::Float8E4M3Fnuz,
    Narrow::Float8E5M2,
    Narrow::Float8E5M2Fnuz,
    Narrow::Uint4,
    Narrow::Int4,
    Narrow::Float4E2M1,
    Narrow::Float8E8M0,
    Narrow::Uint2,
    Narrow::Int2,
];

impl Narrow {
    /// Returns the type with this number in `TensorProto.DataType`.
    pub(super) fn of(data_type: i32) -> Option<Self> {
        ALL.get(usize::try_from(data_type).ok()?.checked_sub(16)?).copied()
    }

    /// Returns the type's number in `TensorProto.DataType`.
    pub(super) fn data_type(self) -> i32 {
        16 + self as i32
    }

    fn bits(self) -> usize {
        match self {
            Self::Bfloat16 => 16,
            Self::Uint4 | Self::Int4 | Self::Float4E2M1 => 4,
            Self::Uint2 | Self::Int2 => 2,
            _ => 8,
        }
    }

    /// Returns the smallest and the largest integer, for integer types.
    pub(super) fn integer_range(self) -> Option<(i32, i32)> {
        match self {
            Self::Uint4 => Some((0, 15)),
            Self::Int4 => Some((-8, 7)),
            Self::Uint2 => Some((0, 3)),
            Self::Int2 => Some((-2, 1)),
            _ => None,
        }
    }

    /// Returns the widths of exponent and mantissa, the bias, and the code of the largest finite number.
    fn layout(self) -> (u32, u32, i32, u16) {
        match self {
            Self::Float8E4M3Fn => (4, 3, 7, 0x7e),
            Self::Float8E4M3Fnuz => (4, 3, 8, 0x7f),
            Self::Float8E5M2 => (5, 2, 15, 0x7b),
            Self::Float8E5M2Fnuz => (5, 2, 16, 0x7f),
            Self::Float8E8M0 => (8, 0, 127, 0xfe),
            _ => (2, 1, 1, 0x7),
        }
    }

    /// Returns the number that a bit pattern stands for.
    pub(super) fn decode(self, code: u16) -> f32 {
        if self == Self::Bfloat16 {
            return f32::from_bits(u32::from(code) << 16);
        }
        if let Some((low, high)) = self.integer_range() {
            let code = i32::from(code) & (high - low);
            return (if code > high { code - (high - low + 1) } else { code }) as f32;
        }
        let (exponent_bits, mantissa_bits, bias, largest) = self.layout();
        if self == Self::Float8E8M0 {
            return if code > largest { f32::NAN } else { power_of_two(i32::from(code) - bias) };
        }
        let sign_bit = 1 << (exponent_bits + mantissa_bits);
        let is_negative = code & sign_bit != 0;
        let magnitude = code & (sign_bit - 1);
        let is_fnuz = matches!(self, Self::Float8E4M3Fnuz | Self::Float8E5M2Fnuz);
        if is_fnuz && is_negative && magnitude == 0 {
            return f32::NAN;
        }
        let value = if magnitude > largest {
            if self == Self::Float8E5M2 && magnitude == largest + 1 { f32::INFINITY } else { f32::NAN }
        } else {
            let exponent = i32::from(magnitude >> mantissa_bits);
            let mantissa = f32::from(magnitude & ((1 << mantissa_bits) - 1)) / f32::from(1u16 << mantissa_bits);
            if exponent == 0 {
                mantissa * power_of_two(1 - bias)
            } else {
                (1.0 + mantissa) * power_of_two(exponent - bias)
            }
        };
        if is_negative { -value } else { value }
    }

    /// Returns the nearest number of this type; ties go to the even bit pattern.
    ///
    /// Integers are cut toward zero and wrap around, as casts do.
    pub(super) fn nearest(self, value: f32, overflow: Overflow) -> f32 {
        if self == Self::Bfloat16 {
            return nearest_bfloat16(value);
        }
        if let Some((low, high)) = self.integer_range() {
            let whole = value.trunc() as i64;
            let span = i64::from(high - low + 1);
            return (whole - i64::from(low)).rem_euclid(span) as f32 + low as f32;
        }
        if value.is_nan() {
            // The type has no NaN; the reference implementation takes the pattern of negative zero.
            return if self == Self::Float4E2M1 { -0.0 } else { f32::NAN };
        }
        let largest = self.layout().3;
        let magnitude = value.abs();
        // Bit patterns of finite magnitudes are in the order of their values.
        let (mut below, mut above) = (0, largest);
        while below < above {
            let middle = (below + above).div_ceil(2);
            if self.decode(middle) <= magnitude { below = middle } else { above = middle - 1 }
        }
        let here = self.decode(below);
        let step = if below == largest { here - self.decode(below - 1) } else { self.decode(below + 1) - here };
        let goes_up = magnitude - here > step / 2.0 || (magnitude - here == step / 2.0 && below % 2 == 1);
        let code = below + u16::from(goes_up);
        let rounded = if code <= largest {
            self.decode(code)
        } else {
            match overflow {
                _ if self == Self::Float4E2M1 => self.decode(largest),
                Overflow::Saturate => self.decode(largest),
                Overflow::Infinite if self == Self::Float8E5M2 => f32::INFINITY,
                Overflow::Infinite => f32::NAN,
            }
        };
        let has_negative_zero = !matches!(self, Self::Float8E4M3Fnuz | Self::Float8E5M2Fnuz);
        if value.is_sign_negative() && (rounded != 0.0 || has_negative_zero) { -rounded } else { rounded }
    }

    /// Returns the numbers of `shape` that are packed in `bytes`, the first in the lowest bits.
    pub(super) fn unpack(self, bytes: &[u8], shape: &[usize]) -> TractResult<ArrayD<f32>> {
        let n = super::value::checked_len(shape)?;
        let bits = self.bits();
        ensure!(bytes.len() == (n * bits).div_ceil(8), "{} bytes hold no {n} numbers of {bits} bits", bytes.len());
        let one = |idx: usize| {
            let code = match bits {
                16 => u16::from_le_bytes([bytes[2 * idx], bytes[2 * idx + 1]]),
                bits => u16::from(bytes[idx * bits / 8] >> (idx * bits % 8)) & ((1 << bits) - 1),
            };
            self.decode(code)
        };
        match ArrayD::from_shape_vec(shape, (0..n).map(one).collect()) {
            Ok(it) => Ok(it),
            Err(error) => bail!("a tensor has the wrong size: {error}"),
        }
    }
}

fn power_of_two(exponent: i32) -> f32 {
    2f64.powi(exponent) as f32
}

fn nearest_bfloat16(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    let bits = value.to_bits();
    // Half of the dropped part, less one where the kept part is even already.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    f32::from_bits(rounded & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_of_each_type() {
        for (narrow, code, value) in [
            (Narrow::Float8E4M3Fn, 0x7e, 448.0),
            (Narrow::Float8E4M3Fn, 0x01, 0.001_953_125),
            (Narrow::Float8E4M3Fnuz, 0x7f, 240.0),
            (Narrow::Float8E5M2, 0x7b, 57344.0),
            (Narrow::Float8E5M2, 0xfc, f32::NEG_INFINITY),
            (Narrow::Float8E5M2Fnuz, 0x7f, 57344.0),
            (Narrow::Float4E2M1, 0xf, -6.0),
            (Narrow::Float4E2M1, 0x1, 0.5),
            (Narrow::Float8E8M0, 0x80, 2.0),
            (Narrow::Int4, 0xf, -1.0),
            (Narrow::Uint4, 0xf, 15.0),
            (Narrow::Int2, 0x2, -2.0),
            (Narrow::Bfloat16, 0x3fc0, 1.5),
        ] {
            assert_eq!(narrow.decode(code), value, "{narrow:?} {code:#x}");
        }
        assert!(Narrow::Float8E4M3Fn.decode(0xff).is_nan());
        assert!(Narrow::Float8E5M2Fnuz.decode(0x80).is_nan());
    }

    #[test]
    fn every_number_is_nearest_to_itself() {
        for narrow in ALL {
            for code in 0..1u32 << narrow.bits() {
                let value = narrow.decode(code as u16);
                let nearest = narrow.nearest(value, Overflow::Infinite);
                assert!(value.is_nan() || value == nearest, "{narrow:?} {code:#x}: {value} became {nearest}");
            }
        }
    }

    #[test]
    fn ties_go_to_even_and_the_rest_overflows() {
        let e4m3 = |it| Narrow::Float8E4M3Fn.nearest(it, Overflow::Infinite);
        assert_eq!((e4m3(464.0), e4m3(1.0625), e4m3(1.1875)), (448.0, 1.0, 1.25));
        assert!(e4m3(465.0).is_nan());
        assert_eq!(Narrow::Float8E4M3Fn.nearest(f32::NEG_INFINITY, Overflow::Saturate), -448.0);
        assert_eq!(Narrow::Float8E5M2.nearest(1e9, Overflow::Infinite), f32::INFINITY);
        assert_eq!(Narrow::Bfloat16.nearest(1.003_906_4, Overflow::Infinite), 1.007_812_5);
        assert_eq!(Narrow::Int4.nearest(9.7, Overflow::Infinite), -7.0);
    }
}
