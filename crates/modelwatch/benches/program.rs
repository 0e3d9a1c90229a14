//! What the whole program costs: to start, and the memory of a pipeline over a file that is larger than what it may take.
//!
//! `cargo xtask bench program [MB]` builds the plugins and runs it; the file has 2,000 MB unless said otherwise.
//! It fails where a bound is missed.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)] // The numbers are what it is for.

mod process;

use std::{
    env,
    fs::{self, File},
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use crate::process::{bound, ended, splitmix};

const PROGRAM: &str = env!("CARGO_BIN_EXE_modelwatch");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tabular/breast_cancer");
/// What is wanted.
const MOST_MILLISECONDS: f64 = 50.0;
const MOST_MEGABYTES: f64 = 400.0;
/// A common size of a row group: the default of the writer.
const ROW_GROUP: usize = 1 << 20;

fn main() -> ExitCode {
    let megabytes = env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(2_000);
    starting();
    memory(megabytes);
    ended()
}

fn starting() {
    let mut all: Vec<f64> = (0..21)
        .map(|_| {
            let cost = process::run(Command::new(PROGRAM).arg("--help"));
            assert_eq!(cost.code, Some(0));
            cost.seconds * 1e3
        })
        .collect();
    all.sort_by(f64::total_cmp);
    bound("`modelwatch --help`, median", all[all.len() / 2], MOST_MILLISECONDS, "ms");
}

/// Metrics of a model and drift of all columns over a file of so many megabytes.
fn memory(megabytes: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("rows.parquet");
    let n_rows = write(&data, megabytes * 1_000_000);
    let size = fs::metadata(&data).unwrap().len() as f64 / 1e6;
    let pipeline = folder.path().join("pipeline.toml");
    let text = format!(
        "name = 'memory'\n\
         checkpoint = {{ import = '{FIXTURES}/logreg.onnx', name = 'm' }}\n\
         [data.current]\npath = 'rows.parquet'\n\
         [data.reference]\npath = '{FIXTURES}/train.csv'\n\
         [data.columns]\nlabel = 'label'\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
         [[analyze]]\nuses = 'drift'\n"
    );
    fs::write(&pipeline, text).unwrap();
    let cost = process::run(Command::new(PROGRAM).arg("run").arg(&pipeline).arg("--quiet"));
    // Made-up rows drift, which is a finding.
    assert!(matches!(cost.code, Some(0 | 1)), "the run ended with {:?}", cost.code);
    println!(
        "a pipeline over {n_rows} rows in {size:.0} MB of Parquet took {:.0} s, {:.0} s of processor time",
        cost.seconds, cost.processor
    );
    bound("its resident memory", cost.peak, MOST_MEGABYTES, "MB");
}

/// Writes so many bytes of made-up rows with the columns of the fixture, and returns how many rows they are.
fn write(path: &Path, bytes: usize) -> usize {
    let header = fs::read_to_string(format!("{FIXTURES}/test.csv")).unwrap();
    let names: Vec<&str> = header.lines().next().unwrap().split(',').collect();
    let n_rows = bytes / (8 * names.len());
    let mut state = 1_u64;
    // Nothing that could be packed.
    let mut next = || splitmix(&mut state);
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(ROW_GROUP));
    let properties = properties.build();
    let mut writer = None;
    for start in (0..n_rows).step_by(1 << 16) {
        let rows = (n_rows - start).min(1 << 16);
        let mut column = |name: &str| -> ArrayRef {
            if name == "label" {
                return Arc::new((0..rows).map(|_| (next() & 1) as i64).collect::<Int64Array>());
            }
            Arc::new((0..rows).map(|_| next() as f64 / 2_f64.powi(64)).collect::<Float64Array>())
        };
        let batch = RecordBatch::try_from_iter(names.iter().map(|it| (*it, column(it)))).unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.clone())).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
    n_rows
}
