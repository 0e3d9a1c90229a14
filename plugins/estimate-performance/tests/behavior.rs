//! What the analyzer says of rows whose truth is known here.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    ErrorKind, Kind, RecordBatch, Report, Role,
    arrow::{
        array::{
            Array, ArrayRef, FixedSizeListArray, Float64Array, StringArray, TimestampSecondArray, cast::AsArray,
            types::Float64Type,
        },
        schema::{DataType, Field},
    },
    report::Status,
    rows::{Use, columns, pick},
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use common::{Random, batch, by_chunk, codes, finding, labeled, numbers, open, overall, run};
use estimate_performance::registry;

/// What labels a batch has.
#[derive(Clone, Copy, PartialEq)]
enum Labels {
    AsScored,
    /// The score says nothing any more.
    Random,
    None,
}

/// Rows whose scores are calibrated chances, and nearer to one half the greater `doubt` is.
fn scored(seed: u64, n_rows: usize, doubt: f64, labels: Labels) -> RecordBatch {
    let mut random = Random(seed);
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..n_rows {
        let chance = 1.0 / (1.0 + (-3.0 * random.normal() / (1.0 + doubt)).exp());
        let truth = match labels {
            Labels::AsScored => f64::from(u8::from(random.uniform() < chance)),
            Labels::Random => f64::from(u8::from(random.uniform() < 0.5)),
            Labels::None => f64::NAN,
        };
        columns.0.push(chance);
        columns.1.push(truth);
        columns.2.push(row as i64 * 3600);
    }
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(columns.2));
    let mut all = vec![("score", Use::Feature, numbers(columns.0)), ("time", Use::Timestamp, times)];
    if labels != Labels::None {
        all.push(("label", Use::Label, numbers(columns.1)));
    }
    batch(all)
}

fn binary() -> Value {
    json!({ "task": "binary", "score": "score", "chunk": { "count": 5 } })
}

#[test]
fn estimates_meet_what_labels_give_later() {
    let reference = scored(1, 10_000, 0.0, Labels::AsScored);
    let report = run(&binary(), &reference, &scored(2, 10_000, 1.0, Labels::AsScored));
    for metric in ["accuracy", "roc_auc", "average_precision", "f1", "precision", "recall", "specificity"] {
        let (estimated, realized) =
            (overall(&report, &format!("estimated_{metric}")), overall(&report, &format!("realized_{metric}")));
        let error = overall(&report, &format!("sampling_error_{metric}")).value;
        assert!((estimated.value - realized.value).abs() < 4.0 * error, "{metric}: {estimated:?}, {realized:?}");
        assert!(error > 0.0 && error < 0.02, "{metric}: {error}");
        let interval = estimated.interval.unwrap();
        assert!(interval.low < estimated.value && estimated.value < interval.high && interval.level == 0.95);
        assert_eq!(by_chunk(&report, &format!("estimated_{metric}")).len(), 5);
    }
    // The rows are harder than those of the reference, and both sides say so.
    assert!(codes(&report).contains(&("MW-P001", "accuracy")) && codes(&report).contains(&("MW-P002", "accuracy")));
    assert!(
        !report.findings.iter().any(|it| ["MW-P003", "MW-P005"].contains(&it.code.as_str())),
        "{:?}",
        codes(&report)
    );
}

#[test]
fn without_a_size_a_chunk_is_a_tenth_of_the_rows_and_what_is_left_is_another() {
    let config = json!({ "task": "binary", "score": "score" });
    let report = run(&config, &scored(1, 2000, 0.0, Labels::AsScored), &scored(3, 1009, 0.0, Labels::None));
    let chunks = report.metrics.iter().filter(|it| it.name == "estimated_accuracy");
    let names: Vec<_> = chunks.filter_map(|it| it.labels.get("chunk")).collect();
    assert_eq!((names.len(), names[0].as_str(), names[9].as_str()), (11, "0-99", "900-999"));
    assert_eq!(names[10], "1000-1008");
    // Nothing is concluded from so few rows.
    assert_eq!((overall(&report, "chunks").value, overall(&report, "judged_chunks").value), (11.0, 10.0));
}

#[test]
fn rows_like_the_reference_give_no_finding_and_no_labels_are_needed() {
    let config = json!({ "task": "binary", "score": "score", "chunk": { "count": 10 } });
    let report = run(&config, &scored(1, 20_000, 0.0, Labels::AsScored), &scored(3, 20_000, 0.0, Labels::None));
    assert_eq!(codes(&report), [("", ""); 0]);
    assert!(!report.metrics.iter().any(|it| it.name.starts_with("realized_")));
    assert_eq!((overall(&report, "chunks").value, overall(&report, "judged_chunks").value), (10.0, 10.0));
    assert_eq!(overall(&report, "chunks_outside_accuracy").value, 0.0);
    assert_eq!(report.gaps, []);
}

#[test]
fn harder_rows_leave_the_limits_before_labels_are_there() {
    let report = run(&binary(), &scored(1, 10_000, 0.0, Labels::AsScored), &scored(2, 5_000, 2.0, Labels::None));
    let finding = finding(&report, "MW-P001", "accuracy");
    assert_eq!(finding.evidence["n_chunks"], 5);
    assert_eq!(finding.evidence["chunks"][0], "0-999");
    assert!(finding.message.starts_with("estimated `accuracy` is outside of 0.7"), "{}", finding.message);
    assert_eq!(overall(&report, "chunks_outside_accuracy").value, 5.0);
}

/// Rows of two regions in turn, of which `south` is as hard as `doubt` says, few of `east`, and some of none.
fn regions(seed: u64, n_rows: usize, doubt: f64, labels: Labels) -> RecordBatch {
    let [easy, hard] = [scored(seed, n_rows, 0.0, labels), scored(seed + 100, n_rows, doubt, labels)];
    let name = |row: usize| match row {
        0..10 => Some("east"),
        10..15 => None,
        it if it % 2 == 0 => Some("north"),
        _ => Some("south"),
    };
    let pick = |at: usize| {
        let [easy, hard] = [&easy, &hard].map(|it| it.column(at).as_primitive::<Float64Type>().values());
        numbers((0..n_rows).map(|it| if name(it) == Some("south") { hard[it] } else { easy[it] }))
    };
    let names: ArrayRef = Arc::new(StringArray::from_iter((0..n_rows).map(name)));
    let mut all = vec![("score", Use::Feature, pick(0)), ("region", Use::Slice, names)];
    if labels != Labels::None {
        all.push(("label", Use::Label, pick(2)));
    }
    batch(all)
}

#[test]
fn a_slice_that_becomes_harder_is_found_where_all_rows_hardly_do() {
    let mut config = binary();
    config["metrics"] = json!(["accuracy"]);
    config["limits"] = json!({});
    config["slices"] = json!(["reg*"]);
    let reference = regions(1, 20_000, 0.0, Labels::AsScored);
    let report = run(&config, &reference, &regions(2, 10_000, 1.0, Labels::None));
    assert!(codes(&report).contains(&("MW-P001", "accuracy[region=south]")), "{:?}", codes(&report));
    assert!(codes(&report).iter().all(|it| !it.1.contains("north")), "{:?}", codes(&report));
    let found = finding(&report, "MW-P001", "accuracy[region=south]");
    assert!(found.message.starts_with("of slice `region=south`, estimated `accuracy` is outside"), "{}", found.message);
    assert_eq!(found.evidence["slice"], json!("region=south"));
    let of_slice = |name: &str| labeled(&report, "estimated_accuracy", "slice", name).unwrap();
    assert!(of_slice("region=south") + 0.02 < of_slice("region=north"));
    let gap = |what: &str| report.gaps.iter().find(|it| it.what == what).unwrap().why.as_str();
    assert_eq!(
        gap("slice `region=east`"),
        "it was not judged: it has 10 current rows, fewer than `min_slice_size`, 30"
    );
    assert_eq!(gap("slices of current rows by `region`"), "5 of 10000 current rows have no value, and are in no slice");
    // Without slices all rows are what they were, but for limits that have to hold for fewer numbers.
    config.as_object_mut().unwrap().remove("slices");
    let whole = run(&config, &reference, &regions(2, 10_000, 1.0, Labels::None));
    let limit = |of: &Report, bound: &str| labeled(of, "limit_accuracy", "bound", bound).unwrap();
    assert!(limit(&whole, "lower") > limit(&report, "lower") && limit(&whole, "upper") < limit(&report, "upper"));
    let is_judgment = |name: &str| name.starts_with("limit_") || name.starts_with("chunks_outside_");
    let is_of_all =
        |name: &str, has_slice: bool| !has_slice && !is_judgment(name) && name != "slices" && name != "judged_slices";
    let of_all = report.metrics.iter().filter(|it| is_of_all(&it.name, it.labels.contains_key("slice")));
    let of_all: Vec<_> = of_all.cloned().collect();
    assert_eq!(of_all, whole.metrics.iter().filter(|it| !is_judgment(&it.name)).cloned().collect::<Vec<_>>());
}

#[test]
fn a_slice_on_which_the_model_always_did_worse_is_no_alarm() {
    let mut config = binary();
    config["slices"] = json!(["region"]);
    let reference = regions(1, 20_000, 2.0, Labels::AsScored);
    let report = run(&config, &reference, &regions(2, 10_000, 2.0, Labels::None));
    assert!(codes(&report).iter().all(|it| it.0 != "MW-P001"), "{:?}", codes(&report));
}

/// The rows of [`regions`] that are of another one.
fn without(rows: &RecordBatch, name: &str) -> RecordBatch {
    let names = rows.column(1).as_string::<i32>();
    let kept: Vec<usize> = (0..rows.num_rows()).filter(|it| names.is_null(*it) || names.value(*it) != name).collect();
    pick(rows, &kept).unwrap()
}

fn n_of(report: &Report, name: &str, slice: &str) -> u64 {
    let found = report
        .metrics
        .iter()
        .find(|it| it.name == name && it.labels.len() == 1 && it.labels.get("slice").is_some_and(|it| it == slice));
    found.unwrap().n
}

/// Days of 400 rows from that one on, each with its doubt.
fn days(seed: u64, first: i64, doubts: &[f64]) -> RecordBatch {
    let mut random = Random(seed);
    let (mut scores, mut labels, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for (day, doubt) in (first..).zip(doubts) {
        for row in 0..400 {
            let chance = 1.0 / (1.0 + (-3.0 * random.normal() / (1.0 + doubt)).exp());
            scores.push(chance);
            labels.push(f64::from(u8::from(random.uniform() < chance)));
            times.push(day * 86_400 + row * 60);
        }
    }
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(times));
    batch(vec![
        ("score", Use::Feature, numbers(scores)),
        ("time", Use::Timestamp, times),
        ("label", Use::Label, numbers(labels)),
    ])
}

fn by_day(window: &str) -> Value {
    let mut res = json!({
        "task": "binary", "score": "score", "metrics": ["accuracy"], "chunk": { "period": "day" },
        "reference_window": window,
    });
    if window == "seasonal" {
        res["season"] = json!("7d");
    }
    res
}

/// Two of seven days are harder.
fn weeks(n: usize) -> Vec<f64> {
    (0..7 * n).map(|it| if it % 7 > 4 { 3.0 } else { 0.0 }).collect()
}

#[test]
fn a_day_that_is_as_hard_as_others_usually_are_is_found_by_its_own_weekdays() {
    let reference = days(1, 0, &weeks(8));
    let current = days(2, 56, &[3.0; 7]);
    assert_eq!(codes(&run(&by_day("fixed"), &reference, &current)), []);
    let report = run(&by_day("seasonal"), &reference, &current);
    let found = finding(&report, "MW-P001", "accuracy");
    let expected = ["1970-02-26", "1970-02-27", "1970-02-28", "1970-03-01", "1970-03-02"];
    assert_eq!(found.evidence["chunks"], json!(expected));
    // Each chunk has limits of its own, from the days that it is like.
    assert!(found.message.contains("is outside of its limits in 5 of 7 chunks, furthest with"), "{}", found.message);
    let is_limit = |it: &&modelwatch_sdk::report::Metric| it.name == "limit_accuracy" && it.labels["bound"] == "lower";
    let limits: Vec<f64> = report.metrics.iter().filter(is_limit).map(|it| it.value).collect();
    assert_eq!(limits.len(), 7);
    assert!(limits[4] > limits[5], "{limits:?}");
    let [usual, lower] = ["reference", "lower"].map(|it| found.evidence[it].as_f64().unwrap());
    assert!(usual > lower && usual > overall(&report, "reference_accuracy").value, "{usual} {lower}");
    // As usual, none is.
    assert_eq!(codes(&run(&by_day("seasonal"), &reference, &days(3, 56, &weeks(2)))), []);
}

#[test]
fn what_stays_is_found_where_it_begins_by_a_rolling_window() {
    let reference = days(1, 0, &[0.0; 10]);
    let mut doubts = [2.0; 20];
    doubts[..3].fill(0.0);
    let current = days(2, 10, &doubts);
    let mut config = by_day("rolling");
    config["rolling_chunks"] = json!(5);
    let places = |config: &Value| {
        let report = run(config, &reference, &current);
        finding(&report, "MW-P001", "accuracy").evidence["chunks"].as_array().unwrap().len()
    };
    assert_eq!(
        finding(&run(&config, &reference, &current), "MW-P001", "accuracy").evidence["chunks"][0],
        json!("1970-01-14")
    );
    let (rolling, expanding, fixed) = (places(&config), places(&by_day("expanding")), places(&by_day("fixed")));
    assert!(rolling <= 3 && rolling <= expanding && expanding < fixed && fixed == 17, "{rolling} {expanding} {fixed}");
}

#[test]
fn windows_without_labeled_chunks_hold_nothing_against_anything() {
    let reference = days(1, 0, &[0.0; 3]);
    let report = run(&by_day("seasonal"), &reference, &days(2, 3, &[3.0; 3]));
    assert_eq!(codes(&report), []);
    let gap = report.gaps.iter().find(|it| it.what == "limits of `accuracy`").unwrap();
    assert_eq!(
        gap.why,
        "3 of 3 chunks have fewer than two chunks of 100 labeled rows and the metric in their window, or its sampling error is not known"
    );
    // What was not looked at has not passed.
    assert_eq!(overall(&report, "judged_chunks").value, 0.0);
    let checks: Vec<_> = report.checks.iter().map(|it| (it.metric.as_str(), it.status)).collect();
    assert_eq!(checks, [("judged_chunks", Status::NotChecked)]);
}

#[test]
fn rows_like_those_before_them_alarm_in_no_window() {
    for window in ["rolling", "expanding", "seasonal"] {
        let mut n_outside = 0.0;
        for seed in 0..20 {
            let report = run(&by_day(window), &days(seed, 0, &[1.0; 28]), &days(seed + 100, 28, &[1.0; 14]));
            n_outside += overall(&report, "chunks_outside_accuracy").value;
        }
        // Of 280 chunks; beyond three deviations 0.3 % are, and of a mean of few values somewhat more.
        assert!(n_outside <= 3.0, "{window}: {n_outside}");
    }
}

#[test]
fn days_that_always_differed_alarm_in_no_window() {
    let mut random = Random(7);
    let mut doubts = |n: usize| (0..n).map(|_| random.normal().exp()).collect::<Vec<_>>();
    let mut few = by_day("rolling");
    few["rolling_chunks"] = json!(3);
    for config in [few, by_day("rolling"), by_day("seasonal")] {
        let mut n_outside = 0.0;
        for seed in 0..20 {
            let report = run(&config, &days(seed, 0, &doubts(28)), &days(seed + 100, 28, &doubts(14)));
            n_outside += overall(&report, "chunks_outside_accuracy").value;
        }
        assert!(n_outside <= 3.0, "{config}: {n_outside}");
    }
}

#[test]
fn few_days_of_a_slice_that_always_differed_alarm_no_more_often_than_many() {
    let mut random = Random(7);
    let mut doubts = |n: usize| (0..n).map(|_| random.normal().exp()).collect::<Vec<_>>();
    let sliced = |rows: RecordBatch| {
        let region: ArrayRef = Arc::new(StringArray::from(vec!["north"; rows.num_rows()]));
        let names = [("score", Use::Feature), ("time", Use::Timestamp), ("label", Use::Label)];
        let columns = names.into_iter().zip(rows.columns()).map(|((name, what), it)| (name, what, Arc::clone(it)));
        batch(columns.chain([("region", Use::Slice, region)]).collect())
    };
    let mut config = by_day("fixed");
    config["slices"] = json!(["region"]);
    let mut n_outside = 0.0;
    for seed in 0..20 {
        let (before, now) = (sliced(days(seed, 0, &doubts(4))), sliced(days(seed + 100, 4, &doubts(14))));
        let report = run(&config, &before, &now);
        n_outside += labeled(&report, "chunks_outside_accuracy", "slice", "region=north").unwrap();
    }
    // Of 280 chunks, each 14 of which are held against the same four.
    assert!(n_outside <= 4.0, "{n_outside}");
}

#[test]
fn windows_need_chunks_by_time() {
    let refused = |config: Value| registry().open_probe(Kind::Analyzer, "performance", &config).err().unwrap().path;
    let with = |more: Value| {
        let mut res = json!({ "task": "binary", "score": "score" });
        res.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(res)
    };
    assert_eq!(with(json!({ "reference_window": "expanding" })), "/reference_window");
    assert_eq!(with(json!({ "reference_window": "rolling", "chunk": { "size": 100 } })), "/reference_window");
    let by_day = json!({ "period": "day" });
    assert_eq!(with(json!({ "reference_window": "seasonal", "chunk": by_day })), "/reference_window");
    assert_eq!(with(json!({ "season": "7d", "chunk": by_day })), "/season");
    assert_eq!(with(json!({ "reference_window": "rolling", "rolling_chunks": 1, "chunk": by_day })), "/rolling_chunks");
}

#[test]
fn a_slice_that_nothing_is_held_against_meets_no_requirement() {
    let mut config = binary();
    config["slices"] = json!(["region"]);
    let reference = without(&regions(1, 20_000, 0.0, Labels::AsScored), "south");
    let report = run(&config, &reference, &regions(2, 10_000, 0.0, Labels::None));
    assert_eq!(n_of(&report, "chunks_outside_accuracy", "region=south"), 0);
    assert!(n_of(&report, "chunks_outside_accuracy", "region=north") > 0);
    // Limits that are given need no reference.
    config["limits"] = json!({ "accuracy": { "lower": 0.5 } });
    let report = run(&config, &reference, &regions(2, 10_000, 0.0, Labels::None));
    assert!(n_of(&report, "chunks_outside_accuracy", "region=south") > 0);
}

/// Rows of a regression whose errors are twice as large in one region, which no feature tells.
fn hidden(seed: u64, n_rows: usize, has_labels: bool) -> RecordBatch {
    let mut random = Random(seed);
    let (mut predictions, mut labels, mut regions) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..n_rows {
        let is_south = row % 2 == 1;
        let prediction = 60.0 + 5.0 * random.normal();
        predictions.push(prediction);
        labels.push(prediction + if is_south { 2.0 } else { 1.0 } * random.normal());
        regions.push(if is_south { "south" } else { "north" });
    }
    let regions: ArrayRef = Arc::new(StringArray::from(regions));
    let mut all = vec![("predicted", Use::Feature, numbers(predictions)), ("region", Use::Slice, regions)];
    if has_labels {
        all.push(("label", Use::Label, numbers(labels)));
    }
    batch(all)
}

#[test]
fn a_slice_that_the_estimator_does_not_know_is_not_judged() {
    let mut config = regression();
    config["slices"] = json!(["region"]);
    config["metrics"] = json!(["mae"]);
    let report = run(&config, &hidden(1, 10_000, true), &hidden(2, 10_000, false));
    assert!(codes(&report).iter().all(|it| it.0 != "MW-P001"), "{:?}", codes(&report));
    for slice in ["region=north", "region=south"] {
        let gap = report.gaps.iter().find(|it| it.what == format!("metric `mae`, slice `{slice}`")).unwrap();
        assert!(gap.why.starts_with("on the reference it is estimated as 1.") && gap.why.contains("labels give"));
        assert_eq!(n_of(&report, "chunks_outside_mae", slice), 0);
        assert_eq!(n_of(&report, "estimated_mae", slice), 0);
    }
    assert!(overall(&report, "chunks_outside_mae").n > 0);
}

#[test]
fn rows_like_the_reference_alarm_in_no_slice_also_where_these_have_few_chunks() {
    let mut n_alarms = 0;
    for seed in 0..40 {
        let config = json!({
            "task": "binary", "score": "score", "chunk": { "count": 2 }, "metrics": ["accuracy"], "slices": ["region"],
        });
        let reference = regions(1000 * seed, 2000, 0.0, Labels::AsScored);
        let report = run(&config, &reference, &regions(1000 * seed + 500, 2000, 0.0, Labels::None));
        n_alarms += codes(&report).iter().filter(|it| it.1.contains("region")).count();
    }
    // In 160 chunks of slices.
    assert!(n_alarms <= 1, "{n_alarms}");
}

#[test]
fn an_estimate_of_a_slice_is_as_uncertain_as_its_rows_are() {
    let mut config = binary();
    config["slices"] = json!(["region"]);
    config["metrics"] = json!(["accuracy"]);
    // Of one half of the rows, which are hard, the share that is right varies more than of all.
    let report = run(&config, &regions(1, 20_000, 9.0, Labels::AsScored), &regions(2, 10_000, 9.0, Labels::None));
    let error = |name: &str| labeled(&report, "sampling_error_accuracy", "slice", name).unwrap();
    let value = labeled(&report, "estimated_accuracy", "slice", "region=south").unwrap();
    let of_its_own = (value * (1.0 - value) / 4990.0).sqrt();
    assert!((error("region=south") / of_its_own - 1.0).abs() < 0.05, "{} and {of_its_own}", error("region=south"));
}

#[test]
fn slices_are_counted_and_too_many_are_refused_as_they_come() {
    let mut config = binary();
    config["slices"] = json!(["region"]);
    let report = run(&config, &regions(1, 9000, 0.0, Labels::AsScored), &regions(2, 2000, 0.0, Labels::None));
    assert_eq!((overall(&report, "slices").value, overall(&report, "judged_slices").value), (3.0, 2.0));
    config["min_slice_size"] = json!(5000);
    let report = run(&config, &regions(1, 9000, 0.0, Labels::AsScored), &regions(2, 2000, 0.0, Labels::None));
    let check = report.checks.iter().find(|it| it.metric == "judged_slices").unwrap();
    assert_eq!((check.status, overall(&report, "judged_slices").value), (Status::NotChecked, 0.0));
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..1001).map(|it| it.to_string())));
    let rows = batch(vec![("score", Use::Feature, numbers((0..1001).map(|_| 0.5))), ("region", Use::Slice, ids)]);
    let mut probe = open(&config);
    probe.update(&(), Role::Current, &rows.slice(0, 1000)).unwrap();
    let error = probe.update(&(), Role::Current, &rows.slice(1000, 1)).unwrap_err();
    assert!(error.message.contains("more than 1000 slices"), "{}", error.message);
}

#[test]
fn a_slice_column_that_is_not_there_is_refused() {
    let mut config = binary();
    config["slices"] = json!(["region", "contry"]);
    assert!(open(&config).needs().current.unwrap().slices);
    let error = open(&config).update(&(), Role::Current, &regions(1, 50, 0.0, Labels::AsScored)).unwrap_err();
    assert_eq!((error.path.as_str(), error.help.as_str()), ("/slices/1", "the slice columns are `region`"));
}

#[test]
fn chunks_smaller_than_those_of_the_reference_have_wider_limits() {
    let width = |n_rows: usize| {
        let mut config = binary();
        config["metrics"] = json!(["accuracy"]);
        let report = run(&config, &scored(1, 10_000, 0.0, Labels::AsScored), &scored(2, n_rows, 0.0, Labels::None));
        let modelwatch_sdk::report::FigureData::Lines { series, .. } = &report.figures[0].data else { panic!() };
        let limit = |name: &str| series.iter().find(|it| it.name == name).unwrap().values[0];
        let lower = labeled(&report, "limit_accuracy", "bound", "lower").unwrap();
        assert!(limit("lower limit") <= lower, "{} and {lower}", limit("lower limit"));
        limit("upper limit") - limit("lower limit")
    };
    assert_eq!(width(10_000), width(20_000));
    assert!(width(1000) > 1.5 * width(10_000), "{} and {}", width(1000), width(10_000));
}

#[test]
fn limits_that_are_given_replace_those_of_the_reference() {
    let mut config = binary();
    config["metrics"] = json!(["accuracy", "roc_auc"]);
    config["limits"] = json!({ "accuracy": { "lower": 0.5 }, "roc_auc": { "upper": 0.6 } });
    config["severity"] = json!("error");
    let report = run(&config, &scored(1, 5000, 0.0, Labels::AsScored), &scored(2, 5000, 0.0, Labels::None));
    assert_eq!(codes(&report), [("MW-P001", "roc_auc")]);
    assert_eq!(report.findings[0].severity, modelwatch_sdk::report::Severity::Error);
    assert_eq!(labeled(&report, "limit_accuracy", "bound", "lower"), Some(0.5));
    assert_eq!(labeled(&report, "limit_accuracy", "bound", "upper"), None);
}

#[test]
fn labels_that_mean_something_else_refute_the_estimate() {
    let report = run(&binary(), &scored(1, 10_000, 0.0, Labels::AsScored), &scored(2, 5_000, 0.0, Labels::Random));
    let found = codes(&report);
    assert!(found.contains(&("MW-P005", "roc_auc")) && found.contains(&("MW-P002", "roc_auc")), "{found:?}");
    let finding = finding(&report, "MW-P005", "roc_auc");
    assert!(finding.evidence["differences"][0].as_f64().unwrap() < -0.3, "{:?}", finding.evidence);
}

#[test]
fn what_few_labels_gave_is_held_against_limits_for_as_few() {
    let mut config = binary();
    config["metrics"] = json!(["accuracy"]);
    let rows = scored(2, 10_000, 0.0, Labels::AsScored);
    let labels = rows.column(2).as_primitive::<Float64Type>();
    // Of each chunk of 2000 rows, the first 150 have a label, and 110 to 120 of these are right by accident or by design.
    let wrong = |row: usize| row % 2000 < 24;
    let called = |row: usize| f64::from(u8::from(rows.column(0).as_primitive::<Float64Type>().value(row) >= 0.5));
    let label = |row: usize| match row % 2000 {
        0..150 if wrong(row) => 1.0 - called(row),
        0..150 => called(row),
        _ => f64::NAN,
    };
    let columns = [
        ("score", Use::Feature, Arc::clone(rows.column(0))),
        ("label", Use::Label, numbers((0..labels.len()).map(label))),
    ];
    let report = run(&config, &scored(1, 10_000, 0.0, Labels::AsScored), &batch(columns.into()));
    assert_eq!(overall(&report, "realized_accuracy").value, 0.84);
    assert!(codes(&report).iter().all(|it| it.0 != "MW-P002"), "{:?}", codes(&report));
}

/// Calibrated scores, squared: they order the rows as before and are chances no more.
fn squared(batch_of: &RecordBatch) -> RecordBatch {
    let scores = modelwatch_sdk::rows::numbers(batch_of.column(0)).unwrap();
    let squares = numbers(scores.values.iter().map(|it| it * it));
    batch(vec![
        ("score", Use::Feature, squares),
        ("time", Use::Timestamp, Arc::clone(batch_of.column(1))),
        ("label", Use::Label, Arc::clone(batch_of.column(2))),
    ])
}

#[test]
fn bad_calibration_is_told_and_repaired() {
    let (reference, current) = (scored(1, 10_000, 0.0, Labels::AsScored), scored(2, 10_000, 1.0, Labels::AsScored));
    let report = run(&binary(), &squared(&reference), &squared(&current));
    let finding = finding(&report, "MW-P003", "class `1`");
    assert_eq!(finding.evidence["is_calibrated_here"], true);
    assert_eq!(labeled(&report, "calibrated", "class", "1"), Some(1.0));
    let (estimated, realized) =
        (overall(&report, "estimated_accuracy").value, overall(&report, "realized_accuracy").value);
    assert!((estimated - realized).abs() < 0.02, "{estimated} and {realized}");
    let mut config = binary();
    config["calibration"] = json!("never");
    let report = run(&config, &squared(&reference), &squared(&current));
    let estimated = overall(&report, "estimated_accuracy").value;
    assert!((estimated - realized).abs() > 0.03, "{estimated} and {realized}");
}

#[test]
fn scores_that_are_no_chances_are_calibrated() {
    let logits = |it: RecordBatch| {
        let scores = modelwatch_sdk::rows::numbers(it.column(0)).unwrap();
        let logits = numbers(scores.values.iter().map(|it| (it / (1.0 - it)).ln()));
        batch(vec![("score", Use::Feature, logits), ("label", Use::Label, Arc::clone(it.column(2)))])
    };
    let (reference, current) = (scored(1, 5000, 0.0, Labels::AsScored), scored(2, 5000, 1.0, Labels::AsScored));
    let mut config = binary();
    config["threshold"] = json!(0.0);
    let report = run(&config, &logits(reference.clone()), &logits(current.clone()));
    assert!(codes(&report).contains(&("MW-P003", "class `1`")));
    let of_chances = run(&binary(), &reference, &current);
    let difference = overall(&report, "estimated_accuracy").value - overall(&of_chances, "estimated_accuracy").value;
    assert!(difference.abs() < 0.02, "{difference}");
    config["calibration"] = json!("never");
    let report = run(&config, &logits(reference), &logits(current));
    assert_eq!(report.metrics, []);
    assert!(report.gaps[0].why.contains("not between 0 and 1"), "{:?}", report.gaps);
}

#[test]
fn a_class_that_cannot_be_calibrated_on_is_told() {
    let positive = |it: RecordBatch| {
        let n = it.num_rows();
        let labels: ArrayRef = numbers((0..n).map(|_| 1.0));
        batch(vec![("score", Use::Feature, Arc::clone(it.column(0))), ("label", Use::Label, labels)])
    };
    let (reference, current) = (scored(1, 5000, 0.0, Labels::AsScored), scored(2, 5000, 0.0, Labels::AsScored));
    let told = |config: &Value, reference: RecordBatch| {
        let report = run(config, &reference, &current);
        report.gaps.into_iter().find(|it| it.what == "calibration of class `1`").map(|it| it.why)
    };
    let why = told(&binary(), positive(reference.clone())).unwrap();
    assert!(why.contains("all of it or all of others") && why.ends_with("give reference rows of both"), "{why}");
    assert_eq!(told(&binary(), reference.clone()), None);
    let mut config = binary();
    config["calibration"] = json!("never");
    assert_eq!(told(&config, positive(reference)), None);
}

#[test]
fn chunks_by_time_and_small_ones() {
    let mut config = binary();
    config["chunk"] = json!({ "period": "month" });
    config["metrics"] = json!(["accuracy"]);
    // 1000 hours: January of 1970 and eleven days.
    let report = run(&config, &scored(1, 5000, 0.0, Labels::AsScored), &scored(2, 800, 0.0, Labels::None));
    let chunks: Vec<_> = report.metrics.iter().filter(|it| it.name == "estimated_accuracy").collect();
    let names: Vec<_> = chunks.iter().filter_map(|it| it.labels.get("chunk")).collect();
    assert_eq!(names, ["1970-01", "1970-02"]);
    assert_eq!(chunks.iter().map(|it| it.n).collect::<Vec<_>>(), [800, 744, 56]);
    let finding = finding(&report, "MW-P004", "chunks");
    assert_eq!(finding.evidence["chunks"], json!(["1970-02"]));
    assert_eq!((overall(&report, "judged_chunks").value, report.checks.len()), (1.0, 0));
    // Eleven days alone are too few, and no finding is no pass.
    let report = run(&config, &scored(1, 5000, 0.0, Labels::AsScored), &scored(2, 56, 0.0, Labels::None));
    assert_eq!(overall(&report, "judged_chunks").value, 0.0);
    assert_eq!(report.checks.iter().map(|it| it.status).collect::<Vec<_>>(), [Status::NotChecked]);
}

#[test]
fn what_cannot_be_estimated_is_a_gap() {
    let reference = scored(1, 1000, 0.0, Labels::AsScored);
    let spoiled = batch(vec![
        ("score", Use::Feature, numbers([0.5, f64::NAN, 1.5, 0.2])),
        ("time", Use::Timestamp, Arc::new(TimestampSecondArray::from(vec![0; 4]))),
    ]);
    let config = json!({ "task": "binary", "score": "score", "calibration": "never", "min_chunk_rows": 1 });
    let report = run(&config, &reference, &spoiled);
    assert_eq!(overall(&report, "estimated_accuracy").n, 2);
    assert!(
        report.gaps.iter().any(|it| it.why.starts_with("scores or predictions of 2 of 4 current rows")),
        "{:?}",
        report.gaps
    );
    let unfit = overall(&report, "estimated_accuracy").unfit.as_deref();
    assert!(unfit.is_some_and(|it| it.starts_with("scores or predictions of 2 of its rows")), "{unfit:?}");
    let without_labels = scored(1, 1000, 0.0, Labels::None);
    let report = run(&config, &without_labels, &reference);
    assert_eq!(
        (report.metrics.len(), report.gaps[0].why.as_str()),
        (0, "no row of the reference has both a label and scores")
    );
    // One class in all of the reference: no area, and the rest all the same.
    let one_class = batch(vec![
        ("score", Use::Feature, numbers((0..500).map(|it| f64::from(it) / 500.0))),
        ("label", Use::Label, numbers(vec![1.0; 500])),
    ]);
    let report = run(&config, &one_class, &reference);
    assert!(overall(&report, "sampling_error_roc_auc").value.is_nan());
    assert!(overall(&report, "estimated_accuracy").value > 0.5);
}

#[test]
fn values_of_cells_add_up() {
    let mut config = binary();
    config["values"] = json!({ "true_positive": 10, "false_positive": -5, "false_negative": -1, "true_negative": 0 });
    let report = run(&config, &scored(1, 5000, 0.0, Labels::AsScored), &scored(2, 5000, 0.0, Labels::AsScored));
    let value = |name: &str| overall(&report, name).value;
    for side in ["estimated", "realized"] {
        let share = |cell: &str| value(&format!("{side}_{cell}_share"));
        let expected = 10.0 * share("true_positive") - 5.0 * share("false_positive") - share("false_negative");
        assert!((value(&format!("{side}_business_value")) - expected).abs() < 1e-12);
        let all = share("true_positive") + share("false_positive") + share("false_negative") + share("true_negative");
        assert!((all - 1.0).abs() < 1e-12);
    }
    let difference = value("estimated_business_value") - value("realized_business_value");
    assert!(difference.abs() < 4.0 * value("sampling_error_business_value"), "{difference}");
}

/// Rows of three classes with the outputs of a model, whose class `b` has the features of a number.
fn outputs(seed: u64, n_rows: usize, sharpness: f64) -> RecordBatch {
    let mut random = Random(seed);
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let raw: Vec<f64> = (0..3).map(|_| (sharpness * random.normal()).exp()).collect();
        let sum: f64 = raw.iter().sum();
        let mut rest = random.uniform();
        let label = raw.iter().position(|it| {
            rest -= it / sum;
            rest < 0.0
        });
        labels.push(["a", "b", "c"][label.unwrap_or(2)]);
        scores.extend(raw.iter().map(|it| it / sum));
    }
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let scores = FixedSizeListArray::new(item, 3, Arc::new(Float64Array::from(scores)), None);
    let labels: ArrayRef = Arc::new(StringArray::from(labels));
    batch(vec![("label", Use::Label, labels), ("candidate:probs", Use::Candidate, Arc::new(scores))])
}

fn multiclass() -> Value {
    json!({ "task": "multiclass", "classes": ["a", "b", "c"], "chunk": { "count": 4 } })
}

#[test]
fn several_classes_of_a_models_output() {
    let report = run(&multiclass(), &outputs(1, 6000, 2.0), &outputs(2, 6000, 1.0));
    for metric in ["accuracy", "roc_auc", "average_precision", "f1", "precision", "recall", "specificity"] {
        let value = |what: &str| overall(&report, &format!("{what}_{metric}")).value;
        assert!((value("estimated") - value("realized")).abs() < 5.0 * value("sampling_error"), "{metric}");
    }
    assert!(codes(&report).contains(&("MW-P001", "accuracy")));
    assert_eq!(labeled(&report, "calibrated", "class", "c").map(|it| it <= 1.0), Some(true));
}

#[test]
fn the_confusion_matrix_of_several_classes_is_expected() {
    let report = run(&multiclass(), &outputs(1, 6000, 2.0), &outputs(2, 6000, 1.0));
    let names = ["a", "b", "c"];
    let cell = |name: &str, class: &str, called: &str| {
        let is_it = |it: &&modelwatch_sdk::report::Metric| {
            it.name == name && it.labels["class"] == class && it.labels["called"] == called
        };
        report.metrics.iter().find(is_it).unwrap().clone()
    };
    let (mut sum, mut right) = (0.0, 0.0);
    for class in names {
        for called in names {
            let estimated = cell("estimated_confusion_share", class, called);
            let (error, realized) = (
                cell("sampling_error_confusion_share", class, called).value,
                cell("realized_confusion_share", class, called).value,
            );
            assert!((estimated.value - realized).abs() < 4.0 * error, "{class} {called}: {estimated:?} {realized}");
            let interval = estimated.interval.unwrap();
            assert!(interval.low < estimated.value && estimated.value < interval.high);
            sum += estimated.value;
            right += if class == called { estimated.value } else { 0.0 };
        }
    }
    assert!((sum - 1.0).abs() < 1e-9);
    assert!((right - overall(&report, "estimated_accuracy").value).abs() < 1e-9);
    assert!(report.figures.iter().any(|it| it.title == "Expected confusion matrix"));
    // Two classes have their cells as metrics.
    let report = run(&binary(), &scored(1, 500, 0.0, Labels::AsScored), &scored(2, 500, 0.0, Labels::None));
    assert!(!report.metrics.iter().any(|it| it.name.contains("confusion")));
}

/// A regression whose errors grow with one feature, differ by a name, and where the current rows can be of the worse kind.
fn predicted(seed: u64, n_rows: usize, least: f64, has_labels: bool) -> RecordBatch {
    let mut random = Random(seed);
    let (mut widths, mut names, mut predictions, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..n_rows {
        let width = least + (3.0 - least) * random.uniform();
        let is_loud = row % 3 == 0;
        let prediction = 60.0 + 5.0 * random.normal();
        let error = width * if is_loud { 2.0 } else { 1.0 } * random.normal();
        widths.push(width);
        names.push(if is_loud { "loud" } else { "calm" });
        predictions.push(prediction);
        labels.push(prediction + error);
    }
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let mut all = vec![
        ("width", Use::Feature, numbers(widths)),
        ("kind", Use::Feature, names),
        ("predicted", Use::Feature, numbers(predictions)),
    ];
    if has_labels {
        all.push(("label", Use::Label, numbers(labels)));
    }
    batch(all)
}

fn regression() -> Value {
    json!({ "task": "regression", "prediction": "predicted", "chunk": { "count": 5 } })
}

#[test]
fn errors_of_a_regression_are_learned() {
    let reference = predicted(1, 9000, 0.0, true);
    let report = run(&regression(), &reference, &predicted(2, 9000, 2.0, true));
    // Without the trees the estimate would be that of the reference.
    for metric in ["mae", "mape", "mse", "rmse", "msle", "rmsle"] {
        let value = |what: &str| overall(&report, &format!("{what}_{metric}")).value;
        let (estimated, realized, reference) = (value("estimated"), value("realized"), value("reference"));
        assert!((estimated - realized).abs() < 0.1 * realized, "{metric}: {estimated} and {realized}");
        assert!(realized > 1.4 * reference, "{metric}: {realized} and {reference}");
        assert!(value("sampling_error") > 0.0);
    }
    // The mean width is 2.5, a normal number's mean size is √(2/π), and every third row is twice as loud.
    let truth = 2.5 * (2.0 / std::f64::consts::PI).sqrt() * 4.0 / 3.0;
    let estimated = overall(&report, "estimated_mae").value;
    assert!((estimated - truth).abs() < 0.05 * truth, "{estimated} and {truth}");
    assert!(codes(&report).contains(&("MW-P001", "mae")) && codes(&report).contains(&("MW-P002", "mae")));
    let report = run(&regression(), &reference, &predicted(3, 9000, 0.0, false));
    assert_eq!(codes(&report), [("", ""); 0]);
}

#[test]
fn features_are_left_out_by_pattern_and_by_type() {
    let (reference, current) = (predicted(1, 2000, 0.0, true), predicted(2, 1000, 2.0, false));
    let mae = |exclude: Value| {
        let mut config = regression();
        config["exclude"] = exclude;
        overall(&run(&config, &reference, &current), "estimated_mae").value
    };
    let names: Vec<String> = columns(&reference, Use::Feature).map(|it| it.0.to_owned()).collect();
    let without_any = mae(json!(names));
    assert_ne!(mae(json!([])), without_any);
    assert_eq!(mae(json!(["*"])), without_any);
    assert_eq!(mae(json!(["type:number", "type:text"])), without_any);
    let only = |columns: Value| {
        let mut config = regression();
        config["columns"] = columns;
        overall(&run(&config, &reference, &current), "estimated_mae").value
    };
    assert_eq!(only(json!(["w*"])), mae(json!(["kind"])));
    assert_eq!(only(json!(["type:text"])), mae(json!(["width"])));
    assert_eq!(only(json!(["*"])), mae(json!([])));
    assert_ne!(only(json!(["type:text"])), mae(json!([])));
    // The label would tell all.
    assert_eq!(only(json!(["label"])), without_any);
}

#[test]
fn rows_of_which_errors_do_not_exist_are_left_out_of_their_metrics() {
    let rows = batch(vec![
        ("predicted", Use::Feature, numbers((0..400).map(|it| f64::from(it % 4) - 1.5))),
        ("label", Use::Label, numbers((0..400).map(|it| f64::from(it % 5)))),
    ]);
    let report = run(&regression(), &rows, &rows);
    // A prediction below -1 has no logarithm, and a label of 0 nothing that an error could be relative to.
    for (metric, n, why) in
        [("msle", 300, "their label or prediction is -1 or less"), ("mape", 320, "their label is 0")]
    {
        for kind in ["realized", "estimated"] {
            let it = overall(&report, &format!("{kind}_{metric}"));
            assert!(it.value.is_finite() && it.n == n, "{it:?}");
        }
        let place = format!("metric `{metric}`, in part");
        let whys: Vec<_> = report.gaps.iter().filter(|it| it.what == place).map(|it| it.why.as_str()).collect();
        let left_out = 400 - n;
        let expected = [
            format!("{left_out} of 400 current rows have no such error, as {why}, and are left out of it"),
            format!("{left_out} labeled reference rows have no such error, as {why}, and are left out of it"),
        ];
        assert_eq!(whys, expected);
    }
    assert_eq!(overall(&report, "realized_mae").n, 400);
}

#[test]
fn errors_that_do_not_exist_are_expected_of_no_row() {
    let rows = |seed: u32| {
        let predicted: Vec<f64> = (0..4000u32)
            .map(|it| f64::from((it.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) % 10_007) / 1000.0 - 9.0)
            .collect();
        let noise = |it: usize| ((it * 37 + seed as usize) % 19) as f64 / 100.0 - 0.09;
        let labels: Vec<f64> = predicted.iter().enumerate().map(|(at, it)| it + noise(at)).collect();
        let n = predicted.iter().zip(&labels).filter(|it| *it.0 > -1.0 && *it.1 > -1.0).count() as u64;
        (batch(vec![("predicted", Use::Feature, numbers(predicted)), ("label", Use::Label, numbers(labels))]), n)
    };
    let ((reference, _), (current, n)) = (rows(1), rows(2));
    let report = run(&regression(), &reference, &current);
    let [estimated, realized] = ["estimated", "realized"].map(|it| overall(&report, &format!("{it}_msle")));
    assert!(n > 500 && n < 1500 && (estimated.n, realized.n) == (n, n), "{n}: {estimated:?} {realized:?}");
    assert!((estimated.value / realized.value - 1.0).abs() < 0.5, "{estimated:?} {realized:?}");
    assert!(!codes(&report).iter().any(|it| it.0 == "MW-P005"), "{:?}", codes(&report));
}

#[test]
fn a_column_of_ids_teaches_no_row_its_own_error() {
    let with_ids = |rows: &RecordBatch, first: usize| {
        let n = rows.num_rows();
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|it| format!("order {}", first + it))));
        let pairs: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..n).map(|it| format!("pair {}", (first + it) / 2))));
        let schema = rows.schema();
        let of = |(field, it): (&Arc<Field>, &ArrayRef)| {
            let what = if field.name() == "label" { Use::Label } else { Use::Feature };
            (field.name().clone(), what, Arc::clone(it))
        };
        let all: Vec<_> = schema.fields().iter().zip(rows.columns()).map(of).collect();
        let mut all: Vec<_> = all.iter().map(|it| (it.0.as_str(), it.1, Arc::clone(&it.2))).collect();
        all.extend([("id", Use::Feature, ids), ("pair", Use::Feature, pairs)]);
        batch(all)
    };
    let (reference, current) = (predicted(1, 3000, 0.0, true), predicted(2, 3000, 0.0, true));
    let report = run(&regression(), &with_ids(&reference, 0), &with_ids(&current, 50_000));
    let value = |of: &Report, kind: &str| overall(of, &format!("{kind}_mae")).value;
    assert_eq!(value(&report, "estimated"), value(&run(&regression(), &reference, &current), "estimated"));
    assert!((value(&report, "estimated") / value(&report, "realized") - 1.0).abs() < 0.05);
    assert_eq!(codes(&report), [("", ""); 0]);
    for column in ["id", "pair"] {
        let place = format!("column `{column}`, in part");
        let gap = report.gaps.iter().find(|it| it.what == place).unwrap();
        assert!(
            gap.why.starts_with("3000 of 3000 labeled reference rows have a value that fewer than 20 have"),
            "{gap:?}"
        );
    }
}

/// Predictions that are off by `size` of a normal number, of which one in `each` has a label of 0.
fn with_zeros(seed: u64, size: f64, each: usize) -> RecordBatch {
    let mut random = Random(seed);
    let predicted: Vec<f64> = (0..6000).map(|_| 20.0 + 3.0 * random.normal()).collect();
    let label = |(row, it): (usize, &f64)| if row % each == 0 { 0.0 } else { it + size * random.normal() };
    let labels: Vec<f64> = predicted.iter().enumerate().map(label).collect();
    batch(vec![("predicted", Use::Feature, numbers(predicted)), ("label", Use::Label, numbers(labels))])
}

#[test]
fn labels_refute_an_estimate_also_where_some_rows_have_no_such_error() {
    let mut config = regression();
    config["metrics"] = json!(["mape"]);
    let reference = with_zeros(1, 1.0, 50);
    // No chunk is without a label of 0, and the last kind has them in half of its rows.
    for each in [50, 2] {
        let report = run(&config, &reference, &with_zeros(2, 1.5, each));
        let found = finding(&report, "MW-P005", "mape");
        let n_left_out = 6000 / each;
        assert_eq!(found.evidence["n_left_out"], n_left_out, "{}", found.message);
        let expected = format!("; of these chunks, {n_left_out} rows without such an error are left out");
        assert!(found.message.ends_with(&expected), "{}", found.message);
        let difference = found.evidence["differences"][0].as_f64().unwrap();
        assert!((difference - 0.02).abs() < 0.01, "{difference}");
        for seed in 3..13 {
            let report = run(&config, &reference, &with_zeros(seed, 1.0, each));
            assert_eq!(codes(&report), [("", ""); 0], "{seed}");
        }
    }
}

#[test]
fn what_few_rows_of_the_reference_taught_refutes_no_estimate() {
    // All but one in 40 rows of the reference have a label of 0, and no current row has.
    let reference = |seed: u64| {
        let rows = with_zeros(seed, 1.0, 7000);
        let kept = |it: &ArrayRef| -> Vec<f64> { it.as_primitive::<Float64Type>().values().to_vec() };
        let [predicted, labels] = [0, 1].map(|it| kept(rows.column(it)));
        let labels = labels.iter().enumerate().map(|(row, it)| if row % 40 == 1 { *it } else { 0.0 });
        batch(vec![("predicted", Use::Feature, numbers(predicted)), ("label", Use::Label, numbers(labels))])
    };
    let mut config = regression();
    config["metrics"] = json!(["mape"]);
    for seed in 1..13 {
        let report = run(&config, &reference(seed), &with_zeros(100 + seed, 1.0, 7000));
        assert!(codes(&report).iter().all(|it| it.0 != "MW-P005"), "{seed}: {:?}", codes(&report));
    }
}

#[test]
fn the_suite_is_kept() {
    let registry = estimate_performance::registry();
    let codes = registry.manifest().codes(Kind::Analyzer, "performance");
    let mut sliced = binary();
    sliced["slices"] = json!(["region"]);
    let cases = [
        (binary(), scored(1, 600, 0.0, Labels::AsScored), scored(2, 300, 1.0, Labels::AsScored)),
        (sliced, regions(1, 600, 0.0, Labels::AsScored), regions(2, 300, 1.0, Labels::AsScored)),
        (multiclass(), outputs(1, 600, 2.0), outputs(2, 300, 1.0)),
        (regression(), predicted(1, 600, 0.0, true), predicted(2, 300, 2.0, true)),
    ];
    for (mut config, reference, current) in cases {
        config["min_chunk_rows"] = json!(10);
        let open = || registry.open_probe(Kind::Analyzer, "performance", &config);
        let rows = vec![(Role::Reference, reference), (Role::Current, current)];
        testing::probe(&ProbeCase { open: &open, rows, tensors: Vec::new(), codes });
    }
}

#[test]
fn rows_of_the_wrong_kind_are_refused() {
    let refused = |config: Value, rows: RecordBatch| {
        let error = open(&config).update(&(), Role::Current, &rows).unwrap_err();
        assert!([ErrorKind::Input, ErrorKind::Config].contains(&error.kind), "{error:?}");
        error.message
    };
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let word =
        |of: &str| refused(json!({"task": "binary", "score": of}), batch(vec![("s", Use::Feature, texts.clone())]));
    assert!(word("s").contains("scores `s`: expected numbers"), "{}", word("s"));
    assert!(word("t").contains("no column `t`"));
    let message = refused(json!({"task": "multiclass", "classes": ["a", "b", "c", "d"]}), outputs(1, 1, 1.0));
    assert_eq!(message, "a row has 3 scores, expected 4 scores");
    let message =
        refused(json!({"task": "binary", "score": "score", "max_rows": 10}), scored(1, 20, 0.0, Labels::None));
    assert!(message.contains("more than 10 rows"), "{message}");
    let two = json!({"task": "binary"});
    assert!(refused(two, scored(1, 20, 0.0, Labels::None)).contains("no outputs of the candidate"));
}

#[test]
fn what_a_task_does_not_have_is_no_known_metric() {
    let knows = |options: Value, name: &str| open(&options).needs().metrics.iter().any(|it| it.name == name);
    for (task, is_classifier, has_cells) in
        [("binary", true, false), ("multiclass", true, true), ("regression", false, false)]
    {
        let of = |name: &str| knows(json!({ "task": task }), name);
        assert_eq!((of("calibration_error"), of("calibrated")), (is_classifier, is_classifier), "{task}");
        assert_eq!(of("estimated_confusion_share"), has_cells, "{task}");
    }
}
