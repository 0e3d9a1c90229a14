//! How often each detector reports a change where there is none, and how late one where there is.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use serde_json::json;

use common::{metric, normals, of, rows_of_changes, run};

/// How many streams, and how long each is.
const STREAMS: u64 = 40;
const N: usize = 5000;

/// Streams of one distribution by name: as good as independent values.
fn stream(kind: &str, seed: u64) -> Vec<f64> {
    let normals = normals(1000 + seed, N, 0.0);
    let of = |to: fn(f64) -> f64| normals.iter().map(|it| to(*it)).collect();
    match kind {
        "normal" => normals,
        "log-normal" => of(f64::exp),
        "heavy tails" => of(|it| it * it * it),
        "exponential" => {
            let others = normals_of(5000 + seed);
            normals.iter().zip(others).map(|(left, right)| (left * left + right * right) / 2.0).collect()
        }
        "t, 3 degrees" => {
            let [one, two, three] = [5000, 6000, 7000].map(|it| normals_of(it + seed));
            let size = |at: usize| ((one[at].powi(2) + two[at].powi(2) + three[at].powi(2)) / 3.0).sqrt();
            normals.iter().enumerate().map(|(at, it)| it / size(at)).collect()
        }
        "zeros, 99 %" | "zeros, 90 %" => {
            let seldom = if kind == "zeros, 99 %" { 2.3263 } else { 1.2816 };
            let sizes = normals_of(5000 + seed);
            normals.iter().zip(sizes).map(|(it, size)| if *it > seldom { (1.5 * size).exp() } else { 0.0 }).collect()
        }
        "errors, 1 %" => of(|it| f64::from(u8::from(it > 2.3263))),
        "errors, 5 %" => of(|it| f64::from(u8::from(it > 1.6449))),
        "errors, 10 %" => of(|it| f64::from(u8::from(it > 1.2816))),
        _ => of(|it| f64::from(u8::from(it > 0.0))),
    }
}

fn normals_of(seed: u64) -> Vec<f64> {
    normals(seed, N, 0.0)
}

#[test]
fn detectors_that_bound_their_false_alarms_keep_the_bound() {
    let numbers = ["normal", "log-normal", "exponential", "t, 3 degrees", "heavy tails"];
    let ties = ["zeros, 99 %", "zeros, 90 %", "errors, 1 %", "errors, 5 %"];
    let flags = ["errors, 10 %", "errors, 50 %"];
    println!("False changes per 100,000 values, of {STREAMS} streams of {N}.");
    for detector in ["adwin", "page-hinkley", "kswin", "cusum", "ddm", "eddm", "hddm-a", "hddm-w"] {
        let is_of_errors = ["ddm", "eddm", "hddm-a", "hddm-w"].contains(&detector);
        let kinds: Vec<&str> =
            if is_of_errors { flags.to_vec() } else { [&numbers[..], &ties[..], &flags[..]].concat() };
        // The one that takes its time gets fewer.
        let streams = if detector == "kswin" { STREAMS / 4 } else { STREAMS };
        for kind in kinds {
            let config = json!({"detector": detector, "watch": ["columns"]});
            let changes: f64 = (0..streams)
                .map(|it| metric(&run(&config, &of(stream(kind, it))), "changes", "x").map_or(0.0, |it| it.value))
                .sum();
            let rate = changes * 1e5 / (streams as usize * N) as f64;
            println!("{detector:>12} {kind:>12} {rate:8.1}");
            // The chance per look: every 32nd value of ADWIN, every value of HDDM.
            let bound = match detector {
                "adwin" => 0.002 / 32.0 * 1e5,
                "hddm-a" | "hddm-w" => 0.001 * 1e5,
                // The average run of normal values with these settings, whatever the values are.
                "cusum" => 1e5 / 465.0,
                _ => f64::INFINITY,
            };
            let error = (bound / (streams as usize * N) as f64 * 1e5).sqrt();
            assert!(rate <= bound + 3.0 * error, "{detector}, {kind}: {rate} above {bound}");
        }
    }
}

#[test]
fn a_rise_by_one_deviation_is_found() {
    println!("Values until a rise by one standard deviation is found, the median of {STREAMS} streams.");
    for detector in ["adwin", "page-hinkley", "kswin", "cusum"] {
        let config = json!({ "detector": detector });
        let mut delays: Vec<usize> = (0..STREAMS)
            .map(|seed| {
                let values = [normals(2000 + seed, 500, 0.0), normals(3000 + seed, 500, 1.0)].concat();
                let found = rows_of_changes(&run(&config, &of(values)));
                found.iter().find(|it| **it >= 500).map_or(500, |it| it - 500)
            })
            .collect();
        delays.sort_unstable();
        println!("{detector:>12} {:4}", delays[STREAMS as usize / 2]);
        assert!(delays[STREAMS as usize / 2] < 100, "{detector}: {delays:?}");
    }
}
