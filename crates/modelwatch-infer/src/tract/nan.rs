//! Keeps NaN where an operator of tract makes a plausible number of it.
//!
//! tract's kernels for Relu, Clip, Sigmoid, Tanh, maxima, minima, max pooling and the cells of an LSTM drop NaN (onnxruntime and
//! TensorFlow keep it), and which of them do depends on the processor and on what the optimizer fused. So what drops NaN is run within
//! an operator that puts it back, which the optimizer can fuse with nothing; functions of single numbers are asked what they make of it.
//!
//! Where a number is far below 0, its sigmoid is put there as well: tract's is never less than 4.5e-7, which is much where it is multiplied
//! with the number, or a logarithm is taken of it.
//!
//! The largest number of a window is put right there, too: tract begins with the least finite number, which is more than -∞.
//!
//! Integers have no NaN. A quantization is therefore one step with its inverse, unless something computes with the integers: what it
//! makes of a NaN then shows only in the numbers of the nodes.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::{
    prelude::{
        Datum, DatumType, InletId, IntoTValue, IntoTensor, OutletId, TValue, TVec, Tensor, TractError, TractResult,
        TypedFact, TypedModel, tensor1,
        tract_ndarray::{Array1, ArrayD, Axis},
        tvec,
    },
    tract_core::ops::{
        binary::TypedBinOp,
        cnn::{Conv, KernelFormat, MaxPool},
        element_wise::ElementWiseOp,
        konst::Const,
        lstm_cell::LstmEpilogue,
        math::{PowConst, Rsqrt, Sqrt, Square},
        nn::Sigmoid,
    },
    tract_hir::internal::{
        AxesMapping, EvalContext, EvalOp, Op, SpecialOps, StaticName, TractErrorContext, TypedNode, TypedOp, as_op,
        f16, op_as_typed_op, op_out_of_plan,
    },
};

use super::repair::bodies;

/// Has every operator that drops NaN keep it, in the graphs of loops and branches as well.
pub(super) fn keep(model: &mut TypedModel) {
    wrap(model, keeping_nan, &|model| nodes_that(model, &|node| drops_nan(node)));
}

/// Has what the optimizer takes for something simpler keep NaN: products with nothing but zeros, which it takes for zeros, and roots
/// that are squared, of which nothing is left.
pub(super) fn keep_in_what_is_simplified(model: &mut TypedModel) {
    wrap(model, keeping_nan, &|model| nodes_that(model, &|node| is_product_with_zero(model, node)));
    wrap(model, as_written, &squared_roots);
}

/// Puts the NaN of a convolution's weights into its biases: where a channel's weights have one, all numbers of it are NaN, also
/// those that are computed from zeros around an image, which the optimizer may choose a form for that leaves them out.
pub(super) fn move_into_biases(model: &mut TypedModel) -> TractResult<()> {
    for id in nodes_that(model, &|node| node.op_is::<Conv>()) {
        let Some(moved) = moved_into_bias(model, model.node(id))? else { continue };
        for (slot, (what, tensor)) in (1..).zip(["weights", "bias"].into_iter().zip(moved)) {
            let constant = model.add_const(format!("{}.{what}_without_nan", model.node(id).name), tensor)?;
            model.add_edge(constant, InletId::new(id, slot))?;
        }
    }
    model.nodes.iter_mut().flat_map(bodies).try_for_each(move_into_biases)
}

/// Returns a convolution's weights without NaN and its biases with them, if it has NaN among its weights and both are constant.
fn moved_into_bias(model: &TypedModel, node: &TypedNode) -> TractResult<Option<[Tensor; 2]>> {
    let Some(Conv { kernel_fmt, group, q_params: None, .. }) = node.op_as() else { return Ok(None) };
    let constant = |slot: usize| model.outlet_fact(*node.inputs.get(slot)?).ok()?.konst.clone();
    let (Some(weights), Some(bias)) = (constant(1), constant(2)) else { return Ok(None) };
    let Some(marks) = marks(&weights)?.filter(|_| *group == 1 || *kernel_fmt == KernelFormat::OIHW) else {
        return Ok(None);
    };
    let channels = marks.axis_iter(Axis(kernel_fmt.o_axis(weights.shape())));
    let channels: Array1<bool> = channels.map(|it| it.iter().any(|it| *it)).collect();
    let mut bias = bias.broadcast_to_shape(&[channels.len()])?;
    put(&mut bias, &channels.into_dyn(), f64::NAN)?;
    let mut weights = weights.into_tensor();
    put(&mut weights, &marks, 0.0)?;
    Ok(Some([weights, bias]))
}

/// Has convolutions multiply what is around an image by a weight that is NaN still: the optimizer may choose a form that leaves it out.
pub(super) fn keep_in_padding(model: &mut TypedModel) {
    wrap(model, as_written, &|model| nodes_that(model, &|node| pads_for_nan(model, node)));
}

/// Puts other operators into the place of those of some nodes, in the graphs of loops and branches as well.
fn wrap(
    model: &mut TypedModel,
    wrapped: fn(Box<dyn TypedOp>) -> Box<dyn TypedOp>,
    wanted: &dyn Fn(&TypedModel) -> Vec<usize>,
) {
    for id in wanted(model) {
        let node = &mut model.nodes[id];
        node.op = wrapped(node.op.clone());
    }
    for node in &mut model.nodes {
        bodies(node).into_iter().for_each(|it| wrap(it, wrapped, wanted));
    }
}

fn keeping_nan(op: Box<dyn TypedOp>) -> Box<dyn TypedOp> {
    Box::new(KeepsNan(op))
}

fn as_written(op: Box<dyn TypedOp>) -> Box<dyn TypedOp> {
    Box::new(AsWritten(op))
}

fn nodes_that(model: &TypedModel, are_wanted: &dyn Fn(&TypedNode) -> bool) -> Vec<usize> {
    model.nodes().iter().filter(|it| are_wanted(it)).map(|it| it.id).collect()
}

fn is_product_with_zero(model: &TypedModel, node: &TypedNode) -> bool {
    let is_zero = |it: &OutletId| {
        let constant = model.outlet_fact(*it).ok().and_then(|it| it.konst.as_ref());
        constant.is_some_and(|it| it.is_all_zero().unwrap_or(false))
    };
    let is_product = node.op_as::<TypedBinOp>().is_some_and(|it| it.0.name() == "Mul");
    is_product && is_float(node) && node.inputs.iter().any(is_zero)
}

/// Returns the roots of numbers that are squared later, whatever is done to a root alone in between: the optimizer may leave that
/// out, or move it, until the root is next to its square.
fn squared_roots(model: &TypedModel) -> Vec<usize> {
    let Ok(order) = model.eval_order() else { return vec![] };
    let mut res = BTreeSet::new();
    // By node whose numbers vary, the root that they are computed from alone, if there is one.
    let mut roots: HashMap<usize, Option<usize>> = HashMap::new();
    for node in order.into_iter().map(|it| model.node(it)) {
        let varying: Vec<_> = node.inputs.iter().filter_map(|it| roots.get(&it.node).copied()).collect();
        let is_input = node.inputs.is_empty() && !node.op_is::<Const>();
        if varying.is_empty() && !is_input {
            continue;
        }
        if is_square(model, node, &varying) {
            res.extend(varying.iter().flatten());
        }
        let root = match &*varying {
            [_] if is_root(model, node) => Some(node.id),
            [first, others @ ..] if others.iter().all(|it| it == first) => *first,
            _ => None,
        };
        roots.insert(node.id, root);
    }
    res.into_iter().collect()
}

/// Returns whether this is a square, or becomes one, of what varies and may have roots.
fn is_square(model: &TypedModel, node: &TypedNode, varying: &[Option<usize>]) -> bool {
    let is_pair = |it: &TypedBinOp| match it.0.name() {
        // Two roots may turn out to be the same.
        "Mul" => varying.len() == 2 && varying.iter().all(Option::is_some),
        name => name == "Pow" && varying.len() == 1 && may_be_power(model, node, 2.0),
    };
    let is_single = |it: &ElementWiseOp| it.0.is::<Square>();
    is_float(node) && (node.op_as().is_some_and(is_pair) || node.op_as().is_some_and(is_single))
}

fn is_root(model: &TypedModel, node: &TypedNode) -> bool {
    let is_pair = |it: &TypedBinOp| it.0.name() == "Pow" && may_be_power(model, node, 0.5);
    let is_single = |it: &ElementWiseOp| it.0.is::<Sqrt>() || it.0.is::<Rsqrt>();
    is_float(node) && (node.op_as().is_some_and(is_pair) || node.op_as().is_some_and(is_single))
}

/// Returns whether all exponents are this one, or not known yet.
fn may_be_power(model: &TypedModel, node: &TypedNode, exponent: f32) -> bool {
    let Ok(fact) = model.outlet_fact(node.inputs[1]) else { return false };
    match &fact.uniform {
        Some(it) => it.cast_to_scalar::<f32>().is_ok_and(|it| it == exponent),
        None => fact.konst.is_none(),
    }
}

fn pads_for_nan(model: &TypedModel, node: &TypedNode) -> bool {
    let Some(Conv { pool_spec, .. }) = node.op_as() else { return false };
    let [x, weights] = [0, 1].map(|it| model.outlet_fact(node.inputs[it]).ok());
    let first = pool_spec.data_format.h_axis();
    let sizes = x.and_then(|it| it.shape.as_concrete()?.get(first..first + pool_spec.rank()));
    let pads =
        sizes.is_none_or(|it| pool_spec.computed_padding(it).iter().any(|it| it.pad_before > 0 || it.pad_after > 0));
    let weights = weights.and_then(|it| it.konst.as_ref());
    pads && weights.is_some_and(|it| marks(it).is_ok_and(|it| it.is_some()))
}

fn is_float(node: &TypedNode) -> bool {
    node.outputs.first().is_some_and(|it| it.fact.datum_type.is_float())
}

fn drops_nan(node: &TypedNode) -> bool {
    if !is_float(node) {
        return false;
    }
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        // Anything to the power of 0 is 1.
        return !op.0.is::<PowConst>() && makes_numbers_of_nan(op, node.outputs[0].fact.datum_type);
    }
    node.op_is::<MaxPool>()
        || node.op_is::<LstmEpilogue>()
        || node.op_as::<TypedBinOp>().is_some_and(|it| matches!(it.0.name(), "Max" | "Min"))
}

fn makes_numbers_of_nan(op: &ElementWiseOp, datum_type: DatumType) -> bool {
    // So many that they go through the whole lines of a kernel and through what is left over.
    const N: usize = 131;
    let keeps = || {
        let nan = tensor1(&[f32::NAN; N]).cast_to_dt(datum_type)?.into_owned();
        let answer = op.eval(&EvalContext::out_of_plan(), tvec![nan.into_tvalue()])?;
        Ok::<_, TractError>(marks(&answer[0])?.is_some_and(|it| it.iter().all(|it| *it)))
    };
    !keeps().unwrap_or(false)
}

/// An operator whose outputs are NaN where they are computed from NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeepsNan(Box<dyn TypedOp>);

impl Op for KeepsNan {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for KeepsNan {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let marks: TVec<_> = inputs.iter().map(|it| marks(it)).collect::<TractResult<_>>()?;
        let far_below = if self.is_sigmoid() { far_below(&inputs[0])? } else { vec![] };
        let pooled = self.0.is::<MaxPool>().then(|| inputs[0].clone());
        let mut outputs = self.0.eval(context, inputs)?;
        if let Some(input) = pooled.filter(|_| has_least(&outputs[0])) {
            outputs[0] = self.with_infinities(context, &input, &outputs[0])?.into_tvalue();
        }
        if !far_below.is_empty() {
            let mut output = outputs[0].clone().into_tensor();
            put_sigmoids(&mut output, &far_below)?;
            outputs[0] = output.into_tvalue();
        }
        for marks in marks.into_iter().flatten() {
            let marks = self.reached(context, marks)?;
            for it in &mut outputs {
                let mut output = it.clone().into_tensor();
                put(&mut output, &marks, f64::NAN)?;
                *it = output.into_tvalue();
            }
        }
        Ok(outputs)
    }
}

impl KeepsNan {
    fn is_sigmoid(&self) -> bool {
        self.0.downcast_ref::<ElementWiseOp>().is_some_and(|it| it.0.is::<Sigmoid>())
    }

    /// Returns the largest numbers of windows with -∞ for those that see nothing larger.
    fn with_infinities(&self, context: &EvalContext, input: &Tensor, output: &Tensor) -> TractResult<Tensor> {
        let numbers = input.cast_to::<f64>()?;
        let are_more = numbers.to_plain_array_view::<f64>()?.map(|it| f32::from(u8::from(*it != f64::NEG_INFINITY)));
        let pooled = self.0.eval(context, tvec![are_more.into_tensor().into_tvalue()])?;
        let marks = pooled[0].to_plain_array_view::<f32>()?.map(|it| *it < 0.5);
        let mut res = output.clone();
        put(&mut res, &marks, f64::NEG_INFINITY)?;
        Ok(res)
    }

    /// Returns which places of the outputs are computed from marked places of an input.
    fn reached(&self, context: &EvalContext, marks: ArrayD<bool>) -> TractResult<ArrayD<bool>> {
        if self.0.is::<MaxPool>() {
            // A window with a mark in it has the maximum 1.
            let marks = marks.map(|it| f32::from(u8::from(*it))).into_tensor();
            let pooled = self.0.eval(context, tvec![marks.into_tvalue()])?;
            return Ok(pooled[0].to_plain_array_view::<f32>()?.map(|it| *it > 0.5));
        }
        if self.0.is::<LstmEpilogue>() {
            // All of a row, as the next step's product does.
            let last = Axis(marks.ndim() - 1);
            return Ok(marks.map_axis(last, |row| row.iter().any(|it| *it)).insert_axis(last));
        }
        Ok(marks)
    }
}

impl TypedOp for KeepsNan {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes_mapping(inputs, outputs)
    }

    as_op!();
}

/// An operator that the optimizer neither changes nor fuses: nothing of it is left out, which costs what the optimizer would have
/// saved. A convolution, say, is computed without any of the forms that are made for its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AsWritten(Box<dyn TypedOp>);

impl Op for AsWritten {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for AsWritten {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl TypedOp for AsWritten {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes_mapping(inputs, outputs)
    }

    as_op!();
}

/// Returns the numbers of which tract's sigmoid is that of a greater one, 4.5e-7, and where they are.
fn far_below(tensor: &Tensor) -> TractResult<Vec<(usize, f64)>> {
    const LEAST: f64 = -12.0;
    fn of<T: Datum + Copy + Into<f64>>(tensor: &Tensor) -> TractResult<Vec<(usize, f64)>> {
        if !is_any_in(tensor, |it: &T| Into::<f64>::into(*it) < LEAST) {
            return Ok(vec![]);
        }
        let numbers = tensor.to_plain_array_view::<T>()?;
        Ok(numbers.iter().map(|it| Into::<f64>::into(*it)).enumerate().filter(|it| it.1 < LEAST).collect())
    }
    match tensor.datum_type() {
        DatumType::F16 => of::<f16>(tensor),
        DatumType::F32 => of::<f32>(tensor),
        _ => Ok(vec![]),
    }
}

/// Puts the sigmoids of these numbers where they are.
fn put_sigmoids(output: &mut Tensor, numbers: &[(usize, f64)]) -> TractResult<()> {
    fn to<T: Datum>(output: &mut Tensor, numbers: &[(usize, f64)], narrow: fn(f64) -> T) -> TractResult<()> {
        let mut values = output.to_plain_array_view_mut::<T>()?;
        let values = values.as_slice_mut().context("the numbers do not lie side by side")?;
        numbers.iter().for_each(|(at, x)| values[*at] = narrow(x.exp() / (1.0 + x.exp())));
        Ok(())
    }
    match output.datum_type() {
        DatumType::F16 => to(output, numbers, f16::from_f64),
        DatumType::F32 => to(output, numbers, |it| it as f32),
        _ => Ok(()),
    }
}

/// Returns where `tensor` is NaN, or nothing if it is nowhere.
fn marks(tensor: &Tensor) -> TractResult<Option<ArrayD<bool>>> {
    fn of<T: Datum>(tensor: &Tensor, is_nan: impl Fn(&T) -> bool) -> TractResult<Option<ArrayD<bool>>> {
        if is_any_in(tensor, &is_nan) { Ok(Some(tensor.to_plain_array_view::<T>()?.map(is_nan))) } else { Ok(None) }
    }
    match tensor.datum_type() {
        DatumType::F16 => of(tensor, |it: &f16| it.is_nan()),
        DatumType::F32 => of(tensor, |it: &f32| it.is_nan()),
        DatumType::F64 => of(tensor, |it: &f64| it.is_nan()),
        _ => Ok(None),
    }
}

/// Returns whether some number of a tensor `is` so. It looks at whole lines: a loop that may end at each number is not vectorized.
pub(super) fn is_any_in<T: Datum>(tensor: &Tensor, is: impl Fn(&T) -> bool) -> bool {
    const LINE: usize = 64;
    let Ok(numbers) = tensor.to_plain_array_view::<T>() else { return false };
    let Some(numbers) = numbers.as_slice() else { return numbers.iter().any(is) };
    let (lines, rest) = numbers.as_chunks::<LINE>();
    lines.iter().any(|line| line.iter().fold(false, |acc, it| acc | is(it))) || rest.iter().any(is)
}

/// Returns whether some number is the least finite one.
fn has_least(tensor: &Tensor) -> bool {
    match tensor.datum_type() {
        DatumType::F16 => is_any_in(tensor, |it: &f16| *it == f16::MIN),
        DatumType::F32 => is_any_in(tensor, |it: &f32| *it == f32::MIN),
        DatumType::F64 => is_any_in(tensor, |it: &f64| *it == f64::MIN),
        _ => false,
    }
}

/// Puts a number where there are marks, which `output` is at least as large as.
fn put(output: &mut Tensor, marks: &ArrayD<bool>, number: f64) -> TractResult<()> {
    fn to<T: Datum + Copy>(output: &mut Tensor, marks: &ArrayD<bool>, number: T) -> TractResult<()> {
        let mut values = output.to_plain_array_view_mut::<T>()?;
        let marks = marks.broadcast(values.shape()).context("the output is smaller than what it was computed from")?;
        values.iter_mut().zip(&marks).filter(|(_, mark)| **mark).for_each(|(it, _)| *it = number);
        Ok(())
    }
    match output.datum_type() {
        DatumType::F16 => to(output, marks, f16::from_f64(number)),
        DatumType::F32 => to(output, marks, number as f32),
        DatumType::F64 => to(output, marks, number),
        _ => Ok(()),
    }
}
