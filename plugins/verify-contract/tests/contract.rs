//! What keeps a contract, what breaks it, and what cannot be told.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicU64, Ordering},
};

use modelwatch_sdk::{
    Error, ErrorKind, Kind, ModelRole, Probe, RecordBatch, Report, Result, Role, Verifier,
    about::{MlflowField, MlflowSignature, ModelDescription, Port},
    arrow::{
        array::{Array, ArrayRef, FixedSizeListArray, Float32Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    report::{MetricRole, Status},
    rows::{self, with_input},
    testing::{self, ModelHost, ProbeCase, TestModel},
};
use serde_json::{Value, json};
use verify_contract::{Config, Contract};

fn list(width: i32, values: Vec<f32>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, width, Arc::new(Float32Array::from(values)), None))
}

/// What a model does with the sum of a row, its place in the batch, the batch's size, and how often it ran.
type Answer = fn(f32, usize, usize, u64) -> f32;

fn port(name: &str, dtype: &str, shape: &[Option<u64>]) -> Port {
    Port { name: name.to_owned(), dtype: dtype.to_owned(), shape: shape.to_vec() }
}

fn described() -> ModelDescription {
    ModelDescription {
        format: "onnx".to_owned(),
        file: "model.onnx".to_owned(),
        bytes: 1000,
        parameters: 50,
        inputs: vec![port("x", "f32", &[None, Some(3)])],
        outputs: vec![port("probs", "f32", &[None, Some(2)])],
        operators: [("Gemm".to_owned(), 2), ("com.example::Secret".to_owned(), 1)].into(),
        opsets: Some([(String::new(), 17)].into()),
        ..ModelDescription::default()
    }
}

fn model_with(description: ModelDescription, answer: Answer) -> TestModel {
    let runs = AtomicU64::new(0);
    let run = move |batch: &RecordBatch| -> Result<RecordBatch> {
        let column = batch.column_by_name("numbers").ok_or_else(|| Error::input("there is no column `numbers`"))?;
        let numbers = rows::numbers(column.as_ref())?;
        let n = runs.fetch_add(1, Ordering::Relaxed);
        let row = |row: usize| {
            let sum: f64 = numbers.row(row).iter().sum();
            let first = answer(sum as f32, row, batch.num_rows(), n);
            [first, 1.0 - first]
        };
        let probs = list(2, (0..batch.num_rows()).flat_map(row).collect());
        RecordBatch::try_from_iter([("probs", probs)]).map_err(Error::input)
    };
    TestModel { description, ..TestModel::new(run) }
}

fn model(description: ModelDescription) -> TestModel {
    model_with(description, |sum, _, _, _| 1.0 / (1.0 + sum.exp()))
}

fn rows() -> RecordBatch {
    let numbers = list(3, (0..90).map(|it| (it * 7 % 30) as f32 / 30.0 + it as f32 / 1000.0).collect());
    let field = Field::new("numbers", numbers.data_type().clone(), true);
    let field = with_input(with_input(field, ModelRole::Candidate, "x"), ModelRole::Baseline, "x");
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![numbers]).unwrap()
}

fn open(config: &Value) -> Result<Contract> {
    Contract::open(serde_json::from_value::<Config>(config.clone()).unwrap())
}

fn run(config: &Value, host: &ModelHost, rows: &RecordBatch) -> Report {
    let mut probe = open(config).unwrap();
    probe.update(host, Role::Current, rows).unwrap();
    probe.evaluate(host).unwrap()
}

fn failed(report: &Report) -> Vec<&str> {
    report.checks.iter().filter(|it| it.status != Status::Pass).map(|it| it.metric.as_str()).collect()
}

fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|it| it.code.as_str()).collect()
}

/// Runs options on the model: the checks that do not pass, and the codes of the findings.
#[track_caller]
fn check(config: Value, checks: &[&str], expected: &[&str]) -> Report {
    let report = run(&config, &ModelHost::new(model(described())), &rows());
    assert_eq!(failed(&report), checks, "{:#?}", report.checks);
    assert_eq!(codes(&report), expected);
    report
}

#[test]
fn several_texts_a_row_are_outputs() {
    let answers = |declared: u64, last: fn(usize) -> &'static str| {
        let run = move |batch: &RecordBatch| -> Result<RecordBatch> {
            let item = Arc::new(Field::new("item", DataType::Utf8, true));
            let texts = (0..batch.num_rows()).flat_map(|_| ["cat", last(batch.num_rows())]);
            let words: ArrayRef =
                Arc::new(FixedSizeListArray::new(item, 2, Arc::new(StringArray::from_iter_values(texts)), None));
            RecordBatch::try_from_iter([("words", words)]).map_err(Error::input)
        };
        let outputs = vec![port("words", "utf8", &[None, Some(declared)])];
        let model = TestModel { description: ModelDescription { outputs, ..described() }, ..TestModel::new(run) };
        self::run(&json!({}), &ModelHost::new(model), &rows())
    };
    let report = answers(2, |_| "dog");
    assert_eq!(failed(&report), [""; 0], "{:#?}", report.checks);
    assert_eq!(codes(&answers(3, |_| "dog")), ["MW-C007"]);
    let report = answers(2, |rows| if rows == 1 { "dig" } else { "dog" });
    assert_eq!(failed(&report), ["batch_size"], "{:#?}", report.checks);
}

#[test]
fn a_file_that_says_other_outputs_than_it_computes_is_told() {
    let said = |dtype: &str, shape: &[Option<u64>]| {
        let declared_outputs = vec![port("probs", dtype, shape)];
        let description = ModelDescription { declared_outputs, ..described() };
        let report = self::run(&json!({}), &ModelHost::new(model(description)), &rows());
        let said = report.findings.iter().map(|it| format!("{} {}", it.code, it.message)).collect::<Vec<_>>();
        (failed(&report).join(" "), said)
    };
    let agrees = |dtype: &str, shape: &[Option<u64>]| assert_eq!(said(dtype, shape), (String::new(), vec![]));
    agrees("f32", &[None, Some(2)]);
    // Nothing is said, what is left open, and a number of rows that is not kept to.
    agrees("", &[]);
    agrees("f16", &[Some(7), None]);
    let other = |dtype: &str, shape: &[Option<u64>], message: &str| {
        assert_eq!(said(dtype, shape), ("produced_outputs".to_owned(), vec![format!("MW-C007 {message}")]));
    };
    other("f64", &[None, Some(2)], "the file declares output `probs` as f64, and its graph computes f32");
    other("f32", &[None, Some(3)], "the file declares output `probs` as [?, 3], and its graph computes [?, 2]");
    other(
        "f32",
        &[None, Some(2), Some(1)],
        "the file declares output `probs` as [?, 2, 1], and its graph computes [?, 2]",
    );
}

#[test]
fn what_is_left_out_is_told() {
    let report = check(json!({ "rows": 0 }), &[], &[]);
    let [gap] = &report.gaps[..] else { panic!("{:?}", report.gaps) };
    assert_eq!(gap.what, "what the model gives for rows, in batches of any size, any order, again and on threads");
    assert_eq!(gap.why, "`rows = 0` leaves it out");
}

/// A model that answers with names: integers that depend on the size of the batch.
#[test]
fn integers_are_names_and_equal_or_not() {
    for first in [100_000, 1 << 60] {
        let names = move |batch: &RecordBatch| {
            let n = batch.num_rows() as i64;
            let names: ArrayRef = Arc::new(Int64Array::from_iter_values((0..n).map(|_| first + i64::from(n > 1))));
            RecordBatch::try_from_iter([("name", names)]).map_err(Error::input)
        };
        let description = ModelDescription { outputs: vec![port("name", "i64", &[None])], ..described() };
        let host = ModelHost::new(TestModel { description, ..TestModel::new(names) });
        assert_eq!(codes(&run(&json!({ "batch_sizes": [1] }), &host, &rows())), ["MW-C009"], "{first}");
        assert_eq!(codes(&run(&json!({ "batch_sizes": [1], "atol": 1.0 }), &host, &rows())), [""; 0], "{first}");
    }
}

#[test]
fn a_model_that_keeps_its_contract_passes() {
    let report = check(
        json!({
            "inputs": [{ "name": "x", "dtype": "float32", "shape": ["n", 3] }],
            "outputs": [{ "name": "probs", "dtype": "f32", "shape": ["n", 2] }],
            "formats": ["onnx"], "opset": { "min": 13, "max": 17 },
            "operators": { "allow": ["Gemm", "com.example::*"] },
            "max_bytes": 1000, "max_parameters": 50,
        }),
        &[],
        &[],
    );
    let names: Vec<_> = report.checks.iter().map(|it| it.metric.as_str()).collect();
    assert_eq!(
        names,
        [
            "format",
            "opset",
            "operators",
            "file_bytes",
            "parameters",
            "input_columns",
            "produced_outputs",
            "repeats",
            "threads",
            "batch_size",
            "batch_size",
            "batch_size",
            "row_order",
            "row_order",
            "inputs",
            "outputs",
        ]
    );
    assert!(report.checks.iter().all(|it| it.n > 0) && report.gaps.is_empty());
    assert_eq!(report.metrics.iter().find(|it| it.name == "file_bytes").unwrap().value, 1000.0);
}

#[test]
fn every_clause_is_broken_by_its_own_fault() {
    check(json!({ "formats": ["tflite"] }), &["format"], &["MW-C004"]);
    check(json!({ "opset": { "min": 18 } }), &["opset"], &["MW-C004"]);
    check(json!({ "opset": { "max": 16 } }), &["opset"], &["MW-C004"]);
    check(json!({ "operators": { "allow": ["Gemm"] } }), &["operators"], &["MW-C004"]);
    check(json!({ "operators": { "deny": ["Ge*"] } }), &["operators"], &["MW-C004"]);
    let report = check(json!({ "operators": { "custom": false } }), &["custom_operators"], &["MW-C004"]);
    assert_eq!(report.findings[0].place, "com.example::Secret");
    // A node without a name and outputs has nothing to be called by.
    let nameless = [("com.example::Secret".to_owned(), String::new())].into();
    let nameless = ModelDescription { first_nodes: nameless, ..described() };
    let report = run(&json!({ "operators": { "custom": false } }), &ModelHost::new(model(nameless)), &rows());
    assert!(!report.findings[0].message.contains("node `"), "{}", report.findings[0].message);
    check(json!({ "max_bytes": 999 }), &["file_bytes"], &["MW-C005"]);
    check(json!({ "max_parameters": 49 }), &["parameters"], &["MW-C005"]);
    check(json!({ "inputs": [{ "name": "X" }] }), &["inputs"], &["MW-C001", "MW-C001"]);
    check(json!({ "inputs": [{ "name": "x", "dtype": "double" }] }), &["inputs"], &["MW-C002"]);
    check(json!({ "outputs": [{ "name": "probs", "shape": ["n", 10] }] }), &["outputs"], &["MW-C003"]);
    check(json!({ "outputs": [{ "name": "probs", "shape": ["n"] }] }), &["outputs"], &["MW-C003"]);
}

#[test]
fn what_the_model_leaves_open_is_held_to_what_it_gives() {
    let open_ended = ModelDescription { outputs: vec![port("probs", "f32", &[None, None])], ..described() };
    let of = |classes: u64, rows_run: usize| {
        let config = json!({ "outputs": [{ "name": "probs", "shape": ["n", classes] }], "rows": rows_run });
        failed(&run(&config, &ModelHost::new(model(open_ended.clone())), &rows())).len()
    };
    assert_eq!((of(2, 64), of(3, 64)), (0, 1));
    // Where no row shows it, it is not known to hold.
    assert_eq!(of(2, 0), 1);
}

#[test]
fn a_baseline_is_a_contract() {
    let against = |baseline: ModelDescription, expected: &[&str], codes_expected: &[&str]| {
        let host = ModelHost::new(model(described())).with_baseline(model(baseline));
        let report = run(&json!({ "mode": "baseline" }), &host, &rows());
        assert_eq!(failed(&report), expected);
        assert_eq!(codes(&report), codes_expected);
        report
    };
    let report = against(ModelDescription { bytes: 500, ..described() }, &[], &[]);
    let ratio = report.metrics.iter().find(|it| it.name == "file_bytes" && it.role == MetricRole::Ratio).unwrap();
    assert_eq!(ratio.value, 2.0);
    let outputs = |it: Port| ModelDescription { outputs: vec![it], ..described() };
    against(outputs(port("probs", "f64", &[None, Some(2)])), &["baseline_outputs"], &["MW-C002"]);
    against(outputs(port("probs", "f32", &[None, Some(3)])), &["baseline_outputs"], &["MW-C003"]);
    let codes = ["MW-C001", "MW-C001"];
    let report = against(outputs(port("scores", "f32", &[None, Some(2)])), &["baseline_outputs"], &codes);
    assert!(report.findings[0].message.contains("was it renamed to `probs`?"), "{}", report.findings[0].message);
    let inputs = ModelDescription { inputs: vec![port("x", "f32", &[None, Some(4)])], ..described() };
    against(inputs, &["baseline_inputs"], &["MW-C003"]);
    // Without one nothing was compared.
    let report = run(&json!({ "mode": "baseline" }), &ModelHost::new(model(described())), &rows());
    let check = report.checks.iter().find(|it| it.metric == "baseline_interface").unwrap();
    assert_eq!(check.status, Status::NotChecked);
    assert!(report.gaps[0].why.contains("`when = \"baseline\"`"), "{}", report.gaps[0].why);
}

/// A host runs the rows of such a model one by one, and refuses them together.
#[test]
fn rows_that_cannot_be_run_together_are_a_finding() {
    let of = |kind: ErrorKind| {
        let runs = AtomicU64::new(0);
        let answer = move |batch: &RecordBatch| {
            // The first two are those of each row alone.
            if runs.fetch_add(1, Ordering::Relaxed) > 1 {
                return Err(Error::new(kind, "not together"));
            }
            RecordBatch::try_from_iter([("probs", list(2, vec![0.5; 2 * batch.num_rows()]))]).map_err(Error::input)
        };
        let host = ModelHost::new(TestModel { description: described(), ..TestModel::new(answer) });
        let report = run(&json!({ "batch_sizes": [7], "repeats": 2, "threads": 0 }), &host, &rows());
        assert_eq!(failed(&report), ["batch_size", "row_order", "row_order"], "{:#?}", report.checks);
        let status = report.checks.iter().map(|it| it.status).max().unwrap();
        (status, codes(&report).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(of(ErrorKind::MixedRows), (Status::Fail, vec!["MW-C009".to_owned(); 3]));
    assert_eq!(of(ErrorKind::Input), (Status::Error, vec![]));
}

#[test]
fn batches_order_and_repetition_must_not_show() {
    let of = |answer: Answer| {
        let report =
            run(&json!({ "batch_sizes": [1, 7, 40] }), &ModelHost::new(model_with(described(), answer)), &rows());
        let found: Vec<_> = report.findings.iter().map(|it| it.code.clone()).collect();
        (failed(&report).into_iter().map(str::to_owned).collect::<Vec<_>>(), found)
    };
    let strings = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    // Rounding is allowed between batches.
    assert_eq!(of(|sum, row, _, _| sum / 10.0 + row as f32 * 1e-7).0, strings(&[]));
    let (checks, found) = of(|sum, _, n, _| sum / 10.0 + 1.0 / n as f32);
    assert_eq!((checks, found), (strings(&["batch_size"; 3]), strings(&["MW-C009"; 3])));
    let (checks, found) = of(|sum, row, _, _| sum / 10.0 + row as f32 * 0.01);
    assert_eq!(checks, strings(&["batch_size", "batch_size", "batch_size", "row_order", "row_order"]));
    assert_eq!(found, strings(&["MW-C009"; 5]));
    let (checks, found) = of(|sum, _, _, runs| sum / 10.0 + (runs % 2) as f32 * 1e-6);
    assert_eq!((checks, found), (strings(&["repeats", "threads"]), strings(&["MW-C010", "MW-C011"])));
    // What is not a number is equal to nothing that could be relied on.
    let (checks, found) = of(|_, _, _, _| f32::NAN);
    assert_eq!((checks, found), (strings(&["produced_outputs"]), strings(&["MW-C007"])));
}

/// Rows of a model whose batch is part of it are cut into such batches, whatever was asked for.
#[test]
fn sizes_that_a_fixed_batch_cannot_have_are_not_said_to_make_no_difference() {
    let of = |rows: u64, config: Value| {
        let inputs = vec![port("x", "f32", &[Some(rows), Some(3)])];
        let description = ModelDescription { inputs, ..described() };
        let report = run(&config, &ModelHost::new(model(description)), &self::rows());
        let of_runs = report.checks.iter().filter(|it| matches!(&*it.metric, "batch_size" | "row_order"));
        let of_runs = of_runs.map(|it| (it.labels.values().next().unwrap().clone(), it.status)).collect::<Vec<_>>();
        let gaps = report.gaps.iter().map(|it| it.what.clone()).collect::<Vec<_>>();
        (of_runs, gaps, report.metrics.iter().filter(|it| it.name == "batch_difference").count())
    };
    let one = || ("1".to_owned(), Status::Pass);
    assert_eq!(
        of(1, json!({})),
        (vec![one()], ["batches of 7", "batches of 32", "the order of rows"].map(str::to_owned).to_vec(), 1)
    );
    // What was asked for by name was not checked.
    let (checks, gaps, n_metrics) = of(1, json!({ "batch_sizes": [1, 7] }));
    assert_eq!((checks, n_metrics), (vec![one(), ("7".to_owned(), Status::NotChecked)], 1));
    assert_eq!(gaps, ["batch size", "the order of rows"]);
    // In a batch of several the order can show.
    let (checks, gaps, _) = of(7, json!({}));
    let all = ["7", "reversed", "shuffled"].map(|it| (it.to_owned(), Status::Pass));
    assert_eq!((checks, gaps), (all.to_vec(), ["batches of 1", "batches of 32"].map(str::to_owned).to_vec()));
}

#[test]
fn a_format_that_there_is_not_is_refused() {
    let read =
        |format: &str| serde_json::from_value::<Config>(json!({ "formats": [format] })).map_err(|e| e.to_string());
    for known in ["onnx", "tensorflow-saved-model", "tensorflow-frozen-graph", "tflite", "nnef"] {
        assert!(read(known).is_ok(), "{known}");
    }
    assert!(read("onxx").unwrap_err().contains("unknown variant `onxx`"));
    let schema = serde_json::to_string(&verify_contract::registry().manifest()).unwrap();
    assert!(schema.contains("tensorflow-frozen-graph"), "{schema}");
}

#[test]
fn threads_must_not_show() {
    // A model with a state that its runs share: alone it always gives the same, and together they are in each other's way.
    let together = || {
        let running = Arc::new(AtomicU64::new(0));
        let inner = model(described());
        let meet = Arc::new(Barrier::new(4));
        let alone = std::thread::current().id();
        TestModel {
            description: described(),
            ..TestModel::new(move |batch| {
                let others = if std::thread::current().id() == alone {
                    0
                } else {
                    let others = running.fetch_add(1, Ordering::Relaxed);
                    meet.wait();
                    others
                };
                let given = (inner.run)(batch)?;
                let values = rows::numbers(given.column(0).as_ref())?.values.into_owned();
                let shifted = values.into_iter().map(|it| it as f32 + others as f32 * 1e-7).collect();
                RecordBatch::try_from_iter([("probs", list(2, shifted))]).map_err(Error::input)
            })
        }
    };
    let report = run(&json!({}), &ModelHost::new(together()), &rows());
    assert_eq!((failed(&report), codes(&report)), (vec!["threads"], vec!["MW-C011"]));
    assert!(report.findings[0].message.contains("on 4 threads at once"), "{}", report.findings[0].message);
    let report = run(&json!({ "threads": 0 }), &ModelHost::new(together()), &rows());
    assert!(failed(&report).is_empty() && report.checks.iter().all(|it| it.metric != "threads"));
}

#[test]
fn a_model_that_does_not_do_what_its_file_says_is_found() {
    let of = |it: Port| {
        let config = json!({});
        let description = ModelDescription { outputs: vec![it], ..described() };
        codes(&run(&config, &ModelHost::new(model(description)), &rows())).len()
    };
    assert_eq!(of(port("probs", "f32", &[None, Some(2)])), 0);
    assert_eq!(of(port("probs", "i64", &[None, Some(2)])), 1);
    assert_eq!(of(port("probs", "f32", &[None, Some(3)])), 1);
    assert_eq!(of(port("probs", "f32", &[None])), 1);
    assert_eq!(of(port("other", "f32", &[None, Some(2)])), 2);
}

#[test]
fn inputs_must_be_in_the_data() {
    let wide = ModelDescription { inputs: vec![port("x", "f32", &[None, Some(4)])], ..described() };
    let report = run(&json!({}), &ModelHost::new(model(wide)), &rows());
    assert_eq!((failed(&report), codes(&report)), (vec!["input_columns"], vec!["MW-C006"]));
    let two = vec![port("x", "f32", &[None, Some(3)]), port("mask", "f32", &[None])];
    let report = run(&json!({}), &ModelHost::new(model(ModelDescription { inputs: two, ..described() })), &rows());
    assert_eq!((failed(&report), codes(&report)), (vec!["input_columns", "produced_outputs"], vec!["MW-C006"]));
    assert!(report.findings[0].message.contains("no column of the data makes the model's input `mask`"));
    let text = ModelDescription { inputs: vec![port("x", "utf8", &[None, Some(3)])], ..described() };
    assert_eq!(codes(&run(&json!({}), &ModelHost::new(model(text)), &rows())), ["MW-C006"]);
    let whole = ModelDescription { inputs: vec![port("x", "i64", &[None, Some(3)])], ..described() };
    let report = run(&json!({}), &ModelHost::new(model(whole)), &rows());
    assert!(failed(&report).is_empty() && codes(&report) == ["MW-C006"]);
}

#[test]
fn an_mlflow_signature_is_held_to() {
    let of = |inputs: Vec<MlflowField>, outputs: Vec<MlflowField>| {
        let description = ModelDescription { mlflow: Some(MlflowSignature { inputs, outputs }), ..described() };
        let report = run(&json!({}), &ModelHost::new(model(description)), &rows());
        (report.checks.iter().any(|it| it.metric == "mlflow_signature"), codes(&report).len(), report.gaps.len())
    };
    let field = |name: Option<&str>, dtype: &str, shape: Option<&[i64]>| MlflowField {
        name: name.map(str::to_owned),
        dtype: dtype.to_owned(),
        shape: shape.map(<[i64]>::to_vec),
        optional: false,
    };
    let output = || vec![field(None, "float32", Some(&[-1, 2]))];
    assert_eq!(of(vec![field(None, "float32", Some(&[-1, 3]))], output()), (true, 0, 0));
    assert_eq!(of(vec![field(Some("numbers"), "double", None)], output()), (true, 0, 0));
    assert_eq!(of(vec![field(Some("numbers"), "string", None)], output()), (true, 1, 0));
    assert_eq!(of(vec![field(Some("age"), "double", None)], output()), (true, 1, 0));
    assert_eq!(of(vec![MlflowField { optional: true, ..field(Some("age"), "double", None) }], output()), (true, 0, 0));
    assert_eq!(of(vec![field(Some("x"), "float64", Some(&[-1, 3]))], output()), (true, 1, 0));
    assert_eq!(of(vec![field(Some("x"), "float32", Some(&[-1, 4]))], output()), (true, 1, 0));
    assert_eq!(of(vec![], vec![field(Some("scores"), "float32", Some(&[-1, 2]))]), (true, 1, 0));
    assert_eq!(of(vec![], vec![]), (false, 0, 1));
}

#[test]
fn nothing_to_run_on_is_never_a_pass() {
    let mut probe = open(&json!({})).unwrap();
    let report = probe.evaluate(&ModelHost::new(model(described()))).unwrap();
    assert_eq!((failed(&report), report.gaps.len()), (vec!["produced_outputs"], 1));
    assert!(probe.evaluate(&()).is_err());
    // Only one row has no order, and a model that fails is an error.
    let one = run(&json!({}), &ModelHost::new(model(described())), &rows().slice(0, 1));
    assert_eq!(failed(&one), ["row_order", "row_order"]);
    let broken = TestModel { description: described(), ..TestModel::new(|_| Err(Error::input("no"))) };
    let report = run(&json!({}), &ModelHost::new(broken), &rows());
    assert_eq!(report.checks.iter().find(|it| it.metric == "produced_outputs").unwrap().status, Status::Error);
    // Which operators of other formats are custom nobody knows.
    let other = ModelDescription { opsets: None, format: "tflite".to_owned(), ..described() };
    let config = json!({ "operators": { "custom": false }, "opset": { "min": 1 } });
    let report = run(&config, &ModelHost::new(model(other)), &rows());
    assert_eq!((failed(&report), codes(&report)), (vec!["opset", "custom_operators"], vec!["MW-C004"]));
}

#[test]
fn conforms() {
    let config = json!({ "mode": "baseline", "rows": 20, "opset": { "min": 13 } });
    let host = ModelHost::new(model(described())).with_baseline(model(described()));
    let registry = verify_contract::registry();
    testing::probe_on(
        &host,
        &ProbeCase {
            open: &|| registry.open_probe(Kind::Verifier, "contract", &config),
            rows: vec![(Role::Current, rows())],
            tensors: Vec::new(),
            codes: registry.manifest().codes(Kind::Verifier, "contract"),
        },
    );
}

#[test]
fn wrong_options_are_refused_with_their_place() {
    for (config, path, words) in [
        (json!({ "inputs": [{ "name": "x" }, { "name": "x" }] }), "/inputs/1/name", "names `x` twice"),
        (json!({ "outputs": [{ "name": "x", "dtype": "floot" }] }), "/outputs/0/dtype", "no type `floot`"),
        (json!({ "outputs": [] }), "/outputs", "at least one output"),
        (json!({ "opset": { "min": 3, "max": 2 } }), "/opset", "at least 3 and at most 2"),
        (json!({ "operators": { "allow": [] } }), "/operators/allow", "at least one operator"),
        (json!({ "repeats": 1 }), "/repeats", "at least 2"),
        (json!({ "threads": 1 }), "/threads", "from 2 to 64, or 0"),
        (json!({ "batch_sizes": [0] }), "/batch_sizes", "at least 1"),
        (json!({ "atol": -1 }), "/atol", "not negative"),
    ] {
        let error = open(&config).err().unwrap();
        assert_eq!(error.path, path);
        assert!(error.message.contains(words), "{error}");
    }
}
