//! Random inputs in the shapes that the models declare.

use std::sync::Arc;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    about::{ModelDescription, Port},
    arrow::{
        array::{ArrayRef, RecordBatchOptions},
        schema::{Field, Schema},
    },
    inputs,
    report::Gap,
};

use crate::config::Config;

/// The fewest whole numbers of a range that are not told as a gap.
const FEW: f64 = 10.0;

/// Returns one column for each input of both models, with numbers from the range of the candidate's input. Inputs at the same
/// position get the same values.
///
/// # Errors
/// When the models do not take the same, or an input's shape or type says too little.
pub(crate) fn rows(
    config: &Config,
    range: impl Fn(&str) -> Result<[f64; 2]>,
    (baseline, candidate): (&ModelDescription, &ModelDescription),
) -> Result<RecordBatch> {
    let shapes = |it: &ModelDescription| it.inputs.iter().map(inputs::row_shape).collect::<Result<Vec<_>>>();
    let (shapes, others) = (shapes(candidate)?, shapes(baseline)?);
    if shapes != others {
        let message =
            format!("the rows of the candidate's inputs have the shapes {shapes:?}, the baseline's {others:?}");
        return Err(Error::input(message).with_help("compare models of one interface"));
    }
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (at, (port, other)) in candidate.inputs.iter().zip(&baseline.inputs).enumerate() {
        let [least, greatest] = range(&port.name)?;
        let seed = config.seed ^ (at as u64).wrapping_mul(0xd134_2543_de82_ef95);
        let values = inputs::column(port, config.rows, |it| least + inputs::uniform(seed, it) * (greatest - least))?;
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

/// Returns the gap of inputs of whole numbers of which the range has few: 0 alone, from 0 to 1.
pub(crate) fn few_values([least, greatest]: [f64; 2], model: &ModelDescription) -> Option<Gap> {
    let n = greatest.floor() - least.floor() + 1.0;
    let is_whole = |it: &&Port| !matches!(it.dtype.as_str(), "bool" | "f16" | "f32" | "f64" | "utf8");
    let names: Vec<String> = model.inputs.iter().filter(is_whole).map(|it| format!("`{}`", it.name)).collect();
    if n >= FEW || names.is_empty() {
        return None;
    }
    let why = format!(
        "their inputs are of whole numbers, of which `range` from {least} to {greatest} has {n} or fewer: most embeddings and branches are \
         never reached; set `range` to what they can be, or `inputs = \"data-range\"`"
    );
    Some(Gap::new(format!("other values of {}", names.join(", ")), why))
}
