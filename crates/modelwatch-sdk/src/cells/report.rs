//! What is said of chunks and slices: once for each thing of a slice, not for each chunk.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{Cells, Cutting, Series, Unit};
use crate::{
    KnownMetric,
    report::{Check, Finding, Gap, Labels, Metric, Report},
};

/// The most chunks of a picture, as many as are drawn.
const MAX_CHUNKS: usize = 30;

/// The most chunks that a sentence names.
const MAX_NAMES: usize = 20;

/// What was found in one chunk.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The chunk; nothing where there are no chunks.
    pub chunk: Option<&'a str>,
    /// The same thing is found in each.
    pub finding: Finding,
    /// How large it is, next to the same in other chunks.
    pub size: f64,
}

/// Returns one report of those of chunks and slices: every number has the labels `slice` and `chunk`, findings and gaps are put together.
///
/// How many chunks and slices there are and were judged are numbers, too, and where none was there is a check that was not made. A chunk
/// was judged where `is_judged` says so of its report, which need not be everything that it says. There are no figures, of which each
/// chunk would have the same. `size` says how large a finding is next to the same in other chunks.
pub fn report<S: Clone>(
    cutting: &Cutting,
    roles: [&Cells<S>; 2],
    series: &[Series<Report>],
    is_judged: impl Fn(&Report) -> bool,
    size: impl Fn(&Finding) -> f64,
) -> Report {
    let mut res =
        Report { gaps: row_gaps(cutting, roles), metrics: coverage(cutting, series, &is_judged), ..Report::default() };
    res.checks = unjudged(&res.metrics);
    for it in series {
        let mut found: BTreeMap<(&str, &str), Vec<Found<'_>>> = BTreeMap::new();
        for (unit, report) in it.judged() {
            let labels = || {
                let slice = it.slice.iter().map(|it| ("slice".to_owned(), it.clone()));
                slice.chain(unit.name.iter().map(|it| ("chunk".to_owned(), it.clone())))
            };
            let metrics = report.metrics.iter().cloned();
            res.metrics.extend(metrics.map(|mut metric| {
                metric.labels.extend(labels());
                metric
            }));
            let checks = report.checks.iter().cloned();
            res.checks.extend(checks.map(|mut check| {
                check.labels.extend(labels());
                check
            }));
            for finding in &report.findings {
                let chunk = unit.name.as_deref();
                let same = found.entry((&finding.place, &finding.code)).or_default();
                same.push(Found { chunk, finding: finding.clone(), size: size(finding) });
            }
        }
        res.findings.extend(found.into_values().filter_map(|same| together(cutting, it, &same)));
        res.gaps.extend(gaps(cutting, it, |report| &report.gaps));
    }
    res
}

/// Returns how many slices there are and were judged, and how many chunks of each.
///
/// The rows that these numbers are of are those of what was judged.
pub fn coverage<T>(cutting: &Cutting, series: &[Series<T>], is_judged: impl Fn(&T) -> bool) -> Vec<Metric> {
    let judged =
        |it: &Series<T>| -> Vec<u64> { it.judged().filter(|it| is_judged(it.1)).map(|it| it.0.n_current).collect() };
    let rows = |it: &Series<T>| judged(it).into_iter().fold(0, u64::saturating_add);
    let mut res = Vec::new();
    let mut push = |name: &str, value: usize, n: u64, slice: Option<&String>| {
        let labels: Labels = slice.iter().map(|it| ("slice".to_owned(), (*it).clone())).collect();
        res.push(Metric::new(name, value as f64).n(n).labels(&labels));
    };
    if !cutting.slices.is_empty() {
        let slices: Vec<&Series<T>> = series.iter().filter(|it| it.slice.is_some()).collect();
        let n = slices.iter().map(|it| rows(it)).fold(0, u64::saturating_add);
        push("slices", slices.len(), n, None);
        push("judged_slices", slices.iter().filter(|it| !judged(it).is_empty()).count(), n, None);
    }
    if cutting.period.is_some() {
        for it in series {
            push("chunks", it.units.len(), rows(it), it.slice.as_ref());
            push("judged_chunks", judged(it).len(), rows(it), it.slice.as_ref());
        }
    }
    res
}

/// Returns the metrics that [`report`] can have, where those of one chunk or slice can have these.
pub fn known(cutting: &Cutting, of_one: impl IntoIterator<Item = KnownMetric>) -> Vec<KnownMetric> {
    let (has_slices, has_chunks) = (!cutting.slices.is_empty(), cutting.period.is_some());
    let mut res = Vec::new();
    if has_slices {
        res.extend(KnownMetric::all(["slices", "judged_slices"], &[]));
    }
    let slices = [&[][..], &["slice"]].into_iter().take(1 + usize::from(has_slices));
    let of_one: Vec<_> = of_one.into_iter().collect();
    for slice in slices {
        if has_chunks {
            res.extend(KnownMetric::all(["chunks", "judged_chunks"], slice));
        }
        let labels = || slice.iter().copied().chain(has_chunks.then_some("chunk"));
        res.extend(of_one.iter().map(|it| labels().fold(it.clone(), KnownMetric::label)));
    }
    res
}

/// Returns the checks that any slice and any chunk of all rows were judged, where none was: what was not looked at has not passed.
pub fn unjudged(coverage: &[Metric]) -> Vec<Check> {
    let is_none = |it: &&Metric| it.name.starts_with("judged_") && it.labels.is_empty() && it.value == 0.0;
    let check = |it: &Metric| {
        let word = it.name.trim_start_matches("judged_").trim_end_matches('s');
        Check::not_checked(&it.name, "> 0", format!("no {word} could be judged: see the gaps"))
    };
    coverage.iter().filter(is_none).map(check).collect()
}

/// Makes one finding of those of the chunks of a slice: that of the foremost one, and where the others are.
pub fn together<T>(cutting: &Cutting, series: &Series<T>, found: &[Found<'_>]) -> Option<Finding> {
    let order = |it: &Found<'_>| (it.finding.severity, it.size);
    // The first of equal ones.
    let foremost = found.iter().reduce(|best, it| {
        let (left, right) = (order(it), order(best));
        let is_more = left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)) == Ordering::Greater;
        if is_more { it } else { best }
    })?;
    let mut res = foremost.finding.clone();
    let mut words = String::new();
    if let Some(slice) = &series.slice {
        res.place = format!("{}[{slice}]", res.place);
        res = res.evidence("slice", slice.as_str());
        words = format!("of slice `{slice}`, ");
    }
    if let Some(name) = foremost.chunk {
        let n_judged = series.judged().count();
        let names: Vec<&str> = found.iter().filter_map(|it| it.chunk).collect();
        words += &format!("in {} of {n_judged} {} ({}), ", found.len(), cutting.word(n_judged), listed(&names));
        if found.len() > 1 {
            words += &format!("foremost in {name}, ");
        }
        let shown: Vec<&str> = names.into_iter().take(MAX_NAMES).collect();
        res = res
            .evidence("chunk", name)
            .evidence("chunks", shown)
            .evidence("n_chunks", found.len() as u64)
            .evidence("n_judged_chunks", n_judged as u64);
    }
    res.message = words + &res.message;
    Some(res)
}

/// Returns which rows are in no chunk or slice.
pub fn row_gaps<S: Clone>(cutting: &Cutting, [reference, current]: [&Cells<S>; 2]) -> Vec<Gap> {
    let mut res = Vec::new();
    for (role, cells) in [("reference", reference), ("current", current)] {
        if cells.n_untimed() > 0 {
            let (n, rows) = (cells.n_untimed(), cells.rows());
            let why = format!(
                "{n} of {rows} {role} rows have no time in the years 0 to 9999, and are in no {}",
                cutting.word(1)
            );
            res.push(Gap::new(format!("chunks of {role} rows"), why));
        }
        for (column, n) in cells.n_unsliced().iter().filter(|it| *it.1 > 0) {
            let why = format!("{n} of {} {role} rows have no value, and are in no slice", cells.rows());
            res.push(Gap::new(format!("slices of {role} rows by `{column}`"), why));
        }
    }
    res
}

/// Returns what of a slice was not judged and why, then what was not covered in its chunks.
pub fn gaps<T>(cutting: &Cutting, series: &Series<T>, gaps_of: impl Fn(&T) -> &[Gap]) -> Vec<Gap> {
    let mut res = Vec::new();
    let subject = match &series.slice {
        Some(it) => format!("slice `{it}`"),
        None => "all rows".to_owned(),
    };
    if let Some(why) = &series.why_not {
        res.push(Gap::new(subject.clone(), format!("it was not judged: {why}")));
    }
    let all: Vec<String> = series.units.iter().filter_map(why_unjudged).collect();
    if !all.is_empty() {
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        let n = series.units.len();
        let judgment = match cutting.period {
            Some(_) => format!("{} of {n} {} were not judged", all.len(), cutting.word(n)),
            None => "it was not judged".to_owned(),
        };
        res.push(Gap::new(subject.clone(), format!("{judgment}: {}", listed(&names))));
    }
    let mut by_subject: BTreeMap<&str, Vec<(Option<&str>, &str)>> = BTreeMap::new();
    for (unit, judged) in series.judged() {
        for it in gaps_of(judged) {
            by_subject.entry(&it.what).or_default().push((unit.name.as_deref(), &it.why));
        }
    }
    for (what, all) in by_subject {
        let what = if series.slice.is_some() { format!("{what}, {subject}") } else { what.to_owned() };
        let names: Vec<&str> = all.iter().filter_map(|it| it.0).collect();
        let chunks = if names.is_empty() { String::new() } else { format!(" ({})", listed(&names)) };
        // The same reason has other numbers in each chunk; those of the first one stand for all.
        res.push(Gap::new(what, format!("{}{chunks}", all[0].1)));
    }
    res
}

/// Along what a metric is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The chunks of all rows.
    Chunks,
    /// The slices, where each is one.
    Slices,
}

/// A metric along chunks or slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Across {
    /// The names of the last chunks, or the first slices, as many as are drawn. Chunks of one year are without it.
    pub columns: Vec<String>,
    /// What they are: the year of the chunks, where all have the same.
    pub label: String,
    /// The values by another label, NaN where there is none.
    pub rows: Vec<(String, Vec<f64>)>,
    /// That others are left out, in words, where any are.
    pub left_out: String,
}

impl Along {
    fn label(self) -> &'static str {
        match self {
            Self::Chunks => "chunk",
            Self::Slices => "slice",
        }
    }

    /// Returns the end of a title: `over time`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Chunks => "over time",
            Self::Slices => "by slice",
        }
    }
}

/// Returns a metric along chunks or slices, by another label.
pub fn across(report: &Report, metric: &str, label: &str, along: Along) -> Across {
    let mut values: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
    for it in report.metrics.iter().filter(|it| it.name == metric && it.labels.len() == 2) {
        if let (Some(name), Some(column)) = (it.labels.get(label), it.labels.get(along.label())) {
            values.entry(name).or_default().insert(column, it.value);
        }
    }
    let all: BTreeSet<&str> = values.values().flat_map(|it| it.keys().copied()).collect();
    let n = all.len().saturating_sub(MAX_CHUNKS);
    let columns: Vec<&str> =
        all.into_iter().skip(if along == Along::Chunks { n } else { 0 }).take(MAX_CHUNKS).collect();
    let row = |(name, values): (&&str, &BTreeMap<&str, f64>)| {
        let values = columns.iter().map(|it| values.get(it).copied().unwrap_or(f64::NAN)).collect();
        ((*name).to_owned(), values)
    };
    let rows = values.iter().map(row).collect();
    let left_out = match (n, along) {
        (0, _) => String::new(),
        (n, Along::Chunks) => format!(" {n} earlier chunks are left out."),
        (n, Along::Slices) => format!(" {n} slices are left out."),
    };
    let (label, columns) = match along {
        Along::Chunks => without_year(&columns),
        Along::Slices => (String::new(), columns.iter().map(|it| (*it).to_owned()).collect()),
    };
    Across { columns, label, rows, left_out }
}

/// Returns the year of chunks, where all have the same, and their names without it, for which there is room in a picture.
pub fn without_year(names: &[&str]) -> (String, Vec<String>) {
    let split: Option<Vec<(&str, &str)>> = names.iter().map(|it| it.split_once('-')).collect();
    match split {
        Some(split) if split.iter().all(|it| it.0 == split[0].0) => {
            let year = split.first().map(|it| it.0.to_owned()).unwrap_or_default();
            (year, split.into_iter().map(|it| it.1.to_owned()).collect())
        }
        _ => (String::new(), names.iter().map(|it| (*it).to_owned()).collect()),
    }
}

fn why_unjudged<T>(unit: &Unit<T>) -> Option<String> {
    let why = unit.outcome.as_ref().err()?;
    Some(match &unit.name {
        Some(name) => format!("{name} ({why})"),
        None => why.clone(),
    })
}

/// Returns names in words, the first ones where there are many.
pub fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut res = names[..names.len() - more].join(", ");
    if more > 0 {
        res += &format!(" and {more} more");
    }
    res
}
