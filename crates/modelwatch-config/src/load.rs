//! From a file or a text to everything that is known about a pipeline.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    Diagnostic, Document, Override, Pipeline, Severity, consequences::Unread, document::sort_diagnostics, resolve,
    shape,
};

/// The largest pipeline file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// What came out of reading a pipeline.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The text and where each value stands in it.
    pub document: Document,
    /// The settings; `None` if there is an error among the diagnostics.
    pub pipeline: Option<Pipeline>,
    /// The settings as far as they are known in spite of errors, to look for what else is wrong; never to be run. What
    /// is missing may be empty.
    pub draft: Option<Pipeline>,
    /// All problems, in the order of the file, those of overrides last.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Returns what was found later without what may only follow from a syntax error of the file, or from a value among the options of a
    /// component that is none.
    pub fn without_consequences(&self, mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let unread = Unread::of(&self.document, &self.diagnostics);
        found.retain(|it| !unread.explains(&self.document, it) && !self.lacks_a_value(it));
        found
    }

    /// Returns whether a diagnostic is about options in which a number or date could not be read, so that they seem to be left out.
    fn lacks_a_value(&self, it: &Diagnostic) -> bool {
        let unread = self.diagnostics.iter().filter(|it| [crate::code::NUMBER, crate::code::DATE].contains(&it.code));
        let is_around =
            |place: &str| place.strip_prefix(&*it.pointer).is_some_and(|it| it.is_empty() || it.starts_with('/'));
        it.pointer.contains("/with") && unread.map(|it| &*it.pointer).any(is_around)
    }
}

/// Why a pipeline file could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file.
    #[error("cannot find the pipeline file `{}`; give the path of a TOML file", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the pipeline file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a pipe or a device.
    #[error("cannot read the pipeline file `{}`: it is no regular file; give the path of a TOML file", path.display())]
    NotAFile {
        /// What is none.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_BYTES`].
    #[error("cannot read the pipeline file `{}`: it has more than {MAX_BYTES} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The path is not text.
    #[error("cannot use the pipeline file `{}`: its path is not UTF-8, as what it names has to be; rename its folder or the file", path.display())]
    PathNotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// The file is not text.
    #[error("cannot read the pipeline file `{}`: it is not UTF-8 from byte {valid_up_to} on; save it as UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first byte that is not UTF-8.
        valid_up_to: usize,
    },
}

/// Reads a pipeline file and applies the overrides to it.
///
/// # Errors
///
/// Only if there is no text to look at; everything that is wrong with the text is among the diagnostics.
pub fn load(path: &Path, overrides: &[Override]) -> Result<Parsed, ConfigError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound { path: path.to_owned() },
        _ => ConfigError::Read { path: path.to_owned(), source },
    };
    // A pipe without a writer would keep us waiting, and a device may never end.
    let kind = path.metadata().map_err(fail)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    // Where the files are that it names goes to plugins, and into records, as text.
    if path.to_str().is_none() {
        return Err(ConfigError::PathNotUtf8 { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| ConfigError::NotUtf8 {
        path: path.to_owned(),
        valid_up_to: error.utf8_error().valid_up_to(),
    })?;
    Ok(parse(path, &text, overrides))
}

/// Reads a pipeline from its text; `path` is what it is called and where relative paths start.
///
/// Nothing is opened: whether files exist is found out by whoever opens them.
pub fn parse(path: &Path, text: &str, overrides: &[Override]) -> Parsed {
    parsed(Some(path), text, overrides)
}

/// Reads a pipeline that arguments stand for: `text` is what they have in common, which nobody wrote, and relative paths start at
/// the current folder.
pub fn of_arguments(text: &str, arguments: &[Override]) -> Parsed {
    parsed(None, text, arguments)
}

fn parsed(path: Option<&Path>, text: &str, overrides: &[Override]) -> Parsed {
    let (document, mut diagnostics) = Document::new(path, text, overrides);
    let options = shape::check(&document, &mut diagnostics);
    let pipeline = resolve::pipeline(&document, options, &mut diagnostics);

    let unread = Unread::of(&document, &diagnostics);
    diagnostics.retain(|it| !unread.explains(&document, it));
    sort_diagnostics(&mut diagnostics);
    diagnostics.dedup();
    let is_wrong = diagnostics.iter().any(|it| it.severity == Severity::Error);
    let (pipeline, draft) = if is_wrong { (None, Some(pipeline)) } else { (Some(pipeline), None) };
    Parsed { document, pipeline, draft, diagnostics }
}
