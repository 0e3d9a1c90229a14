//! What counts as wrong. Codes are stable; a code that is given up is never used again.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::report::{Finding, Severity, float};
use serde_json::Value;

use crate::{config::Config, model::Model};

mod against_baseline;
mod alone;
mod layers;
mod proportion;

/// The most findings of one code; the rest are counted in one more.
const MAX_PER_CODE: usize = 20;

/// Returns what is wrong, sorted by code and place.
pub(crate) fn findings(config: &Config, model: &Model<'_>) -> Vec<Finding> {
    let mut found = Found::default();
    alone::check(config, model, &mut found);
    layers::check(config, model, &mut found);
    if model.has_baseline {
        against_baseline::check(config, model, &mut found);
        proportion::check(config, model, &mut found);
    }
    found.finish()
}

/// The findings so far, by code.
#[derive(Default)]
pub(crate) struct Found {
    by_code: BTreeMap<String, Vec<Finding>>,
    explained: BTreeSet<String>,
}

impl Found {
    fn push(&mut self, finding: Finding) {
        self.by_code.entry(finding.code.clone()).or_default().push(finding);
    }

    /// Adds a finding that says all there is to say about the size of a tensor's change.
    fn push_explaining(&mut self, finding: Finding) {
        self.explained.insert(finding.place.clone());
        self.push(finding);
    }

    fn is_explained(&self, place: &str) -> bool {
        self.explained.contains(place)
    }

    fn finish(self) -> Vec<Finding> {
        let mut res = Vec::new();
        for (code, mut findings) in self.by_code {
            findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.place.cmp(&b.place)));
            let rest = findings.split_off(findings.len().min(MAX_PER_CODE));
            res.append(&mut findings);
            if let Some(first) = rest.first() {
                let message = format!("{} more tensors have findings of this kind", rest.len());
                let places: Vec<_> = rest.iter().take(100).map(|it| Value::from(it.place.as_str())).collect();
                let last = Finding::new(code, first.severity, "", message).advice(first.advice.clone());
                res.push(last.evidence("tensors", places).evidence("count", rest.len()));
            }
        }
        res
    }
}

fn finding(code: &str, severity: Severity, place: &str, message: String) -> Finding {
    Finding::new(code, severity, place, message)
}

/// Returns a number as JSON.
fn json(value: f64) -> Value {
    float::to_value(value)
}

/// Returns a number as a person reads it: three digits after the point, or an exponent.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        it if value == 0.0 || (1e-3..1e5).contains(&it) => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        it if it.is_finite() => format!("{value:.2e}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let check = |value, text: &str| assert_eq!(short(value), text);
        check(0.0, "0");
        check(1.5, "1.5");
        check(-50.0, "-50");
        check(6.9e37, "6.90e37");
        check(1e-9, "1.00e-9");
        check(f64::INFINITY, "inf");
    }

    #[test]
    fn many_findings_of_a_code_are_counted_in_one() {
        let mut found = Found::default();
        for idx in 0..25 {
            found.push(finding("MW-W001", Severity::Error, &format!("t{idx:02}"), String::new()));
        }
        let findings = found.finish();
        assert_eq!(findings.len(), 21);
        assert_eq!(findings[20].message, "5 more tensors have findings of this kind");
        assert_eq!(findings[20].severity, Severity::Error);
    }
}
