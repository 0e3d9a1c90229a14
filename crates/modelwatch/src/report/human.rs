//! What a person reads in five seconds, on a terminal.
//!
//! The text carries ANSI styles; the stream it is printed on removes them where they are not wanted.

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use modelwatch_runtime::{
    RunRecord, Verdict,
    record::{ActionStatus, Of},
};
use modelwatch_sdk::report::{Check, Finding, Severity, Status};

use super::{
    files::files,
    text::{clip, count, facts, message, name, observed, plain, range, seconds, wrap},
    view,
};

const MAX_CHECKS: usize = 20;
const MAX_PASSED: usize = 30;
const MAX_FINDINGS: usize = 10;
const MAX_GAPS: usize = 10;
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Returns the run in words for a terminal of `width` columns.
pub(crate) fn human(record: &RunRecord, width: usize) -> String {
    let mut out = Out { text: String::new(), width: width.max(20) };
    verdict(&mut out, record);
    for status in &view::WORST_FIRST[..4] {
        failed(&mut out, record, *status);
    }
    if record.verdict == Verdict::Pass {
        passed(&mut out, record);
    }
    findings(&mut out, record);
    actions(&mut out, record);
    gaps(&mut out, record);
    out.blank();
    // Of a long report the first line is out of sight.
    out.after_verdict(record, DIM, &view::counts(record));
    out.text
}

/// Collects lines, wrapped with a hanging indent.
struct Out {
    text: String,
    width: usize,
}

impl Out {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn head(&mut self, text: &str) {
        self.text.push_str(&format!("\n{BOLD}{text}{BOLD:#}\n"));
    }

    /// Writes `text` after the verdict, or below it where little room is left.
    fn after_verdict(&mut self, record: &RunRecord, style: Style, text: &str) {
        let word = record.verdict.as_str();
        let word = view::verdict(record).replacen(word, &word.to_uppercase(), 1);
        let of_verdict = color(view::status(record));
        if word.chars().count() * 2 > self.width {
            self.item("", "", of_verdict, &word);
            self.item("", "", style, text);
        } else {
            self.item(&format!("{of_verdict}{word}{of_verdict:#}  "), &format!("{word}  "), style, text);
        }
    }

    /// Writes `text` after `lead`, which is already styled and as wide as `shown`.
    fn item(&mut self, lead: &str, shown: &str, style: Style, text: &str) {
        let indent = shown.chars().count();
        for (idx, line) in wrap(text, self.width.saturating_sub(indent).max(10)).iter().enumerate() {
            let start = if idx == 0 { lead.to_owned() } else { " ".repeat(indent) };
            self.text.push_str(&format!("{start}{style}{line}{style:#}\n"));
        }
    }
}

fn color(it: Status) -> Style {
    let color = match it {
        Status::Pass => AnsiColor::Green,
        Status::Fail | Status::Error => AnsiColor::Red,
        Status::Inconclusive | Status::NotChecked => AnsiColor::Yellow,
    };
    BOLD.fg_color(Some(color.into()))
}

fn mark(it: Status) -> &'static str {
    match it {
        Status::Pass => "✓",
        Status::Fail => "✗",
        Status::Error => "!",
        Status::Inconclusive => "?",
        Status::NotChecked => "–",
    }
}

fn verdict(out: &mut Out, record: &RunRecord) {
    let mut parts = vec![plain(&record.pipeline.name)];
    parts.extend(record.checkpoint.iter().map(view::checkpoint));
    parts.push(seconds(record.timings.total));
    out.after_verdict(record, BOLD, &parts.join(" · "));
    if let Some(baseline) = &record.baseline {
        out.item("", "", DIM, &format!("against {}", view::checkpoint(baseline)));
    }
}

fn failed(out: &mut Out, record: &RunRecord, status: Status) {
    let checks = view::told(record, status);
    if checks.is_empty() {
        return;
    }
    out.head(match status {
        Status::Error => "Could not be carried out",
        Status::Fail => "Failed",
        Status::Inconclusive => "Inconclusive",
        _ => "Not checked",
    });
    let n = checks.len();
    let same = |it: &view::Told<'_>| {
        let Check { metric, requirement, message, .. } = &it.check.it;
        (it.probes(), metric.clone(), requirement.clone(), facts_of_value(&it.check.it), message.clone())
    };
    let groups = view::alike(checks, same);
    for group in groups.iter().take(MAX_CHECKS) {
        one(out, record, &group[0]);
        others(out, "    ", group[1..].iter().map(view::Told::metric));
    }
    more(out, n, groups.iter().take(MAX_CHECKS).map(Vec::len).sum());
}

/// Returns what is observed of a check, whatever it is observed of.
fn facts_of_value(check: &Check) -> String {
    observed(check) + &range(check)
}

/// Names what else the same is said of, in place of saying it again.
fn others(out: &mut Out, indent: &str, names: impl ExactSizeIterator<Item = String>) {
    let n = names.len();
    if n > 0 {
        let names: Vec<_> = names.collect();
        out.item(indent, indent, DIM, &clip(&format!("… and {} more: {}", count(n as u64), names.join(", ")), 400));
    }
}

fn one(out: &mut Out, record: &RunRecord, told: &view::Told<'_>) {
    let check = told.check;
    let (style, mark) = (color(check.it.status), mark(check.it.status));
    out.item(&format!("  {style}{mark}{style:#} "), "  ✗ ", BOLD, &told.title(" · "));
    let mut facts = facts(&check.it);
    if !record.counts(check) {
        facts.push("does not count for the verdict".to_owned());
    }
    if !facts.is_empty() {
        out.item("    ", "    ", Style::new(), &facts.join(", "));
    }
    let message = message(&check.it);
    if !message.is_empty() && !view::is_told_by_findings(record, check) {
        out.item("    ", "    ", DIM, &clip(message, 400));
    }
}

fn passed(out: &mut Out, record: &RunRecord) {
    let checks = view::checks(record, Status::Pass);
    if checks.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(out.width).unwrap_or(u16::MAX)).force_no_tty();
    table.set_header(["", "probe", "metric", "observed", "required", "n"]);
    for check in checks.iter().take(MAX_PASSED) {
        table.add_row([
            "✓".to_owned(),
            plain(&check.probe),
            name(&check.it.metric, &check.it.labels),
            format!("{}{}", observed(&check.it), range(&check.it)),
            clip(&check.it.requirement, 200),
            count(check.it.n),
        ]);
    }
    out.blank();
    for line in table.lines() {
        out.text.push_str(line.trim_end());
        out.blank();
    }
    more(out, checks.len(), MAX_PASSED);
}

fn findings(out: &mut Out, record: &RunRecord) {
    let findings = view::findings(record);
    if findings.is_empty() {
        return;
    }
    out.head("Findings");
    let n = findings.len();
    // Each file is of one of them.
    let same = |finding: &&Of<Finding>| {
        let it = &finding.it;
        let said = if it.advice.is_empty() { &it.message } else { &it.advice };
        let files: Vec<_> = it.file_paths().map(str::to_owned).collect();
        (finding.probe.clone(), it.code.clone(), it.severity, said.clone(), files)
    };
    let groups = view::alike(findings, same);
    for group in groups.iter().take(MAX_FINDINGS) {
        let (finding, it) = (group[0], &group[0].it);
        let style = color(match it.severity {
            Severity::Error => Status::Fail,
            Severity::Warning => Status::Inconclusive,
            Severity::Info => Status::Pass,
        });
        let lead = format!("{:<7}", it.severity.as_str());
        let title = format!("{}  {}", clip(&it.code, 40), place(finding));
        out.item(&format!("  {style}{lead}{style:#} "), "          ", BOLD, &title);
        out.item("          ", "          ", Style::new(), &clip(&it.message, 400));
        if !it.advice.is_empty() {
            out.item("        → ", "        → ", DIM, &clip(&it.advice, 400));
        }
        for file in files(it, None) {
            out.item("          ", "          ", DIM, &file.name);
        }
        others(out, "          ", group[1..].iter().map(|it| place(it)));
    }
    more(out, n, groups.iter().take(MAX_FINDINGS).map(Vec::len).sum());
}

fn place(finding: &Of<Finding>) -> String {
    clip(if finding.it.place.is_empty() { &finding.probe } else { &finding.it.place }, 200)
}

fn actions(out: &mut Out, record: &RunRecord) {
    if record.actions.is_empty() {
        return;
    }
    out.head("Actions");
    for action in &record.actions {
        let (style, mark) = match action.status {
            ActionStatus::Done => (color(Status::Pass), "✓"),
            ActionStatus::NotNeeded => (DIM, "–"),
            ActionStatus::Conflict | ActionStatus::Failed => (color(Status::Fail), "✗"),
        };
        out.item(&format!("  {style}{mark}{style:#} "), "  ✓ ", Style::new(), &view::action_text(action));
    }
}

fn gaps(out: &mut Out, record: &RunRecord) {
    let gaps = view::gaps(record);
    if gaps.is_empty() {
        return;
    }
    out.head("Not covered");
    for gap in gaps.iter().take(MAX_GAPS) {
        let text = format!("{} · {}: {}", plain(&gap.probe), clip(&gap.what, 200), clip(&gap.why, 400));
        out.item("  – ", "  – ", Style::new(), &text);
    }
    more(out, gaps.len(), MAX_GAPS);
}

fn more(out: &mut Out, all: usize, shown: usize) {
    if all > shown {
        out.item("    ", "    ", DIM, &format!("{} more in the report", all - shown));
    }
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::report::Labels;

    use super::*;
    use crate::report::fixture::{self, of};

    #[test]
    fn what_is_the_same_is_said_once_with_what_else_it_is_of() {
        let mut record = fixture::fail();
        record.checks.clear();
        for (class, observed) in [("0", f64::NAN), ("1", f64::NAN), ("2", 0.5), ("3", f64::NAN)] {
            let labels = Labels::from([("class".to_owned(), class.to_owned())]);
            let (observed, message) = (Some(observed), "the metric is not a number".to_owned());
            let check = Check { labels, observed, message, ..Check::not_checked("recall", ">= 0.85", "") };
            record.checks.push(of("metrics", Check { status: Status::Fail, ..check }));
        }
        let sick = |place: &str, n: u32, file: Option<&str>| {
            let message = format!("{n} of {n} weights are not finite");
            let it = Finding::new("MW-W001", Severity::Error, place, message).advice("go back to the last one");
            of("weights", it.files(file.map(str::to_owned).into_iter().collect()))
        };
        record.findings =
            vec![sick("a", 1, None), sick("b", 2, None), sick("c", 3, Some("c.onnx")), sick("d", 4, None)];
        let text = anstream::adapter::strip_str(&human(&record, 100)).to_string();
        let said = |words: &str| text.matches(words).count();
        assert_eq!((said("✗ metrics · recall[class=0]"), said("✗ metrics · recall")), (1, 2), "{text}");
        assert!(text.contains("… and 2 more: recall[class=1], recall[class=3]\n"), "{text}");
        // What another value was observed of is said by itself, and so is what a file of its own belongs to.
        assert!(text.contains("✗ metrics · recall[class=2]\n    observed 0.5,"), "{text}");
        assert_eq!((said("go back"), said("… and 2 more: b, d\n"), said("c.onnx")), (2, 1, 1), "{text}");
    }
}
