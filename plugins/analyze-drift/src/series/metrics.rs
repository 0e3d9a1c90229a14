//! The numbers of chunks and slices.

use std::collections::BTreeMap;

use modelwatch_profile::Key;
use modelwatch_sdk::{
    cells,
    report::{Interval, Labels, Metric},
};

use super::{Judged, Series, Sides, Unit};
use crate::{
    decision::Decision,
    report::labels,
    report_metrics::{Status, column_metrics, summary},
};

/// Returns the numbers of all rows, then those of each slice, each followed by those of its chunks.
pub(super) fn metrics(sides: Sides<'_>, series: &[Series]) -> Vec<Metric> {
    let mut res = cells::coverage(sides.cutting, series, |_| true);
    if !sides.cutting.slices.is_empty() {
        let slices = || series.iter().filter(|it| it.slice.is_some());
        let n = slices().flat_map(Series::judged).map(|it| it.0.n_current).fold(0, u64::saturating_add);
        let drifted = slices().filter(|it| it.judged().any(|it| it.1.is_drifted())).count();
        res.push(Metric::new("drifted_slices", drifted as f64).n(n));
    }
    for it in series {
        of_series(sides, it, &mut res);
    }
    res
}

fn of_series(sides: Sides<'_>, series: &Series, res: &mut Vec<Metric>) {
    let labels: Labels = series.slice.iter().map(|it| ("slice".to_owned(), it.clone())).collect();
    let n = series.judged().map(|it| it.0.n_current).fold(0, u64::saturating_add);
    res.extend(summary(sides.config, &statuses(series.judged().map(|it| it.1)), n, &labels));
    if sides.cutting.period.is_none() {
        let decisions = series.judged().flat_map(|it| &it.1.decisions);
        decisions.for_each(|it| column_metrics(sides.config, it, &labels, res));
        return;
    }
    let mut push = |name: &str, value: usize| res.push(Metric::new(name, value as f64).n(n).labels(&labels));
    push("drifted_chunks", series.judged().filter(|it| it.1.is_drifted()).count());
    for (key, drifted) in drifted_chunks(series) {
        res.push(Metric::new("drifted_chunks", drifted as f64).n(n).labels(&labels).labels(&self::labels(key)));
    }
    for (unit, judged) in series.judged() {
        of_chunk(sides, &labels, unit, judged, res);
    }
}

fn of_chunk(sides: Sides<'_>, labels: &Labels, unit: &Unit, judged: &Judged, res: &mut Vec<Metric>) {
    let mut labels = labels.clone();
    labels.extend(unit.name.iter().map(|it| ("chunk".to_owned(), it.clone())));
    res.extend(summary(sides.config, &statuses(std::iter::once(judged)), unit.n_current, &labels));
    for it in &judged.decisions {
        of_column(it, &labels, res);
    }
}

/// The score, p-value and verdict; all that is said of a column as a whole would be too much of each chunk.
fn of_column(decision: &Decision, labels: &Labels, res: &mut Vec<Metric>) {
    let comparison = &decision.comparison;
    let rows = comparison.current.rows;
    let mut push = |it: Metric| res.push(it.labels(labels).labels(&self::labels(&comparison.key)));
    if decision.is_compared() {
        push(Metric::new("missing_share_difference", comparison.missing_difference()).n(rows));
        push(Metric::new("drifted", f64::from(u8::from(decision.is_drifted()))).n(rows));
    }
    let Some(part) = decision.leading_part() else { return };
    if let Some(it) = decision.p_value {
        push(Metric::new("p_value", it).n(rows));
    }
    if let Some(it) = part.peer {
        push(Metric::new("score", it.value).n(comparison.current.usable));
    }
    let effect = part.score.effect;
    let interval = effect.interval.map(|it| Interval { low: it.low, high: it.high, level: it.level });
    push(Metric::new("effect", effect.value).n(comparison.current.usable).interval(interval));
}

/// Returns what became of each column, in any of the chunks.
fn statuses<'a>(judged: impl Iterator<Item = &'a Judged>) -> BTreeMap<&'a Key, Status> {
    let mut res: BTreeMap<&Key, Status> = BTreeMap::new();
    for it in judged.flat_map(|it| &it.decisions) {
        res.entry(&it.comparison.key).or_default().add(it);
    }
    res
}

/// Returns in how many chunks each column was found drifted.
pub(super) fn drifted_chunks(series: &Series) -> BTreeMap<&Key, usize> {
    let mut res: BTreeMap<&Key, usize> = BTreeMap::new();
    for it in series.judged().flat_map(|it| &it.1.decisions).filter(|it| it.is_compared()) {
        *res.entry(&it.comparison.key).or_default() += usize::from(it.is_drifted());
    }
    res
}
