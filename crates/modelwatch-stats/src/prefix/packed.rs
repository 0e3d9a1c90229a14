//! How the keys of exact values are written in few bytes: whole numbers and short decimals as such, others without the bits that none has.

use super::{key_of, middle};
use crate::state::varint_len;

/// The bit of a key that numbers from 0 on have.
const SIGN: u64 = 1 << 63;

/// The greatest whole number below which floats hold all of them.
const GREATEST: i64 = 1 << 53;

/// With more digits behind the point, powers of ten are no shorter than floats are.
const MAX_DIGITS: u8 = 15;

/// The code of keys without their last bits, to which the number of bits is added, and that of decimals with their digits.
const SHIFTED: u8 = 64;
const DECIMAL: u8 = 128;

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are, which may lack so many forgotten bits.
    Plain(u32),
    /// Without so many of their last bits, which are the same in all of them.
    Shifted(u32),
    /// As whole multiples of a power of ten, with so many digits behind the point.
    Decimal(u8),
}

impl Form {
    /// Returns the form that takes the fewest bytes, and the keys in it; the first of those that take as few.
    pub(super) fn shortest(keys: Vec<u64>) -> (Self, Vec<u64>) {
        let decimal = (0..=MAX_DIGITS).map(Self::Decimal).find_map(|it| Some((it, it.packed(&keys)?)));
        let shift = keys.iter().map(|it| if it & SIGN == 0 { it.trailing_ones() } else { it.trailing_zeros() }).min();
        let shifted = shift.filter(|it| *it > 0).map(Self::Shifted).and_then(|it| Some((it, it.packed(&keys)?)));
        let others = [shifted, decimal].into_iter().flatten();
        std::iter::once((Self::Plain(0), keys)).chain(others).min_by_key(|it| length(&it.1)).expect("one is plain")
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Plain(bits) => bits as u8,
            Self::Shifted(bits) => SHIFTED + bits as u8,
            Self::Decimal(digits) => DECIMAL + digits,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        match code {
            0..SHIFTED => Some(Self::Plain(code.into())),
            // Nothing is shifted by nothing.
            SHIFTED..DECIMAL => Some(Self::Shifted((code - SHIFTED).into())).filter(|_| code > SHIFTED),
            _ => Some(Self::Decimal(code - DECIMAL)).filter(|_| code - DECIMAL <= MAX_DIGITS),
        }
    }

    /// Returns the key that was written as this one; none where there is none.
    pub(super) fn key(self, packed: u64) -> Option<u64> {
        match self {
            Self::Plain(bits) => (packed <= u64::MAX >> bits).then_some(packed),
            Self::Shifted(bits) => {
                let key = (packed <= u64::MAX >> bits).then(|| packed << bits)?;
                Some(if key & SIGN == 0 { key | ((1 << bits) - 1) } else { key })
            }
            Self::Decimal(digits) => {
                let whole = i64::try_from(packed).ok()?.checked_sub(GREATEST).filter(|it| *it <= GREATEST)?;
                // Adding 0 turns -0 into 0.
                Some(key_of(whole as f64 / power(digits) + 0.0))
            }
        }
    }

    fn packed(self, keys: &[u64]) -> Option<Vec<u64>> {
        let one = |key: &u64| match self {
            Self::Plain(_) => Some(*key),
            Self::Shifted(bits) => Some(key >> bits),
            Self::Decimal(digits) => {
                let whole = (middle(*key, 0) * power(digits)).round();
                let packed = (whole.abs() <= GREATEST as f64).then(|| (whole as i64 + GREATEST) as u64)?;
                (self.key(packed) == Some(*key)).then_some(packed)
            }
        };
        keys.iter().map(one).collect()
    }
}

/// Returns how many bytes the steps between ascending keys take.
fn length(keys: &[u64]) -> usize {
    let steps = keys.windows(2).map(|it| it[1] - it[0] - 1);
    keys.first().copied().into_iter().chain(steps).map(varint_len).sum()
}

fn power(digits: u8) -> f64 {
    10f64.powi(digits.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], expected: Form, n_bytes: usize) {
        let keys: Vec<u64> = values.iter().map(|it| key_of(*it)).collect();
        let (form, packed) = Form::shortest(keys.clone());
        assert_eq!((form, length(&packed)), (expected, n_bytes));
        assert_eq!(Form::of_code(form.code()), Some(form));
        assert_eq!(packed.iter().map(|it| form.key(*it)).collect::<Option<Vec<_>>>().unwrap(), keys);
    }

    #[test]
    fn keys_take_the_fewest_bytes_and_come_back() {
        let whole: Vec<f64> = (-50..950).map(f64::from).collect();
        check(&whole, Form::Decimal(0), 8 + 999);
        let prices: Vec<f64> = (-24..1000).map(|it| f64::from(it) / 100.0).collect();
        check(&prices, Form::Decimal(2), 8 + 1023);
        // Floats of 32 bits lack 29 of 52.
        let narrow: Vec<f64> = (1..100).map(|it| f64::from((it as f32).sqrt())).collect();
        let (form, _) = Form::shortest(narrow.iter().map(|it| key_of(*it)).collect());
        assert_eq!(form, Form::Shifted(29));
        let negative: Vec<f64> = narrow.iter().rev().map(|it| -it).collect();
        let (form, packed) = Form::shortest(negative.iter().map(|it| key_of(*it)).collect());
        assert_eq!(packed.iter().map(|it| middle(form.key(*it).unwrap(), 0)).collect::<Vec<_>>(), negative);
        let roots: Vec<f64> = (2..4).map(|it| f64::from(it).sqrt()).collect();
        check(&roots, Form::Plain(0), 10 + 8);
        assert_eq!(Form::shortest(Vec::new()).0, Form::Plain(0));
    }

    #[test]
    fn codes_of_no_form_are_refused() {
        assert_eq!([64, 144, 255].map(Form::of_code), [None; 3]);
    }
}
