//! Metrics, checks, findings and figures.

use modelwatch_sdk::{
    Host, KnownMetric, ModelRole, Report,
    about::ModelDescription,
    report::{Check, Figure, FigureData, Finding, Gap, Interval, Labels, Metric, MetricRole, Severity, Status, float},
};

use crate::{
    budget::{self, Wanted},
    config::{Config, Limits},
    load::{self, Loads},
    measure::Measured,
    memory,
    series::{Estimate, Series, ratio},
};

/// The percentiles, by the names of their metrics.
const PERCENTILES: [(&str, f64); 3] = [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)];

/// The share of outliers from which on the machine is called noisy.
const NOISY: f64 = 0.05;
/// Why nothing relative to the baseline was checked.
pub(crate) const NO_BASELINE: &str =
    "there is no baseline to compare with; add `[baseline]`, or run this probe `when = \"baseline\"`";

/// Returns the metrics that there can be.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> {
    let of_sizes = ["rows_per_second", "first_run_seconds", "outliers", "peak_memory_bytes"];
    let of_sizes = PERCENTILES.into_iter().map(|it| it.0).chain(of_sizes);
    KnownMetric::all(of_sizes, &["batch_size"])
        .map(move |it| it.only("batch_size", config.batch_sizes.iter().map(ToString::to_string)))
        .chain(KnownMetric::all(["load_seconds"], &[]))
}

/// A budget and what it is held against.
struct Budget<'a> {
    metric: &'a str,
    /// In the unit of the requirement: milliseconds, rows a second, or times the baseline's.
    limit: f64,
    wanted: Wanted,
    /// The limit in words.
    requirement: String,
    relative: bool,
}

/// Returns what is to be said of the measurements.
pub(crate) fn report(
    config: &Config,
    host: &dyn Host,
    (measured, loads): (&[Measured], &Loads),
    (candidate, baseline): (&ModelDescription, Option<&ModelDescription>),
) -> Report {
    let mut res = Report::default();
    let mut table = Vec::new();
    for it in measured {
        size(&mut res, host, it);
        noise(&mut res, it);
        table.push(row(it));
        let limits = config.limits.iter().filter(|limits| limits.batch_size == it.batch_size);
        for limits in limits {
            budgets(limits).iter().for_each(|budget| check(&mut res, host, it, budget));
            memory::check(&mut res, it, limits);
        }
    }
    for (role, model) in [(MetricRole::Candidate, Some(candidate)), (MetricRole::Baseline, baseline)] {
        let Some(model) = model else { continue };
        res.metrics.push(Metric::new("load_seconds", model.load_seconds).n(1).unit("s").role(role));
    }
    load::checks(&mut res, config, host.confidence("load_seconds"), loads, (candidate, baseline));
    res.gaps.extend(measured.iter().flat_map(|it| in_several_calls(it, (candidate, baseline))));
    res.figures.push(Figure {
        title: "Latency".to_owned(),
        caption: "Milliseconds for a batch on one thread; the first run is before warm-up.".to_owned(),
        data: FigureData::Table {
            columns: ["batch size", "model", "runs", "first", "p50", "p95", "p99", "rows/s", "outliers"]
                .map(str::to_owned)
                .into(),
            rows: table.concat(),
        },
    });
    machine(&mut res, host);
    res
}

/// Returns for which models a batch was no single call, and why.
fn in_several_calls<'a>(
    it: &'a Measured,
    (candidate, baseline): (&'a ModelDescription, Option<&'a ModelDescription>),
) -> impl Iterator<Item = Gap> + 'a {
    let size = it.batch_size as u64;
    let models = [(ModelRole::Candidate, Some(candidate)), (ModelRole::Baseline, baseline)];
    models.into_iter().filter_map(move |(role, model)| {
        let model = model?;
        let name = role.as_str();
        let why = match (model.fixed_batch().filter(|&rows| rows > 0 && rows != size), it.in_passes.get(&role)) {
            (Some(rows), _) if rows > size => {
                format!("the {name} takes {rows} rows a call: those that lack are made up")
            }
            (Some(rows), _) => {
                format!("the {name} takes {rows} a call: its times are those of {} calls", size.div_ceil(rows))
            }
            (None, Some(why)) => format!("the {name} does not take them: its rows were run apart ({why})"),
            (None, None) => return None,
        };
        Some(Gap::new(format!("batches of {size} in one call"), why))
    })
}

pub(crate) fn labels(batch_size: usize) -> Labels {
    Labels::from([("batch_size".to_owned(), batch_size.to_string())])
}

/// Returns the rows a second that a median says.
fn rate(batch_size: usize, median: &Estimate) -> Estimate {
    let of = |seconds: f64| batch_size as f64 / seconds;
    let Interval { low, high, level } = median.interval;
    Estimate { value: of(median.value), interval: Interval { low: of(high), high: of(low), level } }
}

/// Returns how many times the baseline's rows a second there are, where it takes so many times its seconds.
fn inverse(ratio: &Estimate) -> Estimate {
    let Interval { low, high, level } = ratio.interval;
    Estimate { value: 1.0 / ratio.value, interval: Interval { low: 1.0 / high, high: 1.0 / low, level } }
}

fn size(res: &mut Report, host: &dyn Host, it: &Measured) {
    let labels = labels(it.batch_size);
    let mut add = |name: &str, role, estimate: &Estimate, n: usize, unit: &str| {
        let metric = Metric::new(name, estimate.value).n(n as u64).labels(&labels).role(role);
        let metric = metric.interval(Some(estimate.interval));
        res.metrics.push(if unit.is_empty() { metric } else { metric.unit(unit) });
    };
    for (role, seconds) in [(MetricRole::Candidate, Some(&it.candidate)), (MetricRole::Baseline, it.baseline.as_ref())]
    {
        let Some(seconds) = seconds else { continue };
        let series = Series::new(seconds.clone());
        for (name, quantile) in PERCENTILES {
            let Some(estimate) = series.percentile(quantile, host.confidence(name)) else { continue };
            add(name, role, &estimate, series.len(), "s");
        }
        if let Some(median) = series.percentile(0.5, host.confidence("rows_per_second")) {
            add("rows_per_second", role, &rate(it.batch_size, &median), series.len(), "");
        }
    }
    let pairs = pairs(it);
    for (name, quantile) in PERCENTILES {
        if let Some(estimate) = ratio(&pairs, quantile, host.confidence(name)) {
            add(name, MetricRole::Ratio, &estimate, pairs.len(), "");
        }
    }
    if let Some(median) = ratio(&pairs, 0.5, host.confidence("rows_per_second")) {
        add("rows_per_second", MetricRole::Ratio, &inverse(&median), pairs.len(), "");
    }
    memory::metrics(res, it);
    let first = Metric::new("first_run_seconds", it.first.0).n(1).labels(&labels).unit("s");
    res.metrics.push(first);
    let n = it.candidate.len();
    if n > 0 {
        let outliers = Series::new(it.candidate.clone()).outliers() as f64;
        res.metrics.push(Metric::new("outliers", outliers).n(n as u64).labels(&labels));
    }
}

fn pairs(it: &Measured) -> Vec<(f64, f64)> {
    it.baseline.iter().flatten().zip(&it.candidate).map(|(baseline, candidate)| (*candidate, *baseline)).collect()
}

fn noise(res: &mut Report, it: &Measured) {
    let (n, outliers) = (it.candidate.len(), Series::new(it.candidate.clone()).outliers());
    if n == 0 || outliers as f64 / n as f64 <= NOISY {
        return;
    }
    let message =
        format!("{outliers} of {n} runs with batches of {} took far longer or shorter than the others", it.batch_size);
    let finding = Finding::new("MW-L003", Severity::Warning, format!("batches of {}", it.batch_size), message);
    let advice = "leave the machine to the measurement alone, and fix its clock rate";
    res.findings.push(finding.advice(advice).evidence("outliers", outliers).evidence("runs", n));
}

fn budgets(it: &Limits) -> Vec<Budget<'static>> {
    let absolute = [("latency_p50", it.p50_ms), ("latency_p95", it.p95_ms), ("latency_p99", it.p99_ms)];
    let relative =
        [("latency_p50", it.p50_of_baseline), ("latency_p95", it.p95_of_baseline), ("latency_p99", it.p99_of_baseline)];
    let mut res = Vec::new();
    for (metric, ms) in absolute {
        let Some(ms) = ms else { continue };
        let requirement = format!("<= {ms} ms");
        res.push(Budget { metric, limit: ms, wanted: Wanted::AtMost, requirement, relative: false });
    }
    if let Some(limit) = it.min_rows_per_second {
        let requirement = format!(">= {limit} rows/s");
        res.push(Budget { metric: "rows_per_second", limit, wanted: Wanted::AtLeast, requirement, relative: false });
    }
    for (metric, limit) in relative {
        let Some(limit) = limit else { continue };
        let requirement = format!("<= {limit} times the baseline's");
        res.push(Budget { metric, limit, wanted: Wanted::AtMost, requirement, relative: true });
    }
    if let Some(limit) = it.rows_per_second_of_baseline {
        let requirement = format!(">= {limit} times the baseline's");
        res.push(Budget { metric: "rows_per_second", limit, wanted: Wanted::AtLeast, requirement, relative: true });
    }
    res
}

/// Returns the seconds in milliseconds.
fn in_ms(seconds: &Estimate) -> Estimate {
    let Interval { low, high, level } = seconds.interval;
    Estimate { value: seconds.value * 1e3, interval: Interval { low: low * 1e3, high: high * 1e3, level } }
}

/// Returns what is held against the budget, in its unit.
fn estimate(it: &Measured, budget: &Budget<'_>, level: f64) -> Option<Estimate> {
    let quantile = PERCENTILES.iter().find(|it| it.0 == budget.metric).map_or(0.5, |it| it.1);
    if budget.relative {
        let found = ratio(&pairs(it), quantile, level)?;
        return Some(if budget.metric == "rows_per_second" { inverse(&found) } else { found });
    }
    let found = Series::new(it.candidate.clone()).percentile(quantile, level)?;
    Some(if budget.metric == "rows_per_second" { rate(it.batch_size, &found) } else { in_ms(&found) })
}

fn check(res: &mut Report, host: &dyn Host, it: &Measured, budget: &Budget<'_>) {
    if budget.relative && it.baseline.is_none() {
        res.gaps.push(Gap::new(what(budget, it.batch_size), NO_BASELINE));
        res.checks.push(not_checked(budget, it.batch_size, NO_BASELINE));
        return;
    }
    let level = host.confidence(budget.metric);
    let found = estimate(it, budget, level);
    let n = it.candidate.len();
    let status = budget::judge(found.as_ref(), n, budget.wanted, budget.limit);
    let message = match &found {
        None => "no run fits in `budget_seconds`".to_owned(),
        Some(found) => format!(
            "{} is {}, between {} and {} with confidence {}%, over {n} runs",
            what(budget, it.batch_size),
            shown(budget, found.value),
            shown(budget, found.interval.low),
            shown(budget, found.interval.high),
            (level * 1e4).round() / 1e2,
        ),
    };
    match status {
        Status::Fail => {
            let (code, advice) = if budget.relative {
                ("MW-L002", "compare the operators and sizes of both models; if the price is worth it, raise the limit")
            } else {
                (
                    "MW-L001",
                    "prune, quantize or simplify the model, or raise the limit; compare on the machine that serves",
                )
            };
            let finding = Finding::new(code, Severity::Error, format!("batches of {}", it.batch_size), message.clone());
            let value = found.as_ref().map_or(f64::NAN, |it| it.value);
            let finding = finding.advice(advice).evidence("runs", n).evidence("limit", budget.limit);
            res.findings.push(finding.evidence("value", float::to_value(value)));
        }
        Status::Inconclusive => {
            let why =
                format!("{message}: too noisy or too few runs to say; give it more `budget_seconds` and `max_runs`");
            res.gaps.push(Gap::new(what(budget, it.batch_size), why));
        }
        _ => {}
    }
    res.checks.push(Check {
        observed: found.as_ref().map(|it| it.value),
        interval: found.map(|it| it.interval),
        n: n as u64,
        status,
        message,
        ..not_checked(budget, it.batch_size, "")
    });
}

fn what(budget: &Budget<'_>, batch_size: usize) -> String {
    let of = if budget.relative { " relative to the baseline's" } else { "" };
    format!("{}{of} for batches of {batch_size}", budget.metric)
}

fn shown(budget: &Budget<'_>, value: f64) -> String {
    match (budget.relative, budget.metric) {
        (true, _) => format!("{value:.3}"),
        (_, "rows_per_second") => format!("{value:.0} rows/s"),
        // As many digits as tell it from its limit, of microseconds as well.
        _ if value.is_normal() => {
            let n_decimals = (3.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
            format!("{value:.n_decimals$} ms")
        }
        _ => format!("{value} ms"),
    }
}

fn not_checked(budget: &Budget<'_>, batch_size: usize, why: &str) -> Check {
    Check { labels: labels(batch_size), ..Check::not_checked(budget.metric, &budget.requirement, why) }
}

/// Reports that nothing was measured.
pub(crate) fn not_measured(res: &mut Report, config: &Config, why: &str) {
    for it in &config.limits {
        res.checks.extend(budgets(it).iter().map(|budget| not_checked(budget, it.batch_size, why)));
        res.checks.extend(memory::not_checked(it, why));
    }
}

/// Returns which batches had the same rows several times.
pub(crate) fn few_rows(config: &Config, rows: usize) -> Option<Gap> {
    let largest = config.batch_sizes.iter().copied().max().filter(|&it| it > rows)?;
    let why = format!("only {rows} different rows are used, so that batches of {largest} have them several times");
    Some(Gap::new("batches of different rows", why))
}

fn row(it: &Measured) -> Vec<Vec<String>> {
    let one = |model: &str, first: f64, seconds: &[f64]| {
        let series = Series::new(seconds.to_vec());
        let at = |quantile| series.percentile(quantile, 0.95).map(|it| it.value);
        let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), ms);
        let rate = at(0.5).map_or_else(|| "–".to_owned(), |median| format!("{:.0}", it.batch_size as f64 / median));
        vec![
            it.batch_size.to_string(),
            model.to_owned(),
            series.len().to_string(),
            ms(first),
            cell(at(0.5)),
            cell(at(0.95)),
            cell(at(0.99)),
            rate,
            series.outliers().to_string(),
        ]
    };
    let mut res = vec![one("candidate", it.first.0, &it.candidate)];
    if let (Some(first), Some(seconds)) = (it.first.1, &it.baseline) {
        res.push(one("baseline", first, seconds));
    }
    res
}

fn ms(seconds: f64) -> String {
    format!("{:.3}", seconds * 1e3)
}

fn machine(res: &mut Report, host: &dyn Host) {
    let it = match host.machine() {
        Ok(it) => it,
        Err(e) => return res.gaps.push(Gap::new("the machine", e.message)),
    };
    let rows = [
        ("system", format!("{} {}", it.os, it.arch)),
        ("processor", it.cpu),
        ("threads", it.threads.to_string()),
        ("runtime", it.runtime),
    ];
    res.figures.push(Figure {
        title: "Machine".to_owned(),
        caption: "Where the times were measured; on another machine they are others.".to_owned(),
        data: FigureData::Table {
            columns: ["", "value"].map(str::to_owned).into(),
            rows: rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect(),
        },
    });
}
