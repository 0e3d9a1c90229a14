//! What columns tell of each other and of the label.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Report, Result,
    report::{Figure, FigureData, Gap, Severity},
    rows::Use,
};
use modelwatch_stats::{
    correlation::{Contingency, PHIK_BINS, correlation_ratio, cramers_v, equal_bins, pearson, phik, ranks, spearman},
    predictive::{Cell, Row, predictive_power},
};

use crate::{
    column::Column,
    context::{Context, finding, measure_column, number},
    identity::MISSING,
    kind::Family,
    label,
    profile::{MAX_PAIRED, Profile},
    rows::RowSample,
    weighed::Footing,
};

/// Fewer different rows say nothing about pairs.
const MIN_ROWS: usize = 20;

/// The most columns of the picture.
const MAX_PICTURED: usize = 30;

/// A column of the sample.
struct Paired<'a> {
    name: &'a str,
    values: Values,
}

enum Values {
    Numbers {
        values: Vec<f64>,
        /// The ranks, where no value is missing, so that they are the same beside every other column.
        ranks: Option<Vec<f64>>,
    },
    /// By number, in the order of their identities.
    Names(Vec<Option<u32>>),
}

/// Judges pairs of columns.
///
/// # Errors
/// When the run is cancelled.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let sample = context.current.sample();
    if sample.n() == 0 {
        return Ok(());
    }
    say_partial(context, sample, report);
    let n_counted = sample.n_counted(context.footing);
    if n_counted < MIN_ROWS {
        let that = if n_counted < sample.len() { " that weigh anything" } else { "" };
        let why = format!("there are {n_counted} different rows{that}, fewer than {MIN_ROWS}");
        report.gaps.push(Gap::new("correlations", why));
        return Ok(());
    }
    features(context, report)?;
    labels(context, report)
}

fn say_partial(context: &Context<'_>, sample: &RowSample, report: &mut Report) {
    if sample.is_partial() {
        let why = format!("they are computed from {} different rows that were chosen by their hashes", sample.len());
        report.gaps.push(Gap::new("correlations, in part", why));
    }
    let n_columns =
        context.current.columns().values().filter(|it| !it.has_use(Use::Label) && !it.has_use(Use::Id)).count();
    if n_columns > MAX_PAIRED {
        let why = format!("the first {MAX_PAIRED} of {n_columns} columns are looked at in pairs");
        report.gaps.push(Gap::new("correlations, in part", why));
    }
}

/// Correlations of features with each other.
fn features(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let (sample, footing) = (context.current.sample(), context.footing);
    let columns = paired(context.current, footing, |it| it.has_use(Use::Feature));
    let weights = sample.weights(footing);
    let n = sample.rows().map(|it| it.1.count).fold(0, u64::saturating_add);
    let mut table = vec![vec![f64::NAN; columns.len()]; columns.len()];
    for left in 0..columns.len() {
        if context.host.is_cancelled() {
            return Err(context.host.cancelled());
        }
        for right in left + 1..columns.len() {
            let Some((value, method)) = association(&columns[left].values, &columns[right].values, &weights) else {
                continue;
            };
            (table[left][right], table[right][left]) = (value, value);
            let limit = context.settings.config.limits.feature_feature;
            if value.abs() > limit {
                let (a, b) = (columns[left].name, columns[right].name);
                let message = format!("`{a}` and `{b}` are almost the same: {method} is {value:.3}, beyond {limit}");
                let finding =
                    finding("MW-Q045", Severity::Info, a, message).evidence("other", b).evidence("method", method);
                report.findings.push(number(number(finding, "value", value), "limit", limit).evidence("n", n));
            }
        }
    }
    for (column, row) in columns.iter().zip(&table) {
        let greatest = row.iter().map(|it| it.abs()).filter(|it| !it.is_nan()).fold(f64::NAN, f64::max);
        if !greatest.is_nan() {
            measure_column(report, column.name, "greatest_correlation", greatest, n);
        }
    }
    report.figures.extend(picture(&columns, table));
    Ok(())
}

/// What features and identifier tell of the label.
fn labels(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let Some((label, column)) = context.current.column_for(Use::Label) else { return Ok(()) };
    let (sample, footing) = (context.current.sample(), context.footing);
    let columns = paired(context.current, footing, may_tell);
    let weights = sample.weights(footing);
    let n = sample.rows().map(|it| it.1.count).fold(0, u64::saturating_add);
    let is_class = label::classes(column).is_some();
    let Some(own) = values(context.current, footing, label, column) else { return Ok(()) };
    let known = context.reference_rows().filter(|it| it.sample().n_counted(footing) >= MIN_ROWS).and_then(|it| {
        let own = values(it, footing, label, it.columns().get(label)?)?;
        Some(scores(it, footing, &paired(it, footing, may_tell), &own, is_class))
    });
    let scores = scores(context.current, footing, &columns, &own, is_class);
    let own_names = names(&own);
    for it in &columns {
        if context.host.is_cancelled() {
            return Err(context.host.cancelled());
        }
        label_correlations(it, (&own, &own_names), &weights, n, report);
        let Some(score) = scores.get(it.name).copied() else { continue };
        measure_column(report, it.name, "predictive_power", score, n);
        let is_id = context.current.columns().get(it.name).is_some_and(|it| it.has_use(Use::Id));
        judge_score(context, it.name, label, is_id, score, report);
        let before = known.as_ref().and_then(|known| known.get(it.name)).copied().filter(|_| !is_id);
        if let Some(before) = before {
            judge_change(context, it.name, label, (before, score), report);
        }
    }
    Ok(())
}

/// What features and identifiers tell of the label is looked at.
fn may_tell(column: &Column) -> bool {
    column.has_use(Use::Feature) || column.has_use(Use::Id)
}

/// Adds how a column goes together with the label, which is given as it is and as names.
fn label_correlations(
    column: &Paired<'_>,
    (label, label_names): (&Values, &[Option<u32>]),
    weights: &[f64],
    n: u64,
    report: &mut Report,
) {
    let mut push = |name: &str, value: f64| measure_column(report, column.name, name, value, n);
    let table = Contingency::new(&names(&column.values), label_names, weights);
    table.and_then(|it| phik(&it)).into_iter().for_each(|it| push("label_phik", it));
    let name = match (&column.values, label) {
        (Values::Numbers { values: left, .. }, Values::Numbers { values: right, .. }) => {
            pearson(left, right, weights).into_iter().for_each(|it| push("label_pearson", it));
            "label_spearman"
        }
        (Values::Names(_), Values::Names(_)) => "label_cramers_v",
        _ => "label_correlation_ratio",
    };
    association(&column.values, label, weights).into_iter().for_each(|it| push(name, it.0));
}

fn judge_score(context: &Context<'_>, name: &str, label: &str, is_id: bool, score: f64, report: &mut Report) {
    let limits = &context.settings.config.limits;
    let (n, size) = (context.current.sample().len(), context.current.sample().size(context.footing));
    if is_id {
        // Half of all identifiers that tell nothing are better than a guess by accident.
        let limit = limits.id_label + 3.0 / size.sqrt();
        if score > limit {
            let message = format!(
                "the identifier `{name}` tells `{label}`: its predictive power is {score:.2}, above {limit:.2}"
            );
            let finding = number(finding("MW-Q043", context.severity(), name, message), "score", score);
            report.findings.push(number(finding, "limit", limit).evidence("n", n));
        }
    } else if score >= limits.feature_label {
        let limit = limits.feature_label;
        let message =
            format!("`{name}` tells `{label}` almost alone: its predictive power is {score:.2}, at least {limit}");
        let finding = number(finding("MW-Q044", context.severity(), name, message), "score", score);
        report.findings.push(number(finding, "limit", limit).evidence("n", n));
    }
}

fn judge_change(context: &Context<'_>, name: &str, label: &str, (before, now): (f64, f64), report: &mut Report) {
    let noise = |it: &Profile| 1.0 / it.sample().size(context.footing).sqrt();
    let noise = context.reference_rows().map_or(0.0, noise) + noise(context.current);
    let limit = context.settings.config.limits.feature_label_change + noise;
    if (now - before).abs() >= limit {
        let message = format!(
            "`{name}` tells `{label}` with a predictive power of {now:.2}, in the reference of {before:.2}: a change of at least {limit:.2}"
        );
        let finding = number(finding("MW-Q046", context.severity(), name, message), "score", now);
        report.findings.push(number(number(finding, "reference", before), "limit", limit));
    }
}

/// Returns the columns of the sample that can be compared, in the order of their names.
fn paired(profile: &Profile, footing: Footing, is_wanted: impl Fn(&Column) -> bool) -> Vec<Paired<'_>> {
    let wanted = profile.paired_columns().filter(|it| is_wanted(it.1));
    wanted.filter_map(|(name, column)| Some(Paired { name, values: values(profile, footing, name, column)? })).collect()
}

/// Returns what the sample has of a column; none for times, nested values and columns that do not vary.
fn values(profile: &Profile, footing: Footing, name: &str, column: &Column) -> Option<Values> {
    let family = column.kind().and_then(|it| it.family())?;
    let place = profile.sample().place(name)?;
    if column.is_mixed() || column.is_opaque() || column.values().distinct() < 2.0 {
        return None;
    }
    let cells = profile.sample().rows().map(|it| it.1.cells.get(place).copied().unwrap_or(MISSING));
    match family {
        Family::Numbers if !column.has_use(Use::Categorical) => {
            let values: Vec<f64> = cells.map(f64::from_bits).collect();
            let is_whole = values.iter().all(|it| !it.is_nan());
            let ranks = is_whole.then(|| ranks(&values, &profile.sample().weights(footing)));
            Some(Values::Numbers { values, ranks })
        }
        Family::Numbers | Family::Booleans | Family::Texts => {
            let is_missing = |it: u64| it == MISSING || (family == Family::Numbers && f64::from_bits(it).is_nan());
            let cells: Vec<u64> = cells.collect();
            let mut codes: BTreeMap<u64, u32> =
                cells.iter().filter(|it| !is_missing(**it)).map(|it| (*it, 0)).collect();
            codes.values_mut().zip(0..).for_each(|(code, at)| *code = at);
            Some(Values::Names(cells.iter().map(|it| codes.get(it).copied()).collect()))
        }
        Family::Times | Family::Others => None,
    }
}

/// Returns a column as names, numbers by equal bins.
fn names(values: &Values) -> Vec<Option<u32>> {
    match values {
        Values::Names(it) => it.clone(),
        Values::Numbers { values, .. } => equal_bins(values, PHIK_BINS),
    }
}

/// Returns how two columns go together, and by which measure.
fn association(left: &Values, right: &Values, weights: &[f64]) -> Option<(f64, &'static str)> {
    match (left, right) {
        (Values::Numbers { ranks: Some(left), .. }, Values::Numbers { ranks: Some(right), .. }) => {
            Some((pearson(left, right, weights).ok()?, "Spearman's correlation"))
        }
        (Values::Numbers { values: left, .. }, Values::Numbers { values: right, .. }) => {
            Some((spearman(left, right, weights).ok()?, "Spearman's correlation"))
        }
        (Values::Names(left), Values::Names(right)) => {
            Some((cramers_v(&Contingency::new(left, right, weights).ok()?).ok()?, "Cramér's V"))
        }
        (Values::Names(names), Values::Numbers { values, .. })
        | (Values::Numbers { values, .. }, Values::Names(names)) => {
            // With a name for every row, names explain everything.
            let n_names = names.iter().flatten().max().map_or(0, |it| *it as usize + 1);
            let is_telling = n_names * 2 <= names.len();
            is_telling
                .then(|| correlation_ratio(names, values, weights).ok().map(|it| (it, "the correlation ratio")))?
        }
    }
}

/// Returns the predictive power score of each column for the label.
fn scores<'a>(
    profile: &Profile,
    footing: Footing,
    columns: &[Paired<'a>],
    label: &Values,
    is_class: bool,
) -> BTreeMap<&'a str, f64> {
    let (own, weights) = (cells(label, is_class), profile.sample().weights(footing));
    let score = |it: &Paired<'a>| {
        let features = cells(&it.values, false);
        let rows = profile.sample().rows().zip(&weights).zip(features.iter().zip(&own));
        // A row that weighs nothing says nothing.
        let rows = rows.filter(|it| *it.0.1 > 0.0).map(|(((hash, _), weight), (feature, label))| Row {
            feature: *feature,
            label: *label,
            weight: *weight,
            hash,
        });
        let rows: Vec<Row> = rows.collect();
        Some((it.name, predictive_power(&rows).ok()?))
    };
    columns.iter().filter_map(score).collect()
}

/// Returns a column as cells; numbers as names where they are classes.
fn cells(values: &Values, is_class: bool) -> Vec<Cell> {
    match values {
        Values::Names(it) => it.iter().map(|it| it.map_or(Cell::Missing, Cell::Name)).collect(),
        Values::Numbers { values, .. } if is_class => {
            let mut classes: Vec<f64> = values.iter().copied().filter(|it| !it.is_nan()).collect();
            classes.sort_by(f64::total_cmp);
            classes.dedup();
            let of = |it: &f64| classes.binary_search_by(|known| known.total_cmp(it));
            values.iter().map(|it| of(it).map_or(Cell::Missing, |it| Cell::Name(it as u32))).collect()
        }
        Values::Numbers { values, .. } => {
            values.iter().map(|it| if it.is_nan() { Cell::Missing } else { Cell::Number(*it) }).collect()
        }
    }
}

fn picture(columns: &[Paired<'_>], table: Vec<Vec<f64>>) -> Option<Figure> {
    if !(2..=MAX_PICTURED).contains(&columns.len()) {
        return None;
    }
    let names: Vec<String> = columns.iter().map(|it| it.name.to_owned()).collect();
    // A picture has no place for what does not exist.
    let values = table.into_iter().map(|row| row.into_iter().map(|it| if it.is_nan() { 0.0 } else { it }).collect());
    Some(Figure {
        title: "Correlations of features".to_owned(),
        caption: "Spearman's for numbers, Cramér's V for categories, the correlation ratio for one of each; 0 where there is none."
            .to_owned(),
        data: FigureData::HeatMap {
            y_label: String::new(),
            x_label: String::new(),
            rows: names.clone(),
            columns: names,
            values: values.collect(),
        },
    })
}
