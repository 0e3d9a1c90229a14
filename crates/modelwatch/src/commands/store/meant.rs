//! Which checkpoint or ref an argument means.

use anyhow::bail;
use modelwatch_config::{CheckpointSpec, Selector};
use modelwatch_runtime::checkpoint;
use modelwatch_sdk::store::{CheckpointId, CheckpointStore, History};

use super::{Wrong, damage, explained, history, not_there};
use crate::output;

/// Returns which checkpoint is meant. Ids are taken as they are printed, with their lineage and without.
pub(super) fn meant(store: &dyn CheckpointStore, text: &str) -> anyhow::Result<CheckpointSpec> {
    if is_id(text) {
        return of_id(store, text, None);
    }
    let res = spec(text)?;
    match &res.selector {
        Selector::Ref(name) if is_id(name) => ref_or_id(&history(store, &res.lineage)?, res.lineage, name),
        _ => Ok(res),
    }
}

/// Returns what is meant by digits of an id that may be the name of a ref.
fn ref_or_id(history: &History, lineage: String, name: &str) -> anyhow::Result<CheckpointSpec> {
    let digits = name.to_ascii_lowercase();
    let Some(at) = history.get_ref(name) else { return Ok(CheckpointSpec { lineage, selector: Selector::Id(digits) }) };
    if history.with_prefix(&digits).iter().any(|it| *it != at) {
        let (is, remove) = (format!("{lineage}@{name}"), "remove the ref with `modelwatch store unset`");
        let message = format!(
            "`{is}` is a ref, and a checkpoint's id begins so; write `{lineage}@b3:{digits}` for that, or {remove}"
        );
        return Err(Wrong(message).into());
    }
    Ok(CheckpointSpec { lineage, selector: Selector::Ref(name.to_owned()) })
}

/// Returns whether a text is as many digits of an id as are printed, or more.
fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Returns the one checkpoint of all lineages whose id begins so, as far as their logs can be read; of several the one of `first`.
fn of_id(store: &dyn CheckpointStore, text: &str, first: Option<&str>) -> anyhow::Result<CheckpointSpec> {
    let digits = text.to_ascii_lowercase();
    let of = |lineage: &str| CheckpointSpec { lineage: lineage.to_owned(), selector: Selector::Id(digits.clone()) };
    let (mut lineages, mut damages) = (Vec::new(), Vec::new());
    for it in store.lineages().map_err(explained)? {
        let history = store.history(&it).map_err(explained)?;
        if !history.with_prefix(&digits).is_empty() {
            lineages.push(it);
        } else if let Some(e) = damage(&it, &history) {
            damages.push(e);
        }
    }
    if lineages.is_empty() && !damages.is_empty() {
        bail!("no checkpoint `{text}` is in what can be read of the store: {}", damages.join("; "));
    }
    damages.iter().for_each(|it| output::note(it));
    match (first.filter(|first| lineages.iter().any(|it| it == first)), &lineages[..]) {
        (Some(it), _) => Ok(of(it)),
        (None, [it]) => Ok(of(it)),
        (None, []) => {
            Err(Wrong(format!("the store has no checkpoint `{text}`; `modelwatch store list LINEAGE` lists them"))
                .into())
        }
        (None, all) => {
            Err(Wrong(format!("`{text}` is of {}; write it as `{}@{text}`", all.join(" and "), all[0])).into())
        }
    }
}

fn spec(text: &str) -> anyhow::Result<CheckpointSpec> {
    Ok(text.parse::<CheckpointSpec>().map_err(|e| Wrong(format!("{e}; write it as `digits@good`")))?)
}

/// A ref, as `digits@production`.
pub(super) fn reference(text: &str) -> anyhow::Result<(String, String)> {
    match spec(text)? {
        CheckpointSpec { lineage, selector: Selector::Ref(name) } => Ok((lineage, name)),
        _ => Err(Wrong(format!("`{text}` is a checkpoint, not a ref")).into()),
    }
}

/// Returns the checkpoint that is meant, with its lineage.
pub(super) fn resolve(store: &dyn CheckpointStore, text: &str) -> anyhow::Result<(String, CheckpointId)> {
    found(store, meant(store, text)?)
}

/// Returns the checkpoint that a ref of a lineage is to be at: of several with one id that of the lineage.
pub(super) fn resolve_for(
    store: &dyn CheckpointStore,
    lineage: &str,
    text: &str,
) -> anyhow::Result<(String, CheckpointId)> {
    found(store, if is_id(text) { of_id(store, text, Some(lineage))? } else { meant(store, text)? })
}

fn found(store: &dyn CheckpointStore, spec: CheckpointSpec) -> anyhow::Result<(String, CheckpointId)> {
    let id = checkpoint::resolve(&history(store, &spec.lineage)?, &spec).map_err(not_there)?;
    Ok((spec.lineage, id))
}
