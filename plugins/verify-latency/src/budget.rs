//! Holds an estimate against a budget: by its interval, never by its value alone.

use modelwatch_sdk::report::{Interval, Status};

use crate::series::{Estimate, MIN_RUNS};

/// Which side of a limit is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    AtMost,
    AtLeast,
}

/// Returns whether the estimate of so many runs keeps the limit. Noise is inconclusive.
pub(crate) fn judge(estimate: Option<&Estimate>, runs: usize, wanted: Wanted, limit: f64) -> Status {
    let Some(Estimate { value, interval: Interval { low, high, .. } }) = estimate.filter(|_| runs >= MIN_RUNS) else {
        return Status::Inconclusive;
    };
    let (kept, missed) = match wanted {
        Wanted::AtMost => (*high <= limit, *low > limit),
        Wanted::AtLeast => (*low >= limit, *high < limit),
    };
    match (value.is_finite(), kept, missed) {
        (false, _, _) => Status::Fail,
        (true, true, false) => Status::Pass,
        (true, false, true) => Status::Fail,
        _ => Status::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_interval_decides() {
        let of = |low, value, high, wanted, limit| {
            let interval = Interval { low, high, level: 0.95 };
            judge(Some(&Estimate { value, interval }), MIN_RUNS, wanted, limit)
        };
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtMost, 3.0), Status::Pass);
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtMost, 2.5), Status::Inconclusive);
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtMost, 1.0), Status::Inconclusive);
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtMost, 0.9), Status::Fail);
        assert_eq!(of(1.0, 2.0, f64::INFINITY, Wanted::AtMost, 1e9), Status::Inconclusive);
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtLeast, 1.0), Status::Pass);
        assert_eq!(of(1.0, 2.0, 3.0, Wanted::AtLeast, 3.1), Status::Fail);
        assert_eq!(of(f64::NAN, f64::NAN, f64::NAN, Wanted::AtMost, 1.0), Status::Fail);
        assert_eq!(judge(None, MIN_RUNS, Wanted::AtMost, 1.0), Status::Inconclusive);
    }

    #[test]
    fn few_runs_decide_nothing() {
        let interval = Interval { low: 1.0, high: 1.0, level: 0.95 };
        let one = Estimate { value: 1.0, interval };
        assert_eq!(judge(Some(&one), MIN_RUNS - 1, Wanted::AtMost, 9.0), Status::Inconclusive);
    }
}
