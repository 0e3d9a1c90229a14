//! Draws from the hypergeometric distribution.

use super::Random;
use crate::bootstrap::ln_factorial;

/// So few rows are drawn one by one.
const FEW: u64 = 16;
/// What is less likely than that does not come.
const NEVER: f64 = 1e-18;

/// Returns how many hits are among so many rows that are drawn from hits and misses, without putting any back.
///
/// The error of its probabilities grows with the number of rows; at 2³³ of them it is below 10⁻⁴.
pub(crate) fn hypergeometric(random: &mut Random, hits: u64, misses: u64, drawn: u64) -> u64 {
    // Which rows are hits and which are drawn has the same part in it.
    let (few, many) = (hits.min(drawn), hits.max(drawn));
    if few > FEW {
        return from_the_mode(random, [hits, misses, drawn].map(|it| it as f64)) as u64;
    }
    let (mut rows, mut open) = (hits + misses, many);
    for _ in 0..few {
        open -= u64::from(random.below(rows) < open);
        rows -= 1;
    }
    many - open
}

/// Takes a part of 1 away from the most likely number and then from its neighbors on both sides in turn, until nothing is left of it.
fn from_the_mode(random: &mut Random, [hits, misses, drawn]: [f64; 3]) -> f64 {
    let (least, greatest) = ((drawn - misses).max(0.0), hits.min(drawn));
    let mode = ((drawn + 1.0) * (hits + 1.0) / (hits + misses + 2.0)).floor().clamp(least, greatest);
    let ln_choose = |n: f64, k: f64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let density = ln_choose(hits, mode) + ln_choose(misses, drawn - mode) - ln_choose(hits + misses, drawn);
    let density = density.exp();
    // P(k + 1) / P(k).
    let step = |k: f64| (hits - k) * (drawn - k) / ((k + 1.0) * (misses - drawn + k + 1.0));
    let mut left = random.unit() - density;
    let (mut up, mut down) = ((mode, density), (mode, density));
    while left >= 0.0 {
        if up.1.max(down.1) < NEVER {
            return mode;
        }
        up = (up.0 + 1.0, up.1 * step(up.0));
        left -= up.1;
        if left < 0.0 {
            return up.0;
        }
        down = (down.0 - 1.0, down.1 / step(down.0 - 1.0));
        left -= down.1;
        if left < 0.0 {
            return down.0;
        }
    }
    mode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_as_often_as_they_should() {
        const RUNS: u32 = 200_000;
        // Few hits, few draws, neither, and nearly all rows on each side.
        for (hits, misses, drawn) in
            [(3, 97, 40), (60, 40, 10), (50, 200, 100), (190, 20, 180), (30, 1_000_000, 500_000)]
        {
            let mut random = Random::new(hits * 31 + drawn);
            let mut found = vec![0u32; hits as usize + 1];
            (0..RUNS).for_each(|_| found[hypergeometric(&mut random, hits, misses, drawn) as usize] += 1);
            let ln_choose =
                |n: u64, k: u64| ln_factorial(n as f64) - ln_factorial(k as f64) - ln_factorial((n - k) as f64);
            let (mut chi2, mut cells) = (0.0, 0.0);
            for (k, found) in found.iter().enumerate() {
                let k = k as u64;
                let is_possible = k <= drawn && drawn - k <= misses;
                let density = if is_possible {
                    (ln_choose(hits, k) + ln_choose(misses, drawn - k) - ln_choose(hits + misses, drawn)).exp()
                } else {
                    assert_eq!(*found, 0, "{hits} {misses} {drawn}: {k}");
                    0.0
                };
                let expected = density * f64::from(RUNS);
                if expected >= 10.0 {
                    chi2 += (f64::from(*found) - expected).powi(2) / expected;
                    cells += 1.0;
                }
            }
            // Four standard deviations of a chi-squared number.
            assert!(chi2 < cells + 4.0 * (2.0f64 * cells).sqrt(), "{hits} {misses} {drawn}: {chi2} of {cells}");
        }
    }

    #[test]
    fn what_is_certain_comes_always() {
        let mut random = Random::new(1);
        for (hits, misses, drawn, expected) in
            [(0, 9, 5, 0), (9, 0, 5, 5), (40, 60, 100, 40), (40, 60, 0, 0), (1 << 39, 0, 1 << 30, 1 << 30)]
        {
            assert_eq!(hypergeometric(&mut random, hits, misses, drawn), expected);
        }
    }
}
