//! Metrics side by side: a table for each set of labels of a probe.

use std::collections::BTreeMap;

use modelwatch_runtime::{RunRecord, record::Of};
use modelwatch_sdk::report::{Labels, Metric, MetricRole};

use crate::report::{
    text::{clip, count, counted, interval, number, signed},
    view,
};

/// Longer tables are folded.
const LONG: usize = 30;

/// A table, ready to be written.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) heads: Vec<Cell>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) is_long: bool,
}

/// A cell.
pub(super) struct Cell {
    pub(super) text: String,
    /// The confidence interval below it, or nothing.
    pub(super) small: String,
    pub(super) is_number: bool,
}

impl Table {
    /// Returns a table of a plugin's making; columns of numbers are aligned as such.
    pub(super) fn of_text(columns: &[String], rows: &[Vec<String>]) -> Self {
        let is_number = |column: usize| {
            let mut cells = rows.iter().filter_map(|it| it.get(column)).filter(|it| !it.is_empty()).peekable();
            cells.peek().is_some() && cells.all(|it| is_number_like(it))
        };
        let width = columns.len().min(40);
        let aligned: Vec<bool> = (0..width).map(is_number).collect();
        let row = |it: &[String]| it.iter().zip(&aligned).map(|(it, number)| cell(clip(it, 200), *number)).collect();
        Self {
            title: counted(rows.len(), "row"),
            heads: row(columns),
            rows: rows.iter().map(|it| row(it)).collect(),
            is_long: rows.len() > LONG,
        }
    }
}

/// Returns whether that is a number, perhaps with a unit, an interval or another number beside it, but no date and no
/// sentence.
fn is_number_like(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let is_first_number = first.starts_with(|it: char| it.is_ascii_digit() || matches!(it, '-' | '–' | '+' | '.'));
    let is_date = first.trim_start_matches('-').chars().filter(|it| matches!(it, '-' | ':')).count() > 1;
    first == "NaN" || (is_first_number && !is_date && words.count() <= 2)
}

fn cell(text: String, is_number: bool) -> Cell {
    Cell { text, small: String::new(), is_number }
}

type Row<'a> = BTreeMap<MetricRole, &'a Metric>;
/// The metrics of one set of label keys: by name, then labels, in the order in which they were reported.
type Rows<'a> = Vec<((&'a str, &'a Labels), Row<'a>)>;

/// Returns the tables of each probe, and how many rows are left out.
pub(super) fn metric_tables(record: &RunRecord, mut limit: usize, text: usize) -> (Vec<(String, Vec<Table>)>, usize) {
    let mut res = Vec::new();
    let mut left_out = 0;
    for probe in view::probes(record) {
        let mut tables = Vec::new();
        let metrics = record.metrics.iter().filter(|it| it.probe == probe);
        for (keys, rows) in by_keys(metrics) {
            let plain = rows.iter().all(|it| it.1.len() == 1 && it.1.values().all(|it| it.interval.is_none()));
            let mut table = if plain && !keys.is_empty() { wide(&keys, &rows, text) } else { long(&keys, &rows, text) };
            let all = table.rows.len();
            table.rows.truncate(limit);
            limit -= table.rows.len();
            left_out += all - table.rows.len();
            table.is_long = table.rows.len() > LONG;
            if !table.rows.is_empty() {
                tables.push(table);
            }
        }
        if !tables.is_empty() {
            res.push((clip(probe, 100), tables));
        }
    }
    (res, left_out)
}

fn by_keys<'a>(metrics: impl Iterator<Item = &'a Of<Metric>>) -> BTreeMap<Vec<&'a str>, Rows<'a>> {
    let mut index = BTreeMap::new();
    let mut res = BTreeMap::<Vec<&str>, Rows<'_>>::new();
    for metric in metrics {
        let it = &metric.it;
        let rows = res.entry(it.labels.keys().map(String::as_str).collect()).or_default();
        let key = (it.name.as_str(), &it.labels);
        let at = *index.entry(key).or_insert(rows.len());
        if at == rows.len() {
            rows.push((key, Row::new()));
        }
        rows[at].1.insert(it.role, it);
    }
    res
}

fn title(keys: &[&str], n: usize) -> String {
    let by: Vec<_> = keys.iter().map(|it| clip(it, 60)).collect();
    if keys.is_empty() {
        "All rows together".to_owned()
    } else {
        format!("By {} ({})", by.join(" and "), counted(n, "row"))
    }
}

/// A row per metric, a column per role.
fn long(keys: &[&str], rows: &Rows<'_>, text: usize) -> Table {
    let roles = [
        (MetricRole::Candidate, "candidate"),
        (MetricRole::Baseline, "baseline"),
        (MetricRole::Difference, "difference"),
        (MetricRole::Ratio, "ratio"),
    ];
    let used: Vec<_> = roles.into_iter().filter(|(role, _)| rows.iter().any(|it| it.1.contains_key(role))).collect();
    let mut heads: Vec<_> = keys.iter().map(|it| cell(clip(it, 60), false)).collect();
    // What a skill is of is a metric as well.
    let head = if keys.contains(&"metric") { "name" } else { "metric" };
    heads.push(cell(head.to_owned(), false));
    // Where there is nothing beside it, it need not be of a model.
    let alone = used.len() == 1 && used[0].0 == MetricRole::Candidate;
    heads.extend(used.iter().map(|it| cell(if alone { "value" } else { it.1 }.to_owned(), true)));
    heads.push(cell("n".to_owned(), true));
    let row = |((name, labels), row): &((&str, &Labels), Row<'_>)| {
        let mut cells: Vec<_> = labels.values().map(|it| cell(clip(it, text.min(120)), false)).collect();
        cells.push(cell(clip(name, 100), false));
        cells.extend(used.iter().map(|(role, _)| match row.get(role) {
            Some(it) => Cell { text: value(it), small: it.interval.map(interval).unwrap_or_default(), is_number: true },
            None => cell("–".to_owned(), true),
        }));
        cells.push(cell(row.values().next().map(|it| count(it.n)).unwrap_or_default(), true));
        cells
    };
    Table { title: title(keys, rows.len()), heads, rows: rows.iter().map(row).collect(), is_long: false }
}

/// A row per set of labels, a column per metric.
fn wide(keys: &[&str], rows: &Rows<'_>, text: usize) -> Table {
    let mut names = Vec::new();
    let mut all: Vec<(&Labels, BTreeMap<&str, &Metric>)> = Vec::new();
    let mut index = BTreeMap::new();
    for ((name, labels), row) in rows {
        if !names.contains(name) && names.len() < 16 {
            names.push(*name);
        }
        let at = *index.entry(*labels).or_insert(all.len());
        if at == all.len() {
            all.push((*labels, BTreeMap::new()));
        }
        if let Some(it) = row.values().next() {
            all[at].1.insert(*name, *it);
        }
    }
    let mut heads: Vec<_> = keys.iter().map(|it| cell(clip(it, 60), false)).collect();
    heads.extend(names.iter().map(|it| cell(clip(it, 60), true)));
    heads.push(cell("n".to_owned(), true));
    let row = |(labels, values): &(&Labels, BTreeMap<&str, &Metric>)| {
        let mut cells: Vec<_> = labels.values().map(|it| cell(clip(it, text.min(120)), false)).collect();
        cells.extend(names.iter().map(|it| cell(values.get(it).map_or("–".to_owned(), |it| value(it)), true)));
        cells.push(cell(count(values.values().map(|it| it.n).max().unwrap_or(0)), true));
        cells
    };
    Table { title: title(keys, all.len()), heads, rows: all.iter().map(row).collect(), is_long: false }
}

fn value(it: &Metric) -> String {
    let value = if it.role == MetricRole::Difference { signed(it.value) } else { number(it.value) };
    match &it.unit {
        Some(unit) => format!("{value} {}", clip(unit, 20)),
        None => value,
    }
}
