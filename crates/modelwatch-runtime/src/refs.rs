//! What holds for a ref before it is moved.

use modelwatch_config::RefRules;
use modelwatch_sdk::store::{CheckpointId, History};

use crate::retain::{is_within, settled};

/// Returns why a ref must not move to that checkpoint, if it must not.
pub fn refuses(rules: &RefRules, history: &History, name: &str, to: &CheckpointId) -> Option<String> {
    let is_good = history.checkpoint(to).is_some_and(|it| it.is_known_good());
    (rules.require_verified && !is_good).then(|| {
        format!(
            "`{name}` requires verified checkpoints, and {} is not known to be good; judge it with a pipeline first",
            to.short()
        )
    })
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

    use modelwatch_sdk::store::{LogEntry, LogEvent, ROLLBACK, VerdictRecord};

    use super::*;

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
    fn a_ref_that_requires_verified_checkpoints_takes_no_others() {
        let mut history = History::default();
        history.push(LogEntry { seq: 1, time: 0, event: LogEvent::Commit { id: id('a') } });
        let strict = RefRules { require_verified: true, ..RefRules::default() };
        assert_eq!(refuses(&RefRules::default(), &history, "production", &id('a')), None);
        let why = refuses(&strict, &history, "production", &id('a')).unwrap();
        assert!(why.contains("aaaaaaaaaaaa is not known to be good"), "{why}");
        let verdict = VerdictRecord {
            verdict: "pass".to_owned(),
            pipeline: "p".to_owned(),
            run_id: "r".to_owned(),
            metrics: Default::default(),
        };
        history.push(LogEntry { seq: 2, time: 0, event: LogEvent::Verdict { id: id('a'), verdict } });
        assert_eq!(refuses(&strict, &history, "production", &id('a')), None);
    }
}
