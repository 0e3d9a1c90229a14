//! What was not looked at in chunks and slices.

use std::collections::BTreeMap;

use modelwatch_sdk::report::Gap;

use super::{Series, Sides, Unit, findings::listed};
use crate::report::{Seen, data_gaps};

/// Returns what the rows lack, then what was not judged of each slice and why.
pub(super) fn gaps(sides: Sides<'_>, series: &[Series]) -> Vec<Gap> {
    let Sides { config, cutting, reference, current } = sides;
    let seen = Seen { rows: current.rows(), keys: current.columns().collect() };
    let mut before = Seen { rows: reference.rows(), keys: reference.columns().collect() };
    if cutting.looks_back() {
        // Chunks are compared with those of both roles.
        before.rows += seen.rows;
        before.keys.extend(&seen.keys);
    }
    let mut res = data_gaps(config, &before, &seen);
    for (role, cells) in [("reference", reference), ("current", current)] {
        if cells.n_untimed() > 0 {
            let (n, rows) = (cells.n_untimed(), cells.rows());
            let why = format!("{n} of {rows} {role} rows have no time, and are in no {}", cutting.word(1));
            res.push(Gap::new(format!("chunks of {role} rows"), why));
        }
        for (column, n) in cells.n_unsliced().iter().filter(|it| *it.1 > 0) {
            let why = format!("{n} of {} {role} rows have no value, and are in no slice", cells.rows());
            res.push(Gap::new(format!("slices of {role} rows by `{column}`"), why));
        }
    }
    series.iter().for_each(|it| of_series(sides, it, &mut res));
    res
}

fn of_series(sides: Sides<'_>, series: &Series, res: &mut Vec<Gap>) {
    let subject = match &series.slice {
        Some(it) => format!("slice `{it}`"),
        None => "all rows".to_owned(),
    };
    if let Some(why) = &series.why_not {
        res.push(Gap::new(subject.clone(), format!("it was not judged: {why}")));
    }
    let all: Vec<String> = series.units.iter().filter_map(why_unjudged).collect();
    if !all.is_empty() {
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let n = series.units.len();
        let judgment = match sides.cutting.period {
            Some(_) => format!("{} of {n} {} were not judged", all.len(), sides.cutting.word(n)),
            None => "it was not judged".to_owned(),
        };
        res.push(Gap::new(subject.clone(), format!("{judgment}: {}", listed(&names))));
    }
    let mut by_column: BTreeMap<&str, Vec<(Option<&str>, &str)>> = BTreeMap::new();
    for (unit, judged) in series.judged() {
        for it in &judged.gaps {
            by_column.entry(&it.what).or_default().push((unit.name.as_deref(), &it.why));
        }
    }
    for (what, all) in by_column {
        let what = if series.slice.is_some() { format!("{what}, {subject}") } else { what.to_owned() };
        let names: Vec<&str> = all.iter().filter_map(|it| it.0).collect();
        let chunks = if names.is_empty() { String::new() } else { format!(" ({})", listed(&names)) };
        // The same reason has other numbers in each chunk; those of the first one stand for all.
        res.push(Gap::new(what, format!("{}{chunks}", all[0].1)));
    }
}

fn why_unjudged(unit: &Unit) -> Option<String> {
    let why = unit.outcome.as_ref().err()?;
    Some(match &unit.name {
        Some(name) => format!("{name} ({why})"),
        None => why.clone(),
    })
}
