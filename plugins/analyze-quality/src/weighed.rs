//! How much the rows of a column weigh of which something is said.
//!
//! Weights are summed in whole units, so that sums are the same in any order. What is no weight is a matter of the column that has it, and
//! ends nothing: then each row counts once, in both roles, so that what is compared is of the same kind ([`Footing`]).

use modelwatch_sdk::{
    RecordBatch, Result,
    arrow::{array::Array, schema::Field},
    rows::{self, Use, WEIGHT_RANGE, has_use, weight_units},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{
    categories::{CategoryCounts, short_name},
    weights::Mass,
};

use crate::{
    kind::{Family, Kind},
    names::{Unexpected, frequencies},
    numbers::{Exact, Outside, exact},
    profile::is_kept,
    settings::{Rule, Settings},
    times::nanoseconds,
};

/// The weights of the rows of a batch.
#[derive(Debug)]
pub(crate) struct Weights {
    /// In whole units; 0 where there is none that can be used.
    pub(crate) units: Vec<u64>,
    /// How many rows have one.
    pub(crate) n_usable: u64,
}

impl Weights {
    /// Returns the weights; none where the batch has no weight column that is looked at, or rows are to count alike.
    pub(crate) fn of(settings: &Settings, batch: &RecordBatch) -> Option<Self> {
        let is_it = |it: &Field| settings.config.weights && has_use(it, Use::Weight) && is_kept(settings, it);
        let schema = batch.schema_ref();
        let (_, array) = schema.fields().iter().zip(batch.columns()).find(|it| is_it(it.0))?;
        let is_weight = |it: &f64| *it == 0.0 || WEIGHT_RANGE.contains(it);
        let numbers = rows::numbers(array.as_ref()).ok().filter(|it| it.width == 1);
        let Some(numbers) = numbers.map(|it| it.values) else {
            return Some(Self { units: vec![0; batch.num_rows()], n_usable: 0 });
        };
        let units = numbers.iter().map(|it| if is_weight(it) { weight_units(*it) } else { 0 }).collect();
        Some(Self { units, n_usable: numbers.iter().filter(|it| is_weight(it)).count() as u64 })
    }
}

/// How rows count, in both roles and all their chunks and slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Footing {
    /// Each once.
    Count,
    /// By their weights, which all of them have.
    Weight,
}

/// What rows of a column weigh.
#[derive(Clone, Debug)]
pub(crate) struct Weighed {
    pub(crate) sums: Sums,
    square: u128,
    pub(crate) unexpected: Unexpected,
    /// The texts, and the numbers of a label.
    pub(crate) categories: CategoryCounts,
}

/// Sums of weights in whole units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) all: u64,
    /// Null or NaN.
    pub(crate) missing: u64,
    pub(crate) nan: u64,
    pub(crate) infinite: u64,
    pub(crate) zero: u64,
    pub(crate) negative: u64,
    /// Outside of the bounds that are written.
    pub(crate) outside: u64,
}

impl Sums {
    /// Returns what rows weigh that have a value.
    pub(crate) fn present(self) -> u64 {
        self.all.saturating_sub(self.missing)
    }

    /// Returns what rows weigh that have a finite number.
    pub(crate) fn finite(self) -> u64 {
        self.present().saturating_sub(self.infinite)
    }

    fn each(&mut self) -> [&mut u64; 7] {
        let Self { all, missing, nan, infinite, zero, negative, outside } = self;
        [all, missing, nan, infinite, zero, negative, outside]
    }
}

impl Weighed {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            sums: Sums::default(),
            square: 0,
            unexpected: Unexpected::default(),
            categories: CategoryCounts::new(settings.config.max_categories),
        }
    }

    /// Takes in the values of a batch.
    ///
    /// # Errors
    /// When the array is not what its type says.
    pub(crate) fn update(
        &mut self,
        array: &dyn Array,
        rule: Option<&Rule>,
        is_label: bool,
        weights: &Weights,
    ) -> Result<()> {
        let nulls = array.logical_nulls();
        for (row, unit) in weights.units.iter().enumerate() {
            add(&mut self.sums.all, *unit);
            self.square = self.square.saturating_add(u128::from(*unit).pow(2));
            if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
                add(&mut self.sums.missing, *unit);
            }
        }
        let kind = Kind::of(array.data_type());
        match kind.family() {
            Some(Family::Numbers) => self.numbers(array, rule, is_label, weights)?,
            Some(Family::Texts | Family::Booleans) => {
                let texts = frequencies(array, Some(&weights.units))?;
                texts.iter().for_each(|(text, mass)| self.categories.push(&short_name(text), *mass));
            }
            Some(Family::Times) => {
                let values = nanoseconds(array).into_iter().zip(&weights.units);
                values.for_each(|(value, unit)| self.bounded(value.map(Exact::Whole), rule, *unit));
            }
            Some(Family::Others) | None => {}
        }
        if let Some(rule) = rule.filter(|_| kind.is_written()) {
            self.unexpected.add(Unexpected::of(array, rule, Some(&weights.units))?);
        }
        Ok(())
    }

    fn numbers(&mut self, array: &dyn Array, rule: Option<&Rule>, is_label: bool, weights: &Weights) -> Result<()> {
        for (value, unit) in exact(array)?.into_iter().zip(&weights.units) {
            let Some(it) = value else { continue };
            let number = it.to_f64();
            for (sum, is) in [
                (&mut self.sums.missing, number.is_nan()),
                (&mut self.sums.nan, number.is_nan()),
                (&mut self.sums.infinite, number.is_infinite()),
                (&mut self.sums.zero, number == 0.0),
                (&mut self.sums.negative, number < 0.0),
            ] {
                add(sum, if is { *unit } else { 0 });
            }
            self.bounded(value, rule, *unit);
            if is_label && number.is_finite() {
                // A label of 0 and -0 is one class.
                self.categories.push(&(number + 0.0).to_string(), *unit);
            }
        }
        Ok(())
    }

    fn bounded(&mut self, value: Option<Exact>, rule: Option<&Rule>, unit: u64) {
        let mut outside = Outside::default();
        value.into_iter().for_each(|it| outside.count(it, rule));
        add(&mut self.sums.outside, if outside == Outside::default() { 0 } else { unit });
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.square = self.square.saturating_add(other.square);
        let mut theirs = other.sums;
        self.sums.each().into_iter().zip(theirs.each()).for_each(|(mine, theirs)| add(mine, *theirs));
        self.unexpected.add(other.unexpected);
        self.categories.merge(&other.categories);
    }

    /// Returns how many rows that count alike all of them are worth, by Kish.
    pub(crate) fn size(&self) -> f64 {
        Mass { weight: self.sums.all as f64, square: self.square as f64 }.size()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut sums = self.sums;
        sums.each().into_iter().for_each(|it| writer.u64(*it));
        writer.i128(self.square as i128);
        self.unexpected.write(writer);
        writer.bytes(&self.categories.to_bytes());
    }

    pub(crate) fn read(settings: &Settings, reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::new(settings);
        for it in res.sums.each() {
            *it = reader.u64()?;
        }
        res.square = u128::try_from(reader.i128()?).map_err(|_| damaged("a sum of squares is below 0"))?;
        res.unexpected = Unexpected::read(reader)?;
        res.categories = CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged)?;
        Ok(res)
    }
}

fn add(sum: &mut u64, unit: u64) {
    *sum = sum.saturating_add(unit);
}
