//! What is going on, while it goes on: a line that changes on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use modelwatch_runtime::Event;
use modelwatch_sdk::Host;

use crate::output;

/// Shows the events of a run on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {prefix} {msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, quiet }
    }

    pub(crate) fn show(&self, event: &Event) {
        match (&self.bar, event) {
            (_, Event::Phase("done")) => self.end(),
            (Some(bar), Event::Phase(name)) => {
                bar.set_message("");
                bar.set_prefix(*name);
            }
            (Some(bar), Event::Rows(rows)) => bar.set_message(format!("{} rows", HumanCount(*rows))),
            (None, Event::Phase(name)) if !self.quiet => output::note(&format!("· {name}")),
            _ => {}
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Somebody who waits for a component without a run: sees how far it is, and may interrupt it.
pub(crate) struct Attended {
    bar: Option<ProgressBar>,
    cancelled: Arc<AtomicBool>,
}

impl Attended {
    /// The flag says that what is waited for is to end.
    pub(crate) fn new(quiet: bool, cancelled: Arc<AtomicBool>) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::no_length();
            let style = ProgressStyle::with_template("{bar:40} {percent} % {elapsed}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, cancelled }
    }
}

impl Host for Attended {
    fn progress(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(done));
            bar.set_position(done);
            if done == total {
                bar.finish_and_clear();
            }
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
