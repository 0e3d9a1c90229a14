//! From a file or a text to everything that is known about a pipeline.

use std::{
    fs::File,
    io::{self, Read},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use crate::{
    Diagnostic, Document, Override, Pipeline, Severity, code, diagnostic::Origin, document::sort_key, resolve, shape,
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
    /// The settings as far as they are known in spite of errors, to look for what else is wrong; never to be run.
    pub draft: Option<Pipeline>,
    /// All problems, in the order of the file, those of overrides last.
    pub diagnostics: Vec<Diagnostic>,
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
    /// The file is larger than [`MAX_BYTES`].
    #[error("cannot read the pipeline file `{}`: it has more than {MAX_BYTES} bytes; is it the right file?", path.display())]
    TooLarge {
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
    let (document, mut diagnostics) = Document::new(path, text, overrides);
    let options = shape::check(&document, &mut diagnostics);
    let pipeline = resolve::pipeline(&document, options, &mut diagnostics);

    drop_consequences(&document, &mut diagnostics);
    diagnostics.sort_by_key(sort_key);
    diagnostics.dedup();
    let (mut pipeline, mut draft) = (pipeline, None);
    if diagnostics.iter().any(|it| it.severity == Severity::Error) {
        // Of a file that is no TOML, nobody knows what it would say.
        draft = pipeline.take().filter(|_| diagnostics.iter().all(|it| it.code != code::SYNTAX));
    }
    Parsed { document, pipeline, draft, diagnostics }
}

/// Drops what may only follow from a syntax error: the part of the file around it is not there.
fn drop_consequences(document: &Document, diagnostics: &mut Vec<Diagnostic>) {
    const OF_ABSENCE: [&str; 8] = [
        code::WRONG_TYPE,
        code::MISSING_KEY,
        code::NO_PROBE,
        code::CHECKPOINT_SOURCE,
        code::NEEDS_STORE,
        code::NEEDS_BASELINE,
        code::POLICY,
        code::WHEN,
    ];
    let lines = |it: &Diagnostic| it.location(document).map(|it| it.line..=it.end_line);
    let broken: Vec<_> = diagnostics.iter().filter(|it| it.code == code::SYNTAX).filter_map(lines).collect();
    if !diagnostics.iter().any(|it| it.code == code::SYNTAX) {
        return;
    }
    // The keys below a broken header count to the table above it.
    let is_header = |line: &RangeInclusive<usize>| {
        let text = document.text().lines().nth(line.start() - 1);
        text.is_some_and(|it| it.trim_start().starts_with('['))
    };
    let has_broken_header = broken.iter().any(is_header);
    diagnostics.retain(|it| {
        let is_near = || {
            it.origin == Origin::File
                && lines(it)
                    .is_some_and(|it| broken.iter().any(|line| line.contains(it.start()) || it.contains(line.start())))
        };
        let is_misplaced = has_broken_header && it.code == code::UNKNOWN_KEY;
        it.code == code::SYNTAX || !(OF_ABSENCE.contains(&it.code) || is_misplaced || is_near())
    });
}
