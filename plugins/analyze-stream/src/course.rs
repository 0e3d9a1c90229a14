//! What a detector says of a stream.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer},
};

use crate::{config::Config, level::Level, picture::Point, rows::Key, track::Mark};

/// The most changes of a stream that are told, the newest.
pub(crate) const MAX_CHANGES: usize = 100;

/// A stream, watched to its end.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) key: Key,
    /// How many values are numbers.
    pub(crate) n: u64,
    /// How many are null or NaN.
    pub(crate) n_missing: u64,
    pub(crate) n_infinite: u64,
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Watched(Watched),
    /// There is too little to decide anything of; the reason.
    TooShort(String),
    /// The values are not for this detector; the reason.
    Unfit(String),
}

/// What the detector reported.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) n_changes: u64,
    /// The newest of them, in the order of the stream.
    pub(crate) changes: Vec<Shift>,
    pub(crate) n_warnings: u64,
    /// How many values were cut off; none where the detector sees them as they are.
    pub(crate) n_clipped: Option<u64>,
    /// Whether the newest value is one of them.
    pub(crate) ends_with_warning: bool,
    /// Since the last change, or of all values.
    pub(crate) latest: Level,
    pub(crate) points: Vec<Point>,
}

/// A change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shift {
    /// Which value of the stream it was found at, from 0.
    pub(crate) place: u64,
    /// That row of the data.
    pub(crate) mark: Mark,
    /// The row from which on the values are others, as far as can be told.
    pub(crate) first_row: u64,
    /// From the change before on; of no values where the first one of all is a change.
    pub(crate) before: Level,
    /// Up to the next change.
    pub(crate) after: Level,
    /// Whether the values after it are greater, as far as is known where it is found; outliers do not decide that.
    pub(crate) has_risen: bool,
}

impl Course {
    /// Returns the same, where it is of a slice of so many rows; nothing is said of one that has too few.
    pub(crate) fn of_rows(mut self, n_rows: Option<u64>, config: &Config) -> Self {
        let least = config.min_slice_size;
        if let Some(n) = n_rows.filter(|it| *it < least) {
            self.outcome = Outcome::TooShort(format!("its slice has {n} rows, fewer than `min_slice_size`, {least}"));
        }
        self
    }

    /// Returns what the detector reported; none where it could not look.
    pub(crate) fn watched(&self) -> Option<&Watched> {
        match &self.outcome {
            Outcome::Watched(it) => Some(it),
            Outcome::TooShort(_) | Outcome::Unfit(_) => None,
        }
    }
}

impl Shift {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.place);
        self.mark.write(writer);
        writer.u64(self.first_row);
        self.before.write(writer);
        self.after.write(writer);
        writer.u8(u8::from(self.has_risen));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (place, mark, first_row) = (reader.u64()?, Mark::read(reader)?, reader.u64()?);
        let (before, after, has_risen) = (Level::read(reader)?, Level::read(reader)?, reader.flag()?);
        Ok(Self { place, mark, first_row, before, after, has_risen })
    }
}
