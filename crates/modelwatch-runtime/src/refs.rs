//! What holds for a ref before it is moved.

mod recorded;

use modelwatch_config::{Pipeline, RefRules, Require};
use modelwatch_sdk::{
    Host,
    store::{CheckpointId, CheckpointStore, History, short},
};

use crate::{
    blessing::problem,
    checkpoint::{CheckpointError, verify},
    load::{Skipped, is_of_checkpoint},
    retain::{is_within, settled},
};

pub use self::recorded::{Recorded, recorded};

/// A ref that is to go back.
#[derive(Clone, Copy, Debug)]
pub struct Rollback<'a> {
    /// The lineage as it is.
    pub history: &'a History,
    /// The ref.
    pub name: &'a str,
    /// Where it is.
    pub from: &'a CheckpointId,
    /// What holds for it.
    pub rules: &'a RefRules,
    /// The digest of what the pipeline with the rules says about judging.
    pub config: &'a str,
}

/// Where a ref goes back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The first checkpoint that the ref may be at and whose bytes verify, if there is one.
    pub to: Option<CheckpointId>,
    /// What was passed over on the way there, in this order.
    pub skipped: Vec<Skipped>,
}

/// Finds where a ref goes back to: to a place at which it could have been set as well, so that a rollback is no way
/// around what the ref requires.
///
/// # Errors
/// When the caller was told to stop, or a checkpoint cannot be read for a reason that is not its own: it may be the right
/// one. One that is damaged or gone is passed over.
pub fn way_back(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    rollback: &Rollback<'_>,
) -> Result<WayBack, CheckpointError> {
    let Rollback { history, name, from, rules, config } = *rollback;
    let mut skipped = Vec::new();
    for id in history.before(name, from) {
        let why = match refuses(rules, history, name, id, config) {
            Some(why) => why,
            None => match verify(store, host, id) {
                Ok(()) => return Ok(WayBack { to: Some(id.clone()), skipped }),
                Err(CheckpointError::Store(e)) if is_of_checkpoint(e.kind) => e.message,
                Err(e) => return Err(e),
            },
        };
        skipped.push(Skipped { id: id.clone(), why });
    }
    Ok(WayBack { to: None, skipped })
}

/// Returns what says whether a ref may be at a checkpoint, by the rules of a pipeline; `config` is as for [`refuses`].
pub fn may_be_at<'a>(
    pipeline: &'a Pipeline,
    history: &'a History,
    config: &'a str,
) -> impl Fn(&str, &CheckpointId) -> bool + 'a {
    move |name, id| refuses(&pipeline.ref_rules(name), history, name, id, config).is_none()
}

/// Returns why a ref must not move to that checkpoint, if it must not. `config` is the digest of what the pipeline with the rules
/// says about judging; see [`config_digest`](crate::blessing::config_digest).
///
/// What the last words on the checkpoint say is not enough: they must be about it. A blessing that is of another checkpoint, or
/// not what its digest says, is refused even where another one holds.
pub fn refuses(rules: &RefRules, history: &History, name: &str, to: &CheckpointId, config: &str) -> Option<String> {
    let require = rules.require?;
    let because = |why: &str| Some(format!("`{name}` requires verified checkpoints, and {why}"));
    let Some(judged) = history.checkpoint(to).filter(|it| it.is_known_good()) else {
        return because(&format!("{} is not known to be good; judge it with a pipeline first", to.short()));
    };
    let blessings: Vec<_> = judged.standing().filter_map(|it| it.blessing.as_deref()).collect();
    if let Some(why) = blessings.iter().find_map(|it| problem(it, to)) {
        return because(&format!("{why}; judge it again"));
    }
    let Some(last) = blessings.last() else {
        return because(&format!(
            "no verdict on {} says what it is about, as those of early versions; judge it again",
            to.short()
        ));
    };
    let is_ours = blessings.iter().any(|it| it.config == config);
    if require == Require::VerifiedByThisPipeline && !is_ours {
        return because(&format!(
            "{} was passed with other settings ({}) than this pipeline has now ({}); judge it with this pipeline first, \
             or let `require = \"verified\"` do",
            to.short(),
            short(&last.config),
            short(config)
        ));
    }
    None
}

/// Returns what the last word of a pipeline is that failed the checkpoint, if one did: whatever refs require, nobody moves one there
/// unawares.
pub fn failed(history: &History, to: &CheckpointId) -> Option<String> {
    let it = history.checkpoint(to)?.standing().find(|it| it.verdict == "fail")?;
    Some(format!("{} was failed by `{}` (run {})", to.short(), it.pipeline, it.run_id))
}

/// Returns whether a ref would go from a checkpoint that some pipeline judged to one that none did: what the pipeline requires of the
/// ref, if anything, is not known where only the store is.
pub fn leaves_judged(history: &History, name: &str, to: &CheckpointId) -> bool {
    let is_judged = |it: &CheckpointId| history.checkpoint(it).is_some_and(|it| !it.verdicts.is_empty());
    !is_judged(to) && history.get_ref(name).is_some_and(is_judged)
}

/// Returns why a ref must not be rolled back once more, if it must not: it was too often of late.
///
/// Counted in the log, by its order where clocks disagree: a rollback from the future was not long ago, and none is
/// older than one before it.
pub fn flaps(rules: &RefRules, history: &History, name: &str, now: u64) -> Option<String> {
    let moves = history.moves();
    let times = settled(moves.iter().map(|it| it.time), now);
    let of_late = moves
        .iter()
        .zip(times)
        .filter(|(it, time)| it.name == name && it.is_rollback() && is_within(*time, rules.window, now));
    let n = of_late.count() as u64;
    (n >= rules.max_rollbacks).then(|| {
        format!(
            "`{name}` was rolled back {n} times within {} seconds, so that it is held where it is until a person has \
             looked at why",
            rules.window.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use modelwatch_sdk::{
        ErrorKind,
        store::{Blessing, LogEntry, LogEvent, ROLLBACK, VerdictRecord},
    };

    use super::*;
    use crate::{blessing::testing::blessing, load::tests::Failing};

    const NOW: u64 = 1_000_000;

    fn id(digit: char) -> CheckpointId {
        CheckpointId::parse(&digit.to_string().repeat(64)).unwrap()
    }

    fn moved(times: &[(u64, &str)]) -> History {
        let mut res = History::default();
        for (at, (time, reason)) in times.iter().enumerate() {
            let reason = (*reason).to_owned();
            let event = LogEvent::SetRef { name: "production".to_owned(), from: None, to: id('a'), reason };
            res.push(LogEntry { seq: at as u64 + 1, time: *time, event });
        }
        res
    }

    fn is_held(times: &[(u64, &str)], now: u64) -> bool {
        let rules = RefRules { max_rollbacks: 2, window: Duration::from_secs(100), ..RefRules::default() };
        assert_eq!(flaps(&rules, &moved(times), "other", now), None);
        flaps(&rules, &moved(times), "production", now).is_some()
    }

    #[test]
    fn a_ref_that_flaps_is_held() {
        let back = format!("{ROLLBACK}fail by p");
        let back = back.as_str();
        assert!(is_held(&[(NOW - 50, back), (NOW - 20, "pass"), (NOW - 10, back)], NOW));
        assert!(!is_held(&[(NOW - 50, back), (NOW - 20, "pass"), (NOW - 10, "set by hand")], NOW));
        assert!(!is_held(&[(NOW - 150, back), (NOW - 10, back)], NOW));
    }

    #[test]
    fn clocks_that_jump_hide_no_rollback() {
        let back = ROLLBACK;
        // The second writer's clock was set back by far, the third one's is ahead.
        assert!(is_held(&[(NOW - 50, "pass"), (1, back), (2, back)], NOW));
        assert!(is_held(&[(NOW + 900, back), (NOW + 901, back)], NOW));
        // A time in the future does not make what follows recent.
        assert!(!is_held(&[(NOW + 900, "pass"), (NOW - 500, back), (NOW - 400, back)], NOW));
    }

    #[test]
    fn a_ref_goes_past_a_checkpoint_only_where_something_is_wrong_with_it() {
        let mut history = History::default();
        for (it, at) in ['a', 'b', 'c'].into_iter().zip(0..) {
            let verdict = VerdictRecord {
                verdict: "pass".to_owned(),
                pipeline: "p".to_owned(),
                run_id: "r".to_owned(),
                metrics: Default::default(),
                blessing: None,
            };
            history.push(LogEntry { seq: 2 * at + 1, time: 0, event: LogEvent::Commit { id: id(it) } });
            history.push(LogEntry { seq: 2 * at + 2, time: 0, event: LogEvent::Verdict { id: id(it), verdict } });
        }
        let rules = RefRules::default();
        let rollback =
            Rollback { history: &history, name: "production", from: &id('c'), rules: &rules, config: "ours" };
        let back = |kind| way_back(&Failing(kind), &(), &rollback);
        for kind in [ErrorKind::Unreadable, ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Gone] {
            let found = back(kind).unwrap();
            assert_eq!((found.to, found.skipped.len()), (Some(id('a')), 1), "{kind:?}");
        }
        // Where the store does not answer, it is not known to be worse than the one before it.
        let e = back(ErrorKind::Io).unwrap_err();
        assert!(matches!(&e, CheckpointError::Store(e) if e.kind == ErrorKind::Io), "{e}");
    }

    #[test]
    fn a_ref_that_requires_verified_checkpoints_takes_no_others() {
        let mut history = History::default();
        history.push(LogEntry { seq: 1, time: 0, event: LogEvent::Commit { id: id('a') } });
        let rules = |require| RefRules { require: Some(require), ..RefRules::default() };
        let refused = |history: &History, require| refuses(&rules(require), history, "production", &id('a'), "ours");
        assert_eq!(refuses(&RefRules::default(), &history, "production", &id('a'), "ours"), None);
        let why = refused(&history, Require::Verified).unwrap();
        assert!(why.contains("aaaaaaaaaaaa is not known to be good"), "{why}");
        let mut judge = |pipeline: &str, blessing: Option<Blessing>| {
            let verdict = VerdictRecord {
                verdict: "pass".to_owned(),
                pipeline: pipeline.to_owned(),
                run_id: "r".to_owned(),
                metrics: Default::default(),
                blessing: blessing.map(Box::new),
            };
            let seq = history.last_seq() + 1;
            history.push(LogEntry { seq, time: 0, event: LogEvent::Verdict { id: id('a'), verdict } });
            history.clone()
        };
        // A verdict of an early version is still read, and says too little.
        let history = judge("p", None);
        assert!(refused(&history, Require::Verified).unwrap().contains("says what it is about"));
        let history = judge("p", Some(blessing('a', "theirs")));
        assert_eq!(refused(&history, Require::Verified), None);
        let why = refused(&history, Require::VerifiedByThisPipeline).unwrap();
        assert!(why.contains("with other settings (theirs) than this pipeline has now (ours)"), "{why}");
        let history = judge("q", Some(blessing('a', "ours")));
        assert_eq!(refused(&history, Require::VerifiedByThisPipeline), None);
        // One that is wrong is not outvoted.
        let history = judge("r", Some(blessing('b', "ours")));
        assert!(refused(&history, Require::Verified).unwrap().contains("is of bbbbbbbbbbbb, not of aaaaaaaaaaaa"));
        let history = judge("r", Some(Blessing { n_checks: 7, ..blessing('a', "ours") }));
        assert!(refused(&history, Require::Verified).unwrap().contains("not what its digest"));
        let history = judge("r", Some(blessing('a', "ours")));
        assert_eq!(refused(&history, Require::Verified), None);
    }
}
