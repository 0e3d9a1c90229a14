//! Where the judged checkpoint and its baseline come from.

use std::path::Path;

use super::Context;
use crate::{
    Action, Actions, Baseline, BaselineSource, CheckpointSource, CheckpointSpec, ModelRuntime, Selector,
    checkpoint::{LATEST, NAME_RULE, PROFILES_SUFFIX, is_name},
    code, did_you_mean,
    options::{BaselineOptions, CheckpointOptions, RuntimeOption},
};

/// Files that are no ONNX models, by the ends of their names.
const OTHER_FORMATS: [(&str, &str); 2] = [("tflite", "TFLite"), ("pb", "a TensorFlow graph")];

pub(super) fn checkpoint(cx: &mut Context<'_>, options: CheckpointOptions) -> Option<CheckpointSource> {
    let pointer = "/checkpoint".to_owned();
    one_source(
        cx,
        &pointer,
        is_recorded(options.runtime).then_some("remove the table: what was recorded needs no checkpoint"),
    );
    if let Some(name) = &options.name {
        let place = format!("{pointer}/name");
        if !is_name(name) {
            cx.report(
                cx.error(code::BAD_NAME, &place, format!("`{name}` is not a name for a lineage")).help(NAME_RULE),
            );
        } else if let Some(of) = name.strip_suffix(PROFILES_SUFFIX) {
            let message =
                format!("`{name}` is the lineage of the profiles that are kept beside the checkpoints of `{of}`");
            cx.report(cx.error(code::BAD_NAME, &place, message).help("choose another name"));
        }
        if cx.has("/checkpoint/from") && !cx.has("/checkpoint/import") {
            cx.report(
                cx.error(code::CHECKPOINT_SOURCE, &place, "a stored checkpoint has a lineage already")
                    .related(cx.document.key_place("/checkpoint/from"), "the lineage is named here")
                    .help("remove `name`"),
            );
        }
    } else if cx.has("/checkpoint/import") && !cx.has("/checkpoint/name") {
        cx.report(
            cx.error(code::CHECKPOINT_SOURCE, &pointer, "an imported checkpoint needs a `name`")
                .label("no `name` in this table")
                .related(cx.document.key_place("/checkpoint/import"), "imported here")
                .help("add the lineage it joins, such as `name = \"digits\"`"),
        );
    }

    let model = options.model;
    model.iter().for_each(|it| cx.filled(it, "/checkpoint/model"));
    let stored = options.from.and_then(|it| spec(cx, &it, "/checkpoint/from"));
    let path = options.import.map(|it| cx.path(&it, "/checkpoint/import"));
    match (path, options.name, stored) {
        (Some(path), Some(lineage), _) => Some(CheckpointSource::Import { path, lineage, model, pointer }),
        (_, _, Some(spec)) => Some(CheckpointSource::Stored { spec, model, pointer }),
        _ => None,
    }
}

pub(super) fn baseline(cx: &mut Context<'_>, options: BaselineOptions) -> Option<Baseline> {
    let pointer = "/baseline".to_owned();
    let is_recorded = is_recorded(options.runtime);
    if !is_recorded {
        one_source(cx, &pointer, None);
    }
    let files = [("model", &options.model), ("import", &options.import)];
    let runtime = runtime(cx, &pointer, options.runtime, files);
    signature(cx, &pointer, options.signature.as_deref());
    options.model.iter().for_each(|it| cx.filled(it, "/baseline/model"));
    let stored = options.from.and_then(|it| spec(cx, &it, "/baseline/from"));
    let path = options.import.map(|it| cx.path(&it, "/baseline/import"));
    let from = match (stored, path) {
        (Some(it), _) => BaselineSource::Stored(it),
        (None, Some(it)) => BaselineSource::Path(it),
        (None, None) if is_recorded => BaselineSource::Recorded,
        (None, None) => return None,
    };
    let BaselineOptions { model, signature, optional, .. } = options;
    Some(Baseline { from, model, signature, runtime, optional, pointer })
}

/// Reports a baseline that may be missing though nothing here makes it: misspelled, it would be missing in every run.
///
/// Where no ref is moved to what passes, people move them, and only the store knows whether they have begun.
pub(super) fn will_be_made(
    cx: &mut Context<'_>,
    baseline: &Baseline,
    checkpoint: Option<&CheckpointSource>,
    on: &Actions,
) {
    let BaselineSource::Stored(spec) = &baseline.from else { return };
    let is_unclear = checkpoint.is_none() && cx.may_have("/checkpoint");
    if !baseline.optional || is_unclear {
        return;
    }
    let own = checkpoint.map(CheckpointSource::lineage);
    let moved: Vec<_> = on.refs_of_passed().filter(|it| *it != LATEST).collect();
    let is_made = match &spec.selector {
        Selector::Ref(name) if moved.is_empty() => on.refs_of_others().all(|it| it != name),
        Selector::Ref(name) => name == LATEST || moved.contains(&name.as_str()),
        Selector::Id(_) => false,
    };
    if is_made && own == Some(spec.lineage.as_str()) {
        return;
    }
    // Both parts are nearly right: `prod` is near `good` only with a lineage before it.
    let meant = own.filter(|own| did_you_mean(&spec.lineage, [*own]).is_some()).and_then(|own| match &spec.selector {
        Selector::Ref(name) => Some(format!("{own}@{}", did_you_mean(name, moved.iter().copied())?)),
        Selector::Id(_) => None,
    });
    let made: Vec<_> = own.iter().flat_map(|own| moved.iter().map(move |it| format!("{own}@{it}"))).collect();
    let remedy = "remove `optional`: a run without the baseline is then an error";
    let help = match (meant, &made[..]) {
        (Some(meant), _) => format!("did you mean `{meant}`? Otherwise {remedy}"),
        (None, []) => remedy.to_owned(),
        (None, made) => format!("write what the pipeline moves, `{}`, or {remedy}", made.join("` or `")),
    };
    let moves = on.pass.iter().find_map(|it| match it {
        Action::Move { pointer, .. } => cx.document.place(pointer),
        _ => None,
    });
    let message = format!("the baseline `{spec}` may be missing, and this pipeline never makes it");
    cx.report(
        cx.error(code::BASELINE_NEVER_MADE, "/baseline/from", message)
            .label("if it is misspelled, every run is a first one")
            .related(moves, "what the pipeline makes")
            .help(help),
    );
}

fn is_recorded(option: Option<RuntimeOption>) -> bool {
    matches!(option, Some(RuntimeOption::Recorded))
}

/// Returns what runs the model of the judged checkpoint.
pub(super) fn runtime_of_checkpoint(cx: &mut Context<'_>, options: &CheckpointOptions) -> ModelRuntime {
    let files = [("model", &options.model), ("import", &options.import)];
    runtime(cx, "/checkpoint", options.runtime, files)
}

/// Reports the signature of a model that has none: it is empty, or the model is run by what reads ONNX.
pub(super) fn signature(cx: &mut Context<'_>, table: &str, signature: Option<&str>) {
    let Some(signature) = signature else { return };
    let place = format!("{table}/signature");
    cx.filled(signature, &place);
    let runtime = format!("{table}/runtime");
    if cx.document.value().pointer(&runtime).is_some_and(|it| it == "onnxruntime") {
        let message = format!("ONNX Runtime reads ONNX, which has no signature `{signature}`");
        cx.report(
            cx.error(code::RUNTIME, &place, message)
                .related(cx.document.key_place(&runtime), "what runs the model")
                .help("remove `signature`, or `runtime`"),
        );
    }
}

/// Returns what runs a model, and reports one that it cannot read; the first of `files` that is given is the model.
fn runtime(
    cx: &mut Context<'_>,
    table: &str,
    option: Option<RuntimeOption>,
    files: [(&str, &Option<String>); 2],
) -> ModelRuntime {
    match option {
        None | Some(RuntimeOption::Tract) => return ModelRuntime::Tract,
        Some(RuntimeOption::Recorded) => return ModelRuntime::Recorded,
        Some(RuntimeOption::OnnxRuntime) => {}
    }
    let named = files.into_iter().find_map(|(key, it)| Some((key, Path::new(it.as_ref()?))));
    let other = named.and_then(|(key, file)| {
        let end = file.extension()?.to_str()?;
        let (_, format) = OTHER_FORMATS.iter().find(|it| it.0.eq_ignore_ascii_case(end))?;
        Some((key, file, format))
    });
    if let Some((key, file, format)) = other {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        cx.report(
            cx.error(
                code::RUNTIME,
                &format!("{table}/runtime"),
                format!("ONNX Runtime reads ONNX, and `{name}` is {format}"),
            )
            .related(cx.document.key_place(&format!("{table}/{key}")), "the model is named here")
            .help("export the model to ONNX, or remove `runtime`"),
        );
    }
    ModelRuntime::OnnxRuntime
}

/// Reports a table that has both or neither of `import` and `from`. `remedy` is one for neither of them.
fn one_source(cx: &mut Context<'_>, pointer: &str, remedy: Option<&str>) {
    let import = format!("{pointer}/import");
    let from = format!("{pointer}/from");
    let table = &pointer[1..];
    match (cx.has(&import), cx.has(&from)) {
        (true, true) => cx.report(
            cx.error(code::CHECKPOINT_SOURCE, pointer, format!("`[{table}]` has both `import` and `from`"))
                .place(cx.document.key_place(&from))
                .label("a second source")
                .related(cx.document.key_place(&import), "the first one")
                .help("keep one of them"),
        ),
        (false, false) => cx.report(
            cx.error(code::CHECKPOINT_SOURCE, pointer, format!("`[{table}]` has neither `import` nor `from`"))
                .label("where does it come from?")
                .help(remedy.unwrap_or(
                    "add `import = \"path\"` for a file or folder, or `from = \"lineage@ref\"` for one in the store",
                )),
        ),
        _ => {}
    }
}

fn spec(cx: &mut Context<'_>, text: &str, pointer: &str) -> Option<CheckpointSpec> {
    if !cx.may_have("/store") {
        cx.report(
            cx.error(code::NEEDS_STORE, pointer, "a checkpoint is taken from a store, but there is none")
                .label("kept in a store")
                .help("add a `[store]` table, or use `import` for a file or folder"),
        );
    }
    match text.parse::<CheckpointSpec>() {
        Ok(spec) => Some(spec),
        Err(error) => {
            let (code, help) = if error.is_name {
                (code::BAD_NAME, NAME_RULE)
            } else {
                (code::CHECKPOINT_SPEC, "write `lineage@ref`, such as `digits@latest`, or `lineage@b3:` and the digest")
            };
            let place = cx.document.place_in_string(pointer, &error.span);
            cx.report(cx.error(code, pointer, error.message).place(place).help(help));
            None
        }
    }
}
