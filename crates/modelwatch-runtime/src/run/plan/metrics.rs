//! Whether there can be the metrics that requirements name.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_config::{Bound, LabelMatch, MetricAddress, MetricPart, Operand, Reference, SLICE, slice_parts};
use modelwatch_sdk::{KnownMetric, rows::name_matches};

use super::{meant, some};
use crate::decide::{form, unescaped};

/// What is wrong with the address of a metric, and with which part of it.
pub(super) struct Unreported<'a> {
    pub(super) part: MetricPart<'a>,
    pub(super) message: String,
    pub(super) help: String,
}

/// Returns what is wrong with an address that none of the known metrics has; `slices` are the columns by which the rows are cut.
pub(super) fn unreported<'a>(
    component: &str,
    address: &'a MetricAddress,
    known: &[KnownMetric],
    slices: &[String],
) -> Option<Unreported<'a>> {
    let MetricAddress { name, labels } = address;
    let found: Vec<_> = known.iter().filter(|it| it.name == *name).collect();
    let alike: Vec<_> = found.iter().copied().filter(|it| it.labels.iter().eq(labels.keys())).collect();
    if !alike.is_empty() {
        let (key, value, help) = ruled_out(labels, &alike)?;
        let message = format!("`{component}` never reports `{name}` with `{key}={value}` as it is set");
        return Some(Unreported { part: MetricPart::Value(value), message, help });
    }
    let all: BTreeSet<_> = found.iter().flat_map(|it| &it.labels).map(String::as_str).collect();
    let all = Vec::from_iter(all);
    if let Some(key) = labels.keys().find(|it| !found.is_empty() && !all.contains(&it.as_str())) {
        let message = format!("`{component}` reports `{name}` without a label `{key}`");
        let its_labels = || match all[..] {
            [] => "it has no labels".to_owned(),
            _ => format!("its labels are {}", all.join(", ")),
        };
        let of_slice = as_slice(address, slices).filter(|_| all.contains(&SLICE));
        let help = of_slice.unwrap_or_else(|| meant(key, &all, its_labels));
        return Some(Unreported { part: MetricPart::Key(key), message, help });
    }
    let message = format!("`{component}` reports no metric `{}`", form(name, labels.keys()));
    let help = if found.is_empty() {
        let names = Vec::from_iter(known.iter().map(|it| it.name.as_str()).collect::<BTreeSet<_>>());
        meant(name, &names, || format!("it reports {}", some(&names)))
    } else {
        let forms = Vec::from_iter(found.iter().map(|it| form(name, it.labels.iter())).collect::<BTreeSet<_>>());
        format!("it reports {}", some(&forms))
    };
    Some(Unreported { part: MetricPart::Name(name), message, help })
}

/// Returns what to ask for in the place of a metric of which there is never a confidence interval.
pub(super) fn without_interval<'k>(address: &MetricAddress, known: &'k [KnownMetric]) -> Option<&'k str> {
    let MetricAddress { name, labels } = address;
    let may_be = |it: &KnownMetric| {
        labels.iter().all(|(key, value)| match value {
            LabelMatch::Exact(value) => it.can_have(key, value),
            LabelMatch::Prefix(_) | LabelMatch::Any => true,
        })
    };
    let alike = known.iter().filter(|it| it.name == *name && it.labels.iter().eq(labels.keys()) && may_be(it));
    let mut remedies = alike.map(|it| it.without_interval.as_deref());
    let first = remedies.next()??;
    remedies.all(|it| it.is_some()).then_some(first)
}

/// Returns what is wrong with an address of a slice that none of the columns makes by which the rows are cut.
pub(super) fn uncut<'a>(address: &'a MetricAddress, columns: &[String]) -> Option<Unreported<'a>> {
    let slice = address.labels.get(SLICE)?;
    if columns.is_empty() {
        return Some(Unreported {
            part: MetricPart::Key(SLICE),
            message: "no column cuts the rows into slices".to_owned(),
            help: "name the columns in `slices` of `[data.columns]`".to_owned(),
        });
    }
    let (LabelMatch::Exact(name) | LabelMatch::Prefix(name)) = slice else { return None };
    let cuts = |part: &str, column: &String| {
        let is_it = |name: &str| name == column || name_matches(column, name);
        part.match_indices('=').any(|(at, _)| is_it(&part[..at]) || is_it(&unescaped(&part[..at])))
    };
    // A column can have a comma in its name, which only some probes escape.
    if columns.iter().any(|it| cuts(name, it)) {
        return None;
    }
    let (column, _) = slice_parts(name).find_map(|it| it.split_once('='))?;
    let names: Vec<_> = columns.iter().map(String::as_str).collect();
    Some(Unreported {
        part: MetricPart::Value(name),
        message: format!("no column `{column}` cuts the rows into slices"),
        help: meant(column, &names, || format!("the slice columns are {}", some(&names))),
    })
}

/// Returns the label whose value none of the metrics has that have these labels, with the value and the remedy.
fn ruled_out<'a>(
    labels: &'a BTreeMap<String, LabelMatch>,
    known: &[&KnownMetric],
) -> Option<(&'a str, &'a str, String)> {
    let exact = |(key, value): (&'a String, &'a LabelMatch)| match value {
        LabelMatch::Exact(value) => Some((&**key, &**value)),
        LabelMatch::Prefix(_) | LabelMatch::Any => None,
    };
    let (key, value) =
        labels.iter().filter_map(exact).find(|(key, value)| !known.iter().any(|it| it.can_have(key, value)))?;
    let remedy = known.iter().find_map(|it| it.remedy(key, value));
    let help = remedy.map_or_else(
        || {
            let values: BTreeSet<_> =
                known.iter().filter_map(|it| it.only.get(key)).flatten().map(String::as_str).collect();
            let values = Vec::from_iter(values);
            meant(value, &values, || match values[..] {
                [it] => format!("its only value is {it}"),
                _ => format!("its values are {}", some(&values)),
            })
        },
        str::to_owned,
    );
    Some((key, value, help))
}

/// Returns the remedy for an address that has slice columns in the place of a slice.
fn as_slice(address: &MetricAddress, columns: &[String]) -> Option<String> {
    if let [(column, LabelMatch::Any)] = &Vec::from_iter(&address.labels)[..]
        && columns.contains(column)
    {
        let labels = BTreeMap::from([(SLICE.to_owned(), LabelMatch::Prefix(format!("{column}=")))]);
        return Some(format!("did you mean `{}`?", MetricAddress { name: address.name.clone(), labels }));
    }
    let part = |(key, value): (&String, &LabelMatch)| match value {
        LabelMatch::Exact(slice) if key == SLICE => Some((slice.split_once('=')?.0.to_owned(), slice.clone())),
        LabelMatch::Exact(value) if columns.contains(key) => Some((key.clone(), format!("{key}={value}"))),
        _ => None,
    };
    let parts: Vec<(String, String)> = address.labels.iter().map(part).collect::<Option<_>>()?;
    let (crossed, values): (Vec<String>, Vec<String>) = parts.into_iter().unzip();
    let labels = BTreeMap::from([(SLICE.to_owned(), LabelMatch::Exact(values.join(",")))]);
    let meant = MetricAddress { name: address.name.clone(), labels };
    Some(match crossed[..] {
        [_] => format!("did you mean `{meant}`?"),
        _ => format!("did you mean `{meant}`, of a cross that the options ask for: `cross_slices = [{crossed:?}]`?"),
    })
}

/// Returns the metric that another one is held against, if it is one of the same report.
pub(super) fn other_metric(bound: &Bound) -> Option<&MetricAddress> {
    let (Bound::Compare { right: Operand::Relative(than), .. } | Bound::NotWorse { than }) = bound else { return None };
    if let Reference::Metric(it) = &than.to { Some(it) } else { None }
}
