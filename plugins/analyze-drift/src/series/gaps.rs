//! What was not looked at in chunks and slices.

use std::collections::BTreeSet;

use modelwatch_profile::Key;
use modelwatch_sdk::{
    cells::{self, Cells, row_gaps},
    report::Gap,
};

use super::{Series, Sides};
use crate::{
    report::{Seen, data_gaps},
    side::Kept,
};

/// Returns what the rows lack, then what was not judged of each slice and why.
pub(super) fn gaps(sides: Sides<'_>, series: &[Series]) -> Vec<Gap> {
    let Sides { config, cutting, reference, current } = sides;
    let seen = Seen { rows: current.rows(), keys: columns(current), is_weighted: is_weighted(current) };
    let mut before = Seen { rows: reference.rows(), keys: columns(reference), is_weighted: is_weighted(reference) };
    if cutting.looks_back() {
        // Chunks are compared with those of both roles.
        before.rows += seen.rows;
        before.keys.extend(&seen.keys);
        before.is_weighted |= seen.is_weighted && reference.rows() == 0;
    }
    let mut res = data_gaps(config, &before, &seen);
    res.extend(row_gaps(cutting, [reference, current]));
    res.extend(series.iter().flat_map(|it| cells::gaps(cutting, it, |judged| &judged.gaps)));
    res
}

/// Returns the columns and outputs of all rows.
fn columns(cells: &Cells<Kept>) -> BTreeSet<&Key> {
    cells.chunks_of(None).flat_map(|it| it.1.rows.columns().keys()).collect()
}

fn is_weighted(cells: &Cells<Kept>) -> bool {
    cells.chunks_of(None).any(|it| it.1.weighted.is_some())
}
