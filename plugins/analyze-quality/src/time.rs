//! Points in time and spans of time, as people write them; in nanoseconds since 1970.

use jiff::{Timestamp, civil, tz::TimeZone};

/// Nanoseconds in a second.
pub(crate) const SECOND: i128 = 1_000_000_000;

/// Returns the nanoseconds since 1970 of `2026-11-01T00:00:00Z`, `2026-11-01T00:00:00` (taken as UTC) or `2026-11-01`.
pub(crate) fn parse_time(text: &str) -> Option<i128> {
    if let Ok(it) = text.parse::<Timestamp>() {
        return Some(it.as_nanosecond());
    }
    let civil = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(Into::into)).ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|it| it.timestamp().as_nanosecond())
}

/// Returns whether a calendar reaches so far.
pub(crate) fn is_time(nanoseconds: i128) -> bool {
    Timestamp::from_nanosecond(nanoseconds).is_ok()
}

/// Returns the time as people write it, or the bare number where no calendar reaches.
pub(crate) fn show_time(nanoseconds: i128) -> String {
    Timestamp::from_nanosecond(nanoseconds).map_or_else(|_| format!("{nanoseconds} ns"), |it| it.to_string())
}

/// Returns the nanoseconds of a span such as `90m`, `36h`, `7d` or `2w`.
pub(crate) fn parse_span(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = text.find(|it: char| !it.is_ascii_digit())?;
    let number: i128 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(unit * SECOND).filter(|it| *it > 0)
}

/// Returns a span as people write it, in the largest unit in which it is not less than two.
pub(crate) fn show_span(nanoseconds: i128) -> String {
    let seconds = nanoseconds as f64 / SECOND as f64;
    let units = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0)];
    match units.iter().find(|it| seconds.abs() >= 2.0 * it.1) {
        Some((unit, size)) => format!("{:.1} {unit}", seconds / size),
        None => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_read_as_written() {
        let day = 86_400 * SECOND;
        assert_eq!(parse_time("1970-01-02"), Some(day));
        assert_eq!(parse_time("1970-01-02T00:00:01"), Some(day + SECOND));
        assert_eq!(parse_time("1970-01-02T01:00:00+01:00"), Some(day));
        assert_eq!(parse_time("yesterday"), None);
        assert_eq!(show_time(day), "1970-01-02T00:00:00Z");
        assert_eq!(
            [parse_span("36h"), parse_span("2w"), parse_span("5"), parse_span("0s")],
            [Some(day * 3 / 2), Some(14 * day), None, None]
        );
        assert_eq!([show_span(day * 3 / 2), show_span(90 * SECOND), show_span(3 * day)], ["36.0 h", "90.0 s", "3.0 d"]);
    }
}
