//! Cases with extreme values: a few of those of `cargo xtask onnx-conformance`, each of which was computed wrongly once.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "../examples/onnx_conformance/cases.rs"]
mod cases;
#[path = "../examples/onnx_conformance/judge.rs"]
mod judge;

use std::fs;

use common::fixture;

use crate::{
    cases::Case,
    judge::{Verdict, judge},
};

#[test]
fn extreme_values_are_computed_as_operators_are_defined() {
    let mut folders: Vec<_> = fs::read_dir(fixture("extreme")).unwrap().map(|it| it.unwrap().path()).collect();
    folders.sort();
    let mut faults = Vec::new();
    for folder in folders.iter().filter(|it| it.is_dir()) {
        let case = Case::read(folder).unwrap();
        let fault = match judge(&case) {
            Verdict::Pass(ways) => ways.is_empty().then(|| "it was not run".to_owned()),
            Verdict::Refused(reason) => Some(format!("refused: {reason}")),
            Verdict::Wrong(reason) => Some(format!("wrong: {reason}")),
            Verdict::Failed(reason) => Some(format!("failed: {reason}")),
        };
        faults.extend(fault.map(|it| format!("{} ({}): {it}", folder.display(), case.operator)));
    }
    assert_eq!(faults, [""; 0]);
    assert!(folders.len() > 20, "{} cases", folders.len());
}

#[test]
fn an_answer_that_is_another_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("extreme/case");
    fs::create_dir_all(case.join("test_data_set_0")).unwrap();
    let from = fixture("extreme/reducesum_int64");
    for name in ["model.onnx", "test_data_set_0/input_0.pb"] {
        fs::copy(from.join(name), case.join(name)).unwrap();
    }
    let mut expected = fs::read(from.join("test_data_set_0/output_0.pb")).unwrap();
    // One less than the last integer, 2^53 + 1: in double precision it is the same.
    let at = expected.len() - size_of::<i64>();
    expected[at] ^= 1;
    fs::write(case.join("test_data_set_0/output_0.pb"), expected).unwrap();
    assert!(matches!(judge(&Case::read(&case).unwrap()), Verdict::Wrong(_)));
}

#[test]
fn a_number_where_an_infinity_is_expected_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("extreme/case");
    fs::create_dir_all(case.join("test_data_set_0")).unwrap();
    let from = fixture("extreme/relu_float32");
    for name in ["model.onnx", "test_data_set_0/input_0.pb"] {
        fs::copy(from.join(name), case.join(name)).unwrap();
    }
    let expected = fs::read(from.join("test_data_set_0/output_0.pb")).unwrap();
    // What was 2.5 is ∞.
    let at = expected.windows(4).position(|it| it == 2.5_f32.to_le_bytes()).unwrap();
    let expected = [&expected[..at], &f32::INFINITY.to_le_bytes(), &expected[at + 4..]].concat();
    fs::write(case.join("test_data_set_0/output_0.pb"), expected).unwrap();
    assert!(matches!(judge(&Case::read(&case).unwrap()), Verdict::Wrong(_)));
}
