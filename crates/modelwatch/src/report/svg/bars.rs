//! Groups of horizontal bars, which leave room for long names.

use modelwatch_sdk::report::Series;

use super::{
    Canvas, MAX_SERIES,
    canvas::{Anchor, Area, Legend, Scale, range},
    plots::left_out,
};
use crate::report::text::{clip, number};

const MAX_CATEGORIES: usize = 40;

/// Draws one group of bars per category.
pub(super) fn bars(categories: &[String], series: &[Series]) -> Result<Canvas, String> {
    let shown = &series[..series.len().min(MAX_SERIES)];
    if categories.is_empty() || shown.is_empty() {
        return Err("there is nothing to draw: there are no categories".to_owned());
    }
    let n = categories.len().min(MAX_CATEGORIES);
    let values = shown.iter().flat_map(|it| it.values.iter().copied().take(n));
    let finite = values.clone().any(f64::is_finite);
    let (low, high) =
        range(values.chain([0.0])).filter(|_| finite).ok_or("there is nothing to draw: no value is finite")?;
    // Only zeros: the axis still starts at zero.
    let low = if low < 0.0 && shown.iter().all(|it| it.values.iter().all(|it| *it >= 0.0 || it.is_nan())) {
        0.0
    } else {
        low
    };
    let longest = categories[..n].iter().map(|it| it.chars().count().min(26)).max().unwrap_or(0);
    let bar = if shown.len() == 1 { 13.0 } else { 10.0 };
    let group = bar * shown.len() as f64 + 7.0;
    let (left, right) = (20.0 + 6.4 * longest as f64, 440.0);
    let legend = Legend::new(shown, left, right);
    let top = 28.0 + legend.further();
    let area = Area { left, top, right, bottom: top + group * n as f64 };
    let mut canvas = Canvas::new(460.0, area.bottom + 24.0);
    let x = Scale { low, high, from: area.left, to: area.right };
    for tick in x.ticks(4) {
        canvas.line("gr", (x.at(tick), area.top), (x.at(tick), area.bottom));
    }
    canvas.x_axis(area, Scale { from: area.left, to: area.right, ..x }, 6, "");
    for (row, category) in categories[..n].iter().enumerate() {
        let top = area.top + group * row as f64 + 3.5;
        canvas.text("tk", (area.left - 6.0, top + (group - 7.0) / 2.0 + 3.5), Anchor::End, &middle(category));
        for (idx, it) in shown.iter().enumerate() {
            let Some(&value) = it.values.get(row) else { continue };
            let title = format!("{}, {}: {}", clip(category, 100), clip(&it.name, 40), number(value));
            let top = top + bar * idx as f64;
            if value.is_finite() {
                let (from, to) = (x.at(0.0), x.at(value));
                let bar = Area {
                    left: from.min(to),
                    right: from.max(to).max(from.min(to) + 0.5),
                    top,
                    bottom: top + bar - 1.0,
                };
                canvas.rect(&format!("f{idx}"), bar, &title);
            } else {
                canvas.text("tk", (x.at(0.0) + 4.0, top + bar - 2.0), Anchor::Start, &number(value));
            }
        }
    }
    canvas.line("ax", (x.at(0.0), area.top), (x.at(0.0), area.bottom));
    canvas.legend(&legend);
    if categories.len() > n {
        canvas.note(format!("the first {n} of {} categories are drawn", categories.len()));
    }
    left_out(&mut canvas, series);
    Ok(canvas)
}

/// Cuts a long name in its middle: the names of tensors differ at their ends.
fn middle(name: &str) -> String {
    let all: Vec<char> = name.chars().collect();
    if all.len() <= 26 {
        return name.to_owned();
    }
    all[..11].iter().chain(&['…']).chain(&all[all.len() - 14..]).collect()
}
