//! Where words go: results to standard output, everything else to standard error.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Whether nothing but errors is wanted on standard error.
static ERRORS_ALONE: AtomicBool = AtomicBool::new(false);

/// What was standard output before [`keep_results_apart`].
static RESULTS: OnceLock<File> = OnceLock::new();

/// Keeps standard output for results: what a library in this process prints there, as a plugin may, goes to standard error from now on.
#[cfg(unix)]
pub(crate) fn keep_results_apart() {
    use std::os::fd::AsFd;

    let Ok(results) = io::stdout().as_fd().try_clone_to_owned() else { return };
    if RESULTS.set(results.into()).is_ok() {
        // Where standard error cannot stand in for it, both are written to as before.
        let _ = rustix::stdio::dup2_stdout(io::stderr());
    }
}

#[cfg(not(unix))]
pub(crate) fn keep_results_apart() {}

fn results() -> io::Result<Box<dyn Write>> {
    Ok(match RESULTS.get() {
        Some(it) => Box::new(anstream::AutoStream::auto(it.try_clone()?)),
        None => Box::new(anstream::stdout().lock()),
    })
}

/// Logs go to standard error: warnings, unless asked for more or less, or as `MODELWATCH_LOG` says.
pub(crate) fn init_logs(verbose: u8, quiet: bool) {
    ERRORS_ALONE.store(quiet, Ordering::Relaxed);
    // tract warns of versions of ONNX that it was not tested with; whether it is right about a model is looked at here.
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn,tract=error",
        (_, 1) => "info,tract=error",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("MODELWATCH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .without_time()
        // That standard error is closed or full is nobody's to hear, and it must not end a run.
        .log_internal_errors(false)
        .init();
}

/// Prints a result. That its reader has gone, as `head` does, changes nothing about the result.
///
/// # Errors
/// When standard output is full.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let write = |mut out: Box<dyn Write>| {
        out.write_all(text.as_bytes())?;
        out.write_all(end.as_bytes())?;
        out.flush()
    };
    match results().and_then(write) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Returns what an error and its causes say. Some messages quote their causes, which are not said again.
pub(crate) fn said(error: &anyhow::Error) -> String {
    let mut res = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !res.contains(&cause) {
            res = format!("{res}: {cause}");
        }
    }
    res
}

/// Prints an error. That standard error is closed is nobody's to hear.
pub(crate) fn error(message: &str) {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {message}");
}

/// Returns a path that exists in its shortest form: without `..` and links, and from the current folder where it is in it.
pub(crate) fn shown(path: &Path) -> String {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let here = std::env::current_dir().and_then(fs::canonicalize);
    let below = here.as_ref().ok().and_then(|it| whole.strip_prefix(it).ok());
    below.unwrap_or(&whole).display().to_string()
}

/// Prints a line for people, beside the result.
pub(crate) fn note(message: &str) {
    let _ = writeln!(anstream::stderr(), "{message}");
}

/// Prints what an interruption brings about, in the place of a line of progress that is being drawn; not where nothing but errors is
/// wanted.
pub(crate) fn interruption(message: &str) {
    if ERRORS_ALONE.load(Ordering::Relaxed) {
        return;
    }
    let start = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    note(&format!("{start}{message}"));
}

/// Returns the width of the terminal, or 100 where there is none.
pub(crate) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok());
    // Some terminals of machines say that they have none.
    let terminal = comfy_table::Table::new().width().map(usize::from).filter(|it| *it > 0);
    columns.or(terminal).unwrap_or(100).clamp(40, 200)
}
