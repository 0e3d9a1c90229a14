//! Cases with known answers, one row each.

use std::{collections::BTreeSet, sync::Arc};

use modelwatch_sdk::{
    Error, Host, ModelRole, RecordBatch, Result,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float64Array, StringArray},
        schema::{DataType, Field},
    },
    pointer,
    rows::Number,
};
use modelwatch_stats::sequences::edit_distance;

use crate::{
    answers::{self, Answers},
    config::{Case, Known},
    settings::Settings,
};

/// What became of a case.
pub(crate) enum Outcome {
    Right,
    /// What was answered instead.
    Wrong(String),
    /// The answer is not finite.
    Broken(String),
    /// Why there is no answer.
    NoAnswer(String),
}

/// Refuses values of inputs that the model does not have, by which a case would test nothing; `columns` are those of the data that the
/// model's inputs are made of, none without data.
pub(crate) fn check_inputs(settings: &Settings, columns: &BTreeSet<String>, host: &dyn Host) -> Result<()> {
    if settings.cases.is_empty() {
        return Ok(());
    }
    let ports = ports(host);
    for (at, case) in settings.cases.iter().enumerate() {
        let known = if is_of_ports(case, columns, &ports) { &ports } else { columns };
        let Some(unknown) = case.inputs.keys().find(|it| !known.is_empty() && !known.contains(*it)) else { continue };
        let path = pointer(&format!("/cases/{at}/inputs"), unknown);
        let message = format!("`{unknown}` of the case `{}` is no part of the model's input", case.name);
        return Err(Error::config(path, message).with_help(remedy(unknown, known)));
    }
    Ok(())
}

/// Returns the inputs of the model. One that is not there has no answers, which is for the cases to say.
fn ports(host: &dyn Host) -> BTreeSet<String> {
    let ports = host.model(ModelRole::Candidate).map(|it| it.inputs).unwrap_or_default();
    ports.into_iter().map(|it| it.name).collect()
}

/// Returns whether a case gives the inputs themselves, and no columns of the data: as the host takes them.
fn is_of_ports(case: &Case, columns: &BTreeSet<String>, ports: &BTreeSet<String>) -> bool {
    columns.is_empty() || case.inputs.keys().all(|it| ports.contains(it))
}

/// Returns which name was probably meant, or which there are.
fn remedy(given: &str, names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    let given: Vec<char> = given.chars().collect();
    let distance = |name: &str| edit_distance(&given, &name.chars().collect::<Vec<_>>());
    let nearest = names.iter().map(|it| (distance(it), it)).min().filter(|it| it.0 <= (given.len() / 3).max(1));
    match nearest {
        Some((_, it)) => format!("did you mean `{it}`?"),
        None => {
            let shown: Vec<_> = names.iter().take(SHOWN).map(|it| format!("`{it}`")).collect();
            let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
            format!("the model's input is made of {}{more}", shown.join(", "))
        }
    }
}

/// Runs every case; `columns` are as above.
pub(crate) fn run<'s>(settings: &'s Settings, columns: &BTreeSet<String>, host: &dyn Host) -> Vec<(&'s Case, Outcome)> {
    let ports = if settings.cases.is_empty() { BTreeSet::new() } else { ports(host) };
    let outcome = |it: &Case| {
        let missing = columns.iter().find(|column| !it.inputs.contains_key(*column));
        if let Some(missing) = missing.filter(|_| !is_of_ports(it, columns, &ports)) {
            let why = format!("its `inputs` have no column `{missing}`, of which the model's input is made");
            return Outcome::NoAnswer(why);
        }
        outcome(settings, it, host).unwrap_or_else(|e| Outcome::NoAnswer(e.message))
    };
    settings.cases.iter().map(|it| (it, outcome(it))).collect()
}

fn outcome(settings: &Settings, case: &Case, host: &dyn Host) -> Result<Outcome> {
    let columns = case.inputs.iter().map(|(name, value)| Ok((name, array(value)?, true)));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let row = RecordBatch::try_from_iter_with_nullable(columns).map_err(Error::input)?;
    let outputs = host.infer(ModelRole::Candidate, &row)?;
    let schema = outputs.schema();
    let named: Vec<_> = schema.fields().iter().map(|it| it.name().as_str()).zip(outputs.columns()).collect();
    let (_, output) = answers::choose(&named, settings.output.as_deref())?;
    let answers = Answers::of(output, settings.threshold)?;
    if answers.is_broken(0) {
        return Ok(Outcome::Broken(answers.text(0)));
    }
    let holds = match (&case.class, &case.output) {
        (Some(Known::Number(it)), _) => answers.class(0) == it.to_string(),
        (Some(Known::Text(it)), _) => answers.class(0) == *it,
        (_, Some(Known::Number(it))) => near(&answers, &[*it], case.tolerance),
        (_, Some(Known::Numbers(it))) => near(&answers, it, case.tolerance),
        _ => false,
    };
    Ok(if holds { Outcome::Right } else { Outcome::Wrong(answers.text(0)) })
}

fn near(answers: &Answers<'_>, expected: &[f64], tolerance: f64) -> bool {
    answers.numbers(0).is_some_and(|got| {
        got.len() == expected.len() && got.zip(expected).all(|(a, &b)| (a - Number::Float(b)).abs() <= tolerance)
    })
}

fn array(value: &Known) -> Result<ArrayRef> {
    Ok(match value {
        Known::Number(it) => Arc::new(Float64Array::from(vec![*it])),
        Known::Text(it) => Arc::new(StringArray::from(vec![it.as_str()])),
        Known::Numbers(it) => {
            let item = Arc::new(Field::new("item", DataType::Float64, true));
            let width = i32::try_from(it.len()).map_err(Error::input)?;
            let values = Arc::new(Float64Array::from(it.clone()));
            Arc::new(FixedSizeListArray::try_new_with_length(item, width, values, None, 1).map_err(Error::input)?)
        }
    })
}
