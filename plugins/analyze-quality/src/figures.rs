//! The pictures of the report: what is missing, and a table of all columns.

use modelwatch_sdk::report::{Figure, FigureData, Series};

use crate::{column::Body, context::Context};

/// The most bars of the picture of missing values.
const MAX_BARS: usize = 30;

/// The most rows of the table.
const MAX_ROWS: usize = 500;

/// Returns the pictures of single columns.
pub(crate) fn of_columns(context: &Context<'_>) -> Vec<Figure> {
    if context.current.rows() == 0 {
        return Vec::new();
    }
    missing(context).into_iter().chain([table(context)]).collect()
}

/// Returns the columns of which most is missing, where anything is.
fn missing(context: &Context<'_>) -> Option<Figure> {
    let share = |name: &str| {
        let known = context.reference.and_then(|it| it.columns().get(name)).map(|it| context.missing_share(it));
        known.filter(|it| !it.is_nan()).unwrap_or(0.0)
    };
    let columns = context.current.columns().iter();
    let mut columns: Vec<_> = columns.map(|(name, it)| (name, context.missing_share(it), share(name))).collect();
    columns.retain(|it| it.1 > 0.0 || it.2 > 0.0);
    if columns.is_empty() {
        return None;
    }
    // The sort is stable, so that equal columns stay in the order of their names.
    columns.sort_by(|left, right| right.1.max(right.2).total_cmp(&left.1.max(left.2)));
    let left_out = columns.len().saturating_sub(MAX_BARS);
    columns.truncate(MAX_BARS);
    let series = |name: &str, of: fn(&(&String, f64, f64)) -> f64| Series {
        name: name.to_owned(),
        values: columns.iter().map(of).collect(),
    };
    let known = context.reference.map(|_| series("reference", |it| it.2));
    Some(Figure {
        title: "Missing values".to_owned(),
        caption: match left_out {
            0 => "Shares of the rows that are null or NaN; columns without any are left out.".to_owned(),
            n => format!("Shares of the rows that are null or NaN; {n} columns with smaller shares are left out."),
        },
        data: FigureData::Bars {
            categories: columns.iter().map(|it| it.0.clone()).collect(),
            series: known.into_iter().chain([series("current", |it| it.1)]).collect(),
        },
    })
}

fn table(context: &Context<'_>) -> Figure {
    let heads = ["column", "type", "missing", "different values", "least", "greatest"];
    let columns = context.current.columns();
    let rows = columns.iter().take(MAX_ROWS).map(|(name, it)| {
        let (least, greatest) = match it.body() {
            Body::Numbers(it) => it.range().map(|it| (it.0.to_string(), it.1.to_string())),
            Body::Times(it) => it.range().map(|it| (crate::time::show_time(it.0), crate::time::show_time(it.1))),
            Body::Names(it) => {
                let counts = it.categories().counts();
                counts.keys().next().zip(counts.keys().next_back()).map(|it| (it.0.to_string(), it.1.to_string()))
            }
            Body::Empty | Body::Stored(_) => None,
        }
        .unwrap_or_default();
        let distinct = if it.is_opaque() { String::new() } else { format!("{:.0}", it.values().distinct()) };
        vec![name.clone(), it.types(), format!("{:.4}", context.missing_share(it)), distinct, least, greatest]
    });
    let left_out = columns.len().saturating_sub(MAX_ROWS);
    Figure {
        title: "Columns of the current rows".to_owned(),
        caption: if left_out > 0 { format!("{left_out} columns are left out.") } else { String::new() },
        data: FigureData::Table { columns: heads.map(str::to_owned).to_vec(), rows: rows.collect() },
    }
}
