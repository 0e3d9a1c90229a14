//! The format on disk, version 1. This page is its specification.
//!
//! # Layout
//!
//! ```text
//! store.json                          what kind of store this is; written once
//! packs/<aa>/<digest>.pack            the bytes of checkpoints, in frames; at most 64 MiB each
//! manifests/<aa>/<digest>.json        what a checkpoint consists of and where its chunks lie
//! log/<lineage>/<seq: 20 digits>.json the log of a lineage; the only place where anything happens
//! log/<lineage>/<seq>.segment         128 entries up to that one once more, in one file; optional
//! log/.store/                         the log of the store itself: lineages, and what garbage collections do
//! gc/<aa>/<digest>.json               what a garbage collection condemns
//! quarantine/                         damaged files that were replaced
//! reserve                             room for what frees room on a full disk; local only, and nobody reads it
//! tmp/<random>/                       staged files of a running writer, with a locked file `lock`; local only
//! ```
//!
//! A *digest* is BLAKE3 with 32 bytes of output, written as 64 lower-case hexadecimal digits; `<aa>` are
//! its first two. Packs, manifests and lists of garbage are named by the digest of the whole file. All folders and
//! files are plain: a symbolic link is damage. Files with other names are ignored.
//!
//! Every file is written once, by put-if-absent. In a folder that is: a file in `tmp/`, fsync, hard link to its
//! name (which fails where the name exists), fsync of the folder and of every folder that was made for it. So a
//! name either does not exist or has its final bytes. A pack or manifest whose bytes are damaged may be replaced
//! by the right ones, by rename, and an entry or a segment too; the damaged bytes go to `quarantine/`. A checkpoint exists from the moment its log entry does; packs and
//! manifests that no entry leads to are leftovers.
//!
//! # JSON
//!
//! All JSON is UTF-8 without white space, with the keys of every object in byte order (*canonical*).
//! Readers ignore members they do not know. What must not be ignored is announced in two ways: by a
//! greater `format` (`format_version` in `store.json`), or by a string in the optional array `requires`,
//! which names a feature. A reader refuses both when it does not know them. Version 1 knows no features.
//!
//! `store.json` and log entries are *sealed*: the last member is `digest`, the digest of all bytes before
//! `,"digest":"`. It is appended to the canonical text of the other members, so the seal covers the bytes
//! as they are and does not depend on how JSON is written. The seal never changes in later versions.
//!
//! ## `store.json` (sealed, at most 64 KiB)
//!
//! | member | meaning |
//! |---|---|
//! | `format_version` | 1 |
//! | `store_id` | 32 random hexadecimal digits |
//! | `chunk_size` | the greatest length of a chunk, 4 KiB to 16 MiB; 1 MiB unless said otherwise |
//! | `created` | seconds since 1970, advisory |
//! | `requires` | features, optional |
//!
//! ## Log entry (sealed, at most 1 MiB)
//!
//! | member | meaning |
//! |---|---|
//! | `format` | 1 |
//! | `lineage`, `seq` | as in the path; `seq` starts at 1 and has no gaps |
//! | `prev_hash` | the digest of the whole previous entry's file; 64 zeros for the first |
//! | `op_id` | 32 random hexadecimal digits: by them a writer knows its own entry again |
//! | `writer` | name, version and process of the writer; advisory |
//! | `time` | seconds since 1970 by the writer's clock; advisory, order is by `seq` |
//! | `event` | `{"op":"commit","id":…}`, `{"op":"verdict","id":…,"verdict":{…}}`, `{"op":"set-ref","name":…,"from":…,"reason":…,"to":…}`, `{"op":"unset-ref","name":…,"from":…,"reason":…}`, `{"op":"remove","ids":[…],"reason":…}`, `{"op":"relocate","id":…}`, `{"op":"sweep","list":…}`, and in the store's own log `{"op":"lineage","name":…}`, `{"op":"mark","list":…}` and `{"op":"void","list":…}`; others are ignored unless `requires` says no |
//! | `manifest` | with `commit` and `relocate`: the digest of the manifest |
//! | `requires` | features, optional |
//!
//! An entry with an `op` that a reader does not know counts for the chain and for nothing else. Early logs have
//! `remove` with one `id`. A segment is the bytes of its entries, joined by line feeds: a reader holds them
//! against the chain like the entries themselves, and reads those where anything is wrong.
//!
//! What is in front of a damaged entry can be relied on, unless the entry after it says otherwise. Nothing is added
//! after a damaged one.
//!
//! ## Garbage
//!
//! A list is `{"format":1,"manifests":[…],"nonce":…,"packs":[…]}` and says what nothing leads to. The nonce is random, so
//! that no name of a list comes again; early lists have none. Its digest is first
//! marked in the store's own log. Before anything on it is deleted, a sweep of it is added to the store's own
//! log, then to that of every lineage that has one or is named in the store's own. Then goes what no commit
//! before the sweep needs. A writer adds a lineage to the store's own log before its first commit there, and
//! no commit uses a pack or manifest of a list that was swept before it, in its lineage or in the store's own log:
//! the same bytes then get a pack with a random frame in front, or a manifest with a `nonce`.
//!
//! A list that is damaged is given up by `void` in the store's own log: it counts as not marked. Where it was swept, and
//! cannot be read, a commit uses only packs that checkpoints of the log lead to, and names that never were.
//!
//! ## Manifest (named by its digest, at most 64 MiB)
//!
//! | member | meaning |
//! |---|---|
//! | `format` | 1 |
//! | `id` | the checkpoint's id, see below |
//! | `metadata` | an object, at most 64 deep |
//! | `packs` | digests of packs, in the order of first use |
//! | `files` | `{"name","size","digest","chunks"}`, strictly sorted by name; `digest` is that of the file's bytes |
//! | `tensors` | `{"name","dtype","shape","digest","chunks"}`, strictly sorted by name; little-endian, row-major |
//! | `chunks` | `{"hash","pack","offset","size","len"}`: the digest of the chunk's bytes, the position in `packs`, where its frame starts and how long it is, how long the chunk is; with codec 3 also `base`: `{"hash","pack","offset","size"}` |
//! | `requires` | features, optional |
//!
//! Chunks follow each other in the file or tensor. They have `chunk_size` bytes, but for the last, and those in
//! front of a place in a file where the writer said that something begins; readers rely only on `1 ≤ len ≤ chunk_size`. A frame may serve many chunks of many checkpoints.
//!
//! The *id* of a checkpoint is the digest of the canonical JSON of
//! `{"files":[{"digest","name","size"}…],"format":1,"metadata":{…},"tensors":[{"digest","dtype","name","shape"}…]}`:
//! its content alone, not where, when or by whom it was stored. Two manifests may have the same id; that of the
//! newest commit or relocation counts. The others are garbage, which serves for as long as it is there.
//!
//! # Pack
//!
//! Little-endian. `header · frame* · index · trailer`.
//!
//! | part | bytes |
//! |---|---|
//! | header | `MWPK`, version `u8` = 1, three zeros |
//! | frame | `MWFR`, version `u8` = 1, codec `u8`, width `u16`, raw length `u32`, encoded length `u32`, digest of the raw bytes (32), the encoded bytes |
//! | index | per frame: offset `u32`, size `u32`, raw length `u32`, zero `u32`, digest of the raw bytes (32) |
//! | trailer | number of frames `u32`, offset of the index `u32`, digest of header and index and these two numbers (32), `MWPE`, version `u8` = 1, three zeros |
//!
//! Codec 0 stores the raw bytes, 1 compresses them into zstd frames, one or several in a row, 2 (width 2 to 16)
//! shuffles the bytes of elements of that width and compresses, 3 (width 1 to 16) takes the exclusive or with a base first, whose digest precedes the
//! encoded bytes. A base is never a difference itself. Encoded bytes are never more than the raw ones. Unknown
//! codecs, widths and versions are refused.
//! A chunk's raw length never exceeds `chunk_size`, whatever a frame says.
//!
//! # What it cannot tell
//!
//! The newest entries of a log can be taken away without a trace inside the store, and whoever can write the
//! folder can write a whole new chain: against that helps a copy of the last digest, a replica, or a signature.

use std::fmt;

use modelwatch_sdk::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::errors;

/// The version of `store.json`, manifests, entries and packs that this crate writes.
pub const FORMAT: u64 = 1;
/// The greatest size of a pack.
pub const MAX_PACK: u64 = 64 << 20;
/// The length of all but the last chunk of a file, unless `store.json` says otherwise.
pub const CHUNK_SIZE: u64 = 1 << 20;
/// The greatest size of a manifest.
pub const MAX_MANIFEST: u64 = 64 << 20;
/// The greatest size of a log entry.
pub const MAX_ENTRY: u64 = 1 << 20;
/// How many entries of a log a segment repeats.
pub const SEGMENT: u64 = 128;
/// The greatest size of a segment.
pub(crate) const MAX_SEGMENT: u64 = SEGMENT * (MAX_ENTRY + 1);

/// The greatest size of `store.json`.
pub const MAX_STORE_FILE: u64 = 64 << 10;
const SEAL_LEN: usize = r#","digest":"""#.len() + 64 + "}".len();

/// A BLAKE3 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest before the first entry of a log.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the digest that 64 lower-case hexadecimal digits spell.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.len() == 64 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        lower.then(|| blake3::Hash::from_hex(text).ok().map(|it| Self(*it.as_bytes()))).flatten()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).ok_or_else(|| "a digest is 64 lower-case hexadecimal digits".to_owned())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Returns the random id that a store has all its life, from the bytes of its `store.json`; none where they are damaged.
pub fn store_id(bytes: &[u8]) -> Option<String> {
    StoreFile::parse("", bytes).ok().map(|it| it.store_id)
}

/// The content of `store.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoreFile {
    pub(crate) format_version: u64,
    pub(crate) store_id: String,
    pub(crate) chunk_size: u64,
    #[serde(default)]
    pub(crate) created: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
}

impl StoreFile {
    pub(crate) fn parse(place: &str, bytes: &[u8]) -> Result<Self> {
        let sealed: Result<Self> = unseal(place, bytes);
        // The version comes before the seal, so that someone with an old program learns why.
        if let Ok(Value::Object(it)) = serde_json::from_slice(bytes)
            && let Some(version) = it.get("format_version").and_then(Value::as_u64)
        {
            check_format(place, version, &[], "")?;
        }
        let res = sealed?;
        check_format(place, res.format_version, &res.requires, "")?;
        if (4 << 10..=16 << 20).contains(&res.chunk_size) {
            Ok(res)
        } else {
            Err(errors::corrupt(place, format_args!("has the chunk size {}", res.chunk_size)))
        }
    }
}

/// Refuses what a newer version wrote and this one must not guess at.
pub(crate) fn check_format(place: &str, format: u64, requires: &[String], writer: &str) -> Result<()> {
    if format != FORMAT {
        let what = format_args!("is of format version {format}, and this version reads version {FORMAT}");
        return Err(errors::too_new(place, what, writer));
    }
    match requires.first() {
        Some(it) => {
            let what = format!("requires `{}`, which format version {FORMAT} here does not know", it.escape_debug());
            Err(errors::too_new(place, what, writer))
        }
        None => Ok(()),
    }
}

/// Returns the canonical JSON of `value`.
pub(crate) fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let failed = |e| Error::input(format!("cannot write the content as JSON: {e}"));
    let mut value = serde_json::to_value(value).map_err(failed)?;
    // Does nothing unless another crate of the build turned on serde_json's `preserve_order`.
    value.sort_all_objects();
    serde_json::to_vec(&value).map_err(failed)
}

/// Returns the canonical JSON of `value`, an object, with a seal.
pub(crate) fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut res = canonical(value)?;
    res.pop();
    let digest = Digest::of(&res);
    res.extend_from_slice(format!(r#","digest":"{digest}"}}"#).as_bytes());
    Ok(res)
}

/// Returns the value in sealed bytes.
pub(crate) fn unseal<T: DeserializeOwned>(place: &str, bytes: &[u8]) -> Result<T> {
    let end = bytes.len().checked_sub(SEAL_LEN).ok_or_else(|| errors::corrupt(place, "is cut off"))?;
    let (body, end) = bytes.split_at(end);
    if end != format!(r#","digest":"{}"}}"#, Digest::of(body)).as_bytes() {
        return Err(errors::corrupt(place, "does not verify: its bytes are not what was written"));
    }
    understand(place, bytes)
}

/// Returns the value in sealed bytes that were held against their seal before.
pub(crate) fn understand<T: DeserializeOwned>(place: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| errors::corrupt(place, format_args!("cannot be understood: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_to_sealed_bytes_is_noticed() {
        let place = "x";
        let bytes = seal(&serde_json::json!({"b": 1, "a": [true, "ü"]})).unwrap();
        assert!(bytes.starts_with(r#"{"a":[true,"ü"],"b":1,"digest":""#.as_bytes()));
        assert_eq!(unseal::<Value>(place, &bytes).unwrap()["b"], 1);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(unseal::<Value>(place, &bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(unseal::<Value>(place, &bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn newer_stores_are_refused_by_version() {
        let place = "store.json";
        let check = |text: &str, part: &str| {
            let message = StoreFile::parse(place, text.as_bytes()).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        };
        check(r#"{"format_version":7,"anything":{}}"#, "is of format version 7");
        check(r#"{"format_version":1}"#, "`store.json`");
        let mut file =
            StoreFile { format_version: 1, store_id: "0".repeat(32), chunk_size: 1, created: 0, requires: vec![] };
        check(&String::from_utf8(seal(&file).unwrap()).unwrap(), "chunk size 1");
        file.requires.push("erasure-codes".into());
        check(&String::from_utf8(seal(&file).unwrap()).unwrap(), "requires `erasure-codes`");
        file = StoreFile { chunk_size: CHUNK_SIZE, requires: vec![], ..file };
        let mut more = serde_json::to_value(&file).unwrap();
        more["later"] = Value::from("ignored");
        StoreFile::parse(place, &seal(&more).unwrap()).unwrap();
    }
}
