//! Removing checkpoints by policy, and freeing their space.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use modelwatch_config::{CheckpointSource, Document, Keep, Pipeline};
use modelwatch_runtime::{blessing, prune, refs, retain::Retention};
use modelwatch_sdk::{
    Host,
    store::{CheckpointStore, CollectOptions, CollectReport, Collected},
};
use serde_json::{Value, json};

use super::{explained, history, table, time};
use crate::{
    commands::{Code, Wrong},
    output,
    report::text::{bytes, count, counted},
};

const DAY: Duration = Duration::from_secs(86_400);

/// How a lineage is pruned.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) dry_run: bool,
    pub(super) grace: Option<Duration>,
    pub(super) json: bool,
}

pub(super) fn prune(
    store: &dyn CheckpointStore,
    of_pipeline: Option<&(Document, Pipeline)>,
    host: &dyn Host,
    lineage: Option<&str>,
    how: How,
) -> anyhow::Result<Code> {
    let policy = of_pipeline.and_then(|it| Some((it, it.1.keep.as_ref()?)));
    let Some(((document, pipeline), policy)) = policy else {
        let message =
            "nothing is pruned without a policy: name a pipeline with `[checkpoint.keep]` by `--pipeline FILE`";
        return Err(Wrong(message.to_owned()).into());
    };
    let own = || pipeline.checkpoint.as_ref().map(CheckpointSource::lineage);
    let lineage = lineage.or_else(own).context("the pipeline names no lineage")?;
    prune::check_lineage(lineage)?;
    let policy = Keep { grace: how.grace.unwrap_or(policy.grace), ..policy.clone() };
    let history = history(store, lineage)?;
    let config = blessing::config_digest(document);
    let may_be_at = refs::may_be_at(pipeline, &history, &config);
    let plan = prune::plan(store, host, &history, &policy, seconds_now(), &may_be_at)?;
    let n_going = plan.iter().filter(|it| !it.stays()).count();
    let collected = if how.dry_run {
        None
    } else {
        prune::remove(store, host, lineage, &plan, "pruned by hand")?;
        let options = CollectOptions { grace: policy.grace.as_secs(), dry_run: false };
        Some(store.collect(host, &options).map_err(explained).context("what is not kept was removed, but not freed")?)
    };
    if how.json {
        let checkpoints: Vec<Value> = plan.iter().map(entry).collect();
        let res = json!({
            "lineage": lineage, "dry_run": how.dry_run, "checkpoints": checkpoints,
            "removed": if how.dry_run { 0 } else { n_going }, "collected": collected,
        });
        output::print(&serde_json::to_string_pretty(&res)?)?;
        return Ok(Code::OK);
    }
    let mut rows = table();
    rows.set_header(["CHECKPOINT", "STORED", "", "WHY"]);
    for it in plan.iter().rev() {
        let why: Vec<_> = it.reasons.iter().map(ToString::to_string).collect();
        let (what, why) = if it.stays() { ("stays", why.join(", ")) } else { ("goes", "no rule keeps it".to_owned()) };
        rows.add_row([it.id.short(), &time(it.time), what, &why]);
    }
    output::print(&rows.to_string())?;
    output::print(&removed(n_going, plan.len(), how.dry_run))?;
    if how.dry_run && n_going > 0 {
        output::print("bytes that other checkpoints share with them, or are stored as differences to, would be kept")?;
    }
    collected.map_or(Ok(()), |it| output::print(&summary(&it, policy.grace.as_secs(), false)))?;
    Ok(Code::OK)
}

pub(super) fn collect(store: &dyn CheckpointStore, host: &dyn Host, how: How) -> anyhow::Result<Code> {
    let options = CollectOptions { grace: how.grace.unwrap_or(DAY).as_secs(), dry_run: how.dry_run };
    let report = store.collect(host, &options).map_err(explained)?;
    let text =
        if how.json { serde_json::to_string_pretty(&report)? } else { summary(&report, options.grace, how.dry_run) };
    output::print(&text)?;
    Ok(Code::OK)
}

/// Returns the time, which no clock of a user's machine puts before 1970.
pub(super) fn seconds_now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

fn entry(it: &Retention) -> Value {
    let why: Vec<_> = it.reasons.iter().map(ToString::to_string).collect();
    json!({
        "id": it.id, "seq": it.seq, "time": it.time, "stays": it.stays(), "reasons": it.reasons, "why": why,
    })
}

fn removed(n_going: usize, n_all: usize, dry_run: bool) -> String {
    let verb = match n_going {
        _ if dry_run => "would be",
        1 => "was",
        _ => "were",
    };
    format!("{} of {} {verb} removed", count(n_going as u64), counted(n_all, "checkpoint"))
}

fn summary(report: &CollectReport, grace: u64, dry_run: bool) -> String {
    let of = |it: &Collected| format!("{}, {}", counted(it.files as usize, "file"), bytes(it.bytes));
    let verb = if dry_run { "would be " } else { "" };
    let mut res = format!("{verb}deleted: {}\n{verb}marked for deletion: {}\n", of(&report.swept), of(&report.marked));
    if report.waiting.files > 0 {
        res.push_str(&format!("marked before, waiting for the grace period: {}\n", of(&report.waiting)));
    }
    if report.repacked.files > 0 {
        res.push_str(&format!("{verb}emptied, since most of it is garbage: {}\n", of(&report.repacked)));
    }
    if report.spared.files > 0 {
        res.push_str(&format!("marked before, needed again: {}\n", of(&report.spared)));
    }
    if !dry_run && grace > 0 && report.marked.files + report.waiting.files > 0 {
        res.push_str("what is marked is deleted by a later run, once the grace period has passed; `--grace 0s` deletes at once\n");
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_agrees_in_number() {
        for (n_going, n_all, expected) in [
            (0, 1, "0 of 1 checkpoint were removed"),
            (1, 1, "1 of 1 checkpoint was removed"),
            (1, 2, "1 of 2 checkpoints was removed"),
            (2, 1234, "2 of 1,234 checkpoints were removed"),
        ] {
            assert_eq!(removed(n_going, n_all, false), expected);
        }
        assert_eq!(removed(1, 1, true), "1 of 1 checkpoint would be removed");
    }

    #[test]
    fn it_is_said_when_what_is_marked_goes_and_how_it_goes_at_once() {
        let mut report = CollectReport::default();
        let says = |report: &CollectReport, grace, dry_run| summary(report, grace, dry_run).contains("`--grace 0s`");
        assert!(!says(&report, 60, false));
        report.marked.add(10);
        assert!(says(&report, 60, false) && !says(&report, 0, false) && !says(&report, 60, true));
    }
}
