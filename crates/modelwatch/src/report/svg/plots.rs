//! Pictures with two numeric axes: histograms, lines and reliability curves.

use modelwatch_sdk::report::Series;

use super::{
    Canvas, MAX_MARKS, MAX_SERIES,
    canvas::{Anchor, Area, Legend, Scale, px, range},
};
use crate::report::text::{clip, count, number};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 250.0;
const AREA: Area = Area { left: 56.0, top: 28.0, right: 448.0, bottom: 212.0 };

/// How many ticks an x axis has, about.
const N_TICKS: usize = 6;

/// The labels of two axes.
pub(super) struct Axes<'a> {
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
}

/// Draws the outline of every series over common bins.
pub(super) fn histogram(edges: &[f64], series: &[Series]) -> Result<Canvas, String> {
    let bins = edges.len().saturating_sub(1);
    if bins == 0 || series.is_empty() {
        return Err("there is nothing to draw: the histogram has no bins".to_owned());
    }
    let shown = &series[..series.len().min(MAX_SERIES)];
    let tops = shown.iter().flat_map(|it| it.values.iter().copied().take(bins));
    let (_, high) = range(tops.chain([0.0])).ok_or("there is nothing to draw: no value is finite")?;
    let (slots, numeric) = slots(edges);
    let low_high = range(slots.iter().copied()).ok_or("there is nothing to draw: no bin edge is finite")?;
    let legend = Legend::new(shown, AREA.left, AREA.right);
    let (mut canvas, area) = below(&legend);
    let x = Scale { low: low_high.0, high: low_high.1, from: area.left, to: area.right };
    let y = Scale { low: 0.0, high, from: area.bottom, to: area.top };
    canvas.y_axis(area, y, "");
    for (idx, it) in shown.iter().enumerate() {
        let mut outline = format!("M{} {}", px(x.at(slots[0])), px(area.bottom));
        for bin in 0..bins {
            let top = y.at(finite(it.values.get(bin)));
            outline += &format!("L{} {}L{} {}", px(x.at(slots[bin])), px(top), px(x.at(slots[bin + 1])), px(top));
        }
        outline += &format!("L{} {}", px(x.at(slots[bins])), px(area.bottom));
        canvas.path(&format!("h{idx}"), &outline);
    }
    if bins <= MAX_MARKS / 2 {
        for bin in 0..bins {
            let values: Vec<_> = shown
                .iter()
                .map(|it| {
                    format!("{} {}", clip(&it.name, 40), it.values.get(bin).map_or("–".to_owned(), |it| number(*it)))
                })
                .collect();
            let title = format!("{} … {}: {}", number(edges[bin]), number(edges[bin + 1]), values.join(", "));
            let hit = Area { left: x.at(slots[bin]), right: x.at(slots[bin + 1]), ..area };
            canvas.rect("hit", hit, &title);
        }
    }
    if numeric {
        canvas.x_axis(area, x, N_TICKS, "");
    } else {
        canvas.line("ax", (area.left, area.bottom), (area.right, area.bottom));
        for idx in (0..edges.len()).step_by(edges.len().div_ceil(6).max(1)) {
            canvas.text(
                "tk",
                (x.at(slots[idx]), area.bottom + 16.0),
                Anchor::Middle,
                &crate::report::text::digits(edges[idx], 3),
            );
        }
        canvas.note("the bins are drawn equally wide, because their widths differ too much".to_owned());
    }
    canvas.legend(&legend);
    left_out(&mut canvas, series);
    Ok(canvas)
}

/// Returns where the edges are drawn, and whether these are their values.
fn slots(edges: &[f64]) -> (Vec<f64>, bool) {
    let widths = || edges.windows(2).map(|it| it[1] - it[0]);
    let widest = widths().fold(0.0, f64::max);
    let narrowest = widths().fold(f64::INFINITY, f64::min);
    let proper = edges.iter().all(|it| it.is_finite()) && narrowest > 0.0 && widest <= 60.0 * narrowest;
    if proper { (edges.to_vec(), true) } else { ((0..edges.len()).map(|it| it as f64).collect(), false) }
}

/// Draws lines; where a value is not finite, a line is interrupted.
pub(super) fn lines(axes: &Axes<'_>, x: &[f64], series: &[Series]) -> Result<Canvas, String> {
    let shown = &series[..series.len().min(MAX_SERIES)];
    let (low, high) = range(x.iter().copied()).ok_or("there is nothing to draw: no x value is finite")?;
    let all = shown.iter().flat_map(|it| it.values.iter().copied().take(x.len()));
    let (bottom, top) = range(all).ok_or("there is nothing to draw: no value is finite")?;
    let pad = (top / 2.0 - bottom / 2.0) * 0.1;
    let legend = Legend::new(shown, AREA.left, AREA.right);
    let (mut canvas, area) = below(&legend);
    let sx = Scale { low, high, from: area.left, to: area.right };
    let sy = Scale { low: bottom - pad, high: top + pad, from: area.bottom, to: area.top };
    canvas.y_axis(area, sy, axes.y_label);
    // Half a chunk is none.
    let is_whole = x.iter().all(|it| it.fract() == 0.0);
    let n_ticks = if is_whole { N_TICKS.min((high - low).max(1.0) as usize) } else { N_TICKS };
    canvas.x_axis(area, sx, n_ticks, axes.x_label);
    let step = x.len().div_ceil(MAX_MARKS).max(1);
    for (idx, it) in shown.iter().enumerate() {
        let points = || x.iter().copied().zip(it.values.iter().copied()).step_by(step);
        canvas.path(&format!("l{idx}"), &polyline(points(), sx, sy));
        if points().count() <= 40 {
            for (a, b) in points().filter(|it| it.0.is_finite() && it.1.is_finite()) {
                let title = format!("{}: {} at {}", clip(&it.name, 40), number(b), number(a));
                canvas.circle(&format!("f{idx}"), sx.at(a), sy.at(b), &title);
            }
        }
    }
    if step > 1 {
        canvas.note(format!("one of {step} points is drawn"));
    }
    // A value that is not there shows as a gap of its line.
    if shown.iter().flat_map(|it| &it.values).any(|it| it.is_infinite()) {
        canvas.note("infinite values are left out".to_owned());
    }
    canvas.legend(&legend);
    left_out(&mut canvas, series);
    Ok(canvas)
}

/// Draws observed over predicted, the diagonal, and the rows of each bin below.
pub(super) fn reliability(confidence: &[f64], accuracy: &[f64], counts: &[u64]) -> Result<Canvas, String> {
    let points = || confidence.iter().copied().zip(accuracy.iter().copied());
    if !points().any(|it| it.0.is_finite() && it.1.is_finite()) {
        return Err("there is nothing to draw: no bin has rows".to_owned());
    }
    let mut canvas = Canvas::new(WIDTH, 320.0);
    let x = Scale { low: 0.0, high: 1.0, from: AREA.left, to: AREA.right };
    let y = Scale { low: 0.0, high: 1.0, from: AREA.bottom, to: AREA.top };
    canvas.y_axis(AREA, y, "observed share");
    canvas.line("ax", (AREA.left, AREA.bottom), (AREA.right, AREA.bottom));
    canvas.line("dg", (AREA.left, AREA.bottom), (AREA.right, AREA.top));
    canvas.path("l0", &polyline(points(), x, y));
    let below = Area { top: 222.0, bottom: 282.0, ..AREA };
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    for (idx, (at, share)) in points().enumerate().take(MAX_MARKS) {
        if !(at.is_finite() && share.is_finite()) {
            continue;
        }
        let n = counts.get(idx).copied().unwrap_or(0);
        let title = format!("predicted {}, observed {}, n = {}", number(at), number(share), count(n));
        canvas.circle("f0", x.at(at), y.at(share), &title);
        let top = below.bottom - (below.bottom - below.top) * n as f64 / most as f64;
        canvas.rect("f5", Area { left: x.at(at) - 6.0, right: x.at(at) + 6.0, top, bottom: below.bottom }, &title);
    }
    canvas.text("tk", (AREA.left - 6.0, below.top + 8.0), Anchor::End, &count(most));
    canvas.upright(11.0, (below.top + below.bottom) / 2.0, "rows");
    canvas.x_axis(below, x, N_TICKS, "predicted probability");
    canvas.text("lg", (AREA.left, 15.0), Anchor::Start, "dashed: perfectly calibrated");
    Ok(canvas)
}

/// Returns a canvas with room for the legend, and where the data goes.
fn below(legend: &Legend) -> (Canvas, Area) {
    let further = legend.further();
    let area = Area { top: AREA.top + further, bottom: AREA.bottom + further, ..AREA };
    (Canvas::new(WIDTH, HEIGHT + further), area)
}

fn polyline(points: impl Iterator<Item = (f64, f64)>, x: Scale, y: Scale) -> String {
    let mut res = String::new();
    let mut pen = 'M';
    for (a, b) in points {
        if a.is_finite() && b.is_finite() {
            res += &format!("{pen}{} {}", px(x.at(a)), px(y.at(b)));
            pen = 'L';
        } else {
            pen = 'M';
        }
    }
    res
}

/// Says which series have no color any more.
pub(super) fn left_out(canvas: &mut Canvas, series: &[Series]) {
    if series.len() > MAX_SERIES {
        canvas.note(format!("{} of {} series are drawn", MAX_SERIES, series.len()));
    }
}

fn finite(value: Option<&f64>) -> f64 {
    value.copied().filter(|it| it.is_finite()).unwrap_or(0.0)
}
