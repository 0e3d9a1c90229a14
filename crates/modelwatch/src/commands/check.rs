//! `modelwatch check`.

use std::sync::{Arc, atomic::AtomicBool};

use jiff::Timestamp;
use modelwatch_config::{self as config, Diagnostic, Parsed, Severity};
use modelwatch_runtime::Options;

use super::{Code, run, runtimes::runtimes};
use crate::{
    cli::{self, Format, PluginDirs},
    output,
};

pub(crate) fn check(arguments: &cli::Check) -> anyhow::Result<Code> {
    let parsed = run::read(&arguments.pipeline, &arguments.overrides)?;
    let further = further(&parsed, &arguments.plugins, !arguments.no_environment)?;
    let Parsed { document, mut diagnostics, .. } = parsed;
    diagnostics.extend(further);
    config::sort_diagnostics(&mut diagnostics);
    match Format::from(arguments.format) {
        Format::Json => output::print(&config::to_json(&diagnostics, &document).to_string())?,
        _ if diagnostics.is_empty() => output::print(&format!("{} is fine", arguments.pipeline.display()))?,
        format => run::complain(&document, &diagnostics, format)?,
    }
    let wrong = diagnostics.iter().any(|it| it.severity == Severity::Error);
    Ok(if wrong { Code::WRONG } else { Code::OK })
}

/// Returns what the plugins, and the data and files if `environment` is set, say against a pipeline.
///
/// Of one whose file has errors, what does not follow from those is found as well, so that nobody has to come back.
pub(super) fn further(parsed: &Parsed, plugins: &PluginDirs, environment: bool) -> anyhow::Result<Vec<Diagnostic>> {
    let Some(pipeline) = parsed.pipeline.as_ref().or(parsed.draft.as_ref()) else { return Ok(Vec::new()) };
    let catalog = run::catalog(plugins, Some(pipeline))?;
    let options = Options {
        catalog: &catalog,
        runtimes: &runtimes(),
        cancelled: Arc::new(AtomicBool::new(false)),
        preempted: Arc::default(),
        now: Timestamp::now(),
        on_event: &|_| {},
        keep: false,
        allow_empty: false,
    };
    let document = &parsed.document;
    if parsed.pipeline.is_some() {
        return Ok(modelwatch_runtime::check(document, pipeline, &options, environment));
    }
    let found = modelwatch_runtime::check_draft(document, pipeline, &parsed.diagnostics, &options, environment);
    Ok(parsed.without_consequences(found))
}

/// Adds to the errors of a file what else is wrong.
pub(super) fn complete(parsed: &mut Parsed, plugins: &PluginDirs) {
    if parsed.draft.is_some()
        && let Ok(found) = further(parsed, plugins, true)
    {
        parsed.diagnostics.extend(found);
    }
}
