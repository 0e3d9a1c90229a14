//! The columns of chunks and slices, each judged like those of all rows.
//!
//! Only what is said of single columns is said of them: repeated rows, leakage and pairs of columns are a matter of all rows.

use modelwatch_sdk::{
    Host, RecordBatch, Report, Result, Role,
    cells::{self, Across, Along, Cells, Cutting, Fold},
    report::{Figure, FigureData, Finding, Gap},
    state::{Reader, Writer},
};

use crate::{
    context::Context,
    profile::{Profile, is_kept},
    settings::Settings,
    values,
    weighed::Footing,
};

/// The most columns of the picture over time, as many as are drawn.
const MAX_COLUMNS: usize = 30;

/// The columns of both roles, cut into chunks and slices.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    cutting: Cutting,
    reference: Cells<Profile>,
    current: Cells<Profile>,
}

/// What is kept of the rows of a chunk or slice: their columns.
struct Columns<'a>(&'a Settings);

impl Fold for Columns<'_> {
    type State = Profile;

    fn empty(&self) -> Profile {
        Profile::of_columns(self.0)
    }

    fn update(&self, state: &mut Profile, batch: &RecordBatch) -> Result<()> {
        state.update(self.0, batch)
    }

    fn merge(&self, state: &mut Profile, other: Profile) -> Result<()> {
        state.merge(other)
    }

    fn write(&self, state: &Profile, writer: &mut Writer) -> Result<()> {
        state.write(writer);
        Ok(())
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Profile> {
        Ok(Profile::read(self.0, reader)?.without_rows())
    }

    fn rows(&self, state: &Profile) -> u64 {
        state.rows()
    }

    fn n_columns(&self, state: &Profile) -> usize {
        state.columns().len()
    }

    fn n_columns_of(&self, batch: &RecordBatch) -> Result<usize> {
        Ok(batch.schema_ref().fields().iter().filter(|it| is_kept(self.0, it)).count())
    }
}

impl Parts {
    /// Returns the parts that the options ask for; none where they ask for none.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub(crate) fn new(settings: &Settings) -> Result<Option<Self>> {
        let cutting = Cutting::new(settings.config.cutting())?;
        let parts = Self { cutting, reference: Cells::default(), current: Cells::default() };
        Ok((!parts.cutting.is_whole()).then_some(parts))
    }

    pub(crate) fn cutting(&self) -> &Cutting {
        &self.cutting
    }

    pub(crate) fn update(&mut self, settings: &Settings, role: Role, batch: &RecordBatch) -> Result<()> {
        let cells = match role {
            Role::Reference => &mut self.reference,
            Role::Current => &mut self.current,
        };
        cells.update(&Columns(settings), &self.cutting, role, batch)
    }

    pub(crate) fn write(&self, settings: &Settings, writer: &mut Writer) -> Result<()> {
        [&self.reference, &self.current].into_iter().try_for_each(|it| it.write(&Columns(settings), writer))
    }

    /// Takes what [`Parts::write`] wrote.
    pub(crate) fn read(&self, settings: &Settings, reader: &mut Reader<'_>) -> Result<Self> {
        let mut read = |role| Cells::read(&Columns(settings), &self.cutting, role, reader);
        Ok(Self { cutting: self.cutting.clone(), reference: read(Role::Reference)?, current: read(Role::Current)? })
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, settings: &Settings, other: Self) -> Result<()> {
        self.reference.merge(&Columns(settings), &self.cutting, other.reference)?;
        self.current.merge(&Columns(settings), &self.cutting, other.current)
    }

    /// Returns what is to be said of every chunk and slice; nothing of all rows, where these are one.
    ///
    /// A chunk whose window is empty or too small is judged alone.
    pub(crate) fn report(&self, settings: &Settings, footing: Footing, host: &dyn Host) -> Result<Report> {
        let roles = [&self.reference, &self.current];
        let has_reference = self.reference.rows() > 0 || self.cutting.looks_back();
        let parts = Some(self.current.keys().count());
        let mut series = cells::series(&Columns(settings), &self.cutting, host, roles, |window, current| {
            if current.counts_nothing(footing) {
                return Ok(Err("its rows weigh nothing".to_owned()));
            }
            let mut report = Report::default();
            let window = window.and_then(|it| match it.counts_nothing(footing) {
                true => Err("it is compared with rows that weigh nothing".to_owned()),
                false => Ok(it),
            });
            let reference = window.as_ref().ok().copied();
            values::judge(&Context { host, settings, reference, current, footing, parts }, &mut report);
            if let Some(why) = window.err().filter(|_| has_reference) {
                report.gaps.push(Gap::new("what is usual", format!("it was judged alone: {why}")));
            }
            Ok(Ok(report))
        })?;
        series.retain(|it| it.slice.is_some() || self.cutting.period.is_some());
        for it in &mut series {
            let Some(slice) = &it.slice else { continue };
            // The column that makes the slice is the same in all of its rows.
            let own = roles.iter().find_map(|it| it.column_of(slice));
            let is_own = |column: &str| own == Some(column);
            for report in it.units.iter_mut().filter_map(|it| it.outcome.as_mut().ok()) {
                report.metrics.retain(|it| !it.labels.get("column").is_some_and(|it| is_own(it)));
                report.findings.retain(|it| !is_own(&it.place));
            }
        }
        let mut res = cells::report(&self.cutting, roles, &series, |_| true, size);
        let missing: Vec<Figure> =
            [Along::Chunks, Along::Slices].into_iter().filter_map(|it| missing(&res, it)).collect();
        res.figures.extend(missing);
        Ok(res)
    }
}

/// Returns how large a finding is next to the same in other chunks: by the share of the rows that it is about, or their number.
fn size(finding: &Finding) -> f64 {
    let number = |key: &str| finding.evidence.get(key).and_then(|it| it.as_f64());
    let beyond = || Some(number("below")? + number("above")?);
    ["share", "count"].into_iter().find_map(number).or_else(beyond).unwrap_or_default()
}

/// Returns the shares of missing values of each column along chunks or slices, where any is missing.
fn missing(report: &Report, along: Along) -> Option<Figure> {
    let Across { columns, label, mut rows, left_out: others } = cells::across(report, "missing_share", "column", along);
    let greatest = |it: &(String, Vec<f64>)| it.1.iter().copied().fold(0.0, f64::max);
    rows.retain(|it| greatest(it) > 0.0);
    if rows.is_empty() || columns.len() < 2 {
        return None;
    }
    // The sort is stable, so that equal columns stay in the order of their names.
    rows.sort_by(|left, right| greatest(right).total_cmp(&greatest(left)));
    let left_out = rows.len().saturating_sub(MAX_COLUMNS);
    rows.truncate(MAX_COLUMNS);
    let caption = match left_out {
        0 => format!("Columns of which nothing is missing are left out.{others}"),
        n => format!("{n} columns of which less is missing, and those of which nothing is, are left out.{others}"),
    };
    let (names, values) = rows.into_iter().unzip();
    Some(Figure {
        title: format!("Missing values {}", along.words()),
        caption,
        data: FigureData::HeatMap { y_label: String::new(), x_label: label, rows: names, columns, values },
    })
}
