//! The file of a profile.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `\x89MWP\r\n\x1a\n`: not text, and broken by whoever converts line ends |
//! | 4 | version of what follows |
//! | 32 | BLAKE3 of what follows |
//! | 8 | length of what follows |
//! | | the settings, whose outputs there are, then the profile |
//!
//! Numbers are little-endian. Equal rows and settings give an equal file, on every machine and at any time.
//!
//! Of a column whose numbers take more bytes than there are for it, which are fewer the more columns there are, as many leading bits
//! are kept as fit; parts merge to the file of the whole in any case.
//! Of a column with more categories than a file keeps it has the most frequent ones, and bounds for the others.
//! Files of which such a column was cut merge in any order to the same file, within these bounds: it cannot be the file of the whole, because
//! what they lack is nowhere. A category that is more frequent than the bound is kept, whatever its name. Where what was merged is merged
//! again, every file in between leaves some out, so that the order shows: merge all files at once.

use std::path::PathBuf;

use modelwatch_sdk::{
    Error, Result,
    state::{Reader, Writer, damaged},
};
use thiserror::Error;

use crate::{
    predictor::Predictor,
    profile::{Group, Profile},
    settings::Settings,
};

/// What a profile begins with.
pub const MAGIC: &[u8; 8] = b"\x89MWP\r\n\x1a\n";

/// What is written, and read.
const VERSION: u32 = 4;

/// What is read as well: numbers in more bytes.
const FORMER_VERSION: u32 = 3;

const HEAD: usize = MAGIC.len() + 4 + 32 + 8;

/// Why a file gives no profile.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is something else.
    #[error("`{}` is no profile; make one with `modelwatch profile DATA --output FILE`", file.display())]
    Other {
        /// The file.
        file: PathBuf,
    },
    /// It was written by another version.
    #[error(
        "`{}` is a profile of version {found}, and this program reads version {known}; make it again from the rows with this program, or read it with the one that wrote it",
        file.display()
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The one that is read.
        known: u32,
    },
    /// It ends too early or too late.
    #[error(
        "the profile `{}` has {found} bytes where {expected} belong; copy it again from where it was written, or make it again from the rows",
        file.display()
    )]
    Length {
        /// The file.
        file: PathBuf,
        /// How long it is.
        found: u64,
        /// How long it was.
        expected: u64,
    },
    /// Its bytes are not those that were written.
    #[error(
        "the profile `{}` is damaged: its bytes do not have the digest that it names; copy it again from where it was written, or make it again from the rows",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
    },
    /// Its bytes are those that were written, and make no sense.
    #[error("the profile `{}` cannot be read; make it again from the rows with this program", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// Why.
        source: modelwatch_sdk::Error,
    },
}

/// A profile with the settings that it was made with.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The settings.
    pub settings: Settings,
    /// Whose outputs the profile has; none where it has none.
    pub predictor: Option<Predictor>,
    /// The profile.
    pub profile: Profile,
}

impl Stored {
    /// Adds what `other` has seen; of settings that differ, those that keep less hold.
    ///
    /// All categories of both are kept until the next [cut](Stored::cut), which chooses the most frequent ones.
    ///
    /// # Errors
    /// When columns of lists keep other elements, or outputs are not of the same model.
    pub fn merge(&mut self, mut other: Self) -> Result<()> {
        let why = match (&self.predictor, &other.predictor) {
            (Some(mine), Some(theirs)) => theirs.difference(mine).map(|it| format!("outputs {it}")),
            (None, None) => None,
            _ => Some("no outputs, and another one has some".to_owned()),
        };
        if let Some(why) = why {
            let help = "make all of them with the same `--model`, or without";
            return Err(Error::input(format!("a part has {why}; {help}")));
        }
        // Of two versions of a runtime that are as good, the same one in any order of merges.
        if let (Some(mine), Some(theirs)) = (&mut self.predictor, &other.predictor) {
            mine.runtime = theirs.runtime.clone().min(std::mem::take(&mut mine.runtime));
        }
        let (mine, theirs) = (self.settings, other.settings);
        self.settings = Settings {
            budget: mine.budget.min(theirs.budget),
            max_categories: mine.max_categories.min(theirs.max_categories),
            stored_categories: mine.stored_categories.min(theirs.stored_categories),
            stored_bytes: mine.stored_bytes.min(theirs.stored_bytes),
            max_elements: mine.max_elements.min(theirs.max_elements),
            describe: mine.describe && theirs.describe,
        };
        self.profile.lift_caps();
        other.profile.lift_caps();
        self.profile.merge(other.profile)
    }

    /// Keeps the columns of the data alone.
    pub fn drop_outputs(&mut self) {
        self.predictor = None;
        self.profile.retain(Group::Feature);
    }

    /// Cuts the categories to what a file keeps.
    pub fn cut(&mut self) {
        self.profile.cut(&self.settings);
    }
}

/// Returns the bytes of the file, which keeps the most frequent categories of a column that has too many.
pub fn write(stored: &Stored) -> Vec<u8> {
    let mut stored = stored.clone();
    stored.cut();
    let mut writer = Writer::default();
    let Settings { budget, max_categories, stored_categories, stored_bytes, max_elements, describe } = stored.settings;
    writer.u64(budget);
    writer.u64(max_categories);
    writer.u64(stored_categories);
    writer.u64(stored_bytes as u64);
    writer.u64(max_elements as u64);
    writer.u8(u8::from(describe));
    Predictor::write(stored.predictor.as_ref(), &mut writer);
    stored.profile.write(&mut writer);
    let body = writer.0;
    let (digest, length) = (blake3::hash(&body), body.len() as u64);
    [MAGIC.as_slice(), &VERSION.to_le_bytes(), digest.as_bytes(), &length.to_le_bytes(), &body].concat()
}

/// Returns the profile in the bytes of `file`, which is named in errors.
///
/// # Errors
/// When the bytes are no profile that this program can read.
pub fn read(file: impl Into<PathBuf>, bytes: &[u8]) -> std::result::Result<Stored, FileError> {
    let file = file.into();
    let Some(rest) = bytes.strip_prefix(MAGIC) else { return Err(FileError::Other { file }) };
    let length = |expected: u64| FileError::Length { file: file.clone(), found: bytes.len() as u64, expected };
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| length(HEAD as u64))?;
    let found = u32::from_le_bytes(*version);
    if found != VERSION && found != FORMER_VERSION {
        return Err(FileError::Version { file, found, known: VERSION });
    }
    let (digest, rest) = rest.split_first_chunk::<32>().ok_or_else(|| length(HEAD as u64))?;
    let (n, body) = rest.split_first_chunk::<8>().ok_or_else(|| length(HEAD as u64))?;
    let n = u64::from_le_bytes(*n);
    if body.len() as u64 != n {
        return Err(length(n.saturating_add(HEAD as u64)));
    }
    if blake3::hash(body) != *digest {
        return Err(FileError::Damaged { file });
    }
    content(body).map_err(|source| FileError::Content { file, source })
}

fn content(body: &[u8]) -> Result<Stored> {
    let mut reader = Reader(body);
    let settings = Settings {
        budget: reader.u64()?,
        max_categories: reader.u64()?,
        stored_categories: reader.u64()?,
        stored_bytes: usize::try_from(reader.u64()?).map_err(damaged)?,
        max_elements: usize::try_from(reader.u64()?).map_err(damaged)?,
        describe: reader.flag()?,
    };
    let predictor = Predictor::read(&mut reader)?;
    let profile = Profile::read(&mut reader)?;
    reader.finish()?;
    if predictor.is_none() && profile.has(Group::Output) {
        return Err(damaged("its outputs are of no model"));
    }
    Ok(Stored { settings, predictor, profile })
}
