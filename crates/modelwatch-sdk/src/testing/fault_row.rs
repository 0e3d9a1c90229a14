//! A row of the fault matrix of stores, as the test that tries it says what became of it.

use std::fmt::Display;

/// One row, tried in one way. It says what became of it as a line of the test's output, of which `cargo xtask crash`
/// makes a table: `ok` after all assertions, `FAILED` where it is dropped before, or that it is skipped and why.
#[derive(Debug)]
#[must_use = "a row that is dropped has failed"]
pub struct FaultRow {
    number: u32,
    fault: String,
    harness: &'static str,
    is_told: bool,
}

impl FaultRow {
    /// Begins the row of that number: which fault, and what plays it.
    pub fn new(number: u32, fault: impl Display, harness: &'static str) -> Self {
        Self { number, fault: fault.to_string(), harness, is_told: false }
    }

    /// Adds what was found out.
    pub fn noting(mut self, what: impl Display) -> Self {
        self.fault = format!("{}: {what}", self.fault);
        self
    }

    /// Says that all assertions held, in so many states.
    pub fn ok(self, n_states: impl Display) {
        self.tell(n_states, "ok");
    }

    /// Says that it cannot be tried here.
    pub fn skipped(self, why: impl Display) {
        self.tell(0, format_args!("skipped: {why}"));
    }

    fn tell(mut self, n_states: impl Display, result: impl Display) {
        self.is_told = true;
        self.print(n_states, result);
    }

    #[expect(clippy::print_stdout, reason = "the output of a test is where it is looked for")]
    fn print(&self, n_states: impl Display, result: impl Display) {
        println!("ROW {} | {} | {} | {n_states} | {result}", self.number, self.fault, self.harness);
    }
}

impl Drop for FaultRow {
    fn drop(&mut self) {
        if !self.is_told {
            self.print("-", "FAILED");
        }
    }
}
