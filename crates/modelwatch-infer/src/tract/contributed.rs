//! Operators of `com.microsoft` that ONNX Runtime's optimizer and quantizer write, as the operators of ONNX that they stand for.

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType};

use super::attributes::{float, floats, int, text};

const DOMAIN: &str = "com.microsoft";
/// ONNX's number of single precision.
const FLOAT: i32 = 1;

/// Puts what they stand for in the place of these nodes of a graph, those of nested graphs left out.
pub(super) fn spell_out(graph: &mut GraphProto) {
    if !graph.node.iter().any(|it| it.domain == DOMAIN) {
        return;
    }
    for node in std::mem::take(&mut graph.node) {
        let parts = if node.domain == DOMAIN { Parts::of(&node) } else { None };
        match parts {
            Some(it) => {
                graph.node.extend(it.nodes);
                graph.initializer.extend(it.constants);
            }
            None => graph.node.push(node),
        }
    }
}

/// What stands for a node.
struct Parts<'a> {
    node: &'a NodeProto,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl<'a> Parts<'a> {
    /// Returns nothing for what is left as it is, for others to refuse by name.
    fn of(node: &'a NodeProto) -> Option<Self> {
        let mut res = Self { node, nodes: vec![], constants: vec![] };
        match &*node.op_type {
            "Gelu" | "QuantizeLinear" | "DequantizeLinear" => {
                res.nodes.push(NodeProto { domain: String::new(), ..node.clone() });
            }
            "BiasGelu" => {
                let sum = res.with_bias(res.input(0)?, 1);
                res.last("Gelu", &[&sum], vec![]);
            }
            "FastGelu" => {
                let sum = res.with_bias(res.input(0)?, 1);
                res.last("Gelu", &[&sum], vec![attribute_text("approximate", "tanh")]);
            }
            "QuickGelu" => {
                let alpha = res.constant("alpha", float(node, "alpha").unwrap_or(1.702));
                let x = res.input(0)?;
                let scaled = res.inner("Mul", &[x, &alpha], vec![]);
                let gate = res.inner("Sigmoid", &[&scaled], vec![]);
                res.last("Mul", &[x, &gate], vec![]);
            }
            "FusedMatMul" => res.fused_product()?,
            "FusedConv" => res.fused_convolution()?,
            "SkipLayerNormalization" => res.skip_normalization()?,
            "DynamicQuantizeMatMul" => res.dynamic_product()?,
            "MatMulIntegerToFloat" => {
                let scale = res.inner("Mul", &[res.input(2)?, res.input(3)?], vec![]);
                let zeros = (res.optional(4), res.optional(5));
                res.integer_product((res.input(0)?, res.input(1)?), zeros, &scale, 6);
            }
            "QLinearAveragePool" => res.average_pool()?,
            _ => return None,
        }
        Some(res)
    }

    fn input(&self, idx: usize) -> Option<&'a str> {
        self.node.input.get(idx).map(|it| &**it).filter(|it| !it.is_empty())
    }

    /// Returns the name of an input that may be left out.
    fn optional(&self, idx: usize) -> &'a str {
        self.input(idx).unwrap_or_default()
    }

    /// Returns what names of its own begin with: other than names of nodes, those of outputs are given once.
    fn base(&self) -> &'a str {
        self.node.output.iter().find(|it| !it.is_empty()).map_or("", |it| it)
    }

    fn gives(&self, idx: usize) -> bool {
        self.node.output.get(idx).is_some_and(|it| !it.is_empty())
    }

    fn add(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: &[String], name: String) {
        // What is left out at the end is not there.
        let n = inputs.iter().rposition(|it| !it.is_empty()).map_or(0, |it| it + 1);
        let input = inputs[..n].iter().map(ToString::to_string).collect();
        let (op_type, output) = (op_type.to_owned(), output.to_vec());
        self.nodes.push(NodeProto { op_type, input, output, attribute, name, ..Default::default() });
    }

    /// Adds a node whose result only others of them take, and returns its name.
    fn inner(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = format!("{}/{op_type}.{}", self.base(), self.nodes.len());
        self.add(op_type, inputs, attribute, std::slice::from_ref(&name), name.clone());
        name
    }

    /// Adds the node that gives what the original one did, and has its name.
    fn last(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        let output = self.node.output.first().cloned().unwrap_or_default();
        self.add(op_type, inputs, attribute, &[output], self.node.name.clone());
    }

    fn constant(&mut self, what: &str, value: f32) -> String {
        let name = format!("{}/{what}", self.base());
        let float_data = vec![value];
        self.constants.push(TensorProto { name: name.clone(), data_type: FLOAT, float_data, ..Default::default() });
        name
    }

    fn with_bias(&mut self, x: &str, bias: usize) -> String {
        match self.input(bias) {
            Some(bias) => self.inner("Add", &[x, bias], vec![]),
            None => x.to_owned(),
        }
    }

    /// Returns the attributes of these names.
    fn attributes(&self, names: &[&str]) -> Vec<AttributeProto> {
        self.node.attribute.iter().filter(|it| names.contains(&&*it.name)).cloned().collect()
    }

    fn is_set(&self, flag: &str) -> bool {
        int(self.node, flag).unwrap_or(0) != 0
    }

    fn fused_product(&mut self) -> Option<()> {
        let inputs = [self.input(0)?, self.input(1)?];
        if self.is_set("transBatchA") || self.is_set("transBatchB") {
            return None;
        }
        let (op_type, attribute) = match (self.is_set("transA"), self.is_set("transB")) {
            (false, false) => ("MatMul", vec![]),
            (a, b) => {
                let (a, b) = (if a { "ji" } else { "ij" }, if b { "kj" } else { "jk" });
                ("Einsum", vec![attribute_text("equation", &format!("...{a},...{b}->...ik"))])
            }
        };
        match float(self.node, "alpha").filter(|it| *it != 1.0) {
            None => self.last(op_type, &inputs, attribute),
            Some(alpha) => {
                let product = self.inner(op_type, &inputs, attribute);
                let alpha = self.constant("alpha", alpha);
                self.last("Mul", &[&product, &alpha], vec![]);
            }
        }
        Some(())
    }

    fn fused_convolution(&mut self) -> Option<()> {
        let of_window = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
        let inputs = [self.input(0)?, self.input(1)?, self.optional(2)];
        let mut sum = self.inner("Conv", &inputs, self.attributes(&of_window));
        if let Some(other) = self.input(3) {
            sum = self.inner("Add", &[&sum, other], vec![]);
        }
        let parameters = floats(self.node, "activation_params");
        let parameter = |idx: usize, name: &str| {
            let f = *parameters.get(idx)?;
            Some(AttributeProto { name: name.to_owned(), r#type: AttributeType::Float as i32, f, ..Default::default() })
        };
        if !self.node.attribute.iter().any(|it| it.name == "activation") {
            self.last("Identity", &[&sum], vec![]);
            return Some(());
        }
        match text(self.node, "activation")? {
            it @ ("Relu" | "Sigmoid" | "Tanh") => self.last(it, &[&sum], vec![]),
            "LeakyRelu" => self.last("LeakyRelu", &[&sum], vec![parameter(0, "alpha")?]),
            "HardSigmoid" => {
                self.last("HardSigmoid", &[&sum], vec![parameter(0, "alpha")?, parameter(1, "beta")?]);
            }
            "Clip" => {
                let low = self.constant("least", *parameters.first()?);
                let high = self.constant("most", *parameters.get(1)?);
                let above = self.inner("Max", &[&sum, &low], vec![]);
                self.last("Min", &[&above, &high], vec![]);
            }
            _ => return None,
        }
        Some(())
    }

    fn skip_normalization(&mut self) -> Option<()> {
        // Statistics are for training.
        if self.gives(1) || self.gives(2) {
            return None;
        }
        let sum = self.inner("Add", &[self.input(0)?, self.input(1)?], vec![]);
        let sum = self.with_bias(&sum, 4);
        if self.gives(3) {
            self.nodes.last_mut()?.output[0].clone_from(&self.node.output[3]);
        }
        let sum = if self.gives(3) { self.node.output[3].clone() } else { sum };
        let epsilon = AttributeProto {
            name: "epsilon".to_owned(),
            r#type: AttributeType::Float as i32,
            f: float(self.node, "epsilon").unwrap_or(1e-12),
            ..Default::default()
        };
        self.last("LayerNormalization", &[&sum, self.input(2)?, self.optional(3)], vec![epsilon]);
        Some(())
    }

    fn dynamic_product(&mut self) -> Option<()> {
        let (a, b, b_scale) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let base = self.base();
        let [values, scale, zero] = ["values", "scale", "zero"].map(|it| format!("{base}/{it}"));
        let outputs = [values.clone(), scale.clone(), zero.clone()];
        self.add("DynamicQuantizeLinear", &[a], vec![], &outputs, format!("{base}/quantized"));
        let scale = self.inner("Mul", &[&scale, b_scale], vec![]);
        self.integer_product((&values, b), (&zero, self.optional(3)), &scale, 4);
        Some(())
    }

    /// Multiplies integers less their zero points, then by a scale, and adds the bias that is this input, if it is there.
    fn integer_product(&mut self, (a, b): (&str, &str), (a_zero, b_zero): (&str, &str), scale: &str, bias: usize) {
        let product = self.inner("MatMulInteger", &[a, b, a_zero, b_zero], vec![]);
        let to = AttributeProto {
            name: "to".to_owned(),
            r#type: AttributeType::Int as i32,
            i: i64::from(FLOAT),
            ..Default::default()
        };
        let product = self.inner("Cast", &[&product], vec![to]);
        match self.input(bias) {
            None => self.last("Mul", &[&product, scale], vec![]),
            Some(bias) => {
                let product = self.inner("Mul", &[&product, scale], vec![]);
                self.last("Add", &[&product, bias], vec![]);
            }
        }
    }

    fn average_pool(&mut self) -> Option<()> {
        if self.is_set("channels_last") {
            return None;
        }
        let of_window = ["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"];
        let x = self.inner("DequantizeLinear", &[self.input(0)?, self.input(1)?, self.optional(2)], vec![]);
        let mean = self.inner("AveragePool", &[&x], self.attributes(&of_window));
        self.last("QuantizeLinear", &[&mean, self.input(3)?, self.optional(4)], vec![]);
        Some(())
    }
}

fn attribute_text(name: &str, value: &str) -> AttributeProto {
    let s = value.as_bytes().to_vec();
    AttributeProto { name: name.to_owned(), r#type: AttributeType::String as i32, s, ..Default::default() }
}
