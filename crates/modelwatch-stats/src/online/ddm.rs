//! The drift detection method on a stream of errors.

use super::{Change, Detector, Mean};

/// How many values come before the first decision.
const WARM_UP: f64 = 30.0;

/// DDM (Gama et al. 2004): the error rate p with its deviation s, held against the least `p + s` so far. Beyond `p + 2 s` of that time it
/// warns, beyond `p + 3 s` it is drift.
///
/// Values are 1 for an error and 0 for none. As published, it sees rises alone, and alarms soon after an early streak of luck.
///
/// ```
/// use modelwatch_stats::online::{Ddm, drifts};
///
/// let errors = (0..400).map(|it| f64::from(u8::from(if it < 200 { it % 10 == 0 } else { it % 2 == 0 })));
/// let found = drifts(&mut Ddm::default(), errors);
/// assert!((200..260).contains(&found[0]), "{found:?}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ddm {
    rate: Mean,
    /// The rate and deviation where their sum was least.
    least: Option<(f64, f64)>,
}

impl Detector for Ddm {
    fn update(&mut self, value: f64) -> Change {
        if value.is_nan() {
            return Change::None;
        }
        self.rate.push(value);
        let Mean { n, mean: rate } = self.rate;
        if n <= WARM_UP {
            return Change::None;
        }
        let deviation = (rate * (1.0 - rate) / n).max(0.0).sqrt();
        let (least_rate, least_deviation) = match self.least {
            Some(it) if rate + deviation > it.0 + it.1 => it,
            _ => *self.least.insert((rate, deviation)),
        };
        let excess = rate + deviation - least_rate;
        if excess > 3.0 * least_deviation {
            *self = Self::default();
            Change::Drift
        } else if excess > 2.0 * least_deviation {
            Change::Warning
        } else {
            Change::None
        }
    }
}
