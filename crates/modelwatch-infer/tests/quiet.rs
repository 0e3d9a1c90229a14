//! A panic of the runtime is an error, and nothing else: no word of it is printed, and the model is not blamed.
//!
//! Alone in its file, because a process has one hook.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    panic,
    sync::atomic::{AtomicUsize, Ordering},
};

use common::proto::{int, model, node, numbers_tensor, value};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::{GraphProto, TensorProto};

static PRINTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn panics_of_the_runtime_are_not_printed() {
    panic::set_hook(Box::new(|_| _ = PRINTED.fetch_add(1, Ordering::Relaxed)));
    let graph = GraphProto {
        node: vec![
            node("Cast", "", &["x"], "whole", vec![int("to", 7)]),
            node("Div", "", &["whole", "zero"], "parts", vec![]),
            node("Cast", "", &["parts"], "y", vec![int("to", 1)]),
        ],
        initializer: vec![TensorProto { dims: vec![], ..numbers_tensor("zero", &[0]) }],
        input: vec![value("x", &[-1, 2])],
        output: vec![value("y", &[])],
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
    let x = common::Npy { shape: vec![1, 2], values: vec![1.0, 2.0] };
    let run = || Model::load(&path)?.run(&common::batch(&[("x", &x)]), common::threads(1));
    let error = run().unwrap_err();
    assert!(matches!(error, InferError::Panicked { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("the runtime panicked: attempt to divide by zero; re-export it"), "{said}");
    assert!(!said.contains("damaged"), "{said}");
    assert_eq!(PRINTED.load(Ordering::Relaxed), 0);
    // What is not the runtime's goes where it went before.
    let nothing: Vec<u8> = vec![];
    panic::catch_unwind(|| nothing[0]).unwrap_err();
    assert_eq!(PRINTED.load(Ordering::Relaxed), 1);
}
