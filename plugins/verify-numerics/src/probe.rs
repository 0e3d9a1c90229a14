//! The probe: keeps a sample of rows, and has the model run on it node by node at the end.

use modelwatch_sdk::{
    ErrorKind, FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds, Verifier,
    report::Gap, rows, sample::RowSample,
};

use crate::{codes::CODES, config::Config, edges, numbers::Seen, report};

const STATE_VERSION: u8 = 2;

/// The verifier `numerics`.
pub struct Numerics {
    config: Config,
    sample: RowSample,
}

impl Verifier for Numerics {
    const NAME: &'static str = "numerics";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        let rows = RowNeeds { inputs: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(rows), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let sample = RowSample::new(config.limits());
        Ok(Self { config, sample })
    }
}

impl Probe for Numerics {
    fn needs(&self) -> Needs {
        Needs { metrics: report::known(&self.config).collect(), ..Self::always_needs() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if role != Role::Current || batch.num_rows() == 0 {
            return Ok(());
        }
        self.sample.add(&rows::only_inputs(batch, &[ModelRole::Candidate])?)
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
        let mut res = Report::default();
        let rows = self.sample.batch()?.filter(|it| it.num_rows() > 0);
        match &rows {
            Some(rows) => match Seen::on(host, self.config.scope, rows) {
                Ok(it) => {
                    report::data(&mut res, &self.config, &it);
                    res.gaps.extend(it.unseen().map(|why| Gap::new("nodes", why)));
                    res.gaps.extend(report::flushed(&it));
                }
                Err(e) if matches!(e.kind, ErrorKind::Cancelled | ErrorKind::NotFound) => return Err(e),
                Err(e) => report::nothing(&mut res, self.config.scope, &e.message),
            },
            None => report::nothing(&mut res, self.config.scope, "there are no rows"),
        }
        for edge in &self.config.edges {
            let seen = host
                .model(ModelRole::Candidate)
                .and_then(|it| edges::row(*edge, &it, rows.as_ref()))
                .and_then(|it| Seen::on(host, self.config.scope, &it));
            match seen {
                Ok(it) => {
                    report::edge(&mut res, *edge, &it);
                    res.gaps.extend(it.unseen().map(|why| Gap::new(format!("nodes on {} inputs", edge.name()), why)));
                }
                Err(e) if e.kind == ErrorKind::Cancelled => return Err(e),
                Err(e) => report::unknown_edge(&mut res, self.config.scope, *edge, &e.message),
            }
        }
        Ok(res)
    }
}
