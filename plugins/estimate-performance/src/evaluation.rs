//! The estimates: of all current rows, and chunk by chunk beside what the reference lets expect.

use modelwatch_sdk::{
    Error, Host, Result,
    chunks::{Chunk, cut},
};

use crate::{
    classifier::ClassCalibration,
    config::{Config, Limits},
    confusion::{Confusion, confusion},
    estimator::{Estimator, Judged, Sample},
    metric::Metric,
    rows::Rows,
};

/// How many standard errors an estimate is uncertain by, and a realized metric may be from its estimate.
pub(crate) const BAND: f64 = 3.0;

/// Everything that can be said.
pub(crate) struct Evaluation {
    pub(crate) calibrations: Vec<ClassCalibration>,
    pub(crate) metrics: Vec<Assessment>,
    /// Of all rows together; none but of several classes.
    pub(crate) confusion: Option<Confusion>,
    pub(crate) chunks: Vec<ChunkSize>,
    /// Current rows whose scores or prediction cannot be used.
    pub(crate) n_unusable: u64,
}

/// A chunk of the current rows.
pub(crate) struct ChunkSize {
    pub(crate) name: String,
    /// The rows that could be used.
    pub(crate) n_rows: u64,
    pub(crate) is_small: bool,
}

/// A metric of the current rows.
pub(crate) struct Assessment {
    pub(crate) metric: Metric,
    /// Its mean over chunks of the reference.
    pub(crate) reference: Option<f64>,
    /// The limits of chunks that are as large as those of the reference.
    pub(crate) limits: Limits,
    /// Of all rows together.
    pub(crate) overall: Estimate,
    /// Of each chunk.
    pub(crate) chunks: Vec<Estimate>,
}

/// A metric of some rows.
pub(crate) struct Estimate {
    /// None where the metric does not exist.
    pub(crate) value: Option<f64>,
    /// What the value is held against.
    pub(crate) limits: Limits,
    /// The standard error of what labels will give.
    pub(crate) error: f64,
    pub(crate) n_rows: u64,
    /// What labels gave; none where there are none.
    pub(crate) realized: Option<f64>,
    /// The standard error of the same metric over the labeled rows.
    pub(crate) realized_error: f64,
    pub(crate) n_labeled: u64,
}

impl Estimate {
    /// Returns whether labels gave something else than the estimate, beyond what samples differ by.
    pub(crate) fn is_refuted(&self) -> bool {
        match (self.value, self.realized) {
            (Some(value), Some(realized)) => (value - realized).abs() > BAND * self.realized_error.max(self.error),
            _ => false,
        }
    }
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
    let reference_samples: Vec<Sample> = cut(config.chunks_of(reference.len()), reference.len(), &reference.seconds.0)
        .iter()
        .map(|it| judged_reference.labeled(&it.rows))
        // The last of the chunks by size may be too small for its metrics to say how these spread.
        .filter(|it| it.n_rows() >= config.min_chunk_rows)
        .collect();
    let chunks = cut(config.chunks_of(current.len()), current.len(), &current.seconds.0);
    let all = Chunk { name: "all".to_owned(), rows: (0..current.len()).collect() };
    let overall = Samples::of(&judged, &all);
    let samples: Vec<Samples> = chunks.iter().map(|it| Samples::of(&judged, it)).collect();
    let mut metrics = Vec::new();
    for metric in Metric::wanted(config) {
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        let usual = Usual::of(config, &estimator, metric, &reference_samples);
        let estimate = |it: &Samples| it.estimate(config, &estimator, metric, &usual);
        metrics.push(Assessment {
            metric,
            reference: usual.mean,
            limits: usual.limits(config, metric, usual.error),
            overall: estimate(&overall),
            chunks: samples.iter().map(estimate).collect(),
        });
    }
    let size = |(chunk, sample): (&Chunk, &Samples)| {
        let n_rows = sample.expected.n_rows();
        ChunkSize { name: chunk.name.clone(), n_rows, is_small: n_rows < config.min_chunk_rows }
    };
    let known = judged_reference.labeled(&(0..reference.len()).collect::<Vec<_>>());
    let calibrations = estimator.into_calibrations();
    let classes = calibrations.iter().map(|it| it.class.clone()).collect();
    Ok(Ok(Evaluation {
        confusion: confusion(config, classes, &known, &overall.expected, &overall.labeled),
        calibrations,
        metrics,
        chunks: chunks.iter().zip(&samples).map(size).collect(),
        n_unusable: current.len() as u64 - overall.expected.n_rows(),
    }))
}

/// Rows with what is expected of them, and those of them that have labels.
struct Samples {
    expected: Sample,
    labeled: Sample,
}

impl Samples {
    fn of(judged: &Judged, chunk: &Chunk) -> Self {
        Self { expected: judged.expected(&chunk.rows), labeled: judged.labeled(&chunk.rows) }
    }

    fn estimate(&self, config: &Config, estimator: &Estimator<'_>, metric: Metric, usual: &Usual) -> Estimate {
        let (n_rows, n_labeled) = (self.expected.n_rows(), self.labeled.n_rows());
        let error = estimator.error(metric, n_rows);
        Estimate {
            value: self.expected.value(metric, config),
            limits: usual.limits(config, metric, error),
            error,
            n_rows,
            realized: self.labeled.value(metric, config),
            // Rows that are harder than the reference vary more than it does.
            realized_error: estimator
                .error(metric, n_labeled)
                .max(self.expected.error(metric, config, n_labeled).unwrap_or(0.0)),
            n_labeled,
        }
    }
}

/// What chunks of the reference gave.
struct Usual {
    mean: Option<f64>,
    /// The standard deviation over them; none where there are fewer than two, which say nothing about how chunks differ.
    deviation: Option<f64>,
    /// The standard error in chunks of that size.
    error: f64,
}

impl Usual {
    fn of(config: &Config, estimator: &Estimator<'_>, metric: Metric, chunks: &[Sample]) -> Self {
        let values: Vec<f64> = chunks.iter().filter_map(|it| it.value(metric, config)).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n;
        let n_rows = chunks.iter().map(Sample::n_rows).sum::<u64>() / (chunks.len() as u64).max(1);
        Self {
            mean: (!values.is_empty()).then_some(mean),
            deviation: (values.len() > 1).then(|| variance.sqrt()),
            error: estimator.error(metric, n_rows),
        }
    }

    /// Returns the limits of a chunk whose metric has that standard error.
    ///
    /// A chunk that is smaller than those of the reference may be further from their mean, by as much as its error is
    /// greater; NannyML would hold it against limits that are too narrow for it.
    fn limits(&self, config: &Config, metric: Metric, error: f64) -> Limits {
        if let Some(it) = config.limits.get(&metric) {
            return *it;
        }
        let (Some(mean), Some(deviation)) = (self.mean, self.deviation) else { return Limits::default() };
        // An error that is not known widens nothing.
        let added = (error.powi(2) - self.error.powi(2)).max(0.0);
        let width = config.deviations * (deviation.powi(2) + added).sqrt();
        Limits { lower: Some(metric.clamped(mean - width)), upper: Some(metric.clamped(mean + width)) }
    }
}
