//! Operators that tract lacks or computes wrongly, in a form that compiles: most are of `ai.onnx.ml`.
//!
//! tract 0.23.9 has no `Scaler` or `TreeEnsembleRegressor`, labels two classes wrongly in `TreeEnsembleClassifier` (and is hundreds of times
//! slower than a plain walk), and divides by the largest magnitude in `Normalizer` where ONNX divides by the largest value.
//! Its linear models lack transforms and text labels. It calls every node of `If` "If". `Shape`, `Size` and `Cast` give lengths of
//! axes where ONNX has integers: see [`lengths`].

mod choice;
mod deconvolution;
mod deformable;
mod early;
mod encoder;
mod features;
mod functions;
mod labels;
mod linear;
mod products;
mod quantized;
mod reduction;
mod regions;
mod resample;
mod resize;
mod row_op;
mod scaling;
mod suppression;
mod svm;
mod trees;

use tract_onnx::{
    Onnx,
    model::ParsingContext,
    pb::{AttributeProto, NodeProto},
    prelude::TractResult,
    tract_hir::{infer::InferenceOp, internal::TractErrorContext},
};

pub(super) use choice::branches;
pub(super) use early::COUNTED_FROM_THE_END;
pub(super) use encoder::{NanKeys, TWO_VALUES, maps_numbers, places};
pub(super) use functions::{log_softmax_along, of_numbers};
pub(super) use quantized::{OF_MICROSOFT, quantization};
use row_op::{Kernel, RowOp};

use super::lengths;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Returns tract's ONNX reader with these operators in place of its own.
pub(super) fn onnx() -> Onnx {
    let mut res = tract_onnx::onnx();
    res.op_register.insert("Scaler", |_, node| built(Kernel::Scaler(scaling::Scaler::parse(node)?)));
    res.op_register.insert("Normalizer", |_, node| built(Kernel::Normalizer(scaling::Norm::parse(node)?)));
    res.op_register
        .insert("TreeEnsembleClassifier", |_, node| built(Kernel::Classifier(trees::Classifier::parse(node)?)));
    res.op_register.insert("TreeEnsembleRegressor", |_, node| built(Kernel::Regressor(trees::Regressor::parse(node)?)));
    res.op_register
        .insert("LinearClassifier", |_, node| built(Kernel::LinearClassifier(linear::LinearClassifier::parse(node)?)));
    res.op_register
        .insert("LinearRegressor", |_, node| built(Kernel::LinearRegressor(linear::LinearRegressor::parse(node)?)));
    for name in OF_MICROSOFT.into_iter().chain(["QLinearMatMul"]) {
        res.op_register.insert(name, quantized::parse);
    }
    res.op_register.insert("SVMClassifier", |_, node| built(Kernel::SvmClassifier(svm::Classifier::parse(node)?)));
    res.op_register.insert("SVMRegressor", |_, node| built(Kernel::SvmRegressor(svm::Regressor::parse(node)?)));
    res.op_register.insert("ArrayFeatureExtractor", features::parse);
    res.op_register.insert("LabelEncoder", encoder::parse);
    res.op_register.insert("ZipMap", zip_map);
    res.op_register.insert("Shape", |_, node| Ok((lengths::shape_of(node), vec![])));
    res.op_register.insert("Size", |_, _| Ok((lengths::size(), vec![])));
    res.op_register.insert("Cast", |_, node| Ok((lengths::cast_to(node)?, vec![])));
    res.op_register.insert("If", choice::parse);
    for name in reduction::OPERATORS {
        res.op_register.insert(name, reduction::parse);
    }
    res.op_register.insert("ConvTranspose", deconvolution::parse);
    res.op_register.insert("DeformConv", deformable::parse);
    res.op_register.insert("GlobalAveragePool", |_, _| Ok((functions::global_mean(), vec![])));
    res.op_register.insert("GlobalLpPool", functions::global_norm);
    res.op_register.insert("LogSoftmax", functions::log_softmax);
    res.op_register.insert("Elu", functions::elu);
    res.op_register.insert("Gelu", functions::gelu);
    res.op_register.insert("Gemm", products::gemm);
    res.op_register.insert("Hardmax", functions::hardmax);
    res.op_register.insert("MatMulInteger", products::of_integers);
    res.op_register.insert("Mod", functions::modulo);
    for name in early::OPERATORS {
        res.op_register.insert(name, early::parse);
    }
    res.op_register.insert("Resize", resize::parse);
    res.op_register.insert("RoiAlign", regions::parse);
    res.op_register.insert("Upsample", upsample);
    res.op_register.insert("Mish", |_, _| Ok((functions::mish(), vec![])));
    res.op_register.insert("Softplus", |_, _| Ok((functions::softplus(), vec![])));
    res.op_register.insert("Selu", functions::selu);
    res.op_register.insert("NonMaxSuppression", suppression::parse);
    res
}

/// Resizes as `Resize` did when it was new, which `Upsample` became.
fn upsample(context: &ParsingContext, node: &NodeProto) -> Built {
    let mut node = node.clone();
    let nearest =
        AttributeProto { name: "nearest_mode".to_owned(), r#type: 3, s: b"floor".to_vec(), ..Default::default() };
    node.attribute.push(nearest);
    let resize = tract_onnx::onnx().op_register.0.get("Resize").copied().context("there is no `Resize`")?;
    resize(&ParsingContext { onnx_operator_set_version: 10, ..context.clone() }, &node)
}

fn built(kernel: Kernel) -> Built {
    Ok((RowOp::expansion(kernel), vec![]))
}

/// Passes the probabilities through: a column per class map adds nothing to a tensor `[N, classes]`.
fn zip_map(_context: &ParsingContext, _node: &NodeProto) -> Built {
    Ok((Box::new(tract_onnx::tract_hir::ops::identity::Identity), vec![]))
}
