//! Rows of one output against the recorded ones.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use modelwatch_sdk::{
    report::float,
    rows::{Number, excerpt},
};
use serde::{Deserialize, Serialize};

use crate::sum::ExactSum;

/// The worst rows that are kept.
pub(crate) const WORST: usize = 10;

/// The widths that are kept for the message.
const WIDTHS: usize = 8;

/// What the values of an output and of its recorded column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Floats on both sides.
    Floats,
    /// Integers or booleans on one side at least.
    Integers,
    /// Texts.
    Texts,
}

/// What an output is held against.
pub(crate) struct Limits {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
    pub(crate) equal_nan: bool,
    pub(crate) equal_infinity: bool,
    pub(crate) top_k: usize,
    pub(crate) max_ulp: Option<u64>,
}

/// What is known of one output: sums, counts and extremes, none depending on the order of rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compared {
    /// What its values are, once there are some.
    pub(crate) kind: Option<Kind>,
    /// Rows that have the output.
    pub(crate) present: u64,
    /// Rows that were compared, having the recorded width.
    pub(crate) rows: u64,
    pub(crate) elements: u64,
    pub(crate) mismatched: u64,
    /// Elements that are missing or not finite on one side, or on both where the options do not let them be equal.
    pub(crate) non_finite: u64,
    pub(crate) above_ulp: u64,
    /// Elements that are finite numbers on both sides.
    pub(crate) finite: u64,
    pub(crate) sum_error: ExactSum,
    #[serde(with = "float")]
    pub(crate) max_abs: f64,
    #[serde(with = "float")]
    pub(crate) max_rel: f64,
    pub(crate) max_ulp: u64,
    /// The least cosine of a row; none without a row of which it is defined.
    pub(crate) min_cosine: Option<f64>,
    /// Rows of which the cosine is not defined though they differ.
    pub(crate) no_cosine: u64,
    pub(crate) wide_rows: u64,
    pub(crate) same_top: u64,
    /// Rows of more than k values.
    pub(crate) ranked_rows: u64,
    pub(crate) same_top_k: u64,
    /// Counts of floor(2 · log10 |error|) over errors other than 0.
    pub(crate) histogram: BTreeMap<i32, u64>,
    /// Pairs of (produced, recorded) width that differ.
    pub(crate) widths: BTreeSet<(u64, u64)>,
    pub(crate) wrong_width_rows: u64,
    /// Rows out of tolerance that have an id, worst first.
    pub(crate) worst: Vec<WorstRow>,
}

/// A row out of tolerance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorstRow {
    /// The greatest error over its tolerance; infinite where one side is not finite, and between texts.
    #[serde(with = "float")]
    pub(crate) excess: f64,
    pub(crate) id: String,
    pub(crate) element: u64,
    pub(crate) produced: String,
    pub(crate) recorded: String,
}

impl Compared {
    /// Compares one row of numbers.
    pub(crate) fn add<I: ExactSizeIterator<Item = Number> + Clone>(
        &mut self,
        limits: &Limits,
        produced: I,
        recorded: I,
        id: Option<&str>,
    ) {
        if !self.add_width(produced.len(), recorded.len()) {
            return;
        }
        let mut worst: Option<WorstRow> = None;
        for (element, (a, b)) in produced.clone().zip(recorded.clone()).enumerate() {
            let excess = self.add_element(limits, a, b);
            if let Some(id) = id.filter(|_| excess > 1.0 && worst.as_ref().is_none_or(|it| excess > it.excess)) {
                let (produced, recorded) = (a.to_string(), b.to_string());
                worst = Some(WorstRow { excess, id: id.to_owned(), element: element as u64, produced, recorded });
            }
        }
        let floats = |it: I| it.map(Number::to_f64).collect::<Vec<_>>();
        self.add_row(limits, &floats(produced), &floats(recorded));
        if let Some(it) = worst {
            self.add_worst(it);
        }
    }

    /// Compares one row of texts, which are equal or not.
    pub(crate) fn add_texts(
        &mut self,
        limits: &Limits,
        produced: &[Option<Cow<'_, str>>],
        recorded: &[Option<Cow<'_, str>>],
        id: Option<&str>,
    ) {
        if !self.add_width(produced.len(), recorded.len()) {
            return;
        }
        self.elements += produced.len() as u64;
        let mut first = None;
        for (element, (a, b)) in produced.iter().zip(recorded).enumerate() {
            let is_missing = a.is_none() || b.is_none();
            if a == b && (!is_missing || limits.equal_nan) {
                continue;
            }
            self.mismatched += 1;
            self.non_finite += u64::from(is_missing);
            first = first.or(Some((element, a, b)));
        }
        if let (Some((element, a, b)), Some(id)) = (first, id) {
            let [produced, recorded] = [(a, b), (b, a)].map(|(it, other)| excerpt(it.as_deref(), other.as_deref()));
            let (excess, id, element) = (f64::INFINITY, id.to_owned(), element as u64);
            self.add_worst(WorstRow { excess, id, element, produced, recorded });
        }
    }

    /// Counts a row, and returns whether it has the recorded width.
    fn add_width(&mut self, produced: usize, recorded: usize) -> bool {
        self.present += 1;
        if produced == recorded {
            self.rows += 1;
            return true;
        }
        self.wrong_width_rows += 1;
        self.widths.insert((produced as u64, recorded as u64));
        if self.widths.len() > WIDTHS {
            self.widths.pop_last();
        }
        false
    }

    /// Returns the error over the tolerance: above 1 is a mismatch.
    fn add_element(&mut self, limits: &Limits, produced: Number, recorded: Number) -> f64 {
        self.elements += 1;
        let (a, b) = (produced.to_f64(), recorded.to_f64());
        if !a.is_finite() || !b.is_finite() {
            if (limits.equal_infinity && a == b) || (limits.equal_nan && a.is_nan() && b.is_nan()) {
                return 0.0;
            }
            self.non_finite += 1;
            self.mismatched += 1;
            return f64::INFINITY;
        }
        let (error, allowed) = ((produced - recorded).abs(), produced.allowance(recorded, limits.rtol, limits.atol));
        self.finite += 1;
        self.sum_error.add(error);
        self.max_abs = self.max_abs.max(error);
        if error > 0.0 {
            self.max_rel = self.max_rel.max(error / b.abs());
            *self.histogram.entry((2.0 * error.log10()).floor().clamp(-1300.0, 1300.0) as i32).or_default() += 1;
        }
        let ulp = ulps(a, b);
        self.max_ulp = self.max_ulp.max(ulp);
        self.above_ulp += u64::from(limits.max_ulp.is_some_and(|it| ulp > it));
        // Not `excess > 1`: a division must not round a mismatch away.
        if error <= allowed {
            return 0.0;
        }
        self.mismatched += 1;
        (error / allowed).max(1.0f64.next_up())
    }

    fn add_row(&mut self, limits: &Limits, a: &[f64], b: &[f64]) {
        if a.len() < 2 {
            return;
        }
        self.wide_rows += 1;
        self.same_top += u64::from(highest(a, 1) == highest(b, 1));
        // As many as there are would always be the same.
        if a.len() > limits.top_k {
            self.ranked_rows += 1;
            self.same_top_k += u64::from(highest(a, limits.top_k) == highest(b, limits.top_k));
        }
        let cosine = cosine(a, b);
        if cosine.is_finite() {
            let cosine = cosine.clamp(-1.0, 1.0);
            self.min_cosine = Some(self.min_cosine.map_or(cosine, |it| it.min(cosine)));
        } else if a != b {
            self.no_cosine += 1;
        }
    }

    fn add_worst(&mut self, row: WorstRow) {
        self.worst.push(row);
        self.worst.sort_by(|a, b| {
            b.excess
                .total_cmp(&a.excess)
                .then_with(|| a.id.cmp(&b.id))
                .then_with(|| a.element.cmp(&b.element))
                .then_with(|| a.produced.cmp(&b.produced))
                .then_with(|| a.recorded.cmp(&b.recorded))
        });
        self.worst.truncate(WORST);
    }

    /// Takes in what another instance saw.
    pub(crate) fn merge(&mut self, other: Self) {
        for (sum, it) in [
            (&mut self.present, other.present),
            (&mut self.rows, other.rows),
            (&mut self.elements, other.elements),
            (&mut self.mismatched, other.mismatched),
            (&mut self.non_finite, other.non_finite),
            (&mut self.above_ulp, other.above_ulp),
            (&mut self.finite, other.finite),
            (&mut self.no_cosine, other.no_cosine),
            (&mut self.wide_rows, other.wide_rows),
            (&mut self.same_top, other.same_top),
            (&mut self.ranked_rows, other.ranked_rows),
            (&mut self.same_top_k, other.same_top_k),
            (&mut self.wrong_width_rows, other.wrong_width_rows),
        ] {
            *sum = sum.saturating_add(it);
        }
        self.kind = self.kind.or(other.kind);
        self.sum_error.merge(&other.sum_error);
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_rel = self.max_rel.max(other.max_rel);
        self.max_ulp = self.max_ulp.max(other.max_ulp);
        self.min_cosine = match (self.min_cosine, other.min_cosine) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (bin, count) in other.histogram {
            let it = self.histogram.entry(bin).or_default();
            *it = it.saturating_add(count);
        }
        self.widths.extend(other.widths);
        while self.widths.len() > WIDTHS {
            self.widths.pop_last();
        }
        other.worst.into_iter().for_each(|it| self.add_worst(it));
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.mismatched <= self.elements
            && self.non_finite <= self.mismatched
            && self.finite <= self.elements
            && self.same_top <= self.wide_rows
            && self.same_top_k <= self.ranked_rows
            && self.ranked_rows <= self.wide_rows
            && self.wide_rows <= self.rows
            && self.rows.checked_add(self.wrong_width_rows) == Some(self.present)
            && self.sum_error.is_consistent()
            && self.histogram.keys().all(|it| (-1300..=1300).contains(it))
            && self.worst.len() <= WORST
            && self.widths.len() <= WIDTHS
            && self.max_abs >= 0.0
            && self.max_rel >= 0.0
    }
}

/// Returns the cosine of two rows; NaN where it is not defined. Of equal rows it is 1, which rounding would miss.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    // Squares of great numbers overflow, and those of small ones vanish.
    let scale = |row: &[f64]| row.iter().fold(0.0_f64, |max, it| max.max(it.abs()));
    let (of_a, of_b) = (scale(a), scale(b));
    let (mut dot, mut squares_of_a, mut squares_of_b, mut are_equal) = (0.0, 0.0, 0.0, true);
    for (a, b) in a.iter().map(|it| it / of_a).zip(b.iter().map(|it| it / of_b)) {
        dot += a * b;
        squares_of_a += a * a;
        squares_of_b += b * b;
        are_equal &= a == b;
    }
    if are_equal { 1.0 } else { dot / (f64::sqrt(squares_of_a) * f64::sqrt(squares_of_b)) }
}

/// The number of `f32` steps between two finite numbers.
fn ulps(a: f64, b: f64) -> u64 {
    let place = |it: f64| {
        let bits = (it as f32).to_bits();
        let magnitude = i64::from(bits & 0x7fff_ffff);
        if bits >> 31 == 1 { -magnitude } else { magnitude }
    };
    place(a).abs_diff(place(b))
}

/// The indices of the k highest values; of equal ones the first, and NaN is lowest.
fn highest(values: &[f64], k: usize) -> BTreeSet<usize> {
    let key = |idx: usize| if values[idx].is_nan() { f64::NEG_INFINITY } else { values[idx] };
    let mut order: Vec<_> = (0..values.len()).collect();
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then_with(|| a.cmp(&b)));
    order.into_iter().take(k).collect()
}
