//! Whether the intervals of all metrics of a report hold what they promise.

pub(crate) mod populations;

use std::{collections::BTreeMap, ops::Range};

use modelwatch_sdk::{
    Report,
    report::{Metric, MetricRole},
};
use serde_json::json;

use crate::common::run;
use populations::Population;

/// How often an interval was there, held the true value, was above it and below it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) given: u64,
    pub(crate) held: u64,
    pub(crate) above: u64,
    pub(crate) below: u64,
}

impl Held {
    pub(crate) fn coverage(self) -> f64 {
        self.held as f64 / self.given as f64
    }
}

/// The shares of intervals that may hold the true value; it is the number that is to be right, not the least one.
const COVERAGE: [f64; 2] = [0.93, 0.97];
/// How many standard errors of the share of trials are chance.
const CHANCE: f64 = 3.0;

/// The least intervals that are judged.
const MIN_GIVEN: u64 = 30;

/// Intervals that hold the true value more or less often, of up to so many rows.
struct Allowance {
    /// The beginning of the names of populations.
    population: &'static str,
    /// A part of the addresses.
    metric: &'static str,
    rows: usize,
    coverage: [f64; 2],
    why: &'static str,
}

const BIASED: &str = "by how much chance made it larger is known to be no more than something";

const ALLOWANCES: &[Allowance] = &[
    Allowance { population: "", metric: "ece", rows: usize::MAX, coverage: [0.93, 1.0], why: BIASED },
    Allowance { population: "", metric: "ks_statistic", rows: usize::MAX, coverage: [0.93, 1.0], why: BIASED },
    Allowance {
        population: "",
        metric: "difference ",
        rows: 50,
        coverage: [0.93, 1.0],
        why: "where the models differ in few rows, or in none, the interval is a little wide",
    },
    Allowance {
        population: "",
        metric: "recall_at_precision[",
        rows: 50,
        coverage: [0.93, 1.0],
        why: "few rows are beyond the threshold, which jumps between replicates farther than between samples",
    },
    Allowance {
        population: "multi-label",
        metric: "average_precision[",
        rows: 50,
        coverage: [0.93, 1.0],
        why: "few rows of a class, next to the bound, make the logit a little wide",
    },
    Allowance { population: "", metric: "lift[", rows: 50, coverage: [0.93, 1.0], why: "few rows are in the share" },
];

/// Metrics without an interval of so few rows or fewer, by the beginning of the names of populations and a part of the addresses. An interval
/// that some of them have in spite of that is a problem.
const WITHOUT: &[(&str, &str, usize)] = &[
    // Counts and p-values are of these rows, and a greatest error has no distribution that replicates show.
    ("", "flips_", usize::MAX),
    ("", "mcnemar_p", usize::MAX),
    ("", "residual_", usize::MAX),
    ("", "max_error", usize::MAX),
    // What the trivial model scores is estimated from the same rows.
    ("", "skill[metric=brier]", usize::MAX),
    ("", "skill[metric=log_loss]", usize::MAX),
    ("", "skill[metric=mae]", usize::MAX),
    ("multi-label", "skill[metric=hamming_loss]", usize::MAX),
    ("multi-label", "skill[metric=subset_accuracy]", usize::MAX),
    // No closed form with weights.
    ("binary with weights", "skill[metric=accuracy]", usize::MAX),
    ("binary with weights", "roc_auc[slice", usize::MAX),
    // Weights that go with the errors make squares too skewed.
    ("regression with weights", "mse", 50),
    ("regression with weights", "msle", 50),
    // Rows that have all labels or none have no area.
    ("multi-label", "roc_auc[average=samples", usize::MAX),
    // Slices have closed forms alone.
    ("regression", "r2[slice", usize::MAX),
    ("regression", "r2[worst_slice", usize::MAX),
    ("regression", "explained_variance[slice", usize::MAX),
    ("regression", "explained_variance[worst_slice", usize::MAX),
    ("regression", "pinball_loss[quantile=0.9, slice", usize::MAX),
    ("regression", "pinball_loss[quantile=0.9, worst_slice", usize::MAX),
];

/// Tasks whose slices have intervals of shares and areas alone, which are the only ones with a closed form.
const OF_SUMS: [&str; 4] = ["ranking", "multi-label", "segmentation", "sequences"];
const CLOSED: [&str; 5] =
    ["hit_rate", "subset_accuracy", "exact_match", "roc_auc[average=macro", "roc_auc[average=micro"];

/// Prints how the intervals did in trials of these seeds, and returns what is wrong with them.
pub(crate) fn problems(population: &Population, rows: usize, seeds: Range<u64>) -> Vec<String> {
    let mut res = Vec::new();
    for (address, held) in trials(population, rows, seeds) {
        let Held { given, above, below, .. } = held;
        let line = format!("{}, {rows} rows: {address}", population.name);
        // A part of the name alone, unless labels are in it.
        let name = address.split('[').next().unwrap_or_default();
        let is_listed = |it: &(&str, &str, usize)| {
            let place = if it.1.contains('[') { address.as_str() } else { name };
            population.name.starts_with(it.0) && place.contains(it.1) && rows <= it.2
        };
        let is_of_sums = OF_SUMS.contains(&population.name) && address.contains("slice=");
        let is_without = WITHOUT.iter().any(is_listed) || is_of_sums && !CLOSED.iter().any(|it| address.contains(it));
        // A ratio has none where the models differ in too few rows.
        if given < MIN_GIVEN && address.starts_with("ratio ") {
            continue;
        }
        if is_without || given == 0 {
            res.extend((is_without != (given == 0)).then(|| format!("{line}: {given} intervals")));
            continue;
        }
        let is_of = |it: &&Allowance| {
            population.name.starts_with(it.population) && address.contains(it.metric) && rows <= it.rows
        };
        let allowance = ALLOWANCES.iter().find(is_of);
        let [low, high] = allowance.map_or(COVERAGE, |it| it.coverage);
        let margin = |share: f64| CHANCE * (share * (1.0 - share) / given as f64).sqrt();
        let coverage = held.coverage();
        let why = allowance.map_or("", |it| it.why);
        let line = format!("{line}: {:.1} % of {given}, {above} above, {below} below {why}", 100.0 * coverage);
        println!("{line}");
        if !(low - margin(low)..=high + margin(high)).contains(&coverage) {
            res.push(line);
        }
    }
    res
}

/// Returns, by the address of each metric that a report has, how its intervals did in trials of `rows` rows, one for each seed.
pub(crate) fn trials(population: &Population, rows: usize, seeds: Range<u64>) -> BTreeMap<String, Held> {
    let mut options = population.options.clone();
    options["intervals"] = json!({"replicates": 0});
    let truths = values(&run(&options, &population.whole()));
    let mut res: BTreeMap<String, Held> = truths.keys().map(|it| (it.clone(), Held::default())).collect();
    for seed in seeds {
        options["intervals"] = json!({"seed": seed});
        for metric in run(&options, &population.draw(rows, seed)).metrics {
            let (Some(held), Some(truth)) = (res.get_mut(&address(&metric)), truths.get(&address(&metric))) else {
                panic!("{} is not reported of all rows", address(&metric));
            };
            let Some(interval) = metric.interval else { continue };
            held.given += 1;
            held.held += u64::from(interval.low <= *truth && *truth <= interval.high);
            held.above += u64::from(interval.low > *truth);
            held.below += u64::from(interval.high < *truth);
        }
    }
    res
}

fn values(report: &Report) -> BTreeMap<String, f64> {
    report.metrics.iter().map(|it| (address(it), it.value)).collect()
}

/// Returns role, name and labels as one text.
fn address(metric: &Metric) -> String {
    let role = match metric.role {
        MetricRole::Candidate => "",
        MetricRole::Baseline => "baseline ",
        MetricRole::Difference => "difference ",
        _ => "ratio ",
    };
    let labels: Vec<String> = metric.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("[{}]", labels.join(", ")) };
    format!("{role}{}{labels}", metric.name)
}
