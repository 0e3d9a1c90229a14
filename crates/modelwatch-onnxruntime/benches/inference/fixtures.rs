//! Which models of the fixtures are measured, and which are not.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Models of the fixtures that both sides run: of the networks that were trained for them one of each size, all that scikit-learn
/// exports, and small ones for other tasks.
pub(crate) const FIXTURES: [&str; 23] = [
    "digits/mlp_series/e08.onnx",
    "digits/cnn/cnn.onnx",
    "digits/cnn/cnn_keras_export.onnx",
    "digits/cnn/mlp_int8_dynamic.onnx",
    "digits/cnn/cnn_int8_qdq.onnx",
    "digits/cnn/cnn_int8_qop.onnx",
    "tabular/wine/rforest.onnx",
    "tabular/wine/gboost.onnx",
    "tabular/wine/iforest.onnx",
    "tabular/wine/kmeans.onnx",
    "tabular/wine/logreg.onnx",
    "tabular/wine/mlp.onnx",
    "tabular/wine/pca.onnx",
    "tabular/wine/svc.onnx",
    "tabular/breast_cancer/gboost.onnx",
    "tabular/breast_cancer/logreg.onnx",
    "tabular/breast_cancer/mlp.onnx",
    "tabular/breast_cancer/rforest.onnx",
    "tasks/detection.onnx",
    "tasks/multi_label.onnx",
    "tasks/ranking.onnx",
    "tasks/segmentation.onnx",
    "traps/nan_weight_first_layer/model.onnx",
];

const OF_TENSORFLOW: &str = "ONNX Runtime reads ONNX alone, and it is a model of TensorFlow";
const OF_KERAS: &str = "neither side runs it: Keras keeps weights in it, and no graph";
const MAPS: &str = "ONNX Runtime answers with maps, which are no columns";
const ROWS: &str = "its rows are a part of the model, so that there are no others to measure";
const AS_GOOD: &str = "it is the network of a good one, with other weights";
const TEXTS: &str = "its input is integers, each of which stands for a text";
const WEIGHTS: &str = "its weights are inputs, which have no rows";

/// The other models of the fixtures, and why they are not measured.
pub(crate) const OTHERS: [(&str, &str); 35] = [
    ("digits/cnn/cnn.h5", OF_KERAS),
    ("digits/cnn/cnn.keras", OF_KERAS),
    ("digits/cnn/cnn.tflite", OF_TENSORFLOW),
    ("digits/cnn/cnn.weights.h5", OF_KERAS),
    ("digits/cnn/cnn_frozen.pb", OF_TENSORFLOW),
    ("digits/cnn/cnn_frozen_b1.pb", OF_TENSORFLOW),
    ("digits/cnn/external/model.onnx", "ONNX Runtime does not read shapes from external data"),
    ("digits/cnn/saved_model", OF_TENSORFLOW),
    ("tabular/breast_cancer/logreg_zipmap.onnx", MAPS),
    ("tabular/wine/logreg_zipmap.onnx", MAPS),
    ("tasks/detection_sizes.onnx", AS_GOOD),
    ("tasks/multi_label_silent.onnx", AS_GOOD),
    ("tasks/ranking_reversed.onnx", AS_GOOD),
    ("tasks/segmentation_blank.onnx", AS_GOOD),
    ("tasks/sequences.onnx", TEXTS),
    ("tasks/sequences_shifted.onnx", TEXTS),
    ("tensorflow/attention", OF_TENSORFLOW),
    ("tensorflow/convolutions", OF_TENSORFLOW),
    ("tensorflow/convolutions.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_convolution.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_dense.tflite", OF_TENSORFLOW),
    ("tensorflow/scaled_dense_by_one.tflite", OF_TENSORFLOW),
    ("tensorflow/signatures.tflite", OF_TENSORFLOW),
    ("tensorflow/two", OF_TENSORFLOW),
    ("tensorflow/two.tflite", OF_TENSORFLOW),
    ("traps/gru_reverse/model.onnx", WEIGHTS),
    ("traps/lstm_reverse/model.onnx", WEIGHTS),
    ("traps/nan_clip/model.onnx", ROWS),
    ("traps/nan_maxpool/model.onnx", ROWS),
    ("traps/nan_relu/model.onnx", ROWS),
    ("traps/nan_sigmoid/model.onnx", ROWS),
    ("traps/nan_tanh/model.onnx", ROWS),
    ("traps/simple_rnn_reverse/model.onnx", WEIGHTS),
    ("traps/softmax_qdq/model.onnx", ROWS),
    ("digits/*_series", "its models are the networks above with other weights"),
];

/// Where models are among the fixtures.
const FOLDERS: [&str; 5] = ["digits/cnn", "tabular", "tasks", "tensorflow", "traps"];

pub(crate) fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"))
}

/// Returns the models of the fixtures that are in neither list.
#[allow(clippy::unwrap_used)] // A benchmark and a test of it ask.
pub(crate) fn unlisted() -> Vec<PathBuf> {
    const ENDINGS: [&str; 5] = ["onnx", "tflite", "keras", "h5", "pb"];
    let mut res = Vec::new();
    let mut folders: Vec<_> = FOLDERS.iter().map(|it| fixtures().join(it)).collect();
    while let Some(folder) = folders.pop() {
        let is_listed = |path: &Path| {
            let name = path.strip_prefix(fixtures()).unwrap();
            FIXTURES.iter().chain(OTHERS.iter().map(|it| &it.0)).any(|it| Path::new(it) == name)
        };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_listed(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let is_model = path.extension().is_some_and(|it| ENDINGS.iter().any(|ending| it == *ending));
                res.extend(is_model.then_some(path));
            }
        }
    }
    res
}
