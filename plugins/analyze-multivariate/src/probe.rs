//! The analyzer itself: two samples of rows, compared at the end.

use modelwatch_sdk::{
    Analyzer, Error, FindingCode, Host, ModelRole, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role,
    RowNeeds,
    cells::{self, Cells, Cutting},
    rows::{Mention, layers},
    state::{Reader, Writer},
};

use crate::{
    codes::CODES,
    config::Config,
    decision::{ask, correct, dealt, most_questions, n_questions},
    report,
    side::{Sampling, Side},
    table::weighty,
};

const STATE_VERSION: u8 = 5;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Multivariate>()
}

/// Compares whole rows of the current data with those of the reference.
#[derive(Clone, Debug)]
pub struct Multivariate {
    config: Config,
    cutting: Cutting,
    reference: Cells<Side>,
    current: Cells<Side>,
}

impl Analyzer for Multivariate {
    const NAME: &'static str = "multivariate";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        Needs { current: Some(RowNeeds::default()), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let config = config.validated()?;
        let cutting = Cutting::new(config.cutting())?;
        Ok(Self { config, cutting, reference: Cells::default(), current: Cells::default() })
    }
}

impl Probe for Multivariate {
    fn needs(&self) -> Needs {
        let optional = |is_wanted: bool| if is_wanted { Need::Optional } else { Need::No };
        let rows = RowNeeds {
            features: true,
            columns: self.config.selection().named().chain(&self.config.score).cloned().collect(),
            label: optional(self.config.label || self.config.calibration),
            predictions: optional(self.config.score.is_none() && (self.config.predictions || self.config.calibration)),
            slices: !self.config.slices.is_empty(),
            weight: optional(self.config.weights),
            layers: self.config.layer.iter().cloned().collect(),
            ..RowNeeds::default()
        };
        let timestamp = |role: Role| if self.cutting.period_of(role).is_some() { Need::Required } else { Need::No };
        let reference =
            RowNeeds { timestamp: timestamp(Role::Reference), optional: self.cutting.looks_back(), ..rows.clone() };
        let current = RowNeeds { timestamp: timestamp(Role::Current), ..rows };
        let known = report::known(&self.config);
        let metrics = if self.cutting.is_whole() { known } else { cells::known(&self.cutting, known) };
        let selection = Some(self.config.selection().into());
        let mentions = Mention::slices(&self.config.slices).collect();
        Needs { current: Some(current), reference: Some(reference), selection, mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        if self.config.layer.is_some() && layers(batch, ModelRole::Candidate).next().is_none() {
            let help = "name a tensor that has a row for each row of the input, or use a later release of modelwatch";
            return Err(Error::input("the host gives no layer of the model").with_help(help));
        }
        let cells = match role {
            Role::Reference => &mut self.reference,
            Role::Current => &mut self.current,
        };
        cells.update(&Sampling(&self.config), &self.cutting, role, &weighty(&self.config, batch)?)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.reference.write(&Sampling(&self.config), &mut writer)?;
        self.current.write(&Sampling(&self.config), &mut writer)?;
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
        let fold = Sampling(&self.config);
        let mut read = |role| Cells::read(&fold, &self.cutting, role, &mut reader);
        let (reference, current) = (read(Role::Reference)?, read(Role::Current)?);
        reader.finish()?;
        self.reference.merge(&fold, &self.cutting, reference)?;
        self.current.merge(&fold, &self.cutting, current)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        let roles = [&self.reference, &self.current];
        if self.cutting.is_whole() {
            let empty = Side::new(&self.config);
            let [reference, current] = roles.map(|it| it.chunks_of(None).next().map_or(&empty, |it| it.1));
            let config = &dealt(&self.config, n_questions(&self.config, current));
            let mut outcome = ask(config, host, reference, current)?;
            correct(config, [&mut outcome]);
            return Ok(report::write(config, &outcome));
        }
        let Plan { config, is_asked } = self.plan(host)?;
        let (config, mut is_asked) = (&config, is_asked.into_iter());
        let mut series =
            cells::series(&Sampling(config), &self.cutting, host, roles, |window, current| match window {
                Ok(it) if is_asked.next() == Some(true) => ask(config, host, it, current).map(Ok),
                Ok(_) => Ok(Err(too_many(config))),
                Err(why) => Ok(Err(why)),
            })?;
        let units = series.iter_mut().flat_map(|it| &mut it.units);
        correct(config, units.filter_map(|it| it.outcome.as_mut().ok()));
        Ok(report::of_parts(config, &self.cutting, roles, series))
    }
}

/// What is asked of chunks and slices.
struct Plan {
    /// The options, with as many dealings as that takes.
    config: Config,
    /// Of each chunk that can be compared whether it is asked about.
    is_asked: Vec<bool>,
}

impl Multivariate {
    /// Returns what is asked: all rows first, then the slices whose questions can be answered as well.
    fn plan(&self, host: &dyn Host) -> Result<Plan> {
        let roles = [&self.reference, &self.current];
        let counted = cells::series(&Sampling(&self.config), &self.cutting, host, roles, |window, current| {
            Ok(window.map(|_| n_questions(&self.config, current)))
        })?;
        let most = most_questions(&self.config);
        let (mut n, mut is_asked) = (0, Vec::new());
        for it in &counted {
            let n_more: usize = it.judged().map(|it| it.1).sum();
            let fits = n + n_more <= most;
            n += if fits { n_more } else { 0 };
            is_asked.extend(it.judged().map(|_| fits));
        }
        Ok(Plan { config: dealt(&self.config, n), is_asked })
    }
}

fn too_many(config: &Config) -> String {
    let most = most_questions(config);
    format!(
        "{most} questions can be answered to `alpha`, {}, and with these there are more; raise `permutations`",
        config.alpha
    )
}
