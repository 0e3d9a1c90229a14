//! JUnit XML: a suite per probe, a case per check. What was not checked is an error; only what does not count for the verdict is skipped.

use std::time::Duration;

use modelwatch_runtime::{
    RunRecord, Verdict,
    record::{ActionStatus, Of},
};
use modelwatch_sdk::report::{Check, Finding, Severity, Status};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    text::{facts, name, number, observed, plain, range},
    view,
};

/// Returns the run as JUnit XML.
///
/// # Errors
/// When the XML cannot be written.
pub(crate) fn junit(record: &RunRecord) -> anyhow::Result<String> {
    let mut report = Report::new(plain(&record.pipeline.name));
    report.timestamp = record.timings.started.parse().ok();
    report.time = duration(record.timings.total);
    for probe in view::probes(record) {
        let mut suite = suite(record, probe);
        suite.time = record.timings.probes.get(probe).and_then(|it| duration(*it));
        let checks = record.checks.iter().filter(|it| it.probe == probe);
        suite.add_test_cases(checks.map(|it| check(record, it)));
        let findings = record.findings.iter().filter(|it| it.probe == probe && it.it.severity == Severity::Error);
        suite.add_test_cases(findings.map(|it| finding(record, it)));
        // Where a check says so, it is told.
        let is_told = record.checks.iter().any(|it| it.probe == probe && it.it.status == Status::Error);
        let mut ended = record.coverage.probes.iter().filter(|_| !is_told);
        if let Some(it) = ended.find(|it| it.id == probe && it.status != Status::Pass) {
            suite.add_test_case(TestCase::new("runs to its end", status(it.status, &it.message)));
        }
        report.add_test_suite(suite);
    }
    if !record.actions.is_empty() {
        let mut suite = suite(record, "actions");
        for it in &record.actions {
            let status = match it.status {
                ActionStatus::Done => TestCaseStatus::success(),
                ActionStatus::NotNeeded => {
                    let mut res = TestCaseStatus::skipped();
                    res.set_message(plain(&it.message));
                    res
                }
                ActionStatus::Conflict | ActionStatus::Failed => {
                    bad(NonSuccessKind::Error, view::action_status(it.status), &view::action_text(it))
                }
            };
            suite.add_test_case(TestCase::new(format!("{} {}", view::kind(it.kind), plain(&it.target)), status));
        }
        report.add_test_suite(suite);
    }
    // A run without a single check, or one that is not all written down, must not look like one in which all is well.
    let whole = view::status(record);
    if whole != Status::Pass && report.failures + report.errors == 0 {
        let mut suite = suite(record, "run");
        let why = format!("{}: {}", view::verdict(record), view::counts(record));
        suite.add_test_case(TestCase::new("verdict", status(whole, &why)));
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn suite(record: &RunRecord, name: &str) -> TestSuite {
    let mut res = TestSuite::new(plain(name));
    res.add_property(Property::new("run_id", plain(&record.run_id)));
    res.add_property(Property::new("verdict", record.verdict.as_str()));
    res
}

fn check(record: &RunRecord, it: &Of<Check>) -> TestCase {
    let title = format!("{} {}", name(&it.it.metric, &it.it.labels), plain(&it.it.requirement));
    let mut status = if it.it.status == Status::Pass || record.counts(it) {
        status(it.it.status, &it.it.message)
    } else {
        let mut res = TestCaseStatus::skipped();
        res.set_type(it.it.status.as_str()).set_message(plain(&it.it.message));
        res
    };
    if it.it.status != Status::Pass {
        // Most hosts show the text and not the properties.
        status.set_description(format!("{}\n{}", plain(&facts(&it.it).join(", ")), plain(&it.it.message)).trim_end());
    }
    let mut res = TestCase::new(title.trim_end(), status);
    res.set_classname(plain(&it.probe));
    if it.it.observed.is_some() {
        res.add_property(Property::new("observed", observed(&it.it)));
    }
    if let Some(interval) = it.it.interval {
        let level = number(interval.level * 100.0);
        res.add_property(Property::new("interval", format!("{} at {level}%", range(&it.it).trim_start())));
    }
    res.add_property(Property::new("n", it.it.n.to_string()));
    res
}

/// Where the pipeline lets errors pass, they are told and nothing more.
fn finding(record: &RunRecord, it: &Of<Finding>) -> TestCase {
    let text = plain(&it.it.message);
    let passes = record.verdict == Verdict::Pass;
    let status = if passes { TestCaseStatus::success() } else { bad(NonSuccessKind::Failure, "finding", &text) };
    let mut res = TestCase::new(plain(format!("{} {}", it.it.code, it.it.place).trim_end()), status);
    res.set_classname(plain(&it.probe));
    res.set_system_out(format!("{text}\n{}", plain(&it.it.advice)));
    res
}

fn status(it: Status, message: &str) -> TestCaseStatus {
    match it {
        Status::Pass => TestCaseStatus::success(),
        Status::Fail | Status::Inconclusive => bad(NonSuccessKind::Failure, it.as_str(), message),
        Status::Error | Status::NotChecked => bad(NonSuccessKind::Error, it.as_str(), message),
    }
}

fn bad(kind: NonSuccessKind, word: &str, message: &str) -> TestCaseStatus {
    let mut res = TestCaseStatus::non_success(kind);
    res.set_type(word).set_message(plain(message));
    res
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
