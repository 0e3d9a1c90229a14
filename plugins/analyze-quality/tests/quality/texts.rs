//! What texts are made of.

use modelwatch_sdk::{RecordBatch, Report, report::Severity};
use serde_json::json;

use crate::common::{alone, codes, finding, of_column, run, x};

/// A column of so many of each text.
fn column(parts: &[(&str, usize)]) -> RecordBatch {
    x(crate::common::texts(parts.iter().flat_map(|(text, n)| std::iter::repeat_n(*text, *n))))
}

fn alone_quiet(parts: &[(&str, usize)]) -> Report {
    alone(json!({ "limits": { "duplicates": 1.0 } }), &column(parts))
}

fn against(reference: &[(&str, usize)], current: &[(&str, usize)]) -> Report {
    run(json!({ "limits": { "duplicates": 1.0, "samples_mix": 1.0 } }), &column(reference), &column(current))
}

#[test]
fn several_words_for_nothing_are_found() {
    assert_eq!(codes(&alone_quiet(&[("red", 50), ("blue", 50), ("NA", 3)])), []);
    let report = alone_quiet(&[("red", 50), ("blue", 50), ("NA", 3), ("null", 2), (" - ", 1)]);
    assert_eq!(codes(&report), [("MW-Q014", "x"), ("MW-Q024", "x")]);
    assert_eq!(finding(&report, "MW-Q014").evidence["words"], json!(["-", "NA", "null"]));
    assert_eq!(of_column(&report, "null_word_share", "x"), Some(6.0 / 106.0));
    let report = against(&[("red", 50), ("NA", 5), ("na", 5)], &[("red", 50), ("NA", 5), ("na", 5)]);
    assert_eq!(finding(&report, "MW-Q014").severity, Severity::Info);
}

#[test]
fn numbers_among_words_are_found_where_they_are_few_but_not_rare() {
    let with = |n: usize| codes(&alone_quiet(&[("red", 500), ("blue", 500 - n), ("17", n)])).len();
    assert_eq!((with(0), with(10), with(11), with(99), with(100), with(500)), (0, 0, 1, 1, 0, 0));
    // One word in a column that had numbers alone.
    let report = against(&[("1", 50), ("2.5", 50)], &[("1", 500), ("2.5", 500), ("red", 1)]);
    assert_eq!(codes(&report), [("MW-Q021", "x"), ("MW-Q023", "x"), ("MW-Q022", "x")]);
}

#[test]
fn special_characters_and_spaces_are_counted() {
    let report = alone_quiet(&[("red", 990), ("@!", 2), (" blue", 8)]);
    assert_eq!(codes(&report), [("MW-Q024", "x")]);
    assert_eq!(
        (of_column(&report, "special_share", "x"), of_column(&report, "padded_share", "x")),
        (Some(0.002), Some(0.008))
    );
}

#[test]
fn other_spellings_are_found() {
    let report = alone_quiet(&[("New York", 90), ("new york", 5), ("New-York!", 5), ("-1", 50), ("1", 50)]);
    assert_eq!(codes(&report).last(), Some(&("MW-Q025", "x")));
    assert!(finding(&report, "MW-Q025").message.ends_with("`New York`, `New-York!`, `new york`"));
    assert_eq!(of_column(&report, "respelled_categories", "x"), Some(1.0));
}

#[test]
fn lengths_and_shapes_are_those_of_the_reference() {
    let report = against(&[("AB-12", 50), ("CD-34", 50)], &[("AB-12", 90), ("CD-34", 9), ("CD-34 and much more", 1)]);
    assert_eq!(codes(&report), [("MW-Q021", "x"), ("MW-Q022", "x")]);
    let strange = finding(&report, "MW-Q026");
    assert_eq!((strange.severity, &strange.evidence["share"]), (Severity::Info, &json!(0.01)));
    assert_eq!(finding(&report, "MW-Q022").evidence["share"], json!(0.01));
    assert_eq!((of_column(&report, "min_length", "x"), of_column(&report, "max_length", "x")), (Some(5.0), Some(19.0)));
    // Another number of the same shape is no new shape.
    let report = against(&[("AB-12", 50), ("CD-34", 50)], &[("AB-12", 50), ("XY-99", 50)]);
    assert_eq!(codes(&report), [("MW-Q021", "x")]);
}
