//! Chunks and slices, each compared with its window, and all of them judged together.

use std::collections::BTreeSet;

use modelwatch_profile::Profile;
use modelwatch_sdk::{Host, Report, Result, report::Gap};

use crate::{
    cells::Cells,
    comparison::{Comparison, compare},
    config::Config,
    cutting::Cutting,
    decision::{Decision, judge},
    report::column_gaps,
    report_metrics::nothing_compared,
    windows::Windows,
};

mod figures;
mod findings;
mod gaps;
mod metrics;

/// The rows of both roles, and how they are cut and compared.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) config: &'a Config,
    pub(crate) cutting: &'a Cutting,
    pub(crate) reference: &'a Cells,
    pub(crate) current: &'a Cells,
}

/// The chunks of one slice, first to last; one alone where there are no chunks.
pub(crate) struct Series {
    /// The slice, as `column=value`; all rows without it.
    pub(crate) slice: Option<String>,
    /// The chunks that any current row is in.
    pub(crate) units: Vec<Unit>,
    /// Why none of them was looked at, where that has to do with the slice as a whole.
    pub(crate) why_not: Option<String>,
}

/// A chunk of a slice.
pub(crate) struct Unit {
    /// The period; nothing where there are no chunks.
    pub(crate) name: Option<String>,
    /// Its rows.
    pub(crate) n_current: u64,
    /// The rows that it is compared with.
    pub(crate) n_reference: u64,
    /// What was found, or why nothing was looked for.
    pub(crate) outcome: std::result::Result<Judged, String>,
}

/// What was found in a chunk.
pub(crate) struct Judged {
    n_columns: usize,
    /// Of each column and output.
    pub(crate) decisions: Vec<Decision>,
    /// What could not be compared.
    pub(crate) gaps: Vec<Gap>,
}

impl Series {
    /// Returns the chunks that were judged.
    pub(crate) fn judged(&self) -> impl Iterator<Item = (&Unit, &Judged)> {
        self.units.iter().filter_map(|it| Some((it, it.outcome.as_ref().ok()?)))
    }
}

impl Judged {
    /// Returns whether anything in the chunk is drifted.
    pub(crate) fn is_drifted(&self) -> bool {
        self.decisions.iter().any(|it| it.is_compared() && it.is_drifted())
    }
}

/// Returns what was found in every slice, all rows first.
///
/// The columns of all chunks and slices are one family, so that `alpha` bounds the chance of any false alarm of the run, whatever they
/// have to do with each other: windows overlap, and slices are parts of all rows.
///
/// # Errors
/// When the run is cancelled, or the states are of different options.
pub(crate) fn decide(sides: Sides<'_>, host: &dyn Host) -> Result<Vec<Series>> {
    let mut comparisons = Vec::new();
    let cells = sides.reference.keys().chain(sides.current.keys());
    // All rows are reported on also where there are none.
    let slices: BTreeSet<Option<&str>> = cells.map(|it| it.slice.as_deref()).chain([None]).collect();
    let mut res = Vec::with_capacity(slices.len());
    for slice in slices {
        res.push(compare_slice(sides, host, slice, &mut comparisons)?);
    }
    let mut decisions = judge(sides.config, comparisons).into_iter();
    let judged = res.iter_mut().flat_map(|it| &mut it.units).filter_map(|it| it.outcome.as_mut().ok());
    for it in judged {
        it.decisions.extend(decisions.by_ref().take(it.n_columns));
    }
    Ok(res)
}

/// Returns everything that is to be said.
pub(crate) fn write(sides: Sides<'_>, series: &[Series]) -> Report {
    let decisions = series.iter().flat_map(Series::judged).flat_map(|it| &it.1.decisions);
    Report {
        metrics: metrics::metrics(sides, series),
        checks: nothing_compared(decisions).into_iter().collect(),
        findings: findings::findings(sides, series),
        figures: figures::figures(sides, series),
        gaps: gaps::gaps(sides, series),
    }
}

/// Compares the chunks of a slice; what is found is put behind what was found before.
fn compare_slice(
    sides: Sides<'_>,
    host: &dyn Host,
    slice: Option<&str>,
    comparisons: &mut Vec<Comparison>,
) -> Result<Series> {
    let Sides { cutting, reference, current, .. } = sides;
    let mut res = Series { slice: slice.map(str::to_owned), units: Vec::new(), why_not: None };
    let n_rows: u64 = current.chunks_of(slice).map(|it| it.1.rows()).sum();
    if slice.is_some() && n_rows < cutting.min_slice_size {
        res.why_not =
            Some(format!("it has {n_rows} current rows, fewer than `min_slice_size`, {}", cutting.min_slice_size));
        return Ok(res);
    }
    let mut windows = Windows::new(cutting, slice, reference, current);
    let mut chunks = current.chunks_of(slice).peekable();
    let empty = Profile::default();
    // A slice that lacks a chunk which the others have is as much of a change as any.
    for (chunk, _) in current.chunks_of(None) {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let profile = chunks.next_if(|it| it.0 == chunk).map_or(&empty, |it| it.1);
        let why_none = windows.why_none(chunk);
        let window = windows.before(chunk)?;
        let n_reference = window.as_ref().map_or(0, |it| it.rows());
        let outcome = match (too_few(cutting, slice, profile.rows()), window) {
            (Some(why), _) => Err(why),
            (None, None) => Err(why_none),
            (None, Some(window)) => match too_few(cutting, slice, n_reference) {
                Some(why) => Err(format!("it is compared with {why}")),
                None => Ok(compare_unit(sides, &window, profile, comparisons)),
            },
        };
        let name = chunk.zip(cutting.period).map(|(start, period)| period.name(start));
        res.units.push(Unit { name, n_current: profile.rows(), n_reference, outcome });
    }
    Ok(res)
}

fn compare_unit(sides: Sides<'_>, window: &Profile, profile: &Profile, comparisons: &mut Vec<Comparison>) -> Judged {
    let found = compare(sides.config, window, profile);
    let gaps = found.iter().flat_map(|it| column_gaps(it, window, profile)).collect();
    let n_columns = found.len();
    comparisons.extend(found);
    Judged { n_columns, decisions: Vec::new(), gaps }
}

/// Returns in words that a chunk of that slice has too few rows, where it has.
fn too_few(cutting: &Cutting, slice: Option<&str>, n_rows: u64) -> Option<String> {
    let of_chunks = cutting.period.map(|_| ("min_chunk_rows", cutting.min_chunk_rows));
    let of_slices = slice.map(|_| ("min_slice_size", cutting.min_slice_size));
    let mut least = of_chunks.into_iter().chain(of_slices);
    least.find(|it| n_rows < it.1).map(|(option, least)| format!("{n_rows} rows, fewer than `{option}`, {least}"))
}
