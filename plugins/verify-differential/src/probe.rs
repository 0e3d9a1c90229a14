//! The probe: keeps a sample of rows, and has both models run on it at the end.

use modelwatch_sdk::{
    FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier, rows,
    sample::RowSample,
};

use crate::{
    codes::CODES,
    config::{Config, Inputs},
    random, report,
};

const STATE_VERSION: u8 = 2;

/// The verifier `differential`.
pub struct Differential {
    config: Config,
    sample: RowSample,
}

impl Verifier for Differential {
    const NAME: &'static str = "differential";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;
    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let sample = RowSample::new(config.limits());
        Ok(Self { config, sample })
    }
}

impl Probe for Differential {
    fn needs(&self) -> Needs {
        let rows = RowNeeds {
            optional: self.config.inputs == Inputs::Random,
            inputs: Need::Required,
            baseline_inputs: Need::Required,
            ..RowNeeds::default()
        };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if role != Role::Current || self.config.inputs != Inputs::Data || batch.num_rows() == 0 {
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
        let rows = match self.config.inputs {
            Inputs::Data => self.sample.batch()?,
            Inputs::Random => {
                Some(random::rows(&self.config, &host.model(ModelRole::Baseline)?, &host.model(ModelRole::Candidate)?)?)
            }
        };
        let Some(rows) = rows.filter(|it| it.num_rows() > 0) else {
            return Ok(report::of_nothing("there are no rows"));
        };
        Ok(report::report(&self.config, &host.compare_nodes(&rows, self.config.tolerance())?))
    }
}
