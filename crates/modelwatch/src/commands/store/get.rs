//! Giving a checkpoint out.

use std::{fs, path::Path};

use anyhow::Context;
use modelwatch_runtime::{
    checkpoint::Laid,
    load::{LoadPolicy, LoadReport, load},
};
use modelwatch_sdk::{Host, store::CheckpointStore};
use serde_json::json;

use super::{history, meant, not_there};
use crate::{
    cli::Serve,
    commands::{Code, Wrong, refuse_existing},
    output,
    report::text::counted,
};

/// How a checkpoint is given out.
pub(super) struct How<'a> {
    pub(super) into: &'a Path,
    pub(super) policy: Serve,
    pub(super) json: bool,
}

/// Writes the files into a new folder, which is there whole or not at all.
pub(super) fn get(store: &dyn CheckpointStore, host: &dyn Host, text: &str, how: &How<'_>) -> anyhow::Result<Code> {
    let spec = meant(store, text)?;
    let history = history(store, &spec.lineage)?;
    let into = how.into;
    refuse_existing(into, "folder")?;
    refuse_in_store(into)?;
    let policy = match how.policy {
        Serve::Exact => LoadPolicy::Exact,
        Serve::Latest => LoadPolicy::Latest,
        Serve::LastKnownGood => LoadPolicy::LastKnownGood,
    };
    // Beside where it is to be, since a rename does not leave a file system.
    let beside = into.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(beside).with_context(|| format!("cannot write `{}`", beside.display()))?;
    let (report, laid) = load(store, host, &history, &spec, policy, beside).map_err(not_there)?;
    let text = if how.json { as_json(text, &report, &laid, into)? } else { as_text(&report, &laid, into) };
    laid.keep(into)?;
    output::print(&text)?;
    Ok(Code::OK)
}

/// Refuses a place in the folders of a store, which are its own.
pub(super) fn refuse_in_store(into: &Path) -> anyhow::Result<()> {
    const OWN: [&str; 7] = ["gc", "log", "manifests", "packs", "quarantine", "sig", "tmp"];
    let whole = std::path::absolute(into).with_context(|| format!("cannot write `{}`", into.display()))?;
    // By the names that folders have without links, as far as there are any.
    let named = |it: &Path| Some(fs::canonicalize(it).ok()?.join(whole.strip_prefix(it).ok()?));
    let whole = whole.ancestors().find_map(named).unwrap_or_default();
    let is_own = |it: &&Path| {
        let is_named = it.file_name().is_some_and(|name| OWN.iter().any(|own| name == *own));
        is_named && it.parent().is_some_and(|it| it.join("store.json").is_file())
    };
    match whole.ancestors().find(is_own).and_then(Path::parent) {
        Some(store) => {
            let (into, store) = (into.display(), store.display());
            Err(Wrong(format!("`{into}` is in a folder of the store `{store}`; name a place outside of it")).into())
        }
        None => Ok(()),
    }
}

fn as_json(text: &str, report: &LoadReport, laid: &Laid, into: &Path) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&json!({
        "checkpoint": text, "requested": report.requested, "served": report.served, "skipped": report.skipped, "unread": report.unread,
        "into": into.display().to_string(), "files": laid.files, "bytes": laid.bytes,
    }))?)
}

fn as_text(report: &LoadReport, laid: &Laid, into: &Path) -> String {
    let mut res = String::new();
    if let Some(why) = &report.unread {
        res.push_str(&format!(
            "passed over the end of the log, which may take back that what follows is good: {why}\n"
        ));
    }
    for it in &report.skipped {
        res.push_str(&format!("passed over {}: {}\n", it.id.short(), it.why));
    }
    let served = report.served.short();
    if report.served != report.requested {
        res.push_str(&format!("{} was requested, {served} is served\n", report.requested.short()));
    }
    let (files, are) = (counted(laid.files as usize, "file"), if laid.files == 1 { "is" } else { "are" });
    res.push_str(&format!("{files} of {served} {are} in {}", into.display()));
    res
}
