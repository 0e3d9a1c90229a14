//! Memory of values that nobody uses any more, for those that come next: to clear it, to copy into it and to wait for pages of the
//! system takes longer than many a kernel.

use std::cell::RefCell;

use tract_onnx::prelude::{DatumType, IntoTensor, TValue, Tensor, TractResult};

/// The most tensors of one length: as many as are alive at once in most networks.
const MOST_ALIKE: usize = 2;
/// The most numbers in all of them.
const MOST_NUMBERS: usize = 1 << 21;

thread_local! {
    /// Those that were used last are the last, as caches may still hold them.
    static SPARE: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
}

/// Returns a tensor of single precision, with any numbers in it.
pub(super) fn take(shape: &[usize]) -> TractResult<Tensor> {
    let n: usize = shape.iter().product();
    let spare = SPARE.with_borrow_mut(|all| {
        let place = all.iter().rposition(|it| it.len() == n)?;
        Some(all.remove(place))
    });
    spare.map_or_else(|| Tensor::zero::<f32>(shape), |it| it.into_shape(shape))
}

/// Keeps the memory of a value of single precision, if this is its last user.
pub(super) fn give(value: TValue) {
    let n = value.len();
    if value.datum_type() != DatumType::F32 || !value.is_exclusive() || n > MOST_NUMBERS {
        return;
    }
    SPARE.with_borrow_mut(|all| {
        if all.iter().filter(|it| it.len() == n).count() < MOST_ALIKE {
            all.push(value.into_tensor());
        }
        while all.iter().map(Tensor::len).sum::<usize>() > MOST_NUMBERS {
            all.remove(0);
        }
    });
}

/// Gives back what this thread keeps.
pub(in crate::tract) fn forget() {
    SPARE.take();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::IntoTValue;

    use super::*;

    /// Returns the numbers that are kept.
    fn kept() -> Vec<usize> {
        SPARE.with_borrow(|all| all.iter().map(Tensor::len).collect())
    }

    fn value(n: usize) -> TValue {
        Tensor::zero::<f32>(&[n]).unwrap().into_tvalue()
    }

    #[test]
    fn memory_is_used_again_once_nobody_uses_the_value() {
        let (used, spare) = (value(6), value(6));
        give(used.clone());
        assert!(kept().is_empty());
        let place = |it: &Tensor| it.as_bytes().as_ptr();
        let before = place(&spare);
        give(spare);
        assert_eq!(kept(), [6]);
        let again = take(&[2, 3]).unwrap();
        assert_eq!((place(&again), again.shape()), (before, &[2, 3][..]));
        assert_ne!(place(&take(&[2, 3]).unwrap()), place(&used));
        assert!(kept().is_empty());
        give(again.into_tvalue());
        forget();
        assert!(kept().is_empty());
    }

    #[test]
    fn no_memory_of_other_types_is_kept() {
        give(Tensor::zero::<i32>(&[6]).unwrap().into_tvalue());
        assert!(kept().is_empty());
        assert_eq!(take(&[6]).unwrap().datum_type(), DatumType::F32);
    }

    #[test]
    fn no_more_is_kept_than_one_network_needs() {
        for n in [1, 1, 1, MOST_NUMBERS + 1, MOST_NUMBERS / 2, 2, MOST_NUMBERS / 2] {
            give(value(n));
        }
        assert_eq!(kept(), [2, MOST_NUMBERS / 2]);
    }
}
