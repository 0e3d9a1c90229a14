//! NumPy's old generator, `numpy.random.RandomState`, whose stream is frozen: peers split data with it.

const N: usize = 624;
const SHIFT: usize = 397;

/// The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), seeded as `RandomState(seed)` does.
#[derive(Clone)]
pub(super) struct RandomState {
    key: [u32; N],
    at: usize,
}

impl RandomState {
    pub(super) fn new(seed: u32) -> Self {
        let mut key = [seed; N];
        for at in 1..N {
            let before = key[at - 1];
            key[at] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(at as u32);
        }
        Self { key, at: N }
    }

    /// Returns the numbers below `n` in random order, as `RandomState.permutation(n)`.
    pub(super) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut res: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            let other = self.up_to(last as u32) as usize;
            res.swap(last, other);
        }
        res
    }

    /// Returns a number up to `greatest`: bits of the stream, until they are no more than that.
    fn up_to(&mut self, greatest: u32) -> u32 {
        let mask = u32::MAX >> greatest.leading_zeros().min(31);
        loop {
            let res = self.next() & mask;
            if res <= greatest {
                return res;
            }
        }
    }

    fn next(&mut self) -> u32 {
        if self.at == N {
            self.twist();
        }
        let mut res = self.key[self.at];
        self.at += 1;
        res ^= res >> 11;
        res ^= (res << 7) & 0x9d2c_5680;
        res ^= (res << 15) & 0xefc6_0000;
        res ^ (res >> 18)
    }

    fn twist(&mut self) {
        for at in 0..N {
            let joined = (self.key[at] & 0x8000_0000) | (self.key[(at + 1) % N] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.key[at] = self.key[(at + SHIFT) % N] ^ (joined >> 1) ^ odd;
        }
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_numpy() {
        // The first number of the reference implementation's `init_genrand(5489)`.
        assert_eq!(RandomState::new(5489).next(), 3_499_211_612);
        // `numpy.random.RandomState(42).permutation(10)`.
        assert_eq!(RandomState::new(42).permutation(10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(RandomState::new(42).permutation(1), [0]);
        assert_eq!(RandomState::new(42).permutation(0), [0; 0]);
    }
}
