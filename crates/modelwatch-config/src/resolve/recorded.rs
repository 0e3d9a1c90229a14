//! Outputs of models that are not run, since they were recorded.

use std::collections::BTreeMap;

use super::Context;
use crate::{Baseline, Columns, Data, ModelRuntime, code, tree};

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
    candidate.check(cx, cx.may_have("/checkpoint"));
    if let Some(it) = baseline {
        let (runtime, columns) = (it.runtime, &columns.baseline_predictions);
        Model { table: "/baseline", runtime, pointer: Columns::BASELINE_PREDICTIONS, columns }.check(cx, true);
    }
    for (output, found) in &columns.predictions {
        if let Some((same, _)) = columns.baseline_predictions.iter().find(|(_, it)| *it == found) {
            let message = "what is judged and the baseline have the same columns as an output, which never differ";
            cx.report(
                cx.error(code::RECORDED, &tree::join(Columns::BASELINE_PREDICTIONS, same), message)
                    .related(cx.document.key_place(&tree::join(Columns::PREDICTIONS, output)), "the same columns")
                    .help("name the columns of what the baseline answered"),
            );
        }
    }
    let is_recorded = !columns.predictions.is_empty() && !cx.may_have("/checkpoint");
    if is_recorded { ModelRuntime::Recorded } else { runtime }
}

impl Model<'_> {
    /// Reports what is wrong; `is_there` says whether there is a table of the model.
    fn check(&self, cx: &mut Context<'_>, is_there: bool) {
        let Self { table, pointer, .. } = *self;
        let (name, key) = (&table[1..], pointer.rsplit('/').next().unwrap_or_default());
        let place = format!("{table}/runtime");
        match (self.runtime == ModelRuntime::Recorded, self.columns.is_empty()) {
            (true, true) if !cx.may_have(pointer) => cx.report(
                cx.error(code::RECORDED, &place, "no column is named that has its outputs")
                    .help(format!("add `[data.columns] {key} = {{ output = \"column\" }}`, or remove `runtime`")),
            ),
            (false, false) if is_there => {
                let help = match cx.document.path() {
                    Some(_) => {
                        format!("add `runtime = \"recorded\"` to `[{name}]` if they are its outputs, or remove `{key}`")
                    }
                    None => format!("judge either the model or what was recorded: leave out the model, or `{key}`"),
                };
                cx.report(
                    cx.error(
                        code::RECORDED,
                        pointer,
                        format!("the model of `[{name}]` is run, and these are of no use"),
                    )
                    .related(cx.document.key_place(table), "what is run")
                    .help(help),
                );
            }
            _ => {}
        }
        for (output, columns) in self.columns {
            let base = tree::join(pointer, output);
            for (idx, column) in columns.iter().enumerate().filter(|(_, it)| it.contains('*')) {
                let place = if columns.len() > 1 { format!("{base}/{idx}") } else { base.clone() };
                cx.report(
                    cx.error(code::RECORDED, &place, format!("`{column}` does not say in which order its columns are"))
                        .help("list each column, in the order of the classes"),
                );
            }
        }
        let idle: &[&str] = match table {
            "/checkpoint" => &["signature", "model"],
            _ => &["signature", "model", "import", "from", "optional"],
        };
        for key in idle {
            let pointer = format!("{table}/{key}");
            if self.runtime == ModelRuntime::Recorded && cx.has(&pointer) {
                cx.report(
                    cx.error(code::RECORDED, &pointer, format!("its outputs were recorded, and `{key}` has no effect"))
                        .related(cx.document.key_place(&place), "what runs the model")
                        .help(format!("remove `{key}`, or `runtime`")),
                );
            }
        }
    }
}
