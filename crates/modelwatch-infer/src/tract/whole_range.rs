//! Ranges of integers of 64 bits.
//!
//! tract counts in double precision how long one is, which has as many integers beyond 2^53 as their neighbors have in common: a range
//! of three numbers from 2^60 on has none.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, TValue, TVec, TractResult, TypedFact, tensor1, tvec},
    tract_core::ops::array::Range,
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, ensure, op_as_typed_op, op_out_of_plan,
    },
};

use super::memory::MAX_TENSOR_BYTES;

/// Returns how many integers there are from a start to before a limit.
pub(super) fn count(start: i64, limit: i64, step: i64) -> TractResult<u128> {
    ensure!(step != 0, "a range by {step} has no end");
    // Of those that differ by more than the largest integer, too.
    let distance = if step > 0 { i128::from(limit) - i128::from(start) } else { i128::from(start) - i128::from(limit) };
    Ok(distance.max(0).unsigned_abs().div_ceil(u128::from(step.unsigned_abs())))
}

/// A range whose length is counted in integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WholeRange(Range);

impl WholeRange {
    /// Returns what takes the place of a node with a range of integers of 64 bits.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let range = node.op_as::<Range>().filter(|_| node.outputs[0].fact.datum_type == DatumType::I64)?;
        Some(Self(range.clone()))
    }
}

impl Op for WholeRange {
    fn name(&self) -> StaticName {
        "Range".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for WholeRange {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // tract counts the lengths of axes in integers.
        if inputs.iter().any(|it| it.datum_type() != DatumType::I64) {
            return self.0.eval(context, inputs);
        }
        ensure!(inputs.len() == 3, "a range has {} inputs", inputs.len());
        let [start, limit, step] = [0, 1, 2].map(|it| inputs[it].cast_to_scalar::<i64>());
        let (start, limit, step) = (start?, limit?, step?);
        let n = count(start, limit, step)?;
        let most = u128::from(MAX_TENSOR_BYTES) / size_of::<i64>() as u128;
        ensure!(n <= most, "a range from {start} to {limit} by {step} has {n} numbers, more than {most}");
        let numbers = (0..n as i64).map(|it| start.wrapping_add(it.wrapping_mul(step)));
        Ok(tvec!(tensor1(&numbers.collect::<Vec<_>>()).into_tvalue()))
    }
}

impl TypedOp for WholeRange {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{DatumExt, IntoRunnable, ToDim, TypedModel, tensor0},
        tract_hir::internal::SpecialOps,
    };

    use super::*;
    use crate::tract::{memory::run, repair::repair};

    #[test]
    fn ranges_beyond_2_to_the_53_have_all_their_numbers() {
        const LARGE: i64 = 1 << 60;
        let mut model = TypedModel::default();
        let bounds = ["start", "limit", "step"].map(|it| model.add_source(it, i64::scalar_fact()).unwrap());
        let len = model.symbols.sym("n").to_dim();
        let range = model.wire_node("range", Range::new(len), &bounds).unwrap();
        model.select_output_outlets(&range).unwrap();
        repair(&mut model);
        let plain = model.clone().into_runnable().unwrap();
        let optimized = model.into_optimized().unwrap().into_runnable().unwrap();
        for plan in [plain, optimized] {
            let mut state = plan.spawn().unwrap();
            let mut of =
                |bounds: [i64; 3]| run(&mut state, bounds.iter().map(|it| tensor0(*it).into_tvalue()).collect());
            for (bounds, wanted) in [
                ([LARGE, LARGE + 3, 1], vec![LARGE, LARGE + 1, LARGE + 2]),
                ([-LARGE, -LARGE - 3, -2], vec![-LARGE, -LARGE - 2]),
                ([0, (1 << 53) + 1, 1 << 53], vec![0, 1 << 53]),
                ([i64::MIN, i64::MAX, i64::MAX], vec![i64::MIN, -1, i64::MAX - 1]),
                ([3, 0, 1], vec![]),
            ] {
                assert_eq!(*of(bounds).unwrap()[0], tensor1(&wanted), "{bounds:?}");
            }
            for (bounds, why) in [([0, i64::MAX, 1], "makes a tensor of more than"), ([0, 1, 0], "")] {
                let error = format!("{:#}", of(bounds).unwrap_err());
                assert!(error.contains("range") && error.contains(why), "{error}");
            }
        }
    }
}
