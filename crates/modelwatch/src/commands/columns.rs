//! `modelwatch columns`: infers what columns have to be, and changes it by review.
//!
//! The rules are those of the analyzer `quality`, in the pipeline file, so that they are reviewed and kept like the rest of it. Nothing is asked:
//! without `--yes` the command only says what it would write.

mod review;

use std::{collections::BTreeMap, fs, num::NonZeroUsize, thread};

use anyhow::Context;
use comfy_table::{Table, presets::NOTHING};
use modelwatch_config::{self as config, Data, Document, Pipeline, Probe, ProbeKind, Source};
use modelwatch_runtime::{
    Event,
    data::Dataset,
    profile::{self, ObservedColumn, ProfileError, Request, Settings, is_profile, observe, observe_stored},
};
use serde_json::{Map, Value};

use self::review::{Change, Uses, review};
use super::{
    Code, Wrong, data_error,
    profile::failed,
    run::{self, cancel_on_signals, write_file},
};
use crate::{cli, output, progress::Progress};

/// The component whose rules they are.
const QUALITY: &str = "quality";

/// Longer values are cut.
const MAX_SHOWN: usize = 60;

pub(crate) fn columns(arguments: &cli::Columns, quiet: bool) -> anyhow::Result<Code> {
    // Values of the command line are no part of the file that is written.
    let Some((document, pipeline)) = run::load(&arguments.pipeline, &[])? else { return Ok(Code::WRONG) };
    let probe = probe(&pipeline, arguments.id.as_deref())?;
    let none = Map::new();
    let rules = probe.component.with.get("columns").and_then(Value::as_object).unwrap_or(&none);
    let source = source(&pipeline, arguments)?;
    let Some(observed) = observed(&pipeline, &source, quiet)? else {
        output::error("interrupted; nothing was written");
        return Ok(Code::INTERRUPTED);
    };
    let columns = pipeline.data.as_ref().map(|it| &it.columns);
    let uses = Uses {
        id: columns.and_then(|it| it.id.as_deref()),
        label: columns.and_then(|it| it.label.as_deref()),
        categorical: columns.map_or(&[], |it| &it.categorical),
    };
    let kept: Vec<_> = observed.into_iter().filter(|it| !is_left_out(&pipeline, probe, &it.name)).collect();
    let changes = review(rules, &kept, &uses);
    if changes.is_empty() {
        output::print(&format!("the rules of `{}` allow what is in `{}`", probe.id, source.path().display()))?;
        return Ok(Code::OK);
    }
    output::print(&shown(&changes))?;
    if !arguments.yes {
        output::note("nothing was written; say `--yes` to accept this");
        return Ok(Code::FAILED);
    }
    let text = edited(&document, probe, &changes)?;
    // Somebody may have saved the file meanwhile.
    let now = fs::read_to_string(&arguments.pipeline).context("cannot read the pipeline file again")?;
    if now != document.text() {
        return Err(
            Wrong(format!("`{}` was changed meanwhile; nothing was written", arguments.pipeline.display())).into()
        );
    }
    write_file(&arguments.pipeline, &text)
        .with_context(|| format!("cannot write the pipeline file `{}`", arguments.pipeline.display()))?;
    output::print(&format!("{} changes were written into `{}`", changes.len(), arguments.pipeline.display()))?;
    Ok(Code::OK)
}

/// Returns the analyzer whose rules are meant.
fn probe<'a>(pipeline: &'a Pipeline, id: Option<&str>) -> Result<&'a Probe, Wrong> {
    let is_quality = |it: &&Probe| {
        let name = it.component.uses.as_str();
        it.kind == ProbeKind::Analyzer && name.strip_prefix("analyzer/").unwrap_or(name) == QUALITY
    };
    let all: Vec<_> = pipeline.probes.iter().filter(is_quality).collect();
    let names = || all.iter().map(|it| format!("`{}`", it.id)).collect::<Vec<_>>().join(", ");
    match (all.as_slice(), id) {
        ([], _) => Err(Wrong(format!(
            "the pipeline has no analyzer `{QUALITY}`, whose rules could be inferred; add `[[analyze]]` with `uses = \"{QUALITY}\"`"
        ))),
        ([only], None) => Ok(only),
        (_, None) => Err(Wrong(format!("say with `--id` which one is meant of {}", names()))),
        (_, Some(id)) => all
            .iter()
            .find(|it| it.id == id)
            .copied()
            .ok_or_else(|| Wrong(format!("no analyzer `{QUALITY}` has the id `{id}`; there are {}", names()))),
    }
}

/// Returns the data that is looked at: what the command names, the reference, or the current data.
fn source(pipeline: &Pipeline, arguments: &cli::Columns) -> Result<Source, Wrong> {
    if let Some(it) = &arguments.data {
        let path = it.to_str().ok_or_else(|| Wrong(format!("`{}` is no text", it.display())))?;
        return Ok(Source::at(path));
    }
    let of = |it: &Data| it.reference.clone().or_else(|| it.current.clone());
    pipeline
        .data
        .as_ref()
        .and_then(of)
        .ok_or_else(|| Wrong("the pipeline has no data; name some with `--data`".to_owned()))
}

/// Returns what the columns of data are like; none where the work was interrupted.
fn observed(pipeline: &Pipeline, source: &Source, quiet: bool) -> anyhow::Result<Option<Vec<ObservedColumn>>> {
    if source.format.is_none() && is_profile(&source.path()) {
        return Ok(Some(observe_stored(&profile::open(&source.path()).map_err(failed)?)));
    }
    let dataset = Dataset::of(source).map_err(data_error)?;
    let has = |name: &String| dataset.schema().fields().iter().any(|it| it.name() == name);
    let declared = pipeline.data.iter().flat_map(|it| &it.columns.categorical).filter(|it| has(it));
    let categorical: Vec<_> = declared.cloned().collect();
    let progress = Progress::new(quiet);
    let (cancelled, _) = cancel_on_signals()?;
    progress.show(&Event::Phase("columns"));
    let made = profile::make(
        &dataset,
        &Request {
            // Nothing is stored, so that names may be as long as they are.
            settings: Settings { stored_bytes: usize::MAX, ..Settings::STORED },
            categorical: &categorical,
            outputs: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            cancelled: &cancelled,
            progress: &|done, total| progress.show(&Event::Rows { done, total }),
        },
    );
    progress.end();
    match made {
        Ok(it) => Ok(Some(observe(dataset.schema(), &it))),
        Err(ProfileError::Interrupted) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Returns whether the analyzer does not see the column.
fn is_left_out(pipeline: &Pipeline, probe: &Probe, name: &str) -> bool {
    let is_ignored = pipeline.data.iter().any(|it| it.columns.ignore.iter().any(|it| it == name));
    let excluded = probe.component.with.get("exclude").and_then(Value::as_array).into_iter().flatten();
    is_ignored || excluded.filter_map(Value::as_str).any(|it| modelwatch_sdk::rows::name_matches(it, name))
}

/// Returns the text of the pipeline with the changes.
fn edited(document: &Document, probe: &Probe, changes: &[Change]) -> Result<String, Wrong> {
    let pointer = |it: &Change| {
        let rule = config::pointer(&format!("{}/with/columns", probe.component.pointer), &it.column);
        it.option.map_or(rule.clone(), |option| format!("{rule}/{option}"))
    };
    let values: BTreeMap<_, _> = changes.iter().map(|it| (pointer(it), it.now.clone())).collect();
    document.edited(values).map_err(|e| Wrong(e.to_string()))
}

fn shown(changes: &[Change]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["COLUMN", "RULE", "BEFORE", "NOW"]);
    for it in changes {
        let before = it.before.as_ref().map(short).unwrap_or_default();
        match (it.option, &it.now) {
            (None, Value::Object(rule)) => {
                table.add_row([it.column.clone(), "new".to_owned(), String::new(), short_rule(rule)]);
            }
            (option, now) => {
                table.add_row([it.column.clone(), option.unwrap_or("new").to_owned(), before, short(now)]);
            }
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn short_rule(rule: &Map<String, Value>) -> String {
    let rule: BTreeMap<_, _> = rule.iter().collect();
    rule.iter().map(|(option, it)| format!("{option} = {}", short(it))).collect::<Vec<_>>().join(", ")
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
