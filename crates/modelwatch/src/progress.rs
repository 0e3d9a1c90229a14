//! What is going on, while it goes on: a line that changes on a terminal, plain lines elsewhere.

use std::{
    fmt,
    io::IsTerminal,
    sync::{
        Arc, Mutex, PoisonError,
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
    line: Mutex<Line>,
    quiet: bool,
}

/// What is said of the phase that is going on.
#[derive(Default)]
struct Line {
    /// The rows that are done, and all of them; 0 where that is not known.
    rows: Option<(u64, u64)>,
    /// The probe that told how far it is, and how far that is.
    probe: Option<(String, u64, u64)>,
}

impl Line {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Phase(_) => *self = Self::default(),
            Event::Rows { done, total } => self.rows = Some((*done, *total)),
            Event::Probe { id, done, total } if done != total => self.probe = Some((id.clone(), *done, *total)),
            // Another one may be shown by now.
            Event::Probe { id, .. } => self.probe = self.probe.take().filter(|it| it.0 != *id),
            _ => {}
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            None => {}
            Some((done, 0)) => write!(f, "{} rows ", HumanCount(done))?,
            Some((done, total)) => write!(f, "{}/{} rows ", HumanCount(done), HumanCount(total))?,
        }
        match &self.probe {
            None => Ok(()),
            Some((id, done, 0)) => write!(f, "{id} {}", HumanCount(*done)),
            Some((id, done, total)) => write!(f, "{id} {}/{}", HumanCount(*done), HumanCount(*total)),
        }
    }
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
        Self { bar, line: Mutex::default(), quiet }
    }

    pub(crate) fn show(&self, event: &Event) {
        match (&self.bar, event) {
            (_, Event::Phase("done")) => self.end(),
            (Some(bar), event) => {
                let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
                line.take(event);
                if let Event::Phase(name) = event {
                    bar.set_prefix(*name);
                }
                bar.set_message(line.to_string());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_many_rows_are_done_and_how_far_a_probe_is() {
        let mut line = Line::default();
        let mut after = |event: Event| {
            line.take(&event);
            line.to_string().trim_end().to_owned()
        };
        let probe = |done, total| Event::Probe { id: "latency".to_owned(), done, total };
        assert_eq!(after(Event::Phase("pass")), "");
        assert_eq!(after(Event::Rows { done: 12_000, total: 0 }), "12,000 rows");
        assert_eq!(after(probe(1_500, 0)), "12,000 rows latency 1,500");
        assert_eq!(after(probe(1, 3)), "12,000 rows latency 1/3");
        assert_eq!(after(Event::Rows { done: 13_000, total: 1_000_000 }), "13,000/1,000,000 rows latency 1/3");
        let other = Event::Probe { id: "other".to_owned(), done: 9, total: 9 };
        assert_eq!(after(other), "13,000/1,000,000 rows latency 1/3");
        assert_eq!(after(probe(3, 3)), "13,000/1,000,000 rows");
        assert_eq!(after(Event::Phase("verdict")), "");
    }
}
