//! Products of two matrices that both vary, as in attention, wherever their numbers lie.
//!
//! What only moves axes before or after is done by where numbers are read and written.

use pulp::Simd;
use tract_onnx::{
    prelude::{OutletId, TypedModel},
    tract_core::{
        axes::Axis,
        ops::{binary::TypedBinOp, change_axes::AxisOp, einsum::EinSum},
    },
    tract_hir::internal::TypedNode,
};

use super::{
    chain::Replacement,
    copy::copy,
    facts::{constant, is_single, only_user, shape},
    finish::Finish,
    matrix::{COLUMNS, Line, ROWS},
    op::{Kernel, KernelOp},
    rows::{Product, Strided},
};

/// An axis of a product: its length, and how far apart its neighbors are in both factors and in the product; 0 where it is none of theirs.
#[derive(Clone, Copy, Debug)]
struct Extent {
    n: usize,
    of_a: usize,
    of_b: usize,
    of_output: usize,
}

/// `scale · a[row][k] · b[k][column]`, for each of several pairs.
#[derive(Debug)]
pub(super) struct PairProduct {
    pairs: Vec<Extent>,
    rows: Extent,
    /// Neighbors in the first factor.
    depth: Extent,
    /// Neighbors in the product.
    columns: Extent,
    scale: f32,
}

impl PairProduct {
    /// Returns the product in the place of a node, and of what follows it and can be done at once.
    pub(super) fn replacing(model: &TypedModel, node: &TypedNode, op: &EinSum) -> Option<Replacement> {
        let (&[a, b], mut end) = (&*node.inputs, OutletId::from(node.id)) else { return None };
        if op.q_params.is_some() || ![a, b, end].iter().all(|it| is_single(model, *it)) {
            return None;
        }
        let shapes = [shape(model, a)?, shape(model, b)?, shape(model, end)?];
        let (a, strides_of_a) = strided(model, a)?;
        let (b, strides_of_b) = strided(model, b)?;
        let scale = scaled(model, end).map_or(1.0, |(scale, scaled)| {
            end = scaled;
            scale
        });
        let column = op.axes.iter_all_axes().find(|it| it.inputs[0].is_empty())?.outputs[0].first().copied()?;
        let (order, replaced) = moved(model, end, shapes[2].len(), column);
        let output: Vec<usize> = order.iter().map(|it| shapes[2][*it]).collect();
        let mut strides_of_output = vec![0; order.len()];
        order.iter().zip(row_major(&output)).for_each(|(axis, stride)| strides_of_output[*axis] = stride);

        let (mut pairs, mut rows, mut depth, mut columns) = (vec![], vec![], vec![], vec![]);
        for Axis { inputs, outputs, .. } in op.axes.iter_all_axes() {
            let (at, kind) = match (&*inputs[0], &*inputs[1], &*outputs[0]) {
                (&[a], &[b], &[output]) => ([Some(a), Some(b), Some(output)], &mut pairs),
                (&[a], [], &[output]) => ([Some(a), None, Some(output)], &mut rows),
                (&[a], &[b], []) => ([Some(a), Some(b), None], &mut depth),
                ([], &[b], &[output]) => ([None, Some(b), Some(output)], &mut columns),
                _ => return None,
            };
            let mut lengths = at.iter().zip(&shapes).filter_map(|(at, shape)| Some(shape[(*at)?]));
            let n = lengths.next().filter(|n| lengths.all(|it| it == *n))?;
            let stride = |strides: &[usize], at: Option<usize>| at.map_or(0, |it| strides[it]);
            kind.push(Extent {
                n,
                of_a: stride(&strides_of_a, at[0]),
                of_b: stride(&strides_of_b, at[1]),
                of_output: stride(&strides_of_output, at[2]),
            });
        }
        let (&[mut rows], &[depth], &[columns]) = (&*rows, &*depth, &*columns) else { return None };
        if rows.n == 1 {
            // It may lie behind the columns, and has no neighbor.
            rows.of_output = columns.n;
        }
        let are_neighbors = depth.of_a == 1 && columns.of_output == 1;
        if !are_neighbors || pairs.iter().chain([&rows, &depth, &columns]).any(|it| it.n == 0) {
            return None;
        }
        let op = KernelOp::new(Self { pairs, rows, depth, columns, scale }, &output);
        Some(Replacement { op, inputs: vec![a, b], replaced, channels_are_last: false })
    }
}

/// Returns the value from which one is made by moving axes, and how far apart neighbors along its axes are in it.
fn strided(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, Vec<usize>)> {
    let (mut source, mut moves) = (outlet, Vec::new());
    while let Some(&AxisOp::Move(from, to)) = model.node(source.node).op_as::<AxisOp>() {
        moves.push((from, to));
        source = model.node(source.node).inputs[0];
    }
    let mut strides = row_major(&shape(model, source)?);
    for (from, to) in moves.into_iter().rev() {
        let stride = strides.remove(from);
        strides.insert(to, stride);
    }
    Some((source, strides))
}

/// Returns how far apart neighbors along each axis are.
fn row_major(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|it| shape[it + 1..].iter().product()).collect()
}

/// Returns the one number by which all of a value are multiplied next, and the product.
fn scaled(model: &TypedModel, outlet: OutletId) -> Option<(f32, OutletId)> {
    let node = only_user(model, outlet)?;
    let op = node.op_as::<TypedBinOp>().filter(|it| it.0.name() == "Mul")?;
    let scale = constant(model, *node.inputs.iter().find(|it| **it != outlet)?)?;
    let end = OutletId::from(node.id);
    let keeps_shape = shape(model, end)? == shape(model, outlet)? && op.1.is_none();
    Some((*scale.first().filter(|_| scale.len() == 1 && keeps_shape)?, end))
}

/// Returns the order in which the axes of a value are moved next, and the value after that; as they are where an axis would not stay
/// the last.
fn moved(model: &TypedModel, outlet: OutletId, rank: usize, last: usize) -> (Vec<usize>, OutletId) {
    let (mut order, mut end): (Vec<usize>, _) = ((0..rank).collect(), outlet);
    while let Some(node) = only_user(model, end)
        && let Some(&AxisOp::Move(from, to)) = node.op_as::<AxisOp>()
    {
        let axis = order.remove(from);
        order.insert(to, axis);
        end = node.id.into();
    }
    if order.last() == Some(&last) { (order, end) } else { ((0..rank).collect(), outlet) }
}

impl Kernel for PairProduct {
    const NAME: &'static str = "PairProduct";

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let &Self { ref pairs, rows, depth, columns, scale } = self;
        let mut lines = vec![[0.0; COLUMNS]; depth.n];
        let mut n_pairs = 1;
        for it in pairs {
            n_pairs *= it.n;
        }
        for pair in 0..n_pairs {
            let (mut rest, mut at_a, mut at_b, mut at_output) = (pair, 0, 0, 0);
            for it in pairs.iter().rev() {
                let place = rest % it.n;
                rest /= it.n;
                at_a += place * it.of_a;
                at_b += place * it.of_b;
                at_output += place * it.of_output;
            }
            for column in (0..columns.n).step_by(COLUMNS) {
                let n_columns = COLUMNS.min(columns.n - column);
                pack(
                    &inputs[1][at_b + column * columns.of_b..],
                    (depth.of_b, columns.of_b),
                    n_columns,
                    scale,
                    &mut lines,
                );
                for row in (0..rows.n).step_by(ROWS) {
                    let numbers = &inputs[0][at_a + row * rows.of_a..];
                    let product = Product {
                        rows: Strided { numbers, stride: rows.of_a },
                        lines: &lines,
                        bias: &[0.0; COLUMNS],
                        added: None,
                        finish: &Finish::NOTHING,
                    };
                    let to = &mut output[at_output + row * rows.of_output + column..];
                    product.give(simd, (ROWS.min(rows.n - row), n_columns), to, rows.of_output);
                }
            }
        }
    }
}

/// Writes numbers that lie so far apart by `k` and column, scaled, to the first columns of lines.
#[inline(always)]
fn pack(numbers: &[f32], (by_k, by_column): (usize, usize), n_columns: usize, scale: f32, lines: &mut [Line]) {
    for (k, line) in lines.iter_mut().enumerate() {
        let numbers = &numbers[k * by_k..];
        if by_column == 1 {
            copy(&mut line[..n_columns], &numbers[..n_columns]);
        } else {
            for (to, from) in line[..n_columns].iter_mut().zip(numbers.iter().step_by(by_column)) {
                *to = *from;
            }
        }
        for it in line {
            *it *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::{prelude::DatumExt, tract_hir::internal::InletId};

    use super::*;

    #[test]
    fn a_chain_of_moves_is_followed_however_long_it_is() {
        const N: usize = 40_001;
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([2, 3, 4])).unwrap();
        let mut moved = x;
        for _ in 0..N {
            let fact = model.outlet_fact(x).unwrap().clone();
            let id = model.add_node("move", AxisOp::Move(0, 2), [fact].into_iter().collect()).unwrap();
            model.add_edge(moved, InletId::new(id, 0)).unwrap();
            moved = id.into();
        }
        // Three of them move all axes back.
        const { assert!(N % 3 == 2) };
        assert_eq!(strided(&model, moved), Some((x, vec![1, 12, 4])));
    }
}
