//! Inputs at the edges of what numbers are.

use std::sync::Arc;

use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    about::{ModelDescription, Port},
    arrow::{
        array::ArrayRef,
        schema::{Field, Schema},
    },
    inputs, rows,
};

use crate::config::Edge;

impl Edge {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Subnormal => "subnormal",
            Self::Greatest => "greatest",
            Self::Least => "least",
            Self::Nan => "nan",
        }
    }

    /// Returns the number at the edge of an element type; none of a type that has no such edge.
    fn value(self, dtype: &str) -> Option<f64> {
        let (subnormal, greatest) = match dtype {
            "f16" => (2f64.powi(-20), 65_504.0),
            "f32" => (1e-40, f64::from(f32::MAX)),
            "f64" => (1e-310, f64::MAX),
            _ => return None,
        };
        Some(match self {
            Self::Zeros => 0.0,
            Self::Subnormal => subnormal,
            Self::Greatest => greatest,
            Self::Least => -greatest,
            Self::Nan => f64::NAN,
        })
    }
}

/// Returns one row for the model, all of whose floating-point numbers are at the edge. Whole numbers are 0 beside zeros, and else those of
/// the first row of `data`: they are names as often as amounts.
///
/// # Errors
/// When no input is of floating-point numbers, one is of text, the data has no whole numbers for one, or its shape is not known.
pub(crate) fn row(edge: Edge, model: &ModelDescription, data: Option<&RecordBatch>) -> Result<RecordBatch> {
    let has_edge = edge == Edge::Zeros || model.inputs.iter().any(|it| edge.value(&it.dtype).is_some());
    let column = |port: &Port| {
        let values = match edge.value(&port.dtype) {
            Some(value) => vec![value],
            None if edge == Edge::Zeros => vec![0.0],
            None => Some(port).filter(|_| has_edge).and_then(|it| whole_numbers(it, data?)).ok_or_else(|| {
                Error::input(format!("input `{}` is of {}, which has no such edge", port.name, port.dtype))
            })?,
        };
        let values = inputs::column(port, 1, |it| values[it as usize % values.len()])?;
        Ok((Field::new(&port.name, values.data_type().clone(), false), values))
    };
    let columns: Vec<(Field, ArrayRef)> = model.inputs.iter().map(column).collect::<Result<_>>()?;
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::input)
}

/// Returns what the first row of the data has for an input that is one of its columns.
fn whole_numbers(port: &Port, data: &RecordBatch) -> Option<Vec<f64>> {
    let fields = data.schema_ref().fields().iter().zip(data.columns());
    let mut of_input = fields.filter(|it| rows::inputs_of(it.0, ModelRole::Candidate).contains(&port.name));
    let (field, column) = of_input.next().filter(|it| rows::is_numeric(it.0.data_type()))?;
    let is_alone = of_input.next().is_none() && rows::inputs_of(field, ModelRole::Candidate).len() == 1;
    let first = rows::numbers(column.as_ref()).ok().filter(|it| is_alone && it.rows() > 0)?;
    Some(first.row(0).to_vec()).filter(|it| !it.is_empty() && it.iter().all(|it| it.is_finite()))
}
