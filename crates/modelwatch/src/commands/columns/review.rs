//! What rules about columns have to allow for the data to keep them.
//!
//! Rules are only ever made looser here, by what the data shows: that they could be tighter is no reason to change what a person wrote.

use modelwatch_runtime::profile::ObservedColumn;
use modelwatch_sdk::rows::{ColumnType, TYPE, name_matches};
use serde_json::{Map, Value, json};

/// More names are no list that anybody reviews.
const MAX_NAMES: usize = 50;

/// A name that comes less often on average does not say that it is one of a few.
const ROWS_PER_NAME: u64 = 10;

/// Shares of missing values are rounded up to whole multiples of its inverse.
const SHARES: f64 = 100.0;

/// How a column is used, beside its values.
pub(super) struct Uses<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) label: Option<&'a str>,
    pub(super) categorical: &'a [String],
}

/// A part of a rule that is other than before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) column: String,
    /// The option of the rule; none where the whole rule is new.
    pub(super) option: Option<&'static str>,
    pub(super) before: Option<Value>,
    pub(super) now: Value,
}

/// Returns what has to change for the data to keep the rules, in the order of the data.
pub(super) fn review(rules: &Map<String, Value>, columns: &[ObservedColumn], uses: &Uses<'_>) -> Vec<Change> {
    let mut res = Vec::new();
    for column in columns {
        let of_type =
            |it: &str| it.strip_prefix(TYPE).is_some_and(|it| column.kind.is_some_and(|kind| kind.as_str() == it));
        let is_covered = || rules.keys().any(|it| (it.contains('*') && name_matches(it, &column.name)) || of_type(it));
        match rules.get(&column.name).and_then(Value::as_object) {
            Some(rule) => res.extend(loosened(rule, column)),
            // What a pattern or a type says is held for many columns, and not made looser for one of them.
            None if is_covered() => {}
            None => res.push(Change {
                column: column.name.clone(),
                option: None,
                before: None,
                now: Value::Object(inferred(column, uses)),
            }),
        }
    }
    let is_name = |it: &str| !it.contains('*') && !it.starts_with(TYPE);
    let is_gone = |name: &str| is_name(name) && !columns.iter().any(|it| it.name == name);
    let required = |rule: &Value| rule.get("required").and_then(Value::as_bool).unwrap_or(true);
    res.extend(rules.iter().filter(|(name, rule)| is_gone(name) && required(rule)).map(|(name, rule)| Change {
        column: name.clone(),
        option: Some("required"),
        before: rule.get("required").cloned(),
        now: json!(false),
    }));
    res
}

/// Returns the rule that the data suggests.
fn inferred(column: &ObservedColumn, uses: &Uses<'_>) -> Map<String, Value> {
    let name = Some(column.name.as_str());
    let is_id = uses.id == name;
    let is_name = uses.categorical.contains(&column.name);
    let mut res = Map::new();
    if let Some(it) = column.kind {
        res.insert("type".to_owned(), json!(it.as_str()));
    }
    // Identifiers and codes of categories have no meaningful order.
    if let (Some((min, max)), false) = (column.range, is_id || is_name) {
        res.insert("min".to_owned(), bound(column, min));
        res.insert("max".to_owned(), bound(column, max));
    }
    if let Some(names) = column.names.as_ref().filter(|it| {
        let is_few = it.len() <= MAX_NAMES && it.len() as u64 * ROWS_PER_NAME <= column.rows;
        !is_id && is_few && !it.is_empty() && column.kind == Some(ColumnType::Text)
    }) {
        res.insert("categories".to_owned(), json!(names));
    }
    if column.rows > 0 {
        res.insert("max_missing".to_owned(), max_missing(column));
    }
    if is_id && column.is_unique == Some(true) {
        res.insert("unique".to_owned(), json!(true));
    }
    if uses.label == name {
        // Labels come later.
        res.insert("required".to_owned(), json!(false));
    }
    res
}

/// Returns what of a rule the data does not keep.
fn loosened(rule: &Map<String, Value>, column: &ObservedColumn) -> Vec<Change> {
    let mut res = Vec::new();
    let mut change = |option: &'static str, now: Value| {
        res.push(Change { column: column.name.clone(), option: Some(option), before: rule.get(option).cloned(), now });
    };
    let is_number = |kind| matches!(kind, ColumnType::Integer | ColumnType::Number);
    if let (Some(written), Some(kind)) = (rule.get("type").and_then(Value::as_str), column.kind)
        && written != kind.as_str()
        && !(written == "number" && is_number(kind))
    {
        change("type", json!(kind.as_str()));
    }
    if let Some((min, max)) = column.range {
        if rule.get("min").and_then(Value::as_f64).is_some_and(|it| min < it) {
            change("min", bound(column, min));
        }
        if rule.get("max").and_then(Value::as_f64).is_some_and(|it| max > it) {
            change("max", bound(column, max));
        }
    }
    if let (Some(written), Some(names)) = (rule.get("categories").and_then(Value::as_array), &column.names) {
        let new: Vec<Value> = names.iter().map(|it| json!(it)).filter(|it| !written.contains(it)).collect();
        if !new.is_empty() {
            change("categories", written.iter().cloned().chain(new).collect());
        }
    }
    let share = column.missing as f64 / column.rows.max(1) as f64;
    if rule.get("max_missing").and_then(Value::as_f64).is_some_and(|it| share > it) {
        change("max_missing", max_missing(column));
    }
    if rule.get("unique").and_then(Value::as_bool) == Some(true) && column.is_unique == Some(false) {
        change("unique", json!(false));
    }
    res
}

/// Returns a bound as it is written: without a fraction where the type has none.
fn bound(column: &ObservedColumn, value: f64) -> Value {
    if column.kind == Some(ColumnType::Integer) { json!(value as i64) } else { json!(value) }
}

/// Returns the share of missing values, rounded up, so that the next data of its kind keeps it.
fn max_missing(column: &ObservedColumn) -> Value {
    let share = (column.missing as f64 / column.rows.max(1) as f64 * SHARES).ceil() / SHARES;
    if share == 0.0 { json!(0) } else { json!(share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType) -> ObservedColumn {
        let mut res = ObservedColumn::new(name, 1000);
        res.kind = Some(kind);
        res
    }

    fn review_of(rules: Value, columns: &[ObservedColumn]) -> Vec<(String, Option<&'static str>, Value)> {
        let uses = Uses { id: Some("id"), label: Some("y"), categorical: &["code".to_owned()] };
        let changes = review(rules.as_object().unwrap(), columns, &uses);
        changes.into_iter().map(|it| (it.column, it.option, it.now)).collect()
    }

    fn table() -> Vec<ObservedColumn> {
        let mut id = column("id", ColumnType::Integer);
        (id.range, id.is_unique) = (Some((1.0, 1000.0)), Some(true));
        let mut price = column("price", ColumnType::Number);
        (price.range, price.missing) = (Some((0.5, 99.0)), 11);
        let mut town = column("town", ColumnType::Text);
        town.names = Some(vec!["a".to_owned(), "b".to_owned()]);
        let mut words = column("words", ColumnType::Text);
        words.names = Some((0..400).map(|it| it.to_string()).collect());
        let mut y = column("y", ColumnType::Integer);
        y.range = Some((0.0, 1.0));
        vec![id, price, town, words, y]
    }

    #[test]
    fn rules_are_inferred() {
        assert_eq!(
            review_of(json!({}), &table()).into_iter().map(|it| it.2).collect::<Vec<_>>(),
            [
                json!({ "type": "integer", "max_missing": 0, "unique": true }),
                json!({ "type": "number", "min": 0.5, "max": 99.0, "max_missing": 0.02 }),
                json!({ "type": "text", "categories": ["a", "b"], "max_missing": 0 }),
                json!({ "type": "text", "max_missing": 0 }),
                json!({ "type": "integer", "min": 0, "max": 1, "max_missing": 0, "required": false }),
            ]
        );
    }

    #[test]
    fn what_was_inferred_is_kept_by_the_same_data() {
        let rules: Map<String, Value> = review_of(json!({}), &table()).into_iter().map(|it| (it.0, it.2)).collect();
        assert_eq!(review_of(Value::Object(rules), &table()), []);
    }

    #[test]
    fn rules_become_looser_and_never_tighter() {
        let rules = json!({
            "id": { "unique": true, "pattern": "[0-9]+" },
            "price": { "type": "integer", "min": 1, "max": 1000, "max_missing": 0.01 },
            "town": { "categories": ["b", "z"], "max_missing": 0.5 },
            "w*": {},
            "y": { "type": "number", "required": false },
            "old": { "type": "text" },
            "older": { "required": false },
        });
        let mut columns = table();
        columns[0].is_unique = Some(false);
        let changed = |column: &str, option, now| (column.to_owned(), Some(option), now);
        assert_eq!(
            review_of(rules, &columns),
            [
                changed("id", "unique", json!(false)),
                changed("price", "type", json!("number")),
                changed("price", "min", json!(0.5)),
                changed("price", "max_missing", json!(0.02)),
                changed("town", "categories", json!(["b", "z", "a"])),
                changed("old", "required", json!(false)),
            ]
        );
    }
}
