//! What a compiled graph needs in memory for concrete inputs, before it is optimized or run.

use tract_onnx::{
    prelude::{OutletId, TractResult, TypedFact, TypedModel},
    tract_core::ops::konst::Const,
    tract_hir::internal::bail,
};

use super::nodes::n_uses;

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
    use tract_onnx::{prelude::DatumExt, tract_core::ops::array::TypedConcat, tract_hir::internal::SpecialOps};

    use super::*;

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
