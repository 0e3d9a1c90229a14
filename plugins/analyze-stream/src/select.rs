//! Which columns are watched.

use modelwatch_sdk::{
    arrow::schema::{DataType, Field},
    rows::{Use, are_number_lists, has_use, is_numeric},
};

use crate::config::{Config, NumberType};

/// The most elements of a list that are watched.
pub(crate) const MAX_ELEMENTS: usize = 64;

/// Whether a column is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Watched,
    /// The options mean another one.
    Other,
    /// The options mean this one, but it is no stream of numbers; the reason.
    Unusable(String),
}

/// Returns whether the column is watched.
pub(crate) fn choose(config: &Config, field: &Field) -> Choice {
    let selection = config.selection();
    if !selection.selects(field) {
        return Choice::Other;
    }
    if selection.is_named(field) && are_number_lists(field.data_type()) {
        return Choice::Watched;
    }
    let number_type = match number_type(field.data_type()) {
        Ok(it) => it,
        Err(why) => return Choice::Unusable(why),
    };
    if selection.is_named(field) {
        return Choice::Watched;
    }
    if has_use(field, Use::Categorical) || matches!(field.data_type(), DataType::Dictionary(..)) {
        let why = "its numbers are names of categories; name it in `columns` if they say how much";
        return Choice::Unusable(why.to_owned());
    }
    if config.types.is_empty() || config.types.contains(&number_type) { Choice::Watched } else { Choice::Other }
}

/// Returns the type of a column's numbers.
///
/// # Errors
/// When it has none, or lists that are too long; the reason.
fn number_type(data_type: &DataType) -> Result<NumberType, String> {
    match data_type {
        DataType::FixedSizeList(item, _) => {
            let width = width(data_type);
            if width > MAX_ELEMENTS {
                return Err(format!("a row has {width} numbers, more than {MAX_ELEMENTS}"));
            }
            number_type(item.data_type())
        }
        DataType::Dictionary(_, values) if is_numeric(values) => number_type(values),
        DataType::Boolean => Ok(NumberType::Boolean),
        it if is_numeric(it) && it.is_integer() => Ok(NumberType::Integer),
        it if is_numeric(it) || it.is_decimal() => Ok(NumberType::Float),
        // What is said must not depend on which rows come together, so that the lengths themselves are not looked at.
        it if are_number_lists(it) => Err(format!(
            "it has lists of variable length, of type {it}, and lists are watched that have one length; name the column in `columns` where all of its lists have one, or give it a type of fixed-size lists"
        )),
        it => Err(format!("it has values of type {it}, which are no numbers")),
    }
}

/// Returns how many numbers a row has.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, n) => (*n).max(0) as usize * width(item.data_type()),
        _ => 1,
    }
}
