//! What a stored profile of the reference says of a column.
//!
//! It has counts, a range, categories and times, and no rows: what rows, texts and labels have to do with each other is not here.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_profile::{Body as Kept, Column as Profiled, Group, Numeric};
use modelwatch_sdk::{
    Result,
    state::{Reader, Writer},
};
use modelwatch_stats::{Point, categories::CategoryCounts};

use crate::{
    column::{Body, Column},
    kind::Kind,
    label::MAX_CLASSES,
    numbers::Exact,
};

/// From this magnitude on, floats do not hold all whole numbers.
const FIRST_WIDE: f64 = (1u64 << 53) as f64;

/// A column of a stored profile.
#[derive(Clone, Debug)]
pub(crate) struct Stored(Profiled);

impl Stored {
    pub(crate) fn new(column: Profiled) -> Self {
        Self(column)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.0.rows()
    }

    pub(crate) fn nulls(&self) -> u64 {
        self.0.nulls()
    }

    /// Returns the number of rows that are NaN.
    pub(crate) fn n_nan(&self) -> u64 {
        // The profile counts both as one.
        self.numbers().map_or(0, |it| it.n_nan().saturating_sub(self.0.nulls()))
    }

    /// Returns the number of rows that are infinite.
    pub(crate) fn n_infinite(&self) -> u64 {
        self.0.n_infinite()
    }

    /// Returns what the values are, with the profile's own word for them or their type.
    pub(crate) fn types(&self) -> BTreeSet<(Kind, String)> {
        let of_type = |it: &str| {
            ["times of type ", "values of type "].iter().find_map(|start| it.strip_prefix(*start)).map(str::to_owned)
        };
        let one = |it: &str| match (it, of_type(it)) {
            ("numbers", _) if self.numbers().is_some_and(Numeric::are_integers) => {
                (Kind::Integer, "whole numbers".to_owned())
            }
            ("numbers", _) => (Kind::Float, it.to_owned()),
            ("categories", _) => (Kind::Text, it.to_owned()),
            (_, Some(name)) if ["Timestamp", "Date"].iter().any(|it| name.starts_with(it)) => (Kind::Time, name),
            (_, Some(name)) if ["List", "LargeList", "FixedSizeList"].iter().any(|it| name.starts_with(it)) => {
                (Kind::List, name)
            }
            (_, Some(name)) => (Kind::Other, name),
            (it, None) if it.starts_with("lists") => (Kind::List, it.to_owned()),
            (it, None) => (Kind::Other, it.to_owned()),
        };
        self.0.kinds().map(one).collect()
    }

    /// Returns whether all values are equal, as far as they are known.
    pub(crate) fn is_constant(&self) -> bool {
        match self.0.body() {
            Kept::Numeric(it) => {
                let n_ends = it.n_infinities().iter().filter(|it| **it > 0).count() as u64;
                it.n_distinct().is_some_and(|n| n + n_ends == 1)
            }
            Kept::Categorical(it) => it.n_distinct() == Some(1),
            Kept::Empty => self.times().is_some_and(|(first, last)| first == last),
            Kept::Tensor(_) => false,
        }
    }

    /// Returns how many rows have the one value that a column has; none where that is not known.
    pub(crate) fn n_alike(&self, constant: &Column) -> Option<u64> {
        match (self.0.body(), constant.body()) {
            (Kept::Numeric(it), Body::Numbers(numbers)) => {
                let value = numbers.range()?.0.to_f64();
                let reach = it.relative_error() * value.abs();
                let alike = it.points().into_iter().filter(|it| (it.0 - value).abs() <= reach);
                Some(alike.map(|it| it.1).fold(0, u64::saturating_add))
            }
            (Kept::Categorical(it), Body::Names(names)) => {
                let counts = names.categories().counts();
                Some(it.range_of(counts.keys().next()?).1)
            }
            _ => None,
        }
    }

    /// Returns the least and the greatest finite number.
    pub(crate) fn range(&self) -> Option<(Exact, Exact)> {
        let numbers = self.numbers()?;
        let (least, greatest) = numbers.range()?;
        if let Some(all) = numbers.whole_points().filter(|_| numbers.relative_error() == 0.0) {
            return Some((Exact::Whole(all.first()?.0), Exact::Whole(all.last()?.0)));
        }
        let is_narrow = least.abs() < FIRST_WIDE && greatest.abs() < FIRST_WIDE;
        let exact =
            |it: f64| if numbers.are_integers() && is_narrow { Exact::Whole(it as i128) } else { Exact::Real(it) };
        Some((exact(least), exact(greatest)))
    }

    /// Returns how many finite numbers there are.
    pub(crate) fn n_finite(&self) -> u64 {
        self.numbers().map_or(0, Numeric::n_finite)
    }

    /// Returns the finite numbers; none where there are no numbers.
    pub(crate) fn points(&self) -> Option<Vec<Point>> {
        self.numbers().map(Numeric::points)
    }

    /// Returns the names; none where there are none.
    pub(crate) fn categories(&self) -> Option<&CategoryCounts> {
        if let Kept::Categorical(it) = self.0.body() { Some(it) } else { None }
    }

    /// Returns the first and the last time, in nanoseconds since 1970.
    pub(crate) fn times(&self) -> Option<(i128, i128)> {
        self.0.description()?.times
    }

    /// Returns how many rows each class of a label has; none where it is no class.
    pub(crate) fn classes(&self) -> Option<BTreeMap<String, u64>> {
        if let Some(it) = self.categories() {
            let all = || it.counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
            return (!it.is_overflowed()).then(all);
        }
        let points = self.points()?;
        let is_class = points.len() <= MAX_CLASSES && points.iter().all(|it| it.0.fract() == 0.0);
        let is_exact = self.numbers()?.relative_error() == 0.0;
        (is_class && is_exact).then(|| points.into_iter().map(|(value, count)| (value.to_string(), count)).collect())
    }

    /// Adds what another one has seen.
    ///
    /// # Errors
    /// When the two are of different settings.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.0.merge(&other.0)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Profiled::read(Group::Feature, reader).map(Self)
    }

    fn numbers(&self) -> Option<&Numeric> {
        if let Kept::Numeric(it) = self.0.body() { Some(it) } else { None }
    }
}
