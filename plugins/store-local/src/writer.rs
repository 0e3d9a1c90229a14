//! Writes one checkpoint: chunks into staged packs, then packs, manifest and log entry into place.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use modelwatch_sdk::{
    Error, Result, TensorView,
    store::{CheckpointId, CheckpointWriter, LogEvent, check_file_name},
};
use serde_json::{Map, Value};

use crate::{
    disk::Disk,
    format::{self, Digest, FORMAT, MAX_MANIFEST},
    log::{Chain, Change},
    manifest::{self, Chunk, StoredFile, StoredManifest, StoredTensor},
    pack::{FrameSpan, PackWriter},
    reader::Reader,
    stage::Stage,
    store::Shared,
};

/// How many of the lineage's newest checkpoints are looked through for chunks that are there already.
const N_DEDUPLICATE: usize = 8;
/// How many bytes may wait for the rest of their chunk, over all files.
const MAX_PENDING: usize = 64 << 20;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    lineage: String,
    metadata: Map<String, Value>,
    files: BTreeMap<String, Draft>,
    tensors: BTreeMap<String, (String, Vec<u64>, Digest, Vec<Placed>)>,
    /// The bytes in all drafts' buffers.
    n_pending: usize,
    sink: Sink,
    /// Why nothing more can be written.
    failed: Option<Error>,
}

/// A file whose end is still to come.
struct Draft {
    size: u64,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    chunks: Vec<Placed>,
}

/// Where the bytes of chunks go.
struct Sink {
    disk: Arc<Disk>,
    packs: PackWriter,
    known: HashMap<Digest, Placed>,
    stage: Stage,
}

#[derive(Clone, Copy)]
struct Placed {
    hash: Digest,
    pack: Pack,
    span: FrameSpan,
    len: u64,
}

#[derive(Clone, Copy)]
enum Pack {
    Staged(usize),
    Stored(Digest),
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, lineage: &str, metadata: Map<String, Value>) -> Result<Self> {
        let sink = Sink {
            disk: Arc::clone(&shared.disk),
            packs: PackWriter::new(shared.max_pack),
            known: known_chunks(&shared, lineage)?,
            stage: Stage::new(&shared.disk)?,
        };
        Ok(Self {
            shared,
            lineage: lineage.to_owned(),
            metadata,
            files: BTreeMap::new(),
            tensors: BTreeMap::new(),
            n_pending: 0,
            sink,
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
        let draft = self.files.entry(file.to_owned()).or_insert_with(|| Draft {
            size: 0,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            chunks: Vec::new(),
        });
        draft.hasher.update(bytes);
        draft.size += bytes.len() as u64;
        self.n_pending -= draft.buffer.len();
        let mut rest = bytes;
        if !draft.buffer.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(chunk_size - draft.buffer.len()));
            draft.buffer.extend_from_slice(head);
            rest = tail;
            if draft.buffer.len() == chunk_size {
                draft.chunks.push(self.sink.put(&draft.buffer)?);
                draft.buffer.clear();
            }
        }
        let (whole, rest) = rest.split_at(rest.len() - rest.len() % chunk_size);
        for it in whole.chunks_exact(chunk_size) {
            draft.chunks.push(self.sink.put(it)?);
        }
        draft.buffer.extend_from_slice(rest);
        self.n_pending += draft.buffer.len();
        Ok(())
    }

    /// Ends the current chunk of every file.
    fn flush(&mut self) -> Result<()> {
        for it in self.files.values_mut().filter(|it| !it.buffer.is_empty()) {
            it.chunks.push(self.sink.put(&it.buffer)?);
            it.buffer = Vec::new();
        }
        self.n_pending = 0;
        Ok(())
    }

    fn publish(mut self) -> Result<CheckpointId> {
        self.flush()?;
        let packs = self.sink.packs.finish()?.to_vec();
        let mut names = Vec::new();
        let mut positions = HashMap::new();
        let mut chunks = |placed: &[Placed]| -> Vec<Chunk> {
            let chunk = |it: &Placed| {
                let digest = match it.pack {
                    Pack::Staged(at) => packs[at].1,
                    Pack::Stored(it) => it,
                };
                let pack = *positions.entry(digest).or_insert_with(|| {
                    names.push(digest);
                    names.len() - 1
                });
                Chunk { hash: it.hash, pack, offset: it.span.offset, size: it.span.size, len: it.len }
            };
            placed.iter().map(chunk).collect()
        };
        let file = |(name, it): (String, Draft)| StoredFile {
            name,
            size: it.size,
            digest: it.hasher.finalize().into(),
            chunks: chunks(&it.chunks),
        };
        let files: Vec<_> = self.files.into_iter().map(file).collect();
        let tensor = |(name, (dtype, shape, digest, placed)): (String, (String, Vec<u64>, Digest, Vec<Placed>))| {
            StoredTensor { name, dtype, shape, digest, chunks: chunks(&placed) }
        };
        let tensors: Vec<_> = self.tensors.into_iter().map(tensor).collect();
        let id = manifest::content_id(&self.metadata, &files, &tensors)?;
        let stored = StoredManifest {
            format: FORMAT,
            id: id.clone(),
            metadata: self.metadata,
            packs: names,
            files,
            tensors,
            requires: Vec::new(),
        };
        let bytes = format::canonical(&stored)?;
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(Error::input(format!("a checkpoint whose manifest has {} bytes is too large", bytes.len()))
                .with_help("split it into several checkpoints"));
        }
        let (shared, Sink { disk, stage, .. }) = (&self.shared, &self.sink);
        if shared.log.with(&self.lineage, |it| Ok(is_intact(shared, it, &id)))? {
            // Nothing to store, but the log must be durable before this is acknowledged too.
            shared.log.append(&self.lineage, |_| Ok(None))?;
            return Ok(id);
        }
        for (staged, digest) in &packs {
            publish_named(disk, staged, &manifest::pack_path(disk, *digest), *digest)?;
        }
        let digest = Digest::of(&bytes);
        publish_named(disk, &stage.write("manifest", &bytes)?, &manifest::path(disk, digest), digest)?;
        shared.log.append(&self.lineage, |it| {
            let event = LogEvent::Commit { id: id.clone() };
            Ok((!is_intact(shared, it, &id)).then_some(Change { event, manifest: Some(digest) }))
        })?;
        Ok(id)
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
            let chunks = bytes.chunks(chunk_size).map(|it_bytes| it.sink.put(it_bytes)).collect::<Result<_>>()?;
            let draft = (dtype.to_string(), shape.to_vec(), Digest::of(bytes), chunks);
            it.tensors.insert(name.to_owned(), draft);
            Ok(())
        })
    }

    fn commit(self: Box<Self>) -> Result<CheckpointId> {
        match self.failed {
            Some(it) => Err(it),
            None => self.publish(),
        }
    }
}

impl Sink {
    /// Stores a chunk unless it is stored already. What the store claims to have is compared first, so
    /// that a checkpoint never comes to rest on damaged bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<Placed> {
        let hash = Digest::of(bytes);
        if let Some(&known) = self.known.get(&hash) {
            let is_there = match known.pack {
                Pack::Staged(_) => true,
                Pack::Stored(pack) => {
                    let len = bytes.len() as u64;
                    manifest::read_chunk(&self.disk, pack, known.span, hash, len).is_ok_and(|it| it == bytes)
                }
            };
            if is_there {
                return Ok(known);
            }
        }
        let (pack, span) = self.packs.add(&self.stage, hash, bytes)?;
        let res = Placed { hash, pack: Pack::Staged(pack), span, len: bytes.len() as u64 };
        self.known.insert(hash, res);
        Ok(res)
    }
}

/// Returns the chunks of the lineage's newest checkpoints. Damaged ones are left out; reading them reports it.
fn known_chunks(shared: &Shared, lineage: &str) -> Result<HashMap<Digest, Placed>> {
    let newest = shared.log.with(lineage, |it| {
        let ids = it.history().checkpoints().iter().rev().take(N_DEDUPLICATE);
        Ok(ids.filter_map(|checkpoint| it.manifests(&checkpoint.id).first().copied()).collect::<Vec<_>>())
    })?;
    let mut res = HashMap::new();
    for it in newest {
        let Ok(stored) = StoredManifest::load(&shared.disk, it, shared.chunk_size) else {
            continue;
        };
        let files = stored.files.iter().flat_map(|it| &it.chunks);
        for it in files.chain(stored.tensors.iter().flat_map(|it| &it.chunks)) {
            let span = FrameSpan { offset: it.offset, size: it.size };
            let pack = Pack::Stored(stored.packs[it.pack]);
            // The newest comes first and stays.
            res.entry(it.hash).or_insert(Placed { hash: it.hash, pack, span, len: it.len });
        }
    }
    Ok(res)
}

/// Returns whether the lineage has the checkpoint and every byte of it verifies.
fn is_intact(shared: &Arc<Shared>, chain: &Chain, id: &CheckpointId) -> bool {
    let manifest = chain.manifests(id).first().copied();
    manifest.is_some_and(|it| Reader::load(shared, id, it).and_then(|it| it.verify(&mut |_| Ok(()))).is_ok())
}

/// Gives a file the name that its bytes have. Where the name is taken, its owner must have the same bytes.
fn publish_named(disk: &Disk, staged: &Path, to: &Path, digest: Digest) -> Result<()> {
    if disk.publish(staged, to)? {
        return Ok(());
    }
    match disk.read(to, MAX_MANIFEST) {
        Ok(Some(bytes)) if Digest::of(&bytes) == digest => Ok(()),
        _ => disk.replace(staged, to),
    }
}
