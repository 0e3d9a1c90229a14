//! What can be wrong with data files.

use std::{io, path::PathBuf};

use modelwatch_config::Source;
use thiserror::Error;

use super::files;

/// Why data cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("cannot read the data file `{}`: {source}{}", file.display(), remedy(source))]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file matches.
    #[error("no file matches `{pattern}`{CORRECT_PATH}")]
    NothingMatches {
        /// The glob.
        pattern: String,
    },
    /// What matches a pattern cannot be read.
    #[error("cannot read `{}`, which `{pattern}` matches: {source}; {}", file.display(), remedy_of_match(source))]
    Match {
        /// The file or folder, or the link to none.
        file: PathBuf,
        /// The glob.
        pattern: String,
        /// Why.
        source: io::Error,
    },
    /// A path that matches a pattern is no text.
    #[error("`{}`, which `{pattern}` matches, has a name that is not UTF-8; rename it", file.display())]
    NameOfMatch {
        /// The file.
        file: PathBuf,
        /// The glob.
        pattern: String,
    },
    /// The path is a folder.
    #[error("`{pattern}` is a folder; name a file or a glob as `{pattern}/*.parquet`")]
    Folder {
        /// The path.
        pattern: String,
    },
    /// The path is neither a file nor a folder.
    #[error("`{}` is no regular file, and data is read more than once; write it into a file", file.display())]
    NotAFile {
        /// The pipe or device.
        file: PathBuf,
    },
    /// The glob is broken.
    #[error("`{pattern}` is not a glob: {reason}")]
    Pattern {
        /// The glob.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// The file has no bytes.
    #[error("the data file `{}` is empty", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// Neither content nor name tell the format.
    #[error("cannot tell the format of `{}`; set `format` to parquet, csv, arrow, npz or npy", file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// Two files have other columns.
    #[error("`{}` cannot be read as one with `{}`: {difference}; give both the same columns in the same order", file.display(), first.display())]
    ColumnsDiffer {
        /// The file.
        file: PathBuf,
        /// The first file.
        first: PathBuf,
        /// What is another column there.
        difference: String,
    },
    /// Two columns have one name.
    #[error("`{}` has two columns named `{column}`; rename one of them", file.display())]
    DuplicateColumn {
        /// The file.
        file: PathBuf,
        /// The name.
        column: String,
    },
    /// Two files have other formats.
    #[error("`{}` is {format}, and `{}`, with which it is to be read as one, is {first_format}; name files of one format", file.display(), first.display())]
    FormatsDiffer {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: &'static str,
        /// The first file.
        first: PathBuf,
        /// The format of that.
        first_format: &'static str,
    },
    /// The file's content is broken.
    #[error("cannot read `{}`{}: {reason}", file.display(), place(place_in_file))]
    Broken {
        /// The file.
        file: PathBuf,
        /// A row group, line or array.
        place_in_file: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn place(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" at {text}") }
}

/// Arrow's and the zip reader's messages can run over several lines.
fn first_line(reason: impl ToString) -> String {
    reason.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The remedy for a path to nothing.
pub(crate) const CORRECT_PATH: &str = "; correct the path";

/// Returns what to do about a file that cannot be read, as far as that is known.
pub(crate) fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => CORRECT_PATH,
        io::ErrorKind::PermissionDenied => "; let the user of this process read it",
        _ => "",
    }
}

fn remedy_of_match(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "let the user of this process read it",
        io::ErrorKind::NotFound => "it is a link to nothing: bring back what it leads to, or remove it",
        _ => "bring it back, or remove it",
    }
}

impl DataError {
    /// Returns what is wrong with a path that is a pattern, whatever files there are.
    pub(crate) fn of_pattern(source: &Source) -> Option<Self> {
        files::broken(&source.root, &source.pattern)
    }

    /// Returns the error of a file that a library finds to be other than its format says.
    pub(crate) fn damaged(file: impl Into<PathBuf>, place: impl Into<String>, reason: impl ToString) -> Self {
        Self::broken(file, place, format!("{}; write or copy the file again", first_line(reason)))
    }

    pub(crate) fn broken(file: impl Into<PathBuf>, place: impl Into<String>, reason: impl ToString) -> Self {
        Self::Broken { file: file.into(), place_in_file: place.into(), reason: first_line(reason) }
    }
}
