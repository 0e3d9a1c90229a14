//! What a person reads in five seconds, on a terminal.
//!
//! The text carries ANSI styles; the stream it is printed on removes them where they are not wanted.

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use modelwatch_runtime::{RunRecord, Verdict, record::ActionStatus};
use modelwatch_sdk::report::{Severity, Status};

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
    for check in checks.iter().take(MAX_CHECKS) {
        one(out, record, check);
    }
    more(out, checks.len(), MAX_CHECKS);
}

fn one(out: &mut Out, record: &RunRecord, told: &view::Told<'_>) {
    let check = told.check;
    let (style, mark) = (color(check.it.status), mark(check.it.status));
    out.item(&format!("  {style}{mark}{style:#} "), "  ✗ ", BOLD, &told.title(" · "));
    let facts = facts(&check.it);
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
    for finding in findings.iter().take(MAX_FINDINGS) {
        let it = &finding.it;
        let style = color(match it.severity {
            Severity::Error => Status::Fail,
            Severity::Warning => Status::Inconclusive,
            Severity::Info => Status::Pass,
        });
        let lead = format!("{:<7}", it.severity.as_str());
        let place = if it.place.is_empty() { &finding.probe } else { &it.place };
        let title = format!("{}  {}", clip(&it.code, 40), clip(place, 200));
        out.item(&format!("  {style}{lead}{style:#} "), "          ", BOLD, &title);
        out.item("          ", "          ", Style::new(), &clip(&it.message, 400));
        if !it.advice.is_empty() {
            out.item("        → ", "        → ", DIM, &clip(&it.advice, 400));
        }
        for file in files(it, None) {
            out.item("          ", "          ", DIM, &file.name);
        }
    }
    more(out, findings.len(), MAX_FINDINGS);
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
