//! Beyond the budget of rows, what is of the kept ones says how far that can be from what all rows give.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Report,
    arrow::array::{ArrayRef, Int64Array},
    report::{Interval, Metric, MetricRole},
    rows::Use,
};
use serde_json::json;

use common::{Table, find, random, run, run_cut, scored, value};

/// Checks that the bounds of a metric hold what all rows give, and are about as wide as a sample can be off by.
fn check(metric: &Metric, exact: f64, widest: f64) {
    let bounds = metric.bounds.unwrap_or_else(|| panic!("{metric:?}"));
    assert!(metric.value != exact && (1.0 - 2.1e-6..1.0).contains(&bounds.level), "{metric:?} {exact}");
    assert!(bounds.low <= exact && exact <= bounds.high, "{metric:?} {exact}");
    assert!(bounds.low < metric.value && metric.value < bounds.high && bounds.high - bounds.low < widest, "{metric:?}");
}

fn of<'a>(report: &'a Report, role: MetricRole, name: &str, labels: &[(&str, &str)]) -> &'a Metric {
    find(report, role, name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"))
}

fn says_so(report: &Report, what: &str) {
    let gap = report.gaps.iter().find(|it| it.what == what).unwrap_or_else(|| panic!("{what}: {:?}", report.gaps));
    assert!(gap.why.contains("a sample of") && gap.why.contains("all but one sample in a million"), "{}", gap.why);
}

fn width(it: Option<Interval>) -> f64 {
    it.map(|it| it.high - it.low).unwrap()
}

/// The area of scores that are all distinct.
fn area_of(rows: impl Iterator<Item = (bool, f64)>) -> f64 {
    let mut rows: Vec<(bool, f64)> = rows.collect();
    rows.sort_by(|left, right| left.1.total_cmp(&right.1));
    let (mut below, mut above, mut positives) = (0.0, 0.0, 0.0);
    for (is_positive, _) in rows {
        if is_positive {
            (above, positives) = (above + below, positives + 1.0);
        } else {
            below += 1.0;
        }
    }
    above / below / positives
}

/// The scores of three classes, of which the true one is raised.
fn scores_of_three(labels: &[i64], seed: u64) -> Vec<f64> {
    let noise = random(3 * labels.len(), seed);
    noise.iter().enumerate().map(|(nth, it)| it + if labels[nth / 3] == nth as i64 % 3 { 0.3 } else { 0.0 }).collect()
}

#[test]
fn areas_of_pairs_of_classes_are_within_what_their_sample_can_be_off_by() {
    let n = 300_000;
    let labels: Vec<i64> = random(n, 1).iter().map(|it| (it * 3.0) as i64).collect();
    let (candidate, baseline) = (scores_of_three(&labels, 2), scores_of_three(&labels, 5));
    let options = json!({
        "task": "multiclass", "scores": "logits", "metrics": ["roc_auc"], "intervals": {"replicates": 40},
    });
    let table = |n: usize| {
        Table::default().labels(&labels[..n]).candidate(&candidate[..3 * n], 3).baseline(&baseline[..3 * n], 3)
    };
    let report = run_cut(&options, &table(n).batch(), 2, 100_000);
    let softmax = |scores: &[f64]| {
        let of = |it: &[f64]| {
            let sum: f64 = it.iter().map(|it| it.exp()).sum();
            it.iter().map(|it| it.exp() / sum).collect::<Vec<_>>()
        };
        scores.chunks(3).flat_map(of).collect::<Vec<f64>>()
    };
    let exact = |scores: &[f64]| {
        let scores = softmax(scores);
        let pairs = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        let area = |(of, against): (usize, usize)| {
            let rows = labels.iter().enumerate().filter(|it| [of as i64, against as i64].contains(it.1));
            area_of(rows.map(|(row, &label)| (label == of as i64, scores[3 * row + of])))
        };
        pairs.into_iter().map(area).sum::<f64>() / 6.0
    };
    let ovo = [("average", "macro"), ("multi_class", "ovo")];
    let (exact_candidate, exact_baseline) = (exact(&candidate), exact(&baseline));
    let found = of(&report, MetricRole::Candidate, "roc_auc", &ovo);
    check(found, exact_candidate, 0.03);
    check(of(&report, MetricRole::Baseline, "roc_auc", &ovo), exact_baseline, 0.03);
    check(of(&report, MetricRole::Difference, "roc_auc", &ovo), exact_candidate - exact_baseline, 0.04);
    says_so(&report, "roc_auc[average=macro, multi_class=ovo]");

    // As wide as of the kept rows alone, a third of all.
    let of_kept = run(&options, &table(100_000));
    let of_kept = width(of(&of_kept, MetricRole::Candidate, "roc_auc", &ovo).interval);
    assert!((0.8..1.25).contains(&(width(found.interval) / of_kept)), "{found:?} {of_kept}");
}

#[test]
fn areas_of_slices_are_within_what_their_sample_can_be_off_by() {
    let n = 250_000;
    let labels: Vec<i64> = random(n, 1).iter().map(|it| i64::from(*it < 0.3)).collect();
    let scores = |seed: u64| {
        let noise = random(n, seed);
        labels.iter().zip(noise).map(|(&label, it)| 0.7 * it + 0.3 * label as f64).collect::<Vec<f64>>()
    };
    let (candidate, baseline) = (scores(2), scores(3));
    let hands: Vec<&str> = (0..n).map(|it| if it % 4 == 0 { "left" } else { "right" }).collect();
    let table = Table::default().labels(&labels).candidate(&candidate, 1).baseline(&baseline, 1).slice("hand", &hands);
    let options = json!({"task": "binary", "metrics": ["roc_auc"], "intervals": {"replicates": 0}});
    let report = run(&options, &table);
    let exact = |scores: &[f64], is_left: bool| {
        let rows = (0..n).filter(|row| (row % 4 == 0) == is_left);
        area_of(rows.map(|row| (labels[row] == 1, scores[row])))
    };
    for (slice, is_left) in [("hand=left", true), ("hand=right", false)] {
        let labels = [("slice", slice)];
        let [left, right] = [&candidate, &baseline].map(|it| exact(it, is_left));
        check(of(&report, MetricRole::Candidate, "roc_auc", &labels), left, 0.05);
        check(of(&report, MetricRole::Baseline, "roc_auc", &labels), right, 0.05);
        check(of(&report, MetricRole::Difference, "roc_auc", &labels), left - right, 0.08);
    }
    // Once for both.
    says_so(&report, "roc_auc[slice=*]");
    assert_eq!(report.gaps.iter().filter(|it| it.what.starts_with("roc_auc[")).count(), 1, "{:?}", report.gaps);
}

/// Rows that are all alike are one distinct row: where it is not kept, the others do not tell what it does.
#[test]
fn a_row_that_many_are_like_is_not_forgotten() {
    let n = 300_000;
    let noise = random(n, 7);
    let hands = vec!["left"; n];
    let mut n_unknown = 0;
    for nth in 0..4 {
        let labels: Vec<i64> = (0..n).map(|it| i64::from(it < 100_000 || it % 2 == 0)).collect();
        let score = |(row, it): (usize, &f64)| if row < 100_000 { -0.01 * f64::from(nth) } else { *it };
        let scores: Vec<f64> = noise.iter().enumerate().map(score).collect();
        let table = Table::default().labels(&labels).candidate(&scores, 1).slice("hand", &hands);
        let options =
            json!({"task": "binary", "scores": "logits", "metrics": ["roc_auc"], "intervals": {"replicates": 0}});
        let report = run(&options, &table);
        // The rows that are alike are below all others, and positive; the others tell nothing.
        let exact = 0.5 * (100_000.0 * 0.0 + 100_000.0) / 200_000.0;
        let found = of(&report, MetricRole::Candidate, "roc_auc", &[("slice", "hand=left")]);
        let bounds = found.bounds.unwrap();
        let is_held = bounds.low - 0.02 <= exact && exact <= bounds.high + 0.02;
        assert!(is_held, "{nth}: {found:?} {exact}");
        n_unknown += u64::from((bounds.low, bounds.high) == (0.0, 1.0));
    }
    assert!(n_unknown > 0);
}

/// Half of the few positive rows are alike, and too few of all rows to be missed there.
#[test]
fn a_row_that_many_of_a_class_are_like_is_not_forgotten() {
    let n = 200_000;
    let noise = random(n, 11);
    let hands = vec!["left"; n];
    let labels: Vec<i64> = (0..n).map(|it| i64::from(it < 4000)).collect();
    let mut n_unknown = 0;
    for nth in 0..6 {
        let score = |(row, it): (usize, &f64)| match row {
            0..2000 => -0.01 * f64::from(nth) - 0.01,
            2000..4000 => 1.0 + it,
            _ => *it,
        };
        let scores: Vec<f64> = noise.iter().enumerate().map(score).collect();
        let table = Table::default().labels(&labels).candidate(&scores, 1).slice("hand", &hands);
        let options =
            json!({"task": "binary", "scores": "logits", "metrics": ["roc_auc"], "intervals": {"replicates": 0}});
        let report = run(&options, &table);
        let found = of(&report, MetricRole::Candidate, "roc_auc", &[("slice", "hand=left")]);
        let bounds = found.bounds.unwrap();
        assert!(bounds.low <= 0.5 && 0.5 <= bounds.high, "{nth}: {found:?}");
        // Without the rows that are alike nothing says how sure the others are.
        if found.value > 0.9 {
            assert!((bounds.low, bounds.high) == (0.0, 1.0) && found.interval.is_none(), "{nth}: {found:?}");
            n_unknown += 1;
        } else {
            assert!(found.interval.is_none_or(|it| it.low <= 0.5 && 0.5 <= it.high), "{nth}: {found:?}");
        }
    }
    assert!(n_unknown > 0);
}

#[test]
fn rankings_are_within_what_their_sample_can_be_off_by() {
    const PER_QUERY: usize = 8;
    let n_queries = 110_000;
    let n = n_queries * PER_QUERY;
    let (relevant, noise) = (random(n, 3), random(n, 4));
    let relevance: Vec<i64> = relevant.iter().map(|it| i64::from(*it < 0.3)).collect();
    let scores: Vec<f64> = relevance.iter().zip(&noise).map(|(&label, it)| it + 0.2 * label as f64).collect();
    let options = json!({"task": "ranking", "query": "q", "at_k": [3], "intervals": {"replicates": 0}});
    let part = |queries: std::ops::Range<usize>| {
        let rows = queries.start * PER_QUERY..queries.end * PER_QUERY;
        let names: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|it| (it / PER_QUERY) as i64)));
        let hands: Vec<&str> =
            rows.clone().map(|it| if (it / PER_QUERY).is_multiple_of(2) { "left" } else { "right" }).collect();
        let table = Table::default().with("q", &[Use::Feature], names).labels(&relevance[rows.clone()]);
        run(&options, &table.candidate(&scores[rows], 1).slice("hand", &hands))
    };
    let whole = part(0..n_queries);
    // Halves are within the budget, and each metric is a mean over their queries.
    let halves = [part(0..n_queries / 2), part(n_queries / 2..n_queries)];
    for slice in [None, Some("hand=left"), Some("hand=right")] {
        for (name, k) in [("ndcg", None), ("ndcg", Some("3")), ("map", None), ("mrr", None), ("hit_rate", Some("3"))] {
            let labels: Vec<(&str, &str)> =
                k.map(|it| ("k", it)).into_iter().chain(slice.map(|it| ("slice", it))).collect();
            let of_halves = halves.each_ref().map(|it| of(it, MetricRole::Candidate, name, &labels));
            assert!(of_halves.iter().all(|it| it.bounds.is_none()));
            let rows = of_halves.iter().map(|it| it.n as f64).sum::<f64>();
            let exact = of_halves.iter().map(|it| it.n as f64 * it.value).sum::<f64>() / rows;
            check(of(&whole, MetricRole::Candidate, name, &labels), exact, 0.02);
        }
    }
    says_so(&whole, "ndcg[k=3]");
    let worst = whole.metrics.iter().find(|it| it.name == "map" && it.labels.contains_key("worst_slice")).unwrap();
    let exact = ["hand=left", "hand=right"].map(|slice| {
        let parts = halves.each_ref().map(|it| of(it, MetricRole::Candidate, "map", &[("slice", slice)]));
        parts.iter().map(|it| it.n as f64 * it.value).sum::<f64>() / parts.iter().map(|it| it.n as f64).sum::<f64>()
    });
    check(worst, exact[0].min(exact[1]), 0.02);
}

#[test]
fn detections_are_within_what_their_sample_can_be_off_by() {
    let n = 14_000;
    let (found, shifts) = (random(2 * n, 5), random(2 * n, 6));
    let objects: Vec<f64> = (0..n).flat_map(|it| [0.0, 0.0, 10.0, 10.0, (it % 2) as f64]).collect();
    let padded = |slots: usize| -> ArrayRef {
        let row = |it: usize| {
            let mut row = vec![-1.0; 6 * slots];
            for nth in 0..2 {
                let (score, shift) = (found[2 * it + nth], 4.0 * shifts[2 * it + nth].powi(3));
                row[6 * nth..6 * nth + 6].copy_from_slice(&[shift, 0.0, 10.0 + shift, 10.0, score, (it % 2) as f64]);
            }
            row
        };
        scored(&(0..n).flat_map(row).collect::<Vec<f64>>(), 6 * slots)
    };
    let run = |slots: usize| {
        let table = Table::default().with("y", &[Use::Label], scored(&objects, 5));
        let table = table.with("candidate:out", &[Use::Candidate], padded(slots));
        run(&json!({"task": "detection", "classes": ["a", "b"], "intervals": {"replicates": 0}}), &table)
    };
    // Wider rows of the same detections are beyond the budget.
    let (exact, sampled) = (run(2), run(200));
    for (name, labels) in [("map", &[][..]), ("map", &[("iou", "0.75")]), ("mar", &[]), ("ap", &[("class", "b")])] {
        let exact = value(&exact, name, labels);
        check(of(&sampled, MetricRole::Candidate, name, labels), exact, 0.2);
    }
    says_so(&sampled, "map[iou=0.75]");
}

#[test]
fn sets_of_labels_are_within_what_their_sample_can_be_off_by() {
    let n = 150_000;
    let truth: Vec<f64> = random(2 * n, 1).iter().map(|it| f64::from(u8::from(*it < 0.3))).collect();
    let noise = random(2 * n, 2);
    let scores: Vec<f64> = truth.iter().zip(&noise).map(|(label, it)| 0.7 * it + 0.3 * label).collect();
    let table = Table::default().with("y", &[Use::Label], scored(&truth, 2)).candidate(&scores, 2);
    let report = run(&json!({"task": "multi-label", "intervals": {"replicates": 0}}), &table);
    let of_class = |class: usize| area_of((0..n).map(|row| (truth[2 * row + class] == 1.0, scores[2 * row + class])));
    let exact = [0, 1].map(of_class);
    check(of(&report, MetricRole::Candidate, "roc_auc", &[("class", "1")]), exact[1], 0.03);
    check(of(&report, MetricRole::Candidate, "roc_auc", &[("average", "macro")]), (exact[0] + exact[1]) / 2.0, 0.03);
    let together = area_of(truth.iter().zip(&scores).map(|(&label, &score)| (label == 1.0, score)));
    check(of(&report, MetricRole::Candidate, "roc_auc", &[("average", "micro")]), together, 0.03);
    says_so(&report, "average_precision[average=weighted]");
    // What is of sums stays exact.
    assert!(of(&report, MetricRole::Candidate, "average_precision", &[("average", "samples")]).bounds.is_none());
}
