//! What is kept of a numeric column.

use modelwatch_sdk::{
    Result,
    arrow::{
        array::{
            Array, ArrowPrimitiveType,
            cast::AsArray,
            types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
        },
        schema::DataType,
    },
    rows::{decimals, numbers},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{
    Point,
    outliers::{Shape, shape},
    sample::NumericSample,
    whole_numbers::WholeNumbers,
};

use crate::{
    kind::Kind,
    settings::{Limit, Rule},
};

/// Numbers of a column: exact up to a budget, then a histogram; whole numbers are summed exactly however many there are.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    sample: NumericSample,
    whole: WholeNumbers,
    n_zero: u64,
    n_negative: u64,
    has_rounded_decimals: bool,
    outside: Outside,
}

/// A number as exactly as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Exact {
    Whole(i128),
    Real(f64),
}

/// How many values are outside of what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) below: u64,
    pub(crate) above: u64,
}

impl Numbers {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            sample: NumericSample::new(budget),
            whole: WholeNumbers::new(),
            n_zero: 0,
            n_negative: 0,
            has_rounded_decimals: false,
            outside: Outside::default(),
        }
    }

    /// Takes in the values of an array.
    ///
    /// # Errors
    /// When the array is not what its type says.
    pub(crate) fn update(&mut self, array: &dyn Array, rule: Option<&Rule>) -> Result<()> {
        match Kind::of(array.data_type()) {
            Kind::Integer => {
                for value in integers(array).flatten() {
                    self.whole.push(value);
                    self.push(value as f64);
                    self.outside.count(Exact::Whole(value), rule);
                }
            }
            Kind::Decimal => {
                if let Some((floats, has_rounded)) = decimals(array) {
                    self.has_rounded_decimals |= has_rounded;
                    self.update_floats(&floats, rule)?;
                }
            }
            _ => self.update_floats(array, rule)?,
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sample.merge(&other.sample);
        self.whole.merge(&other.whole);
        self.n_zero = self.n_zero.saturating_add(other.n_zero);
        self.n_negative = self.n_negative.saturating_add(other.n_negative);
        self.has_rounded_decimals |= other.has_rounded_decimals;
        self.outside.add(other.outside);
    }

    /// Returns the numbers as they are kept.
    pub(crate) fn sample(&self) -> &NumericSample {
        &self.sample
    }

    pub(crate) fn n_zero(&self) -> u64 {
        self.n_zero
    }

    pub(crate) fn n_negative(&self) -> u64 {
        self.n_negative
    }

    pub(crate) fn n_infinite(&self) -> u64 {
        self.sample.n_positive_infinity().saturating_add(self.sample.n_negative_infinity())
    }

    /// Returns how many values are outside of the bounds that are written.
    pub(crate) fn outside(&self) -> Outside {
        self.outside
    }

    /// Returns whether decimals have more digits than are kept.
    pub(crate) fn has_rounded_decimals(&self) -> bool {
        self.has_rounded_decimals
    }

    /// Returns whether every value is a whole number by its type.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.n() > 0 && self.whole.n() == self.sample.n()
    }

    /// Returns whether some whole number is too large for a float.
    pub(crate) fn has_wide(&self) -> bool {
        const LARGEST: i128 = 1 << 53;
        self.whole.range().is_some_and(|(least, greatest)| least < -LARGEST || greatest > LARGEST)
    }

    /// Returns the least and the greatest finite value.
    pub(crate) fn range(&self) -> Option<(Exact, Exact)> {
        if let Some((least, greatest)) = self.whole.range().filter(|_| self.is_whole()) {
            return Some((Exact::Whole(least), Exact::Whole(greatest)));
        }
        Some((Exact::Real(self.sample.min().ok()?), Exact::Real(self.sample.max().ok()?)))
    }

    /// Returns the least and the greatest value, finite or not.
    pub(crate) fn range_with_infinities(&self) -> Option<(Exact, Exact)> {
        let (low, high) = (Exact::Real(f64::NEG_INFINITY), Exact::Real(f64::INFINITY));
        let (n_low, n_high) = (self.sample.n_negative_infinity(), self.sample.n_positive_infinity());
        match self.range() {
            Some((least, greatest)) => {
                Some((if n_low > 0 { low } else { least }, if n_high > 0 { high } else { greatest }))
            }
            None if n_low > 0 => Some((low, if n_high > 0 { high } else { low })),
            None => (n_high > 0).then_some((high, high)),
        }
    }

    /// Returns the points of the finite values.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.sample.points()
    }

    /// Returns mean, spread and shape of the finite values, given their points; mean and variance of whole numbers are
    /// exact.
    pub(crate) fn shape(&self, points: &[Point]) -> Option<Shape> {
        let res = shape(points).ok();
        if let (true, Ok(mean)) = (self.is_whole(), self.whole.mean()) {
            let variance = self.whole.variance(1).unwrap_or(f64::NAN);
            let plain = Shape { mean, variance, skewness: None, kurtosis: None };
            return Some(res.map_or(plain, |it| Shape { mean, variance, ..it }));
        }
        res
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.sample.to_bytes());
        writer.bytes(&self.whole.to_bytes());
        writer.u64(self.n_zero);
        writer.u64(self.n_negative);
        writer.u8(u8::from(self.has_rounded_decimals));
        self.outside.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            sample: NumericSample::from_bytes(reader.bytes()?).map_err(damaged)?,
            whole: WholeNumbers::from_bytes(reader.bytes()?).map_err(damaged)?,
            n_zero: reader.u64()?,
            n_negative: reader.u64()?,
            has_rounded_decimals: reader.flag()?,
            outside: Outside::read(reader)?,
        })
    }

    fn update_floats(&mut self, array: &dyn Array, rule: Option<&Rule>) -> Result<()> {
        for (row, value) in numbers(array)?.values.iter().enumerate() {
            if !array.is_null(row) {
                self.push(*value);
                self.outside.count(Exact::Real(*value), rule);
            }
        }
        Ok(())
    }

    fn push(&mut self, value: f64) {
        self.n_zero = self.n_zero.saturating_add(u64::from(value == 0.0));
        self.n_negative = self.n_negative.saturating_add(u64::from(value < 0.0));
        self.sample.push(value);
    }
}

impl Exact {
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Self::Whole(it) => it as f64,
            Self::Real(it) => it,
        }
    }

    /// Returns whether this is less than the other one, exactly where both are whole.
    pub(crate) fn is_less(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left < right,
            (left, right) => left.to_f64() < right.to_f64(),
        }
    }
}

impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(it) => write!(f, "{it}"),
            Self::Real(it) => write!(f, "{it}"),
        }
    }
}

impl Outside {
    pub(crate) fn count(&mut self, value: Exact, rule: Option<&Rule>) {
        let bound = |it: Limit| match it {
            Limit::Integer(it) | Limit::Time(it) => Exact::Whole(it),
            Limit::Number(it) => Exact::Real(it),
        };
        let (min, max) = (rule.and_then(|it| it.min).map(bound), rule.and_then(|it| it.max).map(bound));
        self.below = self.below.saturating_add(u64::from(min.is_some_and(|it| value.is_less(it))));
        self.above = self.above.saturating_add(u64::from(max.is_some_and(|it| it.is_less(value))));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.below = self.below.saturating_add(other.below);
        self.above = self.above.saturating_add(other.above);
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        writer.u64(self.below);
        writer.u64(self.above);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { below: reader.u64()?, above: reader.u64()? })
    }
}

/// Returns the numbers of an array, as exactly as they are known; none where one is null.
///
/// # Errors
/// When the array is not what its type says.
pub(crate) fn exact(array: &dyn Array) -> Result<Vec<Option<Exact>>> {
    if Kind::of(array.data_type()) == Kind::Integer {
        return Ok(integers(array).map(|it| it.map(Exact::Whole)).collect());
    }
    let decimals = decimals(array).map(|it| it.0);
    let floats: &dyn Array = decimals.as_ref().map_or(array, |it| it);
    let real = |(row, value): (usize, &f64)| (!floats.is_null(row)).then_some(Exact::Real(*value));
    Ok(numbers(floats)?.values.iter().enumerate().map(real).collect())
}

/// Returns the whole numbers of an array of integers; none for another one.
pub(crate) fn integers(array: &dyn Array) -> Box<dyn Iterator<Item = Option<i128>> + '_> {
    fn each<T: ArrowPrimitiveType>(array: &dyn Array) -> Box<dyn Iterator<Item = Option<i128>> + '_>
    where
        T::Native: Into<i128>,
    {
        Box::new(array.as_primitive::<T>().iter().map(|it| it.map(Into::into)))
    }
    match array.data_type() {
        DataType::Int8 => each::<Int8Type>(array),
        DataType::Int16 => each::<Int16Type>(array),
        DataType::Int32 => each::<Int32Type>(array),
        DataType::Int64 => each::<Int64Type>(array),
        DataType::UInt8 => each::<UInt8Type>(array),
        DataType::UInt16 => each::<UInt16Type>(array),
        DataType::UInt32 => each::<UInt32Type>(array),
        DataType::UInt64 => each::<UInt64Type>(array),
        _ => Box::new(std::iter::repeat_n(None, array.len())),
    }
}
