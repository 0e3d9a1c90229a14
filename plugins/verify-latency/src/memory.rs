//! The memory of a process that runs the model.

use modelwatch_sdk::{
    Report,
    report::{Check, Finding, Gap, Metric, Severity, Status},
};

use crate::{config::Limits, measure::Measured, report::labels};

const MIB: f64 = (1 << 20) as f64;

/// Reports the peak. By how much memory grew for the run is not reported: what the allocator has kept of runs before it is there
/// already, so that it would mostly be nothing.
pub(crate) fn metric(res: &mut Report, it: &Measured) {
    if let Ok(memory) = it.memory {
        let peak = Metric::new("peak_memory_bytes", memory.peak as f64);
        res.metrics.push(peak.n(1).labels(&labels(it.batch_size)).unit("B"));
    }
}

/// Holds the peak against its limit. Where the system does not tell it, the check was not carried out.
pub(crate) fn check(res: &mut Report, it: &Measured, limits: &Limits) {
    let Some(limit) = limits.peak_memory_mib else { return };
    let peak = match &it.memory {
        Ok(memory) => memory.peak as f64,
        Err(why) => {
            res.gaps.push(Gap::new(format!("the memory for batches of {}", it.batch_size), why.clone()));
            res.checks.extend(not_checked(limits, why));
            return;
        }
    };
    let keeps = peak <= limit * MIB;
    let message = format!(
        "the process had {:.1} MiB while the model ran on a batch of {}, allowed are {limit} MiB",
        peak / MIB,
        it.batch_size
    );
    if !keeps {
        let place = format!("batches of {}", it.batch_size);
        let finding = Finding::new("MW-L005", Severity::Error, place, message.clone());
        let advice = "prune or quantize the model, use smaller batches, or raise the limit";
        res.findings.push(finding.advice(advice).evidence("peak_memory_bytes", peak).evidence("limit", limit * MIB));
    }
    let planned = not_checked(limits, "");
    let held = planned.map(|it| Check { observed: Some(peak), n: 1, status: Status::of(1, keeps), message, ..it });
    res.checks.extend(held);
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
