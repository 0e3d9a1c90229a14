//! Columns of a record batch into model inputs.

use std::borrow::Cow;

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, GenericListArray, LargeStringArray, OffsetSizeTrait,
    RecordBatch, StringArray, cast::AsArray, types,
};
use arrow_schema::{DataType, Field};
use serde_json::Value;

use crate::{
    error::InferError,
    spec::{ElementType, TensorSpec},
    tensor::{HostTensor, Values},
};

/// Returns the tensor for one model input, `[rows, …]` in the model's element type.
///
/// The column is the one named after the input: numbers for inputs with one element a row, lists (fixed-size, nested, or of equal
/// length) for others.
/// Fails if there is no such column, if it has nulls, if a value does not exist in the input's type, or if the row shapes disagree.
pub(crate) fn tensor_for(batch: &RecordBatch, spec: &TensorSpec) -> Result<HostTensor, InferError> {
    let schema = batch.schema_ref();
    let (idx, field) = schema.column_with_name(&spec.name).ok_or_else(|| InferError::MissingInput {
        input: spec.name.clone(),
        columns: schema.fields().iter().map(|it| it.name().clone()).collect(),
    })?;
    let flat = flatten(batch.column(idx), spec)?;
    let n_rows = batch.num_rows();
    let row_shape = row_shape(spec, declared_shape(field, &flat.row_shape))?;
    let values = convert(&flat.values, spec)?;
    if spec.dtype == ElementType::F16 {
        fits_half(&values, spec)?;
    }
    let mut shape = vec![n_rows];
    shape.extend(row_shape);
    Ok(HostTensor { shape, values })
}

struct Flat {
    values: ArrayRef,
    row_shape: Vec<usize>,
}

fn flatten(column: &ArrayRef, spec: &TensorSpec) -> Result<Flat, InferError> {
    let n_rows = column.len();
    let mut values = column.clone();
    let mut row_shape = Vec::new();
    loop {
        if values.null_count() > 0 {
            let element = (0..values.len()).find(|&it| values.is_null(it)).unwrap_or(0);
            let per_row = values.len().checked_div(n_rows).unwrap_or(1).max(1);
            return Err(InferError::NullInput { input: spec.name.clone(), row: element / per_row });
        }
        let (next, len) = if let Some(list) = values.as_any().downcast_ref::<FixedSizeListArray>() {
            (list.values().clone(), usize::try_from(list.value_length()).unwrap_or(0))
        } else if let Some(list) = values.as_list_opt::<i32>() {
            equal_lists(list, spec)?
        } else if let Some(list) = values.as_list_opt::<i64>() {
            equal_lists(list, spec)?
        } else {
            return Ok(Flat { values, row_shape });
        };
        row_shape.push(len);
        values = next;
    }
}

fn equal_lists<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    spec: &TensorSpec,
) -> Result<(ArrayRef, usize), InferError> {
    let offsets = list.value_offsets();
    let len = |it: &[O]| (it[1] - it[0]).as_usize();
    let first = offsets.windows(2).next().map_or(0, len);
    if let Some(other) = offsets.windows(2).map(len).find(|&it| it != first) {
        return Err(InferError::Shape {
            input: spec.name.clone(),
            wanted: show(spec.shape.iter().skip(1).copied()),
            got: format!("[{first}] in one row and [{other}] in another"),
        });
    }
    let start = offsets.first().map_or(0, |it| it.as_usize());
    Ok((list.values().slice(start, first * list.len()), first))
}

/// Returns the shape that `arrow.fixed_shape_tensor` metadata declares if it agrees with the lists, else the lists' own.
fn declared_shape(field: &Field, lists: &[usize]) -> Vec<usize> {
    let metadata = field.metadata();
    let is_tensor = metadata.get("ARROW:extension:name").is_some_and(|it| it == "arrow.fixed_shape_tensor");
    let parsed = || -> Option<Vec<usize>> {
        let json: Value = serde_json::from_str(metadata.get("ARROW:extension:metadata")?).ok()?;
        json.get("shape")?.as_array()?.iter().map(|it| usize::try_from(it.as_u64()?).ok()).collect()
    };
    match is_tensor.then(parsed).flatten() {
        Some(shape) if product(&shape).is_some() && product(&shape) == product(lists) => shape,
        _ => lists.to_vec(),
    }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |acc, &it| acc.checked_mul(it))
}

/// Returns the shape in which rows of the shape `got` are given to the model.
///
/// Rows along one axis take the model's shape, all rows that of a model that wants them flat, and so do rows that differ from it by axes
/// of length 1 alone. Others that have as many elements do not: what lies along one axis would be read along another, as where images
/// have their channels first and the model wants them last.
fn row_shape(spec: &TensorSpec, got: Vec<usize>) -> Result<Vec<usize>, InferError> {
    let wanted = spec.shape.get(1..).unwrap_or_default();
    let is_like = |wanted: &[Option<usize>], dims: &[usize]| {
        dims.len() == wanted.len() && wanted.iter().zip(dims).all(|(want, it)| want.is_none_or(|w| w == *it))
    };
    let long: Vec<usize> = got.iter().copied().filter(|it| *it != 1).collect();
    let mut wanted_long: Vec<_> = wanted.iter().copied().filter(|it| *it != Some(1)).collect();
    let res = if is_like(wanted, &got) {
        Some(got.clone())
    } else if long.len() < 2 || wanted_long.len() < 2 {
        from_flat(wanted, product(&got))
    } else {
        // Axes that are left open may be of length 1, too: all of them, or it could not be told which.
        let are_open_short = long.len() < wanted_long.len();
        if are_open_short {
            wanted_long.retain(Option::is_some);
        }
        let mut rest = long.iter().copied();
        let mut length = |want: &Option<usize>| match want {
            Some(1) => Some(1),
            None if are_open_short => Some(1),
            _ => rest.next(),
        };
        is_like(&wanted_long, &long).then(|| wanted.iter().filter_map(&mut length).collect())
    };
    res.ok_or_else(|| InferError::Shape {
        input: spec.name.clone(),
        wanted: show(wanted.iter().copied()),
        got: show(got.into_iter().map(Some)),
    })
}

/// Returns the shape with so many elements, where no more than one axis is left open.
fn from_flat(wanted: &[Option<usize>], n_elements: Option<usize>) -> Option<Vec<usize>> {
    let n = n_elements?;
    let fixed = wanted.iter().flatten().try_fold(1usize, |acc, &it| acc.checked_mul(it))?;
    let fits = match wanted.iter().filter(|it| it.is_none()).count() {
        0 => n == fixed,
        1 => fixed > 0 && n.is_multiple_of(fixed),
        _ => false,
    };
    fits.then(|| wanted.iter().map(|it| it.unwrap_or(n / fixed)).collect())
}

fn show(dims: impl Iterator<Item = Option<usize>>) -> String {
    let dims: Vec<_> = dims.map(|it| it.map_or_else(|| "?".to_string(), |it| it.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

/// Numbers widened so that no value is lost on the way.
enum Wide<'a> {
    Ints(Vec<i128>),
    Floats(Cow<'a, [f64]>),
}

fn convert(array: &ArrayRef, spec: &TensorSpec) -> Result<Values, InferError> {
    if let Some(values) = same_type(array, spec.dtype) {
        return Ok(values);
    }
    let wide = widen(array).filter(|_| spec.dtype != ElementType::Utf8).ok_or_else(|| InferError::ColumnType {
        input: spec.name.clone(),
        data_type: array.data_type().to_string(),
        wanted: spec.dtype,
    })?;
    let misfit = |element: usize, value: String| InferError::Inexact {
        input: spec.name.clone(),
        element,
        value,
        wanted: spec.dtype,
    };
    macro_rules! ints {
        ($variant:ident, $ty:ty) => {
            Values::$variant(match wide {
                Wide::Ints(it) => {
                    let one = |(idx, it): (usize, i128)| <$ty>::try_from(it).map_err(|_| misfit(idx, it.to_string()));
                    it.into_iter().enumerate().map(one).collect::<Result<_, _>>()?
                }
                Wide::Floats(it) => {
                    let one = |(idx, &it): (usize, &f64)| {
                        // Every f64 beyond 2^96 is out of range of the target anyway, and the cast saturates.
                        let whole = it as i128;
                        <$ty>::try_from(whole)
                            .ok()
                            .filter(|_| whole as f64 == it)
                            .ok_or_else(|| misfit(idx, format!("{it:?}")))
                    };
                    it.iter().enumerate().map(one).collect::<Result<_, _>>()?
                }
            })
        };
    }
    Ok(match spec.dtype {
        ElementType::F64 => Values::F64(match wide {
            Wide::Ints(it) => it.into_iter().map(|it| it as f64).collect(),
            Wide::Floats(it) => it.into_owned().into(),
        }),
        ElementType::F32 | ElementType::F16 => Values::F32(match wide {
            Wide::Ints(it) => it.into_iter().map(|it| it as f32).collect(),
            Wide::Floats(it) => {
                // One loop narrows and one looks, neither of which ends early for a number that fits, and then one finds what does not.
                let res: Vec<f32> = it.iter().map(|&it| it as f32).collect();
                let is_lost = |(narrow, it): (&f32, &f64)| narrow.is_infinite() & it.is_finite();
                if res.iter().zip(&*it).fold(false, |lost, it| lost | is_lost(it))
                    && let Some(idx) = res.iter().zip(&*it).position(is_lost)
                {
                    return Err(misfit(idx, format!("{:?}", it[idx])));
                }
                res.into()
            }
        }),
        ElementType::Bool => {
            let ints = TensorSpec { dtype: ElementType::U8, ..spec.clone() };
            let Values::U8(bits) = convert(array, &ints)? else {
                return Err(misfit(0, "?".to_string()));
            };
            let one = |(idx, it): (usize, u8)| {
                if it <= 1 { Ok(it == 1) } else { Err(misfit(idx, it.to_string())) }
            };
            Values::Bool(bits.iter().copied().enumerate().map(one).collect::<Result<_, _>>()?)
        }
        ElementType::I8 => ints!(I8, i8),
        ElementType::I16 => ints!(I16, i16),
        ElementType::I32 => ints!(I32, i32),
        ElementType::I64 => ints!(I64, i64),
        ElementType::U8 => ints!(U8, u8),
        ElementType::U16 => ints!(U16, u16),
        ElementType::U32 => ints!(U32, u32),
        ElementType::U64 => ints!(U64, u64),
        ElementType::Utf8 => return Err(misfit(0, "?".to_string())),
    })
}

/// Half precision travels as single precision, of which it has a part.
fn fits_half(values: &Values, spec: &TensorSpec) -> Result<(), InferError> {
    /// From here on, numbers are nearer to the next power of two, which half precision has not.
    const BEYOND: f32 = 65_520.0;
    let Values::F32(values) = values else { return Ok(()) };
    match values.iter().position(|it| it.is_finite() && it.abs() >= BEYOND) {
        None => Ok(()),
        Some(element) => Err(InferError::Inexact {
            input: spec.name.clone(),
            element,
            value: format!("{:?}", values[element]),
            wanted: spec.dtype,
        }),
    }
}

fn same_type(array: &ArrayRef, dtype: ElementType) -> Option<Values> {
    use ElementType as E;
    macro_rules! share {
        ($variant:ident, $ty:ident) => {
            array.as_primitive_opt::<types::$ty>().map(|it| Values::$variant(it.values().clone()))
        };
    }
    match dtype {
        E::I8 => share!(I8, Int8Type),
        E::I16 => share!(I16, Int16Type),
        E::I32 => share!(I32, Int32Type),
        E::I64 => share!(I64, Int64Type),
        E::U8 => share!(U8, UInt8Type),
        E::U16 => share!(U16, UInt16Type),
        E::U32 => share!(U32, UInt32Type),
        E::U64 => share!(U64, UInt64Type),
        E::F32 | E::F16 => share!(F32, Float32Type),
        E::F64 => share!(F64, Float64Type),
        E::Bool => array.as_boolean_opt().map(|it| Values::Bool(it.values().iter().collect())),
        E::Utf8 => {
            let any = array.as_any();
            if let Some(it) = any.downcast_ref::<StringArray>() {
                Some(Values::Utf8(it.iter().flatten().map(str::to_string).collect()))
            } else {
                any.downcast_ref::<LargeStringArray>()
                    .map(|it| Values::Utf8(it.iter().flatten().map(str::to_string).collect()))
            }
        }
    }
}

fn widen(array: &ArrayRef) -> Option<Wide<'_>> {
    macro_rules! ints {
        ($ty:ident) => {
            Some(Wide::Ints(
                array.as_primitive_opt::<types::$ty>()?.values().iter().map(|&it| i128::from(it)).collect(),
            ))
        };
    }
    match array.data_type() {
        DataType::Int8 => ints!(Int8Type),
        DataType::Int16 => ints!(Int16Type),
        DataType::Int32 => ints!(Int32Type),
        DataType::Int64 => ints!(Int64Type),
        DataType::UInt8 => ints!(UInt8Type),
        DataType::UInt16 => ints!(UInt16Type),
        DataType::UInt32 => ints!(UInt32Type),
        DataType::UInt64 => ints!(UInt64Type),
        DataType::Boolean => {
            let bits: &BooleanArray = array.as_boolean_opt()?;
            Some(Wide::Ints(bits.values().iter().map(i128::from).collect()))
        }
        DataType::Float16 => Some(Wide::Floats(
            array.as_primitive_opt::<types::Float16Type>()?.values().iter().map(|it| it.to_f64()).collect(),
        )),
        DataType::Float32 => Some(Wide::Floats(
            array.as_primitive_opt::<types::Float32Type>()?.values().iter().map(|&it| f64::from(it)).collect(),
        )),
        DataType::Float64 => {
            Some(Wide::Floats(Cow::Borrowed(&array.as_primitive_opt::<types::Float64Type>()?.values()[..])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Float32Array;

    use super::*;

    #[test]
    fn numbers_of_the_type_of_the_model_are_those_of_the_column() {
        let column = Float32Array::from(vec![1.0, 2.0, 3.0]);
        let batch = RecordBatch::try_from_iter([("x", Arc::new(column.clone()) as ArrayRef)]).unwrap();
        let spec = TensorSpec { name: "x".to_owned(), dtype: ElementType::F32, shape: vec![None] };
        let Values::F32(values) = tensor_for(&batch, &spec).unwrap().values else { panic!() };
        assert!(values.ptr_eq(column.values()));
    }

    #[test]
    fn a_number_that_half_precision_has_not_is_refused() {
        let given = |number: f32| {
            let column: ArrayRef = Arc::new(Float32Array::from(vec![1.0, number]));
            let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
            tensor_for(&batch, &TensorSpec { name: "x".to_owned(), dtype: ElementType::F16, shape: vec![None] })
        };
        for number in [65_519.0, -65_504.0, f32::INFINITY, f32::NAN] {
            assert!(given(number).is_ok(), "{number}");
        }
        let error = given(-65_520.0).unwrap_err().to_string();
        assert!(error.contains("-65520.0") && error.contains("f16"), "{error}");
    }

    #[test]
    fn rows_take_the_shape_of_the_model_only_where_no_axis_is_read_as_another() {
        type Case = (&'static [Option<usize>], &'static [usize], Option<&'static [usize]>);
        const SQUARE: &[Option<usize>] = &[Some(8), Some(8), Some(1)];
        let cases: [Case; 17] = [
            (SQUARE, &[8, 8, 1], Some(&[8, 8, 1])),
            (SQUARE, &[64], Some(&[8, 8, 1])),
            (SQUARE, &[1, 64], Some(&[8, 8, 1])),
            (SQUARE, &[1, 8, 8], Some(&[8, 8, 1])),
            (SQUARE, &[4, 16], None),
            (SQUARE, &[2, 4, 8], None),
            (SQUARE, &[63], None),
            (&[Some(32), Some(32), Some(3)], &[3, 32, 32], None),
            (&[Some(64)], &[8, 8], Some(&[64])),
            (&[Some(8), None], &[8, 1, 1], Some(&[8, 1])),
            (&[Some(8), Some(4), None], &[8, 4], Some(&[8, 4, 1])),
            (&[None, Some(8), None, Some(4)], &[8, 4], Some(&[1, 8, 1, 4])),
            (&[None, Some(8), None, Some(4)], &[2, 8, 4], None),
            (&[None, Some(1)], &[8], Some(&[8, 1])),
            (&[None, None], &[8], None),
            (&[None, None], &[2, 4], Some(&[2, 4])),
            (&[], &[], Some(&[])),
        ];
        for (wanted, got, expected) in cases {
            let shape = [&[None], wanted].concat();
            let spec = TensorSpec { name: "x".to_owned(), dtype: ElementType::F32, shape };
            let res = row_shape(&spec, got.to_vec()).ok();
            assert_eq!(res.as_deref(), expected, "{got:?} for {wanted:?}");
        }
    }
}
