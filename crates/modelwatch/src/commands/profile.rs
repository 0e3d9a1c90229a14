//! `modelwatch profile`.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use modelwatch_config::{self as config, Pipeline};
use modelwatch_runtime::{
    Event,
    data::Dataset,
    profile::{self, ColumnContents, Outputs, ProfileContents, ProfileError, Quantity, Request, Settings, Stored},
};

use super::{
    Code, Wrong, data_error, must_exist,
    probe::{below, of_path},
    refuse_existing,
    run::{accept, cancel_on_signals},
    runtimes::runtimes,
};
use crate::{
    cli::{self, MakeProfile, ProfileCommand, ShowFormat},
    output,
    progress::Progress,
};

/// Longer names of categories are cut.
const MAX_NAME: usize = 24;

pub(crate) fn profile(arguments: &cli::Profile, quiet: bool) -> anyhow::Result<Code> {
    match (&arguments.command, &arguments.make) {
        (Some(ProfileCommand::Show { file, format }), _) => {
            let stored = open(file)?;
            show(file, fs::metadata(file)?.len(), &stored, *format)
        }
        (Some(ProfileCommand::Merge { files, output }), _) => merge(files, output),
        (None, Some(it)) => make(it, quiet),
        (None, None) => Err(Wrong("name the data, as in `modelwatch profile DATA --output FILE`".to_owned()).into()),
    }
}

fn make(arguments: &MakeProfile, quiet: bool) -> anyhow::Result<Code> {
    refuse_existing(&arguments.output, "file")?;
    let pattern = arguments.data.to_str().ok_or_else(|| Wrong(format!("`{}` is no text", arguments.data.display())))?;
    let dataset = Dataset::open(pattern, None).map_err(data_error)?;
    let mut categorical = arguments.categorical.clone();
    let outputs = match &arguments.model {
        None => None,
        Some(it) => {
            must_exist(it)?;
            let Some(pipeline) = pipeline(arguments, it)? else { return Ok(Code::WRONG) };
            categorical.extend(pipeline.data.iter().flat_map(|it| it.columns.categorical.iter().cloned()));
            Some(Outputs::load(&pipeline, &dataset, &runtimes()).map_err(failed)?)
        }
    };
    let progress = Progress::new(quiet);
    let (cancelled, _) = cancel_on_signals()?;
    progress.show(&Event::Phase("profile"));
    let request = Request {
        settings: Settings { budget: arguments.budget, ..Settings::STORED },
        categorical: &categorical,
        outputs: outputs.as_ref(),
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        cancelled: &cancelled,
        progress: &|done, total| progress.show(&Event::Rows { done, total }),
    };
    let made = profile::make(&dataset, &request);
    progress.end();
    let stored = match made {
        Ok(it) => it,
        Err(ProfileError::Interrupted) => {
            output::error("interrupted; nothing was written");
            return Ok(Code::INTERRUPTED);
        }
        Err(e) => return Err(failed(e)),
    };
    let bytes = profile::save(&arguments.output, &stored).map_err(failed)?;
    show(&arguments.output, bytes, &stored, arguments.format)
}

/// The arguments as a pipeline, so that a model is found and run as in a run. `None` where it was complained about.
fn pipeline(arguments: &MakeProfile, model: &Path) -> anyhow::Result<Option<Pipeline>> {
    // A pipeline has a probe, which is not run here.
    let text = "name = 'profile'\n[checkpoint]\nname = 'profile'\n[[analyze]]\nuses = 'drift'\n";
    let mut overrides = below(&["data", "columns"], "--column", &arguments.columns)?;
    overrides.push(of_path("--model", model, &["checkpoint", "import"])?);
    overrides.push(of_path("profile", &arguments.data, &["data", "current", "path"])?);
    let options = [("--runtime", &arguments.runtime, "runtime"), ("--signature", &arguments.signature, "signature")];
    for (option, value, key) in options {
        if let Some(it) = value {
            overrides.push(config::Override::of_option(option, it, &["checkpoint", key], it.as_str()));
        }
    }
    let parsed = config::of_arguments(text, &overrides);
    Ok(accept(parsed, cli::Format::Human)?.map(|it| it.1))
}

fn merge(files: &[PathBuf], into: &Path) -> anyhow::Result<Code> {
    refuse_existing(into, "file")?;
    let parts: Vec<_> = files.iter().map(|it| open(it)).collect::<anyhow::Result<_>>()?;
    let stored = profile::merge(parts)?;
    let bytes = profile::save(into, &stored).map_err(failed)?;
    show(into, bytes, &stored, ShowFormat::Human)
}

fn open(file: &Path) -> anyhow::Result<Stored> {
    profile::open(file).map_err(failed)
}

/// Blames the arguments for what they name wrongly, and nobody for what is wrong with a file that is there.
pub(super) fn failed(error: ProfileError) -> anyhow::Error {
    match error {
        ProfileError::Data(e) => data_error(e),
        ProfileError::NoColumn { .. } | ProfileError::Inputs(_) | ProfileError::Exists { .. } => {
            Wrong(error.to_string()).into()
        }
        ProfileError::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Wrong(output::said(&error.into())).into()
        }
        e => e.into(),
    }
}

fn show(file: &Path, bytes: u64, stored: &Stored, format: ShowFormat) -> anyhow::Result<Code> {
    let contents = profile::describe(file, bytes, stored);
    match format {
        ShowFormat::Json => output::print(&serde_json::to_string_pretty(&contents)?)?,
        ShowFormat::Human => output::print(&human(&contents))?,
    }
    Ok(Code::OK)
}

fn human(profile: &ProfileContents) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["COLUMN", "KIND", "MISSING", "DISTINCT", "MEAN", "STD", "MIN", "MEDIAN", "MAX", "MOSTLY"]);
    for it in &profile.columns {
        table.add_row(row(it));
    }
    for at in 2..9 {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let kept = format!(
        "{}: {} rows, each of which counts once whatever it weighs, {} columns, {} bytes; up to {} different numbers of a column are exact, and up to {} of its most frequent categories",
        profile.file,
        profile.rows,
        profile.columns.len(),
        profile.bytes,
        profile.budget,
        profile.max_categories,
    );
    let lines = table.to_string();
    let lines: Vec<_> = lines.lines().map(str::trim_end).collect();
    let model = profile.model.as_ref().map(|it| {
        let signature = it.signature.as_ref().map_or_else(String::new, |it| format!(", signature `{it}`"));
        format!("\noutputs of the model {}{signature}, run by {}", modelwatch_sdk::store::short(&it.digest), it.runtime)
    });
    format!("{}\n\n{kept}{}", lines.join("\n"), model.unwrap_or_default())
}

fn row(column: &ColumnContents) -> Vec<Cell> {
    let number = |it: Option<f64>| Cell::new(it.map(short).unwrap_or_default());
    let quantity = |it: Option<Quantity>| Cell::new(it.map(shown).unwrap_or_default());
    let quartile = |at: usize| column.quartiles.map(|it| it[at]);
    let distinct = column.distinct.map(|it| {
        let about = if it.relative_error > 0.0 { "~" } else { "" };
        format!("{about}{}", it.value)
    });
    let (first, last) = match &column.times {
        Some([first, last]) => (Cell::new(first), Cell::new(last)),
        None => (quantity(quartile(0)), quantity(quartile(4))),
    };
    let missing = column.missing + column.not_a_number + column.infinite;
    vec![
        Cell::new(if column.is_output { format!("output {}", column.name) } else { column.name.clone() }),
        Cell::new(if column.kind.is_empty() { "nothing" } else { &column.kind }),
        Cell::new(if missing == 0 { String::new() } else { share(missing, column.rows) }),
        Cell::new(distinct.unwrap_or_default()),
        number(column.mean),
        number(column.standard_deviation),
        first,
        quantity(quartile(2)),
        last,
        Cell::new(column.categories.first().map(|it| mostly(it, column.rows)).unwrap_or_default()),
    ]
}

fn mostly((name, count): &(String, u64), rows: u64) -> String {
    let cut: String = name.chars().take(MAX_NAME).collect();
    let more = if cut.len() < name.len() { "…" } else { "" };
    format!("{cut}{more} {}", share(*count, rows))
}

fn share(count: u64, rows: u64) -> String {
    format!("{} %", short(100.0 * count as f64 / rows as f64))
}

/// Whole numbers in full, and others with four significant digits.
fn shown(it: Quantity) -> String {
    /// From here on, not every whole number is one of 64 bits.
    const GREATEST: f64 = 1.8e19;
    match it {
        Quantity::Whole(it) => it.to_string(),
        Quantity::Real(it) if it.fract() == 0.0 && it.abs() < GREATEST => format!("{it:.0}"),
        Quantity::Real(it) => short(it),
    }
}

/// A number with four significant digits.
fn short(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-4.0..9.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.0$}", (3.0 - magnitude).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
