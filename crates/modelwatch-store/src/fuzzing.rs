//! Where bytes are thrown at what reads a store's files, by `fuzz/` and by a test: whoever can write to the place of a
//! store can also name a file after its bytes, so what is read is put right as far as digests go.
//!
//! Compiled for those two alone.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, Result,
    store::{History, LogEntry, LogEvent},
};
use serde_json::{Value, json};

use crate::{
    blobs::{Blobs, Stage, Stat},
    codec::Codec,
    entry::{EntryFile, parse_entry},
    errors,
    format::{self, CHUNK_SIZE, Digest, FORMAT, SEGMENT},
    frame::{self, FRAME_HEADER, FrameSpan, Header, Located, Scratch, Source},
    keys,
    log::Log,
    manifest::{self, StoredManifest},
    pack,
};

const PLACE: &str = "bytes";
const LINEAGE: &str = "digits";

/// Decodes bytes as the payload of a frame, in each codec: the first two are the length that it claims. Where the frame is a
/// difference, its base is there.
pub fn frame(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk::<FRAME_HEADER>() {
        let _ = Header::parse(header);
    }
    let Some((&[low, high], payload)) = bytes.split_first_chunk() else { return };
    let raw_len = usize::from(u16::from_le_bytes([low, high]));
    let base = vec![7; raw_len];
    for codec in [Codec::Raw, Codec::Zstd, Codec::Shuffle { width: 4 }, Codec::Delta { width: 2 }] {
        let of = Digest::of(&base);
        let payload = if matches!(codec, Codec::Delta { .. }) { [&of.0, payload].concat() } else { payload.to_vec() };
        let stored = |codec, hash, payload: &[u8]| {
            let header = Header { codec, raw_len: raw_len as u32, encoded_len: payload.len() as u32, hash };
            [&header.to_bytes()[..], payload].concat()
        };
        let (first, second) = (stored(codec, Digest::ZERO, &payload), stored(Codec::Raw, of, &base));
        let span = FrameSpan { offset: 0, size: first.len() as u64 };
        let source = Source { hash: Digest::ZERO, pack: Digest::ZERO, span };
        let span = FrameSpan { offset: first.len() as u64, size: second.len() as u64 };
        let base = Some(Source { hash: of, pack: Digest::ZERO, span });
        let files = Files::from([(keys::pack(Digest::ZERO), [first, second].concat())]);
        let mut out = vec![0; raw_len];
        let _ = frame::read_unchecked(&mut Scratch::default(), &files, &Located { source, base }, &mut out);
    }
}

/// Reads bytes as a whole pack, and as its index and trailer alone.
pub fn footer(bytes: &[u8]) {
    let _ = pack::index(PLACE, bytes);
    let _ = pack::check(PLACE, bytes, Digest::of(bytes));
    let digest = Digest::of(bytes);
    let files = Files::from([(keys::pack(digest), bytes.to_vec())]);
    if let Ok((size, frames)) = pack::read_index(&files, digest) {
        assert!(frames.iter().all(|it| it.span.offset + it.span.size <= size), "a frame lies outside its pack");
    }
}

/// Reads bytes as a manifest, and once more with the id of its content.
pub fn manifest(bytes: &[u8]) {
    let parsed = StoredManifest::parse(PLACE, bytes, CHUNK_SIZE);
    let mended = serde_json::from_slice::<StoredManifest>(bytes).ok().and_then(|mut it| {
        it.id = manifest::content_id(&it.metadata, &it.files, &it.tensors).ok()?;
        StoredManifest::parse(PLACE, &format::canonical(&it).ok()?, CHUNK_SIZE).ok()
    });
    for it in parsed.into_iter().chain(mended) {
        let shown = it.shown();
        assert!(shown.files.len() == it.files.len() && it.chunks().all(|it| it.pack < u32::MAX as usize));
        it.chunks().for_each(|chunk| _ = it.located(chunk));
    }
}

/// Reads bytes as an entry of a log, and once more with a seal.
pub fn log_entry(bytes: &[u8]) {
    let _ = parse_entry(PLACE, LINEAGE, 1, bytes);
    let Ok(mut it) = serde_json::from_slice::<Value>(bytes) else { return };
    let Some(entry) = it.as_object_mut() else { return };
    entry.remove("digest");
    entry.insert("lineage".to_owned(), json!(LINEAGE));
    entry.insert("seq".to_owned(), json!(1));
    if let Ok(sealed) = format::seal(&it) {
        let _ = parse_entry(PLACE, LINEAGE, 1, &sealed);
    }
}

/// Folds a log whose events are the lines of a text, each sealed and chained to the one before.
pub fn fold(bytes: &[u8]) {
    let mut files = Files::default();
    let mut prev_hash = Digest::ZERO;
    let mut history = History::default();
    let events = bytes.split(|it| *it == b'\n').filter_map(|it| serde_json::from_slice::<LogEvent>(it).ok());
    for (event, seq) in events.zip(1..) {
        history.push(LogEntry { seq, time: 0, event: event.clone() });
        let entry = EntryFile {
            format: FORMAT,
            lineage: LINEAGE.to_owned(),
            seq,
            prev_hash,
            op_id: seq.to_string(),
            writer: String::new(),
            time: 0,
            event,
            manifest: Some(Digest::of(&prev_hash.0)),
            requires: Vec::new(),
        };
        let Ok(sealed) = format::seal(&entry) else { return };
        prev_hash = Digest::of(&sealed);
        files.0.insert(keys::entry(LINEAGE, seq), sealed);
    }
    look(&history);
    let log = Log::new(std::sync::Arc::new(files), || 0, "fuzz", SEGMENT);
    let folded = log.with(LINEAGE, |chain| {
        look(chain.history());
        assert_eq!(chain.live_manifests().count(), chain.history().checkpoints().len(), "a checkpoint has no manifest");
        // What comes after an entry that cannot be taken is not read, and that is said.
        let seen = chain.history().last_seq() + chain.sweeps().count() as u64;
        Ok(chain.history().damage().is_some() || seen >= history.last_seq())
    });
    // Events that another version wrote are no error.
    assert!(folded.is_err() || folded.is_ok_and(|it| it));
}

fn look(history: &History) {
    let n_good = history.known_good().count();
    assert!(n_good <= history.checkpoints().len());
    for (name, id) in history.refs() {
        let back = history.before(name, id);
        assert!(back.len() <= n_good && back.iter().all(|it| history.contains(it)), "back to what is not there");
    }
}

/// Files that are there to be read.
#[derive(Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl<const N: usize> From<[(String, Vec<u8>); N]> for Files {
    fn from(files: [(String, Vec<u8>); N]) -> Self {
        Self(files.into())
    }
}

impl Blobs for Files {
    fn locate(&self, key: &str) -> String {
        key.to_owned()
    }

    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        match self.0.get(key) {
            Some(it) if it.len() as u64 > cap => Err(errors::corrupt(key, "is too large")),
            it => Ok(it.cloned()),
        }
    }

    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.0.get(key)?.get(start..start.checked_add(out.len())?));
        out.copy_from_slice(found.ok_or_else(|| errors::corrupt(key, "is cut off"))?);
        Ok(())
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>> {
        Ok(self.0.get(key).map(|it| Stat { size: it.len() as u64, modified: 0 }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = format!("{folder}/");
        Ok(self.0.keys().filter_map(|it| it.strip_prefix(&prefix).map(str::to_owned)).collect())
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        Err(read_only())
    }

    fn remove(&self, _: &str) -> Result<()> {
        Err(read_only())
    }

    fn quarantine(&self, _: &str) -> Result<()> {
        Err(read_only())
    }
}

fn read_only() -> Error {
    Error::io("these files are only read")
}
