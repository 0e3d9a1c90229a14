//! Rows times a matrix of weights; the numbers of rows may be quantized before.

use std::sync::Arc;

use pulp::Simd;

use super::{
    copy::{add, copy},
    finish::{Finish, ROUNDER, Rounding},
    matrix::{COLUMNS, Line, ROWS, Tile},
    op::Kernel,
    rows::{Product, Strided},
    shared::shared,
};
use crate::tract::dynamic_product::Quantization;

/// Numbers of the rows that are worked on at once, which with a panel of weights fit into the second cache.
const BLOCK: usize = 1 << 16;

/// `x[row][k] · weights[k][column] + bias[column]`, and the same place of a second input where there is one.
#[derive(Debug)]
pub(super) struct Dense {
    depth: usize,
    width: usize,
    /// By panel of columns and `k`; the last panel is filled up with zeros.
    panels: Arc<Vec<Line>>,
    /// By panel of columns.
    bias: Vec<Line>,
    finish: Finish,
    quantized: Option<Quantized>,
}

/// Numbers become integers of eight bits before they are multiplied by weights that are integers as well.
#[derive(Debug)]
struct Quantized {
    /// Into as many parts are the numbers cut, each of which has a scale.
    n_parts: usize,
    /// What the weights are multiplied by, by panel of columns.
    scales: Vec<Line>,
}

impl Dense {
    /// Takes weights by `k` and column, integers that are multiplied by a scale for each column, and whose sums are exact.
    pub(super) fn dynamic(n_parts: usize, weights: &[f32], scales: &[f32], bias: &[f32], finish: Finish) -> Self {
        let quantized = Quantized { n_parts, scales: scales.chunks(COLUMNS).map(line).collect() };
        Self { quantized: Some(quantized), ..Self::new(weights, bias, finish) }
    }

    /// Takes weights by `k` and column.
    pub(super) fn new(weights: &[f32], bias: &[f32], finish: Finish) -> Self {
        let width = bias.len();
        let depth = weights.len() / width.max(1);
        let starts = (0..width).step_by(COLUMNS);
        let panel = |start: usize| {
            let end = width.min(start + COLUMNS);
            (0..depth).map(move |k| line(&weights[k * width..][start..end]))
        };
        // Of exactly the size, of which a `Vec` that grows takes twice as much.
        let mut panels = Vec::with_capacity(starts.len() * depth);
        panels.extend(starts.flat_map(panel));
        let panels = shared(panels);
        let bias = bias.chunks(COLUMNS).map(line).collect();
        Self { depth, width, panels, bias, finish, quantized: None }
    }
}

fn line(numbers: &[f32]) -> Line {
    let mut res = [0.0; COLUMNS];
    res[..numbers.len()].copy_from_slice(numbers);
    res
}

impl Kernel for Dense {
    const NAME: &'static str = "Dense";

    fn rounding(&self) -> Option<Rounding> {
        self.finish.rounding
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let &Self { depth, width, ref panels, ref bias, ref finish, ref quantized } = self;
        let (x, added) = (inputs[0], inputs.get(1));
        if depth == 0 || output.is_empty() {
            return;
        }
        let n_rows = output.len() / width;
        let block = (BLOCK / depth / ROWS * ROWS).clamp(ROWS, n_rows.next_multiple_of(ROWS));
        let mut parts = Vec::new();
        let mut integers = Vec::new();
        if let Some(it) = quantized {
            for part in x.chunks_exact(x.len() / it.n_parts) {
                parts.push(quantization(part));
            }
            integers.resize(block.min(n_rows) * depth, 0.0);
        }
        let part_of = |row: usize| row * parts.len() / n_rows;
        for first in (0..n_rows).step_by(block) {
            let end = n_rows.min(first + block);
            let mut numbers = &x[first * depth..end * depth];
            if quantized.is_some() {
                for ((numbers, to), row) in
                    numbers.chunks_exact(depth).zip(integers.chunks_exact_mut(depth)).zip(first..)
                {
                    quantize(numbers, parts[part_of(row)], to);
                }
                numbers = &integers[..numbers.len()];
            }
            for (panel_idx, (lines, bias)) in panels.chunks_exact(depth).zip(bias).enumerate() {
                let column = panel_idx * COLUMNS;
                let n_columns = COLUMNS.min(width - column);
                for row in (first..end).step_by(ROWS) {
                    let n = ROWS.min(end - row);
                    let rows = Strided { numbers: &numbers[(row - first) * depth..], stride: depth };
                    let at = row * width + column;
                    let added = added.map(|it| Strided { numbers: &it[at..], stride: width });
                    if let Some(it) = quantized {
                        let mut sums: Tile = [[0.0; COLUMNS]; ROWS];
                        let product =
                            Product { rows, lines, bias: &[0.0; COLUMNS], added: None, finish: &Finish::NOTHING };
                        product.give(simd, (n, n_columns), sums.as_flattened_mut(), COLUMNS);
                        for (idx, sums) in sums[..n].iter().enumerate() {
                            let mut line = *bias;
                            if let Some(added) = added {
                                add(&mut line, &added.numbers[idx * width..][..n_columns]);
                            }
                            let scale = parts[part_of(row + idx)].scale;
                            add_scaled(simd, sums, scale, &it.scales[panel_idx], finish, &mut line);
                            copy(&mut output[at + idx * width..][..n_columns], &line[..n_columns]);
                        }
                    } else {
                        let product = Product { rows, lines, bias, added, finish };
                        product.give(simd, (n, n_columns), &mut output[at..], width);
                    }
                }
            }
        }
    }
}

/// Adds integers that are multiplied by both scales, and finishes the sums.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, integers: &Line, scale: f32, scales: &Line, finish: &Finish, to: &mut Line) {
    let factors = S::as_simd_f32s(integers).0.iter().zip(S::as_simd_f32s(scales).0);
    for (to, (integers, scales)) in S::as_mut_simd_f32s(to).0.iter_mut().zip(factors) {
        let numbers = simd.mul_f32s(*integers, simd.mul_f32s(simd.splat_f32s(scale), *scales));
        // Not in one step, as in the operators that this stands for.
        *to = finish.apply(simd, simd.add_f32s(numbers, *to));
    }
}

/// Returns the quantization of numbers by what they are.
#[inline(always)]
fn quantization(numbers: &[f32]) -> Quantization {
    let (mut least, mut largest, mut odd) = ([0.0; COLUMNS], [0.0; COLUMNS], [0.0; COLUMNS]);
    for numbers in numbers.chunks(COLUMNS) {
        for (((it, least), largest), odd) in numbers.iter().zip(&mut least).zip(&mut largest).zip(&mut odd) {
            *least = if *it < *least { *it } else { *least };
            *largest = if *it > *largest { *it } else { *largest };
            // What is not finite makes a NaN.
            *odd += it * 0.0;
        }
    }
    let mut range = [0.0_f32, 0.0];
    let mut nan = 0.0;
    for ((least, largest), odd) in least.iter().zip(&largest).zip(&odd) {
        range = [range[0].min(*least), range[1].max(*largest)];
        nan += odd;
    }
    Quantization::between(range[0] + nan, range[1])
}

/// Returns the integers that stand for numbers, the zero point taken off.
#[inline(always)]
fn quantize(numbers: &[f32], Quantization { scale, zero_point }: Quantization, to: &mut [f32]) {
    let (least, most) = (-zero_point, 255.0 - zero_point);
    for (to, it) in to.iter_mut().zip(numbers) {
        let it = it / scale;
        let it = if it < least { least } else { it };
        let it = if it > most { most } else { it };
        *to = (it + ROUNDER) - ROUNDER;
    }
}
