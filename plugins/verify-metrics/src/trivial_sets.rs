//! Trivial models of sets of labels: one predicts for all rows the set that is most frequent, the other of each label what most rows have.

use std::collections::BTreeMap;

use crate::{
    bounds::Bounds,
    evaluate::Evaluation,
    measure::Measure,
    summed::{Counts, Kind, SumMetric, SumOf},
    tasks::multi_label,
    trivial::Trivial,
};

/// Right where the whole set is; nothing that gives each row the same set is so more often than the most frequent one.
const OF_SETS: Measure = Measure::Summed(Kind::MultiLabel, SumMetric::gain("subset_accuracy", SumOf::All));
/// Wrong label by label; nothing that gives each row the same set is so less often than what most rows have of each.
const OF_LABELS: Measure = Measure::Summed(Kind::MultiLabel, SumMetric::loss("hamming_loss", SumOf::All));

/// The measures of which there is a skill.
pub(crate) static MEASURES: [Measure; 2] = [OF_SETS, OF_LABELS];

/// Returns what the trivial models score, and a perfect one.
pub(crate) fn scores(evaluation: &Evaluation<'_>) -> [(Measure, f64, f64); 2] {
    let rare: Vec<f64> = rare(evaluation).collect();
    let of_labels = rare.iter().sum::<f64>() / rare.len() as f64;
    [(OF_SETS, most_frequent(evaluation), 1.0), (OF_LABELS, of_labels, 0.0)]
}

/// Returns the bounds of a skill where the most frequent set is that of a sample of the rows; none of others.
///
/// How frequent each label is is known of all rows. No set is more frequent than what it says of any label, and what most rows have of each
/// label is a set, which as many rows have as are not left over for what the others have of any.
pub(crate) fn bounds(evaluation: &Evaluation<'_>, it: Trivial) -> Option<Bounds> {
    evaluation.share.filter(|_| it.measure == OF_SETS && it.skill().is_finite())?;
    let most = rare(evaluation).map(|it| 1.0 - it).fold(1.0, f64::min);
    let least = (1.0 - rare(evaluation).sum::<f64>()).max(0.0);
    let skill = |trivial: f64| match it.with(trivial).skill() {
        found if found.is_nan() => f64::NEG_INFINITY,
        found => found,
    };
    Bounds::around(&[it.skill(), skill(least), skill(most)])
}

/// Returns for each label which share of the rows has what fewer of them have of it.
fn rare<'e>(evaluation: &'e Evaluation<'_>) -> impl Iterator<Item = f64> + 'e {
    let counts = &evaluation.tally().models[0].sums[multi_label::N_FIRST..];
    let all = evaluation.tally().all;
    // Hits and misses are summed in another order than all rows, so that those that all have it may seem to be more or fewer. No more than
    // the sums of that many rows are off by, and never what half a row of the mean weight is.
    let rounding = (all.n as f64 * f64::EPSILON).min(0.5 / all.n as f64);
    (0..counts.len() / 3).map(move |it| {
        let Counts { hits, misses, .. } = Counts::of(counts, it);
        let share = ((hits + misses) / all.weight).clamp(0.0, 1.0);
        let rare = share.min(1.0 - share);
        if rare > rounding { rare } else { 0.0 }
    })
}

/// Returns the share of the kept rows that has the most frequent set of labels.
fn most_frequent(evaluation: &Evaluation<'_>) -> f64 {
    let n_words = evaluation.layout.sums.as_ref().map_or(0, |it| it.classes.len().div_ceil(64));
    let masses = evaluation.rows.masses();
    let mut sets: BTreeMap<&[u64], f64> = BTreeMap::new();
    for ((words, _), mass) in evaluation.rows.iter().zip(&masses) {
        if let Some(labels) = evaluation.rows.labels_of(words) {
            *sets.entry(&labels[..n_words]).or_default() += mass;
        }
    }
    sets.values().copied().fold(0.0, f64::max) / masses.iter().sum::<f64>()
}
