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
}

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
