//! Products of matrices in single precision.
//!
//! The innermost loop holds a tile of at most [`ROWS`] × [`COLUMNS`] sums in registers and adds, for one `k` after the other, the
//! product of a number of each row with a line of columns (Goto and van de Geijn, "Anatomy of high-performance matrix
//! multiplication", ACM TOMS 34, 2008). Every sum is thus one chain of fused additions in the order of `k`, whatever is
//! computed beside it: its bits do not depend on how many rows or columns there are.
//!
//! What runs in a `with_simd` is compiled for instructions that the functions of the standard library are not: those that take
//! closures are not inlined then, so that there are loops where elsewhere there are `map`, `fold` and `for_each`.

use pulp::Simd;

use super::finish::Finish;

/// The most rows of a tile.
pub(super) const ROWS: usize = 8;
/// The columns of a tile.
pub(super) const COLUMNS: usize = 32;

/// Numbers of neighboring columns.
pub(super) type Line = [f32; COLUMNS];
/// Numbers of neighboring rows.
pub(super) type Rows = [f32; ROWS];
/// Sums by row and column.
pub(super) type Tile = [Line; ROWS];

/// Calls a macro with the number of rows, at most [`ROWS`], as a constant.
macro_rules! of_rows {
    ($n_rows:expr, $rows:ident) => {
        match $n_rows {
            1 => $rows!(1),
            2 => $rows!(2),
            3 => $rows!(3),
            4 => $rows!(4),
            5 => $rows!(5),
            6 => $rows!(6),
            7 => $rows!(7),
            _ => $rows!(ROWS),
        }
    };
}
pub(super) use of_rows;

/// Adds the products of the first `n_rows` rows, `a[k][row]`, with the first `n_columns` of lines, `b[k][column]`, to
/// `tile[row][column]`, and finishes the sums.
#[inline(always)]
pub(super) fn add_products<S: Simd>(
    simd: S,
    (n_rows, n_columns): (usize, usize),
    (a, b): (&[Rows], &[Line]),
    finish: &Finish,
    tile: &mut Tile,
) {
    macro_rules! rows {
        ($n:expr) => {
            if n_columns <= S::F32_LANES {
                rows::<_, $n, 1>(simd, n_columns, a, b, finish, tile)
            } else {
                rows::<_, $n, 2>(simd, n_columns, a, b, finish, tile)
            }
        };
    }
    of_rows!(n_rows, rows)
}

/// Works through as many columns at once as `WIDTH` registers hold, so that all sums of these stay in others.
#[inline(always)]
fn rows<S: Simd, const N: usize, const WIDTH: usize>(
    simd: S,
    n_columns: usize,
    a: &[Rows],
    b: &[Line],
    finish: &Finish,
    tile: &mut Tile,
) {
    let width = WIDTH * S::F32_LANES;
    for start in (0..n_columns).step_by(width) {
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; N];
        for (sums, line) in sums.iter_mut().zip(&*tile) {
            *sums = registers(simd, &line[start..start + width]);
        }
        accumulate(simd, start, a, b, &mut sums);
        for (sums, line) in sums.into_iter().zip(&mut *tile) {
            store(simd, sums, finish, &mut line[start..start + width]);
        }
    }
}

/// What sums begin with.
#[derive(Clone, Copy)]
pub(super) enum Begin<'a> {
    /// A number for each row, and what is at the same place of other rows.
    With(&'a Rows, Option<&'a [f32]>),
    /// What they are.
    Sums,
}

/// Adds the products of the first `n_rows` rows, `a[k][row]`, with lines, `b[k][column]`, to sums where they lie, in rows of which
/// each starts `stride` numbers after the one before, as do those that are added; finishes the sums.
#[inline(always)]
pub(super) fn add_products_in_place<S: Simd>(
    simd: S,
    n_rows: usize,
    factors: (&[Rows], &[Line]),
    begin: Begin<'_>,
    finish: &Finish,
    (sums, stride): (&mut [f32], usize),
) {
    macro_rules! rows {
        ($n:expr) => {
            rows_in_place::<_, $n, 2>(simd, factors, begin, finish, sums, stride)
        };
    }
    of_rows!(n_rows, rows)
}

#[inline(always)]
fn rows_in_place<S: Simd, const N: usize, const WIDTH: usize>(
    simd: S,
    (a, b): (&[Rows], &[Line]),
    begin: Begin<'_>,
    finish: &Finish,
    output: &mut [f32],
    stride: usize,
) {
    let width = WIDTH * S::F32_LANES;
    for start in (0..COLUMNS).step_by(width) {
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; N];
        let there = match begin {
            Begin::With(bias, added) => {
                for (sums, bias) in sums.iter_mut().zip(bias) {
                    *sums = [simd.splat_f32s(*bias); WIDTH];
                }
                added
            }
            Begin::Sums => Some(&*output),
        };
        if let Some(there) = there {
            // Not by `chunks`, of which there may be fewer: the sums would be in memory all the time.
            for (idx, sums) in sums.iter_mut().enumerate() {
                let there: [_; WIDTH] = registers(simd, &there[idx * stride + start..][..width]);
                for (sum, it) in sums.iter_mut().zip(there) {
                    *sum = simd.add_f32s(*sum, it);
                }
            }
        }
        accumulate(simd, start, a, b, &mut sums);
        for (sums, output) in sums.into_iter().zip(output.chunks_mut(stride)) {
            store(simd, sums, finish, &mut output[start..start + width]);
        }
    }
}

/// Adds the products of rows with the columns from `start` on.
#[inline(always)]
fn accumulate<S: Simd, const N: usize, const WIDTH: usize>(
    simd: S,
    start: usize,
    a: &[Rows],
    b: &[Line],
    sums: &mut [[S::f32s; WIDTH]; N],
) {
    for (a, b) in a.iter().zip(b) {
        let b: [_; WIDTH] = registers(simd, &b[start..start + WIDTH * S::F32_LANES]);
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = simd.splat_f32s(*a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = simd.mul_add_e_f32s(a, b, *sum);
            }
        }
    }
}

#[inline(always)]
fn store<S: Simd, const WIDTH: usize>(simd: S, sums: [S::f32s; WIDTH], finish: &Finish, to: &mut [f32]) {
    // Not by `copy_from_slice`, for which the sums would have to be in memory all the time.
    for (to, sum) in S::as_mut_simd_f32s(to).0.iter_mut().zip(sums) {
        *to = finish.apply(simd, sum);
    }
}

#[inline(always)]
pub(super) fn registers<S: Simd, const WIDTH: usize>(simd: S, numbers: &[f32]) -> [S::f32s; WIDTH] {
    let mut res = [simd.splat_f32s(0.0); WIDTH];
    for (to, from) in res.iter_mut().zip(S::as_simd_f32s(numbers).0) {
        *to = *from;
    }
    res
}
