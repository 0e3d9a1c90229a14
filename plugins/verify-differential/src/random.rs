//! Random inputs in the shapes that the models declare.

use std::sync::Arc;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    about::{ModelDescription, Port},
    arrow::{
        array::{ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, RecordBatchOptions},
        schema::{DataType, Field, Schema},
    },
};

use crate::config::Config;

/// The most numbers of all inputs together.
const MAX_NUMBERS: usize = 1 << 26;

/// Returns one column for each input of both models. Inputs at the same position get the same values.
///
/// # Errors
/// When the models do not take the same, or an input's shape or type says too little.
pub(crate) fn rows(config: &Config, baseline: &ModelDescription, candidate: &ModelDescription) -> Result<RecordBatch> {
    let shapes = |it: &ModelDescription| it.inputs.iter().map(row_shape).collect::<Result<Vec<_>>>();
    let (shapes, others) = (shapes(candidate)?, shapes(baseline)?);
    if shapes != others {
        let message =
            format!("the rows of the candidate's inputs have the shapes {shapes:?}, the baseline's {others:?}");
        return Err(Error::input(message).with_help("compare models of one interface"));
    }
    let n_numbers = shapes.iter().map(|it| it.iter().product::<usize>()).fold(0, usize::saturating_add);
    if n_numbers.saturating_mul(config.rows) > MAX_NUMBERS {
        let message = format!("{} rows of {n_numbers} numbers are too many to be drawn", config.rows);
        return Err(Error::input(message).with_help("ask for fewer `rows`"));
    }
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (at, ((port, other), shape)) in candidate.inputs.iter().zip(&baseline.inputs).zip(&shapes).enumerate() {
        let width = shape.iter().product();
        let values = column(port, width, config, at as u64)?;
        for name in [&port.name, &other.name] {
            if columns.iter().all(|it| it.0.name() != name) {
                columns.push((Field::new(name, values.data_type().clone(), false), Arc::clone(&values)));
            }
        }
    }
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(config.rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(Error::input)
}

fn row_shape(port: &Port) -> Result<Vec<usize>> {
    let dims = port.shape.iter().skip(1).map(|it| it.and_then(|it| usize::try_from(it).ok()));
    dims.collect::<Option<_>>().ok_or_else(|| {
        Error::input(format!("input `{}` has a dimension that only the data decides", port.name))
            .with_help("use `inputs = \"data\"`")
    })
}

fn column(port: &Port, width: usize, config: &Config, stream: u64) -> Result<ArrayRef> {
    let n = width * config.rows;
    let seed = config.seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
    // 53 bits are what an f64 between 0 and 1 has.
    let numbers = (0..n as u64).map(|it| (bits(seed, it) >> 11) as f64 / (1_u64 << 53) as f64);
    let [least, greatest] = config.range;
    let values: ArrayRef = match port.dtype.as_str() {
        "bool" => Arc::new(numbers.map(|it| Some(it < 0.5)).collect::<BooleanArray>()),
        "f16" | "f32" | "f64" => {
            Arc::new(Float64Array::from_iter_values(numbers.map(|it| least + it * (greatest - least))))
        }
        "utf8" => {
            let message = format!("input `{}` is text, which is not drawn at random", port.name);
            return Err(Error::input(message).with_help("use `inputs = \"data\"`"));
        }
        _ => Arc::new(Int64Array::from_iter_values(numbers.map(|it| (least + it * (greatest - least)).floor() as i64))),
    };
    if port.shape.len() < 2 {
        return Ok(values);
    }
    let item = Arc::new(Field::new("item", values.data_type().clone(), false));
    let width = i32::try_from(width).map_err(Error::input)?;
    if width == 0 {
        return Err(Error::input(format!("a row of input `{}` has no elements", port.name)));
    }
    debug_assert!(matches!(item.data_type(), DataType::Boolean | DataType::Float64 | DataType::Int64));
    FixedSizeListArray::try_new(item, width, values, None).map(|it| Arc::new(it) as ArrayRef).map_err(Error::input)
}

/// Returns bits that follow from a seed and a position, and look random (splitmix64).
fn bits(seed: u64, position: u64) -> u64 {
    let it = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}
