//! The values of a stream since its last change, in less memory the longer ago they were.

use std::collections::VecDeque;

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::moments::Moments;

use crate::level::Level;

/// How many blocks of one size there are before the two oldest are joined. So the newest values are known one by one, and where a stretch
/// of `k` values up to now starts is known to within `2 k / PER_SIZE` of them.
const PER_SIZE: usize = 64;

/// Values in their order, in blocks of 1, 2, 4, … of them: the older, the more. The memory grows with the logarithm of their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// By size, each list from the oldest on.
    blocks: Vec<VecDeque<Block>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Block {
    /// The row of its first value.
    row: u64,
    values: Moments,
    /// The sum of them, each cut off where it is far from the others.
    clipped: f64,
}

/// Where the newer values start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    /// The first row of the newer ones.
    pub(crate) row: u64,
    /// Of the older ones.
    pub(crate) before: Level,
    /// Whether the newer ones are greater, as far as they are not cut off.
    pub(crate) has_risen: bool,
}

impl History {
    /// Takes in the next value, a finite one, with what it counts for where changes are looked for.
    pub(crate) fn push(&mut self, value: f64, clipped: f64, row: u64) {
        let mut values = Moments::new();
        values.push(value);
        let mut block = Block { row, values, clipped };
        for size in 0.. {
            if self.blocks.len() == size {
                self.blocks.push(VecDeque::new());
            }
            let blocks = &mut self.blocks[size];
            blocks.push_back(block);
            if blocks.len() <= PER_SIZE {
                return;
            }
            let (Some(mut older), Some(newer)) = (blocks.pop_front(), blocks.pop_front()) else { return };
            older.values.merge(&newer.values);
            older.clipped += newer.clipped;
            block = older;
        }
    }

    /// Returns where all values lie.
    pub(crate) fn level(&self) -> Level {
        level(self.oldest_first())
    }

    /// Returns the mean of all values, each cut off where it is far from the others.
    pub(crate) fn clipped_mean(&self) -> f64 {
        clipped_mean(self.oldest_first())
    }

    /// Forgets the values before the cut into two parts with the most different means; see [`modelwatch_stats::online::onset`]. With a single
    /// value there is nothing before it.
    pub(crate) fn cut_at_onset(&mut self) -> Option<Cut> {
        let parts: Vec<(f64, f64)> = self.oldest_first().map(|it| (it.n() as f64, it.clipped_mean())).collect();
        let n: f64 = parts.iter().map(|it| it.0).sum();
        let mean = parts.iter().map(|it| it.0 * it.1).sum::<f64>() / n;
        let (mut sum, mut k) = (0.0, 0.0);
        let mut best: Option<(f64, usize)> = None;
        for (at, part) in parts.iter().enumerate().take(parts.len().saturating_sub(1)) {
            sum += part.0 * (part.1 - mean);
            k += part.0;
            let distance = sum * sum / (k * (n - k));
            if best.is_none_or(|it| distance > it.0) {
                best = Some((distance, at + 1));
            }
        }
        self.cut(best.map_or(0, |it| it.1))
    }

    /// Forgets all but the newest values, of which there are so many, or fewer where they begin within a block.
    pub(crate) fn cut_to_newest(&mut self, n: u64) -> Option<Cut> {
        let mut left: u64 = self.oldest_first().map(Block::n).sum();
        let is_older = |it: &&Block| {
            let starts_before = left > n;
            left -= it.n();
            starts_before
        };
        let n_older = self.oldest_first().take_while(is_older).count();
        self.cut(n_older)
    }

    /// Forgets so many of the oldest blocks.
    fn cut(&mut self, n_blocks: usize) -> Option<Cut> {
        let before = level(self.oldest_first().take(n_blocks));
        let [older, newer] =
            [clipped_mean(self.oldest_first().take(n_blocks)), clipped_mean(self.oldest_first().skip(n_blocks))];
        let mut left = n_blocks;
        for blocks in self.blocks.iter_mut().rev() {
            let n = left.min(blocks.len());
            blocks.drain(..n);
            left -= n;
        }
        while self.blocks.last().is_some_and(VecDeque::is_empty) {
            self.blocks.pop();
        }
        let row = self.oldest_first().next()?.row;
        Some(Cut { row, before, has_risen: newer > older })
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().rev().flatten()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.blocks.len() as u64);
        for blocks in &self.blocks {
            writer.u64(blocks.len() as u64);
            for it in blocks {
                writer.u64(it.row);
                writer.bytes(&it.values.to_bytes());
                writer.f64(it.clipped);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut blocks = Vec::new();
        for size in 0..reader.u64()? {
            let n = reader.u64()?;
            if size >= 62 || n > PER_SIZE as u64 {
                return Err(damaged("a stream has too many blocks of one size"));
            }
            let block = |_| {
                let row = reader.u64()?;
                let values = Moments::from_bytes(reader.bytes()?).map_err(damaged)?;
                let is_full = values.n() == 1 << size;
                let clipped = reader.f64()?;
                if is_full { Ok(Block { row, values, clipped }) } else { Err(damaged("a block has another size")) }
            };
            blocks.push((0..n).map(block).collect::<Result<_>>()?);
        }
        Ok(Self { blocks })
    }
}

impl Block {
    fn n(&self) -> u64 {
        self.values.n()
    }

    fn clipped_mean(&self) -> f64 {
        self.clipped / self.n() as f64
    }
}

fn level<'a>(blocks: impl Iterator<Item = &'a Block>) -> Level {
    let mut all = Moments::new();
    blocks.for_each(|it| all.merge(&it.values));
    Level::of(&all)
}

/// Returns NaN of no values.
fn clipped_mean<'a>(blocks: impl Iterator<Item = &'a Block>) -> f64 {
    let (sum, n) = blocks.fold((0.0, 0), |(sum, n), it| (sum + it.clipped, n + it.n()));
    sum / n as f64
}

#[cfg(test)]
mod tests {
    use modelwatch_stats::online::onset;

    use super::*;

    fn of(values: impl Iterator<Item = f64>) -> History {
        let mut res = History::default();
        values.zip(0..).for_each(|(it, row)| res.push(it, it, row));
        res
    }

    fn step(n: usize, at: usize) -> Vec<f64> {
        (0..n).map(|it| f64::from(u8::from(it >= at)) + (it * 7 % 11) as f64 / 100.0).collect()
    }

    #[test]
    fn an_onset_is_that_of_all_values_to_within_its_distance() {
        for (n, at) in [(2, 1), (60, 30), (1000, 990), (1000, 800), (100_000, 99_000), (100_000, 50_000)] {
            let values = step(n, at);
            let exact = onset(&values).unwrap();
            let mut history = of(values.iter().copied());
            let all = history.level();
            let cut = history.cut_at_onset().unwrap();
            assert!(cut.row.abs_diff(exact as u64) <= 2 * (n - exact) as u64 / PER_SIZE as u64, "{n}, {at}: {cut:?}");
            assert_eq!((cut.before.n, history.level().n, all.n), (cut.row, n as u64 - cut.row, n as u64));
            assert!((cut.before.mean - 0.05).abs() < 0.06 && history.level().mean > 0.9, "{cut:?}");
        }
        assert_eq!(of([3.0].into_iter()).cut_at_onset().unwrap().before.n, 0);
    }

    #[test]
    fn one_value_that_is_cut_off_is_no_onset() {
        let mut history = History::default();
        let values = step(1000, 900).into_iter().enumerate();
        values.for_each(|(row, it)| history.push(if row == 10 { 1e9 } else { it }, it, row as u64));
        let cut = history.cut_at_onset().unwrap();
        assert!(cut.row.abs_diff(900) < 8 && cut.has_risen && cut.before.mean > 1e6, "{cut:?}");
        assert!((history.clipped_mean() - 1.0).abs() < 0.1);
    }

    #[test]
    fn the_newest_stay_and_memory_grows_with_the_logarithm() {
        let mut history = of(step(1_000_000, 0).into_iter());
        assert!(history.oldest_first().count() < 15 * PER_SIZE);
        let mut writer = Writer::default();
        history.write(&mut writer);
        let mut again = History::read(&mut Reader(&writer.0)).unwrap();
        assert_eq!(history.cut_to_newest(30), again.cut_to_newest(30));
        assert_eq!((history.cut_to_newest(9).unwrap().row, history.level().n), (999_991, 9));
    }
}
