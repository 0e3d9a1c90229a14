//! Operators written after ONNX's specifications: those that tract lacks or computes wrongly.

mod arrays;
mod attention;
mod casts;
mod control;
mod elementwise;
mod fourier;
mod linear_attention;
mod losses;
mod ml;
mod ordering;
mod quantized;
mod recurrent;
mod reductions;
mod sequences;
mod spatial;
mod texts;
mod tree_ensemble;

use tract_onnx::prelude::TractResult;

use super::{call::Call, value::Value};

/// A node's computation.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub run: Run,
    /// It takes types that tract lacks; for others bfloat16 is widened.
    pub takes_narrow: bool,
}

pub(super) type Run = fn(&Call<'_>) -> TractResult<Vec<Value>>;

/// Returns whether an operator has a kernel here.
pub(in crate::tract) fn is_known(domain: &str, op_type: &str) -> bool {
    find(domain, op_type).is_some()
}

/// Returns the kernel for what tract refuses of an operator that it computes otherwise.
pub(super) fn fallback(domain: &str, op_type: &str) -> Option<Run> {
    match (domain, op_type) {
        ("" | "ai.onnx", "IsInf") => Some(elementwise::is_infinite),
        ("" | "ai.onnx", "IsNaN") => Some(elementwise::is_nan),
        ("" | "ai.onnx", "MatMul") => Some(elementwise::matrix_product),
        ("" | "ai.onnx", "ReduceMax") => Some(ordering::reduce_max),
        ("" | "ai.onnx", "ReduceMin") => Some(ordering::reduce_min),
        ("" | "ai.onnx", "Slice") => Some(ordering::slice),
        _ => None,
    }
}

pub(super) use reductions::{is_of_nothing, of_nothing};

/// Returns the kernel of an operator.
pub(super) fn find(domain: &str, op_type: &str) -> Option<Kernel> {
    let domain = if domain == "ai.onnx" { "" } else { domain };
    let any = |run| Some(Kernel { run, takes_narrow: true });
    let wide = |run| Some(Kernel { run, takes_narrow: false });
    match (domain, op_type) {
        ("", "AffineGrid") => wide(spatial::affine_grid),
        ("", "Attention") => wide(attention::attention),
        ("", "BitCast") => wide(casts::bit_cast),
        ("", "BitShift") => wide(elementwise::bit_shift),
        ("", "Cast") => any(casts::cast),
        ("", "CastLike") => any(casts::cast_like),
        ("", "CausalConvWithState") => wide(linear_attention::causal_convolution),
        ("", "Celu") => wide(elementwise::celu),
        ("", "CenterCropPad") => wide(spatial::center_crop_pad),
        ("", "Col2Im") => wide(spatial::column_to_image),
        ("", "ConcatFromSequence") => wide(sequences::concatenate),
        ("", "CumProd") => wide(ordering::cumulative_product),
        ("", "DFT") => wide(fourier::transform),
        ("", "DepthToSpace") => wide(spatial::depth_to_space),
        ("", "DequantizeLinear") => any(casts::dequantize),
        ("", "Det") => wide(ordering::determinant),
        ("", "Dropout") => any(elementwise::dropout),
        ("", "GRU") => wide(recurrent::gru),
        ("", "Identity") => any(elementwise::identity),
        ("", "If") => any(control::choose),
        ("", "LSTM") => wide(recurrent::lstm),
        ("", "LinearAttention") => wide(linear_attention::linear_attention),
        ("", "Loop") => any(control::repeat),
        ("", "LpPool") => wide(spatial::lp_pool),
        ("", "MaxUnpool") => wide(spatial::max_unpool),
        ("", "NegativeLogLikelihoodLoss") => wide(losses::negative_log_likelihood),
        ("", "OneHot") => wide(ordering::one_hot),
        ("", "Optional") => any(sequences::optional),
        ("", "OptionalGetElement") => any(sequences::get_element),
        ("", "OptionalHasElement") => any(sequences::has_element),
        ("", "PRelu") => wide(elementwise::prelu),
        ("", "Pad") => wide(spatial::pad),
        ("", "QLinearMatMul") => wide(quantized::matrix_product),
        ("", "QuantizeLinear") => any(casts::quantize),
        ("", "RNN") => wide(recurrent::rnn),
        ("", "Range") => wide(ordering::range),
        ("", "ReverseSequence") => wide(ordering::reverse_sequence),
        ("", "Scan") => any(control::scan),
        ("", "SequenceAt") => any(sequences::element),
        ("", "SequenceConstruct") => any(sequences::construct),
        ("", "SequenceEmpty") => any(sequences::empty),
        ("", "SequenceErase") => any(sequences::erase),
        ("", "SequenceInsert") => any(sequences::insert),
        ("", "SequenceLength") => any(sequences::length),
        ("", "SequenceMap") => any(sequences::map),
        ("", "SoftmaxCrossEntropyLoss") => wide(losses::softmax_cross_entropy),
        ("", "SpaceToDepth") => wide(spatial::space_to_depth),
        ("", "SplitToSequence") => wide(sequences::split),
        ("", "StringConcat") => wide(texts::concatenate),
        ("", "StringNormalizer") => wide(texts::normalize),
        ("", "StringSplit") => wide(texts::split),
        ("", "SwiGLU") => wide(elementwise::swiglu),
        ("", "Swish") => wide(elementwise::swish),
        ("", "TensorScatter") => wide(ordering::tensor_scatter),
        ("", "TfIdfVectorizer") => wide(texts::tf_idf),
        ("", "Unique") => wide(ordering::unique),
        ("ai.onnx.ml", "ArrayFeatureExtractor") => wide(ml::array_feature_extractor),
        ("ai.onnx.ml", "Binarizer") => wide(ml::binarizer),
        ("ai.onnx.ml", "FeatureVectorizer") => wide(ml::feature_vectorizer),
        ("ai.onnx.ml", "Imputer") => wide(ml::imputer),
        ("ai.onnx.ml", "LabelEncoder") => wide(ml::label_encoder),
        ("ai.onnx.ml", "OneHotEncoder") => wide(ml::one_hot_encoder),
        ("ai.onnx.ml", "TreeEnsemble") => wide(tree_ensemble::tree_ensemble),
        ("com.microsoft", "QGemm") => wide(quantized::gemm),
        ("com.microsoft", "QLinearAdd") => wide(quantized::add),
        ("com.microsoft", "QLinearConcat") => wide(quantized::concatenate),
        ("com.microsoft", "QLinearGlobalAveragePool") => wide(quantized::global_average_pool),
        ("com.microsoft", "QLinearLeakyRelu") => wide(quantized::leaky_relu),
        ("com.microsoft", "QLinearMul") => wide(quantized::multiply),
        ("com.microsoft", "QLinearSigmoid") => wide(quantized::sigmoid),
        ("com.microsoft", "QLinearSoftmax") => wide(quantized::softmax),
        _ => None,
    }
}
