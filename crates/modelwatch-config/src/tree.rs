//! Turns parsed TOML into JSON, and records where each value stands.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use crate::{
    code,
    diagnostic::{Diagnostic, Origin},
    document::Place,
};

/// JSON pointer → where the value stands.
pub(crate) type SpanMap = HashMap<String, Spans>;

/// Where a value and the key before it stand.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    /// `None` for elements of an array.
    pub(crate) key: Option<Place>,
    pub(crate) value: Place,
}

/// Converts a whole file.
pub(crate) fn from_toml(root: Spanned<DeTable<'_>>, spans: &mut SpanMap, diagnostics: &mut Vec<Diagnostic>) -> Value {
    let base = Place { origin: Origin::File, range: 0..0 };
    Converter { base: &base, spans, diagnostics }.table(root.into_inner(), "")
}

/// Converts one value whose text begins at `base`, to stand at `pointer`.
pub(crate) fn from_toml_value(
    value: Spanned<DeValue<'_>>,
    pointer: &str,
    base: &Place,
    spans: &mut SpanMap,
    diagnostics: &mut Vec<Diagnostic>,
) -> Value {
    Converter { base, spans, diagnostics }.value(value, None, pointer)
}

/// Returns the JSON pointer (RFC 6901) of a key in the table at `pointer`.
///
/// ```
/// assert_eq!(modelwatch_config::pointer("/data/columns/inputs", "a/b"), "/data/columns/inputs/a~1b");
/// ```
pub fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Returns the last key of a pointer.
pub(crate) fn last_key(pointer: &str) -> String {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    last.replace("~1", "/").replace("~0", "~")
}

/// Returns a pointer as it is written after `--set`.
pub(crate) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

/// Returns what TOML calls the type of a value, with its article.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(it) if it.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

struct Converter<'a> {
    base: &'a Place,
    spans: &'a mut SpanMap,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Converter<'_> {
    fn table(&mut self, table: DeTable<'_>, pointer: &str) -> Value {
        let mut res = Map::new();
        for (key, value) in table {
            let place = self.place(key.span());
            let child = join(pointer, key.get_ref());
            let value = self.value(value, Some(place), &child);
            res.insert(key.into_inner().into_owned(), value);
        }
        Value::Object(res)
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, key: Option<Place>, pointer: &str) -> Value {
        let place = self.place(value.span());
        self.spans.insert(pointer.to_owned(), Spans { key, value: place.clone() });
        match value.into_inner() {
            DeValue::String(it) => Value::String(it.into_owned()),
            DeValue::Boolean(it) => Value::Bool(it),
            DeValue::Integer(it) => integer(&it).unwrap_or_else(|| {
                let message = format!("the integer of `{}` does not fit in 64 bits", dotted(pointer));
                self.report(Diagnostic::error(code::NUMBER, pointer, message).place(Some(place)).label("too large"))
            }),
            DeValue::Float(it) => match it.as_str().parse().ok().and_then(Number::from_f64) {
                Some(it) => Value::Number(it),
                None => {
                    let message = format!("the number of `{}` is not finite", dotted(pointer));
                    self.report(
                        Diagnostic::error(code::NUMBER, pointer, message)
                            .place(Some(place))
                            .label("not a finite number")
                            .help("leave the key out if there is no limit"),
                    )
                }
            },
            DeValue::Datetime(it) => self.report(
                Diagnostic::error(code::DATE, pointer, format!("`{}` does not take a date or time", dotted(pointer)))
                    .place(Some(place))
                    .label("a date or time")
                    .help(format!("write it as a string: \"{it}\"")),
            ),
            DeValue::Array(it) => {
                let items = it.into_iter().enumerate();
                items.map(|(idx, item)| self.value(item, None, &format!("{pointer}/{idx}"))).collect()
            }
            DeValue::Table(it) => self.table(it, pointer),
        }
    }

    /// Records a value that has no JSON form; its place is held by null, about which nothing more is reported.
    fn report(&mut self, diagnostic: Diagnostic) -> Value {
        self.diagnostics.push(diagnostic);
        Value::Null
    }

    fn place(&self, range: std::ops::Range<usize>) -> Place {
        let start = self.base.range.start;
        Place { origin: self.base.origin, range: start + range.start..start + range.end }
    }
}

fn integer(it: &DeInteger<'_>) -> Option<Value> {
    let signed = i64::from_str_radix(it.as_str(), it.radix()).map(Value::from);
    signed.or_else(|_| u64::from_str_radix(it.as_str(), it.radix()).map(Value::from)).ok()
}
