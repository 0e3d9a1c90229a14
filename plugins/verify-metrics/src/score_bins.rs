//! Bins of a probability, finer the closer it is to 0 or 1, and losses summed over the rows of one.
//!
//! Between 1/64 and 63/64 they are 1/4096 wide. Beyond, each octave of the lesser of the two probabilities has 64, down to 2⁻⁵²: so
//! scores of rare events, all of them near 0, fall into many bins, and within a bin the lesser probability differs from the middle by
//! at most 1/128 of it. That makes every loss of its rows a polynomial of where they lie within the bin. The edges are fixed, so that
//! counts of bins add up in any order.

use std::ops::{AddAssign, Range};

/// How many bins there are.
pub(crate) const N_BINS: usize = 2 * N_SIDE;

/// Those of one side of ½: the one next to 0, those of octaves, and those of equal width.
const N_SIDE: usize = 1 + N_OCTAVES + N_EQUAL;
const N_OCTAVES: usize = 46 << OCTAVE_BITS;
const N_EQUAL: usize = (2048.0 - PER_UNIT * EQUAL_FROM) as usize;
/// The bins of equal width, of both sides.
const EQUAL: Range<usize> = 1 + N_OCTAVES..1 + N_OCTAVES + 2 * N_EQUAL;
/// Each octave has 2⁶ bins.
const OCTAVE_BITS: u32 = 6;
const PER_UNIT: f64 = 4096.0;
const EQUAL_FROM: f64 = 1.0 / 64.0;
/// Bits of a number below those that tell its bin of an octave.
const REST_BITS: u32 = f64::MANTISSA_DIGITS - 1 - OCTAVE_BITS;
/// Scikit-learn's bound of probabilities in a log loss.
const LEAST: f64 = f64::EPSILON;

/// The parts of 1 in which [`Powers`] are summed. Rounding a row to them moves its score by at most 2⁻⁴⁰, or 2⁻³⁴ of the lesser probability.
const PARTS: f64 = (1_u64 << 26) as f64;
/// What shifts a number so that its last bit is 1, which rounds it to a whole one.
const SHIFT: f64 = 1.5 * (1_u64 << 52) as f64;
/// So many rows have sums of [`powers`] that are exact as numbers, in any order.
pub(crate) const EXACT_ROWS: u64 = 1 << 26;

/// A probability of the positive class, as the lesser of it and its complement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// Whether the negative class is the less likely one.
    pub(crate) is_high: bool,
    pub(crate) lesser: f64,
}

/// The sums of the first three powers of where rows lie in a bin, from -1 to 1 about its middle, in whole parts.
///
/// A plain array, so that the zeros of all cells are written as one block.
pub(crate) type Powers = [i128; 3];

/// What rows of one label have in sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    pub(crate) n: f64,
    pub(crate) confidence: f64,
    /// The sum of the losses, and of their squares.
    pub(crate) log_loss: [f64; 2],
    pub(crate) brier: [f64; 2],
}

impl Score {
    /// Returns the score of a single probability.
    #[inline]
    pub(crate) fn of(probability: f64) -> Self {
        Self { is_high: probability >= 0.5, lesser: probability.min(1.0 - probability) }
    }

    /// Returns whether it is of a probability; false of a NaN.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.lesser >= 0.0
    }

    /// Returns the bin, in the order of probabilities, and where in it the probability lies, from -1 to 1.
    #[inline]
    pub(crate) fn place(self) -> (usize, f64) {
        let (bin, offset) = place_of_equal(if self.is_high { 1.0 - self.lesser } else { self.lesser });
        if EQUAL.contains(&(bin as usize)) {
            return (bin as usize, offset);
        }
        let (bin, offset) = if self.lesser >= LEAST {
            let (bits, first) = (self.lesser.to_bits(), LEAST.to_bits() >> REST_BITS);
            let rest = bits & ((1 << REST_BITS) - 1);
            (1 + ((bits >> REST_BITS) - first) as usize, rest as f64 * (2.0 / (1_u64 << REST_BITS) as f64) - 1.0)
        } else {
            (0, 0.0)
        };
        if self.is_high { ((N_BINS - 1).wrapping_sub(bin), -offset) } else { (bin, offset) }
    }
}

/// Returns as [`Score::place`] where the bins are of equal width; elsewhere, and of a NaN, none of the bins.
// Without a branch, so that several are placed at once. Rounding by a shift takes two instructions, where a cast that saturates takes
// several.
#[inline]
fn place_of_equal(probability: f64) -> (u32, f64) {
    let at = probability * PER_UNIT - 0.5;
    let shifted = at + SHIFT;
    // The first bin is the one that begins so many widths from 0.
    let before = (EQUAL_FROM * PER_UNIT) as u32;
    let bin = (EQUAL.start as u32).wrapping_sub(before).wrapping_add(shifted.to_bits() as u32);
    // Rounding may make the difference that of an edge at most, which is not one of these.
    let is_equal = (probability - 0.5).abs() < 0.5 - EQUAL_FROM;
    (if is_equal { bin } else { u32::MAX }, 2.0 * (at - (shifted - SHIFT)))
}

/// Where the scores of some rows lie, and the [`powers`] of these places.
pub(crate) struct Placed {
    /// No bin where [`Score::place`] has to say it.
    pub(crate) bins: [u32; AT_ONCE],
    pub(crate) powers: [[f64; AT_ONCE]; 3],
}

/// So many rows are placed at once, and stay in the nearest cache until they are counted.
pub(crate) const AT_ONCE: usize = 256;

impl Placed {
    pub(crate) const NONE: Self = Self { bins: [u32::MAX; AT_ONCE], powers: [[0.0; AT_ONCE]; 3] };

    /// Places the scores of [so many](AT_ONCE) rows or fewer.
    pub(crate) fn place<S: Copy + Into<f64>>(&mut self, scores: &[S]) {
        let n = scores.len().min(AT_ONCE);
        let Self { bins, powers: [first, second, third] } = self;
        // All of one length, of which the compiler sees it.
        let (scores, bins, first, second, third) =
            (&scores[..n], &mut bins[..n], &mut first[..n], &mut second[..n], &mut third[..n]);
        for row in 0..n {
            let (bin, offset) = place_of_equal(scores[row].into());
            bins[row] = bin;
            [first[row], second[row], third[row]] = powers(offset);
        }
    }
}

/// Returns the first three powers of a number from -1 to 1, each in whole parts.
#[inline]
pub(crate) fn powers(offset: f64) -> [f64; 3] {
    const SHIFT_OF_PARTS: f64 = SHIFT / PARTS;
    let round = |it: f64| (it + SHIFT_OF_PARTS) - SHIFT_OF_PARTS;
    let first = round(offset);
    let second = round(first * first);
    [first, second, round(first * second)]
}

/// Returns the middle of a bin of one side, and half its width.
#[inline]
fn span(bin: usize) -> (f64, f64) {
    let edge = |it: usize| match it.checked_sub(1 + N_OCTAVES) {
        Some(it) => EQUAL_FROM + it as f64 / PER_UNIT,
        None if it == 0 => 0.0,
        None => f64::from_bits(((LEAST.to_bits() >> REST_BITS) + it as u64 - 1) << REST_BITS),
    };
    (f64::midpoint(edge(bin), edge(bin + 1)), (edge(bin + 1) - edge(bin)) / 2.0)
}

/// Returns the probabilities between which a bin lies.
#[inline]
pub(crate) fn edges(bin: usize) -> [f64; 2] {
    let is_high = bin >= N_SIDE;
    let (middle, half) = span(if is_high { N_BINS - 1 - bin } else { bin });
    if is_high { [1.0 - (middle + half), 1.0 - (middle - half)] } else { [middle - half, middle + half] }
}

/// Returns the middle of a bin.
pub(crate) fn middle(bin: usize) -> f64 {
    if bin < N_SIDE { span(bin).0 } else { 1.0 - span(N_BINS - 1 - bin).0 }
}

/// Adds the [`powers`] of a row, or sums of them that are exact, `times` times.
pub(crate) fn add(sums: &mut Powers, powers: [f64; 3], times: u64) {
    for (sum, power) in sums.iter_mut().zip(powers) {
        // What is exact as a number is in 53 bits, to which a cast takes one instruction.
        *sum += i128::from((power * PARTS) as i64) * i128::from(times);
    }
}

/// Returns whether they can be of `n` rows.
pub(crate) fn can_be_of([first, second, third]: Powers, n: u64) -> bool {
    let most = i128::from(n) * PARTS as i128;
    (-most..=most).contains(&first) && (0..=most).contains(&second) && (-most..=most).contains(&third)
}

/// Returns the losses of `n` rows in a bin whose label is the positive class or not; the probabilities of a log loss are bound to `least`, a
/// power of ½.
///
/// With x as the place of a row, c the middle and w half the width, `ln(c + w x) = ln c + r x - r² x² / 2 + r³ x³ / 3 - r⁴ x⁴ / 4 + …`
/// for r = w / c, at most 1/128. For x⁴ stands x² - 1/8, which is within 1/8 of it (Chebyshev). With the powers that follow a log loss
/// is within 2 · 10⁻¹⁰ of its value.
pub(crate) fn losses(powers: Powers, bin: usize, n: u64, is_positive: bool, least: f64) -> Losses {
    let is_high = bin >= N_SIDE;
    let at = if is_high { N_BINS - 1 - bin } else { bin };
    let (middle, half) = span(at);
    let n = n as f64;
    let [first, second, third] = powers.map(|it| it as f64 / PARTS);
    // Of the lesser probability, which falls where the other rises.
    let turned = if is_high { -1.0 } else { 1.0 };
    let (first, third) = (turned * first, turned * third);
    // The probability of the label is the lesser one, or 1 less it.
    let (center, sign) = if is_high == is_positive { (1.0 - middle, -1.0) } else { (middle, 1.0) };
    let (first_of_label, third_of_label) = (sign * first, sign * third);
    // The bins next to 0 have the loss to which all of them are bound.
    let (r, center_loss) = if middle + half <= least {
        (0.0, -if sign > 0.0 { least } else { 1.0 - least }.ln())
    } else {
        (half / center, -center.ln())
    };
    let fourth = second - n / 8.0;
    let gain =
        r * first_of_label - r.powi(2) / 2.0 * second + r.powi(3) / 3.0 * third_of_label - r.powi(4) / 4.0 * fourth;
    let gain_squared = r.powi(2) * second - r.powi(3) * third_of_label + 11.0 / 12.0 * r.powi(4) * fourth;
    // Of the other class: the lesser probability where the label is the more likely one.
    let (miss, turn) = (1.0 - center, -half);
    Losses {
        n,
        confidence: if is_high { n * (1.0 - middle) - half * first } else { n * middle + half * first },
        log_loss: [
            (n * center_loss - gain).max(0.0),
            (n * center_loss * center_loss - 2.0 * center_loss * gain + gain_squared).max(0.0),
        ],
        brier: [
            n * miss.powi(2) + 2.0 * miss * turn * first_of_label + half.powi(2) * second,
            n * miss.powi(4)
                + 4.0 * miss.powi(3) * turn * first_of_label
                + 6.0 * (miss * half).powi(2) * second
                + 4.0 * miss * turn.powi(3) * third_of_label,
        ],
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.confidence += other.confidence;
        self.log_loss.iter_mut().zip(other.log_loss).for_each(|(left, right)| *left += right);
        self.brier.iter_mut().zip(other.brier).for_each(|(left, right)| *left += right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_follow_the_scores_and_hold_them() {
        let mut scores: Vec<f64> = (0..=4096 * 3).map(|it| f64::from(it) / 12288.0).collect();
        for exponent in 1..1000 {
            let least = 2_f64.powi(-exponent);
            scores.extend([least, least * 1.01, least.next_down(), 1.0 - least, 1.0 - least * 1.3]);
        }
        scores.sort_by(f64::total_cmp);
        let mut last = 0;
        for score in scores {
            let (bin, offset) = Score::of(score).place();
            let [low, high] = edges(bin);
            assert!(bin >= last && (low..=high).contains(&score), "{score} in {bin}: {low} to {high}");
            assert!((-1.0..=1.0).contains(&offset) && (low..=high).contains(&middle(bin)), "{score}: {offset}");
            last = bin;
        }
        assert_eq!((Score::of(0.0).place().0, Score::of(1.0).place().0), (0, N_BINS - 1));
    }

    #[test]
    fn scores_are_placed_at_once_as_one_by_one() {
        let least = EQUAL_FROM.next_down();
        let most = 1.0 - EQUAL_FROM;
        let edges =
            [f64::NAN, -1.0, 0.0, LEAST, least, EQUAL_FROM, 0.5, 0.5_f64.next_down(), most, most.next_up(), 1.0];
        // As whole numbers of bins beyond all of them, whose last bits are those of bins again.
        let beyond = [1.5, 1e300, -1e300, f64::INFINITY, 4097.0 * 1024.0 * 1024.0, -(2_f64.powi(31) + 0.25)];
        let scores: Vec<f64> =
            edges.into_iter().chain(beyond).chain((0..200).map(|it| f64::from(it) / 199.0)).collect();
        let mut placed = Placed::NONE;
        placed.place(&scores);
        for (row, &score) in scores.iter().enumerate() {
            let of_score = Score::of(score);
            // The edges are left to the other way.
            if of_score.lesser > EQUAL_FROM {
                let (bin, offset) = of_score.place();
                assert_eq!(
                    (placed.bins[row] as usize, placed.powers.map(|it| it[row])),
                    (bin, powers(offset)),
                    "{score}"
                );
            } else {
                assert_eq!(placed.bins[row], u32::MAX, "{score}");
            }
        }
    }

    #[test]
    fn powers_give_the_losses_of_rows() {
        for exponent in 1..60 {
            for part in 0..20 {
                for is_high in [false, true] {
                    let lesser = 2_f64.powi(-exponent) * (0.5 + f64::from(part) / 40.0);
                    let score = Score { is_high, lesser };
                    let (bin, offset) = score.place();
                    let mut powers = Powers::default();
                    add(&mut powers, super::powers(offset), 3);
                    for is_positive in [false, true] {
                        let truth = if is_high == is_positive { 1.0 - lesser } else { lesser };
                        let (log_loss, brier) = (-truth.clamp(LEAST, 1.0 - LEAST).ln(), (1.0 - truth).powi(2));
                        let found = losses(powers, bin, 3, is_positive, LEAST);
                        let close = |got: f64, expected: f64, bound: f64| {
                            assert!((got / 3.0 - expected).abs() <= bound, "{score:?} {is_positive}: {got} {expected}");
                        };
                        close(found.log_loss[0], log_loss, 2e-10);
                        close(found.log_loss[1], log_loss * log_loss, 4e-10 * log_loss + 5e-10);
                        close(found.brier[0], brier, 4e-12);
                        close(found.brier[1], brier * brier, 4e-12);
                        close(found.confidence, if is_high { 1.0 - lesser } else { lesser }, 1e-12);
                    }
                }
            }
        }
    }
}
