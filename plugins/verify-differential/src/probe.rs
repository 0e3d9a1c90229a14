//! The probe: keeps a sample of rows, and has both models run on it at the end.

use modelwatch_sdk::{
    FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier, rows,
    sample::RowSample,
};

use crate::{
    codes::CODES,
    config::{Config, Inputs},
    excerpts, random,
    ranges::Ranges,
    report,
};

const STATE_VERSION: u8 = 2;
/// Of the state where it is ranges instead of rows.
const RANGES_VERSION: u8 = 3;

/// The verifier `differential`.
pub struct Differential {
    config: Config,
    sample: RowSample,
    ranges: Ranges,
}

impl Verifier for Differential {
    const NAME: &'static str = "differential";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let (inputs, baseline_inputs) = (Need::Required, Need::Required);
        let rows = RowNeeds { optional: true, inputs, baseline_inputs, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let sample = RowSample::new(config.limits());
        Ok(Self { config, sample, ranges: Ranges::default() })
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
        Needs { current: Some(rows), metrics: report::known().collect(), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if role != Role::Current || batch.num_rows() == 0 {
            return Ok(());
        }
        match self.config.inputs {
            Inputs::Random => Ok(()),
            Inputs::DataRange => self.ranges.add(batch),
            Inputs::Data => self.sample.add(&rows::only_inputs(batch, &[ModelRole::Candidate, ModelRole::Baseline])?),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        match self.config.inputs {
            Inputs::DataRange => self.ranges.to_state(RANGES_VERSION),
            _ => self.sample.to_state(STATE_VERSION),
        }
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        match self.config.inputs {
            Inputs::DataRange => self.ranges.merge_state(RANGES_VERSION, bytes),
            _ => self.sample.merge_state(STATE_VERSION, bytes),
        }
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let made_up = |range: &dyn Fn(&str) -> Result<[f64; 2]>| {
            let models = (&host.model(ModelRole::Baseline)?, &host.model(ModelRole::Candidate)?);
            random::rows(&self.config, range, models).map(Some)
        };
        let rows = match self.config.inputs {
            Inputs::Data => self.sample.batch()?,
            Inputs::Random => made_up(&|_| Ok(self.config.range))?,
            Inputs::DataRange if self.ranges.is_empty() => None,
            Inputs::DataRange => made_up(&|input| self.ranges.of(input))?,
        };
        let Some(rows) = rows.filter(|it| it.num_rows() > 0) else {
            return Ok(report::of_nothing("there are no rows"));
        };
        let mut res = report::report(&self.config, &host.compare_nodes(&rows, &self.config.terms())?);
        if self.config.inputs == Inputs::Random {
            let candidate = host.model(ModelRole::Candidate)?;
            res.gaps.extend(random::few_values(self.config.range, &candidate));
        }
        excerpts::add(&mut res, host, &rows);
        Ok(res)
    }
}
