//! Convolutions, their transposes, and pooling, of images of two and of three axes.
//!
//! tract reads those of two axes alone, ignores the dilations of `Conv2D`, and has no transposes.

use tract_onnx::{
    prelude::{OutletId, SpecialOps, TVec, Tensor, TractResult, TypedModel},
    tract_core::ops::{
        change_axes::perm_to_ops,
        cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec},
        nn::DataFormat,
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{DimLike, Expansion, ToDim, TractErrorContext, bail, ensure, expand},
        ops::cnn::{Conv, HirMaxPool, HirSumPool},
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    ops::nn::padding,
    tfpb::tensorflow::NodeDef,
};

use super::{arrays::check_size, text};
use crate::tract::{
    axes::{constant_integers, made_of, reach},
    wired::wired,
};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("Conv2D", |_, node| convolution(node, 2));
    register.insert("Conv3D", |_, node| convolution(node, 3));
    register.insert("DepthwiseConv2dNative", depthwise);
    register.insert("Conv2DBackpropInput", |_, node| transpose(node, 2));
    register.insert("Conv3DBackpropInputV2", |_, node| transpose(node, 3));
    register.insert("MaxPool3D", |_, node| Ok(expand(HirMaxPool::new(Window::pool(node, 3)?, None))));
    register.insert("AvgPool3D", |_, node| Ok(expand(HirSumPool::new(Window::pool(node, 3)?, false, true))));
}

/// How a kernel goes over an image.
#[derive(Clone)]
struct Window {
    format: DataFormat,
    padding: PaddingSpec,
    strides: TVec<usize>,
    dilations: TVec<usize>,
}

impl Window {
    /// Reads the attributes of a node whose images have this many axes besides rows and channels.
    fn of(node: &NodeDef, n_axes: usize) -> TractResult<Self> {
        let format = match text(node, "data_format") {
            None | Some("NHWC" | "NDHWC") => DataFormat::NHWC,
            Some("NCHW" | "NCDHW") => DataFormat::NCHW,
            Some(other) => bail!("node `{}` ({}) has the unknown data_format {other:?}", node.name, node.op),
        };
        let [strides, dilations] = ["strides", "dilations"].map(|it| along_axes(node, it, n_axes, format));
        Ok(Self { format, padding: padding(node)?, strides: strides?, dilations: dilations? })
    }

    /// Returns the windows of a node that pools.
    fn pool(node: &NodeDef, n_axes: usize) -> TractResult<PoolSpec> {
        let Self { format, padding, strides, .. } = Self::of(node, n_axes)?;
        let size = along_axes(node, "ksize", n_axes, format)?;
        // The channels are read off the image.
        Ok(PoolSpec::new(format, size, padding, None, Some(strides), 0, 0))
    }
}

/// Returns one number for each axis of an image, 1 where none are given; rows and channels have 1.
fn along_axes(node: &NodeDef, name: &str, n_axes: usize, format: DataFormat) -> TractResult<TVec<usize>> {
    let all = node.get_attr_opt_list_int::<usize>(name)?.unwrap_or_else(|| vec![1; n_axes + 2]);
    let first = if format == DataFormat::NHWC { 1 } else { 2 };
    let is_of_axis = |idx: usize| (first..first + n_axes).contains(&idx);
    let are_right = all.len() == n_axes + 2
        && all.iter().enumerate().all(|(idx, it)| if is_of_axis(idx) { *it > 0 } else { *it == 1 });
    ensure!(are_right, "node `{}` ({}) has {name} = {all:?}", node.name, node.op);
    Ok(all[first..first + n_axes].into())
}

/// The channels of an image come in as many groups as the inputs of a kernel go into them.
fn convolution(node: &NodeDef, n_axes: usize) -> Built {
    let window = Window::of(node, n_axes)?;
    Ok(wired(node.op.clone(), &[], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a convolution has {} inputs", inputs.len());
        let (image, kernel) = (model.outlet_fact(inputs[0])?.clone(), model.outlet_fact(inputs[1])?.clone());
        let dims = kernel.shape.as_concrete().context("the shape of the weights is not known")?;
        ensure!(dims.len() == n_axes + 2 && image.rank() == dims.len(), "weights of shape {dims:?}");
        let channels = image.shape[window.channel_axis()].to_usize().context("the number of channels is not known")?;
        let (n_in, n_out) = (dims[n_axes], dims[n_axes + 1]);
        ensure!(
            channels > 0 && n_in > 0 && channels.is_multiple_of(n_in) && n_out.is_multiple_of(channels / n_in),
            "weights of shape {dims:?} for {channels} channels"
        );
        let conv = window.clone().convolution();
        if n_in == channels {
            return conv.wire(prefix, model, inputs);
        }
        // Where kernels have the axes first, tract takes their inputs for those of all groups.
        let kernel = channels_first(prefix, model, inputs[1], [n_axes + 1, n_axes])?;
        let conv = Conv { kernel_fmt: KernelFormat::OIHW, ..conv }.group(channels / n_in);
        conv.wire(prefix, model, &[inputs[0], kernel])
    }))
}

/// Returns a kernel, whose last two axes are its channels, with those before the others, in this order.
fn channels_first(
    prefix: &str,
    model: &mut TypedModel,
    kernel: OutletId,
    channels: [usize; 2],
) -> TractResult<OutletId> {
    let n_axes = channels[0].min(channels[1]);
    let order: Vec<usize> = channels.into_iter().chain(0..n_axes).collect();
    let mut moved = kernel;
    for (idx, op) in perm_to_ops(&order).into_iter().enumerate() {
        moved = model.wire_node(format!("{prefix}.kernel.{idx}"), op, &[moved])?[0];
    }
    Ok(moved)
}

impl Window {
    fn channel_axis(&self) -> usize {
        if self.format == DataFormat::NHWC { self.strides.len() + 1 } else { 1 }
    }

    fn convolution(self) -> Conv {
        let conv = Conv::default().hwio().padding(self.padding).strides(self.strides).dilations(self.dilations);
        if self.format == DataFormat::NHWC { conv.nhwc() } else { conv }
    }
}

/// Each channel has kernels of its own.
fn depthwise(_context: &ParsingContext, node: &NodeDef) -> Built {
    let window = Window::of(node, 2)?;
    Ok(wired("DepthwiseConv2dNative", &[], move |prefix, model, inputs| {
        ensure!(inputs.len() == 2, "a convolution has {} inputs", inputs.len());
        let kernel = model.outlet_fact(inputs[1])?.shape.clone();
        let kernel = kernel.as_concrete().context("the shape of the weights is not known")?;
        ensure!(kernel.len() == 4, "weights of shape {kernel:?}");
        window.clone().convolution().group(kernel[2]).wire(prefix, model, inputs)
    }))
}

/// What a convolution with these weights makes an image of that size from.
fn transpose(node: &NodeDef, n_axes: usize) -> Built {
    let window = Window::of(node, n_axes)?;
    Ok(wired(node.op.clone(), &[0], move |prefix, model, inputs| window.wire_transpose(prefix, model, inputs)))
}

impl Window {
    fn wire_transpose(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        ensure!(inputs.len() == 3, "a transposed convolution has {} inputs", inputs.len());
        let n_axes = self.strides.len();
        let [kernel, image] =
            [1, 2].map(|it| Ok::<_, tract_onnx::prelude::TractError>(model.outlet_fact(inputs[it])?.clone()));
        let (kernel, image) = (kernel?, image?);
        let dims = kernel.shape.as_concrete().context("the shape of the weights is not known")?;
        ensure!(dims.len() == n_axes + 2 && image.rank() == dims.len(), "weights of shape {dims:?}");
        let (size, channels) = dims.split_at(n_axes);
        let first = if self.format == DataFormat::NHWC { 1 } else { 2 };
        let wanted = constant_integers(model, inputs[0])?;
        // Some give the axes of the image alone.
        let wanted =
            if wanted.len() == n_axes { &wanted[..] } else { wanted.get(first..first + n_axes).unwrap_or(&[]) };
        ensure!(wanted.len() == n_axes, "an image of {} axes is wanted", wanted.len());
        let mut shape = image.shape.to_tvec();
        shape[self.channel_axis()] = channels[0].to_dim();
        let (mut before, mut after, mut added) = (TVec::new(), TVec::new(), TVec::new());
        for axis in 0..n_axes {
            let len = image.shape[first + axis].to_usize().context("the length of an axis is not known")?;
            let reach = reach(size[axis], self.dilations[axis])?;
            let (stride, wanted) = (self.strides[axis], usize::try_from(wanted[axis])?);
            let wanted_of = match self.padding {
                PaddingSpec::Valid => (wanted + stride).checked_sub(reach).map_or(0, |it| it / stride),
                _ => wanted.div_ceil(stride),
            };
            ensure!(
                len > 0 && len == wanted_of,
                "a convolution makes {wanted_of} of {wanted} along an axis, not {len}"
            );
            let made = made_of(len, stride, reach)?;
            shape[first + axis] = made.max(wanted).to_dim();
            let cut = made.saturating_sub(wanted);
            before.push(cut / 2);
            after.push(cut - cut / 2);
            added.push(wanted.saturating_sub(made));
        }
        check_size(prefix, model, inputs[2], shape)?;
        // TensorFlow has the axes first, then output and input channels.
        let moved = channels_first(prefix, model, inputs[1], [n_axes, n_axes + 1])?;
        let bias = model.add_const(format!("{prefix}.bias"), Tensor::zero_scalar_dt(image.datum_type)?)?;
        let spec = PoolSpec::new(
            self.format,
            size.into(),
            PaddingSpec::Explicit(before, after),
            Some(self.dilations.clone()),
            Some(self.strides.clone()),
            channels[1],
            channels[0],
        );
        model.wire_node(prefix, Deconv::new(spec, KernelFormat::OIHW, added, 1), &[inputs[2], moved, bias])
    }
}
