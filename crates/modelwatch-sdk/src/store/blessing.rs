//! What a verdict is about, kept beside it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckpointId, FileEntry};
use crate::report::{Labels, Status, float};

/// What a run judged and with what, by digests, so that its verdict cannot be taken for one on something else.
///
/// Digests are BLAKE3 in hexadecimal, and none depends on where a file was: the same files on another machine have the same
/// ones. Deliberately not here: who ran it. To know that, sign [`digest`](Self::digest).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blessing {
    /// The digest of the rest, by which it can be named and signed elsewhere.
    pub digest: String,
    /// The program that judged, with its version.
    pub program: String,
    /// The checkpoint that was judged.
    pub checkpoint: CheckpointId,
    /// The files of the model that was run, which are files of the checkpoint.
    pub model: Vec<FileEntry>,
    /// What it was compared with: a checkpoint's id, or the digest of the names, sizes and digests of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// The data, by role.
    pub data: BTreeMap<String, DataSeal>,
    /// The profile that the run kept beside the checkpoint: its id in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<CheckpointId>,
    /// The plugins, by component: `verifier/metrics`.
    pub plugins: BTreeMap<String, PluginSeal>,
    /// The digest of what the pipeline says about judging: data, columns, probes, options, requirements and severities.
    pub config: String,
    /// What was required and what became of it. Where there is more than fits, the worst come first.
    pub checks: Vec<BlessedCheck>,
    /// How many checks there were.
    pub n_checks: u64,
}

/// Files that were read as one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DataSeal {
    /// The digest of the names, sizes and digests of all files.
    pub digest: String,
    /// The files without their folders, in the order in which they are read. Where there are more than fit, the first ones.
    pub files: Vec<FileEntry>,
    /// How many files there are.
    pub n_files: u64,
    /// Their size in bytes.
    pub size: u64,
}

/// A plugin that had a say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginSeal {
    /// The name and version that the plugin gives itself.
    pub plugin: String,
    /// The digest of the library; nothing where it is part of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A check, without its message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlessedCheck {
    /// The id of the probe.
    pub probe: String,
    /// The metric.
    pub metric: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What was required.
    pub requirement: String,
    /// The value, if there was one.
    #[serde(default, with = "float::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<float::Number>")]
    pub observed: Option<f64>,
    /// From how much it was computed.
    pub n: u64,
    /// What became of it.
    pub status: Status,
}
