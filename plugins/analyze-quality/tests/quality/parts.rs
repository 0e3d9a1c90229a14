//! Columns by chunks of time and slices.

use std::sync::Arc;

use modelwatch_sdk::{
    Analyzer, CodeInfo, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Date32Array, Float64Array, StringArray, TimestampSecondArray},
    report::{FigureData, Labels, Severity, Status},
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::json;

use crate::common::{Random, alone, batch_of, codes, finding, gap, open, run};

const DAY: i64 = 86_400;

/// 2026-03-02, a Monday.
const MONDAY: i64 = 20_514 * DAY;

/// Days of 300 rows, of which `x` is missing where `is_missing` says so of a day and a region, few of `east`, and some of none.
fn days(seed: u64, n_days: i64, is_missing: impl Fn(i64, &str) -> bool) -> RecordBatch {
    let mut random = Random(seed);
    let (mut x, mut y, mut regions, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..n_days * 300 {
        let day = row / 300;
        let region = match row {
            0..10 => Some("east"),
            10..15 => None,
            it if it % 2 == 0 => Some("north"),
            _ => Some("south"),
        };
        let is_missing = is_missing(day, region.unwrap_or_default()) && random.uniform() < 0.5;
        x.push((!is_missing).then(|| random.normal()));
        y.push(random.normal());
        regions.push(region);
        times.push(MONDAY + row * DAY / 300);
    }
    let y: ArrayRef = Arc::new(Float64Array::from(y));
    batch_of(vec![
        ("x", &[Use::Feature], Arc::new(Float64Array::from(x)) as ArrayRef),
        ("y", &[Use::Feature], y),
        ("region", &[Use::Feature, Use::Slice], Arc::new(StringArray::from(regions))),
        ("at", &[Use::Timestamp], Arc::new(TimestampSecondArray::from(times))),
    ])
}

fn labeled(report: &Report, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Labels = labels.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    report.metrics.iter().find(|it| it.name == name && it.labels == wanted).map(|it| it.value)
}

#[test]
fn a_slice_is_judged_by_itself() {
    let rows = days(1, 4, |_, region| region == "south");
    let report = alone(json!({ "slices": ["reg*"], "limits": { "missing": 0.3 } }), &rows);
    let missing: Vec<_> = codes(&report).into_iter().filter(|it| it.0 == "MW-Q010").collect();
    assert_eq!(missing, [("MW-Q010", "x[region=south]")]);
    let map = report.figures.iter().find(|it| it.title == "Missing values by slice").unwrap();
    let FigureData::HeatMap { rows, columns, values, .. } = &map.data else { panic!() };
    assert_eq!(
        (rows.as_slice(), columns.as_slice()),
        (["x".to_owned()].as_slice(), ["region=north", "region=south"].map(str::to_owned).as_slice())
    );
    assert!(values[0][0] == 0.0 && values[0][1] > 0.4, "{values:?}");
    let found = finding(&report, "MW-Q010");
    assert!(found.message.starts_with("of slice `region=south`, "), "{}", found.message);
    assert_eq!(found.evidence["slice"], json!("region=south"));
    assert!(labeled(&report, "missing_share", &[("slice", "region=south"), ("column", "x")]).unwrap() > 0.4);
    assert_eq!(labeled(&report, "missing_share", &[("slice", "region=north"), ("column", "x")]), Some(0.0));
    // That the column which makes a slice has one value there is no news.
    assert!(report.findings.iter().all(|it| !it.place.starts_with("region[")), "{:?}", codes(&report));
    assert_eq!((labeled(&report, "slices", &[]), labeled(&report, "judged_slices", &[])), (Some(3.0), Some(2.0)));
    assert_eq!(
        gap(&report, "slice `region=east`"),
        "it was not judged: it has 10 current rows, fewer than `min_slice_size`, 30"
    );
    assert_eq!(
        gap(&report, "slices of current rows by `region`"),
        "5 of 1200 current rows have no value, and are in no slice"
    );
}

#[test]
fn all_rows_are_said_the_same_of_with_slices_and_chunks() {
    let (reference, current) = (days(1, 3, |_, _| false), days(2, 3, |day, _| day == 1));
    let whole = run(json!({}), &reference, &current);
    let cut = run(json!({ "slices": ["region"], "chunk": { "period": "day" } }), &reference, &current);
    let of_all: Vec<_> = cut
        .metrics
        .iter()
        .filter(|it| !it.labels.contains_key("slice") && !it.labels.contains_key("chunk"))
        .filter(|it| !["slices", "judged_slices", "chunks", "judged_chunks"].contains(&it.name.as_str()))
        .cloned()
        .collect();
    assert_eq!(of_all, whole.metrics);
    assert_eq!(cut.findings[..whole.findings.len()], whole.findings);
}

#[test]
fn parts_none_of_which_could_be_judged_have_not_passed() {
    let rows = days(1, 3, |_, _| false);
    let config =
        json!({ "slices": ["region"], "chunk": { "period": "day" }, "min_chunk_rows": 400, "min_slice_size": 600 });
    let report = alone(config, &rows);
    let unchecked: Vec<_> = report.checks.iter().map(|it| (it.metric.as_str(), it.status)).collect();
    assert_eq!(unchecked, [("judged_slices", Status::NotChecked), ("judged_chunks", Status::NotChecked)]);
    assert_eq!(labeled(&report, "judged_chunks", &[]), Some(0.0));
}

/// Days of 200 rows of two regions, of which one in 500 is of a rare kind in each column.
fn steady(seed: u64, n_days: i64) -> RecordBatch {
    let mut random = Random(seed);
    let n = n_days * 200;
    let mut usual = |rare: f64| -> ArrayRef {
        let value = |_| if random.uniform() < 0.002 { rare } else { random.normal() };
        Arc::new(Float64Array::from_iter_values((0..n).map(value)))
    };
    let (nan, infinite, plain) = (usual(f64::NAN), usual(f64::INFINITY), usual(0.0));
    let mut name = |_| {
        if random.uniform() < 0.002 {
            "rare"
        } else if random.uniform() < 0.5 {
            "a"
        } else {
            "b"
        }
    };
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(&mut name)));
    let region = |row: i64| if row % 2 == 0 { "north" } else { "south" };
    let country = |row: i64| if row % 2 == 0 { "fr" } else { "de" };
    batch_of(vec![
        ("nan", &[Use::Feature], nan),
        ("infinite", &[Use::Feature], infinite),
        ("plain", &[Use::Feature], plain),
        ("name", &[Use::Feature], names),
        ("country", &[Use::Feature], Arc::new(StringArray::from_iter_values((0..n).map(country))) as ArrayRef),
        ("region", &[Use::Slice], Arc::new(StringArray::from_iter_values((0..n).map(region)))),
        (
            "at",
            &[Use::Timestamp],
            Arc::new(TimestampSecondArray::from_iter_values((0..n).map(|it| MONDAY + it * DAY / 200))),
        ),
    ])
}

#[test]
fn what_is_always_rare_is_no_news_of_a_part() {
    for seed in 0..5 {
        let config = json!({
            "slices": ["region"], "chunk": { "period": "day" }, "reference_window": "rolling", "rolling_chunks": 1,
            "min_chunk_rows": 50,
        });
        let report = alone(config, &steady(seed, 30));
        let news: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.severity > Severity::Info && it.evidence.contains_key("chunk"))
            // Without a reference, as on the first day, each is told.
            .filter(|it| it.evidence["chunks"] != json!(["2026-03-02"]))
            .collect();
        assert!(news.is_empty(), "{news:#?}");
        // What a slice is made of makes other columns constant.
        assert!(report.findings.iter().any(|it| it.code == "MW-Q015" && it.place.starts_with("country[")));
    }
}

#[test]
fn what_is_new_in_a_part_is_found() {
    let reference = steady(1, 3);
    let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; 600]));
    let mut columns = reference.columns().to_vec();
    columns[2] = nan;
    let current = RecordBatch::try_new(reference.schema(), columns).unwrap();
    let report = run(json!({ "slices": ["region"] }), &reference, &current);
    assert!(codes(&report).contains(&("MW-Q012", "plain[region=north]")), "{:?}", codes(&report));
}

#[test]
fn slices_that_would_have_the_same_name_are_refused() {
    let text = |it: &str| Arc::new(StringArray::from(vec![it])) as ArrayRef;
    let rows = batch_of(vec![("a", &[Use::Slice], text("b=c")), ("a=b", &[Use::Slice], text("c"))]);
    let error = open(&json!({ "slices": ["*"] })).update(&(), Role::Current, &rows).unwrap_err();
    assert_eq!(error.message, "slices of `a` and of `a=b` can have the same name");
    open(&json!({ "slices": ["a=b"] })).update(&(), Role::Current, &rows).unwrap();
}

#[test]
fn chunks_are_judged_by_themselves_and_say_when() {
    let (reference, current) =
        (days(1, 3, |_, _| false), days(2, 7, |day, region| day == 6 || day == 5 && region == "south"));
    let report = run(json!({ "chunk": { "period": "day" }, "limits": { "missing": 0.2 } }), &reference, &current);
    let found = report.findings.iter().find(|it| it.code == "MW-Q010").unwrap();
    assert_eq!(found.place, "x");
    let start = "in 2 of 7 days (2026-03-07, 2026-03-08), foremost in 2026-03-08, ";
    assert!(found.message.starts_with(start), "{}", found.message);
    assert!(labeled(&report, "missing_share", &[("chunk", "2026-03-08"), ("column", "x")]).unwrap() > 0.4);
    let map = report.figures.iter().find(|it| it.title == "Missing values over time").unwrap();
    let FigureData::HeatMap { rows, columns, values, .. } = &map.data else { panic!() };
    assert_eq!((rows.as_slice(), columns.len()), (["x".to_owned(), "region".to_owned()].as_slice(), 7));
    assert!(values[0][4] == 0.0 && values[0][6] > 0.4, "{values:?}");
}

#[test]
fn a_chunk_can_be_held_against_those_before_it() {
    // What is missing from the second day on is usual from the third one on.
    let current = days(2, 5, |day, _| day >= 1);
    let config = json!({ "chunk": { "period": "day" }, "reference_window": "rolling", "rolling_chunks": 1 });
    let report = alone(config, &current);
    let of_parts: Vec<_> = report.findings.iter().filter(|it| it.evidence.contains_key("chunk")).collect();
    assert_eq!(of_parts.len(), 1, "{of_parts:#?}");
    assert_eq!(of_parts[0].evidence["chunks"], json!(["2026-03-03"]));
    assert_eq!(gap(&report, "what is usual"), "it was judged alone: there is no day before it (2026-03-02)");
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let rows = days(1, 2, |_, _| false);
    let error = open(&json!({ "slices": ["country"] })).update(&(), Role::Current, &rows).unwrap_err();
    assert_eq!((error.path.as_str(), error.help.as_str()), ("/slices/0", "the slice columns are `region`"));
    let config = json!({ "chunk": { "size": 100 } });
    let error =
        analyze_quality::registry().open_probe(modelwatch_sdk::Kind::Analyzer, "quality", &config).err().unwrap();
    assert_eq!(error.path, "/chunk");
    let config = json!({ "chunk": { "period": "day" }, "max_cells": 5 });
    let error = open(&config).update(&(), Role::Current, &rows).unwrap_err();
    assert!(error.message.contains("more than 5 columns"), "{}", error.message);
}

#[test]
fn the_analyzer_keeps_its_promises_with_parts() {
    let codes: Vec<CodeInfo> = analyze_quality::Quality::CODES.iter().map(|it| (*it).into()).collect();
    let config = json!({ "slices": ["region"], "chunk": { "period": "day" }, "reference_window": "expanding", "min_chunk_rows": 20 });
    let open = || Ok(open(&config));
    let rows = vec![(Role::Reference, days(1, 1, |_, _| false)), (Role::Current, days(2, 2, |day, _| day == 1))];
    testing::probe(&ProbeCase { open: &open, rows, tensors: Vec::new(), codes: &codes });
}

#[test]
fn rows_of_one_day_may_have_one_date() {
    let days = || -> ArrayRef { Arc::new(Date32Array::from_iter_values((0..600).map(|it| it / 200))) };
    let table = batch_of(vec![("at", &[Use::Timestamp], days()), ("copy", &[Use::Feature], days())]);
    let report = run(json!({ "chunk": { "period": "day" } }), &table, &table);
    let constants: Vec<_> = report.findings.iter().filter(|it| it.code == "MW-Q015").map(|it| &it.place).collect();
    assert!(!constants.is_empty() && constants.iter().all(|it| it.starts_with("copy")), "{constants:?}");
}
