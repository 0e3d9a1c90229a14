//! Operators that add axes, cut parts of them out, and put tensors side by side.
//!
//! tract counts an axis from the end of the shape before it is there, cuts nothing where a size is -1, and knows neither of the ellipsis
//! nor of the new axes of a slice.

use std::ops::Range;

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, TractResult, TypedModel, tvec},
    tract_core::ops::{
        array::{Slice, TypedConcat},
        cast::wire_cast,
        change_axes::AxisOp,
        downsample::Downsample,
    },
    tract_hir::{
        infer::InferenceOp,
        internal::{TractErrorContext, bail, ensure},
        ops::array::StridedSlice,
    },
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    tfpb::tensorflow::NodeDef,
};

use super::{arrays::one, int};
use crate::tract::{
    axes::{constant_integers, resolve_axis},
    wired::{several, wired},
};

type Built = TractResult<Box<dyn InferenceOp>>;

pub(super) fn register(register: &mut TfOpRegister) {
    register.insert("ExpandDims", |_, _| Ok(wired("ExpandDims", &[1], expand_dims)));
    register.insert("Pack", |_, node| {
        let axis = int(node, "axis").unwrap_or(0);
        Ok(wired("Pack", &[], move |prefix, model, inputs| pack(prefix, model, inputs, axis)))
    });
    register.insert("Slice", |_, _| Ok(wired("Slice", &[1, 2], slice)));
    register.insert("SplitV", split);
    register.insert("StridedSlice", strided_slice);
}

fn expand_dims(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 2, "ExpandDims has {} inputs", inputs.len());
    let axis = resolve_axis(one(model, inputs[1])?, model.outlet_fact(inputs[0])?.rank() + 1)?;
    model.wire_node(prefix, AxisOp::Add(axis), &inputs[..1])
}

fn pack(prefix: &str, model: &mut TypedModel, inputs: &[OutletId], axis: i64) -> TractResult<TVec<OutletId>> {
    let facts = inputs.iter().map(|it| model.outlet_fact(*it)).collect::<TractResult<Vec<_>>>()?;
    let dtype = DatumType::super_type_for(facts.iter().map(|it| it.datum_type)).context("types do not mix")?;
    let axis = resolve_axis(axis, facts[0].rank() + 1)?;
    let mut all = TVec::new();
    for (idx, it) in wire_cast(prefix, model, inputs, dtype)?.into_iter().enumerate() {
        all.extend(model.wire_node(format!("{prefix}.{idx}.deep"), AxisOp::Add(axis), &[it])?);
    }
    model.wire_node(prefix, TypedConcat::new(axis), &all)
}

/// A size of -1 is all that is left.
fn slice(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    ensure!(inputs.len() == 3, "Slice has {} inputs", inputs.len());
    let (starts, sizes) = (constant_integers(model, inputs[1])?, constant_integers(model, inputs[2])?);
    let rank = model.outlet_fact(inputs[0])?.rank();
    ensure!(
        starts.len() == rank && sizes.len() == rank,
        "{} starts and {} sizes for rank {rank}",
        starts.len(),
        sizes.len()
    );
    let mut wire = tvec!(inputs[0]);
    for (axis, (start, size)) in starts.into_iter().zip(sizes).enumerate() {
        if start == 0 && size == -1 {
            continue;
        }
        let len = length(model, wire[0], axis)?;
        let end = if size == -1 { len } else { start.saturating_add(size) };
        ensure!(0 <= start && start <= end && end <= len, "{size} from {start} on are cut out of {len}");
        let op = Slice { axis, start: start.into(), end: end.into() };
        wire = model.wire_node(format!("{prefix}.{axis}"), op, &wire)?;
    }
    Ok(wire)
}

fn length(model: &TypedModel, outlet: OutletId, axis: usize) -> TractResult<i64> {
    let dim = model.outlet_fact(outlet)?.shape[axis].clone();
    dim.to_i64().with_context(|| format!("the length {dim} of an axis is not known"))
}

/// Parts of these sizes, of which one may be -1: what the others leave.
fn split(context: &ParsingContext, node: &NodeDef) -> Built {
    let n = super::arrays::count(context, node, "num_split")?;
    Ok(several("SplitV", n, &[1, 2], move |prefix, model, inputs| {
        ensure!(inputs.len() == 3, "SplitV has {} inputs", inputs.len());
        let axis = resolve_axis(one(model, inputs[2])?, model.outlet_fact(inputs[0])?.rank())?;
        let len = length(model, inputs[0], axis)?;
        let mut sizes = constant_integers(model, inputs[1])?;
        ensure!(sizes.len() == n && sizes.iter().all(|it| *it >= -1), "the sizes {sizes:?} of {n} parts");
        let given = sizes.iter().filter(|it| **it >= 0).fold(0_i64, |acc, it| acc.saturating_add(*it));
        ensure!(sizes.iter().filter(|it| **it < 0).count() <= 1 && given <= len, "parts of {sizes:?} of {len}");
        sizes.iter_mut().filter(|it| **it < 0).for_each(|it| *it = len - given);
        ensure!(sizes.iter().sum::<i64>() == len, "parts of {sizes:?} of {len}");
        let mut start = 0;
        let mut parts = TVec::new();
        for (idx, size) in sizes.into_iter().enumerate() {
            let op = Slice { axis, start: start.into(), end: (start + size).into() };
            parts.extend(model.wire_node(format!("{prefix}.{idx}"), op, &inputs[..1])?);
            start += size;
        }
        Ok(parts)
    }))
}

/// The bits of a slice, one for each of its numbers.
#[derive(Clone, Copy)]
pub(in crate::tract) struct Masks {
    pub begin: i64,
    pub end: i64,
    pub ellipsis: i64,
    pub new_axis: i64,
    pub shrink_axis: i64,
}

fn strided_slice(_context: &ParsingContext, node: &NodeDef) -> Built {
    let mask = |name: &str| int(node, name).unwrap_or(0);
    let masks = Masks {
        begin: mask("begin_mask"),
        end: mask("end_mask"),
        ellipsis: mask("ellipsis_mask"),
        new_axis: mask("new_axis_mask"),
        shrink_axis: mask("shrink_axis_mask"),
    };
    if masks.ellipsis == 0 && masks.new_axis == 0 {
        return Ok(Box::new(StridedSlice {
            begin_mask: masks.begin,
            end_mask: masks.end,
            shrink_axis_mask: masks.shrink_axis,
            optional_axes_input: None,
            optional_steps_input: Some(3),
        }));
    }
    Ok(wired("StridedSlice", &[1, 2, 3], move |prefix, model, inputs| masks.wire(prefix, model, inputs)))
}

impl Masks {
    pub(in crate::tract) fn wire(
        self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        ensure!(inputs.len() == 4, "StridedSlice has {} inputs", inputs.len());
        let [begins, ends, strides] = [1, 2, 3].map(|it| constant_integers(model, inputs[it]));
        let (begins, ends, strides) = (begins?, ends?, strides?);
        let n = begins.len();
        ensure!(n <= 32 && ends.len() == n && strides.len() == n, "{n} begins, {} ends", ends.len());
        let is_set = |mask: i64, idx: usize| mask >> idx & 1 != 0;
        let takes_axis = |idx: &usize| !is_set(self.new_axis, *idx) && !is_set(self.ellipsis, *idx);
        let rank = model.outlet_fact(inputs[0])?.rank();
        let skipped = rank.checked_sub((0..n).filter(takes_axis).count());
        let skipped = skipped.with_context(|| format!("a slice of more than the {rank} axes that there are"))?;
        ensure!(self.ellipsis.count_ones() < 2, "a slice has more than one ellipsis");
        let mut wire = tvec!(inputs[0]);
        let mut axis = 0;
        for idx in 0..n {
            let name = format!("{prefix}.{idx}");
            if is_set(self.ellipsis, idx) {
                axis += skipped;
            } else if is_set(self.new_axis, idx) {
                wire = model.wire_node(name, AxisOp::Add(axis), &wire)?;
                axis += 1;
            } else if is_set(self.shrink_axis, idx) {
                let start = i64::try_from(resolve_axis(begins[idx], usize::try_from(length(model, wire[0], axis)?)?)?)?;
                let op = Slice { axis, start: start.into(), end: (start + 1).into() };
                wire = model.wire_node(format!("{name}.only"), op, &wire)?;
                wire = model.wire_node(name, AxisOp::Rm(axis), &wire)?;
            } else {
                let (begin, end) = (is_set(self.begin, idx), is_set(self.end, idx));
                let bounds =
                    [(begin, begins[idx]), (end, ends[idx])].map(|(is_left_out, it)| (!is_left_out).then_some(it));
                wire = self::stride(&name, model, &wire, axis, bounds, strides[idx])?;
                axis += 1;
            }
        }
        Ok(wire)
    }
}

/// Wires a slice of an axis as Python has it.
fn stride(
    prefix: &str,
    model: &mut TypedModel,
    wire: &[OutletId],
    axis: usize,
    bounds: [Option<i64>; 2],
    stride: i64,
) -> TractResult<TVec<OutletId>> {
    if bounds == [None; 2] && stride == 1 {
        return Ok(wire.into());
    }
    let Range { start, end } = range(length(model, wire[0], axis)?, bounds, stride)?;
    let op = Slice { axis, start: start.into(), end: end.into() };
    let wire = model.wire_node(format!("{prefix}.part"), op, wire)?;
    if stride == 1 {
        return Ok(wire);
    }
    model.wire_node(prefix, Downsample::new(axis, isize::try_from(stride)?, 0), &wire)
}

/// Returns what lies between the bounds of a slice, whichever way it goes.
fn range(len: i64, [begin, end]: [Option<i64>; 2], stride: i64) -> TractResult<Range<i64>> {
    let place = |it: i64| if it < 0 { it.saturating_add(len) } else { it };
    let res = match stride {
        0 => bail!("the stride of a slice is 0"),
        1.. => begin.map_or(0, place).clamp(0, len)..end.map_or(len, place).clamp(0, len),
        _ => end.map_or(-1, place).clamp(-1, len - 1) + 1..begin.map_or(len - 1, place).clamp(-1, len - 1) + 1,
    };
    Ok(if res.is_empty() { 0..0 } else { res })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_python() {
        // By `list(range(5))[begin:end:stride]` of Python.
        for (begin, end, stride, wanted) in [
            (None, None, -1, 0..5),
            (Some(-1), Some(0), -1, 1..5),
            (Some(1), Some(-1), 2, 1..4),
            (Some(100), Some(-100), -2, 0..5),
            (Some(4), Some(2), 1, 0..0),
            (Some(-9), Some(9), 1, 0..5),
            (Some(2), Some(4), -1, 0..0),
            (Some(i64::MAX), Some(i64::MIN), -1, 0..5),
        ] {
            assert_eq!(range(5, [begin, end], stride).unwrap(), wanted, "{begin:?}:{end:?}:{stride}");
        }
        assert!(range(5, [None, None], 0).is_err());
    }
}
