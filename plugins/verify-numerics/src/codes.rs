//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-F001",
        severity: Severity::Error,
        title: "a node gives numbers that are not finite",
        meaning: "The node is the first one with a NaN or an infinity, on the data or on inputs where every number should be finite. Later nodes may hide it from the outputs.",
        advice: "Look at the node's weights and at what it divides by, exponentiates or takes the logarithm of.",
    },
    FindingCode {
        code: "MW-F002",
        severity: Severity::Error,
        title: "a number is out of range",
        meaning: "A number of an input or node is larger than `max_abs` allows, or outside of the range that `ranges` gives for its name, or the name is not there.",
        advice: "Normalize in front of the node, look for weights that grew, or change `max_abs` or `ranges`.",
    },
    FindingCode {
        code: "MW-F003",
        severity: Severity::Error,
        title: "a number overflows in the wanted precision",
        meaning: "Converted to the precision that `fits` names, an input or node would be infinite on this data, or a constant of the model, such as a weight, on any.",
        advice: "Normalize in front of the node, or keep it in single precision.",
    },
    FindingCode {
        code: "MW-F004",
        severity: Severity::Warning,
        title: "many numbers of a node are subnormal",
        meaning: "They are smaller than the least normal number of single precision: slow to compute with, and 0 on much hardware.",
        advice: "Look for weights that faded away, or scale the layer; where such numbers do not matter, raise `max_subnormal_share`.",
    },
    FindingCode {
        code: "MW-F005",
        severity: Severity::Info,
        title: "a node overflows on the greatest inputs",
        meaning: "On inputs that are the greatest or least numbers of their type, this is the first node that is not finite.",
        advice: "Bound the inputs before the model, as by clipping, where such values can come.",
    },
    FindingCode {
        code: "MW-F006",
        severity: Severity::Error,
        title: "the model makes numbers of NaN",
        meaning: "All inputs are NaN, and an output of floating-point numbers is not, so that a missing value looks like a prediction.",
        advice: "Check inputs for NaN before they reach the model; leave `nan` out of `edges` if the model is made for missing values.",
    },
    FindingCode {
        code: "MW-F007",
        severity: Severity::Warning,
        title: "a node is saturated",
        meaning: "More of its numbers than `max_saturated_share` allows are at a bound of its operator, such as the 1 of a sigmoid or the greatest integer of a quantization. What is beyond is lost.",
        advice: "Look for weights or inputs that grew, and for a scale of a quantization that is too small; where that is what the node is for, raise `max_saturated_share`.",
    },
    FindingCode {
        code: "MW-F008",
        severity: Severity::Warning,
        title: "inputs that are not finite leave no trace",
        meaning: "An input of the model has a NaN or an infinity on the data, and every number that the model makes of it is finite, so that a missing value looks like a prediction.",
        advice: "Check inputs before they reach the model, or fill in what is missing; a model that is made for missing values may have them.",
    },
];
