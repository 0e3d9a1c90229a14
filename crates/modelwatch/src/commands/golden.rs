//! `modelwatch golden`: records outputs, and updates them by review.
//!
//! Nothing is asked, so that it does not wait for an answer where nobody is: without `--yes` an update only says what it would do.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::NOTHING};
use modelwatch_config::{Pipeline, ProbeKind};
use modelwatch_runtime::{
    plugin::Catalog,
    recording::{self, Existing, OutputReview, RecordError, Recorded, Review},
};
use modelwatch_sdk::store::CheckpointStore;
use serde_json::Value;

use super::{
    Code, Wrong, run,
    runtimes::runtimes,
    store::{closed, explained, store_named},
};
use crate::{cli, output, report::text::clip};

/// The component whose outputs are recorded.
const GOLDEN: &str = "golden";

/// The most characters of a row's id that are shown.
const SHOWN: usize = 80;

pub(crate) fn golden(arguments: &cli::Golden) -> anyhow::Result<Code> {
    let Some((_, pipeline)) = run::load(&arguments.pipeline, &arguments.overrides)? else { return Ok(Code::WRONG) };
    let (columns, [with_nan, with_infinity]) = columns(&pipeline)?;
    let catalog = run::catalog(&arguments.plugins, Some(&pipeline))?;
    let store = store(&pipeline, &catalog)?;
    let (cancelled, _) = run::cancel_on_signals()?;
    let settings = recording::Settings {
        columns: &columns,
        with_nan,
        with_infinity,
        into: &arguments.into,
        existing: match (arguments.update, arguments.yes) {
            (false, _) => Existing::Refuse,
            (true, false) => Existing::Review,
            (true, true) => Existing::Replace,
        },
        runtimes: &runtimes(),
        cancelled: &cancelled,
    };
    let into = arguments.into.display();
    let recorded = recording::record(&pipeline, store.as_deref(), &settings);
    // Where it ends with an error, the store is dropped, which logs what its end is like.
    let code = match recorded {
        Ok(Recorded { rows, review, is_written }) => {
            let changes = review.as_ref().is_some_and(Review::has_changes);
            if let Some(it) = review.filter(Review::has_changes) {
                output::print(&shown(&it))?;
            }
            let names: Vec<_> = columns.keys().map(String::as_str).collect();
            let names = names.join(", ");
            match (is_written, changes) {
                (true, _) => output::print(&format!("{rows} rows of {names} were recorded in `{into}`"))?,
                (false, true) => output::note("nothing was written; say `--update --yes` to accept this"),
                (false, false) => output::print(&format!("{rows} rows of {names} are as recorded in `{into}`"))?,
            }
            if changes && !is_written { Code::FAILED } else { Code::OK }
        }
        Err(RecordError::Interrupted) => {
            output::error(&RecordError::Interrupted.to_string());
            Code::INTERRUPTED
        }
        Err(
            e @ (RecordError::Exists { .. }
            | RecordError::Format { .. }
            | RecordError::Foreign { .. }
            | RecordError::Lacks { .. }),
        ) => {
            return Err(Wrong(e.to_string()).into());
        }
        Err(e) => return Err(e.into()),
    };
    Ok(store.map_or(code, |mut it| closed(it.as_mut(), code)))
}

/// Returns the column of each output, and whether NaN and infinities may be in it.
fn columns(pipeline: &Pipeline) -> anyhow::Result<(BTreeMap<String, String>, [bool; 2])> {
    let mut res: BTreeMap<String, String> = BTreeMap::new();
    let mut allowed = [true; 2];
    let is_golden = |kind, uses: &str| kind == ProbeKind::Verifier && uses == GOLDEN;
    for probe in pipeline.probes.iter().filter(|it| is_golden(it.kind, &it.component.uses)) {
        let with = &probe.component.with;
        for (allowed, option) in allowed.iter_mut().zip(["equal_nan", "equal_infinity"]) {
            *allowed &= with.get(option).and_then(Value::as_bool).unwrap_or(false);
        }
        let outputs = with.get("outputs").and_then(Value::as_object).into_iter().flatten();
        for (name, column) in outputs.filter_map(|(name, it)| Some((name, it.as_str()?))) {
            if res.insert(name.clone(), column.to_owned()).is_some_and(|it| it != column) {
                return Err(Wrong(format!("output `{name}` is to be recorded in two columns")).into());
            }
        }
    }
    if res.is_empty() {
        let message = "the pipeline has no verifier `golden` with `outputs`, so that there is nothing to record; \
                       add one, as `with = { outputs = { probabilities = \"expected\" } }`";
        return Err(Wrong(message.to_owned()).into());
    }
    Ok((res, allowed))
}

fn store(pipeline: &Pipeline, catalog: &Catalog) -> anyhow::Result<Option<Box<dyn CheckpointStore>>> {
    // A model that is imported is recorded as it comes; nothing is stored for that.
    let is_stored = matches!(pipeline.checkpoint, Some(modelwatch_config::CheckpointSource::Stored { .. }));
    let Some(component) = pipeline.store.as_ref().filter(|_| is_stored) else { return Ok(None) };
    let found = store_named(catalog, &component.uses)?;
    Ok(Some(found.open_store(&found.resolved(&component.with, &pipeline.root)).map_err(explained)?))
}

fn shown(review: &Review) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["OUTPUT", "ROWS", "CHANGED", "MAX ABS", "MAX REL"]);
    for (name, it) in &review.outputs {
        let row = if it.is_new {
            [name.clone(), "new".to_owned(), String::new(), String::new(), String::new()]
        } else {
            let number = |value: f64| if it.is_text { "-".to_owned() } else { format!("{value:.3e}") };
            let (rows, changed) = (it.rows.to_string(), it.changed_rows.to_string());
            [name.clone(), rows, changed, number(it.max_absolute), number(it.max_relative)]
        };
        table.add_row(row);
    }
    let worst: String = review.outputs.iter().map(|(name, it)| worst(name, it)).collect();
    format!("{table}{worst}")
}

fn worst(name: &str, review: &OutputReview) -> String {
    let line = |it: &recording::WorstRow| {
        let row = clip(&it.row, SHOWN);
        format!("\n{name} of row {row}: element {} goes from {} to {}", it.element, it.before, it.now)
    };
    review.worst.iter().map(line).collect()
}
