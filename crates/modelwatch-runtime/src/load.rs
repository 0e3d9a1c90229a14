//! Gives a checkpoint out, or the one that stands in for it, and says which and why.

use std::path::Path;

use modelwatch_config::{CheckpointSpec, Selector};
use modelwatch_sdk::{
    ErrorKind, Host,
    store::{CheckpointId, CheckpointStore, History},
};
use serde::Serialize;

use crate::checkpoint::{CheckpointError, Laid, lay_out_in, resolve, resolve_readable};

/// What is given out where the checkpoint that was asked for cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadPolicy {
    /// Nothing: it, or an error.
    #[default]
    Exact,
    /// The newest before it whose bytes verify.
    Latest,
    /// It only if it is known to be good, else the checkpoint that a rollback would go to.
    LastKnownGood,
}

/// What was given out, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// What was asked for, as far as the log can be read.
    pub requested: CheckpointId,
    /// What was given out.
    pub served: CheckpointId,
    /// What was passed over, in this order.
    pub skipped: Vec<Skipped>,
    /// Why the end of the log was passed over, if it was: nobody can tell what is newest, where refs are, or whether a later verdict
    /// takes back that what was given out is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// A checkpoint that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Why.
    pub why: String,
}

/// Lays out the checkpoint that `spec` asks for, or the first that the policy takes for it and whose bytes can be read
/// and verify, in a folder of its own below `folder`.
///
/// # Errors
/// When there is none, or, with `Exact`, when a byte of it does not verify.
pub fn load(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    history: &History,
    spec: &CheckpointSpec,
    policy: LoadPolicy,
    folder: &Path,
) -> Result<(LoadReport, Laid), CheckpointError> {
    let requested = match policy {
        LoadPolicy::Exact => resolve(history, spec),
        // Whoever takes another one takes the newest of those that can be found.
        LoadPolicy::Latest | LoadPolicy::LastKnownGood => {
            resolve_readable(history, spec).or_else(|_| resolve(history, spec))
        }
    }?;
    let unread = history.damage().map(|it| it.message.clone()).filter(|_| policy != LoadPolicy::Exact);
    let mut skipped = Vec::new();
    for id in candidates(history, spec, &requested, policy, &mut skipped) {
        match store.open(host, &id).map_err(CheckpointError::from).and_then(|it| lay_out_in(folder, it.as_ref(), host))
        {
            Ok(laid) => return Ok((LoadReport { requested, served: id, skipped, unread }, laid)),
            Err(CheckpointError::Store(e)) if policy != LoadPolicy::Exact && is_of_checkpoint(e.kind) => {
                skipped.push(Skipped { id, why: e.message });
            }
            Err(e) => return Err(e),
        }
    }
    let skipped: Vec<_> = skipped.iter().map(|it| format!("{}: {}", it.id.short(), it.why)).collect();
    Err(CheckpointError::NoneToServe { spec: spec.to_string(), skipped })
}

/// Returns whether something is wrong with a checkpoint itself, which alone is a reason to take another. A store that does
/// not answer has all of them, and is waited for.
pub(crate) fn is_of_checkpoint(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Unreadable | ErrorKind::NotFound | ErrorKind::Gone)
}

fn candidates(
    history: &History,
    spec: &CheckpointSpec,
    requested: &CheckpointId,
    policy: LoadPolicy,
    skipped: &mut Vec<Skipped>,
) -> Vec<CheckpointId> {
    let this = history.checkpoint(requested);
    match policy {
        LoadPolicy::Exact => vec![requested.clone()],
        LoadPolicy::Latest => {
            let newest_first = history.checkpoints().iter().rev();
            newest_first.filter(|it| Some(it.seq) <= this.map(|it| it.seq)).map(|it| it.id.clone()).collect()
        }
        LoadPolicy::LastKnownGood => {
            let name = match &spec.selector {
                Selector::Ref(it) => it.as_str(),
                Selector::Id(_) => "",
            };
            let mut res = Vec::new();
            if this.is_some_and(|it| it.is_known_good()) {
                res.push(requested.clone());
            } else {
                skipped.push(Skipped { id: requested.clone(), why: "it is not known to be good".to_owned() });
            }
            res.extend(history.before(name, requested).into_iter().cloned());
            res
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use modelwatch_sdk::{
        Error, Result, TensorView,
        store::{
            CheckpointManifest, CheckpointReader, CheckpointWriter, LogEntry, LogEvent, ScrubDepth, ScrubReport,
            VerdictRecord,
        },
        testing::FaultRow,
    };
    use serde_json::{Map, Value};

    use super::*;

    /// A store of two checkpoints without files, of which the newer one cannot be opened.
    pub(crate) struct Failing(pub(crate) ErrorKind);

    struct Empty(CheckpointManifest);

    fn id(digit: char) -> CheckpointId {
        CheckpointId::parse(&digit.to_string().repeat(64)).unwrap()
    }

    impl CheckpointReader for Empty {
        fn manifest(&self) -> &CheckpointManifest {
            &self.0
        }

        fn read(&self, _: &str, _: u64, _: &mut [u8]) -> Result<usize> {
            Ok(0)
        }

        fn tensor(&self, _: &str) -> Result<Option<TensorView<'_>>> {
            Ok(None)
        }
    }

    fn not_asked<T>() -> Result<T> {
        Err(Error::input("loading asks for nothing else"))
    }

    impl CheckpointStore for Failing {
        fn open(&self, _: &dyn Host, wanted: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
            if *wanted == id('b') {
                return Err(Error::new(self.0, "cannot read `b`: Input/output error (os error 5)"));
            }
            let (files, tensors) = (Vec::new(), Vec::new());
            Ok(Box::new(Empty(CheckpointManifest { id: wanted.clone(), metadata: Map::new(), files, tensors })))
        }

        fn begin(&self, _: &dyn Host, _: &str, _: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
            not_asked()
        }

        fn lineages(&self) -> Result<Vec<String>> {
            not_asked()
        }

        fn log(&self, _: &str, _: u64, _: u32) -> Result<Vec<LogEntry>> {
            not_asked()
        }

        fn set_ref(&self, _: &str, _: &str, _: &CheckpointId, _: Option<&CheckpointId>, _: &str) -> Result<()> {
            not_asked()
        }

        fn record_verdict(&self, _: &str, _: &CheckpointId, _: &VerdictRecord) -> Result<()> {
            not_asked()
        }

        fn unset_ref(&self, _: &str, _: &str, _: &CheckpointId, _: &str) -> Result<()> {
            not_asked()
        }

        fn remove(&self, _: &str, _: &[CheckpointId], _: &str) -> Result<()> {
            not_asked()
        }

        fn scrub(&self, _: &dyn Host, _: ScrubDepth) -> Result<ScrubReport> {
            not_asked()
        }
    }

    #[test]
    fn a_checkpoint_that_cannot_be_read_is_passed_over_unless_it_alone_is_wanted() {
        let row = FaultRow::new(10, "the newest checkpoint cannot be read, is corrupt, or gone", "SIM");
        let mut history = History::default();
        for (it, seq) in [('a', 1), ('b', 3)] {
            history.push(LogEntry { seq, time: 0, event: LogEvent::Commit { id: id(it) } });
            let verdict = VerdictRecord {
                verdict: "pass".into(),
                pipeline: "p".into(),
                run_id: "r".into(),
                metrics: Default::default(),
                blessing: None,
            };
            history.push(LogEntry { seq: seq + 1, time: 0, event: LogEvent::Verdict { id: id(it), verdict } });
        }
        let spec = "digits@latest".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let served = |kind, policy| load(&Failing(kind), &(), &history, &spec, policy, folder.path()).map(|it| it.0);
        for kind in [ErrorKind::Unreadable, ErrorKind::Corrupt, ErrorKind::Gone] {
            for policy in [LoadPolicy::Latest, LoadPolicy::LastKnownGood] {
                let report = served(kind, policy).unwrap();
                assert_eq!((report.requested, report.served), (id('b'), id('a')));
                assert!(report.skipped[0].why.contains("Input/output error"), "{:?}", report.skipped);
            }
            assert!(served(kind, LoadPolicy::Exact).is_err());
        }
        // Whoever is told to end, or gets no answer, has not found anything wrong.
        for kind in [ErrorKind::Cancelled, ErrorKind::Io] {
            let e = served(kind, LoadPolicy::Latest).err().unwrap();
            assert!(matches!(&e, CheckpointError::Store(e) if e.kind == kind), "{e}");
        }
        row.ok(11);
    }

    #[test]
    fn where_a_log_is_damaged_ids_can_be_told_and_refs_cannot() {
        let id = |digit: &str| CheckpointId::parse(&digit.repeat(64)).unwrap();
        let mut history = History::default();
        let good = LogEvent::SetRef { name: "good".into(), from: None, to: id("a"), reason: String::new() };
        let events = [LogEvent::Commit { id: id("a") }, LogEvent::Commit { id: id("b") }, good];
        for (event, seq) in events.into_iter().zip(1..) {
            history.push(LogEntry { seq, time: 0, event });
        }
        let spec = |text: &str| text.parse::<CheckpointSpec>().unwrap();
        assert_eq!(resolve(&history, &spec("digits@latest")).unwrap(), id("b"));
        history.end_at(Error::new(ErrorKind::Corrupt, "entry 4 does not verify"));
        for it in ["digits@latest", "digits@good", &format!("digits@b3:{}", "c".repeat(12))] {
            let e = resolve(&history, &spec(it)).unwrap_err();
            assert!(matches!(&e, CheckpointError::Store(e) if e.message.contains("entry 4")), "{it}: {e}");
        }
        let by_id = spec(&format!("digits@b3:{}", "b".repeat(12)));
        assert_eq!(resolve(&history, &by_id).unwrap(), id("b"));
        // What stands in for the newest is the newest that can be read.
        assert_eq!(resolve_readable(&history, &spec("digits@latest")).unwrap(), id("b"));
    }
}
