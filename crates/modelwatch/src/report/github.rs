//! Workflow commands: annotations of a GitHub run.
//!
//! GitHub shows ten of each level per step, so the last of ten says how many are left out.

use modelwatch_config::{self as config, Diagnostic, Document};
use modelwatch_runtime::{RunRecord, record::Of};
use modelwatch_sdk::report::{Check, Severity, Status};

use super::{
    text::{clip, facts, message, plain},
    view,
};

const MAX_OF_A_LEVEL: usize = 10;

/// Returns the annotations of a run, one command a line.
pub(crate) fn github(record: &RunRecord) -> String {
    let mut levels = [const { Vec::new() }; 3];
    let [errors, warnings, notices] = &mut levels;
    let verdict = format!("{}: {}", view::verdict(record), view::counts(record));
    let place = if view::status(record) == Status::Pass { &mut *notices } else { &mut *errors };
    place.push((plain(&record.pipeline.name), verdict));
    for status in &view::WORST_FIRST[..4] {
        let checks = view::told(record, *status);
        let checks = checks.into_iter().filter(|it| !is_repeated(record, it.check));
        errors.extend(checks.map(|it| (it.title(" "), check(&it.check.it))));
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
        let place = if view::is_undone(action) { &mut *warnings } else { &mut *notices };
        place.push(("action".to_owned(), view::action_text(action)));
    }
    for gap in view::gaps(record) {
        let text = format!("{}: {}", clip(&gap.what, 300), clip(&gap.why, 1000));
        warnings.push((format!("{} not covered", plain(&gap.probe)), text));
    }
    let file = record.pipeline.file.as_deref().map(|it| format!("file={},", property(&plain(it)))).unwrap_or_default();
    let placed =
        |all: Vec<(String, String)>| all.into_iter().map(|(title, text)| (file.clone(), title, text)).collect();
    let rest = "in the summary of the run";
    let names = ["error", "warning", "notice"].into_iter();
    names.zip(levels).map(|(name, all)| level(name, placed(all), rest)).collect()
}

/// Returns the annotations of what is wrong with a pipeline, each at its place in the file, one command a line.
pub(crate) fn diagnostics(all: &[Diagnostic], document: &Document) -> String {
    let of = |level: config::Severity| {
        let annotation = |it: &Diagnostic| {
            let in_file = it.location(document).filter(|_| it.origin == config::Origin::File);
            let place = in_file.map(|it| format!("file={},line={},", property(&plain(&it.file)), it.line));
            let help = it.help.iter().map(|it| format!("help: {}", clip(it, 1000)));
            let text: Vec<String> = [clip(&it.message, 1000)].into_iter().chain(help).collect();
            (place.unwrap_or_default(), it.code.to_owned(), text.join("\n"))
        };
        all.iter().filter(|it| it.severity == level).map(annotation).collect()
    };
    let rest = "in the log";
    level("error", of(config::Severity::Error), rest) + &level("warning", of(config::Severity::Warning), rest)
}

/// Returns the commands of one level, each with its place, its title and its text: as many as are shown, and where the rest is.
fn level(level: &str, all: Vec<(String, String, String)>, rest: &str) -> String {
    let n_shown = if all.len() > MAX_OF_A_LEVEL { MAX_OF_A_LEVEL - 1 } else { all.len() };
    let mut res: String =
        all[..n_shown].iter().map(|(place, title, text)| command(level, place, title, text)).collect();
    if all.len() > n_shown {
        let text = format!("{} more {rest}", all.len() - n_shown);
        res.push_str(&command(level, &all[0].0, "modelwatch", &text));
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
    parts.extend(facts(it));
    let message = message(it);
    if !message.is_empty() {
        parts.push(clip(message, 1000));
    }
    parts.join(", ")
}

fn command(level: &str, place: &str, title: &str, text: &str) -> String {
    format!("::{level} {place}title={}::{}\n", property(title), data(text))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
