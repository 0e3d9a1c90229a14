//! `RoiAlign`: what is inside of boxes, each as an image of one size.
//!
//! Where the largest number is wanted, ONNX Runtime, the reference implementation and ONNX's own cases agree on the largest share that one
//! of the four numbers around a place has in it, and not on the largest of what is between them. So it is here.
//! A box with a corner that is not finite, which ONNX Runtime refuses, gives NaN; a NaN in the image, which it leaves out, is the largest
//! number.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, Tensor, TractResult, TypedFact,
        TypedModel, tract_ndarray::Array4, tvec,
    },
    tract_core::num_traits::Float,
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, ToDim, TractErrorContext, TypedOp, as_op, bail, ensure, op_as_typed_op,
        op_out_of_plan,
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, int, text},
    wired::wired,
};

/// The most places of a box at which the image is looked at: those of one over 2048 by 2048 numbers, where there is one for each.
const MAX_PLACES: usize = 1 << 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    Mean,
    Largest,
}

#[derive(Clone, Debug, PartialEq)]
struct Regions {
    pooling: Pooling,
    /// Of each answer.
    height: usize,
    width: usize,
    /// The places in a bin along an axis; 0 is about one for each number of the image.
    n_places: usize,
    scale: f32,
    /// Places are those of the middles of pixels; else no box has a side below 1.
    is_half_pixel: bool,
}

impl Eq for Regions {}

/// Returns the operator for a node of `RoiAlign`.
pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let size = |name: &str, default: i64| usize::try_from(int(node, name).unwrap_or(default));
    let transform = text(node, "coordinate_transformation_mode").unwrap_or("half_pixel").to_ascii_lowercase();
    let op = Regions {
        pooling: match &*text(node, "mode").unwrap_or("avg").to_ascii_lowercase() {
            "avg" => Pooling::Mean,
            "max" => Pooling::Largest,
            other => bail!("mode {other:?} is not known"),
        },
        height: size("output_height", 1)?,
        width: size("output_width", 1)?,
        n_places: size("sampling_ratio", 0)?,
        scale: float(node, "spatial_scale").unwrap_or(1.0),
        is_half_pixel: match &*transform {
            _ if context.onnx_operator_set_version < 16 => false,
            "half_pixel" => true,
            "output_half_pixel" => false,
            other => bail!("coordinate_transformation_mode {other:?} is not known"),
        },
    };
    let n_bins = op.height.checked_mul(op.width).filter(|it| (1..=MAX_PLACES).contains(it));
    ensure!(n_bins.is_some(), "answers of {} by {}", op.height, op.width);
    ensure!(op.scale > 0.0 && op.scale.is_finite(), "spatial_scale is {}", op.scale);
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        ensure!(inputs.len() == 3, "it has {} inputs, not 3", inputs.len());
        model.wire_node(prefix, op.clone(), inputs)
    };
    Ok((wired("RoiAlign", &[], wire), vec![]))
}

/// The two numbers of an axis that are around a place, and the share that each has in it.
#[derive(Clone, Copy)]
struct Around<T> {
    at: [usize; 2],
    shares: [T; 2],
}

/// The places in the bins along an axis, as many in each; none is one outside of the image.
struct Axis<T> {
    places: Vec<Option<Around<T>>>,
    n_in_bin: usize,
}

/// A box along an axis.
#[derive(Clone, Copy)]
struct Span<T> {
    start: T,
    extent: T,
    n_bins: usize,
    n_in_bin: usize,
}

/// Returns an integer as a number.
fn number<T: Float>(it: usize) -> T {
    T::from(it).unwrap_or_else(T::infinity)
}

impl<T: Float> Span<T> {
    /// Returns what is in a box that has a finite size.
    fn new(op: &Regions, [start, end]: [T; 2], n_bins: usize) -> Option<Self> {
        let extent = if op.is_half_pixel { end - start } else { (end - start).max(T::one()) };
        // Of a box that ends before it starts there is nothing.
        let per_bin = (extent / number(n_bins)).ceil().max(T::zero());
        let n_in_bin = if op.n_places > 0 { op.n_places } else { per_bin.to_usize().unwrap_or(usize::MAX) };
        (start.is_finite() && end.is_finite() && extent.is_finite()).then_some(Self { start, extent, n_bins, n_in_bin })
    }

    fn n_places(&self) -> Option<usize> {
        self.n_bins.checked_mul(self.n_in_bin)
    }

    /// Returns the places in an image of this length.
    fn axis(&self, len: usize) -> Axis<T> {
        let Self { start, extent, n_bins, n_in_bin } = *self;
        let bin = extent / number(n_bins);
        let half = T::one() / number(2);
        let place = |of_bin: usize, it: usize| {
            start + number::<T>(of_bin) * bin + (number::<T>(it) + half) * bin / number(n_in_bin)
        };
        let places = (0..n_bins).flat_map(|of_bin| (0..n_in_bin).map(move |it| (of_bin, it)));
        Axis { places: places.map(|(of_bin, it)| around(place(of_bin, it), len)).collect(), n_in_bin }
    }
}

/// Returns what is around a place; the numbers at the edges reach one further.
fn around<T: Float>(place: T, len: usize) -> Option<Around<T>> {
    if place < -T::one() || place > number(len) {
        return None;
    }
    let place = place.max(T::zero());
    let low = place.to_usize()?;
    if low + 1 >= len {
        return Some(Around { at: [len - 1; 2], shares: [T::one(), T::zero()] });
    }
    let behind = place - number(low);
    Some(Around { at: [low, low + 1], shares: [T::one() - behind, behind] })
}

impl Regions {
    fn pooled<T: Datum + Float>(&self, images: &Tensor, boxes: &Tensor, batches: &[i64]) -> TractResult<Tensor> {
        let (images, boxes) = (images.cast_to::<T>()?, boxes.cast_to::<T>()?);
        let &[n_images, n_channels, height, width] = images.shape() else { bail!("images have four axes") };
        let shape = boxes.shape();
        ensure!(shape == [batches.len(), 4], "boxes are {shape:?}, and there are images of {}", batches.len());
        ensure!(height > 0 && width > 0 || batches.is_empty(), "there is nothing in images of {height} by {width}");
        let (pixels, boxes) = (images.try_as_plain_ram()?.as_slice::<T>()?, boxes.try_as_plain_ram()?.as_slice::<T>()?);
        let n_bins = self.height * self.width;
        let mut res: Vec<T> = Vec::new();
        for (corners, batch) in boxes.as_chunks::<4>().0.iter().zip(batches) {
            let image = usize::try_from(*batch).ok().filter(|it| *it < n_images);
            let image = image.with_context(|| format!("a box is of image {batch}, and there are {n_images}"))?;
            let offset = if self.is_half_pixel { T::one() / number(2) } else { T::zero() };
            let scale = T::from(self.scale).unwrap_or_else(T::nan);
            let [left, top, right, bottom] = corners.map(|it| it * scale - offset);
            let spans = Span::new(self, [top, bottom], self.height).zip(Span::new(self, [left, right], self.width));
            let Some((down, across)) = spans else {
                res.extend(std::iter::repeat_n(T::nan(), n_channels * n_bins));
                continue;
            };
            let n_places = down.n_places().zip(across.n_places()).and_then(|(a, b)| a.max(1).checked_mul(b.max(1)));
            ensure!(
                n_places.is_some_and(|it| it <= MAX_PLACES),
                "a box is so large that the image is looked at more than {MAX_PLACES} times"
            );
            let (down, across) = (down.axis(height), across.axis(width));
            for channel in 0..n_channels {
                let start = (image * n_channels + channel) * height * width;
                let pixels = &pixels[start..start + height * width];
                let bin = |it: usize| self.bin(pixels, width, (&down, it / self.width), (&across, it % self.width));
                res.extend((0..n_bins).map(bin));
            }
        }
        Ok(Array4::from_shape_vec((batches.len(), n_channels, self.height, self.width), res)?.into_tensor())
    }

    /// Returns what a bin has of an image.
    fn bin<T: Float>(
        &self,
        pixels: &[T],
        width: usize,
        (down, row): (&Axis<T>, usize),
        (across, column): (&Axis<T>, usize),
    ) -> T {
        let rows = &down.places[row * down.n_in_bin..][..down.n_in_bin];
        let columns = &across.places[column * across.n_in_bin..][..across.n_in_bin];
        let mut res = None;
        for (y, x) in rows.iter().flat_map(|y| columns.iter().map(move |x| (y, x))) {
            // As ONNX Runtime adds them.
            let [a, b, c, d] = match (y, x) {
                (Some(y), Some(x)) => [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(i, j)| y.shares[i] * x.shares[j] * pixels[y.at[i] * width + x.at[j]]),
                _ => [T::zero(); 4],
            };
            res = Some(match (self.pooling, res) {
                (Pooling::Mean, sum) => sum.unwrap_or_else(T::zero) + (a + b + c + d),
                (Pooling::Largest, None) => larger(larger(a, b), larger(c, d)),
                (Pooling::Largest, Some(it)) => larger(it, larger(larger(a, b), larger(c, d))),
            });
        }
        match (self.pooling, res) {
            (_, None) => T::zero(),
            (Pooling::Mean, Some(sum)) => sum / number(down.n_in_bin * across.n_in_bin),
            (Pooling::Largest, Some(it)) => it,
        }
    }
}

/// Returns the larger number; NaN is the largest.
fn larger<T: Float>(a: T, b: T) -> T {
    if a.is_nan() || a > b { a } else { b }
}

impl Op for Regions {
    fn name(&self) -> StaticName {
        "RoiAlign".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Regions {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let batches = inputs[2].cast_to::<i64>()?;
        let batches = batches.try_as_plain_ram()?.as_slice::<i64>()?;
        let of = inputs[0].datum_type();
        let res = match of {
            DatumType::F64 => self.pooled::<f64>(&inputs[0], &inputs[1], batches)?,
            _ => self.pooled::<f32>(&inputs[0], &inputs[1], batches)?.cast_to_dt(of)?.into_owned(),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Regions {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [images, boxes, _] = inputs else { bail!("it has {} inputs, not 3", inputs.len()) };
        ensure!(images.rank() == 4 && boxes.rank() == 2, "images have four axes, and boxes two");
        let shape = [boxes.shape[0].clone(), images.shape[1].clone(), self.height.to_dim(), self.width.to_dim()];
        Ok(tvec!(TypedFact::dt_shape(images.datum_type, shape)))
    }

    as_op!();
}
