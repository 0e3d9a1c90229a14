//! Where the bytes of a checkpoint that is being written go: into what is stored already, or into new packs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use modelwatch_sdk::{Error, ErrorKind, Result};

use crate::{
    blobs::{Published, Stage},
    codec::{Codec, Encoder},
    condemned::Banned,
    engine::Shared,
    errors,
    format::{Digest, MAX_PACK},
    frame::{self, Frame, FrameSpan, Located, Scratch, Source},
    keys,
    known::Known,
    pace::{Effort, Encoded},
    pack::{self, PackWriter},
    parallel::{self, share},
};

/// How many chunks a worker gets at a time, which bounds the memory.
const N_CHUNKS_EACH: usize = 4;

pub(crate) struct Sink {
    shared: Arc<Shared>,
    packs: PackWriter,
    /// The packs that were finished, under the keys that they have or get.
    ready: Vec<Ready>,
    known: Known,
    /// What this sink placed already.
    placed: HashMap<Digest, Placed>,
    workers: Vec<Worker>,
    encoded: Encoded,
    pub(crate) stage: Box<dyn Stage>,
}

struct Ready {
    name: String,
    digest: Digest,
    is_published: bool,
    /// Whether no other pack ever had its name.
    is_salted: bool,
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

/// A chunk's digest, and where it is stored if it is.
pub(crate) struct Seen {
    pub(crate) hash: Digest,
    stored: Option<Located>,
}

/// The buffers of one thread.
#[derive(Default)]
struct Worker {
    encoder: Encoder,
    found: Vec<u8>,
    scratch: Scratch,
}

/// A chunk that is to be stored, and the buffer for that.
struct Task<'a> {
    bytes: &'a [u8],
    hash: Digest,
    part: Part<'a>,
    buffer: Vec<u8>,
}

impl Sink {
    pub(crate) fn new(shared: &Arc<Shared>, lineage: &str) -> Result<Self> {
        let known = Known::new(shared, lineage)?;
        let packs = if known.unread.is_empty() {
            PackWriter::new(shared.max_pack, &shared.pace)
        } else {
            PackWriter::salted(shared.max_pack, &shared.pace)
        };
        Ok(Self {
            shared: Arc::clone(shared),
            packs,
            ready: Vec::new(),
            known,
            placed: HashMap::new(),
            workers: parallel::workers(),
            encoded: Encoded::default(),
            stage: shared.blobs.stage()?,
        })
    }

    /// Returns the digests of chunks, and which of them are stored already. Each is hashed and compared by one thread
    /// without a pause, so that its bytes come from memory once.
    pub(crate) fn look_at(&mut self, chunks: &[&[u8]]) -> Vec<Seen> {
        let (known, placed) = (&self.known, &self.placed);
        share(&mut self.workers, chunks.to_vec(), |worker, bytes| {
            let hash = Digest::of(bytes);
            let is_placed = placed.contains_key(&hash);
            let stored = if is_placed { None } else { worker.find(known, hash, bytes) };
            Seen { hash, stored }
        })
    }

    /// Returns the digest of a tensor that consists of just these chunks, if one is known.
    pub(crate) fn whole(&self, chunks: &[Digest]) -> Option<Digest> {
        self.known.whole(chunks)
    }

    /// Stores these chunks, which follow one another from `first` on, unless they are stored already.
    pub(crate) fn put(&mut self, chunks: &[&[u8]], seen: &[Seen], first: Part<'_>) -> Result<Vec<Placed>> {
        let mut res = Vec::with_capacity(chunks.len());
        let n_round = N_CHUNKS_EACH * self.workers.len();
        for (chunks, seen) in chunks.chunks(n_round).zip(seen.chunks(n_round)) {
            self.put_round(chunks, seen, Part { at: first.at + res.len(), ..first })?;
            res.extend(seen.iter().map(|it| self.placed[&it.hash]));
        }
        Ok(res)
    }

    fn put_round(&mut self, chunks: &[&[u8]], seen: &[Seen], first: Part<'_>) -> Result<()> {
        let mut tasks = Vec::with_capacity(chunks.len());
        for (at, (&bytes, &Seen { hash, stored })) in chunks.iter().zip(seen).enumerate() {
            if self.placed.contains_key(&hash) {
                continue;
            }
            if let Some(located) = stored {
                self.placed.insert(hash, Placed::stored(&located, bytes.len() as u64));
                continue;
            }
            let part = Part { at: first.at + at, ..first };
            tasks.push(Task { bytes, hash, part, buffer: self.packs.buffer() });
        }
        let n_new = tasks.iter().map(|it| it.bytes.len() as u64).sum();
        let (known, effort, start) = (&self.known, self.effort(), Instant::now());
        let encoded = share(&mut self.workers, tasks, |worker, it| worker.encode(known, it, effort));
        self.encoded.add(n_new, effort, start.elapsed());
        for (frame, base) in encoded {
            // The same chunk can be there twice in one round.
            let hash = frame.header.hash;
            if !self.placed.contains_key(&hash) {
                let placed = self.add(frame, base)?;
                self.placed.insert(hash, placed);
            }
        }
        Ok(())
    }

    /// Returns how much work the next chunks get. Where finished packs do not wait, each is on its way before the next chunks
    /// are looked at, and that takes longer than any work on them.
    fn effort(&self) -> Effort {
        let pace = &self.shared.pace;
        if self.stage.is_roomy() { pace.effort(&self.encoded) } else { pace.unhurried() }
    }

    fn add(&mut self, frame: Frame, base: Option<Source>) -> Result<Placed> {
        let (hash, len) = (frame.header.hash, u64::from(frame.header.raw_len));
        let (pack, span) = self.packs.add(self.stage.as_ref(), frame)?;
        if !self.stage.is_roomy() && self.packs.n_complete() > self.ready.len() {
            self.take_finished()?;
            self.publish_packs()?;
        }
        Ok(Placed { hash, pack: Pack::Staged(pack), span, len, base })
    }

    /// Completes the last pack.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.packs.finish()?;
        self.take_finished()
    }

    fn take_finished(&mut self) -> Result<()> {
        let n_ready = self.ready.len();
        let is_salted = self.packs.is_salted();
        let new = self.packs.finished()?[n_ready..].iter();
        let new = new.map(|it| Ready { name: it.name.clone(), digest: it.digest, is_published: false, is_salted });
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
        let mut new: Vec<_> = self.ready.iter_mut().filter(|it| !it.is_published).collect();
        let files: Vec<_> = new.iter().map(|it| (it.name.clone(), keys::pack(it.digest))).collect();
        let (shared, stage) = (self.shared.as_ref(), self.stage.as_ref());
        stage.publish_all(&files, &mut |at, published| {
            let (name, key) = &files[at];
            settle(shared, stage, name, key, new[at].digest, MAX_PACK, published)?;
            new[at].is_published = true;
            Ok(())
        })
    }

    /// Sees to it that no chunk is in a pack that a garbage collection may delete at any time. The keys of such
    /// packs are never used again, so that the same bytes get a pack with another name.
    pub(crate) fn leave<'a>(&mut self, banned: &Banned, placed: impl Iterator<Item = &'a mut Placed>) -> Result<()> {
        let mut placed: Vec<_> = placed.collect();
        for it in &mut placed {
            let has_base_there = it.base.is_some_and(|it| banned.has_pack(it.pack));
            match it.pack {
                Pack::Staged(_) if has_base_there => return Err(overtaken()),
                Pack::Stored(pack) if banned.has_pack(pack) || has_base_there => {
                    let located = it.located().expect("it is stored");
                    let mut bytes = vec![0; it.len as usize];
                    frame::read(self.shared.blobs.as_ref(), &located, &mut bytes).map_err(|_| overtaken())?;
                    let part = Part { of: "", at: 0, width: 0 };
                    let task = Task { bytes: &bytes, hash: it.hash, part, buffer: self.packs.buffer() };
                    let frame = Worker::default().frame(task, None, self.shared.pace.unhurried());
                    **it = self.add(frame, None)?;
                }
                _ => {}
            }
        }
        self.finish()?;
        // Those as well that were just made: the same chunks can make the same pack again. A salted one has a name that
        // never was, but once it is published a later list may name it, also one that nobody can read by now.
        let may_be_named = banned.unread().iter().any(|it| !self.known.unread.contains(it));
        let is_new = |it: &Ready| it.is_salted && !(it.is_published && may_be_named);
        let is_there = |it: &Ready| banned.lists_pack(it.digest) || (!is_new(it) && banned.has_pack(it.digest));
        let moved: HashSet<usize> = (0..self.ready.len()).filter(|&it| is_there(&self.ready[it])).collect();
        let mut shift = 0;
        for &at in &moved {
            let bytes = self.stage.read(&self.ready[at].name)?.ok_or_else(overtaken)?;
            let (bytes, by) = pack::salted(&bytes)?;
            let name = format!("salted-{}", crate::random::id());
            self.stage.write(&name, &bytes)?;
            self.ready[at] = Ready { name, digest: Digest::of(&bytes), is_published: false, is_salted: true };
            shift = by;
        }
        for it in placed {
            if matches!(it.pack, Pack::Staged(at) if moved.contains(&at)) {
                it.span.offset += shift;
            }
        }
        self.known.unread.clone_from(banned.unread());
        Ok(())
    }
}

impl Placed {
    fn stored(located: &Located, len: u64) -> Self {
        let Located { source: Source { hash, pack, span }, base } = *located;
        Self { hash, len, base, pack: Pack::Stored(pack), span }
    }

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
    Error::new(ErrorKind::Busy, what).with_help("write the checkpoint again; nothing was lost")
}

impl Worker {
    fn find(&mut self, known: &Known, hash: Digest, bytes: &[u8]) -> Option<Located> {
        known.find(hash, bytes, &mut self.found, &mut self.scratch)
    }

    /// Returns the frame of a chunk, and what it is a difference to, if it is one.
    fn encode(&mut self, known: &Known, task: Task<'_>, effort: Effort) -> (Frame, Option<Source>) {
        let base = if effort == Effort::None { None } else { known.base(task.part, task.bytes.len()) };
        let frame = self.frame(task, base.as_ref().map(|it| it.1.as_slice()), effort);
        let base = base.filter(|_| matches!(frame.header.codec, Codec::Delta { .. })).map(|it| it.0);
        (frame, base)
    }

    fn frame(&mut self, task: Task<'_>, base: Option<&[u8]>, effort: Effort) -> Frame {
        let Task { bytes, hash, part, buffer } = task;
        Frame::new(hash, bytes, buffer, |out| {
            let is_worth_it = match effort {
                Effort::None => false,
                // To read the base took longer than the rest does.
                Effort::Glance => base.is_some() || self.encoder.shrinks_well(bytes, part.width),
                Effort::Full => true,
            };
            if is_worth_it {
                return self.encoder.encode(bytes, part.width, base, out);
            }
            out.extend_from_slice(bytes);
            Codec::Raw
        })
    }
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
    settle(shared, stage, name, key, digest, cap, stage.publish(name, key)?)
}

/// Sees to it that a file has the name, whatever came of the first attempt to give it that.
fn settle(
    shared: &Shared,
    stage: &dyn Stage,
    name: &str,
    key: &str,
    digest: Digest,
    cap: u64,
    mut published: Published,
) -> Result<()> {
    for is_last in [false, false, true] {
        match published {
            Published::Created => return Ok(()),
            Published::Taken => {
                return match shared.blobs.read(key, cap) {
                    Ok(Some(bytes)) if Digest::of(&bytes) == digest => Ok(()),
                    // Damaged: put right what nobody could have read. What was there goes to quarantine.
                    Ok(Some(_)) => stage.replace(name, key),
                    Err(e) if e.is_damage() => stage.replace(name, key),
                    Ok(None) => Err(errors::corrupt(shared.blobs.locate(key), "is there and is not")),
                    Err(e) => Err(e),
                };
            }
            // The same bytes under the same name: once more does no harm.
            Published::Unknown(_) if !is_last => published = stage.publish(name, key)?,
            Published::Unknown(_) => break,
        }
    }
    let place = shared.blobs.locate(key);
    Err(Error::io(format!("cannot write `{place}`: no answer came, three times"))
        .with_help("check the connection and try again; nothing was committed"))
}
