//! The candidate, cut down to where it parts from the baseline, as files.

use modelwatch_infer::{HostTensor, Reproducer, Values};
use modelwatch_sdk::{
    Error, RecordBatch, Result,
    artifact::Artifact,
    reproduction::{Excerpt, Reproduction, Told},
};
use modelwatch_tensors::{DType, TensorInfo, TensorRef, write_npz};

use crate::{compare::each_batch, models::RunModel};

/// Runs both models on rows, and writes down what the node does in the worst of them.
pub(crate) fn reproduce(
    baseline: &RunModel,
    candidate: &RunModel,
    rows: &RecordBatch,
    node: &str,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Reproduction> {
    let mut reproducer = Reproducer::new(&baseline.model, &candidate.model, node);
    each_batch(baseline, candidate, rows, is_cancelled, |left, right| reproducer.run(left, right))?;
    let found = reproducer.finish().map_err(Error::input)?;
    let found = found.ok_or_else(|| Error::input("there are no rows to reproduce anything with"))?;
    let mut res = Reproduction {
        told: Told { tensor: found.tensor.clone(), row: found.row, excerpts: Vec::new() },
        files: Vec::new(),
    };
    let excerpts = [found.part.map(|it| ("part", it)), Some(("prefix", found.prefix))];
    for (name, it) in excerpts.into_iter().flatten() {
        let [model, data] = ["onnx", "npz"].map(|ending| format!("{name}.{ending}"));
        let max_absolute = it.max_absolute();
        let archive = archive(&it).map_err(|e| Error::input(format!("cannot write `{data}`: {e}")))?;
        res.files.push(Artifact::new(&model, it.model));
        res.files.push(Artifact::new(&data, archive));
        res.told.excerpts.push(Excerpt { model, data, nodes: it.n_nodes as u64, max_absolute });
    }
    Ok(res)
}

/// Returns the inputs of an excerpt under their own names, and what both models have for its output.
///
/// Rows of a run have `candidate:<output>`, which these must not be taken for where the file is data of one.
fn archive(excerpt: &modelwatch_infer::Excerpt) -> Result<Vec<u8>> {
    let of = |role: &str| format!("{role}.{}", excerpt.output);
    let outputs = [(of("candidate"), &excerpt.candidate), (of("baseline"), &excerpt.reference)];
    let inputs = excerpt.inputs.iter().map(|(name, it)| (name.clone(), it));
    let arrays = inputs.chain(outputs).map(|(name, tensor)| {
        let (dtype, bytes) = elements(tensor)?;
        let shape = tensor.shape.iter().map(|&it| it as u64).collect();
        Ok((TensorInfo { name, dtype, shape }, bytes))
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let tensors: Vec<_> = arrays.iter().map(|(info, bytes)| TensorRef { info, bytes }).collect();
    let mut res = Vec::new();
    write_npz(&mut res, &tensors).map_err(Error::input)?;
    Ok(res)
}

/// Returns the type of the elements, and their bytes.
fn elements(tensor: &HostTensor) -> Result<(DType, Vec<u8>)> {
    macro_rules! bytes {
        ($dtype:ident, $values:expr) => {
            Ok((DType::$dtype, $values.iter().flat_map(|it| it.to_le_bytes()).collect()))
        };
    }
    match &tensor.values {
        Values::Bool(it) => Ok((DType::Bool, it.iter().map(|&it| u8::from(it)).collect())),
        Values::I8(it) => bytes!(I8, it),
        Values::I16(it) => bytes!(I16, it),
        Values::I32(it) => bytes!(I32, it),
        Values::I64(it) => bytes!(I64, it),
        Values::U8(it) => bytes!(U8, it),
        Values::U16(it) => bytes!(U16, it),
        Values::U32(it) => bytes!(U32, it),
        Values::U64(it) => bytes!(U64, it),
        Values::F32(it) => bytes!(F32, it),
        Values::F64(it) => bytes!(F64, it),
        _ => Err(Error::input("a tensor is no numbers")),
    }
}
