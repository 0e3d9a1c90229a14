//! Tells from a graph alone that its rows do not influence each other.
//!
//! Most networks are made of operators that treat all positions of some axes alike, so that the rows of the inputs can be followed to
//! those of the outputs. Where they cannot, the model has to be asked. What an operator says of its axes is believed of few: a softmax
//! takes all of its axes for such.

use std::collections::HashMap;

use tract_onnx::{
    prelude::{DatumType, OutletId, TractResult, TypedModel},
    tract_core::ops::{
        array::{Gather, MultiBroadcastTo, Pad, Slice, TypedConcat},
        binary::TypedBinOp,
        cast::Cast,
        change_axes::AxisOp,
        cnn::{Conv, Deconv, MaxPool, SumPool},
        einsum::EinSum,
        element_wise::ElementWiseOp,
        nn::{Reduce, Softmax},
        quant::DequantizeLinearF32,
        source::TypedSource,
    },
    tract_hir::internal::{InOut, TypedNode},
};

use super::tflite;

/// Returns whether each of `n_rows` rows of the outputs is computed from that row of the inputs alone, and all in one way; `false` as
/// well where that cannot be told. The first axis of each input is that of the rows.
///
/// What the graph makes of the number of rows itself is not seen.
pub(super) fn rows_are_independent(model: &TypedModel, n_rows: usize) -> bool {
    follow(model, n_rows).unwrap_or(false)
}

fn follow(model: &TypedModel, n_rows: usize) -> TractResult<bool> {
    // By value the axis along which the rows are; none where there are no rows in it.
    let mut axes: HashMap<OutletId, Option<usize>> = HashMap::new();
    for id in model.eval_order()? {
        let node = model.node(id);
        let of_inputs: Vec<Option<usize>> = node.inputs.iter().map(|it| axes.get(it).copied().flatten()).collect();
        let of_outputs = if node.op_is::<TypedSource>() {
            vec![Some(0)]
        } else if of_inputs.iter().all(Option::is_none) {
            vec![None; node.outputs.len()]
        } else {
            match axes_of_outputs(model, node, &of_inputs, n_rows)? {
                Some(it) => it,
                None => return Ok(false),
            }
        };
        axes.extend(of_outputs.into_iter().enumerate().map(|(slot, it)| (OutletId::new(id, slot), it)));
    }
    Ok(model.outputs.iter().all(|it| axes.get(it) == Some(&Some(0))))
}

/// Returns the axes of the rows in what a node gives, if it keeps rows apart that are along these axes of its inputs.
fn axes_of_outputs(
    model: &TypedModel,
    node: &TypedNode,
    of_inputs: &[Option<usize>],
    n_rows: usize,
) -> TractResult<Option<Vec<Option<usize>>>> {
    let (inputs, outputs) = model.node_facts(node.id)?;
    let pool = node.op_as::<MaxPool>().map(|it| &it.pool_spec);
    if let Some(pool) = pool.or(node.op_as::<SumPool>().map(|it| &it.pool_spec)) {
        let axis = pool.data_format.shape(&inputs[0].shape)?.n_axis();
        return Ok((axis.is_some() && axis == of_inputs[0]).then(|| vec![axis; outputs.len()]));
    }
    if tflite::is_elementwise(node) {
        return Ok(Some(vec![of_inputs[0]]));
    }
    let takes = |axes: &[usize]| of_inputs.iter().flatten().any(|it| axes.contains(it));
    let is_believed = node.op_is::<AxisOp>()
        || node.op_is::<Cast>()
        || node.op_is::<Conv>()
        || node.op_is::<Deconv>()
        || node.op_is::<DequantizeLinearF32>()
        || node.op_is::<EinSum>()
        || node.op_is::<ElementWiseOp>()
        || node.op_is::<Gather>()
        || node.op_is::<MultiBroadcastTo>()
        || node.op_is::<Pad>()
        || node.op_is::<Reduce>()
        || node.op_is::<Slice>()
        || node.op_is::<TypedBinOp>()
        || node.op_is::<TypedConcat>()
        || node.op_as::<Softmax>().is_some_and(|it| !takes(&it.axes));
    // Lengths of axes are not values of rows.
    if !is_believed || outputs.iter().any(|it| it.datum_type == DatumType::TDim) {
        return Ok(None);
    }
    let mapping = node.op.axes_mapping(&inputs, &outputs)?;
    let mut with_rows = of_inputs.iter().enumerate().filter_map(|(slot, it)| Some((InOut::In(slot), (*it)?)));
    let Some((first, position)) = with_rows.next() else { return Ok(None) };
    let axis = mapping.axis((first, position))?;
    for (slot, position) in with_rows {
        if mapping.axis((slot, position))? != axis {
            return Ok(None);
        }
    }
    let is_kept = of_inputs.iter().zip(&axis.inputs).zip(&inputs).all(|((rows, positions), fact)| match rows {
        Some(it) => **positions == [*it],
        // What is the same for all rows.
        None => positions.iter().all(|it| fact.shape[*it] == 1.into()),
    });
    let is_given = axis
        .outputs
        .iter()
        .zip(&outputs)
        .all(|(positions, fact)| positions.len() == 1 && fact.shape[positions[0]] == n_rows.into());
    Ok((is_kept && is_given).then(|| axis.outputs.iter().map(|it| it.first().copied()).collect()))
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{Datum, DatumExt, SpecialOps, Tensor, ToDim, tensor1, tensor2, tvec},
        tract_core::ops::{
            cnn::{KernelFormat, PaddingSpec, PoolSpec},
            math,
            nn::{DataFormat, Reducer, SoftmaxKind},
        },
    };

    use super::*;

    const ROWS: usize = 2;

    /// Returns whether the rows of images of three by three are independent in what is wired to them.
    fn of(wire: impl Fn(&mut TypedModel, OutletId) -> OutletId) -> bool {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([ROWS, 1, 3, 3])).unwrap();
        let y = wire(&mut model, x);
        model.select_output_outlets(&[y]).unwrap();
        rows_are_independent(&model, ROWS)
    }

    fn windows(n_channels: usize) -> PoolSpec {
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec![2, 2],
            padding: PaddingSpec::Valid,
            dilations: None,
            strides: None,
            input_channels: n_channels,
            output_channels: 4,
        }
    }

    fn softmax(axis: usize) -> Softmax {
        Softmax::new(tvec![axis], None, SoftmaxKind::default())
    }

    #[test]
    fn rows_are_followed_through_a_network() {
        let network = |axis: usize| {
            of(|model, x| {
                let conv = Conv { pool_spec: windows(1), kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
                let kernel = model.add_const("kernel", Tensor::zero::<f32>(&[4, 1, 2, 2]).unwrap()).unwrap();
                let bias = model.add_const("bias", Tensor::zero::<f32>(&[4]).unwrap()).unwrap();
                let maps = model.wire_node("maps", conv, &[x, kernel, bias]).unwrap()[0];
                let pooled = model.wire_node("pooled", MaxPool::new(windows(4), None), &[maps]).unwrap()[0];
                let flat = AxisOp::Reshape(1, tvec![4.to_dim(), 1.to_dim(), 1.to_dim()], tvec![4.to_dim()]);
                let flat = model.wire_node("flat", flat, &[pooled]).unwrap()[0];
                let weights = model.add_const("weights", Tensor::zero::<f32>(&[4, 5]).unwrap()).unwrap();
                let product = EinSum::new("nk,km->nm".parse().unwrap(), f32::datum_type());
                let product = model.wire_node("product", product, &[flat, weights]).unwrap()[0];
                let offset = model.add_const("offset", tensor2(&[[0.5_f32; 5]])).unwrap();
                let sum = model.wire_node("sum", math::add(), &[product, offset]).unwrap()[0];
                model.wire_node("y", softmax(axis), &[sum]).unwrap()[0]
            })
        };
        assert!(network(1) && !network(0));
    }

    #[test]
    fn rows_are_followed_through_a_transposed_convolution() {
        assert!(of(|model, x| {
            let spec = PoolSpec { padding: PaddingSpec::Explicit(tvec![0, 0], tvec![0, 0]), ..windows(1) };
            let deconv = Deconv::new(spec, KernelFormat::OIHW, tvec![0, 0], 1);
            let kernel = model.add_const("kernel", Tensor::zero::<f32>(&[4, 1, 2, 2]).unwrap()).unwrap();
            let bias = model.add_const("bias", Tensor::zero::<f32>(&[4]).unwrap()).unwrap();
            model.wire_node("y", deconv, &[x, kernel, bias]).unwrap()[0]
        }));
    }

    #[test]
    fn what_mixes_rows_or_tells_them_apart_is_seen() {
        let reduce = |axis: usize| Reduce { axes: tvec![axis], reducer: Reducer::Sum };
        let sum = |axis: usize| of(|model, x| model.wire_node("y", reduce(axis), &[x]).unwrap()[0]);
        assert!(sum(2) && !sum(0));
        let centered = |axis: usize| {
            of(|model, x| {
                let sum = model.wire_node("sum", reduce(axis), &[x]).unwrap()[0];
                model.wire_node("y", math::sub(), &[x, sum]).unwrap()[0]
            })
        };
        assert!(centered(3) && !centered(0));
        // A number for each row.
        let offset = |numbers: &[f32]| {
            of(|model, x| {
                let numbers = tensor1(numbers).into_shape(&[numbers.len(), 1, 1, 1]).unwrap();
                let numbers = model.add_const("numbers", numbers).unwrap();
                model.wire_node("y", math::add(), &[x, numbers]).unwrap()[0]
            })
        };
        assert!(offset(&[1.0]) && !offset(&[1.0, 2.0]));
        let moved =
            |from: usize, to: usize| of(|model, x| model.wire_node("y", AxisOp::Move(from, to), &[x]).unwrap()[0]);
        assert!(moved(1, 3) && !moved(0, 1));
        // Rows beside those of all others.
        assert!(!of(|model, x| {
            let flat = AxisOp::Reshape(1, tvec![1.to_dim(), 3.to_dim(), 3.to_dim()], tvec![9.to_dim()]);
            let flat = model.wire_node("flat", flat, &[x]).unwrap()[0];
            let product = EinSum::new("nk,mk->nm".parse().unwrap(), f32::datum_type());
            model.wire_node("y", product, &[flat, flat]).unwrap()[0]
        }));
    }
}
