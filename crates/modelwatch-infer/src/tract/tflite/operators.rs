//! Which operators are run, and what is refused of them.

use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, Operator};

use super::ops::{self, By};

/// What is refused of operators that are run otherwise.
struct Refusal {
    operator: BuiltinOperator,
    when: &'static str,
    /// Returns what is said of a node behind its operator, if it is refused.
    fault: fn(Operator<'_>) -> Option<String>,
}

const REFUSALS: [Refusal; 6] = [
    Refusal {
        operator: BuiltinOperator::BATCH_MATMUL,
        when: "`asymmetric_quantize_inputs`",
        fault: |node| {
            let options = node.builtin_options_as_batch_mat_mul_options()?;
            options.asymmetric_quantize_inputs().then(|| " with asymmetric_quantize_inputs".to_owned())
        },
    },
    Refusal {
        operator: BuiltinOperator::FULLY_CONNECTED,
        when: "`asymmetric_quantize_inputs`",
        fault: |node| {
            let options = node.builtin_options_as_fully_connected_options()?;
            options.asymmetric_quantize_inputs().then(|| " with asymmetric_quantize_inputs".to_owned())
        },
    },
    Refusal {
        operator: BuiltinOperator::GATHER,
        when: "`batch_dims` other than 0",
        fault: |node| {
            let n = node.builtin_options_as_gather_options()?.batch_dims();
            (n != 0).then(|| format!(" with batch_dims = {n}"))
        },
    },
    Refusal {
        operator: BuiltinOperator::POW,
        when: "integers",
        // Their type is that of a tensor, and known when they are wired.
        fault: |_| None,
    },
    Refusal {
        operator: BuiltinOperator::STRIDED_SLICE,
        when: "`offset`",
        fault: |node| {
            /// Where a file has the field, which is newer than its reader. What is not set is left out.
            const OFFSET: u16 = 14;
            let options = node.builtin_options_as_strided_slice_options()?;
            (options._tab.vtable().get(OFFSET) != 0).then(|| " with offset".to_owned())
        },
    },
    Refusal {
        operator: BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM,
        when: "activations other than TANH, peepholes, projections, normalization, scaled integers between steps, more than 1,024 steps, \
               `asymmetric_quantize_inputs`, `diagonal_recurrent_tensors`",
        fault: |node| {
            let options = node.builtin_options_as_unidirectional_sequence_lstmoptions()?;
            let activation = options.fused_activation_function();
            let name = activation.variant_name().unwrap_or("unknown");
            (activation != ActivationFunctionType::TANH).then(|| format!(" with the activation {name}"))
        },
    },
];

/// Returns what about an operator keeps it from being run.
pub(super) fn fault(operator: Option<BuiltinOperator>, node: Operator<'_>) -> Option<String> {
    let Some(operator) = operator.filter(|it| ops::wire_of(*it).is_some()) else { return Some(String::new()) };
    REFUSALS.iter().filter(|it| it.operator == operator).find_map(|it| (it.fault)(node))
}

/// Returns a table in Markdown of the operators that are run, by what, and what is refused of them; and those that are not.
pub(in crate::tract) fn table() -> [String; 2] {
    let mut lines: Vec<(&str, BuiltinOperator)> =
        BuiltinOperator::ENUM_VALUES.iter().filter_map(|it| Some((it.variant_name()?, *it))).collect();
    lines.sort_unstable();
    let mut res = "| operator | run by | refused |\n|---|---|---|\n".to_owned();
    let mut refused = Vec::new();
    for (name, operator) in lines {
        let Some(known) = ops::all().find(|it| it.operator == operator) else {
            refused.push(name);
            continue;
        };
        let by = if known.by == By::Tract { "tract" } else { "modelwatch" };
        let when: Vec<&str> = REFUSALS.iter().filter(|it| it.operator == operator).map(|it| it.when).collect();
        res.push_str(&format!("| {name} | {by} | {} |\n", when.join("; ")));
    }
    [res, refused.join(", ")]
}
