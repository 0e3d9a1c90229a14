//! The analyzer itself: two profiles, merged and then compared.

use modelwatch_profile::Profile;
use modelwatch_sdk::{
    Analyzer, Error, ErrorKind, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role,
    RowNeeds,
    state::{Reader, Writer},
};

use crate::{codes::CODES, config::Config, decision::decide, report, select::named_columns, side};

const STATE_VERSION: u8 = 3;

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
        let reference = RowNeeds { profile: true, ..rows.clone() };
        Needs { current: Some(rows), reference: Some(reference), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        let side = match role {
            Role::Reference => &mut self.reference,
            Role::Current => &mut self.current,
        };
        side::update(side, &self.config, batch)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.reference.write(&mut writer);
        self.current.write(&mut writer);
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let Some((&STATE_VERSION, rest)) = state.split_first() else {
            let found = state.first().map_or("none".to_owned(), u8::to_string);
            return Err(damaged(&format!("it has version {found}, expected {STATE_VERSION}")));
        };
        let mut reader = Reader(rest);
        let (reference, current) = (Profile::read(&mut reader)?, Profile::read(&mut reader)?);
        if !reader.0.is_empty() {
            return Err(damaged("bytes follow its end"));
        }
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

fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("cannot read the state of the drift analyzer: {why}"))
        .with_help("compute it again from the rows")
}
