//! The elements of a picture: text, marks, axes and a legend.

use std::fmt::Write;

use modelwatch_sdk::report::Series;

use super::Drawing;
use crate::report::text::{clip, digits};

/// The height of a line of the legend.
const LINE: f64 = 16.0;

/// Collects the elements of one picture.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
    notes: Vec<String>,
}

/// Where the data goes, in pixels.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// A linear map from data to pixels.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Where a text is held.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The names of series in the colors of these, in as many lines as they need.
pub(super) struct Legend {
    /// With the left end of the color, and the base of the name.
    entries: Vec<(String, f64, f64)>,
}

impl Legend {
    /// Places the names between two edges.
    pub(super) fn new(series: &[Series], left: f64, right: f64) -> Self {
        let (mut x, mut y) = (left, 15.0);
        let mut entries = Vec::new();
        for it in series {
            let name = clip(&it.name, 22);
            let width = 15.0 + 6.2 * name.chars().count() as f64;
            if x > left && x + width > right {
                (x, y) = (left, y + LINE);
            }
            entries.push((name, x, y));
            x += width + 15.0;
        }
        Self { entries }
    }

    /// Returns the height of the lines after the first one, for which there is always room.
    pub(super) fn further(&self) -> f64 {
        self.entries.last().map_or(0.0, |it| it.2 - 15.0)
    }
}

impl Scale {
    pub(super) fn at(self, value: f64) -> f64 {
        // Halves keep the span of huge numbers finite.
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        self.from + share.clamp(-0.5, 1.5) * (self.to - self.from)
    }

    /// Returns round values within the scale, about `n` of them.
    pub(super) fn ticks(self, n: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / n.max(1) as f64;
        if !rough.is_normal() {
            return vec![self.low, self.high];
        }
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * power).into_iter().find(|it| *it >= rough * 0.999);
        let step = step.unwrap_or(rough);
        let first = (self.low / step - 1e-9).ceil();
        let ticks = (0..=2 * n).map(|idx| (first + idx as f64) * step);
        ticks
            .take_while(|it| *it <= self.high + step * 1e-6)
            .map(|it| if it.abs() < step * 1e-9 { 0.0 } else { it })
            .collect()
    }
}

/// Returns the range of the finite values, widened where it is empty.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|it| it.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
    if low > high {
        return None;
    }
    if low == high {
        let pad = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        return Some((low - pad, high + pad));
    }
    Some((low, high))
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new(), notes: Vec::new() }
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn rect(&mut self, class: &str, area: Area, title: &str) {
        let (width, height) = (area.right - area.left, area.bottom - area.top);
        let (x, y, w, h) = (px(area.left), px(area.top), px(width.max(0.0)), px(height.max(0.0)));
        let shape = format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"");
        self.closed(&shape, "rect", title);
    }

    pub(super) fn circle(&mut self, class: &str, x: f64, y: f64, title: &str) {
        let shape = format!("<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"3\"", px(x), px(y));
        self.closed(&shape, "circle", title);
    }

    pub(super) fn path(&mut self, class: &str, path: &str) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &format!("M{} {}L{} {}", px(from.0), px(from.1), px(to.0), px(to.1)));
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (px(at.0), px(at.1));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    /// Writes a text that is read from bottom to top.
    pub(super) fn upright(&mut self, x: f64, y: f64, text: &str) {
        let (x, y) = (px(x), px(y));
        let _ = write!(
            self.body,
            "<text class=\"al\" transform=\"translate({x} {y}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(text)
        );
    }

    /// Draws the y axis with its grid.
    pub(super) fn y_axis(&mut self, area: Area, scale: Scale, label: &str) {
        for tick in scale.ticks(5) {
            let y = scale.at(tick);
            self.line("gr", (area.left, y), (area.right, y));
            self.text("tk", (area.left - 6.0, y + 3.5), Anchor::End, &tick_label(tick));
        }
        if !label.is_empty() {
            self.upright(11.0, (area.top + area.bottom) / 2.0, &clip(label, 40));
        }
    }

    /// Draws the x axis with about `n_ticks` ticks.
    pub(super) fn x_axis(&mut self, area: Area, scale: Scale, n_ticks: usize, label: &str) {
        self.line("ax", (area.left, area.bottom), (area.right, area.bottom));
        for tick in scale.ticks(n_ticks) {
            let x = scale.at(tick);
            self.line("ax", (x, area.bottom), (x, area.bottom + 4.0));
            self.text("tk", (x, area.bottom + 16.0), Anchor::Middle, &tick_label(tick));
        }
        if !label.is_empty() {
            self.text("al", ((area.left + area.right) / 2.0, area.bottom + 32.0), Anchor::Middle, &clip(label, 60));
        }
    }

    /// Draws a legend above the data.
    pub(super) fn legend(&mut self, legend: &Legend) {
        for (idx, (name, x, y)) in legend.entries.iter().enumerate() {
            let swatch = Area { left: *x, top: y - 9.0, right: x + 10.0, bottom: y + 1.0 };
            self.rect(&format!("f{idx}"), swatch, "");
            self.text("lg", (x + 15.0, *y), Anchor::Start, name);
        }
    }

    pub(super) fn finish(self, id: usize, title: &str, desc: &str) -> Drawing {
        let (width, height) = (px(self.width), px(self.height));
        let svg = format!(
            "<svg class=\"fig\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"ft{id} fd{id}\">\
             <title id=\"ft{id}\">{}</title><desc id=\"fd{id}\">{}</desc>{}</svg>",
            escape(title),
            escape(desc),
            self.body
        );
        Drawing { svg, note: self.notes.join("; ") }
    }

    fn closed(&mut self, shape: &str, tag: &str, title: &str) {
        let _ = match title {
            "" => write!(self.body, "{shape}/>"),
            it => write!(self.body, "{shape}><title>{}</title></{tag}>", escape(it)),
        };
    }
}

/// Returns a coordinate with one decimal; one that is not finite is drawn at the edge.
pub(super) fn px(value: f64) -> String {
    if value.is_finite() { digits((value * 10.0).round() / 10.0, 6).replace(',', "") } else { "0".to_owned() }
}

fn tick_label(value: f64) -> String {
    let size = value.abs();
    match size {
        it if it >= 1e12 || (it > 0.0 && it < 1e-3) => digits(value, 3),
        it if it >= 1e9 => format!("{}G", digits(value / 1e9, 4)),
        it if it >= 1e6 => format!("{}M", digits(value / 1e6, 4)),
        it if it >= 1e4 => format!("{}k", digits(value / 1e3, 4)),
        _ => digits(value, 5),
    }
}

/// Returns text as HTML and SVG have it.
pub(crate) fn escape(text: &str) -> String {
    let text = crate::report::text::plain(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
