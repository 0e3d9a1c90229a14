//! The estimates: of all current rows, and chunk by chunk beside what the reference lets expect.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Error, Host, Result, Role,
    cells::Window,
    chunks::{Chunk, cut},
};
use modelwatch_stats::weights::Mass;

use crate::{
    classifier::ClassCalibration,
    config::{Config, Limits, Rule},
    confusion::{Confusion, confusion},
    estimator::{Estimator, Judged, Sample, Strange},
    limits::{Budget, Gave, Of, Past, Usual},
    metric::Metric,
    rows::Rows,
    scale::Scale,
};

/// How many standard errors an estimate is drawn with, and labels of a slice of the reference may be from what is estimated there.
pub(crate) const BAND: f64 = 3.0;

/// The most chunks of slices that are looked at.
const MAX_SLICE_CHUNKS: usize = 100_000;

/// Everything that can be said.
pub(crate) struct Evaluation {
    pub(crate) calibrations: Vec<ClassCalibration>,
    /// All rows.
    pub(crate) all: Part,
    /// Of all rows together; none but of several classes.
    pub(crate) confusion: Option<Confusion>,
    /// How many rows that count alike those of each role are worth, by Kish; none where they have no weights.
    pub(crate) effective_rows: BTreeMap<Role, Option<f64>>,
    pub(crate) slices: Vec<Slice>,
    /// Scores or predictions of current rows that are there and cannot be used.
    pub(crate) strange: Strange,
    /// By column, how many labeled rows of the reference have a name that too few have.
    pub(crate) rare: BTreeMap<String, u64>,
    /// By column, how many current rows have a name that no row of the reference has.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// How many rows of the reference something was learned from.
    pub(crate) n_learned: u64,
    /// How many standard errors labels may be from an estimate.
    pub(crate) factor: f64,
}

impl Evaluation {
    /// Returns the slices that were looked at.
    pub(crate) fn judged_slices(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.slices.iter().filter_map(|it| Some((it.name.as_str(), it.outcome.as_ref().ok()?)))
    }
}

/// What there is to say of some of the rows.
pub(crate) struct Part {
    pub(crate) metrics: Vec<Assessment>,
    pub(crate) chunks: Vec<ChunkSize>,
    /// How many other chunks there are, which have no row of a slice.
    pub(crate) n_empty: usize,
    /// Current rows whose scores or prediction cannot be used.
    pub(crate) n_unusable: u64,
}

impl Part {
    /// Returns why nothing is decided about its numbers, where it is so.
    pub(crate) fn unfit(&self) -> Option<String> {
        unfit(self.n_unusable)
    }

    /// Returns of how many chunks any estimate was held against anything.
    pub(crate) fn n_judged(&self) -> usize {
        let judged = self.metrics.iter().flat_map(|it| self.judged(it));
        judged.map(|(_, chunk)| chunk.name.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Returns whether any estimate of a chunk was held against anything.
    pub(crate) fn is_judged(&self) -> bool {
        self.n_judged() > 0
    }

    /// Returns the chunks whose estimate of a metric is held against its limits.
    pub(crate) fn judged<'a>(&'a self, it: &'a Assessment) -> impl Iterator<Item = (&'a Estimate, &'a ChunkSize)> {
        let chunks = it.chunks.iter().zip(&self.chunks).filter(|(_, chunk)| !chunk.is_small);
        chunks.filter(|(estimate, _)| it.bias.is_none() && is_held(estimate.limits, estimate.value))
    }
}

fn unfit(n_unusable: u64) -> Option<String> {
    let why = || {
        format!(
            "scores or predictions of {n_unusable} of its rows cannot be used, and how it is with these is not known"
        )
    };
    (n_unusable > 0).then(why)
}

/// A slice of the rows.
pub(crate) struct Slice {
    /// As `column=value`.
    pub(crate) name: String,
    /// What there is to say, or why there is nothing.
    pub(crate) outcome: std::result::Result<Part, String>,
}

/// A chunk of the current rows.
pub(crate) struct ChunkSize {
    pub(crate) name: String,
    /// The rows that could be used.
    pub(crate) n_rows: u64,
    /// How many whole rows that count alike these are worth.
    pub(crate) worth: u64,
    /// Whether that is too few.
    pub(crate) is_small: bool,
    /// Rows whose scores or prediction cannot be used.
    n_unusable: u64,
}

impl ChunkSize {
    /// Returns why nothing is decided about its numbers, where it is so.
    pub(crate) fn unfit(&self) -> Option<String> {
        unfit(self.n_unusable)
    }
}

/// A metric of the current rows.
pub(crate) struct Assessment {
    pub(crate) metric: Metric,
    /// Its mean over chunks of the reference.
    pub(crate) reference: Option<f64>,
    /// The limits of chunks that are as large as those of the reference; none where each chunk has its own.
    pub(crate) limits: Option<Limits>,
    /// Of all rows together.
    pub(crate) overall: Estimate,
    /// Of each chunk.
    pub(crate) chunks: Vec<Estimate>,
    /// How many labeled rows of the reference have no such error.
    pub(crate) n_unlearned: u64,
    /// Where what was learned from all rows does not hold for the slice, so that estimates are not judged.
    pub(crate) bias: Option<Bias>,
}

/// A metric of the reference's rows of a slice, of which what is estimated and what labels gave differ by more than samples do.
#[derive(Clone, Copy)]
pub(crate) struct Bias {
    pub(crate) estimated: f64,
    pub(crate) realized: f64,
}

/// A metric of some rows.
pub(crate) struct Estimate {
    /// None where the metric does not exist.
    pub(crate) value: Option<f64>,
    /// What the value is held against.
    pub(crate) limits: Limits,
    /// What the realized value is held against, which is of those rows alone that have labels.
    pub(crate) realized_limits: Limits,
    /// The mean over the chunks that these limits are from.
    pub(crate) usual: Option<f64>,
    /// The standard error of what labels will give.
    pub(crate) error: f64,
    pub(crate) n_rows: u64,
    /// How many other rows have no such error.
    pub(crate) n_left_out: u64,
    /// What labels gave; none where there are none.
    pub(crate) realized: Option<f64>,
    /// The standard error of the same metric over the labeled rows.
    pub(crate) realized_error: f64,
    /// The standard error of the difference of both: that of the rows, and that of what was learned from the reference.
    pub(crate) difference_error: f64,
    /// The estimate that it is held against: where some rows have no such error, that of the labeled rows alone.
    pub(crate) compared: Option<f64>,
    /// Whether labels gave something else than that estimate, beyond what samples differ by.
    pub(crate) is_refuted: bool,
    pub(crate) n_labeled: u64,
}

impl Estimate {
    /// Returns whether estimate and labels differ by more than the rows do by chance.
    fn is_biased(&self) -> bool {
        match (self.compared, self.realized) {
            (Some(value), Some(realized)) => (value - realized).abs() > BAND * self.realized_error.max(self.error),
            _ => false,
        }
    }
}

/// Returns whether there is a value, and a limit that it is held against.
pub(crate) fn is_held(limits: Limits, value: Option<f64>) -> bool {
    value.is_some() && (limits.lower.is_some() || limits.upper.is_some())
}

/// Returns whether a value is beyond a limit.
pub(crate) fn is_outside(limits: Limits, value: Option<f64>) -> bool {
    let is_below = |it: f64| limits.lower.is_some_and(|limit| it < limit);
    let is_above = |it: f64| limits.upper.is_some_and(|limit| it > limit);
    value.is_some_and(|it| is_below(it) || is_above(it))
}

/// Returns the estimates; the reason where the reference allows for none.
///
/// # Errors
/// When the two roles do not fit each other, or the run is cancelled.
pub(crate) fn evaluate(
    config: &Config,
    host: &dyn Host,
    reference: &Rows,
    current: &Rows,
) -> Result<std::result::Result<Evaluation, String>> {
    if reference.scores.len() != current.scores.len() {
        let (n_reference, n_current) = (reference.scores.len(), current.scores.len());
        let message = format!("reference rows have {n_reference} scores and current rows {n_current}");
        return Err(Error::input(message).with_help("give both roles the outputs of the same model"));
    }
    let (estimator, judged_reference) = match Estimator::fit(config, reference) {
        Ok(it) => it,
        Err(why) => return Ok(Err(why)),
    };
    let judged = estimator.judge(current);
    let [before, now] = [reference, current].map(|it| (0..it.len()).collect::<Vec<_>>());
    let known = judged_reference.labeled(&before);
    let current_side = Side::new(config, &judged, current);
    let sides = Sides {
        config,
        window: config.window()?,
        host,
        estimator: &estimator,
        reference: Side::new(config, &judged_reference, reference),
        budget: budget(config, current, current_side.chunks.len()),
        current: current_side,
        learned_size: known.mass().size(),
    };
    let all = sides.part(&before, &now, None)?;
    let slices = if config.slices.is_empty() { Vec::new() } else { sides.slices(reference, current)? };
    let factor = sides.budget.factor;
    let (rare, unknown) = (estimator.rare(), estimator.unknown(current));
    let calibrations = estimator.into_calibrations();
    let classes = calibrations.iter().map(|it| it.class.clone()).collect();
    let confusion = confusion(config, classes, &known, &judged.expected(&now), &judged.labeled(&now));
    let size = |it: &Rows| it.is_weighted().then(|| it.weights.0.iter().copied().collect::<Mass>().size());
    let effective_rows = [(Role::Reference, size(reference)), (Role::Current, size(current))].into();
    let (strange, n_learned) = (judged.strange(), known.n_rows());
    Ok(Ok(Evaluation {
        calibrations,
        all,
        confusion,
        effective_rows,
        slices,
        strange,
        rare,
        unknown,
        n_learned,
        factor,
    }))
}

/// Returns how far the run may be from what is usual, given how many chunks there are.
///
/// In each chunk, each metric of all rows and of each slice is estimated; where there are labels, what these gave is looked at too, and
/// whether it is what was estimated. Chunks that are too small, and metrics whose limits are given, are counted all the same.
fn budget(config: &Config, current: &Rows, n_chunks: usize) -> Budget {
    let least = config.min_slice_size;
    let n_slices = current.by_slice().values().filter(|it| it.len() as u64 >= least).count();
    let n_sides = if current.labels.0.iter().any(|it| it.is_finite()) { 3 } else { 1 };
    Budget::new(config, Metric::wanted(config).len() * n_chunks * n_sides * (1 + n_slices), n_slices)
}

/// The rows of both roles in their chunks, and what the reference says of them.
struct Sides<'a> {
    config: &'a Config,
    window: Window,
    host: &'a dyn Host,
    estimator: &'a Estimator<'a>,
    reference: Side<'a>,
    current: Side<'a>,
    budget: Budget,
    /// How many rows that count alike the estimator was learned from.
    learned_size: f64,
}

/// The rows of one role.
struct Side<'a> {
    judged: &'a Judged,
    chunks: Vec<Chunk>,
    /// The first second of each chunk, where they are cut by time.
    starts: Vec<Option<i64>>,
    /// The chunk of each row; none where it has no time.
    chunk_of: Vec<Option<usize>>,
}

impl<'a> Side<'a> {
    fn new(config: &Config, judged: &'a Judged, rows: &Rows) -> Self {
        let chunks = cut(config.chunks_of(rows.len()), rows.len(), &rows.seconds.0);
        let mut chunk_of = vec![None; rows.len()];
        for (at, chunk) in chunks.iter().enumerate() {
            chunk.rows.iter().for_each(|row| chunk_of[*row] = Some(at));
        }
        let start = |it: &Chunk| config.period()?.start(*rows.seconds.0.get(*it.rows.first()?)?);
        let starts = chunks.iter().map(start).collect();
        Self { judged, chunks, starts, chunk_of }
    }

    /// Returns which of the rows are in each chunk that has any, in their order.
    fn by_chunk(&self, rows: &[usize]) -> BTreeMap<usize, Vec<usize>> {
        let mut res: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in rows {
            if let Some(at) = self.chunk_of[*row] {
                res.entry(at).or_default().push(*row);
            }
        }
        res
    }
}

/// What slices are judged by beside what is known of all rows.
struct OfSlices<'a> {
    /// The labels of the reference rows.
    labels: &'a [f64],
    /// The reference rows with what is expected of them.
    known: Judged,
}

impl Sides<'_> {
    /// Returns the slices that are in either role.
    fn slices(&self, reference: &Rows, current: &Rows) -> Result<Vec<Slice>> {
        let (before, now) = (reference.by_slice(), current.by_slice());
        let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
        let least = self.config.min_slice_size;
        let rows_of = |places: &'_ Places<'_>, name: &str| places.get(name).cloned().unwrap_or_default();
        let of_slices = OfSlices { labels: &reference.labels.0, known: self.estimator.judge(reference) };
        let mut res = Vec::with_capacity(names.len());
        let mut n_chunks = 0;
        for name in names {
            let rows = rows_of(&now, name);
            let n_rows = rows.len();
            let outcome = if (n_rows as u64) < least {
                Err(format!("it has {n_rows} current rows, fewer than `min_slice_size`, {least}"))
            } else {
                let part = self.part(&rows_of(&before, name), &rows, Some(&of_slices))?;
                n_chunks += part.chunks.len();
                Ok(part)
            };
            if n_chunks > MAX_SLICE_CHUNKS {
                let message = format!("there are more than {MAX_SLICE_CHUNKS} chunks of slices");
                return Err(Error::config("/slices", message)
                    .with_help("cut into fewer chunks with `chunk`, name slice columns with fewer values, or raise `min_slice_size`"));
            }
            res.push(Slice { name: name.to_owned(), outcome });
        }
        Ok(res)
    }

    /// Returns what there is to say of those rows of each role, which are in their order.
    fn part(&self, reference: &[usize], current: &[usize], of_slices: Option<&OfSlices<'_>>) -> Result<Part> {
        let Self { config, window, host, estimator, budget, learned_size, .. } = *self;
        // The last of the chunks by size may be too small for its metrics to say how these spread.
        let is_large = |it: &Sample| it.mass().whole_size() >= config.min_chunk_rows;
        let reference_samples: Vec<(Option<i64>, Sample)> = self
            .reference
            .by_chunk(reference)
            .into_iter()
            .map(|(at, it)| (self.reference.starts[at], self.reference.judged.labeled(&it)))
            .filter(|it| is_large(&it.1))
            .collect();
        let judged = self.current.judged;
        let overall = Samples::of(judged, current);
        let labeled_reference = self.reference.judged.labeled(reference);
        let chunks = self.current.by_chunk(current);
        let samples: Vec<Samples> = chunks.values().map(|it| Samples::of(judged, it)).collect();
        let slice = of_slices.map(|it| {
            let labeled: Vec<usize> = reference.iter().copied().filter(|row| it.labels[*row].is_finite()).collect();
            Samples::of(&it.known, &labeled)
        });
        let learned_size = slice.as_ref().map_or(learned_size, |it| it.labeled.mass().size());
        let ruler = Ruler { config, estimator, window, slice, budget, learned_size };
        let starts: Vec<Option<i64>> = chunks.keys().map(|it| self.current.starts[*it]).collect();
        let mut metrics = Vec::new();
        for metric in Metric::wanted(config) {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let gave = |it: &Sample| Gave { value: it.value(metric, config), size: it.mass().size() };
            let known: Vec<Gave> = reference_samples.iter().map(|it| gave(&it.1)).collect();
            let usual = ruler.usual(metric, &known, &[]);
            let estimate = |it: &Samples| it.estimate(&ruler, metric, &usual);
            let (limits, of_chunks) = if window == Window::Fixed {
                (Some(usual.limits(config, metric, usual.error, usual.size)), samples.iter().map(estimate).collect())
            } else {
                let mut past = Past::new(reference_samples.iter().map(|it| it.0).zip(&known));
                // Of one season chunks are more alike than of all.
                let reference: &[Gave] =
                    if ruler.slice.is_some() || matches!(window, Window::Seasonal(_)) { &[] } else { &known };
                let labeled = starts.iter().zip(&samples).filter(|it| is_large(&it.1.labeled));
                past.add(labeled.map(|(start, it)| (*start, gave(&it.labeled))));
                let estimate = |(start, it): (&Option<i64>, &Samples)| {
                    it.estimate(&ruler, metric, &ruler.usual(metric, &past.before(window, *start), reference))
                };
                let limits = config.limits.get(&metric).copied();
                (limits, starts.iter().zip(&samples).map(estimate).collect())
            };
            metrics.push(Assessment {
                metric,
                reference: usual.mean,
                limits,
                overall: estimate(&overall),
                chunks: of_chunks,
                n_unlearned: labeled_reference.n_rows() - labeled_reference.n_of(metric),
                bias: ruler.slice.as_ref().and_then(|it| bias(&estimate(it))),
            });
        }
        let size = |(at, sample): (&usize, &Samples)| {
            let n_rows = sample.expected.n_rows();
            let name = self.current.chunks[*at].name.clone();
            ChunkSize {
                name,
                n_rows,
                worth: sample.expected.mass().whole_size(),
                is_small: !is_large(&sample.expected),
                n_unusable: chunks[at].len() as u64 - n_rows,
            }
        };
        Ok(Part {
            metrics,
            chunks: chunks.keys().zip(&samples).map(size).collect(),
            n_empty: self.current.chunks.len() - chunks.len(),
            n_unusable: current.len() as u64 - overall.expected.n_rows(),
        })
    }
}

fn bias(reference: &Estimate) -> Option<Bias> {
    let (estimated, realized) = (reference.value?, reference.realized?);
    reference.is_biased().then_some(Bias { estimated, realized })
}

/// The places of the rows of slices, in their order.
type Places<'a> = BTreeMap<&'a str, Vec<usize>>;

/// What estimates of some rows are measured with.
struct Ruler<'a> {
    config: &'a Config,
    estimator: &'a Estimator<'a>,
    window: Window,
    /// The labeled rows of the reference of the slice, where the rows are one.
    slice: Option<Samples>,
    budget: Budget,
    /// How many rows that count alike are known to be as was learned.
    learned_size: f64,
}

impl Ruler<'_> {
    /// Returns what is usual of a metric, given what labels gave in chunks, and in all of the reference that differ as these do.
    fn usual(&self, metric: Metric, chunks: &[Gave], reference: &[Gave]) -> Usual {
        let has_few = self.slice.is_some() || self.window != Window::Fixed;
        let error = |size: f64| self.error_of_reference(metric, size);
        Usual::of(self.config, Of { metric, has_few, reference, budget: self.budget }, chunks, error)
    }

    /// Returns the standard error of a metric over rows of the reference, of the slice where the rows are one, that are worth `size`.
    fn error_of_reference(&self, metric: Metric, size: f64) -> f64 {
        match &self.slice {
            None => self.estimator.error(metric, size),
            Some(it) => self.error(metric, &it.labeled, size),
        }
    }

    /// Returns whether what labels gave is no accident of an estimate with that standard error, of rows that are worth `size`.
    fn refutes(&self, metric: Metric, (value, realized): (f64, f64), error: f64, size: f64) -> bool {
        let scale = match self.config.rule {
            Rule::Budget => Scale::of(metric),
            Rule::Nannyml => Scale::Plain,
        };
        let distance = (scale.place(value) - scale.place(realized)).abs();
        distance > self.budget.factor * scale.error(value, error, size)
    }

    /// Returns the standard error of a metric over rows like these that are worth `size`; NaN where it is not known.
    ///
    /// All rows spread as those of the reference. A slice may be one whose rows vary more than all do.
    fn error(&self, metric: Metric, rows: &Sample, size: f64) -> f64 {
        let own = self.slice.iter().flat_map(|it| [rows, &it.labeled]);
        let learned = self.estimator.error_over(metric, rows, size);
        own.filter_map(|it| it.error(metric, self.config, size)).fold(learned, f64::max)
    }
}

/// Rows with what is expected of them, and those of them that have labels.
struct Samples {
    expected: Sample,
    labeled: Sample,
    /// What is expected of those that have labels; none where every row has every error.
    expected_of_labeled: Option<Sample>,
}

impl Samples {
    fn of(judged: &Judged, rows: &[usize]) -> Self {
        let (expected, labeled) = (judged.expected(rows), judged.labeled(rows));
        let expected_of_labeled = expected.lacks_errors().then(|| judged.expected_of_labeled(rows));
        Self { expected, labeled, expected_of_labeled }
    }

    fn estimate(&self, ruler: &Ruler<'_>, metric: Metric, usual: &Usual) -> Estimate {
        let config = ruler.config;
        let (size, labeled_size) = (self.expected.mass().size(), self.labeled.mass().size());
        let n_left_out = self.expected.n_rows() - self.expected.n_of(metric);
        // With rows left out, there is no telling whether those without a label are as the others.
        let alike = self.expected_of_labeled.as_ref().filter(|_| n_left_out > 0).unwrap_or(&self.expected);
        let error = ruler.error(metric, &self.expected, size);
        let labeled_error = ruler.error(metric, alike, labeled_size);
        // Rows that are harder than the reference vary more than it does.
        let realized_error = labeled_error.max(alike.error(metric, config, labeled_size).unwrap_or(0.0));
        let learned_error = ruler.error_of_reference(metric, ruler.learned_size);
        let difference_error = realized_error.max(error).hypot(learned_error);
        let (value, realized) = (self.expected.value(metric, config), self.labeled.value(metric, config));
        let compared = alike.value(metric, config);
        let both = compared.zip(realized);
        Estimate {
            value,
            limits: usual.limits(config, metric, error, size),
            realized_limits: usual.limits(config, metric, labeled_error, labeled_size),
            usual: usual.mean,
            error,
            n_rows: self.expected.n_of(metric),
            n_left_out,
            realized,
            realized_error,
            difference_error,
            compared,
            is_refuted: both.is_some_and(|it| ruler.refutes(metric, it, difference_error, labeled_size)),
            n_labeled: self.labeled.n_of(metric),
        }
    }
}
