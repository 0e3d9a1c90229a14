//! The analyzer itself: two profiles, or those of all chunks and slices, merged and then compared.

use modelwatch_sdk::{
    Analyzer, Error, ErrorKind, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role,
    RowNeeds,
    cells::{Cells, Cutting},
    rows::{Mention, weigh_too_little},
    state::{Reader, Writer},
};

use crate::{
    budget::Standing,
    codes::CODES,
    config::Config,
    decision::decide,
    report, report_metrics,
    series::{self, Sides},
    side::Kept,
};

const STATE_VERSION: u8 = 9;

/// The version of states of rows that are cut.
const CUT_STATE_VERSION: u8 = 10;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Drift>()
}

/// Compares columns and outputs of the current rows with those of the reference rows.
#[derive(Clone, Debug)]
pub struct Drift {
    config: Config,
    rows: Rows,
}

/// What was seen of both roles.
#[derive(Clone, Debug)]
enum Rows {
    /// All rows of a role are one.
    Whole { reference: Kept, current: Kept },
    /// They are cut into chunks or slices.
    Cut { cutting: Cutting, reference: Cells<Kept>, current: Cells<Kept> },
}

impl Analyzer for Drift {
    const NAME: &'static str = "drift";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        Needs { current: Some(RowNeeds::default()), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let cutting = Cutting::new(config.cutting())?;
        let rows = if cutting.is_whole() {
            Rows::Whole { reference: Kept::default(), current: Kept::default() }
        } else {
            Rows::Cut { cutting, reference: Cells::default(), current: Cells::default() }
        };
        Ok(Self { config, rows })
    }
}

impl Probe for Drift {
    fn needs(&self) -> Needs {
        let predictions = if self.config.predictions { Need::Optional } else { Need::No };
        let selection = self.config.selection();
        let columns = selection.named().cloned().collect();
        let weight = if self.config.weights { Need::Optional } else { Need::No };
        let rows = RowNeeds { features: true, columns, predictions, weight, ..RowNeeds::default() };
        let (current, reference) = match &self.rows {
            Rows::Whole { .. } => (rows.clone(), RowNeeds { profile: !selection.has_types(), ..rows }),
            Rows::Cut { cutting, .. } => {
                let rows = RowNeeds { slices: !cutting.slices.is_empty(), ..rows };
                let timestamp = |role: Role| if cutting.period_of(role).is_some() { Need::Required } else { Need::No };
                let reference = RowNeeds {
                    timestamp: timestamp(Role::Reference),
                    optional: cutting.looks_back(),
                    // It is of all rows together.
                    profile: !rows.slices && !cutting.looks_back() && !selection.has_types(),
                    ..rows.clone()
                };
                (RowNeeds { timestamp: timestamp(Role::Current), ..rows }, reference)
            }
        };
        let cutting = match &self.rows {
            Rows::Whole { .. } => None,
            Rows::Cut { cutting, .. } => Some(cutting),
        };
        let metrics = report_metrics::known(&self.config, cutting);
        let selection = Some(selection.into());
        let slices = Mention::slices(&self.config.slices);
        let mentions = self.config.mentions().chain(slices).collect();
        Needs { current: Some(current), reference: Some(reference), selection, mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        match (&mut self.rows, role) {
            (Rows::Whole { reference: side, .. }, Role::Reference)
            | (Rows::Whole { current: side, .. }, Role::Current) => side.update(&self.config, batch),
            (Rows::Cut { cutting, reference: cells, .. }, Role::Reference)
            | (Rows::Cut { cutting, current: cells, .. }, Role::Current) => {
                cells.update(&self.config, cutting, role, batch)
            }
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![self.version()]);
        match &self.rows {
            Rows::Whole { reference, current } => [reference, current].iter().for_each(|it| it.write(&mut writer)),
            Rows::Cut { reference, current, .. } => {
                reference.write(&self.config, &mut writer)?;
                current.write(&self.config, &mut writer)?;
            }
        }
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let version = self.version();
        let rest = match state.split_first() {
            Some((&it, rest)) if it == version => rest,
            Some((it, _)) => {
                let message = format!("the state of the drift analyzer has version {it}, expected {version}");
                let help = "compute it again from the rows with this version of the plugin";
                return Err(Error::new(ErrorKind::Corrupt, message).with_help(help));
            }
            None => return Err(damaged("it is empty")),
        };
        let mut reader = Reader(rest);
        match &mut self.rows {
            Rows::Whole { reference, current } => {
                let read = (Kept::read(&mut reader)?, Kept::read(&mut reader)?);
                check_end(reader)?;
                reference.merge(read.0)?;
                current.merge(read.1)
            }
            Rows::Cut { cutting, reference, current } => {
                let mut read = |role| Cells::read(&self.config, cutting, role, &mut reader);
                let (before, now) = (read(Role::Reference)?, read(Role::Current)?);
                check_end(reader)?;
                reference.merge(&self.config, cutting, before)?;
                current.merge(&self.config, cutting, now)
            }
        }
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let standing = Standing::of(&self.config, host);
        if let Some(refused) = standing.refused() {
            return Ok(refused);
        }
        self.check_scale()?;
        let mut report = match &self.rows {
            Rows::Whole { reference, current } => {
                let decisions = decide(&self.config, reference, current);
                report::write(&self.config, reference, current, &decisions)
            }
            Rows::Cut { cutting, reference, current } => {
                let sides = Sides { config: &self.config, cutting, reference, current };
                series::write(sides, &series::decide(sides, host)?)
            }
        };
        standing.tell(&mut report);
        Ok(report)
    }
}

impl Drift {
    /// Checks that the weights of neither role are so small that rounding changes them; a chunk of light rows is fine.
    fn check_scale(&self) -> Result<()> {
        let of_cells =
            |it: &Cells<Kept>| -> Vec<(u64, u64)> { it.chunks_of(None).filter_map(|it| it.1.units()).collect() };
        let units: [Vec<(u64, u64)>; 2] = match &self.rows {
            Rows::Whole { reference, current } => [reference, current].map(|it| it.units().into_iter().collect()),
            Rows::Cut { reference, current, .. } => [reference, current].map(of_cells),
        };
        let too_light = |it: &Vec<(u64, u64)>| {
            let sums = it.iter().fold((0u64, 0u64), |sum, it| (sum.0.saturating_add(it.0), sum.1.saturating_add(it.1)));
            weigh_too_little(sums.0, sums.1)
        };
        let Some(role) = [Role::Reference, Role::Current].into_iter().zip(&units).find(|it| too_light(it.1)) else {
            return Ok(());
        };
        let role = role.0.as_str();
        let message = format!("the weights of the {role} rows are below 1/4096 on average, to which they are rounded");
        Err(Error::input(message)
            .with_help("divide all weights by their mean, or count each row once with `weights = false`"))
    }

    fn version(&self) -> u8 {
        match self.rows {
            Rows::Whole { .. } => STATE_VERSION,
            Rows::Cut { .. } => CUT_STATE_VERSION,
        }
    }
}

fn check_end(reader: Reader<'_>) -> Result<()> {
    if reader.0.is_empty() { Ok(()) } else { Err(damaged("bytes follow its end")) }
}

fn damaged(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("cannot read the state of the drift analyzer: {why}"))
        .with_help("compute it again from the rows")
}
