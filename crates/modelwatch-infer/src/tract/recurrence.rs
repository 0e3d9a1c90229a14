//! Finds the recurrent layers that tract cannot run: those of a precision for which it has no kernel, or whose states it begins with
//! zeros of another.

use tract_onnx::{
    prelude::{DatumType, TractResult, TypedModel},
    tract_core::ops::{
        lstm_cell::LstmEpilogue,
        scan::{InputMapping, Scan},
    },
    tract_hir::internal::{TypedNode, bail},
};

/// Fails where there is one, and names it.
pub(super) fn check(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes() {
        let Some(scan) = node.op_as::<Scan>() else { continue };
        let datum_type = |node: &TypedNode| node.outputs[0].fact.datum_type;
        let lacks_cell =
            scan.body.nodes().iter().any(|it| it.op_is::<LstmEpilogue>() && datum_type(it) == DatumType::F64);
        let inputs = node.inputs.iter().zip(&scan.input_mapping).zip(&scan.body.inputs);
        let mut states = inputs.filter(|((_, mapping), _)| matches!(mapping, InputMapping::State));
        let begins_as_another = states.any(|((first, _), inner)| {
            let types =
                [model.outlet_fact(*first), scan.body.outlet_fact(*inner)].map(|it| it.ok().map(|it| it.datum_type));
            types[0] != types[1]
        });
        if lacks_cell || begins_as_another {
            let of = scan.body.outputs.first().and_then(|it| scan.body.outlet_fact(*it).ok());
            let precision = of.map_or_else(String::new, |it| format!(" in {:?}", it.datum_type));
            bail!("node `{}` is a recurrent layer{precision}, which tract does not compute", node.name);
        }
    }
    Ok(())
}
