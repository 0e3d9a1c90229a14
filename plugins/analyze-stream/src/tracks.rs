//! The streams of all rows, and those of each slice.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};

use crate::{
    rows::{Key, Rows},
    track::{Rules, Track},
};

/// All streams, each with its own detector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracks {
    tracks: BTreeMap<Key, Track>,
    /// How many rows each slice has.
    slices: BTreeMap<String, u64>,
    /// How many rows are in slices that came when there were as many as there may be.
    n_beyond: u64,
    /// How many rows have no value in each slice column.
    n_unsliced: BTreeMap<String, u64>,
}

impl Tracks {
    /// Returns streams of which nothing came yet.
    pub(crate) fn new(rules: &Rules, rows: &Rows) -> Self {
        let tracks = rows.streams.keys().map(|it| (it.clone(), Track::new(rules, it))).collect();
        Self { tracks, ..Self::default() }
    }

    /// Shows rows to their streams, in that order.
    pub(crate) fn watch(&mut self, rules: &Rules, rows: &Rows, order: &[usize]) {
        for (key, values) in &rows.streams {
            let Some(track) = self.tracks.get_mut(key) else { continue };
            order.iter().for_each(|row| track.push(rules, values.get(*row), rows.numbers[*row], || rows.mark(*row)));
        }
        for (slice, of_slice) in self.by_slice(rules, rows, order) {
            for (key, values) in &rows.streams {
                let track = self.tracks.entry(key.of_slice(slice)).or_insert_with(|| Track::new(rules, key));
                of_slice
                    .iter()
                    .for_each(|row| track.push(rules, values.get(*row), rows.numbers[*row], || rows.mark(*row)));
            }
        }
    }

    /// Returns the rows of each slice that is watched, and counts them. Whether it is depends on the rows before it alone, however these
    /// are cut into batches.
    fn by_slice<'a>(&mut self, rules: &Rules, rows: &'a Rows, order: &[usize]) -> BTreeMap<&'a str, Vec<usize>> {
        let mut res: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for row in order {
            for (column, names) in &rows.slices {
                let Some(slice) = names.get(*row) else {
                    *self.n_unsliced.entry(column.clone()).or_default() += 1;
                    continue;
                };
                if !self.slices.contains_key(slice) && self.slices.len() as u64 >= rules.config.max_slices {
                    self.n_beyond += 1;
                    continue;
                }
                *self.slices.entry(slice.to_owned()).or_default() += 1;
                res.entry(slice).or_default().push(*row);
            }
        }
        res
    }

    /// Returns the streams.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Track)> {
        self.tracks.iter()
    }

    /// Returns the streams of all rows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.tracks.keys().filter(|it| it.slice.is_none())
    }

    /// Returns how many rows each slice has.
    pub(crate) fn slices(&self) -> &BTreeMap<String, u64> {
        &self.slices
    }

    /// Returns how many rows are in slices that are not watched.
    pub(crate) fn n_beyond(&self) -> u64 {
        self.n_beyond
    }

    /// Returns how many rows have no value in each slice column.
    pub(crate) fn n_unsliced(&self) -> &BTreeMap<String, u64> {
        &self.n_unsliced
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.tracks.len() as u64);
        for (key, track) in &self.tracks {
            key.write(writer);
            track.write(writer);
        }
        writer.u64(self.n_beyond);
        for counts in [&self.slices, &self.n_unsliced] {
            writer.u64(counts.len() as u64);
            for (name, n) in counts {
                writer.bytes(name.as_bytes());
                writer.u64(*n);
            }
        }
    }

    pub(crate) fn read(rules: &Rules, reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::default();
        for _ in 0..reader.u64()? {
            res.tracks.insert(Key::read(reader)?, Track::read(rules, reader)?);
        }
        // So that none overflows.
        let count = |reader: &mut Reader<'_>| {
            Some(reader.u64()?).filter(|it| *it < 1 << 62).ok_or_else(|| damaged("a count is too great"))
        };
        res.n_beyond = count(reader)?;
        for counts in [&mut res.slices, &mut res.n_unsliced] {
            for _ in 0..reader.u64()? {
                let name = reader.text()?.to_owned();
                counts.insert(name, count(reader)?);
            }
        }
        let is_known = |it: &Key| it.slice.as_ref().is_none_or(|it| res.slices.contains_key(it));
        let is_fine = res.tracks.keys().all(is_known) && res.slices.len() as u64 <= rules.config.max_slices;
        if is_fine { Ok(res) } else { Err(damaged("its streams are of no slice, or of too many")) }
    }
}
