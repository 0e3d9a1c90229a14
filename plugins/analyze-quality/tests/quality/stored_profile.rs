//! A stored profile in place of the reference's rows.

use std::sync::Arc;

use modelwatch_profile::{Group, Profile, Settings, file, stored};
use modelwatch_sdk::{
    RecordBatch, Report, Role,
    arrow::{
        array::{ArrayRef, BooleanArray, Float64Array, Int64Array, TimestampSecondArray},
        schema::{Field, Schema},
    },
    report::Severity,
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{batch_of, codes, features, finding, floats, gap, integers, of_column, open, overall, run, texts};

/// Returns the batch that a probe gets of the stored profile of the rows.
fn profiled(rows: &RecordBatch) -> RecordBatch {
    let mut profile = Profile::default();
    profile.add_rows(rows.num_rows() as u64);
    for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        profile.update(&Settings::STORED, (Group::Feature, field.name().clone()), false, array).unwrap();
    }
    let bytes = file::write(&file::Stored { settings: Settings::STORED, predictor: None, profile });
    let states = stored::batch(&file::read("ref.mwp", &bytes).unwrap().profile).unwrap();
    let with_uses = |field: &Arc<Field>| {
        let uses = rows.schema_ref().field_with_name(field.name()).unwrap().metadata().clone();
        let all = field.metadata().clone().into_iter().chain(uses).collect();
        field.as_ref().clone().with_metadata(all)
    };
    let fields: Vec<Field> = states.schema_ref().fields().iter().map(with_uses).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), states.columns().to_vec()).unwrap()
}

fn with_profile(config: Value, reference: &RecordBatch, current: &RecordBatch) -> Report {
    run(config, &profiled(reference), current)
}

fn reference() -> RecordBatch {
    features(vec![
        ("age", integers((0..500).map(|it| 18 + it * 37 % 60))),
        ("price", floats((0..500).map(|it| f64::from(it * 7 % 500) / 3.0))),
        ("city", texts((0..500).map(|it| ["Bonn", "Kiel", "Trier"][it % 3]))),
        ("is_new", Arc::new(BooleanArray::from_iter((0..500).map(|it| Some(it % 2 == 0))))),
    ])
}

#[test]
fn rows_like_those_of_the_profile_are_fine() {
    let report = with_profile(json!({ "limits": { "duplicates": 1.0 } }), &reference(), &reference());
    assert_eq!(codes(&report), []);
    assert_eq!(overall(&report, "schema_changes"), Some(0.0));
    assert_eq!(overall(&report, "rows_ratio"), Some(1.0));
    assert!(gap(&report, "the reference data, in part").contains("predictive power"));
    assert_eq!(report.gaps.len(), 1, "{:?}", report.gaps);
}

#[test]
fn what_a_profile_has_is_compared_as_rows_are() {
    let current = features(vec![
        ("age", integers((0..500).map(|it| if it < 60 { -1 } else { 18 + it * 37 % 60 }))),
        ("price", Arc::new(Float64Array::from_iter((0..500).map(|it| (it % 2 == 0).then_some(f64::from(it) / 3.0))))),
        ("city", texts((0..500).map(|it| ["Bonn", "Kiel", "Ulm"][it % 3]))),
        ("is_new", Arc::new(BooleanArray::from_iter((0..500).map(|_| Some(true))))),
    ]);
    let config = || json!({ "limits": { "duplicates": 1.0, "samples_mix": 1.0 }, "outlier_rows": { "methods": [] } });
    let report = with_profile(config(), &reference(), &current);
    assert_eq!(codes(&report), [("MW-Q020", "age"), ("MW-Q021", "city"), ("MW-Q015", "is_new"), ("MW-Q010", "price")]);
    let by_rows = run(config(), &reference(), &current);
    assert_eq!(codes(&by_rows), codes(&report));
    for (code, column, metric) in [
        ("MW-Q020", "age", "out_of_range_share"),
        ("MW-Q021", "city", "unseen_share"),
        ("MW-Q010", "price", "missing_share"),
    ] {
        assert_eq!(finding(&report, code).message, finding(&by_rows, code).message);
        assert_eq!(of_column(&report, metric, column), of_column(&by_rows, metric, column), "{metric}");
    }
}

#[test]
fn columns_and_types_are_those_of_the_profile() {
    let current = features(vec![
        ("age", floats((0..500).map(|it| 18.5 + f64::from(it * 37 % 59)))),
        ("price", texts((0..500).map(|it| format!("{it}")))),
        ("is_new", texts(["true", "false"].repeat(250))),
        ("extra", integers(0..500)),
    ]);
    let report = with_profile(json!({}), &reference(), &current);
    let schema: Vec<_> = report
        .findings
        .iter()
        .filter(|it| matches!(it.code.as_str(), "MW-Q003" | "MW-Q004" | "MW-Q005"))
        .map(|it| (it.code.as_str(), it.place.as_str(), it.severity))
        .collect();
    assert_eq!(
        schema,
        [
            ("MW-Q003", "city", Severity::Error),
            ("MW-Q004", "extra", Severity::Warning),
            ("MW-Q005", "age", Severity::Warning),
            ("MW-Q005", "price", Severity::Error),
        ]
    );
    assert_eq!(
        finding(&report, "MW-Q005").message,
        "the column `age` has floats (Float64), and the stored profile of the reference has whole numbers"
    );
}

#[test]
fn wide_numbers_infinities_times_and_classes_are_compared() {
    let base = (1i64 << 60) + 1;
    let batch = |offset: i64, seconds: i64, every: i64, last: f64| {
        let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..200).map(|it| seconds + it)));
        batch_of(vec![
            ("big", &[Use::Feature], Arc::new(Int64Array::from_iter_values((0..200).map(|it| base + offset + it)))),
            ("x", &[Use::Feature], floats((0..199).map(f64::from).chain([last]))),
            ("y", &[Use::Label], integers((0..200).map(|it| i64::from(it % every == 0)))),
            ("at", &[Use::Timestamp], times),
        ])
    };
    let config = || json!({ "limits": { "class_ratio": 0.05 }, "outlier_rows": { "methods": [] } });
    let report = with_profile(config(), &batch(0, 0, 2, 5.0), &batch(1 << 20, 100, 100, f64::INFINITY));
    assert_eq!(codes(&report), [("MW-Q020", "big"), ("MW-Q013", "x"), ("MW-Q033", "y"), ("MW-Q042", "at")]);
    let big = &finding(&report, "MW-Q020").message;
    assert!(big.contains(&format!("{base} to {}", base + 199)), "{big}");
    let usual = with_profile(config(), &batch(0, 0, 100, f64::INFINITY), &batch(0, 500, 100, f64::INFINITY));
    assert_eq!(codes(&usual), []);
}

#[test]
fn categories_that_a_profile_may_have_left_out_are_a_gap() {
    let many = |from: usize| features(vec![("x", texts((0..3000).map(|it| format!("id {}", from + it / 2))))]);
    let report = with_profile(json!({}), &many(0), &many(9000));
    assert!(gap(&report, "column `x`, unseen categories").contains("keeps the"), "{:?}", report.gaps);
}

#[test]
fn states_with_a_profile_merge_to_the_same_report() {
    let (reference, current) = (profiled(&reference()), reference());
    let mut whole = open(&json!({}));
    whole.update(&(), Role::Reference, &reference).unwrap();
    whole.update(&(), Role::Current, &current).unwrap();
    let mut merged = open(&json!({}));
    for (role, batch) in
        [(Role::Reference, reference), (Role::Current, current.slice(0, 200)), (Role::Current, current.slice(200, 300))]
    {
        let mut part = open(&json!({}));
        part.update(&(), role, &batch).unwrap();
        merged.merge(&part.state().unwrap()).unwrap();
    }
    assert_eq!(merged.evaluate(&()).unwrap(), whole.evaluate(&()).unwrap());
    let state = whole.state().unwrap();
    for len in (0..200).chain([state.len() / 2, state.len() - 1]) {
        assert!(open(&json!({})).merge(&state[..len]).is_err());
    }
}

#[test]
fn a_profile_stands_in_unless_types_or_chunks_of_the_reference_are_asked_for() {
    let takes = |config: Value| open(&config).needs().reference.unwrap().profile;
    assert!(takes(json!({})) && takes(json!({ "exclude": ["x*"] })));
    assert!(!takes(json!({ "exclude": ["type:text"] })) && !takes(json!({ "include": ["type:number"] })));
}
