//! What a full classification report costs beside reading its file: 1 and 10 million predictions in Parquet, with 1,000 replicates of
//! the bootstrap, in one pass. `cargo xtask bench report` runs it; `cargo xtask bench report 2` is of 2 million alone.
//! The predictions are judged as they were recorded, and once more behind a model that gives its input back.
//!
//! The predictions are in three files: as pyarrow writes them when nothing else is asked for, in row groups of 131,072 rows, and as is
//! fastest to read.
//!
//! scikit-learn with its rows resampled as often (`peers.py`) is measured where `MODELWATCH_PYTHON`, or else `python3`, has it. Of its
//! replicates a few are run, and their mean is taken for all: a thousand of 10 million rows take hours.
//!
//! Numbers are medians of five passes, but for scikit-learn's, which is one pass. Each is a process of its own, so that the memory that
//! it had at most is its own, too. Ratios are of processor time, which others on the machine disturb least: that of all threads by the
//! clock of the process, as ticks of the kernel are too coarse for reading.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // The numbers are what it is for.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch};
use jiff::Timestamp;
use modelwatch_runtime::{Options, Runtimes, memory, plugin::Catalog, run};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use rustix::time::{ClockId, clock_gettime};

/// An ONNX model that gives its one input, `score`, back as `p`.
const IDENTITY: &[u8] = b"\x08\x08\x3a\x49\x0a\x14\x0a\x05\x73\x63\x6f\x72\x65\x12\x01\x70\x22\x08\x49\x64\x65\x6e\
    \x74\x69\x74\x79\x12\x01\x67\x5a\x18\x0a\x05\x73\x63\x6f\x72\x65\x12\x0f\x0a\x0d\x08\x01\
    \x12\x09\x0a\x03\x12\x01\x4e\x0a\x02\x08\x01\x62\x14\x0a\x01\x70\x12\x0f\x0a\x0d\x08\x01\
    \x12\x09\x0a\x03\x12\x01\x4e\x0a\x02\x08\x01\x42\x04\x0a\x00\x10\x11";
/// What was recorded is judged.
const RECORDED: &str = "[data.columns]\nlabel = 'label'\npredictions = { p = 'score' }\n";
/// What the model gives is judged.
const OF_MODEL: &str = "[data.columns]\nlabel = 'label'\ninputs = { score = 'score' }\n\
                        [checkpoint]\nimport = 'identity.onnx'\nname = 'identity'\n";
/// The passes of one kind.
const PASSES: usize = 5;

/// How a file is written.
struct Form {
    name: &'static str,
    row_group: usize,
    compression: Compression,
    /// Up to how many bytes of distinct values stand in a dictionary.
    dictionary: usize,
    /// Whether scores are `f64`, or else `f32`.
    has_doubles: bool,
}

const FORMS: [Form; 3] = [
    // Doubles that are nearly all distinct outgrow the dictionary, and stand plain from there on.
    Form {
        name: "pyarrow",
        row_group: 1 << 20,
        compression: Compression::SNAPPY,
        dictionary: 1 << 20,
        has_doubles: true,
    },
    // The doubles of a group are one dictionary of 1 MiB.
    Form {
        name: "small groups",
        row_group: 1 << 17,
        compression: Compression::SNAPPY,
        dictionary: 1 << 21,
        has_doubles: true,
    },
    Form {
        name: "fast",
        row_group: 1 << 20,
        compression: Compression::UNCOMPRESSED,
        dictionary: 1 << 20,
        has_doubles: false,
    },
];

/// Labels, and scores that tell them apart somewhat; a fixed sequence.
fn write(path: &Path, n_rows: usize, form: &Form) {
    let mut state = 1_u64;
    let mut uniform = || {
        // Vigna's splitmix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) as f64 / 2_f64.powi(64)
    };
    let properties = WriterProperties::builder()
        .set_compression(form.compression)
        .set_dictionary_page_size_limit(form.dictionary)
        .build();
    let mut writer: Option<ArrowWriter<File>> = None;
    for start in (0..n_rows).step_by(form.row_group) {
        let (mut labels, mut scores) = (Vec::new(), Vec::new());
        for _ in start..n_rows.min(start + form.row_group) {
            let label = i64::from(uniform() < 0.5);
            let noise: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            labels.push(label);
            scores.push(1.0 / (1.0 + (-noise - 1.6 * (label as f64 - 0.5)).exp()));
        }
        let scores: ArrayRef = match form.has_doubles {
            true => Arc::new(Float64Array::from(scores)),
            false => Arc::new(Float32Array::from_iter_values(scores.into_iter().map(|it| it as f32))),
        };
        let columns: [(&str, ArrayRef); 2] = [("label", Arc::new(Int64Array::from(labels))), ("score", scores)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties.clone())).unwrap()
        });
        writer.write(&batch).unwrap();
        writer.flush().unwrap();
    }
    writer.unwrap().close().unwrap();
}

/// Runs one pass in this process, and prints the seconds of processor time and the megabytes that it took.
fn pass(dir: &Path, file: &str, what: &str) {
    // As the program does.
    memory::keep_freed();
    let mut catalog = Catalog::default();
    catalog.link(fixture_faulty::registry());
    catalog.link(verify_metrics::registry());
    let rest = match what {
        // Both columns, and nothing is done with them.
        "read" => "[[analyze]]\nuses = 'faulty'\n".to_owned(),
        report => format!(
            "{source}[[verify]]\nuses = 'metrics'\nrequire.accuracy = '>= 0.5'\n\
             with = {{ task = 'binary', intervals = {{ replicates = {replicates} }} }}\n",
            source = if report == "model" { OF_MODEL } else { RECORDED },
            replicates = if report == "report" { 0 } else { 1000 },
        ),
    };
    let text = format!("name = 'bench'\n[run]\nthreads = 1\n[data.current]\npath = '{file}'\n{rest}");
    let parsed = modelwatch_config::parse(&dir.join("bench.toml"), &text, &[]);
    let pipeline = parsed.pipeline.unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
    let options = Options {
        catalog: &catalog,
        runtimes: &Runtimes::default(),
        cancelled: Arc::new(AtomicBool::new(false)),
        preempted: Arc::default(),
        now: Timestamp::UNIX_EPOCH,
        on_event: &|_| {},
        keep: false,
        allow_empty: false,
    };
    let outcome = run(&parsed.document, &pipeline, &options).unwrap_or_else(|_| panic!("the pipeline does not run"));
    assert_eq!(outcome.record.exit_code, 0, "{:#?}", outcome.record.checks);
    let taken = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = taken.tv_sec as f64 + taken.tv_nsec as f64 * 1e-9;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap().split_whitespace().next().unwrap();
    println!("{seconds} {}", peak.parse::<f64>().unwrap() / 1024.0);
}

/// Runs passes, each in a process of its own, and returns the medians of what they take.
fn measure(dir: &Path, file: &str, what: &str) -> [f64; 2] {
    let passes: [[f64; 2]; PASSES] = std::array::from_fn(|_| run_pass(dir, file, what));
    [0, 1].map(|it| {
        let mut values = passes.map(|pass| pass[it]);
        values.sort_by(f64::total_cmp);
        values[PASSES / 2]
    })
}

fn run_pass(dir: &Path, file: &str, what: &str) -> [f64; 2] {
    let output = Command::new(env::current_exe().unwrap()).arg("pass").arg(dir).args([file, what]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|it| it.parse().unwrap()).collect();
    [numbers[0], numbers[1]]
}

/// Prints one line: a pass of so many seconds and megabytes, beside the seconds of reading the file.
fn row(millions: usize, form: &Form, name: &str, [seconds, peak]: [f64; 2], read: f64) {
    println!("{millions:>10} M  {:>12}  {name:>22}  {seconds:>9.3}  {:>8.1}  {peak:>7.0}", form.name, seconds / read);
}

/// Has scikit-learn make the report and its replicates.
fn sklearn(file: &Path, millions: usize, form: &Form, read: f64) {
    const REPLICATES: f64 = 1000.0;
    let python = env::var("MODELWATCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py");
    let output = Command::new(&python).arg(script).arg(file).arg("3").output();
    let said = output.map_or_else(
        |it| Err(it.to_string()),
        |it| match it.status.success() {
            true => Ok(String::from_utf8_lossy(&it.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&it.stderr).lines().last().unwrap_or_default().to_owned()),
        },
    );
    let said = match said {
        Ok(it) => it,
        Err(why) => return println!("SKIPPED scikit-learn: `{python}` does not run it: {why}"),
    };
    let numbers: Vec<f64> = said.split_whitespace().map(|it| it.parse().unwrap()).collect();
    let [own_read, report, replicate, peak] = numbers[..] else { panic!("{said}") };
    row(millions, form, "scikit-learn, report", [own_read + report, peak], read);
    row(millions, form, "scikit-learn, 1,000", [own_read + report + REPLICATES * replicate, peak], read);
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, pass_, dir, file, what] = &arguments[..]
        && pass_ == "pass"
    {
        return pass(&PathBuf::from(dir), file, what);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("identity.onnx"), IDENTITY).unwrap();
    println!(
        "{:>12}  {:>12}  {:>22}  {:>9}  {:>8}  {:>7}",
        "predictions", "file", "pass", "CPU s", "of read", "peak MB"
    );
    let wanted: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let wanted = if wanted.is_empty() { vec![1, 10] } else { wanted };
    for (millions, form) in wanted.into_iter().flat_map(|millions| FORMS.iter().map(move |form| (millions, form))) {
        let file = format!("{millions}-{}.parquet", form.name);
        write(&dir.path().join(&file), millions * 1_000_000, form);
        let read = measure(dir.path(), &file, "read");
        for (what, name) in [
            ("read", "read"),
            ("report", "report"),
            ("replicates", "with 1,000 replicates"),
            ("model", "of a model, with them"),
        ] {
            row(millions, form, name, if what == "read" { read } else { measure(dir.path(), &file, what) }, read[0]);
        }
        sklearn(&dir.path().join(&file), millions, form, read[0]);
    }
}
