//! The analyzer itself: the rows of two roles, and what the one says of the other.

use modelwatch_sdk::{
    Analyzer, Error, ErrorKind, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role,
    RowNeeds, rows::Mention, state,
};

use crate::{
    codes::CODES,
    config::{Config, Task},
    evaluation::evaluate,
    read::read,
    report, report_metrics,
    rows::Rows,
};

const STATE_VERSION: u8 = 5;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Performance>()
}

/// Estimates metrics of the model on current rows without labels.
#[derive(Clone, Debug)]
pub struct Performance {
    config: Config,
    reference: Rows,
    current: Rows,
}

impl Analyzer for Performance {
    const NAME: &'static str = "performance";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let reference = RowNeeds { label: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(RowNeeds::default()), reference: Some(reference), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config: config.validated()?, reference: Rows::default(), current: Rows::default() })
    }
}

impl Probe for Performance {
    fn needs(&self) -> Needs {
        let scores = self.config.score_columns();
        let predictions = if scores.is_empty() { Need::Required } else { Need::No };
        let is_by_time = self.config.period().is_some();
        let selection = self.config.selection();
        let is_regression = self.config.task == Task::Regression;
        let columns = scores.into_iter().chain(self.config.called_column()).map(str::to_owned);
        let current = RowNeeds {
            label: Need::Optional,
            timestamp: if is_by_time { Need::Required } else { Need::No },
            features: is_regression,
            columns: columns.chain(selection.named().cloned()).collect(),
            slices: !self.config.slices.is_empty(),
            weight: if self.config.weights { Need::Optional } else { Need::No },
            predictions,
            ..RowNeeds::default()
        };
        let reference = RowNeeds { label: Need::Required, ..current.clone() };
        let metrics = report_metrics::known(&self.config).collect();
        let selection = is_regression.then(|| selection.into());
        let output = Mention::output(self.config.output.as_ref());
        let slices = Mention::slices(&self.config.slices);
        let mentions = output.into_iter().chain(slices).collect();
        Needs { current: Some(current), reference: Some(reference), selection, mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        let rows = read(&self.config, batch)?;
        match role {
            Role::Reference => self.reference.append(rows, self.config.max_rows),
            Role::Current => self.current.append(rows, self.config.max_rows),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        state::encode(STATE_VERSION, &(&self.reference, &self.current))
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let (reference, current): (Rows, Rows) = state::decode(STATE_VERSION, state)?;
        if !reference.is_valid(&self.config) || !current.is_valid(&self.config) {
            return Err(Error::new(ErrorKind::Corrupt, "the state of the performance analyzer contradicts itself")
                .with_help("compute it again from the rows"));
        }
        self.reference.append(reference, self.config.max_rows)?;
        self.current.append(current, self.config.max_rows)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        for (role, rows) in [(Role::Reference, &self.reference), (Role::Current, &self.current)] {
            if rows.len() == 0 {
                let role = role.as_str();
                let why = match rows.n_weightless {
                    0 => format!("there are no {role} rows"),
                    n => format!("the weights of all {n} {role} rows are 0"),
                };
                return Ok(report::nothing(why, Vec::new()));
            }
        }
        Ok(match evaluate(&self.config, host, &self.reference, &self.current)? {
            Ok(evaluation) => report::write(&self.config, host, &self.reference, &self.current, &evaluation),
            Err(why) => report::nothing(why, report::unknown_gaps(&self.reference, &self.current)),
        })
    }
}
