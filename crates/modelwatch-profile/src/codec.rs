//! What a damaged partial state is told by.

pub(crate) use modelwatch_sdk::state::{Reader, Writer};
use modelwatch_sdk::{Error, ErrorKind};

/// Returns the error for bytes that are no state.
pub(crate) fn damaged(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("cannot read the state of a profile: {why}"))
        .with_help("make it again from the rows")
}
