//! Times of rows, and the periods that they fall into.

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use arrow_schema::{DataType, TimeUnit};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    rows::{self, Use},
};

pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;

/// A stretch of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week from Monday on.
    Week,
    /// A month.
    Month,
    /// A quarter of a year.
    Quarter,
    /// A year.
    Year,
}

impl Period {
    /// Returns the first second of the period that a time falls into, by seconds since 1970; none outside of the years 0 to 9999.
    ///
    /// ```
    /// use modelwatch_sdk::chunks::Period;
    ///
    /// // 2024-02-29 13:59:59.5 is in the month that begins at 2024-02-01 00:00:00.
    /// assert_eq!(Period::Month.start(1_709_215_199.5), Some(1_706_745_600));
    /// ```
    pub fn start(self, seconds: f64) -> Option<i64> {
        // 0000-01-01 to 10000-01-01.
        if !(-62_167_219_200.0..253_402_300_800.0).contains(&seconds) {
            return None;
        }
        let seconds = seconds.floor() as i64;
        let days = seconds.div_euclid(DAY);
        let month = |length: i64| {
            let (year, month, _) = civil(days);
            days_before(year, month - (month - 1) % length) * DAY
        };
        Some(match self {
            Self::Hour => seconds - seconds.rem_euclid(HOUR),
            Self::Day => days * DAY,
            // Day 0 was a Thursday.
            Self::Week => (days - (days + 3).rem_euclid(7)) * DAY,
            Self::Month => month(1),
            Self::Quarter => month(3),
            Self::Year => month(12),
        })
    }

    /// Returns the name of the period that begins there: its first hour or day, its month, quarter or year.
    ///
    /// ```
    /// use modelwatch_sdk::chunks::Period;
    ///
    /// assert_eq!(Period::Quarter.name(1_704_067_200), "2024-Q1");
    /// ```
    pub fn name(self, start: i64) -> String {
        let (year, month, day) = civil(start.div_euclid(DAY));
        match self {
            Self::Hour => format!("{year:04}-{month:02}-{day:02}T{:02}", start.rem_euclid(DAY) / HOUR),
            Self::Day | Self::Week => format!("{year:04}-{month:02}-{day:02}"),
            Self::Month => format!("{year:04}-{month:02}"),
            Self::Quarter => format!("{year:04}-Q{}", (month + 2) / 3),
            Self::Year => format!("{year:04}"),
        }
    }

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// Returns the first second of the month that is so many months before the one that begins there.
pub(super) fn months_before(start: i64, months: i64) -> i64 {
    let (year, month, _) = civil(start.div_euclid(DAY));
    let months = year * 12 + month - 1 - months;
    days_before(months.div_euclid(12), months.rem_euclid(12) + 1) * DAY
}

/// Returns year, month and day of the Gregorian calendar, by days since 1970-01-01 (Hinnant 2021, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March on, so that the leap day is the last one.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Returns the days from 1970-01-01 to the first of a month (Hinnant 2021, `days_from_civil`).
fn days_before(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns the times of the rows of a batch as seconds since 1970 in UTC, NaN where one is missing. Plain numbers are such seconds
/// already.
///
/// # Errors
/// When no column is the timestamp, or it has neither times, dates nor numbers.
pub fn seconds(batch: &RecordBatch) -> Result<Vec<f64>> {
    let (name, array) = rows::columns(batch, Use::Timestamp).next().ok_or_else(|| {
        Error::input("the rows have no timestamp column, which chunks by time need")
            .with_help("set `timestamp` in `[data.columns]`")
    })?;
    seconds_of(array).map_err(|e| {
        Error::input(format!("column `{name}`: {e}")).with_help(
            "convert it to times, as texts with `pandas.to_datetime`, or name another column in `timestamp` of `[data.columns]`",
        )
    })
}

fn seconds_of(array: &ArrayRef) -> Result<Vec<f64>> {
    fn scaled<T: ArrowPrimitiveType>(array: &ArrayRef, to: impl Fn(T::Native) -> f64) -> Vec<f64> {
        array.as_primitive::<T>().iter().map(|it| it.map_or(f64::NAN, &to)).collect()
    }
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => scaled::<TimestampSecondType>(array, |it| it as f64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled::<TimestampMillisecondType>(array, |it| it as f64 / 1e3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scaled::<TimestampMicrosecondType>(array, |it| it as f64 / 1e6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => scaled::<TimestampNanosecondType>(array, |it| it as f64 / 1e9),
        DataType::Date32 => scaled::<Date32Type>(array, |it| f64::from(it) * DAY as f64),
        DataType::Date64 => scaled::<Date64Type>(array, |it| it as f64 / 1e3),
        it if it.is_integer() || it.is_floating() => rows::numbers(array.as_ref())?.values.into_owned(),
        other => {
            return Err(Error::input(format!("expected times, dates or seconds, got {other}")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Period; 6] = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year];

    #[test]
    fn texts_are_no_times_and_the_error_says_what_to_do() {
        let texts: ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["2024-01-01"]));
        let error = seconds(&crate::testing::batch([("at", [Use::Timestamp], texts)])).unwrap_err();
        assert_eq!(error.message, "column `at`: expected times, dates or seconds, got Utf8");
        assert!(error.help.starts_with("convert it to times"), "{}", error.help);
    }

    #[test]
    fn times_fall_into_the_periods_of_the_calendar() {
        let names = |seconds: f64| ALL.map(|it| it.name(it.start(seconds).unwrap()));
        // 2024-02-29 13:59:59.5, a Thursday.
        let leap_day = ["2024-02-29T13", "2024-02-29", "2024-02-26", "2024-02", "2024-Q1", "2024"];
        assert_eq!(names(1_709_215_199.5), leap_day);
        // The last second before 1970, a Wednesday.
        assert_eq!(names(-1.0), ["1969-12-31T23", "1969-12-31", "1969-12-29", "1969-12", "1969-Q4", "1969"]);
        assert_eq!(names(0.0)[1..3], ["1970-01-01", "1969-12-29"]);
    }

    #[test]
    fn a_period_begins_where_it_says() {
        for day in (-800_000..1_000_000).step_by(37) {
            let seconds = day as f64 * DAY as f64 + 12_345.0;
            for period in ALL {
                let Some(start) = period.start(seconds) else { continue };
                assert!(start as f64 <= seconds, "{period:?} {day}");
                assert_eq!(period.start(start as f64), Some(start), "{period:?} {day}");
            }
        }
    }

    #[test]
    fn months_are_counted_across_years() {
        let start = |seconds: i64| Period::Month.name(seconds);
        let march = Period::Month.start(1_709_251_200.0).unwrap();
        let before = [0, 1, 3, 12, 40].map(|it| start(months_before(march, it)));
        assert_eq!(before, ["2024-03", "2024-02", "2023-12", "2023-03", "2020-11"]);
    }

    #[test]
    fn what_is_no_time_has_no_period() {
        for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            assert_eq!(Period::Year.start(seconds), None);
        }
    }
}
