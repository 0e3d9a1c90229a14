//! Real checkpoints: eight healthy epochs and seven bad ones of two networks.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Checkpoint, fixture, lines, run, with_severity};
use modelwatch_sdk::report::Severity;

fn epoch(series: &str, number: usize) -> Checkpoint {
    fixture(&format!("{series}_series/e{number:02}.safetensors"))
}

#[test]
fn healthy_training_has_no_findings_above_info() {
    for series in ["cnn", "mlp"] {
        for (before, after) in (1..8).map(|it| (it, it + 1)).chain([(1, 8), (1, 4), (8, 8)]) {
            let report = run(&epoch(series, before), &epoch(series, after));
            assert_eq!(lines(&report), [""; 0], "{series} {before} → {after}: {:#?}", report.findings);
        }
        for number in 1..=8 {
            let report = run(&Checkpoint::new(), &epoch(series, number));
            assert_eq!(lines(&report), [""; 0], "{series} {number} alone");
        }
    }
}

#[test]
fn bad_checkpoints_are_named() {
    // Overfitting and shuffled labels are not in single weights; nothing is claimed about them.
    for (name, expected) in [
        ("bitflip", "MW-W003"),
        ("diverged", "MW-W001"),
        ("dead_relu", "MW-W005"),
        ("noise_first_layer", "MW-W006"),
        ("class_order", "MW-W009"),
    ] {
        for series in ["cnn", "mlp"] {
            let report = run(&epoch(series, 8), &fixture(&format!("{series}_series/bad_{name}.safetensors")));
            let errors: Vec<_> = with_severity(&report, Severity::Error).iter().map(|it| it.code.as_str()).collect();
            assert!(errors.contains(&expected), "{series} {name}: {:#?}", report.findings);
        }
    }
}

#[test]
fn findings_of_bad_checkpoints() {
    let check = |file: &str, expected: &[&str]| {
        let series = &file[..3];
        let report = run(&epoch(series, 8), &fixture(&format!("{series}_series/bad_{}.safetensors", &file[4..])));
        assert_eq!(lines(&report), expected, "{file}: {:#?}", report.findings);
    };
    check("cnn/bitflip", &["MW-W002 error digits_cnn.probs.kernel", "MW-W003 error digits_cnn.probs.kernel"]);
    check("mlp/bitflip", &["MW-W002 error digits_mlp.probs.kernel", "MW-W003 error digits_mlp.probs.kernel"]);
    check(
        "cnn/dead_relu",
        &[
            "MW-W005 error digits_cnn.conv1.bias",
            "MW-W006 error digits_cnn.conv1.bias",
            "MW-W012 warning digits_cnn.conv1.bias",
        ],
    );
    check("mlp/noise_first_layer", &["MW-W006 error digits_mlp.fc1.kernel"]);
    check("cnn/class_order", &["MW-W009 error digits_cnn.probs.kernel"]);
    check("cnn/overfit", &[]);
    check("cnn/shuffled_labels", &[]);
    check("mlp/overfit", &[]);
    check("mlp/shuffled_labels", &[]);
}

#[test]
fn the_flipped_bit_is_located() {
    let report = run(&epoch("cnn", 8), &fixture("cnn_series/bad_bitflip.safetensors"));
    let finding = report.findings.iter().find(|it| it.code == "MW-W003").unwrap();
    let element = &finding.evidence["elements"][0];
    assert_eq!((element["index"].as_u64(), element["bit"].as_u64()), (Some(17), Some(30)), "{element}");
    assert!(element["new"].as_f64().unwrap().abs() > 1e37);
    assert_eq!(finding.evidence["others_unchanged"], true);
}

#[test]
fn rotated_classes_are_told_from_other_orders() {
    let report = run(&epoch("mlp", 8), &fixture("mlp_series/bad_class_order.safetensors"));
    let finding = &report.findings[0];
    assert!(
        finding.message.contains("10 output units") && finding.message.contains("rotated by"),
        "{}",
        finding.message
    );
    assert_eq!(finding.evidence["bias_moved_too"], true);
}
