//! What stays in a lineage, and why.

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
    let expected =
        owned(&[(0, "production could go back to it"), (1, "ref production"), (3, "last known good"), (4, "newest")]);
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
    let expected = owned(&[
        (1, "last known good, production could go back to it"),
        (2, "damaged"),
        (3, "ref production"),
        (4, "newest"),
    ]);
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
fn what_is_damaged_stays_and_takes_no_place() {
    let broken = |facts: Facts| Facts { damaged: true, ..facts };
    let at = |step, accuracy: f64| Facts {
        step: Some(step),
        metrics: [("accuracy".to_owned(), accuracy)].into(),
        ..Facts::default()
    };
    let history = lineage(&[0; 5]);
    let facts = [at(0, 0.5), broken(at(1_000, 0.9)), at(1_500, 0.8), at(2_000, 0.1), broken(at(3_000, 0.4))];
    let facts = facts.into_iter().enumerate().map(|(at, it)| (id(at), it)).collect();
    let always = [(1, "damaged"), (3, "newest that is not damaged"), (4, "newest, damaged")];
    assert_eq!(kept(&history, &facts, &nothing()), owned(&always));
    let expected = [
        (1, "damaged"),
        (2, "number 2 of the last"),
        (3, "newest that is not damaged, number 1 of the last"),
        (4, "newest, damaged"),
    ];
    assert_eq!(kept(&history, &facts, &Keep { last: Some(2), ..nothing() }), owned(&expected));
    let expected =
        [(1, "damaged"), (2, "number 1 by accuracy (0.8)"), (3, "newest that is not damaged"), (4, "newest, damaged")];
    assert_eq!(kept(&history, &facts, &by_accuracy(Mode::Max, 1)), owned(&expected));
    let expected = [
        (0, "step 0"),
        (1, "damaged"),
        (2, "step 1500"),
        (3, "newest that is not damaged, step 2000"),
        (4, "newest, damaged"),
    ];
    assert_eq!(kept(&history, &facts, &Keep { every_steps: Some(1_000), ..nothing() }), owned(&expected));
}

#[test]
fn what_stays_is_verified_only_where_another_one_would_stay_in_its_place() {
    let history = lineage(&[0; 6]);
    let steps = [0, 1_000, 1_400, 2_000, 2_100, 2_200];
    let facts: BTreeMap<_, _> = steps
        .into_iter()
        .enumerate()
        .map(|(at, step)| (id(at), Facts { step: Some(step), ..Facts::default() }))
        .collect();
    let verified = |policy: &Keep| -> Vec<CheckpointId> {
        let plan = retain(&history, &facts, policy, NOW, &|_, _| true);
        in_place_of_others(&plan, &history, &facts, policy).into_iter().cloned().collect()
    };
    // Nothing goes.
    assert_eq!(verified(&Keep { last: Some(6), ..nothing() }), []);
    assert_eq!(verified(&nothing()), [id(5)]);
    assert_eq!(verified(&Keep { last: Some(3), ..nothing() }), [5, 4, 3].map(id));
    // The first is alone in its span, and of the last span all stay.
    let policy = Keep { last: Some(2), every_steps: Some(1_000), ..nothing() };
    assert_eq!(verified(&policy), [5, 4, 1].map(id));
    // Those that go have no such metric.
    let policy = Keep { last: Some(1), ..by_accuracy(Mode::Max, 1) };
    assert_eq!(verified(&policy), [id(5)]);
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
