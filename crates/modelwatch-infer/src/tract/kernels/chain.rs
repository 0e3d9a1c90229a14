//! What follows a product, a convolution or another kernel and can be done with it at once.

use tract_onnx::{
    prelude::{OutletId, TypedModel},
    tract_core::ops::binary::TypedBinOp,
    tract_hir::internal::TypedNode,
};

use super::{
    facts::{constant, is_single, only_user, shape},
    finish::{Finish, Rounding},
    op::{Kernel, KernelOp},
};
use crate::tract::repair::{Dequantize, Quantize};

/// A kernel, its inputs, and the value that it computes.
pub(super) struct Replacement {
    pub op: KernelOp,
    pub inputs: Vec<OutletId>,
    pub replaced: OutletId,
    /// Whether what is replaced has channels behind pixels, which the kernel has before them.
    pub channels_are_last: bool,
}

impl Replacement {
    /// Gives images by planes to the kernel, wherever their channels are.
    pub(super) fn of_planes(self, channels_are_last: bool) -> Self {
        let op = if channels_are_last { self.op.of_planes() } else { self.op };
        Self { op, channels_are_last, ..self }
    }
}

/// What is done to the values of a node by those that follow it and can be done at once.
pub(super) struct Chain<'a> {
    model: &'a TypedModel,
    /// What the kernel takes.
    pub input: OutletId,
    shape: Vec<usize>,
    /// The axis that scale and bias are along.
    axis: usize,
    pub scale: Vec<f32>,
    pub bias: Vec<f32>,
    /// A value of the same shape that is added.
    pub added: Option<OutletId>,
    pub finish: Finish,
    end: OutletId,
}

impl<'a> Chain<'a> {
    pub(super) fn new(model: &'a TypedModel, node: &TypedNode, axis: usize, n: usize) -> Option<Self> {
        let end = OutletId::new(node.id, 0);
        if !is_single(model, node.inputs[0]) || !is_single(model, end) {
            return None;
        }
        Some(Self {
            model,
            input: node.inputs[0],
            shape: shape(model, end)?,
            axis,
            scale: vec![1.0; n],
            bias: vec![0.0; n],
            added: None,
            finish: Finish::NOTHING,
            end,
        })
    }

    pub(super) fn replacement(self, kernel: impl Kernel) -> Option<Replacement> {
        let inputs = [self.input].into_iter().chain(self.added).collect();
        let op = KernelOp::new(kernel, &self.shape);
        Some(Replacement { op, inputs, replaced: self.end, channels_are_last: false })
    }

    /// Adds one number to all, or one for each place along the axis.
    pub(super) fn add(&mut self, numbers: &[f32]) -> Option<()> {
        let numbers = spread(numbers, self.bias.len())?;
        self.bias.iter_mut().zip(numbers).for_each(|(it, other)| *it += other);
        Some(())
    }

    /// Goes on as far as it can be done at once.
    pub(super) fn follow(&mut self) {
        while self.step().is_some() {}
    }

    fn step(&mut self) -> Option<()> {
        let node = only_user(self.model, self.end)?;
        if let Some(rounding) = rounding(self.model, node) {
            let (rounding, end) = rounding;
            if self.finish.rounding.is_some() {
                return None;
            }
            self.finish.rounding = Some(rounding);
            self.end = end;
            return Some(());
        }
        let op = node.op_as::<TypedBinOp>()?;
        let other = *node.inputs.iter().find(|it| **it != self.end)?;
        let end = OutletId::new(node.id, 0);
        if shape(self.model, end)? != self.shape || !is_single(self.model, end) || self.finish.rounding.is_some() {
            return None;
        }
        let is_sum = self.finish == Finish::NOTHING;
        let numbers = self.along_axis(other);
        match (op.0.name(), numbers) {
            ("Add", Some(numbers)) if is_sum => self.add(&numbers)?,
            ("Mul", Some(numbers)) if is_sum && self.added.is_none() => {
                let numbers = spread(&numbers, self.bias.len())?;
                for ((scale, bias), it) in self.scale.iter_mut().zip(&mut self.bias).zip(numbers) {
                    *scale *= it;
                    *bias *= it;
                }
            }
            ("Add", None) if is_sum && self.added.is_none() && shape(self.model, other)? == self.shape => {
                self.added = Some(other);
            }
            ("Max", Some(numbers)) => {
                let least = bound(&numbers)?;
                self.finish.least = self.finish.least.max(least);
                self.finish.most = self.finish.most.max(least);
            }
            ("Min", Some(numbers)) => {
                let most = bound(&numbers)?;
                self.finish.most = self.finish.most.min(most);
                self.finish.least = self.finish.least.min(most);
            }
            _ => return None,
        }
        self.end = end;
        Some(())
    }

    /// Returns a constant that is one number, or one for each place along the axis.
    fn along_axis(&self, outlet: OutletId) -> Option<Vec<f32>> {
        let shape = shape(self.model, outlet)?;
        let is_along =
            shape.iter().enumerate().all(|(idx, it)| *it == 1 || (idx == self.axis && *it == self.bias.len()));
        constant(self.model, outlet).filter(|_| is_along && shape.len() == self.shape.len())
    }
}

/// Returns the number that bounds all, which a NaN is not: it makes NaN of all.
pub(super) fn bound(numbers: &[f32]) -> Option<f32> {
    if let &[it] = numbers { Some(it).filter(|it| !it.is_nan()) } else { None }
}

/// Returns one number for each of `n`.
fn spread(numbers: &[f32], n: usize) -> Option<Vec<f32>> {
    match numbers {
        [one] => Some(vec![*one; n]),
        _ => (numbers.len() == n).then(|| numbers.to_vec()),
    }
}

/// Returns what a quantization and its inverse do, and the value after both, where nothing else has a part in it.
fn rounding(model: &TypedModel, node: &TypedNode) -> Option<(Rounding, OutletId)> {
    node.op_as::<Quantize>()?;
    let next = only_user(model, node.id.into())?;
    Some((rounding_before(model, next)?, next.id.into()))
}

/// Returns what a quantization and its inverse, which is this node, do.
pub(super) fn rounding_before(model: &TypedModel, node: &TypedNode) -> Option<Rounding> {
    let back = node.op_as::<Dequantize>()?;
    let &Quantize { factor, zero_point } = model.node(node.inputs[0].node).op_as()?;
    let zero = zero_point.value();
    let [least, most] = zero_point.range().map(|it| (it - zero) as f32);
    (back.zero_point == zero).then_some(Rounding { factor, least, most, step: back.scale })
}
