//! Decimal numbers and percentages, without rounding on the way.
//!
//! A percentage is read and shown by moving the decimal point of its text, because 98.7 / 100 and 0.987 × 100 are
//! rounded twice and do not give back what was written.

/// Returns the shortest text that reads back as `value`.
pub(super) fn decimal(value: f64) -> String {
    shift(value, 0)
}

/// Returns the shortest percentage that reads back as `value`.
pub(super) fn percentage(value: f64) -> String {
    format!("{}%", shift(value, 2))
}

/// Reads a decimal number, as a percentage if `is_percent`; `None` if it is no number or not finite.
pub(super) fn read(text: &str, is_percent: bool) -> Option<f64> {
    let value: f64 = if is_percent {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        format!("{mantissa}e{}", exponent.parse::<i32>().ok()?.checked_sub(2)?).parse().ok()?
    } else {
        text.parse().ok()?
    };
    value.is_finite().then_some(value)
}

/// Returns `value` × 10^`places` as exact decimal text.
fn shift(value: f64, places: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or(0) + places;
    if !(-6..=15).contains(&exponent) {
        return format!("{mantissa}e{exponent}");
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |it| ("-", it));
    let digits: String = mantissa.chars().filter(|it| *it != '.').collect();
    let (whole, fraction) = if exponent < 0 {
        ("0".to_owned(), "0".repeat(exponent.unsigned_abs() as usize - 1) + &digits)
    } else {
        let n_whole = exponent.unsigned_abs() as usize + 1;
        let padded = format!("{digits:0<n_whole$}");
        (padded[..n_whole].to_owned(), padded[n_whole..].to_owned())
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::{decimal, percentage, read};

    #[test]
    fn numbers_show_plainly() {
        for (value, text, percent) in [
            (0.95, "0.95", "95%"),
            (0.0, "0", "0%"),
            (1.0, "1", "100%"),
            (0.987, "0.987", "98.7%"),
            (-12.5, "-12.5", "-1250%"),
            (1e-3, "0.001", "0.1%"),
            (1e-9, "1e-9", "1e-7%"),
            (123456789.0, "123456789", "12345678900%"),
            (1e300, "1e300", "1e302%"),
        ] {
            assert_eq!((decimal(value).as_str(), percentage(value).as_str()), (text, percent));
        }
    }

    #[test]
    fn percentages_are_read_without_rounding_twice() {
        assert_eq!(read("98.7", true), Some(0.987));
        assert_eq!(read("5e1", true), Some(0.5));
        assert_eq!(read("0.3", true), Some(0.003));
        assert_eq!(read("1e400", false), None);
        assert_eq!(read("1e99999999999", true), None);
    }
}
