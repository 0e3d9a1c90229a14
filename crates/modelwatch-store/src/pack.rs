//! Packs: many chunks in one file, so that a commit syncs few files.
//!
//! The layout is in [`crate::format`].

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use modelwatch_sdk::{Error, ErrorKind, Result};

use crate::{
    blobs::{Blobs, Stage},
    codec::{self, Codec},
    errors,
    format::{Digest, MAX_PACK},
    frame::{FRAME_HEADER, Frame, FrameSpan, Header},
    keys,
    pace::Pace,
    random,
};

const HEADER: [u8; 8] = *b"MWPK\x01\0\0\0";
const END: [u8; 8] = *b"MWPE\x01\0\0\0";
const INDEX_ENTRY: usize = 48;
const TRAILER: usize = 48;
/// The size of a [`salt`].
pub(crate) const SALT_FRAME: u64 = (FRAME_HEADER + random::ID) as u64;

/// How many frames may wait to be written: with fewer, encoding waits while it could be ahead, and the processor with it.
const N_WAITING: usize = 24;

/// The packs that one writer fills. Each is hashed and written by a thread of its own, so that the next chunks
/// are encoded meanwhile, and while one is filled, the one before is synced.
pub(crate) struct PackWriter {
    max: u64,
    /// Whether packs start with a [`salt`].
    is_salted: bool,
    /// What learns how fast packs are written.
    pace: Arc<Pace>,
    current: Option<Current>,
    /// A complete pack that is being written and synced.
    closing: Option<(String, JoinHandle<Result<Digest>>)>,
    finished: Vec<FinishedPack>,
    /// Buffers that were written out.
    spare: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

/// A pack that is complete.
#[derive(Clone, Debug)]
pub(crate) struct FinishedPack {
    /// Its name in the stage.
    pub(crate) name: String,
    pub(crate) digest: Digest,
}

struct Current {
    name: String,
    pieces: SyncSender<Piece>,
    thread: JoinHandle<Result<Digest>>,
    len: u64,
    index: Vec<u8>,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

impl PackWriter {
    /// Returns a writer of packs of at most `max` bytes (unless one chunk alone takes more).
    pub(crate) fn new(max: u64, pace: &Arc<Pace>) -> Self {
        let (pace, spare) = (Arc::clone(pace), mpsc::channel());
        Self { max, is_salted: false, pace, current: None, closing: None, finished: Vec::new(), spare }
    }

    /// As [`Self::new`], for packs whose names never were and never come again.
    pub(crate) fn salted(max: u64, pace: &Arc<Pace>) -> Self {
        let mut res = Self::new(max, pace);
        res.is_salted = true;
        res
    }

    pub(crate) fn is_salted(&self) -> bool {
        self.is_salted
    }

    /// Returns an empty buffer for a frame.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        let mut res = self.spare.1.try_recv().unwrap_or_default();
        res.clear();
        res
    }

    /// Appends a frame. Returns which of the packs has it, and where.
    pub(crate) fn add(&mut self, stage: &dyn Stage, frame: Frame) -> Result<(usize, FrameSpan)> {
        let size = frame.bytes.len() as u64;
        if self.current.as_ref().is_some_and(|it| it.size_with(size) > self.max) {
            self.complete()?;
        }
        let position = self.n_complete();
        let current = match &mut self.current {
            Some(it) => it,
            None => {
                let (spare, pace) = (self.spare.0.clone(), Arc::clone(&self.pace));
                let current = self.current.insert(Current::start(stage, position, spare, pace)?);
                if self.is_salted {
                    current.push(salt());
                }
                current
            }
        };
        match current.push(frame) {
            Some(span) => Ok((position, span)),
            None => Err(self.failure()),
        }
    }

    /// Returns the packs that are complete and synced, in order.
    pub(crate) fn finished(&mut self) -> Result<&[FinishedPack]> {
        self.wait()?;
        Ok(&self.finished)
    }

    /// Returns how many packs are complete.
    pub(crate) fn n_complete(&self) -> usize {
        self.finished.len() + usize::from(self.closing.is_some())
    }

    /// Completes and syncs the last pack. Returns all packs in order.
    pub(crate) fn finish(&mut self) -> Result<&[FinishedPack]> {
        self.complete()?;
        self.finished()
    }

    fn complete(&mut self) -> Result<()> {
        // One sync at a time: more would only fill the system's buffers.
        self.wait()?;
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let mut end = std::mem::take(&mut current.index);
        end.extend_from_slice(&trailer(&end, current.len as u32));
        let size = end.len() as u64;
        if !(current.send(Piece::Bytes(end), size) && current.send(Piece::End, 0)) {
            return Err(self.failure());
        }
        self.closing = self.current.take().map(|it| (it.name, it.thread));
        Ok(())
    }

    /// Returns why the thread of the current pack ended before it was told to.
    fn failure(&mut self) -> Error {
        let ended = self.current.take().map(|it| joined(it.thread));
        ended.and_then(Result::err).unwrap_or_else(|| Error::io("a pack was not written to its end"))
    }

    fn wait(&mut self) -> Result<()> {
        if let Some((name, thread)) = self.closing.take() {
            let digest = joined(thread)?;
            self.finished.push(FinishedPack { name, digest });
        }
        Ok(())
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        // The stage must not go while a file of it is being written.
        if let Some(Current { pieces, thread, .. }) = self.current.take() {
            drop(pieces);
            let _ = thread.join();
        }
        let _ = self.wait();
    }
}

impl Current {
    fn start(stage: &dyn Stage, position: usize, spare: Sender<Vec<u8>>, pace: Arc<Pace>) -> Result<Self> {
        let name = format!("{position}.pack");
        let mut file = stage.create(&name)?;
        let (pieces, incoming) = mpsc::sync_channel(N_WAITING);
        let write = move || {
            let mut hasher = blake3::Hasher::new();
            let (mut n_bytes, mut took) = (0, Duration::ZERO);
            for it in incoming {
                let Piece::Bytes(bytes) = it else {
                    let digest = hasher.finalize().into();
                    let start = Instant::now();
                    file.finish(digest)?;
                    pace.wrote(n_bytes, took + start.elapsed());
                    return Ok(digest);
                };
                hasher.update(&bytes);
                let start = Instant::now();
                file.append(&bytes)?;
                took += start.elapsed();
                n_bytes += bytes.len() as u64;
                // Nobody may want it anymore.
                let _ = spare.send(bytes);
            }
            Err(Error::io("a pack was not written to its end"))
        };
        let thread = thread::Builder::new().name("pack".to_owned()).spawn(write);
        let thread = thread.map_err(|e| {
            Error::io(format!("cannot start a thread: {e}")).with_help("raise the limit of processes and try again")
        })?;
        let mut res = Self { name, pieces, thread, len: 0, index: Vec::new() };
        // A failure comes back with the first frame.
        res.send(Piece::Bytes(HEADER.to_vec()), HEADER.len() as u64);
        Ok(res)
    }

    /// Appends a frame. Returns where it is, unless the thread takes no more.
    fn push(&mut self, frame: Frame) -> Option<FrameSpan> {
        let span = FrameSpan { offset: self.len, size: frame.bytes.len() as u64 };
        self.index.extend_from_slice(&index_entry(span, frame.header.raw_len, frame.header.hash));
        self.send(Piece::Bytes(frame.bytes), span.size).then_some(span)
    }

    /// Returns whether the thread still takes anything.
    fn send(&mut self, piece: Piece, size: u64) -> bool {
        self.len += size;
        self.pieces.send(piece).is_ok()
    }

    fn size_with(&self, frame: u64) -> u64 {
        self.len + frame + (self.index.len() + INDEX_ENTRY + TRAILER) as u64
    }
}

fn joined(thread: JoinHandle<Result<Digest>>) -> Result<Digest> {
    thread.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Panicked, "the thread that writes a pack panicked")))
}

/// A frame in the index of a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) span: FrameSpan,
    pub(crate) raw_len: u32,
    pub(crate) hash: Digest,
}

/// Returns the size of a pack that has frames of these sizes.
pub(crate) fn size_of(frames: impl Iterator<Item = u64>) -> u64 {
    frames.map(|it| it + INDEX_ENTRY as u64).sum::<u64>() + (HEADER.len() + TRAILER) as u64
}

/// Checks a whole pack: its name, its index, and every frame that needs no other pack.
pub(crate) fn check(place: &str, bytes: &[u8], name: Digest) -> Result<()> {
    if Digest::of(bytes) != name {
        return Err(errors::corrupt(place, "does not verify: its bytes are not what was written"));
    }
    let index = index(place, bytes)?;
    for it in &index {
        check_frame(place, bytes, it)?;
    }
    Ok(())
}

/// Returns the index of a pack, checked against its trailer; says nothing of the frames themselves.
pub(crate) fn index(place: &str, bytes: &[u8]) -> Result<Vec<Indexed>> {
    let bad = |what: &str| Err(errors::corrupt(place, what));
    if bytes.len() < HEADER.len() + TRAILER || bytes.len() as u64 > MAX_PACK || !bytes.starts_with(&HEADER) {
        return bad("is not a pack");
    }
    let (rest, last) = bytes.split_at(bytes.len() - TRAILER);
    let index_offset = u32_at(last, 4);
    let Some((frames, index)) = rest.split_at_checked(index_offset as usize) else {
        return bad("has a bad trailer");
    };
    parse_index(place, frames.len() as u64, index, last)
}

/// `end` is where the frames end.
fn parse_index(place: &str, end: u64, index: &[u8], last: &[u8]) -> Result<Vec<Indexed>> {
    let bad = |what: &str| Err(errors::corrupt(place, what));
    let n_frames = u64::from(u32_at(last, 0));
    if index.len() as u64 != n_frames * INDEX_ENTRY as u64 || last != trailer(index, end as u32) {
        return bad("has a bad index");
    }
    let mut res = Vec::with_capacity(index.len() / INDEX_ENTRY);
    let mut at = HEADER.len() as u64;
    for it in index.chunks_exact(INDEX_ENTRY) {
        let hash = Digest(it[16..].try_into().expect("an index entry has 48 bytes"));
        let (size, raw_len) = (u64::from(u32_at(it, 4)), u32_at(it, 8));
        let span = FrameSpan { offset: at, size };
        if it != index_entry(span, raw_len, hash) || size < FRAME_HEADER as u64 || at + size > end {
            return bad("has a bad index");
        }
        res.push(Indexed { span, raw_len, hash });
        at += size;
    }
    if at == end { Ok(res) } else { bad("has bytes that no frame owns") }
}

/// Reads the index of a stored pack without its frames. Returns also the size of the pack.
pub(crate) fn read_index(blobs: &dyn Blobs, digest: Digest) -> Result<(u64, Vec<Indexed>)> {
    let key = keys::pack(digest);
    let place = blobs.locate(&key);
    let stat = blobs.stat(&key)?.ok_or_else(|| errors::corrupt(&place, "is missing"))?;
    if stat.size < (HEADER.len() + TRAILER) as u64 || stat.size > MAX_PACK {
        return Err(errors::corrupt(place, format_args!("has {} bytes, which no pack has", stat.size)));
    }
    let mut header = [0; HEADER.len()];
    blobs.read_at(&key, 0, &mut header)?;
    let mut last = [0; TRAILER];
    let end = stat.size - TRAILER as u64;
    blobs.read_at(&key, end, &mut last)?;
    let start = u64::from(u32_at(&last, 4));
    if start > end {
        return Err(errors::corrupt(place, "has a bad trailer"));
    }
    let mut index = vec![0; (end - start) as usize];
    blobs.read_at(&key, start, &mut index)?;
    if header != HEADER {
        return Err(errors::corrupt(place, "is not a pack"));
    }
    Ok((stat.size, parse_index(&place, start, &index, &last)?))
}

/// Returns a frame of random bytes, which makes a pack like no other.
pub(crate) fn salt() -> Frame {
    let salt = random::id().into_bytes();
    Frame::new(Digest::of(&salt), &salt, Vec::new(), |out| {
        out.extend_from_slice(&salt);
        Codec::Raw
    })
}

/// Returns the pack with one more frame of random bytes in front, so that it gets another name, and by how
/// much that moved the frames.
pub(crate) fn salted(pack: &[u8]) -> Result<(Vec<u8>, u64)> {
    let frames = index("a staged pack", pack)?;
    let Frame { header, bytes: salt } = salt();
    let size = SALT_FRAME;
    let span = FrameSpan { offset: HEADER.len() as u64, size };
    let mut res = [&HEADER[..], &salt].concat();
    let mut new_index = index_entry(span, header.raw_len, header.hash).to_vec();
    for it in &frames {
        res.extend_from_slice(&pack[it.span.offset as usize..][..it.span.size as usize]);
        let span = FrameSpan { offset: it.span.offset + size, size: it.span.size };
        new_index.extend_from_slice(&index_entry(span, it.raw_len, it.hash));
    }
    let trailer = trailer(&new_index, res.len() as u32);
    res.extend_from_slice(&new_index);
    res.extend_from_slice(&trailer);
    Ok((res, size))
}

fn check_frame(place: &str, pack: &[u8], it: &Indexed) -> Result<()> {
    let bad = |what: &str| Err(errors::corrupt(place, format_args!("{what} in the frame of chunk {}", it.hash)));
    let frame = &pack[it.span.offset as usize..][..it.span.size as usize];
    let (header, payload) = frame.split_first_chunk().expect("the index was checked");
    let header = Header::parse(header).map_err(|what| errors::corrupt(place, what))?;
    let fits = header.hash == it.hash
        && header.raw_len == it.raw_len
        && header.encoded_len as usize == payload.len()
        && header.codec.may_encode(header.raw_len, header.encoded_len)
        && u64::from(header.raw_len) <= MAX_PACK;
    if !fits {
        return bad("has other numbers");
    }
    // What a difference comes to is checked with the checkpoints that need it.
    if matches!(header.codec, Codec::Delta { .. }) {
        return Ok(());
    }
    let mut raw = vec![0; header.raw_len as usize];
    if codec::decode(header.codec, payload, &mut raw, &mut Vec::new()).is_none() || Digest::of(&raw) != it.hash {
        return bad("does not verify: its bytes are not what was written");
    }
    Ok(())
}

fn index_entry(span: FrameSpan, raw_len: u32, hash: Digest) -> [u8; INDEX_ENTRY] {
    let mut res = [0; INDEX_ENTRY];
    res[..4].copy_from_slice(&(span.offset as u32).to_le_bytes());
    res[4..8].copy_from_slice(&(span.size as u32).to_le_bytes());
    res[8..12].copy_from_slice(&raw_len.to_le_bytes());
    res[16..].copy_from_slice(&hash.0);
    res
}

fn trailer(index: &[u8], offset: u32) -> [u8; TRAILER] {
    let mut res = [0; TRAILER];
    res[..4].copy_from_slice(&((index.len() / INDEX_ENTRY) as u32).to_le_bytes());
    res[4..8].copy_from_slice(&offset.to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&HEADER).update(index).update(&res[..8]);
    res[8..40].copy_from_slice(hasher.finalize().as_bytes());
    res[40..].copy_from_slice(&END);
    res
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
