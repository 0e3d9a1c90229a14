//! Reads one checkpoint; no byte is handed out before its chunk or its tensor was checked.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use modelwatch_sdk::{
    DType, Error, ErrorKind, Result, TensorView,
    store::{CheckpointId, CheckpointManifest, CheckpointReader},
};

use crate::{
    buffer::Buffer,
    engine::Shared,
    errors,
    format::Digest,
    frame::{self, Located, Scratch},
    keys,
    manifest::{Chunk, StoredManifest, StoredTensor},
    parallel::{self, share},
    survey::Folder,
    tree,
};

/// How many checked chunks are kept, so that small reads one after the other cost one pass.
const N_CACHED: usize = 4;

pub(crate) struct Reader {
    shared: Arc<Shared>,
    digest: Digest,
    stored: StoredManifest,
    shown: CheckpointManifest,
    /// Per file, where each of its chunks ends.
    file_ends: Vec<Vec<u64>>,
    /// The same per tensor.
    tensor_ends: Vec<Vec<u64>>,
    cache: Mutex<VecDeque<(Digest, Arc<Vec<u8>>)>>,
    /// Per tensor, its bytes once they were asked for. They stay as long as the reader: views borrow them.
    tensors: Vec<OnceLock<Buffer>>,
    /// Where chunks were moved since, as far as it was asked, by digest and length.
    moved: Mutex<HashMap<(Digest, u64), Located>>,
}

impl Reader {
    /// Opens the manifest of that digest, which is to be that of checkpoint `id`.
    pub(crate) fn load(shared: &Arc<Shared>, id: &CheckpointId, digest: Digest) -> Result<Self> {
        let stored = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size)
            .map_err(|e| unless_gone(shared, id, e, &[(Folder::Manifests, digest)]))?;
        if stored.id != *id {
            let place = shared.blobs.locate(&keys::manifest(digest));
            let what = format_args!("is that of `{}`, although the log calls it `{}`", stored.id.short(), id.short());
            return Err(errors::corrupt(place, what));
        }
        let ends = |chunks: &[Chunk]| {
            let next = |end: &mut u64, it: &Chunk| {
                *end += it.len;
                Some(*end)
            };
            chunks.iter().scan(0, next).collect()
        };
        Ok(Self {
            shared: Arc::clone(shared),
            digest,
            shown: stored.shown(),
            file_ends: stored.files.iter().map(|it| ends(&it.chunks)).collect(),
            tensor_ends: stored.tensors.iter().map(|it| ends(&it.chunks)).collect(),
            cache: Mutex::default(),
            tensors: stored.tensors.iter().map(|_| OnceLock::new()).collect(),
            moved: Mutex::default(),
            stored,
        })
    }

    /// Reads everything and holds it against the digests of chunks, files and tensors. `on_bytes` learns how
    /// many bytes were read and may end it.
    pub(crate) fn verify(&self, on_bytes: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        for it in &self.stored.files {
            self.verify_whole("file", &it.name, it.digest, &it.chunks, on_bytes)?;
        }
        for it in &self.stored.tensors {
            self.verify_whole("tensor", &it.name, it.digest, &it.chunks, on_bytes)?;
        }
        Ok(())
    }

    pub(crate) fn stored(&self) -> &StoredManifest {
        &self.stored
    }

    fn verify_whole(
        &self,
        what: &str,
        name: &str,
        digest: Digest,
        chunks: &[Chunk],
        on_bytes: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
        for it in chunks {
            bytes.resize(it.len as usize, 0);
            // Whoever verifies may hold a log, in which nothing can be looked up then.
            self.stored.read_chunk(&mut scratch, self.shared.blobs.as_ref(), it, &mut bytes)?;
            hasher.update(&bytes);
            on_bytes(it.len)?;
        }
        if Digest::from(hasher.finalize()) == digest { Ok(()) } else { Err(self.mismatch(what, name)) }
    }

    fn mismatch(&self, what: &str, name: &str) -> Error {
        let place = self.shared.blobs.locate(&keys::manifest(self.digest));
        errors::corrupt(place, format_args!("lists chunks that are not the {what} `{name}`"))
    }

    fn read_chunk(&self, scratch: &mut Scratch, chunk: &Chunk, out: &mut [u8]) -> Result<()> {
        let mut place = self.stored.located(chunk);
        let blobs = self.shared.blobs.as_ref();
        while let Err(e) = frame::read_with(scratch, blobs, &place, out) {
            let sources = [Some(place.source), place.base].into_iter().flatten();
            let packs: Vec<_> = sources.map(|it| (Folder::Packs, it.pack)).collect();
            let e = unless_gone(&self.shared, &self.shown.id, e, &packs);
            if e.kind != ErrorKind::Gone {
                return Err(e);
            }
            place = self.moved_from(&place, chunk)?.ok_or(e)?;
        }
        Ok(())
    }

    /// Returns where a chunk is that is no longer at `place`, if the checkpoint is still there. A collection can move it again before
    /// it is read, so that the log is asked whenever what is known leads to `place`. Fails where that cannot be told for the moment.
    fn moved_from(&self, place: &Located, chunk: &Chunk) -> Result<Option<Located>> {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let elsewhere =
            |moved: &HashMap<_, Located>| moved.get(&(chunk.hash, chunk.len)).filter(|it| *it != place).copied();
        if let Some(it) = elsewhere(&moved) {
            return Ok(Some(it));
        }
        let (manifests, failure) = self.shared.find(&self.shown.id)?;
        if let Some(e) = failure.filter(|it| !it.is_damage()) {
            return Err(e);
        }
        moved.clear();
        for digest in manifests.into_iter().filter(|it| *it != self.digest) {
            match StoredManifest::load(self.shared.blobs.as_ref(), digest, self.shared.chunk_size) {
                Ok(it) => {
                    for chunk in it.chunks() {
                        moved.entry((chunk.hash, chunk.len)).or_insert_with(|| it.located(chunk));
                    }
                }
                Err(e) if e.is_damage() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(elsewhere(&moved))
    }

    fn cached(&self, chunk: &Chunk) -> Result<Arc<Vec<u8>>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // A hostile manifest can list a chunk with another length as well, which reading it refuses.
        let is_it = |(hash, it): &&(Digest, Arc<Vec<u8>>)| *hash == chunk.hash && it.len() as u64 == chunk.len;
        if let Some((_, it)) = lock().iter().find(is_it) {
            return Ok(Arc::clone(it));
        }
        let mut bytes = vec![0; chunk.len as usize];
        self.read_chunk(&mut Scratch::default(), chunk, &mut bytes)?;
        let res = Arc::new(bytes);
        let mut cache = lock();
        cache.truncate(N_CACHED - 1);
        cache.push_front((chunk.hash, Arc::clone(&res)));
        Ok(res)
    }

    /// Fills `out` from `offset` of what has these chunks.
    fn read_at(&self, chunks: &[Chunk], ends: &[u64], offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut n_read = 0;
        let first = ends.partition_point(|&end| end <= offset);
        for (chunk, end) in chunks.iter().zip(ends).skip(first) {
            if n_read == out.len() {
                break;
            }
            let skip = (offset + n_read as u64) - (end - chunk.len);
            let bytes = self.cached(chunk)?;
            let bytes = &bytes[skip as usize..];
            let n = bytes.len().min(out.len() - n_read);
            out[n_read..n_read + n].copy_from_slice(&bytes[..n]);
            n_read += n;
        }
        Ok(n_read)
    }

    fn missing(&self, what: &str, name: &str) -> Error {
        let text = format!("the checkpoint `{}` has no {what} `{}`", self.shown.id.short(), name.escape_debug());
        Error::new(ErrorKind::NotFound, text).with_help(format!("its manifest lists the {what}s"))
    }

    fn find_tensor(&self, name: &str) -> Option<usize> {
        self.shown.tensors.binary_search_by(|it| it.name.as_str().cmp(name)).ok()
    }

    fn load_tensor(&self, at: usize) -> Result<Buffer> {
        let tensor = &self.stored.tensors[at];
        let total = tensor.chunks.iter().map(|it| it.len).sum();
        // A hostile manifest can ask for much with little: one chunk, listed often.
        let mut res = Buffer::new(total).ok_or_else(|| {
            Error::io(format!("cannot hold the {total} bytes of the tensor `{}` in memory", tensor.name))
                .with_help("use a machine with more memory")
        })?;
        let is_whole = match self.fill_at_once(tensor, &mut res) {
            // Which chunk it is comes out below. What is wrong with the whole place would only be so again.
            Err(e) if e.is_damage() => false,
            it => it?,
        };
        if !is_whole {
            self.fill_by_chunks(tensor, &mut res)?;
        }
        Ok(res)
    }

    /// Fills `out` and returns whether that is the tensor, by the digest of the whole alone, so that no byte is hashed twice.
    /// It is the one to keep: the id of the checkpoint vouches for it, and for none of the chunks' digests, which a
    /// manifest of the same id could list in another order. They only tell where damage is, once there is any.
    fn fill_at_once(&self, tensor: &StoredTensor, out: &mut [u8]) -> Result<bool> {
        if !tree::are_subtrees(tensor.chunks.iter().map(|it| it.len)) {
            return Ok(false);
        }
        let read = |scratch: &mut Scratch, (chunk, offset, out): (&Chunk, u64, &mut [u8])| {
            let located = self.stored.located(chunk);
            frame::read_unchecked(scratch, self.shared.blobs.as_ref(), &located, out)?;
            Ok(tree::subtree(offset, out))
        };
        let read = share(&mut parallel::workers(), parts(&tensor.chunks, out), read);
        let subtrees = read.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(tree::root(&subtrees) == tensor.digest)
    }

    /// As [`Self::fill_at_once`], with every chunk checked, so that a failure says which one it is, and with those that
    /// were moved meanwhile.
    fn fill_by_chunks(&self, tensor: &StoredTensor, out: &mut [u8]) -> Result<()> {
        let read =
            |scratch: &mut Scratch, (chunk, _, out): (&Chunk, u64, &mut [u8])| self.read_chunk(scratch, chunk, out);
        let read = share(&mut parallel::workers(), parts(&tensor.chunks, out), read);
        read.into_iter().collect::<Result<()>>()?;
        let is_whole = match &tensor.chunks[..] {
            [one] => one.hash == tensor.digest,
            _ => Digest::of(out) == tensor.digest,
        };
        if is_whole { Ok(()) } else { Err(self.mismatch("tensor", &tensor.name)) }
    }
}

/// Returns each chunk with the place where it starts and its part of `out`.
fn parts<'a>(chunks: &'a [Chunk], mut out: &'a mut [u8]) -> Vec<(&'a Chunk, u64, &'a mut [u8])> {
    let mut offset = 0;
    let part = |chunk: &'a Chunk| {
        let start = offset;
        offset += chunk.len;
        Some((chunk, start, out.split_off_mut(..chunk.len as usize)?))
    };
    chunks.iter().map_while(part).collect()
}

/// Returns the error with which something could not be read from those files, or where one is missing, one that says since
/// when it is no longer there. What is there was spared by the sweep of a list that names it.
fn unless_gone(shared: &Shared, id: &CheckpointId, error: Error, files: &[(Folder, Digest)]) -> Error {
    if error.kind != ErrorKind::Corrupt {
        return error;
    }
    let is_missing =
        |&&(folder, digest): &&(Folder, Digest)| matches!(shared.blobs.stat(&folder.key(digest)), Ok(None));
    let missing: Vec<_> = files.iter().filter(is_missing).collect();
    match shared.swept_at(|list| missing.iter().any(|(folder, digest)| list.names(*folder, digest))) {
        Ok(Some(seq)) => {
            let (short, log) = (id.short(), shared.blobs.locate(&keys::log(keys::STORE_LOG)));
            let what =
                format!("the checkpoint `{short}` was removed while it was read: entry {seq} of `{log}` swept it");
            Error::new(ErrorKind::Gone, what).with_help("open another one; `modelwatch store list` shows what there is")
        }
        _ => error,
    }
}

impl CheckpointReader for Reader {
    fn manifest(&self) -> &CheckpointManifest {
        &self.shown
    }

    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let found = self.stored.files.binary_search_by(|it| it.name.as_str().cmp(file));
        let at = found.map_err(|_| self.missing("file", file))?;
        self.read_at(&self.stored.files[at].chunks, &self.file_ends[at], offset, out)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        let Some(at) = self.find_tensor(name) else { return Ok(None) };
        let entry = &self.shown.tensors[at];
        let Some(dtype) = DType::parse(&entry.dtype) else {
            let place = self.shared.blobs.locate(&keys::manifest(self.digest));
            let what =
                format_args!("has a tensor `{}` of the unknown type `{}`", entry.name, entry.dtype.escape_debug());
            return Err(errors::too_new(place, what, ""));
        };
        let bytes = match self.tensors[at].get() {
            Some(it) => it,
            None => {
                let bytes = self.load_tensor(at)?;
                self.tensors[at].get_or_init(|| bytes)
            }
        };
        Ok(Some(TensorView { name: &entry.name, dtype, shape: &entry.shape, bytes }))
    }

    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let at = self.find_tensor(name).ok_or_else(|| self.missing("tensor", name))?;
        self.read_at(&self.stored.tensors[at].chunks, &self.tensor_ends[at], offset, out)
    }
}
