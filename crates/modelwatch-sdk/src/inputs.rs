//! Rows that are made up, in the shapes that a model declares.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array};
use arrow_schema::Field;

use crate::{
    about::Port,
    error::{Error, Result},
};

/// The most numbers of one input.
const MAX_NUMBERS: usize = 1 << 26;

/// Returns the shape of a row of an input.
///
/// # Errors
/// When only the data decides it.
pub fn row_shape(port: &Port) -> Result<Vec<usize>> {
    let dims = port.shape.iter().skip(1).map(|it| it.and_then(|it| usize::try_from(it).ok()));
    dims.collect::<Option<_>>().ok_or_else(|| {
        Error::input(format!("input `{}` has a dimension that only the data decides", port.name))
            .with_help("use rows of the data")
    })
}

/// Returns a column for an input, with the values that `value` gives for their positions: whole numbers are rounded down,
/// truth values are those below a half.
///
/// # Errors
/// When the shape is not known, there are too many numbers, or the input is text.
pub fn column(port: &Port, n_rows: usize, value: impl Fn(u64) -> f64) -> Result<ArrayRef> {
    let width = row_shape(port)?.iter().try_fold(1_usize, |size, it| size.checked_mul(*it));
    let n = width.and_then(|it| it.checked_mul(n_rows)).filter(|it| *it <= MAX_NUMBERS);
    let (Some(width), Some(n)) = (width, n) else {
        let message = format!("{n_rows} rows of input `{}` have more than {MAX_NUMBERS} numbers", port.name);
        return Err(Error::input(message).with_help("ask for fewer rows"));
    };
    if width == 0 {
        return Err(Error::input(format!("a row of input `{}` has no elements", port.name)));
    }
    let numbers = (0..n as u64).map(value);
    let values: ArrayRef = match port.dtype.as_str() {
        "bool" => Arc::new(numbers.map(|it| Some(it < 0.5)).collect::<BooleanArray>()),
        "f16" | "f32" | "f64" => Arc::new(Float64Array::from_iter_values(numbers)),
        "utf8" => {
            let message = format!("input `{}` is text, which is not made up", port.name);
            return Err(Error::input(message).with_help("use rows of the data"));
        }
        _ => Arc::new(Int64Array::from_iter_values(numbers.map(|it| it.floor() as i64))),
    };
    if port.shape.len() < 2 {
        return Ok(values);
    }
    let item = Arc::new(Field::new("item", values.data_type().clone(), false));
    let width = i32::try_from(width).map_err(Error::input)?;
    FixedSizeListArray::try_new(item, width, values, None).map(|it| Arc::new(it) as ArrayRef).map_err(Error::input)
}

/// Returns a number from 0 to 1 that follows from a seed and a position, and looks random (splitmix64).
pub fn uniform(seed: u64, position: u64) -> f64 {
    let it = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // 53 bits are what an f64 between 0 and 1 has.
    ((it ^ (it >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
