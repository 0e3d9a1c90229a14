//! Holds requirements against metrics. Nothing passes by accident.

mod labels;
mod relative;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unchanged;

use std::borrow::Cow;

pub(crate) use labels::{form, unescaped};
use modelwatch_config::{Bound, FailOn, MetricAddress, Op, Operand, Probe, ProbeKind, Requirement};
use modelwatch_sdk::{
    Report,
    report::{Check, Interval, Labels, Metric, MetricRole, Severity, Status},
};

/// Why a comparison with a baseline was not made on a first run.
pub(crate) const NO_BASELINE_YET: &str = "there is no baseline yet";

/// Returns the checks of one requirement: one per metric that it addresses, or one that says why
/// there is none.
pub(crate) fn requirement(it: &Requirement, report: &Report) -> Vec<Check> {
    let known = known(it, report);
    let report = &*known;
    let addressed: Vec<_> = candidates(report).filter(|metric| addresses(&it.metric, metric)).collect();
    if addressed.is_empty() {
        return vec![absent(it, report)];
    }
    // Those that a `*` names are tried together: one of many looks worse by chance.
    let n_tried = addressed.iter().filter(|it| has_say(it)).count();
    addressed.into_iter().map(|metric| check(it, metric, n_tried, report)).collect()
}

/// Returns the report that a requirement is held against. Without a confidence, what is not computed exactly is no more than within its
/// bounds; with one the interval tells that, too.
fn known<'a>(it: &Requirement, report: &'a Report) -> Cow<'a, Report> {
    if it.confidence.is_some() || report.metrics.iter().all(|it| it.bounds.is_none()) {
        return Cow::Borrowed(report);
    }
    let bounds = |it: Interval| Interval::certain(it.low, it.high);
    let within = |it: &Metric| it.clone().interval(it.bounds.map(bounds).or(it.interval));
    Cow::Owned(Report { metrics: report.metrics.iter().map(within).collect(), ..report.clone() })
}

/// Returns the check of a comparison with a baseline that is not there yet, which decides nothing where the pipeline allows for that.
pub(crate) fn not_yet(it: &Requirement) -> Check {
    without_metric(it, Status::NotChecked, NO_BASELINE_YET.to_owned())
}

/// Returns the check that a verifier judges anything, where none was asked of it and it judges nothing by itself: what is only measured
/// is not verified.
pub(crate) fn unasked(settings: &Probe, report: &Report) -> Option<Check> {
    let is_asked = !settings.requirements.is_empty() || !report.checks.is_empty();
    (settings.kind == ProbeKind::Verifier && !is_asked).then(|| {
        let why = "nothing is asked of it; add `require`, or limits where the verifier has them";
        Check::not_checked("requirements", "something is asked", why)
    })
}

/// Returns the check that there are no findings from a severity on; `None` where they never fail.
pub(crate) fn findings(report: &Report, fail_on: FailOn) -> Option<Check> {
    let (limit, words) = match fail_on {
        FailOn::Error => (Severity::Error, "no finding of severity error"),
        FailOn::Warning => (Severity::Warning, "no finding of severity warning or error"),
        FailOn::Never => return None,
    };
    let bad: Vec<_> = report.findings.iter().filter(|it| it.severity >= limit).collect();
    let looked_at = report.metrics.iter().map(|it| it.n).chain(report.checks.iter().map(|it| it.n)).max().unwrap_or(0);
    let (status, message) = match (&bad[..], looked_at) {
        ([], 0) if report.findings.is_empty() => {
            (Status::NotChecked, "the probe saw nothing that it could judge".to_owned())
        }
        ([], _) => (Status::Pass, words.to_owned()),
        ([only], _) => (Status::Fail, format!("{} at {}: {}", only.code, only.place, only.message)),
        ([first, rest @ ..], _) => {
            let n = rest.len();
            (Status::Fail, format!("{} at {}: {}, and {n} more", first.code, first.place, first.message))
        }
    };
    Some(Check {
        metric: "findings".to_owned(),
        labels: Labels::new(),
        requirement: words.to_owned(),
        observed: Some(bad.len() as f64),
        interval: None,
        n: looked_at,
        status,
        message,
    })
}

fn candidates(report: &Report) -> impl Iterator<Item = &Metric> {
    report.metrics.iter().filter(|it| it.role == MetricRole::Candidate)
}

/// A metric is addressed by its name and exactly its labels.
fn addresses(address: &MetricAddress, metric: &Metric) -> bool {
    address.name == metric.name
        && address.labels.len() == metric.labels.len()
        && address.labels.iter().all(|(key, wanted)| metric.labels.get(key).is_some_and(|it| wanted.matches(key, it)))
}

/// A name that exists nowhere is a mistake and fails; a slice or data that is not there was not checked.
fn absent(it: &Requirement, report: &Report) -> Check {
    let named = report.metrics.iter().any(|metric| metric.name == it.metric.name);
    let (status, message) = if report.metrics.is_empty() {
        (Status::NotChecked, "the probe reports no metric at all: it saw nothing that it could measure".to_owned())
    } else if named {
        let why = labels::why_absent(&it.metric, report);
        (Status::NotChecked, format!("no metric of that name has these labels: {why}"))
    } else {
        let mut names: Vec<_> = report.metrics.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        (Status::Fail, format!("there is no such metric; the probe reports {}", names.join(", ")))
    };
    without_metric(it, status, message)
}

/// Returns the check of a requirement for which there is no metric.
fn without_metric(it: &Requirement, status: Status, message: String) -> Check {
    let labels = it.metric.labels.iter().map(|(key, value)| (key.clone(), value.unquoted()));
    Check {
        metric: it.metric.name.clone(),
        labels: labels.collect(),
        requirement: text(it),
        observed: None,
        interval: None,
        n: 0,
        status,
        message,
    }
}

/// Returns whether there is anything to decide about.
fn has_say(metric: &Metric) -> bool {
    metric.n > 0 && metric.unfit.is_none() && !metric.value.is_nan()
}

fn check(it: &Requirement, metric: &Metric, n_tried: usize, report: &Report) -> Check {
    let (status, interval, message) = if metric.n == 0 {
        (Status::NotChecked, metric.interval, "it is computed from nothing".to_owned())
    } else if let Some(why) = &metric.unfit {
        (Status::NotChecked, metric.interval, why.clone())
    } else if metric.value.is_nan() {
        (Status::Fail, metric.interval, "the metric is not a number".to_owned())
    } else {
        decide(it, metric, n_tried, report)
    };
    Check {
        metric: metric.name.clone(),
        labels: metric.labels.clone(),
        requirement: text(it),
        observed: Some(metric.value),
        interval,
        n: metric.n,
        status,
        message,
    }
}

/// The condition alone, in its normal form.
fn text(it: &Requirement) -> String {
    let whole = it.to_string();
    whole.strip_prefix(&it.metric.to_string()).map_or(whole.clone(), |it| it.trim_start().to_owned())
}

/// How sure a decision has to be.
#[derive(Clone, Copy, Debug)]
struct Sureness {
    /// The confidence that is asked for; none for the estimate alone.
    confidence: Option<f64>,
    /// How many are decided about at once, for all of which the level holds together.
    n_tried: usize,
}

type Decision = (Status, Option<Interval>, String);

fn decide(it: &Requirement, metric: &Metric, n_tried: usize, report: &Report) -> Decision {
    // Of a value that is only known to be within bounds, what does not hold at both of them is not known to hold.
    let is_bounded = relative::has_bounds(metric.interval);
    // What is certain is so at any level.
    let wanted = if metric.interval.is_some_and(|it| it.is_certain()) { Some(1.0) } else { it.confidence };
    let decision = match &it.bound {
        &Bound::Between { low, high } => match wanted {
            None => point(metric, low <= metric.value && metric.value <= high),
            Some(level) => within(metric.interval, level, |it| {
                let inside = low <= it.low && it.high <= high;
                let outside = it.high < low || high < it.low;
                (inside, outside)
            }),
        },
        &Bound::Compare { op, right: Operand::Number(right) } => match wanted {
            None => point(metric, holds(op, metric.value, right)),
            Some(level) => within(metric.interval, level, |it| bounds(op, it, right)),
        },
        Bound::Compare { op, right: Operand::Relative(right) } => {
            return relative::compare(*op, right, it.confidence, metric, report);
        }
        // It passes what is not surely worse, and asks for no proof.
        Bound::NotWorse { than } => {
            let sureness = Sureness { confidence: it.confidence, n_tried };
            return relative::not_worse(than, sureness, metric, report);
        }
    };
    if is_bounded && it.confidence.is_some() { unproven(decision) } else { decision }
}

/// Returns what a decision within bounds is worth where a confidence is asked for.
fn unproven(decision: Decision) -> Decision {
    match decision {
        (Status::Pass, interval, message) => {
            let message = format!("{message}, but how much other rows could change it is not known");
            (Status::Inconclusive, interval, message)
        }
        other => other,
    }
}

fn point(metric: &Metric, holds: bool) -> Decision {
    let status = if holds { Status::Pass } else { Status::Fail };
    (status, metric.interval, if holds { "it holds".to_owned() } else { "it does not hold".to_owned() })
}

/// Passes where the whole interval does, fails where no part of it does.
fn within(interval: Option<Interval>, level: f64, judge: impl Fn(Interval) -> (bool, bool)) -> Decision {
    let Some(it) = interval else {
        let why = "the metric has no confidence interval: nothing varies in these rows, they are too few, or none is known for it";
        let remedy = "require it without `with confidence`, of more rows, or by another metric";
        return (Status::Inconclusive, None, format!("{why}; {remedy}"));
    };
    if !relative::is_of(interval, level) {
        let message = match level {
            1.0 => "the metric has no bounds that are certain".to_owned(),
            level => format!("the metric has no interval at {}", percent(level)),
        };
        return (Status::Inconclusive, interval, message);
    }
    let at = percent(level);
    match judge(it) {
        (false, false) if it.is_certain() => {
            let why = "because not everything could be looked at, or not exactly: see the gaps";
            (Status::Inconclusive, interval, format!("it lies between {:.6} and {:.6}, {why}", it.low, it.high))
        }
        (true, _) if it.is_certain() => (Status::Pass, interval, "it holds at both bounds".to_owned()),
        (_, true) if it.is_certain() => (Status::Fail, interval, "it does not hold at either bound".to_owned()),
        (true, _) => (Status::Pass, interval, format!("it holds with confidence {at}")),
        (_, true) => (Status::Fail, interval, format!("it does not hold, with confidence {at}")),
        _ => (Status::Inconclusive, interval, format!("too little data to say with confidence {at}")),
    }
}

fn percent(level: f64) -> String {
    format!("{}%", (level * 1e8).round() / 1e6)
}

fn holds(op: Op, left: f64, right: f64) -> bool {
    match op {
        Op::Less => left < right,
        Op::LessOrEqual => left <= right,
        Op::Greater => left > right,
        Op::GreaterOrEqual => left >= right,
        Op::Equal => left == right,
        Op::NotEqual => left != right && !left.is_nan(),
    }
}

/// Whether all of the interval, and whether none of it, meets the comparison.
fn bounds(op: Op, it: Interval, right: f64) -> (bool, bool) {
    let (low, high) = (holds(op, it.low, right), holds(op, it.high, right));
    let is_inside = it.low < right && right < it.high;
    (low && high && (op != Op::NotEqual || !is_inside), !low && !high && (op != Op::Equal || !is_inside))
}
