//! What is said of chunks and slices in words: once for each column of a slice, not for each chunk.

use std::collections::BTreeMap;

use modelwatch_profile::Key;
use modelwatch_sdk::{
    cells::{Found, together},
    report::Finding,
};

use super::{Series, Sides};
use crate::{decision::Decision, report_findings::findings_of};

/// Returns the findings, those about all rows first.
pub(super) fn findings(sides: Sides<'_>, series: &[Series]) -> Vec<Finding> {
    series.iter().flat_map(|it| of_series(sides, it)).collect()
}

fn of_series(sides: Sides<'_>, series: &Series) -> Vec<Finding> {
    let mut found: BTreeMap<(&Key, String), Vec<Found<'_>>> = BTreeMap::new();
    for (unit, judged) in series.judged() {
        for decision in &judged.decisions {
            for finding in findings_of(sides.config, decision) {
                let size = size(decision, &finding.code);
                let place = found.entry((&decision.comparison.key, finding.code.clone())).or_default();
                place.push(Found { chunk: unit.name.as_deref(), finding, size });
            }
        }
    }
    found.into_values().filter_map(|it| together(sides.cutting, series, &it)).collect()
}

/// Returns how large what a finding of that code says is.
fn size(decision: &Decision, code: &str) -> f64 {
    let comparison = &decision.comparison;
    match code {
        "MW-D003" => comparison.missing_effect(),
        "MW-D005" => comparison.unseen.as_ref().map_or(0.0, |it| it.share),
        _ => decision.leading_part().map_or(0.0, |it| it.score.effect.value),
    }
}
