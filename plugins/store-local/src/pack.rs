//! Packs: many chunks in one file, so that a commit syncs few files.
//!
//! The layout is in [`crate::format`].

use std::path::{Path, PathBuf};

use modelwatch_sdk::Result;

use crate::{
    errors,
    format::{Digest, MAX_PACK},
    stage::{Stage, StagedFile},
};

/// The bytes of a frame before its payload.
pub(crate) const FRAME_HEADER: usize = 48;
const HEADER: [u8; 8] = *b"MWPK\x01\0\0\0";
const END: [u8; 8] = *b"MWPE\x01\0\0\0";
const INDEX_ENTRY: usize = 48;
const TRAILER: usize = 48;
const RAW: u8 = 0;

/// Where a frame lies in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameSpan {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The packs that one writer fills.
pub(crate) struct PackWriter {
    max: u64,
    current: Option<Current>,
    finished: Vec<(PathBuf, Digest)>,
}

struct Current {
    file: StagedFile,
    hasher: blake3::Hasher,
    len: u64,
    index: Vec<u8>,
}

impl PackWriter {
    /// Returns a writer of packs of at most `max` bytes (unless one chunk alone takes more).
    pub(crate) fn new(max: u64) -> Self {
        Self { max, current: None, finished: Vec::new() }
    }

    /// Appends a chunk. Returns which of the packs has it, and where.
    pub(crate) fn add(&mut self, stage: &Stage, hash: Digest, raw: &[u8]) -> Result<(usize, FrameSpan)> {
        let size = (FRAME_HEADER + raw.len()) as u64;
        if self.current.as_ref().is_some_and(|it| it.size_with(size) > self.max) {
            self.finish()?;
        }
        let current = match &mut self.current {
            Some(it) => it,
            None => {
                let mut file = stage.create(&format!("{}.pack", self.finished.len()))?;
                file.append(&HEADER)?;
                let mut hasher = blake3::Hasher::new();
                hasher.update(&HEADER);
                self.current.insert(Current { file, hasher, len: HEADER.len() as u64, index: Vec::new() })
            }
        };
        let span = FrameSpan { offset: current.len, size };
        current.append(&frame_header(hash, raw.len() as u32))?;
        current.append(raw)?;
        current.index.extend_from_slice(&index_entry(span, raw.len() as u32, hash));
        Ok((self.finished.len(), span))
    }

    /// Completes and syncs the last pack. Returns all packs in order, each staged under its path.
    pub(crate) fn finish(&mut self) -> Result<&[(PathBuf, Digest)]> {
        if let Some(mut current) = self.current.take() {
            let trailer = trailer(&current.index, current.len as u32);
            let index = std::mem::take(&mut current.index);
            current.append(&index)?;
            current.append(&trailer)?;
            let digest = current.hasher.finalize().into();
            self.finished.push((current.file.sync()?, digest));
        }
        Ok(&self.finished)
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

/// Returns the chunk in a frame that is to be that of `hash` and `len`.
pub(crate) fn unframe<'a>(path: &Path, frame: &'a [u8], hash: Digest, len: u64) -> Result<&'a [u8]> {
    let bad = |what: &str| Err(errors::corrupt(path, format_args!("{what} in the frame of chunk {hash}")));
    let Some((header, payload)) = frame.split_at_checked(FRAME_HEADER) else {
        return bad("is cut off");
    };
    if header[..4] == *b"MWFR" && (header[4] != 1 || header[5] != RAW || header[6..8] != [0, 0]) {
        let what =
            format_args!("has a frame of version {}, codec {}, which this version does not read", header[4], header[5]);
        return Err(errors::corrupt(path, what));
    }
    if payload.len() as u64 != len || header != frame_header(hash, len as u32) {
        return bad("has other numbers");
    }
    if Digest::of(payload) != hash {
        return bad("does not verify: its bytes are not what was written");
    }
    Ok(payload)
}

/// Checks a whole pack: its name, its index, and every frame.
pub(crate) fn check(path: &Path, bytes: &[u8], name: Digest) -> Result<()> {
    let bad = |what: &str| Err(errors::corrupt(path, what));
    if Digest::of(bytes) != name {
        return bad("does not verify: its bytes are not what was written");
    }
    if bytes.len() < HEADER.len() + TRAILER || bytes.len() as u64 > MAX_PACK || !bytes.starts_with(&HEADER) {
        return bad("is not a pack");
    }
    let (rest, last) = bytes.split_at(bytes.len() - TRAILER);
    let index_offset = u32_at(last, 4);
    let Some((frames, index)) = rest.split_at_checked(index_offset as usize) else {
        return bad("has a bad trailer");
    };
    let n_frames = u64::from(u32_at(last, 0));
    if index.len() as u64 != n_frames * INDEX_ENTRY as u64 || last != trailer(index, index_offset) {
        return bad("has a bad index");
    }
    let mut at = HEADER.len() as u64;
    for it in index.chunks_exact(INDEX_ENTRY) {
        let hash = Digest(it[16..].try_into().expect("an index entry has 48 bytes"));
        let (size, len) = (u64::from(u32_at(it, 4)), u32_at(it, 8));
        let Some(frame) = frames.get(at as usize..(at + size) as usize) else {
            return bad("has a bad index");
        };
        if it != index_entry(FrameSpan { offset: at, size }, len, hash) {
            return bad("has a bad index");
        }
        unframe(path, frame, hash, u64::from(len))?;
        at += size;
    }
    if at == frames.len() as u64 { Ok(()) } else { bad("has bytes that no frame owns") }
}

fn frame_header(hash: Digest, len: u32) -> [u8; FRAME_HEADER] {
    let mut res = [0; FRAME_HEADER];
    res[..8].copy_from_slice(&[b'M', b'W', b'F', b'R', 1, RAW, 0, 0]);
    res[8..12].copy_from_slice(&len.to_le_bytes());
    res[12..16].copy_from_slice(&len.to_le_bytes());
    res[16..].copy_from_slice(&hash.0);
    res
}

fn index_entry(span: FrameSpan, len: u32, hash: Digest) -> [u8; INDEX_ENTRY] {
    let mut res = [0; INDEX_ENTRY];
    res[..4].copy_from_slice(&(span.offset as u32).to_le_bytes());
    res[4..8].copy_from_slice(&(span.size as u32).to_le_bytes());
    res[8..12].copy_from_slice(&len.to_le_bytes());
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
