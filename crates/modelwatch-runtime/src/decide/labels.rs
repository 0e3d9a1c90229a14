//! Says what is wrong with labels that no metric of a name has.

use std::collections::BTreeSet;

use modelwatch_config::{LabelMatch, MetricAddress, SLICE, did_you_mean};
use modelwatch_sdk::Report;

use super::candidates;

/// How many of the values that there are a message names.
const SHOWN: usize = 5;

/// Returns why no candidate of the name has these labels: what the probe says of the slice that is meant, and which of the keys
/// and values are not those of any metric of that name.
pub(super) fn why_absent(address: &MetricAddress, report: &Report) -> String {
    let reported: Vec<_> = candidates(report).filter(|it| it.name == address.name).map(|it| &it.labels).collect();
    let gap = gap(address, report);
    let mut res: Vec<_> = gap.map(str::to_owned).into_iter().collect();
    if reported.is_empty() {
        res.push("it is not reported of the candidate".to_owned());
        return res.join("; ");
    }
    let keys: BTreeSet<_> = reported.iter().flat_map(|it| it.keys()).map(String::as_str).collect();
    // A slice that the probe accounts for is no mistake.
    let wanted = || address.labels.iter().filter(|it| gap.is_none() || *it.0 != SLICE);
    let unknown: Vec<_> = wanted()
        .filter(|it| !keys.contains(it.0.as_str()))
        .map(|(key, _)| format!("`{key}`{}", meant(key, &keys)))
        .collect();
    let forms: BTreeSet<_> = reported.iter().map(|it| form(&address.name, it.keys())).collect();
    if !unknown.is_empty() {
        res.push(format!("it is reported as {}, and has no label {}", list(&forms, "and"), unknown.join(" or ")));
    } else if gap.is_none() && !forms.contains(&form(&address.name, address.labels.keys())) {
        res.push(format!("it is reported as {}", list(&forms, "and")));
    }
    for (key, value) in wanted() {
        let values: BTreeSet<_> = reported.iter().filter_map(|it| it.get(key)).map(String::as_str).collect();
        if values.is_empty() || values.iter().any(|it| value.matches(key, it)) {
            continue;
        }
        let hint = match value {
            LabelMatch::Exact(value) => {
                let hint = if key == SLICE { crossed(value, &values) } else { None };
                hint.unwrap_or_else(|| meant(value, &values))
            }
            LabelMatch::Prefix(_) | LabelMatch::Any => String::new(),
        };
        res.push(format!("its `{key}` is {}, not `{}`{hint}", list(&values, "or"), value.unquoted()));
    }
    if res.is_empty() {
        res.push("each value is reported, but not with the others".to_owned());
    }
    res.join("; ")
}

/// Returns what is wrong with the cross of slices that are reported, each of them or their cross in another order.
fn crossed(slice: &str, reported: &BTreeSet<&str>) -> Option<String> {
    let parts = |slice: &str| slice.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    let wanted = parts(slice);
    if let Some(it) = reported.iter().find(|it| parts(it) == wanted) {
        return Some(format!(" (did you mean `{it}`?)"));
    }
    // A comma of a value is written as `\,`, so that it is none of a cross.
    if let Some(it) = reported.iter().find(|it| unescaped(it) == slice) {
        return Some(format!(" (did you mean `slice={}`?)", LabelMatch::Exact((*it).to_owned())));
    }
    let are_reported = wanted.len() > 1 && wanted.iter().all(|it| reported.contains(it.as_str()));
    are_reported.then(|| {
        ": they are slices of their own, and their cross is one only where the options of the probe ask for it (`cross_slices` of `metrics`)"
            .to_owned()
    })
}

/// Returns a text without the backslashes that stand before its special characters.
pub(crate) fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    std::iter::from_fn(|| chars.next().and_then(|it| if it == '\\' { chars.next() } else { Some(it) })).collect()
}

/// Returns what the probe says of the slice that is meant, if anything.
fn gap<'a>(address: &MetricAddress, report: &'a Report) -> Option<&'a str> {
    let Some(LabelMatch::Exact(slice)) = address.labels.get(SLICE) else { return None };
    let quoted = format!("`{slice}`");
    report.gaps.iter().find(|gap| gap.what.contains(&quoted)).map(|gap| gap.why.as_str())
}

/// Returns how all metrics with these keys are addressed.
pub(crate) fn form<'a>(name: &str, keys: impl Iterator<Item = &'a String>) -> String {
    let labels = keys.map(|key| (key.clone(), LabelMatch::Any)).collect();
    MetricAddress { name: name.to_owned(), labels }.to_string()
}

/// Of one character alone, every other one would be a slip.
fn meant(given: &str, known: &BTreeSet<&str>) -> String {
    let similar = did_you_mean(given, known.iter().copied()).filter(|_| given.chars().nth(1).is_some());
    similar.map_or_else(String::new, |it| format!(" (did you mean `{it}`?)"))
}

fn list<T: AsRef<str>>(all: &BTreeSet<T>, word: &str) -> String {
    let mut shown: Vec<_> = all.iter().take(SHOWN).map(|it| format!("`{}`", it.as_ref())).collect();
    let last = match all.len().saturating_sub(SHOWN) {
        0 => shown.pop().unwrap_or_default(),
        n => format!("{n} more"),
    };
    if shown.is_empty() { last } else { format!("{} {word} {last}", shown.join(", ")) }
}
