//! Numbers for which a graph is run as written.
//!
//! The optimizer may compute in another order, and a sum that overflows in one order need not in another: a factor of 1e30 or ∞ behind a
//! product, once it is part of the weights, makes NaN of the sums of infinities that it multiplies one by one.
//!
//! A NaN among weights is none of these. Whatever is computed from it is NaN in any order, as it is of one that comes to be inside of a
//! graph, which no form can tell beforehand: see [`super::nan`].

use tract_onnx::{
    prelude::{DatumType, Tensor, TypedModel},
    tract_core::ops::konst::Const,
    tract_hir::internal::f16,
};

use super::nan::is_any_in;

/// The square of anything smaller is finite in single precision, with room for a sum.
const EXTREME: f64 = 1e18;

/// Returns whether a tensor has NaN, an infinity, or a number that overflows when multiplied.
pub(super) fn is_extreme(tensor: &Tensor) -> bool {
    match tensor.datum_type() {
        DatumType::F16 => is_any_in(tensor, |it: &f16| !it.is_finite()),
        DatumType::F32 => is_any_in(tensor, |it: &f32| it.is_nan() || it.abs() > EXTREME as f32),
        DatumType::F64 => is_any_in(tensor, |it: &f64| it.is_nan() || it.abs() > EXTREME),
        _ => false,
    }
}

/// Returns whether a tensor has an infinity or a number that overflows when multiplied.
fn is_huge(tensor: &Tensor) -> bool {
    match tensor.datum_type() {
        DatumType::F16 => is_any_in(tensor, |it: &f16| it.is_infinite()),
        DatumType::F32 => is_any_in(tensor, |it: &f32| it.abs() > EXTREME as f32),
        DatumType::F64 => is_any_in(tensor, |it: &f64| it.abs() > EXTREME),
        _ => false,
    }
}

/// Returns whether some weight can make an infinity, or a NaN of what is none, from finite inputs.
///
/// Attention masks do not count: tensors of one huge number besides zeros and ones.
pub(super) fn has_huge_constants(model: &TypedModel) -> bool {
    let is_mask = |tensor: &Tensor| {
        let numbers = tensor.cast_to::<f64>().ok()?;
        let numbers = numbers.to_plain_array_view::<f64>().ok()?;
        let huge = numbers.iter().copied().find(|it| it.abs() > EXTREME)?;
        Some(numbers.iter().all(|it| [huge, 0.0, 1.0].contains(it)))
    };
    let constants = model.nodes().iter().filter_map(|it| it.op_as::<Const>());
    constants.map(|it| it.val()).any(|it| is_huge(it) && is_mask(it) != Some(true))
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::tensor1;

    use super::*;

    #[test]
    fn an_extreme_number_is_found_wherever_it_is() {
        for n in [1, 63, 64, 65, 200] {
            assert!(!is_extreme(&tensor1(&vec![-1e18_f32; n])), "{n}");
            for at in [0, n / 2, n - 1] {
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1e18, -1.1e18] {
                    let mut values = vec![1.0_f32; n];
                    values[at] = value;
                    let tensor = tensor1(&values);
                    let found = [is_extreme(&tensor), is_huge(&tensor)];
                    assert_eq!(found, [true, !value.is_nan()], "{value} at {at} of {n}");
                }
            }
        }
    }
}
