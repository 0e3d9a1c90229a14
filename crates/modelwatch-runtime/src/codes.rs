//! The codes of the findings that a run makes by itself, whatever its probes find.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Rows have model inputs that are missing or not finite.
pub(crate) const NON_FINITE_INPUTS: FindingCode = FindingCode {
    code: "MW-R001",
    severity: Severity::Warning,
    title: "rows have model inputs that are missing or not finite",
    meaning: "Columns that an input of the model is made of are null, NaN or infinite in some rows. The model was run on them all the same, with NaN in the place of what is missing, and operators may swallow NaN, so that an answer that looks sound need not be.",
    advice: "Clean the data, or check that the model is made for missing values.",
};

/// A model does not run in its fast form.
pub(crate) const SLOW_FORM: FindingCode = FindingCode {
    code: "MW-R002",
    severity: Severity::Warning,
    title: "a model is run as written instead of in its fast form",
    meaning: "The optimizer of the runtime makes something else of the model than its file says: both forms gave different outputs, on generated inputs when the model was loaded or on rows of the data. The model is therefore run as written; its outputs are right, and slower. The message names the node.",
    advice: "Export the model again with another version or operator set to run it fast.",
};

/// The rows of a batch influence each other.
pub(crate) const MIXED_ROWS: FindingCode = FindingCode {
    code: "MW-R003",
    severity: Severity::Warning,
    title: "the rows of a model influence each other",
    meaning: "What the model answers to a row depends on the other rows of its batch, or on how many there are: a sum, a mean or a rank is taken over the batch, or its size is a number in the graph. Each row is therefore run alone, which is slow, and which is not what the model answers where it is asked larger batches.",
    advice: "Export the model with the batch as the first axis of every input and output, and with no operator across it.",
};

/// Every code of a run.
pub const CODES: &[FindingCode] = &[NON_FINITE_INPUTS, SLOW_FORM, MIXED_ROWS];
