//! The operator of a plan that runs a kernel.

use std::{fmt, sync::Arc};

use pulp::{Arch, Simd, WithSimd};
use tract_onnx::{
    prelude::{DatumExt, IntoTValue, TValue, TVec, TractResult, TypedFact, tvec},
    tract_hir::internal::{EvalContext, EvalOp, Op, StaticName, TypedOp, as_op, op_as_typed_op, op_out_of_plan},
};

use super::{finish::Rounding, spare};

/// Computes numbers from numbers, for shapes that are known.
pub(super) trait Kernel: fmt::Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// Whether all numbers that are given are among those that are taken.
    const PICKS: bool = false;

    /// Returns what the numbers are rounded to at last.
    fn rounding(&self) -> Option<Rounding> {
        None
    }

    /// Fills `output`, in which there may be anything, from the elements of the inputs. It is to be inlined always, into what is
    /// compiled for the instructions of `simd`.
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]);
}

/// A kernel of any kind.
trait AnyKernel: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn picks(&self) -> bool;
    fn rounding(&self) -> Option<Rounding>;
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]);
}

impl<K: Kernel> AnyKernel for K {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn picks(&self) -> bool {
        K::PICKS
    }

    fn rounding(&self) -> Option<Rounding> {
        Kernel::rounding(self)
    }

    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        run(self, inputs, output);
    }
}

/// Runs a kernel by the widest instructions that the processor has.
pub(super) fn run<K: Kernel>(kernel: &K, inputs: &[&[f32]], output: &mut [f32]) {
    struct Run<'a, K> {
        kernel: &'a K,
        inputs: &'a [&'a [f32]],
        output: &'a mut [f32],
    }

    impl<K: Kernel> WithSimd for Run<'_, K> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            Kernel::run(self.kernel, simd, self.inputs, self.output);
        }
    }

    Arch::new().dispatch(Run { kernel, inputs, output });
}

/// A kernel and the shape of what it computes.
#[derive(Clone, Debug)]
pub(super) struct KernelOp {
    kernel: Arc<dyn AnyKernel>,
    shape: TVec<usize>,
}

impl KernelOp {
    pub(super) fn new(kernel: impl Kernel, shape: &[usize]) -> Self {
        Self { kernel: Arc::new(kernel), shape: shape.iter().copied().collect() }
    }

    /// Has the last axis of what is computed behind the first.
    pub(super) fn of_planes(mut self) -> Self {
        self.shape[1..].rotate_right(1);
        self
    }

    pub(super) fn rounding(&self) -> Option<Rounding> {
        self.kernel.rounding()
    }

    pub(super) fn picks(&self) -> bool {
        self.kernel.picks()
    }
}

impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel)
    }
}

impl Eq for KernelOp {}

impl Op for KernelOp {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = spare::take(&self.shape)?;
        {
            let views = inputs.iter().map(|it| it.try_as_plain_ram()).collect::<TractResult<TVec<_>>>()?;
            let slices = views.iter().map(|it| it.as_slice::<f32>()).collect::<TractResult<TVec<_>>>()?;
            self.kernel.run(&slices, output.try_as_plain_ram_mut()?.as_slice_mut()?);
        }
        inputs.into_iter().for_each(spare::give);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&self.shape)))
    }

    as_op!();
}
