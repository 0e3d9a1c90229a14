//! The fold of a lineage's log.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{CheckpointId, LogEntry, LogEvent, VerdictRecord};
use crate::error::{Error, Result};

/// A lineage's log, folded: its checkpoints, refs, and how both came about.
#[derive(Clone, Debug, Default)]
pub struct History {
    last_seq: u64,
    checkpoints: Vec<CheckpointSummary>,
    /// Where each id is in `checkpoints`: a log of ten thousand entries is folded on every open.
    positions: HashMap<CheckpointId, usize>,
    removed: HashSet<CheckpointId>,
    refs: BTreeMap<String, CheckpointId>,
    moves: Vec<RefMove>,
    damage: Option<Error>,
}

/// A checkpoint in a history.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointSummary {
    /// Its id.
    pub id: CheckpointId,
    /// The sequence number of its commit.
    pub seq: u64,
    /// Seconds since 1970 by the writer's clock.
    pub time: u64,
    /// Its verdicts, oldest first.
    pub verdicts: Vec<VerdictRecord>,
}

/// One move of a ref.
#[derive(Clone, Debug, PartialEq)]
pub struct RefMove {
    /// The sequence number.
    pub seq: u64,
    /// Seconds since 1970 by the writer's clock.
    pub time: u64,
    /// The ref.
    pub name: String,
    /// Where it was.
    pub from: Option<CheckpointId>,
    /// Where it went; nowhere where it was taken away.
    pub to: Option<CheckpointId>,
    /// Why.
    pub reason: String,
}

/// What the reason of a ref's move starts with where it goes back to a checkpoint that is known to be good.
pub const ROLLBACK: &str = "rollback: ";

impl RefMove {
    /// Returns whether it is a rollback.
    pub fn is_rollback(&self) -> bool {
        self.reason.starts_with(ROLLBACK)
    }
}

impl CheckpointSummary {
    /// Returns the last word of each pipeline about the checkpoint, by the pipeline's name.
    ///
    /// Only `pass` and `fail` are words about a checkpoint: a run that could not be carried out says nothing about it.
    pub fn standing(&self) -> impl Iterator<Item = &VerdictRecord> {
        let words = self.verdicts.iter().filter(|it| matches!(it.verdict.as_str(), "pass" | "fail"));
        let last: BTreeMap<&str, &VerdictRecord> = words.map(|it| (it.pipeline.as_str(), it)).collect();
        last.into_values()
    }

    /// Returns whether some pipeline passed the checkpoint and none has failed it since.
    pub fn is_known_good(&self) -> bool {
        let mut standing = self.standing().peekable();
        standing.peek().is_some() && standing.all(|it| it.verdict == "pass")
    }
}

impl History {
    /// Takes in the next entry.
    pub fn push(&mut self, entry: LogEntry) {
        self.last_seq = entry.seq;
        let LogEntry { seq, time, event } = entry;
        match event {
            LogEvent::Commit { id } => {
                self.forget(std::slice::from_ref(&id));
                self.removed.remove(&id);
                self.positions.insert(id.clone(), self.checkpoints.len());
                self.checkpoints.push(CheckpointSummary { id, seq, time, verdicts: Vec::new() });
            }
            LogEvent::Verdict { id, verdict } => {
                if let Some(&at) = self.positions.get(&id) {
                    self.checkpoints[at].verdicts.push(verdict);
                }
            }
            LogEvent::SetRef { name, from, to, reason } => {
                self.refs.insert(name.clone(), to.clone());
                self.moves.push(RefMove { seq, time, name, from, to: Some(to), reason });
            }
            LogEvent::UnsetRef { name, from, reason } => {
                self.refs.remove(&name);
                self.moves.push(RefMove { seq, time, name, from: Some(from), to: None, reason });
            }
            LogEvent::Remove { ids, .. } => {
                self.forget(&ids);
                self.removed.extend(ids);
            }
            LogEvent::Relocate { .. }
            | LogEvent::Lineage { .. }
            | LogEvent::Mark { .. }
            | LogEvent::Sweep { .. }
            | LogEvent::Void { .. }
            | LogEvent::Unknown => {}
        }
    }

    /// Says that the log goes on and that its next entry does not verify, for the reason given.
    pub fn end_at(&mut self, damage: Error) {
        self.damage = Some(damage);
    }

    /// Returns why this is not the whole log, if it is not. Checkpoints that are here can be relied on; what is
    /// newest, and where refs are, cannot be told.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Returns the history if it is that of the whole log.
    ///
    /// # Errors
    /// The damage, where it is not.
    pub fn whole(self) -> Result<Self> {
        match self.damage {
            Some(it) => Err(it),
            None => Ok(self),
        }
    }

    fn forget(&mut self, ids: &[CheckpointId]) {
        let mut found = false;
        for it in ids {
            found |= self.positions.remove(it).is_some();
        }
        if found {
            self.checkpoints.retain(|it| self.positions.contains_key(&it.id));
            self.positions.clear();
            let positions = self.checkpoints.iter().enumerate().map(|(at, it)| (it.id.clone(), at));
            self.positions.extend(positions);
        }
    }

    /// Returns the sequence number of the last entry, 0 for an empty log.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Returns the checkpoints that are there, oldest first.
    pub fn checkpoints(&self) -> &[CheckpointSummary] {
        &self.checkpoints
    }

    /// Returns whether the lineage has that checkpoint.
    pub fn contains(&self, id: &CheckpointId) -> bool {
        self.positions.contains_key(id)
    }

    /// Returns the checkpoints that were removed and have not come again since.
    pub fn removed(&self) -> &HashSet<CheckpointId> {
        &self.removed
    }

    /// Returns what is known of that checkpoint.
    pub fn checkpoint(&self, id: &CheckpointId) -> Option<&CheckpointSummary> {
        self.positions.get(id).map(|&at| &self.checkpoints[at])
    }

    /// Returns what a ref points at. `latest` is the newest commit unless it was set.
    pub fn get_ref(&self, name: &str) -> Option<&CheckpointId> {
        self.refs.get(name).or_else(|| self.checkpoints.last().filter(|_| name == "latest").map(|it| &it.id))
    }

    /// Returns the refs that were set, sorted by name.
    pub fn refs(&self) -> impl Iterator<Item = (&str, &CheckpointId)> {
        self.refs.iter().map(|(name, id)| (name.as_str(), id))
    }

    /// Returns the moves of all refs, oldest first.
    pub fn moves(&self) -> &[RefMove] {
        &self.moves
    }

    /// Returns the checkpoints that some pipeline passed and none has failed since, newest first.
    pub fn known_good(&self) -> impl Iterator<Item = &CheckpointId> {
        self.checkpoints.iter().rev().filter(|it| it.is_known_good()).map(|it| &it.id)
    }

    /// Returns where a ref that is at `current` can go back to, best first: known good checkpoints that
    /// it was at before, newest move first, then those that were committed before `current`. The first
    /// one whose bytes verify is the last known good one. What the ref was rolled back from is none of them, until it
    /// is set there again by something else than a rollback.
    pub fn before(&self, name: &str, current: &CheckpointId) -> Vec<&CheckpointId> {
        let left = self.left(name);
        let good: Vec<_> = self.known_good().filter(|it| *it != current && !left.contains(it)).collect();
        let is_good: HashSet<_> = good.iter().copied().collect();
        let seq = |id: &CheckpointId| self.checkpoint(id).map(|it| it.seq);
        let moves = self.moves.iter().rev().filter(|it| it.name == name).filter_map(|it| it.to.as_ref());
        let earlier = good.iter().copied().filter(|it| seq(it) < seq(current));
        let mut seen = HashSet::new();
        moves.filter(|it| is_good.contains(it)).chain(earlier).filter(|it| seen.insert(*it)).collect()
    }

    /// Returns what a ref was rolled back from and was not set to since.
    fn left(&self, name: &str) -> HashSet<&CheckpointId> {
        let mut res = HashSet::new();
        for it in self.moves.iter().filter(|it| it.name == name) {
            match (it.is_rollback(), &it.from, &it.to) {
                (true, Some(from), _) => res.insert(from),
                (false, _, Some(to)) => res.remove(to),
                _ => false,
            };
        }
        res
    }

    /// Returns the checkpoints whose id starts with `prefix`.
    pub fn with_prefix(&self, prefix: &str) -> Vec<&CheckpointId> {
        self.checkpoints.iter().map(|it| &it.id).filter(|it| it.as_str().starts_with(prefix)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> CheckpointId {
        CheckpointId::parse(&digit.to_string().repeat(64)).unwrap()
    }

    fn verdict(word: &str) -> VerdictRecord {
        VerdictRecord {
            verdict: word.into(),
            pipeline: "p".into(),
            run_id: "r".into(),
            metrics: BTreeMap::new(),
            blessing: None,
        }
    }

    #[test]
    fn the_last_known_good_is_the_newest_with_a_standing_pass() {
        let mut history = History::default();
        let mut seq = 0;
        let mut push = |history: &mut History, event| {
            seq += 1;
            history.push(LogEntry { seq, time: 0, event });
        };
        for it in ['a', 'b', 'c'] {
            push(&mut history, LogEvent::Commit { id: id(it) });
            push(&mut history, LogEvent::Verdict { id: id(it), verdict: verdict("pass") });
        }
        assert_eq!(history.known_good().collect::<Vec<_>>(), [&id('c'), &id('b'), &id('a')]);
        push(&mut history, LogEvent::Verdict { id: id('c'), verdict: verdict("fail") });
        push(&mut history, LogEvent::Remove { ids: vec![id('b')], reason: String::new() });
        push(&mut history, LogEvent::Unknown);
        assert_eq!(history.known_good().collect::<Vec<_>>(), [&id('a')]);
        // Another pipeline's pass does not undo a fail, and an error says nothing.
        let other = VerdictRecord { pipeline: "q".into(), ..verdict("pass") };
        push(&mut history, LogEvent::Verdict { id: id('c'), verdict: other });
        push(&mut history, LogEvent::Verdict { id: id('a'), verdict: verdict("error") });
        assert_eq!(history.known_good().collect::<Vec<_>>(), [&id('a')]);
        assert_eq!(history.before("production", &id('c')), [&id('a')]);
        assert!(history.before("production", &id('a')).is_empty(), "never forward");
        assert_eq!(history.get_ref("latest"), Some(&id('c')));
        assert_eq!(history.get_ref("good"), None);
        push(&mut history, LogEvent::SetRef { name: "latest".into(), from: None, to: id('a'), reason: String::new() });
        assert_eq!(history.get_ref("latest"), Some(&id('a')));
        assert_eq!((history.last_seq(), history.moves().len()), (12, 1));
        assert!(history.removed().iter().eq([&id('b')]));
        push(&mut history, LogEvent::Commit { id: id('b') });
        assert!(history.removed().is_empty() && history.contains(&id('b')));
    }

    #[test]
    fn a_ref_does_not_go_back_to_what_it_was_rolled_back_from() {
        let mut history = History::default();
        let mut at = 0;
        let mut push = |history: &mut History, event| {
            at += 1;
            history.push(LogEntry { seq: at, time: 0, event });
        };
        for it in ['a', 'b', 'c', 'd'] {
            push(&mut history, LogEvent::Commit { id: id(it) });
            push(&mut history, LogEvent::Verdict { id: id(it), verdict: verdict("pass") });
        }
        let mut set = |history: &mut History, name: &str, to: char, reason: &str| {
            let from = history.refs().find(|it| it.0 == name).map(|it| it.1.clone());
            push(history, LogEvent::SetRef { name: name.into(), from, to: id(to), reason: reason.into() });
        };
        set(&mut history, "production", 'c', "pass");
        set(&mut history, "production", 'd', "pass");
        assert_eq!(history.before("production", &id('d')), [&id('c'), &id('b'), &id('a')]);
        set(&mut history, "production", 'c', ROLLBACK);
        assert_eq!(history.before("production", &id('c')), [&id('b'), &id('a')], "never forward again");
        set(&mut history, "production", 'b', ROLLBACK);
        assert_eq!(history.before("production", &id('b')), [&id('a')]);
        // What is wrong for one ref may be right for another.
        set(&mut history, "canary", 'd', "by hand");
        assert_eq!(history.before("canary", &id('d')), [&id('c'), &id('b'), &id('a')]);
        // Whoever sets it there once more takes the rollback back.
        set(&mut history, "production", 'c', "by hand");
        set(&mut history, "production", 'a', "by hand");
        assert_eq!(history.before("production", &id('a')), [&id('c'), &id('b')]);
    }
}
