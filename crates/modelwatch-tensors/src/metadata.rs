//! What a checkpoint says of itself beside its tensors, as bounded JSON.

use serde_json::{Map, Number, Value};

const MAX_ENTRIES: usize = 10_000;
const MAX_VALUE: usize = 64 << 10;
const MAX_TOTAL: usize = 1 << 20;

/// Notes that are kept up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    entries: Map<String, Value>,
    n_bytes: usize,
}

impl Metadata {
    /// Adds a note, or says why it is left out; the first of two with one key is kept.
    pub(crate) fn add(&mut self, key: &str, value: Value) -> Result<(), String> {
        let n_bytes = key.len().saturating_add(size(&value));
        if n_bytes > MAX_VALUE {
            return Err(format!("takes {n_bytes} bytes as metadata, past the limit of {MAX_VALUE}"));
        }
        if self.entries.len() >= MAX_ENTRIES || self.n_bytes.saturating_add(n_bytes) > MAX_TOTAL {
            return Err(format!("is past the limit of {MAX_ENTRIES} entries or {MAX_TOTAL} bytes of metadata"));
        }
        if !self.entries.contains_key(key) {
            self.n_bytes += n_bytes;
            self.entries.insert(key.to_owned(), value);
        }
        Ok(())
    }

    pub(crate) fn into_entries(self) -> Map<String, Value> {
        self.entries
    }
}

/// Returns a number, or, as JSON has none, the name of what is not finite.
pub(crate) fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

/// The bytes of the content; the recursion is as deep as what was parsed before, which had its own limit.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().fold(8, |sum, it| sum.saturating_add(size(it))),
        Value::Object(entries) => {
            entries.iter().fold(8, |sum, (key, it)| sum.saturating_add(key.len()).saturating_add(size(it)))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_past_the_limits_is_named_and_left_out() {
        let mut metadata = Metadata::default();
        metadata.add("step", json!(3)).unwrap();
        metadata.add("step", json!(4)).unwrap();
        let error = metadata.add("long", json!("x".repeat(MAX_VALUE))).unwrap_err();
        assert!(error.contains("past the limit of 65536"), "{error}");
        let mut n_kept = 0;
        while metadata.add(&format!("k{n_kept}"), json!(["x".repeat(60_000)])).is_ok() {
            n_kept += 1;
        }
        assert_eq!(n_kept, MAX_TOTAL / 60_000);
        let entries = metadata.into_entries();
        assert_eq!((entries.len(), &entries["step"]), (n_kept + 1, &json!(3)));
    }

    #[test]
    fn numbers_that_json_does_not_have_become_their_names() {
        assert_eq!(number(0.5), json!(0.5));
        assert_eq!(number(f64::NAN), json!("NaN"));
        assert_eq!(number(f64::NEG_INFINITY), json!("-inf"));
    }
}
