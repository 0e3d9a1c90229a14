//! Where the bytes of a checkpoint that is being written go: into what is stored already, or into new packs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use modelwatch_sdk::{Error, ErrorKind, Result};

use crate::{
    blobs::{Published, Stage},
    codec::{Codec, Encoder},
    condemned::Banned,
    engine::Shared,
    errors,
    format::{Digest, MAX_PACK},
    frame::{self, FrameSpan, Header, Located, Source},
    keys,
    manifest::StoredManifest,
    pack::{self, PackWriter},
};

/// How many of the lineage's newest checkpoints are looked through for chunks that are there already.
const N_DEDUPLICATE: usize = 8;

pub(crate) struct Sink {
    shared: Arc<Shared>,
    packs: PackWriter,
    /// The packs that were finished, under the keys that they have or get.
    ready: Vec<Ready>,
    known: HashMap<Digest, Placed>,
    bases: HashMap<String, Vec<(Source, u64)>>,
    encoder: Encoder,
    scratch: Vec<u8>,
    pub(crate) stage: Box<dyn Stage>,
}

struct Ready {
    name: String,
    digest: Digest,
    is_published: bool,
}

/// Where a chunk is or will be.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) hash: Digest,
    pub(crate) len: u64,
    pub(crate) base: Option<Source>,
    pack: Pack,
    span: FrameSpan,
}

#[derive(Clone, Copy)]
enum Pack {
    /// The position in the packs of this writer.
    Staged(usize),
    Stored(Digest),
}

/// What a chunk is a part of.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// `file:` or `tensor:` and the name.
    pub(crate) of: &'a str,
    /// The position of the chunk in it.
    pub(crate) at: usize,
    /// The size of an element in bytes, 0 where that is not known.
    pub(crate) width: usize,
}

impl Sink {
    pub(crate) fn new(shared: &Arc<Shared>, lineage: &str) -> Result<Self> {
        let mut res = Self {
            shared: Arc::clone(shared),
            packs: PackWriter::new(shared.max_pack),
            ready: Vec::new(),
            known: HashMap::new(),
            bases: HashMap::new(),
            encoder: Encoder::default(),
            scratch: Vec::new(),
            stage: shared.blobs.stage()?,
        };
        res.look_around(lineage)?;
        Ok(res)
    }

    /// Remembers the chunks of the lineage's newest checkpoints. Damaged ones are left out; reading them reports
    /// it. What a garbage collection has marked is left out too, since it may go at any time.
    fn look_around(&mut self, lineage: &str) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let banned = shared.banned(lineage, true)?;
        let newest = shared.log.with(lineage, |it| {
            let ids = it.history().checkpoints().iter().rev().take(N_DEDUPLICATE);
            Ok(ids.filter_map(|checkpoint| it.manifests(&checkpoint.id).first().copied()).collect::<Vec<_>>())
        })?;
        let mut has_keyframe = !shared.uses_delta;
        for (n_newer, digest) in newest.into_iter().enumerate() {
            let Ok(stored) = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size) else {
                continue;
            };
            if !has_keyframe && stored.chunks().all(|it| it.base.is_none()) {
                has_keyframe = true;
                // Every eighth checkpoint stands for itself, so that damage to one never reaches far.
                if n_newer + 1 < N_DEDUPLICATE {
                    self.bases = bases(&stored);
                }
            }
            for it in stored.chunks() {
                let Located { source: Source { hash, pack, span }, base } = stored.located(it);
                if !banned.has_pack(pack) && base.is_none_or(|it| !banned.has_pack(it.pack)) {
                    // The newest comes first and stays.
                    let placed = Placed { hash, pack: Pack::Stored(pack), span, len: it.len, base };
                    self.known.entry(hash).or_insert(placed);
                }
            }
        }
        self.bases.values_mut().for_each(|it| it.retain(|it| !banned.has_pack(it.0.pack)));
        Ok(())
    }

    /// Stores a chunk unless it is stored already. What the store claims to have is compared first, so
    /// that a checkpoint never comes to rest on damaged bytes.
    pub(crate) fn put(&mut self, bytes: &[u8], part: Part<'_>) -> Result<Placed> {
        let hash = Digest::of(bytes);
        if let Some(&known) = self.known.get(&hash)
            && self.is_there(&known, bytes)
        {
            return Ok(known);
        }
        self.add(hash, bytes, part)
    }

    fn is_there(&mut self, known: &Placed, bytes: &[u8]) -> bool {
        let Some(located) = known.located() else {
            return true;
        };
        self.scratch.resize(bytes.len(), 0);
        let read = frame::read_unchecked(self.shared.blobs.as_ref(), &located, &mut self.scratch);
        read.is_ok() && self.scratch == bytes
    }

    fn add(&mut self, hash: Digest, bytes: &[u8], part: Part<'_>) -> Result<Placed> {
        let base = self.base(part, bytes.len());
        let base_bytes = base.as_ref().map(|it| it.1.as_slice());
        let (codec, payload) = if self.shared.compresses {
            self.encoder.encode(bytes, part.width, base_bytes)
        } else {
            (Codec::Raw, bytes)
        };
        let header = Header { codec, raw_len: bytes.len() as u32, encoded_len: payload.len() as u32, hash };
        let (pack, span) = self.packs.add(self.stage.as_ref(), header, payload)?;
        let base = base.filter(|_| matches!(codec, Codec::Delta { .. })).map(|it| it.0);
        let res = Placed { hash, pack: Pack::Staged(pack), span, len: bytes.len() as u64, base };
        self.known.insert(hash, res);
        if !self.stage.is_roomy() && self.packs.n_complete() > self.ready.len() {
            self.take_finished()?;
            self.publish_packs()?;
        }
        Ok(res)
    }

    fn base(&self, part: Part<'_>, len: usize) -> Option<(Source, Vec<u8>)> {
        let (source, base_len) = *self.bases.get(part.of)?.get(part.at)?;
        if base_len != len as u64 {
            return None;
        }
        let mut bytes = vec![0; len];
        frame::read(self.shared.blobs.as_ref(), &Located { source, base: None }, &mut bytes).ok()?;
        Some((source, bytes))
    }

    /// Completes the last pack.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.packs.finish()?;
        self.take_finished()
    }

    fn take_finished(&mut self) -> Result<()> {
        let n_ready = self.ready.len();
        let new = self.packs.finished()?[n_ready..].iter();
        let new = new.map(|it| Ready { name: it.name.clone(), digest: it.digest, is_published: false });
        self.ready.extend(new);
        Ok(())
    }

    /// Returns whether anything had to be stored.
    pub(crate) fn has_new(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the pack of a chunk.
    pub(crate) fn pack_of(&self, placed: &Placed) -> Digest {
        match placed.pack {
            Pack::Staged(at) => self.ready[at].digest,
            Pack::Stored(it) => it,
        }
    }

    pub(crate) fn publish_packs(&mut self) -> Result<()> {
        for it in self.ready.iter_mut().filter(|it| !it.is_published) {
            let key = keys::pack(it.digest);
            publish_named(&self.shared, self.stage.as_ref(), &it.name, &key, it.digest, MAX_PACK)?;
            it.is_published = true;
        }
        Ok(())
    }

    /// Sees to it that no chunk is in a pack that a garbage collection may delete at any time. The keys of such
    /// packs are never used again, so that the same bytes get a pack with another name.
    pub(crate) fn leave<'a>(&mut self, banned: &Banned, placed: impl Iterator<Item = &'a mut Placed>) -> Result<()> {
        let moved: HashSet<usize> =
            (0..self.ready.len()).filter(|&it| banned.has_pack(self.ready[it].digest)).collect();
        let mut shift = 0;
        for &at in &moved {
            let bytes = self.stage.read(&self.ready[at].name)?.ok_or_else(overtaken)?;
            let (bytes, by) = pack::salted(&bytes)?;
            let name = format!("salted-{}", crate::random::id());
            self.stage.write(&name, &bytes)?;
            self.ready[at] = Ready { name, digest: Digest::of(&bytes), is_published: false };
            shift = by;
        }
        for it in placed {
            match it.pack {
                Pack::Staged(at) if moved.contains(&at) => it.span.offset += shift,
                Pack::Stored(pack) if banned.has_pack(pack) || it.base.is_some_and(|it| banned.has_pack(it.pack)) => {
                    let located = it.located().expect("it is stored");
                    let mut bytes = vec![0; it.len as usize];
                    frame::read(self.shared.blobs.as_ref(), &located, &mut bytes).map_err(|_| overtaken())?;
                    *it = self.add(it.hash, &bytes, Part { of: "", at: 0, width: 0 })?;
                }
                _ => {}
            }
        }
        self.finish()
    }
}

impl Placed {
    pub(crate) fn span(&self) -> FrameSpan {
        self.span
    }

    fn located(&self) -> Option<Located> {
        match self.pack {
            Pack::Staged(_) => None,
            Pack::Stored(pack) => {
                Some(Located { source: Source { hash: self.hash, pack, span: self.span }, base: self.base })
            }
        }
    }
}

fn overtaken() -> Error {
    let what = "a garbage collection took bytes that this checkpoint shares with one that was removed";
    Error::new(ErrorKind::Conflict, what).with_help("write the checkpoint again; nothing was lost")
}

fn bases(stored: &StoredManifest) -> HashMap<String, Vec<(Source, u64)>> {
    let chunks = |of: String, chunks: &[_]| {
        let source = |it: &crate::manifest::Chunk| (stored.located(it).source, it.len);
        (of, chunks.iter().map(source).collect())
    };
    let files = stored.files.iter().map(|it| chunks(format!("file:{}", it.name), &it.chunks));
    files.chain(stored.tensors.iter().map(|it| chunks(format!("tensor:{}", it.name), &it.chunks))).collect()
}

/// Gives a file the name that its bytes have. Where the name is taken, its owner must have the same bytes.
pub(crate) fn publish_named(
    shared: &Shared,
    stage: &dyn Stage,
    name: &str,
    key: &str,
    digest: Digest,
    cap: u64,
) -> Result<()> {
    for _ in 0..3 {
        match stage.publish(name, key)? {
            Published::Created => return Ok(()),
            Published::Taken => {
                return match shared.blobs.read(key, cap) {
                    Ok(Some(bytes)) if Digest::of(&bytes) == digest => Ok(()),
                    // Damaged: put right what nobody could have read.
                    Ok(Some(_)) | Err(Error { kind: ErrorKind::Corrupt, .. }) => stage.replace(name, key),
                    Ok(None) => Err(errors::corrupt(shared.blobs.locate(key), "is there and is not")),
                    Err(e) => Err(e),
                };
            }
            // The same bytes under the same name: once more does no harm.
            Published::Unknown(_) => {}
        }
    }
    let place = shared.blobs.locate(key);
    Err(Error::io(format!("cannot write `{place}`: no answer came, three times"))
        .with_help("check the connection and try again; nothing was committed"))
}
