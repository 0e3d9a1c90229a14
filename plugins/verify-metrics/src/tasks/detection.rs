//! Detection: boxes with classes and scores against the objects of an image.
//!
//! The metrics are those of COCO (Lin et al. 2014) for objects of all sizes and at most 100 detections per image and class:
//! precision is interpolated at 101 recalls and averaged over classes that have objects. Detections are matched to objects
//! when a row is read; what is kept of a row is the outcome.
//!
//! A label is a list of `x1, y1, x2, y2, class` per object, an output of `x1, y1, x2, y2, score, class` per detection; entries
//! whose class is negative are padding.

use modelwatch_sdk::{Error, Result, arrow::array::ArrayRef, rows};
use modelwatch_stats::detection::{Bounds, Detection as Found, THRESHOLDS, average_precision, matches};

use crate::{
    config::Settings,
    summed::{Judged, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] = &["map", "ap", "mar"];

/// The numbers of an object and of a detection.
const OBJECT: usize = 5;
const DETECTION: usize = 6;
/// The most detections of a row.
const MAX_DETECTIONS: usize = 1000;
/// The most detections of an image and class that count.
const MAX_PER_CLASS: usize = 100;
/// Says that a word is a detection; below it stand class and matches.
const IS_DETECTION: u64 = 1 << 63;
/// Says that a detection ends before it begins.
const IS_INVERTED: u64 = 1 << 62;
/// The places of the sums: detections, those that end before they begin, and objects.
pub(crate) const N_DETECTIONS: usize = 0;
pub(crate) const N_INVERTED: usize = 1;
pub(crate) const N_OBJECTS: usize = 2;
/// What to do about boxes that are written otherwise.
const OF_CORNERS: &str = "boxes are `x1, y1, x2, y2`; of `x, y, width, height`, add x and y to width and height, and give padding a negative class";

/// The words are the number of objects per class, then two per detection: class and matches, and the score.
pub(crate) struct Detection;

/// Returns whether a metric is an average precision, rather than a recall.
pub(crate) fn is_precision(metric: SumMetric) -> bool {
    metric.name != "mar"
}

/// Returns the class of a word that is a detection.
fn class_of(word: u64) -> usize {
    (word >> 16 & 0xffff_ffff) as usize
}

/// Returns how many detections a row has room for.
pub(crate) fn slots(output: &ArrayRef) -> Result<u64> {
    let width = rows::numbers(output.as_ref())?.width;
    if width % DETECTION != 0 || width / DETECTION > MAX_DETECTIONS {
        let message = format!(
            "the output has {width} values per row, expected 6 for each of at most {MAX_DETECTIONS} detections"
        );
        return Err(Error::input(message));
    }
    Ok((width / DETECTION) as u64)
}

impl Summed for Detection {
    fn n_words(&self, layout: &SumLayout) -> usize {
        layout.classes.len() + 2 * layout.slots as usize
    }

    fn n_sums(&self, _: &SumLayout) -> usize {
        3
    }

    fn metrics(&self, layout: &SumLayout) -> Vec<SumMetric> {
        let of = |name: &'static str, of: SumOf| SumMetric::gain(name, of);
        let mut res = vec![
            of("map", SumOf::All),
            of("map", SumOf::Overlap(0)),
            of("map", SumOf::Overlap(5)),
            of("mar", SumOf::All),
        ];
        res.extend((0..layout.classes.len()).map(|it| of("ap", SumOf::Class(it))));
        res
    }

    fn add(&self, layout: &SumLayout, words: &[u64], times: u64, _: f64, sums: &mut [f64]) {
        let (objects, slots) = words.split_at(layout.classes.len());
        let count = |flag: u64| slots.chunks_exact(2).filter(|it| it[0] & flag != 0).count() as f64 * times as f64;
        sums[N_DETECTIONS] += count(IS_DETECTION);
        sums[N_INVERTED] += count(IS_INVERTED);
        sums[N_OBJECTS] += objects.iter().map(|&it| it as f64).sum::<f64>() * times as f64;
    }

    fn value(&self, _: SumMetric, _: &[f64], _: f64) -> f64 {
        f64::NAN
    }

    fn sides(&self, layout: &SumLayout, words: &[u64], class: usize) -> [f64; 2] {
        let (objects, slots) = words.split_at(layout.classes.len());
        let is_found = |it: &&[u64]| it[0] & IS_DETECTION != 0 && class_of(it[0]) == class;
        [objects[class] as f64, slots.chunks_exact(2).filter(is_found).count() as f64]
    }

    fn judge(&self, layout: &SumLayout, _: &Settings, label: &ArrayRef, output: &ArrayRef) -> Result<Vec<Judged>> {
        let (labels, outputs) = (rows::numbers(label.as_ref())?, rows::numbers(output.as_ref())?);
        if labels.width % OBJECT != 0 {
            let message = format!("the label has {} values per row, expected {OBJECT} for each object", labels.width);
            return Err(Error::input(message));
        }
        let n_classes = layout.classes.len();
        let class = |it: f64, what: &str| {
            if it.fract() == 0.0 && it < n_classes as f64 {
                return Ok(if it < 0.0 { None } else { Some(it as usize) });
            }
            Err(Error::input(format!(
                "the class of {what} is {it}, expected 0 to {} or a negative number",
                n_classes - 1
            )))
        };
        let judge = |row: usize| {
            let (label, output) = (labels.row(row), outputs.row(row));
            if label.iter().any(|it| it.is_nan()) {
                return Ok(Judged::Unlabeled);
            }
            if output.iter().any(|it| !it.is_finite()) {
                return Ok(Judged::Unusable);
            }
            let (mut objects, mut found) = (vec![Vec::new(); n_classes], vec![Vec::new(); n_classes]);
            for it in label.chunks_exact(OBJECT) {
                if let Some(class) = class(it[4], "an object")? {
                    check_object(it)?;
                    objects[class].push(bounds(it));
                }
            }
            for it in output.chunks_exact(DETECTION) {
                if let Some(class) = class(it[5], "a detection")? {
                    found[class].push(Found { bounds: bounds(it), score: it[4] + 0.0 });
                }
            }
            let mut words: Vec<u64> = objects.iter().map(|it| it.len() as u64).collect();
            for (class, found) in found.iter_mut().enumerate() {
                found.sort_by(|left, right| right.score.total_cmp(&left.score));
                found.truncate(MAX_PER_CLASS);
                for (it, matched) in found.iter().zip(matches(&objects[class], found)) {
                    let Bounds { x1, y1, x2, y2 } = it.bounds;
                    let inverted = if x2 < x1 || y2 < y1 { IS_INVERTED } else { 0 };
                    let what = IS_DETECTION | inverted | (class as u64) << 16 | u64::from(matched);
                    words.extend([what, it.score.to_bits()]);
                }
            }
            if words.len() > self.n_words(layout) {
                let message = format!("an output has room for more detections than the candidate's {}", layout.slots);
                return Err(Error::input(message).with_help("pad both models' outputs to one length"));
            }
            words.resize(self.n_words(layout), 0);
            Ok(Judged::Words(words))
        };
        (0..labels.rows()).map(judge).collect()
    }
}

/// Refuses an object that is no box. One of no area, as some annotations have, is an object that nothing finds.
fn check_object(numbers: &[f64]) -> Result<()> {
    let &[x1, y1, x2, y2, ..] = numbers else { return Ok(()) };
    let why = if numbers[..4].iter().any(|it| !it.is_finite()) {
        "which is not finite"
    } else if x2 < x1 || y2 < y1 {
        "which is no box, since it ends before it begins"
    } else {
        return Ok(());
    };
    Err(Error::input(format!("an object of the label is from ({x1}, {y1}) to ({x2}, {y2}), {why}"))
        .with_help(OF_CORNERS))
}

fn bounds(numbers: &[f64]) -> Bounds {
    Bounds { x1: numbers[0], y1: numbers[1], x2: numbers[2], y2: numbers[3] }
}

/// The detections of all kept rows, by class and from the highest score on.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    /// Per class: score, matches, and the row.
    classes: Vec<Vec<(f64, u16, usize)>>,
    /// Per row, the number of objects of each class.
    objects: Vec<Vec<u64>>,
}

impl Detections {
    pub(crate) fn new(layout: &SumLayout) -> Self {
        Self { classes: vec![Vec::new(); layout.classes.len()], objects: Vec::new() }
    }

    /// Adds the words of the next row.
    pub(crate) fn push(&mut self, words: &[u64]) {
        let (objects, slots) = words.split_at(self.classes.len());
        let row = self.objects.len();
        self.objects.push(objects.to_vec());
        for slot in slots.chunks_exact(2).filter(|it| it[0] & IS_DETECTION != 0) {
            let class = class_of(slot[0]);
            if let Some(found) = self.classes.get_mut(class) {
                found.push((f64::from_bits(slot[1]), slot[0] as u16, row));
            }
        }
    }

    /// Sorts by score; to be called after the last row.
    pub(crate) fn sort(&mut self) {
        self.classes.iter_mut().for_each(|it| it.sort_by(|left, right| right.0.total_cmp(&left.0)));
    }

    /// Returns the values of metrics for rows that are weighted.
    pub(crate) fn values(&self, metrics: impl Iterator<Item = SumMetric>, weights: &[f64]) -> Vec<f64> {
        let of_classes: Vec<[(f64, f64); THRESHOLDS.len()]> =
            (0..self.classes.len()).map(|it| self.of_class(it, weights)).collect();
        let present = || of_classes.iter().filter(|it| !it[0].0.is_nan());
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let value = |metric: SumMetric| match (metric.name, metric.of) {
            ("map", SumOf::Overlap(nth)) => mean(present().map(|it| it[nth].0).collect()),
            ("map", _) => mean(present().flat_map(|it| it.iter().map(|it| it.0)).collect()),
            ("ap", SumOf::Class(class)) => mean(of_classes[class].iter().map(|it| it.0).collect()),
            _ => mean(present().flat_map(|it| it.iter().map(|it| it.1)).collect()),
        };
        metrics.map(value).collect()
    }

    /// Returns average precision and greatest recall of a class at each threshold.
    fn of_class(&self, class: usize, weights: &[f64]) -> [(f64, f64); THRESHOLDS.len()] {
        let n_objects = self.objects.iter().zip(weights).map(|(it, weight)| it[class] as f64 * weight).sum::<f64>();
        let found = &self.classes[class];
        std::array::from_fn(|nth| {
            let groups: Vec<(f64, f64)> = found
                .chunk_by(|left, right| left.0 == right.0)
                .map(|tied| {
                    tied.iter().fold((0.0, 0.0), |(hits, alarms), it| {
                        let weight = weights[it.2];
                        if it.1 >> nth & 1 == 1 { (hits + weight, alarms) } else { (hits, alarms + weight) }
                    })
                })
                .collect();
            average_precision(&groups, n_objects)
        })
    }
}
