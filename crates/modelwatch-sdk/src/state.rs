//! Partial states as bytes: a version, then JSON.
//!
//! A probe whose state is large writes its own bytes with [`Writer`]; one whose state is a few counters uses
//! [`encode`] and [`decode`]. JSON keeps every finite `f64` exactly; for others see [`crate::report::float`].

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

mod bytes;

pub use bytes::{Reader, Writer, damaged};

/// Returns `value` as state bytes of `version`.
///
/// # Errors
/// When the value cannot be written as JSON (a map whose keys are no strings).
pub fn encode<T: Serialize>(version: u8, value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![version];
    serde_json::to_writer(&mut bytes, value).map_err(|e| Error::input(format!("cannot write the state: {e}")))?;
    Ok(bytes)
}

/// Returns the value in state bytes of `version`.
///
/// # Errors
/// When the bytes are empty, of another version, or damaged.
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T> {
    let json = content(version, bytes)?;
    serde_json::from_slice(json).map_err(|e| Error::input(format!("cannot read the state: {e}")))
}

/// Returns what is behind the version.
///
/// # Errors
/// When the bytes are empty or of another version.
pub(crate) fn content(version: u8, bytes: &[u8]) -> Result<&[u8]> {
    match bytes.split_first() {
        Some((&it, content)) if it == version => Ok(content),
        Some((&it, _)) => Err(Error::input(format!("the state has version {it}, expected {version}"))
            .with_help("compute it again with this version of the plugin")),
        None => Err(Error::input("the state is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_round_trip_and_others_are_refused() {
        let bytes = encode(3, &vec![0.1, 1e300]).unwrap();
        assert_eq!(decode::<Vec<f64>>(3, &bytes).unwrap(), [0.1, 1e300]);
        assert_eq!(decode::<Vec<f64>>(2, &bytes).unwrap_err().message, "the state has version 3, expected 2");
        assert_eq!(decode::<Vec<f64>>(2, &[]).unwrap_err().message, "the state is empty");
        assert!(decode::<Vec<f64>>(3, b"\x03[1").is_err());
    }
}
