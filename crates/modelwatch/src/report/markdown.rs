//! GitHub-flavored Markdown for pull requests and step summaries, of at most 1 MiB.

use std::{fmt::Write, path::Path};

use modelwatch_runtime::{RunRecord, Verdict, record::Of};
use modelwatch_sdk::report::{Metric, MetricRole, Status};

use super::{
    files::{FileView, files},
    text::{self, clip, count, counted, message, number, observed, range, seconds, signed},
    view,
};

const LIMIT: usize = 1 << 20;
const MAX_CHECKS: usize = 200;
const MAX_FINDINGS: usize = 50;
const MAX_METRICS: usize = 200;
const MAX_GAPS: usize = 50;

/// Returns the run as Markdown, which links to files from `at` where it has a place of its own.
pub(crate) fn markdown(record: &RunRecord, at: Option<&Path>) -> String {
    let mut res = String::new();
    head(&mut res, record);
    let bad: Vec<_> = view::WORST_FIRST[..4].iter().flat_map(|it| view::told(record, *it)).collect();
    checks(&mut res, &bad);
    findings(&mut res, record, at);
    list(&mut res, "Actions", record.actions.iter().map(|it| escape(&view::action_text(it))).collect(), MAX_GAPS);
    let gaps = view::gaps(record)
        .into_iter()
        .map(|it| format!("{} · {}: {}", code(&it.probe), escape(&clip(&it.what, 300)), escape(&clip(&it.why, 500))));
    list(&mut res, "Not covered", gaps.collect(), MAX_GAPS);
    let unmeasured = view::unmeasured(record).into_iter().map(|(probe, it)| {
        let names = it.metrics.iter().map(|metric| code(&text::name(metric, &it.labels))).collect::<Vec<_>>();
        format!("{} · {}: {}", code(probe), names.join(", "), escape(&clip(&it.why, 500)))
    });
    list(&mut res, "Not measured", unmeasured.collect(), MAX_GAPS);
    let passed = view::told(record, Status::Pass);
    if !passed.is_empty() {
        let open = if record.verdict == Verdict::Pass { " open" } else { "" };
        let _ = write!(res, "\n<details{open}><summary>{} passed</summary>\n", counted(passed.len(), "check"));
        checks(&mut res, &passed);
        res.push_str("\n</details>\n");
    }
    metrics(&mut res, record);
    if res.len() > LIMIT {
        let note = "\n\nThe rest is left out: it is longer than 1 MiB.\n";
        let end = res.floor_char_boundary(LIMIT - note.len());
        res.truncate(res[..end].rfind('\n').unwrap_or(end));
        res.push_str(note);
    }
    res
}

fn head(res: &mut String, record: &RunRecord) {
    let mark = if view::status(record) == Status::Pass { "✅" } else { "❌" };
    let _ = writeln!(res, "## {mark} {} · {}\n", view::verdict(record), escape(&clip(&record.pipeline.name, 200)));
    let mut parts = Vec::new();
    parts.extend(record.checkpoint.iter().map(|it| format!("checkpoint {}", code(&view::checkpoint(it)))));
    parts.extend(record.baseline.iter().map(|it| format!("baseline {}", code(&view::checkpoint(it)))));
    parts.push(seconds(record.timings.total));
    let _ = writeln!(res, "{}  \n{}", parts.join(" · "), escape(&view::counts(record)));
}

fn checks(res: &mut String, checks: &[view::Told<'_>]) {
    if checks.is_empty() {
        return;
    }
    res.push_str("\n| status | probe | metric | observed | required | n | |\n|---|---|---|--:|---|--:|---|\n");
    for told in checks.iter().take(MAX_CHECKS) {
        let it = &told.check.it;
        let range = escape(&range(it));
        let _ = writeln!(
            res,
            "| {} | {} | {} | {}{range} | {} | {} | {} |",
            it.status.as_str(),
            code(&told.probes()),
            code(&told.metric()),
            observed(it),
            code(&clip(&it.requirement, 200)),
            count(it.n),
            escape(&clip(message(it), 500)),
        );
    }
    more(res, checks.len(), MAX_CHECKS);
}

fn findings(res: &mut String, record: &RunRecord, at: Option<&Path>) {
    let all = view::findings(record).into_iter().map(|finding| {
        let it = &finding.it;
        let place = if it.place.is_empty() { &finding.probe } else { &it.place };
        let advice = if it.advice.is_empty() { "" } else { &format!("  \n  → {}", escape(&clip(&it.advice, 500))) };
        let (word, text) = (it.severity.as_str(), escape(&clip(&it.message, 500)));
        let files: Vec<_> = files(it, at).iter().map(link).collect();
        let files = if files.is_empty() { String::new() } else { format!("  \n  {}", files.join(" · ")) };
        format!("**{word}** {} {}: {text}{advice}{files}", code(&clip(&it.code, 40)), code(&clip(place, 200)))
    });
    list(res, "Findings", all.collect(), MAX_FINDINGS);
}

fn link(it: &FileView) -> String {
    match &it.href {
        Some(href) => format!("[{}]({href})", escape(&it.name)),
        None => code(&it.name),
    }
}

fn list(res: &mut String, title: &str, items: Vec<String>, limit: usize) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(res, "\n### {title}\n");
    for item in items.iter().take(limit) {
        let _ = writeln!(res, "- {item}");
    }
    more(res, items.len(), limit);
}

fn metrics(res: &mut String, record: &RunRecord) {
    let candidates: Vec<_> = record.metrics.iter().filter(|it| it.it.role == MetricRole::Candidate).collect();
    if candidates.is_empty() {
        return;
    }
    let _ = write!(res, "\n<details><summary>{}</summary>\n\n", counted(candidates.len(), "metric"));
    res.push_str("| probe | metric | candidate | baseline | difference | n |\n|---|---|--:|--:|--:|--:|\n");
    for metric in candidates.iter().take(MAX_METRICS) {
        let other = |role, show: fn(f64) -> String| {
            let same = |it: &&Of<Metric>| {
                let (left, right) = (&it.it, &metric.it);
                it.probe == metric.probe && left.role == role && left.name == right.name && left.labels == right.labels
            };
            record.metrics.iter().find(same).map(|it| show(it.it.value)).unwrap_or_default()
        };
        let _ = writeln!(
            res,
            "| {} | {} | {} | {} | {} | {} |",
            code(&clip(&metric.probe, 100)),
            code(&text::name(&metric.it.name, &metric.it.labels)),
            number(metric.it.value),
            other(MetricRole::Baseline, number),
            other(MetricRole::Difference, signed),
            count(metric.it.n),
        );
    }
    more(res, candidates.len(), MAX_METRICS);
    res.push_str("\n</details>\n");
}

fn more(res: &mut String, all: usize, shown: usize) {
    if all > shown {
        let _ = writeln!(res, "\n{} more in the report.", count((all - shown) as u64));
    }
}

/// Returns plain text in which nothing is Markdown, HTML or a mention.
fn escape(text: &str) -> String {
    let mut res = String::with_capacity(text.len());
    let mut before = ' ';
    for it in text::plain(text).chars() {
        match it {
            '<' => res.push_str("&lt;"),
            '>' => res.push_str("&gt;"),
            '&' => res.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => res.extend(['\\', it]),
            // A zero-width space keeps people from being notified.
            '@' if !before.is_alphanumeric() => res.push_str("@\u{200b}"),
            it => res.push(it),
        }
        before = it;
    }
    res
}

/// Returns a code span; its fence is longer than any run of backticks in it.
fn code(text: &str) -> String {
    let text = text::plain(text);
    if text.trim().is_empty() {
        return String::new();
    }
    let longest = text.split(|it| it != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", text.replace('|', "\\|"))
}
