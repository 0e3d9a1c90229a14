//! How the bytes of a chunk are stored: as they are, or smaller where that is worth it.
//!
//! Weights compress badly as they are, because the bytes of a number differ in how random they are.
//! A *byte shuffle* (Blosc's and HDF5's filter of that name) puts the first bytes of all elements first, then
//! all second bytes, and so on, so that exponents meet exponents. The difference of two training steps is
//! taken by exclusive or, which is its own inverse, has no rounding and leaves equal bits zero.

use std::slice;

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, ParamSwitch},
};

/// The level of zstd. Higher ones gain about a percent on weights and take many times longer.
const LEVEL: i32 = 1;
/// How much of a chunk decides which codec it gets.
const SAMPLE: usize = 64 << 10;
/// How much of a chunk a glance takes in, and of how many places.
const GLANCE: usize = 4 << 10;
const N_GLANCES: usize = 8;
/// What remains at most, in percent, for a codec to be worth its time.
const WORTH: usize = 95;
/// The most bytes of a block of zstd (RFC 8878, section 3.1.1.2.4).
const MAX_BLOCK: usize = 128 << 10;

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
    compressors: Compressors,
    shuffled: Vec<u8>,
    difference: Vec<u8>,
    sample: Vec<u8>,
}

impl Encoder {
    /// Appends what stands for `raw` to `out`, encoded with what does best on its first bytes. `width` is that of
    /// its elements, 0 where that is not known; `base` is what it may be stored as a difference to.
    pub(crate) fn encode(&mut self, raw: &[u8], width: usize, base: Option<&[u8]>, out: &mut Vec<u8>) -> Codec {
        let start = out.len();
        let (codec, lanes) = self.choose(raw, width, base);
        let encoded = match (codec, base) {
            (Codec::Raw, _) | (Codec::Delta { .. }, None) => None,
            (Codec::Zstd | Codec::Shuffle { .. }, _) => self.squeeze(raw, &lanes, out),
            (Codec::Delta { .. }, Some(base)) => {
                out.extend_from_slice(blake3::hash(base).as_bytes());
                self.squeeze_difference(raw, base, &lanes, out)
            }
        };
        if encoded.is_some() && out.len() - start < raw.len() {
            return codec;
        }
        out.truncate(start);
        out.extend_from_slice(raw);
        Codec::Raw
    }

    /// Returns whether less than half of a chunk remains, as far as a glance tells.
    pub(crate) fn shrinks_well(&mut self, raw: &[u8], width: usize) -> bool {
        const PIECE: usize = GLANCE / N_GLANCES;
        let mut glance = std::mem::take(&mut self.difference);
        glance.clear();
        if raw.len() <= GLANCE {
            glance.extend_from_slice(raw);
        } else {
            // At whole elements.
            let starts = (0..N_GLANCES).map(|it| (raw.len() / N_GLANCES * it) & !15);
            starts.for_each(|at| glance.extend_from_slice(&raw[at..at + PIECE]));
        }
        let remains = |it: &mut Self, width| it.try_out(&glance, width).map(|it| it.1);
        let res = widths(&width).iter().any(|&width| remains(self, width).is_some_and(|it| it < glance.len() / 2));
        self.difference = glance;
        res
    }

    /// Returns the codec that does best on a sample, and what becomes of its lanes.
    fn choose(&mut self, raw: &[u8], width: usize, base: Option<&[u8]>) -> (Codec, Vec<Lane>) {
        let sample = &raw[..raw.len().min(SAMPLE)];
        let mut best = (Codec::Raw, Vec::new());
        let mut least = sample.len() * WORTH / 100;
        for &width in widths(&width) {
            let codec = if width == 1 { Codec::Zstd } else { Codec::Shuffle { width: width as u16 } };
            if let Some((lanes, len)) = self.try_out(sample, width)
                && len < least
            {
                (best, least) = ((codec, lanes), len);
            }
        }
        if let Some(base) = base.filter(|it| it.len() == raw.len()) {
            let width = if width == 0 { best.0.width().max(1) as usize } else { width };
            let mut difference = std::mem::take(&mut self.difference);
            exclusive_or(sample, base, &mut difference);
            if let Some((lanes, len)) = self.try_out(&difference, width)
                && len < least * WORTH / 100
            {
                best = (Codec::Delta { width: width as u16 }, lanes);
            }
            self.difference = difference;
        }
        best
    }

    /// Returns what becomes of each lane of the sample, and what remains of all of them.
    fn try_out(&mut self, sample: &[u8], width: usize) -> Option<(Vec<Lane>, usize)> {
        let (mut lanes, mut total) = (Vec::with_capacity(width), 0);
        let mut scratch = std::mem::take(&mut self.sample);
        let shuffled = shuffled(sample, width, &mut self.shuffled);
        for lane in split(shuffled, width) {
            let (mut best, mut least) = (Lane::Copied, lane.len());
            for coder in [Coder::Entropy, Coder::Matches] {
                scratch.clear();
                deflate(self.compressors.of(coder)?, lane, &mut scratch)?;
                if scratch.len() < least * WORTH / 100 {
                    (best, least) = (Lane::Coded(coder), scratch.len());
                }
            }
            total += least;
            lanes.push(best);
        }
        self.sample = scratch;
        Some((lanes, total))
    }

    fn squeeze_difference(&mut self, raw: &[u8], base: &[u8], lanes: &[Lane], out: &mut Vec<u8>) -> Option<()> {
        let mut difference = std::mem::take(&mut self.difference);
        exclusive_or(raw, base, &mut difference);
        let res = self.squeeze(&difference, lanes, out);
        self.difference = difference;
        res
    }

    /// Appends one zstd frame for each lane, which zstd reads as one stream. What is as good as random is only
    /// copied into its frame: trying to compress it would take most of the time.
    fn squeeze(&mut self, raw: &[u8], lanes: &[Lane], out: &mut Vec<u8>) -> Option<()> {
        let shuffled = shuffled(raw, lanes.len(), &mut self.shuffled);
        for (lane, fate) in split(shuffled, lanes.len()).zip(lanes) {
            match *fate {
                Lane::Coded(coder) => deflate(self.compressors.of(coder)?, lane, out)?,
                Lane::Copied => store(lane, out),
            }
        }
        Some(())
    }
}

/// Returns the widths that elements may have.
fn widths(width: &usize) -> &[usize] {
    match width {
        0 => &[1, 2, 4],
        _ => slice::from_ref(width),
    }
}

/// What becomes of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Copied,
    Coded(Coder),
}

/// What zstd looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coder {
    /// Which bytes are frequent, and no more. What repeats in the exponents of weights is a few values, not runs of them:
    /// to look for runs takes most of the time of compressing, and those found by chance much of that of decompressing.
    Entropy,
    /// Runs of bytes that were there before, too.
    Matches,
}

/// One for each coder, made when it is needed.
#[derive(Default)]
struct Compressors([Option<Compressor<'static>>; 2]);

impl Compressors {
    fn of(&mut self, coder: Coder) -> Option<&mut Compressor<'static>> {
        let slot = &mut self.0[coder as usize];
        if slot.is_none() {
            let mut res = Compressor::new(LEVEL).ok()?;
            if coder == Coder::Entropy {
                // The search takes such steps that it is at the end of a block with the first of them.
                res.set_parameter(CParameter::TargetLength(MAX_BLOCK as u32)).ok()?;
                res.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable)).ok()?;
            }
            *slot = Some(res);
        }
        slot.as_mut()
    }
}

/// Appends a zstd frame.
fn deflate(compressor: &mut Compressor<'static>, raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.resize(start + zstd::zstd_safe::compress_bound(raw.len()), 0);
    let n = compressor.compress_to_buffer(raw, &mut out[start..]).ok()?;
    out.truncate(start + n);
    Some(())
}

/// Appends a zstd frame of blocks that are not compressed (RFC 8878, sections 3.1.1.1 and 3.1.1.2).
fn store(raw: &[u8], out: &mut Vec<u8>) {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    /// A single segment whose length takes four bytes.
    const DESCRIPTOR: u8 = 0b1010_0000;
    out.extend_from_slice(&MAGIC);
    out.push(DESCRIPTOR);
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    let n_blocks = raw.len().div_ceil(MAX_BLOCK).max(1);
    for at in 0..n_blocks {
        let block = &raw[at * MAX_BLOCK..raw.len().min((at + 1) * MAX_BLOCK)];
        let header = (block.len() as u32) << 3 | u32::from(at + 1 == n_blocks);
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
}

/// Fills `out` with what `encoded` stands for. Returns nothing if it stands for anything of another length.
/// `scratch` is any buffer.
pub(crate) fn decode(codec: Codec, encoded: &[u8], out: &mut [u8], scratch: &mut Vec<u8>) -> Option<()> {
    match codec {
        Codec::Raw => (encoded.len() == out.len()).then(|| out.copy_from_slice(encoded)),
        Codec::Zstd => inflate(encoded, out),
        Codec::Shuffle { width } => {
            scratch.resize(out.len(), 0);
            inflate(encoded, scratch)?;
            unshuffle(scratch, width.into(), out);
            Some(())
        }
        Codec::Delta { .. } => None,
    }
}

/// Fills `out` with what `encoded` makes of `base`.
pub(crate) fn decode_delta(encoded: &[u8], width: u16, base: &[u8], out: &mut [u8]) -> Option<()> {
    let codec = if width > 1 { Codec::Shuffle { width } } else { Codec::Zstd };
    decode(codec, encoded, out, &mut Vec::new())?;
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

/// Returns the bytes in the order of their lanes, in `scratch` where that is another one than it was.
fn shuffled<'a>(raw: &'a [u8], width: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if width <= 1 {
        return raw;
    }
    // All of it is written below.
    scratch.resize(raw.len(), 0);
    shuffle(raw, width, scratch);
    scratch
}

/// Splits shuffled bytes into their lanes. The last one has also what is no whole element.
fn split(shuffled: &[u8], width: usize) -> impl Iterator<Item = &[u8]> {
    let n = shuffled.len() / width.max(1);
    (0..width).map(move |lane| if lane + 1 == width { &shuffled[lane * n..] } else { &shuffled[lane * n..][..n] })
}

/// A rest that is no whole element stays as it is, at the end.
fn shuffle(raw: &[u8], width: usize, out: &mut [u8]) {
    match width {
        2 => shuffle_words(raw, out, u16::from_le_bytes, |it, lane| (it >> (8 * lane)) as u8),
        4 => shuffle_words(raw, out, u32::from_le_bytes, |it, lane| (it >> (8 * lane)) as u8),
        8 => shuffle_words(raw, out, u64::from_le_bytes, |it, lane| (it >> (8 * lane)) as u8),
        _ => {
            let n = raw.len() / width;
            let (elements, rest) = raw.split_at(n * width);
            for (lane, out) in out.chunks_exact_mut(n.max(1)).take(if n > 0 { width } else { 0 }).enumerate() {
                for (out, element) in out.iter_mut().zip(elements.chunks_exact(width)) {
                    *out = element[lane];
                }
            }
            out[n * width..].copy_from_slice(rest);
        }
    }
}

/// The same with a width that the compiler knows and elements that are words to it, which is many times faster. It writes
/// to all lanes of a few elements before it goes on.
fn shuffle_words<const WIDTH: usize, T: Copy>(
    raw: &[u8],
    out: &mut [u8],
    word: impl Fn([u8; WIDTH]) -> T,
    byte: impl Fn(T, usize) -> u8,
) {
    const LINE: usize = 64;
    let (elements, rest) = raw.as_chunks::<WIDTH>();
    let (lines, last) = elements.as_chunks::<LINE>();
    let n = elements.len();
    for (at, line) in lines.iter().enumerate() {
        let words = line.map(&word);
        for lane in 0..WIDTH {
            let out = out[lane * n + at * LINE..].first_chunk_mut::<LINE>().expect("a line of each lane");
            *out = words.map(|it| byte(it, lane));
        }
    }
    for lane in 0..WIDTH {
        let out = &mut out[lane * n..][..n][lines.len() * LINE..];
        out.iter_mut().zip(last).for_each(|(out, element)| *out = element[lane]);
    }
    out[n * WIDTH..].copy_from_slice(rest);
}

fn unshuffle(shuffled: &[u8], width: usize, out: &mut [u8]) {
    match width {
        2 => unshuffle_known::<2>(shuffled, out),
        4 => unshuffle_known::<4>(shuffled, out),
        8 => unshuffle_known::<8>(shuffled, out),
        _ => {
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
    }
}

fn unshuffle_known<const WIDTH: usize>(shuffled: &[u8], out: &mut [u8]) {
    let (elements, tail) = out.as_chunks_mut::<WIDTH>();
    let n = elements.len();
    let lanes: [&[u8]; WIDTH] = std::array::from_fn(|lane| &shuffled[lane * n..][..n]);
    for (at, element) in elements.iter_mut().enumerate() {
        *element = std::array::from_fn(|lane| lanes[lane][at]);
    }
    tail.copy_from_slice(&shuffled[n * WIDTH..]);
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
        let mut encoded = Vec::new();
        let codec = Encoder::default().encode(raw, width, base, &mut encoded);
        assert!(codec.may_encode(raw.len() as u32, encoded.len() as u32) || raw.is_empty());
        let mut out = vec![1; raw.len()];
        match (codec, base) {
            (Codec::Delta { width }, Some(base)) => {
                assert_eq!(encoded[..32], *blake3::hash(base).as_bytes());
                decode_delta(&encoded[32..], width, base, &mut out).unwrap();
            }
            _ => decode(codec, &encoded, &mut out, &mut Vec::new()).unwrap(),
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
    fn a_glance_tells_what_shrinks_well() {
        let mut encoder = Encoder::default();
        let mut shrinks_well = |raw: &[u8], width| encoder.shrinks_well(raw, width);
        let sparse: Vec<u8> = floats(50_000, 1)
            .chunks_exact(4)
            .enumerate()
            .flat_map(|(at, it)| if at % 8 == 0 { [it[0], it[1], it[2], it[3]] } else { [0; 4] })
            .collect();
        for width in [0, 4] {
            assert!(!shrinks_well(&floats(50_000, 1), width) && !shrinks_well(&noise(200_000, 1), width));
            assert!(shrinks_well(&[0; 100_000], width) && shrinks_well(&sparse, width));
            // Few values, which differ in all of their bytes.
            let values: Vec<u8> = noise(50_000, 1).iter().flat_map(|it| noise(4, u64::from(it % 8))).collect();
            assert!(shrinks_well(&values, width));
        }
        // What the first bytes are like is not what the rest is like.
        assert!(!shrinks_well(&[vec![0; 10_000], noise(90_000, 1)].concat(), 4));
        (0..100).chain(GLANCE - 2..GLANCE + 2).for_each(|len| _ = shrinks_well(&noise(len, 1), 4));
    }

    #[test]
    fn exponents_are_coded_by_their_frequency_and_words_by_where_they_were() {
        let lanes = |raw: &[u8], width| Encoder::default().choose(raw, width, None).1;
        let [.., exponents] = lanes(&floats(50_000, 1), 4)[..] else { panic!("there are four lanes") };
        assert_eq!(exponents, Lane::Coded(Coder::Entropy));
        // Words of 32 bytes, of which none is more frequent than another.
        let words: Vec<u8> = noise(2000, 1).iter().flat_map(|it| noise(32, u64::from(*it))).collect();
        assert_eq!(lanes(&words, 1), [Lane::Coded(Coder::Matches)]);
        // Runs of one byte are found with the small table as well.
        assert_eq!(lanes(&[0; 1 << 16], 1), [Lane::Coded(Coder::Entropy)]);
    }

    #[test]
    fn every_length_and_width_comes_back() {
        for width in 1..=16 {
            for len in (0..70).chain([4096, 4099]) {
                let raw = vec![7; len];
                round_trip(&raw, width, None);
                round_trip(&raw, width, Some(&vec![9; len]));
                let raw = noise(len, 3);
                let (mut scratch, mut out, mut encoded) = (Vec::new(), vec![0; len], Vec::new());
                let shuffled = shuffled(&raw, width, &mut scratch);
                unshuffle(shuffled, width, &mut out);
                assert!(out == raw, "{width} {len}");
                split(shuffled, width).for_each(|it| store(it, &mut encoded));
                assert!(inflate(&encoded, &mut out).is_some() && out == shuffled, "{width} {len}");
            }
        }
    }

    #[test]
    fn a_frame_that_stands_for_more_than_it_says_is_refused() {
        let mut bomb = Vec::new();
        assert_eq!(Encoder::default().encode(&[0; 1 << 20], 1, None, &mut bomb), Codec::Zstd);
        for len in [0, 1, (1 << 20) - 1, (1 << 20) + 1] {
            assert!(decode(Codec::Zstd, &bomb, &mut vec![0; len], &mut Vec::new()).is_none(), "{len}");
        }
        assert!(decode(Codec::Zstd, b"no zstd", &mut [0; 4], &mut Vec::new()).is_none());
        assert!(decode(Codec::Raw, b"abc", &mut [0; 4], &mut Vec::new()).is_none());
    }
}
