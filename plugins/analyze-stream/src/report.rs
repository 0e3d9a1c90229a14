//! The report: metrics, findings, figures, and what could not be watched.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Report,
    report::{Check, Gap, Labels},
    rows::name_matches,
};

use crate::{
    config::{Config, Watch},
    course::{Course, Outcome},
    report_figures::figures,
    report_findings::findings,
    report_metrics::metrics,
    rows::{Key, Rows, Subject},
    select::named_columns,
};

/// What all gaps are about.
const SUBJECT: &str = "changes over time";

/// Returns everything that is to be said; `n_ordered` rows have a place in the order.
pub(crate) fn write(config: &Config, rows: &Rows, n_ordered: usize, courses: &[Course]) -> Report {
    let names = Names::of(rows, courses);
    Report {
        metrics: metrics(courses, n_ordered as u64),
        checks: nothing_watched(courses).into_iter().collect(),
        findings: findings(config, rows, courses, &names),
        figures: figures(courses, &names),
        gaps: gaps(config, rows, n_ordered, courses),
    }
}

/// Returns the check that something was watched, where nothing was: what was not looked at has not passed.
fn nothing_watched(courses: &[Course]) -> Option<Check> {
    let is_any = courses.iter().any(|it| it.watched().is_some());
    (!is_any).then(|| Check::not_checked("watched_streams", "> 0", "nothing could be watched: see the gaps"))
}

/// Returns the labels that name a stream.
pub(crate) fn labels(key: &Key) -> Labels {
    Labels::from([(key.subject.label().to_owned(), key.name.clone())])
}

/// Returns the place of a column that the options name in full.
pub(crate) fn named_places(config: &Config) -> impl Iterator<Item = String> {
    named_columns(config).map(|it| format!("column `{it}`"))
}

/// How the rows of changes are called.
pub(crate) struct Names<'a> {
    rows: &'a Rows,
    ids: BTreeMap<usize, String>,
}

impl<'a> Names<'a> {
    fn of(rows: &'a Rows, courses: &[Course]) -> Self {
        let watched = courses.iter().filter_map(Course::watched);
        let wanted: BTreeSet<usize> = watched.flat_map(|it| &it.changes).map(|it| it.row).collect();
        let found = rows.ids.as_ref().map(|it| it.find(wanted.iter().copied())).unwrap_or_default();
        let ids = wanted.into_iter().zip(found).filter_map(|(row, id)| Some((row, id?.to_owned())));
        Self { rows, ids: ids.collect() }
    }

    /// Returns the time of a row.
    pub(crate) fn time(&self, row: usize) -> Option<String> {
        self.rows.times.as_ref().and_then(|it| it.show(row))
    }

    /// Returns the id of a row at which a change was found.
    pub(crate) fn id(&self, row: usize) -> Option<&str> {
        self.ids.get(&row).map(String::as_str)
    }

    /// Returns the row with its time and id, as far as it has them.
    pub(crate) fn full(&self, row: usize) -> String {
        let id = self.id(row).map(|it| format!("id {it}"));
        let all: Vec<_> = self.time(row).into_iter().chain(id).collect();
        if all.is_empty() { format!("row {row}") } else { format!("row {row} ({})", all.join(", ")) }
    }
}

fn gaps(config: &Config, rows: &Rows, n_ordered: usize, courses: &[Course]) -> Vec<Gap> {
    let mut res = Vec::new();
    if rows.n == 0 {
        return vec![Gap::new(SUBJECT, "there are no rows")];
    }
    if courses.is_empty() {
        res.push(Gap::new(SUBJECT, "there is no column of numbers to watch"));
    } else if n_ordered < rows.n {
        let n = rows.n - n_ordered;
        res.push(Gap::new(format!("{SUBJECT}, in part"), format!("{n} of {} rows have no time", rows.n)));
    }
    let named: Vec<String> = named_places(config).collect();
    for (place, why) in rows.left_out.iter().filter(|it| !named.contains(it.0)) {
        res.push(Gap::new(place.clone(), why.clone()));
    }
    if config.watches(Watch::Columns) {
        let is_column = |it: &&Key| it.subject == Subject::Column;
        let elements = |name: &str| name.split_once('[').map_or(name.to_owned(), |it| it.0.to_owned());
        let known: Vec<String> = rows.streams.keys().filter(is_column).map(|it| elements(&it.name)).collect();
        let is_left_out = |pattern: &str| {
            let names = rows.left_out.keys().filter_map(|it| it.strip_prefix("column `")?.strip_suffix('`'));
            names.into_iter().any(|it| name_matches(pattern, it))
        };
        for pattern in config.columns.iter().filter(|it| it.contains('*')) {
            if !known.iter().any(|it| name_matches(pattern, it)) && !is_left_out(pattern) {
                res.push(Gap::new(format!("columns `{pattern}`"), "there is no such column of numbers"));
            }
        }
    }
    res.extend(courses.iter().flat_map(of_stream));
    res
}

fn of_stream(course: &Course) -> Vec<Gap> {
    let place = course.key.place();
    let mut res = Vec::new();
    if let Outcome::TooShort(why) = &course.outcome {
        res.push(Gap::new(place.clone(), why.clone()));
    }
    let n = course.n + course.n_missing + course.n_infinite;
    if course.n_missing > 0 {
        let why = format!("{} of {n} values are null or NaN and were passed over", course.n_missing);
        res.push(Gap::new(format!("{place}, in part"), why));
    }
    if course.n_infinite > 0 {
        let why = format!("{} of {n} values are infinite and were passed over", course.n_infinite);
        res.push(Gap::new(format!("{place}, in part"), why));
    }
    res
}
