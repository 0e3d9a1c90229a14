//! A stored profile in place of the reference's rows.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use modelwatch_profile::{Group, Profile, Settings, file::Stored, stored};
use modelwatch_sdk::{
    RecordBatch, Report, Role,
    arrow::{
        array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampSecondArray},
        schema::{Field, Schema},
    },
    report::Interval,
    rows::{Use, with_uses},
};
use serde_json::{Value, json};

use crate::common::{Random, batch_of, codes, features, finding, of_column, open, overall, run};

/// The profile of a batch as a host shows it.
fn profiled(batch: &RecordBatch) -> RecordBatch {
    let mut profile = Profile::default();
    profile.add_rows(batch.num_rows() as u64);
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        profile.update(&Settings::STORED, (Group::Feature, field.name().clone()), false, array).unwrap();
    }
    let mut whole = Stored { settings: Settings::STORED, predictor: None, profile };
    whole.cut();
    let states = stored::batch(&whole.profile).unwrap();
    let fields: Vec<_> =
        states.schema_ref().fields().iter().map(|it| with_uses(it.as_ref().clone(), &[Use::Feature])).collect();
    let schema = modelwatch_sdk::arrow::schema::Schema::new(fields);
    RecordBatch::try_new(Arc::new(schema), states.columns().to_vec()).unwrap()
}

/// A table of numbers, whole numbers, names and missing values, `shift` deviations away.
fn table(seed: u64, rows: usize, shift: f64) -> RecordBatch {
    let mut random = Random(seed);
    let mut normal = || random.normal() + shift;
    let numbers: Vec<f64> = (0..rows).map(|_| normal()).collect();
    let whole: Vec<i64> = (0..rows).map(|_| (normal() * 1e4) as i64).collect();
    let names: Vec<String> = (0..rows).map(|_| format!("name {}", normal().round())).collect();
    let holes: Vec<Option<f64>> = (0..rows).map(|_| Some(normal()).filter(|it| *it > -1.0)).collect();
    let ids: Vec<i64> = (0..rows).map(|_| (1 << 60) + (normal() * 1e3) as i64).collect();
    features(vec![
        ("holes", Arc::new(Float64Array::from(holes)) as ArrayRef),
        ("ids", Arc::new(Int64Array::from(ids))),
        ("names", Arc::new(StringArray::from(names))),
        ("number", Arc::new(Float64Array::from(numbers))),
        ("whole", Arc::new(Int64Array::from(whole))),
    ])
}

fn both(config: Value, reference: &RecordBatch, current: &RecordBatch) -> (Report, Report) {
    (run(config.clone(), reference, current), run(config, &profiled(reference), current))
}

#[test]
fn while_exact_the_report_is_that_of_the_rows_bit_by_bit() {
    for shift in [0.0, 0.4] {
        let (raw, stored) = both(json!({}), &table(1, 1000, 0.0), &table(2, 700, shift));
        assert_eq!(stored, raw);
    }
    let (raw, stored) = both(json!({ "method": "evidently:ks" }), &table(1, 1000, 0.0), &table(2, 700, 0.1));
    assert_eq!(stored, raw);
}

#[test]
fn beyond_the_budget_effects_are_within_the_mass_of_a_bucket() {
    for shift in [0.0, 0.05, 0.5] {
        let (raw, stored) = both(json!({}), &table(3, 10_000, 0.0), &table(4, 5000, shift));
        assert_eq!(codes(&stored), codes(&raw), "{shift}");
        for column in ["holes", "number", "whole"] {
            for metric in ["ks_statistic", "wasserstein_normed", "psi"] {
                let of = |report: &Report| of_column(report, metric, column).unwrap();
                let (raw, stored) = (of(&raw), of(&stored));
                assert!((raw - stored).abs() < 0.01, "{column} {metric} at {shift}: {raw} and {stored}");
            }
        }
        // What is counted is counted in both; only the correction knows of the other columns.
        for (metric, column) in [("missing_share_difference", "holes"), ("chi2_p_value", "names")] {
            assert_eq!(of_column(&stored, metric, column), of_column(&raw, metric, column));
        }
    }
}

/// One name in a share of the rows beside 5,000 rare ones, and numbers.
fn one_often(seed: u64, rows: usize, share: f64) -> RecordBatch {
    let mut random = Random(seed);
    let mut name = |_| {
        let rare = (random.uniform() * 5000.0) as u32;
        if random.uniform() < share { "often".to_owned() } else { format!("rare {rare}") }
    };
    let names: Vec<String> = (0..rows).map(&mut name).collect();
    let numbers: Vec<f64> = (0..rows).map(|_| random.normal()).collect();
    features(vec![("x", Arc::new(StringArray::from(names)) as ArrayRef), ("y", Arc::new(Float64Array::from(numbers)))])
}

#[test]
fn a_frequent_category_beside_many_rare_ones_is_compared() {
    let config = json!({ "predictions": false });
    for (share, expected) in [(0.6, 0.0), (0.3, 0.5)] {
        let (raw, stored) = both(config.clone(), &one_often(1, 20_000, 0.6), &one_often(2, 5000, share));
        for report in [&raw, &stored] {
            assert_eq!(overall(report, "drifted_share"), expected, "{share}");
        }
        // The rare ones could all be others where no drift shows.
        let n_compared = if share == 0.6 { 1.0 } else { 2.0 };
        assert_eq!((overall(&raw, "compared_columns"), overall(&stored, "compared_columns")), (2.0, n_compared));
        if share == 0.3 {
            assert_eq!(of_column(&stored, "chi2_p_value", "x"), of_column(&raw, "chi2_p_value", "x"));
        }
    }
    let (_, stored) = both(config, &one_often(1, 20_000, 0.6), &one_often(2, 5000, 0.3));
    let changes = finding(&stored, "MW-D001").evidence["largest_changes"].to_string();
    assert!(changes.contains("often went from"), "{changes}");
}

/// Names of a few hundred, of which those with an even number have `by` times the share of the others.
fn many_names(seed: u64, rows: usize, n_names: usize, by: f64) -> RecordBatch {
    let mut random = Random(seed);
    let mut name = |_| {
        let pair = 2 * (random.uniform() * (n_names / 2) as f64) as usize;
        format!("name {}", pair + usize::from(random.uniform() >= by / (1.0 + by)))
    };
    let names: Vec<String> = (0..rows).map(&mut name).collect();
    features(vec![("x", Arc::new(StringArray::from(names)) as ArrayRef)])
}

#[test]
fn of_many_categories_a_profile_bounds_what_rows_give() {
    let metric = |report: &Report, name: &str| {
        let is_it = |it: &&modelwatch_sdk::report::Metric| it.name == name && it.labels.len() == 1;
        report.metrics.iter().find(is_it).map(|it| (it.value, it.interval))
    };
    let config = json!({ "predictions": false });
    // Where drift is found, its numbers have bounds.
    let (raw, stored) = both(config.clone(), &many_names(1, 30_000, 564, 1.0), &many_names(2, 20_000, 564, 4.0));
    for report in [&raw, &stored] {
        assert_eq!(codes(report), [("MW-D001", "x")]);
    }
    for name in ["psi", "jensen_shannon"] {
        let (exact, none) = metric(&raw, name).unwrap();
        let (value, bounds) = metric(&stored, name).unwrap();
        let bounds = bounds.unwrap();
        assert!(none.is_none() && bounds.is_certain(), "{name}");
        assert!(bounds.low <= value && value <= bounds.high, "{name}: {value} in {bounds:?}");
        assert!(bounds.low <= exact && exact <= bounds.high, "{name}: {exact} in {bounds:?}");
    }
    let (exact, _) = metric(&raw, "effect").unwrap();
    let interval = metric(&stored, "effect").unwrap().1.unwrap();
    assert!(interval.low <= exact && exact <= interval.high, "{exact} in {interval:?}");
    // Where none shows, it may hide.
    let (raw, stored) = both(config, &many_names(1, 4000, 564, 1.0), &many_names(2, 4000, 564, 1.0));
    assert_eq!((overall(&raw, "compared_columns"), overall(&raw, "drifted_columns")), (1.0, 0.0));
    assert_eq!(overall(&stored, "compared_columns"), 0.0);
    assert_eq!((metric(&stored, "drifted"), metric(&stored, "psi")), (None, None));
    let gap = stored.gaps.iter().find(|it| it.what == "column `x`").unwrap();
    for words in ["most frequent of 563 categories", "% of the reference", "give the rows in place"] {
        assert!(gap.why.contains(words), "no `{words}` in {}", gap.why);
    }
}

#[test]
fn a_column_that_could_not_be_tested_may_be_drifted() {
    let ids = |from: usize, rows: usize| {
        let names = (from..from + rows).map(|it| format!("customer {it:08}"));
        features(vec![
            ("id", Arc::new(StringArray::from_iter_values(names)) as ArrayRef),
            ("y", Arc::new(Float64Array::from_iter_values((0..rows).map(|it| (it * 7919 % rows) as f64)))),
        ])
    };
    let (raw, stored) = both(json!({ "predictions": false }), &ids(0, 2000), &ids(9000, 2000));
    for report in [&raw, &stored] {
        let share = report.metrics.iter().find(|it| it.name == "drifted_share").unwrap();
        assert_eq!((share.value, share.interval), (0.0, Some(Interval::certain(0.0, 0.5))));
        let gap = report.gaps.iter().find(|it| it.what == "column `id`").unwrap();
        assert!(gap.why.contains("too few rows per category"), "{}", gap.why);
    }
    // What the user leaves out is not missed.
    let left_out = run(json!({ "predictions": false, "exclude": ["id"] }), &ids(0, 2000), &ids(9000, 2000));
    assert_eq!(left_out.metrics.iter().find(|it| it.name == "drifted_share").unwrap().interval, None);
}

#[test]
fn a_method_that_needs_every_value_says_what_to_do() {
    let report = run(json!({ "method": "evidently:ks" }), &profiled(&table(5, 5000, 0.0)), &table(6, 500, 0.0));
    let gap = report.gaps.iter().find(|it| it.what == "column `number`").unwrap();
    assert_eq!(
        gap.why,
        "`evidently:ks` needs every value, and the stored profile of the reference keeps 1024 different ones of a column: make the profile with a greater `--budget`, or give the reference's rows"
    );
    assert!(overall(&report, "compared_columns").is_finite());
}

#[test]
fn numbers_of_a_profile_can_be_declared_categories() {
    let codes_of = |seed: u64, shift: f64| -> RecordBatch {
        let mut random = Random(seed);
        let codes = (0..2000).map(|_| (random.uniform() * 8.0 + shift) as i64);
        features(vec![("code", Arc::new(Int64Array::from_iter_values(codes)))])
    };
    let (raw, stored) = both(json!({ "categorical": ["code"] }), &codes_of(1, 0.0), &codes_of(2, 1.0));
    assert_eq!(stored, raw);
    assert_eq!(codes(&stored), [("MW-D001", "code"), ("MW-D005", "code")]);
}

#[test]
fn columns_of_lists_are_compared_in_the_places_that_the_profile_keeps() {
    use modelwatch_sdk::arrow::{array::FixedSizeListArray, schema::DataType};
    let lists = |seed: u64, shift: f64| {
        let mut random = Random(seed);
        let values: Vec<f64> = (0..400 * 64).map(|_| random.normal() + shift).collect();
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let array = FixedSizeListArray::try_new(item, 64, Arc::new(Float64Array::from(values)), None).unwrap();
        features(vec![("image", Arc::new(array) as ArrayRef)])
    };
    let report = run(json!({}), &profiled(&lists(1, 0.0)), &lists(2, 0.0));
    assert_eq!(codes(&report), []);
    assert!(report.gaps.iter().any(|it| it.what == "column `image`, in part"), "{:?}", report.gaps);
    let report = run(json!({}), &profiled(&lists(1, 0.0)), &lists(2, 0.5));
    assert_eq!(codes(&report), [("MW-D001", "image")]);
    assert_eq!(of_column(&report, "drifted_elements", "image"), Some(16.0));
}

#[test]
fn chunks_are_compared_with_a_profile_as_with_its_rows() {
    let current = table(2, 700, 0.4);
    let times: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..700).map(|it| it * 300)));
    let mut fields: Vec<_> = current.schema_ref().fields().iter().map(|it| it.as_ref().clone()).collect();
    fields.push(with_uses(Field::new("at", times.data_type().clone(), true), &[Use::Timestamp]));
    let columns = current.columns().iter().cloned().chain([times]).collect();
    let current = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let (raw, stored) = both(json!({ "chunk": { "period": "day" } }), &table(1, 1000, 0.0), &current);
    // As JSON, because NaN is not equal to itself.
    assert_eq!(serde_json::to_value(&stored).unwrap(), serde_json::to_value(&raw).unwrap());
    assert_eq!((overall(&stored, "chunks"), overall(&stored, "judged_chunks")), (3.0, 3.0));
}

#[test]
fn rows_with_weights_are_compared_with_a_profile_of_the_column_of_weights() {
    let with_weights = |batch: &RecordBatch, weight: ArrayRef| {
        let mut fields: Vec<_> = batch.schema_ref().fields().iter().map(|it| it.as_ref().clone()).collect();
        fields.push(with_uses(Field::new("w", weight.data_type().clone(), true), &[Use::Weight]));
        let columns = batch.columns().iter().cloned().chain([weight]).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let (reference, current) = (table(1, 1000, 0.0), table(2, 700, 0.0));
    let weighted =
        with_weights(&current, Arc::new(Float64Array::from_iter_values((0..700).map(|it| f64::from(it % 3 + 1)))));
    let expected = run(json!({}), &reference, &weighted);
    // As a host shows it: the state of the column of weights is no weight.
    let states = profiled(&features(vec![("w", Arc::new(Float64Array::from(vec![1.0; 1000])) as ArrayRef)]));
    let stored = profiled(&reference);
    let mut fields: Vec<_> = stored.schema_ref().fields().iter().map(|it| it.as_ref().clone()).collect();
    fields.push(with_uses(states.schema_ref().field(0).clone(), &[Use::Weight]));
    let columns = stored.columns().iter().chain(states.columns()).cloned().collect();
    let stored = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    assert_eq!(run(json!({}), &stored, &weighted), expected);
    assert!(expected.gaps.iter().any(|it| it.what == "row weights of the reference rows"), "{:?}", expected.gaps);
}

#[test]
fn what_is_no_state_is_refused() {
    let states = profiled(&table(1, 100, 0.0));
    let cut: ArrayRef = Arc::new(modelwatch_sdk::arrow::array::BinaryArray::from(vec![b"abc".as_slice()]));
    let schema = states.schema();
    let columns = vec![cut; states.num_columns()];
    let damaged = RecordBatch::try_new(schema, columns).unwrap();
    let error = open(json!({})).update(&(), Role::Reference, &damaged).unwrap_err();
    assert_eq!(error.message, "cannot read the state: it is cut short");
    // A column that is not one of the features is not looked at.
    let label = batch_of(vec![("label", &[Use::Label], Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]);
    open(json!({})).update(&(), Role::Reference, &label).unwrap();
}
