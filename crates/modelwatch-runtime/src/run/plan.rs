//! What has to be read, inferred and mapped; nothing else is done.

mod data;
mod metrics;
mod models;
mod needs;
mod order;
mod places;
mod selected;
mod written;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Instant,
};

use modelwatch_config::{self as config, Diagnostic, Document, Pipeline, ProbeKind, code, did_you_mean, may_mean};
use modelwatch_sdk::{ErrorKind, Kind, ModelRole, Need, Role, RowNeeds};
use modelwatch_tensors::{TensorFile, is_weights_alone};
use serde_json::Value;

use super::{Event, Options, Problem};
use crate::{
    arrival,
    artifacts::Artifacts,
    data::{CORRECT_PATH, DataError},
    history::EarlierRuns,
    inputs, model,
    models::Models,
    pace::Pace,
    pass::Slot,
    plugin::{Component, Lookup, Opener, WorkerLimits},
    profile::Source,
    services::ProbeHost,
};

pub(crate) use places::some;
pub(super) use written::notified;

/// A pipeline that is ready to run.
pub(super) struct Plan<'a> {
    pub(super) probes: Vec<Planned<'a>>,
    pub(super) store: Option<Result<OpenStore<'a>, String>>,
    pub(super) data: BTreeMap<Role, Result<Source, String>>,
}

impl Plan<'_> {
    /// Returns what the probes want of rows.
    pub(super) fn row_needs(&self) -> impl Iterator<Item = &RowNeeds> {
        let needs = self.probes.iter().filter_map(|it| it.found.as_ref().ok()).map(|it| &it.needs);
        needs.flat_map(|it| [&it.current, &it.reference]).flatten()
    }

    /// Returns whether some probe wants the model.
    pub(super) fn wants(&self, role: ModelRole) -> bool {
        self.row_needs().any(|it| it.model(role) != Need::No)
    }
}

/// The store's component with its paths resolved.
pub(super) struct OpenStore<'a> {
    pub(super) component: Component<'a>,
    pub(super) config: Value,
}

/// A probe of the pipeline.
pub(super) struct Planned<'a> {
    pub(super) settings: &'a config::Probe,
    /// What is there to be run, or why nothing is.
    pub(super) found: Result<Found<'a>, String>,
}

/// What opens a probe's instances, and what one of them says it needs.
pub(super) struct Found<'a> {
    pub(super) opener: Opener<'a>,
    pub(super) needs: modelwatch_sdk::Needs,
}

/// Plans the run, with the data's columns.
pub(super) fn plan<'a>(
    document: &Document,
    pipeline: &'a Pipeline,
    options: &Options<'a>,
) -> Result<Plan<'a>, Problem> {
    let (plan, mut problems) = look(document, pipeline, options, &[]);
    // The run of a pipeline says which probes lack what is not there, and acts on it. Arguments that name it are mistyped.
    let is_mistyped = document.path().is_none() && names_nothing(pipeline, &plan);
    if problems.is_empty() && !is_mistyped {
        return Ok(plan);
    }
    // A run goes on without them, but nobody should have to come back for them.
    problems.extend(missing(document, pipeline, &plan, options, &[]));
    Err(Problem::Pipeline(problems))
}

/// Plans as far as it goes, and returns everything that the pipeline can be blamed for.
///
/// `errors` are those of its file, from which more may follow.
pub(super) fn look<'a>(
    document: &Document,
    pipeline: &'a Pipeline,
    options: &Options<'a>,
    errors: &[Diagnostic],
) -> (Plan<'a>, Vec<Diagnostic>) {
    let (mut plan, mut problems) = components(document, pipeline, options, errors);
    if let Some(settings) = &pipeline.data {
        plan.data = data::sources(settings).map(|(role, it)| (role, Source::open(it))).collect();
        let is_whole = problems.is_empty() && errors.is_empty();
        problems.extend(data::broken_patterns(document, settings));
        problems.extend(data::check(document, pipeline, settings, &plan, is_whole));
        if !has_unread_columns(errors) {
            problems.extend(selected::check(document, pipeline, &settings.columns, &plan));
            problems.extend(order::check(document, pipeline, &plan));
        }
    }
    problems.extend(written::overwriting(document, pipeline, &plan));
    (plan, problems)
}

/// Finds the components, checks their options and what their probes need, but looks at no data.
pub(super) fn components<'a>(
    document: &Document,
    pipeline: &'a Pipeline,
    options: &Options<'a>,
    errors: &[Diagnostic],
) -> (Plan<'a>, Vec<Diagnostic>) {
    let mut planner = Planner { document, pipeline, options, errors, problems: Vec::new() };
    planner.check_folders();
    let store = pipeline.store.as_ref().and_then(|it| planner.store(it));
    let probes: Vec<_> = pipeline.probes.iter().filter_map(|it| planner.probe(it)).collect();
    (Plan { probes, store, data: BTreeMap::new() }, planner.problems)
}

/// Returns what a run would stumble over: data that cannot be read, files that are not there or that are no checkpoint by
/// themselves, models that cannot be run, and plugins that were refused.
///
/// `errors` are those of the pipeline's file, from which more may follow.
pub(super) fn missing(
    document: &Document,
    pipeline: &Pipeline,
    plan: &Plan<'_>,
    options: &Options<'_>,
    errors: &[Diagnostic],
) -> Vec<Diagnostic> {
    let mut res = Vec::new();
    for (role, settings) in pipeline.data.iter().flat_map(data::sources) {
        let Some(Err(e)) = plan.data.get(&role) else { continue };
        let pointer = format!("/data/{}/path", role.as_str());
        // What is wrong with a pattern, or a place that is not read from, is said of the pipeline itself.
        if DataError::of_pattern(settings).is_some() || errors.iter().any(|it| it.pointer == pointer) {
            continue;
        }
        let help = e.ends_with(CORRECT_PATH).then(|| paths_help(document));
        // What the help says at more length.
        let message = e.strip_suffix(CORRECT_PATH).unwrap_or(e);
        res.push(document.at(&pointer, code::MISSING_FILE, message, help));
    }
    res.extend(written::unwritable(document, pipeline));
    res.extend(unusable_store(document, pipeline, plan));
    let mut models = Vec::new();
    for (role, table) in [(ModelRole::Candidate, "/checkpoint"), (ModelRole::Baseline, "/baseline")] {
        let is_recorded = model::is_recorded(pipeline, role);
        if !is_recorded && let Err(e) = options.runtimes.open(pipeline, role) {
            res.push(document.at(&format!("{table}/runtime"), code::RUNTIME_MISSING, e.to_string(), None));
        }
        if is_recorded {
            let columns = pipeline.columns();
            let outputs: Vec<_> = inputs::recorded(role, &columns).keys().map(String::as_str).collect();
            res.extend(models::unknown_outputs(document, plan, role, &outputs));
        }
        let Some((path, model)) = models::imported(pipeline, role) else { continue };
        let pointer = format!("{table}/import");
        if !path.exists() {
            let message = format!("there is no file or folder `{}`", path.display());
            res.push(document.at(&pointer, code::MISSING_FILE, message, Some(paths_help(document))));
            continue;
        }
        if role == ModelRole::Candidate
            && pipeline.store.is_some()
            && let Ok(file) = TensorFile::open(path)
            && let Err(e) = arrival::refuse_parted(path, &file)
        {
            res.push(document.at(&pointer, code::MISSING_FILE, e.to_string(), None));
        }
        if models::runs(plan, role) && !is_recorded {
            match model::inspect(pipeline, role, path, model) {
                Ok(it) => {
                    res.extend(models::unknown_inputs(document, pipeline, role, path, &it));
                    let outputs: Vec<_> = it.outputs.iter().map(|it| it.name.as_str()).collect();
                    res.extend(models::unknown_outputs(document, plan, role, &outputs));
                    if role == ModelRole::Candidate && !has_unread_columns(errors) {
                        res.extend(selected::unmet_outputs(document, &pipeline.columns(), plan, &it));
                    }
                    models.push((role, it));
                }
                // As far as the run is concerned, a gap.
                Err(_) if model.is_none() && !models::requires(plan, role) && is_weights_alone(path) => continue,
                Err(why) => res.push(models::unusable_model(document, table, &why)),
            }
            let refused = |names: &_| model::refused_layers(pipeline, role, path, model, names);
            res.extend(models::unknown_layers(document, plan, role, refused));
        }
    }
    res.extend(models::unmade_outputs(document, pipeline, plan));
    if !has_unread_columns(errors) {
        res.extend(models::unmade_inputs(document, pipeline, plan, &models));
        res.extend(models::unlike(document, pipeline, plan, &models));
    }
    for it in &plan.probes {
        if let Err(e) = &it.found {
            res.push(document.at(&format!("{}/uses", it.settings.component.pointer), code::REFUSED, e, None));
        }
    }
    for it in options.catalog.unread_folders() {
        let named = pipeline.plugins.dirs.iter().position(|dir| it.path.starts_with(dir));
        let pointer = named.map_or_else(String::new, |at| format!("{PLUGIN_DIRS}/{at}"));
        res.push(document.at(&pointer, code::REFUSED, it.to_string(), Some(UNREAD_HELP)));
    }
    res
}

/// Returns what is at the path of the store and is none. One that is not there yet is made by the run.
fn unusable_store(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Option<Diagnostic> {
    let path = pipeline.store.as_ref()?.with.get("path")?.as_str()?;
    let store = plan.store.as_ref()?.as_ref().ok()?;
    if !pipeline.root.join(path).exists() {
        return None;
    }
    let e = store.component.open_store(&store.config).err()?;
    let help = Some(e.help.as_str()).filter(|it| !it.is_empty());
    Some(document.at("/store/with/path", code::MISSING_FILE, e.message, help))
}

/// Returns whether a path of data or of a model to import leads to no file.
fn names_nothing(pipeline: &Pipeline, plan: &Plan<'_>) -> bool {
    let is_no_data = |(role, it): (Role, &config::Source)| match plan.data.get(&role) {
        Some(Err(e)) => e.ends_with(CORRECT_PATH) || it.path().is_dir(),
        _ => false,
    };
    let is_no_model = |role| models::imported(pipeline, role).is_some_and(|(path, _)| !path.exists());
    pipeline.data.iter().flat_map(data::sources).any(is_no_data)
        || [ModelRole::Candidate, ModelRole::Baseline].into_iter().any(is_no_model)
}

/// What to do where a plugin folder cannot be read.
pub(super) const UNREAD_HELP: &str = "nobody knows what it has: mend it, write its listing anew with `modelwatch plugin index`, or do not name the folder";

fn paths_help(document: &Document) -> &'static str {
    match document.path() {
        Some(_) => "correct the path; a relative one starts at the folder of the pipeline file",
        None => "correct the path",
    }
}

/// Where the pipeline names its plugin folders.
const PLUGIN_DIRS: &str = "/plugins/dirs";

struct Planner<'a, 'o> {
    document: &'o Document,
    pipeline: &'a Pipeline,
    options: &'o Options<'a>,
    /// Those of the file.
    errors: &'o [Diagnostic],
    problems: Vec<Diagnostic>,
}

impl<'a> Planner<'a, '_> {
    fn check_folders(&mut self) {
        for (at, dir) in self.pipeline.plugins.dirs.iter().enumerate().filter(|(_, it)| !it.is_dir()) {
            let message = format!("there is no plugin folder `{}`", dir.display());
            let help = "correct the path, which starts at the folder of the pipeline, or build the plugins with `cargo xtask plugins`";
            self.at(&format!("{PLUGIN_DIRS}/{at}"), code::MISSING_FILE, &message, Some(help));
        }
    }

    fn store(&mut self, settings: &'a config::Component) -> Option<Result<OpenStore<'a>, String>> {
        let component = match self.component(Kind::Store, settings)? {
            Ok(it) => it,
            Err(reason) => return Some(Err(reason)),
        };
        let config = component.resolved(&settings.with, &self.pipeline.root);
        Some(Ok(OpenStore { component, config }))
    }

    fn probe(&mut self, settings: &'a config::Probe) -> Option<Planned<'a>> {
        let component = match self.component(kind_of(settings.kind), &settings.component) {
            Some(Ok(it)) => it,
            Some(Err(reason)) => return Some(Planned { settings, found: Err(reason) }),
            None => return self.check_least_needs(settings),
        };
        let opener = self.opener(settings, component)?;
        let config = Value::Object(settings.component.with.clone());
        let needs = match opener.open_probe(&config) {
            Ok(it) => it.needs(),
            Err(e) if e.kind == ErrorKind::Config => {
                let with = format!("{}/with", settings.component.pointer);
                let pointer =
                    if settings.component.with.is_empty() { settings.component.pointer.clone() } else { with };
                let help = Some(e.help.as_str()).filter(|it| !it.is_empty());
                self.at(&format!("{pointer}{}", e.path), code::REFUSED, &e.message, help);
                return self.check_least_needs(settings);
            }
            Err(e) => return Some(Planned { settings, found: Err(e.message) }),
        };
        self.check_needs(settings, &needs);
        self.check_metrics(settings, &needs.metrics);
        self.check_confidence(settings);
        Some(Planned { settings, found: Ok(Found { opener, needs }) })
    }

    /// Returns what opens instances where the pipeline wants them.
    fn opener(&mut self, settings: &config::Probe, component: Component<'a>) -> Option<Opener<'a>> {
        if settings.isolation == config::Isolation::Thread {
            return Some(Opener::in_thread(component));
        }
        let limits = WorkerLimits {
            name: settings.id.clone(),
            timeout: settings.timeout,
            memory: settings.memory,
            cancelled: Arc::clone(&self.options.cancelled),
        };
        let opener = Opener::in_process(component, self.options.catalog.worker.as_ref(), limits);
        let help = "leave `isolation` out, or set it to \"thread\"";
        let pointer = format!("{}/isolation", settings.component.pointer);
        opener.map_err(|e| self.at(&pointer, code::OUT_OF_RANGE, &e, Some(help))).ok()
    }

    /// Looks a component up and checks its options. `None` where the pipeline is at fault, an error
    /// where the component's library was refused.
    fn component(&mut self, kind: Kind, settings: &config::Component) -> Option<Result<Component<'a>, String>> {
        let catalog = self.options.catalog;
        match catalog.find(kind, &settings.uses) {
            Lookup::Found(it) => {
                let errors = self.document.component_errors(settings, &it.info.config);
                if errors.is_empty() {
                    return Some(Ok(it));
                }
                self.problems.extend(errors);
                None
            }
            Lookup::Refused(it) => Some(Err(it.to_string())),
            Lookup::Unknown(names) => {
                let pointer = format!("{}/uses", settings.pointer);
                let other = catalog.components().find(|it| it.info.name == settings.uses);
                if let Some(other) = other {
                    let message = format!("`{}` is of kind {}, not {kind}", settings.uses, other.info.kind);
                    self.at(&pointer, code::WRONG_KIND, &message, None);
                    return None;
                }
                let similar = did_you_mean(&settings.uses, names.iter().copied());
                // Nobody knows what is in folders that the file names and nobody could read.
                if similar.is_none() && (self.may_have(PLUGIN_DIRS) || may_have(&self.problems, PLUGIN_DIRS)) {
                    return None;
                }
                // Nor what a library that was refused has, so that the name may be right.
                if let (None, Some(refusal)) = (similar, catalog.unread()) {
                    return Some(Err(format!("no {kind} that was loaded is named `{}`; {refusal}", settings.uses)));
                }
                let help = match similar {
                    Some(it) => format!("did you mean `{it}`?"),
                    None if names.is_empty() => {
                        "build the plugins with `cargo xtask plugins`, or name their folder with `--plugin-dir`"
                            .to_owned()
                    }
                    None => format!("there is {}", names.join(", ")),
                };
                self.at(
                    &pointer,
                    code::UNKNOWN_COMPONENT,
                    &format!("no {kind} is named `{}`", settings.uses),
                    Some(&help),
                );
                None
            }
        }
    }

    fn may_have(&self, pointer: &str) -> bool {
        may_have(self.errors, pointer)
    }

    /// Returns whether the probe has options that were not read, which syntax errors alone say for themselves.
    fn has_unread_options(&self, settings: &config::Component) -> bool {
        let with = format!("{}/with", settings.pointer);
        self.errors.iter().any(|it| match it.code {
            code::SYNTAX => false,
            // It may have been meant for the options.
            code::UNKNOWN_KEY => it.pointer.rsplit_once('/').is_some_and(|of| of.0 == settings.pointer),
            _ => concerns(it, &with),
        })
    }

    fn at(&mut self, pointer: &str, code: &'static str, message: &str, help: Option<&str>) {
        self.problems.push(self.document.at(pointer, code, message, help));
    }
}

/// Returns whether the file may have something at `pointer` that was not read, because of one of its errors.
fn may_have(errors: &[Diagnostic], pointer: &str) -> bool {
    errors.iter().any(|it| match it.code {
        code::SYNTAX => true,
        code::UNKNOWN_KEY => may_mean(&it.pointer, pointer),
        _ => concerns(it, pointer),
    })
}

/// Returns whether the file may say of columns what was not read, such as which are to be ignored.
fn has_unread_columns(errors: &[Diagnostic]) -> bool {
    const COLUMNS: &str = "/data/columns";
    may_have(errors, COLUMNS) || errors.iter().any(|it| is_in(&it.pointer, COLUMNS))
}

/// Returns whether an error is of a value at `pointer`, of one in it or of one that it is in.
fn concerns(error: &Diagnostic, pointer: &str) -> bool {
    !error.pointer.is_empty() && (is_in(pointer, &error.pointer) || is_in(&error.pointer, pointer))
}

fn is_in(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

/// Returns the remedy for a name that is not there: the one that was probably meant, or what `all` says there is.
fn meant(given: &str, names: &[&str], all: impl FnOnce() -> String) -> String {
    // A single character is near to any other, but in another case it is meant.
    let is_near = |it: &&str| given.chars().nth(1).is_some() || it.eq_ignore_ascii_case(given);
    let similar = did_you_mean(given, names.iter().copied()).filter(is_near);
    similar.map_or_else(all, |it| format!("did you mean `{it}`?"))
}

/// Returns the kind of component that a probe is.
pub(super) fn kind_of(kind: ProbeKind) -> Kind {
    match kind {
        ProbeKind::Verifier => Kind::Verifier,
        ProbeKind::Analyzer => Kind::Analyzer,
    }
}

pub(super) fn rows_of<'p>(planned: &'p Planned<'_>, role: Role) -> Option<&'p RowNeeds> {
    let needs = &planned.found.as_ref().ok()?.needs;
    match role {
        Role::Current => needs.current.as_ref(),
        Role::Reference => needs.reference.as_ref(),
    }
}

/// What is kept of runs.
pub(super) struct Kept {
    /// The folder of the files that probes hand over.
    pub(super) artifacts: Option<PathBuf>,
    pub(super) earlier_runs: Option<EarlierRuns>,
}

impl<'a> Planned<'a> {
    /// Opens the main instance of the probe for a run with these models.
    ///
    /// Files that it hands over go into a folder of its id in `artifacts`.
    pub(super) fn open(&self, models: &Models, options: &Options<'a>, kept: Kept) -> Result<Slot<'a>, String> {
        let found = self.found.as_ref().map_err(Clone::clone)?;
        let confidence = self.settings.requirements.iter();
        let confidence = confidence.filter_map(|it| Some((it.metric.name.clone(), it.confidence?))).collect();
        let tolerated = self.settings.requirements.iter().filter(|it| it.allows_worse_than_baseline());
        let tolerated = tolerated.map(|it| it.metric.name.clone()).collect();
        let deadline = self.settings.timeout.and_then(|it| Some((Instant::now().checked_add(it)?, it)));
        if let Some((deadline, _)) = deadline {
            found.opener.set_deadline(deadline);
        }
        let (on_event, probe) = (options.on_event, &self.settings.id);
        let host = ProbeHost {
            on_progress: Box::new(move |done, total| on_event(Event::Probe { id: probe.clone(), done, total })),
            pace: Pace::default(),
            cancelled: Arc::clone(&options.cancelled),
            deadline,
            models: models.clone(),
            confidence,
            tolerated,
            seconds: Mutex::default(),
            artifacts: Artifacts::into_folder(kept.artifacts.map(|it| it.join(&self.settings.id))),
            earlier_runs: kept.earlier_runs,
        };
        Slot::open(self.settings, found.opener.clone(), host).map_err(|e| e.message)
    }
}
