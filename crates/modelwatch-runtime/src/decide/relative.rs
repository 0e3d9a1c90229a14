//! Holds a metric against another one: the baseline's, that of all rows, or that of another slice.

use modelwatch_config::{Op, Reference, Relative};
use modelwatch_sdk::{
    Report,
    report::{Better, Interval, Labels, Metric, MetricRole, Status},
};
use modelwatch_stats::intervals::student_t_quantile;

use super::{Decision, Sureness, addresses, bounds, candidates, holds, labels, percent, point, unproven, within};

/// What a metric is held against.
struct Other<'a> {
    metric: &'a Metric,
    /// `factor` × its value + `offset`.
    limit: f64,
    /// The interval of a comparison with it and the number that it is held against, or why there is none.
    compared: Result<(Interval, f64), String>,
}

/// Decides about a comparison. With a confidence it is the interval of the difference that has to hold.
pub(super) fn compare(op: Op, right: &Relative, confidence: Option<f64>, metric: &Metric, report: &Report) -> Decision {
    let other = match other(right, confidence, metric, report) {
        Ok(it) => it,
        Err(it) => return it,
    };
    let is_bounded = is_bounded(metric) || is_bounded(other.metric);
    let decision = match other.compared {
        _ if confidence.is_none() && !is_bounded => point(metric, holds(op, metric.value, other.limit)),
        Ok((interval, limit)) => within(Some(interval), level(interval, confidence), |it| bounds(op, it, limit)),
        Err(why) => (Status::Inconclusive, None, why),
    };
    let decision = if is_bounded && confidence.is_some() { unproven(decision) } else { decision };
    said_of(right, other.metric, decision)
}

/// Decides that a metric is not worse. With a level it fails where the whole interval of the difference is worse, and only
/// there: an estimate that is no worse needs no interval. Bounds that are certain are no estimate, and must not be worse anywhere.
///
/// Of many that are tried at once the interval of each is widened by Bonferroni, so that one of them is worse by chance no more
/// often than a single one would be.
pub(super) fn not_worse(than: &Relative, sureness: Sureness, metric: &Metric, report: &Report) -> Decision {
    let op = match metric.better {
        Some(Better::Higher) => Op::GreaterOrEqual,
        Some(Better::Lower) => Op::LessOrEqual,
        None => {
            let message = format!("of {} no side is known to be worse; compare by `<=` or `>=`", metric.name);
            return (Status::Fail, metric.interval, message);
        }
    };
    let other = match other(than, sureness.confidence, metric, report) {
        Ok(it) => it,
        Err(it) => return it,
    };
    let n = effective_n(metric).min(effective_n(other.metric));
    let is_bounded = is_bounded(metric) || is_bounded(other.metric);
    let decision = match (sureness.confidence, other.compared) {
        (None, _) if !is_bounded => point(metric, holds(op, metric.value, other.limit)),
        (Some(_), compared) if !is_bounded && holds(op, metric.value, other.limit) => {
            (Status::Pass, compared.ok().map(|it| it.0), "it is not worse".to_owned())
        }
        (Some(confidence), Ok((interval, limit))) if !is_bounded => {
            let level = level(interval, Some(confidence));
            let interval = joint(interval, n, sureness.n_tried);
            let together = match sureness.n_tried {
                0 | 1 => String::new(),
                n => format!(" for all {n} at once"),
            };
            match within(Some(interval), level, |it| (false, bounds(op, it, limit).1)) {
                (Status::Inconclusive, interval, _) if is_of(interval, level) => {
                    let message = format!("it is worse, but not with confidence {}{together}", percent(level));
                    (Status::Pass, interval, message)
                }
                (Status::Fail, interval, _) => {
                    (Status::Fail, interval, format!("it is worse, with confidence {}{together}", percent(level)))
                }
                other => other,
            }
        }
        (confidence, Ok((interval, limit))) => {
            let interval = joint(interval, n, sureness.n_tried);
            within(Some(interval), level(interval, confidence), |it| bounds(op, it, limit))
        }
        (_, Err(why)) if is_bounded => (Status::Inconclusive, None, why),
        (_, Err(why)) => (Status::Inconclusive, None, format!("it is worse, and {why}")),
    };
    said_of(than, other.metric, decision)
}

/// Returns the interval of one of `n_tried` that holds for all of them together at its level: wider about its middle by as much as
/// Student's t of `n` rows is for the smaller share that each may miss. Of fewer than two rows it is without bounds. One that is certain is
/// left as it is, and one without a bound on one side, since it has no middle.
fn joint(it: Interval, n: f64, n_tried: usize) -> Interval {
    if n_tried < 2 || it.is_certain() || !it.low.is_finite() || !it.high.is_finite() {
        return it;
    }
    let t = |missed: f64| student_t_quantile(1.0 - missed / 2.0, n - 1.0);
    let missed = 1.0 - it.level;
    let Ok(factor) = t(missed / n_tried as f64).and_then(|joint| Ok(joint / t(missed)?)) else {
        return Interval { low: f64::NEG_INFINITY, high: f64::INFINITY, level: it.level };
    };
    let (middle, half) = ((it.low + it.high) / 2.0, (it.high - it.low) / 2.0);
    Interval { low: middle - factor * half, high: middle + factor * half, level: it.level }
}

/// Returns how many rows of equal weight the metric's stand for.
fn effective_n(it: &Metric) -> f64 {
    it.effective_n.unwrap_or(it.n as f64)
}

/// Returns whether a value is only known to be within bounds.
pub(super) fn is_bounded(it: &Metric) -> bool {
    it.interval.is_some_and(|it| it.is_certain() && it.low < it.high)
}

/// Returns the level that an interval should have: that of what is certain, or the one that was asked for.
fn level(it: Interval, confidence: Option<f64>) -> f64 {
    confidence.filter(|_| !it.is_certain()).unwrap_or(1.0)
}

/// Returns whether an interval is one of that level.
fn is_of(interval: Option<Interval>, level: f64) -> bool {
    interval.is_some_and(|it| !it.low.is_nan() && !it.high.is_nan() && (it.level - level).abs() <= 1e-9)
}

fn said_of(right: &Relative, other: &Metric, (status, interval, message): Decision) -> Decision {
    (status, interval, format!("{message} ({} {:.6})", right.to, other.value))
}

/// Returns what the metric is held against, or the decision where there is no such thing.
fn other<'a>(
    right: &Relative,
    confidence: Option<f64>,
    metric: &'a Metric,
    report: &'a Report,
) -> Result<Other<'a>, Decision> {
    let Relative { to, factor, offset } = right;
    let say = |status, message: String| Err((status, metric.interval, message));
    let found = match to {
        Reference::Baseline => of_role(metric, report, MetricRole::Baseline),
        Reference::Overall => {
            let is_of_rows = |it: &str| matches!(it, "slice" | "worst_slice");
            let wanted: Labels = metric.labels.clone().into_iter().filter(|it| !is_of_rows(&it.0)).collect();
            candidates(report).find(|it| it.name == metric.name && it.labels == wanted)
        }
        Reference::Metric(address) => candidates(report).find(|it| addresses(address, it)),
    };
    let Some(other) = found else {
        return match to {
            Reference::Baseline => say(Status::Fail, "the probe reports no baseline value of it".to_owned()),
            Reference::Overall => say(Status::NotChecked, "the probe reports no value of it over all rows".to_owned()),
            Reference::Metric(address) => {
                let why = labels::why_absent(address, report);
                say(Status::NotChecked, format!("the probe reports no `{address}` to compare with: {why}"))
            }
        };
    };
    if let Some(why) = &other.unfit {
        return say(Status::NotChecked, format!("what it is compared with, `{to}`, does not count: {why}"));
    }
    let limit = factor * other.value + offset;
    if other.n == 0 || limit.is_nan() {
        let what = match to {
            Reference::Baseline => "the baseline's value".to_owned(),
            to => format!("the value of `{to}`"),
        };
        return say(Status::Fail, format!("{what} is not a number"));
    }
    let compared = match to {
        Reference::Baseline => paired(*factor, *offset, other, metric, report),
        Reference::Overall | Reference::Metric(_) => unpaired(*factor, *offset, other, metric, confidence),
    };
    Ok(Other { metric: other, limit, compared })
}

fn of_role<'a>(metric: &Metric, report: &'a Report, role: MetricRole) -> Option<&'a Metric> {
    report.metrics.iter().find(|it| it.role == role && it.name == metric.name && it.labels == metric.labels)
}

/// The interval must be that of the paired comparison; the bounds of two intervals compare nothing.
fn paired(
    factor: f64,
    offset: f64,
    baseline: &Metric,
    metric: &Metric,
    report: &Report,
) -> Result<(Interval, f64), String> {
    let of = |role| of_role(metric, report, role).and_then(|it| it.interval);
    if factor == 1.0 {
        return of(MetricRole::Difference).map(|it| (it, offset)).ok_or_else(no_interval);
    }
    if offset == 0.0 && baseline.value > 0.0 {
        return of(MetricRole::Ratio).map(|it| (it, factor)).ok_or_else(no_interval);
    }
    Err("a share of the baseline with an offset, or of a baseline that is not positive, has no paired interval"
        .to_owned())
}

/// Other rows are independent, and rows in common only make the difference vary less. What is certain does not vary at all.
fn unpaired(
    factor: f64,
    offset: f64,
    other: &Metric,
    metric: &Metric,
    confidence: Option<f64>,
) -> Result<(Interval, f64), String> {
    if std::ptr::eq(other, metric) {
        // One of many that are held against it, by `*`.
        let level = metric.interval.ok_or_else(no_interval)?.level;
        let it = metric.value - factor * other.value;
        return Ok((Interval { low: it, high: it, level }, offset));
    }
    let (left, right) = (known(metric, confidence)?, known(other, confidence)?);
    let right = Interval { low: factor * right.low, high: factor * right.high, level: right.level };
    let difference = if left.is_certain() || right.is_certain() {
        Interval { low: left.low - right.high, high: left.high - right.low, level: left.level.min(right.level) }
    } else {
        Interval::of_difference((metric.value, left), (factor * other.value, right))
    };
    Ok((difference, offset))
}

/// Returns where a value lies: within its bounds, in its interval where a confidence is asked for, or else where it is.
fn known(it: &Metric, confidence: Option<f64>) -> Result<Interval, String> {
    match (it.interval, confidence) {
        (Some(found), _) if found.is_certain() || found.low == found.high => {
            Ok(Interval::certain(found.low, found.high))
        }
        (_, None) => Ok(Interval::certain(it.value, it.value)),
        (Some(found), Some(level)) if is_of(Some(found), level) => Ok(found),
        (Some(_), Some(level)) => Err(format!("`{}` has no interval at {}", it.name, percent(level))),
        (None, Some(_)) => Err(no_interval()),
    }
}

fn no_interval() -> String {
    "the comparison has no confidence interval".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_many_is_wider_and_never_without_a_meaning() {
        let of = |low, high| joint(Interval { low, high, level: 0.95 }, 1000.0, 10);
        let wider = of(-1.0, 3.0);
        // The quantiles of t for 0.25 % and for 2.5 % at each end.
        assert!(
            (wider.low - (1.0 - 2.0 * 2.8133 / 1.9623)).abs() < 1e-3 && (wider.high + wider.low - 2.0).abs() < 1e-12
        );
        for (low, high) in [(f64::NEG_INFINITY, 1.0), (0.5, f64::INFINITY), (f64::NEG_INFINITY, f64::INFINITY)] {
            assert_eq!((of(low, high).low, of(low, high).high), (low, high));
        }
    }
}
