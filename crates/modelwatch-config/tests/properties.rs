//! What holds for any text.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use modelwatch_config::{
    Bound, CheckpointSpec, LabelMatch, MetricAddress, Op, Operand, Override, Parsed, Reference, Relative, Requirement,
    parse, render, requirement, to_json,
};
use proptest::prelude::*;

const VALID: &str = r#"
version = 1
name = "digits-gate"
[store]
uses = "local"
with = { path = "../store", deep = { list = [1, 2.5, true, "x"] } }
[checkpoint]
import = "../ckpt"
name = "digits"
[baseline]
from = "digits@good"
[data.current]
path = "test.parquet"
[data.columns]
label = "label"
inputs = { image = "pixels", X = ["a", "b*"] }
[[verify]]
uses = "metrics"
timeout = "30s"
require = { accuracy = ">= 0.95", "recall[slice=*]" = [">= 99% of baseline with confidence 95%", "between 0.1 and 1"] }
[[analyze]]
uses = "drift"
when = "baseline"
[on.pass]
move = ["good"]
[on.fail]
rollback = "production"
run = ["a", "b"]
"#;

/// Checks what is true of every outcome, whatever the text.
fn check(parsed: &Parsed) {
    let is_faulty = !parsed.diagnostics.is_empty();
    assert_eq!(parsed.pipeline.is_none(), is_faulty, "{:?}", parsed.diagnostics);
    let text = render(&parsed.diagnostics, &parsed.document, false);
    assert_eq!(text.is_empty(), !is_faulty);
    assert_eq!(to_json(&parsed.diagnostics, &parsed.document).as_array().unwrap().len(), parsed.diagnostics.len());
    for it in &parsed.diagnostics {
        assert!(text.contains(it.code));
        assert!(modelwatch_config::explain(it.code).is_some());
        assert!(it.span.is_none() || it.location(&parsed.document).is_some());
    }
}

/// One change of a text: at a place, remove some characters and put others there.
fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let bits = prop_oneof![
        "[\\[\\]{}=\"'.,#\n ]{0,3}",
        "\\PC{0,4}",
        prop::sample::select(vec![
            "nan",
            "1e999",
            "2026-01-01",
            "\"\"\"",
            "99999999999999999999",
            "[[x]]\n",
            "\r\n",
            "\0",
            "é"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, bits), 1..6)
}

fn mutated(edits: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = VALID.chars().collect();
    for (at, len, bits) in edits {
        if chars.is_empty() {
            break;
        }
        let at = at.index(chars.len());
        let end = (at + len).min(chars.len());
        chars.splice(at..end, bits.chars());
    }
    chars.into_iter().collect()
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |it| it.is_finite()),
        (-1000..1000_i32).prop_map(|it| f64::from(it) / 1000.0),
    ]
}

fn address() -> impl Strategy<Value = MetricAddress> {
    let value = prop_oneof![
        Just(LabelMatch::Any),
        "[a-z0-9_=.-]{1,8}".prop_map(LabelMatch::Prefix),
        "\\PC{0,8}".prop_map(LabelMatch::Exact)
    ];
    let labels = prop::collection::btree_map("[a-z0-9_.-]{1,6}", value, 0..3);
    ("[a-zA-Z_][a-zA-Z0-9_./:-]{0,10}", labels)
        .prop_map(|(name, labels): (_, BTreeMap<_, _>)| MetricAddress { name, labels })
}

fn bound() -> impl Strategy<Value = Bound> {
    let op =
        prop::sample::select(vec![Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual, Op::Equal, Op::NotEqual]);
    let factor =
        prop_oneof![Just(1.0), number().prop_map(f64::abs).prop_filter("above zero", |it| *it > 0.0 && *it < 1e305)];
    let relative =
        (factor, number()).prop_map(|(factor, offset)| Relative { to: Reference::Baseline, factor, offset }).boxed();
    let operand = prop_oneof![number().prop_map(Operand::Number), relative.clone().prop_map(Operand::Relative)];
    prop_oneof![
        relative.prop_map(|than| Bound::NotWorse { than }),
        (op, operand).prop_map(|(op, right)| Bound::Compare { op, right }),
        (number(), number()).prop_map(|(a, b)| Bound::Between { low: a.min(b), high: a.max(b) }),
    ]
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_diagnosed(text in "\\PC*|[\\[\\]{}=\"'.,#\na-c0-9 -]{0,80}") {
        check(&parse("p.toml".as_ref(), &text, &[]));
    }

    #[test]
    fn a_damaged_pipeline_is_parsed_or_diagnosed(edits in edits()) {
        check(&parse("p.toml".as_ref(), &mutated(&edits), &[]));
    }

    #[test]
    fn any_override_is_applied_or_diagnosed(
        path in prop::sample::select(vec![
            "name", "verify", "verify.0", "verify.1.uses", "verify.0.require.accuracy", "verify.0.require.\"a[b\"",
            "store.with.deep.list.1", "on.pass.move", "data.columns.inputs.X.0", "data", "run.threads", "a.b.c",
        ]),
        value in "\\PC{0,12}|nan|2026-01-01|\\{ ?a ?= ?(1|inf)\\}|\\[[0-9,\"]{0,6}\\]|[<>=]{1,2} ?[0-9.%]{0,4}",
    ) {
        if let Ok(it) = format!("{path}={value}").parse::<Override>() {
            check(&parse("p.toml".as_ref(), VALID, &[it]));
        }
    }

    #[test]
    fn any_argument_is_an_override_or_refused(text in "\\PC*|[a-c.=\"']{0,12}") {
        let _ = text.parse::<Override>();
        let _ = text.parse::<CheckpointSpec>();
    }

    #[test]
    fn errors_in_requirements_point_into_their_text(metric in "\\PC{0,12}|[a-c\\[\\]=,\"*\\\\ ]{0,12}", text in "\\PC{0,20}|([<>=!]{1,2}|between|baseline|overall|not|worse|than|a\\[slice=|\\]|of|with|confidence|and|[0-9.]{1,3}|[%+-]| ){0,8}") {
        if let Err(error) = requirement::parse(&metric, &text) {
            let source = if error.part == modelwatch_config::RequirementPart::Metric { &metric } else { &text };
            prop_assert!(source.get(error.span.clone()).is_some(), "{error:?}");
        }
    }

    #[test]
    fn a_shown_requirement_reads_back_as_the_same(
        metric in address(),
        bound in bound(),
        confidence in prop::option::of((1..10_000_u32).prop_map(|it| f64::from(it) / 10_000.0)),
    ) {
        let is_equality = matches!(bound, Bound::Compare { op: Op::Equal | Op::NotEqual, .. });
        let confidence = confidence.filter(|it| !is_equality && *it < 1.0);
        let it = Requirement { metric, bound, confidence, text: String::new(), pointer: String::new() };
        let text = it.condition();
        let back = requirement::parse(&it.metric.to_string(), &text);
        prop_assert_eq!(back, Ok(Requirement { text, ..it }));
    }
}

#[test]
fn the_pipeline_that_is_damaged_is_valid() {
    let parsed = parse("p.toml".as_ref(), VALID, &[]);
    assert!(parsed.pipeline.is_some(), "{:?}", parsed.diagnostics);
}

#[test]
fn deep_and_wide_files_are_read_in_reasonable_time() {
    for text in [
        "[".repeat(500_000),
        format!("a = {}", "[".repeat(500_000)),
        format!("{}b = 1", "a.".repeat(500_000)),
        format!("a = {}", "{a=".repeat(300_000)),
        "[[verify]]\nuses='m'\n".repeat(20_000),
        "x=1\n".repeat(20_000),
    ] {
        let parsed = parse("p.toml".as_ref(), &text, &[]);
        assert!(parsed.pipeline.is_none());
    }
}
