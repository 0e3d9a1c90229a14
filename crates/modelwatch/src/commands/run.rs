//! `modelwatch run`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use jiff::Timestamp;
use modelwatch_config::{self as config, Diagnostic, Document, Parsed, Pipeline, Probe};
use modelwatch_runtime::{
    Options, Outcome, Problem, RunRecord, history,
    plugin::{Catalog, SearchPath, WorkerProgram},
};
use modelwatch_sdk::report::MetricRole;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{Code, Wrong, check, runtimes::runtimes};
use crate::{
    cli::{self, Format, PluginDirs},
    output,
    progress::Progress,
    report::{self, text},
};

pub(crate) fn run(arguments: &cli::Run, quiet: bool) -> anyhow::Result<Code> {
    let mut parsed = read(&arguments.pipeline, &arguments.overrides)?;
    check::complete(&mut parsed, &arguments.plugins);
    let Some((document, pipeline)) = accept(parsed, arguments.format)? else { return Ok(Code::WRONG) };
    let catalog = catalog(&arguments.plugins, Some(&pipeline))?;
    let how = How { format: arguments.format, quiet, keep: true, allow_empty: arguments.allow_empty };
    execute(&document, &pipeline, &catalog, how)
}

/// How a run is shown and kept.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) format: Format,
    pub(super) quiet: bool,
    pub(super) keep: bool,
    pub(super) allow_empty: bool,
}

/// Reads a pipeline; prints what is wrong with it and returns `None` where something is.
pub(super) fn load(path: &Path, overrides: &[config::Override]) -> anyhow::Result<Option<(Document, Pipeline)>> {
    accept(read(path, overrides)?, Format::Human)
}

pub(super) fn read(path: &Path, overrides: &[config::Override]) -> anyhow::Result<Parsed> {
    Ok(config::load(path, overrides).map_err(|e| Wrong(output::said(&e.into())))?)
}

pub(super) fn accept(parsed: Parsed, format: Format) -> anyhow::Result<Option<(Document, Pipeline)>> {
    let Parsed { document, pipeline, diagnostics, .. } = parsed;
    if !diagnostics.is_empty() {
        complain(&document, &diagnostics, format)?;
    }
    Ok(pipeline.map(|it| (document, it)))
}

/// Says what is wrong with a pipeline from its top to its bottom, on a host of continuous integration at its place as well.
pub(super) fn complain(document: &Document, diagnostics: &[Diagnostic], format: Format) -> anyhow::Result<()> {
    let mut sorted = diagnostics.to_vec();
    config::sort_diagnostics(&mut sorted);
    if format == Format::Github {
        output::print(&report::diagnostics(&sorted, document))?;
    }
    let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    output::note(&format!("{}{}", config::render(&sorted, document, color), how_many(&sorted)));
    Ok(())
}

/// Counts errors and warnings, where the first of them may be out of sight.
fn how_many(diagnostics: &[Diagnostic]) -> String {
    if diagnostics.len() < 2 {
        return String::new();
    }
    let of = |severity, one| {
        let n = diagnostics.iter().filter(|it| it.severity == severity).count();
        (n > 0).then(|| text::counted(n, one))
    };
    let parts = [of(config::Severity::Error, "error"), of(config::Severity::Warning, "warning")];
    format!("\n{}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

pub(super) fn catalog(plugins: &PluginDirs, pipeline: Option<&Pipeline>) -> anyhow::Result<Catalog> {
    if let Some(it) = plugins.dirs.iter().find(|it| !it.is_dir()) {
        return Err(Wrong(format!("there is no plugin folder `{}`", it.display())).into());
    }
    let listed = pipeline.map_or(&[][..], |it| &it.plugins.dirs);
    let mut res = Catalog::load(&SearchPath::new(&plugins.dirs, listed));
    res.worker = WorkerProgram::this(vec!["worker".into()]).ok();
    Ok(res)
}

/// Says where there are no plugins and how to get some; nothing where there are any.
pub(super) fn without_plugins(catalog: &Catalog) -> Option<String> {
    if !catalog.plugins().is_empty() {
        return None;
    }
    let mut places: Vec<_> = catalog.folders().iter().map(|it| format!("`{}`", it.display())).collect();
    let beside = SearchPath::beside().filter(|it| !catalog.folders().contains(it));
    places.extend(beside.map(|it| format!("`{}`, which is not there", it.display())));
    Some(format!(
        "no plugin was loaded from {}; build them with `cargo xtask plugins` in a checkout of modelwatch, or name their folder with \
         `--plugin-dir` or in `MODELWATCH_PLUGIN_PATH`",
        places.join(" or ")
    ))
}

/// A flag that is set by an interruption, and one that is set before it where that is a preemption. A second
/// interruption ends the process at once, which the first one from a terminal says.
pub(super) fn cancel_on_signals() -> anyhow::Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    let (flag, preempted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(SIGTERM, Arc::clone(&preempted)).context("cannot listen for signals")?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .context("cannot listen for signals")?;
    }
    // Nobody sits before what is told to end by a service.
    let mut signals = Signals::new([SIGINT]).context("cannot listen for signals")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            output::interruption("ending in order; interrupt again to end at once");
        }
    });
    Ok((flag, preempted))
}

pub(super) fn execute(document: &Document, pipeline: &Pipeline, catalog: &Catalog, how: How) -> anyhow::Result<Code> {
    // Before anything is done: what nobody could read about must not move a ref.
    for (_, path) in pipeline.report.files() {
        writable(path)
            .with_context(|| format!("cannot write the report `{}`, so that nothing was run", path.display()))?;
    }
    let progress = Progress::new(how.quiet);
    let (cancelled, preempted) = cancel_on_signals()?;
    let options = Options {
        catalog,
        runtimes: &runtimes(),
        cancelled,
        preempted,
        now: Timestamp::now(),
        on_event: &|it| progress.show(&it),
        keep: how.keep,
        allow_empty: how.allow_empty,
    };
    let res = modelwatch_runtime::run(document, pipeline, &options);
    progress.end();
    match res {
        Ok(outcome) => conclude(document, pipeline, outcome, how),
        Err(Problem::Pipeline(it)) => {
            complain(document, &it, how.format)?;
            Ok(Code::WRONG)
        }
        Err(Problem::Interrupted { stored: Some(id) }) => {
            output::error(&format!("interrupted; {} was stored before, no ref was moved", id.short()));
            Ok(Code::INTERRUPTED)
        }
        Err(_) => {
            output::error("interrupted; no ref was moved");
            Ok(Code::INTERRUPTED)
        }
    }
}

fn conclude(document: &Document, pipeline: &Pipeline, outcome: Outcome, how: How) -> anyhow::Result<Code> {
    let mut ending = Ending { pipeline, outcome, keep: how.keep, reports: Vec::new() };
    if ending.outcome.history_error.is_some() {
        ending.not_all_written();
    }
    ending.write_reports();
    if ending.reports.iter().any(|it| it.written.is_err()) {
        ending.not_all_written();
    }
    let line = |it: &Probe| Some((it.id.clone(), document.line(&it.component.pointer)?));
    let shown = ending.show(how, &pipeline.probes.iter().filter_map(line).collect());
    if shown.is_err() {
        ending.not_all_written();
    }
    for Report { path, written, .. } in &ending.reports {
        match written {
            Ok(()) if how.quiet => {}
            Ok(()) => output::note(&format!("report: {}", output::shown(path))),
            Err(e) => output::error(&format!("cannot write the report `{}`: {}", path.display(), output::said(e))),
        }
    }
    if let Some(e) = &ending.outcome.history_error {
        output::error(&e.to_string());
    }
    shown?;
    Ok(Code(ending.outcome.record.exit_code))
}

/// The end of a run: what is kept of it says what the command ends with, which what cannot be kept changes.
struct Ending<'p> {
    pipeline: &'p Pipeline,
    outcome: Outcome,
    /// Whether it is in the history.
    keep: bool,
    reports: Vec<Report<'p>>,
}

/// A report of a run, and whether it is there.
struct Report<'p> {
    path: &'p Path,
    form: Form,
    written: anyhow::Result<()>,
}

impl<'p> Report<'p> {
    fn write(path: &'p Path, form: Form, record: &RunRecord) -> Self {
        Self { path, form, written: form(record, path).and_then(|text| write_file(path, text)) }
    }
}

impl Ending<'_> {
    /// Lets a run that went well end as one that was not done, also where it has been written down already.
    fn not_all_written(&mut self) {
        let Outcome { record, history_error, .. } = &mut self.outcome;
        if record.exit_code != Code::OK.0 {
            return;
        }
        record.exit_code = Code::NOT_DONE.0;
        if self.keep && history_error.is_none() {
            *history_error = history::replace(self.pipeline, record).err();
        }
        for it in self.reports.iter_mut().filter(|it| it.written.is_ok()) {
            *it = Report::write(it.path, it.form, record);
            if it.written.is_err() {
                // What is there says that all is well.
                let _ = fs::remove_file(it.path);
            }
        }
    }

    fn write_reports(&mut self) {
        let Outcome { record, has_store, .. } = &self.outcome;
        for (key, path) in self.pipeline.report.files() {
            let form = form(key);
            let is_first = !has_store && modelwatch_runtime::is_first_in_its_folder(path);
            let withheld = || {
                anyhow::anyhow!(
                    "it would be the first thing in an empty folder, as where a file system is not mounted, and the store \
                     is not there"
                )
            };
            self.reports.push(match is_first {
                true => Report { path, form, written: Err(withheld()) },
                false => Report::write(path, form, record),
            });
        }
    }

    fn show(&self, how: How, lines: &BTreeMap<String, usize>) -> anyhow::Result<()> {
        let record = &self.outcome.record;
        show(record, how.format, lines)?;
        if how.format == Format::Human && !how.keep {
            measured(record).map_or(Ok(()), |it| output::print(&it))?;
        }
        Ok(())
    }
}

/// The metrics of a run without a pipeline file, where the numbers are what was asked for; those of all rows first. Nothing where there are
/// none.
fn measured(record: &RunRecord) -> Option<String> {
    const MOST: usize = 60;
    let of = |role| record.metrics.iter().map(|it| &it.it).filter(move |it| it.role == role);
    let mut candidates: Vec<_> = of(MetricRole::Candidate).collect();
    candidates.sort_by_key(|it| !it.labels.is_empty());
    if candidates.is_empty() {
        return None;
    }
    // What has no baseline may be no model's either.
    let is_compared = of(MetricRole::Baseline).next().is_some();
    let mut table = Table::new();
    let heads: &[_] = if is_compared { &["METRIC", "CANDIDATE", "BASELINE", "N"] } else { &["METRIC", "VALUE", "N"] };
    table.load_style(NOTHING).set_header(heads);
    for it in candidates.iter().take(MOST) {
        let baseline = of(MetricRole::Baseline).find(|other| other.name == it.name && other.labels == it.labels);
        let baseline = is_compared.then(|| baseline.map(|it| text::number(it.value)).unwrap_or_default());
        let value = [text::name(&it.name, &it.labels), text::number(it.value)];
        table.add_row(value.into_iter().chain(baseline).chain([text::count(it.n)]));
    }
    let more = match candidates.len().saturating_sub(MOST) {
        0 => String::new(),
        1 => "\n1 more metric: `--format json`".to_owned(),
        n => format!("\n{n} more metrics: `--format json`"),
    };
    Some(format!("{table}{more}"))
}

/// Prints a record, of which the probes are at these lines of the pipeline's file.
pub(super) fn show(record: &RunRecord, format: Format, lines: &BTreeMap<String, usize>) -> anyhow::Result<()> {
    match format {
        Format::Human => output::print(&report::human(record, output::width())),
        Format::Json => output::print(&serde_json::to_string(record)?),
        Format::Github => {
            output::print(&report::github(record, lines))?;
            // Last, as it cannot be taken back.
            if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") {
                let appended = fs::OpenOptions::new().create(true).append(true).open(&path);
                appended
                    .and_then(|mut it| it.write_all(report::markdown(record, None).as_bytes()))
                    .with_context(|| format!("cannot append to `{}`", Path::new(&path).display()))?;
            }
            Ok(())
        }
    }
}

/// Finds out whether [`write_file`] could write the file, as far as can be told without making its folder.
fn writable(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(!path.is_dir(), "it is a folder");
    let folders = path.ancestors().skip(1).map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
    let nearest = folders.into_iter().find(|it| it.exists()).context("there is no folder above it")?;
    let staged = staged(&nearest.join(path.file_name().context("the path names no file")?))?;
    fs::write(&staged, "")?;
    fs::remove_file(&staged)?;
    Ok(())
}

/// Returns the text of a report that is to be at a path.
type Form = fn(&RunRecord, &Path) -> anyhow::Result<String>;

/// Returns the form of the report with a key of `[report]`.
fn form(key: &str) -> Form {
    match key {
        "html" => report::html,
        "junit" => |record, _| report::junit(record),
        "json" => |record, _| Ok(serde_json::to_string_pretty(record)?),
        _ => |record, path| Ok(report::markdown(record, Some(path))),
    }
}

/// Writes a file whole or not at all. A link stays one.
pub(super) fn write_file(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let path = &end_of_links(path);
    let staged = staged(path)?;
    let written = fs::write(&staged, content).and_then(|()| fs::rename(&staged, path));
    if written.is_err() {
        // It is nothing that anybody could use.
        let _ = fs::remove_file(&staged);
    }
    Ok(written?)
}

/// Returns where links lead from a path, be there a file or not.
fn end_of_links(path: &Path) -> PathBuf {
    const MOST: usize = 40;
    let mut res = path.to_owned();
    for _ in 0..MOST {
        let Ok(to) = fs::read_link(&res) else { break };
        res = res.parent().unwrap_or(Path::new("")).join(to);
    }
    res
}

/// Makes the folder of a file, and returns where it is written before it gets its name.
///
/// Not a temporary file of the system's kind: others may read a report.
fn staged(path: &Path) -> anyhow::Result<PathBuf> {
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let name = path.file_name().context("the path names no file")?.to_string_lossy();
    Ok(dir.join(format!(".{name}.{}", std::process::id())))
}
