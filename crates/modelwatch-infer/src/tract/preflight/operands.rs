//! Attributes and constant operands that no operator of their kind can have.
//!
//! tract divides by strides and steps, goes through a permutation until it has found each axis, and reads where an index says.

use tract_onnx::{pb::NodeProto, prelude::TractResult, tract_hir::internal::ensure};

use super::{Fault, sizes::Known};
use crate::tract::{
    attributes::{int, ints, label},
    axes::resolve_axis,
};

const REMEDY: &str = "export it again, with operands that ONNX allows";

/// Looks at a node of which this is known of the inputs.
///
/// What is in a branch or loop may be for values that there are not, so that only what is wrong for all of them is looked at there.
pub(super) fn check(node: &NodeProto, inputs: &[Option<Known>], is_nested: bool) -> Result<(), Fault> {
    if !matches!(&*node.domain, "" | "ai.onnx") {
        return Ok(());
    }
    let node = Node { node, inputs };
    match node.wrong_attribute().or_else(|| if is_nested { None } else { node.wrong_operand() }) {
        Some(what) => Err(Fault { what: format!("{} {what}", label(node.node)), remedy: REMEDY }),
        None => Ok(()),
    }
}

/// Fails unless these are the numbers of `rank` axes, each once.
pub(in crate::tract) fn check_order(axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
    let order = axes.iter().map(|it| resolve_axis(*it, rank)).collect::<TractResult<Vec<_>>>()?;
    let mut seen = vec![false; rank];
    order.iter().for_each(|it| seen[*it] = true);
    let is_whole = order.len() == rank && !seen.contains(&false);
    ensure!(is_whole, "{axes:?} is no order of {rank} axes");
    Ok(order)
}

struct Node<'a> {
    node: &'a NodeProto,
    inputs: &'a [Option<Known>],
}

impl Node<'_> {
    fn input(&self, idx: usize) -> Option<&Known> {
        self.inputs.get(idx)?.as_ref()
    }

    fn shape(&self, idx: usize) -> Option<&[Option<u64>]> {
        self.input(idx)?.shape.as_deref()
    }

    fn numbers(&self, idx: usize) -> Option<&[f64]> {
        self.input(idx)?.numbers.as_deref()
    }

    fn wrong_attribute(&self) -> Option<String> {
        match &*self.node.op_type {
            "Transpose" => {
                let axes = ints(self.node, "perm");
                check_order(axes, axes.len()).err().map(|it| format!("has a permutation that is none: {it}"))
            }
            "AveragePool" | "Conv" | "ConvInteger" | "ConvTranspose" | "LpPool" | "MaxPool" | "MaxUnpool"
            | "QLinearConv" => self.wrong_window(),
            "Constant" if self.node.attribute.iter().any(|it| it.name == "sparse_value") => {
                Some("has a sparse value, which is not read".to_owned())
            }
            _ => None,
        }
    }

    fn wrong_window(&self) -> Option<String> {
        for (name, what) in [("kernel_shape", "kernel"), ("strides", "stride"), ("dilations", "dilation")] {
            if let Some(it) = ints(self.node, name).iter().find(|it| **it < 1) {
                return Some(format!("has a {what} of {it}"));
            }
        }
        if let Some(it) = int(self.node, "group").filter(|it| *it < 1) {
            return Some(format!("has {it} groups"));
        }
        let weights = match &*self.node.op_type {
            "QLinearConv" => self.input(3),
            it if it.starts_with("Conv") => self.input(1),
            _ => None,
        }?;
        let is_empty = weights.shape.as_ref()?.contains(&Some(0));
        is_empty.then(|| format!("has weights of shape {}", weights.shape_text()))
    }

    fn wrong_operand(&self) -> Option<String> {
        match &*self.node.op_type {
            "Transpose" => {
                let (axes, rank) = (ints(self.node, "perm"), self.shape(0)?.len());
                (!axes.is_empty() && axes.len() != rank)
                    .then(|| format!("has a permutation of {} axes for a tensor of rank {rank}", axes.len()))
            }
            "Slice" => self.wrong_step(),
            "Tile" if self.inputs.len() == 2 => {
                self.numbers(1)?.iter().find(|it| **it < 0.0).map(|it| format!("repeats its input {it} times"))
            }
            "TopK" => self.wrong_count(),
            "Gather" | "GatherElements" | "Scatter" | "ScatterElements" => self.wrong_index(),
            "GatherND" | "ScatterND" => self.wrong_place(),
            "Pad" => self.wrong_pad(),
            "Resize" | "Upsample" => self.wrong_scale(),
            "STFT" => {
                let step = *self.numbers(1)?.first()?;
                (step < 1.0).then(|| format!("has a step of {step}"))
            }
            _ => None,
        }
    }

    fn wrong_step(&self) -> Option<String> {
        self.numbers(4)?.contains(&0.0).then(|| "has a step of 0".to_owned())
    }

    fn wrong_count(&self) -> Option<String> {
        let k = match self.input(1) {
            Some(it) => *it.numbers.as_ref()?.first()?,
            None => int(self.node, "k")? as f64,
        };
        if k < 0.0 {
            return Some(format!("takes {k} elements"));
        }
        let shape = self.shape(0)?;
        let n = shape[resolve_axis(int(self.node, "axis").unwrap_or(-1), shape.len()).ok()?]?;
        (k > n as f64).then(|| format!("takes {k} elements of {n}"))
    }

    fn wrong_index(&self) -> Option<String> {
        let shape = self.shape(0)?;
        let n = shape[resolve_axis(int(self.node, "axis").unwrap_or(0), shape.len()).ok()?]?;
        self.numbers(1)?.iter().find_map(|it| beyond(*it, n))
    }

    /// Looks at indices of several axes at once.
    fn wrong_place(&self) -> Option<String> {
        let n = usize::try_from((*self.shape(1)?.last()?)?).ok().filter(|it| *it > 0)?;
        let first = usize::try_from(int(self.node, "batch_dims").unwrap_or(0)).ok()?;
        let sizes = self.shape(0)?.get(first..first.checked_add(n)?)?;
        let places = self.numbers(1)?.chunks(n);
        places.flat_map(|it| it.iter().zip(sizes)).find_map(|(it, size)| beyond(*it, (*size)?))
    }

    fn wrong_pad(&self) -> Option<String> {
        let shape = self.shape(0)?;
        let pads: Vec<f64> = match self.input(1) {
            Some(it) => it.numbers.clone()?,
            None => ints(self.node, "pads").iter().map(|it| *it as f64).collect(),
        };
        let axes: Vec<usize> = match self.input(3) {
            Some(it) => {
                let axes = it.numbers.as_ref()?.iter().map(|it| resolve_axis(*it as i64, shape.len()));
                axes.collect::<TractResult<_>>().ok()?
            }
            None => (0..shape.len()).collect(),
        };
        axes.iter().enumerate().find_map(|(idx, axis)| {
            let (before, after) = (*pads.get(idx)?, *pads.get(idx + axes.len())?);
            let n = shape[*axis]? as f64;
            (before < -n || after < -n || n + before + after < 0.0)
                .then(|| format!("pads an axis of {n} by {before} and {after}"))
        })
    }

    fn wrong_scale(&self) -> Option<String> {
        let is_first = self.node.op_type == "Upsample" || self.inputs.len() == 2;
        let it = self.numbers(if is_first { 1 } else { 2 })?.iter().find(|it| it.is_nan() || **it <= 0.0)?;
        Some(format!("has a scale of {it}"))
    }
}

/// Says that an index is not among `n` if so; those from the end are negative.
fn beyond(index: f64, n: u64) -> Option<String> {
    let n = n as f64;
    (index < -n || index >= n).then(|| format!("takes index {index} of {n}"))
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, TensorProto};

    use super::*;

    fn of(op_type: &str, attribute: Vec<AttributeProto>, inputs: &[Option<Known>]) -> Option<String> {
        let node = NodeProto { op_type: op_type.to_owned(), name: "n".to_owned(), attribute, ..Default::default() };
        check(&node, inputs, false).err().map(|it| it.what)
    }

    fn named(name: &str, values: &[i64]) -> Vec<AttributeProto> {
        vec![AttributeProto { name: name.to_owned(), ints: values.to_vec(), ..Default::default() }]
    }

    fn numbers(values: &[i64]) -> Option<Known> {
        let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
        Some(Known::of_tensor(&TensorProto { data_type: 7, dims, int64_data, ..Default::default() }))
    }

    fn pairs(values: &[i64]) -> Option<Known> {
        Some(Known { shape: Some(vec![Some(values.len() as u64 / 2), Some(2)]), ..numbers(values)? })
    }

    fn floats(dims: &[i64]) -> Option<Known> {
        let n = dims.iter().product::<i64>() as usize;
        let tensor = TensorProto { data_type: 1, dims: dims.to_vec(), float_data: vec![1.0; n], ..Default::default() };
        Some(Known::of_tensor(&tensor))
    }

    #[test]
    fn what_an_operator_cannot_have_is_named() {
        let check = |op: &str, attribute, inputs: &[Option<Known>], wanted: Option<&str>| {
            let wanted = wanted.map(|it| format!("node `n` ({op}) {it}"));
            assert_eq!(of(op, attribute, inputs), wanted, "{op}");
        };
        let x = || floats(&[3, 4]);
        let twice = "has a permutation that is none: [0, 0] is no order of 2 axes";
        check("Transpose", named("perm", &[0, 0]), &[None], Some(twice));
        check(
            "Transpose",
            named("perm", &[1, 0, 2]),
            &[x()],
            Some("has a permutation of 3 axes for a tensor of rank 2"),
        );
        check("Transpose", named("perm", &[1, 0]), &[x()], None);
        check("Transpose", vec![], &[x()], None);
        check("MaxPool", named("kernel_shape", &[2, 0]), &[None], Some("has a kernel of 0"));
        check("Conv", named("strides", &[0, 1]), &[None], Some("has a stride of 0"));
        check("Conv", vec![], &[None, floats(&[1, 1, 0, 2])], Some("has weights of shape [1, 1, 0, 2]"));
        check("Slice", vec![], &[x(), None, None, None, numbers(&[0])], Some("has a step of 0"));
        check("Slice", vec![], &[x(), None, None, None, numbers(&[-1, 1 << 40])], None);
        check("Tile", vec![], &[x(), numbers(&[1, -1])], Some("repeats its input -1 times"));
        check("TopK", vec![], &[x(), numbers(&[5])], Some("takes 5 elements of 4"));
        check("TopK", vec![], &[x(), numbers(&[4])], None);
        check("Gather", vec![], &[x(), numbers(&[-3, 3])], Some("takes index 3 of 3"));
        check("ScatterElements", vec![], &[x(), numbers(&[-4])], Some("takes index -4 of 3"));
        check("GatherND", vec![], &[x(), pairs(&[2, 3, 0, 4])], Some("takes index 4 of 4"));
        check("GatherND", vec![], &[x(), pairs(&[-3, 3])], None);
        check("Pad", vec![], &[x(), numbers(&[0, -2, 0, -3])], Some("pads an axis of 4 by -2 and -3"));
        check("Pad", vec![], &[x(), numbers(&[0, -2, 0, 3])], None);
        let scale = Some(Known { numbers: Some(vec![1.0, f64::NAN]), ..floats(&[2]).unwrap() });
        check("Upsample", vec![], &[x(), scale], Some("has a scale of NaN"));
    }

    #[test]
    fn what_a_branch_may_not_be_run_with_is_left_to_it() {
        let node = NodeProto { op_type: "Gather".to_owned(), ..Default::default() };
        assert!(check(&node, &[floats(&[3]), numbers(&[7])], true).is_ok());
        let attribute = named("perm", &[0, 0]);
        let node = NodeProto { op_type: "Transpose".to_owned(), attribute, ..Default::default() };
        assert!(check(&node, &[None], true).is_err());
    }
}
