//! What every report has to look like, whatever it says.

use serde_json::Value;

use crate::{
    codes::CodeInfo,
    report::{Interval, Labels, Report},
};

/// Checks what a component says about its codes.
#[track_caller]
pub(super) fn check_codes(codes: &[CodeInfo]) {
    for (idx, it) in codes.iter().enumerate() {
        let code = &it.code;
        assert!(is_code(code), "the code `{code}` is not like `XX-X000`");
        assert!(codes[..idx].iter().all(|other| other.code != *code), "the code `{code}` is declared twice");
        check_sentence(code, &it.title);
        for text in [&it.meaning, &it.advice] {
            assert!(text.ends_with('.'), "`{code}`: its meaning and advice are sentences with a period: {text}");
        }
    }
}

/// Checks names, codes, labels, intervals and texts, and that the report survives JSON.
#[track_caller]
pub(super) fn check(report: &Report, codes: &[CodeInfo]) {
    for it in &report.metrics {
        assert!(is_snake_case(&it.name), "metric `{}`: its name is not snake_case", it.name);
        check_labels(&it.name, &it.labels);
        check_interval(&it.name, it.interval);
        let degrees = it.degrees_of_freedom.unwrap_or(1.0);
        assert!(degrees > 0.0 && degrees.is_finite(), "metric `{}`: it has {degrees} degrees of freedom", it.name);
        assert!(it.unit.as_deref() != Some(""), "metric `{}`: its unit is empty", it.name);
    }
    for it in &report.checks {
        assert!(!it.metric.is_empty(), "a check names no metric");
        assert!(!it.requirement.is_empty(), "check `{}`: its requirement is empty", it.metric);
        check_labels(&it.metric, &it.labels);
        check_interval(&it.metric, it.interval);
        check_sentence(&it.metric, &it.message);
    }
    for it in &report.findings {
        assert!(is_code(&it.code), "finding `{}`: its code is not like `XX-X000`", it.code);
        let is_declared = codes.iter().any(|known| known.code == it.code);
        assert!(is_declared, "finding `{}`: its code is not among the component's `CODES`", it.code);
        assert!(!it.place.is_empty(), "finding `{}`: it does not say where", it.code);
        assert!(!it.advice.is_empty(), "finding `{}`: it has no advice", it.code);
        check_sentence(&it.code, &it.message);
    }
    for it in &report.figures {
        assert!(!it.title.is_empty(), "a figure has no title");
    }
    for it in &report.gaps {
        assert!(!it.what.is_empty() && !it.why.is_empty(), "a gap does not say what or why: {it:?}");
    }
    let json = to_json(report);
    let back: Report =
        serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("the report's JSON cannot be read back: {e}"));
    assert_eq!(to_json(&back), json, "the report changes on its way through JSON");
}

/// Returns the report as the JSON that is compared.
#[track_caller]
pub(super) fn to_json(report: &Report) -> Value {
    serde_json::to_value(report).unwrap_or_else(|e| panic!("the report cannot be written as JSON: {e}"))
}

#[track_caller]
fn check_labels(owner: &str, labels: &Labels) {
    for (key, value) in labels {
        assert!(!key.is_empty() && !value.is_empty(), "`{owner}`: the label `{key}={value}` has an empty side");
    }
}

#[track_caller]
fn check_interval(owner: &str, interval: Option<Interval>) {
    let Some(Interval { low, high, level }) = interval else { return };
    assert!(level > 0.0 && level <= 1.0, "`{owner}`: the confidence level {level} is not between 0 and 1");
    let ordered = low <= high || low.is_nan() || high.is_nan();
    assert!(ordered, "`{owner}`: the interval from {low} to {high} is upside down");
}

#[track_caller]
fn check_sentence(owner: &str, text: &str) {
    assert!(!text.is_empty(), "`{owner}`: its text is empty");
    assert!(!text.ends_with('.') || text.ends_with("..."), "`{owner}`: its text ends with a period: {text}");
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}

fn is_code(code: &str) -> bool {
    let Some((owner, rest)) = code.split_once('-') else { return false };
    let (group, number) = rest.split_at(rest.len().saturating_sub(3));
    let upper = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_uppercase());
    owner.len() >= 2 && upper(owner) && upper(group) && number.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codes::FindingCode,
        report::{Finding, Metric, Severity},
    };

    #[test]
    fn codes_and_names_have_a_form() {
        for (code, expected) in [
            ("MW-W003", true),
            ("ABC-XY123", true),
            ("MW-003", false),
            ("mw-W003", false),
            ("MWW003", false),
            ("", false),
        ] {
            assert_eq!(is_code(code), expected, "{code}");
        }
        assert!(is_snake_case("recall_at_5") && !is_snake_case("Recall") && !is_snake_case(""));
    }

    #[test]
    fn careless_reports_are_caught() {
        let codes = [code("MW-W003")];
        let metric = |it| Report { metrics: vec![it], ..Report::default() };
        let finding = |it| Report { findings: vec![it], ..Report::default() };
        let wrong = [
            metric(Metric::new("Accuracy", 1.0)),
            metric(Metric::new("accuracy", 1.0).label("class", "")),
            metric(Metric::new("x", 1.0).interval(Some(Interval { low: 2.0, high: 1.0, level: 0.95 }))),
            metric(Metric::new("x", 1.0).degrees_of_freedom(Some(f64::NAN))),
            metric(Metric::new("x", 1.0).degrees_of_freedom(Some(0.0))),
            finding(Finding::new("MW-W004", Severity::Info, "a", "b").advice("c")),
            finding(Finding::new("W3", Severity::Info, "a", "b").advice("c")),
            finding(Finding::new("MW-W003", Severity::Info, "a", "b")),
            finding(Finding::new("MW-W003", Severity::Info, "a", "b.").advice("c")),
        ];
        for it in wrong {
            assert!(std::panic::catch_unwind(|| check(&it, &codes)).is_err(), "{it:?}");
        }
        check(&metric(Metric::new("accuracy", f64::NAN)), &[]);
        check(&finding(Finding::new("MW-W003", Severity::Info, "a", "b").advice("c")), &codes);
    }

    #[test]
    fn careless_codes_are_caught() {
        let wrong = [
            vec![code("W3")],
            vec![code("MW-W003"), code("MW-W003")],
            vec![CodeInfo { title: "A flip.".to_owned(), ..code("MW-W003") }],
            vec![CodeInfo { meaning: String::new(), ..code("MW-W003") }],
            vec![CodeInfo { advice: "look".to_owned(), ..code("MW-W003") }],
        ];
        for it in wrong {
            assert!(std::panic::catch_unwind(|| check_codes(&it)).is_err(), "{it:?}");
        }
        check_codes(&[code("MW-W003"), code("MW-W004")]);
    }

    fn code(code: &'static str) -> CodeInfo {
        let (title, meaning, advice) = ("a flip", "A bit flipped.", "Copy it again.");
        FindingCode { code, severity: Severity::Info, title, meaning, advice }.into()
    }
}
