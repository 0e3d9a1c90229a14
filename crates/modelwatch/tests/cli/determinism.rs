//! Threads and batch sizes never show in a result.

use std::{fs::File, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

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
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1700)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn results_are_the_same_for_any_threads_and_batches() {
    let project = Project::new();
    write(&project.path().join("current.parquet"), 1, 9_000);
    write(&project.path().join("reference.parquet"), 2, 5_000);
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    let pipeline = |threads: usize, batch_rows: usize| {
        format!(
            "name = 'same'\n\
             checkpoint = {{ import = '{fixtures}/tabular/breast_cancer/mlp.onnx', name = 'b' }}\n\
             baseline = {{ import = '{fixtures}/tabular/breast_cancer/rforest.onnx' }}\n\
             run = {{ threads = {threads}, batch_rows = {batch_rows} }}\n\
             [data]\ncurrent = {{ path = 'current.parquet' }}\nreference = {{ path = 'reference.parquet' }}\n\
             [data.columns]\nlabel = 'label'\nslices = ['site']\ninputs = {{ X = ['mean_*', '*_error', 'worst_*'] }}\n\
             [[verify]]\nuses = 'metrics'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
             require = {{ accuracy = '>= 0.5', log_loss = '<= baseline + 10 with confidence 99%' }}\n\
             [[verify]]\nuses = 'behavior'\n[verify.with]\noutput = 'probabilities'\n\
             invariance = [{{ name = 'noise', change = {{ noise = 0.5 }}, tolerance = 0.1, share = 0.1 }}]\n\
             [[verify]]\nuses = 'contract'\nwith = {{ rows = 40 }}\n\
             [[analyze]]\nuses = 'drift'\n\
             [[analyze]]\nuses = 'performance'\nwith = {{ task = 'binary', output = 'probabilities' }}\n\
             [[analyze]]\nuses = 'stream'\n[analyze.with]\nwatch = ['columns', 'predictions', 'errors']\n\
             output = 'probabilities'\n"
        )
    };
    let mut first = None;
    for (threads, batch_rows) in [(1, 8192), (2, 8192), (5, 8192), (1, 256), (2, 1000), (5, 700)] {
        let (_, record) = project.run(&pipeline(threads, batch_rows));
        assert_eq!(record["coverage"]["rows"]["current"], 9_000, "{record:#}");
        let said: Vec<String> =
            ["verdict", "checks", "metrics", "findings", "figures"].iter().map(|it| record[*it].to_string()).collect();
        assert!(said[2].len() > 10_000);
        assert_eq!(first.get_or_insert_with(|| said.clone()), &said, "{threads} threads, batches of {batch_rows}");
    }
}
