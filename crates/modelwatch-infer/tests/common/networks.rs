//! Standard networks with weights drawn from a seed.
#![allow(clippy::unwrap_used, dead_code)]

use std::{fs, path::Path};

use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::proto::{float_tensor, int, ints, model, node, numbers_tensor, value};

/// The side of an image.
pub(crate) const SIZE: usize = 224;
/// The tokens of a text, and the numbers of each.
pub(crate) const TOKENS: usize = 32;
pub(crate) const WIDTH: usize = 384;

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) weights: Vec<TensorProto>,
    state: u64,
}

/// What follows a convolution.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Nothing,
    Relu,
    /// Cut at 6.
    Relu6,
}

#[derive(Clone, Copy)]
struct Convolution {
    n_in: usize,
    n_out: usize,
    size: usize,
    stride: usize,
    groups: usize,
    gain: f32,
    then: Then,
}

impl Convolution {
    fn new(n_in: usize, n_out: usize, size: usize, stride: usize) -> Self {
        Self { n_in, n_out, size, stride, groups: 1, gain: 1.0, then: Then::Nothing }
    }
}

impl Network {
    /// ResNet-50 (He et al. 2015, arXiv:1512.03385) with its normalizations folded in.
    pub(crate) fn resnet_50() -> Self {
        let mut it = Self::default();
        let relu = |it: Convolution| Convolution { then: Then::Relu, ..it };
        let mut x = it.conv("x", relu(Convolution::new(3, 64, 7, 2)));
        let pads = ints("pads", &[1, 1, 1, 1]);
        x = it.node("MaxPool", &[&x], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), pads]);
        let mut n_in = 64;
        for (stage, n_blocks) in [3, 4, 6, 3].into_iter().enumerate() {
            let width = 64 << stage;
            for block in 0..n_blocks {
                let stride = if block == 0 && stage > 0 { 2 } else { 1 };
                let mut y = it.conv(&x, relu(Convolution::new(n_in, width, 1, 1)));
                y = it.conv(&y, relu(Convolution::new(width, width, 3, stride)));
                // What is added is small, so that the sum of so many does not grow.
                y = it.conv(&y, Convolution { gain: 0.3, ..Convolution::new(width, 4 * width, 1, 1) });
                if block == 0 {
                    x = it.conv(&x, Convolution::new(n_in, 4 * width, 1, stride));
                }
                x = it.node("Add", &[&x, &y], vec![]);
                x = it.node("Relu", &[&x], vec![]);
                n_in = 4 * width;
            }
        }
        it.classify(&x, n_in);
        it
    }

    /// MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with its normalizations folded in.
    pub(crate) fn mobilenet_v2() -> Self {
        /// Expansion, channels, blocks and the stride of the first of them, from table 2.
        const STAGES: [(usize, usize, usize, usize); 7] =
            [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
        let mut it = Self::default();
        it.weights.push(float_tensor("least", &[], &[0.0]));
        it.weights.push(float_tensor("most", &[], &[6.0]));
        let relu6 = |it: Convolution| Convolution { then: Then::Relu6, ..it };
        let mut x = it.conv("x", relu6(Convolution::new(3, 32, 3, 2)));
        let mut n_in = 32;
        for (expansion, n_out, n_blocks, first_stride) in STAGES {
            for block in 0..n_blocks {
                let stride = if block == 0 { first_stride } else { 1 };
                let wide = n_in * expansion;
                let mut y = x.clone();
                if expansion > 1 {
                    y = it.conv(&y, relu6(Convolution::new(n_in, wide, 1, 1)));
                }
                y = it.conv(&y, relu6(Convolution { groups: wide, ..Convolution::new(wide, wide, 3, stride) }));
                y = it.conv(&y, Convolution { gain: 0.5, ..Convolution::new(wide, n_out, 1, 1) });
                x = if stride == 1 && n_in == n_out { it.node("Add", &[&x, &y], vec![]) } else { y };
                n_in = n_out;
            }
        }
        x = it.conv(&x, relu6(Convolution::new(n_in, 1280, 1, 1)));
        it.classify(&x, 1280);
        it
    }

    /// The encoder of a transformer (Vaswani et al. 2017, arXiv:1706.03762): 6 layers of 384, 12 heads, and the mean over tokens.
    pub(crate) fn transformer() -> Self {
        const HEADS: usize = 12;
        let mut it = Self::default();
        let split = [0, TOKENS, HEADS, WIDTH / HEADS].map(|it| it as i64);
        it.weights.push(numbers_tensor("split", &split));
        it.weights.push(numbers_tensor("joined", &[0, TOKENS as i64, WIDTH as i64]));
        it.weights.push(float_tensor("scale", &[], &[1.0 / ((WIDTH / HEADS) as f32).sqrt()]));
        it.weights.push(float_tensor("epsilon", &[], &[1e-12]));
        it.weights.push(float_tensor("half", &[], &[0.5]));
        it.weights.push(float_tensor("one", &[], &[1.0]));
        it.weights.push(float_tensor("root", &[], &[std::f32::consts::SQRT_2]));
        let mut x = "x".to_owned();
        for _ in 0..6 {
            let [q, k, v] = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]].map(|order| {
                let y = it.dense(&x, WIDTH, WIDTH);
                let y = it.node("Reshape", &[&y, "split"], vec![]);
                it.node("Transpose", &[&y], vec![ints("perm", &order)])
            });
            let scores = it.node("MatMul", &[&q, &k], vec![]);
            let scores = it.node("Mul", &[&scores, "scale"], vec![]);
            let shares = it.node("Softmax", &[&scores], vec![int("axis", -1)]);
            let y = it.node("MatMul", &[&shares, &v], vec![]);
            let y = it.node("Transpose", &[&y], vec![ints("perm", &[0, 2, 1, 3])]);
            let y = it.node("Reshape", &[&y, "joined"], vec![]);
            let y = it.dense(&y, WIDTH, WIDTH);
            let sum = it.node("Add", &[&x, &y], vec![]);
            x = it.normalize(&sum);
            let y = it.dense(&x, WIDTH, 4 * WIDTH);
            let y = it.gelu(&y);
            let y = it.dense(&y, 4 * WIDTH, WIDTH);
            let sum = it.node("Add", &[&x, &y], vec![]);
            x = it.normalize(&sum);
        }
        it.node("ReduceMean", &[&x], vec![ints("axes", &[1]), int("keepdims", 0)]);
        it.finish();
        it
    }

    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.nodes.push(NodeProto { name: output.clone(), ..node(op, "", inputs, &output, attributes) });
        output
    }

    fn conv(&mut self, x: &str, it: Convolution) -> String {
        let Convolution { n_in, n_out, size, stride, groups, gain, then } = it;
        let spread = gain * (2.0 / (n_in / groups * size * size) as f32).sqrt();
        let name = format!("conv_{}", self.nodes.len());
        let weights = self.tensor(&format!("{name}.weight"), &[n_out, n_in / groups, size, size], spread);
        let bias = self.tensor(&format!("{name}.bias"), &[n_out], 0.01);
        let (stride, pad) = (stride as i64, (size / 2) as i64);
        let mut attributes = vec![ints("strides", &[stride, stride]), ints("pads", &[pad; 4])];
        if groups > 1 {
            attributes.push(int("group", groups as i64));
        }
        let x = self.node("Conv", &[x, &weights, &bias], attributes);
        match then {
            Then::Nothing => x,
            Then::Relu => self.node("Relu", &[&x], vec![]),
            Then::Relu6 => self.node("Clip", &[&x, "least", "most"], vec![]),
        }
    }

    /// The head of a classifier of images.
    fn classify(&mut self, x: &str, n_in: usize) {
        let x = self.node("GlobalAveragePool", &[x], vec![]);
        let x = self.node("Flatten", &[&x], vec![]);
        let weights = self.tensor("fc.weight", &[n_in, 1000], 1.0 / (n_in as f32).sqrt());
        self.node("MatMul", &[&x, &weights], vec![]);
        self.finish();
    }

    fn dense(&mut self, x: &str, n_in: usize, n_out: usize) -> String {
        let name = format!("dense_{}", self.nodes.len());
        let weights = self.tensor(&format!("{name}.weight"), &[n_in, n_out], 1.0 / (n_in as f32).sqrt());
        let bias = self.tensor(&format!("{name}.bias"), &[n_out], 0.01);
        let x = self.node("MatMul", &[x, &weights], vec![]);
        self.node("Add", &[&x, &bias], vec![])
    }

    /// As exporters write it for operators before version 17.
    fn normalize(&mut self, x: &str) -> String {
        let over_numbers = || vec![ints("axes", &[-1]), int("keepdims", 1)];
        let mean = self.node("ReduceMean", &[x], over_numbers());
        let centered = self.node("Sub", &[x, &mean], vec![]);
        let squares = self.node("Mul", &[&centered, &centered], vec![]);
        let variance = self.node("ReduceMean", &[&squares], over_numbers());
        let variance = self.node("Add", &[&variance, "epsilon"], vec![]);
        let deviation = self.node("Sqrt", &[&variance], vec![]);
        let res = self.node("Div", &[&centered, &deviation], vec![]);
        let name = format!("normalize_{}", self.nodes.len());
        let (scale, shift) = (format!("{name}.scale"), format!("{name}.shift"));
        self.weights.push(float_tensor(&scale, &[WIDTH as i64], &[1.0; WIDTH]));
        self.weights.push(float_tensor(&shift, &[WIDTH as i64], &[0.0; WIDTH]));
        let res = self.node("Mul", &[&res, &scale], vec![]);
        self.node("Add", &[&res, &shift], vec![])
    }

    fn gelu(&mut self, x: &str) -> String {
        let scaled = self.node("Div", &[x, "root"], vec![]);
        let error = self.node("Erf", &[&scaled], vec![]);
        let above = self.node("Add", &[&error, "one"], vec![]);
        let product = self.node("Mul", &[x, &above], vec![]);
        self.node("Mul", &[&product, "half"], vec![])
    }

    /// Numbers of this standard deviation, evenly distributed.
    fn tensor(&mut self, name: &str, dims: &[usize], spread: f32) -> String {
        let n: usize = dims.iter().product();
        let mut raw_data = Vec::with_capacity(4 * n);
        for _ in 0..n {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (self.state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            raw_data.extend((unit * spread * 12.0_f32.sqrt()).to_le_bytes());
        }
        let dims = dims.iter().map(|&it| it as i64).collect();
        self.weights.push(TensorProto { name: name.to_owned(), data_type: 1, dims, raw_data, ..Default::default() });
        name.to_owned()
    }

    /// Makes the last value the output `y`.
    fn finish(&mut self) {
        self.nodes.last_mut().unwrap().output = vec!["y".to_owned()];
    }

    /// Writes the model, whose input `x` has rows of this shape.
    pub(crate) fn write(self, path: &Path, row: &[usize]) {
        let dims: Vec<i64> = [-1].into_iter().chain(row.iter().map(|&it| it as i64)).collect();
        let graph = GraphProto {
            node: self.nodes,
            initializer: self.weights,
            input: vec![value("x", &dims)],
            output: vec![value("y", &[-1, -1])],
            ..Default::default()
        };
        fs::write(path, model(17, graph).encode_to_vec()).unwrap();
    }
}
