//! What the pipeline says of its data, held against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use arrow_schema::Schema;
use modelwatch_config::{
    self as config, Action, Columns, Diagnostic, Document, Pipeline, ProbeKind, ProfiledData, code,
};
use modelwatch_sdk::{
    ModelRole, Need, Role, RowNeeds,
    rows::{TYPE, name_matches},
};

use super::{
    Plan, meant,
    places::{place_of, some},
    rows_of,
};
use crate::{
    data::DataError,
    inputs, model,
    profile::{Source, kept},
};

/// Where the column of weights is named.
const WEIGHT: &str = "/data/columns/weight";

/// Returns what is wrong with what the pipeline says of its data.
///
/// Where `is_whole` is not set, some probe of the pipeline is not in the plan.
pub(super) fn check(
    document: &Document,
    pipeline: &Pipeline,
    settings: &config::Data,
    plan: &Plan<'_>,
    is_whole: bool,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let columns = &settings.columns;
    for (&role, source) in &plan.data {
        let Ok(source) = source else { continue };
        if let Some(schema) = source.schema() {
            let mut wanted = wanted(plan, role, pipeline, columns, is_whole);
            if matches!(source, Source::Profile(_)) {
                // It counts each row once, whether it has that column or not.
                wanted.retain(|it| it.0 != WEIGHT);
            }
            check_columns(document, wanted, &names(schema), &format!("the {} data has", role.as_str()), &mut problems);
        }
        if !matches!(source, Source::Rows(_)) {
            check_profile(document, plan, role, &mut problems);
        }
        if let Source::Kept { file, .. } = source {
            check_creeping(document, pipeline, file, &mut problems);
        }
        if let Source::Kept { model, .. } = source
            && is_whole
        {
            check_kept(document, pipeline, *model, role, &mut problems);
        }
    }
    check_mentions(document, plan, columns, &mut problems);
    check_recorded(document, plan, columns, &mut problems);
    problems
}

pub(super) fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|it| it.name().as_str()).collect()
}

/// A column that the pipeline names, and where it does.
type Mention<'a> = (String, &'a str);

/// The columns that some probe reads of that data.
fn wanted<'a>(
    plan: &'a Plan<'_>,
    role: Role,
    pipeline: &Pipeline,
    columns: &'a Columns,
    is_whole: bool,
) -> Vec<Mention<'a>> {
    let needs: Vec<_> = plan.probes.iter().filter_map(|it| rows_of(it, role).map(|rows| (it.settings, rows))).collect();
    let any = |wanted: fn(&RowNeeds) -> bool| needs.iter().any(|(_, it)| wanted(it));
    // The labels of current rows may come later; that their name is right shows in the reference.
    let references = || plan.probes.iter().filter_map(|it| rows_of(it, Role::Reference));
    let may_lack_label = role == Role::Current && (!is_whole || references().any(|it| it.label == Need::Required));
    let reads_label = any(|it| it.label == Need::Required) || (any(|it| it.label != Need::No) && !may_lack_label);
    let mut res = Vec::new();
    let single = [
        ("label", &columns.label, reads_label),
        ("id", &columns.id, any(|it| it.id != Need::No)),
        ("timestamp", &columns.timestamp, any(|it| it.timestamp != Need::No)),
        ("weight", &columns.weight, any(|it| it.weight != Need::No)),
    ];
    for (key, name, read) in single {
        if let (Some(name), true) = (name, read) {
            res.push((format!("/data/columns/{key}"), name.as_str()));
        }
    }
    if any(|it| it.slices) {
        res.extend(listed("slices", &columns.slices));
    }
    let is_run = |model| needs.iter().any(|(_, it)| model::need(pipeline, it, model) != Need::No);
    if [ModelRole::Candidate, ModelRole::Baseline].into_iter().any(is_run) {
        res.extend(by_name(Columns::INPUTS, &columns.inputs));
        res.extend(by_name(Columns::BASELINE_INPUTS, &columns.baseline_inputs));
    }
    for (model, table) in inputs::RECORDED {
        // What only some probes would compare with may not have been recorded of the reference.
        let is_read = match role {
            Role::Current => needs.iter().any(|(_, it)| it.outputs_of(model) != Need::No),
            Role::Reference => needs.iter().any(|(_, it)| it.outputs_of(model) == Need::Required),
        };
        if is_read {
            res.extend(by_name(table, inputs::recorded(model, columns)));
        }
    }
    for (settings, rows) in &needs {
        res.extend(rows.columns.iter().map(|name| (place_of(settings, name), name.as_str())));
    }
    res
}

/// The columns, and the patterns of such, in a table of the inputs or the outputs of a model.
fn by_name<'a>(table: &'a str, columns: &'a BTreeMap<String, Vec<String>>) -> impl Iterator<Item = Mention<'a>> {
    columns.iter().flat_map(move |(name, columns)| {
        let table = config::pointer(table, name);
        let place = move |at| if columns.len() == 1 { table.clone() } else { format!("{table}/{at}") };
        columns.iter().enumerate().map(move |(at, name)| (place(at), name.as_str()))
    })
}

fn listed<'a>(key: &str, columns: &'a [String]) -> impl Iterator<Item = Mention<'a>> {
    columns.iter().enumerate().map(move |(at, name)| (format!("/data/columns/{key}/{at}"), name.as_str()))
}

/// What was recorded of a model is no answer to hold it against.
fn check_recorded(document: &Document, plan: &Plan<'_>, columns: &Columns, problems: &mut Vec<Diagnostic>) {
    for it in &plan.probes {
        // Analyzers hold columns against those of other rows.
        if it.settings.kind != ProbeKind::Verifier {
            continue;
        }
        let rows = [Role::Current, Role::Reference].into_iter().filter_map(|role| rows_of(it, role));
        let compared = rows.filter(|rows| rows.predictions != Need::No).flat_map(|rows| &rows.columns);
        for name in compared.filter(|it| columns.predictions.values().flatten().any(|column| column == *it)) {
            let message =
                format!("`{}` would hold what was recorded against what was recorded in `{name}`", it.settings.id);
            let help = "name the column with what the model should have answered";
            let problem = document.at(&place_of(it.settings, name), code::RECORDED, message, Some(help));
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
}

/// A column that no data has is a slip of the pen, although nobody may read it: one that is to be ignored would not be.
fn check_mentions(document: &Document, plan: &Plan<'_>, columns: &Columns, problems: &mut Vec<Diagnostic>) {
    let mut known = BTreeSet::new();
    for source in plan.data.values() {
        match source {
            Ok(Source::Rows(it)) => known.extend(names(it.schema())),
            // It has the features alone.
            Ok(Source::Profile(_) | Source::Kept { .. }) => {}
            Err(_) => return,
        }
    }
    if known.is_empty() {
        return;
    }
    // A label may come later, to all of the data.
    let single = [("id", &columns.id), ("timestamp", &columns.timestamp), ("weight", &columns.weight)];
    let single = single.into_iter().filter_map(|(key, it)| Some((format!("/data/columns/{key}"), it.as_deref()?)));
    let lists = [("slices", &columns.slices), ("categorical", &columns.categorical), ("ignore", &columns.ignore)];
    let mentions = single.chain(lists.into_iter().flat_map(|(key, it)| listed(key, it)));
    // What some probe reads was told of before, with the data that lacks it.
    let is_told = |pointer: &str| problems.iter().any(|it| it.pointer == pointer);
    let untold: Vec<_> = mentions.filter(|(pointer, _)| !is_told(pointer)).collect();
    check_columns(document, untold, &known.into_iter().collect::<Vec<_>>(), "the data has", problems);
}

fn check_columns(
    document: &Document,
    wanted: Vec<Mention<'_>>,
    names: &[&str],
    subject: &str,
    problems: &mut Vec<Diagnostic>,
) {
    for (pointer, name) in wanted {
        if names.contains(&name) || is_pattern_of(name, names) {
            continue;
        }
        let what = if is_pattern(name) { "that matches " } else { "" };
        let message = format!("{subject} no column {what}`{name}`");
        let help = meant(name, names, || format!("its columns are {}", some(names)));
        problems.push(document.at(&pointer, code::UNKNOWN_COLUMN, message, Some(&help)));
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains('*')
}

pub(super) fn is_pattern_of(name: &str, names: &[&str]) -> bool {
    is_pattern(name) && names.iter().any(|it| name_matches(name, it))
}

/// Returns where the data of each role comes from.
pub(super) fn sources(settings: &config::Data) -> impl Iterator<Item = (Role, &config::Source)> {
    let sources = [(Role::Current, &settings.current), (Role::Reference, &settings.reference)];
    sources.into_iter().filter_map(|(role, it)| Some((role, it.as_ref()?)))
}

/// Returns the patterns of data that can never match.
pub(super) fn broken_patterns(document: &Document, settings: &config::Data) -> Vec<Diagnostic> {
    let problem = |(role, source): (Role, &config::Source)| {
        let why = DataError::of_pattern(source)?;
        let help = "close the bracket, or write `[[]` for a bracket in the name of a file";
        Some(document.at(&format!("/data/{}/path", role.as_str()), code::MISSING_FILE, why.to_string(), Some(help)))
    };
    sources(settings).filter_map(problem).collect()
}

/// A profile stands in for the reference's rows, and only where the probes that need those can do with it.
fn check_profile(document: &Document, plan: &Plan<'_>, role: Role, problems: &mut Vec<Diagnostic>) {
    if role == Role::Current {
        let help = "name the rows themselves; a profile is for `[data.reference]`";
        problems.push(document.at("/data/current/path", code::PROFILE, "the current data is a profile", Some(help)));
        return;
    }
    for it in &plan.probes {
        let Some(needs) = rows_of(it, role).filter(|it| !it.profile && !it.optional) else { continue };
        let settings = it.settings;
        let message = format!("`{}` needs the rows of the reference, of which there is only a profile", settings.id);
        let selection = it.found.as_ref().ok().and_then(|it| it.needs.selection.as_ref());
        let mut selected = selection.into_iter().flat_map(|it| it.columns.iter().chain(&it.exclude));
        let help = if let Some(named) = selected.find(|it| it.starts_with(TYPE)) {
            problems.push(document.at(
                &place_of(settings, named),
                code::PROFILE,
                format!("{message}: it does not know the types that `{named}` asks for"),
                Some("name the columns, with `*` for any text, or name the rows in `[data.reference] path`"),
            ));
            continue;
        } else if needs.model(ModelRole::Candidate) == Need::Required {
            "it runs the model on them; name the rows in `[data.reference] path`"
        } else {
            "name the rows in `[data.reference] path`"
        };
        problems.push(document.at(&format!("{}/uses", settings.component.pointer), code::PROFILE, message, Some(help)));
    }
}

/// A reference that each pass replaces with what was current follows a slow drift, and never shows it.
fn check_creeping(document: &Document, pipeline: &Pipeline, file: &Path, problems: &mut Vec<Diagnostic>) {
    let is_of_current = |it: &Action| matches!(it, Action::Profile { of: ProfiledData::Current, .. });
    if file == Path::new(kept::NAME) && pipeline.on.pass.iter().any(is_of_current) {
        let message = "each pass would replace the reference with the current data, so that a slow drift is never seen";
        let help = "write `profile = \"reference\"`, which keeps the reference as it is";
        problems.push(document.at("/on/pass/profile", code::PROFILE, message, Some(help)));
    }
}

/// A profile that is kept with a checkpoint needs the checkpoint.
fn check_kept(document: &Document, pipeline: &Pipeline, model: ModelRole, role: Role, problems: &mut Vec<Diagnostic>) {
    let (is_there, table) = match model {
        ModelRole::Candidate => (pipeline.checkpoint.is_some(), "checkpoint"),
        ModelRole::Baseline => (pipeline.baseline.as_ref().is_some_and(config::Baseline::is_checkpoint), "baseline"),
    };
    if !is_there {
        let message = format!("`{table}://` names a file of the {table}, and the pipeline has none");
        let help = format!("add `[{table}]`, or name a file beside the pipeline");
        problems.push(document.at(&format!("/data/{}/path", role.as_str()), code::MISSING_KEY, message, Some(&help)));
    }
}
