//! What the plugin boundary costs: a pass over 1 million rows × 20 columns with an analyzer that does
//! nothing, loaded from its dynamic library, against the same analyzer linked in.
//!
//! Run by `cargo xtask bench`, which builds the library and says where it is.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs::File,
    hint::black_box,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use modelwatch_runtime::{
    Options, Runtimes,
    plugin::{Catalog, SearchPath},
    run,
};
use parquet::arrow::ArrowWriter;

const ROWS: usize = 1_000_000;
const COLUMNS: usize = 20;
const ROW_GROUPS: usize = 10;

fn write(path: &Path) {
    let rows = ROWS / ROW_GROUPS;
    let group = |group: usize| {
        let column = |at: usize| -> ArrayRef {
            let value = |row: usize| ((row * 31 + at * 17 + group) % 10_007) as f64;
            Arc::new((0..rows).map(value).collect::<Float64Array>())
        };
        RecordBatch::try_from_iter((0..COLUMNS).map(|at| (format!("x{at}"), column(at)))).unwrap()
    };
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), group(0).schema(), None).unwrap();
    for it in 0..ROW_GROUPS {
        writer.write(&group(it)).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

fn pass(catalog: &Catalog, text: &str, dir: &Path) {
    let parsed = modelwatch_config::parse(&dir.join("bench.toml"), text, &[]);
    let pipeline = parsed.pipeline.unwrap();
    let options = Options {
        catalog,
        runtimes: &Runtimes::default(),
        cancelled: Arc::new(AtomicBool::new(false)),
        preempted: Arc::default(),
        now: Timestamp::UNIX_EPOCH,
        on_event: &|_| {},
        keep: false,
        allow_empty: false,
    };
    let outcome = run(&parsed.document, &pipeline, &options).unwrap();
    assert_eq!(outcome.record.coverage.rows["current"], ROWS as u64);
    black_box(outcome);
}

fn overhead(criterion: &mut Criterion) {
    let folder = std::env::var_os("MODELWATCH_TEST_FIXTURE_PLUGINS").expect("run by `cargo xtask bench`");
    let loaded = Catalog::load(&SearchPath::exactly(vec![folder.into()]));
    let mut linked = Catalog::default();
    linked.link(fixture_faulty::registry());
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("rows.parquet"));
    let text = "name = 'bench'\nrun = { threads = 1 }\ndata = { current = { path = 'rows.parquet' } }\n\
                [[analyze]]\nuses = 'faulty'\n";
    let mut group = criterion.benchmark_group("1M rows x 20 columns");
    group.sample_size(20);
    group.bench_function("linked in", |it| it.iter(|| pass(&linked, text, dir.path())));
    group.bench_function("dynamic library", |it| it.iter(|| pass(&loaded, text, dir.path())));
    group.bench_function("linked in, again", |it| it.iter(|| pass(&linked, text, dir.path())));
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
