//! Asks a fresh plan an arbitrary question, to find out what is wrong with it before any data is run.
//!
//! A model that rejects the question (say, because numbers are indices in it) passes.

use tract_onnx::prelude::{DatumType, IntoTValue, TValue, TVec, TractResult};

use super::convert;
use crate::tensor::{HostTensor, Values};

/// Two orders of magnitude above what rounding did to the models this was tried on.
const TOLERANCE: f64 = 1e-3;

/// Something that can be asked.
pub(super) type Answer<'a> = dyn Fn(TVec<TValue>) -> TractResult<TVec<TValue>> + 'a;

pub(super) struct Probe<'a> {
    pub rows: usize,
    pub row_shapes: &'a [Vec<usize>],
    pub types: &'a [DatumType],
}

impl Probe<'_> {
    /// Returns whether rows keep their answers when they trade places.
    pub(super) fn rows_are_independent(&self, plan: &Answer<'_>) -> bool {
        match (self.ask(plan, 0), self.ask(plan, 1)) {
            (Ok(first), Ok(shifted)) => self.agree(&shifted, &first, 1) && self.agree_if_neighbors_change(plan, &first),
            _ => true,
        }
    }

    /// Trading places keeps sums over all rows, so the other rows are also replaced by copies of the first.
    fn agree_if_neighbors_change(&self, plan: &Answer<'_>, first: &[HostTensor]) -> bool {
        let Ok(copies) = self.ask_with(plan, |_| 0) else {
            return true;
        };
        let head = |it: &HostTensor| it.rows(0, 1, 1);
        let (copies, first): (Vec<_>, Vec<_>) = (copies.iter().map(head).collect(), first.iter().map(head).collect());
        Probe { rows: 1, ..*self }.agree(&copies, &first, 0)
    }

    /// Returns the answer for rows 0, 1, …, the row at position `i` being row `i + shift`.
    pub(super) fn ask(&self, plan: &Answer<'_>, shift: usize) -> TractResult<Vec<HostTensor>> {
        self.ask_with(plan, |position| (position + shift) % self.rows)
    }

    fn ask_with(&self, plan: &Answer<'_>, row_at: impl Fn(usize) -> usize) -> TractResult<Vec<HostTensor>> {
        plan(self.rows_as(row_at)?)?.iter().map(|it| convert::from_tract(it)).collect()
    }

    /// Returns rows 0, 1, ….
    pub(super) fn question(&self) -> TractResult<TVec<TValue>> {
        self.rows_as(|position| position)
    }

    fn rows_as(&self, row_at: impl Fn(usize) -> usize) -> TractResult<TVec<TValue>> {
        let mut inputs = TVec::new();
        for (row_shape, &dtype) in self.row_shapes.iter().zip(self.types) {
            let width: usize = row_shape.iter().product();
            let value = |idx: usize| {
                if dtype.is_integer() || dtype == DatumType::Bool {
                    return (idx % 2) as f32;
                }
                // A low-discrepancy sequence in 0..1: no two rows alike, and no random state.
                (idx as f64 * 0.618_033_988_749_895).fract() as f32
            };
            let values = (0..self.rows).flat_map(|row| {
                let start = row_at(row) * width;
                (start + 1..=start + width).map(value)
            });
            let shape = [&[self.rows], &**row_shape].concat();
            let values = match dtype {
                DatumType::String => Values::Utf8(values.map(|it| it.to_string()).collect()),
                _ => Values::F32(values.collect()),
            };
            inputs.push(convert::to_tract(HostTensor { shape, values }, dtype)?.into_tvalue());
        }
        Ok(inputs)
    }

    /// Compares row `i` of `left` with row `i + shift` of `right`. Classes may flip at a tie; scores may not.
    fn agree(&self, left: &[HostTensor], right: &[HostTensor], shift: usize) -> bool {
        left.iter().zip(right).all(|(left, right)| {
            let (Values::F32(a), Values::F32(b)) = (&left.values, &right.values) else {
                return true;
            };
            let width = right.row_len();
            a.len() == b.len()
                && a.iter().enumerate().all(|(idx, a)| {
                    let b = b[(idx + shift * width) % b.len()];
                    is_close(f64::from(*a), f64::from(b))
                })
        })
    }
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * (1.0 + b.abs()) || a == b || (a.is_nan() && b.is_nan())
}

/// Returns whether two answers to one question are nearly the same. Classes may flip at a tie; scores may not.
pub(super) fn all_close(left: &TVec<TValue>, right: &TVec<TValue>) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            if left.datum_type() != right.datum_type() || left.shape() != right.shape() {
                return false;
            }
            if !left.datum_type().is_float() {
                return true;
            }
            let (Ok(a), Ok(b)) = (left.cast_to::<f64>(), right.cast_to::<f64>()) else { return false };
            match (a.to_plain_array_view::<f64>(), b.to_plain_array_view::<f64>()) {
                (Ok(a), Ok(b)) => a.iter().zip(&b).all(|(a, b)| is_close(*a, *b)),
                _ => false,
            }
        })
}
