//! Rows that count by their weights.

use std::{collections::BTreeMap, sync::Arc};

use modelwatch_sdk::{
    RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Float64Array, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{Random, alone, batch_of, codes, floats, gap, integers, open, overall, run, texts};

/// A row: a number, a name, a label and a weight.
#[derive(Clone, Copy)]
struct Row {
    x: Option<f64>,
    y: f64,
    name: &'static str,
    label: i64,
    weight: f64,
}

fn draw(seed: u64, n: usize, names: &[&'static str]) -> Vec<Row> {
    let mut random = Random(seed);
    let row = |_| {
        let y = random.uniform() - 0.3;
        let x = match (random.uniform() * 10.0) as usize {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(f64::INFINITY),
            3 => Some(0.0),
            _ => Some(y + 0.2 * random.uniform()),
        };
        let name = names[(random.uniform() * names.len() as f64) as usize];
        let label = i64::from(random.uniform() < 0.2 + y / 2.0);
        // The heavier, the greater.
        Row { x, y, name, label, weight: 1.0 + (3.0 * (y + 0.3) * random.uniform()).floor() }
    };
    (0..n).map(row).collect()
}

fn repeated(rows: &[Row]) -> Vec<Row> {
    rows.iter().flat_map(|it| vec![Row { weight: 1.0, ..*it }; it.weight as usize]).collect()
}

fn columns(rows: &[Row]) -> Vec<(&'static str, &'static [Use], ArrayRef)> {
    let x: ArrayRef = Arc::new(Float64Array::from_iter(rows.iter().map(|it| it.x)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|it| it.name)));
    vec![
        ("x", &[Use::Feature], x),
        ("y", &[Use::Feature], floats(rows.iter().map(|it| it.y))),
        ("name", &[Use::Feature, Use::Slice], names),
        ("label", &[Use::Label], integers(rows.iter().map(|it| it.label))),
    ]
}

fn alike(rows: &[Row]) -> RecordBatch {
    batch_of(columns(rows))
}

fn by_weight(rows: &[Row]) -> RecordBatch {
    let mut columns = columns(rows);
    columns.push(("w", &[Use::Weight], floats(rows.iter().map(|it| it.weight))));
    batch_of(columns)
}

/// What weights change.
const WEIGHTED: [&str; 14] = [
    "missing_share",
    "nan_share",
    "infinite_share",
    "zero_share",
    "negative_share",
    "out_of_bounds_share",
    "unseen_share",
    "unexpected_category_share",
    "pattern_mismatch_share",
    "class_share",
    "class_ratio",
    "label_pearson",
    "label_spearman",
    "label_cramers_v",
];

fn weighted(report: &Report) -> BTreeMap<String, f64> {
    let is_it = |name: &str| WEIGHTED.contains(&name) || name == "label_correlation_ratio";
    let of = report.metrics.iter().filter(|it| is_it(&it.name) && it.labels.get("column").is_none_or(|it| it != "w"));
    of.map(|it| (format!("{} {:?}", it.name, it.labels), it.value)).collect()
}

/// Sums of rows in another order end in other digits.
#[track_caller]
fn assert_same(found: &BTreeMap<String, f64>, expected: &BTreeMap<String, f64>) {
    assert!(found.keys().eq(expected.keys()), "{found:?}\n{expected:?}");
    for (name, it) in found {
        let expected = expected[name];
        assert!((it - expected).abs() < 1e-9 || it.is_nan() && expected.is_nan(), "{name}: {it}, {expected}");
    }
}

fn config() -> Value {
    json!({ "slices": ["name"], "columns": {
        "y": { "min": -0.2, "max": 0.5 }, "name": { "pattern": "[a-b]" }, "label": { "categories": ["0"] } } })
}

#[test]
fn whole_weights_give_the_shares_of_as_many_rows() {
    let (reference, current) = (draw(1, 900, &["a", "b"]), draw(2, 700, &["a", "b", "c"]));
    // Repeated rows are others, and are told as such: shares are the same.
    let found = weighted(&run(config(), &by_weight(&reference), &by_weight(&current)));
    let expected = weighted(&run(config(), &alike(&repeated(&reference)), &alike(&repeated(&current))));
    assert_same(&found, &expected);
    for name in WEIGHTED.iter().filter(|it| **it != "label_cramers_v") {
        assert!(found.keys().any(|it| it.starts_with(&format!("{name} "))), "{name}");
    }
    let unweighted = weighted(&run(config(), &alike(&reference), &alike(&current)));
    let change = |name: &str| (found[name] - unweighted[name]).abs();
    for name in
        [r#"negative_share {"column": "y"}"#, r#"class_share {"class": "1"}"#, r#"label_pearson {"column": "y"}"#]
    {
        assert!(change(name) > 1e-3, "{name}: {}", change(name));
    }
}

#[test]
fn equal_weights_change_nothing() {
    let (reference, current) = (draw(1, 900, &["a", "b"]), draw(2, 700, &["a", "b", "c"]));
    let weigh = |rows: &[Row]| by_weight(&rows.iter().map(|it| Row { weight: 2.5, ..*it }).collect::<Vec<_>>());
    let expected = run(config(), &alike(&reference), &alike(&current));
    let report = run(config(), &weigh(&reference), &weigh(&current));
    assert_same(&weighted(&report), &weighted(&expected));
    let of_others = |it: &Report| -> Vec<(String, String)> {
        it.findings
            .iter()
            .filter(|it| !it.place.starts_with('w'))
            .map(|it| (it.code.clone(), it.message.clone()))
            .collect()
    };
    assert_eq!(of_others(&report), of_others(&expected));
}

#[test]
fn missing_values_of_heavy_rows_are_many() {
    let rows = |heavy: f64| {
        let rows = (0..1000).map(|it| Row {
            x: (it % 100 > 1).then_some(f64::from(it % 7)),
            y: f64::from(it % 13),
            name: "a",
            label: i64::from(it % 2),
            weight: if it % 100 > 1 { 1.0 } else { heavy },
        });
        rows.collect::<Vec<_>>()
    };
    let is_missing = |weight: f64| {
        let report = run(json!({}), &by_weight(&rows(1.0)), &by_weight(&rows(weight)));
        codes(&report).contains(&("MW-Q010", "x"))
    };
    assert!(!is_missing(1.0) && !is_missing(1.5) && is_missing(20.0));
    // A few heavy rows say little of the rest: by Kish they are worth fewer, and chance is allowed more.
    let mut few = rows(1.0);
    few.iter_mut().filter(|it| it.x.is_none()).take(1).for_each(|it| it.weight = 30.0);
    let report = run(json!({}), &by_weight(&rows(1.0)), &by_weight(&few));
    assert!(!codes(&report).contains(&("MW-Q010", "x")), "{:?}", codes(&report));
}

#[test]
fn what_is_no_weight_counts_each_row_once() {
    let current = draw(2, 200, &["a", "b"]);
    let with = |weight: f64| {
        let mut rows = current.clone();
        rows[7].weight = weight;
        rows
    };
    // A row without a weight weighs nothing.
    let [missing, zero] = [f64::NAN, 0.0].map(|it| weighted(&alone(json!({}), &by_weight(&with(it)))));
    assert_same(&missing, &zero);
    for weight in [f64::INFINITY, -1.0, 1e9] {
        let rows = with(weight);
        let report = alone(json!({}), &by_weight(&rows));
        assert!(
            gap(&report, "row weights")
                .starts_with("every row counts once, as not all current rows have a weight in `w`")
        );
        assert_same(&weighted(&report), &weighted(&alone(json!({}), &alike(&current))));
    }
    let mut light = current.clone();
    light.iter_mut().for_each(|it| it.weight *= 1e-6);
    assert!(gap(&alone(json!({}), &by_weight(&light)), "row weights").contains("divide all by their mean"));
    let report = alone(json!({}), &by_weight(&with(1e-9)));
    assert!(gap(&report, "row weights, in part").contains("whatever its weight in `w`"));
    let report = alone(json!({}), &by_weight(&current));
    assert!(gap(&report, "row weights, in part").contains("whatever its weight in `w`"));
}

/// Returns rows of which so many are odd: they lack `x`, have a `name` of their own, and weigh 20 where the others weigh 1.
fn odd(n: usize, n_odd: usize, prefix: &str) -> [Vec<(&'static str, &'static [Use], ArrayRef)>; 2] {
    let is_odd = |row: usize| row.is_multiple_of(n / n_odd) && row / (n / n_odd) < n_odd;
    let x: ArrayRef = Arc::new(Float64Array::from_iter((0..n).map(|it| (!is_odd(it)).then_some((it % 7) as f64))));
    let name = (0..n).map(|it| if is_odd(it) { format!("{prefix}{it}") } else { "a".to_owned() });
    let weight = (0..n).map(|it| if is_odd(it) { 20.0 } else { 1.0 });
    let alike: Vec<(&str, &[Use], ArrayRef)> = vec![
        ("x", &[Use::Feature], x),
        ("name", &[Use::Feature], texts(name)),
        ("half", &[Use::Slice], texts((0..n).map(|it| if it * 2 < n { "first" } else { "second" }))),
    ];
    let mut weighed = alike.clone();
    weighed.push(("w", &[Use::Weight], floats(weight)));
    [alike, weighed]
}

/// Returns the batch with the weight that `of` makes of each row's.
fn reweighed(
    mut columns: Vec<(&'static str, &'static [Use], ArrayRef)>,
    of: impl Fn(usize, f64) -> f64,
) -> RecordBatch {
    let last = columns.last_mut().unwrap();
    let weights = last.2.as_any().downcast_ref::<Float64Array>().unwrap();
    last.2 = floats(weights.values().iter().enumerate().map(|(row, it)| of(row, *it)).collect::<Vec<_>>());
    batch_of(columns)
}

#[test]
fn a_role_whose_weights_cannot_be_used_makes_both_count_rows() {
    let config = || json!({ "slices": ["half"] });
    let ([reference, reference_weighed], [current, current_weighed]) = (odd(2000, 20, "r"), odd(2000, 20, "c"));
    let expected = run(config(), &batch_of(reference.clone()), &batch_of(current.clone()));
    let is_spoiled = |row, it| if row == 1 { -1.0 } else { it };
    let cases = [
        ("reference", batch_of(reference), batch_of(current_weighed.clone())),
        ("reference", reweighed(reference_weighed.clone(), is_spoiled), batch_of(current_weighed.clone())),
        ("reference", reweighed(reference_weighed.clone(), |_, _| 0.0), batch_of(current_weighed.clone())),
        ("current", batch_of(reference_weighed.clone()), batch_of(current)),
        ("current", batch_of(reference_weighed.clone()), reweighed(current_weighed.clone(), is_spoiled)),
        ("current", batch_of(reference_weighed), reweighed(current_weighed, |_, _| 0.0)),
    ];
    for (role, reference, current) in cases {
        let report = run(config(), &reference, &current);
        assert_same(&weighted(&report), &weighted(&expected));
        assert!(!codes(&report).iter().any(|it| it.0 == "MW-Q010" && !it.1.starts_with('w')), "{:?}", codes(&report));
        let why = gap(&report, "row weights");
        assert!(why.starts_with("every row counts once, as ") && why.contains(&format!("all {role} rows")), "{why}");
    }
}

#[test]
fn a_slice_that_weighs_nothing_is_not_judged() {
    let config = || json!({ "slices": ["half"] });
    let ([_, reference], [_, current]) = (odd(2000, 20, "r"), odd(2000, 20, "c"));
    let without = |columns: &[_]| reweighed(columns.to_vec(), |row, it| if row < 1000 { 0.0 } else { it });
    let judged = |report: &Report, half: &str| {
        let is_it = |it: &&modelwatch_sdk::report::Metric| it.labels.get("slice").is_some_and(|it| it == half);
        report.metrics.iter().filter(is_it).any(|it| it.name == "missing_share")
    };
    let report = run(config(), &batch_of(reference.clone()), &without(&current));
    let is_told = |report: &Report, why: &str| report.gaps.iter().any(|it| it.why.contains(why));
    assert!(is_told(&report, "its rows weigh nothing"), "{:?}", report.gaps);
    assert!(!judged(&report, "half=first") && judged(&report, "half=second"), "{:?}", report.metrics);
    let report = run(config(), &without(&reference), &batch_of(current));
    assert!(is_told(&report, "it is compared with rows that weigh nothing"), "{:?}", report.gaps);
    assert!(judged(&report, "half=first") && judged(&report, "half=second"), "{:?}", report.metrics);
}

#[test]
fn categories_that_are_always_new_are_no_news_however_heavy() {
    let ([_, reference], [_, current]) = (odd(2000, 20, "r"), odd(2000, 20, "c"));
    let report = run(json!({}), &batch_of(reference), &batch_of(current));
    assert!(!codes(&report).contains(&("MW-Q021", "name")), "{:?}", report.findings);
}

#[test]
fn chance_is_allowed_what_a_share_of_heavy_rows_varies_by() {
    // Where 29 rows are odd on average, 18 more than before are so in one of 90 tables. With 3 standard errors of each, that is no news.
    for (n_odd, is_news) in [(20, false), (38, false), (80, true)] {
        let ([_, reference], [_, current]) = (odd(2000, 20, "r"), odd(2000, n_odd, "c"));
        let report = run(json!({ "limits": { "missing": 0.0 } }), &batch_of(reference), &batch_of(current));
        for found in [("MW-Q010", "x"), ("MW-Q021", "name")] {
            assert_eq!(codes(&report).contains(&found), is_news, "{n_odd}, {found:?}: {:?}", report.findings);
        }
    }
}

#[test]
fn equal_weights_of_repeated_rows_hide_no_leakage() {
    let rows = || (0..1000).chain([0; 1000]);
    let mut columns: Vec<(&str, &[Use], ArrayRef)> = vec![
        ("id", &[Use::Id], integers(rows())),
        ("x", &[Use::Feature], integers(rows().map(|it| it % 7))),
        ("label", &[Use::Label], integers(rows().map(|it| i64::from(it >= 500)))),
    ];
    let expected = alone(json!({}), &batch_of(columns.clone()));
    assert!(codes(&expected).contains(&("MW-Q043", "id")), "{:?}", codes(&expected));
    columns.push(("w", &[Use::Weight], floats([2.5; 2000])));
    let report = alone(json!({}), &batch_of(columns));
    assert!(codes(&report).contains(&("MW-Q043", "id")), "{:?}", codes(&report));
}

/// Returns a report on labels of so many classes, as many rows of each.
fn of_classes(n: i64, max_categories: u64, uses: &'static [Use], weight: Option<fn(i64) -> f64>) -> Report {
    let rows = || (0..n * 50).map(|it| it % n);
    let mut columns: Vec<(&str, &[Use], ArrayRef)> =
        vec![("x", &[Use::Feature], floats((0..n * 50).map(|it| it as f64))), ("label", uses, integers(rows()))];
    columns.extend(weight.map(|it| ("w", [Use::Weight].as_slice(), floats(rows().map(it)))));
    alone(json!({ "max_categories": max_categories }), &batch_of(columns))
}

#[test]
fn classes_of_a_label_are_weighed_however_few_categories_are_kept() {
    let classes = |weight| of_classes(15, 10, &[Use::Label], weight);
    let report = classes(Some(|_| 1.0));
    assert_same(&weighted(&report), &weighted(&classes(None)));
    assert!(!codes(&report).iter().any(|it| it.0 == "MW-Q033"), "{:?}", codes(&report));
    let report = of_classes(40, 10, &[Use::Label, Use::Categorical], Some(|_| 1.0));
    assert!(!codes(&report).iter().any(|it| it.0 == "MW-Q033"), "{:?}", codes(&report));
    assert!(gap(&report, "class shares").contains("more than 30 classes"));
}

#[test]
fn a_class_that_weighs_nothing_is_not_there() {
    let report = of_classes(3, 100, &[Use::Label], Some(|it| if it == 2 { 0.0 } else { 1.0 }));
    assert!(!codes(&report).iter().any(|it| it.0 == "MW-Q033"), "{:?}", codes(&report));
    assert_eq!(overall(&report, "class_ratio"), Some(1.0));
}

#[test]
fn weights_can_be_left_alone() {
    let current = draw(2, 200, &["a", "b"]);
    let expected = weighted(&alone(json!({}), &alike(&current)));
    for (config, n_gaps) in [(json!({ "weights": false }), 1), (json!({ "exclude": ["w"] }), 0)] {
        let report = alone(config, &by_weight(&current));
        assert_same(&weighted(&report), &expected);
        let gaps = report.gaps.iter().filter(|it| it.what.starts_with("row weights")).count();
        assert_eq!(gaps, n_gaps, "{:?}", report.gaps);
    }
}

#[test]
fn parts_in_any_order_are_the_same_bytes_as_the_whole() {
    let mut rows = draw(2, 400, &["a", "b", "c"]);
    rows[9].weight = -1.0;
    for config in [config(), json!({ "max_categories": 10, "sample_rows": 100 })] {
        let of = |rows: &[Row]| {
            let mut probe = open(&config);
            probe.update(&(), Role::Current, &by_weight(rows)).unwrap();
            probe.state().unwrap()
        };
        let whole = of(&rows);
        let parts: Vec<_> = rows.chunks(90).map(of).collect();
        for order in [[0, 1, 2, 3, 4], [4, 2, 1, 0, 3]] {
            let mut probe = open(&config);
            order.iter().for_each(|it| probe.merge(&parts[*it]).unwrap());
            assert_eq!(probe.state().unwrap(), whole);
        }
        for len in (0..whole.len()).step_by(97) {
            assert!(open(&config).merge(&whole[..len]).is_err());
        }
    }
}
