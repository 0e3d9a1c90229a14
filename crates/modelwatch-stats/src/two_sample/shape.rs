//! What both samples together look like: a function of values without ranks, by which a test of ranks may be chosen.

use super::levels::Levels;

/// The measures of skewness and of tails of Büning & Thadewald (2000): of the quantiles at 2.5, 12.5, 50, 87.5 and 97.5 %,
/// the part above the median over that below it, and the distance of the outer two over that of the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    skewness: f64,
    tails: f64,
}

impl Shape {
    pub(crate) fn of(levels: &Levels) -> Self {
        let [lowest, low, median, high, highest] = quantiles(levels, [0.025, 0.125, 0.5, 0.875, 0.975]);
        Self { skewness: (highest - median) / (median - lowest), tails: (highest - lowest) / (high - low) }
    }

    /// Returns whether both tails are longer than those of the logistic distribution, for which the measure of tails is 1.88:
    /// it is 1.70 for the normal distribution, 2.16 for the double exponential one and 2.68 for Student's t with two degrees of freedom.
    pub(crate) fn is_long_tailed(self) -> bool {
        (0.5..=2.0).contains(&self.skewness) && self.tails > 2.0
    }
}

/// Returns the values that so large a share of all rows does not exceed, for ascending shares.
fn quantiles<const N: usize>(levels: &Levels, shares: [f64; N]) -> [f64; N] {
    let total = levels.total();
    let is_flat = levels.levels.len() as u64 == total;
    let (mut at, mut below) = (0, 0);
    shares.map(|share| {
        let row = ((share * total as f64) as u64).min(total.saturating_sub(1));
        if is_flat {
            return levels.levels.get(row as usize).map_or(f64::NAN, |it| it.value);
        }
        while let Some(it) = levels.levels.get(at).filter(|it| below + it.both() <= row) {
            below += it.both();
            at += 1;
        }
        levels.levels.get(at).map_or(f64::NAN, |it| it.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Point;

    /// Returns the levels of a sample at the quantiles of a distribution, half of it in either role.
    fn levels(n: u32, quantile: impl Fn(f64) -> f64) -> Levels {
        let points: Vec<Point> = (0..n).map(|it| (quantile((f64::from(it) + 0.5) / f64::from(n)), 1)).collect();
        let side = |at: usize| points.iter().copied().skip(at).step_by(2).collect::<Vec<_>>();
        Levels::new(&side(0), &side(1)).unwrap()
    }

    #[test]
    fn measures_are_those_of_known_distributions() {
        let t_2 = |p: f64| (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
        let exponential = |p: f64| -(-p).ln_1p();
        let laplace = |p: f64| if p < 0.5 { (2.0 * p).ln() } else { -(2.0 * (1.0 - p)).ln() };
        let logistic = |p: f64| (p / (1.0 - p)).ln();
        let check = |quantile: fn(f64) -> f64, skewness: f64, tails: f64, is_long_tailed| {
            let shape = Shape::of(&levels(100_000, quantile));
            assert!((shape.skewness - skewness).abs() < 0.01 && (shape.tails - tails).abs() < 0.01, "{shape:?}");
            assert_eq!(shape.is_long_tailed(), is_long_tailed, "{shape:?}");
        };
        check(|p| p, 1.0, 0.95 / 0.75, false);
        check(logistic, 1.0, 39_f64.ln() / 7_f64.ln(), false);
        check(laplace, 1.0, 20_f64.ln() / 4_f64.ln(), true);
        check(t_2, 1.0, t_2(0.975) / t_2(0.875), true);
        check(exponential, 20_f64.ln() / (39.0_f64 / 20.0).ln(), 39_f64.ln() / 7_f64.ln(), false);
    }

    #[test]
    fn levels_of_several_rows_are_found_as_single_ones_are() {
        let points = |n: u64| (0..40).map(|it| (f64::from(it * it * it), n)).collect::<Vec<_>>();
        let shares = [0.0, 0.025, 0.3, 0.5, 0.974, 1.0];
        let single = quantiles(&Levels { m: 40, n: 0, ..Levels::new(&points(1), &points(1)).unwrap() }, shares);
        let several = quantiles(&Levels::new(&points(3), &points(4)).unwrap(), shares);
        assert_eq!(single, several);
        assert_eq!(single.map(f64::cbrt).map(f64::round), [0.0, 1.0, 12.0, 20.0, 38.0, 39.0]);
    }

    #[test]
    fn what_has_no_shape_has_no_long_tails() {
        assert!(!Shape::of(&Levels::new(&[(1.0, 5)], &[(1.0, 9)]).unwrap()).is_long_tailed());
        assert!(!Shape::of(&Levels { levels: vec![], m: 0, n: 0 }).is_long_tailed());
    }
}
