//! `modelwatch check`.

use std::sync::{Arc, atomic::AtomicBool};

use jiff::Timestamp;
use modelwatch_config::{self as config, Parsed, Severity};
use modelwatch_runtime::Options;

use super::{Code, Wrong, run, runtimes::runtimes};
use crate::{
    cli::{self, Format},
    output,
};

pub(crate) fn check(arguments: &cli::Check) -> anyhow::Result<Code> {
    let parsed = config::load(&arguments.pipeline, &arguments.overrides).map_err(|e| Wrong(e.to_string()))?;
    let Parsed { document, pipeline, mut diagnostics } = parsed;
    if let Some(pipeline) = &pipeline {
        let catalog = run::catalog(&arguments.plugins, Some(pipeline))?;
        let options = Options {
            catalog: &catalog,
            runtimes: &runtimes(),
            cancelled: Arc::new(AtomicBool::new(false)),
            preempted: Arc::default(),
            now: Timestamp::now(),
            on_event: &|_| {},
            keep: false,
        };
        let environment = !arguments.no_environment;
        diagnostics.extend(modelwatch_runtime::check(&document, pipeline, &options, environment));
    }
    match arguments.format {
        Format::Json => output::print(&config::to_json(&diagnostics, &document).to_string())?,
        _ if diagnostics.is_empty() => output::print(&format!("{} is fine", arguments.pipeline.display()))?,
        _ => run::complain(&document, &diagnostics),
    }
    let wrong = diagnostics.iter().any(|it| it.severity == Severity::Error);
    Ok(if wrong { Code::WRONG } else { Code::OK })
}
