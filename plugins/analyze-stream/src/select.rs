//! Which columns are watched.

use modelwatch_sdk::{
    arrow::schema::{DataType, Field},
    rows::{Use, has_use, is_numeric, name_matches},
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
    let name = field.name();
    let is_output = has_use(field, Use::Candidate) || has_use(field, Use::Baseline);
    if is_output || config.exclude.iter().any(|it| name_matches(it, name)) {
        return Choice::Other;
    }
    let is_named = config.columns.contains(name);
    let is_feature = has_use(field, Use::Feature);
    let fits = config.columns.is_empty() || config.columns.iter().any(|it| name_matches(it, name));
    // A pattern means features; a name means that column, whatever it is for.
    let is_meant = is_named || is_feature && fits;
    if !is_meant {
        return Choice::Other;
    }
    let number_type = match number_type(field.data_type()) {
        Ok(it) => it,
        Err(why) => return Choice::Unusable(why),
    };
    if is_named {
        return Choice::Watched;
    }
    if has_use(field, Use::Categorical) {
        return Choice::Unusable("its numbers are names of categories".to_owned());
    }
    if config.types.is_empty() || config.types.contains(&number_type) { Choice::Watched } else { Choice::Other }
}

/// Returns the columns that the options name in full.
pub(crate) fn named_columns(config: &Config) -> impl Iterator<Item = &String> {
    config.columns.iter().filter(|it| !it.contains('*'))
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
        DataType::Boolean => Ok(NumberType::Boolean),
        it if is_numeric(it) && it.is_integer() => Ok(NumberType::Integer),
        it if is_numeric(it) || it.is_decimal() => Ok(NumberType::Float),
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
