//! The probe: keeps a sample of the rows, and judges the model at the end.

use modelwatch_sdk::{
    ErrorKind, FindingCode, Host, KnownMetric, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role,
    RowNeeds, Verifier,
    about::{ModelDescription, Port},
    report::{Gap, Metric, MetricRole},
    rows,
    sample::{RowSample, SampleLimits},
};

use crate::{
    codes::CODES,
    config::{Config, Mode, PortContract},
    data,
    interface::{Side, breaks, contract_of},
    limits,
    outputs::Outputs,
    runs::{self, ORDERS},
    sheet::{Clause, Sheet},
};

/// The metrics of a model as it is, not of what it answers.
const METRICS: [&str; 3] = ["file_bytes", "parameters", "nodes"];

const STATE_VERSION: u8 = 2;

/// The most bytes of the rows that are kept.
const SAMPLE_BYTES: usize = 64 << 20;

/// The verifier `contract`.
pub struct Contract {
    config: Config,
    sample: RowSample,
}

impl Verifier for Contract {
    const NAME: &'static str = "contract";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;
    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        // One row is kept for its columns where no row is to be run.
        let limits = SampleLimits { rows: config.rows.max(1), bytes: SAMPLE_BYTES, seed: config.seed };
        Ok(Self { config, sample: RowSample::new(limits) })
    }
}

impl Probe for Contract {
    fn needs(&self) -> Needs {
        // Optional: an input that no column makes is a finding, not the end of the probe.
        let baseline_inputs = if self.config.mode == Mode::Baseline { Need::Optional } else { Need::No };
        let rows = RowNeeds { optional: true, inputs: Need::Optional, baseline_inputs, ..RowNeeds::default() };
        Needs { current: Some(rows), metrics: known(&self.config), ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        if role != Role::Current {
            return Ok(());
        }
        self.sample.add(&rows::only_inputs(batch, &[ModelRole::Candidate, ModelRole::Baseline])?)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        self.sample.to_state(STATE_VERSION)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        self.sample.merge_state(STATE_VERSION, bytes)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let model = host.structure(ModelRole::Candidate)?;
        let mut sheet = Sheet::default();
        limits::judge(&mut sheet, &self.config, &model);
        // Of a model that cannot be run, nobody says which columns its inputs are made of.
        let rows = self.sample.batch()?.filter(|_| model.refusal.is_none());
        let is_fed = rows.as_ref().is_none_or(|it| data::judge(&mut sheet, &model, it.schema_ref()));
        if self.config.mlflow {
            data::mlflow(&mut sheet, &model, rows.as_ref().map(|it| it.schema_ref().as_ref()));
        }
        let rows = rows.filter(|it| it.num_rows() > 0 && self.config.rows > 0);
        let outputs = match (&model.refusal, &rows) {
            (Some(why), _) => {
                sheet.failed(Clause::new("runs", "can be run", 0), why.clone());
                None
            }
            (None, Some(it)) if is_fed => runs::judge(&mut sheet, &self.config, host, &model, it)?,
            (None, None) if self.config.rows == 0 => {
                let what = "what the model gives for rows, in batches of any size, any order, again and on threads";
                sheet.report.gaps.push(Gap::new(what, "`rows = 0` leaves it out"));
                None
            }
            (None, not_run) => {
                let clause = Clause::new("produced_outputs", "are as the model declares them", 0);
                let why = if not_run.is_some() {
                    "the data has no columns for some of the model's inputs"
                } else {
                    "there are no rows to run the model on; without data, set `rows = 0`"
                };
                sheet.not_checked(clause, why);
                None
            }
        };
        let given = resolved(&model, outputs.as_ref());
        for (side, expected, ports, name) in [
            (Side::Input, &self.config.inputs, &model.inputs, "inputs"),
            (Side::Output, &self.config.outputs, &given, "outputs"),
        ] {
            let Some(expected) = expected else { continue };
            let clause = Clause::new(name, "are those of the contract", expected.len().max(ports.len()));
            sheet.judge(clause, breaks(side, expected, ports, "the contract"));
        }
        let baseline = host.structure(ModelRole::Baseline);
        if self.config.mode == Mode::Baseline {
            self.against_baseline(&mut sheet, host, (&model, &given), &baseline, rows.as_ref());
        }
        metrics(&mut sheet.report, &model, baseline.as_ref().ok());
        Ok(sheet.report)
    }
}

impl Contract {
    fn against_baseline(
        &self,
        sheet: &mut Sheet,
        host: &dyn Host,
        (model, given): (&ModelDescription, &[Port]),
        baseline: &Result<ModelDescription>,
        rows: Option<&RecordBatch>,
    ) {
        let clause = |name, n| Clause::new(name, "are those of the baseline", n);
        let baseline = match baseline {
            Ok(it) => it,
            Err(e) => {
                let remedy = match e.kind {
                    ErrorKind::NotFound => "; add `[baseline]`, or run this probe `when = \"baseline\"`",
                    _ => "",
                };
                sheet.not_checked(clause("baseline_interface", 0), &format!("{}{remedy}", e.message));
                return;
            }
        };
        let answered = rows.map(|it| host.infer(ModelRole::Baseline, it).and_then(|it| Outputs::of(&it)));
        let (answered, failed) = match answered.transpose() {
            Ok(it) => (it, None),
            Err(e) => (None, Some(e.message)),
        };
        let before: Vec<PortContract> = contract_of(&resolved(baseline, answered.as_ref()));
        let found = breaks(Side::Input, &contract_of(&baseline.inputs), &model.inputs, "the baseline");
        sheet.judge(clause("baseline_inputs", baseline.inputs.len()), found);
        let is_open = baseline.outputs.iter().any(|it| it.shape.iter().skip(1).any(Option::is_none));
        if let Some(why) = failed.filter(|_| is_open) {
            let why = format!("the baseline leaves axes open and cannot be run: {why}");
            sheet.not_checked(clause("baseline_outputs", 0), &why);
            return;
        }
        let found = breaks(Side::Output, &before, given, "the baseline");
        sheet.judge(clause("baseline_outputs", before.len()), found);
    }
}

/// Returns the outputs with what the model leaves open as it is given.
fn resolved(model: &ModelDescription, outputs: Option<&Outputs>) -> Vec<Port> {
    outputs.map_or_else(|| model.outputs.clone(), |it| it.resolve(&model.outputs))
}

/// Returns the metrics that there can be.
fn known(config: &Config) -> Vec<KnownMetric> {
    let mut res: Vec<_> = KnownMetric::all(METRICS, &[]).collect();
    if config.rows == 0 {
        return res;
    }
    res.extend(KnownMetric::all(["repeat_difference"], &[]));
    let mut add = |name: &'static str, label: &'static str, values: Vec<String>| {
        let known = KnownMetric::all((!values.is_empty()).then_some(name), &[label]);
        res.extend(known.map(|it| it.only(label, values.clone())));
    };
    let threads = Some(config.threads).filter(|it| *it > 0);
    add("thread_difference", "threads", threads.iter().map(ToString::to_string).collect());
    add("batch_difference", "batch_size", config.batch_sizes.iter().map(ToString::to_string).collect());
    add("order_difference", "order", ORDERS.map(str::to_owned).to_vec());
    res
}

fn metrics(report: &mut Report, model: &ModelDescription, baseline: Option<&ModelDescription>) {
    let values = |it: &ModelDescription| [it.bytes, it.parameters, it.operators.values().sum()].map(|it| it as f64);
    let before = baseline.map(values);
    for (at, (name, value)) in METRICS.into_iter().zip(values(model)).enumerate() {
        let metric = |role, value: f64| {
            let res = Metric::new(name, value).n(1).role(role);
            if name == "file_bytes" && role != MetricRole::Ratio { res.unit("B") } else { res }
        };
        report.metrics.push(metric(MetricRole::Candidate, value));
        if let Some(before) = before.map(|it| it[at]) {
            report.metrics.push(metric(MetricRole::Baseline, before));
            report.metrics.push(metric(MetricRole::Ratio, value / before));
        }
    }
}
