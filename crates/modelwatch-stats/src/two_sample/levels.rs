//! Both samples side by side, level by level.

use crate::error::{Reason, Undefined};
use crate::sample::{Point, total_count};

/// One value and how often each sample has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) value: f64,
    pub(crate) reference: u64,
    pub(crate) current: u64,
}

/// Two samples as their distinct values in ascending order, for several statistics of the same two samples.
#[derive(Clone, Debug)]
pub struct Levels {
    pub(crate) levels: Vec<Level>,
    pub(crate) m: u64,
    pub(crate) n: u64,
}

/// What one level adds to an average-rank statistic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked {
    /// Reference rows at the level.
    pub(crate) reference: f64,
    /// All rows at the level.
    pub(crate) both: f64,
    /// The average rank of the level, from 1.
    pub(crate) rank: f64,
}

impl Level {
    pub(crate) fn both(&self) -> u64 {
        self.reference + self.current
    }
}

impl Levels {
    /// Merges two samples; undefined where either is none or their sizes do not add up.
    pub fn new(reference: &[Point], current: &[Point]) -> Result<Self, Undefined> {
        let (m, n) = (total_count(reference)?, total_count(current)?);
        m.checked_add(n).ok_or(Undefined::new(Reason::Overflow))?;
        let mut levels: Vec<Level> = Vec::with_capacity(reference.len() + current.len());
        let (mut left, mut right) = (0, 0);
        loop {
            let value = match (reference.get(left), current.get(right)) {
                (None, None) => return Ok(Self { levels, m, n }),
                (Some(it), None) | (None, Some(it)) => it.0,
                (Some(l), Some(r)) => l.0.min(r.0),
            };
            let mut level = Level { value, reference: 0, current: 0 };
            while let Some(it) = reference.get(left).filter(|it| it.0 <= value) {
                level.reference += it.1;
                left += 1;
            }
            while let Some(it) = current.get(right).filter(|it| it.0 <= value) {
                level.current += it.1;
                right += 1;
            }
            if level.both() > 0 {
                levels.push(level);
            }
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.m + self.n
    }

    /// Returns the levels with their average ranks.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = Ranked> {
        let mut below = 0u64;
        self.levels.iter().map(move |level| {
            let rank = below as f64 + (level.both() as f64 + 1.0) / 2.0;
            below += level.both();
            Ranked { reference: level.reference as f64, both: level.both() as f64, rank }
        })
    }

    pub(crate) fn has_ties(&self) -> bool {
        self.levels.iter().any(|it| it.both() > 1)
    }

    pub(crate) fn refuse_infinities(&self) -> Result<&Self, Undefined> {
        let is_infinite = |it: Option<&Level>| it.is_some_and(|it| it.value.is_infinite());
        if is_infinite(self.levels.first()) || is_infinite(self.levels.last()) {
            return Err(Undefined::new(Reason::Infinite));
        }
        Ok(self)
    }
}
