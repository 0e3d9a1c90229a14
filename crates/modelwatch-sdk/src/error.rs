//! The one error type of a component.

use std::fmt;

/// The result of every fallible call between host and component.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that the host can act on and a person can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What was attempted and with what: lower case, no final period.
    pub message: String,
    /// A JSON pointer into the component's configuration (`/columns/0`), or empty.
    pub path: String,
    /// What to do about it, or empty.
    pub help: String,
}

/// The kinds of failure that the host distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// None of the others.
    Other,
    /// The configuration is at fault.
    Config,
    /// The data, tensor or state that was handed over is at fault.
    Input,
    /// A file or device failed.
    Io,
    /// What was asked for does not exist.
    NotFound,
    /// What is there now is not what it may be: a ref is elsewhere, or the step has another checkpoint. It is so the next
    /// time, too: where trying again is all there is to do, it is [`Busy`](Self::Busy).
    Conflict,
    /// The host asked for an end.
    Cancelled,
    /// The component panicked; the instance must not be used again.
    Panicked,
    /// Stored bytes are not what was written.
    Corrupt,
    /// It may have happened or not, since the answer did not come; looking again tells. Nothing may be
    /// cleaned up on the strength of it.
    Uncertain,
    /// A file system is full; the message says what was to be written and what is free.
    NoSpace,
    /// It was removed, as its log says, while it was used.
    Gone,
    /// The device does not give a stored file back, although it gives others back. It is as good as damaged, but for one
    /// thing: the device may give it back another day, so that nothing is let go for it.
    Unreadable,
    /// Other writers were faster each time it was tried. Nothing was changed, nothing is wrong, and it may be tried again
    /// as it is: a [`Conflict`](Self::Conflict) is with something that is there now.
    Busy,
    /// Rows that a model is to answer together influence each other; see [`Host::infer_at_once`](crate::Host::infer_at_once).
    MixedRows,
}

impl Error {
    /// Returns an error of `kind`.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), path: String::new(), help: String::new() }
    }

    /// Returns an error about the configuration value at `path`, a JSON pointer.
    pub fn config(path: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { path: path.into(), ..Self::new(ErrorKind::Config, message) }
    }

    /// Returns an error about data that was handed over.
    pub fn input(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// Returns an error about a file or device.
    pub fn io(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Io, message)
    }

    /// Returns whether a stored file is damaged: that one, so that it may be mended or done without. Any other
    /// failure may be over in a moment or concern everything that is stored, and is no reason to touch anything.
    pub fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::Corrupt | ErrorKind::Unreadable)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl fmt::Display) -> Self {
        self.help = help.to_string();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
/// Returns the JSON pointer (RFC 6901) of what has this key below another one, for [`Error::config`].
///
/// ```
/// assert_eq!(modelwatch_sdk::pointer("/columns", "m/s"), "/columns/m~1s");
/// ```
pub fn pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}
