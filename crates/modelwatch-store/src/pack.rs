//! Packs: many chunks in one file, so that a commit syncs few files.
//!
//! The layout is in [`crate::format`].

use std::thread::JoinHandle;

use modelwatch_sdk::{Error, ErrorKind, Result};

use crate::{
    blobs::{Blobs, Draft, Stage},
    codec::{self, Codec},
    errors,
    format::{Digest, MAX_PACK},
    frame::{FRAME_HEADER, FrameSpan, Header},
    keys, random,
};

const HEADER: [u8; 8] = *b"MWPK\x01\0\0\0";
const END: [u8; 8] = *b"MWPE\x01\0\0\0";
const INDEX_ENTRY: usize = 48;
const TRAILER: usize = 48;

/// The packs that one writer fills. While one is filled, the one before is synced.
pub(crate) struct PackWriter {
    max: u64,
    current: Option<Current>,
    finished: Vec<FinishedPack>,
    syncing: Option<JoinHandle<Result<()>>>,
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
    file: Box<dyn Draft>,
    hasher: blake3::Hasher,
    len: u64,
    index: Vec<u8>,
}

impl PackWriter {
    /// Returns a writer of packs of at most `max` bytes (unless one chunk alone takes more).
    pub(crate) fn new(max: u64) -> Self {
        Self { max, current: None, finished: Vec::new(), syncing: None }
    }

    /// Appends a chunk. Returns which of the packs has it, and where.
    pub(crate) fn add(&mut self, stage: &dyn Stage, header: Header, payload: &[u8]) -> Result<(usize, FrameSpan)> {
        let size = (FRAME_HEADER + payload.len()) as u64;
        if self.current.as_ref().is_some_and(|it| it.size_with(size) > self.max) {
            self.complete()?;
        }
        let current = match &mut self.current {
            Some(it) => it,
            None => {
                let name = format!("{}.pack", self.finished.len());
                let mut file = stage.create(&name)?;
                file.append(&HEADER)?;
                let mut hasher = blake3::Hasher::new();
                hasher.update(&HEADER);
                self.current.insert(Current { name, file, hasher, len: HEADER.len() as u64, index: Vec::new() })
            }
        };
        let span = FrameSpan { offset: current.len, size };
        current.append(&header.to_bytes())?;
        current.append(payload)?;
        current.index.extend_from_slice(&index_entry(span, header.raw_len, header.hash));
        Ok((self.finished.len(), span))
    }

    /// Returns the packs that are complete and synced, in order.
    pub(crate) fn finished(&mut self) -> Result<&[FinishedPack]> {
        self.wait()?;
        Ok(&self.finished)
    }

    /// Returns how many packs are complete.
    pub(crate) fn n_complete(&self) -> usize {
        self.finished.len()
    }

    /// Completes and syncs the last pack. Returns all packs in order.
    pub(crate) fn finish(&mut self) -> Result<&[FinishedPack]> {
        self.complete()?;
        self.finished()
    }

    fn complete(&mut self) -> Result<()> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        let trailer = trailer(&current.index, current.len as u32);
        let index = std::mem::take(&mut current.index);
        current.append(&index)?;
        current.append(&trailer)?;
        let Current { name, file, hasher, .. } = current;
        // One sync at a time: more would only fill the system's buffers.
        self.wait()?;
        self.syncing = Some(std::thread::spawn(move || file.finish()));
        self.finished.push(FinishedPack { name, digest: hasher.finalize().into() });
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let Some(it) = self.syncing.take() else {
            return Ok(());
        };
        it.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Panicked, "a sync in the background panicked")))
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        // The stage must not go while a file of it is being synced.
        let _ = self.wait();
    }
}

impl Current {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.append(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn size_with(&self, frame: u64) -> u64 {
        self.len + frame + (self.index.len() + INDEX_ENTRY + TRAILER) as u64
    }
}

/// A frame in the index of a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub(crate) span: FrameSpan,
    pub(crate) raw_len: u32,
    pub(crate) hash: Digest,
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

/// Returns the pack with one more frame of random bytes in front, so that it gets another name, and by how
/// much that moved the frames.
pub(crate) fn salted(pack: &[u8]) -> Result<(Vec<u8>, u64)> {
    let frames = index("a staged pack", pack)?;
    let salt = random::id().into_bytes();
    let header = Header {
        codec: Codec::Raw,
        raw_len: salt.len() as u32,
        encoded_len: salt.len() as u32,
        hash: Digest::of(&salt),
    };
    let size = (FRAME_HEADER + salt.len()) as u64;
    let span = FrameSpan { offset: HEADER.len() as u64, size };
    let mut res = [&HEADER[..], &header.to_bytes(), &salt].concat();
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
    if codec::decode(header.codec, payload, &mut raw).is_none() || Digest::of(&raw) != it.hash {
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
