//! Giving a checkpoint out.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::Context;
use modelwatch_runtime::{
    checkpoint::{CheckpointError, Laid},
    load::{LoadPolicy, LoadReport, load},
};
use modelwatch_sdk::store::CheckpointStore;
use serde_json::json;

use super::{history, spec};
use crate::{
    cli::Serve,
    commands::{Code, Wrong},
    output,
};

pub(super) fn get(
    store: &dyn CheckpointStore,
    text: &str,
    into: &Path,
    policy: Serve,
    json: bool,
) -> anyhow::Result<Code> {
    let spec = spec(text)?;
    let history = history(store, &spec.lineage)?;
    if into.exists() {
        return Err(Wrong(format!("`{}` exists already; name a new folder", into.display())).into());
    }
    let policy = match policy {
        Serve::Exact => LoadPolicy::Exact,
        Serve::Latest => LoadPolicy::Latest,
        Serve::LastKnownGood => LoadPolicy::LastKnownGood,
    };
    let (report, laid) = load(store, &(), &history, &spec, policy).map_err(|e| match e {
        CheckpointError::NotFound { .. } | CheckpointError::Ambiguous { .. } => Wrong(e.to_string()).into(),
        e => anyhow::Error::from(e),
    })?;
    copy(laid.path(), into)?;
    output::print(&if json { as_json(text, &report, &laid, into)? } else { as_text(&report, &laid, into) })?;
    Ok(Code::OK)
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
        res.push_str(&format!("passed over the end of the log: {why}\n"));
    }
    for it in &report.skipped {
        res.push_str(&format!("passed over {}: {}\n", it.id.short(), it.why));
    }
    let served = report.served.short();
    if report.served != report.requested {
        res.push_str(&format!("{} was requested, {served} is served\n", report.requested.short()));
    }
    res.push_str(&format!("{} files of {served} are in {}", laid.files, into.display()));
    res
}

/// Copies files that were verified into a new folder, durably.
fn copy(from: &Path, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot write `{}`", into.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
            continue;
        }
        let mut source = File::open(entry.path())?;
        let mut out = File::create_new(&target).with_context(|| format!("cannot write `{}`", target.display()))?;
        std::io::copy(&mut source, &mut out)?;
        out.flush()?;
        out.sync_all()?;
    }
    Ok(())
}
