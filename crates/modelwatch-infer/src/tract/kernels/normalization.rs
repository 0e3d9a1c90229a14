//! The normalization of each row by its mean and deviation (Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450).

use pulp::Simd;
use tract_onnx::{
    prelude::{OutletId, TypedModel},
    tract_core::ops::{
        binary::TypedBinOp,
        cast::Cast,
        element_wise::ElementWiseOp,
        nn::{Reduce, Reducer},
    },
    tract_hir::internal::TypedNode,
};

use super::{
    chain::{Chain, Replacement},
    copy::add,
    facts::{constant, is_single, shape},
    finish::Finish,
    matrix::{COLUMNS, Line},
    op::Kernel,
};

/// `(x - mean) / √(variance + epsilon) · scale + shift`, finished, for rows of the length of `scale`.
#[derive(Debug)]
pub(super) struct Normalization {
    epsilon: f32,
    scale: Vec<f32>,
    shift: Vec<f32>,
    finish: Finish,
}

impl Normalization {
    /// Returns the normalization in the place of the node that divides by the deviation, and of what follows it and can be done at
    /// once.
    pub(super) fn replacing(model: &TypedModel, node: &TypedNode) -> Option<Replacement> {
        let graph = Graph { model };
        let end = OutletId::from(node.id);
        let shape = shape(model, end).filter(|_| is_single(model, end))?;
        let (last, width) = (shape.len().checked_sub(1)?, *shape.last()?);
        let (x, epsilon) = graph.normalized(end, last, width)?;
        if self::shape(model, x)? != shape || !is_single(model, x) || width == 0 {
            return None;
        }
        let mut chain = Chain::new(model, node, last, width)?;
        chain.input = x;
        chain.follow();
        if chain.added.is_some() {
            return None;
        }
        let (scale, shift, finish) = (chain.scale.clone(), chain.bias.clone(), chain.finish);
        chain.replacement(Self { epsilon, scale, shift, finish })
    }
}

impl Normalization {
    /// Returns numbers less their means, multiplied by factors, by their scales, and shifted.
    #[inline(always)]
    fn normalized<S: Simd>(
        &self,
        simd: S,
        [numbers, means, factors]: [S::f32s; 3],
        scales: S::f32s,
        shifts: S::f32s,
    ) -> S::f32s {
        let numbers = simd.mul_f32s(simd.sub_f32s(numbers, means), factors);
        self.finish.apply(simd, simd.mul_add_e_f32s(numbers, scales, shifts))
    }
}

/// Tells what a value is made by.
struct Graph<'a> {
    model: &'a TypedModel,
}

impl Graph<'_> {
    /// Returns what is normalized, and the number that is added to its variance.
    fn normalized(&self, outlet: OutletId, last: usize, width: usize) -> Option<(OutletId, f32)> {
        let (centered, variance) = match self.pair(outlet, "Div") {
            Some([centered, deviation]) => (centered, self.made_by(deviation, "Sqrt")?),
            None => {
                let [a, b] = self.pair(outlet, "Mul")?;
                let of_inverse = |it| match self.made_by(it, "Rsqrt") {
                    None => self.made_by(self.made_by(it, "Recip")?, "Sqrt"),
                    it => it,
                };
                of_inverse(b).map(|it| (a, it)).or_else(|| Some((b, of_inverse(a)?)))?
            }
        };
        let [a, b] = self.pair(variance, "Add")?;
        let (epsilon, variance) = self.number(b).map(|it| (it, a)).or_else(|| Some((self.number(a)?, b)))?;
        let squares = self.averaged(variance, last, width)?;
        let root = self.made_by(squares, "Square").or_else(|| {
            let of = |name, is_square: &dyn Fn([OutletId; 2]) -> bool| {
                self.pair(squares, name).filter(|it| is_square(*it)).map(|it| it[0])
            };
            of("Mul", &|[a, b]| a == b).or_else(|| of("Pow", &|[_, power]| self.number(power) == Some(2.0)))
        });
        let [x, mean] = self.pair(centered, "Sub").filter(|_| root == Some(centered))?;
        (self.averaged(mean, last, width)? == x).then_some((x, epsilon))
    }

    /// Returns what a value is the mean of, along the last axis.
    fn averaged(&self, outlet: OutletId, last: usize, width: usize) -> Option<OutletId> {
        let (sum, share) = match self.pair(outlet, "Div") {
            Some([sum, n]) => (sum, self.number(n)?.recip()),
            None => self.pair(outlet, "Mul").and_then(|[sum, share]| Some((sum, self.number(share)?)))?,
        };
        let node = self.model.node(sum.node);
        node.op_as::<Reduce>().filter(|it| it.reducer == Reducer::Sum && *it.axes == [last])?;
        (share == (width as f32).recip()).then(|| self.through_casts(node.inputs[0]))
    }

    /// Returns the two values that an operator takes.
    fn pair(&self, outlet: OutletId, name: &str) -> Option<[OutletId; 2]> {
        let node = self.model.node(self.through_casts(outlet).node);
        node.op_as::<TypedBinOp>().filter(|it| it.0.name() == name)?;
        let &[a, b] = &*node.inputs else { return None };
        Some([self.through_casts(a), self.through_casts(b)])
    }

    /// Returns the value that an operator takes.
    fn made_by(&self, outlet: OutletId, name: &str) -> Option<OutletId> {
        let node = self.model.node(outlet.node);
        node.op_as::<ElementWiseOp>().filter(|it| it.0.name() == name)?;
        Some(self.through_casts(node.inputs[0]))
    }

    /// Returns the value before conversions from single precision to single precision.
    fn through_casts(&self, mut outlet: OutletId) -> OutletId {
        loop {
            let node = self.model.node(outlet.node);
            if !node.op_is::<Cast>() || !is_single(self.model, outlet) || !is_single(self.model, node.inputs[0]) {
                return outlet;
            }
            outlet = node.inputs[0];
        }
    }

    /// Returns a constant that is one number.
    fn number(&self, outlet: OutletId) -> Option<f32> {
        constant(self.model, outlet).and_then(|it| if let &[one] = &*it { Some(one) } else { None })
    }
}

impl Kernel for Normalization {
    const NAME: &'static str = "Normalization";

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let Self { epsilon, scale, shift, .. } = self;
        let width = scale.len();
        let (scales, last_scales) = S::as_simd_f32s(scale);
        let (shifts, last_shifts) = S::as_simd_f32s(shift);
        for (row, output) in inputs[0].chunks_exact(width).zip(output.chunks_exact_mut(width)) {
            let (numbers, last) = S::as_simd_f32s(row);
            let (to, last_to) = S::as_mut_simd_f32s(output);
            let (lines, rest) = row.as_chunks::<COLUMNS>();
            let mut sums = [0.0; COLUMNS];
            for line in lines {
                add(&mut sums, line);
            }
            add(&mut sums, rest);
            let mean = total(sums) / width as f32;
            let means = simd.splat_f32s(mean);
            let mut squares = [0.0; COLUMNS];
            for line in lines {
                add_squares(&mut squares, line, mean);
            }
            add_squares(&mut squares, rest, mean);
            let deviation = (total(squares) / width as f32 + epsilon).sqrt();
            let factors = simd.splat_f32s(1.0 / deviation);
            for (to, ((it, scale), shift)) in to.iter_mut().zip(numbers.iter().zip(scales).zip(shifts)) {
                *to = self.normalized(simd, [*it, means, factors], *scale, *shift);
            }
            if !last.is_empty() {
                let (scale, shift) = (simd.partial_load_f32s(last_scales), simd.partial_load_f32s(last_shifts));
                let numbers = [simd.partial_load_f32s(last), means, factors];
                simd.partial_store_f32s(last_to, self.normalized(simd, numbers, scale, shift));
            }
        }
    }
}

/// Adds the squares of numbers less their mean.
#[inline(always)]
fn add_squares(to: &mut Line, numbers: &[f32], mean: f32) {
    for (to, it) in to.iter_mut().zip(numbers) {
        *to += (it - mean) * (it - mean);
    }
}

/// Returns the sum of a line, always of the same pairs.
#[inline(always)]
fn total(mut line: Line) -> f32 {
    let mut n = COLUMNS / 2;
    while n > 0 {
        let (sums, others) = line.split_at_mut(n);
        add(sums, &others[..n]);
        n /= 2;
    }
    line[0]
}

#[cfg(test)]
mod tests {
    use pulp::{Scalar128b, Scalar512b};

    use super::*;

    #[test]
    fn no_bit_depends_on_how_wide_vectors_are() {
        for width in [1, 7, 31, 32, 33, 768, 1000] {
            let row: Vec<f32> = (0..width).map(|it| ((it as f32 + 1.0) * 0.618_034).fract()).collect();
            let (scale, shift) = (row.iter().map(|it| it + 0.3).collect(), row.iter().rev().copied().collect());
            let kernel = Normalization { epsilon: 1e-5, scale, shift, finish: Finish::NOTHING };
            let (mut narrow, mut wide) = (vec![0.0; width], vec![0.0; width]);
            kernel.run(Scalar128b, &[&row], &mut narrow);
            kernel.run(Scalar512b, &[&row], &mut wide);
            assert_eq!(narrow, wide, "{width}");
        }
    }
}
