//! How long the model takes to load.
//!
//! One load is no distribution: of a small model chance makes it many times as long. So the models are loaded again in turns, and the
//! interval decides. What that cannot show is the first load of a process, for which files may have to be read from the disk: it is
//! told as `load_seconds`, and where it alone misses a limit, nothing is decided.

use modelwatch_sdk::{
    ErrorKind, Host, ModelRole, Report, Result,
    about::ModelDescription,
    report::{Check, Finding, Gap, Severity, Status, float},
};

use crate::{
    config::Config,
    report::NO_BASELINE,
    series::{Estimate, Series, ratio},
};

/// How often each model is loaded again.
const LOADS: usize = 10;

/// Fewer loads decide nothing: their least and greatest do not enclose the median at 95 %.
const MIN_LOADS: usize = 6;

/// Of loads that are shorter, in seconds, what else the machine does is most.
const SHORTEST: f64 = 1e-3;

/// How long the models took when they were loaded again.
#[derive(Default)]
pub(crate) struct Loads {
    candidate: Vec<f64>,
    /// Each next to the candidate's of the same place.
    baseline: Vec<f64>,
    /// Why there are not as many as there should be.
    obstacle: Option<String>,
}

/// Loads the models in turns, where there is a limit, until the time is over that a measurement may take.
///
/// # Errors
/// When the run was cancelled.
pub(crate) fn measure(config: &Config, host: &dyn Host, with_baseline: bool) -> Result<Loads> {
    let mut res = Loads::default();
    let is_relative = config.max_load_of_baseline.is_some() && with_baseline;
    if config.max_load_seconds.is_none() && !is_relative {
        return Ok(res);
    }
    let mut left = config.budget_seconds;
    for turn in 0..LOADS {
        if left <= 0.0 {
            res.obstacle = Some(format!("no more than {turn} loads fit in `budget_seconds`"));
            break;
        }
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        // Who goes first changes, so that going second is nobody's advantage.
        let mut roles = vec![ModelRole::Candidate];
        roles.extend(is_relative.then_some(ModelRole::Baseline));
        if turn % 2 == 1 {
            roles.reverse();
        }
        let loaded = roles.iter().map(|&it| Ok((it, host.load_again(it)?))).collect::<Result<Vec<_>>>();
        let loaded = match loaded {
            Ok(it) => it,
            Err(e) if e.kind == ErrorKind::Cancelled => return Err(e),
            Err(e) => {
                res.obstacle = Some(format!("it cannot be loaded again: {}", e.message));
                break;
            }
        };
        for (role, seconds) in loaded {
            left -= seconds;
            match role {
                ModelRole::Candidate => res.candidate.push(seconds),
                ModelRole::Baseline => res.baseline.push(seconds),
            }
        }
    }
    Ok(res)
}

/// Holds the loads against the limits that there are.
pub(crate) fn checks(
    res: &mut Report,
    config: &Config,
    level: f64,
    loads: &Loads,
    (candidate, baseline): (&ModelDescription, Option<&ModelDescription>),
) {
    if let Some(limit) = config.max_load_seconds {
        let found = Series::new(loads.candidate.clone()).percentile(0.5, level);
        let first = candidate.load_seconds;
        let doubt = (first > limit).then(|| format!("the first load of the run took {first:.3} s"));
        let held = Held { unit: " s", limit, requirement: format!("<= {limit} s"), doubt, is_comparable: true };
        check(res, held, loads, found);
    }
    let Some(limit) = config.max_load_of_baseline else { return };
    let requirement = format!("<= {limit} times the baseline's");
    if baseline.is_none() {
        res.gaps.push(Gap::new("load_seconds relative to the baseline's", NO_BASELINE));
        res.checks.push(Check::not_checked("load_seconds", requirement, NO_BASELINE));
        return;
    }
    let pairs: Vec<_> = loads.candidate.iter().copied().zip(loads.baseline.iter().copied()).collect();
    let median = |it: &[f64]| Series::new(it.to_vec()).percentile(0.5, level).map_or(f64::NAN, |it| it.value);
    let shortest = median(&loads.candidate).min(median(&loads.baseline));
    let doubt =
        (shortest < SHORTEST).then(|| format!("a load of {:.3} ms is too short to compare by it", shortest * 1e3));
    let is_comparable = doubt.is_none();
    let held = Held { unit: " times the baseline's", limit, requirement, doubt, is_comparable };
    check(res, held, loads, ratio(&pairs, 0.5, level));
}

/// What loads are held against.
struct Held {
    unit: &'static str,
    limit: f64,
    requirement: String,
    /// Why it is not known that the limit is kept.
    doubt: Option<String>,
    /// Whether the loads can miss the limit.
    is_comparable: bool,
}

fn check(res: &mut Report, held: Held, loads: &Loads, found: Option<Estimate>) {
    let Held { unit, limit, requirement, doubt, is_comparable } = held;
    let n = loads.candidate.len();
    let found = found.filter(|it| it.value.is_finite());
    let status = match &found {
        Some(it) if n >= MIN_LOADS && it.interval.low > limit && is_comparable => Status::Fail,
        Some(it) if n >= MIN_LOADS && it.interval.high <= limit && doubt.is_none() => Status::Pass,
        _ => Status::Inconclusive,
    };
    let mut message = match &found {
        None if n == 0 => "it was not loaded again".to_owned(),
        None => format!("{n} loads have no ratio"),
        Some(it) => format!(
            "a load takes {:.3}{unit}, between {:.3} and {:.3} with confidence {}%, over {n} loads",
            it.value,
            it.interval.low,
            it.interval.high,
            (it.interval.level * 1e4).round() / 1e2,
        ),
    };
    for why in loads.obstacle.iter().chain(&doubt) {
        message = format!("{message}; {why}");
    }
    match status {
        Status::Fail => {
            let finding =
                Finding::new("MW-L004", Severity::Error, "load", format!("{message}, required is {requirement}"));
            let observed = found.as_ref().map_or(f64::NAN, |it| it.value);
            let finding = finding.advice("make the model smaller, or raise the limit");
            res.findings.push(finding.evidence("observed", float::to_value(observed)).evidence("loads", n));
        }
        Status::Inconclusive => {
            let why = format!("{message}: too noisy, too few or too short loads to say; give it more `budget_seconds`");
            res.gaps.push(Gap::new("load_seconds", why));
        }
        _ => {}
    }
    let check = Check::not_checked("load_seconds", requirement, message);
    let (observed, interval) = (found.map(|it| it.value), found.map(|it| it.interval));
    res.checks.push(Check { observed, interval, n: n as u64, status, ..check });
}
