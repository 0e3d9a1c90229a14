//! The analyzer itself: detectors that look at the rows one after the other.

use modelwatch_sdk::{
    Analyzer, Error, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds,
    rows::Mention,
    state::{Reader, Writer, damaged},
};

use crate::{
    codes::CODES,
    config::{Config, Order, Watch},
    read::read,
    report, report_metrics,
    rows::Key,
    seen::Seen,
    track::{Rules, Track},
};

const STATE_VERSION: u8 = 7;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Stream>()
}

/// Says when columns, predictions or errors changed.
#[derive(Clone, Debug)]
pub struct Stream {
    rules: Rules,
    seen: Seen,
}

impl Analyzer for Stream {
    const NAME: &'static str = "stream";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        Needs { current: Some(RowNeeds::default()), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        Ok(Self { rules: Rules { settings: config.detector_settings()?, config }, seen: Seen::default() })
    }
}

impl Probe for Stream {
    fn needs(&self) -> Needs {
        let config = &self.rules.config;
        let required = |is_wanted: bool| if is_wanted { Need::Required } else { Need::No };
        let watches_columns = config.watches(Watch::Columns);
        let selection = config.selection();
        let has_patterns = config.columns.is_empty() || selection.named().count() < config.columns.len();
        let named = selection.named().chain(&config.prediction).cloned();
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
            slices: !config.slices.is_empty(),
            predictions: required(config.needs_outputs()),
            ..RowNeeds::default()
        };
        let metrics = report_metrics::known(config).collect();
        let selection = watches_columns.then(|| selection.into());
        let output = Mention::output(config.output.as_ref());
        let slices = Mention::slices(&config.slices);
        let mentions = output.into_iter().chain(slices).collect();
        Needs { current: Some(rows), in_order: true, selection, mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let rows = read(&self.rules.config, batch, self.seen.n)?;
        self.seen.add(&self.rules, &rows)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.seen.write(&mut writer);
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader(state);
        let version = reader.u8()?;
        if version != STATE_VERSION {
            return Err(damaged(format!("it has version {version}, expected {STATE_VERSION}")));
        }
        let seen = Seen::read(&self.rules, &mut reader)?;
        reader.finish()?;
        if seen.n == 0 {
            return Ok(());
        }
        if self.seen.n > 0 {
            return Err(Error::input("detectors look at one value after the other, so that their states do not merge")
                .with_help("show all rows to one instance, in their order"));
        }
        self.seen = seen;
        Ok(())
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        let (slices, tracks) = self.seen.ended(&self.rules);
        let course = |(key, track): (Key, Track)| {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let course = track.course(&self.rules, &key);
            Ok(course.of_rows(key.slice.as_ref().and_then(|it| slices.n_rows.get(it)).copied(), &self.rules.config))
        };
        let courses = tracks.map(course).collect::<Result<Vec<_>>>()?;
        Ok(report::write(&self.rules, &self.seen, &slices, &courses))
    }
}
