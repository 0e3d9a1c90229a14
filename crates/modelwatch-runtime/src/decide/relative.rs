//! Holds a metric against another one: the baseline's, that of all rows, or that of another slice.

use modelwatch_config::{Op, Reference, Relative};
use modelwatch_sdk::{
    Report,
    report::{Better, Interval, Labels, Metric, MetricRole, Status},
};
use modelwatch_stats::intervals::{normal_quantile, student_t_quantile};

use super::{Decision, Sureness, addresses, bounds, candidates, holds, labels, percent, point, unproven, within};

/// What a metric is held against.
struct Other<'a> {
    metric: &'a Metric,
    /// `factor` × its value + `offset`.
    limit: f64,
    /// The comparison with it, or why there is none.
    compared: Result<Compared, String>,
    /// Whether the metric, this one or their comparison is only known to be within bounds.
    is_bounded: bool,
}

/// The interval of a comparison.
#[derive(Clone, Copy)]
struct Compared {
    interval: Interval,
    /// The number that it is held against.
    limit: f64,
    /// Its degrees of freedom where it is Student's t.
    degrees_of_freedom: Option<f64>,
    /// Between which numbers it is for these rows, where it is not computed exactly; the interval is as much wider.
    within: Option<Interval>,
}

impl Compared {
    /// Returns it as it would be at either bound; none where it is computed exactly. As a bound moves it, so does it its interval.
    fn at_bounds(self) -> Option<[(f64, Self); 2]> {
        let Interval { low, high, .. } = self.within.filter(|it| has_bounds(Some(*it)))?;
        let (whole, width) = (self.interval, high - low);
        let lower = Interval { high: (whole.high - width).max(whole.low), ..whole };
        let upper = Interval { low: (whole.low + width).min(whole.high), ..whole };
        Some([(low, Self { interval: lower, ..self }), (high, Self { interval: upper, ..self })])
    }
}

/// Decides about a comparison. With a confidence it is the interval of the difference that has to hold.
pub(super) fn compare(op: Op, right: &Relative, confidence: Option<f64>, metric: &Metric, report: &Report) -> Decision {
    let Other { metric: other, limit, compared, is_bounded } = match other(right, confidence, metric, report) {
        Ok(it) => it,
        Err(it) => return it,
    };
    let decision = match compared {
        _ if confidence.is_none() && !is_bounded => point(metric, holds(op, metric.value, limit)),
        Ok(Compared { interval, limit, .. }) => {
            within(Some(interval), wanted_level(interval, confidence), |it| bounds(op, it, limit))
        }
        Err(why) => (Status::Inconclusive, None, why),
    };
    let decision = if is_bounded && confidence.is_some() { unproven(decision) } else { decision };
    said_of(right, other, decision)
}

/// Decides that a metric is not worse. With a level it fails where the whole interval of the difference is worse, and only
/// there. Without an interval nothing tells chance from a change, and it is not checked unless both are equal. Bounds that are certain are no
/// estimate, and must not be worse anywhere.
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
    let Other { metric: other, limit, compared, is_bounded } = match other(than, sureness.confidence, metric, report) {
        Ok(it) => it,
        Err(it) => return it,
    };
    let is_inexact = sureness.confidence.is_some() && [metric, other].into_iter().any(|it| has_bounds(it.bounds));
    let at = |is_no_worse: bool, compared: Result<Compared, String>| match (sureness.confidence, compared) {
        (confidence, Ok(it)) if is_bounded => {
            within(joint(it, sureness.n_tried), wanted_level(it.interval, confidence), |found| {
                bounds(op, found, it.limit)
            })
        }
        (_, Err(why)) if is_bounded => (Status::Inconclusive, None, why),
        (None, _) => point(metric, is_no_worse),
        (Some(_), Err(_)) if metric.value == limit => (Status::Pass, None, "both are equal".to_owned()),
        (Some(_), Err(why)) => {
            let side = if is_no_worse { "better" } else { "worse" };
            let remedy = "require it without `with confidence`, of more rows, or by another metric";
            (Status::NotChecked, None, format!("it is {side}, which may be chance: {why}; {remedy}"))
        }
        (Some(_), Ok(it)) if is_no_worse => (Status::Pass, Some(it.interval), "it is not worse".to_owned()),
        (Some(confidence), Ok(it)) => unless_surely_worse(op, it, confidence, sureness.n_tried),
    };
    let decision = match compared {
        Err(why) if is_inexact => (Status::Inconclusive, None, why),
        Ok(it) if is_inexact => match it.at_bounds() {
            Some(both) => {
                let [left, right] = both.map(|(value, of)| at(holds(op, value, of.limit), Ok(of)));
                if left.0 == right.0 {
                    (left.0, Some(it.interval), left.2)
                } else {
                    let why = "whether it is worse depends on what is not computed exactly: see the gaps";
                    (Status::Inconclusive, Some(it.interval), why.to_owned())
                }
            }
            None if it.within.is_none() && !it.interval.is_certain() => {
                let why = "what is compared is not computed exactly, and the comparison does not say how inexact it is";
                (Status::Inconclusive, Some(it.interval), why.to_owned())
            }
            None => at(holds(op, metric.value, limit), Ok(it)),
        },
        compared => at(holds(op, metric.value, limit), compared),
    };
    said_of(than, other, decision)
}

/// Passes what looks worse where that may be chance.
fn unless_surely_worse(op: Op, it: Compared, confidence: f64, n_tried: usize) -> Decision {
    let level = wanted_level(it.interval, Some(confidence));
    let Some(found) = joint(it, n_tried) else {
        let message = format!("it is worse, and there is no interval for all {n_tried} at once");
        return (Status::Inconclusive, Some(it.interval), message);
    };
    let decision = within(Some(found), level, |interval| (false, bounds(op, interval, it.limit).1));
    let how_sure = match (it.interval.is_certain(), n_tried) {
        (true, _) => return decision,
        (false, 0 | 1) => format!("with confidence {}", percent(level)),
        (false, n) => format!("with confidence {} for all {n} at once", percent(level)),
    };
    match decision.0 {
        Status::Inconclusive if is_of(Some(found), level) => {
            (Status::Pass, Some(found), format!("it is worse, but not {how_sure}"))
        }
        Status::Fail => (Status::Fail, Some(found), format!("it is worse, {how_sure}")),
        _ => decision,
    }
}

/// Returns the interval of one of `n_tried` that holds for all of them together at its level: wider about its middle by as much as
/// the quantile of its distribution is for the smaller share that each may miss. None where there is no such quantile.
/// One that is certain is left as it is, and one without a bound on one side, since it has no middle.
fn joint(Compared { interval: it, degrees_of_freedom, .. }: Compared, n_tried: usize) -> Option<Interval> {
    if n_tried < 2 || it.is_certain() || !it.low.is_finite() || !it.high.is_finite() {
        return Some(it);
    }
    let quantile = |missed: f64| match degrees_of_freedom {
        Some(degrees) => student_t_quantile(1.0 - missed / 2.0, degrees),
        None => normal_quantile(1.0 - missed / 2.0),
    };
    let missed = 1.0 - it.level;
    let factor = quantile(missed / n_tried as f64).ok()? / quantile(missed).ok()?;
    let (middle, half) = ((it.low + it.high) / 2.0, (it.high - it.low) / 2.0);
    let (low, high) = (middle - factor * half, middle + factor * half);
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level: it.level })
}

/// Returns whether something is only known to be within bounds, or not even that, where they are none.
pub(super) fn has_bounds(it: Option<Interval>) -> bool {
    it.is_some_and(|it| it.is_certain() && it.low != it.high)
}

/// Returns the level that an interval should have: that of what is certain, or the one that was asked for.
fn wanted_level(it: Interval, confidence: Option<f64>) -> f64 {
    confidence.filter(|_| !it.is_certain()).unwrap_or(1.0)
}

/// Returns whether an interval is one of that level.
pub(super) fn is_of(interval: Option<Interval>, level: f64) -> bool {
    interval.is_some_and(|it| it.low <= it.high && (it.level - level).abs() <= 1e-9)
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
    // 110 % of -20 is less than -20, while a share of 0 is 0.
    if *factor != 1.0 && other.value < 0.0 {
        let why = "a share of a negative value has no direction";
        return say(Status::Fail, format!("{why}; write `{to} + x` ({to} {:.6})", other.value));
    }
    let compared = match to {
        Reference::Baseline => paired(*factor, *offset, other, metric, report),
        Reference::Overall | Reference::Metric(_) => unpaired(*factor, *offset, other, metric, confidence),
    };
    let of_difference = compared.as_ref().ok().map(|it| it.interval);
    let is_bounded = [metric.interval, other.interval, of_difference].into_iter().any(has_bounds);
    Ok(Other { metric: other, limit, compared, is_bounded })
}

fn of_role<'a>(metric: &Metric, report: &'a Report, role: MetricRole) -> Option<&'a Metric> {
    report.metrics.iter().find(|it| it.role == role && it.name == metric.name && it.labels == metric.labels)
}

/// The interval must be that of the paired comparison; the bounds of two intervals compare nothing.
fn paired(factor: f64, offset: f64, baseline: &Metric, metric: &Metric, report: &Report) -> Result<Compared, String> {
    let of = |role, limit| {
        let found = of_role(metric, report, role);
        let compared = found.and_then(|it| {
            Some(Compared {
                interval: it.interval?,
                limit,
                degrees_of_freedom: it.degrees_of_freedom,
                within: it.bounds,
            })
        });
        compared.ok_or_else(no_interval)
    };
    if factor == 1.0 {
        return of(MetricRole::Difference, offset);
    }
    if offset == 0.0 && baseline.value > 0.0 {
        return of(MetricRole::Ratio, factor);
    }
    Err("a share of the baseline with an offset, or of a baseline that is not positive, has no paired interval"
        .to_owned())
}

/// Other rows are independent, and rows in common make the difference of one metric only vary less: it moves with them on both
/// sides. What is certain does not vary at all.
fn unpaired(
    factor: f64,
    offset: f64,
    other: &Metric,
    metric: &Metric,
    confidence: Option<f64>,
) -> Result<Compared, String> {
    // The fewest are those that the wider tails come from.
    let fewest = |of: f64| other.degrees_of_freedom.map_or(of, |it| it.min(of));
    let degrees_of_freedom = metric.degrees_of_freedom.map(fewest).or(other.degrees_of_freedom);
    let compared = |interval, within| Compared { interval, limit: offset, degrees_of_freedom, within };
    if std::ptr::eq(other, metric) {
        // One of many that are held against it, by `*`: what is left is a share of the metric, and as unsure as that.
        let left_of = |Interval { low, high, level }: Interval| {
            let [left, right] = [low, high].map(|it| if factor == 1.0 { 0.0 } else { (1.0 - factor) * it });
            Interval { low: left.min(right), high: left.max(right), level }
        };
        return Ok(compared(left_of(metric.interval.ok_or_else(no_interval)?), metric.bounds.map(left_of)));
    }
    let (left, right) = (known(metric, confidence)?, known(other, confidence)?);
    let right = Interval { low: factor * right.low, high: factor * right.high, level: right.level };
    let [of_left, of_right] = [metric, other].map(|it| it.bounds.unwrap_or(Interval::certain(it.value, it.value)));
    // What a sample can be off by is in the intervals already.
    let is_exact = !has_bounds(metric.bounds) && !has_bounds(other.bounds);
    let within = Interval::certain(of_left.low - factor * of_right.high, of_left.high - factor * of_right.low);
    // Errors of computing add up, where those of chance do in squares.
    let difference = if left.is_certain() || right.is_certain() || !is_exact {
        Interval { low: left.low - right.high, high: left.high - right.low, level: left.level.min(right.level) }
    } else {
        Interval::of_difference((metric.value, left), (factor * other.value, right))
    };
    Ok(compared(difference, (!is_exact).then_some(within)))
}

/// Returns where a value lies: within its bounds, in its interval where a confidence is asked for, or else where it is.
fn known(it: &Metric, confidence: Option<f64>) -> Result<Interval, String> {
    match (it.interval, confidence) {
        (Some(found), _) if found.is_certain() => Ok(found),
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

    fn joint_of_ten(low: f64, high: f64, degrees_of_freedom: Option<f64>) -> Option<(f64, f64)> {
        let interval = Interval { low, high, level: 0.95 };
        joint(Compared { interval, limit: 0.0, degrees_of_freedom, within: None }, 10).map(|it| (it.low, it.high))
    }

    #[test]
    fn an_interval_of_many_is_wider_by_its_own_distribution() {
        // The quantiles for 0.25 % and for 2.5 % at each end: of the normal distribution and of t.
        for (degrees, factor) in [(None, 2.8070 / 1.9600), (Some(999.0), 2.8133 / 1.9623), (Some(5.0), 4.7733 / 2.5706)]
        {
            let (low, high) = joint_of_ten(-1.0, 3.0, degrees).unwrap();
            assert!((low - (1.0 - 2.0 * factor)).abs() < 1e-3 && (low + high - 2.0).abs() < 1e-12, "{degrees:?}");
        }
    }

    #[test]
    fn an_interval_of_many_is_never_without_a_meaning() {
        for (low, high) in [(f64::NEG_INFINITY, 1.0), (0.5, f64::INFINITY), (f64::NEG_INFINITY, f64::INFINITY)] {
            assert_eq!(joint_of_ten(low, high, None), Some((low, high)));
        }
        for degrees in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            assert_eq!(joint_of_ten(-1.0, 3.0, Some(degrees)), None, "{degrees}");
        }
    }
}
