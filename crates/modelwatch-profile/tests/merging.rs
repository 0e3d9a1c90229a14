//! A profile's bytes follow from its rows alone.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use modelwatch_profile::{
    Body, Group, Multiples, Profile, Settings,
    file::{Stored, read, write},
};
use modelwatch_sdk::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use proptest::prelude::*;

/// A row: a number, a large whole number, a text, a time.
type Row = (Option<f64>, Option<i64>, Option<String>, Option<i64>);

const SETTINGS: Settings = Settings { budget: 16, max_categories: 8, max_elements: 2, ..Settings::STORED };

fn columns(rows: &[Row]) -> [(&'static str, ArrayRef); 4] {
    [
        ("number", Arc::new(Float64Array::from_iter(rows.iter().map(|it| it.0)))),
        ("whole", Arc::new(Int64Array::from_iter(rows.iter().map(|it| it.1)))),
        ("text", Arc::new(StringArray::from_iter(rows.iter().map(|it| it.2.as_deref())))),
        ("time", Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|it| it.3)))),
    ]
}

fn of(rows: &[Row]) -> Profile {
    let mut res = Profile::default();
    res.add_rows(rows.len() as u64);
    for (name, array) in columns(rows) {
        res.update(&SETTINGS, (Group::Feature, name.to_owned()), false, &array).unwrap();
    }
    res
}

fn bytes(profile: &Profile) -> Vec<u8> {
    write(&Stored { settings: SETTINGS, predictor: None, profile: profile.clone() })
}

fn any_row() -> impl Strategy<Value = Row> {
    let number = prop_oneof![-10.0..10.0f64, any::<f64>(), Just(0.0), Just(f64::NAN)];
    let whole = prop_oneof![0..20i64, any::<i64>()];
    (prop::option::of(number), prop::option::of(whole), prop::option::of("[a-c]{0,3}"), prop::option::of(any::<i64>()))
}

proptest! {
    #[test]
    fn rows_that_count_several_times_are_as_rows_that_are_there_as_often(
        rows in prop::collection::vec((any_row(), 0u64..4), 0..60),
    ) {
        let settings = Settings { describe: false, ..SETTINGS };
        let of = |rows: &[Row], counts: Option<&[u64]>| {
            let multiples = counts.map_or(Multiples::One, Multiples::Each);
            let mut res = Profile::default();
            res.add_rows(multiples.total(rows.len()));
            for (name, array) in columns(rows) {
                let key = (Group::Feature, name.to_owned());
                res.update_multiples(&settings, key, false, (&array, multiples)).unwrap();
            }
            bytes(&res)
        };
        let repeated: Vec<Row> =
            rows.iter().flat_map(|(row, n)| std::iter::repeat_n(row.clone(), *n as usize)).collect();
        let (rows, counts): (Vec<Row>, Vec<u64>) = rows.into_iter().unzip();
        prop_assert_eq!(of(&rows, Some(&counts)), of(&repeated, None));
    }

    #[test]
    fn any_cut_and_order_of_merges_gives_the_same_bytes(
        rows in prop::collection::vec(any_row(), 0..80),
        cuts in prop::collection::vec(0usize..80, 0..5),
        order in any::<prop::sample::Index>(),
    ) {
        let whole = bytes(&of(&rows));
        let mut ends: Vec<usize> = cuts.into_iter().map(|it| it.min(rows.len())).chain([0, rows.len()]).collect();
        ends.sort_unstable();
        let mut parts: Vec<_> = ends.windows(2).map(|it| of(&rows[it[0]..it[1]])).collect();
        let at = order.index(parts.len());
        parts.rotate_left(at);
        // As a tree and through bytes, as days that become weeks that become months.
        while parts.len() > 1 {
            let right = parts.pop().unwrap();
            let left = parts.remove(0);
            let mut merged = read("left", &bytes(&left)).unwrap().profile;
            merged.merge(read("right", &bytes(&right)).unwrap().profile).unwrap();
            parts.push(merged);
        }
        prop_assert_eq!(bytes(&parts[0]), whole);
    }

    #[test]
    fn damaged_files_are_refused(rows in prop::collection::vec(any_row(), 1..20), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = bytes(&of(&rows));
        let at = at.index(bytes.len());
        prop_assert!(read("cut", &bytes[..at]).is_err());
        if bytes[at] != byte {
            bytes[at] = byte;
            prop_assert!(read("changed", &bytes).is_err());
        }
    }
}

#[test]
fn a_column_that_changes_its_type_is_the_same_in_any_order() {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    let flags: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let of = |arrays: &[&ArrayRef]| {
        let mut res = Profile::default();
        for it in arrays {
            res.update(&SETTINGS, (Group::Feature, "x".to_owned()), false, *it).unwrap();
        }
        res
    };
    let (forward, backward) = (of(&[&numbers, &flags]), of(&[&flags, &numbers]));
    assert_eq!(bytes(&forward), bytes(&backward));
    let mut merged = of(&[&numbers]);
    merged.merge(of(&[&flags])).unwrap();
    assert_eq!(bytes(&merged), bytes(&forward));
    let column = &merged.columns()[&(Group::Feature, "x".to_owned())];
    assert!(column.is_mixed() && matches!(column.body(), Body::Empty));
    assert_eq!((column.kind().as_str(), column.rows()), ("categories and numbers", 4));
}

#[test]
fn booleans_are_categories() {
    let mut profile = Profile::default();
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)]));
    profile.update(&SETTINGS, (Group::Feature, "x".to_owned()), false, &flags).unwrap();
    let column = &profile.columns()[&(Group::Feature, "x".to_owned())];
    assert_eq!((column.nulls(), column.n_usable(), column.description().unwrap().patterns.n()), (1, 2, 2));
}
