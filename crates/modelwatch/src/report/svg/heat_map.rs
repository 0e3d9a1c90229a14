//! Matrices, with their values written into the cells where there is room.

use std::collections::BTreeSet;

use super::{
    Canvas,
    canvas::{Anchor, Area},
    plots::Axes,
};
use crate::report::text::{clip, digits, number, plain};

const MAX_CELLS: usize = 30;
/// The characters over a column.
const MAX_HEAD: usize = 8;
/// The darkness of a cell is one of so many classes.
const SHADES: f64 = 8.0;

/// Draws a matrix; its rows run downwards.
pub(super) fn heat_map(
    axes: &Axes<'_>,
    rows: &[String],
    columns: &[String],
    values: &[Vec<f64>],
) -> Result<Canvas, String> {
    let (n, m) = (rows.len().min(MAX_CELLS), columns.len().min(MAX_CELLS));
    if n == 0 || m == 0 {
        return Err("there is nothing to draw: the matrix is empty".to_owned());
    }
    let at = |row: usize, column: usize| values.get(row).and_then(|it| it.get(column)).copied().unwrap_or(f64::NAN);
    let all = || (0..n).flat_map(|row| (0..m).map(move |column| (row, column)));
    let most = all().map(|(row, column)| at(row, column).abs()).filter(|it| it.is_finite()).fold(0.0, f64::max);
    let longest = rows[..n].iter().map(|it| it.chars().count().min(14)).max().unwrap_or(0);
    let left = 34.0 + 6.4 * longest as f64;
    let cell = ((448.0 - left) / m as f64).min(52.0);
    let height = cell.clamp(10.0, 30.0);
    let area = Area { left, top: 40.0, right: left + cell * m as f64, bottom: 40.0 + height * n as f64 };
    let mut canvas = Canvas::new(460.0, area.bottom + 12.0);
    let step = (44.0 / cell).ceil().max(1.0) as usize;
    let every = if columns.iter().all(|it| it.chars().count() <= 2) && cell >= 14.0 { 1 } else { step };
    for (idx, head) in heads(&columns[..m]).iter().enumerate().step_by(every) {
        let x = area.left + cell * (idx as f64 + 0.5);
        canvas.text("tk", (x, area.top - 6.0), Anchor::Middle, head);
    }
    for (idx, name) in rows[..n].iter().enumerate().step_by(if height < 12.0 { 2 } else { 1 }) {
        let y = area.top + height * (idx as f64 + 0.5) + 3.5;
        canvas.text("tk", (area.left - 6.0, y), Anchor::End, &clip(name, 14));
    }
    for (row, column) in all() {
        let value = at(row, column);
        // The root lets small values be told from none.
        let share = if most > 0.0 && value.is_finite() { (value.abs() / most).sqrt() } else { 0.0 };
        let shade = (share * SHADES).ceil() as usize;
        let sign = if value < 0.0 { "n" } else { "p" };
        let (x, y) = (area.left + cell * column as f64, area.top + height * row as f64);
        let title = format!("{} × {}: {}", clip(&rows[row], 60), clip(&columns[column], 60), number(value));
        let place = Area { left: x + 0.5, top: y + 0.5, right: x + cell - 0.5, bottom: y + height - 0.5 };
        canvas.rect(&format!("hm {sign}{shade}"), place, &title);
        let text = digits(value, 3);
        if height >= 12.0 && cell >= 6.5 * text.chars().count() as f64 {
            let class = if shade >= 5 { "hv on" } else { "hv" };
            canvas.text(class, (x + cell / 2.0, y + height / 2.0 + 3.5), Anchor::Middle, &text);
        }
    }
    canvas.text("al", ((area.left + area.right) / 2.0, 14.0), Anchor::Middle, &clip(axes.x_label, 60));
    canvas.upright(11.0, (area.top + area.bottom) / 2.0, &clip(axes.y_label, 40));
    if rows.len() > n || columns.len() > m {
        canvas.note(format!("the first {n} of {} rows and {m} of {} columns are drawn", rows.len(), columns.len()));
    }
    Ok(canvas)
}

/// Returns names as they stand over columns: their starts, or their ends where different names start alike, as dates do.
fn heads(names: &[String]) -> Vec<String> {
    let starts: Vec<String> = names.iter().map(|it| clip(it, MAX_HEAD)).collect();
    let n_different = |it: &[String]| it.iter().collect::<BTreeSet<_>>().len();
    if n_different(&starts) == n_different(names) {
        return starts;
    }
    let end = |name: &String| match name.char_indices().rev().nth(MAX_HEAD - 3) {
        Some((at, _)) if name.chars().count() > MAX_HEAD => format!("…{}", plain(&name[at..])),
        _ => clip(name, MAX_HEAD),
    };
    names.iter().map(end).collect()
}
