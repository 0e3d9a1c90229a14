//! Changes and cases: what passes, what fails, and what tests nothing.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use modelwatch_sdk::{
    Error, ErrorKind, Kind, ModelRole, Need, Probe, RecordBatch, Report, Role, Verifier,
    about::Port,
    arrow::{
        array::{
            Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray, StringArray,
            types::Float32Type,
        },
        schema::{DataType, Field, Schema},
    },
    report::{FigureData, Status},
    rows::{self, Use, with_input, with_uses},
    testing::{self, ModelHost, ProbeCase, TestModel},
};
use serde_json::{Value, json};
use verify_behavior::{Behavior, Config};

fn list(width: i32, values: Vec<f32>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, width, Arc::new(Float32Array::from(values)), None))
}

/// A model of a 2×2 image and an age: the brighter of the upper and the lower half, and a risk that rises with age.
fn network() -> TestModel {
    TestModel::new(|rows| {
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| Error::input(format!("the rows have no column `{name}`")))
        };
        let (images, ages) = (rows::numbers(column("image")?)?, rows::numbers(column("age")?)?);
        let mut probs = Vec::new();
        let mut risks = Vec::new();
        for row in 0..rows.num_rows() {
            let image = images.row(row);
            let up = 1.0 / (1.0 + (image[2] + image[3] - image[0] - image[1]).exp());
            probs.extend([up as f32, (1.0 - up) as f32]);
            risks.push(ages.row(row)[0] / 100.0);
        }
        let outputs: [(&str, ArrayRef); 3] = [
            ("probs", list(2, probs)),
            ("risk", Arc::new(Float64Array::from(risks.clone()))),
            (
                "word",
                Arc::new(StringArray::from_iter_values(risks.iter().map(|it| if *it < 0.4 { "low" } else { "high" }))),
            ),
        ];
        RecordBatch::try_from_iter(outputs).map_err(Error::input)
    })
}

/// Twenty rows as the host hands them over, with the network's outputs.
fn rows() -> RecordBatch {
    let mut image = Vec::new();
    for row in 0..20 {
        let value = row as f32 / 20.0;
        image.extend([value, value / 2.0, 0.9 - value, 0.3]);
    }
    let input = |field: Field| with_input(with_uses(field, &[Use::Feature]), ModelRole::Candidate, "x");
    let image = list(4, image);
    let mut columns: Vec<(Field, ArrayRef)> = vec![
        (
            with_uses(Field::new("row", DataType::Int64, true), &[Use::Id]),
            Arc::new(Int64Array::from_iter_values(100..120)),
        ),
        (input(Field::new("image", image.data_type().clone(), true)), image),
        (
            input(Field::new("age", DataType::Float64, true)),
            Arc::new(Float64Array::from_iter_values((0..20).map(|it| f64::from(30 + it)))),
        ),
        (
            Field::new("city", DataType::Utf8, true),
            Arc::new(StringArray::from_iter_values((0..20).map(|it| ["Ulm", "Bern"][it % 2]))),
        ),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.iter().cloned().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let outputs = (network().run)(&batch).unwrap();
    for (field, array) in outputs.schema().fields().iter().zip(outputs.columns()) {
        let field = field.as_ref().clone().with_name(format!("candidate:{}", field.name())).with_nullable(true);
        columns.push((with_uses(field, &[Use::Candidate]), Arc::clone(array)));
    }
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn open(config: &Value) -> Result<Behavior, Error> {
    Behavior::open(serde_json::from_value::<Config>(config.clone()).unwrap())
}

fn run(config: &Value) -> Report {
    let mut probe = open(config).unwrap();
    let host = ModelHost::new(network());
    probe.update(&host, Role::Current, &rows()).unwrap();
    probe.evaluate(&host).unwrap()
}

fn test(output: &str, kind: &str, rest: Value) -> Value {
    let mut test = json!({ "name": "t" });
    test.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({ "output": output, kind: [test] })
}

/// Runs one test: the status of its check, the codes of its findings, and the rows that counted.
#[track_caller]
fn check(config: &Value, status: Status, codes: &[&str], n: u64) -> Report {
    let report = run(config);
    assert_eq!(report.checks.len(), 1);
    assert_eq!((report.checks[0].status, report.checks[0].n), (status, n), "{}", report.checks[0].message);
    assert_eq!(report.findings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), codes);
    report
}

/// The host's rows of a model that answers with the age and a number that no float has.
fn rows_of_names() -> (TestModel, RecordBatch) {
    let model = TestModel::new(|rows| {
        let ages = rows.column_by_name("age").ok_or_else(|| Error::input("the rows have no column `age`"))?;
        let ages = rows::numbers(ages.as_ref())?;
        let names: ArrayRef =
            Arc::new(Int64Array::from_iter_values(ages.values.iter().map(|it| (1 << 53) + (*it as i64) % 2)));
        RecordBatch::try_from_iter([("name", names)]).map_err(Error::input)
    });
    let ages: ArrayRef = Arc::new(Float64Array::from_iter_values((0..20).map(|it| f64::from(30 + 2 * it))));
    let age = Field::new("age", DataType::Float64, true);
    let age = with_input(with_uses(age, &[Use::Feature]), ModelRole::Candidate, "x");
    let inputs = RecordBatch::try_new(Arc::new(Schema::new(vec![age.clone()])), vec![Arc::clone(&ages)]).unwrap();
    let names = Arc::clone((model.run)(&inputs).unwrap().column(0));
    let name = with_uses(Field::new("candidate:name", DataType::Int64, true), &[Use::Candidate]);
    (model, RecordBatch::try_new(Arc::new(Schema::new(vec![age, name])), vec![ages, names]).unwrap())
}

#[test]
fn integers_that_no_float_tells_apart_differ() {
    let change = json!({ "add": 1.0 });
    for (kind, rest) in [
        ("invariance", json!({ "change": change, "columns": ["age"], "same_class": true })),
        ("invariance", json!({ "change": change, "columns": ["age"], "tolerance": 0.0 })),
        ("directional", json!({ "change": change, "columns": ["age"], "expect": "not-higher" })),
    ] {
        let (model, rows) = rows_of_names();
        let host = ModelHost::new(model);
        let mut probe = open(&test("name", kind, rest.clone())).unwrap();
        probe.update(&host, Role::Current, &rows).unwrap();
        let report = probe.evaluate(&host).unwrap();
        assert_eq!((report.checks[0].status, report.checks[0].observed), (Status::Fail, Some(0.0)), "{rest}");
    }
}

#[test]
fn what_must_not_matter_does_not() {
    let same = |rest| test("probs", "invariance", rest);
    let flip = json!({ "flip": "horizontal", "shape": [2, 2] });
    let config = same(json!({ "change": flip, "columns": ["image"], "tolerance": 1e-6, "same_class": true }));
    let report = check(&config, Status::Pass, &[], 20);
    let rate = &report.metrics[0];
    assert_eq!((rate.name.as_str(), rate.value, rate.labels["test"].as_str()), ("pass_rate", 1.0, "t"));
    // Wilson's bound for 20 of 20: 1 / (1 + z² / 20).
    assert!((rate.interval.unwrap().low - 1.0 / (1.0 + 1.959_963_984_540_054f64.powi(2) / 20.0)).abs() < 1e-9);
    // Age is no part of what the image says.
    let config = same(json!({ "change": { "add": 5.0 }, "columns": ["age"], "tolerance": 0.0 }));
    check(&config, Status::Pass, &[], 20);
    let config = same(json!({ "change": { "noise": 0.001 }, "columns": ["image"], "tolerance": 0.01 }));
    check(&config, Status::Pass, &[], 20);
}

#[test]
fn what_matters_although_it_must_not_is_found_with_its_worst_row() {
    let flip = json!({ "flip": "vertical", "shape": [2, 2] });
    let config = test("probs", "invariance", json!({ "change": flip, "columns": ["image"], "same_class": true }));
    let report = check(&config, Status::Fail, &["MW-B001"], 20);
    let FigureData::Table { rows, .. } = &report.figures[0].data else { panic!("no table") };
    assert!(rows.len() == 10 && rows[0][0].starts_with('1') && rows[0][1].starts_with("class"), "{rows:?}");
    assert!(report.checks[0].message.contains("worst in row `1"), "{}", report.checks[0].message);
    // A share of rows may be moved.
    let shift = json!({ "shift": [0, 1], "shape": [2, 2] });
    let of = |share: f64| {
        test(
            "probs",
            "invariance",
            json!({ "change": shift, "columns": ["image"], "same_class": true, "share": share }),
        )
    };
    let rate = run(&of(0.1)).metrics[0].value;
    assert!(rate > 0.1 && rate < 1.0, "{rate}");
    check(&of(rate), Status::Pass, &[], 20);
    check(&of(rate + 1e-9), Status::Fail, &["MW-B001"], 20);
}

#[test]
fn directions_are_kept() {
    let of = |output: &str, expect: &str, change: Value| {
        test(output, "directional", json!({ "change": change, "columns": ["age"], "expect": expect }))
    };
    check(&of("risk", "not-lower", json!({ "add": 10 })), Status::Pass, &[], 20);
    check(&of("risk", "not-higher", json!({ "add": -10 })), Status::Pass, &[], 20);
    let report = check(&of("risk", "not-higher", json!({ "scale": 1.1 })), Status::Fail, &["MW-B002"], 20);
    assert!(report.checks[0].message.contains("20 of 20 answers rise"), "{}", report.checks[0].message);
    let config = test(
        "probs",
        "directional",
        json!({ "change": { "add": 1 }, "columns": ["image"], "expect": "not-lower", "element": 0 }),
    );
    check(&config, Status::Pass, &[], 20);
}

/// As pandas writes them to Parquet.
#[test]
fn lists_whose_type_has_no_length_are_changed_as_others() {
    let of = |lengths: [usize; 2]| {
        let batch = rows();
        let place = batch.schema().index_of("image").unwrap();
        let images = rows::numbers(batch.column(place).as_ref()).unwrap();
        let image = |row: usize| Some(images.row(row)[..lengths[row % 2]].iter().map(|it| Some(*it as f32)));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>((0..20).map(image)));
        let mut fields: Vec<Field> = batch.schema().fields().iter().map(|it| it.as_ref().clone()).collect();
        fields[place] = fields[place].clone().with_data_type(lists.data_type().clone());
        let mut columns = batch.columns().to_vec();
        columns[place] = lists;
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let config = json!({ "change": { "noise": 0.1 }, "columns": ["image"], "tolerance": 1.0 });
        let (mut probe, host) = (open(&test("probs", "invariance", config)).unwrap(), ModelHost::new(network()));
        probe.update(&host, Role::Current, &batch)?;
        probe.evaluate(&host)
    };
    assert_eq!(of([4, 4]).unwrap().checks[0].status, Status::Pass);
    let error = of([4, 3]).unwrap_err();
    assert!(error.message.starts_with("column `image`: expected numbers"), "{error}");
}

#[test]
fn a_test_that_tests_nothing_fails() {
    let of = |rest: Value| {
        let mut all = json!({ "columns": ["age"], "tolerance": 1.0 });
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        test("probs", "invariance", all)
    };
    let report = check(&of(json!({ "change": { "add": 0.0 } })), Status::Fail, &["MW-B004"], 0);
    assert!(report.gaps[0].why.contains("leaves all of 20 rows as they are"), "{}", report.gaps[0].why);
    let config = of(json!({ "change": { "add": 1 }, "where": { "city": "Rome" } }));
    let report = check(&config, Status::Fail, &["MW-B004"], 0);
    assert!(report.gaps[0].why.contains("no row is what its `where` says"));
    check(&of(json!({ "change": { "add": 1 }, "where": { "city": "Ulm" } })), Status::Pass, &[], 10);
    // Rows that the change leaves alone do not count.
    let report = check(&of(json!({ "change": { "set": 31 } })), Status::Pass, &[], 19);
    let [gap] = &report.gaps[..] else { panic!("{:?}", report.gaps) };
    assert_eq!(gap.why, "1 of 20 rows was left as it is, so that they test nothing");
    let almost_none = json!({ "change": { "add": 5, "clip": [30, 31] }, "share": 0.1 });
    let report = check(&of(almost_none), Status::Pass, &[], 19);
    assert!(report.gaps[0].why.starts_with("1 of 20 rows"), "{:?}", report.gaps);
    assert!(check(&of(json!({ "change": { "add": 1 } })), Status::Pass, &[], 20).gaps.is_empty());
    // Without rows nothing was checked.
    let mut probe = open(&of(json!({ "change": { "add": 1 } }))).unwrap();
    let report = probe.evaluate(&ModelHost::new(network())).unwrap();
    assert_eq!((report.checks[0].status, report.gaps.len()), (Status::NotChecked, 1));
}

#[test]
fn answers_that_are_not_finite_fail_whatever_share_is_allowed() {
    let config = test(
        "risk",
        "invariance",
        json!({ "change": { "missing": true }, "columns": ["age"], "tolerance": 1.0, "share": 0.01 }),
    );
    let report = check(&config, Status::Fail, &["MW-B005"], 20);
    assert!(report.metrics.iter().any(|it| it.name == "non_finite_rows" && it.value == 20.0));
}

#[test]
fn classes_are_numbers_thresholds_and_words() {
    let of = |output: &str, threshold: f64| {
        let change = json!({ "change": { "add": 3 }, "columns": ["age"], "same_class": true, "share": 0.5 });
        let mut config = test(output, "invariance", change);
        config["threshold"] = threshold.into();
        run(&config).metrics[0].value
    };
    assert_eq!(of("risk", 0.4), 17.0 / 20.0);
    assert_eq!(of("risk", 0.9), 1.0);
    assert_eq!(of("word", 0.5), 17.0 / 20.0);
}

#[test]
fn cases_are_right_wrong_or_without_an_answer() {
    let case = |name: &str, image: [f64; 4], rest: Value| {
        let mut case = json!({ "name": name, "inputs": { "image": image, "age": 30 } });
        case.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        case
    };
    let config = json!({ "output": "probs", "cases": [
        case("up", [1.0, 1.0, 0.0, 0.0], json!({ "class": 0 })),
        case("balance", [0.0; 4], json!({ "output": [0.5, 0.5] })),
        case("down", [1.0, 1.0, 0.0, 0.0], json!({ "class": 1 })),
        case("off", [0.0; 4], json!({ "output": [0.5, 0.6] })),
        json!({ "name": "no age", "inputs": { "image": [0, 0, 0, 0] }, "class": 1 }),
    ] });
    let report = run(&config);
    let statuses: Vec<_> = report.checks.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Status::Pass, Status::Pass, Status::Fail, Status::Fail, Status::Error]);
    assert_eq!(report.findings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["MW-B003"; 2]);
    assert!(report.checks[2].message.contains("answered with class 0 (0.88"), "{}", report.checks[2].message);
    assert!(report.checks[4].message.contains("no column `age`"), "{}", report.checks[4].message);
    assert_eq!((report.metrics[0].name.as_str(), report.metrics[0].value), ("case_pass_rate", 0.5));
    // No data is needed for them.
    let needs = open(&config).unwrap().needs().current.unwrap();
    assert!(needs.optional && needs.predictions == Need::No && needs.inputs == Need::Required);
}

#[test]
fn values_of_inputs_that_the_model_does_not_have_are_refused() {
    let case = |inputs: Value| json!({ "output": "risk", "cases": [{ "name": "up", "inputs": inputs, "class": 0 }] });
    let port = |name: &str| Port { name: name.to_owned(), ..Port::default() };
    let host = || {
        let mut model = network();
        model.description.inputs = vec![port("image"), port("x/age")];
        ModelHost::new(model)
    };
    let with_data = |inputs: Value| {
        let mut probe = open(&case(inputs)).unwrap();
        let mut part = open(&case(json!({ "age": 30 }))).unwrap();
        part.update(&host(), Role::Current, &rows()).unwrap();
        probe.merge(&part.state().unwrap()).unwrap();
        probe.evaluate(&host())
    };
    let error = with_data(json!({ "image": [0, 0, 0, 0], "age": 30, "zz": 1 })).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, "/cases/0/inputs/zz"));
    assert!(error.message.contains("`zz` of the case `up`"), "{error}");
    assert_eq!(error.help, "the model's input is made of `age`, `image`");
    let error = with_data(json!({ "image": [0, 0, 0, 0], "agee": 30 })).unwrap_err();
    assert_eq!(error.help, "did you mean `age`?");
    // Of the data, but for something else.
    assert_eq!(with_data(json!({ "city": "Ulm", "age": 30 })).unwrap_err().path, "/cases/0/inputs/city");
    assert!(with_data(json!({ "image": [0, 0, 0, 0], "age": 30 })).is_ok());
    // What is missing is named as the column that it is, and not as the input.
    let report = with_data(json!({ "age": 30 })).unwrap();
    assert_eq!(
        (report.checks[0].status, report.checks[0].message.as_str()),
        (
            Status::Error,
            "the case `up` has no answer: its `inputs` have no column `image`, of which the model's input is made"
        )
    );
    assert!(with_data(json!({ "image": [0, 0, 0, 0], "x/age": 30 })).is_ok());
    // Without data they are the model's own.
    let without = |inputs: Value| open(&case(inputs)).unwrap().evaluate(&host());
    let error = without(json!({ "image": [0, 0, 0, 0], "y/age": 30 })).unwrap_err();
    assert_eq!((error.path.as_str(), error.help.as_str()), ("/cases/0/inputs/y~1age", "did you mean `x/age`?"));
    assert!(without(json!({ "image": [0, 0, 0, 0], "x/age": 30 })).is_ok());
}

#[test]
fn conforms() {
    let config = json!({ "output": "probs", "seed": 3,
        "invariance": [
            { "name": "noise", "change": { "noise": 0.2, "clip": [0, 1] }, "tolerance": 0.05, "share": 0.2 },
            { "name": "shift", "change": { "shift": [1, 0], "shape": [2, 2] }, "columns": ["image"], "same_class": true },
        ],
        "directional": [
            { "name": "age", "change": { "add": 1 }, "columns": ["age"], "expect": "not-lower", "element": 1 },
        ],
        "cases": [{ "name": "up", "inputs": { "image": [1, 1, 0, 0], "age": 30 }, "class": 0 }],
    });
    let registry = verify_behavior::registry();
    testing::probe_on(
        &ModelHost::new(network()),
        &ProbeCase {
            open: &|| registry.open_probe(Kind::Verifier, "behavior", &config),
            rows: vec![(Role::Current, rows())],
            tensors: Vec::new(),
            codes: registry.manifest().codes(Kind::Verifier, "behavior"),
        },
    );
}

#[test]
fn wrong_options_are_refused_with_their_place() {
    let flip = json!({ "flip": "vertical" });
    for (config, path, words) in [
        (json!({}), "", "nothing to test"),
        (test("p", "invariance", json!({ "change": flip })), "/invariance/0", "what must not change"),
        (test("p", "invariance", json!({ "change": {}, "tolerance": 1 })), "/invariance/0/change", "exactly one thing"),
        (
            test("p", "invariance", json!({ "change": { "add": 1, "scale": 2 }, "tolerance": 1 })),
            "/invariance/0/change",
            "exactly one thing",
        ),
        (test("p", "invariance", json!({ "change": flip, "tolerance": -1 })), "/invariance/0/tolerance", "negative"),
        (
            test("p", "invariance", json!({ "change": flip, "tolerance": 1, "share": 0 })),
            "/invariance/0/share",
            "above 0 and at most 1",
        ),
        (
            test("p", "invariance", json!({ "change": { "noise": 0 }, "tolerance": 1 })),
            "/invariance/0/change/noise",
            "above 0",
        ),
        (
            test("p", "invariance", json!({ "change": { "add": 1, "shape": [2] }, "tolerance": 1 })),
            "/invariance/0/change",
            "`shift` and `flip` alone",
        ),
        (
            test("p", "directional", json!({ "change": flip, "columns": [], "expect": "not-lower" })),
            "/directional/0/columns",
            "at least one column",
        ),
        (test("p", "cases", json!({ "inputs": { "x": 1 } })), "/cases/0", "needs one answer"),
        (test("p", "cases", json!({ "inputs": {}, "class": 1 })), "/cases/0/inputs", "no inputs"),
        (
            json!({ "cases": [
                { "name": "a", "inputs": { "x": 1 }, "class": 1 }, { "name": "a", "inputs": { "x": 1 }, "class": 1 },
            ] }),
            "/cases/1/name",
            "two tests are named `a`",
        ),
    ] {
        let error = open(&config).err().unwrap();
        assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Config, path), "{config}: {error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn what_only_the_data_shows_to_be_wrong_is_an_error_with_a_remedy() {
    let change = json!({ "add": 1 });
    for (config, words) in [
        (test("none", "invariance", json!({ "change": change, "tolerance": 1 })), "no output `none`"),
        (
            test("probs", "invariance", json!({ "change": change, "columns": ["city"], "tolerance": 1 })),
            "no part of the model's input",
        ),
        (
            test("probs", "directional", json!({ "change": change, "columns": ["age"], "expect": "not-lower" })),
            "say which with `element`",
        ),
        (test("word", "invariance", json!({ "change": change, "tolerance": 1 })), "only `same_class`"),
    ] {
        let mut probe = open(&config).unwrap();
        let error = probe.update(&ModelHost::new(network()), Role::Current, &rows()).unwrap_err();
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn states_of_other_tests_are_refused() {
    let of = |name: &str| {
        let mut config = test("risk", "invariance", json!({ "change": { "add": 1 }, "tolerance": 1 }));
        config["invariance"][0]["name"] = name.into();
        open(&config).unwrap()
    };
    let mut one = of("one");
    one.update(&ModelHost::new(network()), Role::Current, &rows()).unwrap();
    let state = one.state().unwrap();
    assert!(of("two").merge(&state).unwrap_err().message.contains("other tests"));
    let text = std::str::from_utf8(&state[1..]).unwrap().replacen("\"passed\":20", "\"passed\":21", 1);
    assert!(of("one").merge(&[&[2], text.as_bytes()].concat()).unwrap_err().message.contains("contradict"));
}

#[test]
fn what_the_options_leave_out_is_no_known_metric() {
    let names =
        |options: &Value| -> Vec<_> { open(options).unwrap().needs().metrics.into_iter().map(|it| it.name).collect() };
    let of_tests = test("risk", "invariance", json!({ "change": { "add": 1 }, "tolerance": 1 }));
    assert_eq!(names(&of_tests), ["pass_rate", "non_finite_rows", "greatest_change"]);
    let cases = json!({ "cases": [{ "name": "up", "inputs": { "age": 30 }, "class": 0 }] });
    assert_eq!(names(&cases), ["case_pass_rate"]);
}
