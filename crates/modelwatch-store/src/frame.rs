//! Frames: one chunk each, in one of four codecs, and never believed before its digest was checked.
//!
//! The layout is in [`crate::format`].

use modelwatch_sdk::Result;

use crate::{
    blobs::Blobs,
    codec::{self, Codec},
    errors,
    format::Digest,
    keys,
};

/// The bytes of a frame before its payload.
pub(crate) const FRAME_HEADER: usize = 48;

/// Where a frame lies in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameSpan {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// A stored frame and the digest of the chunk in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) hash: Digest,
    pub(crate) pack: Digest,
    pub(crate) span: FrameSpan,
}

/// A stored frame and, if it is a difference, that of its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) source: Source,
    pub(crate) base: Option<Source>,
}

/// The header of a frame, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) codec: Codec,
    pub(crate) raw_len: u32,
    pub(crate) encoded_len: u32,
    pub(crate) hash: Digest,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; FRAME_HEADER] {
        let mut res = [0; FRAME_HEADER];
        res[..4].copy_from_slice(b"MWFR");
        res[4] = 1;
        res[5] = self.codec.number();
        res[6..8].copy_from_slice(&self.codec.width().to_le_bytes());
        res[8..12].copy_from_slice(&self.raw_len.to_le_bytes());
        res[12..16].copy_from_slice(&self.encoded_len.to_le_bytes());
        res[16..].copy_from_slice(&self.hash.0);
        res
    }

    /// Reads a header; says what is wrong with it otherwise.
    pub(crate) fn parse(bytes: &[u8; FRAME_HEADER]) -> std::result::Result<Self, String> {
        if bytes[..4] != *b"MWFR" {
            return Err("has no frame where one is to be".to_owned());
        }
        let width = u16::from_le_bytes([bytes[6], bytes[7]]);
        let codec = Codec::parse(bytes[5], width).filter(|_| bytes[4] == 1).ok_or_else(|| {
            format!(
                "has a frame of version {}, codec {}, width {width}, which this version does not read",
                bytes[4], bytes[5]
            )
        })?;
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let hash = Digest(bytes[16..].try_into().expect("a header has 48 bytes"));
        Ok(Self { codec, raw_len: number(8), encoded_len: number(12), hash })
    }
}

/// A frame that is not stored yet.
pub(crate) struct Frame {
    pub(crate) header: Header,
    /// The header and the payload.
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    /// Encodes a chunk into `buffer`, which is empty.
    pub(crate) fn new(
        hash: Digest,
        raw: &[u8],
        mut buffer: Vec<u8>,
        encode: impl FnOnce(&mut Vec<u8>) -> Codec,
    ) -> Self {
        buffer.resize(FRAME_HEADER, 0);
        let codec = encode(&mut buffer);
        let encoded_len = (buffer.len() - FRAME_HEADER) as u32;
        let header = Header { codec, raw_len: raw.len() as u32, encoded_len, hash };
        buffer[..FRAME_HEADER].copy_from_slice(&header.to_bytes());
        Self { header, bytes: buffer }
    }
}

/// Buffers for reading, used again because fresh memory costs about as much as decoding.
#[derive(Default)]
pub(crate) struct Scratch {
    encoded: Vec<u8>,
    decoded: Vec<u8>,
}

/// Returns whether a frame is as long as one that has so many bytes as they are.
pub(crate) fn is_raw(located: &Located, len: usize) -> bool {
    located.base.is_none() && located.source.span.size == (FRAME_HEADER + len) as u64
}

/// Returns whether a frame that [`is_raw`] is the one of these bytes, which are those that its digest is of. It is read in
/// one go.
pub(crate) fn holds(scratch: &mut Scratch, blobs: &dyn Blobs, located: &Located, bytes: &[u8]) -> bool {
    let Source { hash, pack, span } = located.source;
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    let frame = &mut scratch.encoded;
    frame.resize(FRAME_HEADER + bytes.len(), 0);
    let header = Header { codec: Codec::Raw, raw_len: len, encoded_len: len, hash };
    blobs.read_at(&keys::pack(pack), span.offset, frame).is_ok()
        && frame.split_first_chunk().is_some_and(|(head, payload)| *head == header.to_bytes() && payload == bytes)
}

/// Fills `out`, which is as long as the chunk, with the chunk's bytes, checked.
pub(crate) fn read(blobs: &dyn Blobs, located: &Located, out: &mut [u8]) -> Result<()> {
    read_with(&mut Scratch::default(), blobs, located, out)
}

/// As [`read`], with buffers.
pub(crate) fn read_with(scratch: &mut Scratch, blobs: &dyn Blobs, located: &Located, out: &mut [u8]) -> Result<()> {
    read_unchecked(scratch, blobs, located, out)?;
    if Digest::of(out) == located.source.hash {
        return Ok(());
    }
    Err(bad(blobs, &located.source, "does not verify: its bytes are not what was written"))
}

/// As [`read_with`], for a caller that compares the bytes with what they are to be.
pub(crate) fn read_unchecked(
    scratch: &mut Scratch,
    blobs: &dyn Blobs,
    located: &Located,
    out: &mut [u8],
) -> Result<()> {
    let Source { hash, pack, span } = located.source;
    let key = keys::pack(pack);
    let Scratch { encoded, decoded: buffer } = scratch;
    // What is stored as it is is read into place, all else at once.
    let payload_len = span.size.saturating_sub(FRAME_HEADER as u64);
    let is_raw = payload_len == out.len() as u64;
    if payload_len > out.len() as u64 {
        return Err(bad(blobs, &located.source, "has other numbers"));
    }
    encoded.resize(if is_raw { FRAME_HEADER } else { span.size as usize }, 0);
    blobs.read_at(&key, span.offset, encoded)?;
    let Some((header, encoded)) = encoded.split_first_chunk() else {
        return Err(bad(blobs, &located.source, "has other numbers"));
    };
    let header = Header::parse(header).map_err(|what| errors::corrupt(blobs.locate(&key), what))?;
    let fits = header.hash == hash
        && header.raw_len as usize == out.len()
        && u64::from(header.encoded_len) == payload_len
        && (header.codec == Codec::Raw) == is_raw
        && header.codec.may_encode(header.raw_len, header.encoded_len);
    if !fits {
        return Err(bad(blobs, &located.source, "has other numbers"));
    }
    if is_raw {
        return blobs.read_at(&key, span.offset + FRAME_HEADER as u64, out);
    }
    let decoded = match (header.codec, &located.base) {
        (Codec::Delta { width }, Some(base)) => {
            if encoded.get(..32) != Some(&base.hash.0[..]) {
                return Err(bad(blobs, &located.source, "has another base"));
            }
            let mut of = vec![0; out.len()];
            read(blobs, &Located { source: *base, base: None }, &mut of)?;
            codec::decode_delta(&encoded[32..], width, &of, out)
        }
        (Codec::Delta { .. }, None) => return Err(bad(blobs, &located.source, "has a base that no manifest names")),
        (codec, _) => codec::decode(codec, encoded, out, buffer),
    };
    decoded.ok_or_else(|| bad(blobs, &located.source, "cannot be decoded"))
}

fn bad(blobs: &dyn Blobs, source: &Source, what: &str) -> modelwatch_sdk::Error {
    let place = blobs.locate(&keys::pack(source.pack));
    errors::corrupt(place, format_args!("{what} in the frame of chunk {}", source.hash))
}
