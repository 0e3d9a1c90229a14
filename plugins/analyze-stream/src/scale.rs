//! Streams in units of their own standard deviation.

use modelwatch_stats::{Undefined, moments::Moments};

/// No standardized value counts for more, so that sums of them stay finite.
const MOST: f64 = 1e100;

/// What is taken off a value, and by what the rest is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Scale {
    /// Returns the scale that leaves values as they are.
    pub(crate) const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Returns the scale of values like these. Where none varies, the deviation is 1.
    ///
    /// # Errors
    /// When the values are too great to be squared.
    pub(crate) fn of(values: &Moments) -> Result<Self, Undefined> {
        let n = values.n();
        let deviation = if n < 2 { 0.0 } else { values.standard_deviation(1)? };
        let mean = if n == 0 { 0.0 } else { values.mean()? };
        // Values whose difference vanishes when it is squared have no scale either.
        Ok(Self { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } })
    }

    /// Returns the value in that scale.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        if *self == Self::NONE {
            return value;
        }
        ((value - self.mean) / self.deviation).clamp(-MOST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do_not_vary_have_a_deviation_of_one() {
        let of = |values: &[f64]| {
            let mut moments = Moments::new();
            moments.update(values);
            Scale::of(&moments)
        };
        assert_eq!(of(&[1.0, 2.0, 3.0]), Ok(Scale { mean: 2.0, deviation: 1.0 }));
        assert_eq!(of(&[5.0; 9]), Ok(Scale { mean: 5.0, deviation: 1.0 }));
        assert_eq!((of(&[]), of(&[7.0])), (Ok(Scale::NONE), Ok(Scale { mean: 7.0, deviation: 1.0 })));
        assert!(of(&[1e300, -1e300]).is_err());
    }

    #[test]
    fn great_values_stay_finite() {
        let scale = Scale { mean: 0.0, deviation: 1e-300 };
        assert_eq!((scale.apply(1e300), scale.apply(-1e300)), (MOST, -MOST));
    }
}
