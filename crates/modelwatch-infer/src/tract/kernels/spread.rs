//! Sums, differences, products and quotients of a table with a row or a column of numbers.
//!
//! tract goes from place to place of such pairs, which takes as long as the product of a matrix with each row.
//!
//! What is replaced does not depend on the number of rows, for the optimizer joins what is left, to numbers with other last bits.

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
    /// The same ones for each row, which are constants.
    Row,
    /// One for each row.
    Column,
}

/// An operator of numbers in single precision, of which one operand repeats itself.
#[derive(Debug)]
pub(super) struct Spread {
    operator: Operator,
    width: usize,
    operands: [Taken; 2],
}

impl Spread {
    /// Returns what takes the place of a node, unless tract has a way of its own for its operands.
    pub(super) fn of(model: &TypedModel, node: &TypedNode) -> Option<Self> {
        let operator = match node.op_as::<TypedBinOp>()?.0.name() {
            "Add" => Operator::Add,
            "Sub" => Operator::Sub,
            "Mul" => Operator::Mul,
            "Div" => Operator::Div,
            _ => return None,
        };
        let answer = shape(model, node.id.into()).filter(|it| it.len() > 1 && !it.contains(&0))?;
        let taken = |idx: usize| {
            let outlet = *node.inputs.get(idx)?;
            let is_constant = model.outlet_fact(outlet).ok()?.konst.is_some();
            taken(&shape(model, outlet).filter(|_| is_single(model, outlet))?, &answer, is_constant)
        };
        let operands = [taken(0)?, taken(1)?];
        let repeats = operands.iter().any(|it| *it != Taken::Own) && is_single(model, node.id.into());
        repeats.then_some(Self { operator, width: *answer.last()?, operands })
    }

    #[inline(always)]
    fn each(&self, [a, b]: [&[f32]; 2], output: &mut [f32], of: impl Fn(f32, f32) -> f32) {
        for (idx, to) in output.chunks_exact_mut(self.width).enumerate() {
            let row = |numbers, taken| if taken == Taken::Own { own(numbers, idx, self.width) } else { numbers };
            match self.operands {
                [Taken::Column, Taken::Column] => to.fill(of(a[idx], b[idx])),
                [Taken::Column, taken] => {
                    to.iter_mut().zip(row(b, taken)).for_each(|(to, it)| *to = of(a[idx], *it));
                }
                [taken, Taken::Column] => {
                    to.iter_mut().zip(row(a, taken)).for_each(|(to, it)| *to = of(*it, b[idx]));
                }
                [first, second] => {
                    let pairs = row(a, first).iter().zip(row(b, second));
                    to.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = of(*a, *b));
                }
            }
        }
    }
}

fn own(numbers: &[f32], idx: usize, width: usize) -> &[f32] {
    &numbers[idx * width..][..width]
}

/// Returns how an operand of this shape is taken, if it is one of these ways.
fn taken(shape: &[usize], answer: &[usize], is_constant: bool) -> Option<Taken> {
    let (width, rows) = answer.split_last()?;
    let (own_width, own_rows) = shape.split_last()?;
    if is_constant {
        let is_row = own_width == width && *width > 1 && shape.len() == answer.len();
        return (is_row && own_rows.iter().all(|it| *it == 1)).then_some(Taken::Row);
    }
    match own_rows == rows {
        true if own_width == width => Some(Taken::Own),
        true if *own_width == 1 => Some(Taken::Column),
        _ => None,
    }
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
            // As the optimizer has it.
            Operator::Div => self.each(operands, output, |a, b| a * (1.0 / b)),
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
            let values: Vec<f32> = (0..n).map(|it| [0.5, -3.0, f32::NAN, 7.0, 0.0][(it + idx) % 5]).collect();
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
        let cases: [([Operand<'_>; 2], bool); 14] = [
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
                    let is_near = (got - wanted).abs() <= 1e-6 * wanted.abs() && op.name() == "Div";
                    assert!(is_same || is_near, "{what}: {got}, not {wanted}");
                }
            }
        }
    }
}
