//! Sums, differences, products and quotients of a table with a row or a column of numbers.
//!
//! tract goes from place to place of such pairs, which takes as long as the product of a matrix with each row.
//!
//! What is replaced does not depend on the number of samples, which are along the first axis, for the optimizer joins what is left, to numbers with other last bits.

use pulp::Simd;
use tract_onnx::{prelude::TypedModel, tract_core::ops::binary::TypedBinOp, tract_hir::internal::TypedNode};

use super::{
    facts::{is_single, shape},
    op::Kernel,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Add,
    Sub,
    Mul,
    Div,
}

/// Which numbers of an operand meet those of a row of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    /// Those of the same row.
    Own,
    /// The same ones for each row of a sample, which are constants.
    Row,
    /// One for each row.
    Column,
}

/// How the numbers of an operand follow each other along the rows of the answer.
#[derive(Clone, Copy, Debug)]
struct Side {
    taken: Taken,
    /// How many rows in a row meet the same numbers.
    n_alike: usize,
    /// How many times numbers change until the first ones are met again.
    n_own: usize,
}

/// An operator of numbers in single precision, of which one operand repeats itself.
#[derive(Debug)]
pub(super) struct Spread {
    operator: Operator,
    width: usize,
    sides: [Side; 2],
}

impl Spread {
    /// Returns what takes the place of a node, if an operand is a column of numbers or a constant row.
    pub(super) fn of(model: &TypedModel, node: &TypedNode) -> Option<Self> {
        let operator = match node.op_as::<TypedBinOp>()?.0.name() {
            "Add" => Operator::Add,
            "Sub" => Operator::Sub,
            "Mul" => Operator::Mul,
            "Div" => Operator::Div,
            _ => return None,
        };
        let answer = shape(model, node.id.into()).filter(|it| it.len() > 1 && !it.contains(&0))?;
        let side = |idx: usize| {
            let outlet = *node.inputs.get(idx)?;
            let is_constant = model.outlet_fact(outlet).ok()?.konst.is_some();
            side(&shape(model, outlet).filter(|_| is_single(model, outlet))?, &answer, is_constant)
        };
        let sides = [side(0)?, side(1)?];
        let repeats = sides.iter().any(|it| it.taken != Taken::Own) && is_single(model, node.id.into());
        repeats.then_some(Self { operator, width: *answer.last()?, sides })
    }

    #[inline(always)]
    fn each(&self, [a, b]: [&[f32]; 2], output: &mut [f32], of: impl Fn(f32, f32) -> f32) {
        let [left, right] = self.sides;
        for (idx, to) in output.chunks_exact_mut(self.width).enumerate() {
            let (left_at, right_at) = (left.at(idx), right.at(idx));
            // A column is narrower than the answer, which is as wide as one of both.
            if left.taken == Taken::Column {
                to.iter_mut().zip(row(b, right_at, self.width)).for_each(|(to, it)| *to = of(a[left_at], *it));
            } else if right.taken == Taken::Column {
                to.iter_mut().zip(row(a, left_at, self.width)).for_each(|(to, it)| *to = of(*it, b[right_at]));
            } else {
                let pairs = row(a, left_at, self.width).iter().zip(row(b, right_at, self.width));
                to.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = of(*a, *b));
            }
        }
    }
}

impl Side {
    /// Returns where the numbers are that meet this row.
    #[inline(always)]
    fn at(self, row: usize) -> usize {
        row / self.n_alike % self.n_own
    }
}

#[inline(always)]
fn row(numbers: &[f32], at: usize, width: usize) -> &[f32] {
    &numbers[at * width..][..width]
}

/// Returns how an operand of this shape is taken, if it is one of these ways.
fn side(shape: &[usize], answer: &[usize], is_constant: bool) -> Option<Side> {
    let ([n_samples, rows @ .., width], [own_samples, own_rows @ .., own_width]) = (answer, shape) else {
        return None;
    };
    // Of a single sample, all that is one for all samples is one for each: both are the same here.
    if rows.len() != own_rows.len() || (*own_samples != 1 && own_samples != n_samples) {
        return None;
    }
    let n_rows: usize = rows.iter().product();
    if is_constant {
        let is_row = own_width == width && *width > 1 && own_rows.iter().all(|it| *it == 1);
        return is_row.then_some(Side { taken: Taken::Row, n_alike: n_rows, n_own: *own_samples });
    }
    let taken = match own_rows == rows {
        true if own_width == width => Taken::Own,
        true if *own_width == 1 => Taken::Column,
        _ => return None,
    };
    Some(Side { taken, n_alike: 1, n_own: own_samples * n_rows })
}

impl Kernel for Spread {
    const NAME: &'static str = "Spread";

    #[inline(always)]
    fn run<S: Simd>(&self, _simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let operands = [inputs[0], inputs[1]];
        match self.operator {
            Operator::Add => self.each(operands, output, |a, b| a + b),
            Operator::Sub => self.each(operands, output, |a, b| a - b),
            Operator::Mul => self.each(operands, output, |a, b| a * b),
            // The inverse of a small divisor is an infinity.
            Operator::Div => self.each(operands, output, |a, b| a / b),
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{DatumExt, IntoRunnable, IntoTValue, SpecialOps, TVec, Tensor},
        tract_core::ops::{binary::BinMiniOp, math},
    };

    use super::*;
    use crate::tract::kernels::replace;

    /// An operand of this shape, and whether it is a constant.
    type Operand<'a> = (&'a [usize], bool);

    /// Returns what a graph of one operator answers, and whether it is a kernel, before and after kernels are put into it.
    fn both(op: Box<dyn BinMiniOp>, operands: [Operand<'_>; 2]) -> [(bool, Vec<f32>); 2] {
        let mut model = TypedModel::default();
        let mut inputs = TVec::new();
        let mut given = TVec::new();
        for (idx, (shape, is_constant)) in operands.into_iter().enumerate() {
            let n = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|it| [0.5, -3.0, f32::NAN, 7.0, 0.0, 1e-39][(it + idx) % 6]).collect();
            let tensor = Tensor::from_shape(shape, &values).unwrap();
            let name = format!("input-{idx}");
            inputs.push(if is_constant {
                model.add_const(name, tensor).unwrap()
            } else {
                given.push(tensor.into_tvalue());
                model.add_source(name, f32::fact(shape)).unwrap()
            });
        }
        let output = model.wire_node("output", TypedBinOp(op, None), &inputs).unwrap();
        model.select_output_outlets(&output).unwrap();
        let mut replaced = model.clone();
        replace(&mut replaced).unwrap();
        [model, replaced].map(|model| {
            let is_kernel = model.nodes().iter().any(|it| it.op.name() == "Spread");
            let answer = model.into_runnable().unwrap().run(given.clone()).unwrap();
            (is_kernel, answer[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect())
        })
    }

    fn row(shape: &[usize]) -> Operand<'_> {
        (shape, true)
    }

    fn own(shape: &[usize]) -> Operand<'_> {
        (shape, false)
    }

    #[test]
    fn rows_and_columns_meet_every_number() {
        let cases: [([Operand<'_>; 2], bool); 19] = [
            ([own(&[4, 3]), row(&[1, 3])], true),
            ([row(&[1, 3]), own(&[4, 3])], true),
            ([own(&[4, 1]), own(&[4, 3])], true),
            ([own(&[4, 3]), own(&[4, 1])], true),
            ([own(&[4, 1]), row(&[1, 3])], true),
            ([own(&[2, 2, 17]), row(&[1, 1, 17])], true),
            ([own(&[2, 2, 1]), own(&[2, 2, 17])], true),
            // The same of a single row.
            ([own(&[1, 3]), row(&[1, 3])], true),
            ([own(&[1, 1]), own(&[1, 3])], true),
            ([own(&[1, 4, 3]), row(&[1, 4, 3])], false),
            // What is one for all samples, or a constant of each.
            ([own(&[4, 3]), own(&[1, 1])], true),
            ([own(&[1, 3]), own(&[4, 1])], true),
            ([own(&[4, 3]), row(&[4, 3])], true),
            ([own(&[2, 4, 3]), row(&[2, 1, 3])], true),
            ([own(&[4, 3]), own(&[1, 3])], false),
            // What repeats itself otherwise, or not at all, is left as it is.
            ([own(&[2, 4, 3]), row(&[1, 4, 3])], false),
            ([own(&[2, 2, 3]), own(&[2, 1, 3])], false),
            ([own(&[4, 3]), own(&[4, 3])], false),
            ([own(&[4, 3]), row(&[1, 1])], false),
        ];
        let operators: [Box<dyn BinMiniOp>; 4] =
            [Box::new(math::Add), Box::new(math::Sub), Box::new(math::Mul), Box::new(math::Div)];
        for op in operators {
            for (operands, wanted) in cases {
                let what = format!("{} of {operands:?}", op.name());
                let [(_, plain), (is_kernel, fast)] = both(op.clone(), operands);
                assert_eq!(is_kernel, wanted, "{what}");
                assert_eq!(fast.len(), plain.len(), "{what}");
                for (got, wanted) in fast.iter().zip(&plain) {
                    let is_same = got == wanted || (got.is_nan() && wanted.is_nan());
                    assert!(is_same, "{what}: {got}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_samples_does_not_matter() {
        // 0 stands for it.
        let cases: [[Operand<'_>; 2]; 10] = [
            [own(&[0, 3]), own(&[0, 1])],
            [own(&[0, 3]), own(&[1, 1])],
            [own(&[0, 3]), own(&[1, 3])],
            [own(&[0, 3]), own(&[0, 3])],
            [own(&[0, 1]), own(&[1, 3])],
            [own(&[0, 3]), row(&[0, 3])],
            [own(&[0, 3]), row(&[1, 3])],
            [own(&[0, 3]), row(&[1, 1])],
            [own(&[0, 2, 3]), row(&[1, 2, 3])],
            [own(&[0, 2, 3]), own(&[1, 2, 1])],
        ];
        for operands in cases {
            let are_kernels = [1, 4].map(|n| {
                let shapes = operands.map(|(shape, _)| shape.iter().map(move |&it| if it == 0 { n } else { it }));
                let [a, b] = shapes.map(|it| it.collect::<Vec<usize>>());
                let [_, (is_kernel, _)] = both(Box::new(math::Sub), [(&*a, operands[0].1), (&*b, operands[1].1)]);
                is_kernel
            });
            assert_eq!(are_kernels[0], are_kernels[1], "{operands:?}");
        }
    }
}
