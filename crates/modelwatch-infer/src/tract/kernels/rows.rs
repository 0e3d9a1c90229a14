//! Products of rows that stay where they are with packed lines.
//!
//! The innermost loop is that of [`matrix`](super::matrix), but takes the numbers of rows from where they lie and gives the sums to where
//! they go: where matrices are small, packing one and copying the other takes as long as multiplying. Every sum is one chain of
//! fused additions in the order of `k`, so that its bits depend on nothing beside it.

use pulp::Simd;

use super::{
    copy::add,
    finish::Finish,
    matrix::{Line, ROWS, of_rows, registers},
};

/// Rows of which each starts `stride` numbers after the one before.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub numbers: &'a [f32],
    pub stride: usize,
}

/// `rows[row][k] · lines[k][column] + bias[column] + added[row][column]`, finished.
pub(super) struct Product<'a> {
    pub rows: Strided<'a>,
    pub lines: &'a [Line],
    pub bias: &'a Line,
    pub added: Option<Strided<'a>>,
    pub finish: &'a Finish,
}

impl Product<'_> {
    /// Writes the first `n_columns` sums of the first `n_rows` rows, at most [`ROWS`], to rows that start `stride` numbers after each
    /// other.
    #[inline(always)]
    pub(super) fn give<S: Simd>(
        &self,
        simd: S,
        (n_rows, n_columns): (usize, usize),
        output: &mut [f32],
        stride: usize,
    ) {
        macro_rules! give {
            ($n:expr) => {
                if n_columns <= S::F32_LANES {
                    self.give_rows::<_, $n, 1>(simd, n_columns, output, stride)
                } else {
                    self.give_rows::<_, $n, 2>(simd, n_columns, output, stride)
                }
            };
        }
        of_rows!(n_rows, give)
    }

    /// Works through as many columns at once as `WIDTH` registers hold, so that all sums of these stay in others.
    #[inline(always)]
    fn give_rows<S: Simd, const N: usize, const WIDTH: usize>(
        &self,
        simd: S,
        n_columns: usize,
        output: &mut [f32],
        stride: usize,
    ) {
        let &Self { rows, lines, bias, added, finish } = self;
        let mut numbers = [&[][..]; N];
        for (idx, row) in numbers.iter_mut().enumerate() {
            *row = &rows.numbers[idx * rows.stride..][..lines.len()];
        }
        let width = WIDTH * S::F32_LANES;
        for start in (0..n_columns).step_by(width) {
            let end = n_columns.min(start + width);
            let mut sums = [registers::<S, WIDTH>(simd, &bias[start..start + width]); N];
            if let Some(added) = added {
                for (idx, sums) in sums.iter_mut().enumerate() {
                    let mut line = *bias;
                    add(&mut line[start..end], &added.numbers[idx * added.stride..][start..end]);
                    *sums = registers(simd, &line[start..start + width]);
                }
            }
            for (k, line) in lines.iter().enumerate() {
                let line: [_; WIDTH] = registers(simd, &line[start..start + width]);
                for (sums, row) in sums.iter_mut().zip(&numbers) {
                    // There is one: by an index that may panic, the sums would be in memory all the time.
                    let number = simd.splat_f32s(if let Some(it) = row.get(k) { *it } else { 0.0 });
                    for (sum, line) in sums.iter_mut().zip(line) {
                        *sum = simd.mul_add_e_f32s(number, line, *sum);
                    }
                }
            }
            for (sums, output) in sums.into_iter().zip(output.chunks_mut(stride)) {
                let (whole, rest) = S::as_mut_simd_f32s(&mut output[start..end]);
                let mut sums = sums.into_iter();
                for (to, sum) in whole.iter_mut().zip(&mut sums) {
                    *to = finish.apply(simd, sum);
                }
                if !rest.is_empty()
                    && let Some(sum) = sums.next()
                {
                    simd.partial_store_f32s(rest, finish.apply(simd, sum));
                }
            }
        }
    }
}
