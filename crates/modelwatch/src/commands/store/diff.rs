//! Comparing two checkpoints, and writing one in another format.

use std::path::Path;

use modelwatch_runtime::{
    contents::{Contents, ContentsError, Difference, TensorDifference, WrittenFormat, compare},
    file_changes::{FileChange, FileDifference, compare_files},
};
use modelwatch_sdk::{
    Host,
    store::{CheckpointReader, CheckpointStore},
};
use serde_json::json;

use super::{explained, get::refuse_in_store, resolve, table};
use crate::{
    commands::{Code, refuse_existing},
    output,
    report::text::{count, counted, plain},
};

/// What is compared, and how that is told.
pub(super) struct How {
    /// List tensors that are the same, too.
    pub(super) all: bool,
    /// Leave out the files.
    pub(super) tensors: bool,
    pub(super) json: bool,
}

/// Says which tensors changed between two checkpoints, and by how much, and which files differ. The code is that of `diff`: 0 the
/// same, 1 not, and 1 where nobody knows.
pub(super) fn diff(store: &dyn CheckpointStore, host: &dyn Host, [a, b]: [&str; 2], how: &How) -> anyhow::Result<Code> {
    let ((_, from), (_, to)) = (resolve(store, a)?, resolve(store, b)?);
    let [old, new] = [&from, &to].map(|it| store.open(host, it).map_err(explained));
    let (old, new) = (old?, new?);
    let files = compare_files(old.manifest(), new.manifest());
    let (mut differences, unread) = match tensors(old.as_ref(), new.as_ref(), host) {
        Ok(it) => (it, None),
        Err(ContentsError::NoTensors(why)) => (Vec::new(), Some(why)),
        Err(e) => return Err(e.into()),
    };
    if files.is_empty() {
        // Not read, and in the same bytes all the same.
        let not_compared = |it: &&mut TensorDifference| matches!(it.what, Difference::NotCompared { .. });
        differences.iter_mut().filter(not_compared).for_each(|it| it.what = Difference::Same);
    }
    let n_same = differences.iter().filter(|it| it.what == Difference::Same).count();
    let shown: Vec<_> = differences.iter().filter(|it| how.all || it.what != Difference::Same).collect();
    let told: &[FileDifference] = if how.tensors { &[] } else { &files };
    if how.json {
        let mut res = json!({"from": from, "to": to, "same": n_same, "tensors": shown});
        if !how.tensors {
            res["files"] = json!(told);
        }
        if let Some(why) = &unread {
            res["unread"] = json!(why);
        }
        output::print(&serde_json::to_string_pretty(&res)?)?;
    } else {
        let (from, to) = (from.short(), to.short());
        let mut text = match &unread {
            None => {
                let (tensors, are) = (counted(differences.len(), "tensor"), if n_same == 1 { "is" } else { "are" });
                format!("{from} → {to}: {} of {tensors} {are} the same\n", count(n_same as u64))
            }
            Some(why) => format!("{from} → {to}: the tensors were not compared: {}\n", plain(why)),
        };
        match told {
            [] if how.tensors => {}
            [] => text.push_str("the files are the same\n"),
            all => text.push_str(&format!("files differ: {}\n", all.iter().map(file).collect::<Vec<_>>().join(", "))),
        }
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
    let is_same = n_same == differences.len() && told.is_empty() && (unread.is_none() || files.is_empty());
    Ok(if is_same { Code::OK } else { Code::FAILED })
}

fn tensors(
    old: &dyn CheckpointReader,
    new: &dyn CheckpointReader,
    host: &dyn Host,
) -> Result<Vec<TensorDifference>, ContentsError> {
    compare(&Contents::of(old, host)?, &Contents::of(new, host)?, host)
}

fn file(it: &FileDifference) -> String {
    let what = match it.change {
        FileChange::Added => " (new)",
        FileChange::Removed => " (gone)",
        FileChange::Changed => "",
    };
    format!("`{}`{what}", it.name)
}

fn row(it: &TensorDifference) -> Vec<String> {
    let name = it.name.clone();
    match &it.what {
        Difference::Same => vec![name, "–".to_owned()],
        Difference::Added { form } => vec![name, format!("new: {form}")],
        Difference::Removed { form } => vec![name, format!("gone: {form}")],
        Difference::Unread { why } => vec![name, format!("its bytes changed; it {why}")],
        Difference::NotCompared { why } => vec![name, format!("not compared: it {why}")],
        Difference::Reshaped { from, to } => vec![name, format!("{from} → {to}")],
        Difference::Retyped { from, to, shape } => vec![name, format!("{from} → {to}, the shape is still {shape:?}")],
        Difference::Changed { elements, share, relative, max_delta, from_l2, to_l2, cosine } => {
            let number = |it: &f64| format!("{it:.4e}");
            let norm = format!("{} → {}", norm(*from_l2), norm(*to_l2));
            let changed = format!("{:.2} % of {elements}", share * 100.0);
            vec![name, changed, number(relative), number(max_delta), norm, format!("{cosine:.6}")]
        }
    }
}

/// Returns a norm in as many digits as tell something: those of tiny and huge ones with their exponent.
fn norm(it: f64) -> String {
    if it == 0.0 || (1e-2..1e6).contains(&it) { format!("{it:.4}") } else { format!("{it:.4e}") }
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
    refuse_in_store(into)?;
    let reader = store.open(host, &id).map_err(explained)?;
    Contents::of(reader.as_ref(), host)?.write(format, into)?;
    output::print(&format!("the tensors of {} are in {}", id.short(), into.display()))?;
    Ok(Code::OK)
}
