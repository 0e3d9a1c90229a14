//! Durations as people write them.

use std::time::Duration;

use crate::options::DurationOption;

/// The longest timeout: 365 days.
const MAX_SECONDS: f64 = 365.0 * 86_400.0;

/// Returns the duration that a text spells, which may be no time at all, or what is wrong with it.
///
/// # Errors
/// When it is none, or is longer than 365 days.
///
/// ```
/// assert_eq!(modelwatch_config::parse_span("1h30m").map(|it| it.as_secs()), Ok(5400));
/// assert_eq!(modelwatch_config::parse_span("5"), Err("has no unit"));
/// ```
pub fn parse_span(text: &str) -> Result<Duration, &'static str> {
    of_seconds(seconds(text)?)
}

/// Returns the duration, which may be no time at all, or what is wrong with it.
pub(super) fn span(option: &DurationOption) -> Result<Duration, &'static str> {
    match option {
        DurationOption::Seconds(it) => of_seconds(*it),
        DurationOption::Text(it) => parse_span(it),
    }
}

/// Returns the duration, or what is wrong with it.
pub(super) fn duration(option: &DurationOption) -> Result<Duration, &'static str> {
    span(option).and_then(|it| if it.is_zero() { Err("must be longer than zero") } else { Ok(it) })
}

fn of_seconds(seconds: f64) -> Result<Duration, &'static str> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err("must be longer than zero");
    }
    if seconds > MAX_SECONDS {
        return Err("is longer than 365 days");
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "must be longer than zero")
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty");
    }
    let mut res = 0.0;
    while !rest.is_empty() {
        let n_number = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number: f64 = rest[..n_number].parse().map_err(|_| "has no number where one is needed")?;
        let unit = rest[n_number..].trim_start();
        let n_unit = unit.find(|c: char| !c.is_alphabetic()).unwrap_or(unit.len());
        let factor = match &unit[..n_unit] {
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "" => return Err("has no unit"),
            _ => return Err("has a unit that is not known"),
        };
        res += number * factor;
        rest = unit[n_unit..].trim_start();
    }
    Ok(res)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;
    use crate::options::DurationOption::{Seconds, Text};

    #[test]
    fn durations_add_up() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5 s", 1_500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            (" 1h 1s ", 3_601_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(&Text(text.to_owned())), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(duration(&Seconds(2.5)), Ok(Duration::from_millis(2500)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "5", "5 parsecs", "1..2s", "-5s", "0s", "366d", "1e9s", "5s,", "ä"] {
            assert!(duration(&Text(text.to_owned())).is_err(), "{text}");
        }
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert!(duration(&Seconds(seconds)).is_err(), "{seconds}");
        }
    }
}
