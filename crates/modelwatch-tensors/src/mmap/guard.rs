//! Keeps a file that is cut off while it is mapped from ending the process.
//!
//! The system answers whoever reads a mapping past the end of its file, or where the device fails, with a signal that ends
//! the process. Here zeros take the place of the rest of such a mapping, and it is noted that they did, so that whoever read
//! it learns that it read no file. Any other fault goes where it went before.
//!
//! To read the file piece by piece instead would need a copy of what is decoded in place, and every format's reader to ask
//! for what it needs.
#![allow(unsafe_code)]

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use self::system::with_all;

/// How many mappings were found to be cut off so far.
static N_CUT: AtomicUsize = AtomicUsize::new(0);

/// What is known of one mapping.
struct Known {
    start: usize,
    end: usize,
    path: PathBuf,
    is_cut: bool,
}

/// Keeps a mapping known.
pub(super) struct Guard {
    start: usize,
}

impl Guard {
    /// Guards a mapping of a whole file, which stays where it is for longer than this value.
    pub(super) fn of(bytes: &[u8], path: &Path) -> io::Result<Self> {
        system::install()?;
        let start = bytes.as_ptr() as usize;
        let known = Known { start, end: start + bytes.len(), path: path.to_owned(), is_cut: false };
        with_all(|all| all.push(known));
        Ok(Self { start })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let gone = with_all(|all| all.iter().position(|it| it.start == self.start).map(|at| all.swap_remove(at)));
        drop(gone);
    }
}

/// Returns how many mappings were found to be cut off so far, of this process.
pub(crate) fn n_cut() -> usize {
    N_CUT.load(Ordering::Acquire)
}

/// Returns the file that `bytes` are of, if it was found to be cut off.
pub(super) fn cut(bytes: &[u8]) -> Option<PathBuf> {
    if n_cut() == 0 || bytes.is_empty() {
        return None;
    }
    let at = bytes.as_ptr() as usize;
    with_all(|all| all.iter().find(|it| it.is_cut && (it.start..it.end).contains(&at)).map(|it| it.path.clone()))
}

#[cfg(unix)]
mod system {
    use std::{
        cell::UnsafeCell,
        ffi::{c_int, c_void},
        io, mem, ptr,
        sync::{
            OnceLock,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use super::{Known, N_CUT};

    /// A lock that a signal handler may take: nothing that is done under it touches a mapping that is guarded, so that no
    /// thread waits here for itself.
    struct Spin {
        is_taken: AtomicBool,
        all: UnsafeCell<Vec<Known>>,
    }

    // SAFETY: `all` is reached through `with_all` alone, by one thread at a time.
    unsafe impl Sync for Spin {}

    static KNOWN: Spin = Spin { is_taken: AtomicBool::new(false), all: UnsafeCell::new(Vec::new()) };

    /// What to do about faults that are none of a mapping's, and the size of a page.
    static BEFORE: OnceLock<Result<(libc::sigaction, usize), i32>> = OnceLock::new();

    /// Calls `act`, which must not touch a mapping, with all that is known.
    pub(super) fn with_all<T>(act: impl FnOnce(&mut Vec<Known>) -> T) -> T {
        while KNOWN.is_taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            thread::yield_now();
        }
        // SAFETY: whoever set the flag is alone here until it is reset below.
        let res = act(unsafe { &mut *KNOWN.all.get() });
        KNOWN.is_taken.store(false, Ordering::Release);
        res
    }

    /// Sees to it that faults come here first.
    pub(super) fn install() -> io::Result<()> {
        let installed = BEFORE.get_or_init(|| {
            let refused = || io::Error::last_os_error().raw_os_error().unwrap_or_default();
            // SAFETY: it asks for a number.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(|_| refused())?;
            // SAFETY: all zeros are a valid `sigaction`.
            let mut before: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: the system writes what there is to a place of that type.
            if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut before) } != 0 {
                return Err(refused());
            }
            Ok((before, page))
        });
        let (before, _) = (*installed).map_err(io::Error::from_raw_os_error)?;
        static HANDLED: OnceLock<i32> = OnceLock::new();
        // After `BEFORE` is known, so that the handler always finds it.
        let error = *HANDLED.get_or_init(|| {
            let mut ours = before;
            ours.sa_sigaction = on_fault as *const () as usize;
            // On the stack that Rust keeps for such handlers: a fault may come with little left of the thread's own.
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: the handler has the signature that the flags ask for.
            match unsafe { libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut()) } {
                0 => 0,
                _ => io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL),
            }
        });
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let Some(Ok((before, page))) = BEFORE.get() else { return };
        // SAFETY: the system gives what is known of the fault, which came on this thread.
        let at = unsafe { (*info).si_addr() } as usize;
        // What runs was interrupted anywhere, also between a system call and its look at the error.
        let error = errno();
        let is_mended = with_all(|all| {
            let found = all.iter_mut().find(|it| (it.start..it.end).contains(&at));
            found.is_some_and(|it| {
                it.is_cut = true;
                N_CUT.fetch_add(1, Ordering::Release);
                fill(at - at % page, it.end)
            })
        });
        set_errno(error);
        if !is_mended {
            pass_on(before, signal, info, context);
        }
    }

    /// Puts zeros in the place of the rest of a mapping.
    fn fill(from: usize, to: usize) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the range is of a mapping that whoever reads it keeps alive, and of nothing else.
        let res = unsafe { libc::mmap(from as *mut c_void, to - from, libc::PROT_READ, flags, -1, 0) };
        res != libc::MAP_FAILED
    }

    /// Does what was done about such a fault before there was a handler here.
    fn pass_on(before: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        match before.sa_sigaction {
            // Once this returns, the same read faults again and ends the process.
            libc::SIG_DFL | libc::SIG_IGN => {
                let default = libc::sigaction { sa_sigaction: libc::SIG_DFL, ..*before };
                // SAFETY: it sets the default action.
                unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: whoever installed it said by the flag that it has this signature.
                let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
                handler(signal, info, context);
            }
            handler => {
                // SAFETY: as above, without the flag.
                let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
                handler(signal);
            }
        }
    }

    fn errno() -> i32 {
        io::Error::last_os_error().raw_os_error().unwrap_or_default()
    }

    fn set_errno(error: i32) {
        #[cfg(any(target_os = "linux", target_os = "emscripten"))]
        // SAFETY: it is a place of this thread.
        unsafe {
            *libc::__errno_location() = error;
        }
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        // SAFETY: it is a place of this thread.
        unsafe {
            *libc::__error() = error;
        }
        let _ = error;
    }
}

/// Elsewhere a file that is mapped cannot be cut off.
#[cfg(not(unix))]
mod system {
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    use super::Known;

    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

    pub(super) fn with_all<T>(act: impl FnOnce(&mut Vec<Known>) -> T) -> T {
        act(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn install() -> io::Result<()> {
        Ok(())
    }
}
