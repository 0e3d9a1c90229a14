//! What all reports ask of a record.

use std::{collections::HashMap, hash::Hash};

use modelwatch_runtime::{
    RunRecord, Verdict,
    record::{ActionKind, ActionRecord, ActionStatus, CheckpointRecord, GapRecord, Of, Unmeasured},
};
use modelwatch_sdk::report::{Check, Finding, Severity, Status};

use super::text::{clip, count, counted, name, plain, short};

/// The statuses from worst to best.
pub(crate) const WORST_FIRST: [Status; 5] =
    [Status::Error, Status::Fail, Status::Inconclusive, Status::NotChecked, Status::Pass];

/// Returns the checks of a status, in their order.
pub(crate) fn checks(record: &RunRecord, status: Status) -> Vec<&Of<Check>> {
    record.checks.iter().filter(|it| it.it.status == status).collect()
}

/// A check, and the probes of which the same is to be said.
pub(crate) struct Told<'r> {
    pub(crate) probes: Vec<&'r str>,
    pub(crate) check: &'r Of<Check>,
    /// Whether it is all that is known of its probes.
    is_whole: bool,
}

impl Told<'_> {
    /// Returns the names of the probes, of which many are counted.
    pub(crate) fn probes(&self) -> String {
        const SHOWN: usize = 20;
        let names: Vec<_> = self.probes.iter().take(SHOWN).map(|it| clip(it, 100)).collect();
        let more = self.probes.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        names.join(", ") + &more
    }

    /// Returns the metric with its labels; nothing where it is about whole probes.
    pub(crate) fn metric(&self) -> String {
        let it = &self.check.it;
        if self.is_whole { String::new() } else { name(&it.metric, &it.labels) }
    }

    /// Returns both.
    pub(crate) fn title(&self, between: &str) -> String {
        let metric = self.metric();
        if metric.is_empty() { self.probes() } else { format!("{}{between}{metric}", self.probes()) }
    }
}

/// Returns the checks of a status, in their order; what keeps several probes from running is told once.
pub(crate) fn told(record: &RunRecord, status: Status) -> Vec<Told<'_>> {
    let mut res: Vec<Told<'_>> = Vec::new();
    for check in checks(record, status) {
        let is_whole = is_out(record, &check.probe, &check.it.message);
        let same = res.iter_mut().find(|it| is_whole && it.is_whole && it.check.it.message == check.it.message);
        match same {
            Some(it) => it.probes.push(&check.probe),
            None => res.push(Told { probes: vec![&check.probe], check, is_whole }),
        }
    }
    res
}

/// Puts together what has the same key, in the order of the first ones.
pub(crate) fn alike<T, K: Hash + Eq>(all: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let (mut res, mut places): (Vec<Vec<T>>, HashMap<K, usize>) = Default::default();
    for it in all {
        let place = *places.entry(key(&it)).or_insert(res.len());
        match res.get_mut(place) {
            Some(group) => group.push(it),
            None => res.push(vec![it]),
        }
    }
    res
}

/// Returns whether that is why the probe did not run to its end.
fn is_out(record: &RunRecord, probe: &str, why: &str) -> bool {
    let mut probes = record.coverage.probes.iter();
    probes.any(|it| it.status == Status::Error && it.id == probe && it.message == why)
}

/// Returns what was not covered, without probes of which a check says that they did not run.
pub(crate) fn gaps(record: &RunRecord) -> Vec<&GapRecord> {
    record.coverage.gaps.iter().filter(|it| !is_out(record, &it.probe, &it.why)).collect()
}

/// Returns what was not measured with the probe that was to, without probes of which a check says that they did not run.
pub(crate) fn unmeasured(record: &RunRecord) -> Vec<(&str, &Unmeasured)> {
    let probes = record.coverage.probes.iter();
    let all = probes.flat_map(|probe| probe.unmeasured.iter().map(|it| (probe.id.as_str(), it)));
    all.filter(|(probe, it)| !is_out(record, probe, &it.why)).collect()
}

/// Returns the findings, the most severe first.
pub(crate) fn findings(record: &RunRecord) -> Vec<&Of<Finding>> {
    let mut res: Vec<_> = record.findings.iter().collect();
    res.sort_by_key(|it| std::cmp::Reverse(it.it.severity));
    res
}

/// Returns whether the check only says that its probe has findings, which the findings say better.
pub(crate) fn is_told_by_findings(record: &RunRecord, check: &Of<Check>) -> bool {
    check.it.metric == "findings"
        && check.it.status == Status::Fail
        && record.findings.iter().any(|it| it.probe == check.probe && it.it.severity >= Severity::Warning)
}

/// Returns what the run ended with, where its exit code says something else than its verdict.
pub(crate) fn but(record: &RunRecord) -> Option<String> {
    let undone = record.actions.iter().filter(|it| it.is_undone()).count();
    let and = if record.verdict == Verdict::Pass { "but" } else { "and" };
    Some(match (record.exit_code, undone) {
        (0, _) if record.verdict != Verdict::Pass => "which is allowed".to_owned(),
        (code, 0) if code == record.verdict.exit_code() => return None,
        (_, 0) => "but not all of it was written down".to_owned(),
        (_, 1) => format!("{and} 1 action was not done"),
        (_, n) => format!("{and} {} actions were not done", count(n as u64)),
    })
}

/// Returns the verdict, with what the run ended with where that is something else.
pub(crate) fn verdict(record: &RunRecord) -> String {
    let but = but(record).map(|it| format!(", {it}")).unwrap_or_default();
    record.verdict.as_str().to_owned() + &but
}

/// Returns the status of the whole run: its verdict, and an error where it passed and what came after did not.
pub(crate) fn status(record: &RunRecord) -> Status {
    if record.verdict == Verdict::Pass && record.exit_code != 0 { Status::Error } else { record.verdict.into() }
}

/// Returns the short id of a checkpoint, or where it came from, with its lineage.
pub(crate) fn checkpoint(it: &CheckpointRecord) -> String {
    match (&it.id, &it.lineage) {
        (Some(id), Some(lineage)) => format!("{} {}", plain(lineage), short(id)),
        (Some(id), None) => short(id),
        (None, _) => plain(&it.source),
    }
}

/// Returns the ids of all probes, in the order of the pipeline.
pub(crate) fn probes(record: &RunRecord) -> Vec<&str> {
    let mut res: Vec<&str> = Vec::new();
    let reported = record.checks.iter().map(|it| &it.probe).chain(record.metrics.iter().map(|it| &it.probe));
    let reported = reported.chain(record.findings.iter().map(|it| &it.probe));
    let reported = reported.chain(record.figures.iter().map(|it| &it.probe));
    for probe in record.coverage.probes.iter().map(|it| &it.id).chain(reported) {
        if !res.contains(&probe.as_str()) {
            res.push(probe);
        }
    }
    res
}

/// Returns one line with what was looked at.
pub(crate) fn counts(record: &RunRecord) -> String {
    let passed = checks(record, Status::Pass).len();
    let mut parts = vec![format!("{passed} of {} passed", counted(record.checks.len(), "check"))];
    parts.push(counted(record.metrics.len(), "metric"));
    parts.extend(
        record.coverage.rows.iter().map(|(role, n)| format!("{} ({})", counted(*n as usize, "row"), plain(role))),
    );
    parts.extend(
        record.coverage.tensors.iter().map(|(role, n)| format!("{} ({})", counted(*n as usize, "tensor"), plain(role))),
    );
    if let Some(it) = &record.coverage.resumed {
        parts.extend(it.rows.iter().map(|(role, n)| format!("resumed after {} rows ({})", count(*n), plain(role))));
        parts.extend(it.discarded.iter().map(|why| format!("begun anew: {}", clip(why, 400))));
    }
    parts.join(" · ")
}

/// Returns the word for a kind of action.
pub(crate) fn kind(it: ActionKind) -> &'static str {
    match it {
        ActionKind::Profile => "profile",
        ActionKind::Move => "move",
        ActionKind::Rollback => "rollback",
        ActionKind::Notify => "notify",
        ActionKind::Run => "run",
        ActionKind::Prune => "prune",
        ActionKind::Close => "close",
    }
}

/// Returns the word for what became of an action.
pub(crate) fn action_status(it: ActionStatus) -> &'static str {
    match it {
        ActionStatus::Done => "done",
        ActionStatus::NotNeeded => "not needed",
        ActionStatus::Conflict => "conflict",
        ActionStatus::Failed => "failed",
    }
}

/// Returns an action as one sentence.
pub(crate) fn action_text(it: &ActionRecord) -> String {
    let target = clip(&it.target, 200);
    let kind = kind(it.kind);
    let moved = match (&it.from, &it.to) {
        (Some(from), Some(to)) => format!(": {} → {}", short(from), short(to)),
        (None, Some(to)) => format!(" → {}", short(to)),
        _ => String::new(),
    };
    let status = match it.status {
        ActionStatus::Done => "",
        other => &format!(", {}", action_status(other)),
    };
    let message = if it.message.is_empty() { String::new() } else { format!(" ({})", clip(&it.message, 400)) };
    format!("{kind} {target}{moved}{status}{message}")
}
