//! Puts elements that lie apart, by a stride for each dimension, into row-major order.

/// Where the elements of a tensor are in a run of bytes, counted in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    pub(crate) offset: usize,
    /// One for each dimension of the shape.
    pub(crate) steps: Vec<usize>,
}

impl Strides {
    /// Returns one more than the highest element that a tensor of this shape reaches.
    ///
    /// `None` means that it does not fit in memory's address range.
    pub(crate) fn end(&self, shape: &[u64]) -> Option<usize> {
        if shape.contains(&0) {
            return Some(0);
        }
        let last = shape.iter().zip(&self.steps).try_fold(self.offset, |last, (&dim, &step)| {
            last.checked_add(usize::try_from(dim).ok()?.checked_sub(1)?.checked_mul(step)?)
        })?;
        last.checked_add(1)
    }

    /// Returns whether the elements are already next to each other, the last index fastest.
    pub(crate) fn is_row_major(&self, shape: &[u64]) -> bool {
        let mut expected = 1_u64;
        for (&dim, &step) in shape.iter().zip(&self.steps).rev() {
            // The stride of a dimension of one is never used.
            if dim != 1 && step as u64 != expected {
                return false;
            }
            expected = expected.saturating_mul(dim);
        }
        true
    }

    /// Copies the elements of `size` bytes each; all must be inside `bytes`, which [`Self::end`] tells.
    pub(crate) fn gather(&self, bytes: &[u8], size: usize, shape: &[u64]) -> Vec<u8> {
        let dims: Vec<usize> = shape.iter().map(|&it| usize::try_from(it).unwrap_or(usize::MAX)).collect();
        let n_elements = dims.iter().fold(1_usize, |product, &dim| product.saturating_mul(dim));
        let mut res = Vec::with_capacity(n_elements.saturating_mul(size));
        let mut index = vec![0_usize; dims.len()];
        let mut element = self.offset;
        for _ in 0..n_elements {
            res.extend_from_slice(&bytes[element * size..(element + 1) * size]);
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                element += self.steps[axis];
                if index[axis] < dims[axis] {
                    break;
                }
                element -= self.steps[axis] * dims[axis];
                index[axis] = 0;
            }
        }
        res
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_gathered_in_row_major_order() {
        let bytes: Vec<u8> = (0..12).collect();
        let cases = [
            (&[3_u64, 4][..], vec![4, 1], 0, true, bytes.clone()),
            (&[2, 3], vec![1, 4], 1, false, vec![1, 5, 9, 2, 6, 10]),
            (&[2, 2], vec![0, 1], 3, false, vec![3, 4, 3, 4]),
            (&[1, 4], vec![99, 1], 8, true, vec![8, 9, 10, 11]),
            (&[], vec![], 5, true, vec![5]),
            (&[2, 0], vec![1, 1], 7, false, vec![]),
        ];
        for (shape, steps, offset, is_row_major, want) in cases {
            let strides = Strides { offset, steps };
            assert!(strides.end(shape).unwrap() <= 12, "{strides:?}");
            assert_eq!(strides.is_row_major(shape), is_row_major, "{strides:?}");
            assert_eq!(strides.gather(&bytes, 1, shape), want, "{strides:?}");
        }
        assert_eq!(Strides { offset: 0, steps: vec![usize::MAX] }.end(&[3]), None);
    }
}
