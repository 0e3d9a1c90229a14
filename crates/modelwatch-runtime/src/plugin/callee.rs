//! What of a library is called, as long as it did not panic.

use std::sync::atomic::{AtomicBool, Ordering};

use modelwatch_abi::v1;
use modelwatch_sdk::{Error, ErrorKind, Result};

/// A value of a library that is not called again once it panicked: what it holds then cannot be believed.
pub(super) struct Callee<T> {
    raw: T,
    what: &'static str,
    has_panicked: AtomicBool,
}

impl<T> Callee<T> {
    /// Wraps a value that is called `what` in an error.
    pub(super) fn new(what: &'static str, raw: T) -> Self {
        Self { raw, what, has_panicked: AtomicBool::new(false) }
    }

    pub(super) fn call<'a, R>(&'a self, call: impl FnOnce(&'a T) -> v1::Fallible<R>) -> Result<R> {
        self.before()?;
        self.after(call(&self.raw))
    }

    pub(super) fn call_mut<R>(&mut self, call: impl FnOnce(&mut T) -> v1::Fallible<R>) -> Result<R> {
        self.before()?;
        let res = call(&mut self.raw);
        self.after(res)
    }

    /// Ends the value, also after a panic: what it holds of the system is to be given back.
    pub(super) fn close(&mut self, close: impl FnOnce(&mut T) -> v1::Fallible<()>) -> Result<()> {
        Ok(close(&mut self.raw).into_result()?)
    }

    fn before(&self) -> Result<()> {
        if self.has_panicked.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Panicked,
                format!("the {} panicked before and is not called again", self.what),
            ));
        }
        Ok(())
    }

    fn after<R>(&self, res: v1::Fallible<R>) -> Result<R> {
        let res = res.into_result().map_err(Error::from);
        if res.as_ref().is_err_and(|it| it.kind == ErrorKind::Panicked) {
            self.has_panicked.store(true, Ordering::Relaxed);
        }
        res
    }
}
