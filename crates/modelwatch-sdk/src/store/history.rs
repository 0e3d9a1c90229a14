//! The fold of a lineage's log.

use std::collections::BTreeMap;

use super::{CheckpointId, LogEntry, LogEvent, VerdictRecord};

/// A lineage's log, folded: its checkpoints, refs, and how both came about.
#[derive(Clone, Debug, Default)]
pub struct History {
    last_seq: u64,
    checkpoints: Vec<CheckpointSummary>,
    refs: BTreeMap<String, CheckpointId>,
    moves: Vec<RefMove>,
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
    /// Where it went.
    pub to: CheckpointId,
    /// Why.
    pub reason: String,
}

impl History {
    /// Takes in the next entry.
    pub fn push(&mut self, entry: LogEntry) {
        self.last_seq = entry.seq;
        let LogEntry { seq, time, event } = entry;
        match event {
            LogEvent::Commit { id } => {
                self.checkpoints.retain(|it| it.id != id);
                self.checkpoints.push(CheckpointSummary { id, seq, time, verdicts: Vec::new() });
            }
            LogEvent::Verdict { id, verdict } => {
                if let Some(it) = self.checkpoints.iter_mut().find(|it| it.id == id) {
                    it.verdicts.push(verdict);
                }
            }
            LogEvent::SetRef { name, from, to, reason } => {
                self.refs.insert(name.clone(), to.clone());
                self.moves.push(RefMove { seq, time, name, from, to, reason });
            }
            LogEvent::Remove { id } => self.checkpoints.retain(|it| it.id != id),
            LogEvent::Unknown => {}
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
        self.checkpoints.iter().any(|it| it.id == *id)
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
    ///
    /// Each pipeline's last word counts. Only `pass` and `fail` are words about a checkpoint: a run that
    /// could not be carried out says nothing about it.
    pub fn known_good(&self) -> impl Iterator<Item = &CheckpointId> {
        let good = |it: &&CheckpointSummary| {
            let mut last: BTreeMap<&str, bool> = BTreeMap::new();
            for it in it.verdicts.iter().filter(|it| matches!(it.verdict.as_str(), "pass" | "fail")) {
                last.insert(&it.pipeline, it.verdict == "pass");
            }
            !last.is_empty() && last.values().all(|&it| it)
        };
        self.checkpoints.iter().rev().filter(good).map(|it| &it.id)
    }

    /// Returns where a ref that is at `current` can go back to, best first: known good checkpoints that
    /// it was at before, newest move first, then those that were committed before `current`. The first
    /// one whose bytes verify is the last known good one.
    pub fn before(&self, name: &str, current: &CheckpointId) -> Vec<&CheckpointId> {
        let good: Vec<_> = self.known_good().filter(|it| *it != current).collect();
        let seq = |id: &CheckpointId| self.checkpoints.iter().find(|it| it.id == *id).map(|it| it.seq);
        let mut res: Vec<&CheckpointId> = Vec::new();
        let moves = self.moves.iter().rev().filter(|it| it.name == name).map(|it| &it.to);
        let earlier = good.iter().copied().filter(|it| seq(it) < seq(current));
        for it in moves.filter(|it| good.contains(it)).chain(earlier) {
            if !res.contains(&it) {
                res.push(it);
            }
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
        VerdictRecord { verdict: word.into(), pipeline: "p".into(), run_id: "r".into() }
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
        push(&mut history, LogEvent::Remove { id: id('b') });
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
    }
}
