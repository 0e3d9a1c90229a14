//! The findings of the report.

use modelwatch_sdk::report::{Finding, Severity, float};
use serde_json::Value;

use crate::{
    config::Config,
    course::{Course, MAX_CHANGES, Outcome, Shift, Watched},
    level::Level,
    report::named_places,
    rows::Subject,
    seen::Seen,
};

/// Returns the findings about columns that cannot be watched, then those of each stream.
pub(crate) fn findings(config: &Config, seen: &Seen, courses: &[Course]) -> Vec<Finding> {
    let named = named_places(config).filter_map(|it| seen.left_out.get(&it).map(|why| unfit(config, &it, why)));
    let mut res: Vec<Finding> = named.collect();
    for it in courses {
        match &it.outcome {
            Outcome::Unfit(why) => res.push(unfit(config, &it.key.place(), why)),
            Outcome::TooShort(_) => {}
            Outcome::Watched(watched) => {
                res.extend(watched.changes.last().map(|last| changed(config, it, watched, last)));
                res.extend(watched.ends_with_warning.then(|| warned(config, it, watched)));
            }
        }
    }
    res
}

fn changed(config: &Config, it: &Course, watched: &Watched, last: &Shift) -> Finding {
    let place = it.key.place();
    let is_of_model = matches!(it.key.subject, Subject::Errors | Subject::Loss);
    let has_risen = watched.changes.iter().any(|it| it.has_risen);
    let (code, severity) = match is_of_model {
        true if has_risen => ("MW-S002", config.severity),
        true => ("MW-S002", Severity::Info),
        false => ("MW-S001", config.severity),
    };
    let (times, last_word) = match watched.n_changes {
        1 => ("once".to_owned(), "found"),
        n => (format!("{n} times"), "last found"),
    };
    let message = format!(
        "{place} changed {times} in {} values by `{}`, {last_word} at {}, begun about row {}: {} before, {} after",
        it.n,
        config.detector.name(),
        last.mark.full(),
        last.first_row,
        shown(last.before),
        shown(last.after),
    );
    let advice = match is_of_model {
        true => {
            "compare the rows before and after by the analyzer `drift`; where no column changed, what is predicted did"
        }
        false => {
            "look at what happened to its source at that time, and compare the rows after it with the training data"
        }
    };
    let list = |of: &dyn Fn(&Shift) -> Value| Value::from(watched.changes.iter().map(of).collect::<Vec<_>>());
    let mut res = Finding::new(code, severity, place, message)
        .advice(advice)
        .evidence("detector", config.detector.name())
        .evidence("n_changes", watched.n_changes)
        .evidence("n_values", it.n)
        .evidence("rows", list(&|it| it.mark.row.into()))
        .evidence("first_rows", list(&|it| it.first_row.into()))
        .evidence("means_before", list(&|it| float::to_value(it.before.mean)))
        .evidence("means_after", list(&|it| float::to_value(it.after.mean)));
    if watched.changes.iter().any(|it| it.mark.time.is_some()) {
        res = res.evidence("times", list(&|it| it.mark.time.clone().into()));
    }
    if watched.changes.iter().any(|it| it.mark.id.is_some()) {
        res = res.evidence("ids", list(&|it| it.mark.id.clone().into()));
    }
    if let Some(n) = watched.n_clipped.filter(|it| *it > 0) {
        res = res.evidence("n_clipped", n);
    }
    if watched.n_changes > MAX_CHANGES as u64 {
        res = res.evidence("n_not_listed", watched.n_changes - MAX_CHANGES as u64);
    }
    res
}

fn warned(config: &Config, it: &Course, watched: &Watched) -> Finding {
    let place = it.key.place();
    let message = format!(
        "{place} ends with a warning of `{}` after {} values, and no change yet",
        config.detector.name(),
        watched.latest.n
    );
    Finding::new("MW-S004", Severity::Info, place, message)
        .advice("look again when there are more rows")
        .evidence("n_warnings", watched.n_warnings)
}

fn unfit(config: &Config, place: &str, why: &str) -> Finding {
    Finding::new("MW-S003", Severity::Error, place, format!("{place} cannot be watched: {why}"))
        .advice("leave it out, or choose a detector for such values, as `adwin`")
        .evidence("detector", config.detector.name())
}

fn shown(level: Level) -> String {
    if level.n == 0 {
        return "no value".to_owned();
    }
    let mean = format!("mean {}", short(level.mean));
    if level.deviation.is_nan() { mean } else { format!("{mean} (deviation {})", short(level.deviation)) }
}

/// Returns a number with four digits behind the point, or in powers of ten where these would not do.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e6).contains(&size) { format!("{value:.4}") } else { format!("{value:.3e}") }
}
