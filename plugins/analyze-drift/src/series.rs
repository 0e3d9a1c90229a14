//! Chunks and slices, each compared with its window, and all of them judged together.

use modelwatch_sdk::{
    Host, Report, Result,
    cells::{self, Cells, Cutting},
    report::Gap,
};

use crate::{
    comparison::{Comparison, compare},
    config::Config,
    decision::{Decision, judge},
    report::column_gaps,
    report_metrics::nothing_compared,
    side::Kept,
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
    pub(crate) reference: &'a Cells<Kept>,
    pub(crate) current: &'a Cells<Kept>,
}

/// The chunks of one slice.
pub(crate) type Series = cells::Series<Judged>;

/// A chunk of a slice.
pub(crate) type Unit = cells::Unit<Judged>;

/// What was found in a chunk.
pub(crate) struct Judged {
    n_columns: usize,
    /// Of each column and output.
    pub(crate) decisions: Vec<Decision>,
    /// What could not be compared.
    pub(crate) gaps: Vec<Gap>,
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
    let Sides { config, cutting, reference, current } = sides;
    let mut res = cells::series(config, cutting, host, [reference, current], |window, current| {
        Ok(window.map(|it| compare_unit(config, it, current, &mut comparisons)))
    })?;
    let mut decisions = judge(config, comparisons).into_iter();
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

/// Compares a chunk with its window; what is found is put behind what was found before.
fn compare_unit(config: &Config, window: &Kept, current: &Kept, comparisons: &mut Vec<Comparison>) -> Judged {
    let found = compare(config, window, current);
    let gaps = found.iter().flat_map(|it| column_gaps(it, window, current)).collect();
    let n_columns = found.len();
    comparisons.extend(found);
    Judged { n_columns, decisions: Vec::new(), gaps }
}
