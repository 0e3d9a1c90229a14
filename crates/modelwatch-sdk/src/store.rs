//! Checkpoint stores: immutable checkpoints, refs that move, and one log per lineage.
//!
//! Everything that changes is an entry of a lineage's log, so the list of checkpoints, the refs,
//! their history and the last known good checkpoint are folds over it. Nothing here deletes.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, ErrorKind, Result},
    host::Host,
    tensor::TensorView,
};

mod blessing;
mod care;
mod history;

pub use blessing::{BlessedCheck, Blessing, DataSeal, PluginSeal};
pub use care::{
    CollectOptions, CollectReport, Collected, DoctorReport, RepairReport, ScrubDepth, ScrubReport, StoreStats,
};
pub use history::{CheckpointSummary, History, ROLLBACK, RefMove};

/// A kind of store with a name and a typed configuration.
pub trait Store: 'static {
    /// The name that a pipeline uses: lower case, words joined by `-`.
    const NAME: &'static str;
    /// The options; use `#[serde(deny_unknown_fields)]`, defaults and doc comments.
    type Config: DeserializeOwned + JsonSchema;
    /// Opens the store, creating it where there is none.
    ///
    /// # Errors
    /// When the place cannot be used.
    fn open(config: Self::Config) -> Result<Box<dyn CheckpointStore>>;
}

/// Keeps checkpoints and refs.
///
/// Where other writers are faster each time, a store gives up with `Busy`, and nothing was changed: who waits, such as
/// `modelwatch store watch`, asks for the same again. A `Conflict` is final.
pub trait CheckpointStore: Send + Sync {
    /// Starts a checkpoint of `lineage`. `metadata` is part of its content and so of its id.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn begin(&self, host: &dyn Host, lineage: &str, metadata: &Map<String, Value>)
    -> Result<Box<dyn CheckpointWriter>>;

    /// Opens a checkpoint. The host refuses a manifest of which the id is not the BLAKE3 digest of its [`content`].
    ///
    /// # Errors
    /// `NotFound` where there is none of that id, `Corrupt` where its manifest does not verify.
    fn open(&self, host: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>>;

    /// Returns the names of all lineages, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn lineages(&self) -> Result<Vec<String>>;

    /// Returns at most `limit` entries of the log after sequence number `after`, oldest first.
    /// A lineage without a checkpoint has an empty log.
    ///
    /// What is in front of a damaged entry is given like the rest.
    ///
    /// # Errors
    /// `Corrupt` where the entry after `after` does not verify: nothing that follows can be told.
    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>>;

    /// Moves a ref if it is still at `expected` (`None`: does not exist yet).
    ///
    /// # Errors
    /// `Conflict` where it is elsewhere, `NotFound` where the lineage has no such checkpoint.
    fn set_ref(
        &self,
        lineage: &str,
        name: &str,
        id: &CheckpointId,
        expected: Option<&CheckpointId>,
        reason: &str,
    ) -> Result<()>;

    /// Records a verdict on a checkpoint of the lineage.
    ///
    /// # Errors
    /// `NotFound` where the lineage has no such checkpoint.
    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()>;

    /// Takes a ref away if it is at `expected`. What it pinned may go with the next pruning.
    ///
    /// # Errors
    /// `NotFound` where there is no such ref, `Conflict` where it is elsewhere.
    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()>;

    /// Marks checkpoints of the lineage as removed, all or none; their bytes go with a later
    /// [`collect`](Self::collect).
    ///
    /// # Errors
    /// `NotFound` where one is not there, `Conflict` where a ref points at one.
    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()>;

    /// Reads what is stored, as deep as asked, and checks it.
    ///
    /// # Errors
    /// When the store cannot be read at all; damage is in the report.
    fn scrub(&self, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport>;

    /// Frees the space of what was removed, in two phases: marks what nothing leads to, and sweeps what an
    /// earlier call marked at least the grace period ago and nothing has led to since.
    ///
    /// # Errors
    /// When anything is damaged or unclear: nothing is deleted on doubt.
    fn collect(&self, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
        let _ = (host, options);
        Err(unsupported("free space"))
    }

    /// Mends what does not verify from what does: replicas, or the same bytes stored elsewhere. Deletes nothing.
    ///
    /// # Errors
    /// When the store cannot be read at all; what cannot be mended is in the report.
    fn repair(&self, host: &dyn Host) -> Result<RepairReport> {
        let _ = host;
        Err(unsupported("repair itself"))
    }

    /// Returns how much is stored and how much space that takes.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn stats(&self, host: &dyn Host) -> Result<StoreStats> {
        let _ = host;
        Err(unsupported("tell its size"))
    }

    /// Tries whether the place where it keeps its files does what the store relies on.
    ///
    /// # Errors
    /// When the place cannot be tried; what it gets wrong is in the report.
    fn doctor(&self, host: &dyn Host) -> Result<DoctorReport> {
        let _ = host;
        Err(unsupported("examine the place it is in"))
    }

    /// Refuses where the clock of this machine and that by which the store dates its files are far apart: ages
    /// cannot be told then, and what is recent could be taken for old.
    ///
    /// # Errors
    /// When they are, or when that cannot be found out.
    fn check_clock(&self, host: &dyn Host) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// Ends the store; nothing is called after it.
    ///
    /// Plugins leave it as it is. The host's own implementation drops what lives in the library, where a destructor that panics can still
    /// be told of.
    ///
    /// # Errors
    /// When its destructor panicked, or that of a reader or writer before.
    #[doc(hidden)]
    fn close(&mut self) -> Result<()> {
        Ok(())
    }

    /// Returns the log of a lineage as a [`History`], which says where it ends because of [damage](History::damage).
    ///
    /// # Errors
    /// When the log cannot be read for another reason than damage.
    fn history(&self, lineage: &str) -> Result<History> {
        let mut res = History::default();
        loop {
            match self.log(lineage, res.last_seq(), 1024) {
                Ok(entries) if entries.is_empty() => return Ok(res),
                Ok(entries) => entries.into_iter().for_each(|it| res.push(it)),
                Err(e) if e.is_damage() => {
                    res.end_at(e);
                    return Ok(res);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns what a ref points at.
    ///
    /// # Errors
    /// As [`log`](Self::log): where an entry is damaged, nobody can tell whether it moved the ref.
    fn get_ref(&self, lineage: &str, name: &str) -> Result<Option<CheckpointId>> {
        Ok(self.history(lineage)?.whole()?.get_ref(name).cloned())
    }
}

/// Writes one checkpoint. Dropping it without [`publish`](Self::publish) leaves nothing behind.
pub trait CheckpointWriter: Send {
    /// Appends to the file of that name (`weights/model.safetensors`).
    ///
    /// No bytes at all are a hint that something begins here, such as a tensor: a store that shares equal pieces
    /// among checkpoints may then find it again where it comes at another offset.
    ///
    /// # Errors
    /// When the name is not a plain relative path, or the store cannot be written.
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()>;

    /// Adds a named tensor beside the files.
    ///
    /// # Errors
    /// When the name is taken, or the store cannot be written.
    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()>;

    /// Publishes the checkpoint, atomically and durably, and returns its id. Publishing content
    /// that the lineage already has returns the same id and changes nothing. Nothing is called after it.
    ///
    /// # Errors
    /// When the store cannot be written; nothing is visible then. `Busy` where other writers were faster each time, so that
    /// the same may be written again, and `Conflict` where the lineage has another checkpoint of this step.
    fn publish(&mut self) -> Result<CheckpointId>;
}

impl dyn CheckpointWriter {
    /// Publishes the checkpoint and ends the writer.
    ///
    /// # Errors
    /// Those of [`publish`](CheckpointWriter::publish).
    pub fn commit(mut self: Box<Self>) -> Result<CheckpointId> {
        self.publish()
    }
}

/// Reads one checkpoint. No byte is handed out before its digest, or that of the chunk it is in, was checked. The host trusts
/// no store: it holds what it reads whole against [`FileEntry::digest`] or [`TensorEntry::digest`], which the id stands for.
pub trait CheckpointReader: Send + Sync {
    /// Returns what is in it.
    fn manifest(&self) -> &CheckpointManifest;

    /// Fills `out` from `offset` of a file and returns how many bytes were read; 0 at its end.
    ///
    /// # Errors
    /// `NotFound` where there is no such file, `Corrupt` where its bytes do not verify.
    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize>;

    /// Returns the tensor of that name among those added with [`CheckpointWriter::tensor`].
    ///
    /// # Errors
    /// `Corrupt` where its bytes do not verify.
    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>>;

    /// As [`read`](Self::read), of the bytes of a tensor, for who needs not all of them at once. A store of large tensors does
    /// not leave it at this, which has the whole tensor in memory for as long as the reader.
    ///
    /// # Errors
    /// As there.
    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let tensor = self.tensor(name)?.ok_or_else(|| {
            let (id, name) = (self.manifest().id.short(), name.escape_debug());
            Error::new(ErrorKind::NotFound, format!("the checkpoint `{id}` has no tensor `{name}` beside its files"))
        })?;
        let rest = usize::try_from(offset).ok().and_then(|it| tensor.bytes.get(it..)).unwrap_or_default();
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// The BLAKE3 digest of a checkpoint's [`content`]: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CheckpointId(#[schemars(regex(pattern = "^[0-9a-f]{64}$"))] String);

impl CheckpointId {
    /// Returns the id that `text` spells.
    ///
    /// # Errors
    /// When it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() == 64 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::new(ErrorKind::Input, format!("`{text}` is not a checkpoint id"))
                .with_help("an id is 64 hexadecimal digits, as `modelwatch store list` shows them"))
        }
    }

    /// Returns the whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve digits, for people.
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

/// Returns the first twelve digits of a digest, for people.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CheckpointId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<CheckpointId> for String {
    fn from(id: CheckpointId) -> Self {
        id.0
    }
}

/// What is in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointManifest {
    /// The BLAKE3 digest of its [`content`].
    pub id: CheckpointId,
    /// What was given to [`CheckpointStore::begin`].
    pub metadata: Map<String, Value>,
    /// The files, sorted by name.
    pub files: Vec<FileEntry>,
    /// The tensors that were added beside the files, sorted by name.
    pub tensors: Vec<TensorEntry>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// A plain relative path with `/`.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The BLAKE3 digest of all its bytes, in lower-case hexadecimal.
    pub digest: String,
}

/// A tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TensorEntry {
    /// The name.
    pub name: String,
    /// The element type: `f32`.
    pub dtype: String,
    /// The extent of each axis.
    pub shape: Vec<u64>,
    /// The BLAKE3 digest of its bytes, row-major and little-endian, in lower-case hexadecimal.
    pub digest: String,
}

/// Returns the text whose BLAKE3 digest, of its bytes in UTF-8, is the id of a checkpoint, in every store: JSON without white
/// space, with the keys of every object in byte order. Files and tensors are sorted by name.
pub fn content(metadata: &Map<String, Value>, files: &[FileEntry], tensors: &[TensorEntry]) -> String {
    let mut res = json!({"format": 1, "metadata": metadata, "files": files, "tensors": tensors});
    // Does nothing unless another crate of the build turned on serde_json's `preserve_order`.
    res.sort_all_objects();
    res.to_string()
}

/// One entry of a lineage's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    /// 1 for the first, without gaps.
    pub seq: u64,
    /// Seconds since 1970 by the writer's clock. Advisory: order is by `seq`.
    pub time: u64,
    /// What happened.
    pub event: LogEvent,
}

/// What a log entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogEvent {
    /// A checkpoint was committed.
    Commit {
        /// Its id.
        id: CheckpointId,
    },
    /// A verdict was given.
    Verdict {
        /// The checkpoint that was judged.
        id: CheckpointId,
        /// The verdict.
        verdict: VerdictRecord,
    },
    /// A ref was moved.
    SetRef {
        /// The ref.
        name: String,
        /// Where it was.
        from: Option<CheckpointId>,
        /// Where it is now.
        to: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A ref was taken away.
    UnsetRef {
        /// The ref.
        name: String,
        /// Where it was.
        from: CheckpointId,
        /// Why.
        reason: String,
    },
    /// Checkpoints were removed.
    Remove {
        /// Their ids.
        #[serde(alias = "id", deserialize_with = "one_or_many")]
        ids: Vec<CheckpointId>,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// The bytes of a checkpoint are to be found in another place from here on.
    Relocate {
        /// Its id.
        id: CheckpointId,
    },
    /// In the store's own log only: a lineage is about to get its first checkpoint.
    Lineage {
        /// Its name.
        name: String,
    },
    /// What nothing leads to was marked for deletion.
    Mark {
        /// What names the list of it.
        list: String,
    },
    /// What was marked is deleted: what is added to the log from here on does not lead to it.
    Sweep {
        /// What names the list of it.
        list: String,
    },
    /// The list of what was marked is lost: nothing is deleted by it any more.
    Void {
        /// What named the list.
        list: String,
    },
    /// Something that this version does not know and may ignore.
    #[serde(other)]
    Unknown,
}

/// Early logs have one id where there can be several.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<CheckpointId>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(it) => CheckpointId::parse(&it).map(|it| vec![it]).map_err(D::Error::custom),
        several => serde_json::from_value(several).map_err(D::Error::custom),
    }
}

/// A verdict on a checkpoint, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictRecord {
    /// `pass`, `fail`, `inconclusive`, `not-checked` or `error`.
    pub verdict: String,
    /// The pipeline that gave it.
    pub pipeline: String,
    /// The run that gave it.
    pub run_id: String,
    /// What the run measured of the checkpoint as a whole, by which the best ones can be kept. Only finite numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// What the verdict is about. Verdicts of early versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blessing: Option<Box<Blessing>>,
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Other, format!("this kind of store does not know how to {what}"))
        .with_help("use the store `local`, or ask the plugin's author")
}

/// Checks the name of a lineage or ref: 1 to 128 of `A-Z a-z 0-9 . _ -`, not starting with `.`.
///
/// # Errors
/// When it is not.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let fits = (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Input, format!("`{name}` is no name for a {what}"))
            .with_help("use 1 to 128 letters, digits, `.`, `_` or `-`, not starting with `.`"))
    }
}

/// Checks the name of a file in a checkpoint: a relative path of plain components joined by `/`,
/// at most 512 bytes.
///
/// # Errors
/// When it is not; such a name could leave the folder it is written to.
pub fn check_file_name(name: &str) -> Result<()> {
    let plain = |it: &str| !it.is_empty() && it != "." && it != ".." && !it.contains(['\\', '\0', ':']);
    if name.len() <= 512 && name.split('/').all(plain) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Input, format!("`{}` is no name for a file in a checkpoint", name.escape_debug()))
            .with_help("use a relative path without `..`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_are_refused() {
        for name in ["", ".", "..", "../x", "a/../b", "/etc", "a//b", "a\\b", "a\0b", "C:x", "a\nb"] {
            assert!(check_file_name(name).is_err(), "{name:?}");
        }
        for name in ["model.onnx", "variables/variables.index", "übung.npz"] {
            check_file_name(name).unwrap();
        }
        for name in ["", ".x", "a/b", "a b", &"x".repeat(129)] {
            assert!(check_name("ref", name).is_err(), "{name:?}");
        }
        check_name("ref", "good-2.1_b").unwrap();
    }

    #[test]
    fn ids_are_64_hex_digits() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(CheckpointId::parse(&id).unwrap().short(), "0123456789ab");
        for bad in ["", "xyz", &id.to_uppercase(), &id[1..]] {
            assert!(CheckpointId::parse(bad).is_err(), "{bad}");
        }
    }
}
