//! `modelwatch history` and `modelwatch report`.

use std::path::Path;

use comfy_table::{Table, presets::NOTHING};
use modelwatch_runtime::history::History;

use super::{Code, Wrong, run};
use crate::{cli, output, report as reports};

pub(crate) fn history(arguments: &cli::History) -> anyhow::Result<Code> {
    let runs = open(&arguments.history)?.list(arguments.name.as_deref(), None, arguments.limit)?;
    let mut rows = Table::new();
    rows.load_style(NOTHING).set_header(["RUN", "PIPELINE", "VERDICT", "CHECKPOINT"]);
    for it in runs {
        let checkpoint = it.checkpoint.map(|it| it.chars().take(12).collect::<String>()).unwrap_or_default();
        let named = it.lineage.map_or_else(|| checkpoint.clone(), |lineage| format!("{lineage} {checkpoint}"));
        rows.add_row([it.run_id, it.pipeline, it.verdict, named]);
    }
    output::print(&rows.to_string())?;
    Ok(Code::OK)
}

pub(crate) fn report(arguments: &cli::Report) -> anyhow::Result<Code> {
    let record = open(&arguments.history)?.get(&arguments.run)?;
    let Some(record) = record else {
        return Err(Wrong(format!("there is no run `{}`; `modelwatch history` lists them", arguments.run)).into());
    };
    match &arguments.html {
        Some(path) => {
            run::write_file(path, &reports::html(&record, path)?)?;
            output::note(&format!("report: {}", path.display()));
        }
        None => run::show(&record, arguments.format)?,
    }
    Ok(Code::OK)
}

/// A history that is not there is a mistake in the command, and none is made.
fn open(path: &Path) -> anyhow::Result<History> {
    if !path.is_file() {
        return Err(Wrong(format!("there is no history `{}`; name it with `--history`", path.display())).into());
    }
    Ok(History::open(path)?)
}
