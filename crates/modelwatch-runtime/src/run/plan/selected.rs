//! The columns that the options of probes mean, held against the data: what means none would be passed over in silence.

use std::collections::BTreeSet;

use arrow_schema::Field;
use modelwatch_config::{Columns, Diagnostic, Document, Pipeline, code, did_you_mean};
use modelwatch_sdk::{
    ModelRole, Need, Role, RowNeeds,
    rows::{Selection, name_matches},
};

use super::{
    Plan,
    places::{some, with_of},
    rows_of,
};
use crate::{model::is_recorded, pass::used, profile::Source};

/// Returns the names, patterns and types in options that mean no column of any data that their probe reads.
pub(super) fn check(document: &Document, pipeline: &Pipeline, columns: &Columns, plan: &Plan<'_>) -> Vec<Diagnostic> {
    let mut res = Vec::new();
    for it in &plan.probes {
        let Some(selected) = it.found.as_ref().ok().and_then(|it| it.needs.selection.as_ref()) else { continue };
        let roles = [Role::Current, Role::Reference].map(|role| (role, rows_of(it, role)));
        let read = roles.into_iter().filter(|it| it.1.is_some()).filter_map(|it| plan.data.get(&it.0));
        let Some(fields) = fields(read, columns) else { continue };
        let (with, selection) = (with_of(it.settings), selected.selection());
        for (at, text) in selection.idle(&fields) {
            if let Some((message, help)) = idle(selection, &fields, text) {
                let pointer = format!("{with}/columns/{at}");
                res.push(document.at(&pointer, code::UNKNOWN_COLUMN, message, Some(&help)));
            }
        }
        let looks_elsewhere = roles.iter().filter_map(|it| it.1).any(|it| has_more(it, pipeline));
        if selection.columns.is_empty() && !looks_elsewhere && !fields.iter().any(|it| selection.selects(it)) {
            let message = format!("`{}` has no column of the data to look at", it.settings.id);
            let help = "it looks at features that are not left out: name others in `columns`, or correct `exclude`";
            res.push(document.at(&format!("{with}/exclude"), code::UNKNOWN_COLUMN, message, Some(help)));
        }
    }
    res
}

/// Returns the columns of the data with their uses; none where these are not known, as where some cannot be read.
///
/// A profile that stands in for rows has no types, and no columns that the current rows should not have as well.
fn fields<'a>(sources: impl Iterator<Item = &'a Result<Source, String>>, columns: &Columns) -> Option<Vec<Field>> {
    let mut res = Vec::new();
    for it in sources {
        match it {
            Ok(Source::Rows(it)) => res.extend(it.schema().fields().iter().map(|it| used(it, columns))),
            Ok(Source::Profile(_) | Source::Kept { .. }) => {}
            Err(_) => return None,
        }
    }
    (!res.is_empty()).then_some(res)
}

/// Returns whether the probe looks at anything beside columns.
fn has_more(rows: &RowNeeds, pipeline: &Pipeline) -> bool {
    let has_label = pipeline.data.as_ref().is_some_and(|it| it.columns.label.is_some());
    let has_outputs = pipeline.checkpoint.is_some() || is_recorded(pipeline, ModelRole::Candidate);
    let has_model = has_outputs && rows.model(ModelRole::Candidate) != Need::No;
    has_model || (has_label && rows.label != Need::No)
}

/// Returns why a name, a pattern or a type means no column, and the remedy; none for a name that is not there, of which the probe's needs tell.
fn idle(selection: Selection<'_>, fields: &[Field], text: &str) -> Option<(String, String)> {
    let named = [text.to_owned()];
    let alone = Selection { columns: &named, exclude: &[], ..selection };
    if alone.idle(fields).next().is_none() {
        let message = format!("`exclude` leaves out every column that `{text}` means");
        return Some((message, "name it in one of both".to_owned()));
    }
    if alone.has_types() {
        let types: Vec<_> = distinct(fields).map(|it| format!("{} ({})", it.name(), it.data_type())).collect();
        return Some((format!("no feature of the data is of `{text}`"), format!("its columns are {}", some(&types))));
    }
    if !text.contains('*') {
        return None;
    }
    let names: Vec<&str> = distinct(fields).map(|it| it.name().as_str()).collect();
    let help = match names.iter().find(|it| name_matches(text, it)) {
        Some(it) => format!("a pattern means features alone; name `{it}` in full"),
        None => match meant(text, &names) {
            Some(it) => format!("did you mean `{it}`?"),
            None => format!("its columns are {}", some(&names)),
        },
    };
    Some((format!("no feature of the data matches `{text}`"), help))
}

/// Returns the columns, those of a name once.
fn distinct(fields: &[Field]) -> impl Iterator<Item = &Field> {
    let mut seen = BTreeSet::new();
    fields.iter().filter(move |it| seen.insert(it.name()))
}

/// Returns the pattern that was probably meant: one that some name matches, with other text around its `*`.
fn meant(pattern: &str, names: &[&str]) -> Option<String> {
    let (before, after) = pattern.split_once('*').filter(|it| !it.1.contains('*'))?;
    // As long a text first: of patterns that are as near the first one is meant.
    let near = |it: &str| match it.chars().count() {
        0 => vec![0],
        1 => vec![1, 2],
        n => vec![n, n + 1, n - 1],
    };
    let mut candidates = Vec::new();
    for name in names {
        let name: Vec<char> = name.chars().collect();
        for start in near(before) {
            for end in near(after).into_iter().filter(|end| start + end <= name.len()) {
                let text = |it: &[char]| it.iter().collect::<String>();
                candidates.push(format!("{}*{}", text(&name[..start]), text(&name[name.len() - end..])));
            }
        }
    }
    let others = candidates.iter().map(String::as_str).filter(|it| *it != pattern);
    did_you_mean(pattern, others).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_held_against_the_ends_of_names() {
        let names = ["num_rooms", "area_error", "größe", "x"];
        for (pattern, expected) in [
            ("nmu_*", Some("num_*")),
            ("numm_*", Some("num_*")),
            ("*_eror", Some("*_error")),
            ("grösse*", Some("größe*")),
            ("nun*rooms", Some("num*rooms")),
            ("city_*", None),
            ("a*b*", None),
            ("*", None),
        ] {
            assert_eq!(meant(pattern, &names).as_deref(), expected, "{pattern}");
        }
    }
}
