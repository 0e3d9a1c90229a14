//! Between which numbers a metric of bins lies, and what that does to intervals.
//!
//! A bound is of the rows that were seen and no matter of chance, so that an interval becomes as much wider on either side.

use modelwatch_sdk::report::Interval;

use crate::measure::Measure;

/// The range of what has no bound of its own, as a difference.
pub(crate) const ANY: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The least and the greatest value that the rows of the bins, or those that are not kept, could have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    low: f64,
    high: f64,
    /// 1 of bins; less of a sample.
    level: f64,
}

impl Bounds {
    /// Returns the bounds that hold all values; none where one of them is not a number.
    pub(crate) fn around(values: &[f64]) -> Option<Self> {
        let is_known = values.iter().all(|it| !it.is_nan());
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (is_known && low <= high).then_some(Self { low, high, level: 1.0 })
    }

    /// Returns those of a value that is exact.
    pub(crate) fn exact(value: f64) -> Self {
        Self { low: value, high: value, level: 1.0 }
    }

    /// Returns bounds that hold but for such a share of samples.
    pub(crate) fn but_for(self, missed: f64) -> Self {
        Self { level: 1.0 - missed, ..self }
    }

    /// Returns between what the worst of several values lies, of which the greatest is the worst or else the least.
    pub(crate) fn of_worst(all: &[Self], is_loss: bool) -> Option<Self> {
        let worst = |ends: Vec<f64>| ends.into_iter().reduce(if is_loss { f64::max } else { f64::min });
        let ends = |of: fn(&Self) -> f64| worst(all.iter().map(of).collect());
        let level = level_of(all);
        Some(Self { level, ..Self::around(&[ends(|it| it.low)?, ends(|it| it.high)?])? })
    }

    /// Returns how far a value can be from the true one.
    pub(crate) fn error(self, value: f64) -> f64 {
        (value - self.low).max(self.high - value)
    }

    /// Returns them as a report has them.
    pub(crate) fn interval(self) -> Interval {
        Interval { low: self.low, high: self.high, level: self.level }
    }

    /// Returns an interval about `value` as it is about what the rows would have in its place, within what the metric can be.
    pub(crate) fn widen(self, value: f64, it: Interval, [least, most]: [f64; 2]) -> Interval {
        let low = (it.low - (value - self.low)).max(least).min(it.low);
        let high = (it.high + (self.high - value)).min(most).max(it.high);
        Interval { low, high, level: it.level }
    }

    /// Returns the bounds of `left - right`; none where both are exact.
    pub(crate) fn of_difference([left, right]: [Option<Self>; 2], values: [f64; 2]) -> Option<Self> {
        let [left, right] = Self::both([left, right], values)?;
        let found = Self::around(&[left.low - right.high, left.high - right.low])?;
        Some(Self { level: level_of(&[left, right]), ..found })
    }

    /// Returns the bounds of `left / right`; none where both are exact.
    pub(crate) fn of_ratio(of: [Option<Self>; 2], values: [f64; 2]) -> Option<Self> {
        let [left, right] = Self::both(of, values)?;
        let found = match right.low > 0.0 {
            true => Self::around(&[left.low, left.high].map(|it| [it / right.low, it / right.high]).concat())?,
            false => Self::around(&ANY)?,
        };
        Some(Self { level: level_of(&[left, right]), ..found })
    }

    fn both(of: [Option<Self>; 2], values: [f64; 2]) -> Option<[Self; 2]> {
        let is_exact = of.iter().all(Option::is_none);
        (!is_exact).then(|| [0, 1].map(|it| of[it].unwrap_or(Self::exact(values[it]))))
    }
}

/// Returns for which part of all samples several bounds hold at once, at least.
fn level_of(all: &[Bounds]) -> f64 {
    (1.0 - all.iter().map(|it| 1.0 - it.level).sum::<f64>()).max(0.0)
}

/// A metric of ranks with its value and bounds, per model.
pub(crate) struct OfRanks {
    pub(crate) measure: Measure,
    pub(crate) values: Vec<f64>,
    pub(crate) bounds: Vec<Option<Bounds>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_two_hold_what_each_can_be() {
        let of = |low, high| Bounds::around(&[low, high]);
        let both = [of(0.6, 0.8), of(0.5, 0.9)];
        let values = [0.7, 0.6];
        assert_eq!(Bounds::of_difference(both, values), of(0.6 - 0.9, 0.8 - 0.5));
        assert_eq!(Bounds::of_ratio(both, values), of(0.6 / 0.9, 0.8 / 0.5));
        assert_eq!(Bounds::of_difference([of(0.6, 0.8), None], values), of(0.0, 0.8 - 0.6));
        assert_eq!(Bounds::of_ratio([of(-0.2, 0.8), None], values), of(-0.2 / 0.6, 0.8 / 0.6));
        assert_eq!(Bounds::of_ratio([None, of(0.0, 0.9)], values), Bounds::around(&ANY));
        assert_eq!((Bounds::of_difference([None, None], values), of(f64::NAN, 1.0)), (None, None));
    }

    #[test]
    fn bounds_of_samples_are_missed_by_each_of_those_they_are_made_of() {
        let of = |low, high| Bounds::around(&[low, high]).unwrap().but_for(0.25);
        let all = [of(0.6, 0.8), of(0.5, 0.9)];
        let level = |it: Option<Bounds>| it.unwrap().interval().level;
        assert_eq!(level(Bounds::of_worst(&all, true)), 0.5);
        assert_eq!(level(Bounds::of_difference(all.map(Some), [0.7, 0.6])), 0.5);
        assert_eq!(level(Bounds::of_ratio([Some(all[0]), None], [0.7, 0.6])), 0.75);
    }

    #[test]
    fn an_interval_is_wider_by_the_bounds_within_what_can_be() {
        let widen = |low, high| {
            let bounds = Bounds::around(&[0.7, 0.95]).unwrap();
            let found = bounds.widen(0.8, Interval { low, high, level: 0.9 }, [0.0, 1.0]);
            (found.low, found.high, found.level)
        };
        assert_eq!(widen(0.75, 0.8), (0.75 - (0.8 - 0.7), 0.8 + (0.95 - 0.8), 0.9));
        assert_eq!(widen(0.05, 0.9), (0.0, 1.0, 0.9));
        // What lies beyond already stays there.
        assert_eq!(widen(-0.1, 1.2), (-0.1, 1.2, 0.9));
    }
}
