//! The pictures of chunks and slices: columns over time, and what drifted where.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_profile::Key;
use modelwatch_sdk::{
    cells::{listed, without_year},
    report::{Figure, FigureData, Series as Line},
};

use super::{Series, Sides, Unit, metrics::drifted_chunks};
use crate::{
    comparison::Part,
    decision::Decision,
    report::place,
    report_figures::{MAX_PICTURES, pictures},
};

/// The most columns with a line of their own.
const MAX_LINES: usize = 6;
/// The most rows and columns of a heat map, as many as are drawn.
const MAX_CELLS: usize = 30;
/// The most rows of the table.
const MAX_TABLE_ROWS: usize = 500;

/// What a heat map of columns shows.
const HEAT: &str = "The difference over the least one that matters, so that 1 and more is large; it is drift where it is significant, too. NaN where nothing was compared.";

/// Returns a table of all chunks and slices, heat maps, and lines of the columns that drifted most.
pub(super) fn figures(sides: Sides<'_>, series: &[Series]) -> Vec<Figure> {
    let mut res: Vec<Figure> = table(sides, series).into_iter().collect();
    // All rows come first.
    let Some(all) = series.first().filter(|it| it.slice.is_none()) else { return res };
    if sides.cutting.period.is_some() {
        res.extend(columns_over_time(all));
        res.extend(slices_over_time(sides, series));
        let order = ranked(all);
        let n_drifted = order.iter().filter(|it| it.n_drifted > 0).count();
        // Where nothing drifted, the column that came nearest to it.
        res.extend(order.iter().take(n_drifted.clamp(1, MAX_LINES)).filter_map(|it| line(sides, all, it.key)));
    } else {
        res.extend(columns_over_slices(series));
    }
    res.extend(worst(series));
    res
}

/// Returns pictures of each drifted column in the chunk or slice in which it drifted most, the greatest differences first.
fn worst(series: &[Series]) -> Vec<Figure> {
    let mut found: BTreeMap<&Key, (f64, String, &Decision, &Part)> = BTreeMap::new();
    for one in series {
        for (unit, judged) in one.judged() {
            let drifted = judged.decisions.iter().filter(|it| it.has_drifted_values);
            for (decision, part) in drifted.filter_map(|it| Some((it, it.leading_part()?))) {
                let key = &decision.comparison.key;
                let strength = strength(part);
                if found.get(key).is_none_or(|it| strength > it.0) {
                    let names: Vec<&str> = one.slice.iter().chain(&unit.name).map(String::as_str).collect();
                    let rows = if names.is_empty() { "all rows".to_owned() } else { names.join(", ") };
                    found.insert(key, (strength, format!(" in {rows}"), decision, part));
                }
            }
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    // The sort is stable, so that equal columns stay in the order of their names.
    found.sort_by(|left, right| right.0.total_cmp(&left.0));
    found.into_iter().take(MAX_PICTURES).flat_map(|(_, rows, decision, part)| pictures(decision, part, &rows)).collect()
}

/// A column with what it is ranked by.
struct Ranked<'a> {
    key: &'a Key,
    n_drifted: usize,
    greatest: f64,
}

/// Returns the columns that drifted in most chunks first, then by the greatest difference.
fn ranked(series: &Series) -> Vec<Ranked<'_>> {
    let mut greatest: BTreeMap<&Key, f64> = BTreeMap::new();
    for it in series.judged().flat_map(|it| &it.1.decisions) {
        let strength = it.leading_part().map_or(0.0, strength);
        let best = greatest.entry(&it.comparison.key).or_default();
        *best = best.max(strength);
    }
    let ranked = drifted_chunks(series).into_iter().map(|(key, n_drifted)| {
        let greatest = greatest.get(key).copied().unwrap_or_default();
        Ranked { key, n_drifted, greatest }
    });
    let mut res: Vec<_> = ranked.collect();
    // The sort is stable, so that equal columns stay in the order of their names.
    res.sort_by(|left, right| right.n_drifted.cmp(&left.n_drifted).then(right.greatest.total_cmp(&left.greatest)));
    res
}

/// Returns how large a difference is in units of what matters; the difference itself where everything does.
///
/// Of p-values, which are of any order of magnitude below their threshold, the logarithms are compared.
fn strength(part: &Part) -> f64 {
    let (value, threshold) = match part.peer {
        Some(it) if it.rule.is_of_p_value() => {
            let logarithm = |it: f64| -it.max(f64::MIN_POSITIVE).ln();
            (logarithm(it.value), logarithm(it.rule.threshold()))
        }
        Some(it) => (it.value, it.rule.threshold()),
        None => (part.score.effect.value, part.score.effect.least),
    };
    if threshold > 0.0 { value / threshold } else { value }
}

fn decision_of<'a>(unit: &'a Unit, key: &Key) -> Option<&'a Decision> {
    // The decisions are in the order of their keys.
    let decisions = &unit.outcome.as_ref().ok()?.decisions;
    decisions.binary_search_by(|it| it.comparison.key.cmp(key)).ok().map(|at| &decisions[at])
}

fn strength_of(unit: &Unit, key: &Key) -> f64 {
    decision_of(unit, key).and_then(Decision::leading_part).map_or(f64::NAN, strength)
}

/// Returns the last chunks, as many as are drawn.
fn last(series: &Series) -> &[Unit] {
    &series.units[series.units.len().saturating_sub(MAX_CELLS)..]
}

fn columns_over_time(all: &Series) -> Option<Figure> {
    let units = last(all);
    let ranked = ranked(all);
    let keys = || ranked.iter().take(MAX_CELLS).map(|it| it.key);
    let values = keys().map(|key| units.iter().map(|it| strength_of(it, key)).collect());
    let (x_label, columns) = names(units);
    let data = FigureData::HeatMap {
        y_label: String::new(),
        x_label,
        rows: keys().map(|it| it.1.clone()).collect(),
        columns,
        values: values.collect(),
    };
    heat_map("Drift of columns over time", HEAT.to_owned() + &left_out(all, ranked.len()), data)
}

fn slices_over_time(sides: Sides<'_>, series: &[Series]) -> Option<Figure> {
    let slices: Vec<&Series> = series.iter().filter(|it| it.judged().next().is_some()).take(MAX_CELLS).collect();
    // All rows alone are no comparison.
    let first = slices.first().filter(|_| slices.len() > 1)?;
    let drifted = |it: &Unit| match &it.outcome {
        Ok(judged) => judged.decisions.iter().filter(|it| it.is_compared() && it.is_drifted()).count() as f64,
        Err(_) => f64::NAN,
    };
    let (x_label, columns) = names(last(first));
    let data = FigureData::HeatMap {
        y_label: String::new(),
        x_label,
        rows: slices.iter().map(|it| it.slice.clone().unwrap_or_else(|| "all rows".to_owned())).collect(),
        columns,
        values: slices.iter().map(|it| last(it).iter().map(drifted).collect()).collect(),
    };
    let caption = format!(
        "How many columns and outputs drifted in each slice and {}. NaN where nothing was judged.{}",
        sides.cutting.word(1),
        left_out(first, series.len())
    );
    heat_map("Drift of slices over time", caption, data)
}

fn columns_over_slices(series: &[Series]) -> Option<Figure> {
    let judged: Vec<(&Series, &Unit)> =
        series.iter().filter_map(|it| Some((it, it.judged().next()?.0))).take(MAX_CELLS).collect();
    let keys: BTreeSet<&Key> = judged
        .iter()
        .flat_map(|it| it.1.outcome.iter().flat_map(|it| &it.decisions))
        .map(|it| &it.comparison.key)
        .collect();
    let mut keys: Vec<(&Key, f64)> =
        keys.into_iter().map(|key| (key, judged.iter().map(|it| strength_of(it.1, key)).fold(0.0, f64::max))).collect();
    keys.sort_by(|left, right| right.1.total_cmp(&left.1));
    let n_columns = keys.len();
    keys.truncate(MAX_CELLS);
    let data = FigureData::HeatMap {
        y_label: String::new(),
        x_label: String::new(),
        rows: keys.iter().map(|it| it.0.1.clone()).collect(),
        columns: judged.iter().map(|it| it.0.slice.clone().unwrap_or_else(|| "all rows".to_owned())).collect(),
        values: keys.iter().map(|key| judged.iter().map(|it| strength_of(it.1, key.0)).collect()).collect(),
    };
    let more = n_columns.saturating_sub(MAX_CELLS);
    let rest = if more > 0 { format!(" {more} columns with smaller differences are left out.") } else { String::new() };
    heat_map("Drift of columns by slice", HEAT.to_owned() + &rest, data)
}

fn heat_map(title: &str, caption: String, data: FigureData) -> Option<Figure> {
    let is_empty = matches!(&data, FigureData::HeatMap { rows, columns, .. } if rows.is_empty() || columns.is_empty());
    (!is_empty).then(|| Figure { title: title.to_owned(), caption, data })
}

/// Returns what a heat map has no room for.
fn left_out(series: &Series, n_rows: usize) -> String {
    let (earlier, rows) = (series.units.len().saturating_sub(MAX_CELLS), n_rows.saturating_sub(MAX_CELLS));
    let mut res = String::new();
    if earlier > 0 {
        res += &format!(" {earlier} earlier chunks are left out.");
    }
    if rows > 0 {
        res += &format!(" {rows} rows of it are left out.");
    }
    res
}

/// Returns the year of the chunks, where all have the same, and their names.
fn names(units: &[Unit]) -> (String, Vec<String>) {
    let all: Vec<&str> = units.iter().filter_map(|it| it.name.as_deref()).collect();
    without_year(&all)
}

/// Returns a column's score over time beside its threshold. Where it drifted, there is a point of its own.
fn line(sides: Sides<'_>, all: &Series, key: &Key) -> Option<Figure> {
    // A line needs two points.
    let (first, last) = (all.units.first()?, all.units.get(1).and(all.units.last())?);
    let parts: Vec<Option<&Part>> =
        all.units.iter().map(|it| decision_of(it, key).and_then(Decision::leading_part)).collect();
    let name = parts.iter().flatten().next().map(|it| match it.peer {
        Some(_) => it.method.name(),
        None => it.score.effect.name,
    })?;
    let value = |it: &Part| it.peer.map_or(it.score.effect.value, |it| it.value);
    let threshold = |it: &Part| it.peer.map_or(it.score.effect.least, |it| it.rule.threshold());
    let of =
        |number: &dyn Fn(&Part) -> f64| -> Vec<f64> { parts.iter().map(|it| it.map_or(f64::NAN, number)).collect() };
    let is_drifted = |unit: &Unit| decision_of(unit, key).is_some_and(|it| it.has_drifted_values);
    let values = of(&value);
    let drifted = all.units.iter().zip(&values).map(|(unit, value)| if is_drifted(unit) { *value } else { f64::NAN });
    let drifted: Vec<f64> = drifted.collect();
    let word = sides.cutting.word(1);
    let (first, last) = (first.name.as_deref().unwrap_or_default(), last.name.as_deref().unwrap_or_default());
    Some(Figure {
        title: format!("Drift of {} over time", place(key)),
        caption: format!(
            "The size of the difference of each {word} to what it is compared with, and the least one that matters."
        ),
        data: FigureData::Lines {
            x_label: format!("{word}, from {first} (0) to {last} ({})", all.units.len() - 1),
            y_label: name.to_owned(),
            x: (0..all.units.len()).map(|it| it as f64).collect(),
            series: vec![
                Line { name: "score".to_owned(), values },
                Line { name: "threshold".to_owned(), values: of(&threshold) },
                Line { name: "drifted".to_owned(), values: drifted },
            ],
        },
    })
}

fn table(sides: Sides<'_>, series: &[Series]) -> Option<Figure> {
    let row = |series: &Series, unit: &Unit| {
        let (result, drifted) = match &unit.outcome {
            Ok(judged) => {
                let drifted: Vec<&str> = judged
                    .decisions
                    .iter()
                    .filter(|it| it.is_compared() && it.is_drifted())
                    .map(|it| it.comparison.name())
                    .collect();
                let compared = judged.decisions.iter().filter(|it| it.is_compared()).count();
                (format!("{} of {compared} drifted", drifted.len()), listed(&drifted))
            }
            Err(why) => ("not judged".to_owned(), why.clone()),
        };
        vec![
            series.slice.clone().unwrap_or_else(|| "all rows".to_owned()),
            unit.name.clone().unwrap_or_default(),
            unit.n_current.to_string(),
            unit.n_reference.to_string(),
            result,
            drifted,
        ]
    };
    let of_slice = |it: &Series| {
        let why = it.why_not.iter().map(|why| {
            let name = it.slice.clone().unwrap_or_default();
            vec![name, String::new(), String::new(), String::new(), "not judged".to_owned(), why.clone()]
        });
        let why: Vec<_> = why.collect();
        why.into_iter().chain(it.units.iter().map(|unit| row(it, unit))).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = series.iter().flat_map(of_slice).collect();
    let left_out = rows.len().saturating_sub(MAX_TABLE_ROWS);
    rows.truncate(MAX_TABLE_ROWS);
    let heads =
        ["slice", sides.cutting.period.map_or("", |it| it.word()), "rows", "compared with", "result", "columns"];
    (!rows.is_empty()).then(|| Figure {
        title: "Drift of chunks and slices".to_owned(),
        caption: match left_out {
            0 => "The columns and outputs that drifted, or why nothing was judged.".to_owned(),
            n => format!("The columns and outputs that drifted, or why nothing was judged. {n} rows are left out."),
        },
        data: FigureData::Table { columns: heads.iter().map(|&it| it.to_owned()).collect(), rows },
    })
}
