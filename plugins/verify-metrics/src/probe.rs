//! The verifier.

use modelwatch_sdk::{FindingCode, Host, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier};

use crate::{
    codes::CODES,
    config::{Config, Settings},
    evaluate::evaluate,
    measure,
    read::read,
    state::State,
};

/// Compares the candidate's outputs with the labels.
pub struct Metrics {
    settings: Settings,
    state: State,
}

impl Verifier for Metrics {
    const NAME: &'static str = "metrics";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn open(config: Config) -> Result<Self> {
        Ok(Self { settings: Settings::new(config)?, state: State::default() })
    }
}

impl Probe for Metrics {
    fn needs(&self) -> Needs {
        let rows = RowNeeds {
            label: Need::Required,
            predictions: Need::Required,
            baseline_predictions: Need::Optional,
            weight: Need::Optional,
            slices: true,
            columns: self.settings.query.iter().cloned().collect(),
            ..RowNeeds::default()
        };
        let all = measure::names(self.settings.task).iter().map(|it| (*it).to_owned());
        let metrics = all.filter(|it| self.settings.metrics.as_ref().is_none_or(|wanted| wanted.contains(it)));
        Needs { current: Some(rows), metrics: metrics.collect(), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        match role {
            Role::Current if batch.num_rows() > 0 => read(batch, &self.settings, &mut self.state),
            _ => Ok(()),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        self.state.to_bytes()
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        self.state.merge(State::from_bytes(state)?, &self.settings.expected)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        evaluate(&self.state, &self.settings, host)
    }
}
