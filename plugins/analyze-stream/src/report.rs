//! The report: metrics, findings, figures, and what could not be watched.

use modelwatch_sdk::{
    Report,
    report::{Check, Gap, Labels},
};

use crate::{
    config::{Config, Watch},
    course::{Course, Outcome},
    report_figures::figures,
    report_findings::findings,
    report_metrics::metrics,
    rows::{Key, Subject},
    seen::Seen,
    track::Rules,
    tracks::{Slices, most_slices},
};

/// What all gaps are about.
const SUBJECT: &str = "changes over time";

/// Returns everything that is to be said.
pub(crate) fn write(rules: &Rules, seen: &Seen, slices: &Slices, courses: &[Course]) -> Report {
    let config = &rules.config;
    Report {
        metrics: metrics(config, courses, slices, seen.n_watched()),
        checks: nothing_watched(config, courses),
        findings: findings(config, seen, courses),
        figures: figures(courses),
        gaps: gaps(rules, seen, slices, courses),
    }
}

/// Returns the checks that something was watched of all rows and of slices, where nothing was: what was not looked at has not passed.
fn nothing_watched(config: &Config, courses: &[Course]) -> Vec<Check> {
    let is_any =
        |of_slices: bool| courses.iter().any(|it| it.key.slice.is_some() == of_slices && it.watched().is_some());
    let mut res = Vec::new();
    if !is_any(false) {
        res.push(Check::not_checked("watched_streams", "> 0", "nothing could be watched: see the gaps"));
    }
    if !config.slices.is_empty() && !is_any(true) {
        res.push(Check::not_checked("judged_slices", "> 0", "no slice could be watched: see the gaps"));
    }
    res
}

/// Returns the labels that name a stream.
pub(crate) fn labels(key: &Key) -> Labels {
    let slice = key.slice.iter().map(|it| ("slice".to_owned(), it.clone()));
    slice.chain([(key.subject.label().to_owned(), key.name.clone())]).collect()
}

/// Returns the place of a column that the options name in full.
pub(crate) fn named_places(config: &Config) -> impl Iterator<Item = String> {
    config.selection().named().map(|it| format!("column `{it}`"))
}

fn gaps(rules: &Rules, seen: &Seen, slices: &Slices, courses: &[Course]) -> Vec<Gap> {
    let config = &rules.config;
    let mut res = Vec::new();
    if seen.n == 0 {
        return vec![Gap::new(SUBJECT, "there are no rows")];
    }
    if courses.is_empty() {
        res.push(Gap::new(SUBJECT, "there is no column of numbers to watch"));
    } else {
        res.extend(not_in_order(rules, seen));
    }
    let named: Vec<String> = named_places(config).collect();
    for (place, why) in seen.left_out.iter().filter(|it| !named.contains(it.0)) {
        res.push(Gap::new(place.clone(), why.clone()));
    }
    if config.watches(Watch::Columns) {
        let is_column = |it: &&Key| it.subject == Subject::Column;
        let elements = |name: &str| name.split_once('[').map_or(name.to_owned(), |it| it.0.to_owned());
        let mut known: Vec<String> = streams(courses).filter(is_column).map(|it| elements(&it.name)).collect();
        let left_out = seen.left_out.keys().filter_map(|it| it.strip_prefix("column `")?.strip_suffix('`'));
        known.extend(left_out.map(str::to_owned));
        // A name in full has to be there, or the run would not have begun.
        for pattern in config.selection().unmatched(known.iter().map(String::as_str)).filter(|it| it.contains('*')) {
            res.push(Gap::new(format!("columns `{pattern}`"), "there is no such column of numbers"));
        }
    }
    res.extend(not_in_slices(config, seen, (slices, streams(courses).count())));
    res.extend(courses.iter().flat_map(of_stream));
    res
}

/// Returns the streams of all rows.
fn streams(courses: &[Course]) -> impl Iterator<Item = &Key> {
    courses.iter().map(|it| &it.key).filter(|it| it.slice.is_none())
}

/// Says which rows no slice is watched of.
fn not_in_slices(config: &Config, seen: &Seen, (slices, n_streams): (&Slices, usize)) -> Vec<Gap> {
    let n = seen.n_watched();
    let missing = slices.n_unsliced.iter().map(|(column, n_unsliced)| {
        let why = format!("{n_unsliced} of {n} rows have no value, and are in no slice");
        Gap::new(format!("slices by `{column}`"), why)
    });
    let beyond = (slices.n_beyond > 0).then(|| {
        let most = most_slices(config, n_streams);
        let option = if most < config.max_slices { "max_slice_streams" } else { "max_slices" };
        let why = format!(
            "{} rows are in slices that came after the first {most}: name slice columns with fewer values, or raise `{option}`",
            slices.n_beyond,
        );
        Gap::new("slices, in part", why)
    });
    missing.chain(beyond).collect()
}

/// Says of which rows nobody knows where in time they belong.
fn not_in_order(rules: &Rules, seen: &Seen) -> Vec<Gap> {
    let place = || format!("{SUBJECT}, in part");
    let mut res = Vec::new();
    if seen.n_untimed > 0 {
        res.push(Gap::new(place(), format!("{} of {} rows have no time", seen.n_untimed, seen.n)));
    }
    if seen.n_late > 0 {
        let why = format!(
            "{} of {} rows came too late to be put in the order of time and were passed over: {} rows wait for earlier ones; sort the data, or raise `max_bytes`",
            seen.n_late,
            seen.n,
            seen.room(rules),
        );
        res.push(Gap::new(place(), why));
    }
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
