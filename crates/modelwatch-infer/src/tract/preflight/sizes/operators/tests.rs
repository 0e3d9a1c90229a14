//! Sizes of what operators make.

use tract_onnx::pb::AttributeProto;

use super::*;

fn numbers(values: &[i64]) -> Option<Known> {
    Some(Known::of_numbers(8, vec![values.len() as u64], values.iter().map(|&it| it as f64).collect()))
}

fn floats_of(dims: &[u64]) -> Option<Known> {
    Some(Known::of_shape(4, known(dims.to_vec())))
}

fn shape(op_type: &str, attribute: Vec<AttributeProto>, inputs: &[Option<Known>]) -> String {
    let node = NodeProto { op_type: op_type.to_owned(), attribute, ..Default::default() };
    node_outputs(&node, inputs, 13)[0].shape_text()
}

fn ints_of(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints: values.to_vec(), ..Default::default() }
}

fn int_of(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, ..Default::default() }
}

#[test]
fn shapes_follow_the_operators() {
    let image = || floats_of(&[1, 3, 8, 8]);
    let check = |op_type: &str, attributes, inputs: &[Option<Known>], wanted: &str| {
        assert_eq!(shape(op_type, attributes, inputs), wanted, "{op_type}");
    };
    check("ConstantOfShape", vec![], &[numbers(&[2, 3])], "[2, 3]");
    check("Expand", vec![], &[floats_of(&[3, 1]), numbers(&[2, 1, 6])], "[2, 3, 6]");
    check("Tile", vec![], &[floats_of(&[3, 2]), numbers(&[2, 5])], "[6, 10]");
    check("Range", vec![], &[numbers(&[0]), numbers(&[10]), numbers(&[3])], "[4]");
    check("Pad", vec![], &[floats_of(&[3, 2]), numbers(&[0, 1, 2, 3])], "[5, 6]");
    check("Gather", vec![int_of("axis", 1)], &[floats_of(&[3, 2]), numbers(&[0, 1, 1])], "[3, 3]");
    check("Concat", vec![int_of("axis", -1)], &[floats_of(&[3, 2]), floats_of(&[3, 5])], "[3, 7]");
    check("OneHot", vec![], &[numbers(&[1, 2]), numbers(&[9]), numbers(&[0, 1])], "[2, 9]");
    check("Resize", vec![], &[image(), None, None, numbers(&[1, 3, 5, 6])], "[1, 3, 5, 6]");
    check("MatMul", vec![], &[floats_of(&[7, 1, 2]), floats_of(&[2, 9])], "[7, 1, 9]");
    check("TopK", vec![int_of("axis", 0)], &[floats_of(&[7, 2]), numbers(&[3])], "[3, 2]");
    check("MelWeightMatrix", vec![], &[numbers(&[8]), numbers(&[16]), None], "[9, 8]");
    let equation = AttributeProto { name: "equation".to_owned(), s: b"ab, bc -> ac".to_vec(), ..Default::default() };
    check("Einsum", vec![equation], &[floats_of(&[7, 1]), floats_of(&[5, 9])], "[7, 9]");
    check("Reshape", vec![], &[floats_of(&[4, 6]), numbers(&[0, -1, 2])], "[4, 3, 2]");
    check("Squeeze", vec![ints_of("axes", &[0])], &[floats_of(&[1, 6])], "[6]");
    check("Unsqueeze", vec![], &[floats_of(&[6]), numbers(&[0, -1])], "[1, 6, 1]");
    let weights = floats_of(&[16, 3, 3, 3]);
    check("Conv", vec![ints_of("pads", &[1; 4]), ints_of("strides", &[2, 2])], &[image(), weights], "[1, 16, 4, 4]");
    let weights = floats_of(&[3, 16, 2, 2]);
    check("ConvTranspose", vec![ints_of("strides", &[2, 2])], &[image(), weights], "[1, 16, 16, 16]");
    let (kernel, ceil) = (ints_of("kernel_shape", &[2, 2]), int_of("ceil_mode", 1));
    check("MaxPool", vec![kernel.clone(), ints_of("strides", &[2, 2])], &[image()], "[1, 3, 4, 4]");
    check("MaxPool", vec![kernel, ceil], &[image()], "[1, 3, ?, ?]");
    let scale = Some(Known::of_numbers(4, vec![1], vec![0.7_f32.into()]));
    check("Resize", vec![], &[floats_of(&[10]), None, scale], "[7]");
    let dynamic = Some(Known::of_shape(4, vec![None, Some(4)]));
    check("Add", vec![], &[dynamic, floats_of(&[4])], "[?, 4]");
}

#[test]
fn axes_are_where_early_versions_have_them() {
    let attribute = vec![int_of("broadcast", 1), int_of("axis", 1)];
    let node = NodeProto { op_type: "Add".to_owned(), attribute, ..Default::default() };
    let of = |version: i64| {
        node_outputs(&node, &[floats_of(&[2, 5, 1]), floats_of(&[5])], version).first().map(Known::shape_text)
    };
    assert_eq!((of(6).as_deref(), of(7).as_deref()), (Some("[2, 5, 1]"), Some("[2, 5, 5]")));
}

#[test]
fn numbers_are_followed_as_shapes_are_computed() {
    let of = |op_type: &str, inputs: &[Option<Known>]| {
        let node = NodeProto { op_type: op_type.to_owned(), ..Default::default() };
        Some(node_outputs(&node, inputs, 13)[0].clone())
    };
    let shape = of("Shape", &[floats_of(&[2, 3, 4])]);
    let picked = of("Gather", &[shape, numbers(&[2, -3])]);
    let doubled = of("Mul", &[picked, numbers(&[2])]);
    assert_eq!(doubled.clone().unwrap().numbers.unwrap(), [8.0, 4.0]);
    let tail = of("Slice", &[doubled, numbers(&[1]), numbers(&[i64::MAX]), numbers(&[0])]);
    assert_eq!(tail.unwrap().numbers.unwrap(), [4.0]);
    let small = |it: f64| Some(Known::of_numbers(4, vec![1], vec![it]));
    assert_eq!(of("Div", &[small(7.0), small(2.0)]).unwrap().numbers, None);
    assert_eq!(of("Div", &[small(8.0), small(2.0)]).unwrap().numbers.unwrap(), [4.0]);
    let cast = |to: i64, input: Option<Known>| {
        let attribute = vec![int_of("to", to)];
        let node = NodeProto { op_type: "Cast".to_owned(), attribute, ..Default::default() };
        node_outputs(&node, &[input], 13)[0].numbers.clone()
    };
    assert_eq!(cast(9, numbers(&[5, 0])).unwrap(), [1.0, 0.0]);
    assert_eq!(cast(2, numbers(&[258])), None);
    assert_eq!(cast(7, small(2.5)).unwrap(), [2.0]);
}
