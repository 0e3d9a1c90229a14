//! Multi-label classification: each row has any number of the classes.
//!
//! Definitions are scikit-learn's for multi-label indicators. What is 0/0 is 0 in an average and NaN where it stands alone, but for areas
//! under the ROC curve, whose averages are then undefined.

use modelwatch_sdk::{Error, Result, arrow::array::ArrayRef, rows};

use crate::{
    config::{Scores, Settings},
    curves::{self, Groups},
    read::may_be_probabilities,
    row::MAX_RANKED_CLASSES,
    summed::{Counts, Judged, Kind, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] =
    &["subset_accuracy", "hamming_loss", "jaccard", "f1", "precision", "recall", ROC_AUC, AVERAGE_PRECISION, "skill"];
const ROC_AUC: &str = "roc_auc";
const AVERAGE_PRECISION: &str = "average_precision";

/// The most classes.
const MAX_CLASSES: usize = 1000;
/// The sums before those of the classes: wrong labels, rows that are right, the rows' Jaccard indices, F1s, areas and average precisions, and
/// the rows that have no area since they have all labels or none.
pub(crate) const N_FIRST: usize = 7;

/// The words are the bits of the labels, then those of the prediction, and of few classes the scores, the row's area and its average precision.
pub(crate) struct MultiLabel;

/// Returns whether a metric is of the order of rows by their scores, rather than of sums over rows.
pub(crate) fn is_of_ranks(metric: SumMetric) -> bool {
    matches!(metric.name, ROC_AUC | AVERAGE_PRECISION) && metric.of != SumOf::Samples
}

/// Returns whether a metric is an area under the ROC curve.
pub(crate) fn is_area(metric: SumMetric) -> bool {
    metric.name == ROC_AUC
}

/// Returns whether there are metrics of ranks.
pub(crate) fn is_ranked(layout: &SumLayout) -> bool {
    layout.kind == Kind::MultiLabel && layout.classes.len() <= MAX_RANKED_CLASSES
}

/// Returns whether the words of a row have a class as label.
pub(crate) fn has_label(words: &[u64], class: usize) -> bool {
    words[class / 64] >> (class % 64) & 1 == 1
}

/// Returns the scores among the words of a row.
pub(crate) fn scores<'a>(layout: &SumLayout, words: &'a [u64]) -> &'a [u64] {
    let n_classes = layout.classes.len();
    &words[2 * n_classes.div_ceil(64)..][..n_classes]
}

/// Returns the value of a metric of ranks, given the groups of scores of each class, and of all classes together.
pub(crate) fn of_ranks(metric: SumMetric, classes: &[Groups], together: &Groups) -> f64 {
    let of = |groups: &Groups| match metric.name {
        ROC_AUC => curves::roc_auc(groups),
        _ => curves::average_precision(groups),
    };
    // Without a label its average precision is 0 in an average, as in scikit-learn.
    let of_average = |groups: &Groups| match of(groups) {
        it if it.is_nan() && metric.name == AVERAGE_PRECISION => 0.0,
        it => it,
    };
    match metric.of {
        SumOf::Class(it) => of(&classes[it]),
        SumOf::Micro => of(together),
        SumOf::Weighted => {
            let (mut sum, mut total) = (0.0, 0.0);
            for groups in classes {
                let labels: f64 = groups.iter().map(|it| it.0).sum();
                // A class without labels weighs nothing, whatever its value.
                if labels > 0.0 {
                    sum += labels * of(groups);
                    total += labels;
                }
            }
            sum / total
        }
        _ => classes.iter().map(of_average).sum::<f64>() / classes.len() as f64,
    }
}

/// Returns the names of the classes.
pub(crate) fn classes(settings: &Settings, output: &ArrayRef) -> Result<Vec<String>> {
    let n = rows::numbers(output.as_ref())?.width;
    if n > MAX_CLASSES {
        return Err(Error::input(format!("the output has {n} scores per row, more than {MAX_CLASSES}")));
    }
    match &settings.classes {
        Some(it) if it.len() == n => Ok(it.clone()),
        Some(it) => {
            Err(Error::config("/classes", format!("there are {} classes, and the output has {n} scores", it.len())))
        }
        None => Ok((0..n).map(|it| it.to_string()).collect()),
    }
}

/// Returns how many rows of scores that the option leaves open were taken for probabilities and for logits.
pub(crate) fn readings(output: &ArrayRef, judged: &[Judged]) -> Result<[u64; 2]> {
    let scores = rows::numbers(output.as_ref())?;
    let mut res = [0; 2];
    for (row, _) in judged.iter().enumerate().filter(|it| matches!(it.1, Judged::Words(_))) {
        res[usize::from(!may_be_probabilities(scores.row(row)))] += 1;
    }
    Ok(res)
}

impl Summed for MultiLabel {
    fn n_words(&self, layout: &SumLayout) -> usize {
        let n_classes = layout.classes.len();
        2 * n_classes.div_ceil(64) + if is_ranked(layout) { n_classes + 2 } else { 0 }
    }

    fn n_sums(&self, layout: &SumLayout) -> usize {
        N_FIRST + 3 * layout.classes.len()
    }

    fn metrics(&self, layout: &SumLayout) -> Vec<SumMetric> {
        let mut res = vec![SumMetric::gain("subset_accuracy", SumOf::All), SumMetric::loss("hamming_loss", SumOf::All)];
        res.extend([SumOf::Samples, SumOf::Macro, SumOf::Micro].map(|it| SumMetric::gain("jaccard", it)));
        res.push(SumMetric::gain("f1", SumOf::Samples));
        let classes = (0..layout.classes.len()).map(SumOf::Class);
        let all: Vec<SumOf> = [SumOf::Macro, SumOf::Micro, SumOf::Weighted].into_iter().chain(classes).collect();
        for name in ["f1", "precision", "recall"] {
            res.extend(all.iter().map(|&of| SumMetric::gain(name, of)));
        }
        for name in [ROC_AUC, AVERAGE_PRECISION].into_iter().filter(|_| is_ranked(layout)) {
            res.push(SumMetric::gain(name, SumOf::Samples));
            res.extend(all.iter().map(|&of| SumMetric::gain(name, of)));
        }
        res
    }

    fn add(&self, layout: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]) {
        let mass = times as f64 * weight;
        let predicted = &words[layout.classes.len().div_ceil(64)..];
        let mut row = Counts::default();
        for class in 0..layout.classes.len() {
            let (count, sum) = match (has_label(words, class), has_label(predicted, class)) {
                (true, true) => (&mut row.hits, 0),
                (false, true) => (&mut row.alarms, 1),
                (true, false) => (&mut row.misses, 2),
                (false, false) => continue,
            };
            *count += 1.0;
            sums[N_FIRST + 3 * class + sum] += mass;
        }
        let zero = |it: f64| if it.is_nan() { 0.0 } else { it };
        sums[0] += mass * (row.alarms + row.misses);
        sums[1] += if row.alarms + row.misses == 0.0 { mass } else { 0.0 };
        sums[2] += mass * zero(row.jaccard());
        sums[3] += mass * zero(row.f1());
        if let ([.., area, precision], true) = (words, is_ranked(layout)) {
            let area = f64::from_bits(*area);
            sums[4] += mass * zero(area);
            sums[5] += mass * f64::from_bits(*precision);
            sums[6] += if area.is_nan() { mass } else { 0.0 };
        }
    }

    fn value(&self, metric: SumMetric, sums: &[f64], mass: f64) -> f64 {
        let (first, counts) = sums.split_at(N_FIRST);
        match (metric.name, metric.of) {
            ("hamming_loss", _) => first[0] / (counts.len() / 3) as f64 / mass,
            ("subset_accuracy", _) => first[1] / mass,
            ("jaccard", SumOf::Samples) => first[2] / mass,
            ("f1", SumOf::Samples) => first[3] / mass,
            (ROC_AUC, SumOf::Samples) if first[6] > 0.0 => f64::NAN,
            (ROC_AUC, SumOf::Samples) => first[4] / mass,
            (_, SumOf::Samples) => first[5] / mass,
            ("jaccard", of) => Counts::average(counts, of, Counts::jaccard),
            ("f1", of) => Counts::average(counts, of, Counts::f1),
            ("precision", of) => Counts::average(counts, of, Counts::precision),
            (_, of) => Counts::average(counts, of, Counts::recall),
        }
    }

    fn share(&self, metric: SumMetric, sums: &[f64], mass: f64) -> Option<(f64, f64)> {
        let of_class = |class: usize| Counts::of(&sums[N_FIRST..], class);
        match (metric.name, metric.of) {
            ("subset_accuracy", _) => Some((sums[1], mass)),
            ("precision", SumOf::Class(it)) => Some((of_class(it).hits, of_class(it).hits + of_class(it).alarms)),
            ("recall", SumOf::Class(it)) => Some((of_class(it).hits, of_class(it).hits + of_class(it).misses)),
            _ => None,
        }
    }

    fn sides(&self, _: &SumLayout, words: &[u64], class: usize) -> [f64; 2] {
        let is_of = has_label(words, class);
        [is_of, !is_of].map(|it| f64::from(u8::from(it)))
    }

    fn judge(
        &self,
        layout: &SumLayout,
        settings: &Settings,
        label: &ArrayRef,
        output: &ArrayRef,
    ) -> Result<Vec<Judged>> {
        let (labels, scores) = (rows::numbers(label.as_ref())?, rows::numbers(output.as_ref())?);
        super::same_width(labels.width, scores.width)?;
        let n_words = layout.classes.len().div_ceil(64);
        // The logit of the threshold is where the logistic function reaches it.
        let logit = (settings.threshold / (1.0 - settings.threshold)).ln();
        let threshold = |scores: &[f64]| match settings.scores {
            Scores::Logits => logit,
            Scores::Auto if !may_be_probabilities(scores) => logit,
            Scores::Auto | Scores::Probabilities => settings.threshold,
        };
        let judge = |row: usize| {
            if labels.row(row).iter().any(|it| it.is_nan()) {
                return Ok(Judged::Unlabeled);
            }
            if let Some(bad) = labels.row(row).iter().find(|it| **it != 0.0 && **it != 1.0) {
                return Err(Error::input(format!("a multi-label label is {bad}, expected 0 or 1 for each class")));
            }
            if scores.row(row).iter().any(|it| !it.is_finite()) {
                return Ok(Judged::Unusable);
            }
            let threshold = threshold(scores.row(row));
            let mut words = vec![0; 2 * n_words];
            for class in 0..layout.classes.len() {
                let bit = 1 << (class % 64);
                words[class / 64] |= if labels.row(row)[class] == 1.0 { bit } else { 0 };
                words[n_words + class / 64] |= if scores.row(row)[class] >= threshold { bit } else { 0 };
            }
            if is_ranked(layout) {
                // Adding 0 turns -0 into 0.
                words.extend(scores.row(row).iter().map(|it| (it + 0.0).to_bits()));
                let groups = groups_of_row(labels.row(row), scores.row(row));
                let precision = curves::average_precision(&groups);
                let precision = if precision.is_nan() { 0.0 } else { precision };
                words.extend([curves::roc_auc(&groups), precision].map(f64::to_bits));
            }
            Ok(Judged::Words(words))
        };
        (0..labels.rows()).map(judge).collect()
    }
}

/// Returns how many labels of a row there are at each of its scores, and how many classes that are none.
fn groups_of_row(labels: &[f64], scores: &[f64]) -> Groups {
    let mut of_classes: Vec<(f64, f64)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    of_classes.sort_by(|left, right| left.0.total_cmp(&right.0));
    let tied = of_classes.chunk_by(|left, right| left.0 == right.0);
    tied.map(|it| it.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.1, sum.1 + 1.0 - it.1))).collect()
}
