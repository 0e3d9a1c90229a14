//! `modelwatch store show`: what is in a checkpoint, and what was said about it.

use modelwatch_runtime::{
    blessing::problem,
    checkpoint::resolve,
    contents::{self, ContentsError},
};
use modelwatch_sdk::{
    Host,
    store::{Blessing, CheckpointReader, CheckpointStore, VerdictRecord, short},
};
use serde_json::{Value, json};

use super::{Code, explained, history, meant, not_there};
use crate::{
    output,
    report::text::{bytes, counted, plain},
};

/// Prints what is in a checkpoint and the verdicts on it; as JSON the manifest with the tensors of what was imported, and the verdicts under
/// `verdicts`, oldest first; a blessing that does not hold has its `problem`.
pub(super) fn show(store: &dyn CheckpointStore, host: &dyn Host, text: &str, json: bool) -> anyhow::Result<Code> {
    let spec = meant(store, text)?;
    let history = history(store, &spec.lineage)?;
    let id = resolve(&history, &spec).map_err(not_there)?;
    let reader = store.open(host, &id).map_err(explained)?;
    let mut shown = serde_json::to_value(reader.manifest())?;
    let verdicts = history.checkpoint(&id).map(|it| it.verdicts.as_slice()).unwrap_or_default();
    let verdicts: Vec<_> =
        verdicts.iter().map(|it| (it, it.blessing.as_deref().and_then(|it| problem(it, &id)))).collect();
    if reader.manifest().tensors.is_empty() {
        let (tensors, not_read) = tensors(reader.as_ref(), host)?;
        shown["tensors"] = tensors;
        if !not_read.is_empty() {
            shown["unread"] = json!(not_read);
        }
    }
    if json {
        let with_problem = |(it, why): &(&VerdictRecord, Option<_>)| {
            let mut verdict = serde_json::to_value(it)?;
            if let Some(why) = why {
                verdict["problem"] = json!(why);
            }
            Ok(verdict)
        };
        shown["verdicts"] = verdicts.iter().map(with_problem).collect::<serde_json::Result<_>>()?;
        output::print(&serde_json::to_string_pretty(&shown)?)?;
        return Ok(Code::OK);
    }
    let mut lines = vec![format!("{}@b3:{id}", spec.lineage)];
    let refs: Vec<_> = history.refs().filter(|it| *it.1 == id).map(|it| it.0).collect();
    if !refs.is_empty() {
        lines.push(format!("refs: {}", refs.join(", ")));
    }
    lines.extend(reader.manifest().metadata.iter().map(|(key, value)| format!("{key}: {value}")));
    lines.extend(reader.manifest().files.iter().map(|it| format!("file {}, {}", it.name, bytes(it.size))));
    lines.push(counted(shown["tensors"].as_array().map_or(0, Vec::len), "tensor"));
    for it in shown["unread"].as_array().into_iter().flatten() {
        lines.push(format!("{} {}", it["name"].as_str().unwrap_or_default(), it["why"].as_str().unwrap_or_default()));
    }
    if verdicts.is_empty() {
        lines.push("not judged: no pipeline gave a verdict on it".to_owned());
    }
    for (it, why) in verdicts {
        let about = it.blessing.as_deref().map(about).unwrap_or_default();
        lines.push(format!("{} by {} (run {}){about}", it.verdict, it.pipeline, it.run_id));
        lines.extend(why.map(|it| format!("  the blessing does not hold: {it}")));
    }
    lines.push("`--json` has all of it".to_owned());
    let lines: Vec<_> = lines.iter().map(|it| plain(it)).collect();
    output::print(&lines.join("\n"))?;
    Ok(Code::OK)
}

/// Returns the tensors in a checkpoint's files, and those whose types are not read; none where these are of no format that is read.
fn tensors(reader: &dyn CheckpointReader, host: &dyn Host) -> anyhow::Result<(Value, Vec<Value>)> {
    let listed = match contents::list(reader, host) {
        Ok(it) => it,
        Err(ContentsError::NoTensors(_)) => return Ok((json!([]), Vec::new())),
        Err(e) => return Err(e.into()),
    };
    let tensors = listed.tensors.iter();
    let tensors = tensors.map(|it| json!({"name": it.name, "dtype": it.dtype.name(), "shape": it.shape})).collect();
    let unread = listed
        .unread
        .iter()
        .map(|it| json!({"name": it.name, "dtype": it.element_type(), "shape": it.shape(), "why": it.reason}));
    Ok((tensors, unread.collect()))
}

/// Returns what a verdict is about, in short, for the line of a log.
pub(super) fn about(blessing: &Blessing) -> String {
    let data = blessing.data.iter().map(|(role, it)| format!(", {role} data {}", short(&it.digest)));
    let (digest, config) = (short(&blessing.digest), short(&blessing.config));
    let data: String = data.collect();
    let (checks, plugins) = (counted(blessing.n_checks as usize, "check"), counted(blessing.plugins.len(), "plugin"));
    format!(" · blessing {digest}: {checks}, settings {config}{data}, {plugins}")
}
