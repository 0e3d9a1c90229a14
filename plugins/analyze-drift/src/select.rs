//! Which columns are compared, and which numbers are categories.

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

/// Returns whether `name` is what `pattern` describes, `*` standing for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|it| name.strip_prefix(it)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        // The leftmost place leaves the most text for the parts that follow.
        let Some(start) = rest.find(part) else { return false };
        rest = &rest[start + part.len()..];
    }
    true
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|it| matches(it, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        let cases = [
            ("age", "age", true),
            ("age", "ages", false),
            ("", "", true),
            ("*", "", true),
            ("*", "anything", true),
            ("mean_*", "mean_radius", true),
            ("mean_*", "worst_mean_", false),
            ("*_error", "area_error", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**é*", "café!", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
