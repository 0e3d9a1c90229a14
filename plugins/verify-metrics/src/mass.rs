//! How many rows there are of something, and what they weigh.

use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Rows with their weights. Without sample weights all three numbers are the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(crate) struct Mass {
    pub(crate) n: u64,
    /// The sum of the weights.
    pub(crate) weight: f64,
    /// The sum of their squares.
    pub(crate) squares: f64,
}

/// The short form is for rows of weight 1, so that states without weights stay small.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(u64),
    Weighted(u64, f64, f64),
}

impl Mass {
    /// Adds a row of a weight, `times` times.
    pub(crate) fn add(&mut self, times: u64, weight: f64) {
        let count = times as f64;
        self.n += times;
        self.weight += count * weight;
        self.squares += count * weight * weight;
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
            Written::Plain(n) => Self { n, weight: n as f64, squares: n as f64 },
            Written::Weighted(n, weight, squares) => Self { n, weight, squares },
        }
    }
}

impl From<Mass> for Written {
    fn from(it: Mass) -> Self {
        let n = it.n as f64;
        if it.weight == n && it.squares == n { Self::Plain(it.n) } else { Self::Weighted(it.n, it.weight, it.squares) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_count_rows_and_unequal_ones_fewer() {
        let mut mass = Mass::default();
        assert_eq!(mass.effective(), 0.0);
        mass.add(4, 2.5);
        assert_eq!((mass.n, mass.weight, mass.effective(), mass.effective_if_fewer()), (4, 10.0, 4.0, None));
        mass.add(1, 10.0);
        assert_eq!((mass.effective(), mass.effective_if_fewer()), (400.0 / 125.0, Some(400.0 / 125.0)));
        let text = serde_json::to_string(&mass).unwrap();
        assert_eq!(serde_json::from_str::<Mass>(&text).unwrap(), mass);
        let mut plain = Mass::default();
        plain.add(3, 1.0);
        assert_eq!(serde_json::to_string(&plain).unwrap(), "3");
    }
}
