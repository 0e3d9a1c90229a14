//! Files that are profiles, and others.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use insta::assert_snapshot;
use modelwatch_profile::{
    Body, Group, Predictor, Profile, Settings,
    file::{Stored, read, write},
};
use modelwatch_sdk::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

fn stored(columns: impl IntoIterator<Item = (String, ArrayRef)>) -> Stored {
    let mut profile = Profile::default();
    for (name, array) in columns {
        profile.update(&Settings::STORED, (Group::Feature, name), false, &array).unwrap();
    }
    Stored { settings: Settings::STORED, predictor: None, profile }
}

fn small() -> Vec<u8> {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.5]));
    write(&stored([("x".to_owned(), numbers)]))
}

fn refusal(bytes: &[u8]) -> String {
    read("ref.mwp", bytes).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let bytes = small();
    let read = read("ref.mwp", &bytes).unwrap();
    assert_eq!(read.settings, Settings::STORED);
    assert_eq!(write(&read), bytes);
}

#[test]
fn other_files_are_refused() {
    let expected = "`ref.mwp` is no profile; make one with `modelwatch profile DATA --output FILE`";
    for it in [b"PAR1....".as_slice(), b"", b"\x89MW", b"a,b\n1,2\n"] {
        assert_eq!(refusal(it), expected);
    }
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = small();
    bytes[8] = 7;
    assert_snapshot!(refusal(&bytes), @"`ref.mwp` is a profile of version 7, and this program reads version 4; make it again from the rows with this program, or read it with the one that wrote it");
}

#[test]
fn a_file_that_was_cut_says_what_is_missing() {
    let bytes = small();
    let n = bytes.len();
    assert_eq!(
        refusal(&bytes[..n - 5]),
        format!(
            "the profile `ref.mwp` has {} bytes where {n} belong; copy it again from where it was written, or make it again from the rows",
            n - 5
        )
    );
    assert!(refusal(&bytes[..20]).contains("has 20 bytes"));
}

#[test]
fn a_flipped_bit_is_damage() {
    let mut bytes = small();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    assert_snapshot!(refusal(&bytes), @"the profile `ref.mwp` is damaged: its bytes do not have the digest that it names; copy it again from where it was written, or make it again from the rows");
}

#[test]
fn two_hundred_columns_take_less_than_a_megabyte() {
    let rows = 20_000;
    let mut state = 5u64;
    let mut random = || {
        state = modelwatch_stats::hash::mix(state);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut normal = || (-2.0 * (1.0 - random()).ln()).sqrt() * (std::f64::consts::TAU * random()).cos();
    // 120 normal and 20 heavy-tailed columns, 30 of whole numbers, 25 of names and 5 of ids.
    let columns = (0..200).map(|at| {
        let array: ArrayRef = match at {
            0..120 => Arc::new(Float64Array::from_iter_values((0..rows).map(|_| normal()))),
            120..140 => Arc::new(Float64Array::from_iter_values((0..rows).map(|_| normal() / normal()))),
            140..170 => Arc::new(Int64Array::from_iter_values((0..rows).map(|_| (normal() * 1e5) as i64))),
            170..195 => {
                Arc::new(StringArray::from_iter_values((0..rows).map(|_| format!("name {}", (normal() * 20.0) as i64))))
            }
            _ => Arc::new(StringArray::from_iter_values((0..rows).map(|it| format!("customer-{it:08}")))),
        };
        (format!("column {at}"), array)
    });
    let bytes = write(&stored(columns));
    assert!(bytes.len() < 1_000_000, "{}", bytes.len());
}

/// Returns the file of so many columns of numbers, whose rows are those of a part.
fn of_numbers(kind: &str, n_columns: u64, rows: std::ops::Range<u64>) -> Stored {
    let column = |column: u64| -> ArrayRef {
        let random = |row: u64| modelwatch_stats::hash::mix(modelwatch_stats::hash::mix(column) ^ row);
        let share = |row: u64| (random(row) >> 11) as f64 / (1u64 << 53) as f64;
        let integers =
            |of: &dyn Fn(u64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.clone().map(of))) };
        let floats =
            |of: &dyn Fn(u64) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(rows.clone().map(of))) };
        match kind {
            "integers" => integers(&|row| (random(row) % 1000) as i64),
            "decimals" => floats(&|row| (random(row) % 1024) as f64 / 1000.0),
            "floats" => floats(&|row| share(random(row) % 1024)),
            "wide" => integers(&|row| random(row) as i64 / 2),
            "few wide" => integers(&|row| random(random(row) % 1024) as i64),
            _ => floats(&|row| {
                (3.0 * (-2.0 * (1.0 - share(row)).ln()).sqrt() * (6.0 * share(row + 1_000_000)).cos()).exp()
            }),
        }
    };
    stored((0..n_columns).map(|it| (format!("column {it}"), column(it))))
}

#[test]
fn two_hundred_columns_of_any_numbers_take_less_than_a_megabyte() {
    for kind in ["integers", "decimals", "floats", "wide", "few wide", "log-normal"] {
        let bytes = write(&of_numbers(kind, 200, 0..6000));
        assert!(bytes.len() < 1_000_000, "{kind}: {}", bytes.len());
        let is_exact = read("ref.mwp", &bytes).unwrap().profile.columns().values().all(|it| match it.body() {
            Body::Numeric(it) => it.relative_error() == 0.0,
            _ => panic!("they are numbers"),
        });
        assert_eq!(is_exact, ["integers", "decimals"].contains(&kind), "{kind}");
    }
}

#[test]
fn few_columns_keep_all_numbers_and_parts_of_many_merge_to_the_whole() {
    for kind in ["floats", "few wide"] {
        let narrow = read("ref.mwp", &write(&of_numbers(kind, 20, 0..6000))).unwrap();
        let Body::Numeric(numbers) = narrow.profile.columns().values().next().unwrap().body() else { panic!() };
        assert!(numbers.n_distinct().is_some_and(|it| it > 1000), "{kind}");
    }
    for kind in ["integers", "floats", "wide", "few wide", "log-normal"] {
        let part = |rows| read("part.mwp", &write(&of_numbers(kind, 150, rows))).unwrap();
        let merged = |parts: Vec<Stored>| {
            let mut parts = parts.into_iter();
            let mut res = parts.next().unwrap();
            parts.for_each(|it| res.merge(it).unwrap());
            write(&res)
        };
        let whole = write(&of_numbers(kind, 150, 0..3000));
        assert_eq!(merged(vec![part(0..300), part(300..1900), part(1900..3000)]), whole, "{kind}");
        assert_eq!(merged(vec![part(1900..3000), part(0..300), part(300..1900)]), whole, "{kind}");
    }
}

#[test]
fn two_hundred_columns_of_long_names_take_less_than_a_megabyte() {
    let columns = (0..200).map(|column| {
        let url = |row: usize| {
            let digest = modelwatch_stats::hash::mix(row as u64 * 200 + column);
            Some(format!("https://shop.example.org/{digest:x}/catalogue/item-{row:07}?session={digest:032}"))
        };
        let array: ArrayRef = Arc::new(StringArray::from_iter((0..1500).map(url)));
        (format!("column {column}"), array)
    });
    let bytes = write(&stored(columns));
    assert!(bytes.len() < 1_000_000, "{}", bytes.len());
}

#[test]
fn the_most_frequent_categories_are_kept_and_the_others_bounded() {
    let rows = (0..6000).map(|it| if it < 3000 { "often".to_owned() } else { format!("rare {}", it / 2) });
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows));
    let bytes = write(&stored([("x".to_owned(), names)]));
    let read = read("ref.mwp", &bytes).unwrap();
    let Body::Categorical(counts) = read.profile.columns()[&(Group::Feature, "x".to_owned())].body() else {
        panic!("it has no categories")
    };
    assert_eq!((counts.range_of("often"), counts.n_distinct()), ((3000, 3000), Some(1501)));
    assert!(counts.range_of("never").1 <= 2);
    // What is cut is not cut again.
    assert_eq!(write(&read), bytes);
}

#[test]
fn outputs_are_kept_with_the_model_that_gave_them() {
    let outputs = |model: Option<&str>| {
        let mut res = stored([]);
        let scores: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 0.5]));
        res.profile.update(&res.settings, (Group::Output, "score".to_owned()), false, &scores).unwrap();
        res.predictor = model.map(|it| Predictor {
            model: it.to_owned(),
            signature: None,
            runtime: "tract 0.23.9".to_owned(),
            inputs: vec![("x".to_owned(), vec!["a".to_owned(), "b".to_owned()])],
        });
        res
    };
    let mut kept = read("ref.mwp", &write(&outputs(Some("one")))).unwrap();
    assert_eq!(kept.predictor, outputs(Some("one")).predictor);
    assert!(kept.profile.has(Group::Output));
    // Nobody could tell what they may be compared with.
    assert!(read("ref.mwp", &write(&outputs(None))).is_err());

    let of_signature = |name: &str| {
        let mut res = outputs(Some("one"));
        res.predictor.as_mut().unwrap().signature = Some(name.to_owned());
        res
    };
    let serve = read("ref.mwp", &write(&of_signature("serve"))).unwrap();
    assert_eq!(serve.predictor, of_signature("serve").predictor);
    let error = serve.clone().merge(of_signature("embed")).unwrap_err();
    assert!(error.message.contains("of the signature `embed` of the model, not of"), "{}", error.message);

    kept.merge(outputs(Some("one"))).unwrap();
    let later = || {
        let mut res = outputs(Some("one"));
        res.predictor.as_mut().unwrap().runtime = "tract 0.24.0".to_owned();
        res
    };
    let merged = |mut left: Stored, right: Stored| {
        left.merge(right).unwrap();
        write(&left)
    };
    assert_eq!(merged(outputs(Some("one")), later()), merged(later(), outputs(Some("one"))));
    for (other, why) in
        [(outputs(Some("two")), "outputs of the model two, not of the model one"), (stored([]), "no outputs")]
    {
        let error = kept.clone().merge(other).unwrap_err();
        assert!(error.message.contains(why), "{}", error.message);
    }
}

/// The file of rows of 600 rare names that no other part has, and of those often ones.
fn part(number: usize, often: &[&str]) -> Stored {
    let rare = (0..600).map(|it| format!("rare {number} {it}"));
    let often = often.iter().flat_map(|it| vec![(*it).to_owned(); 50]);
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rare.chain(often).collect::<Vec<_>>()));
    read("part.mwp", &write(&stored([("x".to_owned(), names)]))).unwrap()
}

#[test]
fn a_frequent_category_is_kept_however_many_files_are_merged() {
    let often: Vec<String> = (0..40).map(|it| format!("often {it}")).collect();
    let often: Vec<&str> = often.iter().map(String::as_str).collect();
    let merged = |parts: &mut dyn Iterator<Item = usize>| {
        let mut parts = parts.map(|it| part(it, &often));
        let mut res = parts.next().unwrap();
        parts.for_each(|it| res.merge(it).unwrap());
        write(&res)
    };
    // More names than are counted while rows are read.
    let bytes = merged(&mut (0..60));
    let read = read("ref.mwp", &bytes).unwrap();
    let column = &read.profile.columns()[&(Group::Feature, "x".to_owned())];
    let Body::Categorical(counts) = column.body() else { panic!("it has no categories") };
    for it in often.iter().copied() {
        assert_eq!(counts.range_of(it), (3000, 3000), "{it}");
    }
    assert_eq!(merged(&mut (0..60).rev()), bytes);
}
