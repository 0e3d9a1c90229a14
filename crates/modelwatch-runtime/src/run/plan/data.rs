//! What the pipeline says of its data and of its model's inputs, held against both.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use arrow_schema::Schema;
use modelwatch_config::{
    self as config, Action, BaselineSource, CheckpointSource, Columns, Diagnostic, Document, Pipeline, ProbeKind,
    ProfiledData, code, did_you_mean,
};
use modelwatch_infer::{InferError, ModelInfo};
use modelwatch_sdk::{ModelRole, Need, Role, RowNeeds, rows::name_matches};
use serde_json::Value;

use super::{Plan, meant, rows_of};
use crate::{
    data::{DataError, Dataset},
    history,
    inputs::{self, InputMap},
    model::{self, ModelError, is_recorded},
    pass::Layout,
    plugin::LISTING_FILE,
    profile::{Source, kept},
    whole_file::{self, replaceable},
};

/// Before the name of a type of columns.
const TYPE: &str = "type:";

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

/// Returns the path of a checkpoint that is imported, and which file of it is the model.
pub(super) fn imported(pipeline: &Pipeline, role: ModelRole) -> Option<(&Path, Option<&str>)> {
    match role {
        ModelRole::Candidate => match pipeline.checkpoint.as_ref()? {
            CheckpointSource::Import { path, model, .. } => Some((path, model.as_deref())),
            CheckpointSource::Stored { .. } => None,
        },
        ModelRole::Baseline => {
            let baseline = pipeline.baseline.as_ref()?;
            match &baseline.from {
                BaselineSource::Path(path) => Some((path, baseline.model.as_deref())),
                BaselineSource::Stored(_) | BaselineSource::Recorded => None,
            }
        }
    }
}

/// Returns whether some probe wants the model of that role to be run.
pub(super) fn runs(plan: &Plan<'_>, role: ModelRole) -> bool {
    needs(plan, role).any(|it| it != Need::No)
}

/// Returns whether some probe cannot do without the outputs of the model of that role.
pub(super) fn requires(plan: &Plan<'_>, role: ModelRole) -> bool {
    needs(plan, role).any(|it| it == Need::Required)
}

fn needs(plan: &Plan<'_>, role: ModelRole) -> impl Iterator<Item = Need> {
    let rows = |it| [rows_of(it, Role::Current), rows_of(it, Role::Reference)].into_iter().flatten();
    plan.probes.iter().flat_map(rows).map(move |it| it.model(role))
}

fn names(schema: &Schema) -> Vec<&str> {
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

fn is_pattern_of(name: &str, names: &[&str]) -> bool {
    is_pattern(name) && names.iter().any(|it| name_matches(name, it))
}

/// Returns the inputs that the pipeline names and the model does not have.
///
/// A run goes on with these: it may be the model that is wrong, which is for the probes to say.
pub(super) fn unknown_inputs(
    document: &Document,
    pipeline: &Pipeline,
    role: ModelRole,
    model: &Path,
    info: &ModelInfo,
) -> Vec<Diagnostic> {
    let names: Vec<_> = info.inputs.iter().map(|it| it.name.as_str()).collect();
    let (columns, table) = inputs::columns_for(role, pipeline);
    let unknown = columns.inputs.keys().filter(|it| !names.contains(&it.as_str())).map(|name| {
        let message = format!("the model `{}` has no input `{name}`", model.display());
        let help = meant(name, &names, || format!("its inputs are {}", names.join(", ")));
        let pointer = config::pointer(table, name);
        document.at_key(&pointer, code::UNKNOWN_INPUT, message, Some(&help))
    });
    unknown.collect()
}

/// Returns the outputs that the options of probes name and the model of that role does not have.
///
/// As with [`unknown_inputs`], a run goes on with these.
pub(super) fn unknown_outputs(
    document: &Document,
    plan: &Plan<'_>,
    role: ModelRole,
    names: &[&str],
) -> Vec<Diagnostic> {
    let mut res = Vec::new();
    for it in &plan.probes {
        let Ok(found) = &it.found else { continue };
        let rows = [Role::Current, Role::Reference].into_iter().filter_map(|role| rows_of(it, role));
        if rows.map(|rows| rows.model(role)).all(|it| it == Need::No) {
            continue;
        }
        for name in found.needs.outputs.iter().filter(|it| !names.contains(&it.as_str())) {
            let message = format!("the {} model has no output `{name}`", role.as_str());
            let help = meant(name, names, || format!("its outputs are {}", some(names)));
            res.push(document.at(&place_of(it.settings, name), code::UNKNOWN_OUTPUT, message, Some(&help)));
        }
    }
    res
}

/// Returns the data that is read row by row.
fn rows<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = (Role, &'p Dataset)> {
    plan.data.iter().filter_map(|(role, source)| match source {
        Ok(Source::Rows(it)) => Some((*role, it)),
        _ => None,
    })
}

/// Returns the inputs of models that the data's columns do not make.
///
/// As with [`unknown_inputs`], a run goes on with these.
pub(super) fn unmade_inputs(
    document: &Document,
    pipeline: &Pipeline,
    plan: &Plan<'_>,
    models: &[(ModelRole, ModelInfo)],
) -> Vec<Diagnostic> {
    let models: Vec<_> =
        models.iter().map(|(role, info)| (*role, info, inputs::columns_for(*role, pipeline))).collect();
    let mut res = Vec::new();
    for (role, dataset) in rows(plan) {
        let schema = dataset.schema();
        let names = names(schema);
        let is_run =
            |model| plan.probes.iter().filter_map(|it| rows_of(it, role)).any(|it| it.model(model) != Need::No);
        let run = models.iter().filter(|it| is_run(it.0));
        for ((_, model, (columns, table)), input) in run.flat_map(|it| it.1.inputs.iter().map(move |input| (it, input)))
        {
            let named = columns.inputs.get(&input.name);
            // A column that is not there was told of at its place.
            if named.is_some_and(|it| it.iter().any(|it| !names.contains(&it.as_str()) && !is_pattern_of(it, &names))) {
                continue;
            }
            let pointer = match named {
                Some(_) => config::pointer(table, &input.name),
                None => format!("/data/{}/path", role.as_str()),
            };
            let (code, why) = match inputs::columns_of(input, model, columns, schema) {
                Ok(found) => match inputs::width(input) {
                    Some(wanted) if found.len() > 1 && found.len() != wanted => {
                        let (name, found) = (&input.name, found.len());
                        let what = format!("the model's input `{name}` takes {wanted} numbers of a row");
                        let remedy = "name as many columns as the model was trained on";
                        (code::UNKNOWN_INPUT, format!("{what}, and {found} columns are meant for it; {remedy}"))
                    }
                    _ => match inputs::no_number(input, &found, dataset) {
                        Some(e) => (code::MISSING_FILE, e.to_string()),
                        None => continue,
                    },
                },
                Err(why) if named.is_some() => (code::UNKNOWN_COLUMN, why),
                Err(why) => (code::UNKNOWN_INPUT, why),
            };
            let problem = with_remedy(document, &pointer, code, &why);
            if !res.contains(&problem) {
                res.push(problem);
            }
        }
    }
    res
}

/// Returns the columns that are to be an output together and are no numbers.
pub(super) fn unmade_outputs(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Diagnostic> {
    let columns = pipeline.columns();
    let mut res = Vec::new();
    for (role, dataset) in rows(plan) {
        for (model, table) in inputs::RECORDED {
            let is_read =
                plan.probes.iter().filter_map(|it| rows_of(it, role)).any(|it| it.outputs_of(model) != Need::No);
            let outputs = inputs::recorded(model, &columns).iter().filter(|it| is_read && it.1.len() > 1);
            let is_there = |names: &[String]| names.iter().all(|it| dataset.schema().index_of(it).is_ok());
            for (output, names) in outputs.filter(|it| is_there(it.1)) {
                if let Some(e) = dataset.no_number(names) {
                    res.push(document.at(&config::pointer(table, output), code::MISSING_FILE, e.to_string(), None));
                }
            }
        }
    }
    res
}

/// Returns what a run could not write, as far as that can be told without making anything.
pub(super) fn unwritable(document: &Document, pipeline: &Pipeline) -> Vec<Diagnostic> {
    let reports = pipeline.report.files().map(|(key, it)| (config::pointer("/report", key), it));
    let history = pipeline.run.history.iter().map(|it| ("/run/history".to_owned(), it.as_path()));
    let problem = |(pointer, file): (String, &Path)| {
        let above = file.ancestors().skip(1).find(|it| it.exists());
        let message = match above {
            _ if file.is_dir() => format!("`{}` is a folder", file.display()),
            Some(it) if !it.is_dir() => {
                format!("`{}` cannot be in `{}`, which is no folder", file.display(), it.display())
            }
            _ => return None,
        };
        let help = "name a file in a folder that is there or can be made";
        Some(document.at(&pointer, code::MISSING_FILE, message, Some(help)))
    };
    reports.chain(history).filter_map(problem).collect()
}

/// Something that the run reads or keeps, which no report may replace.
struct Kept {
    what: &'static str,
    path: PathBuf,
    /// Whether all below it is a part of it.
    is_folder: bool,
}

impl Kept {
    fn new(what: &'static str, path: &Path, is_folder: bool) -> Self {
        Self { what, path: whole_file::canonical(path), is_folder }
    }

    fn has(&self, path: &Path) -> bool {
        if self.is_folder { path.starts_with(&self.path) } else { path == self.path }
    }
}

/// Returns the reports that would take the place of what the run reads or keeps.
pub(super) fn overwriting(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Diagnostic> {
    if pipeline.report.files().next().is_none() {
        return Vec::new();
    }
    let mut kept = all_kept(document, pipeline, plan);
    let mut res = Vec::new();
    for (key, path) in pipeline.report.files() {
        let report = Kept::new("another report", path, false);
        let problem = match kept.iter().find(|it| it.has(&report.path)) {
            Some(it) => Some(format!("`{}` is {}, which the report would replace", path.display(), it.what)),
            None => replaceable(path, key).err().map(|e| format!("cannot write the report `{}`: {e}", path.display())),
        };
        if let Some(it) = problem {
            res.push(document.at(&config::pointer("/report", key), code::OVERWRITES, it, Some("name another file")));
        }
        kept.push(report);
    }
    res
}

fn all_kept(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Kept> {
    let file = |what| move |path: &Path| Kept::new(what, path, false);
    let mut res = vec![file("the history")(&history::path_of(pipeline))];
    res.extend(document.path().map(file("the pipeline")));
    let data = plan.data.values().flatten().flat_map(Source::files);
    res.extend(data.map(|it| file("the data")(it)));
    let models = [ModelRole::Candidate, ModelRole::Baseline].into_iter().filter_map(|role| imported(pipeline, role));
    res.extend(models.map(|(it, _)| Kept::new("a checkpoint", it, it.is_dir())));
    res.extend(pipeline.plugins.dirs.iter().map(|it| file("a listing of plugins")(&it.join(LISTING_FILE))));
    let store = pipeline.store.as_ref().and_then(|it| it.with.get("path")?.as_str());
    res.extend(store.map(|it| Kept::new("a part of the store", &pipeline.root.join(it), true)));
    res.extend(notified(pipeline).map(file("a file that is told of each run")));
    res.extend(pipeline.run.resume.as_deref().map(file("the file for a run that is killed")));
    res
}

/// Returns the files to which a run adds a line.
pub(in crate::run) fn notified(pipeline: &Pipeline) -> impl Iterator<Item = &Path> {
    let on = &pipeline.on;
    let actions = [&on.pass, &on.fail, &on.inconclusive, &on.not_checked, &on.error].into_iter().flatten();
    actions.filter_map(|it| if let Action::Notify { file, .. } = it { Some(file.as_path()) } else { None })
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

/// Returns the data whose columns cannot be read together, as far as those are known before the run's models are.
pub(super) fn unlike(
    document: &Document,
    pipeline: &Pipeline,
    plan: &Plan<'_>,
    models: &[(ModelRole, ModelInfo)],
) -> Vec<Diagnostic> {
    let columns = pipeline.columns();
    let mut res = Vec::new();
    for (role, dataset) in rows(plan) {
        let needs: Vec<_> = plan.probes.iter().filter_map(|it| rows_of(it, role).cloned()).collect();
        if needs.is_empty() {
            continue;
        }
        let inputs = |role, info| InputMap::plan(info, &inputs::columns_for(role, pipeline).0, dataset.schema()).ok();
        let models = models.iter().filter(|it| needs.iter().any(|need| need.model(it.0) != Need::No));
        let mut models: Vec<_> = models.filter_map(|(model, info)| Some((*model, inputs(*model, info)?))).collect();
        let recorded = [ModelRole::Candidate, ModelRole::Baseline].into_iter().filter(|it| is_recorded(pipeline, *it));
        let recorded = recorded.filter_map(|it| Some((it, InputMap::recorded(it, &columns, dataset.schema()).ok()?)));
        models.extend(recorded);
        let layout = Layout::new(dataset.schema(), &columns, needs, models, NonZeroUsize::MIN);
        if let Err(e) = dataset.check(&layout.columns()) {
            let pointer = format!("/data/{}/path", role.as_str());
            res.push(document.at(&pointer, code::MISSING_FILE, e.to_string(), None));
        }
    }
    res
}

/// Returns the layers that probes ask for and the model cannot give.
pub(super) fn unknown_layers(
    document: &Document,
    plan: &Plan<'_>,
    role: ModelRole,
    refused: impl FnOnce(&BTreeSet<String>) -> BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    let rows = |it| [rows_of(it, Role::Current), rows_of(it, Role::Reference)].into_iter().flatten();
    let asked = plan.probes.iter().flat_map(|it| rows(it).map(move |rows| (it.settings, rows)));
    let asked: BTreeSet<(String, &String)> =
        asked.flat_map(|(settings, rows)| rows.layers_of(role).iter().map(|it| (with_of(settings), it))).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let refused = refused(&asked.iter().map(|it| it.1.clone()).collect());
    let problem = |(pointer, name): (String, &String)| {
        let why = refused.get(name)?;
        Some(with_remedy(document, &pointer, code::UNKNOWN_LAYER, why))
    };
    asked.into_iter().filter_map(problem).collect()
}

/// Returns why a model that is imported by a table of the pipeline cannot be run.
pub(super) fn unusable_model(document: &Document, table: &str, why: &ModelError) -> Diagnostic {
    let signature = format!("{table}/signature");
    match why {
        ModelError::Load(InferError::NoSignature { path, wanted, there }) if !there.is_empty() => {
            let names: Vec<_> = there.iter().map(|it| format!("`{it}`")).collect();
            let help = match did_you_mean(wanted, there.iter().map(String::as_str)) {
                Some(it) => format!("did you mean `{it}`?"),
                None => format!("name one of them, {}", names.join(", ")),
            };
            let message = format!("`{}` has no signature `{wanted}`", path.display());
            document.at(&signature, code::UNKNOWN_SIGNATURE, message, Some(&help))
        }
        ModelError::Load(InferError::NoSignature { .. } | InferError::NoSignatures { .. }) => {
            with_remedy(document, &signature, code::UNKNOWN_SIGNATURE, &why.to_string())
        }
        _ => document.at(&format!("{table}/import"), code::MISSING_FILE, why.to_string(), None),
    }
}

/// Returns an error whose message has the remedy behind a semicolon, if there is one.
pub(super) fn with_remedy(document: &Document, pointer: &str, code: &'static str, why: &str) -> Diagnostic {
    let (message, help) = why.split_once("; ").map_or((why, None), |(what, help)| (what, Some(help)));
    document.at(pointer, code, message, help)
}

pub(super) fn with_of(settings: &config::Probe) -> String {
    format!("{}/with", settings.component.pointer)
}

/// Returns where the options of a probe have a name, such as that of a column, or else the options.
pub(super) fn place_of(settings: &config::Probe, name: &str) -> String {
    fn find(value: &Value, name: &str, pointer: &str) -> Option<String> {
        match value {
            Value::String(it) => (it == name).then(|| pointer.to_owned()),
            Value::Array(items) => {
                items.iter().enumerate().find_map(|(at, it)| find(it, name, &format!("{pointer}/{at}")))
            }
            Value::Object(items) => items.iter().find_map(|(key, it)| {
                let place = config::pointer(pointer, key);
                if key == name { Some(place) } else { find(it, name, &place) }
            }),
            _ => None,
        }
    }
    let with = with_of(settings);
    let mut options = settings.component.with.iter();
    options.find_map(|(key, it)| find(it, name, &config::pointer(&with, key))).unwrap_or(with)
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

pub(crate) fn some(names: &[impl AsRef<str>]) -> String {
    let (shown, rest) = if names.len() > 12 { names.split_at(10) } else { (names, &names[..0]) };
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if rest.is_empty() { shown } else { format!("{shown} and {} more", rest.len()) }
}
