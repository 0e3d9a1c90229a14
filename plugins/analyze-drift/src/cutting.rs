//! How rows are cut into chunks and slices, and what each is compared with: the options, resolved.

use modelwatch_sdk::{
    Error, JsonSchema, Result, Role,
    chunks::{Chunks, Period, Season},
};
use serde::Deserialize;

use crate::config::Config;

/// How many chunks a rolling window has where the options say nothing.
const ROLLING_CHUNKS: u64 = 7;

/// What each chunk of the current rows is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceWindow {
    /// All reference rows.
    #[default]
    Fixed,
    /// The chunks before it, as many as `rolling_chunks` says, of current and reference rows. Drift that stays is found where it begins.
    Rolling,
    /// All reference rows and all chunks of current rows before it.
    Expanding,
    /// The chunk one `season` before it, of current and reference rows, so that what comes back every week or year is no drift.
    Seasonal,
}

/// Rows are cut.
#[derive(Clone, Debug)]
pub(crate) struct Cutting {
    /// The chunks; without it all rows of a slice are judged as one.
    pub(crate) period: Option<Period>,
    /// What a chunk is compared with; all reference rows where there are no chunks.
    pub(crate) window: Window,
    /// The least rows of a chunk, and of what it is compared with.
    pub(crate) min_chunk_rows: u64,
    /// The least rows of a slice, as well in each chunk.
    pub(crate) min_slice_size: u64,
    /// How many columns of chunks and slices are kept of a role.
    pub(crate) max_cells: u64,
    /// The slice columns, as patterns.
    pub(crate) slices: Vec<String>,
}

/// What a chunk is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Window {
    Fixed,
    Rolling(u64),
    Expanding,
    Seasonal(Season),
}

impl Cutting {
    /// Returns how the options cut the rows; none where they do not.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>> {
        let period = match config.chunk {
            None => None,
            Some(Chunks::Period(it)) => Some(it),
            Some(Chunks::Size(_) | Chunks::Count(_)) => {
                let why = "chunks by size and by count follow the order of the rows, which is not kept here";
                return Err(Error::config("/chunk", why).with_help(
                    "cut by time, as `chunk = { period = \"day\" }`, with `timestamp` in `[data.columns]`",
                ));
            }
        };
        let window = window(config, period)?;
        for (name, value) in [
            ("min_chunk_rows", config.min_chunk_rows),
            ("min_slice_size", config.min_slice_size),
            ("max_cells", config.max_cells),
        ] {
            if value == 0 {
                return Err(Error::config(format!("/{name}"), "`0` is out of range")
                    .with_help("use a whole number of at least 1"));
            }
        }
        Ok((period.is_some() || !config.slices.is_empty()).then(|| Self {
            period,
            window,
            min_chunk_rows: config.min_chunk_rows,
            min_slice_size: config.min_slice_size,
            max_cells: config.max_cells,
            slices: config.slices.clone(),
        }))
    }

    /// Returns whether chunks are compared with earlier ones alone, so that there need not be a reference.
    pub(crate) fn looks_back(&self) -> bool {
        matches!(self.window, Window::Rolling(_) | Window::Seasonal(_))
    }

    /// Returns the chunks into which the rows of that role are cut.
    pub(crate) fn period_of(&self, role: Role) -> Option<Period> {
        self.period.filter(|_| role == Role::Current || self.looks_back())
    }

    /// Returns the word for so many chunks; there are parts where there are no chunks.
    pub(crate) fn word(&self, n: usize) -> String {
        let word = self.period.map_or("part", Period::word);
        if n == 1 { word.to_owned() } else { format!("{word}s") }
    }
}

fn window(config: &Config, period: Option<Period>) -> Result<Window> {
    if config.reference_window != ReferenceWindow::Fixed && period.is_none() {
        return Err(Error::config("/reference_window", "there are no chunks that could have others before them")
            .with_help("give `chunk`, as `{ period = \"day\" }`, or leave out `reference_window`"));
    }
    if config.rolling_chunks.is_some() && config.reference_window != ReferenceWindow::Rolling {
        return Err(Error::config("/rolling_chunks", "the reference window is not rolling")
            .with_help("set `reference_window = \"rolling\"`, or leave this out"));
    }
    if config.season.is_some() && config.reference_window != ReferenceWindow::Seasonal {
        return Err(Error::config("/season", "the reference window is not seasonal")
            .with_help("set `reference_window = \"seasonal\"`, or leave this out"));
    }
    match config.reference_window {
        ReferenceWindow::Fixed => Ok(Window::Fixed),
        ReferenceWindow::Expanding => Ok(Window::Expanding),
        ReferenceWindow::Rolling => match config.rolling_chunks.unwrap_or(ROLLING_CHUNKS) {
            0 => Err(Error::config("/rolling_chunks", "a window of no chunks has no rows")
                .with_help("use a whole number of at least 1")),
            it => Ok(Window::Rolling(it)),
        },
        ReferenceWindow::Seasonal => season(config.season.as_deref(), period).map(Window::Seasonal),
    }
}

fn season(text: Option<&str>, period: Option<Period>) -> Result<Season> {
    let Some(text) = text else {
        return Err(Error::config(
            "/reference_window",
            "a seasonal window needs to know after which time a pattern comes back",
        )
        .with_help("give `season`, as `\"7d\"`"));
    };
    let help = "write a whole number with a unit: `\"24h\"`, `\"7d\"`, `\"1w\"`, `\"12mo\"` or `\"1y\"`";
    let season = Season::parse(text)
        .ok_or_else(|| Error::config("/season", format!("`{text}` is no season")).with_help(help))?;
    match period {
        Some(it) if !season.fits(it) => {
            Err(Error::config("/season", format!("`{text}` is no whole number of {}s in the calendar", it.word()))
                .with_help("give a season that the chunks go into: hours, days and weeks in each other, months, quarters and years in each other"))
        }
        _ => Ok(season),
    }
}
