//! Two models that agree, that part, and of which nothing can be said.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use modelwatch_sdk::{
    Error, Kind, ModelRole, Probe, RecordBatch, Report, Role, Verifier,
    about::{ModelDescription, Port},
    arrow::{
        array::{Array, ArrayRef, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    artifact::Artifact,
    nodes::{
        Counterpart, Difference, MatchedBy, NodeComparison, NodeDifference, NodeInput, OutputDifference, ValueRange,
    },
    report::{FigureData, Severity, Status},
    reproduction::{Excerpt, Reproduction, Told},
    rows::with_input,
    testing::{self, ModelHost, ProbeCase, TestModel},
};
use serde_json::{Value, json};
use verify_differential::{Config, Differential};

/// Forty rows as the host hands them over.
fn rows() -> RecordBatch {
    let x: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values((0..40).map(|it| format!("row {it}"))));
    let input = |role| with_input(Field::new("x", DataType::Float64, true), role, "input");
    let field = with_input(input(ModelRole::Candidate), ModelRole::Baseline, "input");
    let fields = vec![field, Field::new("name", DataType::Utf8, true)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![x, name]).unwrap()
}

fn difference(max_absolute: f64, relative_norm: f64, n_beyond: u64) -> Difference {
    Difference { n: 100, n_beyond, n_both_nan: 0, n_both_infinite: 0, max_absolute, relative_norm }
}

fn node(name: &str, cumulative: Difference, isolated: Difference) -> NodeDifference {
    let range = Some(ValueRange { least: -1.0, greatest: 2.5 });
    NodeDifference {
        name: name.to_owned(),
        operator: "Conv".to_owned(),
        inputs: vec![NodeInput { node: "x".to_owned(), range }],
        range,
        counterpart: Some(Counterpart {
            name: name.to_owned(),
            matched_by: MatchedBy::Name,
            cumulative,
            isolated,
            range,
        }),
    }
}

fn output(difference: Difference) -> Vec<OutputDifference> {
    vec![OutputDifference { name: "probs".to_owned(), baseline: "y".to_owned(), difference }]
}

/// A comparison in which the second of three nodes is wrong.
fn parted() -> NodeComparison {
    let same = || difference(1e-7, 1e-7, 0);
    let unpaired = NodeDifference { name: "quantize".to_owned(), ..NodeDifference::default() };
    let nodes = vec![
        node("first", same(), same()),
        unpaired,
        node("second", difference(0.5, 0.2, 30), difference(0.5, 0.2, 30)),
        node("third", difference(0.9, 0.3, 60), same()),
    ];
    NodeComparison { rows: 32, outputs: output(difference(0.4, 0.1, 7)), nodes, ..NodeComparison::default() }
}

fn host(comparison: NodeComparison) -> ModelHost {
    let port = |name: &str| Port { name: name.to_owned(), dtype: "f32".to_owned(), shape: vec![None, Some(3)] };
    let model = |input: &str| {
        let mut res = TestModel::new(|_| Err(Error::input("only compared here")));
        res.description = ModelDescription { inputs: vec![port(input)], ..ModelDescription::default() };
        res
    };
    ModelHost::new(model("x")).with_baseline(model("input")).with_comparison(move |rows, terms| {
        assert!(terms.tolerance.absolute >= 0.0 && rows.num_rows() > 0);
        Ok(NodeComparison { rows: rows.num_rows() as u64, ..comparison.clone() })
    })
}

fn open(options: Value) -> Differential {
    Differential::open(serde_json::from_value::<Config>(options).unwrap()).unwrap()
}

fn run(options: Value, comparison: NodeComparison) -> Report {
    let mut probe = open(options);
    let host = host(comparison);
    probe.update(&host, Role::Current, &rows()).unwrap();
    probe.evaluate(&host).unwrap()
}

fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|it| it.code.as_str()).collect()
}

fn status(report: &Report, metric: &str) -> Status {
    report.checks.iter().find(|it| it.metric == metric).unwrap().status
}

#[test]
fn it_keeps_the_rules_of_probes() {
    let open = || Ok(Box::new(open(json!({"rows": 8}))) as Box<dyn Probe>);
    testing::probe_on(
        &host(parted()),
        &ProbeCase {
            open: &open,
            rows: vec![(Role::Current, rows())],
            tensors: vec![],
            codes: verify_differential::registry().manifest().codes(Kind::Verifier, "differential"),
        },
    );
}

#[test]
fn the_first_node_that_does_something_else_is_named() {
    let report = run(json!({}), parted());
    assert_eq!((report.checks.len(), status(&report, "unmatched_outputs")), (4, Status::Pass));
    assert_eq!((report.checks[0].status, report.checks[0].observed), (Status::Fail, Some(0.07)));
    assert_eq!(codes(&report), ["MW-N001"]);
    let message = &report.findings[0].message;
    assert!(message.contains(" of their norm, by at most ") && message.ends_with(" in any element"), "{message}");
    let finding = &report.findings[0];
    assert_eq!((&*finding.place, finding.severity), ("second", Severity::Error));
    assert_eq!(finding.evidence["operator"], "Conv");
    assert_eq!(finding.evidence["inputs"], "x: -1.000 … 2.500");
    let metric = |name: &str| report.metrics.iter().find(|it| it.name == name).unwrap().value;
    assert_eq!((metric("nodes"), metric("nodes_without_counterpart"), metric("nodes_that_differ")), (4.0, 1.0, 1.0));
    assert!(matches!(&report.figures[0].data, FigureData::Lines { x, .. } if *x == [1.0, 3.0, 4.0]));
    assert!(matches!(&report.figures[1].data, FigureData::Table { rows, .. } if rows[0][5] == "second"));
}

#[test]
fn limits_decide_what_passes() {
    let status = |options| run(options, parted()).checks[0].status;
    assert_eq!(status(json!({"max_mismatch_share": 0.08})), Status::Pass);
    assert_eq!(status(json!({"max_mismatch_share": 0.06})), Status::Fail);
    assert_eq!(status(json!({"max_relative_norm": 0.1})), Status::Pass);
    assert_eq!(status(json!({"max_relative_norm": 0.09})), Status::Fail);
    // What agrees all the same is said, and no reason to fail.
    let report = run(json!({"max_relative_norm": 0.15}), parted());
    assert_eq!((codes(&report), report.findings[0].severity), (vec!["MW-N002"], Severity::Info));
    assert_eq!(codes(&run(json!({"max_relative_norm": 0.25}), parted())), [""; 0]);
}

#[test]
fn outputs_that_part_between_nodes_without_counterparts_are_said_to() {
    let mut comparison = parted();
    comparison.nodes.drain(2..);
    let report = run(json!({}), comparison);
    assert_eq!((codes(&report), &*report.findings[0].place), (vec!["MW-N003"], "first"));
    assert!(report.findings[0].message.contains("one of 1 without, or small"), "{}", report.findings[0].message);
    // Nodes with a counterpart and no numbers are others.
    let mut comparison = parted();
    comparison.nodes.drain(2..);
    comparison.nodes.extend(["word", "other"].map(|it| node(it, Difference::default(), Difference::default())));
    let message = |comparison| run(json!({}), comparison).findings[0].message.clone();
    let both = message(comparison.clone());
    assert!(both.contains("one of 1 without, one of 2 that give no numbers to compare, or small"), "{both}");
    comparison.nodes.remove(1);
    let silent = message(comparison);
    assert!(silent.contains("it is one of 2 that give no numbers to compare, or small"), "{silent}");
}

/// A comparison of nodes that are each within 0.03 and together are not.
fn adding_up() -> NodeComparison {
    let of = |name, cumulative, isolated| node(name, difference(0.1, cumulative, 3), difference(0.1, isolated, 3));
    let nodes =
        vec![of("first", 0.01, 0.01), of("second", 0.02, 0.02), of("third", 0.04, 0.015), of("fourth", 0.07, 0.025)];
    NodeComparison { rows: 32, outputs: output(difference(0.1, 0.07, 7)), nodes, ..NodeComparison::default() }
}

#[test]
fn errors_that_add_up_are_said_to() {
    let report = run(json!({"max_relative_norm": 0.03}), adding_up());
    assert_eq!((report.checks[0].status, codes(&report)), (Status::Fail, vec!["MW-N007"]));
    let finding = &report.findings[0];
    assert_eq!((&*finding.place, finding.severity), ("third", Severity::Error));
    assert!(finding.message.contains("`third` (Conv) is the first beyond the limits, off by 4.0e-2"), "{finding:?}");
    assert!(finding.message.contains(" of its norm, by at most ") && finding.message.contains(" in any element; "));
    // The farthest up to there, in their order.
    let contributors = "`second` (Conv) by 2.0e-2; `third` (Conv) by 1.5e-2; `first` (Conv) by 1.0e-2";
    assert_eq!(finding.evidence["contributors"], contributors);
    assert_eq!(
        (&finding.evidence["operator"], &finding.evidence["inputs"]),
        (&json!("Conv"), &json!("x: -1.000 … 2.500"))
    );
    // Within the limit nothing is said, and of what comes after a node without a counterpart nobody knows.
    assert!(codes(&run(json!({"max_relative_norm": 0.08}), adding_up())).is_empty());
    let mut hidden = adding_up();
    hidden.nodes[0].counterpart = None;
    let report = run(json!({"max_relative_norm": 0.03}), hidden);
    assert_eq!(codes(&report), ["MW-N003"]);
    assert!(report.findings[0].message.contains("it is one of 1 without, or small errors of many that add up"));
}

#[test]
fn outputs_that_part_where_all_nodes_agree_are_not_blamed_on_none() {
    let mut comparison = adding_up();
    comparison.nodes.truncate(2);
    let report = run(json!({"max_relative_norm": 0.03}), comparison);
    assert_eq!(codes(&report), ["MW-N003"]);
    let message = &report.findings[0].message;
    assert!(message.contains("nor is any beyond the limits") && !message.contains("one of 0"), "{message}");
}

#[test]
fn a_value_that_is_finite_in_one_model_alone_never_passes() {
    let broken = || difference(f64::INFINITY, f64::INFINITY, 1);
    let mut comparison = parted();
    comparison.nodes[2] = node("second", broken(), broken());
    comparison.outputs = output(broken());
    for options in [json!({}), json!({"max_relative_norm": 1e300})] {
        let report = run(options, comparison.clone());
        assert_eq!(report.checks[0].status, Status::Fail);
        assert_eq!(codes(&report), ["MW-N001", "MW-N004"]);
        assert_eq!(report.findings[1].place, "second");
    }
}

#[test]
fn an_output_in_one_model_alone_never_passes() {
    let check = |missing: &[&str], extra: &[&str], words: &str| {
        let comparison = NodeComparison {
            outputs: output(difference(0.0, 0.0, 0)),
            missing_outputs: missing.iter().map(ToString::to_string).collect(),
            extra_outputs: extra.iter().map(ToString::to_string).collect(),
            nodes: vec![],
            ..parted()
        };
        let report = run(json!({}), comparison);
        assert_eq!(
            (status(&report, "mismatch_share"), status(&report, "unmatched_outputs")),
            (Status::Pass, Status::Fail)
        );
        let check = report.checks.iter().find(|it| it.metric == "unmatched_outputs").unwrap();
        assert!(check.message.contains(words), "{}", check.message);
        assert_eq!(codes(&report), vec!["MW-N005"; missing.len() + extra.len()]);
        assert!(report.findings.iter().all(|it| it.severity == Severity::Error));
        report
    };
    check(&["a"], &[], "the candidate lacks `a`");
    check(&[], &["b", "c"], "the baseline lacks `b`, `c`");
    let report = check(&["probs"], &["score"], "the candidate lacks `probs`, the baseline `score`");
    assert_eq!((&*report.findings[0].place, &*report.findings[1].place), ("probs", "score"));
    assert!(report.findings[0].advice.contains("set `outputs = { \"score\" = \"probs\" }`"), "{:?}", report.findings);
}

#[test]
fn names_that_outputs_have_in_the_baseline_are_told_to_the_host() {
    let port = || Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![None] };
    let model = || {
        let mut res = TestModel::new(|_| Err(Error::input("only compared here")));
        res.description = ModelDescription { inputs: vec![port()], ..ModelDescription::default() };
        res
    };
    let host = ModelHost::new(model()).with_baseline(model()).with_comparison(|_, terms| {
        assert_eq!(terms.outputs, [("score".to_owned(), "probs".to_owned())].into());
        Ok(NodeComparison { outputs: output(difference(0.0, 0.0, 0)), nodes: vec![], ..parted() })
    });
    let mut probe = open(json!({"outputs": {"score": "probs"}}));
    probe.update(&host, Role::Current, &rows()).unwrap();
    assert!(probe.evaluate(&host).unwrap().checks.iter().all(|it| it.status == Status::Pass));
}

#[test]
fn what_is_not_finite_in_both_models_passes_only_where_that_is_said() {
    let nan = Difference { n_both_nan: 5, ..difference(0.0, 0.0, 0) };
    not_finite(nan, "NaN", "nan_in_both", "equal_nan");
    let infinite = Difference { n_both_infinite: 5, ..difference(0.0, 0.0, 0) };
    not_finite(infinite, "infinite", "infinite_in_both", "equal_infinity");
}

fn not_finite(broken: Difference, word: &str, metric: &str, option: &str) {
    let broken = || broken.clone();
    let nodes = vec![node("first", difference(0.0, 0.0, 0), difference(0.0, 0.0, 0)), node("log", broken(), broken())];
    let comparison = NodeComparison { outputs: output(broken()), nodes, ..parted() };
    for options in [json!({}), json!({"max_relative_norm": 0.5}), json!({"max_mismatch_share": 0.9})] {
        let report = run(options, comparison.clone());
        assert_eq!((status(&report, metric), codes(&report)), (Status::Fail, vec!["MW-N006"]));
        let finding = &report.findings[0];
        assert_eq!((&*finding.place, &finding.evidence["output"]), ("log", &json!("probs")));
        let expected = format!("5 of 100 elements of output `probs` are {word} in both models, from `log`");
        assert!(finding.message.starts_with(&expected), "{}", finding.message);
    }
    let report = run(json!({option: true}), comparison);
    assert!(codes(&report).is_empty() && report.checks.iter().all(|it| it.status == Status::Pass), "{report:?}");
    assert_eq!(report.metrics.iter().find(|it| it.name == metric).unwrap().value, 5.0);
}

#[test]
fn each_node_is_measured_or_said_not_to_be() {
    let unpaired = |at: usize| NodeDifference { name: format!("fused {at:02}"), ..NodeDifference::default() };
    let mut comparison = parted();
    comparison.nodes.extend((0..23).map(unpaired));
    comparison.nodes.push(node("word", Difference::default(), Difference::default()));
    let report = run(json!({}), comparison);
    let of: Vec<_> = report.metrics.iter().filter(|it| it.name == "isolated_relative_norm").collect();
    let measured: Vec<_> = of.iter().filter(|it| it.n > 0).map(|it| (&*it.labels["node"], it.value)).collect();
    assert_eq!(measured, [("first", 1e-7), ("second", 0.2), ("third", 1e-7)]);
    let unmeasured: Vec<_> =
        of.iter().filter(|it| it.n == 0).map(|it| (&*it.labels["node"], it.unfit.as_deref())).collect();
    assert_eq!(unmeasured.len(), 22);
    let unmatched = Some("it has no counterpart in the baseline");
    assert_eq!(unmeasured[0], ("word", Some("it gives no numbers that could be compared")));
    assert_eq!((unmeasured[1], unmeasured[2]), (("quantize", unmatched), ("fused 00", unmatched)));
    assert_eq!(unmeasured[21], ("4 other nodes", unmatched));
    assert!(of.iter().filter(|it| it.n == 0).all(|it| it.value.is_nan()));
    let whys: Vec<_> = report.gaps.iter().map(|it| &*it.why).collect();
    let expected = [
        "24 of 28 nodes have no counterpart, and were not compared",
        "1 of 28 nodes give no numbers that could be compared",
    ];
    assert_eq!(whys, expected);
}

#[test]
fn nodes_that_cannot_be_run_are_not_measured() {
    let obstacle = Some("`y` (Loop) cannot be run by itself".to_owned());
    let report = run(json!({}), NodeComparison { nodes: vec![], obstacle: obstacle.clone(), ..parted() });
    for name in ["nodes", "nodes_without_counterpart", "nodes_that_differ"] {
        let it = report.metrics.iter().find(|it| it.name == name).unwrap();
        assert!(it.n == 0 && it.value.is_nan() && it.unfit == obstacle, "{it:?}");
    }
}

/// tract's own comparison counts a node without a counterpart as one that passed.
#[test]
fn nodes_without_counterparts_do_not_count_as_compared() {
    let unpaired =
        |name: &str| NodeDifference { counterpart: None, ..node(name, Difference::default(), Difference::default()) };
    let agreeing = || output(difference(0.0, 0.0, 0));
    let report =
        run(json!({}), NodeComparison { outputs: agreeing(), nodes: vec![unpaired("a"), unpaired("b")], ..parted() });
    let metric = |report: &Report, name: &str| report.metrics.iter().find(|it| it.name == name).unwrap().value;
    assert_eq!((metric(&report, "nodes"), metric(&report, "nodes_without_counterpart")), (2.0, 2.0));
    let differ = report.metrics.iter().find(|it| it.name == "nodes_that_differ").unwrap();
    assert!(differ.value.is_nan() && differ.n == 0, "{differ:?}");
    assert_eq!(differ.unfit.as_deref(), Some("no node was compared"));
    assert_eq!(
        (&*report.gaps[0].what, &*report.gaps[0].why),
        ("nodes", "no node has a counterpart: only the outputs were compared")
    );
    assert_eq!(status(&report, "mismatch_share"), Status::Pass);
    let check = report.checks.iter().find(|it| it.metric == "mismatch_share").unwrap();
    assert!(check.message.ends_with(" is 0, allowed 0"), "{}", check.message);
    // Without outputs either, there is nothing that could pass.
    let report = run(json!({}), NodeComparison { outputs: vec![], nodes: vec![unpaired("a")], ..parted() });
    assert_eq!((report.checks.len(), status(&report, "unmatched_outputs")), (1, Status::NotChecked));
    let nodes = vec![node("a", difference(0.0, 0.0, 0), difference(0.0, 0.0, 0)), unpaired("b")];
    let report = run(json!({}), NodeComparison { outputs: agreeing(), nodes, ..parted() });
    assert_eq!(report.gaps[0].why, "1 of 2 nodes have no counterpart, and were not compared");
}

#[test]
fn nothing_compared_is_nothing_passed() {
    let host = host(parted());
    let mut probe = open(json!({}));
    probe.update(&host, Role::Current, &rows().slice(0, 0)).unwrap();
    probe.update(&host, Role::Reference, &rows()).unwrap();
    let report = probe.evaluate(&host).unwrap();
    assert_eq!((report.checks[0].status, report.gaps.len()), (Status::NotChecked, 1));
    let empty = OutputDifference { name: "y".to_owned(), ..OutputDifference::default() };
    let report = run(json!({}), NodeComparison { outputs: vec![empty], ..parted() });
    assert_eq!(report.checks[0].status, Status::NotChecked);
    let mut probe = open(json!({}));
    probe.update(&(), Role::Current, &rows()).unwrap();
    assert!(probe.evaluate(&()).unwrap_err().message.contains("no service `nodes:"));
}

#[test]
fn a_model_without_nodes_is_compared_by_its_outputs_and_says_so() {
    let obstacle = Some("it is interpreted".to_owned());
    let report = run(json!({}), NodeComparison { nodes: vec![], obstacle, ..parted() });
    assert_eq!((report.checks[0].status, &*report.gaps[0].what), (Status::Fail, "nodes"));
    assert!(report.gaps[0].why.contains("interpreted") && report.figures.is_empty());
}

#[test]
fn random_inputs_have_the_declared_shapes_and_the_range() {
    let asked = Arc::new(std::sync::Mutex::new(None));
    let kept = Arc::clone(&asked);
    let port = |name: &str, dtype: &str, shape: Vec<Option<u64>>| Port {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shape,
    };
    let model = |inputs: Vec<Port>| {
        let mut res = TestModel::new(|_| Err(Error::input("only compared here")));
        res.description = ModelDescription { inputs, ..ModelDescription::default() };
        res
    };
    let candidate = vec![port("image", "f32", vec![None, Some(2), Some(2)]), port("n", "i64", vec![None])];
    let baseline = vec![port("x", "f32", vec![None, Some(2), Some(2)]), port("n", "i64", vec![None])];
    let host = ModelHost::new(model(candidate)).with_baseline(model(baseline)).with_comparison(move |rows, _| {
        *kept.lock().unwrap() = Some(rows.clone());
        Ok(parted())
    });
    let options = json!({"inputs": "random", "rows": 50, "range": [-3.0, 5.0]});
    open(options.clone()).evaluate(&host).unwrap();
    let first = asked.lock().unwrap().take().unwrap();
    let names: Vec<_> = first.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!((names, first.num_rows()), (vec!["image".to_owned(), "x".to_owned(), "n".to_owned()], 50));
    assert_eq!(first.column(0), first.column(1));
    let integers = first.column(2).as_any().downcast_ref::<Int64Array>().unwrap();
    assert!(integers.iter().flatten().all(|it| (-3..5).contains(&it)) && integers.null_count() == 0);
    let numbers = modelwatch_sdk::rows::numbers(first.column(0).as_ref()).unwrap();
    let all: Vec<f64> = (0..50).flat_map(|it| numbers.row(it).to_vec()).collect();
    assert!(
        all.iter().all(|it| (-3.0..5.0).contains(it))
            && all.iter().any(|it| *it < -2.0)
            && all.iter().any(|it| *it > 4.0)
    );
    open(options).evaluate(&host).unwrap();
    assert_eq!(asked.lock().unwrap().take().unwrap(), first);
    open(json!({"inputs": "random", "rows": 50, "range": [-3.0, 5.0], "seed": 1})).evaluate(&host).unwrap();
    assert_ne!(asked.lock().unwrap().take().unwrap(), first);
}

#[test]
fn random_whole_numbers_that_are_few_are_a_gap() {
    let gaps = |dtype: &str, options: Value| {
        let port = Port { name: "ids".to_owned(), dtype: dtype.to_owned(), shape: vec![None, Some(4)] };
        let model = || {
            let mut res = TestModel::new(|_| Err(Error::input("only compared here")));
            res.description = ModelDescription { inputs: vec![port.clone()], ..ModelDescription::default() };
            res
        };
        let host = ModelHost::new(model()).with_baseline(model()).with_comparison(|_, _| Ok(adding_up()));
        let gaps = open(options).evaluate(&host).unwrap().gaps;
        gaps.into_iter().filter(|it| it.what == "other values of `ids`").map(|it| it.why).collect::<Vec<_>>()
    };
    let found = gaps("i64", json!({"inputs": "random"}));
    assert!(found.len() == 1 && found[0].contains("`range` from 0 to 1 has 2 or fewer"), "{found:?}");
    assert_eq!(gaps("i64", json!({"inputs": "random", "range": [0.0, 5000.0]})), [""; 0]);
    assert_eq!(gaps("f32", json!({"inputs": "random"})), [""; 0]);
}

#[test]
fn inputs_that_cannot_be_drawn_say_why() {
    let check = |dtype: &str, shape: Vec<Option<u64>>, others: Vec<Option<u64>>, words: &str| {
        let model = |shape| {
            let mut res = TestModel::new(|_| Err(Error::input("not run")));
            let port = Port { name: "x".to_owned(), dtype: dtype.to_owned(), shape };
            res.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
            res
        };
        let host = ModelHost::new(model(shape)).with_baseline(model(others));
        let error = open(json!({"inputs": "random"})).evaluate(&host).unwrap_err();
        assert!(error.message.contains(words), "{}", error.message);
    };
    check("f32", vec![None, None], vec![None, None], "only the data decides");
    check("utf8", vec![None], vec![None], "is text");
    check("f32", vec![None, Some(2)], vec![None, Some(3)], "the baseline's [[3]]");
    check("f32", vec![None, Some(1 << 40)], vec![None, Some(1 << 40)], "more than");
    check("f32", vec![None, Some(0)], vec![None, Some(0)], "no elements");
}

#[test]
fn it_is_offered_by_name() {
    let registry = verify_differential::registry();
    assert!(registry.open_probe(Kind::Verifier, "differential", &json!({})).is_ok());
}

#[test]
fn random_inputs_can_stay_within_the_data() {
    // The rows have 0 to 39 for the input `input` of the candidate.
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let port = || Port { name: "input".to_owned(), dtype: "f32".to_owned(), shape: vec![None, Some(3)] };
    let model = || {
        let mut res = TestModel::new(|_| Err(Error::input("only compared here")));
        res.description = ModelDescription { inputs: vec![port()], ..ModelDescription::default() };
        res
    };
    let host = ModelHost::new(model()).with_baseline(model()).with_comparison(move |rows, _| {
        let numbers = modelwatch_sdk::rows::numbers(rows.column(0).as_ref())?;
        heard.lock().unwrap().push(numbers.values.to_vec());
        Ok(NodeComparison { rows: rows.num_rows() as u64, ..parted() })
    });
    let options = json!({"inputs": "data-range", "rows": 50, "seed": 3});
    let (mut whole, mut halves) = (open(options.clone()), open(options.clone()));
    whole.update(&host, Role::Current, &rows()).unwrap();
    for start in [20, 0] {
        let mut half = open(options.clone());
        half.update(&host, Role::Current, &rows().slice(start, 20)).unwrap();
        halves.merge(&half.state().unwrap()).unwrap();
    }
    assert_eq!(whole.state().unwrap(), halves.state().unwrap());
    whole.evaluate(&host).unwrap();
    halves.evaluate(&host).unwrap();
    // Taken out: the suite below makes the host hear more.
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let (least, greatest) = seen[0].iter().fold((f64::MAX, f64::MIN), |it, &value| (it.0.min(value), it.1.max(value)));
    assert!(
        seen[0].len() == 150 && (0.0..4.0).contains(&least) && (35.0..=39.0).contains(&greatest),
        "{least} {greatest}"
    );
    assert_eq!(seen[0], seen[1]);
    // A probe that saw nothing has no ranges, and says nothing.
    let report = open(options.clone()).evaluate(&host).unwrap();
    assert_eq!(report.checks[0].status, Status::NotChecked);
    let cases = || Ok(Box::new(open(options.clone())) as Box<dyn Probe>);
    testing::probe_on(
        &host,
        &ProbeCase {
            open: &cases,
            rows: vec![(Role::Current, rows())],
            tensors: vec![],
            codes: verify_differential::registry().manifest().codes(Kind::Verifier, "differential"),
        },
    );
}

/// What is found where the host takes so many bytes of files.
fn run_with_files(
    (options, comparison): (Value, NodeComparison),
    artifact_bytes: u64,
    reproduce: impl Fn(&str) -> modelwatch_sdk::Result<Reproduction> + Send + Sync + 'static,
) -> (Report, Vec<Artifact>) {
    let mut probe = open(options);
    let host = host(comparison).with_reproduction(artifact_bytes, move |rows, node| {
        assert!(rows.num_rows() > 0);
        reproduce(node)
    });
    probe.update(&host, Role::Current, &rows()).unwrap();
    (probe.evaluate(&host).unwrap(), host.kept())
}

#[test]
fn the_smallest_model_that_shows_it_is_handed_over() {
    let excerpt = |name: &str, nodes| Excerpt {
        model: format!("{name}.onnx"),
        data: format!("{name}.npz"),
        nodes,
        max_absolute: 0.5,
    };
    let files = vec![Artifact::new("part.onnx", vec![1]), Artifact::new("part.npz", vec![2, 3])];
    let told = Told { tensor: "relu:0".to_owned(), row: 7, excerpts: vec![excerpt("part", 1), excerpt("prefix", 5)] };
    let reproduction = Reproduction { told, files: files.clone() };
    let (report, kept) = run_with_files((json!({}), parted()), 1000, {
        let reproduction = reproduction.clone();
        move |node| {
            assert_eq!(node, "second");
            Ok(reproduction.clone())
        }
    });
    assert_eq!((codes(&report), kept), (vec!["MW-N001"], files.clone()));
    let finding = &report.findings[0];
    assert_eq!(finding.file_paths().collect::<Vec<_>>(), ["kept/part.onnx", "kept/part.npz"]);
    assert_eq!((&finding.evidence["tensor"], &finding.evidence["row_of_sample"]), (&json!("relu:0"), &json!(7)));
    assert_eq!(
        finding.evidence["excerpts"],
        "part.onnx: 1 node, off by 5.0e-1 at most on part.npz; prefix.onnx: 5 nodes, off by 5.0e-1 at most on prefix.npz"
    );
    // So is what shows where errors have added up.
    let (report, kept) = run_with_files((json!({"max_relative_norm": 0.03}), adding_up()), 1000, move |node| {
        assert_eq!(node, "third");
        Ok(reproduction.clone())
    });
    assert_eq!((codes(&report), kept), (vec!["MW-N007"], files));
    assert_eq!(report.findings[0].file_paths().collect::<Vec<_>>(), ["kept/part.onnx", "kept/part.npz"]);
}

#[test]
fn a_model_that_cannot_be_cut_is_a_gap() {
    let (report, kept) = run_with_files((json!({}), parted()), 1000, |_| Err(Error::input("it is a TFLite model")));
    assert!(kept.is_empty() && report.findings[0].file_paths().next().is_none());
    let gap = report.gaps.iter().find(|it| it.what == "the smallest model in which the difference shows").unwrap();
    assert_eq!(gap.why, "it is a TFLite model");
    // Nobody asked for files: nothing is made, and how to get them is said.
    let (report, _) = run_with_files((json!({}), parted()), 0, |_| panic!("nothing is to be made"));
    assert!(
        report.gaps.iter().all(|it| it.what == "nodes") && report.findings[0].advice.contains("`[report] artifacts`")
    );
}
