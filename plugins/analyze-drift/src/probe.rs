//! The analyzer itself: two profiles, merged and then compared.

use modelwatch_sdk::{
    Analyzer, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds,
};

use crate::{
    codec::{Reader, Writer, damaged},
    codes::CODES,
    config::Config,
    decision::decide,
    profile::Profile,
    report,
    select::named_columns,
};

const STATE_VERSION: u8 = 2;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Drift>()
}

/// Compares columns and outputs of the current rows with those of the reference rows.
#[derive(Clone, Debug)]
pub struct Drift {
    config: Config,
    reference: Profile,
    current: Profile,
}

impl Analyzer for Drift {
    const NAME: &'static str = "drift";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config: config.validated()?, reference: Profile::default(), current: Profile::default() })
    }
}

impl Probe for Drift {
    fn needs(&self) -> Needs {
        let predictions = if self.config.predictions { Need::Optional } else { Need::No };
        let rows =
            RowNeeds { features: true, columns: named_columns(&self.config), predictions, ..RowNeeds::default() };
        Needs { current: Some(rows.clone()), reference: Some(rows), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        match role {
            Role::Reference => self.reference.update(&self.config, batch),
            Role::Current => self.current.update(&self.config, batch),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.reference.write(&mut writer);
        self.current.write(&mut writer);
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader(state);
        match reader.u8()? {
            STATE_VERSION => {}
            other => return Err(damaged(format!("it has version {other}, expected {STATE_VERSION}"))),
        }
        let (reference, current) = (Profile::read(&mut reader)?, Profile::read(&mut reader)?);
        reader.finish()?;
        self.reference.merge(reference)?;
        self.current.merge(current)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let decisions = decide(&self.config, &self.reference, &self.current);
        Ok(report::write(&self.config, &self.reference, &self.current, &decisions))
    }
}
