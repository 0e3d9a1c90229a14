//! Whether probabilities still mean what they meant.

use crate::classification::CalibrationBins;
use crate::error::{Reason, Undefined};

use super::family::permutation_p_value;
use super::pool::{Dealings, Strata};

/// How calibration differs between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationChange {
    /// The expected calibration error of the reference, in ten bins of equal width.
    pub reference_ece: f64,
    /// That of the current sample.
    pub current_ece: f64,
    /// How much more often than its score says a current row is positive, over how much more often a reference row is.
    pub gap_change: f64,
    /// The statistic.
    pub statistic: f64,
    /// The p-value of no change of the share of positives at any score.
    pub p_value: f64,
}

/// Returns how much more or less often rows of one score are positive than they were. Rows are probabilities with what came true.
///
/// Rows of both samples are cut by score into at most `n_bins` parts of equal size, equal scores staying together. The statistic is
/// `Σ (m n / (m + n)) (r - s)² / v` over the parts, with the mean residuals `truth - score` of m reference and n current rows, and the
/// mean `v` of `score (1 - score)`. The residuals are dealt out again within each part, so that another distribution of scores
/// alone is no change. Two calibration errors of samples of different sizes cannot be compared by themselves: fewer rows have greater ones.
///
/// Undefined without rows on a side, and for scores outside 0..1.
///
/// ```
/// use modelwatch_stats::multivariate::calibration_change;
///
/// // One in four of the reference is positive at 0.25 and three in four at 0.75; now it is half at both.
/// let rows = |low: u32, high: u32| -> Vec<(f64, bool)> {
///     (0..200).map(|it| if it % 2 == 0 { (0.25, it / 2 % 4 < low) } else { (0.75, it / 2 % 4 < high) }).collect()
/// };
/// let change = |current: &[(f64, bool)]| calibration_change(&rows(1, 3), current, 10, 199, 1).unwrap();
/// assert_eq!(change(&rows(1, 3)).p_value, 1.0);
/// let found = change(&rows(2, 2));
/// assert!(found.p_value == 0.005 && (found.current_ece - 0.25).abs() < 1e-12 && found.gap_change.abs() < 1e-12);
/// ```
pub fn calibration_change(
    reference: &[(f64, bool)],
    current: &[(f64, bool)],
    n_bins: usize,
    n_random: usize,
    seed: u64,
) -> Result<CalibrationChange, Undefined> {
    if reference.is_empty() || current.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let (reference_ece, current_ece) = (ece(reference)?, ece(current)?);
    let mut rows: Vec<(f64, f64, bool)> = Vec::with_capacity(reference.len() + current.len());
    for (side, is_current) in [(reference, false), (current, true)] {
        rows.extend(side.iter().map(|&(score, truth)| (score, f64::from(u8::from(truth)) - score, is_current)));
    }
    rows.sort_by(|left, right| left.0.total_cmp(&right.0));
    let parts = parts(&rows, n_bins.max(1));
    let is_current: Vec<bool> = rows.iter().map(|it| it.2).collect();
    let dealings = Dealings::new(&is_current, Strata::Given(&parts), n_random, seed)?;
    let mut statistics = vec![0.0; dealings.len()];
    for members in dealings.members() {
        add_part(&mut statistics, &rows, &members, &dealings);
    }
    let mean =
        |is_current: bool, n: usize| rows.iter().filter(|it| it.2 == is_current).map(|it| it.1).sum::<f64>() / n as f64;
    Ok(CalibrationChange {
        reference_ece,
        current_ece,
        gap_change: mean(true, current.len()) - mean(false, reference.len()),
        statistic: statistics[0],
        p_value: permutation_p_value(&statistics),
    })
}

/// Adds the statistic of one part for each dealing.
fn add_part(statistics: &mut [f64], rows: &[(f64, f64, bool)], members: &[usize], dealings: &Dealings<'_>) {
    let n = members.iter().filter(|&&it| rows[it].2).count() as f64;
    let m = members.len() as f64 - n;
    let variance = members.iter().map(|&it| rows[it].0 * (1.0 - rows[it].0)).sum::<f64>() / (m + n);
    if m == 0.0 || n == 0.0 {
        return;
    }
    let total: f64 = members.iter().map(|&it| rows[it].1).sum();
    let mut current = vec![0.0; statistics.len()];
    for &row in members {
        current.iter_mut().zip(dealings.of_row(row)).for_each(|(sum, label)| *sum += label * rows[row].1);
    }
    // Scores of exactly 0 and 1 claim to know; 1e-6 is the variance of one in a million.
    let weight = m * n / (m + n) / variance.max(1e-6);
    for (statistic, current) in statistics.iter_mut().zip(current) {
        *statistic += weight * (current / n - (total - current) / m).powi(2);
    }
}

/// Returns the part of each row, given rows in the order of their scores.
fn parts(rows: &[(f64, f64, bool)], n_bins: usize) -> Vec<usize> {
    let mut res = Vec::with_capacity(rows.len());
    // Parts are numbered without a hole, however long a run of one score is.
    let (mut part, mut tenth) = (0, 0);
    for run in rows.chunk_by(|left, right| left.0 == right.0) {
        let wanted = res.len() * n_bins / rows.len();
        if wanted > tenth {
            (part, tenth) = (part + 1, wanted);
        }
        res.extend(std::iter::repeat_n(part, run.len()));
    }
    res
}

fn ece(rows: &[(f64, bool)]) -> Result<f64, Undefined> {
    let mut bins = CalibrationBins::default();
    rows.iter().for_each(|&(score, truth)| bins.push(truth, score, 1.0));
    bins.ece()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn uniform(seed: u64) -> f64 {
        (mix(seed) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Rows whose scores are right, the scores themselves pulled towards 0 by `power`.
    fn calibrated(seed: u64, n: u64, power: f64) -> Vec<(f64, bool)> {
        (0..n)
            .map(|it| {
                let score = uniform(seed * 10_000 + 2 * it).powf(power);
                (score, uniform(seed * 10_000 + 2 * it + 1) < score)
            })
            .collect()
    }

    #[test]
    fn other_scores_that_are_as_right_are_no_change() {
        let n_runs = 200;
        let alarms = (0..n_runs)
            .filter(|run| {
                let (left, right) = (calibrated(2 * run + 1, 300, 1.0), calibrated(2 * run + 2, 200, 2.0));
                calibration_change(&left, &right, 10, 99, *run).unwrap().p_value <= 0.05
            })
            .count();
        // 5 % of 200 is 10, and three standard errors are 9.2.
        assert!(alarms <= 19, "{alarms}");
    }

    #[test]
    fn rows_that_come_true_more_often_are_a_change() {
        let left = calibrated(1, 300, 1.0);
        let mut right = calibrated(2, 300, 1.0);
        right.iter_mut().filter(|it| it.0 > 0.5).for_each(|it| it.1 = true);
        let found = calibration_change(&left, &right, 10, 199, 1).unwrap();
        assert!(found.p_value == 0.005 && found.gap_change > 0.05 && found.current_ece > found.reference_ece);
    }

    #[test]
    fn bad_scores_and_no_rows_are_undefined() {
        let rows = [(0.5, true)];
        let reason =
            |left: &[(f64, bool)], right: &[(f64, bool)]| calibration_change(left, right, 10, 9, 1).unwrap_err().reason;
        assert_eq!(reason(&[], &rows), Reason::Empty);
        assert_eq!(reason(&rows, &[(1.5, true)]), Reason::OutOfRange);
        assert_eq!(reason(&rows, &[(f64::NAN, true)]), Reason::NotANumber);
        assert_eq!(calibration_change(&rows, &[(1.0, true)], 10, 9, 1).unwrap().p_value, 1.0);
    }
}
