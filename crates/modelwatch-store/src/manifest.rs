//! Manifests: what a checkpoint consists of and where its chunks lie.

use modelwatch_sdk::{
    DType, Result,
    store::{self, CheckpointId, CheckpointManifest, FileEntry, TensorEntry, check_file_name},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    blobs::Blobs,
    errors,
    format::{self, Digest, MAX_MANIFEST, MAX_PACK},
    frame::{self, FRAME_HEADER, FrameSpan, Scratch},
    keys,
};

/// The deepest nesting of metadata; JSON readers stop at 128.
pub(crate) const MAX_DEPTH: usize = 64;

/// A manifest as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredManifest {
    pub(crate) format: u64,
    pub(crate) id: CheckpointId,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) packs: Vec<Digest>,
    pub(crate) files: Vec<StoredFile>,
    pub(crate) tensors: Vec<StoredTensor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
    /// Makes the digest another one where that of the same content without it was swept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) chunks: Vec<Chunk>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredTensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) digest: Digest,
    pub(crate) chunks: Vec<Chunk>,
}

/// Where a run of bytes is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) hash: Digest,
    /// The position in the manifest's list of packs.
    pub(crate) pack: usize,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) len: u64,
    /// Where the chunk is that this one is stored as a difference to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Base>,
}

/// Where the base of a difference is stored, which is never a difference itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) hash: Digest,
    pub(crate) pack: usize,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl StoredFile {
    fn shown(&self) -> FileEntry {
        FileEntry { name: self.name.clone(), size: self.size, digest: self.digest.to_string() }
    }
}

impl StoredTensor {
    fn shown(&self) -> TensorEntry {
        let (name, dtype, shape) = (self.name.clone(), self.dtype.clone(), self.shape.clone());
        TensorEntry { name, dtype, shape, digest: self.digest.to_string() }
    }
}

impl Base {
    /// Returns the base that is stored there; `pack` is the position of its pack.
    pub(crate) fn new(source: &frame::Source, pack: usize) -> Self {
        Self { hash: source.hash, pack, offset: source.span.offset, size: source.span.size }
    }
}

impl StoredManifest {
    /// Reads the manifest of that digest and checks all of it.
    pub(crate) fn load(blobs: &dyn Blobs, digest: Digest, chunk_size: u64) -> Result<Self> {
        let key = keys::manifest(digest);
        let Some(bytes) = blobs.read(&key, MAX_MANIFEST)? else {
            return Err(errors::corrupt(blobs.locate(&key), "is missing"));
        };
        if Digest::of(&bytes) != digest {
            let what = "does not verify: its bytes are not what was written";
            return Err(errors::corrupt(blobs.locate(&key), what));
        }
        Self::parse(&blobs.locate(&key), &bytes, chunk_size)
    }

    /// Takes nothing for granted: whoever wrote the bytes could also name the file after them.
    pub(crate) fn parse(place: &str, bytes: &[u8], chunk_size: u64) -> Result<Self> {
        let unclear = |e: serde_json::Error| errors::corrupt(place, format_args!("cannot be understood: {e}"));
        let head: Head = serde_json::from_slice(bytes).map_err(unclear)?;
        format::check_format(place, head.format, &head.requires, "")?;
        let res: Self = serde_json::from_slice(bytes).map_err(unclear)?;
        if let Err(what) = res.check(chunk_size) {
            return Err(errors::corrupt(place, what));
        }
        if content_id(&res.metadata, &res.files, &res.tensors)? != res.id {
            return Err(errors::corrupt(place, "has an id that is not that of its content"));
        }
        Ok(res)
    }

    /// Returns all chunks, of files first.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        let files = self.files.iter().flat_map(|it| &it.chunks);
        files.chain(self.tensors.iter().flat_map(|it| &it.chunks))
    }

    /// Returns what a reader shows of it.
    pub(crate) fn shown(&self) -> CheckpointManifest {
        CheckpointManifest {
            id: self.id.clone(),
            metadata: self.metadata.clone(),
            files: self.files.iter().map(StoredFile::shown).collect(),
            tensors: self.tensors.iter().map(StoredTensor::shown).collect(),
        }
    }

    /// Fills `out`, which is as long as the chunk, with the chunk's bytes, checked.
    pub(crate) fn read_chunk(
        &self,
        scratch: &mut Scratch,
        blobs: &dyn Blobs,
        chunk: &Chunk,
        out: &mut [u8],
    ) -> Result<()> {
        frame::read_with(scratch, blobs, &self.located(chunk), out)
    }

    /// Returns where a chunk of it is stored.
    pub(crate) fn located(&self, chunk: &Chunk) -> frame::Located {
        let base = chunk.base.map(|it| frame::Source {
            hash: it.hash,
            pack: self.packs[it.pack],
            span: FrameSpan { offset: it.offset, size: it.size },
        });
        let span = FrameSpan { offset: chunk.offset, size: chunk.size };
        frame::Located { source: frame::Source { hash: chunk.hash, pack: self.packs[chunk.pack], span }, base }
    }

    fn check(&self, chunk_size: u64) -> std::result::Result<(), String> {
        if depth_exceeds(&self.metadata, MAX_DEPTH) {
            return Err("has metadata nested too deeply".to_owned());
        }
        let sorted = |names: &mut dyn Iterator<Item = &String>| names.is_sorted_by(|a, b| a < b);
        if !sorted(&mut self.files.iter().map(|it| &it.name)) || !sorted(&mut self.tensors.iter().map(|it| &it.name)) {
            return Err("has names twice or out of order".to_owned());
        }
        for it in &self.files {
            check_file_name(&it.name).map_err(|e| format!("is refused: {e}"))?;
            if self.total(&it.chunks, chunk_size)? != it.size {
                return Err(format!("has chunks that do not add up to the file `{}`", it.name));
            }
        }
        for it in &self.tensors {
            check_tensor_name(&it.name)?;
            let total = self.total(&it.chunks, chunk_size)?;
            if DType::parse(&it.dtype).is_some_and(|dtype| tensor_bytes(dtype, &it.shape) != Some(total)) {
                return Err(format!("has chunks that do not add up to the tensor `{}`", it.name));
            }
        }
        Ok(())
    }

    fn total(&self, chunks: &[Chunk], chunk_size: u64) -> std::result::Result<u64, String> {
        let is_frame = |pack: usize, offset: u64, size: u64| {
            pack < self.packs.len() && (FRAME_HEADER as u64..=MAX_PACK).contains(&size) && offset <= MAX_PACK - size
        };
        let mut res = 0u64;
        for it in chunks {
            let fits = is_frame(it.pack, it.offset, it.size)
                && (1..=chunk_size).contains(&it.len)
                && it.base.is_none_or(|it| is_frame(it.pack, it.offset, it.size));
            if !fits {
                return Err(format!("has a chunk {} that cannot be", it.hash));
            }
            res = res.checked_add(it.len).ok_or("has too many chunks")?;
        }
        Ok(res)
    }
}

/// What is looked at before anything else, whatever a later version changes.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
}

/// Returns the id of a checkpoint of this content.
pub(crate) fn content_id(
    metadata: &Map<String, Value>,
    files: &[StoredFile],
    tensors: &[StoredTensor],
) -> Result<CheckpointId> {
    let files: Vec<_> = files.iter().map(StoredFile::shown).collect();
    let tensors: Vec<_> = tensors.iter().map(StoredTensor::shown).collect();
    CheckpointId::parse(&Digest::of(store::content(metadata, &files, &tensors).as_bytes()).to_string())
}

/// Returns the bytes that a tensor has, unless they are beyond all bounds.
pub(crate) fn tensor_bytes(dtype: DType, shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(dtype.size() as u64, |res, &it| res.checked_mul(it))
}

pub(crate) fn check_tensor_name(name: &str) -> std::result::Result<(), String> {
    if (1..=512).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!("has a tensor named `{}`: use 1 to 512 bytes without control characters", name.escape_debug()))
    }
}

/// Returns whether an object is nested more than `max` deep; looks no deeper than that.
pub(crate) fn depth_exceeds(object: &Map<String, Value>, max: usize) -> bool {
    fn exceeds(value: &Value, max: usize) -> bool {
        match value {
            Value::Array(it) => max == 0 || it.iter().any(|it| exceeds(it, max - 1)),
            Value::Object(it) => depth_exceeds(it, max),
            _ => false,
        }
    }
    max == 0 || object.values().any(|it| exceeds(it, max - 1))
}
