//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-W001",
        severity: Severity::Error,
        title: "weights are not finite",
        meaning: "The tensor has NaN or infinite elements, so that whatever they touch is NaN too. One that looks like a mask, with 0 and the lowest number alone, gives a note only.",
        advice: "Do not use the checkpoint. Go back to the last one without such weights, and lower the learning rate or clip gradients.",
    },
    FindingCode {
        code: "MW-W002",
        severity: Severity::Error,
        title: "a weight is extreme",
        meaning: "The greatest magnitude is above `max_magnitude`, or is more than `max_outlier_ratio` times the median of those that are not zero. Such a weight is typical of a flipped bit in an exponent, and can stay silent until an input reaches it.",
        advice: "Compare the file with its digest or an earlier copy.",
    },
    FindingCode {
        code: "MW-W003",
        severity: Severity::Error,
        title: "a few weights differ from the baseline by one bit",
        meaning: "At most `max_flipped` elements of the tensor changed, and each by exactly one bit. Training does not do this. It is a warning only where the bit is low and other tensors changed too.",
        advice: "Copy the checkpoint again, verify its digest, and check memory and disk.",
    },
    FindingCode {
        code: "MW-W004",
        severity: Severity::Warning,
        title: "units have only zero weights",
        meaning: "All weights of one or more units are zero, so that their outputs do not depend on the inputs. It is an error where all units of the tensor are so.",
        advice: "Remove the units, or check initialization and weight decay.",
    },
    FindingCode {
        code: "MW-W005",
        severity: Severity::Warning,
        title: "units of the first layer cannot fire",
        meaning: "For inputs within `input_bound` the sum of a unit is never positive: its bias is further below zero than its weights can reach. Rectified units there always give 0. It is an error where all units are so.",
        advice: "Check the bias, or set `input_bound` to the real bound of the inputs and `first_layer` to the layer that takes them.",
    },
    FindingCode {
        code: "MW-W006",
        severity: Severity::Warning,
        title: "one tensor changed far more than the others",
        meaning: "Its change relative to the baseline stands out among those of tensors of its kind (robust z above `max_change_z`). It is an error where this layer alone changed, by more than `max_lone_change`.",
        advice: "Look at the gradients and the learning rate of this layer, and whether the file is damaged. Raise `max_lone_change` if the layer alone was meant to be trained.",
    },
    FindingCode {
        code: "MW-W007",
        severity: Severity::Warning,
        title: "all elements are equal",
        meaning: "A tensor that is no bias and no normalization has the same value everywhere. It is a note only where the baseline has it so too.",
        advice: "Check that the tensor was initialized and trained. List it in `ignore` if it is a constant of the graph.",
    },
    FindingCode {
        code: "MW-W008",
        severity: Severity::Warning,
        title: "the tensors are not those of the baseline",
        meaning: "A tensor is gone, new, or of another shape or element type. A tensor of numbers that is gone or has another shape is an error. Constants that an exporter names anew each time, and another precision, are notes.",
        advice: "Check that the architecture or the conversion was meant to change, and that the whole model was saved under the names it had before.",
    },
    FindingCode {
        code: "MW-W009",
        severity: Severity::Error,
        title: "units are those of the baseline in another order",
        meaning: "The rows or columns of the tensor are those of the baseline, permuted. Without another tensor that moved with them, classes or features are swapped. It is a note where the next layer undoes it.",
        advice: "Check that classes or features are in the order that the labels and the data have.",
    },
    FindingCode {
        code: "MW-W010",
        severity: Severity::Warning,
        title: "the norm of a tensor grew",
        meaning: "The L2 norm is more than `max_norm_growth` times that in the baseline.",
        advice: "Training may be diverging: look at the loss, the learning rate and weight decay.",
    },
    FindingCode {
        code: "MW-W011",
        severity: Severity::Warning,
        title: "many elements have the greatest magnitude",
        meaning: "More than `max_saturated_share` of the elements are as large as the largest, as after clipping. Tensors of few values, such as ternary ones, are left alone.",
        advice: "Check weight clipping, quantization ranges and the learning rate.",
    },
    FindingCode {
        code: "MW-W012",
        severity: Severity::Warning,
        title: "the biases of a layer moved together",
        meaning: "Their mean moved by more than `max_bias_shift` times the range that they have in the baseline. Units far below zero no longer react, units far above no longer bend.",
        advice: "Look at the activations of this layer.",
    },
];
