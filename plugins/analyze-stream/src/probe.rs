//! The analyzer itself: rows that are kept, and detectors that look at them in their order.

use modelwatch_sdk::{
    Analyzer, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds,
    state::{Reader, Writer, damaged},
};

use crate::{
    codes::CODES,
    config::{Config, Order, Watch},
    course::{Course, follow},
    read::read,
    report, report_metrics,
    rows::Rows,
    select::named_columns,
};

const STATE_VERSION: u8 = 1;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Stream>()
}

/// Says when columns, predictions or errors changed.
#[derive(Clone, Debug)]
pub struct Stream {
    config: Config,
    rows: Rows,
}

impl Analyzer for Stream {
    const NAME: &'static str = "stream";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config: config.validated()?, rows: Rows::default() })
    }
}

impl Probe for Stream {
    fn needs(&self) -> Needs {
        let config = &self.config;
        let required = |is_wanted: bool| if is_wanted { Need::Required } else { Need::No };
        let watches_columns = config.watches(Watch::Columns);
        let has_patterns = config.columns.is_empty() || config.columns.iter().any(|it| it.contains('*'));
        let named = named_columns(config).chain(&config.prediction).cloned();
        let rows = RowNeeds {
            features: watches_columns && has_patterns,
            columns: named.collect(),
            label: required(config.needs_labels()),
            id: if config.ids { Need::Optional } else { Need::No },
            timestamp: match config.order {
                Order::Auto => Need::Optional,
                Order::Time => Need::Required,
                Order::Rows => Need::No,
            },
            predictions: required(config.needs_outputs()),
            ..RowNeeds::default()
        };
        Needs { current: Some(rows), metrics: report_metrics::known().collect(), ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        self.rows.append(read(&self.config, batch)?, self.config.max_bytes)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.rows.write(&mut writer);
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader(state);
        let version = reader.u8()?;
        if version != STATE_VERSION {
            return Err(damaged(format!("it has version {version}, expected {STATE_VERSION}")));
        }
        let rows = Rows::read(&mut reader)?;
        reader.finish()?;
        self.rows.append(rows, self.config.max_bytes)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        let settings = self.config.detector_settings()?;
        let order = if self.rows.streams.is_empty() { Vec::new() } else { self.rows.order() };
        let streams = self.rows.streams.iter();
        let courses: Vec<Course> =
            streams.map(|it| follow(&self.config, &settings, host, it, &order)).collect::<Result<_>>()?;
        Ok(report::write(&self.config, &self.rows, order.len(), &courses))
    }
}
