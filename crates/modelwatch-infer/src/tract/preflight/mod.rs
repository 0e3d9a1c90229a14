//! Holds a model against what every sound model is, before tract sees it.
//!
//! tract believes what a file says: it allocates what a shape asks for, evaluates what is constant while it reads, and panics on
//! much of what is damaged.
//! So whatever can be told of a model without running any of it is looked at first: the number, names and order of its nodes
//! ([`structure`]), the data of its constants ([`constants`]), what no operator of a kind can have ([`operands`]), and how large the
//! results of its operators are and how much there is to compute for them, at least ([`sizes`]).
//! Each refusal names the node or tensor and what to do.
//! Of a TensorFlow graph it is the nodes ([`graph_def`]), whose sizes its own operators look at; NNEF's files and text are looked at
//! where they are read, see [`nnef`](super::nnef).
//!
//! Deliberately not here: what depends on the inputs. What a graph needs for concrete ones is looked at when it is prepared,
//! see [`memory`](super::memory).

mod constants;
mod graph_def;
mod operands;
mod sizes;
mod structure;

use std::path::Path;

use tract_onnx::pb::ModelProto;

pub(crate) use self::constants::ExternalData;
pub(super) use self::{
    graph_def::{check_nodes, producer},
    operands::check_order,
    sizes::{Known, MAX_QUESTION_WORK, MAX_ROW_WORK, node_outputs, node_work},
    structure::MAX_NODES,
};
use crate::error::InferError;

/// Why a model is refused.
#[derive(Debug)]
pub(super) struct Fault {
    /// Which node or tensor, and what about it.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: &'static str,
}

impl Fault {
    pub(super) fn damaged(what: String) -> Self {
        Self { what, remedy: "the file is damaged, export it again" }
    }

    /// Returns the refusal of the model at `path`.
    pub(super) fn of(self, path: &Path) -> InferError {
        InferError::Unsound { path: path.to_path_buf(), reason: self.what, remedy: self.remedy }
    }
}

/// What was found out of a sound model.
pub(super) struct Sound {
    /// The files beside it, opened.
    pub(super) beside: ExternalData,
    /// Operations for one row, at least.
    pub(super) row_work: u64,
}

/// Puts the nodes of an ONNX model in the order in which they run, and looks at all of it.
///
/// # Errors
/// [`InferError::Unsound`] where the model is damaged, or asks for more than a model for inference needs.
pub(super) fn check(path: &Path, proto: &mut ModelProto) -> Result<Sound, InferError> {
    let unsound = |it: Fault| it.of(path);
    let is_default = |domain: &str| matches!(domain, "" | "ai.onnx");
    let version = proto.opset_import.iter().find(|it| is_default(&it.domain)).map_or(1, |it| it.version);
    let Some(graph) = &mut proto.graph else {
        return Err(unsound(Fault::damaged("there is no graph".to_owned())));
    };
    structure::sort(graph).map_err(unsound)?;
    let beside = constants::check(path, graph, &proto.functions).map_err(unsound)?;
    let row_work = sizes::check(graph, version).map_err(unsound)?;
    Ok(Sound { beside, row_work })
}
