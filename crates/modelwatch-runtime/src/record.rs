//! The record of a run: what `--format json` prints, the history keeps, and reports are made from.
//!
//! Its JSON Schema is committed as `configs/run.schema.json`.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_config::Pipeline;
use modelwatch_sdk::{
    ModelRole,
    report::{Check, Figure, Finding, Labels, Metric, MetricRole, Report, Severity, Status},
    store::Blessing,
};
use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{decide, inputs::recorded, model::is_recorded};

/// One execution of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The name of the run: its time and a digest, unique in a history.
    pub run_id: String,
    /// The pipeline.
    pub pipeline: PipelineRecord,
    /// The sum of the checks.
    pub verdict: Verdict,
    /// What the command exits with. It is 3 all the same where something cannot be written after this was told: to who is
    /// notified, or in the record of a run that did not pass.
    pub exit_code: u8,
    /// What was judged.
    pub checkpoint: Option<CheckpointRecord>,
    /// What it must not be worse than.
    pub baseline: Option<CheckpointRecord>,
    /// The models that were run, and those whose outputs were recorded.
    pub models: Vec<ModelRecord>,
    /// Every decision.
    pub checks: Vec<Of<Check>>,
    /// Every number.
    pub metrics: Vec<Of<Metric>>,
    /// Everything that was noticed.
    pub findings: Vec<Of<Finding>>,
    /// Data for pictures.
    pub figures: Vec<Of<Figure>>,
    /// What was done about the verdict.
    pub actions: Vec<ActionRecord>,
    /// What was looked at, and what was not.
    pub coverage: Coverage,
    /// Where the time went.
    pub timings: Timings,
}

/// Something that a probe reported, with the probe's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}OfProbe")]
pub struct Of<T> {
    /// The id of the probe.
    pub probe: String,
    /// What it reported.
    #[serde(flatten)]
    pub it: T,
}

/// Which pipeline it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PipelineRecord {
    /// Its name.
    pub name: String,
    /// Its file, or nothing where there was none.
    pub file: Option<String>,
    /// The BLAKE3 digest of its text.
    pub digest: Option<String>,
}

/// The sum of the checks, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check holds.
    Pass,
    /// Nothing was checked.
    NotChecked,
    /// Too little data for the confidence that was asked for.
    Inconclusive,
    /// A check does not hold.
    Fail,
    /// A check could not be carried out.
    Error,
}

impl Verdict {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        Status::from(self).as_str()
    }

    /// Returns what the command exits with.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail | Self::Inconclusive => 1,
            Self::Error => 3,
            Self::NotChecked => 4,
        }
    }
}

impl From<Status> for Verdict {
    fn from(status: Status) -> Self {
        match status {
            Status::Pass => Self::Pass,
            Status::NotChecked => Self::NotChecked,
            Status::Inconclusive => Self::Inconclusive,
            Status::Fail => Self::Fail,
            Status::Error => Self::Error,
        }
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::NotChecked => Self::NotChecked,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Fail => Self::Fail,
            Verdict::Error => Self::Error,
        }
    }
}

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointRecord {
    /// Its id; nothing where the run has no store.
    pub id: Option<String>,
    /// Its lineage; nothing where it is a plain path.
    pub lineage: Option<String>,
    /// Where it came from: a path, or `lineage@ref`.
    pub source: String,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What the store's log has the verdict on it for; nothing where there is none in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blessing: Option<BlessingRecord>,
}

/// What was signed off, by digests: the whole [`Blessing`] is in the store's log beside the verdict, and has the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlessingRecord {
    /// The digest of the whole, by which it is found in the log and signed elsewhere.
    pub digest: String,
    /// The program that judged, with its version.
    pub program: String,
    /// The files of the model that was run.
    pub model: BTreeMap<String, String>,
    /// What it was compared with.
    pub baseline: Option<String>,
    /// The data, by role.
    pub data: BTreeMap<String, String>,
    /// The libraries of the plugins, by component; nothing for one that is part of the program.
    pub plugins: BTreeMap<String, Option<String>>,
    /// What the pipeline says about judging.
    pub config: String,
}

impl BlessingRecord {
    /// Returns the digests of a blessing.
    pub(crate) fn of(it: &Blessing) -> Self {
        Self {
            digest: it.digest.clone(),
            program: it.program.clone(),
            model: it.model.iter().map(|it| (it.name.clone(), it.digest.clone())).collect(),
            baseline: it.baseline.clone(),
            data: it.data.iter().map(|(role, it)| (role.clone(), it.digest.clone())).collect(),
            plugins: it.plugins.iter().map(|(component, it)| (component.clone(), it.digest.clone())).collect(),
            config: it.config.clone(),
        }
    }
}

/// A model of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRecord {
    /// `candidate` or `baseline`.
    pub role: String,
    /// The file in the checkpoint; empty where its outputs were recorded.
    pub file: String,
    /// Its format; `recorded` where its outputs were.
    pub format: String,
    /// The signature that was run, in formats that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Its inputs: name, element type and shape, `?` for an axis of any extent.
    pub inputs: Vec<String>,
    /// Its outputs; where they were recorded, with the columns of the data that they are.
    pub outputs: Vec<String>,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, u64>,
    /// The number of its parameters.
    pub parameters: u64,
    /// What ran it, with its version; empty in records of earlier releases, and where its outputs were recorded.
    #[serde(default)]
    pub runtime: String,
}

impl ModelRecord {
    /// Returns that of a model whose outputs were recorded; nothing of one that is run.
    pub(crate) fn recorded(role: ModelRole, pipeline: &Pipeline) -> Option<Self> {
        if !is_recorded(pipeline, role) {
            return None;
        }
        let columns = pipeline.columns();
        let output = |(name, columns): (&String, &Vec<String>)| format!("{name}: {}", columns.join(", "));
        Some(Self {
            role: role.as_str().to_owned(),
            file: String::new(),
            format: "recorded".to_owned(),
            signature: None,
            inputs: Vec::new(),
            outputs: recorded(role, &columns).iter().map(output).collect(),
            operators: BTreeMap::new(),
            parameters: 0,
            runtime: String::new(),
        })
    }
}

/// Something that was done after the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRecord {
    /// `profile`, `move`, `rollback`, `prune`, `notify`, `run` or `close`.
    pub kind: ActionKind,
    /// The ref, lineage, file, command or store.
    #[serde(rename = "ref")]
    pub target: String,
    /// Where the ref was.
    pub from: Option<String>,
    /// Where the ref is now.
    pub to: Option<String>,
    /// What became of it.
    pub status: ActionStatus,
    /// One sentence without a final period.
    pub message: String,
}

impl ActionRecord {
    /// Returns whether it was to be done and was not.
    pub fn is_undone(&self) -> bool {
        matches!(self.status, ActionStatus::Conflict | ActionStatus::Failed)
    }
}

/// The kinds of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// A profile was kept beside the judged checkpoint.
    Profile,
    /// A ref was set to the judged checkpoint.
    Move,
    /// A ref was set back to the last known good checkpoint.
    Rollback,
    /// A line was appended to a file.
    Notify,
    /// A command was run.
    Run,
    /// The lineage was pruned.
    Prune,
    /// The store was closed, which is told only where its plugin panicked.
    Close,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionStatus {
    /// It was carried out.
    Done,
    /// There was nothing to do.
    NotNeeded,
    /// Another writer was faster; nothing was changed.
    Conflict,
    /// It could not be carried out.
    Failed,
}

/// What a run looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Rows by role.
    pub rows: BTreeMap<String, u64>,
    /// Tensors by model role.
    pub tensors: BTreeMap<String, u64>,
    /// The probes of the pipeline.
    pub probes: Vec<ProbeCoverage>,
    /// What was not covered.
    pub gaps: Vec<GapRecord>,
    /// What was found of a run that did not end; nothing where there was none, or none was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<ResumedRecord>,
}

/// What a run found of one that did not end, in the file that `[run] resume` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumedRecord {
    /// The rows by role from which on this run went on; none where it began anew.
    pub rows: BTreeMap<String, u64>,
    /// Why it began anew, or nothing.
    pub discarded: Option<String>,
}

/// Whether a probe had its say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeCoverage {
    /// Its id.
    pub id: String,
    /// `verifier` or `analyzer`.
    pub kind: String,
    /// The component.
    pub uses: String,
    /// `pass` where it ran to its end.
    pub status: Status,
    /// `warning` where the pipeline has its failed checks reported only.
    #[serde(default = "error")]
    pub severity: Severity,
    /// How many checks it was held to.
    pub checks: u64,
    /// How many metrics of the candidate it computed from at least one row, and of how many values of each label:
    /// `{"metric": 31, "output": 2, "class": 10, "slice": 4}`.
    #[serde(default)]
    pub measured: BTreeMap<String, u64>,
    /// What it was to measure of the candidate, or was asked for, and did not measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmeasured: Vec<Unmeasured>,
    /// Why it did not run to its end, or nothing.
    pub message: String,
}

/// Metrics of one output, node, slice or class that nothing rests on, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Unmeasured {
    /// What they are of; nothing for all rows together.
    pub labels: Labels,
    /// Their names.
    pub metrics: Vec<String>,
    /// Why.
    pub why: String,
}

fn error() -> Severity {
    Severity::Error
}

impl RunRecord {
    /// Returns whether a check counts for the verdict. Of a probe whose `severity` is `warning` only what could not be carried out does, and what
    /// needs a baseline does not before there is one.
    pub fn counts(&self, check: &Of<Check>) -> bool {
        let is_of_warnings =
            self.coverage.probes.iter().any(|it| it.id == check.probe && it.severity == Severity::Warning);
        let awaits_baseline = check.it.status == Status::NotChecked && check.it.message == decide::NO_BASELINE_YET;
        !awaits_baseline && (!is_of_warnings || check.it.status == Status::Error)
    }
}

impl ProbeCoverage {
    /// Returns how many metrics a report has, and of how many values of each label.
    pub(crate) fn measured_by(report: &Report) -> BTreeMap<String, u64> {
        let mut values = BTreeMap::<&str, BTreeSet<&str>>::new();
        let measured = report.metrics.iter().filter(|it| it.n > 0 && it.role == MetricRole::Candidate);
        let mut n_metrics = 0;
        for metric in measured {
            n_metrics += 1;
            for (label, value) in &metric.labels {
                values.entry(label).or_default().insert(value);
            }
        }
        let by_label = values.into_iter().map(|(label, it)| (label.to_owned(), it.len() as u64));
        by_label.chain((n_metrics > 0).then(|| ("metric".to_owned(), n_metrics))).collect()
    }

    /// Returns what was not measured, by what it is of and why: metrics without a value that counts, and what was not checked.
    pub(crate) fn unmeasured_by<'a>(report: &'a Report, checks: impl Iterator<Item = &'a Check>) -> Vec<Unmeasured> {
        let why = |it: &'a Metric| match &it.unfit {
            Some(why) => Some(why.as_str()),
            None if it.n == 0 => Some("it is computed from nothing"),
            None => it.value.is_nan().then_some("the metric is not a number"),
        };
        let metrics = report.metrics.iter().filter(|it| it.role == MetricRole::Candidate);
        let metrics = metrics.filter_map(|it| Some((&it.labels, it.name.as_str(), why(it)?)));
        // Those two are no metrics, and what there is to compare with later is measured all the same.
        let is_of_metric = |it: &Check| {
            !matches!(it.metric.as_str(), "findings" | "requirements") && it.message != decide::NO_BASELINE_YET
        };
        let measured: BTreeSet<(&str, &Labels)> = report
            .metrics
            .iter()
            .filter(|&it| it.role == MetricRole::Candidate && why(it).is_none())
            .map(|it| (it.name.as_str(), &it.labels))
            .collect();
        let is_measured = |it: &Check| it.observed.is_some() || measured.contains(&(it.metric.as_str(), &it.labels));
        let checks = checks.filter(|it| it.status == Status::NotChecked && is_of_metric(it) && !is_measured(it));
        let checks = checks.map(|it| (&it.labels, it.metric.as_str(), it.message.as_str()));
        let mut found = BTreeMap::<(&Labels, &str), BTreeSet<&str>>::new();
        for (labels, name, why) in metrics.chain(checks) {
            found.entry((labels, why)).or_default().insert(name);
        }
        let of = |((labels, why), names): ((&Labels, &str), BTreeSet<&str>)| Unmeasured {
            labels: labels.clone(),
            metrics: names.into_iter().map(str::to_owned).collect(),
            why: why.to_owned(),
        };
        found.into_iter().map(of).collect()
    }
}

/// Something that was to be looked at and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapRecord {
    /// The probe, or `run`.
    pub probe: String,
    /// What was not covered.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Where the time of a run went, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// When the run started: RFC 3339, UTC.
    pub started: String,
    /// The whole run.
    pub total: f64,
    /// Its phases, summed over threads for those that are parallel.
    pub phases: BTreeMap<String, f64>,
    /// The probes, summed over threads.
    pub probes: BTreeMap<String, f64>,
}

/// Returns the JSON Schema of [`RunRecord`].
pub fn schema() -> Value {
    // As records are written: what has a default is there, too, and nothing that is not listed.
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(close));
    settings.into_generator().into_root_schema_for::<RunRecord>().to_value()
}

/// Lets an object have no other keys than those that it lists.
fn close(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_told_by_what_it_is_of_and_why() {
        let of = |name: &str, slice: &str, n: u64| Metric::new(name, 0.5).n(n).label("slice", slice);
        let few = Some("it has 3 rows".to_owned());
        let metrics = vec![
            Metric::new("accuracy", 0.5).n(100),
            of("accuracy", "a", 97),
            of("f1", "b", 3).unfit(few.clone()),
            of("accuracy", "b", 3).unfit(few.clone()),
            of("accuracy", "b", 3).unfit(few).role(MetricRole::Baseline),
            Metric::new("map", f64::NAN).n(100),
            Metric::new("max_absolute_error", 0.0).label("output", "y"),
        ];
        let report = Report { metrics, ..Report::default() };
        let mut absent = Check::not_checked("accuracy", ">= 0.9", "no labeled row is in it");
        absent.labels.insert("slice".to_owned(), "c".to_owned());
        let mut few = Check::not_checked("accuracy", ">= 0.9", "it has 3 rows");
        few.labels.insert("slice".to_owned(), "b".to_owned());
        let passed = Check { status: Status::Pass, ..absent.clone() };
        let unasked = Check::not_checked("requirements", "something is asked", "nothing is asked of it");
        // What is measured, and what has a value that is held against something.
        let clause = Check::not_checked("accuracy", "as the contract says", "the contract says nothing of it");
        let compared = Check::not_checked("f1", ">= baseline", decide::NO_BASELINE_YET);
        let unsure = Check { observed: Some(0.5), ..Check::not_checked("recall", ">= 0.9", "it is not sure") };
        let checks = [&absent, &few, &passed, &unasked, &clause, &compared, &unsure];
        let found = ProbeCoverage::unmeasured_by(&report, checks.into_iter());
        let told = |it: &Unmeasured| {
            let labels: Vec<String> = it.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{} of {}: {}", it.metrics.join(", "), labels.join(", "), it.why)
        };
        let told: Vec<String> = found.iter().map(told).collect();
        let expected = [
            "map of : the metric is not a number",
            "max_absolute_error of output=y: it is computed from nothing",
            "accuracy, f1 of slice=b: it has 3 rows",
            "accuracy of slice=c: no labeled row is in it",
        ];
        assert_eq!(told, expected);
    }
}
