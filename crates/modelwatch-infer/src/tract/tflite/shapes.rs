//! Computes what a graph computes from shapes alone.
//!
//! Exporters flatten and reshape a dynamic batch with a few integers that they take from a shape.
//! Once the batch is known so are they, and the operators that computed them go.

use tract_tflite::tflite::{BuiltinOperator, Operator, SubGraph, TensorType};

/// Integers that are known before the model runs: a scalar or a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Integers {
    pub(super) is_scalar: bool,
    pub(super) values: Vec<i64>,
}

/// Longer lists are no shapes.
const MAX_LEN: usize = 64;

impl Integers {
    pub(super) fn list(values: Vec<i64>) -> Self {
        Self { is_scalar: false, values }
    }

    fn scalar(value: i64) -> Self {
        Self { is_scalar: true, values: vec![value] }
    }

    /// Reads a tensor's bytes.
    pub(super) fn read(dtype: TensorType, rank: usize, bytes: &[u8]) -> Option<Self> {
        let values: Vec<i64> = match dtype {
            TensorType::INT32 => {
                bytes.as_chunks().0.iter().take(MAX_LEN + 1).map(|it| i64::from(i32::from_le_bytes(*it))).collect()
            }
            TensorType::INT64 => {
                bytes.as_chunks().0.iter().take(MAX_LEN + 1).map(|it| i64::from_le_bytes(*it)).collect()
            }
            _ => return None,
        };
        let is_small = rank < 2 && values.len() <= MAX_LEN && (rank == 1 || values.len() == 1);
        is_small.then_some(Self { is_scalar: rank == 0, values })
    }

    /// Returns the bytes as a tensor of that type.
    pub(super) fn write(&self, dtype: TensorType) -> Option<Vec<u8>> {
        match dtype {
            TensorType::INT32 => {
                let narrow = self.values.iter().map(|&it| i32::try_from(it).map(i32::to_le_bytes));
                Some(narrow.collect::<Result<Vec<_>, _>>().ok()?.concat())
            }
            TensorType::INT64 => Some(self.values.iter().flat_map(|it| it.to_le_bytes()).collect()),
            _ => None,
        }
    }

    pub(super) fn shape(&self) -> Vec<i32> {
        if self.is_scalar { vec![] } else { vec![self.values.len() as i32] }
    }
}

/// Returns whether an operator can be computed here, if all its inputs are known.
pub(super) fn is_foldable(operator: BuiltinOperator) -> bool {
    matches!(
        operator,
        BuiltinOperator::STRIDED_SLICE
            | BuiltinOperator::PACK
            | BuiltinOperator::CONCATENATION
            | BuiltinOperator::GATHER
            | BuiltinOperator::REDUCE_PROD
            | BuiltinOperator::ADD
            | BuiltinOperator::SUB
            | BuiltinOperator::MUL
            | BuiltinOperator::CAST
            | BuiltinOperator::RESHAPE
            | BuiltinOperator::SQUEEZE
            | BuiltinOperator::EXPAND_DIMS
    )
}

/// Returns what the operator computes from its inputs, or nothing if that takes more than scalars and lists.
pub(super) fn fold(
    operator: BuiltinOperator,
    node: Operator<'_>,
    graph: SubGraph<'_>,
    inputs: &[&Integers],
) -> Option<Integers> {
    let res = match (operator, inputs) {
        (BuiltinOperator::STRIDED_SLICE, [data, begin, end, stride]) => strided_slice(node, data, begin, end, stride)?,
        (BuiltinOperator::PACK, _) => {
            let axis = node.builtin_options_as_pack_options()?.axis();
            let are_scalars = inputs.iter().all(|it| it.is_scalar) && axis == 0;
            are_scalars.then(|| Integers::list(inputs.iter().flat_map(|it| it.values.clone()).collect()))?
        }
        (BuiltinOperator::CONCATENATION, _) => {
            let are_lists = inputs.iter().all(|it| !it.is_scalar);
            are_lists.then(|| Integers::list(inputs.iter().flat_map(|it| it.values.clone()).collect()))?
        }
        (BuiltinOperator::GATHER, [data, indices]) if !data.is_scalar => {
            let at = |&it: &i64| data.values.get(usize::try_from(it).ok()?).copied();
            let values = indices.values.iter().map(at).collect::<Option<_>>()?;
            Integers { is_scalar: indices.is_scalar, values }
        }
        (BuiltinOperator::REDUCE_PROD, [data, _]) if !data.is_scalar => {
            let product = data.values.iter().try_fold(1_i64, |product, &it| product.checked_mul(it))?;
            let keeps = node.builtin_options_as_reducer_options()?.keep_dims();
            if keeps { Integers::list(vec![product]) } else { Integers::scalar(product) }
        }
        (BuiltinOperator::ADD, [a, b]) => pairwise(a, b, i64::checked_add)?,
        (BuiltinOperator::SUB, [a, b]) => pairwise(a, b, i64::checked_sub)?,
        (BuiltinOperator::MUL, [a, b]) => pairwise(a, b, i64::checked_mul)?,
        (BuiltinOperator::CAST, [data]) => (*data).clone(),
        (BuiltinOperator::RESHAPE | BuiltinOperator::SQUEEZE | BuiltinOperator::EXPAND_DIMS, [data, ..]) => {
            let output = node.outputs().filter(|it| !it.is_empty())?.get(0);
            let output = graph.tensors()?.iter().nth(usize::try_from(output).ok()?)?;
            let rank = output.shape().map_or(0, |it| it.len());
            let is_possible = rank == 1 || (rank == 0 && data.values.len() == 1);
            is_possible.then(|| Integers { is_scalar: rank == 0, values: data.values.clone() })?
        }
        _ => return None,
    };
    (res.values.len() <= MAX_LEN).then_some(res)
}

/// A slice of a list. In the masks only the first bit can mean something.
fn strided_slice(
    node: Operator<'_>,
    data: &Integers,
    begin: &Integers,
    end: &Integers,
    stride: &Integers,
) -> Option<Integers> {
    let options = node.builtin_options_as_strided_slice_options()?;
    let has = |mask: i32| mask & 1 != 0;
    let ([begin], [end], [stride]) = (&*begin.values, &*end.values, &*stride.values) else {
        return None;
    };
    if data.is_scalar || has(options.ellipsis_mask()) || has(options.new_axis_mask()) {
        return None;
    }
    let len = i64::try_from(data.values.len()).ok()?;
    let from_start = |it: i64| if it < 0 { it.saturating_add(len) } else { it };
    let at = |it: i64| data.values.get(usize::try_from(it).ok()?).copied();
    if has(options.shrink_axis_mask()) {
        return at(from_start(*begin)).map(Integers::scalar);
    }
    if *stride < 1 {
        return None;
    }
    let begin = if has(options.begin_mask()) { 0 } else { from_start(*begin).clamp(0, len) };
    let end = if has(options.end_mask()) { len } else { from_start(*end).clamp(0, len) };
    let step = usize::try_from(*stride).ok()?;
    Some(Integers::list((begin..end).step_by(step).filter_map(at).collect()))
}

fn pairwise(a: &Integers, b: &Integers, f: fn(i64, i64) -> Option<i64>) -> Option<Integers> {
    let (na, nb) = (a.values.len(), b.values.len());
    if na != nb && na != 1 && nb != 1 {
        return None;
    }
    let at = |it: &Integers, idx: usize| it.values[if it.values.len() == 1 { 0 } else { idx }];
    let n = if na == 1 { nb } else { na };
    let values = (0..n).map(|idx| f(at(a, idx), at(b, idx))).collect::<Option<_>>()?;
    Some(Integers { is_scalar: a.is_scalar && b.is_scalar, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_and_written_in_their_type() {
        let bytes = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let list = Integers::read(TensorType::INT32, 1, &bytes).unwrap();
        assert_eq!(list, Integers::list(vec![1, -1]));
        assert_eq!((list.write(TensorType::INT32).unwrap(), list.shape()), (bytes.to_vec(), vec![2]));
        let scalar = Integers::read(TensorType::INT64, 0, &7_i64.to_le_bytes()).unwrap();
        assert_eq!((scalar.clone(), scalar.shape()), (Integers::scalar(7), vec![]));
    }

    #[test]
    fn what_is_no_shape_is_left_alone() {
        assert_eq!(Integers::read(TensorType::FLOAT32, 1, &[0; 8]), None);
        assert_eq!(Integers::read(TensorType::INT32, 2, &[0; 8]), None);
        assert_eq!(Integers::read(TensorType::INT32, 0, &[0; 8]), None);
        assert_eq!(Integers::read(TensorType::INT32, 1, &[0; 4 * (MAX_LEN + 1)]), None);
        assert_eq!(Integers::list(vec![1 << 40]).write(TensorType::INT32), None);
    }

    #[test]
    fn arithmetic_spreads_a_single_number_and_never_overflows() {
        let list = Integers::list(vec![2, 3]);
        assert_eq!(pairwise(&list, &Integers::scalar(4), i64::checked_mul), Some(Integers::list(vec![8, 12])));
        assert_eq!(pairwise(&list, &Integers::list(vec![1, 2, 3]), i64::checked_add), None);
        assert_eq!(pairwise(&list, &Integers::scalar(i64::MAX), i64::checked_add), None);
    }
}
