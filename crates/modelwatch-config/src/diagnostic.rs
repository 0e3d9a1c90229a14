//! One problem with a pipeline, where it is, and what to do about it.

use std::ops::Range;

use serde_json::{Value, json};

use crate::{Document, document::Place};

pub use crate::render::render;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// The pipeline can run, but probably does not do what was meant.
    Warning,
}

/// Which text a span points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The pipeline file.
    File,
    /// The `--set` with this index, as shown by [`Document::source`].
    Override(usize),
}

/// A second place that explains a diagnostic, such as the first of two equal ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The text that `span` points into.
    pub origin: Origin,
    /// Byte range in that text.
    pub span: Range<usize>,
    /// What is to be seen there.
    pub label: String,
}

/// A problem with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// One of [`codes`](crate::codes).
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in lower case and without a period.
    pub message: String,
    /// JSON pointer of the value concerned; empty for the whole file.
    pub pointer: String,
    /// The text that `span` points into.
    pub origin: Origin,
    /// Byte range in that text, if there is one place to show.
    pub span: Option<Range<usize>>,
    /// What is wrong with the text in the span.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// Further places.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// Returns where the diagnostic begins and ends, if it has a span.
    pub fn location(&self, document: &Document) -> Option<Location> {
        let (file, text) = document.source(self.origin);
        let span = clamp(text, self.span.as_ref()?);
        let (line, column) = position(text, span.start);
        let (end_line, end_column) = position(text, span.end);
        Some(Location { file, line, column, end_line, end_column })
    }

    pub(crate) fn error(code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            pointer: pointer.to_owned(),
            origin: Origin::File,
            span: None,
            label: None,
            help: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn place(mut self, place: Option<Place>) -> Diagnostic {
        if let Some(place) = place {
            self.origin = place.origin;
            self.span = Some(place.range);
        }
        self
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn related(mut self, place: Option<Place>, label: impl Into<String>) -> Diagnostic {
        if let Some(place) = place {
            self.related.push(Related { origin: place.origin, span: place.range, label: label.into() });
        }
        self
    }
}

/// Lines and columns of a span, counted from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The pipeline file as it was given, or `command line` for a `--set`.
    pub file: String,
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the character after the last.
    pub end_line: usize,
    /// Column of the character after the last.
    pub end_column: usize,
}

/// Returns the diagnostics as a JSON array, one object each with code, severity, message, pointer, location and help.
pub fn to_json(diagnostics: &[Diagnostic], document: &Document) -> Value {
    diagnostics
        .iter()
        .map(|it| {
            let location = it.location(document).map(|it| {
                json!({
                    "file": it.file, "line": it.line, "column": it.column,
                    "end_line": it.end_line, "end_column": it.end_column,
                })
            });
            json!({
                "code": it.code,
                "severity": match it.severity { Severity::Error => "error", Severity::Warning => "warning" },
                "message": it.message,
                "pointer": it.pointer,
                "location": location,
                "label": it.label,
                "help": it.help,
            })
        })
        .collect()
}

/// Returns the part of `span` that lies in `text`, with both ends on character boundaries.
pub(crate) fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.min(text.len())).max(start);
    start..end
}

pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
