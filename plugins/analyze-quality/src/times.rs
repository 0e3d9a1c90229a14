//! What is kept of a column of dates or timestamps.

use modelwatch_sdk::{
    Result,
    arrow::{
        array::{
            Array,
            cast::AsArray,
            types::{
                Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
                TimestampSecondType,
            },
        },
        schema::{DataType, TimeUnit},
    },
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{Point, sample::NumericSample};

use crate::{
    numbers::{Exact, Outside},
    settings::Rule,
    time::SECOND,
};

/// Times of a column, in nanoseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    range: Option<(i128, i128)>,
    /// In seconds, for shares of rows before a time.
    sample: NumericSample,
    outside: Outside,
}

impl Times {
    pub(crate) fn new(budget: u64) -> Self {
        Self { range: None, sample: NumericSample::new(budget), outside: Outside::default() }
    }

    /// Takes in the values of an array.
    pub(crate) fn update(&mut self, array: &dyn Array, rule: Option<&Rule>) {
        for value in nanoseconds(array).into_iter().flatten() {
            self.widen(value, value);
            self.sample.push(value as f64 / SECOND as f64);
            self.outside.count(Exact::Whole(value), rule);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if let Some((least, greatest)) = other.range {
            self.widen(least, greatest);
        }
        self.sample.merge(&other.sample);
        self.outside.add(other.outside);
    }

    /// Returns the earliest and the latest time.
    pub(crate) fn range(&self) -> Option<(i128, i128)> {
        self.range
    }

    /// Returns how many times are outside of the bounds that are written.
    pub(crate) fn outside(&self) -> Outside {
        self.outside
    }

    /// Returns the times in seconds.
    pub(crate) fn points(&self) -> Vec<Point> {
        self.sample.points()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.range.is_some()));
        let (least, greatest) = self.range.unwrap_or_default();
        writer.i128(least);
        writer.i128(greatest);
        writer.bytes(&self.sample.to_bytes());
        self.outside.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let has_range = reader.flag()?;
        let range = (reader.i128()?, reader.i128()?);
        let sample = NumericSample::from_bytes(reader.bytes()?).map_err(damaged)?;
        Ok(Self { range: has_range.then_some(range), sample, outside: Outside::read(reader)? })
    }

    fn widen(&mut self, least: i128, greatest: i128) {
        let known = self.range.unwrap_or((least, greatest));
        self.range = Some((known.0.min(least), known.1.max(greatest)));
    }
}

/// Returns dates and timestamps in nanoseconds since 1970; nothing for other arrays.
pub(crate) fn nanoseconds(array: &dyn Array) -> Vec<Option<i128>> {
    macro_rules! of {
        ($type:ty, $size:expr) => {
            array.as_primitive::<$type>().iter().map(|it| it.map(|it| i128::from(it) * $size)).collect()
        };
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => of!(TimestampSecondType, SECOND),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of!(TimestampMillisecondType, SECOND / 1000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of!(TimestampMicrosecondType, SECOND / 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of!(TimestampNanosecondType, 1),
        DataType::Date32 => of!(Date32Type, 86_400 * SECOND),
        DataType::Date64 => of!(Date64Type, SECOND / 1000),
        _ => vec![None; array.len()],
    }
}
