//! A candidate that is no worse than its baseline passes: seeded trials from rows to the decision.

use std::sync::Arc;

use modelwatch_config::requirement::parse;
use modelwatch_sdk::{
    Error, ErrorKind, Host, Kind, RecordBatch, Report, Result, Role,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    report::{Check, Status},
    rows::{Use, with_uses},
};
use serde_json::{Value, json};

use super::requirement;

const METRICS: [&str; 4] = ["accuracy", "roc_auc", "f1", "log_loss"];

/// Independent numbers in 0..1 (the generator SplitMix64).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Box & Muller (1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// The host of a run whose candidate and baseline are one model.
struct OneModel;

impl Host for OneModel {
    fn call(&self, service: &str, _: &Value) -> Result<Value> {
        match service {
            "is_one_model" => Ok(true.into()),
            other => Err(Error::new(ErrorKind::NotFound, format!("no service `{other}`"))),
        }
    }
}

/// A candidate and a baseline that are equally good: both err on hard rows, and each for itself as much as `own`.
struct Pair {
    rows: usize,
    seed: u64,
    own: f64,
    /// The slices that rows are in by turns.
    slices: usize,
    /// The slice in which the candidate guesses.
    guesses_in: Option<usize>,
    /// Whether rows have weights, thrice as great of those that both models find hard.
    has_weights: bool,
}

impl Pair {
    fn report(&self, host: &dyn Host) -> Report {
        report_on("binary", &METRICS, &self.batch(), self.seed, host)
    }

    fn batch(&self) -> RecordBatch {
        let Self { rows, seed, own, slices, guesses_in, has_weights } = *self;
        let mut random = Random(seed);
        let probability = |it: f64| 1.0 / (1.0 + (-it).exp());
        let (mut labels, mut candidate, mut baseline) = (Vec::new(), Vec::new(), Vec::new());
        let mut weights = Vec::new();
        for row in 0..rows {
            let is_positive = random.uniform() < 0.4;
            let shared = random.normal() + if is_positive { 1.5 } else { 0.0 } - 0.6;
            labels.push(i64::from(is_positive));
            candidate.push(match guesses_in {
                Some(slice) if row % slices == slice => random.uniform(),
                _ => probability(shared + own * random.normal()),
            });
            baseline.push(probability(shared + own * random.normal()));
            if has_weights {
                weights.push(if (shared > 0.0) == is_positive { 1.0 } else { 3.0 } * (0.5 + random.uniform()));
            }
        }
        let groups = (0..rows).map(|it| format!("g{}", it % slices.max(1)));
        let groups: Column = ("group", Use::Slice, Arc::new(StringArray::from_iter_values(groups)));
        let weights: Column = ("weight", Use::Weight, Arc::new(Float64Array::from(weights)));
        let others = [(slices > 0).then_some(groups), has_weights.then_some(weights)];
        batch(labels, candidate, baseline, others.into_iter().flatten())
    }
}

/// A column by its name, with what it is for.
type Column = (&'static str, Use, ArrayRef);

fn batch(
    labels: Vec<i64>,
    candidate: Vec<f64>,
    baseline: Vec<f64>,
    others: impl IntoIterator<Item = Column>,
) -> RecordBatch {
    let columns: [Column; 3] = [
        ("label", Use::Label, Arc::new(Int64Array::from(labels))),
        ("candidate:out", Use::Candidate, Arc::new(Float64Array::from(candidate))),
        ("baseline:out", Use::Baseline, Arc::new(Float64Array::from(baseline))),
    ];
    batch_of(columns.into_iter().chain(others).collect())
}

fn batch_of(columns: Vec<Column>) -> RecordBatch {
    let field = |name: &str, is_for: Use, of: DataType| with_uses(Field::new(name, of, true), &[is_for]);
    let fields: Vec<Field> = columns.iter().map(|it| field(it.0, it.1, it.2.data_type().clone())).collect();
    let arrays = columns.into_iter().map(|it| it.2).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn report_on(task: &str, metrics: &[&str], batch: &RecordBatch, seed: u64, host: &dyn Host) -> Report {
    report_with(json!({"task": task, "metrics": metrics}), batch, seed, host)
}

fn report_with(mut options: Value, batch: &RecordBatch, seed: u64, host: &dyn Host) -> Report {
    // The draws of a row depend on its content and the seed alone; trials of one seed would share some.
    options["intervals"] = json!({"replicates": 40, "seed": seed});
    let mut probe = verify_metrics::registry().open_probe(Kind::Verifier, "metrics", &options).unwrap();
    probe.update(host, Role::Current, batch).unwrap();
    probe.evaluate(host).unwrap()
}

fn status(report: &Report, metric: &str, condition: &str) -> Status {
    let checks = requirement(&parse(metric, condition).unwrap(), report);
    assert_eq!(checks.len(), 1);
    checks[0].status
}

const TRIALS: u64 = 1000;

/// `not worse than baseline with confidence 95%` may reject 5 % of them, and does in about 2.5 %: the interval has two sides,
/// and only one is worse. What no interval is given of counts as rejected.
fn few_are_rejected(metrics: &[&str], of: &str, report: impl Fn(u64) -> Report) {
    let mut rejected = vec![0; metrics.len()];
    for trial in 0..TRIALS {
        let report = report(trial);
        for (metric, rejected) in metrics.iter().zip(&mut rejected) {
            let it = parse(&format!("{metric}{of}"), "not worse than baseline with confidence 95%");
            let checks = requirement(&it.unwrap(), &report);
            assert!(!checks.is_empty(), "{metric}{of}");
            *rejected += u64::from(checks.iter().any(|it| it.status != Status::Pass));
        }
    }
    for (metric, rejected) in metrics.iter().zip(rejected) {
        assert!(rejected * 20 <= TRIALS, "{metric}{of}: {rejected} of {TRIALS}");
    }
}

fn few_of_two_classes_are_rejected(rows: usize, has_weights: bool) {
    few_are_rejected(&METRICS, "", |trial| {
        let seed = trial * 7919 + rows as u64;
        Pair { rows, seed, own: 0.5, slices: 0, guesses_in: None, has_weights }.report(&())
    });
}

#[test]
fn of_50_rows_few_unchanged_candidates_are_rejected() {
    few_of_two_classes_are_rejected(50, false);
}

#[test]
fn of_500_rows_few_unchanged_candidates_are_rejected() {
    few_of_two_classes_are_rejected(500, false);
}

#[test]
fn of_5000_rows_few_unchanged_candidates_are_rejected() {
    few_of_two_classes_are_rejected(5000, false);
}

#[test]
fn of_50_rows_with_weights_few_unchanged_candidates_are_rejected() {
    few_of_two_classes_are_rejected(50, true);
}

#[test]
fn of_500_rows_with_weights_few_unchanged_candidates_are_rejected() {
    few_of_two_classes_are_rejected(500, true);
}

/// What chance makes larger it makes so of both models, and what is of few rows varies by more.
#[test]
fn of_distances_and_lifts_few_unchanged_candidates_are_rejected() {
    const ADDRESSES: [&str; 4] = ["ece", "ks_statistic", "lift[top=0.1]", "average_precision"];
    for rows in [50, 500] {
        few_are_rejected(&ADDRESSES, "", |trial| {
            let seed = trial * 7919 + 37 + rows as u64;
            let pair = Pair { rows, seed, own: 0.5, slices: 0, guesses_in: None, has_weights: false };
            let metrics = ADDRESSES.map(|it| it.split('[').next().unwrap_or(it));
            report_on("binary", &metrics, &pair.batch(), seed, &())
        });
    }
}

/// Numbers of two models that err by the same share, and each for itself; great errors of the former weigh more.
fn numbers(rows: usize, slices: usize, has_weights: bool, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let shared: Vec<f64> = (0..rows).map(|_| random.normal()).collect();
    let mut predicted =
        || -> ArrayRef { Arc::new(Float64Array::from_iter_values(shared.iter().map(|it| it + 0.5 * random.normal()))) };
    let mut columns: Vec<Column> = vec![
        ("label", Use::Label, Arc::new(Float64Array::from(vec![0.0; rows]))),
        ("candidate:out", Use::Candidate, predicted()),
        ("baseline:out", Use::Baseline, predicted()),
    ];
    if has_weights {
        let weights = shared.iter().map(|it| 1.0 + 3.0 * it.abs());
        columns.push(("weight", Use::Weight, Arc::new(Float64Array::from_iter_values(weights))));
    }
    if slices > 0 {
        let groups = (0..rows).map(|row| format!("g{}", row % slices));
        columns.push(("group", Use::Slice, Arc::new(StringArray::from_iter_values(groups))));
    }
    batch_of(columns)
}

/// Returns the metrics of numbers that have an interval of so many rows: squares of few rows with weights have none.
fn metrics_of_numbers(rows: usize, has_weights: bool) -> &'static [&'static str] {
    if has_weights && rows < 250 { &["mae"] } else { &["mae", "mse", "rmse"] }
}

#[test]
fn of_numbers_few_unchanged_candidates_are_rejected() {
    for (rows, has_weights) in [(50, false), (500, false), (50, true), (500, true)] {
        let metrics = metrics_of_numbers(rows, has_weights);
        few_are_rejected(metrics, "", |trial| {
            let seed = trial * 7919 + rows as u64;
            report_on("regression", metrics, &numbers(rows, 0, has_weights, seed), seed, &())
        });
    }
}

/// Returns numbers of two models that have as much in common, and each for itself as much as `own`.
fn two_alike(random: &mut Random, shared: &[f64], own: f64) -> [Vec<f64>; 2] {
    [(); 2].map(|()| shared.iter().map(|it| it + own * random.normal()).collect())
}

#[test]
fn of_several_classes_few_unchanged_candidates_are_rejected() {
    const N_CLASSES: usize = 3;
    let scores = |it: Vec<f64>| -> ArrayRef {
        let field = Arc::new(Field::new("item", DataType::Float64, true));
        Arc::new(FixedSizeListArray::new(field, N_CLASSES as i32, Arc::new(Float64Array::from(it)), None))
    };
    let addresses = [
        "accuracy",
        "balanced_accuracy",
        "log_loss",
        "f1[average=macro]",
        "roc_auc[average=macro]",
        "average_precision[class=1]",
        "lift[class=1, top=0.1]",
        "ks_statistic[class=1]",
        "ece",
    ];
    for rows in [50, 500] {
        few_are_rejected(&addresses, "", |trial| {
            let seed = trial * 7919 + 29 + rows as u64;
            let mut random = Random(seed);
            let labels: Vec<usize> =
                (0..rows).map(|_| ((random.uniform() * 4.0) as usize).min(N_CLASSES - 1)).collect();
            let shift = |at: usize| if at % N_CLASSES == labels[at / N_CLASSES] { 1.5 } else { 0.0 };
            let shared: Vec<f64> = (0..N_CLASSES * rows).map(|at| random.normal() + shift(at)).collect();
            let [candidate, baseline] = two_alike(&mut random, &shared, 0.5).map(scores);
            let batch = batch_of(vec![
                ("label", Use::Label, Arc::new(Int64Array::from_iter_values(labels.iter().map(|it| *it as i64)))),
                ("candidate:out", Use::Candidate, candidate),
                ("baseline:out", Use::Baseline, baseline),
            ]);
            let metrics = addresses.map(|it| it.split('[').next().unwrap_or(it));
            report_with(json!({"task": "multiclass", "scores": "logits", "metrics": metrics}), &batch, seed, &())
        });
    }
}

#[test]
fn of_rankings_few_unchanged_candidates_are_rejected() {
    const DOCUMENTS: usize = 6;
    for queries in [50, 500] {
        few_are_rejected(&["ndcg", "ndcg[k=3]", "map", "mrr", "hit_rate[k=1]"], "", |trial| {
            let seed = trial * 7919 + 31 + queries as u64;
            let mut random = Random(seed);
            let n = DOCUMENTS * queries;
            let relevance: Vec<i64> = (0..n).map(|_| i64::from(random.uniform() < 0.3)).collect();
            let shared: Vec<f64> = relevance.iter().map(|it| *it as f64 + random.normal()).collect();
            let [candidate, baseline] = two_alike(&mut random, &shared, 0.5);
            let names = Int64Array::from_iter_values((0..n).map(|it| (it / DOCUMENTS) as i64));
            let batch = batch(relevance, candidate, baseline, [("query", Use::Feature, Arc::new(names) as ArrayRef)]);
            report_with(json!({"task": "ranking", "query": "query", "at_k": [1, 3]}), &batch, seed, &())
        });
    }
}

/// One of many slices looks worse by chance: the 5 % are for all of them together.
#[test]
fn of_many_slices_of_numbers_few_unchanged_candidates_are_rejected() {
    const SLICES: usize = 12;
    for has_weights in [false, true] {
        let metrics = metrics_of_numbers(60, has_weights);
        few_are_rejected(metrics, "[slice=*]", |trial| {
            let seed = trial * 7919 + 23;
            report_on("regression", metrics, &numbers(60 * SLICES, SLICES, has_weights, seed), seed, &())
        });
    }
}

#[test]
fn the_same_model_is_no_worse_than_itself() {
    for rows in [50, 500] {
        let report =
            Pair { rows, seed: 3, own: 0.0, slices: 0, guesses_in: None, has_weights: false }.report(&OneModel);
        for metric in METRICS {
            let said = |condition: &str| status(&report, metric, condition);
            for condition in ["not worse than baseline", ">= baseline", "<= baseline", ">= 100% of baseline"] {
                assert_eq!(said(condition), Status::Pass, "{metric} {condition}");
                assert_eq!(said(&format!("{condition} with confidence 95%")), Status::Pass, "{metric} {condition}");
            }
            assert_eq!(said("> baseline with confidence 95%"), Status::Fail, "{metric}");
        }
    }
}

/// Of 30 rows such a candidate answers all as its baseline does in 0.98³⁰ = 55 % of cases, which proves nothing.
#[test]
fn a_candidate_that_is_a_little_worse_seldom_passes_for_one_that_is_not() {
    const TRIALS: u64 = 300;
    for rows in [30, 100] {
        let mut passed = [0; METRICS.len()];
        for trial in 0..TRIALS {
            let mut random = Random(trial * 104_729 + rows);
            let (mut labels, mut candidate, mut baseline) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rows {
                let is_positive = random.uniform() < 0.5;
                let score = |is_right: bool| if is_right == is_positive { 0.9 } else { 0.1 };
                let is_right = random.uniform() < 0.9;
                labels.push(i64::from(is_positive));
                baseline.push(score(is_right));
                candidate.push(score(is_right && random.uniform() >= 0.02 / 0.9));
            }
            let report = report_on("binary", &METRICS, &batch(labels, candidate, baseline, None), trial, &());
            for (metric, passed) in METRICS.iter().zip(&mut passed) {
                let better = if *metric == "log_loss" { "<=" } else { ">=" };
                for condition in [format!("{better} baseline"), format!("{better} 100% of baseline")] {
                    let found = status(&report, metric, &format!("{condition} with confidence 95%"));
                    *passed += u64::from(found == Status::Pass);
                }
                let gate = status(&report, metric, "not worse than baseline with confidence 95%");
                assert_ne!(gate, Status::Inconclusive, "{metric}: it asks for no proof");
            }
        }
        for (metric, passed) in METRICS.iter().zip(passed) {
            assert!(passed * 20 <= TRIALS, "{metric}, {rows} rows: {passed} of {TRIALS}");
        }
    }
}

/// One of many slices looks worse by chance: the 5 % are for all of them together.
#[test]
fn of_many_slices_few_unchanged_candidates_are_rejected() {
    const SLICES: usize = 12;
    // Areas under the curve have no interval with weights in a slice.
    for (has_weights, metrics) in [(false, &METRICS[..]), (true, &["accuracy", "f1", "log_loss"])] {
        few_are_rejected(metrics, "[slice=*]", |trial| {
            let seed = trial * 7919 + 11;
            let pair = Pair { rows: 60 * SLICES, seed, own: 0.5, slices: SLICES, guesses_in: None, has_weights };
            pair.report(&())
        });
    }
}

/// The slices of [`report_on_few_heavy`].
const N_SLICES: usize = 48;
/// Per slice 60 rows, 6 of which count.
const N_ROWS: usize = 60 * N_SLICES;

/// Reports on labels and what is made of them, by the candidate and by the baseline, where a few rows of each slice weigh all.
fn report_on_few_heavy(task: &str, metric: &str, [label, candidate, baseline]: [ArrayRef; 3]) -> Report {
    let weights = (0..N_ROWS).map(|row| if row < 6 * N_SLICES { 1.0 } else { 1e-9 });
    let groups = (0..N_ROWS).map(|row| format!("g{}", row % N_SLICES));
    let batch = batch_of(vec![
        ("label", Use::Label, label),
        ("candidate:out", Use::Candidate, candidate),
        ("baseline:out", Use::Baseline, baseline),
        ("weight", Use::Weight, Arc::new(Float64Array::from_iter_values(weights))),
        ("group", Use::Slice, Arc::new(StringArray::from_iter_values(groups))),
    ]);
    let options = json!({"task": task, "metrics": [metric], "min_slice_size": 2, "intervals": {"replicates": 0}});
    let mut probe = verify_metrics::registry().open_probe(Kind::Verifier, "metrics", &options).unwrap();
    probe.update(&(), Role::Current, &batch).unwrap();
    probe.evaluate(&()).unwrap()
}

fn checks_of_slices(report: &Report, metric: &str) -> Vec<Check> {
    let it = parse(&format!("{metric}[slice=*]"), "not worse than baseline with confidence 95%").unwrap();
    let checks = requirement(&it, report);
    assert_eq!(checks.len(), N_SLICES, "{metric}");
    checks
}

/// Of rows of which a few weigh all, those few are what an interval rests on, and what it is widened by for many slices.
#[test]
fn of_many_slices_of_few_heavy_rows_few_unchanged_candidates_are_rejected() {
    let mut rejected = 0;
    for trial in 0..TRIALS {
        let mut random = Random(trial * 7919 + 13);
        let mut noise =
            || -> ArrayRef { Arc::new(Float64Array::from_iter_values((0..N_ROWS).map(|_| random.normal()))) };
        let zeros = Arc::new(Float64Array::from(vec![0.0; N_ROWS]));
        let report = report_on_few_heavy("regression", "mae", [zeros, noise(), noise()]);
        rejected += u64::from(checks_of_slices(&report, "mae").iter().any(|it| it.status != Status::Pass));
    }
    assert!(rejected * 20 <= TRIALS, "{rejected} of {TRIALS}");
}

/// What is surely worse by the few rows that count is rejected all the same, whichever kind of interval it has.
#[test]
fn one_worse_slice_of_few_heavy_rows_is_rejected() {
    let worse = |row: usize| row % N_SLICES == 3;
    for seed in 0..20 {
        let mut random = Random(seed * 7919 + 19);
        let mut noise = |is_worse: fn(usize) -> bool| -> ArrayRef {
            let error = |row| random.normal() + if is_worse(row) { 20.0 } else { 0.0 };
            Arc::new(Float64Array::from_iter_values((0..N_ROWS).map(error)))
        };
        let zeros = Arc::new(Float64Array::from(vec![0.0; N_ROWS]));
        let of_errors = report_on_few_heavy("regression", "mae", [zeros, noise(worse), noise(|_| false)]);
        let classes = |is_wrong: fn(usize) -> bool| -> ArrayRef {
            let class = |row: usize| i64::from((row / N_SLICES).is_multiple_of(2) != is_wrong(row));
            Arc::new(Int64Array::from_iter_values((0..N_ROWS).map(class)))
        };
        let [truth, wrong] = [classes(|_| false), classes(worse)];
        let of_classes = report_on_few_heavy("binary", "accuracy", [&truth, &wrong, &truth].map(Arc::clone));
        for (metric, report) in [("mae", of_errors), ("accuracy", of_classes)] {
            let checks = checks_of_slices(&report, metric);
            let worse = checks.iter().find(|it| it.labels["slice"] == "group=g3").unwrap();
            assert_eq!(worse.status, Status::Fail, "{metric}, seed {seed}: {}", worse.message);
        }
    }
}

/// What many slices cost hides no slice that is plainly worse.
#[test]
fn one_worse_slice_of_many_is_rejected() {
    const SLICES: usize = 12;
    for seed in 0..20 {
        let seed = seed * 7919 + 17;
        let guesses_in = Some(3);
        let pair = Pair { rows: 200 * SLICES, seed, own: 0.3, slices: SLICES, guesses_in, has_weights: false };
        let report = pair.report(&());
        for metric in METRICS {
            let it = parse(&format!("{metric}[slice=*]"), "not worse than baseline with confidence 95%");
            let checks = requirement(&it.unwrap(), &report);
            let worse = checks.iter().find(|it| it.labels["slice"] == "group=g3").unwrap();
            assert_eq!(worse.status, Status::Fail, "{metric}, seed {seed}: {}", worse.message);
        }
    }
}

#[test]
fn a_candidate_that_is_worse_is_rejected() {
    let mut swapped =
        Pair { rows: 500, seed: 5, own: 0.0, slices: 0, guesses_in: None, has_weights: false }.report(&OneModel);
    // Of a loss of a tenth the whole interval is worse, whichever it is.
    for it in &mut swapped.metrics {
        let worse = if it.name == "log_loss" { 0.1 } else { -0.1 };
        match it.role {
            modelwatch_sdk::report::MetricRole::Candidate => it.value += worse,
            modelwatch_sdk::report::MetricRole::Difference => {
                it.value += worse;
                it.interval.iter_mut().for_each(|it| (it.low, it.high) = (it.low + worse, it.high + worse));
            }
            _ => {}
        }
    }
    for metric in METRICS {
        let found = status(&swapped, metric, "not worse than baseline with confidence 95%");
        assert_eq!(found, Status::Fail, "{metric}");
    }
}
