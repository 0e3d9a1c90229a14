//! What a tensor's name says: which layer it belongs to, and as what.
//!
//! Frameworks agree on nothing but habits. Where a name says nothing, nothing is concluded from it.

use crate::{summary::Summary, units::Axis};

/// What a tensor is in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Weight,
    Bias,
    /// A bias where it has one axis and its layer has no other.
    Squeezed,
    Norm,
    Embedding,
    Unknown,
}

const WEIGHTS: [&str; 7] = ["kernel", "weight", "weights", "depthwise_kernel", "pointwise_kernel", "w", "W"];
const BIASES: [&str; 4] = ["bias", "biases", "b", "B"];
const NORMS: [&str; 9] = [
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "scale",
    "rescaling",
];

/// Returns the layer's name and the tensor's part in it.
///
/// `fc1.kernel`, `fc1.weight`, `fc1/kernel:0`, `fc1/kernel/.ATTRIBUTES/VARIABLE_VALUE`,
/// `fc1/BiasAdd/ReadVariableOp:0` and `fc1/vars/0` all belong to `fc1`, as does `fc1/Squeeze:0`, which is what
/// tf2onnx makes of a convolution's bias.
pub(crate) fn split(name: &str) -> (&str, Part) {
    let name = name.strip_suffix(":0").unwrap_or(name);
    let name = name.strip_suffix("/.ATTRIBUTES/VARIABLE_VALUE").unwrap_or(name);
    let (layer, last) = cut(name);
    let part = if name.to_ascii_lowercase().contains("embed") {
        Part::Embedding
    } else if WEIGHTS.contains(&last) {
        Part::Weight
    } else if BIASES.contains(&last) {
        Part::Bias
    } else if last == "Squeeze" {
        Part::Squeezed
    } else if NORMS.contains(&last) {
        Part::Norm
    } else if last == "ReadVariableOp" {
        let (layer, operator) = cut(layer);
        let part = match operator {
            "BiasAdd" => Part::Bias,
            "Cast" | "MatMul" | "Conv2D" | "Conv1D" | "convolution" | "Tensordot" => Part::Weight,
            _ => Part::Unknown,
        };
        return (layer, part);
    } else if let (layer, "vars") = cut(layer) {
        return match last {
            "0" => (layer, Part::Weight),
            "1" => (layer, Part::Bias),
            _ => (layer, Part::Unknown),
        };
    } else {
        Part::Unknown
    };
    (layer, part)
}

/// Cuts off the last word after `/` or `.`.
fn cut(name: &str) -> (&str, &str) {
    name.rfind(['/', '.']).map_or(("", name), |at| (&name[..at], &name[at + 1..]))
}

/// Returns whether a name ends in a counter that an exporter made up (`const_fold_opt__399`).
pub(crate) fn is_generated(name: &str) -> bool {
    let name = name.strip_suffix(":0").unwrap_or(name);
    name.rsplit_once("__").is_some_and(|(_, it)| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
}

/// Returns the axis that counts a weight's output units, where its name or its bias tells.
pub(crate) fn output_axis(name: &str, weight: &Summary, bias_len: Option<u64>) -> Option<Axis> {
    let rank = weight.shape.len();
    if rank < 2 {
        return None;
    }
    let matches = |axis: Axis| bias_len == Some(axis.len(&weight.shape));
    match (matches(Axis::First), matches(Axis::Last)) {
        (true, false) => return Some(Axis::First),
        (false, true) => return Some(Axis::Last),
        _ => {}
    }
    let (_, last) = cut(name.strip_suffix(":0").unwrap_or(name));
    match last {
        "kernel" => Some(Axis::Last),
        "weight" => Some(Axis::First),
        "ReadVariableOp" if rank == 2 => Some(Axis::Last),
        _ => None,
    }
}

/// Returns the number of inputs of a unit's layer (channels, for a convolution).
pub(crate) fn input_width(weight: &Summary, output: Axis) -> u64 {
    let shape = &weight.shape;
    match output {
        Axis::First => shape.get(1),
        Axis::Last => shape.len().checked_sub(2).and_then(|it| shape.get(it)),
    }
    .copied()
    .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_several_frameworks_are_split() {
        for (name, layer, part) in [
            ("digits_cnn.conv1.kernel", "digits_cnn.conv1", Part::Weight),
            ("encoder.0.bias", "encoder.0", Part::Bias),
            ("fc1/kernel:0", "fc1", Part::Weight),
            ("fc1/bias/.ATTRIBUTES/VARIABLE_VALUE", "fc1", Part::Bias),
            ("net/fc1_1/BiasAdd/ReadVariableOp:0", "net/fc1_1", Part::Bias),
            ("net/fc1_1/Cast/ReadVariableOp:0", "net/fc1_1", Part::Weight),
            ("net/conv1_1/Squeeze:0", "net/conv1_1", Part::Squeezed),
            ("layers/dense/vars/1", "layers/dense", Part::Bias),
            ("bn.gamma", "bn", Part::Norm),
            ("wte.embedding.weight", "wte.embedding", Part::Embedding),
            ("x", "", Part::Unknown),
        ] {
            assert_eq!(split(name), (layer, part), "{name}");
        }
        assert!(is_generated("const_fold_opt__399") && is_generated("new_shape__397:0"));
        assert!(!is_generated("conv__") && !is_generated("conv_1") && !is_generated("a__b"));
    }
}
