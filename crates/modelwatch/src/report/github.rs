//! Workflow commands: annotations of a GitHub run.
//!
//! GitHub shows ten of each level per step, so the last of ten says how many are left out.

use std::collections::BTreeMap;

use modelwatch_config::{self as config, Diagnostic, Document};
use modelwatch_runtime::{RunRecord, record::Of};
use modelwatch_sdk::report::{Check, Severity, Status};

use super::{
    text::{clip, facts, message, plain},
    view,
};

const MAX_OF_A_LEVEL: usize = 10;

/// Returns the annotations of a run, one command a line, each at the pipeline's file and where it is known at the line of its probe.
pub(crate) fn github(record: &RunRecord, lines: &BTreeMap<String, usize>) -> String {
    let file = |line| record.pipeline.file.as_deref().map(|it| in_file(it, line)).unwrap_or_default();
    let of_probe = |probe: &str| file(lines.get(probe).copied());
    let mut levels = [const { Vec::new() }; 3];
    let [errors, warnings, notices] = &mut levels;
    let verdict = format!("{}: {}", view::verdict(record), view::counts(record));
    let place = if view::status(record) == Status::Pass { &mut *notices } else { &mut *errors };
    place.push((file(None), plain(&record.pipeline.name), verdict));
    for status in &view::WORST_FIRST[..4] {
        let checks = view::told(record, *status);
        let checks = checks.into_iter().filter(|it| !is_repeated(record, it.check));
        for it in checks {
            let annotation = (of_probe(&it.check.probe), it.title(" "), check(&it.check.it));
            match it.check.it.status {
                _ if record.counts(it.check) => errors.push(annotation),
                Status::NotChecked => notices.push(annotation),
                _ => warnings.push(annotation),
            }
        }
    }
    for finding in view::findings(record) {
        let it = &finding.it;
        let place = if it.place.is_empty() { &finding.probe } else { &it.place };
        let title = format!("{} {}", plain(&it.code), clip(place, 200));
        let advice = if it.advice.is_empty() { String::new() } else { format!("\nhelp: {}", clip(&it.advice, 1000)) };
        let annotation = (of_probe(&finding.probe), title, format!("{}{advice}", clip(&it.message, 1000)));
        match it.severity {
            Severity::Error => errors.push(annotation),
            Severity::Warning => warnings.push(annotation),
            Severity::Info => notices.push(annotation),
        }
    }
    for action in &record.actions {
        let place = if action.is_undone() { &mut *warnings } else { &mut *notices };
        place.push((file(None), "action".to_owned(), view::action_text(action)));
    }
    for gap in view::gaps(record) {
        let text = format!("{}: {}", clip(&gap.what, 300), clip(&gap.why, 1000));
        warnings.push((of_probe(&gap.probe), format!("{} not covered", plain(&gap.probe)), text));
    }
    let rest = "in the summary of the run";
    let names = ["error", "warning", "notice"].into_iter();
    names.zip(levels).map(|(name, all)| level(name, all, rest)).collect()
}

/// Returns the properties that put an annotation into a file.
fn in_file(file: &str, line: Option<usize>) -> String {
    let line = line.map(|it| format!("line={it},")).unwrap_or_default();
    format!("file={},{line}", property(&plain(file)))
}

/// Returns the annotations of what is wrong with a pipeline, each in the file and at its place there, one command a line.
pub(crate) fn diagnostics(all: &[Diagnostic], document: &Document) -> String {
    let of = |level: config::Severity| {
        let annotation = |it: &Diagnostic| {
            let line = it.location(document).filter(|_| it.origin == config::Origin::File).map(|it| it.line);
            let place = document.path().map(|it| in_file(&it.display().to_string(), line)).unwrap_or_default();
            let help = it.help.iter().map(|it| format!("help: {}", clip(it, 1000)));
            let text: Vec<String> = [clip(&it.message, 1000)].into_iter().chain(help).collect();
            (place, it.code.to_owned(), text.join("\n"))
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
