//! How much there is to compute for what a node makes, at least.
//!
//! The unit is a multiplication with an addition as a product of matrices does them; what is done otherwise counts as many of these as
//! it took as long as, in orders of magnitude.

use tract_onnx::pb::NodeProto;

use super::{
    einsum,
    operators::{node_outputs, stacked},
    value::Known,
};
use crate::tract::{
    attributes::{int, ints, text},
    axes::resolve_axis,
};

/// To look at a number: what most operators do with each that they take or make.
const VISIT: u64 = 20;
/// To put a number into an order, or to add it to those before it.
const ORDER: u64 = 100;
/// One of the numbers that a window, a recurrence or a transform goes through.
const STEP: u64 = 5;
/// Places around a point that a cubic interpolation in the plane takes.
const CUBIC: u64 = 16;

/// Returns the operations of a node, of which this is known.
pub(in crate::tract) fn node_work(node: &NodeProto, inputs: &[Option<Known>], outputs: &[Known], version: i64) -> u64 {
    let node = Node { node, inputs, outputs, version };
    if matches!(&*node.node.domain, "" | "ai.onnx") { node.work() } else { node.visits() }
}

struct Node<'a> {
    node: &'a NodeProto,
    inputs: &'a [Option<Known>],
    outputs: &'a [Known],
    version: i64,
}

impl Node<'_> {
    fn shape(&self, idx: usize) -> Option<&[Option<u64>]> {
        self.inputs.get(idx)?.as_ref()?.shape.as_deref()
    }

    fn taken(&self, idx: usize) -> u64 {
        self.shape(idx).map_or(1, elements)
    }

    fn made(&self) -> u64 {
        self.outputs.first().and_then(|it| it.shape.as_deref()).map_or(1, elements)
    }

    /// The numbers that are looked at if each of the inputs and outputs is, once.
    fn visits(&self) -> u64 {
        let all = (0..self.inputs.len()).map(|it| self.taken(it)).fold(self.made(), u64::max);
        all.saturating_mul(VISIT)
    }

    fn work(&self) -> u64 {
        let of = u64::saturating_mul;
        match &*self.node.op_type {
            // They compute nothing, or what they compute is in their graphs.
            "Constant" | "Flatten" | "Identity" | "If" | "Loop" | "Reshape" | "Scan" | "Shape" | "Size" | "Squeeze"
            | "Unsqueeze" => 0,
            // What weights go through where they are kept in another form.
            "Cast" | "Concat" | "ConstantOfShape" | "DequantizeLinear" | "Expand" | "QuantizeLinear" | "Slice"
            | "Split" | "Transpose" => self.made().max(self.taken(0)),
            "MatMul" | "MatMulInteger" => self.product(0, 1),
            "QLinearMatMul" => self.product(0, 3),
            "Gemm" => {
                let is_flipped = int(self.node, "transA").unwrap_or(0) != 0;
                of(self.made(), dim(self.shape(0), usize::from(!is_flipped)))
            }
            "Einsum" => {
                let equation = text(self.node, "equation").unwrap_or_default();
                einsum::points(equation, |it| self.shape(it)).max(self.visits())
            }
            "Conv" | "ConvInteger" | "DeformConv" => of(self.made(), self.weights_of_one(1)),
            "QLinearConv" => of(self.made(), self.weights_of_one(3)),
            "ConvTranspose" => of(self.taken(0), self.weights_of_one(1)),
            "AveragePool" | "LpPool" | "MaxPool" => {
                let kernel = ints(self.node, "kernel_shape").iter().map(|it| u64::try_from(*it).unwrap_or(1).max(1));
                of(of(self.made_by_a_window(), kernel.fold(1, u64::saturating_mul)), STEP)
            }
            "LRN" => {
                let size = int(self.node, "size").and_then(|it| u64::try_from(it).ok()).unwrap_or(1);
                of(of(self.made(), size.min(dim(self.shape(0), 1)).max(1)), STEP)
            }
            "GRU" | "LSTM" | "RNN" => {
                let rows = of(dim(self.shape(0), 0), dim(self.shape(0), 1));
                of(of(rows, self.taken(1).saturating_add(self.taken(2))), STEP)
            }
            "Attention" => self.attention(),
            "CumProd" | "CumSum" | "NonZero" | "TopK" | "Unique" => of(self.taken(0), ORDER),
            "DFT" => self.transform(),
            "Det" => of(self.taken(0), self.shape(0).and_then(<[_]>::last).map_or(1, |it| it.unwrap_or(1))),
            "GridSample" | "Resize" | "Upsample" => of(self.made(), VISIT * CUBIC).max(self.visits()),
            "NonMaxSuppression" => of(self.taken(1), dim(self.shape(0), 1)),
            "RoiAlign" => self.regions(),
            _ => self.visits(),
        }
    }

    /// What pooling makes, at least: rounding the size of the image up gives one more at most.
    fn made_by_a_window(&self) -> u64 {
        let mut rounded_down = self.node.clone();
        rounded_down.attribute.retain(|it| it.name != "ceil_mode");
        let made = node_outputs(&rounded_down, self.inputs, self.version);
        made.first().and_then(|it| it.shape.as_deref()).map_or(1, elements)
    }

    /// A product of the matrices of two inputs.
    fn product(&self, a: usize, b: usize) -> u64 {
        let (Some(a), Some(b)) = (self.shape(a), self.shape(b)) else { return self.visits() };
        let (Some(&common), Some(rest)) = (a.last(), stacked(a, b)) else { return self.visits() };
        let common = common.or_else(|| *b.get(b.len().saturating_sub(2))?);
        elements(&rest).saturating_mul(common.unwrap_or(1))
    }

    /// The numbers that a convolution takes for one that it makes, or the other way round.
    fn weights_of_one(&self, idx: usize) -> u64 {
        self.shape(idx).and_then(|it| it.get(1..)).map_or(1, elements)
    }

    /// Each query with each key, and each value with what comes of that.
    fn attention(&self) -> u64 {
        let queries = self.shape(0);
        let (length, heads) = match queries.map(<[_]>::len) {
            Some(4) => (dim(queries, 2), dim(queries, 1)),
            _ => (dim(queries, 1), int(self.node, "q_num_heads").and_then(|it| u64::try_from(it).ok()).unwrap_or(1)),
        };
        let of_head = |idx: usize| {
            let shape = self.shape(idx);
            if shape.map(<[_]>::len) == Some(4) { dim(shape, 3) } else { 1 }
        };
        let keys = self.shape(1);
        let n_keys = dim(keys, if keys.map(<[_]>::len) == Some(4) { 2 } else { 1 });
        let pairs = [length, n_keys, heads, dim(queries, 0)].into_iter().fold(1, u64::saturating_mul);
        pairs.saturating_mul(of_head(1).saturating_add(of_head(2)).saturating_add(VISIT))
    }

    /// A sum over the whole length for each frequency.
    fn transform(&self) -> u64 {
        let Some(shape) = self.shape(0) else { return 1 };
        let given = self.inputs.get(2).and_then(|it| it.as_ref()?.numbers.as_ref()?.first().copied());
        let axis = given.map_or_else(|| int(self.node, "axis").unwrap_or(1), |it| it as i64);
        let length = resolve_axis(axis, shape.len()).map_or(1, |it| dim(Some(shape), it));
        elements(shape).saturating_mul(length).saturating_mul(STEP)
    }

    /// Four numbers for each place that is looked at.
    fn regions(&self) -> u64 {
        let of = |name: &str| int(self.node, name).and_then(|it| u64::try_from(it).ok()).unwrap_or(1).max(1);
        let places = of("output_height").saturating_mul(of("output_width")).saturating_mul(of("sampling_ratio").pow(2));
        let boxes = dim(self.shape(1), 0).saturating_mul(dim(self.shape(0), 1));
        boxes.saturating_mul(places).saturating_mul(STEP)
    }
}

/// Returns the number of elements, each dimension that is not known taken for 1.
fn elements(shape: &[Option<u64>]) -> u64 {
    if shape.contains(&Some(0)) {
        return 0;
    }
    shape.iter().map(|it| it.unwrap_or(1)).fold(1, u64::saturating_mul)
}

fn dim(shape: Option<&[Option<u64>]>, axis: usize) -> u64 {
    shape.and_then(|it| *it.get(axis)?).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;
    use crate::tract::preflight::node_outputs;

    fn check(op_type: &str, attribute: Vec<AttributeProto>, shapes: &[&[u64]], wanted: u64) {
        let of = |it: &&[u64]| Some(Known::of_shape(4, it.iter().map(|it| Some(*it).filter(|it| *it != 0)).collect()));
        let inputs: Vec<_> = shapes.iter().map(of).collect();
        let node = NodeProto { op_type: op_type.to_owned(), attribute, ..Default::default() };
        assert_eq!(node_work(&node, &inputs, &node_outputs(&node, &inputs, 13), 13), wanted, "{op_type}");
    }

    fn ints_of(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto { name: name.to_owned(), ints: values.to_vec(), ..Default::default() }
    }

    fn int_of(name: &str, i: i64) -> AttributeProto {
        AttributeProto { name: name.to_owned(), i, ..Default::default() }
    }

    #[test]
    fn products_are_counted() {
        check("MatMul", vec![], &[&[7, 2, 3], &[3, 5]], 7 * 2 * 3 * 5);
        // What is not known is 1.
        check("MatMul", vec![], &[&[0, 2, 3], &[3, 5]], 2 * 3 * 5);
        check("QLinearMatMul", vec![], &[&[2, 3], &[], &[], &[3, 5]], 2 * 3 * 5);
        check("Gemm", vec![int_of("transA", 1)], &[&[3, 2], &[3, 5]], 2 * 3 * 5);
        let equation = |it: &str| AttributeProto { name: "equation".to_owned(), s: it.into(), ..Default::default() };
        check("Einsum", vec![equation("ij, jk, kl -> il")], &[&[20, 30], &[30, 40], &[40, 50]], 20 * 30 * 40 * 50);
        check("Einsum", vec![equation("...ij,...jk->...ik")], &[&[6, 20, 30], &[30, 40]], 6 * 20 * 30 * 40);
    }

    #[test]
    fn windows_are_counted() {
        let (image, weights): (&[u64], &[u64]) = (&[1, 8, 10, 10], &[16, 4, 3, 3]);
        check("Conv", vec![int_of("group", 2)], &[image, weights], 16 * 8 * 8 * 4 * 9);
        check("QLinearConv", vec![], &[image, &[], &[], weights], 16 * 8 * 8 * 4 * 9);
        check("ConvTranspose", vec![], &[image, &[8, 4, 3, 3]], 800 * 4 * 9);
        let kernel = || ints_of("kernel_shape", &[3, 3]);
        check("MaxPool", vec![kernel()], &[image], 8 * 64 * 9 * STEP);
        // One fewer along each axis than there may be.
        let strides = || ints_of("strides", &[2, 2]);
        check("MaxPool", vec![kernel(), strides(), int_of("ceil_mode", 1)], &[image], 8 * 16 * 9 * STEP);
        check("LRN", vec![int_of("size", 5)], &[image], 800 * 5 * STEP);
        check("LRN", vec![int_of("size", 5000)], &[image], 800 * 8 * STEP);
    }

    #[test]
    fn what_goes_through_its_input_is_counted() {
        check("LSTM", vec![], &[&[9, 2, 3], &[1, 20, 3], &[1, 20, 5]], 9 * 2 * (60 + 100) * STEP);
        check("Attention", vec![], &[&[1, 2, 6, 4], &[1, 2, 7, 4], &[1, 2, 7, 4]], 2 * 6 * 7 * (8 + VISIT));
        check("CumSum", vec![], &[&[30], &[]], 30 * ORDER);
        check("Erf", vec![], &[&[30]], 30 * VISIT);
        check("ReduceMax", vec![], &[&[30]], 30 * VISIT);
        check("Cast", vec![int_of("to", 1)], &[&[30]], 30);
        check("Reshape", vec![], &[&[30], &[1]], 0);
    }
}
