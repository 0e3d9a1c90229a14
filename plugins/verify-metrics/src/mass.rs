//! How many rows there are of something, and what they weigh.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Rows with their weights. Without sample weights the sums are the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(crate) struct Mass {
    pub(crate) n: u64,
    /// The sum of the weights.
    pub(crate) weight: f64,
    /// The sum of their squares.
    pub(crate) squares: f64,
    /// The greatest of them, or of rows that were [taken away](Sub); 0 of no rows.
    pub(crate) heaviest: f64,
}

/// The short form is for rows of weight 1, so that states without weights stay small.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(u64),
    Weighted(u64, f64, f64, f64),
}

impl Mass {
    /// Adds a row of a weight, `times` times.
    pub(crate) fn add(&mut self, times: u64, weight: f64) {
        let count = times as f64;
        self.n += times;
        self.weight += count * weight;
        self.squares += count * weight * weight;
        self.heaviest = if times > 0 { self.heaviest.max(weight) } else { self.heaviest };
    }

    /// Returns the effective number of rows `(Σw)² / Σw²` (Kish 1965): as many rows of equal weight give as good a mean.
    pub(crate) fn effective(self) -> f64 {
        if self.squares > 0.0 { self.weight * self.weight / self.squares } else { 0.0 }
    }

    /// Returns [the effective number](Self::effective) where it is not the number of rows.
    pub(crate) fn effective_if_fewer(self) -> Option<f64> {
        // Rows of equal weight may be an ulp fewer.
        Some(self.effective()).filter(|&it| it < (1.0 - 1e-9) * self.n as f64)
    }

    /// Returns how many rows of equal weight give as good a [share](Self::share_of) of `all` as these do, at most the rows there are.
    ///
    /// The variance of a weighted share `p` is that of a ratio (Cochran 1977, section 6.3), `Σw² (x - p)² / (Σw)²`, whether or not
    /// weights go with what is counted; that of `n` rows of equal weight is `p (1 - p) / n`. Where none or all are counted, which
    /// tells no variance, it is [Kish's number](Self::effective).
    pub(crate) fn effective_of(self, all: Self) -> f64 {
        let share = self.share_of(all);
        let variance = share * (1.0 - share);
        let others = (all.squares - self.squares).max(0.0);
        let sum = self.squares * (1.0 - share).powi(2) + others * share.powi(2);
        let is_certain = self.is_none_or_all_of(all) || sum <= 0.0;
        let is_plain = all.squares == all.weight && self.squares == self.weight;
        if is_certain || is_plain { all.effective() } else { (variance * all.weight.powi(2) / sum).min(all.n as f64) }
    }

    /// Returns whether it is none of `all`, or all of it.
    pub(crate) fn is_none_or_all_of(self, all: Self) -> bool {
        let share = self.share_of(all);
        // Sums in another order may leave an ulp of those that are not counted.
        share * (1.0 - share) <= 1e-12
    }

    /// Returns the rows with so many times their weights.
    pub(crate) fn weighing(self, factor: f64) -> Self {
        let Self { n, weight, squares, heaviest } = self;
        Self { n, weight: factor * weight, squares: factor * factor * squares, heaviest: factor * heaviest }
    }

    /// Returns the share of `all` that this is; NaN of nothing.
    pub(crate) fn share_of(self, all: Self) -> f64 {
        // The order of summation may put fractional weights an ulp above their total.
        (self.weight / all.weight).clamp(0.0, 1.0)
    }
}

impl AddAssign for Mass {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.weight += other.weight;
        self.squares += other.squares;
        self.heaviest = self.heaviest.max(other.heaviest);
    }
}

impl Sub for Mass {
    type Output = Self;

    /// Returns what is left without the rows of `other`, all of which must be in this one.
    fn sub(self, other: Self) -> Self {
        Self {
            n: self.n.saturating_sub(other.n),
            weight: (self.weight - other.weight).max(0.0),
            squares: (self.squares - other.squares).max(0.0),
            heaviest: self.heaviest,
        }
    }
}

impl std::ops::Add for Mass {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl From<Written> for Mass {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(n) => Self { n, weight: n as f64, squares: n as f64, heaviest: n.min(1) as f64 },
            Written::Weighted(n, weight, squares, heaviest) => Self { n, weight, squares, heaviest },
        }
    }
}

impl From<Mass> for Written {
    fn from(it: Mass) -> Self {
        let n = it.n as f64;
        if it.weight == n && it.squares == n {
            Self::Plain(it.n)
        } else {
            Self::Weighted(it.n, it.weight, it.squares, it.heaviest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavy_rows_that_are_counted_make_a_share_vary_more() {
        let of = |weight: f64| {
            let (mut hits, mut all) = (Mass::default(), Mass::default());
            hits.add(10, weight);
            all.add(90, 1.0);
            (hits, all + hits)
        };
        let (hits, all) = of(1.0);
        assert_eq!(
            (hits.effective_of(all), all.effective_of(all), Mass::default().effective_of(all)),
            (100.0, 100.0, 100.0)
        );
        let (hits, all) = of(5.0);
        // The share is 50 / 140 and its variance (250 · (90 / 140)² + 90 · (50 / 140)²) / 140².
        let (share, variance) = (50.0 / 140.0, (250.0 * 8100.0 + 90.0 * 2500.0) / 140.0_f64.powi(4));
        assert!((hits.effective_of(all) * variance / (share * (1.0 - share)) - 1.0).abs() < 1e-12);
        assert!(hits.effective_of(all) < 0.8 * all.effective());
    }

    #[test]
    fn equal_weights_count_rows_and_unequal_ones_fewer() {
        let mut mass = Mass::default();
        assert_eq!(mass.effective(), 0.0);
        mass.add(4, 2.5);
        assert_eq!((mass.n, mass.weight, mass.effective(), mass.effective_if_fewer()), (4, 10.0, 4.0, None));
        mass.add(1, 10.0);
        assert_eq!((mass.effective(), mass.effective_if_fewer()), (400.0 / 125.0, Some(400.0 / 125.0)));
        let text = serde_json::to_string(&mass).unwrap();
        assert_eq!((serde_json::from_str::<Mass>(&text).unwrap(), mass.heaviest), (mass, 10.0));
        let mut plain = Mass::default();
        plain.add(3, 1.0);
        assert_eq!(serde_json::to_string(&plain).unwrap(), "3");
    }
}
