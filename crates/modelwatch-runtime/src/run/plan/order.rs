//! The order of columns that make an input together, where it is that of the files: the reference's is the one that the model was made for.

use modelwatch_config::{self as config, Columns, Diagnostic, Document, Pipeline, code};
use modelwatch_sdk::{ModelRole, Role};

use super::{Plan, models, places};
use crate::{
    data::Dataset,
    inputs::{self, InputMap},
    model::{self, is_recorded},
    profile::Source,
};

/// Returns the inputs that the current data would make of the reference's columns in another order.
///
/// Those of a stored model are known in the run alone.
pub(super) fn check(document: &Document, pipeline: &Pipeline, plan: &Plan<'_>) -> Vec<Diagnostic> {
    let of = |role| match plan.data.get(&role) {
        Some(Ok(Source::Rows(it))) => Some(it),
        _ => None,
    };
    let (Some(current), Some(reference)) = (of(Role::Current), of(Role::Reference)) else { return Vec::new() };
    if !inputs::differ_in_order(current.schema(), reference.schema()) {
        return Vec::new();
    }
    let mut res = Vec::new();
    for role in [ModelRole::Candidate, ModelRole::Baseline] {
        let (columns, table) = inputs::columns_for(role, pipeline);
        // The columns of recorded outputs are listed, and so have the order of the list.
        if is_recorded(pipeline, role) || !models::runs(plan, role) {
            continue;
        }
        let map = map(pipeline, role, &columns, current);
        let Some((input, why)) = map.and_then(|it| it.disorder(&columns, current, reference)) else { continue };
        let pointer = if columns.inputs.contains_key(&input) {
            config::pointer(table, &input)
        } else {
            "/data/current/path".to_owned()
        };
        let problem = places::with_remedy(document, &pointer, code::COLUMN_ORDER, &why);
        if !res.contains(&problem) {
            res.push(problem);
        }
    }
    res
}

fn map(pipeline: &Pipeline, role: ModelRole, columns: &Columns, current: &Dataset) -> Option<InputMap> {
    let (path, file) = models::imported(pipeline, role)?;
    let info = model::inspect(pipeline, role, path, file).ok()?;
    InputMap::plan(&info, columns, current.schema()).ok()
}
