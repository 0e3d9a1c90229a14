//! Operators that move numbers around, or make them of lengths.

use std::iter::repeat_n;

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, tensor0, tensor1, tvec},
    tract_core::ops::{
        array::{Gather, GatherNd, Pad, PadMode, Slice, TypedConcat},
        cast::cast,
        change_axes::{AxisOp, perm_to_ops, to_axis_ops_with_tf_rules},
    },
    tract_hir::internal::{TDim, ToDim, TractErrorContext, ensure},
};
use tract_tensorflow::tfpb::tensorflow::DataType;
use tract_tflite::tflite::{BuiltinOperator as Op, MirrorPadMode, TensorType};

use super::{Call, Known, Wires, given, number, ours, text};
use crate::tract::{
    axes::{constant_integers, resolve_axes, resolve_axis},
    limits::MAX_ELEMENTS,
    tf_ops::{Masks, check_size},
};

#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    ours(Op::BATCH_TO_SPACE_ND, batch_to_space),
    ours(Op::BROADCAST_TO, |c| c.same("BroadcastTo", vec![])),
    ours(Op::CONCATENATION, concatenate),
    ours(Op::EMBEDDING_LOOKUP, |c| {
        let [places, table] = c.arguments()?;
        gather(c, table, places, 0)
    }),
    ours(Op::EXPAND_DIMS, |c| c.same("ExpandDims", vec![])),
    ours(Op::FILL, |c| {
        let [shape, value] = c.arguments()?;
        c.tensorflow("BroadcastTo", vec![], &[value, shape])
    }),
    ours(Op::GATHER, |c| {
        let (x, places) = (c.input(0)?, c.input(1)?);
        let options = c.node.builtin_options_as_gather_options();
        let (axis, batch_dims) = options.map_or((0, 0), |it| (it.axis(), it.batch_dims()));
        ensure!(batch_dims == 0, "its batch_dims is {batch_dims}");
        gather(c, x, places, axis)
    }),
    ours(Op::GATHER_ND, |c| {
        let [x, places] = c.arguments()?;
        let places = c.model.wire_node(format!("{}.places", c.prefix), cast(DatumType::I64), &[places])?[0];
        c.model.wire_node(c.prefix, GatherNd { batch_dims: 0 }, &[x, places])
    }),
    ours(Op::MIRROR_PAD, |c| {
        let options = given(c.node.builtin_options_as_mirror_pad_options())?;
        let mode = if options.mode() == MirrorPadMode::SYMMETRIC { "SYMMETRIC" } else { "REFLECT" };
        c.same("MirrorPad", vec![("mode", text(mode))])
    }),
    ours(Op::ONE_HOT, |c| {
        let [places, depth, _, _] = c.arguments()?;
        let axis = c.node.builtin_options_as_one_hot_options().map_or(-1, |it| it.axis());
        let dims = c.model.outlet_fact(places)?.shape.to_tvec();
        let depth = constant_integers(c.model, depth)?;
        check_size(c.prefix, c.model, places, dims.into_iter().chain(depth.iter().map(|it| it.to_dim())))?;
        c.same("OneHot", vec![("axis", number(axis))])
    }),
    ours(Op::PACK, |c| {
        let axis = c.node.builtin_options_as_pack_options().map_or(0, |it| it.axis());
        c.same("Pack", vec![("axis", number(axis))])
    }),
    ours(Op::PAD, |c| c.same("Pad", vec![])),
    ours(Op::PADV2, |c| c.same("PadV2", vec![])),
    ours(Op::RANGE, range),
    ours(Op::RANK, |c| {
        let [x] = c.arguments()?;
        let rank = i32::try_from(c.model.outlet_fact(x)?.rank())?;
        Ok(tvec!(c.model.add_const(c.prefix, tensor0(rank))?))
    }),
    ours(Op::RESHAPE, reshape),
    ours(Op::REVERSE_V2, |c| c.same("ReverseV2", vec![])),
    ours(Op::SHAPE, shape),
    ours(Op::SLICE, |c| c.same("Slice", vec![])),
    ours(Op::SPACE_TO_BATCH_ND, space_to_batch),
    ours(Op::SPLIT, |c| {
        let options = given(c.node.builtin_options_as_split_options())?;
        c.same("Split", vec![("num_split", number(options.num_splits()))])
    }),
    ours(Op::SPLIT_V, |c| {
        let options = given(c.node.builtin_options_as_split_voptions())?;
        c.same("SplitV", vec![("num_split", number(options.num_splits()))])
    }),
    ours(Op::SQUEEZE, squeeze),
    ours(Op::STRIDED_SLICE, strided_slice),
    ours(Op::TILE, |c| c.same("Tile", vec![])),
    ours(Op::TOPK_V2, |c| {
        c.same("TopKV2", vec![("index_type", DataType::DtInt32.into())])
    }),
    ours(Op::TRANSPOSE, |c| c.same("Transpose", vec![])),
    ours(Op::UNPACK, |c| {
        let options = given(c.node.builtin_options_as_unpack_options())?;
        c.same("Unpack", vec![("num", number(options.num())), ("axis", number(options.axis()))])
    }),
    ours(Op::ZEROS_LIKE, |c| c.same("ZerosLike", vec![])),
];

fn concatenate(c: &mut Call<'_, '_>) -> Wires {
    let all = c.every()?;
    let options = given(c.node.builtin_options_as_concatenation_options())?;
    let facts = all.iter().map(|it| Ok(c.model.outlet_fact(*it)?.clone())).collect::<TractResult<Vec<_>>>()?;
    let first = facts.first().context("it puts nothing side by side")?;
    ensure!(facts.iter().all(|it| it.datum_type == first.datum_type), "it mixes types");
    let axis = resolve_axis(options.axis().into(), first.rank())?;
    let wires = c.model.wire_node(c.prefix, TypedConcat::new(axis), &all)?;
    c.fused(wires, options.fused_activation_function())
}

fn gather(c: &mut Call<'_, '_>, x: OutletId, places: OutletId, axis: i32) -> Wires {
    let axis = resolve_axis(axis.into(), c.model.outlet_fact(x)?.rank())?;
    let places = c.model.wire_node(format!("{}.places", c.prefix), cast(DatumType::I64), &[places])?[0];
    c.model.wire_node(c.prefix, Gather { axis, output_type: None }, &[x, places])
}

/// The numbers from a start to before a limit.
fn range(c: &mut Call<'_, '_>) -> Wires {
    let [start, limit, step] = c.arguments()?;
    let constant = |it: OutletId| c.model.outlet_fact(it)?.konst.clone().context("its bounds must be constants");
    let (start, limit, step) = (constant(start)?, constant(limit)?, constant(step)?);
    ensure!([&start, &limit, &step].iter().all(|it| it.len() == 1), "its bounds are no numbers alone");
    let dtype = start.datum_type();
    let numbers: Tensor = if dtype.is_float() {
        let [start, limit, step] = [&start, &limit, &step].map(|it| it.cast_to_scalar::<f32>());
        let (start, limit, step) = (start?, limit?, step?);
        let n = ((limit - start) / step).ceil();
        // A step of 0 makes it a NaN or an infinity.
        ensure!((0.0..=MAX_ELEMENTS as f32).contains(&n), "it is from {start} to {limit} by {step}");
        tensor1(&(0..n as usize).map(|it| start + it as f32 * step).collect::<Vec<_>>())
    } else {
        let [start, limit, step] = [&start, &limit, &step].map(|it| it.cast_to_scalar::<i64>());
        let (start, limit, step) = (start?, limit?, step?);
        let goes = (step > 0 && start <= limit) || (step < 0 && start >= limit);
        let n = start.abs_diff(limit).div_ceil(step.unsigned_abs().max(1));
        ensure!(goes && n <= MAX_ELEMENTS, "it is from {start} to {limit} by {step}");
        tensor1(&(0..n as i64).map(|it| start + it * step).collect::<Vec<_>>())
    };
    let numbers = numbers.cast_to_dt(dtype)?.into_owned();
    Ok(tvec!(c.model.add_const(c.prefix, numbers)?))
}

/// The new shape is an input or, without one, an option.
fn reshape(c: &mut Call<'_, '_>) -> Wires {
    let x = c.input(0)?;
    let wanted = match c.optional(1) {
        Some(it) => constant_integers(c.model, it).context("its shape")?,
        None => {
            let options = given(c.node.builtin_options_as_reshape_options())?;
            options.new_shape().into_iter().flatten().map(i64::from).collect()
        }
    };
    let fact = c.model.outlet_fact(x)?.clone();
    let dims = fact.shape.as_concrete().context("the shape of its input is not known")?;
    let n: usize = dims.iter().product();
    let given =
        wanted.iter().filter(|it| **it != -1).try_fold(1_usize, |n, it| n.checked_mul(usize::try_from(*it).ok()?));
    let n_open = wanted.iter().filter(|it| **it == -1).count();
    let shape = given.and_then(|given| match n_open {
        0 => (given == n).then_some(0),
        1 => (given > 0 && n.is_multiple_of(given)).then(|| n / given),
        _ => None,
    });
    let open = shape.with_context(|| format!("{dims:?} does not become {wanted:?}"))?;
    let shape: Vec<TDim> = wanted.iter().map(|it| if *it == -1 { open.to_dim() } else { it.to_dim() }).collect();
    let from: Vec<TDim> = dims.iter().map(|it| it.to_dim()).collect();
    if from == shape {
        return Ok(tvec!(x));
    }
    let mut wire = tvec!(x);
    for (idx, op) in to_axis_ops_with_tf_rules(&from, &shape)?.into_iter().enumerate() {
        wire = c.model.wire_node(format!("{}.{idx}", c.prefix), op, &wire)?;
    }
    Ok(wire)
}

fn shape(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let dtype = c.node.builtin_options_as_shape_options().map(|it| it.out_type());
    let fact = c.model.outlet_fact(x)?.clone();
    let dims = fact.shape.as_concrete().context("the shape of its input is not known")?;
    let dims: Vec<i64> = dims.iter().map(|it| *it as i64).collect();
    let dtype = if dtype == Some(TensorType::INT64) { DatumType::I64 } else { DatumType::I32 };
    let dims = tensor1(&dims).cast_to_dt(dtype)?.into_owned();
    Ok(tvec!(c.model.add_const(c.prefix, dims)?))
}

/// Without axes, all of length 1 go.
fn squeeze(c: &mut Call<'_, '_>) -> Wires {
    let [x] = c.arguments()?;
    let options = c.node.builtin_options_as_squeeze_options();
    let axes: Vec<i64> = options.and_then(|it| it.squeeze_dims()).into_iter().flatten().map(i64::from).collect();
    let fact = c.model.outlet_fact(x)?.clone();
    let dims = fact.shape.as_concrete().context("the shape of its input is not known")?;
    let axes: Vec<usize> = if axes.is_empty() {
        (0..dims.len()).filter(|it| dims[*it] == 1).collect()
    } else {
        resolve_axes(&axes, dims.len())?
    };
    ensure!(axes.iter().all(|it| dims[*it] == 1), "it takes the axes {axes:?} out of {dims:?}");
    let mut wire = tvec!(x);
    for axis in axes.into_iter().rev() {
        wire = c.model.wire_node(format!("{}.{axis}", c.prefix), AxisOp::Rm(axis), &wire)?;
    }
    Ok(wire)
}

fn strided_slice(c: &mut Call<'_, '_>) -> Wires {
    let inputs = c.arguments::<4>()?;
    let options = given(c.node.builtin_options_as_strided_slice_options())?;
    let masks = Masks {
        begin: options.begin_mask().into(),
        end: options.end_mask().into(),
        ellipsis: options.ellipsis_mask().into(),
        new_axis: options.new_axis_mask().into(),
        shrink_axis: options.shrink_axis_mask().into(),
    };
    masks.wire(c.prefix, c.model, &inputs)
}

/// The blocks of an operator on blocks.
struct Blocks {
    x: OutletId,
    dims: Vec<usize>,
    /// Of each axis behind the rows.
    sizes: Vec<usize>,
    /// The numbers that go around or off each of them.
    amounts: Vec<[usize; 2]>,
}

fn blocks(c: &mut Call<'_, '_>) -> TractResult<Blocks> {
    let [x, sizes, amounts] = c.arguments()?;
    let [sizes, amounts] = [sizes, amounts].map(|it| -> TractResult<Vec<usize>> {
        let all = constant_integers(c.model, it)?;
        Ok(all.into_iter().map(usize::try_from).collect::<Result<_, _>>()?)
    });
    let (sizes, amounts) = (sizes?, amounts?);
    let fact = c.model.outlet_fact(x)?.clone();
    let dims = fact.shape.as_concrete().context("the shape of its input is not known")?.to_vec();
    ensure!(
        !sizes.is_empty() && sizes.len() < dims.len() && amounts.len() == 2 * sizes.len() && !sizes.contains(&0),
        "blocks of {sizes:?} with {amounts:?} around for {dims:?}"
    );
    Ok(Blocks { x, dims, sizes, amounts: amounts.as_chunks::<2>().0.to_vec() })
}

fn steps(c: &mut Call<'_, '_>, mut wire: OutletId, ops: impl IntoIterator<Item = AxisOp>) -> TractResult<OutletId> {
    for (idx, op) in ops.into_iter().enumerate() {
        wire = c.model.wire_node(format!("{}.{idx}", c.prefix), op, &[wire])?[0];
    }
    Ok(wire)
}

fn lengths(dims: &[usize]) -> TVec<TDim> {
    dims.iter().map(|it| it.to_dim()).collect()
}

/// Makes a row of each place in a block.
fn space_to_batch(c: &mut Call<'_, '_>) -> Wires {
    let Blocks { x, mut dims, sizes, amounts } = blocks(c)?;
    let mut pads = vec![(0, 0)];
    pads.extend(amounts.iter().map(|it| (it[0], it[1])));
    pads.extend(repeat_n((0, 0), dims.len() - pads.len()));
    for (dim, (before, after)) in dims.iter_mut().zip(&pads) {
        *dim = dim.saturating_add(*before).saturating_add(*after);
    }
    check_size(c.prefix, c.model, x, dims.iter().map(|it| it.to_dim()))?;
    let zero = Tensor::zero_scalar_dt(c.model.outlet_fact(x)?.datum_type)?;
    let op = Pad { pads, mode: PadMode::Constant(zero.into()) };
    let padded = c.model.wire_node(format!("{}.padded", c.prefix), op, &[x])?[0];
    let n = sizes.len();
    let fits = (0..n).all(|it| dims[it + 1].is_multiple_of(sizes[it]));
    ensure!(fits, "{dims:?} does not come out even in blocks of {sizes:?}");
    let mut split = vec![dims[0]];
    (0..n).for_each(|it| split.extend([dims[it + 1] / sizes[it], sizes[it]]));
    let places = (0..n).map(|it| 2 * it + 2);
    let order: Vec<usize> =
        places.chain([0]).chain((0..n).map(|it| 2 * it + 1)).chain(2 * n + 1..dims.len() + n).collect();
    let front: Vec<usize> = [&sizes[..], &[dims[0]]].concat();
    let ops = [AxisOp::Reshape(0, lengths(&dims[..=n]), lengths(&split))];
    let ops = ops.into_iter().chain(perm_to_ops(&order));
    let n_rows = front.iter().try_fold(1_usize, |acc, it| acc.checked_mul(*it)).context("there are too many rows")?;
    let ops = ops.chain([AxisOp::Reshape(0, lengths(&front), lengths(&[n_rows]))]);
    Ok(tvec!(steps(c, padded, ops)?))
}

/// Makes places in a block of rows.
fn batch_to_space(c: &mut Call<'_, '_>) -> Wires {
    let Blocks { x, dims, sizes, amounts } = blocks(c)?;
    let n = sizes.len();
    let n_places: usize = sizes.iter().try_fold(1_usize, |acc, it| acc.checked_mul(*it)).context("blocks too large")?;
    ensure!(dims[0].is_multiple_of(n_places), "{} rows do not come out even in blocks of {sizes:?}", dims[0]);
    let n_rows = dims[0] / n_places;
    let split: Vec<usize> = [&sizes[..], &[n_rows]].concat();
    let mut order = vec![n];
    (0..n).for_each(|it| order.extend([n + 1 + it, it]));
    order.extend(2 * n + 1..dims.len() + n);
    let mut apart = Vec::new();
    (0..n).for_each(|it| apart.extend([dims[it + 1], sizes[it]]));
    let whole: Option<Vec<usize>> = (0..n).map(|it| dims[it + 1].checked_mul(sizes[it])).collect();
    let whole = whole.context("blocks too large")?;
    let ops = [AxisOp::Reshape(0, lengths(&dims[..1]), lengths(&split))];
    let ops = ops.into_iter().chain(perm_to_ops(&order));
    let ops = ops.chain([AxisOp::Reshape(1, lengths(&apart), lengths(&whole))]);
    let mut wire = steps(c, x, ops)?;
    for (idx, [before, after]) in amounts.into_iter().enumerate() {
        let end = whole[idx].checked_sub(after).filter(|it| *it >= before);
        let end = end.with_context(|| format!("{before} and {after} are cut off {}", whole[idx]))?;
        let op = Slice { axis: idx + 1, start: before.into(), end: end.into() };
        wire = c.model.wire_node(format!("{}.cut-{idx}", c.prefix), op, &[wire])?[0];
    }
    Ok(tvec!(wire))
}
