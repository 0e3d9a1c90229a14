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

/// Every code of a run.
pub const CODES: &[FindingCode] = &[NON_FINITE_INPUTS, SLOW_FORM];
