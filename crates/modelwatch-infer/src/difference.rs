//! How far the values of two models are apart.

use crate::tensor::Values;

/// How far apart two numbers may be: `|candidate − reference| ≤ absolute + relative · |reference|`, as in NumPy's `allclose`;
/// integers by `absolute` alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The part that does not depend on the number.
    pub absolute: f64,
    /// The part that does.
    pub relative: f64,
}

impl Tolerance {
    /// Returns what is left of it where one of two numbers is an integer.
    pub(crate) fn of_integers(self) -> Self {
        Self { relative: 0.0, ..self }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { absolute: 1e-5, relative: 1e-4 }
    }
}

/// How far the values of two nodes are apart, over all rows that were compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// The number of elements.
    pub n: u64,
    /// The number of elements beyond the tolerance. One that is NaN or infinite in one model alone is beyond any.
    pub n_beyond: u64,
    /// The greatest `|candidate − reference|`; infinite where one of both is not finite.
    pub max_absolute: f64,
    /// The number of elements that are NaN in both models, where nothing says which of both is wrong.
    pub n_both_nan: u64,
    /// The number of elements that are the same infinity in both models, as little right for that.
    pub n_both_infinite: u64,
    /// The sum of the squared differences of elements that are finite in both models.
    pub sum_squares: f64,
    /// The sum of the reference's squares over the same elements.
    pub reference_squares: f64,
}

impl Difference {
    /// Takes in one element.
    pub(crate) fn add(&mut self, reference: f64, candidate: f64, tolerance: &Tolerance) {
        self.n += 1;
        if reference.is_nan() && candidate.is_nan() {
            self.n_both_nan += 1;
            return;
        }
        if reference == candidate {
            if reference.is_infinite() {
                self.n_both_infinite += 1;
            } else {
                self.reference_squares += reference * reference;
            }
            return;
        }
        if !(reference.is_finite() && candidate.is_finite()) {
            self.n_beyond += 1;
            self.max_absolute = f64::INFINITY;
            return;
        }
        let allowed = tolerance.absolute + tolerance.relative * reference.abs();
        self.add_distance(reference, (candidate - reference).abs(), allowed);
    }

    /// Takes in two integers, digit by digit. They are names as often as amounts, and near a name is no name: no share of one is
    /// within the tolerance.
    pub(crate) fn add_integers(&mut self, reference: i128, candidate: i128, tolerance: &Tolerance) {
        self.n += 1;
        self.add_distance(reference as f64, (candidate - reference).unsigned_abs() as f64, tolerance.absolute);
    }

    fn add_distance(&mut self, reference: f64, distance: f64, allowed: f64) {
        self.n_beyond += u64::from(distance > allowed);
        self.max_absolute = self.max_absolute.max(distance);
        self.sum_squares += distance * distance;
        self.reference_squares += reference * reference;
    }

    /// Takes in the elements of two tensors. Words are equal or beyond any tolerance.
    pub(crate) fn add_all(&mut self, reference: &Values, candidate: &Values, tolerance: &Tolerance) {
        match (reference, candidate) {
            (Values::Utf8(left), Values::Utf8(right)) => {
                left.iter().zip(right).for_each(|(left, right)| self.add_words(left, right, tolerance));
            }
            // Words are no numbers.
            (Values::Utf8(_), _) | (_, Values::Utf8(_)) => self.add_beyond(reference.len()),
            _ => match (reference.to_integers(), candidate.to_integers()) {
                (Some(left), Some(right)) => {
                    left.iter().zip(&right).for_each(|(&left, &right)| self.add_integers(left, right, tolerance));
                }
                (None, None) => self.add_floats(&reference.to_f64(), &candidate.to_f64(), tolerance),
                _ => self.add_floats(&reference.to_f64(), &candidate.to_f64(), &tolerance.of_integers()),
            },
        }
    }

    fn add_floats(&mut self, reference: &[f64], candidate: &[f64], tolerance: &Tolerance) {
        reference.iter().zip(candidate).for_each(|(&left, &right)| self.add(left, right, tolerance));
    }

    /// Takes in elements that have nothing in common.
    pub(crate) fn add_beyond(&mut self, n: usize) {
        self.n += n as u64;
        self.n_beyond += n as u64;
        if n > 0 {
            self.max_absolute = f64::INFINITY;
        }
    }

    /// Takes in two words, which are as far apart as can be if they are not equal.
    pub(crate) fn add_words(&mut self, reference: &str, candidate: &str, tolerance: &Tolerance) {
        self.add(0.0, if reference == candidate { 0.0 } else { f64::INFINITY }, tolerance);
    }

    /// Returns the norm of the difference over that of the reference, `‖candidate − reference‖₂ / ‖reference‖₂`; the inverse
    /// of the signal-to-noise ratio that quantization is judged by.
    pub fn relative_norm(&self) -> f64 {
        match (self.sum_squares, self.reference_squares) {
            _ if self.max_absolute.is_infinite() => f64::INFINITY,
            (0.0, _) => 0.0,
            (difference, reference) => (difference / reference).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(pairs: &[(f64, f64)]) -> Difference {
        let mut res = Difference::default();
        pairs.iter().for_each(|it| res.add(it.0, it.1, &Tolerance { absolute: 0.1, relative: 0.01 }));
        res
    }

    #[test]
    fn elements_are_beyond_the_tolerance_as_in_allclose() {
        let it = difference(&[(1.0, 1.1), (1.0, 1.12), (100.0, 101.0), (100.0, 101.2), (-1.0, -1.0)]);
        assert_eq!((it.n, it.n_beyond), (5, 2));
        assert!((it.max_absolute - 1.2).abs() < 1e-12, "{it:?}");
        assert!((it.relative_norm() - (it.sum_squares / it.reference_squares).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn integers_are_names_and_equal_or_not() {
        let differs = |left: Values, right: Values| {
            let mut res = Difference::default();
            res.add_all(&left, &right, &Tolerance::default());
            (res.n_beyond, res.max_absolute)
        };
        for id in [1_000_000, 1 << 53, i64::MIN] {
            assert_eq!(differs(Values::I64(vec![id].into()), Values::I64(vec![id].into())), (0, 0.0));
            assert_eq!(differs(Values::I64(vec![id].into()), Values::I64(vec![id + 1].into())), (1, 1.0), "{id}");
        }
        assert_eq!(differs(Values::U64(vec![u64::MAX].into()), Values::I64(vec![-1].into())), (1, 2f64.powi(64)));
        assert_eq!(differs(Values::I64(vec![1_000_000].into()), Values::F64(vec![1_000_001.0].into())), (1, 1.0));
        assert_eq!(differs(Values::F32(vec![1_000_000.0].into()), Values::F64(vec![1_000_001.0].into())), (0, 1.0));
        assert_eq!(differs(Values::Bool(vec![true]), Values::Bool(vec![false])), (1, 1.0));
    }

    #[test]
    fn what_is_not_finite_in_one_model_alone_is_beyond_any_tolerance() {
        const INF: f64 = f64::INFINITY;
        for pair in [(1.0, f64::NAN), (f64::NAN, 1.0), (INF, 1.0), (INF, -INF), (f64::NAN, INF)] {
            let it = difference(&[pair]);
            assert_eq!((it.n_beyond, it.max_absolute, it.relative_norm()), (1, INF, INF), "{pair:?}");
        }
        assert_eq!(difference(&[(INF, INF)]), Difference { n: 1, n_both_infinite: 1, ..Difference::default() });
    }

    #[test]
    fn what_is_nan_in_both_models_is_counted() {
        let it = difference(&[(f64::NAN, f64::NAN), (2.0, 2.0)]);
        assert_eq!((it.n, it.n_both_nan, it.n_beyond, it.max_absolute), (2, 1, 0, 0.0));
        assert_eq!(it.reference_squares, 4.0);
    }

    #[test]
    fn a_difference_from_nothing_has_no_finite_relative_norm() {
        assert_eq!(difference(&[(0.0, 0.0)]).relative_norm(), 0.0);
        assert_eq!(difference(&[(0.0, 1.0)]).relative_norm(), f64::INFINITY);
    }
}
