//! Sums along axes.
//!
//! tract adds integers in 32 bits, so that a sum of two numbers beyond 2^31 is another number, takes the logarithm of a sum of
//! exponentials that overflow, and adds long rows of single precision one after the other, which is off by a percent for a million
//! of them.

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, Tensor, TractResult, TypedFact,
        TypedModel, tract_ndarray::ArrayD, tvec,
    },
    tract_core::ops::{
        cast::cast,
        change_axes::AxisOp,
        nn::{Reduce, Reducer},
    },
    tract_hir::internal::{
        DimLike, EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedNode, TypedOp, as_op, bail, f16,
        op_as_typed_op, op_out_of_plan,
    },
};

use super::axes::{put_last, reduced};

/// What is made of the numbers along axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Taken {
    Sum,
    Mean,
    SumOfMagnitudes,
    SumOfSquares,
    LogSumExp,
    /// The root of this degree of the sum of magnitudes to this power.
    Norm(i32),
}

/// Sums along axes, which stay with length 1: in double precision, or in as many bits as integers need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fold {
    pub axes: Vec<usize>,
    pub taken: Taken,
}

impl Fold {
    /// Returns what takes the place of a node that adds integers, or so many numbers that it matters in which order.
    pub(super) fn of(node: &TypedNode, input: &TypedFact) -> Option<Self> {
        const MANY: usize = 1 << 14;
        let reduce = node.op_as::<Reduce>().filter(|it| it.reducer == Reducer::Sum)?;
        let lengths = reduce.axes.iter().map(|it| input.shape[*it].to_usize().ok());
        let is_long = || lengths.product::<Option<usize>>().is_some_and(|it| it >= MANY);
        let dtype = input.datum_type;
        let overflows = dtype == DatumType::F16;
        let is_wanted = adds_in_too_few_bits(dtype) || overflows || (dtype.is_float() && is_long());
        is_wanted.then(|| Self { axes: reduce.axes.to_vec(), taken: Taken::Sum })
    }

    fn of_floats<T: Datum + Copy + Into<f64>>(&self, tensor: &Tensor, narrow: fn(f64) -> T) -> TractResult<Tensor> {
        along(tensor, &self.axes, |numbers: &[T]| narrow(self.of_float(numbers)))
    }

    fn of_float<T: Copy + Into<f64>>(&self, numbers: &[T]) -> f64 {
        match self.taken {
            Taken::Sum => sum(numbers, |it| it),
            Taken::Mean => sum(numbers, |it| it) / numbers.len() as f64,
            Taken::SumOfMagnitudes | Taken::Norm(1) => sum(numbers, f64::abs),
            Taken::SumOfSquares => sum(numbers, |it| it * it),
            Taken::Norm(2) => sum(numbers, |it| it * it).sqrt(),
            Taken::Norm(degree) => {
                let degree = f64::from(degree);
                sum(numbers, |it| it.abs().powf(degree)).powf(1.0 / degree)
            }
            Taken::LogSumExp => log_sum_exp(numbers),
        }
    }

    /// Goes around where the sum is no integer of the type, as additions do.
    fn of_integers(&self, numbers: impl ExactSizeIterator<Item = i128>) -> i128 {
        let n = numbers.len() as i128;
        match self.taken {
            Taken::Sum | Taken::LogSumExp | Taken::Norm(_) => numbers.fold(0, i128::wrapping_add),
            Taken::Mean => numbers.fold(0, i128::wrapping_add).checked_div(n).unwrap_or(0),
            Taken::SumOfMagnitudes => numbers.fold(0, |acc, it| acc.wrapping_add(it.abs())),
            Taken::SumOfSquares => numbers.fold(0, |acc: i128, it| acc.wrapping_add(it.wrapping_mul(it))),
        }
    }
}

/// Whether tract's sums of these integers go around where those of ONNX and TensorFlow do not.
pub(super) fn adds_in_too_few_bits(dtype: DatumType) -> bool {
    matches!(dtype, DatumType::I32 | DatumType::I64 | DatumType::U32 | DatumType::U64)
}

/// Wires what is `taken` of integers along `axes`, which go or stay with length 1.
pub(super) fn wire_integers(
    prefix: &str,
    model: &mut TypedModel,
    input: OutletId,
    Fold { axes, taken }: Fold,
    keeps_axes: bool,
) -> TractResult<TVec<OutletId>> {
    let mut wire = tvec!(input);
    // Shapes are numbers here.
    if model.outlet_fact(input)?.datum_type == DatumType::TDim {
        wire = model.wire_node(format!("{prefix}.numbers"), cast(DatumType::I64), &wire)?;
    }
    wire = model.wire_node(prefix, Fold { axes: axes.clone(), taken }, &wire)?;
    if !keeps_axes {
        wire = without_axes(prefix, model, wire, axes)?;
    }
    Ok(wire)
}

/// Removes axes of length 1, which are in order.
pub(super) fn without_axes(
    prefix: &str,
    model: &mut TypedModel,
    mut wire: TVec<OutletId>,
    axes: Vec<usize>,
) -> TractResult<TVec<OutletId>> {
    for axis in axes.into_iter().rev() {
        wire = model.wire_node(format!("{prefix}.without.{axis}"), AxisOp::Rm(axis), &wire)?;
    }
    Ok(wire)
}

/// Gives what `of` makes of the numbers along `axes`, which stay with length 1.
pub(super) fn along<T: Datum + Copy, U: Datum>(
    tensor: &Tensor,
    axes: &[usize],
    of: impl Fn(&[T]) -> U,
) -> TractResult<Tensor> {
    let numbers = tensor.to_plain_array_view::<T>()?;
    let mut shape = numbers.shape().to_vec();
    let n_each: usize = axes.iter().map(|it| std::mem::replace(&mut shape[*it], 1)).product();
    let ordered = numbers.permuted_axes(put_last(axes, shape.len()));
    let ordered = ordered.as_standard_layout();
    let ordered = ordered.as_slice().context("the numbers do not lie side by side")?;
    let res: Vec<U> = if n_each == 0 {
        (0..shape.iter().product::<usize>()).map(|_| of(&[])).collect()
    } else {
        ordered.chunks_exact(n_each).map(of).collect()
    };
    Ok(ArrayD::from_shape_vec(shape, res)?.into_tensor())
}

/// Adds in double precision; several sums at once, which is faster than one.
fn sum<T: Copy + Into<f64>>(numbers: &[T], of: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = numbers.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, it)| *sum += of((*it).into()));
    }
    sums.into_iter().chain(rest.iter().map(|it| of((*it).into()))).fold(0.0, |acc, it| acc + it)
}

/// The logarithm of the sum of exponentials; NaN where there is one.
fn log_sum_exp<T: Copy + Into<f64>>(numbers: &[T]) -> f64 {
    let [greatest, beyond] = log_sum_exp_parts(numbers);
    greatest + beyond
}

/// Returns the greatest number, and how far beyond it the logarithm of the sum of exponentials is, none of which overflows.
pub(super) fn log_sum_exp_parts<T: Copy + Into<f64>>(numbers: &[T]) -> [f64; 2] {
    let greatest = numbers
        .iter()
        .map(|it| Into::<f64>::into(*it))
        .fold(f64::NEG_INFINITY, |acc, it| if it > acc || it.is_nan() { it } else { acc });
    [greatest, if greatest.is_finite() { sum(numbers, |it| (it - greatest).exp()).ln() } else { 0.0 }]
}

impl Op for Fold {
    fn name(&self) -> StaticName {
        match self.taken {
            Taken::Sum => "SumOf",
            Taken::Mean => "MeanOf",
            Taken::SumOfMagnitudes => "SumOfMagnitudes",
            Taken::SumOfSquares => "SumOfSquares",
            Taken::LogSumExp => "LogSumExp",
            Taken::Norm(_) => "Norm",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Fold {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = &inputs[0];
        // Of integers, these are rounded toward zero.
        let is_of_floats = matches!(self.taken, Taken::LogSumExp | Taken::Norm(_));
        macro_rules! integers {
            ($ty:ty) => {
                along(input, &self.axes, |it: &[$ty]| {
                    let numbers = it.iter().map(|it| i128::from(*it));
                    if is_of_floats {
                        self.of_float(&numbers.map(|it| it as f64).collect::<Vec<f64>>()) as $ty
                    } else {
                        self.of_integers(numbers) as $ty
                    }
                })?
            };
        }
        let res = match input.datum_type() {
            DatumType::F16 => self.of_floats(input, f16::from_f64)?,
            DatumType::F32 => self.of_floats(input, |it| it as f32)?,
            DatumType::F64 => self.of_floats(input, |it| it)?,
            DatumType::I32 => integers!(i32),
            DatumType::I64 => integers!(i64),
            DatumType::U32 => integers!(u32),
            DatumType::U64 => integers!(u64),
            other => bail!("elements of {other:?} are not added"),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Fold {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(reduced(inputs[0], &self.axes, inputs[0].datum_type)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::{tensor2, tensor3};

    use super::*;

    fn fold(tensor: Tensor, axes: &[usize], taken: Taken) -> Tensor {
        let op = Fold { axes: axes.to_vec(), taken };
        op.eval(&EvalContext::out_of_plan(), tvec!(tensor.into_tvalue())).unwrap().remove(0).into_tensor()
    }

    #[test]
    fn any_axes_are_added_in_all_types() {
        let cube = tensor3(&[[[1_i64, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]]);
        for dtype in [DatumType::I32, DatumType::U64, DatumType::F16, DatumType::F64] {
            let of = |it: Tensor| it.cast_to_dt(dtype).unwrap().into_owned();
            let sums = fold(of(cube.clone()), &[0, 2], Taken::Sum);
            assert_eq!(sums, of(tensor3(&[[[18_i64], [26], [34]]])), "{dtype:?}");
            assert_eq!(fold(of(cube.clone()), &[1], Taken::Mean), of(tensor3(&[[[3_i64, 4]], [[9, 10]]])), "{dtype:?}");
        }
        assert_eq!(fold(Tensor::zero::<i64>(&[2, 0]).unwrap(), &[1], Taken::Mean), tensor2(&[[0_i64], [0]]));
        assert_eq!(fold(tensor2(&[[-3_i64, -4]]), &[1], Taken::Mean), tensor2(&[[-3_i64]]));
        assert_eq!(fold(tensor2(&[[1_i64]]), &[1], Taken::LogSumExp), tensor2(&[[1_i64]]));
        assert_eq!(fold(tensor2(&[[100_000_i32; 3]]), &[1], Taken::Norm(2)), tensor2(&[[173_205_i32]]));
    }
}
