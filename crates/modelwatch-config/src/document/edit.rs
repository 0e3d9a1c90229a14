//! Changes values in the text of a pipeline, and leaves everything else as it was written: order, comments, blank lines.
//!
//! There is no model of TOML's layout here. The text around values is known from their places, and what comes out is read
//! again before anyone gets it.

use std::{collections::BTreeMap, ops::Range};

use serde_json::{Map, Value};

use super::Document;
use crate::{diagnostic::Origin, tree};

/// Why values cannot be changed in the text.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write `{}` into the pipeline file; write what is around it as a table of its own",
    tree::dotted(pointer)
)]
pub struct EditError {
    /// The first value that cannot.
    pub pointer: String,
}

impl Document {
    /// Returns the text with other values at the pointers, each of which is in the file or belongs into a table.
    ///
    /// A value in an inline table is changed with the table. A new one comes after the others of its table; where there is no such table, it
    /// comes after the element of `[[…]]` that it is for. The document is one without overrides.
    ///
    /// ```
    /// let text = "[a]\nx = 1 # one\n\n[b]\ny = { z = 2 }\n";
    /// let parsed = modelwatch_config::parse("p.toml".as_ref(), text, &[]);
    /// let values = [("/a/x".to_owned(), 3.into()), ("/a/w".to_owned(), "new".into()), ("/b/y/z".to_owned(), 4.into())];
    /// let edited = parsed.document.edited(values.into()).unwrap();
    /// assert_eq!(edited, "[a]\nx = 3 # one\nw = \"new\"\n\n[b]\ny = { z = 4 }\n");
    /// ```
    ///
    /// # Errors
    /// Where the form of the file leaves no place for a value.
    pub fn edited(&self, values: BTreeMap<String, Value>) -> Result<String, EditError> {
        let mut wanted = self.value.clone();
        for (pointer, value) in &values {
            put(&mut wanted, pointer, value.clone()).ok_or_else(|| EditError { pointer: pointer.clone() })?;
        }
        let mut replaced: BTreeMap<usize, (Range<usize>, String)> = BTreeMap::new();
        let mut added: BTreeMap<usize, Addition> = BTreeMap::new();
        for pointer in values.keys() {
            match self.written_ancestor(pointer) {
                Some((ancestor, range)) => {
                    let text = wanted.pointer(ancestor).and_then(to_toml);
                    let text = text.ok_or_else(|| EditError { pointer: pointer.clone() })?;
                    replaced.insert(range.start, (range, text));
                }
                None => self.add(pointer, &wanted, &mut added).ok_or_else(|| EditError { pointer: pointer.clone() })?,
            }
        }
        let additions = added.into_iter().map(|(at, it)| (at..at, it.text(&self.text[..at])));
        let mut edits: Vec<_> = replaced.into_values().chain(additions).collect();
        edits.sort_by_key(|it| it.0.start);
        let mut res = self.text.clone();
        for (range, text) in edits.into_iter().rev() {
            res.replace_range(range, &text);
        }
        // Whatever form the file has: it says what is wanted, or nobody gets it.
        let (document, diagnostics) = Self::new(self.path.as_deref(), &res, &[]);
        if !diagnostics.is_empty() || document.value != wanted {
            let pointer = values.into_keys().next().unwrap_or_default();
            return Err(EditError { pointer });
        }
        Ok(res)
    }

    /// Returns the outermost value around a pointer, or the value itself, that is written after a `=`.
    fn written_ancestor<'a>(&self, pointer: &'a str) -> Option<(&'a str, Range<usize>)> {
        let ends = pointer.match_indices('/').map(|it| it.0).skip(1).chain([pointer.len()]);
        ends.map(|end| &pointer[..end]).find_map(|it| {
            let range = self.file_range(it)?;
            let is_table = self.value.pointer(it).is_some_and(Value::is_object);
            let is_written = !is_table || self.text[range.clone()].starts_with('{');
            // An array of tables is no value; its elements have headers.
            let is_tables =
                self.value.pointer(it).and_then(Value::as_array).is_some_and(|it| it.iter().any(Value::is_object));
            (is_written && !is_tables).then_some((it, range))
        })
    }

    fn file_range(&self, pointer: &str) -> Option<Range<usize>> {
        self.spans.get(pointer).filter(|it| it.value.origin == Origin::File).map(|it| it.value.range.clone())
    }

    /// Notes a line for a new value, and where it belongs.
    fn add(&self, pointer: &str, wanted: &Value, added: &mut BTreeMap<usize, Addition>) -> Option<()> {
        let parent = &pointer[..pointer.rfind('/')?];
        let line = format!("{} = {}", key(&tree::last_key(pointer)), to_toml(wanted.pointer(pointer)?)?);
        let (at, header) = match self.end_of_entries(parent) {
            Some(at) => (at, None),
            None => (self.end_of_element(parent), Some(header(parent))),
        };
        let addition = added.entry(at).or_insert_with(|| Addition { header, lines: Vec::new() });
        addition.lines.push(line);
        Some(())
    }

    /// Returns where the entries of a table end that has a header; none without one.
    fn end_of_entries(&self, table: &str) -> Option<usize> {
        let below = format!("{table}/");
        let is_header = |at: usize| self.text[line_start(&self.text, at)..].trim_start().starts_with('[');
        let keys = self.spans.iter().filter_map(|(pointer, it)| Some((pointer, it.key.as_ref()?)));
        let entries = keys.filter(|(pointer, key)| {
            let is_own = pointer.strip_prefix(&below).is_some_and(|it| !it.contains('/'));
            is_own && key.origin == Origin::File && !is_header(key.range.start)
        });
        let last = entries.map(|it| self.end_of(it.0)).max();
        let own = self.spans.get(table).and_then(|it| it.key.as_ref()).map(|it| it.range.start);
        let header = own.filter(|it| is_header(*it)).filter(|it| {
            // A header of a table below it names it, too.
            let line = &self.text[line_start(&self.text, *it)..];
            let line = line.lines().next().unwrap_or_default();
            line.trim_matches(['[', ']', ' ']) == dotted_header(table)
        });
        last.or(header).map(|it| line_end(&self.text, it))
    }

    /// Returns where the text about the element of an array of tables ends that the table is in, or the file.
    fn end_of_element(&self, table: &str) -> usize {
        let segments: Vec<_> = table.split('/').collect();
        let element = segments.iter().position(|it| it.parse::<usize>().is_ok());
        let end = element.map(|at| self.end_of(&segments[..=at].join("/")));
        end.map_or(self.text.len(), |it| line_end(&self.text, it))
    }

    /// Returns where the last value at or below a pointer ends.
    fn end_of(&self, pointer: &str) -> usize {
        let below = format!("{pointer}/");
        let all = self.spans.iter().filter(|(it, _)| *it == pointer || it.starts_with(&below));
        all.filter(|it| it.1.value.origin == Origin::File).map(|it| it.1.value.range.end).max().unwrap_or(0)
    }
}

/// Lines that are added at one place.
struct Addition {
    /// The header of the table that they begin.
    header: Option<String>,
    lines: Vec<String>,
}

impl Addition {
    fn text(self, before: &str) -> String {
        let start = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        let header = self.header.map(|it| format!("\n{it}\n")).unwrap_or_default();
        format!("{start}{header}{}\n", self.lines.join("\n"))
    }
}

/// Puts a value where a pointer says, in tables that are made where they are not there.
fn put(root: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut node = root;
    for segment in pointer.strip_prefix('/')?.split('/') {
        let segment = tree::last_key(segment);
        node = match node {
            Value::Object(map) => map.entry(segment).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *node = value;
    Some(())
}

/// Returns a value as TOML on one line, the keys of tables sorted; nothing for what has a null in it, which TOML has not.
fn to_toml(value: &Value) -> Option<String> {
    toml::Value::try_from(value).ok().map(|it| it.to_string())
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || "_-".contains(it));
    if is_bare { name.to_owned() } else { toml::Value::String(name.to_owned()).to_string() }
}

/// Returns the name of a table as it stands in headers, which leave out the numbers of elements.
fn dotted_header(table: &str) -> String {
    let names = table.split('/').skip(1).filter(|it| it.parse::<usize>().is_err());
    names.map(|it| key(&tree::last_key(it))).collect::<Vec<_>>().join(".")
}

fn header(table: &str) -> String {
    format!("[{}]", dotted_header(table))
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |it| it + 1)
}

/// Returns the start of the next line.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |it| at + it + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edited(text: &str, values: &[(&str, Value)]) -> Result<String, String> {
        let (document, diagnostics) = Document::new(Some("p.toml".as_ref()), text, &[]);
        assert_eq!(diagnostics, []);
        let values = values.iter().map(|(pointer, it)| ((*pointer).to_owned(), it.clone())).collect();
        document.edited(values).map_err(|e| e.to_string())
    }

    const PIPELINE: &str = "\
# Orders.
[[analyze]]
uses = \"quality\"

[analyze.with.columns]
age = { type = \"integer\", max = 90 } # years
town = { categories = [
    \"a\",
] }

[analyze.require]
rows = \"> 1\"

[[analyze]]
uses = \"drift\"
";

    #[test]
    fn entries_change_and_come_after_the_others() {
        let columns = "/analyze/0/with/columns";
        let values = [
            (format!("{columns}/age/max"), json!(99)),
            (format!("{columns}/age/max_missing"), json!(0.5)),
            (format!("{columns}/new \"one\""), json!({ "type": "text", "categories": ["x", "y\n"] })),
            (format!("{columns}/town/categories"), json!(["a", "b"])),
        ];
        let values: Vec<_> = values.iter().map(|(pointer, it)| (pointer.as_str(), it.clone())).collect();
        let text = edited(PIPELINE, &values).unwrap();
        let expected = PIPELINE
            .replace("{ type = \"integer\", max = 90 }", "{ max = 99, max_missing = 0.5, type = \"integer\" }")
            .replace("{ categories = [\n    \"a\",\n] }\n", "{ categories = [\"a\", \"b\"] }\nNEW\n");
        let (before, after) = expected.split_once("NEW\n").unwrap();
        assert!(text.starts_with(before) && text.ends_with(after), "{text}");
        let (document, _) = Document::new(Some("p.toml".as_ref()), &text, &[]);
        let new = &document.value()["analyze"][0]["with"]["columns"]["new \"one\""];
        assert_eq!(*new, json!({ "type": "text", "categories": ["x", "y\n"] }));
    }

    #[test]
    fn a_table_that_is_not_there_comes_after_its_element() {
        let text = PIPELINE.replace("[analyze.with.columns]\nage = { type = \"integer\", max = 90 } # years\ntown = { categories = [\n    \"a\",\n] }\n\n", "");
        let values = [("/analyze/0/with/columns/age", json!({ "min": 1 })), ("/analyze/0/with/columns/b", json!({}))];
        let expected =
            text.replace("rows = \"> 1\"\n", "rows = \"> 1\"\n\n[analyze.with.columns]\nage = { min = 1 }\nb = {}\n");
        assert_eq!(edited(&text, &values).unwrap(), expected);
        let values = [("/analyze/1/with/columns/age", json!({ "min": 1.5 }))];
        let expected = format!("{text}\n[analyze.with.columns]\nage = {{ min = 1.5 }}\n");
        assert_eq!(edited(&text, &values).unwrap(), expected);
        // Without a line break at the end.
        assert_eq!(edited(text.trim_end(), &values).unwrap(), expected);
    }

    #[test]
    fn tables_with_headers_of_their_own_are_kept() {
        let text =
            "[[analyze]]\nuses = \"quality\"\n[analyze.with.columns.age]\nmax = 3 # three\n[analyze.with.columns.b]\n";
        let values = [
            ("/analyze/0/with/columns/age/max", json!(4)),
            ("/analyze/0/with/columns/age/min", json!(1)),
            ("/analyze/0/with/columns/b/min", json!(2)),
        ];
        let expected = "[[analyze]]\nuses = \"quality\"\n[analyze.with.columns.age]\nmax = 4 # three\nmin = 1\n[analyze.with.columns.b]\nmin = 2\n";
        assert_eq!(edited(text, &values).unwrap(), expected);
    }

    #[test]
    fn inline_tables_are_written_anew() {
        let text = "[[analyze]]\nwith = { columns = { a = { min = 1 } }, exclude = ['x'] }\n";
        let expected = "[[analyze]]\nwith = { columns = { a = { min = 0 }, b = {} }, exclude = [\"x\"] }\n";
        let values = [("/analyze/0/with/columns/a/min", json!(0)), ("/analyze/0/with/columns/b", json!({}))];
        assert_eq!(edited(text, &values).unwrap(), expected);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let error = edited("a = 1\n", &[("/a/b", json!(1))]).unwrap_err();
        assert_eq!(error, "cannot write `a.b` into the pipeline file; write what is around it as a table of its own");
        assert!(edited("[[x]]\n", &[("/x/3/b", json!(1))]).is_err());
        assert!(edited("[a]\n", &[("/a/b", Value::Null)]).is_err());
    }
}
