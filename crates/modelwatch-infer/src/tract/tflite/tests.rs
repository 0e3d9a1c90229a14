//! What is refused of TFLite models.

use std::fs;

use tract_onnx::{
    prelude::{DatumExt, SpecialOps, TypedModel},
    tract_core::ops::change_axes::AxisOp,
};
use tract_tflite::tflite::{Conv2DOptions, root_as_model};

use crate::Model;

const CNN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits/cnn/cnn.tflite");

/// Returns why the model is refused after a byte of it was set.
fn refusal(at: usize, byte: u8) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = fs::read(CNN).unwrap();
    bytes[at] = byte;
    fs::write(file.path(), bytes).unwrap();
    Model::load(file.path()).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_run_is_refused_with_its_operator_and_node() {
    let bytes = fs::read(CNN).unwrap();
    let model = root_as_model(&bytes).unwrap();
    let graph = model.subgraphs().unwrap().get(0);
    let operators = graph.operators().unwrap();
    let mut convolutions = operators.iter().filter_map(|it| Some((it, it.builtin_options_as_conv_2_doptions()?)));
    let (node, options) = convolutions.next_back().unwrap();
    let name = graph.tensors().unwrap().get(node.outputs().unwrap().get(0) as usize).name().unwrap();
    // An activation that is not known at the end of a convolution. The name is longer than what is shown of it.
    let at = options._tab.vtable().get(Conv2DOptions::VT_FUSED_ACTIVATION_FUNCTION) as usize;
    let refused = refusal(options._tab.loc() + at, 5);
    let named = format!("CONV_2D (node `{}", &name[..100]);
    assert!(refused.contains(&named) && refused.contains("activation"), "{refused}");
}

#[test]
fn an_order_of_axes_has_each_once() {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2, 2, 2, 2, 2])).unwrap();
    let moved = model.wire_node("moved", AxisOp::Move(1, 4), &[x]).unwrap();
    model.select_output_outlets(&moved).unwrap();
    let mut bytes = Vec::new();
    tract_tflite::tflite().write(&model, &mut bytes).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    Model::load(file.path()).unwrap();
    let order: Vec<u8> = [0, 2, 3, 4, 1_i32].into_iter().flat_map(i32::to_le_bytes).collect();
    let at = bytes.windows(order.len()).position(|it| it == order).unwrap();
    bytes[at + 4] = 0;
    fs::write(file.path(), &bytes).unwrap();
    let refused = Model::load(file.path()).unwrap_err().to_string();
    assert!(
        refused.contains("TRANSPOSE (node `") && refused.contains("[0, 0, 3, 4, 1] is no order of 5 axes"),
        "{refused}"
    );
}
