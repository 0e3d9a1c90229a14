//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use modelwatch_config::{Override, parse_span};
use modelwatch_runtime::contents::WrittenFormat;

/// Guards machine-learning models: keeps checkpoints, verifies outputs, analyzes model and data, and
/// promotes, holds or rolls back.
#[derive(Debug, Parser)]
#[command(name = "modelwatch", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 pass · 1 a check failed or was inconclusive · 2 the command or the pipeline is \
    wrong · 3 it could not be carried out · 4 something that is required was not checked · 130 interrupted")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say more on standard error; twice for what plugins say in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on standard error but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline: verify, analyze, decide, act, record.
    Run(Run),
    /// Find everything that is wrong with a pipeline, without running it.
    Check(Check),
    /// Run one verifier or analyzer without a pipeline file.
    Probe(Probe),
    /// Keep what is needed of data to compare other data with it, or look into what was kept.
    Profile(Profile),
    /// Infer from data what its columns have to be, for the analyzer `quality`, or say what the rules do not allow.
    Columns(Columns),
    /// Record a model's outputs, for the verifier `golden` to hold later ones against.
    Golden(Golden),
    /// Look into a model file.
    Model(Model),
    /// Look into a checkpoint store.
    Store(Store),
    /// List, check and make plugins.
    Plugin(Plugin),
    /// Show earlier runs.
    History(History),
    /// Write the report of an earlier run.
    Report(Report),
    /// Print the JSON Schema of pipeline files, for editors.
    Schema(Schema),
    /// Explain an error or finding code, or the options and codes of a component.
    Explain(Explain),
    /// Run a plugin for a run of this program, which starts it by itself.
    #[command(hide = true)]
    Worker,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a result is printed on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A summary for people.
    #[default]
    Human,
    /// The whole record as one JSON object.
    Json,
    /// Annotations for GitHub Actions; the summary goes to the job's page.
    Github,
}

/// How what is wrong with a pipeline is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProblemFormat {
    /// For people, each with its place in the file, on standard error.
    #[default]
    Human,
    /// One JSON array on standard output, with an object for each; empty where all is well.
    Json,
    /// Annotations for GitHub Actions on standard output, and what people read beside them.
    Github,
}

impl From<ProblemFormat> for Format {
    fn from(format: ProblemFormat) -> Self {
        match format {
            ProblemFormat::Human => Self::Human,
            ProblemFormat::Json => Self::Json,
            ProblemFormat::Github => Self::Github,
        }
    }
}

/// A format in which tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TensorFormat {
    /// Safetensors.
    Safetensors,
    /// A NumPy archive.
    Npz,
}

impl From<TensorFormat> for WrittenFormat {
    fn from(format: TensorFormat) -> Self {
        match format {
            TensorFormat::Safetensors => Self::Safetensors,
            TensorFormat::Npz => Self::Npz,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PluginDirs {
    /// A folder with plugins; searched before all others. May be given more than once.
    #[arg(long = "plugin-dir", value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The pipeline file.
    pub(crate) pipeline: PathBuf,
    /// Set a value of the pipeline, as `verify.0.with.task="binary"`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<Override>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t, env = "MODELWATCH_FORMAT")]
    pub(crate) format: Format,
    /// End with 0 where nothing was checked because there was nothing: no row of current data and no tensor.
    #[arg(long)]
    pub(crate) allow_empty: bool,
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The pipeline file.
    pub(crate) pipeline: PathBuf,
    /// Set a value of the pipeline, as `verify.0.with.task="binary"`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<Override>,
    /// Do not look at data files.
    #[arg(long)]
    pub(crate) no_environment: bool,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ProblemFormat,
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The component: `drift`, or `verifier/metrics` where a name is both.
    pub(crate) component: String,
    /// The data to look at: a file or glob.
    #[arg(long, value_name = "PATH")]
    pub(crate) current: Option<PathBuf>,
    /// The data to compare with.
    #[arg(long, value_name = "PATH")]
    pub(crate) reference: Option<PathBuf>,
    /// The model, or a checkpoint's folder.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// The model or checkpoint to compare with.
    #[arg(long, value_name = "PATH")]
    pub(crate) baseline: Option<PathBuf>,
    /// The signature of `--model` that is run, of a SavedModel or TFLite model; by default `serving_default`, or the only one, or else
    /// the one of a TFLite model's first graph.
    #[arg(long, value_name = "NAME", requires = "model")]
    pub(crate) signature: Option<String>,
    /// The signature of `--baseline` that is run, likewise.
    #[arg(long, value_name = "NAME", requires = "baseline")]
    pub(crate) baseline_signature: Option<String>,
    /// An option of the component, as `task="multiclass"`. May be given more than once.
    #[arg(long = "with", value_name = "KEY=VALUE")]
    pub(crate) with: Vec<String>,
    /// What a column is for: `label=y`, `id=row`, `slices=["site"]`, `inputs.image="x"`. May be given more than once.
    #[arg(long = "column", value_name = "USE=NAME")]
    pub(crate) columns: Vec<String>,
    /// A requirement: `accuracy=">= 0.9"`. May be given more than once.
    #[arg(long = "require", value_name = "METRIC=CONDITION")]
    pub(crate) require: Vec<String>,
    /// A folder for files that the component hands over, such as a model in which a difference shows.
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t, env = "MODELWATCH_FORMAT")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Profile {
    #[command(subcommand)]
    pub(crate) command: Option<ProfileCommand>,
    #[command(flatten)]
    pub(crate) make: Option<MakeProfile>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Show what a profile says of each column.
    Show {
        /// The profile.
        file: PathBuf,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t)]
        format: ShowFormat,
    },
    /// Put profiles of several parts of the data together, as those of days into that of a week.
    Merge {
        /// The profiles.
        #[arg(required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// The file that is written.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MakeProfile {
    /// The data: a file or glob. Each row counts once, also where there is a column of weights.
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,
    /// The file that is written, as `reference.mwp`.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// A column whose numbers are names of categories. May be given more than once.
    #[arg(long = "categorical", value_name = "COLUMN")]
    pub(crate) categorical: Vec<String>,
    /// A model whose outputs on the rows are kept as well, or a checkpoint's folder.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// What a column is for the model: `label=y`, `id=row`, `inputs.image="x"`. May be given more than once.
    #[arg(long = "column", value_name = "USE=NAME", requires = "model")]
    pub(crate) columns: Vec<String>,
    /// What runs the model: `tract` or `onnxruntime`.
    #[arg(long, value_name = "NAME", requires = "model")]
    pub(crate) runtime: Option<String>,
    /// The signature that is run, of a SavedModel or TFLite model; by default `serving_default`, or the only one, or else the one of a
    /// TFLite model's first graph.
    #[arg(long, value_name = "NAME", requires = "model")]
    pub(crate) signature: Option<String>,
    /// How many different numbers of a column are kept exactly; of more, as many leading bits as fit.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub(crate) budget: u64,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ShowFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Columns {
    /// The pipeline file, whose analyzer `quality` has the rules in `columns`.
    pub(crate) pipeline: PathBuf,
    /// The data to look at: a file or glob. By default the pipeline's reference data, or its current data.
    #[arg(long, value_name = "DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The id of the analyzer, where there are several.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Accept what changes, and write it into the pipeline file.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Golden {
    /// The pipeline file, whose `golden` verifiers say which outputs go into which columns.
    pub(crate) pipeline: PathBuf,
    /// The file that gets the rows of the current data and the outputs: `.parquet`, `.arrow` or `.npz`.
    #[arg(long, value_name = "FILE", visible_alias = "record")]
    pub(crate) into: PathBuf,
    /// Where the file exists, say what would change.
    #[arg(long)]
    pub(crate) update: bool,
    /// Accept what changes, and replace the file.
    #[arg(long, requires = "update")]
    pub(crate) yes: bool,
    /// Set a value of the pipeline, as `verify.0.with.task="binary"`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<Override>,
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}

#[derive(Debug, Args)]
pub(crate) struct Model {
    #[command(subcommand)]
    pub(crate) command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Show format, signature, inputs, outputs, parameters and operators, and what cannot be run.
    Show {
        /// The model: a file, a SavedModel, or the folder of a checkpoint.
        #[arg(value_name = "FILE")]
        model: PathBuf,
        /// The signature of a SavedModel or TFLite model to show; by default `serving_default`, or the only one, or else the one of a
        /// TFLite model's first graph.
        #[arg(long, value_name = "NAME")]
        signature: Option<String>,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t)]
        format: ShowFormat,
    },
}

/// How what was found is printed on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
    /// The folder of a local store.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "pipeline")]
    pub(crate) store: Option<PathBuf>,
    /// A pipeline whose `[store]` is meant.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// A folder with plugins.
    #[arg(long = "plugin-dir", global = true, value_name = "DIR")]
    pub(crate) plugin_dirs: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Begin a store, also in an empty folder, which may be the place of a file system that is not mounted.
    Init,
    /// List lineages, or the checkpoints and refs of one.
    List {
        /// The lineage.
        lineage: Option<String>,
    },
    /// Show the whole history of a lineage or of one ref.
    Log {
        /// The lineage, or a ref of it, as `digits@production`; of `digits@latest` what was stored and removed.
        lineage: String,
    },
    /// Show what is in a checkpoint.
    Show {
        /// As `digits@good`, `digits@b3:4fa1c2`, or an id as it is printed.
        checkpoint: String,
        /// Print all of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Store a file or folder as a checkpoint of a lineage, if a pipeline's `[checkpoint.save]` has nothing against it.
    Put {
        /// The file or folder.
        path: PathBuf,
        /// The lineage.
        lineage: String,
        /// End with 0 where no rule of the pipeline says that it is to be stored.
        #[arg(long)]
        allow_empty: bool,
    },
    /// Store every hand-off that a training loop publishes in a folder, in the background, until told to end.
    Watch {
        /// The folder in which hand-offs appear; those that are there already are stored, too.
        folder: PathBuf,
        /// The lineage.
        lineage: String,
        /// How often it is looked at, as `5s`.
        #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_span)]
        every: Duration,
    },
    /// Write a checkpoint's files, byte for byte as they came, into a new folder.
    Get {
        /// As `digits@good`.
        checkpoint: String,
        /// The folder, or with `--as` the file; must not exist.
        into: PathBuf,
        /// Write its tensors in this format instead, where that is without loss; types that are only stored, as FP8, are kept where it has them.
        #[arg(long = "as", value_enum, conflicts_with = "policy")]
        format: Option<TensorFormat>,
        /// What is given out where that checkpoint cannot be; what it was, and why, is said.
        #[arg(long, value_enum, default_value_t)]
        policy: Serve,
        /// Say it as JSON.
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
    /// Say which tensors changed between two checkpoints, and by how much, and which files differ.
    Diff {
        /// The first, as `digits@good`.
        a: String,
        /// The second, as `digits@latest`.
        b: String,
        /// Also list tensors that are the same.
        #[arg(long)]
        all: bool,
        /// Compare the tensors alone, whatever files they are in.
        #[arg(long)]
        tensors: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Point a ref at a checkpoint.
    #[command(visible_alias = "tag")]
    Set {
        /// The ref, as `digits@production`.
        target: String,
        /// The checkpoint, as `digits@good`.
        checkpoint: String,
        /// Why; kept in the log.
        #[arg(long, default_value = "set by hand")]
        reason: String,
        /// Also to a checkpoint that a pipeline failed, or that is not what the last pipeline that moved the ref requires; the log says
        /// so. What `--pipeline` requires of the ref holds all the same.
        #[arg(long)]
        force: bool,
        /// Only where the ref is at this checkpoint now, as `digits@b3:4fa1c2`; `none` where it is not set.
        #[arg(long, value_name = "CHECKPOINT")]
        expect: Option<String>,
    },
    /// Set a ref back to the last known good checkpoint whose bytes verify.
    Rollback {
        /// The ref, as `digits@production`.
        target: String,
        /// Why; kept in the log.
        #[arg(long, default_value = "rolled back by hand")]
        reason: String,
        /// Also where the ref was rolled back too often of late.
        #[arg(long)]
        force: bool,
    },
    /// Take a ref away; what it pinned may go with the next pruning.
    Unset {
        /// The ref, as `digits@candidate-7`.
        target: String,
        /// Why; kept in the log.
        #[arg(long, default_value = "unset by hand")]
        reason: String,
    },
    /// Remove the checkpoints that the pipeline's `[checkpoint.keep]` does not keep, and say why each stays or goes.
    Prune {
        /// The lineage; by default that of the pipeline's checkpoint.
        lineage: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Keep what is younger, as `24h`; by default as the pipeline says.
        #[arg(long, value_name = "DURATION", value_parser = parse_span)]
        grace: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Free the space of what was removed: mark what nothing leads to, and delete what was marked long enough ago.
    #[command(visible_alias = "gc")]
    Collect {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Time between mark and deletion, as `24h`, which is the default.
        #[arg(long, value_name = "DURATION", value_parser = parse_span)]
        grace: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read what is stored and check it: every byte, unless said otherwise.
    #[command(visible_alias = "fsck")]
    Scrub {
        /// Read logs, manifests and indexes only; of everything else, whether it is there and whole.
        #[arg(long)]
        fast: bool,
        /// As `--fast`, and this share of the bytes, another one each time.
        #[arg(long, value_name = "PERCENT", conflicts_with = "fast")]
        sample: Option<f64>,
    },
    /// Mend damage from replicas, segments of logs or the same bytes elsewhere. Deletes nothing.
    Repair,
    /// Show how much is stored and how much space that takes.
    Stats {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Try whether the place of the store does what a store relies on.
    Doctor,
}

/// What is given out where a checkpoint cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Serve {
    /// Nothing: it, or an error.
    #[default]
    Exact,
    /// The newest before it whose bytes verify.
    Latest,
    /// It only if it is known to be good, else what a rollback would go to.
    LastKnownGood,
}

#[derive(Debug, Args)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List what is there to be used, and what was refused.
    List {
        #[command(flatten)]
        plugins: PluginDirs,
    },
    /// Load one library as a run would, and say what it is or why it is refused.
    Check {
        /// The library.
        library: PathBuf,
        /// How the result is printed on standard output.
        #[arg(long, value_enum, default_value_t)]
        format: ShowFormat,
    },
    /// List the plugins of a folder in its `plugins.toml`, with their digests.
    Index {
        /// The folder.
        dir: PathBuf,
    },
    /// Make a new plugin crate that builds and passes the conformance suite.
    New(NewPlugin),
}

/// The kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewKind {
    /// Says whether outputs are right.
    Verifier,
    /// Looks for what is wrong or could be better.
    Analyzer,
    /// Keeps checkpoints and refs.
    Store,
}

#[derive(Debug, Args)]
pub(crate) struct NewPlugin {
    /// The kind of component.
    pub(crate) kind: NewKind,
    /// Its name in pipelines: lower case, words joined by `-`.
    pub(crate) name: String,
    /// Where the crate goes.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The SDK's folder in a checkout of modelwatch.
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
    /// Make it a member of modelwatch's own workspace.
    #[arg(long, hide = true)]
    pub(crate) workspace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The pipeline file: its runs, from where they are kept. Without it: all runs that are kept in the current folder.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Set a value of the pipeline, as `run.history="own.db"`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "pipeline")]
    pub(crate) overrides: Vec<Override>,
    /// Only runs of the pipeline of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) history: HistoryFile,
}

/// The database of earlier runs.
#[derive(Debug, Args)]
pub(crate) struct HistoryFile {
    /// The database. Without it: that of the pipeline, of the variable `MODELWATCH_HISTORY`, or `.modelwatch/history.db`.
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run, the start of its name, or `last`.
    #[arg(default_value = "last")]
    pub(crate) run: String,
    /// The pipeline file: only its runs are looked at, where they are kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Set a value of the pipeline, as `run.history="own.db"`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "pipeline")]
    pub(crate) overrides: Vec<Override>,
    /// Write it as HTML into this file, instead of a summary to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) history: HistoryFile,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The schema of the record that `run --format json` prints, instead.
    #[arg(long)]
    pub(crate) run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A code, as `E0016` or `MW-W003`, or the name of a component, as `drift`.
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) plugins: PluginDirs,
}
