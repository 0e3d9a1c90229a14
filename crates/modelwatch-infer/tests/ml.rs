//! Operators of `ai.onnx.ml`, each on rows with values that are missing, not numbers, or of no category.
//!
//! What is expected follows the operators' specification, and is what onnxruntime answers, unless it says otherwise.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::*,
};
use arrow_schema::{DataType, Field, Schema};
use common::{
    assert_close,
    proto::{float_tensor, floats, int, ints, model, node, numbers_tensor, strings, tensor_attribute, text, value},
    threads,
};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

const ML: &str = "ai.onnx.ml";
/// ONNX's numbers of element types.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const STRING: i32 = 8;
const NAN: f64 = f64::NAN;

/// An input, and what it is given.
struct Given {
    info: ValueInfoProto,
    column: ArrayRef,
}

/// Returns an input of rows with `width` values each.
fn given(name: &str, data_type: i32, width: i64, values: ArrayRef) -> Given {
    let mut info = value(name, &[-1, width]);
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut().and_then(|it| it.value.as_mut()) else {
        panic!("it is a tensor")
    };
    tensor.elem_type = data_type;
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Given { info, column: Arc::new(FixedSizeListArray::new(item, width as i32, values, None)) }
}

fn numbers(width: i64, values: &[f64]) -> Given {
    given("x", FLOAT, width, Arc::new(Float32Array::from_iter_values(values.iter().map(|&it| it as f32))))
}

fn integers(width: i64, values: &[i64]) -> Given {
    given("x", INT64, width, Arc::new(Int64Array::from(values.to_vec())))
}

fn names(width: i64, values: &[&str]) -> Given {
    given("x", STRING, width, Arc::new(StringArray::from(values.to_vec())))
}

/// Returns what a model of these nodes answers in `y`, in one list.
fn answer(nodes: Vec<NodeProto>, constants: Vec<TensorProto>, inputs: &[Given]) -> Result<ArrayRef, InferError> {
    answer_in(5, nodes, constants, inputs)
}

/// The same with this version of `ai.onnx.ml`.
fn answer_in(
    version: i64,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    inputs: &[Given],
) -> Result<ArrayRef, InferError> {
    let folder = tempfile::tempdir().unwrap();
    let graph = GraphProto {
        node: nodes,
        initializer: constants,
        input: inputs.iter().map(|it| it.info.clone()).collect(),
        output: vec![value("y", &[])],
        ..Default::default()
    };
    let mut proto = model(13, graph);
    proto.opset_import[1].version = version;
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, proto.encode_to_vec()).unwrap();
    let field = |it: &Given| Field::new(&it.info.name, it.column.data_type().clone(), true);
    let schema = Schema::new(inputs.iter().map(field).collect::<Vec<_>>());
    let columns = inputs.iter().map(|it| it.column.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let outputs = Model::load(&path)?.run(&batch, threads(1))?;
    let mut res = outputs.column(0).clone();
    while let Some(lists) = res.as_fixed_size_list_opt() {
        res = lists.values().clone();
    }
    Ok(res)
}

fn of_one(op: &str, attributes: Vec<AttributeProto>, input: Given) -> ArrayRef {
    answer(vec![node(op, ML, &["x"], "y", attributes)], vec![], &[input]).unwrap()
}

fn as_numbers(column: &ArrayRef) -> Vec<f64> {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().map(|&it| f64::from(it)).collect(),
        DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().map(|&it| it as f64).collect(),
        DataType::Int16 => column.as_primitive::<Int16Type>().values().iter().map(|&it| f64::from(it)).collect(),
        other => panic!("unexpected type {other}"),
    }
}

fn as_texts(column: &ArrayRef) -> Vec<&str> {
    column.as_string::<i32>().iter().map(Option::unwrap).collect()
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: 1, f, ..Default::default() }
}

#[test]
fn missing_values_are_imputed_by_feature() {
    let x = [1.0, NAN, -1.0, NAN, 5.0, 0.0, 0.0, -1.0, 2.0];
    let by_feature = vec![floats("imputed_value_floats", &[10.0, 20.0, 30.0]), float("replaced_value_float", f32::NAN)];
    let imputed = of_one("Imputer", by_feature, numbers(3, &x));
    assert_close("NaN", &as_numbers(&imputed), &[1.0, 20.0, -1.0, 10.0, 5.0, 0.0, 0.0, -1.0, 2.0]);
    let by_one = vec![floats("imputed_value_floats", &[7.0]), float("replaced_value_float", -1.0)];
    let imputed = of_one("Imputer", by_one, numbers(3, &x));
    assert_close("-1", &as_numbers(&imputed), &[1.0, NAN, 7.0, NAN, 5.0, 0.0, 0.0, 7.0, 2.0]);
    let whole = vec![ints("imputed_value_int64s", &[8, 9]), int("replaced_value_int64", 0)];
    let imputed = of_one("Imputer", whole, integers(2, &[1, 2, 0, 3]));
    assert_eq!(imputed.data_type(), &DataType::Int64);
    assert_close("integers", &as_numbers(&imputed), &[1.0, 2.0, 8.0, 3.0]);
}

#[test]
fn what_is_no_category_has_no_column() {
    let x = || numbers(1, &[1.0, 3.0, NAN, 2.5, 9.0]);
    let categories = |zeros| vec![ints("cats_int64s", &[0, 1, 2, 3]), int("zeros", zeros)];
    let encoded = as_numbers(&of_one("OneHotEncoder", categories(1), x()));
    let wanted = [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0; 4], [0.0, 0.0, 1.0, 0.0], [0.0; 4]];
    assert_close("numbers", &encoded, wanted.as_flattened());
    let known = answer(vec![node("OneHotEncoder", ML, &["x"], "y", categories(0))], vec![], &[numbers(1, &[1.0, 3.0])]);
    assert_close("all known", &as_numbers(&known.unwrap()), [wanted[0], wanted[1]].as_flattened());
    let strict = answer(vec![node("OneHotEncoder", ML, &["x"], "y", categories(0))], vec![], &[x()]);
    let error = strict.unwrap_err().to_string();
    assert!(error.contains("is none of the categories"), "{error}");
    // A text may be empty, and be a category so.
    let encoded = of_one("OneHotEncoder", vec![strings("cats_strings", &["a", "b", ""])], names(1, &["a", "z", ""]));
    assert_close("texts", &as_numbers(&encoded), &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn labels_are_encoded_with_their_defaults() {
    let keys = || strings("keys_strings", &["a", "b"]);
    let texts = || names(1, &["a", "z", ""]);
    let case = |attributes, input: Given, wanted: &[f64]| {
        let what = format!("{attributes:?}");
        assert_close(&what, &as_numbers(&of_one("LabelEncoder", attributes, input)), wanted);
    };
    case(vec![keys(), ints("values_int64s", &[5, 6])], texts(), &[5.0, -1.0, -1.0]);
    case(vec![keys(), ints("values_int64s", &[5, 6]), int("default_int64", 77)], texts(), &[5.0, 77.0, 77.0]);
    case(vec![strings("classes_strings", &["a", "b"]), int("default_int64", -7)], texts(), &[0.0, -7.0, -7.0]);
    let x = || numbers(1, &[1.0, NAN, 4.0, -0.0]);
    let from = |it| floats("keys_floats", it);
    case(vec![from(&[1.0, 4.0]), ints("values_int64s", &[3, 9])], x(), &[3.0, -1.0, 9.0, -1.0]);
    let otherwise = float("default_float", -5.0);
    let to = floats("values_floats", &[10.0, 30.0]);
    case(vec![from(&[1.0, 0.0]), to.clone(), otherwise], x(), &[10.0, -5.0, -5.0, 30.0]);
    // NaN is a key like others since version 4.
    case(vec![from(&[1.0, f32::NAN]), to], x(), &[10.0, 30.0, 0.0, 0.0]);
    case(
        vec![ints("keys_int64s", &[1, 2]), floats("values_floats", &[1.5, 2.5])],
        integers(1, &[1, 2, 7]),
        &[1.5, 2.5, 0.0],
    );
    let tensor = |values: &[i16]| {
        let raw_data = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        TensorProto { data_type: 5, dims: vec![values.len() as i64], raw_data, ..Default::default() }
    };
    let string_data = vec![b"a".to_vec(), b"b".to_vec()];
    let from = TensorProto { data_type: STRING, dims: vec![2], string_data, ..Default::default() };
    let tensors = vec![
        tensor_attribute("keys_tensor", from),
        tensor_attribute("values_tensor", tensor(&[3, 4])),
        tensor_attribute("default_tensor", tensor(&[-2])),
    ];
    case(tensors, texts(), &[3.0, -2.0, -2.0]);
}

#[test]
fn a_nan_is_a_key_by_its_bits_before_version_4() {
    let [positive, negative] = [0x7fc0_0000, 0xffc0_0000].map(f32::from_bits);
    let x = || given("x", FLOAT, 1, Arc::new(Float32Array::from(vec![1.0, positive, negative, -0.0])));
    let keys = || floats("keys_floats", &[1.0, positive, 0.0]);
    for (version, wanted) in [(2, [5.0, 6.0, -1.0, 7.0]), (3, [5.0, 6.0, -1.0, 7.0]), (4, [5.0, 6.0, 6.0, 7.0])] {
        let of = |values| {
            let nodes = vec![node("LabelEncoder", ML, &["x"], "y", vec![keys(), values])];
            answer_in(version, nodes, vec![], &[x()]).unwrap()
        };
        assert_close("integers", &as_numbers(&of(ints("values_int64s", &[5, 6, 7]))), &wanted);
        let wanted = wanted.map(|it| if it < 0.0 { "_Unused".to_owned() } else { it.to_string() });
        assert_eq!(as_texts(&of(strings("values_strings", &["5", "6", "7"]))), wanted);
    }
}

#[test]
fn a_key_with_two_values_is_refused_by_name() {
    let of =
        |keys, values, input| answer(vec![node("LabelEncoder", ML, &["x"], "y", vec![keys, values])], vec![], &[input]);
    let x = || numbers(1, &[1.0, 0.0]);
    let texts = || names(1, &["a", "b"]);
    let tensor = |name: &str, values: &[f32]| tensor_attribute(name, float_tensor("", &[2], values));
    let repeated = [
        of(floats("keys_floats", &[1.0, 1.0]), ints("values_int64s", &[5, 6]), x()),
        of(floats("keys_floats", &[0.0, -0.0]), floats("values_floats", &[5.0, 6.0]), x()),
        of(ints("keys_int64s", &[1, 1]), strings("values_strings", &["5", "6"]), integers(1, &[1])),
        of(strings("keys_strings", &["a", "a"]), ints("values_int64s", &[5, 6]), texts()),
        of(tensor("keys_tensor", &[1.0, 1.0]), tensor("values_tensor", &[5.0, 6.0]), x()),
        of(strings("classes_strings", &["a", "b", "a"]), int("default_int64", -1), texts()),
    ];
    for it in repeated {
        let error = it.unwrap_err();
        assert!(matches!(error, InferError::Unsupported { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("LabelEncoder: ONNX Runtime takes another of the two values of a key"), "{said}");
        assert!(said.contains("give each key one value (node `the_y`)"), "{said}");
    }
    let same = of(floats("keys_floats", &[1.0, 1.0]), ints("values_int64s", &[5, 5]), x()).unwrap();
    assert_close("one value", &as_numbers(&same), &[5.0, -1.0]);
    let places = of(strings("classes_strings", &["a", "b", "a"]), text("default_string", "?"), integers(1, &[0, 2]));
    assert_eq!(as_texts(&places.unwrap()), ["a", "a"]);
}

#[test]
fn numbers_are_decoded_to_labels_with_their_defaults() {
    let keys = || ints("keys_int64s", &[1, 2]);
    let to = || strings("values_strings", &["x", "y"]);
    let decoded = of_one("LabelEncoder", vec![keys(), to()], integers(1, &[1, 2, 7]));
    assert_eq!(as_texts(&decoded), ["x", "y", "_Unused"]);
    let decoded = of_one("LabelEncoder", vec![keys(), to(), text("default_string", "?")], integers(1, &[1, 2, 7]));
    assert_eq!(as_texts(&decoded), ["x", "y", "?"]);
    let first_version = vec![strings("classes_strings", &["a", "b", "c"]), text("default_string", "none")];
    let decoded = of_one("LabelEncoder", first_version, integers(1, &[1, 2, 7]));
    assert_eq!(as_texts(&decoded), ["b", "c", "none"]);
}

#[test]
fn ordinal_encoders_give_integers_or_floats() {
    let encoder = |input: &str, output: &str, keys: &[&str], as_floats| {
        let positions: Vec<i64> = (0..keys.len() as i64).collect();
        let attributes = if as_floats {
            let positions: Vec<f32> = positions.iter().map(|&it| it as f32).collect();
            vec![strings("keys_strings", keys), floats("values_floats", &positions), float("default_float", f32::NAN)]
        } else {
            vec![strings("keys_strings", keys), ints("values_int64s", &positions), int("default_int64", -1)]
        };
        node("LabelEncoder", ML, &[input], output, attributes)
    };
    for (as_floats, unknown, data_type) in [(false, -1.0, DataType::Int64), (true, NAN, DataType::Float32)] {
        let nodes = vec![
            node("ArrayFeatureExtractor", ML, &["x", "first"], "color", vec![]),
            node("ArrayFeatureExtractor", ML, &["x", "second"], "size", vec![]),
            encoder("color", "of_color", &["blue", "red"], as_floats),
            encoder("size", "of_size", &["L", "M", "S"], as_floats),
            node("Concat", "", &["of_color", "of_size"], "y", vec![int("axis", 1)]),
        ];
        let constants = vec![numbers_tensor("first", &[0]), numbers_tensor("second", &[1])];
        let encoded = answer(nodes, constants, &[names(2, &["red", "S", "blue", "?", "", "L"])]).unwrap();
        assert_eq!(encoded.data_type(), &data_type);
        assert_close("encoded", &as_numbers(&encoded), &[1.0, 2.0, 0.0, unknown, unknown, 0.0]);
    }
}

#[test]
fn features_are_put_side_by_side() {
    let other = given("z", FLOAT, 1, Arc::new(Float32Array::from(vec![5.0, 6.0])));
    let vectorizer = node("FeatureVectorizer", ML, &["x", "z"], "y", vec![ints("inputdimensions", &[2, 1])]);
    let vectors = answer(vec![vectorizer], vec![], &[numbers(2, &[1.0, NAN, 3.0, 4.0]), other]).unwrap();
    assert_close("vectors", &as_numbers(&vectors), &[1.0, NAN, 5.0, 3.0, 4.0, 6.0]);
}

#[test]
fn as_many_features_are_taken_as_the_dimensions_say() {
    let vectors = |dims: &[i64]| {
        let other = given("z", FLOAT, 1, Arc::new(Float32Array::from(vec![5.0, 6.0])));
        let vectorizer = node("FeatureVectorizer", ML, &["x", "z"], "y", vec![ints("inputdimensions", dims)]);
        Ok::<_, InferError>(as_numbers(&answer(vec![vectorizer], vec![], &[numbers(2, &[1.0, 2.0, 3.0, 4.0]), other])?))
    };
    assert_close("cut", &vectors(&[1, 1]).unwrap(), &[1.0, 5.0, 3.0, 6.0]);
    assert_close("filled", &vectors(&[2, 2]).unwrap(), &[1.0, 2.0, 5.0, 0.0, 3.0, 4.0, 6.0, 0.0]);
    let error = vectors(&[2]).unwrap_err().to_string();
    assert!(error.contains("1 dimensions for 2 inputs"), "{error}");
}

#[test]
fn features_are_taken_in_the_order_of_their_indices() {
    let extractor = node("ArrayFeatureExtractor", ML, &["x", "which"], "y", vec![]);
    let x = numbers(3, &[1.0, NAN, -1.0, NAN, 5.0, 0.0, 0.0, -1.0, 2.0]);
    let taken = answer(vec![extractor], vec![numbers_tensor("which", &[2, 0, 2])], &[x]).unwrap();
    assert_close("taken", &as_numbers(&taken), &[-1.0, 1.0, -1.0, 0.0, NAN, 0.0, 2.0, 0.0, 2.0]);
}

#[test]
fn what_is_above_the_threshold_is_one() {
    // onnxruntime refuses NaN; the specification says that all that is not above is zero.
    let x = numbers(5, &[0.5, NAN, 0.51, -1.0, f64::INFINITY]);
    let binary = of_one("Binarizer", vec![float("threshold", 0.5)], x);
    assert_close("binary", &as_numbers(&binary), &[0.0, 0.0, 1.0, 0.0, 1.0]);
    let binary = of_one("Binarizer", vec![], numbers(3, &[-0.5, 0.0, 0.5]));
    assert_close("by default", &as_numbers(&binary), &[0.0, 0.0, 1.0]);
}

#[test]
fn support_vector_regressions_keep_nan() {
    let x = || numbers(2, &[1.0, 2.0, 0.0, 0.0, -1.0, 3.0, NAN, 1.0]);
    let vectors = |kernel: &str| {
        vec![
            text("kernel_type", kernel),
            floats("kernel_params", &[0.5, 1.0, 3.0]),
            int("n_supports", 2),
            floats("rho", &[0.25]),
            floats("support_vectors", &[1.0, 2.0, -1.0, 0.5]),
            floats("coefficients", &[0.75, -1.5]),
        ]
    };
    let cases = [
        ("LINEAR", [4.0, 0.25, 0.25, NAN]),
        ("POLY", [30.906_25, -0.5, 15.320_312_5, NAN]),
        ("RBF", [0.934_094_6, -0.491_328_4, 0.245_658_4, NAN]),
        ("SIGMOID", [-0.143_757_8, -0.321_195_7, -0.468_405_8, NAN]),
    ];
    for (kernel, wanted) in cases {
        assert_close(kernel, &as_numbers(&of_one("SVMRegressor", vectors(kernel), x())), &wanted);
    }
    let linear = vec![
        text("kernel_type", "LINEAR"),
        floats("kernel_params", &[0.0, 0.0, 0.0]),
        int("n_supports", 0),
        floats("rho", &[0.25]),
        floats("coefficients", &[2.0, -3.0]),
    ];
    let scores = as_numbers(&of_one("SVMRegressor", linear, x()));
    assert_close("without vectors", &scores, &[-3.75, 0.25, -10.75, NAN]);
    let one_class = [vectors("RBF"), vec![int("one_class", 1)]].concat();
    let sides = as_numbers(&of_one("SVMRegressor", one_class, numbers(2, &[1.0, 2.0, 0.0, 0.0, -1.0, 3.0])));
    assert_close("one class", &sides, &[1.0, -1.0, 1.0]);
}

/// Two trees for two targets, one of which has one node.
fn trees(aggregate: i64) -> Vec<AttributeProto> {
    let modes = TensorProto { data_type: 2, dims: vec![3], raw_data: vec![0, 4, 1], ..Default::default() };
    vec![
        int("n_targets", 2),
        int("aggregate_function", aggregate),
        int("post_transform", 0),
        ints("tree_roots", &[0, 2]),
        ints("nodes_featureids", &[0, 1, 1]),
        tensor_attribute("nodes_splits", float_tensor("", &[3], &[0.5, 2.0, -1.0])),
        tensor_attribute("nodes_modes", modes),
        ints("nodes_truenodeids", &[1, 0, 2]),
        ints("nodes_falsenodeids", &[4, 1, 3]),
        ints("nodes_trueleafs", &[0, 1, 1]),
        ints("nodes_falseleafs", &[1, 1, 1]),
        ints("nodes_missing_value_tracks_true", &[0, 0, 1]),
        ints("leaf_targetids", &[0, 1, 0, 1, 0]),
        tensor_attribute("leaf_weights", float_tensor("", &[5], &[1.0, 2.0, 4.0, 8.0, 16.0])),
    ]
}

#[test]
fn trees_are_aggregated_and_missing_values_take_their_branch() {
    let x = || numbers(2, &[0.5, 2.0, 0.4, 1.0, 0.6, -1.0, NAN, NAN, 0.2, NAN]);
    let cases = [
        ("average", [0.5, 4.0, 0.0, 5.0, 8.0, 4.0, 10.0, 0.0, 2.0, 1.0]),
        ("sum", [1.0, 8.0, 0.0, 10.0, 16.0, 8.0, 20.0, 0.0, 4.0, 2.0]),
        ("least", [1.0, 8.0, 0.0, 2.0, 16.0, 8.0, 4.0, 0.0, 4.0, 2.0]),
        ("largest", [1.0, 8.0, 0.0, 8.0, 16.0, 8.0, 16.0, 0.0, 4.0, 2.0]),
    ];
    for (aggregate, (what, wanted)) in (0..).zip(cases) {
        assert_close(what, &as_numbers(&of_one("TreeEnsemble", trees(aggregate), x())), &wanted);
    }
}

#[test]
fn members_of_a_set_take_their_branch() {
    let modes = TensorProto { data_type: 2, dims: vec![1], raw_data: vec![6], ..Default::default() };
    let attributes = vec![
        int("n_targets", 1),
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[0]),
        tensor_attribute("nodes_splits", float_tensor("", &[1], &[0.0])),
        tensor_attribute("nodes_modes", modes),
        ints("nodes_truenodeids", &[0]),
        ints("nodes_falsenodeids", &[1]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falseleafs", &[1]),
        tensor_attribute("membership_values", float_tensor("", &[3], &[1.0, 3.0, f32::NAN])),
        ints("leaf_targetids", &[0, 0]),
        tensor_attribute("leaf_weights", float_tensor("", &[2], &[10.0, 20.0])),
    ];
    let scores = of_one("TreeEnsemble", attributes, numbers(1, &[1.0, 2.0, 3.0, NAN]));
    assert_close("members", &as_numbers(&scores), &[10.0, 20.0, 10.0, 20.0]);
}

#[test]
fn what_speaks_for_the_second_of_two_classes_says_nothing_of_the_first() {
    let try_tree = |transform: &str, class: i64, weights: &[f32], bases: &[f32]| {
        let attributes = vec![
            ints("nodes_treeids", &[0; 3]),
            ints("nodes_nodeids", &[0, 1, 2]),
            ints("nodes_featureids", &[0; 3]),
            floats("nodes_values", &[0.0; 3]),
            strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
            ints("nodes_truenodeids", &[1, 0, 0]),
            ints("nodes_falsenodeids", &[2, 0, 0]),
            ints("class_treeids", &[0; 2]),
            ints("class_nodeids", &[1, 2]),
            ints("class_ids", &[class; 2]),
            floats("class_weights", weights),
            ints("classlabels_int64s", &[3, 4]),
            text("post_transform", transform),
            floats("base_values", bases),
        ];
        let of = |outputs: [&str; 2]| {
            let op = node("TreeEnsembleClassifier", ML, &["x"], "y", attributes.clone());
            let op = NodeProto { output: outputs.map(str::to_owned).to_vec(), ..op };
            Ok::<_, InferError>(as_numbers(&answer(vec![op], vec![], &[numbers(1, &[-1.0, 1.0])])?))
        };
        Ok::<_, InferError>((of(["y", "scores"])?, of(["labels", "y"])?))
    };
    let tree = |transform: &str, class: i64, weights: &[f32]| try_tree(transform, class, weights, &[]).unwrap();
    let logistic = |it: f64| 1.0 / (1.0 + (-it).exp());
    let (of_shares, of_margins) = ([0.25, 0.75], [-1.5, 2.0]);
    // As onnxruntime answers. Where leaves speak for the first class, their score is made that of the second.
    for (class, transform, weights, scores) in [
        (1, "NONE", of_shares, [0.0, 0.25, 0.0, 0.75]),
        (1, "LOGISTIC", of_shares, [0.5, logistic(0.25), 0.5, logistic(0.75)]),
        (1, "NONE", of_margins, [0.0, -1.5, 0.0, 2.0]),
        (0, "NONE", of_shares, [0.75, 0.25, 0.25, 0.75]),
        (0, "NONE", of_margins, [1.5, -1.5, -2.0, 2.0]),
        (0, "SOFTMAX", of_shares, [0.75, 0.25, 0.25, 0.75]),
        (0, "SOFTMAX_ZERO", of_margins, [1.5, -1.5, -2.0, 2.0]),
        (1, "SOFTMAX", of_margins, [logistic(1.5), logistic(-1.5), logistic(-2.0), logistic(2.0)]),
        (1, "SOFTMAX_ZERO", of_shares, [0.0, 1.0, 0.0, 1.0]),
    ] {
        let what = format!("{class} {transform} {weights:?}");
        let (labels, given) = tree(transform, class, &weights.map(|it| it as f32));
        assert_close(&what, &given, &scores);
        assert_eq!(labels, [3.0, 4.0], "{what}");
    }
    for (class, transform, bases, why) in [
        (0, "PROBIT", &[][..], "PROBIT of the only score of two classes"),
        (
            0,
            "NONE",
            &[0.5, 0.25],
            "2 base values where all leaves weigh one class; add them to the weights of one tree",
        ),
        (1, "NONE", &[0.5], "1 base values where all leaves weigh one class"),
    ] {
        let error = try_tree(transform, class, &[0.25, 0.75], bases).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("node `the_y`"), "{error}");
    }
}

#[test]
fn trees_in_double_precision_are_compared_and_summed_in_it() {
    let double = |name: &str, values: &[f64]| {
        let (dims, double_data) = (vec![values.len() as i64], values.to_vec());
        tensor_attribute(name, TensorProto { data_type: 11, dims, double_data, ..Default::default() })
    };
    // The first tree asks whether its feature is at most 0.1, two more are leaves.
    let of = |values: AttributeProto, weights: AttributeProto| {
        let attributes = vec![
            ints("nodes_treeids", &[0, 0, 0, 1, 2]),
            ints("nodes_nodeids", &[0, 1, 2, 0, 0]),
            ints("nodes_featureids", &[0; 5]),
            strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF", "LEAF", "LEAF"]),
            ints("nodes_truenodeids", &[1, 0, 0, 0, 0]),
            ints("nodes_falsenodeids", &[2, 0, 0, 0, 0]),
            values,
            int("n_targets", 1),
            ints("target_treeids", &[1, 0, 0, 2]),
            ints("target_nodeids", &[0, 1, 2, 0]),
            ints("target_ids", &[0; 4]),
            weights,
        ];
        as_numbers(&of_one("TreeEnsembleRegressor", attributes, numbers(1, &[0.05, 0.1])))
    };
    let (values, weights) = ([0.1, 0.0, 0.0, 0.0, 0.0], [1e8, 1.0, 2.0, -1e8]);
    // A tenth in single precision is more than one in double precision, and 1e8 hides what is added to it.
    let tensors = of(double("nodes_values_as_tensor", &values), double("target_weights_as_tensor", &weights));
    assert_close("double", &tensors, &[1.0, 2.0]);
    let single = |it: &[f64]| it.iter().map(|it| *it as f32).collect::<Vec<_>>();
    let lists = of(floats("nodes_values", &single(&values)), floats("target_weights", &single(&weights)));
    assert_close("single", &lists, &[0.0, 0.0]);
}

#[test]
fn large_integers_are_imputed_with_all_digits() {
    // By ONNX Runtime 1.32.0.
    const LARGE: i64 = 1 << 53;
    let attributes = vec![ints("imputed_value_int64s", &[LARGE + 3]), int("replaced_value_int64", LARGE)];
    let imputed = of_one("Imputer", attributes, integers(4, &[LARGE, LARGE + 1, LARGE + 2, -i64::MAX]));
    let got: Vec<i64> = imputed.as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(got, [LARGE + 3, LARGE + 1, LARGE + 2, -i64::MAX]);
}

#[test]
fn features_of_double_precision_are_scaled_in_it() {
    const DOUBLE: i32 = 11;
    // By ONNX Runtime 1.32.0, which takes integers in single precision.
    let scaled = |it: Given| {
        let attributes = vec![floats("offset", &[16_777_216.0, 1.0]), floats("scale", &[3.0, 0.1])];
        as_numbers(&of_one("Scaler", attributes, it))
    };
    let x = arrow_array::Float64Array::from(vec![16_777_217.25, 3.0]);
    assert_close("double precision", &scaled(given("x", DOUBLE, 2, Arc::new(x))), &[3.75, 0.2]);
    assert_close("integers", &scaled(integers(2, &[16_777_217, 3])), &[0.0, 0.2]);
}

#[test]
fn texts_are_numbers_only_where_they_are_such() {
    let cast = |to: i64, texts: &[&str]| {
        let to = AttributeProto { name: "to".to_owned(), r#type: 2, i: to, ..Default::default() };
        let nodes = vec![node("Cast", "", &["x"], "y", vec![to])];
        answer(nodes, vec![], &[names(1, texts)]).map(|it| as_numbers(&it)).map_err(|it| it.to_string())
    };
    assert_eq!(cast(7, &[" 3", "-4 ", "+5"]), Ok(vec![3.0, -4.0, 5.0]));
    assert_eq!(cast(1, &[" 1.5", "1e3"]), Ok(vec![1.5, 1000.0]));
    let said = cast(7, &["1", "1.9"]).unwrap_err();
    assert!(said.contains("the text \"1.9\" is no whole number from -9223372036854775808 to"), "{said}");
    let said = cast(1, &["1", "many"]).unwrap_err();
    assert!(said.contains("the text \"many\" is no number"), "{said}");
}
