//! SciPy 1.17: `scipy.stats` for two samples.
//!
//! Most of its functions are right, and [`two_sample`](crate::two_sample) has them under their own names. Here are the two whose
//! p-values it cuts or loses.

use std::f64::consts::PI;

use crate::error::{Reason, Undefined};
use crate::sample::{Point, total_count};
use crate::two_sample::{CramerVonMises, RankSquares, Test, anderson_darling};

/// The significance levels between which SciPy interpolates, and the statistics at them for two samples (Scholz & Stephens 1987).
#[allow(clippy::approx_constant)] // One of them is near Euler's number.
const LEVELS: [(f64, f64); 7] =
    [(0.325, 0.25), (1.226, 0.1), (1.961, 0.05), (2.718, 0.025), (3.752, 0.01), (4.592, 0.005), (6.546, 0.001)];

/// Returns `anderson_ksamp`: the p-value comes from a parabola through seven table entries, cut at 0.001 and 0.25.
///
/// ```
/// use modelwatch_stats::peers::scipy::anderson_ksamp;
///
/// let same: Vec<_> = (0..50).map(|it| (f64::from(it), 1)).collect();
/// assert_eq!(anderson_ksamp(&same, &same).unwrap().p_value, 0.25);
/// ```
pub fn anderson_ksamp(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let statistic = anderson_darling(reference, current)?.statistic;
    let p_value = if statistic < LEVELS[0].0 {
        LEVELS[0].1
    } else if statistic > LEVELS[6].0 {
        LEVELS[6].1
    } else {
        let [a, b, c] = parabola(&LEVELS.map(|(x, level)| (x, level.ln())));
        (a + b * statistic + c * statistic * statistic).exp()
    };
    Ok(Test { statistic, p_value })
}

/// Returns `cramervonmises_2samp`: from the limit distribution, the series is cut where a term is below 1e-7, so that p-values below
/// about 1e-6 are noise, and equal constants have a p-value near 0.
///
/// ```
/// use modelwatch_stats::peers::scipy::cramervonmises_2samp;
/// use modelwatch_stats::two_sample::CramerVonMises;
///
/// let test = cramervonmises_2samp(&[(1.0, 500)], &[(1.0, 400)], CramerVonMises::Auto).unwrap();
/// assert!(test.p_value < 1e-8);
/// ```
pub fn cramervonmises_2samp(reference: &[Point], current: &[Point], method: CramerVonMises) -> Result<Test, Undefined> {
    let (m, n) = (total_count(reference)?, total_count(current)?);
    if m.min(n) < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let ranks = RankSquares::new(reference, current)?;
    let is_exact = method == CramerVonMises::Auto && m.max(n) <= 20;
    let p_value = if is_exact {
        ranks.exact_p_value()
    } else if ranks.standardized() < 0.003 {
        1.0
    } else {
        (1.0 - cut_series(ranks.standardized())).max(0.0)
    };
    Ok(Test { statistic: ranks.statistic(), p_value })
}

/// The distribution function by the series of Csörgő & Faraway (1996), eq. 1.2, up to the first term below 1e-7.
fn cut_series(x: f64) -> f64 {
    // Γ(k + 1/2) / Γ(k + 1), step by step, which is more precise than by logarithms.
    let (mut sum, mut ratio) = (0.0, PI.sqrt());
    for k in 0..200 {
        let k = f64::from(k);
        let y = 4.0 * k + 1.0;
        let q = y * y / (16.0 * x);
        let factor = ratio / (PI.powf(1.5) * x.sqrt());
        ratio *= (k + 0.5) / (k + 1.0);
        let term = factor * y.sqrt() * damped_bessel(q);
        sum += term;
        if term.abs() < 1e-7 {
            break;
        }
    }
    sum
}

/// `e^(-q) K_{1/4}(q)`, by the trapezoidal rule on `∫ e^(-q (1 + cosh t)) cosh(t / 4) dt`, which converges geometrically.
fn damped_bessel(q: f64) -> f64 {
    const STEP: f64 = 1.0 / 16.0;
    let term = |t: f64| (-q * (1.0 + t.cosh())).exp() * (t / 4.0).cosh();
    let mut sum = term(0.0) / 2.0;
    let mut t = STEP;
    loop {
        let it = term(t);
        sum += it;
        if it <= sum * 1e-18 {
            return sum * STEP;
        }
        t += STEP;
    }
}

/// The least-squares parabola `a + b x + c x²`, through orthogonal polynomials so that little cancels.
fn parabola(points: &[(f64, f64); 7]) -> [f64; 3] {
    let n = points.len() as f64;
    let mean = points.iter().map(|it| it.0).sum::<f64>() / n;
    let first = |x: f64| x - mean;
    let norm = points.iter().map(|it| first(it.0).powi(2)).sum::<f64>();
    let slope = points.iter().map(|it| first(it.0).powi(3)).sum::<f64>() / norm;
    let second = |x: f64| first(x).powi(2) - slope * first(x) - norm / n;
    let second_norm = points.iter().map(|it| second(it.0).powi(2)).sum::<f64>();
    let level = points.iter().map(|it| it.1).sum::<f64>() / n;
    let b = points.iter().map(|it| it.1 * first(it.0)).sum::<f64>() / norm;
    let c = points.iter().map(|it| it.1 * second(it.0)).sum::<f64>() / second_norm;
    [level - b * mean + c * (mean * mean + slope * mean - norm / n), b - c * (2.0 * mean + slope), c]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.into_iter().map(|it| (it, 1)).collect()
    }

    /// Printed by SciPy 1.17.1.
    #[test]
    fn small_samples_agree_with_scipy() {
        use crate::two_sample::{Alternative, MannWhitney, Shares, epps_singleton, fisher_exact, mann_whitney, mood};
        let x = points(&[1.2, 3.4, 0.7, 2.2, 5.1, 4.4, 3.9]);
        let y = points(&[2.5, 6.1, 4.8, 7.7, 3.3, 8.1, 5.9, 6.6, 4.1]);
        let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        let test = anderson_ksamp(&x, &y).unwrap();
        close(test.statistic, 2.5604878536777402);
        close(test.p_value, 0.029012930775644243);
        let test = cramervonmises_2samp(&x, &y, CramerVonMises::Auto).unwrap();
        close(test.statistic, 0.5074404761904758);
        close(test.p_value, 0.038986013986013986);
        let test = mann_whitney(&x, &y, Alternative::TwoSided, MannWhitney::Auto).unwrap();
        close(test.statistic, 11.0);
        close(test.p_value, 0.03111888111888112);
        close(mann_whitney(&x, &y, Alternative::Less, MannWhitney::Auto).unwrap().p_value, 0.01555944055944056);
        let test = mood(&x, &y).unwrap();
        close(test.statistic, -0.12912527251110484);
        close(test.p_value, 0.8972585248363233);
        let test = epps_singleton(&x, &y).unwrap();
        close(test.statistic, 5.863254070483437);
        close(test.p_value, 0.20959594121432643);
        let shares = Shares { reference_hits: 12, reference_rows: 100, current_hits: 40, current_rows: 200 };
        close(fisher_exact(shares).unwrap(), 0.10541476856141098);
    }
}
