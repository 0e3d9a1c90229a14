//! The only place where a panic meets the boundary.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use abi_stable::std_types::RResult;
use modelwatch_abi::v1;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs plugin code and turns its result, or its panic, into what crosses the boundary.
pub(crate) fn guard<T, U>(code: impl FnOnce() -> Result<T>, ok: impl FnOnce(T) -> U) -> v1::Fallible<U> {
    match catch(|| code().map(ok)) {
        Ok(it) => RResult::ROk(it),
        Err(e) => RResult::RErr(e.into()),
    }
}

/// Runs plugin code and turns its panic into an error that says where it was.
pub(crate) fn catch<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    // Unwind safety: the host drops an instance after `PANICKED` and never calls it again.
    let res = catch_unwind(AssertUnwindSafe(code));
    DEPTH.set(DEPTH.get() - 1);
    res.unwrap_or_else(|payload| Err(panicked(payload)))
}

fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let message = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|&it| it.to_owned()))
        .unwrap_or_else(|| "a value that is no text".to_owned());
    let place = LOCATION.take().map(|it| format!(" at {it}")).unwrap_or_default();
    // The payload's own Drop is plugin code too, and a panic there must not get away.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Error::new(ErrorKind::Panicked, format!("the plugin panicked{place}: {message}"))
        .with_help("this is a bug in the plugin: report it to its author")
}

/// Keeps the place of a panic inside a guarded call, and keeps it off the terminal: the message
/// comes back as the call's error. Panics elsewhere go to the hook that was there before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                return before(info);
            }
            LOCATION.set(info.location().map(ToString::to_string));
        }));
    });
}

impl From<Error> for v1::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Other => v1::ErrorKind::OTHER,
            ErrorKind::Config => v1::ErrorKind::CONFIG,
            ErrorKind::Input => v1::ErrorKind::INPUT,
            ErrorKind::Io => v1::ErrorKind::IO,
            ErrorKind::NotFound => v1::ErrorKind::NOT_FOUND,
            ErrorKind::Conflict => v1::ErrorKind::CONFLICT,
            ErrorKind::Cancelled => v1::ErrorKind::CANCELLED,
            ErrorKind::Panicked => v1::ErrorKind::PANICKED,
            ErrorKind::Corrupt => v1::ErrorKind::CORRUPT,
            ErrorKind::Uncertain => v1::ErrorKind::UNCERTAIN,
            ErrorKind::NoSpace => v1::ErrorKind::NO_SPACE,
            ErrorKind::Gone => v1::ErrorKind::GONE,
            ErrorKind::Unreadable => v1::ErrorKind::UNREADABLE,
            ErrorKind::Busy => v1::ErrorKind::BUSY,
            ErrorKind::MixedRows => v1::ErrorKind::MIXED_ROWS,
        };
        Self { kind, message: error.message.into(), path: error.path.into(), help: error.help.into() }
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        let kind = match error.kind {
            v1::ErrorKind::CONFIG => ErrorKind::Config,
            v1::ErrorKind::INPUT => ErrorKind::Input,
            v1::ErrorKind::IO => ErrorKind::Io,
            v1::ErrorKind::NOT_FOUND => ErrorKind::NotFound,
            v1::ErrorKind::CONFLICT => ErrorKind::Conflict,
            v1::ErrorKind::CANCELLED => ErrorKind::Cancelled,
            v1::ErrorKind::PANICKED => ErrorKind::Panicked,
            v1::ErrorKind::CORRUPT => ErrorKind::Corrupt,
            v1::ErrorKind::UNCERTAIN => ErrorKind::Uncertain,
            v1::ErrorKind::NO_SPACE => ErrorKind::NoSpace,
            v1::ErrorKind::GONE => ErrorKind::Gone,
            v1::ErrorKind::UNREADABLE => ErrorKind::Unreadable,
            v1::ErrorKind::BUSY => ErrorKind::Busy,
            v1::ErrorKind::MIXED_ROWS => ErrorKind::MixedRows,
            _ => ErrorKind::Other,
        };
        Self { kind, message: error.message.into(), path: error.path.into(), help: error.help.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        let error = catch::<()>(|| panic!("boom {}", 1)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Panicked);
        assert!(error.message.starts_with("the plugin panicked at "), "{}", error.message);
        assert!(error.message.contains("guard.rs:") && error.message.ends_with(": boom 1"), "{}", error.message);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        let error = catch::<()>(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert!(error.message.ends_with("a value that is no text"), "{}", error.message);
    }
}
