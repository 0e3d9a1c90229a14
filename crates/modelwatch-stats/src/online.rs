//! Detectors of change in a stream of numbers or of errors, one value at a time, in constant memory.
//!
//! Each looks at the order of values, so that none merges: a stream is watched by one detector.
//! After a drift a detector starts over, [`Adwin`] with the values since the change.
//! None of them bounds how often it is wrong on an endless stream except [`Adwin`], [`HddmA`] and [`HddmW`], per value; where river
//! 0.26.1 decides otherwise, the docs say why.
//! NaN is no value: it is passed over and changes nothing.

mod adwin;
mod cusum;
mod ddm;
mod eddm;
mod hddm_a;
mod hddm_w;
mod kswin;
mod onset;
mod page_hinkley;

use crate::error::StateError;
use crate::state::{Reader, Writer};

pub use adwin::{Adwin, AdwinSettings};
pub use cusum::{Cusum, CusumSettings};
pub use ddm::{Ddm, DdmSettings};
pub use eddm::{Eddm, EddmSettings};
pub use hddm_a::HddmA;
pub use hddm_w::HddmW;
pub use kswin::Kswin;
pub use onset::onset;
pub use page_hinkley::{PageHinkley, PageHinkleySettings};

/// What a detector says of the stream up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing has changed.
    None,
    /// Something may have changed.
    Warning,
    /// Something has changed.
    Drift,
}

/// A detector of change.
pub trait Detector {
    /// Takes in the next value and says whether the stream has changed.
    fn update(&mut self, value: f64) -> Change;

    /// Returns how many of the newest values came after a change, as the detector sees it, right after it reported one; `None` where it
    /// starts over without a value.
    fn n_kept(&self) -> Option<u64> {
        None
    }

    /// Returns what the detector has seen, its settings aside.
    fn to_bytes(&self) -> Vec<u8>;

    /// Goes on from what a detector of the same settings has seen.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError>;
}

/// The greatest count, up to which each is a float of its own.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// Returns numbers as state bytes.
fn to_bytes(numbers: &[f64]) -> Vec<u8> {
    let mut writer = Writer::new();
    numbers.iter().for_each(|it| writer.f64(*it));
    writer.finish()
}

/// Returns the `N` numbers in the bytes of a state.
fn from_bytes<const N: usize>(bytes: &[u8]) -> Result<[f64; N], StateError> {
    let mut reader = Reader::new(WHAT, bytes)?;
    let mut res = [0.0; N];
    for it in &mut res {
        *it = reader.f64()?;
    }
    reader.finish()?;
    Ok(res)
}

/// Returns a number as the count that it is.
fn count(number: f64, field: &'static str) -> Result<u64, StateError> {
    let is_count = (0.0..=MAX_COUNT).contains(&number) && number.fract() == 0.0;
    if is_count { Ok(number as u64) } else { Err(StateError::Invalid { what: WHAT, field }) }
}

/// What states are of.
const WHAT: &str = "detector";

/// The places at which a detector reports drift, from 0.
///
/// ```
/// use modelwatch_stats::online::{PageHinkley, PageHinkleySettings, drifts};
///
/// let stream = (0..200).map(|it| if it < 100 { 0.0 } else { 10.0 });
/// let settings = PageHinkleySettings { threshold: 20.0, ..PageHinkleySettings::PAPER };
/// assert_eq!(drifts(&mut PageHinkley::new(settings), stream), [102]);
/// ```
pub fn drifts(detector: &mut impl Detector, stream: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let found = stream.into_iter().enumerate().filter(|it| detector.update(it.1) == Change::Drift);
    found.map(|it| it.0).collect()
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    n: f64,
    mean: f64,
}

impl Mean {
    fn push(&mut self, value: f64) {
        self.n += 1.0;
        self.mean += (value - self.mean) / self.n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a new detector go on from the state of another one after every value.
    fn check(start: impl Fn() -> Box<dyn Detector>) {
        let stream = (0..600).map(|it| f64::from(u8::from(it * 7 % 10 < if it < 300 { 1 } else { 6 })));
        let (mut whole, mut state) = (start(), start().to_bytes());
        for value in stream {
            let mut next = start();
            next.restore(&state).unwrap();
            assert_eq!(next.update(value), whole.update(value));
            assert_eq!(next.n_kept(), whole.n_kept());
            state = next.to_bytes();
            assert_eq!(state, whole.to_bytes());
        }
        assert!(start().restore(&state[..state.len() - 1]).is_err());
        state.push(0);
        assert!(start().restore(&state).is_err() && start().restore(&[]).is_err());
    }

    #[test]
    fn a_detector_goes_on_from_the_state_of_another() {
        check(|| Box::new(Adwin::new(AdwinSettings::PAPER)));
        check(|| Box::new(Cusum::new(CusumSettings { mean: 0.1, deviation: 0.3, slack: 0.5, threshold: 5.0 })));
        check(|| Box::new(Ddm::new(DdmSettings::PAPER)));
        check(|| Box::new(Eddm::new(EddmSettings::PAPER)));
        check(|| Box::new(HddmA::new(0.001, 0.005)));
        check(|| Box::new(HddmW::new(0.001, 0.005, 0.05)));
        check(|| Box::new(Kswin::new(0.005, 100, 30)));
        check(|| Box::new(PageHinkley::new(PageHinkleySettings { threshold: 10.0, ..PageHinkleySettings::PAPER })));
    }
}
