//! Operators on images and their patches.

use tract_onnx::{
    prelude::{
        Tensor, TractResult,
        tract_ndarray::{ArrayD, Dimension},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{concat, full, reshape, unravel};
use crate::tract::interpreter::{
    call::Call,
    value::{Value, checked_len},
};

fn sizes(values: &[i64]) -> TractResult<Vec<usize>> {
    Ok(values.iter().map(|&it| usize::try_from(it)).collect::<Result<_, _>>()?)
}

/// Returns an attribute with one positive number per spatial axis, 1 by default.
fn per_axis(call: &Call<'_>, name: &str, n: usize) -> TractResult<Vec<usize>> {
    let res = match call.int_list(name) {
        Some(it) => sizes(it)?,
        None => vec![1; n],
    };
    ensure!(res.len() == n && res.iter().all(|&it| it > 0), "`{name}` is {res:?} for {n} axes");
    Ok(res)
}

/// A window that moves over an image.
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Before each axis.
    pads: Vec<usize>,
    output: Vec<usize>,
}

impl Window {
    /// Reads the attributes of a pooling operator over `image`.
    fn read(call: &Call<'_>, kernel: Vec<usize>, image: &[usize]) -> TractResult<Self> {
        let n = image.len();
        ensure!(kernel.len() == n && kernel.iter().all(|&it| it > 0), "a kernel of {kernel:?} for {n} axes");
        let (strides, dilations) = (per_axis(call, "strides", n)?, per_axis(call, "dilations", n)?);
        let given = sizes(call.int_list("pads").unwrap_or(&vec![0; 2 * n]))?;
        ensure!(given.len() == 2 * n, "`pads` is {given:?} for {n} axes");
        let auto = call.text("auto_pad", "NOTSET");
        let (mut pads, mut output) = (Vec::new(), Vec::new());
        for axis in 0..n {
            let reach = (kernel[axis] - 1)
                .checked_mul(dilations[axis])
                .and_then(|it| it.checked_add(1))
                .context("a kernel is too large")?;
            let (size, stride) = (image[axis], strides[axis]);
            let total = |n_out: usize| ((n_out.max(1) - 1) * stride + reach).saturating_sub(size);
            let (before, after) = match auto {
                "NOTSET" | "" => (given[axis], given[n + axis]),
                "VALID" => (0, 0),
                "SAME_UPPER" => (total(size.div_ceil(stride)) / 2, total(size.div_ceil(stride)).div_ceil(2)),
                "SAME_LOWER" => (total(size.div_ceil(stride)).div_ceil(2), total(size.div_ceil(stride)) / 2),
                other => bail!("auto_pad {other:?} is not known"),
            };
            let padded =
                size.checked_add(before).and_then(|it| it.checked_add(after)).context("the pads are too large")?;
            let room = padded.checked_sub(reach).with_context(|| format!("a kernel over {reach} in {padded}"))?;
            let mut n_out = if call.flag("ceil_mode") { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that starts in the padding behind the image is left out.
            if call.flag("ceil_mode") && (n_out - 1) * stride >= size + before {
                n_out -= 1;
            }
            pads.push(before);
            output.push(n_out);
        }
        Ok(Self { kernel, strides, dilations, pads, output })
    }

    /// Returns where an element of the kernel falls, unless that is in the padding.
    fn position(&self, output: &[usize], kernel: &[usize], image: &[usize]) -> Option<Vec<usize>> {
        let at = |axis: usize| {
            let padded = output[axis] * self.strides[axis] + kernel[axis] * self.dilations[axis];
            padded.checked_sub(self.pads[axis]).filter(|&it| it < image[axis])
        };
        (0..image.len()).map(at).collect()
    }
}

/// `(Σ |x|^p)^(1/p)` over windows.
pub(super) fn lp_pool(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.floats(0)?;
    ensure!(input.ndim() > 2, "there are no spatial axes");
    let image = input.shape()[2..].to_vec();
    let window =
        Window::read(call, sizes(call.int_list("kernel_shape").context("`kernel_shape` is missing")?)?, &image)?;
    let p = i32::try_from(call.int("p", 2))?;
    ensure!(p > 0, "there is no norm of order {p}");
    let n_kernel = checked_len(&window.kernel)?;
    let mut res = full(&[&input.shape()[..2], &*window.output].concat(), 0.0)?;
    for (position, value) in res.indexed_iter_mut() {
        let position = position.slice();
        let elements =
            (0..n_kernel).filter_map(|it| window.position(&position[2..], &unravel(it, &window.kernel), &image));
        let sum: f64 = elements.map(|it| input[&*[&position[..2], &*it].concat()].abs().powi(p)).sum();
        *value = sum.powf(1.0 / f64::from(p));
    }
    Ok(vec![call.like(0, res)?])
}

/// Adds columns of patches up to an image.
pub(super) fn column_to_image(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.floats(0)?;
    let (image, block) =
        (sizes(&call.maybe_ints(1)?.unwrap_or_default())?, sizes(&call.maybe_ints(2)?.unwrap_or_default())?);
    let window = Window::read(call, block, &image)?;
    let (n_block, n_positions) = (checked_len(&window.kernel)?, checked_len(&window.output)?);
    let &[batch, width, columns] = input.shape() else {
        bail!("columns of shape {:?}", input.shape());
    };
    ensure!(
        width % n_block == 0 && columns == n_positions,
        "{:?} are no columns of {n_positions} patches of {n_block}",
        input.shape()
    );
    let channels = width / n_block;
    let mut res = full(&[&[batch, channels], &*image].concat(), 0.0)?;
    for (position, &value) in input.indexed_iter() {
        let (row, channel, element, column) = (position[0], position[1] / n_block, position[1] % n_block, position[2]);
        let at = window.position(&unravel(column, &window.output), &unravel(element, &window.kernel), &image);
        if let Some(at) = at {
            res[&*[&[row, channel], &*at].concat()] += value;
        }
    }
    Ok(vec![call.like(0, res)?])
}

/// Puts pooled values back to where they came from.
pub(super) fn max_unpool(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (input, indices) = (call.floats(0)?, call.ints(1)?);
    ensure!(
        input.shape() == indices.shape() && input.ndim() > 2,
        "values {:?} and indices {:?}",
        input.shape(),
        indices.shape()
    );
    let n = input.ndim() - 2;
    let kernel = sizes(call.int_list("kernel_shape").context("`kernel_shape` is missing")?)?;
    let strides = per_axis(call, "strides", n)?;
    let pads = sizes(call.int_list("pads").unwrap_or(&vec![0; 2 * n]))?;
    ensure!(kernel.len() == n && pads.len() == 2 * n, "the attributes do not fit {n} axes");
    let mut inferred = input.shape().to_vec();
    for axis in 0..n {
        let size =
            (inferred[axis + 2].max(1) - 1).checked_mul(strides[axis]).and_then(|it| it.checked_add(kernel[axis]));
        inferred[axis + 2] =
            size.and_then(|it| it.checked_sub(pads[axis] + pads[n + axis])).context("the pads are too large")?;
    }
    let n_inferred = checked_len(&inferred)?;
    let shape = match call.maybe_ints(2)? {
        Some(it) => sizes(&it)?,
        None => inferred.clone(),
    };
    let mut res = full(&shape, 0.0)?;
    ensure!(shape.len() == inferred.len(), "an output shape of {shape:?}");
    for (&index, &value) in indices.iter().zip(&input) {
        // Indices count in the image that was pooled, which a larger output shape surrounds with zeros.
        let index =
            usize::try_from(index).ok().filter(|&it| it < n_inferred).context("an index is outside of the image")?;
        match res.get_mut(&*unravel(index, &inferred)) {
            Some(it) => *it = value,
            None => bail!("an index is outside of the output"),
        }
    }
    Ok(vec![call.like(0, res)?])
}

/// Blocks of the channels become blocks of pixels.
pub(super) fn depth_to_space(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (input, block) = blocks(call)?;
    let (batch, channels, height, width) = dims(&input)?;
    ensure!(channels % (block * block) == 0, "{channels} channels do not divide into blocks of {block}");
    let depth = channels / (block * block);
    let (split, order) = match call.text("mode", "DCR") {
        "DCR" => ([batch, block, block, depth, height, width], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([batch, depth, block, block, height, width], [0, 1, 4, 2, 5, 3]),
        other => bail!("mode {other:?} is not known"),
    };
    let res =
        reshape(reshape(input, &split)?.permuted_axes(order.to_vec()), &[batch, depth, height * block, width * block])?;
    Ok(vec![call.like(0, res)?])
}

/// Blocks of pixels become channels.
pub(super) fn space_to_depth(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (input, block) = blocks(call)?;
    let (batch, depth, height, width) = dims(&input)?;
    ensure!(height % block == 0 && width % block == 0, "{height} by {width} do not divide into blocks of {block}");
    let (height, width) = (height / block, width / block);
    let order = match call.text("mode", "DCR") {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => bail!("mode {other:?} is not known"),
    };
    let split = reshape(input, &[batch, depth, height, block, width, block])?.permuted_axes(order.to_vec());
    Ok(vec![call.like(0, reshape(split, &[batch, depth * block * block, height, width])?)?])
}

fn blocks(call: &Call<'_>) -> TractResult<(ArrayD<f64>, usize)> {
    let block = usize::try_from(call.int("blocksize", 0))?;
    ensure!((1..1 << 16).contains(&block), "blocks of {block}");
    Ok((call.floats(0)?, block))
}

fn dims(input: &ArrayD<f64>) -> TractResult<(usize, usize, usize, usize)> {
    match *input.shape() {
        [batch, channels, height, width] => Ok((batch, channels, height, width)),
        _ => bail!("a tensor of shape {:?} is no batch of images", input.shape()),
    }
}

/// Cuts or fills up around the center.
pub(super) fn center_crop_pad(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut tensor = (**call.tensor(0)?).clone();
    let wanted = sizes(&call.maybe_ints(1)?.context("the shape is missing")?)?;
    let axes = match call.int_list("axes") {
        Some(it) => it.iter().map(|&it| call.axis(it, tensor.rank())).collect::<TractResult<Vec<_>>>()?,
        None => (0..tensor.rank()).collect(),
    };
    ensure!(axes.len() == wanted.len(), "{} sizes for {} axes", wanted.len(), axes.len());
    for (axis, wanted) in axes.into_iter().zip(wanted) {
        let size = tensor.shape()[axis];
        if wanted <= size {
            let start = (size - wanted) / 2;
            tensor = tensor.slice(axis, start, start + wanted)?;
            continue;
        }
        let before = (wanted - size) / 2;
        let zeros = |n: usize| {
            let mut shape = tensor.shape().to_vec();
            shape[axis] = n;
            checked_len(&shape)?;
            Tensor::zero_dt(tensor.datum_type(), &shape)
        };
        tensor = concat(&[zeros(before)?, tensor.clone(), zeros(wanted - size - before)?], axis)?;
    }
    Ok(vec![tensor.into()])
}

/// The positions to sample an image at so that it is transformed by a matrix.
pub(super) fn affine_grid(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let theta = call.floats(0)?;
    let size = sizes(&call.maybe_ints(1)?.context("the size is missing")?)?;
    ensure!(size.len() == 4 || size.len() == 5, "a size of {size:?} is neither of images nor of volumes");
    let n = size.len() - 2;
    ensure!(theta.shape() == [size[0], n, n + 1], "matrices of shape {:?} for {size:?}", theta.shape());
    let is_aligned = call.flag("align_corners");
    let shape = [&size[..1], &size[2..], &[n]].concat();
    let mut res = full(&shape, 0.0)?;
    for (position, value) in res.indexed_iter_mut() {
        let (row, coordinate) = (position[0], position[n + 1]);
        // Coordinates go from the last axis to the first.
        let place = |axis: usize| {
            let (at, length) = (position[n - axis] as f64, size[n + 1 - axis] as f64);
            match (is_aligned, length) {
                (true, 1.0) => 0.0,
                (true, _) => -1.0 + 2.0 * at / (length - 1.0),
                (false, _) => -1.0 + (2.0 * at + 1.0) / length,
            }
        };
        let sum: f64 = (0..n).map(|axis| theta[[row, coordinate, axis]] * place(axis)).sum();
        *value = sum + theta[[row, coordinate, n]];
    }
    Ok(vec![call.like(0, res)?])
}

/// Fills up around a tensor, in all four modes and for any axes.
pub(super) fn pad(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut tensor = (**call.tensor(0)?).clone();
    let rank = tensor.rank();
    let given = |name: &str| call.int_list(name).map(<[i64]>::to_vec);
    let pads = if call.version() >= 11 { call.maybe_ints(1)? } else { given("pads").or_else(|| given("paddings")) };
    let pads = pads.context("the pads are missing")?;
    let axes = match call.maybe_ints(3)? {
        Some(it) => it.into_iter().map(|it| call.axis(it, rank)).collect::<TractResult<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    ensure!(pads.len() == 2 * axes.len(), "{} pads for {} axes", pads.len(), axes.len());
    let fill = match call.maybe_tensor(2)? {
        Some(it) => it.cast_to_dt(tensor.datum_type())?.into_owned(),
        None => tract_onnx::prelude::tensor0(call.float("value", 0.0)).cast_to_dt(tensor.datum_type())?.into_owned(),
    };
    ensure!(fill.len() == 1, "the value to fill with has {} elements", fill.len());
    let mode = call.text("mode", "constant").to_string();
    for (idx, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[idx], pads[axes.len() + idx]);
        // What is cut off is no part of what is repeated.
        let cut = |it: i64| usize::try_from(it.min(0).unsigned_abs());
        let end =
            tensor.shape()[axis].checked_sub(cut(after)?).filter(|it| cut(before).is_ok_and(|start| start <= *it));
        let (start, end) = (cut(before)?, end.context("the pads leave nothing")?);
        tensor = match &mut tensor.shape().to_vec()[..] {
            // A slice of nothing is none.
            shape if start == end => {
                shape[axis] = 0;
                Tensor::zero_dt(tensor.datum_type(), shape)?
            }
            _ => tensor.slice(axis, start, end)?,
        };
        let (before, after) = (before.max(0), after.max(0));
        let size = i64::try_from(tensor.shape()[axis])?;
        let total = size.checked_add(before).and_then(|it| it.checked_add(after)).filter(|&it| it >= 0);
        let total = usize::try_from(total.context("the pads leave nothing")?)?;
        let mut shape = tensor.shape().to_vec();
        shape[axis] = total;
        checked_len(&shape)?;
        let mut parts: Vec<Tensor> = Vec::with_capacity(total);
        shape[axis] = 1;
        let filled = fill.clone().into_shape(&[])?.broadcast_scalar_to_shape(&shape)?;
        for to in 0..i64::try_from(total)? {
            let from = to - before;
            let source = match &*mode {
                _ if (0..size).contains(&from) => Some(from),
                "constant" => None,
                _ if size == 0 => bail!("there is nothing to repeat"),
                "edge" => Some(from.clamp(0, size - 1)),
                "wrap" => Some(from.rem_euclid(size)),
                "reflect" if size == 1 => Some(0),
                "reflect" => {
                    let period = 2 * (size - 1);
                    let at = from.rem_euclid(period);
                    Some(if at < size { at } else { period - at })
                }
                other => bail!("mode {other:?} is not known"),
            };
            parts.push(match source {
                Some(it) => tensor.slice(axis, usize::try_from(it)?, usize::try_from(it)? + 1)?,
                None => filled.clone(),
            });
        }
        shape[axis] = 0;
        tensor = if parts.is_empty() { Tensor::zero_dt(tensor.datum_type(), &shape)? } else { concat(&parts, axis)? };
    }
    Ok(vec![tensor.into()])
}
