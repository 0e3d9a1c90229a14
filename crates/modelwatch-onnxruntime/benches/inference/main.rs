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
mod fixtures;
mod side;
mod worker;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bounds::Measured;
use fixtures::{FIXTURES, OTHERS, fixtures, unlisted};
use networks::{Network, SIZE, TOKENS, WIDTH};
use side::{Case, Process, peak};
use worker::Side;

/// The most turns of each case; there are fewer where one takes long.
const N_TURNS: usize = 5;
/// Rows of a run.
const BATCHES: [usize; 3] = [1, 32, 256];
const THREADS: [usize; 2] = [1, 2];

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
    assert!(unlisted().is_empty(), "in no list of this benchmark: {:?}", unlisted());
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
