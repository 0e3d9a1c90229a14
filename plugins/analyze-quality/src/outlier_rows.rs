//! Rows that are far from all others, and what about them is.

use modelwatch_sdk::{
    Report, Result,
    report::{Figure, FigureData, Gap, Metric, float},
};
use modelwatch_stats::outliers::ROBUST_Z;
use serde_json::{Map, Value, json};

use crate::{
    context::{Context, above, chance, finding, number, percent, some},
    row_options::OutlierMethod,
    row_scores::{RowScores, scores},
    row_table::{RowTable, RowValues, UNSEEN},
};

/// Fewer different rows say nothing about what is usual.
const MIN_ROWS: usize = 50;

/// A row of one column is a value, and values are judged by themselves.
const MIN_COLUMNS: usize = 2;

/// A name of a smaller share is unusual.
const RARE: f64 = 0.01;

/// How many columns of a row are named.
const MAX_NAMED: usize = 3;

/// Judges whole rows by each method.
///
/// # Errors
/// When the run is cancelled.
pub(crate) fn judge(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let methods = &context.settings.config.outlier_rows.methods;
    if methods.is_empty() {
        return Ok(());
    }
    let table = RowTable::new(context.reference_rows(), context.current);
    say_left_out(&table, report);
    if table.columns.len() < MIN_COLUMNS {
        let why = "fewer than two features have numbers or names; outliers of single columns are told for each";
        report.gaps.push(Gap::new("outlier rows", why));
        return Ok(());
    }
    let n_rows = table.n_training.min(table.judged().len());
    if n_rows < MIN_ROWS {
        let why = format!("there are {n_rows} different rows, fewer than {MIN_ROWS}");
        report.gaps.push(Gap::new("outlier rows", why));
        return Ok(());
    }
    say_partial(context, &table, report);
    let mut found = Vec::new();
    for method in methods {
        if context.host.is_cancelled() {
            return Err(context.host.cancelled());
        }
        match scores(context, &table, *method)? {
            Ok(it) => found.push(it),
            Err(e) => report.gaps.push(Gap::new(format!("outlier rows by `{}`", method.as_str()), e.to_string())),
        }
    }
    for it in &found {
        let (share, n) = it.share;
        report.metrics.push(Metric::new("outlier_row_share", share).n(n).label("method", it.method.as_str()));
        judge_share(context, &table, it, report);
    }
    report.figures.extend(picture(&table, &found, &worst(context, &table, &found)));
    Ok(())
}

/// Says which columns are not looked at.
fn say_left_out(table: &RowTable<'_>, report: &mut Report) {
    let mut reasons: Vec<&str> = table.left_out.iter().map(|it| it.1).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for why in reasons {
        let names: Vec<_> = table.left_out.iter().filter(|it| it.1 == why).map(|it| it.0).collect();
        report.gaps.push(Gap::new(format!("outlier rows, by {}", some(&names)), why));
    }
}

/// Says which rows are not looked at.
fn say_partial(context: &Context<'_>, table: &RowTable<'_>, report: &mut Report) {
    let options = &context.settings.config.outlier_rows;
    let roles = [Some(("current", context.current)), context.reference_rows().map(|it| ("reference", it))];
    for (role, profile) in roles.into_iter().flatten() {
        let rows = if role == "current" { table.judged() } else { 0..table.n_training };
        let n_loop = if options.methods.contains(&OutlierMethod::Loop) { options.loop_rows } else { usize::MAX };
        if !profile.sample().is_partial() && rows.len() <= n_loop {
            continue;
        }
        let of = |n: usize| {
            let counts = table.rows[rows.clone()].iter().take(n).map(|it| it.count);
            (n.min(rows.len()), counts.fold(0, u64::saturating_add))
        };
        let said = options.methods.iter().map(|it| {
            let (different, rows) = of(if *it == OutlierMethod::Loop { options.loop_rows } else { usize::MAX });
            format!("`{}` looked at {different} different ones that stand for {rows}", it.as_str())
        });
        let said = said.collect::<Vec<_>>().join(", ");
        let why = format!("of {} {role} rows, chosen by their hashes: {said}", profile.rows());
        report.gaps.push(Gap::new("outlier rows, in part", why));
    }
}

fn judge_share(context: &Context<'_>, table: &RowTable<'_>, found: &RowScores, report: &mut Report) {
    let (share, n) = found.share;
    let usual = found.usual.map_or(0.0, |(usual, n_usual)| usual + chance(usual, n) + chance(usual, n_usual));
    let limit = context.settings.config.limits.outlier_rows.max(usual);
    if share <= limit {
        return;
    }
    let method = found.method.as_str();
    let message = format!(
        "{} of the rows are far from the others by `{method}`, with a score above {:.3}; more than {}",
        percent(share),
        found.threshold,
        percent(limit),
    );
    let is_outlier = |it: &&usize| found.scores[**it].is_some_and(|it| it > found.threshold);
    let worst = worst(context, table, std::slice::from_ref(found));
    let rows: Vec<Value> = worst.iter().filter(is_outlier).map(|it| evidence(table, found, *it)).collect();
    let finding = above(finding("MW-Q028", context.severity(), "rows", message), share, limit, n);
    let finding = number(finding, "score", found.threshold).evidence("method", method).evidence("rows", rows);
    report.findings.push(finding);
}

/// Returns the rows that are farthest, by their place among those that are judged, farthest first.
fn worst(context: &Context<'_>, table: &RowTable<'_>, found: &[RowScores]) -> Vec<usize> {
    // How much of the way from the threshold to 1: scores of different methods have nothing else in common.
    let excess = |row: usize| {
        let of = |it: &RowScores| it.scores[row].map(|score| (score - it.threshold) / (1.0 - it.threshold).max(1e-9));
        found.iter().filter_map(of).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut res: Vec<(f64, usize)> = (0..table.judged().len()).map(|it| (excess(it), it)).collect();
    res.retain(|it| it.0.is_finite());
    res.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    res.truncate(context.settings.config.outlier_rows.shown);
    res.into_iter().map(|it| it.1).collect()
}

/// What is unusual about a row in one column.
struct Oddity<'a> {
    column: &'a str,
    /// How many robust standard deviations a number is from the median.
    z: Option<f64>,
    text: String,
}

/// Returns what is unusual about a row by itself, most unusual first; nothing where only the combination is.
fn oddities<'a>(table: &RowTable<'a>, row: usize) -> Vec<Oddity<'a>> {
    let row = table.judged().start + row;
    let mut res = Vec::new();
    for column in &table.columns {
        let (weight, z, text) = match &column.values {
            RowValues::Numbers { values, scale, .. } => {
                let value = values[row];
                let Some(scale) = scale else { continue };
                let z = scale.z(value);
                // A missing number has no z.
                if z.is_nan() || z.abs() <= ROBUST_Z {
                    continue;
                }
                (z.abs(), Some(z), format!("`{}` = {value} (z = {z:.1})", column.name))
            }
            RowValues::Names { codes, .. } if codes[row] == UNSEEN => {
                (f64::INFINITY, None, format!("`{}`, a category that the reference rows do not have", column.name))
            }
            RowValues::Names { codes, shares, texts } => {
                let code = codes[row] as usize;
                if shares[code] >= RARE {
                    continue;
                }
                let value = if texts[code].is_empty() { String::new() } else { format!(" = `{}`", texts[code]) };
                let text = format!("`{}`{value} ({} of the rows)", column.name, percent(shares[code]));
                (1.0 / shares[code], None, text)
            }
        };
        res.push((weight, Oddity { column: column.name, z, text }));
    }
    // The sort is stable, so that columns that are equally unusual stay in the order of their names.
    res.sort_by(|left, right| right.0.total_cmp(&left.0));
    res.into_iter().map(|it| it.1).take(MAX_NAMED).collect()
}

fn evidence(table: &RowTable<'_>, found: &RowScores, row: usize) -> Value {
    let oddities = oddities(table, row);
    let columns: Map<String, Value> =
        oddities.iter().map(|it| (it.column.to_owned(), it.z.map_or(Value::Null, float::to_value))).collect();
    json!({
        "id": table.rows[table.judged().start + row].id,
        "count": table.rows[table.judged().start + row].count,
        "score": found.scores[row],
        "columns": columns,
    })
}

fn picture(table: &RowTable<'_>, found: &[RowScores], worst: &[usize]) -> Option<Figure> {
    if worst.is_empty() || found.is_empty() {
        return None;
    }
    let heads = ["id", "rows"].into_iter().chain(found.iter().map(|it| it.method.as_str())).chain(["what is unusual"]);
    let rows = worst.iter().map(|row| {
        let it = &table.rows[table.judged().start + row];
        let oddities: Vec<_> = oddities(table, *row).into_iter().map(|it| it.text).collect();
        let why = if oddities.is_empty() { "no column by itself".to_owned() } else { oddities.join(", ") };
        let scores = found.iter().map(|it| it.scores[*row].map(|it| format!("{it:.3}")).unwrap_or_default());
        [it.id.unwrap_or_default().to_owned(), it.count.to_string()].into_iter().chain(scores).chain([why]).collect()
    });
    let thresholds: Vec<_> =
        found.iter().map(|it| format!("{:.3} by `{}`", it.threshold, it.method.as_str())).collect();
    Some(Figure {
        title: "Rows that are farthest from the others".to_owned(),
        caption: format!(
            "A row is an outlier above {}. z is the number of robust standard deviations from the median.",
            thresholds.join(", ")
        ),
        data: FigureData::Table { columns: heads.map(str::to_owned).collect(), rows: rows.collect() },
    })
}
