//! Which columns are compared, and which numbers are categories.

pub(crate) use modelwatch_sdk::rows::name_matches as matches;
use modelwatch_sdk::{
    arrow::schema::Field,
    rows::{Use, has_use},
};

use crate::config::Config;

/// Returns whether the column is one to compare.
pub(crate) fn is_selected(config: &Config, field: &Field) -> bool {
    let name = field.name();
    if has_use(field, Use::Candidate) || has_use(field, Use::Baseline) || matches_any(&config.exclude, name) {
        return false;
    }
    let is_feature = has_use(field, Use::Feature);
    if config.columns.is_empty() {
        return is_feature;
    }
    // A pattern means features; a name means that column, whatever it is for.
    config.columns.iter().any(|it| it == name || (is_feature && matches(it, name)))
}

/// Returns whether the column's values are names, whatever their type.
pub(crate) fn is_declared_categorical(config: &Config, field: &Field) -> bool {
    has_use(field, Use::Categorical) || matches_any(&config.categorical, field.name())
}

/// Returns the columns that the options name in full.
pub(crate) fn named_columns(config: &Config) -> Vec<String> {
    config.columns.iter().filter(|it| !it.contains('*')).cloned().collect()
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|it| matches(it, name))
}
