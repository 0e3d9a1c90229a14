//! What a model gave for rows.

use std::borrow::Cow;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    about::Port,
    arrow::array::Array,
    report::Finding,
    rows::{self, ExactNumbers, Number, Texts},
};

use crate::{
    dtype::{self, Family},
    interface::shape,
    sheet::error,
};

/// The outputs for rows.
pub(crate) struct Outputs {
    pub(crate) rows: usize,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    family: Family,
    /// The extents of a row.
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    Numbers(ExactNumbers<'static>),
    Texts(Texts<'static>),
}

/// How outputs differ from others for the same rows.
#[derive(Default)]
pub(crate) struct Difference {
    pub(crate) rows: u64,
    /// Rows that differ by more than is allowed.
    pub(crate) off: u64,
    /// The greatest difference of two numbers.
    pub(crate) greatest: f64,
    /// The output with the first row that is off.
    pub(crate) place: String,
}

/// By how much numbers may differ.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
}

/// What to do about a file that contradicts itself.
const EXPORT_AGAIN: &str = "export the model again; its file says one thing and does another";

/// Returns where outputs are not what the file says of them. How many rows there are is for whoever runs it to say, and half precision
/// is handed over as single precision.
pub(crate) fn contradicted(declared: &[Port], outputs: &[Port]) -> Vec<Finding> {
    let mut res = Vec::new();
    for port in declared {
        let Some(output) = outputs.iter().find(|it| it.name == port.name) else { continue };
        let wide = |it: &Port| if it.dtype == "f16" { "f32".to_owned() } else { it.dtype.clone() };
        if !port.dtype.is_empty() && wide(port) != wide(output) {
            let message = format!(
                "the file declares output `{}` as {}, and its graph computes {}",
                port.name, port.dtype, output.dtype
            );
            res.push(error("MW-C007", &port.name, message, EXPORT_AGAIN));
        }
        let are_other =
            |(left, right): (&Option<u64>, &Option<u64>)| matches!((left, right), (Some(a), Some(b)) if a != b);
        let has_other =
            port.shape.len() != output.shape.len() || port.shape.iter().zip(&output.shape).skip(1).any(are_other);
        if !port.shape.is_empty() && has_other {
            let message = format!(
                "the file declares output `{}` as [{}], and its graph computes [{}]",
                port.name,
                shape(&port.shape),
                shape(&output.shape)
            );
            res.push(error("MW-C007", &port.name, message, EXPORT_AGAIN));
        }
    }
    res
}

impl Outputs {
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
            let values = if rows::is_numeric(field.data_type()) {
                Values::Numbers(rows::exact_numbers(array.as_ref())?.into_owned())
            } else {
                let Texts { values, width } = rows::texts_of_rows(array.as_ref())?;
                let owned = |it: Cow<'_, str>| Cow::Owned(it.into_owned());
                Values::Texts(Texts { values: values.into_iter().map(|it| it.map(owned)).collect(), width })
            };
            Ok(Column {
                name: field.name().clone(),
                family: dtype::family_of(array.data_type()),
                shape: rows::row_shape(field),
                values,
            })
        });
        Ok(Self { rows: batch.num_rows(), columns: columns.collect::<Result<_>>()? })
    }

    /// Puts the rows of another batch after these.
    pub(crate) fn append(&mut self, other: Self) -> Result<()> {
        let unlike = || Error::input("the model gives other outputs for another batch");
        let mut others = other.columns.into_iter();
        for column in &mut self.columns {
            match (&mut column.values, others.next().filter(|it| it.name == column.name).map(|it| it.values)) {
                (Values::Numbers(numbers), Some(Values::Numbers(more))) => {
                    numbers.append(&more).map_err(|_| unlike())?
                }
                (Values::Texts(texts), Some(Values::Texts(more))) if texts.width == more.width => {
                    texts.values.extend(more.values)
                }
                _ => return Err(unlike()),
            }
        }
        self.rows += other.rows;
        Ok(())
    }

    /// Compares row `it` of these with row `order[it]` of `reference`.
    pub(crate) fn compare(&self, reference: &Self, order: &[usize], allowed: Tolerance) -> Result<Difference> {
        let same_names = self.columns.iter().map(|it| &it.name).eq(reference.columns.iter().map(|it| &it.name));
        if !same_names || self.rows != order.len() {
            return Err(Error::input("the model gives other outputs or rows for another batch"));
        }
        let mut res = Difference { rows: order.len() as u64, ..Difference::default() };
        let mut off = vec![false; order.len()];
        for (column, other) in self.columns.iter().zip(&reference.columns) {
            for (row, &at) in order.iter().enumerate() {
                let is_off = match (&column.values, &other.values) {
                    (Values::Numbers(numbers), Values::Numbers(others)) if numbers.width == others.width => {
                        let pairs = numbers.row(row).zip(others.row(at));
                        pairs.fold(false, |off, (a, b)| is_off(a, b, allowed, &mut res.greatest) || off)
                    }
                    (Values::Texts(texts), Values::Texts(others)) => texts.row(row) != others.row(at),
                    _ => true,
                };
                if is_off {
                    if res.place.is_empty() {
                        res.place.clone_from(&column.name);
                    }
                    off[row] = true;
                }
            }
        }
        res.off = off.into_iter().filter(|&it| it).count() as u64;
        Ok(res)
    }

    /// Returns what is not as the model declares it.
    pub(crate) fn breaks(&self, declared: &[Port]) -> Vec<Finding> {
        let mut res = Vec::new();
        for port in declared.iter().filter(|port| self.columns.iter().all(|it| it.name != port.name)) {
            let message = format!("the model declares the output `{}`, and does not give it", port.name);
            res.push(error("MW-C007", &port.name, message, EXPORT_AGAIN));
        }
        for it in &self.columns {
            let Some(port) = declared.iter().find(|port| port.name == it.name) else {
                let message = format!("the model gives the output `{}`, which it does not declare", it.name);
                res.push(error("MW-C007", &it.name, message, EXPORT_AGAIN));
                continue;
            };
            if it.family != dtype::family(&port.dtype) {
                let message = format!("output `{}` is declared as {}, and its values are others", it.name, port.dtype);
                res.push(error("MW-C007", &it.name, message, EXPORT_AGAIN));
            }
            let rows = port.shape.get(1..).unwrap_or_default();
            let fits = rows.iter().zip(&it.shape).all(|(a, b)| a.is_none_or(|a| a == *b as u64));
            if rows.len() != it.shape.len() || !fits {
                let message =
                    format!("output `{}` has rows of {:?}, declared are [{}]", it.name, it.shape, shape(rows));
                res.push(error("MW-C007", &it.name, message, EXPORT_AGAIN));
            }
            let broken = it.values.broken();
            if broken > 0 {
                let message = format!("output `{}` has {broken} values that are missing or not finite", it.name);
                let advice = "look for NaN in weights and inputs; such answers cannot be compared";
                res.push(error("MW-C007", &it.name, message, advice));
            }
        }
        res
    }

    /// Returns the ports with the extents of rows where the model leaves them open.
    pub(crate) fn resolve(&self, ports: &[Port]) -> Vec<Port> {
        let one = |port: &Port| {
            let mut res = port.clone();
            let produced = self.columns.iter().find(|it| it.name == port.name);
            if let Some(it) = produced.filter(|it| it.shape.len() + 1 == port.shape.len()) {
                let axes = res.shape.iter_mut().skip(1).zip(&it.shape);
                axes.for_each(|(axis, &size)| *axis = axis.or(Some(size as u64)));
            }
            res
        };
        ports.iter().map(one).collect()
    }
}

impl Values {
    fn broken(&self) -> usize {
        match self {
            Self::Numbers(it) => it.iter().filter(|it| !it.is_finite()).count(),
            Self::Texts(it) => it.values.iter().filter(|it| it.is_none()).count(),
        }
    }
}

fn is_off(a: Number, b: Number, allowed: Tolerance, greatest: &mut f64) -> bool {
    if a == b || (a.to_f64().is_nan() && b.to_f64().is_nan()) {
        return false;
    }
    let difference = (a - b).abs();
    if !difference.is_finite() {
        *greatest = f64::INFINITY;
        return true;
    }
    *greatest = greatest.max(difference);
    difference > a.allowance(b, allowed.rtol, allowed.atol)
}
