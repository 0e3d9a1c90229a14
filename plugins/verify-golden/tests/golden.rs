//! Outputs against recorded ones: what passes, what fails, what is not checked.
#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, sync::Arc};

use modelwatch_sdk::{
    Error, ErrorKind, Kind, Probe, RecordBatch, Report, Role, Verifier,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    report::{FigureData, Status},
    rows::{Use, with_uses},
    testing::{self, ProbeCase},
};
use serde_json::{Value, json};
use verify_golden::{Config, Golden};

fn list(values: &[f32], width: i32) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, width, Arc::new(Float32Array::from(values.to_vec())), None))
}

/// A batch with ids, the recorded column `want` and outputs.
fn batch(want: ArrayRef, outputs: &[(&str, ArrayRef)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..want.len() as i64));
    let mut columns = vec![
        (with_uses(Field::new("row", DataType::Int64, true), &[Use::Id]), ids),
        (Field::new("want", want.data_type().clone(), true), want),
    ];
    for (name, it) in outputs {
        let field = Field::new(format!("candidate:{name}"), it.data_type().clone(), true);
        columns.push((with_uses(field, &[Use::Candidate]), Arc::clone(it)));
    }
    let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn open(config: Value) -> Golden {
    let mut all = json!({ "outputs": { "y": "want" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    Golden::open(serde_json::from_value::<Config>(all).unwrap()).unwrap()
}

fn run(config: Value, batch: &RecordBatch) -> Report {
    let mut probe = open(config);
    probe.update(&(), Role::Current, batch).unwrap();
    probe.evaluate(&()).unwrap()
}

fn failed(report: &Report) -> Vec<&str> {
    report.checks.iter().filter(|it| it.status != Status::Pass).map(|it| it.metric.as_str()).collect()
}

fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|it| it.code.as_str()).collect()
}

/// Two rows of width 2; `got` against 0.1 0.9 / 0.8 0.2.
fn check(config: Value, got: [f32; 4], expected: &[&str], expected_codes: &[&str]) {
    let report = run(config, &batch(list(&[0.1, 0.9, 0.8, 0.2], 2), &[("y", list(&got, 2))]));
    assert_eq!(failed(&report), expected, "{:#?}", report.checks);
    assert_eq!(codes(&report), expected_codes);
}

#[test]
fn it_keeps_the_rules_of_probes() {
    let want: Vec<f32> = (0_u8..80).map(|it| f32::from(it) / 80.0).collect();
    let got: Vec<f32> = want.iter().enumerate().map(|(at, it)| if at % 7 == 0 { it + 0.1 } else { *it }).collect();
    let options = json!({ "max_ulp": 3, "top_k": 1, "min_cosine": 0.9, "max_mismatch_share": 0.5 });
    testing::probe(&ProbeCase {
        open: &|| Ok(Box::new(open(options.clone())) as Box<dyn Probe>),
        rows: vec![(Role::Current, batch(list(&want, 2), &[("y", list(&got, 2))]))],
        tensors: vec![],
        codes: verify_golden::registry().manifest().codes(Kind::Verifier, "golden"),
    });
}

#[test]
fn tolerances_decide() {
    check(json!({}), [0.1, 0.9, 0.8, 0.2], &[], &[]);
    check(json!({}), [0.100_001, 0.9, 0.8, 0.2], &[], &[]);
    check(json!({}), [0.101, 0.9, 0.8, 0.2], &["mismatch_share"], &["MW-G001"]);
    check(json!({ "atol": 0.01 }), [0.101, 0.9, 0.8, 0.2], &[], &[]);
    check(json!({ "tolerances": { "y": { "atol": 0.01 } } }), [0.101, 0.9, 0.8, 0.2], &[], &[]);
    check(json!({ "max_mismatch_share": 0.25 }), [0.101, 0.9, 0.8, 0.2], &[], &[]);
    check(json!({ "max_mismatch_share": 0.24 }), [0.101, 0.9, 0.8, 0.2], &["mismatch_share"], &["MW-G001"]);
    check(json!({ "max_ulp": 1, "atol": 0.01 }), [0.101, 0.9, 0.8, 0.2], &["max_ulp"], &[]);
    check(json!({ "max_ulp": 1 }), [0.1f32.next_up(), 0.9, 0.8, 0.2], &[], &[]);
    check(
        json!({ "top_k": 1, "min_cosine": 0.99, "atol": 0.5 }),
        [0.2, 0.8, 0.4, 0.6],
        &["min_cosine", "top_k_agreement"],
        &[],
    );
    check(json!({ "top_k": 1, "min_cosine": 0.99 }), [0.1, 0.9, 0.8, 0.2], &[], &[]);
}

#[test]
fn integers_are_names_and_equal_or_not() {
    const IDS: [i64; 3] = [150_000, 1 << 53, -5];
    let column = |by: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(IDS.map(|it| it + by))) };
    let pairs = |config, got: ArrayRef, want| codes(&run(config, &batch(want, &[("y", got)]))).join(" ");
    assert_eq!(pairs(json!({}), column(0), column(0)), "");
    for config in [json!({}), json!({ "rtol": 0.5 }), json!({ "atol": 0.9 }), json!({ "rtol": 0.0, "atol": 0.0 })] {
        assert_eq!(pairs(config.clone(), column(1), column(0)), "MW-G001", "{config}");
    }
    assert_eq!(pairs(json!({ "atol": 1.0 }), column(1), column(0)), "");
    let as_floats: ArrayRef = Arc::new(Float64Array::from_iter_values(IDS.map(|it| it as f64)));
    assert_eq!(pairs(json!({}), column(0), Arc::clone(&as_floats)), "");
    assert_eq!(pairs(json!({ "rtol": 0.5 }), column(1), as_floats), "MW-G001");

    let report = run(json!({}), &batch(column(0), &[("y", column(1))]));
    assert_eq!(report.metrics.iter().find(|it| it.name == "mismatched").unwrap().value, 3.0);
    let FigureData::Table { rows, .. } = &report.figures.last().unwrap().data else { panic!("no table") };
    assert_eq!(rows[1][2..4], ["9007199254740993", "9007199254740992"]);
}

#[test]
fn what_was_applied_is_what_is_named() {
    let message =
        |got: ArrayRef, want: ArrayRef| run(json!({}), &batch(want, &[("y", got)])).findings[0].message.clone();
    let integers = |it: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![it])) };
    let floats = |it: f32| list(&[it, 0.5], 2);
    let floats = message(floats(0.75), floats(0.5));
    assert!(floats.contains("by more than 0.000001 + 0.00001 × |recorded|, worst in row `0`"), "{floats}");
    let integers = message(integers(2), integers(1));
    assert!(integers.contains("from column `want` by more than 0.000001, worst in row `0`"), "{integers}");
}

#[test]
fn texts_are_equal_or_not() {
    let words = |it: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from(it.to_vec())) };
    let right = || words([Some("cat"), Some("dog"), Some("")]);
    let with = |config: Value, got: ArrayRef, want: ArrayRef| run(config, &batch(want, &[("y", got)]));
    let report = with(json!({}), right(), right());
    assert_eq!((failed(&report), codes(&report)), (vec![], vec![]));
    let metrics: Vec<_> = report.metrics.iter().map(|it| (&*it.name, it.value, it.n)).collect();
    assert_eq!(metrics, [("mismatched", 0.0, 3), ("mismatch_share", 0.0, 3), ("non_finite", 0.0, 3)]);

    let report = with(json!({ "rtol": 1.0, "atol": 9.0 }), words([Some("cat"), Some("Dog"), Some(" ")]), right());
    assert_eq!((failed(&report), codes(&report)), (vec!["mismatch_share"], vec!["MW-G001"]));
    assert_eq!(
        report.findings[0].message,
        "2 of 3 elements differ from column `want`, worst in row `1`, element 0: `Dog` instead of `dog`"
    );
    let FigureData::Table { rows, .. } = &report.figures[0].data else { panic!("no table") };
    assert_eq!(rows[1], ["2", "0", "` `", "``", "inf"]);
    // What is missing is no text.
    let missing = words([Some("cat"), Some("dog"), None]);
    for (got, want) in [(right(), missing.clone()), (missing.clone(), missing.clone())] {
        assert_eq!(codes(&with(json!({}), got, want)), ["MW-G001", "MW-G002"]);
    }
    assert_eq!(codes(&with(json!({ "equal_nan": true }), missing.clone(), missing)), [""; 0]);
    // Names that look like numbers are read as such from a CSV file.
    let digits = words([Some("7"), Some("01"), Some("-1")]);
    let read: ArrayRef = Arc::new(Int64Array::from(vec![7, 1, -1]));
    assert_eq!(with(json!({}), digits, read).metrics[0].value, 1.0);
    // There is nothing between texts that these could be asked of.
    for option in ["min_cosine", "max_ulp"] {
        let report = with(json!({ option: 1 }), right(), right());
        assert_eq!(failed(&report), [option]);
    }
    assert_eq!(refused(json!({ "top_k": 1 }), &batch(right(), &[("y", right())])).path, "/top_k");
}

#[test]
fn values_that_are_not_finite_fail_whatever_share_is_allowed() {
    let all = ["mismatch_share", "non_finite"];
    check(json!({}), [f32::NAN, 0.9, 0.8, 0.2], &all, &["MW-G001", "MW-G002"]);
    check(json!({ "max_mismatch_share": 0.9 }), [f32::INFINITY, 0.9, 0.8, 0.2], &["non_finite"], &["MW-G002"]);
    let pair = |config, got: f32, want: f32| {
        failed(&run(config, &batch(list(&[want, 1.0], 2), &[("y", list(&[got, 1.0], 2))]))).len()
    };
    assert_eq!(pair(json!({}), f32::NAN, f32::NAN), 2);
    assert_eq!(pair(json!({ "equal_nan": true }), f32::NAN, f32::NAN), 0);
    assert_eq!(pair(json!({ "equal_nan": true }), 1.0, f32::NAN), 2);
    // Polygraphy, too, lets infinities pass only where it is asked to.
    for infinity in [f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(pair(json!({}), infinity, infinity), 2);
        assert_eq!(pair(json!({ "equal_nan": true }), infinity, infinity), 2);
        assert_eq!(pair(json!({ "equal_infinity": true }), infinity, infinity), 0);
        assert_eq!(pair(json!({ "equal_infinity": true }), infinity, -infinity), 2);
        assert_eq!(pair(json!({ "equal_infinity": true }), infinity, f32::NAN), 2);
    }
}

#[test]
fn missing_extra_renamed_and_reshaped_outputs_fail() {
    let want = || list(&[0.1, 0.9, 0.8, 0.2], 2);
    let case = |config, outputs: &[(&str, ArrayRef)]| run(config, &batch(want(), outputs));
    let report = case(json!({}), &[]);
    assert_eq!(failed(&report), ["missing_rows", "mismatch_share", "non_finite"]);
    assert_eq!(report.checks[1].status, Status::NotChecked);
    let report = case(json!({}), &[("z", want())]);
    assert!(report.checks[0].message.contains("renamed to one of z"), "{}", report.checks[0].message);
    assert_eq!(codes(&report), ["MW-G003", "MW-G003"]);
    let report = case(json!({}), &[("y", want()), ("z", want())]);
    assert_eq!(failed(&report), ["unlisted_outputs"]);
    assert_eq!(failed(&case(json!({ "ignore_extra": ["z"] }), &[("y", want()), ("z", want())])), [""; 0]);
    let report = case(json!({}), &[("y", list(&[0.1, 0.8], 1))]);
    assert_eq!(failed(&report), ["wrong_width_rows", "mismatch_share", "non_finite"]);
    assert!(report.checks[1].message.contains("1 instead of 2"));
}

/// What a batch is refused for.
fn refused(config: Value, batch: &RecordBatch) -> Error {
    open(config).update(&(), Role::Current, batch).unwrap_err()
}

#[test]
fn rows_of_another_shape_are_not_compared() {
    /// Two rows of six numbers, as an image of that shape or as a plain list.
    fn shaped(shape: &str) -> (HashMap<String, String>, ArrayRef) {
        let metadata = [("ARROW:extension:metadata".to_owned(), format!(r#"{{"shape":{shape}}}"#))];
        (metadata.into(), list(&[0.5; 12], 6))
    }
    let with = |produced: &str, recorded: &str| {
        let columns =
            [("candidate:y", Some(Use::Candidate), produced), ("want", None, recorded)].map(|(name, of, shape)| {
                let (metadata, array) = shaped(shape);
                let field = Field::new(name, array.data_type().clone(), true).with_metadata(metadata);
                (of.iter().fold(field, |field, of| with_uses(field, &[*of])), array)
            });
        let (fields, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let error = refused(json!({}), &with("[3,2]", "[2,3]"));
    assert_eq!(
        error.message,
        "cannot compare output `y`: its rows have the shape [3, 2], those of column `want` [2, 3]"
    );
    refused(json!({}), &with("[6]", "[2,3]"));
    // A plain list says nothing about shapes: not every format has them.
    for same in ["[2,3]", "[6]"] {
        assert_eq!(failed(&run(json!({}), &with("[2,3]", same))), [""; 0]);
    }
}

#[test]
fn as_many_highest_values_as_there_are_say_nothing() {
    let rows = batch(list(&[0.1, 0.9, 0.8, 0.2], 2), &[("y", list(&[0.9, 0.1, 0.2, 0.8], 2))]);
    let error = refused(json!({ "top_k": 2, "atol": 1.0 }), &rows);
    assert_eq!((error.path.as_str(), error.kind), ("/top_k", ErrorKind::Config));
    assert!(error.message.contains("has 2 numbers, so that its 2 highest"), "{}", error.message);
    assert_eq!(failed(&run(json!({ "top_k": 1, "atol": 1.0 }), &rows)), ["top_k_agreement"]);
}

#[test]
fn the_highest_values_are_those_of_outputs_that_have_more() {
    let two = json!({ "outputs": { "y": "want", "label": "want_label" }, "top_k": 1, "min_cosine": 0.9, "atol": 1.0 });
    let rows = |probs: [f32; 4], label: [i64; 2]| {
        let label: ArrayRef = Arc::new(Int64Array::from(label.to_vec()));
        let recorded = batch(list(&[0.1, 0.9, 0.8, 0.2], 2), &[("y", list(&probs, 2)), ("label", label)]);
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 0]));
        let mut fields: Vec<_> = recorded.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("want_label", DataType::Int64, true)));
        let columns = recorded.columns().iter().cloned().chain([column]).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let report = run(two.clone(), &rows([0.1, 0.9, 0.8, 0.2], [1, 0]));
    assert_eq!(failed(&report), [""; 0]);
    // What is not asked of the label is said, and does not count as held.
    let gaps: Vec<_> = report.gaps.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(gaps, ["`min_cosine` of output `label`", "`top_k` of output `label`"]);
    let ranked = report.checks.iter().filter(|it| it.metric == "top_k_agreement");
    assert_eq!(ranked.map(|it| it.labels["output"].as_str()).collect::<Vec<_>>(), ["y"]);
    assert_eq!(failed(&run(two.clone(), &rows([0.9, 0.1, 0.8, 0.2], [1, 0]))), ["min_cosine", "top_k_agreement"]);
    // Of none of them, it would say nothing at all.
    let error = refused(json!({ "outputs": two["outputs"], "top_k": 2 }), &rows([0.1, 0.9, 0.8, 0.2], [1, 0]));
    assert!(error.path == "/top_k" && error.message.contains("output `y` has 2 numbers"), "{}", error.message);
    let label: ArrayRef = Arc::new(Int64Array::from(vec![1, 0]));
    let error = refused(json!({ "top_k": 1 }), &batch(Arc::clone(&label), &[("y", label)]));
    assert_eq!((error.path.as_str(), error.help.as_str()), ("/top_k", "leave `top_k` out"));
    // What is of another width is wrong itself, whatever it is held against.
    let label: ArrayRef = Arc::new(Int64Array::from(vec![1, 0]));
    let report = run(json!({ "top_k": 1 }), &batch(label, &[("y", list(&[0.1, 0.9, 0.8, 0.2], 2))]));
    assert_eq!(codes(&report), ["MW-G003"]);
}

#[test]
fn nothing_to_compare_is_never_a_pass() {
    let report = open(json!({ "top_k": 1, "max_ulp": 3, "min_cosine": 0.9 })).evaluate(&()).unwrap();
    assert!(report.checks.len() == 7 && report.checks.iter().all(|it| it.status == Status::NotChecked));
    assert!(report.metrics.is_empty() && report.gaps.len() == 1);
    let empty = batch(list(&[], 2), &[("y", list(&[], 2))]);
    assert!(run(json!({}), &empty).checks.iter().all(|it| it.status == Status::NotChecked));
}

/// Twelve rows, of which some differ by little, much or everything.
fn rows() -> RecordBatch {
    let want: Vec<f32> = (0..36).map(|it| (it as f32 * 0.7).sin()).collect();
    let got: Vec<f32> = want
        .iter()
        .enumerate()
        .map(|(idx, it)| if idx == 20 { f32::NAN } else { it * (1.0 + idx as f32 * 1e-3) })
        .collect();
    batch(list(&want, 3), &[("y", list(&got, 3))])
}

#[test]
fn equal_rows_have_a_cosine_of_one_whatever_their_numbers() {
    for values in [[0.1, 0.7, 0.2, 0.3], [1e30, -1e30, 3e30, 1e29], [1e-30, 2e-30, 7e-31, 5e-30]] {
        let report = run(json!({ "min_cosine": 1.0 }), &batch(list(&values, 2), &[("y", list(&values, 2))]));
        assert_eq!(failed(&report), [""; 0], "{:#?}", report.checks);
        let value = |name: &str| report.metrics.iter().find(|it| it.name == name).unwrap().value;
        assert_eq!(value("min_cosine"), 1.0);
        assert!(value("mean_abs_error").is_sign_positive());
    }
    let other = run(json!({ "min_cosine": 1.0 }), &batch(list(&[1e30, 0.0], 2), &[("y", list(&[1e30, 1e30], 2))]));
    assert!(failed(&other).contains(&"min_cosine"), "{:#?}", other.checks);
}

#[test]
fn cuts_and_merges_do_not_change_the_report() {
    let all = rows();
    let config = || json!({ "top_k": 2, "max_ulp": 4, "min_cosine": 0.9 });
    let whole = serde_json::to_string(&run(config(), &all)).unwrap();
    for size in [1, 3, 5, 12] {
        let (mut cut, mut merged) = (open(config()), open(config()));
        for start in (0..12).step_by(size) {
            let part = all.slice(start, size.min(12 - start));
            cut.update(&(), Role::Current, &part).unwrap();
            let mut one = open(config());
            one.update(&(), Role::Current, &part).unwrap();
            merged.merge(&one.state().unwrap()).unwrap();
        }
        assert_eq!(cut.state().unwrap(), merged.state().unwrap());
        for mut probe in [cut, merged] {
            assert_eq!(serde_json::to_string(&probe.evaluate(&()).unwrap()).unwrap(), whole, "{size}");
        }
    }
}

#[test]
fn worst_rows_and_errors_are_shown() {
    let report = run(json!({}), &rows());
    let FigureData::Table { rows, .. } = &report.figures[1].data else { panic!("no table") };
    assert!(rows.len() == 10 && rows[0][0] == "6" && rows[0][2] == "NaN");
    let FigureData::Histogram { edges, series } = &report.figures[0].data else { panic!("no histogram") };
    assert_eq!(edges.len(), series[0].values.len() + 1);
    assert!(report.findings[0].message.contains("worst in row `6`"), "{}", report.findings[0].message);
}

#[test]
fn damaged_states_are_refused() {
    let mut probe = open(json!({}));
    probe.update(&(), Role::Current, &rows()).unwrap();
    let state = probe.state().unwrap();
    let text = |from: &str, to: &str| {
        [&[1], std::str::from_utf8(&state[1..]).unwrap().replacen(from, to, 1).as_bytes()].concat()
    };
    for bytes in [
        Vec::new(),
        state[..state.len() / 2].to_vec(),
        [&[9], &state[1..]].concat(),
        b"\x01[]".to_vec(),
        text("\"rows\":12", "\"rows\":1"),
        text("\"elements\":36", "\"elements\":0"),
        text("\"y\"", "\"other\""),
    ] {
        assert!(open(json!({})).merge(&bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn wrong_options_and_columns_are_refused() {
    for config in [
        json!({ "outputs": {} }),
        json!({ "rtol": -1.0 }),
        json!({ "top_k": 0 }),
        json!({ "max_mismatch_share": 1.0 }),
        json!({ "min_cosine": 2.0 }),
        json!({ "tolerances": { "z": {} } }),
    ] {
        let mut all = json!({ "outputs": { "y": "want" } });
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        assert!(Golden::open(serde_json::from_value(all).unwrap()).is_err(), "{config}");
    }
    let mut probe = open(json!({ "outputs": { "y": "absent" } }));
    assert!(probe.update(&(), Role::Current, &rows()).unwrap_err().message.contains("no column `absent`"));
    let registry = verify_golden::registry();
    assert!(registry.open_probe(Kind::Verifier, "golden", &json!({ "outputs": { "y": "want" } })).is_ok());
}
