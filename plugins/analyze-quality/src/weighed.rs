//! How much the rows of a column weigh of which something is said.
//!
//! Weights are summed in whole units, so that sums are the same in any order. A row without a weight weighs nothing, of which the host
//! tells. What is there and is no weight is a matter of the column that has it, and ends nothing: then each row counts once, in both roles,
//! so that what is compared is of the same kind ([`Footing`]).

use std::collections::BTreeMap;

use modelwatch_sdk::{
    RecordBatch, Result,
    arrow::{array::Array, schema::Field},
    rows::{self, Use, has_use, is_weight, weight_units},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{
    categories::{CategoryCounts, short_name},
    weights::{Mass, size_of_categories, whole_rows},
};

use crate::{
    kind::{Family, Kind},
    label::max_classes,
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
    /// The squares of these, so that rows of equal weights are worth as many as there are.
    squares: Vec<u64>,
    /// How many rows have one, or none at all, and nothing else in its place.
    pub(crate) n_usable: u64,
    /// How many rows have one above 0.
    pub(crate) n_heavy: u64,
}

impl Weights {
    /// Returns the weights; none where the batch has no weight column that is looked at, or rows are to count alike.
    pub(crate) fn of(settings: &Settings, batch: &RecordBatch) -> Option<Self> {
        let is_it = |it: &Field| settings.config.weights && has_use(it, Use::Weight) && is_kept(settings, it);
        let schema = batch.schema_ref();
        let (_, array) = schema.fields().iter().zip(batch.columns()).find(|it| is_it(it.0))?;
        let numbers = rows::numbers(array.as_ref()).ok().filter(|it| it.width == 1);
        let Some(numbers) = numbers.map(|it| it.values) else {
            let none = vec![0; batch.num_rows()];
            return Some(Self { units: none.clone(), squares: none, n_usable: 0, n_heavy: 0 });
        };
        let units: Vec<u64> = numbers.iter().map(|it| if is_weight(*it) { weight_units(*it) } else { 0 }).collect();
        let squares = units.iter().map(|it| it * it).collect();
        Some(Self {
            units,
            squares,
            n_usable: numbers.iter().filter(|it| it.is_nan() || is_weight(**it)).count() as u64,
            n_heavy: numbers.iter().filter(|it| **it > 0.0 && is_weight(**it)).count() as u64,
        })
    }

    /// Returns the weight of each row and its square.
    fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        self.units.iter().copied().zip(self.squares.iter().copied())
    }
}

/// Returns how many whole rows that count alike the share is worth that some rows have beside others, given what both weigh.
pub(crate) fn worth(masses: &[Mass; 2]) -> u64 {
    whole_rows(size_of_categories(masses))
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
    /// The sum of squared weights, of all rows and of those that are null or NaN.
    square: u128,
    missing_square: u128,
    pub(crate) unexpected: Unexpected,
    /// The texts.
    categories: CategoryCounts,
    /// The texts or numbers of a label.
    pub(crate) classes: CategoryCounts,
    /// The texts by squared weights.
    squares: CategoryCounts,
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
            missing_square: 0,
            unexpected: Unexpected::default(),
            categories: CategoryCounts::new(settings.config.max_categories),
            classes: CategoryCounts::new(max_classes(settings)),
            squares: CategoryCounts::new(settings.config.max_categories),
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
        for (row, (unit, square)) in weights.rows().enumerate() {
            add(&mut self.sums.all, unit);
            self.square = self.square.saturating_add(square.into());
            if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
                self.missing(unit, square);
            }
        }
        let kind = Kind::of(array.data_type());
        match kind.family() {
            Some(Family::Numbers) => self.numbers(array, rule, is_label, weights)?,
            Some(Family::Texts | Family::Booleans) => {
                for (text, [mass, square]) in frequencies(array, |row| [weights.units[row], weights.squares[row]])? {
                    let name = short_name(&text);
                    self.categories.push(&name, mass);
                    self.squares.push(&name, square);
                    if is_label {
                        self.classes.push(&name, mass);
                    }
                }
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
        for (value, (unit, square)) in exact(array)?.into_iter().zip(weights.rows()) {
            let Some(it) = value else { continue };
            let number = it.to_f64();
            if number.is_nan() {
                self.missing(unit, square);
            }
            for (sum, is) in [
                (&mut self.sums.nan, number.is_nan()),
                (&mut self.sums.infinite, number.is_infinite()),
                (&mut self.sums.zero, number == 0.0),
                (&mut self.sums.negative, number < 0.0),
            ] {
                add(sum, if is { unit } else { 0 });
            }
            self.bounded(value, rule, unit);
            if is_label && number.is_finite() {
                // A label of 0 and -0 is one class.
                self.classes.push(&(number + 0.0).to_string(), unit);
            }
        }
        Ok(())
    }

    fn missing(&mut self, unit: u64, square: u64) {
        add(&mut self.sums.missing, unit);
        self.missing_square = self.missing_square.saturating_add(square.into());
    }

    fn bounded(&mut self, value: Option<Exact>, rule: Option<&Rule>, unit: u64) {
        let mut outside = Outside::default();
        value.into_iter().for_each(|it| outside.count(it, rule));
        add(&mut self.sums.outside, if outside == Outside::default() { 0 } else { unit });
    }

    /// Adds what `other` has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.square = self.square.saturating_add(other.square);
        self.missing_square = self.missing_square.saturating_add(other.missing_square);
        let mut theirs = other.sums;
        self.sums.each().into_iter().zip(theirs.each()).for_each(|(mine, theirs)| add(mine, *theirs));
        self.unexpected.add(other.unexpected);
        self.categories.merge(&other.categories);
        self.classes.merge(&other.classes);
        self.squares.merge(&other.squares);
    }

    /// Returns what the rows weigh that are not missing, and those that are.
    pub(crate) fn present_and_missing(&self) -> [Mass; 2] {
        let of = |weight: u64, square: u128| Mass { weight: weight as f64, square: square as f64 };
        let present = of(self.sums.present(), self.square.saturating_sub(self.missing_square));
        [present, of(self.sums.missing, self.missing_square)]
    }

    /// Returns what each category weighs.
    pub(crate) fn masses(&self) -> BTreeMap<&str, Mass> {
        let squares = self.squares.counts();
        let square = |name: &str| match self.squares.n() {
            // They do not fit: no category has more than all rows.
            u64::MAX => self.square as f64,
            _ => squares.get(name).copied().unwrap_or(0) as f64,
        };
        let masses = self.categories.counts().into_iter();
        masses.map(|(name, mass)| (name, Mass { weight: mass as f64, square: square(name) })).collect()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut sums = self.sums;
        sums.each().into_iter().for_each(|it| writer.u64(*it));
        [self.square, self.missing_square].into_iter().for_each(|it| writer.i128(it as i128));
        self.unexpected.write(writer);
        [&self.categories, &self.classes, &self.squares].into_iter().for_each(|it| writer.bytes(&it.to_bytes()));
    }

    pub(crate) fn read(settings: &Settings, reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::new(settings);
        for it in res.sums.each() {
            *it = reader.u64()?;
        }
        for it in [&mut res.square, &mut res.missing_square] {
            *it = u128::try_from(reader.i128()?).map_err(|_| damaged("a sum of squares is below 0"))?;
        }
        res.unexpected = Unexpected::read(reader)?;
        for it in [&mut res.categories, &mut res.classes, &mut res.squares] {
            *it = CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged)?;
        }
        Ok(res)
    }
}

fn add(sum: &mut u64, unit: u64) {
    *sum = sum.saturating_add(unit);
}
