//! `ConvTranspose`, with its padding made explicit.
//!
//! tract puts the padding of `output_shape` at the end alone, counts `output_padding` twice where there is `auto_pad`, and refuses that
//! for kernels that do not reach beyond their stride.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, SpecialOps, TDim, TVec, Tensor, TractResult, TypedModel},
    tract_core::ops::{
        change_axes::AxisOp,
        cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec},
        nn::DataFormat,
    },
    tract_hir::internal::{DimLike, TractErrorContext, bail, ensure},
};

use super::Built;
use crate::tract::{
    attributes::{int, ints, label, text},
    axes::{made_of, reach},
    wired::wired,
};

/// Which end of an axis the odd one of a padding that is computed goes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Odd {
    Start,
    End,
}

#[derive(Clone, Debug)]
struct Deconvolution {
    /// Whether each axis is to be as many times longer as the stride says, where no other length is given.
    is_same: bool,
    odd: Odd,
    pads: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    output_padding: Vec<usize>,
    output_shape: Vec<usize>,
    group: usize,
}

/// What is cut off an axis, and what is added at its end.
#[derive(Debug, PartialEq)]
struct Ends {
    before: usize,
    after: usize,
    added: usize,
}

pub(super) fn parse(_context: &ParsingContext, node: &NodeProto) -> Built {
    let sizes = |name: &str| -> TractResult<Vec<usize>> {
        let sizes = ints(node, name).iter().map(|&it| usize::try_from(it));
        sizes.collect::<Result<_, _>>().with_context(|| format!("{} has a negative number in `{name}`", label(node)))
    };
    let auto_pad = text(node, "auto_pad").unwrap_or("NOTSET");
    let op = Deconvolution {
        is_same: auto_pad.starts_with("SAME_"),
        odd: if auto_pad == "SAME_UPPER" { Odd::End } else { Odd::Start },
        pads: match auto_pad {
            "NOTSET" | "" => sizes("pads")?,
            "VALID" | "SAME_UPPER" | "SAME_LOWER" => vec![],
            other => bail!("{} has the padding {other:?}, which is not known", label(node)),
        },
        strides: sizes("strides")?,
        dilations: sizes("dilations")?,
        output_padding: sizes("output_padding")?,
        output_shape: sizes("output_shape")?,
        group: usize::try_from(int(node, "group").unwrap_or(1))?,
    };
    Ok((wired("ConvTranspose", &[], move |prefix, model, inputs| op.wire(prefix, model, inputs)), vec![]))
}

impl Deconvolution {
    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        ensure!(matches!(inputs.len(), 2 | 3), "a deconvolution has {} inputs", inputs.len());
        let (x, weights) = (model.outlet_fact(inputs[0])?.clone(), model.outlet_fact(inputs[1])?.clone());
        let dims = weights.shape.as_concrete().context("the shape of the weights is not known")?;
        ensure!(dims.len() > 2 && x.rank() == dims.len(), "weights of shape {dims:?} for rank {}", x.rank());
        let kernel = &dims[2..];
        let group = self.group;
        ensure!(group > 0 && dims[0].is_multiple_of(group), "{} channels in {group} groups", dims[0]);
        let [strides, dilations] = [&self.strides, &self.dilations].map(|it| each(it, kernel.len(), 1));
        let (strides, dilations) = (strides?, dilations?);
        ensure!(strides.iter().chain(&dilations).chain(kernel).all(|it| *it > 0), "a stride, dilation or size is 0");
        let mut all = Vec::new();
        for (axis, size) in kernel.iter().enumerate() {
            let reach = reach(*size, dilations[axis])?;
            all.push(self.ends(axis, kernel.len(), &x.shape[axis + 2], strides[axis], reach)?);
        }
        // ONNX has the kernels of each group by input channel, tract by output channel.
        let split = AxisOp::wire_split_axis(model, format!("{prefix}.groups"), inputs[1], 0, group)?;
        let moved = model.wire_node(format!("{prefix}.by_output"), AxisOp::Move(1, 2), &split)?;
        let joined = AxisOp::wire_collapse_axis(model, format!("{prefix}.kernel"), moved[0], 0)?;
        let bias = match inputs.get(2) {
            Some(it) => *it,
            None => model.add_const(format!("{prefix}.bias"), Tensor::zero_scalar_dt(x.datum_type)?)?,
        };
        let ends = |of: fn(&Ends) -> usize| all.iter().map(of).collect::<TVec<_>>();
        let spec = PoolSpec::new(
            DataFormat::NCHW,
            kernel.into(),
            PaddingSpec::Explicit(ends(|it| it.before), ends(|it| it.after)),
            Some(dilations.into()),
            Some(strides.into()),
            dims[0],
            dims[1] * group,
        );
        let op = Deconv::new(spec, KernelFormat::OIHW, ends(|it| it.added), group);
        model.wire_node(prefix, op, &[inputs[0], joined[0], bias])
    }

    /// Returns what is cut off and added along an axis, by the formulas of the specification.
    fn ends(&self, axis: usize, n_axes: usize, len: &TDim, stride: usize, reach: usize) -> TractResult<Ends> {
        let added = each(&self.output_padding, n_axes, 0)?[axis];
        if !self.is_same && self.output_shape.is_empty() {
            let pads = each(&self.pads, 2 * n_axes, 0)?;
            let (before, after) = (pads[axis], pads[axis + n_axes]);
            if let Ok(len) = len.to_usize() {
                let all = made_of(len.max(1), stride, reach)?.saturating_add(added);
                ensure!(before + after < all, "{before} and {after} of {all} are cut off");
            }
            return Ok(Ends { before, after, added });
        }
        let len = len.to_usize().context("the length of an axis is not known")?;
        ensure!(len > 0, "an axis has no length");
        // Some give the rows and channels before.
        let of_axes = self.output_shape.len().checked_sub(n_axes).and_then(|it| self.output_shape.get(it..));
        ensure!(
            self.output_shape.is_empty() || of_axes.is_some(),
            "an output of shape {:?} for {n_axes} axes",
            self.output_shape
        );
        let made = made_of(len, stride, reach)?.saturating_add(added);
        let given = of_axes.and_then(|it| it.get(axis)).copied();
        // The odd one of what is missing is added at the end; how more of it would be split, nobody agrees on.
        let most = made + usize::from(self.odd == Odd::Start);
        ensure!(
            given.is_none_or(|it| it <= most),
            "{given:?} numbers along an axis are wanted of {made} that there are"
        );
        let added = added + given.map_or(0, |it| it.saturating_sub(made));
        let total = made.saturating_sub(given.unwrap_or(len * stride));
        let (less, more) = (total / 2, total - total / 2);
        let (before, after) = if self.odd == Odd::End { (less, more) } else { (more, less) };
        Ok(Ends { before, after, added })
    }
}

/// Returns one number for each of `n`, all the same where none are given.
pub(super) fn each(numbers: &[usize], n: usize, default: usize) -> TractResult<Vec<usize>> {
    ensure!(numbers.is_empty() || numbers.len() == n, "{} numbers where {n} are needed", numbers.len());
    Ok(if numbers.is_empty() { vec![default; n] } else { numbers.to_vec() })
}
