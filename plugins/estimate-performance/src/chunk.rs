//! How rows are cut into chunks.

use std::collections::BTreeMap;

use modelwatch_sdk::JsonSchema;
use serde::Deserialize;

use crate::{rows::Rows, time::Period};

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

impl Default for Chunks {
    fn default() -> Self {
        Self::Count(10)
    }
}

impl Chunks {
    pub(crate) fn is_valid(self) -> bool {
        !matches!(self, Self::Size(0) | Self::Count(0))
    }
}

/// Some of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// The first and the last row, as `0-999`, or the period.
    pub(crate) name: String,
    /// The places of its rows.
    pub(crate) rows: Vec<usize>,
}

/// Returns the chunks, first to last. Rows without a time are in none by time.
pub(crate) fn cut(rows: &Rows, chunks: Chunks) -> Vec<Chunk> {
    let n_rows = rows.len() as u64;
    match chunks {
        Chunks::Size(size) => between((0..n_rows).step_by(size as usize).chain([n_rows])),
        Chunks::Count(count) => {
            let count = count.clamp(1, n_rows.max(1));
            between((0..=count).map(|it| (u128::from(it) * u128::from(n_rows) / u128::from(count)) as u64))
        }
        Chunks::Period(period) => {
            let mut periods: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (row, seconds) in rows.seconds.0.iter().enumerate() {
                if let Some(name) = period.name(*seconds) {
                    periods.entry(name).or_default().push(row);
                }
            }
            periods.into_iter().map(|(name, rows)| Chunk { name, rows }).collect()
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
    use crate::rows::Numbers;

    fn names(n_rows: usize, chunks: Chunks) -> Vec<String> {
        let rows = Rows { labels: Numbers(vec![f64::NAN; n_rows]), ..Rows::default() };
        cut(&rows, chunks).into_iter().map(|it| it.name).collect()
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
        let seconds = Numbers(vec![90_000.0, 10.0, f64::NAN, 20.0]);
        let rows = Rows { labels: Numbers(vec![f64::NAN; 4]), seconds, ..Rows::default() };
        let found = cut(&rows, Chunks::Period(Period::Day));
        let expected = [("1970-01-01", vec![1, 3]), ("1970-01-02", vec![0])];
        assert_eq!(found.iter().map(|it| (it.name.as_str(), it.rows.clone())).collect::<Vec<_>>(), expected);
    }
}
