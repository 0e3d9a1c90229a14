//! The options once they are known to make sense.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Error, Result,
    arrow::schema::Field,
    pointer,
    rows::{ColumnType, Mention, Selection, TYPE, Use, has_use, name_matches},
};
use regex::Regex;
use serde::{
    Deserialize,
    de::value::{Error as Untold, StrDeserializer},
};

use crate::{
    column::Column,
    config::{Config, Freshness},
    kind::Kind,
    rule::{Bound, ColumnRule},
    time::{parse_span, parse_time},
};

/// The options with what they spell read.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) null_words: BTreeSet<String>,
    pub(crate) freshness: Option<Expected>,
    /// By the names that are written, in their order.
    rules: Vec<(String, Rule)>,
}

/// What is written about a column, read.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) written: ColumnRule,
    pub(crate) categories: Option<BTreeSet<String>>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) min: Option<Limit>,
    pub(crate) max: Option<Limit>,
}

/// A bound of values, read. Times are whole numbers of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    Integer(i128),
    Number(f64),
    Time(i128),
}

/// How young the rows have to be, read.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) column: Option<String>,
    pub(crate) newest: Option<i128>,
    pub(crate) as_of: Option<i128>,
    pub(crate) max_age: Option<i128>,
}

impl Settings {
    /// Returns the settings if no option is outside of its domain.
    pub(crate) fn new(config: Config) -> Result<Self> {
        excluded(&config).check()?;
        let unknown = |it: &&String| it.strip_prefix(TYPE).is_some_and(|it| OfType::parse(it).is_none());
        if let Some(at) = config.include.iter().position(|it| unknown(&it)) {
            let message = format!("`{}` is no type of columns", &config.include[at][TYPE.len()..]);
            return Err(Error::config(format!("/include/{at}"), message).with_help(TYPES));
        }
        if let Some(it) = config.columns.keys().find(unknown) {
            return Err(Error::config(
                pointer("/columns", it),
                format!("`{}` is no type of columns", &it[TYPE.len()..]),
            )
            .with_help(TYPES));
        }
        config.limits.check()?;
        config.outlier_rows.check()?;
        check_numbers(&config)?;
        let rules = config.columns.iter().map(|(name, it)| Ok((name.clone(), rule(name, it)?)));
        let rules = rules.collect::<Result<_>>()?;
        let freshness = config.freshness.as_ref().map(expected).transpose()?;
        let null_words = config.null_words.iter().map(|it| it.trim().to_lowercase()).collect();
        Ok(Self { rules, freshness, null_words, config })
    }

    /// Returns the rule of a column: that of its full name, else of the longest pattern, else of its type.
    pub(crate) fn rule(&self, name: &str, column: &Column) -> Option<&Rule> {
        self.rule_of(name, column, &Vec::from_iter(column.kinds()))
    }

    /// Returns the greatest share of a column that may be missing. One without any value has the type of its reference column; without
    /// one, it may be of any, and the strictest rule of a type counts.
    pub(crate) fn max_missing(&self, name: &str, column: &Column, known: Option<&Column>) -> Option<f64> {
        // A stored profile does not tell texts from booleans.
        let is_typed = |it: &&Column| it.kinds().next().is_some() && it.stored().is_none();
        let typed = Some(column).filter(is_typed).or(known.filter(is_typed));
        match self.rule(name, typed.unwrap_or(column)) {
            Some(it) => it.written.max_missing,
            None if typed.is_some() => None,
            None => self.types().filter_map(|it| it.0.1.written.max_missing).min_by(f64::total_cmp),
        }
    }

    /// Returns whether the rule that some batches of a column had by their type is not that of all its types together.
    pub(crate) fn is_torn(&self, name: &str, column: &Column) -> bool {
        let kinds = Vec::from_iter(column.kinds());
        let rule = |kinds: &[Kind]| self.rule_of(name, column, kinds).map(std::ptr::from_ref);
        kinds.iter().any(|it| rule(std::slice::from_ref(it)) != rule(&kinds))
    }

    fn rule_of(&self, name: &str, column: &Column, kinds: &[Kind]) -> Option<&Rule> {
        let exact = self.rules.iter().find(|it| it.0 == name);
        let fitting = || self.rules.iter().filter(|it| name_matches(&it.0, name)).max_by_key(|it| it.0.len());
        // What is of two types, as an integer is a number, has the rule of the longer word, which says more.
        let of_type = || self.types().filter(|it| it.1.includes(column, kinds)).max_by_key(|it| it.0.0.len());
        exact.or_else(fitting).or_else(|| of_type().map(|it| it.0)).map(|it| &it.1)
    }

    /// Returns the names of columns that have to be there.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let is_required = |it: &&(String, Rule)| it.1.written.required.unwrap_or(true) && is_name(&it.0);
        self.rules.iter().filter(is_required).map(|it| it.0.as_str())
    }

    /// Returns the patterns that have a rule; with whether a column has to be there, where that is written.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&str, Option<bool>)> {
        let patterns = self.rules.iter().filter(|it| it.0.contains('*'));
        patterns.map(|it| (it.0.as_str(), it.1.written.required))
    }

    /// Returns the types that have a rule, as they are written, none of which any of the columns is of; with whether one has to be.
    pub(crate) fn types_without<'a>(
        &'a self,
        columns: &'a BTreeMap<String, Column>,
    ) -> impl Iterator<Item = (&'a str, bool)> {
        let unmet = self
            .types()
            .filter(|it| !columns.values().any(|column| it.1.includes(column, &Vec::from_iter(column.kinds()))));
        unmet.map(|it| (it.0.0.as_str(), it.0.1.written.required == Some(true)))
    }

    /// Returns the rules of types.
    fn types(&self) -> impl Iterator<Item = (&(String, Rule), OfType)> {
        self.rules.iter().filter_map(|it| Some((it, OfType::parse(it.0.strip_prefix(TYPE)?)?)))
    }

    /// Returns whether outliers are looked for among whole rows.
    pub(crate) fn finds_outlier_rows(&self) -> bool {
        !self.config.outlier_rows.methods.is_empty()
    }

    /// Returns whether columns are looked at or left out by their types.
    pub(crate) fn has_types(&self) -> bool {
        excluded(&self.config).has_types() || self.included().has_types()
    }

    /// Returns whether the column is to be left out.
    pub(crate) fn is_left_out(&self, field: &Field) -> bool {
        if excluded(&self.config).excludes(field) {
            return true;
        }
        let is_any = self.config.include.is_empty() || !has_use(field, Use::Feature);
        !is_any && !self.included().selects(field) && !self.config.columns.contains_key(field.name())
    }

    /// Returns what stands for columns, but for the rules about them: that these are kept is what is judged.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = Mention> {
        let Config { include, exclude, freshness, .. } = &self.config;
        let excluded = Mention::listed("exclude", exclude).filter(|it| !it.name.starts_with(TYPE));
        let timely = freshness.iter().filter_map(|it| it.column.as_deref());
        let timely = timely.map(|it| Mention::new(it, "/freshness/column"));
        Mention::listed("include", include).chain(excluded).chain(timely)
    }

    /// Returns the names and patterns of columns to look at of which there is none among these.
    pub(crate) fn unmatched<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        self.included().unmatched(names).cloned().collect()
    }

    fn included(&self) -> Selection<'_> {
        Selection { columns: &self.config.include, ..Selection::default() }
    }
}

/// The words for types, as help has them.
const TYPES: &str = "the types are `integer`, `number`, `text`, `boolean`, `categorical`, `time` and `list`";

/// A type that a rule is for. Numbers that are declared to be names of categories are no numbers.
#[derive(Clone, Copy)]
enum OfType {
    Categorical,
    Values(ColumnType),
}

impl OfType {
    fn parse(word: &str) -> Option<Self> {
        let values = StrDeserializer::<Untold>::new(word);
        if word == "categorical" {
            Some(Self::Categorical)
        } else {
            ColumnType::deserialize(values).ok().map(Self::Values)
        }
    }

    /// Returns whether values of all these kinds are of the type, in a column that may be declared to be something else.
    fn includes(self, column: &Column, kinds: &[Kind]) -> bool {
        let is_declared = column.has_use(Use::Categorical);
        let fit = |wanted| !kinds.is_empty() && kinds.iter().all(|it| it.fits(wanted));
        match self {
            Self::Categorical => {
                let is_name = |it: &Kind| it.fits(ColumnType::Text) || *it == Kind::Category;
                !kinds.is_empty() && (is_declared || kinds.iter().all(is_name) || fit(ColumnType::Boolean))
            }
            Self::Values(it @ (ColumnType::Integer | ColumnType::Number)) => fit(it) && !is_declared,
            Self::Values(it) => fit(it),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.contains('*') && !text.starts_with(TYPE)
}

fn excluded(config: &Config) -> Selection<'_> {
    Selection { exclude: &config.exclude, ..Selection::default() }
}

fn rule(name: &str, written: &ColumnRule) -> Result<Rule> {
    let path = |part: &str| pointer(&pointer("/columns", name), part);
    let limit = |part: &str, bound: &Option<Bound>| bound.as_ref().map(|it| limit(&path(part), it)).transpose();
    let (min, max) = (limit("min", &written.min)?, limit("max", &written.max)?);
    let pattern = written.pattern.as_ref().map(|it| {
        Regex::new(&format!("^(?:{it})$")).map_err(|e| {
            Error::config(path("pattern"), format!("`{it}` is no regular expression: {e}"))
                .with_help("write it as in the crate regex, without look-around and back-references")
        })
    });
    if let Some(share) = written.max_missing.filter(|it| !(0.0..=1.0).contains(it)) {
        return Err(
            Error::config(path("max_missing"), format!("`{share}` is no share")).with_help("use a number from 0 to 1")
        );
    }
    if min.zip(max).is_some_and(|(min, max)| min.value() > max.value()) {
        return Err(Error::config(path("min"), "the least value is above the greatest").with_help("exchange them"));
    }
    let categories = written.categories.as_ref().map(|it| it.iter().cloned().collect());
    Ok(Rule { written: written.clone(), categories, pattern: pattern.transpose()?, min, max })
}

fn limit(path: &str, bound: &Bound) -> Result<Limit> {
    match bound {
        Bound::Integer(it) => Ok(Limit::Integer((*it).into())),
        Bound::Number(it) => Ok(Limit::Number(*it)),
        Bound::Time(it) => Ok(Limit::Time(time(path, it)?)),
    }
}

fn expected(written: &Freshness) -> Result<Expected> {
    let at =
        |part: &str, it: &Option<String>| it.as_ref().map(|it| time(&format!("/freshness/{part}"), it)).transpose();
    let max_age = written.max_age.as_ref().map(|it| {
        parse_span(it).ok_or_else(|| {
            Error::config("/freshness/max_age", format!("`{it}` is no span of time"))
                .with_help("write it as `36h` or `7d`")
        })
    });
    let res = Expected {
        column: written.column.clone(),
        newest: at("newest", &written.newest)?,
        as_of: at("as_of", &written.as_of)?,
        max_age: max_age.transpose()?,
    };
    if res.max_age.is_some() && res.as_of.is_none() {
        return Err(Error::config("/freshness/max_age", "an age needs a time from which it is counted")
            .with_help("give `as_of`, as with `--set`; no clock is read"));
    }
    if res.newest.is_none() && res.as_of.is_none() {
        return Err(
            Error::config("/freshness", "nothing is expected of the times").with_help("give `newest` or `as_of`")
        );
    }
    Ok(res)
}

fn time(path: &str, text: &str) -> Result<i128> {
    let unread = || {
        Error::config(path, format!("`{text}` is no time"))
            .with_help("write it as `2026-11-01T00:00:00Z` or `2026-11-01`")
    };
    parse_time(text).ok_or_else(unread)
}

fn check_numbers(config: &Config) -> Result<()> {
    let numbers = [
        ("budget", config.budget, 100, 10_000_000),
        ("max_categories", config.max_categories, 10, 1_000_000),
        ("max_distinct", config.max_distinct, 100, 1_000_000),
        ("max_keys", config.max_keys, 1000, 10_000_000),
        ("sample_rows", config.sample_rows, 100, 1_000_000),
    ];
    for (name, value, least, greatest) in numbers {
        if !(least..=greatest).contains(&value) {
            return Err(Error::config(format!("/{name}"), format!("`{value}` is out of range"))
                .with_help(format!("use a whole number from {least} to {greatest}")));
        }
    }
    if config.min_rows.zip(config.max_rows).is_some_and(|(min, max)| min > max) {
        return Err(
            Error::config("/min_rows", "the least number of rows is above the greatest").with_help("exchange them")
        );
    }
    Ok(())
}

impl Limit {
    fn value(self) -> f64 {
        match self {
            Self::Integer(it) | Self::Time(it) => it as f64,
            Self::Number(it) => it,
        }
    }
}
