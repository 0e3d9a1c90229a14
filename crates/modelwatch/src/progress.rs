//! What is going on, while it goes on: a line that changes on a terminal, plain lines elsewhere.

use std::{io::IsTerminal, time::Duration};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use modelwatch_runtime::Event;

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
