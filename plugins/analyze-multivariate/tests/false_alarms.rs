//! How often `auto` raises an alarm where nothing drifted, and how often it does not where something did.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // The tables are meant to be seen.

mod common;

use modelwatch_sdk::RecordBatch;
use serde_json::json;

use common::{Random, codes, features, floats, names, run};

/// What the columns are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Normal,
    Tied,
    HeavyTailed,
    Mixed,
}

fn table(random: &mut Random, kind: Kind, n: usize) -> RecordBatch {
    let titles: Vec<String> = (0..6).map(|it| format!("x{it}")).collect();
    let columns = titles.iter().enumerate().map(|(idx, title)| {
        let array = match (kind, idx % 2) {
            (Kind::Mixed, 0) => {
                names((0..n).map(|_| ["a", "b", "c", "rare"][(random.uniform().powi(3) * 4.0) as usize]))
            }
            (Kind::Normal | Kind::Mixed, _) => floats((0..n).map(|_| random.normal())),
            (Kind::Tied, _) => floats((0..n).map(|_| (3.0 * random.uniform()).floor())),
            (Kind::HeavyTailed, _) => floats((0..n).map(|_| random.normal() / random.normal())),
        };
        (title.as_str(), array)
    });
    features(columns.collect())
}

#[test]
fn false_alarms_stay_within_alpha() {
    // A level that so few runs can tell from a wrong one.
    let (alpha, n_runs) = (0.05, 80_u32);
    let allowed = f64::from(n_runs) * alpha + 3.0 * (f64::from(n_runs) * alpha * (1.0 - alpha)).sqrt();
    println!("{:<12} {:>9} {:>8} {:>7} of {n_runs}, at most {allowed:.1}", "columns", "reference", "current", "alarms");
    for kind in [Kind::Normal, Kind::Tied, Kind::HeavyTailed, Kind::Mixed] {
        for (n_reference, n_current) in [(200, 30), (60, 60)] {
            let mut random = Random((kind as u64 + 1) << 50 | n_reference << 40);
            let config = json!({ "alpha": alpha, "permutations": 99 });
            let is_alarm = |_: &u32| {
                let reference = table(&mut random, kind, n_reference as usize);
                !codes(&run(&config, &reference, &table(&mut random, kind, n_current))).is_empty()
            };
            let alarms = (0..n_runs).filter(is_alarm).count();
            println!("{:<12} {n_reference:>9} {n_current:>8} {alarms:>7}", format!("{kind:?}"));
            assert!(alarms as f64 <= allowed, "{kind:?} {n_reference}/{n_current}: {alarms} of {n_runs}");
        }
    }
}

#[test]
fn the_linear_time_test_keeps_its_level() {
    let (alpha, n_runs) = (0.05, 300_u32);
    let deviation = (f64::from(n_runs) * alpha * (1.0 - alpha)).sqrt();
    let allowed = f64::from(n_runs) * alpha + 3.0 * deviation;
    println!("{:<12} {:>7} of {n_runs}, at most {allowed:.1}", "columns", "alarms");
    for kind in [Kind::Normal, Kind::Tied, Kind::HeavyTailed, Kind::Mixed] {
        let mut random = Random((kind as u64 + 1) << 51);
        let config = json!({ "tests": ["linear-mmd"], "alpha": alpha, "permutations": 99 });
        let is_alarm = |_: &u32| {
            let reference = table(&mut random, kind, 120);
            !codes(&run(&config, &reference, &table(&mut random, kind, 80))).is_empty()
        };
        let alarms = (0..n_runs).filter(is_alarm).count() as f64;
        println!("{:<12} {alarms:>7}", format!("{kind:?}"));
        assert!(alarms <= allowed && alarms >= f64::from(n_runs) * alpha - 3.0 * deviation, "{kind:?}: {alarms}");
    }
}

#[test]
fn drift_is_found_where_there_is_some() {
    // Three columns that go together by a half, and no longer do; or a shift of 0.4 standard deviations.
    let table = |random: &mut Random, n: usize, correlation: f64, shift: f64| {
        let mut columns = vec![Vec::new(); 3];
        for _ in 0..n {
            let common = random.normal();
            for column in &mut columns {
                column.push(correlation * common + (1.0 - correlation * correlation).sqrt() * random.normal() + shift);
            }
        }
        let titles = ["a", "b", "c"];
        features(titles.into_iter().zip(columns).map(|(title, it)| (title, floats(it))).collect())
    };
    for (what, correlation, shift) in [("correlation", 0.0, 0.0), ("shift", 0.7, 0.4)] {
        let mut random = Random(77 << 40);
        let n_runs = 20;
        let is_found = |_: &i32| {
            let reference = table(&mut random, 300, 0.7, 0.0);
            !codes(&run(&json!({}), &reference, &table(&mut random, 200, correlation, shift))).is_empty()
        };
        let found = (0..n_runs).filter(is_found).count();
        println!("{what}: found in {found} of {n_runs} runs at alpha 0.01");
        assert!(found >= 16, "{what}: {found} of {n_runs}");
    }
}
