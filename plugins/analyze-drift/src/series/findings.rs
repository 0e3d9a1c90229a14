//! What is said of chunks and slices in words: once for each column of a slice, not for each chunk.

use std::{cmp::Ordering, collections::BTreeMap};

use modelwatch_profile::Key;
use modelwatch_sdk::report::Finding;

use super::{Series, Sides, Unit};
use crate::{decision::Decision, report_findings::findings_of};

/// The most chunks that a sentence names.
const MAX_NAMES: usize = 20;

/// What was found in one chunk.
struct Found<'a> {
    unit: &'a Unit,
    finding: Finding,
    /// How large it is, next to the same in other chunks.
    size: f64,
}

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
                place.push(Found { unit, finding, size });
            }
        }
    }
    found.into_values().filter_map(|it| together(sides, series, &it)).collect()
}

/// Makes one finding of those of all chunks: that of the foremost one, and where the others are.
fn together(sides: Sides<'_>, series: &Series, found: &[Found<'_>]) -> Option<Finding> {
    let order = |it: &Found<'_>| (it.finding.severity, it.size);
    // The first of equal ones.
    let foremost = found.iter().reduce(|best, it| {
        let (left, right) = (order(it), order(best));
        let is_more = left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)) == Ordering::Greater;
        if is_more { it } else { best }
    })?;
    let mut res = foremost.finding.clone();
    let mut words = String::new();
    if let Some(slice) = &series.slice {
        res.place = format!("{}[{slice}]", res.place);
        res = res.evidence("slice", slice.as_str());
        words = format!("of slice `{slice}`, ");
    }
    if let Some(name) = &foremost.unit.name {
        let n_judged = series.judged().count();
        let names: Vec<&str> = found.iter().filter_map(|it| it.unit.name.as_deref()).collect();
        words += &format!("in {} of {n_judged} {} ({}), ", found.len(), sides.cutting.word(n_judged), listed(&names));
        if found.len() > 1 {
            words += &format!("foremost in {name}, ");
        }
        let shown: Vec<&str> = names.into_iter().take(MAX_NAMES).collect();
        res = res
            .evidence("chunk", name.as_str())
            .evidence("chunks", shown)
            .evidence("n_chunks", found.len() as u64)
            .evidence("n_judged_chunks", n_judged as u64);
    }
    res.message = words + &res.message;
    Some(res)
}

/// Returns names in words, the first ones where there are many.
pub(super) fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut res = names[..names.len() - more].join(", ");
    if more > 0 {
        res += &format!(" and {more} more");
    }
    res
}

/// Returns how large what a finding of that code says is.
fn size(decision: &Decision, code: &str) -> f64 {
    let comparison = &decision.comparison;
    match code {
        "MW-D003" => comparison.missing_difference().abs(),
        "MW-D005" => comparison.unseen.as_ref().map_or(0.0, |it| it.share),
        _ => decision.leading_part().map_or(0.0, |it| it.score.effect.value),
    }
}
