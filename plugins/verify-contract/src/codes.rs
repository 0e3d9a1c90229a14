//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-C001",
        severity: Severity::Error,
        title: "an input or output is missing or new",
        meaning: "The model lacks an input or output that the contract or the baseline has, or has one more. It is a warning where an output is new, on which nobody depends yet, or where only the order is another.",
        advice: "Export the model with the names that its callers use, or tell its callers first.",
    },
    FindingCode {
        code: "MW-C002",
        severity: Severity::Error,
        title: "an input or output has another type",
        meaning: "Its element type is not that of the contract or the baseline.",
        advice: "Export the model with that type, or tell its callers first.",
    },
    FindingCode {
        code: "MW-C003",
        severity: Severity::Error,
        title: "an input or output has another shape",
        meaning: "Its dimensions do not fit those of the contract or the baseline; one that the data decides must stay so.",
        advice: "Export the model with that shape, or tell its callers first.",
    },
    FindingCode {
        code: "MW-C004",
        severity: Severity::Error,
        title: "the format, operator set or operators are not allowed",
        meaning: "The format of the file, its operator set version, or an operator in it is not among those that `formats`, `opset` and `operators` allow.",
        advice: "Export the model in a format and with an operator set that are allowed, or without the operator.",
    },
    FindingCode {
        code: "MW-C005",
        severity: Severity::Error,
        title: "the model is too large",
        meaning: "The bytes of the file or the number of parameters are above their limit.",
        advice: "Prune or quantize the model, or raise the limit on purpose.",
    },
    FindingCode {
        code: "MW-C006",
        severity: Severity::Error,
        title: "the data does not fit the inputs",
        meaning: "No column makes an input, its columns have more or fewer numbers a row than it takes, or their type does not fit. Fractions for an input of whole numbers are a warning.",
        advice: "Say which columns make an input with `[data.columns] inputs`, and give them the types that the model was trained on.",
    },
    FindingCode {
        code: "MW-C007",
        severity: Severity::Error,
        title: "the model does not produce what it declares",
        meaning: "An output of a run is missing, or has another name, type or shape than the model file says, or has values that are missing or not finite.",
        advice: "Export the model again; its file says one thing and does another. Where values are not finite, look for NaN in weights and inputs.",
    },
    FindingCode {
        code: "MW-C008",
        severity: Severity::Error,
        title: "the model does not fit its MLflow signature",
        meaning: "An input or output of the `MLmodel` file is missing from the model or has another type or shape there.",
        advice: "Log the model again with a signature that is inferred from what it takes and gives.",
    },
    FindingCode {
        code: "MW-C009",
        severity: Severity::Error,
        title: "an answer depends on the other rows",
        meaning: "The same rows give other outputs in batches of another size or in another order, or the runtime found that rows of one call influence each other.",
        advice: "Look for operators that mix rows: normalization in training mode, reductions or reshapes over the batch, and state that is carried from row to row.",
    },
    FindingCode {
        code: "MW-C010",
        severity: Severity::Error,
        title: "the same rows give other outputs when they are run again",
        meaning: "The model is not deterministic.",
        advice: "Remove dropout, random operators and unordered sums from the export.",
    },
    FindingCode {
        code: "MW-C011",
        severity: Severity::Error,
        title: "the same rows give other outputs on several threads",
        meaning: "The model was run on the same rows on several threads at once, and some of them gave something else than one thread alone.",
        advice: "Look for state that runs of the model share, and for sums whose order depends on threads.",
    },
];
