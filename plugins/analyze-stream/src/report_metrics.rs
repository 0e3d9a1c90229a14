//! The numbers of the report.

use modelwatch_sdk::{KnownMetric, report::Metric};

use crate::{
    config::{Config, Watch},
    course::{Course, Watched},
    report::labels,
    rows::Subject,
};

/// Returns the numbers that there can be with these options.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> + use<> {
    let of_streams = ["changes", "warnings", "recent_mean", "recent_deviation", "unusable_share"];
    let subjects = [
        (Subject::Column, Watch::Columns),
        (Subject::Output, Watch::Predictions),
        (Subject::Errors, Watch::Errors),
        (Subject::Loss, Watch::Loss),
    ];
    let watched = subjects.map(|(subject, watch)| config.watches(watch).then_some(subject)).into_iter().flatten();
    KnownMetric::all(["watched_streams", "changed_streams", "changed_share"], &[])
        .chain(watched.flat_map(move |it| KnownMetric::all(of_streams, &[it.label()])))
}

/// Returns the numbers of all streams together, then those of each.
pub(crate) fn metrics(courses: &[Course], n_rows: u64) -> Vec<Metric> {
    let watched: Vec<&Watched> = courses.iter().filter_map(Course::watched).collect();
    let n_watched = watched.len() as f64;
    let n_changed = watched.iter().filter(|it| it.n_changes > 0).count() as f64;
    // What is computed from nothing has an n of nothing.
    let n = if watched.is_empty() { 0 } else { n_rows };
    // With nothing watched these are NaN, so that no requirement on them is met.
    let of_watched = |it: f64| if watched.is_empty() { f64::NAN } else { it };
    let mut res = vec![
        Metric::new("watched_streams", n_watched).n(n),
        Metric::new("changed_streams", of_watched(n_changed)).n(n),
        Metric::new("changed_share", n_changed / n_watched).n(n),
    ];
    courses.iter().for_each(|it| of_stream(it, &mut res));
    res
}

fn of_stream(course: &Course, res: &mut Vec<Metric>) {
    let labels = labels(&course.key);
    let n_all = course.n + course.n_missing + course.n_infinite;
    let unusable = (course.n_missing + course.n_infinite) as f64 / n_all as f64;
    res.push(Metric::new("unusable_share", unusable).n(n_all).labels(&labels));
    let Some(it) = course.watched() else { return };
    res.push(Metric::new("changes", it.n_changes as f64).n(course.n).labels(&labels));
    res.push(Metric::new("warnings", it.n_warnings as f64).n(course.n).labels(&labels));
    res.push(Metric::new("recent_mean", it.latest.mean).n(it.latest.n).labels(&labels));
    res.push(Metric::new("recent_deviation", it.latest.deviation).n(it.latest.n).labels(&labels));
}
