//! Fixed 64-bit hashing: the same on every machine and in every version that reads the same state.

/// The finalizer of SplitMix64 (Steele, Lea & Flood 2014), a bijection that mixes all bits.
#[inline]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over the bytes, then [`mix`], because FNV alone leaves the high bits of short keys alike.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    mix(fnv(bytes))
}

/// FNV-1a.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
