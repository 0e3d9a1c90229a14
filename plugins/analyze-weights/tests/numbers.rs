//! Metrics, figures, gaps and states.
#![allow(clippy::unwrap_used)]

mod common;

use analyze_weights::{Config, Weights};
use common::{
    Checkpoint, Tensor, checkpoint, edit, f32s, feed, fixture, healthy, metric, noise, open, run, run_with, trained,
};
use modelwatch_sdk::{Analyzer, DType, Error, Host, Kind, ModelRole, Probe, Report, TensorView, report::FigureData};
use serde_json::json;

#[test]
fn metrics_are_those_of_the_definition() {
    let before =
        checkpoint([("a.kernel", f32s(&[2, 2], &[3.0, 0.0, 0.0, -4.0])), ("b.kernel", f32s(&[2, 1], &[1.0, 2.0]))]);
    let after =
        checkpoint([("a.kernel", f32s(&[2, 2], &[3.0, 0.0, 0.0, -1.0])), ("b.kernel", f32s(&[2, 1], &[1.0, 2.0]))]);
    let report = run(&before, &after);
    let close = |name: &str, tensor, expected: f64| {
        let got = metric(&report, name, tensor).unwrap();
        assert!((got - expected).abs() < 1e-12, "{name} {tensor:?}: {got}, expected {expected}");
    };
    close("n_parameters", None, 6.0);
    close("norm_l2", Some("a.kernel"), 10f64.sqrt());
    close("norm_l2", None, 15f64.sqrt());
    close("sparsity", Some("a.kernel"), 0.5);
    close("sparsity", None, 2.0 / 6.0);
    close("relative_change", Some("a.kernel"), 3.0 / 5.0);
    close("relative_change", Some("b.kernel"), 0.0);
    close("relative_change", None, 3.0 / 30f64.sqrt());
    close("cosine", Some("a.kernel"), 13.0 / (5.0 * 10f64.sqrt()));
    close("max_abs_change", Some("a.kernel"), 3.0);
    close("changed_share", Some("a.kernel"), 0.25);
    close("changed_tensors", None, 1.0);
    close("changed_share", None, 1.0 / 6.0);
    close("missing_tensors", None, 0.0);
}

#[test]
fn every_float_type_gives_the_same_norm() {
    // 1.5 and −2 in each type.
    let bytes: [(DType, Vec<u8>); 4] = [
        (DType::F16, vec![0x00, 0x3e, 0x00, 0xc0]),
        (DType::Bf16, vec![0xc0, 0x3f, 0x00, 0xc0]),
        (DType::F32, [1.5f32, -2.0].iter().flat_map(|it| it.to_le_bytes()).collect()),
        (DType::F64, [1.5f64, -2.0].iter().flat_map(|it| it.to_le_bytes()).collect()),
    ];
    for (dtype, bytes) in bytes {
        let report = run(&Checkpoint::new(), &checkpoint([("x", Tensor { dtype, shape: vec![2], bytes })]));
        assert_eq!(metric(&report, "norm_l2", Some("x")), Some(2.5), "{dtype}");
    }
}

#[test]
fn integers_are_only_counted() {
    let ints = Tensor { dtype: DType::I64, shape: vec![2], bytes: vec![0; 16] };
    let mut model = healthy();
    let floats = metric(&run(&Checkpoint::new(), &model), "n_parameters", None).unwrap();
    model.insert("ids".into(), ints.clone());
    let report = run(&Checkpoint::new(), &model);
    assert_eq!(metric(&report, "n_parameters", None), Some(floats + 2.0));
    assert_eq!(metric(&report, "norm_l2", Some("ids")), None);
    let report = run(&Checkpoint::new(), &checkpoint([("ids", ints)]));
    assert!(report.metrics.is_empty() && report.gaps[0].why.contains("no floating-point tensors"));
}

#[test]
fn wide_integers_that_differ_by_one_have_changed() {
    let ids =
        |dtype, it: i64| checkpoint([("ids", Tensor { dtype, shape: vec![1], bytes: it.to_le_bytes().to_vec() })]);
    for dtype in [DType::I64, DType::U64] {
        let mut models = [1 << 60, (1 << 60) + 1].map(|it| ids(dtype, it));
        models.iter_mut().for_each(|it| drop(it.insert("w".into(), f32s(&[1], &[1.0]))));
        let report = run(&models[0], &models[1]);
        assert_eq!(metric(&report, "changed_tensors", None), Some(1.0), "{dtype}");
        assert_eq!(metric(&report, "relative_change", None), Some(2f64.powi(-60)), "{dtype}");
    }
}

#[test]
fn nan_weights_make_the_change_undefined_but_not_the_rest() {
    let mut candidate = healthy();
    edit(&mut candidate, "fc1.kernel", |idx, old| if idx == 0 { f32::NAN } else { old });
    let report = run(&healthy(), &candidate);
    assert!(metric(&report, "relative_change", Some("fc1.kernel")).unwrap().is_nan());
    assert!(metric(&report, "relative_change", None).unwrap().is_nan());
    assert_eq!(metric(&report, "relative_change", Some("fc2.kernel")), Some(0.0));
    assert_eq!(metric(&report, "non_finite", None), Some(1.0));
    assert!(metric(&report, "norm_l2", Some("fc1.kernel")).unwrap() > 0.0);
}

#[test]
fn small_layers_are_not_passed_over() {
    let small = [("one.kernel", f32s(&[1, 1], &[-2.0])), ("two.kernel", f32s(&[1, 2], &[3.0, 4.0]))];
    let report = run(&Checkpoint::new(), &checkpoint(small.clone()));
    assert_eq!(metric(&report, "norm_l2", Some("one.kernel")), Some(2.0));
    assert_eq!(metric(&report, "norm_l2", Some("two.kernel")), Some(5.0));
    assert_eq!(metric(&report, "n_parameters", None), Some(3.0));
    let broken = checkpoint([("one.kernel", f32s(&[1, 1], &[f32::NAN])), small[1].clone()]);
    let report = run(&checkpoint(small), &broken);
    assert!(report.findings.iter().any(|it| it.code == "MW-W001" && it.place == "one.kernel"));
}

#[test]
fn empty_checkpoints_and_tensors_are_gaps_not_numbers() {
    let none = Checkpoint::new();
    let report = run(&none, &none);
    assert!(report.metrics.is_empty() && report.findings.is_empty());
    assert_eq!(report.gaps[0].why, "the checkpoint has no tensors");
    let empty = checkpoint([("x.kernel", f32s(&[0, 3], &[])), ("y", f32s(&[0], &[]))]);
    let report = run(&empty, &empty);
    assert_eq!(metric(&report, "non_finite", None), Some(0.0));
    assert!(metric(&report, "norm_l2", Some("x.kernel")).unwrap().is_nan());
    assert!(metric(&report, "sparsity", None).unwrap().is_nan());
    assert!(report.findings.is_empty());
    let report = run(&healthy(), &none);
    assert!(report.findings.iter().all(|it| it.code == "MW-W008") && report.findings.len() == 6);
}

#[test]
fn metrics_of_many_tensors_are_limited_to_the_worst() {
    let mut model = healthy();
    edit(&mut model, "out.bias", |_, _| f32::NAN);
    let report = run_with(json!({ "max_tensors": 2 }), &Checkpoint::new(), &model);
    let named: std::collections::BTreeSet<_> = report.metrics.iter().filter_map(|it| it.labels.get("tensor")).collect();
    assert!(named.len() == 2 && named.contains(&"out.bias".to_owned()));
    assert!(report.gaps.iter().any(|it| it.what == "metrics of 4 single tensors"));
    assert_eq!(metric(&report, "non_finite", None), Some(5.0));
}

#[test]
fn figures_are_consistent() {
    let report = run(&healthy(), &trained(&healthy()));
    let mut kinds = Vec::new();
    for figure in &report.figures {
        match &figure.data {
            FigureData::Table { columns, rows } => {
                assert!(rows.len() == 6 && rows.iter().all(|it| it.len() == columns.len()));
                kinds.push("table");
            }
            FigureData::Histogram { edges, series } => {
                assert!(edges.is_sorted() && series.len() == 2);
                for it in series {
                    assert_eq!(it.values.len() + 1, edges.len());
                    assert_eq!(it.values.iter().sum::<f64>(), 517.0);
                }
                kinds.push("histogram");
            }
            FigureData::Bars { categories, series } => {
                assert!(
                    categories.len() == 6
                        && series[0].values.len() == 6
                        && series[0].values.is_sorted_by(|a, b| a >= b)
                );
                kinds.push("bars");
            }
            other => panic!("unexpected figure {other:?}"),
        }
    }
    assert_eq!(kinds, ["table", "histogram", "bars"]);
}

/// Feeds tensors to several instances, by a number of each name, and merges their states.
fn merged(parts: usize, baseline: &Checkpoint, candidate: &Checkpoint) -> Report {
    let mut res = open(json!({}));
    for part in 0..parts {
        let mut probe = open(json!({}));
        feed(&mut probe, baseline, candidate, |name| name.bytes().map(usize::from).sum::<usize>() % parts == part);
        res.merge(&probe.state().unwrap()).unwrap();
    }
    res.evaluate(&()).unwrap()
}

#[test]
fn merged_parts_report_the_same_as_the_whole() {
    let (e01, e08) = (fixture("cnn_series/e01.safetensors"), fixture("cnn_series/e08.safetensors"));
    for name in ["e07", "bad_bitflip", "bad_diverged", "bad_class_order", "bad_dead_relu"] {
        let candidate = fixture(&format!("cnn_series/{name}.safetensors"));
        for baseline in [&e08, &e01] {
            let whole = serde_json::to_string(&run(baseline, &candidate)).unwrap();
            for parts in [1, 2, 5] {
                assert_eq!(
                    serde_json::to_string(&merged(parts, baseline, &candidate)).unwrap(),
                    whole,
                    "{name} in {parts}"
                );
            }
        }
    }
}

#[test]
fn damaged_states_are_refused() {
    let mut probe = open(json!({}));
    feed(&mut probe, &healthy(), &trained(&healthy()), |_| true);
    let state = probe.state().unwrap();
    let text = |from: &str, to: &str| {
        let text = std::str::from_utf8(&state[1..]).unwrap().replacen(from, to, 1);
        [&[1], text.as_bytes()].concat()
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("other version", [&[2], &state[1..]].concat()),
        ("cut", state[..state.len() / 2].to_vec()),
        ("no JSON", b"\x01nonsense".to_vec()),
        ("wrong shape", b"\x01[1,2]".to_vec()),
        ("unknown field", text("\"baseline\"", "\"base\"")),
        ("count above the elements", text("\"nan\":0", "\"nan\":18446744073709551615")),
        ("elements that are not the shape's", text("\"n\":16", "\"n\":17")),
        ("overflowing shape", text("\"shape\":[16]", "\"shape\":[4294967296,4294967296,2]")),
        ("absurd bin", text("\"histogram\":{", "\"histogram\":{\"2000000000\":1,")),
    ] {
        assert!(open(json!({})).merge(&bytes).is_err(), "{what}");
    }
    let mut twice = open(json!({}));
    twice.merge(&state).unwrap();
    assert!(twice.merge(&state).unwrap_err().message.contains("came twice"));
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let tensor = TensorView { name: "x", dtype: DType::F32, shape: &[3], bytes: &[0; 8] };
    let error = open(json!({})).update_tensor(&(), ModelRole::Candidate, &tensor).unwrap_err();
    assert_eq!(error.message, "cannot read tensor `x`: 8 bytes do not fit its shape [3]");
}

#[test]
fn a_cancelled_run_ends() {
    struct Cancelled;
    impl Host for Cancelled {
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let values = noise(1, 8, 1.0);
    let it = f32s(&[8], &values);
    let view = TensorView { name: "x", dtype: it.dtype, shape: &it.shape, bytes: &it.bytes };
    let error: Error = open(json!({})).update_tensor(&Cancelled, ModelRole::Candidate, &view).unwrap_err();
    assert_eq!(error.message, "cancelled");
}

#[test]
fn contradictory_options_are_refused_with_their_path() {
    for (config, path) in [
        (json!({ "input_bound": 0.0 }), "/input_bound"),
        (json!({ "max_norm_growth": -1.0 }), "/max_norm_growth"),
        (json!({ "max_saturated_share": 1.5 }), "/max_saturated_share"),
        (json!({ "max_flipped": 9 }), "/max_flipped"),
        (json!({ "near_zero": -1.0 }), "/near_zero"),
    ] {
        let error = Weights::open(serde_json::from_value::<Config>(config).unwrap()).err().unwrap();
        assert_eq!(error.path, path);
    }
    assert!(serde_json::from_value::<Config>(json!({ "max_outlier": 1.0 })).is_err());
}

#[test]
fn the_registry_offers_the_analyzer() {
    let registry = analyze_weights::registry();
    assert!(registry.open_probe(Kind::Analyzer, "weights", &json!({})).is_ok());
    assert!(registry.manifest().components[0].docs.starts_with("Looks for broken"));
}
