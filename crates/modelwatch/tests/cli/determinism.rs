//! Threads and batch sizes never show in a result.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::WriterProperties,
};

use crate::support::{Project, fixtures};

/// Rows around those of the breast cancer data, in row groups of uneven use to batches.
pub(crate) fn write(path: &Path, seed: u64, rows: usize) {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let text = std::fs::read_to_string(fixtures().join("tabular/breast_cancer/test.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let table: Vec<Vec<f64>> = lines.map(|it| it.split(',').map(|it| it.parse().unwrap()).collect()).collect();
    let picked: Vec<usize> = (0..rows).map(|_| (next() * table.len() as f64) as usize).collect();
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for (at, &name) in names.iter().enumerate() {
        let values = picked.iter().map(|&row| table[row][at]);
        columns.push(if name == "label" {
            (name, Arc::new(values.map(|it| it as i64).collect::<Int64Array>()))
        } else {
            (name, Arc::new(values.map(|it| it * (0.97 + 0.06 * next())).collect::<Float64Array>()))
        });
    }
    let site: StringArray = (0..rows).map(|_| Some(if next() < 0.3 { "a" } else { "b" })).collect();
    columns.push(("site", Arc::new(site)));
    columns.push(("row", Arc::new((0..rows as i64).collect::<Int64Array>())));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    write_batches(path, &[batch]);
}

fn write_batches(path: &Path, batches: &[RecordBatch]) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1700)).build();
    let schema = batches[0].schema();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, Some(properties)).unwrap();
    batches.iter().for_each(|it| writer.write(it).unwrap());
    writer.close().unwrap();
}

/// The probes that have a say without what was recorded.
const PROBES: &str = "\
    [[verify]]\nuses = 'metrics'\nwith = { task = 'binary', output = 'probabilities' }\n\
    require = { accuracy = '>= 0.5', log_loss = '<= baseline + 10 with confidence 99%' }\n\
    [[verify]]\nuses = 'behavior'\n[verify.with]\noutput = 'probabilities'\n\
    invariance = [{ name = 'noise', change = { noise = 0.5 }, tolerance = 0.1, share = 0.1 }]\n\
    [[verify]]\nuses = 'contract'\nwith = { rows = 40 }\n\
    [[analyze]]\nuses = 'drift'\n\
    [[analyze]]\nuses = 'performance'\nwith = { task = 'binary', output = 'probabilities' }\n\
    [[analyze]]\nuses = 'stream'\n[analyze.with]\nwatch = ['columns', 'predictions', 'errors']\n\
    output = 'probabilities'\n";

const GOLDEN: &str =
    "[[verify]]\nuses = 'golden'\nwith = { outputs = { probabilities = 'expected' }, ignore_extra = ['label'] }\n";

/// Those that look at models, weights and whole rows.
const OTHERS: &str = "\
    [[verify]]\nuses = 'numerics'\nwith = { edges = ['zeros', 'greatest'], fits = 'f16' }\n\
    [[verify]]\nuses = 'differential'\n\
    [[analyze]]\nuses = 'weights'\n\
    [[analyze]]\nuses = 'quality'\nwith = { slices = ['site'], max_rows = 8000 }\n\
    [[analyze]]\nuses = 'multivariate'\nwith = { permutations = 99, rows = 200 }\n";

/// The rows with the outputs that were recorded for them.
const RECORDED: &str = "golden.parquet";

/// Returns a pipeline over these rows, without its probes.
fn pipeline(current: &str, run: &str) -> String {
    let fixtures = fixtures().join("tabular/breast_cancer");
    let fixtures = fixtures.display();
    let ignore = if current == RECORDED { "ignore = ['expected']\n" } else { "" };
    format!(
        "name = 'same'\n\
         checkpoint = {{ import = '{fixtures}/mlp.onnx', name = 'b' }}\n\
         baseline = {{ import = '{fixtures}/rforest.onnx' }}\n\
         run = {{ {run} }}\n\
         [data]\ncurrent = {{ path = '{current}' }}\nreference = {{ path = 'reference.parquet' }}\n\
         [data.columns]\nlabel = 'label'\nslices = ['site']\n\
         inputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n{ignore}"
    )
}

/// Checks that runs with other threads and batches say the same, bit by bit, with these probes.
fn same(project: &Project, current: &str, probes: &str, ids: &[&str]) {
    let mut first = None;
    for (threads, batch_rows) in [(1, 8192), (2, 8192), (5, 8192), (1, 256), (2, 1000), (5, 700)] {
        let run = format!("threads = {threads}, batch_rows = {batch_rows}");
        let (_, record) = project.run(&format!("{}{probes}", pipeline(current, &run)));
        assert_eq!(record["coverage"]["rows"]["current"], 9_000, "{record:#}");
        let said: Vec<String> =
            ["verdict", "checks", "metrics", "findings", "figures"].iter().map(|it| record[*it].to_string()).collect();
        // One that had nothing to say would always say the same.
        for id in ids {
            let measured = record["metrics"].as_array().unwrap().iter().filter(|it| it["probe"] == *id);
            assert!(measured.filter(|it| it["n"].as_u64() > Some(0)).count() > 0, "{id}: {:#}", record["checks"]);
        }
        assert!(said[2].len() > 10_000);
        assert_eq!(first.get_or_insert_with(|| said.clone()), &said, "{threads} threads, batches of {batch_rows}");
    }
}

/// Writes the rows that the candidate and its baseline are judged on, and those that they are compared with.
fn project() -> Project {
    let project = Project::new();
    write(&project.path().join("current.parquet"), 1, 9_000);
    write(&project.path().join("reference.parquet"), 2, 5_000);
    project
}

#[test]
fn results_are_the_same_for_any_threads_and_batches() {
    same(&project(), "current.parquet", PROBES, &["metrics", "behavior", "contract", "drift", "performance", "stream"]);
}

/// Latency is the one verifier that is left out: it measures time.
#[test]
fn results_of_models_weights_and_whole_rows_are_the_same_for_any_threads_and_batches() {
    let project = project();
    project.write("pipeline.toml", &format!("{}{GOLDEN}", pipeline("current.parquet", "")));
    let recorded = project.modelwatch(&["golden", "pipeline.toml", "--into", "recorded.parquet"]);
    assert_eq!(recorded.code, 0, "{}", recorded.err);
    let file = File::open(project.path().join("recorded.parquet")).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<_> = batches.map(|it| it.unwrap()).collect();
    // In several partitions.
    write_batches(&project.path().join(RECORDED), &batches);
    same(
        &project,
        RECORDED,
        &format!("{GOLDEN}{OTHERS}"),
        &["golden", "numerics", "differential", "weights", "quality", "multivariate"],
    );
}
