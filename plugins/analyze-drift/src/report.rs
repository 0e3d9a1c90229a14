//! The report: metrics, findings, figures, and what could not be compared.

use std::collections::BTreeSet;

use modelwatch_profile::{Group, Key};
use modelwatch_sdk::{
    Report,
    report::{Gap, Labels},
    rows::{Named, name_matches},
};

use crate::{
    comparison::{Comparison, Outcome, Part},
    config::Config,
    decision::Decision,
    report_figures::figures,
    report_findings::findings,
    report_metrics::{metrics, nothing_compared},
    side::Kept,
};

/// Returns everything that is to be said.
pub(crate) fn write(config: &Config, reference: &Kept, current: &Kept, decisions: &[Decision]) -> Report {
    let has_rows = reference.rows.rows() > 0 && current.rows.rows() > 0;
    // Without rows in one role there is nothing to say about any column, and one gap says so.
    let decisions = if has_rows { decisions } else { &[] };
    Report {
        metrics: metrics(config, reference, current, decisions),
        checks: nothing_compared(decisions).into_iter().collect(),
        findings: findings(config, decisions),
        figures: figures(decisions),
        gaps: gaps(config, reference, current, decisions),
    }
}

/// Returns the labels that name a column or output.
pub(crate) fn labels(key: &Key) -> Labels {
    let kind = match key.0 {
        Group::Feature => "column",
        Group::Output => "output",
    };
    Labels::from([(kind.to_owned(), key.1.clone())])
}

/// Returns the column or output as a person would name it.
pub(crate) fn place(key: &Key) -> String {
    match key.0 {
        Group::Feature => format!("column `{}`", key.1),
        Group::Output => format!("output `{}`", key.1),
    }
}

/// What there is of a role.
pub(crate) struct Seen<'a> {
    pub(crate) rows: u64,
    pub(crate) keys: BTreeSet<&'a Key>,
    pub(crate) is_weighted: bool,
}

impl<'a> Seen<'a> {
    fn of(kept: &'a Kept) -> Self {
        Self {
            rows: kept.rows.rows(),
            keys: kept.rows.columns().keys().collect(),
            is_weighted: kept.weighted.is_some(),
        }
    }

    fn has_outputs(&self) -> bool {
        self.keys.iter().any(|it| it.0 == Group::Output)
    }
}

fn gaps(config: &Config, reference: &Kept, current: &Kept, decisions: &[Decision]) -> Vec<Gap> {
    let mut res = data_gaps(config, &Seen::of(reference), &Seen::of(current));
    res.extend(decisions.iter().flat_map(|it| column_gaps(&it.comparison, reference, current)));
    res
}

/// Returns what the roles lack as wholes.
pub(crate) fn data_gaps(config: &Config, reference: &Seen<'_>, current: &Seen<'_>) -> Vec<Gap> {
    let mut res = Vec::new();
    for (role, seen) in [("reference", reference), ("current", current)] {
        if seen.rows == 0 {
            res.push(Gap::new("drift", format!("there are no {role} rows")));
        }
    }
    if !res.is_empty() {
        return res;
    }
    let names = || reference.keys.iter().chain(&current.keys).filter(|it| it.0 == Group::Feature);
    if names().next().is_none() {
        res.push(Gap::new("drift", "there is no column to compare"));
    }
    for (role, seen, other) in [("reference", reference, current), ("current", current, reference)] {
        if other.is_weighted && !seen.is_weighted {
            let why = "there are none, as in a stored profile, and each row counts once";
            res.push(Gap::new(format!("row weights of the {role} rows"), why));
        }
    }
    for pattern in config.selection().unmatched(names().map(|it| it.1.as_str())) {
        res.push(Gap::new(format!("columns `{pattern}`"), "there is no such column"));
    }
    for it in config.mentions() {
        let is_met =
            |key: &Key| (key.0 == Group::Feature || it.of == Named::ColumnOrOutput) && name_matches(&it.name, &key.1);
        if !reference.keys.iter().chain(&current.keys).any(|key| is_met(key)) {
            let option = it.pointer.split('/').nth(1).unwrap_or_default();
            let why = "nothing of that name is compared; correct it, or leave it out";
            res.push(Gap::new(format!("`{}` in `{option}`", it.name), why));
        }
    }
    if config.predictions {
        let missing = match (reference.has_outputs(), current.has_outputs()) {
            (true, true) => None,
            (false, false) => Some("neither role has predictions"),
            (false, true) => Some("the reference rows have no predictions"),
            (true, false) => Some("the current rows have no predictions"),
        };
        res.extend(missing.map(|why| Gap::new("prediction drift", why)));
    }
    res
}

/// Returns what of a column was not compared.
pub(crate) fn column_gaps(comparison: &Comparison, reference: &Kept, current: &Kept) -> Vec<Gap> {
    let mut res = Vec::new();
    let place = place(&comparison.key);
    if let Outcome::Gap(why) = &comparison.outcome {
        res.push(Gap::new(place.clone(), why.clone()));
    }
    let columns = [reference, current].map(|it| it.rows.columns().get(&comparison.key));
    if let Some(why) = columns.into_iter().flatten().find_map(|it| it.left_out()) {
        res.push(Gap::new(format!("{place}, in part"), why));
    }
    if let Some(names) = comparison.parts().iter().find_map(Part::pooled) {
        let why = format!(
            "rows of different weights, and more than 2^33, are not dealt, so that the test counts rare categories as one, and what differs between those alone is not seen: {names}"
        );
        res.push(Gap::new(format!("{place}, rare categories"), why));
    }
    if comparison.parts().iter().any(Part::is_rounded) {
        let why = "whole numbers from 2^53 on were rounded to floats, as they are further apart than that, are held against floats, or are of a profile that an older program made of more than its budget; name the column in `categorical` or `exclude` if it is an id";
        res.push(Gap::new(format!("{place}, last digits"), why));
    }
    if comparison.reference.has_rounded || comparison.current.has_rounded {
        res.push(Gap::new(format!("{place}, last digits"), "decimals with more than 15 digits were rounded"));
    }
    res
}
