//! From the data's columns to a model's inputs, or to outputs that were recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_config::{Columns, Pipeline};
use modelwatch_infer::{ElementType, InferError, ModelInfo, TensorSpec};
use modelwatch_sdk::{ModelRole, rows};

use crate::data::{DataError, Dataset};

/// Which columns make which input of a model that is run, or which output of one that is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputMap {
    inputs: Vec<(String, Vec<String>)>,
    /// Whether these are its outputs, which were recorded.
    is_recorded: bool,
}

/// Returns what the columns mean for a model, and the JSON pointer of the table that names its inputs.
pub(crate) fn columns_for(role: ModelRole, pipeline: &Pipeline) -> (Columns, &'static str) {
    let columns = pipeline.columns();
    match role {
        ModelRole::Candidate => (columns, Columns::INPUTS),
        ModelRole::Baseline if columns.baseline_inputs.is_empty() => (columns, Columns::INPUTS),
        ModelRole::Baseline => {
            let inputs = columns.baseline_inputs.clone();
            (Columns { inputs, ..columns }, Columns::BASELINE_INPUTS)
        }
    }
}

impl InputMap {
    /// Finds the columns of every input of the model.
    pub(crate) fn plan(model: &ModelInfo, columns: &Columns, schema: &Schema) -> Result<Self, String> {
        if let Some(unknown) = columns.inputs.keys().find(|it| !model.inputs.iter().any(|input| input.name == **it)) {
            let names: Vec<_> = model.inputs.iter().map(|it| format!("`{}`", it.name)).collect();
            return Err(format!("the model has no input `{unknown}`; its inputs are {}", names.join(", ")));
        }
        let inputs = model.inputs.iter();
        let inputs = inputs.map(|input| Ok((input.name.clone(), columns_of(input, model, columns, schema)?)));
        Ok(Self { inputs: inputs.collect::<Result<_, String>>()?, is_recorded: false })
    }

    /// Finds the columns with the recorded outputs of a model.
    pub(crate) fn recorded(role: ModelRole, columns: &Columns, schema: &Schema) -> Result<Self, String> {
        let outputs = recorded(role, columns).iter();
        let outputs = outputs.map(|(name, columns)| {
            columns.iter().try_for_each(|it| schema.index_of(it).map(drop).map_err(|_| no_column(it)))?;
            Ok((name.clone(), columns.clone()))
        });
        Ok(Self { inputs: outputs.collect::<Result<_, String>>()?, is_recorded: true })
    }

    /// Returns whether these are outputs, which were recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Finds the columns of every input of the model in data, and refuses values that are no numbers where they must be, before any row is
    /// read for it.
    pub(crate) fn of(model: &ModelInfo, columns: &Columns, dataset: &Dataset) -> Result<Self, String> {
        let res = Self::plan(model, columns, dataset.schema())?;
        let mut inputs = model.inputs.iter().zip(&res.inputs);
        let no_number = inputs.find_map(|(input, (_, columns))| no_number(input, columns, dataset));
        no_number.map_or(Ok(res), |e| Err(e.to_string()))
    }

    /// Returns the columns that have to be read.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().flat_map(|(_, names)| names).map(String::as_str)
    }

    /// Returns each input with its columns.
    pub(crate) fn by_input(&self) -> &[(String, Vec<String>)] {
        &self.inputs
    }

    /// Returns the inputs that the column is a part of.
    pub(crate) fn inputs_of<'m>(&'m self, column: &str) -> impl Iterator<Item = &'m str> {
        self.inputs
            .iter()
            .filter(move |(_, names)| names.iter().any(|it| it == column))
            .map(|(input, _)| input.as_str())
    }

    /// Returns an input whose columns the reference has in another order, with why that is wrong: as the model was made for the reference, it
    /// would take them for each other. Those that are listed have the order of the list.
    pub(crate) fn disorder(
        &self,
        columns: &Columns,
        current: &Dataset,
        reference: &Dataset,
    ) -> Option<(String, String)> {
        self.inputs.iter().find_map(|(input, found)| {
            let there = match columns.inputs.get(input) {
                Some(patterns) => matching(patterns, columns, reference.schema()).ok()?,
                None => reference.schema().fields().iter().map(|it| it.name().clone()).collect(),
            };
            let wanted: BTreeSet<&String> = found.iter().collect();
            let there: Vec<String> = there.into_iter().filter(|it| wanted.contains(it)).collect();
            if there.len() != found.len() {
                return None;
            }
            let (here, there) = found.iter().zip(&there).find(|(here, there)| here != there)?;
            let [file, other] = [current, reference].map(|it| it.files()[0].display().to_string());
            let why = format!(
                "`{file}` has the column `{here}` where `{other}` has `{there}`, and the model's input `{input}` takes its columns in the \
                 order of the file; list them in the model's order in `[data.columns] inputs`"
            );
            Some((input.clone(), why))
        })
    }

    /// Returns an error of a run of the model on the data with the columns that make the input which it is about, and with the place of a
    /// value which is no part of that input's type.
    pub(crate) fn explain(&self, error: &InferError, dataset: Option<&Dataset>) -> String {
        let Some((input, columns)) = self.inputs.iter().find(|it| error.input() == Some(&it.0)) else {
            return error.to_string();
        };
        if let InferError::Inexact { element, value, wanted, .. } = error {
            let column = &columns[element % columns.len()];
            let place = || dataset?.find(column, value.parse().ok()?);
            if let Some((file, row)) = place() {
                let why = format!(
                    "`{value}` does not fit the type {wanted} of the model's input `{input}`; correct it, or convert the column"
                );
                return DataError::broken(file, format!("row {row}, column `{column}`"), why).to_string();
            }
        }
        match &columns[..] {
            [only] if only != input => format!("{error} (`{input}` is column `{only}` of the data)"),
            [first, .., last] => {
                let n = columns.len();
                format!("{error} (`{input}` is made of {n} columns of the data, `{first}` to `{last}`)")
            }
            _ => error.to_string(),
        }
    }

    /// Makes the inputs for a batch of rows.
    pub(crate) fn assemble(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (input, names) in &self.inputs {
            let (field, array) = match &names[..] {
                // With its metadata, where the shape of a tensor is.
                [name] => (field(rows, name)?.clone().with_name(input), Arc::clone(column(rows, name)?)),
                names => {
                    let array = interleave(rows, names)?;
                    (Field::new(input, array.data_type().clone(), true), array)
                }
            };
            fields.push(field);
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| e.to_string())
    }
}

/// Where the pipeline names the recorded outputs of each model.
pub(crate) const RECORDED: [(ModelRole, &str); 2] =
    [(ModelRole::Candidate, Columns::PREDICTIONS), (ModelRole::Baseline, Columns::BASELINE_PREDICTIONS)];

/// Returns the columns with the recorded outputs of a model, by output.
pub(crate) fn recorded(role: ModelRole, columns: &Columns) -> &BTreeMap<String, Vec<String>> {
    match role {
        ModelRole::Candidate => &columns.predictions,
        ModelRole::Baseline => &columns.baseline_predictions,
    }
}

/// Returns whether the columns that both have are in another order.
pub(crate) fn differ_in_order(schema: &Schema, other: &Schema) -> bool {
    let names = |it: &Schema| it.fields().iter().map(|it| it.name().clone()).collect::<Vec<_>>();
    let (here, there) = (names(schema), names(other));
    let in_both: BTreeSet<String> = {
        let here: BTreeSet<_> = here.iter().collect();
        there.iter().filter(|it| here.contains(it)).cloned().collect()
    };
    let of_both = |names: Vec<String>| names.into_iter().filter(|it| in_both.contains(it)).collect::<Vec<_>>();
    of_both(here) != of_both(there)
}

/// Returns whether a column has what a model answered.
pub(crate) fn is_prediction(name: &String, columns: &Columns) -> bool {
    let outputs = [&columns.predictions, &columns.baseline_predictions];
    outputs.into_iter().flat_map(BTreeMap::values).flatten().any(|it| it == name)
}

/// Finds the columns of an input of the model.
pub(crate) fn columns_of(
    input: &TensorSpec,
    model: &ModelInfo,
    columns: &Columns,
    schema: &Schema,
) -> Result<Vec<String>, String> {
    match columns.inputs.get(&input.name) {
        Some(patterns) => matching(patterns, columns, schema),
        None => guess(input, model, columns, schema),
    }
}

/// Returns the first value of an input's columns that is no number, where the input is made of numbers.
pub(crate) fn no_number(input: &TensorSpec, columns: &[String], dataset: &Dataset) -> Option<DataError> {
    if input.dtype == ElementType::Utf8 { None } else { dataset.no_number(columns) }
}

/// Returns how many numbers of a row the input is made of, if the model says so.
pub(crate) fn width(input: &TensorSpec) -> Option<usize> {
    input.shape.iter().skip(1).try_fold(1, |product: usize, axis| axis.and_then(|it| product.checked_mul(it)))
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    rows.column_by_name(name).ok_or_else(|| no_column(name))
}

fn field<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Field, String> {
    rows.schema_ref().field_with_name(name).map_err(|_| no_column(name))
}

fn no_column(name: &str) -> String {
    format!("the data has no column `{name}`")
}

fn matching(patterns: &[String], columns: &Columns, schema: &Schema) -> Result<Vec<String>, String> {
    let mut res: Vec<String> = Vec::new();
    for pattern in patterns {
        if !pattern.contains('*') {
            schema.index_of(pattern).map_err(|_| no_column(pattern))?;
            res.push(pattern.clone());
            continue;
        }
        let before = res.len();
        let found = candidates(columns, schema).filter(|it| rows::name_matches(pattern, it.name()));
        res.extend(found.map(|it| it.name().clone()).collect::<Vec<_>>());
        if res.len() == before {
            return Err(format!("no column of the data matches `{pattern}`"));
        }
    }
    Ok(res)
}

/// The columns that may be inputs: those that have no other part in the data.
fn candidates<'a>(columns: &'a Columns, schema: &'a Schema) -> impl Iterator<Item = &'a Field> {
    let taken = [&columns.label, &columns.id, &columns.timestamp, &columns.weight];
    schema.fields().iter().map(AsRef::as_ref).filter(move |it: &&Field| {
        !taken.iter().any(|name| name.as_ref() == Some(it.name()))
            && !columns.ignore.contains(it.name())
            && !is_prediction(it.name(), columns)
    })
}

/// Takes the column of the input's name, or the only choice there is.
fn guess(input: &TensorSpec, model: &ModelInfo, columns: &Columns, schema: &Schema) -> Result<Vec<String>, String> {
    if schema.index_of(&input.name).is_ok() {
        return Ok(vec![input.name.clone()]);
    }
    let remedy = || format!("say which with `[data.columns] inputs = {{ \"{}\" = … }}`", input.name);
    if model.inputs.len() > 1 {
        return Err(format!(
            "the data has no column `{}` for the model's input of that name; {}",
            input.name,
            remedy()
        ));
    }
    let numeric: Vec<_> = candidates(columns, schema).filter(|it| rows::is_numeric(it.data_type())).collect();
    let tensors: Vec<_> = numeric.iter().filter(|it| matches!(it.data_type(), DataType::FixedSizeList(..))).collect();
    if let [only] = tensors[..] {
        return Ok(vec![only.name().clone()]);
    }
    if tensors.is_empty() && width(input) == Some(numeric.len()) {
        return Ok(numeric.iter().map(|it| it.name().clone()).collect());
    }
    Err(format!("which columns are the model's input `{}` cannot be told; {}", input.name, remedy()))
}

fn interleave(rows: &RecordBatch, names: &[String]) -> Result<ArrayRef, String> {
    let mut values = vec![0.0; rows.num_rows() * names.len()];
    for (at, name) in names.iter().enumerate() {
        let numbers = rows::numbers(column(rows, name)?).map_err(|e| format!("column `{name}`: {e}"))?;
        if numbers.width != 1 && rows.num_rows() > 0 {
            return Err(format!(
                "column `{name}` has {} numbers a row; a list of columns takes one each",
                numbers.width
            ));
        }
        for (row, &it) in numbers.values.iter().enumerate() {
            values[row * names.len() + at] = it;
        }
    }
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let list = FixedSizeListArray::try_new(item, names.len() as i32, Arc::new(Float64Array::from(values)), None);
    Ok(Arc::new(list.map_err(|e| e.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_characters() {
        for (pattern, name, expected) in [
            ("p*", "p12", true),
            ("*_mean", "a_mean", true),
            ("a*c", "abd", false),
            ("*", "ü", true),
            ("a", "ab", false),
        ] {
            assert_eq!(rows::name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
