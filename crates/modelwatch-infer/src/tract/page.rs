//! The page `docs/tensorflow-operators.md`, of the lists that models are held against.

use super::{tf_ops, tflite};

/// Returns which operators of TensorFlow and TensorFlow Lite are run, by what, and what is refused of them, as a page of Markdown.
pub fn tensorflow_operators() -> String {
    let [of_lite, refused] = tflite::table();
    format!(
        "# TensorFlow operators\n\n\
         Written by `cargo xtask codegen`; do not edit.\n\n\
         What is not listed, or listed as refused, is refused by the name of the operator and the node; nothing of it is run.\n\
         Where it says tract, tract's own operator runs; where it says modelwatch, one of this project, or several of tract's that come to \
         the same, since tract lacks it or computes it wrongly.\n\n\
         ## SavedModel and GraphDef\n\n{}\n\
         ## TensorFlow Lite\n\n\
         Numbers are in single precision, or integers of 8 or 16 bits that stand for numbers by a scale and a zero point.\n\
         Weights may be such integers, with a scale for each channel, or of half precision.\n\
         A model of such integers is run on the numbers that they stand for, and what each operator gives is rounded to the scale of \
         its output.\n\
         TFLite's kernels compute with the integers, and may differ from that by a step.\n\
         An input or output that the file has as integers takes and gives these integers, as TFLite's interpreter does: a column of the \
         numbers that they stand for is refused where one of them is no integer of the type. Convert with `inference_input_type` and \
         `inference_output_type` left at `tf.float32` for a model that takes and gives numbers.\n\n{of_lite}\n\
         Refused by name: {refused}.\n",
        tf_ops::table()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_says_what_runs_it() {
        let page = tensorflow_operators();
        for line in [
            "| Conv2DBackpropInput | modelwatch | `padding` other than SAME and VALID |",
            "| AddN | tract |  |",
            "| NoOp | left out: it computes nothing |  |",
            "| StatefulPartitionedCall | its function, put in its place, in a SavedModel |  |",
            "| RandomUniform | refused by name |  |",
            "| If | its function, put in its place, in a SavedModel | a condition that depends on the data |",
            "| CONV_2D | tract |  |",
            "| PACK | modelwatch |  |",
            "| GATHER | modelwatch | `batch_dims` other than 0 |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        assert!(page.contains(" WHERE, "), "{page}");
    }
}
