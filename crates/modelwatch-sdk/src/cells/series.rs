//! Chunks and slices, each compared with its window.

use std::collections::BTreeSet;

use super::{Cells, Cutting, Fold, Windows};
use crate::{error::Result, host::Host};

/// The chunks of one slice, first to last; one alone where there are no chunks.
#[derive(Clone, Debug)]
pub struct Series<T> {
    /// The slice, as `column=value`; all rows without it.
    pub slice: Option<String>,
    /// The chunks that any current row is in.
    pub units: Vec<Unit<T>>,
    /// Why none of them was looked at, where that has to do with the slice as a whole.
    pub why_not: Option<String>,
}

/// A chunk of a slice.
#[derive(Clone, Debug)]
pub struct Unit<T> {
    /// The period; nothing where there are no chunks.
    pub name: Option<String>,
    /// Its rows.
    pub n_current: u64,
    /// The rows that it is compared with.
    pub n_reference: u64,
    /// What was found, or why nothing was looked for.
    pub outcome: std::result::Result<T, String>,
}

/// What a chunk is compared with, or why there is nothing.
pub type Compared<'a, S> = std::result::Result<&'a S, String>;

impl<T> Series<T> {
    /// Returns the same with something else that was found in each chunk.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> Series<U> {
        let unit = |it: Unit<T>| Unit {
            name: it.name,
            n_current: it.n_current,
            n_reference: it.n_reference,
            outcome: it.outcome.map(&mut change),
        };
        Series { slice: self.slice, units: self.units.into_iter().map(unit).collect(), why_not: self.why_not }
    }

    /// Returns the chunks that were judged.
    pub fn judged(&self) -> impl Iterator<Item = (&Unit<T>, &T)> {
        self.units.iter().filter_map(|it| Some((it, it.outcome.as_ref().ok()?)))
    }
}

/// Returns what `judge` finds in every chunk of every slice, all rows first, given what each is compared with and its own rows.
///
/// # Errors
/// When the run is cancelled, the states are of different options, or `judge` fails.
pub fn series<F: Fold, T>(
    fold: &F,
    cutting: &Cutting,
    host: &dyn Host,
    [reference, current]: [&Cells<F::State>; 2],
    mut judge: impl FnMut(Compared<'_, F::State>, &F::State) -> Result<std::result::Result<T, String>>,
) -> Result<Vec<Series<T>>> {
    let cells = reference.keys().chain(current.keys());
    // All rows are reported on also where there are none.
    let slices: BTreeSet<Option<&str>> = cells.map(|it| it.slice.as_deref()).chain([None]).collect();
    let mut res = Vec::with_capacity(slices.len());
    for slice in slices {
        let mut found = Series { slice: slice.map(str::to_owned), units: Vec::new(), why_not: None };
        let n_rows = current.chunks_of(slice).map(|it| fold.rows(it.1)).fold(0, u64::saturating_add);
        if slice.is_some() && n_rows < cutting.min_slice_size {
            let least = cutting.min_slice_size;
            found.why_not = Some(format!("it has {n_rows} current rows, fewer than `min_slice_size`, {least}"));
            res.push(found);
            continue;
        }
        let mut windows = Windows::new(fold, cutting, slice, reference, current);
        let mut chunks = current.chunks_of(slice).peekable();
        let empty = fold.empty();
        // A slice that lacks a chunk which the others have is as much of a change as any.
        for (chunk, _) in current.chunks_of(None) {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let state = chunks.next_if(|it| it.0 == chunk).map_or(&empty, |it| it.1);
            let n_current = fold.rows(state);
            let why_none = windows.why_none(chunk);
            let window = windows.before(chunk)?;
            let n_reference = window.as_ref().map_or(0, |it| fold.rows(it));
            let compared = match &window {
                None => Err(why_none),
                Some(it) => match too_few(cutting, slice, n_reference) {
                    Some(why) => Err(format!("it is compared with {why}")),
                    None => Ok(it.as_ref()),
                },
            };
            let outcome = match too_few(cutting, slice, n_current) {
                Some(why) => Err(why),
                None => judge(compared, state)?,
            };
            let name = chunk.zip(cutting.period).map(|(start, period)| period.name(start));
            found.units.push(Unit { name, n_current, n_reference, outcome });
        }
        res.push(found);
    }
    Ok(res)
}

/// Returns in words that a chunk of that slice has too few rows, where it has.
fn too_few(cutting: &Cutting, slice: Option<&str>, n_rows: u64) -> Option<String> {
    let of_chunks = cutting.period.map(|_| ("min_chunk_rows", cutting.min_chunk_rows));
    let of_slices = slice.map(|_| ("min_slice_size", cutting.min_slice_size));
    let mut least = of_chunks.into_iter().chain(of_slices);
    least.find(|it| n_rows < it.1).map(|(option, least)| format!("{n_rows} rows, fewer than `{option}`, {least}"))
}
