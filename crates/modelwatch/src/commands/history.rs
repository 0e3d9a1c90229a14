//! `modelwatch history` and `modelwatch report`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use modelwatch_config::{Origin, Override};
use modelwatch_runtime::history::{self, History};

use super::{Code, Wrong, run};
use crate::{cli, output, report as reports};

/// Names the database where neither an option nor a pipeline does.
const HISTORY_VARIABLE: &str = "MODELWATCH_HISTORY";

pub(crate) fn history(arguments: &cli::History) -> anyhow::Result<Code> {
    let Some(kept) = Kept::of(&arguments.history, arguments.pipeline.as_deref(), &arguments.overrides)? else {
        return Ok(Code::WRONG);
    };
    let name = arguments.name.as_deref().or(kept.pipeline.as_deref());
    let runs = kept.open()?.list(name, None, arguments.limit)?;
    let mut rows = Table::new();
    rows.load_style(NOTHING).set_header(["RUN", "PIPELINE", "VERDICT", "EXIT", "CHECKPOINT"]);
    for it in runs {
        let checkpoint = it.checkpoint.map(|it| it.chars().take(12).collect::<String>()).unwrap_or_default();
        let named = it.lineage.map_or_else(|| checkpoint.clone(), |lineage| format!("{lineage} {checkpoint}"));
        rows.add_row([it.run_id, it.pipeline, it.verdict, it.exit_code.to_string(), named]);
    }
    output::print(&rows.to_string())?;
    Ok(Code::OK)
}

pub(crate) fn report(arguments: &cli::Report) -> anyhow::Result<Code> {
    let Some(kept) = Kept::of(&arguments.history, arguments.pipeline.as_deref(), &arguments.overrides)? else {
        return Ok(Code::WRONG);
    };
    let pipeline = kept.pipeline.as_deref();
    let Some(record) = kept.open()?.get(pipeline, &arguments.run)? else {
        let of_pipeline = pipeline.map(|it| format!(" of the pipeline `{it}`")).unwrap_or_default();
        let message = format!("there is no run `{}`{of_pipeline}; `modelwatch history` lists them", arguments.run);
        return Err(Wrong(message).into());
    };
    match &arguments.html {
        Some(path) => {
            modelwatch_runtime::replaceable(path, "html")
                .map_err(Into::into)
                .and_then(|()| run::write_file(path, reports::html(&record, path)?))
                .with_context(|| format!("cannot write the report `{}`", path.display()))?;
            output::note(&format!("report: {}", path.display()));
        }
        // Its file may be another one by now.
        None => run::show(&record, arguments.format, &BTreeMap::new())?,
    }
    Ok(Code::OK)
}

/// Where runs are kept, and of which pipeline they are wanted.
struct Kept {
    file: PathBuf,
    pipeline: Option<String>,
}

impl Kept {
    /// Returns nothing where the command sets what cannot be set, and says so.
    fn of(arguments: &cli::HistoryFile, path: Option<&Path>, overrides: &[Override]) -> anyhow::Result<Option<Self>> {
        let parsed = path.map(|it| run::read(it, overrides)).transpose()?;
        // What is wrong with the file by now is no matter of its earlier runs, but its name is.
        if let Some(it) = &parsed {
            let of_command: Vec<_> = it.diagnostics.iter().filter(|it| it.origin != Origin::File).cloned().collect();
            if !of_command.is_empty() {
                run::complain(&it.document, &of_command, cli::Format::Human)?;
                return Ok(None);
            }
        }
        let pipeline = parsed.and_then(|it| it.pipeline.or(it.draft));
        if let (Some(path), Some("")) = (path, pipeline.as_ref().map(|it| &*it.name)) {
            let file = path.display();
            return Err(Wrong(format!("`{file}` has no `name` whose runs could be found; give it one")).into());
        }
        // A run keeps itself where its pipeline says, whatever the environment says.
        let file = arguments.history.clone().or_else(|| pipeline.as_ref().map(history::path_of));
        let file = file.or_else(|| std::env::var_os(HISTORY_VARIABLE).filter(|it| !it.is_empty()).map(PathBuf::from));
        let file = file.unwrap_or_else(|| Path::new(".modelwatch").join("history.db"));
        Ok(Some(Self { file, pipeline: pipeline.map(|it| it.name) }))
    }

    /// A history that is not there is a mistake in the command, and none is made.
    fn open(&self) -> anyhow::Result<History> {
        if !self.file.is_file() {
            let file = self.file.display();
            let help = "give the pipeline whose runs are wanted, or name the database with `--history`";
            return Err(Wrong(format!("there is no history `{file}`; {help}")).into());
        }
        Ok(History::read(&self.file)?)
    }
}
