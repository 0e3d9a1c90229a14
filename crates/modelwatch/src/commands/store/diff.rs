//! Comparing two checkpoints, and writing one in another format.

use std::path::Path;

use modelwatch_runtime::contents::{Contents, Difference, TensorDifference, WrittenFormat, compare};
use modelwatch_sdk::{Host, store::CheckpointStore};
use serde_json::json;

use super::{explained, resolve, table};
use crate::{
    commands::{Code, refuse_existing},
    output,
};

/// Says which tensors changed between two checkpoints, and by how much. The code is that of `diff`: 0 the same, 1 not.
pub(super) fn diff(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    [a, b]: [&str; 2],
    all: bool,
    json: bool,
) -> anyhow::Result<Code> {
    let ((_, from), (_, to)) = (resolve(store, a)?, resolve(store, b)?);
    let [old, new] = [&from, &to].map(|it| store.open(host, it).map_err(explained));
    let (old, new) = (old?, new?);
    let differences = compare(&Contents::of(old.as_ref(), host)?, &Contents::of(new.as_ref(), host)?, host)?;
    let n_same = differences.iter().filter(|it| it.what == Difference::Same).count();
    let shown: Vec<_> = differences.iter().filter(|it| all || it.what != Difference::Same).collect();
    if json {
        let res = json!({"from": from, "to": to, "same": n_same, "tensors": shown});
        output::print(&serde_json::to_string_pretty(&res)?)?;
    } else {
        let mut text =
            format!("{} → {}: {} of {} tensors are the same\n", from.short(), to.short(), n_same, differences.len());
        if !shown.is_empty() {
            let mut rows = table();
            rows.set_header(["TENSOR", "CHANGED", "RELATIVE", "MAX |Δ|", "NORM", "COSINE"]);
            for it in &shown {
                rows.add_row(row(it));
            }
            text.push_str(&format!("{rows}\n"));
        }
        output::print(&text)?;
    }
    Ok(if n_same == differences.len() { Code::OK } else { Code::FAILED })
}

fn row(it: &TensorDifference) -> Vec<String> {
    let name = it.name.clone();
    match &it.what {
        Difference::Same => vec![name, "–".to_owned()],
        Difference::Added { form } => vec![name, format!("new: {form}")],
        Difference::Removed { form } => vec![name, format!("gone: {form}")],
        Difference::Reshaped { from, to } => vec![name, format!("{from} → {to}")],
        Difference::Changed { elements, share, relative, max_delta, from_l2, to_l2, cosine } => {
            let number = |it: &f64| format!("{it:.4e}");
            let norm = format!("{from_l2:.4} → {to_l2:.4}");
            let changed = format!("{:.2} % of {elements}", share * 100.0);
            vec![name, changed, number(relative), number(max_delta), norm, format!("{cosine:.6}")]
        }
    }
}

/// Writes the tensors of a checkpoint into one new file.
pub(super) fn write(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    text: &str,
    format: WrittenFormat,
    into: &Path,
) -> anyhow::Result<Code> {
    let (_, id) = resolve(store, text)?;
    refuse_existing(into, "file")?;
    let reader = store.open(host, &id).map_err(explained)?;
    Contents::of(reader.as_ref(), host)?.write(format, into)?;
    output::print(&format!("the tensors of {} are in {}", id.short(), into.display()))?;
    Ok(Code::OK)
}
