//! What is known of a value.

use tract_onnx::{
    pb::{TensorProto, tensor_proto::DataLocation},
    prelude::{DatumType, Tensor},
};

use crate::tract::preflight::constants::element_bytes;

/// The most numbers that are followed; shapes have fewer.
pub(super) const MAX_NUMBERS: usize = 1 << 12;

/// What is known of a value before it is computed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tract) struct Known {
    /// The bytes of an element, at least.
    pub(in crate::tract) element_bytes: u64,
    /// Every dimension that is known, if the rank is.
    pub(in crate::tract) shape: Option<Vec<Option<u64>>>,
    /// The elements, if they are few and known. Integers beyond 2^53 are nearly themselves.
    pub(in crate::tract) numbers: Option<Vec<f64>>,
    /// It is the same for all inputs of the model.
    pub(in crate::tract) is_constant: bool,
}

impl Known {
    pub(in crate::tract) fn anything() -> Self {
        Self { element_bytes: 1, shape: None, numbers: None, is_constant: false }
    }

    pub(super) fn of_shape(element_bytes: u64, shape: Vec<Option<u64>>) -> Self {
        Self { element_bytes, shape: Some(shape), numbers: None, is_constant: false }
    }

    pub(super) fn of_numbers(element_bytes: u64, shape: Vec<u64>, numbers: Vec<f64>) -> Self {
        let numbers = Some(numbers).filter(|it| it.len() <= MAX_NUMBERS);
        Self { element_bytes, shape: Some(shape.into_iter().map(Some).collect()), numbers, is_constant: false }
    }

    /// Returns what the file says of a constant, whose data was looked at.
    pub(in crate::tract::preflight) fn of_tensor(tensor: &TensorProto) -> Self {
        let element_bytes = element_bytes(tensor.data_type);
        let shape: Vec<u64> = tensor.dims.iter().map(|&it| u64::try_from(it).unwrap_or(0)).collect();
        let mut res = match numbers(tensor) {
            Some(numbers) if numbers.len() as u64 == shape.iter().product::<u64>() => {
                Self::of_numbers(element_bytes, shape, numbers)
            }
            _ => Self::of_shape(element_bytes, shape.into_iter().map(Some).collect()),
        };
        res.is_constant = true;
        res
    }

    /// Returns what is known of a value that is there.
    pub(in crate::tract) fn of_value(tensor: &Tensor) -> Self {
        let shape = tensor.shape().iter().map(|&it| it as u64).collect();
        let element_bytes = tensor.datum_type().size_of() as u64;
        let is_followed = tensor.len() <= MAX_NUMBERS
            && matches!(tensor.datum_type(), DatumType::I64 | DatumType::I32 | DatumType::F32 | DatumType::F64);
        let numbers = tensor.cast_to::<f64>().ok().filter(|_| is_followed);
        let numbers = numbers.and_then(|it| Some(it.to_plain_array_view::<f64>().ok()?.iter().copied().collect()));
        match numbers {
            Some(numbers) => Self::of_numbers(element_bytes, shape, numbers),
            None => Self::of_shape(element_bytes, shape.into_iter().map(Some).collect()),
        }
    }

    /// Returns the numbers as dimensions, if they are all known and such.
    pub(super) fn dims(&self) -> Option<Vec<u64>> {
        self.numbers.as_ref()?.iter().map(|&it| (it >= 0.0).then_some(it as u64)).collect()
    }

    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        Some(self.numbers.as_ref()?.iter().map(|&it| it as i64).collect())
    }

    /// Returns the bytes that the value takes at least.
    pub(in crate::tract) fn min_bytes(&self) -> u64 {
        let Some(shape) = &self.shape else { return 0 };
        if shape.contains(&Some(0)) {
            return 0;
        }
        shape.iter().map(|it| it.unwrap_or(1)).fold(self.element_bytes, u64::saturating_mul)
    }

    pub(in crate::tract) fn shape_text(&self) -> String {
        let dims: Vec<String> = match &self.shape {
            Some(it) => it.iter().map(|it| it.map_or_else(|| "?".to_owned(), |it| it.to_string())).collect(),
            None => vec!["…".to_owned()],
        };
        format!("[{}]", dims.join(", "))
    }
}

/// Whether an integer of this size is itself in double precision.
pub(super) fn is_exact(value: f64) -> bool {
    value.abs() <= (1u64 << 53) as f64
}

/// Returns the elements of the types that shapes and scales have.
fn numbers(tensor: &TensorProto) -> Option<Vec<f64>> {
    const SINGLE: i32 = 1;
    const INT32: i32 = 6;
    const INT64: i32 = 7;
    let n: i64 = tensor.dims.iter().product();
    if n > MAX_NUMBERS as i64 || tensor.data_location == Some(DataLocation::External as i32) {
        return None;
    }
    let raw = &tensor.raw_data;
    Some(match tensor.data_type {
        SINGLE if raw.is_empty() => tensor.float_data.iter().map(|&it| it.into()).collect(),
        SINGLE => raw.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it).into()).collect(),
        INT32 if raw.is_empty() => tensor.int32_data.iter().map(|&it| it.into()).collect(),
        INT32 => raw.as_chunks().0.iter().map(|it| i32::from_le_bytes(*it).into()).collect(),
        INT64 if raw.is_empty() => tensor.int64_data.iter().map(|&it| it as f64).collect(),
        INT64 => raw.as_chunks().0.iter().map(|it| i64::from_le_bytes(*it) as f64).collect(),
        _ => return None,
    })
}
