//! What a drift report costs, from Parquet to verdict: beside its peers, beside reading the files, and as the files grow.
//!
//! `cargo xtask bench drift [ROWS]` builds the plugins and runs it; the larger files have ten times as many rows, of which there are
//! 1,000,000 unless said otherwise. The peers (`drift.py`) are measured where `MODELWATCH_PYTHON`, or else `python3`, has them.
//! It fails where a bound is missed.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)] // The numbers are what it is for.

mod process;

use std::{
    array, env,
    f64::consts::TAU,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    file::properties::WriterProperties,
};

use crate::process::{Cost, bound, ended, splitmix};

const PROGRAM: &str = env!("CARGO_BIN_EXE_modelwatch");
/// Rows of a row group, as the peers' own benchmark writes them.
const ROW_GROUP: usize = 1 << 17;
/// What is wanted of 1,000,000 rows beside as many, in seconds of processor time and megabytes.
const MOST_SECONDS: f64 = 1.7;
const MOST_MEGABYTES: f64 = 200.0;
/// How many times less than a peer, by its name in `drift.py`.
const TIMES_LESS: [(&str, f64); 3] = [("polars", 1.0), ("scipy", 4.0), ("evidently", 45.0)];
/// What it may cost beside reading the same file, and how its memory may grow while the rows become ten times as many.
const MOST_READS: f64 = 4.0;
const MOST_GROWTH: f64 = 1.2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let [what, file] = &arguments[..] {
        assert_eq!(what, "read");
        read(Path::new(file));
        return ExitCode::SUCCESS;
    }
    let n_rows = arguments.first().and_then(|it| it.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = folder.path();
    let reference = place.join("reference.parquet");
    let current = place.join("current.parquet");
    write(&reference, n_rows, 1, 0.0);
    write(&current, n_rows, 2, 0.15);

    println!("{n_rows} rows of 20 columns beside as many");
    let ours = verdict(&current, &reference);
    row("modelwatch", &ours);
    row("reading both files", &sum(reading(&reference), reading(&current)));
    bound("  its processor time", ours.processor, MOST_SECONDS * n_rows as f64 / 1e6, "s");
    bound("  its resident memory", ours.peak, MOST_MEGABYTES, "MB");
    peers(place, &ours);

    let profile = place.join("reference.mwp");
    let made = process::run(Command::new(PROGRAM).arg("profile").arg(&reference).arg("--output").arg(&profile));
    assert_eq!(made.code, Some(0), "the profile is not made");
    let large = place.join("large.parquet");
    write(&large, 10 * n_rows, 3, 0.15);
    println!("\nagainst the stored profile of the reference");
    let few = verdict(&current, &profile);
    row(&format!("{n_rows} rows"), &few);
    let many = verdict(&large, &profile);
    row(&format!("{} rows", 10 * n_rows), &many);
    let plain = reading(&large);
    row("reading that file", &plain);
    bound("  beside reading it", many.processor / plain.processor, MOST_READS, "times");
    bound("  growth of its memory", many.peak / few.peak, MOST_GROWTH, "times");
    ended()
}

fn row(name: &str, cost: &Cost) {
    let Cost { processor, seconds, peak, .. } = cost;
    println!("{name:<24} {processor:>8.2} s of processor time {seconds:>8.2} s {peak:>8.0} MB");
}

fn sum(one: Cost, other: Cost) -> Cost {
    Cost {
        code: one.code,
        seconds: one.seconds + other.seconds,
        processor: one.processor + other.processor,
        peak: one.peak.max(other.peak),
    }
}

/// The whole program: both sides are read, every column is judged, and the reports are written.
fn verdict(current: &Path, reference: &Path) -> Cost {
    let pipeline = current.with_file_name("pipeline.toml");
    let text = format!(
        "name = 'drift'\n\
         [data]\ncurrent = {{ path = '{}' }}\nreference = {{ path = '{}' }}\n\
         [[analyze]]\nuses = 'drift'\n",
        current.display(),
        reference.display()
    );
    fs::write(&pipeline, text).unwrap();
    let cost = process::run(Command::new(PROGRAM).arg("run").arg(&pipeline).arg("--quiet"));
    // Half of the columns drift, which may be a finding.
    assert!(matches!(cost.code, Some(0 | 1)), "the run ended with {:?}", cost.code);
    cost
}

/// Every column of the file is decoded, on one thread, in a process of its own, and nothing is done with it.
fn reading(file: &Path) -> Cost {
    let cost = process::run(Command::new(env::current_exe().unwrap()).arg("read").arg(file));
    assert_eq!(cost.code, Some(0), "the file is not read");
    cost
}

fn read(file: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let rows: usize = reader.with_batch_size(8_192).build().unwrap().map(|it| it.unwrap().num_rows()).sum();
    assert!(rows > 0);
}

/// The same files by the libraries of others, one line each.
fn peers(place: &Path, ours: &Cost) {
    let python = env::var("MODELWATCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/drift.py");
    for peer in ["polars", "scipy", "nannyml", "evidently"] {
        let cost = process::run(Command::new(&python).arg(&script).arg(peer).arg(place).stderr(Stdio::null()));
        if cost.code != Some(0) {
            println!("SKIPPED {peer}: `{python}` does not run it");
            continue;
        }
        row(peer, &cost);
        if let Some((_, times)) = TIMES_LESS.iter().find(|it| it.0 == peer) {
            bound("  ours beside it", ours.processor / cost.processor, 1.0 / times, "times");
        }
    }
}

/// Writes ten columns of floats, five of integers and five of categories, every second of which is moved by `drift`.
fn write(path: &Path, n_rows: usize, seed: u64, drift: f64) {
    let mut state = seed << 32;
    let mut uniform = move || (splitmix(&mut state) >> 11) as f64 / (1_u64 << 53) as f64;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let properties = properties.set_max_row_group_row_count(Some(ROW_GROUP)).build();
    let mut writer: Option<ArrowWriter<File>> = None;
    for start in (0..n_rows).step_by(ROW_GROUP) {
        let rows = ROW_GROUP.min(n_rows - start);
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for at in 0..20_usize {
            let moved = if at % 2 == 1 { drift } else { 0.0 };
            let column: ArrayRef = match at {
                0..10 => Arc::new(Float64Array::from_iter_values((0..rows).map(|_| {
                    let [one, other] = array::from_fn(|_| 1.0 - uniform());
                    let normal = (-2.0 * f64::ln(one)).sqrt() * (TAU * other).cos() + moved;
                    match at % 5 {
                        0 => normal,
                        1 => (3.0 + 0.8 * normal).exp(),
                        2 => -2.0 * other.ln(),
                        3 => (50.0 + 12.0 * normal).round(),
                        _ => normal.max(0.0),
                    }
                }))),
                10..15 => {
                    let range = 10_f64.powi(at as i32 - 8) * (1.0 + moved);
                    Arc::new(Int64Array::from_iter_values((0..rows).map(|_| (range * uniform()) as i64)))
                }
                _ => {
                    // The frequencies fall as the names rise.
                    let names: Vec<String> = (0..[2, 5, 20, 100, 1000][at - 15]).map(|it| format!("v{it}")).collect();
                    let power = 2.0 - moved;
                    let name = |u: f64| names[(names.len() as f64 * u.powf(power)) as usize].as_str();
                    Arc::new(StringArray::from_iter_values((0..rows).map(|_| name(uniform()))))
                }
            };
            columns.push((format!("c{at}"), column));
        }
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.clone())).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}
