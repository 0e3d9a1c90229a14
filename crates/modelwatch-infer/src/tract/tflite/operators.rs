//! Which operators are run, and what is refused of them.

use tract_tflite::tflite::{BuiltinOperator, Operator, StridedSliceOptions};

use super::shapes;

/// Returns what about an operator keeps it from being run.
pub(super) fn fault(operator: Option<BuiltinOperator>, node: Operator<'_>) -> Option<String> {
    if !operator.is_some_and(|it| SUPPORTED.contains(&it)) {
        return Some(String::new());
    }
    let options = node.builtin_options_as_strided_slice_options()?;
    REFUSED_MASKS.iter().find(|(_, of)| of(&options) != 0).map(|(mask, _)| format!(" with {mask}"))
}

/// How a mask of a slice is read.
type MaskOf = fn(&StridedSliceOptions<'_>) -> i32;

/// The masks of a slice that it is refused with, unless it is computed of shapes.
const REFUSED_MASKS: [(&str, MaskOf); 3] = [
    ("shrink_axis_mask", |it| it.shrink_axis_mask()),
    ("new_axis_mask", |it| it.new_axis_mask()),
    ("ellipsis_mask", |it| it.ellipsis_mask()),
];

/// Returns a table in Markdown of the operators that are run, by what, and what is refused of them; and those that are not.
pub(in crate::tract) fn table() -> [String; 2] {
    let mut lines: Vec<(&str, BuiltinOperator)> =
        BuiltinOperator::ENUM_VALUES.iter().filter_map(|it| Some((it.variant_name()?, *it))).collect();
    lines.sort_unstable();
    let mut res = "| operator | run by | refused |\n|---|---|---|\n".to_owned();
    let mut refused = Vec::new();
    for (name, operator) in lines {
        let is_of_shapes = operator == BuiltinOperator::SHAPE || shapes::is_foldable(operator);
        let by = match (SUPPORTED.contains(&operator), is_of_shapes) {
            (true, false) => "tract",
            (true, true) => "tract; modelwatch where it is computed of shapes",
            (false, true) => "modelwatch where it is computed of shapes",
            (false, false) => {
                refused.push(name);
                continue;
            }
        };
        let masks: Vec<&str> = REFUSED_MASKS.iter().map(|it| it.0).collect();
        let when = match operator {
            BuiltinOperator::STRIDED_SLICE => format!("`{}` other than 0, of what is not a shape", masks.join("`, `")),
            _ if !SUPPORTED.contains(&operator) => "of what is not a shape".to_owned(),
            _ => String::new(),
        };
        res.push_str(&format!("| {name} | {by} | {when} |\n"));
    }
    [res, refused.join(", ")]
}

/// The operators that tract 0.23.9 reads.
const SUPPORTED: &[BuiltinOperator] = &[
    BuiltinOperator::ABS,
    BuiltinOperator::ADD,
    BuiltinOperator::AVERAGE_POOL_2D,
    BuiltinOperator::BATCH_MATMUL,
    BuiltinOperator::BROADCAST_TO,
    BuiltinOperator::CEIL,
    BuiltinOperator::CONCATENATION,
    BuiltinOperator::CONV_2D,
    BuiltinOperator::COS,
    BuiltinOperator::DEPTHWISE_CONV_2D,
    BuiltinOperator::DIV,
    BuiltinOperator::EQUAL,
    BuiltinOperator::EXP,
    BuiltinOperator::EXPAND_DIMS,
    BuiltinOperator::FLOOR,
    BuiltinOperator::FULLY_CONNECTED,
    BuiltinOperator::GREATER,
    BuiltinOperator::GREATER_EQUAL,
    BuiltinOperator::HARD_SWISH,
    BuiltinOperator::LEAKY_RELU,
    BuiltinOperator::LESS,
    BuiltinOperator::LESS_EQUAL,
    BuiltinOperator::LOG,
    BuiltinOperator::LOGICAL_AND,
    BuiltinOperator::LOGICAL_NOT,
    BuiltinOperator::LOGICAL_OR,
    BuiltinOperator::LOGISTIC,
    BuiltinOperator::MAXIMUM,
    BuiltinOperator::MAX_POOL_2D,
    BuiltinOperator::MEAN,
    BuiltinOperator::MINIMUM,
    BuiltinOperator::MUL,
    BuiltinOperator::NOT_EQUAL,
    BuiltinOperator::PAD,
    BuiltinOperator::PADV2,
    BuiltinOperator::REDUCE_MAX,
    BuiltinOperator::REDUCE_MIN,
    BuiltinOperator::REDUCE_PROD,
    BuiltinOperator::RELU,
    BuiltinOperator::RELU6,
    BuiltinOperator::RESHAPE,
    BuiltinOperator::RESIZE_BILINEAR,
    BuiltinOperator::RESIZE_NEAREST_NEIGHBOR,
    BuiltinOperator::RSQRT,
    BuiltinOperator::SELECT,
    BuiltinOperator::SELECT_V2,
    BuiltinOperator::SHAPE,
    BuiltinOperator::SIN,
    BuiltinOperator::SLICE,
    BuiltinOperator::SOFTMAX,
    BuiltinOperator::SQRT,
    BuiltinOperator::SQUARE,
    BuiltinOperator::SQUEEZE,
    BuiltinOperator::STRIDED_SLICE,
    BuiltinOperator::SUB,
    BuiltinOperator::SUM,
    BuiltinOperator::TANH,
    BuiltinOperator::TRANSPOSE,
];
