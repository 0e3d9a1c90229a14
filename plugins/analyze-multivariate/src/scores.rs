//! The statistics of all tests of one question.

use modelwatch_stats::{
    Reason, Undefined,
    intervals::normal_tail,
    multivariate::{
        Classifier, Dealings, PairChange, Penalty, Pool, Rbf, Rows, Strata, adjusted, correlation_change,
        correlation_changes, cross_fitted_auc, energy, linear_mmds, mean_shift_contributions, mmd, neighbors,
        permutation_p_value, reconstruction_change,
    },
};

use crate::{
    config::{Config, Test},
    encode::Encoded,
};

/// The penalty of the logistic model for columns of variance 1; scikit-learn's default.
const PENALTY: Penalty = Penalty(1.0);

/// The share of the variance that principal components restore; NannyML's default.
const RESTORED: f64 = 0.65;

/// The widest rows of which every dealing gets principal components of its own.
const MAX_RECONSTRUCTED: usize = 64;

/// The p-value up to which a column's mean is taken to differ.
const SHIFTED: f64 = 0.05;

/// How many columns and pairs of columns are named.
const MAX_NAMED: usize = 5;

/// One test's answer.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    /// The test.
    pub(crate) test: Test,
    /// What it measures.
    pub(crate) statistic: f64,
    /// What it measures on average where rows are dealt at random.
    pub(crate) by_chance: f64,
    /// How many standard deviations it is above that.
    pub(crate) excess: f64,
    /// Its p-value, corrected for the tests of the same question.
    pub(crate) p_value: f64,
}

/// The answers of all tests of one question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    /// One per test that could be carried out, the clearest first.
    pub(crate) scores: Vec<Score>,
    /// The tests that could not, with why.
    pub(crate) untested: Vec<(Test, String)>,
    /// The columns by which a logistic model tells the samples apart, with their share of what it sees; none where it does not, as where only
    /// a correlation changed.
    pub(crate) columns: Vec<(String, f64)>,
    /// The columns whose correlation changed most.
    pub(crate) pairs: Vec<(String, String, PairChange)>,
}

impl Scores {
    /// Returns the least p-value, corrected for the tests of the question; none where no test could be carried out.
    pub(crate) fn p_value(&self) -> Option<f64> {
        self.scores.first().map(|it| it.p_value)
    }
}

/// Returns the answers about rows of which the first so many are those of the reference.
///
/// # Errors
/// When it is cancelled, or the numbers are not finite; the encoding gives only finite ones.
pub(crate) fn scores(
    config: &Config,
    encoded: &Encoded,
    [n_reference, n_current]: [usize; 2],
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Scores, Undefined> {
    let all: Vec<usize> = (0..encoded.width()).collect();
    let pool = pool(config, encoded, &all, n_reference, n_current)?;
    let folds = Strata::Folds(config.folds);
    let dealings =
        Dealings::new(pool.is_current(), folds, config.permutations, config.seed)?.interrupted_by(is_cancelled);
    let mut res = Scores::default();
    let mut statistics: Vec<(Test, Vec<f64>)> = Vec::new();
    for test in config.tests(encoded.numbers.len()) {
        let found = match test {
            Test::Auto => continue,
            Test::Energy => energy(&pool, &dealings),
            Test::Mmd => Rbf::median(pool.rows()).and_then(|it| mmd(&pool, &dealings, it)),
            Test::LinearMmd => Rbf::median_of_neighbors(pool.rows()).and_then(|it| linear_mmds(&pool, &dealings, it)),
            Test::Neighbors => neighbors(&pool, &dealings, config.neighbors),
            Test::Classifier => cross_fitted_auc(&pool, &dealings, Classifier::Logistic(PENALTY)),
            Test::Trees => cross_fitted_auc(&pool, &dealings, Classifier::Trees),
            Test::Correlation if encoded.numbers.len() < 2 => {
                res.untested.push((test, "there are fewer than two columns of numbers".to_owned()));
                continue;
            }
            // The same seed and sizes make the same order, so that the dealings are those of the other tests.
            Test::Correlation => self::pool(config, encoded, &encoded.numbers, n_reference, n_current)
                .and_then(|it| correlation_change(&it, &dealings)),
            Test::Reconstruction if encoded.width() > MAX_RECONSTRUCTED => {
                let why = format!("rows have {} numbers, and {MAX_RECONSTRUCTED} are taken at most", encoded.width());
                res.untested.push((test, why));
                continue;
            }
            Test::Reconstruction => reconstruction_change(&pool, &dealings, RESTORED),
        };
        match found {
            Ok(it) => statistics.push((test, it)),
            Err(e) if e.reason == Reason::Interrupted => return Err(e),
            Err(e) => res.untested.push((test, e.reason.to_string())),
        }
    }
    let p_values = adjusted(&statistics.iter().map(|it| it.1.as_slice()).collect::<Vec<_>>());
    for ((test, statistics), p_value) in statistics.iter().zip(p_values) {
        let n = (statistics.len() - 1) as f64;
        let by_chance = statistics[1..].iter().sum::<f64>() / n;
        let spread = (statistics[1..].iter().map(|it| (it - by_chance).powi(2)).sum::<f64>() / n).sqrt();
        let excess = if spread > 0.0 { (statistics[0] - by_chance) / spread } else { 0.0 };
        // The family can only make it greater.
        let p_value = p_value.max(permutation_p_value(statistics));
        res.scores.push(Score { test: *test, statistic: statistics[0], by_chance, excess, p_value });
    }
    // The one that speaks for all comes first: many have the least p-value that the dealings allow.
    res.scores.sort_by(|left, right| left.p_value.total_cmp(&right.p_value).then(right.excess.total_cmp(&left.excess)));
    let is_told_apart = res.scores.iter().any(|it| it.test == Test::Classifier && it.p_value <= config.alpha);
    if is_told_apart || is_shifted(encoded, n_reference, n_current) {
        res.columns = columns(encoded, &pool);
    }
    res.pairs = pairs(encoded, n_reference, n_current);
    Ok(res)
}

fn pool(
    config: &Config,
    encoded: &Encoded,
    columns: &[usize],
    n_reference: usize,
    n_current: usize,
) -> Result<Pool, Undefined> {
    let (left, right) =
        (encoded.rows(columns, 0, n_reference), encoded.rows(columns, n_reference, n_reference + n_current));
    Pool::new(Rows::new(&left, columns.len())?, Rows::new(&right, columns.len())?, config.seed)
}

/// Returns whether the mean of any column differs by more than chance explains, by a normal test corrected for their number (Bonferroni).
fn is_shifted(encoded: &Encoded, n_reference: usize, n_current: usize) -> bool {
    let least = SHIFTED / encoded.width().max(1) as f64;
    (0..encoded.width()).any(|column| {
        let left = encoded.rows(&[column], 0, n_reference);
        let right = encoded.rows(&[column], n_reference, n_reference + n_current);
        let [(mean, variance), (other, other_variance)] = [&left, &right].map(|it| moments(it));
        let deviation = (variance / n_reference as f64 + other_variance / n_current as f64).sqrt();
        let difference = (mean - other).abs();
        difference > 0.0 && 2.0 * normal_tail(difference / deviation) <= least
    })
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n)
}

/// Returns the columns of the data with their shares of the difference of the mean scores, greatest first.
fn columns(encoded: &Encoded, pool: &Pool) -> Vec<(String, f64)> {
    let Ok(parts) = mean_shift_contributions(pool, PENALTY) else { return Vec::new() };
    let total: f64 = parts.iter().map(|it| it.abs()).sum();
    let mut res: Vec<(String, f64)> = Vec::new();
    for (source, part) in encoded.sources.iter().zip(parts) {
        let share = if total > 0.0 { part.abs() / total } else { 0.0 };
        match res.iter_mut().find(|it| it.0 == *source) {
            Some(it) => it.1 += share,
            None => res.push((source.clone(), share)),
        }
    }
    // The sort is stable, so that equal shares stay in the order of the columns.
    res.sort_by(|left, right| right.1.total_cmp(&left.1));
    res.truncate(MAX_NAMED);
    res
}

/// Returns the pairs of columns whose correlation changed by more than chance explains, greatest change first.
fn pairs(encoded: &Encoded, n_reference: usize, n_current: usize) -> Vec<(String, String, PairChange)> {
    let numbers = &encoded.numbers;
    if numbers.len() < 2 {
        return Vec::new();
    }
    let (left, right) =
        (encoded.rows(numbers, 0, n_reference), encoded.rows(numbers, n_reference, n_reference + n_current));
    let rows = |it| Rows::new(it, numbers.len());
    let changes = rows(&left).and_then(|left| correlation_changes(left, rows(&right)?)).unwrap_or_default();
    let name = |it: usize| encoded.sources[numbers[it]].clone();
    let named = changes.into_iter().filter(|it| it.p_value <= 0.05).take(MAX_NAMED);
    named.map(|it| (name(it.left), name(it.right), it)).collect()
}
