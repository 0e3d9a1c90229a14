//! How the bytes of a chunk are stored: as they are, or smaller where that is worth it.
//!
//! Weights compress badly as they are, because the bytes of a number differ in how random they are.
//! A *byte shuffle* (Blosc's and HDF5's filter of that name) puts the first bytes of all elements first, then
//! all second bytes, and so on, so that exponents meet exponents. The difference of two training steps is
//! taken by exclusive or, which is its own inverse, has no rounding and leaves equal bits zero.

use std::io::Write;

/// The level of zstd. Higher ones gain about a percent on weights and take many times longer.
const LEVEL: i32 = 1;
/// How much of a chunk decides which codec it gets.
const SAMPLE: usize = 64 << 10;
/// What remains at most, in percent, for a codec to be worth its time.
const WORTH: usize = 95;

/// How the bytes of a frame are encoded. The width is that of an element in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Raw,
    Zstd,
    Shuffle { width: u16 },
    Delta { width: u16 },
}

impl Codec {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
            Self::Shuffle { .. } => 2,
            Self::Delta { .. } => 3,
        }
    }

    pub(crate) fn width(self) -> u16 {
        match self {
            Self::Raw | Self::Zstd => 0,
            Self::Shuffle { width } | Self::Delta { width } => width,
        }
    }

    pub(crate) fn parse(number: u8, width: u16) -> Option<Self> {
        match (number, width) {
            (0, 0) => Some(Self::Raw),
            (1, 0) => Some(Self::Zstd),
            (2, 2..=16) => Some(Self::Shuffle { width }),
            (3, 1..=16) => Some(Self::Delta { width }),
            _ => None,
        }
    }

    /// Returns whether `encoded` bytes can stand for `raw` ones; what takes more space is never written.
    pub(crate) fn may_encode(self, raw: u32, encoded: u32) -> bool {
        match self {
            Self::Raw => raw == encoded,
            Self::Zstd | Self::Shuffle { .. } => encoded < raw,
            Self::Delta { .. } => (32..raw).contains(&encoded),
        }
    }
}

/// Encodes chunks, with buffers that are used again.
#[derive(Default)]
pub(crate) struct Encoder {
    shuffled: Vec<u8>,
    difference: Vec<u8>,
    out: Vec<u8>,
}

impl Encoder {
    /// Encodes `raw` with what does best on its first bytes. `width` is that of its elements, 0 where that is
    /// not known; `base` is what it may be stored as a difference to.
    pub(crate) fn encode<'a>(&'a mut self, raw: &'a [u8], width: usize, base: Option<&[u8]>) -> (Codec, &'a [u8]) {
        let sample = &raw[..raw.len().min(SAMPLE)];
        let mut best = (Codec::Raw, sample.len() * WORTH / 100);
        let widths: &[usize] = match width {
            0 => &[1, 2, 4],
            1 => &[1],
            _ => &[width],
        };
        for &width in widths {
            let len = self.squeeze(sample, width).map_or(usize::MAX, <[u8]>::len);
            let codec = if width == 1 { Codec::Zstd } else { Codec::Shuffle { width: width as u16 } };
            if len < best.1 {
                best = (codec, len);
            }
        }
        if let Some(base) = base.filter(|it| it.len() == raw.len()) {
            let width = if width == 0 { best.0.width().max(1) as usize } else { width };
            exclusive_or(sample, base, &mut self.difference);
            let difference = std::mem::take(&mut self.difference);
            let len = self.squeeze(&difference, width).map_or(usize::MAX, <[u8]>::len);
            self.difference = difference;
            if len < best.1 * WORTH / 100 {
                best = (Codec::Delta { width: width as u16 }, len);
            }
        }
        match self.encode_with(best.0, raw, base) {
            Some(codec) if self.out.len() < raw.len() => (codec, &self.out),
            _ => (Codec::Raw, raw),
        }
    }

    fn encode_with(&mut self, codec: Codec, raw: &[u8], base: Option<&[u8]>) -> Option<Codec> {
        match codec {
            Codec::Raw => return None,
            Codec::Zstd => drop(self.squeeze(raw, 1)?),
            Codec::Shuffle { width } => drop(self.squeeze(raw, width.into())?),
            Codec::Delta { width } => {
                let base = base?;
                exclusive_or(raw, base, &mut self.difference);
                let difference = std::mem::take(&mut self.difference);
                let squeezed = self.squeeze(&difference, width.into()).is_some();
                self.difference = difference;
                if !squeezed {
                    return None;
                }
                self.out.splice(..0, *blake3::hash(base).as_bytes());
            }
        }
        Some(codec)
    }

    fn squeeze(&mut self, raw: &[u8], width: usize) -> Option<&[u8]> {
        let plain = if width > 1 {
            shuffle(raw, width, &mut self.shuffled);
            &self.shuffled
        } else {
            raw
        };
        self.out.clear();
        let mut encoder = zstd::stream::write::Encoder::new(&mut self.out, LEVEL).ok()?;
        encoder.write_all(plain).ok()?;
        encoder.finish().ok()?;
        Some(&self.out)
    }
}

/// Fills `out` with what `encoded` stands for. Returns nothing if it stands for anything of another length.
pub(crate) fn decode(codec: Codec, encoded: &[u8], out: &mut [u8]) -> Option<()> {
    match codec {
        Codec::Raw => (encoded.len() == out.len()).then(|| out.copy_from_slice(encoded)),
        Codec::Zstd => inflate(encoded, out),
        Codec::Shuffle { width } => {
            let mut shuffled = vec![0; out.len()];
            inflate(encoded, &mut shuffled)?;
            unshuffle(&shuffled, width.into(), out);
            Some(())
        }
        Codec::Delta { .. } => None,
    }
}

/// Fills `out` with what `encoded` makes of `base`.
pub(crate) fn decode_delta(encoded: &[u8], width: u16, base: &[u8], out: &mut [u8]) -> Option<()> {
    let codec = if width > 1 { Codec::Shuffle { width } } else { Codec::Zstd };
    decode(codec, encoded, out)?;
    out.iter_mut().zip(base).for_each(|(it, base)| *it ^= base);
    (base.len() == out.len()).then_some(())
}

/// Never writes more than `out` holds, whatever the frame claims.
fn inflate(encoded: &[u8], out: &mut [u8]) -> Option<()> {
    let n = zstd::bulk::decompress_to_buffer(encoded, out).ok()?;
    (n == out.len()).then_some(())
}

fn exclusive_or(a: &[u8], b: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend(a.iter().zip(b).map(|(a, b)| a ^ b));
}

/// A rest that is no whole element stays as it is, at the end.
fn shuffle(raw: &[u8], width: usize, out: &mut Vec<u8>) {
    let n = raw.len() / width;
    out.clear();
    out.resize(raw.len(), 0);
    let (elements, rest) = raw.split_at(n * width);
    for (lane, out) in out.chunks_exact_mut(n.max(1)).take(if n > 0 { width } else { 0 }).enumerate() {
        for (out, element) in out.iter_mut().zip(elements.chunks_exact(width)) {
            *out = element[lane];
        }
    }
    out[n * width..].copy_from_slice(rest);
}

fn unshuffle(shuffled: &[u8], width: usize, out: &mut [u8]) {
    let n = shuffled.len() / width;
    let (lanes, rest) = shuffled.split_at(n * width);
    let (elements, tail) = out.split_at_mut(n * width);
    for (at, element) in elements.chunks_exact_mut(width).enumerate() {
        for (lane, byte) in element.iter_mut().enumerate() {
            *byte = lanes[lane * n + at];
        }
    }
    tail.copy_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut res = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut res);
        res
    }

    /// Numbers around one, as weights are.
    fn floats(n: usize, seed: u64) -> Vec<u8> {
        let random = noise(4 * n, seed);
        let number = |it: &[u8]| 0.5 + f32::from(it[0]) / 512.0 + f32::from(it[1]) / 131_072.0;
        random.chunks_exact(4).flat_map(|it| number(it).to_le_bytes()).collect()
    }

    fn round_trip(raw: &[u8], width: usize, base: Option<&[u8]>) -> Codec {
        let mut encoder = Encoder::default();
        let (codec, encoded) = encoder.encode(raw, width, base);
        assert!(codec.may_encode(raw.len() as u32, encoded.len() as u32) || raw.is_empty());
        let mut out = vec![1; raw.len()];
        match (codec, base) {
            (Codec::Delta { width }, Some(base)) => {
                assert_eq!(encoded[..32], *blake3::hash(base).as_bytes());
                decode_delta(&encoded[32..], width, base, &mut out).unwrap();
            }
            _ => decode(codec, encoded, &mut out).unwrap(),
        }
        assert!(out == raw);
        assert_eq!(Codec::parse(codec.number(), codec.width()), Some(codec));
        codec
    }

    #[test]
    fn what_does_best_on_the_first_bytes_is_chosen() {
        assert_eq!(round_trip(&noise(200_000, 1), 4, None), Codec::Raw);
        assert_eq!(round_trip(&floats(50_000, 1), 4, None), Codec::Shuffle { width: 4 });
        assert_eq!(round_trip(&floats(50_000, 1), 0, None), Codec::Shuffle { width: 4 });
        assert_eq!(round_trip(&b"abc".repeat(1000), 1, None), Codec::Zstd);
        let mut step = floats(50_000, 1);
        step.chunks_exact_mut(40).for_each(|it| it[0] ^= 1);
        assert_eq!(round_trip(&step, 4, Some(&floats(50_000, 1))), Codec::Delta { width: 4 });
        // A base of another length, or one that does not help, is not used.
        assert_eq!(round_trip(&step, 4, Some(&floats(49_999, 1))), Codec::Shuffle { width: 4 });
        assert_eq!(round_trip(&step, 4, Some(&noise(200_000, 1))), Codec::Shuffle { width: 4 });
    }

    #[test]
    fn every_length_and_width_comes_back() {
        for width in 1..=16 {
            for len in (0..70).chain([4096, 4099]) {
                let raw = vec![7; len];
                round_trip(&raw, width, None);
                round_trip(&raw, width, Some(&vec![9; len]));
                let mut shuffled = Vec::new();
                let raw = noise(len, 3);
                shuffle(&raw, width, &mut shuffled);
                let mut out = vec![0; len];
                unshuffle(&shuffled, width, &mut out);
                assert!(out == raw, "{width} {len}");
            }
        }
    }

    #[test]
    fn a_frame_that_stands_for_more_than_it_says_is_refused() {
        let mut encoder = Encoder::default();
        let (codec, bomb) = encoder.encode(&[0; 1 << 20], 1, None);
        assert_eq!(codec, Codec::Zstd);
        for len in [0, 1, (1 << 20) - 1, (1 << 20) + 1] {
            assert!(decode(Codec::Zstd, bomb, &mut vec![0; len]).is_none(), "{len}");
        }
        assert!(decode(Codec::Zstd, b"no zstd", &mut [0; 4]).is_none());
        assert!(decode(Codec::Raw, b"abc", &mut [0; 4]).is_none());
    }
}
