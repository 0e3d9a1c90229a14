//! The probe: keeps a sample of rows, and has both models run on it at the end.

use modelwatch_sdk::{
    Error, FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier,
    rows, sample::RowSample,
};

use crate::{
    codes::CODES,
    config::{Config, Inputs},
    random, report,
};

const STATE_VERSION: u8 = 1;

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
        let schema = batch.schema();
        let roles = [ModelRole::Candidate, ModelRole::Baseline];
        let is_input = |at: &usize| roles.iter().any(|it| !rows::inputs_of(schema.field(*at), *it).is_empty());
        let places: Vec<_> = (0..schema.fields().len()).filter(is_input).collect();
        self.sample.add(&batch.project(&places).map_err(Error::input)?)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok([&[STATE_VERSION], &*self.sample.to_bytes()?].concat())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((&STATE_VERSION, sample)) = bytes.split_first() else {
            return Err(Error::input("cannot read the state: it is of another version")
                .with_help("compute it again with this version of the plugin"));
        };
        self.sample.merge(RowSample::from_bytes(self.config.limits(), sample)?)
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
