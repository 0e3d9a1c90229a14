//! Chooses what of a SavedModel is run.

use std::path::Path;

use tract_onnx::prelude::DatumType;
use tract_tensorflow::tfpb::tensorflow::{DataType, TensorShapeProto};

use super::{
    super::{
        convert,
        signatures::{self, DEFAULT},
    },
    proto::{MetaGraph, SavedModel, Signature, TensorInfo},
};
use crate::{error::InferError, spec::TensorSpec};

/// The tag of the graph that serves, as opposed to those that train.
const SERVE: &str = "serve";
/// TensorFlow notes the operation that initializes a model as a signature.
const INIT: &str = "__saved_model_init_op";

/// Returns the graph that serves, or the only one.
pub(super) fn serving_graph(path: &Path, model: SavedModel) -> Result<MetaGraph, InferError> {
    let tags = |it: &MetaGraph| it.meta_info.iter().flat_map(|it| it.tags.clone()).collect::<Vec<_>>();
    let all: Vec<_> = model.meta_graphs.iter().map(|it| format!("[{}]", tags(it).join(", "))).collect();
    let mut graphs = model.meta_graphs;
    let idx = match graphs.iter().position(|it| tags(it).iter().any(|it| it == SERVE)) {
        Some(idx) => idx,
        None if graphs.len() == 1 => 0,
        None => {
            let found =
                if all.is_empty() { "there is no graph".to_owned() } else { format!("tags {}", all.join(", ")) };
            let reason = format!("no graph has the tag `{SERVE}` ({found}); export it with that tag");
            return Err(InferError::Signature { path: path.to_path_buf(), reason });
        }
    };
    Ok(graphs.swap_remove(idx))
}

/// Returns the names of all signatures that compute something.
pub(super) fn names(graph: &MetaGraph) -> Vec<String> {
    graph.signatures.keys().filter(|it| *it != INIT).cloned().collect()
}

/// Returns the signature that is wanted; where none is, the default one or the only one.
pub(super) fn choose<'a>(
    path: &Path,
    graph: &'a MetaGraph,
    wanted: Option<&str>,
) -> Result<(&'a str, &'a Signature), InferError> {
    let refuse = |reason: String| Err(InferError::Signature { path: path.to_path_buf(), reason });
    let mut usable = graph.signatures.iter().filter(|(name, _)| *name != INIT);
    let chosen = match (wanted, graph.signatures.get_key_value(wanted.unwrap_or(DEFAULT))) {
        (_, Some(it)) if it.0 != INIT => it,
        (wanted, _) => match (wanted, usable.next(), usable.next()) {
            (_, None, _) => return refuse(format!("there is no signature; export it with one, `{DEFAULT}`")),
            (Some(wanted), ..) => return Err(signatures::missing(path, wanted, &names(graph))),
            (None, Some(it), None) => it,
            (None, Some(_), Some(_)) => {
                let names = signatures::listed(&names(graph));
                return refuse(format!(
                    "none of the signatures {names} is `{DEFAULT}`; name the one that is meant as `signature`"
                ));
            }
        },
    };
    if chosen.1.outputs.is_empty() {
        return refuse(format!("signature `{}` has no outputs", chosen.0));
    }
    Ok((chosen.0, chosen.1))
}

/// One input or output of a signature.
pub(super) struct Port<'a> {
    pub(super) spec: TensorSpec,
    pub(super) datum_type: DatumType,
    pub(super) data_type: DataType,
    /// `node` or `node:1` in the graph.
    pub(super) tensor: &'a str,
    pub(super) shape: TensorShapeProto,
}

/// Returns the inputs or the outputs of a signature, sorted by name.
pub(super) fn ports<'a>(
    path: &Path,
    kind: &str,
    infos: impl IntoIterator<Item = (&'a String, &'a TensorInfo)>,
) -> Result<Vec<Port<'a>>, InferError> {
    let port = |(name, info): (&'a String, &'a TensorInfo)| {
        let refuse = |what: String| {
            let reason = format!("{kind} `{name}` {what}");
            InferError::Interface { path: path.to_path_buf(), reason }
        };
        if info.name.is_empty() {
            return Err(refuse("is a sparse or composite tensor".to_owned()));
        }
        let data_type = DataType::try_from(info.dtype).map_err(|_| refuse("has no element type".to_owned()))?;
        let datum_type = DatumType::try_from(data_type).ok();
        let dtype = datum_type.and_then(convert::element_type);
        let (Some(datum_type), Some(dtype)) = (datum_type, dtype) else {
            return Err(refuse(format!("has the unsupported element type {data_type:?}")));
        };
        let shape = info.shape.clone().filter(|it| !it.unknown_rank);
        let shape = shape.ok_or_else(|| refuse("has no declared shape".to_owned()))?;
        let dims = shape.dim.iter().map(|it| usize::try_from(it.size).ok()).collect();
        let spec = TensorSpec { name: name.clone(), dtype, shape: dims };
        Ok(Port { spec, datum_type, data_type, tensor: &info.name, shape })
    };
    infos.into_iter().map(port).collect()
}
