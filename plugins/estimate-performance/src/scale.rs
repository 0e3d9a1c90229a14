//! The scale on which a metric of many samples is about normal, and varies about as much wherever it lies.

use std::f64::consts::FRAC_PI_2;

use crate::metric::Metric;

/// A scale of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// As it is.
    Plain,
    /// Of metrics from 0 to 1 the arc sine of the root (Anscombe 1948): a share that is near to an end varies little, and more towards the
    /// middle than towards that end, which limits at equal distances would not know.
    Share,
    /// Of means of errors the cube root (Wilson & Hilferty 1931), as their distribution has a long tail.
    Size,
}

impl Scale {
    /// Returns the scale of a metric.
    pub(crate) fn of(metric: Metric) -> Self {
        match metric {
            Metric::BusinessValue => Self::Plain,
            it if it.is_of_regression() => Self::Size,
            _ => Self::Share,
        }
    }

    /// Returns where a value is on the scale.
    pub(crate) fn place(self, value: f64) -> f64 {
        match self {
            Self::Plain => value,
            Self::Share => value.clamp(0.0, 1.0).sqrt().asin(),
            Self::Size => value.cbrt(),
        }
    }

    /// Returns the value that is there.
    pub(crate) fn value(self, place: f64) -> f64 {
        match self {
            Self::Plain => place,
            Self::Share => place.clamp(0.0, FRAC_PI_2).sin().powi(2),
            Self::Size => place.max(0.0).powi(3),
        }
    }

    /// Returns the standard error on the scale of a value of rows that are worth `size`, by the delta method; NaN where its own is not known.
    ///
    /// That of a share is at least that of a share of all rows, `1 / (2 √size)`, which also holds at the ends, where all rows are alike.
    pub(crate) fn error(self, value: f64, error: f64, size: f64) -> f64 {
        match self {
            _ if error.is_nan() => f64::NAN,
            Self::Plain => error,
            Self::Share => {
                let width = (value * (1.0 - value)).max(0.0).sqrt();
                let least = 0.5 / size.sqrt();
                if width > 0.0 { (error / (2.0 * width)).max(least) } else { least }
            }
            Self::Size if value > 0.0 => error / (3.0 * value.cbrt().powi(2)),
            Self::Size => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_errors_are_those_of_a_small_step() {
        for (scale, value) in [(Scale::Plain, -3.0), (Scale::Share, 0.9), (Scale::Share, 0.0), (Scale::Size, 7.0)] {
            assert!((scale.value(scale.place(value)) - value).abs() < 1e-12, "{scale:?} {value}");
        }
        for (scale, value) in [(Scale::Share, 0.9), (Scale::Share, 0.03), (Scale::Size, 7.0)] {
            let step = 1e-6;
            let slope = (scale.place(value + step) - scale.place(value - step)) / (2.0 * step);
            let expected = slope * 0.01;
            assert!((scale.error(value, 0.01, 1e9) - expected).abs() < 1e-6 * expected, "{scale:?} {value}");
        }
    }

    #[test]
    fn where_no_row_is_wrong_another_may_be() {
        // The share of 100 rows: its error is the same at all values.
        let of = |share: f64| Scale::Share.error(share, (share * (1.0 - share) / 100.0).sqrt(), 100.0);
        assert!([0.0, 0.02, 0.5, 1.0].iter().all(|it| (of(*it) - 0.05).abs() < 1e-12));
        assert!(Scale::Share.error(0.5, f64::NAN, 100.0).is_nan());
    }
}
