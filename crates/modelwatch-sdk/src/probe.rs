//! Probes: verifiers ("is the output right?") and analyzers ("is something wrong or improvable?").

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codes::FindingCode,
    error::Result,
    host::{Host, ModelRole},
    report::Report,
    rows::{Mention, SelectedColumns},
    tensor::TensorView,
};

/// A mergeable fold over rows and tensors.
///
/// The host opens one instance per partition of the data, feeds it that partition's batches in
/// order, takes its [`state`](Probe::state), and merges the states into one instance in partition
/// order. So that results do not depend on threads or batch sizes, a state must be a function of
/// the rows alone, never of how they were cut into batches. One that cannot merge says so; see [`Needs::in_order`].
pub trait Probe: Send {
    /// Returns what the host has to read, infer and map. Nothing else is done.
    fn needs(&self) -> Needs;

    /// Takes in rows of one role. See [`crate::rows`] for what is in a batch.
    ///
    /// # Errors
    /// When the rows cannot be used; the probe's checks are then `error`.
    fn update(&mut self, host: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        let _ = (host, role, batch);
        Ok(())
    }

    /// Takes in one named tensor of a checkpoint.
    ///
    /// Tensors come sorted by name; where both have one of that name, the baseline's comes directly
    /// before the candidate's.
    ///
    /// # Errors
    /// When the tensor cannot be used; the probe's checks are then `error`.
    fn update_tensor(&mut self, host: &dyn Host, role: ModelRole, tensor: &TensorView<'_>) -> Result<()> {
        let _ = (host, role, tensor);
        Ok(())
    }

    /// Returns the partial state; its first byte is its version. See [`crate::state`].
    ///
    /// # Errors
    /// When the state cannot be written.
    fn state(&mut self) -> Result<Vec<u8>>;

    /// Takes in the partial state of another instance of the same configuration.
    ///
    /// # Errors
    /// When the bytes are not such a state; they may come from another version or a damaged file.
    fn merge(&mut self, state: &[u8]) -> Result<()>;

    /// Returns metrics, checks, findings, figures and what was not covered.
    ///
    /// # Errors
    /// When nothing can be said. No rows are no error: they are a gap in the report.
    fn evaluate(&mut self, host: &dyn Host) -> Result<Report>;

    /// Ends the instance; nothing is called after it.
    ///
    /// Plugins leave it as it is. The host's own implementation drops what lives in the library, where a destructor that panics can still
    /// be told of.
    ///
    /// # Errors
    /// When the destructor panicked.
    #[doc(hidden)]
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A probe that says whether outputs are right.
pub trait Verifier: Probe + Sized + 'static {
    /// The name that a pipeline uses: lower case, words joined by `-`.
    const NAME: &'static str;
    /// The options; use `#[serde(deny_unknown_fields)]`, defaults and doc comments.
    type Config: DeserializeOwned + JsonSchema;
    /// Every code that its findings can have; `modelwatch explain` tells about them.
    const CODES: &'static [FindingCode] = &[];
    /// Returns what every instance needs, whatever its options, so that a pipeline that lacks it and has wrong options is told
    /// both at once.
    fn always_needs() -> Needs {
        Needs::default()
    }
    /// Opens an instance. Called once per partition, so it must be cheap.
    ///
    /// # Errors
    /// When the options contradict each other; use [`crate::Error::config`].
    fn open(config: Self::Config) -> Result<Self>;
}

/// A probe that looks for what is wrong or could be better.
pub trait Analyzer: Probe + Sized + 'static {
    /// The name that a pipeline uses: lower case, words joined by `-`.
    const NAME: &'static str;
    /// The options; use `#[serde(deny_unknown_fields)]`, defaults and doc comments.
    type Config: DeserializeOwned + JsonSchema;
    /// Every code that its findings can have; `modelwatch explain` tells about them.
    const CODES: &'static [FindingCode] = &[];
    /// Returns what every instance needs, whatever its options, so that a pipeline that lacks it and has wrong options is told
    /// both at once.
    fn always_needs() -> Needs {
        Needs::default()
    }
    /// Opens an instance. Called once per partition, so it must be cheap.
    ///
    /// # Errors
    /// When the options contradict each other; use [`crate::Error::config`].
    fn open(config: Self::Config) -> Result<Self>;
}

/// Which data a batch is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The data that the model is judged on.
    Current,
    /// The data that it is compared with.
    Reference,
}

impl Role {
    /// Returns the word that names it in pipelines, messages and across the boundary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Reference => "reference",
        }
    }

    /// Returns the role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "current" => Some(Self::Current),
            "reference" => Some(Self::Reference),
            _ => None,
        }
    }
}

/// How much something is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Not at all.
    #[default]
    No,
    /// It is used where the run has it.
    Optional,
    /// Without it the probe says nothing, and the run is told so before it starts.
    Required,
}

/// What a probe wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Rows of the current data.
    pub current: Option<RowNeeds>,
    /// Rows of the reference data.
    pub reference: Option<RowNeeds>,
    /// Named tensors of the checkpoints.
    pub tensors: TensorNeeds,
    /// Whether one instance has to see all rows in their order, since what it keeps of them depends on all before. It is fed by itself,
    /// beside instances of other probes that see the partitions at the same time, and merges a state only before it saw a row, to go on from it.
    pub in_order: bool,
    /// The columns that its options mean by name, pattern and type: each of them has to mean one of the data that it reads, and one has to
    /// be left where it looks at nothing else, or the run is told so before it starts.
    pub selection: Option<SelectedColumns>,
    /// The other names in its options: of columns, outputs and slice columns that have to be there.
    pub mentions: Vec<Mention>,
    /// The metrics that its report can have, so that a requirement on another one, or on other labels than it ever has,
    /// is refused before the run; empty where that depends on what it sees.
    pub metrics: Vec<KnownMetric>,
}

/// A metric that a report can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownMetric {
    /// Its name.
    pub name: String,
    /// The labels that it has, neither more nor fewer. One that is reported with others as well is listed once for each.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// The values that its labels never have with these options, by label, each with what would have to be done for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub never: BTreeMap<String, BTreeMap<String, String>>,
    /// The only values that its labels have with these options, by label; a label that is not here may have any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, BTreeSet<String>>,
    /// What to ask for in its place, where a confidence interval of it is never reported, so that a requirement of it with a confidence is
    /// refused before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_interval: Option<String>,
}

impl KnownMetric {
    /// Returns a metric without labels.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            labels: BTreeSet::new(),
            never: BTreeMap::new(),
            only: BTreeMap::new(),
            without_interval: None,
        }
    }

    /// Returns metrics that have the same labels.
    ///
    /// ```
    /// use modelwatch_sdk::KnownMetric;
    /// let of_columns = KnownMetric::all(["missing_share", "drifted"], &["column"]);
    /// let all: Vec<_> = KnownMetric::all(["drifted_share"], &[]).chain(of_columns).collect();
    /// assert_eq!((&*all[2].name, &all[2].labels), ("drifted", &["column".to_owned()].into()));
    /// ```
    pub fn all<N: Into<String>, I: IntoIterator<Item = N>>(
        names: I,
        labels: &[&str],
    ) -> impl Iterator<Item = Self> + use<N, I> {
        let labels: BTreeSet<_> = labels.iter().map(|it| (*it).to_owned()).collect();
        names.into_iter().map(move |it| Self { labels: labels.clone(), ..Self::new(it) })
    }

    /// Returns the metric with a label more, as one of a slice or a chunk has it.
    #[must_use]
    pub fn label(mut self, name: &str) -> Self {
        self.labels.insert(name.to_owned());
        self
    }

    /// Returns the metric with a value that this label of it never has unless what is said is done.
    ///
    /// ```
    /// use modelwatch_sdk::KnownMetric;
    /// let mut known = KnownMetric::all(["drifted"], &["question"]);
    /// let known = known.next().unwrap().never("question", "label", "set `label = true`");
    /// assert_eq!(known.remedy("question", "label"), Some("set `label = true`"));
    /// assert_eq!(known.remedy("question", "features"), None);
    /// ```
    #[must_use]
    pub fn never(mut self, label: &str, value: &str, remedy: &str) -> Self {
        self.never.entry(label.to_owned()).or_default().insert(value.to_owned(), remedy.to_owned());
        self
    }

    /// Returns the metric with the only values that this label of it ever has.
    ///
    /// ```
    /// use modelwatch_sdk::KnownMetric;
    /// let mut known = KnownMetric::all(["missing_share"], &["column", "data"]);
    /// let known = known.next().unwrap().only("data", ["reference", "current"]);
    /// assert!(known.can_have("data", "current") && !known.can_have("data", "training"));
    /// assert!(known.can_have("column", "any"));
    /// ```
    #[must_use]
    pub fn only<V: Into<String>>(mut self, label: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.only.insert(label.to_owned(), values.into_iter().map(Into::into).collect());
        self
    }

    /// Returns the metric as one of which a confidence interval is never reported, with what to ask for in its place.
    ///
    /// ```
    /// use modelwatch_sdk::KnownMetric;
    /// let mut known = KnownMetric::all(["max_error"], &[]);
    /// let known = known.next().unwrap().without_interval("require it without a confidence");
    /// assert!(known.without_interval.is_some());
    /// ```
    #[must_use]
    pub fn without_interval(self, remedy: &str) -> Self {
        Self { without_interval: Some(remedy.to_owned()), ..self }
    }

    /// Returns what would have to be done for the label to have that value, where an option rules it out.
    pub fn remedy(&self, label: &str, value: &str) -> Option<&str> {
        self.never.get(label)?.get(value).map(String::as_str)
    }

    /// Returns whether the label can have that value.
    pub fn can_have(&self, label: &str, value: &str) -> bool {
        self.remedy(label, value).is_none() && self.only.get(label).is_none_or(|it| it.contains(value))
    }
}

/// What a probe wants to see of the rows of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowNeeds {
    /// Whether the rows themselves are needed, or only used where the run has data of that role.
    pub optional: bool,
    /// Whether a stored profile of the data can stand in for the rows; see [`crate::rows`].
    pub profile: bool,
    /// Every column that is not a label, id, timestamp or weight.
    pub features: bool,
    /// Further columns by name.
    pub columns: Vec<String>,
    /// The label column.
    pub label: Need,
    /// The row id column.
    pub id: Need,
    /// The timestamp column.
    pub timestamp: Need,
    /// The sample weight column.
    pub weight: Need,
    /// The slice columns.
    pub slices: bool,
    /// The candidate's outputs.
    pub predictions: Need,
    /// The baseline's outputs on the same rows.
    pub baseline_predictions: Need,
    /// The columns that the candidate's inputs are made of, whatever else they are for, so that the probe can run
    /// the candidate by itself; see [`Host::infer`] and [`crate::rows::inputs_of`].
    pub inputs: Need,
    /// The same of the baseline.
    pub baseline_inputs: Need,
    /// The layers of the candidate whose values are needed beside its outputs: names of tensors inside of its graph, or [`PENULTIMATE`];
    /// see [`crate::rows::layers`]. A run computes them with the outputs, and tells before it starts which are not there.
    pub layers: Vec<String>,
    /// The same of the baseline.
    pub baseline_layers: Vec<String>,
}

/// The layer that a model's head reads: what the last linear node before its first output is given. A tensor of that name goes before.
pub const PENULTIMATE: &str = "penultimate";

impl RowNeeds {
    /// Returns how much the model's outputs are needed.
    pub fn outputs_of(&self, model: ModelRole) -> Need {
        match model {
            ModelRole::Candidate => self.predictions,
            ModelRole::Baseline => self.baseline_predictions,
        }
    }

    /// Returns how much the columns of the model's inputs are needed.
    pub fn inputs_of(&self, model: ModelRole) -> Need {
        match model {
            ModelRole::Candidate => self.inputs,
            ModelRole::Baseline => self.baseline_inputs,
        }
    }

    /// Returns the layers of the model whose values are needed.
    pub fn layers_of(&self, model: ModelRole) -> &[String] {
        match model {
            ModelRole::Candidate => &self.layers,
            ModelRole::Baseline => &self.baseline_layers,
        }
    }

    /// Returns how much the model itself is needed: to have its outputs or layers, or to be run by the probe.
    pub fn model(&self, model: ModelRole) -> Need {
        self.outputs_of(model).max(self.model_itself(model))
    }

    /// Returns how much the model itself is needed where its outputs were recorded: to have its layers, or to be run by the probe.
    pub fn model_itself(&self, model: ModelRole) -> Need {
        let layers = if self.layers_of(model).is_empty() { Need::No } else { Need::Required };
        self.inputs_of(model).max(layers)
    }
}

/// What a probe wants to see of the checkpoints' tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorNeeds {
    /// The candidate's tensors.
    pub candidate: Need,
    /// The baseline's tensors.
    pub baseline: Need,
}
