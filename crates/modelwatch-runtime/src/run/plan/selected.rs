//! The columns that the options of probes mean, held against the data: what means none would be passed over in silence.

use std::collections::BTreeSet;

use arrow_schema::Field;
use modelwatch_config::{Columns, Diagnostic, Document, Pipeline, code, did_you_mean};
use modelwatch_infer::ModelInfo;
use modelwatch_sdk::{
    ModelRole, Need, Needs, Role, RowNeeds,
    rows::{Mention, Named, Selection, TYPE, name_matches},
};

use super::{
    Plan, Planned,
    places::{at_mention, some, with_of},
    rows_of,
};
use crate::{model::is_recorded, pass::used, profile::Source};

/// Returns the names, patterns and types in options that mean no column of any data that their probe reads.
pub(super) fn check(document: &Document, pipeline: &Pipeline, columns: &Columns, plan: &Plan<'_>) -> Vec<Diagnostic> {
    let mut res = Vec::new();
    for it in &plan.probes {
        let Some(data) = Known::of(plan, it, columns) else { continue };
        res.extend(idle_columns(document, pipeline, it, &data));
        res.extend(unmet_mentions(document, pipeline, it, &data));
    }
    res
}

/// Returns what in the options of probes is the name neither of a column nor of an output of the candidate, whose outputs are known now.
pub(super) fn unmet_outputs(
    document: &Document,
    columns: &Columns,
    plan: &Plan<'_>,
    candidate: &ModelInfo,
) -> Vec<Diagnostic> {
    let outputs: Vec<&str> = candidate.outputs.iter().map(|it| it.name.as_str()).collect();
    let mut res = Vec::new();
    for it in &plan.probes {
        let Some(data) = Known::of(plan, it, columns) else { continue };
        let may_be_output = mentions(it).filter(|it| it.of == Named::ColumnOrOutput);
        res.extend(may_be_output.filter_map(|mention| unmet(document, it, &mention, &data, &outputs)));
    }
    res
}

/// What is known of the columns that a probe can see.
struct Known {
    /// The columns of rows, with their uses.
    fields: Vec<Field>,
    /// The columns of a profile that stands in for rows. It has no types.
    profiled: Vec<String>,
}

impl Known {
    /// Returns it; none where it is not known, as where some data cannot be read.
    fn of(plan: &Plan<'_>, probe: &Planned<'_>, columns: &Columns) -> Option<Self> {
        let is_read = |it: &&Role| rows_of(probe, **it).is_some();
        let read = [Role::Current, Role::Reference];
        let read: Vec<_> = read.iter().filter(is_read).filter_map(|it| plan.data.get(it)).collect();
        let fields = fields(read.iter().copied(), columns)?;
        let profiles = read.iter().filter_map(|it| it.as_ref().ok()).filter(|it| matches!(it, Source::Profile(_)));
        let profiled =
            profiles.filter_map(Source::schema).flat_map(|it| it.fields().iter().map(|it| it.name().clone()));
        Some(Self { profiled: profiled.collect(), fields })
    }

    fn names(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let names = self.fields.iter().map(Field::name).chain(&self.profiled);
        names.map(String::as_str).filter(|it| seen.insert(*it)).collect()
    }
}

/// Returns what the probe's selection means and does not find.
fn idle_columns(document: &Document, pipeline: &Pipeline, probe: &Planned<'_>, data: &Known) -> Vec<Diagnostic> {
    let mut res = Vec::new();
    let Some(selected) = needs_of(probe).and_then(|it| it.selection.as_ref()) else { return res };
    let (with, selection) = (with_of(probe.settings), selected.selection());
    for (at, text) in selection.idle(&data.fields) {
        if let Some((message, help)) = idle(selection, &data.fields, text) {
            let pointer = format!("{with}/columns/{at}");
            res.push(document.at(&pointer, code::UNKNOWN_COLUMN, message, Some(&help)));
        }
    }
    let mut roles = [Role::Current, Role::Reference].into_iter().filter_map(|role| rows_of(probe, role));
    let looks_elsewhere = roles.any(|it| has_more(it, pipeline));
    if selection.columns.is_empty() && !looks_elsewhere && !data.fields.iter().any(|it| selection.selects(it)) {
        let message = format!("`{}` has no column of the data to look at", probe.settings.id);
        let help = "it looks at features that are not left out: name others in `columns`, or correct `exclude`";
        res.push(document.at(&format!("{with}/exclude"), code::UNKNOWN_COLUMN, message, Some(help)));
    }
    res
}

/// Returns what else in the probe's options means no column. What may be an output of a model is left for when that is known.
fn unmet_mentions(document: &Document, pipeline: &Pipeline, probe: &Planned<'_>, data: &Known) -> Vec<Diagnostic> {
    let columns = pipeline.columns();
    let recorded: Vec<&str> = columns.predictions.keys().map(String::as_str).collect();
    let is_known = pipeline.checkpoint.is_none() || is_recorded(pipeline, ModelRole::Candidate);
    let told = mentions(probe).filter(|it| is_known || it.of == Named::Column);
    told.filter_map(|it| {
        let outputs = if it.of == Named::ColumnOrOutput { &recorded[..] } else { &[] };
        unmet(document, probe, &it, data, outputs)
    })
    .collect()
}

/// Returns what stands for columns in the probe's options, but for what it selects. That no column is of a type is no reason not to leave it out.
fn mentions<'p>(probe: &'p Planned<'_>) -> impl Iterator<Item = Mention> + use<'p> {
    let selected = needs_of(probe).and_then(|it| it.selection.as_ref()).into_iter();
    let listed = selected
        .flat_map(|it| Mention::listed("exclude", &it.exclude).chain(Mention::listed("categorical", &it.categorical)))
        .filter(|it| !it.name.starts_with(TYPE));
    let others = needs_of(probe).into_iter().flat_map(|it| it.mentions.iter().cloned());
    listed.chain(others.filter(|it| matches!(it.of, Named::Column | Named::ColumnOrOutput)))
}

fn needs_of<'p>(probe: &'p Planned<'_>) -> Option<&'p Needs> {
    probe.found.as_ref().ok().map(|it| &it.needs)
}

/// Returns the error where something in the options is neither a column nor one of these outputs.
fn unmet(
    document: &Document,
    probe: &Planned<'_>,
    mention: &Mention,
    data: &Known,
    outputs: &[&str],
) -> Option<Diagnostic> {
    let text = mention.name.as_str();
    let (message, help) = if text.starts_with(TYPE) {
        let columns = [text.to_owned()];
        let selection = Selection { columns: &columns, ..Selection::default() };
        selection.idle(&data.fields).next()?;
        no_type(&data.fields, text)
    } else {
        let names = [data.names(), outputs.to_vec()].concat();
        if names.iter().any(|it| name_matches(text, it)) {
            return None;
        }
        let what = if text.contains('*') { "that matches " } else { "" };
        let or = if outputs.is_empty() { "" } else { ", and the model no output" };
        (format!("the data has no column {what}`{text}`{or}"), named(text, &names))
    };
    Some(at_mention(document, probe.settings, mention, code::UNKNOWN_COLUMN, message, &help))
}

/// Returns the help for a name or a pattern of columns that none of these has.
fn named(text: &str, names: &[&str]) -> String {
    let all = || format!("its columns are {}", some(names));
    if !text.contains('*') {
        return super::meant(text, names, all);
    }
    meant(text, names).map_or_else(all, |it| format!("did you mean `{it}`?"))
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
    let given = [text.to_owned()];
    let alone = Selection { columns: &given, exclude: &[], ..selection };
    if alone.idle(fields).next().is_none() {
        let message = format!("`exclude` leaves out every column that `{text}` means");
        return Some((message, "name it in one of both".to_owned()));
    }
    if alone.has_types() {
        return Some(no_type(fields, text));
    }
    if !text.contains('*') {
        return None;
    }
    let names: Vec<&str> = distinct(fields).map(|it| it.name().as_str()).collect();
    let help = match names.iter().find(|it| name_matches(text, it)) {
        Some(it) => format!("a pattern means features alone; name `{it}` in full"),
        None => named(text, &names),
    };
    Some((format!("no feature of the data matches `{text}`"), help))
}

fn no_type(fields: &[Field], text: &str) -> (String, String) {
    let types: Vec<_> = distinct(fields).map(|it| format!("{} ({})", it.name(), it.data_type())).collect();
    (format!("no feature of the data is of `{text}`"), format!("its columns are {}", some(&types)))
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
