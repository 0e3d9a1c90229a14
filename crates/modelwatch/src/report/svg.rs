//! Draws figures as SVG: no script, no external reference, colors by CSS class.
//!
//! Every number may be NaN or infinite and every list of the wrong length: what cannot be drawn is
//! left out and said.

mod bars;
mod canvas;
mod heat_map;
mod plots;

use modelwatch_sdk::report::{Figure, FigureData};

use self::canvas::Canvas;
pub(crate) use self::canvas::escape;
use super::text::{clip, counted};

/// How many points, bars or cells of one figure are drawn at most.
const MAX_MARKS: usize = 400;
/// How many series of one figure are drawn at most: there are as many colors.
const MAX_SERIES: usize = 6;

/// A figure that was drawn.
pub(crate) struct Drawing {
    /// The `<svg>` element; everything in it is escaped.
    pub(crate) svg: String,
    /// What is left out, or nothing.
    pub(crate) note: String,
}

/// Draws a figure; returns why not where there is nothing to draw, and nothing for a table.
///
/// `id` tells the ids of one page apart.
pub(crate) fn draw(figure: &Figure, id: usize) -> Option<Result<Drawing, String>> {
    let (canvas, desc) = match &figure.data {
        FigureData::Histogram { edges, series } => {
            (plots::histogram(edges, series), format!("Histogram of {}", counted(series.len(), "series")))
        }
        FigureData::Bars { categories, series } => {
            (bars::bars(categories, series), format!("Bars of {} categories", categories.len()))
        }
        FigureData::Lines { x_label, y_label, x, series } => {
            let axes = plots::Axes { x_label, y_label };
            (plots::lines(&axes, x, series), format!("{} over {}", clip(y_label, 80), clip(x_label, 80)))
        }
        FigureData::HeatMap { y_label, x_label, rows, columns, values } => {
            let axes = plots::Axes { x_label, y_label };
            let desc = format!("Matrix of {} rows and {} columns", rows.len(), columns.len());
            (heat_map::heat_map(&axes, rows, columns, values), desc)
        }
        FigureData::Reliability { confidence, accuracy, counts } => {
            (plots::reliability(confidence, accuracy, counts), "Observed share over predicted probability".to_owned())
        }
        FigureData::Table { .. } => return None,
        _ => return Some(Err("this version of modelwatch cannot draw it".to_owned())),
    };
    Some(canvas.map(|it| it.finish(id, &title(figure), &desc)))
}

/// Returns the title of a figure, in which no name can be set as code.
pub(crate) fn title(figure: &Figure) -> String {
    clip(&figure.title, 200).replace('`', "")
}
