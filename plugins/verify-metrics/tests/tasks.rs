//! Tasks of texts, rankings, label sets and pixels: values, invariance and what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_sdk::{
    Kind, Role,
    arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray, types::Int64Type},
    report::{MetricRole, Severity, Status},
    rows::Use,
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};

use common::{Table, codes, find, open, random, run, run_cut, scored, try_run, value};

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn spoken(labels: &[Option<&str>], candidate: &[Option<&str>]) -> Table {
    Table::default().with("text", &[Use::Label], texts(labels)).with(
        "candidate:text",
        &[Use::Candidate],
        texts(candidate),
    )
}

#[test]
fn error_rates_are_edits_over_all_labels() {
    let labels = [Some("the cat sat"), Some("on the mat"), None];
    let table = spoken(&labels, &[Some("the cat sat"), Some("on that mat"), Some("left out")]);
    let report = run(&json!({"task": "sequences"}), &table);
    assert_eq!(value(&report, "exact_match", &[]), 0.5);
    // `the` → `that`: one substitution and one insertion among 21 characters, one word of six.
    assert_eq!(value(&report, "edit_distance", &[]), 1.0);
    assert!((value(&report, "cer", &[]) - 2.0 / 21.0).abs() < 1e-15);
    assert!((value(&report, "wer", &[]) - 1.0 / 6.0).abs() < 1e-15);
    assert!(report.gaps.iter().any(|it| it.what == "1 of 3 rows"), "{:?}", report.gaps);
    let empty = run(&json!({"task": "sequences"}), &spoken(&[Some("")], &[Some("a")]));
    assert!(value(&empty, "cer", &[]).is_nan() && value(&empty, "wer", &[]).is_nan());
}

#[test]
fn a_missing_prediction_leaves_nothing_defined() {
    let report = run(&json!({"task": "sequences"}), &spoken(&[Some("a"), Some("b")], &[Some("a"), None]));
    assert!(report.metrics.iter().all(|it| it.value.is_nan()));
    assert_eq!(codes(&report), ["MW-M001"]);
    let labels = scored(&[1.0, 0.0, 0.0, 1.0], 2);
    let table = Table::default().with("y", &[Use::Label], labels).candidate(&[0.9, f64::NAN, 0.1, 0.8], 2);
    let report = run(&json!({"task": "multi-label"}), &table);
    assert!(report.metrics.len() > 10 && report.metrics.iter().all(|it| it.value.is_nan()));
}

/// Where the candidate has no prediction the baseline's tells the labels.
#[test]
fn labels_are_there_without_a_prediction_of_the_candidate() {
    let scores = [0.9, 0.2, 0.3, 0.6, 0.4, 0.8, 0.5, 0.7];
    let mut broken = scores;
    broken[0] = f64::NAN;
    let area = |candidate: &[f64], average: &str| {
        let labels = scored(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], 2);
        let table = Table::default().with("y", &[Use::Label], labels).candidate(candidate, 2).baseline(&scores, 2);
        let report = run(&json!({"task": "multi-label"}), &table);
        find(&report, MetricRole::Baseline, "roc_auc", &[("average", average)]).unwrap().value
    };
    assert_eq!(area(&scores, "macro"), (0.75 + 0.75) / 2.0);
    for average in ["macro", "micro", "weighted"] {
        assert_eq!(area(&broken, average), area(&scores, average), "{average}");
    }
}

fn ranked(n: usize, seed: u64) -> Table {
    let (noise, other) = (random(n, seed), random(n, seed + 1));
    let relevance: Vec<i64> =
        random(n, seed + 2).iter().map(|it| (it * 6.0 - 3.0) as i64).map(|it| it.max(0)).collect();
    let of =
        |noise: &[f64]| relevance.iter().zip(noise).map(|(&it, noise)| it as f64 + 3.0 * noise).collect::<Vec<_>>();
    let queries: Vec<i64> = (0..n as i64).map(|it| it * 7 % (n as i64 / 5)).collect();
    let hands: Vec<&str> = queries.iter().map(|it| if it % 3 == 0 { "left" } else { "right" }).collect();
    Table::default()
        .with("q", &[Use::Feature], Arc::new(Int64Array::from(queries)))
        .labels(&relevance)
        .slice("hand", &hands)
        .candidate(&of(&noise), 1)
        .baseline(&of(&other), 1)
}

/// Runs the suite that every probe must pass.
fn conforms(options: &Value, table: &Table) {
    let open = || verify_metrics::registry().open_probe(Kind::Verifier, "metrics", options);
    testing::probe(&ProbeCase {
        open: &open,
        rows: vec![(Role::Current, table.batch())],
        tensors: Vec::new(),
        codes: verify_metrics::registry().manifest().codes(modelwatch_sdk::Kind::Verifier, "metrics"),
    });
}

#[test]
fn classes_and_numbers_conform_with_weights_and_a_baseline() {
    let n = 60;
    let weights = || -> ArrayRef { Arc::new(Float64Array::from(random(n, 4))) };
    let hands: Vec<&str> = (0..n).map(|it| if it % 3 == 0 { "left" } else { "right" }).collect();
    let labels: Vec<i64> = random(n, 1).iter().map(|it| (it * 3.0) as i64).collect();
    let dress = |table: Table, width: usize| {
        let table = table.candidate(&random(n * width, 2), width).baseline(&random(n * width, 3), width);
        table.slice("hand", &hands).with("w", &[Use::Weight], weights())
    };
    conforms(&json!({"task": "multiclass", "scores": "logits"}), &dress(Table::default().labels(&labels), 3));
    let labels: Vec<i64> = labels.iter().map(|it| it % 2).collect();
    let options = json!({"task": "binary", "at_recall": [0.5], "slice_bins": {}, "intervals": {"method": "jackknife"}});
    conforms(&options, &dress(Table::default().labels(&labels), 1));
    let options = json!({"task": "regression", "pinball_quantiles": [0.5], "error_quantiles": [0.9]});
    conforms(&options, &dress(Table::default().numbers(&random(n, 5)), 1));
}

#[test]
fn tasks_depend_neither_on_batches_nor_on_partitions() {
    let n = 60;
    let bits = |seed: u64, threshold: f64| {
        random(3 * n, seed).iter().map(|&it| f64::from(u8::from(it < threshold))).collect::<Vec<_>>()
    };
    let words = ["a b", "a c", "b", "a b c"];
    let said = |seed: u64| random(n, seed).iter().map(|it| Some(words[(it * 4.0) as usize])).collect::<Vec<_>>();
    let hands: Vec<&str> = (0..n).map(|it| if it % 3 == 0 { "left" } else { "right" }).collect();
    let tables = [
        (json!({"task": "ranking", "query": "q"}), ranked(200, 3)),
        (
            json!({"task": "multi-label"}),
            Table::default()
                .with("y", &[Use::Label], scored(&bits(1, 0.5), 3))
                .candidate(&bits(2, 0.5), 3)
                .slice("hand", &hands),
        ),
        (json!({"task": "sequences"}), spoken(&said(5), &said(6)).slice("hand", &hands)),
        (
            json!({"task": "segmentation", "classes": ["0", "1"]}),
            Table::default()
                .with("y", &[Use::Label], scored(&bits(1, 0.5), 3))
                .candidate(&bits(2, 0.4), 3)
                .slice("hand", &hands),
        ),
    ];
    let (objects, found): (Vec<f64>, Vec<f64>) = (random(5 * n, 8), random(12 * n, 9));
    let boxes = |numbers: &[f64], width: usize| -> Vec<f64> {
        let of = |it: &[f64]| {
            let mut res = vec![it[0], it[1], it[0] + 0.5 + it[2] / 2.0, it[1] + 0.5 + it[3] / 2.0];
            res.extend((width == 6).then(|| (it[4] * 4.0).floor()));
            res.push((it[width - 1] * 2.0).floor());
            res
        };
        numbers.chunks(width).flat_map(of).collect()
    };
    let images = Table::default()
        .with("objects", &[Use::Label], scored(&boxes(&objects, 5), 5))
        .candidate(&boxes(&found, 6), 12)
        .slice("hand", &hands);
    let options = json!({"task": "detection", "classes": ["a", "b"]});
    conforms(&options, &images);
    let whole = run(&options, &images);
    assert!((1e-4..0.9).contains(&value(&whole, "map", &[])));
    assert!(find(&whole, MetricRole::Candidate, "map", &[]).unwrap().interval.is_some());
    let of_slice = find(&whole, MetricRole::Candidate, "map", &[("slice", "hand=left")]).unwrap();
    assert!(
        of_slice.n == 20 && of_slice.interval.is_some_and(|it| it.low <= of_slice.value && of_slice.value <= it.high)
    );
    let cut = run_cut(&options, &images.batch(), 5, 3);
    assert_eq!(serde_json::to_string(&cut).unwrap(), serde_json::to_string(&whole).unwrap());
    for (options, table) in tables {
        conforms(&options, &table);
        let report = run(&options, &table);
        let whole = serde_json::to_string(&report).unwrap();
        assert!(report.metrics.iter().any(|it| it.interval.is_some()), "{options}");
        assert!(report.metrics.iter().any(|it| it.labels.contains_key("slice")), "{options}");
        for (partitions, step) in [(1, 1), (3, 1000), (5, 3)] {
            let cut = run_cut(&options, &table.batch(), partitions, step);
            assert_eq!(
                serde_json::to_string(&cut).unwrap(),
                whole,
                "{options}, {partitions} partitions, batches of {step}"
            );
        }
        let mut probe = open(&options);
        probe.update(&(), Role::Current, &table.batch()).unwrap();
        let state = probe.state().unwrap();
        for cut in [0, 1, 5, 40, state.len() - 1, state.len() - 8] {
            assert!(open(&options).merge(&state[..cut]).is_err(), "{options} {cut}");
        }
    }
}

#[test]
fn a_ranking_is_compared_query_by_query() {
    let report = run(&json!({"task": "ranking", "query": "q", "at_k": [3]}), &ranked(1000, 9));
    for (name, labels) in
        [("ndcg", &[][..]), ("ndcg", &[("k", "3")]), ("map", &[]), ("mrr", &[]), ("hit_rate", &[("k", "3")])]
    {
        let of = |role| find(&report, role, name, labels).unwrap();
        let (candidate, difference) = (of(MetricRole::Candidate), of(MetricRole::Difference));
        // 18 queries have no relevant document.
        assert_eq!(candidate.n, if name == "ndcg" { 200 } else { 182 });
        assert_eq!(difference.value, candidate.value - of(MetricRole::Baseline).value);
        let interval = candidate.interval.unwrap_or_else(|| panic!("{candidate:?}"));
        let is_inside =
            interval.low <= candidate.value && candidate.value <= interval.high && interval.low < interval.high;
        assert!(is_inside && difference.interval.is_some(), "{name} {labels:?} {interval:?}");
    }
    let slice = find(&report, MetricRole::Candidate, "ndcg", &[("slice", "hand=left")]).unwrap();
    assert_eq!(slice.n, 67);
}

#[test]
fn queries_without_an_order_or_a_hit_are_named() {
    let table = Table::default()
        .with("q", &[Use::Feature], texts(&[Some("a"), Some("b"), Some("b"), Some("c"), Some("c")]))
        .labels(&[1, 0, 0, 1, 0])
        .candidate(&[0.5, 0.5, 0.4, 0.9, 0.1], 1);
    let report = run(&json!({"task": "ranking", "query": "q"}), &table);
    // Query b has no hit: 0 for the NDCG, as in scikit-learn, and no say in the others.
    assert_eq!((value(&report, "ndcg", &[]), value(&report, "map", &[])), (0.5, 1.0));
    let gaps: Vec<&str> = report.gaps.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(gaps, ["1 query", "map, mrr and hit_rate of 1 query"]);
}

#[test]
fn input_that_does_not_fit_a_task_is_refused() {
    let check = |options: Value, table: Table, words: &str| {
        let error = try_run(&options, &table).unwrap_err();
        assert!(error.message.contains(words), "{options}: {error}");
    };
    let pair = |labels: &[f64], scores: &[f64], widths: [usize; 2]| {
        Table::default().with("y", &[Use::Label], scored(labels, widths[0])).candidate(scores, widths[1])
    };
    check(json!({"task": "multi-label"}), pair(&[1.0, 2.0], &[0.1, 0.2], [2, 2]), "is 2, expected 0 or 1");
    check(
        json!({"task": "multi-label"}),
        pair(&[1.0, 0.0, 1.0], &[0.1, 0.2], [3, 2]),
        "3 values per row and the output 2",
    );
    check(json!({"task": "segmentation", "classes": ["a", "b"]}), pair(&[1.0, 2.0], &[0.0, 1.0], [2, 2]), "label is 2");
    check(
        json!({"task": "segmentation", "classes": ["a", "b"]}),
        pair(&[1.0, 0.0], &[0.0, 0.5], [2, 2]),
        "prediction is 0.5",
    );
    check(json!({"task": "segmentation"}), pair(&[1.0, 0.0], &[0.0, 1.0], [2, 2]), "how many classes");
    let boxes = json!({"task": "detection", "classes": ["a"]});
    check(boxes.clone(), pair(&[0.0; 5], &[0.0; 5], [5, 5]), "expected 6 for each");
    check(boxes.clone(), pair(&[0.0; 6], &[0.0; 6], [6, 6]), "expected 5 for each object");
    check(boxes, pair(&[0.0, 0.0, 1.0, 1.0, 3.0], &[0.0; 6], [5, 6]), "class of an object is 3");
    check(json!({"task": "ranking", "query": "nope"}), ranked(20, 1), "no column `nope`");
    let negative = Table::default().with("q", &[Use::Feature], texts(&[Some("a")])).labels(&[-1]).candidate(&[0.5], 1);
    check(json!({"task": "ranking", "query": "q"}), negative, "a relevance is -1");
}

/// Two objects of one class and as many detections, the second of which is off by `shift`.
fn detected(shift: f64, score: f64) -> Table {
    let objects = [0.0, 0.0, 10.0, 10.0, 0.0, 20.0, 0.0, 30.0, 10.0, 0.0];
    let found = [0.0, 0.0, 10.0, 10.0, 0.9, 0.0, 20.0 + shift, 0.0, 30.0 + shift, 10.0, score, 0.0];
    Table::default().with("objects", &[Use::Label], scored(&objects, 10)).candidate(&found, 12)
}

#[test]
fn boxes_are_found_up_to_a_threshold() {
    let options = json!({"task": "detection", "classes": ["cat", "dog"], "intervals": {"replicates": 0}});
    let report = run(&options, &detected(0.0, 0.8));
    assert_eq!((value(&report, "map", &[]), value(&report, "mar", &[])), (1.0, 1.0));
    assert!(value(&report, "ap", &[("class", "dog")]).is_nan());
    // An overlap of 8/12: found at 0.50 to 0.65, and half of the objects beyond.
    let report = run(&options, &detected(2.0, 0.8));
    assert_eq!(value(&report, "map", &[("iou", "0.5")]), 1.0);
    assert!((value(&report, "map", &[("iou", "0.75")]) - 51.0 / 101.0).abs() < 1e-12);
    assert!((value(&report, "map", &[]) - (4.0 + 6.0 * 51.0 / 101.0) / 10.0).abs() < 1e-12);
    let report = run(&options, &detected(0.0, f64::NAN));
    assert!(value(&report, "map", &[]).is_nan());
    assert_eq!(codes(&report), ["MW-M001"]);
}

/// As COCO defines them over the images of a slice alone.
#[test]
fn boxes_are_found_in_slices_and_in_classes_of_these() {
    let options = json!({"task": "detection", "classes": ["cat", "dog"], "min_slice_size": 10});
    let (n, mut objects, mut found, mut days) = (60, Vec::new(), Vec::new(), Vec::new());
    let noise = random(2 * n, 12);
    for row in 0..n {
        let class = f64::from(u8::from(row % 2 == 1));
        let is_night = row % 3 == 0;
        objects.extend([0.0, 0.0, 10.0, 10.0, class]);
        // At night dogs are found at half of the thresholds or not at all.
        let shift = if is_night && class > 0.5 { 3.0 * noise[row] } else { 0.5 * noise[row] };
        found.extend([0.0, shift, 10.0, 10.0 + shift, noise[n + row], class]);
        days.push(if is_night { "night" } else { "day" });
    }
    let better: Vec<f64> = found.chunks(6).flat_map(|it| [it[0], 0.0, it[2], 10.0, it[4], it[5]]).collect();
    let of = |rows: &dyn Fn(usize) -> bool, is_sliced: bool| {
        let rows: Vec<usize> = (0..n).filter(|it| rows(*it)).collect();
        let picked = |from: &[f64], width: usize| -> Vec<f64> {
            rows.iter().flat_map(|it| from[it * width..(it + 1) * width].to_vec()).collect()
        };
        let labels = scored(&picked(&objects, 5), 5);
        let table = Table::default().with("objects", &[Use::Label], labels);
        let table = table.candidate(&picked(&found, 6), 6).baseline(&picked(&better, 6), 6);
        let days: Vec<&str> = rows.iter().map(|it| days[*it]).collect();
        run(&options, &if is_sliced { table.slice("light", &days) } else { table })
    };
    let report = of(&|_| true, true);
    let night = of(&|it| it % 3 == 0, false);
    for (name, label) in [("map", None), ("map", Some(("iou", "0.75"))), ("mar", None), ("ap", Some(("class", "dog")))]
    {
        let alone: Vec<_> = label.into_iter().collect();
        let labels: Vec<_> = label.into_iter().chain([("slice", "light=night")]).collect();
        for role in [MetricRole::Candidate, MetricRole::Baseline, MetricRole::Difference] {
            let it = find(&report, role, name, &labels).unwrap();
            let expected = find(&night, role, name, &alone).unwrap();
            assert_eq!((it.value, it.n), (expected.value, 20), "{name} {labels:?} {role:?}");
            let within = it.interval.is_some_and(|of| of.low <= it.value && it.value <= of.high && of.low < of.high);
            assert_eq!(within, expected.interval.is_some(), "{name} {labels:?} {role:?}: {it:?} {expected:?}");
        }
    }
    let ap = |light: &str| find(&report, MetricRole::Candidate, "ap", &[("class", "dog"), ("slice", light)]).unwrap();
    assert!(ap("light=night").value < ap("light=day").value - 0.1);
    assert!(ap("light=night").interval.is_some());
    // Of a class that no image of a slice has, nothing is known.
    let cats = of(&|it| it % 3 != 0 || it % 2 == 0, true);
    let it = find(&cats, MetricRole::Candidate, "ap", &[("class", "dog"), ("slice", "light=night")]).unwrap();
    assert!(it.value.is_nan() && it.unfit.as_deref() == Some("none of its objects is of class `dog`"), "{it:?}");
}

#[test]
fn objects_that_a_model_gave_nothing_usable_for_are_there() {
    let n = 60;
    let objects = [0.0, 0.0, 10.0, 10.0, 0.0].repeat(n);
    let found = [0.0, 0.0, 10.0, 9.0, 0.8, 0.0].repeat(n);
    let broken: Vec<f64> = (0..6 * n).map(|it| if it / 6 % 3 == 0 { f64::INFINITY } else { found[it] }).collect();
    let table = Table::default().with("objects", &[Use::Label], scored(&objects, 5));
    let days: Vec<&str> = (0..n).map(|it| if it % 3 == 0 { "night" } else { "day" }).collect();
    let table = table.candidate(&broken, 6).baseline(&found, 6).slice("light", &days);
    let report = run(&json!({"task": "detection", "classes": ["cat"], "min_slice_size": 10}), &table);
    let ap = |role| find(&report, role, "ap", &[("class", "cat"), ("slice", "light=night")]).unwrap();
    let (candidate, baseline) = (ap(MetricRole::Candidate), ap(MetricRole::Baseline));
    assert!(candidate.value.is_nan() && candidate.unfit.is_none(), "{candidate:?}");
    assert!(baseline.value > 0.5 && baseline.unfit.is_none(), "{baseline:?}");
}

#[test]
fn beyond_the_budget_a_slice_lacks_objects_in_its_kept_rows() {
    let n = 200_000;
    let noise = random(n, 3);
    let objects: Vec<f64> = (0..n).flat_map(|it| [0.0, 0.0, 10.0, 10.0, f64::from(u8::from(it == 7))]).collect();
    let found: Vec<f64> = noise.iter().flat_map(|it| [0.0, 0.0, 10.0, 10.0 - it, *it, 0.0]).collect();
    let table = Table::default().with("objects", &[Use::Label], scored(&objects, 5)).candidate(&found, 6);
    let options =
        json!({"task": "detection", "classes": ["cat", "dog"], "metrics": ["ap"], "intervals": {"replicates": 0}});
    let report = run(&options, &table.slice("light", &["day"].repeat(n)));
    let of = |class: &str| find(&report, MetricRole::Candidate, "ap", &[("class", class), ("slice", "light=day")]);
    let it = of("dog").unwrap();
    let expected = "none of the objects in the rows that are kept of it is of class `dog`";
    assert!(it.n < n as u64 && it.unfit.as_deref() == Some(expected), "{it:?}");
    assert!(of("cat").unwrap().unfit.is_none());
}

#[test]
fn objects_that_are_no_boxes_are_refused() {
    let options = json!({"task": "detection", "classes": ["a"]});
    let found = [0.0, 0.0, 10.0, 10.0, 0.9, 0.0];
    let of = |object: [f64; 5]| {
        try_run(&options, &Table::default().with("y", &[Use::Label], scored(&object, 5)).candidate(&found, 6))
    };
    for (object, words) in [
        // A box of 5 by 4 at (10, 20), written as x, y, width, height.
        ([10.0, 20.0, 5.0, 4.0, 0.0], "from (10, 20) to (5, 4), which is no box"),
        ([0.0, 10.0, 10.0, 0.0, 0.0], "which is no box"),
        ([0.0, 0.0, f64::INFINITY, 10.0, 0.0], "which is not finite"),
    ] {
        let error = of(object).unwrap_err();
        assert!(error.message.contains(words) && error.help.contains("`x, y, width, height`"), "{object:?}");
    }
    // One of no area is an object that nothing finds.
    assert!(of([0.0, 0.0, 0.0, 10.0, 0.0]).is_ok());
    // Padding may hold anything.
    assert!(of([5.0, 5.0, 0.0, 0.0, -1.0]).is_ok());
}

#[test]
fn detections_that_are_no_boxes_are_counted() {
    let options = json!({"task": "detection", "classes": ["cat", "dog"], "intervals": {"replicates": 0}});
    let objects: Vec<f64> = [0.0, 0.0, 10.0, 10.0, 0.0].repeat(40);
    let of = |n_inverted: usize| {
        let found = (0..40).flat_map(|it| {
            let [near, far] = if it < n_inverted { [10.0, 0.0] } else { [0.0, 10.0] };
            // The second one has no area, as padding does.
            [near, 0.0, far, 10.0, 0.9, 0.0, 3.0, 3.0, 3.0, 3.0, 0.0, 1.0]
        });
        let found: Vec<f64> = found.collect();
        run(&options, &Table::default().with("objects", &[Use::Label], scored(&objects, 5)).candidate(&found, 12))
    };
    assert_eq!(codes(&of(0)), [""; 0]);
    let report = of(20);
    assert_eq!(codes(&report), ["MW-M010"]);
    let finding = &report.findings[0];
    assert_eq!((finding.severity, &finding.evidence["inverted"]), (Severity::Error, &json!(20.0)));
    assert!(finding.message.starts_with("20 of 80 detections of the candidate end before they begin"), "{finding:?}");
}

#[test]
fn one_answer_to_everything_is_a_finding() {
    let check = |options: Value, (labels, width): (&[f64], usize), (scores, n_scores): (&[f64], usize), words: &str| {
        let table = Table::default().with("y", &[Use::Label], scored(labels, width)).candidate(scores, n_scores);
        let report = run(&options, &table);
        match words {
            "" => assert_eq!(codes(&report), [""; 0], "{:?}", report.findings),
            words => {
                assert_eq!(codes(&report), ["MW-M006"], "{options}");
                assert!(report.findings[0].message.contains(words), "{:?}", report.findings);
                assert_eq!(report.findings[0].severity, Severity::Error);
            }
        }
    };
    // One row in 50 has the first label, and every second one the second.
    let labels: Vec<f64> = (0..100).flat_map(|it| [f64::from(u8::from(it % 50 == 0)), f64::from(it % 2)]).collect();
    let multi_label = || json!({"task": "multi-label", "intervals": {"replicates": 0}});
    check(multi_label(), (&labels, 2), (&[0.1; 200], 2), "next to no label is predicted: 0, while there are 52");
    check(multi_label(), (&labels, 2), (&[0.1, 0.9].repeat(100), 2), "as `1` for 100.0 %, which 50.0 % have");
    check(multi_label(), (&labels, 2), (&labels, 2), "");
    // Three of a hundred pixels are no background.
    let pixels: Vec<f64> = (0..400).map(|it| f64::from(u8::from(it % 100 < 3))).collect();
    let segmentation =
        || json!({"task": "segmentation", "classes": ["ground", "road"], "intervals": {"replicates": 0}});
    check(segmentation(), (&pixels, 10), (&[0.0; 400], 10), "`ground` is predicted for 100.0 % of the pixels");
    check(segmentation(), (&pixels, 10), (&pixels, 10), "");
    let nothing = [0.0, 0.0, 0.0, 0.0, 0.0, -1.0].repeat(40);
    let objects = [0.0, 0.0, 10.0, 10.0, 0.0].repeat(40);
    let detection = json!({"task": "detection", "classes": ["cat"], "intervals": {"replicates": 0}});
    check(detection, (&objects, 5), (&nothing, 6), "nothing is detected, while there are 40 objects");
}

#[test]
fn an_expected_slice_of_a_task_is_checked() {
    let options = json!({"task": "sequences", "expect_slices": ["hand=both"]});
    let report = run(&options, &spoken(&[Some("a")], &[Some("a")]).slice("hand", &["left"]));
    assert_eq!((report.checks[0].metric.as_str(), report.checks[0].status), ("exact_match", Status::NotChecked));
}

#[test]
fn queries_that_a_metric_leaves_out_are_not_counted() {
    let queries: Vec<String> = (0..32).map(|it| format!("q{}", it / 2)).collect();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    // One query of 16 has a relevant document.
    let labels: Vec<f64> = (0..32).map(|it| f64::from(u8::from(it == 0))).collect();
    let scores = random(32, 3);
    let options = json!({"task": "ranking", "query": "query"});
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values((0..32).map(|it| 1.0 + f64::from(it / 2))));
    let table = Table::default().numbers(&labels).candidate(&scores, 1);
    let table = table.with("query", &[], Arc::new(StringArray::from(queries)));
    for table in [table.clone(), table.with("w", &[Use::Weight], weights)] {
        let report = run(&options, &table);
        let n = |name: &str, labels: &[(&str, &str)]| {
            let metric = find(&report, MetricRole::Candidate, name, labels).unwrap();
            metric.n
        };
        assert_eq!((n("map", &[]), n("mrr", &[]), n("hit_rate", &[("k", "1")]), n("ndcg", &[])), (1, 1, 1, 16));
    }
}

/// As those of several classes are: a threshold of 0.5 would be held against the logits.
#[test]
fn scores_of_label_sets_are_read_alike_in_all_rows() {
    let labels = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let of = |how: &str, scores: &[f64]| {
        let table = Table::default().with("y", &[Use::Label], scored(&labels, 2)).candidate(scores, 2);
        try_run(&json!({"task": "multi-label", "scores": how}), &table)
    };
    // Each is on the right side of 0, and two that are labels are below 0.5.
    let logits = [0.3, -2.0, -1.5, 4.0, 2.0, 0.2];
    for how in ["auto", "logits"] {
        assert_eq!(value(&of(how, &logits).unwrap(), "subset_accuracy", &[]), 1.0, "{how}");
    }
    let report = of("probabilities", &logits).unwrap();
    assert!((value(&report, "subset_accuracy", &[]) - 1.0 / 3.0).abs() < 1e-12);
    let report = of("auto", &[0.9, 0.2, 0.1, 0.6, 0.7, 0.8]).unwrap();
    assert_eq!(value(&report, "subset_accuracy", &[]), 1.0);
    let error = of("auto", &[0.3, 0.2, -1.5, 4.0, 2.0, 1.2]).unwrap_err();
    assert_eq!(error.path, "/scores");
    assert!(error.message.starts_with("in 2 of 3 rows the scores of `out` are not between 0 and 1"), "{error}");
}

#[test]
fn labels_in_lists_of_one_length_are_read() {
    let of = |rows: Vec<Option<Vec<Option<i64>>>>| {
        let labels: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
        let table = Table::default().with("tags", &[Use::Label], labels).candidate(&[0.9, 0.2, 0.1, 0.6, 0.7, 0.8], 2);
        try_run(&json!({"task": "multi-label"}), &table)
    };
    let list = |it: &[i64]| Some(it.iter().copied().map(Some).collect());
    let report = of(vec![list(&[1, 0]), None, list(&[1, 1])]).unwrap();
    assert_eq!(value(&report, "subset_accuracy", &[]), 1.0);
    assert!(report.gaps.iter().any(|it| it.what == "1 of 3 rows"), "{:?}", report.gaps);
    let error = of(vec![list(&[1, 0]), list(&[1]), list(&[1, 1])]).unwrap_err();
    assert!(
        error.message.contains("the label `tags`") && error.message.contains("lists of lengths 1 and 2"),
        "{error}"
    );
    assert!(error.help.contains("pad or cut them"), "{error}");
}

#[test]
fn images_without_labels_do_not_say_how_many_classes_there_are() {
    let of = |labels: &[Option<[i64; 2]>]| {
        let lists = labels.iter().map(|it| it.map(|it| it.map(Some)));
        let labels: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let scores = random(6 * labels.len(), 4);
        Table::default().with("mask", &[Use::Label], labels).candidate(&scores, 6)
    };
    let options = json!({"task": "segmentation", "max_unlabeled_share": 0.9});
    let labels = [None, None, Some([0, 2]), None, Some([1, 1]), Some([2, 0]), None, None];
    let whole = run(&options, &of(&labels));
    assert!(value(&whole, "pixel_accuracy", &[]).is_finite() && whole.gaps.iter().any(|it| it.what == "5 of 8 rows"));
    assert!(find(&whole, MetricRole::Candidate, "iou", &[("class", "2")]).is_some());
    let whole = serde_json::to_string(&whole).unwrap();
    for (partitions, step) in [(1, 1), (4, 2), (8, 1), (2, 3)] {
        let cut = run_cut(&options, &of(&labels).batch(), partitions, step);
        assert_eq!(serde_json::to_string(&cut).unwrap(), whole, "{partitions} partitions, batches of {step}");
    }
    let none = run(&options, &of(&[None, None]));
    assert_eq!((none.metrics.len(), &*none.gaps[0].why), (0, "none of 2 rows has a usable label"));
}

#[test]
fn one_text_for_all_is_a_finding() {
    let report = |labels: &[&str], predicted: &[&str]| {
        let some = |it: &[&str]| (0..40).map(|at| it[at % it.len()].to_owned()).collect::<Vec<_>>();
        let (labels, predicted) = (some(labels), some(predicted));
        let [labels, predicted] = [&labels, &predicted].map(|it| it.iter().map(|it| Some(&**it)).collect::<Vec<_>>());
        let batch = spoken(&labels, &predicted).batch();
        let whole = run(&json!({"task": "sequences"}), &spoken(&labels, &predicted));
        let cut = run_cut(&json!({"task": "sequences"}), &batch, 5, 3);
        assert_eq!(codes(&whole), codes(&cut));
        whole
    };
    let found = report(&["a", "b"], &["a"]);
    assert_eq!(codes(&found), ["MW-M006"]);
    assert_eq!(found.findings[0].message, "one text is predicted, while the labels vary, in 40 rows");
    assert_eq!(codes(&report(&["a", "b"], &["a", "b"])), [""; 0]);
    assert_eq!(codes(&report(&["a"], &["a"])), [""; 0]);
}

#[test]
fn rankings_that_know_nothing_are_a_finding() {
    let queries: Vec<i64> = (0..200).map(|it| it / 5).collect();
    let labels: Vec<i64> = (0..200).map(|it| i64::from(it % 5 == it / 5 % 5)).collect();
    let of = |score: &dyn Fn(usize) -> f64| {
        let scores: Vec<f64> = (0..200).map(score).collect();
        let queries: ArrayRef = Arc::new(Int64Array::from(queries.clone()));
        let table = Table::default().with("q", &[Use::Feature], queries).labels(&labels).candidate(&scores, 1);
        run(&json!({"task": "ranking", "query": "q"}), &table)
    };
    // Each query has its own score.
    let constant = of(&|it| (it / 5) as f64);
    assert_eq!(codes(&constant), ["MW-M006"]);
    assert!(constant.findings[0].message.contains("equal scores"), "{:?}", constant.findings);
    let inverted = of(&|it| -(labels[it] as f64) + it as f64 / 1e4);
    assert_eq!(codes(&inverted), ["MW-M002"]);
    assert_eq!(inverted.findings[0].severity, Severity::Error);
    assert_eq!(codes(&of(&|it| labels[it] as f64 + it as f64 / 1e4)), [""; 0]);
}

#[test]
fn label_sets_are_held_against_what_knows_how_frequent_they_are() {
    // The set `a` is in 3 of 7 rows, and of each label most rows have: a, and neither b nor c.
    let labels = [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]];
    let flat: Vec<f64> = labels.iter().flatten().map(|it| f64::from(*it)).collect();
    let report = |scores: &[f64], weights: Option<[f64; 7]>| {
        let table = Table::default().with("y", &[Use::Label], scored(&flat, 3)).candidate(scores, 3);
        let weights = weights.map(|it| -> ArrayRef { Arc::new(Float64Array::from(it.to_vec())) });
        let table = weights.into_iter().fold(table, |table, it| table.with("w", &[Use::Weight], it));
        run(&json!({"task": "multi-label"}), &table)
    };
    let near = |report: &modelwatch_sdk::Report, metric: &str, expected: f64| {
        let found = value(report, "skill", &[("metric", metric)]);
        assert!((found - expected).abs() < 1e-12, "{metric}: {found}, not {expected}");
    };
    // What the trivial models say is no better than they are.
    let trivial = report(&[1.0, 0.0, 0.0].repeat(7), None);
    near(&trivial, "subset_accuracy", 0.0);
    near(&trivial, "hamming_loss", 0.0);
    let perfect = report(&flat, None);
    near(&perfect, "subset_accuracy", 1.0);
    near(&perfect, "hamming_loss", 1.0);
    // One label of 21 is wrong, where 3 + 3 + 1 are.
    let mut scores = flat.clone();
    scores[20] = 0.0;
    let one = report(&scores, None);
    near(&one, "subset_accuracy", (6.0 / 7.0 - 3.0 / 7.0) / (4.0 / 7.0));
    near(&one, "hamming_loss", 1.0 - 1.0 / 7.0);
    // With weights the set `b` is the most frequent one, in 6 of 11.
    let heavy = report(&scores, Some([1.0, 1.0, 1.0, 3.0, 3.0, 1.0, 1.0]));
    near(&heavy, "subset_accuracy", (10.0 / 11.0 - 6.0 / 11.0) / (5.0 / 11.0));
    near(&heavy, "hamming_loss", 1.0 - 1.0 / (4.0 + 4.0 + 1.0));
}

#[test]
fn one_set_of_labels_in_all_rows_leaves_no_skill_whatever_their_weights_sum_to() {
    let labels = [1.0, 0.0, 0.0].repeat(7);
    let weights: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]));
    for wrong in 0..7 {
        let mut scores = labels.clone();
        scores[3 * wrong] = 0.0;
        let table = Table::default().with("y", &[Use::Label], scored(&labels, 3)).candidate(&scores, 3);
        let report = run(&json!({"task": "multi-label"}), &table.with("w", &[Use::Weight], Arc::clone(&weights)));
        for metric in ["hamming_loss", "subset_accuracy"] {
            let found = value(&report, "skill", &[("metric", metric)]);
            assert!(found.is_nan(), "{metric}, row {wrong}: {found}");
        }
    }
}

#[test]
fn label_sets_by_chance_are_a_finding() {
    let bits = |seed: u64| random(1200, seed).iter().map(|it| f64::from(u8::from(*it < 0.3))).collect::<Vec<_>>();
    let of = |labels: &[f64], scores: &[f64]| {
        let table = Table::default().with("y", &[Use::Label], scored(labels, 3)).candidate(scores, 3);
        run(&json!({"task": "multi-label", "intervals": {"replicates": 0}}), &table)
    };
    let labels = bits(5);
    let found = of(&labels, &bits(6));
    assert_eq!(codes(&found), ["MW-M002"]);
    assert!(found.findings[0].message.contains("kappa of all labels is"), "{:?}", found.findings);
    assert_eq!(found.findings[0].severity, Severity::Error);
    let half: Vec<f64> =
        labels.iter().zip(bits(7)).enumerate().map(|(at, it)| if at % 2 == 0 { *it.0 } else { it.1 }).collect();
    assert_eq!(codes(&of(&labels, &half)), [""; 0]);
}
