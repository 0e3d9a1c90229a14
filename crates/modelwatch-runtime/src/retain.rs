//! Which checkpoints of a lineage stay when it is pruned, and why.
//!
//! [`retain`] is a pure function of the history, of what is known of each checkpoint, of the policy and the
//! time, so that it is the same for every store. Order is that of the log. Times of the log only ever keep more; the
//! time itself is believed.
//! Deliberately not here: removing, which is [`prune`](crate::prune)'s, and which first holds the time against the
//! store's clock.

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
    /// Its bytes do not verify, so that it is no place to go back to.
    pub damaged: bool,
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

    /// Returns whether it stays as a place to go back to.
    pub(crate) fn is_target(&self) -> bool {
        self.reasons.iter().any(|it| matches!(it, Reason::LastKnownGood | Reason::RollbackTarget { .. }))
    }
}

/// A reason to keep a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It is the newest: what `latest` is at.
    Latest,
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
            Self::LastKnownGood => f.write_str("last known good"),
            Self::Ref { name } => write!(f, "ref {name}"),
            Self::RollbackTarget { name } => write!(f, "{name} could go back to it"),
            Self::Young => f.write_str("within the grace period"),
            Self::Unreadable => f.write_str("cannot be read"),
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
    }
    for (place, it) in (1..=policy.last.unwrap_or(0)).zip(res.iter_mut().rev()) {
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
    let values = all.iter().zip(facts).enumerate();
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
    for (at, facts) in facts.iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use modelwatch_sdk::store::{LogEntry, LogEvent, ROLLBACK, VerdictRecord};

    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_000 * DAY;

    fn id(at: usize) -> CheckpointId {
        CheckpointId::parse(&format!("{at:064x}")).unwrap()
    }

    fn nothing() -> Keep {
        Keep { last: None, best: Vec::new(), every_steps: None, within: None, grace: Duration::ZERO, prune: false }
    }

    /// A lineage with one checkpoint for each time.
    fn lineage(times: &[u64]) -> History {
        let mut res = History::default();
        for (at, &time) in times.iter().enumerate() {
            res.push(LogEntry { seq: at as u64 + 1, time, event: LogEvent::Commit { id: id(at) } });
        }
        res
    }

    fn push(history: &mut History, event: LogEvent) {
        history.push(LogEntry { seq: history.last_seq() + 1, time: 0, event });
    }

    fn judge(history: &mut History, at: usize, verdict: &str, metrics: &[(&str, f64)]) {
        let verdict = VerdictRecord {
            verdict: verdict.to_owned(),
            pipeline: "p".to_owned(),
            run_id: "r".to_owned(),
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            blessing: None,
        };
        push(history, LogEvent::Verdict { id: id(at), verdict });
    }

    fn move_ref(history: &mut History, name: &str, at: usize) {
        let from = history.get_ref(name).cloned().filter(|_| name != "latest");
        push(history, LogEvent::SetRef { name: name.to_owned(), from, to: id(at), reason: String::new() });
    }

    fn accuracies(values: &[f64]) -> BTreeMap<CheckpointId, Facts> {
        let facts = |value: f64| Facts { metrics: [("accuracy".to_owned(), value)].into(), ..Facts::default() };
        values.iter().enumerate().map(|(at, &it)| (id(at), facts(it))).collect()
    }

    fn by_accuracy(mode: Mode, n: u64) -> Keep {
        Keep { best: vec![Best { metric: "accuracy".to_owned(), mode, n }], ..nothing() }
    }

    /// Returns what stays and why, as text.
    fn kept(history: &History, facts: &BTreeMap<CheckpointId, Facts>, policy: &Keep) -> Vec<(usize, String)> {
        let all = retain(history, facts, policy, NOW, &|_, _| true);
        assert_eq!(all.len(), history.checkpoints().len());
        let texts = |it: &Retention| it.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let stays = all.iter().enumerate().filter(|(_, it)| it.stays());
        stays.map(|(at, it)| (at, texts(it))).collect()
    }

    fn owned(list: &[(usize, &str)]) -> Vec<(usize, String)> {
        list.iter().map(|(at, text)| (*at, (*text).to_owned())).collect()
    }

    #[test]
    fn what_is_in_use_stays_whatever_the_policy_says() {
        let mut history = lineage(&[0; 8]);
        judge(&mut history, 1, "pass", &[]);
        judge(&mut history, 2, "pass", &[]);
        judge(&mut history, 4, "pass", &[]);
        judge(&mut history, 5, "fail", &[]);
        move_ref(&mut history, "production", 1);
        move_ref(&mut history, "production", 5);
        move_ref(&mut history, "pinned", 0);
        let expected = owned(&[
            (0, "ref pinned"),
            (1, "production could go back to it"),
            (4, "last known good"),
            (5, "ref production"),
            (7, "newest"),
        ]);
        assert_eq!(kept(&history, &BTreeMap::new(), &nothing()), expected);
    }

    #[test]
    fn what_a_ref_was_rolled_back_from_is_no_place_to_go_back_to() {
        let mut history = lineage(&[0; 5]);
        for at in [0, 1, 2, 3] {
            judge(&mut history, at, "pass", &[]);
        }
        move_ref(&mut history, "production", 1);
        move_ref(&mut history, "production", 2);
        let (name, reason) = ("production".to_owned(), ROLLBACK.to_owned());
        push(&mut history, LogEvent::SetRef { name, from: Some(id(2)), to: id(1), reason });
        let expected = owned(&[
            (0, "production could go back to it"),
            (1, "ref production"),
            (3, "last known good"),
            (4, "newest"),
        ]);
        assert_eq!(kept(&history, &BTreeMap::new(), &nothing()), expected);
    }

    #[test]
    fn what_is_damaged_is_no_place_to_go_back_to() {
        let mut history = lineage(&[0; 5]);
        for at in [0, 1, 2] {
            judge(&mut history, at, "pass", &[]);
        }
        move_ref(&mut history, "production", 3);
        let damaged = Facts { damaged: true, ..Facts::default() };
        let facts = BTreeMap::from([(id(2), damaged)]);
        let expected =
            owned(&[(1, "last known good, production could go back to it"), (3, "ref production"), (4, "newest")]);
        assert_eq!(kept(&history, &facts, &nothing()), expected);
    }

    #[test]
    fn what_cannot_be_read_for_now_stays_and_so_does_what_stands_in_for_it() {
        let mut history = lineage(&[0; 5]);
        for at in [0, 1, 2] {
            judge(&mut history, at, "pass", &[]);
        }
        move_ref(&mut history, "production", 3);
        let unclear = Facts { unreadable: true, ..Facts::default() };
        let expected = owned(&[
            (1, "last known good, production could go back to it"),
            (2, "last known good, production could go back to it, cannot be read"),
            (3, "ref production"),
            (4, "newest"),
        ]);
        assert_eq!(kept(&history, &BTreeMap::from([(id(2), unclear)]), &nothing()), expected);
    }

    #[test]
    fn the_last_ones_stay_by_the_log_not_by_the_clock() {
        let history = lineage(&[900 * DAY, 1, 2, 3]);
        let expected = owned(&[(2, "number 2 of the last"), (3, "newest, number 1 of the last")]);
        assert_eq!(kept(&history, &BTreeMap::new(), &Keep { last: Some(2), ..nothing() }), expected);
        let all = Keep { last: Some(u64::MAX), ..nothing() };
        assert_eq!(kept(&history, &BTreeMap::new(), &all).len(), 4);
    }

    #[test]
    fn nan_is_never_the_best_and_of_equals_the_newer_stays() {
        let history = lineage(&[0; 7]);
        let facts = accuracies(&[0.9, f64::NAN, 0.9, f64::INFINITY, 0.5, f64::NEG_INFINITY]);
        let best = |mode, n| kept(&history, &facts, &by_accuracy(mode, n));
        assert_eq!(best(Mode::Max, 1), owned(&[(2, "number 1 by accuracy (0.9)"), (6, "newest")]));
        assert_eq!(best(Mode::Min, 1), owned(&[(4, "number 1 by accuracy (0.5)"), (6, "newest")]));
        let expected = owned(&[
            (0, "number 2 by accuracy (0.9)"),
            (2, "number 1 by accuracy (0.9)"),
            (4, "number 3 by accuracy (0.5)"),
            (6, "newest"),
        ]);
        assert_eq!(best(Mode::Max, 100), expected);
        let zeros = accuracies(&[0.0, -0.0]);
        assert_eq!(kept(&lineage(&[0; 3]), &zeros, &by_accuracy(Mode::Max, 1))[0].0, 1);
    }

    #[test]
    fn what_a_run_measured_outweighs_what_the_training_said() {
        let mut history = lineage(&[0; 3]);
        judge(&mut history, 0, "pass", &[("accuracy", 0.8)]);
        judge(&mut history, 0, "error", &[]);
        judge(&mut history, 1, "fail", &[("accuracy", 0.3)]);
        let facts = accuracies(&[0.1, 0.99, 0.0]);
        let it = kept(&history, &facts, &by_accuracy(Mode::Max, 1));
        assert_eq!(it, owned(&[(0, "last known good, number 1 by accuracy (0.8)"), (2, "newest")]));
    }

    #[test]
    fn one_of_every_so_many_steps_stays() {
        let history = lineage(&[0; 8]);
        let steps = [Some(0), Some(500), Some(1000), Some(1003), Some(1000), Some(2007), None, Some(u64::MAX)];
        let facts = steps.into_iter().enumerate();
        let facts = facts.map(|(at, step)| (id(at), Facts { step, ..Facts::default() })).collect();
        let policy = Keep { every_steps: Some(1000), ..nothing() };
        let stays: Vec<_> = kept(&history, &facts, &policy).into_iter().map(|it| it.0).collect();
        assert_eq!(stays, [0, 4, 5, 7]);
    }

    #[test]
    fn what_is_young_stays_and_the_future_is_young() {
        let history = lineage(&[NOW - DAY, NOW - DAY + 1, NOW + 500 * DAY, NOW - 3 * DAY]);
        let grace = Keep { grace: Duration::from_secs(DAY), ..nothing() };
        // The last one is from a clock that was set back: it is no older than what was stored before it.
        let expected = owned(&[
            (1, "within the grace period"),
            (2, "within the grace period"),
            (3, "newest, within the grace period"),
        ]);
        assert_eq!(kept(&history, &BTreeMap::new(), &grace), expected);
        let within = Keep { within: Some(Duration::from_secs(DAY)), ..nothing() };
        assert_eq!(kept(&history, &BTreeMap::new(), &within).len(), 3);
        assert!(is_within(u64::MAX, Duration::ZERO, 0) && !is_within(0, Duration::ZERO, u64::MAX));
    }

    #[test]
    fn what_cannot_be_read_stays() {
        let facts = BTreeMap::from([(id(0), Facts { unreadable: true, ..Facts::default() })]);
        assert_eq!(kept(&lineage(&[0; 2]), &facts, &nothing()), owned(&[(0, "cannot be read"), (1, "newest")]));
        assert!(kept(&History::default(), &facts, &nothing()).is_empty());
    }

    #[test]
    fn a_place_to_go_back_to_that_the_ref_may_be_at_stays_too() {
        let mut history = lineage(&[0; 5]);
        for at in 0..5 {
            judge(&mut history, at, "pass", &[]);
        }
        move_ref(&mut history, "production", 4);
        let kept = |may_be_at: &MayBeAt<'_>| -> Vec<usize> {
            let all = retain(&history, &BTreeMap::new(), &nothing(), NOW, may_be_at);
            all.iter().enumerate().filter(|it| it.1.stays()).map(|it| it.0).collect()
        };
        assert_eq!(kept(&|_, _| true), [3, 4]);
        assert_eq!(kept(&|name, it| name == "production" && *it == id(1)), [1, 3, 4]);
        assert_eq!(kept(&|_, _| false), [3, 4]);
    }
}
