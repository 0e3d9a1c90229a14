//! Numbers that are fine, that are not, and of which nothing can be said.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use modelwatch_sdk::{
    Error, Kind, ModelRole, Probe, RecordBatch, Report, Role, Verifier,
    about::{ModelDescription, Port},
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    nodes::ValueRange,
    numerics::{NodeNumbers, Numerics as Numbers},
    report::{FigureData, Interval, Severity, Status},
    rows::{self, with_input},
    testing::{self, ModelHost, ProbeCase, TestModel},
};
use serde_json::{Value, json};
use verify_numerics::{Config, Numerics};

/// Forty rows as the host hands them over.
fn rows() -> RecordBatch {
    let x: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    let field = with_input(Field::new("x", DataType::Float64, true), ModelRole::Candidate, "x");
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![x]).unwrap()
}

/// The numbers of a node that gave these.
fn numbers(name: &str, operator: &str, values: &[f64]) -> NodeNumbers {
    let finite = || values.iter().copied().filter(|it| it.is_finite());
    let least = finite().fold(f64::INFINITY, f64::min);
    let count = |is: fn(f64) -> bool| values.iter().filter(|it| is(**it)).count() as u64;
    NodeNumbers {
        name: name.to_owned(),
        operator: operator.to_owned(),
        outputs: if name == "y" { vec!["y".to_owned()] } else { vec![] },
        is_float: true,
        n: values.len() as u64,
        n_nan: count(f64::is_nan),
        n_infinite: count(f64::is_infinite),
        n_subnormal: count(|it| it != 0.0 && it.abs() < 1.1e-38),
        n_saturated: (operator == "Sigmoid").then(|| count(|it| it == 0.0 || it == 1.0)),
        range: least.is_finite().then(|| ValueRange { least, greatest: finite().fold(least, f64::max) }),
        mean_square: finite().map(|it| it * it).sum::<f64>() / finite().count() as f64,
    }
}

/// A model that squares, and then does what it is told to.
fn host(then: fn(f64) -> f64) -> ModelHost {
    let mut model = TestModel::new(|_| Err(Error::input("only run node by node here")));
    let port = Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![None] };
    model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
    ModelHost::new(model).with_numerics(move |batch| {
        let column = rows::numbers(batch.column(0).as_ref())?;
        let x: Vec<f64> = (0..batch.num_rows()).map(|it| column.row(it)[0]).collect();
        let square: Vec<f64> = x.iter().map(|it| f64::from((it * it) as f32)).collect();
        let y: Vec<f64> = square.iter().map(|it| then(*it)).collect();
        let nodes = vec![numbers("x", "", &x), numbers("square", "Mul", &square), numbers("y", "Relu", &y)];
        Ok(Numbers { rows: batch.num_rows() as u64, nodes, ..Numbers::default() })
    })
}

fn open(options: Value) -> Numerics {
    Numerics::open(serde_json::from_value::<Config>(options).unwrap()).unwrap()
}

fn run(options: Value, then: fn(f64) -> f64) -> Report {
    let (mut probe, host) = (open(options), host(then));
    probe.update(&host, Role::Current, &rows()).unwrap();
    probe.evaluate(&host).unwrap()
}

fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|it| it.code.as_str()).collect()
}

fn status(report: &Report, metric: &str, inputs: &str) -> Status {
    report.checks.iter().find(|it| it.metric == metric && it.labels["inputs"] == inputs).unwrap().status
}

#[test]
fn it_keeps_the_rules_of_probes() {
    let open = || Ok(Box::new(open(json!({"rows": 8, "edges": ["zeros"]}))) as Box<dyn Probe>);
    testing::probe_on(
        &host(|it| it),
        &ProbeCase {
            open: &open,
            rows: vec![(Role::Current, rows())],
            tensors: vec![],
            codes: verify_numerics::registry().manifest().codes(Kind::Verifier, "numerics"),
        },
    );
}

#[test]
fn finite_numbers_pass() {
    let report = run(json!({"max_abs": 1521.0, "fits": "f16"}), |it| it);
    assert!(report.checks.iter().all(|it| it.status == Status::Pass), "{:?}", report.checks);
    assert_eq!((codes(&report), report.checks.len()), (vec![], 4));
    let FigureData::Table { rows, .. } = &report.figures[0].data else { panic!("{:?}", report.figures) };
    assert_eq!(rows.iter().map(|it| it[1].as_str()).collect::<Vec<_>>(), ["square", "y", "x"]);
}

#[test]
fn nodes_within_branches_do_not_pass_unseen() {
    let seen = |numbers: Vec<NodeNumbers>| {
        let host = host(|it| it).with_numerics(move |batch| {
            let nested = vec!["choice".to_owned()];
            Ok(Numbers { rows: batch.num_rows() as u64, nodes: numbers.clone(), nested, ..Numbers::default() })
        });
        let mut probe = open(json!({"max_abs": 100.0}));
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap()
    };
    let report = seen(vec![numbers("choice", "IfThenElse", &[1.0, 2.0])]);
    for metric in ["non_finite_nodes", "max_abs", "max_subnormal_share"] {
        assert_eq!(status(&report, metric, "data"), Status::NotChecked, "{metric}");
    }
    let gap = report.gaps.iter().find(|it| it.what == "nodes").unwrap();
    assert!(gap.why.contains("within `choice`") && gap.why.contains("scope = \"outputs\""), "{}", gap.why);
    let metric = report.metrics.iter().find(|it| it.name == "non_finite_nodes").unwrap();
    assert_eq!(metric.interval, Some(Interval::certain(0.0, f64::INFINITY)));
    // What is seen can be bad enough.
    let report = seen(vec![numbers("choice", "IfThenElse", &[f64::NAN, 2.0])]);
    assert_eq!((status(&report, "non_finite_nodes", "data"), codes(&report)), (Status::Fail, vec!["MW-F001"]));
}

#[test]
fn the_first_node_that_is_not_finite_is_named_even_where_the_output_is() {
    let report = run(json!({}), |it| if it == 4.0 { f64::NAN } else { it });
    assert_eq!((status(&report, "non_finite_nodes", "data"), codes(&report)), (Status::Fail, vec!["MW-F001"]));
    assert_eq!(report.findings[0].place, "y");
    // One whose NaN another node swallows.
    let (mut probe, inner) = (open(json!({})), |batch: &RecordBatch| {
        let n = batch.num_rows();
        let nodes = vec![
            numbers("x", "", &vec![1.0; n]),
            numbers("log", "Log", &vec![f64::NAN; n]),
            numbers("y", "Relu", &vec![0.0; n]),
        ];
        Ok(Numbers { rows: n as u64, nodes, ..Numbers::default() })
    });
    let host = ModelHost::new(TestModel::new(|_| Err(Error::input("not run")))).with_numerics(inner);
    probe.update(&host, Role::Current, &rows()).unwrap();
    let report = probe.evaluate(&host).unwrap();
    assert_eq!(status(&report, "non_finite_nodes", "data"), Status::Fail);
    let message = &report.findings[0].message;
    assert!(message.contains("`log` (Log)") && message.contains("the outputs do not show it"), "{message}");
    assert!(message.contains("though all inputs are finite"), "{message}");
}

#[test]
fn ranges_and_precisions_are_kept() {
    let report = run(json!({"max_abs": 1520.0}), |it| it);
    assert_eq!((status(&report, "max_abs", "data"), codes(&report)), (Status::Fail, vec!["MW-F002"]));
    let report = run(json!({"fits": "f16"}), |it| 100.0 * it);
    assert_eq!((status(&report, "max_abs_f16", "data"), codes(&report)), (Status::Fail, vec!["MW-F003"]));
    assert_eq!(report.findings[0].place, "y");
    assert_eq!(codes(&run(json!({"fits": "bf16"}), |it| 100.0 * it)), [""; 0]);
    let report = run(json!({}), |it| it * 1e-42);
    assert_eq!((status(&report, "max_subnormal_share", "data"), codes(&report)), (Status::Fail, vec!["MW-F004"]));
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

/// What is subnormal in single precision is not in double precision.
#[test]
fn numbers_are_subnormal_in_their_own_type() {
    let of = |it: f64, data_type: DataType| {
        let mut model = TestModel::new(move |rows| {
            let values: ArrayRef = match data_type {
                DataType::Float32 => Arc::new(Float32Array::from(vec![it as f32; rows.num_rows()])),
                _ => Arc::new(Float64Array::from(vec![it; rows.num_rows()])),
            };
            RecordBatch::try_from_iter([("y", values)]).map_err(Error::input)
        });
        let port = Port { name: "x".to_owned(), dtype: "f64".to_owned(), shape: vec![None] };
        model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
        let host = ModelHost::new(model);
        let mut probe = open(json!({"scope": "outputs"}));
        probe.update(&host, Role::Current, &rows()).unwrap();
        status(&probe.evaluate(&host).unwrap(), "max_subnormal_share", "data")
    };
    assert_eq!(of(1e-40, DataType::Float32), Status::Fail);
    assert_eq!(of(1e-60, DataType::Float64), Status::Pass);
    assert_eq!(of(1e-310, DataType::Float64), Status::Fail);
}

#[test]
fn subnormal_numbers_of_sums_are_a_gap() {
    let gaps = |operators: &'static [&'static str]| {
        let (mut probe, host) = (open(json!({})), host(|it| it));
        let host = host.with_numerics(move |batch| {
            let nodes = operators.iter().map(|it| numbers(&format!("the_{it}"), it, &[1.0]));
            let nodes = [numbers("x", "", &[1.0])].into_iter().chain(nodes).collect();
            Ok(Numbers { rows: batch.num_rows() as u64, nodes, ..Numbers::default() })
        });
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap().gaps.into_iter().map(|it| it.what).collect::<Vec<_>>()
    };
    assert_eq!(gaps(&["Conv", "Relu", "Gemm"]), ["subnormal numbers of Gemm and Conv"]);
    assert_eq!(gaps(&["MatMul"]), ["subnormal numbers of MatMul"]);
    assert_eq!(gaps(&["Relu"]), [""; 0]);
}

#[test]
fn later_nodes_are_counted_where_there_are_some() {
    let message = |n: usize| {
        let (mut probe, host) = (open(json!({"max_abs": 1.0, "max_saturated_share": 0.5})), host(|it| it));
        let host = host.with_numerics(move |batch| {
            let nodes =
                (0..n).map(|it| NodeNumbers { n_saturated: Some(1), ..numbers(&format!("{it}"), "Tanh", &[2.0]) });
            Ok(Numbers { rows: batch.num_rows() as u64, nodes: nodes.collect(), ..Numbers::default() })
        });
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap().findings.into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    let ends = |n: usize, ends: [&str; 2]| {
        let found = message(n);
        assert!(found.len() == 2 && found.iter().zip(ends).all(|(it, end)| it.ends_with(end)), "{found:?}");
    };
    ends(1, ["up to 2, more than 1", "are at a bound of the operator"]);
    ends(2, ["more than 1; 1 later node too", "; 1 later node is saturated too"]);
    ends(3, ["more than 1; 2 later nodes too", "; 2 later nodes are saturated too"]);
}

#[test]
fn edges_are_judged_by_what_they_are_for() {
    let zeros = run(json!({"edges": ["zeros"]}), |it| if it == 0.0 { f64::INFINITY } else { it });
    assert_eq!(status(&zeros, "non_finite_nodes", "zeros"), Status::Fail);
    let subnormal = run(json!({"edges": ["subnormal"]}), |it| it);
    assert_eq!(status(&subnormal, "non_finite_nodes", "subnormal"), Status::Pass);
    // A square overflows; it is told, and no reason to fail.
    let greatest = run(json!({"edges": ["greatest", "least"]}), |it| it.min(1.0));
    assert_eq!(codes(&greatest), ["MW-F005", "MW-F005"]);
    assert!(greatest.findings[0].message.contains("the outputs do not show it"), "{:?}", greatest.findings);
    assert!(greatest.checks.iter().all(|it| it.status == Status::Pass));
}

#[test]
fn edges_are_those_of_the_type_of_the_input() {
    // The greatest number, the least normal one and the least of all.
    for (dtype, greatest, normal, least) in [
        ("f16", 65_504.0, 2f64.powi(-14), 2f64.powi(-24)),
        ("f32", f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE), f64::from(f32::from_bits(1))),
        ("f64", f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1)),
    ] {
        let mut model = TestModel::new(|_| Err(Error::input("only run node by node here")));
        let port = Port { name: "x".to_owned(), dtype: dtype.to_owned(), shape: vec![None] };
        model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&seen);
        let host = ModelHost::new(model).with_numerics(move |batch| {
            let value = rows::numbers(batch.column(0).as_ref())?.values[0];
            given.lock().unwrap().push(value);
            Ok(Numbers { rows: 1, nodes: vec![numbers("y", "Relu", &[value])], ..Numbers::default() })
        });
        let mut probe = open(json!({"edges": ["subnormal", "greatest", "least"]}));
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap();
        let seen = seen.lock().unwrap();
        let [.., subnormal, most, lowest] = seen[..] else { panic!("{seen:?}") };
        assert!(least <= subnormal && subnormal < normal, "{dtype}: {subnormal}");
        assert_eq!((most, lowest), (greatest, -greatest), "{dtype}");
    }
}

/// Whole numbers are names as often as amounts, and a conversion leaves them as they are.
#[test]
fn whole_numbers_have_no_edges_and_fit_any_precision() {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..40).map(|it| 99_976 + it)));
    let x: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    let of = |name: &str, dtype| with_input(Field::new(name, dtype, true), ModelRole::Candidate, name);
    let schema = Schema::new(vec![of("id", DataType::Int64), of("x", DataType::Float64)]);
    let data = RecordBatch::try_new(Arc::new(schema), vec![ids, x]).unwrap();
    let port = |name: &str, dtype: &str| Port { name: name.to_owned(), dtype: dtype.to_owned(), shape: vec![None] };
    let run = |inputs: Vec<Port>, options: Value| {
        let mut model = TestModel::new(|_| Err(Error::input("only run node by node here")));
        model.description = ModelDescription { inputs, ..ModelDescription::default() };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&seen);
        let host = ModelHost::new(model).with_numerics(move |batch| {
            let first = |name| rows::numbers(batch.column_by_name(name)?.as_ref()).ok().map(|it| it.values[0]);
            let [id, x] = ["id", "x"].map(|it| first(it).unwrap_or_default());
            given.lock().unwrap().push([id, x]);
            let ids = NodeNumbers { is_float: false, ..numbers("id", "", &[id]) };
            Ok(Numbers { rows: 1, nodes: vec![ids, numbers("y", "Relu", &[x.min(1.0)])], ..Numbers::default() })
        });
        let mut probe = open(options);
        probe.update(&host, Role::Current, &data).unwrap();
        let report = probe.evaluate(&host).unwrap();
        let seen = seen.lock().unwrap()[1..].to_vec();
        (report, seen)
    };
    let both = || vec![port("id", "i64"), port("x", "f32")];
    let (report, seen) = run(both(), json!({"fits": "f16", "edges": ["zeros", "greatest"]}));
    assert_eq!(codes(&report), [""; 0]);
    assert!(report.checks.iter().all(|it| it.status == Status::Pass), "{:?}", report.checks);
    let [[0.0, 0.0], [id, greatest]] = seen[..] else { panic!("{seen:?}") };
    assert!((99_976.0..100_016.0).contains(&id) && greatest == f64::from(f32::MAX), "{seen:?}");
    // `max_abs` is about all numbers.
    assert_eq!(codes(&run(both(), json!({"max_abs": 1e4})).0), ["MW-F002"]);
    // Without a floating-point number there is no edge but zeros.
    let (report, seen) = run(vec![port("id", "i64")], json!({"edges": ["zeros", "greatest"]}));
    assert_eq!((status(&report, "non_finite_nodes", "zeros"), seen.len()), (Status::Pass, 1));
    assert_eq!(status(&report, "non_finite_nodes", "greatest"), Status::NotChecked);
}

#[test]
fn an_input_that_is_not_finite_leaves_a_trace_or_a_warning() {
    let report = |answer: f64| {
        let host = host(|it| it).with_numerics(move |batch| {
            let nodes = vec![numbers("x", "", &[f64::NAN, 1.0, f64::INFINITY]), numbers("y", "Cast", &[answer, 1.0])];
            Ok(Numbers { rows: batch.num_rows() as u64, nodes, ..Numbers::default() })
        });
        let mut probe = open(json!({}));
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap()
    };
    let hidden = report(7.0);
    assert_eq!((status(&hidden, "non_finite_nodes", "data"), codes(&hidden)), (Status::Pass, vec!["MW-F008"]));
    let finding = &hidden.findings[0];
    assert_eq!((finding.severity, &*finding.place), (Severity::Warning, "x"));
    assert_eq!(finding.message, "1 NaN and 1 infinite of 3 numbers of input `x`, and the nodes do not show it");
    assert_eq!(codes(&report(f64::NAN)), ["MW-F001"]);
}

#[test]
fn nan_must_come_out_as_nan() {
    let kept = run(json!({"edges": ["nan"]}), |it| it);
    assert_eq!((status(&kept, "outputs_that_hide_nan", "nan"), codes(&kept)), (Status::Pass, vec![]));
    let swallowed = run(json!({"edges": ["nan"]}), |it| if it.is_nan() { 0.0 } else { it });
    assert_eq!(status(&swallowed, "outputs_that_hide_nan", "nan"), Status::Fail);
    assert_eq!((codes(&swallowed), &*swallowed.findings[0].place), (vec!["MW-F006"], "y"));
}

#[test]
fn outputs_that_are_no_floating_point_numbers_say_nothing_of_nan() {
    let label = NodeNumbers { is_float: false, ..numbers("y", "ArgMax", &[0.0]) };
    let mut model = TestModel::new(|_| Err(Error::input("only run node by node here")));
    let port = Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![None] };
    model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
    let host = ModelHost::new(model)
        .with_numerics(move |_| Ok(Numbers { rows: 1, nodes: vec![label.clone()], ..Numbers::default() }));
    let mut probe = open(json!({"edges": ["nan"]}));
    probe.update(&host, Role::Current, &rows()).unwrap();
    let report = probe.evaluate(&host).unwrap();
    assert_eq!(status(&report, "outputs_that_hide_nan", "nan"), Status::NotChecked);
}

/// A model that is not run node by node, whose outputs are a number of what comes in, and words.
fn opaque(output: fn(f64) -> f64) -> ModelHost {
    let mut model = TestModel::new(move |batch| {
        let column = rows::numbers(batch.column(0).as_ref())?;
        let y = Float64Array::from_iter_values((0..batch.num_rows()).map(|it| output(column.row(it)[0])));
        let word: ArrayRef = Arc::new(StringArray::from_iter_values((0..batch.num_rows()).map(|_| "word")));
        RecordBatch::try_from_iter([("y", Arc::new(y) as ArrayRef), ("word", word)]).map_err(Error::input)
    });
    let port = Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![None] };
    model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
    ModelHost::new(model).with_numerics(|_| Err(Error::input("it is interpreted")))
}

/// The report on a model that is not run node by node.
fn run_opaque(options: Value, output: fn(f64) -> f64) -> Report {
    let (mut probe, host) = (open(options), opaque(output));
    probe.update(&host, Role::Current, &rows()).unwrap();
    probe.evaluate(&host).unwrap()
}

#[test]
fn outputs_alone_can_break_a_limit_on_all_nodes_but_not_keep_it() {
    let report = run_opaque(json!({"fits": "f16", "max_saturated_share": 0.5, "edges": ["zeros"]}), |it| it);
    assert_eq!(report.checks.len(), 5);
    for check in &report.checks {
        assert_eq!(
            (check.status, check.message.contains("it is interpreted")),
            (Status::NotChecked, true),
            "{check:?}"
        );
    }
    assert_eq!(codes(&report), [""; 0]);
    let report = run_opaque(json!({"max_abs": 38.0}), |it| if it == 4.0 { f64::NAN } else { it * 1e-310 });
    assert_eq!(["non_finite_nodes", "max_subnormal_share"].map(|it| status(&report, it, "data")), [Status::Fail; 2]);
    let message = &report.findings[0].message;
    assert!(!message.contains("inputs are finite"), "nobody looked at them: {message}");
    assert_eq!(status(&run_opaque(json!({"max_abs": 38.0}), |it| it), "max_abs", "data"), Status::Fail);
    let report = run_opaque(json!({"edges": ["zeros"]}), |it| it.ln());
    assert_eq!(status(&report, "non_finite_nodes", "zeros"), Status::Fail);
}

/// A requirement on one of them is held against its bounds.
#[test]
fn metrics_of_all_nodes_are_bounded_by_what_was_not_seen() {
    let report = run_opaque(json!({"edges": ["greatest"]}), |it| it);
    let bounds = |metric: &str, inputs: &str| {
        let found = report.metrics.iter().find(|it| it.name == metric && it.labels["inputs"] == inputs);
        found.unwrap().interval.filter(Interval::is_certain).map(|it| (it.low, it.high))
    };
    assert_eq!(bounds("non_finite_nodes", "data"), Some((0.0, f64::INFINITY)));
    assert_eq!(bounds("non_finite_nodes", "greatest"), Some((0.0, f64::INFINITY)));
    assert_eq!(bounds("max_abs", "data"), Some((39.0, f64::INFINITY)));
    assert_eq!(bounds("max_subnormal_share", "data"), Some((0.0, 1.0)));
}

#[test]
fn what_was_not_seen_is_a_gap_on_data_and_on_each_edge() {
    let report = run_opaque(json!({"edges": ["zeros", "greatest"]}), |it| it);
    let gaps: Vec<_> = report.gaps.iter().map(|it| (&*it.what, &*it.why)).collect();
    let why = "only the outputs were looked at: it is interpreted; where the outputs are enough, ask for them by `scope = \"outputs\"`";
    assert_eq!(gaps, [("nodes", why), ("nodes on zeros inputs", why), ("nodes on greatest inputs", why)]);
}

#[test]
fn outputs_alone_are_enough_for_what_is_asked_of_outputs() {
    let report = run_opaque(json!({"ranges": {"y": [0, 39]}, "edges": ["nan"]}), |it| it);
    assert_eq!(status(&report, "range", "data"), Status::Pass);
    assert_eq!(status(&report, "outputs_that_hide_nan", "nan"), Status::Pass);
    let report = run_opaque(json!({"edges": ["nan"]}), |it| if it.is_nan() { 0.0 } else { it.ln() });
    assert_eq!(
        (status(&report, "non_finite_nodes", "data"), codes(&report)),
        (Status::Fail, vec!["MW-F001", "MW-F006"])
    );
    assert_eq!(report.findings[0].place, "y");
}

#[test]
fn outputs_pass_alone_where_they_are_asked_for() {
    let options =
        json!({"scope": "outputs", "max_abs": 39.0, "ranges": {"y": [0, 39]}, "edges": ["zeros", "greatest", "nan"]});
    let report = run_opaque(options, |it| it);
    assert!(report.checks.iter().all(|it| it.status == Status::Pass), "{:?}", report.checks);
    assert_eq!((report.checks.len(), &*report.gaps, &*codes(&report)), (6, &[][..], &[][..]));
    // They are counted by their own name: what is asked of nodes is not answered by outputs.
    let counted = |it: &&str| report.metrics.iter().any(|metric| metric.name == *it && metric.interval.is_none());
    assert!(
        ["outputs", "non_finite_outputs"].iter().all(counted) && !["nodes", "non_finite_nodes"].iter().any(counted)
    );
    let message = &report.checks[0].message;
    assert_eq!((&*report.checks[0].metric, &**message), ("non_finite_outputs", "every number of 1 outputs is finite"));
}

#[test]
fn outputs_that_are_asked_for_can_fail() {
    let of = |options: Value| {
        let report = run_opaque(options, |it| if it == 4.0 { f64::NAN } else { it });
        let failed = report.checks.iter().filter(|it| it.status == Status::Fail);
        failed.map(|it| (it.metric.clone(), it.message.clone())).collect::<Vec<_>>()
    };
    let [(metric, _)] = &*of(json!({"scope": "outputs"})) else { panic!("one check fails") };
    assert_eq!(metric, "non_finite_outputs");
    let failed = of(json!({"scope": "outputs", "ranges": {"square": [0, 1]}}));
    assert_eq!(failed[1], ("range".to_owned(), "there is no output `square` with numbers".to_owned()));
}

#[test]
fn outputs_without_a_floating_point_number_pass_nothing() {
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40));
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let empty: ArrayRef = Arc::new(
        FixedSizeListArray::try_new_with_length(item, 0, Arc::new(Float64Array::from(Vec::<f64>::new())), None, 40)
            .unwrap(),
    );
    for output in [label, empty] {
        let model = TestModel::new(move |_| RecordBatch::try_from_iter([("y", output.clone())]).map_err(Error::input));
        let host = ModelHost::new(model);
        let mut probe = open(json!({"scope": "outputs"}));
        probe.update(&host, Role::Current, &rows()).unwrap();
        let report = probe.evaluate(&host).unwrap();
        for check in &report.checks {
            assert_eq!(check.status, Status::NotChecked, "{check:?}");
        }
        // Nor does a requirement of their number.
        let counted = report.metrics.iter().find(|it| it.name == "non_finite_outputs").unwrap();
        assert_eq!((report.checks.len(), counted.n), (2, 0));
    }
}

#[test]
fn a_range_of_a_node_that_was_not_seen_is_not_checked() {
    let report = run_opaque(json!({"ranges": {"square": [0, 1]}}), |it| it);
    let check = report.checks.iter().find(|it| it.metric == "range").unwrap();
    let message = "`square` is no output with numbers; only the outputs were looked at: it is interpreted";
    assert_eq!((check.status, check.message.starts_with(message)), (Status::NotChecked, true), "{check:?}");
    assert_eq!(codes(&report), [""; 0]);
}

#[test]
fn a_constant_is_a_range() {
    let report = run(json!({"ranges": {"y": [1, 1]}}), |_| 1.0);
    assert_eq!(status(&report, "range", "data"), Status::Pass);
    let report = run(json!({"ranges": {"y": [1, 1]}}), |it| it.min(1.0));
    assert_eq!(status(&report, "range", "data"), Status::Fail);
}

#[test]
fn a_model_that_cannot_be_run_is_not_checked() {
    let host = ModelHost::new(TestModel::new(|_| Err(Error::input("it does not run"))))
        .with_numerics(|_| Err(Error::input("it is interpreted")));
    let mut probe = open(json!({}));
    probe.update(&host, Role::Current, &rows()).unwrap();
    let report = probe.evaluate(&host).unwrap();
    assert_eq!(status(&report, "non_finite_nodes", "data"), Status::NotChecked);
    assert!(report.gaps[0].why.contains("it does not run"), "{:?}", report.gaps);
}

#[test]
fn outputs_and_nodes_have_ranges_of_their_own() {
    let of = |ranges: Value, then: fn(f64) -> f64| {
        let report = run(json!({"ranges": ranges}), then);
        let check = report.checks.iter().find(|it| it.metric == "range").unwrap();
        (check.status, check.labels["of"].clone(), check.message.clone(), codes(&report).len())
    };
    assert_eq!(of(json!({"y": [0, 1521]}), |it| it).0, Status::Pass);
    let (status, name, message, n) = of(json!({"y": [0, 1520]}), |it| it);
    assert_eq!(
        (status, &*name, &*message, n),
        (Status::Fail, "y", "`y` has numbers from 0 to 1521, allowed 0 to 1520", 1)
    );
    assert_eq!(of(json!({"square": [0.5, 1521]}), |it| it).0, Status::Fail);
    assert_eq!(of(json!({"x": [0, 39]}), |it| it).0, Status::Pass);
    // Neither a name that is not there nor a number that is none can pass.
    let (status, _, message, n) = of(json!({"z": [0, 1]}), |it| it);
    assert_eq!((status, &*message, n), (Status::Fail, "there is no output, node or input `z`", 1));
    let (status, _, message, _) = of(json!({"y": [-1e9, 1e9]}), |it| if it == 4.0 { f64::NAN } else { it });
    assert_eq!((status, &*message), (Status::Fail, "1 of 40 numbers of `y` are not finite"));
}

#[test]
fn saturated_nodes_are_told_and_held_to_a_share() {
    let run = |options: Value| {
        let (mut probe, host) = (open(options), host(|it| it));
        let host = host.with_numerics(|batch| {
            let n = batch.num_rows();
            let sigmoid: Vec<f64> = (0..n).map(|it| if it % 4 == 0 { 0.5 } else { 1.0 }).collect();
            let nodes = vec![numbers("x", "", &vec![1.0; n]), numbers("y", "Sigmoid", &sigmoid)];
            Ok(Numbers { rows: n as u64, nodes, ..Numbers::default() })
        });
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap()
    };
    let report = run(json!({}));
    let share = report.metrics.iter().find(|it| it.name == "saturated_share").unwrap();
    assert_eq!((share.value, share.n, &*share.labels["node"], codes(&report).len()), (0.75, 40, "y", 0));
    assert_eq!(status(&run(json!({"max_saturated_share": 0.75})), "max_saturated_share", "data"), Status::Pass);
    let report = run(json!({"max_saturated_share": 0.5}));
    assert_eq!((status(&report, "max_saturated_share", "data"), codes(&report)), (Status::Fail, vec!["MW-F007"]));
    assert!(report.findings[0].message.starts_with("75 % of the numbers of `y` (Sigmoid)"), "{:?}", report.findings);
}

#[test]
fn weights_must_fit_a_precision_too() {
    let host = host(|it| it).with_numerics(|batch| {
        let n = batch.num_rows();
        let nodes = vec![numbers("x", "", &vec![1.0; n]), numbers("y", "MatMul", &vec![2.0; n])];
        let constants = vec![numbers("weights", "Const", &[1.0, -1e5])];
        Ok(Numbers { rows: n as u64, nodes, constants, ..Numbers::default() })
    });
    let of = |options: Value| {
        let mut probe = open(options);
        probe.update(&host, Role::Current, &rows()).unwrap();
        probe.evaluate(&host).unwrap()
    };
    let report = of(json!({"fits": "f16"}));
    assert_eq!((status(&report, "max_abs_f16", "data"), codes(&report)), (Status::Fail, vec!["MW-F003"]));
    let finding = &report.findings[0];
    assert!(
        finding.place == "weights"
            && finding.message.starts_with("`weights` (constant) has numbers that overflow in f16")
    );
    assert_eq!(codes(&of(json!({"fits": "bf16", "max_abs": 2.0}))), [""; 0]);
}

#[test]
fn nothing_seen_is_nothing_passed() {
    let host = host(|it| it);
    let mut probe = open(json!({}));
    probe.update(&host, Role::Reference, &rows()).unwrap();
    let report = probe.evaluate(&host).unwrap();
    assert_eq!((status(&report, "non_finite_nodes", "data"), report.gaps.len()), (Status::NotChecked, 1));
    // An edge that an input does not have.
    let mut model = TestModel::new(|_| Err(Error::input("not run")));
    let port = Port { name: "x".to_owned(), dtype: "i64".to_owned(), shape: vec![None] };
    model.description = ModelDescription { inputs: vec![port], ..ModelDescription::default() };
    let integers = ModelHost::new(model).with_numerics(|_| Ok(Numbers::default()));
    let mut probe = open(json!({"edges": ["nan"]}));
    probe.update(&integers, Role::Current, &rows()).unwrap();
    let report = probe.evaluate(&integers).unwrap();
    assert_eq!(status(&report, "non_finite_nodes", "nan"), Status::NotChecked);
    assert!(report.gaps.iter().any(|it| it.why.contains("is of i64")), "{:?}", report.gaps);
    let mut probe = open(json!({}));
    probe.update(&(), Role::Current, &rows()).unwrap();
    assert!(probe.evaluate(&()).unwrap_err().message.contains("no service `candidate:numerics`"));
}

#[test]
fn it_is_offered_by_name() {
    assert!(verify_numerics::registry().open_probe(Kind::Verifier, "numerics", &json!({})).is_ok());
}
