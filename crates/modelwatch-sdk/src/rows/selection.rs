//! Which columns the options mean: by name, by `*` in names, and by type.

use std::{collections::BTreeMap, slice};

use arrow_schema::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::{Use, column_type::ColumnType, has_use, is_computed, pattern::name_matches};
use crate::error::{Error, Result, pointer};

/// Before the name of a type of columns.
pub const TYPE: &str = "type:";

/// The words for types, as help has them.
const TYPES: &str = "the types are `integer`, `number`, `text`, `boolean`, `categorical`, `time` and `list`";

/// The columns that options mean, as they are written there.
///
/// Each text is the name of a column, a name with `*` for any text, or `type:` with a type: one of [`ColumnType`], or `categorical`
/// for texts, truth values and numbers that are declared to be names of categories, which are no numbers then.
///
/// ```
/// use modelwatch_sdk::{
///     arrow::schema::{DataType, Field},
///     rows::{Selection, Use, with_uses},
/// };
///
/// let columns = ["num_*".to_owned(), "type:categorical".to_owned()];
/// let selection = Selection { columns: &columns, ..Selection::default() };
/// let feature = |name: &str, data_type| with_uses(Field::new(name, data_type, true), &[Use::Feature]);
/// assert!(selection.selects(&feature("num_rooms", DataType::Int64)));
/// assert!(selection.selects(&feature("city", DataType::Utf8)));
/// assert!(!selection.selects(&feature("price", DataType::Float64)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The columns that are meant; every feature where it is empty.
    pub columns: &'a [String],
    /// Those of them that are not.
    pub exclude: &'a [String],
    /// Columns whose numbers are names of categories, beside those that the pipeline declares; there are no types among them.
    pub categorical: &'a [String],
}

/// A [`Selection`] that a probe tells the host, so that a run is refused before it starts where one of its `columns` means none of the data, or
/// a name or pattern in `exclude` or `categorical` is that of no column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectedColumns {
    /// As in [`Selection::columns`]; they stand in the option of that name.
    pub columns: Vec<String>,
    /// As in [`Selection::exclude`]; they stand in the option of that name.
    pub exclude: Vec<String>,
    /// As in [`Selection::categorical`]; they stand in the option of that name.
    pub categorical: Vec<String>,
}

/// A name elsewhere in the options of a probe, so that whoever runs it is told before it starts where nothing is called so.
///
/// Leave out what may mean nothing, as a default does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mention {
    /// The name, or that of a column or a slice column with `*` for any text; of a column also `type:` with a type.
    pub name: String,
    /// Where it stands, as a JSON pointer into the options: as a value, or as the key of one.
    pub pointer: String,
    /// What it is the name of.
    pub of: Named,
}

/// What a name in the options of a probe is the name of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Named {
    /// A column of the data that the probe reads.
    #[default]
    Column,
    /// A column, or an output of the candidate.
    ColumnOrOutput,
    /// One of `slices` in `[data.columns]`.
    SliceColumn,
    /// An output of each model that the probe wants to be run. A run goes on without it, since it may be the model that is wrong, which is for the
    /// probe to say.
    Output,
}

impl Mention {
    /// Returns the mention of a column at a pointer into the options.
    pub fn new(name: &str, pointer: impl Into<String>) -> Self {
        Self { name: name.to_owned(), pointer: pointer.into(), of: Named::Column }
    }

    /// Returns those of a list in the options.
    ///
    /// ```
    /// use modelwatch_sdk::rows::Mention;
    /// let names = ["age".to_owned(), "num_*".to_owned()];
    /// let second = Mention::listed("include", &names).nth(1).unwrap();
    /// assert_eq!((second.name.as_str(), second.pointer.as_str()), ("num_*", "/include/1"));
    /// ```
    pub fn listed(option: &str, names: &[String]) -> impl Iterator<Item = Self> {
        names.iter().enumerate().map(move |(at, name)| Self::new(name, format!("/{option}/{at}")))
    }

    /// Returns those that are the keys of a table in the options.
    ///
    /// ```
    /// use modelwatch_sdk::rows::Mention;
    /// let weights = [("age".to_owned(), 0.5)].into();
    /// assert_eq!(Mention::keys("importance", &weights).next().unwrap().pointer, "/importance/age");
    /// ```
    pub fn keys<T>(option: &str, table: &BTreeMap<String, T>) -> impl Iterator<Item = Self> {
        table.keys().map(move |name| Self::new(name, pointer(&format!("/{option}"), name)))
    }

    /// Returns those of slice columns in the option `slices`.
    pub fn slices(names: &[String]) -> impl Iterator<Item = Self> {
        Self::listed("slices", names).map(|it| it.of(Named::SliceColumn))
    }

    /// Returns that of an output in the option `output`, if one is named.
    pub fn output(name: Option<&String>) -> Option<Self> {
        name.map(|it| Self::new(it, "/output").of(Named::Output))
    }

    /// Returns the mention of something else than a column.
    #[must_use]
    pub fn of(self, of: Named) -> Self {
        Self { of, ..self }
    }
}

impl SelectedColumns {
    /// Returns the selection.
    pub fn selection(&self) -> Selection<'_> {
        Selection { columns: &self.columns, exclude: &self.exclude, categorical: &self.categorical }
    }
}

impl From<Selection<'_>> for SelectedColumns {
    fn from(it: Selection<'_>) -> Self {
        Self { columns: it.columns.to_vec(), exclude: it.exclude.to_vec(), categorical: it.categorical.to_vec() }
    }
}

/// What one text of the options means.
enum Pattern<'a> {
    Name(&'a str),
    Names(&'a str),
    Type(ColumnType),
    Categorical,
}

impl<'a> Selection<'a> {
    /// Checks that the types are known.
    ///
    /// # Errors
    /// When one is not.
    pub fn check(&self) -> Result<()> {
        for (option, texts) in [("columns", self.columns), ("exclude", self.exclude)] {
            if let Some(at) = texts.iter().position(|it| Pattern::of(it).is_none()) {
                let message = format!("`{}` is no type of columns", &texts[at][TYPE.len()..]);
                return Err(Error::config(format!("/{option}/{at}"), message).with_help(TYPES));
            }
        }
        if let Some(at) = self.categorical.iter().position(|it| it.starts_with(TYPE)) {
            let message = format!("`{}` is no name of a column", self.categorical[at]);
            return Err(
                Error::config(format!("/categorical/{at}"), message).with_help("give names, `*` standing for any text")
            );
        }
        Ok(())
    }

    /// Returns whether the column is meant: a name means that column whatever it is for, all else means features.
    ///
    /// Outputs and layers of models are never meant.
    pub fn selects(&self, field: &Field) -> bool {
        if is_computed(field) || self.excludes(field) {
            return false;
        }
        if self.is_named(field) {
            return true;
        }
        has_use(field, Use::Feature) && (self.columns.is_empty() || self.fits_any(self.columns, field))
    }

    /// Returns whether the column is left out.
    pub fn excludes(&self, field: &Field) -> bool {
        self.fits_any(self.exclude, field)
    }

    /// Returns whether the column is meant by its name in full.
    pub fn is_named(&self, field: &Field) -> bool {
        self.named().any(|it| it == field.name())
    }

    /// Returns whether the column's values are names of categories by declaration, whatever their type.
    pub fn is_declared_categorical(&self, field: &Field) -> bool {
        has_use(field, Use::Categorical) || self.categorical.iter().any(|it| name_matches(it, field.name()))
    }

    /// Returns the columns that are meant by their names in full, which have to be there.
    pub fn named(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.columns.iter().filter(|it| matches!(Pattern::of(it), Some(Pattern::Name(_))))
    }

    /// Returns whether any column is meant or left out by its type, which a stored profile does not have.
    pub fn has_types(&self) -> bool {
        self.columns.iter().chain(self.exclude).any(|it| it.starts_with(TYPE))
    }

    /// Returns those of `columns` that mean none of these columns, or only ones that are left out, each with its place among them.
    pub fn idle(self, fields: &[Field]) -> impl Iterator<Item = (usize, &'a str)> {
        self.columns.iter().enumerate().filter_map(move |(at, text)| {
            let alone = Selection { columns: slice::from_ref(text), ..self };
            (!fields.iter().any(|it| alone.selects(it))).then_some((at, text.as_str()))
        })
    }

    /// Returns the names of columns, in full or with `*`, that mean none of these.
    pub fn unmatched<'b>(&self, names: impl Iterator<Item = &'b str> + Clone) -> impl Iterator<Item = &'a String> {
        self.columns
            .iter()
            .filter(move |pattern| !pattern.starts_with(TYPE) && !names.clone().any(|it| name_matches(pattern, it)))
    }

    fn fits_any(&self, texts: &[String], field: &Field) -> bool {
        texts.iter().filter_map(|it| Pattern::of(it)).any(|it| self.fits(&it, field))
    }

    fn fits(&self, pattern: &Pattern<'_>, field: &Field) -> bool {
        match pattern {
            Pattern::Name(it) => it == field.name(),
            Pattern::Names(it) => name_matches(it, field.name()),
            Pattern::Categorical => is_name(field.data_type()) || self.is_declared_categorical(field),
            Pattern::Type(it @ (ColumnType::Integer | ColumnType::Number)) => {
                it.includes(field.data_type()) && !self.is_declared_categorical(field)
            }
            Pattern::Type(it) => it.includes(field.data_type()),
        }
    }
}

impl<'a> Pattern<'a> {
    /// Returns what a text means; none for a type that there is not.
    fn of(text: &'a str) -> Option<Self> {
        match text.strip_prefix(TYPE) {
            Some("categorical") => Some(Self::Categorical),
            Some(word) => ColumnType::parse(word).map(Self::Type),
            None if text.contains('*') => Some(Self::Names(text)),
            None => Some(Self::Name(text)),
        }
    }
}

/// Returns whether values of that type are names by themselves, as numbers in a dictionary are.
fn is_name(data_type: &DataType) -> bool {
    if let DataType::Dictionary(_, values) = data_type
        && (values.is_integer() || values.is_floating())
    {
        return true;
    }
    [ColumnType::Text, ColumnType::Boolean].iter().any(|it| it.includes(data_type))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::TimeUnit;

    use super::*;
    use crate::rows::with_uses;

    fn fields() -> Vec<Field> {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let feature = |name: &str, data_type| with_uses(Field::new(name, data_type, true), &[Use::Feature]);
        vec![
            feature("age", DataType::Int64),
            feature("price", DataType::Float32),
            feature("tax", DataType::Decimal128(9, 2)),
            feature("city", DataType::Utf8),
            feature("color", dictionary),
            feature("new", DataType::Boolean),
            feature("built", DataType::Timestamp(TimeUnit::Second, None)),
            feature("image", DataType::FixedSizeList(item, 4)),
            with_uses(Field::new("zip", DataType::Int32, true), &[Use::Feature, Use::Categorical]),
            with_uses(Field::new("weight", DataType::Float64, true), &[Use::Weight]),
            with_uses(Field::new("candidate:score", DataType::Float64, true), &[Use::Candidate]),
        ]
    }

    fn selected(columns: &[&str], exclude: &[&str], categorical: &[&str]) -> Vec<String> {
        let [columns, exclude, categorical] =
            [columns, exclude, categorical].map(|it| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let selection = Selection { columns: &columns, exclude: &exclude, categorical: &categorical };
        selection.check().unwrap();
        fields().iter().filter(|it| selection.selects(it)).map(|it| it.name().clone()).collect()
    }

    #[test]
    fn columns_are_meant_by_name_by_pattern_and_by_type() {
        let all = ["age", "price", "tax", "city", "color", "new", "built", "image", "zip"];
        assert_eq!(selected(&[], &[], &[]), all);
        assert_eq!(selected(&["*"], &["type:list", "c*"], &[]), ["age", "price", "tax", "new", "built", "zip"]);
        assert_eq!(selected(&["type:number"], &[], &[]), ["age", "price", "tax"]);
        assert_eq!(selected(&["type:integer"], &[], &[]), ["age"]);
        assert_eq!(selected(&["type:categorical"], &[], &[]), ["city", "color", "new", "zip"]);
        assert_eq!(selected(&["type:text", "type:time"], &["city"], &[]), ["color", "built"]);
        assert_eq!(selected(&["type:list", "p*", "new"], &[], &[]), ["price", "new", "image"]);
    }

    #[test]
    fn numbers_that_are_declared_to_be_names_are_no_numbers() {
        assert_eq!(selected(&["type:number"], &[], &["a*"]), ["price", "tax"]);
        assert_eq!(selected(&["type:categorical"], &[], &["age"]), ["age", "city", "color", "new", "zip"]);
    }

    #[test]
    fn only_names_mean_columns_that_are_no_features() {
        assert_eq!(selected(&["weight", "zip"], &[], &[]), ["zip", "weight"]);
        assert_eq!(selected(&["w*"], &[], &[]), [""; 0]);
        assert_eq!(selected(&["candidate:score", "candidate:*"], &[], &[]), [""; 0]);
    }

    #[test]
    fn unknown_types_are_refused_where_they_stand() {
        let check = |selection: Selection<'_>, path: &str, message: &str| {
            let error = selection.check().unwrap_err();
            assert_eq!((error.path.as_str(), error.message.as_str()), (path, message));
        };
        let texts = ["age".to_owned(), "type:float".to_owned()];
        let columns = Selection { columns: &texts, ..Selection::default() };
        check(columns, "/columns/1", "`float` is no type of columns");
        let exclude = Selection { exclude: &texts, ..Selection::default() };
        check(exclude, "/exclude/1", "`float` is no type of columns");
        let texts = ["type:integer".to_owned()];
        let categorical = Selection { categorical: &texts, ..Selection::default() };
        check(categorical, "/categorical/0", "`type:integer` is no name of a column");
    }

    #[test]
    fn what_means_no_column_or_only_excluded_ones_is_idle() {
        let texts = ["age", "p*", "type:list", "r*", "type:boolean", "w*", "rooms"].map(str::to_owned);
        let exclude = ["price".to_owned(), "type:boolean".to_owned()];
        let selection = Selection { columns: &texts, exclude: &exclude, ..Selection::default() };
        let idle = [(1, "p*"), (3, "r*"), (4, "type:boolean"), (5, "w*"), (6, "rooms")];
        assert_eq!(selection.idle(&fields()).collect::<Vec<_>>(), idle);
        assert_eq!(SelectedColumns::from(selection).selection().idle(&fields()).collect::<Vec<_>>(), idle);
        assert_eq!(Selection::default().idle(&fields()).count(), 0);
    }

    #[test]
    fn names_that_mean_no_column_are_told() {
        let texts = ["age", "p*", "type:text", "rooms"].map(str::to_owned);
        let selection = Selection { columns: &texts, ..Selection::default() };
        assert_eq!(selection.unmatched(["age", "size"].into_iter()).collect::<Vec<_>>(), ["p*", "rooms"]);
        assert_eq!(selection.named().collect::<Vec<_>>(), ["age", "rooms"]);
    }
}
