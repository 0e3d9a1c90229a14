//! The analyzer itself: two samples of rows, compared at the end.

use modelwatch_sdk::{
    Analyzer, Error, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds,
    state::{Reader, Writer},
};

use crate::{codes::CODES, config::Config, decision::decide, report, side::Side};

const STATE_VERSION: u8 = 1;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Multivariate>()
}

/// Compares whole rows of the current data with those of the reference.
#[derive(Clone, Debug)]
pub struct Multivariate {
    config: Config,
    reference: Side,
    current: Side,
}

impl Analyzer for Multivariate {
    const NAME: &'static str = "multivariate";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let (reference, current) = (Side::new(&config), Side::new(&config));
        Ok(Self { config, reference, current })
    }
}

impl Probe for Multivariate {
    fn needs(&self) -> Needs {
        let optional = |is_wanted: bool| if is_wanted { Need::Optional } else { Need::No };
        let rows = RowNeeds {
            features: true,
            columns: self.config.selection().named().cloned().collect(),
            label: optional(self.config.label || self.config.calibration),
            predictions: optional(self.config.predictions || self.config.calibration),
            ..RowNeeds::default()
        };
        let metrics = report::known().collect();
        Needs { current: Some(rows.clone()), reference: Some(rows), metrics, ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        match role {
            Role::Reference => self.reference.update(&self.config, batch),
            Role::Current => self.current.update(&self.config, batch),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.reference.write(&mut writer)?;
        self.current.write(&mut writer)?;
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader(state);
        match reader.u8()? {
            STATE_VERSION => {}
            other => {
                return Err(Error::input(format!("the state has version {other}, expected {STATE_VERSION}"))
                    .with_help("compute it again with this version of the plugin"));
            }
        }
        self.reference.merge(&mut reader)?;
        self.current.merge(&mut reader)?;
        reader.finish()
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        let outcome = decide(&self.config, host, &self.reference, &self.current)?;
        Ok(report::write(&self.config, &outcome))
    }
}
