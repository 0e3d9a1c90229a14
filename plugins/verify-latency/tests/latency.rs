//! Times that a test scripts: what passes, what fails, and what is noise.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, sync::Mutex};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Kind, ModelRole, Probe, RecordBatch, Report, Result, Role, Verifier,
    about::{ModelDescription, Port},
    arrow::{
        array::{ArrayRef, Float64Array},
        schema::{DataType, Field, Schema},
    },
    memory::InferenceMemory,
    report::{FigureData, MetricRole, Status},
    rows::with_input,
    testing::{self, ModelHost, ProbeCase, TestModel},
};
use serde_json::{Value, json};
use verify_latency::{Config, Latency};

/// A model that takes so many seconds, by how often it ran and for how many rows.
fn model(seconds: impl Fn(u64, usize) -> f64 + Send + Sync + 'static) -> TestModel {
    let description = ModelDescription { load_seconds: 0.2, ..ModelDescription::default() };
    TestModel { description, seconds: Box::new(seconds), ..TestModel::new(|rows| Ok(rows.clone())) }
}

/// Between 0 and 1, without a pattern.
fn jitter(n: u64) -> f64 {
    let it = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((it ^ (it >> 27)) >> 40) as f64 / (1_u64 << 24) as f64
}

fn rows() -> RecordBatch {
    let field = with_input(Field::new("x", DataType::Float64, true), ModelRole::Candidate, "x");
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values]).unwrap()
}

fn open(config: &Value) -> Result<Latency> {
    Latency::open(serde_json::from_value::<Config>(config.clone()).unwrap())
}

fn run(config: &Value, host: &dyn Host) -> Report {
    let mut probe = open(config).unwrap();
    probe.update(host, Role::Current, &rows()).unwrap();
    probe.evaluate(host).unwrap()
}

fn value(report: &Report, name: &str, role: MetricRole, batch_size: usize) -> f64 {
    let size = batch_size.to_string();
    let found = report.metrics.iter().find(|it| it.name == name && it.role == role && it.labels["batch_size"] == size);
    found.unwrap().value
}

/// Runs with one limit on batches of one row: the status of its check, and the codes of the findings.
#[track_caller]
fn check(limit: Value, host: &dyn Host, status: Status, codes: &[&str]) -> Report {
    let mut limits = json!({ "batch_size": 1 });
    limits.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
    let report = run(&json!({ "batch_sizes": [1], "budget_seconds": 100, "limits": [limits] }), host);
    assert_eq!(report.checks.len(), 1);
    assert_eq!(report.checks[0].status, status, "{}", report.checks[0].message);
    assert_eq!(report.findings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), codes);
    assert_eq!(report.gaps.is_empty(), matches!(status, Status::Pass | Status::Fail), "{:?}", report.gaps);
    report
}

#[test]
fn numbers_are_those_of_the_definition() {
    let report =
        run(&json!({ "batch_sizes": [1, 8], "max_runs": 100 }), &ModelHost::new(model(|_, n| n as f64 * 2e-3)));
    for (size, seconds) in [(1, 2e-3), (8, 16e-3)] {
        for name in ["latency_p50", "latency_p95", "latency_p99"] {
            assert_eq!(value(&report, name, MetricRole::Candidate, size), seconds);
        }
        assert!((value(&report, "rows_per_second", MetricRole::Candidate, size) - 500.0).abs() < 1e-9);
        assert_eq!(value(&report, "first_run_seconds", MetricRole::Candidate, size), seconds);
        assert_eq!(value(&report, "outliers", MetricRole::Candidate, size), 0.0);
    }
    assert!(report.metrics.iter().filter(|it| it.name == "latency_p50").all(|it| it.n == 100));
    assert!(report.metrics.iter().any(|it| it.name == "load_seconds" && it.value == 0.2));
    let FigureData::Table { rows, .. } = &report.figures[0].data else { panic!("no table") };
    assert_eq!(rows[1][..6], ["8", "candidate", "100", "16.000", "16.000", "16.000"]);
    assert_eq!(report.figures[1].title, "Machine");
}

#[test]
fn budgets_are_held_against_intervals() {
    let host = || ModelHost::new(model(|n, _| 10e-3 + 2e-3 * jitter(n)));
    check(json!({ "p50_ms": 12 }), &host(), Status::Pass, &[]);
    check(json!({ "p99_ms": 12 }), &host(), Status::Pass, &[]);
    check(json!({ "p50_ms": 10 }), &host(), Status::Fail, &["MW-L001"]);
    check(json!({ "min_rows_per_second": 80 }), &host(), Status::Pass, &[]);
    check(json!({ "min_rows_per_second": 110 }), &host(), Status::Fail, &["MW-L001"]);
    // The limit is the median, within what the runs can tell.
    let report = check(json!({ "p50_ms": 11 }), &host(), Status::Inconclusive, &[]);
    assert!(report.gaps[0].why.contains("too noisy or too few runs"), "{}", report.gaps[0].why);
    let interval = report.checks[0].interval.unwrap();
    assert!(interval.low < 11.0 && 11.0 < interval.high && interval.level == 0.95);
}

#[test]
fn what_slows_both_down_is_no_difference() {
    // The machine is three times slower in every second stretch of a hundred turns.
    let slow = |n: u64| if (n / 100).is_multiple_of(2) { 1.0 } else { 3.0 };
    let host = |factor: f64| {
        let time = move |n: u64| slow(n) * (10e-3 + 1e-3 * jitter(n));
        ModelHost::new(model(move |n, _| factor * time(n))).with_baseline(model(move |n, _| time(n + 1_000_000)))
    };
    let limit = json!({ "p50_of_baseline": 1.2 });
    // Such a machine is called noisy all the same.
    let noisy = ["MW-L003"];
    let report = check(limit.clone(), &host(1.0), Status::Pass, &noisy);
    assert!((value(&report, "latency_p50", MetricRole::Ratio, 1) - 1.0).abs() < 0.02);
    assert!(value(&report, "latency_p50", MetricRole::Baseline, 1) > 10e-3);
    check(limit.clone(), &host(1.2), Status::Inconclusive, &noisy);
    check(limit, &host(1.4), Status::Fail, &["MW-L003", "MW-L002"]);
    check(json!({ "p99_of_baseline": 1.2 }), &host(1.5), Status::Fail, &["MW-L003", "MW-L002"]);
    // Without a baseline there is nothing to compare with.
    let alone = ModelHost::new(model(|_, _| 1e-3));
    let report = check(json!({ "p50_of_baseline": 1.2 }), &alone, Status::NotChecked, &[]);
    assert!(report.gaps[0].why.contains("`when = \"baseline\"`"));
}

#[test]
fn outliers_are_counted_and_kept() {
    let rare = |n: u64, _: usize| if n % 50 == 3 { 1.0 } else { 1e-3 + 1e-5 * jitter(n) };
    let host = ModelHost::new(model(rare));
    let config = json!({ "batch_sizes": [1], "budget_seconds": 100 });
    let report = run(&config, &host);
    assert_eq!(value(&report, "outliers", MetricRole::Candidate, 1), 10.0);
    assert!(value(&report, "latency_p50", MetricRole::Candidate, 1) < 2e-3);
    assert_eq!(value(&report, "latency_p99", MetricRole::Candidate, 1), 1.0);
    assert!(report.findings.is_empty());
    let often = |n: u64, _: usize| if n % 10 == 3 { 1.0 } else { 1e-3 + 1e-5 * jitter(n) };
    let report = run(&config, &ModelHost::new(model(often)));
    assert_eq!(report.findings[0].code, "MW-L003");
}

#[test]
fn the_budget_ends_the_measurement() {
    // The large batch gets what the small one leaves.
    let host = ModelHost::new(model(|_, n| n as f64 * 10e-3));
    let report = run(&json!({ "batch_sizes": [1, 2], "budget_seconds": 1.0, "max_runs": 20 }), &host);
    let n = |size: &str| {
        let found = report.metrics.iter().find(|it| it.name == "latency_p50" && it.labels["batch_size"] == size);
        found.unwrap().n
    };
    assert_eq!((n("1"), n("2")), (20, 20));
    // A hundred runs have no upper bound of a 99th percentile, whatever the limit.
    let few = json!({ "batch_sizes": [1], "max_runs": 100, "limits": [{ "batch_size": 1, "p99_ms": 1e6 }] });
    assert_eq!(run(&few, &ModelHost::new(model(|_, _| 1e-3))).checks[0].status, Status::Inconclusive);
    // A batch that takes longer than the budget is run once, and decides nothing.
    let slow = ModelHost::new(model(|_, _| 600.0));
    let report = check(json!({ "p50_ms": 1 }), &slow, Status::Inconclusive, &[]);
    assert!(report.gaps[0].why.contains("no run fits in `budget_seconds`"), "{}", report.gaps[0].why);
    assert_eq!(value(&report, "first_run_seconds", MetricRole::Candidate, 1), 600.0);
}

#[test]
fn models_run_in_turns_and_change_places() {
    #[derive(Default)]
    struct Recorder(Mutex<Vec<ModelRole>>);
    impl Host for Recorder {
        fn infer(&self, model: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
            self.0.lock().unwrap().push(model);
            Ok(input.clone())
        }
        fn call(&self, service: &str, _: &Value) -> Result<Value> {
            match service {
                "model" => Ok(serde_json::to_value(ModelDescription::default()).unwrap()),
                "inference_seconds" => Ok(json!(1e-3)),
                other => Err(Error::input(other)),
            }
        }
    }
    let host = Recorder::default();
    run(&json!({ "batch_sizes": [1], "warm_up": 0, "max_runs": 4 }), &host);
    let order = host.0.into_inner().unwrap();
    let (c, b) = (ModelRole::Candidate, ModelRole::Baseline);
    // One run shows that the baseline runs, one of each is the first.
    assert_eq!(order, [b, c, b, c, b, b, c, c, b, b, c]);
}

/// A model that is loaded again in so many seconds, by how often it was.
fn loaded(seconds: impl Fn(u64) -> f64 + Send + Sync + 'static) -> TestModel {
    TestModel { load: Some(Box::new(seconds)), ..model(|_, _| 1e-3) }
}

#[test]
fn loads_are_held_against_their_interval() {
    let of = |limit: f64, model: TestModel| {
        let report = run(&json!({ "max_load_seconds": limit }), &ModelHost::new(model));
        let codes: Vec<_> = report.findings.iter().map(|it| it.code.clone()).collect();
        let why = report.gaps.iter().find(|it| it.what == "load_seconds").map(|it| it.why.clone());
        assert_eq!(why.is_some(), report.checks[0].status == Status::Inconclusive, "{:?}", report.checks);
        (report.checks[0].status, codes, why.unwrap_or_default())
    };
    assert_eq!(of(0.3, loaded(|_| 0.2)), (Status::Pass, vec![], String::new()));
    assert_eq!(of(0.1, loaded(|_| 0.2)), (Status::Fail, vec!["MW-L004".to_owned()], String::new()));
    // As often below the limit as above it.
    let inconclusive = |limit, model, part: &str| {
        let (status, codes, why) = of(limit, model);
        assert_eq!((status, codes.len()), (Status::Inconclusive, 0), "{why}");
        assert!(why.contains(part), "{why}");
    };
    inconclusive(0.2, loaded(|n| if n.is_multiple_of(2) { 0.05 } else { 0.4 }), "over 10 loads");
    inconclusive(0.15, loaded(|_| 0.1), "the first load of the run took 0.200 s");
    inconclusive(60.0, loaded(|_| 3.0), "no more than 4 loads fit in `budget_seconds`");
    inconclusive(60.0, model(|_, _| 1e-3), "it cannot be loaded again: its file is gone");
    // Nobody asked.
    let unasked = loaded(|_| panic!("loaded without a limit"));
    assert!(run(&json!({}), &ModelHost::new(unasked)).checks.is_empty());
}

#[test]
fn a_check_and_its_finding_are_in_the_unit_of_the_requirement() {
    let limits = json!([{ "batch_size": 1, "p50_ms": 0.0005, "p95_ms": 1 }]);
    let config = json!({ "batch_sizes": [1], "budget_seconds": 100, "limits": limits, "max_load_seconds": 0.05 });
    let fast = TestModel { load: Some(Box::new(|_| 0.2)), ..model(|_, _| 7.25e-6) };
    let report = run(&config, &ModelHost::new(fast));
    let [p50, p95, load] = &report.checks[..] else { panic!("{:?}", report.checks) };
    assert_eq!((p50.requirement.as_str(), p50.status), ("<= 0.0005 ms", Status::Fail));
    let (interval, observed) = (p50.interval.unwrap(), p50.observed.unwrap());
    assert!((observed - 7.25e-3).abs() < 1e-9 && interval.low > 7e-3 && interval.high < 8e-3, "{p50:?}");
    assert!(p50.message.contains("is 0.007250 ms, between 0.007250 ms and"), "{}", p50.message);
    assert_eq!(report.findings[0].evidence["limit"], 0.0005);
    assert_eq!((p95.requirement.as_str(), p95.status), ("<= 1 ms", Status::Pass));
    let of_loads = "a load takes 0.200 s, between 0.200 and 0.200 with confidence 95%, over 10 loads";
    assert!(load.requirement == "<= 0.05 s" && load.message.starts_with(of_loads), "{load:?}");
    // The metrics are in seconds, as everywhere.
    assert!((value(&report, "latency_p50", MetricRole::Candidate, 1) - 7.25e-6).abs() < 1e-12);
}

#[test]
fn loads_are_held_against_the_baselines_in_turns() {
    let of = |limit: f64, candidate: TestModel, baseline: TestModel| {
        let host = ModelHost::new(candidate).with_baseline(baseline);
        let report = run(&json!({ "max_load_of_baseline": limit }), &host);
        (report.checks[0].status, report.findings.len(), report.checks[0].message.clone())
    };
    // What slows both down is no difference.
    let slow = |n: u64| if n.is_multiple_of(3) { 5.0 } else { 1.0 };
    let of_factor = |factor: f64| loaded(move |n| factor * slow(n) * (20e-3 + 1e-3 * jitter(n)));
    let (status, n, message) = of(3.0, of_factor(2.0), of_factor(1.0));
    assert_eq!((status, n), (Status::Pass, 0), "{message}");
    let (status, n, message) = of(1.5, of_factor(2.0), of_factor(1.0));
    assert_eq!((status, n), (Status::Fail, 1), "{message}");
    assert!(message.contains("a load takes 2.000 times the baseline's, between"), "{message}");
    // A small model beside itself: chance makes one load twenty times as long as another.
    let by_chance = |seed: u64| loaded(move |n| 2e-3 * (1.0 + 20.0 * jitter(n + seed)));
    let (status, n, message) = of(1.3, by_chance(0), by_chance(1_000_000));
    assert_eq!((status, n), (Status::Inconclusive, 0), "{message}");
    let (status, n, message) = of(1.3, loaded(|_| 2e-4), loaded(|_| 1e-4));
    assert_eq!((status, n), (Status::Inconclusive, 0), "{message}");
    assert!(message.contains("a load of 0.100 ms is too short to compare by it"), "{message}");
    // Without a baseline there is nothing to compare with.
    let report = run(&json!({ "max_load_of_baseline": 1e9 }), &ModelHost::new(loaded(|_| 0.2)));
    assert_eq!((report.checks[0].status, report.findings.len()), (Status::NotChecked, 0));
}

#[test]
fn batches_that_are_several_calls_are_said_to_be() {
    let whys = |rows: Option<u64>, refuses: bool| {
        let port = Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![rows, Some(3)] };
        let answer = move |rows: &RecordBatch| {
            let is_refused = refuses && rows.num_rows() > 1;
            if is_refused { Err(Error::new(ErrorKind::MixedRows, "they mix")) } else { Ok(rows.clone()) }
        };
        let description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
        let host = ModelHost::new(TestModel { description, ..TestModel::new(answer) });
        let report = run(&json!({ "batch_sizes": [1, 32], "max_runs": 20 }), &OneByOne(host));
        let gaps = report.gaps.into_iter().filter(|it| it.what.ends_with("in one call"));
        gaps.map(|it| format!("{}: {}", it.what, it.why)).collect::<Vec<_>>()
    };
    assert_eq!(whys(None, false), [""; 0]);
    assert_eq!(
        whys(Some(1), false),
        ["batches of 32 in one call: the candidate takes 1 a call: its times are those of 32 calls"]
    );
    assert_eq!(
        whys(Some(8), false),
        [
            "batches of 1 in one call: the candidate takes 8 rows a call: those that lack are made up",
            "batches of 32 in one call: the candidate takes 8 a call: its times are those of 4 calls"
        ]
    );
    assert_eq!(
        whys(None, true),
        ["batches of 32 in one call: the candidate does not take them: its rows were run apart (they mix)"]
    );
}

/// A host that runs rows one by one, unless they are to be run at once.
struct OneByOne(ModelHost);

impl Host for OneByOne {
    fn infer(&self, model: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
        for row in 0..input.num_rows() {
            self.0.infer(model, &input.slice(row, 1))?;
        }
        Ok(input.clone())
    }

    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        self.0.exchange(service, rows)
    }

    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        self.0.call(service, argument)
    }
}

#[test]
fn rows_a_second_are_held_against_the_baselines() {
    let host = |factor: f64| {
        let time = |n: u64| 10e-3 + 1e-3 * jitter(n);
        let baseline = model(move |n, _| time(n + 1_000_000));
        ModelHost::new(model(move |n, _| factor * time(n))).with_baseline(baseline)
    };
    let limit = json!({ "rows_per_second_of_baseline": 0.8 });
    let report = check(limit.clone(), &host(1.0), Status::Pass, &[]);
    assert!((value(&report, "rows_per_second", MetricRole::Ratio, 1) - 1.0).abs() < 0.05);
    check(limit.clone(), &host(1.25), Status::Inconclusive, &[]);
    check(limit.clone(), &host(1.5), Status::Fail, &["MW-L002"]);
    check(limit, &ModelHost::new(model(|_, _| 1e-3)), Status::NotChecked, &[]);
}

#[test]
fn nothing_to_measure_is_never_a_pass() {
    let config = json!({ "limits": [{ "batch_size": 1, "p50_ms": 1, "p50_of_baseline": 1 }] });
    let report = open(&config).unwrap().evaluate(&ModelHost::new(model(|_, _| 0.0))).unwrap();
    assert!(report.checks.len() == 2 && report.checks.iter().all(|it| it.status == Status::NotChecked));
    assert!(report.metrics.is_empty() && report.gaps.len() == 1);
    // A clock that stands still says nothing of a ratio, and one that says nothing is an error.
    let still = ModelHost::new(model(|_, _| 0.0)).with_baseline(model(|_, _| 0.0));
    let report = run(&json!({ "limits": [{ "batch_size": 1, "p50_of_baseline": 1 }] }), &still);
    assert_ne!(report.checks[0].status, Status::Pass);
    let mut probe = open(&json!({})).unwrap();
    let broken = ModelHost::new(model(|_, _| f64::NAN));
    probe.update(&broken, Role::Current, &rows()).unwrap();
    assert!(probe.evaluate(&broken).is_err());
    // Batches of more rows than there are have them several times, which is said.
    let report = run(&json!({ "batch_sizes": [64] }), &ModelHost::new(model(|_, _| 1e-3)));
    assert!(report.gaps[0].why.contains("only 40 different rows"));
}

#[test]
fn conforms() {
    let host = ModelHost::new(model(|_, n| n as f64 * 1e-3)).with_baseline(model(|_, n| n as f64 * 2e-3));
    let config = json!({ "budget_seconds": 0.5, "rows": 16, "limits": [
        { "batch_size": 1, "p50_ms": 5, "p95_ms": 5, "p50_of_baseline": 1 },
    ] });
    let registry = verify_latency::registry();
    testing::probe_on(
        &host,
        &ProbeCase {
            open: &|| registry.open_probe(Kind::Verifier, "latency", &config),
            rows: vec![(Role::Current, rows())],
            tensors: Vec::new(),
            codes: registry.manifest().codes(Kind::Verifier, "latency"),
        },
    );
}

#[test]
fn wrong_options_are_refused_with_their_place() {
    for (config, path, words) in [
        (json!({ "batch_sizes": [] }), "/batch_sizes", "at least one size"),
        (json!({ "batch_sizes": [1, 1] }), "/batch_sizes", "has 1 twice"),
        (json!({ "budget_seconds": 0 }), "/budget_seconds", "above 0"),
        (json!({ "max_runs": 0 }), "/max_runs", "at least 1"),
        (json!({ "rows": 0 }), "/rows", "at least 1"),
        (json!({ "limits": [{ "batch_size": 7, "p50_ms": 1 }] }), "/limits/0/batch_size", "not measured"),
        (json!({ "limits": [{ "p50_ms": 5 }] }), "/limits/0", "the limits have no `batch_size`"),
        (json!({ "limits": [{ "batch_size": 1 }] }), "/limits/0", "no limit"),
        (json!({ "limits": [{ "batch_size": 1, "p95_ms": -1 }] }), "/limits/0/p95_ms", "above 0"),
        (
            json!({ "limits": [{ "batch_size": 1, "p50_ms": 1 }, { "batch_size": 1, "p95_ms": 1 }] }),
            "/limits/1/batch_size",
            "limits twice",
        ),
    ] {
        let error = open(&config).err().unwrap();
        assert_eq!(error.path, path);
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn memory_is_held_against_its_limit_and_unknown_memory_never_passes() {
    let host = || {
        let memory = |_: &str, rows: usize| Some(InferenceMemory { before: 40 << 20, peak: (50 + rows as u64) << 20 });
        ModelHost::new(model(|_, _| 1e-3)).with_memory(memory)
    };
    let report = check(json!({ "peak_memory_mib": 51 }), &host(), Status::Pass, &[]);
    assert_eq!(value(&report, "peak_memory_bytes", MetricRole::Candidate, 1), f64::from(51 << 20));
    let report = check(json!({ "peak_memory_mib": 50.9 }), &host(), Status::Fail, &["MW-L005"]);
    assert!(report.checks[0].message.contains("had 51.0 MiB"), "{}", report.checks[0].message);
    let silent = ModelHost::new(model(|_, _| 1e-3));
    let report = check(json!({ "peak_memory_mib": 1e6 }), &silent, Status::NotChecked, &[]);
    assert!(report.gaps[0].why.contains("does not tell"), "{}", report.gaps[0].why);
    assert!(report.metrics.iter().all(|it| it.name != "peak_memory_bytes"));
}

#[test]
fn memory_is_held_against_the_baselines() {
    let host = |candidate: u64| {
        let memory = move |model: &str, _| {
            let peak = if model == "baseline" { 100 << 20 } else { candidate << 20 };
            Some(InferenceMemory { before: 40 << 20, peak })
        };
        ModelHost::new(model(|_, _| 1e-3)).with_baseline(model(|_, _| 1e-3)).with_memory(memory)
    };
    let limit = json!({ "peak_memory_of_baseline": 1.5 });
    let report = check(limit.clone(), &host(150), Status::Pass, &[]);
    assert_eq!(value(&report, "peak_memory_bytes", MetricRole::Baseline, 1), f64::from(100 << 20));
    assert_eq!(value(&report, "peak_memory_bytes", MetricRole::Ratio, 1), 1.5);
    let report = check(limit.clone(), &host(151), Status::Fail, &["MW-L005"]);
    assert!(report.checks[0].message.contains("1.510 times the memory"), "{}", report.checks[0].message);
    let alone = ModelHost::new(model(|_, _| 1e-3));
    check(limit.clone(), &alone, Status::NotChecked, &[]);
    let silent = ModelHost::new(model(|_, _| 1e-3)).with_baseline(model(|_, _| 1e-3));
    check(limit, &silent, Status::NotChecked, &[]);
}
