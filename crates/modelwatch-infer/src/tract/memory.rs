//! What a compiled graph needs in memory for concrete inputs, before it is optimized or run, and what depends on their values, before
//! each node is.

use tract_onnx::{
    prelude::{IntoArcTensor, OutletId, TValue, TVec, TractResult, TypedFact, TypedModel},
    tract_core::{
        model::typed::TypedSimpleState,
        ops::{
            OpState,
            array::{Gather, Range},
            konst::Const,
        },
        plan,
    },
    tract_hir::internal::{EvalContext, SymbolValues, TDim, TractErrorContext, TypedNode, bail, ensure},
};

use super::{nodes::n_uses, whole_range::WholeRange};

/// Bytes of one tensor; more for one micro-batch is a damaged or hostile model.
pub(super) const MAX_TENSOR_BYTES: u64 = 2 << 30;
/// Bytes of all values that are alive at once, constants not counted.
const MAX_LIVE_BYTES: u64 = 8 << 30;

/// Fails with the node at which the values of a graph are more than a machine can be asked for.
///
/// What an operator takes for itself while it runs is not known here.
pub(super) fn check(model: &TypedModel) -> TractResult<()> {
    let order = model.eval_order()?;
    let n_bytes = |outlet: OutletId| model.outlet_fact(outlet).map_or(0, bytes_of);
    let mut n_uses = n_uses(model, &order)?;
    let of_node = |id: usize| (0..model.node(id).outputs.len()).map(move |it| n_bytes(OutletId::new(id, it)));
    let mut live = 0_u64;
    for &id in &order {
        let node = model.node(id);
        if node.op_is::<Const>() {
            continue;
        }
        for (slot, n_bytes) in of_node(id).enumerate() {
            live = live.saturating_add(n_bytes);
            if n_bytes > MAX_TENSOR_BYTES || live > MAX_LIVE_BYTES {
                let (shape, operator) = (&node.outputs[slot].fact.shape, node.op.name());
                let name = &node.name;
                bail!(
                    "node `{name}` ({operator}) makes a tensor of [{shape:?}], with which {live} bytes are in use at once"
                );
            }
        }
        for input in &node.inputs {
            n_uses[input.node] -= 1;
            if n_uses[input.node] == 0 && !model.node(input.node).op_is::<Const>() {
                live = live.saturating_sub(of_node(input.node).sum());
            }
        }
    }
    Ok(())
}

/// Runs a plan, of which each node is looked at before it makes what no shape tells.
pub(super) fn run(state: &mut TypedSimpleState, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    state.run_plan_with_eval(inputs, eval)
}

/// Computes a node, if what it makes has room. What depends on the inputs' shapes alone was looked at when they were known.
pub(super) fn eval(
    context: &EvalContext<'_>,
    state: Option<&mut (dyn OpState + 'static)>,
    node: &TypedNode,
    inputs: TVec<TValue>,
) -> TractResult<TVec<TValue>> {
    if node.outputs.iter().any(|it| it.fact.shape.as_concrete().is_none()) {
        check_made(context.symbols, node, &inputs)?;
    }
    if let Some(it) = node.op_as::<Gather>() {
        check_places(&inputs, it.axis).with_context(|| format!("node `{}` ({})", node.name, node.op.name()))?;
    }
    plan::eval(context, state, node, inputs)
}

/// Fails at an index that is outside of the axis which it counts along, where tract panics.
pub(super) fn check_places(inputs: &[TValue], axis: usize) -> TractResult<()> {
    let [of, places] = inputs else { return Ok(()) };
    let n = of.shape().get(axis).copied().with_context(|| format!("there is no axis {axis}"))? as i64;
    match places.to_plain_array_view::<i64>()?.iter().find(|it| !(-n..n).contains(*it)) {
        Some(it) => bail!("index {it} is outside of an axis of {n}"),
        None => Ok(()),
    }
}

/// Fails if a node would make more of these inputs than one tensor may have.
fn check_made(symbols: &SymbolValues, node: &TypedNode, inputs: &TVec<TValue>) -> TractResult<()> {
    /// The numbers of a length or a shape, on which depends what is made.
    const FEW: usize = 16;
    let check = |n_bytes: u64| {
        ensure!(
            n_bytes <= MAX_TENSOR_BYTES,
            "node `{}` ({}) makes a tensor of more than the {MAX_TENSOR_BYTES} bytes that are allowed, because of the values in its \
             inputs",
            node.name,
            node.op.name()
        );
        Ok(())
    };
    if node.op_is::<Range>() || node.op_is::<WholeRange>() {
        // Not every length fits in what a shape is made of.
        let number = |idx: usize| inputs[idx].cast_to_scalar::<f64>();
        if let (Ok(start), Ok(end), Ok(step)) = (number(0), number(1), number(2)) {
            check((((end - start) / step).ceil() * inputs[0].datum_type().size_of() as f64) as u64)?;
        }
    }
    // Weights in a layout of their own have no shape.
    if !inputs.iter().all(|it| it.is_plain()) {
        return Ok(());
    }
    let fact = |it: &TValue| {
        if it.len() > FEW {
            return Ok(TypedFact::shape_and_dt_of(it));
        }
        TypedFact::try_from(it.clone().into_arc_tensor())
    };
    let facts = inputs.iter().map(fact).collect::<TractResult<Vec<_>>>()?;
    // An operator that cannot tell says so when it is run.
    let Ok(made) = node.op.output_facts(&facts.iter().collect::<Vec<_>>()) else { return Ok(()) };
    for it in made {
        let dims = it.shape.iter().map(|it| it.eval(symbols)).collect::<Vec<TDim>>();
        // What is still a symbol counts as 1.
        let sizes = dims.iter().map(|it| it.to_i64().map_or(1, |it| u64::try_from(it).unwrap_or(u64::MAX)));
        check(sizes.fold(it.datum_type.size_of() as u64, u64::saturating_mul))?;
    }
    Ok(())
}

/// Returns the product of the dimensions, each 0 taken for 1, lest it hide an overflow in what multiplies only some of them;
/// nothing if no tensor has them.
pub(super) fn widest(dims: &[impl Into<i64> + Copy]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |acc, &it| acc.checked_mul(u64::try_from(it.into()).ok()?.max(1)))
}

fn bytes_of(fact: &TypedFact) -> u64 {
    // What is still a symbol counts as 1.
    let dims = fact.shape.iter().map(|it| it.to_i64().map_or(1, |it| u64::try_from(it).unwrap_or(0)));
    dims.fold(fact.datum_type.size_of() as u64, u64::saturating_mul)
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{DatumExt, IntoRunnable, IntoTValue, ToDim, tensor0, tensor1, tvec},
        tract_core::ops::array::TypedConcat,
        tract_hir::internal::SpecialOps,
    };

    use super::*;

    #[test]
    fn what_depends_on_values_is_looked_at_before_it_is_made() {
        let mut model = TypedModel::default();
        let limit = model.add_source("limit", f32::scalar_fact()).unwrap();
        let [start, step] = [0.0_f32, 1.0].map(|it| model.add_const(format!("{it}"), tensor0(it)).unwrap());
        let len = model.symbols.sym("n").to_dim();
        let range = model.wire_node("range", Range::new(len), &[start, limit, step]).unwrap();
        model.select_output_outlets(&range).unwrap();
        let mut state = model.into_runnable().unwrap().spawn().unwrap();
        let mut of = |limit: f32| run(&mut state, tvec!(tensor0(limit).into_tvalue()));
        assert_eq!(*of(3.0).unwrap()[0], tensor1(&[0.0_f32, 1.0, 2.0]));
        for limit in [1e9, 1e12, 1e30, f32::INFINITY] {
            let error = format!("{:#}", of(limit).unwrap_err());
            assert!(error.contains("node `range` (Range) makes a tensor of more than"), "{limit}: {error}");
        }
    }

    #[test]
    fn values_that_are_needed_at_once_add_up() {
        let mut model = TypedModel::default();
        let mut wire = model.add_source("x", f32::fact([1 << 20])).unwrap();
        for idx in 0..9 {
            wire = model.wire_node(format!("double {idx}"), TypedConcat::new(0), &[wire, wire]).unwrap()[0];
            let mut graph = model.clone();
            graph.select_output_outlets(&[wire]).unwrap();
            let error = check(&graph).err().map(|it| it.to_string());
            // 2 GiB are 512 times a million numbers of four bytes.
            assert_eq!(error, None, "{idx}");
        }
        wire = model.wire_node("double 9", TypedConcat::new(0), &[wire, wire]).unwrap()[0];
        model.select_output_outlets(&[wire]).unwrap();
        let error = check(&model).unwrap_err().to_string();
        assert!(error.contains("node `double 9` (Concat)"), "{error}");
    }
}
