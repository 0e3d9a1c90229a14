//! After which time a pattern comes back.

use super::time::{DAY, HOUR, Period, months_before};

/// A time after which a pattern comes back, as a week does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// So many seconds.
    Seconds(i64),
    /// So many months of the calendar.
    Months(i64),
}

impl Season {
    /// Returns the season that a text spells: a whole number of hours `h`, days `d`, weeks `w`, months `mo` or years `y`.
    ///
    /// ```
    /// use modelwatch_sdk::chunks::Season;
    ///
    /// assert_eq!(Season::parse("7d"), Some(Season::Seconds(604_800)));
    /// assert_eq!(Season::parse("1y"), Some(Season::Months(12)));
    /// assert_eq!(Season::parse("soon"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let n_digits = text.find(|it: char| !it.is_ascii_digit())?;
        let number: i64 = text[..n_digits].parse().ok().filter(|it| (1..=100_000).contains(it))?;
        Some(match &text[n_digits..] {
            "h" => Self::Seconds(number * HOUR),
            "d" => Self::Seconds(number * DAY),
            "w" => Self::Seconds(number * 7 * DAY),
            "mo" => Self::Months(number),
            "y" => Self::Months(number * 12),
            _ => return None,
        })
    }

    /// Returns whether a period before it is a period again: a week has no hour in it that a month always has.
    pub fn fits(self, period: Period) -> bool {
        match (self, period) {
            (Self::Seconds(it), Period::Hour) => it % HOUR == 0,
            (Self::Seconds(it), Period::Day) => it % DAY == 0,
            (Self::Seconds(it), Period::Week) => it % (7 * DAY) == 0,
            (Self::Months(_), Period::Month) => true,
            (Self::Months(it), Period::Quarter) => it % 3 == 0,
            (Self::Months(it), Period::Year) => it % 12 == 0,
            _ => false,
        }
    }

    /// Returns where the period begins that is one season before the one that begins there.
    ///
    /// ```
    /// use modelwatch_sdk::chunks::{Period, Season};
    ///
    /// let monday = Period::Day.start(1_709_510_400.0).map(|it| Season::Seconds(604_800).before(it));
    /// assert_eq!(monday.map(|it| Period::Day.name(it)).as_deref(), Some("2024-02-26"));
    /// ```
    pub fn before(self, start: i64) -> i64 {
        match self {
            Self::Seconds(it) => start - it,
            Self::Months(it) => months_before(start, it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_is_a_whole_number_with_a_unit() {
        assert_eq!(Season::parse("168h"), Season::parse("1w"));
        for text in ["", "7", "d", "-7d", "0d", "1.5d", "7 d", "7days", "999999999999y", "7é"] {
            assert_eq!(Season::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_season_is_made_of_whole_periods() {
        let fits = |text: &str| {
            let season = Season::parse(text).unwrap();
            [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year]
                .map(|it| season.fits(it))
        };
        assert_eq!(fits("36h"), [true, false, false, false, false, false]);
        assert_eq!(fits("7d"), [true, true, true, false, false, false]);
        assert_eq!(fits("10d"), [true, true, false, false, false, false]);
        assert_eq!(fits("6mo"), [false, false, false, true, true, false]);
        assert_eq!(fits("1y"), [false, false, false, true, true, true]);
    }
}
