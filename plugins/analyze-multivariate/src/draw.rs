//! Which of the rows that were kept are compared.
//!
//! Two samples can be compared only if each is a fair draw. Where all different rows of a table were kept, with how often each came, rows
//! are drawn from that. Where there were too many, those stayed whose hash is lowest: as good as a draw if rows are different, and not
//! if one row may stand for half of the table. Then both roles are compared in the range of hashes of which both kept everything.
//!
//! Rows with weights are drawn by them: each stays with a chance in proportion to its weight, the heaviest one certainly (rejection
//! sampling, von Neumann 1951), and of those that stay as many are drawn as are compared. They count alike and are distributed as the
//! weighted rows are, so that every test is what it is without weights. Weighting the statistics instead would not do: dealt out again,
//! rows take their weights along, and how rows are weighed would be compared as well.
//!
//! Weights are in the hashes of rows, so that a row that weighs something else in the other role may stay in one and not in the other: where
//! there are weights, no part is compared.

use std::{collections::BTreeSet, iter};

use modelwatch_sdk::{RecordBatch, Result, rows::weights, sample::take};
use modelwatch_stats::{hash::mix, intervals::normal_quantile, random::Random};

use crate::{config::Config, side::Side};

/// From this share of repeated rows on it matters how often a row comes.
const REPEATED: f64 = 0.01;

/// From so many on, how many stay is told by a normal distribution: its standard deviation is above 45, and counting one by one would take
/// as long as there are.
const MANY: f64 = 4096.0;

/// The rows of one role that are compared.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    /// The rows.
    pub(crate) rows: RecordBatch,
    /// Of how many they are.
    pub(crate) of: u64,
    /// Whether rows outside of the common range of both roles could not be drawn.
    pub(crate) is_partial: bool,
    /// Whether they were drawn by their weights.
    pub(crate) is_weighted: bool,
}

/// Returns the rows of the reference and of the current data; none where a role has no batch.
///
/// # Errors
/// When a sample was read from damaged bytes.
pub(crate) fn draw(config: &Config, reference: &Side, current: &Side) -> Result<Option<[Draw; 2]>> {
    let samples = [reference.sample(), current.sample()];
    let is_whole = samples.iter().all(|it| it.is_complete());
    let is_partial = !is_whole && [reference, current].into_iter().any(repeats);
    let is_any_weighted = reference.is_weighted() || current.is_weighted();
    let mut res = Vec::with_capacity(2);
    for (role, (side, other)) in (0..).zip([(reference, current), (current, reference)]) {
        // Tests take the roles to be drawn independently, also where the same rows stand at the same places in both.
        let seed = mix(config.seed ^ role);
        let sample = side.sample();
        let Some(rows) = sample.batch()? else { return Ok(None) };
        let weights = weights(&rows)?;
        let counts: Vec<u64> = match (is_partial, sample.is_complete()) {
            (true, _) if is_any_weighted => Vec::new(),
            (true, _) => sample.counts().take(sample.n_in_common_range(other.sample())).collect(),
            (false, true) => sample.counts().collect(),
            (false, false) if weights.is_some() => vec![1; sample.len()],
            (false, false) => vec![1; sample.len().min(config.rows)],
        };
        let drawn = match &weights {
            Some(it) => by_weight(&counts, it, config.rows, seed),
            None => occurrences(&counts, config.rows, seed),
        };
        let is_weighted = weights.is_some();
        res.push(Draw { rows: take(&rows, &drawn)?, of: side.rows(), is_partial, is_weighted });
    }
    Ok(res.try_into().ok())
}

/// Returns whether it matters how often rows come: of those that are held, or of those that are not.
fn repeats(side: &Side) -> bool {
    let sample = side.sample();
    let n_held = sample.len().max(1) as f64;
    let total = sample.counts().fold(0_u64, u64::saturating_add).max(1) as f64;
    // So many different rows there are, by the share of hashes that is held; give or take three standard errors.
    let n_different = n_held / sample.hash_range();
    let is_short = n_different * (1.0 + 3.0 / n_held.sqrt()) < side.rows() as f64 * (1.0 - REPEATED);
    1.0 - n_held / total > REPEATED || (!sample.is_complete() && is_short)
}

/// Returns at most `n` of the rows, each occurrence with a chance in proportion to its weight.
fn by_weight(counts: &[u64], weights: &[f64], n: usize, seed: u64) -> Vec<usize> {
    let greatest = counts.iter().zip(weights).map(|it| *it.1).fold(0.0, f64::max);
    let staying = counts
        .iter()
        .zip(weights)
        .enumerate()
        .map(|(row, (count, weight))| staying(*count, weight / greatest, mix(mix(!seed) ^ row as u64)));
    occurrences(&staying.collect::<Vec<_>>(), n, seed)
}

/// Returns how many of `count` stay, each with this chance: a binomial number.
fn staying(count: u64, chance: f64, stream: u64) -> u64 {
    if chance.is_nan() || chance <= 0.0 {
        return 0;
    }
    if chance >= 1.0 {
        return count;
    }
    if chance > 0.5 {
        return count - staying(count, 1.0 - chance, stream);
    }
    let mut random = Random::new(stream);
    let mean = count as f64 * chance;
    if mean >= MANY {
        let deviations = normal_quantile(random.positive_unit()).unwrap_or(0.0);
        // It is above 0 by far more than 8 standard deviations, and below `count`.
        return (mean + deviations * (mean * (1.0 - chance)).sqrt()).round() as u64;
    }
    // From one that stays to the next it is a geometric number of places.
    let mut place = 0.0;
    let next = || {
        place += 1.0 + (random.positive_unit().ln() / (-chance).ln_1p()).floor();
        (place <= count as f64).then_some(())
    };
    iter::from_fn(next).count() as u64
}

/// Returns at most `n` of the rows, each as often as it is drawn: all of them, or a simple random sample by Floyd's algorithm
/// (Bentley & Floyd 1987).
fn occurrences(counts: &[u64], n: usize, seed: u64) -> Vec<usize> {
    let ends: Vec<u64> = counts
        .iter()
        .scan(0_u64, |sum, it| {
            *sum = sum.saturating_add(*it);
            Some(*sum)
        })
        .collect();
    let total = ends.last().copied().unwrap_or(0);
    let n = total.min(n as u64);
    let mut places = BTreeSet::new();
    for last in total - n..total {
        let random = (u128::from(mix(seed ^ mix(last))) * u128::from(last + 1)) >> 64;
        // It is at most `last`.
        let place = random as u64;
        if !places.insert(place) {
            places.insert(last);
        }
    }
    places.into_iter().map(|place| ends.partition_point(|end| *end <= place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_drawn_where_there_are_few() {
        assert_eq!(occurrences(&[2, 1, 3], 10, 1), [0, 0, 1, 2, 2, 2]);
        assert_eq!(occurrences(&[], 10, 1), [0; 0]);
    }

    #[test]
    fn heavy_rows_are_drawn_in_proportion() {
        let weights: Vec<f64> = (0..40_000).map(|it| [0.0, 1.0, 2.0, 4.0][it % 4]).collect();
        let drawn = by_weight(&vec![1; weights.len()], &weights, 4000, 3);
        let of = |weight: f64| drawn.iter().filter(|it| weights[**it] == weight).count() as f64;
        assert_eq!((drawn.len(), of(0.0)), (4000, 0.0));
        // The standard deviations are below 32.
        for (weight, expected) in [(1.0, 4000.0 / 7.0), (2.0, 8000.0 / 7.0), (4.0, 16_000.0 / 7.0)] {
            assert!((of(weight) - expected).abs() < 130.0, "{weight}: {}", of(weight));
        }
        // Where there are too few, as many as they are worth by the heaviest, each once.
        let few = by_weight(&[1; 1000], &weights[..1000], 4000, 3);
        assert!((390..490).contains(&few.len()) && few.windows(2).all(|it| it[0] < it[1]), "{}", few.len());
        assert_eq!(by_weight(&[3, 1], &[0.0, 0.0], 10, 1), [0; 0]);
        assert_eq!(by_weight(&[2, 1], &[3.0, 3.0], 10, 1), [0, 0, 1]);
    }

    #[test]
    fn no_more_is_held_than_is_drawn() {
        let drawn = by_weight(&[1 << 50, 1], &[1.0, 65_536.0], 1000, 1);
        assert_eq!((drawn.len(), drawn.iter().filter(|it| **it == 0).count()), (1000, 1000));
        let drawn = by_weight(&[1 << 50, 1 << 48], &[1.0, 4.0], 1000, 2);
        // The standard deviation is 16.
        let heavy = drawn.iter().filter(|it| **it == 1).count();
        assert!(drawn.len() == 1000 && (430..570).contains(&heavy), "{heavy}");
        assert_eq!(by_weight(&[u64::MAX, 1 << 40], &[0.0, 1.0], 10, 1), [1; 10]);
        for weight in [f64::NAN, -1.0, f64::INFINITY] {
            assert_eq!(by_weight(&[u64::MAX, 1], &[weight, 0.0], 10, 1), [0; 0]);
        }
    }

    #[test]
    fn as_many_stay_as_a_binomial_number_says() {
        const N: u64 = 4000;
        for (count, chance) in
            [(1, 0.25), (1, 0.8), (7, 0.4), (1000, 0.001), (9000, 0.5), (100_000, 0.04), (100_000, 0.9), (1 << 40, 0.3)]
        {
            let found = (0..N).map(|it| staying(count, chance, mix(it)) as f64).collect::<Vec<_>>();
            let mean = found.iter().sum::<f64>() / N as f64;
            let variance = found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / N as f64;
            let (center, square) = (count as f64 * chance, count as f64 * chance * (1.0 - chance));
            // Four standard errors; the excess kurtosis is at most 1.
            assert!((mean - center).abs() < 4.0 * (square / N as f64).sqrt(), "{count} {chance}: {mean}");
            assert!((variance / square - 1.0).abs() < 4.0 * (3.0 / N as f64).sqrt(), "{count} {chance}: {variance}");
        }
        assert_eq!([staying(9, 0.0, 1), staying(9, 1.0, 1), staying(9, f64::NAN, 1)], [0, 9, 0]);
    }

    #[test]
    fn rows_are_drawn_in_proportion() {
        let drawn = occurrences(&[900_000, 50_000, 50_000], 1000, 7);
        let count = |row: usize| drawn.iter().filter(|it| **it == row).count();
        assert_eq!(drawn.len(), 1000);
        // The standard deviations are 9.5 and 6.9.
        assert!((860..940).contains(&count(0)) && (20..80).contains(&count(1)), "{}", count(0));
    }
}
