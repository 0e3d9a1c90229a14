//! States: the same bytes in any order, bounded, and read without trust.

use std::sync::Arc;

use analyze_quality::Quality;
use modelwatch_sdk::{
    Analyzer, CodeInfo, RecordBatch, Role,
    arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, ListArray, StringArray, types::Float64Type},
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use crate::common::{Random, batch_of, floats, integers, open};

fn rows(seed: u64, n: usize) -> RecordBatch {
    let mut random = Random(seed);
    let mut draw = |n_values: f64| (0..n).map(|_| (random.uniform() * n_values) as i64).collect::<Vec<_>>();
    let (small, large, words) = (draw(7.0), draw(1e6), draw(5.0));
    let names: ArrayRef = Arc::new(StringArray::from_iter(
        words.iter().map(|it| ["a", "B-1", "NA", " ", "7"].get(*it as usize).copied()),
    ));
    let gaps: ArrayRef =
        Arc::new(Float64Array::from_iter(small.iter().map(|it| (*it > 1).then_some(*it as f64 / 3.0))));
    let lists =
        ListArray::from_iter_primitive::<Float64Type, _, _>(small.iter().map(|it| Some(vec![Some(*it as f64)])));
    let flags = BooleanArray::from_iter(small.iter().map(|it| Some(it % 2 == 0)));
    let feature: &[Use] = &[Use::Feature];
    batch_of(vec![
        ("id", &[Use::Id], integers(large.iter().copied())),
        ("day", &[Use::Timestamp], Arc::new(Date32Array::from_iter_values(large.iter().map(|it| (*it % 900) as i32)))),
        ("y", &[Use::Label], integers(words.iter().map(|it| it % 2))),
        ("small", feature, integers(small.iter().copied())),
        ("real", feature, floats(large.iter().map(|it| (*it as f64).sqrt()))),
        ("gaps", feature, gaps),
        ("names", feature, names),
        ("flags", feature, Arc::new(flags)),
        ("lists", feature, Arc::new(lists)),
    ])
}

/// Budgets that are all exceeded.
fn tight() -> Value {
    json!({ "budget": 100, "max_categories": 10, "max_distinct": 100, "max_keys": 1000, "sample_rows": 100,
        "columns": { "small": { "min": 1, "max": 5 }, "names": { "pattern": "[a-z]", "categories": ["a"] } } })
}

#[test]
fn the_analyzer_keeps_its_promises() {
    let codes: Vec<CodeInfo> = Quality::CODES.iter().map(|it| (*it).into()).collect();
    for config in [json!({}), tight()] {
        let open = || Ok(open(&config));
        let rows = vec![(Role::Reference, rows(1, 400)), (Role::Current, rows(2, 300))];
        testing::probe(&ProbeCase { open: &open, rows, tensors: Vec::new(), codes: &codes });
    }
}

#[test]
fn bytes_do_not_depend_on_order_or_partitions() {
    for config in [json!({}), tight()] {
        let all = rows(3, 3000);
        let state = |parts: &[RecordBatch]| {
            let mut probe = open(&config);
            parts.iter().for_each(|it| probe.update(&(), Role::Current, it).unwrap());
            probe.state().unwrap()
        };
        let whole = state(std::slice::from_ref(&all));
        let pieces: Vec<_> = (0..30).map(|it| all.slice(it * 100, 100)).collect();
        // Shuffled, and merged pairwise in another order each time.
        for seed in 1..4 {
            let mut random = Random(seed);
            let mut states: Vec<_> = pieces.iter().map(|it| state(std::slice::from_ref(it))).collect();
            while states.len() > 1 {
                let mut take = || states.swap_remove((random.uniform() * states.len() as f64) as usize);
                let (left, right) = (take(), take());
                let mut probe = open(&config);
                probe.merge(&left).unwrap();
                probe.merge(&right).unwrap();
                states.push(probe.state().unwrap());
            }
            assert!(states[0] == whole, "seed {seed} of {config}");
        }
        let reversed: Vec<_> = pieces.into_iter().rev().collect();
        assert!(state(&reversed) == whole, "reversed, {config}");
    }
}

#[test]
fn states_do_not_grow_with_the_rows() {
    let size = |n: usize| {
        let mut probe = open(&json!({}));
        (0..n as u64).for_each(|it| probe.update(&(), Role::Current, &rows(it, 10_000)).unwrap());
        probe.state().unwrap().len()
    };
    let (few, many) = (size(10), size(20));
    assert!(many as f64 <= 1.2 * few as f64, "{few} bytes for 100,000 rows, {many} for 200,000");
}
