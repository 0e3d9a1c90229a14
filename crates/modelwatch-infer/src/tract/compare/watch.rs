//! Keeps the values of a few tensors of a lockstep, to write them down.

use std::collections::HashSet;

use tract_onnx::{
    prelude::{TValue, TractResult},
    tract_hir::internal::{OutletId, TractErrorContext},
};

use super::{super::convert, Lockstep, Outputs};
use crate::{
    spec::{ElementType, TensorSpec},
    tensor::HostTensor,
};

/// What a node of the candidate made in the last run.
pub(super) struct Watched {
    pub(super) own: Outputs,
    /// Where it was fed the reference's values.
    pub(super) fed: Outputs,
    pub(super) reference: Option<Outputs>,
}

/// Whose value of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// What the candidate has there.
    Candidate,
    /// What the candidate makes there of the reference's values.
    Fed,
    /// What the reference has there.
    Reference,
}

impl Lockstep {
    /// Returns the first of the tensors that has a counterpart, and is made by a node of the candidate or of what it gives.
    ///
    /// A node of the graph may be a part of one of the file, which gives a tensor only after it.
    pub(crate) fn tensor_from<'n>(&self, node: &str, tensors: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        let first = self.candidate.computing().find(|it| it.name == node)?.id;
        let mut after = HashSet::from([first]);
        for &id in &self.candidate.order {
            if self.candidate.model.node(id).inputs.iter().any(|it| after.contains(&it.node)) {
                after.insert(id);
            }
        }
        let mut tensors = tensors;
        tensors.find(|it| self.candidate.outlet(it).is_some_and(|it| after.contains(&it.node)) && self.is_paired(it))
    }

    /// Returns whether the reference has a value of the same type and shape for a tensor of the candidate.
    pub(crate) fn is_paired(&self, tensor: &str) -> bool {
        let pair = || {
            let outlet = self.candidate.outlet(tensor)?;
            let other = self.reference.model.node(*self.pairing.by_candidate.get(&outlet.node)?);
            let (left, right) = (self.candidate.model.outlet_fact(outlet).ok()?, &other.outputs.get(outlet.slot)?.fact);
            let is_known = convert::element_type(left.datum_type).is_some();
            Some(is_known && left.datum_type == right.datum_type && left.shape == right.shape)
        };
        pair().unwrap_or(false)
    }

    /// Keeps the values of these tensors of each run until the next one.
    pub(crate) fn watch<'n>(&mut self, tensors: impl Iterator<Item = &'n str>) {
        let nodes: Vec<_> = tensors.filter_map(|it| self.candidate.outlet(it)).map(|it| it.node).collect();
        self.watched.extend(nodes.into_iter().map(|it| (it, None)));
    }

    /// Returns the row of the last run at which a tensor differs most where its node is fed the reference's values, and by how
    /// much; infinitely where a value is finite in one model alone. Where rows are not its first axis, it is the first row.
    pub(crate) fn worst_row(&self, tensor: &str) -> TractResult<(usize, f64)> {
        let (outlet, watched) = self.watched(tensor)?;
        let reference = watched.reference.as_ref().and_then(|it| it.get(outlet.slot));
        let reference = reference.with_context(|| format!("`{tensor}` has no counterpart"))?;
        let (left, right) = (reference.cast_to::<f64>()?, watched.fed[outlet.slot].cast_to::<f64>()?);
        let (left, right) = (left.to_plain_array_view::<f64>()?, right.to_plain_array_view::<f64>()?);
        let per_row = if self.is_by_rows(reference) { left.len() / self.rows() } else { left.len() };
        let mut res = (0, 0.0);
        for (at, (left, right)) in left.iter().zip(right).enumerate() {
            let row = at.checked_div(per_row).unwrap_or(0);
            let distance = distance(*left, *right);
            if row < self.n_rows && distance > res.1 {
                res = (row, distance);
            }
        }
        Ok(res)
    }

    /// Returns whether rows are the first axis of each of the tensors.
    pub(crate) fn are_by_rows<'n>(&self, mut tensors: impl Iterator<Item = &'n str>) -> TractResult<bool> {
        tensors.try_fold(true, |all, it| {
            let (outlet, watched) = self.watched(it)?;
            Ok(all && self.is_by_rows(&watched.own[outlet.slot]))
        })
    }

    /// Returns a value of the last run, all of it or one row.
    pub(crate) fn value(&self, tensor: &str, whose: Whose, row: Option<usize>) -> TractResult<HostTensor> {
        let (outlet, watched) = self.watched(tensor)?;
        let values = match whose {
            Whose::Candidate => &watched.own,
            Whose::Fed => &watched.fed,
            Whose::Reference => watched.reference.as_ref().with_context(|| format!("`{tensor}` has no counterpart"))?,
        };
        let value = values.get(outlet.slot).with_context(|| format!("`{tensor}` has no value"))?;
        match row {
            Some(row) => convert::from_tract(&value.slice(0, row, row + 1)?),
            None => convert::from_tract(value),
        }
    }

    /// Returns what is known of a tensor that has these dimensions.
    pub(crate) fn spec(&self, tensor: &str, shape: Vec<Option<usize>>) -> TractResult<TensorSpec> {
        let outlet = self.candidate.outlet(tensor).with_context(|| format!("there is no tensor `{tensor}`"))?;
        let dtype = convert::element_type(self.candidate.model.outlet_fact(outlet)?.datum_type);
        let dtype: ElementType = dtype.with_context(|| format!("`{tensor}` has a type that is not written"))?;
        Ok(TensorSpec { name: tensor.to_owned(), dtype, shape })
    }

    fn watched(&self, tensor: &str) -> TractResult<(OutletId, &Watched)> {
        let outlet = self.candidate.outlet(tensor).with_context(|| format!("there is no tensor `{tensor}`"))?;
        let watched = self.watched.get(&outlet.node).and_then(Option::as_ref);
        Ok((outlet, watched.with_context(|| format!("`{tensor}` was not looked at"))?))
    }

    fn is_by_rows(&self, value: &TValue) -> bool {
        value.shape().first() == Some(&self.rows())
    }
}

fn distance(reference: f64, candidate: f64) -> f64 {
    match (candidate - reference).abs() {
        _ if reference == candidate || (reference.is_nan() && candidate.is_nan()) => 0.0,
        it if it.is_finite() => it,
        _ => f64::INFINITY,
    }
}
