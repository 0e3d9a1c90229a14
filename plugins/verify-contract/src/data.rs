//! Inputs against the columns of the data, and an MLflow signature against both.

use modelwatch_sdk::{
    ModelRole,
    about::{MlflowField, ModelDescription, Port},
    arrow::schema::{Field, Schema},
    report::{Finding, Gap},
    rows,
};

use crate::{
    dtype::{self, Family},
    interface::{Side, shape},
    sheet::{Clause, Sheet, error, warning},
};

/// Judges whether the columns of the data are what the model's inputs are made of. Returns whether each has some.
pub(crate) fn judge(sheet: &mut Sheet, model: &ModelDescription, schema: &Schema) -> bool {
    let findings = model.inputs.iter().flat_map(|it| input(it, schema)).collect();
    sheet.judge(Clause::new("input_columns", "make the model's inputs", model.inputs.len()), findings);
    model.inputs.iter().all(|it| !columns_of(&it.name, schema).is_empty())
}

fn columns_of<'s>(input: &str, schema: &'s Schema) -> Vec<&'s Field> {
    let fields = schema.fields().iter().map(AsRef::as_ref);
    fields.filter(|it: &&Field| rows::inputs_of(it, ModelRole::Candidate).iter().any(|it| it == input)).collect()
}

fn input(port: &Port, schema: &Schema) -> Vec<Finding> {
    let columns = columns_of(&port.name, schema);
    if columns.is_empty() {
        let message = format!("no column of the data makes the model's input `{}`", port.name);
        return vec![error("MW-C006", &port.name, message, "say which with `[data.columns] inputs`")];
    }
    let mut res = Vec::new();
    let wanted = port.shape.iter().skip(1).try_fold(1_u64, |size, it| size.checked_mul((*it)?));
    let has: u64 = columns.iter().map(|it| rows::row_shape(it).iter().product::<usize>() as u64).sum();
    if wanted.is_some_and(|it| it != has) {
        let axes = shape(port.shape.get(1..).unwrap_or_default());
        let message = format!("the data has {has} numbers a row for input `{}` of [{axes}]", port.name);
        res.push(error(
            "MW-C006",
            &port.name,
            message,
            "correct `[data.columns] inputs`, or export the model for this data",
        ));
    }
    for it in columns {
        let (column, input) = (dtype::family_of(it.data_type()), dtype::family(&port.dtype));
        let message =
            format!("column `{}` is {}, input `{}` takes {}", it.name(), it.data_type(), port.name, port.dtype);
        let advice = "give the data the type that the model was trained on";
        match (column, input) {
            (Family::Real, Family::Whole) => res.push(warning("MW-C006", it.name(), message, advice)),
            (a, b) if (a == Family::Text) != (b == Family::Text) || a == Family::Other => {
                res.push(error("MW-C006", it.name(), message, advice));
            }
            _ => {}
        }
    }
    res
}

/// Judges whether the model and the data are what its `MLmodel` file promises, if there is one.
pub(crate) fn mlflow(sheet: &mut Sheet, model: &ModelDescription, schema: Option<&Schema>) {
    let Some(signature) = &model.mlflow else { return };
    let n = signature.inputs.len() + signature.outputs.len();
    if n == 0 {
        sheet.report.gaps.push(Gap::new("MLflow signature", "the `MLmodel` file of the checkpoint has none"));
        return;
    }
    if schema.is_none() && signature.inputs.iter().any(|it| it.shape.is_none()) {
        let clause = Clause::new("mlflow_signature", "is what the model and the data are", 0);
        sheet.not_checked(clause, "the signature is of columns, and there are no rows");
        return;
    }
    let mut findings = Vec::new();
    for (side, fields, ports) in
        [(Side::Input, &signature.inputs, &model.inputs), (Side::Output, &signature.outputs, &model.outputs)]
    {
        for field in fields {
            match (&field.shape, side) {
                (None, Side::Input) => findings.extend(column(field, schema)),
                _ => findings.extend(tensor(side, field, ports)),
            }
        }
    }
    sheet.judge(Clause::new("mlflow_signature", "is what the model and the data are", n), findings);
}

const LOG_AGAIN: &str = "log the model again with `infer_signature` on the data that it is called with";

fn column(field: &MlflowField, schema: Option<&Schema>) -> Option<Finding> {
    let name = field.name.as_deref().unwrap_or_default();
    let found = schema.and_then(|it| it.field_with_name(name).ok());
    let Some(found) = found else {
        let message = format!("the signature has the column `{name}`, which makes no input of the model");
        return (!field.optional).then(|| error("MW-C008", name, message, LOG_AGAIN));
    };
    let wanted = dtype::normal(&field.dtype).map(dtype::family);
    // A whole number is a number, too.
    let fits = |it: Family| wanted == Some(it) || (wanted == Some(Family::Real) && it == Family::Whole);
    (!fits(dtype::family_of(found.data_type()))).then(|| {
        let message = format!("column `{name}` is {}, in the signature it is {}", found.data_type(), field.dtype);
        error("MW-C008", name, message, LOG_AGAIN)
    })
}

fn tensor(side: Side, field: &MlflowField, ports: &[Port]) -> Option<Finding> {
    let word = side.word();
    let name = field.name.as_deref();
    let port = match (name, ports) {
        (Some(name), _) => ports.iter().find(|it| it.name == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let place = name.unwrap_or(word);
    let Some(port) = port else {
        let message = format!("the model has no {word} `{place}`, which the signature has");
        return (!field.optional).then(|| error("MW-C008", place, message, LOG_AGAIN));
    };
    if dtype::normal(&field.dtype) != dtype::normal(&port.dtype) {
        let message = format!("{word} `{}` is {}, in the signature it is {}", port.name, port.dtype, field.dtype);
        return Some(error("MW-C008", &port.name, message, LOG_AGAIN));
    }
    let axes = field.shape.as_ref()?;
    let fits = axes.iter().zip(&port.shape).all(|(a, b)| *a < 0 || b.is_none_or(|b| u64::try_from(*a) == Ok(b)));
    (axes.len() != port.shape.len() || !fits).then(|| {
        let message = format!("{word} `{}` is [{}], in the signature it is {axes:?}", port.name, shape(&port.shape));
        error("MW-C008", &port.name, message, LOG_AGAIN)
    })
}
