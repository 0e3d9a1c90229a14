//! What the analyzer costs: rows per second, and one small batch against a stored reference; `cargo xtask bench drift` runs it.
//!
//! It is held against what Evidently and NannyML take for the same batch, 3,950 ms and 17 ms of processor time (measured on another day
//! and machine, so that only the ratio means something).
#![allow(clippy::print_stdout)] // The numbers are what it is for.

#[allow(dead_code)] // The trial needs more of it.
#[path = "../examples/trial/data.rs"]
mod data;

use std::{sync::Arc, time::Instant};

use analyze_drift::registry;
use modelwatch_profile::{Group, Profile, Settings, stored};
use modelwatch_sdk::{
    Kind as ComponentKind, Probe, RecordBatch, Role,
    arrow::{
        array::{ArrayRef, Int64Array},
        schema::Schema,
    },
    rows::{Use, with_uses},
};
use serde_json::json;

use crate::data::{Kind, Random, column, table};

/// Rows of a batch, as hosts send them.
const BATCH: usize = 8_192;

/// Ten columns of floats, five of integers, five of categories.
fn rows(random: &mut Random, rows: usize) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = (0..10).map(|_| column(random, Kind::Normal, rows)).collect();
    columns.extend((0..5).map(|it| -> ArrayRef {
        let range = f64::from(10i32.pow(it + 1));
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| (range * random.uniform()) as i64)))
    }));
    columns.extend((0..5).map(|_| column(random, Kind::Categories, rows)));
    table(columns)
}

fn open() -> Box<dyn Probe> {
    let config = json!({ "predictions": false });
    registry().open_probe(ComponentKind::Analyzer, "drift", &config).expect("the options are right")
}

fn main() {
    let mut random = Random(3);
    // More values than any column keeps.
    let batches: Vec<_> = (0..12).map(|_| rows(&mut random, BATCH)).collect();
    let mut probe = open();
    let n_batches = 4 * batches.len();
    let start = Instant::now();
    for batch in batches.iter().cycle().take(n_batches) {
        probe.update(&(), Role::Current, batch).expect("plain columns are read");
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = (n_batches * BATCH) as f64 / seconds / 1e6;
    println!("update: {rate:.2} million rows of 20 columns a second");

    let reference = rows(&mut random, 10_000);
    let current = rows(&mut random, 1_000);
    let mut raw = open();
    raw.update(&(), Role::Reference, &reference).expect("plain columns are read");
    let state = raw.state().expect("there is a state");
    println!("state of a reference of 10,000 rows: {} kB", state.len() / 1000);
    let read = |probe: &mut dyn Probe| probe.merge(&state).expect("it is a state");
    println!("1,000 rows against it: {}", against(&current, &read));
    let states = profiled(&reference);
    let read = |probe: &mut dyn Probe| probe.update(&(), Role::Reference, &states).expect("they are states");
    println!("1,000 rows against its stored profile: {}", against(&current, &read));
}

/// The profile of the rows as a host shows it.
fn profiled(rows: &RecordBatch) -> RecordBatch {
    let mut profile = Profile::default();
    profile.add_rows(rows.num_rows() as u64);
    for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let key = (Group::Feature, field.name().clone());
        profile.update(&Settings::STORED, key, false, array).expect("plain columns are read");
    }
    let states = stored::batch(&profile).expect("there is a state of each column");
    let fields = states.schema_ref().fields().iter().map(|it| with_uses(it.as_ref().clone(), &[Use::Feature]));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), states.columns().to_vec()).expect("only uses were added")
}

/// Times of the least disturbed run.
fn against(current: &RecordBatch, read: &dyn Fn(&mut dyn Probe)) -> String {
    let mut best = [f64::INFINITY; 3];
    for _ in 0..60 {
        let start = Instant::now();
        let mut probe = open();
        read(probe.as_mut());
        let merged = start.elapsed().as_secs_f64();
        probe.update(&(), Role::Current, current).expect("plain columns are read");
        let updated = start.elapsed().as_secs_f64();
        probe.evaluate(&()).expect("plain columns are compared");
        let evaluated = start.elapsed().as_secs_f64();
        let parts = [merged, updated - merged, evaluated - updated];
        best.iter_mut().zip(parts).for_each(|(best, it)| *best = best.min(it));
    }
    let [merge, update, evaluate] = best.map(|it| it * 1e3);
    let all = merge + update + evaluate;
    format!("{all:.2} ms (read {merge:.2}, update {update:.2}, evaluate {evaluate:.2})")
}
