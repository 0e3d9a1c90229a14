//! The classifier two-sample test (Friedman 2003; Lopez-Paz & Oquab 2017): whether a model can tell the samples apart.

use crate::boosting::{BoostedTrees, BoostingOptions, Loss, TrainingRows};
use crate::error::{Reason, Undefined};

use super::design::{Design, Stop};
use super::lanes::{LANES, Lanes, Panels};
use super::logistic::{Logistic, Penalty};
use super::pool::{Dealings, Pool};

/// Enough for the direction of the weights, on which alone the area depends. Every dealing is treated alike, so that the p-value does not
/// depend on how near the maximum it gets.
const STOP: Stop = Stop { steps: 8, moved: 1e-3 };

/// Few and shallow, so that as many forests as there are dealings and folds can be grown.
const TREES: BoostingOptions =
    BoostingOptions { loss: Loss::Logistic, n_trees: 16, max_depth: 3, learning_rate: 0.3, min_leaf_rows: 5, l2: 1.0 };

/// What tells the samples apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Classifier {
    /// A logistic model with a penalty: shifts.
    Logistic(Penalty),
    /// Boosted trees of depth 3: any difference of up to three columns together. A hundred times slower.
    Trees,
}

/// Returns the cross-fitted area under the ROC curve of each dealing: how often a model gives a current row a higher score than
/// a reference row, where it has learned from the other folds alone.
///
/// The mean over the folds of the dealings, weighted by their pairs of rows. 0.5 means that the samples look alike, but a normal
/// approximation of its spread would be wrong: each fold is judged by what was learned from the others, so that the areas of folds
/// depend on each other. So the dealings judge it, which deal within folds ([`Strata::Folds`](super::Strata::Folds)).
/// Undefined for fewer than two folds, and fewer than two rows in a sample.
///
/// ```
/// use modelwatch_stats::multivariate::{
///     Classifier, Dealings, Penalty, Pool, Rows, Strata, cross_fitted_auc, permutation_p_value,
/// };
///
/// let left: Vec<f64> = (0..40).map(f64::from).collect();
/// let right: Vec<f64> = (20..60).map(f64::from).collect();
/// let pool = Pool::new(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), 1).unwrap();
/// let dealings = Dealings::new(pool.is_current(), Strata::Folds(5), 99, 1).unwrap();
/// let areas = cross_fitted_auc(&pool, &dealings, Classifier::Logistic(Penalty(1.0))).unwrap();
/// // Of 1600 pairs those of the 20 common numbers are wrong or tied.
/// assert!((areas[0] - 0.875).abs() < 0.05 && permutation_p_value(&areas) == 0.01);
/// ```
pub fn cross_fitted_auc(pool: &Pool, dealings: &Dealings<'_>, classifier: Classifier) -> Result<Vec<f64>, Undefined> {
    let rows = pool.rows();
    match classifier {
        Classifier::Logistic(penalty) => cross_fitted(pool, dealings, LANES, |split| {
            let of_rows = |of: &[usize]| of.iter().map(|&it| rows.row(it)).collect::<Vec<&[f64]>>();
            let design = Design::new(&of_rows(split.others), penalty)?;
            let fold = of_rows(split.fold);
            let fold = Panels::new(fold.len(), rows.width(), |row, column| fold[row][column]);
            Ok(move |labels: &[Vec<f64>]| {
                // Lanes that are left over learn what the last one does.
                let of_row = |row: usize| std::array::from_fn(|it| labels[it.min(labels.len() - 1)][row]);
                let of_rows: Vec<Lanes> = (0..labels[0].len()).map(of_row).collect();
                let models = design.fit(&of_rows, STOP);
                let mut res = vec![Vec::new(); labels.len()];
                models.each_score(&fold, |_, scores| res.iter_mut().zip(scores).for_each(|(to, it)| to.push(it)));
                Ok(res)
            })
        }),
        Classifier::Trees => cross_fitted(pool, dealings, 1, |split| {
            let columns = |of: &[usize]| -> Vec<Vec<f64>> {
                (0..rows.width()).map(|column| of.iter().map(|&it| rows.row(it)[column]).collect()).collect()
            };
            let (others, fold) = (columns(split.others), columns(split.fold));
            Ok(move |labels: &[Vec<f64>]| {
                let scores = |target: &Vec<f64>| {
                    let training = TrainingRows { columns: &slices(&others), target, weights: None };
                    BoostedTrees::fit(training, &TREES)?.predict(&slices(&fold))
                };
                labels.iter().map(scores).collect()
            })
        }),
    }
}

fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

/// The rows of one fold, and those of all others.
struct Split<'a> {
    fold: &'a [usize],
    others: &'a [usize],
}

/// Returns the areas, given what makes of a split a function from the labels of the other folds, of so many dealings at once, to the
/// scores of the fold.
fn cross_fitted<L>(
    pool: &Pool,
    dealings: &Dealings<'_>,
    n_at_once: usize,
    learner: impl Fn(Split<'_>) -> Result<L, Undefined>,
) -> Result<Vec<f64>, Undefined>
where
    L: Fn(&[Vec<f64>]) -> Result<Vec<Vec<f64>>, Undefined>,
{
    let n_rows = pool.rows().len();
    dealings.check(n_rows)?;
    let n_current = dealings.n_current();
    let folds: Vec<Vec<usize>> = dealings.members().into_iter().filter(|it| !it.is_empty()).collect();
    if folds.len() < 2 || n_current.min(n_rows - n_current) < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let (mut sums, mut n_pairs) = (vec![0.0; dealings.len()], 0.0);
    for (idx, fold) in folds.iter().enumerate() {
        let current = fold.iter().filter(|&&it| dealings.of_row(it)[0] > 0.0).count();
        let pairs = (current * (fold.len() - current)) as f64;
        // A fold of one sample has no area.
        if pairs == 0.0 {
            continue;
        }
        n_pairs += pairs;
        let others = folds.iter().enumerate().filter(|it| it.0 != idx);
        let others: Vec<usize> = others.flat_map(|it| it.1.iter().copied()).collect();
        let learn = learner(Split { fold, others: &others })?;
        for (sums, first) in sums.chunks_mut(n_at_once).zip((0..).step_by(n_at_once)) {
            dealings.go_on()?;
            let labels = |of: &[usize], dealing: usize| -> Vec<f64> {
                of.iter().map(|it| dealings.of_row(*it)[dealing]).collect()
            };
            let training: Vec<Vec<f64>> = (first..first + sums.len()).map(|it| labels(&others, it)).collect();
            for ((sum, scores), dealing) in sums.iter_mut().zip(learn(&training)?).zip(first..) {
                let is_current = labels(fold, dealing).into_iter().map(|it| it > 0.0);
                *sum += pairs * area(&mut scores.into_iter().zip(is_current).collect::<Vec<_>>());
            }
        }
    }
    if n_pairs == 0.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    sums.iter_mut().for_each(|it| *it /= n_pairs);
    Ok(sums)
}

/// Returns what each column adds to the mean score of the current rows over that of the reference rows, as a logistic model of all rows
/// has it: `weight · (mean of current - mean of reference)`.
///
/// Their sum is the difference of the mean log-odds. Undefined as [`Logistic::fit`].
pub fn mean_shift_contributions(pool: &Pool, penalty: Penalty) -> Result<Vec<f64>, Undefined> {
    let (rows, labels) = (pool.rows(), pool.is_current());
    let model = Logistic::fit(rows, labels, penalty)?;
    let n_current = labels.iter().filter(|it| **it).count() as f64;
    let n_reference = rows.len() as f64 - n_current;
    let mut res = vec![0.0; rows.width()];
    for (row, is_current) in rows.iter().zip(labels) {
        let share = if *is_current { 1.0 / n_current } else { -1.0 / n_reference };
        res.iter_mut().zip(row).for_each(|(sum, it)| *sum += share * it);
    }
    res.iter_mut().zip(&model.weights).for_each(|(it, weight)| *it *= weight);
    Ok(res)
}

/// Returns the share of pairs of one row of either class that the scores have in order, ties counting half.
fn area(scored: &mut [(f64, bool)]) -> f64 {
    scored.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
    let (mut below, mut won) = (0.0, 0.0);
    for run in scored.chunk_by(|left, right| left.0 == right.0) {
        let positive = run.iter().filter(|it| it.1).count() as f64;
        let negative = run.len() as f64 - positive;
        won += positive * (below + negative / 2.0);
        below += negative;
    }
    won / below / (scored.len() as f64 - below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::{Rows, Strata, permutation_p_value};

    const LOGISTIC: Classifier = Classifier::Logistic(Penalty(1.0));

    #[test]
    fn trees_see_what_no_plane_divides() {
        // The current rows are those in two of four corners.
        let noise = |it: u32| f64::from(it * 7919 % 997) / 997.0 - 0.5;
        let rows = |start: u32, is_current: bool| -> Vec<f64> {
            let all = (start..start + 300).map(|it| [noise(3 * it), noise(5 * it + 1)]);
            all.filter(|it| (it[0] * it[1] > 0.0) == is_current).flatten().collect()
        };
        let (left, right) = (rows(0, false), rows(5000, true));
        let pool = Pool::new(Rows::new(&left, 2).unwrap(), Rows::new(&right, 2).unwrap(), 4).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::Folds(3), 19, 4).unwrap();
        let [trees, plane] = [Classifier::Trees, LOGISTIC].map(|it| cross_fitted_auc(&pool, &dealings, it).unwrap());
        assert!(trees[0] > 0.9 && plane[0] < 0.7, "{} {}", trees[0], plane[0]);
        assert_eq!(permutation_p_value(&trees), 0.05);
    }

    #[test]
    fn areas_count_pairs() {
        assert_eq!(area(&mut [(0.8, true), (0.1, false), (0.35, true), (0.4, false)]), 0.75);
        assert_eq!(area(&mut [(1.0, true), (1.0, false)]), 0.5);
    }

    #[test]
    fn a_shift_is_found_and_its_column_is_named() {
        let noise = |it: i32| f64::from(it * 7919 % 997) / 997.0 - 0.5;
        let rows = |n: i32, start: i32, shift: f64| -> Vec<f64> {
            (start..start + n).flat_map(|it| [noise(3 * it), noise(5 * it + 1) + shift, noise(11 * it)]).collect()
        };
        let (left, right) = (rows(120, 0, 0.0), rows(80, 5000, 0.4));
        let pool = Pool::new(Rows::new(&left, 3).unwrap(), Rows::new(&right, 3).unwrap(), 4).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::Folds(5), 99, 4).unwrap();
        let areas = cross_fitted_auc(&pool, &dealings, LOGISTIC).unwrap();
        assert!(areas[0] > 0.75 && permutation_p_value(&areas) == 0.01, "{}", areas[0]);
        let parts = mean_shift_contributions(&pool, Penalty(1.0)).unwrap();
        assert!(parts[1] > 5.0 * parts[0].abs() && parts[1] > 5.0 * parts[2].abs(), "{parts:?}");
    }

    #[test]
    fn too_few_rows_are_undefined() {
        let (one, many) = ([1.0], [1.0, 2.0, 3.0, 4.0]);
        let pool = Pool::new(Rows::new(&one, 1).unwrap(), Rows::new(&many, 1).unwrap(), 1).unwrap();
        let folds = Dealings::new(pool.is_current(), Strata::Folds(2), 9, 1).unwrap();
        assert_eq!(cross_fitted_auc(&pool, &folds, LOGISTIC).unwrap_err().reason, Reason::TooFew);
        let many = Rows::new(&many, 1).unwrap();
        let pool = Pool::new(many, many, 1).unwrap();
        let one = Dealings::new(pool.is_current(), Strata::One, 9, 1).unwrap();
        assert_eq!(cross_fitted_auc(&pool, &one, LOGISTIC).unwrap_err().reason, Reason::TooFew);
    }
}
