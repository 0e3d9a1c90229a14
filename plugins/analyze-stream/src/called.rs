//! How wrong the predictions of rows are.

use std::{borrow::Cow, collections::BTreeMap};

use modelwatch_sdk::{
    Error, Result,
    arrow::array::{Array, ArrayRef},
    rows,
};

use crate::config::{Config, Loss};

/// The least chance whose logarithm is taken.
const LEAST_CHANCE: f64 = 1e-15;

/// The index of a class that there is not.
const UNKNOWN: usize = usize::MAX;

/// A column with its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) array: &'a ArrayRef,
}

impl<'a> Column<'a> {
    /// Returns the column with other values, where there are some.
    pub(crate) fn or(self, array: Option<&'a ArrayRef>) -> Self {
        Self { array: array.unwrap_or(self.array), ..self }
    }
}

/// What was found of each row.
#[derive(Debug)]
pub(crate) struct Found {
    /// NaN where it is not known.
    pub(crate) values: Vec<f64>,
    /// What labels that are none of the classes count as, where there are some.
    pub(crate) unknown: Option<String>,
}

/// Returns 1 for rows whose class is not the one that was called and 0 for others, NaN where either is missing. A label that is
/// none of the classes is never the one that was called.
///
/// # Errors
/// When the prediction calls no classes.
pub(crate) fn errors(config: &Config, prediction: Column<'_>, label: Column<'_>) -> Result<Found> {
    let is_class = config.threshold.is_none() && !is_list(prediction.array);
    if is_class {
        refuse_fractions(prediction)?;
        let (called, right) = (texts(prediction)?, texts(label)?);
        let is_wrong = |(called, right): (&Option<Cow<'_, str>>, &Option<Cow<'_, str>>)| match (called, right) {
            (Some(called), Some(right)) => f64::from(u8::from(plain(called) != plain(right))),
            _ => f64::NAN,
        };
        return Ok(Found { values: called.iter().zip(&right).map(is_wrong).collect(), unknown: None });
    }
    let scores = numbers(prediction)?;
    let (right, unknown) = classes(config, (scores.width, "as errors"), label)?;
    let called = |row: usize| match (scores.row(row), config.threshold) {
        (all, _) if all.iter().any(|it| it.is_nan()) => None,
        ([only], threshold) => Some(usize::from(threshold.is_some_and(|it| *only >= it))),
        ([_, second], Some(threshold)) => Some(usize::from(*second >= threshold)),
        // The first of equal ones.
        (all, _) => Some((1..all.len()).fold(0, |best, it| if all[it] > all[best] { it } else { best })),
    };
    let is_wrong = |(row, right): (usize, &Option<usize>)| match (called(row), right) {
        (Some(called), Some(right)) => f64::from(u8::from(called != *right)),
        _ => f64::NAN,
    };
    Ok(Found { values: right.iter().enumerate().map(is_wrong).collect(), unknown })
}

/// Returns how wrong each row is, NaN where prediction or label is missing, no chance, or none of the classes.
///
/// # Errors
/// When prediction or label are not what the loss is about.
pub(crate) fn losses(config: &Config, prediction: Column<'_>, label: Column<'_>) -> Result<Found> {
    let predicted = numbers(prediction)?;
    let difference = |to: fn(f64) -> f64| {
        let right = numbers(label)?;
        for (column, width) in [(prediction, predicted.width), (label, right.width)] {
            if width != 1 {
                let message = format!("`{}` has {width} numbers a row, expected one", column.name);
                return Err(Error::input(message).with_help("name one output in `output`, or set `loss = \"log\"`"));
            }
        }
        let values = predicted.values.iter().zip(right.values.iter()).map(|(it, right)| to(it - right)).collect();
        Ok(Found { values, unknown: None })
    };
    match config.loss {
        Loss::Absolute => difference(f64::abs),
        Loss::Squared => difference(|it| it * it),
        Loss::Log => {
            let (right, unknown) = classes(config, (predicted.width, "as missing"), label)?;
            let chance = |(row, right): (usize, &Option<usize>)| match (predicted.row(row), right) {
                (_, Some(UNKNOWN) | None) => None,
                ([only], Some(right)) => Some(if *right == 1 { *only } else { 1.0 - only }),
                (all, Some(right)) => all.get(*right).copied(),
            };
            let loss = |it: f64| if (0.0..=1.0).contains(&it) { -it.max(LEAST_CHANCE).ln() } else { f64::NAN };
            // A chance of 1 loses 0, not -0.
            let values = right.iter().enumerate().map(|it| chance(it).map_or(f64::NAN, loss) + 0.0).collect();
            Ok(Found { values, unknown })
        }
    }
}

/// Returns the index of the class of each row, [`UNKNOWN`] where the label is none of the classes, and what such labels count as if there
/// are some.
fn classes(
    config: &Config,
    (width, counts): (usize, &str),
    label: Column<'_>,
) -> Result<(Vec<Option<usize>>, Option<String>)> {
    let n_classes = width.max(2);
    let names = config.classes.clone().unwrap_or_else(|| (0..n_classes).map(|it| it.to_string()).collect());
    if names.len() != n_classes {
        let message = format!("there are {} classes, and scores of {n_classes}", names.len());
        return Err(Error::input(message).with_help("list every class in `classes`, in the order of the scores"));
    }
    let indices: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, it)| (it.as_str(), at)).collect();
    let texts = texts(label)?;
    let find = |it: &str| indices.get(it).or_else(|| indices.get(plain(it))).copied().unwrap_or(UNKNOWN);
    let found: Vec<Option<usize>> = texts.iter().map(|it| it.as_deref().map(find)).collect();
    let has_unknown = found.contains(&Some(UNKNOWN));
    // No example: which one there is would depend on how the rows are cut into batches.
    let why = || {
        let known = names.join(", ");
        format!(
            "labels that are none of the classes {known} count {counts}; list every class in `classes`, in the order of the scores"
        )
    };
    Ok((found, has_unknown.then(why)))
}

/// A score that is taken for a class would make nearly every row wrong.
fn refuse_fractions(prediction: Column<'_>) -> Result<()> {
    if !prediction.array.data_type().is_floating() {
        return Ok(());
    }
    match numbers(prediction)?.values.iter().find(|it| it.is_finite() && it.fract() != 0.0) {
        Some(it) => Err(Error::input(format!("`{}` has the value {it}, expected a class", prediction.name))
            .with_help("set `threshold` if it is the score of the second class, or watch \"loss\"")),
        None => Ok(()),
    }
}

/// Returns a class as it is compared: booleans are read as words, and a model's classes are more often 0 and 1.
fn plain(class: &str) -> &str {
    match class {
        "true" => "1",
        "false" => "0",
        other => other,
    }
}

fn is_list(array: &ArrayRef) -> bool {
    rows::numbers(&array.slice(0, 0)).is_ok_and(|it| it.width != 1)
}

fn numbers(column: Column<'_>) -> Result<rows::Numbers<'_>> {
    rows::numbers(column.array.as_ref()).map_err(|e| of(column, &e))
}

fn texts(column: Column<'_>) -> Result<Vec<Option<Cow<'_, str>>>> {
    rows::texts(column.array.as_ref()).map_err(|e| of(column, &e))
}

fn of(column: Column<'_>, error: &Error) -> Error {
    Error::input(format!("`{}`: {error}", column.name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::{
        array::{BooleanArray, FixedSizeListArray, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field},
    };
    use serde_json::{Value, json};

    use super::*;

    type Kernel = fn(&Config, Column<'_>, Column<'_>) -> Result<Found>;

    fn run(
        kernel: Kernel,
        config: Value,
        prediction: impl Array + 'static,
        label: impl Array + 'static,
    ) -> Result<Found> {
        let config = serde_json::from_value(config).unwrap();
        let [prediction, label]: [ArrayRef; 2] = [Arc::new(prediction), Arc::new(label)];
        kernel(&config, Column { name: "p", array: &prediction }, Column { name: "y", array: &label })
    }

    #[track_caller]
    fn check(
        kernel: Kernel,
        config: Value,
        prediction: impl Array + 'static,
        label: impl Array + 'static,
        expected: &[f64],
    ) {
        let found = run(kernel, config, prediction, label).unwrap().values;
        // NaN is shown as such.
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    }

    fn scores(rows: &[[f64; 3]]) -> FixedSizeListArray {
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        FixedSizeListArray::new(item, 3, Arc::new(Float64Array::from_iter_values(rows.iter().flatten().copied())), None)
    }

    #[test]
    fn classes_are_compared_by_name() {
        let called = StringArray::from(vec![Some("a"), Some("b"), None, Some("b")]);
        let right = StringArray::from(vec![Some("a"), Some("a"), Some("a"), None]);
        check(errors, json!({}), called, right, &[0.0, 1.0, f64::NAN, f64::NAN]);
        check(errors, json!({}), Float64Array::from(vec![1.0, 0.0]), BooleanArray::from(vec![true, true]), &[0.0, 1.0]);
        let error = run(errors, json!({}), Float64Array::from(vec![0.7]), Int64Array::from(vec![1])).unwrap_err();
        assert_eq!((error.message.as_str(), error.help.is_empty()), ("`p` has the value 0.7, expected a class", false));
    }

    #[test]
    fn scores_call_the_greatest_or_what_is_beyond_the_threshold() {
        let rows = [[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [f64::NAN, 0.5, 0.5]];
        check(errors, json!({}), scores(&rows), Int64Array::from(vec![1, 1, 1]), &[0.0, 1.0, f64::NAN]);
        let named = json!({"classes": ["x", "y", "z"]});
        check(errors, named.clone(), scores(&rows[..1]), StringArray::from(vec!["z"]), &[1.0]);
        let found = run(errors, named, scores(&rows[..2]), StringArray::from(vec!["w", "x"])).unwrap();
        assert_eq!(found.values, [1.0, 0.0]);
        assert!(found.unknown.unwrap().starts_with("labels that are none of the classes x, y, z count as errors"));
        let threshold = json!({"threshold": 0.8});
        check(errors, threshold, Float64Array::from(vec![0.7, 0.8]), Int64Array::from(vec![1, 1]), &[1.0, 0.0]);
    }

    #[test]
    fn losses_are_those_of_the_formulas() {
        let (predicted, right) = (|| Float64Array::from(vec![1.0, 5.0]), || Float64Array::from(vec![Some(3.0), None]));
        check(losses, json!({}), predicted(), right(), &[2.0, f64::NAN]);
        check(losses, json!({"loss": "squared"}), predicted(), right(), &[4.0, f64::NAN]);
        let log = json!({"loss": "log"});
        let chances = Float64Array::from(vec![0.25, 0.25, 0.0, 1.0, 2.0]);
        let labels = Int64Array::from(vec![1, 0, 1, 1, 1]);
        check(losses, log.clone(), chances, labels, &[-0.25_f64.ln(), -0.75_f64.ln(), -1e-15_f64.ln(), 0.0, f64::NAN]);
        check(losses, log, scores(&[[0.2, 0.5, 0.3]]), Int64Array::from(vec![2]), &[-0.3_f64.ln()]);
        let error = run(losses, json!({}), scores(&[[0.2, 0.5, 0.3]]), Int64Array::from(vec![2])).unwrap_err();
        assert_eq!(error.message, "`p` has 3 numbers a row, expected one");
    }
}
