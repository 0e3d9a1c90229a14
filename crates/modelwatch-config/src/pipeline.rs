//! A pipeline as the runtime gets it: defaults filled in, paths resolved, nothing left that could be wrong in itself.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{CheckpointSpec, Keep, RefRules, Requirement, Save};

/// A pipeline. Every `pointer` in it is a JSON pointer into the [`Document`](crate::Document), for errors found later.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Name in reports and in the history.
    pub name: String,
    /// The pipeline file, as it was given; nothing where arguments stand for it.
    pub file: Option<PathBuf>,
    /// The folder of the file; relative paths were resolved against it.
    pub root: PathBuf,
    /// Where plugins are looked for.
    pub plugins: PluginSettings,
    /// The checkpoint store. There is one if anything below needs one.
    pub store: Option<Component>,
    /// The checkpoint that is judged.
    pub checkpoint: Option<CheckpointSource>,
    /// Whether an import in which a weight is not finite is refused.
    pub refuse_nonfinite: bool,
    /// Which signature of the judged checkpoint's model is run; none for the one that serves.
    pub signature: Option<String>,
    /// What runs the judged model. Without a checkpoint there is one only if its outputs were recorded.
    pub runtime: ModelRuntime,
    /// When an import is worth a checkpoint; `None` for always.
    pub save: Option<Save>,
    /// Which checkpoints of its lineage stay when it is pruned; `None` to remove nothing.
    pub keep: Option<Keep>,
    /// The checkpoint to compare with. There is one if a requirement or a probe needs one.
    pub baseline: Option<Baseline>,
    /// The data to judge on.
    pub data: Option<Data>,
    /// Verifiers and then analyzers, in the order in which they were written. At least one.
    pub probes: Vec<Probe>,
    /// What holds for refs of the lineage, by name.
    pub refs: BTreeMap<String, RefRules>,
    /// What is done after the verdict.
    pub on: Actions,
    /// Which reports are written.
    pub report: Report,
    /// How the run is carried out.
    pub run: RunSettings,
    /// From which severity on a finding fails the verdict.
    pub fail_on: FailOn,
}

impl Pipeline {
    /// Returns what the columns of the data mean.
    pub fn columns(&self) -> Columns {
        self.data.as_ref().map_or_else(Columns::default, |it| it.columns.clone())
    }

    /// Returns what holds for a ref.
    pub fn ref_rules(&self, name: &str) -> RefRules {
        self.refs.get(name).copied().unwrap_or_default()
    }
}

/// Where plugins are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginSettings {
    /// Folders with plugins.
    pub dirs: Vec<PathBuf>,
}

/// A component of a plugin with its options.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Name of the component; not empty.
    pub uses: String,
    /// Its options, not yet held against the plugin's schema.
    pub with: Map<String, Value>,
    /// The table with `uses` and `with`: `/store`, `/verify/0`.
    pub pointer: String,
}

/// Where the judged checkpoint comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointSource {
    /// A file or folder that joins a lineage.
    Import {
        /// The file or folder.
        path: PathBuf,
        /// The lineage it joins.
        lineage: String,
        /// Which file of it is the model.
        model: Option<String>,
        /// The table: `/checkpoint`.
        pointer: String,
    },
    /// A checkpoint in the store.
    Stored {
        /// Which one.
        spec: CheckpointSpec,
        /// Which file of it is the model.
        model: Option<String>,
        /// The table: `/checkpoint`.
        pointer: String,
    },
}

impl CheckpointSource {
    /// Returns the lineage of the judged checkpoint.
    pub fn lineage(&self) -> &str {
        match self {
            CheckpointSource::Import { lineage, .. } => lineage,
            CheckpointSource::Stored { spec, .. } => &spec.lineage,
        }
    }
}

/// The checkpoint that the judged one is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Where it comes from.
    pub from: BaselineSource,
    /// Which file of it is the model.
    pub model: Option<String>,
    /// Which signature of it is run; none for the one that serves.
    pub signature: Option<String>,
    /// What runs its model.
    pub runtime: ModelRuntime,
    /// If it does not exist, comparisons with it are not checked rather than failed.
    pub optional: bool,
    /// The table: `/baseline`.
    pub pointer: String,
}

impl Baseline {
    /// Returns whether there is more of it than outputs that were recorded.
    pub fn is_checkpoint(&self) -> bool {
        self.from != BaselineSource::Recorded
    }
}

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ModelRuntime {
    /// tract, which is part of the program.
    #[default]
    Tract,
    /// ONNX Runtime. The model is not known to be of another format.
    OnnxRuntime,
    /// Nothing: its outputs are columns of the data, which [`Columns`] names.
    Recorded,
}

/// Where the baseline comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaselineSource {
    /// A checkpoint in the store: `from`.
    Stored(CheckpointSpec),
    /// A file or folder: `import`.
    Path(PathBuf),
    /// Nowhere: all there is of it are its outputs, which were recorded.
    Recorded,
}

/// The data to judge on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The data to judge on.
    pub current: Option<Source>,
    /// The data to compare with.
    pub reference: Option<Source>,
    /// What the columns mean.
    pub columns: Columns,
}

/// One set of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The folder at which a relative pattern begins, whose characters are no wildcards.
    pub root: PathBuf,
    /// A file or a pattern, as written; or `checkpoint://` and `baseline://` with the name of a file that is kept with a
    /// checkpoint.
    pub pattern: String,
    /// The format; `None` to tell it from the name and the first bytes.
    pub format: Option<DataFormat>,
    /// What separates the values of CSV files; `None` to tell it from their first lines.
    pub separator: Option<u8>,
    /// The table: `/data/current`.
    pub pointer: String,
}

impl Source {
    /// Returns the files behind a path or a pattern, which no pipeline names.
    pub fn at(pattern: &str) -> Self {
        Self {
            root: PathBuf::new(),
            pattern: pattern.to_owned(),
            format: None,
            separator: None,
            pointer: String::new(),
        }
    }

    /// Returns the file or the pattern, resolved against the folder of the pipeline.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.pattern)
    }
}

/// A format of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// Arrow IPC, as a file or a stream.
    Arrow,
    /// Several NumPy arrays in a ZIP archive.
    Npz,
    /// One NumPy array.
    Npy,
}

/// What the columns mean. No column has two roles that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// The right answer.
    pub label: Option<String>,
    /// What identifies a row.
    pub id: Option<String>,
    /// When a row came about.
    pub timestamp: Option<String>,
    /// How much a row counts; one whose weight is missing is left out of what is weighed.
    pub weight: Option<String>,
    /// Columns by whose values metrics are also computed one by one.
    pub slices: Vec<String>,
    /// Input of the model → one column with the whole tensor, or columns with a number each. `*` in a name stands for
    /// any characters; a pattern picks no column that is label, id, timestamp, weight or ignored.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// The same for the baseline's model; empty where `inputs` holds for it, too.
    pub baseline_inputs: BTreeMap<String, Vec<String>>,
    /// Output of a model that is not run → one column with what it answered, or columns with a number each; no patterns.
    /// None where the model is run.
    pub predictions: BTreeMap<String, Vec<String>>,
    /// The same of the baseline.
    pub baseline_predictions: BTreeMap<String, Vec<String>>,
    /// Number columns whose values are names of categories.
    pub categorical: Vec<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
}

impl Columns {
    /// The JSON pointer of the table that names the inputs of the judged checkpoint's model.
    pub const INPUTS: &str = "/data/columns/inputs";
    /// The JSON pointer of the table that names the inputs of the baseline's model.
    pub const BASELINE_INPUTS: &str = "/data/columns/baseline_inputs";
    /// The JSON pointer of the table that names the recorded outputs of the judged model.
    pub const PREDICTIONS: &str = "/data/columns/predictions";
    /// The JSON pointer of the table that names the recorded outputs of the baseline.
    pub const BASELINE_PREDICTIONS: &str = "/data/columns/baseline_predictions";
}

/// A verifier or an analyzer and what is required of its metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Which table it was written in.
    pub kind: ProbeKind,
    /// Unique in the pipeline.
    pub id: String,
    /// The component and its options.
    pub component: Component,
    /// In the order in which they were written.
    pub requirements: Vec<Requirement>,
    /// Whether a failed check fails the run.
    pub severity: ProbeSeverity,
    /// When it runs.
    pub when: When,
    /// How long it may take; longer than zero.
    pub timeout: Option<Duration>,
    /// Where it runs.
    pub isolation: Isolation,
    /// The bytes that a process of it may take.
    pub memory: Option<u64>,
}

/// The two kinds of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Is the output right?
    Verifier,
    /// Is something wrong, or could it be better?
    Analyzer,
}

/// Whether a failed check fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProbeSeverity {
    /// It does.
    #[default]
    Error,
    /// It is reported only.
    Warning,
}

/// When a probe runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum When {
    /// In every run.
    #[default]
    Always,
    /// If the baseline exists; the pipeline names one.
    Baseline,
    /// If there is reference data; the pipeline names some.
    Reference,
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// In a thread of the run.
    #[default]
    Thread,
    /// In processes of its own.
    Process,
}

/// What is done after the verdict. Refs are moved before anybody is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actions {
    /// When every check passed.
    pub pass: Vec<Action>,
    /// When a check failed.
    pub fail: Vec<Action>,
    /// When there was too little data for the confidence asked for.
    pub inconclusive: Vec<Action>,
    /// When something that is required was not checked.
    pub not_checked: Vec<Action>,
    /// When the run could not be carried out.
    pub error: Vec<Action>,
}

impl Actions {
    /// Returns the refs that are moved to a checkpoint that passes.
    pub fn refs_of_passed(&self) -> impl Iterator<Item = &str> {
        moved_refs(&self.pass)
    }

    /// Returns the refs that are moved to a checkpoint that does not pass.
    pub fn refs_of_others(&self) -> impl Iterator<Item = &str> {
        [&self.fail, &self.inconclusive, &self.not_checked, &self.error].into_iter().flat_map(|it| moved_refs(it))
    }
}

fn moved_refs(actions: &[Action]) -> impl Iterator<Item = &str> {
    let moves = actions.iter().filter_map(|it| match it {
        Action::Move { refs, .. } => Some(refs),
        _ => None,
    });
    moves.flatten().map(String::as_str)
}

/// The data of which a profile is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfiledData {
    /// The current data.
    Current,
    /// The reference data.
    Reference,
}

/// Something that is done after the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Keeps a profile beside the judged checkpoint, before any ref moves. The pipeline has a store and a checkpoint, and that data.
    Profile {
        /// Of which data.
        of: ProfiledData,
        /// The value: `/on/pass/profile`.
        pointer: String,
    },
    /// Sets refs of the lineage to the judged checkpoint. The pipeline has a store and a checkpoint.
    Move {
        /// Names of the refs; not empty.
        refs: Vec<String>,
        /// The value: `/on/pass/move`.
        pointer: String,
    },
    /// Sets a ref back to the last good checkpoint if it points to the judged one.
    Rollback {
        /// Name of the ref.
        ref_name: String,
        /// The value: `/on/fail/rollback`.
        pointer: String,
    },
    /// Appends one line of JSON to a file.
    Notify {
        /// The file.
        file: PathBuf,
        /// The value: `/on/fail/notify`.
        pointer: String,
    },
    /// Runs a command with the run's JSON on its standard input.
    Run {
        /// The command and its arguments; not empty. The command is not resolved against the folder of the pipeline.
        command: Vec<String>,
        /// The value: `/on/fail/run`.
        pointer: String,
    },
}

/// Which reports are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// One HTML file.
    pub html: Option<PathBuf>,
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// The run as JSON.
    pub json: Option<PathBuf>,
    /// A summary in Markdown.
    pub markdown: Option<PathBuf>,
    /// The folder for files that probes hand over; none where they are not to be written.
    pub artifacts: Option<PathBuf>,
}

impl Report {
    /// Returns the reports that are files, by their keys.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [("html", &self.html), ("junit", &self.junit), ("json", &self.json), ("markdown", &self.markdown)];
        all.into_iter().filter_map(|(key, it)| Some((key, it.as_deref()?)))
    }
}

/// How the run is carried out; results do not depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSettings {
    /// Number of threads.
    pub threads: Option<NonZeroUsize>,
    /// Rows per batch; not zero.
    pub batch_rows: Option<usize>,
    /// The database of runs.
    pub history: Option<PathBuf>,
    /// The file in which the run notes how far it has come; none where it is not to.
    pub resume: Option<PathBuf>,
    /// The library of ONNX Runtime.
    pub onnxruntime: Option<PathBuf>,
}

/// From which severity on a finding fails the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailOn {
    /// Findings of severity error do.
    #[default]
    Error,
    /// Warnings do, too.
    Warning,
    /// Findings never do.
    Never,
}
