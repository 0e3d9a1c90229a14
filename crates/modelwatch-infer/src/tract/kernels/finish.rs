//! What is done to a sum before it is given.

use pulp::Simd;

use super::op::Kernel;

/// Bounds, and a rounding to the numbers of a quantization.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finish {
    pub least: f32,
    pub most: f32,
    pub rounding: Option<Rounding>,
}

/// To the nearest multiple of `step`, of those that an integer type has: what quantizing and dequantizing does to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rounding {
    /// By which a number is multiplied to be an integer.
    pub factor: f32,
    /// The integers that there are, the zero point taken off.
    pub least: f32,
    pub most: f32,
    /// By which an integer is multiplied to be a number.
    pub step: f32,
}

/// Added to a smaller number, it leaves no place for what is behind the point, and the nearest integer in the last bits: half of the
/// integers of single precision.
pub(super) const ROUNDER: f32 = 12_582_912.0;

impl Finish {
    pub(super) const NOTHING: Self = Self { least: f32::NEG_INFINITY, most: f32::INFINITY, rounding: None };

    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, simd: S, sums: S::f32s) -> S::f32s {
        let bounded = within(simd, sums, self.least, self.most);
        let Some(Rounding { factor, least, most, step }) = self.rounding else {
            return bounded;
        };
        let scaled = within(simd, simd.mul_f32s(bounded, simd.splat_f32s(factor)), least, most);
        // Ties go to the even integer, as everywhere where nothing else is asked for.
        let integers = simd.sub_f32s(simd.add_f32s(scaled, simd.splat_f32s(ROUNDER)), simd.splat_f32s(ROUNDER));
        simd.mul_f32s(integers, simd.splat_f32s(step))
    }
}

/// Returns the nearest numbers that are at least and at most so; a NaN, which is neither less nor more, stays.
#[inline(always)]
fn within<S: Simd>(simd: S, numbers: S::f32s, least: f32, most: f32) -> S::f32s {
    let [least, most] = [least, most].map(|it| simd.splat_f32s(it));
    let numbers = simd.select_f32s(simd.less_than_f32s(numbers, least), least, numbers);
    simd.select_f32s(simd.less_than_f32s(most, numbers), most, numbers)
}

/// Does to each number what is done to a sum.
#[derive(Debug)]
pub(super) struct Round(pub Finish);

impl Kernel for Round {
    const NAME: &'static str = "Round";

    fn rounding(&self) -> Option<Rounding> {
        self.0.rounding
    }

    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, inputs: &[&[f32]], output: &mut [f32]) {
        let Self(finish) = self;
        let (whole, rest) = S::as_simd_f32s(inputs[0]);
        let (to_whole, to_rest) = S::as_mut_simd_f32s(output);
        for (to, numbers) in to_whole.iter_mut().zip(whole) {
            *to = finish.apply(simd, *numbers);
        }
        if !rest.is_empty() {
            simd.partial_store_f32s(to_rest, finish.apply(simd, simd.partial_load_f32s(rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;
    use crate::tract::kernels::op::run;

    #[test]
    fn a_nan_stays_whatever_the_instructions() {
        let rounding = Rounding { factor: 2.0, least: 0.0, most: 255.0, step: 0.5 };
        for finish in [
            Finish::NOTHING,
            Finish { least: 0.0, ..Finish::NOTHING },
            Finish { least: 0.0, most: 6.0, rounding: None },
            Finish { rounding: Some(rounding), ..Finish::NOTHING },
        ] {
            let mut numbers = vec![7.0; 37];
            for nan in [0, 20, 36] {
                numbers[nan] = f32::NAN;
            }
            let (mut fast, mut plain) = ([0.0; 37], [0.0; 37]);
            run(&Round(finish), &[&numbers], &mut fast);
            Round(finish).run(Scalar::new(), &[&numbers], &mut plain);
            for (idx, it) in numbers.iter().enumerate() {
                assert_eq!(
                    [it, &fast[idx], &plain[idx]].map(|it| it.is_nan()),
                    [it.is_nan(); 3],
                    "{finish:?} at {idx}"
                );
                assert_eq!(fast[idx].to_bits(), plain[idx].to_bits(), "{finish:?} at {idx}");
            }
        }
    }
}
