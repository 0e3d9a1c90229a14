//! Times of rows, and the periods that they fall into.

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    arrow::{
        array::{
            Array, ArrayRef,
            cast::AsArray,
            types::{
                ArrowPrimitiveType, Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType,
                TimestampNanosecondType, TimestampSecondType,
            },
        },
        schema::{DataType, TimeUnit},
    },
    rows,
};
use serde::Deserialize;

const DAY: i64 = 86_400;

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
    /// Returns the name of the period that a time falls into: its first hour or day. Names sort as the periods do, from
    /// the year 0 to 9999; none outside of it.
    pub(crate) fn name(self, seconds: f64) -> Option<String> {
        // 0000-01-01 to 10000-01-01.
        if !(-62_167_219_200.0..253_402_300_800.0).contains(&seconds) {
            return None;
        }
        let seconds = seconds.floor() as i64;
        let days = seconds.div_euclid(DAY);
        let date = |days: i64| {
            let (year, month, day) = civil(days);
            format!("{year:04}-{month:02}-{day:02}")
        };
        let (year, month, _) = civil(days);
        Some(match self {
            Self::Hour => format!("{}T{:02}", date(days), seconds.rem_euclid(DAY) / 3600),
            Self::Day => date(days),
            // Day 0 was a Thursday.
            Self::Week => date(days - (days + 3).rem_euclid(7)),
            Self::Month => format!("{year:04}-{month:02}"),
            Self::Quarter => format!("{year:04}-Q{}", (month + 2) / 3),
            Self::Year => format!("{year:04}"),
        })
    }
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

/// Returns seconds since 1970 in UTC, NaN where a time is missing. Plain numbers are such seconds already.
///
/// # Errors
/// When the array has neither times, dates nor numbers.
pub(crate) fn seconds(array: &ArrayRef) -> Result<Vec<f64>> {
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

    #[test]
    fn times_fall_into_the_periods_of_the_calendar() {
        let names = |seconds: f64| {
            [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year]
                .map(|it| it.name(seconds).unwrap())
        };
        // 2024-02-29 13:59:59.5, a Thursday.
        let leap_day = ["2024-02-29T13", "2024-02-29", "2024-02-26", "2024-02", "2024-Q1", "2024"];
        assert_eq!(names(1_709_215_199.5), leap_day);
        // The last second before 1970, a Wednesday.
        assert_eq!(names(-1.0), ["1969-12-31T23", "1969-12-31", "1969-12-29", "1969-12", "1969-Q4", "1969"]);
        assert_eq!(names(0.0)[1..3], ["1970-01-01", "1969-12-29"]);
    }

    #[test]
    fn what_is_no_time_has_no_period() {
        for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            assert_eq!(Period::Year.name(seconds), None);
        }
    }
}
