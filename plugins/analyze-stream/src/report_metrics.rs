//! The numbers of the report.

use std::collections::BTreeSet;

use modelwatch_sdk::{KnownMetric, report::Metric};

use crate::{
    config::{Config, Watch},
    course::{Course, Watched},
    report::labels,
    rows::Subject,
    tracks::Slices,
};

/// Returns the numbers that there can be with these options.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> + use<> {
    let of_streams = ["changes", "warnings", "recent_mean", "recent_deviation", "unusable_share", "clipped_share"];
    let subjects = [
        (Subject::Column, Watch::Columns),
        (Subject::Output, Watch::Predictions),
        (Subject::Errors, Watch::Errors),
        (Subject::Loss, Watch::Loss),
    ];
    let watched = subjects.map(|(subject, watch)| config.watches(watch).then_some(subject));
    let of_subjects =
        move || watched.into_iter().flatten().flat_map(move |it| KnownMetric::all(of_streams, &[it.label()]));
    let of_slices = (!config.slices.is_empty()).then(|| {
        KnownMetric::all(["slices", "judged_slices", "changed_slices"], &[])
            .chain(of_subjects().map(|it| it.label("slice")))
    });
    KnownMetric::all(["watched_streams", "changed_streams", "changed_share"], &[])
        .chain(of_subjects())
        .chain(of_slices.into_iter().flatten())
}

/// Returns the numbers of the streams of all rows together, and of the slices, then those of each stream.
pub(crate) fn metrics(config: &Config, courses: &[Course], slices: &Slices, n_rows: u64) -> Vec<Metric> {
    let of_all = courses.iter().filter(|it| it.key.slice.is_none());
    let watched: Vec<&Watched> = of_all.filter_map(Course::watched).collect();
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
    if !config.slices.is_empty() {
        let of = |is_it: fn(&Watched) -> bool| -> BTreeSet<&str> {
            let found = courses.iter().filter(|it| it.watched().is_some_and(is_it));
            found.filter_map(|it| it.key.slice.as_deref()).collect()
        };
        let (judged, changed) = (of(|_| true), of(|it| it.n_changes > 0));
        let n = judged.iter().filter_map(|it| slices.n_rows.get(*it)).sum();
        let n_changed = if judged.is_empty() { f64::NAN } else { changed.len() as f64 };
        res.push(Metric::new("slices", slices.n_rows.len() as f64).n(n));
        res.push(Metric::new("judged_slices", judged.len() as f64).n(n));
        res.push(Metric::new("changed_slices", n_changed).n(n));
    }
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
    let clipped = it.n_clipped.map(|it| Metric::new("clipped_share", it as f64 / course.n as f64));
    res.extend(clipped.map(|it| it.n(course.n).labels(&labels)));
    res.push(Metric::new("recent_mean", it.latest.mean).n(it.latest.n).labels(&labels));
    res.push(Metric::new("recent_deviation", it.latest.deviation).n(it.latest.n).labels(&labels));
}
