//! The streams of all rows, and those of each slice.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};

use crate::{
    config::Config,
    rows::{Key, Rows},
    track::{Rules, Track},
    values::Values,
};

/// All streams, each with its own detector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracks {
    tracks: BTreeMap<Key, Track>,
    slices: Slices,
}

/// Which slices are watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices {
    /// How many rows each slice has.
    pub(crate) n_rows: BTreeMap<String, u64>,
    /// How many rows are in slices that came when there were as many as there may be.
    pub(crate) n_beyond: u64,
    /// How many rows have no value in each slice column.
    pub(crate) n_unsliced: BTreeMap<String, u64>,
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
            watch(track, rules, (rows, values), order);
        }
        for (slice, of_slice) in self.slices.add(rules, rows, order) {
            for (key, values) in &rows.streams {
                let track = self.tracks.entry(key.of_slice(slice)).or_insert_with(|| Track::new(rules, key));
                watch(track, rules, (rows, values), &of_slice);
            }
        }
    }

    /// Returns the slices and each stream as they are once these rows are shown as well, one stream after the other, since all of them are
    /// large.
    pub(crate) fn after<'a>(
        &'a self,
        rules: &'a Rules,
        rows: &'a Rows,
        order: Vec<usize>,
    ) -> (Slices, impl Iterator<Item = (Key, Track)> + 'a) {
        let mut slices = self.slices.clone();
        let of_slices = slices.add(rules, rows, &order);
        let of_slice = |slice: &&str| rows.streams.keys().map(|it| it.of_slice(slice)).collect::<Vec<_>>();
        let keys: BTreeSet<Key> = self.tracks.keys().cloned().chain(of_slices.keys().flat_map(of_slice)).collect();
        let tracks = keys.into_iter().map(move |key| {
            let of_all = Key { slice: None, ..key.clone() };
            let mut track = self.tracks.get(&key).cloned().unwrap_or_else(|| Track::new(rules, &of_all));
            let order = match &key.slice {
                None => order.as_slice(),
                Some(it) => of_slices.get(it.as_str()).map_or(&[][..], Vec::as_slice),
            };
            if let Some(values) = rows.streams.get(&of_all) {
                watch(&mut track, rules, (rows, values), order);
            }
            (key, track)
        });
        (slices, tracks)
    }

    /// Returns the streams of all rows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.tracks.keys().filter(|it| it.slice.is_none())
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.tracks.len() as u64);
        for (key, track) in &self.tracks {
            key.write(writer);
            track.write(writer);
        }
        writer.u64(self.slices.n_beyond);
        for counts in [&self.slices.n_rows, &self.slices.n_unsliced] {
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
        res.slices.n_beyond = count(reader)?;
        for counts in [&mut res.slices.n_rows, &mut res.slices.n_unsliced] {
            for _ in 0..reader.u64()? {
                let name = reader.text()?.to_owned();
                counts.insert(name, count(reader)?);
            }
        }
        let is_known = |it: &Key| it.slice.as_ref().is_none_or(|it| res.slices.n_rows.contains_key(it));
        let is_fine = res.tracks.keys().all(is_known) && res.slices.n_rows.len() as u64 <= rules.config.max_slices;
        if is_fine { Ok(res) } else { Err(damaged("its streams are of no slice, or of too many")) }
    }
}

impl Slices {
    /// Returns the rows of each slice that is watched, and counts them. Whether it is depends on the rows before it alone, however these
    /// are cut into batches.
    fn add<'a>(&mut self, rules: &Rules, rows: &'a Rows, order: &[usize]) -> BTreeMap<&'a str, Vec<usize>> {
        let mut res: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let most = most_slices(&rules.config, rows.streams.len());
        for row in order {
            for (column, names) in &rows.slices {
                let Some(slice) = names.get(*row) else {
                    *self.n_unsliced.entry(column.clone()).or_default() += 1;
                    continue;
                };
                if let Some(it) = self.n_rows.get_mut(slice) {
                    *it += 1;
                } else if (self.n_rows.len() as u64) < most {
                    self.n_rows.insert(slice.to_owned(), 1);
                } else {
                    self.n_beyond += 1;
                    continue;
                }
                res.entry(slice).or_default().push(*row);
            }
        }
        res
    }
}

fn watch(track: &mut Track, rules: &Rules, (rows, values): (&Rows, &Values), order: &[usize]) {
    order.iter().for_each(|row| track.push(rules, values.get(*row), rows.numbers[*row], || rows.mark(*row)));
}

/// Returns how many slices of so many streams are watched.
pub(crate) fn most_slices(config: &Config, n_streams: usize) -> u64 {
    config.max_slices.min(config.max_slice_streams / (n_streams as u64).max(1)).max(1)
}
