//! The probe: keeps rows to measure with, and measures at the end.

use modelwatch_sdk::{
    FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier,
    report::Gap,
    rows,
    sample::{RowSample, SampleLimits},
};

use crate::{codes::CODES, config::Config, load, measure, report};

const STATE_VERSION: u8 = 2;

/// The most bytes of the rows that are kept.
const SAMPLE_BYTES: usize = 64 << 20;

/// The verifier `latency`.
pub struct Latency {
    config: Config,
    sample: RowSample,
}

impl Verifier for Latency {
    const NAME: &'static str = "latency";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let rows = RowNeeds { inputs: Need::Required, baseline_inputs: Need::Optional, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let limits = SampleLimits { rows: config.rows, bytes: SAMPLE_BYTES, seed: config.seed };
        Ok(Self { config, sample: RowSample::new(limits) })
    }
}

impl Probe for Latency {
    fn needs(&self) -> Needs {
        Needs { metrics: report::known(&self.config).collect(), ..Self::always_needs() }
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
        let rows = self.sample.batch()?.filter(|it| it.num_rows() > 0);
        let Some(rows) = rows else {
            let mut res = Report::default();
            res.gaps.push(Gap::new("latency", "there are no rows to measure with"));
            report::not_measured(&mut res, &self.config, "there are no rows to measure with");
            return Ok(res);
        };
        let candidate = host.model(ModelRole::Candidate)?;
        let mut gaps = Vec::new();
        // A baseline that cannot be run on these rows is not measured; limits that are relative to it say so.
        let baseline = host.model(ModelRole::Baseline).ok();
        let baseline = baseline.filter(|_| match host.infer(ModelRole::Baseline, &rows.slice(0, 1)) {
            Ok(_) => true,
            Err(e) => {
                gaps.push(Gap::new("the baseline's latency", e.message));
                false
            }
        });
        let measured = measure::measure(&self.config, host, &rows, baseline.is_some())?;
        let loads = load::measure(&self.config, host, baseline.is_some())?;
        let mut res = report::report(&self.config, host, (&measured, &loads), (&candidate, baseline.as_ref()));
        res.gaps.extend(gaps);
        res.gaps.extend(report::few_rows(&self.config, rows.num_rows()));
        Ok(res)
    }
}
