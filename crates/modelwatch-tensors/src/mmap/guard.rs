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
    cell::RefCell,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use self::system::with_all;

/// Whether any mapping of this process was found to be cut off so far: until then nobody has to ask which.
static IS_ANY_CUT: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The files that this thread mapped, while [`watched`] asks for them.
    static MAPPED: RefCell<Option<Vec<Arc<Origin>>>> = const { RefCell::new(None) };
}

/// What is known of one mapping.
struct Known {
    start: usize,
    end: usize,
    origin: Arc<Origin>,
}

/// A file that was mapped.
pub(super) struct Origin {
    path: PathBuf,
    is_cut: AtomicBool,
    #[cfg(unix)]
    seen: Seen,
}

/// What tells a file from others, and what changes when it is written to.
#[cfg(unix)]
#[derive(PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

#[cfg(unix)]
impl Seen {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Origin {
    fn of(path: &Path, metadata: &Metadata) -> Self {
        #[cfg(not(unix))]
        let _ = metadata;
        Self {
            path: path.to_owned(),
            is_cut: AtomicBool::new(false),
            #[cfg(unix)]
            seen: Seen::of(metadata),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether something was read past the end of the file.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Returns whether the file is not what was mapped any more. What is cut off within a page, or grows again, ends with zeros
    /// without a fault.
    pub(super) fn is_changed(&self) -> bool {
        self.is_cut() || self.is_written_to()
    }

    /// Where another file is in its place, nobody writes to this one by its name.
    #[cfg(unix)]
    fn is_written_to(&self) -> bool {
        let now = self.path.metadata().map(|it| Seen::of(&it));
        now.is_ok_and(|it| it.file == self.seen.file && it != self.seen)
    }

    #[cfg(not(unix))]
    fn is_written_to(&self) -> bool {
        false
    }
}

/// Keeps a mapping known.
pub(super) struct Guard {
    start: usize,
}

impl Guard {
    /// Guards a mapping of a whole file, which stays where it is for longer than this value. `metadata` is of the file
    /// when it was opened.
    pub(super) fn of(bytes: &[u8], path: &Path, metadata: &Metadata) -> io::Result<Self> {
        system::install()?;
        let start = bytes.as_ptr() as usize;
        let origin = Arc::new(Origin::of(path, metadata));
        MAPPED.with_borrow_mut(|it| it.iter_mut().for_each(|it| it.push(Arc::clone(&origin))));
        with_all(|all| all.push(Known { start, end: start + bytes.len(), origin }));
        Ok(Self { start })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let gone = with_all(|all| all.iter().position(|it| it.start == self.start).map(|at| all.swap_remove(at)));
        drop(gone);
    }
}

/// Returns what `open` does, and the files that it mapped, also those whose mappings are gone by then.
pub(super) fn watched<T>(open: impl FnOnce() -> T) -> (T, Vec<Arc<Origin>>) {
    /// Puts back what was there, also after a panic.
    struct Before(Option<Vec<Arc<Origin>>>);
    impl Drop for Before {
        fn drop(&mut self) {
            MAPPED.set(self.0.take());
        }
    }
    let _before = Before(MAPPED.replace(Some(Vec::new())));
    let res = open();
    (res, MAPPED.take().unwrap_or_default())
}

/// Returns the file that `bytes` are of, if that is guarded.
pub(super) fn origin(bytes: &[u8]) -> Option<Arc<Origin>> {
    let at = bytes.as_ptr() as usize;
    let is_its = |it: &&Known| (it.start..it.end).contains(&at) && !bytes.is_empty();
    with_all(|all| all.iter().find(is_its).map(|it| Arc::clone(&it.origin)))
}

/// Returns the files that `all` are of, each once.
pub(super) fn origins<'b>(all: impl Iterator<Item = &'b [u8]>) -> Vec<Arc<Origin>> {
    let of = |it: &Known| (it.start, it.end, Arc::clone(&it.origin));
    let mut known: Vec<_> = with_all(|all| all.iter().map(of).collect());
    known.sort_unstable_by_key(|it| it.0);
    let mut is_meant = vec![false; known.len()];
    for it in all.filter(|it| !it.is_empty()) {
        let at = it.as_ptr() as usize;
        let before = known.partition_point(|it| it.0 <= at).checked_sub(1);
        if let Some(idx) = before.filter(|&idx| at < known[idx].1) {
            is_meant[idx] = true;
        }
    }
    known.into_iter().zip(is_meant).filter(|it| it.1).map(|it| it.0.2).collect()
}

/// Returns the file that `bytes` are of, if something was read past its end.
pub(super) fn cut(bytes: &[u8]) -> Option<Arc<Origin>> {
    if !IS_ANY_CUT.load(Ordering::Acquire) {
        return None;
    }
    origin(bytes).filter(|it| it.is_cut())
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

    use super::{IS_ANY_CUT, Known};

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
        // SAFETY: the system gives what is known of the signal.
        if unsafe { (*info).si_code } <= 0 {
            return pass_on_sent(before, signal, info, context);
        }
        // SAFETY: the system gives what is known of the fault, which came on this thread.
        let at = unsafe { (*info).si_addr() } as usize;
        // What runs was interrupted anywhere, also between a system call and its look at the error.
        let error = errno();
        let is_mended = with_all(|all| {
            let found = all.iter().find(|it| (it.start..it.end).contains(&at));
            found.is_some_and(|it| {
                it.origin.is_cut.store(true, Ordering::Release);
                IS_ANY_CUT.store(true, Ordering::Release);
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
            libc::SIG_DFL | libc::SIG_IGN => set_default(before, signal),
            _ => call(before, signal, info, context),
        }
    }

    /// Does what was done about a signal that somebody sent, which says nothing about a mapping.
    fn pass_on_sent(before: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        match before.sa_sigaction {
            libc::SIG_IGN => return,
            libc::SIG_DFL => set_default(before, signal),
            // That of Rust leaves what it does not know to the default from then on.
            _ => call(before, signal, info, context),
        }
        if is_default(signal) {
            // SAFETY: it sends the signal again, which ends the process once this returns.
            unsafe { libc::raise(signal) };
        }
    }

    fn is_default(signal: c_int) -> bool {
        // SAFETY: all zeros are a valid `sigaction`.
        let mut now: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: the system writes what there is to a place of that type.
        let is_known = unsafe { libc::sigaction(signal, ptr::null(), &mut now) } == 0;
        is_known && now.sa_sigaction == libc::SIG_DFL
    }

    fn set_default(before: &libc::sigaction, signal: c_int) {
        let default = libc::sigaction { sa_sigaction: libc::SIG_DFL, ..*before };
        // SAFETY: it sets the default action.
        unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
    }

    /// Calls the handler that was there before.
    fn call(before: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        if before.sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: whoever installed it said by the flag that it has this signature.
            let handler = unsafe { mem::transmute::<usize, Handler>(before.sa_sigaction) };
            handler(signal, info, context);
        } else {
            // SAFETY: as above, without the flag.
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(before.sa_sigaction) };
            handler(signal);
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
