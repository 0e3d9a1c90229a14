//! Streams in units of their own standard deviation.

use modelwatch_stats::{Undefined, moments::Moments};

/// No standardized value counts for more, so that sums of them stay finite.
const MOST: f64 = 1e100;

/// What is taken off a value, and by what the rest is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    /// Returns the scale that leaves values as they are.
    pub(crate) const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Returns the scale of the first values, finite ones: of more than `warm_up`, as long as these are all the same, since values that do
    /// not vary say nothing of how far one is away. Where none varies, the deviation is 1.
    ///
    /// # Errors
    /// When the values are too great to be squared.
    pub(crate) fn of_first(values: &[f64], warm_up: u64) -> Result<Self, Undefined> {
        let varies = values.iter().position(|it| *it != values[0]).map_or(values.len(), |it| it + 1);
        let n = values.len().min(usize::try_from(warm_up).unwrap_or(usize::MAX).max(varies));
        let mut moments = Moments::new();
        moments.update(&values[..n]);
        let deviation = if n < 2 { 0.0 } else { moments.standard_deviation(1)? };
        let mean = if n == 0 { 0.0 } else { moments.mean()? };
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
    fn the_first_values_make_the_scale_and_more_where_they_do_not_vary() {
        let of = |values: &[f64]| Scale::of_first(values, 3).unwrap();
        assert_eq!(of(&[1.0, 2.0, 3.0, 900.0]), Scale { mean: 2.0, deviation: 1.0 });
        assert_eq!(of(&[5.0, 5.0, 5.0, 5.0, 10.0, 900.0]), Scale { mean: 6.0, deviation: 5f64.sqrt() });
        assert_eq!(of(&[5.0; 9]), Scale { mean: 5.0, deviation: 1.0 });
        assert_eq!((of(&[]), of(&[7.0])), (Scale::NONE, Scale { mean: 7.0, deviation: 1.0 }));
        assert!(Scale::of_first(&[1e300, -1e300], 3).is_err());
    }

    #[test]
    fn great_values_stay_finite() {
        let scale = Scale { mean: 0.0, deviation: 1e-300 };
        assert_eq!((scale.apply(1e300), scale.apply(-1e300)), (MOST, -MOST));
    }
}
