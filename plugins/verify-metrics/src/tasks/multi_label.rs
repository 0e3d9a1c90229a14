//! Multi-label classification: each row has any number of the classes.
//!
//! Definitions are scikit-learn's for multi-label indicators. What is 0/0 is 0 in an average and NaN where it stands alone.

use modelwatch_sdk::{Error, Result, arrow::array::ArrayRef, rows};

use crate::{
    config::{Scores, Settings},
    summed::{Counts, Judged, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] = &["subset_accuracy", "hamming_loss", "jaccard", "f1", "precision", "recall"];

/// The most classes.
const MAX_CLASSES: usize = 1000;
/// The sums before those of the classes: wrong labels, rows that are right, and the rows' Jaccard indices and F1s.
pub(crate) const N_FIRST: usize = 4;

/// The words are the bits of the labels, then those of the prediction.
pub(crate) struct MultiLabel;

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

impl Summed for MultiLabel {
    fn n_words(&self, layout: &SumLayout) -> usize {
        2 * layout.classes.len().div_ceil(64)
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
        res
    }

    fn add(&self, layout: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]) {
        let mass = times as f64 * weight;
        let (labels, predicted) = words.split_at(words.len() / 2);
        let mut row = Counts::default();
        for class in 0..layout.classes.len() {
            let has = |side: &[u64]| side[class / 64] >> (class % 64) & 1 == 1;
            let (count, sum) = match (has(labels), has(predicted)) {
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
    }

    fn value(&self, metric: SumMetric, sums: &[f64], mass: f64) -> f64 {
        let (first, counts) = sums.split_at(N_FIRST);
        match (metric.name, metric.of) {
            ("hamming_loss", _) => first[0] / (counts.len() / 3) as f64 / mass,
            ("subset_accuracy", _) => first[1] / mass,
            ("jaccard", SumOf::Samples) => first[2] / mass,
            (_, SumOf::Samples) => first[3] / mass,
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
        let threshold = match settings.scores {
            Scores::Logits => (settings.threshold / (1.0 - settings.threshold)).ln(),
            _ => settings.threshold,
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
            let mut words = vec![0; 2 * n_words];
            for class in 0..layout.classes.len() {
                let bit = 1 << (class % 64);
                words[class / 64] |= if labels.row(row)[class] == 1.0 { bit } else { 0 };
                words[n_words + class / 64] |= if scores.row(row)[class] >= threshold { bit } else { 0 };
            }
            Ok(Judged::Words(words))
        };
        (0..labels.rows()).map(judge).collect()
    }
}
