//! `DeformConv`: a convolution of what is at places that come from the data.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, OutletId, TValue, TVec, Tensor, TractResult, TypedFact, TypedModel,
        tract_ndarray::Array3, tvec,
    },
    tract_core::{
        num_traits::Float,
        ops::{cast::Cast, change_axes::AxisOp, einsum::EinSum, math},
    },
    tract_hir::internal::{
        DimLike, EvalContext, EvalOp, Op, StaticName, ToDim, TractErrorContext, TypedOp, as_op, bail, ensure,
        op_as_typed_op, op_out_of_plan,
    },
};

use super::{Built, deconvolution::each};
use crate::tract::{
    attributes::{int, ints, label},
    axes::reach,
    wired::{Chain, wired},
};

#[derive(Clone, Debug)]
struct Deformable {
    has_bias: bool,
    has_mask: bool,
    n_groups: usize,
    n_offset_groups: usize,
    kernel: Vec<usize>,
    pads: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
}

/// Returns the operator for a node of `DeformConv`.
pub(super) fn parse(_context: &ParsingContext, node: &NodeProto) -> Built {
    let sizes = |name: &str| -> TractResult<Vec<usize>> {
        let sizes = ints(node, name).iter().map(|&it| usize::try_from(it));
        sizes.collect::<Result<_, _>>().with_context(|| format!("{} has a negative number in `{name}`", label(node)))
    };
    let has = |idx: usize| node.input.get(idx).is_some_and(|it| !it.is_empty());
    let op = Deformable {
        has_bias: has(3),
        has_mask: has(4),
        n_groups: usize::try_from(int(node, "group").unwrap_or(1))?,
        n_offset_groups: usize::try_from(int(node, "offset_group").unwrap_or(1))?,
        kernel: sizes("kernel_shape")?,
        pads: sizes("pads")?,
        strides: sizes("strides")?,
        dilations: sizes("dilations")?,
    };
    Ok((wired("DeformConv", &[], move |prefix, model, inputs| op.wire(prefix, model, inputs)), vec![]))
}

impl Deformable {
    /// Takes what is at the places for an image with a channel for each number of the kernel, which the weights are multiplied with.
    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let n = 3 + usize::from(self.has_bias) + usize::from(self.has_mask);
        ensure!(inputs.len() == n, "a deformable convolution has {} inputs, not {n}", inputs.len());
        let image = model.outlet_fact(inputs[0])?.clone();
        let (weights, places) = (lengths(model, inputs[1])?, &model.outlet_fact(inputs[2])?.shape);
        let (&[n_made, n_taken, height, width], [_, _, rows, columns]) = (&*weights, &**places) else {
            bail!("weights of shape {weights:?} and offsets of shape {places:?} are not those of images");
        };
        let (rows, columns) = (rows.to_usize()?, columns.to_usize()?);
        let of_kernel = self.kernel.is_empty() || self.kernel == [height, width];
        ensure!(of_kernel, "weights of {height} by {width} for a kernel of {:?}", self.kernel);
        let groups = self.n_groups;
        ensure!(groups > 0 && n_made.is_multiple_of(groups), "{n_made} channels in {groups} groups");
        let n_channels = n_taken * groups;
        ensure!(image.shape.get(1) == Some(&n_channels.to_dim()), "{n_channels} channels are needed");
        let [pads, strides, dilations] =
            [(&self.pads, 4, 0), (&self.strides, 2, 1), (&self.dilations, 2, 1)].map(|(it, n, of)| each(it, n, of));
        let (pads, strides, dilations) = (pads?, strides?, dilations?);
        let axis = |it: usize| {
            let (size, before, after) = ([height, width][it], pads[it], pads[it + 2]);
            let (stride, dilation) = (strides[it], dilations[it]);
            ensure!(stride > 0 && dilation > 0, "a stride or dilation is 0");
            Ok(Axis { size, before, after, stride, reach: reach(size, dilation)?, dilation })
        };
        let op = Places { axes: [axis(0)?, axis(1)?], n_offset_groups: self.n_offset_groups, has_mask: self.has_mask };
        // Sums of half precision lose their digits on the way.
        let of = image.datum_type;
        let wide = if of == DatumType::F64 { of } else { DatumType::F32 };
        let mut chain = Chain::new(prefix, model);
        let inputs = inputs.iter().map(|it| chain.add_unlike(Cast::new(wide), &[*it]));
        let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
        let taken = [&inputs[..1], &inputs[2..3], if self.has_mask { &inputs[n - 1..] } else { &[] }].concat();
        let taken = chain.add_unlike(op, &taken)?;
        let (n_each, n_summed) = (n_made / groups, n_taken * height * width);
        let taken = chain.add_unlike(reshape(1, &[groups * n_summed], &[groups, n_summed]), &[taken])?;
        let weights = chain.add_unlike(reshape(1, &[n_taken, height, width], &[n_summed]), &[inputs[1]])?;
        let weights = chain.add_unlike(reshape(0, &[n_made], &[1, groups, n_each]), &[weights])?;
        let sums = chain.add_unlike(EinSum::new("ngmk,ngkp->ngmp".parse()?, wide), &[weights, taken])?;
        let sums = chain.add_unlike(reshape(1, &[groups, n_each], &[n_made]), &[sums])?;
        let mut res = chain.add_unlike(reshape(2, &[rows * columns], &[rows, columns]), &[sums])?;
        if self.has_bias {
            let bias = chain.add_unlike(reshape(0, &[n_made], &[1, n_made, 1, 1]), &[inputs[3]])?;
            res = chain.add(math::add(), &[res, bias])?;
        }
        Ok(tvec!(chain.add_unlike(Cast::new(of), &[res])?))
    }
}

/// Splits or joins the lengths of axes from this one on.
fn reshape(axis: usize, from: &[usize], to: &[usize]) -> AxisOp {
    let dims = |of: &[usize]| of.iter().map(|it| it.to_dim()).collect();
    AxisOp::Reshape(axis, dims(from), dims(to))
}

fn lengths(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<usize>> {
    let shape = model.outlet_fact(outlet)?.shape.as_concrete().map(<[usize]>::to_vec);
    shape.context("the shape of the weights is not known")
}

/// How a kernel moves along an axis of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Axis {
    size: usize,
    before: usize,
    after: usize,
    stride: usize,
    dilation: usize,
    reach: usize,
}

impl Axis {
    /// Returns how many places there are for the kernel.
    fn n_places(&self, len: usize) -> Option<usize> {
        let padded = len.checked_add(self.before)?.checked_add(self.after)?;
        Some(padded.checked_sub(self.reach)? / self.stride + 1)
    }

    /// Returns where a number of the kernel is, before it is moved.
    fn place<T: Float>(&self, step: usize, idx: usize) -> T {
        let number = |it: usize| T::from(it).unwrap_or_else(T::infinity);
        number(step * self.stride + idx * self.dilation) - number(self.before)
    }
}

/// Takes what is between the numbers of an image: for each channel and number of the kernel, at all places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    axes: [Axis; 2],
    n_offset_groups: usize,
    has_mask: bool,
}

/// The four numbers around a place, and their shares; one behind the image is 0.
#[derive(Clone, Copy)]
struct Around<T> {
    at: [usize; 4],
    shares: [T; 4],
}

impl<T: Float> Around<T> {
    fn new([y, x]: [T; 2], [height, width]: [usize; 2]) -> Self {
        let is_outside = |it: T, len: usize| it <= -T::one() || T::from(len).is_some_and(|len| it >= len);
        let none = [height * width; 4];
        if is_outside(y, height) || is_outside(x, width) {
            return Self { at: none, shares: [T::zero(); 4] };
        }
        let (low_y, low_x) = (y.floor(), x.floor());
        let (Some(row), Some(column)) = (low_y.to_isize(), low_x.to_isize()) else {
            // No number is no place.
            return Self { at: none, shares: [T::nan(); 4] };
        };
        let (below, right) = (y - low_y, x - low_x);
        let at = |y: isize, x: isize| {
            let inside = |it: isize, len: usize| usize::try_from(it).ok().filter(|it| *it < len);
            inside(y, height).zip(inside(x, width)).map_or(height * width, |(y, x)| y * width + x)
        };
        let (above, left) = (T::one() - below, T::one() - right);
        Self {
            at: [at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)],
            shares: [above * left, above * right, below * left, below * right],
        }
    }

    fn of(&self, pixels: &[T]) -> T {
        let pixel = |it: usize| pixels.get(it).copied().unwrap_or_else(T::zero);
        self.at.iter().zip(self.shares).fold(T::zero(), |sum, (at, share)| sum + share * pixel(*at))
    }
}

impl Places {
    fn take<T: Datum + Float>(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let (&[n_images, n_channels, height, width], &[_, _, rows, columns]) = (inputs[0].shape(), inputs[1].shape())
        else {
            bail!("images and offsets have four axes")
        };
        let [down, across] = &self.axes;
        let (n_groups, n_kernel, n_places) = (self.n_offset_groups, down.size * across.size, rows * columns);
        let pixels = inputs[0].try_as_plain_ram()?.as_slice::<T>()?;
        let offsets = inputs[1].try_as_plain_ram()?.as_slice::<T>()?;
        let mask = inputs.get(2).map(|it| it.try_as_plain_ram()?.as_slice::<T>()).transpose()?;
        let mut res = vec![T::zero(); n_images * n_channels * n_kernel * n_places];
        let n_of_group = n_channels / n_groups;
        for of in 0..n_images * n_groups * n_kernel {
            let (group, idx) = (of / n_kernel, of % n_kernel);
            let moved = &offsets[2 * of * n_places..][..2 * n_places];
            let around: Vec<Around<T>> = (0..n_places)
                .map(|it| {
                    let y = down.place::<T>(it / columns, idx / across.size) + moved[it];
                    let x = across.place::<T>(it % columns, idx % across.size) + moved[n_places + it];
                    Around::new([y, x], [height, width])
                })
                .collect();
            let mask = mask.map(|it| &it[of * n_places..][..n_places]);
            for channel in group * n_of_group..(group + 1) * n_of_group {
                let pixels = &pixels[channel * height * width..][..height * width];
                let made = &mut res[(channel * n_kernel + idx) * n_places..][..n_places];
                for (place, (made, around)) in made.iter_mut().zip(&around).enumerate() {
                    *made = around.of(pixels) * mask.map_or_else(T::one, |it| it[place]);
                }
            }
        }
        Ok(Array3::from_shape_vec((n_images, n_channels * n_kernel, n_places), res)?.into_tensor())
    }
}

impl Op for Places {
    fn name(&self) -> StaticName {
        "DeformConv.places".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Places {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let facts: Vec<TypedFact> = inputs.iter().map(|it| TypedFact::shape_and_dt_of(it)).collect();
        self.output_facts(&facts.iter().collect::<Vec<_>>())?;
        let res = match inputs[0].datum_type() {
            DatumType::F64 => self.take::<f64>(&inputs)?,
            _ => self.take::<f32>(&inputs)?,
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Places {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (image, offsets) = (inputs[0], inputs[1]);
        ensure!(image.rank() == 4 && offsets.rank() == 4, "images and offsets have four axes");
        let [down, across] = &self.axes;
        let (rows, columns) = (offsets.shape[2].to_usize()?, offsets.shape[3].to_usize()?);
        let of = [image.shape[2].to_usize()?, image.shape[3].to_usize()?];
        ensure!(
            (down.n_places(of[0]), across.n_places(of[1])) == (Some(rows), Some(columns)),
            "offsets are {rows} by {columns}, which are not the places of the kernel in {} by {}",
            of[0],
            of[1]
        );
        let (n_channels, n_kernel) = (image.shape[1].to_usize()?, down.size * across.size);
        let n_groups = self.n_offset_groups;
        ensure!(n_groups > 0 && n_channels.is_multiple_of(n_groups), "{n_channels} channels in {n_groups} groups");
        let wanted = |n: usize| [image.shape[0].clone(), n.to_dim(), rows.to_dim(), columns.to_dim()];
        let (of_offsets, of_mask) = (2 * n_groups * n_kernel, n_groups * n_kernel);
        ensure!(*offsets.shape == wanted(of_offsets), "offsets are {:?}, not of {of_offsets} channels", offsets.shape);
        if self.has_mask {
            let mask = inputs[2];
            ensure!(*mask.shape == wanted(of_mask), "the mask is {:?}, not of {of_mask} channels", mask.shape);
        }
        let shape = [image.shape[0].clone(), (n_channels * n_kernel).to_dim(), (rows * columns).to_dim()];
        Ok(tvec!(TypedFact::dt_shape(image.datum_type, shape)))
    }

    as_op!();
}
