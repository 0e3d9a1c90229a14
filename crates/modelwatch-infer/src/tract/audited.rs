//! What tract 0.23.9 is known to compute wrongly, and what is done about it.
//!
//! Found by comparing it with onnxruntime on ONNX's backend tests, and on models of the kinds that are exported; drop a line only with
//! such a comparison.
//! The page `docs/onnx-operators.md` shows all of it.

use std::fmt::Write;

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::{
    attributes::{float, floats, int, ints, texts},
    dropout, interpreter, ops,
};

/// Whether a node is one of those that are wrong.
type Condition = fn(&NodeProto) -> bool;

/// One operator that is computed wrongly.
struct Line {
    operator: &'static str,
    /// Which attributes or values.
    condition: &'static str,
    /// The element types.
    types: &'static str,
    /// What tract answers.
    answer: &'static str,
}

const fn line(operator: &'static str, condition: &'static str, types: &'static str, answer: &'static str) -> Line {
    Line { operator, condition, types, answer }
}

const RANDOM: &str = "random outputs cannot be compared";
const FLOATS: &str = "f16, f32, f64";

/// Operators of the default domain that are wrong under some condition.
///
/// A model with a node for which the condition holds is interpreted if there is a kernel for the operator, else refused.
const WRONG: [(Line, Condition); 18] = [
    (line("Attention", "", "f16, f32", "masks and caches are combined wrongly"), always),
    (
        line(
            "BatchNormalization",
            "`training_mode`",
            FLOATS,
            "the statistics of training are taken for those of the batch",
        ),
        |node| int(node, "training_mode").is_some_and(|it| it != 0),
    ),
    (line("Bernoulli", "", FLOATS, RANDOM), always),
    (line("BitShift", "", "u8 to u64", "shifts by the width or more give anything"), always),
    (line("Celu", "", "f16, f32", "half precision and an alpha other than 1 are wrong"), always),
    (line("DFT", "", "f32", "single precision leaves 1e-6 where there is nothing"), always),
    (line("DepthToSpace", "`mode` is CRD", "all", "mode CRD is taken for DCR"), is_crd),
    (line("GRU", "", "f32", "the tangent is off by 1e-6, and `direction`, `clip` and activations are ignored"), always),
    (
        line(
            "GridSample",
            "`mode` is cubic and `padding_mode` border",
            FLOATS,
            "places outside are moved to the border before four are taken",
        ),
        |node| {
            let is_cubic = text(node, "mode").is_some_and(|it| it == "cubic" || it == "bicubic");
            is_cubic && text(node, "padding_mode").is_some_and(|it| it == "border")
        },
    ),
    (
        line(
            "LSTM",
            "`direction` other than forward, `clip`, `input_forget`, other activations, sequence lengths",
            "f32",
            "`direction`, `clip`, activations, `input_forget` and sequence lengths are ignored",
        ),
        is_unusual_recurrence,
    ),
    (line("Multinomial", "", FLOATS, RANDOM), always),
    (
        line(
            "RNN",
            "`direction` other than forward, `clip`, other activations, sequence lengths",
            "f32",
            "`direction`, `clip`, activations and sequence lengths are ignored",
        ),
        is_unusual_recurrence,
    ),
    (line("RandomNormal", "", FLOATS, RANDOM), always),
    (line("RandomNormalLike", "", FLOATS, RANDOM), always),
    (line("RandomUniform", "", FLOATS, RANDOM), always),
    (line("RandomUniformLike", "", FLOATS, RANDOM), always),
    (line("SpaceToDepth", "`mode` is CRD", "all", "mode CRD is taken for DCR"), is_crd),
    (line("Swish", "`alpha` is not 1", FLOATS, "`alpha` is ignored"), |node| {
        float(node, "alpha").is_some_and(|it| it != 1.0)
    }),
];

/// What another operator is put into the place of, whatever the attributes, because of this.
const REPLACED: [Line; 41] = [
    line("Acosh, Asinh", "numbers beyond 1e38", "f16, f32, f64", "∞"),
    line(
        "Add, And, Div, Equal, Greater, Less, Mul, Or, Pow, Sub, Xor",
        "`axis`, before version 7",
        "all",
        "the second input has its axes at the end",
    ),
    line("ArgMax, ArgMin, TopK", "NaN", FLOATS, "NaN is dropped; here it comes first"),
    line("AveragePool, GlobalAveragePool", "a sum beyond 65504", "f16", "∞"),
    line("Cast, Shape, Size", "an integer meets the length of an axis", "i64", "integers are cut to 32 bits"),
    line(
        "ConvTranspose",
        "`output_shape`, or `auto_pad` is SAME",
        FLOATS,
        "pads at the other end, counts `output_padding` twice, refuses small kernels",
    ),
    line("DynamicQuantizeLinear", "several rows, or a NaN", "f32", "rows share a scale, and integers hide the NaN"),
    line("Elu, Gelu, HardSwish, Selu", "", "f16", "every step is rounded; no digits where the answer is near 0"),
    line("Erf", "numbers near 0", "f16, f32", "no digits below 1e-6"),
    line("Erf, HardSwish, LeakyRelu, Round, Sigmoid", "", "f64", "an error, as there is no double precision"),
    line("GatherND, ScatterND", "an index from the end", "all", "a panic, or an error"),
    line("Gelu", "`approximate` is tanh, and a number far below 0", FLOATS, "6e-6 for what is 0"),
    line("Gemm", "`alpha`, or what is added", "f16, f64", "an error, as they are multiplied in single precision"),
    line("GlobalLpPool", "", FLOATS, "divides by the number of elements"),
    line("Hardmax", "nothing", FLOATS, "a panic"),
    // The optimized form, which extreme inputs are not run in, keeps tract's: another one costs time.
    line("HardSwish", "numbers beyond 5e37, of a model that runs as written: its inputs are beyond 1e18", "f32", "∞"),
    line("IsInf, IsNaN", "", "f64", "an error, as there is no double precision"),
    line("LSTM, RNN", "no initial state", "f16, f64", "an error, as they begin in single precision"),
    line("LogSoftmax", "", FLOATS, "-∞ for what a softmax has no digits of"),
    line("MatMul", "weights", "i64", "an error"),
    line("MatMulInteger", "a vector", "i8, u8", "an error"),
    line("Mish", "", FLOATS, "no digits below -15"),
    line("OneHot", "an index beyond the depth", "all", "a panic"),
    line("PRelu", "before version 7", FLOATS, "the slopes are those of the last axis, not of channels"),
    line("Pow", "an exponent of a wider type than the base", "f16, f32", "an error"),
    line(
        "ReduceL1, ReduceMean, ReduceSum, ReduceSumSquare",
        "",
        "i64, u32, u64",
        "sums are cut to 32 bits, or are an error",
    ),
    line("ReduceLogSumExp", "", FLOATS, "∞ or -∞ where an exponential is beyond all numbers"),
    line("ReduceMax, ReduceMin", "infinities and NaN", FLOATS, "the largest finite number; NaN is dropped"),
    line("Range", "integers beyond 2^53", "i64", "as many as their neighbors have"),
    line(
        "Resize",
        "`mode` is nearest, in version 10",
        "all",
        "the nearest number, where it is the one before or behind",
    ),
    line(
        "Resize",
        "sizes, asymmetric, with `round_prefer_ceil`",
        "all",
        "the number before, in the middle between two",
    ),
    line(
        "Resize",
        "`align_corners`, `tf_crop_and_resize` or `pytorch_half_pixel`",
        FLOATS,
        "the only place is before the first number, and others are rounded to the one before",
    ),
    line("Selu", "in version 1, without constants", FLOATS, "the constants of version 6"),
    line("Selu", "without constants", FLOATS, "the constants are cut to six digits"),
    line("Slice", "a start behind the end", "all", "an error"),
    line("Softplus", "", FLOATS, "∞ where the exponential is, and no digits below -15"),
    line("ai.onnx.ml.ArrayFeatureExtractor", "a feature that is not there", "all", "an error that does not say so"),
    line(
        "ai.onnx.ml.LinearClassifier",
        "`post_transform`, labels that are text, one score of two classes",
        "f32",
        "transforms and labels are not read, and the other score is another",
    ),
    line("ai.onnx.ml.LinearRegressor", "`post_transform`", "f32", "the transform is not read"),
    line("ai.onnx.ml.Normalizer", "`norm` is MAX", "f32", "divides by the largest magnitude, not the largest value"),
    line("ai.onnx.ml.TreeEnsembleClassifier", "two classes", "f32", "the label is chosen before there are two scores"),
];

/// What is written otherwise before it is compiled, or corrected where it was.
const REWRITTEN: [Line; 14] = [
    line("Clip, LSTM, Max, Min, Relu, Sigmoid, Tanh", "NaN", FLOATS, "NaN becomes a plausible number"),
    line("ConstantOfShape", "without `value`", "f32", "zeros in double precision"),
    line("Conv, ConvTranspose", "", "f16", "sums lose their digits on the way, and a kernel of one number is a panic"),
    line("ConvInteger, QLinearConv", "sums beyond all integers", "i8, u8", "the sums go around"),
    line(
        "DequantizeLinear, Softmax, QuantizeLinear",
        "one after the other",
        "i8, u8",
        "a table of 256 entries stands for the softmax; up to 0.96 off",
    ),
    line("Einsum", "nothing behind the arrow", "all", "as if there were no arrow"),
    line("LSTM, RNN, Scan", "run after run", FLOATS, "a run begins with the state that the last one ended with"),
    line("MaxPool", "NaN", FLOATS, "NaN is dropped"),
    line("MaxPool", "nothing but -∞ in a window", FLOATS, "the least finite number"),
    line("QuantizeLinear", "numbers beyond all integers", "i8, u8", "the integers go around"),
    line("Sigmoid", "far below 0", "f16, f32", "4.5e-7 for any number"),
    line("Slice", "integers of more than 32 bits", "all", "they are cut, to starts that are others"),
    line("Sqrt", "squared", FLOATS, "the root of a negative number, squared, is that number and not NaN"),
    line("Upsample", "", "f32", "an error"),
];

/// What nobody computes, with the reason.
const REFUSED: [(Line, Condition); 6] = [
    // Which is looked at with constants of the graph.
    (line("Dropout", "`training_mode`, and a ratio other than 0", FLOATS, dropout::DROPS), never),
    (
        line(
            "AveragePool, LpPool, MaxPool",
            "`auto_pad` is SAME, with `dilations` or strides beyond the kernel",
            FLOATS,
            "what ONNX Runtime pads is not what is specified; give `pads`",
        ),
        is_padded_otherwise,
    ),
    // Which is looked at with the values of tensors.
    (line("ai.onnx.ml.LabelEncoder", "a key has two values", "all", ops::TWO_VALUES), never),
    (
        line(
            "ai.onnx.ml.SVMClassifier",
            "two classes without support vectors, or with PROBIT and no probabilities",
            "f32",
            "what ONNX Runtime answers is not specified; export it as LinearClassifier, or with probabilities",
        ),
        is_unclear_machine,
    ),
    (
        line(
            "ai.onnx.ml.TreeEnsemble",
            "`post_transform` is SOFTMAX or LOGISTIC",
            "f32, f64",
            "ONNX Runtime takes one for the other; transform what comes of it by a node of its own",
        ),
        |node| matches!(int(node, "post_transform"), Some(1 | 2)),
    ),
    (
        line(
            "ai.onnx.ml.TreeEnsembleClassifier",
            "leaves weigh both of two classes",
            "f32",
            "ONNX Runtime takes the second class wherever that has any weight; weigh that one alone",
        ),
        weighs_both,
    ),
];

/// Returns what about this node is computed wrongly.
pub(super) fn wrong(node: &NodeProto) -> Option<&'static str> {
    let (line, applies) = WRONG.iter().find(|(it, _)| it.operator == node.op_type)?;
    applies(node).then_some(line.answer)
}

/// Returns why this node is refused, if it is.
pub(super) fn refused(node: &NodeProto) -> Option<&'static str> {
    let is_of = |line: &Line| line.operator.split(", ").any(|it| it.trim_start_matches("ai.onnx.ml.") == node.op_type);
    let (line, _) = REFUSED.iter().find(|(line, applies)| is_of(line) && applies(node))?;
    Some(line.answer)
}

/// Returns a table in Markdown of what the pinned tract computes wrongly: operator, condition, types, what it answers, and what is
/// done about it.
pub fn audited_operators() -> String {
    let done = |it: &Line| {
        if interpreter::is_known("", it.operator) { "own operator" } else { "refused by name" }
    };
    let mut lines: Vec<(&Line, &str)> = WRONG.iter().map(|(it, _)| (it, done(it))).collect();
    lines.extend(REPLACED.iter().map(|it| (it, "own operator")));
    lines.extend(REWRITTEN.iter().map(|it| (it, "rewritten")));
    lines.extend(REFUSED.iter().map(|(it, _)| (it, "refused by name")));
    lines.sort_by_key(|it| it.0.operator);
    let mut res = "| operator | when | types | tract answers | what is done |\n|---|---|---|---|---|\n".to_owned();
    for (Line { operator, condition, types, answer }, done) in lines {
        let condition = if condition.is_empty() { "always" } else { condition };
        let _ = writeln!(res, "| {operator} | {condition} | {types} | {answer} | {done} |");
    }
    res
}

fn always(_node: &NodeProto) -> bool {
    true
}

fn never(_node: &NodeProto) -> bool {
    false
}

/// Dilations count for nothing there, and what is between two windows is cut off in front as well.
fn is_padded_otherwise(node: &NodeProto) -> bool {
    let is_same = text(node, "auto_pad").is_some_and(|it| it.starts_with("SAME"));
    let (strides, kernel) = (ints(node, "strides"), ints(node, "kernel_shape"));
    is_same
        && (ints(node, "dilations").iter().any(|it| *it != 1)
            || strides.iter().zip(kernel).any(|(stride, size)| *stride > size.saturating_add(1)))
}

fn is_unclear_machine(node: &NodeProto) -> bool {
    let n_classes = ints(node, "classlabels_ints").len().max(texts(node, "classlabels_strings").len());
    let is_linear = ints(node, "vectors_per_class").is_empty();
    let is_probit = text(node, "post_transform").is_some_and(|it| it == "PROBIT");
    n_classes == 2 && (is_linear || (is_probit && floats(node, "prob_a").is_empty()))
}

fn weighs_both(node: &NodeProto) -> bool {
    let n_classes = ints(node, "classlabels_int64s").len().max(texts(node, "classlabels_strings").len());
    let weighed = ints(node, "class_ids");
    n_classes == 2 && weighed.iter().any(|it| Some(it) != weighed.first())
}

fn is_crd(node: &NodeProto) -> bool {
    text(node, "mode").is_some_and(|it| it == "CRD")
}

/// tract reads the weights' shapes, `hidden_size` and `layout` only.
fn is_unusual_recurrence(node: &NodeProto) -> bool {
    let is_named = |it: &AttributeProto| matches!(&*it.name, "clip" | "activation_alpha" | "activation_beta");
    let usual: &[&str] = if node.op_type == "RNN" { &["Tanh"] } else { &["Sigmoid", "Tanh", "Tanh"] };
    let is_usual = |it: &AttributeProto| {
        it.strings.len() == usual.len()
            && it.strings.iter().zip(usual).all(|(it, usual)| it.eq_ignore_ascii_case(usual.as_bytes()))
    };
    text(node, "direction").is_some_and(|it| it != "forward")
        || node.attribute.iter().any(is_named)
        || node.attribute.iter().any(|it| it.name == "input_forget" && it.i != 0)
        || node.input.get(4).is_some_and(|it| !it.is_empty())
        || node.attribute.iter().any(|it| it.name == "activations" && !is_usual(it))
}

fn text(node: &NodeProto, name: &str) -> Option<String> {
    let attribute = node.attribute.iter().find(|it| it.name == name)?;
    Some(String::from_utf8_lossy(&attribute.s).into_owned())
}
