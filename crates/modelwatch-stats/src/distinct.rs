//! How many different values there are, in constant memory.

use crate::error::StateError;
use crate::hash::{hash_bytes, mix};
use crate::state::{Reader, Writer};

/// The bits of a hash that choose a register.
const INDEX_BITS: u32 = 10;
const REGISTERS: usize = 1 << INDEX_BITS;

/// The bits of a hash that are counted; a register is at most one more.
const COUNTED_BITS: u32 = 64 - INDEX_BITS;

/// A register takes six bits, and three bytes with its place where most are empty.
const DENSE_BYTES: usize = REGISTERS * 6 / 8;

/// The standard error of [`Distinct::estimate`], relative to the number: `1.04 / √1024`.
pub const DISTINCT_RELATIVE_ERROR: f64 = 0.0325;

/// The number of different values, estimated by HyperLogLog (Flajolet et al. 2007) with Ertl's improved estimator (2017).
///
/// A register keeps the longest run of leading zeros among the hashes that chose it, so that neither order nor repetition shows.
///
/// ```
/// use modelwatch_stats::distinct::Distinct;
///
/// let mut values = Distinct::default();
/// for it in 0..50_000 {
///     values.add_number(f64::from(it % 10_000));
/// }
/// assert!((values.estimate() - 10_000.0).abs() < 3.0 * 0.0325 * 10_000.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct(Box<[u8; REGISTERS]>);

impl Default for Distinct {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Distinct {
    /// Adds a number; 0 and -0 are one value, as are all NaN.
    pub fn add_number(&mut self, value: f64) {
        let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
        self.add_hash(mix(value.to_bits()));
    }

    /// Adds a whole number that a float cannot hold.
    pub fn add_whole(&mut self, value: i128) {
        self.add_hash(hash_bytes(&value.to_le_bytes()));
    }

    /// Adds a text.
    pub fn add_text(&mut self, value: &str) {
        self.add_hash(hash_bytes(value.as_bytes()));
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    /// Returns about how many different values there were.
    ///
    /// `m² / (2 ln 2 (m τ(1 - C_{q+1} / m) / 2^q + Σ C_k / 2^k + m σ(C_0 / m)))`, where `C_k` registers of `m` are `k`.
    pub fn estimate(&self) -> f64 {
        let mut counts = [0.0; COUNTED_BITS as usize + 2];
        self.0.iter().for_each(|&it| counts[usize::from(it)] += 1.0);
        let m = REGISTERS as f64;
        let mut sum = m * tau(1.0 - counts[COUNTED_BITS as usize + 1] / m);
        for count in counts[1..=COUNTED_BITS as usize].iter().rev() {
            sum = 0.5 * (sum + count);
        }
        sum += m * sigma(counts[0] / m);
        m * m / (2.0 * std::f64::consts::LN_2 * sum)
    }

    /// Returns the state as bytes, equal for equal sets of values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let filled: Vec<_> = self.0.iter().enumerate().filter(|it| *it.1 > 0).collect();
        let is_sparse = filled.len() * 3 < DENSE_BYTES;
        writer.u8(u8::from(!is_sparse));
        if is_sparse {
            writer.varint(filled.len() as u64);
            for (idx, register) in filled {
                writer.varint(idx as u64);
                writer.u8(*register);
            }
        } else {
            for four in self.0.chunks_exact(4) {
                let packed = four.iter().rev().fold(0u32, |packed, it| packed << 6 | u32::from(*it));
                packed.to_le_bytes()[..3].iter().for_each(|it| writer.u8(*it));
            }
        }
        writer.finish()
    }

    /// Returns the accumulator that [`Distinct::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("distinct values", bytes)?;
        let mut res = Self::default();
        match reader.u8()? {
            0 => {
                let mut next = 0;
                for _ in 0..reader.varint()? {
                    let (idx, register) = (reader.varint()? as usize, reader.u8()?);
                    if idx < next || idx >= REGISTERS || register == 0 {
                        return Err(reader.invalid("registers"));
                    }
                    res.0[idx] = register;
                    next = idx + 1;
                }
            }
            1 => {
                for four in res.0.chunks_exact_mut(4) {
                    let packed = u32::from_le_bytes([reader.u8()?, reader.u8()?, reader.u8()?, 0]);
                    four.iter_mut().zip((0..).step_by(6)).for_each(|(it, shift)| *it = (packed >> shift) as u8 & 0x3f);
                }
            }
            _ => return Err(reader.invalid("form")),
        }
        reader.finish()?;
        let is_too_long = res.0.iter().any(|it| u32::from(*it) > COUNTED_BITS + 1);
        if is_too_long || res.to_bytes() != bytes {
            return Err(StateError::Invalid { what: "distinct values", field: "registers" });
        }
        Ok(res)
    }

    fn add_hash(&mut self, hash: u64) {
        let register = &mut self.0[(hash >> COUNTED_BITS) as usize];
        // A one below the counted bits ends the run.
        let run = (hash << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros() + 1;
        *register = (*register).max(run as u8);
    }
}

/// `σ(x) = x + Σ x^(2^k) 2^(k-1)`; infinite for 1, where all registers are empty.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut weight, mut res) = (x, 1.0, x);
    loop {
        x *= x;
        let before = res;
        res += x * weight;
        weight += weight;
        if res == before {
            return res;
        }
    }
}

/// `τ(x) = (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3`.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut weight, mut res) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = res;
        weight *= 0.5;
        res -= (1.0 - x).powi(2) * weight;
        if res == before {
            return res / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u32]) -> Distinct {
        let mut res = Distinct::default();
        values.iter().for_each(|it| res.add_text(&it.to_string()));
        res
    }

    #[test]
    fn estimates_are_within_their_error_at_every_size() {
        assert_eq!(Distinct::default().estimate(), 0.0);
        for n in [1, 2, 10, 100, 1000, 3000, 10_000, 100_000, 1_000_000] {
            let mut values = Distinct::default();
            (0..n).for_each(|it| values.add_number(f64::from(it) * 0.1));
            let error = (values.estimate() - f64::from(n)).abs();
            assert!(error <= 3.0 * DISTINCT_RELATIVE_ERROR * f64::from(n), "{n}: {}", values.estimate());
        }
    }

    proptest! {
        #[test]
        fn state_depends_on_the_set_alone(values in prop::collection::vec(0u32..2000, 0..900), at in 0usize..900) {
            let at = at.min(values.len());
            let whole = of(&values);
            let (mut forward, mut backward) = (of(&values[..at]), of(&values[at..]));
            let copy = forward.clone();
            forward.merge(&backward);
            backward.merge(&copy);
            prop_assert_eq!(&forward, &whole);
            prop_assert_eq!(&backward, &whole);
            prop_assert_eq!(&Distinct::from_bytes(&whole.to_bytes()).unwrap(), &whole);
        }

        #[test]
        fn damaged_bytes_never_panic(values in prop::collection::vec(any::<u32>(), 1..600), idx in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = of(&values).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            if let Ok(read) = Distinct::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes.clone());
            }
            prop_assert!(Distinct::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
