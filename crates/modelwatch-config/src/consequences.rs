//! What may only follow from a syntax error: the part of the file around it was not read, or not as it was meant.

use std::ops::RangeInclusive;

use crate::{
    Diagnostic, Document,
    code::{
        BASELINE_NEVER_MADE, CHECKPOINT_SOURCE, MISSING_FILE, MISSING_KEY, NEEDS_BASELINE, NEEDS_STORE, NO_INTERVAL,
        NO_PROBE, OPTION_COMBINATION, OPTION_MISSING, OPTION_UNKNOWN, OUT_OF_RANGE, POLICY, REFUSED, RUNTIME_MISSING,
        SYNTAX, UNKNOWN_KEY, UNKNOWN_METRIC, WHEN, WRONG_TYPE,
    },
    diagnostic::Origin,
};

/// Codes of what is not there, but may be in a table that was not read.
const OF_OTHER_TABLES: [&str; 8] =
    [NO_PROBE, CHECKPOINT_SOURCE, NEEDS_STORE, NEEDS_BASELINE, POLICY, WHEN, BASELINE_NEVER_MADE, RUNTIME_MISSING];

/// Codes of what depends on everything in a table.
const OF_THE_TABLE: [&str; 11] = [
    UNKNOWN_KEY,
    WRONG_TYPE,
    MISSING_KEY,
    OPTION_UNKNOWN,
    OPTION_MISSING,
    OPTION_COMBINATION,
    MISSING_FILE,
    REFUSED,
    UNKNOWN_METRIC,
    NO_INTERVAL,
    OUT_OF_RANGE,
];

/// The parts of a file that were not read because of syntax errors, by their lines.
pub(crate) struct Unread {
    errors: Vec<RangeInclusive<usize>>,
    /// The tables that have the errors.
    tables: Vec<RangeInclusive<usize>>,
    has_header: bool,
}

impl Unread {
    /// Returns what was not read, given what is wrong with the file.
    pub(crate) fn of(document: &Document, diagnostics: &[Diagnostic]) -> Self {
        let syntax = diagnostics.iter().filter(|it| it.code == SYNTAX);
        let errors: Vec<_> = syntax.filter_map(|it| lines(document, it)).collect();
        let (broken, mut sound): (Vec<_>, Vec<_>) =
            document.headers().partition(|it| errors.iter().any(|error| error.contains(&it.0)));
        // A table is one with those in it that follow.
        let mut whole = String::new();
        sound.retain(|(_, name)| {
            let is_within = name.strip_prefix(&whole).is_some_and(|it| it.starts_with('.'));
            if !is_within {
                whole.clone_from(name);
            }
            !is_within
        });
        // The keys below a broken header count to the table above it.
        let table = |it: &RangeInclusive<usize>| {
            let first = sound.iter().map(|it| it.0).rfind(|line| line <= it.start()).unwrap_or(1);
            let next = sound.iter().map(|it| it.0).find(|line| line > it.end()).unwrap_or(usize::MAX);
            first..=next - 1
        };
        let tables = errors.iter().map(table).collect();
        Self { errors, tables, has_header: !broken.is_empty() }
    }

    /// Returns whether a diagnostic may only follow from that.
    pub(crate) fn explains(&self, document: &Document, it: &Diagnostic) -> bool {
        if self.errors.is_empty() || it.code == SYNTAX {
            return false;
        }
        let is_of_table = OF_THE_TABLE.contains(&it.code);
        let is_missing = [MISSING_KEY, OPTION_MISSING].contains(&it.code);
        if OF_OTHER_TABLES.contains(&it.code) || (is_missing && self.has_header) {
            return true;
        }
        if it.origin != Origin::File {
            return false;
        }
        // What is nowhere is missing at the top.
        let lines = lines(document, it).unwrap_or(1..=1);
        let is_in =
            |of: &[RangeInclusive<usize>]| of.iter().any(|it| it.contains(lines.start()) || lines.contains(it.start()));
        is_in(&self.errors) || (is_of_table && is_in(&self.tables))
    }
}

fn lines(document: &Document, it: &Diagnostic) -> Option<RangeInclusive<usize>> {
    it.location(document).map(|it| it.line..=it.end_line)
}
