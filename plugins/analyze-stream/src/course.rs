//! What a detector says of a stream.

use modelwatch_sdk::{Host, Result};
use modelwatch_stats::online::{Change, onset};

use crate::{
    config::Config,
    detector::{Domain, Settings},
    level::Level,
    rows::{Key, Subject},
    scale::Scale,
    values::Values,
};

/// The most changes of a stream that are told, the newest.
pub(crate) const MAX_CHANGES: usize = 100;

/// How many points a stream is drawn with.
const N_POINTS: usize = 120;

/// After so many values it is asked whether to go on.
const AT_ONCE: usize = 4096;

/// A stream, watched to its end.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) key: Key,
    /// How many values the detector saw.
    pub(crate) n: u64,
    /// How many are null or NaN.
    pub(crate) n_missing: u64,
    pub(crate) n_infinite: u64,
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Watched(Watched),
    /// There is too little to decide anything of; the reason.
    TooShort(String),
    /// The values are not for this detector; the reason.
    Unfit(String),
}

/// What the detector reported.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) n_changes: u64,
    /// The newest of them, in the order of the stream.
    pub(crate) changes: Vec<Shift>,
    pub(crate) n_warnings: u64,
    /// Whether the newest value is one of them.
    pub(crate) ends_with_warning: bool,
    /// Since the last change, or of all values.
    pub(crate) latest: Level,
    pub(crate) points: Vec<Point>,
}

/// A change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// Which value of the stream it was found at, from 0.
    pub(crate) place: usize,
    /// That row of the data, from 0.
    pub(crate) row: usize,
    /// The row from which on the values are others, as far as can be told.
    pub(crate) first_row: usize,
    /// From the change before on; of no values where the first one of all is a change.
    pub(crate) before: Level,
    /// Up to the next change.
    pub(crate) after: Level,
}

/// A point of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The place in the stream.
    pub(crate) place: f64,
    /// The mean of the values around it.
    pub(crate) mean: f64,
}

/// The finite values of a stream in its order.
struct Finite {
    values: Vec<f64>,
    rows: Vec<usize>,
}

/// Lets a detector look at a stream, whose rows are in that order.
///
/// # Errors
/// When the run is cancelled.
pub(crate) fn follow(
    config: &Config,
    settings: &Settings,
    host: &dyn Host,
    (key, values): (&Key, &Values),
    order: &[usize],
) -> Result<Course> {
    let mut finite = Finite { values: Vec::with_capacity(order.len()), rows: Vec::with_capacity(order.len()) };
    let (mut n_missing, mut n_infinite) = (0, 0);
    for row in order {
        match values.get(*row) {
            it if it.is_nan() => n_missing += 1,
            it if it.is_infinite() => n_infinite += 1,
            it => {
                finite.values.push(it);
                finite.rows.push(*row);
            }
        }
    }
    let outcome = match prepare(config, settings, key, &finite.values) {
        Ok(scale) => Outcome::Watched(watch(settings, host, &finite, &scale)?),
        Err(it) => it,
    };
    Ok(Course { key: key.clone(), n: finite.values.len() as u64, n_missing, n_infinite, outcome })
}

/// Returns the scale in which a detector sees the values.
///
/// # Errors
/// When it cannot look at them.
fn prepare(config: &Config, settings: &Settings, key: &Key, values: &[f64]) -> std::result::Result<Scale, Outcome> {
    let domain = config.detector.domain();
    if let Some(it) = values.iter().find(|it| !domain.has(**it)) {
        let expected = if domain == Domain::Flag { "0 and 1" } else { "numbers from 0 to 1" };
        let why = format!("it has the value {it}, and `{}` is made for {expected}", config.detector.name());
        return Err(Outcome::Unfit(why));
    }
    if let Some(why) = settings.shortfall(values) {
        return Err(Outcome::TooShort(why));
    }
    let is_standardized = match settings {
        // Without a mean of its own, it needs one whatever it watches.
        Settings::Cusum(it) => it.mean.is_none(),
        _ => config.standardize && domain == Domain::Any && key.subject != Subject::Errors,
    };
    if !is_standardized {
        return Ok(Scale::NONE);
    }
    let too_great = |_| Outcome::Unfit("its values are too great to be squared, as its scale needs it".to_owned());
    Scale::of_first(values, config.warm_up).map_err(too_great)
}

fn watch(settings: &Settings, host: &dyn Host, finite: &Finite, scale: &Scale) -> Result<Watched> {
    let values = &finite.values[..];
    let mut detector = settings.start();
    let mut found: Vec<usize> = Vec::new();
    // Where the values between changes start.
    let mut starts = vec![0];
    let (mut n_warnings, mut last) = (0, Change::None);
    for (place, value) in values.iter().enumerate() {
        if place % AT_ONCE == 0 && host.is_cancelled() {
            return Err(host.cancelled());
        }
        last = detector.update(scale.apply(*value));
        match last {
            Change::None => {}
            Change::Warning => n_warnings += 1,
            Change::Drift => {
                let oldest = detector.n_kept().map(|it| (place + 1).saturating_sub(it as usize));
                // Of a window that is shed in steps, the rest of what was before a change is no change of its own.
                if oldest.zip(found.last()).is_some_and(|(oldest, last)| oldest <= *last) {
                    continue;
                }
                let before = starts.last().copied().unwrap_or(0);
                found.push(place);
                starts.push(match settings {
                    // It looks for more than means, among the newest values.
                    Settings::Kswin(_) => oldest.unwrap_or(place),
                    _ => before + onset(&values[before..=place]).unwrap_or(0),
                });
            }
        }
    }
    let ends: Vec<usize> = starts[1..].iter().copied().chain([values.len()]).collect();
    let level = |at: usize| Level::of(&values[starts[at]..ends[at]]);
    let first = found.len().saturating_sub(MAX_CHANGES);
    let shift = |at: usize| Shift {
        place: found[at],
        row: finite.rows[found[at]],
        first_row: finite.rows[starts[at + 1]],
        before: level(at),
        after: level(at + 1),
    };
    Ok(Watched {
        n_changes: found.len() as u64,
        changes: (first..found.len()).map(shift).collect(),
        n_warnings,
        ends_with_warning: last == Change::Warning,
        latest: level(found.len()),
        points: points(values),
    })
}

/// Returns the means of stretches of equal length.
fn points(values: &[f64]) -> Vec<Point> {
    let n = values.len().min(N_POINTS);
    let bound = |at: usize| (at as u128 * values.len() as u128 / n.max(1) as u128) as usize;
    let point = |at: usize| {
        let (from, to) = (bound(at), bound(at + 1));
        let place = (from as f64 + to as f64 - 1.0) / 2.0;
        Point { place, mean: Level::of(&values[from..to]).mean }
    };
    (0..n).map(point).collect()
}

impl Course {
    /// Returns what the detector reported; none where it could not look.
    pub(crate) fn watched(&self) -> Option<&Watched> {
        match &self.outcome {
            Outcome::Watched(it) => Some(it),
            Outcome::TooShort(_) | Outcome::Unfit(_) => None,
        }
    }
}
