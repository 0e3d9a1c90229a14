//! The memory of a process that runs the model.

use modelwatch_sdk::{
    Report,
    report::{Check, Finding, Gap, Metric, MetricRole, Severity, Status},
};

use crate::{
    config::Limits,
    measure::Measured,
    report::{NO_BASELINE, labels},
};

const MIB: f64 = (1 << 20) as f64;

/// Reports the peaks. By how much memory grew for the run is not reported: what the allocator has kept of runs before it is there
/// already, so that it would mostly be nothing.
pub(crate) fn metrics(res: &mut Report, it: &Measured) {
    let baseline = it.baseline_memory.as_ref();
    for (role, memory) in [(MetricRole::Candidate, Some(&it.memory)), (MetricRole::Baseline, baseline)] {
        if let Some(Ok(memory)) = memory {
            let peak = Metric::new("peak_memory_bytes", memory.peak as f64).role(role);
            res.metrics.push(peak.n(1).labels(&labels(it.batch_size)).unit("B"));
        }
    }
    if let Some(Ok(ratio)) = ratio(it) {
        let ratio = Metric::new("peak_memory_bytes", ratio).role(MetricRole::Ratio);
        res.metrics.push(ratio.n(1).labels(&labels(it.batch_size)));
    }
}

/// Returns how many times the baseline's peak the candidate's is, or why that is not known; none without a baseline.
fn ratio(it: &Measured) -> Option<Result<f64, String>> {
    let baseline = it.baseline_memory.as_ref()?;
    let both = it.memory.as_ref().and_then(|it| Ok((it.peak, baseline.as_ref()?.peak)));
    Some(both.map(|(candidate, baseline)| candidate as f64 / baseline as f64).map_err(Clone::clone))
}

/// Holds the peak against its limits. Where the system does not tell it, the check was not carried out.
pub(crate) fn check(res: &mut Report, it: &Measured, limits: &Limits) {
    if let Some(limit) = limits.peak_memory_mib {
        let peak = it.memory.as_ref().map(|it| it.peak as f64).map_err(Clone::clone);
        let message = |peak: f64| {
            let (peak, size) = (peak / MIB, it.batch_size);
            format!("the process had {peak:.1} MiB while the model ran on a batch of {size}, allowed are {limit} MiB")
        };
        judge(res, it.batch_size, planned(limits, absolute(limit), ""), peak, limit * MIB, message);
    }
    if let Some(limit) = limits.peak_memory_of_baseline {
        let ratio = ratio(it).unwrap_or_else(|| Err(NO_BASELINE.to_owned()));
        let message = |ratio: f64| {
            let size = it.batch_size;
            format!("on a batch of {size} the process had {ratio:.3} times the memory that it had for the baseline")
        };
        judge(res, it.batch_size, planned(limits, relative(limit), ""), ratio, limit, message);
    }
}

fn judge(
    res: &mut Report,
    batch_size: usize,
    planned: Check,
    observed: Result<f64, String>,
    limit: f64,
    message: impl Fn(f64) -> String,
) {
    let observed = match observed {
        Ok(it) => it,
        Err(why) => {
            res.gaps.push(Gap::new(format!("the memory for batches of {batch_size}"), why.clone()));
            res.checks.push(Check { message: why, ..planned });
            return;
        }
    };
    let (keeps, message) = (observed <= limit, message(observed));
    if !keeps {
        let finding = Finding::new("MW-L005", Severity::Error, format!("batches of {batch_size}"), message.clone());
        let advice = "prune or quantize the model, use smaller batches, or raise the limit";
        let finding = finding.advice(advice).evidence("observed", observed).evidence("limit", limit);
        res.findings.push(finding);
    }
    res.checks.push(Check { observed: Some(observed), n: 1, status: Status::of(1, keeps), message, ..planned });
}

/// Returns the checks of limits on memory where nothing was measured.
pub(crate) fn not_checked(limits: &Limits, why: &str) -> impl Iterator<Item = Check> {
    let requirements = [limits.peak_memory_mib.map(absolute), limits.peak_memory_of_baseline.map(relative)];
    requirements.into_iter().flatten().map(move |it| planned(limits, it, why))
}

fn absolute(limit: f64) -> String {
    format!("<= {limit} MiB")
}

fn relative(limit: f64) -> String {
    format!("<= {limit} times the baseline's")
}

fn planned(limits: &Limits, requirement: String, why: &str) -> Check {
    Check { labels: labels(limits.batch_size), ..Check::not_checked("peak_memory_bytes", requirement, why) }
}
