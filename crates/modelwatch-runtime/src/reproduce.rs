//! The candidate, cut down to where it parts from the baseline, as files.

use std::io::{self, Cursor};

use modelwatch_infer::{HostTensor, Reproducer, Values};
use modelwatch_sdk::{
    Error, RecordBatch, Result,
    artifact::Artifact,
    reproduction::{Excerpt, Reproduction, Told},
};

use crate::{compare::each_batch, npz::NpzWriter, services::RunModel};

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
fn archive(excerpt: &modelwatch_infer::Excerpt) -> io::Result<Vec<u8>> {
    let mut res = NpzWriter::new(Cursor::new(Vec::new()));
    let of = |role: &str| format!("{role}.{}", excerpt.output);
    let outputs = [(of("candidate"), &excerpt.candidate), (of("baseline"), &excerpt.reference)];
    let inputs = excerpt.inputs.iter().map(|(name, it)| (name.clone(), it));
    for (name, tensor) in inputs.chain(outputs) {
        let (kind, bytes) = elements(tensor)?;
        let shape: Vec<u64> = tensor.shape.iter().map(|&it| it as u64).collect();
        res.array(&name, kind, &shape, &mut &*bytes)?;
    }
    Ok(res.finish()?.into_inner())
}

/// Returns NumPy's name of the type of the elements, and their bytes.
fn elements(tensor: &HostTensor) -> io::Result<(&'static str, Vec<u8>)> {
    macro_rules! bytes {
        ($kind:literal, $values:expr) => {
            Ok(($kind, $values.iter().flat_map(|it| it.to_le_bytes()).collect()))
        };
    }
    match &tensor.values {
        Values::Bool(it) => Ok(("|b1", it.iter().map(|&it| u8::from(it)).collect())),
        Values::I8(it) => bytes!("|i1", it),
        Values::I16(it) => bytes!("<i2", it),
        Values::I32(it) => bytes!("<i4", it),
        Values::I64(it) => bytes!("<i8", it),
        Values::U8(it) => bytes!("|u1", it),
        Values::U16(it) => bytes!("<u2", it),
        Values::U32(it) => bytes!("<u4", it),
        Values::U64(it) => bytes!("<u8", it),
        Values::F32(it) => bytes!("<f4", it),
        Values::F64(it) => bytes!("<f8", it),
        _ => Err(io::Error::other("a tensor is no numbers")),
    }
}
