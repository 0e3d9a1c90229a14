//! Segmentation: a class for each pixel.
//!
//! Counts are summed over the pixels of all images before anything is divided, as in the PASCAL VOC challenge (Everingham
//! et al. 2010). Averages are over the classes that occur as label or prediction.

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    arrow::array::{Array, ArrayRef},
    rows::{self, Use},
};

use crate::{
    config::Settings,
    summed::{Counts, Judged, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] = &["iou", "dice", "pixel_accuracy"];

/// The most classes.
const MAX_CLASSES: usize = 256;

/// The words are, for each class, the pixels that have it as label and prediction, as prediction alone, as label alone.
pub(crate) struct Segmentation;

/// Returns the names of the classes: those that are listed, else one per score of a pixel; none where no row has a label, as lists of which
/// none is there have no length.
pub(crate) fn classes(settings: &Settings, batch: &RecordBatch, output: &ArrayRef) -> Result<Vec<String>> {
    if let Some(classes) = &settings.classes {
        return Ok(classes.clone());
    }
    let (_, label) =
        rows::columns(batch, Use::Label).next().ok_or_else(|| Error::input("the rows have no label column"))?;
    if label.null_count() == label.len() {
        return Ok(Vec::new());
    }
    let (pixels, values) = (rows::numbers(label.as_ref())?.width, rows::numbers(output.as_ref())?.width);
    let n = if pixels > 0 && values % pixels == 0 { values / pixels } else { 0 };
    if (2..=MAX_CLASSES).contains(&n) {
        return Ok((0..n).map(|it| it.to_string()).collect());
    }
    let message = format!(
        "the label has {pixels} pixels and the output {values} values, which does not say how many classes there are"
    );
    Err(Error::config("/classes", message).with_help("list the classes in `classes`"))
}

impl Summed for Segmentation {
    fn n_words(&self, layout: &SumLayout) -> usize {
        3 * layout.classes.len()
    }

    fn n_sums(&self, layout: &SumLayout) -> usize {
        3 * layout.classes.len()
    }

    fn metrics(&self, layout: &SumLayout) -> Vec<SumMetric> {
        let classes = (0..layout.classes.len()).map(SumOf::Class);
        let all: Vec<SumOf> = [SumOf::Macro, SumOf::Weighted].into_iter().chain(classes).collect();
        let of = |name: &'static str| all.iter().map(move |&it| SumMetric::gain(name, it));
        of("iou").chain(of("dice")).chain([SumMetric::gain("pixel_accuracy", SumOf::All)]).collect()
    }

    fn add(&self, _: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]) {
        let mass = times as f64 * weight;
        sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum += mass * word as f64);
    }

    fn value(&self, metric: SumMetric, sums: &[f64], _: f64) -> f64 {
        // A class that occurs on neither side has no say in an average.
        let present: Vec<f64> = sums.chunks(3).filter(|it| it.iter().any(|it| *it > 0.0)).flatten().copied().collect();
        let sums = if matches!(metric.of, SumOf::Class(_)) { sums } else { &present };
        match metric.name {
            "iou" => Counts::average(sums, metric.of, Counts::jaccard),
            "dice" => Counts::average(sums, metric.of, Counts::f1),
            // Each pixel has one label, so that the recall of all classes together is the share that is right.
            _ => Counts::average(sums, SumOf::Micro, Counts::recall),
        }
    }

    fn judge(
        &self,
        layout: &SumLayout,
        settings: &Settings,
        label: &ArrayRef,
        output: &ArrayRef,
    ) -> Result<Vec<Judged>> {
        let (labels, outputs) = (rows::numbers(label.as_ref())?, rows::numbers(output.as_ref())?);
        let (pixels, n_classes) = (labels.width, layout.classes.len());
        let is_scored = outputs.width == pixels * n_classes && n_classes > 1;
        if !is_scored {
            super::same_width(pixels, outputs.width)?;
        }
        let class = |value: f64, what: &str| {
            if value.fract() == 0.0 && (0.0..n_classes as f64).contains(&value) {
                return Ok(value as usize);
            }
            let help = "pixels that must not count are those with the label `ignore_label`";
            Err(Error::input(format!("a pixel's {what} is {value}, expected 0 to {}", n_classes - 1)).with_help(help))
        };
        let judge = |row: usize| {
            let (labels, values) = (labels.row(row), outputs.row(row));
            if labels.iter().any(|it| it.is_nan()) {
                return Ok(Judged::Unlabeled);
            }
            if values.iter().any(|it| !it.is_finite()) {
                return Ok(Judged::Unusable);
            }
            let mut words = vec![0; 3 * n_classes];
            for (pixel, &label) in labels.iter().enumerate() {
                if settings.ignore_label == Some(label as i64) && label.fract() == 0.0 {
                    continue;
                }
                let label = class(label, "label")?;
                let predicted = if is_scored {
                    // Scores are classes × pixels, as networks write them; the first greatest wins.
                    let score = |it: usize| values[it * pixels + pixel];
                    (1..n_classes).fold(0, |best, it| if score(it) > score(best) { it } else { best })
                } else {
                    class(values[pixel], "prediction")?
                };
                if label == predicted {
                    words[3 * label] += 1;
                } else {
                    words[3 * predicted + 1] += 1;
                    words[3 * label + 2] += 1;
                }
            }
            Ok(Judged::Words(words))
        };
        (0..labels.rows()).map(judge).collect()
    }
}
