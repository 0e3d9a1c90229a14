//! Softmax over the last axis.

use pulp::Simd;

use super::{finish::ROUNDER, matrix::COLUMNS, op::Kernel};

/// The shares of the exponentials of each row of this length in their sum.
#[derive(Debug)]
pub(super) struct Softmax {
    pub width: usize,
}

impl Kernel for Softmax {
    const NAME: &'static str = "RowSoftmax";

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        if self.width <= COLUMNS {
            short_rows(self.width.max(1), inputs[0], output);
        } else {
            long_rows(simd, self.width, inputs[0], output);
        }
    }
}

/// Takes a number of each of many rows at once.
#[inline(always)]
fn short_rows(width: usize, rows: &[f32], output: &mut [f32]) {
    let mut lines = [[0.0; COLUMNS]; COLUMNS];
    let lines = &mut lines[..width];
    for (rows, output) in rows.chunks(COLUMNS * width).zip(output.chunks_mut(COLUMNS * width)) {
        for (row, numbers) in rows.chunks_exact(width).enumerate() {
            for (line, number) in lines.iter_mut().zip(numbers) {
                line[row % COLUMNS] = *number;
            }
        }
        let mut largest = [f32::NEG_INFINITY; COLUMNS];
        for line in &*lines {
            for (largest, it) in largest.iter_mut().zip(line) {
                *largest = if *it > *largest { *it } else { *largest };
            }
        }
        let mut sums = [0.0; COLUMNS];
        for line in &mut *lines {
            for ((sum, largest), it) in sums.iter_mut().zip(&largest).zip(line) {
                *it = exponential(*it - largest);
                *sum += *it;
            }
        }
        for line in &mut *lines {
            for (sum, it) in sums.iter().zip(line) {
                *it /= sum;
            }
        }
        for (row, numbers) in output.chunks_exact_mut(width).enumerate() {
            for (line, number) in lines.iter().zip(numbers) {
                *number = line[row % COLUMNS];
            }
        }
    }
}

/// Takes many numbers of a row at once.
#[inline(always)]
fn long_rows<S: Simd>(simd: S, width: usize, rows: &[f32], output: &mut [f32]) {
    // What fills the last line up has no share.
    let mut lines = vec![[f32::NEG_INFINITY; COLUMNS]; width.div_ceil(COLUMNS)];
    for (row, output) in rows.chunks_exact(width).zip(output.chunks_exact_mut(width)) {
        lines.as_flattened_mut()[..width].copy_from_slice(row);
        let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
        for numbers in S::as_simd_f32s(lines.as_flattened()).0 {
            largest = simd.max_f32s(largest, *numbers);
        }
        let largest = simd.reduce_max_f32s(largest);
        let mut sums = [0.0; COLUMNS];
        for line in &mut lines {
            for (sum, it) in sums.iter_mut().zip(line) {
                *it = exponential(*it - largest);
                *sum += *it;
            }
        }
        let mut sum = 0.0;
        for it in sums {
            sum += it;
        }
        for (to, it) in output.iter_mut().zip(lines.as_flattened()) {
            *to = it / sum;
        }
        lines.as_flattened_mut()[width..].fill(f32::NEG_INFINITY);
    }
}

/// Returns the exponential of a number that is not positive: `expf` of the Cephes library (Moshier 1989), within 2e-7 of itself.
/// Below e^-87, which has no normal number, it is 0.
#[inline(always)]
#[allow(clippy::excessive_precision)] // As in the source.
fn exponential(it: f32) -> f32 {
    const LEAST: f32 = -87.0;
    // Neither less nor more, a NaN goes through all of it.
    let x = if it < LEAST { LEAST } else { it };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let x = x - n * 0.693_359_375 + n * 2.121_944_40e-4;
    let mut sum = 1.987_569_150e-4;
    sum = sum * x + 1.398_199_950_7e-3;
    sum = sum * x + 8.333_451_907_3e-3;
    sum = sum * x + 4.166_579_589_4e-2;
    sum = sum * x + 1.666_666_545_9e-1;
    sum = sum * x + 5.000_000_120_1e-1;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if it < LEAST { 0.0 } else { (sum * x * x + x + 1.0) * power }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tract::kernels::op::run;

    #[test]
    fn a_row_that_has_no_shares_is_nan() {
        for width in [1, 3, 32, 33, 100] {
            for odd in [f32::NAN, f32::INFINITY] {
                for at in [0, width / 2, width - 1] {
                    let mut rows = vec![0.25; 3 * width];
                    rows[width + at] = odd;
                    let mut output = vec![0.0; rows.len()];
                    run(&Softmax { width }, &[&rows], &mut output);
                    for (idx, it) in output.iter().enumerate() {
                        let of_row =
                            if idx / width == 1 { it.is_nan() } else { (it * width as f32 - 1.0).abs() < 1e-6 };
                        assert!(of_row, "{it} at {idx} of rows of {width} with {odd} at {at}");
                    }
                }
            }
            let mut output = vec![0.0; width];
            run(&Softmax { width }, &[&vec![f32::NEG_INFINITY; width]], &mut output);
            assert!(output.iter().all(|it| it.is_nan()), "{output:?}");
        }
    }
}
