//! One page that needs nothing else: no script, no network, inline SVG, light and dark, printable.

use std::path::Path;

use askama::Template;
use modelwatch_runtime::{
    RunRecord,
    record::{ActionStatus, ModelRecord, Of, ProbeCoverage},
};
use modelwatch_sdk::report::{FILES, FigureData, Finding, Severity, Status};
use serde_json::Value;

use self::tables::{Table, metric_tables};
use super::{
    files::{FileView, files},
    svg,
    text::{self, bytes, clip, count, counted, digits, message, observed, plain, range, seconds, short},
    view,
};

mod tables;

/// A page is never larger.
const MAX_BYTES: usize = 1_000_000;

/// Returns the run as a page of less than 1 MB, which is to be at `at`: it links to files from there.
///
/// # Errors
/// When the template cannot be rendered.
pub(crate) fn html(record: &RunRecord, at: &Path) -> anyhow::Result<String> {
    let mut limits = Limits { checks: 400, findings: 150, metrics: 1500, figures: 60, rows: 500, text: 1000 };
    loop {
        let page = page(record, &limits, at).render()?;
        if page.len() < MAX_BYTES || limits.text < 20 {
            return Ok(page);
        }
        limits = limits.halved();
    }
}

/// How much is shown.
struct Limits {
    /// Checks of a status.
    checks: usize,
    findings: usize,
    /// Rows of all tables of metrics.
    metrics: usize,
    figures: usize,
    /// Rows of a table among the figures, and of a list.
    rows: usize,
    /// Characters of a text.
    text: usize,
}

impl Limits {
    fn halved(&self) -> Self {
        Self {
            checks: self.checks / 2,
            findings: self.findings / 2,
            metrics: self.metrics / 2,
            figures: self.figures / 2,
            rows: self.rows / 2,
            text: self.text / 2,
        }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    verdict: &'static str,
    /// The status of the whole run.
    status: &'static str,
    /// What it ended with, where that is something else.
    but: String,
    pipeline: String,
    digest: Option<(String, String)>,
    run_id: String,
    started: String,
    total: String,
    /// What was judged, and against what.
    judged: Vec<(&'static str, String)>,
    checkpoints: Vec<[String; 5]>,
    tiles: Vec<(String, String)>,
    groups: Vec<Group>,
    n_checks: String,
    findings: Vec<FindingView>,
    n_findings: usize,
    metrics: Vec<(String, Vec<Table>)>,
    /// How many there are; nothing where there are none.
    n_metrics: String,
    metrics_left_out: usize,
    figures: Vec<FigureView>,
    n_figures: usize,
    actions: Vec<(&'static str, String)>,
    probes: Vec<ProbeView>,
    gaps: Vec<[String; 3]>,
    is_covered: bool,
    gaps_left_out: usize,
    /// Probe, metrics, what they are of, and why.
    unmeasured: Vec<[String; 4]>,
    unmeasured_left_out: usize,
    models: Vec<ModelView>,
    timings: Vec<Timing>,
}

struct Group {
    status: &'static str,
    title: &'static str,
    open: bool,
    left_out: usize,
    n: usize,
    rows: Vec<CheckView>,
}

struct CheckView {
    probe: String,
    metric: String,
    observed: String,
    interval: String,
    requirement: String,
    n: String,
    message: String,
}

struct FindingView {
    severity: &'static str,
    code: String,
    probe: String,
    place: String,
    message: String,
    advice: String,
    evidence: Vec<(String, String)>,
    files: Vec<FileView>,
}

struct FigureView {
    probe: String,
    title: String,
    caption: String,
    svg: String,
    table: Option<Table>,
    note: String,
}

struct ProbeView {
    id: String,
    kind: String,
    uses: String,
    status: &'static str,
    said: &'static str,
    checks: String,
    measured: Vec<String>,
    message: String,
}

struct ModelView {
    role: String,
    file: String,
    format: String,
    runtime: String,
    parameters: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    operators: String,
}

struct Timing {
    kind: &'static str,
    name: String,
    time: String,
    percent: String,
}

fn page(record: &RunRecord, limits: &Limits, at: &Path) -> Page {
    let (metrics, metrics_left_out) = metric_tables(record, limits.metrics, limits.text);
    let (gaps, unmeasured) = (view::gaps(record), view::unmeasured(record));
    Page {
        verdict: record.verdict.as_str(),
        status: view::status(record).as_str(),
        but: view::but(record).unwrap_or_default(),
        pipeline: clip(&record.pipeline.name, 200),
        digest: record.pipeline.digest.as_ref().map(|it| (clip(it, 100), short(it))),
        run_id: clip(&record.run_id, 200),
        started: started(&record.timings.started),
        total: seconds(record.timings.total),
        judged: [("checkpoint", &record.checkpoint), ("against", &record.baseline)]
            .into_iter()
            .filter_map(|(role, it)| Some((role, clip(&view::checkpoint(it.as_ref()?), 200))))
            .collect(),
        checkpoints: checkpoints(record),
        tiles: tiles(record),
        groups: view::WORST_FIRST.iter().filter_map(|it| group(record, *it, limits)).collect(),
        n_checks: count(record.checks.len() as u64),
        findings: view::findings(record).into_iter().take(limits.findings).map(|it| finding(it, limits, at)).collect(),
        n_findings: record.findings.len(),
        metrics,
        n_metrics: if record.metrics.is_empty() { String::new() } else { count(record.metrics.len() as u64) },
        metrics_left_out,
        figures: figures(record, limits),
        n_figures: record.figures.len(),
        actions: record
            .actions
            .iter()
            .take(limits.rows)
            .map(|it| (action_class(it.status), marked(&view::action_text(it))))
            .collect(),
        probes: record.coverage.probes.iter().take(limits.rows).map(|it| probe(it, limits)).collect(),
        is_covered: record.coverage.gaps.is_empty()
            && unmeasured.is_empty()
            && record.coverage.probes.iter().all(|it| it.status != Status::Error),
        gaps_left_out: gaps.len().saturating_sub(limits.rows),
        gaps: gaps
            .into_iter()
            .take(limits.rows)
            .map(|it| [clip(&it.probe, 100), marked(&clip(&it.what, limits.text)), marked(&clip(&it.why, limits.text))])
            .collect(),
        unmeasured_left_out: unmeasured.len().saturating_sub(limits.rows),
        unmeasured: unmeasured
            .into_iter()
            .take(limits.rows)
            .map(|(probe, it)| {
                let names = clip(&it.metrics.join(", "), limits.text);
                [clip(probe, 100), names, clip(&text::of(&it.labels), 300), marked(&clip(&it.why, limits.text))]
            })
            .collect(),
        models: record.models.iter().take(20).map(|it| model(it, limits)).collect(),
        timings: timings(record, limits),
    }
}

/// Returns a time without the parts of its second.
fn started(time: &str) -> String {
    let of_day = |clock: &str| clock.split(['.', 'Z']).next().map(str::to_owned);
    let split = time.split_once('T').and_then(|(day, clock)| Some(format!("{day} {} UTC", of_day(clock)?)));
    clip(&split.unwrap_or_else(|| time.to_owned()), 60)
}

fn checkpoints(record: &RunRecord) -> Vec<[String; 5]> {
    let all = [("candidate", &record.checkpoint), ("baseline", &record.baseline)];
    let known = all.into_iter().filter_map(|(role, it)| Some((role, it.as_ref()?)));
    let view = |(role, it): (&str, &modelwatch_runtime::record::CheckpointRecord)| {
        let id = it.id.as_deref().unwrap_or("not stored");
        let size = format!("{}, {}", counted(usize::try_from(it.files).unwrap_or(usize::MAX), "file"), bytes(it.bytes));
        let lineage = it.lineage.as_deref().unwrap_or("–");
        [role.to_owned(), clip(id, 80), clip(lineage, 100), clip(&it.source, 300), size]
    };
    known.map(view).collect()
}

fn tiles(record: &RunRecord) -> Vec<(String, String)> {
    let passed = view::checks(record, Status::Pass).len();
    let mut res = vec![(format!("{passed} / {}", record.checks.len()), "checks passed".to_owned())];
    for severity in [Severity::Error, Severity::Warning] {
        let n = record.findings.iter().filter(|it| it.it.severity == severity).count();
        res.push((n.to_string(), format!("findings of severity {}", severity.as_str())));
    }
    res.extend(record.coverage.rows.iter().map(|(role, n)| (count(*n), format!("{} rows", clip(role, 40)))));
    res.extend(record.coverage.tensors.iter().map(|(role, n)| (count(*n), format!("{} tensors", clip(role, 40)))));
    res.truncate(10);
    res
}

fn group(record: &RunRecord, status: Status, limits: &Limits) -> Option<Group> {
    let checks = view::told(record, status);
    let view = |told: &view::Told<'_>| {
        let it = &told.check.it;
        CheckView {
            probe: told.probes(),
            metric: told.metric(),
            observed: observed(it),
            interval: range(it).trim_start().to_owned(),
            requirement: clip(&it.requirement, 200),
            n: count(it.n),
            message: marked(&clip(message(it), limits.text)),
        }
    };
    (!checks.is_empty()).then(|| Group {
        status: status.as_str(),
        title: match status {
            Status::Error => "Could not be carried out",
            Status::Fail => "Failed",
            Status::Inconclusive => "Inconclusive",
            Status::NotChecked => "Not checked",
            Status::Pass => "Passed",
        },
        open: status != Status::Pass || checks.len() == record.checks.len() || checks.len() <= 12,
        left_out: checks.len().saturating_sub(limits.checks),
        n: view::checks(record, status).len(),
        rows: checks.iter().take(limits.checks).map(view).collect(),
    })
}

/// Returns plain text as HTML, with what is between backticks set as code.
fn marked(text: &str) -> String {
    let parts: Vec<_> = text.split('`').map(svg::escape).collect();
    let Some((last, pairs)) = parts.split_last().filter(|it| it.1.len() % 2 == 0) else {
        // One that has no other one is a character like any other.
        return parts.join("`");
    };
    let pairs = pairs.chunks(2).map(|it| format!("{}<code>{}</code>", it[0], it[1]));
    pairs.collect::<String>() + last
}

/// Returns evidence as people read it: lists without brackets, numbers without noise.
fn evidence(value: &Value) -> String {
    match (value, value.as_f64()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(it)) => digits(it, 6),
        (Value::Array(all), _) => all.iter().map(evidence).collect::<Vec<_>>().join(", "),
        (Value::Object(all), _) => {
            all.iter().map(|(key, it)| format!("{key}: {}", evidence(it))).collect::<Vec<_>>().join(", ")
        }
        (Value::Null, _) => "–".to_owned(),
        _ => value.to_string(),
    }
}

fn finding(it: &Of<Finding>, limits: &Limits, at: &Path) -> FindingView {
    let known = it
        .it
        .evidence
        .iter()
        .filter(|it| it.0 != FILES)
        .take(16)
        .map(|(key, value)| (clip(key, 60), clip(&evidence(value), limits.text.min(200))));
    FindingView {
        severity: it.it.severity.as_str(),
        code: clip(&it.it.code, 40),
        probe: clip(&it.probe, 100),
        place: clip(&it.it.place, 200),
        message: marked(&clip(&it.it.message, limits.text)),
        advice: marked(&clip(&it.it.advice, limits.text)),
        evidence: known.collect(),
        files: files(&it.it, Some(at)),
    }
}

fn figures(record: &RunRecord, limits: &Limits) -> Vec<FigureView> {
    let view = |(idx, figure): (usize, &Of<modelwatch_sdk::report::Figure>)| {
        let mut res = FigureView {
            probe: clip(&figure.probe, 100),
            title: svg::title(&figure.it),
            caption: marked(&clip(&figure.it.caption, limits.text)),
            svg: String::new(),
            table: None,
            note: String::new(),
        };
        match (svg::draw(&figure.it, idx), &figure.it.data) {
            (Some(Ok(drawing)), _) => (res.svg, res.note) = (drawing.svg, drawing.note),
            (Some(Err(note)), _) => res.note = note,
            (None, FigureData::Table { columns, rows }) => {
                if rows.is_empty() {
                    res.note = "the table is empty".to_owned();
                } else if rows.len() > limits.rows {
                    res.note = format!("the first {} of {} rows are shown", limits.rows, rows.len());
                }
                res.table = Some(Table::of_text(columns, &rows[..rows.len().min(limits.rows)]));
            }
            (None, _) => {}
        }
        res
    };
    record.figures.iter().take(limits.figures).enumerate().map(view).collect()
}

fn action_class(it: ActionStatus) -> &'static str {
    match it {
        ActionStatus::Done => "pass",
        ActionStatus::NotNeeded => "info",
        ActionStatus::Conflict | ActionStatus::Failed => "fail",
    }
}

fn probe(it: &ProbeCoverage, limits: &Limits) -> ProbeView {
    ProbeView {
        id: clip(&it.id, 100),
        kind: clip(&it.kind, 40),
        uses: clip(&it.uses, 100),
        status: it.status.as_str(),
        // What came of its checks is said with these.
        said: if it.status == Status::Pass { "complete" } else { it.status.as_str() },
        checks: count(it.checks),
        measured: it.measured.iter().map(|(label, n)| format!("{} ×{}", clip(label, 40), count(*n))).collect(),
        message: marked(&clip(&it.message, limits.text)),
    }
}

fn model(it: &ModelRecord, limits: &Limits) -> ModelView {
    let operators = it.operators.iter().take(limits.rows).map(|(name, n)| format!("{} ×{n}", clip(name, 60)));
    let list = |it: &[String]| it.iter().take(50).map(|it| clip(it, 200)).collect();
    ModelView {
        role: clip(&it.role, 40),
        file: clip(&it.file, 200),
        format: clip(&it.format, 40),
        runtime: clip(&it.runtime, 100),
        parameters: count(it.parameters),
        inputs: list(&it.inputs),
        outputs: list(&it.outputs),
        operators: operators.collect::<Vec<_>>().join(", "),
    }
}

fn timings(record: &RunRecord, limits: &Limits) -> Vec<Timing> {
    let all = || {
        let phases = record.timings.phases.iter().map(|it| ("phase", it));
        phases.chain(record.timings.probes.iter().map(|it| ("probe", it)))
    };
    let longest = all().map(|it| *it.1.1).filter(|it| it.is_finite()).fold(1e-9, f64::max);
    let view = |(kind, (name, time)): (&'static str, (&String, &f64))| Timing {
        kind,
        name: plain(&clip(name, 100)),
        time: seconds(*time),
        percent: digits(if time.is_finite() { (100.0 * time / longest).clamp(0.0, 100.0) } else { 0.0 }, 3),
    };
    all().take(limits.rows).map(view).collect()
}
