//! What changed between two arrays of numbers that belong together, such as the weights of two checkpoints.

/// The sums of a comparison, element by element.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSums {
    n: u64,
    changed: u64,
    delta: f64,
    old: f64,
    new: f64,
    dot: f64,
    max_delta: f64,
}

/// How two arrays of one shape differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// How many elements were compared.
    pub n: u64,
    /// How many differ.
    pub changed: u64,
    /// ‖b − a‖₂; NaN with a changed element that is not finite.
    pub delta_l2: f64,
    /// ‖a‖₂.
    pub old_l2: f64,
    /// ‖b‖₂.
    pub new_l2: f64,
    /// max |b − a|; NaN with a changed element that is not finite.
    pub max_delta: f64,
    /// a·b / (‖a‖₂ ‖b‖₂); NaN where either is all zero.
    pub cosine: f64,
}

impl ChangeSums {
    /// Takes in one pair. Whether it differs is for the caller to say, who may know the bits.
    pub fn add(&mut self, old: f64, new: f64, is_changed: bool) {
        // An unchanged infinity is no difference.
        self.take(old, new, is_changed, if is_changed { new - old } else { 0.0 });
    }

    /// Takes in one pair of integers that `f64` may round; their difference is rounded once, so that it is 0 for equal ones alone.
    ///
    /// ```
    /// # use modelwatch_stats::change::ChangeSums;
    /// let mut sums = ChangeSums::default();
    /// sums.add_integers(1 << 60, (1 << 60) + 1);
    /// let change = sums.finish();
    /// assert_eq!((change.changed, change.max_delta), (1, 1.0));
    /// ```
    pub fn add_integers(&mut self, old: i128, new: i128) {
        self.take(old as f64, new as f64, old != new, new.saturating_sub(old) as f64);
    }

    fn take(&mut self, old: f64, new: f64, is_changed: bool, delta: f64) {
        self.n += 1;
        self.changed += u64::from(is_changed);
        self.delta += delta * delta;
        self.old += old * old;
        self.new += new * new;
        self.dot += old * new;
        if delta.is_nan() || self.max_delta.is_nan() {
            self.max_delta = f64::NAN;
        } else {
            self.max_delta = self.max_delta.max(delta.abs());
        }
    }

    /// Returns how many of the pairs differ.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// Returns what the pairs come to.
    pub fn finish(&self) -> Change {
        Change {
            n: self.n,
            changed: self.changed,
            delta_l2: self.delta.sqrt(),
            old_l2: self.old.sqrt(),
            new_l2: self.new.sqrt(),
            max_delta: self.max_delta,
            cosine: self.dot / (self.old.sqrt() * self.new.sqrt()),
        }
    }
}

impl Change {
    /// Returns ‖b − a‖₂ / ‖a‖₂: 0 for unchanged arrays, infinite where `a` was all zero, NaN where an element is
    /// not finite.
    ///
    /// ```
    /// # use modelwatch_stats::change::ChangeSums;
    /// let mut sums = ChangeSums::default();
    /// sums.add(3.0, 3.0, false);
    /// sums.add(4.0, 4.5, true);
    /// let change = sums.finish();
    /// assert_eq!((change.changed, change.relative()), (1, 0.1));
    /// ```
    pub fn relative(&self) -> f64 {
        match self.changed {
            0 => 0.0,
            _ if self.old_l2.is_finite() => self.delta_l2 / self.old_l2,
            _ => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pairs: &[(f64, f64)]) -> Change {
        let mut sums = ChangeSums::default();
        pairs.iter().for_each(|&(old, new)| sums.add(old, new, old.to_bits() != new.to_bits()));
        sums.finish()
    }

    #[test]
    fn norms_and_cosine_are_those_of_the_vectors() {
        let it = change(&[(3.0, 4.0), (4.0, -3.0)]);
        assert_eq!((it.n, it.changed, it.old_l2, it.new_l2, it.cosine, it.max_delta), (2, 2, 5.0, 5.0, 0.0, 7.0));
        assert_eq!(it.relative(), 50f64.sqrt() / 5.0);
    }

    #[test]
    fn integers_differ_by_what_lies_between_them() {
        let mut sums = ChangeSums::default();
        let pairs = [(1 << 60, (1 << 60) + 1), (i128::from(i64::MIN), i128::from(i64::MAX)), (7, 7)];
        pairs.iter().for_each(|&(old, new)| sums.add_integers(old, new));
        let it = sums.finish();
        assert_eq!((it.n, it.changed, it.max_delta), (3, 2, 2f64.powi(64)));
        let mut small = ChangeSums::default();
        small.add_integers(i128::from(u64::MAX), i128::from(u64::MAX) - 3);
        assert_eq!((small.finish().delta_l2, small.finish().max_delta), (3.0, 3.0));
    }

    #[test]
    fn what_is_not_finite_counts_only_where_it_changed() {
        let same = change(&[(f64::INFINITY, f64::INFINITY), (1.0, 1.0)]);
        assert_eq!((same.relative(), same.max_delta), (0.0, 0.0));
        let nan = change(&[(1.0, f64::NAN), (1.0, 5.0)]);
        assert!(nan.relative().is_nan() && nan.max_delta.is_nan() && nan.cosine.is_nan());
        assert_eq!(change(&[(0.0, 1.0)]).relative(), f64::INFINITY);
        assert_eq!(change(&[]).relative(), 0.0);
    }
}
