//! Data for pictures, of bounded size.

use modelwatch_sdk::{
    Report,
    report::{Figure, FigureData, Series},
};

use crate::{
    curves,
    evaluate::Evaluation,
    measure,
    row::{Layout, Prediction},
    summed::Kind,
    tally::ClassTally,
};

/// The most classes of a confusion matrix; of more, the most frequent confusions are listed.
const MAX_MATRIX: usize = 50;
/// The most frequent confusions that are listed.
const MAX_CONFUSIONS: usize = 20;
/// The most slices of a bar chart.
const MAX_BARS: usize = 50;
/// The steps of the ROC curve.
const CURVE_STEPS: usize = 100;
/// The bins of the histogram of errors.
const ERROR_BINS: usize = 30;

/// Adds the figures.
pub(crate) fn draw(evaluation: &Evaluation<'_>, report: &mut Report) {
    if let Some(sums) = &evaluation.layout.sums {
        report.figures.extend((sums.kind != Kind::Detection).then(|| slices(evaluation)).flatten());
        return;
    }
    if evaluation.layout.is_regression() {
        report.figures.extend(errors(evaluation));
    } else {
        report.figures.push(confusion(evaluation));
        report.figures.extend(reliability(evaluation));
        report.figures.extend(roc(evaluation));
        report.figures.extend(thresholds(evaluation));
    }
    report.figures.extend(slices(evaluation));
}

fn confusion(evaluation: &Evaluation<'_>) -> Figure {
    let classes = &evaluation.layout.classes;
    let n_classes = classes.len();
    let cells = &evaluation.totals.confusion;
    let data = if n_classes <= MAX_MATRIX {
        let value =
            |label: usize, class: usize| cells.get(&((label * n_classes + class) as u64)).map_or(0.0, |it| it.weight);
        FigureData::HeatMap {
            y_label: "label".to_owned(),
            x_label: "prediction".to_owned(),
            rows: classes.clone(),
            columns: classes.clone(),
            values: (0..n_classes).map(|label| (0..n_classes).map(|class| value(label, class)).collect()).collect(),
        }
    } else {
        let split = |cell: u64| (cell as usize / n_classes, cell as usize % n_classes);
        let mut wrong: Vec<_> =
            cells.iter().map(|(&cell, it)| (split(cell), it.n)).filter(|((label, class), _)| label != class).collect();
        wrong.sort_by_key(|&(cell, n)| (std::cmp::Reverse(n), cell));
        wrong.truncate(MAX_CONFUSIONS);
        FigureData::Table {
            columns: ["label", "prediction", "rows"].map(str::to_owned).to_vec(),
            rows: wrong
                .iter()
                .map(|&((label, class), n)| vec![classes[label].clone(), classes[class].clone(), n.to_string()])
                .collect(),
        }
    };
    let caption = if evaluation.layout.has_weights {
        "Weight of the rows by label and prediction of the candidate"
    } else {
        "Rows by label and prediction of the candidate"
    };
    Figure { title: "Confusion".to_owned(), caption: caption.to_owned(), data }
}

fn reliability(evaluation: &Evaluation<'_>) -> Option<Figure> {
    let classes: &ClassTally = &evaluation.tally().models[0].classes;
    let bins: Vec<_> = classes.bins.iter().filter(|it| it.rows.weight > 0.0).collect();
    let data = FigureData::Reliability {
        confidence: bins.iter().map(|it| it.confidence / it.rows.weight).collect(),
        accuracy: bins.iter().map(|it| it.hits / it.rows.weight).collect(),
        counts: bins.iter().map(|it| it.rows.n).collect(),
    };
    let caption = "Mean confidence against the share of rows that are right, per bin of confidence".to_owned();
    (!bins.is_empty()).then(|| Figure { title: "Reliability".to_owned(), caption, data })
}

fn roc(evaluation: &Evaluation<'_>) -> Option<Figure> {
    evaluation.layout.positive?;
    let rates: Vec<f64> = (0..=CURVE_STEPS).map(|it| it as f64 / CURVE_STEPS as f64).collect();
    let series = (0..evaluation.layout.models.len()).filter_map(|model| {
        let groups = evaluation.groups(model, 0);
        let name = ["candidate", "baseline"][model].to_owned();
        curves::roc_auc(&groups).is_finite().then(|| Series { name, values: curves::roc_curve(&groups, &rates) })
    });
    let series: Vec<_> = series.collect();
    let data = FigureData::Lines {
        x_label: "false positive rate".to_owned(),
        y_label: "true positive rate".to_owned(),
        x: rates.clone(),
        series: series.clone(),
    };
    let caption = "The share of positive rows found, against the share of negative rows taken for positive".to_owned();
    (!series.is_empty()).then(|| Figure { title: "ROC curve".to_owned(), caption, data })
}

fn thresholds(evaluation: &Evaluation<'_>) -> Option<Figure> {
    let positive = evaluation.layout.positive?;
    let steps: Vec<f64> = (0..=CURVE_STEPS).map(|it| it as f64 / CURVE_STEPS as f64).collect();
    let (mut scored, mut all) = (Vec::new(), 0.0);
    for (words, count) in evaluation.rows.iter() {
        let Prediction::Scores(it) = evaluation.layout.prediction(words, 0) else { return None };
        let is_positive = Layout::label_class(words) == positive;
        let weight = count as f64 * evaluation.layout.weight(words);
        scored.push((f64::from_bits(it.kept[0]), is_positive, weight));
        all += if is_positive { weight } else { 0.0 };
    }
    let sums = |threshold: f64| {
        let found = scored.iter().filter(|it| it.0 >= threshold);
        found.fold((0.0, 0.0), |sum, it| if it.1 { (sum.0 + it.2, sum.1) } else { (sum.0, sum.1 + it.2) })
    };
    let points: Vec<(f64, f64)> = steps.iter().map(|&it| sums(it)).collect();
    let series = |name: &str, of: &dyn Fn(f64, f64) -> f64| Series {
        name: name.to_owned(),
        values: points.iter().map(|&(hits, alarms)| of(hits, alarms)).collect(),
    };
    let data = FigureData::Lines {
        x_label: "threshold".to_owned(),
        y_label: "share".to_owned(),
        series: vec![
            series("precision", &|hits, alarms| hits / (hits + alarms)),
            series("recall", &|hits, _| hits / all),
            series("f1", &|hits, alarms| 2.0 * hits / (hits + alarms + all)),
        ],
        x: steps,
    };
    let caption = "What the candidate would score at other thresholds".to_owned();
    (all > 0.0).then(|| Figure { title: "Thresholds".to_owned(), caption, data })
}

fn errors(evaluation: &Evaluation<'_>) -> Option<Figure> {
    let layout = evaluation.layout;
    let mut errors = vec![Vec::new(); layout.models.len()];
    for (words, count) in evaluation.rows.iter() {
        for (model, errors) in errors.iter_mut().enumerate() {
            if let Prediction::Number(value) = layout.prediction(words, model) {
                errors.push((value - Layout::label_number(words), count));
            }
        }
    }
    let all = || errors.iter().flatten().map(|it| it.0);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let width = (high - low) / ERROR_BINS as f64;
    if !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let counts = |errors: &Vec<(f64, u64)>| {
        let mut res = vec![0.0; ERROR_BINS];
        for &(error, count) in errors {
            res[(((error - low) / width) as usize).min(ERROR_BINS - 1)] += count as f64;
        }
        res
    };
    let names = ["candidate", "baseline"].into_iter();
    let series =
        names.zip(&errors).map(|(name, errors)| Series { name: name.to_owned(), values: counts(errors) }).collect();
    let edges = (0..=ERROR_BINS).map(|it| low + width * it as f64).collect();
    let caption = "Rows by prediction minus label".to_owned();
    Some(Figure { title: "Errors".to_owned(), caption, data: FigureData::Histogram { edges, series } })
}

fn slices(evaluation: &Evaluation<'_>) -> Option<Figure> {
    let measure = measure::primary(evaluation.layout);
    let shown = &evaluation.slices[..evaluation.slices.len().min(MAX_BARS)];
    let values = |model: usize| shown.iter().map(|it| measure.value(&it.tally, model)).collect();
    let names = ["candidate", "baseline"].into_iter().take(evaluation.layout.models.len()).enumerate();
    let series = names.map(|(model, name)| Series { name: name.to_owned(), values: values(model) }).collect();
    let data = FigureData::Bars { categories: shown.iter().map(|it| it.name.clone()).collect(), series };
    let caption = format!("{} of each slice", measure.name());
    (!shown.is_empty()).then(|| Figure { title: "Slices".to_owned(), caption, data })
}
