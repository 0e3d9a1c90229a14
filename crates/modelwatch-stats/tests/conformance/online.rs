//! Detectors of change against river 0.26.1, on its defaults.

use modelwatch_stats::online::{
    Adwin, AdwinSettings, Cusum, CusumSettings, Ddm, DdmSettings, Detector, Eddm, EddmSettings, HddmA, HddmW, Kswin,
    PageHinkley, PageHinkleySettings, drifts,
};
use serde_json::Value;

use crate::fixtures::json;

/// The generator of the golden streams: a linear congruential one, then Box and Muller, rounded to six digits.
fn normals(seed: u64, n: usize, mean: f64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let mut res = Vec::new();
    while res.len() < n {
        let (u, v) = (uniform(), uniform());
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        res.extend([angle.cos(), angle.sin()].map(|it| ((mean + radius * it) * 1e6).round() / 1e6));
    }
    res
}

fn numbers() -> Vec<f64> {
    [normals(31, 1000, 0.0), normals(32, 1000, 0.8)].concat()
}

fn errors() -> Vec<f64> {
    numbers().iter().map(|it| f64::from(u8::from(*it > 0.4))).collect()
}

fn golden(name: &str) -> Vec<usize> {
    let all: Value = json("online/river.json");
    all[name].as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as usize).collect()
}

fn check(name: &str, detector: &mut impl Detector, stream: Vec<f64>) {
    let found = drifts(detector, stream);
    println!("{name}: ours {found:?}, river {:?}", golden(name));
    assert_eq!(found, golden(name), "{name}");
}

#[test]
fn detectors_report_where_river_does() {
    check("ddm", &mut Ddm::new(DdmSettings::PAPER), errors());
    check("eddm", &mut Eddm::new(EddmSettings::PAPER), errors());
    check("hddm_a", &mut HddmA::new(0.001, 0.005), errors());
    check("hddm_w", &mut HddmW::new(0.001, 0.005, 0.05), errors());
}

#[test]
fn deliberate_differences_from_river() {
    // All cuts are tried, and the window is kept: the first report is the same, later ones refine it.
    let adwin = drifts(&mut Adwin::new(AdwinSettings::PAPER), numbers());
    println!("adwin: ours {adwin:?}, river {:?}", golden("adwin"));
    assert_eq!(adwin[0], golden("adwin")[0]);
    // No start at -1.
    let page_hinkley = drifts(&mut PageHinkley::new(PageHinkleySettings::PAPER), numbers());
    println!("page_hinkley: ours {page_hinkley:?}, river {:?}", golden("page_hinkley"));
    assert_eq!(page_hinkley, golden("page_hinkley"));
    // No random choice of older values.
    let kswin = drifts(&mut Kswin::new(0.005, 100, 30), numbers());
    println!("kswin: ours {kswin:?}, river {:?}", golden("kswin_seed1"));
    assert!(kswin.iter().any(|it| (1000..1040).contains(it)), "{kswin:?}");
    // River has none.
    let settings = CusumSettings { mean: 0.0, deviation: 1.0, slack: 0.4, threshold: 8.0 };
    let cusum = drifts(&mut Cusum::new(settings), numbers());
    println!("cusum: ours {cusum:?}");
    assert!((1000..1040).contains(&cusum[0]), "{cusum:?}");
}

#[test]
fn a_missing_value_changes_nothing() {
    fn with_gaps(values: Vec<f64>) -> Vec<f64> {
        values.into_iter().flat_map(|it| [it, f64::NAN]).collect()
    }
    let halved = |it: Vec<usize>| it.into_iter().map(|it| it / 2).collect::<Vec<_>>();
    assert_eq!(halved(drifts(&mut Ddm::new(DdmSettings::PAPER), with_gaps(errors()))), golden("ddm"));
    assert_eq!(halved(drifts(&mut Adwin::new(AdwinSettings::PAPER), with_gaps(numbers())))[0], golden("adwin")[0]);
    assert_eq!(
        halved(drifts(&mut PageHinkley::new(PageHinkleySettings::PAPER), with_gaps(numbers()))),
        golden("page_hinkley")
    );
}
