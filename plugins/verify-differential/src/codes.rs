//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-N001",
        severity: Severity::Error,
        title: "the outputs part at a node",
        meaning: "An output differs by more than is allowed, and this is the first node that makes something else of the same values as its counterpart. Nodes are compared with the values of the other model fed to them, so that an error is not blamed on what comes after it.",
        advice: "Compare the node's weights and attributes in both files. Of a quantized model look at the ranges: a value far outside of what calibration saw, or one scale for channels of different size.",
    },
    FindingCode {
        code: "MW-N002",
        severity: Severity::Info,
        title: "the outputs agree, but a node does not",
        meaning: "A node makes something else of the same values as its counterpart, which later nodes hide on these rows.",
        advice: "Compare the node's weights and attributes in both files; other rows may show it.",
    },
    FindingCode {
        code: "MW-N003",
        severity: Severity::Error,
        title: "the outputs part where no node can be compared",
        meaning: "An output differs by more than is allowed, and no node that has a counterpart is the reason; nor is it known whether small errors of many add up, since nodes without a counterpart come before.",
        advice: "Export both models by one exporter, or without fusing operators, so that more nodes find a counterpart.",
    },
    FindingCode {
        code: "MW-N004",
        severity: Severity::Error,
        title: "a value is finite in one model alone",
        meaning: "This is the first node with a NaN or an infinity where its counterpart has a number.",
        advice: "Look for NaN or infinite weights in the node, and for inputs that overflow its type.",
    },
    FindingCode {
        code: "MW-N005",
        severity: Severity::Error,
        title: "an output is in one model alone",
        meaning: "One of the models has no output of this name, so that nothing says whether it is right. Outputs are never compared by their positions.",
        advice: "Export the model with the outputs of the baseline; where one has another name there, say so in `outputs`.",
    },
    FindingCode {
        code: "MW-N006",
        severity: Severity::Error,
        title: "an output is NaN or infinite in both models",
        meaning: "Where both models give NaN, or the same infinity, they do not differ, and nothing says that either is right.",
        advice: "Look for the first node that gives such a number, as the verifier `numerics` does; where it is what the models are to give, set `equal_nan` or `equal_infinity`.",
    },
    FindingCode {
        code: "MW-N007",
        severity: Severity::Error,
        title: "small errors add up",
        meaning: "An output differs by more than is allowed, while each node is near enough to its counterpart where both are given the same values. This is the first node that is beyond the limits together with all before it; those that are farthest off by themselves are named.",
        advice: "Compute the nodes that are farthest off with more digits, as by leaving them out of a quantization. Where the outputs are good enough as they are, raise their limit.",
    },
];
