//! The analyzer itself: two profiles, merged and then judged.

use modelwatch_sdk::{
    Analyzer, FindingCode, Host, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds, cells,
    report::Gap,
    rows::{Mention, Use, profiled_rows},
    state::{Reader, Writer, damaged},
};

use crate::{
    codes::CODES,
    config::Config,
    context::{self, Context},
    figures, label, leakage, outlier_rows, pairs,
    parts::Parts,
    profile::Profile,
    repeated, schema,
    settings::Settings,
    table, values,
    weighed::Footing,
};

const STATE_VERSION: u8 = 7;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Quality>()
}

/// Looks for what is wrong with data.
#[derive(Clone, Debug)]
pub struct Quality {
    settings: Settings,
    reference: Profile,
    current: Profile,
    /// Chunks and slices, where there are any.
    parts: Option<Parts>,
}

impl Analyzer for Quality {
    const NAME: &'static str = "quality";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn always_needs() -> Needs {
        Needs { current: Some(RowNeeds::default()), ..Needs::default() }
    }

    fn open(config: Config) -> Result<Self> {
        let settings = Settings::new(config)?;
        let (reference, current) = (Profile::new(&settings), Profile::new(&settings));
        Ok(Self { parts: Parts::new(&settings)?, reference, current, settings })
    }
}

impl Quality {
    /// Returns how rows count, and what of that is to be told.
    ///
    /// It is decided once: a share by weight is not held against one of rows.
    fn footing(&self) -> (Footing, Option<Gap>) {
        let roles = [(Role::Reference, &self.reference), (Role::Current, &self.current)];
        let name = roles.iter().find_map(|it| it.1.column_for(Use::Weight)).map(|it| it.0);
        let Some(name) = name else { return (Footing::Count, None) };
        if !self.settings.config.weights {
            let why = format!("every row counts once, whatever its weight in `{name}`");
            return (Footing::Count, Some(Gap::new("row weights", why)));
        }
        if self.reference.is_stored() {
            let why = "every row counts once, as the stored profile of the reference counts them";
            return (Footing::Count, Some(Gap::new("row weights", why)));
        }
        for (role, profile) in roles {
            let role = role.as_str();
            let why = if !profile.has_weights() {
                format!("not all {role} rows have a weight in `{name}` that is missing or from 0 to 65536")
            } else if profile.weighs_too_little() {
                format!(
                    "the weights of the {role} rows in `{name}` are below 1/4096 on average, to which they are rounded: divide all by their mean"
                )
            } else if profile.counts_nothing(Footing::Weight) {
                format!("all {role} rows have a weight of 0 in `{name}`")
            } else {
                continue;
            };
            return (Footing::Count, Some(Gap::new("row weights", format!("every row counts once, as {why}"))));
        }
        let rest = format!(
            "numbers of rows, ranges, quantiles, texts, outliers, repeated rows, conflicting labels, freshness and leakage count every row once, whatever its weight in `{name}`"
        );
        (Footing::Weight, Some(Gap::new("row weights, in part", rest)))
    }
}

impl Quality {
    /// Returns what needs the rows of a reference of which there is a stored profile.
    fn beyond_profile(&self) -> impl Iterator<Item = Gap> {
        let rest = "the stored profile has counts, types, ranges, categories and times; what texts look like, rows and identifiers that both roles have, repeated rows and columns, outlier rows and predictive power are those of the current rows alone";
        let parts = "every one is judged alone, as the stored profile of the reference is of all its rows together";
        let of_parts = self.parts.is_some().then(|| Gap::new("chunks and slices, what is usual", parts));
        std::iter::once(Gap::new("the reference data, in part", rest)).chain(of_parts)
    }
}

impl Probe for Quality {
    fn needs(&self) -> Needs {
        let rows = RowNeeds {
            features: true,
            label: Need::Optional,
            id: Need::Optional,
            weight: Need::Optional,
            slices: !self.settings.config.slices.is_empty(),
            ..RowNeeds::default()
        };
        let timestamp = |role| {
            let is_cut = self.parts.as_ref().is_some_and(|it| it.cutting().period_of(role).is_some());
            if is_cut { Need::Required } else { Need::Optional }
        };
        let reference = RowNeeds {
            optional: true,
            timestamp: timestamp(Role::Reference),
            // It does not know the types of columns, and is of all rows together.
            profile: !self.settings.has_types() && timestamp(Role::Reference) != Need::Required,
            ..rows.clone()
        };
        let current = RowNeeds { timestamp: timestamp(Role::Current), ..rows };
        let of_parts = self.parts.as_ref().map(|it| cells::known(it.cutting(), context::known_of_columns()));
        let metrics = context::known(&self.settings.config).chain(of_parts.into_iter().flatten()).collect();
        let slices = Mention::slices(&self.settings.config.slices);
        let mentions = self.settings.mentions().chain(slices).collect();
        Needs { current: Some(current), reference: Some(reference), mentions, metrics, ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, role: Role, batch: &RecordBatch) -> Result<()> {
        if let Some(rows) = batch.schema_ref().fields().iter().find_map(|it| profiled_rows(it)) {
            return self.reference.update_stored(&self.settings, batch, rows);
        }
        if let Some(parts) = &mut self.parts {
            parts.update(&self.settings, role, batch)?;
        }
        match role {
            Role::Reference => self.reference.update(&self.settings, batch),
            Role::Current => self.current.update(&self.settings, batch),
        }
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let mut writer = Writer(vec![STATE_VERSION]);
        self.reference.write(&mut writer);
        self.current.write(&mut writer);
        if let Some(parts) = &self.parts {
            parts.write(&self.settings, &mut writer)?;
        }
        Ok(writer.0)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let mut reader = Reader(state);
        match reader.u8()? {
            STATE_VERSION => {}
            other => return Err(damaged(format!("it has version {other}, expected {STATE_VERSION}"))),
        }
        let reference = Profile::read(&self.settings, &mut reader)?;
        let current = Profile::read(&self.settings, &mut reader)?;
        let parts = self.parts.as_ref().map(|it| it.read(&self.settings, &mut reader)).transpose()?;
        reader.finish()?;
        if let (Some(mine), Some(parts)) = (&mut self.parts, parts) {
            mine.merge(&self.settings, parts)?;
        }
        self.reference.merge(reference)?;
        self.current.merge(current)
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let has_reference = self.reference.rows() > 0;
        let (footing, of_weights) = self.footing();
        let context = Context {
            host,
            settings: &self.settings,
            reference: has_reference.then_some(&self.reference),
            current: &self.current,
            footing,
            parts: None,
        };
        let mut report = Report::default();
        if self.current.rows() == 0 {
            report.gaps.push(Gap::new("quality", "there are no current rows"));
        }
        table::volume(&context, &mut report);
        // Without a batch it is not known which columns there are.
        if self.current.columns().is_empty() {
            return Ok(report);
        }
        schema::judge(&context, &mut report);
        if self.current.rows() == 0 {
            return Ok(report);
        }
        report.gaps.extend(of_weights);
        if self.reference.is_stored() {
            report.gaps.extend(self.beyond_profile());
        }
        let unmatched = self.settings.unmatched(self.current.columns().keys().map(String::as_str));
        report
            .gaps
            .extend(unmatched.into_iter().map(|it| Gap::new(format!("columns `{it}`"), "there is no such column")));
        table::freshness(&context, &mut report);
        values::judge(&context, &mut report);
        repeated::rows(&context, &mut report);
        repeated::columns(&context, &mut report);
        label::judge(&context, &mut report);
        leakage::judge(&context, &mut report);
        pairs::judge(&context, &mut report)?;
        outlier_rows::judge(&context, &mut report)?;
        report.figures.splice(0..0, figures::of_columns(&context));
        if let Some(parts) = &self.parts {
            let of_parts = parts.report(&self.settings, footing, host)?;
            report.metrics.extend(of_parts.metrics);
            report.checks.extend(of_parts.checks);
            report.findings.extend(of_parts.findings);
            report.gaps.extend(of_parts.gaps);
            report.figures.extend(of_parts.figures);
        }
        Ok(report)
    }
}
