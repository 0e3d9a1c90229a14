//! How rows are cut into chunks and slices, and what each is compared with: the options, resolved.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    chunks::{Chunks, Period, Season},
    error::{Error, Result},
    probe::Role,
};

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

/// How a probe's options say that rows are cut, each of which has the name that it has here.
#[derive(Clone, Copy, Debug)]
pub struct CuttingOptions<'a> {
    /// The chunks; without it all rows of a slice are one.
    pub chunk: Option<Chunks>,
    /// What each chunk is compared with.
    pub reference_window: ReferenceWindow,
    /// How many chunks a rolling window has; 7 without it.
    pub rolling_chunks: Option<u64>,
    /// After which time a pattern comes back, where the window is seasonal.
    pub season: Option<&'a str>,
    /// The slice columns, `*` standing for any text.
    pub slices: &'a [String],
    /// The rows below which a chunk is too small, as is what it would be compared with.
    pub min_chunk_rows: u64,
    /// The rows below which a slice is too small, as is each chunk of it.
    pub min_slice_size: u64,
    /// How many columns of chunks and slices are kept of each role.
    pub max_cells: u64,
}

/// How rows are cut.
#[derive(Clone, Debug)]
pub struct Cutting {
    /// The chunks; without it all rows of a slice are judged as one.
    pub period: Option<Period>,
    /// What a chunk is compared with; all reference rows where there are no chunks.
    pub window: Window,
    /// The least rows of a chunk, and of what it is compared with.
    pub min_chunk_rows: u64,
    /// The least rows of a slice, as well in each chunk.
    pub min_slice_size: u64,
    /// How many columns of chunks and slices are kept of a role.
    pub max_cells: u64,
    /// The slice columns, as patterns.
    pub slices: Vec<String>,
}

/// What a chunk is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// All reference rows.
    Fixed,
    /// So many chunks before it.
    Rolling(u64),
    /// All reference rows and all chunks before it.
    Expanding,
    /// The chunk one season before it.
    Seasonal(Season),
}

impl Cutting {
    /// Returns how the options cut the rows.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub fn new(options: CuttingOptions<'_>) -> Result<Self> {
        let period = match options.chunk {
            None => None,
            Some(Chunks::Period(it)) => Some(it),
            Some(Chunks::Size(_) | Chunks::Count(_)) => {
                let why = "chunks by size and by count follow the order of the rows, which is not kept here";
                return Err(Error::config("/chunk", why).with_help(
                    "cut by time, as `chunk = { period = \"day\" }`, with `timestamp` in `[data.columns]`",
                ));
            }
        };
        let window = options.window(period)?;
        for (name, value) in [
            ("min_chunk_rows", options.min_chunk_rows),
            ("min_slice_size", options.min_slice_size),
            ("max_cells", options.max_cells),
        ] {
            if value == 0 {
                return Err(Error::config(format!("/{name}"), "`0` is out of range")
                    .with_help("use a whole number of at least 1"));
            }
        }
        Ok(Self {
            period,
            window,
            min_chunk_rows: options.min_chunk_rows,
            min_slice_size: options.min_slice_size,
            max_cells: options.max_cells,
            slices: options.slices.to_vec(),
        })
    }

    /// Returns whether all rows are one cell.
    pub fn is_whole(&self) -> bool {
        self.period.is_none() && self.slices.is_empty()
    }

    /// Returns whether chunks are compared with earlier ones alone, so that there need not be a reference.
    pub fn looks_back(&self) -> bool {
        matches!(self.window, Window::Rolling(_) | Window::Seasonal(_))
    }

    /// Returns the chunks into which the rows of that role are cut.
    pub fn period_of(&self, role: Role) -> Option<Period> {
        self.period.filter(|_| role == Role::Current || self.looks_back())
    }

    /// Returns the word for so many chunks; there are parts where there are no chunks.
    pub fn word(&self, n: usize) -> String {
        let word = self.period.map_or("part", Period::word);
        if n == 1 { word.to_owned() } else { format!("{word}s") }
    }
}

impl CuttingOptions<'_> {
    /// Returns what chunks of that period are compared with.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub fn window(self, period: Option<Period>) -> Result<Window> {
        if self.reference_window != ReferenceWindow::Fixed && period.is_none() {
            return Err(Error::config("/reference_window", "there are no chunks that could have others before them")
                .with_help("give `chunk`, as `{ period = \"day\" }`, or leave out `reference_window`"));
        }
        if self.rolling_chunks.is_some() && self.reference_window != ReferenceWindow::Rolling {
            return Err(Error::config("/rolling_chunks", "the reference window is not rolling")
                .with_help("set `reference_window = \"rolling\"`, or leave this out"));
        }
        if self.season.is_some() && self.reference_window != ReferenceWindow::Seasonal {
            return Err(Error::config("/season", "the reference window is not seasonal")
                .with_help("set `reference_window = \"seasonal\"`, or leave this out"));
        }
        match self.reference_window {
            ReferenceWindow::Fixed => Ok(Window::Fixed),
            ReferenceWindow::Expanding => Ok(Window::Expanding),
            ReferenceWindow::Rolling => match self.rolling_chunks.unwrap_or(ROLLING_CHUNKS) {
                0 => Err(Error::config("/rolling_chunks", "a window of no chunks has no rows")
                    .with_help("use a whole number of at least 1")),
                it => Ok(Window::Rolling(it)),
            },
            ReferenceWindow::Seasonal => season(self.season, period).map(Window::Seasonal),
        }
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
