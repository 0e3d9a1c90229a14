//! TensorFlow operators with numbers that tract computes wrongly, and those that it lacks.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_within, batch, fixture, npz, numbers,
    tensorflow::{FLAG, FLOAT, INTEGER, SHORT, cast, check, floats, integer, integers, load, op},
    threads,
};
use modelwatch_infer::{InferError, Model, inspect};
use tract_tensorflow::tfpb::tensorflow::DataType;

#[test]
fn axes_are_added_where_tensorflow_adds_them() {
    // Two rows of two by three, and the numbers along the new axis next to each other.
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    for axis in [-1, -2, -3, 1, 2, 3] {
        let expand = vec![integer("axis", axis), op("y", "ExpandDims", &["x", "axis"]).attr("T", FLOAT)];
        check(&format!("ExpandDims {axis}"), &[2, 3], expand, &x, &x);
        let pack = op("y", "Pack", &["x", "x"]).attr("T", FLOAT).attr("N", 2_i64).attr("axis", i64::from(axis));
        // Of the axes behind the rows: how many numbers of one tensor lie side by side.
        let n_each = [1, 3, 6][if axis < 0 { (-axis - 1) as usize } else { (3 - axis) as usize }];
        let wanted: Vec<f64> = x.chunks(n_each).flat_map(|it| [it, it].concat()).collect();
        check(&format!("Pack {axis}"), &[2, 3], vec![pack], &x, &wanted);
    }
    // What depends on where the new axis is: a sum along it.
    let nodes = vec![
        integer("axis", -2),
        op("deep", "ExpandDims", &["x", "axis"]).attr("T", FLOAT),
        floats("w", &[2, 1], &[1.0, 10.0]),
        op("y", "Mul", &["deep", "w"]).attr("T", FLOAT),
    ];
    check("ExpandDims", &[2], nodes, &[1.0, 2.0], &[1.0, 2.0, 10.0, 20.0]);
}

#[test]
fn slices_are_those_of_python() {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    for (begin, size, wanted) in [
        ([0, 0, 1], [-1, -1, 2], vec![1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0, 11.0]),
        ([0, 1, 0], [-1, -1, -1], vec![3.0, 4.0, 5.0, 9.0, 10.0, 11.0]),
        ([0, 0, 2], [-1, 1, 1], vec![2.0, 8.0]),
    ] {
        let nodes = vec![
            integers("begin", &begin),
            integers("size", &size),
            op("y", "Slice", &["x", "begin", "size"]).attr("T", FLOAT),
        ];
        check(&format!("Slice {begin:?} {size:?}"), &[2, 3], nodes, &x, &wanted);
    }
    struct Strided<'a> {
        what: &'a str,
        numbers: [&'a [i32]; 3],
        masks: [i64; 5],
        wanted: Vec<f64>,
    }
    let cases = [
        Strided {
            what: "x[..., 0]",
            numbers: [&[0, 0], &[0, 1], &[1, 1]],
            masks: [0, 0, 1, 0, 2],
            wanted: vec![0.0, 3.0, 6.0, 9.0],
        },
        Strided {
            what: "x[..., -1:]",
            numbers: [&[0, -1], &[0, 0], &[1, 1]],
            masks: [0, 2, 1, 0, 0],
            wanted: vec![2.0, 5.0, 8.0, 11.0],
        },
        Strided {
            what: "x[:, tf.newaxis]",
            numbers: [&[0, 0], &[0, 0], &[1, 1]],
            masks: [1, 1, 0, 2, 0],
            wanted: x.clone(),
        },
        Strided {
            what: "x[:, 1, tf.newaxis, ::-2]",
            numbers: [&[0, 1, 0, 0], &[0, 2, 0, 0], &[1, 1, 1, -2]],
            masks: [9, 9, 0, 4, 2],
            wanted: vec![5.0, 3.0, 11.0, 9.0],
        },
    ];
    for Strided { what, numbers: [begin, end, strides], masks, wanted } in cases {
        let names = ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"];
        let slice = op("y", "StridedSlice", &["x", "begin", "end", "strides"]).attr("T", FLOAT);
        let slice = names.into_iter().zip(masks).fold(slice, |node, (name, it)| node.attr(name, it));
        let nodes = vec![integers("begin", begin), integers("end", end), integers("strides", strides), slice];
        check(what, &[2, 3], nodes, &x, &wanted);
    }
    let nodes = vec![
        integers("sizes", &[1, -1]),
        integer("axis", -1),
        op("parts", "SplitV", &["x", "sizes", "axis"]).attr("T", FLOAT).attr("num_split", 2_i64),
        op("sums", "Sub", &["parts:1", "parts"]).attr("T", FLOAT),
        op("y", "Identity", &["sums"]).attr("T", FLOAT),
    ];
    check("SplitV", &[2, 3], nodes, &x, &[1.0, 2.0].repeat(4));
}

#[test]
fn numbers_are_those_of_tensorflow() {
    let unary = |name: &str| vec![op("y", name, &["x"]).attr("T", FLOAT)];
    let x = [0.0, 120.0, 60.0, f64::NAN, 1.0, 2.0];
    let nan = [f64::NAN; 3];
    check("LogSoftmax", &[3], unary("LogSoftmax"), &x, &[&[-120.0, 0.0, -60.0][..], &nan].concat());
    check(
        "Softplus",
        &[3],
        unary("Softplus"),
        &x,
        &[std::f64::consts::LN_2, 120.0, 60.0, f64::NAN, 1.313_261_687_5, 2.126_928_011],
    );
    check(
        "Log1p",
        &[2],
        unary("Log1p"),
        &[0.0, 1.0, f64::NAN, -1.0],
        &[0.0, std::f64::consts::LN_2, f64::NAN, f64::NEG_INFINITY],
    );
    check(
        "Expm1",
        &[2],
        unary("Expm1"),
        &[0.0, 1.0, f64::NAN, -200.0],
        &[0.0, std::f64::consts::E - 1.0, f64::NAN, -1.0],
    );
    check("ZerosLike", &[2], unary("ZerosLike"), &[f64::NAN, 2.0], &[0.0, 0.0]);
    check("OnesLike", &[2], unary("OnesLike"), &[f64::NAN, 2.0], &[1.0, 1.0]);

    let sum = |name: &str| {
        vec![
            cast("integers", "x", FLOAT, INTEGER),
            integer("axis", 1),
            op("sum", name, &["integers", "axis"]).attr("T", INTEGER).attr("keep_dims", false),
            cast("y", "sum", INTEGER, FLOAT),
        ]
    };
    check("Sum", &[2], sum("Sum"), &[3e9, 3e9, 5.0, -8.0], &[6e9, -3.0]);
    check("Mean", &[2], sum("Mean"), &[3e9, 3e9, 5.0, -8.0], &[3e9, -1.0]);

    let pair =
        |name: &str| vec![floats("w", &[4], &[2.0, -2.0, 0.0, 0.5]), op("y", name, &["x", "w"]).attr("T", FLOAT)];
    let x = [7.0, 7.0, 7.0, -7.0];
    check("FloorDiv", &[4], pair("FloorDiv"), &x, &[3.0, -4.0, f64::INFINITY, -14.0]);
    check("DivNoNan", &[4], pair("DivNoNan"), &x, &[3.5, -3.5, 0.0, -14.0]);
    let whole = vec![
        cast("integers", "x", FLOAT, SHORT),
        integers("w", &[2, -2, 3, 3]),
        op("quotient", "FloorDiv", &["integers", "w"]).attr("T", SHORT),
        cast("y", "quotient", SHORT, FLOAT),
    ];
    check("FloorDiv of integers", &[4], whole, &[7.0, 7.0, -6.0, -7.0], &[3.0, -4.0, -2.0, -3.0]);
    // The first is less than the divisor away from the least integer.
    let far = vec![
        cast("integers", "x", FLOAT, SHORT),
        integers("w", &[2_000_000_000, -2_000_000_000]),
        op("quotient", "FloorDiv", &["integers", "w"]).attr("T", SHORT),
        cast("y", "quotient", SHORT, FLOAT),
    ];
    check("FloorDiv of large integers", &[2], far, &[-2_000_000_128.0, 1.0], &[-2.0, -1.0]);
}

#[test]
fn choices_are_those_of_tensorflow() {
    let positive = || vec![floats("zero", &[], &[0.0]), op("positive", "Greater", &["x", "zero"]).attr("T", FLOAT)];
    let number = |name: &str| cast("y", name, FLAG, FLOAT);
    let x = [1.0, 2.0, 3.0, -1.0, -2.0, 0.0, 0.0, 1.0, -1.0];
    for (name, wanted) in [("All", [1.0, 0.0, 0.0]), ("Any", [1.0, 0.0, 1.0])] {
        let reduce = op("some", name, &["positive", "axis"]).attr("keep_dims", false);
        let nodes = [positive(), vec![integer("axis", -1), reduce, number("some")]].concat();
        check(name, &[3], nodes, &x, &wanted);
    }
    let negative = || op("negative", "Neg", &["x"]).attr("T", FLOAT);
    let select = |name: &str| op("y", name, &["positive", "x", "negative"]).attr("T", FLOAT);
    let wanted: Vec<f64> = x.iter().map(|it| it.abs()).collect();
    for name in ["Select", "SelectV2"] {
        check(name, &[3], [positive(), vec![negative(), select(name)]].concat(), &x, &wanted);
    }
    // Rows by a condition that is a vector: whether their sums are positive.
    let rows = vec![
        integer("axis", 1),
        op("sum", "Sum", &["x", "axis"]).attr("T", FLOAT).attr("keep_dims", false),
        floats("zero", &[], &[0.0]),
        op("positive", "Greater", &["sum", "zero"]).attr("T", FLOAT),
        negative(),
        select("Select"),
    ];
    check("Select of rows", &[2], rows, &[1.0, -3.0, 5.0, -1.0], &[-1.0, 3.0, 5.0, -1.0]);
    let hot = vec![
        cast("integers", "x", FLOAT, INTEGER),
        integer("depth", 3),
        floats("on", &[], &[2.0]),
        floats("off", &[], &[-1.0]),
        op("y", "OneHot", &["integers", "depth", "on", "off"]).attr("T", FLOAT).attr("axis", -1_i64),
    ];
    // A negative index is nowhere.
    check(
        "OneHot",
        &[1],
        hot,
        &[2.0, 0.0, -1.0, 3.0],
        &[-1.0, -1.0, 2.0, 2.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0],
    );
    for name in ["BatchMatMul", "BatchMatMulV3"] {
        let product = op("y", name, &["x", "x"]).attr("T", FLOAT).attr("adj_y", true);
        check(name, &[2, 2], vec![product], &[1.0, 2.0, 3.0, 4.0], &[5.0, 11.0, 11.0, 25.0]);
    }
}

#[test]
fn images_are_resized_as_tensorflow_does() {
    // A row of two numbers, by the formulas of `tf.image.resize` and of its older forms.
    for (name, attribute, n, wanted) in [
        ("ResizeBilinear", "half_pixel_centers", 4, vec![0.0, 0.75, 2.25, 3.0]),
        ("ResizeBilinear", "align_corners", 4, vec![0.0, 1.0, 2.0, 3.0]),
        ("ResizeBilinear", "none", 4, vec![0.0, 1.5, 3.0, 3.0]),
        ("ResizeNearestNeighbor", "half_pixel_centers", 3, vec![0.0, 3.0, 3.0]),
        ("ResizeNearestNeighbor", "align_corners", 4, vec![0.0, 0.0, 3.0, 3.0]),
        ("ResizeNearestNeighbor", "none", 3, vec![0.0, 0.0, 3.0]),
    ] {
        let resize = op("y", name, &["x", "size"]).attr("T", FLOAT).attr(attribute, true);
        let what = format!("{name} with {attribute}");
        check(&what, &[1, 2, 1], vec![integers("size", &[1, n]), resize], &[0.0, 3.0], &wanted);
    }
}

#[test]
fn numbers_are_quantized_between_bounds_that_are_moved_to_zero() {
    let quantized = |narrow: bool, from: f32, to: f32| {
        let quantized = op("y", "FakeQuantWithMinMaxVars", &["x", "from", "to"]).attr("num_bits", 2_i64);
        vec![floats("from", &[], &[from]), floats("to", &[], &[to]), quantized.attr("narrow_range", narrow)]
    };
    // By the formulas of `tf.quantization.fake_quant_with_min_max_vars`: halves are rounded up.
    let x = [-1.0, 0.5, 1.5, 2.4, 9.0, f64::NAN];
    check("above 0", &[6], quantized(false, 1.0, 4.0), &x, &[0.0, 1.0, 2.0, 2.0, 3.0, f64::NAN]);
    check("below 0", &[3], quantized(false, -4.0, -1.0), &[-9.0, -1.5, 2.0], &[-3.0, -1.0, 0.0]);
    check("around 0", &[4], quantized(false, -1.4, 1.6), &[-9.0, -0.5, 0.5, 9.0], &[-1.0, 0.0, 1.0, 2.0]);
    check("narrow", &[4], quantized(true, -1.0, 1.0), &[-9.0, -0.5, 0.5, 9.0], &[-1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn loops_of_graphs_and_windows_along_channels_are_refused_by_name() {
    for name in ["Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"] {
        let said = load(&[2], vec![op("y", name, &["x"]).attr("T", FLOAT)]).unwrap_err().to_string();
        assert!(said.contains(&format!("{name}: loops and branches are run as functions alone")), "{said}");
    }
    for (name, window, strides) in [("MaxPool", [1_i64, 1, 1, 2], [1_i64; 4]), ("AvgPool", [1; 4], [2, 1, 1, 1])] {
        let pool = op("y", name, &["x"]).attr("T", FLOAT).attr("padding", "VALID");
        let pool = pool.attr("ksize", window.to_vec()).attr("strides", strides.to_vec());
        let said = load(&[2, 2, 2], vec![pool]).unwrap_err().to_string();
        let wanted =
            if name == "MaxPool" { "MaxPool with ksize = [1, 1, 1, 2]" } else { "AvgPool with strides = [2, 1, 1, 1]" };
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn random_numbers_are_refused_by_name() {
    for name in ["RandomUniform", "RandomUniformInt"] {
        let random = vec![integers("shape", &[1]), op("random", name, &["shape"]), op("y", "Add", &["x", "random"])];
        let error = load(&[1], random).unwrap_err();
        let InferError::Unsupported { operators, .. } = &error else { panic!("{error}") };
        let named = format!("{name}: random outputs cannot be compared");
        assert_eq!((&operators.0[0].0, &*operators.0[0].1), (&named, "random"));
    }
}

#[test]
fn weights_of_eight_bits_are_scaled_by_their_channel() {
    for name in ["scaled_dense", "scaled_dense_by_one", "scaled_convolution"] {
        let path = fixture(&format!("tensorflow/{name}.tflite"));
        let reference = npz(&format!("tensorflow/{name}.npz"));
        let model = Model::load(&path).unwrap_or_else(|it| panic!("{name}: {it}"));
        let answer = model.run(&batch(&[("x", &reference["x"])]), threads(1)).unwrap();
        assert_within(1e-5, name, &numbers(answer.column(0)), &reference["y"].values);
        assert!(inspect(&path, None).unwrap().refusal.is_none());
    }
}

#[test]
fn remainders_and_error_functions_keep_their_digits() {
    // By `numpy.mod`.
    let divisors = [1e6, f32::INFINITY, f32::INFINITY, -2.0, -3.0, 3.0];
    let pair = vec![floats("w", &[6], &divisors), op("y", "FloorMod", &["x", "w"]).attr("T", FLOAT)];
    let wanted = [f64::from(0.1_f32), 5.0, f64::INFINITY, -1.0, 0.0, 0.0];
    check("FloorMod", &[6], pair, &[0.1, 5.0, -5.0, 7.0, 6.0, -6.0], &wanted);
    // By `scipy.special`; what is small is held against 1 as a quotient.
    for (name, x, wanted) in [
        ("Erfc", 3.0, 2.209_049_699_858_544_5e-5),
        ("Erfc", 5.0, 1.537_459_794_428_034_7e-12),
        ("Erfc", -1.0, 1.842_700_792_949_714_7),
        ("Erf", 1e-6, 1.128_379_164_246_252_9e-6),
    ] {
        let nodes = vec![
            op("of", name, &["x"]).attr("T", FLOAT),
            floats("w", &[1], &[wanted as f32]),
            op("y", "RealDiv", &["of", "w"]).attr("T", FLOAT),
        ];
        check(name, &[1], nodes, &[x], &[1.0]);
    }
}

#[test]
fn an_index_outside_of_a_table_is_named() {
    let gather = |indices: &str| {
        let table = floats("table", &[3, 1], &[10.0, 20.0, 30.0]);
        let node = op("picked", "GatherV2", &["table", indices, "axis"]);
        vec![table, integer("axis", 0), node.attr("Tparams", FLOAT).attr("Tindices", SHORT).attr("Taxis", SHORT)]
    };
    let by_data = || {
        let nodes = vec![cast("places", "x", FLOAT, SHORT), op("y", "Identity", &["picked"]).attr("T", FLOAT)];
        [nodes, gather("places")].concat()
    };
    check("GatherV2", &[1], by_data(), &[2.0, 0.0], &[30.0, 10.0]);
    let x = Npy { shape: vec![2, 1], values: vec![1.0, 7.0] };
    let said = load(&[1], by_data()).unwrap().run(&batch(&[("x", &x)]), threads(1)).unwrap_err().to_string();
    assert!(said.contains("node `picked` (Gather): index 7 is outside of an axis of 3"), "{said}");
    let constant = [vec![integers("places", &[1, 7])], gather("places")].concat();
    let nodes = [constant, vec![op("y", "Add", &["x", "picked"]).attr("T", FLOAT)]].concat();
    let said = load(&[1], nodes).err().unwrap().to_string();
    assert!(said.contains("\"picked\" GatherV2: index 7 is outside of an axis of 3"), "{said}");
}

#[test]
fn lengths_and_flags_of_numbers_are_given() {
    let as_float = |name: &str, from: DataType| cast("y", name, from, FLOAT);
    let flag = |name: &str| vec![op("flag", name, &["x"]).attr("T", FLOAT), as_float("flag", FLAG)];
    let x = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    check("IsNan", &[4], flag("IsNan"), &x, &[0.0, 1.0, 0.0, 0.0]);
    check("IsInf", &[4], flag("IsInf"), &x, &[0.0, 0.0, 1.0, 1.0]);
    check("IsFinite", &[4], flag("IsFinite"), &x, &[1.0, 0.0, 0.0, 0.0]);
    let xor = vec![
        cast("a", "x", FLOAT, FLAG),
        floats("turn", &[4], &[0.0, 1.0, 0.0, 1.0]),
        cast("b", "turn", FLOAT, FLAG),
        op("flag", "LogicalXor", &["a", "b"]),
        as_float("flag", FLAG),
    ];
    check("LogicalXor", &[4], xor, &[0.0, 0.0, 2.0, 2.0], &[0.0, 1.0, 1.0, 0.0]);
    for (name, wanted) in [("Rank", 3.0), ("Size", 6.0)] {
        // Of a part whose shape does not depend on the rows.
        let nodes = vec![
            floats("table", &[1, 2, 3], &[0.0; 6]),
            op("n", name, &["table"]).attr("T", FLOAT).attr("out_type", SHORT),
            cast("number", "n", SHORT, FLOAT),
            op("y", "Mul", &["x", "number"]).attr("T", FLOAT),
        ];
        check(name, &[2], nodes, &[1.0, 2.0], &[wanted, 2.0 * wanted]);
    }
}

#[test]
fn angles_bands_and_neighbors_are_as_specified() {
    let arc = vec![floats("two", &[2], &[-1.0, 0.0]), op("y", "Atan2", &["x", "two"]).attr("T", FLOAT)];
    let pi = std::f64::consts::PI;
    check("Atan2", &[2], arc, &[0.0, 0.0, 1.0, -2.0], &[pi, 0.0, 0.75 * pi, -0.5 * pi]);
    let x: Vec<f64> = (1..10).map(f64::from).collect();
    for (below, above, wanted) in [
        (-1, 0, [1.0, 0.0, 0.0, 4.0, 5.0, 0.0, 7.0, 8.0, 9.0]),
        (0, -1, [1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 0.0, 0.0, 9.0]),
        (1, 0, [1.0, 0.0, 0.0, 4.0, 5.0, 0.0, 0.0, 8.0, 9.0]),
        (-1, -1, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
    ] {
        let band = op("y", "MatrixBandPart", &["x", "below", "above"]).attr("T", FLOAT).attr("Tindex", SHORT);
        let nodes = vec![integer("below", below), integer("above", above), band];
        check(&format!("MatrixBandPart {below} {above}"), &[3, 3], nodes, &x, &wanted);
    }
    // By the formula of `tf.nn.local_response_normalization`.
    let normal = op("y", "LRN", &["x"]).attr("T", FLOAT).attr("depth_radius", 1_i64);
    let normal = normal.attr("bias", 2.0_f32).attr("alpha", 0.5_f32).attr("beta", 1.0_f32);
    let wanted = [1.0 / 4.5, 2.0 / 9.0, 3.0 / 8.5];
    check("LRN", &[1, 1, 3], vec![normal], &[1.0, 2.0, 3.0], &wanted);
}

#[test]
fn parts_of_sequences_are_reversed_and_numbers_scattered() {
    let nodes = vec![
        floats("lengths", &[2], &[1.0, 3.0]),
        cast("n", "lengths", FLOAT, INTEGER),
        op("y", "ReverseSequence", &["x", "n"]).attr("T", FLOAT).attr("seq_dim", 2_i64).attr("batch_dim", 1_i64),
    ];
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let wanted = [0.0, 1.0, 2.0, 5.0, 4.0, 3.0, 6.0, 7.0, 8.0, 11.0, 10.0, 9.0];
    check("ReverseSequence", &[2, 3], nodes, &x, &wanted);
    let scattered = |last: i32| {
        let places = vec![integers("flat", &[3, 1, last]), integers("two", &[3, 1])];
        let nodes = vec![
            op("places", "Reshape", &["flat", "two"]).attr("T", SHORT).attr("Tshape", SHORT),
            floats("numbers", &[3], &[1.0, 2.0, 4.0]),
            integers("shape", &[4]),
            op("sums", "ScatterNd", &["places", "numbers", "shape"]).attr("T", FLOAT).attr("Tindices", SHORT),
            op("y", "Add", &["x", "sums"]).attr("T", FLOAT),
        ];
        [places, nodes].concat()
    };
    check("ScatterNd", &[4], scattered(3), &[10.0; 4], &[10.0, 12.0, 10.0, 15.0]);
    let said = load(&[4], scattered(4)).err().unwrap().to_string();
    assert!(said.contains("the index [4] is outside of [4]"), "{said}");
}
