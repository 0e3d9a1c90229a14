//! What an answer may cost, and loops before they are taken for endless.
//!
//! A model is asked before there is data, when nobody is there to wait, so that one which means harm is refused at once. A loop that
//! says how often it iterates at most is known to end: where asking it would cost too much, it is not asked, and refused as it is run
//! for what it then costs.

use std::cell::Cell;

use tract_onnx::{
    prelude::{TractError, TractResult},
    tract_hir::internal::{bail, ensure},
};

use super::run::{MAX_STEPS, Progress};
use crate::tract::preflight::{MAX_QUESTION_WORK, MAX_ROW_WORK};

/// What loops may cost.
#[derive(Clone, Copy, Debug)]
pub(in crate::tract) struct Limits {
    /// The iterations for one answer of all loops that may never end; those of scans are as many as there are numbers.
    iterations: u64,
    /// Bytes that one loop carries on, if it did not begin with about as many.
    carried_bytes: u64,
    /// Operations for one answer.
    pub(super) work: u64,
    /// Nodes that are run for one answer where loops say how often they iterate.
    steps: u64,
}

impl Limits {
    /// For a question that nobody has asked: a model is to be refused before it costs anything.
    pub(in crate::tract) const PREPARING: Self =
        Self { iterations: 1 << 14, carried_bytes: 8 << 20, work: MAX_QUESTION_WORK, steps: 1 << 17 };
    const RUNNING: Self = Self { iterations: 1 << 20, carried_bytes: 1 << 30, work: MAX_ROW_WORK, steps: MAX_STEPS };

    /// For an answer to so many rows.
    pub(in crate::tract) fn running(rows: usize) -> Self {
        Self { work: MAX_ROW_WORK.saturating_mul(rows.max(1) as u64), ..Self::RUNNING }
    }

    /// Whether it is for a question that nobody has asked.
    pub(super) fn is_preparing(self) -> bool {
        self.steps == Self::PREPARING.steps
    }
}

/// A model is sound as far as it was run, and answers only at a cost that is right for data alone.
#[derive(Debug, thiserror::Error)]
#[error("it costs more than a question may before there is data")]
pub(in crate::tract) struct Costly;

impl Costly {
    pub(in crate::tract) fn is_root_of(error: &TractError) -> bool {
        error.root_cause().is::<Self>()
    }
}

/// What all loops did for one answer.
pub(super) struct Loops {
    pub(super) limits: Limits,
    n_iterations: Cell<u64>,
    /// Of loops that may never end.
    n_unbounded: Cell<u64>,
    /// How many of those are running. What is in one is repeated as often as it is, whatever it says itself.
    n_open: Cell<u64>,
}

impl Loops {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, n_iterations: Cell::default(), n_unbounded: Cell::default(), n_open: Cell::default() }
    }
}

/// A loop that runs.
pub(super) struct Loop<'a> {
    progress: &'a Progress,
    /// The iterations that it has at most, if it is known to end.
    bound: Option<u64>,
    n_bytes_first: u64,
    n_bytes: u64,
    first_growth: u64,
    largest_growth: u64,
}

impl<'a> Loop<'a> {
    /// Begins a loop of at most `most` iterations, which carries on so many bytes.
    pub(super) fn new(progress: &'a Progress, most: i64, n_bytes: u64) -> Self {
        let is_inner = progress.loops.n_open.get() > 0;
        let bound = u64::try_from(most).ok().filter(|it| *it <= Limits::RUNNING.iterations && !is_inner);
        if bound.is_none() {
            progress.loops.n_open.update(|it| it + 1);
        }
        Self { progress, bound, n_bytes_first: n_bytes, n_bytes, first_growth: 0, largest_growth: 0 }
    }

    /// Counts one more iteration.
    pub(super) fn iterate(&self) -> TractResult<()> {
        let Loops { limits, n_iterations, n_unbounded, .. } = &self.progress.loops;
        let most = Limits::RUNNING.iterations;
        n_iterations.update(|it| it + 1);
        ensure!(n_iterations.get() <= most, "the loop does not end after {most} iterations");
        if self.bound.is_some() {
            return if self.progress.n_steps.get() <= limits.steps { Ok(()) } else { Err(Costly.into()) };
        }
        n_unbounded.update(|it| it + 1);
        ensure!(
            n_unbounded.get() <= limits.iterations,
            "the loop does not end after {} iterations; one that needs more is to say how many, at most {most}",
            limits.iterations
        );
        Ok(())
    }

    /// Fails where the loop carries on more bytes than it may, which are more where it began with many.
    pub(super) fn carry(&mut self, n_bytes: u64) -> TractResult<()> {
        let growth = n_bytes.saturating_sub(self.n_bytes);
        self.n_bytes = n_bytes;
        if self.first_growth == 0 {
            self.first_growth = growth;
        }
        self.largest_growth = self.largest_growth.max(growth);
        let allowed = self.progress.loops.limits.carried_bytes.max(self.n_bytes_first.saturating_mul(2));
        if n_bytes <= allowed {
            return Ok(());
        }
        let running = Limits::RUNNING.carried_bytes;
        if n_bytes <= running && self.at_the_end().is_some_and(|it| it <= running) {
            return Err(Costly.into());
        }
        bail!("it carries {n_bytes} bytes from iteration to iteration, where {allowed} are allowed");
    }

    /// Returns how many bytes the loop carries on at last, if it grows by about as many each time.
    fn at_the_end(&self) -> Option<u64> {
        let is_steady = self.largest_growth <= self.first_growth.saturating_add(self.first_growth / 2);
        let all = self.bound.filter(|_| is_steady)?.saturating_mul(self.largest_growth);
        Some(self.n_bytes_first.saturating_add(all))
    }
}

impl Drop for Loop<'_> {
    fn drop(&mut self) {
        if self.bound.is_none() {
            self.progress.loops.n_open.update(|it| it - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is said of a loop of at most `most` iterations which carries on so many bytes in each of them.
    fn said(most: i64, n_bytes: &[u64], limits: Limits) -> String {
        let progress = Progress::new(limits);
        let mut it = Loop::new(&progress, most, n_bytes[0]);
        let res = n_bytes.iter().try_for_each(|n_bytes| it.carry(*n_bytes));
        res.err().map_or(String::new(), |it| if Costly::is_root_of(&it) { "costly".to_owned() } else { it.to_string() })
    }

    #[test]
    fn what_grows_steadily_and_ends_is_no_harm() {
        const M: u64 = 1 << 20;
        let steady: Vec<u64> = (0..12).map(|it| it * M).collect();
        let doubling: Vec<u64> = (0..5).map(|it| M << it).collect();
        let wanted = "it carries 9437184 bytes from iteration to iteration, where 8388608 are allowed";
        assert_eq!(said(12, &steady, Limits::PREPARING), "costly");
        assert_eq!(said(1 << 40, &steady, Limits::PREPARING), wanted);
        // More than it may have when it is run.
        assert_eq!(said(2000, &steady, Limits::PREPARING), wanted);
        assert!(said(5, &doubling, Limits::PREPARING).contains("carries 16777216 bytes"));
        assert_eq!(said(12, &steady, Limits::RUNNING), "");
        assert!(said(12, &[0, 2000 * M], Limits::RUNNING).contains("where 1073741824 are allowed"));
        // It began with as many.
        assert_eq!(said(12, &[10 * M; 3], Limits::PREPARING), "");
    }

    #[test]
    fn what_says_how_often_it_iterates_is_believed_unless_it_is_repeated_without_end() {
        let progress = Progress::new(Limits::PREPARING);
        let iterate = |it: &Loop<'_>, n: usize| (0..n).try_for_each(|_| it.iterate()).map_err(|it| it.to_string());
        assert_eq!(iterate(&Loop::new(&progress, 20_000, 0), 20_000), Ok(()));
        progress.n_steps.set((1 << 17) + 1);
        assert!(Costly::is_root_of(&Loop::new(&progress, 20_000, 0).iterate().unwrap_err()));
        let endless = Loop::new(&progress, i64::MAX, 0);
        assert_eq!(iterate(&endless, 10_000), Ok(()));
        let said = iterate(&Loop::new(&progress, 7_000, 0), 7_000).unwrap_err();
        assert!(
            said.starts_with("the loop does not end after 16384 iterations; one that needs more is to say"),
            "{said}"
        );
        drop(endless);
        progress.n_steps.set(0);
        assert_eq!(iterate(&Loop::new(&progress, 7_000, 0), 7_000), Ok(()));
    }
}
