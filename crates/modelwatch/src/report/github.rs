//! Workflow commands: annotations of a GitHub run.
//!
//! GitHub shows ten of each level per step, so the last of ten says how many are left out.

use modelwatch_runtime::{
    RunRecord, Verdict,
    record::{ActionStatus, Of},
};
use modelwatch_sdk::report::{Check, Severity, Status};

use super::{
    text::{clip, count, interval, message, name, observed, plain},
    view,
};

const MAX_OF_A_LEVEL: usize = 10;

/// Returns the annotations of a run, one command a line.
pub(crate) fn github(record: &RunRecord) -> String {
    let mut levels = [const { Vec::new() }; 3];
    let [errors, warnings, notices] = &mut levels;
    let verdict = format!("{}: {}", record.verdict.as_str(), view::counts(record));
    let place = if record.verdict == Verdict::Pass { &mut *notices } else { &mut *errors };
    place.push((plain(&record.pipeline.name), verdict));
    for status in &view::WORST_FIRST[..4] {
        let checks = view::checks(record, *status);
        errors.extend(checks.into_iter().filter(|it| !is_repeated(record, it)).map(|it| {
            let title = format!("{} {}", plain(&it.probe), name(&it.it.metric, &it.it.labels));
            (title, check(&it.it))
        }));
    }
    for finding in view::findings(record) {
        let it = &finding.it;
        let place = if it.place.is_empty() { &finding.probe } else { &it.place };
        let title = format!("{} {}", plain(&it.code), clip(place, 200));
        let advice = if it.advice.is_empty() { String::new() } else { format!("\nhelp: {}", clip(&it.advice, 1000)) };
        let text = format!("{}{advice}", clip(&it.message, 1000));
        match it.severity {
            Severity::Error => errors.push((title, text)),
            Severity::Warning => warnings.push((title, text)),
            Severity::Info => notices.push((title, text)),
        }
    }
    for action in &record.actions {
        let bad = matches!(action.status, ActionStatus::Conflict | ActionStatus::Failed);
        let place = if bad { &mut *warnings } else { &mut *notices };
        place.push(("action".to_owned(), view::action_text(action)));
    }
    for gap in &record.coverage.gaps {
        let text = format!("{}: {}", clip(&gap.what, 300), clip(&gap.why, 1000));
        warnings.push((format!("{} not covered", plain(&gap.probe)), text));
    }
    let file = record.pipeline.file.as_deref();
    let mut res = String::new();
    for (level, all) in ["error", "warning", "notice"].into_iter().zip(levels) {
        let shown = if all.len() > MAX_OF_A_LEVEL { MAX_OF_A_LEVEL - 1 } else { all.len() };
        for (title, text) in &all[..shown] {
            res.push_str(&command(level, file, title, text));
        }
        if all.len() > shown {
            let text = format!("{} more in the summary of the run", all.len() - shown);
            res.push_str(&command(level, file, "modelwatch", &text));
        }
    }
    res
}

/// Errors among the findings are annotated as errors themselves.
fn is_repeated(record: &RunRecord, check: &Of<Check>) -> bool {
    view::is_told_by_findings(record, check)
        && record.findings.iter().any(|it| it.probe == check.probe && it.it.severity == Severity::Error)
}

fn check(it: &Check) -> String {
    let mut parts = Vec::new();
    if it.status != Status::Fail {
        parts.push(it.status.as_str().to_owned());
    }
    if it.observed.is_some() {
        let range = it.interval.map(|it| format!(" {}", interval(it))).unwrap_or_default();
        parts.push(format!("observed {}{range}", observed(it)));
    }
    if !it.requirement.is_empty() {
        parts.push(format!("required {}", clip(&it.requirement, 200)));
    }
    parts.push(format!("n = {}", count(it.n)));
    let message = message(it);
    if !message.is_empty() {
        parts.push(clip(message, 1000));
    }
    parts.join(", ")
}

fn command(level: &str, file: Option<&str>, title: &str, text: &str) -> String {
    let file = file.map(|it| format!("file={},", property(&plain(it)))).unwrap_or_default();
    format!("::{level} {file}title={}::{}\n", property(title), data(text))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
