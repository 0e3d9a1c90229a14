//! What the plugin boundary costs: a pass over 1 million rows × 20 columns with an analyzer that does
//! nothing, loaded from its dynamic library, against the same analyzer linked in.
//!
//! A machine that others use changes its speed by more than the boundary costs, so both are taken in turns, and each pass
//! is compared with the one beside it. The same analyzer against itself says what this comparison can tell.
//!
//! Run by `cargo xtask bench`, which builds the library and says where it is. It fails where the boundary costs more than
//! what is wanted: where the whole interval says so, since on a busy machine its middle says little.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fs::File,
    hint::black_box,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use criterion::{Criterion, SamplingMode};
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
/// How many times as long a pass with the library may take.
const MOST_TIMES: f64 = 1.02;

/// Whether it took longer.
static MISSED: AtomicBool = AtomicBool::new(false);

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

/// Returns what a pass took.
fn pass(catalog: &Catalog, text: &str, dir: &Path) -> Duration {
    let begun = Instant::now();
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
    begun.elapsed()
}

/// How often one thing takes as long as another that was done just before or after it.
#[derive(Default)]
struct Ratios(Vec<f64>);

impl Ratios {
    /// Does both, each first in every other turn, and returns what the one took.
    fn take(&mut self, one: impl Fn() -> Duration, other: impl Fn() -> Duration) -> Duration {
        let (one, other) = if self.0.len().is_multiple_of(2) {
            let one = one();
            (one, other())
        } else {
            let other = other();
            (one(), other)
        };
        self.0.push(one.div_duration_f64(other));
        one
    }

    /// Returns the median, and its interval of 95 % confidence by the sign test.
    fn median(mut self) -> (f64, [f64; 2]) {
        self.0.sort_by(f64::total_cmp);
        let n = self.0.len();
        let half = 0.98 * (n as f64).sqrt();
        let at = |it: f64| self.0[(it.max(0.0) as usize).min(n - 1)];
        let middle = n as f64 / 2.0;
        (at(middle), [at(middle - half), at(middle + half)])
    }
}

fn overhead(criterion: &mut Criterion) {
    // As the program does.
    modelwatch_runtime::memory::keep_freed();
    let folder = std::env::var_os("MODELWATCH_TEST_FIXTURE_PLUGINS").expect("run by `cargo xtask bench`");
    let loaded = Catalog::load(&SearchPath::exactly(vec![folder.into()]));
    let mut linked = Catalog::default();
    linked.link(fixture_faulty::registry());
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("rows.parquet"));
    let text = "name = 'bench'\nrun = { threads = 1 }\ndata = { current = { path = 'rows.parquet' } }\n\
                [[analyze]]\nuses = 'faulty'\n";
    let mut group = criterion.benchmark_group("1M rows x 20 columns");
    group.sampling_mode(SamplingMode::Flat).sample_size(50).measurement_time(Duration::from_secs(30));
    for (name, catalog) in [("linked in", &linked), ("dynamic library", &loaded)] {
        let mut ratios = Ratios::default();
        let once = |catalog| pass(catalog, text, dir.path());
        group.bench_function(name, |it| {
            it.iter_custom(|n| (0..n).map(|_| ratios.take(|| once(catalog), || once(&linked))).sum());
        });
        // None where the command names the other one only.
        let n = ratios.0.len();
        if n == 0 {
            continue;
        }
        let (median, [low, high]) = ratios.median();
        let verdict = if high <= MOST_TIMES {
            "holds"
        } else if low <= MOST_TIMES {
            "undecided on this machine"
        } else {
            MISSED.store(true, Ordering::Relaxed);
            "MISSED"
        };
        println!(
            "{name} / linked in: {median:.4} [{low:.4}, {high:.4}], the median of {n} passes in turns; at most {MOST_TIMES} is wanted: {verdict}\n"
        );
    }
    group.finish();
}

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    overhead(&mut criterion);
    criterion.final_summary();
    if MISSED.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
