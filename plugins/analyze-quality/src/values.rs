//! The values of single columns: missing, equal, out of range, unknown, far from the others.

use modelwatch_sdk::{
    Report,
    report::{Finding, Gap, Severity},
    rows::Use,
};
use modelwatch_stats::{
    Point,
    categories::{CategoryCounts, align},
    outliers::{Fences, ROBUST_Z, TUKEY_FACTOR, count_outside, robust_fences, tukey_fences},
    quantile::quantiles,
    weights::Mass,
};

use crate::{
    column::{Body, Column},
    context::{Context, above, finding, measure_column, number, percent, some},
    numbers::Numbers,
    texts,
    weighed::{Weighed, worth},
};

/// How often values that the reference has none of may be called news by accident, over all columns and parts.
const NEWS_ALPHA: f64 = 0.01;

/// How many times the width of the reference's range a single value has to be away from it to count.
const FAR: f64 = 10.0;

/// Judges each column.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) {
    for (name, column) in context.current.columns() {
        let known = context.reference.and_then(|it| it.columns().get(name));
        let it = Judged { context, name, column, known };
        it.missing(report);
        it.equal(report);
        it.written(report);
        match column.body() {
            Body::Numbers(numbers) => it.numbers(numbers, report),
            Body::Names(names) => {
                it.categories(names.categories(), report);
                texts::judge(&it, names, report);
            }
            Body::Times(_) | Body::Empty | Body::Stored(_) => {}
        }
    }
}

/// A column of the current rows, and what the reference has under that name.
pub(crate) struct Judged<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) name: &'a str,
    pub(crate) column: &'a Column,
    pub(crate) known: Option<&'a Column>,
}

impl Judged<'_> {
    /// Adds a number about this column.
    pub(crate) fn measure(&self, report: &mut Report, name: &str, value: f64, n: u64) {
        measure_column(report, self.name, name, value, n);
    }

    /// Returns a finding about this column of the severity for what is not written.
    pub(crate) fn finding(&self, code: &'static str, message: String) -> Finding {
        finding(code, self.context.severity(), self.name, message)
    }

    /// Returns a finding about what is written of this column.
    pub(crate) fn breach(&self, code: &'static str, message: String) -> Finding {
        finding(code, Severity::Error, self.name, message)
    }

    /// Returns whether its values are meant to be new: identifiers and the times of rows.
    fn grows(&self) -> bool {
        self.column.has_use(Use::Id) || self.column.has_use(Use::Timestamp)
    }

    fn missing(&self, report: &mut Report) {
        let (column, name) = (self.column, self.name);
        let (rows, share) = (column.rows(), self.context.missing_share(column));
        self.measure(report, "missing_share", share, rows);
        if let Body::Numbers(it) = column.body() {
            let nan = self.context.share(column, it.sample().n_nan(), rows, |it| (it.nan, it.all));
            let infinite = self.context.share(column, it.n_infinite(), rows, |it| (it.infinite, it.all));
            self.measure(report, "nan_share", nan, rows);
            self.measure(report, "infinite_share", infinite, rows);
        }
        if rows == 0 {
            return;
        }
        let written = self.context.settings.max_missing(name, column, self.known);
        if let Some(limit) = written.filter(|it| share > *it) {
            let message =
                format!("{} of `{name}` is missing, more than `max_missing`, {}", percent(share), percent(limit));
            report.findings.push(self.missing_finding(self.breach("MW-Q010", message), share, limit));
        }
        let usual = self
            .known
            .filter(|it| it.rows() > 0)
            .map(|it| (self.context.missing_share(it), self.context.missing_worth(it)));
        if column.n_present() == 0 {
            let is_usual = self.known.is_some_and(|it| it.n_present() == 0);
            let severity = if is_usual { Severity::Info } else { self.context.severity() };
            let message = format!("every value of `{name}` is missing, in all {rows} rows");
            report.findings.push(finding("MW-Q011", severity, name, message).evidence("n", rows));
        } else if written.is_none() {
            let least = self.context.settings.config.limits.missing;
            let limit = usual.map_or(least, |(usual, n)| {
                let chance = |n: u64| self.context.chance(usual, n);
                least.max(usual + chance(self.context.missing_worth(column)) + chance(n))
            });
            if share > limit {
                let message = format!("{} of `{name}` is missing, more than {}", percent(share), percent(limit));
                report.findings.push(self.missing_finding(self.finding("MW-Q010", message), share, limit));
            }
        }
        self.not_finite(report);
    }

    fn missing_finding(&self, finding: Finding, share: f64, limit: f64) -> Finding {
        let finding = above(finding, share, limit, self.column.rows());
        finding.evidence("nulls", self.column.nulls()).evidence("nan", self.column.n_nan())
    }

    fn not_finite(&self, report: &mut Report) {
        let Body::Numbers(it) = self.column.body() else { return };
        let known = match self.known.map(Column::body) {
            Some(Body::Numbers(it)) => (it.sample().n_nan(), it.n_infinite()),
            Some(Body::Stored(it)) => (it.n_nan(), it.n_infinite()),
            _ => (0, 0),
        };
        let found =
            [("MW-Q012", "NaN", it.sample().n_nan(), known.0), ("MW-Q013", "infinite", it.n_infinite(), known.1)];
        for (code, word, count, known) in found {
            let n_known = self.known.map_or(0, Column::rows);
            if count > 0 && known == 0 && !self.may_be_chance(count, n_known) {
                let than = if self.known.is_some() { ", and none of the reference rows is" } else { "" };
                let message = format!("{count} values of `{}` are {word}{than}", self.name);
                report
                    .findings
                    .push(self.finding(code, message).evidence("count", count).evidence("n", self.column.rows()));
            }
        }
    }

    /// Returns whether so many rows of a chunk or slice may be of a kind by accident of which there is none among `n` of the reference.
    ///
    /// What is rare is in some of many parts and not in others; of all rows a single one is news.
    pub(crate) fn may_be_chance(&self, count: u64, n: u64) -> bool {
        let is_part = self.context.parts.is_some() && n > 0;
        // That all of them are among the current rows is as likely as that these are the greatest ones.
        is_part && chance_beyond(count, n, self.column.rows()) > self.context.share_of(NEWS_ALPHA)
    }

    /// Returns whether all other values of the reference may be absent from the current rows by accident.
    fn may_be_constant(&self, known: &Column) -> bool {
        let (n, n_known) = (self.column.n_present(), known.n_present());
        let n_alike = match known.stored() {
            Some(it) => it.n_alike(self.column),
            None => {
                let overlap = known.values().overlap(self.column.values());
                let scale = n_known as f64 / overlap.n as f64;
                (!known.is_opaque() && overlap.n > 0).then(|| (overlap.n_shared as f64 * scale).round() as u64)
            }
        };
        let Some(n_alike) = n_alike else { return false };
        chance_beyond(n_known.saturating_sub(n_alike), n, n_known) > self.context.share_of(NEWS_ALPHA)
    }

    fn equal(&self, report: &mut Report) {
        let (column, n) = (self.column, self.column.n_present());
        if column.is_opaque() {
            return;
        }
        let values = column.values();
        self.measure(report, "distinct", values.distinct().round(), n);
        if !values.is_overflowed() && n > 0 {
            self.measure(report, "top_share", values.greatest_count() as f64 / n as f64, n);
        }
        if values.is_overflowed() {
            let why = format!(
                "there are more than {} different values, so that their number is estimated with a relative error of {}",
                self.context.settings.config.max_distinct,
                percent(values.relative_error()),
            );
            report.gaps.push(Gap::new(format!("column `{}`, number of different values", self.name), why));
        }
        // Rows of one day have one date.
        if column.is_constant() && !column.has_use(Use::Timestamp) {
            // In a part it may go with what makes the part, as the country with the city.
            let is_usual = match self.known {
                Some(it) => it.is_constant() || self.may_be_constant(it),
                None => self.context.parts.is_some(),
            };
            let severity = if is_usual { Severity::Info } else { self.context.severity() };
            let message = format!("`{}` has one value in all {n} rows that have any", self.name);
            report.findings.push(finding("MW-Q015", severity, self.name, message).evidence("n", n));
        }
        if self.context.settings.rule(self.name, self.column).is_some_and(|it| it.written.unique) {
            match column.n_repeated() {
                Some(0) => {}
                Some(count) => {
                    let message =
                        format!("{count} values of `{}` repeat another one, and all are to be unique", self.name);
                    report.findings.push(self.breach("MW-Q016", message).evidence("count", count).evidence("n", n));
                }
                None if values.repeated_share() > 0.0 => {
                    let share = values.repeated_share();
                    let message = format!(
                        "about {} of `{}` repeats another value, and all are to be unique",
                        percent(share),
                        self.name
                    );
                    report.findings.push(number(self.breach("MW-Q016", message), "share", share).evidence("n", n));
                }
                None => {
                    let why = "too many different values to be sure that none repeats; raise `max_distinct`";
                    report.gaps.push(Gap::new(format!("column `{}`, uniqueness", self.name), why));
                }
            }
        }
    }

    fn categories(&self, categories: &CategoryCounts, report: &mut Report) {
        if categories.is_overflowed() {
            let why = format!(
                "there are more than {} categories, of which as many are told apart",
                self.context.settings.config.max_categories
            );
            report.gaps.push(Gap::new(format!("column `{}`, in part", self.name), why));
        }
        let Some(known) = self.known else { return };
        let names = match known.body() {
            Body::Names(it) => it.categories(),
            Body::Stored(it) => match it.categories() {
                Some(it) => it,
                None => return,
            },
            _ => return,
        };
        if categories.n() == 0 || names.n() == 0 {
            return;
        }
        // Of a profile with the most frequent categories alone, the others may have been among those that it left out.
        if known.stored().is_some() && names.is_overflowed() {
            let why = format!(
                "the stored profile of the reference keeps the {} most frequent categories, so that others may be new or not",
                names.n_kept()
            );
            report.gaps.push(Gap::new(format!("column `{}`, unseen categories", self.name), why));
            return;
        }
        let aligned = align(names, categories);
        let pairs = || aligned.keys.iter().zip(aligned.reference.iter().zip(&aligned.current));
        let unseen: Vec<_> = pairs().filter(|it| *it.1.0 == 0).map(|it| it.0.as_str()).collect();
        let count = pairs().filter(|it| *it.1.0 == 0).map(|it| *it.1.1).fold(0, u64::saturating_add);
        let n_known = aligned.current.iter().copied().fold(0, u64::saturating_add);
        let found = Parted::new(self.context, self.column, pairs().map(|it| (it.0.as_str(), *it.1.1, *it.1.0 == 0)));
        let share = found.share();
        self.measure(report, "unseen_share", share, n_known);
        let is_written = self.context.settings.rule(self.name, self.column).is_some_and(|it| it.categories.is_some());
        if count == 0 || is_written || self.grows() {
            return;
        }
        // Of the next rows, as many are expected to be new as categories of the reference occurred once (Good 1953), and to weigh as much.
        let n_reference = aligned.reference.iter().copied().fold(0, u64::saturating_add);
        let once = Parted::new(self.context, known, pairs().map(|it| (it.0.as_str(), *it.1.0, *it.1.0 == 1)));
        // NaN is less than any number here: of nothing, nothing is expected.
        let usual = once.share().max(0.0);
        let chance = |it: &Parted| self.context.chance(usual, worth(&it.0));
        let expected = usual + chance(&found) + chance(&once);
        // Where every category is expected to be new, as for texts that are all different, none is news, nor what weighs nothing.
        if share.is_nan() || expected >= 1.0 {
            return;
        }
        let is_chance = share <= expected || self.may_be_chance(count, n_reference);
        let severity = if is_chance { Severity::Info } else { self.context.severity() };
        let message = format!(
            "{} of `{}` has {} categories that the reference lacks (up to {} is to be expected): {}",
            percent(share),
            self.name,
            unseen.len(),
            percent(expected),
            some(&unseen),
        );
        let finding = finding("MW-Q021", severity, self.name, message).evidence("n_categories", unseen.len() as u64);
        report.findings.push(number(number(finding, "share", share), "expected", expected).evidence("n", n_known));
    }

    fn numbers(&self, numbers: &Numbers, report: &mut Report) {
        let (points, n) = (numbers.points(), numbers.sample().n_finite());
        let Some((least, greatest)) = numbers.range().filter(|_| n > 0) else { return };
        self.measure(report, "min", least.to_f64(), n);
        self.measure(report, "max", greatest.to_f64(), n);
        if let Some(shape) = numbers.shape(&points) {
            self.measure(report, "mean", shape.mean, n);
            self.measure(report, "standard_deviation", shape.variance.sqrt(), n);
            shape.skewness.into_iter().for_each(|it| self.measure(report, "skewness", it, n));
            shape.kurtosis.into_iter().for_each(|it| self.measure(report, "kurtosis", it, n));
        }
        // Infinities are the ends of the values, not missing ones.
        if let Ok(values) = quantiles(&numbers.sample().points_with_infinities(), &[0.25, 0.5, 0.75]) {
            for (name, value) in ["quartile_1", "median", "quartile_3"].into_iter().zip(values) {
                self.measure(report, name, value, numbers.sample().n());
            }
        }
        let zero = self.context.share(self.column, numbers.n_zero(), n, |it| (it.zero, it.finite()));
        let negative = self.context.share(self.column, numbers.n_negative(), n, |it| (it.negative, it.finite()));
        self.measure(report, "zero_share", zero, n);
        self.measure(report, "negative_share", negative, n);
        self.range(numbers, &points, report);
        self.outliers(numbers, &points, report);
        self.inexact(numbers, report);
    }

    /// Says what is not exact about the numbers.
    fn inexact(&self, numbers: &Numbers, report: &mut Report) {
        let mut why = Vec::new();
        if !numbers.sample().is_exact() {
            let rest = if numbers.is_whole() { "quantiles" } else { "quantiles, mean and spread" };
            why.push(format!(
                "beyond {} values {rest} are those of a histogram with a relative error of 1/256",
                numbers.sample().budget()
            ));
        }
        if numbers.has_wide() {
            why.push(
                "quantiles of whole numbers beyond 2^53 are rounded; counts, range, mean and spread are exact"
                    .to_owned(),
            );
        }
        if numbers.has_rounded_decimals() {
            why.push("decimals with more than 15 digits were rounded, but for telling them apart".to_owned());
        }
        report.gaps.extend(why.into_iter().map(|it| Gap::new(format!("column `{}`, last digits", self.name), it)));
    }

    /// Judges the range against that of the reference.
    fn range(&self, numbers: &Numbers, points: &[Point], report: &mut Report) {
        let (known, n) = match self.known.map(Column::body) {
            Some(Body::Numbers(it)) => (it.range(), it.sample().n_finite()),
            Some(Body::Stored(it)) => (it.range(), it.n_finite()),
            _ => return,
        };
        let (Some((low, high)), Some((least, greatest))) = (known, numbers.range()) else { return };
        let count =
            |is: &dyn Fn(f64) -> bool| points.iter().filter(|it| is(it.0)).map(|it| it.1).fold(0, u64::saturating_add);
        // Whether there is one at all is known exactly, also where the points are those of a histogram.
        let is_below = least.is_less(low);
        let is_above = high.is_less(greatest);
        let below = if is_below { count(&|it| it < low.to_f64()).max(1) } else { 0 };
        let above = if is_above { count(&|it| it > high.to_f64()).max(1) } else { 0 };
        let m = numbers.sample().n_finite();
        self.measure(report, "out_of_range_share", below.saturating_add(above) as f64 / m as f64, m);
        let rule = self.context.settings.rule(self.name, self.column);
        let is_written = rule.is_some_and(|it| it.min.is_some() || it.max.is_some());
        let alpha = self.context.share_of(NEWS_ALPHA);
        let width = (high.to_f64() - low.to_f64()).abs();
        let is_far = width > 0.0
            && (low.to_f64() - least.to_f64() > FAR * width || greatest.to_f64() - high.to_f64() > FAR * width);
        let is_many = chance_beyond(below, n, m) <= alpha || chance_beyond(above, n, m) <= alpha;
        if below.max(above) == 0 || is_written || self.grows() || !(is_many || is_far) {
            return;
        }
        let message = format!(
            "{} of `{}` is outside of the reference's range, {low} to {high}: the values are from {least} to {greatest}",
            percent(below.saturating_add(above) as f64 / m as f64),
            self.name,
        );
        let finding = self.finding("MW-Q020", message).evidence("below", below).evidence("above", above);
        report.findings.push(finding.evidence("n", m).evidence("n_reference", n));
    }

    fn outliers(&self, numbers: &Numbers, points: &[Point], report: &mut Report) {
        let reference = match self.known.map(Column::body) {
            Some(Body::Numbers(it)) if it.sample().n_finite() > 0 => Some(it.points()),
            Some(Body::Stored(it)) if it.n_finite() > 0 => it.points(),
            _ => None,
        };
        let usual = reference.as_deref().unwrap_or(points);
        let n = numbers.sample().n_finite();
        let share_outside = |fences: Fences| count_outside(points, fences) as f64 / n as f64;
        if let Ok(fences) = tukey_fences(usual, TUKEY_FACTOR) {
            self.measure(report, "outlier_share_iqr", share_outside(fences), n);
        }
        let Ok(fences) = robust_fences(usual, ROBUST_Z) else { return };
        let share = share_outside(fences);
        self.measure(report, "outlier_share", share, n);
        let limit = self.context.settings.config.limits.outliers;
        if let Some(limit) = limit.filter(|it| share > *it && !self.grows()) {
            let message = format!(
                "{} of `{}` is outside of {:.4} to {:.4}, more than {}",
                percent(share),
                self.name,
                fences.low,
                fences.high,
                percent(limit),
            );
            report.findings.push(above(self.finding("MW-Q027", message), share, limit, n));
        }
    }
}

/// What rows weigh, or how many there are: those of other categories, and those of some that are meant.
struct Parted([Mass; 2]);

impl Parted {
    /// Adds up categories of a column, given how many rows each has and whether it is meant.
    fn new<'a>(context: &Context<'_>, column: &Column, categories: impl Iterator<Item = (&'a str, u64, bool)>) -> Self {
        let masses = context.weighed(column).map(Weighed::masses);
        let mut res = [Mass::default(); 2];
        for (name, count, is_meant) in categories {
            let mass = match &masses {
                Some(it) => it.get(name).copied().unwrap_or_default(),
                None => Mass { weight: count as f64, square: count as f64 },
            };
            let sum = &mut res[usize::from(is_meant)];
            sum.weight += mass.weight;
            sum.square += mass.square;
        }
        Self(res)
    }

    /// Returns the share of those that are meant; NaN of nothing.
    fn share(&self) -> f64 {
        let [others, meant] = self.0;
        meant.weight / (others.weight + meant.weight)
    }
}

/// Returns the chance that `k` or more of `m` rows are beyond the greatest of `n` rows of the same distribution: with all orders of the
/// `n + m` rows equally likely, the `k` greatest of them all have to be among the `m`.
fn chance_beyond(k: u64, n: u64, m: u64) -> f64 {
    // C(n + m - k, n) / C(n + m, n) is the product of as many fractions as the smaller of k and n.
    let (steps, other) = (k.min(n), k.max(n) as f64);
    let total = n as f64 + m as f64;
    let mut res = 1.0;
    for it in 0..steps {
        let left = total - it as f64;
        res *= (1.0 - other / left).max(0.0);
        if res < 1e-300 {
            break;
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_greater_values_is_that_of_their_order() {
        // Of one row against one, half are greater.
        assert_eq!(chance_beyond(1, 1, 1), 0.5);
        // Of two and two rows, both are the greatest in one of six orders.
        assert!((chance_beyond(2, 2, 2) - 1.0 / 6.0).abs() < 1e-15);
        assert_eq!(chance_beyond(0, 5, 5), 1.0);
        assert!(chance_beyond(1_000_000, 1000, 1_000_000) < 1e-200);
    }
}
