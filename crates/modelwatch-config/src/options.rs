//! The pipeline file as it is written: every key optional. Its doc comments are what editors show.

mod policy;

use std::{collections::BTreeMap, sync::LazyLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

pub(crate) use policy::{BestList, BestOptions, KeepOptions, ModeOption, RefOptions, RefRequirement, SaveOptions};

/// Returns the JSON Schema (draft 2020-12) of the pipeline file, for editors.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The schema is what files are checked against, too.
pub(crate) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut res = generator.into_root_schema_for::<PipelineOptions>().to_value();
    remove_null(&mut res);
    res
});

/// A modelwatch pipeline: which checkpoint is judged, on which data, by which probes, and what happens then.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "modelwatch pipeline")]
pub(crate) struct PipelineOptions {
    /// Version of the file format, 1 by default.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(extend("minimum" = 0))]
    pub(crate) version: Option<u64>,
    /// Name of the pipeline, as it appears in reports and in the history.
    #[schemars(required, length(min = 1))]
    pub(crate) name: Option<String>,
    /// Where plugins are looked for.
    pub(crate) plugins: Option<PluginOptions>,
    /// The checkpoint store.
    pub(crate) store: Option<ComponentOptions>,
    /// The checkpoint that is judged.
    pub(crate) checkpoint: Option<CheckpointOptions>,
    /// The checkpoint that the judged one is compared with.
    pub(crate) baseline: Option<BaselineOptions>,
    /// The data the model is judged on, and what its columns mean.
    pub(crate) data: Option<DataOptions>,
    /// Verifiers: is the output right?
    pub(crate) verify: Option<Vec<ProbeOptions>>,
    /// Analyzers: is something wrong, or could it be better?
    pub(crate) analyze: Option<Vec<ProbeOptions>>,
    /// What holds for refs of the lineage, by name.
    #[serde(default)]
    pub(crate) refs: BTreeMap<String, RefOptions>,
    /// What is done, by verdict.
    pub(crate) on: Option<OnOptions>,
    /// Which reports are written, and where.
    pub(crate) report: Option<ReportOptions>,
    /// How the run is carried out. Does not change its result.
    pub(crate) run: Option<RunOptions>,
    /// From which severity on a finding fails the verdict. By default `error`.
    pub(crate) fail_on: Option<FailOnOption>,
}

/// Where plugins are looked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginOptions {
    /// Folders with plugins, relative to the pipeline file.
    #[serde(default)]
    pub(crate) dirs: Vec<String>,
}

/// A component of a plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComponentOptions {
    /// Name of the component. `modelwatch plugin list` shows what there is.
    #[schemars(required, length(min = 1))]
    pub(crate) uses: Option<String>,
    /// Options of the component, which its plugin describes.
    #[serde(default)]
    pub(crate) with: Map<String, Value>,
}

/// The checkpoint that is judged: imported, or from the store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointOptions {
    /// A file or folder to import, relative to the pipeline file. Needs `name`.
    pub(crate) import: Option<String>,
    /// A checkpoint in the store: `lineage@ref`, or `lineage@b3:` and the digest or its first digits.
    pub(crate) from: Option<String>,
    /// The lineage that an imported checkpoint joins.
    pub(crate) name: Option<String>,
    /// Which file of the checkpoint is the model to run, if there are several.
    pub(crate) model: Option<String>,
    /// Which signature of a SavedModel or a TFLite model is run. By default `serving_default`, or the only one, or else the one of a TFLite model's first graph; `modelwatch model show` lists them.
    pub(crate) signature: Option<String>,
    /// What runs the model: `tract`, which is the default, or `onnxruntime`, whose library `[run] onnxruntime` names; or `recorded`, where its outputs are columns of the data, which `[data.columns] predictions` names.
    pub(crate) runtime: Option<RuntimeOption>,
    /// Whether an import is refused in which a weight is NaN or infinite. By default such weights are stored and judged.
    #[serde(default)]
    pub(crate) refuse_nonfinite: bool,
    /// When an import is worth a checkpoint. Without this table every import is stored.
    pub(crate) save: Option<SaveOptions>,
    /// Which checkpoints of the lineage stay when it is pruned.
    pub(crate) keep: Option<KeepOptions>,
}

/// The checkpoint that the judged one is compared with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineOptions {
    /// A checkpoint in the store: `lineage@ref`, or `lineage@b3:` and the digest or its first digits.
    pub(crate) from: Option<String>,
    /// A file or folder, relative to the pipeline file.
    pub(crate) import: Option<String>,
    /// Which file of the checkpoint is the model to run, if there are several.
    pub(crate) model: Option<String>,
    /// Which signature of a SavedModel or a TFLite model is run. By default `serving_default`, or the only one, or else the one of a TFLite model's first graph; `modelwatch model show` lists them.
    pub(crate) signature: Option<String>,
    /// What runs the model: `tract`, which is the default, or `onnxruntime`, whose library `[run] onnxruntime` names; or `recorded`, where its outputs are columns of the data, which `[data.columns] baseline_predictions` names, and which are all there is of the baseline then.
    pub(crate) runtime: Option<RuntimeOption>,
    /// Whether the baseline may be missing, as on a first run; comparisons with it are then listed as not checked and not covered,
    /// and decide nothing. It is a ref of the judged checkpoint's lineage that `[on.pass]` moves; where that moves none, one may be
    /// missing until somebody has moved the first ref of the lineage. A file or folder is never excused.
    #[serde(default)]
    pub(crate) optional: bool,
}

/// What runs a model.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RuntimeOption {
    /// In the process, with nothing to install.
    Tract,
    /// ONNX Runtime, for ONNX models, in builds with the feature `onnxruntime`.
    OnnxRuntime,
    /// Nothing: what it answered was recorded.
    Recorded,
}

/// The data the model is judged on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataOptions {
    /// The data to judge on.
    pub(crate) current: Option<SourceOptions>,
    /// The data to compare with, such as what the model was trained on.
    pub(crate) reference: Option<SourceOptions>,
    /// What the columns mean.
    pub(crate) columns: Option<ColumnOptions>,
}

/// One set of rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceOptions {
    /// A file or a pattern such as `day-*.parquet`, relative to the pipeline file. For the reference also a stored profile, `checkpoint://reference.mwp` for one that is a file of the checkpoint, or `checkpoint://profile` for the one that a run kept beside it.
    #[schemars(required, length(min = 1))]
    pub(crate) path: Option<String>,
    /// Format of the files. By default told from the name and the first bytes.
    pub(crate) format: Option<DataFormatOption>,
    /// What separates the values of CSV files: a comma, a semicolon, a tab, a bar or a space. By default what cuts the head line and the first rows into fields of one number.
    pub(crate) separator: Option<SeparatorOption>,
}

/// A format of data.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DataFormatOption {
    Parquet,
    Csv,
    Arrow,
    Npz,
    Npy,
}

/// What separates the values of a CSV file.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(crate) enum SeparatorOption {
    #[serde(rename = ",")]
    Comma,
    #[serde(rename = ";")]
    Semicolon,
    #[serde(rename = "\t")]
    Tab,
    #[serde(rename = "|")]
    Bar,
    #[serde(rename = " ")]
    Space,
}

/// What the columns mean.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnOptions {
    /// The right answer.
    pub(crate) label: Option<String>,
    /// What identifies a row.
    pub(crate) id: Option<String>,
    /// When a row came about.
    pub(crate) timestamp: Option<String>,
    /// How much a row counts. One whose weight is missing is left out of what is weighed, which is a gap, and no requirement on it is checked.
    pub(crate) weight: Option<String>,
    /// Columns by whose values metrics are also computed one by one.
    #[serde(default)]
    pub(crate) slices: Vec<String>,
    /// Input of the model ← one column with the whole tensor, or a list of columns with a number each. In a list, `*` stands for any characters: `["px_*"]`.
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, OneOrMany>,
    /// The same for the baseline's model, where its inputs have other names or are made otherwise: those of the same network in another format, or of a version before. By default `inputs`.
    #[serde(default)]
    pub(crate) baseline_inputs: BTreeMap<String, OneOrMany>,
    /// Output of the model ← the column with what it answered for the row, or a list of columns with a number each, in the order of the classes. It is not run then: there need be no checkpoint, and beside one `runtime = "recorded"` says that its outputs are these.
    #[serde(default)]
    pub(crate) predictions: BTreeMap<String, OneOrMany>,
    /// The same of the baseline, whose `runtime` is `"recorded"`.
    #[serde(default)]
    pub(crate) baseline_predictions: BTreeMap<String, OneOrMany>,
    /// Number columns whose values are names of categories.
    #[serde(default)]
    pub(crate) categorical: Vec<String>,
    /// Columns to leave out.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
}

/// A verifier or an analyzer and what is required of its metrics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeOptions {
    /// Name of the component. `modelwatch plugin list` shows what there is.
    #[schemars(required, length(min = 1))]
    pub(crate) uses: Option<String>,
    /// What the probe is called in reports. By default what it uses, numbered if needed.
    pub(crate) id: Option<String>,
    /// Options of the component, which its plugin describes.
    #[serde(default)]
    pub(crate) with: Map<String, Value>,
    /// Metric → what must hold: `accuracy = ">= 0.95"`, `"recall[slice=*]" = ">= 99% of baseline"`, `log_loss = "<= baseline + 0.02 with confidence 95%"`, `f1 = "not worse than baseline with confidence 95%"`, `"accuracy[slice=*]" = ">= overall - 0.02"`.
    #[serde(default)]
    pub(crate) require: BTreeMap<String, OneOrMany>,
    /// Whether a failed check fails the run. By default `error`.
    pub(crate) severity: Option<SeverityOption>,
    /// When the probe runs. By default `always`.
    pub(crate) when: Option<WhenOption>,
    /// How long the probe may take: `"30s"`, `"1h30m"`, or seconds. By default as long as it needs. In a thread it is asked to end, in a process it is killed.
    pub(crate) timeout: Option<DurationOption>,
    /// Where the plugin runs. By default `thread`.
    pub(crate) isolation: Option<IsolationOption>,
    /// The most memory that a process of the probe may take: `"2GiB"`, `"512MiB"`, or bytes. Only with `isolation = "process"`. By default as much as there is.
    pub(crate) memory: Option<MemoryOption>,
}

/// Whether a failed check fails the run.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SeverityOption {
    /// A failed check fails the run.
    Error,
    /// A failed check is reported only.
    Warning,
}

/// When a probe runs.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenOption {
    /// In every run.
    Always,
    /// If there is a baseline.
    Baseline,
    /// If there is reference data.
    Reference,
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IsolationOption {
    /// In a thread of the run: fast.
    Thread,
    /// In processes of its own, on Unix: a crash, an endless loop or a lack of memory ends the probe, not the run.
    Process,
}

/// From which severity on a finding fails the verdict.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FailOnOption {
    /// Findings of severity error fail the verdict.
    Error,
    /// Warnings fail it, too.
    Warning,
    /// Findings never fail it.
    Never,
}

/// What is done, by verdict.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnOptions {
    /// When every check passed.
    pub(crate) pass: Option<ActionOptions>,
    /// When a check failed.
    pub(crate) fail: Option<ActionOptions>,
    /// When there was too little data for the confidence asked for.
    pub(crate) inconclusive: Option<ActionOptions>,
    /// When something that is required was not checked.
    pub(crate) not_checked: Option<ActionOptions>,
    /// When the run could not be carried out.
    pub(crate) error: Option<ActionOptions>,
}

/// What is done after a verdict, in this order: `profile`, `move`, `rollback`, `notify`, `run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionOptions {
    /// `"reference"` or `"current"`: the data of which a profile is kept beside the checkpoint when it passes, with the outputs of its model
    /// where the run runs it. Its rows are read, and the model is run on them, once more; a profile in their place is carried on, without the
    /// outputs of another model. Later runs of the pipeline read it as `checkpoint://profile` or `baseline://profile`.
    pub(crate) profile: Option<ProfileOption>,
    /// Refs that are set to the judged checkpoint.
    pub(crate) r#move: Option<OneOrMany>,
    /// A ref that is set back to the last good checkpoint if it points to the judged one.
    pub(crate) rollback: Option<String>,
    /// Who is told.
    pub(crate) notify: Option<NotifyOptions>,
    /// A command and its arguments, which gets the run as JSON on standard input.
    #[schemars(length(min = 1))]
    pub(crate) run: Option<Vec<String>>,
}

/// The data of which a profile is kept.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProfileOption {
    /// The current data.
    Current,
    /// The reference data.
    Reference,
}

/// Who is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyOptions {
    /// A file to which one line of JSON is appended per run, relative to the pipeline file.
    #[schemars(required, length(min = 1))]
    pub(crate) file: Option<String>,
}

/// Which reports are written; files are relative to the pipeline file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportOptions {
    /// One HTML file that needs nothing else.
    pub(crate) html: Option<String>,
    /// JUnit XML, for CI.
    pub(crate) junit: Option<String>,
    /// The run as JSON.
    pub(crate) json: Option<String>,
    /// A summary in Markdown, for pull requests.
    pub(crate) markdown: Option<String>,
    /// A folder for files that probes hand over, with one in it for each run. By default `artifacts` beside the reports.
    pub(crate) artifacts: Option<String>,
}

/// How the run is carried out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunOptions {
    /// Number of threads. By default one per processor.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) threads: Option<u64>,
    /// Rows that are handed to the probes at once.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub(crate) batch_rows: Option<u64>,
    /// The database of runs, relative to the pipeline file.
    pub(crate) history: Option<String>,
    /// A file in which the run notes how far it has come, relative to the pipeline file. A run that finds one of the same pipeline, plugins, checkpoints and data goes on from there and ends with the same bits; a run that comes to its end removes it.
    pub(crate) resume: Option<String>,
    /// The library of ONNX Runtime for models with `runtime = "onnxruntime"`, relative to the pipeline file. By default the one that the environment variable `ORT_DYLIB_PATH` names.
    pub(crate) onnxruntime: Option<String>,
}

/// One string or a list of strings.
#[derive(Debug)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A duration as text, or seconds.
#[derive(Debug)]
pub(crate) enum DurationOption {
    Text(String),
    Seconds(f64),
}

/// An amount of memory as text, or bytes.
#[derive(Debug)]
pub(crate) enum MemoryOption {
    Text(String),
    Bytes(f64),
}

impl OneOrMany {
    pub(crate) fn is_many(&self) -> bool {
        matches!(self, OneOrMany::Many(_))
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(it) => std::slice::from_ref(it),
            OneOrMany::Many(it) => it,
        }
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One string or a list of strings.",
            "type": ["string", "array"],
            "items": { "type": "string" },
            "minItems": 1,
        })
    }
}

// By hand, since serde's untagged enums lose what was wrong.
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        struct OneOrManyVisitor;

        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, it: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(it.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut res = Vec::new();
                while let Some(it) = seq.next_element()? {
                    res.push(it);
                }
                Ok(OneOrMany::Many(res))
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

impl JsonSchema for DurationOption {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number with a unit (`500ms`, `30s`, `5m`, `2h`), several of them in a row, or seconds.",
            "type": ["string", "number"],
        })
    }
}

impl<'de> Deserialize<'de> for DurationOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationOption, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(it) => Ok(DurationOption::Text(it)),
            Value::Number(it) => Ok(DurationOption::Seconds(it.as_f64().unwrap_or(f64::NAN))),
            _ => Err(de::Error::custom("expected a string or a number")),
        }
    }
}

impl JsonSchema for MemoryOption {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number with a unit (`512MiB`, `2GiB`, `1GB`), or bytes.",
            "type": ["string", "number"],
        })
    }
}

impl<'de> Deserialize<'de> for MemoryOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MemoryOption, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(it) => Ok(MemoryOption::Text(it)),
            Value::Number(it) => Ok(MemoryOption::Bytes(it.as_f64().unwrap_or(f64::NAN))),
            _ => Err(de::Error::custom("expected a string or a number")),
        }
    }
}

/// Reads an integer; JSON Schema takes `4.0` for one, so that this does too.
fn natural<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    // The schema keeps it in a range that has exact floats.
    let res = number.as_u64().or_else(|| number.as_f64().map(|it| it as u64));
    Ok(res)
}

/// Removes null from types and choices, since TOML has none.
fn remove_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(types) = map.get_mut("type")
                && let Some(list) = types.as_array_mut()
            {
                list.retain(|it| it != "null");
                if let [only] = list.as_slice() {
                    *types = only.clone();
                }
            }
            let mut only = None;
            if let Some(branches) = map.get_mut("anyOf").and_then(Value::as_array_mut) {
                branches.retain(|it| it.get("type").is_none_or(|it| it != "null"));
                if let [Value::Object(it)] = branches.as_slice() {
                    only = Some(it.clone());
                }
            }
            if let Some(only) = only {
                map.remove("anyOf");
                for (key, value) in only {
                    map.entry(key).or_insert(value);
                }
            }
            map.values_mut().for_each(remove_null);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_null),
        _ => {}
    }
}
