//! How batches are cut, converted and refused.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt8Array,
    cast::AsArray,
    types::{Float32Type, Float64Type},
};
use arrow_schema::{Field, Schema};
use common::{assert_close, batch, fixture, npz, numbers, proto, threads};
use modelwatch_infer::{ElementType, InferError, Model, ModelFormat};
use prost::Message;
use tract_onnx::pb::GraphProto;

fn digits(n: usize) -> RecordBatch {
    batch(&[("x", &npz("digits/data/test.npz")["x"].head(n))])
}

fn bits(batch: &RecordBatch) -> Vec<u32> {
    let values = batch.column(0).as_fixed_size_list().values().clone();
    values.as_primitive::<Float32Type>().values().iter().map(|it| it.to_bits()).collect()
}

#[test]
fn threads_and_cuts_do_not_change_a_bit() {
    let input = digits(300);
    for path in [
        "digits/cnn/cnn.onnx",
        "digits/mlp_series/e08.onnx",
        "digits/mlp_series/bad_bitflip.onnx",
        "digits/cnn/mlp_int8_dynamic.onnx",
        "digits/cnn/cnn_int8_qdq.onnx",
        "digits/cnn/cnn_frozen.pb",
    ] {
        let model = Model::load(&fixture(path)).unwrap();
        let whole = bits(&model.run(&input, threads(1)).unwrap());
        assert_eq!(whole.len(), 3000);
        for n in [2, 3, 64] {
            assert_eq!(bits(&model.run(&input, threads(n)).unwrap()), whole, "{path} with {n} threads");
        }
        for factor in [1, 3] {
            let step = model.micro_batch() * factor;
            let mut cut = Vec::new();
            for start in (0..300).step_by(step) {
                cut.extend(bits(&model.run(&input.slice(start, step.min(300 - start)), threads(2)).unwrap()));
            }
            assert_eq!(cut, whole, "{path} cut by {step}");
        }
    }
}

#[test]
fn the_rows_before_do_not_depend_on_how_many_follow() {
    for path in [
        "digits/mlp_series/e08.onnx",
        "digits/cnn/cnn.onnx",
        "digits/cnn/cnn_int8_qdq.onnx",
        "digits/cnn/mlp_int8_dynamic.onnx",
    ] {
        let model = Model::load(&fixture(path)).unwrap();
        let input = digits(300);
        let whole = bits(&model.run(&input, threads(1)).unwrap());
        for n in [1, 2, 31, 33, 200] {
            for n_threads in [1, 5] {
                let part = bits(&model.run(&input.slice(0, n), threads(n_threads)).unwrap());
                assert_eq!(part, whole[..n * 10], "{n} rows of {path} with {n_threads} threads");
            }
        }
    }
}

#[test]
fn clones_run_at_the_same_time() {
    let model = Model::load(&fixture("digits/mlp_series/e08.onnx")).unwrap();
    let input = digits(40);
    let alone = bits(&model.run(&input, threads(1)).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (model, input, alone) = (model.clone(), &input, &alone);
            scope.spawn(move || assert_eq!(&bits(&model.run(input, threads(2)).unwrap()), alone));
        }
    });
}

#[test]
fn info_describes_the_interface() {
    let model = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap();
    let info = model.info();
    assert_eq!((info.format, model.micro_batch()), (ModelFormat::Onnx, modelwatch_infer::MICRO_BATCH));
    assert_eq!(info.inputs[0].name, "x");
    assert_eq!(info.inputs[0].shape, [None, Some(8), Some(8), Some(1)]);
    assert_eq!((&*info.outputs[0].name, info.outputs[0].dtype), ("probs", ElementType::F32));
    assert_eq!(info.outputs[0].shape, [None, Some(10)]);
    assert_eq!(info.operators["Conv"], 2);
    assert!((9_700..10_200).contains(&info.n_parameters), "{}", info.n_parameters);

    let model = Model::load(&fixture("digits/cnn/cnn_frozen_b1.pb")).unwrap();
    assert_eq!((model.info().format, model.micro_batch()), (ModelFormat::TfFrozen, 1));
    assert_eq!(model.info().inputs[0].shape[0], Some(1));
    assert_eq!(model.info().outputs[0].name, "Identity");

    let model = Model::load(&fixture("tabular/wine/rforest.onnx")).unwrap();
    assert_eq!(model.micro_batch(), 256);
    assert_eq!(model.info().outputs[0].dtype, ElementType::I64);
    assert_eq!(model.info().outputs[0].shape, [None]);
    let model = Model::load(&fixture("traps/softmax_qdq/model.onnx")).unwrap();
    assert_eq!(model.micro_batch(), 4);
    let model = Model::load(&fixture("digits/cnn/mlp_int8_dynamic.onnx")).unwrap();
    assert_eq!(model.micro_batch(), 256);
}

#[test]
fn what_gathers_columns_has_many_rows_at_once_and_what_gathers_embeddings_few() {
    // An isolation forest, which takes the columns of each tree.
    let model = Model::load(&fixture("tabular/wine/iforest.onnx")).unwrap();
    assert!(model.info().operators["Gather"] > 0);
    assert_eq!(model.micro_batch(), 256);
    let folder = tempfile::tempdir().unwrap();
    let places = || proto::node("Cast", "", &["x"], "places", vec![proto::int("to", 7)]);
    let columns = |name: &str, n: i64| proto::numbers_tensor(name, &(0..n).map(|it| it % 2).collect::<Vec<_>>());
    let table = || proto::float_tensor("table", &[4, 3], &[0.5; 12]);
    let embedded = vec![places(), proto::node("Gather", "", &["table", "places"], "y", vec![])];
    let of = |name: &str| vec![proto::node("Gather", "", &["x", name], "y", vec![proto::int("axis", 1)])];
    // No more places than there are columns, and more; and more by and by.
    let mut again = of("few");
    again[0].output = vec!["copies".into()];
    again.push(proto::node("Unsqueeze", "", &["copies", "last"], "column", vec![]));
    again.push(proto::node("Gather", "", &["column", "first"], "y", vec![proto::int("axis", 2)]));
    let last = || proto::numbers_tensor("last", &[2]);
    let first = || proto::numbers_tensor("first", &[0; 256]);
    for (nodes, constants, micro_batch) in [
        (embedded, vec![table()], modelwatch_infer::MICRO_BATCH),
        (of("few"), vec![columns("few", 2)], 256),
        (of("many"), vec![columns("many", 3)], modelwatch_infer::MICRO_BATCH),
        (again, vec![columns("few", 2), last(), first()], modelwatch_infer::MICRO_BATCH),
    ] {
        let graph = GraphProto {
            node: nodes,
            initializer: constants,
            input: vec![proto::value("x", &[-1, 2])],
            output: vec![proto::value("y", &[])],
            ..Default::default()
        };
        let path = folder.path().join("model.onnx");
        fs::write(&path, proto::model(13, graph).encode_to_vec()).unwrap();
        assert_eq!(Model::load(&path).unwrap().micro_batch(), micro_batch);
    }
}

#[test]
fn what_is_too_large_for_many_rows_at_once_has_fewer_and_not_single_ones() {
    // Each row becomes so many numbers that 256 are more than 2 GiB.
    const N: i64 = (8 << 18) + 1;
    let graph = GraphProto {
        node: vec![
            proto::node("Expand", "", &["x", "shape"], "wide", vec![]),
            proto::node("ReduceMax", "", &["wide"], "y", vec![proto::ints("axes", &[1])]),
        ],
        initializer: vec![proto::numbers_tensor("shape", &[1, N])],
        input: vec![proto::value("x", &[-1, 1])],
        output: vec![proto::value("y", &[])],
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, proto::model(13, graph).encode_to_vec()).unwrap();
    let model = Model::load(&path).unwrap();
    assert_eq!(model.micro_batch(), modelwatch_infer::MICRO_BATCH);
    let x = common::Npy { shape: vec![3, 1], values: vec![1.5, -2.0, 0.25] };
    let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
    assert_eq!(numbers(outputs.column(0)), x.values);
}

#[test]
fn what_scikit_learn_and_quantizers_export_is_compiled() {
    for (path, rows) in [
        ("tabular/wine/mlp.onnx", "tabular/wine/ref_ort.npz"),
        ("tabular/wine/svc.onnx", "tabular/wine/ref_ort.npz"),
        ("digits/cnn/cnn_int8_qop.onnx", "digits/data/test.npz"),
    ] {
        let model = Model::load(&fixture(path)).unwrap();
        let input = &model.info().inputs[0].name;
        let rows = batch(&[(input, &npz(rows)["x"].head(3))]);
        assert!(!model.numerics(&rows, &|| false).unwrap().is_interpreted, "{path}");
    }
}

#[test]
fn outputs_carry_their_row_shape() {
    let outputs = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap().run(&digits(3), threads(1)).unwrap();
    let field = outputs.schema_ref().field(0).clone();
    assert_eq!(field.name(), "probs");
    assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
    assert_eq!(field.metadata()["ARROW:extension:metadata"], r#"{"shape":[10]}"#);
    assert_eq!(outputs.column(0).len(), 3);
}

#[test]
fn no_rows_give_no_rows_with_the_same_schema() {
    for path in ["digits/cnn/cnn.onnx", "tabular/wine/rforest.onnx"] {
        let model = Model::load(&fixture(path)).unwrap();
        let input =
            if path.contains("wine") { batch(&[("X", &npz("tabular/wine/ref_ort.npz")["x"])]) } else { digits(2) };
        let some = model.run(&input, threads(2)).unwrap();
        let none = model.run(&input.slice(0, 0), threads(2)).unwrap();
        assert_eq!((none.num_rows(), none.schema()), (0, some.schema()), "{path}");
    }
}

fn single(name: &str, array: ArrayRef) -> RecordBatch {
    let field = Field::new(name, array.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
}

fn lists(values: ArrayRef, width: i32) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(arrow_array::FixedSizeListArray::new(item, width, values, None))
}

fn equal_lists(values: &[f64], width: usize) -> ListArray {
    let rows = values.chunks(width).map(|it| Some(it.iter().copied().map(Some).collect::<Vec<_>>()));
    ListArray::from_iter_primitive::<Float64Type, _, _>(rows)
}

#[test]
fn every_layout_of_the_same_numbers_gives_the_same_outputs() {
    let model = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap();
    // Gray levels of 0 to 16 in sixteenths are exact in every type.
    let pixels = npz("digits/data/test.npz")["x"].head(5).values;
    let wanted = numbers(model.run(&digits(5), threads(1)).unwrap().column(0));
    let doubles: ArrayRef = Arc::new(Float64Array::from(pixels.clone()));
    let nested = lists(lists(lists(doubles.clone(), 1), 8), 8);

    let variable = equal_lists(&pixels, 64);
    for (what, array) in
        [("doubles", lists(doubles, 64)), ("nested", nested), ("variable", Arc::new(variable) as ArrayRef)]
    {
        let outputs = model.run(&single("x", array.clone()), threads(1)).unwrap();
        assert_close(what, &numbers(outputs.column(0)), &wanted);
        let tail = model.run(&single("x", array.slice(2, 3)), threads(1)).unwrap();
        assert_close(what, &numbers(tail.column(0)), &wanted[20..]);
    }
    let bytes: Vec<u8> = pixels.iter().map(|it| (it * 16.0) as u8).collect();
    let scaled: Vec<f64> = bytes.iter().map(|&it| f64::from(it)).collect();
    let run = |array: ArrayRef| numbers(model.run(&single("x", lists(array, 64)), threads(1)).unwrap().column(0));
    assert_eq!(run(Arc::new(UInt8Array::from(bytes))), run(Arc::new(Float64Array::from(scaled))));
}

#[test]
fn wrong_batches_are_refused_by_name() {
    let model = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap();
    let floats = |n: usize| Arc::new(Float64Array::from(vec![0.5; n])) as ArrayRef;
    let holes: ArrayRef = Arc::new(Float64Array::from_iter((0..128).map(|it| (it != 70).then_some(0.0))));
    let cases: Vec<(RecordBatch, &str)> = vec![
        (
            single("pixels", lists(floats(64), 64)),
            "no column is named after model input `x`; the batch has [\"pixels\"]",
        ),
        (single("x", lists(floats(63), 63)), "rows of column `x` have shape [63], but the model wants [8, 8, 1]"),
        (single("x", floats(4)), "rows of column `x` have shape [], but the model wants [8, 8, 1]"),
        (single("x", lists(holes, 64)), "column `x` has a null in row 1"),
        (single("x", lists(Arc::new(StringArray::from(vec!["a"; 64])), 64)), "column `x` has type Utf8"),
        (
            single("x", lists(Arc::new(Float64Array::from(vec![1e300; 64])), 64)),
            "value 1e300 of column `x` (element 0) does not fit the model's type f32",
        ),
    ];
    for (input, message) in cases {
        let error = model.run(&input, threads(1)).unwrap_err().to_string();
        assert!(error.starts_with(message) || error.contains(message), "{error}");
    }
}

#[test]
fn metadata_shapes_are_checked_against_the_data() {
    let model = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap();
    let array = lists(Arc::new(Float64Array::from(vec![0.5; 64])), 64);
    for shape in ["[8,8,1]", "[64]", "[1000000000000,1000000000000]", "nonsense"] {
        let metadata = HashMap::from([
            ("ARROW:extension:name".to_string(), "arrow.fixed_shape_tensor".to_string()),
            ("ARROW:extension:metadata".to_string(), format!("{{\"shape\":{shape}}}")),
        ]);
        let field = Field::new("x", array.data_type().clone(), true).with_metadata(metadata);
        let input = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()]).unwrap();
        assert_eq!(model.run(&input, threads(1)).unwrap().num_rows(), 1, "{shape}");
    }
}

#[test]
fn rows_take_the_model_s_shape_only_where_no_axis_is_read_as_another() {
    let model = Model::load(&fixture("digits/cnn/cnn.onnx")).unwrap();
    let array = lists(Arc::new(Float64Array::from_iter_values((0..64).map(f64::from))), 64);
    let of = |shape: &str| {
        let metadata = HashMap::from([
            ("ARROW:extension:name".to_string(), "arrow.fixed_shape_tensor".to_string()),
            ("ARROW:extension:metadata".to_string(), format!("{{\"shape\":{shape}}}")),
        ]);
        let field = Field::new("x", array.data_type().clone(), true).with_metadata(metadata);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()]).unwrap()
    };
    let as_wanted = numbers(model.run(&of("[8,8,1]"), threads(1)).unwrap().column(0));
    for shape in ["[64]", "[1,64]", "[8,8]", "[1,8,8]", "[8,1,8,1]"] {
        let got = numbers(model.run(&of(shape), threads(1)).unwrap().column(0));
        assert_eq!(got, as_wanted, "{shape}");
    }
    for shape in ["[4,16]", "[16,4,1]", "[2,4,8]"] {
        let error = model.run(&of(shape), threads(1)).unwrap_err().to_string();
        let got = shape.replace(',', ", ");
        assert!(error.contains(&got) && error.contains("the model wants [8, 8, 1]"), "{shape}: {error}");
    }
}

#[test]
fn a_nan_in_one_row_reaches_that_row_only() {
    let model = Model::load(&fixture("digits/mlp_series/e08.onnx")).unwrap();
    let mut x = npz("digits/data/test.npz")["x"].head(40);
    let clean = numbers(model.run(&batch(&[("x", &x)]), threads(1)).unwrap().column(0));
    x.values[5 * 64 + 3] = f64::NAN;
    let outputs = numbers(model.run(&batch(&[("x", &x)]), threads(1)).unwrap().column(0));
    for (row, (got, wanted)) in outputs.chunks(10).zip(clean.chunks(10)).enumerate() {
        if row == 5 {
            assert!(got.iter().all(|it| it.is_nan()), "{got:?}");
        } else {
            assert_close("other rows", got, wanted);
        }
    }
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert!(matches!(Model::load(&write("empty.onnx", b"")), Err(InferError::Empty { .. })));
    assert!(matches!(Model::load(&folder.path().join("missing.onnx")), Err(InferError::Open { .. })));
    assert!(matches!(Model::load(folder.path()), Err(InferError::UnknownFormat { .. })));
    for garbage in [
        &b"hello, world"[..],
        &[0xff; 300],
        &[0; 300],
        b"\x08\x07",
        b"\x0a\x05abcde",
        b"\x1f\x8bnot gzip",
        b"\x1c\0\0\0TFL3garbage",
    ] {
        assert!(Model::load(&write("garbage", garbage)).is_err(), "{garbage:?}");
    }
    let input = digits(2);
    for name in ["cnn.onnx", "cnn_frozen_b1.pb", "cnn.tflite", "mlp_int8_dynamic.onnx"] {
        let bytes = fs::read(fixture(&format!("digits/cnn/{name}"))).unwrap();
        for part in 1..20 {
            let path = write(name, &bytes[..bytes.len() * part / 20]);
            assert!(Model::load(&path).is_err(), "{part}/20 of {name}");
        }
        // A flipped byte may still be a model; it must not be a panic.
        for at in (0..bytes.len()).step_by(bytes.len() / 60) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x55;
            if let Ok(model) = Model::load(&write(name, &bytes)) {
                let _ = model.run(&input, threads(1));
            }
        }
    }
}

#[test]
fn integers_must_fit() {
    // The label column of a model that takes floats accepts any integer type.
    let model = Model::load(&fixture("traps/nan_relu/model.onnx")).unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![-3, 4, 0, 1, 2, 3, 4, 5]));
    let outputs = model.run(&single("x", lists(values, 8)), threads(1)).unwrap();
    assert_eq!(numbers(outputs.column(0)), [0.0, 4.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn another_runtime_is_given_onnx_models_only() {
    let info = modelwatch_infer::examine_onnx(&fixture("digits/cnn/cnn.onnx"), "Other").unwrap();
    assert_eq!((info.inputs.len(), info.outputs.len()), (1, 1));
    let path = fixture("digits/cnn/cnn.tflite");
    let error = modelwatch_infer::examine_onnx(&path, "Other").unwrap_err().to_string();
    let wanted = "a model in the format TFLite; export it to ONNX, or leave `runtime` out";
    assert_eq!(error, format!("Other cannot run `{}`, {wanted}", path.display()));
}
