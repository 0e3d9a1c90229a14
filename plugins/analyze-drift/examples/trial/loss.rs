//! How much less often the default finds a difference than the best single test.

/// The rate of false alarms, per column.
pub(crate) const ALPHA: f64 = 0.01;

/// How many times more runs without a difference there are, from which the thresholds come.
const NULL_RUNS: u32 = 4;

/// Of how many parts of the runs the error is a jackknife.
const BLOCKS: usize = 20;

/// How often each test finds a difference.
#[derive(Debug)]
pub(crate) struct Found {
    /// The share of the runs of each test, the default first.
    pub(crate) power: Vec<f64>,
    /// What the default loses to the best of the others.
    pub(crate) loss: f64,
    /// The standard error of the loss. All tests see the same rows, so that it is that of pairs.
    pub(crate) error: f64,
}

/// Returns how often each test finds a difference at the quantile of what it says without one, given what all tests say of a run with one
/// and of a run without: the less, the more there is a difference.
pub(crate) fn compare(runs: u32, mut run: impl FnMut(bool) -> Vec<f64>) -> Found {
    let without: Vec<Vec<f64>> = (0..runs * NULL_RUNS).map(|_| run(false)).collect();
    let with: Vec<Vec<f64>> = (0..runs).map(|_| run(true)).collect();
    let all = |_: usize| true;
    let (power, loss) = judge(&without, &with, all);
    // Leaving out each block of both: thresholds vary as well.
    let losses: Vec<f64> = (0..BLOCKS).map(|block| judge(&without, &with, |at| at % BLOCKS != block).1).collect();
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let error = ((n - 1.0) / n * losses.iter().map(|it| (it - mean).powi(2)).sum::<f64>()).sqrt();
    Found { power, loss, error }
}

/// Returns the power of each test over the runs that are kept, and the loss of the first to the best of the others.
fn judge(without: &[Vec<f64>], with: &[Vec<f64>], is_kept: impl Fn(usize) -> bool) -> (Vec<f64>, f64) {
    let of = |runs: &[Vec<f64>], test: usize| -> Vec<f64> {
        runs.iter().enumerate().filter(|it| is_kept(it.0)).map(|it| it.1[test]).collect()
    };
    let power = |test: usize| {
        let (mut null, found) = (of(without, test), of(with, test));
        null.sort_by(f64::total_cmp);
        let threshold = null[(null.len() as f64 * ALPHA) as usize];
        let share =
            |of: &[f64], is: &dyn Fn(f64) -> bool| of.iter().filter(|it| is(**it)).count() as f64 / of.len() as f64;
        // Where several are equal to the quantile, as many of them count as the rate leaves room for.
        let (below, at) = (share(&null, &|it| it < threshold), share(&null, &|it| it == threshold));
        let part = (ALPHA - below) / at;
        share(&found, &|it| it < threshold) + part * share(&found, &|it| it == threshold)
    };
    let n_tests = with.first().map_or(0, Vec::len);
    let power: Vec<f64> = (0..n_tests).map(power).collect();
    let best = power.iter().skip(1).copied().fold(0.0, f64::max);
    let loss = best - power.first().copied().unwrap_or(0.0);
    (power, loss)
}
