//! What the columns of data are like, as far as rules about columns can say it.

use arrow_schema::{DataType, Schema};
use modelwatch_profile::{Body, Column, Group, file::Stored};
use modelwatch_sdk::rows::ColumnType;

/// Whole numbers beyond it are not kept exactly.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Longer names are nothing that rules list, in bytes.
const MAX_NAME: usize = 100;

/// What the data has under a name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ObservedColumn {
    /// The name.
    pub name: String,
    /// What its values are; none for values that no rule knows, and for a column without any.
    pub kind: Option<ColumnType>,
    /// All rows.
    pub rows: u64,
    /// Those without a value, null or NaN.
    pub missing: u64,
    /// The least and the greatest finite number, where they are exact.
    pub range: Option<(f64, f64)>,
    /// Every text or boolean, sorted; none where not all of them are kept.
    pub names: Option<Vec<String>>,
    /// Whether no value comes twice; none where that is not known.
    pub is_unique: Option<bool>,
}

impl ObservedColumn {
    /// Returns a column of so many rows of which nothing else is known.
    pub fn new(name: impl Into<String>, rows: u64) -> Self {
        Self { name: name.into(), kind: None, rows, missing: 0, range: None, names: None, is_unique: None }
    }
}

/// Returns what the columns of data are like, in the order of the data, given its profile.
pub fn observe(schema: &Schema, stored: &Stored) -> Vec<ObservedColumn> {
    let column = |name: &String| stored.profile.columns().get(&(Group::Feature, name.clone()));
    let fields = schema.fields().iter().filter_map(|it| Some((it, column(it.name())?)));
    fields.map(|(field, column)| observed(field.name(), type_of(field.data_type()), column)).collect()
}

/// Returns what the columns of a stored profile are like, in the order of their names.
///
/// It does not tell texts from booleans and from numbers that were declared to be names where these are spelled alike: such columns have no type.
pub fn observe_stored(stored: &Stored) -> Vec<ObservedColumn> {
    let columns = stored.profile.columns().iter().filter(|it| it.0.0 == Group::Feature);
    columns.map(|((_, name), column)| observed(name, profiled_type(column), column)).collect()
}

/// Returns what the values of a column of a profile are; none where it does not tell.
fn profiled_type(column: &Column) -> Option<ColumnType> {
    match column.body() {
        Body::Numeric(_) if column.has_spans() => None,
        Body::Numeric(it) if it.are_integers() => Some(ColumnType::Integer),
        Body::Numeric(_) => Some(ColumnType::Number),
        Body::Categorical(it) => {
            let is_word = |it: &&str| it.parse::<f64>().is_err() && it.parse::<bool>().is_err();
            it.counts().keys().any(is_word).then_some(ColumnType::Text)
        }
        Body::Tensor(_) => Some(ColumnType::List),
        Body::Empty if column.is_ragged() => Some(ColumnType::List),
        Body::Empty => column.description().and_then(|it| it.times).map(|_| ColumnType::Time),
    }
}

fn observed(name: &str, kind: Option<ColumnType>, column: &Column) -> ObservedColumn {
    let mut res = ObservedColumn::new(name, column.rows());
    res.kind = kind.filter(|_| column.nulls() < column.rows());
    res.missing = column.nulls();
    match column.body() {
        // What is told of times of day and durations in seconds is in no unit of their values.
        Body::Numeric(it) if !column.has_spans() => {
            res.missing = column.nulls().max(it.n_nan());
            let is_exact = |it: &(f64, f64)| it.0.abs() < LARGEST && it.1.abs() < LARGEST;
            res.range = it.range().filter(is_exact);
            let is_counted = it.relative_error() == 0.0 && it.n_infinite() == 0 && res.range.is_some();
            res.is_unique = is_counted.then(|| it.points().iter().all(|it| it.1 == 1));
        }
        Body::Categorical(it) => {
            res.is_unique = it.n_distinct().map(|distinct| distinct == it.n());
            let counts = it.counts();
            let is_named = matches!(res.kind, Some(ColumnType::Text | ColumnType::Boolean));
            // Longer names are not kept as they are.
            let is_whole = counts.keys().all(|it| it.len() <= MAX_NAME);
            res.names =
                (is_named && is_whole && !it.is_overflowed()).then(|| counts.into_keys().map(str::to_owned).collect());
        }
        Body::Numeric(_) | Body::Tensor(_) | Body::Empty => {}
    }
    res
}

/// Returns what values of that type are; none for those that no rule knows.
fn type_of(data_type: &DataType) -> Option<ColumnType> {
    match data_type {
        DataType::Boolean => Some(ColumnType::Boolean),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ColumnType::Text),
        DataType::Dictionary(_, values) => {
            type_of(values).filter(|it| matches!(it, ColumnType::Text | ColumnType::Boolean))
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(ColumnType::Time),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Some(ColumnType::List),
        it if it.is_integer() => Some(ColumnType::Integer),
        it if it.is_numeric() => Some(ColumnType::Number),
        _ => None,
    }
}
