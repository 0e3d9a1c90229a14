//! Tensors in host memory, the currency between columns and runtimes.

use std::mem;

use arrow_buffer::{ArrowNativeType, ScalarBuffer};

use crate::spec::ElementType;

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// The dimensions; their product is the number of values.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Values,
}

/// Elements in memory of their own or, where they are numbers, of the column that they come from.
trait Elements: Sized {
    type Item: Clone + PartialEq;

    fn into_vec(self) -> Vec<Self::Item>;

    /// Returns `n` elements from `start`, without copying numbers.
    fn part(&self, start: usize, n: usize) -> Self;

    /// Moves the elements of `other` to the end.
    fn append(&mut self, other: Self);
}

impl<T: Clone + PartialEq> Elements for Vec<T> {
    type Item = T;

    fn into_vec(self) -> Self {
        self
    }

    fn part(&self, start: usize, n: usize) -> Self {
        self[start..start + n].to_vec()
    }

    fn append(&mut self, mut other: Self) {
        Self::append(self, &mut other);
    }
}

impl<T: ArrowNativeType> Elements for ScalarBuffer<T> {
    type Item = T;

    fn into_vec(self) -> Vec<T> {
        self.into()
    }

    fn part(&self, start: usize, n: usize) -> Self {
        self.slice(start, n)
    }

    fn append(&mut self, other: Self) {
        let mut own: Vec<T> = mem::take(self).into();
        own.extend_from_slice(&other);
        *self = own.into();
    }
}

macro_rules! values {
    ($($variant:ident($ty:ty) $doc:literal),* $(,)?) => {
        /// The elements of a tensor. Half precision travels as `F32`.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Values {
            $(#[doc = $doc] $variant($ty),)*
        }

        impl Values {
            /// Returns the number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(it) => it.len(),)* }
            }

            /// Returns the element type.
            pub fn dtype(&self) -> ElementType {
                match self { $(Self::$variant(_) => ElementType::$variant,)* }
            }

            /// Returns no elements of the given type.
            pub(crate) fn none_of(dtype: ElementType) -> Self {
                match dtype {
                    ElementType::F16 => Self::F32(ScalarBuffer::default()),
                    $(ElementType::$variant => Self::$variant(Default::default()),)*
                }
            }

            /// Returns `n` elements from `start`, the last `width` of them repeated until there are `total`.
            fn window(&self, start: usize, n: usize, width: usize, total: usize) -> Self {
                match self {
                    $(Self::$variant(it) => {
                        let part = it.part(start, n);
                        if n == total {
                            return Self::$variant(part);
                        }
                        let mut res = part.into_vec();
                        res.reserve_exact(total - n);
                        while res.len() < total {
                            res.extend_from_within(n - width..n);
                        }
                        Self::$variant(res.into())
                    })*
                }
            }

            /// Returns whether these are the elements of `other`, the first of which is at `by`, around the end.
            pub(crate) fn is_rotated(&self, other: &Self, by: usize) -> bool {
                match (self, other) {
                    $((Self::$variant(a), Self::$variant(b)) => {
                        a.len() == b.len() && a.iter().enumerate().all(|(idx, it)| *it == b[(idx + by) % b.len()])
                    })*
                    _ => false,
                }
            }

            /// Makes room for `n` more elements.
            fn reserve(&mut self, n: usize) {
                match self {
                    $(Self::$variant(it) => {
                        let mut own = mem::take(it).into_vec();
                        own.reserve_exact(n);
                        *it = own.into();
                    })*
                }
            }

            /// Moves the first `n` elements of `other` to the end of `self`; `false` if the types differ.
            #[must_use]
            pub(crate) fn append(&mut self, other: Self, n: usize) -> bool {
                match (self, other) {
                    $((Self::$variant(to), Self::$variant(from)) => {
                        let from = if from.len() == n { from } else { from.part(0, n) };
                        if to.is_empty() { *to = from } else { Elements::append(to, from) }
                        true
                    })*
                    _ => false,
                }
            }
        }
    };
}

values! {
    Bool(Vec<bool>) "Booleans.",
    I8(ScalarBuffer<i8>) "Signed 8-bit integers.",
    I16(ScalarBuffer<i16>) "Signed 16-bit integers.",
    I32(ScalarBuffer<i32>) "Signed 32-bit integers.",
    I64(ScalarBuffer<i64>) "Signed 64-bit integers.",
    U8(ScalarBuffer<u8>) "Unsigned 8-bit integers.",
    U16(ScalarBuffer<u16>) "Unsigned 16-bit integers.",
    U32(ScalarBuffer<u32>) "Unsigned 32-bit integers.",
    U64(ScalarBuffer<u64>) "Unsigned 64-bit integers.",
    F32(ScalarBuffer<f32>) "Single precision.",
    F64(ScalarBuffer<f64>) "Double precision.",
    Utf8(Vec<String>) "Text.",
}

impl Values {
    /// Returns the elements as numbers; what is no number is NaN.
    pub(crate) fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::Bool(it) => it.iter().map(|&it| f64::from(u8::from(it))).collect(),
            Self::I8(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I16(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I32(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I64(it) => it.iter().map(|&it| it as f64).collect(),
            Self::U8(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U16(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U32(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U64(it) => it.iter().map(|&it| it as f64).collect(),
            Self::F32(it) => it.iter().map(|&it| it.into()).collect(),
            Self::F64(it) => it.to_vec(),
            Self::Utf8(it) => vec![f64::NAN; it.len()],
        }
    }

    /// Returns the elements digit by digit; none where they are floats or words.
    pub(crate) fn to_integers(&self) -> Option<Vec<i128>> {
        Some(match self {
            Self::Bool(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I8(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I16(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I32(it) => it.iter().map(|&it| it.into()).collect(),
            Self::I64(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U8(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U16(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U32(it) => it.iter().map(|&it| it.into()).collect(),
            Self::U64(it) => it.iter().map(|&it| it.into()).collect(),
            Self::F32(_) | Self::F64(_) | Self::Utf8(_) => return None,
        })
    }

    /// Returns whether the elements are floats.
    pub(crate) fn is_float(&self) -> bool {
        matches!(self, Self::F32(_) | Self::F64(_))
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl HostTensor {
    /// Returns the number of elements in a row (a slice along the first axis).
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Makes room for `n` more rows.
    pub(crate) fn reserve(&mut self, n: usize) {
        self.values.reserve(n.saturating_mul(self.row_len()));
    }

    /// Returns `n ≥ 1` rows from `start`, padded to `total` by repeating the last of them.
    pub(crate) fn rows(&self, start: usize, n: usize, total: usize) -> Self {
        let width = self.row_len();
        let mut shape = self.shape.clone();
        shape[0] = total;
        // Rows without elements have nothing to repeat.
        let values = if width == 0 {
            self.values.clone()
        } else {
            self.values.window(start * width, n * width, width, total * width)
        };
        Self { shape, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_window_repeats_its_last_row() {
        let tensor = HostTensor { shape: vec![3, 2], values: Values::I32(vec![1, 2, 3, 4, 5, 6].into()) };
        let rows = tensor.rows(1, 2, 4);
        assert_eq!(rows, HostTensor { shape: vec![4, 2], values: Values::I32(vec![3, 4, 5, 6, 5, 6, 5, 6].into()) });
        let empty = HostTensor { shape: vec![3, 0], values: Values::I32(vec![].into()) };
        assert_eq!(empty.rows(2, 1, 4).shape, [4, 0]);
    }

    #[test]
    fn numbers_of_a_whole_window_are_those_of_the_tensor() {
        let numbers: ScalarBuffer<f32> = vec![1.0, 2.0, 3.0, 4.0].into();
        let tensor = HostTensor { shape: vec![2, 2], values: Values::F32(numbers.clone()) };
        let Values::F32(second) = tensor.rows(1, 1, 1).values else { panic!() };
        assert!(second.ptr_eq(&numbers.slice(2, 2)));
    }

    #[test]
    fn parts_are_appended_in_order() {
        let mut all = Values::none_of(ElementType::I64);
        for part in [vec![1, 2, 0], vec![3, 4, 0]] {
            assert!(all.append(Values::I64(part.into()), 2));
        }
        assert!(!all.append(Values::F32(vec![1.0].into()), 1));
        assert_eq!(all, Values::I64(vec![1, 2, 3, 4].into()));
    }
}
