//! What this process ends with where a library ends it.
#![allow(unsafe_code)]

use std::sync::{Mutex, PoisonError};

/// What is said and returned where the process is ended while this lives.
///
/// A library in this process can call `exit(0)`, which nothing around the call can catch, and which a shell, or whoever promotes a model,
/// takes for success.
pub struct Unfinished(());

struct Ending {
    message: &'static str,
    code: u8,
}

static ENDING: Mutex<Option<Ending>> = Mutex::new(None);

impl Unfinished {
    /// From now on an early end says `message` on standard error, and has this exit code.
    ///
    /// On other systems than Unix, this does nothing.
    pub fn new(message: &'static str, code: u8) -> Self {
        *ENDING.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ending { message, code });
        system::at_exit();
        Self(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        *ENDING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(unix)]
mod system {
    use std::{
        io::{self, Write},
        sync::{Once, PoisonError},
    };

    use super::ENDING;

    pub(super) fn at_exit() {
        static REGISTERED: Once = Once::new();
        // SAFETY: the function is there as long as the program is. That there is no room for it leaves an exit as it is.
        REGISTERED.call_once(|| _ = unsafe { libc::atexit(end) });
    }

    extern "C" fn end() {
        let Some(ending) = ENDING.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // That standard error is closed is nobody's to hear.
        let _ = io::stderr().write_all(ending.message.as_bytes());
        // SAFETY: it takes any number. Other threads may run still, so nothing else is done to end them in order.
        unsafe { libc::_exit(ending.code.into()) }
    }
}

#[cfg(not(unix))]
mod system {
    pub(super) fn at_exit() {}
}
