//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-L001",
        severity: Severity::Error,
        title: "the model is too slow",
        meaning: "A percentile of the time, or the rows per second, misses its limit with the whole of its confidence interval.",
        advice: "Prune, quantize or simplify the model, or raise the limit. Compare on the machine that serves.",
    },
    FindingCode {
        code: "MW-L002",
        severity: Severity::Error,
        title: "the model is slower than the baseline allows",
        meaning: "Measured in turns with the baseline, a percentile of the time or the rows per second, over that of the baseline, misses its limit with the whole of its confidence interval.",
        advice: "Compare the operators and sizes of both models. If the price is worth it, raise the limit.",
    },
    FindingCode {
        code: "MW-L003",
        severity: Severity::Warning,
        title: "the measurement is noisy",
        meaning: "Many runs took far longer or shorter than the others, so that intervals are wide and limits may be inconclusive.",
        advice: "Leave the machine to the measurement alone, and fix its clock rate.",
    },
    FindingCode {
        code: "MW-L004",
        severity: Severity::Error,
        title: "the model takes long to load",
        meaning: "Loaded ten times, in turns with the baseline where the limit is relative to it, the median of the times or of their ratios misses its limit with the whole of its confidence interval. The files were read before and may come out of a cache.",
        advice: "Make the model smaller, or raise the limit.",
    },
    FindingCode {
        code: "MW-L005",
        severity: Severity::Error,
        title: "the process takes too much memory",
        meaning: "While the model ran on a batch of that size, the resident memory of the process was above its limit, or above so many times what it was while the baseline ran. It counts everything in the process: weights, activations, the rest of the run, and what the allocator has kept.",
        advice: "Prune or quantize the model, or use smaller batches. If the model is not the reason, raise the limit: compare with a small model in the same pipeline.",
    },
];
