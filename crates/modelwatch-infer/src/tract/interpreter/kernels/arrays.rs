//! What several kernels do with arrays.

use tract_onnx::{
    prelude::{
        Datum, Tensor, TractResult,
        tract_ndarray::{ArrayD, ArrayViewD, Axis, Ix2, IxDyn, Zip},
    },
    tract_hir::internal::{bail, ensure},
};

use crate::tract::interpreter::value::checked_len;

/// Returns an array of one value; sizes that no model needs are an error.
pub(super) fn full<T: Clone>(shape: &[usize], value: T) -> TractResult<ArrayD<T>> {
    checked_len(shape)?;
    Ok(ArrayD::from_elem(shape, value))
}

/// Returns the shape that both broadcast to, as NumPy says.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> TractResult<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], idx: usize| (idx + shape.len()).checked_sub(rank).map_or(1, |it| shape[it]);
    let mut res = Vec::with_capacity(rank);
    for idx in 0..rank {
        res.push(match (at(a, idx), at(b, idx)) {
            (a, b) if a == b || b == 1 => a,
            (1, b) => b,
            _ => bail!("shapes {a:?} and {b:?} do not broadcast"),
        });
    }
    checked_len(&res)?;
    Ok(res)
}

/// Returns `array` in the larger `shape`.
pub(super) fn broadcast<'a, T>(array: &'a ArrayD<T>, shape: &[usize]) -> TractResult<ArrayViewD<'a, T>> {
    match array.broadcast(shape) {
        Some(it) => Ok(it),
        None => bail!("shape {:?} does not broadcast to {shape:?}", array.shape()),
    }
}

/// Returns `f` of each pair of elements, broadcasting.
pub(super) fn zip<A, B, R>(a: &ArrayD<A>, b: &ArrayD<B>, f: impl Fn(&A, &B) -> R) -> TractResult<ArrayD<R>> {
    let shape = broadcast_shape(a.shape(), b.shape())?;
    Ok(Zip::from(broadcast(a, &shape)?).and(broadcast(b, &shape)?).map_collect(f))
}

/// Returns the product of stacks of matrices, as NumPy's `matmul`.
pub(super) fn matmul(a: &ArrayD<f64>, b: &ArrayD<f64>) -> TractResult<ArrayD<f64>> {
    ensure!(a.ndim() > 0 && b.ndim() > 0, "a scalar is no matrix");
    let (is_row, is_column) = (a.ndim() == 1, b.ndim() == 1);
    let a = if is_row { a.clone().insert_axis(Axis(0)) } else { a.clone() };
    let b = if is_column { b.clone().insert_axis(Axis(1)) } else { b.clone() };
    let (a_stack, a_matrix) = a.shape().split_at(a.ndim() - 2);
    let (b_stack, b_matrix) = b.shape().split_at(b.ndim() - 2);
    ensure!(a_matrix[1] == b_matrix[0], "matrices {a_matrix:?} and {b_matrix:?} do not multiply");
    let stack = broadcast_shape(a_stack, b_stack)?;
    let shape = [&*stack, &[a_matrix[0], b_matrix[1]]].concat();
    let mut res = full(&shape, 0.0)?;
    let a = broadcast(&a, &[&*stack, a_matrix].concat())?;
    let b = broadcast(&b, &[&*stack, b_matrix].concat())?;
    let n: usize = stack.iter().product();
    for idx in 0..n {
        let (mut a, mut b, mut res) = (a.view(), b.view(), res.view_mut());
        for at in unravel(idx, &stack) {
            a.index_axis_inplace(Axis(0), at);
            b.index_axis_inplace(Axis(0), at);
            res.index_axis_inplace(Axis(0), at);
        }
        let product = a.into_dimensionality::<Ix2>()?.dot(&b.into_dimensionality::<Ix2>()?);
        res.into_dimensionality::<Ix2>()?.assign(&product);
    }
    if is_column {
        let axis = res.ndim() - 1;
        res = res.remove_axis(Axis(axis));
    }
    if is_row {
        let axis = res.ndim() - if is_column { 1 } else { 2 };
        res = res.remove_axis(Axis(axis));
    }
    Ok(res)
}

/// Returns the position of element `idx` in row-major order.
pub(super) fn unravel(mut idx: usize, shape: &[usize]) -> Vec<usize> {
    let mut res = vec![0; shape.len()];
    for (at, &size) in res.iter_mut().zip(shape).rev() {
        *at = idx % size.max(1);
        idx /= size.max(1);
    }
    res
}

/// Returns `array` with another shape of the same size, row-major.
pub(super) fn reshape<T: Clone>(array: ArrayD<T>, shape: &[usize]) -> TractResult<ArrayD<T>> {
    match array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(shape)) {
        Ok(it) => Ok(it),
        Err(_) => bail!("a tensor cannot take the shape {shape:?}"),
    }
}

/// Returns the index along one axis, and that axis gone.
pub(super) fn at(tensor: &Tensor, axis: usize, idx: usize) -> TractResult<Tensor> {
    let mut res = tensor.slice(axis, idx, idx + 1)?;
    res.remove_axis(axis)?;
    Ok(res)
}

/// Returns tensors of one shape side by side along a new axis.
pub(super) fn stack(tensors: &[impl std::borrow::Borrow<Tensor>], axis: usize) -> TractResult<Tensor> {
    let mut parts = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let mut part = tensor.borrow().clone();
        ensure!(axis <= part.rank(), "axis {axis} does not exist");
        part.insert_axis(axis)?;
        parts.push(part);
    }
    concat(&parts, axis)
}

/// Returns tensors side by side along an axis they have.
pub(super) fn concat(tensors: &[Tensor], axis: usize) -> TractResult<Tensor> {
    let Some(first) = tensors.first() else {
        bail!("there is nothing to concatenate");
    };
    for it in tensors {
        let fits = it.rank() == first.rank()
            && it.datum_type() == first.datum_type()
            && (0..it.rank()).all(|idx| idx == axis || it.shape()[idx] == first.shape()[idx]);
        ensure!(fits && axis < it.rank(), "{:?} and {:?} do not fit side by side", first.shape(), it.shape());
    }
    Tensor::stack_tensors(axis, tensors)
}

/// Returns the elements in row-major order.
pub(super) fn elements<T: Datum + Clone>(tensor: &Tensor) -> TractResult<Vec<T>> {
    Ok(tensor.to_plain_array_view::<T>()?.iter().cloned().collect())
}
