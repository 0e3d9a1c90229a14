//! The nodes in a table and over the depth of the network.

use modelwatch_sdk::{
    nodes::{Counterpart, MatchedBy, NodeComparison, NodeDifference, ValueRange},
    report::{Figure, FigureData, Series},
};

use crate::{config::Config, uncompared::compared};

/// Returns the table of the nodes that differ most and the picture of all, in the order in which they run.
pub(crate) fn nodes(config: &Config, comparison: &NodeComparison) -> Vec<Figure> {
    let compared: Vec<(usize, &NodeDifference, &Counterpart)> =
        comparison.nodes.iter().enumerate().filter_map(|(at, it)| Some((at, it, compared(it)?))).collect();
    if compared.is_empty() {
        return Vec::new();
    }
    let norms = |of: fn(&Counterpart) -> f64| compared.iter().map(|it| of(it.2)).collect();
    let lines = FigureData::Lines {
        x_label: "node".to_owned(),
        y_label: "‖candidate − baseline‖ / ‖baseline‖".to_owned(),
        x: compared.iter().map(|it| it.0 as f64 + 1.0).collect(),
        series: vec![
            Series { name: "cumulative".to_owned(), values: norms(|it| it.cumulative.relative_norm) },
            Series { name: "isolated".to_owned(), values: norms(|it| it.isolated.relative_norm) },
        ],
    };
    let mut worst = compared;
    worst.sort_by(|a, b| b.2.isolated.relative_norm.total_cmp(&a.2.isolated.relative_norm).then(a.0.cmp(&b.0)));
    worst.truncate(config.listed_nodes);
    // Names are long; the numbers stand where one need not scroll for them.
    let columns =
        ["#", "isolated", "at most", "cumulative", "operator", "node", "baseline's node", "range", "baseline's range"];
    let table = FigureData::Table {
        columns: columns.map(str::to_owned).into(),
        rows: worst.into_iter().map(|it| cells(it.0, it.1, it.2)).collect(),
    };
    let caption = "By their isolated difference: what a node adds where it is fed the baseline's values.";
    vec![
        Figure {
            title: "Differences by depth".to_owned(),
            caption: "Nodes in the order in which they run.".to_owned(),
            data: lines,
        },
        Figure { title: "Nodes that differ most".to_owned(), caption: caption.to_owned(), data: table },
    ]
}

fn cells(at: usize, node: &NodeDifference, it: &Counterpart) -> Vec<String> {
    let name = match it.matched_by {
        MatchedBy::Structure => format!("{} (by structure)", it.name),
        MatchedBy::Value => format!("{} (by value)", it.name),
        MatchedBy::Name if it.name == node.name => "the same".to_owned(),
        MatchedBy::Name => it.name.clone(),
    };
    vec![
        (at + 1).to_string(),
        format!("{:.1e}", it.isolated.relative_norm),
        format!("{:.1e}", it.isolated.max_absolute),
        format!("{:.1e}", it.cumulative.relative_norm),
        node.operator.clone(),
        node.name.clone(),
        name,
        range(node.range),
        range(it.range),
    ]
}

/// Returns a range in words.
pub(crate) fn range(range: Option<ValueRange>) -> String {
    range.map_or_else(|| "no finite number".to_owned(), |it| format!("{:.3} … {:.3}", it.least, it.greatest))
}
