//! Outliers among whole rows.

use std::sync::Arc;

use analyze_quality::registry;
use modelwatch_sdk::{
    Kind, RecordBatch, Report,
    arrow::array::{ArrayRef, Float64Array, ListArray, types::Float64Type},
    report::{Figure, FigureData},
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{Random, alone, batch_of, codes, features, finding, floats, run, texts};

/// Rows of two numbers that go together, one that does not, and a name; the last `n_odd` are far out in one of the numbers.
fn rows(seed: u64, n: usize, n_odd: usize) -> RecordBatch {
    let mut random = Random(seed);
    let (mut x, mut y, mut z, mut color, mut id) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..n {
        let is_odd = row >= n - n_odd;
        x.push(random.normal());
        y.push(x[row] + 0.2 * random.normal());
        z.push(if is_odd { 9.0 + random.normal() } else { random.normal() });
        color.push(["red", "green", "blue"][(random.uniform() * 3.0) as usize]);
        id.push(format!("{seed}-{row}"));
    }
    batch_of(vec![
        ("id", &[Use::Id], texts(id)),
        ("color", &[Use::Feature], texts(color)),
        ("x", &[Use::Feature], floats(x)),
        ("y", &[Use::Feature], floats(y)),
        ("z", &[Use::Feature], floats(z)),
    ])
}

fn share(report: &Report, method: &str) -> f64 {
    let is_it = |it: &&modelwatch_sdk::report::Metric| it.labels.get("method").is_some_and(|it| it == method);
    report.metrics.iter().find(|it| it.name == "outlier_row_share" && is_it(it)).unwrap().value
}

/// Returns the rows of the table of those that are farthest.
fn farthest(report: &Report) -> Vec<Vec<String>> {
    let is_it = |it: &&Figure| it.title == "Rows that are farthest from the others";
    match &report.figures.iter().find(is_it).unwrap().data {
        FigureData::Table { rows, .. } => rows.clone(),
        other => panic!("{other:?}"),
    }
}

fn gaps(report: &Report) -> Vec<(&str, &str)> {
    let about = report.gaps.iter().filter(|it| it.what.starts_with("outlier rows"));
    about.map(|it| (it.what.as_str(), it.why.as_str())).collect()
}

#[test]
fn planted_rows_are_listed_with_what_is_unusual() {
    let report = alone(json!({ "outlier_rows": { "shown": 6 } }), &rows(1, 600, 6));
    assert_eq!(codes(&report), []);
    for row in farthest(&report) {
        let id: usize = row[0].strip_prefix("1-").unwrap().parse().unwrap();
        assert!(id >= 594 && row[1] == "1", "{row:?}");
        assert!(row[4].starts_with("`z` = "), "{row:?}");
    }
    // Six of 600, and what is on the edge of the others.
    assert!((0.009..0.05).contains(&share(&report, "loop")), "{}", share(&report, "loop"));
    assert!(share(&report, "isolation-forest") < 0.05);
    assert_eq!(gaps(&report), []);
}

#[test]
fn more_outliers_than_the_reference_has_are_a_finding() {
    let quiet = json!({ "outlier_rows": { "shown": 3 } });
    let report = run(quiet, &rows(1, 800, 0), &rows(2, 500, 60));
    let all: Vec<_> = report.findings.iter().filter(|it| it.code == "MW-Q028").collect();
    assert_eq!(all.iter().map(|it| &it.evidence["method"]).collect::<Vec<_>>(), ["isolation-forest", "loop"]);
    for it in all {
        let shown = it.evidence["rows"].as_array().unwrap();
        assert_eq!(shown.len(), 3);
        for row in shown {
            assert!(row["id"].as_str().unwrap().starts_with("2-"), "{row}");
            assert!(row["columns"]["z"].as_f64().unwrap() > 6.0, "{row}");
            assert!(row["score"].as_f64() > it.evidence["score"].as_f64(), "{row}");
        }
        assert!(it.evidence["share"].as_f64() > it.evidence["limit"].as_f64());
    }
}

#[test]
fn healthy_rows_are_quiet() {
    let (mut alarms, mut n_runs) = (0, 0);
    for seed in 0..30 {
        let mut random = Random(seed);
        let mut table = |n: usize| {
            let mut column = |of: &dyn Fn(f64) -> f64| floats((0..n).map(|_| of(random.normal())).collect::<Vec<_>>());
            let (plain, skewed, heavy) = (column(&|it| it), column(&f64::exp), column(&|it| it * it * it));
            let counts = column(&|it| (it.abs() * 2.0).floor());
            // Names as often as Zipf has it.
            let names =
                texts((0..n).map(|_| format!("n{}", (1.0 / (random.uniform() + 0.01)) as u64)).collect::<Vec<_>>());
            match seed % 3 {
                0 => features(vec![("plain", plain), ("skewed", skewed)]),
                1 => features(vec![("counts", counts), ("names", names)]),
                _ => features(vec![("counts", counts), ("heavy", heavy), ("names", names), ("plain", plain)]),
            }
        };
        let (reference, current) = (table(600), table(400));
        let is_alarm = |it: &Report| it.findings.iter().any(|it| it.code == "MW-Q028");
        let reports = [alone(json!({}), &current), run(json!({}), &reference, &current)];
        n_runs += reports.len();
        alarms += reports.iter().filter(|it| is_alarm(it)).count();
    }
    assert!(alarms <= 1, "{alarms} of {n_runs}");
}

#[test]
fn a_combination_can_be_unusual_where_no_column_is() {
    let mut random = Random(5);
    let x: Vec<f64> = (0..400).map(|_| random.normal()).collect();
    let y = x.iter().map(|it| it + 0.1 * random.normal()).chain([-1.5]).collect::<Vec<_>>();
    let table = features(vec![("x", floats(x.into_iter().chain([1.5]))), ("y", floats(y))]);
    let report = alone(json!({ "outlier_rows": { "methods": ["loop"], "shown": 1 } }), &table);
    let row = &farthest(&report)[0];
    assert_eq!((row[0].as_str(), row[3].as_str()), ("", "no column by itself"));
    assert!(row[2].parse::<f64>().unwrap() > 0.99, "{row:?}");
}

#[test]
fn unknown_names_and_missing_numbers_are_unusual() {
    let mut random = Random(6);
    let mut table = |odd: bool| {
        let mut x: Vec<Option<f64>> = (0..300).map(|_| Some(random.normal())).collect();
        let mut names: Vec<&str> = (0..300).map(|it| ["a", "b"][it % 2]).collect();
        if odd {
            x[0] = None;
            names[1] = "c";
        }
        let x: ArrayRef = Arc::new(Float64Array::from(x));
        let id = texts((0..300).map(|it| it.to_string()));
        batch_of(vec![("id", &[Use::Id], id), ("name", &[Use::Feature], texts(names)), ("x", &[Use::Feature], x)])
    };
    let config = json!({ "outlier_rows": { "methods": ["loop"], "shown": 2 }, "limits": { "id_overlap": 1 } });
    let (reference, current) = (table(false), table(true));
    let mut shown = farthest(&run(config, &reference, &current));
    shown.sort();
    assert_eq!((shown[0][0].as_str(), shown[0][3].as_str()), ("0", "no column by itself"));
    assert_eq!(shown[1][0], "1");
    assert_eq!(shown[1][3], "`name`, a category that the reference rows do not have");
}

#[test]
fn what_is_not_looked_at_is_said() {
    let report = alone(json!({ "sample_rows": 120, "outlier_rows": { "loop_rows": 100 } }), &rows(1, 1000, 0));
    let said = gaps(&report);
    assert_eq!(said[0].0, "outlier rows, in part");
    assert_eq!(
        said[0].1,
        "of 1000 current rows, chosen by their hashes: `isolation-forest` looked at 120 different ones that stand for 120, \
         `loop` looked at 100 different ones that stand for 100"
    );
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(
        (0..90).map(|it| Some(vec![Some(f64::from(it))])),
    ));
    let words = texts((0..90).map(|it| format!("word {it}")));
    let (x, y) = (floats((0..90).map(f64::from)), floats((0..90).map(|it| f64::from(it * 7 % 90))));
    let report = alone(json!({}), &features(vec![("list", lists.clone()), ("word", words), ("x", x), ("y", y)]));
    assert_eq!(
        gaps(&report),
        [
            ("outlier rows, by `list`", "it has neither numbers nor names"),
            ("outlier rows, by `word`", "nearly every row has another value"),
        ]
    );
    let report = alone(json!({}), &features(vec![("list", lists)]));
    let alone_it_is = "fewer than two features have numbers or names; outliers of single columns are told for each";
    assert_eq!(
        gaps(&report),
        [("outlier rows, by `list`", "it has neither numbers nor names"), ("outlier rows", alone_it_is)]
    );
    let report = alone(json!({}), &rows(1, 40, 0));
    assert_eq!(gaps(&report), [("outlier rows", "there are 40 different rows, fewer than 50")]);
    let report = alone(json!({ "outlier_rows": { "methods": [] } }), &rows(1, 40, 0));
    assert_eq!(gaps(&report), []);
}

#[test]
fn rows_that_come_often_are_no_outliers() {
    // A tenth of the rows is one and the same, far from the others.
    let mut random = Random(3);
    let values: Vec<f64> = (0..500).map(|it| if it < 50 { 40.0 } else { random.normal() }).collect();
    let other: Vec<f64> = (0..500).map(|it| if it < 50 { 40.0 } else { random.normal() }).collect();
    let config = json!({ "outlier_rows": { "methods": ["loop"] }, "limits": { "duplicates": 1 } });
    let table = features(vec![("x", floats(values)), ("y", floats(other))]);
    let report = alone(config.clone(), &table);
    assert_eq!(codes(&report), []);
    // Where the reference does not have it, it is one.
    let reference = features(vec![
        ("x", floats((0..500).map(|_| random.normal()).collect::<Vec<_>>())),
        ("y", floats((0..500).map(|_| random.normal()).collect::<Vec<_>>())),
    ]);
    let report = run(config, &reference, &table);
    assert_eq!(finding(&report, "MW-Q028").evidence["rows"][0]["count"], json!(50));
}

#[test]
fn infinities_and_one_value_alone_are_no_trouble() {
    let mut values: Vec<f64> = (0..200).map(f64::from).collect();
    values[0] = f64::INFINITY;
    values[1] = f64::NEG_INFINITY;
    values[2] = f64::NAN;
    let table = features(vec![("constant", floats(vec![3.0; 200])), ("x", floats(values))]);
    let report = alone(json!({}), &table);
    assert!((0.0..=0.05).contains(&share(&report, "loop")));
    assert!((0.0..=0.05).contains(&share(&report, "isolation-forest")));
}

#[test]
fn options_outside_of_their_domain_are_refused() {
    let check = |options: Value, path: &str| {
        let config = json!({ "outlier_rows": options });
        let error = registry().open_probe(Kind::Analyzer, "quality", &config).err().unwrap();
        assert!(format!("{error:?}").contains(path), "{error:?}");
    };
    check(json!({ "trees": 1 }), "/outlier_rows/trees");
    check(json!({ "extent": 0 }), "/outlier_rows/extent");
    check(json!({ "probability": 1.5 }), "/outlier_rows/probability");
    check(json!({ "loop_rows": 5 }), "/outlier_rows/loop_rows");
}
