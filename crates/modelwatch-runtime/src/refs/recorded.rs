//! What a pipeline requires of a ref, in the log beside its moves, so that it holds for those who name no pipeline.
//!
//! It is the end of a move's reason, as it is the beginning of one that tells a rollback: an event has no other place that
//! every store keeps.

use modelwatch_config::{RefRules, Require};
use modelwatch_sdk::store::History;

const BEGIN: &str = " [requires ";
const NOTHING: &str = "nothing";
const VERIFIED: &str = "verified";
const BY: &str = "verified with settings ";

/// What the last pipeline that moved a ref requires of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What a checkpoint must be for the ref to move there.
    pub require: Require,
    /// The digest of what that pipeline said about judging, if that matters.
    pub config: String,
}

impl Recorded {
    /// Returns what is recorded of the ref, if a pipeline requires anything of it.
    pub fn find(history: &History, name: &str) -> Option<Self> {
        let moves = history.moves().iter().rev().filter(|it| it.name == name && it.to.is_some());
        moves.filter_map(|it| parse(&it.reason)).next().flatten()
    }

    /// Returns the rules of the ref where no pipeline is named.
    pub fn rules(&self) -> RefRules {
        RefRules { require: Some(self.require), ..RefRules::default() }
    }

    /// Returns the reason of a move, which says as well that this still holds.
    pub fn kept(&self, reason: &str) -> String {
        let what = match self.require {
            Require::Verified => VERIFIED.to_owned(),
            Require::VerifiedByThisPipeline => format!("{BY}{}", self.config),
        };
        format!("{reason}{BEGIN}{what}]")
    }
}

/// Returns the reason of a move by a pipeline, which says as well what the pipeline requires of the ref, where that is anything
/// or takes the place of something. `config` is as for [`refuses`](super::refuses).
pub fn recorded(reason: &str, rules: &RefRules, history: &History, name: &str, config: &str) -> String {
    match rules.require {
        Some(require) => Recorded { require, config: config.to_owned() }.kept(reason),
        None if Recorded::find(history, name).is_some() => format!("{reason}{BEGIN}{NOTHING}]"),
        None => reason.to_owned(),
    }
}

/// Returns what a reason says that is required; nothing where it says nothing of it.
fn parse(reason: &str) -> Option<Option<Recorded>> {
    let (_, what) = reason.strip_suffix(']')?.rsplit_once(BEGIN)?;
    if what == NOTHING {
        return Some(None);
    }
    let (require, config) = match what.strip_prefix(BY) {
        Some(config) => (Require::VerifiedByThisPipeline, config),
        None if what == VERIFIED => (Require::Verified, ""),
        None => return None,
    };
    Some(Some(Recorded { require, config: config.to_owned() }))
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::store::{CheckpointId, LogEntry, LogEvent};

    use super::*;

    fn moved(reasons: &[&str]) -> History {
        let mut res = History::default();
        for (at, reason) in (1..).zip(reasons) {
            let to = CheckpointId::parse(&"a".repeat(64)).unwrap();
            let event = LogEvent::SetRef { name: "production".into(), from: None, to, reason: (*reason).into() };
            res.push(LogEntry { seq: at, time: 0, event });
        }
        res
    }

    #[test]
    fn the_last_rule_that_a_pipeline_recorded_holds() {
        let rules = |require| RefRules { require, ..RefRules::default() };
        let said = |require, history: &History| recorded("pass", &rules(require), history, "production", "c0ffee");
        let none = History::default();
        assert_eq!(said(None, &none), "pass");
        let verified = said(Some(Require::Verified), &none);
        assert_eq!(verified, "pass [requires verified]");
        let by = said(Some(Require::VerifiedByThisPipeline), &none);
        assert_eq!(by, "pass [requires verified with settings c0ffee]");
        let found = |reasons: &[&str]| Recorded::find(&moved(reasons), "production");
        let expected = Recorded { require: Require::VerifiedByThisPipeline, config: "c0ffee".into() };
        assert_eq!(found(&[&verified, &by, "by hand"]).as_ref(), Some(&expected));
        assert_eq!(expected.kept("by hand"), "by hand [requires verified with settings c0ffee]");
        assert_eq!(expected.rules().require, Some(Require::VerifiedByThisPipeline));
        assert_eq!(found(&[&by, &verified]).map(|it| it.require), Some(Require::Verified));
        // A pipeline that requires nothing anymore says so.
        let dropped = said(None, &moved(&[&verified]));
        assert_eq!(dropped, "pass [requires nothing]");
        assert_eq!(found(&[&verified, &dropped, "by hand"]), None);
        assert_eq!(said(None, &moved(&[&verified, &dropped])), "pass");
        // As early versions wrote them, and with words of their own.
        assert_eq!(found(&["pass", "set [requires more]", "requires verified", ""]), None);
        assert_eq!(Recorded::find(&moved(&[&verified]), "other"), None);
    }

    #[test]
    fn who_moves_it_by_hand_takes_no_rule_away() {
        let verified = Recorded { require: Require::Verified, config: String::new() };
        let reason = verified.kept("it is fine [requires nothing]");
        let history = moved(&[&verified.kept("pass"), &reason]);
        assert_eq!(Recorded::find(&history, "production"), Some(verified));
    }
}
