//! What became of each row of the fault matrix.

use std::fmt::Write;

use anyhow::{Result, ensure};

/// The rows that concern the store; those after them are others' business.
const ROWS: std::ops::RangeInclusive<u32> = 1..=30;

/// What all rows together are to come to.
struct Sum {
    what: &'static str,
    is_counted: fn(&Row) -> bool,
    at_least: u64,
}

const SUMS: [Sum; 4] = [
    // What a kill, a power cut, or lost and reordered blocks leave.
    Sum {
        what: "crash states",
        is_counted: |it| it.is_one_of(&[1, 2, 3, 15]) && !it.fault.starts_with("peer: "),
        at_least: 10_000,
    },
    Sum {
        what: "SIGKILLs at random times",
        is_counted: |it| it.is_one_of(&[1]) && it.fault.starts_with("SIGKILL"),
        at_least: 1_000,
    },
    // That it is every one is for the test to say; the least store that has all that there can be has some more.
    Sum {
        what: "bits of metadata flipped",
        is_counted: |it| it.is_one_of(&[8]) && it.fault.starts_with("every bit of every metadata"),
        at_least: 100_000,
    },
    Sum {
        what: "bits of packs flipped",
        is_counted: |it| it.is_one_of(&[8]) && it.fault.starts_with("random bits of packs"),
        at_least: 10_000,
    },
];

/// A row, tried in one way, as the line of its test says it.
struct Row {
    /// Nothing where a test failed that does not tell by its name which row it is.
    number: Option<u32>,
    fault: String,
    harness: String,
    states: String,
    result: String,
}

impl Row {
    /// Reads `ROW 3 | fault | harness | states | result`. A test's name may stand before it.
    fn parse(line: &str) -> Option<Self> {
        let (_, row) = line.split_once("ROW ")?;
        let [number, fault, harness, states, result] = row.split(" | ").collect::<Vec<_>>()[..] else { return None };
        let [fault, harness, states, result] = [fault, harness, states, result].map(|it| it.trim().to_owned());
        Some(Self { number: Some(number.trim().parse().ok()?), fault, harness, states, result })
    }

    fn is_one_of(&self, numbers: &[u32]) -> bool {
        self.number.is_some_and(|it| numbers.contains(&it))
    }

    fn is_skipped(&self) -> bool {
        self.result.starts_with("skipped")
    }

    /// Returns in how many states it held.
    fn n_states(&self) -> u64 {
        if self.result == "ok" { self.states.parse().unwrap_or(0) } else { 0 }
    }
}

/// All rows that were tried.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Takes in what a test said.
    pub(crate) fn take(&mut self, said: &str) {
        self.0.extend(said.lines().filter_map(Row::parse));
    }

    /// Takes in that a test failed. It may not have come to say so of all its rows.
    pub(crate) fn take_failure(&mut self, number: Option<u32>, test: &str, how: &str) {
        let row = |it: &str| it.to_owned();
        self.0.push(Row { number, fault: row(test), harness: row("-"), states: row("-"), result: row(how) });
    }

    /// Returns the table, of one row if that is all that is asked for, and what is missing of it. Failed tests of rows
    /// that nobody knows come last.
    pub(crate) fn shown(mut self, only: Option<u32>) -> (String, Result<()>) {
        let is_asked = |number: u32| only.is_none_or(|it| it == number);
        // A row of which nobody said anything is in the table as well: it was not tried, or its test failed.
        let untold: Vec<u32> =
            ROWS.filter(|it| is_asked(*it) && self.0.iter().all(|row| row.number != Some(*it))).collect();
        untold.iter().for_each(|it| self.take_failure(Some(*it), "", "NO RESULT"));
        self.0.retain(|it| it.number.is_none_or(is_asked));
        self.0.sort_by_key(|it| it.number.unwrap_or(u32::MAX));
        let mut res = String::from("row | fault | harness | states | last result\n");
        for Row { number, fault, harness, states, result } in &self.0 {
            let number = number.map_or("-".to_owned(), |it| it.to_string());
            let _ = writeln!(res, "{number} | {fault} | {harness} | {states} | {result}");
        }
        let mut few = Vec::new();
        for Sum { what, is_counted, at_least } in SUMS.iter().filter(|_| only.is_none()) {
            let sum: u64 = self.0.iter().filter(|it| is_counted(it)).map(Row::n_states).sum();
            let _ = write!(res, "\n{sum} {what}, of at least {at_least}");
            if sum < *at_least {
                few.push(format!("{sum} {what} of at least {at_least}"));
            }
        }
        for Row { number, fault, harness, result, .. } in self.0.iter().filter(|it| it.is_skipped()) {
            let number = number.map_or("-".to_owned(), |it| it.to_string());
            let _ = write!(res, "\nnot tried: row {number}, {fault} ({harness}), {result}");
        }
        (res, missing(&untold, &few))
    }
}

fn missing(untold: &[u32], few: &[String]) -> Result<()> {
    ensure!(untold.is_empty(), "rows {untold:?} have no result");
    ensure!(few.is_empty(), "there were only {}", few.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &str) -> Table {
        let mut res = Table::default();
        res.take(lines);
        res.take("test a_row ... ok");
        res
    }

    #[test]
    fn only_what_held_counts() {
        let said = "test tests::crash::x ... ROW 3 | power cut, blocks reordered | SIM | 4321 | ok\n\
                    ROW 2 | power cut on xfs | PWR | 0 | skipped: no `xfs_io`\n\
                    ROW 2 | peer: another library: lost 3 of 3 | PWR | 3 | ok\n\
                    ROW 15 | crash during repair | SIM | - | FAILED\n\
                    ROW 1 | SIGKILL of a saving process | KILL | 40 | ok\n\
                    ROW 8 | random bits of packs: 10000 detected, 0 wrong values | SIM | 10000 | ok\n";
        let (shown, res) = table(said).shown(None);
        assert!(shown.contains("2 | power cut on xfs | PWR | 0 | skipped: no `xfs_io`\n2 | peer: "), "{shown}");
        assert!(shown.contains("\n4361 crash states, of at least 10000\n"), "{shown}");
        assert!(shown.contains("\n40 SIGKILLs at random times, of at least 1000\n"), "{shown}");
        assert!(shown.contains("\n0 bits of metadata flipped, of at least 100000\n"), "{shown}");
        assert!(shown.contains("\n10000 bits of packs flipped, of at least 10000\n"), "{shown}");
        assert!(shown.ends_with("\nnot tried: row 2, power cut on xfs (PWR), skipped: no `xfs_io`"), "{shown}");
        assert!(shown.contains("\n30 |  | - | - | NO RESULT\n"), "{shown}");
        let message = res.unwrap_err().to_string();
        assert!(message.starts_with("rows [4, 5, 6, 7, 9,") && message.ends_with("have no result"), "{message}");
    }

    #[test]
    fn every_row_is_there_and_every_sum_is_reached() {
        let rows: String = (1..=30).map(|it| format!("ROW {it} | SIGKILL | SIM | 2600 | ok\n")).collect();
        let bits = "ROW 8 | every bit of every metadata object | SIM | 100000 | ok\n\
                    ROW 8 | random bits of packs | SIM | 9999 | ok\n";
        let few = table(&format!("{rows}{bits}")).shown(None).1.unwrap_err().to_string();
        assert_eq!(few, "there were only 9999 bits of packs flipped of at least 10000");
        let all = bits.replace("9999", "10000");
        table(&format!("{rows}{all}")).shown(None).1.unwrap();
        let few = table(&format!("{rows}{}", all.replace("100000", "99999"))).shown(None).1.unwrap_err().to_string();
        assert_eq!(few, "there were only 99999 bits of metadata flipped of at least 100000");
    }

    #[test]
    fn one_row_is_asked_for_alone() {
        let mut table =
            table("ROW 12 | 8 processes | processes | 1600 | ok\nROW 13 | writer frozen | SIGSTOP | 70 | ok\n");
        table.take_failure(Some(13), "writers::row_13_x", "FAILED: it took too long and was killed");
        let (shown, res) = table.shown(Some(13));
        assert!(!shown.contains("8 processes"), "{shown}");
        assert!(
            shown.contains("13 | writers::row_13_x | - | - | FAILED: it took too long and was killed\n"),
            "{shown}"
        );
        res.unwrap();
    }

    #[test]
    fn a_failed_test_is_told_whatever_else_is_said_of_its_rows() {
        let mut table = table("ROW 9 | kill during a collection | KILL | 40 | ok\n");
        table.take_failure(None, "store_local tests::crash::x", "FAILED: signal: 9 (SIGKILL)");
        let (shown, res) = table.shown(Some(9));
        let rows = "9 | kill during a collection | KILL | 40 | ok\n\
                    - | store_local tests::crash::x | - | - | FAILED: signal: 9 (SIGKILL)\n";
        assert!(shown.ends_with(rows), "{shown}");
        res.unwrap();
    }
}
