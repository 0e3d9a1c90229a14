//! What inference costs beside ONNX Runtime; `cargo xtask bench inference` runs it.
//!
//! A case is a model, a number of rows and of threads. Both sides load the model in one process and run in turns, so
//! that what else the machine does falls on both; the ratio is the median of those of the turns.
//! Both are given the same columns and give columns, which is part of what is measured.
//! Processor time is the number to trust, not the clock on the wall. Memory is that of processes with one side each.
//! Where a bound is missed (see `bounds`), it ends with an error: the ratio of a case, the memory of one, or, if all are measured, the
//! geometric mean of the ratios.
//! Without a library of ONNX Runtime, whose path is `ORT_DYLIB_PATH`, only this side is measured, and what takes too long is skipped
//! by name.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // The numbers are what it is for.

#[path = "../../../modelwatch-infer/tests/common/networks.rs"]
mod networks;
#[path = "../../../modelwatch-infer/tests/common/process.rs"]
mod process;
#[path = "../../../modelwatch-infer/tests/common/proto.rs"]
mod proto;

mod bounds;
mod side;
mod worker;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bounds::Measured;
use networks::{Network, SIZE, TOKENS, WIDTH};
use side::{Case, Process, peak};
use worker::Side;

/// The most turns of each case; there are fewer where one takes long.
const N_TURNS: usize = 5;
/// Rows of a run.
const BATCHES: [usize; 3] = [1, 32, 256];
const THREADS: [usize; 2] = [1, 2];

/// Models of the fixtures that both sides run: of the networks that were trained for them one of each size, all that scikit-learn
/// exports, and small ones for other tasks.
const FIXTURES: [&str; 23] = [
    "digits/mlp_series/e08.onnx",
    "digits/cnn/cnn.onnx",
    "digits/cnn/cnn_keras_export.onnx",
    "digits/cnn/mlp_int8_dynamic.onnx",
    "digits/cnn/cnn_int8_qdq.onnx",
    "digits/cnn/cnn_int8_qop.onnx",
    "tabular/wine/rforest.onnx",
    "tabular/wine/gboost.onnx",
    "tabular/wine/iforest.onnx",
    "tabular/wine/kmeans.onnx",
    "tabular/wine/logreg.onnx",
    "tabular/wine/mlp.onnx",
    "tabular/wine/pca.onnx",
    "tabular/wine/svc.onnx",
    "tabular/breast_cancer/gboost.onnx",
    "tabular/breast_cancer/logreg.onnx",
    "tabular/breast_cancer/mlp.onnx",
    "tabular/breast_cancer/rforest.onnx",
    "tasks/detection.onnx",
    "tasks/multi_label.onnx",
    "tasks/ranking.onnx",
    "tasks/segmentation.onnx",
    "traps/nan_weight_first_layer/model.onnx",
];

const OF_TENSORFLOW: &str = "ONNX Runtime reads ONNX alone, and it is a model of TensorFlow";
const OF_KERAS: &str = "neither side runs it: Keras keeps weights in it, and no graph";
const MAPS: &str = "ONNX Runtime answers with maps, which are no columns";
const ROWS: &str = "its rows are a part of the model, so that there are no others to measure";
const WEIGHTS: &str = "its weights are inputs, which have no rows";

/// The other models of the fixtures, and why they are not measured.
const OTHERS: [(&str, &str); 30] = [
    ("digits/cnn/cnn.h5", OF_KERAS),
    ("digits/cnn/cnn.keras", OF_KERAS),
    ("digits/cnn/cnn.tflite", OF_TENSORFLOW),
    ("digits/cnn/cnn.weights.h5", OF_KERAS),
    ("digits/cnn/cnn_frozen.pb", OF_TENSORFLOW),
    ("digits/cnn/cnn_frozen_b1.pb", OF_TENSORFLOW),
    ("digits/cnn/external/model.onnx", "ONNX Runtime does not read shapes from external data"),
    ("digits/cnn/saved_model", OF_TENSORFLOW),
    ("tabular/breast_cancer/logreg_zipmap.onnx", MAPS),
    ("tabular/wine/logreg_zipmap.onnx", MAPS),
    ("tasks/sequences.onnx", "its input is integers, each of which stands for a text"),
    ("tensorflow/attention", OF_TENSORFLOW),
    ("tensorflow/convolutions", OF_TENSORFLOW),
    ("tensorflow/convolutions.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_convolution.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_dense.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_dense_by_one.tflite", OF_TENSORFLOW),
    ("tensorflow/signatures.tflite", OF_TENSORFLOW),
    ("tensorflow/two", OF_TENSORFLOW),
    ("tensorflow/two.tflite", OF_TENSORFLOW),
    ("traps/gru_reverse/model.onnx", WEIGHTS),
    ("traps/lstm_reverse/model.onnx", WEIGHTS),
    ("traps/nan_clip/model.onnx", ROWS),
    ("traps/nan_maxpool/model.onnx", ROWS),
    ("traps/nan_relu/model.onnx", ROWS),
    ("traps/nan_sigmoid/model.onnx", ROWS),
    ("traps/nan_tanh/model.onnx", ROWS),
    ("traps/simple_rnn_reverse/model.onnx", WEIGHTS),
    ("traps/softmax_qdq/model.onnx", ROWS),
    ("digits/*_series", "its models are the networks above with other weights"),
];

/// Where models are among the fixtures.
const FOLDERS: [&str; 5] = ["digits/cnn", "tabular", "tasks", "tensorflow", "traps"];

struct Options {
    /// Only cases with this in their name.
    only: Option<String>,
    /// A case whose run takes longer is skipped; all turns of one side take about as long.
    most_seconds: f64,
    /// Only cases with so many rows.
    rows: Option<usize>,
    /// Only cases with so many threads.
    threads: Option<usize>,
}

fn options() -> Options {
    let mut res = Options { only: None, most_seconds: 20.0, rows: None, threads: None };
    let mut arguments = env::args().skip(1);
    while let Some(it) = arguments.next() {
        match &*it {
            "--only" => res.only = arguments.next(),
            "--rows" => res.rows = Some(arguments.next().unwrap().parse().unwrap()),
            "--threads" => res.threads = Some(arguments.next().unwrap().parse().unwrap()),
            "--seconds" => res.most_seconds = arguments.next().unwrap().parse().unwrap(),
            // Cargo says so to what has no samples to take.
            "--bench" => (),
            other => panic!(
                "`{other}` is unknown; there are `--only TEXT`, `--rows NUMBER`, `--threads NUMBER` and \
                 `--seconds NUMBER`"
            ),
        }
    }
    res
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"))
}

/// Fails for a model of the fixtures that is in neither list.
fn check_lists() {
    const ENDINGS: [&str; 5] = ["onnx", "tflite", "keras", "h5", "pb"];
    let mut folders: Vec<_> = FOLDERS.iter().map(|it| fixtures().join(it)).collect();
    while let Some(folder) = folders.pop() {
        let is_listed = |path: &Path| {
            let name = path.strip_prefix(fixtures()).unwrap();
            FIXTURES.iter().chain(OTHERS.iter().map(|it| &it.0)).any(|it| Path::new(it) == name)
        };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_listed(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let is_model = path.extension().is_some_and(|it| ENDINGS.iter().any(|ending| it == *ending));
                assert!(!is_model, "`{}` is in no list of this benchmark", path.display());
            }
        }
    }
}

/// Makes a standard network.
type Maker = fn() -> Network;

/// The names and files of all models; the standard ones are written to `folder`.
fn models(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<(String, PathBuf)> {
    let mut res: Vec<_> =
        FIXTURES.iter().map(|it| (it.trim_end_matches(".onnx").to_owned(), fixtures().join(it))).collect();
    let image = &[3, SIZE, SIZE][..];
    let standard: [(&str, Maker, &[usize]); 3] = [
        ("resnet-50", Network::resnet_50, image),
        ("mobilenet-v2", Network::mobilenet_v2, image),
        ("transformer", Network::transformer, &[TOKENS, WIDTH]),
    ];
    for (name, make, row) in standard.into_iter().filter(|it| is_wanted(it.0)) {
        let path = folder.join(format!("{name}.onnx"));
        make().write(&path, row);
        res.push((name.to_owned(), path));
    }
    res.retain(|it| is_wanted(&it.0));
    res
}

fn main() -> ExitCode {
    if worker::is_asked_for() {
        worker::work();
        return ExitCode::SUCCESS;
    }
    check_lists();
    let options = options();
    let folder = tempfile::tempdir().unwrap();
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|it| name.contains(&**it));
    let has_peer = worker::library().is_some();
    if !has_peer {
        println!("ONNX Runtime: skipped, ORT_DYLIB_PATH does not name its library");
    }
    println!(
        "{:36} {:>5} {:>7} {:>10} {:>10} {:>6} {:>16}",
        "model", "rows", "threads", "ms", "peer ms", "ratio", "peak MB / peer"
    );
    for (name, why) in OTHERS.into_iter().filter(|it| is_wanted(it.0)) {
        println!("{name:36} skipped: {why}");
    }
    let mut measured = Vec::new();
    for (name, path) in models(folder.path(), is_wanted) {
        for batch in BATCHES.into_iter().filter(|it| options.rows.is_none_or(|wanted| *it == wanted)) {
            for threads in THREADS.into_iter().filter(|it| options.threads.is_none_or(|wanted| *it == wanted)) {
                measured.extend(measure(&name, Case { path: &path, batch, threads }, has_peer, options.most_seconds));
            }
        }
    }
    if !measured.is_empty() {
        let worst = measured.iter().map(|it| it.ratio).fold(0.0, f64::max);
        let mean = bounds::mean(&measured);
        println!("{} cases: geometric mean of the ratios {mean:.2}, worst {worst:.2}", measured.len());
    }
    let are_all = options.only.is_none() && options.rows.is_none() && options.threads.is_none();
    let missed = bounds::missed(&measured, are_all);
    missed.iter().for_each(|it| println!("missed: {it}"));
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures a case and returns how it compares, if there is a peer.
fn measure(name: &str, case: Case<'_>, has_peer: bool, most_seconds: f64) -> Option<Measured> {
    let Case { batch, threads, .. } = case;
    let skipped = |why: &str| {
        println!("{name:36} {batch:5} {threads:7} skipped: {why}");
        None
    };
    let sides = if has_peer { &[Side::Own, Side::Peer][..] } else { &[Side::Own] };
    let mut process = Process::start(case, sides);
    let loaded = process.loaded(Side::Own);
    let peer = has_peer.then(|| process.loaded(Side::Peer));
    let own = match loaded {
        Ok(it) => process.calibrate(it),
        Err(why) => return skipped(&why),
    };
    let seconds = own.ms / 1000.0;
    if seconds > most_seconds {
        return skipped(&format!("a run takes {seconds:.1} s, more than {most_seconds} s"));
    }
    let peer = match peer {
        Some(Err(why)) => {
            println!("{name:36} {batch:5} {threads:7} ONNX Runtime: {why}");
            None
        }
        other => other.and_then(Result::ok).map(|it| process.calibrate(it)),
    };
    let n_turns = ((most_seconds / seconds) as usize).clamp(1, N_TURNS);
    let turns: Vec<_> = (0..n_turns).map(|_| (process.turn(&own), peer.as_ref().map(|it| process.turn(it)))).collect();
    process.finish();
    let own_ms = median(turns.iter().map(|it| it.0).collect());
    let peer_ms = peer.is_some().then(|| median(turns.iter().filter_map(|it| it.1).collect()));
    let ratio = peer.is_some().then(|| median(turns.iter().filter_map(|it| Some(it.0 / it.1?)).collect()));
    let own_peak = peak(case, Side::Own);
    let peer_peak = peer.map(|_| peak(case, Side::Peer));
    let number = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.3}"));
    let measured = ratio.zip(peer_peak).map(|(ratio, peer_peak)| Measured {
        case: format!("{name}, {batch} rows, {threads} threads"),
        ratio,
        peaks: [own_peak, peer_peak],
    });
    let (peer_ms, ratio_text) = (number(peer_ms), ratio.map_or_else(|| "–".to_owned(), |it| format!("{it:.2}")));
    let peer_peak = peer_peak.map_or_else(|| "–".to_owned(), |it| format!("{:.0}", it / 1024.0));
    let peaks = format!("{:.0} / {peer_peak}", own_peak / 1024.0);
    println!("{name:36} {batch:5} {threads:7} {own_ms:10.3} {peer_ms:>10} {ratio_text:>6} {peaks:>16}");
    measured
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
