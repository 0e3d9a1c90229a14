//! The bounds of the benchmark of inference, and the lists of its models.

#[path = "../benches/inference/bounds.rs"]
mod bounds;
#[path = "../benches/inference/fixtures.rs"]
mod fixtures;

use bounds::{EACH, MEAN, Measured, mean, missed};
use fixtures::{FIXTURES, OTHERS, fixtures, unlisted};

fn measured(case: &str, ratio: f64, peaks: [f64; 2]) -> Measured {
    Measured { case: case.to_owned(), ratio, peaks }
}

#[test]
fn each_bound_that_is_missed_is_named() {
    const { assert!(MEAN <= 1.0 && EACH <= 2.0) };
    let fine = [measured("a", 0.5, [10.0, 10.0]), measured("b", 2.0, [9.0, 10.0])];
    assert!((mean(&fine) - 1.0).abs() < 1e-12);
    assert_eq!(missed(&fine, false), [""; 0]);
    let slow = [measured("a", 1.5, [10.0, 10.0]), measured("b", 2.1, [9.0, 10.0])];
    assert_eq!(missed(&slow, false), ["b: the ratio is 2.10, more than 2"]);
    assert_eq!(missed(&slow, true).len(), 2);
    assert_eq!(missed(&slow, true)[0], "the geometric mean of the ratios is 1.775, more than 1");
    let large = [measured("a", 0.5, [12.0, 10.0]), measured("b", f64::NAN, [9.0, 10.0])];
    let named = ["a: 12 kB of memory at most, more than the 10 of ONNX Runtime", "b: the ratio is NaN, more than 2"];
    assert_eq!(missed(&large, false), named);
    assert_eq!(missed(&[], true), [""; 0]);
}

#[test]
fn every_model_of_the_fixtures_is_in_a_list_and_every_list_is_of_models() {
    assert_eq!(unlisted(), [""; 0].map(std::path::PathBuf::from));
    let names = FIXTURES.iter().chain(OTHERS.iter().map(|it| &it.0)).filter(|it| !it.contains('*'));
    for name in names {
        assert!(fixtures().join(name).exists(), "`{name}` is no fixture");
    }
}
