//! How long the model took to load.
//!
//! It is loaded once, and one time is no distribution: what is too long may be chance. But chance does not double the time, so that
//! a limit can be missed, too. Loading it again and again was considered; it would measure the cache of files, not a start.

use modelwatch_sdk::{
    Report,
    about::ModelDescription,
    report::{Check, Finding, Gap, Severity, Status, float},
};

use crate::{config::Config, report::NO_BASELINE};

/// Beyond so many times the limit it is missed, and between inconclusive.
const CERTAIN: f64 = 2.0;

/// Holds the time against the limits that there are.
pub(crate) fn checks(
    res: &mut Report,
    config: &Config,
    candidate: &ModelDescription,
    baseline: Option<&ModelDescription>,
) {
    let seconds = candidate.load_seconds;
    if let Some(limit) = config.max_load_seconds {
        let message = format!("the model was loaded in {seconds:.3} s");
        check(res, seconds, limit, format!("<= {limit} s"), message);
    }
    let Some(limit) = config.max_load_of_baseline else { return };
    let requirement = format!("<= {limit} times the baseline's");
    let Some(baseline) = baseline else {
        res.gaps.push(Gap::new("load_seconds relative to the baseline's", NO_BASELINE));
        res.checks.push(Check::not_checked("load_seconds", requirement, NO_BASELINE));
        return;
    };
    let ratio = seconds / baseline.load_seconds;
    let message = format!("the model took {ratio:.3} times as long to load as the baseline");
    check(res, ratio, limit, requirement, message);
}

fn check(res: &mut Report, observed: f64, limit: f64, requirement: String, message: String) {
    let status = match observed {
        it if it <= limit => Status::Pass,
        it if it <= CERTAIN * limit => Status::Inconclusive,
        // That is also what is no number.
        _ => Status::Fail,
    };
    let severity = if status == Status::Fail { Severity::Error } else { Severity::Warning };
    if status != Status::Pass {
        let finding = Finding::new("MW-L004", severity, "load", format!("{message}, required is {requirement}"));
        let advice = "run it again; if it stays, make the model smaller";
        res.findings.push(finding.advice(advice).evidence("observed", float::to_value(observed)));
    }
    if status == Status::Inconclusive {
        res.gaps.push(Gap::new("load_seconds", "the model is loaded once, and once is too few to call it slow"));
    }
    let check = Check::not_checked("load_seconds", requirement, message);
    res.checks.push(Check { observed: Some(observed), n: 1, status, ..check });
}
