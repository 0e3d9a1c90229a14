//! All that is known of the rows so far, one after the other from the first on.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};

use crate::{
    rows::{Key, Rows},
    times::Times,
    track::{Rules, Track},
    tracks::{Slices, Tracks},
};

/// What came of the rows.
///
/// In the order of the data each row is watched at once. In the order of time rows wait for those that are earlier and come later: the latest
/// of them, as many as there is room for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) n: u64,
    /// How many rows have no time.
    pub(crate) n_untimed: u64,
    /// How many rows are earlier than one that was watched before they came.
    pub(crate) n_late: u64,
    /// What the latest row that was watched sorts by.
    latest: Option<i64>,
    waiting: Rows,
    tracks: Tracks,
    /// Columns that are no streams, and why.
    pub(crate) left_out: BTreeMap<String, String>,
}

impl Seen {
    /// Returns how many rows are watched or wait for it.
    pub(crate) fn n_watched(&self) -> u64 {
        self.n.saturating_sub(self.n_untimed).saturating_sub(self.n_late)
    }

    /// Returns how many rows there is room for.
    pub(crate) fn room(&self, rules: &Rules) -> usize {
        usize::try_from(rules.config.max_bytes / self.waiting.width()).unwrap_or(usize::MAX).max(2)
    }

    /// Takes in the next rows.
    ///
    /// # Errors
    /// When they have other columns than those before them.
    pub(crate) fn add(&mut self, rules: &Rules, rows: &Rows) -> Result<()> {
        // Rows that are none say nothing of columns either.
        if rows.len() == 0 {
            return Ok(());
        }
        if self.n == 0 {
            self.waiting = rows.none();
            self.tracks = Tracks::new(rules, rows);
        }
        self.waiting.extend(rows, &[])?;
        self.n += rows.len() as u64;
        self.left_out.extend(rows.left_out.clone());
        match &rows.times {
            None => self.tracks.watch(rules, rows, &(0..rows.len()).collect::<Vec<_>>()),
            Some(times) => self.add_timed(rules, rows, times)?,
        }
        Ok(())
    }

    fn add_timed(&mut self, rules: &Rules, rows: &Rows, times: &Times) -> Result<()> {
        let room = self.room(rules);
        let mut next = Vec::new();
        for row in 0..rows.len() {
            match times.key(row) {
                None => self.n_untimed += 1,
                Some(it) if self.latest.is_some_and(|latest| it < latest) => self.n_late += 1,
                Some(_) => next.push(row),
            }
            if self.waiting.len() + next.len() >= room {
                self.waiting.extend(rows, &next)?;
                next.clear();
                self.watch_earliest(rules, room / 2)?;
            }
        }
        self.waiting.extend(rows, &next)
    }

    /// Watches so many of the rows that wait.
    fn watch_earliest(&mut self, rules: &Rules, n: usize) -> Result<()> {
        let Some(times) = &self.waiting.times else { return Ok(()) };
        let order = times.order();
        let (now, later) = order.split_at(n.min(order.len()));
        self.latest = now.last().and_then(|it| times.key(*it)).or(self.latest);
        self.tracks.watch(rules, &self.waiting, now);
        // Those of one time stay in the order of the data.
        let mut later = later.to_vec();
        later.sort_unstable();
        let mut rest = self.waiting.none();
        rest.extend(&self.waiting, &later)?;
        self.waiting = rest;
        Ok(())
    }

    /// Returns the slices and each stream when those rows that wait are watched, too.
    pub(crate) fn ended<'a>(&'a self, rules: &'a Rules) -> (Slices, impl Iterator<Item = (Key, Track)> + 'a) {
        let order = self.waiting.times.as_ref().map(Times::order).unwrap_or_default();
        self.tracks.after(rules, &self.waiting, order)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        [self.n, self.n_untimed, self.n_late].into_iter().for_each(|it| writer.u64(it));
        writer.u8(u8::from(self.latest.is_some()));
        self.latest.iter().for_each(|it| writer.u64(*it as u64));
        self.waiting.write(writer);
        self.tracks.write(writer);
        writer.u64(self.left_out.len() as u64);
        for text in self.left_out.iter().flat_map(|it| [it.0, it.1]) {
            writer.bytes(text.as_bytes());
        }
    }

    pub(crate) fn read(rules: &Rules, reader: &mut Reader<'_>) -> Result<Self> {
        let [n, n_untimed, n_late] = [reader.u64()?, reader.u64()?, reader.u64()?];
        let latest = if reader.flag()? { Some(reader.u64()? as i64) } else { None };
        let waiting = Rows::read(reader)?;
        let mut res = Self { n, n_untimed, n_late, latest, waiting, ..Self::default() };
        res.tracks = Tracks::read(rules, reader)?;
        for _ in 0..reader.u64()? {
            let name = reader.text()?.to_owned();
            res.left_out.insert(name, reader.text()?.to_owned());
        }
        let is_fine = n < 1 << 62 && res.tracks.keys().eq(res.waiting.streams.keys());
        if is_fine { Ok(res) } else { Err(damaged("its rows are not those of its streams")) }
    }
}
