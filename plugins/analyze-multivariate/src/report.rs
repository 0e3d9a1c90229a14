//! The report: numbers, findings, pictures, and what could not be compared.

use modelwatch_sdk::{
    KnownMetric, Report,
    cells::{self, Across, Along, Cells, Cutting},
    report::{Check, Figure, FigureData, Finding, Metric, Series, Severity, float},
};

use crate::{
    config::{Config, Test},
    decision::{Answer, Calibration, Outcome, Sampled},
    question::Topic,
    scores::Score,
    side::Side,
};

/// The values of the label `data`.
const DATA: [&str; 2] = ["reference", "current"];

/// Returns everything that is to be said.
pub(crate) fn write(config: &Config, outcome: &Outcome) -> Report {
    let mut findings: Vec<Finding> = outcome.mismatches.iter().map(mismatch).collect();
    findings.extend(outcome.answers.iter().filter(|it| it.is_drifted).map(|it| drifted(config, outcome, it)));
    findings.extend(outcome.calibration.iter().filter(|it| it.is_drifted).map(|it| uncalibrated(config, it)));
    Report {
        metrics: metrics(outcome),
        checks: Vec::new(),
        findings,
        figures: figures(outcome),
        gaps: outcome.gaps.clone(),
    }
}

/// Returns the metrics that there can be with these options.
pub(crate) fn known(config: &Config) -> Vec<KnownMetric> {
    // How many columns are numbers, the data says.
    let tests = config.tests(usize::MAX);
    let statistics = tests.iter().copied().map(metric_name).collect::<Vec<_>>();
    let names = tests.into_iter().map(Test::name).collect::<Vec<_>>();
    let of_calibration = || {
        KnownMetric::all(["calibration_gap_change"], &["question"])
            .chain(KnownMetric::all(["ece"], &["question", "data"]).map(|it| it.only("data", DATA)))
            .map(|it| it.only("question", ["calibration"]))
    };
    let of_tests = KnownMetric::all(statistics, &["question"]).chain(
        KnownMetric::all(["test_p_value"], &["question", "test"]).map(|it| it.only("test", names.iter().copied())),
    );
    let of_questions = KnownMetric::all(["drifted", "p_value"], &["question"])
        .chain(config.calibration.then(of_calibration).into_iter().flatten());
    let unasked = [
        (config.layer.is_some(), "layer", "name a layer of the model in `layer`"),
        (config.predictions, "predictions", "set `predictions = true`"),
        (config.label, "label", "set `label = true`"),
        (config.calibration, "calibration", "set `calibration = true`"),
    ]
    .into_iter()
    .filter(|it| !it.0);
    let asked = |it| unasked.clone().fold(it, |it: KnownMetric, (_, name, how)| it.never("question", name, how));
    // Whether it is asked or not.
    let untested =
        |it: KnownMetric| it.never("question", "calibration", "require its `p_value`: no other test answers it");
    KnownMetric::all(["drifted_questions", "answered_questions"], &[])
        .chain(KnownMetric::all(["compared_rows"], &["data"]).map(|it| it.only("data", DATA)))
        .chain(of_questions.map(asked))
        .chain(of_tests.map(asked).map(untested))
        .collect()
}

/// Returns everything that is to be said of chunks and slices.
pub(crate) fn of_parts(
    config: &Config,
    cutting: &Cutting,
    roles: [&Cells<Side>; 2],
    series: Vec<cells::Series<Outcome>>,
) -> Report {
    let series: Vec<_> = series.into_iter().map(|it| it.map(|outcome| write(config, &outcome))).collect();
    let answered = |it: &Metric| it.name == "answered_questions" && it.value > 0.0;
    let is_judged = |it: &Report| it.metrics.iter().any(answered);
    let size = |it: &Finding| it.evidence.get("p_value").and_then(|it| it.as_f64()).map_or(0.0, |it| 1.0 - it);
    let mut res = cells::report(cutting, roles, &series, is_judged, size);
    let is_any = res.metrics.iter().any(answered);
    if !is_any {
        res.checks.push(Check::not_checked(
            "answered_questions",
            "> 0",
            "no chunk or slice could be judged: see the gaps",
        ));
    }
    let pictures: Vec<Figure> =
        [Along::Chunks, Along::Slices].into_iter().filter_map(|it| p_values(config, &res, it)).collect();
    res.figures.extend(pictures);
    res
}

/// Returns the p-values of each question along chunks or slices.
fn p_values(config: &Config, report: &Report, along: Along) -> Option<Figure> {
    let Across { columns, label, rows, left_out } = cells::across(report, "p_value", "question", along);
    if columns.len() < 2 {
        return None;
    }
    // The darkest are the least likely by chance.
    let strength = |it: f64| -it.max(1.0 / (config.permutations + 1) as f64).log10();
    let (rows, values) = rows
        .into_iter()
        .map(|(name, values)| {
            (name, values.into_iter().map(|it| if it.is_nan() { it } else { strength(it) }).collect())
        })
        .unzip();
    Some(Figure {
        title: format!("Drift of rows {}", along.words()),
        caption: format!(
            "P-values, corrected for the questions of all chunks and slices, as -log10: from {:.2} on it is drift.{left_out}",
            -config.alpha.log10(),
        ),
        data: FigureData::HeatMap { y_label: String::new(), x_label: label, rows, columns, values },
    })
}

fn metrics(outcome: &Outcome) -> Vec<Metric> {
    let [reference, current] = outcome.sampled;
    let n_answers = outcome.answers.len() + usize::from(outcome.calibration.is_some());
    let n_drifted = outcome.answers.iter().filter(|it| it.is_drifted).count()
        + usize::from(outcome.calibration.as_ref().is_some_and(|it| it.is_drifted));
    // What is computed from nothing has an n of nothing, and no requirement on it is met.
    let n = if n_answers > 0 { current.rows } else { 0 };
    let drifted = if n_answers > 0 { n_drifted as f64 } else { f64::NAN };
    let mut res = vec![Metric::new("drifted_questions", drifted).n(n)];
    res.push(Metric::new("answered_questions", n_answers as f64).n(n));
    for (data, Sampled { of, rows }) in DATA.into_iter().zip([reference, current]) {
        res.push(Metric::new("compared_rows", rows as f64).n(if n > 0 { of } else { 0 }).label("data", data));
    }
    for answer in &outcome.answers {
        let of = |name: &str, value: f64| Metric::new(name, value).n(n).label("question", answer.topic.name());
        res.push(of("drifted", f64::from(u8::from(answer.is_drifted))));
        res.push(of("p_value", answer.p_value));
        for score in &answer.scores.scores {
            res.push(of(metric_name(score.test), score.statistic));
            res.push(of("test_p_value", score.p_value).label("test", score.test.name()));
        }
    }
    if let Some(it) = &outcome.calibration {
        let of =
            |name: &str, value: f64, n: usize| Metric::new(name, value).n(n as u64).label("question", "calibration");
        let [n_reference, n_current] = it.rows;
        res.push(of("drifted", f64::from(u8::from(it.is_drifted)), n_current));
        res.push(of("p_value", it.p_value, n_current));
        res.push(of("ece", it.change.reference_ece, n_reference).label("data", DATA[0]));
        res.push(of("ece", it.change.current_ece, n_current).label("data", DATA[1]));
        res.push(of("calibration_gap_change", it.change.gap_change, n_current));
    }
    res
}

fn metric_name(test: Test) -> &'static str {
    match test {
        Test::Auto => "statistic",
        Test::Energy => "energy_distance",
        Test::Mmd => "mmd",
        Test::LinearMmd => "linear_mmd",
        Test::Neighbors => "neighbors_in_own_sample",
        Test::Classifier => "classifier_auc",
        Test::Trees => "trees_auc",
        Test::Correlation => "correlation_change",
        Test::Reconstruction => "reconstruction_error_change",
    }
}

fn mismatch((name, why): &(String, String)) -> Finding {
    Finding::new("MW-J005", Severity::Error, name, format!("column `{name}` {why}"))
        .advice("give both roles the same columns with the same types, or leave the column out with `exclude`")
}

fn drifted(config: &Config, outcome: &Outcome, answer: &Answer) -> Finding {
    let (code, advice) = match answer.topic {
        Topic::Features | Topic::List(_) => (
            "MW-J001",
            "see which columns and pairs of columns contribute most; if the change is real, check the metrics on recent labels and train again",
        ),
        Topic::Layer(_) => (
            "MW-J001",
            "look at rows that the model has not seen the like of, as new images beside old ones; if the change is real, check the metrics on recent labels and train again",
        ),
        Topic::Predictions => (
            "MW-J002",
            "see whether the features drifted; if they did not, compare the checkpoint and the preprocessing with those that made the reference",
        ),
        Topic::Label => (
            "MW-J003",
            "look for a change of what is labeled and how; if it is real, check probabilities and thresholds that were fitted to the old shares",
        ),
    };
    let scores = &answer.scores.scores;
    let words = scores.first().map(in_words).unwrap_or_default();
    let message = format!(
        "{} distributed differently: {words}; corrected p-value {:.2e}, at most {}{}",
        answer.topic.words(),
        answer.p_value,
        config.alpha,
        why(answer),
    );
    let [reference, current] = outcome.sampled;
    let tests: Vec<_> = scores.iter().map(|it| format!("{}: p-value {:.2e}", in_words(it), it.p_value)).collect();
    let columns: Vec<_> = answer.scores.columns.iter().map(|it| format!("{} ({:.0} %)", it.0, it.1 * 100.0)).collect();
    Finding::new(code, config.severity, answer.topic.name(), message)
        .advice(advice)
        .evidence("p_value", float::to_value(answer.p_value))
        .evidence("alpha", config.alpha)
        .evidence("tests", tests)
        .evidence("columns", columns)
        .evidence("pairs", pairs(answer))
        .evidence("n_reference", reference.rows)
        .evidence("n_current", current.rows)
}

/// Returns what a test measured, and what chance gives.
fn in_words(score: &Score) -> String {
    format!("{} {:.3} ({:.3} by chance)", score.test.statistic(), score.statistic, score.by_chance)
}

/// Returns the column or the pair that the leading test points to; a pair too where no column tells the samples apart.
fn why(answer: &Answer) -> String {
    let leads = answer.scores.scores.first().is_some_and(|it| it.test == Test::Correlation);
    let is_pair = leads || answer.scores.columns.is_empty();
    match (is_pair, pairs(answer).first(), answer.scores.columns.first()) {
        (true, Some(it), _) => format!("; {it}"),
        (_, _, Some((name, _))) if answer.topic == Topic::Features => format!("; most by column `{name}`"),
        _ => String::new(),
    }
}

fn pairs(answer: &Answer) -> Vec<String> {
    let words = |(left, right, change): &(String, String, modelwatch_stats::multivariate::PairChange)| {
        format!("the correlation of `{left}` and `{right}` went from {:.2} to {:.2}", change.reference, change.current)
    };
    answer.scores.pairs.iter().map(words).collect()
}

fn uncalibrated(config: &Config, it: &Calibration) -> Finding {
    let change = it.change;
    let direction = if change.gap_change < 0.0 { "less" } else { "more" };
    let message = format!(
        "probabilities come true {direction} often than they did, by {:.3} on average; the calibration error is {:.3} and was {:.3}, corrected p-value {:.2e}, at most {}",
        change.gap_change.abs(),
        change.current_ece,
        change.reference_ece,
        it.p_value,
        config.alpha,
    );
    Finding::new("MW-J004", config.severity, "calibration", message)
        .advice("calibrate the model again on recent labels, or train it again")
        .evidence("p_value", float::to_value(it.p_value))
        .evidence("alpha", config.alpha)
        .evidence("gap_change", float::to_value(change.gap_change))
        .evidence("n_reference", it.rows[0] as u64)
        .evidence("n_current", it.rows[1] as u64)
}

fn figures(outcome: &Outcome) -> Vec<Figure> {
    if outcome.answers.is_empty() {
        return Vec::new();
    }
    let row = |answer: &Answer, score: &Score| {
        vec![
            answer.topic.name().into_owned(),
            score.test.name().to_owned(),
            format!("{:.4}", score.statistic),
            format!("{:.4}", score.by_chance),
            format!("{:.2e}", score.p_value),
            format!("{:.2e}", answer.p_value),
        ]
    };
    let rows = outcome.answers.iter().flat_map(|it| it.scores.scores.iter().map(move |score| row(it, score)));
    let heads = ["question", "test", "statistic", "by chance", "p-value", "p-value of all questions"];
    let table = Figure {
        title: "Drift of rows".to_owned(),
        caption: "P-values are corrected for the tests of a question, and in the last column for all questions."
            .to_owned(),
        data: FigureData::Table { columns: heads.map(str::to_owned).to_vec(), rows: rows.collect() },
    };
    let drifted = outcome
        .answers
        .iter()
        .filter(|it| it.is_drifted && it.topic == Topic::Features && !it.scores.columns.is_empty());
    std::iter::once(table).chain(drifted.map(contributions)).collect()
}

fn contributions(answer: &Answer) -> Figure {
    let (categories, values) = answer.scores.columns.iter().cloned().unzip();
    Figure {
        title: "Columns that tell the samples apart".to_owned(),
        caption: "Shares of what a logistic model of all rows sees.".to_owned(),
        data: FigureData::Bars { categories, series: vec![Series { name: "share".to_owned(), values }] },
    }
}
