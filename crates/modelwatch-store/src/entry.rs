//! One entry of a log as it is stored.

use modelwatch_sdk::{
    Result,
    store::{LogEntry, LogEvent},
};
use serde::{Deserialize, Serialize};

use crate::{
    errors,
    format::{self, Digest},
};

/// A verified entry and the digest of its file.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) entry: LogEntry,
    pub(crate) manifest: Option<Digest>,
    pub(crate) prev_hash: Digest,
    pub(crate) hash: Digest,
    pub(crate) size: u64,
    pub(crate) op_id: String,
}

/// The content of an entry's file.
#[derive(Serialize, Deserialize)]
pub(crate) struct EntryFile {
    pub(crate) format: u64,
    pub(crate) lineage: String,
    pub(crate) seq: u64,
    pub(crate) prev_hash: Digest,
    pub(crate) op_id: String,
    #[serde(default)]
    pub(crate) writer: String,
    #[serde(default)]
    pub(crate) time: u64,
    pub(crate) event: LogEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
}

/// What is looked at before anything else, whatever a later version changes.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    writer: String,
}

/// Reads an entry that is to be number `seq` of `lineage`; `place` is for messages.
pub(crate) fn parse_entry(place: &str, lineage: &str, seq: u64, bytes: &[u8]) -> Result<Link> {
    let head: Head = format::unseal(place, bytes)?;
    format::check_format(place, head.format, &head.requires, &head.writer)?;
    let file: EntryFile = format::understand(place, bytes)?;
    if file.lineage != lineage || file.seq != seq {
        let what = format_args!("is entry {} of `{}`", file.seq, file.lineage.escape_debug());
        return Err(errors::corrupt(place, what));
    }
    if matches!(file.event, LogEvent::Commit { .. } | LogEvent::Relocate { .. }) && file.manifest.is_none() {
        return Err(errors::corrupt(place, "is a commit without a manifest"));
    }
    Ok(Link {
        entry: LogEntry { seq, time: file.time, event: file.event },
        manifest: file.manifest,
        prev_hash: file.prev_hash,
        hash: Digest::of(bytes),
        size: bytes.len() as u64,
        op_id: file.op_id,
    })
}
