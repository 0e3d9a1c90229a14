//! A test of the rows of categories that one side lacks.

/// No more steps than that.
const MOST_STEPS: u64 = 2_000_000;
/// No more factors than that of the probability that a category is whole.
const MOST_FACTORS: f64 = 1e5;

/// Returns the probability that at least as many rows of the second side are in categories that the first one lacks, where all rows are dealt
/// at random to sides of these sizes.
///
/// Categories count as dealt independently of each other. They are not: those that are whole on one side leave less room there for
/// others, so that a small probability is a little too great. It is 1 where the first side lacks none. Where categories times rows are more
/// than two million, it is that of fewer rows.
///
/// ```
/// use modelwatch_stats::two_sample::one_sided_rows;
///
/// // The only row of its category is one of the 10 of 100 that are on the second side.
/// assert!((one_sided_rows(&[90, 0], &[9, 1]) - 0.1).abs() < 1e-12);
/// assert_eq!(one_sided_rows(&[9, 1], &[90, 0]), 1.0);
/// ```
pub fn one_sided_rows(first: &[u64], second: &[u64]) -> f64 {
    let rows = first.iter().copied().zip(second.iter().copied()).filter(|it| *it != (0, 0));
    let found = rows.clone().filter(|it| it.0 == 0).fold(0u64, |sum, it| sum.saturating_add(it.1));
    if found == 0 {
        return 1.0;
    }
    let found = found.min((MOST_STEPS / rows.clone().count() as u64).max(1));
    let (m, n) = rows.clone().fold((0.0, 0.0), |sum, it| (sum.0 + it.0 as f64, sum.1 + it.1 as f64));
    whole(rows.map(|it| it.0.saturating_add(it.1)), (n, m + n), found as usize)
}

/// Returns the probability that of these categories, each with so many rows, those that are whole among `drawn` of all rows have at least
/// `found` of them.
fn whole(counts: impl Iterator<Item = u64>, (drawn, rows): (f64, f64), found: usize) -> f64 {
    // How likely each number below that one is, and all others.
    let (mut below, mut rest) = (vec![0.0; found], 0.0);
    below[0] = 1.0;
    for count in counts {
        let p = all_drawn(count, drawn, rows);
        if p == 0.0 {
            continue;
        }
        let count = usize::try_from(count).unwrap_or(found).min(found);
        for at in (0..found).rev() {
            let moved = below[at] * p;
            below[at] -= moved;
            match below.get_mut(at + count) {
                Some(it) => *it += moved,
                None => rest += moved,
            }
        }
    }
    rest.min(1.0)
}

/// The probability that so many rows are all among `drawn` of `rows`, or a bound of it.
fn all_drawn(count: u64, drawn: f64, rows: f64) -> f64 {
    let (count, others) = (count as f64, rows - drawn);
    if count > drawn {
        return 0.0;
    }
    // That the rows are all drawn is that those that are not drawn are all others: the fewer factors do.
    let (factors, from) = if count <= others { (count, drawn) } else { (others, rows - count) };
    if factors > MOST_FACTORS {
        return (factors * (from / rows).ln()).exp();
    }
    let mut res = 1.0;
    let mut at = 0.0;
    // So small a probability adds nothing.
    while at < factors && res > 1e-300 {
        res *= (from - at) / (rows - at);
        at += 1.0;
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn it_is_what_dealing_rows_out_gives() {
        const RUNS: u32 = 20_000;
        // How many rows each category has on both sides together.
        let counts = [400, 150, 60, 12, 9, 5, 4, 3, 2, 2, 1, 1, 1];
        let all: Vec<usize> = counts.iter().enumerate().flat_map(|(at, n)| vec![at; *n]).collect();
        for n in [40, 325, 600] {
            let mut random = Random::new(n as u64);
            let mut dealt = all.clone();
            let mut found = vec![0u32; 60];
            for _ in 0..RUNS {
                for at in 0..n {
                    dealt.swap(at, at + random.below(650 - at as u64) as usize);
                }
                let mut own = [0; 13];
                dealt[..n].iter().for_each(|it| own[*it] += 1);
                let one_sided: usize = own.iter().zip(counts).filter(|it| *it.0 == it.1).map(|it| it.1).sum();
                found.iter_mut().take(one_sided + 1).for_each(|it| *it += 1);
            }
            for rows in [1usize, 2, 3, 5, 8, 13] {
                let expected = f64::from(found[rows]) / f64::from(RUNS);
                let got = whole(counts.into_iter().map(|it| it as u64), (n as f64, 650.0), rows);
                let error = 4.0 * (expected * (1.0 - expected) / f64::from(RUNS)).sqrt();
                assert!(got > expected - error - 1e-4, "{n} {rows}: {got}, expected {expected}");
                assert!(got < 1.3 * expected + error + 1e-4, "{n} {rows}: {got}, expected {expected}");
            }
        }
    }

    #[test]
    fn counts_beyond_all_data_are_quick() {
        let many = u64::MAX / 4;
        assert_eq!(one_sided_rows(&[many, many, 0], &[many, many, 2]), 0.25);
        assert!(one_sided_rows(&[0, 1_000], &[50, 1_000_000_000]) > 0.9, "most categories of few rows are there alone");
        assert!(one_sided_rows(&[1_000_000_000, 0], &[900, 100]) < 1e-300);
        // More rows than are looked at one by one, of which so many suffice.
        let (first, second) = (vec![1_000_000; 3000], vec![1_000; 3000]);
        let (first, second) = ([&first[..], &[0]].concat(), [&second[..], &[700]].concat());
        assert!(one_sided_rows(&first, &second) < 1e-12);
    }
}
