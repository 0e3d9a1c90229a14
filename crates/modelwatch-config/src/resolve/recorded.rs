//! Outputs of models that are not run, since they were recorded.

use std::collections::BTreeMap;

use super::Context;
use crate::{Baseline, Columns, Data, ModelRuntime, code};

/// What the file says of one model.
struct Model<'a> {
    table: &'static str,
    runtime: ModelRuntime,
    /// Where the columns of its outputs are named.
    pointer: &'static str,
    columns: &'a BTreeMap<String, Vec<String>>,
}

/// Returns what runs the judged model, and reports recorded outputs of which it is unclear whose they are.
pub(super) fn check(
    cx: &mut Context<'_>,
    runtime: ModelRuntime,
    baseline: Option<&Baseline>,
    data: Option<&Data>,
) -> ModelRuntime {
    let none = Columns::default();
    let columns = data.map_or(&none, |it| &it.columns);
    let candidate =
        Model { table: "/checkpoint", runtime, pointer: Columns::PREDICTIONS, columns: &columns.predictions };
    if cx.may_have(candidate.table) {
        candidate.check(cx);
    }
    if let Some(it) = baseline {
        let (runtime, columns) = (it.runtime, &columns.baseline_predictions);
        Model { table: "/baseline", runtime, pointer: Columns::BASELINE_PREDICTIONS, columns }.check(cx);
    }
    let [left, right] = [&columns.predictions, &columns.baseline_predictions].map(|it| it.values().collect::<Vec<_>>());
    if !left.is_empty() && left == right {
        let message = "what is judged and the baseline are the same columns, which never differ";
        cx.report(
            cx.error(code::RECORDED, Columns::BASELINE_PREDICTIONS, message)
                .related(cx.document.key_place(Columns::PREDICTIONS), "the same columns")
                .help("name the columns of what the baseline answered"),
        );
    }
    let is_recorded = !columns.predictions.is_empty() && !cx.may_have("/checkpoint");
    if is_recorded { ModelRuntime::Recorded } else { runtime }
}

impl Model<'_> {
    fn check(&self, cx: &mut Context<'_>) {
        let Self { table, pointer, .. } = *self;
        let (name, key) = (&table[1..], pointer.rsplit('/').next().unwrap_or_default());
        let place = format!("{table}/runtime");
        match (self.runtime == ModelRuntime::Recorded, self.columns.is_empty()) {
            (true, true) if !cx.may_have(pointer) => cx.report(
                cx.error(code::RECORDED, &place, "no column is named that has its outputs")
                    .help(format!("add `[data.columns] {key} = {{ output = \"column\" }}`, or remove `runtime`")),
            ),
            (false, false) => cx.report(
                cx.error(code::RECORDED, pointer, format!("the model of `[{name}]` is run, and these are of no use"))
                    .related(cx.document.key_place(table), "what is run")
                    .help(format!(
                        "add `runtime = \"recorded\"` to `[{name}]` if they are its outputs, or remove `{key}`"
                    )),
            ),
            _ => {}
        }
        let signature = format!("{table}/signature");
        if self.runtime == ModelRuntime::Recorded && cx.has(&signature) {
            cx.report(
                cx.error(code::RECORDED, &signature, "its outputs were recorded, and no signature is run")
                    .related(cx.document.key_place(&place), "what runs the model")
                    .help("remove `signature`, or `runtime`"),
            );
        }
    }
}
