//! Drift by chunks of time, against windows of every kind.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/timed.rs"]
mod timed;

use std::sync::Arc;

use modelwatch_sdk::{
    Error, ErrorKind, Kind, Need, Probe, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Float64Array, TimestampSecondArray},
    report::FigureData,
    rows::{Use, pick},
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use common::{Random, batch_of, codes, finding, open, overall, run};
use timed::{DAY, Days, MONDAY, drifted_in, gap, labeled};

const SAME: &dyn Fn(usize, i64) -> f64 = &|_, _| 0.0;

/// Five columns, of which `x0` moves by a deviation from day 5 on, counted from 1.
fn shifted(seed: u64) -> RecordBatch {
    let mean = |column: usize, day: i64| if column == 0 && day >= 4 { 1.0 } else { 0.0 };
    Days { seed, first: MONDAY, n_days: 7, rows_a_day: 200, n_columns: 5, mean: &mean }.rows()
}

/// Five columns of the two weeks before.
fn reference(seed: u64) -> RecordBatch {
    Days { seed, first: MONDAY - 14 * DAY, n_days: 14, rows_a_day: 200, n_columns: 5, mean: SAME }.rows()
}

fn by_day(more: Value) -> Value {
    let mut res = json!({ "chunk": { "period": "day" }, "predictions": false });
    res.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    res
}

#[test]
fn drift_that_begins_at_a_day_is_found_from_that_day_on() {
    for window in ["fixed", "expanding"] {
        let report = run(by_day(json!({ "reference_window": window })), &reference(1), &shifted(2));
        assert_eq!(drifted_in(&report, "x0"), ["2026-03-06", "2026-03-07", "2026-03-08"], "{window}");
        assert_eq!(codes(&report), [("MW-D001", "x0")], "{window}");
        let finding = finding(&report, "MW-D001");
        let start = "in 3 of 7 days (2026-03-06, 2026-03-07, 2026-03-08), foremost in 2026-03-0";
        assert!(finding.message.starts_with(start), "{}", finding.message);
        assert!(finding.message.contains("column `x0` is distributed differently"), "{}", finding.message);
        assert_eq!(finding.evidence["chunks"], json!(["2026-03-06", "2026-03-07", "2026-03-08"]));
        assert_eq!((&finding.evidence["n_chunks"], &finding.evidence["n_judged_chunks"]), (&json!(3), &json!(7)));
        assert_eq!(finding.evidence["n_current"], json!(200));
        assert_eq!((overall(&report, "drifted_columns"), overall(&report, "drifted_share")), (1.0, 0.2));
        let chunks = ["chunks", "judged_chunks", "drifted_chunks"].map(|it| overall(&report, it));
        assert_eq!(chunks, [7.0, 7.0, 3.0], "{window}");
        assert_eq!(labeled(&report, "drifted_chunks", &[("column", "x0")]), Some(3.0));
        let of = |name: &str, chunk: &str| labeled(&report, name, &[("column", "x0"), ("chunk", chunk)]).unwrap();
        assert!(of("effect", "2026-03-06") > 0.3 && of("effect", "2026-03-05") < 0.1);
        assert!(of("p_value", "2026-03-06") < 1e-6 && of("p_value", "2026-03-05") > 0.01);
        assert_eq!(labeled(&report, "drifted_share", &[("chunk", "2026-03-06")]), Some(0.2));
        assert_eq!(labeled(&report, "drifted_share", &[("chunk", "2026-03-05")]), Some(0.0));
        assert_eq!(report.gaps, []);
    }
}

#[test]
fn a_rolling_window_sees_where_drift_begins_and_gets_used_to_it() {
    let config = by_day(json!({ "reference_window": "rolling", "rolling_chunks": 2 }));
    let mean = |column: usize, day: i64| if column == 0 && day >= 4 { 1.0 } else { 0.0 };
    let current = Days { seed: 3, first: MONDAY, n_days: 9, rows_a_day: 200, n_columns: 3, mean: &mean }.rows();
    let report = run(config.clone(), &reference_of(3), &current);
    // On the seventh day both days before it are as it is.
    assert_eq!(drifted_in(&report, "x0"), ["2026-03-06", "2026-03-07"]);
    assert_eq!(overall(&report, "judged_chunks"), 9.0);
    // Without a reference the first day has nothing before it, and that is said.
    let mut probe = open(config);
    let reference_needs = probe.needs().reference.unwrap();
    assert!(reference_needs.optional && !reference_needs.profile);
    assert_eq!(reference_needs.timestamp, Need::Required);
    probe.update(&(), Role::Current, &current).unwrap();
    let alone = probe.evaluate(&()).unwrap();
    assert_eq!(drifted_in(&alone, "x0"), ["2026-03-06", "2026-03-07"]);
    assert_eq!(gap(&alone, "all rows"), "1 of 9 days were not judged: 2026-03-02 (there is no day before it)");
    assert_eq!(alone.gaps.len(), 1);
}

fn reference_of(n_columns: usize) -> RecordBatch {
    Days { seed: 7, first: MONDAY - 14 * DAY, n_days: 14, rows_a_day: 200, n_columns, mean: SAME }.rows()
}

#[test]
fn a_weekend_that_differs_alarms_unless_it_is_compared_with_the_last_one() {
    // The first day is a Monday.
    let weekly = |_: usize, day: i64| if day % 7 >= 5 { 2.0 } else { 0.0 };
    let days = |seed: u64, first: i64, n_days: i64| {
        Days { seed, first, n_days, rows_a_day: 200, n_columns: 3, mean: &weekly }.rows()
    };
    let (reference, current) = (days(1, MONDAY - 7 * DAY, 7), days(2, MONDAY, 7));
    let fixed = run(by_day(json!({})), &reference, &current);
    assert!(drifted_in(&fixed, "x0").contains(&"2026-03-07") && drifted_in(&fixed, "x0").contains(&"2026-03-08"));
    let seasonal = by_day(json!({ "reference_window": "seasonal", "season": "7d" }));
    let same = run(seasonal.clone(), &reference, &current);
    assert_eq!((codes(&same), overall(&same, "judged_chunks")), (vec![], 7.0));
    // What is new in a season is found all the same.
    let moved = |_: usize, day: i64| weekly(0, day) + if day == 6 { 1.0 } else { 0.0 };
    let current = Days { seed: 3, first: MONDAY, n_days: 7, rows_a_day: 200, n_columns: 3, mean: &moved }.rows();
    let report = run(seasonal.clone(), &reference, &current);
    assert_eq!(drifted_in(&report, "x0"), ["2026-03-08"]);
    // The second week of the same data is compared with the first.
    let mut probe = open(seasonal);
    probe.update(&(), Role::Current, &days(4, MONDAY, 14)).unwrap();
    let alone = probe.evaluate(&()).unwrap();
    assert_eq!((codes(&alone), overall(&alone, "judged_chunks")), (vec![], 7.0));
    let why = gap(&alone, "all rows");
    assert!(
        why.starts_with(
            "7 of 14 days were not judged: 2026-03-02 (there are no rows of one season earlier, 2026-02-23)"
        ),
        "{why}"
    );
}

#[test]
#[allow(clippy::print_stdout)] // The rate is what it is for.
fn chunks_without_drift_stay_within_the_budget() {
    const RUNS: u32 = 60;
    const ALPHA: f64 = 0.05;
    let allowed = f64::from(RUNS) * ALPHA + 3.0 * (f64::from(RUNS) * ALPHA * (1.0 - ALPHA)).sqrt();
    let least = json!({ "ks": 0.0, "chi2": 0.0, "missing": 0.0 });
    for window in ["fixed", "rolling"] {
        let config = by_day(json!({ "alpha": ALPHA, "min_effect": least, "reference_window": window }));
        let alarms = (0..RUNS).filter(|run_| {
            let days = |seed: u64, first: i64, n_days: i64| {
                Days { seed, first, n_days, rows_a_day: 100, n_columns: 10, mean: SAME }.rows()
            };
            let seed = 1000 + u64::from(*run_) * 2;
            let report = run(config.clone(), &days(seed, MONDAY - 10 * DAY, 10), &days(seed + 1, MONDAY, 30));
            assert_eq!(overall(&report, "judged_chunks"), 30.0);
            overall(&report, "drifted_columns") > 0.0
        });
        let n = alarms.count();
        println!(
            "{window}: {n} false alarms in {RUNS} runs of 30 chunks and 10 columns, at most {allowed:.1} for {ALPHA}"
        );
        assert!(n as f64 <= allowed, "{window}: {n} of {RUNS}");
    }
}

#[test]
fn the_budget_is_for_all_chunks_together() {
    let budget = json!({ "rate": 0.05, "per": "week", "checks": 7 });
    let report = run(by_day(json!({ "false_alarm_budget": budget })), &reference(1), &shifted(2));
    let alpha = finding(&report, "MW-D001").evidence["alpha"].as_f64().unwrap();
    assert!((alpha - 0.05 / 7.0).abs() < 1e-15);
    let p_value = |report: &Report| labeled(report, "p_value", &[("column", "x1"), ("chunk", "2026-03-03")]).unwrap();
    // Five columns and seven days make a family of 35, of which Holm takes the greatest p-value as it is.
    let once = run(by_day(json!({ "correction": "none" })), &reference(1), &shifted(2));
    assert!(p_value(&report) > 3.0 * p_value(&once) || p_value(&report) == 1.0);
}

/// Every column kind, rows without a time and rows without a slice.
fn mixed() -> RecordBatch {
    let mut random = Random(5);
    let n = 900_usize;
    let times: Vec<Option<i64>> =
        (0..n).map(|row| (row % 50 != 0).then(|| MONDAY + (random.uniform() * 3.0 * DAY as f64) as i64)).collect();
    let numbers: Vec<Option<f64>> = (0..n).map(|row| (row % 9 != 0).then(|| random.normal())).collect();
    let names = (0..n).map(|row| if row % 5 == 0 { "a" } else { "b" });
    let regions: Vec<Option<&str>> = (0..n).map(|row| [Some("north"), Some("south"), None][row % 3]).collect();
    let names: ArrayRef = Arc::new(modelwatch_sdk::arrow::array::StringArray::from_iter_values(names));
    let regions: ArrayRef = Arc::new(modelwatch_sdk::arrow::array::StringArray::from(regions));
    batch_of(vec![
        ("at", &[Use::Timestamp], Arc::new(TimestampSecondArray::from(times)) as ArrayRef),
        ("names", &[Use::Feature], names),
        ("numbers", &[Use::Feature], Arc::new(Float64Array::from(numbers))),
        ("region", &[Use::Feature, Use::Slice], regions),
    ])
}

#[test]
fn the_state_has_the_same_bytes_for_every_order_and_partition() {
    let rows = mixed();
    for window in ["fixed", "rolling", "expanding"] {
        let config = by_day(json!({ "reference_window": window, "slices": ["*"], "budget": 100 }));
        let of = |rows: &RecordBatch, size: usize| {
            let mut probe = open(config.clone());
            for start in (0..rows.num_rows()).step_by(size) {
                let part = rows.slice(start, size.min(rows.num_rows() - start));
                probe.update(&(), Role::Reference, &part).unwrap();
                probe.update(&(), Role::Current, &part).unwrap();
            }
            probe
        };
        let mut whole = of(&rows, rows.num_rows());
        // As JSON, because NaN is not equal to itself.
        let report = |probe: &mut dyn Probe| serde_json::to_value(probe.evaluate(&()).unwrap()).unwrap();
        let (bytes, expected) = (whole.state().unwrap(), report(whole.as_mut()));
        let reversed = pick(&rows, &(0..rows.num_rows()).rev().collect::<Vec<_>>()).unwrap();
        for size in [1, 7, 250] {
            assert!(of(&rows, size).state().unwrap() == bytes, "{window}: batches of {size}");
            assert!(of(&reversed, size).state().unwrap() == bytes, "{window}: reversed, batches of {size}");
        }
        for size in [100, 333] {
            let parts: Vec<Vec<u8>> = (0..rows.num_rows())
                .step_by(size)
                .map(|start| of(&rows.slice(start, size.min(rows.num_rows() - start)), 64).state().unwrap())
                .collect();
            let merged = |parts: &mut dyn Iterator<Item = &Vec<u8>>| {
                let mut probe = open(config.clone());
                parts.for_each(|it| probe.merge(it).unwrap());
                probe
            };
            for mut probe in [merged(&mut parts.iter()), merged(&mut parts.iter().rev())] {
                assert!(probe.state().unwrap() == bytes, "{window}: partitions of {size}");
                assert_eq!(report(probe.as_mut()), expected, "{window}: partitions of {size}");
            }
        }
    }
}

#[test]
fn damaged_states_of_chunks_are_refused_or_harmless() {
    let config = by_day(json!({ "reference_window": "seasonal", "season": "7d", "min_chunk_rows": 1 }));
    let mut probe = open(config.clone());
    probe.update(&(), Role::Current, &mixed().slice(1, 8)).unwrap();
    let state = probe.state().unwrap();
    for len in 0..state.len() {
        assert_eq!(open(config.clone()).merge(&state[..len]).unwrap_err().kind, ErrorKind::Corrupt);
    }
    for idx in 0..state.len() {
        let mut damaged = state.clone();
        damaged[idx] ^= 0xff;
        let mut probe = open(config.clone());
        if probe.merge(&damaged).is_ok() {
            probe.evaluate(&()).unwrap();
        }
    }
    let whole = open(json!({})).state().unwrap();
    assert_eq!(open(config).merge(&whole).unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn rows_without_a_time_are_counted() {
    let report = run(by_day(json!({})), &mixed(), &mixed());
    assert_eq!(
        gap(&report, "chunks of current rows"),
        "18 of 900 current rows have no time in the years 0 to 9999, and are in no day"
    );
    assert!(report.gaps.iter().all(|it| !it.what.contains("reference")), "{:?}", report.gaps);
    let report = run(by_day(json!({ "reference_window": "rolling" })), &mixed(), &mixed());
    assert_eq!(
        gap(&report, "chunks of reference rows"),
        "18 of 900 reference rows have no time in the years 0 to 9999, and are in no day"
    );
    let rows = shifted(1);
    let times: ArrayRef = Arc::new(TimestampSecondArray::new_null(rows.num_rows()));
    let mut columns = rows.columns().to_vec();
    *columns.last_mut().unwrap() = times;
    let timeless = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let report = run(by_day(json!({})), &reference(1), &timeless);
    assert!(
        gap(&report, "chunks of current rows")
            .starts_with("1400 of 1400 current rows have no time in the years 0 to 9999")
    );
    assert!(overall(&report, "drifted_share").is_nan());
}

#[test]
fn chunks_that_are_too_small_are_said_to_be() {
    let config = by_day(json!({ "min_chunk_rows": 150 }));
    let current = shifted(2);
    // The second day has fifty rows.
    let report = run(config, &reference(1), &pick(&current, &(0..250).chain(400..1400).collect::<Vec<_>>()).unwrap());
    assert_eq!(overall(&report, "judged_chunks"), 6.0);
    assert_eq!(
        gap(&report, "all rows"),
        "1 of 7 days were not judged: 2026-03-03 (50 rows, fewer than `min_chunk_rows`, 150)"
    );
    assert!(finding(&report, "MW-D001").message.starts_with("in 3 of 6 days (2026-03-06, "));
}

#[test]
fn a_timestamp_column_is_needed_and_times_alone_will_do() {
    let needs = open(by_day(json!({}))).needs();
    assert_eq!(needs.current.unwrap().timestamp, Need::Required);
    let reference_needs = needs.reference.unwrap();
    assert_eq!((reference_needs.timestamp, reference_needs.profile), (Need::No, true));
    let bare = batch_of(vec![("x0", &[Use::Feature], Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]);
    let error = open(by_day(json!({}))).update(&(), Role::Current, &bare).unwrap_err();
    assert_eq!(error.message, "the rows have no timestamp column, which chunks by time need");
    let check = |config: Value, path: &str, words: &str| {
        let refusal: Option<Error> = analyze_drift::registry().open_probe(Kind::Analyzer, "drift", &config).err();
        let refusal = refusal.unwrap();
        assert_eq!(refusal.path, path, "{config}");
        assert!(refusal.message.contains(words) && !refusal.help.is_empty(), "{refusal}");
    };
    check(json!({ "chunk": { "size": 100 } }), "/chunk", "follow the order of the rows");
    check(json!({ "chunk": { "count": 10 } }), "/chunk", "follow the order of the rows");
    check(json!({ "reference_window": "rolling" }), "/reference_window", "no chunks");
    check(by_day(json!({ "reference_window": "rolling", "rolling_chunks": 0 })), "/rolling_chunks", "no chunks");
    check(by_day(json!({ "rolling_chunks": 3 })), "/rolling_chunks", "not rolling");
    check(by_day(json!({ "season": "7d" })), "/season", "not seasonal");
    check(by_day(json!({ "reference_window": "seasonal" })), "/reference_window", "after which time");
    check(by_day(json!({ "reference_window": "seasonal", "season": "soon" })), "/season", "no season");
    check(by_day(json!({ "reference_window": "seasonal", "season": "36h" })), "/season", "no whole number of days");
    for name in ["min_chunk_rows", "min_slice_size", "max_cells"] {
        check(json!({ name: 0 }), &format!("/{name}"), "out of range");
    }
}

#[test]
fn columns_over_time_are_drawn() {
    let report = run(by_day(json!({})), &reference(1), &shifted(2));
    let titles: Vec<&str> = report.figures.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(
        titles[..3],
        ["Drift of chunks and slices", "Drift of columns over time", "Drift of column `x0` over time"]
    );
    let FigureData::HeatMap { rows, columns, values, x_label, .. } = &report.figures[1].data else {
        panic!("no heat map")
    };
    assert_eq!((rows[0].as_str(), rows.len(), columns.len()), ("x0", 5, 7));
    assert_eq!((x_label.as_str(), columns[0].as_str()), ("2026", "03-02"));
    assert!(values[0][..4].iter().all(|it| *it < 1.0) && values[0][4..].iter().all(|it| *it > 3.0), "{values:?}");
    let FigureData::Lines { series, x_label, .. } = &report.figures[2].data else { panic!("no lines") };
    assert_eq!(x_label, "day, from 2026-03-02 (0) to 2026-03-08 (6)");
    let of = |name: &str| &series.iter().find(|it| it.name == name).unwrap().values;
    assert_eq!(of("threshold"), &[0.1; 7]);
    assert_eq!(
        of("drifted").iter().map(|it| it.is_finite()).collect::<Vec<_>>(),
        [false, false, false, false, true, true, true]
    );
    assert_eq!(of("drifted")[4], of("score")[4]);
    // The day that is farthest from the reference has pictures of its own.
    let worst = (0..7).max_by(|left, right| of("score")[*left].total_cmp(&of("score")[*right])).unwrap();
    let subject = format!("column `x0` in 2026-03-{:02}", 2 + worst);
    let expected = ["Drift of", "Cumulative shares of", "What drift of"].map(|it| format!("{it} {subject}"));
    assert!(titles[3..].iter().zip(&expected).all(|it| it.0.starts_with(it.1.as_str())), "{titles:?}");
    assert_eq!(titles.len(), 6);
    let FigureData::Histogram { series, .. } = &report.figures[3].data else { panic!("no histogram") };
    assert!((series[1].values.iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn it_conforms_with_chunks_and_slices() {
    for window in ["fixed", "rolling", "expanding"] {
        let config = by_day(json!({ "reference_window": window, "slices": ["region"], "min_slice_size": 20 }));
        let registry = analyze_drift::registry();
        let open = || registry.open_probe(Kind::Analyzer, "drift", &config);
        let codes = registry.manifest().codes(Kind::Analyzer, "drift");
        let rows = vec![(Role::Reference, mixed()), (Role::Current, mixed())];
        testing::probe(&ProbeCase { open: &open, rows, tensors: Vec::new(), codes });
    }
}
