//! The pictures of the report.

use modelwatch_sdk::report::{Figure, FigureData, Series};

use crate::{
    comparison::{Cell, Detail, Outcome, Part},
    decision::Decision,
    report::place,
};

/// The most columns with pictures of their own.
pub(crate) const MAX_PICTURES: usize = 20;
const MAX_TABLE_ROWS: usize = 500;
const MAX_BARS: usize = 10;

/// Returns a table of all columns, and pictures of each of the most drifted ones.
pub(crate) fn figures(decisions: &[Decision]) -> Vec<Figure> {
    if decisions.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<_> = decisions.iter().collect();
    // The sort is stable, so that equal columns stay in the order of their names.
    order.sort_by(|left, right| rank(left).0.cmp(&rank(right).0).then(rank(left).1.total_cmp(&rank(right).1)));
    let drifted = order.iter().filter(|it| it.has_drifted_values).take(MAX_PICTURES);
    let pictures = drifted.flat_map(|it| it.leading_part().map(|part| pictures(it, part, "")).unwrap_or_default());
    std::iter::once(table(&order)).chain(pictures).collect()
}

/// Drifted columns come first, then those that could not be compared, then by falling effect.
fn rank(decision: &Decision) -> (u8, f64) {
    let class = match (&decision.comparison.outcome, decision.is_drifted()) {
        (Outcome::Mismatch(_), _) => 0,
        (_, true) => 1,
        (Outcome::Gap(_), _) => 2,
        (Outcome::Compared(_), false) => 3,
    };
    (class, decision.leading_part().map_or(0.0, |it| -it.score.effect.value))
}

fn table(order: &[&Decision]) -> Figure {
    let number = |it: f64| format!("{it:.4}");
    let row = |it: &&Decision| {
        let state = match (&it.comparison.outcome, it.is_drifted()) {
            (Outcome::Mismatch(_), _) => "mismatch",
            (_, true) => "drifted",
            (Outcome::Gap(_), _) => "not compared",
            (Outcome::Compared(_), false) => "no drift",
        };
        let part = it.leading_part();
        vec![
            place(&it.comparison.key),
            state.to_owned(),
            part.map(|it| it.method.name().to_owned()).unwrap_or_default(),
            part.map(|it| number(it.peer.map_or(it.score.effect.value, |it| it.value))).unwrap_or_default(),
            it.p_value.map(|it| format!("{it:.2e}")).unwrap_or_default(),
            part.map(|it| number(it.psi)).unwrap_or_default(),
            part.map(|it| number(it.jensen_shannon)).unwrap_or_default(),
            number(it.comparison.reference.missing_share()),
            number(it.comparison.current.missing_share()),
        ]
    };
    let heads = [
        "column",
        "result",
        "method",
        "effect",
        "p-value",
        "PSI",
        "JS distance",
        "missing (reference)",
        "missing (current)",
    ];
    let left_out = order.len().saturating_sub(MAX_TABLE_ROWS);
    Figure {
        title: "Drift of all columns".to_owned(),
        caption: match left_out {
            0 => "P-values are corrected for the number of columns.".to_owned(),
            n => format!(
                "P-values are corrected for the number of columns. {n} columns with smaller effects are left out."
            ),
        },
        data: FigureData::Table {
            columns: heads.iter().map(|&it| it.to_owned()).collect(),
            rows: order.iter().take(MAX_TABLE_ROWS).map(row).collect(),
        },
    }
}

/// Returns the shares of a part, those added up where it is of numbers, and what adds most to the difference; the titles end with which rows
/// they are of.
pub(crate) fn pictures(decision: &Decision, part: &Part, rows: &str) -> Vec<Figure> {
    let name = part.name.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
    let subject = format!("{}{name}{rows}", place(&decision.comparison.key));
    let mut res = vec![picture(format!("Drift of {subject}"), part)];
    res.extend(cumulative(format!("Cumulative shares of {subject}"), part));
    res.extend(contributions(format!("What drift of {subject} is made of"), part));
    res
}

fn cumulative(title: String, part: &Part) -> Option<Figure> {
    let Detail::Numeric { cumulative: it, .. } = &part.detail else { return None };
    let is_line = it.values.first() < it.values.last();
    is_line.then(|| Figure {
        title,
        caption: "Shares of the values that are not missing, up to each value.".to_owned(),
        data: FigureData::Lines {
            x_label: "value".to_owned(),
            y_label: "share up to it".to_owned(),
            x: it.values.clone(),
            series: series(it.reference.clone(), it.current.clone()),
        },
    })
}

fn contributions(title: String, part: &Part) -> Option<Figure> {
    let mut parts: Vec<(&str, f64)> = part.cells.iter().map(|it| (it.name.as_str(), it.psi_part())).collect();
    parts.retain(|it| it.1 > 0.0);
    // The sort is stable, so that equal parts stay in their order.
    parts.sort_by(|left, right| right.1.total_cmp(&left.1));
    let left_out = parts.len().saturating_sub(MAX_BARS);
    parts.truncate(MAX_BARS);
    let rest = if left_out > 0 { format!(" {left_out} smaller parts are left out.") } else { String::new() };
    let (categories, values) =
        parts.into_iter().map(|it| (it.0.to_owned(), it.1)).unzip::<String, f64, Vec<_>, Vec<_>>();
    (!categories.is_empty()).then(|| Figure {
        title,
        caption: format!("Parts of the population stability index, which is {:.4}.{rest}", part.psi),
        data: FigureData::Bars { categories, series: vec![Series { name: "part".to_owned(), values }] },
    })
}

fn picture(title: String, part: &Part) -> Figure {
    let caption = "Shares of the values that are not missing.".to_owned();
    let data = match &part.detail {
        Detail::Numeric { histogram, .. } if histogram.edges.len() > 1 => FigureData::Histogram {
            edges: histogram.edges.clone(),
            series: series(histogram.reference.clone(), histogram.current.clone()),
        },
        Detail::Numeric { .. } => bars(part.cells.clone()),
        Detail::Categorical { .. } => bars(most_frequent(&part.cells)),
    };
    Figure { title, caption, data }
}

fn bars(cells: Vec<Cell>) -> FigureData {
    let (reference, current) = cells.iter().map(|it| (it.reference, it.current)).unzip();
    FigureData::Bars { categories: cells.into_iter().map(|it| it.name).collect(), series: series(reference, current) }
}

fn series(reference: Vec<f64>, current: Vec<f64>) -> Vec<Series> {
    vec![
        Series { name: "reference".to_owned(), values: reference },
        Series { name: "current".to_owned(), values: current },
    ]
}

/// Returns the most frequent categories and the sum of all others.
fn most_frequent(cells: &[Cell]) -> Vec<Cell> {
    let mut cells = cells.to_vec();
    cells.sort_by(|left, right| (right.reference + right.current).total_cmp(&(left.reference + left.current)));
    let rest = cells.split_off(cells.len().min(MAX_BARS));
    if !rest.is_empty() {
        let sum = |side: fn(&Cell) -> f64| rest.iter().map(side).sum();
        cells.push(Cell {
            name: "(other categories)".to_owned(),
            reference: sum(|it| it.reference),
            current: sum(|it| it.current),
        });
    }
    cells
}
