//! The Poisson bootstrap over the kept rows, and the jackknife in its place.
//!
//! A replicate counts each row as often as a Poisson(1) draw says, the same for both models, so that differences
//! are paired. The draw is a function of the seed, the replicate, the row's content and its number
//! among rows of the same content: neither order nor partitions matter, and no id column is needed.
//!
//! Metrics of classes alone are replicated by [cells](Cells) of equal rows, averages of scores by their [columns](Means); only
//! the others need the sums over all rows anew.

mod biased;
mod replicates;

use modelwatch_sdk::{Host, Result};
use modelwatch_stats::bootstrap::{PoissonCounts, Replicate, row_key};

use crate::{
    cells::Cells,
    config::{Intervals, Method, Settings},
    curves::{self, Groups},
    mass::Mass,
    means::{Means, Weighting},
    measure::{Areas, Measure, Of},
    ranking::Ranked,
    row::{Layout, Prediction, RowScores},
    sample::Sample,
    summed::Kind,
    tally::Tally,
    tasks::{detection::Detections, multi_label},
};

/// The least rows in which a metric differs between the models, for an interval of a comparison: of fewer, which may happen to be all of one
/// side, replicates say nothing of the other one.
const MIN_DIFFERING: u64 = 15;

/// The buckets of the jackknife, as in TensorFlow Model Analysis.
const BUCKETS: usize = 20;

/// The kept rows, prepared to be weighed again and again.
pub(crate) struct Rows<'a> {
    layout: &'a Layout,
    rows: Vec<(u64, &'a [u64], u64)>,
    labels: Vec<u64>,
    /// The sample weight of each row.
    weights: Vec<f64>,
    /// Per model, the ranks of each ranked class's scores, or of the absolute errors; none where rows
    /// have no usable prediction.
    ranks: Vec<Vec<Ranked>>,
    /// Per model, the ranks of the scores of all classes of sets of labels together, row by row; none for other tasks.
    together: Vec<Option<Ranked>>,
    /// Per model, the detections; none for other tasks, and where rows have no usable prediction.
    detections: Vec<Option<Detections>>,
    /// Per model, what is averaged; none where rows have no usable scores, and for other tasks.
    means: Vec<Option<Means>>,
}

/// A metric of rows, of the candidate and the baseline.
#[derive(Clone, Copy, Debug)]
struct Found {
    values: [f64; 2],
    /// The standard errors of [means](Measure::standard_error); NaN of other metrics.
    errors: [f64; 2],
}

/// The values of each metric in each replicate.
pub(crate) struct Replicates {
    values: Vec<Vec<Found>>,
    /// The values over the kept rows.
    centers: Vec<Found>,
    measures: Vec<Measure>,
    /// In how many rows each metric differs between the models, of up to [`MIN_DIFFERING`].
    differing: Vec<u64>,
    /// How far chance can have put each metric of each model above the true one, on average.
    off: Vec<[f64; 2]>,
    /// By how much intervals that are moved to the value shrink, because there are more rows than are kept.
    shrink: Option<f64>,
    /// The effective number of kept rows.
    effective: f64,
    method: Method,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(layout: &'a Layout, sample: &'a Sample) -> Self {
        Self::of(layout, sample.iter().collect())
    }

    /// Returns those of which the words are as asked for.
    pub(crate) fn only(&self, is_in: impl Fn(&[u64]) -> bool) -> Self {
        Self::of(self.layout, self.rows.iter().copied().filter(|it| is_in(it.1)).collect())
    }

    fn of(layout: &'a Layout, rows: Vec<(u64, &'a [u64], u64)>) -> Self {
        let ranks = (0..layout.models.len()).map(|it| ranks(layout, &rows, it)).collect();
        let together = (0..layout.models.len()).map(|it| together(layout, &rows, it)).collect();
        let detections = (0..layout.models.len()).map(|it| detections(layout, &rows, it)).collect();
        Self { ranks, together, detections, ..Self::unranked(layout, rows) }
    }

    /// Returns those of which the words are as asked for, for metrics that are not of ranks.
    pub(crate) fn only_unranked(&self, is_in: impl Fn(&[u64]) -> bool) -> Self {
        Self::unranked(self.layout, self.rows.iter().copied().filter(|it| is_in(it.1)).collect())
    }

    fn unranked(layout: &'a Layout, rows: Vec<(u64, &'a [u64], u64)>) -> Self {
        let labels = rows.iter().map(|it| it.1[0]).collect();
        let weights = rows.iter().map(|it| layout.weight(it.1)).collect();
        let is_scored = |it: usize| layout.models[it].is_scored && layout.sums.is_none();
        let of_model = |it: usize| Means::new(layout, rows.iter().map(|it| it.1), it).filter(|_| is_scored(it));
        let means = (0..layout.models.len()).map(of_model).collect();
        let (ranks, together, detections) = (Vec::new(), Vec::new(), Vec::new());
        Self { layout, rows, labels, weights, ranks, together, detections, means }
    }

    /// Returns how many rows are kept.
    pub(crate) fn n(&self) -> u64 {
        self.rows.iter().map(|it| it.2).sum()
    }

    /// Returns what each row weighs: its sample weight as often as it was seen.
    pub(crate) fn masses(&self) -> Vec<f64> {
        self.rows.iter().zip(&self.weights).map(|(it, weight)| it.2 as f64 * weight).collect()
    }

    /// Returns words and count of each kept row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u64], u64)> {
        self.rows.iter().map(|&(_, words, count)| (words, count))
    }

    /// Returns how many classes have ranked scores.
    pub(crate) fn n_ranked(&self) -> usize {
        if self.layout.is_regression() { 0 } else { self.ranks.iter().map(Vec::len).max().unwrap_or_default() }
    }

    /// Returns whether they are of sets of labels with ranked scores.
    pub(crate) fn is_of_labels(&self) -> bool {
        self.layout.sums.as_ref().is_some_and(multi_label::is_ranked)
    }

    /// Returns how many rows are of the `nth` ranked class.
    pub(crate) fn positives(&self, nth: usize) -> f64 {
        let of_class = self.rows.iter().enumerate().filter(|it| self.is_of(it.0, nth));
        of_class.map(|it| it.1.2 as f64).sum()
    }

    /// Returns how many rows have the label of any class, or lack that of any.
    pub(crate) fn with_entry(&self, is_there: bool) -> f64 {
        let has = |row: usize| (0..self.n_classes()).any(|it| self.is_of(row, it) == is_there);
        self.rows.iter().enumerate().filter(|it| has(it.0)).map(|it| it.1.2 as f64).sum()
    }

    /// Returns the number of classes.
    pub(crate) fn n_classes(&self) -> usize {
        self.layout.sums.as_ref().map_or(self.layout.classes.len(), |it| it.classes.len())
    }

    /// Returns how many a row has of what a model's metrics of a class are of, and of what that is told from.
    pub(crate) fn sides(&self, words: &[u64], class: usize, model: usize) -> [f64; 2] {
        let Some(sums) = &self.layout.sums else {
            let is_of = Layout::label_class(words) == class;
            return [is_of, !is_of].map(|it| f64::from(u8::from(it)));
        };
        let found = match self.layout.prediction(words, model) {
            Prediction::Summed(found) => Some(found),
            _ if sums.kind == Kind::MultiLabel => self.labels_of(words),
            _ => None,
        };
        found.map_or([0.0; 2], |it| sums.task().sides(sums, it, class))
    }

    /// Returns words that begin with the set of labels of a row: those of any model whose prediction is usable.
    pub(crate) fn labels_of<'w>(&self, words: &'w [u64]) -> Option<&'w [u64]> {
        (0..self.layout.models.len()).find_map(|it| match self.layout.prediction(words, it) {
            Prediction::Summed(found) => Some(found),
            _ => None,
        })
    }

    /// Returns of which task of sums they are; none of others.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.layout.sums.as_ref().map(|it| it.kind)
    }

    /// Returns whether each row is one that was drawn, or else each distinct one with its count: queries are drawn before they come to be rows.
    pub(crate) fn are_drawn_one_by_one(&self) -> bool {
        self.kind() == Some(Kind::Queries)
    }

    /// Returns the values of metrics of each model, each row being counted as often as `times` says of its key and count; NaN for a model
    /// that is not there.
    pub(crate) fn values_of_models(&self, measures: &[Measure], times: impl Fn(u64, u64) -> u64) -> Vec<[f64; 2]> {
        let times: Vec<u64> = self.rows.iter().map(|it| times(it.0, it.2)).collect();
        self.values(measures, &times).into_iter().map(|it| it.values).collect()
    }

    /// Returns the values of metrics that are ranked, in their order.
    pub(crate) fn ranked_values(&self, measures: &[Measure], model: usize, weights: &[f64]) -> Vec<f64> {
        if let Some(found) = &self.detections[model] {
            let metrics =
                measures.iter().filter_map(|it| if let Measure::Summed(_, it) = it { Some(*it) } else { None });
            return found.values(metrics, weights);
        }
        let ranks = &self.ranks[model];
        if ranks.is_empty() {
            return vec![f64::NAN; measures.len()];
        }
        if self.layout.is_regression() {
            return measures.iter().map(|it| ranks[0].quantile(weights, it.error_level())).collect();
        }
        let groups: Vec<Groups> = (0..ranks.len()).map(|it| self.groups(model, it, weights)).collect();
        if let Some(together) = &self.together[model] {
            let all = self.entries(weights);
            let together = together.groups(|it| self.is_entry_of(it), &all);
            let value = |it: &Measure| match it {
                Measure::Summed(_, it) => multi_label::of_ranks(*it, &groups, &together),
                _ => f64::NAN,
            };
            return measures.iter().map(value).collect();
        }
        let pairs = measures.iter().any(|it| it.is_of_pairs()).then(|| self.pairs(model, weights));
        let mut of_each = OfEach::default();
        let value = |it: &Measure| match it {
            Measure::RocAuc(Areas::PairsMacro) => pairs.map_or(f64::NAN, |it| it.0),
            Measure::RocAuc(Areas::PairsWeighted) => pairs.map_or(f64::NAN, |it| it.1),
            it => of_each.value(*it, &groups),
        };
        measures.iter().map(value).collect()
    }

    /// Returns the mean area under the curve over pairs of classes, plain and weighted; NaN with sample weights,
    /// for which it has no accepted definition.
    fn pairs(&self, model: usize, weights: &[f64]) -> (f64, f64) {
        let n_classes = self.layout.classes.len();
        if self.layout.has_weights {
            return (f64::NAN, f64::NAN);
        }
        let mut truth = vec![0.0; n_classes];
        self.labels.iter().zip(weights).for_each(|(&label, weight)| truth[label as usize] += weight);
        let ranks = self.ranks[model].iter().enumerate();
        let wins: Vec<Vec<f64>> = ranks.map(|(it, ranks)| ranks.wins(it, &self.labels, weights, n_classes)).collect();
        let (mut sum, mut count, mut weighted, mut total) = (0.0, 0.0, 0.0, 0.0);
        for left in (0..n_classes).filter(|&it| truth[it] > 0.0) {
            for right in (left + 1..n_classes).filter(|&it| truth[it] > 0.0) {
                let area = (wins[left][right] + wins[right][left]) / 2.0 / (truth[left] * truth[right]);
                let prevalence = truth[left] + truth[right];
                sum += area;
                count += 1.0;
                weighted += prevalence * area;
                total += prevalence;
            }
        }
        (sum / count, weighted / total)
    }

    /// Returns the groups of a model's scores of its `nth` ranked class; empty where there are none.
    pub(crate) fn groups(&self, model: usize, nth: usize, weights: &[f64]) -> Groups {
        let Some(ranks) = self.ranks[model].get(nth) else { return Vec::new() };
        match self.layout.sums {
            None => {
                let class = self.ranked_class(nth);
                ranks.groups(|row| self.labels[row] == class, weights)
            }
            Some(_) => ranks.groups(|row| self.is_of(row, nth), weights),
        }
    }

    /// Returns the label of the `nth` ranked class.
    fn ranked_class(&self, nth: usize) -> u64 {
        (self.layout.ranked_classes().start + nth) as u64
    }

    /// Returns whether a row is of the `nth` ranked class.
    fn is_of(&self, row: usize, nth: usize) -> bool {
        match &self.layout.sums {
            None => self.labels[row] == self.ranked_class(nth),
            Some(_) => self.labels_of(self.rows[row].1).is_some_and(|it| multi_label::has_label(it, nth)),
        }
    }

    /// Returns the weights of the scores of all classes together, given those of the rows.
    fn entries(&self, weights: &[f64]) -> Vec<f64> {
        weights.iter().flat_map(|&it| std::iter::repeat_n(it, self.n_classes())).collect()
    }

    /// Returns whether the label of that score among those of all classes together is there.
    fn is_entry_of(&self, entry: usize) -> bool {
        self.is_of(entry / self.n_classes(), entry % self.n_classes())
    }

    /// Returns by how much each row moves a model's area under the curve of its `nth` ranked class, or of all classes together; none where that
    /// is not known, and for rows with weights. See [`Ranked::influences`].
    pub(crate) fn influences(&self, model: usize, of: AreaOf) -> Option<Vec<f64>> {
        if self.layout.has_weights {
            return None;
        }
        let counts: Vec<f64> = self.rows.iter().map(|it| it.2 as f64).collect();
        match of {
            AreaOf::Class(nth) => self.ranks[model].get(nth)?.influences(|row| self.is_of(row, nth), &counts),
            AreaOf::Together => {
                let entries = self.entries(&counts);
                let found = self.together[model].as_ref()?.influences(|it| self.is_entry_of(it), &entries)?;
                Some(found.chunks(self.n_classes()).map(|it| it.iter().sum()).collect())
            }
        }
    }

    /// Returns the values of the metrics in each replicate.
    ///
    /// # Errors
    /// When the host asks for an end.
    pub(crate) fn replicates(
        &self,
        measures: &[Measure],
        n: u64,
        settings: &Settings,
        host: &dyn Host,
    ) -> Result<Replicates> {
        let Intervals { method, replicates, seed } = settings.intervals;
        let left_out: Vec<[u64; BUCKETS]> = match method {
            Method::Jackknife if !measures.is_empty() => {
                self.rows.iter().map(|it| buckets(seed, it.0, it.2, host)).collect::<Result<_>>()?
            }
            _ => Vec::new(),
        };
        let n_replicates = match method {
            _ if measures.is_empty() => 0,
            Method::Jackknife => BUCKETS as u32,
            Method::Bootstrap => replicates,
        };
        // Where rows are drawn; a jackknife leaves out rows, which cells do not have.
        let by_cells = |it: &Measure| method == Method::Bootstrap && it.is_of_classes_alone();
        let (counted, others): (Vec<Measure>, Vec<Measure>) = measures.iter().copied().partition(by_cells);
        let cells = (!counted.is_empty()).then(|| Cells::new(self.layout, self.iter()));
        let is_drawn = method == Method::Bootstrap && n_replicates > 0 && !others.is_empty();
        let draws: Vec<PoissonCounts> =
            self.rows.iter().filter(|_| is_drawn).map(|it| PoissonCounts::new(it.0, it.2)).collect();
        let mut values = vec![Vec::with_capacity(n_replicates as usize); measures.len()];
        for replicate in 0..n_replicates {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let draw = Replicate::new(seed, replicate);
            let tally = cells.as_ref().map(|it| it.replicate(self.layout, draw));
            let of_cells = |measure: &Measure| Found {
                values: self.of_models(|it| tally.as_ref().map_or(f64::NAN, |tally| measure.value(tally, it))),
                errors: [f64::NAN; 2],
            };
            let of_rows = if others.is_empty() {
                Vec::new()
            } else {
                let times: Vec<u64> = match method {
                    Method::Bootstrap => draws.iter().map(|it| it.draw(draw)).collect(),
                    Method::Jackknife => {
                        self.rows.iter().zip(&left_out).map(|(it, out)| it.2 - out[replicate as usize]).collect()
                    }
                };
                self.values(&others, &times)
            };
            let mut of_rows = of_rows.into_iter();
            for (values, measure) in values.iter_mut().zip(measures) {
                let found = if by_cells(measure) { Some(of_cells(measure)) } else { of_rows.next() };
                values.push(found.unwrap_or(Found { values: [f64::NAN; 2], errors: [f64::NAN; 2] }));
            }
        }
        let differing = |it: &Measure| match &cells {
            Some(cells) if by_cells(it) => self.differing(*it, cells.iter()),
            _ => self.differing(*it, self.iter()),
        };
        let differing = measures.iter().map(differing).collect();
        let counts: Vec<u64> = self.rows.iter().map(|it| it.2).collect();
        let n_kept = self.n();
        let shrink = (n_kept < n).then(|| (n_kept as f64 / n as f64).sqrt());
        let mut mass = Mass::default();
        self.rows.iter().zip(&self.weights).for_each(|(it, &weight)| mass.add(it.2, weight));
        let centers = self.values(measures, &counts);
        let off = self.most_off(measures, &counts);
        let (measures, effective) = (measures.to_vec(), mass.effective());
        Ok(Replicates { values, centers, measures, differing, off, shrink, effective, method })
    }

    /// Returns of how many rows, of up to [`MIN_DIFFERING`], a metric, taken of the row alone, is another one for the candidate than for the
    /// baseline. Metrics of scores and numbers differ in almost all rows.
    fn differing<'r>(&self, measure: Measure, rows: impl Iterator<Item = (&'r [u64], u64)>) -> u64 {
        let of_row = match measure {
            // Of one row they say nothing else.
            Measure::Mcc | Measure::CohenKappa => Measure::Accuracy,
            it if it.is_of_classes_alone() && matches!(it.of(), Some(Of::Macro | Of::Weighted)) => Measure::Accuracy,
            it if it.is_of_classes_alone() || matches!(it, Measure::Summed(..)) && !it.is_ranked() => it,
            _ => return MIN_DIFFERING,
        };
        let differs = |words: &[u64]| {
            let mut tally = Tally::new(self.layout);
            tally.add(self.layout, words, 1);
            let [left, right] = [0, 1].map(|it| of_row.value(&tally, it));
            // A row of which it is undefined for one of them has a say, too.
            left.to_bits() != right.to_bits()
        };
        let mut res = 0u64;
        for (words, count) in rows.filter(|it| self.layout.differs(it.0)) {
            res += if differs(words) { count } else { 0 };
            if res >= MIN_DIFFERING {
                return MIN_DIFFERING;
            }
        }
        res
    }

    fn most_off(&self, measures: &[Measure], counts: &[u64]) -> Vec<[f64; 2]> {
        let mut tally = Tally::new(self.layout);
        if measures.iter().any(|it| it.is_biased()) {
            self.rows.iter().zip(counts).for_each(|(it, &times)| tally.add(self.layout, it.1, times));
        }
        measures.iter().map(|&it| self.of_models(|model| biased::most_off(it, &tally, model))).collect()
    }

    fn values(&self, measures: &[Measure], times: &[u64]) -> Vec<Found> {
        let mut tally = Tally::new(self.layout);
        // Averages of scores take no sums, where all rows have scores.
        let is_averaged = |it: Measure| Means::has(it) && self.means.iter().all(Option::is_some);
        if measures.iter().any(|&it| !it.is_ranked() && !is_averaged(it)) {
            for (&(_, words, _), &times) in self.rows.iter().zip(times) {
                tally.add(self.layout, words, times);
            }
        }
        let by = Weighting::new(times, &self.weights);
        let ranked: Vec<Measure> = measures.iter().copied().filter(|it| it.is_ranked()).collect();
        let of_ranks: Vec<Vec<f64>> = (0..self.layout.models.len())
            .map(|it| if ranked.is_empty() { Vec::new() } else { self.ranked_values(&ranked, it, by.weights()) })
            .collect();
        let mut nth = 0;
        let value = |measure: Measure| {
            let values = self.of_models(|it| match &self.means[it] {
                _ if measure.is_ranked() => of_ranks[it][nth],
                Some(means) if is_averaged(measure) => means.value(measure, &by),
                _ => measure.value(&tally, it),
            });
            let errors = self.of_models(|it| match &self.means[it] {
                Some(means) if is_averaged(measure) => means.standard_error(measure, values[it], &by),
                _ => measure.standard_error(&tally, it),
            });
            nth += usize::from(measure.is_ranked());
            Found { values, errors }
        };
        measures.iter().copied().map(value).collect()
    }

    /// Returns a value for each of two models; NaN for one that is not there.
    fn of_models(&self, value: impl Fn(usize) -> f64) -> [f64; 2] {
        [0, 1].map(|it| if it < self.layout.models.len() { value(it) } else { f64::NAN })
    }
}

/// The values of each class against the rest, by metric, so that those of the classes and their mean are computed once.
#[derive(Default)]
struct OfEach(Vec<(Measure, Vec<f64>)>);

impl OfEach {
    fn value(&mut self, measure: Measure, groups: &[Groups]) -> f64 {
        let Some(one) = measure.of_first_class() else { return of_groups(measure, groups) };
        let nth = self.0.iter().position(|it| it.0 == one).unwrap_or_else(|| {
            self.0.push((one, groups.iter().map(|it| of_curve(one, it)).collect()));
            self.0.len() - 1
        });
        let values = &self.0[nth].1;
        match measure.of() {
            Some(Of::Class(class)) => values.get(class).copied().unwrap_or(f64::NAN),
            _ => values.iter().sum::<f64>() / values.len() as f64,
        }
    }
}

/// Returns the value of a metric of the ranks of scores, of each class against the rest.
pub(crate) fn of_groups(measure: Measure, groups: &[Groups]) -> f64 {
    let mean = || groups.iter().map(|it| of_curve(measure, it)).sum::<f64>() / groups.len() as f64;
    match measure {
        Measure::RocAuc(Areas::RestMacro) => mean(),
        Measure::RocAuc(Areas::RestWeighted) => {
            let (mut sum, mut total) = (0.0, 0.0);
            for groups in groups {
                let positives: f64 = groups.iter().map(|it| it.0).sum();
                // A class without labels has no area and no weight.
                if positives > 0.0 {
                    sum += positives * curves::roc_auc(groups);
                    total += positives;
                }
            }
            sum / total
        }
        Measure::RocAuc(Areas::Present) => {
            let areas = groups.iter().map(|it| curves::roc_auc(it)).filter(|it| !it.is_nan());
            let (sum, n) = areas.fold((0.0, 0.0), |(sum, n), it| (sum + it, n + 1.0));
            sum / n
        }
        _ => of_classes(measure, groups, |it| of_curve(measure, it)),
    }
}

/// Returns the value of those classes that a metric is of, given how it is of one.
pub(crate) fn of_classes(measure: Measure, groups: &[Groups], of: impl Fn(&[(f64, f64)]) -> f64) -> f64 {
    match measure.of() {
        Some(Of::Macro) => groups.iter().map(|it| of(it)).sum::<f64>() / groups.len() as f64,
        Some(Of::Class(class)) => groups.get(class).map_or(f64::NAN, |it| of(it)),
        _ => of(groups.first().map_or(&[][..], Vec::as_slice)),
    }
}

/// Returns the value of a metric of the ranks of the scores of one class against the rest.
pub(crate) fn of_curve(measure: Measure, groups: &[(f64, f64)]) -> f64 {
    match measure {
        Measure::RocAuc(_) => curves::roc_auc(groups),
        Measure::Gini => 2.0 * curves::roc_auc(groups) - 1.0,
        Measure::AveragePrecision(_) => curves::average_precision(groups),
        Measure::PrAuc => curves::pr_auc(groups),
        Measure::Ks(_) => curves::ks(groups),
        Measure::Lift(share, _) => curves::lift(groups, share),
        Measure::PrecisionAtRecall(level) => curves::precision_at_recall(groups, level),
        Measure::RecallAtPrecision(level) => curves::recall_at_precision(groups, level),
        _ => f64::NAN,
    }
}

/// Returns how many of `count` rows of one content are in each bucket of the jackknife.
///
/// # Errors
/// When the host asks for an end.
fn buckets(seed: u64, hash: u64, count: u64, host: &dyn Host) -> Result<[u64; BUCKETS]> {
    let mut res = [0; BUCKETS];
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&hash.to_le_bytes());
    for nth in 0..count {
        if nth % (1 << 16) == u64::from(u16::MAX) && host.is_cancelled() {
            return Err(host.cancelled());
        }
        bytes[16..].copy_from_slice(&nth.to_le_bytes());
        res[(row_key(&bytes) % BUCKETS as u64) as usize] += 1;
    }
    Ok(res)
}

/// What an area under the ROC curve is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AreaOf {
    /// A ranked class against the rest.
    Class(usize),
    /// The scores of all classes together.
    Together,
}

/// Returns the ranks of the scores of all classes of sets of labels together; none where rows have no usable prediction, and for other tasks.
fn together(layout: &Layout, rows: &[(u64, &[u64], u64)], model: usize) -> Option<Ranked> {
    let sums = layout.sums.as_ref().filter(|it| multi_label::is_ranked(it))?;
    let mut column = Vec::with_capacity(rows.len() * sums.classes.len());
    for (_, words, _) in rows {
        let Prediction::Summed(found) = layout.prediction(words, model) else { return None };
        column.extend(multi_label::scores(sums, found).iter().map(|&it| f64::from_bits(it)));
    }
    Some(Ranked::new(&column))
}

fn ranks(layout: &Layout, rows: &[(u64, &[u64], u64)], model: usize) -> Vec<Ranked> {
    let of_labels = layout.sums.as_ref().filter(|it| multi_label::is_ranked(it));
    let n_columns = if let Some(sums) = of_labels {
        sums.classes.len()
    } else if layout.is_regression() {
        1
    } else if layout.models[model].is_scored {
        layout.ranked_classes().len()
    } else {
        0
    };
    let mut columns = vec![Vec::with_capacity(rows.len()); n_columns];
    for (_, words, _) in rows {
        match layout.prediction(words, model) {
            Prediction::Number(value) => columns[0].push((value - Layout::label_number(words)).abs()),
            Prediction::Scores(RowScores { kept, .. }) => {
                for (column, &score) in columns.iter_mut().zip(kept) {
                    column.push(f64::from_bits(score));
                }
            }
            Prediction::Unusable => return Vec::new(),
            Prediction::Summed(found) => {
                let scores = of_labels.map_or(&[][..], |it| multi_label::scores(it, found));
                columns.iter_mut().zip(scores).for_each(|(column, &score)| column.push(f64::from_bits(score)));
            }
            Prediction::Label(_) => {}
        }
    }
    columns.iter().map(|it| Ranked::new(it)).collect()
}

fn detections(layout: &Layout, rows: &[(u64, &[u64], u64)], model: usize) -> Option<Detections> {
    let sums = layout.sums.as_ref().filter(|it| it.kind == Kind::Detection)?;
    let mut res = Detections::new(sums);
    for (_, words, _) in rows {
        let Prediction::Summed(found) = layout.prediction(words, model) else { return None };
        res.push(found);
    }
    res.sort();
    Some(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_bucket() {
        for (hash, count) in [(3, 1), (4, 19), (5, 10_000)] {
            let found = buckets(7, hash, count, &()).unwrap();
            assert_eq!(found.iter().sum::<u64>(), count);
            assert!(count < 1000 || found.iter().all(|it| (400..600).contains(it)), "{found:?}");
        }
    }
}
