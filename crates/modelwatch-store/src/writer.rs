//! Writes one checkpoint: chunks into staged packs, then packs, manifest and log entry into place.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread,
};

use modelwatch_sdk::{
    Error, ErrorKind, Result, TensorView,
    store::{CheckpointId, CheckpointWriter, LogEvent, check_file_name},
};
use serde_json::{Map, Value};

use crate::{
    condemned::Banned,
    engine::Shared,
    errors,
    format::{self, Digest, FORMAT, MAX_MANIFEST},
    keys,
    log::{Chain, Change},
    manifest::{self, Base, Chunk, StoredFile, StoredManifest, StoredTensor},
    random,
    reader::Reader,
    sink::{Part, Placed, Sink, publish_named},
};

/// How many bytes may wait for the rest of their chunk, over all files.
const MAX_PENDING: usize = 64 << 20;
/// How often a writer starts its commit over because of a garbage collection.
const MAX_TRIES: usize = 4;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    lineage: String,
    metadata: Map<String, Value>,
    files: BTreeMap<String, FileDraft>,
    tensors: BTreeMap<String, TensorDraft>,
    /// The bytes in all drafts' buffers.
    n_pending: usize,
    sink: Sink,
    /// The last entry of the lineage's log when this was begun.
    begun: u64,
    /// Why nothing more can be written.
    failed: Option<Error>,
}

/// A file whose end is still to come.
struct FileDraft {
    part: String,
    size: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    chunks: Vec<Placed>,
}

struct TensorDraft {
    dtype: String,
    shape: Vec<u64>,
    digest: Digest,
    chunks: Vec<Placed>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, lineage: &str, metadata: Map<String, Value>) -> Result<Self> {
        let sink = Sink::new(&shared, lineage)?;
        let begun = shared.log.with(lineage, |it| Ok(it.history().last_seq()))?;
        Ok(Self {
            shared,
            lineage: lineage.to_owned(),
            metadata,
            files: BTreeMap::new(),
            tensors: BTreeMap::new(),
            n_pending: 0,
            sink,
            begun,
            failed: None,
        })
    }

    /// Runs a write; after a failure there is no telling what the packs contain.
    fn guarded<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(it) = &self.failed {
            return Err(it.clone());
        }
        let res = write(self);
        if let Err(e) = &res {
            self.failed = Some(e.clone());
        }
        res
    }

    fn append_to(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        let chunk_size = self.shared.chunk_size as usize;
        if self.n_pending + chunk_size > MAX_PENDING && self.files.get(file).is_none_or(|it| it.buffer.is_empty()) {
            self.flush()?;
        }
        let draft = self.files.entry(file.to_owned()).or_insert_with(|| FileDraft {
            part: format!("file:{file}"),
            size: 0,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            chunks: Vec::new(),
        });
        draft.size += bytes.len() as u64;
        if bytes.is_empty() && !draft.buffer.is_empty() {
            return self.end_chunk(file);
        }
        self.n_pending -= draft.buffer.len();
        let FileDraft { part, hasher, buffer, chunks, .. } = draft;
        let sink = &mut self.sink;
        beside(bytes.len(), || _ = hasher.update(bytes), || put_whole(sink, part, buffer, chunks, bytes, chunk_size))?;
        self.n_pending += draft.buffer.len();
        Ok(())
    }

    /// Ends the current chunk of a file, so that what comes next starts one, wherever that is in the file.
    fn end_chunk(&mut self, file: &str) -> Result<()> {
        let Some(FileDraft { part, buffer, chunks, .. }) = self.files.get_mut(file) else {
            return Ok(());
        };
        put_all(&mut self.sink, part, chunks, &[&buffer[..]])?;
        self.n_pending -= buffer.len();
        buffer.clear();
        Ok(())
    }

    /// Ends the current chunk of every file.
    fn flush(&mut self) -> Result<()> {
        for it in self.files.values_mut().filter(|it| !it.buffer.is_empty()) {
            put_all(&mut self.sink, &it.part, &mut it.chunks, &[&it.buffer])?;
            it.buffer = Vec::new();
        }
        self.n_pending = 0;
        Ok(())
    }

    fn publish_all(&mut self) -> Result<CheckpointId> {
        self.flush()?;
        self.sink.finish()?;
        self.shared.register(&self.lineage)?;
        for _ in 0..MAX_TRIES {
            let banned = self.shared.banned(&self.lineage, false)?;
            let files = self.files.values_mut().flat_map(|it| &mut it.chunks);
            let placed = files.chain(self.tensors.values_mut().flat_map(|it| &mut it.chunks));
            self.sink.leave(&banned, placed)?;
            if let Some(id) = self.try_publish(&banned)? {
                return Ok(id);
            }
        }
        let what = format!("garbage was collected {MAX_TRIES} times while a checkpoint was committed");
        Err(Error::new(ErrorKind::Busy, what).with_help("write the checkpoint again; nothing was lost"))
    }

    /// Returns nothing if a garbage collection came between.
    fn try_publish(&mut self, banned: &Banned) -> Result<Option<CheckpointId>> {
        let mut stored = self.manifest()?;
        let mut bytes = format::canonical(&stored)?;
        if banned.has_manifest(Digest::of(&bytes)) {
            stored.nonce = Some(random::id());
            bytes = format::canonical(&stored)?;
        }
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(Error::input(format!("a checkpoint whose manifest has {} bytes is too large", bytes.len()))
                .with_help("split it into several checkpoints"));
        }
        let (digest, id) = (Digest::of(&bytes), stored.id);
        let shared = &self.shared;
        // Nothing new means that every chunk was compared with what is stored, which need not be done again.
        let compared = (!self.sink.has_new()).then_some(digest);
        let is_stored = |chain: &Chain| is_intact(shared, chain, &id, compared);
        if shared.log.with(&self.lineage, |it| Ok(is_stored(it)))? {
            // Nothing to store, but the log must be durable before this is acknowledged too.
            shared.log.append(&self.lineage, |_| Ok(None))?;
            return Ok(Some(id));
        }
        self.sink.publish_packs()?;
        self.sink.stage.write(&format!("manifest-{digest}"), &bytes)?;
        let (name, key) = (format!("manifest-{digest}"), keys::manifest(digest));
        publish_named(&self.shared, self.sink.stage.as_ref(), &name, &key, digest, MAX_MANIFEST)?;
        let mut is_overtaken = false;
        let mut seen = self.begun;
        shared.log.append(&self.lineage, |it| {
            is_overtaken = it.sweeps().any(|(_, list)| !banned.knows(list));
            if is_overtaken || is_stored(it) {
                return Ok(None);
            }
            refuse_step_of_another(shared, it, &mut seen, (&id, self))?;
            Ok(Some(Change { event: LogEvent::Commit { id: id.clone() }, manifest: Some(digest) }))
        })?;
        Ok((!is_overtaken).then_some(id))
    }

    fn manifest(&self) -> Result<StoredManifest> {
        let mut packs = Vec::new();
        let mut positions = HashMap::new();
        let mut position = |digest: Digest| {
            *positions.entry(digest).or_insert_with(|| {
                packs.push(digest);
                packs.len() - 1
            })
        };
        let mut chunks = |placed: &[Placed]| -> Vec<Chunk> {
            let chunk = |it: &Placed| Chunk {
                hash: it.hash,
                pack: position(self.sink.pack_of(it)),
                offset: it.span().offset,
                size: it.span().size,
                len: it.len,
                base: it.base.map(|it| Base::new(&it, position(it.pack))),
            };
            placed.iter().map(chunk).collect()
        };
        let file = |(name, it): (&String, &FileDraft)| StoredFile {
            name: name.clone(),
            size: it.size,
            digest: it.hasher.finalize().into(),
            chunks: chunks(&it.chunks),
        };
        let files: Vec<_> = self.files.iter().map(file).collect();
        let tensor = |(name, it): (&String, &TensorDraft)| StoredTensor {
            name: name.clone(),
            dtype: it.dtype.clone(),
            shape: it.shape.clone(),
            digest: it.digest,
            chunks: chunks(&it.chunks),
        };
        let tensors: Vec<_> = self.tensors.iter().map(tensor).collect();
        let id = manifest::content_id(&self.metadata, &files, &tensors)?;
        let metadata = self.metadata.clone();
        Ok(StoredManifest { format: FORMAT, id, metadata, packs, files, tensors, requires: Vec::new(), nonce: None })
    }
}

impl CheckpointWriter for Writer {
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        check_file_name(file)?;
        if !self.files.contains_key(file) {
            let is_folder = self
                .files
                .range(format!("{file}/")..)
                .next()
                .is_some_and(|it| it.0.strip_prefix(file).is_some_and(|it| it.starts_with('/')));
            let mut above = file.match_indices('/').map(|it| &file[..it.0]);
            if is_folder || above.any(|it| self.files.contains_key(it)) {
                return Err(Error::input(format!("`{file}` would be a file and a folder of the checkpoint"))
                    .with_help("use another name"));
            }
        }
        self.guarded(|it| it.append_to(file, bytes))
    }

    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()> {
        let TensorView { name, dtype, shape, bytes } = *tensor;
        manifest::check_tensor_name(name).map_err(|e| Error::input(format!("the checkpoint {e}")))?;
        if self.tensors.contains_key(name) {
            return Err(
                Error::input(format!("the checkpoint has a tensor `{name}` already")).with_help("use another name")
            );
        }
        if manifest::tensor_bytes(dtype, shape) != Some(bytes.len() as u64) {
            let n_bytes = bytes.len();
            return Err(Error::input(format!(
                "the tensor `{name}` of {dtype} and shape {shape:?} has {n_bytes} bytes"
            ))
            .with_help("give it the product of the shape, times the size of an element"));
        }
        let chunk_size = self.shared.chunk_size as usize;
        self.guarded(|it| {
            let (of, sink) = (format!("tensor:{name}"), &mut it.sink);
            let chunks: Vec<&[u8]> = bytes.chunks(chunk_size).collect();
            let seen = sink.look_at(&chunks);
            let mut digest = match &seen[..] {
                [only] => Some(only.hash),
                seen => sink.whole(&seen.iter().map(|it| it.hash).collect::<Vec<_>>()),
            };
            let n_unknown = if digest.is_some() { 0 } else { bytes.len() };
            let hash = || _ = digest.get_or_insert_with(|| Digest::of(bytes));
            let first = Part { of: &of, at: 0, width: dtype.size() };
            let chunks = beside(n_unknown, hash, || sink.put(&chunks, &seen, first))?;
            let digest = digest.expect("it was known, or hashed");
            let draft = TensorDraft { dtype: dtype.to_string(), shape: shape.to_vec(), digest, chunks };
            it.tensors.insert(name.to_owned(), draft);
            Ok(())
        })
    }

    fn publish(&mut self) -> Result<CheckpointId> {
        self.guarded(Self::publish_all)
    }
}

/// Puts `buffer` and `bytes` into the sink, but for what does not fill a chunk and stays in the buffer.
fn put_whole(
    sink: &mut Sink,
    of: &str,
    buffer: &mut Vec<u8>,
    chunks: &mut Vec<Placed>,
    bytes: &[u8],
    chunk_size: usize,
) -> Result<()> {
    let mut rest = bytes;
    if !buffer.is_empty() {
        let (head, tail) = rest.split_at(rest.len().min(chunk_size - buffer.len()));
        buffer.extend_from_slice(head);
        rest = tail;
        if buffer.len() == chunk_size {
            put_all(sink, of, chunks, &[buffer])?;
            buffer.clear();
        }
    }
    let (whole, rest) = rest.split_at(rest.len() - rest.len() % chunk_size);
    put_all(sink, of, chunks, &whole.chunks_exact(chunk_size).collect::<Vec<_>>())?;
    buffer.extend_from_slice(rest);
    Ok(())
}

fn put_all(sink: &mut Sink, of: &str, chunks: &mut Vec<Placed>, new: &[&[u8]]) -> Result<()> {
    let seen = sink.look_at(new);
    chunks.extend(sink.put(new, &seen, Part { of, at: chunks.len(), width: 0 })?);
    Ok(())
}

/// Runs `main`, and `aside` in another thread meanwhile where there is enough to do.
fn beside<T>(n_bytes: usize, aside: impl FnOnce() + Send, main: impl FnOnce() -> T) -> T {
    if n_bytes < 1 << 20 {
        aside();
        return main();
    }
    thread::scope(|scope| {
        scope.spawn(aside);
        main()
    })
}

/// Refuses a checkpoint whose step another writer committed with other content since this one was begun: two trainings
/// write to one lineage. Whoever begins after the other has committed does so again on purpose, as after a restart.
fn refuse_step_of_another(
    shared: &Shared,
    chain: &Chain,
    seen: &mut u64,
    (ours, writer): (&CheckpointId, &Writer),
) -> Result<()> {
    let Some(step) = writer.metadata.get("step").filter(|it| it.is_u64()) else { return Ok(()) };
    let since = chain.entries_after(*seen, u32::MAX).iter();
    let commits = since.filter_map(|it| if let LogEvent::Commit { id } = &it.event { Some(id) } else { None });
    for id in commits.filter(|it| *it != ours) {
        let Some(&manifest) = chain.manifests(id).first() else { continue };
        // Whatever is wrong with the other one, it is no reason to lose this one.
        let other = StoredManifest::load(shared.blobs.as_ref(), manifest, shared.chunk_size);
        if other.is_ok_and(|it| it.metadata.get("step") == Some(step)) {
            return Err(errors::step_exists(&writer.lineage, step, id));
        }
    }
    *seen = chain.history().last_seq();
    Ok(())
}

/// Returns whether the lineage has the checkpoint and every byte of it verifies. That of the manifest
/// `compared` was verified before.
fn is_intact(shared: &Arc<Shared>, chain: &Chain, id: &CheckpointId, compared: Option<Digest>) -> bool {
    chain.manifests(id).first().is_some_and(|&it| {
        let read = Reader::load(shared, id, it);
        read.is_ok_and(|reader| compared == Some(it) || reader.verify(&mut |_| Ok(())).is_ok())
    })
}
