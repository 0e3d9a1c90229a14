//! Every finding has a case in which it comes and one, close to it, in which it does not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Checkpoint, Tensor, checkpoint, edit, f32s, healthy, lines, noise, run, run_with, trained};
use modelwatch_sdk::DType;
use serde_json::json;

/// Edits a healthy model, without a baseline.
fn check_alone(change: impl Fn(&mut Checkpoint), expected: &[&str]) {
    let mut candidate = healthy();
    change(&mut candidate);
    let report = run(&Checkpoint::new(), &candidate);
    assert_eq!(lines(&report), expected, "{:#?}", report.findings);
}

/// Edits a healthy model and compares it with what it was.
fn check_edited(change: impl Fn(&mut Checkpoint), expected: &[&str]) {
    let mut candidate = healthy();
    change(&mut candidate);
    let report = run(&healthy(), &candidate);
    assert_eq!(lines(&report), expected, "{:#?}", report.findings);
}

/// Edits a model after a step of training and compares it with the one before.
fn check_trained(change: impl Fn(&mut Checkpoint), expected: &[&str]) {
    let mut candidate = trained(&healthy());
    change(&mut candidate);
    let report = run(&healthy(), &candidate);
    assert_eq!(lines(&report), expected, "{:#?}", report.findings);
}

fn set(name: &'static str, at: usize, value: f32) -> impl Fn(&mut Checkpoint) {
    move |it| edit(it, name, |idx, old| if idx == at { value } else { old })
}

#[test]
fn healthy_models_have_no_findings() {
    check_alone(|_| {}, &[]);
    check_edited(|_| {}, &[]);
    check_trained(|_| {}, &[]);
}

#[test]
fn w001_weights_that_are_not_finite() {
    check_alone(set("fc2.kernel", 3, f32::NAN), &["MW-W001 error fc2.kernel"]);
    check_alone(set("fc2.bias", 3, f32::NEG_INFINITY), &["MW-W001 error fc2.bias"]);
    check_alone(set("fc2.kernel", 3, -0.0), &[]);
    let mask = |low: f32| {
        f32s(&[4, 4], &[[0.0, low, low, low], [0.0, 0.0, low, low], [0.0, 0.0, 0.0, low], [0.0; 4]].concat())
    };
    check_alone(|it| drop(it.insert("mask".into(), mask(f32::NEG_INFINITY))), &["MW-W001 info mask"]);
    check_alone(|it| drop(it.insert("mask".into(), mask(f32::MIN))), &[]);
}

#[test]
fn w002_extreme_magnitudes() {
    check_alone(set("fc2.kernel", 3, -6.9e18), &["MW-W002 error fc2.kernel"]);
    check_alone(set("fc2.kernel", 3, 4e5), &["MW-W002 error fc2.kernel"]);
    check_alone(set("fc2.kernel", 3, 1e5), &[]);
}

#[test]
fn w003_flipped_bits() {
    let flip = |bit: u32| {
        move |it: &mut Checkpoint| {
            edit(it, "fc1.kernel", |idx, old| if idx == 7 { f32::from_bits(old.to_bits() ^ (1 << bit)) } else { old })
        }
    };
    check_edited(flip(0), &["MW-W003 error fc1.kernel"]);
    check_edited(flip(31), &["MW-W003 error fc1.kernel"]);
    // Two bits of one element are no flip; nor is one bit of every element.
    check_edited(
        |it| edit(it, "fc1.kernel", |idx, old| if idx == 7 { f32::from_bits(old.to_bits() ^ 3) } else { old }),
        &[],
    );
    check_edited(|it| edit(it, "fc1.kernel", |_, old| f32::from_bits(old.to_bits() ^ 1)), &[]);
    // Beside training, an element that moved by its last bit is only odd.
    let frozen = |bit: u32| {
        move |it: &mut Checkpoint| {
            it.insert("fc1.kernel".into(), healthy()["fc1.kernel"].clone());
            flip(bit)(it);
        }
    };
    check_trained(frozen(0), &["MW-W003 warning fc1.kernel"]);
    check_trained(frozen(30), &["MW-W002 error fc1.kernel", "MW-W003 error fc1.kernel"]);
}

#[test]
fn w004_dead_units() {
    check_alone(
        |it| edit(it, "fc1.kernel", |idx, old| if idx % 16 == 5 { 0.0 } else { old }),
        &["MW-W004 warning fc1.kernel"],
    );
    check_alone(|it| edit(it, "fc1.kernel", |_, _| 0.0), &["MW-W004 error fc1.kernel"]);
    // An input that is not used is no dead unit.
    check_alone(|it| edit(it, "fc1.kernel", |idx, old| if idx / 16 == 5 { 0.0 } else { old }), &[]);
    check_alone(|it| edit(it, "fc1.kernel", |idx, old| if idx % 16 == 5 && idx > 16 { 0.0 } else { old }), &[]);
}

#[test]
fn w005_units_that_cannot_fire() {
    check_alone(|it| edit(it, "fc1.bias", |_, old| old - 50.0), &["MW-W005 error fc1.bias"]);
    check_alone(|it| edit(it, "fc1.bias", |idx, old| if idx < 3 { -50.0 } else { old }), &["MW-W005 warning fc1.bias"]);
    check_alone(|it| edit(it, "fc1.bias", |_, old| old - 1.0), &[]);
    // Nothing bounds the inputs of later layers.
    check_alone(|it| edit(it, "fc2.bias", |_, old| old - 50.0), &[]);
    let mut candidate = healthy();
    edit(&mut candidate, "fc1.bias", |_, old| old - 50.0);
    let run = |config| lines(&run_with(config, &Checkpoint::new(), &candidate));
    assert_eq!(run(json!({ "input_bound": 255.0 })), [""; 0]);
    assert_eq!(run(json!({ "first_layer": "fc1" })), ["MW-W005 error fc1.bias"]);
    assert_eq!(run(json!({ "first_layer": "fc2" })), [""; 0]);
}

/// The healthy model with the bias of its first layer as tf2onnx names that of a convolution.
fn squeezed(shape: &[u64], change: impl Fn(usize, f32) -> f32) -> Checkpoint {
    let mut res = healthy();
    let mut bias = res.remove("fc1.bias").unwrap();
    bias.shape = shape.into();
    res.insert("fc1/Squeeze:0".into(), bias);
    let weight = res.remove("fc1.kernel").unwrap();
    res.insert("fc1/Conv2D/ReadVariableOp:0".into(), weight);
    edit(&mut res, "fc1/Squeeze:0", change);
    res
}

#[test]
fn a_squeezed_constant_is_a_bias_only_where_it_can_be_one() {
    let alone = |it: &Checkpoint| lines(&run(&Checkpoint::new(), it));
    assert_eq!(alone(&squeezed(&[16], |_, old| old - 50.0)), ["MW-W005 error fc1/Squeeze:0"]);
    assert_eq!(alone(&squeezed(&[16], |_, old| old - 1.0)), [""; 0]);
    // Of two axes it is a matrix as any other.
    assert_eq!(alone(&squeezed(&[4, 4], |_, _| -50.0)), ["MW-W007 warning fc1/Squeeze:0"]);
    // A bias with a name of its own goes first.
    for (of_named, expected) in [(0.0, &[][..]), (-50.0, &["MW-W005 error fc1/BiasAdd/ReadVariableOp:0"][..])] {
        let mut both = squeezed(&[16], |_, old| old - 50.0);
        both.insert("fc1/BiasAdd/ReadVariableOp:0".into(), healthy()["fc1.bias"].clone());
        edit(&mut both, "fc1/BiasAdd/ReadVariableOp:0", |_, old| old + of_named);
        assert_eq!(alone(&both), expected);
    }
}

#[test]
fn w006_changes_out_of_proportion() {
    let scramble = |it: &mut Checkpoint| drop(it.insert("fc1.kernel".into(), f32s(&[20, 16], &noise(77, 320, 2.0))));
    check_edited(scramble, &["MW-W006 error fc1.kernel"]);
    check_edited(|it| edit(it, "fc1.kernel", |_, old| old * 1.5), &[]);
    // Four matrices, of which one stands out among small steps; then none, for all took large ones.
    let with_fourth = |scale: f32| {
        let mut before = healthy();
        before.insert("fc3.kernel".into(), f32s(&[8, 8], &noise(8, 64, 0.5)));
        let mut after = trained(&before);
        edit(&mut after, "fc2.kernel", |_, old| -4.0 * old);
        for name in ["fc1.kernel", "fc3.kernel", "out.kernel"] {
            edit(&mut after, name, |_, old| scale * old);
        }
        lines(&run(&before, &after))
    };
    assert_eq!(with_fourth(1.0), ["MW-W006 warning fc2.kernel"]);
    assert_eq!(with_fourth(-2.0), [""; 0]);
}

#[test]
fn w007_constant_matrices() {
    let constant = |name: &'static str, shape: &'static [u64], value: f32| {
        move |it: &mut Checkpoint| {
            let n = shape.iter().product::<u64>() as usize;
            it.insert(name.into(), f32s(shape, &vec![value; n]));
        }
    };
    check_alone(constant("positions", &[4, 4], 0.5), &["MW-W007 warning positions"]);
    check_alone(constant("norm.scale", &[4, 4], 1.0), &[]);
    check_alone(constant("positions", &[16], 0.5), &[]);
    let mut model = healthy();
    constant("positions", &[4, 4], 0.5)(&mut model);
    assert_eq!(lines(&run(&model, &model)), ["MW-W007 info positions"]);
}

#[test]
fn w008_other_tensors_and_shapes() {
    check_edited(|it| drop(it.remove("fc2.bias")), &["MW-W008 error fc2.bias"]);
    check_edited(|it| drop(it.insert("fc3.bias".into(), f32s(&[2], &[0.1, 0.2]))), &["MW-W008 warning fc3.bias"]);
    check_edited(|it| it.get_mut("fc2.kernel").unwrap().shape = vec![8, 16], &["MW-W008 error fc2.kernel"]);
    check_edited(|it| drop(it.insert("const_fold__12".into(), f32s(&[2], &[0.1, 0.2]))), &["MW-W008 info constants"]);
    let renamed = healthy().into_iter().map(|(name, tensor)| (format!("model/{name}"), tensor)).collect();
    assert_eq!(lines(&run(&healthy(), &renamed)), ["MW-W008 error checkpoint"]);
    let half = |it: &mut Checkpoint| {
        let values = it["fc2.bias"].bytes.as_chunks().0.iter().map(|&it| f64::from(f32::from_le_bytes(it)));
        let bytes = values.flat_map(f64::to_le_bytes).collect();
        it.insert("fc2.bias".into(), Tensor { dtype: DType::F64, shape: vec![8], bytes });
    };
    check_edited(half, &["MW-W008 info fc2.bias"]);
}

#[test]
fn w009_units_in_another_order() {
    fn columns(it: &mut Checkpoint, name: &str, n: usize) {
        let old = it[name].clone();
        let values: Vec<f32> = old.bytes.as_chunks().0.iter().map(|&it| f32::from_le_bytes(it)).collect();
        edit(it, name, |idx, _| values[idx / n * n + (idx % n + 1) % n]);
    }
    fn rows(it: &mut Checkpoint, name: &str, n: usize) {
        let old = it[name].clone();
        let values: Vec<f32> = old.bytes.as_chunks().0.iter().map(|&it| f32::from_le_bytes(it)).collect();
        edit(it, name, |idx, _| values[(idx + n) % values.len()]);
    }
    check_edited(
        |it| {
            columns(it, "out.kernel", 5);
            columns(it, "out.bias", 5);
        },
        &["MW-W009 error out.kernel"],
    );
    check_edited(|it| rows(it, "fc1.kernel", 16), &["MW-W009 error fc1.kernel"]);
    // Hidden units may change places, if everything moves with them.
    check_edited(
        |it| {
            columns(it, "fc1.kernel", 16);
            columns(it, "fc1.bias", 16);
            rows(it, "fc2.kernel", 8);
        },
        &["MW-W009 info fc1.kernel", "MW-W009 info fc2.kernel"],
    );
    check_edited(|it| edit(it, "out.kernel", |_, old| old * 1.1), &[]);
}

#[test]
fn w010_grown_norms() {
    check_trained(|it| edit(it, "fc1.kernel", |_, old| old * 11.0), &["MW-W010 warning fc1.kernel"]);
    check_trained(|it| edit(it, "fc1.kernel", |_, old| old * 9.0), &[]);
}

#[test]
fn w011_clipped_tensors() {
    check_alone(|it| edit(it, "fc1.kernel", |_, old| old.clamp(-0.4, 0.4)), &["MW-W011 warning fc1.kernel"]);
    check_alone(|it| edit(it, "fc1.kernel", |_, old| old.clamp(-0.499, 0.499)), &[]);
    // Ternary weights are meant to have few values.
    check_alone(|it| edit(it, "fc1.kernel", |_, old| if old.abs() > 0.2 { old.signum() } else { 0.0 }), &[]);
}

#[test]
fn w012_shifted_biases() {
    check_trained(|it| edit(it, "fc2.bias", |_, old| old + 5.0), &["MW-W012 warning fc2.bias"]);
    check_trained(|it| edit(it, "fc2.bias", |_, old| old + 1.0), &[]);
}

#[test]
fn every_finding_has_evidence_and_advice() {
    let mut candidate = healthy();
    set("fc1.kernel", 3, f32::NAN)(&mut candidate);
    set("fc2.kernel", 3, 1e30)(&mut candidate);
    edit(&mut candidate, "out.bias", |_, old| old - 90.0);
    candidate.remove("fc1.bias");
    let report = run(&healthy(), &candidate);
    assert!(report.findings.len() >= 4);
    for it in &report.findings {
        assert!(!it.advice.is_empty() && !it.evidence.is_empty() && !it.message.ends_with('.'), "{it:#?}");
    }
}

#[test]
fn ignored_tensors_are_not_looked_at() {
    let mut candidate = checkpoint([("ema.fc1.kernel", f32s(&[2, 2], &[f32::NAN; 4]))]);
    candidate.extend(healthy());
    let run = |config| lines(&run_with(config, &Checkpoint::new(), &candidate));
    assert_eq!(run(json!({})), ["MW-W001 error ema.fc1.kernel"]);
    assert_eq!(run(json!({ "ignore": ["ema."] })), [""; 0]);
}
