//! One run of one node, as a kernel sees it.

use std::sync::Arc;

use tract_onnx::{
    pb::{AttributeProto, NodeProto},
    prelude::{Datum, DatumType, IntoTensor, Tensor, TractResult, tract_ndarray::ArrayD},
    tract_hir::internal::{TractErrorContext, bail, format_err},
};

use super::{
    graph::{Context, Graph, Node},
    run::{self, Scope},
    value::Value,
};
use crate::tract::axes::resolve_axis;

/// A node with the values of its inputs.
pub(super) struct Call<'a> {
    pub context: &'a Context,
    pub node: &'a Node,
    pub inputs: Vec<Option<Value>>,
    pub scope: &'a Scope<'a>,
}

impl Call<'_> {
    pub(super) fn proto(&self) -> &NodeProto {
        &self.node.proto
    }

    /// Returns the version of the default domain's operators.
    pub(super) fn version(&self) -> i64 {
        self.context.version
    }

    /// Returns an input that must be there.
    pub(super) fn value(&self, idx: usize) -> TractResult<&Value> {
        self.maybe_value(idx).with_context(|| format!("input {idx} is missing"))
    }

    /// Returns an input that may be left out.
    pub(super) fn maybe_value(&self, idx: usize) -> Option<&Value> {
        self.inputs.get(idx)?.as_ref()
    }

    /// Returns a tensor that must be there.
    pub(super) fn tensor(&self, idx: usize) -> TractResult<&Arc<Tensor>> {
        self.value(idx)?.tensor().with_context(|| format!("input {idx}"))
    }

    /// Returns a tensor that may be left out.
    pub(super) fn maybe_tensor(&self, idx: usize) -> TractResult<Option<&Arc<Tensor>>> {
        self.maybe_value(idx).map(|_| self.tensor(idx)).transpose()
    }

    /// Returns a numeric input in double precision.
    pub(super) fn floats(&self, idx: usize) -> TractResult<ArrayD<f64>> {
        array(self.tensor(idx)?)
    }

    /// Returns a numeric input in double precision, if it is given.
    pub(super) fn maybe_floats(&self, idx: usize) -> TractResult<Option<ArrayD<f64>>> {
        self.maybe_tensor(idx)?.map(|it| array(it)).transpose()
    }

    /// Returns an integer input.
    pub(super) fn ints(&self, idx: usize) -> TractResult<ArrayD<i64>> {
        array(self.tensor(idx)?)
    }

    /// Returns the elements of an integer input, if it is given.
    pub(super) fn maybe_ints(&self, idx: usize) -> TractResult<Option<Vec<i64>>> {
        self.maybe_tensor(idx)?.map(|it| Ok(array(it)?.into_iter().collect())).transpose()
    }

    /// Returns the only element of an input, if it is given.
    pub(super) fn maybe_scalar<T: Datum + Copy>(&self, idx: usize) -> TractResult<Option<T>> {
        let Some(tensor) = self.maybe_tensor(idx)? else {
            return Ok(None);
        };
        let array: ArrayD<T> = array(tensor)?;
        if array.len() != 1 {
            bail!("input {idx} has {} elements where one is needed", array.len());
        }
        Ok(array.iter().next().copied())
    }

    /// Returns `array` in the type of input `idx`.
    pub(super) fn like(&self, idx: usize, array: ArrayD<f64>) -> TractResult<Value> {
        cast(array, self.tensor(idx)?.datum_type())
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.proto().attribute.iter().find(|it| it.name == name)
    }

    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |it| it.i)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.int(name, 0) != 0
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attribute(name).map_or(default, |it| it.f))
    }

    pub(super) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.attribute(name).and_then(|it| std::str::from_utf8(&it.s).ok()).unwrap_or(default)
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let strings = self.attribute(name).map_or(&[][..], |it| &it.strings);
        strings.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
    }

    pub(super) fn int_list(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|it| &*it.ints)
    }

    pub(super) fn float_list(&self, name: &str) -> &[f32] {
        self.attribute(name).map_or(&[], |it| &it.floats)
    }

    /// Returns a tensor in an attribute.
    pub(super) fn tensor_attribute(&self, name: &str) -> TractResult<Option<Value>> {
        let proto = self.attribute(name).and_then(|it| it.t.as_ref());
        proto.map(|it| Value::from_proto(&self.context.onnx, it, self.context.folder.as_deref())).transpose()
    }

    /// Returns a nested graph.
    pub(super) fn graph(&self, name: &str) -> TractResult<&Graph> {
        self.node.graphs.get(name).ok_or_else(|| format_err!("the graph `{name}` is missing"))
    }

    /// Runs a nested graph, which sees what is around the node.
    pub(super) fn run(&self, graph: &Graph, inputs: Vec<Value>) -> TractResult<Vec<Value>> {
        run::run(self.context, graph, inputs, run::Place::Nested(self.scope))
    }

    /// Returns `axis` counted from the front.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> TractResult<usize> {
        resolve_axis(axis, rank)
    }
}

/// Returns the elements as `T`.
pub(super) fn array<T: Datum>(tensor: &Tensor) -> TractResult<ArrayD<T>> {
    tensor.cast_to::<T>()?.into_owned().into_plain_array::<T>()
}

/// Returns `array` as a tensor of `datum_type`.
pub(super) fn cast(array: ArrayD<f64>, datum_type: DatumType) -> TractResult<Value> {
    let tensor = array.into_tensor();
    Ok(if datum_type == DatumType::F64 { tensor.into() } else { tensor.cast_to_dt(datum_type)?.into_owned().into() })
}
