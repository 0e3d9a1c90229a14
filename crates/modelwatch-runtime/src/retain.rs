//! Which checkpoints of a lineage stay when it is pruned, and why.
//!
//! [`retain`] is a pure function of the history, of what is known of each checkpoint, of the policy and the
//! time, so that it is the same for every store. Order is that of the log. Times of the log only ever keep more; the
//! time itself is believed.
//! Deliberately not here: removing, which is [`prune`](crate::prune)'s, and which first holds the time against the
//! store's clock.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, mem,
    time::Duration,
};

use modelwatch_config::{Best, Keep, Mode};
use modelwatch_sdk::store::{CheckpointId, CheckpointSummary, History};
use serde::Serialize;

/// What is known of a checkpoint beside its history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The step of its training.
    pub step: Option<u64>,
    /// What its training loop measured.
    pub metrics: BTreeMap<String, f64>,
    /// What is in it cannot be told.
    pub unreadable: bool,
    /// Its bytes do not verify, so that it stands in for no other one.
    pub damaged: bool,
}

impl Facts {
    /// Returns whether it can take a place that another one would have otherwise.
    fn is_clear(&self) -> bool {
        !self.damaged && !self.unreadable
    }
}

/// A checkpoint and why it stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// The checkpoint.
    pub id: CheckpointId,
    /// The sequence number of its commit.
    pub seq: u64,
    /// When it was stored, in seconds since 1970 by the writer's clock.
    pub time: u64,
    /// Every reason to keep it; none where it goes.
    pub reasons: Vec<Reason>,
}

impl Retention {
    /// Returns whether it stays.
    pub fn stays(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// A reason to keep a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It is the newest: what `latest` is at.
    Latest,
    /// It is the newest that is not known to be damaged, where the newest of all is.
    LatestSound,
    /// It is the last known good one.
    LastKnownGood,
    /// A ref is at it.
    Ref {
        /// The ref.
        name: String,
    },
    /// A ref could go back to it.
    RollbackTarget {
        /// The ref.
        name: String,
    },
    /// It is younger than the grace period, or its time is in the future.
    Young,
    /// Nobody can tell what it is.
    Unreadable,
    /// Its bytes do not verify. A repair may bring them back, and it takes no other one's place.
    Damaged,
    /// `last`: it is among the newest.
    Last {
        /// Its place, 1 for the newest.
        place: u64,
    },
    /// `best`: it is among the best.
    Best {
        /// The metric.
        metric: String,
        /// The value.
        value: f64,
        /// Its place, 1 for the best.
        place: u64,
    },
    /// `every_steps`: it is the first at or after a multiple.
    EverySteps {
        /// Its step.
        step: u64,
    },
    /// `within`: it was stored not long ago.
    Within,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("newest"),
            Self::LatestSound => f.write_str("newest that is not damaged"),
            Self::LastKnownGood => f.write_str("last known good"),
            Self::Ref { name } => write!(f, "ref {name}"),
            Self::RollbackTarget { name } => write!(f, "{name} could go back to it"),
            Self::Young => f.write_str("within the grace period"),
            Self::Unreadable => f.write_str("cannot be read"),
            Self::Damaged => f.write_str("damaged"),
            Self::Last { place } => write!(f, "number {place} of the last"),
            Self::Best { metric, value, place } => write!(f, "number {place} by {metric} ({value})"),
            Self::EverySteps { step } => write!(f, "step {step}"),
            Self::Within => f.write_str("recent enough"),
        }
    }
}

/// Says whether a ref may be at a checkpoint.
pub type MayBeAt<'a> = dyn Fn(&str, &CheckpointId) -> bool + 'a;

/// Returns what becomes of every checkpoint, oldest first.
///
/// Kept whatever the policy says: the newest, the last known good one, what a ref is at and what it could go
/// back to, passing over those that are damaged and at which it may not be, and what is younger than the grace period.
/// What is known to be damaged, or cannot be read, stays too, and no rule counts it.
/// A checkpoint of which there are no facts has none, and is kept by rules that need none.
pub fn retain(
    history: &History,
    facts: &BTreeMap<CheckpointId, Facts>,
    policy: &Keep,
    now: u64,
    may_be_at: &MayBeAt<'_>,
) -> Vec<Retention> {
    let all = history.checkpoints();
    let none = Facts::default();
    let facts: Vec<&Facts> = all.iter().map(|it| facts.get(&it.id).unwrap_or(&none)).collect();
    let mut res: Vec<_> =
        all.iter().map(|it| Retention { id: it.id.clone(), seq: it.seq, time: it.time, reasons: Vec::new() }).collect();
    always(history, &facts, may_be_at, &mut res);
    let times = settled(all.iter().map(|it| it.time), now);
    for (it, time) in res.iter_mut().zip(&times) {
        if is_within(*time, policy.grace, now) {
            it.reasons.push(Reason::Young);
        }
    }
    for (it, facts) in res.iter_mut().zip(&facts) {
        if facts.unreadable {
            it.reasons.push(Reason::Unreadable);
        }
        if facts.damaged {
            it.reasons.push(Reason::Damaged);
        }
    }
    let clear = res.iter_mut().zip(&facts).rev().filter(|it| it.1.is_clear());
    for (place, (it, _)) in (1..=policy.last.unwrap_or(0)).zip(clear) {
        it.reasons.push(Reason::Last { place });
    }
    for it in &policy.best {
        best(it, all, &facts, &mut res);
    }
    if let Some(every) = policy.every_steps {
        every_steps(every, &facts, &mut res);
    }
    if let Some(within) = policy.within {
        for (it, time) in res.iter_mut().zip(&times) {
            if is_within(*time, within, now) {
                it.reasons.push(Reason::Within);
            }
        }
    }
    res
}

/// Returns the checkpoints that are to be verified before the others of a plan go, newest first: those in whose place one that
/// goes would stay, were they damaged.
pub(crate) fn in_place_of_others<'a>(
    plan: &'a [Retention],
    history: &History,
    facts: &BTreeMap<CheckpointId, Facts>,
    policy: &Keep,
) -> Vec<&'a CheckpointId> {
    let none = Facts::default();
    let of = |id: &CheckpointId| facts.get(id).unwrap_or(&none);
    let going = || plan.iter().zip(history.checkpoints()).filter(|(it, _)| !it.stays()).map(|it| it.1);
    if going().next().is_none() {
        return Vec::new();
    }
    let span = |step: u64| policy.every_steps.and_then(|every| step.checked_div(every));
    let spans: BTreeSet<_> = going().filter_map(|it| span(of(&it.id).step?)).collect();
    let is_measured = |name: &str| going().any(|it| metric(it, of(&it.id), name).is_some());
    let measured: BTreeSet<_> = policy.best.iter().map(|it| it.metric.as_str()).filter(|it| is_measured(it)).collect();
    let is_place = |reason: &Reason| match reason {
        Reason::Latest
        | Reason::LatestSound
        | Reason::LastKnownGood
        | Reason::RollbackTarget { .. }
        | Reason::Last { .. } => true,
        Reason::Best { metric, .. } => measured.contains(metric.as_str()),
        Reason::EverySteps { step } => span(*step).is_some_and(|it| spans.contains(&it)),
        Reason::Ref { .. } | Reason::Young | Reason::Unreadable | Reason::Damaged | Reason::Within => false,
    };
    plan.iter().rev().filter(|it| it.reasons.iter().any(is_place)).map(|it| &it.id).collect()
}

/// Returns what a metric of the checkpoint is: what the newest run that measured it found, else what its training
/// loop said, if that is a finite number.
pub fn metric(checkpoint: &CheckpointSummary, facts: &Facts, name: &str) -> Option<f64> {
    let measured = checkpoint.verdicts.iter().rev().find_map(|it| it.metrics.get(name));
    measured.or_else(|| facts.metrics.get(name)).copied().filter(|it| it.is_finite())
}

/// Returns times, given in the order of the log, of which none is before an earlier one: a clock that was set back
/// does not make what follows old. Times in the future say nothing about those after them.
pub(crate) fn settled(times: impl IntoIterator<Item = u64>, now: u64) -> Vec<u64> {
    let mut newest = 0;
    let mut settle = |time: u64| {
        if time <= now {
            newest = newest.max(time);
        }
        time.max(newest)
    };
    times.into_iter().map(&mut settle).collect()
}

/// Returns whether a time is at most so long ago; a time in the future is.
pub(crate) fn is_within(time: u64, span: Duration, now: u64) -> bool {
    time > now || Duration::from_secs(now - time) < span
}

fn always(history: &History, facts: &[&Facts], may_be_at: &MayBeAt<'_>, res: &mut [Retention]) {
    let positions: HashMap<CheckpointId, usize> = res.iter().enumerate().map(|(at, it)| (it.id.clone(), at)).collect();
    let is_sound = |id: &CheckpointId| positions.get(id).is_some_and(|&at| !facts[at].damaged);
    let mut keep = |id: &CheckpointId, reason| {
        if let Some(&at) = positions.get(id) {
            res[at].reasons.push(reason);
        }
    };
    if let Some(it) = history.checkpoints().last() {
        keep(&it.id, Reason::Latest);
    }
    if let Some(at) = facts.iter().rposition(|it| it.is_clear()).filter(|at| at + 1 < facts.len()) {
        keep(&history.checkpoints()[at].id, Reason::LatestSound);
    }
    let is_clear = |id: &CheckpointId| positions.get(id).is_some_and(|&at| !facts[at].unreadable);
    for id in up_to_first(history.known_good().filter(|it| is_sound(it)), is_clear) {
        keep(id, Reason::LastKnownGood);
    }
    for (name, at) in history.refs() {
        keep(at, Reason::Ref { name: name.to_owned() });
        let back: Vec<_> = history.before(name, at).into_iter().filter(|it| is_sound(it)).collect();
        // What the ref requires may be loosened, so that the best place stays in any case.
        let best = up_to_first(back.iter().copied(), is_clear);
        let allowed = up_to_first(back.iter().copied().filter(|it| may_be_at(name, it)), is_clear);
        for id in best.chain(allowed).collect::<BTreeSet<_>>() {
            keep(id, Reason::RollbackTarget { name: name.to_owned() });
        }
    }
}

/// Returns the checkpoints up to the first that is clear, and it: one of which nobody can tell whether it is sound stays, and so does
/// what would stand in for it.
fn up_to_first<'a>(
    all: impl Iterator<Item = &'a CheckpointId>,
    is_clear: impl Fn(&CheckpointId) -> bool,
) -> impl Iterator<Item = &'a CheckpointId> {
    let mut is_found = false;
    all.take_while(move |it| !mem::replace(&mut is_found, is_clear(it)))
}

fn best(rule: &Best, all: &[CheckpointSummary], facts: &[&Facts], res: &mut [Retention]) {
    let values = all.iter().zip(facts).enumerate().filter(|(_, (_, facts))| facts.is_clear());
    let mut values: Vec<(usize, f64)> =
        values.filter_map(|(at, (it, facts))| Some((at, metric(it, facts, &rule.metric)?))).collect();
    values.sort_by(|(a, x), (b, y)| {
        let by_value = match rule.mode {
            Mode::Max => y.total_cmp(x),
            Mode::Min => x.total_cmp(y),
        };
        // Zeros of both signs are equal, and of equals the newer is kept.
        if x == y { b.cmp(a) } else { by_value }
    });
    for (place, (at, value)) in (1..=rule.n).zip(values) {
        res[at].reasons.push(Reason::Best { metric: rule.metric.clone(), value, place });
    }
}

/// In each span of so many steps the one with the smallest step stays; of equals, as after a restart, the newest.
fn every_steps(every: u64, facts: &[&Facts], res: &mut [Retention]) {
    let mut first: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for (at, facts) in facts.iter().enumerate().filter(|it| it.1.is_clear()) {
        let Some(step) = facts.step else { continue };
        let Some(span) = step.checked_div(every) else { continue };
        let kept = first.entry(span).or_insert((step, at));
        if step <= kept.0 {
            *kept = (step, at);
        }
    }
    for (step, at) in first.into_values() {
        res[at].reasons.push(Reason::EverySteps { step });
    }
}
