//! P-values of statistics that were computed for all dealings.

/// How much rounding may tell apart two statistics that are equal, relative to the greatest of them.
const ROUNDING: f64 = 1e-10;

/// Returns the share of dealings whose statistic is at least that of the observed one, which is the first and counts itself.
///
/// `(1 + #{random ≥ observed}) / (1 + random)` (Phipson & Smyth 2010): never 0, and at most α with probability at most α. Equal up
/// to rounding is as extreme. 1 without a statistic, and where the observed one is NaN.
///
/// ```
/// use modelwatch_stats::multivariate::permutation_p_value;
/// assert_eq!(permutation_p_value(&[3.0, 1.0, 3.0, 2.0]), 0.5);
/// ```
pub fn permutation_p_value(statistics: &[f64]) -> f64 {
    let Some(observed) = statistics.first() else { return 1.0 };
    let least = observed - tolerance(statistics);
    // Written so that a NaN counts as extreme.
    let n_below = statistics.iter().filter(|it| **it < least).count();
    (statistics.len() - n_below) as f64 / statistics.len() as f64
}

/// Returns p-values for several statistics of the same dealings, such that the chance that any is at most α by accident is at most α.
///
/// Westfall and Young's step-down maxT (1993, algorithm 4.1): every statistic is brought to mean 0 and standard deviation 1 over its
/// dealings, and the greatest one of a dealing is held against that of the others. Statistics that say the same cost nothing, where
/// Holm's correction would charge for each. One that is the same in every dealing says nothing: its p-value is 1 and it costs nothing.
/// In the order of the input; all are to have the same length.
///
/// ```
/// use modelwatch_stats::multivariate::adjusted;
///
/// // The first statistic is greatest as observed; the second is the same thing once more.
/// let once = [9.0, 1.0, 2.0, 3.0];
/// assert_eq!(adjusted(&[&once]), [0.25]);
/// assert_eq!(adjusted(&[&once, &once]), [0.25, 0.25]);
/// assert_eq!(adjusted(&[&once, &[5.0; 4]]), [0.25, 1.0]);
/// ```
pub fn adjusted(statistics: &[&[f64]]) -> Vec<f64> {
    let scaled: Vec<Option<Vec<f64>>> = statistics.iter().map(|it| standardized(it)).collect();
    let mut order: Vec<usize> = (0..scaled.len()).filter(|&it| scaled[it].is_some()).collect();
    let observed = |idx: usize| scaled[idx].as_ref().map_or(f64::NEG_INFINITY, |it| it[0]);
    order.sort_by(|&left, &right| observed(right).total_cmp(&observed(left)));
    let mut res = vec![1.0; statistics.len()];
    let mut running = 0.0f64;
    for (rank, &idx) in order.iter().enumerate() {
        let rest: Vec<&Vec<f64>> = order[rank..].iter().filter_map(|&it| scaled[it].as_ref()).collect();
        let n = rest.first().map_or(0, |it| it.len());
        let greatest = |dealing: usize| rest.iter().map(|it| it[dealing]).fold(f64::NEG_INFINITY, f64::max);
        running = running.max(permutation_p_value(&(0..n).map(greatest).collect::<Vec<_>>()));
        res[idx] = running;
    }
    res
}

/// Returns the statistics with mean 0 and standard deviation 1; none where they do not differ or are not finite.
fn standardized(statistics: &[f64]) -> Option<Vec<f64>> {
    let n = statistics.len() as f64;
    let mean = statistics.iter().sum::<f64>() / n;
    let spread = (statistics.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n).sqrt();
    let differs = spread > tolerance(statistics);
    differs.then(|| statistics.iter().map(|it| (it - mean) / spread).collect())
}

fn tolerance(statistics: &[f64]) -> f64 {
    ROUNDING * statistics.iter().map(|it| it.abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn equal_statistics_are_as_extreme_whatever_rounding_does() {
        assert_eq!(permutation_p_value(&[0.1 + 0.2, 0.3, 0.3, 0.2]), 0.75);
        assert_eq!(permutation_p_value(&[]), 1.0);
        assert_eq!(permutation_p_value(&[f64::NAN, 1.0]), 1.0);
    }

    #[test]
    fn the_family_keeps_its_level_and_says_more_than_bonferroni() {
        // Ten statistics, five of them copies: no difference anywhere.
        let uniform = |seed: u64| (mix(seed) >> 11) as f64 / (1u64 << 53) as f64;
        let (n_runs, n_dealings) = (400, 99);
        let mut alarms = 0;
        for run in 0..n_runs {
            let one = |idx: u64| {
                (0..=n_dealings).map(move |it| uniform((run * 1000 + idx) * 1000 + it)).collect::<Vec<f64>>()
            };
            let family: Vec<Vec<f64>> = (0..10).map(|it| one(it % 5)).collect();
            let family: Vec<&[f64]> = family.iter().map(Vec::as_slice).collect();
            alarms += u32::from(adjusted(&family).iter().any(|it| *it <= 0.05));
        }
        // 5 % of 400 is 20, and three standard errors are 13.
        assert!((8..=33).contains(&alarms), "{alarms}");
    }

    #[test]
    fn steps_go_down() {
        let strong: Vec<f64> = (0..100).map(|it| if it == 0 { 50.0 } else { f64::from(it % 10) }).collect();
        let weak: Vec<f64> = (0..100).map(|it| if it == 0 { 8.5 } else { f64::from(it % 10) }).collect();
        let found = adjusted(&[&weak, &strong]);
        // Against the strong one out of the way the weak one has its own p-value.
        assert_eq!(found, [permutation_p_value(&weak), 0.01]);
    }
}
