//! The text of a pipeline and where each value stands in it.

mod edit;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::{
    Component, Override, Requirement, code,
    diagnostic::{Diagnostic, Origin, position},
    overrides::Content,
    schema_errors::{self, Words},
    tree::{self, SpanMap, Spans},
};

pub use edit::EditError;

/// A pipeline file with the overrides applied: its text, its values as JSON, and where each of them stands.
///
/// Values are addressed by JSON pointer, as in `/verify/0/with/bins`.
#[derive(Debug, Clone)]
pub struct Document {
    path: Option<PathBuf>,
    text: String,
    overrides: Vec<String>,
    value: Value,
    spans: SpanMap,
}

/// A byte range in the file or in an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) range: Range<usize>,
}

/// A part of the address of a metric, as `recall[class=3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricPart<'a> {
    /// What the metric is called.
    Name(&'a str),
    /// The key of a label.
    Key(&'a str),
    /// The value of a label.
    Value(&'a str),
}

impl Document {
    /// Returns the document and all errors of syntax, of values that have no JSON form, and of overrides.
    pub(crate) fn new(path: Option<&Path>, text: &str, overrides: &[Override]) -> (Document, Vec<Diagnostic>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut diagnostics: Vec<_> = errors.iter().map(syntax_error).collect();
        let mut spans = SpanMap::new();
        let value = tree::from_toml(root, &mut spans, &mut diagnostics);
        let mut res =
            Document { path: path.map(Path::to_owned), text: text.to_owned(), overrides: Vec::new(), value, spans };
        for it in overrides {
            res.overrides.push(format!("{} {}", it.option(), it.as_str()));
            if let Err(error) = res.apply(it, &mut diagnostics) {
                diagnostics.push(*error);
            }
        }
        (res, diagnostics)
    }

    /// Returns the path of the pipeline file, as it was given; nothing where arguments stand for it.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the text of the pipeline file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the values of the file with the overrides applied.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the name to show and the text that spans of this origin point into.
    pub fn source(&self, origin: Origin) -> (String, &str) {
        let command_line = || "command line".to_owned();
        match origin {
            Origin::Override(idx) if idx < self.overrides.len() => (command_line(), &self.overrides[idx]),
            _ => (self.path.as_ref().map_or_else(command_line, |it| it.display().to_string()), &self.text),
        }
    }

    /// Returns an error at the value that `pointer` addresses, or at the closest table around it if it is not there.
    ///
    /// This is how what is found out later is reported: a component nobody offers, a file that is missing, a column
    /// the data lacks. A `code` that is not one of [`codes`](crate::codes) becomes `E0204`.
    ///
    /// ```
    /// let parsed = modelwatch_config::parse("p.toml".as_ref(), "[store]\nuses = 'lcoal'", &[]);
    /// let error = parsed.document.at("/store/uses", "E0201", "no store is named `lcoal`", Some("did you mean `local`?"));
    /// assert_eq!(&parsed.document.text()[error.span.unwrap()], "'lcoal'");
    /// ```
    pub fn at(&self, pointer: &str, code: &str, message: impl Into<String>, help: Option<&str>) -> Diagnostic {
        let mut res = Diagnostic::error(code::listed(code), pointer, message).place(self.place(pointer));
        res.help = help.map(str::to_owned);
        res
    }

    /// Returns the line of a value in the file, from 1; nothing of what a `--set` says.
    pub fn line(&self, pointer: &str) -> Option<usize> {
        let place = self.place(pointer).filter(|it| it.origin == Origin::File)?;
        Some(position(&self.text, place.range.start).0)
    }

    /// Returns an error at the key of a value: the metric of a requirement, the name of a model input.
    ///
    /// Elements of arrays have no key and are shown themselves.
    pub fn at_key(&self, pointer: &str, code: &str, message: impl Into<String>, help: Option<&str>) -> Diagnostic {
        self.at(pointer, code, message, help).place(self.key_place(pointer))
    }

    /// Returns an error at a part of the metric that a requirement is about.
    pub fn at_metric(
        &self,
        requirement: &Requirement,
        part: MetricPart<'_>,
        code: &str,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> Diagnostic {
        let pointer = &requirement.pointer;
        // Of several conditions on one metric, each is an element of the list that has the metric as its key.
        let is_element = self.spans.get(pointer).is_some_and(|it| it.key.is_none());
        let metric = if is_element { pointer.rfind('/').map_or("", |it| &pointer[..it]) } else { pointer };
        let key = tree::last_key(metric);
        let (MetricPart::Name(text) | MetricPart::Key(text) | MetricPart::Value(text)) = part;
        let is_whole = |at: usize| {
            let next = key[at + text.len()..].trim_start().chars().next();
            let before = key[..at].trim_end().chars().next_back();
            match part {
                MetricPart::Name(_) => before.is_none() && matches!(next, None | Some('[')),
                MetricPart::Key(_) => matches!(before, Some('[' | ',')) && next == Some('='),
                MetricPart::Value(_) => before == Some('=') && matches!(next, Some(',' | ']' | '*')),
            }
        };
        let at = key.match_indices(text).map(|it| it.0).find(|&at| is_whole(at));
        let place = at.and_then(|at| self.place_in_key(metric, &key, &(at..at + text.len())));
        self.at(pointer, code, message, help).place(place.or_else(|| self.key_place(metric)))
    }

    /// Holds the `with` table of a component against the JSON Schema that its plugin handed over.
    ///
    /// Options that the schema does not list are errors, unless it says `additionalProperties` itself. Missing options
    /// are reported at `uses` if there is no `with` table.
    pub fn component_errors(&self, component: &Component, schema: &Value) -> Vec<Diagnostic> {
        let words = Words::options_of(&component.uses);
        let with = format!("{}/with", component.pointer);
        let validator = match schema_errors::Validator::closed(schema) {
            Ok(it) => it,
            Err(reason) => {
                let pointer = format!("{}/uses", component.pointer);
                let message = format!("the options of `{}` are not described by a valid JSON Schema", component.uses);
                let help = format!("report this to the author of the plugin: {reason}");
                return vec![self.at(&pointer, code::PLUGIN_SCHEMA, message, Some(&help))];
            }
        };
        let mut res: Vec<_> = validator
            .check(&Value::Object(component.with.clone()))
            .into_iter()
            .map(|it| it.into_diagnostic(self, &with, &words))
            .collect();
        if !self.contains(&with) {
            for it in &mut res {
                *it = it.clone().place(self.place(&format!("{}/uses", component.pointer)));
            }
        }
        res.sort_by_key(sort_key);
        res
    }

    /// Returns the line of each header of a table, and the table's name as in `data.columns`.
    ///
    /// Some may be none that a parser would take; what is within an array or a string is not among them.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (usize, String)> {
        let is_text = |pointer: &str| self.value.pointer(pointer).is_some_and(|it| it.is_array() || it.is_string());
        let of_file = self.spans.iter().filter(|it| it.1.value.origin == Origin::File);
        let values: Vec<_> = of_file.filter(|it| is_text(it.0)).map(|it| &it.1.value.range).collect();
        let starts = self.text.split_inclusive('\n').scan(0, |at, line| {
            let start = *at + line.len() - line.trim_start().len();
            *at += line.len();
            Some((start, line.trim_start()))
        });
        starts.zip(1..).filter_map(move |((start, text), line)| {
            let is_within = values.iter().any(|it| it.start < start && start < it.end);
            let inner = text.strip_prefix('[').filter(|_| !is_within)?.trim_start_matches('[');
            let name = inner.split([']', '#']).next().unwrap_or_default();
            Some((line, name.split_whitespace().collect()))
        })
    }

    /// Returns whether there is a value at `pointer`.
    pub(crate) fn contains(&self, pointer: &str) -> bool {
        self.spans.contains_key(pointer)
    }

    /// Returns the place of a value: its own text, for a table its key. Falls back to what is around it.
    pub(crate) fn place(&self, pointer: &str) -> Option<Place> {
        let spans = self.nearest(pointer)?;
        let is_table = self.value.pointer(pointer).is_none_or(Value::is_object);
        Some(match &spans.key {
            Some(key) if is_table => key.clone(),
            _ => spans.value.clone(),
        })
    }

    /// Returns the place of a key, or of the value if it is an element of an array.
    pub(crate) fn key_place(&self, pointer: &str) -> Option<Place> {
        let spans = self.nearest(pointer)?;
        Some(spans.key.as_ref().unwrap_or(&spans.value).clone())
    }

    /// Returns the place of a part of a string, given as a range in the string after unescaping.
    pub(crate) fn place_in_string(&self, pointer: &str, part: &Range<usize>) -> Option<Place> {
        let place = self.place(pointer)?;
        let text = self.value.pointer(pointer)?.as_str()?;
        Some(self.narrow(place, text, part))
    }

    /// Returns the place of a part of a key, given as a range in the key after unescaping.
    pub(crate) fn place_in_key(&self, pointer: &str, key: &str, part: &Range<usize>) -> Option<Place> {
        Some(self.narrow(self.key_place(pointer)?, key, part))
    }

    /// Returns the order in which the values of a table were written.
    pub(crate) fn written_order(&self, pointer: &str) -> (Origin, usize) {
        self.key_place(pointer).map_or((Origin::File, 0), |it| (it.origin, it.range.start))
    }

    fn nearest(&self, pointer: &str) -> Option<&Spans> {
        let mut pointer = pointer;
        loop {
            match self.spans.get(pointer) {
                Some(res) => return Some(res),
                None => pointer = &pointer[..pointer.rfind('/')?],
            }
        }
    }

    /// Narrows the place of a string to a part of it. With escapes in the string, the whole of it is shown.
    fn narrow(&self, place: Place, decoded: &str, part: &Range<usize>) -> Place {
        let (_, text) = self.source(place.origin);
        let Some(raw) = text.get(place.range.clone()) else {
            return place;
        };
        let Some(offset) = ["\"\"\"", "'''", "\"", "'", ""].iter().find_map(|quote| {
            let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
            (inner == decoded).then_some(quote.len())
        }) else {
            return place;
        };
        let start = place.range.start + offset;
        Place { origin: place.origin, range: start + part.start..start + part.end }
    }

    fn apply(&mut self, it: &Override, diagnostics: &mut Vec<Diagnostic>) -> Result<(), Box<Diagnostic>> {
        let origin = Origin::Override(self.overrides.len() - 1);
        let before = it.option().len() + 1;
        let shift = |range: &Range<usize>| Place { origin, range: range.start + before..range.end + before };

        let (slot, pointer) = self.slot(it, shift)?;
        let place = shift(&it.value());
        let mut spans = SpanMap::new();
        let value = match &it.content {
            Content::Toml => match DeValue::parse(&it.as_str()[it.value()]) {
                Ok(value) => {
                    let base = Place { origin, range: place.range.start..place.range.start };
                    tree::from_toml_value(value, &pointer, &base, &mut spans, diagnostics)
                }
                Err(error) => {
                    let error = Diagnostic::error(code::OVERRIDE, &pointer, error.message());
                    return Err(Box::new(error.place(Some(place))));
                }
            },
            Content::Text(text) => {
                spans.insert(pointer.clone(), Spans { key: None, value: place.clone() });
                Value::String(text.clone())
            }
            Content::Item(text) => {
                let mut items = slot.as_array_mut().map(std::mem::take).unwrap_or_default();
                let item = tree::join(&pointer, &items.len().to_string());
                items.push(Value::String(text.clone()));
                *slot = Value::Array(items);
                self.spans.insert(item, Spans { key: None, value: place });
                return Ok(());
            }
        };
        *slot = value;

        let below = format!("{pointer}/");
        self.spans.retain(|it, _| *it != pointer && !it.starts_with(&below));
        if let (Some(spans), Some((_, range))) = (spans.get_mut(&pointer), it.path().last()) {
            spans.key = Some(shift(range));
        }
        self.spans.extend(spans);
        // What an earlier problem was reported about is gone.
        diagnostics.retain(|it| {
            it.origin == origin || (it.pointer != pointer && !it.pointer.starts_with(&below)) || it.pointer.is_empty()
        });
        Ok(())
    }

    /// Returns the value that an override replaces, and its pointer; adds the tables around it that are not there.
    fn slot(
        &mut self,
        it: &Override,
        shift: impl Fn(&Range<usize>) -> Place,
    ) -> Result<(&mut Value, String), Box<Diagnostic>> {
        let mut node = &mut self.value;
        let mut pointer = String::new();
        for (segment, range) in it.path() {
            let place = shift(range);
            let child = tree::join(&pointer, segment);
            node = match node {
                Value::Object(map) => map.entry(segment.as_str()).or_insert_with(|| Value::Object(Map::new())),
                Value::Array(items) => {
                    let n_items = items.len();
                    match segment.parse::<usize>() {
                        Ok(idx) if idx < n_items => &mut items[idx],
                        Ok(idx) if idx == n_items => {
                            items.push(Value::Object(Map::new()));
                            &mut items[idx]
                        }
                        _ => {
                            let message = format!("`{}` has no element `{segment}`", tree::dotted(&pointer));
                            let error = Diagnostic::error(code::OVERRIDE, &child, message)
                                .place(Some(place))
                                .label("not an index of this array")
                                .help(format!(
                                    "its length is {n_items}: indices start at 0, and {n_items} adds an element"
                                ));
                            return Err(Box::new(error));
                        }
                    }
                }
                other => {
                    let message = format!("`{}` is {}, not a table", tree::dotted(&pointer), tree::type_name(other));
                    let error = Diagnostic::error(code::OVERRIDE, &child, message)
                        .place(Some(place))
                        .label("there is nothing below it");
                    return Err(Box::new(error));
                }
            };
            self.spans.entry(child.clone()).or_insert(Spans { key: Some(place.clone()), value: place });
            pointer = child;
        }
        Ok((node, pointer))
    }
}

/// Puts diagnostics in the order in which a reader meets them: what concerns the whole file, the file from top to bottom, overrides.
pub fn sort_diagnostics(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(sort_key);
}

fn sort_key(it: &Diagnostic) -> (Origin, Option<usize>) {
    (it.origin, it.span.as_ref().map(|span| span.start))
}

fn syntax_error(error: &toml::de::Error) -> Diagnostic {
    let mut res = Diagnostic::error(code::SYNTAX, "", error.message().to_owned());
    res.span = error.span();
    res
}
