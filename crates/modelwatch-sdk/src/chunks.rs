//! Rows cut into chunks: by time, by size or by count.
//!
//! Chunks by time are stretches of the calendar in UTC, whatever the order of the rows. Chunks by size and count follow that order,
//! so that only a probe that keeps it can offer them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

mod season;
mod time;

pub use self::{
    season::Season,
    time::{Period, seconds},
};

/// How the rows of a role are cut, in the order in which they are in the data or by time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Chunks {
    /// So many rows each; what is left at the end is a chunk, too.
    Size(u64),
    /// So many chunks of equal size.
    Count(u64),
    /// The rows of each hour, day, week, month, quarter or year, by the timestamp column, in UTC.
    Period(Period),
}

impl Chunks {
    /// Returns whether there can be such chunks: none has no rows.
    pub fn is_valid(self) -> bool {
        !matches!(self, Self::Size(0) | Self::Count(0))
    }
}

/// Some of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// The first and the last row, as `0-999`, or the period.
    pub name: String,
    /// The places of its rows.
    pub rows: Vec<usize>,
}

/// Returns the chunks of so many rows, first to last, given the seconds of each where they are cut by time. Rows without a time are
/// in none by time.
///
/// ```
/// use modelwatch_sdk::chunks::{Chunks, Period, cut};
///
/// let names = |chunks| cut(chunks, 3, &[10.0, 90_000.0, 20.0]).into_iter().map(|it| it.name).collect::<Vec<_>>();
/// assert_eq!(names(Chunks::Size(2)), ["0-1", "2-2"]);
/// assert_eq!(names(Chunks::Period(Period::Day)), ["1970-01-01", "1970-01-02"]);
/// ```
pub fn cut(chunks: Chunks, n_rows: usize, seconds: &[f64]) -> Vec<Chunk> {
    let n_rows = n_rows as u64;
    match chunks {
        Chunks::Size(size) => between((0..n_rows).step_by(size.max(1) as usize).chain([n_rows])),
        Chunks::Count(count) => {
            let count = count.clamp(1, n_rows.max(1));
            between((0..=count).map(|it| (u128::from(it) * u128::from(n_rows) / u128::from(count)) as u64))
        }
        Chunks::Period(period) => {
            let mut periods: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
            for (row, seconds) in seconds.iter().enumerate() {
                if let Some(start) = period.start(*seconds) {
                    periods.entry(start).or_default().push(row);
                }
            }
            periods.into_iter().map(|(start, rows)| Chunk { name: period.name(start), rows }).collect()
        }
    }
}

/// Returns the chunks between neighboring bounds.
fn between(bounds: impl Iterator<Item = u64>) -> Vec<Chunk> {
    let bounds: Vec<u64> = bounds.collect();
    let chunk = |it: &[u64]| {
        let rows: Vec<usize> = (it[0] as usize..it[1] as usize).collect();
        (!rows.is_empty()).then(|| Chunk { name: format!("{}-{}", it[0], it[1] - 1), rows })
    };
    bounds.windows(2).filter_map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n_rows: usize, chunks: Chunks) -> Vec<String> {
        cut(chunks, n_rows, &vec![f64::NAN; n_rows]).into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn chunks_by_size_leave_a_rest_and_chunks_by_count_none() {
        assert_eq!(names(10, Chunks::Size(4)), ["0-3", "4-7", "8-9"]);
        assert_eq!(names(8, Chunks::Size(4)), ["0-3", "4-7"]);
        assert_eq!(names(10, Chunks::Count(3)), ["0-2", "3-5", "6-9"]);
        assert_eq!(names(2, Chunks::Count(3)), ["0-0", "1-1"]);
        for chunks in [Chunks::Size(4), Chunks::Count(4), Chunks::Period(Period::Day)] {
            assert_eq!(names(0, chunks), [""; 0]);
        }
    }

    #[test]
    fn chunks_by_time_take_rows_in_any_order() {
        let found = cut(Chunks::Period(Period::Day), 4, &[90_000.0, 10.0, f64::NAN, 20.0]);
        let expected = [("1970-01-01", vec![1, 3]), ("1970-01-02", vec![0])];
        assert_eq!(found.iter().map(|it| (it.name.as_str(), it.rows.clone())).collect::<Vec<_>>(), expected);
    }
}
