//! The pictures of the report.

use modelwatch_sdk::report::{Figure, FigureData, Series};

use crate::{
    config::Limits,
    confusion::Confusion,
    evaluation::{Assessment, BAND, Estimate, Evaluation, Part},
};

/// The most classes whose calibration is drawn.
const MAX_CURVES: usize = 10;
/// The most rows of the table.
const MAX_TABLE_ROWS: usize = 500;

/// Returns a picture of each metric over the chunks, a table of all, and how the reference was calibrated.
pub(crate) fn figures(evaluation: &Evaluation) -> Vec<Figure> {
    let mut res: Vec<Figure> = evaluation.all.metrics.iter().filter_map(over_chunks).collect();
    res.extend(table(&evaluation.all));
    res.extend(by_slice(evaluation));
    res.extend(evaluation.confusion.as_ref().map(matrix));
    let curves = evaluation.calibrations.iter().filter(|it| !it.curve.is_empty()).take(MAX_CURVES);
    res.extend(curves.map(|it| {
        Figure {
            title: format!("Calibration of class {}", it.class),
            caption: "Scores of the labeled reference and the share of rows that are of the class, before calibration."
                .to_owned(),
            data: FigureData::Reliability {
                confidence: it.curve.iter().map(|it| it.confidence).collect(),
                accuracy: it.curve.iter().map(|it| it.accuracy).collect(),
                counts: it.curve.iter().map(|it| it.weight as u64).collect(),
            },
        }
    }));
    res
}

fn over_chunks(it: &Assessment) -> Option<Figure> {
    // A line needs two points.
    if it.chunks.len() < 2 {
        return None;
    }
    let series = |name: &str, of: &dyn Fn(&Estimate) -> Option<f64>| Series {
        name: name.to_owned(),
        values: it.chunks.iter().map(|it| of(it).unwrap_or(f64::NAN)).collect(),
    };
    let band =
        |sign: f64| move |estimate: &Estimate| Some(it.metric.clamped(estimate.value? + sign * BAND * estimate.error));
    let mut all = vec![series("estimated", &|it| it.value)];
    if it.chunks.iter().any(|it| it.realized.is_some()) {
        all.push(series("realized", &|it| it.realized));
    }
    let has = |of: fn(Limits) -> Option<f64>| it.chunks.iter().any(|it| of(it.limits).is_some());
    all.extend(has(|it| it.lower).then(|| series("lower limit", &|it| it.limits.lower)));
    all.extend(has(|it| it.upper).then(|| series("upper limit", &|it| it.limits.upper)));
    all.push(series("estimate - 3 errors", &band(-1.0)));
    all.push(series("estimate + 3 errors", &band(1.0)));
    let name = it.metric.name();
    Some(Figure {
        title: format!("{name} over chunks"),
        caption: "Estimates within three standard errors, what labels gave where there are some, and the limits."
            .to_owned(),
        data: FigureData::Lines {
            x_label: "chunk".to_owned(),
            y_label: name.to_owned(),
            x: (0..it.chunks.len()).map(|it| it as f64).collect(),
            series: all,
        },
    })
}

fn matrix(confusion: &Confusion) -> Figure {
    let values = confusion.cells.iter().map(|row| row.iter().map(|it| it.value).collect());
    Figure {
        title: "Expected confusion matrix".to_owned(),
        caption: "Shares of all current rows by the class that they are expected to be of and the one that is called."
            .to_owned(),
        data: FigureData::HeatMap {
            y_label: "class".to_owned(),
            x_label: "called".to_owned(),
            rows: confusion.classes.clone(),
            columns: confusion.classes.clone(),
            values: values.collect(),
        },
    }
}

fn table(part: &Part) -> Option<Figure> {
    let n_rows = part.chunks.len().min(MAX_TABLE_ROWS);
    let cell = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.4}"));
    let row = |at: usize| {
        let chunk = &part.chunks[at];
        let start = [at.to_string(), chunk.name.clone(), chunk.n_rows.to_string()];
        let cells = part.metrics.iter().map(|it| match &it.chunks[at] {
            estimate if estimate.realized.is_none() => cell(estimate.value),
            estimate => format!("{} ({})", cell(estimate.value), cell(estimate.realized)),
        });
        start.into_iter().chain(cells).collect()
    };
    let heads = ["", "chunk", "rows"].into_iter().chain(part.metrics.iter().map(|it| it.metric.name()));
    (n_rows > 0).then(|| Figure {
        title: "Estimates by chunk".to_owned(),
        caption: "In parentheses what labels gave.".to_owned(),
        data: FigureData::Table { columns: heads.map(str::to_owned).collect(), rows: (0..n_rows).map(row).collect() },
    })
}

fn by_slice(evaluation: &Evaluation) -> Option<Figure> {
    let row = |(name, part): (&str, &Part)| {
        let cells = part.metrics.iter().map(|it| match it.overall.value {
            Some(value) => format!("{value:.4} ± {:.4}", BAND * it.overall.error),
            None => "–".to_owned(),
        });
        let n_rows = part.metrics.first().map_or(0, |it| it.overall.n_rows);
        [name.to_owned(), n_rows.to_string()].into_iter().chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = evaluation.judged_slices().take(MAX_TABLE_ROWS).map(row).collect();
    let names = evaluation.all.metrics.iter().map(|it| it.metric.name());
    (!rows.is_empty()).then(|| Figure {
        title: "Estimates by slice".to_owned(),
        caption: "Of all current rows of the slice, within three standard errors.".to_owned(),
        data: FigureData::Table {
            columns: ["slice", "rows"].into_iter().chain(names).map(str::to_owned).collect(),
            rows,
        },
    })
}
