//! Cells stand for their rows, and groups of cells for what replicates are drawn of.

use std::collections::BTreeSet;

use modelwatch_sdk::{
    Report,
    report::{Interval, MetricRole},
};
use modelwatch_stats::hash::mix;
use serde_json::json;

use super::*;
use crate::{
    bootstrap::{Rows, of_curve},
    config::{Config, Settings},
    evaluate::evaluate,
    measure::{Areas, Measure, Of},
    row::{ModelLayout, RowScores},
    state::State,
    tally::Tally,
    totals::Totals,
};

fn layout() -> Layout {
    Layout {
        classes: ["0", "1"].map(str::to_owned).into(),
        positive: Some(1),
        has_weights: false,
        has_margin: false,
        top_k: Vec::new(),
        calibration_bins: 15,
        slice_columns: Vec::new(),
        sums: None,
        models: vec![ModelLayout { output: "p".to_owned(), is_scored: true, n_digits: 52 }],
    }
}

/// The `nth` of a sequence of uniform numbers.
fn uniform(seed: u64, nth: u64) -> f64 {
    (mix(mix(seed) ^ nth) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Words of a row with the probability of the positive class.
fn words(score: f64, label: u64) -> Vec<u64> {
    let truth = if label == 1 { score } else { 1.0 - score };
    let scores = RowScores {
        class: usize::from(score >= 0.3),
        rank: 0,
        log_loss: -truth.max(f64::EPSILON).ln(),
        brier: (1.0 - truth).powi(2),
        confidence: score,
        margin: 0.0,
        kept: &[score.to_bits()],
    };
    let mut res = vec![label];
    layout().push(&mut res, 0, Prediction::Scores(scores));
    res
}

/// Words of rows of uniform scores, each of which is the probability of its label.
fn rows(n: u64, seed: u64) -> Vec<Vec<u64>> {
    let row = |nth: u64| {
        let score = uniform(seed, 2 * nth);
        words(score, u64::from(uniform(seed, 2 * nth + 1) < score))
    };
    (0..n).map(row).collect()
}

/// Counts rows of scores and labels, all that can be in sums.
fn grid_of(rows: &[(f64, u64)]) -> Grid {
    let (layout, mut res) = (layout(), Grid::new(&layout()));
    let (scores, labels): (Vec<f64>, Vec<u8>) = rows.iter().map(|&(it, label)| (it, label as u8)).unzip();
    for row in res.add_scores(&labels, &scores, 0.3) {
        let (score, label) = rows[row];
        res.add(label as usize, &layout.prediction(&words(score, label), 0), 1);
    }
    res.settle();
    res
}

/// Rows of which a part has the positive label, with scores of a logit of a normal distribution that is moved so far by it.
fn normal(n: u64, seed: u64, part: f64, moved: f64) -> Vec<(f64, u64)> {
    let row = |nth: u64| {
        let [label, first, second] = [0, 1, 2].map(|it| uniform(seed, 3 * nth + it));
        let label = u64::from(label < part);
        let noise = (-2.0 * first.max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
        (1.0 / (1.0 + (-2.0 * (noise + moved * (label as f64 - 0.5))).exp()), label)
    };
    (0..n).map(row).collect()
}

fn grid<'a>(rows: impl IntoIterator<Item = &'a Vec<u64>>) -> Grid {
    let (layout, mut res) = (layout(), Grid::new(&layout()));
    rows.into_iter().for_each(|it| res.add(it[0] as usize, &layout.prediction(it, 0), 1));
    res
}

#[test]
fn neither_order_nor_cuts_nor_merges_show_in_a_bit() {
    let (rows, layout) = (rows(5000, 1), layout());
    let whole = grid(&rows);
    assert_eq!(grid(rows.iter().rev()), whole);
    let (mut left, right) = (grid(&rows[3100..]), grid(&rows[..3100]));
    let cells = |words: &[u64], n: u64| Cells::from_words(&layout, words, n);
    left.merge(&cells(&right.words(), 3100).unwrap());
    assert_eq!(left, whole);
    let words = whole.words();
    let mut same = Grid::new(&layout);
    same.merge(&cells(&words, 5000).unwrap());
    assert_eq!(same, whole);
    assert_eq!(cells(&words, 4999), None);
    for at in 0..words.len() {
        assert_eq!(cells(&words[..at], 5000).is_some(), at >= 3 && (at - 3) % WORDS == 0, "{at}");
        let mut damaged = words.clone();
        damaged[at] ^= 1 << (at % 64);
        drop(cells(&damaged, 5000));
    }
}

#[test]
fn scores_that_are_summed_fall_where_rows_do() {
    let layout = layout();
    let odd = [0.0, -0.0, 0.5, 0.3, 1.0, 1.0 - 1e-12, 1e-300, 1.0 / 15.0, 14.0 / 15.0, 63.0 / 64.0, 1.0 / 64.0];
    let scores: Vec<f64> = rows(3000, 5).iter().map(|it| f64::from_bits(it[7])).chain(odd).collect();
    let labels: Vec<u8> = (0..scores.len()).map(|it| [0, 1, UNLABELED][it % 3]).collect();
    let (mut summed, mut counted) = (Grid::new(&layout), Grid::new(&layout));
    assert!(summed.add_scores(&labels, &scores, 0.3).is_empty());
    for (&label, &score) in labels.iter().zip(&scores).filter(|it| *it.0 != UNLABELED) {
        counted.add(label.into(), &layout.prediction(&words(score, label.into()), 0), 1);
    }
    assert_eq!(summed.words(), counted.words());
    summed.settle();
    assert_eq!(summed.words(), counted.words());
    assert_eq!(Grid::new(&layout).add_scores(&[1; 4], &[f64::NAN, 1.5, -0.1, f64::INFINITY], 0.5), [0, 1, 2, 3]);
}

#[test]
fn groups_of_cells_vary_as_the_cells_do() {
    let (rows, layout) = (rows(20_000, 6), layout());
    let grid = grid(&rows);
    let of = |sample: &Sample| {
        let mut tally = Tally::new(&layout);
        sample.iter().for_each(|(_, words, count)| tally.add(&layout, words, count));
        let classes = tally.models[0].classes.clone();
        (classes.log_loss, classes.brier, Measure::Ece.value(&tally, 0), tally.models[0].classes.hits.clone())
    };
    let (cells, groups) = (grid.rows(&layout), grid.groups(&layout));
    assert!(groups.len() < 1100 && cells.len() > 6000, "{} {}", groups.len(), cells.len());
    let (left, right) = (of(&groups), of(&cells));
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(close(left.0.mean(), right.0.mean()) && close(left.0.m2(), right.0.m2()));
    assert!(close(left.1.mean(), right.1.mean()) && close(left.1.m2(), right.1.m2()));
    assert!(close(left.2, right.2) && left.3 == right.3);
}

#[test]
fn the_rows_of_cells_have_the_sums_of_all() {
    let (rows, layout) = (rows(20_000, 2), layout());
    let (mut expected, mut got) = (Tally::new(&layout), Tally::new(&layout));
    rows.iter().for_each(|it| expected.add(&layout, it, 1));
    grid(&rows).rows(&layout).iter().for_each(|(_, words, count)| got.add(&layout, words, count));
    let classes = |it: &Tally| it.models[0].classes.clone();
    let ([left, right], close) = ([classes(&got), classes(&expected)], |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9);
    assert_eq!((got.all, &left.hits, &left.predicted), (expected.all, &right.hits, &right.predicted));
    for (left, right) in [(&left.log_loss, &right.log_loss), (&left.brier, &right.brier)] {
        assert!(close(left.mean(), right.mean()) && close(left.m2(), right.m2()), "{left:?} {right:?}");
    }
    for (left, right) in left.bins.iter().zip(&right.bins) {
        assert!(left.rows == right.rows && left.hits == right.hits && close(left.confidence, right.confidence));
    }
    assert!(close(Measure::Ece.value(&got, 0), Measure::Ece.value(&expected, 0)));
    // That of confidences within a cell is missing: at most a quarter of the square of its width a row.
    assert!((0.0..1.5e-8 * 20_000.0).contains(&(right.excess.m2() - left.excess.m2())));
    assert_eq!(Measure::F1(Of::Positive(1)).value(&got, 0), Measure::F1(Of::Positive(1)).value(&expected, 0));
}

#[test]
fn states_that_no_probe_writes_are_refused() {
    let of = |totals: Option<Totals>, counts: [u64; 2]| {
        let (mut state, layout) = (State::default(), layout());
        rows(2, 4).iter().zip(counts).for_each(|(it, count)| state.sample.add(it, count));
        state.sample.settle();
        (state.head.n_rows, state.head.layout, state.head.totals) = (10, Some(layout), totals);
        State::default().merge(&state.to_bytes().unwrap(), &BTreeSet::new()).map_err(|it| it.message)
    };
    assert!(of(None, [4, 6]).is_ok());
    assert!(of(None, [5, 6]).unwrap_err().contains("a row is not of its layout"));
    assert!(of(Some(Totals::new(&layout(), true)), [4, 6]).unwrap_err().contains("sums in place of counts"));
}

#[test]
fn rows_without_a_probability_are_counted_apart() {
    let layout = layout();
    let mut grid = grid(&rows(10, 3));
    let improper = RowScores {
        class: 1,
        rank: 0,
        log_loss: f64::NAN,
        brier: 0.25,
        confidence: 1.5,
        margin: 0.0,
        kept: &[1.5_f64.to_bits()],
    };
    grid.add(1, &Prediction::Scores(improper), 3);
    grid.add(0, &Prediction::Unusable, 2);
    let mut tally = Tally::new(&layout);
    grid.rows(&layout).iter().for_each(|(_, words, count)| tally.add(&layout, words, count));
    let model = &tally.models[0];
    assert_eq!((tally.all.n, model.unusable, model.classes.improper), (15, 2, 3));
    assert!(Measure::LogLoss.value(&tally, 0).is_nan());
}

#[test]
fn ties_of_both_labels_share_a_cell() {
    // An f32 next to 1 lies on the edge of a bin.
    let scores = (0..20_000).map(|it| 1.0 - f64::from(it) * 2_f64.powi(-24));
    let rows: Vec<(f64, u64)> = scores.chain([1.0 - 1e-12, 0.0]).flat_map(|it| [(it, 0), (it, 1)]).collect();
    let kept: Vec<Vec<u64>> = rows.iter().map(|&(score, label)| words(score, label)).collect();
    for grid in [grid_of(&rows), grid(&kept)] {
        let cells = grid.cells();
        let is_shared = |it: &[Cell]| (it[0].0 % 2, it[0].0 + 1, it[0].1, it[0].2) == (0, it[1].0, it[1].1, it[1].2);
        assert!(!cells.is_empty() && cells.len() % 2 == 0 && cells.chunks(2).all(is_shared));
    }
}

#[test]
fn ties_beyond_the_budget_are_ties() {
    // Labels by chance, and a third of the scores at 1.
    let row = |nth: u64| {
        let [label, tie, score] = [0, 1, 2].map(|it| uniform(8, 3 * nth + it));
        (if tie < 0.3 { 1.0 } else { 0.9 * score }, u64::from(label < 0.5))
    };
    let mut rows: Vec<(f64, u64)> = (0..20_000).map(row).collect();
    let report = evaluated(grid_of(&rows), 20_000, 1);
    rows.sort_by(|left, right| left.0.total_cmp(&right.0));
    let tied = rows.chunk_by(|left, right| left.0 == right.0);
    let groups: Vec<(f64, f64)> = tied
        .map(|it| {
            let positive = it.iter().map(|it| it.1).sum::<u64>() as f64;
            (positive, it.len() as f64 - positive)
        })
        .collect();
    for measure in [
        Measure::RocAuc(Areas::One),
        Measure::AveragePrecision(Of::Positive(1)),
        Measure::PrAuc,
        Measure::Ks(Of::Positive(1)),
        Measure::Lift(0.1, Of::Positive(1)),
    ] {
        let found = report.metrics.iter().find(|it| it.name == measure.name()).unwrap().value;
        let what = |it: &str| it.starts_with(measure.name()) && it.ends_with(" of the candidate");
        let gap = report.gaps.iter().find(|it| what(&it.what)).unwrap();
        let bound: f64 = gap.why.split("within ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let truth = of_curve(measure, &groups);
        assert!((found - truth).abs() <= 1.01 * bound + 1e-9, "{measure:?}: {found} within {bound} of {truth}");
    }
}

#[test]
fn metrics_of_ranks_vary_in_groups_as_in_cells() {
    let by_chance = normal(100_000, 1, 0.1, 0.0);
    // A few of the positive rows surely, the others by chance.
    let few_surely = by_chance.iter().enumerate().map(|(nth, &(it, label))| match label {
        1 if nth % 300 < 3 => (0.999_999, 1),
        _ => (it * 0.9, label),
    });
    let few_surely: Vec<(f64, u64)> = few_surely.collect();
    let ranks =
        [Measure::AveragePrecision(Of::Positive(1)), Measure::PrAuc, Measure::Ks(Of::Positive(1)), Measure::Gini];
    let top = |share: f64| Measure::Lift(share, Of::Positive(1));
    let layout = layout();
    let settings = json!({"task": "binary", "intervals": {"replicates": 1000}});
    let settings = Settings::new(serde_json::from_value::<Config>(settings).unwrap()).unwrap();
    for (name, rows) in [
        ("by chance", &by_chance),
        ("few surely", &few_surely),
        ("well", &normal(100_000, 2, 0.3, 2.0)),
        ("nearly apart", &normal(100_000, 3, 0.02, 6.0)),
    ] {
        let grid = grid_of(rows);
        let measures: Vec<Measure> = ranks.into_iter().chain([0.1, 0.01, 0.001].map(top)).collect();
        let widths = |sample: &Sample| {
            let n = rows.len() as u64;
            let replicates = Rows::new(&layout, sample).replicates(&measures, n, &settings, &()).unwrap();
            let width = |nth: usize| {
                let found = replicates.compared(nth, 1.0, |it| it[0], 0.95).unwrap();
                found.high - found.low
            };
            (0..measures.len()).map(width).collect::<Vec<f64>>()
        };
        let (groups, cells) = (grid.groups(&layout), grid.rows(&layout));
        assert!(5 * groups.len() < 2 * cells.len(), "{name}: {} of {}", groups.len(), cells.len());
        for ((measure, of_groups), of_cells) in measures.iter().zip(widths(&groups)).zip(widths(&cells)) {
            // Of rows that are apart a lift is always as great as it can be.
            let ratio = if of_groups == of_cells { 1.0 } else { of_groups / of_cells };
            assert!((0.88..1.14).contains(&ratio), "{name}, {measure:?}: {of_groups} in place of {of_cells}");
        }
    }
}

#[test]
fn bounds_are_what_values_can_be() {
    let found = |report: &Report, name: &str| {
        let it = report.metrics.iter().find(|it| it.name == name && it.role == MetricRole::Candidate).unwrap();
        (it.value, it.interval)
    };
    let apart: Vec<(f64, u64)> = normal(20_000, 4, 0.3, 6.0)
        .into_iter()
        .map(|(it, label)| (if label == 1 { f64::midpoint(it, 1.0).max(0.6) } else { it.min(0.59) }, label))
        .collect();
    let report = evaluated(grid_of(&apart), 20_000, 1);
    for name in ["ks_statistic", "average_precision", "pr_auc"] {
        assert_eq!(found(&report, name), (1.0, None), "{name}");
    }
    for (seed, moved) in [(5, 7.0), (6, 6.0), (7, 5.0)] {
        let report = evaluated(grid_of(&normal(20_000, seed, 0.1, moved)), 20_000, seed);
        for name in ["ks_statistic", "average_precision", "pr_auc", "gini", "roc_auc"] {
            let (value, interval) = found(&report, name);
            let is_inside = |it: Interval| 0.0 <= it.low && it.low <= value && value <= it.high && it.high <= 1.0;
            assert!(interval.is_none_or(is_inside), "{name} {value}: {interval:?}");
        }
    }
    // All in one bin: what varies is rounding.
    let alike: Vec<(f64, u64)> = (0..3000).map(|it| (1e-310 * it as f64, it % 7 / 6)).collect();
    assert_eq!(found(&evaluated(grid_of(&alike), 3000, 1), "lift").1, None);
}

#[test]
fn a_report_says_what_replicates_are_drawn_of() {
    let (rows, layout) = (rows(20_000, 9), layout());
    let report = report(&rows, 1);
    let gap = report.gaps.iter().find(|it| it.what == "rows beyond the budget").unwrap();
    let n = grid(&rows).groups(&layout).len();
    let expected = format!(
        "intervals of scores are of all rows, drawn as {n} groups of one label, one prediction and neighboring score bins"
    );
    assert_eq!(gap.why, expected);
}

fn report(rows: &[Vec<u64>], seed: u64) -> Report {
    evaluated(grid(rows), rows.len() as u64, seed)
}

fn evaluated(grid: Grid, n: u64, seed: u64) -> Report {
    let options = json!({"task": "binary", "threshold": 0.3, "intervals": {"replicates": 200, "seed": seed}});
    let settings = Settings::new(serde_json::from_value::<Config>(options).unwrap()).unwrap();
    let mut state = State::default();
    state.head.layout = Some(layout());
    state.head.n_rows = n;
    state.grid = Some(grid);
    evaluate(&state, None, &settings, &()).unwrap()
}

#[test]
fn intervals_of_cells_cover() {
    // Of uniform scores that are the probability of their label: the mean entropy, E[p (1 - p)], and areas by integration.
    let truths = [("log_loss", 0.5), ("brier", 1.0 / 6.0), ("roc_auc", 5.0 / 6.0), ("average_precision", 5.0 / 6.0)];
    // Percentiles of the average precision of few rows fall short, of rows as of cells.
    let of = |n: u64| &truths[..if n < 5000 { 3 } else { 4 }];
    for (n, trials) in [(50, 2000), (500, 400), (5000, 400)] {
        let mut held = [0; 4];
        for seed in 0..trials {
            let report = report(&rows(n, seed + 1), seed);
            for ((name, truth), held) in of(n).iter().zip(&mut held) {
                let mut metrics = report.metrics.iter().filter(|it| it.role == MetricRole::Candidate);
                let interval = metrics.find(|it| it.name == *name).unwrap().interval.unwrap();
                *held += u64::from((interval.low..=interval.high).contains(truth));
            }
        }
        for ((name, _), held) in of(n).iter().zip(held) {
            let coverage = held as f64 / trials as f64;
            assert!((0.93..=0.97).contains(&coverage), "{name} of {n} rows: {coverage}");
        }
    }
}
