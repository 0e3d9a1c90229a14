//! The memory of a process that runs the model.

use modelwatch_sdk::{
    Report,
    report::{Check, Finding, Gap, Metric, MetricRole, Severity, Status},
};

use crate::{config::Limits, measure::Measured, report::labels};

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
        judge(res, it.batch_size, not_checked(limits, ""), peak, limit * MIB, message);
    }
    if let Some(limit) = limits.peak_memory_of_baseline {
        let none = "there is no baseline to compare with; add `[baseline]`, or run this probe `when = \"baseline\"`";
        let ratio = ratio(it).unwrap_or_else(|| Err(none.to_owned()));
        let message = |ratio: f64| {
            let size = it.batch_size;
            format!("on a batch of {size} the process had {ratio:.3} times the memory that it had for the baseline")
        };
        judge(res, it.batch_size, relative_not_checked(limits, ""), ratio, limit, message);
    }
}

fn judge(
    res: &mut Report,
    batch_size: usize,
    planned: Option<Check>,
    observed: Result<f64, String>,
    limit: f64,
    message: impl Fn(f64) -> String,
) {
    let Some(planned) = planned else { return };
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

/// Returns the check of a limit on memory where nothing was measured.
pub(crate) fn not_checked(limits: &Limits, why: &str) -> Option<Check> {
    let limit = limits.peak_memory_mib?;
    Some(Check {
        metric: "peak_memory_bytes".to_owned(),
        labels: labels(limits.batch_size),
        requirement: format!("<= {limit} MiB"),
        observed: None,
        interval: None,
        n: 0,
        status: Status::NotChecked,
        message: why.to_owned(),
    })
}

/// Returns the check of a limit relative to the baseline where nothing was measured.
pub(crate) fn relative_not_checked(limits: &Limits, why: &str) -> Option<Check> {
    let limit = limits.peak_memory_of_baseline?;
    let requirement = format!("<= {limit} times the baseline's");
    let of_limit = Limits { peak_memory_mib: Some(limit), ..*limits };
    Some(Check { requirement, ..not_checked(&of_limit, why)? })
}
