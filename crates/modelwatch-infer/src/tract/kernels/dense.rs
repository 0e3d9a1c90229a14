//! Rows times a matrix of weights.

use pulp::Simd;

use super::{
    copy::{add, copy},
    finish::{Finish, Rounding},
    matrix::{COLUMNS, Line, ROWS, Rows, Tile, add_products},
    op::Kernel,
};

/// Numbers of the rows that are worked on at once, which with a panel of weights fit into the second cache.
const BLOCK: usize = 1 << 16;

/// `x[row][k] · weights[k][column] + bias[column]`, and the same place of a second input where there is one.
#[derive(Debug)]
pub(super) struct Dense {
    depth: usize,
    width: usize,
    /// By panel of columns and `k`; the last panel is filled up with zeros.
    panels: Vec<Line>,
    /// By panel of columns.
    bias: Vec<Line>,
    finish: Finish,
}

impl Dense {
    /// Takes weights by `k` and column.
    pub(super) fn new(weights: &[f32], bias: &[f32], finish: Finish) -> Self {
        let width = bias.len();
        let line = |numbers: &[f32]| {
            let mut res = [0.0; COLUMNS];
            res[..numbers.len()].copy_from_slice(numbers);
            res
        };
        let depth = weights.len() / width.max(1);
        let starts = (0..width).step_by(COLUMNS);
        let panel = |start: usize| {
            let end = width.min(start + COLUMNS);
            (0..depth).map(move |k| line(&weights[k * width..][start..end]))
        };
        let panels = starts.flat_map(panel).collect();
        Self { depth, width, panels, bias: bias.chunks(COLUMNS).map(line).collect(), finish }
    }
}

impl Kernel for Dense {
    const NAME: &'static str = "Dense";

    fn rounding(&self) -> Option<Rounding> {
        self.finish.rounding
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let &Self { depth, width, ref panels, ref bias, ref finish } = self;
        let (x, added) = (inputs[0], inputs.get(1));
        if depth == 0 || output.is_empty() {
            return;
        }
        let n_rows = output.len() / width;
        let block = (BLOCK / depth / ROWS * ROWS).clamp(ROWS, n_rows.next_multiple_of(ROWS));
        let mut packed = vec![[0.0; ROWS]; block / ROWS * depth];
        for first in (0..n_rows).step_by(block) {
            let groups = || (first..n_rows.min(first + block)).step_by(ROWS);
            for (row, packed) in groups().zip(packed.chunks_exact_mut(depth)) {
                transpose(&x[row * depth..(row + ROWS).min(n_rows) * depth], depth, packed);
            }
            for ((panel, bias), column) in panels.chunks_exact(depth).zip(bias).zip((0..).step_by(COLUMNS)) {
                let n_columns = COLUMNS.min(width - column);
                for (row, packed) in groups().zip(packed.chunks_exact(depth)) {
                    let n = ROWS.min(n_rows - row);
                    let mut tile: Tile = [*bias; ROWS];
                    if let Some(added) = added {
                        for (row, line) in (row..row + n).zip(&mut tile) {
                            let added = &added[row * width + column..][..n_columns];
                            add(line, added);
                        }
                    }
                    add_products(simd, (n, n_columns), (packed, panel), finish, &mut tile);
                    for (row, line) in (row..row + n).zip(&tile) {
                        copy(&mut output[row * width + column..][..n_columns], &line[..n_columns]);
                    }
                }
            }
        }
    }
}

/// Writes rows of this length by column.
#[inline(always)]
fn transpose(rows: &[f32], depth: usize, columns: &mut [Rows]) {
    for (idx, row) in rows.chunks_exact(depth).enumerate() {
        for (column, number) in columns.iter_mut().zip(row) {
            column[idx % ROWS] = *number;
        }
    }
}
