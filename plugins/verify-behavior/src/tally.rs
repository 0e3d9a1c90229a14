//! What is counted of a test: counts and extremes, none depending on the order of rows.

use modelwatch_sdk::report::float;
use serde::{Deserialize, Serialize};

use crate::{
    answers::Answers,
    config::Direction,
    settings::{Expected, Test},
};

/// The worst rows that are kept.
pub(crate) const WORST: usize = 10;

/// What was seen of a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tally {
    /// Rows that the test is about.
    pub(crate) rows: u64,
    /// Rows of these that the change changed, so that there was something to see.
    pub(crate) exercised: u64,
    /// Rows of these for which it held.
    pub(crate) passed: u64,
    /// Rows of these whose answer is not finite, before or after the change.
    pub(crate) non_finite: u64,
    /// The greatest change of an answer, in the direction that is not wanted if there is one.
    pub(crate) greatest: Option<f64>,
    /// Rows for which it did not hold and that have an id, worst first.
    pub(crate) worst: Vec<WorstRow>,
}

/// A row for which a test did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorstRow {
    /// How far the answer moved; infinite where one is not finite or a class became another.
    #[serde(with = "float")]
    pub(crate) moved: f64,
    pub(crate) id: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// What one row says.
struct Judged {
    holds: bool,
    moved: Option<f64>,
}

impl Tally {
    /// Judges a row that the change changed. An error is a reason why the test is not about this output.
    pub(crate) fn add(
        &mut self,
        test: &Test,
        before: &Answers<'_>,
        after: &Answers<'_>,
        row: usize,
        id: Option<&str>,
    ) -> Result<(), String> {
        self.exercised += 1;
        let broken = before.is_broken(row) || after.is_broken(row);
        let judged = if broken {
            self.non_finite += 1;
            Judged { holds: false, moved: None }
        } else {
            judge(&test.expected, before, after, row)?
        };
        if let Some(it) = judged.moved {
            self.greatest = Some(self.greatest.map_or(it, |greatest| greatest.max(it)));
        }
        if judged.holds {
            self.passed += 1;
        } else if let Some(id) = id {
            let moved = judged.moved.unwrap_or(f64::INFINITY);
            self.add_worst(WorstRow { moved, id: id.to_owned(), before: before.text(row), after: after.text(row) });
        }
        Ok(())
    }

    fn add_worst(&mut self, row: WorstRow) {
        self.worst.push(row);
        self.worst.sort_by(|a, b| {
            let texts = |it: &WorstRow| (it.id.clone(), it.before.clone(), it.after.clone());
            b.moved.total_cmp(&a.moved).then_with(|| texts(a).cmp(&texts(b)))
        });
        self.worst.truncate(WORST);
    }

    /// Takes in what another instance saw.
    pub(crate) fn merge(&mut self, other: Self) {
        for (sum, it) in [
            (&mut self.rows, other.rows),
            (&mut self.exercised, other.exercised),
            (&mut self.passed, other.passed),
            (&mut self.non_finite, other.non_finite),
        ] {
            *sum = sum.saturating_add(it);
        }
        self.greatest = match (self.greatest, other.greatest) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        other.worst.into_iter().for_each(|it| self.add_worst(it));
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.exercised <= self.rows
            && self.passed.checked_add(self.non_finite).is_some_and(|it| it <= self.exercised)
            && self.worst.len() <= WORST
    }
}

fn judge(expected: &Expected, before: &Answers<'_>, after: &Answers<'_>, row: usize) -> Result<Judged, String> {
    let numbers = (before.numbers(row), after.numbers(row));
    let no_numbers = || "the output is text, of which only `same_class` can be tested".to_owned();
    match expected {
        Expected::Same { tolerance, class } => {
            let moved = match numbers {
                (Some(a), Some(b)) if a.len() == b.len() => {
                    Some(a.zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
                }
                (Some(_), Some(_)) => return Err("the output has another width after the change".to_owned()),
                _ => None,
            };
            let near = match tolerance {
                Some(tolerance) => moved.ok_or_else(no_numbers)? <= *tolerance,
                None => true,
            };
            Ok(Judged { holds: near && (!class || before.class(row) == after.class(row)), moved })
        }
        Expected::Direction { expect, element, slack } => {
            let (Some(mut a), Some(mut b)) = numbers else { return Err(no_numbers()) };
            let width = a.len();
            let element = match element {
                Some(it) => *it,
                None if width == 1 => 0,
                None => return Err(format!("the output has {width} elements; say which with `element`")),
            };
            let (Some(a), Some(b)) = (a.nth(element), b.nth(element)) else {
                return Err(format!("the output has {width} elements, so there is no `element` {element}"));
            };
            let moved = match expect {
                Direction::NotLower => a - b,
                Direction::NotHigher => b - a,
            };
            Ok(Judged { holds: moved <= *slack, moved: Some(moved) })
        }
    }
}
