//! Convolutions, pooling and resizes, of images with their channels last.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, tvec},
    tract_core::ops::{
        change_axes::{AxisOp, wire_with_rank_broadcast},
        cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool},
        math,
        nn::DataFormat,
    },
    tract_hir::internal::{ToDim, TractErrorContext, bail, ensure},
};
use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator as Op, Padding, Pool2DOptions};

use super::{Call, Known, Wires, given, number, ours, text, tract};
use crate::tract::{axes::constant_integers, tf_ops::check_size};

#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    tract(Op::AVERAGE_POOL_2D, |c| {
        let options = given(c.node.builtin_options_as_pool_2_doptions())?;
        let pool_spec = pool(c, &options)?;
        let wires = c.plain::<1>(SumPool { pool_spec, normalize: true, count_include_pad: false })?;
        c.fused(wires, options.fused_activation_function())
    }),
    tract(Op::MAX_POOL_2D, |c| {
        let options = given(c.node.builtin_options_as_pool_2_doptions())?;
        let pool_spec = pool(c, &options)?;
        let wires = c.plain::<1>(MaxPool { pool_spec, with_index_outputs: None })?;
        c.fused(wires, options.fused_activation_function())
    }),
    tract(Op::CONV_2D, |c| {
        let options = given(c.node.builtin_options_as_conv_2_doptions())?;
        Window {
            padding: padding(options.padding())?,
            strides: positive([options.stride_h(), options.stride_w()])?,
            dilations: positive([options.dilation_h_factor(), options.dilation_w_factor()])?,
            end: options.fused_activation_function(),
        }
        .wire(c, false)
    }),
    tract(Op::DEPTHWISE_CONV_2D, |c| {
        let options = given(c.node.builtin_options_as_depthwise_conv_2_doptions())?;
        Window {
            padding: padding(options.padding())?,
            strides: positive([options.stride_h(), options.stride_w()])?,
            dilations: positive([options.dilation_h_factor(), options.dilation_w_factor()])?,
            end: options.fused_activation_function(),
        }
        .wire(c, true)
    }),
    ours(Op::CONV_3D, |c| {
        let (x, kernel) = (c.input(0)?, c.input(1)?);
        let options = given(c.node.builtin_options_as_conv_3_doptions())?;
        let strides = along([options.stride_d(), options.stride_h(), options.stride_w()]);
        let dilations = along([options.dilation_d_factor(), options.dilation_h_factor(), options.dilation_w_factor()]);
        let attributes = vec![
            ("padding", text(padding_name(options.padding())?)),
            ("strides", strides.into()),
            ("dilations", dilations.into()),
        ];
        let wires = c.tensorflow("Conv3D", attributes, &[x, kernel])?;
        let wires = biased(c, wires, 2)?;
        c.fused(wires, options.fused_activation_function())
    }),
    ours(Op::TRANSPOSE_CONV, |c| {
        let (size, kernel, x) = (c.input(0)?, c.input(1)?, c.input(2)?);
        let options = given(c.node.builtin_options_as_transpose_conv_options())?;
        let rank = c.model.outlet_fact(kernel)?.rank();
        ensure!(rank == 4, "its weights have the rank {rank}");
        // TFLite has the outputs of the kernel first, TensorFlow behind its axes.
        let kernel = c.model.wire_node(format!("{}.kernel", c.prefix), AxisOp::Move(0, 2), &[kernel])?[0];
        let attributes = vec![
            ("padding", text(padding_name(options.padding())?)),
            ("strides", along([options.stride_h(), options.stride_w()]).into()),
        ];
        let wires = c.tensorflow("Conv2DBackpropInput", attributes, &[size, kernel, x])?;
        let wires = biased(c, wires, 3)?;
        c.fused(wires, options.fused_activation_function())
    }),
    ours(Op::DEPTH_TO_SPACE, |c| {
        let options = given(c.node.builtin_options_as_depth_to_space_options())?;
        c.same("DepthToSpace", vec![("block_size", number(options.block_size()))])
    }),
    ours(Op::SPACE_TO_DEPTH, |c| {
        let options = given(c.node.builtin_options_as_space_to_depth_options())?;
        c.same("SpaceToDepth", vec![("block_size", number(options.block_size()))])
    }),
    ours(Op::RESIZE_BILINEAR, |c| {
        let options = c.node.builtin_options_as_resize_bilinear_options();
        resize(c, "ResizeBilinear", options.map(|it| (it.align_corners(), it.half_pixel_centers())))
    }),
    ours(Op::RESIZE_NEAREST_NEIGHBOR, |c| {
        let options = c.node.builtin_options_as_resize_nearest_neighbor_options();
        resize(c, "ResizeNearestNeighbor", options.map(|it| (it.align_corners(), it.half_pixel_centers())))
    }),
];

fn padding(padding: Padding) -> TractResult<PaddingSpec> {
    Ok(if padding_name(padding)? == "SAME" { PaddingSpec::SameUpper } else { PaddingSpec::Valid })
}

fn padding_name(padding: Padding) -> TractResult<&'static str> {
    match padding {
        Padding::SAME => Ok("SAME"),
        Padding::VALID => Ok("VALID"),
        other => bail!("its padding is {}", other.0),
    }
}

fn positive(numbers: [i32; 2]) -> TractResult<TVec<usize>> {
    ensure!(numbers.iter().all(|it| *it > 0), "its strides or dilations are {numbers:?}");
    Ok(numbers.iter().map(|it| it.unsigned_abs() as usize).collect())
}

/// Returns numbers of the axes of an image with those of rows and channels.
fn along<const N: usize>(numbers: [i32; N]) -> Vec<i64> {
    [1].into_iter().chain(numbers.map(i64::from)).chain([1]).collect()
}

fn image(c: &Call<'_, '_>, outlet: OutletId) -> TractResult<Vec<usize>> {
    let fact = c.model.outlet_fact(outlet)?;
    ensure!(fact.datum_type == DatumType::F32, "its images are of {:?}", fact.datum_type);
    let dims = fact.shape.as_concrete().context("the shape of its images is not known")?;
    ensure!(dims.len() == 4, "its images have the shape {dims:?}");
    Ok(dims.to_vec())
}

fn pool(c: &Call<'_, '_>, options: &Pool2DOptions<'_>) -> TractResult<PoolSpec> {
    let channels = image(c, c.input(0)?)?[3];
    let size = positive([options.filter_height(), options.filter_width()])?;
    let strides = positive([options.stride_h(), options.stride_w()])?;
    let padding = padding(options.padding())?;
    Ok(PoolSpec::new(DataFormat::NHWC, size, padding, None, Some(strides), channels, channels))
}

/// How a kernel goes over an image.
struct Window {
    padding: PaddingSpec,
    strides: TVec<usize>,
    dilations: TVec<usize>,
    end: ActivationFunctionType,
}

impl Window {
    /// Wires a convolution, with kernels for each channel of their own or for groups of as many as their inputs.
    fn wire(self, c: &mut Call<'_, '_>, is_depthwise: bool) -> Wires {
        let (x, mut kernel) = (c.input(0)?, c.input(1)?);
        let channels = image(c, x)?[3];
        let dims = image(c, kernel).context("its weights")?;
        let (n_in, n_out) = if is_depthwise { (1, dims[3]) } else { (dims[3], dims[0]) };
        ensure!(
            channels > 0
                && n_in > 0
                && channels.is_multiple_of(n_in)
                && n_out.is_multiple_of(channels / n_in)
                && (!is_depthwise || dims[0] == 1),
            "its weights have the shape {dims:?} for {channels} channels"
        );
        let bias = match c.optional(2) {
            Some(it) => it,
            None => {
                let zeros = Tensor::zero_dt(DatumType::F32, &[n_out])?;
                c.model.add_const(format!("{}.no-bias", c.prefix), zeros)?
            }
        };
        let bias_shape = c.model.outlet_fact(bias)?.shape.to_tvec();
        ensure!(*bias_shape == [n_out.to_dim()], "its bias has the shape {bias_shape:?} for {n_out} channels");
        let group = channels / n_in;
        // tract counts the inputs of all groups along the last axis of weights, and those of one where the axes come last.
        let kernel_fmt = if (group == 1 && !is_depthwise) || (is_depthwise && n_out == channels) {
            KernelFormat::OHWI
        } else {
            if is_depthwise {
                kernel = c.model.wire_node(format!("{}.kernel.0", c.prefix), AxisOp::Move(3, 0), &[kernel])?[0];
            } else {
                kernel = c.model.wire_node(format!("{}.kernel.0", c.prefix), AxisOp::Move(3, 1), &[kernel])?[0];
            }
            KernelFormat::OIHW
        };
        let pool_spec = PoolSpec::new(
            DataFormat::NHWC,
            tvec!(dims[1], dims[2]),
            self.padding,
            Some(self.dilations),
            Some(self.strides),
            channels,
            n_out,
        );
        let op = Conv { pool_spec, kernel_fmt, group, q_params: None };
        let wires = c.model.wire_node(c.prefix, op, &[x, kernel, bias])?;
        c.fused(wires, self.end)
    }
}

/// Adds a bias to the channels, if there is one.
fn biased(c: &mut Call<'_, '_>, wires: TVec<OutletId>, idx: usize) -> Wires {
    let Some(bias) = c.optional(idx) else { return Ok(wires) };
    let rank = c.model.outlet_fact(bias)?.rank();
    ensure!(rank == 1, "its bias has the rank {rank}");
    let prefix = format!("{}.biased", c.prefix);
    wire_with_rank_broadcast(&prefix, c.model, math::add(), &[wires[0], bias]).map(|it| tvec!(it[0]))
}

fn resize(c: &mut Call<'_, '_>, op: &str, flags: Option<(bool, bool)>) -> Wires {
    let [x, size] = c.arguments()?;
    let (aligned, halves) = flags.unwrap_or_default();
    let dims = image(c, x)?;
    let size = constant_integers(c.model, size)?;
    check_size(
        c.prefix,
        c.model,
        x,
        [dims[0].to_dim(), dims[3].to_dim()].into_iter().chain(size.iter().map(|it| it.to_dim())),
    )?;
    c.same(op, vec![("align_corners", aligned.into()), ("half_pixel_centers", halves.into())])
}
