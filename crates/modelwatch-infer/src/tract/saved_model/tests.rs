//! Small SavedModels, each made for one rule.

use std::fs;

use prost::Message;
use tract_tensorflow::tfpb::{
    self,
    tensorflow::{
        AttrValue, DataType, FunctionDef, FunctionDefLibrary, GraphDef, NameAttrList, NodeDef, OpDef, TensorProto,
        TensorShapeProto, attr_value::Value, op_def::ArgDef, tensor_shape_proto::Dim,
    },
};

use super::{
    super::source::Source,
    proto::{MetaGraph, MetaInfo, SavedModel, Signature, TensorInfo},
    *,
};

const FLOAT: DataType = DataType::DtFloat;

fn shape(dims: &[i64]) -> TensorShapeProto {
    let dim = dims.iter().map(|&size| Dim { size, name: String::new() }).collect();
    TensorShapeProto { dim, unknown_rank: false }
}

fn function_attr(name: &str) -> AttrValue {
    AttrValue { value: Some(Value::Func(NameAttrList { name: name.to_owned(), ..Default::default() })) }
}

fn call(name: &str, function: &str, input: &str) -> NodeDef {
    tfpb::node().name(name).op("StatefulPartitionedCall").input(input).attr("f", function_attr(function))
}

fn unary(name: &str, op: &str, input: &str) -> NodeDef {
    tfpb::node().name(name).op(op).input(input).attr("T", FLOAT)
}

/// A function of one argument `x` that returns `result`.
fn function(name: &str, nodes: Vec<NodeDef>, result: &str) -> FunctionDef {
    let argument = |name: &str| ArgDef { name: name.to_owned(), r#type: FLOAT.into(), ..Default::default() };
    let signature = OpDef {
        name: name.to_owned(),
        input_arg: vec![argument("x")],
        output_arg: vec![argument("y")],
        ..Default::default()
    };
    let ret = [("y".to_owned(), result.to_owned())].into();
    FunctionDef { signature: Some(signature), node_def: nodes, ret, ..Default::default() }
}

fn signature(output: &str) -> Signature {
    let info = |name: &str| TensorInfo { name: name.to_owned(), dtype: FLOAT.into(), shape: Some(shape(&[-1, 2])) };
    Signature {
        inputs: [("in".to_owned(), info("placeholder:0"))].into(),
        outputs: [("out".to_owned(), info(output))].into(),
    }
}

/// A model whose output is that of the node `result`.
fn model(nodes: Vec<NodeDef>, functions: Vec<FunctionDef>) -> SavedModel {
    let placeholder = tfpb::node().name("placeholder").op("Placeholder").attr("dtype", FLOAT);
    let library = FunctionDefLibrary { function: functions, gradient: vec![] };
    let node = std::iter::once(placeholder).chain(nodes).collect();
    SavedModel {
        meta_graphs: vec![MetaGraph {
            meta_info: Some(MetaInfo { operators: None, tags: vec!["serve".to_owned()] }),
            graph: Some(GraphDef { node, library: Some(library), ..Default::default() }),
            saver: None,
            signatures: [("serving_default".to_owned(), signature("result:0"))].into(),
        }],
    }
}

fn read(model: &SavedModel) -> Result<Source, String> {
    read_signature(model, None)
}

fn read_signature(model: &SavedModel, wanted: Option<&str>) -> Result<Source, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("saved_model.pb"), model.encode_to_vec()).unwrap();
    let found = examine(folder.path(), wanted).and_then(|it| it.attempts).map_err(|it| it.to_string())?;
    Ok(found.sources.into_iter().next().unwrap())
}

/// Returns what the operators of a model that was read are.
fn operators(model: &SavedModel) -> Vec<String> {
    read(model).unwrap().info.operators.into_keys().collect()
}

#[test]
fn calls_are_replaced_by_bodies_at_any_depth() {
    let inner = function("inner", vec![unary("neg", "Neg", "x")], "neg:y:0");
    let outer = function("outer", vec![call("twice", "inner", "x"), unary("abs", "Abs", "twice:output:0")], "abs:y:0");
    let nodes = vec![
        call("first", "outer", "placeholder"),
        call("second", "inner", "first"),
        unary("result", "Identity", "second"),
    ];
    let source = read(&model(nodes, vec![inner, outer])).unwrap();
    assert_eq!(source.info.operators.into_keys().collect::<Vec<_>>(), ["Abs", "Identity", "Neg", "Placeholder"]);
}

#[test]
fn functions_that_call_themselves_are_refused_by_name() {
    let f = function("f", vec![call("to_g", "g", "x")], "to_g:output:0");
    let g = function("g", vec![call("to_f", "f", "x")], "to_f:output:0");
    let error = read(&model(vec![call("result", "f", "placeholder")], vec![f, g])).err().unwrap();
    assert!(error.contains("the recursive function f → g → f (node `result/to_g/to_f`)"), "{error}");
}

#[test]
fn deep_and_exploding_calls_pass_a_limit() {
    let chain = |n_calls: usize, depth: usize| {
        let one = |level: usize| {
            let next = format!("f{}", level + 1);
            let mut nodes = vec![unary("c0", "Neg", "x")];
            if level + 1 < depth {
                nodes =
                    (0..n_calls).map(|it| call(&format!("c{it}"), &next, if it == 0 { "x" } else { "sum" })).collect();
                for node in nodes.iter_mut().skip(1) {
                    node.input = vec![format!("c{}:output:0", node.name[1..].parse::<usize>().unwrap() - 1)];
                }
            }
            let last = if level + 1 < depth { format!("c{}:output:0", n_calls - 1) } else { "c0:y:0".to_owned() };
            function(&format!("f{level}"), nodes, &last)
        };
        read(&model(vec![call("result", "f0", "placeholder")], (0..depth).map(one).collect()))
    };
    assert!(chain(1, 20).is_ok());
    let error = chain(1, 100).err().unwrap();
    assert!(error.contains("functions that are nested deeper, more than the 64"), "{error}");
    let error = chain(2, 40).err().unwrap();
    assert!(error.contains("more nodes after inlining"), "{error}");
}

#[test]
fn a_constant_condition_chooses_its_branch() {
    let branch = |name: &str, op: &str| function(name, vec![unary("it", op, "x")], "it:y:0");
    let with = |condition: NodeDef| {
        let mut choose = tfpb::node().name("result").op("StatelessIf").input(&condition.name).input("placeholder");
        choose = choose.attr("then_branch", function_attr("yes")).attr("else_branch", function_attr("no"));
        model(vec![condition, choose], vec![branch("yes", "Neg"), branch("no", "Abs")])
    };
    for (value, operator) in [(true, "Neg"), (false, "Abs")] {
        let proto = TensorProto {
            dtype: DataType::DtBool.into(),
            tensor_shape: Some(shape(&[])),
            bool_val: vec![value],
            ..Default::default()
        };
        let constant = tfpb::node().name("condition").op("Const").attr("dtype", DataType::DtBool).attr("value", proto);
        assert!(operators(&with(constant)).contains(&operator.to_owned()), "{operator}");
    }
    let error = read(&with(unary("condition", "Unheard", "placeholder"))).err().unwrap();
    assert!(error.contains("StatelessIf on a condition that depends on the data (node `result`)"), "{error}");
    assert!(error.contains("Unheard"), "{error}");
}

#[test]
fn what_no_output_needs_is_not_looked_at() {
    let nodes = vec![
        unary("unheard", "Unheard", "placeholder"),
        call("lost", "lost", "placeholder"),
        unary("result", "Neg", "placeholder"),
    ];
    assert_eq!(operators(&model(nodes, vec![])), ["Identity", "Neg", "Placeholder"]);
}

#[test]
fn a_signature_is_chosen_or_all_are_listed() {
    let nodes = || vec![unary("result", "Neg", "placeholder"), unary("other", "Abs", "placeholder")];
    let mut only = model(nodes(), vec![]);
    only.meta_graphs[0].signatures = [("only".to_owned(), signature("other:0"))].into();
    assert_eq!(read(&only).unwrap().info.signature.as_deref(), Some("only"));
    let mut two = only.clone();
    two.meta_graphs[0].signatures.insert("second".to_owned(), signature("result:0"));
    let error = read(&two).err().unwrap();
    assert!(error.contains("none of the signatures `only`, `second` is `serving_default`"), "{error}");
    let mut tags = only.clone();
    tags.meta_graphs[0].meta_info = Some(MetaInfo { operators: None, tags: vec!["train".to_owned()] });
    tags.meta_graphs.push(tags.meta_graphs[0].clone());
    let error = read(&tags).err().unwrap();
    assert!(error.contains("no graph has the tag `serve` (tags [train], [train])"), "{error}");
}

#[test]
fn placeholders_and_cycles_are_refused_by_name() {
    let other = tfpb::node().name("other").op("Placeholder").attr("dtype", FLOAT);
    let sum = tfpb::node().name("result").op("AddV2").input("placeholder").input("other").attr("T", FLOAT);
    let error = read(&model(vec![other, sum], vec![])).err().unwrap();
    assert!(error.contains("placeholder `other` is no input of signature `serving_default`"), "{error}");
    let circle = vec![unary("result", "Neg", "b"), unary("b", "Abs", "result")];
    let error = read(&model(circle, vec![])).err().unwrap();
    assert!(error.contains("a cycle through"), "{error}");
}

#[test]
fn constants_that_would_fill_memory_are_refused() {
    let huge = TensorProto {
        dtype: FLOAT.into(),
        tensor_shape: Some(shape(&[1 << 20, 1 << 20])),
        float_val: vec![1.0],
        ..Default::default()
    };
    let constant = tfpb::node().name("huge").op("Const").attr("dtype", FLOAT).attr("value", huge);
    let sum = tfpb::node().name("result").op("AddV2").input("placeholder").input("huge").attr("T", FLOAT);
    let error = read(&model(vec![constant, sum], vec![])).err().unwrap();
    assert!(error.contains("1099511627775 elements in constants of repeated values"), "{error}");
}

#[test]
fn a_signature_is_chosen_by_its_name() {
    let mut two = model(vec![unary("result", "Neg", "placeholder"), unary("other", "Abs", "placeholder")], vec![]);
    let signatures = &mut two.meta_graphs[0].signatures;
    signatures.insert("magnitude".to_owned(), signature("other:0"));
    for (wanted, name, operator) in [
        (None, "serving_default", "Neg"),
        (Some("serving_default"), "serving_default", "Neg"),
        (Some("magnitude"), "magnitude", "Abs"),
    ] {
        let source = read_signature(&two, wanted).unwrap();
        assert_eq!(source.info.signature.as_deref(), Some(name));
        assert!(source.info.operators.contains_key(operator) && source.info.operators.len() == 3, "{:?}", source.info);
    }
    let error = read_signature(&two, Some("__saved_model_init_op")).err().unwrap();
    assert!(error.contains("its signatures are `magnitude`, `serving_default`"), "{error}");
    let signatures = &mut two.meta_graphs[0].signatures;
    let default = signatures.remove("serving_default").unwrap();
    signatures.insert("negative".to_owned(), default);
    let error = read(&two).err().unwrap();
    let wanted = "none of the signatures `magnitude`, `negative` is `serving_default`; name the one that is meant as `signature`";
    assert!(error.contains(wanted), "{error}");
    assert!(read_signature(&two, Some("negative")).is_ok());
    // What cannot be run without a name cannot be run with one.
    two.meta_graphs[0].signatures.clear();
    for wanted in [None, Some("negative")] {
        let error = read_signature(&two, wanted).err().unwrap();
        assert!(error.contains("there is no signature; export it with one, `serving_default`"), "{error}");
    }
}
