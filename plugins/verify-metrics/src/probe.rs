//! The verifier.

use modelwatch_sdk::{FindingCode, Host, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier};

use crate::{
    codes::CODES,
    config::{Config, Settings},
    evaluate::evaluate,
    known::known,
    read::read,
    state::{self, State},
    training,
};

/// Compares the candidate's outputs with the labels.
pub struct Metrics {
    settings: Settings,
    state: State,
    /// Of the rows that the candidate was trained on, where they are asked for, with how they are read.
    training: Option<(Settings, State)>,
}

impl Verifier for Metrics {
    const NAME: &'static str = "metrics";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let rows = RowNeeds { label: Need::Required, predictions: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let settings = Settings::new(config)?;
        let training = settings.training.then(|| (training::settings(&settings), State::default()));
        Ok(Self { settings, state: State::default(), training })
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
        let reference = self.training.is_some().then(|| RowNeeds {
            label: Need::Required,
            predictions: Need::Required,
            baseline_predictions: Need::Optional,
            weight: Need::Optional,
            ..RowNeeds::default()
        });
        Needs {
            current: Some(rows),
            reference,
            mentions: self.settings.mentions(),
            metrics: known(&self.settings),
            ..Needs::default()
        }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        match (role, &mut self.training) {
            _ if batch.num_rows() == 0 => Ok(()),
            (Role::Current, _) => read(batch, &self.settings, &mut self.state),
            (Role::Reference, Some((settings, state))) => read(batch, settings, state),
            _ => Ok(()),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        // What is appended stays so: when sums begin, and in which order, would else depend on who asks for the state.
        let settled = |state: &mut State| {
            // Counts are written as they would be in order.
            if state.grid.is_some() {
                return state.to_bytes();
            }
            let mut state = state.clone();
            state.settle();
            state.to_bytes()
        };
        let current = settled(&mut self.state)?;
        match &mut self.training {
            Some((_, training)) => Ok(state::pair(&current, &settled(training)?)),
            None => Ok(current),
        }
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut current = state;
        if let Some((settings, training)) = &mut self.training {
            let of_training;
            (current, of_training) = state::unpair(state)?;
            training.merge(of_training, &settings.expected)?;
        }
        self.state.merge(current, &self.settings.expected)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        self.state.settle();
        if let Some((_, training)) = &mut self.training {
            training.settle();
        }
        evaluate(&self.state, self.training.as_ref().map(|it| &it.1), &self.settings, host)
    }
}
