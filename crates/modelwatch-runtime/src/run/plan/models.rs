//! What the pipeline says of its models' inputs and outputs, held against the models and the data.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::Path,
};

use modelwatch_config::{
    self as config, BaselineSource, CheckpointSource, Diagnostic, Document, Pipeline, code, did_you_mean,
};
use modelwatch_infer::{InferError, ModelInfo};
use modelwatch_sdk::{ModelRole, Need, Role, rows::Named};

use super::{
    Plan,
    data::{is_pattern_of, names},
    meant,
    places::{at_mention, some, with_of, with_remedy},
    rows_of,
};
use crate::{
    data::Dataset,
    inputs::{self, InputMap},
    model::{ModelError, is_recorded},
    pass::Layout,
    profile::Source,
};

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
        let outputs = found.needs.mentions.iter().filter(|it| it.of == Named::Output);
        for output in outputs.filter(|it| !names.contains(&it.name.as_str())) {
            let message = format!("the {} model has no output `{}`", role.as_str(), output.name);
            let help = meant(&output.name, names, || format!("its outputs are {}", some(names)));
            res.push(at_mention(document, it.settings, output, code::UNKNOWN_OUTPUT, message, &help));
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
