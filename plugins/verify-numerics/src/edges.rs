//! Inputs at the edges of what numbers are.

use std::sync::Arc;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    about::ModelDescription,
    arrow::{
        array::ArrayRef,
        schema::{Field, Schema},
    },
    inputs,
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

/// Returns one row for the model, all of whose numbers are at the edge.
///
/// # Errors
/// When an input is not of floating-point numbers, or its shape is not known.
pub(crate) fn row(edge: Edge, model: &ModelDescription) -> Result<RecordBatch> {
    let column = |port: &modelwatch_sdk::about::Port| {
        let value = edge.value(&port.dtype).ok_or_else(|| {
            Error::input(format!("input `{}` is of {}, which has no such edge", port.name, port.dtype))
        })?;
        let values = inputs::column(port, 1, |_| value)?;
        Ok((Field::new(&port.name, values.data_type().clone(), false), values))
    };
    let columns: Vec<(Field, ArrayRef)> = model.inputs.iter().map(column).collect::<Result<_>>()?;
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::input)
}
