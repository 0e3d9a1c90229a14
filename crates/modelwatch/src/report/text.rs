//! Numbers and names as people read them.

use std::mem;

use modelwatch_sdk::report::{Check, Interval, Labels, Status};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the text on one line, without characters that a terminal or browser would act on.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|it| match it {
            '\n' | '\r' | '\t' => ' ',
            // Overrides of the writing direction can make a text read as another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            // XML has none of these two.
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            it if it.is_control() => '\u{fffd}',
            it => it,
        })
        .collect()
}

/// Returns at most `limit` characters of the plain text; where it is cut it ends in `…`.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => plain(text),
        Some(_) => plain(&text.chars().take(limit.saturating_sub(1)).collect::<String>()) + "…",
    }
}

/// Returns a number with six significant digits at most.
pub(crate) fn number(value: f64) -> String {
    digits(value, 6)
}

/// Returns a number with its sign, for differences.
pub(crate) fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// Returns a number with five significant digits at most, for the bounds of an interval.
pub(crate) fn interval(it: Interval) -> String {
    format!("[{}, {}]", digits(it.low, 5), digits(it.high, 5))
}

/// Returns the interval of a check, with a space before it, and says of one that is of the difference from something else, or of the
/// ratio to it, that it is.
pub(crate) fn range(check: &Check) -> String {
    let Some(it) = check.interval else { return String::new() };
    // The estimate alone is held against another one where neither a confidence nor bounds are at hand.
    let is_compared = modelwatch_config::requirement::parse(&check.metric, &check.requirement)
        .is_ok_and(|wanted| wanted.is_relative() && (wanted.confidence.is_some() || it.is_certain()));
    if is_compared { format!(" (compared: {})", interval(it)) } else { format!(" {}", interval(it)) }
}

/// Returns what a check observed, where it did, with its interval, what was required, and of how many rows or elements; nothing of one that
/// could not be carried out and observed nothing.
pub(crate) fn facts(check: &Check) -> Vec<String> {
    let mut res = Vec::new();
    if check.observed.is_some() {
        res.push(format!("observed {}{}", observed(check), range(check)));
    } else if check.status == Status::Error {
        return res;
    }
    if !check.requirement.is_empty() {
        res.push(format!("required {}", clip(&check.requirement, 200)));
    }
    res.push(format!("n = {}", count(check.n)));
    res
}

/// Returns what a check observed, with as many digits as it takes to tell it from its limit.
pub(crate) fn observed(check: &Check) -> String {
    let Some(value) = check.observed else { return "–".to_owned() };
    let limits: Vec<f64> = check
        .requirement
        .split(|it: char| !(it.is_ascii_digit() || matches!(it, '.' | '-' | '+' | 'e')))
        .filter_map(|it| it.parse().ok())
        .collect();
    let differs = |text: &String| limits.iter().all(|&limit| limit == value || text.parse() != Ok(limit));
    (6..=17).map(|it| digits(value, it)).find(differs).unwrap_or_else(|| number(value))
}

/// Returns a count with its thousands set apart.
pub(crate) fn count(value: u64) -> String {
    let text = value.to_string();
    let mut res = String::with_capacity(text.len() + text.len() / 3);
    for (idx, digit) in text.chars().enumerate() {
        if idx > 0 && (text.len() - idx).is_multiple_of(3) {
            res.push(',');
        }
        res.push(digit);
    }
    res
}

/// Returns `1 check`, `2 checks`.
pub(crate) fn counted(value: usize, one: &str) -> String {
    format!("{} {one}{}", count(value as u64), if value == 1 { "" } else { "s" })
}

/// Returns a length of time.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        it if !it.is_finite() || it < 0.0 => "–".to_owned(),
        it if it < 0.000_001 => "0 s".to_owned(),
        it if it < 1.0 => format!("{} ms", digits(it * 1e3, 3)),
        it if it < 120.0 => format!("{} s", digits(it, 3)),
        it => format!("{} min {:02} s", (it / 60.0).floor(), (it % 60.0).floor()),
    }
}

/// Returns a size.
pub(crate) fn bytes(value: u64) -> String {
    let mut rest = value as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if rest < 1000.0 {
            return format!("{} {unit}", digits(rest, 3));
        }
        rest /= 1000.0;
    }
    format!("{} TB", digits(rest, 3))
}

/// Returns a name with its labels: `recall[class=3, slice=writer=b]`.
pub(crate) fn name(metric: &str, labels: &Labels) -> String {
    if labels.is_empty() {
        return clip(metric, 200);
    }
    clip(&format!("{metric}[{}]", of(labels)), 300)
}

/// Returns what a metric with these labels is of.
pub(crate) fn of(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// Returns the first twelve digits of a digest.
pub(crate) fn short(id: &str) -> String {
    plain(&id.chars().take(12).collect::<String>())
}

/// Returns the message of a check, or nothing where it only repeats the status, or what is observed and required.
pub(crate) fn message(check: &Check) -> &str {
    let is_repeated = |it: &str| {
        check.observed.is_some()
            && it.starts_with(&check.metric)
            && it.ends_with(&format!(", required {}", check.requirement))
    };
    match check.message.as_str() {
        "it holds" | "it does not hold" => "",
        it if it == check.requirement || is_repeated(it) => "",
        it => it,
    }
}

/// Returns a number with `n` significant digits at most, without trailing zeros.
pub(crate) fn digits(value: f64, n: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs() as u64));
    }
    let scientific = format!("{value:.*e}", n.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-5..9).contains(&exponent) {
        return format!("{}e{exponent}", trim(mantissa));
    }
    let decimals = (n as i32 - 1 - exponent).max(0) as usize;
    trim(&format!("{value:.decimals$}")).to_owned()
}

/// Cuts a text into lines of at most `width` columns, between words where that is possible.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut res, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        if used > 0 && used + 1 + word.width() > width {
            res.push(mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for it in word.chars() {
            let columns = it.width().unwrap_or(0);
            if used > 0 && used + columns > width {
                res.push(mem::take(&mut line));
                used = 0;
            }
            line.push(it);
            used += columns;
        }
    }
    res.push(line);
    res
}

fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_noise() {
        let cases = [
            (0.1 + 0.2, "0.3"),
            (0.931_234_567, "0.931235"),
            (1_234_567.0, "1,234,567"),
            (1.5e-9, "1.5e-9"),
            (-2.5e12, "-2,500,000,000,000"),
            (1.25e300, "1.25e300"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-∞"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn an_observation_is_told_from_its_limit() {
        let check = Check {
            metric: "accuracy".to_owned(),
            labels: Labels::new(),
            requirement: ">= 0.95".to_owned(),
            observed: Some(0.949_999_99),
            interval: None,
            n: 1,
            status: Status::Fail,
            message: String::new(),
        };
        assert_eq!(observed(&check), "0.94999999");
    }

    #[test]
    fn a_message_says_what_the_facts_do_not() {
        let said = |observed, text: &str| {
            let check = Check { observed, ..Check::not_checked("mismatch_share", "<= 0", text) };
            message(&check).to_owned()
        };
        let repeated = "mismatch_share of output `probs` is 1, required <= 0";
        assert_eq!((said(Some(1.0), repeated), said(None, repeated)), (String::new(), repeated.to_owned()));
        for more in ["mismatch_share of output `probs` is NaN", "recorded in another shape, required <= 0"] {
            assert_eq!(said(Some(1.0), more), more);
        }
    }

    #[test]
    fn the_interval_of_a_difference_is_not_taken_for_that_of_the_value() {
        let of = |requirement: &str| {
            let interval = Some(Interval { low: 0.85, high: 0.95, level: 0.95 });
            range(&Check { observed: Some(0.9), interval, ..Check::not_checked("accuracy", requirement, "") })
        };
        for own in [">= 0.8 with confidence 95%", ">= baseline - 0.01", "no finding of severity error", ""] {
            assert_eq!(of(own), " [0.85, 0.95]", "{own}");
        }
        for other in [">= 99% of baseline with confidence 95%", "not worse than baseline with confidence 95%"] {
            assert_eq!(of(other), " (compared: [0.85, 0.95])", "{other}");
        }
    }

    #[test]
    fn plain_text_cannot_act() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d"), "a\u{fffd}[31mb c\u{fffd}d");
        assert_eq!(plain("a\u{fffe}\u{ffff}b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(clip("abcdef", 4), "abc…");
    }

    #[test]
    fn lines_are_cut_by_columns() {
        assert_eq!(wrap("ab cd efghijkl", 5), ["ab cd", "efghi", "jkl"]);
        // Each of these takes two.
        assert_eq!(wrap("偏差 検出器", 5), ["偏差", "検出", "器"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
