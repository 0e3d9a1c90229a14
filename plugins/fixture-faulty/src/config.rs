//! The options.

use modelwatch_sdk::{Error, JsonSchema, Result};
use serde::Deserialize;

/// Panics where it is told to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to fail.
    #[serde(default)]
    pub fault: Fault,
    /// Whether the candidate is run on the rows, and the service `double` is called.
    #[serde(default)]
    pub services: bool,
    /// Where the store keeps what it is given, as the local one does; without it, it keeps nothing.
    #[schemars(extend("format" = "path"))]
    pub path: Option<String>,
}

/// The place of the fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Fault {
    /// Nowhere.
    #[default]
    None,
    /// Opening fails with an error that has a path and a remedy; it does not panic.
    Refuse,
    /// An update goes on until it is cancelled; it does not panic.
    Sleep,
    Open,
    Needs,
    Update,
    UpdateTensor,
    State,
    Merge,
    Evaluate,
    Drop,
    /// Opening ends the process, as if all were well.
    ExitInOpen,
    /// An update ends the process by `abort`.
    Abort,
    /// An update writes where nothing is.
    Segfault,
    /// An update calls itself without end.
    StackOverflow,
    /// An update ends the process, as if all were well.
    Exit,
    /// An update allocates without end.
    Allocate,
    /// An update, and nothing else, goes on for ever without asking whether it is to end.
    Spin,
    /// As `spin`, asleep.
    Hang,
    /// As `hang`, at the row whose column `row` has the number that `MODELWATCH_FAULTY_ROW` says, if it says one.
    HangAtRow,
    /// The update with the row that `MODELWATCH_FAULTY_FAIL_ROW` says, if it says one, fails, and no other ends before.
    FailAhead,
    /// Everything is as it should be, but an update prints what looks like an answer.
    Print,
    /// Everything is as it should be, and a metric says which process it is.
    Process,
    Begin,
    Append,
    Commit,
    WriterDrop,
    OpenCheckpoint,
    Manifest,
    Read,
    Tensor,
    ReadTensor,
    ReaderDrop,
    Lineages,
    Log,
    SetRef,
    UnsetRef,
    RecordVerdict,
    Remove,
    Scrub,
    Collect,
    Repair,
    Stats,
    Doctor,
    CheckClock,
    /// What is read of the store has a flipped bit, or another fault that it does not notice; it does not panic.
    OtherManifest,
    /// See `other_manifest`.
    OtherOrder,
    /// See `other_manifest`.
    OtherFile,
    /// See `other_manifest`.
    OtherTensor,
    /// See `other_manifest`: a file and a tensor without an end.
    Endless,
}

impl Config {
    /// Panics or refuses where the fault is in opening.
    pub(crate) fn opened(self) -> Result<Self> {
        self.fault.at(Fault::Open);
        if self.fault == Fault::ExitInOpen {
            std::process::exit(0);
        }
        if self.fault == Fault::Refuse {
            return Err(Error::config("/fault", "this fault is refused").with_help("choose another fault"));
        }
        Ok(self)
    }
}

impl Fault {
    /// Panics if this is the place of the fault.
    pub(crate) fn at(self, place: Self) {
        assert!(self != place, "planted fault in {place:?}");
    }
}
