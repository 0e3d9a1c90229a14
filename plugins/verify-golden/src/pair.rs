//! An output and the column that it is held against, read alike.

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    rows::{ExactNumbers, Texts, exact_numbers, is_numeric, texts_of_rows},
};

use crate::compare::{Compared, Kind, Limits};

/// What the model gave, and what was recorded.
pub(crate) enum Pair<'a> {
    Numbers(ExactNumbers<'a>, ExactNumbers<'a>),
    Texts(Texts<'a>, Texts<'a>),
}

impl<'a> Pair<'a> {
    /// Reads both as numbers, or as texts where the output is none: a column of a CSV file looks like numbers where all its texts do.
    pub(crate) fn of(produced: &'a dyn Array, recorded: &'a dyn Array) -> Result<Self> {
        Ok(if is_numeric(produced.data_type()) {
            Self::Numbers(exact_numbers(produced)?, exact_numbers(recorded)?)
        } else {
            Self::Texts(texts_of_rows(produced)?, texts_of_rows(recorded)?)
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Numbers(new, old) if new.are_integers() || old.are_integers() => Kind::Integers,
            Self::Numbers(..) => Kind::Floats,
            Self::Texts(..) => Kind::Texts,
        }
    }

    /// Returns how many values a row of each has.
    pub(crate) fn widths(&self) -> [usize; 2] {
        match self {
            Self::Numbers(new, old) => [new.width, old.width],
            Self::Texts(new, old) => [new.width, old.width],
        }
    }

    /// Compares a row of both.
    pub(crate) fn compare(&self, row: usize, limits: &Limits, id: Option<&str>, to: &mut Compared) {
        match self {
            Self::Numbers(new, old) => to.add(limits, new.row(row), old.row(row), id),
            Self::Texts(new, old) => to.add_texts(limits, new.row(row), old.row(row), id),
        }
    }
}
