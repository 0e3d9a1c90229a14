//! What is done about a verdict: refs are moved by compare-and-swap, then others are told.

#[cfg(unix)]
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use modelwatch_config::{Action, Keep, Pipeline};
use modelwatch_sdk::{
    Error, ErrorKind, Host,
    store::{CheckpointId, CheckpointStore, CollectOptions, History, ROLLBACK},
};
use tracing::info;

use crate::{
    checkpoint::CheckpointError,
    prune,
    record::{ActionKind, ActionRecord, ActionStatus, RunRecord},
    refs::{self, Rollback, WayBack},
};

/// Why `latest` is not moved.
const LATEST: &str = "`latest` is always the newest checkpoint; choose another name";

/// The judged checkpoint and where it is kept.
pub(crate) struct Judged<'a> {
    pub(crate) store: &'a dyn CheckpointStore,
    pub(crate) lineage: &'a str,
    pub(crate) id: &'a CheckpointId,
    /// The lineage as it was when the run looked at it: whoever moves a ref after that wins.
    pub(crate) before: &'a History,
    /// What the pipeline says about refs.
    pub(crate) pipeline: &'a Pipeline,
    /// The digest of what it says about judging.
    pub(crate) config: &'a str,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// Carries out one action on refs.
pub(crate) fn on_refs(
    action: &Action,
    judged: Option<&Judged<'_>>,
    host: &dyn Host,
    reason: &str,
) -> Vec<ActionRecord> {
    let (kind, refs) = match action {
        Action::Move { refs, .. } => (ActionKind::Move, refs.clone()),
        Action::Rollback { ref_name, .. } => (ActionKind::Rollback, vec![ref_name.clone()]),
        _ => return Vec::new(),
    };
    let act = |name: String| match (judged, kind) {
        (None, _) => record(kind, name, ActionStatus::Failed, "there is no judged checkpoint in a store"),
        (Some(judged), ActionKind::Move) => move_ref(judged, name, reason),
        (Some(judged), _) => rollback(judged, host, name, reason),
    };
    in_order(refs, act)
}

/// Acts on one ref after the other, and on none after one that another writer moved first: of runs side by side that list the same refs in
/// the same order, the one that moves the first moves them all, and no two of them are left at checkpoints of different runs.
fn in_order(refs: Vec<String>, act: impl Fn(String) -> ActionRecord) -> Vec<ActionRecord> {
    let mut res: Vec<ActionRecord> = Vec::new();
    for name in refs {
        let lost = res.iter().find(|it| it.status == ActionStatus::Conflict);
        let it = match lost {
            Some(it) => {
                let why = format!("it is moved together with `{}`, which another writer moved first", it.target);
                record(it.kind, name, ActionStatus::Conflict, why)
            }
            None => act(name),
        };
        res.push(it);
    }
    res
}

/// Prunes the lineage of the judged checkpoint.
pub(crate) fn prune(judged: &Judged<'_>, policy: &Keep, reason: &str) -> ActionRecord {
    let pruned = || {
        let history = judged.store.history(judged.lineage)?;
        let may_be_at = refs::may_be_at(judged.pipeline, &history, judged.config);
        let plan = prune::plan(judged.store, &(), &history, policy, judged.now, &may_be_at)?;
        let n = prune::remove(judged.store, &(), judged.lineage, &plan, reason)?;
        // What an earlier run removed and marked is freed now, also where this one removes nothing.
        judged.store.collect(&(), &CollectOptions { grace: policy.grace.as_secs(), dry_run: false })?;
        Ok::<_, CheckpointError>((n, plan.len()))
    };
    let (status, message) = match pruned() {
        Ok((0, 1)) => (ActionStatus::NotNeeded, "the only checkpoint is kept".to_owned()),
        Ok((0, all)) => (ActionStatus::NotNeeded, format!("all of {all} checkpoints are kept")),
        Ok((1, all)) => (ActionStatus::Done, format!("1 of {all} checkpoints was removed")),
        Ok((n, all)) => (ActionStatus::Done, format!("{n} of {all} checkpoints were removed")),
        Err(CheckpointError::Store(e)) if is_overtaken(&e) => (ActionStatus::Conflict, e.message),
        Err(e) => (ActionStatus::Failed, e.to_string()),
    };
    record(ActionKind::Prune, judged.lineage.to_owned(), status, message)
}

/// Closes the store. What was done with it stays done, where its plugin panics.
pub(crate) fn close(store: &mut dyn CheckpointStore, name: &str) -> Option<ActionRecord> {
    let e = store.close().err()?;
    Some(record(ActionKind::Close, name.to_owned(), ActionStatus::Failed, e.message))
}

/// Carries out one action that tells others. `run` is the record so far.
pub(crate) fn tell(action: &Action, run: &RunRecord, root: &Path) -> Option<ActionRecord> {
    match action {
        Action::Notify { file, .. } => Some(notify(file, run)),
        Action::Run { command, .. } => Some(command_run(command, run, root)),
        _ => None,
    }
}

fn record(kind: ActionKind, target: String, status: ActionStatus, message: impl Into<String>) -> ActionRecord {
    ActionRecord { kind, target, from: None, to: None, status, message: message.into() }
}

fn move_ref(judged: &Judged<'_>, name: String, reason: &str) -> ActionRecord {
    if name == "latest" {
        return record(ActionKind::Move, name, ActionStatus::Failed, LATEST);
    }
    let before = judged.before.get_ref(&name);
    let now = judged.store.get_ref(judged.lineage, &name);
    if before == Some(judged.id) && now.is_ok_and(|it| it.as_ref() == before) {
        let res = record(ActionKind::Move, name, ActionStatus::NotNeeded, "it points at the checkpoint already");
        return ActionRecord { to: Some(judged.id.to_string()), ..res };
    }
    let rules = judged.pipeline.ref_rules(&name);
    if rules.require.is_some() {
        // Not the lineage as it was: this run's verdict counts, and so does another pipeline's meanwhile.
        let refused =
            judged.store.history(judged.lineage).map(|it| refs::refuses(&rules, &it, &name, judged.id, judged.config));
        match refused {
            Ok(None) => {}
            Ok(Some(why)) => return record(ActionKind::Move, name, ActionStatus::Failed, why),
            Err(e) => return record(ActionKind::Move, name, ActionStatus::Failed, e.message),
        }
    }
    swap(ActionKind::Move, judged, name, before, judged.id, reason)
}

/// Moves a ref from the judged checkpoint to the last known good one that it may be at and whose bytes verify.
fn rollback(judged: &Judged<'_>, host: &dyn Host, name: String, reason: &str) -> ActionRecord {
    let kind = ActionKind::Rollback;
    let current = match judged.store.get_ref(judged.lineage, &name) {
        Ok(Some(it)) => it,
        Ok(None) => return record(kind, name, ActionStatus::NotNeeded, "the ref does not exist"),
        Err(e) => return record(kind, name, ActionStatus::Failed, e.message),
    };
    if current != *judged.id {
        let res = record(kind, name, ActionStatus::NotNeeded, "it does not point at the judged checkpoint");
        return ActionRecord { to: Some(current.to_string()), ..res };
    }
    let history = match judged.store.history(judged.lineage) {
        Ok(it) => it,
        Err(e) => return record(kind, name, ActionStatus::Failed, e.message),
    };
    let rules = judged.pipeline.ref_rules(&name);
    if let Some(why) = refs::flaps(&rules, &history, &name, judged.now) {
        return record(kind, name, ActionStatus::Failed, why);
    }
    let found = refs::way_back(
        judged.store,
        host,
        &Rollback { history: &history, name: &name, from: judged.id, rules: &rules, config: judged.config },
    );
    let WayBack { to, skipped } = match found {
        Ok(it) => it,
        Err(e) => return record(kind, name, ActionStatus::Failed, e.to_string()),
    };
    let skipped: Vec<_> = skipped.iter().map(|it| format!("{} ({})", it.id.short(), it.why)).collect();
    let skipped = skipped.join(", ");
    match to {
        Some(to) => {
            let mut res = swap(kind, judged, name, Some(judged.id), &to, &format!("{ROLLBACK}{reason}"));
            if !skipped.is_empty() {
                let moved = if res.message.is_empty() { String::new() } else { format!("{}; ", res.message) };
                res.message = format!("{moved}passed over: {skipped}");
            }
            res
        }
        None if skipped.is_empty() => {
            record(kind, name, ActionStatus::Failed, "no earlier checkpoint of the lineage is known to be good")
        }
        None => {
            let message = format!("no checkpoint that passed verifies and may be gone back to: {skipped}");
            record(kind, name, ActionStatus::Failed, message)
        }
    }
}

fn swap(
    kind: ActionKind,
    judged: &Judged<'_>,
    name: String,
    from: Option<&CheckpointId>,
    to: &CheckpointId,
    reason: &str,
) -> ActionRecord {
    // For those who move it without the pipeline.
    let rules = judged.pipeline.ref_rules(&name);
    let reason = refs::recorded(reason, &rules, judged.before, &name, judged.config);
    let res = judged.store.set_ref(judged.lineage, &name, to, from, &reason);
    let is_there = || judged.store.get_ref(judged.lineage, &name).is_ok_and(|it| it.as_ref() == Some(to));
    let (status, message) = swapped(res, is_there);
    if status == ActionStatus::Done {
        info!(name, to = to.short(), "Ref was moved.");
    }
    let to = matches!(status, ActionStatus::Done | ActionStatus::NotNeeded).then(|| to.to_string());
    ActionRecord { from: from.map(ToString::to_string), to, ..record(kind, name, status, message) }
}

/// Returns what became of a ref; `is_there` asks whether it is where it was to be.
fn swapped(res: Result<(), Error>, is_there: impl FnOnce() -> bool) -> (ActionStatus, String) {
    match res {
        Ok(()) => (ActionStatus::Done, String::new()),
        Err(e) if is_overtaken(&e) && is_there() => {
            (ActionStatus::NotNeeded, "another writer moved it there meanwhile".to_owned())
        }
        Err(e) if is_overtaken(&e) => {
            (ActionStatus::Conflict, format!("another writer was faster, so nothing was changed: {}", e.message))
        }
        Err(e) => (ActionStatus::Failed, e.message),
    }
}

/// Returns whether another writer was faster, once or each time.
fn is_overtaken(e: &Error) -> bool {
    matches!(e.kind, ErrorKind::Conflict | ErrorKind::Busy)
}

fn notify(file: &Path, run: &RunRecord) -> ActionRecord {
    let line = || {
        let mut line = serde_json::to_vec(run)?;
        line.push(b'\n');
        // One write, so that lines of several runs do not mix.
        open_to_append(file)?.write_all(&line)
    };
    let (status, message) = match line() {
        Ok(()) => (ActionStatus::Done, "one line was appended".to_owned()),
        Err(e) => (ActionStatus::Failed, format!("cannot append to it: {e}")),
    };
    record(ActionKind::Notify, file.display().to_string(), status, message)
}

/// Opens a file to append to; a pipe only where somebody reads from it, for whom the run would wait.
fn open_to_append(file: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if file.metadata().is_ok_and(|it| it.file_type().is_fifo()) {
        return open_pipe(file);
    }
    OpenOptions::new().create(true).append(true).open(file)
}

#[cfg(unix)]
fn open_pipe(file: &Path) -> io::Result<File> {
    let at_once = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let res = OpenOptions::new().write(true).custom_flags(at_once).open(file).map_err(|e| match e.raw_os_error() {
        Some(it) if it == rustix::io::Errno::NXIO.raw_os_error() => io::Error::other("nobody reads from the pipe"),
        _ => e,
    })?;
    // Who reads may be slow.
    rustix::fs::fcntl_setfl(&res, rustix::fs::OFlags::empty())?;
    Ok(res)
}

fn command_run(command: &[String], run: &RunRecord, root: &Path) -> ActionRecord {
    let kind = ActionKind::Run;
    let shown = command.join(" ");
    let Some((program, arguments)) = command.split_first() else {
        return record(kind, shown, ActionStatus::Failed, "the command is empty");
    };
    let mut it = Command::new(program);
    // Its output goes to standard error: standard output is the run's own.
    it.args(arguments).current_dir(root).stdin(Stdio::piped()).stdout(std::io::stderr());
    let ended = it.spawn().and_then(|mut child| {
        if let Some(mut input) = child.stdin.take() {
            // A command that does not read all of it closes the pipe, which is its own affair.
            let _ = serde_json::to_vec(run).map_err(Into::into).and_then(|it| input.write_all(&it));
        }
        child.wait()
    });
    let (status, message) = match ended {
        Ok(it) if it.success() => (ActionStatus::Done, "it ended well".to_owned()),
        Ok(it) => (ActionStatus::Failed, format!("it ended with {it}")),
        Err(e) => (ActionStatus::Failed, format!("cannot run it: {e}")),
    };
    record(kind, shown, status, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_loses_a_ref_moves_none_of_those_that_go_with_it() {
        let act = |name: String| {
            let status = if name == "good" { ActionStatus::Conflict } else { ActionStatus::Done };
            record(ActionKind::Move, name, status, "")
        };
        let statuses = |refs: &[&str]| {
            let done = in_order(refs.iter().map(|it| (*it).to_owned()).collect(), act);
            done.into_iter().map(|it| it.status).collect::<Vec<_>>()
        };
        use ActionStatus::{Conflict, Done};
        assert_eq!(statuses(&["good", "production"]), [Conflict, Conflict]);
        assert_eq!(statuses(&["best", "good", "production"]), [Done, Conflict, Conflict]);
        assert_eq!(statuses(&["best", "production"]), [Done, Done]);
    }

    #[test]
    fn who_finds_a_ref_where_it_is_to_be_lost_nothing() {
        let of = |kind, is_there| swapped(Err(Error::new(kind, "")), || is_there).0;
        assert_eq!(swapped(Ok(()), || false).0, ActionStatus::Done);
        assert_eq!(of(ErrorKind::Conflict, true), ActionStatus::NotNeeded);
        assert_eq!(of(ErrorKind::Conflict, false), ActionStatus::Conflict);
        assert_eq!(of(ErrorKind::Io, true), ActionStatus::Failed);
    }

    #[test]
    fn who_was_overtaken_once_or_each_time_is_in_conflict() {
        let is_overtaken = |kind| is_overtaken(&Error::new(kind, ""));
        assert!(is_overtaken(ErrorKind::Conflict) && is_overtaken(ErrorKind::Busy));
        assert!(!is_overtaken(ErrorKind::Io) && !is_overtaken(ErrorKind::Uncertain));
    }
}
